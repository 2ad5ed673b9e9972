"""`qexp.Context`: a function reads facts of its attempt, records values, saves checkpoints and stops early."""

from __future__ import annotations

import logging
import operator
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from qexp.errors import ContextError, article
from qexp.functions import Injected, Interruption
from qexp.model import Departure, Json, storable_text
from qexp.partial_serialization import partial_data
from qexp.serialization import to_json
from qexp.worker.context.checkpoint_encoding import Dump, EncodedCheckpoint, Load, encode
from qexp.worker.context.loop_state import FinishedSteps, LoopState

if TYPE_CHECKING:
    from qexp.worker.context.memory_journal import MemoryJournal

T = TypeVar("T")

_LONGEST = 200
CHECKPOINT = "checkpoint"
"""The default name of a checkpoint."""


class AttemptLeft(Interruption):
    """Ends the function of an attempt that has saved its checkpoint."""


class Journal(Protocol):
    """The store behind a context: Postgres, or memory if you only try a function."""

    def point(self, name: str, step: int | None, value: float, at: float) -> None: ...

    def record(self, values: Mapping[str, Json], at: float) -> None: ...

    def append(self, name: str, row: Json, at: float) -> None: ...

    def save(self, name: str, encoded: EncodedCheckpoint, keep: bool, steps: FinishedSteps | None = None) -> None: ...

    def load(self, name: str, default: Any, load: Load | None) -> Any: ...

    def artifact(self, name: str, content: bytes | Path) -> str: ...

    def workdir(self) -> Path: ...

    def stopping(self) -> bool: ...


class Context(Injected):
    """
    One attempt at an experiment, as its function sees it.

    A parameter annotated with this class receives the context; it is never part of a grid. Recorded values stay if the
    function fails or its process is killed later. Only the last two seconds of series, lists and output may be lost.
    """

    def __init__(
        self,
        journal: Journal,
        id: int = 0,  # noqa: A002 - users read context.id
        study: str = "local",
        attempt: int = 1,
        params: Mapping[str, Json] | None = None,
        settings: Mapping[str, Json] | None = None,
        seed: int = 0,
    ) -> None:
        self._journal = journal
        self.id, self.study, self.attempt = id, study, attempt
        self.params: Mapping[str, Json] = dict(params or {})
        """The parameters as data, before their conversion to the function's annotations."""
        self.settings: Mapping[str, Json] = dict(settings or {})
        self.seed = seed
        """
        The experiment's parameter `seed` if it has one, otherwise a number of 32 bits computed from its parameters.

        qexp seeds the global random states of Python, numpy and torch with it before it calls the function.
        """
        self.departure: Departure | None = None
        self._loops: set[str] = set()
        self._names: set[str] = set()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.study} #{self.id}, attempt {self.attempt}>"

    @cached_property
    def log(self) -> logging.Logger:
        """A logger whose lines of INFO and above are stored with the attempt's output."""
        return _logger(f"{self.study} #{self.id}")

    @classmethod
    def local(cls, **facts: Any) -> LocalContext:
        """Return a context that keeps everything in memory, for calling a function by hand or in a test."""
        return LocalContext(**facts)

    def __reduce__(self) -> str | tuple[Any, ...]:
        raise ContextError(f"a context stays in its process; use 'with qexp.attach({self.id}) as context:' in others")

    @property
    def workdir(self) -> Path:
        """A folder for this attempt only, removed when the attempt ends."""
        return self._journal.workdir()

    def record(self, **values: Any) -> None:
        """
        Record parts of the result now; a later value of a name replaces the earlier one.

        They become part of the experiment's result, and they stay if the function fails later. Raises ContextError that
        names parts that are not data; the other parts are recorded.
        """
        parts = partial_data(values)
        self._journal.record(parts.data if isinstance(parts.data, dict) else {}, time.time())
        if parts.refused:
            reasons = "; ".join(refusal.reason for refusal in parts.refused.values())
            raise ContextError(f"record: {reasons}; keep other values with context.artifact or context.save")

    def metric(self, step: int | None = None, **values: Any) -> None:
        """
        Add a point to the series of each name: numbers, or numpy's and torch's scalars.

        Without *step* the points of a name are counted from 0, or on from a loaded checkpoint. A later value of a step
        replaces the earlier one.
        """
        now = time.time()
        if step is not None and (type(step) is not int or not _LEAST <= step <= _MOST):
            step = _whole(step)
        for name, value in values.items():
            if name not in self._names:
                self._names.add(_named("metric", name))
            self._journal.point(name, step, value if type(value) is float else _number(name, value), now)

    def append(self, name: str, row: Any) -> None:
        """Append a row of any columns to the list *name*; a row is a mapping, or a value that converts to one."""
        self._journal.append(_named("append", name), _row(row, f"append to {name!r}"), time.time())

    def save(self, value: Any, *, name: str = CHECKPOINT, keep: bool = False, dump: Dump | None = None) -> None:
        """
        Replace the checkpoint *name*, from which the experiment's next attempt can continue on any host.

        A reader sees the old or the new checkpoint, never a mixture. Data, arrays of numpy and tensors of torch are
        saved as they are; other values by ``dump(value, file)``, such as ``pickle.dump``. The checkpoint is deleted
        when the experiment is done, unless *keep*. Raises CheckpointError with the place of a value that cannot be
        saved.
        """
        self._journal.save(_named("save", name), encode(value, dump), keep)

    def load(self, default: T | None = None, *, name: str = CHECKPOINT, load: Load | None = None) -> Any:
        """
        Return the checkpoint *name* that this or an earlier attempt saved last. Returns *default* if there is none.

        This attempt also takes over the values and rows that the earlier one had recorded before it saved.
        """
        return self._journal.load(_named("load", name), default, load)

    def resumable(
        self,
        items: Iterable[T],
        state: Any = None,
        *,
        seconds: float = 30.0,
        steps: int | None = None,
        name: str = "loop",
        keep: bool = False,
        dump: Dump | None = None,
        load: Load | None = None,
    ) -> Iterator[T]:
        """
        Yield *items*; skip those whose body an earlier attempt has finished and saved.

        *state* has the objects that the body changes: a dict, list, array, tensor, random generator, or any object with
        ``state_dict`` and ``load_state_dict`` or with attributes. A tuple combines several. The state is restored in
        place before the first item. It is saved after a body each *seconds*, or each *steps* items if given. If the
        node is about to go away, the state is saved after the current body, the attempt ends, and the next one
        continues. An attempt may begin after the last item, so code after the loop must not require that a body has
        run. Several loops of a function need a *name* each; *keep* is as in `save`. Estimators of scikit-learn, and
        other state that is not data, need both *dump* and *load*, such as ``joblib.dump`` and ``joblib.load``.

        >>> state = {"sum": 0}
        >>> for number in Context.local().resumable(range(4), state):
        ...     state["sum"] += number
        >>> state
        {'sum': 6}
        """
        if not seconds >= 0 or (steps is not None and steps < 1):
            raise ContextError(f"resumable: found seconds={seconds!r}, steps={steps!r}, expected at least 0 and 1")
        if isinstance(items, set | frozenset):
            raise ContextError(
                f"resumable: found a {type(items).__name__}, expected items in the same order in each process; "
                "write sorted(…)"
            )
        if (dump is None) != (load is None):
            raise ContextError("resumable: found one of dump= and load=, expected both or none")
        if name in self._loops:
            raise ContextError(f"resumable: a loop named {name!r} has started before; give each loop its own name=")
        self._loops.add(name)
        held, total = LoopState(state, whole=dump is not None), _length(items)

        def save() -> None:
            value = {"done": number, "state": held.taken()}
            self._journal.save(name, encode(value, dump, outer=1), keep, FinishedSteps(number, total))

        done = self._resume(_named("resumable", name), held, dump, load)
        saved_at, saved = time.monotonic(), done
        number = 0
        for number, item in enumerate(items, 1):
            if number <= done:
                continue
            yield item
            due = time.monotonic() - saved_at >= seconds if steps is None else number - saved >= steps
            stop = self.stop_requested
            if due or stop:
                save()
                saved_at, saved = time.monotonic(), number
            if stop:
                self.leave()
                raise AttemptLeft
        if done < saved < number:  # code after the loop may fail too
            save()

    def _resume(self, name: str, held: LoopState, dump: Dump | None, load: Load | None) -> int:
        saved = self.load(name=name, load=load)
        if saved is None:
            encode(held.taken(), dump)  # if the state cannot be saved, fail now and not hours later
            return 0
        held.restore(saved["state"])
        self.log.info("continues after %d finished steps", saved["done"])
        return int(saved["done"])

    def artifact(self, name: str, content: bytes | str | Path) -> str:
        """Store a file, given as bytes or by its path, with the experiment; return its URL."""
        return self._journal.artifact(_named("artifact", name), Path(content) if isinstance(content, str) else content)

    @property
    def stop_requested(self) -> bool:
        """Whether the node is about to go away. If so, save and ``return context.leave()`` within a few seconds."""
        return self._journal.stopping()

    def leave(self) -> Departure:
        """End this attempt without a result; another attempt follows. Let your function return this value."""
        self.departure = Departure("released")
        return self.departure

    def pause(self, reason: str) -> Departure:
        """End this attempt until a person runs `qexp resume`. Let your function return this value."""
        self.departure = Departure("paused", storable_text(str(reason)))
        return self.departure


def _length(items: Iterable[Any]) -> int | None:
    """Return the number of items. Returns None if they do not know it, as a generator or a stream of data."""
    try:
        return len(items) if isinstance(items, Sized) else None
    except (TypeError, NotImplementedError):  # a DataLoader of torch over a stream has __len__, and raises
        return None


def _logger(name: str) -> logging.Logger:
    """Return a logger outside of logging's registry, so that it is freed after the attempt."""
    logger = logging.Logger(name, logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger.addHandler(handler)
    return logger


def _number(name: str, value: Any) -> float:
    """Return a number of any library as a float. Raises ContextError for other values."""
    if isinstance(value, str | bytes):
        raise ContextError(f"metric: {name} is {value!r}, expected a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ContextError(
            f"metric: {name} is {article(type(value).__name__)}, expected one number: {error}"
        ) from error


_LEAST, _MOST = -(2**63), 2**63 - 1


def _whole(step: Any) -> int:
    try:
        number = int(step) if isinstance(step, float) and step.is_integer() else operator.index(step)
    except TypeError:
        raise ContextError(f"metric: step is {step!r}, expected a whole number") from None
    if not _LEAST <= number <= _MOST:
        raise ContextError(f"metric: step is {number}, expected a number of 64 bits")
    return number


def _named(what: str, name: Any) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST or storable_text(name) != name:
        raise ContextError(f"{what}: the name is {name!r:.80}, expected 1 to {_LONGEST} printable characters")
    return name


def _row(row: Any, what: str) -> dict[str, Json]:
    """Return a mapping, dataclass, namedtuple or pandas Series as a row of data. Raises ContextError for others."""
    if type(row).__name__ == "DataFrame" and hasattr(row, "to_dict"):
        raise ContextError(f"{what}: found a DataFrame, expected a row; append each of frame.to_dict('records')")
    try:
        data = to_json(row)
    except ValueError as error:
        raise ContextError(f"{what}: {error}; keep other values with context.artifact or context.save") from error
    if not isinstance(data, dict):
        raise ContextError(
            f"{what}: found {article(type(row).__name__)}, expected names with values, such as {{'x': 1}}"
        )
    return data


class LocalContext(Context):
    """A context in memory. Its `journal` has all that the function saved; another context can continue with it."""

    def __init__(self, journal: MemoryJournal | None = None, **facts: Any) -> None:
        from qexp.worker.context.memory_journal import (
            MemoryJournal,  # functions that only annotate Context load no psycopg
        )

        self.journal = journal or MemoryJournal()
        super().__init__(self.journal, **facts)
