"""Cutting MixedData into tiles of rows that ask the network for the same things.

A row with partials with respect to m inputs costs m tangent passes, or one pullback an output that it
observes a partial of, whichever is fewer. Rows are sorted so that those of a tile agree in that, and in the
input along which they go, if there are rows enough.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data import MixedData

Array = NDArray[Any]
Rows = NDArray[np.intp]

_RUN = 64  # rows with the same direction that are worth a tile of their own


@dataclass(frozen=True)
class Along:
    """Partials of which each row has one: along one input for all rows, or `direction` (d, rows)."""

    direction: Array | int
    target: Array  # (k, rows)
    weight: Array  # (k, rows), 0 where not observed


@dataclass(frozen=True)
class Tile:
    """Some rows with their targets and weights, the rows last and contiguous."""

    X: Array  # (d + 1, rows), the last row all ones
    Y: Array | None  # (k, rows), None when no value is observed in the tile
    Y_weight: Array  # (k, rows), 0 where not observed
    along: tuple[Along, ...] = ()
    J: Array | None = None  # (k, d, rows), for rows with many partials
    J_weight: Array | None = None
    J_outputs: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.X.shape[1])

    def parts(self, rows: int) -> list["Tile"]:
        """Views of this tile, each of at most `rows` rows."""
        return [self._part(slice(part.start, part.stop)) for part in _parts(self.rows, rows)]

    def _part(self, rows: slice) -> "Tile":
        along = tuple(
            Along(
                a.direction if isinstance(a.direction, int) else a.direction[:, rows],
                a.target[:, rows],
                a.weight[:, rows],
            )
            for a in self.along
        )
        return Tile(
            self.X[:, rows],
            None if self.Y is None else self.Y[:, rows],
            self.Y_weight[:, rows],
            along,
            None if self.J is None else self.J[..., rows],
            None if self.J_weight is None else self.J_weight[..., rows],
            self.J_outputs,
        )

    @property
    def has_partials(self) -> bool:
        return bool(self.along) or self.J is not None


@dataclass(frozen=True)
class EntryWeights:
    """The factor of each squared residual: value / sigma^2, partial / sigma^2."""

    value: float
    partial: float

    def of(self, factor: float, target: Array, sigma: Array | None) -> tuple[Array, Array]:
        """Targets with 0 for NaN, and weights with 0 there; an entry without a sigma has sigma 1."""
        seen = ~np.isnan(target)
        weight = np.where(seen, factor, 0.0)
        if sigma is not None:
            weight /= np.where(np.isnan(sigma), 1.0, sigma * sigma)
        return np.where(seen, target, 0.0), weight


class Tiler:
    """Makes tiles of MixedData, all of it at once or a minibatch at a time."""

    def __init__(self, data: MixedData, weights: EntryWeights, dtype: Any, rows: int) -> None:
        self.data, self.weights, self.dtype, self.rows = data, weights, dtype, rows
        self._has_partials = data.n_derivatives > 0

    def all(self, run: int = _RUN) -> list[Tile]:
        """Tiles over every row that has an entry, each row once; `run` rows along one input go alone."""
        data = self.data
        seen = ~np.isnan(data.J)
        inputs_seen = np.asarray(seen.any(1))  # (n, d)
        count = inputs_seen.sum(1)
        pulled = count > np.minimum(data.k, seen.any(2).sum(1))
        some = count + (~np.isnan(data.Y)).sum(1) > 0
        values = np.asarray((~np.isnan(data.Y)).any(1))
        tiles = []
        for m in np.unique(count[~pulled & some]):
            rows = np.flatnonzero(~pulled & some & (count == m))
            tiles += self._along_tiles(rows, int(m), inputs_seen, values, run)
        rows = np.flatnonzero(pulled)
        if len(rows):
            pattern = np.packbits(np.asarray(seen.any(2))[rows], axis=1).T
            rows = rows[np.lexsort((*pattern, values[rows]))]
            tiles += [self._pulled(part) for part in _cut(rows, self.rows)]
        return tiles

    def together(self) -> list[Tile]:
        """Tiles over every row that has an entry, all of one kind: more numbers, but fewer NumPy calls."""
        data = self.data
        rows = np.flatnonzero(data.entries_per_row)
        seen = np.asarray((~np.isnan(data.J)).any(1))[rows]
        m = int(seen.sum(1).max(initial=0))
        if m > data.k:
            return [self._pulled(part) for part in _cut(rows, self.rows)]
        if m == 0:
            return [self._along(part, None) for part in _cut(rows, self.rows)]
        # Rows with fewer than m go along other inputs too, where they have no weight.
        missing = m - seen.sum(1, keepdims=True)
        directions = np.nonzero(seen | (np.cumsum(~seen, axis=1) <= missing))[1].reshape(-1, m)
        return [self._along(rows[part], directions[part]) for part in _cut(np.arange(len(rows)), self.rows)]

    def batch(self, rows: Rows) -> list[Tile]:
        """Tiles of the given rows, whatever they hold, in the order given."""
        parts = _cut(rows, self.rows)
        return [self._pulled(p) if self._has_partials else self._along(p, None) for p in parts]

    def _along_tiles(self, rows: Rows, m: int, seen: Array, values: Array, run: int) -> list[Tile]:
        if m == 0:
            return [self._along(part, None) for part in _cut(rows, self.rows)]
        # (rows, m): the inputs along which each row has a partial
        directions = np.nonzero(seen[rows])[1].reshape(-1, m)
        order = np.lexsort((values[rows], *directions.T[::-1]))
        rows, directions = rows[order], directions[order]
        edges = np.flatnonzero((directions[1:] != directions[:-1]).any(1)) + 1
        return [
            self._along(rows[part], directions[part])
            for together in _long_runs(edges, len(rows), run)
            for part in _cut(np.arange(together.start, together.stop), self.rows)
        ]

    def _along(self, rows: Rows, directions: Array | None) -> Tile:
        X, Y, Y_weight = self._points(rows)
        if directions is None:
            return Tile(X, Y, Y_weight)
        data, along = self.data, []
        index = np.arange(len(rows))
        for inputs in directions.T:
            J = data.J[rows[:, None], np.arange(data.k), inputs[:, None]]
            sigma = data.J_sigma
            if sigma is not None:
                sigma = sigma[rows[:, None], np.arange(data.k), inputs[:, None]]
            target, weight = self.weights.of(self.weights.partial, J, sigma)
            direction: Array | int = int(inputs[0])
            if (inputs != inputs[0]).any():
                direction = np.zeros((data.d, len(rows)), self.dtype)
                direction[inputs, index] = 1.0
            along.append(Along(direction, self._turned(target), self._turned(weight)))
        return Tile(X, Y, Y_weight, tuple(along))

    def _pulled(self, rows: Rows) -> Tile:
        X, Y, Y_weight = self._points(rows)
        data = self.data
        sigma = None if data.J_sigma is None else data.J_sigma[rows]
        target, weight = self.weights.of(self.weights.partial, data.J[rows], sigma)
        outputs = np.flatnonzero(weight.any((0, 2)))
        if len(outputs) == 0:
            return Tile(X, Y, Y_weight)
        J, J_weight = self._turned(target), self._turned(weight)
        return Tile(X, Y, Y_weight, J=J, J_weight=J_weight, J_outputs=tuple(map(int, outputs)))

    def _points(self, rows: Rows) -> tuple[Array, Array | None, Array]:
        data = self.data
        X = np.ones((data.d + 1, len(rows)), self.dtype)
        X[:-1] = data.X[rows].T
        sigma = None if data.Y_sigma is None else data.Y_sigma[rows]
        target, weight = self.weights.of(self.weights.value, data.Y[rows], sigma)
        return X, self._turned(target) if weight.any() else None, self._turned(weight)

    def _turned(self, array: Array) -> Array:
        """Rows last, contiguous, in the tile's dtype."""
        turned = array.T if array.ndim == 2 else array.transpose(1, 2, 0)
        return np.ascontiguousarray(turned, dtype=self.dtype)


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[part.start : part.stop] for part in _parts(len(rows), size)]


def _parts(count: int, size: int) -> list[range]:
    """Parts of nearly equal length, at most `size` long."""
    parts = max(1, -(-count // size))
    length = -(-count // parts)
    if length % 256 == 0 and length < size:
        length += min(8, size - length)  # columns a power of two apart fall on each other in the cache
    return [range(count)[start : start + length] for start in range(0, count, max(1, length))]


def _long_runs(edges: Array, count: int, least: int) -> Iterator[slice]:
    """Runs between `edges`, those shorter than `least` joined with their neighbours."""
    start = 0
    previous = 0
    for edge in [*edges.tolist(), count]:
        long = edge - previous >= least
        if long and previous > start:
            yield slice(start, previous)
            start = previous
        if long:
            yield slice(start, edge)
            start = edge
        previous = edge
    if count > start:
        yield slice(start, count)
