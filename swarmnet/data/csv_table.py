"""CSV files as tables, and the errors about them.

pandas' C parser reads a whole CSV file at once, but does not notice every mistake and does not say where it
is. Python's csv module is slower, but knows the line. It decides the meaning of a cell whenever pandas fails.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import Array, shortened
from swarmnet.data.data_frames import pd
from swarmnet.data.dialects import Dialect, dialect_of
from swarmnet.data.file_text import GLANCE, ZIP, as_utf8, bytes_of_file, encoding_of, wrong_encoding
from swarmnet.data.reading import AS_FOUND, BLANKS, Reading
from swarmnet.data.spreadsheets import csv_of_sheet
from swarmnet.data.tables import coded, hold_text, not_a_number
from swarmnet.errors import SwarmnetError, printable

_EMPTY = ["", *("".join(letters) for letters in product("nN", "aA", "nN"))]
_BOOLEANS = (b"True", b"TRUE", b"true", b"False", b"FALSE", b"false")
_LEAST_LINES = 20  # that are looked at to find the dialect, however long they are
_COMMENTS = re.compile(rb"^[#%][^\r\n]*", re.MULTILINE)
_LINE_END = re.compile(rb"\r\n|\n|\r")


class CsvTable:
    """A CSV file, or some of its lines, as a Table; also the first sheet of an Excel file.

    Args:
        path: the file.
        checked: read every cell with the csv module, which otherwise takes over where pandas may err.
        reading: how its cells are written, as far as the user says it.

    Raises:
        SwarmnetError: the file cannot be read, is not text, has no header, no rows or a row with too many or
            too few fields.
    """

    def __init__(self, path: Path, checked: bool = False, reading: Reading = AS_FOUND) -> None:
        raw = bytes_of_file(path)
        found: tuple[str, ...] = ()
        if raw.startswith(ZIP):
            raw, found = csv_of_sheet(str(path), raw, reading)
        dialect = dialect_of_bytes(str(path), raw, reading)
        text = as_utf8(raw, dialect.encoding)
        self._fill(str(path), text[end_of_line(text, dialect.first) :], dialect, lambda: dialect.first)
        self._checked, self.notes = checked, (*found, *dialect.notes)
        if self._rows == 0:
            raise SwarmnetError(f"{self.name}: there is a header but no row: add at least one")

    @classmethod
    def part(cls, path: str, lines: bytes, dialect: Dialect, before: Callable[[], int]) -> CsvTable:
        """Return some lines of a file as a table; `before` counts the lines above them for error messages."""
        table = cls.__new__(cls)
        try:
            text = as_utf8(lines, dialect.encoding)
        except UnicodeDecodeError as error:
            line = before() + len((lines[: error.start] + b"x").splitlines())
            raise wrong_encoding(f"{path}, line {line}", dialect.encoding) from None
        table._checked, table.notes = False, ()
        table._fill(path, text, dialect, before)
        return table

    def _fill(self, name: str, body: bytes, dialect: Dialect, before: Callable[[], int]) -> None:
        self.name, self.columns, self.units = name, dialect.columns, dialect.units
        self._dialect, self._before = dialect, before
        self._sep = "\t" if dialect.sep == BLANKS else dialect.sep
        self._text = self._tidied(body)
        self._rows = self._count_rows()

    def _tidied(self, body: bytes) -> bytes:
        """Return the rows with one separator between fields; comments and empty rows become blank."""
        if self._dialect.sep == BLANKS:
            body = re.sub(rb"^[ \t]+|[ \t]+(?=\r?$)", b"", body, flags=re.MULTILINE)
            body = re.sub(rb"[ \t]+", b"\t", body)
        if len(self._dialect.fields) > 1:
            mark = re.escape(self._sep.encode())
            body = re.sub(rb"(?:^|(?<=\r))(?:[ \t]|%b)+(?=[\r\n]|$)" % mark, b"", body, flags=re.MULTILINE)
            body = _COMMENTS.sub(self._without_comment, body)
        return body

    def _without_comment(self, line: re.Match[bytes]) -> bytes:
        """Return nothing for a line that begins like a comment, unless it has the fields of a row."""
        return line[0] if line[0].count(self._sep.encode()) + 1 >= self._dialect.least else b""

    def __len__(self) -> int:
        return self._rows

    @property
    def nbytes(self) -> int:
        """Bytes of the text."""
        return len(self._text)

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
        at = self._dialect.fields.index(column)
        return coded(pd.Series([fields[at] for _, fields in self._records()], dtype=object))

    def where(self, row: int, column: str) -> str:
        line, _ = next(islice(self._records(), row, None))
        return f"{self._line(line)}, column {column!r}"

    def _line(self, number: int) -> str:
        """Return the name of a line in error messages."""
        return f"{self.name}, line {self._before() + number}"

    @property
    def _needs_checks(self) -> bool:
        """Whether pandas may read cells otherwise than the csv module, in silence."""
        cells = self._dialect.cells
        # Lines end in a bare CR: after a blank line, pandas misreads an empty first cell
        is_odd = self._text.count(b"\r") > self._text.count(b"\r\n")
        # pandas takes 1,2,3 for 123, and, with a decimal comma, some of its versions a point for one
        return is_odd or cells.thousands is not None or (cells.decimal != "." and b"." in self._text)

    def _parsed(self, columns: Sequence[str], dtype: type) -> pd.DataFrame | None:
        """Return columns read by pandas' C parser, or None if its result may differ from the csv module's."""
        if self._checked or self._needs_checks:
            return None
        cells, fields = self._dialect.cells, self._dialect.fields
        try:
            frame: pd.DataFrame = pd.read_csv(
                io.BytesIO(self._text),
                sep=self._sep,
                decimal=cells.decimal,
                header=None,
                names=[f"\0{at}" if name is None else name for at, name in enumerate(fields)],
                usecols=list(columns),
                index_col=False,
                dtype=dtype,
                na_values=[*_EMPTY, *(cells.missing if dtype is np.float64 else ())],
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
        places = [(column, self._dialect.fields.index(column)) for column in columns]
        numbers = {column: np.empty(self._rows) for column in columns}
        for row, (line, fields) in enumerate(self._records()):
            for column, at in places:
                number = self._dialect.cells.number(fields[at])
                if number is None:
                    raise self._not_a_number(line, column, fields[at], at)
                numbers[column][row] = number
        return numbers

    def _not_a_number(self, line: int, column: str, text: str, at: int) -> SwarmnetError:
        cells = self._dialect.cells
        is_text = hold_text((fields[at] for _, fields in self._records()), cells.number)
        hint = f", or give na={shortened(text)} (--na {shlex.quote(printable(text.strip()[:40]))})"
        if cells.decimal == "." and re.fullmatch(r"[+-]?[\d.]*\d,\d+", text.strip()):
            hint += "; a comma may be the decimal mark (--decimal ,) or group digits (--thousands ,)"
        return not_a_number(f"{self._line(line)}, column {column!r}", text, hint, is_text)

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Yield each row's first line number and fields, without blank lines."""
        lines = io.TextIOWrapper(io.BytesIO(self._text), encoding="utf-8", newline="")
        reader = csv.reader(lines, delimiter=self._sep, skipinitialspace=True, strict=True)
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

    def _count_rows(self) -> int:
        least, most, rows = self._dialect.least, len(self._dialect.fields), 0
        for line, count in self._field_counts():
            if not least <= count <= most:
                raise SwarmnetError(
                    f"{self._line(line)}: this row has {count} of {least} fields: "
                    "write one for each column, empty if it was not observed"
                )
            rows += 1
        if most > least:
            self._refuse_cells_without_column(least)
        return rows

    def _refuse_cells_without_column(self, least: int) -> None:
        for line, fields in self._records():
            if "".join(fields[least:]).strip():
                raise SwarmnetError(
                    f"{self._line(line)}: there is a cell behind the last column that has a name: name its "
                    "column, or remove it"
                )

    def _field_counts(self) -> Iterator[tuple[int, int]]:
        if b'"' in self._text:  # a quoted field may contain separators
            return ((line, len(fields)) for line, fields in self._records())
        mark = self._sep.encode()
        return (
            (number, line.count(mark) + 1)
            for number, line in enumerate(self._text.splitlines(), 1)
            if line.strip(b" \t") or (mark in line and mark != b" ")
        )


def dialect_of_bytes(name: str, raw: bytes, reading: Reading, whole: bool = True) -> Dialect:
    """Return how a text is written; `whole` is whether `raw` is all of it.

    Raises:
        SwarmnetError: it is not text, is empty, or has no valid header.
    """
    encoding, is_assumed = encoding_of(name, raw, reading, whole)
    text = as_utf8(raw, encoding)
    head = text if len(text) <= GLANCE else text[: max(GLANCE, end_of_line(text, _LEAST_LINES))]
    head = head if len(head) == len(text) else head[: head.rfind(b"\n") + 1] or text
    dialect = dialect_of(name, head.decode("utf-8"), reading)
    notes = (
        (f"{encoding} text, because it is not UTF-8 (--encoding)", *dialect.notes)
        if is_assumed
        else dialect.notes
    )
    return replace(dialect, encoding=encoding, notes=notes)


def end_of_line(text: bytes, lines: int) -> int:
    """Return the number of bytes in the first lines of a text."""
    ends = islice(_LINE_END.finditer(text), lines - 1, lines)
    return next((end.end() for end in ends), len(text))


def _exactly() -> dict[str, Any]:
    """Return the option with which pandas reads numbers exactly; 3.1 does so always and deprecates it."""
    release = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if release >= (3, 1) else {"float_precision": "round_trip"}
