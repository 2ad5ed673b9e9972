"""Studies and pictures for the tests of plots, without a database."""

import itertools

import numpy as np
import pandas as pd

from qexp.analysis.frame import typed
from qexp.analysis.plots import PlotSpec
from qexp.analysis.plots.curves import Curve
from qexp.analysis.plots.drawing import draw
from qexp.analysis.plots.selection import Experiments, choose
from qexp.analysis.plots.spread import summary_of_rows
from qexp.analysis.statistics import Statistic


def experiments(score, status=lambda row: "done", **parameters):
    """Return a study with every combination of parameters; *score* and *status* take a row."""
    rows = [dict(zip(parameters, values, strict=True)) for values in itertools.product(*parameters.values())]
    columns = {name: typed([row[name] for row in rows]) for name in parameters}
    frame = pd.DataFrame({"id": range(1, len(rows) + 1), **columns})
    frame["score"] = typed([score(row) for row in rows])
    frame["status"] = [status(row) for row in rows]
    return Experiments(frame, list(parameters), ["score"], "tried")


def picture(found, *arguments, **options):
    request = PlotSpec(*arguments, **options)
    return draw(choose(found, request), request)


def caption(figure):
    return figure.texts[-1].get_text().split("\n")


def noisy(row):
    return row["lr"] + row["seed"] ** 2 + (row.get("model") == "b")


LINES = experiments(noisy, lr=[1, 2, 4], model=["a", "b"], seed=[0, 1, 2])


def curve(n, center):
    rows = np.array([n, center, np.ones(len(n))], dtype=float).T
    return Curve(np.arange(len(n)), summary_of_rows(rows, Statistic.MEAN_STD), 3)
