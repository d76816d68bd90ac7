"""The audit of a fit: for each observed column, how its entries agree with the prediction.

Of observations o and predictions p, factor = <o, p> / <p, p> and cosine = <o, p> / (|o| |p|). For numbers
whose offset is arbitrary, such as values, o and p are deviations from their means.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import derivative_name
from swarmnet.data.data_frames import pd
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import printable
from swarmnet.model.training_record import number
from swarmnet.number_format import share

Array = NDArray[Any]

MOST_ROWS = 6  # rows that a verdict names
_LARGE = 10.0  # factor from which "1000 times too large" is clearer than "1000 times what ..."


@dataclass(frozen=True)
class Place:
    """Where a column is in `MixedData`: in array Y, J or Q, at an index of all axes but the rows'."""

    array: str
    index: tuple[int, ...]

    def of(self, data: MixedData) -> Array:
        """Return the column (n,), NaN where not observed."""
        found: Array = getattr(data, self.array)[(slice(None), *self.index)]
        return found

    def sigma(self, data: MixedData) -> Array:
        """Return the standard deviations (n,) given with the data, NaN where there is none."""
        given = getattr(data, f"{self.array}_sigma")
        return np.full(data.n, np.nan) if given is None else given[(slice(None), *self.index)]

    def name(self, data: MixedData) -> str:
        """Return the column's name."""
        if self.array == "Q":
            return data.quantities[self.index[0]].name
        out = data.outputs[self.index[0]]
        return out if self.array == "Y" else derivative_name(out, data.inputs[self.index[1]])

    def outputs(self, data: MixedData) -> set[int]:
        """Return the numbers of the outputs on which the column depends."""
        if self.array != "Q":
            return {self.index[0]}
        return {output for output, _ in data.quantities[self.index[0]].arguments}

    def has_offset(self, data: MixedData) -> bool:
        """Return whether the column depends on values, whose offset is arbitrary."""
        return self.array == "Y" or (
            self.array == "Q" and any(not along for _, along in data.quantities[self.index[0]].arguments)
        )

    def without(self, data: MixedData, rows: Array | slice = slice(None)) -> MixedData:
        """Return the data without the column's entries in these rows."""
        kept = getattr(data, self.array).copy()
        kept[(rows, *self.index)] = np.nan
        return replace(data, **{self.array: kept})


def places_of(data: MixedData) -> list[Place]:
    """Return the places of all columns: each output's values and partials, then the quantities."""
    found = [
        place
        for o in range(data.k)
        for place in (Place("Y", (o,)), *(Place("J", (o, j)) for j in range(data.d)))
    ]
    return found + [Place("Q", (q,)) for q in range(len(data.quantities))]


@dataclass(frozen=True, eq=False)
class ColumnFit:
    """The m entries of a column, and what a model predicts for them.

    Args:
        place: of the column.
        name: of the column.
        rows: (m,) of the data.
        observed, predicted, sigma, weights: (m,); sigma is NaN where unknown.
        deviation: (m,) standard deviation of the prediction, 0 if unknown.
        has_offset: whether the numbers have an arbitrary offset.
    """

    place: Place
    name: str
    rows: NDArray[np.intp]
    observed: Array
    predicted: Array
    sigma: Array
    weights: Array
    deviation: Array
    has_offset: bool

    @property
    def residual(self) -> Array:
        """(m,) observed - predicted."""
        return np.asarray(self.observed - self.predicted)

    @property
    def rms(self) -> float:
        """The root mean square of the residuals."""
        return math.sqrt(self.mean_square(self.residual))

    @property
    def size(self) -> float:
        """The root mean square of the observations, for numbers with an offset of their deviations."""
        return math.sqrt(self.mean_square(self._centred(self.observed)))

    @property
    def spread(self) -> float:
        """The standard deviation of the observations."""
        return math.sqrt(self.mean_square(self.observed - self._mean(self.observed)))

    @cached_property
    def factor(self) -> tuple[float, float]:
        """The factor and cosine of the observations and predictions; NaN if they are all 0."""
        o, p = self._centred(self.observed), self._centred(self.predicted)
        oo, op, pp = (self._mean(a * b) for a, b in ((o, o), (o, p), (p, p)))
        if not (oo > 0 and pp > 0 and np.isfinite([oo, op, pp]).all()):
            return np.nan, np.nan
        return op / pp, op / oo**0.5 / pp**0.5

    def rms_with(self, factor: float) -> float:
        """Return the root mean square residual if the prediction is multiplied by a factor."""
        o, p = self._centred(self.observed), self._centred(self.predicted)
        return math.sqrt(self.mean_square(o - factor * p))

    def unit(self, noise: float) -> Array:
        """Return (m,) each entry's standard deviation: its sigma if it has one, otherwise the noise."""
        return np.where(np.isnan(self.sigma), noise, self.sigma)

    def mean_square(self, numbers: Array) -> float:
        """Return the weighted mean square of numbers (m,)."""
        return self._mean(numbers * numbers)

    def _centred(self, numbers: Array) -> Array:
        return numbers - self._mean(numbers) if self.has_offset else numbers

    def _mean(self, numbers: Array) -> float:
        return float(np.average(numbers, weights=self.weights))


@dataclass(frozen=True)
class Finding:
    """What is wrong with a column: a verdict of one line, and the fit without the entries it is about.

    Args:
        verdict: the line.
        fit: of all entries, by a model that did not learn from those.
        noise: of the other entries of the column; None if there are none.
    """

    verdict: str
    fit: ColumnFit
    noise: float | None = None


FIELDS = (
    *("column", "entries", "noise", "chi2_per_entry", "largest_residual", "row", "factor", "cosine"),
    "verdict",
)


def audit_record(
    columns: Sequence[ColumnFit],
    noise: Mapping[str, float],
    findings: Mapping[str, Finding],
    row_numbers: Array | None = None,
) -> list[dict[str, Any]]:
    """Return the audit for a training record, a dictionary of JSON values for each column.

    Args:
        columns: the fits of the columns by the model.
        noise: the noise that training found, by column; the root mean square of residuals for the others.
        findings: what is wrong, by column.
        row_numbers: (n,) the number of each row; by default 0 to n - 1.
    """
    return [_record(column, noise, findings.get(column.name), row_numbers) for column in columns]


def _record(
    column: ColumnFit, noise: Mapping[str, float], finding: Finding | None, row_numbers: Array | None
) -> dict[str, Any]:
    own, factor = noise.get(column.name, column.rms), column.factor
    if finding is not None:
        factor = finding.fit.factor
    if finding is not None and finding.noise is not None:
        column, own = finding.fit, finding.noise
    with np.errstate(all="ignore"):
        apart = column.residual / column.unit(own)
        largest = int(np.argmax(np.nan_to_num(np.abs(apart))))
        numbers = own, column.mean_square(apart), float(apart[largest]), *factor
    at = int(column.rows[largest])
    scale, chi2, most, times, cosine = (float(x) if np.isfinite(x) else None for x in numbers)
    return {
        "column": column.name,
        "entries": len(column.rows),
        "noise": scale,
        "chi2_per_entry": chi2,
        "largest_residual": most,
        "row": at if row_numbers is None else int(row_numbers[at]),
        "factor": times,
        "cosine": cosine,
        "verdict": "" if finding is None else finding.verdict,
    }


def factor_verdict(name: str, factor: float, others: Iterable[str], alternative: str | None) -> str:
    """Return in a line that a column is a factor times what the others say.

    `alternative` is a column that may be the wrong one instead.
    """
    *most, last = map(printable, others)
    told, name = f"{', '.join(most)} and {last}" if most else last, printable(name)
    if factor >= _LARGE or 0 < factor <= 1.0 / _LARGE:
        times, what = (factor, "large") if factor > 1.0 else (1.0 / factor, "small")
        text = f"{name} looks {_rounded(times)} times too {what} for {told}"
    else:
        text = f"{name} looks like {factor:.2f} times what the other entries say"
    return text if alternative is None else f"{text}, or {alternative} is the wrong one of the two"


def rows_verdict(
    column: ColumnFit, out: NDArray[np.bool_], noise: float, row_numbers: Array | None = None
) -> str:
    """Return in a line which rows of a column stick out (m,), with their residuals, the largest first."""
    apart = np.abs(column.residual / column.unit(noise))
    order = np.flatnonzero(out)[np.argsort(-apart[out], kind="stable")]
    rows = column.rows if row_numbers is None else row_numbers[column.rows]
    named = [f"{rows[m]} (by {column.residual[m]:.3g})" for m in order[:MOST_ROWS]]
    more = len(order) - len(named)
    name = printable(column.name)
    count = f"{len(order)} rows stick out" if len(order) > 1 else "1 row sticks out"
    least = _rounded(float(np.floor(apart[out].min())), 2)
    return f"{name}: {count} by more than {least} noise: {', '.join(named)}" + (
        f" and {more} more" if more else ""
    )


def _rounded(number: float, digits: int = 3) -> str:
    """Return a number in a few digits, up to a million without exponent."""
    text = f"{number:.{digits}g}"
    return f"{float(text):.0f}" if "e" in text and 1.0 <= number < 1e6 else text


def audit_frame(training: Mapping[str, Any]) -> pd.DataFrame:
    """Return the audit in a training record as a table, which is empty if the record has none."""
    rows = training.get("audit")
    rows = [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []
    return pd.DataFrame([{name: row.get(name) for name in FIELDS} for row in rows], columns=list(FIELDS))


def audit_lines(training: Mapping[str, Any]) -> dict[str, str]:
    """Return a line for people about each column of the audit in a training record."""
    lines = {}
    for row in audit_frame(training).to_dict("records"):
        numbers = {name: number(row[name]) for name in FIELDS[1:-1]}
        words = [
            f"{name.replace('_', ' ')} {share(x) if name == 'cosine' else f'{x:.4g}'}"
            for name, x in numbers.items()
            if x is not None
        ]
        lines[f"audit of {row['column']}"] = ", ".join([*words, *filter(None, [row["verdict"]])])
    return lines


def verdicts(training: Mapping[str, Any]) -> list[str]:
    """Return the verdicts of the audit in a training record."""
    found = audit_frame(training)["verdict"]
    return [printable(text) for text in found if isinstance(text, str) and text]
