"""Files that no snapshot contains, whatever the ignore files say: secrets, caches and virtual environments."""

from __future__ import annotations

import fnmatch
import functools
import re

# names of files and folders: a folder 'credentials' is more likely to hold secrets than to be a package
SECRETS = (
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.keystore"),
    *("id_rsa*", "id_ed25519*", "id_ecdsa*", "id_dsa*", ".ssh", ".gnupg", ".aws", ".kube", ".docker"),
    *(".netrc", ".pgpass", ".pypirc", ".npmrc", ".git-credentials"),
    *("credentials", "credentials.json", "service-account*.json", "client_secret*.json", "qexp.toml"),
    *("secrets.yaml", "secrets.yml", "secrets.toml", "secrets.json", "secrets.ini", "secrets.cfg", "secrets.env"),
    *("secret.yaml", "secret.yml", "secret.toml", "secret.json", "secret.ini", "secret.cfg", "secret.env"),
    *(".secrets", ".htpasswd", ".my.cnf", ".s3cfg", ".boto", "rclone.conf", "*.ppk", "*.jks", "*.kdbx"),
)
_HARMLESS = {".env.example"}
_EXPECTED = {"qexp.toml"}
"""Files that are left out without a warning: no experiment reads them."""
_NOISE = (
    *(".git", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", "*.egg-info", ".tox", ".ipynb_checkpoints"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store", ".idea", ".vscode"),
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


# the formats of tokens that services issue: nothing else looks like them
_ISSUED = re.compile(
    rb"(?<![A-Za-z0-9_])(?:A(?:KIA|SIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22}|glpat-[\w-]{20}"
    rb"|xox[abprs]-[\w-]{10}|hf_[A-Za-z0-9]{30}|AIza[\w-]{35}|sk-(?=[\w-]{0,40}\d)[\w-]{32})"
)
# names of entries that hold a secret; not `token` alone, which is common in language models
_ENTRY = re.compile(
    rb"""(?i)(?<![\w.-])(?P<name>[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|secret[_-]?key|api[_-]?key
    |access[_-]?key|account[_-]?key|(?:auth|access|api|bearer|refresh)[_-]?token))["']?[ \t]*[:=][ \t]*["']?
    (?!none|null|true|false|str(?:ing)?\b|your|change|example|xxx|env|[*<$%{\[])[^\s"',;\#]{6}""",
    re.VERBOSE,
)
# addresses for notifications hold tokens, and a grid with one is in each snapshot of its folder
_NOTIFY = re.compile(rb"""(?i)(?<![\w.-])(?P<name>notify)["']?[ \t]*[:=][^:=]{0,40}?\w://[^\s"',]{6}""")
_WITH_ENTRIES = (".ini", ".cfg", ".conf", ".toml", ".yaml", ".yml", ".json", ".properties", ".env")
"""Suffixes of files that are searched for entries. In code, `password = …` rarely holds a password."""
_LONGEST = 1_000_000  # bytes: longer files are data, and slow to search


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)


_FORBIDDEN, _SECRET = _any_of(SECRETS + _NOISE), _any_of(SECRETS)


@functools.lru_cache(maxsize=10_000)
def is_forbidden(name: str) -> bool:
    """
    Return whether snapshots never contain a file or folder of this name; upper and lower case are equal.

    >>> [is_forbidden(name) for name in (".env", ".env.example", "ID_RSA.bak", "model.py")]
    [True, False, True, False]
    """
    return name.lower() not in _HARMLESS and _FORBIDDEN.match(name) is not None


def holds_private_key(content: bytes) -> bool:
    """Return whether *content* contains the header of a private key in PEM format."""
    return _PRIVATE_KEY.search(content) is not None


def needs_warning(name: str) -> bool:
    """Return whether to warn that a forbidden file or folder of this name is left out."""
    return name.lower() not in _EXPECTED and _SECRET.match(name) is not None


def secret_in(name: str, content: bytes) -> str | None:
    r"""
    Return the place in a file of a likely password or key, without its value. Returns None if there is none.

    >>> secret_in("config.ini", b"[db]\npassword = hunter22"), secret_in("model.py", b"password = read_password()")
    ("line 2, 'password'", None)
    """
    if len(content) > _LONGEST:
        return None
    issued = _ISSUED.search(content)
    has_entries = name.lower().endswith(_WITH_ENTRIES)
    entry = (_ENTRY.search(content) or _NOTIFY.search(content)) if has_entries else None
    found = issued or entry
    if found is None:
        return None
    line = content.count(b"\n", 0, found.start()) + 1
    shown = f"{found[0][:4].decode()}…" if found is issued else found["name"].decode()
    return f"line {line}, '{shown}'"
