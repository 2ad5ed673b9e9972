"""The commands worker and monitor: Celery and Flower with qexp's flags."""

from __future__ import annotations

import os
import sys

import click

from qexp.cli.options import CONCURRENCY, WholeNumber
from qexp.cli.passed_options import check_for_celery, check_for_flower

_SECRETS = ("basic-auth", "broker-api", "cookie-secret", "oauth2-secret")
"""Options of Flower that contain passwords."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("-c", "--concurrency", type=CONCURRENCY, help="Experiments at once; default: one per core.")
@click.option("-q", "--queue", "queues", multiple=True, help="Queue to listen on; repeatable.  [default: qexp]")
@click.option(
    "--lifetime", metavar="TIME", help="Time until this machine goes away: 23h.  [default: the end of the Slurm job]"
)
@click.option("--exit-when-idle", is_flag=True, help="Stop when there is nothing to do.")
@click.argument("celery", nargs=-1, type=click.UNPROCESSED, metavar="[CELERY OPTIONS]...")
def worker_(
    concurrency: int | None,
    queues: tuple[str, ...],
    lifetime: str | None,
    exit_when_idle: bool,
    celery: tuple[str, ...],
) -> None:
    """
    Run experiments on this machine until stopped.

    After Ctrl-C or TERM the worker finishes its running experiments; after a second one it gives them back and stops.
    This is 'celery -A qexp worker', whose other options may follow.

    With a lifetime, the worker starts no experiment that would not finish in time, judged by the last experiments of
    its study. It gives back the experiments that still run 15 s before the end. QEXP_LIFETIME and QEXP_EXIT_WHEN_IDLE
    set the same.
    """
    from qexp import settings
    from qexp.client.worker_subprocess import command

    check_for_celery(celery)
    if lifetime is not None:
        os.environ["QEXP_LIFETIME"] = lifetime
    if exit_when_idle:
        os.environ["QEXP_EXIT_WHEN_IDLE"] = "true"
    settings.load()  # report wrong settings here, not from Celery

    level = () if any(option.startswith(("-l", "--loglevel")) for option in celery) else ("--loglevel", "INFO")
    line = command(concurrency, queues, [*level, *celery])
    os.execv(line[0], line)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=WholeNumber("a port from 0 to 65535", 0, 65535),
    default=5555,
    show_default=True,
    help="Port to listen on.",
)
@click.argument("flower", nargs=-1, type=click.UNPROCESSED, metavar="[FLOWER OPTIONS]...")
def monitor_(address: str, port: int, flower: tuple[str, ...]) -> None:
    """
    Watch workers and experiments in the browser (Flower).

    Without a password, the monitor needs a token: open the address that it prints. It answers to localhost and to the
    names in QEXP_MONITOR_HOSTS.

    To let others see it, set a password and an address: FLOWER_BASIC_AUTH=USER:PASSWORD in the environment, and
    --address 0.0.0.0. This is 'celery -A qexp flower', whose other options may follow. qexp passes options with
    passwords through the environment, so that 'ps' does not show them.
    """
    check_for_flower(flower)
    more = [f"--address={address}", f"--port={port}", *(option for option in flower if not _is_secret(option))]
    line = [sys.executable, "-P", "-m", "celery", "-A", "qexp", "flower", *more]
    os.execve(line[0], line, {**os.environ, **dict(map(_variable, filter(_is_secret, flower)))})


def _is_secret(option: str) -> bool:
    name, given, _ = option.removeprefix("--").partition("=")
    return bool(given) and name.replace("_", "-") in _SECRETS


def _variable(option: str) -> tuple[str, str]:
    """Return an option of Flower as an environment variable, which `ps` does not show."""
    name, _, value = option.removeprefix("--").partition("=")
    return f"FLOWER_{name.replace('-', '_').upper()}", value
