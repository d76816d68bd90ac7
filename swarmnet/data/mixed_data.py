"""MixedData: points at which some values and some partial derivatives were observed.

An *entry* is one observed value or one observed partial. NaN means "not observed", and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.column_names import (
    Array,
    Entry,
    FrameTable,
    Roles,
    Table,
    TargetError,
    as_list,
    derivative_name,
    is_long,
    listed,
    long_roles_of,
    refuse_dangerous_name,
    refuse_same_names,
    roles_of,
    sigma_name,
)
from swarmnet.data.data_frames import as_pandas, is_frame, pd
from swarmnet.data.name_matching import Tables
from swarmnet.data.statistics import Statistics
from swarmnet.errors import SwarmnetError

# What a small file may ask for by its columns' names alone: so many partials for each row, and in all so many
# numbers, or so many for each cell of the table
_MOST_PARTIALS, _MOST_NUMBERS, _MOST_PER_CELL = 2**18, 2**25, 32


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
        kept = _matched(Tables(given), as_list(inputs), as_list(outputs))
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
        with _named(table):
            form = Form.of(table.columns, targets, inputs, outputs)
    except TargetError as error:
        raise located(error, [table]) from None
    return form.read(table)


@dataclass(frozen=True)
class Form:
    """What the columns of a table mean, or of several tables that make one."""

    roles: Roles
    is_long: bool
    has_sigma: bool  # of a long table

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        targets: Sequence[str] | None,
        inputs: Iterable[str] | None,
        outputs: Iterable[str] | None,
    ) -> Form:
        """Of a wide table's columns, or of a long one's with its distinct `targets`.

        Raises:
            SwarmnetError: a column's or a target's role is undecided.
        """
        if targets is None:
            return cls(roles_of(columns, inputs, outputs), False, False)
        roles = long_roles_of(columns, targets, inputs, outputs)
        return cls(roles, True, "sigma" in columns and "sigma" not in roles.inputs)

    @property
    def columns(self) -> list[str]:
        """Those that are read."""
        if self.is_long:
            return [*self.roles.inputs, "target", "value", *(["sigma"] if self.has_sigma else [])]
        return [*self.roles.inputs, *self.roles.entries, *self.roles.sigmas]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's numbers."""
        k, d = len(self.roles.outputs), len(self.roles.inputs)
        targets = k * (1 + d)
        return 8 * (d + (2 if self.roles.sigmas or self.has_sigma else 1) * targets)

    def read(self, table: Table) -> MixedData:
        """A row for each of the table's, and in its order.

        Raises:
            SwarmnetError: it says in which table and, where there is one, in which row and column.
        """
        X, arrays = self._filled(table)
        with _named(table):
            return arrays.data(X)

    def read_part(self, table: Table) -> MixedData | None:
        """The same of one table of several, of which not every one must hold entries; None if it does not.

        Raises:
            SwarmnetError: see `read`.
        """
        X, arrays = self._filled(table)
        with _named(table):
            return arrays.data(X) if arrays.any() else None

    def _filled(self, table: Table) -> tuple[Array, _Arrays]:
        arrays = _Arrays(table, self.roles)
        return (self._read_long if self.is_long else self._read_wide)(table, arrays), arrays

    def _read_wide(self, table: Table, arrays: _Arrays) -> Array:
        cells = _cells(table, self.columns)
        X = _points(table, self.roles.inputs, cells)
        for name, entry in self.roles.entries.items():
            arrays.targets(entry)[:] = cells[name]
        for name, entry in self.roles.sigmas.items():
            observed = np.isfinite(arrays.targets(entry))
            arrays.sigmas(entry)[:] = _sigmas(table, name, cells[name], observed)
        return X

    def _read_long(self, table: Table, arrays: _Arrays) -> Array:
        codes, targets = table.texts("target")
        cells = _cells(table, [column for column in self.columns if column != "target"])
        X, value = _points(table, self.roles.inputs, cells), cells["value"]
        _refuse_cell(table, "value", np.isnan(value), "is empty: remove the row if nothing was observed")
        sigma = _sigmas(table, "sigma", cells["sigma"], np.isfinite(value)) if self.has_sigma else None
        for code, target in enumerate(targets):
            rows = codes == code
            arrays.targets(self.roles.entries[target])[rows] = value[rows]
            if sigma is not None:
                arrays.sigmas(self.roles.entries[target])[rows] = sigma[rows]
        return X


def targets_of(table: Table) -> list[str]:
    """The distinct targets of a long table.

    Raises:
        SwarmnetError: one is empty.
    """
    codes, targets = table.texts("target")
    _refuse_cell(table, "target", codes < 0, "is empty: name an output or a derivative")
    return targets


def located(error: TargetError, tables: Iterable[Table]) -> SwarmnetError:
    """What is wrong with a target, and where that stands first."""
    for table in tables:
        codes, targets = table.texts("target")
        if error.target in targets:
            row = int(np.argmax(codes == targets.index(error.target)))
            return SwarmnetError(f"{table.where(row, 'target')}: {error}")
    return error


def points_of(table: Table, inputs: Sequence[str]) -> Array:
    """(n, d) the points of a table that has a column for each of the `inputs`.

    Raises:
        SwarmnetError: a cell is empty, not a number, or infinite.
    """
    return _points(table, inputs, _cells(table, inputs))


class _Arrays:
    """The targets and their sigmas while a table's columns are put in place."""

    def __init__(self, table: Table, roles: Roles) -> None:
        n, k, d = len(table), len(roles.outputs), len(roles.inputs)
        if k * d > _MOST_PARTIALS or n * k * d > max(_MOST_NUMBERS, _MOST_PER_CELL * n * len(table.columns)):
            raise SwarmnetError(
                f"{table.name}: {d} inputs and {k} outputs at {n} rows have room for "
                f"{n * k * d:.1e} partials: choose fewer with inputs= and outputs= (--inputs, --outputs)"
            )
        self._roles = roles
        self._Y, self._J = np.full((n, k), np.nan), np.full((n, k, d), np.nan)
        self._Y_sigma: Array | None = None
        self._J_sigma: Array | None = None

    def targets(self, entry: Entry) -> Array:
        """(n,) a view of the entry's column."""
        output, input = entry
        return self._Y[:, output] if input is None else self._J[:, output, input]

    def sigmas(self, entry: Entry) -> Array:
        """(n,) a view of the entry's standard deviations."""
        output, input = entry
        if input is None:
            self._Y_sigma = np.full_like(self._Y, np.nan) if self._Y_sigma is None else self._Y_sigma
            return self._Y_sigma[:, output]
        self._J_sigma = np.full_like(self._J, np.nan) if self._J_sigma is None else self._J_sigma
        return self._J_sigma[:, output, input]

    def any(self) -> bool:
        """Whether there is an entry."""
        return bool((~np.isnan(self._Y)).any() or (~np.isnan(self._J)).any())

    def data(self, X: Array) -> MixedData:
        roles = self._roles
        return MixedData(X, self._Y, self._J, self._Y_sigma, self._J_sigma, roles.inputs, roles.outputs)


@contextmanager
def _named(table: Table) -> Iterator[None]:
    """Say which table it is that an error is about; a TargetError's row says so by itself."""
    try:
        yield
    except TargetError:
        raise
    except SwarmnetError as error:
        raise SwarmnetError(f"{table.name}: {error}") from None


def _cells(table: Table, columns: Sequence[str]) -> dict[str, Array]:
    cells = table.numbers(columns)
    for column, numbers in cells.items():
        _refuse_cell(table, column, np.isinf(numbers), "is infinite or too large for a double")
    return cells


def _points(table: Table, inputs: Sequence[str], cells: dict[str, Array]) -> Array:
    for column in inputs:
        _refuse_cell(table, column, np.isnan(cells[column]), "is empty: every row needs its inputs")
    return np.stack([cells[column] for column in inputs], axis=1)


def _sigmas(table: Table, column: str, sigma: Array, observed: NDArray[np.bool_]) -> Array:
    """The standard deviations of observed entries; a positive one beside an empty cell does no harm."""
    _refuse_cell(table, column, sigma <= 0, "is not positive: a standard deviation must be")
    return np.where(observed, sigma, np.nan)


def _refuse_cell(table: Table, column: str, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise SwarmnetError(f"{table.where(int(np.argmax(bad)), column)}: the cell {what}")


def _refuse_row(name: str, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise SwarmnetError(f"{name!r} {what} in row {int(np.argmax(bad))}: correct or remove it")


def as_numbers(name: str, value: ArrayLike) -> Array:
    """A private float64 copy, so that nobody else's array is frozen or changed under us.

    Raises:
        SwarmnetError: it holds dates, complex numbers, or what is no number.
    """
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    try:
        given = np.asarray(value)
        if given.dtype.kind in "cmM":
            raise TypeError(f"it holds {given.dtype}")
        return np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise SwarmnetError(f"{name} is not an array of numbers: {error}") from None


def _matched(tables: Tables, inputs: list[str] | None, outputs: list[str] | None) -> dict[str, Any]:
    """What MixedData keeps: tables' columns by name, in the order of the names asked for or their own."""
    X = as_numbers("X", tables.selected("X", inputs))
    if X.ndim != 2 or X.shape[1] == 0:
        raise SwarmnetError(f"X must be (rows, inputs) with at least one input, not {X.shape}")
    into = _names("inputs", tables.names("X") if inputs is None else inputs, X.shape[1], "x")
    Y = _numbers("Y", tables.selected("Y", outputs))
    named = (tables.names("Y") or tables.numerators("J", into)) if outputs is None else outputs
    out = named or _names("outputs", None, Y.shape[1] if Y is not None and Y.ndim == 2 else 1, "y")
    J = _numbers("J", tables.partials("J", into, out))
    Y, J = _targets(X.shape, Y, J)
    return {
        "X": X,
        "Y": Y,
        "J": J,
        "Y_sigma": _sigma("Y_sigma", tables.placed("Y_sigma", out), Y),
        "J_sigma": _sigma("J_sigma", tables.partials("J_sigma", into, out), J),
        "inputs": into,
        "outputs": _names("outputs", named, Y.shape[1], "y"),
        "weights": _row_weights(tables.selected("weights", None), len(X)),
    }


def _numbers(name: str, given: ArrayLike | None) -> Array | None:
    return None if given is None else as_numbers(name, given)


def _targets(shape: tuple[int, ...], Y: Array | None, J: Array | None) -> tuple[Array, Array]:
    """Y (n, k) and J (n, k, d) for X of the given shape (n, d), NaN throughout for what was not given."""
    n, d = shape
    if Y is not None and Y.ndim == 1:
        Y = Y[:, None]
    if J is not None and J.ndim == 2:
        J = J[:, None, :]
    if Y is not None and (Y.ndim != 2 or Y.shape[0] != n or Y.shape[1] == 0):
        raise SwarmnetError(f"Y must be (rows, outputs) with {n} rows as in X, not {Y.shape}")
    if J is not None and (J.ndim != 3 or J.shape[::2] != (n, d) or J.shape[1] == 0):
        raise SwarmnetError(
            f"J must be (rows, outputs, inputs) with {n} rows and {d} inputs as in X, not {J.shape}"
        )
    if Y is None and J is None:
        raise SwarmnetError("there are no entries: give Y, J or both")
    k = Y.shape[1] if Y is not None else J.shape[1] if J is not None else 0
    Y = np.full((n, k), np.nan) if Y is None else Y
    J = np.full((n, k, d), np.nan) if J is None else J
    if J.shape[1] != k:
        raise SwarmnetError(f"Y has {k} outputs but J has {J.shape[1]}: give one for each")
    return Y, J


def _sigma(name: str, sigma: ArrayLike | None, target: Array) -> Array | None:
    """The standard deviations in the shape of their targets, NaN beside what was not observed."""
    if sigma is None:
        return None
    value = as_numbers(name, sigma)
    if value.ndim == target.ndim - 1 and target.shape[1] == 1:
        value = np.expand_dims(value, 1)
    if value.shape != target.shape:
        raise SwarmnetError(f"{name} must be {target.shape} like its targets, not {value.shape}")
    value[np.isnan(target)] = np.nan
    return None if np.isnan(value).all() else value


def _row_weights(given: ArrayLike | None, n: int) -> Array | None:
    if given is None:
        return None
    weights = as_numbers("weights", given)
    if weights.shape != (n,):
        raise SwarmnetError(f"weights must be ({n},), one for each row of X, not {weights.shape}")
    bad = ~((weights == 0) | ((weights >= np.finfo(float).tiny) & (weights < np.inf)))
    if bad.any():
        row = int(np.argmax(bad))
        raise SwarmnetError(f"the weight of row {row} must be 0 or a positive number, not {weights[row]}")
    if weights.max(initial=0.0) > np.finfo(float).max / max(n, 1):
        raise SwarmnetError("the weights are too large: their sum may be infinite")
    return None if (weights == 1.0).all() else weights


def _names(what: str, given: Iterable[str] | None, count: int, letter: str) -> tuple[str, ...]:
    if given is None:
        if count == 1 and letter == "y":
            return ("y",)
        return tuple(f"{letter}{i + 1}" for i in range(count))
    names = (given,) if isinstance(given, str) else tuple(str(name) for name in given)
    if len(names) != count or not all(names):
        raise SwarmnetError(f"{what} must be {count} names, not {listed(names) or 'none'}")
    for name in names:
        refuse_dangerous_name(what.removesuffix("s"), name)
    return names
