"""Checks of workers, queues, functions, artifacts, the outbox and the disk."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from pathlib import Path

from qexp.client.doctor import import_check
from qexp.client.doctor.finding import DoctorState, Finding, Findings, Verdict
from qexp.client.explain import start_worker
from qexp.errors import FilesError
from qexp.file_storage import Files
from qexp.model import counted
from qexp.store.reads import health, workers
from qexp.store.reads.workers import WorkerState
from qexp.store.writes import deleting
from qexp.truncation import listed

_SCARCE = 1_000_000_000
"""Bytes of free disk space below which the doctor warns."""
_LONG = 120.0
"""Seconds that an experiment may wait beside an idle worker; the leader replaces a lost message sooner."""
_UNDELIVERED = 600.0
"""Seconds after which an outcome in the outbox should have been delivered."""
_DEAF = 30.0
"""Seconds after which an idle worker should have taken a waiting experiment."""
IMPORTS = 10
"""Time limit of all imports together, as a multiple of `connect_timeout`; large libraries are slow."""


def running_workers(name: str, state: DoctorState) -> Findings:
    """Count the workers, and warn of silent and quarantined ones."""
    with health.reading(state.settings) as connection:
        state.workers = workers.listed(connection, state.settings.lease)
    state.met.add("workers")
    silent = [worker for worker in state.workers if worker.state is WorkerState.SILENT]
    if silent:
        found = f"{len(silent)} silent, such as {silent[0].name}; its last heartbeat was {silent[0].silence:.0f} s ago"
        expected = f"a heartbeat every {state.settings.heartbeat:g} s; other workers run its experiments"
        yield Finding(name, Verdict.WARNING, found, expected, "celery -A qexp worker")
    for worker in state.workers:
        if worker.state is WorkerState.QUARANTINED:
            found = f"{worker.name} is quarantined: {worker.quarantine_reason}"
            repair = f"stop the worker, repair {worker.host}, start it again"
            yield Finding(name, Verdict.WARNING, found, "a worker that takes experiments", repair)
    if state.live:
        hosts, busy = {worker.host for worker in state.live}, sum(worker.busy for worker in state.live)
        where = next(iter(hosts)) if len(hosts) == 1 else f"{len(hosts)} hosts"
        places = sum(worker.concurrency for worker in state.live)
        yield Finding(name, Verdict.OK, f"{len(state.live)} live on {where}, busy {busy}/{places}")
    elif not state.workers:
        yield Finding(name, Verdict.WARNING, "no worker is running", "at least one", "celery -A qexp worker")


def queues(name: str, state: DoctorState) -> Findings:
    """Check that a worker listens on each queue where experiments wait."""
    with health.reading(state.settings) as connection:
        waiting = health.waiting(connection)
        unserved = health.unserved(connection, state.settings.lease)
    for queue, number in unserved.items():
        found = f"{queue}: {counted(number, 'experiment')} waiting, but no live worker listens on it"
        yield Finding(name, Verdict.FAILED, found, "a worker for each queue", start_worker(queue))
    if not unserved:
        counts = ", ".join(f"{queue} {count}" for queue, count in waiting.items())
        yield Finding(
            name, Verdict.OK, f"waiting: {counts}; workers listen on all of them" if counts else "no experiments wait"
        )


def progress(name: str, state: DoctorState) -> Findings:
    """Find idle workers that take nothing, and experiments that wait too long beside an idle worker."""
    with health.reading(state.settings) as connection:
        stuck = health.stuck(connection, _LONG)
        deaf = health.deaf(connection, state.settings.lease, _DEAF)
    if deaf:
        yield Finding(
            name,
            Verdict.WARNING,
            f"{listed(deaf, 3)}: alive and idle, but took nothing for {_DEAF:g} s while experiments wait",
            "taken at once, unless Celery's cancel_consumer or rate_limit, or the end of its lifetime, prevents it",
            "restart it: celery -A qexp worker",
        )
        return
    idle = [worker for worker in state.live if worker.state is WorkerState.IDLE]
    found = {study: number for queue, study, number in stuck if any(worker.serves(study, queue) for worker in idle)}
    if not found:
        yield Finding(name, Verdict.OK, "nothing looks stuck")
        return
    first, many = next(iter(found)), counted(sum(found.values()), "experiment")
    yield Finding(
        name,
        Verdict.WARNING,
        f"{many} of {listed(list(found), 3)} queued for over {_LONG / 60:g} min, while a worker is idle",
        "started at once; the log of the leader may say why ('qexp workers' marks it with *)",
        f"qexp cancel {first} --status queued -y; qexp requeue {first} --status cancelled -y",
    )


def functions(name: str, state: DoctorState) -> Findings:
    """Import the function of each study, as an enqueue does."""
    with health.reading(state.settings) as connection:
        called = health.functions(connection)
    away = [one.study for one in called if one.folder is not None and not Path(one.folder).is_dir()]
    sharing: dict[import_check.Place, list[health.StudyFunction]] = {}
    for one in called:
        if one.study not in away:
            sharing.setdefault((one.function, one.folder), []).append(one)
    patience = IMPORTS * state.settings.connect_timeout
    answers = import_check.problems(list(sharing), patience) if sharing else {}
    for where, problem in answers.items():
        if problem is not None:
            yield _unusable(name, sharing[where], problem)
    good = sum(len(sharing[where]) for where, problem in answers.items() if problem is None)
    parts = [
        not called and "there are no studies yet",
        good and f"{good} of {len(called)} can be imported here",
        away and f"the folders of these studies are not on this host: {listed(away, 3)}",
    ]
    if any(parts):
        yield Finding(name, Verdict.OK, "; ".join(part for part in parts if part))
    if late := [where for where in sharing if where not in answers]:
        found = f"importing {late[0][0]} of {listed([one.study for one in sharing[late[0]]], 3)} is not finished"
        more = f"; {len(late) - 1} more were not checked" * (len(late) > 1)
        yield Finding(name, Verdict.WARNING, found + more, f"all imports within {patience:g} s", _MORE_TIME)


_MORE_TIME = "QEXP_CONNECT_TIMEOUT=30 qexp doctor"


def _unusable(name: str, studies: list[health.StudyFunction], problem: str) -> Finding:
    """Return the problem of a function; only a warning if workers may have it from a snapshot or installed."""
    needed = any(study.open and study.folder is not None and not study.snapshot for study in studies)
    snapshot = all(study.snapshot for study in studies)
    return Finding(
        name,
        Verdict.FAILED if needed else Verdict.WARNING,
        f"{listed([study.study for study in studies], 3)}: {problem}",
        "importable before a requeue; until then workers use the snapshot" if snapshot else "importable",
        "correct it, then 'qexp enqueue' its grid again",
    )


def artifacts(name: str, state: DoctorState) -> Findings:
    """Write, read and delete a file in the artifacts root."""
    root = state.settings.artifacts_root
    files, key, content = Files(root), f"qexp-doctor-{secrets.token_hex(8)}", secrets.token_bytes(16)
    expected = "a place where files can be written, read and deleted"
    repair = "set QEXP_ARTIFACTS to such a place, for every worker and client"
    try:
        stored = files.put(key, content)
        found = files.get(stored.url)
        files.delete(stored.url)
    except FilesError as error:
        yield Finding(name, Verdict.FAILED, f"{error}", expected, repair)
        return
    hosts = sorted({worker.host for worker in state.live})
    if found != content:
        yield Finding(
            name, Verdict.FAILED, f"{root}: the bytes that were read differ from those written", expected, repair
        )
    elif len(hosts) > 1 and not state.loaded.configured("artifacts"):
        yield Finding(
            name,
            Verdict.WARNING,
            f"{root} is a folder of this machine, but workers are on {listed(hosts, 3)}",
            "a place that all hosts share",
            "set QEXP_ARTIFACTS=file:///shared/folder or s3://bucket/prefix, for every worker and client",
        )
    else:
        yield Finding(name, Verdict.OK, f"written, read and deleted in {root}")


def left_overs(name: str, state: DoctorState) -> Findings:
    """Find unreadable files, and outcomes in the outbox that no worker delivers."""
    settings = state.settings
    unreadable, waiting = _files(settings.unreadable), _files(settings.outbox)
    if unreadable:
        found = f"{len(unreadable)} unreadable files, such as {unreadable[0]}"
        yield Finding(name, Verdict.WARNING, found, "none", f"look at them, then: rm -r {settings.unreadable}")
    old = [path for path in waiting if time.time() - path.stat().st_mtime > _UNDELIVERED]
    if old:
        found = f"{len(old)} outcomes in {settings.outbox} are undelivered for over {_UNDELIVERED / 60:g} min"
        expected = "delivered by a worker of the database that each file names"
        yield Finding(name, Verdict.WARNING, found, expected, "celery -A qexp worker, with that QEXP_DATABASE_URL")
    if not unreadable and not old:
        yield Finding(name, Verdict.OK, "none" if not waiting else f"{len(waiting)} outcomes are being delivered")


def deletions(name: str, state: DoctorState) -> Findings:
    """Find studies whose deletion has begun and is not complete."""
    with health.reading(state.settings) as connection:
        marked = deleting.marked(connection)
        left = [counted(deleting.number_left(connection, study), "experiment") for study in marked]
    for study, number in zip(marked, left, strict=True):
        found = f"the deletion of {study.name} has {number} left; unless it runs now, it was interrupted"
        yield Finding(name, Verdict.WARNING, found, "complete", f"qexp delete {study.name}, or qexp prune")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def disk(name: str, state: DoctorState) -> Findings:
    """Check the free disk space in QEXP_HOME and in the folder of attempts."""
    folders = dict.fromkeys([state.settings.home, Path(tempfile.gettempdir())])
    free = {folder: shutil.disk_usage(_existing(folder)).free for folder in folders}
    for folder, left in free.items():
        if left < _SCARCE:
            verdict = Verdict.FAILED if left < _SCARCE / 10 else Verdict.WARNING
            repair = "free some space, or set " + ("QEXP_HOME" if folder == state.settings.home else "TMPDIR")
            yield Finding(name, verdict, f"{left / 1e6:,.0f} MB free in {folder}", "1 GB or more", repair)
    if min(free.values()) >= _SCARCE:
        shown = ", ".join(f"{left / 1e9:.1f} GB free in {folder}" for folder, left in free.items())
        yield Finding(name, Verdict.OK, shown)


def _existing(folder: Path) -> Path:
    return next(level for level in (folder, *folder.parents) if level.exists())
