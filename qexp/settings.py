"""The settings, from the environment, qexp.toml and the embedded services; nothing else reads the environment."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from qexp.errors import SettingsError, nearest
from qexp.notification_addresses import addresses
from qexp.pydantic_errors import expected, own_sentence
from qexp.units import seconds

CONFIG_FILE = "qexp.toml"
SERVICES_FILE = "services.json"
LOCK_FILE = "services.lock"
"""This file marks a home of embedded services, which holds their passwords and data."""
_PREFIX = "QEXP_"
SECRET_VARIABLES = ("QEXP_DATABASE_URL", "QEXP_BROKER_URL", "QEXP_NOTIFY")
"""The variables that functions do not find in their environment."""
ATTACH_VARIABLE = "QEXP_ATTACH"
"""The variable that names the file where a worker keeps the secret variables instead."""
TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
"""The TLS options that the URL of a broker may have, if it begins with `rediss://`."""
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line ends, and the surrogates that Python makes of bytes that are not UTF-8."""
_EXPECTED_HOME = "expected the path of a folder, in UTF-8 and without control characters; set QEXP_HOME"
_TLS_VALUES = {
    "ssl_cert_reqs": ("required", "optional", "none", "CERT_REQUIRED", "CERT_OPTIONAL", "CERT_NONE"),
    "ssl_check_hostname": ("true", "false"),
}


def _span(value: Any) -> Any:
    try:
        return None if value is None else seconds(float(value))
    except (TypeError, ValueError):  # text with a unit
        return seconds(value)


def _names(value: Any) -> Any:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class Settings(BaseModel):
    """All settings; set each as QEXP_NAME in the environment or as `name = …` in qexp.toml."""

    # errors and `repr`, which a notebook shows, must not contain addresses: they hold passwords
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path = Field(description="folder where qexp keeps its data on this machine")
    database_url: str | None = Field(None, repr=False, description="where Postgres is")
    broker_url: str | None = Field(None, repr=False, description="where Redis or Valkey is")
    checkpoint_limit: int = Field(
        64_000_000, ge=0, description="largest checkpoint in bytes that is kept in Postgres; others go to artifacts"
    )
    energy: str | None = Field(
        None, pattern="^[A-Z]{3}$", description="country such as DEU: measure energy with codecarbon"
    )
    window: int = Field(
        10_000, ge=1, le=1_000_000, description="most experiments of a queue and priority on the broker at a time"
    )
    lifetime: Annotated[float | None, BeforeValidator(_span)] = Field(
        None, gt=0, description="time until the worker's machine goes away, such as 23h; default: the Slurm job's end"
    )
    exit_when_idle: bool = Field(False, description="a worker stops when it has nothing to do")
    heartbeat: float = Field(5.0, gt=0, le=60, description="seconds between two heartbeats of a worker")
    lease: float = Field(
        30.0, gt=0, le=3600, description="seconds without a heartbeat after which a worker's experiments run elsewhere"
    )
    bundle: float = Field(
        1.0, ge=0, le=60, description="seconds of work in one message of short experiments; 0: one in each message"
    )
    notify: tuple[str, ...] = Field(
        (), repr=False, description="addresses for messages about studies whose grids name none: slack://…, mailto://…"
    )
    stalled_after: float = Field(
        30.0, gt=0, le=525_600, description="minutes without progress in an open study before a message says so"
    )
    monitor_hosts: Annotated[tuple[str, ...], BeforeValidator(_names)] = Field(
        (), description="host names that the monitor answers to besides localhost, such as that of a proxy"
    )
    connect_timeout: float = Field(4.0, gt=0, le=300, description="seconds to wait for a service to answer")
    artifacts: str | None = Field(
        None,
        description="folder or object store for artifacts and large checkpoints: file:///…, s3://…; "
        "default: HOME/artifacts",
    )

    @field_validator("home", mode="before")
    @classmethod
    def _absolute(cls, value: Any) -> Path:
        return _home(value)

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, separator, rest = value.partition("://")
        expected = "expected a URL such as postgresql://user:password@host:5432/name, special characters as %XX"
        if not separator or scheme.split("+")[0] not in ("postgresql", "postgres") or not _is_url(value):
            raise ValueError(expected)
        try:
            conninfo_to_dict(f"postgresql://{rest}")
        except psycopg.Error:
            raise ValueError(expected) from None  # psycopg's message contains the password
        return f"postgresql://{rest}"

    @field_validator("broker_url")
    @classmethod
    def _redis(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme = value.partition("://")[0]
        known = scheme in ("redis", "rediss", "redis+socket") and _is_url(value)
        number = urlsplit(value).path.strip("/") if known and scheme != "redis+socket" else ""
        if not known or not (number or "0").isdecimal():
            raise ValueError("expected a URL such as redis://:password@host:6379/0, special characters as %XX")
        for option, given in parse_qsl(urlsplit(value).query, keep_blank_values=True):
            if option.startswith("ssl_"):
                _check_tls(scheme, option, given)
        return value

    @field_validator("notify", mode="before")
    @classmethod
    def _addresses(cls, value: Any) -> tuple[str, ...]:
        return tuple(addresses(value))

    @field_validator("artifacts")
    @classmethod
    def _place_of_files(cls, value: str | None) -> str | None:
        return None if value is None else place_of_files(value)

    @property
    def artifacts_root(self) -> str:
        """The folder or URL that contains the artifacts and large checkpoints."""
        return self.artifacts or str(self.home / "artifacts")

    @property
    def services_file(self) -> Path:
        """The file that tells clients and workers of this user where the embedded services are."""
        return self.home / SERVICES_FILE

    @property
    def outbox(self) -> Path:
        """The folder of the outcomes that Postgres has not received yet."""
        return self.home / "outbox"

    @property
    def unreadable(self) -> Path:
        """The folder for files that qexp could not read."""
        return self.home / "unreadable"

    @property
    def logs(self) -> Path:
        """The folder of the log files."""
        return self.home / "logs"


@dataclass(frozen=True)
class SettingsWithOrigins:
    """The settings in force, with the origin of each by name."""

    values: Settings
    origins: Mapping[str, str]

    def configured(self, name: str) -> bool:
        """Return whether a person set *name*: it comes neither from a default nor from the embedded services."""
        return self.origins[name] not in ("default", "embedded")


def load(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """Return the settings in force; `load_with_origins` tells where each comes from."""
    return load_with_origins(environ, folder).values


def load_with_origins(environ: Mapping[str, str] | None = None, folder: Path | None = None) -> SettingsWithOrigins:
    """
    Read the settings: the environment overrides the nearest qexp.toml, then come the embedded services and defaults.

    The search for qexp.toml begins in *folder* and continues in its parents; default: the working directory.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {"home": str(default_home(environ))}
    origins = dict.fromkeys(Settings.model_fields, "default")
    file = _from_file(_config_path(folder or Path.cwd()))
    layers = [file, _from_worker(environ), _from_environment(environ)]
    if (end := environ.get("SLURM_JOB_END_TIME", "")).isdecimal():
        layers.insert(0, ({"lifetime": max(1.0, float(end) - time.time())}, "SLURM_JOB_END_TIME"))
    home = found["home"]
    for values, _ in layers:
        home = values.get("home", home)
    with suppress(ValueError):  # a wrong home is refused below, with its origin
        layers.insert(0, _from_services(_home(home) / SERVICES_FILE))
    for values, origin in layers:
        found |= values
        origins |= {name: origin.format(NAME=name.upper()) for name in values}
    try:
        return SettingsWithOrigins(Settings(**found), origins)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        reason = own_sentence(first) or f"expected {expected(first)}"
        secret = name == "notify" or name.endswith("_url") or "@" in str(found[name])
        if secret:  # any part of a malformed URL may be a password
            raise SettingsError(f"{origins[name]}: {name} cannot be read: {reason}") from None
        raise SettingsError(f"{origins[name]}: {name} is {found[name]!r}: {reason}") from None


def _home(value: Any) -> Path:
    """Return the absolute path of a home. Raises ValueError if it is no path, or cannot be shown or stored as text."""
    try:
        path = Path(value).expanduser().absolute()
    except (TypeError, RuntimeError):  # not text; '~' of an unknown user
        raise ValueError(_EXPECTED_HOME) from None
    if _UNSEEN.search(str(path)):
        raise ValueError(_EXPECTED_HOME)
    return path


def default_home(environ: Mapping[str, str]) -> Path:
    """
    Return the default home of qexp.

    For root it is outside of the home folder: there Postgres runs as another user, who must be able to enter.
    """
    if hasattr(os, "geteuid") and os.geteuid() == 0 and sys.platform.startswith("linux"):
        return Path("/var/lib/qexp")
    if environ.get("XDG_DATA_HOME"):
        return Path(environ["XDG_DATA_HOME"]) / "qexp"
    import platformdirs  # imports inside functions of this module save milliseconds of many commands

    return platformdirs.user_data_path("qexp")


def _config_path(folder: Path) -> Path | None:
    folder = folder.absolute()
    return next((path for level in (folder, *folder.parents) if (path := level / CONFIG_FILE).is_file()), None)


def _from_file(path: Path | None) -> tuple[dict[str, Any], str]:
    if path is None:
        return {}, CONFIG_FILE
    import tomllib

    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    _refuse_unknown(values, str(path), str.lower)
    return values, str(path)


def _from_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    values = {
        key.removeprefix(_PREFIX).lower(): value
        for key, value in environ.items()
        if key.startswith(_PREFIX) and value and key != ATTACH_VARIABLE
    }
    _refuse_unknown(values, "the environment", lambda name: _PREFIX + name.upper())
    return values, "QEXP_{NAME}"


def _from_worker(environ: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the settings that the worker of this process keeps out of its environment."""
    path = environ.get(ATTACH_VARIABLE)
    if not path:
        return {}, ATTACH_VARIABLE
    try:
        return _from_environment(json.loads(Path(path).read_text(encoding="utf-8")))[0], ATTACH_VARIABLE
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "damaged"
        raise SettingsError(
            f"{ATTACH_VARIABLE}: {path}: {(reason or str(error)).lower()}, expected the addresses that a running "
            f"worker keeps there for its functions; set {' and '.join(SECRET_VARIABLES[:2])} instead"
        ) from error


def _refuse_unknown(values: Mapping[str, Any], place: str, spell: Any) -> None:
    for name in values:
        if name not in Settings.model_fields:
            known = [spell(field) for field in Settings.model_fields]
            raise SettingsError(
                f"{place}: there is no setting {spell(name)}{nearest(spell(name), known)}; 'qexp config' lists them"
            )


def _from_services(path: Path) -> tuple[dict[str, Any], str]:
    try:
        services = json.loads(path.read_text(encoding="utf-8"))
        urls = {name: services.get(name) for name in ("database_url", "broker_url")}
        return {name: url for name, url in urls.items() if isinstance(url, str)}, "embedded"
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return {}, "embedded"  # 'qexp up' replaces a damaged file
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(f"{path}: {reason}; set QEXP_HOME to a folder that you own") from error


def _is_url(value: str) -> bool:
    """Return whether a URL has a readable host and port, and its user and password in the right place."""
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return False
    return not parts.fragment and "@" not in parts.path + parts.query and value.startswith(f"{parts.scheme}://")


def _check_tls(scheme: str, option: str, given: str) -> None:
    if scheme != "rediss":
        raise ValueError(f"{option} has no effect in {scheme}://, expected rediss://")
    if option not in TLS_OPTIONS:
        raise ValueError(
            f"there is no {option}{nearest(option, TLS_OPTIONS)}, expected one of {', '.join(TLS_OPTIONS)}"
        )
    expected = _TLS_VALUES.get(option)
    if expected is not None and given not in expected:
        raise ValueError(f"{option} is {given!r}, expected one of {', '.join(expected)}")
    if expected is None and not Path(given).is_file():
        raise ValueError(f"{option} names no file, expected the path of one in PEM format")


def place_of_files(value: str) -> str:
    """
    Return an absolute path or the URL of an object store unchanged. Raises ValueError for any other text.

    A password in the URL is refused: it would be stored with every file and readable in the tables.

    >>> place_of_files("/data/qexp"), place_of_files("s3://bucket/prefix")
    ('/data/qexp', 's3://bucket/prefix')
    """
    scheme, separator, rest = value.partition("://")
    if not separator or scheme == "file":
        path = Path(rest if separator else value)
        path = path if separator else path.expanduser()
        if not path.is_absolute():
            raise ValueError("expected an absolute path, file:///folder or a URL such as s3://bucket/prefix")
        return value if separator else str(path)
    if not _is_url(value) or urlsplit(value).query or (not rest and scheme != "memory"):
        raise ValueError("expected a URL such as s3://bucket/prefix, without options")
    if ":" in urlsplit(value).netloc.rpartition("@")[0]:
        raise ValueError("expected a URL without a password: use the store's own variables or files")
    return value


def redact(url: str) -> str:
    """
    Return a URL with its password hidden.

    >>> redact("redis://:secret@127.0.0.1:6379/0")
    'redis://:***@127.0.0.1:6379/0'
    """
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    if ":" in user:
        user = user.partition(":")[0] + ":***"
    query = "&".join(
        f"{name}={'***' if 'password' in name.lower() else value}"
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair)
    )
    return f"{parts.scheme}://{user}{at}{host}{parts.path}{'?' * bool(query)}{query}"


def place(url: str) -> str:
    """
    Return HOST:PORT of a service or the path of its socket, which an error may show.

    >>> place("postgresql://me:secret@db.lab/qexp"), place("postgresql://me@/qexp?host=%2Frun%2Fpg")
    ('db.lab:5432', '/run/pg')
    """
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return unquote(parts.path)
    default = 5432 if parts.scheme.startswith("postgres") else 6379
    host = parse_qs(parts.query).get("host", [parts.hostname or "localhost"])[0]
    try:
        port = parts.port or default
    except ValueError:
        port = default
    return host if host.startswith("/") else f"{host}:{port}"


def socket_url(user: str, password: str, folder: Path, database: str) -> str:
    """Return the URL of a Postgres that listens on a socket in *folder*."""
    return f"postgresql://{quote(user)}:{quote(password)}@/{database}?host={quote(str(folder), safe='')}"
