"""Checks of the settings, Postgres, the broker and the embedded services."""

from __future__ import annotations

from qexp.client.doctor.finding import DoctorState, Finding, Findings, Verdict
from qexp.errors import BrokerUnreachableError, DatabaseUnreachableError
from qexp.queueing import broker
from qexp.settings import Settings, place
from qexp.store.reads import health
from qexp.store.schema import schema_version
from qexp.truncation import listed

_OLDEST_POSTGRES = 14
_OLDEST_REDIS = (6, 2)
_MOST_SKEW = 2.0
"""Seconds between two clocks above which the doctor warns."""
_FULL = 0.8
"""The share of connections or memory in use above which the doctor warns."""
_EMBEDDED = {"database_url": ("Postgres", "postgres"), "broker_url": ("Valkey", "broker")}
"""The embedded services by the setting of their URL: the name, and the need that the service meets."""


def origins(name: str, state: DoctorState) -> Findings:
    """Show the origin of each setting, and check that lease and heartbeat fit each other."""
    by_origin: dict[str, list[str]] = {}
    for setting, origin in state.loaded.origins.items():
        if origin != "default":
            by_origin.setdefault(_shown(origin), []).append(setting)
    found = "; ".join(f"{', '.join(names)} from {origin}" for origin, names in by_origin.items())
    yield Finding(name, Verdict.OK, found or "all are the defaults")
    heartbeat, lease = state.settings.heartbeat, state.settings.lease
    if lease < 2 * heartbeat:
        yield Finding(
            name,
            Verdict.WARNING,
            f"lease is {lease:g} s and heartbeat {heartbeat:g} s: living workers look silent",
            "a lease of several heartbeats",
            f"set QEXP_LEASE={6 * heartbeat:g} for every worker and client",
        )


def _shown(origin: str) -> str:
    if origin == "embedded":
        return "the embedded services"
    return "the environment" if origin.startswith("QEXP_") else origin


def postgres(name: str, state: DoctorState) -> Findings:
    """Connect to Postgres; show its version and latency."""
    settings = state.settings
    try:
        with health.reading(settings) as connection:
            server = health.server(connection)
    except DatabaseUnreachableError as error:
        expected = f"a Postgres that answers within {settings.connect_timeout:g} s"
        yield _out_of_reach(name, state, "database_url", error, expected)
        return
    where = place(settings.database_url or "")
    found = f"{server.version} at {where}, answers in {server.latency * 1000:.1f} ms"
    if server.major < _OLDEST_POSTGRES:
        expected = f"Postgres ≥ {_OLDEST_POSTGRES}"
        yield Finding(name, Verdict.FAILED, found, expected, "upgrade it, or unset QEXP_DATABASE_URL and 'qexp up'")
        return
    state.met.add("postgres")
    yield Finding(name, Verdict.OK, found)


def _out_of_reach(
    name: str,
    state: DoctorState,
    key: str,
    error: DatabaseUnreachableError | BrokerUnreachableError,
    expected: str,
) -> Finding:
    origin = state.loaded.origins[key]
    setting = origin if origin.startswith("QEXP_") else f"{key} in {origin}"
    if not state.loaded.configured(key):
        repair = "qexp up"
    elif any(word in error.reason for word in ("password", "uthentication")):
        repair = f"correct the user and password of {setting}"
    elif error.reason.startswith("database ") and error.reason.endswith("does not exist"):
        repair = f"create it with createdb, or correct {setting}"
    else:
        repair = f"start it, or correct {setting}; 'qexp config' shows it"
    where = "" if getattr(state.settings, key) is None else f"{error.place}: "
    return Finding(name, Verdict.FAILED, where + error.reason, expected, repair, unreachable=True)


def tables(name: str, state: DoctorState) -> Findings:
    """Compare the version of the tables with the version of this qexp."""
    with health.reading(state.settings) as connection:
        found = schema_version.version(connection)
    if found is None:
        yield Finding(name, Verdict.OK, "no tables yet; the first enqueue or worker creates them")
    elif found > schema_version.HEAD:
        expected = f"at most version {schema_version.HEAD}, the newest that this qexp knows"
        yield Finding(name, Verdict.FAILED, f"version {found}", expected, "pip install --upgrade qexp")
    elif found < schema_version.HEAD:
        yield Finding(name, Verdict.WARNING, f"version {found}", f"version {schema_version.HEAD}", "qexp db migrate")
    else:
        state.met.add("tables")
        yield Finding(name, Verdict.OK, f"version {found} is current")


def rights(name: str, state: DoctorState) -> Findings:
    """Check that the role of QEXP_DATABASE_URL can write."""
    with health.reading(state.settings) as connection:
        held = health.rights(connection)
    if held.read_only:
        expected = "a server and a role that can write"
        repair = "set QEXP_DATABASE_URL to the primary, or ALTER ROLE … RESET default_transaction_read_only"
        yield Finding(name, Verdict.FAILED, f"{held.role} can only read", expected, repair)
    elif held.schema is None:
        expected = "a schema in which this role may create tables"
        repair = f"psql -c 'GRANT CREATE, USAGE ON SCHEMA public TO \"{held.role}\"', as its owner"
        yield Finding(name, Verdict.FAILED, f"{held.role} has no schema to use", expected, repair)
    elif held.missing:
        first, found = held.missing[0], f"{held.role} lacks {listed(held.missing, 1)}"
        repair = f"psql -c 'GRANT {_grant(held, first)} TO \"{held.role}\"', as the owner"
        yield Finding(name, Verdict.FAILED, found, "the rights that qexp needs to write", repair)
        if any(" on schema " not in right and not right.startswith("TEMP") for right in held.missing):
            state.met.discard("tables")
    else:
        yield Finding(name, Verdict.OK, f"{held.role} can write and create tables")


def _grant(held: health.Rights, missing: str) -> str:
    if " on schema " in missing or missing.startswith("TEMPORARY"):
        return missing.replace(" on ", " ON ").replace("schema", "SCHEMA").replace("database", "DATABASE")
    return f'SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "{held.schema}"'


def clock(name: str, state: DoctorState) -> Findings:
    """Compare the clock of this machine with the clock of Postgres."""
    with health.reading(state.settings) as connection:
        skew = health.server(connection).skew
    if abs(skew) > _MOST_SKEW:
        found = f"this machine is {abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} Postgres"
        expected = f"at most {_MOST_SKEW:g} s (qexp uses Postgres's clock, so its times look shifted here)"
        yield Finding(name, Verdict.WARNING, found, expected, "timedatectl set-ntp true, on both machines")
    else:
        yield Finding(name, Verdict.OK, f"within {max(1, round(abs(skew) * 1000))} ms of Postgres's")


def connections(name: str, state: DoctorState) -> Findings:
    """Count the connections to Postgres."""
    with health.reading(state.settings) as connection:
        used, most = health.connections(connection)
    found = f"{used} of {most} in use"
    if used > _FULL * most:
        repair = f"raise max_connections above {2 * most} and restart Postgres, or put PgBouncer in front"
        yield Finding(name, Verdict.WARNING, found, f"less than {_FULL:.0%}", repair)
    else:
        yield Finding(name, Verdict.OK, found)


def redis(name: str, state: DoctorState) -> Findings:
    """Connect to the broker; show its version and latency."""
    settings = state.settings
    try:
        found = broker.health(settings)
    except BrokerUnreachableError as error:
        expected = f"a Redis or Valkey that answers within {settings.connect_timeout:g} s"
        yield _out_of_reach(name, state, "broker_url", error, expected)
        return
    where = f"{found.product} at {place(settings.broker_url or '')}, answers in {found.latency * 1000:.1f} ms"
    if found.version < _OLDEST_REDIS:
        repair = "upgrade it, or unset QEXP_BROKER_URL and 'qexp up'"
        yield Finding(name, Verdict.FAILED, where, "Redis ≥ 6.2 or Valkey", repair)
        return
    state.met.add("broker")
    yield Finding(name, Verdict.OK, where)


def memory(name: str, state: DoctorState) -> Findings:
    """Check that the broker deletes no messages and is not full."""
    found = broker.health(state.settings)
    command = f"redis-cli -u {_bare(state.settings)} --askpass CONFIG SET"
    if found.policy != "noeviction":
        now = "" if found.limit else "; without maxmemory, Redis deletes nothing"
        yield Finding(
            name,
            Verdict.FAILED if found.limit else Verdict.WARNING,
            f"maxmemory-policy is {found.policy}{now}",
            "noeviction: other policies delete messages when memory is short",
            f"{command} maxmemory-policy noeviction",
        )
    used = f"{found.used / 1e6:.1f} MB"
    of = f" of {found.limit / 1e6:.0f} MB" if found.limit else ", without a limit"
    persistence = "an append-only file" if found.appends else "snapshots" if found.snapshots else "no persistence seen"
    if found.limit and found.used > _FULL * found.limit:
        repair = f"{command} maxmemory {2 * found.limit}"
        yield Finding(name, Verdict.WARNING, used + of, f"less than {_FULL:.0%}", repair)
    elif found.policy == "noeviction":
        yield Finding(name, Verdict.OK, f"{used}{of}, noeviction, {persistence}")


def _bare(settings: Settings) -> str:
    url = settings.broker_url or ""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def embedded(name: str, state: DoctorState) -> Findings:
    """Show whether the embedded services are running."""
    loaded, file = state.loaded, state.settings.services_file
    services = {
        title: (need in state.met, getattr(loaded.values, key) is not None)
        for key, (title, need) in _EMBEDDED.items()
        if not loaded.configured(key)
    }
    if not services:
        yield Finding(name, Verdict.OK, "not used: both URLs are set")
    elif all(up for up, _ in services.values()):
        yield Finding(name, Verdict.OK, f"{' and '.join(services)} running, in {loaded.values.home}")
    else:
        down = " and ".join(title for title, (up, _) in services.items() if not up)
        stale = any(listed for up, listed in services.values() if not up)
        found = f"{down} not running, though {file} names it" if stale else f"{down} not started, and no URL is set"
        yield Finding(name, Verdict.WARNING, found, "both running, or URLs of other services set", "qexp up")
