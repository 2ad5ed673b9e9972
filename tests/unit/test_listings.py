"""Tables of experiments have one heading per column, and each column has the width that it needs."""

import dataclasses
import uuid
from datetime import UTC, datetime

import pytest
from rich.console import Console

from qexp.cli import output
from qexp.cli.experiment_table import experiment_table
from qexp.client.listings.experiments import ExperimentList
from qexp.client.listings.listing import text_lines
from qexp.model import Status
from qexp.store.reads.experiment_rows import ExperimentView

NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def shown(monkeypatch):
    """Print experiments on a screen of so many columns; return the lines."""

    def shown(views, parameters, results, width=80):
        monkeypatch.setattr(output, "console", lambda: Console(width=width))
        out = Console(width=width, color_system=None)
        with out.capture() as capture:
            out.print(experiment_table(views, parameters, results))
        return [line.rstrip() for line in capture.get().splitlines()]

    return shown


def view(number, params, result=None, status=Status.DONE, **facts):
    blank = {field.name: None for field in dataclasses.fields(ExperimentView)}
    given = {"id": number, "study": "s", "params": params, "result": result, "status": status, "attempt": 1}
    return ExperimentView(**{**blank, **given, "created_at": NOW, "fingerprint": uuid.uuid4(), **facts})


def words(line):
    return line.split()


def test_a_parameter_named_like_a_column_of_the_table_takes_no_width_from_it(shown):
    # Given a parameter that is named like the status column but holds other values
    views = [view(1, {"status": "enrolled_in_2024"}), view(2, {"status": "dropped_out"}, status=Status.CANCELLED)]
    head, _, first, second = shown(views, ["status"], [])
    assert words(head) == ["id", "param.status", "status"]
    assert words(first) == ["1", "enrolled_in_2024", "done"]
    assert words(second) == ["2", "dropped_out", "cancelled"]


def test_parameters_and_results_of_one_name_have_headings_of_their_own(shown):
    views = [view(1, {"n": 3}, {"n": "three", "id": 7}), view(2, {"n": 4}, {"n": "four", "id": 8})]
    head, _, first, _ = shown(views, ["n"], ["n", "id"])
    assert words(head) == ["id", "n", "result.n", "result.id", "status"]
    assert words(first) == ["1", "3", "three", "7", "done"]


def test_keys_of_mappings_are_columns_and_absent_keys_are_empty_cells(shown):
    views = [
        view(1, {"opt": {"name": "sgd", "lr": 0.1}}, {"train": {"acc": 0.5}}),
        view(2, {"opt": {"name": "sgd", "lr": 0.2}}, {"train": {"acc": None, "note": "x"}}),
        view(3, {"opt": {"name": "sgd", "lr": 0.3}}, {"train": {}}),
    ]
    head, _, *lines, note = shown(views, ["opt"], ["train"])
    assert words(head) == ["id", "opt.lr", "train", "train.acc", "train.note", "status"]
    assert list(map(words, lines)) == [
        ["1", "0.1", "0.5", "done"],
        ["2", "0.2", "null", "x", "done"],
        ["3", "0.3", "{}", "done"],
    ]
    assert note == "all: opt.name=sgd"


def test_numbers_and_texts_that_look_alike_vary(shown):
    head, *_ = shown([view(1, {"x": 1, "y": 1}), view(2, {"x": "1", "y": 1})], ["x", "y"], [])
    assert words(head)[:2] == ["id", "x"]
    assert "y" not in words(head)


def test_a_column_without_room_is_named_by_its_heading(shown):
    # Given more nested results than 80 columns show
    metrics = {f"metric_{number}": number / 3 for number in range(12)}
    lines = shown([view(1, {"n": 1}, {"val": metrics, "n": 2})], ["n"], ["n", "val"])
    assert words(lines[0])[:3] == ["id", "n", "result.n"]
    assert all(len(line) <= 80 for line in lines[:3])
    assert "val.metric_11" in " ".join(lines[3:])
    # When the screen is wide, then it shows all
    assert "val.metric_11" in shown([view(1, {"n": 1}, {"val": metrics, "n": 2})], ["n"], ["n", "val"], 300)[0]


def test_a_narrow_listing_keeps_a_parameter_and_a_result():
    names = [f"parameter_{number}" for number in range(5)]
    shown = ExperimentList([view(1, dict.fromkeys(names, 0.123456), {"accuracy": 0.5, "loss": 2.0})])
    head, *_ = text_lines(shown.columns(shown), 60)
    assert head.split() == ["id", "parameter_0", "parameter_1", "accuracy", "status", "duration"]
