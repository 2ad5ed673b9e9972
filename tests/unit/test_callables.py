"""Callables that qexp accepts run like functions; it refuses others with a clear error."""

import sys

import pytest

from qexp.errors import FunctionError
from qexp.functions import Interruption, Signature, importing_from, reference, resolve
from qexp.worker.attempt.function_call import Call, returned


def call(function, arguments, name):
    return returned(Call(function, arguments, ()), name)


SOURCE = """
from __future__ import annotations
import asyncio, dataclasses, functools
from pathlib import Path

def f(lr: float, epochs: int = 1): return {"lr": lr, "epochs": epochs}

def decorated(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs): return function(*args, **kwargs)
    return wrapper

def bare(function):
    def wrapper(lr: float): return function(lr)
    return wrapper

class Model:
    def __init__(self, epochs: int): self.epochs = epochs
    def __call__(self, lr: float): return {"lr": lr, "epochs": self.epochs}
    def train(self, lr: float): return {"lr": lr, "epochs": self.epochs}
    def loop(self, lr: float): yield lr
    @staticmethod
    def still(lr: float): return {"lr": lr, "epochs": 1}
    @classmethod
    def made(cls, lr: float): return cls(2)(lr)

@dataclasses.dataclass
class Fields:
    epochs: list[int]
    def __call__(self, lr: float): return {"lr": lr, "epochs": self.epochs[0]}

class Asynchronous:
    async def __call__(self, lr: float): return f(lr)

class Yields:
    def __call__(self, lr: float): yield lr

async def waits(lr: float):
    await asyncio.sleep(0)
    return f(lr)

async def stream(lr: float): yield lr
def generate(lr: float): yield lr

partial = functools.partial(f, epochs=2)
positional = functools.partial(f, 0.5)
nested = functools.partial(functools.partial(f, epochs=3), epochs=2)
partial_waits = functools.partial(waits)
partial_stream = functools.partial(stream)
wrapped, renamed, cached = decorated(f), bare(f), functools.lru_cache(f)
wrapped_partial = decorated(partial)
model, fields, asynchronous, yields = Model(2), Fields([2]), Asynchronous(), Yields()
bound = model.train
quick = lambda lr: f(float(lr))
"""


@pytest.fixture
def module(tmp_path):
    (tmp_path / "kinds_of.py").write_text(SOURCE)
    with importing_from(tmp_path):
        resolve("kinds_of:f", tmp_path)
        yield sys.modules["kinds_of"]


TAKEN = {
    "f": 1,
    "partial": 2,
    "nested": 2,
    "wrapped": 1,
    "wrapped_partial": 2,
    "renamed": 1,
    "cached": 1,
    "model": 2,
    "fields": 2,
    "bound": 2,
    "model.train": 2,
    "Model.still": 1,
    "Model.made": 2,
    "waits": 1,
    "partial_waits": 1,
    "asynchronous": 1,
    "quick": 1,
}


@pytest.mark.parametrize("name", TAKEN)
def test_callables_are_read_and_called_as_functions_are(module, name):
    # Given a callable in a module
    found = resolve(f"kinds_of:{name}")
    # When it is called with text that its annotation makes a number
    signature = Signature.of(found, name)
    arguments = signature.bind({"lr": "0.5"})
    # Then it returns the result of the function that it wraps
    assert call(found, arguments, name) == {"lr": 0.5, "epochs": TAKEN[name]}
    assert "self" not in signature.names


def test_a_positional_argument_of_a_partial_is_no_parameter(module):
    signature = Signature.of(resolve("kinds_of:positional"), "positional")
    assert signature.names == ("epochs",)
    assert Signature.of(resolve("kinds_of:partial"), "partial").required == ("lr",)


REFUSED = {
    "Model": "found a class, expected a function: write one that makes an instance and returns the results",
    "Fields": "found a class",
    "generate": "found a generator function, expected one that returns its result; keep intermediate values",
    "stream": "found a generator function",
    "partial_stream": "found a generator function",
    "model.loop": "found a generator function",
    "yields": "found a generator function",
    "Model.train": "found a method of instances, expected a function: write one that makes a Model and calls it",
    "Path": "found a class",
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_callables_are_refused_with_advice(module, name):
    with pytest.raises(FunctionError) as caught:
        resolve(f"kinds_of:{name}")
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize("name", ["builtins:max", "builtins:getattr", "operator:itemgetter.__call__"])
def test_a_function_of_c_without_parameter_names_is_refused(name):
    with pytest.raises(FunctionError, match=r"its signature is unknown|positional only|found a"):
        Signature.of(resolve(name), name)


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in ("bound", "wrapped")])
def test_a_callable_given_from_python_is_named_so_that_workers_find_it(module, name, tmp_path):
    given = resolve(f"kinds_of:{name}")
    said, folder = reference(given)
    assert folder == tmp_path.resolve()
    assert resolve(said) == given


def test_a_partial_that_no_module_holds_is_refused_with_advice(module):
    import functools

    with pytest.raises(FunctionError, match="put it at the top of a file of its own, under a name"):
        reference(functools.partial(module.f, epochs=5))


def test_a_decorated_function_is_not_confused_with_the_function_inside(module):
    # Given a decorated function with the name of the function inside, both in the module
    # When Python passes it, then its own name counts
    assert reference(module.wrapped)[0] == "kinds_of:wrapped"


def test_async_code_in_a_running_loop_is_a_clear_error(module):
    import asyncio

    async def nested():
        return call(module.waits, {"lr": 1.0}, "kinds_of:waits")

    with pytest.raises(FunctionError, match=r"it is async, and asyncio.run\(\) cannot be called from a running event"):
        asyncio.run(nested())


def test_an_order_to_stop_leaves_a_task_group():
    import asyncio

    async def ends():
        raise Interruption

    async def f():
        async with asyncio.TaskGroup() as group:
            group.create_task(ends())
            await asyncio.sleep(60)

    with pytest.raises(Interruption):
        call(f, {}, "m:f")


def test_an_error_of_async_code_is_reported_as_raised():
    async def f():
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        call(f, {}, "m:f")
