"""Parse the text of `--where` into a condition: a tree that compares names with values, without SQL or studies."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, NoReturn

from qexp.errors import SelectorError
from qexp.model import storable_text
from qexp.truncation import shortened

Value = Decimal | str | bool | None


@dataclass(frozen=True)
class WhereName:
    """A parameter, a result or a fact, with the path to a value inside it."""

    path: tuple[str, ...]
    prefix: str | None
    """`param`, `result` or None."""
    text: str
    """As it was written."""
    column: int


@dataclass(frozen=True)
class Literal:
    """A value and its column in the text."""

    value: Value
    column: int


@dataclass(frozen=True)
class WhereComparison:
    """A name, one of = != < <= > >= like, and a value."""

    name: WhereName
    operator: str
    literal: Literal


@dataclass(frozen=True)
class OneOf:
    """A name that has one of several values."""

    name: WhereName
    literals: tuple[Literal, ...]


@dataclass(frozen=True)
class Not:
    part: Condition


@dataclass(frozen=True)
class And:
    parts: tuple[Condition, ...]


@dataclass(frozen=True)
class Or:
    parts: tuple[Condition, ...]


Condition = WhereComparison | OneOf | Not | And | Or


def names(condition: Condition) -> Iterator[WhereName]:
    """Yield the names that a condition compares, from left to right."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from names(part)
        case Not(part):
            yield from names(part)
        case OneOf(name) | WhereComparison(name):
            yield name


_LONGEST = 10_000
"""Characters of a condition."""
_DEEPEST = 40
"""The most nested parentheses: each one nests several calls of Python, here and in the translation to SQL."""
_LARGEST_EXPONENT = 1_000
"""Larger than the exponent of any float, and allowed in Postgres."""

_KEYWORDS = frozenset({"and", "or", "not", "in", "like", "is", "null", "between", "true", "false"})
_RESERVED = _KEYWORDS | {"param", "result"}
_CONSTANTS: dict[str, Value] = {"true": True, "false": False, "null": None}
_OPERATORS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

_QUOTED = r'"(?:[^"]|"")*+"'
_TOKEN = re.compile(
    rf"""
      (?P<space>\s+)
    | (?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
    | (?P<text>'(?:[^']|'')*+')
    | (?P<name>(?:[^\W0-9]\w*|{_QUOTED})(?:\.(?:\w+|{_QUOTED}))*)
    | (?P<symbol><>|!=|<=|>=|==|[=<>(),])
    """,
    re.VERBOSE,
)
_PART = re.compile(rf"{_QUOTED}|\w+")

_NAME = "a name"
_VALUE = "a value such as 0.1, 'text', true or null"
_OPERATOR = "one of = != < <= > >=, in, like, between, is null"


class Token(NamedTuple):
    """A word of a condition."""

    kind: str
    """number, text, name, keyword, symbol or end."""
    text: str
    column: int


def refuse(column: int, problem: str) -> NoReturn:
    """Raise SelectorError with the place in a condition, counted in characters from 1."""
    raise SelectorError(f"--where, column {column}: {problem}")


def parse(text: str) -> Condition:
    """
    Read a condition. Raises SelectorError with the column, the text found there and the expected one.

    >>> parse("lr > 1e-4").operator
    '>'
    """
    if len(text) > _LONGEST:
        raise SelectorError(f"--where: found {len(text):,} characters, expected at most {_LONGEST:,}")
    return _Parser(list(_tokens(text))).whole()


def spelled(name: str) -> str:
    """
    Return a name as a condition writes it, in double quotes if needed.

    >>> spelled("lr"), spelled("train.acc"), spelled("val/loss")
    ('lr', 'train.acc', '"val/loss"')
    """
    plain = re.fullmatch(r"[^\W0-9]\w*(\.\w+)*", name) and not _RESERVED & {name.lower(), name.partition(".")[0]}
    return name if plain else '"' + name.replace('"', '""') + '"'


def read_name(text: str) -> WhereName:
    """
    Read the name of a column as a condition writes it; any other text is a name without quotes.

    >>> read_name("train.acc").path, read_name('"val/loss"').path, read_name("val/loss").path
    (('train', 'acc'), ('val/loss',), ('val/loss',))
    """
    match = _TOKEN.fullmatch(text)
    return _name_of(text, 1) if match and match.lastgroup == "name" else WhereName((text,), None, text, 1)


def _name_of(text: str, column: int) -> WhereName:
    parts = _PART.findall(text)
    prefix = parts.pop(0) if len(parts) > 1 and parts[0] in ("param", "result") else None
    path = tuple(part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts)
    return WhereName(path, prefix, text, column)


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            _stray(text[position], position + 1)
        position = match.end()
        kind, found, column = match.lastgroup or "", match[0], match.start() + 1
        if storable_text(found) != found:
            refuse(column, "found a character that no text in Postgres has")
        if kind == "name" and found.lower() in _KEYWORDS:
            yield Token("keyword", found, column)
        elif kind != "space":
            yield Token(kind, found, column)
    yield Token("end", "", len(text) + 1)


def _stray(character: str, column: int) -> NoReturn:
    if character in "'\"":
        refuse(column, f"found {character} without another one that ends it")
    refuse(column, f"found {shown(character)}, expected a name, a value or an operator")


def shown(text: str) -> str:
    """Return a written text on one line, shortened."""
    return shortened(text if text.isprintable() else ascii(text), 40)


class _Parser:
    """Reads a condition from the left to the right, each rule of the grammar a method."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._position]

    def _take(self) -> Token:
        token = self._next
        self._position += 1
        return token

    def _accept(self, *texts: str) -> bool:
        """Take the next word if it is one of these keywords or symbols."""
        if self._next.kind in ("keyword", "symbol") and self._next.text.lower() in texts:
            self._position += 1
            return True
        return False

    def _expect(self, text: str, expected: str) -> None:
        if not self._accept(text):
            self._refuse(expected)

    def _refuse(self, expected: str) -> NoReturn:
        token = self._next
        refuse(token.column, f"found {shown(token.text) or 'the end'}, expected {expected}")

    def whole(self) -> Condition:
        found = self._any()
        if self._next.kind != "end":
            self._refuse("and, or or the end")
        return found

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._accept("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._negated()]
        while self._accept("and"):
            parts.append(self._negated())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _negated(self) -> Condition:
        negated = False
        while self._accept("not"):
            negated = not negated
        found = self._grouped() if self._next.text == "(" else self._compared()
        return Not(found) if negated else found

    def _grouped(self) -> Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            refuse(self._next.column, f"found more than {_DEEPEST} parentheses inside of each other")
        self._expect("(", "(")
        found = self._any()
        self._expect(")", "and, or or )")
        self._depth -= 1
        return found

    def _compared(self) -> Condition:
        if self._is_value():
            literal = self._literal()
            operator = _MIRRORED[self._operator("one of = != < <= > >=")]
            return WhereComparison(self._name(), operator, literal)
        name = self._name()
        if self._accept("is"):
            operator = "!=" if self._accept("not") else "="
            self._expect("null", "null" if operator == "!=" else "null or not null")
            return WhereComparison(name, operator, Literal(None, self._next.column))
        if self._accept("not"):
            return Not(self._ranged(name, "in, like or between"))
        if self._next.kind == "keyword":
            return self._ranged(name, _OPERATOR)
        return WhereComparison(name, self._operator(_OPERATOR), self._literal())

    def _ranged(self, name: WhereName, expected: str) -> Condition:
        """Read in, like or between; `not` may stand before these."""
        if self._accept("in"):
            return OneOf(name, self._list())
        if self._accept("like"):
            return WhereComparison(name, "like", self._pattern())
        if not self._accept("between"):
            self._refuse(expected)
        low = self._bound()
        self._expect("and", "and")
        return And((WhereComparison(name, ">=", low), WhereComparison(name, "<=", self._bound(type(low.value)))))

    def _operator(self, expected: str) -> str:
        if self._next.text not in _OPERATORS:
            self._refuse(expected)
        return _OPERATORS[self._take().text]

    def _name(self) -> WhereName:
        token = self._next
        if token.kind == "keyword":
            self._refuse(f'{_NAME}; one that is a word of the language itself is written "{token.text}"')
        if token.kind != "name":
            self._refuse(_NAME)
        self._take()
        return _name_of(token.text, token.column)

    def _list(self) -> tuple[Literal, ...]:
        self._expect("(", "( and values")
        found = [self._literal()]
        while self._accept(","):
            found.append(self._literal())
        self._expect(")", ", or )")
        return tuple(found)

    def _pattern(self) -> Literal:
        if self._next.kind != "text":
            self._refuse("a pattern such as 'resnet%'")
        found = self._literal()
        backslashes = len(str(found.value)) - len(str(found.value).rstrip("\\"))
        if backslashes % 2:
            refuse(found.column, r"found a pattern that ends in \, expected % _ or \ behind it")
        return found

    def _bound(self, kind: type | None = None) -> Literal:
        expected = {Decimal: "a number", str: "text"}
        if self._next.kind not in ("number", "text"):
            self._refuse("a number or text")
        found = self._literal()
        if kind not in (None, type(found.value)):
            refuse(found.column, f"found another kind of value than before the 'and', expected {expected[kind]}")
        return found

    def _is_value(self) -> bool:
        token = self._next
        return token.kind in ("number", "text") or (token.kind == "keyword" and token.text.lower() in _CONSTANTS)

    def _literal(self) -> Literal:
        if self._next.kind == "name":
            inside = self._next.text.strip('"')
            self._refuse(f"{_VALUE}; text stands in single quotes: '{shown(inside)}'")
        if not self._is_value():
            self._refuse(_VALUE)
        token = self._take()
        if token.kind == "number":
            return Literal(_number(token), token.column)
        if token.kind == "text":
            return Literal(token.text[1:-1].replace("''", "'"), token.column)
        return Literal(_CONSTANTS[token.text.lower()], token.column)


def _number(token: Token) -> Decimal:
    try:
        number = Decimal(token.text)
    except InvalidOperation:  # Decimal cannot hold the exponent
        number = Decimal("Infinity")
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        refuse(token.column, f"found {shown(token.text)}, expected a number between 1e-1000 and 1e1000")
    return number
