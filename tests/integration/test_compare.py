"""Comparisons pair results by all other parameters and seeds; their figures equal those of scipy."""

import itertools
import math
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats
from study_support import made_study

import qexp
from qexp.client import Study
from qexp.client.tables_and_comparisons import compare
from qexp.errors import OptionError, RefusedError
from qexp.model import Failure
from qexp.store.selection.selectors import parse

DATASETS = ["iris", "wine", "digits", "cars", "birds", "coins"]
GRID = {"model": ["svm", "tree"], "dataset": DATASETS, "seed": {"range": [0, 5]}}


@pytest.fixture
def made(client, raw, tmp_path):
    """Give studies of different names."""
    count = iter(range(100))
    return lambda: made_study(client, raw, tmp_path / str(next(count)), "cmp")


def noisy(generator, base=0.8):
    """Return results that differ by model and dataset, with noise."""
    shift = {"svm": 0.05, "tree": 0.0, "mlp": 0.02}
    return lambda params: {
        "accuracy": round(base + shift.get(params.get("model"), 0) + generator.gauss(0, 0.03), 3),
        "loss": generator.random(),
    }


def means(rows, by, blocks):
    """Return the means over the common seeds, as blocks x methods."""
    wide = rows.pivot_table(index=[*blocks, "seed"], columns=by, values="accuracy", sort=False).dropna()
    return wide.groupby(level=blocks, sort=False).mean()


def test_seeds_are_averaged_and_combinations_are_the_units(client, made):
    # Given two models on six datasets with five seeds
    study = made().enqueue(GRID).finish(noisy(random.Random(1)))
    # When the models are compared
    found = Study(study.name, client).compare("model", "accuracy")
    (pair,) = found.pairs
    # Then the figures use the six means, not thirty results
    wide = means(client.frame(parse([study.name])), "model", ["dataset"])
    differences = (wide.svm - wide.tree).round(13)
    assert (pair.first, pair.second, pair.figures.n, pair.results) == ("svm", "tree", 6, 30)
    assert pair.figures.difference == pytest.approx(differences.mean())
    interval = stats.ttest_rel(wide.svm, wide.tree).confidence_interval(0.95)
    assert (pair.figures.low, pair.figures.high) == pytest.approx((interval.low, interval.high))
    assert pair.p == pytest.approx(stats.wilcoxon(wide.svm, wide.tree, method="exact").pvalue)
    assert pair.figures.cohens_dz == pytest.approx(differences.mean() / differences.std())
    assert (pair.figures.wins, pair.figures.losses) == ((differences > 0).sum(), (differences < 0).sum())
    assert "n = 6: values of dataset, each the mean over the values of seed that both have (30 results each)" in (
        " ".join(repr(found).split())
    )


def test_seeds_are_the_units_where_there_is_one_combination(client, made):
    study = made().enqueue({"model": ["svm", "tree"], "seed": {"range": [0, 8]}}).finish(noisy(random.Random(2)))
    (pair,) = compare(study.name, by="model", metric="accuracy", client=client).pairs
    wide = client.frame(parse([study.name])).pivot_table(index="seed", columns="model", values="accuracy")
    assert pair.figures.n == 8
    assert pair.p == pytest.approx(stats.wilcoxon((wide.svm - wide.tree).round(12), method="exact").pvalue)


def test_with_per_each_dataset_is_compared_over_seeds_and_p_is_corrected_over_all(client, made):
    grid = {**GRID, "dataset": ["iris", "wine"], "seed": {"range": [0, 9]}}
    study = made().enqueue(grid).finish(noisy(random.Random(3)))
    found = compare(study.name, by="model", metric="accuracy", per="dataset", test="ttest", client=client)
    rows = client.frame(parse([study.name]))
    raw = []
    for pair in found.pairs:
        wide = rows[rows.dataset == pair.group[0]].pivot_table(index="seed", columns="model", values="accuracy")
        raw.append(stats.ttest_rel(wide.svm, wide.tree).pvalue)
        assert pair.figures.n == 9
    smallest, largest = sorted(raw)
    holm = {smallest: min(1, 2 * smallest), largest: min(1, max(2 * smallest, largest))}
    assert [pair.p for pair in found.pairs] == pytest.approx([holm[p] for p in raw])


def test_a_group_with_the_name_of_a_figure_is_a_column_of_its_own(client, made):
    study = made().enqueue({"model": ["svm", "tree"], "n": [10, 20], "seed": [0, 1]}).finish(noisy(random.Random(3)))
    found = compare(study.name, by="model", metric="accuracy", per="n", client=client)
    assert found.frame["param.n"].tolist() == ["10", "20"]
    assert found.frame.n.tolist() == [2, 2]
    assert found.data()["pairs"][0]["param.n"] == "10"


def test_a_p_that_so_few_pairs_cannot_reach_is_not_shown_but_the_needed_n(client, made):
    study = made().enqueue({**GRID, "dataset": DATASETS[:3]}).finish(noisy(random.Random(4)))
    found = compare(study.name, by="model", metric="accuracy", client=client)
    (pair,) = found.pairs
    assert (pair.p, pair.figures.needed_n) == (None, 6)
    assert "The Wilcoxon signed-rank test cannot tell svm and tree apart with 3 pairs." in repr(found)
    assert "--per dataset compares within each, over seed" in repr(found)
    assert math.isnan(found.frame.p[0])
    assert found.frame.needed_n[0] == 6


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 7), st.integers(1, 4), st.integers(0, 6))
def test_figures_are_those_of_pandas_and_scipy_on_the_same_rows(client, raw, tmp_path_factory, seed, a, b, c, lost):
    # Given a study with some failed experiments
    generator = random.Random(seed)
    models = ["svm", "tree", "mlp", "knn"][:a]
    grid = {"model": models, "dataset": [*DATASETS, "last"][:b], "seed": {"range": [0, c]}}
    study = made_study(client, raw, tmp_path_factory.mktemp("study"), "cmp").enqueue(grid)
    failed = generator.sample(range(a * b * c), min(lost, a * b * c - 1))
    number, ok = itertools.count(), noisy(generator)
    study.finish(lambda params: Failure.ERROR if next(number) in failed else ok(params))
    # When all pairs are compared
    found = compare(study.name, by="model", metric="accuracy", test="ttest", correction="none", client=client)
    # Then each pair has the figures of the common rows
    rows = client.frame(parse([study.name]))
    rows = rows[rows.status == "done"]
    assert len(found.pairs) == a * (a - 1) // 2
    for pair in found.pairs:
        both = rows[rows.model.isin([pair.first, pair.second])]
        wide = both.pivot_table(index=["dataset", "seed"], columns="model", values="accuracy", sort=False)
        wide = wide.reindex(columns=[pair.first, pair.second]).dropna()
        assert pair.results == len(wide)
        if b > 1:
            wide = wide.groupby(level="dataset").mean()
        differences = wide[pair.first] - wide[pair.second]
        assert pair.figures.n == len(differences)
        if len(differences):
            assert pair.figures.difference == pytest.approx(differences.mean(), abs=1e-12)
            assert pair.first_mean == pytest.approx(wide[pair.first].mean())
        if len(differences) > 1 and differences.std() > 1e-9:
            tested = stats.ttest_rel(wide[pair.first], wide[pair.second])
            assert pair.p == pytest.approx(tested.pvalue, rel=1e-6)
            interval = tested.confidence_interval(0.95)
            assert (pair.figures.low, pair.figures.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_unpaired_experiments_are_named_with_their_reason_and_command(client, made):
    def outcome(params):
        match params["model"], params["dataset"], params["seed"]:
            case "svm", "iris", 0:
                return Failure.ERROR
            case "tree", "wine", 1:
                return None
            case _, "cars", 2:
                return {"accuracy": math.nan}
        return {"accuracy": 0.5 + params["seed"] / 100}

    study = made().enqueue(GRID, exclude=[{"model": "tree", "dataset": "coins"}]).finish(outcome)
    found = compare(study.name, by="model", metric="accuracy", client=client)
    assert found.pairs[0].figures.n == 5
    assert found.pairs[0].results == 22
    said = {note.text: note.command for note in found.notes if note.kind == "unpaired"}
    shown = "qexp show {},{}".format(*study.ids("dataset = 'cars' and seed = 2"))
    assert said == {
        "not paired: 1 of svm, failed (1 error): iris, seed 0": f"qexp requeue {study.name} --status failed",
        "not paired: 1 result of each method, done without a finite accuracy: cars, seed 2": shown,
        "not paired: 1 of tree, queued: wine, seed 1": f"qexp wait {study.name}",
        "not paired: 5 of tree, not in the grid: coins, seed 0; coins, seed 1; coins, seed 2 and 2 more": "",
    }


def test_two_studies_are_paired_by_all_parameters_and_their_differences_named(client, made):
    # Given two studies with different settings and code; one has fewer seeds
    one = made().enqueue(GRID, settings={"epochs": 10}).finish(noisy(random.Random(5)))
    other = made().enqueue({**GRID, "seed": {"range": [0, 4]}}, "def f(**given): return 1\n", settings={"epochs": 20})
    other.finish(noisy(random.Random(6), base=0.7))
    # When the studies are compared
    found = qexp.compare(one.name, other.name, metric="accuracy", client=client)
    # Then each combination of model and dataset is a pair over the common seeds
    (pair,) = found.pairs
    assert (pair.first, pair.second, pair.figures.n, pair.results) == (one.name, other.name, 12, 48)
    rows = [client.frame(parse([name])) for name in found.studies]
    wide = pd.concat([frame.assign(study=name) for frame, name in zip(rows, found.studies, strict=True)])
    blocks = means(wide, "study", ["model", "dataset"])
    assert pair.figures.difference == pytest.approx((blocks[one.name] - blocks[other.name]).mean())
    notes = {note.kind: note.text for note in found.notes}
    assert notes["settings"] == (f"the studies have different settings: epochs = 10 in {one.name}, 20 in {other.name}")
    assert notes["code"] == "files that differ: experiment.py"
    assert notes["unpaired"].startswith(f"not paired: 12 of {other.name}, not in the grid: svm, iris, seed 4;")


def test_a_parameter_that_each_study_has_once_belongs_to_the_study(client, made):
    one = made().enqueue({**GRID, "lr": [0.1]}).finish(noisy(random.Random(5)))
    other = made().enqueue(GRID).finish(noisy(random.Random(6)))
    found = compare(one.name, other.name, metric="accuracy", client=client)
    assert found.pairs[0].figures.n == 12
    note = next(note for note in found.notes if note.kind == "fixed")
    assert note.text == f"lr differs with study: 0.1 for {one.name}, — for {other.name}"


def test_a_parameter_that_only_one_method_has_is_averaged_or_refused(client, made):
    when = [{"if": {"model": "svm"}, "parameters": {"c": [1, 10]}}]
    study = made().enqueue(GRID, when=when).finish(noisy(random.Random(7)))
    with pytest.raises(OptionError, match='svm has 2 values; average with average="c", or'):
        compare(study.name, by="model", metric="accuracy", client=client)
    (pair,) = compare(study.name, by="model", metric="accuracy", average="c", client=client).pairs
    rows = client.frame(parse([study.name]))
    wide = rows.groupby(["model", "dataset"]).accuracy.mean().unstack("model")
    assert (pair.figures.n, pair.results) == (6, 30)
    assert pair.figures.difference == pytest.approx((wide.svm - wide.tree).mean())


def test_averages_over_different_folds_are_noted(client, made):
    # Given a method that has more folds than the other
    grid = {"model": ["svm", "tree"], "fold": [0, 1, 2], "seed": {"range": [0, 6]}}
    study = made().enqueue(grid, exclude=[{"model": "tree", "fold": 2}]).finish(noisy(random.Random(8)))
    # When folds are averaged, then a note names it
    found = compare(study.name, by="model", metric="accuracy", average="fold", client=client)
    assert [note.text for note in found.notes if note.kind == "average"] == [
        "the averages are over different values of fold: 0, 1, 2 for svm; 0, 1 for tree"
    ]
    # And there is no note if both have the same folds
    found = compare(study.name, by="model", metric="accuracy", average="fold", where="fold < 2", client=client)
    assert not [note for note in found.notes if note.kind == "average"]


def test_folds_that_depend_on_another_parameter_are_the_same_for_both_methods(client, made):
    grid = {"model": ["svm", "tree"], "dataset": ["iris", "wine"], "fold": [0, 1], "seed": [0, 1]}
    study = made().enqueue(grid, exclude=[{"dataset": "wine", "fold": 1}]).finish(noisy(random.Random(8)))
    found = compare(study.name, by="model", metric="accuracy", average="fold", client=client)
    assert not [note for note in found.notes if note.kind == "average"]


def test_seeds_are_the_units_of_a_group_that_determines_a_parameter(client, made):
    # Given datasets with different numbers of classes
    when = [{"if": {"dataset": name}, "parameters": {"classes": [n + 2]}} for n, name in enumerate(DATASETS)]
    study = made().enqueue(GRID, when=when).finish(noisy(random.Random(20)))
    # When each dataset is compared
    found = compare(study.name, by="model", metric="accuracy", per="dataset", client=client)
    # Then its seeds are the pairs
    assert [pair.figures.n for pair in found.pairs] == [5] * 6
    assert found.unit == "values of seed"
    assert not [note for note in found.notes if note.kind == "unit"]


def test_a_group_of_one_combination_is_compared_over_seeds_beside_a_group_of_several(client, made):
    grid = {"model": ["svm", "tree"], "dataset": ["iris", "wine"], "depth": [1, 2, 3], "seed": {"range": [0, 5]}}
    exclude = [{"dataset": "iris", "depth": 2}, {"dataset": "iris", "depth": 3}]
    study = made().enqueue(grid, exclude=exclude).finish(noisy(random.Random(21)))
    found = compare(study.name, by="model", metric="accuracy", per="dataset", client=client)
    assert [(pair.group, pair.figures.n) for pair in found.pairs] == [(("iris",), 5), (("wine",), 3)]
    assert found.unit == (
        "values of depth, each the mean over the values of seed that both have; values of seed in iris"
    )
    note = next(note.text for note in found.notes if note.kind == "unit")
    assert note == "--per dataset,depth compares within each, over seed"


def test_means_of_a_matrix_fit_its_differences_or_a_note_says_that_they_use_more_results(client, made):
    # Given three models; one has failed on a dataset
    lines = "mean: all results of a method; differences: results that both have"
    grid, result = {**GRID, "model": ["svm", "tree", "mlp"]}, noisy(random.Random(22))
    whole, lacking = made().enqueue(grid).finish(result), made().enqueue(grid)
    lacking.finish(lambda params: Failure.ERROR if params["model"] == "svm" and params["seed"] == 0 else result(params))
    # When all pairs are compared, then a note says whether the means use all results
    found = compare(whole.name, by="model", metric="accuracy", client=client)
    assert lines not in " ".join(repr(found).split())
    for pair in found.pairs:
        mean = dict(zip(found.methods, found.means, strict=True))
        assert pair.figures.difference == pytest.approx(mean[pair.first] - mean[pair.second])
    found = compare(lacking.name, by="model", metric="accuracy", client=client)
    assert lines in " ".join(repr(found).split())


def test_folds_are_averaged_within_each_seed(client, made):
    grid = {"model": ["svm", "tree"], "fold": [0, 1, 2], "seed": {"range": [0, 6]}}
    study = made().enqueue(grid).finish(noisy(random.Random(8)))
    found = compare(study.name, by="model", metric="accuracy", average="fold", client=client)
    wide = client.frame(parse([study.name])).groupby(["model", "seed"]).accuracy.mean().unstack("model")
    assert found.pairs[0].figures.n == 6
    assert found.pairs[0].p == pytest.approx(stats.wilcoxon((wide.svm - wide.tree).round(12)).pvalue)


def test_a_part_of_a_mapping_is_compared_and_its_rest_pairs(client, made):
    values = [{"name": name, "lr": lr} for name in ("sgd", "adam") for lr in (0.1, 0.2, 0.3)]
    study = made().enqueue({"optimizer": {"values": values}, "seed": {"range": [0, 4]}})
    study.finish(lambda params: {"accuracy": params["optimizer"]["lr"] + (params["optimizer"]["name"] == "adam")})
    (pair,) = compare(study.name, by="optimizer.name", metric="accuracy", client=client).pairs
    assert (pair.first, pair.second, pair.figures.n, pair.figures.difference) == ("sgd", "adam", 3, -1)


def test_ranks_are_those_of_demsar(client, made):
    grid = {**GRID, "model": ["svm", "tree", "mlp"]}
    study = made().enqueue(grid).finish(noisy(random.Random(1)))
    found = compare(study.name, by="model", metric="accuracy", ranks=True, client=client)
    wide = means(client.frame(parse([study.name])), "model", ["dataset"])
    ranks = wide.rank(axis=1, ascending=False).mean().sort_values()
    assert found.ranks.blocks == 6
    assert found.ranks.methods == tuple(ranks.index)
    assert found.ranks.ranks == pytest.approx(tuple(ranks))
    assert found.ranks.friedman_p == pytest.approx(stats.friedmanchisquare(*wide.T.to_numpy()).pvalue)
    quantile = stats.studentized_range.ppf(0.95, 3, np.inf) / math.sqrt(2)
    assert found.ranks.critical_difference == pytest.approx(quantile * math.sqrt(3 * 4 / (6 * 6)))
    assert "average rank" in repr(found)


def test_ranks_without_a_significant_friedman_test_have_no_groups(client, made):
    # Given three models, each the best in turn
    study = made().enqueue({**GRID, "model": ["svm", "tree", "mlp"]})
    places = {"svm": 0, "tree": 1, "mlp": 2}
    study.finish(lambda params: {"accuracy": (places[params["model"]] + DATASETS.index(params["dataset"])) % 3})
    # When they are ranked
    found = compare(study.name, by="model", metric="accuracy", ranks=True, client=client)
    # Then no groups are formed
    assert (found.ranks.friedman_p, found.ranks.critical_difference, found.ranks.groups) == (1, None, ())
    for text in (repr(found), found._repr_html_()):
        assert "The Friedman test does not tell the 3 methods apart" in " ".join(text.split())
        assert "Nemenyi" not in text


@pytest.mark.parametrize("shifts", [(0, 1, 2, 3, 4), (0, 0.01, 0.02, 0.5, 0.51)])
def test_a_notebook_shows_the_friedman_test_and_all_groups_of_ranks(client, made, shifts):
    # Given five models with some close to each other
    models = [f"m{number}" for number in range(5)]
    study = made().enqueue({**GRID, "model": models})
    generator = random.Random(3)
    study.finish(lambda params: {"accuracy": shifts[models.index(params["model"])] + generator.gauss(0, 0.02)})
    found = compare(study.name, by="model", metric="accuracy", ranks=True, client=client)
    # When a notebook shows the comparison
    page = found._repr_html_()
    # Then it has the sentences of the terminal, and the table once
    assert page.count("not told apart: ") == len(found.ranks.groups) >= 2
    assert page.count("Friedman test: p ") == page.count("Nemenyi: ranks") == 1
    assert page.count("average rank") == 1


def test_ranks_over_few_datasets_have_no_test(client, made):
    study = made().enqueue({**GRID, "model": ["svm", "tree", "mlp"], "dataset": DATASETS[:3]})
    found = compare(
        study.finish(noisy(random.Random(9))).name, by="model", metric="accuracy", ranks=True, client=client
    )
    assert found.ranks.friedman_p is None
    assert "no Friedman test: found 3 blocks, expected at least 5" in repr(found)


def test_all_pairs_up_to_six_methods_otherwise_against_a_baseline(client, made):
    many = {"model": [f"m{n}" for n in range(7)], "seed": {"range": [0, 8]}}
    study = made().enqueue(many).finish(noisy(random.Random(10)))
    with pytest.raises(OptionError, match="7 values make 21 pairs"):
        compare(study.name, by="model", metric="accuracy", client=client)
    against = compare(study.name, by="model", metric="accuracy", baseline="m3", client=client)
    assert [pair.second for pair in against.pairs] == ["m3"] * 6
    some = compare(study.name, by="model", metric="accuracy", where="model != 'm6'", client=client)
    assert len(some.pairs) == 15 and some.is_matrix
    with pytest.raises(OptionError, match="there is no model 'm9'"):
        compare(study.name, by="model", metric="accuracy", baseline="m9", client=client)


def test_a_smaller_loss_wins(client, made):
    study = made().enqueue(GRID).finish(lambda params: {"loss": 0.1 if params["model"] == "svm" else 0.2})
    (pair,) = compare(study.name, by="model", metric="loss", client=client).pairs
    assert (pair.figures.wins, pair.figures.difference) == (6, -0.1)
    (pair,) = compare(study.name, by="model", metric="loss", maximize=True, client=client).pairs
    assert pair.figures.losses == 6


def test_mixed_settings_within_a_study_are_refused_unless_allowed(client, made):
    study = made().enqueue(GRID, settings={"epochs": 10}).finish(noisy(random.Random(11)), where="model = 'svm'")
    study.enqueue(GRID, settings={"epochs": 20}).finish(noisy(random.Random(12)))
    with pytest.raises(RefusedError, match="epochs = 10 in 30, 20 in 30") as refused:
        compare(study.name, by="model", metric="accuracy", client=client)
    assert str(refused.value).startswith("the comparison would be wrong:")
    found = compare(study.name, by="model", metric="accuracy", allow="mixed", client=client)
    assert any(note.kind == "mixed" for note in found.notes)


def test_code_that_differs_between_the_compared_methods_is_refused(client, made):
    study = made().enqueue(GRID).finish(noisy(random.Random(11)), where="model = 'svm'")
    study.enqueue(GRID, "def f(**given): return 2\n").finish(noisy(random.Random(12)))
    with pytest.raises(RefusedError, match=r"experiment\.py"):
        compare(study.name, by="model", metric="accuracy", client=client)


def test_equal_methods_are_equal(client, made):
    study = made().enqueue(GRID).finish(lambda params: {"accuracy": 0.3 - 0.1 * params["seed"]})
    found = compare(study.name, by="model", metric="accuracy", client=client)
    figures = found.pairs[0].figures
    assert (figures.difference, figures.ties, found.pairs[0].p, figures.cohens_dz) == (0, 6, 1, 0)
    assert "svm and tree cannot be told apart." in repr(found)


def test_an_impossible_comparison_is_an_error(client, made):
    study = made().enqueue(GRID).finish(noisy(random.Random(13)))
    for options, text in (
        ({}, "give by, or two studies"),
        ({"by": "model", "where": "model = 'svm'"}, "model is svm; expected two or more"),
        ({"by": "modle"}, "did you mean 'model'"),
        ({"by": "model", "metric": "acuracy"}, "did you mean 'accuracy'"),
        ({"by": "model", "per": "model"}, "an axis has one role"),
        ({"by": "model", "ranks": True}, "found 2 methods"),
        ({"by": "model", "test": "anova"}, "test: "),
        ({"by": "model", "where": "accuracy > 0.8"}, "narrowed by parameters only"),
    ):
        with pytest.raises(OptionError, match=text):
            compare(study.name, client=client, **{"metric": "accuracy", **options})
    waiting = made().enqueue(GRID).name
    with pytest.raises(OptionError, match="nothing is done yet; 'qexp status"):
        compare(waiting, by="model", metric="accuracy", client=client)


def test_methods_without_a_common_combination_have_no_figures(client, made):
    study = (
        made()
        .enqueue(GRID)
        .finish(
            lambda params: {"accuracy": 0.5} if (params["model"] == "svm") == (params["seed"] < 2) else Failure.ERROR
        )
    )
    found = compare(study.name, by="model", metric="accuracy", client=client)
    assert found.pairs[0].figures.n == 0
    assert "svm and tree cannot be paired." in repr(found)


def test_a_frame_and_a_notebook_show_the_pairs(client, made):
    study = made().enqueue({**GRID, "model": ["<b>", "tree", "mlp"]}).finish(noisy(random.Random(14)))
    found = compare(study.name, by="model", metric="accuracy", ranks=True, client=client)
    assert list(found.frame["first"]) == ["<b>", "<b>", "tree"]
    assert found.frame.n.tolist() == [6, 6, 6]
    page = found._repr_html_()
    assert "&lt;b&gt;" in page and "<b>" not in page
    assert max(map(len, repr(found).splitlines())) <= 80


def test_an_edit_after_all_results_is_only_noted(client, made):
    study = made().enqueue(GRID).finish(noisy(random.Random(15)))
    study.enqueue(GRID, "def f(**given): return 3\n")
    found = compare(study.name, by="model", metric="accuracy", client=client)
    assert [note.text for note in found.notes if note.kind == "code"] == [
        f"{study.name}: experiment.py differs from the newest revision"
    ]


def test_several_studies_are_compared_by_a_parameter_within_each(client, made):
    one = made().enqueue(GRID, settings={"epochs": 10}).finish(noisy(random.Random(16)))
    other = made().enqueue(GRID, settings={"epochs": 20}).finish(noisy(random.Random(17)))
    (pair,) = compare(one.name, other.name, by="model", metric="accuracy", client=client).pairs
    assert (pair.first, pair.second, pair.figures.n, pair.results) == ("svm", "tree", 12, 60)


def test_a_parameter_named_study_is_a_parameter(client, made):
    grid = {"model": ["svm", "tree"], "study": ["a", "b", "c", "d", "e", "f"], "seed": {"range": [0, 2]}}
    study = made().enqueue(grid).finish(noisy(random.Random(18)))
    found = compare(study.name, by="model", metric="accuracy", client=client)
    assert found.pairs[0].figures.n == 6
    assert found.unit.startswith("values of param.study")
