"""How a text file is written: its separator, decimal mark, header, units and the lines above the header.

Only what its first lines leave no doubt of is recognised, and each assumption is noted.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from swarmnet.data.column_names import refuse_bad_names
from swarmnet.data.reading import BLANKS, CellFormat, Reading
from swarmnet.data.tables import number_of
from swarmnet.errors import SwarmnetError

_ROWS = 200  # chosen: records that are looked at
_COMMENT = re.compile(r"\s*[#%]+\s*")
_EXCEL = re.compile(r"sep=(.)\s*")  # the first line of some files for spreadsheets
_COMMA_NUMBER = re.compile(r"[+-]?(\d+),(\d+)([eEdD][+-]?\d+)?", re.ASCII)
_BRACKETS = re.compile(r"^[(\[]([^][()]+)[)\]]$")
_SHOWN = {",": "commas", ";": "semicolons", "\t": "tabs", BLANKS: "blanks"}


@dataclass(frozen=True)
class Dialect:
    """How one file is written.

    Args:
        encoding: of the text.
        sep: the character between two columns; a blank for any number of blanks and tabs.
        fields: the name of the column of each field of a row, None for one that is left out.
        first: number of lines above the first row.
        cells: how numbers are written.
        units: by column, if they have a line of their own.
        notes: what was assumed.
    """

    sep: str
    fields: tuple[str | None, ...]
    first: int
    cells: CellFormat = field(default_factory=CellFormat)
    units: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    encoding: str = "utf-8"

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return [name for name in self.fields if name is not None]

    @property
    def least(self) -> int:
        """The number of fields up to the last column."""
        return max(at for at, name in enumerate(self.fields, 1) if name is not None)


@dataclass(frozen=True)
class _Record:
    """A row of text: its fields, and the numbers of its first line and of the line below it."""

    line: int
    end: int
    fields: list[str]

    @property
    def width(self) -> int:
        """The number of fields up to the last one that is not empty."""
        return max((at for at, text in enumerate(self.fields, 1) if text.strip()), default=0)

    @property
    def has_number(self) -> bool:
        return any(_is_number(text) for text in self.fields)


@dataclass(frozen=True)
class _Layout:
    """The records of a file's first lines by one separator, with the header's number among them."""

    sep: str
    records: list[_Record]
    header: int
    names: list[str]

    @property
    def body(self) -> list[_Record]:
        return self.records[self.header + 1 :]

    @property
    def fit(self) -> float:
        """The share of rows that have a field for each column."""
        return sum(_fits(record, len(self.names)) for record in self.body) / max(1, len(self.body))

    @property
    def numbers(self) -> float:
        """The share of numbers among the cells."""
        cells = [text for record in self.body for text in record.fields if text.strip()]
        commas = self.sep != ","
        return sum(_is_number(text, commas) for text in cells) / max(1, len(cells))


def dialect_of(name: str, text: str, reading: Reading) -> Dialect:
    """Return how a file is written, from its first lines and the options.

    Raises:
        SwarmnetError: it is empty, its header is missing or not valid; the message names the file.
    """
    lines = _Lines(text)
    sep = reading.sep or lines.excel_sep
    marks = [mark for mark in ",;\t" if mark != reading.decimal]
    layout = lines.laid_out(sep) if sep else _best([one for one in map(lines.laid_out, marks) if one], lines)
    if lines.quotes and (layout is None or not layout.records):
        raise SwarmnetError(f"{name}, {lines.quotes}: close each one, or remove them")
    if layout is None or not layout.records:
        raise SwarmnetError(f"{name}: the file is empty: it needs a header and rows")
    header = layout.records[layout.header]
    where = f"{name}, line {header.line}"
    fields, notes = _fields(layout, where)
    found = Dialect(
        layout.sep, fields, header.end, CellFormat(reading.decimal or ".", reading.thousands, reading.na)
    )
    if sep is None and layout.sep != ",":
        notes.insert(0, f"{_SHOWN[layout.sep]} between columns (--sep)")
    if reading.decimal is None and layout.sep != "," and _commas_are_decimal(layout, reading):
        notes.append("commas as decimal marks (--decimal)")
        found = replace(found, cells=replace(found.cells, decimal=","))
    units = _units(layout, fields, found.cells)
    if units is not None:
        notes.append(f"line {layout.body[0].line} as units")
        found = replace(found, units=units, first=layout.body[0].end)
    if lines.is_commented(header):
        notes.append(f"line {header.line} as the header")
    if header.line > 1 and (above := lines.above(header)):
        notes.append(f"{above} line{'s' * (above > 1)} above the header left out")
    return replace(found, notes=tuple(notes))


class _Lines:
    """The first lines of a file."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = io.StringIO(text, newline="").readlines()
        excel = _EXCEL.fullmatch(self._lines[0]) if self._lines else None
        self.excel_sep = excel[1] if excel else None
        self._start = 1 if excel else 0
        self._comments: list[int] = []
        self.quotes = ""  # what is wrong with them, if no header can be read
        for number in range(self._start, len(self._lines)):
            line = self._lines[number]
            if line.strip() and not _COMMENT.match(line):
                break
            if line.strip():
                self._comments.append(number)
        else:
            self._comments = []  # nothing but comments: a header may begin like one

    def laid_out(self, sep: str) -> _Layout | None:
        """Return the records by a separator, or None if the quotes do not allow them."""
        start = self._comments[-1] + 1 if self._comments else self._start
        try:
            records = list(islice(self._records(start, sep), _ROWS))
        except csv.Error:
            records = []
        if not records:
            try:
                records = list(islice(self._records(self._start, sep), 1))
            except csv.Error as error:
                self.quotes = f"line {self._start + 1}: the quotes are wrong ({error})"
                return None
        if self._comments and records and records[0].has_number:
            header = self._commented(sep, records)
            if header is not None:
                records = [header, *records]
        at = _header(records)
        return _Layout(sep, records, at, self._names(sep, records, at) if records else [])

    def _names(self, sep: str, records: Sequence[_Record], at: int) -> list[str]:
        """Return the names in the header, which is record `at`."""
        header, rows = records[at], records[at + 1 :]
        if sep == BLANKS:
            line = _COMMENT.sub("", self._lines[header.line - 1], count=1) if at == 0 else ""
            return _names_between_blanks(line or self._lines[header.line - 1], rows)
        names = [text.strip() for text in header.fields[: header.width]]
        if rows and len(rows[0].fields) < len(names):
            # p (bar, abs) without quotes; the reader has dropped the blank
            line = self._lines[header.line - 1].strip().rstrip(sep)
            whole = re.split(re.escape(sep) + r"(?![^(\[]*[)\]])", line)
            names = [name.strip() for name in whole] if len(whole) == len(rows[0].fields) else names
        # LabVIEW writes the name Comment above rows that may have no such field
        absent = names[-1] == "Comment" and rows and all(len(row.fields) < len(names) for row in rows)
        return names[:-1] if absent else names

    def is_commented(self, header: _Record) -> bool:
        """Return whether the header is one of the comments."""
        return header.line - 1 in self._comments

    def above(self, header: _Record) -> int:
        """Return how many lines with text are above the header."""
        return sum(bool(line.strip(" \t\r\n,;")) for line in self._lines[self._start : header.line - 1])

    def _records(self, start: int, sep: str) -> Iterator[_Record]:
        """Yield the records from line number `start`, counted from 0, without those of empty cells."""
        lines = self._lines[start:]
        if sep == BLANKS:
            for number, line in enumerate(lines, start + 1):
                if line.strip():
                    yield _Record(number, number, line.split())
            return
        reader = csv.reader(iter(lines), delimiter=sep, skipinitialspace=sep != "\t", strict=True)
        first = start + 1
        for fields in reader:
            if "".join(fields).strip():
                yield _Record(first, start + reader.line_num, fields)
            first = start + reader.line_num + 1

    def _commented(self, sep: str, rows: Sequence[_Record]) -> _Record | None:
        """Return the last comment as a header, if it has a name for each field of the first row."""
        number = self._comments[-1]
        text = _COMMENT.sub("", self._lines[number], count=1).strip()
        if sep == BLANKS:
            names = _names_between_blanks(text, rows)
        else:
            names = next(csv.reader([text], delimiter=sep, skipinitialspace=True), [])
        fits = len(names) == rows[0].width or len(names) == len(rows[0].fields)
        return _Record(number + 1, number + 1, names) if fits else None


def _best(layouts: Sequence[_Layout], lines: _Lines) -> _Layout | None:
    """Return the records by the separator of which the first lines leave no doubt; else by the comma."""
    usable = [one for one in layouts if len(one.names) > 1 and one.fit >= 0.5 and one.body]
    if usable:
        return max(usable, key=lambda one: (one.fit * one.numbers, one.sep == ","))
    by_blanks = lines.laid_out(BLANKS)
    if by_blanks and len(by_blanks.names) > 1 and by_blanks.fit == 1 and by_blanks.numbers >= 0.5:
        return by_blanks
    return next((one for one in layouts if one.sep == ","), layouts[0] if layouts else None)


def _header(records: Sequence[_Record]) -> int:
    """Return the number of the header among the records: the first, or one below titles.

    A title has fewer cells than the header. The header has no number, and at least half of the rows below it
    have as many fields.
    """
    widest, found = 0, 0
    for at, record in enumerate(records[:-1]):
        cells = sum(bool(text.strip()) for text in record.fields)
        below = records[at + 1 :]
        if at and cells > max(widest, 1) and not record.has_number and below[-1].has_number:
            columns = record.width - (record.fields[record.width - 1].strip() == "Comment")
            fits = sum(_fits(other, columns) for other in below)
            found = at if 2 * fits >= len(below) else found
        widest = max(widest, cells)
    return found


def _fits(record: _Record, columns: int) -> bool:
    """Return whether a record has a field for each column, and further ones are empty."""
    return len(record.fields) >= columns >= record.width


def _fields(layout: _Layout, where: str) -> tuple[tuple[str | None, ...], list[str]]:
    """Return the column of each field, None for one that is left out, and what was assumed for it."""
    notes = []
    names: list[str | None] = [*layout.names]
    rows = layout.body
    if len(names) == 1 and any(mark in str(names[0]) for mark in ";\t"):
        raise SwarmnetError(
            f"{where}: the header has no comma, and the rows have not as many fields as it by another "
            "separator: write a field for each column, or name the separator with sep= (--sep)"
        )
    if all(name and number_of(name) is not None for name in layout.names):
        raise SwarmnetError(f"{where}: the first line holds numbers: add a header that names the columns")
    if not names[0] and len(names) > 1 and rows and _counts(rows):
        notes.append("the first column, without a name, as row numbers, left out")
        names[0] = None
    try:
        refuse_bad_names(["\0" if name is None else name for name in names])
    except SwarmnetError as error:
        raise SwarmnetError(f"{where}: {error}") from None
    records = [layout.records[layout.header], *rows]
    longest = max(len(record.fields) for record in records if record.width <= len(names))
    names += [None] * (longest - len(names))
    return tuple(names), notes


def _counts(rows: Sequence[_Record]) -> bool:
    """Return whether the first column numbers the rows, as pandas does."""
    texts = [row.fields[0].strip() for row in rows]
    if not all(re.fullmatch(r"\d{1,15}", text, re.ASCII) for text in texts):
        return False
    return [int(text) - int(texts[0]) for text in texts] == list(range(len(texts)))


def _commas_are_decimal(layout: _Layout, reading: Reading) -> bool:
    """Return whether the cells make sense with decimal commas only."""
    cells = [text.strip() for record in layout.body for text in record.fields]
    found = [match for text in cells if (match := _COMMA_NUMBER.fullmatch(text))]
    # 1,234 may be a number above 1000; 0,125 is not, nor is 1,5
    certain = [m for m in found if len(m[2]) != 3 or len(m[1]) > 3 or m[1].startswith("0") or m[3]]
    points = any("." in text and number_of(text) is not None for text in cells)
    return bool(certain) and not points and reading.thousands != ","


def _units(layout: _Layout, fields: Sequence[str | None], cells: CellFormat) -> dict[str, str] | None:
    """Return the units in the record below the header; None if it holds something else."""
    if len(layout.body) < 2:
        return None
    first, rows = layout.body[0], layout.body[1:]
    units = {name: text.strip() for name, text in zip(fields, first.fields, strict=False) if name}
    units = {name: _BRACKETS.sub(r"\1", unit) for name, unit in units.items() if unit}
    if not units or {"target", "value"} <= {*fields} or first.has_number:
        return None
    if not any(
        character.isalpha() or character in "%\u00b0" for unit in units.values() for character in unit
    ):
        return None
    for at, name in enumerate(fields):
        below = [row.fields[at] for row in rows if at < len(row.fields)]
        numbers = [cells.number(text) for text in below]
        if name in units and (
            None in numbers or all(number is None or math.isnan(number) for number in numbers)
        ):
            return None
        if name in units and cells.number(units[name]) is not None:
            return None
    return units


def _names_between_blanks(line: str, rows: Sequence[_Record]) -> list[str]:
    """Return the names in a line, so many as the first row has fields if that is possible.

    Names are parted by two blanks or more, or by one, or by one that is not before a unit in brackets.
    """
    text = line.strip()
    columns = len(rows[0].fields) if rows else 0
    joined = [name.replace("\0", " ") for name in re.sub(r"\s+(?=[(\[])", "\0", text).split()]
    for names in (re.split(r"\s{2,}|\t", text), text.split(), joined):
        if len(names) == columns:
            return names
    return text.split()


def _is_number(text: str, commas: bool = True) -> bool:
    found = number_of(text.replace(",", ".") if commas and text.count(",") == 1 else text)
    return found is not None and bool(text.strip())
