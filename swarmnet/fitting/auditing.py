"""The audit after a fit: which columns are suspect, and what refits without their entries say about them.

Refits take about a second each. They are made only for outputs with a suspect column: one of which much is
left unexplained, or to which the model may have been fitted without being tested by it.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.fitting.column_fits import column_fits
from swarmnet.fitting.cross_checks import misfit_of, odd_column
from swarmnet.fitting.outlying_rows import LEAST_ENTRIES, outlying_rows
from swarmnet.fitting.polynomial_checks import polynomial_fits
from swarmnet.fitting.refits import Refits
from swarmnet.model.audit import ColumnFit, Finding, audit_record
from swarmnet.model.fitted_model import FittedModel

# A column is suspect from these numbers on; chosen so that all wrong columns of benchmarks/audit are.
_UNEXPLAINED = 0.02  # share of its variance
_LARGE = 0.5  # root mean square residual, as a share of its size
_FACTOR, _SURE = 0.1, 4.0  # difference of its factor from 1, also in standard deviations
_FAR = 6.0  # largest residual in noise
_CHI2, _CHANCE = 1.5, 5.0  # chi2 per entry, also in standard deviations by chance
_COSINE, _ODD = 0.9, 1.3  # cosine and factor of a column as predicted by a polynomial
_LEFT_OUT = 0.1  # error of predictions of left-out entries, as a share of a column


def audited(
    model: FittedModel, data: Dataset, row_numbers: NDArray[np.intp] | None, checked: bool
) -> tuple[FittedModel, list[str]]:
    """Return the model with the audit in its training record, and the columns that the verdicts are about.

    With a verdict on a column come all columns about the same outputs. Data in files are not audited.

    Args:
        model: the model, with the data's inputs and outputs in its order.
        data: the data it was trained on.
        row_numbers: (n,) the number of each row; by default 0 to n - 1.
        checked: whether there may be refits.
    """
    held = data.in_memory
    if held is None:
        return model, []
    found: dict[str, Finding] = {}
    with np.errstate(all="ignore"):
        columns = column_fits(replace(model, spread=None), held)
        with suppress(KeyboardInterrupt):  # the model is trained: it is kept without the checks
            found = _findings(model, held, columns, row_numbers) if checked else {}
        record = audit_record(columns, model.training.get("noise") or {}, found, row_numbers)
    blamed = [
        column.name
        for family in families(held, columns)
        for column in family
        if any(other.name in found for other in family)
    ]
    return replace(model, training=model.training | {"audit": record}), blamed


def _findings(
    model: FittedModel,
    data: MixedData,
    columns: Sequence[ColumnFit],
    row_numbers: NDArray[np.intp] | None,
) -> dict[str, Finding]:
    """Return what is wrong, by column."""
    odd_ones = {fit.name for fit in polynomial_fits(data) if _is_odd(fit)}
    interpolates = _may_interpolate(model, data)
    suspects = {column.name for column in columns if interpolates or is_suspect(column)}
    suspects |= odd_ones
    found: dict[str, Finding] = {}
    refits = Refits.of(data) if suspects else None
    for family in families(data, columns):
        if refits is None or suspects.isdisjoint(column.name for column in family):
            continue
        ordered = sorted(family, key=lambda column: column.name not in suspects)
        is_tested = not interpolates and odd_ones.isdisjoint(column.name for column in family)
        reference = misfit_of(family) if is_tested else None
        odd = odd_column(refits, ordered, reference) if len(family) > 1 else None
        news = outlying_rows(refits, family, row_numbers) if odd is None else [odd]
        found |= {finding.fit.name: finding for finding in news}
    return found


def is_suspect(column: ColumnFit) -> bool:
    """Return whether the fit of a column is worse than random noise would make it."""
    n, residual, known = len(column.rows), column.residual, ~np.isnan(column.sigma)
    if known.any():
        chi2 = float(np.mean((residual[known] / column.sigma[known]) ** 2))
        if chi2 > max(_CHI2, 1.0 + _CHANCE * (2.0 / np.count_nonzero(known)) ** 0.5):
            return True
        if known.all():
            return False
    rms, (factor, _) = column.rms, column.factor
    if not (column.size > 0 and rms**2 > _UNEXPLAINED * column.spread**2):
        return False
    unsure = rms / (column.size * n**0.5)
    return bool(
        rms > _LARGE * column.size
        or not abs(factor - 1.0) <= max(_FACTOR, _SURE * unsure)
        or np.abs(residual).max() > _FAR * rms
    )


def _is_odd(column: ColumnFit) -> bool:
    """Return whether a column is roughly another factor than 1 times a polynomial's prediction."""
    factor, cosine = column.factor
    return abs(cosine) > _COSINE and not 1.0 / _ODD < factor < _ODD


def families(data: MixedData, columns: Sequence[ColumnFit]) -> Iterator[list[ColumnFit]]:
    """Yield the columns about the same outputs; quantities of several outputs join their columns."""
    groups = [{o} for o in range(data.k)]
    for column in columns:
        own = column.place.outputs(data)
        joined = set().union(*(group for group in groups if group & own))
        groups = [*(group for group in groups if not group & own), joined]
    for group in sorted(groups, key=min):
        yield [column for column in columns if column.place.outputs(data) <= group]


def _may_interpolate(model: FittedModel, data: MixedData) -> bool:
    """Return whether the model has many weights for its entries, and predicts left-out entries badly."""
    candidates = model.training.get("candidates") or []
    own = list(model.net.sizes[1:-1]), None if model.net.trend is None else model.net.trend.degree
    errors = [
        row["left_out_error"]
        for row in candidates
        if (row["hidden"], row.get("degree")) == own and "left_out_error" in row
    ]
    many = model.net.size > data.n_entries / 2 and data.n_entries >= LEAST_ENTRIES
    return many and any(error > _LEFT_OUT for error in errors)
