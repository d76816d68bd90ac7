"""FileData: values and partial derivatives that stay in their files, because they do not fit into memory.

They are read piece by piece: once for their statistics, and once more to cut them into chunks. These go into
a temporary file (see `scratch`). Each sum over the rows is then one pass over that file.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.file_chunks import Piece
from swarmnet.data.mixed_data import MixedData, from_arrays
from swarmnet.data.statistics import Statistics
from swarmnet.data.table_form import Form
from swarmnet.errors import SwarmnetError
from swarmnet.threads import Pool

Step = Callable[[MixedData], MixedData | None]  # what becomes of some rows; None where none is left

_BLOCK = 1 << 22  # numbers of a block of rows
_MOST_ROWS = 1 << 16  # of a block
_MOST_HELD_OUT = 100_000  # rows


def most_rows(d: int, k: int) -> int:
    """Rows of a block of d inputs and k outputs."""
    return max(1, min(_MOST_ROWS, _BLOCK // (d + k * (1 + d))))


@dataclass(frozen=True)
class Reader:
    """Reads pieces of files, here or on another machine; what it knows can be pickled.

    Args:
        form: what the columns mean.
        steps: what is done with the rows once they are read, one after the other.
    """

    form: Form
    steps: tuple[Step, ...] = ()

    @property
    def block_rows(self) -> int:
        """Rows that are read at a time."""
        return most_rows(len(self.form.roles.inputs), len(self.form.roles.outputs))

    def blocks(self, piece: Piece) -> Iterator[MixedData]:
        """The rows of a piece, a block at a time; blocks without an entry are left out.

        Raises:
            SwarmnetError: a cell is not what it must be; it says in which file and line.
        """
        for table in piece.tables(self.form.columns, self.block_rows):
            arrays = self.form.read(table)
            block = from_arrays(arrays, table) if arrays.any() else None
            for step in self.steps:
                block = None if block is None else step(block)
            if block is not None:
                yield block

    def rows(self, piece: Piece) -> list[MixedData]:
        """All blocks of a piece."""
        return list(self.blocks(piece))

    def summary(self, piece: Piece) -> "Summary":
        """What is to be known of a piece."""
        parts = [Summary.of(block) for block in self.blocks(piece)]
        return Summary.total([Summary.none(self.form), *parts])


@dataclass(frozen=True, eq=False)
class Summary:
    """The statistics of some rows, and a checksum of their bytes."""

    statistics: Statistics
    checksum: int

    @classmethod
    def of(cls, block: MixedData) -> "Summary":
        """Of a block of rows."""
        checksum = 0
        for array in (block.X, block.Y, block.J, block.Y_sigma, block.J_sigma):
            checksum = zlib.crc32(b"" if array is None else array.data, checksum)
        return cls(block.statistics, checksum)

    @classmethod
    def none(cls, form: Form) -> "Summary":
        """Of no rows."""
        k, d = len(form.roles.outputs), len(form.roles.inputs)
        return cls(Statistics.of(np.empty((0, d)), np.empty((0, k)), np.empty((0, k, d)), None), 0)

    @classmethod
    def total(cls, parts: Sequence["Summary"]) -> "Summary":
        """Of all parts together."""
        checksums = np.array([part.checksum for part in parts if part.statistics.n], dtype=np.uint32)
        return cls(Statistics.total(part.statistics for part in parts), zlib.crc32(checksums.data))


@dataclass(frozen=True, eq=False)
class FileData:
    """Mixed data in files; `swarmnet.read_csv` and `read_parquet` make it where a memory limit asks for it.

    It goes wherever MixedData goes to be trained on or to be tested on: `fit`, `compare`, `evaluate`.

    Args:
        name: what errors call it.
        reader: how pieces are read.
        pieces: in the order of their rows.
        about: how many rows to expect.
        pool: who reads them.
    """

    name: str
    reader: Reader
    pieces: tuple[Piece, ...]
    about: int
    pool: Pool

    @property
    def inputs(self) -> tuple[str, ...]:
        """Their names."""
        return self.reader.form.roles.inputs

    @property
    def outputs(self) -> tuple[str, ...]:
        """Their names."""
        return self.reader.form.roles.outputs

    @property
    def d(self) -> int:
        """Inputs."""
        return len(self.inputs)

    @property
    def k(self) -> int:
        """Outputs."""
        return len(self.outputs)

    @cached_property
    def summary(self) -> Summary:
        """Of all rows. This reads the files.

        Raises:
            SwarmnetError: a cell is not what it must be, or there is no entry at all.
        """
        found = Summary.total(list(self.pool.map(self.reader.summary, self.pieces)))
        refuse_nothing(self.name, found.statistics)
        return found

    @property
    def statistics(self) -> Statistics:
        """Of all rows."""
        return self.summary.statistics

    @property
    def n(self) -> int:
        """Rows."""
        return self.statistics.n

    @property
    def n_values(self) -> int:
        """Observed values."""
        return self.statistics.n_values

    @property
    def n_derivatives(self) -> int:
        """Observed partial derivatives."""
        return self.statistics.n_derivatives

    @property
    def n_entries(self) -> int:
        """Observed values and partials together."""
        return self.statistics.n_entries

    def __repr__(self) -> str:
        return f"FileData({self.name}, {', '.join(self.inputs)} -> {', '.join(self.outputs)})"

    def read_by(self, pool: Pool) -> "FileData":
        """The same data with another pool, which need not read again what is known of them."""
        other = replace(self, pool=pool)
        vars(other)["summary"] = self.summary
        return other

    def with_step(self, step: Step) -> "FileData":
        """What `step` makes of each block of rows."""
        return replace(self, reader=replace(self.reader, steps=(*self.reader.steps, step)))

    def select(self, inputs: Sequence[str], outputs: Sequence[str]) -> "FileData":
        """The same data, once it is known that these are the names of its inputs and outputs, in order.

        Raises:
            SwarmnetError: they are not.
        """
        if (self.inputs, self.outputs) != (tuple(inputs), tuple(outputs)):
            raise SwarmnetError(
                f"{self.name}: its columns are {', '.join((*self.inputs, *self.outputs))}, where "
                f"{', '.join((*inputs, *outputs))} are needed, in this order: name them when it is read"
            )
        return self

    def values_only(self) -> "FileData":
        """The same rows' values without their partials.

        Raises:
            SwarmnetError: no value was observed.
        """
        if self.n_values == 0:
            raise SwarmnetError("there are no values: this data holds derivatives only")
        return self.with_step(_values_only)

    def gathered(self) -> MixedData | None:
        """The rows that the steps leave, in memory; None where none is left."""
        blocks = [block for found in self.pool.map(self.reader.rows, self.pieces) for block in found]
        return joined(blocks) if blocks else None


def refuse_nothing(name: str, found: Statistics) -> None:
    """Raise SwarmnetError if there is no entry at all."""
    if found.n_entries == 0:
        raise SwarmnetError(f"{name}: there are no entries: every value and every partial is missing")


def _values_only(block: MixedData) -> MixedData | None:
    return block.values_only() if block.n_values else None


def _held_out(block: MixedData, seed: int, fraction: float, wanted: bool) -> MixedData | None:
    """The rows of a block whose points are held out, or, with `wanted` False, the others."""
    chosen = (_hashed(block.X, seed) < fraction * 2.0**64) == wanted
    chosen &= block.entries_per_row > 0
    return block.take(chosen) if chosen.any() else None


def _hashed(X: NDArray[np.float64], seed: int) -> NDArray[np.uint64]:
    """(n,) numbers from 0 to 2^64, the same for the same point (the finaliser of SplitMix64, Steele 2014)."""
    bits = (X + 0.0).view(np.uint64)  # no negative zeros
    found = np.full(len(X), seed + 1, np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for column in bits.T:
        found = found ^ column
        found = (found ^ (found >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        found = (found ^ (found >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        found ^= found >> np.uint64(31)
    return found


def split_files(data: FileData, fraction: float, seed: int) -> tuple[FileData, MixedData | None]:
    """Rows to train on, and a random `fraction` of the points to test on, which are held in memory.

    Rows at one point stay on one side. No more than about 100,000 rows are held out.

    Raises:
        SwarmnetError: a cell that is not what it must be.
    """
    if fraction == 0:
        return data, None
    share = min(fraction, _MOST_HELD_OUT / data.about)
    test = data.with_step(partial(_held_out, seed=seed, fraction=share, wanted=True)).gathered()
    return data.with_step(partial(_held_out, seed=seed, fraction=share, wanted=False)), test


def joined(parts: Sequence[MixedData]) -> MixedData:
    """The rows of all parts."""
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
    )
