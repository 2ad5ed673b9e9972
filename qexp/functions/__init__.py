"""'module:name' becomes a checked callable."""

from qexp.functions.foreign import Interruption
from qexp.functions.lookup import beside, home, reference, resolve
from qexp.functions.signature import Function, Injected, Signature
from qexp.functions.workspace import note, switch, workspace

__all__ = [
    "Function",
    "Injected",
    "Interruption",
    "Signature",
    "beside",
    "home",
    "note",
    "reference",
    "resolve",
    "switch",
    "workspace",
]
