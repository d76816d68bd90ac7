"""Reading CSV and Parquet files, completely or, if they are too large for memory, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast, overload

import numpy as np

from swarmnet.data.column_names import Array, listed
from swarmnet.data.data_frames import is_frame, pd
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.definitions import Define
from swarmnet.data.file_chunks import (
    SIZES,
    Layout,
    ReadSizes,
    csv_layout,
    form_of_files,
    layout_of,
    parquet_layout,
)
from swarmnet.data.file_data import FileData, Reader
from swarmnet.data.mixed_data import MixedData, from_table
from swarmnet.data.table_files import CsvTable, FilePath, Stacked, files_of, open_table, parquet_table
from swarmnet.data.table_form import points_of
from swarmnet.data.tables import FrameTable, Table
from swarmnet.errors import SwarmnetError, suggestion
from swarmnet.threads import Pool, ThreadPool, available_cores

Size = float | str
Data = Dataset | FilePath
Roles = tuple[Iterable[str] | None, Iterable[str] | None, Define | None]  # inputs, outputs, define as given

_PROGRAM = 2.5e8  # bytes that the process uses without any data
_COPIES = 9  # copies of the data in memory during training: rows, chunks and temporary arrays
_SIZE = re.compile(r"(?P<number>\d+(\.\d*)?(e\+?\d+)?)\s*(?P<unit>[KMGT]?B)?", re.IGNORECASE | re.ASCII)


@overload
def read(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
) -> MixedData: ...
@overload
def read(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
) -> Dataset: ...
def read(
    path: FilePath,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
) -> Dataset:
    """Call `read_parquet` for files ending in .parquet or .pq, and `read_csv` for all others."""
    return _read(path, open_table, layout_of, (inputs, outputs, define), memory_limit)


def loaded(
    data: Data, inputs: Sequence[str], outputs: Sequence[str], memory_limit: Size | None = None
) -> Dataset:
    """Return the data, read from files if a path is given."""
    return data if is_dataset(data) else read(cast(FilePath, data), inputs, outputs, memory_limit)


@overload
def read_csv(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
) -> MixedData: ...
@overload
def read_csv(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
) -> Dataset: ...
def read_csv(
    path: FilePath,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
) -> Dataset:
    """Read a comma-separated UTF-8 file, or all files that match a glob, sorted by name.

    The form is recognised by the columns. Wide: a row is a point; a column is an input, a value (``h``), a
    partial (``dh/dT``) or a standard deviation (``sigma(h)``). Long: a row is an entry, with the inputs and
    the columns ``target`` (``h``, ``dh/dT``), ``value`` and optionally ``sigma``.

    An empty cell, or the text NaN, means not observed; every other cell must be a number. A sigma whose
    entry was not observed is dropped.

    Args:
        path: a file's name, or a glob. Files of a glob must have the same columns, in any order.
        inputs: the inputs' names, or one name. By default the derivatives' denominators and x, x1, x_2...
        outputs: the outputs' names, or one name. By default the derivatives' numerators and y, y1,
            y_2..., and in a long table the only target.
        memory_limit: the memory that the process should not exceed, in bytes or as in "1.5GB". If training
            on this data would exceed it, the result is FileData, which stays in the files.

    Raises:
        SwarmnetError: the data or an option is not valid; the message says in which file, line and column.
    """
    return _read(path, CsvTable, csv_layout, (inputs, outputs, define), memory_limit)


@overload
def read_parquet(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
) -> MixedData: ...
@overload
def read_parquet(
    path: FilePath,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
) -> Dataset: ...
def read_parquet(
    path: FilePath,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
) -> Dataset:
    """Read a Parquet file, or all files that match a glob; columns have the meaning given in `read_csv`.

    An index without a name is not a column. Errors count rows from 0. For the arguments see `read_csv`.

    Raises:
        SwarmnetError: pyarrow is not installed, or as in `read_csv`, with a row instead of a line.
    """
    return _read(path, parquet_table, parquet_layout, (inputs, outputs, define), memory_limit)


def read_query(source: FilePath | pd.DataFrame, inputs: Sequence[str]) -> tuple[Array, list[str]]:
    """Return the points (n, d) at which a model is to predict, and the names of the unused columns.

    Columns are matched by name, in any order.

    Raises:
        SwarmnetError: an input has no column, or a cell is empty, not a number or infinite.
    """
    name = "DataFrame" if is_frame(source) else str(source)
    with _within_memory(name):
        table = FrameTable(source) if is_frame(source) else _table(source, open_table)
        missing = [column for column in inputs if column not in table.columns]
        if missing:
            hint = suggestion(missing[0], table.columns)
            raise SwarmnetError(
                f"{table.name}: there is no column {listed(missing)}: {hint}"
                f"the model needs {listed(inputs)}, and the columns are {listed(table.columns)}"
            )
        ignored = [column for column in table.columns if column not in inputs]
        return points_of(table, inputs), ignored


def _read(
    path: FilePath,
    opened: Callable[[Path], Table],
    laid_out: Callable[[Path], Layout],
    roles: Roles,
    memory_limit: Size | None,
) -> Dataset:
    if memory_limit is not None:
        found = _in_files(path, laid_out, roles, bytes_of(memory_limit))
        if found is not None:
            return found
    with _within_memory(str(path)):
        return from_table(_table(path, opened), *roles)


def open_files(
    path: FilePath,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    sizes: ReadSizes = SIZES,
    *,
    define: Define | None = None,
) -> FileData:
    """Return the data of some files without reading them, except to find the meaning of their columns.

    `sizes` is how much is read at a time later.

    Raises:
        SwarmnetError: as in `read_csv`, about names and columns.
    """
    layouts = [layout_of(file, sizes) for file in files_of(path)]
    reader = Reader(form_of_files(layouts, inputs, outputs, define), most_rows=sizes.block_rows)
    return _file_data(path, layouts, reader, ThreadPool(available_cores()))


def columns_left_out(
    path: FilePath,
    inputs: Iterable[str] | None,
    outputs: Iterable[str] | None,
    define: Define | None = None,
) -> tuple[str, ...]:
    """Return the columns that have no role, if both inputs and outputs are given.

    Raises:
        SwarmnetError: as in `read_csv`, about names and columns.
    """
    if inputs is None or outputs is None:
        return ()
    files = files_of(path)
    if not all(file.is_file() for file in files):  # a pipe can be read only once
        return ()
    return form_of_files([layout_of(file) for file in files], inputs, outputs, define).roles.ignored


def _in_files(
    path: FilePath, laid_out: Callable[[Path], Layout], roles: Roles, limit: float
) -> FileData | None:
    """Return FileData if training on the data in memory would take more than `limit` bytes, else None."""
    layouts = [laid_out(file) for file in files_of(path)]
    reader = Reader(form_of_files(layouts, *roles))
    row_bytes = reader.form.row_bytes * _COPIES
    held = sum(layout.size + layout.rows * row_bytes for layout in layouts)
    if _PROGRAM + held <= limit:
        return None
    block = reader.block_rows * row_bytes
    threads = min(available_cores(), int((limit - _PROGRAM) // block))
    if threads < 1:
        least = np.ceil((_PROGRAM + block) / 1e8) * 100
        raise SwarmnetError(
            f"the memory limit must be at least {least:.0f}MB here: the program itself takes "
            f"{_PROGRAM / 1e6:.0f}MB, and some rows must be in memory at a time"
        )
    return _file_data(path, layouts, reader, ThreadPool(threads))


def _file_data(path: FilePath, layouts: Sequence[Layout], reader: Reader, pool: Pool) -> FileData:
    pieces = tuple(piece for layout in layouts for piece in layout.pieces)
    rows = max(1, sum(layout.rows for layout in layouts))
    return FileData(str(path), reader, pieces, rows, pool)


def bytes_of(size: Size) -> float:
    """Return a size such as 1.5GB, 800 MB or 2e9 in bytes.

    Raises:
        SwarmnetError: the text is not a size.
    """
    match = _SIZE.fullmatch(str(size).strip())
    if match is None:
        raise SwarmnetError(f"{str(size)!r} is not a size: write it as in 1.5GB or 800MB")
    exponent = "BKMGT".index((match["unit"] or "B")[0].upper())
    return float(float(match["number"]) * 1000**exponent)


def _table(path: FilePath, opened: Callable[[Path], Table]) -> Table:
    tables = [opened(file) for file in files_of(path)]
    return tables[0] if len(tables) == 1 else Stacked(tables)


@contextmanager
def _within_memory(name: str) -> Iterator[None]:
    try:
        yield
    except MemoryError:
        raise SwarmnetError(
            f"{name}: the data does not fit into memory: give a limit with memory_limit= (--memory-limit), "
            "and they are read piece by piece"
        ) from None
