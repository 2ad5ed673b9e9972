"""Check the options that `qexp worker` and `qexp monitor` pass on to Celery and Flower, before these start."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import click

from qexp.errors import nearest


def check_for_celery(given: Sequence[str]) -> None:
    """Raise UsageError for the first option that Celery's worker does not have."""
    if not given:
        return
    from celery.bin.worker import worker

    options = [option for option in worker.params if isinstance(option, click.Option)]
    command = click.Command("worker", params=[*options])
    try:
        _, rest, _ = command.make_parser(click.Context(command)).parse_args(list(given))
    except click.UsageError as error:
        error.ctx = click.get_current_context()
        raise
    for word in rest:
        if "=" not in word:  # Celery takes settings as name=value
            raise click.UsageError(f"found {word!r}, expected an option of Celery's worker")


def check_for_flower(given: Sequence[str]) -> None:
    """Raise UsageError for the first option that Flower does not have."""
    if not given:
        return
    import flower.options  # noqa: F401 - it defines them
    from tornado.options import options

    names = {name.replace("_", "-") for name in options.as_dict()}
    for word in given:
        name = word.removeprefix("--").partition("=")[0].replace("_", "-")
        if not word.startswith("--") or name not in names:
            raise click.UsageError(f"found {word!r}, expected an option of Flower{_similar(name, names)}")


def _similar(name: str, names: Collection[str]) -> str:
    return nearest(name, names).replace("'", "'--", 1)
