"""Values that Postgres refuses become errors of their experiments."""

from __future__ import annotations

from qexp.errors import ResultError
from qexp.model import Claim, Failure, Outcome, Usage
from qexp.truncation import single_line
from qexp.worker.attempt import failure


def refused(what: str, error: Exception, claim: Claim, usage: Usage) -> Outcome:
    """Return the outcome of an attempt that has left what cannot be stored."""
    reason = ResultError(f"{what} cannot be stored: {single_line(error)}")
    return Outcome(error=failure.describe(reason, Failure.ERROR, claim.folder), usage=usage)
