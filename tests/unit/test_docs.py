"""The pages name every existing command, setting and key, and no others."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from qexp.cli.main import VERBS
from qexp.settings import ATTACH_VARIABLE, Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)#?([^)\s]*)\)")


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_second_command_of_the_readme_installs_qexp_and_runs_all_tests():
    _, command = BLOCK.findall(README)[1]
    assert command.startswith("python3 -m venv .venv && ")
    assert command.endswith(" && pytest -n 2\n")


@pytest.mark.parametrize("name", VERBS)
def test_the_readme_lists_each_command(name):
    assert re.search(rf"^\| .*`qexp {name}`.* \|", README, re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_that_exist(page):
    text = page.read_text(encoding="utf-8")
    lines = [line for language, block in BLOCK.findall(text) if language == "sh" for line in block.splitlines()]
    inline = re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))
    named = {found[1] for line in [*lines, *inline] if (found := re.match(r"qexp ([a-z]+)\b", line))}
    assert named <= set(VERBS)


def test_no_chapter_of_the_readme_has_more_than_400_words():
    words = {
        chapter.partition("\n")[0]: len(chapter.split()) for chapter in re.split(r"^## ", README, flags=re.MULTILINE)
    }
    assert not {title: count for title, count in words.items() if count > 400}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_page_of_settings_has_each_setting_with_its_default(name):
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    (default,) = re.findall(rf"^\| `QEXP_{name.upper()}` \| ([^|]+) \| [A-Z][^|]+\. \|$", page, re.MULTILINE)
    actual = Settings.model_fields[name].default
    if isinstance(actual, bool):
        assert default == str(actual).lower()
    elif isinstance(actual, int | float):
        assert default == f"{actual:,}".removesuffix(".0")
    elif name not in ("home", "artifacts"):  # their defaults depend on the machine and on each other
        assert default.startswith("not set")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_settings_that_exist(page):
    named = set(re.findall(r"QEXP_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert named <= {f"QEXP_{name.upper()}" for name in Settings.model_fields} | {ATTACH_VARIABLE, "QEXP_NAME"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_link_leads_to_a_file_and_a_title(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for path, title in LINK.findall(text):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not title or title in anchors(target), f"{path}#{title}"


def test_the_page_of_grids_has_each_key():
    schema = json.loads((ROOT / "docs/grid.schema.json").read_text(encoding="utf-8"))
    example = next(text for _, text in BLOCK.findall((ROOT / "docs/grid.md").read_text(encoding="utf-8")))
    assert set(yaml.safe_load(example)) == set(schema["properties"])
