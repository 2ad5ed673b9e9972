"""The methods of a study in Python: what they return, and how it shows itself."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pandas as pd
import pytest
from study_support import made_study

import qexp
from qexp.client import study_bars
from qexp.client.listings.studies import Studies
from qexp.errors import ContextError, FilesError, SelectorError, UnknownExperimentError
from qexp.file_storage import Files
from qexp.model import Failure


def outcome(params):
    return Failure.ERROR if params["lr"] > 1 else {"accuracy": params["lr"] / 2, "train": {"acc": 0.5}}


@pytest.fixture
def made(client, raw, tmp_path):
    """A study of five experiments: two done, one failed, two queued."""
    made = made_study(client, raw, tmp_path)
    made.enqueue({"lr": [0.25, 0.5, 10.0], "seed": [0]}).finish(outcome)
    return made.enqueue({"lr": [0.25, 0.5, 10.0, 20.0, 30.0], "seed": [0]})


@pytest.fixture
def study(made, client):
    return qexp.Study(made.name, client)


def test_a_study_shows_its_counts(study):
    assert repr(study).startswith(f"<Study {study.name}, 5: 2 done, 1 failed, 2 waiting")
    assert f"{study.name}</td>" in study._repr_html_()


def test_a_study_shows_itself_while_postgres_is_away(study, monkeypatch):
    from qexp.client import Client

    away = Client(study._client.settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/x"}))
    monkeypatch.setattr(study, "_client", away)
    assert f"<Study {study.name}: cannot reach Postgres" in repr(study)
    assert "cannot reach Postgres" in study._repr_html_()


def test_all_studies_are_listed(study):
    found = qexp.studies()
    assert isinstance(found, Studies)
    (mine,) = [one for one in found if one.study == study.name]
    assert (mine.total, mine.counts["done"], mine.counts["failed"]) == (5, 2, 1)


def test_studies_are_chosen_by_patterns_and_states(study, client, raw, tmp_path):
    other = made_study(client, raw, tmp_path / "other", "finished").enqueue({"lr": [1]}).finish(lambda _: {"y": 1})
    assert [one.study for one in qexp.studies(f"{other.name[:-2]}*", study.name)] == [study.name, other.name]
    assert [one.study for one in qexp.studies(f"{other.name[:-2]}*", study.name, only_open=True)] == [study.name]
    assert [one.study for one in qexp.studies(limit=1)] == [other.name]
    qexp.Study(other.name).archive()
    assert other.name not in [one.study for one in qexp.studies()]
    assert other.name in [one.study for one in qexp.studies(archived=True)]
    assert repr(qexp.Study(other.name).status()).endswith("1 done; archived")
    with pytest.raises(qexp.QexpError, match="no study is named"):
        qexp.studies("no_such_study")


def test_an_empty_list_of_studies_says_why(study, client, raw, tmp_path):
    other = made_study(client, raw, tmp_path / "other", "finished").enqueue({"lr": [1]}).finish(lambda _: {"y": 1})
    pattern = f"{other.name[:-1]}?"
    assert repr(qexp.studies(pattern, only_open=True)) == "none of these studies has unfinished experiments"
    assert repr(qexp.studies(pattern, archived=True)) == "none of these studies is archived"
    qexp.Study(other.name).archive()
    found = qexp.studies(pattern)
    assert repr(found) == "all of these studies are archived; archived=True chooses them"
    assert found._repr_html_() == f"<p>{found!r}</p>"


def test_experiments_are_listed_with_parameters_and_results(study, made):
    found = study.experiments(status="done")
    assert [view.params["lr"] for view in found] == [0.25, 0.5]
    lines = repr(found).splitlines()
    assert lines[0].split() == ["id", "lr", "seed", "accuracy", "train.acc", "status", "duration"]
    assert lines[2].split()[1:6] == ["0.25", "0", "0.125", "0.5", "done"]
    assert "train.acc" in found._repr_html_()
    assert repr(found[0]).startswith(f"{study.name} #{found[0].id} done: lr=0.25 seed=0 → accuracy=0.125")
    assert [view.params["lr"] for view in study.experiments(sort="-accuracy", limit=1)] == [0.5]
    assert study.experiments([]) == []
    assert [view.id for view in study.experiments(made.ids("lr > 5"))] == made.ids("lr > 5")


def test_one_experiment_shows_all_about_it(study, made):
    (failed,) = made.ids("lr = 10")
    text = repr(study.show(failed))
    code = "revision 1, experiment:f; the newest is 2, with the same settings and code"
    assert text.startswith(f"{study.name} #{failed}  failed (error)\n{code}\nparameters\n  lr    10.0\n  seed  0\n")
    assert "attempt 1: error" in text
    assert "ValueError: no" in text


def test_errors_are_grouped_and_name_the_repair(study, made):
    groups = study.errors()
    assert [(group.count, group.ids) for group in groups] == [(1, made.ids("lr = 10"))]
    assert "ValueError: no" in repr(groups)
    assert 'study.requeue(error="ab12")' in repr(groups)
    assert "ValueError: no" in groups._repr_html_()
    assert repr(groups[0]).splitlines() == ["ab12  1 error  ValueError: no", f"  ids {groups[0].ids[0]}"]
    assert study.errors(where="lr < 1") == []
    assert repr(study.errors(where="lr < 1")) == "nothing has failed"


def test_an_explanation_shows_sentences_and_commands(study, made):
    (failed,) = made.ids("lr = 10")
    found = study.explain(failed)
    assert repr(found).startswith(f"{study.name} #{failed}  failed\n")
    assert f"\n  qexp requeue {failed}  # " in repr(found)
    assert f"<code>qexp requeue {failed}</code>" in found._repr_html_()


def test_cancel_takes_selectors_and_says_what_it_did(study, made):
    assert repr(study.cancel(made.ids("lr < 1"))) == "0 cancelled; none of them waits or runs"
    chosen = made.ids("lr = 20")
    assert study.cancel(where="lr = 20", reason="not needed") == chosen
    assert repr(study.experiments(chosen)[0]).startswith(f"{study.name} #{chosen[0]} cancelled")
    assert study.cancel([]) == []
    done = study.cancel()
    assert repr(done) == f"1 cancelled: {made.ids('lr = 30')[0]}"
    assert repr(study.status()) == f"{study.name}, 5: 2 done, 1 failed, 2 cancelled"


def test_cancel_says_that_some_are_running(study, made):
    made.start("lr = 20")
    assert "1 was running; its worker stops it within seconds" in repr(study.cancel())


def test_pause_and_resume_return_the_progress(study):
    paused = study.pause(reason="too <warm>")
    assert paused.paused_at is not None
    assert "(too <warm>)" in repr(paused)
    assert "paused since" in repr(study)
    assert "too &lt;warm&gt;" in study._repr_html_()
    assert study.resume().paused_at is None


def test_requeue_says_what_it_did(study, made):
    (failed,) = made.ids("lr = 10")
    assert repr(study.requeue("failed")) == f"1 requeued: {failed}"
    assert repr(study.requeue(ids=failed)) == "0 requeued; 1 skipped: already pending, queued or running"


def test_missing_output_and_artifacts_say_so(study, made):
    (done,), (waiting,) = made.ids("lr = 0.5"), made.ids("lr = 20")
    assert repr(study.logs(done)) == f"attempt 1 of experiment {done} has no output"
    assert study.logs(done) == ""
    with pytest.raises(ContextError, match=f"experiment {waiting} has not run yet; 'qexp explain {waiting}' says why"):
        study.logs(waiting)
    assert repr(study.artifacts()).startswith("no artifacts; keep a file")


def test_experiments_of_other_studies_are_refused(study, client, raw, tmp_path):
    other = made_study(client, raw, tmp_path / "other").enqueue({"lr": [1]})
    (number,) = other.ids("lr = 1")
    for method in (study.logs, study.explain, study.show, study.follow):
        text = f"in the study '{study.name}' has the id {number}: it is an experiment of the study '{other.name}'"
        with pytest.raises(UnknownExperimentError, match=text):
            method(number)
    with pytest.raises(SelectorError, match="expected the id of an experiment"):
        study.logs("17,19")


def test_artifacts_are_listed_read_and_saved(study, made, raw, tmp_path):
    (done,), content = made.ids("lr = 0.5"), b"model"
    file = Files(study._client.settings.artifacts_root).put(f"test/{done}/m.bin", content)
    raw.execute(
        "insert into artifact (experiment, attempt, name, url, size, sha256) values (%s, 1, 'm.bin', %s, %s, %s)",
        [done, file.url, file.size, file.sha256],
    )
    found = study.artifacts()
    assert repr(found).splitlines()[2].split() == [str(done), "1", "m.bin", "5", "bytes"]
    assert repr(found[0]) == f"artifact 'm.bin' of experiment {done}, 5 bytes"
    assert found[0].read() == content
    assert found.save(tmp_path / "out")[0].read_bytes() == content
    assert (tmp_path / "out" / str(done) / "m.bin").exists()
    (tmp_path / "folder").mkdir()
    assert found[0].save(tmp_path / "folder") == tmp_path / "folder" / "m.bin"
    assert study.artifacts("other") == []


@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", "a/../../../outside"])
def test_an_artifact_is_never_saved_outside_of_its_folder(study, made, raw, tmp_path, monkeypatch, name):
    (done,) = made.ids("lr = 0.5")
    file = Files(study._client.settings.artifacts_root).put(f"test/{done}/outside", b"x")
    raw.execute(
        "insert into artifact (experiment, attempt, name, url, size, sha256) values (%s, 1, %s, %s, 1, %s)",
        [done, name, file.url, file.sha256],
    )
    inner = tmp_path / "one" / "two"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    found = study.artifacts(name)
    for save in (found.save, found[0].save, lambda: found[0].save(inner)):
        with contextlib.suppress(FilesError):
            save()
    assert not [path for path in tmp_path.rglob("outside") if not path.is_relative_to(inner)]
    assert not Path("/outside").exists()


def test_results_are_flat_and_go_straight_to_pandas(study, made):
    results = study.results()
    assert results == [{"accuracy": 0.125, "train.acc": 0.5}, {"accuracy": 0.25, "train.acc": 0.5}]
    frame = pd.DataFrame(results)
    assert frame.to_dict("list") == study.frame(where="status = 'done'")[["accuracy", "train.acc"]].to_dict("list")
    first, *_ = study.results(params=True, sort="-accuracy")
    assert first == {"id": made.ids("lr = 0.5")[0], "lr": 0.5, "seed": 0, "accuracy": 0.25, "train.acc": 0.5}
    assert repr(results).splitlines()[0].split() == ["accuracy", "train.acc"]
    assert repr(study.results(where="lr > 100")) == "no experiment is done"


def test_series_have_parameters_as_columns(client, raw, tmp_path):
    # Given series of two experiments, and parameters with nested and taken names
    made = made_study(client, raw, tmp_path)
    made.enqueue({"lr": [0.1, 0.2, 0.3], "optimizer": [{"name": "adam"}], "step": [7], "param.step": [8]})
    made.finish(lambda params: {"accuracy": 1.0, "lr": 5})
    for number in made.ids("lr < 0.3"):
        raw.execute(
            "insert into metric (experiment, attempt, name, step, value, at)"
            " select %s, 1, name, step, step * 0.5, now()"
            " from unnest('{loss,acc}'::text[]) as name, generate_series(0, 2) as step",
            [number],
        )
    # When they are read with the parameters
    plain, frame = qexp.metrics(made.name, "acc"), qexp.metrics(made.name, "acc", params=True)
    # Then each point has those of its experiment, with the names of frames
    assert frame[plain.columns].equals(plain)
    added = [*frame.columns][len(plain.columns) :]
    assert added == ["lr", "optimizer.name", "param.param.step", "param.step"]
    assert frame.groupby("lr")["value"].sum().to_dict() == {0.1: 1.5, 0.2: 1.5}
    assert frame["param.param.step"].tolist() == [7] * 6
    assert frame["param.step"].tolist() == [8] * 6
    assert len(qexp.Study(made.name).metrics(params=True)) == 12
    # And also without any point
    assert [*qexp.metrics(made.name, where="lr = 0.3", params=True).columns[:7]] == [*plain.columns, "lr"]
    # And a wrong name is refused, but not where nothing was recorded yet
    with pytest.raises(ContextError, match=r"none of these experiments has a series 'los' \(did you mean 'loss'\?\)"):
        qexp.metrics(made.name, "acc", "los")
    with pytest.raises(ContextError, match="has a series 'speed'; the series are: acc, loss"):
        qexp.Study(made.name).metrics("speed")
    assert len(qexp.metrics(made.name, "los", where="lr = 0.3")) == 0


class RecordedBar:
    """A progress bar that keeps its news."""

    def __init__(self):
        self.news = []

    def update(self, label, completed, total, news=""):
        self.news.append(news)

    def close(self, news=None):
        self.news.append(news)


def test_a_wait_says_that_no_worker_takes_the_experiments(client, raw, tmp_path, monkeypatch):
    # Given a study on a queue without workers, and one whose worker lives
    monkeypatch.setattr(study_bars, "_WORKER_PATIENCE", 0.0)
    (tmp_path / "served").mkdir()
    served = made_study(client, raw, tmp_path / "served").enqueue({"lr": [1]})
    alone = made_study(client, raw, tmp_path).enqueue({"lr": [1]}, queue="deserted")
    # When they are awaited
    bars = {}
    for made in (served, alone):
        bars[made] = RecordedBar()
        with pytest.raises(TimeoutError):
            study_bars.wait(client, made.name, timeout=0.5, bar=bars[made])
    # Then only the one without a worker says so
    assert bars[alone].news[-2] == "no worker: celery -A qexp worker -Q deserted"
    assert bars[served].news[-2] == "0 running"
