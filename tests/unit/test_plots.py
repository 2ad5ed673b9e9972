"""Pictures show the figures of the frame, and note or refuse omitted and pooled values."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from plot_support import LINES, caption, curve, experiments, noisy, picture
from scipy import stats

from qexp.analysis.frame import typed
from qexp.analysis.plots import PlotSpec
from qexp.analysis.plots.coded_parameter import axis_of
from qexp.analysis.plots.curves import curves_of, members
from qexp.analysis.plots.drawing import draw
from qexp.analysis.plots.labels import labels_of
from qexp.analysis.plots.selection import Experiments, choose
from qexp.analysis.plots.spec import names_of, size_of
from qexp.analysis.plots.spread import summary
from qexp.analysis.plots.style import COLORS, MOST_GROUPS, group_style
from qexp.analysis.statistics import Statistic, describe
from qexp.errors import OptionError, RefusedError, StatisticsError


@pytest.mark.parametrize("statistic", ["mean±std", "sem", "ci95", "median"])
def test_a_line_is_the_center_and_its_band_the_spread(statistic):
    panel = picture(LINES, "line", "score", x="lr", by="model", statistic=statistic).axes[0]
    for place, model in enumerate("ab"):
        values = LINES.frame[LINES.frame.model == model].groupby("lr")["score"]
        center = values.median() if statistic == "median" else values.mean()
        half = {"mean±std": values.std(), "sem": values.sem(), "ci95": values.sem() * stats.t.ppf(0.975, 2)}
        low = values.quantile(0.25) if statistic == "median" else center - half[statistic]
        high = values.quantile(0.75) if statistic == "median" else center + half[statistic]
        line = next(line for line in panel.lines[2 * place :] if line.get_linestyle() != "None")
        np.testing.assert_allclose(line.get_xydata(), np.c_[[1, 2, 4], center])
        corners = panel.collections[place].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([corners.min(), corners.max()], [low.min(), high.max()])


SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20)


@given(st.lists(SAMPLES, min_size=1, max_size=5))
def test_intervals_are_those_of_scipy(samples):
    values = [np.array(sample) for sample in samples]
    found = summary(values, Statistic.MEAN_CI95)
    for sample, low, high in zip(values, found.low, found.high, strict=True):
        half = stats.sem(sample) * stats.t.ppf(0.975, len(sample) - 1)
        np.testing.assert_allclose([low, high], [sample.mean() - half, sample.mean() + half], rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("statistic", ["mean±std", "sem", "ci95", "iqm", "median"])
def test_a_single_replicate_has_no_spread(statistic):
    found = summary([np.array([3.0])], Statistic(statistic))
    assert found.center.tolist() == [3.0]
    assert np.isnan([found.low, found.high]).all()


def test_failed_running_and_nan_are_counted_below_the_picture():
    status = {0: "failed", 1: "running"}
    found = experiments(
        lambda row: float("nan") if row["seed"] == 2 else row["lr"],
        lambda row: status.get(row["seed"], "done") if row["lr"] == 1 else "done",
        lr=[1, 2],
        seed=[0, 1, 2, 3],
    )
    figure = picture(found, "line", "score", x="lr")
    said = "4 of 8 experiments: 1 failed, 1 running, 2 without a finite score"
    assert figure.notes == (said,)
    assert caption(figure)[-1] == said


def test_a_complete_picture_says_how_many_experiments_and_replicates_it_shows():
    text = " ".join(caption(picture(LINES, "line", "score", x="lr", by="model")))
    assert (
        text == "Line and band: mean ± sample standard deviation (n - 1) over seed, n = 3 per point All 18 experiments"
    )


def test_a_marker_is_hollow_where_replicates_are_missing():
    lacking = experiments(
        noisy, lambda row: "failed" if (row["lr"], row["seed"]) == (2, 0) else "done", lr=[1, 2, 4], seed=[0, 1, 2]
    )
    figure = picture(lacking, "line", "score", x="lr")
    hollow = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata().tolist() for line in hollow] == [[2.0]]
    assert "hollow" in " ".join(caption(figure))


@pytest.mark.parametrize("kind", ["line", "box", "heatmap", "curve"])
def test_a_parameter_that_would_be_pooled_is_named_with_its_values_and_the_ways_out(kind):
    found = experiments(noisy, lr=[1, 2], model=["a", "b"], depth=[1, 2], dropout=[0.1, 0.2], seed=[0, 1])
    options = {"by": "lr"} if kind == "curve" else {"x": "lr"}
    options |= {"by": "model"} if kind == "heatmap" else {"facet": "model"}
    with pytest.raises(RefusedError) as refused:
        picture(found, kind, "score", **options)
    (reason,) = refused.value.reasons
    assert "depth (1, 2) and dropout (0.1, 0.2)" in reason
    assert reason.endswith('--over seed,depth, --where "depth = 1"')
    assert refused.value.advice == "--allow open draws the picture with a note below it"


def test_a_picture_that_would_be_wrong_has_a_line_for_each_reason():
    request = PlotSpec("line", "score", x="lr")
    with pytest.raises(RefusedError) as refused:
        choose(LINES, request, ["2 experiments are old"])
    lines = str(refused.value).splitlines()
    assert lines[0] == "the picture would be wrong:"
    assert lines[1].startswith('- one point would pool different values of model (a, b); choose with by="model"')
    assert lines[2:] == ["- 2 experiments are old", 'allow="open,mixed" draws the picture with a note below it']


def test_an_allowed_reason_stays_in_the_advice():
    request = PlotSpec("line", "score", x="lr", allow="open")
    with pytest.raises(RefusedError) as refused:
        choose(LINES, request, ["2 experiments are old"])
    assert refused.value.reasons == ["2 experiments are old"]
    assert refused.value.advice.startswith("--allow open,mixed ")


def test_a_parameter_that_another_one_decides_is_not_pooled():
    found = experiments(noisy, lr=[1, 2], model=["a", "b"], seed=[0, 1])
    found.frame["width"] = [64 if model == "a" else 128 for model in found.frame["model"]]
    zipped = Experiments(found.frame, [*found.parameters, "width"], ["score"])
    assert len(picture(zipped, "line", "score", x="lr", by="model").axes) == 1


def test_a_parameter_that_changes_with_the_seed_is_pooled_and_refused():
    found = experiments(noisy, lr=[1, 2], seed=[0, 1])
    found.frame["split"] = found.frame["seed"] + 10
    zipped = Experiments(found.frame, [*found.parameters, "split"], ["score"])
    with pytest.raises(RefusedError, match=r"different values of split \(10, 11\)"):
        picture(zipped, "line", "score", x="lr")
    assert picture(zipped, "line", "score", x="lr", over=("seed", "split")).notes == ()


def test_allowed_pooling_is_noted_in_the_picture():
    figure = picture(LINES, "line", "score", x="lr", allow="open")
    assert figure.notes == ("pooled over different values of model (--allow open)",)
    assert "n = 6 per point" in " ".join(caption(figure))


def test_a_box_has_the_quartiles_of_its_replicates_and_few_of_them_as_points():
    panel = picture(LINES, "box", "score", x="lr", by="model").axes[0]
    values = LINES.frame[(LINES.frame.lr == 1) & (LINES.frame.model == "a")]["score"]
    corners = panel.patches[0].get_path().vertices[:, 1]
    np.testing.assert_allclose([corners.min(), corners.max()], values.quantile([0.25, 0.75]))
    points = [sorted(line.get_ydata()) for line in panel.lines if line.get_linestyle() == "None"]
    assert points[0] == sorted(values)
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "2", "4"]


def test_many_replicates_are_no_points():
    panel = picture(experiments(noisy, lr=[1], seed=list(range(12))), "box", "score", x="lr").axes[0]
    assert all(len(line.get_ydata()) <= 2 for line in panel.lines)


def test_a_scatter_has_a_point_per_experiment():
    figure = picture(LINES, "scatter", "score", x="seed", by="model")
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [9, 9]
    assert "One point per experiment, n = 18" in caption(figure)


def test_a_heat_map_writes_the_means_counts_missing_replicates_and_hatches_gaps():
    def status(row):
        lacks = (row["lr"], row["model"]) == (4, "b") or (row["lr"], row["model"], row["seed"]) == (1, "a", 0)
        return "failed" if lacks else "done"

    found = experiments(noisy, status, lr=[1, 2, 4], model=["a", "b"], seed=[0, 1, 2])
    figure = picture(found, "heatmap", "score", x="lr", by="model")
    panel = figure.axes[0]
    done = found.frame[found.frame.status == "done"]
    means = done.pivot_table(index="model", columns="lr", values="score")
    np.testing.assert_allclose(panel.images[0].get_array().filled(np.nan), means)
    texts = {text.get_position(): text.get_text() for text in panel.texts}
    assert texts[0, 0] == f"{means[1]['a']:.2f}\n2/3"
    assert texts[1, 0] == f"{means[2]['a']:.2f}"
    assert (2, 1) not in texts
    assert [patch.get_xy() for patch in panel.patches] == [(1.5, 0.5)]
    assert "2/3: 2 of 3 experiments; hatched: no value" in " ".join(caption(figure))


def test_a_value_without_done_experiments_stays_in_a_heat_map():
    found = experiments(
        noisy, lambda row: "running" if row["lr"] == 4 else "done", lr=[1, 2, 4], model=["a", "b"], seed=[0]
    )
    panel = picture(found, "heatmap", "score", x="lr", by="model").axes[0]
    assert [text.get_text() for text in panel.get_xticklabels()] == ["1", "2", "4"]


def test_a_curve_is_dashed_from_where_runs_have_ended_and_says_how_many_are_left():
    request = PlotSpec("curve", "loss", by="model")
    chosen = choose(LINES, PlotSpec("curve", "loss", by="model", allow="open"))
    series = {(0, 0): curve([3, 3, 2, 1], [4, 3, 2, 1]), (0, 1): curve([3, 3, 3], [5, 5, 5])}
    figure = draw(chosen, request, series)
    solid, dashed = figure.axes[0].lines[:2]
    np.testing.assert_array_equal(solid.get_ydata(), [4, 3, np.nan, np.nan])
    np.testing.assert_array_equal(dashed.get_ydata(), [np.nan, 3, 2, 1])
    assert dashed.is_dashed()
    assert [text.get_text() for text in figure.axes[0].texts] == ["n = 2", "n = 1"]
    entries = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert entries == ["a (n = 3 → 1)", "b (n = 3)"]


def test_rows_of_the_database_become_the_curves_of_their_groups():
    chosen = choose(LINES, PlotSpec("curve", "loss", by="model", facet="lr"))
    assert members(chosen).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]
    rows = [(1, 0, 3, 1.0, 0.5), (1, 7, 1, 2.0, float("nan")), (4, 0, 2, 3.0, 0.1)]
    found = curves_of(rows, {1: 3, 4: 2}, chosen, Statistic.MEAN_STD)
    assert list(found) == [(0, 1), (2, 0)]
    assert found[0, 1].steps.tolist() == [0, 7]
    np.testing.assert_array_equal(found[0, 1].values.high, [1.5, np.nan])


def test_facets_are_panels_with_their_value_above():
    figure = picture(LINES, "line", "score", x="lr", facet="model")
    assert [panel.get_title(loc="left") for panel in figure.axes] == ["model = a", "model = b"]
    assert [panel.get_ylabel() for panel in figure.axes] == ["score", ""]


def test_labels_of_class_paths_are_short_and_all_labels_differ():
    paths = ["sklearn.svm.SVC", "sklearn.tree.DecisionTreeClassifier"]
    assert labels_of(paths) == ["SVC", "DecisionTreeClassifier"]
    assert labels_of(["a.b.SVC", "c.d.SVC"]) == ["a.b.SVC", "c.d.SVC"]
    long = [f"{'x' * 60}{end}{'y' * 60}" for end in "ab"]
    assert len(set(labels_of(long))) == 2
    assert labels_of(["true", True, None]) == ['"true"', "true", "none"]


JSON = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=40) | st.lists(st.integers(0, 2), max_size=2)


@given(st.lists(JSON, min_size=1, max_size=12))
def test_an_axis_gives_each_experiment_its_own_value_and_each_value_its_own_label(values):
    axis = axis_of("p", typed(values))
    assert [axis.values[code] for code in axis.codes] == values
    assert [type(axis.values[code]) for code in axis.codes] == [type(value) for value in values]
    assert len(set(axis.labels)) == len(axis.values)


def test_numbers_are_in_order_of_size_and_other_values_as_they_come():
    assert axis_of("p", typed([3, 1, None, 2])).values == (1, 2, 3, None)
    assert axis_of("p", typed(["small", "large", "small"])).values == ("small", "large")


def test_tick_labels_do_not_touch_each_other():
    names = [f"a model with name number {number}" for number in range(9)]
    figure = picture(experiments(lambda row: row["seed"], model=names, seed=[0, 1, 2]), "box", "score", x="model")
    labels = figure.axes[0].get_xticklabels()
    assert {label.get_rotation() for label in labels} <= {30.0, 90.0}
    assert [label.get_text() for label in labels] == names


def test_dollar_signs_in_names_are_no_formula():
    found = experiments(lambda row: row["seed"], model=["$\\frac$", "b"], seed=[0, 1, 2])
    figure = picture(found, "box", "score", x="model", title="$a_b$")
    figure.draw_without_rendering()  # a formula that cannot be read would raise here
    assert figure.axes[0].get_xticklabels()[0].get_text() == "\\$\\frac\\$"


def test_more_groups_than_a_reader_can_tell_apart_are_refused():
    found = experiments(lambda row: row["seed"], lr=[1, 2], model=list(range(MOST_GROUPS + 1)), seed=[0])
    with pytest.raises(OptionError, match='found 13 values, expected at most 12 for kind="line"; choose some'):
        picture(found, "line", "score", x="lr", by="model")


def test_a_long_legend_stands_beside_the_axes():
    found = experiments(lambda row: row["seed"], lr=[1, 2], model=list(range(8)), seed=[0])
    figure = picture(found, "line", "score", x="lr", by="model")
    assert figure.axes[0].get_legend() is None
    assert len(figure.legends[0].get_texts()) == 8


def test_no_two_line_styles_are_equal_without_colours():
    styles = [group_style(place) for place in range(MOST_GROUPS)]
    assert len({style.marker for style in styles}) == MOST_GROUPS
    assert len({(style.dash, style.color) for style in styles}) == MOST_GROUPS
    assert len({(style.hatch) for style in styles}) == MOST_GROUPS


def test_colours_differ_for_people_without_green_receptors():
    # Viénot, Brettel, Mollon 1999: deuteranopia in linear RGB
    seen = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
    linear = np.array([[part**2.2 for part in to_rgb(color)] for color in COLORS])
    colors = np.clip(linear @ seen.T, 0, 1) ** (1 / 2.2)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)]
    assert min(distances) > 0.1


def test_settings_of_matplotlib_are_as_before():
    import matplotlib

    with matplotlib.rc_context({"font.size": 33.0}):
        picture(LINES, "line", "score", x="lr", by="model")
        assert matplotlib.rcParams["font.size"] == 33.0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kind": "pie"}, "kind: found 'pie', expected one of line"),
        ({"x": "lr", "by": "lr"}, 'by="lr": found it also as x, expected another parameter'),
        ({"x": None}, 'kind="line": found no x, expected x=PARAMETER'),
        ({"kind": "heatmap"}, 'kind="heatmap": found no by'),
        ({"kind": "curve"}, 'x: kind="curve" has the steps'),
        ({"kind": "box", "statistic": "sem"}, 'statistic: kind="box" shows single experiments'),
        ({"kind": "box", "log": "x"}, 'log="x": the x axis of kind="box" has categories'),
        ({"kind": "scatter", "over": ("seed",)}, 'over: kind="scatter" shows single experiments, expected no over'),
        ({"metric": "lr"}, 'metric="lr": found a parameter, expected a result: score'),
        ({"over": ("sed",)}, r"over: no parameter is named 'sed' \(did you mean 'seed'\?\)"),
        ({"x": "seed", "by": "lr", "facet": "model", "log": "x"}, 'log="x": found 0, expected numbers above 0'),
    ],
)
def test_bad_requests_are_refused_in_one_line(options, expected):
    with pytest.raises(OptionError, match=expected) as refused:
        picture(LINES, **{"kind": "line", "metric": "score", "x": "lr", **options})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["6", "6x", "x4", "0x4", "6x1000", "1.2.3x4", "axb", "nanxnan"])
def test_an_invalid_size_is_refused(text):
    with pytest.raises(OptionError, match="expected width and height in inches"):
        size_of(text)


def test_an_unknown_statistic_is_refused_as_in_tables():
    with pytest.raises(StatisticsError, match="statistic: found 'avg', expected one of mean±std, sem, ci95, iqm"):
        PlotSpec("line", "score", x="lr", statistic="avg")


def test_names_have_commas_or_are_a_list():
    assert names_of("seed, fold") == names_of(["seed", "fold"]) == names_of(["seed,fold", "seed"]) == ("seed", "fold")
    assert names_of(()) == names_of("") == ()


@pytest.mark.parametrize("statistic", Statistic)
@given(samples=st.lists(SAMPLES, min_size=1, max_size=5))
def test_a_summary_is_the_description_of_each_sample(statistic, samples):
    values = [np.array(sample) for sample in samples]
    found = summary(values, statistic)
    for place, sample in enumerate(values):
        expected = describe(sample, statistic)
        figures = [found.center[place], found.low[place], found.high[place]]
        np.testing.assert_allclose(figures, [expected.center, expected.low, expected.high], rtol=1e-12)


def test_an_interquartile_mean_is_a_line_without_a_band():
    found = experiments(lambda row: row["lr"] * row["seed"] ** 2, lr=[1, 2], seed=[0, 1, 2, 3])
    figure = picture(found, "line", "score", x="lr", statistic="iqm")
    assert figure.axes[0].lines[0].get_ydata().tolist() == [2.5, 5.0]
    assert not figure.axes[0].collections
    text = "Line: interquartile mean over seed (the mean without the lowest and the highest quarter), n = 4 per point"
    assert " ".join(caption(figure)).startswith(text)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [(None, "0.5"), ("std", "0.5\n±0.7"), ("iqm", "0.5"), ("median", "0.50\n0.25–0.75")],  # noqa: RUF001 - a range
)
def test_cells_of_a_heat_map_have_the_digits_of_tables(statistic, expected):
    found = experiments(lambda row: row["lr"] * row["seed"], lr=[1, 2], model=["a"], seed=[0, 1])
    panel = picture(found, "heatmap", "score", x="lr", by="model", statistic=statistic).axes[0]
    assert panel.texts[0].get_text() == expected
