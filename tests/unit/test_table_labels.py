"""Labels of rows and columns are short and unique for any values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.analysis.table.labels import keys, place, values
from qexp.analysis.table.replicates import Axes
from qexp.dotted_names import ABSENT
from qexp.model import canonical


def axes(*found, names=("x",)):
    return Axes(names, [one if isinstance(one, tuple) else (one,) for one in found], np.arange(len(found)))


def texts(*found, labels=None):
    return [key for (key,) in keys(axes(*found), labels or {})]


def test_import_paths_are_short_where_their_last_parts_differ():
    assert texts("sklearn.svm.SVC", "sklearn.tree.Tree") == ["SVC", "Tree"]
    assert texts("a.b.C", "d.e.C") == ["a.b.C", "d.e.C"]
    assert texts("sklearn.svm.SVC", None, ABSENT) == ["SVC", "null", "—"]


def test_values_of_different_kinds_have_different_labels():
    assert texts(1, "1", True, "true", None, "null", ABSENT, "—", 1.5) == [
        "1", '"1"', "true", '"true"', "null", '"null"', "—", '"—"', "1.5",
    ]  # fmt: skip


def test_other_texts_replace_values_unless_two_would_share_one():
    assert texts("svc", "tree", labels={"svc": "SVM"}) == ["SVM", "tree"]
    assert texts("svc", "tree", labels={"svc": "tree"}) == ["svc", "tree"]
    assert texts("svc", "tree", labels={"svc": "m", "tree": "m"}) == ["svc", "tree"]


def test_a_label_of_an_import_path_is_found_by_the_whole_path_or_its_last_part():
    found = "sklearn.svm.SVC", "sklearn.tree.Tree"
    assert texts(*found, labels={"sklearn.svm.SVC": "SVM"}) == ["SVM", "Tree"]
    assert texts(*found, labels={"SVC": "SVM", "sklearn": "no"}) == ["SVM", "Tree"]
    assert texts(*found, labels={"SVC": "short", "sklearn.svm.SVC": "whole"}) == ["whole", "Tree"]


def test_without_axes_there_is_one_empty_key():
    assert keys(Axes((), [()], np.zeros(3)), {}) == [()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)
VALUES = st.lists(
    JSON | st.just(ABSENT) | st.sampled_from(['"1"', "1", 1, '""1""', "—", '"—"', "null"]),
    min_size=1,
    max_size=8,
    unique_by=lambda value: "" if value is ABSENT else canonical(value),
)
LABELS = st.dictionaries(
    st.sampled_from(["1", "null", "true", "—", '"1"', ""]), st.sampled_from(["1", "null", "", '"1"'])
)


@given(VALUES, LABELS)
def test_different_values_never_share_a_label(found, labels):
    assert len(set(texts(*found, labels=labels))) == len(found)


@given(
    st.lists(st.tuples(st.sampled_from([1, "1", True]), st.sampled_from(["a", None, ABSENT])), unique=True, min_size=1)
)
def test_keys_of_several_axes_differ(found):
    found = list({(canonical(one), str(other)): (one, other) for one, other in found}.values())
    made = keys(axes(*found, names=("x", "y")), {})
    assert len(set(made)) == len(found)


@pytest.mark.parametrize(("wanted", "at"), [("SVC", 0), ("sklearn.svm.SVC", 0), ("Tree", 1), ("svc", None)])
def test_a_row_is_named_by_its_label_or_value(wanted, at):
    found = axes("sklearn.svm.SVC", "sklearn.tree.Tree")
    assert place(keys(found, {}), found, wanted) == at


def test_a_row_of_several_axes_is_named_with_commas_or_slashes():
    found = axes(("svc", 1), ("svc", 2), names=("classifier", "depth"))
    assert [place(keys(found, {}), found, text) for text in ("svc,2", "svc / 2", "svc")] == [1, 1, None]


def test_the_values_of_several_axes_are_one_text():
    assert values(("svc", None, ABSENT, 0.1)) == "svc, null, —, 0.1"
