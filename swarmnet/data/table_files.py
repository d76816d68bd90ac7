"""CSV and Parquet files as tables, and the errors about them.

pandas' C parser reads a whole CSV file at once, but does not notice every mistake and does not say where it
is. Python's csv module is slower, but knows the line. It decides the meaning of a cell whenever pandas fails.
"""

from __future__ import annotations

import csv
import glob
import importlib
import io
import os
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import Array, listed, refuse_bad_names
from swarmnet.data.data_frames import pd
from swarmnet.data.tables import FrameTable, Table, coded, not_a_number, number_of
from swarmnet.errors import SwarmnetError, install_hint

FilePath = str | os.PathLike[str]

PARQUET_SUFFIXES = (".parquet", ".pq")
_GLANCE = 2**16  # bytes read to recognise a binary file
# Maximum unpacked size of a Parquet file: so many bytes, or so many for each byte of the file
_MOST_UNPACKED, _MOST_PER_BYTE = 2**28, 1000
_EMPTY = ["", *("".join(letters) for letters in product("nN", "aA", "nN"))]
_BOOLEANS = (b"True", b"TRUE", b"true", b"False", b"FALSE", b"false")


def open_table(path: Path) -> Table:
    """Open a Parquet file, recognised by its suffix, or a CSV file."""
    return parquet_table(path) if path.suffix.lower() in PARQUET_SUFFIXES else CsvTable(path)


def files_of(path: FilePath) -> list[Path]:
    """Return the file of that name or, if there is none, the files that match it as a glob."""
    name = os.fspath(path)
    with readable(name):
        if not any(character in name for character in "*?[") or Path(name).exists():
            return [Path(name)]
        found = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
        files = [file for file in found if not file.is_dir()]
    if not files:
        raise SwarmnetError(f"{name}: no file matches: check the folder and the pattern")
    return files


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn an error of the operating system about a file into a SwarmnetError of one line."""
    try:
        yield
    except FileNotFoundError:
        raise SwarmnetError(f"{name}: there is no such file: check its name and folder") from None
    except IsADirectoryError:
        raise SwarmnetError(
            f"{name}: this is a folder: name a file in it, or a glob such as {name}/*.csv"
        ) from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise SwarmnetError(f"{name}: the file cannot be read: {reason}") from None


class CsvTable:
    """A CSV file, or some of its lines, as a Table.

    Args:
        path: the file.
        checked: read every cell with the csv module, which otherwise takes over where pandas may err.

    Raises:
        SwarmnetError: the file cannot be read, is not UTF-8 text, has no header, no rows or a row with
            too many or too few fields.
    """

    _checked = False

    def __init__(self, path: Path, checked: bool = False) -> None:
        self.name, self._headers, self._checked = str(path), 1, checked
        self._before: Callable[[], int] = int  # returns 0
        self._text = self._utf8(_bytes(path))
        self.columns = self.header()[1]
        self._rows = self._count_rows()
        if self._rows == 0:
            raise SwarmnetError(f"{self.name}: there is a header but no row: add at least one")

    @classmethod
    def part(cls, path: str, lines: bytes, columns: list[str], before: Callable[[], int]) -> CsvTable:
        """Return some lines of a file as a table; `before` counts the lines above them for error messages."""
        table = cls.__new__(cls)
        table.name, table.columns, table._before, table._headers = path, columns, before, 0
        table._text = table._utf8(lines)
        table._rows = table._count_rows()
        return table

    @classmethod
    def head(cls, path: str, text: bytes) -> tuple[int, list[str]]:
        """Return the header's line number and the columns of a file that begins with this text."""
        table = cls.__new__(cls)
        table.name, table._before, table._headers = path, int, 1
        table._text = table._utf8(text)
        return table.header()

    def __len__(self) -> int:
        return self._rows

    def numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        frame = self._parsed(columns, np.float64)
        if frame is None:
            return self._checked_numbers(columns)
        numbers = {column: frame[column].to_numpy() for column in columns}
        return self._checked_numbers(columns) if self._may_hold_booleans(numbers) else numbers

    def texts(self, column: str) -> tuple[NDArray[np.int64], list[str]]:
        frame = self._parsed([column], str)
        if frame is not None:
            return coded(frame[column])
        at = self.columns.index(column)
        return coded(pd.Series([fields[at] for _, fields in self._body()], dtype=object))

    def where(self, row: int, column: str) -> str:
        line, _ = next(islice(self._body(), row, None))
        return f"{self._line(line)}, column {column!r}"

    def _line(self, number: int) -> str:
        """Return the name of a line in error messages."""
        return f"{self.name}, line {self._before() + number}"

    @property
    def _is_odd(self) -> bool:
        """Whether lines end in a bare CR: after a blank line, pandas misreads an empty first cell."""
        return self._text.count(b"\r") > self._text.count(b"\r\n")

    def _parsed(self, columns: Sequence[str], dtype: type) -> pd.DataFrame | None:
        """Return columns read by pandas' C parser, or None if its result may differ from the csv module's."""
        if self._checked or self._is_odd:
            return None
        try:
            frame: pd.DataFrame = pd.read_csv(
                io.BytesIO(self._text),
                header=0 if self._headers else None,
                names=self.columns,
                usecols=list(columns),
                dtype=dtype,
                na_values=_EMPTY,
                keep_default_na=False,
                skipinitialspace=True,
                **_exactly(),
            )
        except ValueError:
            return None
        return frame if len(frame) == self._rows else None

    def _may_hold_booleans(self, numbers: dict[str, Array]) -> bool:
        """Return whether pandas may have read a column of true and false silently as ones and zeros."""
        if not any(word in self._text for word in _BOOLEANS):
            return False
        return any(np.all((v == 0) | (v == 1) | np.isnan(v)) for v in numbers.values())

    def _checked_numbers(self, columns: Sequence[str]) -> dict[str, Array]:
        """Do the work of `numbers` cell by cell with the csv module."""
        position = {column: at for at, column in enumerate(self.columns)}
        places = [(column, position[column]) for column in columns]
        numbers = {column: np.empty(self._rows) for column in columns}
        for row, (line, fields) in enumerate(self._body()):
            for column, at in places:
                number = number_of(fields[at])
                if number is None:
                    raise not_a_number(f"{self._line(line)}, column {column!r}", fields[at])
                numbers[column][row] = number
        return numbers

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each record's first line number and fields, including the header, without blank lines."""
        lines = io.TextIOWrapper(io.BytesIO(self._text), encoding="utf-8", newline="")
        reader = csv.reader(lines, skipinitialspace=True, strict=True)
        start = 1
        try:
            for fields in reader:
                if len(fields) > 1 or "".join(fields).strip(" \t"):
                    yield start, fields
                start = reader.line_num + 1
        except csv.Error as error:
            raise SwarmnetError(
                f"{self._line(start)}: the quotes are wrong ({error}): close each one, or remove them"
            ) from None

    def _body(self) -> Iterator[tuple[int, list[str]]]:
        return islice(self._records(), self._headers, None)

    def header(self) -> tuple[int, list[str]]:
        """Return the header's line number and the columns that it names."""
        line, fields = next(self._records(), (0, []))
        if not fields:
            raise SwarmnetError(f"{self.name}: the file is empty: it needs a header and rows")
        columns = [field.strip() for field in fields]
        where = f"{self.name}, line {line}"
        if len(columns) == 1 and any(mark in columns[0] for mark in ";\t"):
            raise SwarmnetError(
                f"{where}: the header has no comma: swarmnet reads comma-separated files, "
                "so write this one with commas"
            )
        if all(column and number_of(column) is not None for column in columns):
            raise SwarmnetError(f"{where}: the first line holds numbers: add a header that names the columns")
        try:
            refuse_bad_names(columns)
        except SwarmnetError as error:
            raise SwarmnetError(f"{where}: {error}") from None
        return line, columns

    def _count_rows(self) -> int:
        expected, rows = len(self.columns), -self._headers  # the header is a record too
        for line, count in self._field_counts():
            if count != expected:
                raise SwarmnetError(
                    f"{self._line(line)}: this row has {count} of {expected} fields: "
                    "write one for each column, empty if it was not observed"
                )
            rows += 1
        return rows

    def _utf8(self, raw: bytes) -> bytes:
        """Return the text without byte order mark; raise SwarmnetError if it is not UTF-8."""
        text = raw.removeprefix(b"\xef\xbb\xbf")
        if b"\0" in text:
            raise SwarmnetError(
                f"{self.name}: this is a binary or UTF-16 file: swarmnet reads CSV files in UTF-8"
            )
        try:
            text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = len((text[: error.start] + b"x").splitlines())
            raise SwarmnetError(
                f"{self._line(line)}: this is not UTF-8 text: save the file as CSV in UTF-8"
            ) from None
        return text

    def _field_counts(self) -> Iterator[tuple[int, int]]:
        if b'"' in self._text:  # a quoted field may contain commas
            return ((line, len(fields)) for line, fields in self._records())
        return (
            (number, line.count(b",") + 1)
            for number, line in enumerate(self._text.splitlines(), 1)
            if line.strip(b" \t")
        )


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
        refuse_other_columns([(table.name, table.columns) for table in tables])

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


def _exactly() -> dict[str, Any]:
    """Return the option with which pandas reads numbers exactly; 3.1 does so always and deprecates it."""
    release = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if release >= (3, 1) else {"float_precision": "round_trip"}


def refuse_other_columns(tables: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Refuse tables, given as (name, columns), whose columns differ.

    Raises:
        SwarmnetError: a table lacks a column of the first, or has another one.
    """
    first = tables[0]
    for table in tables[1:]:
        for (one, has), (other, columns) in ((table, first), (first, table)):
            known = set(has)
            for column in columns:
                if column not in known:
                    raise SwarmnetError(
                        f"{one}: there is no column {column!r}, but {other} has one: "
                        "files that are read together need the same columns"
                    )


def _bytes(path: Path) -> bytes:
    """Return a file's bytes; only the first ones if it is binary."""
    with readable(str(path)), path.open("rb") as file:
        raw = file.read(_GLANCE)
        return raw if b"\0" in raw else raw + file.read()  # a device may never end


def parquet_table(path: Path) -> Table:
    """Return a Parquet file as a Table.

    Raises:
        SwarmnetError: pyarrow is not installed, or the file cannot be read or has no row.
    """
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
