"""The entries that a model misses most, of all columns together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.mixed_data import MixedData
from swarmnet.model.columns import columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import by_column, predictions_at
from swarmnet.model.training_record import number
from swarmnet.trainers.limits import require_count

Array = NDArray[np.float64]


def worst_entries(model: FittedModel, data: MixedData, n: int = 10) -> pd.DataFrame:
    """Return the n entries with the largest residuals relative to their noise, the largest first.

    Args:
        model: the model.
        data: the data to compare with; rows of weight 0 do not count.
        n: how many entries; fewer if the data have fewer.

    Returns:
        A row for each entry, with row (0 is the first row of the data), column, observed, predicted,
        error_bar (the standard deviation of the prediction, if the model has them), residual (predicted -
        observed), noise, noise_from and ratio (residual / noise). The noise is the entry's "sigma"; or the
        noise of its column that training "estimated"; or the "rmse" of the column's residuals in these data.
        It does not contain the error bar: in new data, residuals of about the error bar are usual.

    Raises:
        SwarmnetError: the data are not MixedData, or have other columns, or n is not 1 or more.
    """
    require_count("n", n, 1)
    model = replace(model, warns_outside=False)
    data = require_mixed_data(data).select(model.inputs, model.outputs)
    columns = [*data.entry_columns(), *data.quantity_columns()]
    predicted = by_column(*predictions_at(model, data)).T
    counts = data.row_weights > 0
    parts = []
    for (name, observed, sigma), answers in zip(columns, predicted, strict=True):
        rows = np.flatnonzero(np.isfinite(observed) & counts)
        if len(rows):
            found = {"row": rows, "column": name, "observed": observed[rows], "predicted": answers[rows]}
            parts.append(_with_noise(pd.DataFrame(found), model, None if sigma is None else sigma[rows]))
    table = pd.concat(parts, ignore_index=True)
    order = np.argsort(-table["ratio"].abs().to_numpy(), kind="stable")[:n]
    table = table.iloc[order].reset_index(drop=True)
    if model.spread is not None:
        table.insert(4, "error_bar", _error_bars(model, data, table))
    return table


def _with_noise(table: pd.DataFrame, model: FittedModel, sigma: Array | None) -> pd.DataFrame:
    """Return the entries of one column with their residuals, noises and ratios."""
    residual = (table["predicted"] - table["observed"]).to_numpy()
    recorded = model.training.get("noise")
    estimated = number(recorded.get(table["column"].iloc[0])) if isinstance(recorded, dict) else None
    largest = float(np.abs(residual).max()) or 1.0
    rmse = largest * float(np.sqrt(np.mean((residual / largest) ** 2)))
    otherwise, source = (estimated, "estimated") if estimated else (rmse, "rmse")
    given = np.full(len(residual), np.nan) if sigma is None else sigma
    known = np.isfinite(given)
    noise = np.where(known, given, otherwise)
    return table.assign(
        residual=residual,
        noise=noise,
        noise_from=np.where(known, "sigma", source),
        ratio=np.divide(residual, noise, out=np.zeros(len(noise)), where=noise > 0),
    )


def _error_bars(model: FittedModel, data: MixedData, table: pd.DataFrame) -> Array:
    """Return the standard deviation of each prediction in the table."""
    found = np.empty(len(table))
    named, quantities = columns_of(data.inputs, data.outputs), {q.name: q for q in data.quantities}
    for name, entries in table.groupby("column").indices.items():
        X = data.X[table["row"].to_numpy()[entries]]
        if name in quantities:
            found[entries] = model.quantity(quantities[str(name)], X, return_std=True)[1]
        else:
            column = named[str(name)]
            query = model.predict if column.input is None else model.jacobian
            found[entries] = column.of(query(X, return_std=True)[1])
    return found
