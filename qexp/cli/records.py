"""The commands logs, metrics, artifacts and source."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qexp.analysis.column_fitting import TableColumn
from qexp.cli.artifact_copies import copy
from qexp.cli.options import EXPERIMENT, WholeNumber, data_file_option, format_option, selection_options
from qexp.cli.output import console, print_csv, say, show_json, table
from qexp.cli.short_stacks import ShortStacks
from qexp.cli.terminal_writer import Stream, echo, exact
from qexp.model import counted, value_text
from qexp.truncation import listed as some
from qexp.units import size_text

if TYPE_CHECKING:
    import pandas as pd

    from qexp.client import Records
    from qexp.store.reads.records import Artifact, CodeOrigin, CodeSnapshot
    from qexp.store.selection.selectors import Selection

_NAMED = 8
"""The most names of artifacts in a message."""

attempt_option = click.option(
    "--attempt",
    type=WholeNumber("the number of an attempt, from 1", 1, 2**31 - 1),
    help="Which attempt.  [default: the last]",
)


@click.command()
@click.argument("experiment", type=EXPERIMENT)
@attempt_option
@click.option("-f", "--follow", is_flag=True, help="Follow the output until the attempt ends or Ctrl-C.")
def logs_(experiment: int, attempt: int | None, follow: bool) -> None:
    """
    Print the output of an experiment, also of its child processes and C code.

    Of the stack of a process that a signal ended, the frames of qexp are left out.

    \b
      qexp logs 17 -f
      qexp logs 17 --attempt 1
    """
    from qexp.client import Client, Records

    records = Records(Client(keeps=follow))
    end, stacks = 0, ShortStacks()
    with Stream() as stream:
        while True:
            printed = records.output(experiment, attempt, end)
            attempt = printed.attempt
            text, end = printed.text(end)
            stream.write(stacks.write(text))
            if not (follow and printed.running):
                stream.write(stacks.end())
                break
            time.sleep(0.5)
    if stacks.left_out:
        frames = f"{counted(stacks.left_out, 'frame')} of qexp left out"
        say(f"({frames}; 'qexp show {experiment} --format json' has all)")
    if stream.overwritten and not follow:
        states = counted(stream.overwritten, "state")
        say(f"({states} of lines overwritten by \\r; 'qexp logs {experiment} | cat' shows all)")
    if not end:
        say(f"attempt {attempt} of experiment {experiment} has no output")
    elif printed.running:
        say(f"attempt {attempt} is still running; follow it with 'qexp logs {experiment} -f'")


@click.command()
@selection_options()
@click.option("--name", "names", multiple=True, help="Only this series; repeatable.")
@click.option("--list", "listed", metavar="NAME", help="Show the rows of this list instead of series.")
@data_file_option
@click.option("--params", is_flag=True, help="Add the parameters of the experiments as columns of the file or JSON.")
@format_option
def metrics_(
    selection: Selection, names: tuple[str, ...], listed: str | None, output: str | None, params: bool, form: str
) -> None:
    """
    Show the series that experiments have recorded, and their lists; with -o, write all points or rows.

    \b
      qexp metrics 17
      qexp metrics digits --name loss --params -o loss.parquet
      qexp metrics 17 --list incumbents
    """
    from qexp.analysis.export import row_dicts, writer
    from qexp.client import Records

    save = None if output is None else print_csv if output == "-" else writer(Path(output))
    records = Records()
    frame = records.rows(selection, listed) if listed else records.metrics(selection, names, params=params)
    if save is not None:
        save([frame])
        if output != "-":
            echo(f"{output}: {len(frame)} rows")
    elif form == "json":
        show_json(list(row_dicts(frame)))
    elif listed:
        console().print(_rows(frame))
    else:
        lists = records.lists(selection)
        _show_series(frame, lists, with_study=bool(selection.studies))
        if not len(frame) and not lists:
            text = "no series was recorded; record one in your function with context.metric(step, loss=…)"
            say(_without(records, selection, text))


def _without(records: Records, selection: Selection, text: str) -> str:
    """Return *text*, or that no experiment matches the selection."""
    return text if records.has_experiments(selection) else "no experiment matches"


def _show_series(frame: pd.DataFrame, lists: list[str], with_study: bool) -> None:
    if len(frame):
        heads = ["id", *["study"] * with_study, "name", "points", "last", "min", "max", ""]
        rows = [
            [*map(str, key), str(len(values)), *map(value_text, _summary(values)), sparkline(values)]
            for key, values in frame.groupby(heads[:-5], sort=True)["value"]
        ]
        texts = ("study", "name")
        columns = [
            TableColumn(head, cells, right=head not in (*texts, ""), cut=head in texts)
            for head, cells in zip(heads, zip(*rows, strict=True), strict=True)
        ]
        console().print(table(columns))
    if lists:
        say(f"lists: {', '.join(lists)}; --list NAME shows their rows")


def _summary(values: pd.Series[float]) -> list[float]:
    return [float(values.iloc[-1]), float(values.min()), float(values.max())]


_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16


def sparkline(values: pd.Series[float]) -> str:
    """
    Return a curve of at most 16 characters, each the mean of a part of the series; a part without numbers is a gap.

    >>> import pandas as pd
    >>> sparkline(pd.Series([0.0, 1.0, 2.0, 7.0]))
    '▁▂▃█'
    """
    import numpy as np

    parts = np.array_split(np.asarray(values, dtype=float), min(_WIDTH, len(values)))
    means = np.array([part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts])
    low, high = np.nanmin(means, initial=np.inf), np.nanmax(means, initial=-np.inf)
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # means of equal numbers differ by rounding
        return "".join(" " if np.isnan(mean) else _BARS[0] for mean in means)
    return "".join(" " if np.isnan(m) else _BARS[round((m - low) / (high - low) * (len(_BARS) - 1))] for m in means)


def _rows(frame: pd.DataFrame) -> object:
    columns = [name for name in frame.columns if name != "at"]
    cells = {name: [value_text(value) for value in frame[name].astype(object)] for name in columns}
    ids = ("id", "attempt")
    return table([TableColumn(name, texts, right=name in ids, cut=name not in ids) for name, texts in cells.items()])


@click.command()
@selection_options()
@click.option("--get", "name", metavar="NAME", help="Copy the artifacts of this name to this machine.")
@click.option(
    "-o",
    "--output",
    metavar="FILE|FOLDER/",
    help="A file; a folder, for a file ID-NAME of each experiment; or -, standard output.  [default: ID/NAME]",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@format_option
def artifacts_(selection: Selection, name: str | None, output: str | None, overwrite: bool, form: str) -> None:
    """
    List the artifacts of experiments, or copy them to this machine.

    \b
      qexp artifacts 17 --get model.pkl
      qexp artifacts lenet --get model.pkl -o models/
    """
    from qexp.client import Records

    if name is None and (output is not None or overwrite):
        raise click.UsageError(f"{'-o' if output is not None else '--overwrite'} needs --get NAME")
    records = Records()
    every = records.artifacts(selection)
    found = [item for item in every if name in (None, item.name)]
    if name is not None:
        if not found:
            raise click.UsageError(f"none of these experiments has an artifact {name!r}{_names(every)}")
        copy(records, found, output, overwrite)
    elif form == "json":
        show_json([vars(item) for item in found])
    elif found:
        console().print(_artifacts(found))
    else:
        text = "no artifacts; keep a file in your function with context.artifact(name, path_or_bytes)"
        say(_without(records, selection, text))


def _names(found: list[Artifact]) -> str:
    """Return the names of the artifacts that experiments have, for the message about a wrong one."""
    names = list(dict.fromkeys(item.name for item in found))
    return f"; they have {some(names, _NAMED)}" if names else ""


def _artifacts(found: list[Artifact]) -> object:
    return table(
        [
            TableColumn("id", [str(file.experiment) for file in found], right=True),
            TableColumn("attempt", [str(file.attempt) for file in found], right=True),
            TableColumn("name", [file.name for file in found], cut=True),
            TableColumn("size", [size_text(file.size) for file in found], right=True),
            TableColumn("url", [file.url for file in found], cut=True),
        ]
    )


@click.command()
@click.argument("experiment", type=EXPERIMENT)
@attempt_option
@click.option("--file", "name", metavar="NAME", help="Show this file instead of the one with the function.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Unpack the whole snapshot into this new folder.")
@click.option("--diff", is_flag=True, help="Show how the code differed from its commit in git.")
@click.option("--packages", is_flag=True, help="Show the packages installed at enqueue, as requirements for pip.")
def source_(
    experiment: int, attempt: int | None, name: str | None, output: Path | None, diff: bool, packages: bool
) -> None:
    """
    Show the exact code that an experiment ran.

    \b
      qexp source 17
      qexp source 17 -o code/
      qexp source 17 --packages
    """
    from qexp.client import Records
    from qexp.source import contents, extract

    if diff or packages:
        origin = Records().origin(experiment, attempt)
        lines = [f"{name}=={version}\n" for name, version in origin.packages.items()]
        if text := "".join(lines) if packages else origin.git_diff:
            exact(text)
        elif diff:
            say(_without_diff(experiment, origin))
        return
    snapshot, function = Records().source(experiment, attempt)
    if output is not None:
        extract(snapshot.archive, output)
        echo(f"{output}: {len(snapshot.files)} files of snapshot {snapshot.digest[:12]}")
        return
    name = name or _file_of(function, snapshot)
    if name not in snapshot.files:
        raise click.UsageError(f"the snapshot has no file {name!r}; it has {', '.join(snapshot.files)}")
    others = ", ".join(other for other in snapshot.files if other != name)
    say(f"{name} of snapshot {snapshot.digest[:12]}" + f"; --file shows others: {others}" * bool(others))
    exact(contents(snapshot.archive, name))


def _without_diff(experiment: int, origin: CodeOrigin) -> str:
    """Say why there is no difference to show."""
    if origin.git_diff is None:
        return f"its code was in no git repository; 'qexp source {experiment}' prints the code"
    return f"its code was the same as in commit {(origin.git_commit or '')[:10]}"


def _file_of(function: str, snapshot: CodeSnapshot) -> str:
    module = function.partition(":")[0].replace(".", "/")
    return next((name for name in (f"{module}.py", f"{module}/__init__.py") if name in snapshot.files), f"{module}.py")
