"""'module:name' becomes a checked callable."""

from qexp.functions.lookup import reference, resolve
from qexp.functions.signature import Function, Signature
from qexp.functions.workspace import note, switch, workspace

__all__ = ["Function", "Signature", "note", "reference", "resolve", "switch", "workspace"]
