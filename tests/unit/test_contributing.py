"""CONTRIBUTING explains every package, and names only modules that exist."""

import ast
import re
from pathlib import Path

import qexp

PACKAGE = Path(qexp.__file__).parent
PAGE = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__main__.py")


def test_each_package_is_explained():
    packages = {f"qexp/{path.parent.relative_to(PACKAGE)}/" for path in MODULES if path.parent != PACKAGE}
    assert packages > {"qexp/cli/", "qexp/worker/main/"}
    assert {name for name in packages if f"`{name}`" not in PAGE and f"`{Path(name).name}/`" not in PAGE} == set()


def test_each_module_that_is_named_exists():
    named = re.findall(r"`(qexp/[\w/.]+)`", PAGE)
    assert len(named) > 50
    assert [name for name in named if not (PACKAGE.parent / name).exists()] == []


def test_the_way_of_one_experiment_leads_from_enqueue_to_export():
    way = PAGE[PAGE.index("## The way of one experiment") : PAGE.index("## Words")]
    passed = re.findall(r"`qexp/([\w/]+)\.py`", way)
    assert passed[0] == "cli/enqueue"
    assert {"worker/celery_hooks", "worker/child/message_runner", "store/writes/claiming"} < set(passed)
    assert "analysis/export" in passed


def test_the_first_line_of_each_module_says_what_it_holds():
    for path in MODULES:
        first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
        assert first.endswith((".", ":")), path
        assert not re.match(r"(What|Who|Where|How) ", first), path
