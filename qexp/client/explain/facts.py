"""The facts about one experiment, read from Postgres and from the broker."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from qexp.errors import BrokerUnreachableError
from qexp.model import Status
from qexp.queueing import broker
from qexp.settings import Settings
from qexp.store.connection import Connection
from qexp.store.reads import explain_data
from qexp.store.reads.experiment_rows import AttemptView, ExperimentView
from qexp.store.reads.explain_data import ExperimentSituation
from qexp.store.reads.study_rows import StudyRow
from qexp.store.reads.workers import WorkerView
from qexp.store.writes import publishing

_LONG = timedelta(minutes=2)
"""How long an experiment may wait beside a free child; the leader replaces a lost message sooner."""


@dataclass(frozen=True)
class QueueState:
    """The broker's answer about the queue that an experiment waits in."""

    depth: int | None = None
    """Messages in the queue. None if the broker was not asked or did not answer."""
    next_at: datetime | None = None
    """When the experiments of the next message were announced."""
    trouble: str | None = None
    """The reason that the broker did not answer."""


@dataclass(frozen=True)
class Facts:
    """Everything that an explanation needs."""

    situation: ExperimentSituation
    queue_state: QueueState
    settings: Settings

    @property
    def experiment(self) -> ExperimentView:
        """The experiment that is explained."""
        return self.situation.experiment

    @property
    def study(self) -> StudyRow:
        """Its study."""
        return self.situation.study

    @property
    def last(self) -> AttemptView:
        """The last attempt that ended."""
        return self.situation.attempts[-1]

    @property
    def study_is_paused(self) -> bool:
        """Whether the experiment is not finished, and a person or the failure limit paused its study."""
        closed = (Status.DONE, Status.FAILED, Status.CANCELLED)
        return self.study.paused_at is not None and self.experiment.status not in closed

    @property
    def is_due_later(self) -> bool:
        """Whether it waits for the time of a retry."""
        due = self.experiment.not_before
        return self.experiment.status is Status.PENDING and due is not None and due > self.situation.now

    @property
    def waits(self) -> bool:
        """Whether it could begin now if a worker took it."""
        waiting = self.experiment.status in (Status.PENDING, Status.QUEUED)
        return waiting and not self.study_is_paused and not self.is_due_later

    @property
    def is_queued(self) -> bool:
        """Whether it is announced and could begin now."""
        return self.waits and self.experiment.status is Status.QUEUED

    @property
    def leader(self) -> WorkerView | None:
        """The leader."""
        return next((worker for worker in self.situation.workers if worker.leads), None)

    @property
    def live(self) -> list[WorkerView]:
        """The workers that take experiments, of any queue."""
        return [worker for worker in self.situation.workers if worker.live]

    @property
    def listening(self) -> list[WorkerView]:
        """The workers on its queue, silent and quarantined ones too."""
        return [worker for worker in self.situation.workers if worker.serves(self.study.name, self.study.queue)]

    @property
    def takers(self) -> list[WorkerView]:
        """The workers that take experiments of its queue."""
        return [worker for worker in self.listening if worker.live]

    @property
    def own_worker(self) -> WorkerView | None:
        """A live worker that takes only this study, as `qexp run` starts it."""
        return next((worker for worker in self.live if worker.serves_only(self.study.name)), None)

    @property
    def children(self) -> int:
        """The number of children of the takers."""
        return sum(worker.concurrency for worker in self.takers)

    @property
    def free(self) -> int:
        """Children of the takers that run nothing."""
        return self.children - sum(worker.busy for worker in self.takers)

    @property
    def ahead(self) -> int:
        """The number of experiments that workers take before this one."""
        return self.situation.place.ahead if self.situation.place is not None else 0

    @property
    def window_is_full(self) -> bool:
        """Whether as many experiments of its queue are announced as the setting allows."""
        return self.situation.place is not None and self.situation.place.window >= self.settings.window

    @property
    def is_stuck(self) -> bool:
        """Whether it has waited too long although a child is free."""
        queued_at = self.situation.queued_at
        waited = self.situation.now - queued_at if queued_at is not None else timedelta()
        return self.is_queued and self.ahead < self.free and waited > _LONG

    @property
    def has_no_message(self) -> bool:
        """Whether it is queued, and the queue is empty or its next message was announced later."""
        state, queued_at = self.queue_state, self.situation.queued_at
        passed = state.next_at is not None and queued_at is not None and queued_at < state.next_at
        return self.is_queued and (state.depth == 0 or passed)

    @property
    def runs(self) -> bool:
        """Whether an attempt runs."""
        return self.experiment.status is Status.RUNNING

    @property
    def runner(self) -> WorkerView | None:
        """The worker of the attempt that runs."""
        return self.situation.runner if self.runs else None

    @property
    def runner_is_heard(self) -> bool:
        """Whether the worker of the attempt that runs sent a heartbeat lately."""
        heard = min(2 * self.settings.heartbeat, self.settings.lease)
        return self.runner is not None and self.runner.stopped_at is None and self.runner.silence <= heard

    @property
    def can_be_ended(self) -> bool:
        """Whether an attempt runs, on a worker that ends it at its timeout."""
        return self.runs and (self.runner is None or self.runner.live)

    def since(self, moment: datetime) -> float:
        """Return the seconds from a moment to now."""
        return (self.situation.now - moment).total_seconds()

    def budget(self, kind: str) -> tuple[int, int]:
        """Return the retries for a kind of failure, and how many are left; -1 after the failure that had none."""
        now = self.situation
        budget = int(now.retries.get(kind, 0))
        used = sum(attempt.number > now.forgiven and attempt.outcome == kind for attempt in now.attempts)
        return budget, budget - used


def gather(settings: Settings, begin: Callable[[], AbstractContextManager[Connection]], experiment: int) -> Facts:
    """Read the facts about an experiment. If the broker is down, this is one of the facts."""
    with begin() as connection:
        queue = explain_data.waits_on(connection, experiment)
    # ask the broker first: if Postgres says queued afterwards, no worker had taken the message
    messages, trouble = (None, None) if queue is None else _waiting_messages(settings, queue)
    with begin() as connection:
        found = explain_data.situation(connection, experiment, settings.lease)
        if messages is None:
            return Facts(found, QueueState(trouble=trouble), settings)
        next_at = publishing.oldest_queued(connection, messages.next_ids)
        return Facts(found, QueueState(messages.number, next_at), settings)


def _waiting_messages(settings: Settings, queue: tuple[str, int]) -> tuple[broker.WaitingMessages | None, str | None]:
    """Return the messages on a queue, or the reason that the broker did not answer."""
    try:
        with broker.connected(settings) as connection:
            return broker.waiting(connection, [queue])[queue], None
    except BrokerUnreachableError as error:
        return None, f"{error.place}: {error.reason}"
