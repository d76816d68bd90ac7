"""Rows in memory, cut into tiles, and the sums over them that an `Objective` asks for.

Each sum is taken tile by tile (some particles times some rows, small enough for the cache), tiles are shared
out over threads, and partial sums are added in the tiles' order, so that the number of threads changes
nothing, to the last bit.

An objective does not call these sums itself but hands them to `total`, which every kind of rows has. Where
the rows are many `HeldRows`, on other machines or one after another on this one, it adds up theirs.
"""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Concatenate, ParamSpec, Protocol

import numpy as np
from numpy.typing import NDArray

from swarmnet.data import MixedData
from swarmnet.floats import far_out
from swarmnet.losses import ValueLoss
from swarmnet.moments import Statistics
from swarmnet.network import Network
from swarmnet.propagation import Propagation
from swarmnet.sums import (
    add_gram,
    add_leverage,
    add_normal,
    add_squares,
    residuals,
    tile_gradient,
    tile_loss,
)
from swarmnet.tapes import TapedPropagation
from swarmnet.threads import Crew, one_blas_thread
from swarmnet.tiles import EntryWeights, Tile, Tiler

Array = NDArray[Any]
Sums = tuple[Array, ...]
Batch = NDArray[np.intp]  # a minibatch: rows by their numbers
P = ParamSpec("P")

_CHUNKS = 8  # partial sums a result is added up from: enough to share out, few enough to keep
_NORMAL_NUMBERS = 1 << 25  # numbers in all the partial sums of J'J together
_TILE_BYTES = 1 << 20  # of particles x units x rows of the widest layer in a swarm's tile, at most
_TILE_ROWS = 1000  # rows that a swarm's tile has at most
_SMALL_PRODUCT = 1_000_000  # multiplications up to which OpenBLAS takes a quicker way
_ONE_THREAD = 1 << 18  # multiplications up to which it takes one thread, and so do sums of _FEW terms
_ENTRIES = 512  # whose gradients a tile has at least, unless it would be the only one
_QUICK_GRAM = 100_000_000  # multiplications in J'J or JJ' that take no longer than few rows' NumPy calls
_BUFFER = 128  # numbers in NumPy's buffers: longer than what casting costs, shorter than most rows
_FEW = 1 << 13  # rows x units up to which a NumPy call costs more than what it computes
_AS_LONG = 10  # multiplications in a product that take as long as one number in another call
_LONG_CALL = 6_000_000  # bytes of them, in the mean, from which threads gain where calls are of all lengths
_SHARED = 30_000  # numbers in a tile from which threads gain more than their hand-overs cost


@dataclass(frozen=True)
class Terms:
    """What is summed over rows: the terms of the loss under a network."""

    net: Network
    loss: ValueLoss
    unit: EntryWeights
    dtype: np.dtype[Any]

    @property
    def widest(self) -> int:
        """Units of the widest layer."""
        return max(self.net.sizes[1:])

    @property
    def tile_numbers(self) -> int:
        """Particles x units x rows of the widest layer in a swarm's tile, at most."""
        return _TILE_BYTES // self.dtype.itemsize

    def passes(self) -> TapedPropagation:
        """Buffers for one thread."""
        return TapedPropagation(self.net.layers, self.dtype, absolute=True)


class RowSums(Protocol):
    """Sums over rows, wherever these are."""

    @property
    def n(self) -> int:
        """How many rows."""

    @property
    def threads(self) -> int:
        """How many of this process's threads share the work."""

    @property
    def one_gram(self) -> bool:
        """Whether every output has the same entries and weights, so that one Gram matrix serves all."""

    @property
    def group_sums(self) -> Array:
        """(6, groups) see `Grouping.sums`."""

    def twin(self) -> "RowSums":
        """The same sums, to be asked for at the same time as these."""

    def total(
        self, sums: Callable[Concatenate["HeldRows", P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """The sums over all rows; `sums` is a method of `HeldRows`."""

    def joined(
        self, sums: Callable[Concatenate["HeldRows", P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """The same of what is not to be added up, but to be joined."""

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows in a random order, cut into minibatches; the last one is what remains."""

    def some(self, rows: Batch) -> "RowSums":
        """The rows with these numbers alone."""


def joined(parts: Iterable[Sums]) -> Sums:
    """What `RowSums.joined` found for parts of the rows, in their order."""
    return tuple(map(np.concatenate, zip(*parts, strict=True)))


class Source(Protocol):
    """Rows that are elsewhere than in a MixedData of this process, and how they are to be scaled."""

    @property
    def d(self) -> int:
        """Inputs."""

    @property
    def k(self) -> int:
        """Outputs."""

    @property
    def statistics(self) -> Statistics:
        """Of the rows before they are scaled."""

    def rows(self, terms: Terms, threads: int | None) -> RowSums:
        """These rows, ready to be summed over."""


class HeldRows:
    """Rows in memory and ready to be summed over.

    Args:
        terms: what is summed.
        tiles: the rows.
        group_sums: (6, groups) see `Grouping.sums`.
        crew: the threads that share the tiles.
        passes: buffers for each of them; their own by default.
        chunks: the tiles for one theta, if not these.
        tiler: who makes minibatches.
    """

    def __init__(
        self,
        terms: Terms,
        tiles: Sequence[Tile],
        group_sums: Array,
        crew: Crew,
        passes: Sequence[TapedPropagation] | None = None,
        chunks: Sequence[Sequence[Tile]] | None = None,
        tiler: Tiler | None = None,
    ) -> None:
        self.terms, self.group_sums = terms, group_sums
        self.n = sum(tile.rows for tile in tiles) if tiler is None else tiler.data.n
        self.tiles, self._chunks, self._tiler = tiles, chunks or _chunked(tiles), tiler
        self._crew, self._passes = crew, passes or [terms.passes() for _ in range(crew.size)]
        self._one_call = threading.RLock()  # the buffers serve one call at a time

    @classmethod
    def of(cls, terms: Terms, data: MixedData, measured: MixedData, threads: int | None = None) -> "HeldRows":
        """The rows of MixedData; `measured` are the same rows with measured sigmas only."""
        # One theta takes long tiles, so that each NumPy call has work enough; a swarm's are parts of them.
        worth_a_thread = -(-_SHARED // terms.widest)
        long_rows = min(max(terms.tile_numbers // 2 // terms.widest, _TILE_ROWS), 4000)
        long_rows = min(long_rows, max(worth_a_thread, -(-data.n // 4)))  # a few for each thread
        tiler = Tiler(data, measured, terms.unit, terms.dtype, long_rows)
        tiles = tiler.all()
        chunks = None
        if data.n * terms.widest <= _FEW:
            chunks = _chunked(tiler.together())
        elif data.n <= 8 * worth_a_thread:
            chunks = _chunked(tiler.all(run=worth_a_thread))
        sums = tiler.groups.sums(data, measured)
        return cls(terms, tiles, sums, Crew(threads), chunks=chunks, tiler=tiler)

    @property
    def threads(self) -> int:
        """How many threads share the tiles."""
        return self._crew.size

    def twin(self) -> "HeldRows":
        """The same rows, with one thread and buffers of its own."""
        twin = copy.copy(self)
        twin._crew, twin._one_call = Crew(1), threading.RLock()
        twin._passes = [self.terms.passes()]
        return twin

    def total(
        self, sums: Callable[Concatenate["HeldRows", P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """These rows' sums."""
        return sums(self, *args, **kwargs)

    joined = total

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows in a random order, cut into minibatches; the last one is what remains."""
        order = rng.permutation(self.n)
        for start in range(0, self.n, size):
            yield order[start : start + size]

    def some(self, rows: Batch) -> "HeldRows":
        """The rows with these numbers, in their order; they share these rows' threads and buffers."""
        assert self._tiler is not None
        some = object.__new__(HeldRows)  # a copy, several times as fast as copy.copy: one row takes as long
        vars(some).update(vars(self))
        some.tiles = self._tiler.batch(rows)
        some._chunks = _chunked(some.tiles)
        for name in _OF_ALL_ROWS:
            vars(some).pop(name, None)
        return some

    @cached_property
    def one_gram(self) -> bool:
        """Whether every output has the same entries and weights, so that one Gram matrix serves all."""
        return self.terms.net.k == 1 or _same_for_all_outputs(self.short_tiles)

    def losses(self, theta: Array) -> Sums:
        """Each particle's loss, (s,), for theta (s, p)."""

        def add(passes: TapedPropagation, tile: Tile, total: Array) -> None:
            total += passes.taped(tile_loss, tile, self.terms.loss)

        return (self._over_swarm(theta, (), add),)

    def gradient(self, weights: Array) -> Sums:
        """The loss at weights (p,) and half its gradient, (1 + p,)."""
        chunks = self._chunks
        sums = np.zeros((len(chunks), 1 + len(weights)))

        def work(worker: int, task: int) -> None:
            passes = self._passes[worker]
            passes.load(weights)
            for tile in chunks[task]:
                costs, gradient = passes.taped(tile_gradient, tile, self.terms.loss)
                sums[task, 0] += sum(map(float, costs))
                sums[task, 1:] += gradient

        self._run(len(chunks), work, self._has_long_calls, held=not self._is_small)
        return (sums[0] if len(sums) == 1 else _sum(sums),)

    def grams(self, theta: Array, grams: int) -> Sums:
        """Each particle's sums of the output layer's least-squares problem, as `unpack_gram` reads them."""
        units, k = self.terms.net.sizes[-2] + 1, self.terms.net.k

        def add(passes: Propagation, tile: Tile, total: Array) -> None:
            add_gram(passes, tile, grams, total)

        return (self._over_swarm(theta, (grams * units * units + units * k + 1,), add),)

    def normal(self, weights: Array, precision: Array) -> Sums:
        """Each group's squares (groups,), J'r (p,) and the upper half of J'J (p, p), in Fortran order."""
        p = len(weights)
        chunks = self._residual_chunks
        squares = np.zeros((len(chunks), self.group_sums.shape[1]))
        Jr = np.zeros((len(chunks), p))
        total = np.zeros((p, p), order="F")
        with self._one_call:
            # Buffers, because getting new memory from the system takes as long as the products.
            passes = self._passes[0]
            JJ = [passes.buffer(("JJ", number), (p, p), np.float64).T for number in range(len(chunks))]

            def add(passes: Propagation, tile: Tile, task: int) -> None:
                add_normal(passes, tile, self.terms.unit, precision, (squares[task], Jr[task], JJ[task]))

            for part in JJ:
                part.fill(0.0)
            self._over_residuals(weights, chunks, add)
            for part in JJ:
                total += part
        return squares.sum(0), Jr.sum(0), total

    def leverages(self, weights: Array, precision: Array, factor: Array) -> Sums:
        """Each group's sum of precision j' (L L')^-1 j, (groups,), with L = `factor` (p, p)."""
        chunks = self._residual_chunks
        totals = np.zeros((len(chunks), self.group_sums.shape[1]))

        def add(passes: Propagation, tile: Tile, task: int) -> None:
            add_leverage(passes, tile, self.terms.unit, precision, factor, totals[task])

        self._over_residuals(weights, chunks, add)
        return (totals.sum(0),)

    def squares(self, weights: Array) -> Sums:
        """Each group's sum of squared residuals, (groups,)."""
        chunks = self._residual_chunks
        totals = np.zeros((len(chunks), self.group_sums.shape[1]))

        def add(passes: TapedPropagation, tile: Tile, task: int) -> None:
            add_squares(passes, tile, self.terms.unit, totals[task])

        self._over_residuals(weights, chunks, add)
        return (totals.sum(0),)

    def residuals(self, weights: Array) -> Sums:
        """All residuals (entries,), their gradients (entries, p) and groups (entries,): for `joined`."""
        chunks = self._residual_chunks
        parts: list[list[tuple[Array, Array, Array]]] = [[] for _ in chunks]
        ones = np.ones(self.group_sums.shape[1], self.terms.dtype)

        def add(passes: Propagation, tile: Tile, task: int) -> None:
            for J, residual, group in residuals(passes, tile, self.terms.unit, ones):
                parts[task].append((residual, J.T.copy(), group))

        self._over_residuals(weights, chunks, add)
        return tuple(map(np.concatenate, zip(*(part for chunk in parts for part in chunk), strict=True)))

    @cached_property
    def short_tiles(self) -> list[Tile]:
        """The tiles for a swarm."""
        rows = _swarm_rows(self.terms.net)
        return [part for tile in self.tiles for part in tile.parts(rows)]

    @cached_property
    def _short_chunks(self) -> list[list[Tile]]:
        return _chunked(self.short_tiles)

    @cached_property
    def _has_long_calls(self) -> bool:
        """Whether the NumPy calls of a gradient are long enough to gain from threads."""
        layers = self.terms.net.layers
        row = sum((layer.fan_in + 1 + _AS_LONG) * layer.fan_out for layer in layers) / len(layers)
        return _mean_rows(self._chunks) * row * self.terms.dtype.itemsize >= _LONG_CALL

    @cached_property
    def _is_small(self) -> bool:
        """Whether OpenBLAS takes no threads for a gradient even if it may: its products are too small."""
        longest = max((tile.rows for chunk in self._chunks for tile in chunk), default=0)
        numbers = max(longest, self.terms.widest) * (max(self.terms.net.sizes) + 1)
        return numbers <= _FEW and numbers * self.terms.widest <= _ONE_THREAD

    @cached_property
    def _residual_chunks(self) -> Sequence[Sequence[Tile]]:
        """The tiles for sums over residuals' gradients."""
        # These rows' own entries: a shard's sums are those of the same rows in files.
        p, entries = self.terms.net.size, sum(tile.entries for tile in self.tiles)
        if self.n * self.terms.widest <= _FEW and entries * p * min(entries, p) <= _QUICK_GRAM:
            return self._chunks  # as few as may be
        tiles = self.short_tiles
        most = min(_CHUNKS, max(4, _NORMAL_NUMBERS // (8 * p * p)), max(1, _NORMAL_NUMBERS // (p * p)))
        if p >= 256:  # of long residual gradients few rows are work enough to share
            rows = sum(tile.rows for tile in tiles)
            part = -(-rows // min(4, max(2, entries // _ENTRIES)))
            tiles = [shorter for tile in tiles for shorter in tile.parts(max(1, part))]
        return _chunked(tiles, most)

    def _over_residuals(
        self,
        weights: Array,
        chunks: Sequence[Sequence[Tile]],
        add: Callable[[TapedPropagation, Tile, int], None],
    ) -> None:
        """Call add(passes, tile, chunk) for every tile."""

        def work(worker: int, task: int) -> None:
            passes = self._passes[worker]
            passes.load(weights)
            for tile in chunks[task]:
                add(passes, tile, task)

        self._run(len(chunks), work, len(weights) * _mean_rows(chunks) >= _SHARED)

    def _over_swarm(
        self,
        theta: Array,
        shape: tuple[int, ...],
        add: Callable[[TapedPropagation, Tile, Array], None],
    ) -> Array:
        """Sum add() over all tiles for each particle: (s, *shape), in float64."""
        s, chunks = len(theta), self._short_chunks
        numbers = self.terms.widest * _mean_rows(chunks)
        count = -(-s * numbers // self.terms.tile_numbers)
        if count * len(chunks) < 4:  # too few tasks to balance: more and smaller ones
            count = max(count, min(4, s * numbers // (2 * _SHARED)))
        step = max(1, -(-s // max(1, count)))
        blocks = [slice(start, start + step) for start in range(0, s, step)]
        sums = np.zeros((len(chunks), s, *shape))

        def work(worker: int, task: int) -> None:
            block, chunk = blocks[task // len(chunks)], task % len(chunks)
            passes = self._passes[worker]
            passes.load(theta[block])
            with _short_buffers():
                for tile in chunks[chunk]:
                    add(passes, tile, sums[chunk, block])

        self._run(len(blocks) * len(chunks), work, step * numbers >= _SHARED)
        return _sum(sums)

    def _run(self, tasks: int, work: Callable[[int, int], None], shared: bool, held: bool = True) -> None:
        """Do the tasks, shared out to the threads or not, with BLAS held to one thread or not.

        Holding it, where it is not held already, takes as long as a few dozen small products.
        """

        def quietly(worker: int, task: int) -> None:
            with far_out():  # again, because each thread has a state of its own
                work(worker, task)

        with self._one_call, one_blas_thread() if held else nullcontext(), far_out():
            self._crew.run(tasks, quietly if shared else work, shared)


_OF_ALL_ROWS = [name for name, made in vars(HeldRows).items() if isinstance(made, cached_property)]


def _sum(parts: Array) -> Array:
    with far_out():
        total: Array = np.add.reduce(parts)
    return total


@contextmanager
def _short_buffers() -> Iterator[None]:
    """Keep NumPy from copying through its buffers where runs of an array are shorter than they are.

    That takes up to three times as long as the work itself, and the activations, which have a row of ones
    between the particles, are such arrays.
    """
    before = np.setbufsize(_BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


def _swarm_rows(net: Network) -> int:
    """Rows of a swarm's tiles at most: few enough for the quick way, if that leaves rows enough."""
    quick = _SMALL_PRODUCT // max((a + 1) * b for a, b in zip(net.sizes[:-1], net.sizes[1:], strict=True))
    return min(quick, _TILE_ROWS) if quick >= _TILE_ROWS // 8 else _TILE_ROWS


def _mean_rows(chunks: Sequence[Sequence[Tile]]) -> int:
    tiles = [tile.rows for chunk in chunks for tile in chunk]
    return max(1, sum(tiles) // max(1, len(tiles)))


def _chunked(tiles: Sequence[Tile], most: int = _CHUNKS) -> list[list[Tile]]:
    count = min(most, len(tiles))
    edges = [len(tiles) * i // max(1, count) for i in range(count + 1)]
    return [list(tiles[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _same_for_all_outputs(tiles: Sequence[Tile]) -> bool:
    return all(
        (weight == weight[0]).all()
        for tile in tiles
        for weight in (
            tile.Y_weight,
            *(a.weight for a in tile.along),
            *([] if tile.J_weight is None else [tile.J_weight]),
        )
    )
