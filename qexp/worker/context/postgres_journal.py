"""The journal that writes a context's records to Postgres: in batches, and completely before an attempt ends."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from qexp import jsonb
from qexp.current_process import is_this_process
from qexp.errors import ContextError
from qexp.file_storage import Files
from qexp.model import Json, Outcome, OutputPiece, with_recorded
from qexp.settings import Settings
from qexp.store.connection import RawConnection
from qexp.store.reconnecting import PATIENCE, ReconnectingConnection
from qexp.store.writes import journal
from qexp.store.writes.journal import AttemptFence, Entry, Point
from qexp.worker.context.checkpoint_encoding import EncodedCheckpoint, Load, decode
from qexp.worker.context.loop_state import FinishedSteps
from qexp.worker.context.output_reader import Output

log = logging.getLogger(__name__)

LARGEST = 8_000_000
"""The most bytes of JSON in a result, a recorded part or a row."""


@dataclass
class _Batch:
    """Records taken from the buffers that are not written yet."""

    points: dict[str, list[Point]] = field(default_factory=dict)
    records: dict[str, Json] = field(default_factory=dict)
    recorded_at: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    pieces: list[OutputPiece] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.points or self.records or self.entries or self.pieces)


class PostgresJournal:
    """
    Keeps the records of one attempt. The function's thread fills buffers; any thread may call `flush`, which writes.

    A batch whose writing failed is written again, with later records; every statement is safe to repeat.
    """

    def __init__(
        self,
        postgres: ReconnectingConnection,
        writer: AttemptFence,
        folder: Callable[[], Path],
        stopping: Callable[[], bool],
        study: str,
        output: Output | None = None,
    ) -> None:
        self._postgres, self.writer, self._study, self._output = postgres, writer, study, output
        self._folder, self._stopping = folder, stopping
        self.over = False
        """Whether the attempt no longer belongs to this worker, so that nothing more is written."""
        self.recorded: dict[str, Json] = {}
        self.recorded_at: dict[str, str] = {}
        self._carried: dict[str, str] = {}
        """By name: the times at which earlier attempts recorded the values that this one has taken over."""
        self._before: set[int] = set()
        """Numbers of the earlier attempts that this one continues."""
        self._series: dict[str, list[Point]] = {}
        self._steps: dict[str, int] = {}
        """The number of points without a step in each series."""
        self._entries: list[Entry] = []
        self._last_key = 0
        """The key of the last row of a list: nanoseconds since 1970; each key is larger than the one before."""
        self._numbers: dict[str, int] = {}
        self._batch = _Batch()
        self._unsent: list[tuple[str, Json, str]] = []
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def point(self, name: str, step: int | None, value: float, at: float) -> None:
        """Buffer one value of a series."""
        self._check()
        if step is None:
            step = self._steps.get(name, 0)
            self._steps[name] = step + 1
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = []
        series.append(Point(step, value, at))

    def record(self, values: Mapping[str, Json], at: float) -> None:
        """Buffer parts of the result. Raises ContextError for a part that is too large, and buffers the others."""
        self._check()
        moment, refused = datetime.fromtimestamp(at, UTC).isoformat(), list[ContextError]()
        for name, value in values.items():
            try:
                check_size(f"record: {name}", value)
            except ContextError as error:
                refused.append(error)
                continue
            self._carried.pop(name, None)
            self.recorded[name], self.recorded_at[name] = value, moment
            self._unsent.append((name, value, moment))
        if refused:
            raise refused[0]

    def append(self, name: str, row: Json, at: float) -> None:
        """Buffer a row of a list."""
        self._check()
        check_size(f"append to {name!r}", row)
        self._last_key = max(self._last_key + 1, time.time_ns())
        key = UUID(bytes=self._last_key.to_bytes(8, "big") + os.urandom(8))
        self._entries.append(Entry(name, key, row, at))

    def save(self, name: str, encoded: EncodedCheckpoint, keep: bool, steps: FinishedSteps | None = None) -> None:
        """Write the buffers and then a checkpoint, so that the next attempt continues after both."""
        self._check()
        self.flush(PATIENCE)
        size, limit = len(encoded.data), self._settings.checkpoint_limit
        url = self._files.put(self._key(f"{name}-{self._number(name)}"), encoded.data).url if size > limit else None
        digest = hashlib.sha256(encoded.data).hexdigest()
        data = None if url else encoded.data
        progress = self._progress() | (steps._asdict() if steps else {})
        saved = journal.SavedCheckpoint(encoded.kind, data, url, digest, self.writer.attempt, progress)
        old = self._postgres.run(
            lambda raw: journal.save(raw, self.writer, name, saved, size, keep), f"checkpoint {name}"
        )
        if old is None and url is not None:
            self._drop(url)
        self._require(old is not None)
        if old and old != saved.url:
            self._files.delete(old)

    def load(self, name: str, default: Any, load: Load | None) -> Any:
        """Return a checkpoint of this or an earlier attempt. Returns *default* if there is none."""
        self._check()
        encoded = self.encoded(name)
        return default if encoded is None else decode(encoded.kind, encoded.data, load)

    def encoded(self, name: str) -> EncodedCheckpoint | None:
        """Return a stored checkpoint. Returns None if there is none."""
        saved = self._postgres.run(lambda raw: journal.saved(raw, self.writer.id, name), f"checkpoint {name}")
        if saved is None:
            return None
        data = saved.data if saved.data is not None else self._files.get(saved.url or "")
        if hashlib.sha256(data).hexdigest() != saved.sha256:
            raise ContextError(f"load: the checkpoint {name!r} in {saved.url} differs from what was saved")
        if saved.attempt < self.writer.attempt:
            self._take_over(saved)
        return EncodedCheckpoint(saved.kind, data)

    def _progress(self) -> dict[str, Json]:
        """Return the facts, beside a checkpoint, that an attempt needs to continue this one."""
        last_key = max(self._last_key, time.time_ns())
        return {"steps": dict(self._steps), "last_key": last_key, "before": sorted(self._before)}

    def _take_over(self, saved: journal.SavedCheckpoint) -> None:
        """Continue the counts of an earlier attempt, and take over its records from before its checkpoint."""
        progress = saved.progress
        for name, step in progress["steps"].items():
            self._steps[name] = max(step, self._steps.get(name, 0))
        recorded = jsonb.restored(jsonb.decoded(progress["recorded"]), progress.get("recorded_exact"), ())
        for name, value in recorded.items():
            moment = progress["recorded_at"][name]
            if name in self.recorded and not self._carried.get(name, "~") < moment:
                continue  # this attempt, or a later one than the saved one, has recorded it
            self.recorded[name], self.recorded_at[name] = value, moment
            self._carried[name] = moment
            self._unsent.append((name, value, moment))
        self._before |= {saved.attempt, *progress.get("before", ())}  # older versions of qexp do not write "before"
        self._postgres.run(
            lambda raw: journal.note_continued(raw, self.writer, self._before), "the checkpoint of this attempt"
        )
        last = UUID(bytes=progress["last_key"].to_bytes(8, "big") + b"\xff" * 8)
        self._postgres.run(lambda raw: journal.carry(raw, self.writer, saved.attempt, last), "rows of lists")

    def artifact(self, name: str, content: bytes | Path) -> str:
        """Store a file, and record it as an artifact."""
        self._check()
        stored = self._files.put(self._key(name), content)
        is_recorded = self._postgres.run(
            lambda raw: journal.note_artifact(raw, self.writer, name, stored.url, stored.size, stored.sha256),
            f"artifact {name}",
        )
        if not is_recorded and not self._postgres.run(
            lambda raw: journal.has_artifact(raw, self.writer, name), f"artifact {name}"
        ):
            self._drop(stored.url)
        self._require(is_recorded)
        return stored.url

    def _drop(self, url: str) -> None:
        """Delete a file that no row names, since the attempt is over; its study may be deleted by now."""
        self._files.delete(url)
        self._files.remove_empty_folders(url)

    def workdir(self) -> Path:
        """Return the attempt's folder; the first call creates it."""
        if self.over:
            raise self.ended()
        return self._folder()

    def stopping(self) -> bool:
        """Say whether the function should save and return, since its worker stops or its attempt is over."""
        return self._stopping() or self.over

    def flush(self, patience: float = 0.0, final: bool = False) -> bool:
        """Write the buffers, with *patience* seconds for an unreachable Postgres; say whether there was anything."""
        with self._lock:
            self._collect(final)
            if not self._batch or self.over:
                return False
            self._postgres.run(self._write, f"records of experiment {self.writer.id}", patience)
            self._batch = _Batch()
            return True

    def completed(self, outcome: Outcome) -> Outcome:
        """Return an outcome with the values that the function recorded before, and did not return."""
        if not self.recorded:
            return outcome
        result = with_recorded(self.recorded, outcome.result or {})
        return dataclasses.replace(outcome, result=result, recorded_at=self.recorded_at)

    def _collect(self, final: bool) -> None:
        """Move the buffers into the batch, while the function's thread may still fill them."""
        batch = self._batch
        for name in list(self._series):
            series = self._series[name]
            if number := len(series):
                batch.points.setdefault(name, []).extend(series[:number])
                del series[:number]
        number = len(self._unsent)
        for name, value, moment in self._unsent[:number]:
            batch.records[name], batch.recorded_at[name] = value, moment
        del self._unsent[:number]
        number = len(self._entries)
        batch.entries += self._entries[:number]
        del self._entries[:number]
        if self._output is not None:
            batch.pieces += [OutputPiece(chunk.position, chunk.size, chunk.text) for chunk in self._output.take(final)]

    def _write(self, raw: RawConnection) -> None:
        with raw.transaction():
            if not journal.is_current(raw, self.writer):
                self.over = True
                log.debug("experiment %d: attempt %d is over", self.writer.id, self.writer.attempt)
                return
            for name, points in self._batch.points.items():
                journal.add_points(raw, self.writer, name, points)
            if self._batch.records:
                journal.record(raw, self.writer, self._batch.records, self._batch.recorded_at, list(self.recorded))
            if self._batch.entries:
                journal.add_entries(raw, self.writer, self._batch.entries)
            if self._batch.pieces:
                journal.add_output(raw, self.writer, self._batch.pieces)
                if self._output is not None and self._output.obsolete[0] < self._output.obsolete[1]:
                    journal.forget_output(raw, self.writer, *self._output.obsolete)

    def _key(self, name: str) -> str:
        return f"{self._study}/{self.writer.id}/{self.writer.attempt}/{name}"

    def _number(self, name: str) -> int:
        """Return a number that no file of this checkpoint has had: the old file stays until the row has changed."""
        number = self._numbers.get(name, 0)
        self._numbers[name] = number + 1
        return number

    def _check(self) -> None:
        if self.over or not is_this_process(self._pid):
            raise self.ended()

    def _require(self, current: bool) -> None:
        if not current:
            self.over = True
            raise self.ended()

    def ended(self) -> ContextError:
        """Return the error for calls after the end of the attempt."""
        number = self.writer.id
        if not is_this_process(self._pid):
            return ContextError(
                f"experiment {number}: this is another process than the attempt's; "
                f"use 'with qexp.attach({number}) as context:' in it"
            )
        return ContextError(f"experiment {number}: attempt {self.writer.attempt} is over; see 'qexp show {number}'")

    @property
    def _settings(self) -> Settings:
        return self._postgres.settings

    @cached_property
    def _files(self) -> Files:
        return Files(self._settings.artifacts_root)


def check_size(what: str, value: Json) -> None:
    """Raise ContextError if the JSON of a value is too large or nested too deeply."""
    try:
        size = len(to_json([[value]]))  # two levels deeper, as `claiming.encode_result` writes it
    except ValueError as error:
        raise ContextError(f"{what} is nested too deeply, expected at most 250 levels") from error
    if size > LARGEST:
        raise ContextError(
            f"{what} has {size / 1e6:.1f} MB, expected at most {LARGEST / 1e6:g} MB: "
            "keep large values with context.artifact, and series with context.metric"
        )
