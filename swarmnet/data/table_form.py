"""Conversion of a wide or a long table to arrays, and the errors about its cells."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import (
    Array,
    Entry,
)
from swarmnet.data.column_roles import Roles, TargetError, long_roles_of, roles_of
from swarmnet.data.defined_columns import ColumnError
from swarmnet.data.definitions import Define
from swarmnet.data.tables import Table
from swarmnet.errors import SwarmnetError

# Limits against small files whose column names alone need much memory: partials in a row; numbers in all, or
# for each cell of the table
_MOST_PARTIALS, _MOST_NUMBERS, _MOST_PER_CELL = 2**18, 2**25, 32


@dataclass(frozen=True)
class Form:
    """The meaning of the columns of a table, or of several tables that together make one."""

    roles: Roles
    is_long: bool
    has_sigma: bool  # only in a long table

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        targets: Sequence[str] | None,
        inputs: Iterable[str] | None,
        outputs: Iterable[str] | None,
        define: Define | None = None,
    ) -> Form:
        """Return the form of a wide table (`targets` None) or of a long table with these distinct targets.

        Raises:
            SwarmnetError: the role of a column or target is undecided.
        """
        if targets is None:
            return cls(roles_of(columns, inputs, outputs, define), False, False)
        try:
            roles = long_roles_of(columns, targets, inputs, outputs, define)
        except ColumnError as error:
            raise TargetError(error.name, error.reason) from None
        return cls(roles, True, "sigma" in columns and "sigma" not in roles.inputs)

    @property
    def columns(self) -> list[str]:
        """The columns that are read."""
        if self.is_long:
            return [*self.roles.inputs, "target", "value", *(["sigma"] if self.has_sigma else [])]
        return [*self.roles.inputs, *self.roles.entries, *self.roles.sigmas]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row's numbers."""
        k, d = len(self.roles.outputs), len(self.roles.inputs)
        targets = k * (1 + d) + len(self.roles.quantities)
        return 8 * (d + (2 if self.roles.sigmas or self.has_sigma else 1) * targets)

    def read(self, table: Table) -> Arrays:
        """Return the table's rows as arrays, in the same order.

        Raises:
            SwarmnetError: the message says in which table and, if known, in which row and column.
        """
        arrays = Arrays(table, self.roles)
        arrays.X = (self._read_long if self.is_long else self._read_wide)(table, arrays)
        return arrays

    def _read_wide(self, table: Table, arrays: Arrays) -> Array:
        cells = _cells(table, self.columns)
        X = _points(table, self.roles.inputs, cells)
        factor_of = {entry: self._factor(name) for name, entry in self.roles.entries.items()}
        for name, entry in self.roles.entries.items():
            arrays.targets(entry)[:] = _divided(table, name, cells[name], factor_of[entry])
        for name, entry in self.roles.sigmas.items():
            observed = np.isfinite(arrays.targets(entry))
            sigma = _sigmas(table, name, cells[name], observed)
            arrays.sigmas(entry)[:] = _divided(table, name, sigma, abs(factor_of[entry]))
        return X

    def _read_long(self, table: Table, arrays: Arrays) -> Array:
        codes, targets = table.texts("target")
        cells = _cells(table, [column for column in self.columns if column != "target"])
        X, value = _points(table, self.roles.inputs, cells), cells["value"]
        _refuse_cell(table, "value", np.isnan(value), "is empty: remove the row if nothing was observed")
        sigma = _sigmas(table, "sigma", cells["sigma"], np.isfinite(value)) if self.has_sigma else None
        factors = np.array([self._factor(target) for target in targets])[codes]
        value = _divided(table, "value", value, factors)
        sigma = None if sigma is None else _divided(table, "sigma", sigma, np.abs(factors))
        for code, target in enumerate(targets):
            rows = codes == code
            arrays.targets(self.roles.entries[target])[rows] = value[rows]
            if sigma is not None:
                arrays.sigmas(self.roles.entries[target])[rows] = sigma[rows]
        return X

    def _factor(self, name: str) -> float:
        """Return by what the cells of a column or target are to be divided."""
        return self.roles.factors.get(name, 1.0)


def targets_of(table: Table) -> list[str]:
    """Return the distinct targets of a long table.

    Raises:
        SwarmnetError: a target is empty.
    """
    codes, targets = table.texts("target")
    _refuse_cell(table, "target", codes < 0, "is empty: name an output or a derivative")
    return targets


def located(error: TargetError, tables: Iterable[Table]) -> SwarmnetError:
    """Return the error about a target with the place where the target first stands."""
    for table in tables:
        codes, targets = table.texts("target")
        if error.target in targets:
            row = int(np.argmax(codes == targets.index(error.target)))
            return SwarmnetError(f"{table.where(row, 'target')}: {error}")
    return error


def points_of(table: Table, inputs: Sequence[str]) -> Array:
    """Return the points (n, d) of a table that has a column for each of the `inputs`.

    Raises:
        SwarmnetError: a cell is empty, not a number, or infinite.
    """
    return _points(table, inputs, _cells(table, inputs))


class Arrays:
    """The arrays of MixedData while they are filled from a table's columns."""

    X: Array

    def __init__(self, table: Table, roles: Roles) -> None:
        n, k, d = len(table), len(roles.outputs), len(roles.inputs)
        if k * d > _MOST_PARTIALS or n * k * d > max(_MOST_NUMBERS, _MOST_PER_CELL * n * len(table.columns)):
            raise SwarmnetError(
                f"{table.name}: {d} inputs and {k} outputs at {n} rows have room for "
                f"{n * k * d:.1e} partials: choose fewer with inputs= and outputs= (--inputs, --outputs)"
            )
        self.roles = roles
        self._Y, self._J = np.full((n, k), np.nan), np.full((n, k, d), np.nan)
        self._Y_sigma: Array | None = None
        self._J_sigma: Array | None = None
        self._Q, self._Q_sigma = np.full((2, n, len(roles.quantities)), np.nan)

    def targets(self, entry: Entry | int) -> Array:
        """Return a view (n,) of the column of an entry, or of the quantity with this number."""
        if isinstance(entry, int):
            return self._Q[:, entry]
        output, input = entry
        return self._Y[:, output] if input is None else self._J[:, output, input]

    def sigmas(self, entry: Entry | int) -> Array:
        """Return a view (n,) of the standard deviations of an entry, or of the quantity with this number."""
        if isinstance(entry, int):
            return self._Q_sigma[:, entry]
        output, input = entry
        if input is None:
            self._Y_sigma = np.full_like(self._Y, np.nan) if self._Y_sigma is None else self._Y_sigma
            return self._Y_sigma[:, output]
        self._J_sigma = np.full_like(self._J, np.nan) if self._J_sigma is None else self._J_sigma
        return self._J_sigma[:, output, input]

    def any(self) -> bool:
        """Return whether there is an entry."""
        return any((~np.isnan(targets)).any() for targets in (self._Y, self._J, self._Q))

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of MixedData."""
        own: dict[str, Any] = {
            "X": self.X,
            "Y": self._Y,
            "J": self._J,
            "Y_sigma": self._Y_sigma,
            "J_sigma": self._J_sigma,
        }
        own |= {"inputs": self.roles.inputs, "outputs": self.roles.outputs}
        return (
            own
            | {"Q": self._Q, "Q_sigma": self._Q_sigma, "quantities": self.roles.quantities}
            | {"define": self.roles.define}
        )


class Named(Protocol):
    """A table, or a file that may be read as one."""

    @property
    def name(self) -> str: ...


@contextmanager
def named(table: Named) -> Iterator[None]:
    """Add the table's name to errors; a TargetError is located by the caller instead."""
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
    """Return the standard deviations of observed entries; those beside an empty cell become NaN."""
    _refuse_cell(table, column, sigma <= 0, "is not positive: a standard deviation must be")
    return np.where(observed, sigma, np.nan)


def _divided(table: Table, column: str, numbers: Array, factor: float | Array) -> Array:
    """Return the numbers of an entry, of which the column holds `factor` times as much."""
    if np.all(factor == 1.0):
        return numbers
    with np.errstate(over="ignore"):
        found: Array = numbers / factor
    _refuse_cell(table, column, np.isinf(found), "is too large for a double, divided by its formula's factor")
    return found


def _refuse_cell(table: Table, column: str, bad: NDArray[np.bool_], what: str) -> None:
    if bad.any():
        raise SwarmnetError(f"{table.where(int(np.argmax(bad)), column)}: the cell {what}")
