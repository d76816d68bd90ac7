"""CSV, Excel and Parquet files as tables, several of them as one, and the errors about them."""

from __future__ import annotations

import importlib
import io
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import Array, listed
from swarmnet.data.csv_table import CsvTable
from swarmnet.data.file_paths import readable
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.data.tables import FrameTable, Table
from swarmnet.errors import SwarmnetError, install_hint

PARQUET_SUFFIXES = (".parquet", ".pq")
# Maximum unpacked size of a Parquet file: so many bytes, or so many for each byte of the file
_MOST_UNPACKED, _MOST_PER_BYTE = 2**28, 1000
TEXT_OPTIONS = ("sep", "decimal", "thousands", "na", "encoding")


def open_table(path: Path, reading: Reading = AS_FOUND) -> Table:
    """Open a Parquet file, recognised by its suffix, or a CSV or Excel file."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return parquet_table(path, reading)
    return CsvTable(path, reading=reading)


class Stacked:
    """Several tables with the same columns, one below another, as a Table.

    Raises:
        SwarmnetError: the columns of the tables differ.
    """

    def __init__(self, tables: Sequence[Table]) -> None:
        first = tables[0]
        self.name, self.columns = first.name, first.columns
        self._tables = tables
        self._ends = list(accumulate(len(table) for table in tables))
        refuse_other_columns([(table.name, table.columns, table.units) for table in tables])

    @property
    def units(self) -> Mapping[str, str]:
        return self._tables[0].units

    @property
    def notes(self) -> tuple[str, ...]:
        """Nothing: each table has notes of its own."""
        return ()

    def __len__(self) -> int:
        return self._ends[-1]

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        parts = [table.numbers(columns) for table in self._tables]
        return {column: np.concatenate([part[column] for part in parts]) for column in columns}

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        parts = [table.texts(column) for table in self._tables]
        names = dict.fromkeys(name for _, distinct in parts for name in distinct)
        code_of = {name: code for code, name in enumerate(names)}
        codes = [  # -1 remains the code of an empty cell
            np.array([*(code_of[name] for name in distinct), -1])[coding] for coding, distinct in parts
        ]
        return np.concatenate(codes), list(names)

    def where(self, row: int, column: str) -> str:
        table = bisect_right(self._ends, row)
        start = self._ends[table - 1] if table else 0
        return self._tables[table].where(row - start, column)


def refuse_other_columns(tables: Sequence[tuple[str, Sequence[str], Mapping[str, str]]]) -> None:
    """Refuse tables, given as (name, columns, units), whose columns or their units differ.

    Raises:
        SwarmnetError: a table lacks a column of the first, has another one, or one in another unit.
    """
    first = tables[0]
    for table in tables[1:]:
        for (one, has, _), (other, columns, _) in ((table, first), (first, table)):
            known = set(has)
            for column in columns:
                if column not in known:
                    raise SwarmnetError(
                        f"{one}: there is no column {column!r}, but {other} has one: "
                        "files that are read together need the same columns"
                    )
        for column in first[1]:
            here, there = (units.get(column, "none") for _, _, units in (table, first))
            if here != there:
                raise SwarmnetError(
                    f"{table[0]}: the unit of column {column!r} is {here}, but {there} in {first[0]}: "
                    "files that are read together need the same units"
                )


def parquet_table(path: Path, reading: Reading = AS_FOUND) -> Table:
    """Return a Parquet file as a Table.

    Raises:
        SwarmnetError: pyarrow is not installed, the file cannot be read or has no row, or an option is for
            text files.
    """
    reading.refuse_for(str(path), "Parquet files", *TEXT_OPTIONS)
    parquet = parquet_module(path)
    with readable(str(path)):
        raw = path.read_bytes()
    with parquet_errors(str(path)):
        file = parquet.ParquetFile(io.BytesIO(raw))
        _refuse_large(path, file.metadata, len(raw))
        frame = file.read().to_pandas(ignore_metadata=True)
    if len(frame) == 0:
        raise SwarmnetError(f"{path}: there is no row: add at least one")
    return FrameTable(frame[named_columns(frame.columns)], str(path))


def parquet_module(path: Path) -> Any:
    """Return the module pyarrow.parquet, to read the file at `path`.

    Raises:
        SwarmnetError: it is not installed.
    """
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise SwarmnetError(f"{path}: reading Parquet needs pyarrow: {install_hint('parquet')}") from None


@contextmanager
def parquet_errors(name: str) -> Iterator[None]:
    """Turn an error of pyarrow about a file into a SwarmnetError of one line."""
    try:
        yield
    except SwarmnetError:
        raise
    except MemoryError:
        raise SwarmnetError(f"{name}: this Parquet file is damaged, or does not fit into memory") from None
    except Exception as error:  # for invalid bytes pyarrow raises many types
        reason = listed((str(error) or type(error).__name__).splitlines()[:1])
        raise SwarmnetError(f"{name}: this is no Parquet file that can be read: {reason}") from None


def _refuse_large(path: Path, metadata: Any, size: int) -> None:
    """Refuse a small file whose columns, by its `metadata`, would fill the memory when unpacked."""
    groups = [metadata.row_group(g) for g in range(metadata.num_row_groups)]
    packed = sum(group.total_byte_size for group in groups)
    unpacked = max(packed, 8 * metadata.num_rows * metadata.num_columns)
    if unpacked > max(_MOST_UNPACKED, _MOST_PER_BYTE * size):
        raise SwarmnetError(
            f"{path}: {metadata.num_rows} rows and {metadata.num_columns} columns in {size} bytes: "
            "no such table is read, for fear of filling the memory; write it as CSV, or as several files"
        )


def named_columns(columns: Iterable[Any]) -> list[str]:
    """Return the columns without pandas' index columns that have no name."""
    return [column for column in columns if not str(column).startswith("__index_level_")]
