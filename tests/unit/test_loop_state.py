"""The state of a loop is restored in place: the objects, containers and arrays of a function stay the same."""

import collections
import json
import logging
import pickle
import random
import types
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests_support import again, restore_into, state_of

import qexp
from qexp.errors import CheckpointError, ContextError
from qexp.worker.context.checkpoint_encoding import encode


class Model:
    """Exposes its state like a torch module."""

    def __init__(self, weight=0.0):
        self.weight = weight

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]


@dataclass
class Progress:
    epoch: int = 0
    losses: list = field(default_factory=list)
    model: Model = field(default_factory=Model)


@dataclass(slots=True)
class Slotted:
    epoch: int = 0


@dataclass(frozen=True)
class Frozen:
    epoch: int


class Plain:
    def __init__(self, **values):
        vars(self).update(values)


PAIRS = [
    (dict, lambda: {"a": 1, "b": [2]}, lambda: {"a": 0, "old": 1}),
    (collections.defaultdict, lambda: collections.defaultdict(int, a=1), lambda: collections.defaultdict(int)),
    (list, lambda: [1, 2], lambda: [3, 4, 5]),
    (np.ndarray, lambda: np.arange(3), lambda: np.zeros(3, dtype=int)),
    (Model, lambda: Model(2.0), Model),
    (Progress, lambda: Progress(3, [1.0], Model(5.0)), Progress),
    (Slotted, lambda: Slotted(7), Slotted),
    (Plain, lambda: Plain(a=1, b=Model(2.0)), lambda: Plain(a=0, b=Model())),
    (types.SimpleNamespace, lambda: types.SimpleNamespace(a=1), types.SimpleNamespace),
    (random.Random, lambda: random.Random(5), random.Random),
    (np.random.Generator, lambda: np.random.default_rng(5), np.random.default_rng),
    (np.random.RandomState, lambda: np.random.RandomState(5), np.random.RandomState),
]


@pytest.mark.parametrize(("saved", "fresh"), [pair[1:] for pair in PAIRS], ids=[pair[0].__name__ for pair in PAIRS])
def test_a_target_gets_in_place_the_state_that_was_saved(saved, fresh):
    source, target = saved(), fresh()
    restore_into(target, again(state_of(source)))
    assert encode(state_of(target)) == encode(state_of(source))


@pytest.mark.parametrize("module", [random, np.random])
def test_a_module_stands_for_its_global_generator(module):
    saved = again(state_of({"random": module}))
    drawn = module.random()
    assert module.random() != drawn
    restore_into({"random": module}, saved)
    assert module.random() == drawn


def test_objects_in_a_dict_keep_their_identity():
    model, rng = Model(), random.Random(1)
    state = {"model": model, "rng": rng, "epoch": 0}
    restore_into(state, again(state_of({"model": Model(4.0), "rng": random.Random(9), "epoch": 3})))
    assert state == {"model": model, "rng": rng, "epoch": 3}
    assert model.weight == 4.0
    assert rng.random() == random.Random(9).random()


def test_arrays_lists_and_dicts_inside_are_restored_in_place():
    weights, bias, pair, inner = np.zeros(2), np.zeros(1), np.zeros(2), {"a": np.zeros(1)}
    state = {
        "layers": [weights, bias],
        "inner": inner,
        "pair": (pair, 1),
        "history": np.zeros(0),
        "rngs": [random.Random(1)],
    }
    rng = state["rngs"][0]
    saved = {
        "layers": [np.ones(2), np.ones(1), np.ones(3)],
        "inner": {"a": np.ones(1), "b": 2},
        "pair": (np.full(2, 7.0), 3),
        "history": np.ones(4),
        "rngs": [random.Random(9)],
    }
    layers = state["layers"]
    restore_into(state, again(state_of(saved)))
    assert (state["layers"], state["inner"], state["rngs"][0]) == (layers, inner, rng)
    assert len(layers) == 3 and layers[0] is weights and layers[1] is bias and bias[0] == 1
    assert inner["a"][0] == 1 and inner["b"] == 2
    assert state["pair"][0] is pair and pair.tolist() == [7, 7] and state["pair"][1] == 3
    assert state["history"].tolist() == [1, 1, 1, 1]  # may have grown
    assert rng.random() == random.Random(9).random()


def test_an_object_keeps_attributes_that_an_older_checkpoint_lacks():
    target = Plain(a=0, new="default")
    restore_into(target, {"a": 1})
    assert vars(target) == {"a": 1, "new": "default"}


@pytest.mark.parametrize(
    ("target", "value", "text"),
    [
        (
            np.zeros(3),
            np.zeros(4),
            r"an array of float64 of shape \(4,\), expected an array of float64 of shape \(3,\); .qexp requeue",
        ),
        (np.zeros(3), np.zeros(3, dtype="f4"), "an array of float32"),
        (np.zeros(3), [0, 0, 0], "holds a list, expected an array"),
        ({}, [1], "holds a list, expected a dict"),
        ([], {}, "holds a dict, expected a list"),
        (Plain(), 3, "holds an int, expected a Plain"),
        (Slotted(), {"epoch": 1, "other": 2}, "Slotted cannot be restored in place"),
        (5, 5, "no state to restore in a value of type int; put its contents in a dict"),
    ],
)
def test_a_state_that_does_not_fit_is_refused(target, value, text):
    with pytest.raises(CheckpointError, match=text):
        restore_into(target, value)


@pytest.mark.parametrize("target", [len, json, Model, lambda: 1, (1,), (), 3, "x", Path(), frozenset()])
def test_an_object_that_hides_its_state_is_refused(target):
    with pytest.raises(CheckpointError, match="put its contents in a dict"):
        state_of(target)


def loop(state, **options):
    """Return a context whose loop over this state has finished and saved its first item."""
    context = qexp.Context.local()
    items = context.resumable(range(3), state, steps=1, **options)
    next(items)
    next(items)
    return context


def resumed(context, state, **options):
    """Return the items that remain for another attempt with a fresh state."""
    return list(qexp.Context.local(journal=context.journal, attempt=2).resumable(range(3), state, **options))


def test_containers_inside_are_restored_in_place():
    seen, recent, raw = {1}, collections.deque([1], 2), bytearray(b"a")
    ordered, counted = collections.OrderedDict(b=1), collections.Counter()
    missing, runs = collections.defaultdict(lambda: [7]), [Progress()]
    state = {"all": [seen, recent, raw, ordered, counted, missing], "runs": runs}
    run = runs[0]
    context = loop(
        {
            "all": [
                {2, 3},
                collections.deque([2, 3], 2),
                bytearray(b"xyz"),
                collections.OrderedDict([("z", 1), ("a", 2)]),
                collections.Counter("aab"),
                collections.defaultdict(lambda: [7], k=[1]),
            ],
            "runs": [
                Progress(4, [0.5], Model(2.0)),
            ],
        }
    )
    assert resumed(context, state) == [1, 2]
    assert all(
        found is held for found, held in zip(state["all"], (seen, recent, raw, ordered, counted, missing), strict=True)
    )
    assert (seen, list(recent), raw, list(ordered)) == ({2, 3}, [2, 3], b"xyz", ["z", "a"])
    assert counted == {"a": 2, "b": 1} and missing == {"k": [1]} and missing["new"] == [7]
    assert state["runs"][0] is run and (run.epoch, run.losses, run.model.weight) == (4, [0.5], 2.0)


def test_one_object_that_became_two_is_restored_as_two():
    # Given a loop whose best state is first the learnt state itself, and later a copy
    weights, seen = np.zeros(2), [0]
    saved = {"best": np.ones(2), "now": np.full(2, 5.0), "all": {"a": [1], "b": [2]}}
    # When another attempt resumes it
    state = {"best": weights, "now": weights, "all": {"a": seen, "b": seen}}
    resumed(loop(saved), state)
    # Then both have their own numbers
    assert (state["best"].tolist(), state["now"].tolist(), state["all"]) == ([1, 1], [5, 5], {"a": [1], "b": [2]})


def test_one_object_at_two_places_stays_one():
    weights, seen = np.zeros(2), [0]
    state = {"net": {"w": weights}, "params": [weights], "seen": seen, "again": seen}
    resumed(loop({"net": {"w": np.ones(2)}, "params": [np.ones(2)], "seen": [3], "again": [3]}), state)
    assert state["net"]["w"] is weights and state["params"][0] is weights and weights.tolist() == [1, 1]
    assert state["seen"] is seen and state["again"] is seen and seen == [3]


def test_a_dataclass_that_appears_in_the_loop_comes_back_as_one():
    state = {"best": None, "history": []}
    context = loop({"best": Slotted(3), "history": [Frozen(1), Frozen(2)]})
    resumed(context, state)
    assert state == {"best": Slotted(3), "history": [Frozen(1), Frozen(2)]}


def test_objects_with_attributes_are_restored_at_any_place():
    inner = Plain(weight=np.zeros(2), rng=random.Random(0))
    state = {"trainer": Plain(parts=(inner, Model()), epoch=0)}
    weight = inner.weight
    context = loop({"trainer": Plain(parts=(Plain(weight=np.ones(2), rng=random.Random(5)), Model(3.0)), epoch=9)})
    resumed(context, state)
    trainer = state["trainer"]
    assert (trainer.epoch, trainer.parts[0], trainer.parts[1].weight) == (9, inner, 3.0)
    assert inner.weight is weight and weight.tolist() == [1, 1] and inner.rng.random() == random.Random(5).random()


def test_a_tuple_of_objects_is_a_state():
    model, rng, array = Model(), random.Random(0), np.zeros(1)
    resumed(loop((Model(8.0), random.Random(4), np.ones(1), None)), (model, rng, array, None))
    assert (model.weight, rng.random(), array[0]) == (8.0, random.Random(4).random(), 1)


@dataclass(frozen=True)
class Parts:
    model: Model
    rng: random.Random | None = None


Named = collections.namedtuple("Named", "model rng")


@pytest.mark.parametrize("kind", [Parts, Named])
def test_an_immutable_container_is_a_state_if_its_parts_can_change(kind):
    target = kind(Model(), random.Random(0))
    resumed(loop(kind(Model(8.0), random.Random(4))), target)
    assert (target.model.weight, target.rng.random()) == (8.0, random.Random(4).random())
    with pytest.raises(CheckpointError, match="put its contents in a dict"):
        loop(kind(Model(), 3))
    with pytest.raises(CheckpointError, match=r"the checkpoint holds .* expected a"):
        resumed(loop({"a": 1, "b": 2}), target)


class Handle:
    """Hides a part of its state from its attributes, but not from pickle."""

    def __init__(self, number=0):
        self.hidden = (lambda: number,)

    def __reduce__(self):
        return Handle, (self.hidden[0](),)


def test_a_dump_writes_objects_as_pickle_knows_them():
    state = {"handle": Handle(), "model": Model(), "runs": [Progress()]}
    model = state["model"]
    saved = {"handle": Handle(7), "model": Model(3.0), "runs": [Progress(5)]}
    resumed(loop(saved, dump=pickle.dump, load=pickle.load), state, dump=pickle.dump, load=pickle.load)
    assert (state["handle"].hidden[0](), state["model"], model.weight, state["runs"][0].epoch) == (7, model, 3.0, 5)


@pytest.mark.parametrize("late", [Model(), random.Random(1), Plain(a=1), collections.defaultdict(lambda: 0)])
def test_an_object_that_appears_in_the_loop_is_refused_when_it_is_saved(late):
    state = {"best": None, "all": []}
    context = qexp.Context.local()
    items = context.resumable(range(3), state, steps=1)
    next(items)
    state["all"].append(late)
    with pytest.raises(
        CheckpointError, match=r"state\['all'\]\[0\]: found an? \w+, which was not there when the loop began"
    ):
        next(items)


def test_a_value_that_the_loop_replaces_by_no_data_is_refused_by_its_place():
    state = {"run": {"file": None}}
    items = qexp.Context.local().resumable(range(3), state, steps=1)
    next(items)
    state["run"]["file"] = open
    with pytest.raises(CheckpointError, match=r"^state\['run'\]\['file'\]: a builtins.builtin_function"):
        next(items)


def test_the_error_of_an_object_about_its_state_is_one_line_with_its_place():
    state = {"rngs": [np.random.Generator(np.random.MT19937(1))]}
    with pytest.raises(CheckpointError) as caught:
        resumed(loop({"rngs": [np.random.default_rng(1)]}), state)
    text = str(caught.value)
    assert text.startswith(
        "state['rngs'][0]: Generator cannot take the checkpoint's state (ValueError: state must be for a MT19937"
    )
    assert text.endswith("'qexp requeue ID --fresh' starts again without checkpoints") and "\n" not in text


@pytest.mark.parametrize(
    ("item", "name"),
    [
        (logging.getLogger("x"), r"logging\.Logger"),
        (pd.DataFrame({"a": [1]}), r"pandas\S*DataFrame"),
        (lambda: 1, r"builtins\.function"),
    ],
)
def test_a_value_that_is_no_state_is_refused_by_its_place_before_the_first_item(item, name):
    text = rf"^state\['trainer'\]\['part'\]: a {name} is not data; leave it out, or give dump= and load="
    with pytest.raises(CheckpointError, match=text):
        next(qexp.Context.local().resumable(range(3), {"trainer": Plain(part=item)}))


def test_an_array_that_cannot_be_written_is_replaced():
    state = {"x": np.broadcast_to(np.zeros(1), 3)}
    resumed(loop({"x": np.arange(3.0)}), state)
    assert state["x"].tolist() == [0, 1, 2]


def test_an_object_that_holds_itself_is_refused():
    one, other = Plain(a=1), Plain(b=2)
    one.other, other.one = other, one
    with pytest.raises(
        CheckpointError, match=r"^state\['x'\]\['other'\]\['one'\]: a Plain that contains itself is not data; put"
    ):
        loop({"x": one})
    items: list = []
    items.append(items)
    with pytest.raises(CheckpointError, match="contains itself"):
        loop({"x": items})


def test_a_dump_needs_its_load():
    with pytest.raises(ContextError, match=r"resumable: found one of dump= and load=, expected both or none"):
        loop({}, dump=json.dump)


def test_a_checkpoint_of_an_earlier_qexp_is_restored():
    # {"done": 2, "state": …} of a dataclass, a list of arrays and a defaultdict were plain dicts
    progress, missing = Progress(), collections.defaultdict(list)
    restore_into(progress, {"epoch": 3, "losses": [1.0], "model": {"weight": 5.0}})
    restore_into(missing, {"a": [1]})
    assert (progress.epoch, progress.losses, progress.model.weight) == (3, [1.0], 5.0)
    assert missing == {"a": [1]} and missing["b"] == []


def test_a_generator_without_a_state_is_refused_by_its_place():
    text = r"^state\['rng'\]: a SystemRandom has no state that can be saved, .*; leave it out, or use"
    with pytest.raises(CheckpointError, match=text):
        next(qexp.Context.local().resumable(range(3), {"rng": random.SystemRandom()}))


@pytest.mark.parametrize("kind", [set, frozenset])
def test_a_set_is_refused_since_its_order_differs_between_processes(kind):
    with pytest.raises(ContextError, match=rf"resumable: found a {kind.__name__}, expected .*; write sorted\(…\)$"):
        next(qexp.Context.local().resumable(kind("abc")))


def test_views_of_a_dict_are_items_in_order():
    context = qexp.Context.local()
    held = {"b": 1, "a": 2}
    assert list(context.resumable(held.keys())) == ["b", "a"]
    assert list(context.resumable(held.items(), name="items")) == [("b", 1), ("a", 2)]
