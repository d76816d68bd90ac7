"""Cutting MixedData into tiles of rows that ask the network for the same things.

Entries whose noise is alike form a group: each output's values, each derivative column, and apart from them
the values and the partials with a measured sigma, whose noise is known.

A row with partials with respect to m inputs costs m tangent passes, or one pullback an output that it
observes a partial of, whichever is fewer. Rows are sorted so that those of a tile agree in that, and in the
input along which they go, if there are rows enough.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data import MixedData, along_rows
from swarmnet.floats import quiet

Array = NDArray[Any]
Rows = NDArray[np.intp]

_RUN = 64  # rows with the same direction that are worth a tile of their own
_ROUNDED = 1e-12  # variance of equal targets, as a share of their mean square


@dataclass(frozen=True)
class Along:
    """Partials of which each row has one: along one input for all rows, or `direction` (d, rows)."""

    direction: Array | int
    target: Array  # (k, rows)
    weight: Array  # (k, rows), 0 where not observed
    group: Array  # (k, rows), each entry's, see Groups


@dataclass(frozen=True)
class Tile:
    """Some rows with their targets and weights, the rows last and contiguous."""

    X: Array  # (d + 1, rows), the last row all ones
    Y: Array | None  # (k, rows), None when no value is observed in the tile
    Y_weight: Array  # (k, rows), 0 where not observed
    Y_group: Array  # (k, rows), each entry's, see Groups
    along: tuple[Along, ...] = ()
    J: Array | None = None  # (k, d, rows), for rows with many partials
    J_weight: Array | None = None
    J_group: Array | None = None
    J_outputs: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        return int(self.X.shape[1])

    def parts(self, rows: int) -> list["Tile"]:
        """Views of this tile, each of at most `rows` rows."""
        return [self.part(slice(part.start, part.stop)) for part in parts(self.rows, rows)]

    def part(self, rows: slice | Rows) -> "Tile":
        """Some of this tile's rows, a view if they are a slice."""
        along = tuple(
            Along(
                a.direction if isinstance(a.direction, int) else a.direction[:, rows],
                a.target[:, rows],
                a.weight[:, rows],
                a.group[:, rows],
            )
            for a in self.along
        )
        return Tile(
            self.X[:, rows],
            None if self.Y is None else self.Y[:, rows],
            self.Y_weight[:, rows],
            self.Y_group[:, rows],
            along,
            None if self.J is None else self.J[..., rows],
            None if self.J_weight is None else self.J_weight[..., rows],
            None if self.J_group is None else self.J_group[..., rows],
            self.J_outputs,
        )

    @property
    def has_partials(self) -> bool:
        return bool(self.along) or self.J is not None

    @cached_property
    def entries(self) -> int:
        """How many values and partials have a weight."""
        weights = [self.Y_weight, *(along.weight for along in self.along)]
        weights += [] if self.J_weight is None else [self.J_weight]
        return sum(map(np.count_nonzero, weights))

    @cached_property
    def kind(self) -> tuple[object, ...]:
        """What tiles have in common of which the same NumPy calls are made."""
        directions = tuple(a.direction if isinstance(a.direction, int) else None for a in self.along)
        return (self.rows, self.Y is None, directions, self.J is None, self.J_outputs)

    @cached_property
    def floats(self) -> tuple[Array, ...]:
        """X, Y, Y_weight, each of `along` and J, in an order that is that of all tiles of its kind."""
        along = [(a.direction, a.target, a.weight) for a in self.along]
        arrays = (self.X, self.Y, self.Y_weight, *chain(*along), self.J, self.J_weight)
        return tuple(array for array in arrays if isinstance(array, np.ndarray))

    def of(self, floats: Iterable[Array]) -> "Tile":
        """This tile with other arrays for its `floats`."""
        new = iter(floats)
        X, Y, Y_weight = next(new), None if self.Y is None else next(new), next(new)
        along = tuple(
            replace(
                a,
                direction=a.direction if isinstance(a.direction, int) else next(new),
                target=next(new),
                weight=next(new),
            )
            for a in self.along
        )
        J, J_weight = (None, None) if self.J is None else (next(new), next(new))
        return replace(self, X=X, Y=Y, Y_weight=Y_weight, along=along, J=J, J_weight=J_weight)


def joined_tiles(tiles: Sequence[Tile]) -> list[Tile]:
    """The same rows in as few tiles as may be: those of a kind are one."""
    kinds: dict[tuple[bool, int], list[Tile]] = {}
    for tile in tiles:
        kinds.setdefault((tile.J is None, len(tile.along)), []).append(tile)
    return [_joined(alike) for alike in kinds.values()]


def _joined(tiles: Sequence[Tile]) -> Tile:
    """Tiles of a kind as one: none has partials of which each row has many, or all have."""
    first = tiles[0]
    J, J_weight, J_group = (
        None if first.J is None else _together([getattr(tile, name) for tile in tiles])
        for name in ("J", "J_weight", "J_group")
    )
    Y = [np.zeros_like(tile.Y_weight) if tile.Y is None else tile.Y for tile in tiles]
    return Tile(
        _together([tile.X for tile in tiles]),
        None if all(tile.Y is None for tile in tiles) else _together(Y),
        _together([tile.Y_weight for tile in tiles]),
        _together([tile.Y_group for tile in tiles]),
        tuple(_joined_along(tiles, nth) for nth in range(len(first.along))),
        J,
        J_weight,
        J_group,
        tuple(sorted({output for tile in tiles for output in tile.J_outputs})),
    )


def _joined_along(tiles: Sequence[Tile], nth: int) -> Along:
    parts = [tile.along[nth] for tile in tiles]
    direction: Array | int = parts[0].direction
    if not all(isinstance(part.direction, int) and part.direction == direction for part in parts):
        direction = _together([_directions(tile, nth) for tile in tiles])
    arrays = [_together([getattr(part, name) for part in parts]) for name in ("target", "weight", "group")]
    return Along(direction, *arrays)


def _directions(tile: Tile, nth: int) -> Array:
    """(d, rows) each row's direction."""
    direction = tile.along[nth].direction
    if not isinstance(direction, int):
        return direction
    found = np.zeros_like(tile.X[:-1])
    found[direction] = 1.0
    return found


def _together(arrays: Sequence[Array]) -> Array:
    """Arrays side by side, the rows last and contiguous."""
    return np.ascontiguousarray(np.concatenate(arrays, axis=-1))


class Grouping:
    """Which entries share a noise: output o's values are group o, column (o, j) is group k + o d + j.

    The last two groups hold the values and the partials whose sigmas were measured.
    """

    def __init__(self, k: int, d: int) -> None:
        self.first_known = k + k * d
        self.values = np.arange(k)
        self.partials = np.arange(k, self.first_known).reshape(k, d)
        self.is_partial = np.arange(self.first_known + 2) >= k
        self.is_partial[-2] = False

    def of(self, own: Array, sigma: Array | None, known: int) -> Array:
        """Each entry's group: its `own`, or the given known one where its sigma was measured."""
        if sigma is None:
            return own
        return np.where(np.isnan(sigma), own, self.first_known + known)

    @quiet  # the loss will be inf, which says so
    def sums(self, data: MixedData, measured: MixedData) -> Array:
        """(6, groups) what `Groups` is made of; sums over parts of the rows add up.

        Args:
            data: whose entries.
            measured: the same rows, of which only measured sigmas are kept.
        """
        sums = np.zeros((6, len(self.is_partial)))
        kinds = (
            (self.values, data.Y, data.Y_sigma, measured.Y_sigma),
            (self.partials, data.J, data.J_sigma, measured.J_sigma),
        )
        for kind, (own, target, sigma, known) in enumerate(kinds):
            often = np.broadcast_to(along_rows(data.row_weights, target.ndim), target.shape)
            seen = ~np.isnan(target) & (often > 0)
            group = self.of(np.broadcast_to(own, target.shape), known, kind)[seen]
            often = often[seen]
            target = target[seen]
            square = target**2
            unit = np.ones(1) if sigma is None else np.where(np.isnan(sigma), 1.0, sigma)[seen] ** 2
            terms = np.ones(len(square)), often, often * square, often * square / unit
            for row, numbers in zip(sums, (*terms, often * target, often * unit), strict=True):
                row += np.bincount(group, numbers, sums.shape[1])
        return sums


class Groups(Grouping):
    """Groups of entries, and how much is in each.

    Args:
        k: outputs.
        d: inputs.
        sums: see `Grouping.sums`.

    Attributes:
        entries: (groups,) how many there are.
        count: (groups,) the sum of their rows' weights.
        square: (groups,) mean square of the targets.
        relative: (groups,) mean square of target / sigma.
        unit: (groups,) mean of sigma^2.
        variance: (groups,) of the targets, 0 where they are equal but for rounding.
        noise_of: (groups,) the group whose noise each has.
    """

    def __init__(self, k: int, d: int, sums: Array) -> None:
        super().__init__(k, d)
        self.entries, self.count = sums[0].astype(int), sums[1]
        self.square, self.relative, mean, unit = sums[2:] / np.where(self.count > 0, self.count, 1.0)
        self.unit = np.where(self.count > 0, unit, 1.0)
        with np.errstate(all="ignore"):  # the loss will be inf, which says so
            variance = self.square - mean**2
        self.variance = np.where(variance > _ROUNDED * self.square, variance, 0.0)
        self.noise_of = self._noises()

    def _noises(self) -> NDArray[np.intp]:
        """Its own, but where all targets are equal, beside others of the output that are not: theirs.

        A constant meets equal targets exactly: from them alone their noise would be none, and to be so sure
        of them worth taking all that varies for noise.
        """
        noise_of = np.arange(len(self.variance))
        for value, partials in zip(self.values, self.partials, strict=True):
            own = np.array([value, *partials])
            own = own[self.count[own] > 0]
            # Slopes computed where they are 0 are some 1e-16; inputs vary by about 1 where they are scaled.
            most = self.variance[value] or self.square[partials].max()
            alike = self.variance[own] <= _ROUNDED**2 * most
            varied = own if alike.all() else own[~alike]
            if len(own):
                noise_of[own[alike]] = varied[self.square[varied].argmax()]
        return noise_of


@dataclass(frozen=True)
class EntryWeights:
    """The factor of each squared residual: value / sigma^2, partial / sigma^2, times its row's weight."""

    value: float
    partial: float

    @quiet  # the loss will be inf, which says so
    def of(
        self, factor: float, target: Array, sigma: Array | None, rows: Array | None
    ) -> tuple[Array, Array]:
        """Targets with 0 for NaN, and weights with 0 there; an entry without a sigma has sigma 1.

        `rows` are the rows' own weights; an entry of weight 0 is one that was not observed.
        """
        often = np.ones(1) if rows is None else along_rows(rows, target.ndim)
        seen = ~np.isnan(target) & (often > 0)
        weight = np.where(seen, factor * often, 0.0)
        if sigma is not None:
            weight /= np.where(np.isnan(sigma), 1.0, sigma * sigma)
        return np.where(seen, target, 0.0), weight


class Tiler:
    """Makes tiles of MixedData, all of it or a minibatch; for `measured` see `Grouping.sums`."""

    def __init__(
        self, data: MixedData, measured: MixedData, weights: EntryWeights, dtype: Any, rows: int
    ) -> None:
        self.data, self.measured, self.weights, self.dtype, self.rows = data, measured, weights, dtype, rows
        self.groups = Grouping(data.k, data.d)
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
            for together in long_runs(edges, len(rows), run)
            for part in _cut(np.arange(together.start, together.stop), self.rows)
        ]

    def _along(self, rows: Rows, directions: Array | None) -> Tile:
        points = self._points(rows)
        if directions is None:
            return Tile(*points)
        data, along = self.data, []
        index = np.arange(len(rows))
        for inputs in directions.T:
            where = rows[:, None], np.arange(data.k), inputs[:, None]
            sigma, measured = (None if s is None else s[where] for s in self._partial_sigmas())
            target, weight = self.weights.of(self.weights.partial, data.J[where], sigma, self._often(rows))
            group = self.groups.of(self.groups.partials.T[inputs], measured, 1)
            direction: Array | int = int(inputs[0])
            if (inputs != inputs[0]).any():
                direction = np.zeros((data.d, len(rows)), self.dtype)
                direction[inputs, index] = 1.0
            along.append(Along(direction, self._turned(target), self._turned(weight), group.T))
        return Tile(*points, tuple(along))

    def _pulled(self, rows: Rows) -> Tile:
        points = self._points(rows)
        sigma, measured = (None if s is None else s[rows] for s in self._partial_sigmas())
        target, weight = self.weights.of(self.weights.partial, self.data.J[rows], sigma, self._often(rows))
        outputs = np.flatnonzero(weight.any((0, 2)))
        if len(outputs) == 0:
            return Tile(*points)
        J, J_weight = self._turned(target), self._turned(weight)
        own = np.broadcast_to(self.groups.partials, target.shape)
        J_group = self.groups.of(own, measured, 1).transpose(1, 2, 0)
        return Tile(*points, J=J, J_weight=J_weight, J_group=J_group, J_outputs=tuple(map(int, outputs)))

    def _partial_sigmas(self) -> tuple[Array | None, Array | None]:
        """The partials' sigmas, those given and those measured, (n, k, d)."""
        return self.data.J_sigma, self.measured.J_sigma

    def _often(self, rows: Rows) -> Array | None:
        """(rows,) the rows' weights."""
        return None if self.data.weights is None else self.data.weights[rows]

    def _points(self, rows: Rows) -> tuple[Array, Array | None, Array, Array]:
        """X, Y, Y_weight and Y_group of a tile."""
        data = self.data
        X = np.ones((data.d + 1, len(rows)), self.dtype)
        X[:-1] = data.X[rows].T
        both = (data.Y_sigma, self.measured.Y_sigma)
        sigma, measured = (None if s is None else s[rows] for s in both)
        target, weight = self.weights.of(self.weights.value, data.Y[rows], sigma, self._often(rows))
        group = self.groups.of(np.broadcast_to(self.groups.values, target.shape), measured, 0)
        return X, self._turned(target) if weight.any() else None, self._turned(weight), group.T

    def _turned(self, array: Array) -> Array:
        """Rows last, contiguous, in the tile's dtype."""
        turned = array.T if array.ndim == 2 else array.transpose(1, 2, 0)
        return np.ascontiguousarray(turned, dtype=self.dtype)


def _cut(rows: Rows, size: int) -> list[Rows]:
    return [rows[part.start : part.stop] for part in parts(len(rows), size)]


def parts(count: int, size: int) -> list[range]:
    """Parts of nearly equal length, at most `size` long."""
    parts = max(1, -(-count // size))
    length = -(-count // parts)
    if length % 256 == 0 and length < size:
        length += min(8, size - length)  # columns a power of two apart fall on each other in the cache
    return [range(count)[start : start + length] for start in range(0, count, max(1, length))]


def long_runs(edges: Array, count: int, least: int) -> Iterator[slice]:
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
