"""The step that evaluates a row's formulas of values and derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.formulas import Name, Partial, written
from swarmnet.data.quantities import Argument, Quantity, leaves
from swarmnet.errors import SwarmnetError
from swarmnet.explanation.row import Row
from swarmnet.explanation.steps import Matrix
from swarmnet.explanation.symbols import Calculation
from swarmnet.explanation.tables import digits_of, digits_of_inputs, frame_of, table

Array = NDArray[Any]

LETTERS = "ATR"  # values, first and second derivatives, by order
_EXTENDED = (
    "for u < 0, sqrt(u) = -sqrt(-u) and log(u) = log(2^-52) - log(1 - u), as in training, "
    "because {names} would not be defined"
)


@dataclass(frozen=True, eq=False)
class Evaluated:
    """A formula's value, in the network's units, and its derivatives by each argument (arguments,)."""

    quantity: Quantity
    value: float
    slopes: Array


def show_formulas(calculation: Calculation, row: Row, count: int) -> list[Evaluated]:
    """Show and return the row's formulas of the derivatives of the last layer, whose number is `count`.

    Raises:
        SwarmnetError: a formula has no finite value.
    """
    if not row.formulas:
        return []
    found, made, beyond = list[Evaluated](), list[Matrix](), list[str]()
    for number, quantity in enumerate(row.scaled.quantities, 1):
        arguments = np.array([[_of(calculation, row, count, argument)] for argument in quantity.arguments])
        value, slopes = quantity.evaluate(row.scaled.X, arguments, extended=True)
        if not (np.isfinite(value).all() and np.isfinite(slopes).all()):
            raise SwarmnetError(
                f"row {row.number}: the formula of {quantity.name!r}, or a derivative of it, has no finite "
                "value there: choose another row"
            )
        if not np.isfinite(quantity.evaluate(row.scaled.X, arguments)[0]).all():
            beyond.append(quantity.name)
        found.append(Evaluated(quantity, float(value[0]), slopes[:, 0]))
        made.append(_arguments(f"a{number}", row, found[-1], arguments[:, 0]))
    values = [[each.value * each.quantity.unit, each.quantity.unit, each.value] for each in found]
    names_of = [each.quantity.name for each in found]
    frame = frame_of(["formula", "unit", "prediction"], names_of, values)
    made.append(table("F", "predictions", frame, made=True))
    formula = _in_words(row, found)
    if beyond:
        formula += ", " + _EXTENDED.format(names=" and ".join(beyond))
    read = _read(calculation, row, count)
    calculation.show("Formulas of values and derivatives", formula, *read, *made)
    return found


def _of(calculation: Calculation, row: Row, count: int, argument: Argument) -> float:
    order, line, output = row.position(argument)
    return float(calculation[f"{LETTERS[order]}{count}"][line, output])


def _read(calculation: Calculation, row: Row, count: int) -> list[Matrix]:
    """Return what the formulas take: the network's values and derivatives, and inputs."""
    found: list[Matrix] = []
    places = [row.position(a) for quantity in row.scaled.quantities for a in quantity.arguments]
    for order, letter in enumerate(LETTERS[: row.order + 1]):
        symbol = f"{letter}{count}"
        active = np.zeros(calculation[symbol].shape, bool)
        for _, line, output in (place for place in places if place[0] == order):
            active[line, output] = True
        if active.any():
            found.append(calculation.read(symbol, active))
    used = {n.name for q in row.scaled.quantities for n in leaves(q.tree) if isinstance(n, Name)}
    used_inputs = [name in used for name in row.given.inputs]
    if any(used_inputs):
        name, frame = "x", frame_of(row.inputs, [""], row.learnt.X)
        digits = digits_of_inputs(row.scaling)
        if row.scaling.logs is not None:
            name, digits = "u", digits_of(row.scaling.x_offset, row.scaling.x_scale)
        active = np.array([used_inputs])
        found.append(Matrix(name, "inputs in the formulas' units", frame, active, digits=digits))
    return found


def _arguments(name: str, row: Row, of: Evaluated, numbers: Array) -> Matrix:
    """Return the table of a formula's arguments."""
    quantity = of.quantity
    offset, scale = quantity.offset, quantity.scale
    columns = ["network", "offset", "scale", "argument", "slope"]
    parts = np.array([numbers, offset, scale, offset + scale * numbers, of.slopes]).T
    digits = digits_of(offset, scale)
    return table(
        name, f"arguments of {quantity.name}", frame_of(columns, _labels(row, quantity), parts), True, digits
    )


def _labels(row: Row, quantity: Quantity) -> list[str]:
    """Return what the formula calls its arguments."""
    nodes = {quantity.number_of(n): n for n in leaves(quantity.tree) if isinstance(n, Name | Partial)}
    return [written(nodes[number], _names(row)) for number in range(len(quantity.arguments))]


def _names(row: Row) -> dict[str, str]:
    """Return what the network's in- and outputs are called, such as log(p) for p."""
    return dict(zip((*row.given.inputs, *row.given.outputs), (*row.inputs, *row.outputs), strict=True))


def _in_words(row: Row, found: list[Evaluated]) -> str:
    formulas = []
    for number, each in enumerate(found, 1):
        text, name = written(each.quantity.tree, _names(row)), each.quantity.name
        formulas.append(
            f"{name} = {text}, arguments in a{number}" if text != name else f"{name} is in a{number}"
        )
    formulas.append("argument = offset + scale * network")
    formulas.append("prediction = formula / unit")
    formulas.append("slope = derivative of the prediction by the network's number")
    return ", ".join(formulas)
