"""An explanation: at most four sentences, each with a command that changes or shows something, and the history."""

from __future__ import annotations

from dataclasses import dataclass

from qexp.analysis.html_elements import join, tag, visible
from qexp.client.explain.facts import Facts
from qexp.client.explain.formatting import clock, start_worker
from qexp.client.explain.rules import GROUPS
from qexp.model import Status

_LONGEST = 4
"""Sentences of an explanation."""
_LAST = 6
"""Attempts that the history shows; it only counts earlier ones."""


@dataclass(frozen=True)
class Sentence:
    """One fact, and the command that changes or shows it."""

    text: str
    command: str | None = None
    effect: str = ""
    """The effect of the command."""


@dataclass(frozen=True)
class Explanation:
    """Why an experiment is in its state, and the attempts that it had."""

    id: int
    study: str
    status: Status
    sentences: list[Sentence]
    history: str
    """The attempts on one line, such as `1 lost 12:00:00, 2 error 12:05:22`; empty if there was none."""

    def __repr__(self) -> str:
        lines = [f"{self.study} #{self.id}  {self.status}"]
        for sentence in self.sentences:
            lines.append(sentence.text)
            lines += [f"  {sentence.command}  # {sentence.effect}"] * (sentence.command is not None)
        return visible("\n".join([*lines, *[f"attempts: {self.history}"] * bool(self.history)]))

    def _repr_html_(self) -> str:
        parts = [tag("p", tag("b", f"{self.study} #{self.id}"), f" {self.status}")]
        for sentence in self.sentences:
            command = [tag("br"), tag("code", sentence.command), f" {sentence.effect}"] if sentence.command else None
            parts.append(tag("p", sentence.text, command))
        return join(parts, tag("p", f"attempts: {self.history}") if self.history else None)


def explain(facts: Facts) -> Explanation:
    """Explain the state of an experiment; the first sentence names the main cause."""
    view, study = facts.experiment, facts.study
    names = {"f": facts, "id": view.id, "study": study.name, "start_worker": start_worker(study.queue)}
    sentences = []
    for group in GROUPS:
        if (rule := next((rule for rule in group if rule.condition(facts)), None)) is not None:
            text = rule.text.format(**names) if isinstance(rule.text, str) else rule.text(facts)
            sentences.append(Sentence(text, rule.command and rule.command.format(**names), rule.effect))
    return Explanation(view.id, view.study, view.status, sentences[:_LONGEST], history(facts))


def history(facts: Facts) -> str:
    """Return the attempts on one line; it also says where a person requeued or resumed the experiment."""
    now = facts.situation
    parts = []
    for attempt in now.attempts:
        text = f"{attempt.number}: {attempt.outcome} at {clock(attempt.finished_at, now.now)}"
        if attempt.number == now.forgiven:
            text += f", then {'resumed' if attempt.outcome == 'paused' else 'requeued'}"
        parts.append(text)
    shown = parts[-_LAST:]
    earlier = [f"{len(parts) - len(shown)} earlier"] if len(parts) > len(shown) else []
    running = [f"{facts.experiment.attempt}: running"] if facts.experiment.status is Status.RUNNING else []
    return "; ".join([*earlier, *shown, *running])
