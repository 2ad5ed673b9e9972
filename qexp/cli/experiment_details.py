"""The text of `qexp show` about one experiment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from qexp.analysis.text_layout import StyledText
from qexp.cli.folded_text import folded
from qexp.cli.output import show_lines, status_text
from qexp.cli.terminal_writer import echo, printable
from qexp.cli.traceback_text import is_stack, own_frames_left_out
from qexp.model import Json, Status, duration, plain
from qexp.store.reads.experiment_texts import attempt_line
from qexp.units import size_text

if TYPE_CHECKING:
    from qexp.client.experiment_queries import ExperimentDetails
    from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
    from qexp.store.reads.running_experiments import RunningExperiment

_NAMES = 40
"""The most columns in which names are aligned."""
_LONGEST = 2000
"""The most characters of a value that are shown."""


def show(one: ExperimentDetails) -> None:
    """Print an experiment: parameters, settings, result, and its attempts with their errors."""
    view = one.experiment
    name, status = StyledText(f"{view.study} #{view.id}  ", "bold"), status_text(view.status)
    show_lines([(name, status, StyledText(f" ({view.failure})" if view.failure else "", status.style))])
    _say(one.code_line)
    _values("parameters", view.params)
    _values("settings", _settings(one), lambda name: _in_newest(one, name))
    _values("result", view.result or {})
    for attempt in one.attempts:
        _attempt(attempt)
    for line in _endings(view, one.running):
        echo()
        _say(line)


def _say(text: str, indent: int = 0) -> None:
    echo(f"{'':{indent}}{folded(text, indent)}")


def _settings(one: ExperimentDetails) -> dict[str, Json]:
    """Return the settings of its revision, then those that only the newest one has, as absent."""
    absent = {name: before for name, (before, _) in one.changed_settings.items() if name not in one.revision.settings}
    return {**one.revision.settings, **absent}


def _in_newest(one: ExperimentDetails, name: str) -> str:
    """Return the value of a setting in the newest revision, if it is another one."""
    if name not in one.changed_settings:
        return ""
    _, after = one.changed_settings[name]
    return f"  ({screenful(plain(after))} in revision {one.newest.number})"


def _values(title: str, values: Mapping[str, Json], more: Callable[[str], str] = lambda _: "") -> None:
    """Print values by name."""
    if not values:
        return
    echo(f"\n{title}")
    texts = {printable(name): f"{screenful(plain(value))}{more(name)}" for name, value in values.items()}
    width = min(_NAMES, max(map(len, texts)))
    for name, text in texts.items():
        if len(name) <= width:
            echo(f"  {name:{width}}  {folded(text, width + 4, 2)}")
        else:
            _say(f"{name}  {text}", 2)


def screenful(text: str) -> str:
    """Return a value's text, cut to about a screen."""
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}… ({len(text):,} characters; --format json has all of them)"


def _attempt(attempt: AttemptView) -> None:
    """Print an attempt: its outcome, place, time, use and error."""
    echo()
    _say(attempt_line(attempt, with_error=False))
    _say(usage_line(attempt), 2)
    if attempt.traceback:
        if is_stack(attempt.traceback):
            _say(f"{attempt.error_type}: {attempt.error_message}", 2)
        text, left_out = own_frames_left_out(attempt.traceback.rstrip())
        _say(text, 2)
        if left_out:
            _say(f"({left_out} frame{'s' * (left_out > 1)} of qexp left out; --format json has all)", 2)
    elif attempt.error_type:
        _say(f"{attempt.error_type}: {attempt.error_message}", 2)
    elif attempt.error_message:
        _say(attempt.error_message, 2)


def usage_line(attempt: AttemptView) -> str:
    """Return the resources and the code of an attempt on one line."""
    facts = [
        attempt.cpu_seconds is not None and f"cpu {duration(attempt.cpu_seconds)}",
        attempt.peak_memory is not None and f"memory {size_text(attempt.peak_memory)}",
        attempt.gpu_memory is not None and f"gpu memory {size_text(attempt.gpu_memory)}",
        attempt.energy_kwh is not None and f"energy {attempt.energy_kwh:.3g} kWh",
        attempt.exit_signal and f"ended by {attempt.exit_signal}",
        attempt.source and f"code {attempt.source[:12]}",
        attempt.git_commit and f"git {attempt.git_commit[:10]}{' with changes' * bool(attempt.git_dirty)}",
        attempt.python and f"Python {attempt.python}",
    ]
    return ", ".join(fact for fact in facts if fact)


def _endings(view: ExperimentView, running: RunningExperiment | None) -> Iterator[str]:
    """Yield lines about the duration, the reason of the state, and the next attempt."""
    if view.duration != view.last_attempt:
        last = duration(view.last_attempt)
        total = f"{duration(view.duration)} with the attempts whose checkpoints it used"
        yield f"duration: {total}; the last attempt took {last}"
    if view.reason:
        yield f"{view.status}: {view.reason}"
    if view.status is Status.PENDING and view.not_before:
        yield f"the next attempt is due at {view.not_before:%Y-%m-%d %H:%M:%S %Z}"
    if view.status is Status.RUNNING:
        yield f"attempt {view.attempt}: running on {view.host} since {view.started_at:%Y-%m-%d %H:%M:%S %Z}"
    if running is not None:
        yield f"{duration(running.elapsed)} so far{running.progress and f': {running.progress}'}"
