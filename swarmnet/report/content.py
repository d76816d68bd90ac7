"""The JSON content of a report page: models to evaluate, observations, errors and losses to draw."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.comparison import VALUES_ONLY, Comparison, quartiles
from swarmnet.data.data_frames import pd
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.units import unit_of
from swarmnet.errors import SwarmnetError
from swarmnet.model.columns import Column, columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.model_file import network_record, scaling_record
from swarmnet.model.training_record import input_range
from swarmnet.network.network import Network
from swarmnet.report.formulas import columns_of_page, formulas_of

Array = NDArray[np.float64]

MOST_WEIGHTS = 1200  # maximum for error bars, which then take 4 MB, and 0.1 s for a curve
MOST_POINTS = 1000  # maximum number of points drawn for a column
MOST_COLUMNS = 24  # maximum number of columns with figures of their errors
_MOST_PANELS = 24  # maximum number of panels shown at first
_MOST_AGAINST = 48  # maximum number of pictures of residuals against inputs
_CURVE = 400  # points of a loss curve


def page_content(
    models: Mapping[str, FittedModel], observed: MixedData | None, tested: MixedData | None
) -> dict[str, Any]:
    """Return the content except for the losses; the models have the same inputs and outputs.

    Args:
        models: by their names on the page, the one shown first first.
        observed: data drawn as dots with the curves.
        tested: data drawn against the models' predictions.
    """
    model = next(iter(models.values()))
    columns = list(columns_of(model.inputs, model.outputs).values())
    formulas = formulas_of(model)
    return {
        "inputs": list(model.inputs),
        "units": _units([*model.inputs, *columns_of(model.inputs, model.outputs), *model.units], model),
        "ranges": _ranges(model),
        "quantities": [*columns_of_page(model, columns), *formulas],
        "shown": _shown(columns, len(formulas), len(model.inputs)),
        "models": [_record(name, each) for name, each in models.items()],
        "observed": None if observed is None else _observed(observed),
        "errors": [] if tested is None else _errors(list(models.values()), tested),
        "losses": [],
    }


def _record(name: str, model: FittedModel) -> dict[str, Any]:
    for act in model.net.activations:
        if not act.built_in:
            raise SwarmnetError(
                f"no report of a model with your own activation {act.name!r}: a page lacks it"
            )
    reason = ""
    if model.spread is None:
        reason = "This model has no error bars: only hybrid and lm find what they need."
    elif model.net.size > MOST_WEIGHTS:
        reason = (
            f"The error bars of {model.net.size} weights are too much for a page, which takes {MOST_WEIGHTS} "
            "at most: model.predict(X, return_std=True) has them."
        )
    return {
        "name": name,
        **model_content(model),
        "spread": None if model.spread is None or reason else _encoded(model.spread),
        "others": [_network(other.net, other.theta) | {"share": other.share} for other in model.others],
        "no_bars": reason,
    }


def model_content(model: FittedModel) -> dict[str, Any]:
    """Return a model's record for its values and derivatives, without error bars."""
    return {**_network(model.net, model.theta), "scaling": scaling_record(model.scaling)}


def _network(net: Network, theta: Array) -> dict[str, Any]:
    return network_content(net) | {"theta": _encoded(theta)}


def network_content(net: Network) -> dict[str, Any]:
    """Return a network's record for the page, with the steps by which its trend is computed."""
    record = network_record(net)
    if net.trend is None:
        return record
    steps = net.trend.recurrence
    own = {name: getattr(steps, name).tolist() for name in ("rows", "factors", "terms")}
    return record | {"trend": own | {name: record["trend"][name] for name in ("centre", "half")}}


def _encoded(numbers: ArrayLike) -> str:
    return b64encode(np.ascontiguousarray(numbers, dtype="<f8").tobytes()).decode()


def _shown(columns: Sequence[Column], formulas: int, d: int) -> list[int]:
    """Return all, or all but the formulas, or the values, or the first: as many as fit the first panels."""
    values = [number for number, column in enumerate(columns) if column.input is None]
    for choice in (list(range(len(columns) + formulas)), list(range(len(columns))), values):
        if len(choice) * d <= _MOST_PANELS:
            return choice
    return values[:1]


def _units(names: Sequence[str], model: FittedModel) -> dict[str, str]:
    return {name: unit for name in names if (unit := unit_of(name, model.units))} if model.units else {}


def _ranges(model: FittedModel) -> list[list[float]]:
    """Return [low, high] of each input: the training range or, if unknown, offset +- 2 scales."""
    ranges = []
    for name, usual in zip(model.inputs, model.scaling.usual_range.T.tolist(), strict=True):
        low, high = input_range(model.training, name) or usual
        if not low < high:  # a constant input
            room = 0.05 * abs(low) or 1.0
            low, high = low - room, high + room
        ranges.append([low, high])
    return ranges


def _observed(data: MixedData) -> dict[str, Any]:
    rows = _sample(np.flatnonzero(data.row_weights > 0))
    observed = (*data.entry_columns(), *data.quantity_columns())
    columns = {name: _numbers(numbers[rows]) for name, numbers, _ in observed}
    return {"X": data.X[rows].tolist(), "columns": columns}


def _errors(models: Sequence[FittedModel], data: MixedData) -> list[dict[str, Any]]:
    """Return each column's observations and predictions of each model, in the data's units.

    `X` has the drawn rows' numbers of each input (d, rows), for the first columns, up to `_MOST_AGAINST`
    inputs in all.
    """
    models = [replace(model, warns_outside=False) for model in models]
    Y = [model.predict(data.X) for model in models]
    J = [model.jacobian(data.X) for model in models]
    errors: list[dict[str, Any]] = []
    for column in columns_of(data.inputs, data.outputs).values():
        actual = column.observed(data)
        entries = np.flatnonzero(np.isfinite(actual) & (data.row_weights > 0))
        if not entries.size or len(errors) == MOST_COLUMNS:
            continue
        rows = _sample(entries)
        drawn = "" if len(rows) == len(entries) else f"{len(rows)} of {len(entries)} entries, drawn at random"
        answers = Y if column.input is None else J
        errors.append(
            {
                "name": column.name,
                "note": drawn,
                "rows": rows.tolist(),
                "actual": _numbers(actual[rows]),
                "predicted": [_numbers(column.of(answer[rows])) for answer in answers],
                "X": data.X[rows].T.tolist() if (len(errors) + 1) * data.d <= _MOST_AGAINST else [],
            }
        )
    return errors


def _sample(rows: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return the rows, or a random selection of them in their order, the same in each call."""
    if len(rows) <= MOST_POINTS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, MOST_POINTS, replace=False))


def _numbers(numbers: Array) -> list[float | None]:
    """Return numbers with every digit, because the page takes differences; None if not finite."""
    return [x if np.isfinite(x) else None for x in numbers.tolist()]


def _short(numbers: Array) -> list[float | None]:
    """Return numbers with nine digits, enough for a loss curve; None if not finite."""
    return [float(f"{x:.9g}") if np.isfinite(x) else None for x in numbers.tolist()]


def model_losses(model: FittedModel) -> list[dict[str, Any]]:
    """Return the training and, if there is one, the validation loss against time and evaluations."""
    charts = []
    history = model.history
    for against, label in _AGAINST.items():
        curves = []
        for column, name in (("loss", "training loss"), ("validation_loss", "validation loss")):
            if column not in history or against not in history:
                continue
            x, loss = _positive(history, against, column)
            if len(x) > _CURVE:
                kept = np.unique(np.linspace(0, len(x) - 1, _CURVE).astype(int))
                x, loss = x[kept], loss[kept]
            if len(x) > 1:
                curves.append({"name": name, "x": _short(x), "median": _short(loss)})
        if curves:
            charts.append({"label": label, "curves": curves})
    return charts


_AGAINST = {"seconds": "seconds", "evaluations": "evaluations of the loss"}


def comparison_losses(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the lowest loss so far against time and evaluations: each trainer's median and quartiles.

    The control on values alone is left out, because its loss is over other entries.
    """
    charts = []
    known = comparison.curves[~comparison.curves["trainer"].str.endswith(VALUES_ONLY)]
    for against, label in _AGAINST.items():
        trainers = known.groupby("trainer", sort=False)
        curves = [curve for name, rows in trainers if (curve := _loss_curve(str(name), rows, against))]
        if curves:
            charts.append({"label": label, "curves": curves})
    return charts


def _loss_curve(name: str, rows: pd.DataFrame, against: str) -> dict[str, Any] | None:
    """Return a trainer's median and quartiles; None if no run has a finite loss."""
    steps = [_positive(run, against, "best_loss") for _, run in rows.groupby("repeat")]
    runs = [(x, best) for x, best in steps if len(x)]
    if not runs:
        return None
    x, (low, median, high) = quartiles(runs)
    curve = {"name": name, "x": _short(x), "median": _short(median)}
    return curve | ({"low": _short(low), "high": _short(high)} if len(runs) > 1 else {})


def _positive(history: pd.DataFrame, against: str, column: str) -> tuple[Array, Array]:
    """Return two columns where both are positive, as for logarithmic axes."""
    x, loss = (history[name].to_numpy(np.float64) for name in (against, column))
    kept = np.isfinite(loss) & (loss > 0) & (x > 0)
    return x[kept], loss[kept]
