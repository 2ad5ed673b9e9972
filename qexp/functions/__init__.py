"""The user's functions: found as `module:name`, checked, and called with converted values."""

from qexp.functions.folder_imports import importing_from, note_module_files, switch_folder
from qexp.functions.guarded_calls import Interruption
from qexp.functions.import_recording import imports_of, note_first_modules
from qexp.functions.local_only_modules import unavailable_modules
from qexp.functions.lookup import file_in, import_folder, reference, resolve
from qexp.functions.signature import Function, Injected, Signature

__all__ = [
    "Function",
    "Injected",
    "Interruption",
    "Signature",
    "file_in",
    "import_folder",
    "importing_from",
    "imports_of",
    "note_first_modules",
    "note_module_files",
    "reference",
    "resolve",
    "switch_folder",
    "unavailable_modules",
]
