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
    *("credentials", "credentials.json", "service-account*.json", "qexp.toml"),
)
_HARMLESS = {".env.example"}
_NOISE = (
    *(".git", "__pycache__", "*.pyc", ".venv", "venv", "node_modules", "*.egg-info", ".tox", ".ipynb_checkpoints"),
    *(".mypy_cache", ".pytest_cache", ".ruff_cache", ".DS_Store", ".idea", ".vscode"),
)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")


def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns), re.IGNORECASE)


_FORBIDDEN = _any_of(SECRETS + _NOISE)


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
