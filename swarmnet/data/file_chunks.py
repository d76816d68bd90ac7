"""Files divided into pieces that fit into memory and can be read on any machine that has the files.

A piece of a Parquet file is some of its row groups; a piece of a CSV file is some of its lines. A piece holds
only the position of its rows, not the rows, and can be pickled.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from swarmnet.data.column_roles import TargetError, is_long
from swarmnet.data.csv_table import CsvTable, dialect_of_bytes, end_of_line
from swarmnet.data.data_frames import pd
from swarmnet.data.definitions import Define
from swarmnet.data.dialects import Dialect
from swarmnet.data.file_paths import readable
from swarmnet.data.file_text import in_pieces
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.data.table_files import (
    PARQUET_SUFFIXES,
    TEXT_OPTIONS,
    named_columns,
    parquet_errors,
    parquet_module,
    refuse_other_columns,
)
from swarmnet.data.table_form import Form, located, named, targets_of
from swarmnet.data.table_views import Columns, asked_names, known_texts
from swarmnet.data.tables import FrameTable, Table
from swarmnet.errors import SwarmnetError


@dataclass(frozen=True)
class ReadSizes:
    """How much of a file is read at a time.

    Args:
        piece_bytes: of a piece of a CSV file.
        piece_rows: minimum rows of a piece of a Parquet file; smaller row groups are combined.
        table_bytes: of a CSV file read at a time.
        block_rows: maximum rows that are checked and prepared at a time.
        head_bytes: of a CSV file read first to find the header.
    """

    piece_bytes: int = 1 << 25
    piece_rows: int = 1 << 16
    table_bytes: int = 1 << 23
    block_rows: int = 1 << 16
    head_bytes: int = 1 << 16


SIZES = ReadSizes()


@dataclass(frozen=True)
class Stamp:
    """A file's path, size and modification time when it was opened."""

    path: str
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """Return the current state of a file."""
        with readable(str(path)):
            found = path.stat()
        if not path.is_file():
            raise SwarmnetError(f"{path}: this is no file, and only files can be read piece by piece")
        return cls(os.path.abspath(path), found.st_size, found.st_mtime_ns)

    def refuse_change(self) -> None:
        """Raise SwarmnetError if the file has changed."""
        if Stamp.of(Path(self.path)) != self:
            raise SwarmnetError(f"{self.path}: the file has changed since it was opened: start again")


@dataclass(frozen=True)
class Piece(ABC):
    """Some rows of a file, from `start` to `stop` (exclusive), which count bytes (CSV) or rows (Parquet)."""

    stamp: Stamp
    start: int
    stop: int

    @property
    def path(self) -> str:
        """The file's path."""
        return self.stamp.path

    @property
    def size(self) -> int:
        """Number of bytes (CSV) or rows (Parquet), to compare pieces of one kind."""
        return self.stop - self.start

    @abstractmethod
    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Table]:
        """Yield the rows as tables of at most about `rows` rows.

        Raises:
            SwarmnetError: the file cannot be read, or has changed since it was opened.
        """

    @abstractmethod
    def starts(self, rows: int) -> Sequence[int]:
        """Return the start of each table of `rows` rows."""

    def parts(self, count: int, rows: int) -> list[Self]:
        """Split into up to `count` pieces whose tables of `rows` rows are the same as the whole's."""
        tables = self.starts(rows)
        edges = [tables[len(tables) * i // count] for i in range(count)] + [self.stop]
        return [replace(self, start=a, stop=b) for a, b in pairwise(edges) if a < b]


@dataclass(frozen=True)
class Layout:
    """The properties of a file that are known without reading its rows.

    Args:
        name: the file's name.
        columns: the names of its columns.
        rows: the number of rows; for a CSV file, estimated from its first lines.
        size: bytes.
        pieces: in the order of their rows.
        units: of columns, where the file gives them below the header.
        notes: what was assumed about how the file is written.
    """

    name: str
    columns: list[str]
    rows: int
    size: int
    pieces: list[Piece]
    units: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def tables(self, column: str) -> Iterator[Table]:
        """Yield the rows of one column."""
        for piece in self.pieces:
            yield from piece.tables([column], SIZES.block_rows)


def form_of_files(
    layouts: Sequence[Layout],
    inputs: Iterable[str] | None,
    outputs: Iterable[str] | None,
    define: Define | None = None,
    categories: Iterable[str] = (),
) -> tuple[Form, Columns]:
    """Return the meaning of the columns, which all files must share, and their names in the files.

    Targets of long tables and the texts of categories are read.

    Raises:
        SwarmnetError: the files' columns differ, or the role of a column or target is undecided.
    """
    first = layouts[0]
    refuse_other_columns([(layout.name, layout.columns, layout.units) for layout in layouts])

    def tables(column: str) -> Iterator[Table]:
        return (table for layout in layouts for table in layout.tables(column))

    asked = asked_names(inputs, outputs, define, first.columns)
    texts = {c: known_texts(tables(c), [c], asked)[c] if c in first.columns else [] for c in categories}
    with named(first):
        columns = Columns.of(first.columns, first.units, asked, texts)
    roles, found = (columns.expanded(inputs), columns.expanded(outputs)), None
    if is_long(columns.names, *roles):
        found = list(dict.fromkeys(target for table in tables("target") for target in targets_of(table)))
    try:
        with named(first):
            return Form.of(columns.names, found, *roles, define), columns
    except TargetError as error:
        raise located(error, tables("target")) from None


def layout_of(path: Path, sizes: ReadSizes = SIZES, reading: Reading = AS_FOUND) -> Layout:
    """Return the layout of a Parquet file, recognised by its suffix, or of a CSV or Excel file."""
    if path.suffix.lower() in PARQUET_SUFFIXES:
        return parquet_layout(path, sizes, reading)
    return csv_layout(path, sizes, reading)


@dataclass(frozen=True)
class ParquetPiece(Piece):
    """Rows of the row groups `first` to `last` (exclusive), counted from the start of the first one.

    Args:
        first: first row group.
        last: the row group after the last one.
        above: number of rows in the file before the first row group.
    """

    first: int
    last: int
    above: int

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Table]:
        """Yield tables of at most `rows` rows, cut at multiples of `rows` from the first row group."""
        self.stamp.refuse_change()
        with _parquet(Path(self.path)) as file, parquet_errors(self.path):
            at = 0
            for batch in file.iter_batches(
                rows, range(self.first, self.last), list(columns), use_threads=False
            ):
                low, end = at, at + len(batch)
                while low < min(end, self.stop):
                    high = min(end, self.stop, low + rows - low % rows)
                    if self.start < high:
                        frame = batch.slice(low - at, high - low).to_pandas()
                        frame.index = pd.RangeIndex(self.above + low, self.above + high)
                        yield FrameTable(frame, self.path)
                    low = high
                at = end
                if at >= self.stop:
                    break

    def starts(self, rows: int) -> Sequence[int]:
        """Return the first row of each table."""
        return range(self.start, self.stop, rows)


def parquet_layout(path: Path, sizes: ReadSizes = SIZES, reading: Reading = AS_FOUND) -> Layout:
    """Return the layout of a Parquet file; a piece is a row group, or several small ones.

    Raises:
        SwarmnetError: pyarrow is not installed, the file is not a valid Parquet file, or an option is for
            text files.
    """
    reading.refuse_for(str(path), "Parquet files", *TEXT_OPTIONS)
    stamp = Stamp.of(path)
    with _parquet(path) as file, parquet_errors(str(path)):
        groups = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        columns = named_columns(file.schema_arrow.names)
    FrameTable(pd.DataFrame(columns=columns), str(path))  # refuses empty and repeated names
    pieces: list[Piece] = []
    first = above = rows = 0
    for group, size in enumerate(groups, 1):
        rows += size
        if rows >= sizes.piece_rows or (group == len(groups) and rows):
            pieces.append(ParquetPiece(stamp, 0, rows, first, group, above))
            first, above, rows = group, above + rows, 0
    if not pieces:
        raise SwarmnetError(f"{path}: there is no row: add at least one")
    return Layout(str(path), columns, sum(groups), stamp.size, pieces)


def _parquet(path: Path) -> Any:
    parquet = parquet_module(path)
    with readable(str(path)), parquet_errors(str(path)):
        return parquet.ParquetFile(path, buffer_size=1 << 20)


@dataclass(frozen=True)
class CsvPiece(Piece):
    """The lines of a CSV file, without its header, that begin at bytes `start` to `stop` (exclusive).

    Args:
        dialect: how the file is written.
        table_bytes: bytes read at a time.
    """

    dialect: Dialect
    table_bytes: int

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Table]:
        """Yield the rows as tables of about `table_bytes` of text; `rows` is not used."""
        self.stamp.refuse_change()
        for start, stop in _cut(self.path, self.start, self.stop, self.table_bytes):
            with readable(self.path), open(self.path, "rb") as file:
                file.seek(start)
                text = file.read(stop - start)
            before = partial(_lines_before, self.path, start, self.table_bytes)
            if text.count(b'"') % 2:
                raise SwarmnetError(
                    f"{self.path}, line {before() + 1} and below: a quoted cell goes on over several lines: "
                    "a file that is read in parts must have a row a line"
                )
            yield CsvTable.part(self.path, text, self.dialect, before)

    def starts(self, rows: int) -> Sequence[int]:
        """Return the first byte of each table; `rows` is not used."""
        return [start for start, _ in _cut(self.path, self.start, self.stop, self.table_bytes)]


@dataclass(frozen=True)
class WholePiece(Piece):
    """All rows of a compressed, an Excel or a UTF-16 file, which are read at once.

    Args:
        reading: how the file is to be read.
    """

    reading: Reading

    def tables(self, columns: Sequence[str], rows: int) -> Iterator[Table]:
        """Yield all rows as one table; `rows` is not used."""
        self.stamp.refuse_change()
        yield CsvTable(Path(self.path), reading=self.reading)

    def starts(self, rows: int) -> Sequence[int]:
        """Return the start of the only table; `rows` is not used."""
        return [self.start]


def csv_layout(path: Path, sizes: ReadSizes = SIZES, reading: Reading = AS_FOUND) -> Layout:
    """Return the layout of a CSV file; a piece is about `sizes.piece_bytes` of lines.

    A file of which no part can be read alone, such as a compressed one, is one piece.

    Raises:
        SwarmnetError: the file cannot be read, or has no header or no row.
    """
    stamp = Stamp.of(path)
    if not in_pieces(path, reading):
        table = CsvTable(path, reading=reading)
        pieces: list[Piece] = [WholePiece(stamp, 0, stamp.size, reading)]
        return Layout(str(path), table.columns, len(table), table.nbytes, pieces, table.units, table.notes)
    head = sizes.head_bytes
    while True:
        with readable(str(path)), path.open("rb") as file:
            text = file.read(head)
        text = text[: text.rfind(b"\n") + 1] if head < stamp.size else text
        whole = head >= stamp.size
        if whole or text.count(b"\n") > 20:
            break
        head *= 8
    dialect = dialect_of_bytes(str(path), text, reading)
    start = end_of_line(text, dialect.first)
    body = text[start:]
    if whole:
        CsvTable(path, reading=reading)  # a small file is checked completely
    rows = round((stamp.size - start) * max(1, body.count(b"\n")) / max(1, len(body)))
    edges = _cut(str(path), start, stamp.size, sizes.piece_bytes)
    pieces = [CsvPiece(stamp, a, b, dialect, sizes.table_bytes) for a, b in edges]
    return Layout(str(path), dialect.columns, rows, stamp.size, pieces, dialect.units, dialect.notes)


def _cut(path: str, start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """Divide the bytes from start to stop into parts of about `size`, each ending at the end of a line."""
    edges = [start]
    with readable(path), open(path, "rb") as file:
        while edges[-1] + size < stop:
            file.seek(edges[-1] + size - 1)
            file.readline()
            edges.append(min(file.tell(), stop))
    edges += [stop] if edges[-1] < stop else []
    return list(pairwise(edges))


def _lines_before(path: str, byte: int, size: int) -> int:
    """Return the number of lines before a byte that begins a line, reading about `size` bytes at a time."""
    lines = 0
    with readable(path), open(path, "rb") as file:
        while file.tell() < byte:
            text = file.read(min(byte - file.tell(), size))
            lines += len((text + file.readline() if file.tell() < byte else text).splitlines())
    return lines
