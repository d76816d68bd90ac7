"""Sums over rows that do not fit into memory: chunks in a temporary file that is read in each pass.

Several threads work at the same time, each on a block of rows.
"""

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset
from swarmnet.data.mixed_data import MixedData
from swarmnet.objective.chunk_file import ChunkFile, Extent
from swarmnet.objective.row_chunks import Chunks, taken
from swarmnet.objective.row_source import Batch, Source, Sums, Terms, joined
from swarmnet.objective.row_sums import HeldRows, ready
from swarmnet.objective.tree_reduction import MIXED, Numbering, leaves, total
from swarmnet.scaling import Preparation
from swarmnet.threads import Pool, ThreadPool, ThreadTeam, default_threads, in_order

Array = NDArray[Any]
P = ParamSpec("P")


class StreamedSource(Source):
    """Files whose rows are kept as chunks in a temporary file."""

    def rows(self, terms: Terms, threads: int | None) -> "StreamedRows":
        """Write the chunks of the rows."""
        return StreamedRows(terms, self.data, self.preparation, threads)


def _threads(pool: Pool | None) -> int:
    return pool.threads if isinstance(pool, ThreadPool) else default_threads()


class StreamedRows:
    """Rows in a temporary file of chunks.

    Args:
        terms: what is summed.
        data: the rows.
        preparation: how rows are prepared before the sums.
        threads: number of threads; by default as many as the process and its memory allow.

    Raises:
        SwarmnetError: as in FileData, or the disk is full.
    """

    def __init__(
        self, terms: Terms, data: Dataset, preparation: Preparation, threads: int | None = None
    ) -> None:
        self.terms, self._preparation = terms, preparation
        self._workers = min(_threads(data.pool), ThreadTeam(threads).size)
        self._file, self._one_call = ChunkFile(), threading.RLock()
        self._kernels = ready(terms)
        self._cache, self._cached = threading.Lock(), dict[int, list[Chunks]]()
        self._some: dict[int, Batch] | None = None  # for minibatches: rows of some blocks; None for all rows
        sizes: list[int] = []
        self._extents: list[Extent] = []
        group_sums: list[Sums] = []
        for blocks in in_order(self._chunked, data.parts, self._workers):
            for extent, size, sums in blocks:
                self._extents.append(extent)
                sizes.append(size)
                group_sums.append((sums,))
        self.group_sums = total(leaves(group_sums))[0]
        self._numbering = Numbering(sizes)
        self.n = self._numbering.n

    @property
    def threads(self) -> int:
        """1: each sum uses all threads itself, and several sums at a time would each read the file."""
        return 1

    @property
    def one_gram(self) -> bool:
        """Whether one Gram matrix serves all outputs."""
        return self.terms.net.k == 1

    def single_threaded(self) -> "StreamedRows":
        """Return itself: calls wait for each other."""
        return self

    def total(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """Return the sums over all rows."""
        with self._one_call:
            return total(leaves(self._each(lambda rows: sums(rows, *args, **kwargs))))

    def joined(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """Return the parts of all rows joined instead of added."""
        with self._one_call:
            return joined(self._each(lambda rows: sums(rows, *args, **kwargs)))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows in minibatches, see `Numbering.batches`."""
        return self._numbering.batches(size, rng)

    def some(self, rows: Batch) -> "StreamedRows":
        """Return the rows with these numbers, in the order of the file of chunks."""
        some = copy.copy(self)
        some._some = self._numbering.by_block(rows)
        return some

    def _chunked(self, part: Iterable[MixedData]) -> list[tuple[Extent, int, Array]]:
        """Write the chunks of some rows to the file, a block at a time."""
        blocks = []
        for block in part:
            held = HeldRows.of(self.terms, self._preparation.of(block), block, 1)
            size = sum(part.count for part in held.parts)
            blocks.append((self._file.write(held.parts), size, held.group_sums))
        return blocks

    def _each(self, work: Callable[[HeldRows], Sums]) -> Iterator[Sums]:
        """Yield work(rows) for each block of rows, in order."""

        def on(block: int) -> Sums:
            return work(
                HeldRows(self.terms, self._read(block), self.group_sums, ThreadTeam(1), self._kernels)
            )

        blocks = range(len(self._extents)) if self._some is None else list(self._some)
        if len(blocks) == 1:
            return iter([on(blocks[0])])
        return in_order(on, blocks, self._workers)

    def _read(self, block: int) -> list[Chunks]:
        if self._some is None:
            return self._file.read(self._extents[block])
        with self._cache:
            parts = self._cached.get(block)
        if parts is None:
            parts = self._file.read(self._extents[block])
            with self._cache:
                self._cached[block] = parts  # for the next minibatch from the same blocks
                while len(self._cached) > MIXED:
                    self._cached.pop(next(iter(self._cached)))
        return taken(parts, self._some[block], self.terms.chunk_rows)
