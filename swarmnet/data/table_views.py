"""Tables under other names: columns without the units in their names, and columns of 0 and 1 for texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import (
    SIGMA,
    Array,
    as_list,
    derivative_name,
    listed,
    parse_derivative,
    refuse_dangerous_name,
    shortened,
    sigma_name,
)
from swarmnet.data.definitions import Define, as_definitions
from swarmnet.data.tables import Table
from swarmnet.data.units import split_unit
from swarmnet.errors import SwarmnetError, suggestion

Values = Mapping[str, Sequence[str]]  # the texts of each column that is to be read as columns of 0 and 1


@dataclass(frozen=True)
class Columns:
    """The names by which the columns of a table are known, and where their cells are.

    Args:
        names: in the table's order.
        own: the table's own name of each of them, for columns of 0 and 1 that of the texts.
        units: by name.
        values: of columns of 0 and 1, the text that is 1.
    """

    names: tuple[str, ...]
    own: dict[str, str]
    units: dict[str, str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, columns: Sequence[str], units: Mapping[str, str], asked: Collection[str], texts: Values
    ) -> Columns:
        """Return the names of a table's columns.

        A unit at the end of a name is left out, unless the whole name is among the names `asked` for, or
        two columns would be called the same. `units` are those that the table gives elsewhere.

        Raises:
            SwarmnetError: a column of `texts` is not there, or a name cannot be used.
        """
        for column in texts:
            if column not in columns:
                raise SwarmnetError(
                    f"categories= (--categories) names {shortened(column)}, which is no column: "
                    f"{suggestion(column, columns)}the columns are {listed(list(columns))}"
                )
        names, found = _without_units([c for c in columns if c not in texts], asked)
        found = {names[column]: unit for column, unit in units.items() if column in names} | found
        own: dict[str, str] = {}
        values: dict[str, str] = {}
        for column in columns:
            if column in texts:
                made = {category_name(column, text): text for text in texts[column]}
                values |= made
                own |= dict.fromkeys(made, column)
            else:
                own[names[column]] = column
        if len(own) < len(names) + sum(map(len, texts.values())):
            raise SwarmnetError(f"two columns are called the same with the texts of {listed(list(texts))}")
        return cls(tuple(own), own, found, values)

    def expanded(self, names: Iterable[str] | None) -> list[str] | None:
        """Return the names, those of columns of texts replaced by the columns of 0 and 1."""
        given = as_list(names)
        if given is None or not self.values:
            return given
        made: dict[str, list[str]] = {}
        for name in self.values:
            made.setdefault(self.own[name], []).append(name)
        return [name for one in given for name in made.get(one, [one])]

    def sources(self, names: Iterable[str]) -> list[str]:
        """Return the table's own names of these columns, each once."""
        return list(dict.fromkeys(self.own[name] for name in names))

    def units_of(self, names: Iterable[str]) -> dict[str, str]:
        """Return the units of these columns, where they are known."""
        return {name: self.units[name] for name in names if name in self.units}


@dataclass(frozen=True)
class View:
    """A table under the names of `view`, as a Table; error messages have the table's own names."""

    table: Table
    view: Columns

    @property
    def name(self) -> str:
        return self.table.name

    @property
    def columns(self) -> list[str]:
        return list(self.view.names)

    @property
    def units(self) -> Mapping[str, str]:
        return self.view.units

    @property
    def notes(self) -> tuple[str, ...]:
        return self.table.notes

    def __len__(self) -> int:
        return len(self.table)

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        plain = [column for column in columns if column not in self.view.values]
        cells = self.table.numbers(self.view.sources(plain)) if plain else {}
        found = {column: cells[self.view.own[column]] for column in plain}
        for own in dict.fromkeys(self.view.own[c] for c in columns if c in self.view.values):
            found |= self._categories(own)
        return {column: found[column] for column in columns}

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        return self.table.texts(self.view.own[column])

    def where(self, row: int, column: str) -> str:
        return self.table.where(row, self.view.own[column])

    def _categories(self, own: str) -> dict[str, Array]:
        """Return the columns of 0 and 1 of a column of texts; NaN where its cell is empty."""
        codes, texts = self.table.texts(own)
        text_of = {name: text for name, text in self.view.values.items() if self.view.own[name] == own}
        for code, text in enumerate(texts):
            if text not in text_of.values():
                row = int(np.argmax(codes == code))
                raise SwarmnetError(
                    f"{self.table.where(row, own)}: {shortened(text)} is none of the known texts "
                    f"{listed(list(text_of.values()))}"
                )
        found = {}
        for name, text in text_of.items():
            code = texts.index(text) if text in texts else len(texts)
            found[name] = np.where(codes < 0, np.nan, np.where(codes == code, 1.0, 0.0))
        return found


def category_name(column: str, text: str) -> str:
    """Return the name of the column that is 1 where `column` has this text; pandas' get_dummies has the same.

    An equality sign would not do: --define separates a name from its formula by the last one.
    """
    name = f"{column}_{text}"
    refuse_dangerous_name("column", name)
    return name


def asked_names(
    inputs: Iterable[str] | None, outputs: Iterable[str] | None, define: Define | None, columns: Iterable[str]
) -> set[str]:
    """Return the names that options mention: of inputs and outputs, of formulas, and in formulas."""
    formulas = as_definitions(define)
    named = {*(as_list(inputs) or ()), *(as_list(outputs) or ()), *formulas}
    return named | {column for column in columns if any(column in text for text in formulas.values())}


def known_texts(
    table: Iterable[Table], columns: Iterable[str], asked: Collection[str]
) -> dict[str, list[str]]:
    """Return the sorted texts of these columns, or those that the names `asked` for mention, if any do."""
    tables = list(table)
    found: dict[str, list[str]] = {}
    for column in columns:
        named = [name.removeprefix(f"{column}_") for name in asked if name.startswith(f"{column}_")]
        there = [table for table in tables if column in table.columns]
        found[column] = sorted(named or {text for table in there for text in table.texts(column)[1]})
    return found


def viewed(table: Table, asked: Collection[str], categories: Iterable[str]) -> View:
    """Return the table without units in its names, and with columns of 0 and 1 for those of texts.

    Raises:
        SwarmnetError: as in `Columns.of`.
    """
    texts = known_texts([table], categories, asked)
    return View(table, Columns.of(table.columns, table.units, asked, texts))


def _without_units(columns: Sequence[str], asked: Collection[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the names by column, and the units by name."""
    there = set(columns)
    split = {column: split_unit(column) or (column, "") for column in columns}
    for column in columns:  # dh [J]/dT [K] has the units of h and T in it, and none of its own
        if any(out in there and into in there for out, into in parse_derivative(column)):
            split[column] = (column, "")
    plain = {name for name, _ in split.values()}
    # `h (T)`, beside a column T, is h at T
    split = {c: (c, "") if part[1] in plain and c.endswith(")") else part for c, part in split.items()}
    base = {column: column if column in asked else split[column][0] for column in columns}
    called = {split[column][0]: base[column] for column in columns} | base
    names = {column: _renamed(column, base[column], called) for column in columns}
    twice = {name for name, count in Counter(names.values()).items() if count > 1}
    names = {column: column if name in twice else name for column, name in names.items()}
    return names, {names[c]: split[c][1] for c in columns if split[c][1] and names[c] not in twice}


def _renamed(column: str, base: str, called: Mapping[str, str]) -> str:
    """Return the name of a column; derivatives and deviations have the names of the columns they belong to.

    Args:
        column: its own name.
        base: the name without a unit.
        called: the names of columns, by their own names and by those without units.
    """
    sigma = SIGMA.fullmatch(base)
    if sigma:
        return sigma_name(_renamed(sigma[1], (split_unit(sigma[1]) or (sigma[1],))[0], called))
    for text in (column, base):
        for out, into in parse_derivative(text):
            if into in called and (out in called or text == base):
                return derivative_name(called.get(out, out), called[into])
    return called.get(base, base)
