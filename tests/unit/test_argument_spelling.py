"""Errors name arguments as the interface in use spells them."""

import subprocess
import sys

import pytest

from qexp.argument_spelling import in_python
from qexp.errors import OptionError, RefusedError, SelectorError
from qexp.store.selection import selectors


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        ("--since: found 'soon'", "since: found 'soon'"),
        ("--allow missing,nan shows the table", 'allow="missing,nan" shows the table'),
        ("expected --x PARAMETER", "expected x=PARAMETER"),
        ("--failed, --status STATUS, --stale or ids", 'status="failed", status=STATUS, stale=True or ids'),
        ("'lr' is in --rows and in --columns; an axis", "'lr' is in rows and in columns; an axis"),
        ("choose with --rows or --columns", "choose with rows or columns"),
        ('--over seed,lr, --where "lr = 1"', 'over="seed,lr", where="lr = 1"'),
        ("--max holds for all; --stat: found", "maximize=True holds for all; statistic: found"),
        ("--best lr: such as --by val_acc", 'best="lr": such as by="val_acc"'),
        # commands, and text that a person wrote, stay as they are
        ("2 failed; qexp requeue a --failed --where 'lr > 1'; --allow nan", "qexp requeue a --failed --where"),
        ("run 'qexp status --archived', as --status", "run 'qexp status --archived', as status"),
        ("the study's --where: found '--allow', expected", "the study's where: found '--allow', expected"),
    ],
)
def test_options_become_keywords(options, keywords):
    assert keywords in in_python(options)


def test_errors_in_python_name_its_arguments():
    with pytest.raises(SelectorError, match=r'name the experiments: status="failed", status=STATUS, error=GROUP, orph'):
        selectors.require_narrow(selectors.parse(["lenet"]))
    assert str(OptionError("--kind: found 'pie'")) == "kind: found 'pie'"
    assert str(RefusedError(["1 is missing"], "--allow missing shows it")).endswith('\nallow="missing" shows it')


def test_errors_on_the_command_line_name_its_options():
    command = [sys.executable, "-m", "qexp", "plot", "lenet", "-y", "acc", "--kind", "line", "-o", "x.pdf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("qexp: --kind line: found no --x, expected --x PARAMETER")
