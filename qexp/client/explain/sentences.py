"""The sentences of explanations, one function each."""

from __future__ import annotations

from datetime import timedelta

from qexp.client.explain.facts import Facts
from qexp.client.explain.formatting import (
    dated,
    ending,
    how_long_ago,
    many,
    moment,
    reason,
    spent,
    wait,
)
from qexp.model import Failure, ago, are, duration
from qexp.store.reads.workers import WorkerState, WorkerView
from qexp.truncation import listed, shortened


def study_paused(facts: Facts) -> str:
    """Say since when and why the study is paused."""
    study, now = facts.study, facts.situation.now
    text = f"Its study is paused since {moment(study.paused_at or now, now)}{reason(study.pause_reason)}."
    return text + " The attempt is asked to stop, and is ended a few seconds later." * facts.runs


def retry(facts: Facts) -> str:
    """Say when the next attempt is due, how the last one ended, and how many retries are left."""
    now, last = facts.situation.now, facts.last
    due = facts.experiment.not_before or now
    budget, left = facts.budget(last.outcome)
    return (
        f"It waits for a retry at {moment(due, now)}, in {wait(-facts.since(due))}. Attempt {last.number} "
        f"{ending(last)}. After this retry, {max(left, 0)} of {many(budget, 'retry', 'retries')} for '{last.outcome}' "
        f"{are(left)} left."
    )


def window_full(facts: Facts) -> str:
    """Say how many experiments are announced, and how many are announced before this one."""
    queue, place = facts.study.queue, facts.situation.place
    announced = 0 if place is None else place.window
    return (
        f"It is not announced yet: the window of its queue '{queue}' is full ({announced:,} announced, setting "
        f"'window': {facts.settings.window:,}), and {facts.ahead:,} are before it."
    )


def announced(facts: Facts) -> str:
    """Say since when a queued experiment is announced."""
    queue, at = facts.study.queue, facts.situation.queued_at
    when = "" if at is None else f" {dated(at, facts.situation.now)}"
    return f"It was announced on the queue '{queue}'{when}."


def busy(facts: Facts) -> str:
    """Say how many experiments are ahead, and that all children run others."""
    takers, children = facts.takers, facts.children
    where = takers[0].name if len(takers) == 1 else f"the {len(takers)} workers of the queue"
    all_ = f"the only child of {where} is" if children == 1 else f"all {children} children of {where} are"
    return f"{_turn(facts)} in the queue, and {all_} busy."


def stuck(facts: Facts) -> str:
    """Say that a child is free but does not take the experiment."""
    return f"{_turn(facts)}, {_free(facts)}, and yet it has not begun."


def begins_soon(facts: Facts) -> str:
    """Say how many experiments are ahead, and that a child is free."""
    return f"{_turn(facts)}; {_free(facts)}, so it begins {'soon' if facts.ahead else 'at once'}."


def _turn(facts: Facts) -> str:
    ahead, of_study = facts.ahead, " of its study" if facts.own_worker else ""
    return f"{many(ahead, 'other', 'others')}{of_study} {are(ahead)} before it" if ahead else "It is the next one"


def _free(facts: Facts) -> str:
    return f"{facts.free} of {many(facts.children, 'child', 'children')} on its queue {are(facts.free)} free"


def takers_absent(facts: Facts) -> str:
    """Say why the workers of the queue take nothing."""
    states = listed([_absence(worker) for worker in facts.listening], 3, "; ")
    return f"No live worker listens on its queue '{facts.study.queue}': {states}."


def takers_elsewhere(facts: Facts) -> str:
    """Say on which queues the live workers listen."""
    queues = ", ".join(sorted({queue for worker in facts.live for queue in worker.queues}))
    return f"No live worker listens on its queue '{facts.study.queue}'; live workers listen on: {queues}."


def _absence(worker: WorkerView) -> str:
    if worker.state is WorkerState.QUARANTINED:
        why = reason(worker.quarantine_reason)
        return f"{worker.name} is quarantined{why}; repair {worker.host}, then start it again"
    return f"{worker.name} has been silent for {wait(worker.silence)}"


def no_message(facts: Facts) -> str:
    """Say that the broker holds no message with the experiment, and when it is announced again."""
    when = "within seconds" if facts.leader is not None else "as soon as a worker is started"
    return f"The broker holds no message for it: a worker is taking it, or it is announced again {when}."


def runs(facts: Facts) -> str:
    """Say where and since when the attempt runs."""
    now, view = facts.situation, facts.experiment
    began = view.started_at or now.now
    process = f", process {now.pid}" if now.pid is not None else ""
    where = f" on {now.runner.host}{process}, by the worker {now.runner.name}" if now.runner is not None else ""
    return (
        f"Attempt {view.attempt} has been running since {moment(began, now.now)} ({wait(facts.since(began))}){where}."
    )


def heartbeat(facts: Facts) -> str:
    """Say when the worker sent its last heartbeat."""
    worker = facts.runner
    if worker is None:
        return "Its worker is not known."
    quarantined = worker.state is WorkerState.QUARANTINED
    more = f"; the worker is quarantined{reason(worker.quarantine_reason)}" if quarantined else ""
    return f"Its worker sent a heartbeat {ago(worker.silence)}{more}."


def recovered_soon(facts: Facts) -> str:
    """Say when another worker recovers the experiment from a silent one."""
    state, silence = _silence(facts)
    left = facts.settings.lease - silence
    when = f"in {wait(left)}" if left >= 1 else "within seconds"
    other = "If it stays silent, another" if "silent" in state else "Another"
    return f"{state} {other} worker recovers the experiment {when}, and it {_recovery(facts)}."


def nobody_recovers(facts: Facts) -> str:
    """Say that no live worker can recover the experiment from a silent one."""
    return f"{_silence(facts)[0]} No live worker can recover the experiment. When one does, it {_recovery(facts)}."


def _silence(facts: Facts) -> tuple[str, float]:
    """Return a sentence about a silent or stopped worker, and the seconds since then."""
    worker = facts.runner
    if worker is not None and worker.stopped_at is not None:
        silence = facts.since(worker.stopped_at)
        return f"Its worker stopped {ago(silence)}.", silence
    silence = worker.silence if worker is not None else 0.0
    return f"Its worker is silent: its last heartbeat was {ago(silence)}.", silence


def _recovery(facts: Facts) -> str:
    budget, left = facts.budget(Failure.LOST)
    if left > 0:
        return f"runs again as attempt {facts.experiment.attempt + 1}"
    return f"fails, because {spent('lost', budget)}"


def recorded(facts: Facts) -> str:
    """Say what the attempt recorded last, and how much it printed."""
    sign, now = facts.situation.sign, facts.situation.now
    last = "It has recorded nothing yet"
    if sign is not None:
        last = f"Its newest record is {shortened(sign.what, 60)}, {how_long_ago(sign.at, now)}"
    printed = f"has printed {facts.situation.printed:,} bytes" if facts.situation.printed else "has printed nothing yet"
    return f"{last}; it {printed}."


def timeout(facts: Facts) -> str:
    """Say when the attempt is ended."""
    now, began = facts.situation.now, facts.experiment.started_at or facts.situation.now
    due = began + timedelta(seconds=facts.situation.timeout or 0)
    left = -facts.since(due)
    when = f"at {moment(due, now)}, in {wait(left)}" if left > 0 else f"now: it was due at {moment(due, now)}"
    return f"Its timeout of {duration(facts.situation.timeout)} ends it {when}."


def ended(facts: Facts) -> str:
    """Say how, when and where the last attempt ended."""
    last = facts.last
    host = f" on {last.host}" if last.host else ""
    when = f"It ended {dated(last.finished_at, facts.situation.now)}, after {duration(last.duration)}{host}."
    return f"Attempt {last.number} {ending(last)}. {when}"


def no_retry(facts: Facts) -> str:
    """Say why no retry follows a failure."""
    kind = facts.experiment.failure or ""
    budget, left = facts.budget(kind)
    last = facts.last.error_type if facts.situation.attempts else None
    if last == "WorkerKilled":
        why = "it ended each of the workers that ran it"
    elif last == "ReleasedTooOften":
        why = spent("released", int(facts.situation.retries.get("released", 100)))
    else:
        why = "its study had none left then; it has more now" if left >= 0 else spent(kind, budget)
    return f"No retry follows, because {why}."


def has_result(facts: Facts) -> str:
    """Say that the experiment is finished."""
    result = "It has a result" if facts.experiment.reason is None else f"Its result was {facts.experiment.reason}"
    return f"{result}, so it does not run again by itself."


def cancelled(facts: Facts) -> str:
    """Say when and why the experiment was cancelled."""
    view = facts.experiment
    if view.finished_at is not None:  # the time is stored only if an attempt ran
        during = f" {dated(view.finished_at, facts.situation.now)}, while attempt {view.attempt} ran"
    else:
        during = f" while it waited for attempt {view.attempt + 1}" if view.attempt else " before its first attempt"
    return f"It was cancelled{during}{reason(view.reason)}."


def paused(facts: Facts) -> str:
    """Say when and why the function paused the experiment."""
    view = facts.experiment
    at = f", {dated(view.finished_at, facts.situation.now)}" if view.finished_at else ""
    return f"Its function paused it in attempt {view.attempt}{at}{reason(view.reason)}."
