"""Every exception that qexp raises on purpose, with its sentence and its exit status."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from qexp.argument_spelling import spelled
from qexp.study_names import possible_name


def nearest(name: str, known: Iterable[str]) -> str:
    """
    Return `` (did you mean 'x'?)`` for the known name most like *name*, or an empty text.

    >>> nearest("clasifier", ["classifier", "dataset"])
    " (did you mean 'classifier'?)"
    """
    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean {match[0]!r}?)" if match else ""


def article(name: str) -> str:
    """
    Return a name after "a" or "an", by its pronunciation.

    >>> article("array.array"), article("SGDClassifier"), article("uuid.UUID")
    ('an array.array', 'an SGDClassifier', 'a uuid.UUID')
    """
    spoken = name.lstrip("_")
    is_spelled = spoken[:2].isupper() and spoken[0] in "FHLMNRSX"
    is_vowel = spoken[:1].lower() in {*"aeio"} or (spoken[:1].lower() == "u" and not _LIKE_YOU.match(spoken))
    return f"{'an' if is_spelled or is_vowel else 'a'} {name}"


_LIKE_YOU = re.compile("U[A-Z]|[Uu](ni|u|s|t)")


class QexpError(Exception):
    """The root of every error raised on purpose; its text is one line for a person."""

    exit_status = 2


class QexpWarning(UserWarning):
    """An enqueue from Python found a likely mistake, or results that need attention."""


class ArgumentError(QexpError):
    """The arguments of a command or a method are wrong; the text names them as the interface in use spells them."""

    def __init__(self, text: str) -> None:
        super().__init__(spelled(text))


class PlaceError(QexpError):
    """A file, or a mapping given from Python, has a problem at a place such as `FILE, line N`."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place, self.problem = place, problem


class GridError(PlaceError):
    """A grid does not describe experiments."""


class TablesFileError(PlaceError):
    """A tables file does not describe tables."""


class FunctionError(QexpError):
    """A function named by `module:name` cannot be imported, is no function, or does not take its arguments."""


class ResultError(QexpError):
    """A function returned something that is not data."""


class ContextError(QexpError):
    """A function gave its context a value that qexp cannot keep, or the attempt is over."""


class CacheError(QexpError):
    """Results cannot be cached: because of the function, its arguments or the folder."""


class CheckpointError(QexpError):
    """A checkpoint is not data, cannot be read, or does not fit the object that it is restored into."""


class SourceError(QexpError):
    """The files of a grid's folder cannot be read, or a snapshot of them cannot be unpacked."""


class SettingsError(QexpError):
    """A setting is unknown, or its value is wrong."""


class UnknownStudyError(QexpError):
    """No study has this name, or matches this pattern."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        if not known:
            text = f"no study is named {name!r}: there are no studies yet; start with 'qexp enqueue grid.yaml'"
        elif "*" in name or "?" in name:
            text = f"no study matches {name!r}{_resembling(name, known)}; 'qexp status' lists them"
        else:
            similar = nearest(name, known) or nearest(possible_name(name) or "", known)
            text = f"no study is named {name!r}{similar}; 'qexp status' lists them"
        super().__init__(text)
        self.name = name


def _resembling(pattern: str, known: Sequence[str]) -> str:
    """Return `` (there are 'x', 'y')`` for up to three names that resemble a pattern."""
    word = re.sub(r"[*?]", "", pattern)
    by_start: dict[str, list[str]] = {}
    for name in known:
        by_start.setdefault(name[: len(word)], []).append(name)
    starts = difflib.get_close_matches(word, by_start, n=3, cutoff=0.6)
    found = [name for start in starts for name in by_start[start]]
    found += difflib.get_close_matches(word, known, n=3, cutoff=0.6)
    close = list(dict.fromkeys(found))[:3]
    return f" (there {'is' if len(close) == 1 else 'are'} {', '.join(map(repr, close))})" if close else ""


class BusyStudyError(QexpError):
    """A study cannot be archived or deleted while its experiments move."""

    def __init__(self, study: str, problem: str) -> None:
        super().__init__(f"{study}: {problem}")
        self.study = study


class UnknownExperimentError(QexpError):
    """No experiment has one of these ids."""

    def __init__(self, ids: str, studies: Sequence[str], last: int | None, owner: str | None = None) -> None:
        which = "study" if len(studies) == 1 else "studies"
        where = f" in the {which} {', '.join(map(repr, studies))}" if studies else ""
        if owner is not None:
            known = f"it is an experiment of the study {owner!r}"
        else:
            known = f"the last id is {last}" if last is not None else "there are no experiments yet"
        super().__init__(f"no experiment{where} has the id {ids}: {known}; 'qexp list' shows them")
        self.ids = ids


class UnknownSourceError(QexpError):
    """An attempt ran without a snapshot of the code."""

    def __init__(self, experiment: int, attempt: int | None) -> None:
        which = "its last attempt" if attempt is None else f"attempt {attempt}"
        super().__init__(
            f"experiment {experiment}: {which} ran without a snapshot of the code; "
            f"'qexp show {experiment}' lists the attempts and the code they ran"
        )


class SelectorError(ArgumentError):
    """The arguments of a command do not name experiments."""


class FilesError(QexpError):
    """A file cannot be stored or read; *place* is its URL or path, or the folder that should contain it."""

    def __init__(self, place: str, problem: str) -> None:
        super().__init__(f"{place}: {problem}")
        self.place, self.problem = place, problem


class ExportError(QexpError):
    """A frame or a table cannot be written to this path or in this format."""


class OptionError(ArgumentError):
    """An option of a table, comparison or plot is wrong."""


class RefusedError(ArgumentError):
    """
    A table, comparison or picture would be wrong, with a line for each reason.

    Replicates are missing, mixed or NaN, or an axis is open. *reasons* and *advice* name options, in Python too.
    """

    exit_status = 1

    def __init__(self, reasons: Sequence[str], advice: str, what: str = "table") -> None:
        super().__init__("\n".join([f"the {what} would be wrong:", *(f"- {reason}" for reason in reasons), advice]))
        self.reasons, self.advice = list(reasons), advice


class StatisticsError(ArgumentError):
    """A statistic, test or correction is unknown, or does not fit the data."""


class MissingLibraryError(QexpError):
    """A library of the extra `analysis` is not installed."""

    def __init__(self, purpose: str, library: str) -> None:
        super().__init__(f"{purpose} needs {library}; install it with pip install 'qexp[analysis]'")
        self.purpose, self.library = purpose, library


class DatabaseTablesError(QexpError):
    """The tables in the database do not fit this program."""


class NoTablesError(DatabaseTablesError):
    """The database has none of qexp's tables."""

    def __init__(self) -> None:
        super().__init__("the database has no tables of qexp yet: start with 'qexp enqueue grid.yaml'")


class OldSchemaError(DatabaseTablesError):
    """The tables are older than this program."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the database has schema {found}, this qexp needs schema {known}: update it with 'qexp db migrate'"
        )


class OlderWorkersError(DatabaseTablesError):
    """The tables are older than this program, and older workers use them."""

    def __init__(self, found: str, known: str, workers: Sequence[str]) -> None:
        super().__init__(
            f"the database has schema {found}, this qexp needs schema {known}, but older workers are running: "
            f"{', '.join(workers)}; stop them first, or migrate while they run with 'qexp db migrate --under-workers'"
        )


class NewerSchemaError(DatabaseTablesError):
    """The tables in the database are newer than those that this program knows."""

    def __init__(self, found: str, known: str) -> None:
        super().__init__(
            f"the database has schema {found}, but this qexp knows only schemas up to {known}: "
            "update qexp with 'pip install --upgrade qexp'"
        )


class SchemaRightsError(DatabaseTablesError):
    """The tables are older than this program, and its role may not change them."""

    def __init__(self, found: str | None, known: str) -> None:
        state = "no tables of qexp" if found is None else f"schema {found}"
        super().__init__(
            f"the database has {state}, this qexp needs schema {known}, and its role may not change the tables: "
            "run 'qexp db migrate' and 'qexp db roles' as the owner of the tables"
        )


class RoleError(QexpError):
    """A name cannot be the name of a role."""

    def __init__(self, option: str, found: str, expected: str) -> None:
        super().__init__(f"{option}: found {found!r}, expected {expected}")


class ServiceError(QexpError):
    """A service that qexp needs does not answer."""

    exit_status = 3


class UnreachableError(ServiceError):
    """A service does not answer, or refuses qexp; *place* is None if qexp has no address for it."""

    service = variable = ""

    def __init__(self, place: str | None = None, reason: str = "no services are running") -> None:
        if place is None:
            super().__init__(f"{reason}: start them with 'qexp up', or set {self.variable}")
        else:
            repair = f"start it, or correct {self.variable}; 'qexp up' starts the embedded services"
            super().__init__(f"cannot reach {self.service} at {place}: {reason}; {repair}")
        self.place, self.reason = place, reason


class DatabaseUnreachableError(UnreachableError):
    """Postgres does not answer, or refuses qexp."""

    service, variable = "Postgres", "QEXP_DATABASE_URL"


class NotAllowedError(ServiceError):
    """Postgres answers, but the role lacks the right for this statement."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(
            f"Postgres at {place} refused: {reason}; "
            "set QEXP_DATABASE_URL to a role with this right ('qexp db roles' prints the roles)"
        )


class BrokerUnreachableError(UnreachableError):
    """Redis or Valkey does not answer, or refuses qexp."""

    service, variable = "the broker", "QEXP_BROKER_URL"


class ExperimentFailedError(QexpError):
    """An attempt failed, and its row has the failure. Only Celery gets this error, so that monitors show FAILURE."""


class MonitorError(QexpError):
    """The monitor would be open to others."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"without a password, the monitor would be open to everyone on {address}: "
            "set FLOWER_BASIC_AUTH=USER:PASSWORD in the environment, or leave out --address"
        )


class UnsupportedPoolError(QexpError):
    """A worker would run several experiments in one process."""

    def __init__(self, pool: str) -> None:
        super().__init__(
            f"--pool: found {pool!r}, expected 'prefork' (the default) or 'solo': an experiment needs its own process; "
            "use 'celery -A qexp worker --concurrency 8' to run 8 at once"
        )


class NotifyError(QexpError):
    """A notification cannot be sent; the text never contains the address, which is a secret."""


class WorkerError(QexpError):
    """A worker that this process started has stopped by itself."""

    exit_status = 3

    def __init__(self, status: int, last_line: str, log: object) -> None:
        super().__init__(f"the local worker stopped with status {status}: {last_line}; see its log {log}")
