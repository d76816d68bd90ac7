"""The names and meanings of a table's columns and cells.

Column names follow one grammar: ``h`` (an input or an output), ``dh/dT`` (the partial derivative of output
``h`` with respect to input ``T``), ``sigma(h)`` and ``sigma(dh/dT)`` (the standard deviation of that column).
A wide table has a row for each point and a column for each kind of entry. A long table has a row for each
entry and the columns ``target``, ``value`` and optionally ``sigma``. Only an empty cell means "not observed".
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError, printable, suggestion

Array = NDArray[np.float64]
Entry = tuple[int, int | None]  # (output, None) is a value, (output, input) is a partial
Pair = tuple[str, str | None]  # an entry by the names of its output and input

SIGMA = re.compile(r"sigma\((.+)\)")
SECOND_DERIVATIVE = re.compile(r"d2.+/d.+")
NUMBER = re.compile(r"[+-]?(nan|inf(inity)?|(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?)", re.IGNORECASE | re.ASCII)
_LONGEST = 500  # chosen: maximum number of characters of a column name
_FORMULA = "=+-@"  # first characters by which spreadsheets recognise a formula
_MARKLESS = {"Cc", "Cf", "Mn", "Me"}  # Unicode control and format characters, combining marks
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"  # letters and symbols that are drawn as blank
_UNPRINTED = {"Cc", "Cs", "Zl", "Zp"}  # Unicode control characters, lone surrogates and line breaks


def derivative_name(output: str, input: str) -> str:
    """Return the name of the column with the partial derivative of `output` with respect to `input`."""
    return f"d{output}/d{input}"


def second_derivative_name(output: str, first: str, second: str) -> str:
    """Return the name of a Hessian column: ``d2h/dT2`` on the diagonal, ``d2h/dTdp`` off the diagonal."""
    return f"d2{output}/d{first}2" if first == second else f"d2{output}/d{first}d{second}"


def sigma_name(column: str) -> str:
    """Return the name of the column with the standard deviation of `column`."""
    return f"sigma({column})"


def parse_derivative(name: str) -> list[tuple[str, str]]:
    """Return all readings of `name` as ``d<output>/d<input>``; an empty list if it has no such form."""
    if not name.startswith("d") or len(name) > _LONGEST:
        return []
    return [(name[1:c], name[c + 2 :]) for c in _cuts(name) if name[1:c] and name[c + 2 :]]


def read_derivative(name: str, inputs: Collection[str], outputs: Collection[str]) -> tuple[str, str]:
    """Return the only reading of ``d<output>/d<input>`` with known input and, if several, known output.

    Raises:
        SwarmnetError: there is none, or more than one; the caller adds which column or target it is.
    """
    readings = [pair for pair in parse_derivative(name) if pair[1] in inputs]
    if len(readings) > 1:
        readings = [pair for pair in readings if pair[0] in outputs] or readings
    if SECOND_DERIVATIVE.fullmatch(name) and not any(out in outputs for out, _ in readings):
        raise SwarmnetError(
            f"is a second derivative with respect to unknown names: the columns are {listed(list(inputs))}"
        )
    if len(readings) > 1:
        raise SwarmnetError("can be read as more than one derivative: rename the columns")
    if not readings:
        into = parse_derivative(name)[0][1]
        raise SwarmnetError(
            f"is a derivative with respect to unknown name {into!r}: {suggestion(into, inputs)}"
            f"the columns are {listed(list(inputs))}"
        )
    return readings[0]


def refuse_bad_names(columns: Sequence[str]) -> None:
    """Raise SwarmnetError if a column name is empty, repeated or too long."""
    seen: set[str] = set()
    for number, column in enumerate(columns, 1):
        if not column:
            raise SwarmnetError(
                f"column {number} has no name: name it or remove it "
                "(pandas writes such a column unless it is told index=False)"
            )
        if len(column) > _LONGEST:
            raise SwarmnetError(
                f"column {number}, {shortened(column)}, has a name of {len(column)} characters: shorten it"
            )
        if column in seen:
            raise SwarmnetError(f"column {column!r} is there twice: rename or remove one")
        seen.add(column)


def refuse_dangerous_name(what: str, name: str) -> None:
    """Refuse a name that cannot be written unchanged and safely to a table, a terminal and a spreadsheet.

    Every written table has the names in its header, and reading it must give the same names. So a name that
    spreadsheets would run as a formula is refused instead of changed during writing.

    Raises:
        SwarmnetError: it is too long, has a control character or a line break, or begins a formula.
    """
    if len(name) > _LONGEST:
        raise SwarmnetError(f"{what} {shortened(name)} has {len(name)} characters: shorten it")
    if any(unicodedata.category(character) in _UNPRINTED for character in name):
        raise SwarmnetError(
            f"{what} {shortened(name)} has a line break or another control character: rename it"
        )
    if begins_formula(name):
        raise SwarmnetError(
            f"{what} {shortened(name)} begins with {_seen(name)[0]}, "
            "which makes it a formula in a spreadsheet: rename it"
        )


def begins_formula(text: str) -> bool:
    """Return whether spreadsheets would read this text as a formula; fullwidth signs count too."""
    return unicodedata.normalize("NFKC", _seen(text)[:1]).startswith(tuple(_FORMULA))


def _seen(text: str) -> str:
    """Return the text from its first visible character; a byte order mark, for example, is invisible."""
    for at, character in enumerate(text):
        if not (character.isspace() or character in _BLANK or unicodedata.category(character) in _MARKLESS):
            return text[at:]
    return ""


def refuse_same_names(inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Refuse names of inputs and outputs for which two columns of a table would have the same name.

    A table may hold inputs, outputs, first and second derivatives, and the standard deviations of outputs
    and first derivatives. Two second derivatives with the same name are checked where they are written.

    Raises:
        SwarmnetError: two columns share a name, such as d(2h)/dT2 and the second derivative of h by T.
    """
    known_in, known_out = set(inputs), set(outputs)
    seen: set[str] = set()
    for name in [*inputs, *outputs]:
        if name in seen or is_made(name, known_in, known_out):
            raise two_columns(name)
        seen.add(name)
    # A collision such as d(h/dT)/dp with dh/d(T/dp)
    rest = {out[c + 2 :]: out for out in outputs for c in _cuts(out) if out[:c] in known_out}
    for into in inputs:
        for c in _cuts(into):
            if into[:c] in rest and into[c + 2 :] in known_in:
                raise two_columns(derivative_name(rest[into[:c]], into[c + 2 :]))
    # A collision of d(2h)/d(T2) with the second derivative of h by T
    twice = next((out for out in outputs if out[:1] == "2" and out[1:] in known_out), None)
    square = next((into for into in inputs if input_pairs(into, known_in)), None)
    if twice is not None and square is not None:
        raise two_columns(derivative_name(twice, square))


def _cuts(name: str) -> list[int]:
    """Return the positions where a name can be split into a numerator and a denominator."""
    return [cut.start() for cut in re.finditer("(?=/d)", name)]


def is_made(name: str, inputs: Collection[str], outputs: Collection[str]) -> bool:
    """Return whether it is the name of a first or second derivative or of a standard deviation."""
    owner = SIGMA.fullmatch(name)
    if owner:
        return owner[1] in outputs or _is_derivative(owner[1], inputs, outputs)
    if not name.startswith("d"):
        return False
    second = [(name[2:c], name[c + 2 :]) for c in _cuts(name) if name.startswith("d2")]
    return _is_derivative(name, inputs, outputs) or any(
        out in outputs and input_pairs(rest, inputs) for out, rest in second
    )


def _is_derivative(name: str, inputs: Collection[str], outputs: Collection[str]) -> bool:
    return any(out in outputs and into in inputs for out, into in parse_derivative(name))


def input_pairs(text: str, inputs: Collection[str]) -> list[tuple[str, str]]:
    """Return the readings of the text as an input followed by 2, or as two inputs with a d between them."""
    squares = [(text[:-1], text[:-1])] if text.endswith("2") and text[:-1] in inputs else []
    pairs = [(text[: c.start()], text[c.end() :]) for c in re.finditer("d", text)]
    return squares + [pair for pair in pairs if pair[0] in inputs and pair[1] in inputs]


def two_columns(name: str) -> SwarmnetError:
    """Return the error for a name that two columns of a table would share."""
    return SwarmnetError(
        f"two columns would be called {shortened(name)}: choose other names for inputs or outputs"
    )


def listed(names: Sequence[str]) -> str:
    """Return the names as one text, shortened to a readable line."""
    shown = [printable(name if len(name) <= 80 else f"{name[:77]}...") for name in names[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def as_list(names: Iterable[str] | None) -> list[str] | None:
    """Return the names as a list; a single name may be given as a string."""
    if names is None:
        return None
    return [names] if isinstance(names, str) else [str(name) for name in names]


def shortened(text: str) -> str:
    """Return a cell's text in quotes, on one line and shortened."""
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
