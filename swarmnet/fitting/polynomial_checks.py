"""A quick check of columns against each other: each is predicted by a polynomial fitted to the others.

It takes milliseconds, and decides for which data the slower cross checks of `cross_checks` are made. A model
with more weights than entries may fit contradictory columns exactly; then only this check notices them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.fitting.refits import with_fewer_entries
from swarmnet.model.audit import ColumnFit, Place, places_of
from swarmnet.network.trend import total_degree
from swarmnet.threads import one_blas_thread

Array = NDArray[np.float64]

_MOST_DEGREE, _MOST_TERMS = 6, 60  # only bound time
_ENTRIES_A_TERM = 2  # fewest entries for each term; chosen
_MOST_ENTRIES = 100  # of a column; only bounds time
_LEAST_ENTRIES = 4  # of a column


def polynomial_fits(data: MixedData) -> list[ColumnFit]:
    """Return the fit of each column of values or partials by a polynomial fitted to its output's others."""
    data = with_fewer_entries(data, _MOST_ENTRIES)
    low, high = data.X.min(0), data.X.max(0)
    scale = np.where(high > low, (high - low) / 2, 1.0)
    x = (data.X - (low + high) / 2) / scale
    found = []
    for o in range(data.k):
        places = [p for p in places_of(data) if p.array != "Q" and p.index[0] == o]
        seen = {place: _seen(data, place) for place in places}
        places = [place for place in places if len(seen[place]) >= _LEAST_ENTRIES]
        for place in places if len(places) > 1 else ():
            others = [p for p in places if p is not place]
            with one_blas_thread():
                predicted = _predicted(data, x, scale, place, others, seen)
            rows, observed = seen[place], place.of(data)[seen[place]]
            numbers = (observed, predicted, np.full(len(rows), np.nan), data.row_weights[rows])
            deviation, offset = np.zeros(len(rows)), place.has_offset(data)
            found.append(ColumnFit(place, place.name(data), rows, *numbers, deviation, offset))
    return found


def _seen(data: MixedData, place: Place) -> NDArray[np.intp]:
    return np.flatnonzero(~np.isnan(place.of(data)) & (data.row_weights > 0))


def _predicted(
    data: MixedData,
    x: Array,
    scale: Array,
    place: Place,
    others: Sequence[Place],
    seen: dict[Place, NDArray[np.intp]],
) -> Array:
    """Return a column (m,) as predicted by the polynomial of the degree with the least left-out errors."""
    targets = [p.of(data)[seen[p]] for p in others]
    units = [
        float(np.sqrt(np.mean((t - (t.mean() if p.array == "Y" else 0.0)) ** 2))) or 1.0
        for p, t in zip(others, targets, strict=True)
    ]
    target = np.concatenate([t / unit for t, unit in zip(targets, units, strict=True)])
    best, answer = np.inf, np.zeros(len(seen[place]))
    for degree in range(1, _MOST_DEGREE + 1):
        powers = np.array([[0] * data.d, *total_degree(data.d, degree)])
        if len(powers) > min(_MOST_TERMS, len(target) / _ENTRIES_A_TERM):
            break
        design = [_design(x[seen[p]], scale, powers, p) / unit for p, unit in zip(others, units, strict=True)]
        left, sizes, right = np.linalg.svd(np.concatenate(design), full_matrices=False)
        kept = sizes > 1e-10 * sizes[0]  # partials say nothing about the constant
        left = left[:, kept]
        residual = target - left @ (left.T @ target)
        free = np.maximum(1.0 - (left * left).sum(1), 1e-6)
        error = float(np.mean((residual / free) ** 2))
        if error < best:
            best = error
            weights = right[kept].T @ (left.T @ target / sizes[kept])
            answer = _design(x[seen[place]], scale, powers, place) @ weights
    return answer


def _design(x: Array, scale: Array, powers: NDArray[np.int_], place: Place) -> Array:
    """Return the terms (m, terms) of a polynomial, or their partials along an input."""
    if place.array == "Y":
        return np.asarray(np.prod(x[:, None] ** powers, axis=2))
    j = place.index[1]
    lowered = powers.copy()
    lowered[:, j] = np.maximum(powers[:, j] - 1, 0)
    return np.asarray(powers[:, j] * np.prod(x[:, None] ** lowered, axis=2) / scale[j])
