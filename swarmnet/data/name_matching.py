"""Tables among the arguments of a call: their columns are matched by name, never by position.

The index gives the names of rows. Rows are not reordered: tables with different indices are refused, because
a default index cannot be distinguished from meaningful row names. Arrays are matched by position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from swarmnet.data.column_names import Array, derivative_name, listed, parse_derivative
from swarmnet.data.data_frames import as_pandas, is_frame, is_pandas, pd
from swarmnet.data.tables import FrameTable
from swarmnet.errors import SwarmnetError, suggestion


class Tables:
    """The arguments of a call whose rows belong together.

    Args:
        given: arrays, tables, columns of tables, or None, by argument name.

    Raises:
        SwarmnetError: a table cannot be read, or tables have different rows.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        found = {what: as_pandas(what, value) for what, value in given.items()}
        self._tables = {what: _Table(what, table) for what, table in found.items() if table is not None}
        _refuse_other_rows({what: _index(given[what], found[what]) for what in self._tables})

    def frame(self, what: str) -> Any:
        """Return the table as a pandas object; anything else is returned unchanged."""
        return self._tables[what].frame if what in self._tables else self._given[what]

    def names(self, what: str) -> list[str] | None:
        """Return the names of the table's columns, or of the single column; None if there are none."""
        return self._tables[what].names if what in self._tables else None

    def selected(self, what: str, wanted: Sequence[str] | None) -> Any:
        """Return the columns `wanted`, in that order; anything without names is returned unchanged.

        The name of a single column is ignored, because there is nothing to choose from.

        Raises:
            SwarmnetError: a name has no column.
        """
        table = self._tables.get(what)
        if table is None:
            return self._given.get(what)
        if wanted is None or table.names is None or table.is_column:
            return table.numbers
        if missing := [name for name in wanted if name not in table.names]:
            raise SwarmnetError(
                f"{what} has no column {listed(missing)}: {suggestion(missing[0], table.names)}its columns "
                f"are {listed(table.names)}, and are matched by name; rename them, or pass {what}.to_numpy()"
            )
        return table.numbers[:, [table.names.index(name) for name in wanted]]

    def placed(self, what: str, names: Sequence[str]) -> Any:
        """Return (n, len(names)): each column at the position of its name, NaN where there is none.

        A column of standard deviations may be called by the name of its target or ``sigma(...)``. Anything
        without names is returned unchanged.

        Raises:
            SwarmnetError: a column has another name.
        """
        table = self._tables.get(what)
        if table is None:
            return self._given.get(what)
        if table.names is None:
            return table.numbers
        meant = [_measured(name) for name in table.names] if what.endswith("sigma") else table.names
        place = {name: at for at, name in enumerate(names)}
        if strange := [own for own, name in zip(table.names, meant, strict=True) if name not in place]:
            raise SwarmnetError(f"{what} has no place for {listed(strange)}: its columns are {listed(names)}")
        if len(set(meant)) < len(meant):
            raise SwarmnetError(f"{what} has two columns for one of {listed(names)}: remove one")
        numbers = table.numbers.reshape(-1, len(meant))
        found = np.full((len(numbers), len(names)), np.nan)
        found[:, [place[name] for name in meant]] = numbers
        return found

    def partials(self, what: str, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        """Return partial derivatives (n, k, d) of a table with names, as `placed` does."""
        found = self.placed(what, [derivative_name(out, into) for out in outputs for into in inputs])
        named = self.names(what) is not None
        return found.reshape(-1, len(outputs), len(inputs)) if named else found

    def numerators(self, what: str, inputs: Sequence[str]) -> list[str] | None:
        """Return the outputs whose partials the table has, in its order; None if it has no names."""
        pairs = [pair for name in self.names(what) or () for pair in parse_derivative(name)]
        return list(dict.fromkeys(out for out, into in pairs if into in inputs)) or None


def is_counted(frame: pd.DataFrame) -> bool:
    """Return whether the columns have no names but pandas' default numbers 0, 1, 2..."""
    labels: list[object] = list(frame.columns)
    return labels == list(range(len(labels)))


class _Table:
    """A table, or a column of a table."""

    def __init__(self, what: str, table: pd.DataFrame | pd.Series[Any]) -> None:
        self.frame, self.is_column = table, not is_frame(table)
        if is_frame(table):
            frame, nameless = table, is_counted(table)
        else:
            nameless = not isinstance(table.name, str) or not table.name.strip()
            frame = table.to_frame(what if nameless else table.name)
        booleans = list(frame.select_dtypes(["bool", "boolean"]))
        if booleans and frame.columns.is_unique:
            frame = frame.astype(dict.fromkeys(booleans, "Float64"))
        self._table = FrameTable(frame, what)
        self.names = None if nameless else self._table.columns

    @cached_property
    def numbers(self) -> Array:
        """(n, columns), or (n,) for a single column."""
        columns = list(self._table.numbers(self._table.columns).values())
        return columns[0] if self.is_column else np.stack(columns, axis=1)


def _measured(name: str) -> str:
    """Return the column whose standard deviations `name` holds."""
    return name[len("sigma(") : -1] if name.startswith("sigma(") and name.endswith(")") else name


def _index(given: Any, table: pd.DataFrame | pd.Series[Any] | None) -> pd.Index[Any] | None:
    """Return the index of its rows; None for tables of libraries without an index."""
    has_one = is_pandas(given) or hasattr(type(given), "compute")
    return table.index if has_one and table is not None else None


def _refuse_other_rows(indices: Mapping[str, pd.Index[Any] | None]) -> None:
    known = {what: index for what, index in indices.items() if index is not None}
    for first, expected in list(known.items())[:1]:
        for what, index in known.items():
            if len(index) != len(expected) or index.equals(expected):
                continue
            if index.is_unique and set(index) == set(expected):
                raise SwarmnetError(
                    f"the rows of {what} are in another order than those of {first}, says their index: "
                    f"give {what}.loc[{first}.index]"
                )
            raise SwarmnetError(
                f"the rows of {what} are not those of {first}, says their index: reset both "
                f"(.reset_index(drop=True)) if they belong together in their order, or pass {what}.to_numpy()"
            )
