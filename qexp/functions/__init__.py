"""'module:name' becomes a checked callable."""

from qexp.functions.foreign import Interruption
from qexp.functions.lookup import beside, reference, resolve
from qexp.functions.signature import Function, Injected, Signature
from qexp.functions.workspace import note, switch, workspace

__all__ = [
    "Function",
    "Injected",
    "Interruption",
    "Signature",
    "beside",
    "note",
    "reference",
    "resolve",
    "switch",
    "workspace",
]
