"""The nouns: experiments, attempts and their states; identity; values as text."""

from qexp.model.attempt import UNKNOWN, Claim, Departure, Error, Imports, Outcome, Usage
from qexp.model.canonical import (
    DEFAULT_QUEUE,
    NON_FINITE,
    SCALARS,
    STUDY_NAME,
    STUDY_NAME_RULE,
    Json,
    canonical,
    encode_float,
    fingerprint,
    map_scalars,
    strict,
    to_text,
)
from qexp.model.status import CLOSED, DEATHS_BEFORE_ISOLATION, OPEN, Failure, Origin, Status
from qexp.model.text import ago, compact, describe, duration, plain, short_names, storable_text

__all__ = [
    "CLOSED",
    "DEATHS_BEFORE_ISOLATION",
    "DEFAULT_QUEUE",
    "NON_FINITE",
    "OPEN",
    "SCALARS",
    "STUDY_NAME",
    "STUDY_NAME_RULE",
    "UNKNOWN",
    "Claim",
    "Departure",
    "Error",
    "Failure",
    "Imports",
    "Json",
    "Origin",
    "Outcome",
    "Status",
    "Usage",
    "ago",
    "canonical",
    "compact",
    "describe",
    "duration",
    "encode_float",
    "fingerprint",
    "map_scalars",
    "plain",
    "short_names",
    "storable_text",
    "strict",
    "to_text",
]
