"""The canonical form of MixedData: a function of its entries alone, however they lie in rows and columns.

Training is chaotic: sums over the same rows in two orders differ by rounding, and that is enough to end in
different networks. In canonical form the same entries are the same arrays, and give the same network bit for
bit:

- inputs and outputs are in the order of their names, shorter ones first (x2 before x10);
- entries that say nothing, because their sigma is a trillion times the size of what they measure, are gone;
- equal entries at a point (same column, number and sigma) are one entry, their weights added up;
- entries at a point that have the same weight share a row, and so one forward pass;
- of several in one column the smaller number is in the earlier row;
- rows are sorted by point, then by weight.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.data.statistics import Moments

Array = NDArray[Any]

_SILENT = 1e12  # times as large as what it measures, a sigma says that nothing was measured


def canonical(data: MixedData) -> MixedData:
    """The same entries in canonical form; rows without an entry, or of weight 0, are gone.

    So a row of weight 2 is the same row twice, and a row of two entries is two rows of one each.
    """
    data = _audible(data.select(by_name(data.inputs), by_name(data.outputs)))
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


def mean_point(data: MixedData) -> Array:
    """(d,) the mean of the points of data in canonical form.

    A point counts as often as the column that was observed there most often: so rows count once, or as often
    as their weights say, and rows that share the entries of one row out among them count as that row.
    """
    first = np.flatnonzero(np.diff(_numbered(*data.X.T), prepend=-1))
    often = ~np.isnan(_flat(data.Y, data.J)) * data.row_weights[:, None]
    return Moments.of(data.X[first].T, np.add.reduceat(often, first).max(1)).mean


def by_name(names: Sequence[str]) -> list[str]:
    """The names in canonical order."""
    return sorted(names, key=lambda name: (len(name), name))


def _audible(data: MixedData) -> MixedData:
    """Without the entries of which a measured sigma says that they are as good as not observed.

    They would still move the mean of their column, and count in the mean of the loss. An output's size is its
    largest number, partials times the range of their input, not counting entries whose sigma is out of all
    proportion to themselves; where there is no other, or all are 0, it is its smallest sigma.
    """
    if data.Y_sigma is None and data.J_sigma is None:
        return data
    targets = _by_output(data.Y, data.J)
    sigmas = _by_output(*(np.full_like(t, np.nan) if s is None else s for t, s in _with_sigmas(data)))
    counts = (data.row_weights > 0)[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):
        span = np.ptp(data.X[data.row_weights > 0], axis=0)
        unit = np.concatenate([[1.0], np.where((span > 0) & np.isfinite(span), span, 1.0)])
        loud = counts & ~np.isnan(targets) & ~(sigmas > _SILENT * np.abs(targets))
        size = np.where(loud, np.abs(targets) * unit, 0.0).max((0, 2))
        least = np.where(counts & ~np.isnan(sigmas), sigmas * unit, np.inf).min((0, 2))
        silent = sigmas * unit > _SILENT * np.where(size > 0, size, least)[:, None]
    if not silent.any():
        return data
    targets = np.where(silent, np.nan, targets)
    return replace(data, Y=targets[..., 0], J=targets[..., 1:])


def _with_sigmas(data: MixedData) -> tuple[tuple[Array, Array | None], ...]:
    return (data.Y, data.Y_sigma), (data.J, data.J_sigma)


def _by_output(Y: Array, J: Array) -> Array:
    """(n, k, 1 + d): of each output the values, then the partials."""
    return np.concatenate([Y[..., None], J], axis=2)


def _by_point(X: Array) -> Array:
    """The order of the points of X (n, d), by their first input, then by their second..."""
    order = np.argsort(X[:, 0], kind="stable")
    first = X[order, 0]
    tied = np.zeros(len(X), bool)
    tied[1:] = first[1:] == first[:-1]
    tied[:-1] |= tied[1:]
    if tied.any():  # all others are in their place: most data save the sorting by what comes second
        rows = order[tied]
        order[tied] = rows[np.lexsort(X[rows].T[::-1])]
    return order


class _Entries(NamedTuple):
    """Some entries, an item of each of these arrays."""

    point: Array
    column: Array
    target: Array
    sigma: Array  # 0 where none is known: NaN would differ from itself
    weight: Array
    row: Array  # one at that point

    def at(self, index: Array) -> "_Entries":
        return _Entries(*(array[index] for array in self))


def _packed(data: MixedData, point: Array) -> tuple[MixedData, Array]:
    """Rows at numbered points, with equal entries merged and the others as close as weights allow.

    Returns:
        them, and the number of each one's point, ascending.
    """
    entries = _merged(_entries(data, point))
    entries = entries.at(np.lexsort((entries.weight, entries.point)))  # stable: by column and target besides
    run = _numbered(entries.point, entries.weight, entries.column)
    nth = np.arange(len(run)) - np.flatnonzero(np.diff(run, prepend=-1))[run]
    order = np.lexsort((nth, entries.weight, entries.point))
    entries, nth = entries.at(order), nth[order]
    row = _numbered(entries.point, entries.weight, nth)
    first = np.flatnonzero(np.diff(row, prepend=-1))
    columns = data.k * (1 + data.d)
    targets, sigmas = np.full((2, len(first), columns), np.nan)
    targets[row, entries.column] = entries.target
    sigmas[row, entries.column] = np.where(entries.sigma > 0, entries.sigma, np.nan)
    (Y, J), (Y_sigma, J_sigma) = (np.split(part, [data.k], axis=1) for part in (targets, sigmas))
    shape = (len(first), data.k, data.d)
    X, weights = data.X[entries.row[first]], entries.weight[first]
    packed = MixedData(
        X, Y, J.reshape(shape), Y_sigma, J_sigma.reshape(shape), data.inputs, data.outputs, weights
    )
    return packed, entries.point[first]


def _entries(data: MixedData, point: Array) -> _Entries:
    targets = _flat(data.Y, data.J)
    sigmas = np.zeros_like(targets)
    for columns, sigma in ((slice(data.k), data.Y_sigma), (slice(data.k, None), data.J_sigma)):
        if sigma is not None:
            sigmas[:, columns] = np.nan_to_num(sigma.reshape(data.n, -1))
    row, column = np.nonzero(~np.isnan(targets))
    where = row, column
    return _Entries(point[row], column, targets[where], sigmas[where], data.row_weights[row], row)


def _merged(entries: _Entries) -> _Entries:
    """Equal entries as one, sorted by point, column, target and sigma."""
    # By weight last, so that weights are added up in the same order whatever that of the rows was.
    varying = [key for key in entries[4::-1] if (key != key[0]).any()]
    entries = entries.at(np.lexsort(varying)) if varying else entries
    first = np.flatnonzero(np.diff(_numbered(*entries[:4]), prepend=-1))
    return entries.at(first)._replace(weight=np.add.reduceat(entries.weight, first))


def _numbered(*columns: Array) -> Array:
    """Each item's number among the distinct ones, of sorted items."""
    fresh = np.zeros(len(columns[0]), bool)
    for column in columns:
        fresh[1:] |= column[1:] != column[:-1]
    return np.cumsum(fresh)


def _flat(Y: Array, J: Array) -> Array:
    """(n, k + k d): values, then partials."""
    return np.concatenate([Y, J.reshape(len(J), -1)], axis=1)


def _plain(data: MixedData) -> MixedData:
    """Without negative zeros, which equal the positive ones and yet are other bits."""
    return replace(data, X=data.X + 0.0, Y=data.Y + 0.0, J=data.J + 0.0)


def _joined(first: MixedData, second: MixedData, order: Array) -> MixedData:
    """The rows of both, in the given order."""

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
    )
