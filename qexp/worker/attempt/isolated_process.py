"""`isolation: process`: runs an attempt in a new Python, for functions that leave threads or GPU memory behind."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import struct
import subprocess
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qexp import settings
from qexp.functions import imports_of, note_first_modules
from qexp.model import Claim, Departure, Error, Failure, Imports, Outcome, Usage
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.store.writes.journal import AttemptFence
from qexp.worker import password_masking
from qexp.worker.attempt import crash_stack, descendants, function_call, process_control
from qexp.worker.attempt.process_state_for_qexp import state_for_qexp
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.signals import AttemptSignals
from qexp.worker.attempt.usage import UsageMeter
from qexp.worker.context.context import Context
from qexp.worker.context.journal_flusher import JournalFlusher
from qexp.worker.context.postgres_journal import PostgresJournal
from qexp.worker.slots import SlotTable


def run(claim: Claim, folder: Path | None, context: Context, signals: AttemptSignals, output: Path) -> Outcome:
    """
    Run a claimed experiment in a new Python process and return its outcome; the process ends with this one.

    *output* is the file into which both processes print.
    """
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "qexp.worker.attempt.isolated_process", str(writer)],
        stdin=subprocess.PIPE,
        pass_fds=[writer],
        start_new_session=True,  # a signal that the function sends to its group ends nothing else
    )
    os.close(writer)
    try:
        with signals.interruptible(), os.fdopen(reader, "rb") as answer:
            signals.slots.set_process(signals.slot, process.pid, process_control.born(process.pid) or 0.0)
            _send(process, _request(claim, folder, signals))
            if data := _answer(answer.fileno(), process):
                return outcome_from(json.loads(data))
            died = process_control.death_error(signals.slots.read(signals.slot), process.wait())
            return Outcome(error=crash_stack.with_stack(died, output, folder))
    finally:
        process_control.kill_tree(process.pid)
        process.wait()


def _send(process: subprocess.Popen[bytes], request: bytes) -> None:
    """Write a request; if the process dies before it has read all of it, its missing answer shows that."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin as stream:
            stream.write(request)


_LENGTH = struct.Struct("=q")
_INTERVAL = 0.1
"""Seconds between two checks whether a process without an answer has ended."""


def _answer(reader: int, process: subprocess.Popen[bytes]) -> bytes:
    """
    Return the answer of a process. Returns nothing if it died before it answered.

    The pipe may stay open after the process has ended, since forks of the function that still run hold it.
    """
    found, expected = b"", _LENGTH.size
    while len(found) < expected:
        ended = process.poll() is not None
        if select.select([reader], [], [], 0 if ended else _INTERVAL)[0]:
            chunk = os.read(reader, 1 << 20)
            found += chunk
            if not chunk:
                return b""
        elif ended:
            return b""
        if len(found) >= _LENGTH.size:
            expected = _LENGTH.size + _LENGTH.unpack_from(found)[0]
    return found[_LENGTH.size :]


def _request(claim: Claim, folder: Path | None, signals: AttemptSignals) -> bytes:
    claim = claim._replace(folder=folder)
    return json.dumps({"claim": _plain_claim(claim), "slot": signals.slot, "parent": os.getpid()}).encode()


def main(arguments: list[str]) -> None:
    """Run the claim in standard input, and write its outcome to the descriptor that is the argument."""
    request = json.load(sys.stdin)
    process_control.die_with_parent(request["parent"])
    outcome = _attempt(_claim_from(request["claim"]), request["slot"])
    data = json.dumps(dataclasses.asdict(outcome)).encode()
    with os.fdopen(int(arguments[0]), "wb") as answer:
        answer.write(_LENGTH.pack(len(data)) + data)


def _attempt(claim: Claim, slot: int) -> Outcome:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    crash_stack.print_stacks(2)
    descendants.allow()
    loaded = settings.load()
    password_masking.set_passwords(loaded)
    postgres, scratch = ReconnectingConnection(loaded), Scratch(claim.worker)
    signals = AttemptSignals(SlotTable(scratch.slots), slot)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the parent process gets it too, and decides
    signals.install()
    journal = PostgresJournal(
        postgres,
        AttemptFence(claim.id, claim.attempt, claim.worker),
        lambda: scratch.make_attempt(claim.id, claim.attempt),
        signals.stopping,
        claim.study,
    )
    meter = UsageMeter(loaded.energy)
    flusher = JournalFlusher(postgres, meter.sample)
    meter.start()
    flusher.start(journal)
    restore = state_for_qexp().restore
    note_first_modules()
    outcome = function_call.run(claim, claim.folder, function_call.context_of(claim, journal), signals, restore)
    restore()
    flusher.stop()
    descendants.end(claim.id, everything=True)
    journal.flush(PATIENCE, final=True)
    imports = imports_of(claim.function, claim.source is not None) if outcome.is_done else None
    return journal.completed(dataclasses.replace(outcome, usage=meter.stop(), imports=imports))


def _plain_claim(claim: Claim) -> dict[str, Any]:
    """Return a claim as data; `_claim_from` reads it."""
    folder = None if claim.folder is None else str(claim.folder)
    return {**claim._asdict(), "folder": folder, "worker": str(claim.worker), "fingerprint": str(claim.fingerprint)}


def _claim_from(facts: Mapping[str, Any]) -> Claim:
    """Return the claim that `_plain_claim` converted."""
    typed = {
        "worker": uuid.UUID(facts["worker"]),
        "fingerprint": uuid.UUID(facts["fingerprint"]),
        "folder": Path(facts["folder"]) if facts["folder"] else None,
        "result_names": tuple(facts["result_names"]),
    }
    return Claim(**{**facts, **typed})


def outcome_from(facts: Mapping[str, Any]) -> Outcome:
    """Return the outcome that `dataclasses.asdict` converted."""
    error, departure = facts["error"], facts["departure"]
    return Outcome(
        facts["result"],
        error and Error(**{**error, "failure": Failure(error["failure"])}),
        departure and Departure(**departure),
        facts["recorded_at"],
        Usage(**facts["usage"]),
        facts["imports"] and Imports(tuple(facts["imports"]["files"]), tuple(facts["imports"]["packages"])),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
