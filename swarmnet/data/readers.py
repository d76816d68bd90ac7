"""Reading CSV, Excel and Parquet files, completely or, if they are too large for memory, piece by piece."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast, overload

import numpy as np

from swarmnet.data.column_names import Array, listed
from swarmnet.data.csv_table import CsvTable
from swarmnet.data.data_frames import is_frame, pd
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.definitions import Define
from swarmnet.data.file_chunks import (
    SIZES,
    Layout,
    ReadSizes,
    WholePiece,
    csv_layout,
    form_of_files,
    layout_of,
    parquet_layout,
)
from swarmnet.data.file_data import FileData, Reader
from swarmnet.data.file_paths import FilePath as FilePath
from swarmnet.data.file_paths import FilePaths, files_of, name_of
from swarmnet.data.mixed_data import MixedData, from_table
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.data.table_files import Stacked, open_table, parquet_table
from swarmnet.data.table_form import named, points_of
from swarmnet.data.table_views import viewed
from swarmnet.data.tables import FrameTable, Table
from swarmnet.data.units import warn_of_other_units
from swarmnet.errors import SwarmnetError, printable, suggestion, warn_user
from swarmnet.threads import Pool, ThreadPool, available_cores

Size = float | str
Data = Dataset | FilePaths
Roles = tuple[Iterable[str] | None, Iterable[str] | None, Define | None]  # inputs, outputs, define as given

_PROGRAM = 2.5e8  # bytes that the process uses without any data
_COPIES = 9  # copies of the data in memory during training: rows, chunks and temporary arrays
_SIZE = re.compile(r"(?P<number>\d+(\.\d*)?(e\+?\d+)?)\s*(?P<unit>[KMGT]?B)?", re.IGNORECASE | re.ASCII)


@overload
def read(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
    reading: Reading = ...,
) -> MixedData: ...
@overload
def read(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
    reading: Reading = ...,
) -> Dataset: ...
def read(
    path: FilePaths,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
    reading: Reading = AS_FOUND,
) -> Dataset:
    """Call `read_parquet` for files ending in .parquet or .pq, and `read_csv` for all others."""
    kind = _Kind(
        partial(open_table, reading=reading), partial(layout_of, reading=reading), reading.categories
    )
    return _read(path, kind, (inputs, outputs, define), memory_limit)


def loaded(
    data: Data, inputs: Sequence[str], outputs: Sequence[str], memory_limit: Size | None = None
) -> Dataset:
    """Return the data, read from files if a path is given."""
    return data if is_dataset(data) else read(cast(FilePaths, data), inputs, outputs, memory_limit)


@overload
def read_csv(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
    sep: str | None = ...,
    decimal: str | None = ...,
    thousands: str | None = ...,
    na: Iterable[str] | None = ...,
    encoding: str | None = ...,
    categories: Iterable[str] | None = ...,
) -> MixedData: ...
@overload
def read_csv(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
    sep: str | None = ...,
    decimal: str | None = ...,
    thousands: str | None = ...,
    na: Iterable[str] | None = ...,
    encoding: str | None = ...,
    categories: Iterable[str] | None = ...,
) -> Dataset: ...
def read_csv(
    path: FilePaths,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
    sep: str | None = None,
    decimal: str | None = None,
    thousands: str | None = None,
    na: Iterable[str] | None = None,
    encoding: str | None = None,
    categories: Iterable[str] | None = None,
) -> Dataset:
    """Read a CSV or Excel file, or several as one table: a list, or all files that match a glob, sorted.

    The form is recognised by the columns. Wide: a row is a point; a column is an input, a value (``h``), a
    partial (``dh/dT``) or a standard deviation (``sigma(h)``). Long: a row is an entry, with the inputs and
    the columns ``target`` (``h``, ``dh/dT``), ``value`` and optionally ``sigma``.

    An empty cell, or the text NaN, NA, n/a or null, means not observed; every other cell must be a number. A
    sigma whose entry was not observed is dropped.

    What the first lines of a file leave no doubt of is recognised, and a `SwarmnetWarning` says what was
    assumed: semicolons, tabs or blanks between columns, decimal commas, titles and comments above the header,
    a line of units below it. Units at the end of names, as in ``T [K]`` or ``p (bar, abs)``, are no part of
    the names; `MixedData.units` has them.

    Args:
        path: a file's name, a glob, or a list of both. The files must have the same columns, in any order.
        inputs: the inputs' names, or one name. By default the derivatives' denominators and x, x1, x_2...
        outputs: the outputs' names, or one name. By default the derivatives' numerators and y, y1,
            y_2..., and in a long table the only target.
        memory_limit: the memory that the process should not exceed, in bytes or as in "1.5GB". If training
            on this data would exceed it, the result is FileData, which stays in the files.
        define: formulas of columns with names of their own, as {"Fx": "-dE/dx"}.
        sep: the character between columns, "tab", or " " for any number of blanks.
        decimal: the decimal mark, "." or ",".
        thousands: the character between groups of three digits; by default there is none.
        na: further texts that mean not observed, as ["-", "#DIV/0!"].
        encoding: of the text, such as "cp1252"; by default UTF-8, or UTF-16 with a byte order mark. Another
            text is taken for cp1252, with a warning.
        categories: columns of texts to read as columns of 0 and 1, ``material_steel`` for the text steel of
            the column material.

    Raises:
        SwarmnetError: the data or an option is not valid; the message says in which file, line and column.
    """
    reading = Reading.of(sep, decimal, thousands, na, encoding, categories)
    kind = _Kind(partial(CsvTable, reading=reading), partial(csv_layout, reading=reading), reading.categories)
    return _read(path, kind, (inputs, outputs, define), memory_limit)


@overload
def read_parquet(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: None = ...,
    *,
    define: Define | None = ...,
) -> MixedData: ...
@overload
def read_parquet(
    path: FilePaths,
    inputs: Iterable[str] | None = ...,
    outputs: Iterable[str] | None = ...,
    memory_limit: Size | None = ...,
    *,
    define: Define | None = ...,
) -> Dataset: ...
def read_parquet(
    path: FilePaths,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    memory_limit: Size | None = None,
    *,
    define: Define | None = None,
) -> Dataset:
    """Read a Parquet file, or several: a list, or all files that match a glob.

    Columns have the meaning given in `read_csv`.

    An index without a name is not a column. Errors count rows from 0. For the arguments see `read_csv`.

    Raises:
        SwarmnetError: pyarrow is not installed, or as in `read_csv`, with a row instead of a line.
    """
    return _read(path, _Kind(parquet_table, parquet_layout), (inputs, outputs, define), memory_limit)


def read_query(
    source: FilePaths | pd.DataFrame,
    inputs: Sequence[str],
    reading: Reading = AS_FOUND,
    units: Mapping[str, str] | None = None,
) -> tuple[Array, list[str]]:
    """Return the points (n, d) at which a model is to predict, and the names of the unused columns.

    Columns are matched by name, in any order, with their units or without. `units` are the
    model's; a warning names columns in others.

    Raises:
        SwarmnetError: an input has no column, or a cell is empty, not a number or infinite.
    """
    name = "DataFrame" if is_frame(source) else name_of(source)
    with _within_memory(name):
        table = (
            FrameTable(source) if is_frame(source) else _table(source, partial(open_table, reading=reading))
        )
        with named(table):
            view = viewed(table, set(inputs), reading.categories)
        missing = [column for column in inputs if column not in view.columns]
        if missing:
            hint = suggestion(missing[0], view.columns)
            raise SwarmnetError(
                f"{view.name}: there is no column {listed(missing)}: {hint}"
                f"the model needs {listed(inputs)}, and the columns are {listed(view.columns)}"
            )
        warn_of_other_units(view.name, view.view.units_of(inputs), units or {})
        ignored = [column for column in view.columns if column not in inputs]
        return points_of(view, inputs), ignored


@dataclass(frozen=True)
class _Kind:
    """How files of one kind are opened: as a table, and as pieces; and columns of texts to read."""

    opened: Callable[[Path], Table]
    laid_out: Callable[[Path], Layout]
    categories: tuple[str, ...] = ()


def _read(path: FilePaths, kind: _Kind, roles: Roles, memory_limit: Size | None) -> Dataset:
    if memory_limit is not None:
        found = _in_files(path, kind, roles, bytes_of(memory_limit))
        if found is not None:
            return found
    with _within_memory(name_of(path)):
        return from_table(_table(path, kind.opened), *roles, kind.categories)


def open_files(
    path: FilePaths,
    inputs: Iterable[str] | None = None,
    outputs: Iterable[str] | None = None,
    sizes: ReadSizes = SIZES,
    *,
    define: Define | None = None,
    reading: Reading = AS_FOUND,
) -> FileData:
    """Return the data of some files without reading them, except to find the meaning of their columns.

    `sizes` is how much is read at a time later.

    Raises:
        SwarmnetError: as in `read_csv`, about names and columns.
    """
    layouts = [layout_of(file, sizes, reading) for file in files_of(path)]
    form, columns = form_of_files(layouts, inputs, outputs, define, reading.categories)
    _say(layouts)
    reader = Reader(form, columns, most_rows=sizes.block_rows)
    return _file_data(path, layouts, reader, ThreadPool(available_cores()))


def columns_left_out(
    path: FilePaths,
    inputs: Iterable[str] | None,
    outputs: Iterable[str] | None,
    define: Define | None = None,
    reading: Reading = AS_FOUND,
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
    layouts = [layout_of(file, reading=reading) for file in files]
    return form_of_files(layouts, inputs, outputs, define, reading.categories)[0].roles.ignored


def _in_files(path: FilePaths, kind: _Kind, roles: Roles, limit: float) -> FileData | None:
    """Return FileData if training on the data in memory would take more than `limit` bytes, else None."""
    layouts = [kind.laid_out(file) for file in files_of(path)]
    form, columns = form_of_files(layouts, *roles, kind.categories)
    reader = Reader(form, columns)
    row_bytes = reader.form.row_bytes * _COPIES
    held = sum(layout.size + layout.rows * row_bytes for layout in layouts)
    if _PROGRAM + held <= limit:
        return None
    _refuse_whole(layouts, limit, row_bytes)
    block = reader.block_rows * row_bytes
    threads = min(available_cores(), int((limit - _PROGRAM) // block))
    if threads < 1:
        least = np.ceil((_PROGRAM + block) / 1e8) * 100
        raise SwarmnetError(
            f"the memory limit must be at least {least:.0f}MB here: the program itself takes "
            f"{_PROGRAM / 1e6:.0f}MB, and some rows must be in memory at a time"
        )
    _say(layouts)
    return _file_data(path, layouts, reader, ThreadPool(threads))


def _refuse_whole(layouts: Iterable[Layout], limit: float, row_bytes: float) -> None:
    """Refuse a file of which no part can be read alone, if it would take more than the limit."""
    for layout in layouts:
        is_whole = any(isinstance(piece, WholePiece) for piece in layout.pieces)
        if is_whole and _PROGRAM + layout.size + layout.rows * row_bytes > limit:
            raise SwarmnetError(
                f"{layout.name}: a compressed, Excel or UTF-16 file cannot be read piece by piece: save it "
                "as CSV in UTF-8, or raise the memory limit"
            )


def _file_data(path: FilePaths, layouts: Sequence[Layout], reader: Reader, pool: Pool) -> FileData:
    pieces = tuple(piece for layout in layouts for piece in layout.pieces)
    rows = max(1, sum(layout.rows for layout in layouts))
    return FileData(name_of(path), reader, pieces, rows, pool)


def _say(files: Sequence[Table | Layout]) -> None:
    """Warn of what was assumed about how files are written, once for files that are written alike."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        alike.setdefault(file.notes, []).append(file.name)
    for notes, names in alike.items():
        if notes:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            warn_user(f"{printable(names[0])}{more}: read with {', '.join(notes)}")


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


def _table(path: FilePaths, opened: Callable[[Path], Table]) -> Table:
    tables = [opened(file) for file in files_of(path)]
    _say(tables)
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
