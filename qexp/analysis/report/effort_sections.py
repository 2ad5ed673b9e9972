"""Sections on the effort: durations, cost, slow and retried experiments, and commands that repeat the study."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qexp.analysis.html_elements import Child, Html, command, join, rows, tag
from qexp.analysis.report import formatting
from qexp.analysis.report.gathering import Effort, Report, ReportOptions
from qexp.model import Status, counted, describe, duration, short_names
from qexp.store.reads.costs import Cost, Durations
from qexp.store.reads.experiment_rows import ExperimentView
from qexp.units import size_text

_WIDTH, _HEIGHT, _FOOT = 640, 130, 22
"""The size of the histogram, and the room for its labels."""
_LABELS = 5


def durations(found: Durations | None) -> Html:
    """Return the quantiles and a histogram of the durations."""
    if found is None:
        return tag("p", "Nothing is done yet.", class_="note")
    text = (
        f"Of {counted(found.count, 'done experiment')}: median {duration(found.median)}, "
        f"90 % within {duration(found.p90)}, longest {duration(found.longest)}."
    )
    scale = "The time axis is logarithmic." if found.is_log else None
    return join(
        tag("p", text),
        tag("figure", tag("figcaption", "Done experiments by duration. ", scale), _histogram(found)),
    )


def _histogram(found: Durations) -> Html:
    highest, number = max(found.counts), len(found.counts)
    step = _WIDTH / number
    bars = [
        tag(
            "rect",
            tag("title", f"{counted(count, 'experiment')}: {duration(low)} to {duration(high)}"),
            x=f"{at * step + 0.5:.2f}",
            y=f"{_HEIGHT - _HEIGHT * count / highest:.2f}",
            width=f"{step - 1:.2f}",
            height=f"{_HEIGHT * count / highest:.2f}",
            class_="column",
        )
        for at, (count, low, high) in enumerate(zip(found.counts, found.bounds, found.bounds[1:], strict=False))
        if count
    ]
    line = tag("line", x1=0, y1=_HEIGHT, x2=_WIDTH, y2=_HEIGHT, class_="axis")
    scale = [tag("text", f"{count:,}", x=-6, y=y, text_anchor="end") for count, y in ((highest, 8), (0, _HEIGHT))]
    box = f"-50 0 {_WIDTH + 90} {_HEIGHT + _FOOT}"
    return tag("svg", bars, line, scale, _ticks(found), viewBox=box, role="img", class_="histogram")


def _ticks(found: Durations) -> list[Html]:
    last = len(found.bounds) - 1
    places = sorted({round(last * at / (_LABELS - 1)) for at in range(_LABELS)})
    labels = [(_WIDTH * at / last, duration(found.bounds[at]) or "0 s") for at in places]
    return [tag("text", label, x=f"{x:.1f}", y=_HEIGHT + 16, text_anchor="middle") for x, label in labels]


def cost(found: Sequence[Cost]) -> Html:
    """Return the sums over all attempts, by outcome."""
    if not found:
        return tag("p", "No attempt has ended yet.", class_="note")
    has_energy, has_gpu = any(one.with_energy for one in found), any(one.gpu_memory for one in found)
    heads = ["attempts that ended", "number", "time", "CPU time", "most memory"]
    heads += ["GPU memory"] * has_gpu + ["energy"] * has_energy
    parts = [*found, _total(found)] if len(found) > 1 else [*found]
    body = [_cost(one, has_gpu, has_energy) for one in parts]
    unmeasured = sum(one.attempts - one.with_cpu for one in found)
    note = f"CPU time and memory of {counted(unmeasured, 'attempt')} were not measured." if unmeasured else None
    return join(
        rows(heads, body, numbers=range(1, len(heads))), tag("p", note, class_="note") if note else None, _energy(found)
    )


def _cost(one: Cost, has_gpu: bool, has_energy: bool) -> list[Child]:
    cells: list[Child] = [
        one.outcome,
        f"{one.attempts:,}",
        formatting.hours(one.wall_seconds),
        formatting.hours(one.cpu_seconds),
        _size(one.peak_memory),
    ]
    cells += [_size(one.gpu_memory)] * has_gpu
    return cells + ["—" if one.energy_kwh is None else f"{one.energy_kwh:.3g} kWh"] * has_energy


def _size(number: int | None) -> str:
    return "—" if number is None else size_text(number)


def _energy(found: Sequence[Cost]) -> Html | None:
    measured, total = sum(one.with_energy for one in found), sum(one.attempts for one in found)
    if not measured or measured == total:
        return None
    return tag("p", f"Energy was measured in {measured:,} of {total:,} attempts.", class_="note")


def _total(found: Sequence[Cost]) -> Cost:
    return Cost(
        "all",
        sum(one.attempts for one in found),
        sum(one.wall_seconds for one in found),
        _of_known(sum, [one.cpu_seconds for one in found]),
        _of_known(sum, [one.energy_kwh for one in found]),
        _of_known(max, [one.peak_memory for one in found]),
        _of_known(max, [one.gpu_memory for one in found]),
        sum(one.with_cpu for one in found),
        sum(one.with_energy for one in found),
    )


def _of_known(combine: Callable[[Iterable[Any]], Any], values: Sequence[float | None]) -> Any:
    known = [value for value in values if value is not None]
    return combine(known) if known else None


def longest(found: Effort, parameters: Sequence[str]) -> Html:
    """Return the slowest and the most retried experiments."""
    if not found.slowest:
        return tag("p", "No experiment has ended yet.", class_="note")
    retried: Child = tag("p", "No experiment had a second attempt.")
    if found.most_retried:
        retried = _experiments(found.most_retried, parameters)
    return join(tag("h3", "Slowest"), _experiments(found.slowest, parameters), tag("h3", "Most attempts"), retried)


def _experiments(views: Sequence[ExperimentView], parameters: Sequence[str]) -> Html:
    heads = ["id", "parameters", "status", "attempts", "duration", "host"]
    short = {name: short_names([view.params[name] for view in views if name in view.params]) for name in parameters}
    body = [
        [
            str(view.id),
            tag("code", describe(view.params, parameters, short)),
            str(view.status),
            str(view.attempt),
            duration(view.duration) or "—",
            view.host or "—",
        ]
        for view in views
    ]
    return rows(heads, body, numbers=[0, 3, 4])


def again(report: Report) -> Html:
    """Return the commands that continue, repeat and report the study."""
    study, example = report.head.study.name, report.example
    parts: list[Child] = []
    if report.head.counts[Status.FAILED]:
        parts += [
            tag("p", "Run the failed experiments again:"),
            command(f"qexp requeue {study} --failed\nqexp wait {study}"),
        ]
    if example is not None:
        parts += [
            tag("p", "Get the code and the list of packages of the newest revision:"),
            command(_code(report, example)),
            tag("p", "Run all of it again as another study, in the folder with that code:"),
            command(_run_again(report)),
        ]
    parts += [tag("p", "Make this report again:"), command(_report(report.options))]
    return join(parts)


def _code(report: Report, example: int) -> str:
    lines = [f"qexp source {example} -o {report.head.study.name}_code"] if report.code.revision.source else []
    lines.append(f"qexp source {example} --packages > requirements.txt")
    if report.code.revision.git_dirty:
        lines.append(f"qexp source {example} --diff > changes.diff")
    return "\n".join(lines)


def _run_again(report: Report) -> str:
    name = report.head.study.name
    file = next((one for one in report.code.files if one in ("grid.yaml", "grid.yml")), None)
    comment = "" if file else "  # the grid of this report, in a file"
    return f"qexp run {file or 'grid.yaml'} --set study={name[:42]}_again{comment}"


def _report(options: ReportOptions) -> str:
    line = ["qexp", "report", options.study]
    for metric in options.metrics:
        line += ["--metric", metric]
    for option, names in (("--rows", options.rows), ("--columns", options.columns)):
        line += [option, ",".join(names)] if names else []
    return shlex.join([*line, "-o", "report.html"])
