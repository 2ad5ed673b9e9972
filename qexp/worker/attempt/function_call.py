"""Call the function of a claimed experiment, and turn its result or exception into an outcome."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from qexp.current_process import is_this_process
from qexp.errors import FunctionError
from qexp.functions import Function, Signature, note_module_files, resolve, switch_folder
from qexp.functions.guarded_calls import is_order
from qexp.model import Claim, Departure, Failure, Json, Outcome
from qexp.serialization import KeyTypes
from qexp.worker.attempt import failure, process_state_for_experiments
from qexp.worker.attempt.returned_value import error_of, result_of
from qexp.worker.attempt.signals import AttemptSignals, TimeoutReached
from qexp.worker.context.context import AttemptLeft, Context, Journal


def run(
    claim: Claim,
    folder: Path | None,
    context: Context,
    signals: AttemptSignals,
    restore: Callable[[], object] = lambda: None,
) -> Outcome:
    """
    Run a claimed experiment with the code in *folder* and return its outcome.

    All exceptions of the function become outcomes, also SystemExit, KeyboardInterrupt and MemoryError, which would end
    a Celery worker. Raises only the SystemExit of the pool's signal handlers, which tells this process to stop.
    *restore* is called before an exception is described: the function may have left no memory for that.
    """
    process = os.getpid()
    try:
        try:
            with signals.interruptible():
                return _called(claim, folder, context)
        except BaseException:
            restore()
            raise
    except AttemptLeft:
        return Outcome(departure=context.departure or Departure("released"))
    except TimeoutReached as error:
        described = failure.describe(error, Failure.TIMEOUT, folder)
        return Outcome(error=dataclasses.replace(described, type=failure.TIMEOUT))
    except BaseException as error:
        if is_order(error):
            raise
        return Outcome(error=failure.describe(error, Failure.ERROR, folder))
    finally:
        if not is_this_process(process):  # the function forked, and the fork returned: it must not continue as a worker
            os._exit(0)


def _called(claim: Claim, folder: Path | None, context: Context) -> Outcome:
    try:
        switch_folder(folder, claim.function)
        call = prepare(claim.function, folder, {**claim.settings, **claim.params}, context)
    except FunctionError as error:
        return Outcome(error=failure.describe(error, Failure.INVALID, folder))
    process_state_for_experiments.seed(context.seed)
    value = returned(call, claim.function)
    if isinstance(value, Departure):
        return Outcome(result={}, departure=context.departure or value)
    result = result_of(value, call.result_keys)
    if result.refused:
        return Outcome(result.kept or None, error_of(result, call.function, claim.study, folder))
    return Outcome(result.kept, departure=context.departure)


def returned(call: Call, name: str) -> Any:
    """Call a function and return its value; an async function runs in a new event loop."""
    value = call.function(**call.arguments)
    if not inspect.iscoroutine(value):
        return value
    try:
        return asyncio.run(value)
    except BaseExceptionGroup as group:  # a task group wraps the exceptions of its tasks
        if order := _order_in(group):
            raise order from group
        raise
    except RuntimeError as error:
        if inspect.getcoroutinestate(value) != inspect.CORO_CREATED:
            raise
        value.close()
        raise FunctionError(
            f"function {name}: it is async, and {error}; call it outside of a running event loop"
        ) from error


def _order_in(error: BaseException) -> BaseException | None:
    """Return the exception inside a group that tells the attempt to end, or None."""
    if not isinstance(error, BaseExceptionGroup):
        return error if is_order(error) else None
    return next((order for inner in error.exceptions if (order := _order_in(inner))), None)


class Call(NamedTuple):
    """A function, its arguments, and the types of keys other than text in its result's annotation."""

    function: Function
    arguments: dict[str, Any]
    result_keys: KeyTypes


def prepare(name: str, folder: Path | None, values: Mapping[str, Json], context: Context) -> Call:
    """Return the call of a function with these values and its context. Raises FunctionError if they do not fit."""
    function = resolve(name, folder)
    note_module_files()
    signature = _signature(function, name)
    arguments = signature.bind(values) | dict.fromkeys(signature.injected, context)
    return Call(function, arguments, signature.result_keys)


def context_of(claim: Claim, journal: Journal) -> Context:
    """Return the context of a claim's attempt."""
    return Context(journal, claim.id, claim.study, claim.attempt, claim.params, claim.settings, seed_of(claim))


def seed_of(claim: Claim) -> int:
    """Return the parameter `seed` if there is one, otherwise 32 bits of the parameters' fingerprint."""
    seed = claim.params.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool):
        return seed
    return claim.fingerprint.int & 0xFFFFFFFF


def _signature(function: Function, name: str) -> Signature:
    try:
        return _known_signature(function, name)
    except TypeError:  # an object with `__call__` that cannot be hashed
        return Signature.of(function, name)


@functools.lru_cache(maxsize=64)
def _known_signature(function: Function, name: str) -> Signature:
    return Signature.of(function, name)
