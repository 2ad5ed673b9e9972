"""Find the parameters and results that a table names in its studies, or refuse them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qexp.analysis.table.metric_directions import known_direction
from qexp.analysis.table.spec import TableSpec
from qexp.errors import OptionError, nearest
from qexp.store.reads.observation_sql import FACTS, ValueSource
from qexp.store.reads.study_rows import StudyRow
from qexp.store.schema.value_columns import FACTS as COLUMNS
from qexp.store.schema.value_columns import locate
from qexp.store.selection import where_parser
from qexp.truncation import listed

STUDY = "study"
"""The axis that tells studies apart; a parameter of this name is written `param.study`."""
DEFAULT_OVER = "seed"


def over_of(known: Sequence[StudyRow], spec: TableSpec) -> tuple[str, ...]:
    """Return the axes whose values are replicates: without `--over` it is `seed`, unless this has another role."""
    if spec.over is not None:
        return spec.over
    is_free = DEFAULT_OVER not in spec.axes and any(DEFAULT_OVER in study.parameters for study in known)
    return (DEFAULT_OVER,) if is_free else ()


def check_names(known: Sequence[StudyRow], spec: TableSpec, over: Sequence[str]) -> None:
    """Raise OptionError for a name that no study has, or that has two roles."""
    _check_roles(spec, over)
    _check_directions(spec)
    for name in (*spec.axes, *over):
        _check_axis(known, name)
    for name in spec.all_metrics:
        _check_metric(known, name)
    _check_by(known, spec)
    if spec.where is not None:
        check_where(known, where_parser.parse(spec.where))


def parameters(known: Sequence[StudyRow]) -> tuple[str, ...]:
    """Return the parameters of some studies, as axes are named."""
    names = dict.fromkeys(name for study in known for name in study.parameters)
    return tuple(f"param.{name}" if name == STUDY else name for name in names)


def axis_source(study: StudyRow, name: str) -> ValueSource | None:
    """Return the place of a parameter in a study. Returns None if the study has none of this name."""
    for prefix in (None, "param"):
        found = _locate(study, prefix, name)
        if found is not None and found.column == "params":
            return found
    return None


def metric_source(study: StudyRow, name: str) -> ValueSource | None:
    """Return the place of a metric, named as in frames. Returns None if the study has none of this name."""
    if name in FACTS and name in COLUMNS:
        return ValueSource("fact", ((name,),))
    for prefix in (None, "result"):
        found = _locate(study, prefix, name)
        if found is not None and found.column == "result":
            return found
    return ValueSource("fact", ((name,),)) if name in FACTS else None


def _locate(study: StudyRow, prefix: str | None, name: str) -> ValueSource | None:
    found = locate({"params": study.parameters, "result": study.results}, prefix, name.split("."))
    return None if found is None else ValueSource(found[0], tuple(found[1]))


def unknown_key(name: str, what: str, keys: Sequence[str]) -> OptionError:
    """Return the error for a parameter or result that no experiment has, as for a wrong key of a mapping."""
    return OptionError(f"no {what} {name!r}{nearest(name, keys) or _listed(keys)}")


def _check_roles(spec: TableSpec, over: Sequence[str]) -> None:
    roles = {
        "--rows": spec.rows,
        "--columns": spec.columns,
        "--over": over,
        "--average": spec.average,
        "--best": spec.best,
    }
    taken: dict[str, str] = {}
    for role, names in roles.items():
        for name in names:
            if name in taken:
                raise OptionError(f"{name!r} is in {taken[name]} and in {role}; an axis has one role")
            taken[name] = role
    if spec.best and spec.by is None:
        raise OptionError(f"--best {','.join(spec.best)}: say by which metric, such as --by val_{spec.metrics[0]}")
    if DEFAULT_OVER in spec.best:
        raise OptionError(
            f"--best {DEFAULT_OVER}: the luckiest {DEFAULT_OVER} would be shown; a {DEFAULT_OVER} is a replicate, "
            f"expected --over {DEFAULT_OVER}"
        )
    if spec.by is not None and not spec.best:
        raise OptionError(f"--by {spec.by}: say what it chooses, such as --best lr")


def _check_directions(spec: TableSpec) -> None:
    """Refuse one direction for several metrics if the name of a metric contradicts it."""
    for metric in spec.metrics if len(spec.metrics) > 1 else ():
        if spec.maximize is not None and known_direction(metric) is (not spec.maximize):
            option, better = ("--max", "smaller") if spec.maximize else ("--min", "larger")
            raise OptionError(f"{option} holds for every metric, and {metric} is better if {better}; leave it out")


def _check_by(known: Sequence[StudyRow], spec: TableSpec) -> None:
    """Refuse a selection by the metric that the table shows, under any of its names."""
    if spec.by is None:
        return
    for study in known:
        if metric_source(study, spec.by) in [metric_source(study, metric) for metric in spec.metrics]:
            raise same_metric(spec.by, "the table shows this metric")


def same_metric(by: str, why: str) -> OptionError:
    """Return the error for a selection by the metric that the table shows."""
    return OptionError(
        f"--by {by}: {why}, so the best of several values would look too good; "
        "choose by another one, such as a validation metric"
    )


def check_where(known: Sequence[StudyRow], condition: where_parser.Condition, what: str = "table") -> None:
    """Refuse names that are no parameters: experiments chosen by their results look better than they are."""
    for name in where_parser.names(condition):
        is_fact = name.prefix is None and len(name.path) == 1 and name.path[0] in ("id", *COLUMNS)
        found = [locate({"params": one.parameters, "result": one.results}, name.prefix, name.path) for one in known]
        if is_fact or any(one is not None and one[0] == "result" for one in found):
            raise OptionError(
                f"--where {name.text}: a {what} is narrowed by parameters only; "
                "experiments chosen by their results or status look better than they are"
            )


def _check_axis(known: Sequence[StudyRow], name: str) -> None:
    if name == STUDY and len(known) == 1 and STUDY in known[0].parameters:
        raise OptionError(f"{name!r} stands for the studies; the parameter of this name is 'param.{name}'")
    if name == STUDY or any(axis_source(study, name) is not None for study in known):
        return
    if any(metric_source(study, name) is not None for study in known):
        raise OptionError(f"{name!r} is a result, expected a parameter; results are metrics: --metric {name}")
    parameters = dict.fromkeys(parameter for study in known for parameter in study.parameters)
    raise OptionError(f"there is no parameter {name!r}{nearest(name, parameters) or _listed(parameters)}")


def _check_metric(known: Sequence[StudyRow], name: str) -> None:
    for study in known:
        if metric_source(study, name) is None:
            if not study.results:
                raise OptionError(f"{study.name}: nothing is done yet; 'qexp status {study.name}' counts what is open")
            if axis_source(study, name) is not None:
                raise OptionError(f"{name!r} is a parameter of {study.name}, expected a result{_listed(study.results)}")
            results = [*study.results, *FACTS]
            hint = nearest(name, results) or _listed(study.results)
            raise OptionError(f"the study {study.name} has no result {name!r}{hint}")


def _listed(names: Mapping[str, None] | Sequence[str]) -> str:
    return f"; there are {listed([*names], 8)}" if names else "; there are none yet"
