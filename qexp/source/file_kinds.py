"""The kind of a file: code and text that a snapshot takes, and data, documents and notebooks that it leaves out."""

from __future__ import annotations

import re
from collections.abc import Container
from enum import Enum
from pathlib import PurePosixPath

SMALL = 1_000_000
"""The most bytes of a file that is taken without being importable or named."""
SMALL_IN_ALL = 10_000_000
"""The most bytes of all these files; the largest are left out first."""
TEXT_PREFIX = 8_000  # bytes, as in git: a file with a zero among them is binary


class SourceKind(Enum):
    """What a snapshot does with a file."""

    CODE = "code"
    """Python can import it, or the grid names it: it is taken."""
    PACKAGE_FILE = "package file"
    """It is a small file of a package: it is taken."""
    TEXT = "text"
    """It is taken if its content is text."""
    DATA = "data"
    """It is left out, and the enqueue says so."""
    DOCUMENT = "document"
    """It is left out without a word: nobody expects it in a snapshot."""


_IMPORTABLE = re.compile(r".*\.(?:pyi?|pyd|dll|dylib|so(?:\.\d+)*)", re.IGNORECASE)
_TABLES = "parquet feather arrow ipc orc avro npy npz mat h5 hdf5 hdf nc zarr fits rds rda rdata sav dta xls xlsx ods"
_DATABASES = "db sqlite sqlite3 duckdb mdb lmdb tfrecord tfrecords pcap las vtk nii dcm"
_MODELS = "pkl pickle joblib dill pt pth ckpt safetensors onnx pb tflite keras gguf bin"
_ARCHIVES = "zip tar gz tgz bz2 xz zst lz4 7z rar whl jar dump"
_MEDIA = "jpg jpeg bmp tif tiff webp wav mp3 flac ogg mp4 avi mov mkv"
_NOTEBOOKS_AND_LOGS = "ipynb log out err prof lprof part tmp swp orig rej"
_PLOTS_AND_PAPERS = "png gif svg pdf eps ps html htm tex bib bbl aux doc docx ppt pptx odt odp"


def _suffixes(*words: str) -> frozenset[str]:
    return frozenset(f".{word}" for line in words for word in line.split())


_DATA = _suffixes(_TABLES, _DATABASES, _MODELS, _ARCHIVES, _MEDIA)
_DOCUMENTS = _suffixes(_NOTEBOOKS_AND_LOGS, _PLOTS_AND_PAPERS)
_OUTPUT_FOLDERS = frozenset(("wandb", "mlruns", "lightning_logs", "catboost_info"))
_TEXT = frozenset((".txt", ".md", ".rst", ".csv", ".tsv", ".jsonl", ""))
"""Suffixes of text that is no code, outside of packages: a change of it changes no code."""


def kind_of(name: str, size: int, in_package: bool) -> SourceKind:
    """
    Return the kind of a file by its name, its bytes and whether it lies in a package of Python.

    >>> [kind_of(name, 10, False).value for name in ("model.py", "a.yaml", "points.npy", "try.ipynb")]
    ['code', 'text', 'data', 'document']
    >>> kind_of("words.npy", 10, True), kind_of("long.csv", 2_000_000, False)
    (<SourceKind.PACKAGE_FILE: 'package file'>, <SourceKind.DATA: 'data'>)
    """
    suffix = PurePosixPath(name).suffix.lower()
    if _IMPORTABLE.fullmatch(name):
        return SourceKind.CODE
    if suffix == ".ipynb" or name.startswith("events.out.tfevents."):
        return SourceKind.DOCUMENT
    if in_package:
        return SourceKind.PACKAGE_FILE if size <= SMALL else SourceKind.DATA
    if suffix in _DOCUMENTS:
        return SourceKind.DOCUMENT
    return SourceKind.DATA if suffix in _DATA or size > SMALL else SourceKind.TEXT


def holds_outputs(folder: str, is_package: bool) -> bool:
    """Return whether a folder of this name holds the records of an experiment tracker."""
    return folder in _OUTPUT_FOLDERS and not is_package


def is_text(content: bytes) -> bool:
    """Return whether the beginning of a file is text, judged as git does."""
    return b"\0" not in content[:TEXT_PREFIX]


_GRID = re.compile(rb"""(?:^|[{,]\s*)["']?function["']?:\s*["']?[\w.]+:[\w.]+""", re.MULTILINE)
_TABLES_FILE = re.compile(rb"^tables:", re.MULTILINE)


def is_own(name: str, content: bytes) -> bool:
    """
    Return whether a file looks like a grid or a tables file: qexp reads it, the function does not.

    >>> is_own("grid.yaml", b"study: a\\nfunction: experiment:f"), is_own("config.yaml", b"rate: 0.1")
    (True, False)
    """
    path = PurePosixPath(name)
    if path.suffix not in (".yaml", ".yml", ".json"):
        return False
    is_tables_file = path.name.startswith("tables") and _TABLES_FILE.search(content) is not None
    return is_tables_file or _GRID.search(content) is not None


def is_code(name: str, files: Container[str]) -> bool:
    """
    Return whether a change of the file *name* of a snapshot with these *files* is a change of code.

    >>> [is_code(name, {"lib/__init__.py"}) for name in ("notes.txt", "lib/notes.txt", "config.yaml", ".gitignore")]
    [False, True, True, False]
    """
    path = PurePosixPath(name)
    if any(f"{folder}/__init__.py" in files for folder in path.parents[:-1]):
        return True
    return path.suffix.lower() not in _TEXT and not any(part.startswith(".") for part in path.parts)
