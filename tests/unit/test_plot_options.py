"""Each option of a picture changes what its help says."""

import dataclasses

import numpy as np
import pytest
from plot_support import LINES, caption, curve, picture

from qexp.analysis.plots import PlotSpec
from qexp.analysis.plots.curves import without_series
from qexp.analysis.plots.drawing import draw
from qexp.analysis.plots.selection import choose
from qexp.analysis.plots.spec import size_of
from qexp.errors import OptionError


def line(**options):
    return picture(LINES, "line", "score", x="lr", by="model", **options)


@pytest.mark.parametrize(
    ("log", "scales"), [("", ("linear", "linear")), ("x", ("log", "linear")), ("xy", ("log", "log"))]
)
def test_axes_are_logarithmic_where_that_is_asked_for(log, scales):
    panel = line(log=log).axes[0]
    assert (panel.get_xscale(), panel.get_yscale()) == scales


def test_a_title_stands_above_the_picture():
    assert line(title="Rates").get_suptitle() == "Rates"
    assert line().get_suptitle() == ""


def test_a_picture_has_the_size_that_is_asked_for():
    assert size_of(" 6x4.5 ") == (6.0, 4.5)
    assert tuple(line(size=(6.0, 4.5)).get_size_inches()) == (6.0, 4.5)
    for wrong in ("6", "6x", "1.2.3x4", "0x4", "1000x4"):
        with pytest.raises(OptionError, match="expected width and height in inches such as 6x4"):
            size_of(wrong)


def test_styles_differ_in_size():
    paper, screen = (line(style=style) for style in ("paper", "screen"))
    assert paper.get_figwidth() < screen.get_figwidth()
    sizes = [made.axes[0].xaxis.label.get_fontsize() for made in (paper, screen)]
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("log", ["x", "y"])
def test_a_curve_through_zero_has_no_logarithmic_axis(log):
    chosen = choose(LINES, PlotSpec("curve", "loss", by="model", allow="open"))
    series = {(0, 0): curve([3, 3], [0, 1])}
    with pytest.raises(OptionError, match=f'log="{log}": found 0, expected numbers above 0'):
        draw(chosen, PlotSpec("curve", "loss", by="model", log=log), series)


def test_points_that_a_curve_leaves_out_are_counted():
    chosen = choose(LINES, PlotSpec("curve", "loss", by="model", allow="open"))
    told = without_series(dataclasses.replace(chosen, notes=()), "loss", len(chosen.ids) - 2, 1)
    figure = draw(told, PlotSpec("curve", "loss", by="model"), {(0, 0): curve([3], [1])})
    said = " ".join(caption(figure))
    assert "2 without a finite loss" in said
    assert "NaN or infinite points of 1 run are left out" in said
    assert np.isfinite(figure.axes[0].lines[0].get_ydata()).all()
