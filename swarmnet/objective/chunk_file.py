"""A temporary file of chunks that do not fit into memory, and are read in every pass.

To make chunks takes longer than to use them once, so they are made once and stored. The file is in the folder
TMPDIR or else in /var/tmp (/tmp may be in memory). It has no name, and disappears when the process ends in
any way.
"""

import math
import os
import pickle
import tempfile
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError
from swarmnet.objective.row_chunks import Chunks

Array = NDArray[Any]

_ALIGNED = 64  # bytes, for vector instructions


@dataclass(frozen=True)
class Extent:
    """The place of some chunks: their pickle without arrays, and the arrays' first and last bytes."""

    head: bytes
    spans: list[tuple[int, int]]
    offset: int
    size: int


class ChunkFile:
    """A temporary file of chunks. It is thread-safe.

    Raises:
        SwarmnetError: no file can be made there.
    """

    def __init__(self) -> None:
        self._folder = _folder()
        self._lock, self._end = threading.Lock(), 0
        try:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  # closed below
        except OSError as error:
            raise self._unwritable(error) from None
        weakref.finalize(self, self._file.close)

    def write(self, chunks: Sequence[Chunks]) -> Extent:
        """Append chunks.

        Raises:
            SwarmnetError: the disk is full.
        """
        head, arrays = _packed(chunks)
        spans, end = [], 0
        for array in arrays:
            spans.append((end, end + array.nbytes))
            end += -(-array.nbytes // _ALIGNED) * _ALIGNED
        image = memoryview(bytearray(end))
        for (start, stop), array in zip(spans, arrays, strict=True):
            image[start:stop] = array
        with self._lock:
            extent = Extent(head, spans, self._end, end)
            self._end += end
            try:
                self._file.seek(extent.offset)
                while image:
                    image = image[self._file.write(image) :]
            except OSError as error:
                raise self._unwritable(error) from None
        return extent

    def read(self, extent: Extent) -> list[Chunks]:
        """Return the chunks that were written there."""
        image = np.empty(extent.size, np.uint8).data
        with self._lock:
            self._file.seek(extent.offset)
            rest = image
            while rest and (count := self._file.readinto(rest)):
                rest = rest[count:]
        if rest:
            raise SwarmnetError(f"{self._folder}: the rows that do not fit into memory were cut off there")
        buffers = [image[start:stop] for start, stop in extent.spans]
        chunks: list[Chunks] = pickle.loads(extent.head, buffers=buffers)
        return chunks

    def _unwritable(self, error: OSError) -> SwarmnetError:
        return SwarmnetError(
            f"{self._folder}: cannot write the rows that do not fit into memory: {error.strerror} after "
            f"{self._end / 1e9:.1f} GB; name a folder with more room in the environment variable TMPDIR"
        )


def _folder() -> str:
    """Return the folder for large temporary files."""
    named = next((folder for name in ("TMPDIR", "TEMP", "TMP") if (folder := os.environ.get(name))), None)
    if named is not None:
        return named
    return "/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()


def _packed(chunks: Sequence[Chunks]) -> tuple[bytes, list[memoryview]]:
    """Return a pickle without the arrays, and the arrays' bytes."""
    head, arrays = BytesIO(), list[memoryview]()
    _Packer(head, 5, buffer_callback=lambda buffer: arrays.append(buffer.raw())).dump(list(chunks))
    return head.getvalue(), arrays


class _Packer(pickle.Pickler):
    """Stores one number of each constant row, and one bit per weight if a row has only one weight and 0."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray) or obj.size == 0 or obj.ndim == 0 or obj.shape[-1] == 1:
            return NotImplemented
        if (obj == obj[..., :1]).all():
            return _repeated, (obj[..., :1].copy(), obj.shape)
        if obj.dtype.kind == "f" and ((obj == 0) | (obj == (most := obj.max(-1, keepdims=True)))).all():
            return _masked, (np.packbits(obj != 0), most, obj.shape)
        return NotImplemented


def _repeated(first: Array, shape: tuple[int, ...]) -> Array:
    spread = np.broadcast_to(first, shape)
    return np.ascontiguousarray(spread) if first.dtype.kind == "f" else spread


def _masked(bits: Array, column: Array, shape: tuple[int, ...]) -> Array:
    mask = np.unpackbits(bits, count=math.prod(shape)).reshape(shape)
    return np.multiply(mask, column, dtype=column.dtype)
