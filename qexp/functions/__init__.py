"""The user's functions: found as `module:name`, checked, and called with converted values."""

from qexp.functions.attempt_imports import imports_of, note_first_modules
from qexp.functions.lookup import file_in, import_folder, reference, resolve
from qexp.functions.module_folders import importing_from, note_module_files, switch_folder
from qexp.functions.signature import Function, Injected, Signature
from qexp.functions.unavailable_modules import unavailable_modules
from qexp.functions.user_code import Interruption

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
