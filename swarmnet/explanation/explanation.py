"""explain: a forward pass and a gradient descent step for one row of data, with all intermediate numbers.

For layer l with weights W, biases b and activation f, and the residual r = (prediction - target) / sigma of
an entry (the formulas of `swarmnet.network.propagation`, transposed so that each vector is a row):

    inputs       A_0 = (x - x_offset) / x_scale
    forward      z_l = A_(l-1) W_l + b_l,  A_l = f(z_l)
    tangents     U_l = T_(l-1) W_l,  T_l = S_l * U_l,  S_l = f'(z_l): a row for each input for which
                 the data row has a partial derivative; T_0 is 1 for that input, and T_L is the derivative
    loss         sum of weight r^2 over the row's entries
    errors       A'_L = 2 weight r / sigma for values, T'_L likewise for partial derivatives
    deltas       U'_l = S_l * T'_l,  z'_l = S_l * A'_l + C_l * B_l,  C_l = f''(z_l),
                 B_l = sum of U_l * T'_l over the tangents
    gradients    W'_l = A_(l-1)^T z'_l + T_(l-1)^T U'_l,  b'_l = z'_l
    passed back  A'_(l-1) = z'_l W_l^T,  T'_(l-1) = U'_l W_l^T
    step         W_l - rate W'_l,  b_l - rate b'_l

X' is the derivative of the loss with respect to X. Without partial derivatives this is backpropagation; with
them it is double backpropagation (Drucker and Le Cun 1992).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed
from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import loaded
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.explanation.steps import Explanation, Matrix
from swarmnet.explanation.symbols import Calculation
from swarmnet.model import training_record as record
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network
from swarmnet.number_format import for_offset
from swarmnet.objective.objective import Objective
from swarmnet.scaling import Scaling
from swarmnet.trainers.limits import require_count, require_number

Array = NDArray[Any]


def explain(
    model: FittedModel,
    data: MixedData | str | os.PathLike[str],
    row: int = 0,
    learning_rate: float = 0.1,
    *,
    first_row: int = 0,
) -> Explanation:
    """Show a forward pass and a step of plain gradient descent for one row of data, as labelled matrices.

    The row's loss is the training loss for this row alone, without l2: the mean of squared residuals over
    its values, plus derivative_weight times the mean over its partial derivatives. Each residual is in units
    of its sigma or, if none is given, of its column's scale in `data`. The network's scaled units are shown
    together with the data's units.

    Args:
        model: the model; it is not changed.
        data: MixedData, or the path or glob of CSV or Parquet files, with the model's inputs and outputs.
        row: the number of the row, in the order of the file.
        learning_rate: the step is this times the gradient of the row's loss.
        first_row: the number of the first row: 0, or 1 as on the command line.

    Raises:
        SwarmnetError: no such row, a row without an entry, a learning rate that is not positive, or data
            that do not fit the model, or a model with logarithms.

    Example:
        >>> from swarmnet import FittedModel, MixedData, Network
        >>> from swarmnet.scaling import Scaling
        >>> net, theta = Network.from_layers([([[2.0], [3.0]], [1.0])], ["linear"])
        >>> model = FittedModel(net, theta, Scaling.identity(2, 1), ("a", "b"), ("y",))
        >>> steps = explain(model, MixedData([[1.0, 0.5]], Y=[4.0], inputs=("a", "b"), outputs=("y",)))
        >>> float(steps["z1"]["y"].iloc[0]), steps.loss  # 1 * 2 + 0.5 * 3 + 1, and (4.5 - 4)^2
        (4.5, 0.25)
        >>> steps["W1 after"]["y"].round(3).tolist()  # 2 - 0.1 * 2 * 0.5 * 1, 3 - 0.1 * 2 * 0.5 * 0.5
        [1.9, 2.95]
    """
    mixed = require_mixed_data(loaded(data, model.inputs, model.outputs))
    mixed = mixed.select(model.inputs, model.outputs)
    if model.scaling.logs is not None:
        raise SwarmnetError("explain cannot show a model of logarithms (log=): train one without")
    require_count("row", row, first_row)
    require_number("learning_rate", learning_rate, "a positive number", lambda rate: rate > 0)
    last_row = first_row + mixed.n - 1
    if row > last_row:
        raise SwarmnetError(f"row must be {first_row} to {last_row}, as there are {mixed.n} rows, not {row}")
    index = int(row) - first_row
    mixed = _without_quantities(mixed, index, row)
    if mixed.entries_per_row[index] == 0 or mixed.row_weights[index] == 0:
        raise SwarmnetError(f"row {row} has no entry that counts: choose one with a value or a derivative")
    return _explanation(model, mixed, index, float(learning_rate))


def _without_quantities(data: MixedData, index: int, row: int) -> MixedData:
    if not data.n_quantities:
        return data
    if data.n_entries == data.n_quantities:
        raise SwarmnetError("the data have only formulas of derivatives: the steps need a value or a partial")
    left_out = [name for name, numbers, _ in data.quantity_columns() if np.isfinite(numbers[index])]
    if left_out:
        warn_user(f"row {row}: {listed(left_out)} are formulas of derivatives, which the steps leave out")
    return replace(data, Q=np.full_like(data.Q, np.nan), Q_sigma=None)


def _explanation(model: FittedModel, data: MixedData, row: int, rate: float) -> Explanation:
    net, theta = model.net, model.theta
    loss = record.loss_function(model.training)
    balance = record.derivative_weight(model.training)
    scaled = _scaled_row(model, data, row, loss)
    objective = Objective(net, scaled, loss=loss, derivative_weight=balance, threads=1)
    along = np.flatnonzero((~np.isnan(scaled.J[0])).any(0))  # the inputs of the row's partial derivatives
    hidden = [[f"unit {i}" for i in range(1, size + 1)] for size in net.sizes[1:-1]]
    units, terms = [data.inputs, *hidden, data.outputs], _terms(net, data.inputs)
    calculation = Calculation(units, [f"along {data.inputs[j]}" for j in along], terms)
    with np.errstate(all="ignore"):  # non-finite losses are refused below
        _show_row(calculation, model.scaling, data, row)
        _forward(calculation, model, len(along) > 0)
        if len(along):
            _tangents(calculation, model, along)
        before = _errors(calculation, len(net.layers), scaled, along.tolist(), balance, loss)
        gradient = _backward(calculation, net, len(along) > 0, loss)
        slopes = calculation[f"K'{len(net.layers)}"] if terms else None
        after = theta - rate * net.flatten(gradient, slopes)
        losses = before, float(objective.loss(after))
    if not np.isfinite(losses).all():
        raise SwarmnetError(
            f"the row's loss is {losses[0]:g}, and {losses[1]:g} after the step: try a smaller learning rate"
        )
    _update(calculation, net, after, rate, losses)
    return Explanation(f"{net!r}, learning rate {rate:g}", tuple(calculation.steps), *losses, after)


def _terms(net: Network, inputs: Sequence[str]) -> list[str]:
    """Return labels of the trend's terms, such as P2(T) P1(p)."""
    powers = [] if net.trend is None else net.trend.powers.tolist()
    return [" ".join(f"P{q}({x})" for q, x in zip(term, inputs, strict=True) if q) for term in powers]


def _scaled_row(model: FittedModel, data: MixedData, row: int, loss: str) -> MixedData:
    """Return the row in the network's units, with the scale of each residual as its sigma, as in `fit`."""
    alone = data.take([row])
    by_column = record.scaling(model.training) is not None
    scaled = model.scaling.scale_data(alone, by_column, reference=data)
    return replace(scaled, Y_sigma=alone.Y_sigma) if loss == "cross-entropy" else scaled


def _lines(columns: Sequence[str], lines: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(dict(lines), orient="index", columns=list(columns), dtype=float)


def _table(
    name: str, what: str, frame: pd.DataFrame, made: bool = False, digits: int = Matrix.digits
) -> Matrix:
    numbers = frame.to_numpy()
    return Matrix(name, what, frame, (numbers != 0) & ~np.isnan(numbers), made, digits)


def _digits(offsets: Array, scales: Array) -> int:
    """Return significant digits for numbers in the data's units that may vary little around an offset."""
    return max(
        for_offset(float(offset), float(scale), Matrix.digits)
        for offset, scale in zip(offsets, scales, strict=True)
    )


def _has_units(scaling: Scaling) -> bool:
    """Return whether the network's units differ from the data's."""
    offsets, scales = (scaling.x_offset, scaling.y_offset), (scaling.x_scale, scaling.y_scale)
    return any(v.any() for v in offsets) or any((v != 1).any() for v in scales)


def _show_row(calculation: Calculation, scaling: Scaling, data: MixedData, row: int) -> None:
    """Show the row in the data's units, and its inputs in the network's."""
    entries = {
        name: [target[row], np.nan if sigma is None else sigma[row]]
        for name, target, sigma in data.entry_columns()
        if np.isfinite(target[row])
    }
    targets = pd.DataFrame.from_dict(entries, orient="index", columns=["target", "sigma"])
    seen, of_x = targets.dropna(axis=1, how="all"), _digits(scaling.x_offset, scaling.x_scale)
    of_y = _digits(scaling.y_offset, scaling.y_scale)
    read = [_table("targets", "observed, in the data's units", seen, digits=of_y)]
    inputs = _lines(data.inputs, {"": data.X[row]})
    read.append(_table("x", "inputs in the data's units", inputs, digits=of_x))
    if scaled := _has_units(scaling):
        units = _lines(data.inputs, {"offset": scaling.x_offset, "scale": scaling.x_scale})
        read.append(_table("input units", "of the network", units, digits=of_x))
    calculation.show(
        "The row, and its inputs in the network's units" if scaled else "The row",
        "A0 = (x - offset) / scale" if scaled else "A0 = x",
        *read,
        calculation.make("A0", scaling.scale_X(data.X[[row]])),
    )


def _forward(calculation: Calculation, model: FittedModel, bends: bool) -> None:
    """Show the layers' forward pass, with f' and, if `bends` (the row has tangents), f''."""
    net, scaling, count = model.net, model.scaling, len(model.net.layers)
    if net.trend is not None:
        calculation[f"K{count}"] = net.coefficients(model.theta)
        (phi,) = net.trend.jets(calculation["A0"].T, 0)
        formula = "P0 = products of Legendre polynomials P1, P2... of A0, scaled to -1..1 over the data"
        calculation.show("Terms of the trend", formula, calculation.read("A0"), calculation.make("P0", phi.T))
    for n, (act, (W, b)) in enumerate(zip(net.activations, net.unflatten(model.theta), strict=True), 1):
        calculation[f"W{n}"], calculation[f"b{n}"] = W, b[None]
        trend = f" + P0 @ K{n}" if n == count and net.trend is not None else ""
        calculation.compute(f"Layer {n}: hidden inputs", f"z{n} = A{n - 1} @ W{n} + b{n}{trend}")
        calculation.activate(n, act, bends)
    if not _has_units(scaling):
        return
    last = f"A{len(net.layers)}"
    units = _lines(model.outputs, {"scale": scaling.y_scale, "offset": scaling.y_offset})
    y = _lines(model.outputs, {"": scaling.unscale_Y(calculation[last])[0]})
    digits = _digits(scaling.y_offset, scaling.y_scale)
    calculation.show(
        "Outputs in the data's units",
        f"y = {last} * scale + offset",
        calculation.read(last),
        _table("output units", "of the network", units, digits=digits),
        _table("y", "outputs in the data's units", y, made=True, digits=digits),
    )


def _tangents(calculation: Calculation, model: FittedModel, along: NDArray[np.intp]) -> None:
    """Show the layers' derivatives along some inputs."""
    net, scaling = model.net, model.scaling
    seeds = calculation.make("T0", np.eye(net.d)[along])
    calculation.show("Tangents of the inputs", "T0 = 1 for the input that a line goes along, else 0", seeds)
    count = len(net.layers)
    if net.trend is not None:
        of_terms = net.trend.jets(calculation["A0"].T, 1)[1][:, along, 0].T
        calculation.show("Tangents of the terms", "Q0 = derivatives of P0", calculation.make("Q0", of_terms))
    for n in range(1, count + 1):
        trend = f" + Q0 @ K{n}" if n == count and net.trend is not None else ""
        calculation.compute(f"Layer {n}: tangents", f"U{n} = T{n - 1} @ W{n}{trend}", f"T{n} = S{n} * U{n}")
    if not _has_units(scaling):
        return
    unit = scaling.y_scale / scaling.x_scale[along, None]
    scales, slopes = (
        _lines(model.outputs, dict(zip(seeds.frame.index, numbers, strict=True)))
        for numbers in (unit, calculation[f"T{count}"] * unit)
    )
    calculation.show(
        "Partial derivatives in the data's units",
        f"dy/dx = T{count} * scale of y / scale of x",
        calculation.read(f"T{count}"),
        _table("slope units", "scale of y / scale of x", scales),
        _table("dy/dx", "partial derivatives in the data's units", slopes, made=True),
    )


def _errors(
    calculation: Calculation, count: int, row: MixedData, along: list[int], balance: float, loss: str
) -> float:
    """Show and return the row's loss; show its derivatives by the outputs and their tangents."""
    crossed = loss == "cross-entropy"
    names = [f"E{count}" if crossed else f"A'{count}"] + ([f"T'{count}"] if along else [])
    predicted = [calculation[f"A{count}"]] + ([calculation[f"T{count}"]] if along else [])
    bars = [np.zeros_like(numbers) for numbers in predicted]
    weights = 1.0 / max(1, row.n_values), balance / max(1, row.n_derivatives)
    entries: dict[str, list[float]] = {}
    for index, (name, (target,), sigmas) in enumerate(row.entry_columns()):
        if np.isnan(target):
            continue
        output, slope = divmod(index, row.d + 1)  # each value is followed by its derivatives
        kind, line = (1, along.index(slope - 1)) if slope else (0, 0)
        prediction, weight = predicted[kind][line, output], weights[kind]
        sigma = 1.0 if sigmas is None or np.isnan(sigmas[0]) else sigmas[0]
        residual = (prediction - target) / sigma
        cost, bar = weight * residual**2, 2.0 * weight * residual / sigma
        if crossed and not slope:
            z = calculation[f"z{count}"][0, output]
            cost, bar = weight / sigma**2 * (np.logaddexp(0.0, z) - target * z), weight * residual / sigma
        bars[kind][line, output] = bar
        entries[name] = [prediction, target, sigma, residual, weight, cost]
    columns = ["prediction", "target", "sigma", "residual", "weight", "loss"]
    table = _lines(columns, entries)
    total = float(table["loss"].sum())
    calculation.show(
        "Errors and the row's loss, in the network's units",
        _loss_in_words(count, names, crossed),
        _table("entries", "observed in this row", table, made=True),
        _table("loss", "of the row", _lines(["total"], {"": [total]}), made=True),
        *(calculation.make(name, bar) for name, bar in zip(names, bars, strict=True)),
    )
    return total


def _loss_in_words(count: int, names: Sequence[str], crossed: bool) -> str:
    formulas, squared = ["residual = (prediction - target) / sigma"], names
    if crossed:
        z, squared = f"z{count}", names[1:]
        formulas.append(f"loss of values = sum of weight / sigma^2 * (log(1 + exp({z})) - target * {z})")
        formulas.append(f"{names[0]} = weight * residual / sigma")
    if squared:
        formulas.append(f"loss{' of derivatives' if crossed else ''} = sum of weight * residual^2")
        formulas.append(f"{' and '.join(squared)} = 2 * weight * residual / sigma")
    return ", ".join(formulas)


def _backward(calculation: Calculation, net: Network, bends: bool, loss: str) -> list[tuple[Array, Array]]:
    """Show the backward pass; return the gradient of each layer's (W, b)."""
    gradient, count = [], len(net.layers)
    for n in range(count, 0, -1):
        own = f"E{n}" if n == count and loss == "cross-entropy" else f"S{n} * A'{n}"
        formulas = [f"z'{n} = {own}"]
        if bends:
            formulas = [f"U'{n} = S{n} * T'{n}", f"B{n} = sum(U{n} * T'{n})", f"z'{n} = {own} + C{n} * B{n}"]
        calculation.compute(f"Layer {n}: deltas", *formulas)
        by_tangents = f" + T{n - 1}.T @ U'{n}" if bends else ""
        formulas = [f"W'{n} = A{n - 1}.T @ z'{n}{by_tangents}", f"b'{n} = z'{n}"]
        if n == count and net.trend is not None:
            formulas.append(f"K'{n} = P0.T @ z'{n}" + (f" + Q0.T @ U'{n}" if bends else ""))
        calculation.compute(f"Layer {n}: gradient", *formulas)
        if n > 1:
            passed = [f"A'{n - 1} = z'{n} @ W{n}.T"] + ([f"T'{n - 1} = U'{n} @ W{n}.T"] if bends else [])
            calculation.compute(f"Layer {n - 1}: errors passed back", *passed)
        gradient.append((calculation[f"W'{n}"], calculation[f"b'{n}"][0]))
    return gradient[::-1]


def _update(
    calculation: Calculation, net: Network, after: Array, rate: float, losses: tuple[float, float]
) -> None:
    for n, (W, b) in enumerate(net.unflatten(after), 1):
        read, made = [], []
        parts = [(f"W{n}", "weights", W), (f"b{n}", "biases", b[None])]
        if n == len(net.layers) and net.trend is not None:
            parts.append((f"K{n}", "coefficients", net.coefficients(after)))
        for name, what, numbers in parts:
            slope = calculation.read(f"{name[0]}'{n}")
            before = calculation.read(name, slope.active)
            frame = pd.DataFrame(numbers, before.frame.index, before.frame.columns)
            read += [before, slope]
            made.append(Matrix(f"{name} after", f"updated {what}", frame, slope.active, made=True))
        letters = [name[0] for name, _, _ in parts]
        formulas = ", ".join(f"{x}{n} after = {x}{n} - {rate:g} * {x}'{n}" for x in letters)
        calculation.show(f"Layer {n}: updated weights", formulas, *read, *made)
    change = _lines(["total"], {"before": losses[:1], "after": losses[1:]})
    calculation.show(
        "The row's loss after the step",
        "loss of the same row with the updated weights",
        _table("loss after", "of the row", change, made=True),
    )
