"""The row that is explained: in the data's units, in logarithms, and in the network's units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.data_frames import pd
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.quantities import Argument
from swarmnet.explanation.steps import Matrix
from swarmnet.explanation.symbols import Calculation
from swarmnet.explanation.tables import digits_of, digits_of_inputs, digits_of_outputs, frame_of, table
from swarmnet.model import training_record as record
from swarmnet.model.fitted_model import FittedModel
from swarmnet.scaling import Scaling

Array = NDArray[Any]


@dataclass(frozen=True)
class Entry:
    """An observed number: its name, and what it is a value or derivative of; None for a formula."""

    name: str
    argument: Argument | None
    target: float
    sigma: float

    @property
    def is_value(self) -> bool:
        """Whether it is an output's value."""
        return self.argument is not None and not self.argument[1]


@dataclass(frozen=True, eq=False)
class Row:
    """One row of data.

    Args:
        number: of the row, as its reader counts.
        given: the row as it was given.
        learnt: the same for a network of logarithms; `given` for other networks.
        scaled: `learnt` in the network's units, with the scale of each residual as its sigma, as in `fit`,
            and with only the formulas that were observed.
        scaling: the model's.
        inputs: the names of the network's inputs, such as log(p).
        outputs: the names of its outputs.
    """

    number: int
    given: MixedData
    learnt: MixedData
    scaled: MixedData
    scaling: Scaling
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(cls, model: FittedModel, data: MixedData, index: int, number: int, loss: str) -> Row:
        """Return row `index` of the data, which has this number; all rows tell the scales of residuals."""
        given, scaling, logs = data.take([index]), model.scaling, model.scaling.logs
        inputs, outputs = data.inputs, data.outputs
        learnt, reference = given, data
        if logs is not None:
            learnt, reference = logs.rows(given), logs.rows(data.counted())
            inputs, outputs = (tuple(names) for names in logs.labels(inputs, outputs))
        by_column = record.scaling(model.training) is not None
        scaled = replace(scaling, logs=None).scale_data(learnt, by_column, reference=reference)
        if loss == "cross-entropy":
            scaled = replace(scaled, Y_sigma=learnt.Y_sigma)
        return cls(number, given, learnt, _with_observed_formulas(scaled), scaling, inputs, outputs)

    @property
    def formulas(self) -> bool:
        """Whether the row has formulas."""
        return self.scaled.n_quantities > 0

    @cached_property
    def arguments(self) -> list[Argument]:
        """The values and derivatives of the network that the row's entries and formulas contain."""
        entries = entries_of(self.scaled, self.inputs, self.outputs)
        plain = [entry.argument for entry in entries if entry.argument is not None]
        return plain + [argument for q in self.scaled.quantities for argument in q.arguments]

    @cached_property
    def along(self) -> list[int]:
        """The inputs along which there are tangents."""
        return sorted({j for _, inputs in self.arguments for j in inputs})

    @cached_property
    def pairs(self) -> list[tuple[int, ...]]:
        """The pairs of inputs of second derivatives, each in ascending order."""
        return sorted({inputs for _, inputs in self.arguments if len(inputs) == 2})

    @property
    def order(self) -> int:
        """The highest order of the derivatives."""
        return max(len(inputs) for _, inputs in self.arguments)

    @property
    def has_units(self) -> bool:
        """Whether the network's units differ from the data's."""
        scaling = self.scaling
        offsets, scales = (scaling.x_offset, scaling.y_offset), (scaling.x_scale, scaling.y_scale)
        moved = any(v.any() for v in offsets) or any((v != 1).any() for v in scales)
        return moved or scaling.logs is not None

    def position(self, argument: Argument) -> tuple[int, int, int]:
        """Return a value's or derivative's order, its line in A, T or R, and its output."""
        output, inputs = argument
        line = 0 if not inputs else self.along.index(inputs[0])
        return len(inputs), self.pairs.index(inputs) if len(inputs) == 2 else line, output


def _with_observed_formulas(row: MixedData) -> MixedData:
    seen = np.flatnonzero(np.isfinite(row.Q[0]))
    return replace(
        row,
        Q=row.Q[:, seen],
        Q_sigma=None if row.Q_sigma is None else row.Q_sigma[:, seen],
        quantities=tuple(row.quantities[q] for q in seen),
    )


def entries_of(row: MixedData, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> list[Entry]:
    """Return the observed entries of a row, with other names of its inputs and outputs."""
    found: list[tuple[str, Argument | None]] = []
    for o, out in enumerate(outputs):
        found.append((out, (o, ())))
        found += [(derivative_name(out, into), (o, (j,))) for j, into in enumerate(inputs)]
    found += [(quantity.name, None) for quantity in row.quantities]
    columns = [*row.entry_columns(), *row.quantity_columns()]
    return [
        Entry(name, argument, float(target[0]), np.nan if sigma is None else float(sigma[0]))
        for (name, argument), (_, target, sigma) in zip(found, columns, strict=True)
        if np.isfinite(target[0])
    ]


def show_row(calculation: Calculation, row: Row) -> None:
    """Show the row in the data's units, and its inputs in the network's."""
    given, scaling = row.given, row.scaling
    of_x, of_y = digits_of_inputs(scaling), digits_of_outputs(scaling)
    targets = _targets(given, given.inputs, given.outputs)
    read = [
        table("targets", "observed, in the data's units", targets, digits=of_y),
        table("x", "inputs in the data's units", frame_of(given.inputs, [""], given.X), digits=of_x),
    ]
    title, symbol = "The row, and its inputs in the network's units" if row.has_units else "The row", "x"
    if scaling.logs is not None:
        made = _logarithms(row)
        calculation.show("The row, and its logarithms", _logarithms_in_words(row), *read, *made)
        title, symbol, read = "The inputs in the network's units", "u", [replace(made[0], made=False)]
    if row.has_units:
        units = frame_of(row.inputs, ["offset", "scale"], [scaling.x_offset, scaling.x_scale])
        read.append(table("input units", "of the network", units, digits=read[-1].digits))
    formula = f"A0 = ({symbol} - offset) / scale" if row.has_units else "A0 = x"
    calculation.show(title, formula, *read, calculation.make("A0", scaling.scale_X(given.X)))


def _logarithms(row: Row) -> list[Matrix]:
    """Return the inputs and the targets as the network of logarithms takes them."""
    scaling, learnt = row.scaling, row.learnt
    u, targets = frame_of(row.inputs, [""], learnt.X), _targets(learnt, row.inputs, row.outputs)
    of_u, of_v = (
        digits_of(offset, scale)
        for offset, scale in ((scaling.x_offset, scaling.x_scale), (scaling.y_offset, scaling.y_scale))
    )
    return [
        table("u", "inputs of the network", u, True, of_u),
        table("targets of logarithms", "what the network learns", targets, True, of_v),
    ]


def _targets(row: MixedData, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> pd.DataFrame:
    entries = entries_of(row, inputs, outputs)
    numbers = [[entry.target, entry.sigma] for entry in entries]
    frame = frame_of(["target", "sigma"], [entry.name for entry in entries], numbers)
    return frame.dropna(axis=1, how="all")


def logged_names(row: Row) -> tuple[str, str]:
    """Return the inputs and the outputs of which the network takes logarithms, as texts."""
    logs, given = row.scaling.logs, row.given
    assert logs is not None
    inputs, outputs = (
        ", ".join(name for name, log in zip(names, taken, strict=True) if log)
        for names, taken in ((given.inputs, logs.inputs), (given.outputs, logs.outputs))
    )
    return inputs, outputs


def with_factors(row: Row, formula: str, of_output: str, of_input: str) -> str:
    """Return a formula with the factors that logarithms bring, and for which out- and inputs they are."""
    inputs, outputs = logged_names(row)
    factors = [(factor, names) for factor, names in ((of_output, outputs), (of_input, inputs)) if names]
    text = formula + "".join(f" {factor}" for factor, _ in factors)
    return f"{text} ({', '.join(f'{factor} only for {names}' for factor, names in factors)})"


def _logarithms_in_words(row: Row) -> str:
    inputs, outputs = logged_names(row)
    formulas = [f"u = log(x) for {inputs}"] if inputs else []
    if outputs:
        formulas += [f"v = log(y) for {outputs}", "sigma of v = sigma / y"]
    formulas.append(with_factors(row, "dv/du = dy/dx", "/ y", "* x"))
    if outputs:
        formulas.append("its sigma = sqrt((sigma / y * x)^2 + (dv/du * sigma of v)^2)")
        formulas.append(f"without y, derivatives of {outputs} are formulas")
    return ", ".join(formulas)
