"""Experiments in cells and replicates are sorted, averaged, chosen and paired like in a naive loop."""

import itertools
import math
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.analysis.table.cell_statistics import choose, everything, figures
from qexp.analysis.table.replicates import axes, open_experiments, units
from qexp.analysis.table.table_experiments import TableExperiments
from qexp.errors import OptionError
from qexp.model import Status
from qexp.store.reads.observations import CodedColumn
from qexp.store.reads.study_rows import StudyRow

DONE, FAILED = list(Status).index(Status.DONE), list(Status).index(Status.FAILED)


def study(name):
    return StudyRow(1, name, "m:f", None, "q", 0, False, None, None, 1, [], [], None)


def observed(rows, over=("seed",), names=("row", "column", "seed", "fold", "lr")):
    """Return experiments given as mappings of parameters, with `id`, `y`, `by` and `status` beside them."""
    size = len(rows)

    def coded(name):
        values = list(dict.fromkeys(row[name] for row in rows))
        return CodedColumn(np.array([values.index(row[name]) for row in rows], dtype=np.int32), values)

    nothing = CodedColumn(np.zeros(size, dtype=np.int8), [1])
    return TableExperiments(
        studies=(study("s"),),
        over=over,
        study=np.zeros(size, dtype=np.int16),
        ids=np.array([row["id"] for row in rows], dtype=np.int64),
        status=np.array([row["status"] for row in rows], dtype=np.int8),
        failure=np.full(size, -1, dtype=np.int8),
        revision=np.ones(size, dtype=np.int32),
        flags=np.zeros(size, dtype=np.int8),
        axes={name: coded(name) for name in names},
        rest=np.array([row.get("rest", 0) for row in rows], dtype=np.int32),
        worker=nothing,
        imported=nothing,
        metrics={name: np.array([row[name] for row in rows], dtype=np.float64) for name in ("y", "by")},
    )


NUMBERS = st.sampled_from([0.0, 0.25, 0.5, -1.5, 3.0, math.nan, math.inf])


@st.composite
def experiments(draw):
    """Draw some of the experiments of a grid, in any order, with any ids."""
    sizes = {name: draw(st.integers(1, 3)) for name in ("row", "column", "seed", "fold", "lr")}
    grid = [
        dict(zip(sizes, values, strict=True)) for values in itertools.product(*(range(size) for size in sizes.values()))
    ]
    chosen = draw(st.lists(st.sampled_from(grid), min_size=1, max_size=40, unique_by=lambda row: tuple(row.values())))
    ids = draw(st.permutations(range(1, len(chosen) + 1)))
    return [
        row
        | {"id": number, "y": draw(NUMBERS), "by": draw(NUMBERS), "status": draw(st.sampled_from([DONE, DONE, FAILED]))}
        for row, number in zip(chosen, ids, strict=True)
    ]


def grouped(rows, *names):
    """Return rows by their values of some names."""
    found = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def replicates(rows, largest, metric):
    """Return the means of a metric by seed: NaN if a fold is missing, not done or NaN."""
    return {
        seed: fmean(row[metric] for row in some)
        if len(some) == largest and all(row["status"] == DONE for row in some)
        else math.nan
        for (seed,), some in grouped(rows, "seed").items()
    }


def by_choice(rows):
    """Return, by value of lr, the replicates of both metrics."""
    found = {}
    for (lr,), some in grouped(rows, "lr").items():
        largest = max(len(one) for one in grouped(some, "seed").values())
        found[lr] = replicates(some, largest, "by"), replicates(some, largest, "y")
    return found


def order_of(rows, name):
    """Return the values of a name by their smallest id."""
    return sorted({row[name] for row in rows}, key=lambda value: min(row["id"] for row in rows if row[name] == value))


@given(experiments(), st.booleans())
def test_cells_equal_those_of_a_naive_loop(rows, maximize):
    # Given cells that show the value of lr that another metric prefers
    seen = observed(rows)
    found = units(seen, ["row"], ["column"], ["lr"])
    choice = choose(found, found.means(seen.metrics["by"]), maximize)
    made = figures(found, choice.taken, choice.of(found, found.means(seen.metrics["y"])), "mean±std")
    # Then each cell equals the result of a loop over its experiments
    for (row, column), some in grouped(rows, "row", "column").items():
        cell = found.rows.keys.index((row,)) * len(found.columns.keys) + found.columns.keys.index((column,))
        candidates = by_choice(some)
        lrs = [lr for lr in order_of(rows, "lr") if lr in candidates]
        finite = {lr: [v for v in candidates[lr][0].values() if math.isfinite(v)] for lr in lrs}
        complete = [lr for lr in lrs if finite[lr] and len(finite[lr]) == len(candidates[lr][0])]
        eligible = complete or [lr for lr in lrs if finite[lr]]
        if not eligible:
            assert (choice.chosen[cell], made.n[cell]) == (-1, 0)
            assert made.expected[cell] == len(candidates[lrs[0]][1])
            continue
        sign = 1 if maximize else -1
        best = max(fmean(finite[lr]) * sign for lr in eligible)
        chosen = found.choices.keys[choice.chosen[cell]][0]
        assert fmean(finite[chosen]) * sign == pytest.approx(best)
        expected = candidates[chosen][1]
        values = [value for value in expected.values() if math.isfinite(value)]
        assert (made.expected[cell], made.n[cell]) == (len(expected), len(values))
        assert sorted(made.of(cell).tolist()) == pytest.approx(sorted(values))
        if values:
            assert made.center[cell] == pytest.approx(fmean(values))


@given(experiments())
def test_rows_are_in_the_order_of_their_first_ids(rows):
    seen = observed(rows)
    assert [key for (key,) in axes(seen, ["row"]).keys] == order_of(rows, "row")
    both = axes(seen, ["row", "column"])
    ranks = [(order_of(rows, "row").index(row), order_of(rows, "column").index(column)) for row, column in both.keys]
    assert ranks == sorted(ranks)
    assert [both.keys[code] for code in both.codes.tolist()] == [(row["row"], row["column"]) for row in rows]


@given(experiments())
def test_an_open_axis_is_found_where_a_replicate_has_several_values(rows):
    seen = observed(rows)
    found = units(seen, ["row"], ["column"])
    opened = open_experiments(seen, found, ["fold"])
    same = grouped(rows, "row", "column", "seed", "fold").values()
    assert (opened is not None) == any(len(some) > 1 for some in same)
    if opened is not None:
        first, second = (rows[place] for place in opened)
        assert first["lr"] != second["lr"]
        assert [first[name] for name in ("row", "column", "seed", "fold")] == [
            second[name] for name in ("row", "column", "seed", "fold")
        ]


def test_replicates_are_paired_by_the_axes_over_which_they_are():
    rows = [
        {
            "row": row,
            "column": 0,
            "seed": seed,
            "fold": 0,
            "lr": 0,
            "id": number,
            "y": 10 * seed + row,
            "by": 0,
            "status": DONE,
        }
        for number, (row, seed) in enumerate([(0, 3), (0, 1), (1, 2), (1, 1), (0, 2), (1, 5)])
    ]
    seen = observed(rows)
    found = units(seen, ["row"], [])
    made = figures(found, everything(found).taken, found.means(seen.metrics["y"]), "mean±std")
    first, second = made.paired(0, 1)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(10, 11), (20, 21)]


def test_more_than_a_thousand_rows_are_refused():
    rows = [
        {"row": number, "column": 0, "seed": 0, "fold": 0, "lr": 0, "id": number, "y": 0, "by": 0, "status": DONE}
        for number in range(1001)
    ]
    with pytest.raises(OptionError, match='rows="row": found 1,001 rows, expected at most 1,000'):
        units(observed(rows), ["row"], [])
    assert len(units(observed(rows[1:]), ["row"], []).rows.keys) == 1000
