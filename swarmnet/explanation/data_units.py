"""The steps from the network's outputs and their derivatives to the data's units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.explanation.row import Row, logged_names, with_factors
from swarmnet.explanation.steps import Matrix
from swarmnet.explanation.symbols import Calculation
from swarmnet.explanation.tables import digits_of, digits_of_inputs, digits_of_outputs, frame_of, table

Array = NDArray[Any]


def show_outputs(calculation: Calculation, row: Row, count: int) -> None:
    """Show the outputs of the last layer, whose number is `count`, in the data's units."""
    if not row.has_units:
        return
    scaling, logs, last = row.scaling, row.scaling.logs, calculation.read(f"A{count}")
    digits = digits_of(scaling.y_offset, scaling.y_scale)
    units = frame_of(row.outputs, ["scale", "offset"], [scaling.y_scale, scaling.y_offset])
    matrices = [last, table("output units", "of the network", units, digits=digits)]
    formula = f"{last.name} * scale + offset"
    if logs is not None and any(logs.outputs):
        v = frame_of(row.outputs, [""], calculation[last.name] * scaling.y_scale + scaling.y_offset)
        matrices.append(table("v", "outputs of the network, in units of logarithms", v, True, digits))
        formula = f"{formula}, y = v, and exp(v) for {logged_names(row)[1]}"
    y = frame_of(row.given.outputs, [""], scaling.unscale_Y(calculation[last.name]))
    digits = digits_of_outputs(scaling)
    calculation.show(
        "Outputs in the data's units",
        f"{'v' if len(matrices) == 3 else 'y'} = {formula}",
        *matrices,
        table("y", "outputs in the data's units", y, made=True, digits=digits),
    )


def show_partials(calculation: Calculation, row: Row, count: int) -> None:
    """Show the tangents of the outputs in the data's units."""
    if not row.has_units:
        return
    scaling, logs, T = row.scaling, row.scaling.logs, f"T{count}"
    unit = scaling.y_scale / scaling.x_scale[row.along, None]
    slopes = scaling.unscale_J(_jacobian(calculation, row, count))
    matrices = [calculation.read(T), table("slope units", "scale of y / scale of x", _along(row, unit))]
    formula = f"dy/dx = {T} * scale of y / scale of x"
    if logs is not None:
        of_network = _along(row, slopes[0].T[row.along])
        matrices += _factors(calculation, row, count)
        matrices.append(table("dv/du", "in units of logarithms", of_network, made=True))
        slopes_in_words = with_factors(row, "dy/dx = dv/du", "* y", "/ x")
        formula = f"dv/du = {T} * scale of v / scale of u, {slopes_in_words}"
        slopes = logs.jacobian(slopes, row.given.X, scaling.unscale_Y(calculation[f"A{count}"]))
    calculation.show(
        "Partial derivatives in the data's units",
        formula,
        *matrices,
        table(
            "dy/dx",
            "partial derivatives in the data's units",
            _along(row, slopes[0].T[row.along], given=True),
            made=True,
        ),
    )


def show_second_derivatives(calculation: Calculation, row: Row, count: int) -> None:
    """Show the second tangents of the outputs in the data's units."""
    if not row.has_units:
        return
    scaling, logs, R = row.scaling, row.scaling.logs, f"R{count}"
    i, j = np.array(row.pairs).T
    H = np.zeros((1, len(row.outputs), len(row.inputs), len(row.inputs)))
    H[0][:, i, j] = calculation[R].T
    bends = scaling.unscale_H(H)
    unit = scaling.y_scale / scaling.x_scale[i, None] / scaling.x_scale[j, None]
    matrices = [calculation.read(R), table("bend units", "scale of y / scales of x", _in_pairs(row, unit))]
    formula = f"d2y/dx2 = {R} * scale of y / (scale of x * scale of x)"
    if logs is not None:
        of_network = _in_pairs(row, bends[0][:, i, j].T)
        J = scaling.unscale_J(_jacobian(calculation, row, count))
        matrices.append(table("dv/du", "in units of logarithms", _along(row, J[0].T[row.along])))
        matrices += _factors(calculation, row, count)
        matrices.append(table("d2v/du2", "in units of logarithms", of_network, made=True))
        formula = f"d2v/du2 = {R} * scale of v / (scale of u * scale of u), {_bends_in_words(row)}"
        bends = logs.hessian(bends, J, row.given.X, scaling.unscale_Y(calculation[f"A{count}"]))
    calculation.show(
        "Second derivatives in the data's units",
        formula,
        *matrices,
        table(
            "d2y/dx2",
            "second derivatives in the data's units",
            _in_pairs(row, bends[0][:, i, j].T, given=True),
            made=True,
        ),
    )


def _factors(calculation: Calculation, row: Row, count: int) -> list[Matrix]:
    """Return what the chain rule of logarithms multiplies and divides by: outputs and inputs."""
    y = frame_of(row.given.outputs, [""], row.scaling.unscale_Y(calculation[f"A{count}"]))
    x = frame_of(row.given.inputs, [""], row.given.X)
    return [
        table("y", "outputs in the data's units", y, digits=digits_of_outputs(row.scaling)),
        table("x", "inputs in the data's units", x, digits=digits_of_inputs(row.scaling)),
    ]


def _jacobian(calculation: Calculation, row: Row, count: int) -> Array:
    """Return the network's partials (1, k, d), 0 along inputs without a tangent."""
    J = np.zeros((1, len(row.outputs), len(row.inputs)))
    J[0][:, row.along] = calculation[f"T{count}"].T
    return J


def _bends_in_words(row: Row) -> str:
    inputs, outputs = logged_names(row)
    terms = [f"+ dv/du * dv/du only for {outputs}"] if outputs else []
    terms += [f"- dv/du only along {inputs} twice"] if inputs else []
    bend = "bend = d2v/du2" + " + dv/du * dv/du" * bool(outputs) + " - dv/du" * bool(inputs)
    return f"{bend} ({', '.join(terms)}), {with_factors(row, 'd2y/dx2 = bend', '* y', '/ x / x')}"


def _along(row: Row, numbers: Array, given: bool = False) -> pd.DataFrame:
    """Return the numbers of tangents, with the names of the network or of the data as they were given."""
    inputs, outputs = (row.given.inputs, row.given.outputs) if given else (row.inputs, row.outputs)
    return frame_of(outputs, [f"along {inputs[j]}" for j in row.along], numbers)


def _in_pairs(row: Row, numbers: Array, given: bool = False) -> pd.DataFrame:
    """Return the same of second tangents."""
    inputs, outputs = (row.given.inputs, row.given.outputs) if given else (row.inputs, row.outputs)
    labels = [f"along {inputs[i]} and {inputs[j]}" for i, j in row.pairs]
    return frame_of(outputs, labels, numbers)
