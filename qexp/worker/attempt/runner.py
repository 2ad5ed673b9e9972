"""Run attempts in this process: prepare the environment of each, and restore the process afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from qexp.errors import SourceError
from qexp.functions import imports_of, note_first_modules
from qexp.model import UNKNOWN, Claim, Failure, Outcome
from qexp.settings import Settings
from qexp.store.reconnecting import PATIENCE, REFUSALS, ReconnectingConnection
from qexp.store.writes.journal import AttemptFence
from qexp.worker import password_masking
from qexp.worker.attempt import crash_stack, descendants, failure, function_call, isolated_process
from qexp.worker.attempt.code import AttemptCode
from qexp.worker.attempt.output_capture import Capture
from qexp.worker.attempt.process_state_for_experiments import StateForExperiments
from qexp.worker.attempt.process_state_for_qexp import state_for_qexp
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.signals import AttemptSignals
from qexp.worker.attempt.usage import UsageMeter
from qexp.worker.context.context import Context
from qexp.worker.context.journal_flusher import JournalFlusher
from qexp.worker.context.postgres_journal import PostgresJournal
from qexp.worker.slots import SlotTable

Run = Callable[[Claim, Path | None, Context, AttemptSignals], Outcome]


class AttemptRunner:
    """
    Runs attempts one after the other, with the signal handlers, output file and initial state that they share.

    *slot* is the number of a pool child, or None in the worker's main process. The main process must not wait for
    functions that hold the GIL, so it starts a Python process for each attempt.
    """

    def __init__(
        self,
        settings: Settings,
        postgres: ReconnectingConnection,
        scratch: Scratch,
        slots: SlotTable,
        slot: int | None,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.postgres, self.scratch = settings, postgres, scratch
        self.slot, self.is_child = slot or 0, slot is not None
        if self.is_child:
            descendants.allow()
        self.slots = slots
        self.signals = AttemptSignals(slots, self.slot)
        self.signals.install()
        self.capture = Capture(scratch.folder)
        self.meter = UsageMeter(settings.energy)
        self.flusher = JournalFlusher(postgres, self.meter.sample, each_second)
        self.code = AttemptCode(settings, postgres)
        password_masking.hide_from_functions(scratch.folder)
        self.state_for_experiments = StateForExperiments.take()
        note_first_modules()
        self.state_for_qexp = state_for_qexp()
        self.unrestored: list[str] = []
        """Names of settings that could not be restored after the last attempt: replace this process."""

    def attempt(self, claim: Claim) -> Outcome:
        """
        Run a claimed experiment, write its journal, restore this process, and return the outcome.

        Does not record the outcome. Raises SystemExit if a signal stops this process.
        """
        shares = self.is_child and claim.isolation != "process"
        environment = AttemptEnvironment(self, claim)
        try:
            outcome = environment.run(
                partial(function_call.run, restore=self.state_for_qexp.restore)
                if shares
                else partial(isolated_process.run, output=self.capture.path)
            )
        finally:
            environment.close()
        if outcome.usage == UNKNOWN:  # it ran in this process
            imports = imports_of(claim.function, claim.source is not None) if shares and outcome.is_done else None
            outcome = Outcome(
                outcome.result, outcome.error, outcome.departure, outcome.recorded_at, environment.usage, imports
            )
        try:
            environment.journal.flush(PATIENCE, final=True)
        except REFUSALS as error:
            return Outcome(error=failure.not_storable("its records", error, claim.folder), usage=outcome.usage)
        finally:
            environment.journal.over = True  # a context that the user's code keeps raises from now on
        return environment.journal.completed(outcome)


class AttemptEnvironment:
    """The environment of one attempt: its journal, captured output and usage, until `close` restores the process."""

    def __init__(self, runner: AttemptRunner, claim: Claim) -> None:
        self.runner, self.claim = runner, claim
        runner.meter.start()
        runner.capture.start()
        crash_stack.print_stacks(runner.capture.descriptor)
        self.journal = PostgresJournal(
            runner.postgres,
            AttemptFence(claim.id, claim.attempt, claim.worker),
            lambda: runner.scratch.make_attempt(claim.id, claim.attempt),
            runner.signals.stopping,
            claim.study,
            runner.capture.output(claim.output, claim.output),
        )
        runner.flusher.start(self.journal)

    def run(self, run: Run) -> Outcome:
        """Find the code and run the function."""
        try:
            folder = self.runner.code.folder(self.claim)
        except SourceError as error:
            return Outcome(error=failure.describe(error, Failure.INVALID, self.claim.folder))
        outcome = run(self.claim, folder, function_call.context_of(self.claim, self.journal), self.runner.signals)
        return failure.placed(outcome, folder, self.claim.folder)

    def close(self) -> None:
        """Restore all settings that the function may have changed."""
        runner = self.runner
        if runner.is_child:  # functions do not run in the main process, whose other threads open and close descriptors
            runner.unrestored = runner.state_for_qexp.restore()  # first, since the rest needs these settings
        runner.flusher.stop()
        runner.state_for_experiments.restore()
        runner.capture.stop()
        if runner.is_child:
            descendants.end(self.claim.id)
        self.usage = runner.meter.stop()
        runner.slots.mark_function_over(runner.slot)
        runner.scratch.remove_attempt(self.claim.id, self.claim.attempt)
