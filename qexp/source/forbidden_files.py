"""What never leaves a machine, whatever the ignore files say: secrets, and what other programs leave behind."""

from __future__ import annotations

import fnmatch
import functools
import re

# names of files and of folders alike: a folder 'credentials' is likelier to hold some than to be a package
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
"""Left out without a word: no experiment reads it."""
_NOISE = (
    *(".git", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", "*.egg-info", ".tox", ".ipynb_checkpoints"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store", ".idea", ".vscode"),
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


# forms that services give to what they issue: nothing else looks like these, in any file
_ISSUED = re.compile(
    rb"(?<![A-Za-z0-9_])(?:A(?:KIA|SIA)[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22}|glpat-[\w-]{20}"
    rb"|xox[abprs]-[\w-]{10}|hf_[A-Za-z0-9]{30}|AIza[\w-]{35}|sk-(?=[\w-]{0,40}\d)[\w-]{32})"
)
# names of entries that hold one; not `token` alone, which language models have many of
_ENTRY = re.compile(
    rb"""(?i)(?<![\w.-])(?P<name>[\w.-]{0,40}(?:passw(?:or)?d|passphrase|secret|secret[_-]?key|api[_-]?key
    |access[_-]?key|account[_-]?key|(?:auth|access|api|bearer|refresh)[_-]?token))["']?[ \t]*[:=][ \t]*["']?
    (?!none|null|true|false|str(?:ing)?\b|your|change|example|xxx|env|[*<$%{\[])[^\s"',;\#]{6}""",
    re.VERBOSE,
)
# addresses of messages hold tokens; in a grid they would be in each snapshot of its folder
_NOTIFY = re.compile(rb"""(?i)(?<![\w.-])(?P<name>notify)["']?[ \t]*[:=][^:=]{0,40}?\w://[^\s"',]{6}""")
_WITH_ENTRIES = (".ini", ".cfg", ".conf", ".toml", ".yaml", ".yml", ".json", ".properties", ".env")
"""Ends of names of files that hold entries. In code, a name such as `password` mostly has no password behind it."""
_LONGEST = 1_000_000  # bytes: what is longer is data, and would take a while


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)


_FORBIDDEN, _SECRET = _any_of(SECRETS + _NOISE), _any_of(SECRETS)


@functools.lru_cache(maxsize=10_000)
def is_forbidden(name: str) -> bool:
    """
    Say whether a file or folder of this name is never taken; upper and lower case are the same.

    >>> [is_forbidden(name) for name in (".env", ".env.example", "ID_RSA.bak", "model.py")]
    [True, False, True, False]
    """
    return name.lower() not in _HARMLESS and _FORBIDDEN.match(name) is not None


def holds_private_key(content: bytes) -> bool:
    """Say whether the header of a private key in PEM form stands anywhere in *content*."""
    return _PRIVATE_KEY.search(content) is not None


def is_worth_a_word(name: str) -> bool:
    """Say whether a person should know that a file or folder of this name, which is never taken, is left out."""
    return name.lower() not in _EXPECTED and _SECRET.match(name) is not None


def secret_in(name: str, content: bytes) -> str | None:
    r"""
    Return where in a file something looks like a password or a key, without its value; None: nowhere.

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
