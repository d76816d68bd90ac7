"""Rows in memory, divided into chunks, and the sums over them that an `Objective` needs.

Compiled kernels compute each sum over some chunks. Threads share the chunks, and partial sums are added in
the chunks' order. So the result does not depend on the number of threads, to the last bit.

An objective does not call these sums directly but passes them to `total`, which every class of rows has. If
the rows are in several `HeldRows`, on other machines or read in turn, it adds their sums.
"""

import copy
import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Concatenate

import numpy as np

from swarmnet.data.mixed_data import MixedData
from swarmnet.floating_point import far_out
from swarmnet.network.network import Network
from swarmnet.objective.entry_sums import PARTS, EntrySums
from swarmnet.objective.noise_groups import EntryWeights, Grouping
from swarmnet.objective.row_chunks import Chunker, Chunks, taken
from swarmnet.objective.row_source import Array, Batch, P, Source, Sums, Terms
from swarmnet.objective.value_losses import SQUARED
from swarmnet.threads import ThreadTeam, one_blas_thread

if TYPE_CHECKING:
    from swarmnet.objective.kernels.bound import BoundKernels, Workspace

# Minimum multiplications of a part, and of a sum that several threads share. A gradient does about 1,000 a
# microsecond on one core, and to hand work to a second thread takes 40 to 60 microseconds.
_PART_WORK, _SHARED = 150_000, 300_000
_ONE_THREAD = 1 << 18  # multiplications of a product up to which OpenBLAS uses one thread (interface/gemm.c)


@dataclass(frozen=True, eq=False)
class HeldSource(Source):
    """Rows in memory, which are prepared when they are divided into chunks."""

    data: MixedData

    def rows(self, terms: Terms, threads: int | None) -> "HeldRows":
        """Divide the rows into chunks."""
        return HeldRows.of(terms, self.preparation.of(self.data), self.data, threads)


class HeldRows(EntrySums):
    """Rows in memory, ready for sums.

    Args:
        terms: what is summed.
        parts: the rows.
        group_sums: (6, groups), see `Grouping.sums`.
        team: the threads that share the chunks.
        kernels: for the network; new ones by default.
        numbers: the row number, from 0, of each row in `parts`; consecutive by default.
        n: number of rows, including those without an entry.
    """

    def __init__(
        self,
        terms: Terms,
        parts: Sequence[Chunks],
        group_sums: Array,
        team: ThreadTeam,
        kernels: "BoundKernels | None" = None,
        numbers: Batch | None = None,
        n: int | None = None,
    ) -> None:
        self.terms, self.parts, self.group_sums = terms, parts, group_sums
        self.n = sum(chunks.count for chunks in parts) if n is None else n
        self._numbers, self._team = numbers, team
        self._kernels = ready(terms) if kernels is None else kernels
        self._free: queue.SimpleQueue[Workspace] = queue.SimpleQueue()

    @classmethod
    def of(cls, terms: Terms, data: MixedData, measured: MixedData, threads: int | None = None) -> "HeldRows":
        """Return the rows of MixedData; `measured` are the same rows with only measured sigmas."""
        parts, numbers = Chunker(data, measured, terms.unit, terms.dtype, terms.chunk_rows).all()
        sums = Grouping(data.k, data.d, len(data.quantities)).sums(data, measured)
        return cls(terms, parts, sums, ThreadTeam(threads), numbers=numbers, n=data.n)

    @property
    def threads(self) -> int:
        """The number of threads that share the chunks."""
        return self._team.size

    def single_threaded(self) -> "HeldRows":
        """Return the same rows with one thread."""
        _ = self._blocks  # computed once, and shared by all copies
        single = copy.copy(self)
        single._team = ThreadTeam(1)
        return single

    def total(
        self, sums: Callable[Concatenate["HeldRows", P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """Return the sums over these rows."""
        return sums(self, *args, **kwargs)

    joined = total

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows in a random order in minibatches; the last one may be smaller."""
        order = rng.permutation(self.n)
        for start in range(0, self.n, size):
            yield order[start : start + size]

    def some(self, rows: Batch) -> "HeldRows":
        """Return the rows with these numbers, with the same threads and kernels."""
        places = self._places[rows]
        parts = taken(self.parts, np.sort(places[places >= 0]), self.terms.chunk_rows)
        return HeldRows(self.terms, parts, self.group_sums, self._team, self._kernels)

    @cached_property
    def one_gram(self) -> bool:
        """Whether all outputs have the same entries and weights, so that one Gram matrix serves all."""
        return self.terms.net.k == 1 or all(
            (part.weight == part.weight[:, :, :1]).all() and (part.J_weight == part.J_weight[:, :1]).all()
            for part in self.parts
        )

    def losses(self, theta: Array) -> Sums:
        """Return each particle's loss (s,), for theta (s, p)."""

        def add(work: "Workspace", first: int, last: int, part: Chunks, span: Array, out: Array) -> None:
            self._kernels.losses(work, theta, first, last, part, span, out)

        found = self._over_swarm(len(theta), (), self.parts, add)
        if self._quantity_blocks:
            found = found + self._quantity_losses(theta)
        return (found,)

    def grams(self, theta: Array, grams: int) -> Sums:
        """Return each output layer's [G | g], (s, grams, units, units + targets), and the squares ()."""
        units, k = self.terms.net.sizes[-2] + 1 + self.terms.net.terms, self.terms.net.k
        shape = grams, units, units + (k if grams == 1 else 1)
        parts = [part.as_jets for part in self.parts]

        def add(work: "Workspace", first: int, last: int, part: Chunks, span: Array, out: Array) -> None:
            self._kernels.grams(work, theta, first, last, part, span, out)

        return self._over_swarm(len(theta), shape, parts, add), np.array(sum(p.squares for p in self.parts))

    def gradient(self, weights: Array) -> Sums:
        """Return the loss at weights (p,) and half its gradient, (1 + p,)."""
        spans = self._spans
        sums = np.empty((len(spans), 1 + len(weights)))
        gradients = np.zeros((len(spans), len(weights)), weights.dtype)

        def work(number: int) -> None:
            part, span = spans[number]
            with self._lent() as memory:
                sums[number, 0] = self._kernels.gradient(
                    memory, weights, self.parts[part], span, gradients[number]
                )

        self._run(len(spans), work, 3.0 * self._work, large=False)
        sums[:, 1:] = gradients
        found = _sum(sums)
        if self._quantity_blocks:
            found = found + self._quantity_gradient(weights)
        return (found,)

    @cached_property
    def _places(self) -> Batch:
        """(n,): the position of each row in `parts`, -1 for rows without an entry."""
        if self._numbers is None:
            return np.arange(self.n)
        places = np.full(self.n, -1)
        places[self._numbers] = np.arange(len(self._numbers))
        return places

    @cached_property
    def _spans(self) -> list[tuple[int, Array]]:
        """The part's number, and the first chunk and the end of each partial sum over chunks."""
        found = []
        most = max(_PART_WORK, self._work / PARTS)
        for number, part in enumerate(self.parts):
            count = len(part.inputs)
            pieces = int(np.clip(round(self._work_of(part) / most), 1, count))
            edges = [count * i // pieces for i in range(pieces + 1)]
            found += [(number, np.array(span)) for span in zip(edges[:-1], edges[1:], strict=True)]
        return found

    @cached_property
    def _work(self) -> float:
        """Multiplications of a loss."""
        return sum(map(self._work_of, self.parts))

    def _work_of(self, part: Chunks) -> float:
        jets = 1 + part.tangents + len(part.outputs)
        return float(len(part.inputs) * part.rows * jets * self.terms.net.size)

    def _over_swarm(
        self,
        s: int,
        shape: tuple[int, ...],
        parts: Sequence[Chunks],
        add: "Callable[[Workspace, int, int, Chunks, Array, Array], None]",
    ) -> Array:
        """Sum add() over all chunks for each particle: (s, *shape), in float64."""
        spans = self._spans
        sums = np.zeros((len(spans), s, *shape))
        blocks = int(np.clip(s * self._work // (len(spans) * _PART_WORK), 1, min(s, 4 * self._team.size)))
        edges = [s * i // blocks for i in range(blocks + 1)]

        def work(number: int) -> None:
            (part, span), block = spans[number // blocks], number % blocks
            with self._lent() as memory:
                add(memory, edges[block], edges[block + 1], parts[part], span, sums[number // blocks])

        self._run(len(spans) * blocks, work, s * self._work, large=False)
        return _sum(sums)

    @contextmanager
    def _lent(self) -> "Iterator[Workspace]":
        """Yield working memory that no other thread uses at the same time."""
        try:
            memory = self._free.get_nowait()
        except queue.Empty:
            memory = self.terms.workspace()
        try:
            yield memory
        finally:
            self._free.put(memory)

    def _run(
        self, tasks: int, work: Callable[[int], None], multiplications: float, large: bool = True
    ) -> None:
        """Run the tasks, on several threads if they are long, with BLAS limited to one thread.

        Without `large`, only layers are multiplied; BLAS may use one thread for these anyway.
        """

        # To limit BLAS takes as long as a small gradient.
        held = nullcontext() if self._has_small_products and not large else one_blas_thread()
        if self._team.size == 1 or tasks == 1 or multiplications < _SHARED:
            with held, far_out():
                for task in range(tasks):
                    work(task)
            return

        def quietly(worker: int, task: int) -> None:
            with far_out():  # errstate is per thread
                work(task)

        with held:
            self._team.run(tasks, quietly)

    @cached_property
    def _has_small_products(self) -> bool:
        """Whether BLAS uses one thread for each layer in any case."""
        sizes = self.terms.net.sizes
        largest = max(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        return largest * max((part.rows for part in self.parts), default=0) <= _ONE_THREAD


def _sum(parts: Array) -> Array:
    if len(parts) == 1:
        return parts[0]  # type: ignore[no-any-return]
    with far_out():
        total: Array = np.add.reduce(parts)
    return total


def ready(terms: Terms) -> "BoundKernels":
    """Return compiled kernels for the terms. They are compiled here, before the training clock starts."""
    _warm_up(terms.dtype.name, terms.loss)
    return terms.kernels()


@cache
def _warm_up(dtype: str, loss: int) -> None:
    """Compute each sum over two rows: the first call compiles a kernel or reads it from the cache."""
    J = np.array([[[0.0, np.nan]], [[0.0, 0.0]]])  # a row computed as a jet, and one by pullback
    data = MixedData(np.zeros((2, 2)), np.zeros((2, 1)), J)
    terms = Terms(Network((2, 1)), loss, EntryWeights(1.0, 1.0), np.dtype(dtype))
    parts, _ = Chunker(data, data, terms.unit, terms.dtype, terms.chunk_rows).all()
    sums = Grouping(data.k, data.d).sums(data, data)
    rows = HeldRows(terms, parts, sums, ThreadTeam(1), terms.kernels())
    theta = np.zeros(terms.net.size)
    weights = theta.astype(terms.dtype)
    rows.losses(weights[None])
    rows.gradient(weights)
    if loss == SQUARED:
        rows.grams(weights[None], 1)
        rows.squares(theta)
        rows.normal(theta, np.ones(sums.shape[1]))
