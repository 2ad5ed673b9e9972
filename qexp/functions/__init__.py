"""'module:name' becomes a checked callable."""

from qexp.functions.foreign import Interruption
from qexp.functions.imported import begin, imports_of
from qexp.functions.imports import imported_beside
from qexp.functions.lookup import file_in, import_folder, reference, resolve
from qexp.functions.signature import Function, Injected, Signature
from qexp.functions.workspace import note, switch, workspace

__all__ = [
    "Function",
    "Injected",
    "Interruption",
    "Signature",
    "begin",
    "file_in",
    "import_folder",
    "imported_beside",
    "imports_of",
    "note",
    "reference",
    "resolve",
    "switch",
    "workspace",
]
