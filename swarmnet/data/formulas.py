"""Formulas of columns, such as ``-dE/dx`` and ``dh/dT/4.184``: their grammar, and the tree of a formula.

    sum      = product {("+" | "-") product}
    product  = sign {("*" | "/") sign}
    sign     = "-" sign | power
    power    = operand ["**" sign]
    operand  = number | name | partial | function "(" sum ")" | "(" sum ")"

A name is a word, or any text in back quotes. A partial is a first or second derivative, ``dh/dT``,
``d2h/dT2`` or ``d2h/dTdp``; it may be in back quotes too. The parser is a Pratt parser: operators have
binding powers. Formulas are never run as Python.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from swarmnet.data.column_names import (
    derivative_name,
    input_pairs,
    parse_derivative,
    read_derivative,
    second_derivative_name,
    shortened,
)
from swarmnet.errors import SwarmnetError

FUNCTIONS = ("exp", "log", "sqrt", "sin", "cos", "tan", "tanh")

# Against formulas that exhaust the stack: each token adds at most two calls
_LONGEST, _MOST_TOKENS = 2000, 150
_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2, "**": 4}
_SIGN = 3  # binding power of the unary minus: -a**2 is -(a**2)
_SLASH, _ALONE = 1.5, 5  # of partials and of single operands in a text for people: a + dh/dT, but a*(dh/dT)
_TOKEN = re.compile(
    r"(?P<number>([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?)"
    r"|`(?P<quoted>[^`]+)`"
    r"|(?P<fraction>d\w+\s*/\s*d\w+)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<operator>\*\*|[-+*/()])"
)
_WORD = re.compile(r"[^\W\d]\w*")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True)
class Number:
    """A number; `part` is its text in the formula, here and in the other nodes."""

    value: float
    part: str = field(compare=False)


@dataclass(frozen=True)
class Name:
    """An input, the value of an output, or an earlier definition."""

    name: str
    part: str = field(compare=False)


@dataclass(frozen=True)
class Partial:
    """The derivative of an output with respect to one or two inputs."""

    output: str
    inputs: tuple[str, ...]
    part: str = field(compare=False)


@dataclass(frozen=True)
class Call:
    """One of `FUNCTIONS`, or the unary minus "-", of an argument."""

    function: str
    argument: Formula
    part: str = field(compare=False)


@dataclass(frozen=True)
class Operation:
    """One of the operators + - * / ** between two formulas."""

    operator: str
    left: Formula
    right: Formula
    part: str = field(compare=False)


Formula = Number | Name | Partial | Call | Operation


@dataclass(frozen=True)
class Known:
    """The names that a formula may use; a column of undecided role is in both `inputs` and `outputs`."""

    inputs: Collection[str]
    outputs: Collection[str]
    defined: Collection[str] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.defined or name in self.outputs or name in self.inputs


def parse(text: str, known: Known) -> Formula:
    """Return the tree of a formula.

    ``dh/dT`` is a partial if T may be an input and h an output, or if there is no name `dh`. Otherwise it
    divides the names `dh` and `dT`. Whether single names are known is not checked.

    Raises:
        SwarmnetError: the text is no formula; the message says at which character, and what was expected.
    """
    if len(text) > _LONGEST:
        raise SwarmnetError(f"{shortened(text)} has {len(text)} characters: a formula may have {_LONGEST}")
    return _Parser(text, known).formula()


def quoted(name: str) -> str:
    """Return a name or the name of a partial as a formula writes it: in back quotes if it needs them."""
    return name if re.fullmatch(r"[^\W\d]\w*|d\w+/d\w+", name) else f"`{name}`"


def written(node: Formula, labels: Mapping[str, str] | None = None) -> str:
    """Return a formula as text, with the parentheses that it needs and with partials of products in some.

    Args:
        node: the formula.
        labels: what to call inputs and outputs; by default their names, quoted where they need it.
    """
    names = labels or {}

    def name_of(name: str) -> str:
        return names.get(name, name)

    def enclosed(inner: Formula, most: float, itself: bool) -> str:
        """Return a part of a formula, in parentheses if it binds less than `most`, or like it if `itself`."""
        text, binding = written(inner, labels), _binding_of(inner)
        return f"({text})" if binding < most or (itself and binding == most) else text

    match node:
        case Number():
            return node.part
        case Name():
            return names.get(node.name) or quoted(node.name)
        case Partial():
            output, *inputs = map(name_of, (node.output, *node.inputs))
            name = derivative_name if len(inputs) == 1 else second_derivative_name
            text = name(output, *inputs)
            return text if labels else quoted(text)
        case Call(function="-"):
            return f"-{enclosed(node.argument, _SIGN, True)}"
        case Call():
            return f"{node.function}({written(node.argument, labels)})"
        case Operation():
            own, power = _BINDING[node.operator], node.operator == "**"
            left, right = enclosed(node.left, own, power), enclosed(node.right, own, not power)
            return f"{left} {node.operator} {right}" if own == 1 else f"{left}{node.operator}{right}"


def _binding_of(node: Formula) -> float:
    match node:
        case Operation():
            return _BINDING[node.operator]
        case Call(function="-"):
            return _SIGN
        case Partial():
            return _SLASH
        case _:
            return _ALONE


def second_derivative(name: str, inputs: Collection[str], outputs: Collection[str]) -> Partial | None:
    """Return the second derivative of that name, ``d2h/dT2`` or ``d2h/dTdp``; None if it is of no or a first.

    Raises:
        SwarmnetError: the name can be read as more than one.
    """
    if any(out in outputs and into in inputs for out, into in parse_derivative(name)):
        return None
    readings = _second_readings(name, inputs)
    readings = [reading for reading in readings if reading[0] in outputs] or readings
    if len(readings) > 1:
        raise SwarmnetError("can be read as more than one derivative: rename the columns")
    return Partial(*readings[0], name) if readings else None


@dataclass(frozen=True)
class _Token:
    """An operator, or an operand, from `start` to `end` (exclusive)."""

    what: str | Number | Name | Partial
    start: int
    end: int


class _Parser:
    def __init__(self, text: str, known: Known) -> None:
        self._text, self._known = text, known
        self._tokens = self._split()
        self._next = 0

    def formula(self) -> Formula:
        found = self._expression(1)
        if self._next < len(self._tokens):
            raise self._expected("an operator or the end")
        return found

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        at = self._spaced(0)
        while at < len(self._text):
            tokens.append(self._token(at))
            at = self._spaced(tokens[-1].end)
            if len(tokens) > _MOST_TOKENS:
                raise SwarmnetError(
                    f"{shortened(self._text)} has more than {_MOST_TOKENS} numbers, names and operators"
                )
        return tokens

    def _spaced(self, at: int) -> int:
        """Return the position of the first character that is no space."""
        space = _SPACE.match(self._text, at)
        return at if space is None else space.end()

    def _token(self, at: int) -> _Token:
        match = _TOKEN.match(self._text, at)
        if match is None:
            if self._text[at] == "`":
                raise self._error(at, "expected a name and the other back quote")
            raise self._error(
                at, "expected a number, a name or an operator; names with other characters go in back quotes"
            )
        text, kind = match[0], match.lastgroup
        if kind == "number":
            return _Token(Number(float(text), text), at, match.end())
        if kind == "operator":
            return _Token(text, at, match.end())
        name = match["quoted"] or re.sub(r"\s", "", text)
        operand = self._operand_of(name, text, at)
        if operand is None and kind == "quoted":
            operand = Name(name, text)
        if operand is not None:
            return _Token(operand, at, match.end())
        word = _WORD.match(self._text, at)  # the numerator of a division of two names
        assert word is not None
        return _Token(Name(word[0], word[0]), at, word.end())

    def _operand_of(self, name: str, text: str, at: int) -> Name | Partial | None:
        """Return a name or a partial; None for a division of two names."""
        if name in self._known or not parse_derivative(name):
            return Name(name, text)
        try:
            found = _partial(name, self._known)
        except SwarmnetError as error:
            raise self._error(at, f"{shortened(name)} {error}") from None
        return None if found is None else Partial(*found, text)

    def _expression(self, least: int) -> Formula:
        """Return what follows, up to the first operator that binds less than `least`."""
        start = self._start()
        left = self._operand()
        while (operator := self._operator()) is not None and _BINDING.get(operator, 0) >= least:
            self._next += 1
            binding = _BINDING[operator]
            # ** is right-associative, the others are left-associative
            right = self._expression(binding if operator == "**" else binding + 1)
            left = Operation(operator, left, right, self._since(start))
        return left

    def _operand(self) -> Formula:
        start, what = self._start(), self._what()
        if what is None or (isinstance(what, str) and what not in "-("):
            raise self._expected("a number, a name or '('")
        self._next += 1
        if what == "-":
            argument = self._expression(_SIGN)
            return Call("-", argument, self._since(start))
        if what == "(":
            return self._closed()
        if isinstance(what, Name) and what.part in FUNCTIONS and self._what() == "(":
            self._next += 1
            argument = self._closed()
            return Call(what.name, argument, self._since(start))
        assert not isinstance(what, str)
        return what

    def _closed(self) -> Formula:
        """Return the formula up to the closing parenthesis."""
        found = self._expression(1)
        if self._what() != ")":
            raise self._expected("')'")
        self._next += 1
        return found

    def _what(self) -> str | Number | Name | Partial | None:
        return self._tokens[self._next].what if self._next < len(self._tokens) else None

    def _operator(self) -> str | None:
        what = self._what()
        return what if isinstance(what, str) else None

    def _start(self) -> int:
        """Return the position of the next token, or the end."""
        return self._tokens[self._next].start if self._next < len(self._tokens) else len(self._text)

    def _since(self, start: int) -> str:
        return self._text[start : self._tokens[self._next - 1].end]

    def _expected(self, what: str) -> SwarmnetError:
        return self._error(self._start(), f"expected {what}")

    def _error(self, at: int, what: str) -> SwarmnetError:
        return SwarmnetError(f"column {at + 1} of {shortened(self._text)}: {what}")


def _partial(name: str, known: Known) -> tuple[str, tuple[str, ...]] | None:
    """Return output and inputs of a partial; None for a division of two names, such as `dh` by `dT`."""
    first = [(out, (into,)) for out, into in parse_derivative(name) if into in known.inputs]
    second = _second_readings(name, known.inputs)
    certain = [reading for reading in (*first, *second) if reading[0] in known.outputs]
    if len(certain) > 1:
        raise SwarmnetError("can be read as more than one derivative: rename the columns")
    if certain:
        return certain[0]
    if name.partition("/")[0] in known:
        return None
    if len(second) == 1:
        return second[0]
    out, into = read_derivative(name, known.inputs, known.outputs)
    return out, (into,)


def _second_readings(name: str, inputs: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    if not name.startswith("d2"):
        return []
    return [(out[1:], pair) for out, rest in parse_derivative(name) for pair in input_pairs(rest, inputs)]
