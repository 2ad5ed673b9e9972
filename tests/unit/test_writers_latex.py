"""LaTeX tables compile with booktabs alone for any labels, and print the values of the table."""

import re
import shutil
import subprocess
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from table_support import NASTY, cell, nasty_table, rich_table, table

from qexp.analysis.table import Note
from qexp.analysis.writers import tex_character_table, to_latex, to_macros
from qexp.analysis.writers.tex_escaping import TexText


def has_package(name):
    """Return whether pdflatex is there, with a package."""
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        return False
    return subprocess.run(["kpsewhich", f"{name}.sty"], capture_output=True, check=False).returncode == 0


needs_latex = pytest.mark.skipif(not has_package("booktabs"), reason="pdflatex with booktabs is not installed")


def compiled(folder, *bodies, preamble="", fonts=""):
    """Compile one document; return the log, which has no error."""
    head = r"\documentclass{article}\usepackage[paperwidth=400cm,paperheight=400cm]{geometry}\usepackage{booktabs}"
    text = "\n".join([head + fonts + preamble, r"\begin{document}", "\n\n".join(bodies), r"\end{document}"])
    (folder / "paper.tex").write_text(text, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-draftmode", "-no-shell-escape", "paper.tex"]
    run = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", errors="replace", check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    return run.stdout


def body(text):
    """Return the lines that are not comments."""
    return [line for line in text.splitlines() if not line.startswith("%")]


def row_of(text, label):
    return next(line for line in body(text) if line.startswith(label))


def test_a_number_is_a_formula_and_the_best_is_bold():
    text = to_latex(table(cells=[[cell(0.91, 0.02), cell(0.95, 0.01, bold=True)], [cell(0.5), cell(0.25, None)]]))
    assert row_of(text, "SVC") == r"SVC & $0.91 \pm 0.02$ & $\mathbf{0.95 \pm 0.01}$ \\"
    assert row_of(text, "tree") == r"tree & $0.50 \pm 0.02$ & $0.25$ \\"


def test_powers_of_ten_quartiles_and_words_are_formulas():
    power = cell(1.2e-5, 3e-6, text="1.2e-05", spread_text="0.3e-05")
    powers = cell(1.2e-5, 3e-6, text="1.2e-05", spread_text="3.0e-06")
    median = cell(0.91, None, interval=(0.876, 0.931))
    cells = [[power, powers], [median, cell(float("-inf"), None)], [cell(float("nan"), None), cell(91, 2, text="9%")]]
    text = to_latex(table("xyz", cells=cells))
    first = r"$(1.2 \pm 0.3) \times 10^{-5}$"
    assert row_of(text, "x") == rf"x & {first} & $1.2 \times 10^{{-5}} \pm 3.0 \times 10^{{-6}}$ \\"
    assert row_of(text, "y") == r"y & $0.91\;[0.88, 0.93]$ & $-\infty$ \\"
    assert row_of(text, "z") == r"z & $\mathrm{nan}$ & $\mbox{9\%} \pm 2.00$ \\"


def test_missing_replicates_are_counted_and_marked_and_an_absent_cell_is_empty():
    gap = cell(0.9, 0.1, 4, 5, marks=("a", "b"))
    text = to_latex(table(columns=["digits"], rows="xyz", cells=[[gap], [cell(None, n=0, expected=5)], [None]]))
    assert row_of(text, "x") == r"x & $0.90 \pm 0.10$\,(4/5)$^{a,b}$ \\"
    assert row_of(text, "y") == r"y & $\mbox{---}$\,(0/5) \\"
    assert row_of(text, "z") == r"z & \\"


def test_numbers_of_a_column_are_equally_wide():
    cells = [[cell(-10.5, 10.25)], [cell(9.5, 0.5, marks=("a",))]]
    text = to_latex(table("xy", ["digits"], cells))
    assert row_of(text, "x") == r"x & $-10.50 \pm 10.25$\phantom{$^{a}$} \\"
    assert row_of(text, "y") == r"y & $\phantom{-0}9.50 \pm 0.50\phantom{0}$$^{a}$ \\"


def test_groups_of_columns_have_a_rule_and_labels_of_rows_are_not_repeated():
    lines = body(to_latex(rich_table()))
    assert lines[2] == r"&  & \multicolumn{2}{c}{digits} & \multicolumn{2}{c}{iris} \\"
    assert lines[3] == r"\cmidrule(lr){3-4} \cmidrule(lr){5-6}"
    assert lines[4] == r"classifier & features & accuracy & loss & accuracy & loss \\"
    assert [line.partition(" $")[0] for line in lines[6:11]] == [
        "SVC & raw &", "& scaled &", r"\addlinespace", "decision tree & raw &", "& scaled &",
    ]  # fmt: skip


def test_a_number_as_heading_has_its_axis():
    text = to_latex(table(columns=["64", "128"], column_axes=("hidden",)))
    assert row_of(text, "classifier") == r"classifier & hidden = 64 & hidden = 128 \\"


def test_any_provenance_is_in_comments():
    odd = ("study a", "two\nlines \\end{document}", "tabs\tand\x0bmore\u2028", "naïve ± 🎉", "")
    lines = to_latex(table(provenance=odd)).splitlines()
    assert lines[:4] == ["% study a", "% two", r"% lines \end{document}", r"% tabs\tand"]
    start = next(number for number, line in enumerate(lines) if line.startswith(r"\begin{tabular}"))
    assert all(line.startswith("%") for line in lines[:start])


def test_commands_of_notes_are_comments_since_no_paper_prints_them():
    note = Note("missing", "2 failed", "a", "qexp requeue lenet")
    text = to_latex(table(notes=(note,)))
    assert "%   qexp requeue lenet" in text.splitlines()
    assert r"$^{a}$\,2 failed\par" in body(text)
    assert not any("requeue" in line for line in body(text))


def test_a_character_that_pdflatex_lacks_is_replaced_visibly_and_named_in_a_comment():
    text = to_latex(table(["🎉"]))
    assert row_of(text, "{[}U+1F389]")
    assert "% pdflatex has no PARTY POPPER: it is shown as [U+1F389]" in text.splitlines()


@given(st.text())
def test_text_becomes_ascii_that_begins_no_command_of_its_own(label):
    # Given any text, when it is escaped
    escape = TexText()
    found = escape(label)
    # Then every special character is escaped, and braces are balanced
    assert found.isascii()
    bare = re.sub(r"\\[A-Za-z]+|\\.|\$[^$]*\$", "", found)
    assert not re.search(r"[$&#%_^~\\]", bare)
    assert bare.count("{") == bare.count("}")
    # and each ASCII letter remains
    assert all(character in found for character in label if character.isascii() and character.isalnum())
    # and the comment names each missing character
    assert all(f"U+{ord(character):04X}" in found for character in escape.replaced)


@needs_latex
def test_tables_compile_with_booktabs_alone(tmp_path):
    compiled(tmp_path, *map(to_latex, (rich_table(), nasty_table(), table([], [], []), table([], cells=[]))))


@needs_latex
@pytest.mark.parametrize("fonts", ["", r"\usepackage[T1]{fontenc}"])
def test_every_character_that_has_a_command_compiles(tmp_path, fonts):
    tables = [value for name, value in vars(tex_character_table).items() if name.isupper() and name != "ACCENTS"]
    known = [character for characters in tables for character in characters]
    accented = [chr(code) for code in range(0xA0, 0x2000) if "\\" in TexText()(chr(code)) and chr(code).isalpha()]
    assert unicodedata.normalize("NFC", "e\u0301") in accented
    log = compiled(tmp_path, " ".join(map(TexText(), [*known, *accented])), fonts=fonts)
    assert "Missing character" not in log


@needs_latex
@settings(max_examples=4, deadline=None)
@given(labels=st.lists(st.text(max_size=12), min_size=150, max_size=200, unique=True))
def test_any_labels_compile(tmp_path_factory, labels):
    # Given tables with any text as labels, axes, marks and notes
    rows = [(label, str(number)) for number, label in enumerate(labels)]
    cells = [[cell(0.5, marks=(label,))] for label in labels]
    notes = tuple(Note("warning", label, label, label) for label in labels)
    made = table(rows, ["x"], cells, (labels[0], "n"), notes=notes, provenance=tuple(labels))
    # When they are compiled as text and as headings, then there is no error
    compiled(
        tmp_path_factory.mktemp("tex"), to_latex(made), *map(to_latex, (table(["x"], [label]) for label in labels))
    )


@needs_latex
@pytest.mark.skipif(not has_package("siunitx"), reason="siunitx is not installed")
def test_columns_of_siunitx_compile_and_keep_a_spread_of_zero(tmp_path):
    made = [rich_table(), nasty_table(), table(cells=[[None] * 2] * 2)]
    texts = [to_latex(one, siunitx=True) for one in made]
    assert "retain-zero-uncertainty" in texts[0]
    assert r"% needs \usepackage{booktabs,siunitx}" in texts[0].splitlines()
    compiled(tmp_path, *texts, preamble=r"\usepackage{siunitx}")


@needs_latex
def test_macros_compile_and_print_their_numbers(tmp_path):
    text = to_macros({"lenet": rich_table(), "Study 2": table(NASTY[:5], provenance=NASTY)})
    names = re.findall(r"\\newcommand\{(\\[A-Za-z]+)\}", text)
    assert len(set(names)) == len(names) == 15 + 10
    compiled(tmp_path, *names, preamble=text)
