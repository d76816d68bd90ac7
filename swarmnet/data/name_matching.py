"""Tables among the arguments of a call: their columns are matched by name, and never by their place.

Of rows the index is the name. Rows are not moved: tables whose indices differ are refused, because an index
that merely counts the rows cannot be told from one that names them. What has no names is taken by its place.
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
    """The arguments of a call that belong row by row together.

    Args:
        given: by their names: arrays, tables, columns of tables, or None.

    Raises:
        SwarmnetError: a table that cannot be read, or tables with different rows.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        found = {what: as_pandas(what, value) for what, value in given.items()}
        self._tables = {what: _Table(what, table) for what, table in found.items() if table is not None}
        _refuse_other_rows({what: _index(given[what], found[what]) for what in self._tables})

    def frame(self, what: str) -> Any:
        """The table as pandas has it; as it is if it is none."""
        return self._tables[what].frame if what in self._tables else self._given[what]

    def names(self, what: str) -> list[str] | None:
        """The names of its columns, or the name of a column; None where it has none."""
        return self._tables[what].names if what in self._tables else None

    def selected(self, what: str, wanted: Sequence[str] | None) -> Any:
        """Its columns with the `wanted` names, in that order; as it is if it has no names.

        The name of a column alone says nothing: there is no other.

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
        """(n, len(names)) each of its columns in the place of its name, NaN where there is none.

        The standard deviations of a column may go by its name or as ``sigma(...)``. It is taken as it is if
        it has no names.

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
        """The same of partial derivatives: (n, k, d) of a table with names."""
        found = self.placed(what, [derivative_name(out, into) for out in outputs for into in inputs])
        named = self.names(what) is not None
        return found.reshape(-1, len(outputs), len(inputs)) if named else found

    def numerators(self, what: str, inputs: Sequence[str]) -> list[str] | None:
        """The outputs whose partials its columns are, in their order; None where it has no names."""
        pairs = [pair for name in self.names(what) or () for pair in parse_derivative(name)]
        return list(dict.fromkeys(out for out, into in pairs if into in inputs)) or None


def is_counted(frame: pd.DataFrame) -> bool:
    """Whether its columns have no names, but numbers from 0, as pandas gives them."""
    labels: list[object] = list(frame.columns)
    return labels == list(range(len(labels)))


class _Table:
    """A table, or a column of one."""

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
        """(n, columns), or (n,) of a column alone."""
        columns = list(self._table.numbers(self._table.columns).values())
        return columns[0] if self.is_column else np.stack(columns, axis=1)


def _measured(name: str) -> str:
    """The column whose standard deviations `name` holds."""
    return name[len("sigma(") : -1] if name.startswith("sigma(") and name.endswith(")") else name


def _index(given: Any, table: pd.DataFrame | pd.Series[Any] | None) -> pd.Index[Any] | None:
    """The names of its rows, if it is of a library that has them."""
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
