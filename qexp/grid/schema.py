"""The keys of a grid file as a pydantic model, and its errors as messages with a line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    ValidationError,
    WithJsonSchema,
)

from qexp.errors import GridError, nearest
from qexp.grid.axis_forms import FORMS, LISTED, MAX_VALUES, TAG, AxisForm
from qexp.grid.quantiles import Sampling
from qexp.grid.yaml_source import LocatedData
from qexp.model import DEFAULT_QUEUE, Json, shown
from qexp.notification_addresses import addresses, hidden
from qexp.pydantic_errors import expected, expected_one_of
from qexp.serialization import KeyText
from qexp.study_names import STUDY_NAME, STUDY_NAME_RULE, possible_name, proposed
from qexp.units import size, span


def _study_name(value: str) -> str:
    if not STUDY_NAME.fullmatch(value):
        raise ValueError(f"expected {STUDY_NAME_RULE}{proposed(value)}")
    return value


def _no_number(value: Any) -> Any:
    """Refuse a number as the name of a study, with a name that is like it."""
    return _study_name(str(value)) if isinstance(value, int | float) and not isinstance(value, bool) else value


_LONGEST_NAME = 200


def _parameter_name(value: Any) -> Any:
    """Allow dotted names, which set a key of a mapping, and names that only **params accepts."""
    if isinstance(value, KeyText):
        raise ValueError("expected text; quote it")
    if isinstance(value, str) and not (
        len(value) <= _LONGEST_NAME and value.isprintable() and value == value.strip() and all(value.split("."))
    ):
        raise ValueError(f"expected at most {_LONGEST_NAME} printable characters, with text before and after each dot")
    return value


def _function_name(value: str) -> str:
    module, _, attribute = value.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    if module.endswith(".py") or not all(part.isidentifier() for part in parts):
        raise ValueError(f"expected module:name, {_function_hint(module, attribute)}")
    return value


def _function_hint(module: str, attribute: str) -> str:
    """Return the probable module and name for a file, a call, or a dot instead of the colon."""
    path, name = PurePosixPath(module.removesuffix(".py")), attribute.strip(":").removesuffix("()")
    stem = path.name
    if not name and not module.endswith(".py"):
        stem, _, name = stem.rpartition(".")
    if not all(part.isidentifier() for part in [*stem.split("."), *name.split(".")]):
        return "such as experiment:evaluate"
    without = "without .py: " if module.endswith(".py") else "such as "
    folder = "" if str(path.parent) == "." else f" with folder: {path.parent}"
    return f"{without}{stem}:{name}{folder}"


def _limit(value: Any) -> float | None:
    """Let 0 mean no limit, so that a grid can remove the limit of its base."""
    return None if value is None else span(value) or None


def _memory(value: Any) -> int | None:
    return None if value is None else size(value) or None


def _budgets(value: Any) -> Any:
    """Let one number mean the retries after errors."""
    return {"error": value} if isinstance(value, int) and not isinstance(value, bool) else value


def _limited(value: Any) -> Any:
    """Refuse `stop_after` without a limit."""
    if not isinstance(value, Mapping) or all(limit is None for limit in value.values()):
        raise ValueError("expected a limit such as {failures: 20} or {rate: 0.5}")
    return value


def _pattern(value: str) -> str:
    """Return a pattern of files below the folder. Raises ValueError for paths that lead out of it."""
    path = PurePosixPath(value)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in value:
        raise ValueError("expected a path or pattern below the folder, such as data/points.npy or data/*.npy")
    if any("**" in part and part != "**" for part in path.parts):
        raise ValueError("expected ** alone between slashes, such as data/**/*.npy")
    return value


def _patterns(value: Any) -> Any:
    return [value] if isinstance(value, str) else _as_list(value)


def _addresses(value: Any) -> list[str]:
    return addresses([] if value is None else value)


def _as_list(value: Any) -> Any:
    """Let an empty section (`exclude:` with nothing below) mean none."""
    return [] if value is None else value


def _as_mapping(value: Any) -> Any:
    return {} if value is None else value


Name = Annotated[str, BeforeValidator(_parameter_name)]
Row = dict[Name, Json]
Rule = Annotated[dict[Name, Json], Field(min_length=1)]
Axes = Annotated[dict[Name, AxisForm], Field(min_length=1)]
_MOST = 2**31 - 1
"""The largest value of an integer column in Postgres."""
Budget = Annotated[StrictInt, Field(ge=0, le=_MOST)]
_TIME = WithJsonSchema({"anyOf": [{"type": "string"}, {"enum": [0, None]}], "examples": ["2h", "90s", "12:00:00"]})
_SIZE = WithJsonSchema({"anyOf": [{"type": "string"}, {"enum": [0, None]}], "examples": ["4GB", "500MB"]})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class When(_Section):
    """Parameters that exist only where a condition holds."""

    condition: Rule = Field(alias="if", description="equality: keys are ANDed, a list means any of these")
    parameters: Annotated[dict[Name, AxisForm], BeforeValidator(_as_mapping)] = Field(
        default_factory=dict, description="axes that exist only there; those that are drawn form one axis"
    )
    zip: Annotated[list[Axes], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="each entry is one axis whose names move together, only there"
    )


class Retries(_Section):
    """The retries for each kind of failure."""

    error: Budget = 0
    timeout: Budget = 0
    crashed: Budget = 1
    lost: Budget = 5
    released: Budget = 100
    delay: Annotated[float, BeforeValidator(span), _TIME] = Field(
        10.0, description="before the first retry; each further one waits twice as long, at most 1h"
    )


class StopAfter(_Section):
    """The failure limit, which pauses the study."""

    failures: Annotated[StrictInt, Field(ge=1, le=_MOST)] | None = Field(
        None, description="so many experiments have failed"
    )
    rate: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="such a share of those that ended has failed, judged from 10 that ended on"
    )


class SourceFiles(_Section):
    """The files that the snapshot takes in addition to code and small text."""

    include: Annotated[
        list[Annotated[str, AfterValidator(_pattern)]],
        BeforeValidator(_patterns),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(
        default_factory=list,
        description="paths or patterns below the folder, such as data/*.npy; they win over ignore files",
    )


def _source_tag(value: Any) -> str:
    return TAG + ("files" if isinstance(value, Mapping | SourceFiles) else "word")


Source = Annotated[
    Annotated[Literal["snapshot", "installed"], Tag(TAG + "word")] | Annotated[SourceFiles, Tag(TAG + "files")],
    Discriminator(_source_tag),
]


class GridFile(_Section):
    """A grid: the parameter sets of a study and how to run them."""

    study: Annotated[
        str,
        BeforeValidator(_no_number),
        AfterValidator(_study_name),
        Field(description="the study's name; default: the file's stem"),
    ]
    function: Annotated[str, AfterValidator(_function_name), Field(description="module:name of the function")]
    folder: str | None = Field(
        None, description="the folder that holds the code, relative to this file; default: the one of this file"
    )
    description: str = Field("", description="free text")
    base: str | None = Field(
        None, description="another grid file, relative to this one, whose keys this one takes over"
    )
    parameters: Annotated[dict[Name, AxisForm], BeforeValidator(_as_mapping)] = Field(
        default_factory=dict, description="one axis each; the first varies slowest, the last fastest"
    )
    sampling: Sampling | None = Field(None, description="how drawn parameters are drawn")
    seeds: Annotated[StrictInt, Field(ge=1, le=MAX_VALUES)] | Annotated[list[StrictInt], Field(min_length=1)] | None = (
        Field(None, description="how many, counted from 0, or which: one more axis, named seed, the fastest")
    )
    zip: Annotated[list[Axes], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="each entry is one axis whose names move together"
    )
    when: Annotated[list[When], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="parameters that exist only where a condition holds"
    )
    exclude: Annotated[list[Rule], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="rules that drop experiments: ORed; keys inside a rule are ANDed"
    )
    include: Annotated[list[Row], BeforeValidator(_as_list)] = Field(
        default_factory=list, description="whole experiments beside the product"
    )
    settings: Annotated[Row, BeforeValidator(_as_mapping)] = Field(
        default_factory=dict, description="given to the function with the parameters; not varied, not identity"
    )
    queue: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] = Field(
        DEFAULT_QUEUE, description="the Celery queue that the ids are announced on"
    )
    priority: Annotated[StrictInt, Field(ge=-1000, le=1000)] = Field(0, description="higher goes first")
    order: Literal["grid", "longest_first"] = Field(
        "grid", description="longest_first: begin with what should take longest, as far as those that are done tell"
    )
    timeout: Annotated[float | None, BeforeValidator(_limit), _TIME] = Field(
        None, description="per attempt: 90s, 30m, 2h, 1d, or as Slurm has it, 12:00:00; 0: none"
    )
    memory: Annotated[int | None, Field(le=2**63 - 1), BeforeValidator(_memory), _SIZE] = Field(
        None, description="per attempt, its child processes included: 500MB, 4GB; 0: no limit"
    )
    retries: Annotated[Retries, BeforeValidator(_budgets)] = Field(
        default_factory=Retries, description="a budget per way of failing, or one number, for error"
    )
    stop_after: Annotated[StopAfter, BeforeValidator(_limited)] | None = Field(
        None, description="pause the study after so many failures; counted since it was made or resumed last"
    )
    notify: Annotated[
        list[str],
        BeforeValidator(_addresses),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
    ] = Field(default_factory=list, description="where messages about the study go: slack://…, mailto://…, by apprise")
    isolation: Literal["child", "process"] = Field(
        "child", description="process: each experiment in a Python of its own, for code that leaks (CUDA, threads)"
    )
    source: Source = Field(
        "snapshot",
        description="snapshot: run the code of the enqueue; installed: run the code that workers find; "
        "{include: [data/*.npy]}: a snapshot with these data files",
    )
    output: Annotated[int, Field(ge=1, le=_MOST), BeforeValidator(size), _SIZE] = Field(
        65_536, description="so much of what an attempt prints is kept, of its beginning and its end"
    )

    @property
    def included(self) -> list[str]:
        """The patterns of the files that the snapshot takes in addition."""
        return self.source.include if isinstance(self.source, SourceFiles) else []


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a grid file, for editors; `study` defaults to the file's name."""
    schema = GridFile.model_json_schema(by_alias=True)
    schema["required"] = ["function"]
    schema["patternProperties"] = {"^x-": {"description": "yours: a place for anchors"}}
    schema["properties"]["retries"] = {"anyOf": [{"type": "integer", "minimum": 0}, schema["properties"]["retries"]]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "qexp grid"}


def validate(source: LocatedData, default_study: str | None) -> GridFile:
    """Return the validated grid file. Raises GridError for the first mistake."""
    data = source.data
    if data is None:
        raise source.error("the grid is empty; expected a mapping with 'function' and 'parameters'")
    if not isinstance(data, Mapping):
        raise source.error(f"found {shown(data)}, expected a mapping with 'function' and 'parameters'")
    if "study" not in data and default_study is not None:
        if not STUDY_NAME.fullmatch(default_study):
            raise source.error(
                f"no 'study' is given and the file's name {default_study!r} cannot be one: expected {STUDY_NAME_RULE}; "
                f"add 'study: {possible_name(default_study) or 'a_name'}'"
            )
        data = {"study": default_study, **data}
    try:
        return GridFile.model_validate(data)
    except ValidationError as error:
        raise _sentence(source, [dict(item) for item in error.errors(include_url=False)]) from error


def _sentence(source: LocatedData, errors: list[dict[str, Any]]) -> GridError:
    """Return a message about pydantic's first error: found, expected, and the most similar known word."""
    unknown = [item for item in errors if item["type"] == "extra_forbidden"]
    error = (unknown or errors)[0]
    location = tuple(part for part in error["loc"] if not str(part).startswith(TAG))
    kind, found = error["type"], error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(source, location)
    if kind == "missing":
        hint = "; add 'function: module:name'" if location[-1] == "function" else ""
        return source.error(f"the key {location[-1]!r} is missing{hint}", *location[:-1])
    if kind == "union_tag_not_found":
        return _unknown_form(source, location, found)
    if kind == "too_short" and not found:
        empty = (
            "a rule without keys would match every experiment" if isinstance(found, Mapping) else "the list is empty"
        )
        return source.error(f"{empty}; expected at least one entry", *location)
    if "[key]" in location:
        location = tuple(part for part in location if part != "[key]")
        return source.error(
            f"found the name {found if isinstance(found, KeyText) else repr(found)}, expected {expected(error)}",
            *location,
            key=True,
        )
    if location[:1] == ("notify",):  # it holds secrets
        hint = hidden(found) if isinstance(found, str) else f"a value of type {type(found).__name__}"
        return source.error(f"notify: found {hint}, expected {expected(error)}", *location)
    alternatives = [item for item in errors if item["input"] is found]
    return source.error(f"{_named(location)}found {shown(found)}, expected {expected_one_of(alternatives)}", *location)


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "sampling": Sampling,
    "retries": Retries,
    "stop_after": StopAfter,
    "when": When,
    "source": SourceFiles,
}


def _unknown_key(source: LocatedData, location: tuple[str | int, ...]) -> GridError:
    key, inside = str(location[-1]), location[:-1]
    section = _SECTIONS.get(str(inside[0])) if inside and (inside[0] != "when" or len(inside) == 2) else None
    if inside and section is None:
        return source.error(f"found the key {key!r} beside a form, expected only one form", *location, key=True)
    known = [field.alias or name for name, field in (section or GridFile).model_fields.items()]
    within = f" in {inside[0]!r}" if inside else ""
    return source.error(f"there is no key {key!r}{within}{nearest(key, known)}", *location, key=True)


def _unknown_form(source: LocatedData, location: tuple[str | int, ...], found: Any) -> GridError:
    if not isinstance(found, Mapping):
        return source.error(f"found {shown(found)}, expected a list of values", *location)
    guess = next((hint for key in found if (hint := nearest(str(key), FORMS))), "")
    forms = ", ".join(FORMS if location[0] == "parameters" else LISTED)
    return source.error(
        f"parameter {location[-1]!r}: a mapping must be one of the forms {forms}{guess}; "
        f"for a mapping as a value write {{values: [{{…}}]}}",
        *location,
    )


def _named(location: tuple[str | int, ...]) -> str:
    """Return the beginning of an error: the name of the parameter or key."""
    if "parameters" in location[:-1]:
        return f"parameter {location[location.index('parameters') + 1]!r}: "
    inside = location[1:2] if location and location[0] in _SECTIONS else ()
    return f"{'.'.join(map(str, [*location[:1], *inside]))}: " if location else ""
