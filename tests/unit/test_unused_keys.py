"""A key that an annotation ignores is refused before a write, because a sweep of it repeats one experiment."""

import dataclasses
import typing
import uuid

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from qexp.client.function_check import checked
from qexp.errors import GridError
from qexp.functions import Signature
from qexp.grid import Grid, bind


@dataclasses.dataclass
class Opt:
    lr: float = 0.1
    weight_decay: float = 0.0
    id: uuid.UUID = dataclasses.field(default_factory=uuid.uuid4)


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


class Net(BaseModel):
    depth: int = 2
    opt: Opt = Opt()


class Entry(TypedDict, total=False):
    a: float
    b: int


class Aliased(BaseModel):
    width: int = Field(2, alias="w")


class Choices(BaseModel):
    width: int = Field(2, validation_alias=AliasChoices("w", AliasPath("size", 0)))


class Old(BaseModel):
    """Reads `breadth`, an earlier name, as its width."""

    width: int = 2

    @model_validator(mode="before")
    @classmethod
    def renamed(cls, data):
        return {"width": data["breadth"]} if isinstance(data, dict) and "breadth" in data else data


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


@dataclasses.dataclass
class Scaled:
    x: int = 1
    scale: dataclasses.InitVar[int] = 1

    def __post_init__(self, scale):
        self.x *= scale


def signature(annotation):
    def f(x=None, y=0): ...

    f.__annotations__ = {"x": annotation}
    return Signature.of(f, "m:f")


@pytest.mark.parametrize(
    ("annotation", "written", "expected"),
    [
        (Opt, {"wieght_decay": 1}, "of Opt: lr, weight_decay, id (did you mean 'weight_decay'?)"),
        (Opt | None, {"lr": 1, "decay": 1}, "of Opt: lr, weight_decay, id"),
        (list[Opt], [{"lr": 1}, {"rl": 1}], "found the key 'rl', expected one of the fields of Opt"),
        (dict[str, Opt], {"a": {"rl": 1}}, "found the key 'rl'"),
        (Net, {"dept": 1}, "of Net: depth, opt (did you mean 'depth'?)"),
        (Net, {"opt": {"weight_deacy": 1}}, "of Opt: lr, weight_decay, id (did you mean 'weight_decay'?)"),
        (Entry, {"a": 1, "c": 2}, "of Entry: a, b"),
        (list[Entry], [{"c": 2}], "of Entry: a, b"),
        (Aliased, {"width": 64}, "found the key 'width', expected one of the fields of Aliased: w"),
        (Choices, {"width": 64}, "of Choices: w, size"),
        (Old, {"brdth": 64}, "of Old: width"),
        (set[Point], [{"x": 1}, {"x": 2, "z": 1}], "found the key 'z', expected one of the fields of Point: x, y"),
        (Scaled, {"scal": 2}, "of Scaled: x, scale (did you mean 'scale'?)"),
    ],
    ids=str,
)
def test_a_key_that_nothing_reads_is_refused_with_the_known_fields(annotation, written, expected):
    with pytest.raises(ValueError, match="found the key") as caught:
        signature(annotation).canonical("x", written)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    # but stored experiments run as before
    assert signature(annotation).bind({"x": written})


@pytest.mark.parametrize(
    ("annotation", "written", "name", "value"),
    [
        (Aliased, {"w": 64}, "width", 64),
        (Choices, {"w": 64}, "width", 64),
        (Choices, {"size": [64, 1]}, "width", 64),
        (Choices, {"size": [2]}, "width", 2),
        (Old, {"breadth": 64}, "width", 64),
        (Old, {"breadth": 2}, "width", 2),
        (Open, {"anything": 64}, "anything", 64),
        (Scaled, {"scale": 1}, "x", 1),
        (Scaled, {"x": 2, "scale": 3}, "x", 6),
    ],
    ids=str,
)
def test_a_key_that_something_reads_is_kept_as_written(annotation, written, name, value):
    taker = signature(annotation)
    assert taker.canonical("x", written) == written
    assert getattr(taker.bind({"x": written})["x"], name) == value


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ({"parameters": {"x.wieght_decay": [0, 0.1]}}, "parameters.x.wieght_decay"),
        ({"parameters": {"x": {"values": [{"nmae": "adam"}]}}}, "parameters.x.values.0"),
        ({"parameters": {"x": {"values": [{"lr": 1}]}, "x.rl": [1, 2]}}, "parameters.x.rl"),
        ({"parameters": {"y": [1, 2]}, "settings": {"x.lrr": 5}}, "settings.x.lrr"),
        ({"parameters": {"y": [1, 2]}, "settings": {"x": {"lrr": 5}}}, "settings.x"),
        ({"include": [{"x.lrr": 5}]}, "include.0.x.lrr"),
        ({"include": [{"x": {"lrr": 5}}]}, "include.0.x"),
    ],
    ids=str,
)
def test_an_ignored_key_is_refused_at_its_place_however_it_is_written(data, place):
    with pytest.raises(GridError, match="found the key") as caught:
        bind(Grid.from_dict({"study": "g", "function": "m:f", **data}), signature(typing.Annotated[Opt, "x"]))
    assert str(caught.value).startswith(f"grid, at {place}"), caught.value


def test_an_assigned_key_that_is_ignored_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "experiment.py").write_text(
        "import dataclasses\n@dataclasses.dataclass\nclass Opt:\n    lr: float = 0.1\ndef f(opt: Opt = Opt()): ...\n"
    )
    (tmp_path / "grid.yaml").write_text("function: experiment:f\nparameters: {opt.lr: [1]}\n")
    with pytest.raises(GridError, match=r"--set opt.learning_rate=1,2: .*expected one of the fields of Opt: lr"):
        checked(Grid.load(tmp_path / "grid.yaml", ["opt.learning_rate=1,2"]))
