"""The language of --where: conditions, and errors with their column."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qexp.errors import SelectorError
from qexp.model import Status
from qexp.store.selection.where_parser import And, Literal, Not, OneOf, Or, WhereComparison, parse, spelled


def plain(condition):
    """A condition as nested tuples, without columns."""
    match condition:
        case And(parts):
            return ("and", *map(plain, parts))
        case Or(parts):
            return ("or", *map(plain, parts))
        case Not(part):
            return ("not", plain(part))
        case OneOf(name, literals):
            return (name.text, "in", [one.value for one in literals])
        case WhereComparison(name, operator, literal):
            return (name.text, operator, literal.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr > 0.1", ("lr", ">", Decimal("0.1"))),
        ("lr<=-1e-4", ("lr", "<=", Decimal("-1e-4"))),
        ("x = .5", ("x", "=", Decimal("0.5"))),
        ("x == 1", ("x", "=", 1)),
        ("x <> 1", ("x", "!=", 1)),
        ("0.1 < lr", ("lr", ">", Decimal("0.1"))),
        ("'wine' != dataset", ("dataset", "!=", "wine")),
        ("dataset = 'it''s'", ("dataset", "=", "it's")),
        ("flag = TRUE", ("flag", "=", True)),
        ("flag != False", ("flag", "!=", False)),
        ("gamma = null", ("gamma", "=", None)),
        ("gamma IS NULL", ("gamma", "=", None)),
        ("gamma is Not null", ("gamma", "!=", None)),
        ("x in (1, 'a', true, null)", ("x", "in", [1, "a", True, None])),
        ("x not in (1)", ("not", ("x", "in", [1]))),
        ("x like 'res%'", ("x", "like", "res%")),
        ("x not like '_'", ("not", ("x", "like", "_"))),
        ("x between 1 and 2 and y = 3", ("and", ("and", ("x", ">=", 1), ("x", "<=", 2)), ("y", "=", 3))),
        ("x not between 'a' and 'b'", ("not", ("and", ("x", ">=", "a"), ("x", "<=", "b")))),
        ("a=1 or b=2 and not c=3", ("or", ("a", "=", 1), ("and", ("b", "=", 2), ("not", ("c", "=", 3))))),
        ("(a=1 OR b=2) AND c=3", ("and", ("or", ("a", "=", 1), ("b", "=", 2)), ("c", "=", 3))),
        ("not not a = 1", ("a", "=", 1)),
        ("\n a\t= 1\n", ("a", "=", 1)),
        ("größe = 1", ("größe", "=", 1)),
    ],
)
def test_a_condition_is_read(text, expected):
    assert plain(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "prefix", "path"),
    [
        ("lr", None, ("lr",)),
        ("model.depth", None, ("model", "depth")),
        ("model.layers.0", None, ("model", "layers", "0")),
        ("param.lr", "param", ("lr",)),
        ("result.lr.x", "result", ("lr", "x")),
        ('"val/loss"', None, ("val/loss",)),
        ('result."a.b"."say ""x"""', "result", ("a.b", 'say "x"')),
        ('"param".lr', None, ("param", "lr")),
        ("param", None, ("param",)),
        ('"and"', None, ("and",)),
    ],
)
def test_a_name_has_a_prefix_and_a_path(text, prefix, path):
    name = parse(f"{text} = 1").name
    assert (name.prefix, name.path, name.text, name.column) == (prefix, path, text, 1)


def test_places_are_counted_from_1():
    first, second = parse("a = 1 and bc > 'x'").parts
    assert (first.name.column, first.literal) == (1, Literal(Decimal(1), 5))
    assert (second.name.column, second.literal) == (11, Literal("x", 16))


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, ["found the end", "expected a name"]),
        ("lr", 3, ["found the end", "expected one of = !="]),
        ("lr >", 5, ["found the end", "expected a value"]),
        ("lr > 0.1 dataset", 10, ["found dataset", "expected and, or or the end"]),
        ("lr > 0.1 and", 13, ["found the end", "expected a name"]),
        ("dataset = wine", 11, ["found wine", "single quotes: 'wine'"]),
        ('dataset = "wine"', 11, ['found "wine"', "single quotes: 'wine'"]),
        ("dataset = 'wine", 11, ["found ' without another"]),
        ('"lr = 1', 1, ['found " without another']),
        ("lr = 1; drop table experiment", 7, ["found ;"]),
        ("lr && x", 4, ["found &"]),
        ("lr => 1", 5, ["found >", "expected a value"]),
        ("(lr = 1", 8, ["found the end", "expected and, or or )"]),
        ("lr = 1)", 7, ["found )", "expected and, or or the end"]),
        ("1 = 1", 5, ["found 1", "expected a name"]),
        ("1 like x", 3, ["found like", "expected one of = !="]),
        ("x in 1", 6, ["found 1", "expected ( and values"]),
        ("x in ()", 7, ["found )", "expected a value"]),
        ("x in (1,)", 9, ["found )", "expected a value"]),
        ("x in (1 2)", 9, ["found 2", "expected , or )"]),
        ("x like 3", 8, ["found 3", "expected a pattern"]),
        (r"x like 'a\'", 8, ["found a pattern that ends in"]),
        ("x is 3", 6, ["found 3", "expected null or not null"]),
        ("x is not 3", 10, ["found 3", "expected null"]),
        ("x not = 3", 7, ["found =", "expected in, like or between"]),
        ("x between 1 or 2", 13, ["found or", "expected and"]),
        ("x between 1 and 'a'", 17, ["another kind", "expected a number"]),
        ("x between true and false", 11, ["found true", "expected a number or text"]),
        ("like = 3", 1, ["found like", 'written "like"']),
        ("a..b = 1", 2, ["found ."]),
        ("x = 1e99999", 5, ["expected a number between"]),
        ("x = 1e" + "9" * 40, 5, ["expected a number between"]),
        ("x = 'a\0b'", 5, ["no text in Postgres has"]),
        ("x = '\ud800'", 5, ["no text in Postgres has"]),
        ("x = 'a' 'b\nc'", 9, ["found \"'b\\nc'\""]),
        ("(" * 41 + "x = 1" + ")" * 41, 41, ["more than 40 parentheses"]),
    ],
)
def test_invalid_text_is_refused_on_one_line_with_its_column(text, column, words):
    with pytest.raises(SelectorError) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith(f"where, column {column}: "), message
    assert all(word in message for word in words), message
    assert "\n" not in message


def test_a_condition_that_is_too_long_is_refused():
    with pytest.raises(SelectorError, match="found 10,001 characters, expected at most 10,000"):
        parse("x = '" + "a" * 9_995 + "'")


def test_a_condition_just_below_the_limits_is_read():
    assert len(parse(" and ".join(["x = 1"] * 999)).parts) == 999
    assert plain(parse("not " * 2_001 + "x = 1")) == ("not", ("x", "=", 1))


WORDS = [
    "lr",
    "param.x",
    '"a b"',
    "0.1",
    "-1e5",
    "'text'",
    "''",
    "null",
    "true",
    "and",
    "or",
    "not",
    "in",
    "like",
    "is",
]
WORDS += ["between", "(", ")", ",", "=", "!=", "<=", ">", "<>", "status", "'", '"', ".", "\0", ";", "--", "\\", "é"]


@given(st.one_of(st.text(), st.text("lr01.'\"()=<>andornt %_\\"), st.lists(st.sampled_from(WORDS)).map(" ".join)))
def test_any_text_is_a_condition_or_refused(text):
    try:
        parse(text)
    except SelectorError as error:
        assert "\n" not in str(error)


@given(st.text().filter(lambda text: "\0" not in text and text.isprintable()))
def test_every_name_can_be_written(name):
    assert ".".join(parse(f"{spelled(name)} = 1").name.path) == name


@pytest.mark.parametrize("status", Status)
def test_statuses_are_text(status):
    assert plain(parse(f"status = '{status}'")) == ("status", "=", str(status))
