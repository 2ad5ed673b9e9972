"""The text of lines about the progress of studies."""

from __future__ import annotations

from collections.abc import Sequence

from qexp.model import Status, duration, rate
from qexp.store.reads.study_progress import StudyProgress
from qexp.store.reads.worker_progress import OpenStudies, SettledStudy
from qexp.truncation import listed

_NAMES = 2
"""The most names of studies or queues in a line."""


def progress(found: StudyProgress) -> str:
    """Return the line about a study that runs, such as `lenet: 40 done, 8 running, 12 waiting (3/s, 4 s left)`."""
    left = found.paused_at is None and found.seconds_left
    pace = ", ".join(part for part in (rate(found.rate), f"{duration(left)} left" if left else "") if part)
    return f"{found.study}: {found.counts.text}" + (f" ({pace})" if pace else "")


def settled(found: SettledStudy) -> str:
    """Return the line about a study of which nothing moves: it has finished or is paused."""
    study, numbers = found.progress.study, found.progress.counts
    if found.progress.open:
        return f"{study} is paused: {numbers.text}; 'qexp resume {study}' continues it"
    took = "" if found.seconds is None or found.seconds < 0 else f" in {duration(found.seconds)}"
    see = f"; see 'qexp errors {study}'" if numbers[Status.FAILED] else ""
    return f"{study} finished: {numbers.text}{took}{see}"


def waiting(queues: Sequence[str], state: OpenStudies) -> str:
    """Return the line about a worker without experiments: what would have to happen for it to run one."""
    here = f"queue{'' if len(queues) == 1 else 's'} {listed(queues, _NAMES)}"
    if state.ready:
        names, example = listed(state.ready, _NAMES), state.ready[0]
        return f"waiting: {names} could run here, but no message comes; see 'qexp explain {example}'"
    parts = [f"nothing to do on {here}"]
    if state.retries:
        when = duration(float(round(state.retry_in))) if state.retry_in and state.retry_in >= 1 else "a moment"
        parts = [f"{_many(state.retries, 'retry', 'retries')} on {here}, the next in {when}"]
    if state.elsewhere:
        parts.append(f"{_studies(state.elsewhere, 'runs', 'run')} on other workers")
    if state.paused:
        parts.append(f"{_studies(state.paused, 'is', 'are')} paused")
    for queue, number in list(state.other_queues.items())[:_NAMES]:
        parts.append(f"{_many(number, 'study waits', 'studies wait')} on queue {queue}")
    return f"waiting: {'; '.join(parts)}"


def _many(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _studies(names: Sequence[str], one: str, many: str) -> str:
    return f"{names[0]} {one}" if len(names) == 1 else f"{len(names):,} studies {many}"
