"""MixedData: points at which some values and some partial derivatives were observed.

An *entry* is one observed value, partial or quantity. NaN always means "not observed".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.arrays import matched, most_rows, of_quantities, refuse_row, rms_of_sigmas
from swarmnet.data.column_names import Array, as_list, derivative_name, listed, refuse_same_names, sigma_name
from swarmnet.data.column_roles import TargetError, is_long
from swarmnet.data.concatenation import concatenated
from swarmnet.data.data_frames import as_pandas, is_frame, pd
from swarmnet.data.definitions import Define
from swarmnet.data.name_matching import Tables
from swarmnet.data.quantities import Quantity
from swarmnet.data.statistics import Statistics
from swarmnet.data.table_form import Arrays, Form, located, named, targets_of
from swarmnet.data.table_views import View, asked_names, viewed
from swarmnet.data.tables import FrameTable, Table
from swarmnet.data.units import refuse_bad_units, units_of_roles
from swarmnet.errors import SwarmnetError
from swarmnet.threads import Pool


@dataclass(frozen=True, eq=False, init=False)
class MixedData:
    """Values and partial derivatives observed at n points. It is frozen, and its arrays are read-only.

    Tables, of pandas or another library, are matched by column name. X and Y are the columns named in
    `inputs` and `outputs`, or all columns. The columns of J and J_sigma have the names of partials, such as
    ``dh/dT``, in any order; a missing column means not observed. Indices of pandas tables must be equal.

    Args:
        X: (n, d) inputs, all finite.
        Y: (n, k) values, NaN where not observed; (n,) is read as one output.
        J: (n, k, d) partials, J[i, o, j] = dY_o/dx_j at row i, NaN where not observed; (n, d) is read as one
            output.
        Y_sigma: like Y, the standard deviation of each value in the value's unit; NaN where unknown. It is
            dropped where no value was observed, and None if none is left.
        J_sigma: like J, the standard deviation of each partial; the same rules apply.
        inputs: d names; by default those of X's columns, or x1, x2...
        outputs: k names; by default those of Y's columns, or y or y1, y2...
        weights: (n,) row weights. Weight 2 counts as the row twice, weight 0 as a row that is not there.
            None if all are 1.
        Q, Q_sigma: (n, q) quantities, NaN where not observed, and their standard deviations.
        quantities: q formulas; `from_frame` and the readers make them.
        define: the formulas of column names, as they were given; for the record.
        units: of columns by name, as {"T": "K"}, to be shown, not converted; the readers find them.

    Raises:
        SwarmnetError: shapes that do not fit, inf anywhere, NaN in X, a sigma that is not positive,
            a negative weight, ambiguous names, a unit of no column, or no entry at all.

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
    Q: Array
    Q_sigma: Array | None
    quantities: tuple[Quantity, ...]
    define: Mapping[str, str]
    units: Mapping[str, str]
    pool = None  # reads the rows of data in files

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
        Q: ArrayLike | None = None,
        Q_sigma: ArrayLike | None = None,
        quantities: Sequence[Quantity] = (),
        define: Define | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        given = {"X": X, "Y": Y, "J": J, "Y_sigma": Y_sigma, "J_sigma": J_sigma, "weights": weights}
        kept = matched(Tables(given), as_list(inputs), as_list(outputs))
        kept |= of_quantities(len(kept["X"]), Q, Q_sigma, quantities)
        kept |= {"define": dict(define or {}), "units": dict(units or {})}
        for name, value in kept.items():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)
            object.__setattr__(self, name, value)
        refuse_same_names(self.inputs, self.outputs)
        refuse_bad_units(self.units, self.inputs, self.outputs, [q.name for q in self.quantities])
        self._refuse_bad_numbers()

    def _refuse_bad_numbers(self) -> None:
        sigmas = [sigma for sigma in (self.Y_sigma, self.J_sigma, self.Q_sigma) if sigma is not None]
        rest = (self.Y, self.J, self.Q, *sigmas)
        good = np.isfinite(self.X).all() and not any(np.isinf(array).any() for array in rest)
        if not good or any((sigma <= 0).any() for sigma in sigmas):
            self._refuse_bad_column()
        if self.n_entries == 0:
            raise SwarmnetError("there are no entries: every value and every partial is missing")
        if not (self.row_weights[self.entries_per_row > 0] > 0).any():
            raise SwarmnetError("there are no entries: every row that has one has weight 0")

    def _refuse_bad_column(self) -> None:
        columns = [(name, self.X[:, j], None) for j, name in enumerate(self.inputs)]
        for name, values, sigma in [*columns, *self.entry_columns(), *self.quantity_columns()]:
            if name in self.inputs:
                refuse_row(name, np.isnan(values), "is missing")
            refuse_row(name, np.isinf(values), "is infinite")
            if sigma is not None:
                refuse_row(sigma_name(name), (sigma <= 0) | np.isinf(sigma), "is not positive")

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.X)

    @property
    def d(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self.outputs)

    def entry_columns(self) -> Iterator[tuple[str, Array, Array | None]]:
        """Yield (name, numbers (n,), sigmas (n,) or None) of each output's value, then of its partials."""
        for o, out in enumerate(self.outputs):
            yield out, self.Y[:, o], None if self.Y_sigma is None else self.Y_sigma[:, o]
            for j, into in enumerate(self.inputs):
                sigma = None if self.J_sigma is None else self.J_sigma[:, o, j]
                yield derivative_name(out, into), self.J[:, o, j], sigma

    def quantity_columns(self) -> Iterator[tuple[str, Array, Array | None]]:
        """Yield the same of each quantity."""
        for q, quantity in enumerate(self.quantities):
            yield quantity.name, self.Q[:, q], None if self.Q_sigma is None else self.Q_sigma[:, q]

    @cached_property
    def n_values(self) -> int:
        """Number of observed values."""
        return int(np.count_nonzero(np.isfinite(self.Y)))

    @cached_property
    def n_derivatives(self) -> int:
        """Number of observed partial derivatives."""
        return int(np.count_nonzero(np.isfinite(self.J)))

    @cached_property
    def n_quantities(self) -> int:
        """Number of observed quantities."""
        return int(np.count_nonzero(np.isfinite(self.Q)))

    @property
    def n_entries(self) -> int:
        """Number of observed values, partials and quantities together."""
        return self.n_values + self.n_derivatives + self.n_quantities

    @cached_property
    def entries_per_row(self) -> NDArray[np.int64]:
        """(n,) number of entries in each row."""
        entries: NDArray[np.int64] = np.isfinite(self.Y).sum(1) + np.isfinite(self.J).sum((1, 2))
        return np.asarray(entries + np.isfinite(self.Q).sum(1))

    @property
    def row_weights(self) -> Array:
        """(n,) weight of each row."""
        return np.ones(self.n) if self.weights is None else self.weights

    @property
    def total_weights(self) -> tuple[float, float]:
        """The total weights of all values, and of all partials and quantities."""
        if self.weights is None:
            return self.n_values, self.n_entries - self.n_values
        values = (~np.isnan(self.Y)).sum(1)
        partials = self.entries_per_row - values
        # Not dot products: BLAS would divide long ones among its threads, which changes the last bit.
        return float(np.add.reduce(self.weights * values)), float(np.add.reduce(self.weights * partials))

    @cached_property
    def statistics(self) -> Statistics:
        """Means, deviations and ranges of all columns, without rows of weight 0."""
        return Statistics.of(self.X, self.Y, self.J, self.weights, self.Q)

    @property
    def sigma_rms(self) -> dict[str, float]:
        """The root mean square of each column's measured sigmas, if it has any."""
        return rms_of_sigmas((*self.entry_columns(), *self.quantity_columns()))

    @property
    def content(self) -> list[Any]:
        """All that tells these data from others."""
        arrays = [self.X, self.Y, self.J, self.Y_sigma, self.J_sigma, self.weights]
        formulas = [repr(quantity.tree) for quantity in self.quantities]
        return [*arrays, self.inputs, self.outputs, self.Q, self.Q_sigma, formulas]

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(part.nbytes for part in self.content if isinstance(part, np.ndarray))

    @property
    def in_memory(self) -> MixedData:
        """These data; None for data in files."""
        return self

    @property
    def parts(self) -> list[list[MixedData]]:
        """The rows as one part of one block; data in files have several of both."""
        return [[self]]

    def __len__(self) -> int:
        return self.n

    def __repr__(self) -> str:
        return (
            f"MixedData({self.n} rows, {', '.join(self.inputs)} -> {', '.join(self.outputs)}, "
            f"{self.n_values} values, {self.n_derivatives} partials"
            + (f", {self.n_quantities} quantities)" if self.quantities else ")")
        )

    def take(self, rows: NDArray[Any] | Sequence[int] | slice) -> MixedData:
        """Return the given rows."""
        names = ("X", "Y", "J", "Y_sigma", "J_sigma", "weights", "Q", "Q_sigma")
        arrays = ((name, getattr(self, name)) for name in names)
        kept: dict[str, Any] = {name: None if array is None else array[rows] for name, array in arrays}
        return replace(self, **kept)

    def counted(self) -> MixedData:
        """Return the data without rows of weight 0."""
        counts = self.row_weights > 0
        return self if counts.all() else self.take(np.flatnonzero(counts))

    def read_by(self, pool: Pool) -> MixedData:
        """Return these data, which nothing has to read."""
        return self

    def block_rows(self, most: int) -> int:
        """Return the number of rows in a block of `shares`, up to `most`."""
        return most_rows(self.d, self.k, most)

    def shares(self, count: int, most: int) -> list[list[MixedData]]:
        """Divide the rows in order into up to `count` shares, each of blocks of up to `most` rows."""
        size = self.block_rows(most)
        blocks = [self.take(slice(first, first + size)) for first in range(0, self.n, size)]
        count = min(count, len(blocks))
        ends = [len(blocks) * number // count for number in range(count + 1)]
        return [blocks[a:b] for a, b in pairwise(ends)]

    def select(self, inputs: Sequence[str], outputs: Sequence[str]) -> MixedData:
        """Return the data with its columns in the order of these names.

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
        return replace(
            self,
            X=self.X[:, j],
            Y=self.Y[:, o],
            J=self.J[grid],
            Y_sigma=None if self.Y_sigma is None else self.Y_sigma[:, o],
            J_sigma=None if self.J_sigma is None else self.J_sigma[grid],
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            quantities=tuple(q.reordered(inputs, outputs) for q in self.quantities),
        )

    @classmethod
    def concat(cls, parts: Iterable[MixedData]) -> MixedData:
        """Return the rows of all parts; inputs and outputs, matched by name, are in the order of the first.

        Raises:
            SwarmnetError: there is no part, names differ, or a name has another formula in another part.
        """
        given = list(parts)
        if not given or not all(isinstance(part, MixedData) for part in given):
            raise SwarmnetError("concat takes a list of MixedData, with at least one")
        selected = [part.select(given[0].inputs, given[0].outputs) for part in given]
        return cls(**concatenated([{f.name: getattr(p, f.name) for f in fields(p)} for p in selected]))

    def values_only(self) -> MixedData:
        """Return the values without the partials, and without the rows that have no value.

        Raises:
            SwarmnetError: no value was observed.
        """
        if self.n_values == 0:
            raise SwarmnetError("there are no values: this data holds derivatives only")
        kept = self.take(np.flatnonzero(np.isfinite(self.Y).any(axis=1)))
        none: dict[str, Any] = {name: np.full_like(getattr(kept, name), np.nan) for name in ("J", "Q")}
        return replace(kept, **none, J_sigma=None, Q_sigma=None)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        inputs: Iterable[str] | None = None,
        outputs: Iterable[str] | None = None,
        *,
        define: Define | None = None,
    ) -> MixedData:
        """Read a wide or a long table; `swarmnet.read_csv` describes the meaning of its columns.

        Args:
            frame: a pandas DataFrame, or a table of pyarrow, Polars, Dask and others.
            inputs: as in `read_csv`.
            outputs: as in `read_csv`.
            define: as in `read_csv`.

        Raises:
            SwarmnetError: it is no table, a column's role is undecided, a formula is not valid, or a cell is
                not a number.
        """
        table = as_pandas("frame", frame)
        if not is_frame(table):
            raise SwarmnetError(
                f"from_frame takes a DataFrame or another table, not {type(frame).__name__!r}: "
                "MixedData(X, Y, J) takes arrays"
            )
        return from_table(FrameTable(table), inputs, outputs, define)

    def to_frame(self) -> pd.DataFrame:
        """Return the wide table, with a column for each quantity that was observed at least once.

        An output without any entry keeps an empty column, so that reading the table gives the same outputs.
        Weights have no column.
        """
        columns = {name: self.X[:, j] for j, name in enumerate(self.inputs)}
        sigmas: dict[str, Array] = {}
        silent = {
            out
            for o, out in enumerate(self.outputs)
            if not (np.isfinite(self.Y[:, o]).any() or np.isfinite(self.J[:, o]).any())
        }
        for name, values, sigma in (*self.entry_columns(), *self.quantity_columns()):
            if name in silent or np.isfinite(values).any():
                columns[name] = values
            if sigma is not None and np.isfinite(sigma).any():
                sigmas[sigma_name(name)] = sigma
        return pd.DataFrame(columns | sigmas)


def from_table(
    table: Table,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    define: Define | None = None,
    categories: Iterable[str] = (),
) -> MixedData:
    """Return MixedData with the rows of a table; texts of `categories` become columns of 0 and 1.

    Raises:
        SwarmnetError: the message says in which table and, if known, in which row and column.
    """
    with named(table):
        view = viewed(table, asked_names(inputs, outputs, define, table.columns), categories)
    roles = view.view.expanded(inputs), view.view.expanded(outputs)
    targets = targets_of(view) if is_long(view.columns, *roles) else None
    try:
        with named(table):
            form = Form.of(view.columns, targets, *roles, define)
    except TargetError as error:
        raise located(error, [view]) from None
    return from_arrays(form.read(view), view)


def from_arrays(arrays: Arrays, view: View) -> MixedData:
    """Return MixedData from a table's arrays; errors name the table."""
    with named(view):
        return MixedData(**arrays.arguments(), units=units_of_roles(view.units, arrays.roles))
