"""Cross checks between columns: is one of them a constant factor times what the others say?

Each column in turn is predicted by a fit to the others. If the observations are about equal to the
prediction, or no factor times it, the column agrees with the others, or the others do not determine it. Of
the columns with another factor, the one is named without which, and with whose factor, all residuals are
smallest:

    sum over columns of entries * log(root mean square residual)

which is minus the logarithm of the likelihood, if each column has a noise of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from swarmnet.data.mixed_data import MixedData
from swarmnet.fitting.refits import Refits
from swarmnet.model.audit import ColumnFit, Finding, factor_verdict

LEAST_ENTRIES = 4  # of a column, for a factor; chosen
_MOST_COLUMNS = 12  # that are predicted by the others; only bounds time
_COSINE = 0.95  # of a column that is a factor times the prediction; chosen
_DIFFERENT = 0.2  # least difference of a factor from 1, and of its size in noise of the prediction; chosen
_SURE = 4.0  # standard deviations of the prediction by which a factor must change it
# Residuals below these shares of a column's deviation, and of its size, count as equal: refits are short.
_SMALL, _SMALL_SIZE = 1e-2, 1e-3
_FREE_DEGREE, _ENTRIES_A_TERM = 5, 5  # of a free function; fewest entries for each of its terms; chosen
_GAIN = 10.0  # least gain of log likelihood by a factor, and over the fit to all columns
_TIE = 5.0, 0.1  # difference of log likelihoods that says little: at least, and for each entry


@dataclass(frozen=True, eq=False)
class _Trial:
    """A column as predicted by a fit to the others, and the columns of that fit."""

    column: ColumnFit
    others: Sequence[ColumnFit]

    @property
    def factor(self) -> float:
        return self.column.factor[0]

    @property
    def is_odd(self) -> bool:
        """Whether the column is a factor other than 1 times the prediction."""
        factor, cosine = self.column.factor
        if not (abs(cosine) >= _COSINE and abs(factor - 1.0) > _DIFFERENT):
            return False
        column = self.column
        without, with_factor = column.rms_with(1.0), _at_least_small(column, column.rms_with(factor))
        if with_factor <= 0 or len(column.rows) * math.log(without / with_factor) < _GAIN:
            return False
        predicted = column.size / abs(factor)
        unsure = column.mean_square(column.deviation) ** 0.5
        return bool(abs(factor - 1.0) * predicted > _SURE * unsure)

    @property
    def misfit(self) -> float:
        """Minus the log likelihood of all columns, this one with its factor."""
        return misfit_of(self.others) + _misfit(self.column, self.column.rms_with(self.factor))


def _determined(column: ColumnFit, others: Sequence[ColumnFit], data: MixedData) -> ColumnFit:
    """Return a column without what the others leave free.

    Without values, the other partials leave a function of the column's own input free. So the polynomial of
    this input that fits best is taken off observations and predictions. The standard deviations of the
    predictions are then not known.
    """
    n = len(column.rows)
    if column.place.array != "J" or any(other.place.array != "J" for other in others):
        return column
    x = data.X[column.rows, column.place.index[1]]
    degree = min(_FREE_DEGREE, n // _ENTRIES_A_TERM - 1)
    span = float(np.ptp(x)) or 1.0
    terms = np.linalg.qr(np.vander((x - x.min()) / span, degree + 1))[0] if degree >= 0 else np.zeros((n, 0))
    observed, predicted = (y - terms @ (terms.T @ y) for y in (column.observed, column.predicted))
    return replace(column, observed=observed, predicted=predicted, deviation=np.zeros(n))


def misfit_of(columns: Sequence[ColumnFit]) -> float:
    """Return minus the log likelihood of columns, each with the noise that fits best."""
    return sum(_misfit(column, column.rms) for column in columns)


def _misfit(column: ColumnFit, rms: float) -> float:
    return len(column.rows) * math.log(_at_least_small(column, rms) or 1e-300)


def _at_least_small(column: ColumnFit, rms: float) -> float:
    return max(rms, _SMALL * column.spread, _SMALL_SIZE * column.size)


def odd_column(refits: Refits, family: Sequence[ColumnFit], reference: float | None) -> Finding | None:
    """Return the column of a family that is a factor times what the others say; None if there is none.

    Args:
        refits: of all data.
        family: the fits, to all data, of the columns about some outputs; the suspect ones first.
        reference: their misfit, if the fit to all data did not just interpolate.
    """
    trials = []
    for column in family[: min(_MOST_COLUMNS, refits.affordable)]:
        if len(column.rows) < LEAST_ENTRIES:
            continue
        fits = refits.fits(refits.without(column.name))
        if fits is None:
            return None
        own = {fit.name: fit for fit in fits}
        names = [c.name for c in family if c is not column]
        if column.name in own and own.keys() >= set(names):
            rest = [own[name] for name in names]
            trials.append(_Trial(_determined(own[column.name], rest, refits.data), rest))
    odd = sorted((trial for trial in trials if trial.is_odd), key=lambda trial: trial.misfit)
    if not odd or (reference is not None and odd[0].misfit > reference - _GAIN):
        return None
    entries = sum(len(column.rows) for column in family)
    tied = [t for t in odd if t.misfit <= odd[0].misfit + max(_TIE[0], _TIE[1] * entries)]
    # Of two explanations the one by fewer entries; values are the rather right ones
    named = min(tied, key=lambda t: (len(t.column.rows), t.column.has_offset))
    alternative = next((t.column.name for t in tied if t is not named), None)
    others = [fit.name for fit in named.others]
    return Finding(factor_verdict(named.column.name, named.factor, others, alternative), named.column)
