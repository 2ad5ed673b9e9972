"""The stored form of an exception, and the fingerprint that groups equal errors."""

from pathlib import Path

import pytest

import qexp
from qexp.functions import Interruption, importing_from, resolve
from qexp.model import Failure
from qexp.settings import Settings
from qexp.worker import password_masking
from qexp.worker.attempt import failure
from qexp.worker.attempt.failure import describe


@pytest.fixture
def error(tmp_path):
    def error(source, folder="one", failure=Failure.ERROR, **values):
        path = tmp_path / folder
        path.mkdir(exist_ok=True)
        (path / "experiment.py").write_text(source)
        with importing_from(path):
            function = resolve("experiment:f", path)
            with pytest.raises(BaseException) as caught:
                function(**values)
            return describe(caught.value, failure, path)

    return error


def test_values_line_numbers_and_folders_do_not_make_another_error(error):
    first = error("def f(x):\n    raise ValueError(x)\n", x=1)
    second = error("# a comment\n\ndef f(x):\n    raise ValueError(x)\n", folder="elsewhere", x=2)
    assert first.fingerprint == second.fingerprint
    assert (first.message, second.message) == ("1", "2")
    assert second.frame == "experiment.py:4 in f"


def test_another_type_or_another_function_is_another_error(error):
    kinds = [
        "def f():\n    raise ValueError\n",
        "def f():\n    raise KeyError\n",
        "def f():\n    g()\ndef g():\n    raise ValueError\n",
    ]
    assert len({error(source).fingerprint for source in kinds}) == 3


SEVERAL = """
def f(case):
    if case == 0:
        raise ValueError("data file missing")
    if case == 1:
        raise ValueError(
            "labels do not match"
        )
    if case == 2:
        raise ValueError(
            "the learning rate is negative"
        )
    raise ValueError(f"case = {case}")
"""


def test_statements_of_one_function_are_different_errors_and_messages_of_one_statement_are_not(error):
    assert len({error(SEVERAL, case=case).fingerprint for case in range(4)}) == 4
    assert error(SEVERAL, case=3).fingerprint == error(SEVERAL, case=4).fingerprint


def test_edits_around_a_statement_and_its_indentation_do_not_make_another_error(error):
    other = SEVERAL.replace("def f", "LATER = 1\n\n\ndef f")
    other = other.replace("        raise", "        if True:\n            raise")
    for case in range(4):
        assert error(SEVERAL, case=case).fingerprint == error(other, case=case).fingerprint


def test_a_line_that_calls_what_fails_elsewhere_does_not_count(error):
    source = "def g():\n    raise ValueError\ndef f(x):\n    if x:\n        g()\n    g()\n"
    assert error(source, x=0).fingerprint == error(source, x=1).fingerprint


def test_statuses_of_an_exit_are_different_errors_and_its_messages_are_not(error):
    source = "import sys\ndef f(status):\n    sys.exit(status)\n"
    numbers = {error(source, status=status).fingerprint for status in (0, 3, 10**5000)}
    texts = {error(source, status=status).fingerprint for status in ("no data", "no labels", None)}
    assert (len(numbers), len(texts), len(numbers | texts)) == (3, 1, 4)


def test_a_timeout_is_one_error_whatever_line_it_reaches(error):
    source = "def f(x):\n    if x:\n        raise ValueError(1)\n    raise ValueError(2)\n"
    reached = {error(source, failure=Failure.TIMEOUT, x=x).fingerprint for x in (0, 1)}
    assert len(reached) == 1


def test_frames_of_libraries_do_not_count(error):
    source = "import json\ndef f(text):\n    json.loads(text)\n"
    one, two = error(source, text="{"), error(source, text="[1,]")
    assert one.fingerprint == two.fingerprint
    assert one.frame == "experiment.py:3 in f"
    assert "json/decoder.py" in one.traceback


def test_recursion_of_any_depth_is_one_error(error):
    source = "def f(n):\n    if n == 0:\n        raise ValueError\n    f(n - 1)\n"
    assert error(source, n=3).fingerprint == error(source, n=7).fingerprint


def test_the_traceback_begins_in_the_users_code(error):
    found = error("def f():\n    raise ValueError('x')\n")
    assert found.traceback.splitlines()[0] == "Traceback (most recent call last):"
    assert "qexp/worker" not in found.traceback


@pytest.mark.parametrize("text", ["quotes ' \"", "100 %s %(x)s", "emoji 🧪", "nul \0 byte", "lone \ud800 surrogate"])
def test_any_message_can_be_stored(error, text):
    found = error("def f(text):\n    raise ValueError(text)\n", text=text)
    stored = found.message + found.traceback
    assert "\0" not in stored
    stored.encode("utf-8")


def test_a_message_that_cannot_be_shown_is_described(error):
    source = "class Bad(Exception):\n    def __str__(self):\n        raise KeyError\ndef f():\n    raise Bad\n"
    assert "cannot be shown" in error(source).message


@pytest.mark.parametrize(
    "source",
    [
        "def f():\n    raise type('E', (Exception,), {'__module__': 'a\\0b'})\n",
        "def f():\n    raise type('E', (Exception,), {'__module__': 'a\\ud800b'})\n",
        "def f():\n    raise SyntaxError('x', ('f', 1, 'a', 't'))\n",
        "class M(type):\n    __module__ = property(lambda self: 1 / 0)\n"
        "class E(Exception, metaclass=M): pass\ndef f():\n    raise E\n",
        "class G(ExceptionGroup):\n    exceptions = property(lambda self: 1 / 0)\n"
        "def f():\n    raise G('g', [ValueError()])\n",
    ],
)
def test_exceptions_whose_methods_raise_are_stored(error, source):
    found = error(source)
    assert found.type
    "".join([found.type, found.message, found.traceback]).encode("utf-8")
    assert "\0" not in found.type


ENDS = ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise MemoryError", "raise GeneratorExit", "self.f()"]
PLACES = {
    "__str__": "def __str__(self): self.f()",
    "__repr__": "def __repr__(self): self.f()\n    def __str__(self): return repr(self)",
    "__notes__": "__notes__ = property(lambda self: self.f())",
    "__cause__": "__cause__ = property(lambda self: self.f())",
    "__context__": "__context__ = property(lambda self: self.f())",
    "__traceback__": "__traceback__ = property(lambda self: self.f())",
    "__class__": "__class__ = property(lambda self: self.f())",
    "__getattribute__": "def __getattribute__(self, name): raise SystemExit",
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("place", PLACES)
def test_an_exception_whose_methods_exit_is_stored(error, place, end):
    source = f"class E(Exception):\n    {PLACES[place]}\n    def f(self):\n        {end}\ndef f():\n    raise E('x')\n"
    found = error(source)
    assert found.type == "experiment.E"
    assert found.traceback


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", ["__module__", "__name__"])
def test_an_exception_whose_class_name_exits_is_stored(error, name, end):
    source = (
        f"class M(type):\n    def f(self):\n        {end}\n    {name} = property(lambda self: self.f())\n"
        "class E(Exception, metaclass=M): pass\ndef f():\n    raise E\n"
    )
    assert error(source).type == "experiment.E"


def test_a_message_of_a_str_subclass_becomes_a_plain_str(error):
    source = (
        "import sys\nclass T(str):\n    encode = replace = __format__ = __contains__ = lambda *_: sys.exit(3)\n"
        "class E(Exception):\n    def __str__(self): return T('mine')\ndef f():\n    raise E\n"
    )
    assert error(source).message == "mine"


def test_an_order_to_stop_interrupts_the_description_of_an_exception():
    class OddError(Exception):
        def __str__(self):
            raise Interruption

    with pytest.raises(Interruption):
        failure.describe(OddError(), Failure.ERROR, None)


def test_causes_of_not_being_callable_are_different_errors():
    from qexp.errors import FunctionError

    one = failure.describe(FunctionError("function m:f requires 'a'"), Failure.INVALID, None)
    two = failure.describe(FunctionError("function m:f takes no 'b'"), Failure.INVALID, None)
    assert one.fingerprint != two.fingerprint
    assert one.frame is None


def test_code_in_a_folder_whose_name_begins_like_qexps_own_is_the_users():
    # Given a function in a folder such as `qexperiments` beside qexp's own package
    file = f"{Path(qexp.__file__).parent}eriments/experiment.py"
    names = {}
    exec(compile("def f():\n    raise ValueError\n", file, "exec"), names)  # noqa: S102
    with pytest.raises(ValueError, match=r"^$") as caught:
        names["f"]()
    # When its error is described without a folder, as for an installed function
    found = failure.describe(caught.value, Failure.ERROR, None)
    # Then its frame counts
    assert found.frame == "experiment.py:2 in f"
    assert file in found.traceback


def test_a_folder_named_almost_like_site_packages_is_not_installed():
    file = "/data/old-site-packages/experiment.py"
    names = {}
    exec(compile("def f():\n    raise ValueError\n", file, "exec"), names)  # noqa: S102
    with pytest.raises(ValueError, match=r"^$") as caught:
        names["f"]()
    assert failure.describe(caught.value, Failure.ERROR, None).frame == "experiment.py:2 in f"


LONG = {
    "message": "def f():\n    raise ValueError('begin' + 'x' * 2_000_000 + 'end')\n",
    "type": "def f():\n    raise type('E' * 100_000, (Exception,), {})\n",
    "note": "def f():\n    e = ValueError('begin')\n    e.add_note('x' * 2_000_000)\n    raise e\n",
    "group": "def f():\n    raise ExceptionGroup('g', [ValueError('x' * 200) for _ in range(10_000)])\n",
    "chain": "def f(n=300):\n    try:\n        n and f(n - 1)\n    finally:\n        raise ValueError('x' * 1000)\n",
    "line": "def f():\n    compile('(' + '1 + ' * 500_000, 'text', 'eval')\n",
    "recursion": "def f(n=0): return g(n)\ndef g(n): return h(n)\ndef h(n): return f(n + 1)\n",
}


@pytest.mark.parametrize("name", LONG)
def test_a_stored_exception_has_at_most_64_kb(error, name):
    found = error(LONG[name])
    assert len(found.message.encode()) <= 65_536
    assert len(found.traceback.encode()) <= 65_536
    assert len(found.type) <= 1_000
    assert found.traceback.startswith(("Traceback", "  + Exception Group Traceback"))


def test_of_a_long_message_the_beginning_and_the_end_are_stored(error):
    found = error(LONG["message"])
    assert (found.message[:5], found.message[-3:]) == ("begin", "end")
    assert "bytes left out" in found.message
    assert found.traceback.endswith("end\n")


@pytest.fixture
def masked():
    password_masking.set_passwords(Settings(home="/x", database_url="postgresql://me:s3cr3t-of-postgres@db/qexp"))
    yield
    password_masking.set_passwords(Settings(home="/x"))


@pytest.mark.usefixtures("masked")
def test_a_password_at_the_cut_is_masked_whole(error):
    # Given a message with a password at the place where it is cut
    source = "def f(n):\n    raise ValueError('x' * n + 's3cr3t-of-postgres' * 20 + 'y' * 200_000)\n"
    for shift in range(20):
        # When the message is stored
        found = error(source, n=32_600 + shift)
        # Then no part of the password is stored
        assert "s3c" not in found.message
        assert "gres" not in found.message


@pytest.fixture
def missing(error):
    """Open a path in a function whose code is an unpacked snapshot, and return the stored error."""

    def missing(path, folder="0123456789abcdef" * 4):
        return error(f"from pathlib import Path\ndef f():\n    open({path})\n", folder)

    return missing


def test_a_file_that_the_snapshot_lacks_is_named_with_the_entry_that_takes_it(missing):
    found = missing("Path(__file__).parent / 'data' / 'points.npy'")
    entry = "'source: {include: [data/points.npy]}' in the grid takes it at the next enqueue"
    hint = f"the snapshot of the code has no data/points.npy; {entry}"
    assert found.message == f"[Errno 2] No such file or directory: 'data/points.npy'; {hint}"
    assert found.traceback.endswith(f"\n{hint}\n")


def test_a_relative_path_that_is_missing_has_advice(missing):
    hint = "the working directory is the worker's; name files beside the function by Path(__file__).parent"
    assert missing("'points.npy'").message == f"[Errno 2] No such file or directory: 'points.npy'; {hint}"


def test_a_missing_file_elsewhere_and_one_of_code_without_a_snapshot_have_no_advice(missing):
    assert missing("'/nowhere/points.npy'").message == "[Errno 2] No such file or directory: '/nowhere/points.npy'"
    assert missing("'points.npy'", "project").message == "[Errno 2] No such file or directory: 'points.npy'"
