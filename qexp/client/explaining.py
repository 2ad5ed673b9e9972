"""Why an experiment is in the state that it is in: what is known of it becomes sentences, each with a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from qexp.client.facts import Known
from qexp.client.phrases import (
    are,
    because,
    clock,
    dated,
    ended_by,
    exhausted,
    how_long_ago,
    many,
    moment,
    short,
    span,
)
from qexp.model import DEFAULT_QUEUE, Failure, Status, ago, duration
from qexp.store.situation import Situation
from qexp.store.workers import State, WorkerView
from qexp.truncation import listed

_LONG = timedelta(minutes=2)
"""After this an experiment that a free child could take looks stuck: whatever was lost is announced again by then."""
_LAST = 6
"""Attempts that the history names; of earlier ones it says how many they were."""


@dataclass(frozen=True)
class Sentence:
    """One thing that is so, and, where one changes or shows it, a command with what that does."""

    text: str
    command: str | None = None
    effect: str = ""


@dataclass(frozen=True)
class Explanation:
    """Why an experiment is in its state, and how it came there."""

    id: int
    study: str
    status: Status
    sentences: list[Sentence]
    history: str
    """The attempts on one line, such as `1 lost 12:00:00, 2 error 12:05:22`; empty if there was none."""


def explain(known: Known) -> Explanation:
    """Say why an experiment is in its state, in one to four sentences, what holds it up first."""
    view = known.situation.experiment
    say = _SAY[view.status]
    return Explanation(view.id, view.study, view.status, list(say(known))[:4], history(known.situation))


def _pending(known: Known) -> Iterator[Sentence]:
    now = known.situation
    if now.study.paused_at is not None:
        yield study_paused(now)
        return
    if due_later(now):
        yield retry(now)
        return
    yield not_announced(known)
    yield from out_of_reach(known)
    yield from takers(now)


def _queued(known: Known) -> Iterator[Sentence]:
    now = known.situation
    if now.study.paused_at is not None:
        yield study_paused(now)
        return
    yield announced(now)
    yield from out_of_reach(known)
    yield from takers(now)
    yield from message(known)


def _running(known: Known) -> Iterator[Sentence]:
    now = known.situation
    if now.study.paused_at is not None:
        yield study_paused(now)
    yield runs(now)
    yield from runner(known)
    yield recorded(now)
    if now.runner is None or now.runner.live:  # a worker that is gone ends nothing
        yield end(now)


def _failed(known: Known) -> Iterator[Sentence]:
    yield ended(known.situation)
    yield no_retry(known.situation)


def _done(known: Known) -> Iterator[Sentence]:
    yield ended(known.situation)
    yield again(known.situation)


def _cancelled(known: Known) -> Iterator[Sentence]:
    yield cancelled(known.situation)


def _paused(known: Known) -> Iterator[Sentence]:
    yield paused(known.situation)
    if known.situation.study.paused_at is not None:
        yield study_paused(known.situation)


_SAY: dict[Status, Callable[[Known], Iterator[Sentence]]] = {
    Status.PENDING: _pending,
    Status.QUEUED: _queued,
    Status.RUNNING: _running,
    Status.DONE: _done,
    Status.FAILED: _failed,
    Status.CANCELLED: _cancelled,
    Status.PAUSED: _paused,
}


def study_paused(now: Situation) -> Sentence:
    """Say since when and why the study rests."""
    name, since = now.study.name, now.study.paused_at or now.now
    why = because(now.study.pause_reason)
    text = f"Its study is paused since {moment(since, now.now)}{why}."
    if now.experiment.status is Status.RUNNING:
        text += " What runs is asked to leave, and ended within seconds."
    return Sentence(text, f"qexp resume {name}", "lets the study go on")


def due_later(now: Situation) -> bool:
    """Say whether it waits for the time of its next attempt."""
    due = now.experiment.not_before
    return due is not None and due > now.now


def retry(now: Situation) -> Sentence:
    """Say when the next attempt is due, what the last one ended by, and how many retries are left."""
    due, last = now.experiment.not_before or now.now, now.attempts[-1]
    budget, left = budget_of(now, last.outcome)
    return Sentence(
        f"It waits for a retry at {moment(due, now.now)}, in {span((due - now.now).total_seconds())}: attempt "
        f"{last.number} {ended_by(last)}. Of {many(budget, 'retry', 'retries')} for '{last.outcome}' {max(left, 0)} "
        f"{are(left)} left after this one.",
        f"qexp cancel {now.experiment.id}",
        "ends it instead",
    )


def not_announced(known: Known) -> Sentence:
    """Say why a pending experiment that is due was not announced yet."""
    now, place = known.situation, known.situation.place
    window = known.settings.window
    if place is not None and place.window >= window:
        return Sentence(
            f"It is not announced yet: the window of its queue '{now.study.queue}' is full "
            f"({place.window:,} announced, setting 'window': {window:,}), and {place.ahead:,} are before it.",
            "qexp config",
            "shows the setting 'window'",
        )
    leader = next((worker for worker in now.workers if worker.leads), None)
    if leader is not None and place is not None and place.ahead:
        return Sentence(f"The worker that leads, {leader.name}, announces it when its turn comes near.")
    if leader is not None:
        return Sentence(f"It is due: the worker that leads, {leader.name}, announces it within seconds.")
    if any(worker.live for worker in now.workers):
        return Sentence("It is due: a worker announces it as soon as one leads, within seconds.")
    return Sentence("It is due: a worker announces it as soon as one is there.")


def announced(now: Situation) -> Sentence:
    """Say since when a queued experiment is announced."""
    if now.queued_at is None:
        return Sentence(f"It is announced on the queue '{now.study.queue}'.")
    return Sentence(f"It was announced on the queue '{now.study.queue}' {dated(now.queued_at, now.now)}.")


def out_of_reach(known: Known) -> Iterator[Sentence]:
    """Say that the broker does not answer, if so."""
    if known.doorbell.trouble is not None:
        text = f"The broker is out of reach ({known.doorbell.trouble}): no worker is told of it until that is repaired."
        yield Sentence(text, "qexp doctor", "says how to repair it")


def takers(now: Situation) -> Iterator[Sentence]:
    """Say who could take a waiting experiment: nobody, others first, or a free child."""
    queue, start = now.study.queue, start_worker(now.study.queue)
    listening = [worker for worker in now.workers if queue in worker.queues]
    live = [worker for worker in listening if worker.live]
    elsewhere = sorted({queue for worker in now.workers if worker.live for queue in worker.queues})
    if live:
        yield _turn(now, live)
    elif listening:
        states = listed([*map(_absence, listening)], 3, "; ")
        yield Sentence(f"No live worker listens on its queue '{queue}': {states}.", start, "starts another")
    elif elsewhere:
        queues = ", ".join(elsewhere)
        text = f"No live worker listens on its queue '{queue}'; live workers listen on: {queues}."
        yield Sentence(text, start, "starts one")
    else:
        yield Sentence(f"No live worker is there, on its queue '{queue}' or any other.", start, "starts one")


def _turn(now: Situation, live: list[WorkerView]) -> Sentence:
    """Say how many are before it, and how many children of the workers on its queue are busy."""
    children, busy = sum(worker.concurrency for worker in live), sum(worker.busy for worker in live)
    ahead = now.place.ahead if now.place is not None else 0
    before = f"{many(ahead, 'other', 'others')} {are(ahead)} before it" if ahead else "It is the next one"
    if busy >= children:
        text = f"{before} on the queue, and {_children(children, live)} busy."
        return Sentence(text, start_worker(now.study.queue), "starts another worker")
    free = f"{children - busy} of {many(children, 'child', 'children')} on its queue {are(children - busy)} free"
    waited = now.now - now.queued_at if now.queued_at is not None else timedelta()
    if now.experiment.status is Status.QUEUED and ahead < children - busy and waited > _LONG:
        return Sentence(f"{before}, {free}, and yet it has not begun.", "qexp doctor", "looks at each link")
    return Sentence(f"{before}; {free}, so it begins {'soon' if ahead else 'at once'}.")


def _children(children: int, live: list[WorkerView]) -> str:
    where = live[0].name if len(live) == 1 else f"the {len(live)} workers that listen"
    return f"the only child of {where} is" if children == 1 else f"all {children} children of {where} are"


def _absence(worker: WorkerView) -> str:
    """Say why a worker that listens takes nothing."""
    if worker.state is State.QUARANTINED:
        why = because(worker.quarantine_reason)
        return f"{worker.name} is quarantined{why} (repair {worker.host}, then start it again)"
    return f"{worker.name} has been silent for {span(worker.silence)}"


def message(known: Known) -> Iterator[Sentence]:
    """Say that the broker does not hold its message, if so: nothing is next on its list, or what came after it is."""
    now, bell = known.situation, known.doorbell
    passed = bell.next_at is not None and now.queued_at is not None and now.queued_at < bell.next_at
    if bell.depth == 0 or passed:
        when = "within seconds" if any(worker.leads for worker in now.workers) else "as soon as a worker is there"
        yield Sentence(f"The broker holds no message of it: a worker is taking it, or it is announced again {when}.")


def runs(now: Situation) -> Sentence:
    """Say where and since when the attempt runs."""
    view = now.experiment
    began = view.started_at or now.now
    process = f", process {now.pid}" if now.pid is not None else ""
    where = f" on {now.runner.host}{process}, by the worker {now.runner.name}" if now.runner is not None else ""
    text = f"Attempt {view.attempt} runs since {moment(began, now.now)} ({span((now.now - began).total_seconds())})"
    return Sentence(f"{text}{where}.", f"qexp logs {view.id} -f", "follows what it prints")


def runner(known: Known) -> Iterator[Sentence]:
    """Say when its worker was last heard of, and what comes of it where that was too long ago."""
    now, settings = known.situation, known.settings
    worker = now.runner
    if worker is None:
        return
    if worker.stopped_at is None and worker.silence <= min(2 * settings.heartbeat, settings.lease):
        more = f"; it is quarantined{because(worker.quarantine_reason)}" if worker.state is State.QUARANTINED else ""
        yield Sentence(f"Its worker was last heard of {ago(worker.silence)}{more}.")
        return
    silence = worker.silence
    if worker.stopped_at is not None:
        silence = (now.now - worker.stopped_at).total_seconds()
    what = "stopped" if worker.stopped_at is not None else "is silent: it was last heard of"
    text = f"Its worker {what} {ago(silence)}. "
    left = settings.lease - silence
    when = f"in {span(left)}" if left >= 1 else "within seconds"
    budget, rest = budget_of(now, Failure.LOST)
    then = f"to run as attempt {now.experiment.attempt + 1}" if rest > 0 else f"and fails {exhausted('lost', budget)}"
    if any(other.live and other.id != worker.id for other in now.workers):
        yield Sentence(f"{text}If that lasts, the experiment is taken back from it {when}, {then}.")
    else:
        text += f"The experiment is taken back by another worker, {then}, but none is there."
        yield Sentence(text, start_worker(now.study.queue), "starts one")


def recorded(now: Situation) -> Sentence:
    """Say what the attempt that runs has recorded last, and how much it has printed."""
    printed = f"has printed {now.printed:,} bytes" if now.printed else "has printed nothing yet"
    if now.sign is None:
        return Sentence(f"It has recorded nothing yet, and {printed}.")
    text = f"It recorded last {short(now.sign.what, 60)}, {how_long_ago(now.sign.at, now.now)}, and {printed}."
    return Sentence(text, f"qexp metrics {now.experiment.id}", "shows its series")


def end(now: Situation) -> Sentence:
    """Say when the attempt that runs is ended."""
    cancel = f"qexp cancel {now.experiment.id}"
    if now.timeout is None or now.experiment.started_at is None:
        return Sentence("It has no timeout.", cancel, "ends it")
    due = now.experiment.started_at + timedelta(seconds=now.timeout)
    left = (due - now.now).total_seconds()
    when = f"at {moment(due, now.now)}, in {span(left)}" if left > 0 else f"now, since {moment(due, now.now)}"
    return Sentence(f"Its timeout of {duration(now.timeout)} ends it {when}.", cancel, "ends it sooner")


def ended(now: Situation) -> Sentence:
    """Say how, when and where the last attempt ended."""
    last = now.attempts[-1]
    how = "succeeded" if last.outcome == "done" else ended_by(last)
    after = f", after {duration(last.duration)}" + (f" on {last.host}" if last.host else "")
    effect = "shows its result" if last.outcome == "done" else "shows its traceback"
    text = f"Attempt {last.number} {how}. That was {dated(last.finished_at, now.now)}{after}."
    return Sentence(text, f"qexp show {now.experiment.id}", effect)


def no_retry(now: Situation) -> Sentence:
    """Say why a failed experiment is not tried again by itself."""
    kind = now.experiment.failure or ""
    budget, left = budget_of(now, kind)
    last = now.attempts[-1].error_type if now.attempts else None
    if last == "WorkerKilled":
        why = "as it has ended each of the workers that ran it"
    elif last == "ReleasedTooOften":
        why = exhausted("released", int(now.retries.get("released", 100)))
    else:
        why = "as its study had none left then; it gives more since" if left >= 0 else exhausted(kind, budget)
    text = f"No retry follows {why}."
    return Sentence(text, f"qexp requeue {now.experiment.id}", "runs it again, with the code as it is now")


def again(now: Situation) -> Sentence:
    """Say how a done experiment is run again."""
    result = "It has a result" if now.experiment.reason is None else f"Its result was {now.experiment.reason}"
    text = f"{result}, so nothing of it moves any more."
    return Sentence(text, f"qexp requeue {now.experiment.id}", "runs it again all the same")


def cancelled(now: Situation) -> Sentence:
    """Say when, while what and why it was cancelled."""
    view = now.experiment
    if view.finished_at is not None:  # only of those that ran the moment is kept
        during = f" {dated(view.finished_at, now.now)}, while attempt {view.attempt} ran"
    else:
        during = f" while it waited for attempt {view.attempt + 1}" if view.attempt else " before it ever ran"
    text = f"It was cancelled{during}{because(view.reason)}."
    return Sentence(text, f"qexp requeue {view.id}", "takes it back into the line")


def paused(now: Situation) -> Sentence:
    """Say when and why its function has paused it."""
    view = now.experiment
    at = f", {dated(view.finished_at, now.now)}" if view.finished_at else ""
    text = f"Its own function paused it in attempt {view.attempt}{at}{because(view.reason)}."
    return Sentence(text, f"qexp resume {view.id}", "lets it go on from its checkpoint")


def history(now: Situation) -> str:
    """Return its attempts on one line, and where a person has sent it back."""
    parts = []
    for attempt in now.attempts:
        parts.append(f"{attempt.number} {attempt.outcome} {clock(attempt.finished_at, now.now)}")
        if attempt.number == now.forgiven:
            parts.append("resumed" if attempt.outcome == "paused" else "requeued")
    shown = parts[-_LAST:]
    earlier = [f"{len(parts) - len(shown)} earlier"] if len(parts) > len(shown) else []
    running = [f"{now.experiment.attempt} running"] if now.experiment.status is Status.RUNNING else []
    return ", ".join([*earlier, *shown, *running])


def budget_of(now: Situation, kind: str) -> tuple[int, int]:
    """Return how many retries of a kind of failure the study gives, and how many are left; -1: one too many failed."""
    budget = int(now.retries.get(kind, 0))
    used = sum(attempt.number > now.forgiven and attempt.outcome == kind for attempt in now.attempts)
    return budget, budget - used


def start_worker(queue: str) -> str:
    """Return the command that starts a worker on a queue."""
    return "celery -A qexp worker" + ("" if queue == DEFAULT_QUEUE else f" -Q {queue}")
