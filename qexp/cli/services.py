"""The commands up, down, config and db."""

from __future__ import annotations

import click

from qexp.cli.options import format_option, yes_option
from qexp.cli.output import say, show_json
from qexp.cli.terminal_writer import echo, exact
from qexp.notification_addresses import hidden
from qexp.settings import load, load_with_origins, redact


@click.command()
@format_option
def up_(form: str) -> None:
    """
    Start the embedded Postgres and Valkey.

    Both run as you, listen on this machine only and keep their data in QEXP_HOME. If you have set the URL of a service,
    qexp does not start it. You may call this again at any time.
    """
    from qexp import services

    found, notices = services.up(load_with_origins())
    for notice in notices:
        say(notice)
    if form == "json":
        show_json([{"name": s.name, "url": redact(s.url), "started": s.changed, "embedded": s.embedded} for s in found])
        return
    for service in found:
        state = "started" if service.changed else "running" if service.embedded else "yours, not started by qexp"
        echo(f"{service.name:8}  {state:8}  {redact(service.url)}")


@click.command()
@click.option("--wait", is_flag=True, help="Wait until no worker runs an experiment.")
@yes_option
def down_(wait: bool, yes: bool) -> None:
    """
    Stop the embedded Postgres and Valkey; their data are kept.

    If workers run experiments, it asks first. These experiments continue, and their results wait in files of their
    workers until 'qexp up'.
    """
    from qexp import services
    from qexp.cli.down_question import confirm_stop, say_what_remains
    from qexp.client.connected_workers import connected_workers

    settings = load()
    workers = connected_workers(settings)
    if not yes:
        workers = confirm_stop(workers, lambda: connected_workers(settings), wait)
    stopped = services.down(settings)
    for service in stopped:
        echo(f"{service.name:8}  stopped")
    if not stopped:
        say("no services are running")
    say_what_remains(workers)


@click.command()
@format_option
@click.option("--reveal", is_flag=True, help="Show passwords.")
def config_(form: str, reveal: bool) -> None:
    """
    Show each setting, its value and where it came from.

    The first of these that has the setting counts: QEXP_NAME in the environment, the nearest qexp.toml upwards from
    here, the embedded services, the default.
    """
    loaded = load_with_origins()
    values = loaded.values.model_dump(mode="json")
    values["notify"] = " ".join(loaded.values.notify if reveal else map(hidden, loaded.values.notify)) or None
    values["monitor_hosts"] = " ".join(loaded.values.monitor_hosts) or None
    shown = {
        name: value if reveal or not name.endswith("_url") or value is None else redact(value)
        for name, value in values.items()
    }
    if form == "json":
        show_json(shown)
        return
    rows = [(name, "" if value is None else str(value), loaded.origins[name]) for name, value in shown.items()]
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        echo(f"{name:{width}}  {value or 'not set'}  ({origin})")


@click.group()
def db_() -> None:
    """Migrate the database, or print its roles."""


@db_.command(short_help="Bring the tables up to date.")
@click.option("--under-workers", is_flag=True, help="Migrate although workers of an older qexp are running.")
def migrate(under_workers: bool) -> None:
    """
    Bring the tables up to date.

    'qexp enqueue' and workers do this by themselves; other commands tell you to. While workers of an older qexp are
    running, qexp refuses: they may fail with newer tables.
    """
    from qexp.client import Client

    done = Client().migrate(under_workers)
    if done.older:
        say(f"warning: workers of an older qexp are running and may fail now: {', '.join(done.older)}")
    echo(f"the schema is at version {done.version}")


@db_.command(short_help="Print SQL that creates the roles of workers and readers.")
@click.option("--worker", default="qexp_worker", show_default=True, help="Role that workers log in as.")
@click.option("--reader", default="qexp_reader", show_default=True, help="Role of people who only read.")
def roles(worker: str, reader: str) -> None:
    """
    Print SQL that creates a role for workers and one for readers; qexp does not run it.

    The first role may do what workers do, and no more. The second may read everything and change nothing. Run the SQL
    as the owner of the database in QEXP_DATABASE_URL.
    """
    from qexp.client import Client

    exact(Client().roles(worker, reader))
