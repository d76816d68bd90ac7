"""The Table protocol: columns as numbers or text, and the place of a cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from numbers import Real
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import NUMBER, Array, refuse_bad_names, shortened
from swarmnet.data.data_frames import pd
from swarmnet.errors import SwarmnetError

# Numbers of Fortran: 1.0D+03, and 5.687-304, in which an exponent of three digits leaves no room for the E
_FORTRAN = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))[dD]([+-]?\d+)", re.ASCII)
_WITHOUT_E = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+))([+-]\d{3})", re.ASCII)


class Table(Protocol):
    """The protocol of CSV files, Parquet files, several stacked files and DataFrames."""

    @property
    def name(self) -> str:
        """The table's name in error messages."""

    @property
    def columns(self) -> list[str]:
        """Distinct names, none empty."""

    @property
    def units(self) -> Mapping[str, str]:
        """The units that the table gives below the names of columns."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed about how the table is written."""

    def __len__(self) -> int: ...

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        """Return the columns as arrays (n,), NaN for empty cells, inf for numbers that are too large.

        Raises:
            SwarmnetError: a cell is neither empty nor a number; the message says which.
        """

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return codes (n,) of the cells, -1 for empty ones, and the distinct texts that they index."""

    def where(self, row: int, column: str) -> str:
        """Return the name, in error messages, of the cell in row number `row` and `column`."""


@dataclass(frozen=True)
class FrameTable:
    """A DataFrame as a Table; error messages name a row by its index.

    Raises:
        SwarmnetError: a column name is empty or repeated.
    """

    frame: pd.DataFrame
    name: str = "DataFrame"
    units: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            refuse_bad_names(self.columns)
        except SwarmnetError as error:
            raise SwarmnetError(f"{self.name}: {error}") from None

    @cached_property
    def columns(self) -> list[str]:
        return [str(column).strip() for column in self.frame.columns]

    @cached_property
    def _at(self) -> dict[str, int]:
        return {column: at for at, column in enumerate(self.columns)}

    def __len__(self) -> int:
        return len(self.frame)

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        return {column: self._numbers(column) for column in columns}

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        return coded(self._series(column).astype(object).map(str, na_action="ignore"))

    def where(self, row: int, column: str) -> str:
        return f"{self.name}, row index {self.frame.index[row]}, column {column!r}"

    def _series(self, column: str) -> pd.Series[Any]:
        return self.frame.iloc[:, self._at[column]]

    def _numbers(self, column: str) -> Array:
        series = self._series(column)
        if series.dtype.kind in "iuf":
            return series.to_numpy(dtype=np.float64, na_value=np.nan)
        numbers = np.empty(len(series))
        for row, cell in enumerate(series):
            number = number_of(cell)
            if number is None:
                texts = (other for other in series if isinstance(other, str))
                raise not_a_number(self.where(row, column), str(cell), is_text=hold_text(texts, number_of))
            numbers[row] = number
        return numbers


def number_of(cell: object) -> float | None:
    """Return a cell's number: NaN if it is empty, inf if too large, None if it is not a number.

    Empty cells are "", the text NaN in any spelling, None and pandas' missing values. Booleans, dates,
    complex numbers and all other words are not numbers.
    """
    if isinstance(cell, str):
        text = cell.strip()
        if not text:
            return float("nan")
        if NUMBER.fullmatch(text):
            return float(text)
        fortran = _FORTRAN.fullmatch(text) or _WITHOUT_E.fullmatch(text)
        return float(f"{fortran[1]}e{fortran[2]}") if fortran else None
    if isinstance(cell, bool | np.bool_):
        return None
    if isinstance(cell, Real | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
    return float("nan") if cell is None or cell is pd.NA or cell is pd.NaT else None


def not_a_number(where: str, text: str, hint: str = "", is_text: bool = False) -> SwarmnetError:
    """Return the error about a cell; `hint` is what else can be done, `is_text` that no cell is a number."""
    if is_text:
        return SwarmnetError(
            f"{where}: {shortened(text)} is not a number, nor is any other cell of this column: leave the "
            "column out of inputs= and outputs= (--inputs, --outputs), or have columns of 0 and 1 made of it "
            "with categories= (--categories)"
        )
    return SwarmnetError(
        f"{where}: {shortened(text)} is not a number: correct it, "
        f"or leave the cell empty if it is a target that was not observed{hint}"
    )


def hold_text(cells: Iterable[str], number: Callable[[str], float | None]) -> bool:
    """Return whether these cells are words of which none is a number; empty ones are skipped."""
    seen = [cell for cell in cells if cell.strip()]
    return len(seen) > 1 and all(cell.strip()[0].isalpha() and number(cell) is None for cell in seen)


def coded(texts: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return codes (n,) of the texts in order of appearance, -1 for empty ones, and the distinct texts."""
    codes, distinct = pd.factorize(texts)
    stripped = pd.Series([str(text).strip() for text in distinct], dtype=object)
    recoded, names = pd.factorize(stripped.mask(stripped.str.lower().isin(["", "nan"])))
    return np.append(recoded, -1)[codes].astype(np.int64), list(names)
