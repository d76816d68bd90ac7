"""Conversion of DataFrames to the report's tables, with numbers as aligned text of four digits."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from swarmnet.comparison import Comparison
from swarmnet.data.data_frames import pd
from swarmnet.data.inspection import RANGE, DataInspection, digits_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import MEANINGS, candidates, for_people, two_numbers
from swarmnet.number_format import for_range

_PATTERNS = 20  # rows of the table of patterns, the most frequent ones
_DIGITS = 4
_AUDIT = (
    "noise in the column's unit; residual: observed minus predicted; "
    "chi² per entry: mean of (residual / noise)², about 1 where the model meets it; "
    "largest residual in units of noise; factor: observed over predicted numbers, 1 where both agree; "
    "cosine: how alike they are otherwise, from -1 to 1"
)
_CANDIDATES = (
    "left-out error: that of predictions of entries left out of the fit, relative to the size of their "
    "column; score (log evidence): how well the model explains the data, with its freedom counted against "
    "it, higher is better. Where left-out errors are nearly equal, networks are preferred, and among "
    "polynomials the score decides"
)
# Terms of statistics, in the words of readers who do not know them
_PLAIN = {
    "prior": "usual size of weights (prior)",
    "log evidence": "score (log evidence)",
    "chi2 per entry": "squared error over sigma² (chi²)",
}


@dataclass(frozen=True)
class Cell:
    """A cell's text, with `more` below it; numbers are aligned right, and the best of a row is marked."""

    text: str
    number: bool = False
    best: bool = False
    more: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a title and a note."""

    title: str
    columns: Sequence[Cell]
    rows: Sequence[Sequence[Cell]]
    note: str = ""


def frame_table(
    frame: pd.DataFrame, title: str, note: str = "", digits: Mapping[str, Sequence[int]] | None = None
) -> Table:
    """Return a table of a DataFrame without its empty columns; the note stands beside the title.

    `digits` has the digits of each row, for columns with other digits than four.
    """
    kept = frame.dropna(axis="columns", how="all")
    columns = {
        str(name): list(map(cell, kept[name], (digits or {}).get(str(name), [_DIGITS] * len(kept))))
        for name in kept
    }
    heads = [Cell(name, any(cell.number for cell in cells)) for name, cells in columns.items()]
    return Table(title, heads, list(zip(*columns.values(), strict=True)), note)


def cell(value: Any, digits: int = _DIGITS) -> Cell:
    """Return a cell with numbers in so many digits and whole numbers in full; NaN and None are empty."""
    if value is None:
        return Cell("")
    if isinstance(value, bool | np.bool_):
        return Cell("yes" if value else "no")
    if isinstance(value, Integral):
        return Cell(str(int(value)), number=True)
    if isinstance(value, Real) and np.isnan(float(value)):
        return Cell("")
    return Cell(short(float(value), digits), number=True) if isinstance(value, Real) else Cell(str(value))


def short(number: float, digits: int = _DIGITS) -> str:
    """Return a number as text with so many digits, in the format of the page's script: 1234, 1.5e7."""
    if 1e3 <= abs(number) < 1e6 and digits <= 6:
        return f"{number:.0f}"
    if 0 < abs(number) < 1e-3:
        mantissa, exponent = f"{number:.{digits - 1}e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return re.sub(r"e([+-])0*", lambda match: "e" + match[1].strip("+"), f"{number:.{digits}g}")


def comparison_table(comparison: Comparison) -> Table:
    """Return a row per quantity and a column per trainer: the median and, for several runs, quartiles."""
    table = comparison.table
    several = comparison.runs["repeat"].nunique() > 1
    what = "median, quartiles" if several else ""
    rows = []
    for quantity in [name for name in table.columns if f"{name} q1" in table]:
        median = table[quantity]
        best = median.min() if quantity.startswith("rmse(") else np.nan
        cells = []
        for m, q1, q3 in zip(median, table[f"{quantity} q1"], table[f"{quantity} q3"], strict=True):
            more = f"{short(q1, 3)} to {short(q3, 3)}" if several else ""
            cells.append(Cell(short(m, 3), number=True, best=bool(m == best), more=more))
        rows.append([Cell(quantity), *cells])
    heads = [Cell(what), *(Cell(str(name), number=True) for name in table.index)]
    return Table("Errors on the rows held out, and what they cost", heads, rows)


def inspection_tables(found: DataInspection) -> list[Table]:
    """Return what `swarmnet inspect` shows: columns, entries observed together, and repeated points."""
    digits = dict.fromkeys(RANGE, digits_of(found.columns))
    tables = [frame_table(found.columns, "Columns", digits=digits)]
    more = len(found.patterns) - _PATTERNS
    note = f"the {_PATTERNS} most frequent of {len(found.patterns)}" if more > 0 else ""
    tables.append(frame_table(found.patterns.head(_PATTERNS), "Observed together", note))
    if len(found.repeated):
        points = f"{found.repeated_points} points stand in {found.repeated_rows} rows"
        tables.append(frame_table(found.repeated, "Observed more than once at a point", points))
    return tables


def training_table(records: dict[str, dict[str, Any]]) -> Table:
    """Return the content of training records but for the candidates, a column for each model."""
    records = {model: for_people(record) for model, record in records.items()}
    names = dict.fromkeys(name for record in records.values() for name in record if name != "candidates")
    rows = []
    for name in names:
        told = (Cell(_told(record.get(name))) for record in records.values())
        words = name.replace("_", " ")
        rows.append([Cell(_PLAIN.get(words, words)), *told, Cell(MEANINGS.get(name, ""))])
    heads = [Cell(""), *map(Cell, records), Cell("meaning")]
    return Table("Settings and outcome", heads, rows)


def candidates_table(record: Mapping[str, Any], chosen: str) -> Table | None:
    """Return the models that were tried, a row each; None if the record has none."""
    tried = candidates(record)
    if not tried:
        return None
    table = pd.DataFrame(tried).rename(columns={"log evidence": "score"})
    return frame_table(table, "Models tried", f"chosen: {chosen}; {_CANDIDATES}")


def audit_table(model: FittedModel) -> Table | None:
    """Return the audit of a model, a row for each observed column; None if it has none."""
    found = model.audit
    if not len(found):
        return None
    heads = {str(name): str(name).replace("_", " ").replace("chi2", "chi²") for name in found}
    return frame_table(found.rename(columns=heads), "Audit of the training data", _AUDIT)


def _told(value: Any) -> str:
    """Return a setting as text, with nested settings in parentheses and without unset ones."""
    if isinstance(value, dict):
        pairs = [(name, item) for name, item in value.items() if item is not None]
        return ", ".join(
            f"{name} ({_told(v)})" if isinstance(v, dict) else f"{name} {_told(v)}" for name, v in pairs
        )
    pair = two_numbers(value)
    if pair is not None:
        return " to ".join(short(end, for_range(*pair)) for end in pair)
    if isinstance(value, list):
        return " to ".join(map(_told, value))
    return cell(value).text
