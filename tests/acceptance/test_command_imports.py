"""Commands import only the modules that they need, which keeps them fast on any machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = {"pandas", "numpy", "celery", "kombu", "redis", "sqlalchemy", "psycopg", "pydantic", "alembic", "qexp.grid"}


def imported(*arguments: str, **environment: str) -> set[str]:
    """Return the modules that a command has imported by its end."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "qexp", *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    lines = (line.rpartition("|") for line in done.stderr.splitlines() if line.startswith("import time:"))
    return {name.strip() for _, _, name in lines}


@pytest.mark.parametrize("arguments", [["--help"], ["status", "--help"], ["run", "--help"], ["worker", "--help"]])
def test_help_imports_neither_a_service_nor_frames(arguments):
    assert not HEAVY & imported(*arguments)


def test_completion_imports_neither_a_service_nor_frames():
    asked = {"COMP_WORDS": "qexp status --wa", "COMP_CWORD": "2", "_QEXP_COMPLETE": "bash_complete"}
    assert not HEAVY & imported(**asked)


def test_a_read_command_imports_neither_the_broker_nor_frames_nor_grids(client):
    assert not {"pandas", "numpy", "celery", "kombu", "redis", "alembic", "qexp.grid"} & imported("status")
