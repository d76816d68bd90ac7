"""Objective: the mixed loss of a network on MixedData, and all the sums over rows that trainers ask for.

    loss = mean over value entries of ((y - target) / sigma)^2
         + derivative_weight * mean over derivative entries of ((dy/dx - target) / sigma)^2
         + l2 * |W|^2

with sigma 1 where none is given, and each row as often in the means as its weight says. Each sum is taken
tile by tile (some particles times some rows, small enough for the cache), tiles are shared out over threads,
and partial sums are added in the tiles' order, so that the number of threads changes nothing, to the last
bit.
"""

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from swarmnet.activations import LINEAR
from swarmnet.data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.losses import SquaredError, ValueLoss, value_loss
from swarmnet.network import Network
from swarmnet.propagation import Propagation
from swarmnet.sums import (
    add_gram,
    add_leverage,
    add_normal,
    add_squares,
    residual_rows,
    tile_gradient,
    tile_loss,
    unpack_gram,
)
from swarmnet.threads import Crew, one_blas_thread
from swarmnet.tiles import EntryWeights, Groups, Tile, Tiler

Array = NDArray[Any]

L2 = 1e-8  # where nobody says otherwise
_CHUNKS = 8  # partial sums a result is added up from: enough to share out, few enough to keep
_NORMAL_NUMBERS = 1 << 25  # numbers in all the partial sums of J'J together
_TILE_BYTES = 1 << 20  # of particles x units x rows of the widest layer in a swarm's tile, at most
_TILE_ROWS = 1000  # rows that a swarm's tile has at most
_SMALL_PRODUCT = 1_000_000  # multiplications up to which OpenBLAS takes a quicker way
_BUFFER = 128  # numbers in NumPy's buffers: longer than what casting costs, shorter than most rows
_FEW = 1 << 13  # rows x units up to which a NumPy call costs more than what it computes
_SHARED = 30_000  # numbers in a tile from which threads gain more than their hand-overs cost


class Objective:
    """The mixed loss over theta; data are taken as they stand, unscaled.

    Args:
        net: the network.
        data: its inputs and outputs must be as many as the network's.
        loss: "squared", or "cross-entropy" for values (sigmoid outputs, targets from 0 to 1).
        derivative_weight: weight of the derivatives' mean against the values'; None for 1, and trainers
            that can may estimate it.
        l2: weight of the sum of squares of all W (not b); None for 1e-8, and trainers that can may
            estimate it.
        dtype: "float64", or "float32" to evaluate swarms faster and less exactly.
        threads: how many to use; all the process may use by default.
        measured: the same rows with those sigmas only that are measurements and not mere scales; `data`
            by default.

    Raises:
        SwarmnetError: a network and data that do not fit, or arguments out of range.
    """

    def __init__(
        self,
        net: Network,
        data: MixedData,
        *,
        loss: str = "squared",
        derivative_weight: float | None = 1.0,
        l2: float | None = 0.0,
        dtype: DTypeLike = "float64",
        threads: int | None = None,
        measured: MixedData | None = None,
    ) -> None:
        self.net, self.l2 = net, _at_least_0("l2", L2 if l2 is None else l2)
        self.estimates_l2, self.estimates_balance = l2 is None, derivative_weight is None
        self.n_rows = data.n
        self.groups = Groups(data, data if measured is None else measured)
        self._value_loss = value_loss(loss)
        _refuse_misfit(net, data, loss)
        derivative_weight = _at_least_0(
            "derivative_weight", 1.0 if derivative_weight is None else derivative_weight
        )
        values, partials = self.groups.values_and_partials
        self._weights = EntryWeights(1.0 / (values or 1.0), derivative_weight / (partials or 1.0))
        self._dtype = np.dtype(dtype)
        if self._dtype not in (np.dtype("float64"), np.dtype("float32")):
            raise SwarmnetError(f"dtype must be float64 or float32, not {dtype}")
        # One theta takes long tiles, so that each NumPy call has work enough; a swarm's are parts of them.
        self._widest = max(net.sizes[1:])
        self._tile = _TILE_BYTES // self._dtype.itemsize
        worth_a_thread = -(-_SHARED // self._widest)
        long_rows = min(max(self._tile // 2 // self._widest, _TILE_ROWS), 4000)
        long_rows = min(long_rows, max(worth_a_thread, -(-data.n // 4)))  # a few for each thread
        self._tiler = Tiler(data, self._weights, self.groups, self._dtype, long_rows)
        tiles = self._tiler.all()
        self._chunks = _chunked(tiles)
        if data.n * self._widest <= _FEW:
            self._chunks = _chunked(self._tiler.together())
        elif data.n <= 8 * worth_a_thread:
            self._chunks = _chunked(self._tiler.all(run=worth_a_thread))
        self._short_tiles = _short(tiles, net)
        self._short_chunks = _chunked(self._short_tiles)
        # Objectives of other networks for the same data, from which a trainer may choose, and this one.
        self.rungs: Sequence[Objective] = (self,)
        self._crew = Crew(threads)
        self._one_call = threading.RLock()  # the buffers serve one call at a time
        self._passes = [Propagation(net.layers, self._dtype, detours=True) for _ in range(self._crew.size)]
        self._is_weight = _weight_mask(net)
        self._shared_gram = net.k == 1 or _same_for_all_outputs(self._short_chunks)

    @property
    def size(self) -> int:
        """p, weights in theta."""
        return self.net.size

    @property
    def hidden_size(self) -> int:
        """How many of theta's first weights belong to hidden layers, those before the output layer."""
        return self.net.layers[-1].start

    @property
    def threads(self) -> int:
        """How many threads share the tiles."""
        return self._crew.size

    def twin(self) -> "Objective":
        """The same objective on one thread, to be used at the same time as this one."""
        twin = copy.copy(self)
        twin._crew, twin._one_call = Crew(1), threading.RLock()
        twin._passes = [Propagation(self.net.layers, self._dtype, detours=True)]
        return twin

    @property
    def unit_precision(self) -> Array:
        """(groups,) factor of each group's sum of squares in the loss."""
        return np.where(self.groups.is_partial, self._weights.partial, self._weights.value)

    @property
    def weight_groups(self) -> Array:
        """(p,) which weights share a prior. Each layer's W are a group, and each layer's b."""
        group = np.zeros(self.size, int)
        for index, layer in enumerate(self.net.layers):
            block = layer.weights(group)
            block[:-1], block[-1] = 2 * index, 2 * index + 1
        return group

    @property
    def penalised(self) -> Array:
        """(p,) 1 for weights in W, 0 for those in b."""
        return self._is_weight

    @property
    def can_linearise(self) -> bool:
        """Whether residuals and their gradients can be asked for. The loss must be squared."""
        return isinstance(self._value_loss, SquaredError)

    @property
    def can_project(self) -> bool:
        """Whether `projected` can be asked. The output layer must be linear and the loss squared."""
        return output_is_solvable(self.net, self._value_loss)

    def initial(self, rng: np.random.Generator, particles: int | None = None) -> Array:
        """Random weights from the network's own initialiser: (p,), or (particles, p)."""
        return self.net.init(rng, particles)

    def loss(self, swarm: ArrayLike) -> Array:
        """The loss of each particle: (s,) for a swarm (s, p), a scalar for theta (p,)."""
        theta = self._weight_array(np.atleast_2d(swarm), ("particles", self.size))

        def add(passes: Propagation, tile: Tile, total: Array) -> None:
            total += tile_loss(passes, tile, self._value_loss)

        total = self._over_swarm(theta, (), add)
        with _quiet():
            total += self.l2 * self._square_weights(theta)
        total[~np.isfinite(theta).all(1)] = np.nan  # tanh(inf) is 1, but inf is no weight to end with
        return total if np.ndim(swarm) == 2 else total[0]

    def loss_and_gradient(
        self, theta: ArrayLike, rows: NDArray[np.intp] | None = None
    ) -> tuple[float, Array]:
        """The loss at theta (p,) and its gradient (p,).

        With `rows`, a minibatch: the sums over those rows, scaled up by n / len(rows), so that their
        expectation over random rows is the full loss; l2 is not scaled.
        """
        weights = self._weight_array(theta, (self.size,))
        if rows is not None and np.asarray(rows).dtype == bool:
            rows = np.flatnonzero(rows)
        chunks = self._chunks if rows is None else _chunked(self._batch(rows))
        sums = np.zeros((len(chunks), 1 + self.size))

        def work(worker: int, task: int) -> None:
            passes = self._passes[worker]
            passes.load(weights)
            gradient = passes.buffer("gradient", (self.size,))
            for tile in chunks[task]:
                sums[task, 0] += tile_gradient(passes, tile, self._value_loss, gradient)
                sums[task, 1:] += gradient

        self._run(len(chunks), work, self._widest * _mean_rows(chunks))
        with _quiet():
            total = sums.sum(0)
            if rows is not None:
                total *= self.n_rows / len(rows)
            penalised = weights * self._is_weight
            loss = float(total[0] + self.l2 * (penalised @ penalised))
            return loss, total[1:] + 2.0 * self.l2 * penalised

    def normal_equations(self, theta: ArrayLike) -> tuple[float, Array, Array]:
        """The loss at theta (p,) as a sum of squared residuals r'r, with J'r (p,) and J'J (p, p).

        J holds each residual's gradient; it is never kept for more than a tile. The loss's gradient is
        2 J'r, and 2 J'J its Gauss-Newton Hessian. l2 counts as a residual sqrt(l2) w of each weight.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        unit = self.unit_precision
        squares, Jr, JJ = self.gauss_newton(theta, unit)
        penalised = np.asarray(theta, dtype=np.float64) * self._is_weight
        JJ[np.diag_indices(self.size)] += self.l2 * self._is_weight
        loss = float(unit @ squares + self.l2 * (penalised @ penalised))
        return loss, Jr + self.l2 * penalised, JJ

    def gauss_newton(
        self, theta: ArrayLike, precision: Array, rows: NDArray[np.intp] | None = None
    ) -> tuple[Array, Array, Array]:
        """Sums over the residuals r = (prediction - target) / sigma, group by group (see `groups`).

        Args:
            theta: (p,) weights.
            precision: (groups,) factor of each group's squared residuals in the sums of all of them.
            rows: over which rows, by their numbers; over all by default.

        Returns:
            each group's sum of squares (groups,), without its precision; J'r (p,) and J'J (p, p) with it.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        weights = self._residual_weights(theta)
        p = self.size
        tiles = self._short_tiles if rows is None else _short(self._batch(rows), self.net)
        chunks = self._residual_chunks(tiles)
        squares = np.zeros((len(chunks), len(self.groups.count)))
        Jr = np.zeros((len(chunks), p))
        total = np.zeros((p, p), self._dtype, order="F")
        with self._one_call:
            # Buffers, because getting new memory from the system takes as long as the products.
            JJ = [self._passes[0].buffer(("JJ", number), (p, p)).T for number in range(len(chunks))]

            def add(passes: Propagation, tile: Tile, task: int) -> None:
                add_normal(passes, tile, self._weights, precision, (squares[task], Jr[task], JJ[task]))

            for part in JJ:
                part.fill(0.0)
            self._over_residuals(weights, chunks, add)
            for part in JJ:
                total += part
        _mirror(total)
        return squares.sum(0), Jr.sum(0), total

    def leverages(self, theta: ArrayLike, precision: Array, factor: Array) -> Array:
        """Each group's number of effective parameters, (groups,): the sum of precision j' A^-1 j.

        Args:
            theta: (p,) weights.
            precision: (groups,) as in `gauss_newton`.
            factor: (p, p) lower Cholesky factor of A.
        """
        weights = self._residual_weights(theta)
        chunks = self._residual_chunks(self._short_tiles)
        totals = np.zeros((len(chunks), len(self.groups.count)))

        def add(passes: Propagation, tile: Tile, task: int) -> None:
            add_leverage(passes, tile, self._weights, precision, factor, totals[task])

        self._over_residuals(weights, chunks, add)
        return np.asarray(totals.sum(0))

    def residual_jacobian(self, theta: ArrayLike) -> tuple[Array, Array, Array]:
        """All residuals (entries,), their gradients (entries, p) and groups (entries,), where they are few.

        Raises:
            SwarmnetError: the loss is not squared.
        """
        weights = self._residual_weights(theta)
        chunks = self._residual_chunks(self._short_tiles)
        parts: list[list[tuple[Array, Array, Array]]] = [[] for _ in chunks]

        def add(passes: Propagation, tile: Tile, task: int) -> None:
            for row in residual_rows(passes, tile, self._weights):
                seen = row.seen
                parts[task].append((row.residual[seen], row.gradient.T[seen], row.group[seen]))

        self._over_residuals(weights, chunks, add)
        r, J, group = zip(*(part for chunk in parts for part in chunk), strict=True)
        return np.concatenate(r), np.concatenate(J), np.concatenate(group)

    def group_squares(self, theta: ArrayLike) -> Array:
        """Each group's sum of squared residuals, (groups,).

        Raises:
            SwarmnetError: the loss is not squared.
        """
        weights = self._residual_weights(theta)
        chunks = self._residual_chunks(self._short_tiles)
        totals = np.zeros((len(chunks), len(self.groups.count)))

        def add(passes: Propagation, tile: Tile, task: int) -> None:
            add_squares(passes, tile, self._weights, totals[task])

        self._over_residuals(weights, chunks, add)
        return np.asarray(totals.sum(0))

    def _batch(self, rows: NDArray[np.intp]) -> list[Tile]:
        if len(rows) == 0:
            raise SwarmnetError("a minibatch needs at least one of the rows")
        return self._tiler.batch(rows)

    def _residual_weights(self, theta: ArrayLike) -> Array:
        if not self.can_linearise:
            raise SwarmnetError("normal equations need the squared loss: use another trainer")
        return self._weight_array(theta, (self.size,))

    def _residual_chunks(self, tiles: Sequence[Tile]) -> list[list[Tile]]:
        """Short tiles in chunks for sums over residuals' gradients."""
        p = self.size
        most = min(_CHUNKS, max(4, _NORMAL_NUMBERS // (8 * p * p)), max(1, _NORMAL_NUMBERS // (p * p)))
        if p >= 256:  # of long residual gradients few rows are work enough to share
            rows = max(64, -(-sum(tile.rows for tile in tiles) // 4))
            tiles = [part for tile in tiles for part in tile.parts(rows)]
        return _chunked(tiles, most)

    def _over_residuals(
        self,
        weights: Array,
        chunks: Sequence[Sequence[Tile]],
        add: Callable[[Propagation, Tile, int], None],
    ) -> None:
        """Call add(passes, tile, chunk) for every tile."""

        def work(worker: int, task: int) -> None:
            passes = self._passes[worker]
            passes.load(weights)
            for tile in chunks[task]:
                add(passes, tile, task)

        self._run(len(chunks), work, self.size * _mean_rows(chunks))

    def projected(self, hidden_swarm: ArrayLike, ridge: float = 1e-9) -> tuple[Array, Array]:
        """The best linear output layer for each particle's hidden layers, and the loss there.

        Values and partials are both linear in the output layer's weights w, so that the best w solves
        (G + r I) w = g with the Gram sums G of the last hidden activations, or of their derivatives
        (Golub and Pereyra 1973; for values and derivatives in one system, Balasundaram and Kapil 2011).

        Args:
            hidden_swarm: (s, hidden_size) weights of the hidden layers.
            ridge: r relative to the mean of G's diagonal; it bounds w where G is close to singular.

        Returns:
            (s,) losses, those that `loss` gives up to rounding, and (s, p - hidden_size) output weights.

        Raises:
            SwarmnetError: the output layer is not linear, or the loss not squared.
        """
        if not self.can_project:
            raise SwarmnetError(
                "only a linear output layer with the squared loss can be solved for: "
                "use another trainer, or a linear output"
            )
        hidden = self._weight_array(hidden_swarm, ("particles", self.hidden_size))
        theta = np.zeros((len(hidden), self.size), self._dtype)
        theta[:, : self.hidden_size] = hidden
        units, k = self.net.sizes[-2] + 1, self.net.k
        grams = 1 if self._shared_gram else k

        def add(passes: Propagation, tile: Tile, total: Array) -> None:
            add_gram(passes, tile, grams, total)

        # Each particle's sums: G (grams, units, units), g (units, k), and the targets' squares.
        sums = self._over_swarm(theta, (grams * units * units + units * k + 1,), add)
        G, g, squares = unpack_gram(sums, grams, units, k)
        with _quiet():
            return self._solve(theta, G, g, squares, ridge)

    def _solve(self, theta: Array, G: Array, g: Array, squares: Array, ridge: float) -> tuple[Array, Array]:
        units = G.shape[-1]
        G[..., np.arange(units - 1), np.arange(units - 1)] += self.l2
        trace = np.trace(G, axis1=-2, axis2=-1)[..., None, None]
        good = np.isfinite(G).all((1, 2, 3)) & np.isfinite(g).all((1, 2))
        good &= np.isfinite(trace).all((1, 2, 3)) & np.isfinite(theta).all(1)
        G[~good], trace[~good], g[~good] = 0.0, 1.0, 0.0
        # Without any ridge, the Gram matrix of two equal units or of a dead one cannot be solved.
        ridge = max(ridge, 4.0 * units * float(np.finfo(float).eps))
        tiny = np.finfo(float).tiny
        stiff = (np.maximum(ridge * trace / units, tiny)) * np.eye(units)
        w = np.linalg.solve(G + stiff, np.moveaxis(g, -1, 1)[..., None])[..., 0]  # (s, k, units)
        # |target - Phi w|^2 + l2 |w|^2 = squares - 2 g.w + w G w
        fit = np.einsum("skh,shk->s", w, g)
        bent = np.einsum("skh,skh->s", w, (G @ w[..., None])[..., 0])
        loss = np.maximum(squares - 2.0 * fit + bent, np.finfo(float).eps * squares)
        loss += self.l2 * self._square_weights(theta)
        loss[~good] = np.inf
        return loss, np.moveaxis(w, 1, -1).reshape(len(theta), self.size - self.hidden_size)

    def _square_weights(self, theta: Array) -> Array:
        if self.l2 == 0.0:
            return np.zeros(len(theta))
        penalised = theta * self._is_weight
        squares: Array = np.einsum("sp,sp->s", penalised, penalised, dtype=np.float64)
        return squares

    def _over_swarm(
        self,
        theta: Array,
        shape: tuple[int, ...],
        add: Callable[[Propagation, Tile, Array], None],
    ) -> Array:
        """Sum add() over all tiles for each particle: (s, *shape), in float64."""
        s, chunks = len(theta), self._short_chunks
        numbers = self._widest * _mean_rows(chunks)
        count = -(-s * numbers // self._tile)
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

        self._run(len(blocks) * len(chunks), work, step * numbers)
        with _quiet():
            total: Array = sums.sum(0)
        return total

    def _run(self, tasks: int, work: Callable[[int, int], None], numbers: int) -> None:
        """Share the tasks out if their NumPy calls have `numbers` enough each."""

        def quietly(worker: int, task: int) -> None:
            with _quiet():  # inside, because each thread has a state of its own
                work(worker, task)

        with self._one_call, one_blas_thread():
            self._crew.run(tasks, quietly, shared=numbers >= _SHARED)

    def _weight_array(self, weights: ArrayLike, shape: tuple[int | str, ...]) -> Array:
        """`weights` in the dtype of the sums; text in `shape` stands for any number."""
        with _quiet():
            array = np.ascontiguousarray(weights, dtype=self._dtype)
        if np.ndim(weights) != len(shape) or array.shape[-1] != shape[-1]:
            wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
            raise SwarmnetError(f"the weights must be {wanted} for {self.net!r}, not {np.shape(weights)}")
        return array


def output_is_solvable(net: Network, loss: ValueLoss) -> bool:
    """Whether the best output layer solves a linear problem: it is linear, and the loss squared."""
    return net.activations[-1] is LINEAR and isinstance(loss, SquaredError)


def _quiet() -> np.errstate:
    """Weights far out overflow: their loss is inf or NaN, which says so without a warning."""
    return np.errstate(over="ignore", invalid="ignore")


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


def _short(tiles: Sequence[Tile], net: Network) -> list[Tile]:
    return [part for tile in tiles for part in tile.parts(_swarm_rows(net))]


def _mean_rows(chunks: Sequence[Sequence[Tile]]) -> int:
    tiles = [tile.rows for chunk in chunks for tile in chunk]
    return max(1, sum(tiles) // max(1, len(tiles)))


def _chunked(tiles: Sequence[Tile], most: int = _CHUNKS) -> list[list[Tile]]:
    count = min(most, len(tiles))
    edges = [len(tiles) * i // max(1, count) for i in range(count + 1)]
    return [list(tiles[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _same_for_all_outputs(chunks: Sequence[Sequence[Tile]]) -> bool:
    """Whether every output has the same entries and weights, so that one Gram matrix serves all."""
    return all(
        (weight == weight[0]).all()
        for chunk in chunks
        for tile in chunk
        for weight in (
            tile.Y_weight,
            *(a.weight for a in tile.along),
            *([] if tile.J_weight is None else [tile.J_weight]),
        )
    )


def _mirror(upper: Array) -> None:
    """Copy the upper half of a square matrix below, block by block because rows of one are columns there."""
    step = 128
    for start in range(0, len(upper), step):
        block = slice(start, start + step)
        square = upper[block, block]
        square += np.triu(square, 1).T
        upper[start + step :, block] = upper[block, start + step :].T


def _weight_mask(net: Network) -> Array:
    mask = np.zeros(net.size)
    for layer in net.layers:
        layer.weights(mask)[:-1] = 1.0
    return mask


def _at_least_0(name: str, value: float) -> float:
    if not (np.isfinite(value) and value >= 0):
        raise SwarmnetError(f"{name} must be a number of 0 or more, not {value}")
    return float(value)


def _refuse_misfit(net: Network, data: MixedData, loss: str) -> None:
    if (net.d, net.k) != (data.d, data.k):
        raise SwarmnetError(f"{net!r} has {net.d} inputs and {net.k} outputs, the data {data.d} and {data.k}")
    if loss == "cross-entropy":
        if net.activations[-1].name != "sigmoid":
            raise SwarmnetError("cross-entropy needs sigmoid outputs: give the output layer 'sigmoid'")
        seen = data.Y[~np.isnan(data.Y)]
        if ((seen < 0) | (seen > 1)).any():
            raise SwarmnetError("cross-entropy needs targets from 0 to 1: use the squared loss")
