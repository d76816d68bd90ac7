"""Sheets of Excel files as CSV text."""

from __future__ import annotations

import csv
import importlib
import io
import zipfile
from typing import Any

from swarmnet.data.column_names import shortened
from swarmnet.data.data_frames import pd
from swarmnet.data.file_text import MOST_PER_BYTE, MOST_UNPACKED
from swarmnet.data.reading import Reading
from swarmnet.errors import SwarmnetError, install_hint


def csv_of_sheet(name: str, raw: bytes, reading: Reading) -> tuple[bytes, tuple[str, ...]]:
    """Return the first sheet of an Excel file as CSV text in UTF-8, a line a row, and what was assumed.

    Raises:
        SwarmnetError: openpyxl is not installed, the file is no Excel file, or an option is for text files.
    """
    reading.refuse_for(name, "Excel files", "sep", "decimal", "thousands", "encoding")
    _refuse_large(name, raw)
    try:
        importlib.import_module("openpyxl")
    except ImportError:
        raise SwarmnetError(f"{name}: reading Excel files needs openpyxl: {install_hint('xlsx')}") from None
    try:
        sheets = pd.read_excel(
            io.BytesIO(raw),
            sheet_name=None,
            header=None,
            dtype=object,
            engine="openpyxl",
            keep_default_na=False,
        )
    except Exception as error:  # for invalid bytes openpyxl raises many types
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SwarmnetError(f"{name}: this Excel file cannot be read: {reason}") from None
    filled = [title for title, frame in sheets.items() if frame.size]
    if not filled:
        raise SwarmnetError(f"{name}: the file is empty: it needs a header and rows")
    notes = () if len(filled) == 1 else (f"the first of {len(filled)} sheets, {shortened(str(filled[0]))}",)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_texts, sheets[filled[0]].itertuples(index=False)))
    return text.getvalue().encode(), notes


def _texts(cells: Any) -> list[str]:
    """Return the cells of a row as texts without line breaks, so that a row is a line."""
    return ["" if pd.isna(cell) else " ".join(str(cell).splitlines()) for cell in cells]


def _refuse_large(name: str, raw: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            size = sum(part.file_size for part in packed.infolist())
            is_sheet = any(part.filename.startswith("xl/") for part in packed.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise SwarmnetError(f"{name}: this zip file cannot be read: {error}") from None
    if not is_sheet:
        raise SwarmnetError(f"{name}: this is a zip file, but no Excel file: unpack it")
    if size > max(MOST_UNPACKED, MOST_PER_BYTE * len(raw)):
        raise SwarmnetError(
            f"{name}: {len(raw)} bytes unpack to {size}: save the sheet as CSV if you trust it"
        )
