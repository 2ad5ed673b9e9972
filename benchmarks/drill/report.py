"""The report of a drill, as text and as data."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.drill.judge import Pause, Sample, Verdict

_WIDTH = 80
_SHOWN = 5
"""Number of violations shown per check."""
_EARLIER = 8
"""Number of events shown before a pause."""


@dataclass(frozen=True)
class Report:
    """The result of a drill."""

    seed: int
    experiments: int
    seconds: float
    """Duration of the faults."""
    closed_after: float
    """Seconds from the last fault until all experiments finished, or until the timeout."""
    faults: Mapping[str, int]
    outcomes: Mapping[str, int]
    verdicts: Sequence[Verdict]
    pause: Pause | None
    events: Sequence[tuple[float, str]]
    """Times and their events."""
    began: float

    @property
    def passed(self) -> bool:
        return all(verdict.passed for verdict in self.verdicts)

    def data(self) -> dict[str, Any]:
        """Return the report as data."""
        pause = self.pause and {"at": self.pause.start - self.began, "seconds": self.pause.seconds}
        facts = {
            name: getattr(self, name)
            for name in ("seed", "experiments", "seconds", "closed_after", "faults", "outcomes", "passed")
        }
        return {**facts, "pause": pause, "verdicts": [dataclasses.asdict(verdict) for verdict in self.verdicts]}

    def text(self) -> str:
        """Return the report as lines of at most 80 columns."""
        many = sum(self.faults.values())
        lines = [f"seed {self.seed}: {self.experiments:,} experiments, {many} faults in {self.seconds:.0f} s", ""]
        lines += _wrapped("faults", self.faults)
        lines += _wrapped("attempts", self.outcomes)
        lines.append("")
        for verdict in self.verdicts:
            lines += _indented(f"{'✓' if verdict.passed else '✗'} {verdict.what:32} {verdict.told}", 35)
            lines += [part for case in verdict.against[:_SHOWN] for part in _indented(f"    {case}", 6)]
            if len(verdict.against) > _SHOWN:
                lines.append(f"    and {len(verdict.against) - _SHOWN} more")
        lines += ["", f"nothing was open {self.closed_after:.1f} s after the last fault", *self._of_pause()]
        return "\n".join(lines)

    def _of_pause(self) -> list[str]:
        """Describe the longest pause, the events before it, and the waiting sessions."""
        if self.pause is None:
            return ["workers that lived began something at each look"]
        lines = [
            f"longest pause: {self.pause.seconds:.1f} s, from {self.pause.start - self.began:.1f} s on, in which "
            "nothing began though"
        ]
        lines = ["", *_indented(" ".join([*lines, "workers lived, both services were up and something waited"]), 2)]
        earlier = [event for event in self.events if event[0] < self.pause.end][-_EARLIER:]
        lines += [part for at, text in earlier for part in _indented(f"  {at - self.began:7.1f} s  {text}", 13)]
        samples = self.pause.samples
        shown = [samples[0], samples[len(samples) // 2], samples[-1]] if len(samples) > 2 else samples
        for sample in shown:
            lines += _indented(f"  {sample.at - self.began:7.1f} s  {_told(sample)}", 13)
        return lines


def _told(sample: Sample) -> str:
    rest = "; ".join(f"{name}: {value}" for name, value in sample.rest.items() if value not in (None, ()))
    return f"{sample.able} workers able, {sample.queued} queued, {sample.due} due, {sample.running} running; {rest}"


def _wrapped(title: str, counts: Mapping[str, int]) -> list[str]:
    told = ", ".join(f"{name} {many}" for name, many in sorted(counts.items())) or "none"
    return _indented(f"{title:9} {told}", 10)


def _indented(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * indent) if len(text) > _WIDTH else [text]
