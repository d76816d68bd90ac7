"""FileData: values and partial derivatives that stay in their files because they do not fit into memory.

The files are read piece by piece: once for their statistics, and once more to divide the rows into chunks,
which are written to a temporary file (see `chunk_file`). Each sum over the rows then reads that file once.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property, partial
from itertools import accumulate, chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.arrays import most_rows
from swarmnet.data.file_chunks import SIZES, Piece
from swarmnet.data.mixed_data import MixedData, from_arrays
from swarmnet.data.quantities import Quantity
from swarmnet.data.statistics import Statistics
from swarmnet.data.table_form import Form
from swarmnet.data.table_views import Columns, View
from swarmnet.data.units import units_of_roles
from swarmnet.errors import SwarmnetError
from swarmnet.threads import Pool

Step = Callable[[MixedData], MixedData | None]  # returns the changed rows, or None if none is left
Check = Callable[[MixedData, Callable[[int, str], str]], None]  # of rows that were read; takes Table.where

_MOST_HELD_OUT = 100_000  # maximum rows of a test set


@dataclass(frozen=True)
class Reader:
    """Reads pieces of files, on this machine or another; it can be pickled.

    Args:
        form: the meaning of the columns.
        columns: their names in the files.
        steps: functions applied in turn to each block of rows that was read.
        most_rows: maximum rows of a block.
        check: called with all rows of the files, to refuse some.
        quantities: the formulas of the quantities in blocks; those of the form by default.
    """

    form: Form
    columns: Columns
    steps: tuple[Step, ...] = ()
    most_rows: int = SIZES.block_rows
    check: Check | None = None
    quantities: tuple[Quantity, ...] | None = None

    @property
    def block_rows(self) -> int:
        """Number of rows read at a time."""
        return most_rows(len(self.form.roles.inputs), len(self.form.roles.outputs), self.most_rows)

    @property
    def observed_quantities(self) -> tuple[Quantity, ...]:
        """The formulas of the quantities in blocks."""
        return self.form.roles.quantities if self.quantities is None else self.quantities

    def blocks(self, piece: Piece) -> Iterator[MixedData]:
        """Yield the rows of a piece, a block at a time, without blocks that have no entry.

        Raises:
            SwarmnetError: a cell is not valid; the message says in which file and line.
        """
        for part in piece.tables(self.columns.sources(self.form.columns), self.block_rows):
            table = View(part, self.columns)
            arrays = self.form.read(table)
            block = from_arrays(arrays, table) if arrays.any() else None
            if block is not None and self.check is not None:
                self.check(block, table.where)
            for step in self.steps:
                block = None if block is None else step(block)
            if block is not None:
                yield block

    def summary(self, piece: Piece) -> "Summary":
        """Return the summary of a piece."""
        parts = [Summary.of(block) for block in self.blocks(piece)]
        return Summary.total([Summary.none(self.form, len(self.observed_quantities)), *parts])


@dataclass(frozen=True)
class Blocks:
    """The rows of some pieces in blocks, which are read when they are iterated over, here or elsewhere."""

    reader: Reader
    pieces: Sequence[Piece]

    def __iter__(self) -> Iterator[MixedData]:
        for piece in self.pieces:
            yield from self.reader.blocks(piece)


@dataclass(frozen=True, eq=False)
class Summary:
    """The statistics of some rows, and a checksum of their bytes."""

    statistics: Statistics
    checksum: int

    @classmethod
    def of(cls, block: MixedData) -> "Summary":
        """Return the summary of a block of rows."""
        checksum = 0
        for array in (block.X, block.Y, block.J, block.Y_sigma, block.J_sigma, block.Q, block.Q_sigma):
            checksum = zlib.crc32(b"" if array is None else array.data, checksum)
        return cls(block.statistics, checksum)

    @classmethod
    def none(cls, form: Form, q: int) -> "Summary":
        """Return the summary of no rows with q quantities."""
        k, d = len(form.roles.outputs), len(form.roles.inputs)
        X, Y, J, Q = (np.empty((0, *shape)) for shape in ((d,), (k,), (k, d), (q,)))
        return cls(Statistics.of(X, Y, J, None, Q), 0)

    @classmethod
    def total(cls, parts: Sequence["Summary"]) -> "Summary":
        """Return the summary of all parts together."""
        checksums = np.array([part.checksum for part in parts if part.statistics.n], dtype=np.uint32)
        return cls(Statistics.total(part.statistics for part in parts), zlib.crc32(checksums.data))


@dataclass(frozen=True, eq=False)
class FileData:
    """Mixed data in files; `read_csv` and `read_parquet` return it if a memory limit requires it.

    `fit`, `compare` and `evaluate` take it in place of MixedData.

    Args:
        name: the name of the data in error messages.
        reader: reads the pieces.
        pieces: in the order of their rows.
        about: expected number of rows.
        pool: runs the reading of the pieces.
    """

    name: str
    reader: Reader
    pieces: tuple[Piece, ...]
    about: int
    pool: Pool
    in_memory = None
    sigma_rms = None  # not recorded

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.reader.form.roles.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.reader.form.roles.outputs

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The formulas of the observed quantities."""
        return self.reader.observed_quantities

    @property
    def define(self) -> dict[str, str]:
        """The formulas of column names, as they were given."""
        return self.reader.form.roles.define

    @property
    def units(self) -> dict[str, str]:
        """The units of columns, where they are known."""
        return units_of_roles(self.reader.columns.units, self.reader.form.roles)

    @property
    def d(self) -> int:
        """Number of inputs."""
        return len(self.inputs)

    @property
    def k(self) -> int:
        """Number of outputs."""
        return len(self.outputs)

    @cached_property
    def summary(self) -> Summary:
        """The summary of all rows. The first access reads the files.

        Raises:
            SwarmnetError: a cell is not valid, or there is no entry.
        """
        found = Summary.total(list(self.pool.map(self.reader.summary, self.pieces)))
        if found.statistics.n_entries == 0:
            raise SwarmnetError(
                f"{self.name}: there are no entries: every value and every partial is missing"
            )
        return found

    @property
    def statistics(self) -> Statistics:
        """The statistics of all rows."""
        return self.summary.statistics

    @property
    def n(self) -> int:
        """Number of rows."""
        return self.statistics.n

    @property
    def n_values(self) -> int:
        """Number of observed values."""
        return self.statistics.n_values

    @property
    def n_derivatives(self) -> int:
        """Number of observed partial derivatives."""
        return self.statistics.n_derivatives

    @property
    def n_entries(self) -> int:
        """Number of observed values and partials together."""
        return self.statistics.n_entries

    @property
    def total_weights(self) -> tuple[float, float]:
        """The total weights of all values and of all partials."""
        return self.statistics.total_weights

    @property
    def content(self) -> list[Any]:
        """All that tells these data from others."""
        known = self.statistics
        moments = [astuple(columns) for columns in (known.X, known.Y, known.J, known.Q)]
        return [self.summary.checksum, known.n, moments, self.inputs, self.outputs]

    @property
    def nbytes(self) -> int:
        """Bytes of the rows' numbers."""
        return self.n * self.reader.form.row_bytes

    @property
    def parts(self) -> list[Blocks]:
        """The rows of each piece."""
        return [Blocks(self.reader, [piece]) for piece in self.pieces]

    def __repr__(self) -> str:
        return f"FileData({self.name}, {', '.join(self.inputs)} -> {', '.join(self.outputs)})"

    def read_by(self, pool: Pool) -> "FileData":
        """Return the same data with another pool, and the summary if it is already known."""
        if pool is self.pool:
            return self
        other = replace(self, pool=pool)
        vars(other).update({name: found for name, found in vars(self).items() if name == "summary"})
        return other

    def counted(self) -> "FileData":
        """Return these data: rows in files have no weights."""
        return self

    def block_rows(self, most: int) -> int:
        """Return the number of rows in a block, which is the reader's, whatever `most` is."""
        return self.reader.block_rows

    def shares(self, count: int, most: int) -> list[Blocks]:
        """Divide the pieces, or parts of them, in order into up to `count` shares of about equal size."""
        size = sum(piece.size for piece in self.pieces) / count
        rows = self.block_rows(most)
        parts = [p for piece in self.pieces for p in piece.parts(max(1, round(piece.size / size)), rows)]
        ends = np.array([0, *accumulate(part.size for part in parts)], float)
        share = np.minimum((ends[:-1] + ends[1:]) / (2.0 * size), count - 1).astype(int)
        found = [[part for part, of in zip(parts, share, strict=True) if of == s] for s in range(count)]
        return [Blocks(self.reader, pieces) for pieces in found if pieces]

    def with_step(self, step: Step) -> "FileData":
        """Return the data with `step` applied to each block of rows after the earlier steps."""
        return replace(self, reader=replace(self.reader, steps=(*self.reader.steps, step)))

    def checked(self, check: Check) -> "FileData":
        """Return the data, of whose rows `check` refuses some when they are read."""
        return replace(self, reader=replace(self.reader, check=check))

    def with_quantities(self, step: Step, quantities: tuple[Quantity, ...]) -> "FileData":
        """Return the data after a step that gives the rows these quantities."""
        found = self.with_step(step)
        return replace(found, reader=replace(found.reader, quantities=quantities))

    def select(self, inputs: Sequence[str], outputs: Sequence[str]) -> "FileData":
        """Return the data itself if its inputs and outputs have these names, in this order.

        Raises:
            SwarmnetError: they have other names or another order.
        """
        if (self.inputs, self.outputs) != (tuple(inputs), tuple(outputs)):
            raise SwarmnetError(
                f"{self.name}: its columns are {', '.join((*self.inputs, *self.outputs))}, where "
                f"{', '.join((*inputs, *outputs))} are needed, in this order: name them when it is read"
            )
        return self

    def values_only(self) -> "FileData":
        """Return the values without the partials.

        Raises:
            SwarmnetError: no value was observed.
        """
        if self.n_values == 0:
            raise SwarmnetError("there are no values: this data holds derivatives only")
        return self.with_step(_values_only)

    def gathered(self) -> MixedData | None:
        """Return the rows that remain after the steps, in memory; None if none remains."""
        blocks = list(chain.from_iterable(self.pool.map(list, self.parts)))
        return joined(blocks) if blocks else None


def _values_only(block: MixedData) -> MixedData | None:
    return block.values_only() if block.n_values else None


def _held_out(block: MixedData, seed: int, fraction: float, wanted: bool) -> MixedData | None:
    """Return the rows of a block at held-out points or, with `wanted` False, the others; None if none."""
    chosen = (_hashed(block.X, seed) < fraction * 2.0**64) == wanted
    chosen &= block.entries_per_row > 0
    return block.take(chosen) if chosen.any() else None


def _hashed(X: NDArray[np.float64], seed: int) -> NDArray[np.uint64]:
    """Return (n,) hashes from 0 to 2^64 - 1, equal for equal points (SplitMix64 finaliser, Steele 2014)."""
    bits = (X + 0.0).view(np.uint64)  # without negative zeros
    found = np.full(len(X), seed + 1, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for column in bits.T:
        found = found ^ column
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def split_files(data: FileData, fraction: float, seed: int) -> tuple[FileData, MixedData | None]:
    """Return the training rows, and a test set in memory with a random `fraction` of the points.

    Rows at one point stay together. At most about 100,000 rows are held out.

    Raises:
        SwarmnetError: a cell is not valid.
    """
    if fraction == 0:
        return data, None
    share = min(fraction, _MOST_HELD_OUT / data.about)
    test = data.with_step(partial(_held_out, seed=seed, fraction=share, wanted=True)).gathered()
    return data.with_step(partial(_held_out, seed=seed, fraction=share, wanted=False)), test


def joined(parts: Sequence[MixedData]) -> MixedData:
    """Return the rows of all parts."""
    first = parts[0]

    def together(name: str, like: str) -> NDArray[np.float64] | None:
        found = [getattr(part, name) for part in parts]
        if all(array is None for array in found):
            return None
        pairs = zip(found, parts, strict=True)
        return np.concatenate(
            [np.full_like(getattr(p, like), np.nan) if array is None else array for array, p in pairs]
        )

    return replace(
        first,
        X=np.concatenate([part.X for part in parts]),
        Y=np.concatenate([part.Y for part in parts]),
        J=np.concatenate([part.J for part in parts]),
        Y_sigma=together("Y_sigma", "Y"),
        J_sigma=together("J_sigma", "J"),
        Q=np.concatenate([part.Q for part in parts]),
        Q_sigma=together("Q_sigma", "Q"),
    )
