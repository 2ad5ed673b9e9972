"""The rules of explanations: a condition, its sentence, and a command with its effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from qexp.client.explain import sentences as say
from qexp.client.explain.facts import Facts
from qexp.model import Status


class ExplanationRule(NamedTuple):
    """A sentence for facts that meet a condition. Texts and commands are templates over the facts *f*."""

    condition: Callable[[Facts], object]
    text: str | Callable[[Facts], str]
    command: str | None = None
    effect: str = ""


_Rule = ExplanationRule
_START = "{start_worker}"

GROUPS: tuple[tuple[ExplanationRule, ...], ...] = (
    (
        _Rule(lambda f: f.experiment.status is Status.PAUSED, say.paused, "qexp resume {id}", "continues it"),
        _Rule(lambda f: f.experiment.status is Status.CANCELLED, say.cancelled, "qexp requeue {id}", "queues it again"),
        _Rule(lambda f: f.experiment.status is Status.DONE, say.ended, "qexp show {id}", "shows its result"),
        _Rule(lambda f: f.experiment.status is Status.FAILED, say.ended, "qexp show {id}", "shows its traceback"),
    ),
    (
        _Rule(lambda f: f.experiment.status is Status.DONE, say.has_result, "qexp requeue {id}", "runs it again"),
        _Rule(
            lambda f: f.experiment.status is Status.FAILED,
            say.no_retry,
            "qexp requeue {id}",
            "runs it again, with the code as it is now",
        ),
    ),
    (
        _Rule(lambda f: f.study_is_paused, say.study_paused, "qexp resume {study}", "resumes the study"),
        _Rule(lambda f: f.is_due_later, say.retry, "qexp cancel {id}", "cancels the retry"),
    ),
    (
        _Rule(lambda f: f.is_queued, say.announced),
        _Rule(
            lambda f: f.waits and f.own_worker,
            "The worker {f.own_worker.name}, which runs only this study, announces it when its turn comes near.",
        ),
        _Rule(lambda f: f.waits and f.window_is_full, say.window_full, "qexp config", "shows 'window'"),
        _Rule(
            lambda f: f.waits and f.leader and f.ahead,
            "The leader, {f.leader.name}, announces it when its turn comes near.",
        ),
        _Rule(lambda f: f.waits and f.leader, "It is due: the leader, {f.leader.name}, announces it within seconds."),
        _Rule(lambda f: f.waits and f.live, "It is due: the next worker that leads announces it, within seconds."),
        _Rule(lambda f: f.waits, "It is due: a worker announces it as soon as one is started."),
    ),
    (
        _Rule(
            lambda f: f.waits and f.queue_state.trouble,
            "The broker cannot be reached ({f.queue_state.trouble}): until it is repaired, workers get no messages.",
            "qexp doctor",
            "says how to repair it",
        ),
    ),
    (
        _Rule(lambda f: f.waits and f.takers and f.free <= 0, say.busy, _START, "starts another worker"),
        _Rule(lambda f: f.is_stuck, say.stuck, "qexp doctor", "checks each part"),
        _Rule(lambda f: f.waits and f.takers, say.begins_soon),
        _Rule(lambda f: f.waits and f.listening, say.takers_absent, _START, "starts another"),
        _Rule(lambda f: f.waits and f.live, say.takers_elsewhere, _START, "starts one"),
        _Rule(
            lambda f: f.waits,
            "No live worker listens on its queue '{f.study.queue}' or any other.",
            _START,
            "starts one",
        ),
    ),
    (_Rule(lambda f: f.has_no_message, say.no_message),),
    (_Rule(lambda f: f.runs, say.runs, "qexp logs {id} -f", "follows its output"),),
    (
        _Rule(lambda f: f.runner_is_heard, say.heartbeat),
        _Rule(lambda f: f.runner and any(other.id != f.runner.id for other in f.live), say.recovered_soon),
        _Rule(lambda f: f.runner, say.nobody_recovers, _START, "starts one"),
    ),
    (
        _Rule(lambda f: f.runs and f.situation.sign, say.recorded, "qexp metrics {id}", "shows its series"),
        _Rule(lambda f: f.runs, say.recorded),
    ),
    (
        _Rule(
            lambda f: f.can_be_ended and f.situation.timeout is None,
            "It has no timeout.",
            "qexp cancel {id}",
            "ends it",
        ),
        _Rule(lambda f: f.can_be_ended, say.timeout, "qexp cancel {id}", "ends it sooner"),
    ),
)
"""Each group gives at most one sentence, from its first rule whose condition holds."""
