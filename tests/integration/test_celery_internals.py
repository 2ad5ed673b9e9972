"""Each undocumented name of Celery, billiard, kombu and redis-py that qexp uses, and its effect for a user."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import select
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import redis
from celery.apps import worker as apps_worker
from kombu.asynchronous import Hub
from kombu.transport import TRANSPORT_ALIASES, _transport_cache, resolve_transport
from kombu.transport import redis as kombu_redis
from tests_support import eventually, publish

from qexp.errors import UnsupportedPoolError
from qexp.queueing import broker, messages
from qexp.queueing.messages import Message
from qexp.worker import celery_internals as internals

WORKER = """
import logging, os, signal, sys, time
from pathlib import Path
from celery import signals
from qexp import settings
from qexp.queueing import broker, messages
from qexp.worker import celery_internals as internals

queue = sys.argv[1]
app = broker.application(settings.load())

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

class Request(internals.MessageRequest):
    def child_accepted(self, headers, pid):
        say("accepted", headers["argsrepr"])
        if headers["argsrepr"] == "stop taking":
            internals.stop_taking(consumers[0], internals.queues_of(app))

    def child_died(self, arguments, pid, reason):
        say("died", arguments, pid, reason)

class Worker(internals.MainWorker):
    def introduce(self):
        say("introduced")

    def before_kill(self, running):
        say("running", [messages.ids_of(arguments) for arguments in running])

@app.task(name=messages.TASK, Request=Request)
def run(ids):
    say("begun", ids, "index", internals.child_index(), "pid", os.getpid())
    if ids == [2]:
        os.kill(os.getpid(), signal.SIGKILL)
    if ids == [3]:
        internals.retire_child()
    while ids == [4] and not Path("go").exists():
        time.sleep(0.02)
    say("ended", ids)

def mute(loglevel, **_):
    internals.mute(loglevel)
    logging.getLogger("multiprocessing").handlers[0].addFilter(internals.ChildDeathFilter(lambda pid: False))

if "mute" in sys.argv:
    signals.after_setup_logger.connect(mute, weak=False)
consumers = []
signals.worker_ready.connect(lambda sender, **_: consumers.append(sender), weak=False)
signals.worker_process_shutdown.connect(lambda **_: say("waited for"), weak=False)
internals.use(app, Worker)
worker = app.Worker(hostname=f"{queue}@here", concurrency=1, queues=[queue], loglevel="INFO")
worker.start()
sys.exit(worker.exitcode)
"""


@pytest.fixture
def worker(site, tmp_path, request):
    """A worker with one child that uses only the module under test; its task prints what happens."""
    options = getattr(request, "param", [])
    queue = f"q_{uuid.uuid4().hex[:8]}"
    log = tmp_path / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-c", WORKER, queue, *options]
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=tmp_path, start_new_session=True)

    def says(pattern):
        def found():
            return re.search(pattern, log.read_text())

        eventually(lambda: found() or process.poll() is not None, pattern)
        assert found(), log.read_text()
        return found()

    def send(*ids, line=""):
        publish(site, Message(queue, ids, 1, line))

    says("introduced" if options else " ready\\.")
    yield SimpleNamespace(process=process, queue=queue, folder=tmp_path, says=says, send=send, text=log.read_text)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_request_dict_without_it_a_worker_does_not_hear_of_a_study_s_first_messages(worker):
    worker.send(1, line="study #1")
    worker.says("accepted study #1")


def test_index_without_it_children_share_a_slot_and_limits_hit_the_wrong_experiment(worker):
    worker.send(1)
    worker.says(r"begun \[1\] index 0 ")
    assert internals.child_index() is None, "the main process is no child"


def test_worker_pid_without_it_an_experiment_whose_process_was_killed_stays_running(worker):
    worker.send(2)
    pid = worker.says(r"begun \[2\] index 0 pid (\d+)")[1]
    worker.says(rf"died .*\[2\].* {pid} .*SIGKILL")


def test_inq_reader_without_it_a_damaged_process_runs_the_next_experiment(worker):
    worker.send(3)
    pid = int(worker.says(r"begun \[3\] index 0 pid (\d+)")[1])
    worker.says(r"ended \[3\]")
    eventually(lambda: not psutil.pid_exists(pid), "the child to be replaced")
    worker.send(1)
    worker.says(r"ended \[1\]")
    assert "died" not in worker.text(), "it has ended normally"


def test_call_soon_and_cancel_task_queue_without_them_a_quarantined_worker_takes_more_work(worker, site):
    worker.send(1, line="stop taking")
    worker.says("Canceling queue")
    for number in range(5, 8):
        worker.send(number)
    worker.process.terminate()
    worker.process.wait()
    with redis.Redis.from_url(site.broker_url) as server:
        assert server.llen(f"{worker.queue}\x06\x165") >= 2, "one may have been on its way"


def test_pool_state_and_terminate_without_them_an_idle_worker_takes_seconds_to_stop(worker):
    # When a worker whose child never had a message is told to stop
    worker.process.terminate()
    # Then its child is killed, without a slow orderly stop
    assert worker.process.wait() == 0
    assert "waited for" not in worker.text()


def test_stop_without_it_a_worker_that_ctrl_c_stops_seems_to_have_failed(worker):
    worker.process.send_signal(signal.SIGINT)
    assert worker.process.wait() == 0


def test_register_with_event_loop_without_it_signals_wake_no_worker_after_a_lost_broker(worker, site):
    # Given a worker that has lost its connection to the broker
    with redis.Redis.from_url(site.broker_url) as server:
        blocked = [one for one in server.client_list() if "b" in one["flags"] and one["cmd"] == "brpop"]
        for one in blocked:
            server.client_kill_filter(_id=one["id"])
    worker.says("Connection to broker lost")
    worker.send(1)
    worker.says(r"ended \[1\]")
    # When it is told to stop
    worker.process.terminate()
    # Then it does so without a word of Python
    assert worker.process.wait() == 0
    assert "Exception ignored" not in worker.text()


def test_cache_without_it_a_stopping_worker_kills_its_experiments(worker):
    worker.send(4)
    worker.says("begun")
    worker.says("accepted")  # Celery cancels a message whose acceptance its main process has not read yet
    worker.process.terminate()
    worker.says("shutdown|Shutdown")
    (worker.folder / "go").touch()
    assert worker.process.wait() == 0
    worker.says(r"ended \[4\]")


def test_wait_for_soft_shutdown_without_it_experiments_of_an_immediately_stopped_worker_count_as_crashed(worker):
    worker.send(4)
    worker.says("begun")
    worker.says("accepted")  # Celery cancels a message whose acceptance its main process has not read yet
    worker.process.send_signal(signal.SIGQUIT)
    worker.says(r"running \[\[4\]\]")


muted = pytest.mark.parametrize("worker", [["mute"]], indirect=True)


def test_emit_banner_without_it_celery_s_banner_stands_above_the_log(worker):
    assert "introduced" in worker.text()
    assert "task events" not in worker.text()


@muted
def test_safe_say_and_the_names_of_loggers_without_them_celery_s_lines_stand_between_those_of_qexp(worker):
    worker.send(1)
    worker.says(r"ended \[1\]")
    worker.process.terminate()
    assert worker.process.wait() == 0
    assert not re.search("shutdown|ready|Connected|received|succeeded", worker.text())


def test_other_messages_of_safe_say_without_them_usr1_shows_no_stacks(capfd, monkeypatch):
    monkeypatch.setattr(apps_worker, "safe_say", apps_worker.safe_say)
    monkeypatch.setattr(logging.getLogger("celery.worker.request"), "level", logging.NOTSET)
    for name in ("celery", "kombu"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    internals.mute(logging.INFO)
    apps_worker.safe_say("worker: Warm shutdown (MainProcess)", sys.stdout)
    apps_worker.safe_say("MainThread\n=====", sys.stdout)
    assert capfd.readouterr().out.split() == ["MainThread", "====="]


@muted
def test_the_text_about_a_dead_child_without_it_its_death_is_logged_twice_and_with_a_traceback(worker):
    worker.send(2)
    worker.says(r"process \d+ ended without an experiment: signal 9 \(SIGKILL\)")
    worker.says("died")
    worker.process.terminate()
    assert worker.process.wait() == 0
    assert not re.search("Task handler|Traceback|exited with", worker.text())


def test_a_death_that_is_known_is_not_logged():
    made = logging.makeLogRecord(
        {
            "name": "multiprocessing",
            "msg": "Process %r pid:%r exited with %r",
            "args": ("ForkPoolWorker-1", 7, "signal 9"),
        }
    )
    assert not internals.ChildDeathFilter(lambda pid: pid == 7).filter(made)


def test_params_of_celery_s_command_without_them_celery_worker_logs_only_problems(monkeypatch):
    from celery.bin.worker import worker

    (option,) = [option for option in worker.params if option.name == "loglevel"]
    monkeypatch.setattr(option, "default", "WARNING")
    internals.default_to_info()
    assert worker.make_context("worker", [], resilient_parsing=True).params["loglevel"] == logging.INFO


@pytest.mark.parametrize("pool", ["prefork", "solo", f"{internals.Pool.__module__}:Pool"])
def test_get_implementation_without_it_an_unsupported_pool_is_not_refused(pool):
    internals.check_pool(SimpleNamespace(pool_cls=pool))
    with pytest.raises(UnsupportedPoolError):
        internals.check_pool(SimpleNamespace(pool_cls="threads"))


def test_add_reader_without_it_a_worker_hears_of_a_signal_a_second_later():
    hub = Hub()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        for _ in range(2):  # the second time after a lost connection to the broker
            hub.reset()
            internals.wake_on_signals(hub)
        (reader,) = hub.readers
        os.kill(os.getpid(), signal.SIGUSR1)
        assert select.select([reader], [], [], 0)[0]
        next(hub.create_loop())
        assert not select.select([reader], [], [], 0)[0], "the loop has read it"
    finally:
        internals._signal_reader.cache_clear()
        os.close(signal.set_wakeup_fd(-1))
        signal.signal(signal.SIGUSR1, before)
        hub.close()


@pytest.fixture
def queue(site, monkeypatch):
    """A queue read through qexp's own channel, without a timeout for the broker."""
    name = f"q_{uuid.uuid4().hex[:8]}"
    taken = []
    app = broker.application(site)
    app.conf.broker_transport_options |= {"socket_timeout": None}
    for alias in ("redis", "rediss"):
        monkeypatch.setitem(TRANSPORT_ALIASES, alias, TRANSPORT_ALIASES[alias])
        monkeypatch.setitem(_transport_cache, alias, kombu_redis.Transport)  # as after an earlier connection
    internals.use_own_transport()
    with redis.Redis.from_url(site.broker_url) as server, app.connection_for_read() as connection:
        channel = connection.channel()
        channel.queue_declare(name)

        def take(message):
            assert "odd" not in message.headers, "Celery cannot read it"
            message.ack()
            taken.append(message)

        channel.basic_consume(name, False, take, name)

        def read():
            connection.drain_events(timeout=60)
            return taken.pop()

        yield SimpleNamespace(name=name, server=server, channel=channel, read=read)


def test_brpop_start_without_it_a_worker_that_stops_waits_for_the_broker(queue, site):
    # Given a channel that has read a message and waits up to a minute for another one
    publish(site, Message(queue.name, (7,), 1, "s #7", level=0))
    queue.read()
    blocked = {client["id"] for client in queue.server.client_list() if "b" in client["flags"]}
    queue.channel._brpop_start(timeout=60)
    eventually(
        lambda: any("b" in client["flags"] and client["id"] not in blocked for client in queue.server.client_list()),
        "the broker to block the channel",
    )
    # When it closes, _in_poll says that it waits, and _sock that its CLIENT ID is still valid
    closing = threading.Thread(target=queue.channel.close, daemon=True)
    closing.start()
    # Then the close does not wait for the minute
    eventually(lambda: not closing.is_alive(), "the channel to close", seconds=30)


def test_brpop_read_without_it_a_message_that_cannot_be_read_ends_every_worker(queue, site):
    # Given a message that is no JSON, one on which Celery raises, and one of qexp
    odd = {"headers": {"odd": 1}, "properties": {"delivery_tag": "t", "delivery_info": {}}, "body": "x"}
    queue.server.lpush(queue.name, "no JSON", json.dumps(odd))
    publish(site, Message(queue.name, (7,), 1, "s #7", level=0))
    # Then the message of qexp is read, and qos._delivered is empty
    assert messages.ids_of(queue.read().payload[0]) == [7]
    queue.channel.qos._flush()
    assert not queue.channel.qos._delivered


def test_deliver_without_it_a_forged_header_blocks_a_child_for_ever(queue, site):
    publish(site, Message(queue.name, (7,), 1, "s #7", level=0))
    message = json.loads(queue.server.rpop(queue.name))
    message["headers"] |= {"timelimit": "odd", "shadow": 5}
    queue.server.lpush(queue.name, json.dumps(message))
    headers = queue.read().headers
    assert headers["timelimit"] == [None, None]
    assert "shadow" not in headers


def test_queue_bind_without_it_each_run_leaves_keys_on_the_broker(queue):
    name = broker.TemporaryQueue().name
    for bound in (name, queue.name):
        queue.channel._queue_bind(bound, bound, "", bound)
    keys = {key.decode() for key in queue.server.keys("_kombu.*")}
    assert not [key for key in keys if name in key]
    assert [key for key in keys if queue.name in key]


def test_transport_aliases_and_cache_without_them_workers_read_through_kombu_s_own_channel(queue):
    assert isinstance(queue.channel, internals.Channel)
    assert resolve_transport("redis") is resolve_transport("rediss") is internals.Transport


def test_consume_from_without_it_a_worker_does_not_know_its_queues(site):
    app = broker.application(site)
    app.amqp.queues.select(["b", "a"])
    assert internals.queues_of(app) == ["a", "b"]


def test_every_private_name_of_the_module_has_a_test_here():
    used = set(re.findall(r"\.(_[a-z]\w*)", inspect.getsource(internals)))
    own = {"_identified", "_client_id"}
    tests = Path(__file__).read_text()
    assert [name for name in sorted(used - own) if name.strip("_") not in tests] == []
