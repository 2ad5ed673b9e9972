"""The page of a report: its sections in order, with a style for screen and print."""

from __future__ import annotations

from importlib.resources import files

from qexp.analysis.html_elements import Html, join, tag
from qexp.analysis.report import effort_sections, outcome_sections, study_sections
from qexp.analysis.report.gathering import Report
from qexp.model import Status


def page(report: Report) -> str:
    """Return a report as one file of HTML; the same data give the same text."""
    style = files("qexp.analysis.report").joinpath("style.css").read_text(encoding="utf-8")
    parts = _sections(report)
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", report.head.study.name),
        tag("style", Html(style)),
    )
    contents = tag("nav", [tag("a", title, href=f"#{name}") for name, title, _ in parts], aria_label="contents")
    body = [tag("section", tag("h2", title), content, id=name) for name, title, content in parts]
    main = tag("main", study_sections.head(report.head), contents, body)
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main), lang='en')}\n"


def _sections(report: Report) -> list[tuple[str, str, Html]]:
    """Return the id, the title and the content of each section."""
    study, is_done = report.head.study, report.head.counts[Status.DONE] > 0
    found = [
        ("plan", "What was run", study_sections.plan(report.plan, study.function)),
        ("revisions", "Revisions", study_sections.history(report.history, study.revision)),
        ("code", "Code", study_sections.code(report.code)),
        ("machines", "Machines", study_sections.machines(report.machines)),
        ("coverage", "Coverage", outcome_sections.coverage(report.coverage)),
        ("results", "Results", outcome_sections.results(report.results, report.history.stale, is_done)),
        ("pictures", "Pictures", outcome_sections.pictures(report.results)),
        ("errors", "Errors", outcome_sections.errors(report.errors, study.name)),
        ("durations", "Durations", effort_sections.durations(report.effort.durations)),
        ("cost", "Cost", effort_sections.cost(report.effort.costs)),
        ("slowest", "Slowest and most retried", effort_sections.longest(report.effort, study.parameters)),
        ("again", "Run it again", effort_sections.again(report)),
    ]
    return [(name, title, join(content)) for name, title, content in found]
