"""Sections on the study itself: its grid, revisions, code and machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qexp.analysis.html_elements import Child, Html, command, fold, join, rows, tag
from qexp.analysis.report import formatting
from qexp.analysis.report.gathering import CodeSection, HeadSection, History, Machines, PlanSection
from qexp.model import Status, counted
from qexp.store.reads.revision_differences import Revision

_MOST_FILES, _MOST_PACKAGES, _MOST_CHANGES, _MOST_STALE = 200, 100, 30, 10
_ORDER = (Status.DONE, Status.FAILED, Status.RUNNING, Status.QUEUED, Status.PENDING, Status.PAUSED, Status.CANCELLED)


def head(found: HeadSection) -> Html:
    """Return the title with the line that sums the study up."""
    counts, study = found.counts, found.study
    done = f"{counts[Status.DONE]:,} of {counts.total:,} done"
    others = [f"{counts[status]:,} {status}" for status in _ORDER[1:] if counts[status]]
    facts = [", ".join([done, *others]), f"revision {study.revision}", *_period(found)]
    paused = None
    if study.paused_at is not None:
        why = f": {study.pause_reason}" if study.pause_reason else ""
        paused = tag("p", f"Paused since {formatting.moment(study.paused_at)}{why}.", class_="warning")
    return tag(
        "header",
        tag("h1", study.name),
        tag("p", found.description, class_="lead") if found.description else None,
        tag("p", " · ".join(facts), class_="summary"),
        _bar(counts, counts.total),
        paused,
    )


def _period(found: HeadSection) -> list[str]:
    if found.began is None:
        return ["not begun"]
    began = f"began {formatting.moment(found.began)}"
    if found.ended is None:
        return [began]
    return [began, f"{'last attempt ended' if found.counts.open else 'ended'} {formatting.moment(found.ended)}"]


def _bar(counts: Mapping[Status, int], total: int) -> Html | None:
    """Return a bar with a part for each status; the line above has the same numbers in words."""
    if not total:
        return None
    parts = [
        tag(
            "span",
            class_=f"status-{status}",
            style=f"flex-grow: {counts[status]}",
            title=f"{counts[status]:,} {status}",
        )
        for status in _ORDER
        if counts[status]
    ]
    return tag("div", parts, class_="bar", role="img", aria_label="share of each status")


def plan(found: PlanSection, function: str) -> Html:
    """Return the grid, the settings and the function."""
    cut = tag("p", "The middle of long lists is left out.", class_="note") if found.is_cut else None
    settings: Child = None
    if found.settings:
        pairs = [[tag("code", name), formatting.value(value)] for name, value in found.settings.items()]
        settings = [tag("h3", "Settings"), rows(["setting", "value"], pairs)]
    return join(
        tag("p", "Function: ", tag("code", function)),
        tag("h3", "Grid of the newest revision"),
        tag("pre", tag("code", found.grid)),
        cut,
        settings,
    )


def history(found: History, newest: int) -> Html:
    """Return the revisions with their changes, and the results that are out of date."""
    heads = ["revision", "made", "by", "done", "changes from the one before"]
    body = [
        [
            str(one.number),
            formatting.moment(one.created_at),
            f"{one.user} on {one.host}",
            f"{one.done:,}",
            _changes(one),
        ]
        for one in found.revisions
    ]
    older = newest - len(found.revisions)
    more = tag("p", f"{counted(older, 'older revision')} not shown.", class_="note") if older > 0 else None
    return join(_stale(found), rows(heads, body, numbers=[0, 3]), more)


def _stale(found: History) -> Html:
    stale = found.stale
    if not stale.count:
        return tag("p", "All done experiments have the settings and the code of the newest revision.")
    verb = "differs" if stale.count == 1 else "differ"
    text = f"{stale.count:,} of {stale.done:,} done {verb} from the newest revision in settings or imported code"
    groups = sorted((one.revision, -one.count, "; ".join(one.lines())) for one in stale.outdated)
    lines = [tag("li", f"{-count:,} of revision {number}: {why}") for number, count, why in groups[:_MOST_STALE]]
    more = len(groups) - _MOST_STALE
    return join(
        tag("p", text, ":", class_="warning"),
        tag("ul", lines, tag("li", counted(more, "more group")) if more > 0 else None),
        command(f"qexp requeue {stale.study} --stale"),
    )


def _changes(one: Revision) -> Html:
    lines: list[Child] = [
        [tag("code", name), f": {formatting.value(before)} → {formatting.value(after)}"]
        for name, (before, after) in one.changes.items()
    ]
    lines += [[tag("code", name), f" {word}"] for name, word in one.files.items()]
    if not lines:
        return tag("span", "the first revision" if one.number == 1 else "nothing that is recorded", class_="note")
    more = len(lines) - _MOST_CHANGES
    shown = [tag("li", line) for line in lines[:_MOST_CHANGES]]
    return tag("ul", shown, tag("li", f"{more:,} more") if more > 0 else None, class_="plain")


def code(found: CodeSection) -> Html:
    """Return the snapshot, the commit, the files and the imported packages."""
    one = found.revision
    facts: list[list[Child]] = [
        ["snapshot", tag("code", one.source) if one.source else "none: the function is installed"]
    ]
    if one.git_commit:
        state = "with uncommitted changes" if one.git_dirty else "clean"
        facts.append(["git commit", [tag("code", one.git_commit), f", {state}"]])
    facts.append(["made with", f"qexp {one.qexp}, Python {one.python}"])
    files = fold(counted(len(found.files), "file"), _listed(found.files, _MOST_FILES)) if found.files else None
    return join(rows(["what", "value"], facts, facts=True), files, _packages(found.packages))


def _listed(names: Sequence[str], limit: int) -> Html:
    more = f"\n… {len(names) - limit:,} more" if len(names) > limit else ""
    return tag("pre", tag("code", "\n".join(names[:limit]) + more))


def _packages(packages: Mapping[str, Mapping[str, int]]) -> Iterable[Child]:
    if not packages:
        return [tag("p", "The imports of the done attempts are not known.", class_="note")]
    several = [name for name, versions in packages.items() if len(versions) > 1]
    shown = [tag("li", tag("code", name), f" {_versions(packages[name])}") for name in list(packages)[:_MOST_PACKAGES]]
    more = len(packages) - _MOST_PACKAGES
    return [
        tag("h3", "Packages that done attempts have imported"),
        tag("p", f"Several versions: {', '.join(several)}.", class_="warning") if several else None,
        tag("ul", shown, class_="plain packages"),
        tag("p", f"{counted(more, 'more package')}.", class_="note") if more > 0 else None,
    ]


def _versions(versions: Mapping[str, int]) -> str:
    if len(versions) == 1:
        return next(iter(versions))
    return ", ".join(f"{version} ({counted(number, 'attempt')})" for version, number in sorted(versions.items()))


def machines(found: Machines) -> Html:
    """Return the hosts with their hardware."""
    if not found.machines:
        return tag("p", "No attempt has ended yet.", class_="note")
    heads = ["host", "processor", "GPU", "Python", "platform", "attempts", "time"]
    body = [
        [
            one.host or "not known",
            f"{one.cpu}, {counted(one.cores, 'core')}" if one.cpu and one.cores else one.cpu or "—",
            ", ".join(one.gpus) or "—",
            one.python or "—",
            one.platform or "—",
            f"{one.attempts:,}",
            formatting.hours(one.wall_seconds),
        ]
        for one in found.machines
    ]
    more = found.total - len(found.machines)
    return join(
        rows(heads, body, numbers=[5, 6]),
        tag("p", f"{counted(more, 'more machine')}.", class_="note") if more > 0 else None,
    )
