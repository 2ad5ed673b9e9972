"""The specification of a table: options, the command that repeats it, and directions of metrics."""

import math
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.analysis.table.metric_directions import is_better_large, is_time_like, known_direction
from qexp.analysis.table.spec import TableSpec
from qexp.cli.table import is_given, table_
from qexp.client.tables_and_comparisons import spec_of
from qexp.errors import OptionError


def spec(**options):
    return TableSpec(**{"studies": "s", "metrics": "accuracy", **options})


@pytest.mark.parametrize("names", ["a,b", " a , b ,", ["a", "b"], ("a,b",), ["a", "b", "a"]])
def test_names_are_texts_with_commas_or_lists_and_count_once(names):
    assert spec(rows=names).rows == ("a", "b")


def test_no_replicates_differ_from_the_default():
    assert spec(over="").over == ()
    assert spec().over is None


NAMES = st.lists(st.sampled_from(["lr", "optimizer.lr", "val/loss", "a b", "param.study"]), max_size=3, unique=True)
OPTIONS = st.fixed_dictionaries(
    {"metrics": NAMES.filter(bool)},
    optional={
        "rows": NAMES,
        "columns": NAMES,
        "over": NAMES,
        "average": NAMES,
        "statistic": st.sampled_from(["sem", "mean +- std"]),
        "maximize": st.booleans(),
        "best": NAMES,
        "by": st.just("val_accuracy"),
        "bold": st.sampled_from(["best", "tied", "none"]),
        "baseline": st.sampled_from(["SVC", "it's; rm -rf $HOME"]),
        "test": st.just("ttest"),
        "correction": st.just("fdr"),
        "scale": st.sampled_from([100, 0.001, 1]),
        "digits": st.sampled_from(["auto", 2]),
        "transpose": st.booleans(),
        "sort": st.sampled_from(["value", "a 'column'"]),
        "where": st.sampled_from(["lr < 0.1 and name = 'it''s'", '"val/loss" > 1']),
        "allow": st.sets(st.sampled_from(["missing", "mixed", "nan", "open"])),
    },
)


@given(OPTIONS)
def test_the_command_of_a_table_asks_for_the_same_table(options):
    # Given the command line of any table
    asked = spec(**options)
    words = shlex.split(asked.command())
    assert words[:2] == ["qexp", "table"]
    # When the command reads it
    read = table_.make_context("table", words[2:]).params
    given_ = {name: value for name, value in read.items() if is_given(name, value)}
    del given_["form"]
    given_["metrics"] = ",".join(given_["metrics"])
    if given_.get("digits", "auto") != "auto":
        given_["digits"] = int(given_["digits"])
    # Then the specification is the same
    assert spec_of(given_) == asked


@pytest.mark.parametrize(
    ("metric", "larger", "is_time"),
    [
        ("accuracy", True, False),
        ("val_loss", False, False),
        ("trainLoss", False, False),
        ("error_rate", False, False),
        ("loss/mean", False, False),
        ("test.RMSE", False, False),
        ("topk_err", False, False),
        ("F1", True, False),
        ("time_series_accuracy", True, False),
        ("steps", True, False),
        ("fit_time", False, True),
        ("time_per_epoch", False, True),
        ("latency_ms", False, True),
        ("duration", False, True),
        ("last_attempt", False, True),
        ("peak_memory", False, True),
        ("energy_kwh", False, True),
        ("elapsed", False, True),
        ("fit_secs", False, True),
        ("step_ms", False, True),
        ("images_per_second", True, True),
        ("tokens_per_sec", True, True),
        ("seconds_per_image", False, True),
        ("throughput", True, True),
    ],
)
def test_the_name_of_a_metric_gives_its_direction_and_whether_the_machine_matters(metric, larger, is_time):
    assert (is_better_large(metric), is_time_like(metric)) == (larger, is_time)


def test_a_name_without_a_known_word_tells_no_direction():
    assert [known_direction(name) for name in ("tuning", "val_score", "val_loss")] == [None, True, False]


def test_a_scale_of_zero_is_an_option_and_is_refused():
    read = table_.make_context("table", ["s", "--metric", "accuracy", "--scale", "0"]).params
    assert is_given("scale", read["scale"])
    assert not is_given("transpose", read["transpose"])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ({"digits": "x"}, "digits: found 'x', expected 'auto' or a whole number"),
        ({"digits": 99}, "digits: found 99, expected 'auto' or a number of at most 12"),
        ({"scale": math.nan}, "scale: found nan, expected a finite number"),
        ({"test": "anova"}, "test: found 'anova', expected 'wilcoxon', 'permutation' or 'ttest'"),
        ({"rows": [1]}, "rows: found [1], expected text"),
        ({"scale": 0}, "scale: found 0, expected a number above 0"),
        ({"bold": "all"}, "bold: found 'all', expected 'best', 'tied' or 'none'"),
        ({"allow": "nan,everything"}, "allow: found 'everything', expected some of missing, mixed, nan, open"),
        ({"wher": "x"}, "there is no option 'wher' (did you mean 'where'?)"),
    ],
)
def test_a_wrong_option_is_named_with_the_found_and_expected_values(option, said):
    with pytest.raises(OptionError) as refused:
        spec_of({"studies": "s", "metrics": "accuracy", **option})
    assert str(refused.value) == said
