"""Adjusted p-values equal those of scipy and statsmodels, and are monotone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qexp.analysis.statistics import Correction, adjust, correction_of
from qexp.errors import StatisticsError

PVALUES = st.lists(st.floats(0, 1) | st.sampled_from([0.0, 0.01, 0.03125, 0.05, 1.0]), min_size=1, max_size=12)


def definition_of_holm(pvalues):
    """Return Holm's adjusted values by the text of his definition."""
    order = sorted(pvalues)
    steps = [min(1.0, (len(order) - place) * p) for place, p in enumerate(order)]
    return [max(steps[: order.index(p) + order.count(p)]) for p in pvalues]


@settings(deadline=None)
@given(PVALUES)
def test_holm_equals_its_definition(pvalues):
    assert adjust(pvalues, "holm") == pytest.approx(definition_of_holm(pvalues))


@settings(deadline=None)
@given(PVALUES)
def test_benjamini_hochberg_equals_that_of_scipy(pvalues):
    stats = pytest.importorskip("scipy.stats", reason="scipy is not installed")
    assert adjust(pvalues, "fdr") == pytest.approx(stats.false_discovery_control(pvalues))


@settings(deadline=None)
@given(PVALUES)
def test_holm_and_benjamini_hochberg_equal_those_of_statsmodels(pvalues):
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels (extra oracles) is missing")
    assert adjust(pvalues, "holm") == pytest.approx(multitest.multipletests(pvalues, method="holm")[1])
    assert adjust(pvalues, "fdr") == pytest.approx(multitest.multipletests(pvalues, method="fdr_bh")[1])


@settings(deadline=None)
@given(PVALUES, st.sampled_from(list(Correction)))
def test_adjusted_values_keep_the_order_and_are_never_smaller(pvalues, method):
    adjusted, order = adjust(pvalues, method), np.argsort(pvalues)
    assert (np.diff(adjusted[order]) >= 0).all()
    assert (adjusted >= pvalues).all()
    assert (adjusted <= 1).all()


@settings(deadline=None)
@given(PVALUES)
def test_holm_is_never_below_benjamini_hochberg(pvalues):
    assert (adjust(pvalues, "holm") >= adjust(pvalues, "fdr") - 1e-15).all()


@pytest.mark.parametrize("method", list(Correction))
def test_missing_values_are_no_comparisons(method):
    found = adjust([0.01, None, 0.04, float("nan")], method)
    assert np.isnan(found[[1, 3]]).all()
    np.testing.assert_array_equal(found[[0, 2]], adjust([0.01, 0.04], method))


def test_a_single_comparison_is_not_corrected():
    assert adjust([0.03], "holm").tolist() == adjust([0.03], "fdr").tolist() == [0.03]


def test_no_comparison_has_no_values():
    assert adjust([], "holm").tolist() == []


def test_a_number_outside_0_to_1_is_no_p_value():
    with pytest.raises(ValueError, match="expected 0 to 1"):
        adjust([0.1, 1.2], "holm")


def test_an_unknown_correction_is_refused_with_the_nearest_name():
    assert correction_of("BH") is Correction.FDR
    with pytest.raises(StatisticsError, match=r"found 'holmm' \(did you mean 'holm'\?\), expected one of"):
        adjust([0.1], "holmm")
