"""The step of the row's errors, of its loss, and of the loss's derivatives by what the network gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.explanation.formula_steps import LETTERS, Evaluated
from swarmnet.explanation.row import Entry, Row, entries_of
from swarmnet.explanation.symbols import Calculation
from swarmnet.explanation.tables import frame_of, table

Array = NDArray[Any]

_COLUMNS = ("prediction", "target", "sigma", "residual", "weight", "loss")


@dataclass(frozen=True)
class RowLoss:
    """The loss of a row: `balance` is the weight of derivatives, `name` that of the loss of values."""

    balance: float
    name: str

    @property
    def crossed(self) -> bool:
        """Whether values have the cross-entropy as their loss."""
        return self.name == "cross-entropy"

    def at_outputs(self, count: int, errors: Sequence[str]) -> str:
        """Return z' of the last layer without derivatives, as a formula of the errors that there are."""
        terms = {f"E{count}": f"E{count}", f"A'{count}": f"S{count} * A'{count}"}
        return " + ".join(term for error, term in terms.items() if error in errors)


def show_errors(
    calculation: Calculation, row: Row, formulas: Sequence[Evaluated], count: int, loss: RowLoss
) -> tuple[float, list[str]]:
    """Show the row's loss, and its derivatives by the outputs, their tangents and second tangents.

    Args:
        calculation: with the forward pass.
        row: the row.
        formulas: those of the row.
        count: the number of the last layer.
        loss: of values and derivatives.

    Returns:
        the row's loss, and the symbols of its derivatives.
    """
    symbols = _symbols(row, formulas, count, loss)
    bars = {symbol: np.zeros_like(calculation[symbol_of]) for symbol, symbol_of in symbols.items()}
    entries, predictions = entries_of(row.scaled, row.inputs, row.outputs), iter(formulas)
    numbers: list[list[float]] = []
    for entry in entries:
        if entry.argument is None:
            own = next(predictions)
            prediction, slopes = own.value, list(zip(own.quantity.arguments, own.slopes, strict=True))
        else:
            order, line, output = row.position(entry.argument)
            prediction = float(calculation[f"{LETTERS[order]}{count}"][line, output])
            slopes = [(entry.argument, 1.0)]
        numbers.append(_numbers(calculation, row, entry, prediction, count, loss))
        *_, bar = numbers[-1]
        for argument, slope in slopes:
            order, line, output = row.position(argument)
            crossed = loss.crossed and entry.is_value
            bars[f"E{count}" if crossed else f"{LETTERS[order]}'{count}"][line, output] += bar * slope
    shown = frame_of(_COLUMNS, [entry.name for entry in entries], [found[:-1] for found in numbers])
    total = float(shown["loss"].sum())
    calculation.show(
        "Errors and the row's loss, in the network's units",
        _in_words(count, list(symbols), loss, bool(formulas)),
        table("entries", "observed in this row", shown, made=True),
        table("loss", "of the row", frame_of(["total"], [""], [[total]]), made=True),
        *(calculation.make(symbol, bar) for symbol, bar in bars.items()),
    )
    return total, list(symbols)


def _symbols(row: Row, formulas: Sequence[Evaluated], count: int, loss: RowLoss) -> dict[str, str]:
    """Return the symbols of the loss's derivatives, each with the symbol by which the derivative is."""
    found = {f"{letter}'{count}": f"{letter}{count}" for letter in LETTERS[: row.order + 1]}
    if not loss.crossed:
        return found
    if not any(not inputs for own in formulas for _, inputs in own.quantity.arguments):
        del found[f"A'{count}"]
    return {f"E{count}": f"z{count}"} | found


def _numbers(
    calculation: Calculation, row: Row, entry: Entry, prediction: float, count: int, loss: RowLoss
) -> list[float]:
    """Return an entry's columns of the table, and the loss's derivative by its prediction."""
    scaled, target = row.scaled, entry.target
    weight = 1.0 if entry.is_value else loss.balance
    weight /= scaled.n_values if entry.is_value else scaled.n_entries - scaled.n_values
    sigma = 1.0 if np.isnan(entry.sigma) else entry.sigma
    residual = (prediction - target) / sigma
    cost, bar = weight * residual**2, 2.0 * weight * residual / sigma
    if loss.crossed and entry.is_value:
        assert entry.argument is not None
        z = calculation[f"z{count}"][0, entry.argument[0]]
        cost, bar = weight / sigma**2 * (np.logaddexp(0.0, z) - target * z), weight * residual / sigma
    return [prediction, target, sigma, residual, weight, cost, bar]


def _in_words(count: int, symbols: Sequence[str], loss: RowLoss, with_formulas: bool) -> str:
    formulas, squared = ["residual = (prediction - target) / sigma"], list(symbols)
    if loss.crossed:
        z, error = f"z{count}", squared.pop(0)
        formulas.append(f"loss of values = sum of weight / sigma^2 * (log(1 + exp({z})) - target * {z})")
        formulas.append(f"{error} = weight * residual / sigma")
    if squared:
        formulas.append(f"loss{' of derivatives' if loss.crossed else ''} = sum of weight * residual^2")
        bar = "2 * weight * residual / sigma"
        if with_formulas:
            bar = f"sum of {bar}, for formulas times the slopes of their arguments"
        formulas.append(f"{_listed(squared)} = {bar}")
    return ", ".join(formulas)


def _listed(symbols: Sequence[str]) -> str:
    """Return symbols as text, such as A'2, T'2 and R'2."""
    *first, last = symbols
    return f"{', '.join(first)} and {last}" if first else last
