"""Texts of rows and columns."""

import numpy as np

from qexp.analysis.table.labels import keys
from qexp.analysis.table.units import Axes


def axes(*values):
    return Axes(("classifier",), [(value,) for value in values], np.arange(len(values)))


def test_a_label_is_given_by_the_short_name_or_by_the_whole_value():
    found = axes("sklearn.svm.SVC", "sklearn.linear_model.Ridge", "lab.nets.Net")
    assert keys(found, {}) == [("SVC",), ("Ridge",), ("Net",)]
    assert keys(found, {"SVC": "support vectors", "sklearn.linear_model.Ridge": "ridge", "lab": "no"}) == [
        ("support vectors",),
        ("ridge",),
        ("Net",),
    ]


def test_a_label_of_the_whole_value_wins():
    found = keys(axes("sklearn.svm.SVC", "lab.nets.Net"), {"SVC": "short", "sklearn.svm.SVC": "whole"})
    assert found == [("whole",), ("Net",)]
