"""Sums over rows that do not fit into memory: chunks in a temporary file that is read in each pass.

Some threads each read and sum up a block of rows at a time.
"""

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any, Concatenate, ParamSpec

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.file_chunks import Piece
from swarmnet.data.file_data import FileData
from swarmnet.objective.chunk_file import ChunkFile, Extent
from swarmnet.objective.row_chunks import Chunks, taken
from swarmnet.objective.row_source import Batch, Sums, Terms, joined
from swarmnet.objective.row_sums import HeldRows, ready
from swarmnet.objective.tree_reduction import MIXED, Numbering, leaves, total
from swarmnet.scaling import Preparation, PreparedSource
from swarmnet.threads import Crew, Pool, ThreadPool, default_threads, in_order

Array = NDArray[Any]
P = ParamSpec("P")


class StreamedSource(PreparedSource):
    """Files that this process reads again and again."""

    data: FileData

    def rows(self, terms: Terms, threads: int | None) -> "StreamedRows":
        """Make chunks of the rows."""
        return StreamedRows(terms, self.data, self.preparation, threads)


def _threads(pool: Pool) -> int:
    return pool.threads if isinstance(pool, ThreadPool) else default_threads()


class StreamedRows:
    """Rows in a temporary file of chunks.

    Args:
        terms: what is summed.
        data: the rows.
        preparation: what becomes of them before they are summed over.
        threads: how many to use; as many as the process and its memory allow by default.

    Raises:
        SwarmnetError: as FileData does, or the disk is full.
    """

    def __init__(
        self, terms: Terms, data: FileData, preparation: Preparation, threads: int | None = None
    ) -> None:
        self.terms, self._preparation, self._data = terms, preparation, data
        self._workers = min(_threads(data.pool), Crew(threads).size)
        self._file, self._one_call = ChunkFile(), threading.RLock()
        self._kernels = ready(terms)
        self._cache, self._cached = threading.Lock(), dict[int, list[Chunks]]()
        self._some: dict[int, Batch] | None = None  # rows of some blocks, where not all of all are meant
        sizes: list[int] = []
        self._extents: list[Extent] = []
        group_sums: list[Sums] = []
        for blocks in in_order(self._chunked, data.pieces, self._workers):
            for extent, size, sums in blocks:
                self._extents.append(extent)
                sizes.append(size)
                group_sums.append((sums,))
        self.group_sums = total(leaves(group_sums))[0]
        self._numbering = Numbering(sizes)
        self.n = self._numbering.n

    @property
    def threads(self) -> int:
        """1: each sum takes all threads by itself, and several at a time would each read the file."""
        return 1

    @property
    def one_gram(self) -> bool:
        """Whether one Gram matrix serves all outputs."""
        return self.terms.net.k == 1

    def twin(self) -> "StreamedRows":
        """These: one call waits for the other."""
        return self

    def total(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """The sums over all rows."""
        with self._one_call:
            return total(leaves(self._each(lambda rows: sums(rows, *args, **kwargs))))

    def joined(
        self, sums: Callable[Concatenate[HeldRows, P], Sums], *args: P.args, **kwargs: P.kwargs
    ) -> Sums:
        """The same of what is not to be added up, but to be joined."""
        with self._one_call:
            return joined(self._each(lambda rows: sums(rows, *args, **kwargs)))

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """All rows in minibatches, see `Numbering.batches`."""
        return self._numbering.batches(size, rng)

    def some(self, rows: Batch) -> "StreamedRows":
        """The rows with these numbers, which count them in the order of the file of chunks."""
        some = copy.copy(self)
        some._some = self._numbering.by_block(rows)
        return some

    def _chunked(self, piece: Piece) -> list[tuple[Extent, int, Array]]:
        """Put the chunks of a piece into the file, a block at a time."""
        blocks = []
        for block in self._data.reader.blocks(piece):
            held = HeldRows.of(self.terms, self._preparation.of(block), block, 1)
            size = sum(part.count for part in held.parts)
            blocks.append((self._file.write(held.parts), size, held.group_sums))
        return blocks

    def _each(self, work: Callable[[HeldRows], Sums]) -> Iterator[Sums]:
        """work(rows) for each block of rows, in order."""

        def on(block: int) -> Sums:
            return work(HeldRows(self.terms, self._read(block), self.group_sums, Crew(1), self._kernels))

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
                self._cached[block] = parts  # for the next minibatch of the same blocks
                while len(self._cached) > MIXED:
                    self._cached.pop(next(iter(self._cached)))
        return taken(parts, self._some[block], self.terms.chunk_rows)
