"""MixedData: points at which some values and some partial derivatives were observed.

An *entry* is one observed value or one observed partial. NaN means "not observed", and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.arrays import matched
from swarmnet.data.column_names import (
    Array,
    as_list,
    derivative_name,
    listed,
    refuse_same_names,
    sigma_name,
)
from swarmnet.data.column_roles import TargetError, is_long
from swarmnet.data.data_frames import as_pandas, is_frame, pd
from swarmnet.data.name_matching import Tables
from swarmnet.data.statistics import Statistics
from swarmnet.data.table_form import Arrays, Form, located, named, targets_of
from swarmnet.data.tables import FrameTable, Table
from swarmnet.errors import SwarmnetError


@dataclass(frozen=True, eq=False, init=False)
class MixedData:
    """Values and partial derivatives observed at n points; frozen, its arrays are read-only.

    Tables, of pandas or another library, are matched by their columns' names: X and Y are the columns that
    `inputs` and `outputs` name, or all of them; J and J_sigma have those of partials such as ``dh/dT``, in
    any order, and those that they lack were not observed. pandas' indices must be the same.

    Args:
        X: (n, d) inputs, all finite.
        Y: (n, k) values, NaN where not observed; (n,) is taken as one output.
        J: (n, k, d) partials, J[i, o, j] = dY_o/dx_j at row i, NaN where not observed;
            (n, d) is taken as one output.
        Y_sigma: like Y, the standard deviation of each value in its own unit; NaN where none is known.
            One that belongs to no observed value is dropped. None when none is left.
        J_sigma: like J, and so for the partials.
        inputs: d names; by default those of X's columns, or x1, x2...
        outputs: k names; by default those of Y's columns, or y or y1, y2...
        weights: (n,) how often each row counts: one of weight 2 is the row twice, one of weight 0 its
            absence. None when all are 1.

    Raises:
        SwarmnetError: shapes that do not fit, inf anywhere, NaN in X, a sigma that is not positive,
            a negative weight, names that cannot be told apart, no entry at all.

    Example:
        >>> data = MixedData([[0.0], [1.0]], Y=[[1.0], [np.nan]], J=[[[np.nan]], [[2.0]]])
        >>> data.n_values, data.n_derivatives
        (1, 1)
    """

    X: Array
    Y: Array
    J: Array
    Y_sigma: Array | None
    J_sigma: Array | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    weights: Array | None

    def __init__(
        self,
        X: ArrayLike,
        Y: ArrayLike | None = None,
        J: ArrayLike | None = None,
        Y_sigma: ArrayLike | None = None,
        J_sigma: ArrayLike | None = None,
        inputs: Iterable[str] | None = None,
        outputs: Iterable[str] | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        given = {"X": X, "Y": Y, "J": J, "Y_sigma": Y_sigma, "J_sigma": J_sigma, "weights": weights}
        kept = matched(Tables(given), as_list(inputs), as_list(outputs))
        for name, value in kept.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)
        refuse_same_names(self.inputs, self.outputs)
        self._refuse_bad_numbers()

    def _refuse_bad_numbers(self) -> None:
        targets = (self.Y, self.J)
        sigmas = [sigma for sigma in (self.Y_sigma, self.J_sigma) if sigma is not None]
        good = np.isfinite(self.X).all() and not any(np.isinf(array).any() for array in (*targets, *sigmas))
        if not good or any((sigma <= 0).any() for sigma in sigmas):
            self._refuse_bad_column()
        if self.n_entries == 0:
            raise SwarmnetError("there are no entries: every value and every partial is missing")
        if not (self.row_weights[self.entries_per_row > 0] > 0).any():
            raise SwarmnetError("there are no entries: every row that has one has weight 0")

    def _refuse_bad_column(self) -> None:
        columns = [(name, self.X[:, j], None) for j, name in enumerate(self.inputs)]
        for name, values, sigma in [*columns, *self.entry_columns()]:
            if name in self.inputs:
                _refuse_row(name, np.isnan(values), "is missing")
            _refuse_row(name, np.isinf(values), "is infinite")
            if sigma is not None:
                _refuse_row(sigma_name(name), (sigma <= 0) | np.isinf(sigma), "is not positive")

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.X)

    @property
    def d(self) -> int:
        """Inputs."""
        return len(self.inputs)

    @property
    def k(self) -> int:
        """Outputs."""
        return len(self.outputs)

    def entry_columns(self) -> Iterator[tuple[str, Array, Array | None]]:
        """Each value's and each partial's name, (n,) numbers and (n,) sigmas, an output after another."""
        for o, out in enumerate(self.outputs):
            yield out, self.Y[:, o], None if self.Y_sigma is None else self.Y_sigma[:, o]
            for j, into in enumerate(self.inputs):
                sigma = None if self.J_sigma is None else self.J_sigma[:, o, j]
                yield derivative_name(out, into), self.J[:, o, j], sigma

    @cached_property
    def n_values(self) -> int:
        """Observed values."""
        return int(np.count_nonzero(np.isfinite(self.Y)))

    @cached_property
    def n_derivatives(self) -> int:
        """Observed partial derivatives."""
        return int(np.count_nonzero(np.isfinite(self.J)))

    @property
    def n_entries(self) -> int:
        """Observed values and partials together."""
        return self.n_values + self.n_derivatives

    @cached_property
    def entries_per_row(self) -> NDArray[np.int64]:
        """(n,) number of entries in each row."""
        values: NDArray[np.int64] = np.isfinite(self.Y).sum(axis=1, dtype=np.int64)
        partials: NDArray[np.int64] = np.isfinite(self.J).sum(axis=(1, 2), dtype=np.int64)
        return values + partials

    @property
    def row_weights(self) -> Array:
        """(n,) how often each row counts."""
        return np.ones(self.n) if self.weights is None else self.weights

    @property
    def total_weights(self) -> tuple[float, float]:
        """The weights of all values together, and of all partials."""
        if self.weights is None:
            return self.n_values, self.n_derivatives
        values, partials = (~np.isnan(self.Y)).sum(1), (~np.isnan(self.J)).sum((1, 2))
        # Not dot products: BLAS would share long ones out over its threads, which changes the last bit.
        return float(np.add.reduce(self.weights * values)), float(np.add.reduce(self.weights * partials))

    @cached_property
    def statistics(self) -> Statistics:
        """Means, deviations and ranges of all columns; rows of weight 0 are as if they were not there."""
        return Statistics.of(self.X, self.Y, self.J, self.weights)

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return (
            f"MixedData({self.n} rows, {', '.join(self.inputs)} -> {', '.join(self.outputs)}, "
            f"{self.n_values} values, {self.n_derivatives} partials)"
        )

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> MixedData:
        """The given rows, as MixedData."""
        return replace(
            self,
            X=self.X[rows],
            Y=self.Y[rows],
            J=self.J[rows],
            Y_sigma=None if self.Y_sigma is None else self.Y_sigma[rows],
            J_sigma=None if self.J_sigma is None else self.J_sigma[rows],
            weights=None if self.weights is None else self.weights[rows],
        )

    def counted(self) -> MixedData:
        """The same data without its rows of weight 0, which are as if they were not there."""
        counts = self.row_weights > 0
        return self if counts.all() else self.take(np.flatnonzero(counts))

    def select(self, inputs: Sequence[str], outputs: Sequence[str]) -> MixedData:
        """The same data with its columns in the order of these names.

        Raises:
            SwarmnetError: they are not the names of this data's inputs and outputs.
        """
        for what, own, wanted in (("inputs", self.inputs, inputs), ("outputs", self.outputs, outputs)):
            if sorted(own) != sorted(wanted):
                raise SwarmnetError(f"the data's {what} are {listed(own)}, where {listed(wanted)} are needed")
        if (self.inputs, self.outputs) == (tuple(inputs), tuple(outputs)):
            return self
        j = [self.inputs.index(name) for name in inputs]
        o = [self.outputs.index(name) for name in outputs]
        grid = np.ix_(range(self.n), o, j)
        return MixedData(
            self.X[:, j],
            self.Y[:, o],
            self.J[grid],
            None if self.Y_sigma is None else self.Y_sigma[:, o],
            None if self.J_sigma is None else self.J_sigma[grid],
            inputs,
            outputs,
            self.weights,
        )

    def values_only(self) -> MixedData:
        """The same rows' values without their partials; rows without a value are left out.

        Raises:
            SwarmnetError: no value was observed.
        """
        if self.n_values == 0:
            raise SwarmnetError("there are no values: this data holds derivatives only")
        kept = self.take(np.flatnonzero(np.isfinite(self.Y).any(axis=1)))
        return replace(kept, J=np.full_like(kept.J, np.nan), J_sigma=None)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        inputs: Iterable[str] | None = None,
        outputs: Iterable[str] | None = None,
    ) -> MixedData:
        """Read a wide or a long table: see `swarmnet.read_csv` for what its columns mean.

        It may be a pandas DataFrame, or a table of pyarrow, Polars, Dask and others.

        Raises:
            SwarmnetError: it is no table, a column's role is undecided, or a cell is not a number.
        """
        table = as_pandas("frame", frame)
        if not is_frame(table):
            raise SwarmnetError(
                f"from_frame takes a DataFrame or another table, not {type(frame).__name__!r}: "
                "MixedData(X, Y, J) takes arrays"
            )
        return from_table(FrameTable(table), inputs, outputs)

    def to_frame(self) -> pd.DataFrame:
        """The wide table, with a column for whatever was observed at least once.

        An output without any entry keeps its empty column, so that reading the table finds it again.
        Weights have no column.
        """
        columns = {name: self.X[:, j] for j, name in enumerate(self.inputs)}
        sigmas: dict[str, Array] = {}
        silent = {
            out
            for o, out in enumerate(self.outputs)
            if not (np.isfinite(self.Y[:, o]).any() or np.isfinite(self.J[:, o]).any())
        }
        for name, values, sigma in self.entry_columns():
            if name in silent or np.isfinite(values).any():
                columns[name] = values
            if sigma is not None and np.isfinite(sigma).any():
                sigmas[sigma_name(name)] = sigma
        return pd.DataFrame(columns | sigmas)


def along_rows(weights: Array, ndim: int) -> Array:
    """Weights (n,) of rows with as many axes as an array of theirs, to broadcast against it."""
    return weights.reshape(-1, *[1] * (ndim - 1))


def from_table(
    table: Table,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
) -> MixedData:
    """MixedData from a wide or a long table, a row for each of its rows and in its order.

    Raises:
        SwarmnetError: it says in which table and, where there is one, in which row and column.
    """
    targets = targets_of(table) if is_long(table.columns, inputs, outputs) else None
    try:
        with named(table):
            form = Form.of(table.columns, targets, inputs, outputs)
    except TargetError as error:
        raise located(error, [table]) from None
    return from_arrays(form.read(table), table)


def from_arrays(arrays: Arrays, table: Table) -> MixedData:
    """MixedData of the arrays that a table's form gave; errors say which table it is."""
    with named(table):
        return MixedData(**arrays.arguments())


def _refuse_row(name: str, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise SwarmnetError(f"{name!r} {what} in row {int(np.argmax(bad))}: correct or remove it")
