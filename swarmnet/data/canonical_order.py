"""The canonical form of MixedData. It depends on the entries only, not on the order of rows and columns.

Training is chaotic: sums over the same rows in another order differ by rounding, and this can lead to a
different network. In canonical form the same entries give the same arrays, and so the same network bit for
bit:

- inputs and outputs are sorted by name, shorter names first (x2 before x10);
- entries whose sigma is at least 1e12 times the size of the measured quantity are removed;
- equal entries at a point (same column, number and sigma) become one entry with the sum of their weights;
- entries at a point that have the same weight share a row, and so one forward pass;
- of several entries in one column, the smaller number is in the earlier row;
- rows are sorted by point, then by weight.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.statistics import Moments

Array = NDArray[Any]

_UNINFORMATIVE = 1e12  # an entry whose sigma is so many times its size has no information


def canonical(data: Dataset) -> Dataset:
    """Return the same entries in canonical form, without rows that have no entry or weight 0.

    A row of weight 2 equals the same row twice. A row with two entries equals two rows with one entry each.
    Data in files stay as they are.
    """
    if data.in_memory is None:
        return data
    data = _informative(data.in_memory.select(by_name(data.inputs), by_name(data.outputs)))
    rows = np.flatnonzero((data.entries_per_row > 0) & (data.row_weights > 0))
    rows = rows[_by_point(data.X[rows])]
    point = _numbered(*data.X[rows].T)
    alone = np.bincount(point)[point] == 1
    if alone.all():
        return _plain(data.take(rows))
    packed, of = _packed(_plain(data.take(rows[~alone])), point[~alone])
    if not alone.any():
        return packed
    order = np.argsort(np.concatenate([point[alone], of]), kind="stable")
    return _joined(_plain(data.take(rows[alone])), packed, order)


def mean_point(data: Dataset) -> Array:
    """Return the mean (d,) of the points of data in canonical form.

    The weight of a point is the largest total row weight with which one column was observed there. So rows
    count by their weights, and several rows that share the entries of one original row count once. In files
    each row counts as a point.
    """
    if data.in_memory is None:
        return data.statistics.rows.mean
    data = data.in_memory
    first = np.flatnonzero(np.diff(_numbered(*data.X.T), prepend=-1))
    often = ~np.isnan(_flat(data)) * data.row_weights[:, None]
    return Moments.of(data.X[first].T, np.add.reduceat(often, first).max(1)).mean


def by_name(names: Sequence[str]) -> list[str]:
    """Return the names in canonical order."""
    return sorted(names, key=lambda name: (len(name), name))


def _informative(data: MixedData) -> MixedData:
    """Remove the entries whose given sigma is so large that they carry no information.

    They would still change the mean of their column and count in the mean of the loss. The size of an output
    is its largest number (partials times the range of their input), without the entries whose sigma exceeds
    `_UNINFORMATIVE` times their own number. If none is left, or all are 0, it is the output's smallest sigma.
    """
    if data.Y_sigma is None and data.J_sigma is None:
        return data
    targets = _by_output(data.Y, data.J)
    sigmas = _by_output(*(np.full_like(t, np.nan) if s is None else s for t, s in _with_sigmas(data)))
    counts = (data.row_weights > 0)[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        span = np.ptp(data.X[data.row_weights > 0], axis=0)
        unit = np.concatenate([[1.0], np.where((span > 0) & np.isfinite(span), span, 1.0)])
        loud = counts & ~np.isnan(targets) & ~(sigmas > _UNINFORMATIVE * np.abs(targets))
        size = np.where(loud, np.abs(targets) * unit, 0.0).max((0, 2))
        least = np.where(counts & ~np.isnan(sigmas), sigmas * unit, np.inf).min((0, 2))
        silent = sigmas * unit > _UNINFORMATIVE * np.where(size > 0, size, least)[:, None]
    if not silent.any():
        return data
    targets = np.where(silent, np.nan, targets)
    return replace(data, Y=targets[..., 0], J=targets[..., 1:])


def _with_sigmas(data: MixedData) -> tuple[tuple[Array, Array | None], ...]:
    return (data.Y, data.Y_sigma), (data.J, data.J_sigma)


def _by_output(Y: Array, J: Array) -> Array:
    """Return (n, k, 1 + d): for each output its values, then its partials."""
    return np.concatenate([Y[..., None], J], axis=2)


def _by_point(X: Array) -> Array:
    """Return the order of the points X (n, d) sorted by the first input, then the second, and so on."""
    order = np.argsort(X[:, 0], kind="stable")
    first = X[order, 0]
    tied = np.zeros(len(X), bool)
    tied[1:] = first[1:] == first[:-1]
    tied[:-1] |= tied[1:]
    if tied.any():  # in most data, few rows are equal in the first input and need the slower sort
        rows = order[tied]
        order[tied] = rows[np.lexsort(X[rows].T[::-1])]
    return order


class _Entries(NamedTuple):
    """Entries as arrays of equal length."""

    point: Array
    column: Array
    target: Array
    sigma: Array  # 0 if unknown, because NaN is not equal to itself
    weight: Array
    row: Array  # a row with that point

    def at(self, index: Array) -> "_Entries":
        return _Entries(*(array[index] for array in self))


def _packed(data: MixedData, point: Array) -> tuple[MixedData, Array]:
    """Merge equal entries of rows at numbered points, and pack the others into as few rows as weights allow.

    Returns:
        the packed rows, and the number of each row's point in ascending order.
    """
    entries = _merged(_entries(data, point))
    entries = entries.at(np.lexsort((entries.weight, entries.point)))  # stable: column and target too
    run = _numbered(entries.point, entries.weight, entries.column)
    nth = np.arange(len(run)) - np.flatnonzero(np.diff(run, prepend=-1))[run]
    order = np.lexsort((nth, entries.weight, entries.point))
    entries, nth = entries.at(order), nth[order]
    row = _numbered(entries.point, entries.weight, nth)
    first = np.flatnonzero(np.diff(row, prepend=-1))
    partials = data.k * (1 + data.d)
    columns = partials + len(data.quantities)
    targets, sigmas = np.full((2, len(first), columns), np.nan)
    targets[row, entries.column] = entries.target
    sigmas[row, entries.column] = np.where(entries.sigma > 0, entries.sigma, np.nan)
    (Y, J, Q), (Y_sigma, J_sigma, Q_sigma) = (
        np.split(part, [data.k, partials], axis=1) for part in (targets, sigmas)
    )
    shape = (len(first), data.k, data.d)
    X, weights = data.X[entries.row[first]], entries.weight[first]
    packed = replace(
        data,
        X=X,
        Y=Y,
        J=J.reshape(shape),
        Y_sigma=Y_sigma,
        J_sigma=J_sigma.reshape(shape),
        weights=weights,
        Q=Q,
        Q_sigma=Q_sigma,
    )
    return packed, entries.point[first]


def _entries(data: MixedData, point: Array) -> _Entries:
    targets = _flat(data)
    sigmas = np.zeros_like(targets)
    k, partials = data.k, data.k * (1 + data.d)
    for columns, sigma in (
        (slice(k), data.Y_sigma),
        (slice(k, partials), data.J_sigma),
        (slice(partials, None), data.Q_sigma),
    ):
        if sigma is not None:
            sigmas[:, columns] = np.nan_to_num(sigma.reshape(data.n, -1))
    row, column = np.nonzero(~np.isnan(targets))
    where = row, column
    return _Entries(point[row], column, targets[where], sigmas[where], data.row_weights[row], row)


def _merged(entries: _Entries) -> _Entries:
    """Merge equal entries; the result is sorted by point, column, target and sigma."""
    # Weight is the last key, so that the sum of weights does not depend on the order of the rows.
    varying = [key for key in entries[4::-1] if (key != key[0]).any()]
    entries = entries.at(np.lexsort(varying)) if varying else entries
    first = np.flatnonzero(np.diff(_numbered(*entries[:4]), prepend=-1))
    return entries.at(first)._replace(weight=np.add.reduceat(entries.weight, first))


def _numbered(*columns: Array) -> Array:
    """Return, for sorted items, the number of each item's distinct value."""
    fresh = np.zeros(len(columns[0]), bool)
    for column in columns:
        fresh[1:] |= column[1:] != column[:-1]
    return np.cumsum(fresh)


def _flat(data: MixedData) -> Array:
    """Return (n, k + k d + q): values, then partials, then quantities."""
    return np.concatenate([data.Y, data.J.reshape(data.n, -1), data.Q], axis=1)


def _plain(data: MixedData) -> MixedData:
    """Replace negative zeros by positive ones, which are equal but have other bits."""
    return replace(data, X=data.X + 0.0, Y=data.Y + 0.0, J=data.J + 0.0, Q=data.Q + 0.0)


def _joined(first: MixedData, second: MixedData, order: Array) -> MixedData:
    """Return the rows of both, in the given order."""

    def both(of_first: Array, of_second: Array) -> Array:
        return np.concatenate([of_first, of_second])[order]

    def sigmas(of_first: Array | None, of_second: Array | None, shape: tuple[int, ...]) -> Array | None:
        if of_first is None and of_second is None:
            return None
        filled = (
            np.full((part.n, *shape), np.nan) if sigma is None else sigma
            for part, sigma in ((first, of_first), (second, of_second))
        )
        return both(*filled)

    return replace(
        first,
        X=both(first.X, second.X),
        Y=both(first.Y, second.Y),
        J=both(first.J, second.J),
        Y_sigma=sigmas(first.Y_sigma, second.Y_sigma, (first.k,)),
        J_sigma=sigmas(first.J_sigma, second.J_sigma, (first.k, first.d)),
        weights=both(first.row_weights, second.row_weights),
        Q=both(first.Q, second.Q),
        Q_sigma=sigmas(first.Q_sigma, second.Q_sigma, (len(first.quantities),)),
    )
