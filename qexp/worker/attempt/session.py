"""What surrounds an attempt in the process that runs it: limits, output, what it used and left, and cleaning up."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from qexp.errors import SourceError
from qexp.functions import imports_of, note_first_modules
from qexp.model import UNKNOWN, Claim, Failure, Outcome
from qexp.settings import Settings
from qexp.store.reconnecting import PATIENCE, REFUSALS, ReconnectingConnection
from qexp.store.writes.journal import AttemptFence
from qexp.worker import masking
from qexp.worker.attempt import descendants, isolated, runner, trace
from qexp.worker.attempt.capture import Capture
from qexp.worker.attempt.code import Code
from qexp.worker.attempt.essentials import essentials
from qexp.worker.attempt.interrupts import Interrupts
from qexp.worker.attempt.isolation import Baseline
from qexp.worker.attempt.limits import born
from qexp.worker.attempt.refusal import refused
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.usage import Meter
from qexp.worker.board import Board, Post, Request
from qexp.worker.context.context import Context
from qexp.worker.context.flusher import JournalFlusher
from qexp.worker.context.postgres import PostgresJournal

Run = Callable[[Claim, Path | None, Context, Interrupts], Outcome]


class Desk:
    """
    What a process that runs attempts keeps from one to the next.

    *slot* is the number of a pool's child. None: this is the worker's main process, which must not wait for functions
    that hold the GIL; there each attempt has a Python of its own.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: ReconnectingConnection,
        scratch: Scratch,
        slot: int | None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.postgres, self.scratch = settings, postgres, scratch
        self.slot, self.is_child = slot or 0, slot is not None
        if self.is_child:
            descendants.allow()
        self.board = Board(scratch.board)
        self.board.take(self.slot)
        self.born = born(os.getpid()) or 0.0
        self.interrupts = Interrupts(self.board, self.slot)
        self.interrupts.install()
        self.capture = Capture(scratch.folder)
        self.meter = Meter(settings.energy)
        self.flusher = JournalFlusher(postgres, self.meter.sample, look)
        self.code = Code(settings, postgres)
        masking.conceal(scratch.folder)
        self.baseline = Baseline.take()
        note_first_modules()
        self.essentials = essentials()
        self.lost: list[str] = []
        """State that an attempt has changed for good: no other attempt should be made here."""

    def attempt(self, claim: Claim) -> Outcome:
        """
        Run a claim that was begun, and leave this process as it was before.

        What the attempt has recorded is written by then; the outcome is not. SystemExit: it was told to stop.
        """
        shares = self.is_child and claim.isolation != "process"
        session = Session(self, claim)
        try:
            outcome = session.run(partial(runner.run, restore=self.essentials.restore) if shares else isolated.run)
        finally:
            session.close()
        if outcome.usage == UNKNOWN:  # it ran here
            imports = imports_of(claim.function, claim.source is not None) if shares and outcome.is_done else None
            outcome = Outcome(
                outcome.result, outcome.error, outcome.departure, outcome.recorded_at, session.usage, imports
            )
        try:
            session.journal.flush(PATIENCE, final=True)
        except REFUSALS as error:
            return refused("its records", error, claim, outcome.usage)
        finally:
            session.journal.over = True  # a context that somebody has kept is of no use any more
        return session.journal.completed(outcome)

    def expect(self, experiment: int) -> None:
        """Say that this process is about to claim an experiment: it may have it before it knows."""
        post = Post(os.getpid(), self.born, experiment, 0, 0, 0.0, time.monotonic(), math.inf, 0, False, Request.NONE)
        self.board.put(self.slot, post)

    def begin(self, claim: Claim) -> bool:
        """
        Say that this process begins an attempt; False: nothing is begun any more.

        Who forbids that and then looks at the board finds what was begun.
        """
        now, pid = time.monotonic(), os.getpid()
        deadline = now + claim.timeout if claim.timeout else math.inf
        memory = claim.memory or 0
        post = Post(pid, self.born, claim.id, claim.attempt, pid, self.born, now, deadline, memory, False, Request.NONE)
        self.board.put(self.slot, post)
        return not self.board.closed

    def leave(self) -> None:
        """Say that this process is at nothing: what became of its attempt is known to others."""
        self.board.clear(self.slot)


class Session:
    """One attempt at a desk, from the moment that it is made: watched, and with its output captured."""

    def __init__(self, desk: Desk, claim: Claim) -> None:
        self.desk, self.claim = desk, claim
        desk.meter.start()
        desk.capture.start()
        self.journal = PostgresJournal(
            desk.postgres,
            AttemptFence(claim.id, claim.attempt, claim.worker),
            lambda: desk.scratch.make_attempt(claim.id, claim.attempt),
            desk.interrupts.stopping,
            claim.study,
            desk.capture.output(claim.output, claim.output),
        )
        desk.flusher.start(self.journal)

    def run(self, run: Run) -> Outcome:
        """Find the code, and run the function."""
        try:
            folder = self.desk.code.folder(self.claim)
        except SourceError as error:
            return Outcome(error=trace.of(error, Failure.INVALID, self.claim.folder))
        outcome = run(self.claim, folder, runner.context_of(self.claim, self.journal), self.desk.interrupts)
        return trace.placed(outcome, folder, self.claim.folder)

    def close(self) -> None:
        """Put back all that the function may have changed."""
        desk = self.desk
        desk.lost = desk.essentials.restore()  # first of all: the rest needs them
        desk.flusher.stop()
        desk.baseline.restore()
        desk.capture.stop()
        if desk.is_child:
            descendants.end(self.claim.id)
        self.usage = desk.meter.stop()
        desk.board.finish(desk.slot)
        desk.scratch.remove_attempt(self.claim.id, self.claim.attempt)
