"""A refused name of a study comes with the nearest possible one, wherever the name is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.errors import GridError, SelectorError, UnknownStudyError
from qexp.grid import Grid
from qexp.store.selection.selectors import parse
from qexp.study_names import STUDY_NAME, possible_name

BASE = {"function": "m:f", "parameters": {"x": [1]}}


@given(st.text())
def test_a_proposal_is_a_possible_name(text):
    name = possible_name(text)
    assert name is None or STUDY_NAME.fullmatch(name)


@given(st.from_regex(STUDY_NAME, fullmatch=True).filter(lambda name: "__" not in name and not name.endswith("_")))
def test_a_possible_name_is_its_own_proposal(name):
    assert possible_name(name) == name


def refused(call):
    with pytest.raises((GridError, SelectorError, UnknownStudyError)) as caught:
        call()
    return str(caught.value)


def test_each_place_proposes_a_name(tmp_path):
    file = tmp_path / "grid.yaml"
    file.write_text('study: "my study!"\nfunction: m:f\nparameters: {x: [1]}\n')
    assert "line 1: study: found 'my study!'" in refused(lambda: Grid.load(file))
    assert refused(lambda: Grid.load(file)).endswith("(did you mean 'my_study'?)")
    file.write_text("study: fine\nfunction: m:f\nparameters: {x: [1]}\n")
    text = refused(lambda: Grid.load(file, ["study=My-Study"]))
    assert text.startswith("--set study=My-Study: ")
    assert text.endswith("(did you mean 'my_study'?)")
    assert refused(lambda: Grid.from_dict({"study": "LeNet 5", **BASE})).endswith("(did you mean 'lenet_5'?)")
    unnamed = tmp_path / "2nd Näme.yaml"
    unnamed.write_text("function: m:f\nparameters: {x: [1]}\n")
    assert refused(lambda: Grid.load(unnamed)).endswith("add 'study: study_2nd_name'")
    assert refused(lambda: parse(["My Study"])).endswith("(did you mean 'my_study'?)")
    assert "did you mean" not in refused(lambda: parse(["17-"]))


def test_an_unknown_name_that_is_written_otherwise_finds_its_study():
    assert "(did you mean 'lenet_5'?)" in str(UnknownStudyError("LENET-5!", ["resnet", "lenet_5"]))
