"""How far predictions are from what was observed, column by column, in the data's own units."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from swarmnet.columns import derivative_name
from swarmnet.data import MixedData
from swarmnet.model import FittedModel

Array = NDArray[np.float64]


def evaluate(model: FittedModel, data: MixedData) -> pd.DataFrame:
    """Errors over the observed entries only, values and each partial apart, weighted as their rows are.

    Returns:
        A row for each column that has entries, with column, entries, rmse and max_error (both in the
        column's unit), and r2 (NaN where all targets are equal).

    Raises:
        SwarmnetError: the data's inputs or outputs are not the model's.
    """
    data = data.select(model.inputs, model.outputs)
    often = data.row_weights
    rows = []
    Y = model.predict(data.X) if data.n_values else data.Y
    J = model.jacobian(data.X) if data.n_derivatives else data.J
    for o, out in enumerate(data.outputs):
        rows.append(_errors(out, Y[:, o], data.Y[:, o], often))
        for j, into in enumerate(data.inputs):
            rows.append(_errors(derivative_name(out, into), J[:, o, j], data.J[:, o, j], often))
    return pd.DataFrame([row for row in rows if row["entries"]])


@np.errstate(over="ignore", invalid="ignore")  # of numbers near the largest double the table says inf
def _errors(column: str, predicted: Array, target: Array, often: Array) -> dict[str, object]:
    seen = ~np.isnan(target) & (often > 0)
    if not seen.any():
        return {"column": column, "entries": 0}
    target, often = target[seen], often[seen]
    error = predicted[seen] - target
    shifted = target - target[0]  # so that equal targets have a spread of exactly 0
    spread = float(often @ (shifted - np.average(shifted, weights=often)) ** 2)
    return {
        "column": column,
        "entries": int(seen.sum()),
        "rmse": float(np.sqrt(np.average(error**2, weights=often))),
        "max_error": float(np.abs(error).max()),
        "r2": 1.0 - float(often @ error**2) / spread if spread > 0 else np.nan,
    }
