"""`isolation: process`: an attempt in a Python of its own, for functions that leave threads or GPU memory behind."""

from __future__ import annotations

import ctypes
import dataclasses
import json
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from qexp import settings
from qexp.model import Failure
from qexp.store.hot import Claim, Departure, Error, Outcome, Usage
from qexp.store.journal import Writer
from qexp.store.line import PATIENCE, Line
from qexp.worker.attempt import limits, runner
from qexp.worker.attempt.interrupts import Interrupts
from qexp.worker.attempt.scratch import Scratch
from qexp.worker.attempt.usage import Meter
from qexp.worker.board import Board
from qexp.worker.context.context import Context
from qexp.worker.context.journal import PostgresJournal
from qexp.worker.context.recorder import Recorder

_PARENT_DIES = 1  # PR_SET_PDEATHSIG


def run(claim: Claim, folder: Path | None, context: Context, interrupts: Interrupts) -> Outcome:
    """Run a claimed experiment in a fresh Python and return its outcome; it ends with this process."""
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "qexp.worker.attempt.isolated", str(writer)], stdin=subprocess.PIPE, pass_fds=[writer]
    )
    os.close(writer)
    try:
        with interrupts.armed(), os.fdopen(reader, "rb") as answer:
            interrupts.board.run_in(interrupts.slot, process.pid)
            process.communicate(_request(claim, folder, interrupts))
            return _outcome(answer.read(), process, interrupts)
    finally:
        limits.kill_tree(process.pid)
        process.wait()


def _request(claim: Claim, folder: Path | None, interrupts: Interrupts) -> bytes:
    facts = {**vars(claim), "folder": folder, "worker": str(claim.worker), "fingerprint": str(claim.fingerprint)}
    return json.dumps({"claim": facts, "slot": interrupts.slot, "parent": os.getpid()}, default=str).encode()


def _outcome(answer: bytes, process: subprocess.Popen[bytes], interrupts: Interrupts) -> Outcome:
    if answer:
        found = json.loads(answer)
        error, departure = found["error"], found["departure"]
        return Outcome(
            found["result"],
            error and Error(**{**error, "failure": Failure(error["failure"])}),
            departure and Departure(**departure),
            found["recorded_at"],
            Usage(**found["usage"]),
        )
    post = interrupts.board.get(interrupts.slot)
    return Outcome(error=limits.death(post, process.wait()))


def main(arguments: list[str]) -> None:
    """Run what standard input says, and write the outcome to the file descriptor that is the argument."""
    request = json.load(sys.stdin)
    _end_with(request["parent"])
    facts: dict[str, Any] = request["claim"]
    facts |= {
        "worker": uuid.UUID(facts["worker"]),
        "fingerprint": uuid.UUID(facts["fingerprint"]),
        "folder": Path(facts["folder"]) if facts["folder"] else None,
        "result_names": tuple(facts["result_names"]),
    }
    outcome = _attempt(Claim(**facts), request["slot"])
    with os.fdopen(int(arguments[0]), "w") as answer:
        json.dump(dataclasses.asdict(outcome), answer)


def _attempt(claim: Claim, slot: int) -> Outcome:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    loaded = settings.load()
    line, scratch = Line(loaded), Scratch(claim.worker)
    interrupts = Interrupts(Board(scratch.board), slot)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who started this process gets it too, and decides
    interrupts.install()
    journal = PostgresJournal(
        line,
        Writer(claim.id, claim.attempt, claim.worker),
        lambda: scratch.make_attempt(claim.id, claim.attempt),
        interrupts.stopping,
        claim.study,
    )
    meter = Meter(loaded.energy)
    recorder = Recorder(line, meter.sample)
    meter.start()
    recorder.watch(journal)
    outcome = runner.run(claim, claim.folder, runner.context_of(claim, journal), interrupts)
    recorder.leave()
    journal.flush(PATIENCE, final=True)
    return journal.completed(dataclasses.replace(outcome, usage=meter.stop()))


def _end_with(parent: int) -> None:
    """Have this process killed when the one that started it dies, however it dies; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIES, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
