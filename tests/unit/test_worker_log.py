"""The lines of a worker's log: their text and width, their sums, and their way from children to the main process."""

import contextlib
import io
import logging
import os
import re

import pytest

from qexp.escapes import printable
from qexp.model import Error, Failure
from qexp.worker.log.attempt_line import AttemptLine
from qexp.worker.log.channel import ForwardingHandler, LogChannel
from qexp.worker.log.formatting import LineFormatter
from qexp.worker.log.repetition import ALWAYS, RepetitionFilter
from qexp.worker.log.worker_log import WorkerLog

log = logging.getLogger("qexp.test")


def failed(message="no", study="lenet", experiment=117, mark="a1b2c3d4", **keys):
    error = Error(keys.pop("failure", Failure.ERROR), keys.pop("type", "ValueError"), message, fingerprint=mark)
    return AttemptLine.of(study, experiment, error, keys.pop("seconds", 0.027), keys.pop("retry_in", None))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (failed(), "lenet #117 failed: ValueError: no (27 ms)"),
        (failed(seconds=None), "lenet #117 failed: ValueError: no"),
        (failed(retry_in=10.4), "lenet #117 failed: ValueError: no (27 ms); again in 10 s"),
        (failed(retry_in=0.0), "lenet #117 failed: ValueError: no (27 ms); again now"),
        (
            failed("its process died: signal 11 (SIGSEGV)", failure=Failure.CRASHED, type="ProcessDied"),
            "lenet #117 crashed: signal 11 (SIGSEGV) (27 ms)",
        ),
        (
            failed("it ran longer than 2 s", failure=Failure.TIMEOUT, type="Timeout", seconds=2.1),
            "lenet #117 timed out: it ran longer than 2 s (2.1 s)",
        ),
        (failed("two\nlines \x1b[31m\x07"), r"lenet #117 failed: ValueError: two lines \x1b[31m\x07 (27 ms)"),
    ],
)
def test_a_failure_is_one_printable_line(line, text):
    assert line.text(200) == text
    assert text.isprintable()


def test_only_the_error_is_shortened_to_the_width():
    text = failed("x" * 5000, retry_in=90.0).text(80)
    assert len(text) == 80
    assert text.endswith("x… (27 ms); again in 1 min 30 s")
    assert failed("\x1b" * 5000).text(80).count("…") == 1


class Terminal(io.StringIO):
    """A stream that is no terminal by its number, so that its width is unknown."""


@pytest.fixture
def lines():
    """Log records in a handler, formatted for a file and filtered; `tick` moves the filter's clock."""
    stream, now = io.StringIO(), [1000.0]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(None))
    repetitions = RepetitionFilter(lambda: now[0])
    handler.addFilter(repetitions)
    root, before = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    log.setLevel(logging.DEBUG)

    class Lines:
        filter = repetitions

        def tick(self, seconds):
            now[0] += seconds
            repetitions.summarise()

        def take(self):
            """Return the new lines without their times."""
            text = stream.getvalue()
            stream.seek(0)
            stream.truncate()
            return [line[len("2026-01-31 23:59:59 ") :] for line in text.splitlines()]

    yield Lines()
    root.removeHandler(handler)
    root.setLevel(before)


def test_ten_failures_of_a_group_have_lines_and_the_others_are_summed_up_after_a_minute(lines):
    for number in range(100):
        failed(experiment=number).log(log)
    assert lines.take() == [f"lenet #{number} failed: ValueError: no (27 ms)" for number in range(10)]
    lines.tick(59)
    assert lines.take() == []
    lines.tick(1)
    summary = "more failed with ValueError (error a1b2c3); 'qexp errors lenet'"
    assert lines.take() == [f"lenet: 90 {summary}"]
    # Then it goes on so
    for number in range(1200):
        failed(experiment=number, retry_in=5.0 if number < 7 else None).log(log)
    assert lines.take() == []
    lines.tick(60)
    assert lines.take() == [f"lenet: 1,200 {summary.replace(';', ', 7 of them run again;')}"]
    lines.tick(60)
    assert lines.take() == [], "nothing new"


def test_failures_of_many_groups_are_bounded_and_summed_up_together(lines):
    for number in range(10_000):
        failed(experiment=number, mark=f"mark{number}").log(log)
    assert len(lines.take()) == 30
    for _ in range(3):
        for number in range(10_000):
            failed(experiment=number, mark=f"mark{number}").log(log)
        lines.tick(60)
    assert len(lines.take()) < 3 * 30 + 3
    for number in range(100):
        for study in range(100):
            failed(experiment=number, study=f"s{study}").log(log)
    assert len(lines.take()) <= 30, "as many within a minute"
    lines.filter.summarise(everything=True)
    told = [line for line in lines.take() if re.match(r"s\d+: ", line)]
    assert sum(int(line.split()[1]) for line in told) == 10_000 - 30


def test_a_finished_study_begins_again(lines):
    for _ in range(12):
        failed().log(log)
        failed(study="other").log(log)
    lines.take()
    lines.filter.forget("lenet")
    assert lines.take() == ["lenet: 2 more failed with ValueError (error a1b2c3); 'qexp errors lenet'"]
    failed().log(log)
    failed(study="other").log(log)
    assert lines.take() == ["lenet #117 failed: ValueError: no (27 ms)"]


def test_a_group_without_news_for_ten_minutes_begins_again(lines):
    for _ in range(11):
        failed().log(log)
    lines.tick(60)
    lines.take()
    lines.tick(601)
    failed().log(log)
    assert lines.take() == ["lenet #117 failed: ValueError: no (27 ms)"]


def test_other_repeated_lines_are_summed_up_by_their_template(lines):
    for number in range(25):
        log.warning("experiment %d: killed %d processes that it left running", number, 3)
        logging.getLogger("somebody").warning("else")
        log.info("%s", "progress", extra=ALWAYS)
    own = "experiment {}: killed 3 processes that it left running"
    found = lines.take()
    assert [line for line in found if "killed" in line] == [own.format(number) for number in range(10)]
    assert found.count("progress") == 25
    assert found.count("WARNING somebody: else") == 25
    lines.filter.summarise(everything=True)
    assert lines.take() == [f"15 more like this: {own.format(24)}"]


def test_lines_of_two_causes_with_one_template_are_two_groups(lines):
    for _ in range(20):
        log.warning("%s: %s", "heartbeat failed", "no answer")
    log.warning("%s: %s", "messages are not sent", "no answer")
    assert lines.take()[-1] == "messages are not sent: no answer"


def test_a_terminal_has_times_and_colours_and_a_line_for_each_new_day():
    formatter = LineFormatter(Terminal(), colours=True)
    made = logging.makeLogRecord({"name": "qexp.x", "levelno": logging.WARNING, "msg": "a\x07b"})
    assert re.fullmatch(r"\x1b\[33m\d\d:\d\d:\d\d a\\x07b\x1b\[0m", formatter.format(made))
    made.created += 86_400
    assert re.match(r"\d{4}-\d\d-\d\d\n", formatter.format(made))
    assert "\n" not in formatter.format(made), "once a day"


def test_a_traceback_of_qexp_stays_and_one_below_a_warning_of_celery_does_not():
    formatter = LineFormatter(None)
    try:
        raise ValueError("odd \x1b[31m")
    except ValueError as error:
        info = type(error), error, error.__traceback__
    fields = {"msg": "it failed", "exc_info": info}
    own = formatter.format(logging.makeLogRecord({"name": "qexp.x", "levelno": logging.ERROR, **fields}))
    celerys = formatter.format(logging.makeLogRecord({"name": "celery.x", "levelno": logging.WARNING, **fields}))
    assert own.splitlines()[-1] == r"ValueError: odd \x1b[31m"
    assert all(printable(line) == line for line in own.splitlines())
    assert celerys.count("\n") == 0


@pytest.fixture
def channel():
    made = LogChannel()
    yield made
    for name in ("_reader", "_writer"):
        with contextlib.suppress(OSError):
            getattr(made, name).close()


def child(action):
    """Call a function in a forked process."""
    pid = os.fork()
    if pid == 0:
        action()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_line_of_a_child_arrives_as_it_was_logged(channel):
    def act():
        logger = logging.Logger("qexp.child")
        logger.addHandler(ForwardingHandler(channel))
        failed("é\ud800").log(logger)
        logger.error("100 %% of %s", "it")

    child(act)
    (first,) = channel.receive(5)
    (second,) = channel.receive(5)
    assert first.attempt_line == failed("é\ud800")
    assert (first.name, first.levelname) == ("qexp.child", "WARNING")
    assert (second.getMessage(), second.cause) == ("100 % of it", "100 %% of %s")
    assert channel.receive(0) == []


def test_a_child_does_not_wait_for_a_busy_main_process_and_says_how_many_lines_are_missing(channel, monkeypatch):
    channel._writer.settimeout(0)

    def act():
        logger = logging.Logger("qexp.child")
        logger.addHandler(ForwardingHandler(channel))
        while not channel.failed:
            logger.warning("x" * 5000)
        logger.warning("lost, too")
        for _ in range(3):
            channel.receive(0)
        logger.warning("last")

    child(act)
    found = []
    while records := channel.receive(0):
        found += [record.getMessage() for record in records]
    assert found[-2:] == ["2 lines of a child are missing here, because the main process was too busy", "last"]


def test_a_function_that_reuses_the_number_of_the_socket_gets_no_line(channel, tmp_path):
    def act():
        number = channel._writer.fileno()
        with (tmp_path / "own").open("wb") as file:
            os.dup2(file.fileno(), number)
            ForwardingHandler(channel).emit(logging.makeLogRecord({"msg": "secret"}))

    child(act)
    assert (tmp_path / "own").read_bytes() == b""


def test_lines_from_before_the_configuration_are_printed_then(lines):
    made, logger = WorkerLog(), logging.getLogger("qexp")
    before = logger.handlers[:]
    made.open()
    assert set(logger.handlers) > set(before), "without a handler, logging would print to stderr"
    logging.getLogger("qexp.early").warning("too early")
    assert lines.take() == ["too early"], "the handler of this test"
    made.configure(logging.Logger("root"), logging.INFO, "file", False)
    assert lines.take() == ["too early"]
    assert logger.handlers == before


def test_the_thread_prints_the_last_lines_before_it_ends(lines):
    made = WorkerLog()
    made.open()
    made.start()
    logger = logging.Logger("qexp.child")
    logger.addHandler(ForwardingHandler(made._channel))
    for number in range(5):
        logger.warning("line %d", number)
    made.call_soon(lambda: log.info("soon"))
    made.stop()
    assert sorted(lines.take()) == [*(f"line {number}" for number in range(5)), "soon"]
