"""Rows that stick out: entries far from a fit to all the others.

A fit to all entries may follow a far one, so the search begins with a fit that cannot: a parabola. Then a
network is fitted to the entries near the fit, and entries near the new fit are put back, until they stay.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.fitting.refits import Refits
from swarmnet.fitting.student_noise import DEVIATION
from swarmnet.model.audit import ColumnFit, Finding, rows_verdict

Array = NDArray[np.float64]
Out = dict[str, NDArray[np.bool_]]  # by column, (m,) which entries are left out

_ROUNDS = 4  # only bound time
_FAR = 8.0  # noise from which an entry is left out; Gaussian: 1e-15 by chance
_MOST_FAR = 0.5  # of a column's entries: where more are far, the fit is wrong
_TOLD = 10.0  # noise from which it is told
_MOST_SHARE = 0.1  # of a column's entries that may stick out
_LEAST_SHARE = 0.01  # least noise, as a share of a column's deviation: refits are short
LEAST_ENTRIES = 8  # of a column, for rows that stick out; chosen


def outlying_rows(
    refits: Refits, family: Sequence[ColumnFit], row_numbers: NDArray[np.intp] | None
) -> list[Finding]:
    """Return a finding for each column of the family in which rows stick out.

    Args:
        refits: of all data.
        family: the fits, to all data, of the columns about some outputs.
        row_numbers: (n,) the number of each row; by default 0 to n - 1.
    """
    searched = [column.name for column in family if len(column.rows) >= LEAST_ENTRIES]
    fits: Sequence[ColumnFit] | None = refits.coarse_fits() or family
    out = _far(fits, searched) or _far(family, searched)
    for _ in range(_ROUNDS if out else 0):
        fits = refits.fits(_left(refits.data, fits or (), out))
        again = _far(fits, searched, out)
        if not again or _same(out, again):
            break
        out = again
    return [] if not fits or not out else _findings(fits, out, row_numbers)


def _far(fits: Sequence[ColumnFit] | None, searched: Sequence[str], out: Out | None = None) -> Out:
    """Return which entries are far from the fits, of columns with any; `out` are those left out in these."""
    found = {}
    for fit in fits or ():
        if fit.name in searched:
            kept = ~out[fit.name] if out and fit.name in out else np.ones(len(fit.rows), bool)
            far = np.abs(fit.residual / _unit(fit, kept)) > _FAR
            if 0.0 < far.mean() <= _MOST_FAR:
                found[fit.name] = far
    return found


def _noise(fit: ColumnFit, kept: NDArray[np.bool_]) -> float:
    """Return a robust estimate of the noise, which is not less than a small share of the deviation."""
    spread = float(np.std(fit.observed[kept]))
    return max(DEVIATION * float(np.median(np.abs(fit.residual[kept]))), _LEAST_SHARE * spread)


def _unit(fit: ColumnFit, kept: NDArray[np.bool_]) -> Array:
    return np.asarray(np.hypot(fit.unit(_noise(fit, kept)), fit.deviation)) + 1e-300


def _left(data: MixedData, fits: Sequence[ColumnFit], out: Out) -> MixedData:
    for fit in fits:
        if fit.name in out:
            data = fit.place.without(data, fit.rows[out[fit.name]])
    return data


def _same(first: Out, second: Out) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[k], second[k]) for k in first)


def _findings(fits: Sequence[ColumnFit], out: Out, row_numbers: NDArray[np.intp] | None) -> list[Finding]:
    found = []
    for fit in fits:
        if fit.name not in out:
            continue
        kept = ~out[fit.name]
        told = out[fit.name] & (np.abs(fit.residual) > _TOLD * _unit(fit, kept))
        if 0 < np.count_nonzero(told) <= _MOST_SHARE * len(told) and kept.any():
            noise = float(np.sqrt(np.mean(fit.residual[kept] ** 2)))
            found.append(Finding(rows_verdict(fit, told, noise, row_numbers), fit, noise))
    return found
