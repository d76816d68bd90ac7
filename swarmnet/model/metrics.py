"""Errors of predictions against observations, column by column, in the data's units."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.data_frames import pd
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.statistics import Moments
from swarmnet.data.units import warn_of_other_units
from swarmnet.errors import SwarmnetError
from swarmnet.model.columns import columns_of
from swarmnet.model.fitted_model import FittedModel

Array = NDArray[np.float64]


def evaluate(model: FittedModel, data: Dataset) -> pd.DataFrame:
    """Return the errors over observed entries, separately for each column, with row weights.

    Returns:
        A row for each column that has entries, with column, entries, rmse and max_error (both in the
        column's unit), and r2 (NaN where all targets are equal).

    Raises:
        SwarmnetError: the data's inputs or outputs are not the model's, or `data` is not a data set.
    """
    if not is_dataset(data):
        raise SwarmnetError("data must be MixedData: read_csv reads a file, MixedData.from_frame a DataFrame")
    model, data = replace(model, warns_outside=False), data.select(model.inputs, model.outputs)
    warn_of_other_units("data", data.units, model.units)
    each = map if data.pool is None else data.pool.map
    errors = reduce(_Errors.__add__, chain.from_iterable(each(partial(_of_part, model), data.parts)))
    columns = [*columns_of(model.inputs, model.outputs), *(q.name for q in data.quantities)]
    return pd.DataFrame([errors.row(m, columns[m]) for m in np.flatnonzero(errors.targets.count).tolist()])


@dataclass(frozen=True, eq=False)
class _Errors:
    """Errors of each column; they can be added.

    The columns are an output's values, its partials, then the next output's, and last the quantities.
    """

    squares: Array  # (m,) weighted sum of squares in units of `largest`: no overflow and no underflow
    largest: Array  # (m,) the largest error
    targets: Moments  # (m,) the observed numbers

    @classmethod
    def of(cls, model: FittedModel, data: MixedData) -> _Errors:
        """Return the errors of some rows."""
        target, predicted = by_column(data.Y, data.J, data.Q), by_column(*predictions_at(model, data))
        counts = ~np.isnan(target) & (data.row_weights > 0)[:, None]
        with np.errstate(over="ignore", invalid="ignore"):  # near the largest doubles the table shows inf
            error = np.where(counts, predicted - target, 0.0)
            largest = np.abs(error).max(0)
            # Not a dot product: BLAS would divide it among its threads, which changes the last bit.
            squares = np.add.reduce(data.row_weights[:, None] * _share(error, largest) ** 2)
        return cls(squares, largest, Moments.of(target.T, data.weights))

    def __add__(self, other: _Errors) -> _Errors:
        """Return the errors of the rows of both."""
        largest = np.maximum(self.largest, other.largest)
        squares = sum(part.squares * _share(part.largest, largest) ** 2 for part in (self, other))
        return _Errors(np.asarray(squares), largest, self.targets + other.targets)

    def row(self, m: int, column: str) -> dict[str, object]:
        """Return the row of the table of a column that has entries."""
        spread = self.targets.deviation[m]
        with np.errstate(over="ignore", invalid="ignore"):
            rmse = self.largest[m] * np.sqrt(self.squares[m] / self.targets.weight[m])
            r2 = 1.0 - (rmse / spread) ** 2 if spread > 0 else np.nan
        return {
            "column": column,
            "entries": int(self.targets.count[m]),
            "rmse": float(rmse),
            "max_error": float(self.largest[m]),
            "r2": float(r2),
        }


def predictions_at(model: FittedModel, data: MixedData) -> tuple[Array, Array, Array]:
    """Return what the model predicts for Y (n, k), J (n, k, d) and Q (n, q) of the data.

    Without any observed value or partial these are not computed, and are NaN, as quantities not observed are.
    """
    Y = model.predict(data.X) if data.n_values else data.Y
    J = model.jacobian(data.X) if data.n_derivatives else data.J
    return Y, J, _quantities_at(model, data)


def by_column(Y: Array, J: Array, Q: Array) -> Array:
    """Return numbers as (n, m): each output's values and partials, then the quantities."""
    entries = np.concatenate([Y[:, :, None], J], axis=2).reshape(len(Y), -1)
    return np.concatenate([entries, Q], axis=1)


def _quantities_at(model: FittedModel, data: MixedData) -> Array:
    Q = np.full_like(data.Q, np.nan)
    for number, quantity in enumerate(data.quantities):
        rows = np.flatnonzero(np.isfinite(data.Q[:, number]))
        if len(rows):
            Q[rows, number] = model.quantity(quantity, data.X[rows])
    return Q


def _share(error: Array, largest: Array) -> Array:
    """Return errors in units of the largest of their column, which may be 0 or infinite."""
    return np.where(np.isinf(error), 1.0, error / np.where(largest > 0, largest, 1.0))


def _of_part(model: FittedModel, part: Iterable[MixedData]) -> list[_Errors]:
    return [_Errors.of(model, block) for block in part]
