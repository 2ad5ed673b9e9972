"""The examples in docstrings give the results that they show."""

import doctest
import importlib
import pkgutil

import pytest

import qexp

STARTS_SOMETHING = {"qexp.__main__", "qexp.celery"}
MODULES = [
    module.name
    for module in pkgutil.walk_packages(qexp.__path__, "qexp.")
    if module.name not in STARTS_SOMETHING and ".migrations" not in module.name
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_hold(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0
