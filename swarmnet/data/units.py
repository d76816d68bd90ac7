"""Units in the names of columns, such as ``T [K]`` and ``p (bar, abs)``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from swarmnet.data.column_names import listed, parse_derivative, shortened
from swarmnet.data.column_roles import Roles
from swarmnet.errors import SwarmnetError, printable, suggestion, warn_user

_LONGEST = 100  # chosen: characters of a unit
_SQUARE = re.compile(r"(.*\S)\s*\[([^][]+)\]", re.DOTALL)
_ROUND = re.compile(r"(.*\S)\s+\(((?:[^()]|\([^()]*\))+)\)", re.DOTALL)
_PREFIX = "(?:[YZEPTGMkhdcm\u00b5\u03bcunpfazy]|da)?"
_SYMBOL = (
    "(?:"
    "\u00b0[CF]?|deg[CFK]?|min|hours?|h|days?|d|years?|yr|wt%|vol%|mol%|%|ppm|ppb|psi|atm|mmHg|[Tt]orr|"
    "\u00c5|[Aa]ngstrom|rpm|in|ft|lbf?|Btu|Hartree|Bohr|"
    f"{_PREFIX}(?:mol|cd|Hz|Pa|bar|eV|cal|rad|sr|Ohm|ohm|\u03a9|\u2126|Wb|lm|lx|Bq|Gy|[mgsAKNJWCVFSTHLlt])"
    ")"
)
_POWER = "(?:(?:\\^|\\*\\*)?\\(?[-\u2212+]?\\d+\\)?|[\u207b\u00b9\u00b2\u00b3\u2070-\u2079]+)?"
_FACTOR = f"\\(*(?:1(?=/)|{_SYMBOL}{_POWER})\\)*{_POWER}"
_UNIT = re.compile(f"{_FACTOR}(?:\\s*[/*.\u00b7\u22c5\u00d7 ]\\s*{_FACTOR})*|[-\u2212]")


def split_unit(name: str) -> tuple[str, str] | None:
    """Return a name without its unit, and the unit; None if the name ends in none.

    Square brackets hold a unit if there is a letter, a degree or percent sign, or a dash in them. Round
    brackets behind a blank hold one if what is before a comma is made of known symbols: ``x (left)`` is a
    name.
    """
    text = name.strip()
    square = _SQUARE.fullmatch(text)
    if square and any(character.isalpha() or character in "%\u00b0-\u2212" for character in square[2]):
        return square[1].strip(), square[2].strip()
    found = _ROUND.fullmatch(text)
    if found and _UNIT.fullmatch(re.split("[,;]", found[2])[0].strip()):
        return found[1].strip(), found[2].strip()
    return None


def with_unit(name: str, unit: str | None) -> str:
    """Return a name with its unit in brackets, for people; a name that ends in it is returned unchanged."""
    known = split_unit(name)
    return name if not unit or (known and known[1] == unit) else f"{name} [{unit}]"


def unit_of(name: str, units: Mapping[str, str]) -> str | None:
    """Return the unit of a column; that of a partial follows from those of its output and its input."""
    if name in units:
        return units[name]
    for out, into in parse_derivative(name):
        if out in units and into in units:
            over, under = units[out], units[into]
            if under in ("-", "1"):
                return over
            return f"{'1' if over == '-' else over}/{under if under.isalnum() else f'({under})'}"
    return None


def labelled(name: str, units: Mapping[str, str]) -> str:
    """Return the name of a column with its unit, if that is known, as in ``T [K]``."""
    return with_unit(name, unit_of(name, units))


def units_of_roles(units: Mapping[str, str], roles: Roles) -> dict[str, str]:
    """Return the units of inputs, outputs, partials and quantities among those of all columns."""
    known = roles.inputs, roles.outputs, [quantity.name for quantity in roles.quantities]
    return {name: unit for name, unit in units.items() if _is_column(name, *known)}


def refuse_bad_units(
    units: Mapping[str, str],
    inputs: Sequence[str],
    outputs: Sequence[str],
    quantities: Sequence[str] = (),
) -> None:
    """Refuse units of unknown columns, and those that cannot be shown; `quantities` are names.

    Raises:
        SwarmnetError: the message names the column.
    """
    for name, unit in units.items():
        if not _is_column(name, inputs, outputs, quantities):
            raise SwarmnetError(
                f"units= has a unit of {shortened(str(name))}, which is no column: "
                f"{suggestion(str(name), [*inputs, *outputs])}the columns are {listed([*inputs, *outputs])}"
            )
        refuse_unprintable(name, unit)


def refuse_unprintable(name: str, unit: object) -> None:
    """Refuse a unit that cannot be shown in one line.

    Raises:
        SwarmnetError: it is no text, is empty or too long, or has a control character.
    """
    if not isinstance(unit, str) or not unit.isprintable() or not 0 < len(unit) <= _LONGEST:
        raise SwarmnetError(
            f"the unit of {shortened(name)} must be a text of 1 to {_LONGEST} characters without line "
            f"breaks, not {shortened(str(unit))}"
        )


def warn_of_other_units(name: str, units: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Warn of columns whose units are written otherwise than those that a model knows of the same columns."""
    other = [column for column, unit in units.items() if not _are_same(known.get(column, unit), unit)]
    if other:
        pairs = ", ".join(f"{column} is in {units[column]}, not {known[column]}" for column in other)
        warn_user(
            f"{printable(name)}: other units than the model's: {printable(pairs)}: nothing is converted"
        )


def refuse_other_units(name: str, units: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Refuse columns whose units differ from those that are known of the same columns.

    Raises:
        SwarmnetError: the message begins with `name`.
    """
    for column, unit in units.items():
        if not _are_same(known.get(column, unit), unit):
            raise SwarmnetError(
                f"{name}: column {column!r} is in {unit}, where {known[column]} is known: convert it, or "
                "remove the unit from its name if it is wrong"
            )


def _are_same(one: str, other: str) -> bool:
    return one.replace(" ", "") == other.replace(" ", "")


def _is_column(name: str, inputs: Sequence[str], outputs: Sequence[str], quantities: Sequence[str]) -> bool:
    partials = ((out, into) for out, into in parse_derivative(str(name)) if out in outputs and into in inputs)
    return name in inputs or name in outputs or name in quantities or any(True for _ in partials)
