"""Commands take patterns and several studies."""

import json
import re
import uuid

import pytest
from finished_studies import FAILED, FinishedStudy
from terminal import terminal

import qexp as qexp_module


@pytest.fixture
def family(client, raw, tmp_path):
    """Two studies whose names share a beginning, each with experiments that are done, failed and queued."""
    start = f"fam_{uuid.uuid4().hex[:6]}"
    made = []
    for end, parameter in (("big", "width"), ("small", "depth")):
        study = FinishedStudy(client, raw, tmp_path / end)
        study.name = f"{start}_{end}"
        study.enqueue(parameters={parameter: [1, 2], "seed": [0, 1]})
        study.end(lambda given: None if given["seed"] else {"acc": sum(given.values()) / 10})
        made.append(study)
    return start, made


def rows(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("form", ["{0}*", "{0}_big,{0}_small", "{0}_???,{0}_small"])
def test_a_pattern_and_several_names_choose_experiments_of_several_studies(qexp, family, form):
    start, made = family
    found = rows(qexp("list", form.format(start), "--format", "json"))
    assert {row["study"] for row in found} == {study.name for study in made}
    assert len(found) == 8
    assert len(rows(qexp("list", f"{start}_b*", "--status", "done", "--format", "json"))) == 2


def test_an_id_counts_within_the_chosen_studies(qexp, family):
    start, (_, small) = family
    first = rows(qexp("list", small.name, "--format", "json"))[0]["id"]
    assert len(rows(qexp("list", f"{start}*", first, "--format", "json"))) == 1
    done = qexp("list", f"{start}_b*", first)
    assert done.returncode == 2
    assert f"no experiment in the study '{start}_b*' has the id {first}" in done.stderr


def test_a_pattern_without_a_study_names_close_ones(qexp, family):
    start, (big, _) = family
    done = qexp("list", f"{start}x_big*")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"no study matches '{start}x_big*' (there are '{big.name}'" in done.stderr
    assert qexp("cancel", f"{start}*,nothing_like_it").returncode == 2


def test_commands_that_need_one_study_say_so_and_name_the_matching_ones(qexp, family):
    start, (big, small) = family
    for command in (("stale",), ("report", "-o", "x.html"), ("delete", "-y")):
        done = qexp(command[0], f"{start}*", *command[1:])
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
        assert f"expected the name of one study: {big.name}, {small.name}" in done.stderr


def test_changes_reach_all_matching_studies_and_the_question_names_them(qexp, family):
    start, (big, small) = family
    # Pause and resume
    assert rows(qexp("pause", f"{start}*", "--format", "json")) == [
        {"study": big.name, "paused": True},
        {"study": small.name, "paused": True},
    ]
    assert f"{big.name} is already paused" in qexp("pause", big.name, small.name).stdout
    assert rows(qexp("resume", f"{start}*", "--format", "json"))["studies"] == [big.name, small.name]
    # Cancel and requeue
    assert qexp("cancel", f"{start}*").stdout.startswith("4 cancelled: ")
    screen = terminal("qexp", "requeue", f"{start}*", "--status", "cancelled", "--status", "done")
    assert screen.status == 0
    assert screen.text.startswith("8 requeued: ")
    big.enqueue(parameters={"width": [1, 2], "seed": {"range": [0, 9]}})
    screen = terminal("qexp", "cancel", f"{start}*", keys=[("[y/N]", "n\n")], columns=120)
    assert screen.text.startswith(f"Cancel 22 experiments of the studies {big.name}, {small.name}?")


def test_errors_of_several_studies_are_requeued_by_one_command(qexp, client, raw, tmp_path):
    start = f"bad_{uuid.uuid4().hex[:6]}"
    for end in "ab":
        study = FinishedStudy(client, raw, tmp_path / end)
        study.name = f"{start}_{end}"
        study.enqueue(parameters={"x": [1, 2]}).end(lambda given: FAILED)
    shown = qexp("errors", f"{start}*").stdout
    assert "4 error" in shown
    again = re.search(r"again +qexp (requeue .*)", shown)[1]
    assert again == f"requeue {start}_a {start}_b --error ab12"
    assert qexp(*again.split()).stdout.startswith("4 requeued")


def test_tables_comparisons_and_archives_take_patterns(qexp, client, raw, tmp_path):
    start = f"arch_{uuid.uuid4().hex[:6]}"
    for end, gain in (("a", 0), ("b", 1)):
        study = FinishedStudy(client, raw, tmp_path / end)
        study.name = f"{start}_{end}"
        study.enqueue(parameters={"lr": [1, 2], "seed": [0, 1, 2]})
        study.end(lambda given, gain=gain: {"acc": given["lr"] + given["seed"] + gain})
    done = qexp("table", f"{start}*", "--metric", "acc", "--rows", "study", "--columns", "lr", "--format", "csv")
    assert done.returncode == 0, done.stderr
    assert f"{start}_a" in done.stdout
    assert f"{start}_b" in done.stdout
    assert json.loads(qexp("compare", f"{start}*", "--metric", "acc", "--format", "json").stdout)["studies"] == [
        f"{start}_a",
        f"{start}_b",
    ]
    assert qexp("coverage", f"{start}*").returncode == 0
    assert len(qexp_module.table(f"{start}_?", "acc", rows="study", columns="lr").rows) == 2
    assert qexp("table", f"{start}x*", "--metric", "acc").returncode == 2
    assert [row["study"] for row in rows(qexp("archive", f"{start}*", "--format", "json"))] == [
        f"{start}_a",
        f"{start}_b",
    ]


def test_wait_waits_for_all_matching_studies(qexp, family):
    start, (big, small) = family
    done = qexp("wait", f"{start}*", "--timeout", "0.1")
    assert done.returncode == 1
    assert f"{big.name}: 2 experiments are unfinished after 0.1 s" in done.stderr
    qexp("cancel", f"{start}*")
    done = qexp("wait", f"{start}*", "--format", "json")
    assert [row["study"] for row in json.loads(done.stdout)] == [big.name, small.name]
    assert done.returncode == 1


def test_a_frame_of_several_studies_has_the_column_study_and_all_their_columns(site, family, qexp, tmp_path):
    start, (big, small) = family
    frame = qexp_module.load([small.name, big.name])
    assert list(frame.columns[:6]) == ["id", "study", "width", "seed", "depth", "acc"]
    assert frame["study"].value_counts().to_dict() == {big.name: 4, small.name: 4}
    assert frame.loc[frame["study"] == big.name, "depth"].isna().all()
    assert frame["width"].dtype == "Int64"
    assert qexp_module.load(f"{start}*").equals(frame)
    narrow = qexp_module.load(f"{start}*", where=f"study = '{small.name}' and depth = 2")
    assert narrow["study"].tolist() == [small.name] * 2
    assert "study" in qexp_module.load([big.name]).columns
    assert "study" not in qexp_module.load(big.name).columns
    assert list(qexp_module.metrics(f"{start}*").columns[:2]) == ["id", "study"]
    done = qexp("export", f"{start}*", "-o", "both.csv")
    assert done.stdout == f"both.csv: 8 experiments, {len(frame.columns)} columns\n"
    assert (tmp_path / "both.csv").read_text().startswith("id,study,width,seed,depth,acc,")


def test_the_series_of_several_studies_say_their_study(qexp, raw, family):
    start, (big, small) = family
    raw.execute(
        "INSERT INTO metric (experiment, attempt, name, step, value, at) SELECT e.id, 1, 'loss', n, n, now()"
        " FROM experiment e JOIN study s ON s.id = e.study, generate_series(1, 3) n WHERE s.name LIKE %s",
        [f"{start}%"],
    )
    lines = qexp("metrics", f"{start}*").stdout.splitlines()
    assert lines[0].split() == ["id", "study", "name", "points", "last", "min", "max"]
    assert [line.split()[1] for line in lines[2:]] == [big.name] * 4 + [small.name] * 4
    assert "study" not in qexp("metrics", big.name).stdout.splitlines()[0]
    found = json.loads(qexp("metrics", f"{start}*", "--format", "json").stdout)
    assert {row["study"] for row in found} == {big.name, small.name}


def test_a_parameter_named_study_keeps_its_column(site, client, raw, tmp_path):
    made = [FinishedStudy(client, raw, tmp_path / end) for end in "ab"]
    for one in made:
        one.enqueue(parameters={"study": ["mine", "yours"]}).end(lambda given: {"y": 1})
    names = [one.name for one in made]
    frame = qexp_module.load(names)
    assert sorted(frame["param.study"]) == ["mine", "mine", "yours", "yours"]
    assert qexp_module.load(names[0])["study"].tolist() == ["mine", "yours"]
    # a condition uses the names of the frame
    assert len(qexp_module.load(names[0], where="study = 'mine'")) == 1
    assert len(qexp_module.load(names, where=f"study = '{names[0]}' and param.study = 'mine'")) == 1
