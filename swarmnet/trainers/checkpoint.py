"""Checkpoints: a file with the state of a training and the fingerprint of its run.

The file is a NumPy .npz of plain arrays, read without pickle. Its entry "header" is JSON: the format, its
version, the run's fingerprint, and the parts of the state that are not arrays. Floats keep every bit.
"""

import hashlib
import io
import json
import math
import os
import time
import warnings
import zipfile
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import DTypeLike, NDArray

from swarmnet.atomic_write import held, is_stream, refuse_unwritable, write_atomically
from swarmnet.errors import SwarmnetError, SwarmnetWarning

State = dict[str, Any]  # arrays, and values that JSON can hold, by flat names

_FORMAT, _VERSION = "swarmnet-checkpoint", 1
EVERY = 30.0  # seconds between writes by default
_HEADER = "header"
_MOST = 1 << 53  # largest count


@dataclass(frozen=True)
class _Log:
    """The first `length` items of a list to which items are only appended."""

    items: list[Any]
    length: int


def frozen(state: Mapping[str, Any]) -> State:
    """Return a snapshot of the state: arrays are copied, and lists are limited to their present items.

    A list must only grow at its end; it is read back as one array. It is not copied, so that a long list
    costs nothing until it is written.
    """

    def now(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return value.copy()
        return _Log(value, len(value)) if isinstance(value, list) else value

    return {name: now(value) for name, value in state.items()}


class Checkpoint:
    """A file with a run's state, written at most once in `every` seconds.

    Args:
        path: the file.
        run: the fingerprint of the run, see `fingerprint`.
        every: seconds between two writes; 0 to write at every iteration.
        hold: seconds between two states kept in memory, unless `every` is less; the most work that Ctrl-C
            loses.

    Raises:
        SwarmnetError: no file can be written there.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: Mapping[str, str],
        every: float = EVERY,
        hold: float = 0.05,
    ) -> None:
        refuse_unwritable(path)
        if is_stream(path):
            raise SwarmnetError(f"{path}: cannot hold a checkpoint: it is no file")
        self.path, self._run, self._every, self._hold = path, dict(run), every, min(hold, every)
        self._held: State | None = None
        self._written = self._taken = time.monotonic()

    def is_due(self) -> bool:
        """Return whether `hold` should be called."""
        return time.monotonic() - self._taken >= self._hold

    def hold(self, state: State) -> None:
        """Keep a frozen state from which training can continue; write it if it is time."""
        self._held, self._taken = state, time.monotonic()
        if time.monotonic() - self._written >= self._every:
            self.write()

    def write(self) -> None:
        """Write the state if it is new; a failure gives a warning and leaves the old file."""
        if self._held is None:
            return
        try:
            write_atomically(self.path, _packed(self._held, self._run))
            self._held = None
        except SwarmnetError as error:  # a long run should not end because of its checkpoint
            warnings.warn(f"{error}; training goes on without this checkpoint", SwarmnetWarning, stacklevel=2)
        self._written = time.monotonic()

    def held(self) -> AbstractContextManager[None]:
        """Lock the file against other runs inside the `with` block.

        Raises:
            SwarmnetError: another run uses it.
        """
        return held(self.path)

    def read(self) -> State | None:
        """Return the state in the file; None if there is no file.

        Raises:
            SwarmnetError: it is not a checkpoint, or damaged, or belongs to another run.
        """
        if not os.path.exists(self.path):
            return None
        run, state = _unpacked(self.path)
        if differences := _differences(run, self._run):
            raise SwarmnetError(
                f"{self.path}: the checkpoint of another run, which differs in {', '.join(differences)}: "
                "delete the file, or name another one"
            )
        return state


class DamagedState(Exception):
    """The state in a checkpoint cannot come from the object that should continue from it."""


def prefixed(prefix: str, state: State) -> State:
    """Return the state with a prefix and a slash before each name."""
    return {f"{prefix}/{name}": value for name, value in state.items()}


def under(prefix: str, state: State) -> State:
    """Return the part of a state with that prefix, without the prefix."""
    own = f"{prefix}/"
    return {name.removeprefix(own): value for name, value in state.items() if name.startswith(own)}


def is_empty(state: Mapping[str, Any], name: str) -> bool:
    """Return whether a saved state has an empty array of that name."""
    value = state.get(name)
    return isinstance(value, np.ndarray) and value.size == 0


def whole(state: Mapping[str, Any], name: str, least: int = 0, most: int = _MOST) -> int:
    """Return a whole number of a saved state.

    Raises:
        DamagedState: it is missing, of another type, or out of range.
    """
    value = state.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise DamagedState(f"{name} must be a whole number from {least} to {most}")
    return value


def array(
    state: Mapping[str, Any],
    name: str,
    shape: tuple[int | None, ...],
    dtype: DTypeLike = np.float64,
    finite: bool = True,
) -> NDArray[Any]:
    """Return an array of a saved state; None in `shape` allows any length.

    Raises:
        DamagedState: it is missing, of another shape or dtype, or not finite although required.
    """
    value = state.get(name)
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != len(shape):
        raise DamagedState(f"{name} must be an array of {np.dtype(dtype)} with {len(shape)} dimensions")
    if any(size not in (None, found) for size, found in zip(shape, value.shape, strict=True)):
        raise DamagedState(f"{name} must have the shape {shape}, not {value.shape}")
    if finite and not np.isfinite(value).all():
        raise DamagedState(f"{name} must be finite")
    return value


def matching(state: Mapping[str, Any], like: Mapping[str, Any], finite: Collection[str] = ()) -> State:
    """Return the items of a saved state that have the names, types and shapes of another state.

    Args:
        state: the saved state.
        like: the other state.
        finite: the names of items that must be finite.

    Raises:
        DamagedState: an item is missing, of another type or shape, or not finite although required.
    """
    return {name: _matching(state, name, value, name in finite) for name, value in like.items()}


def _matching(state: Mapping[str, Any], name: str, like: Any, finite: bool) -> Any:
    if isinstance(like, np.ndarray):
        return array(state, name, like.shape, like.dtype, finite)
    value = state.get(name)
    if isinstance(like, bool | np.bool_):
        fits = isinstance(value, bool)
    elif isinstance(like, int | np.integer):
        return whole(state, name)
    elif isinstance(like, float):
        fits = _is_number(value) and not (finite and not math.isfinite(value))
    else:
        fits = name in state and isinstance(value, type(like))
    if not fits:
        raise DamagedState(f"{name} must be as {like!r} is, not {value!r}")
    return value


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, float) or (
        isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST
    )


def fingerprint(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return a hash of each part of a run: arrays, numbers, text, None, and lists and dicts of them."""
    return {name: _hash(value) for name, value in parts.items()}


def _hash(value: Any) -> str:
    def plain(item: Any) -> Any:
        if isinstance(item, np.ndarray):
            return [str(item.dtype), item.shape, hashlib.sha256(item.tobytes()).hexdigest()]
        return item.item() if isinstance(item, np.generic) else repr(item)

    return hashlib.sha256(json.dumps(value, sort_keys=True, default=plain).encode()).hexdigest()


def _differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    if there == here:
        return []
    # Another trainer has settings of other names; then the trainer's name is the only difference listed.
    return [name for name in here if name in there and there[name] != here[name]] or ["settings"]


def _packed(state: State, run: Mapping[str, str]) -> bytes:
    arrays: dict[str, Any] = {}
    rest: State = {}
    for name, value in state.items():
        if isinstance(value, _Log):
            arrays[name] = np.array(value.items[: value.length])
        elif isinstance(value, np.ndarray):
            arrays[name] = value
        else:
            rest[name] = value
    header = {"format": _FORMAT, "version": _VERSION, "run": run, "state": rest}
    text = json.dumps(header, default=lambda value: value.tolist())  # NumPy's numbers and arrays
    arrays[_HEADER] = np.frombuffer(text.encode(), np.uint8)
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _unpacked(path: str | os.PathLike[str]) -> tuple[dict[str, str], State]:
    """Return the fingerprint and the state in a file."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SwarmnetError(f"{path}: cannot read the checkpoint: {error.strerror}") from None
    try:
        _refuse_packed(content)
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
        found, version, run, state = (header[name] for name in ("format", "version", "run", "state"))
        run, state = dict(run), dict(state) | arrays
    except Exception:  # zipfile, NumPy and JSON raise many types for invalid bytes
        found = version = None
    if found != _FORMAT:
        raise damaged(path)
    if version != _VERSION:
        raise SwarmnetError(
            f"{path}: checkpoint version {version!r}, this swarmnet reads {_VERSION}: "
            "use the swarmnet that wrote it, or name another file"
        )
    return run, state


def _refuse_packed(content: bytes) -> None:
    """Raise ValueError if a file would need more memory than its size: swarmnet does not compress."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        entries = file.infolist()
    stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    if not stored or sum(entry.file_size for entry in entries) > len(content):
        raise ValueError("the entries are compressed, or overlap")


def damaged(path: str | os.PathLike[str]) -> SwarmnetError:
    """Return the error for a file from which training cannot continue."""
    return SwarmnetError(
        f"{path}: not a swarmnet checkpoint, or a damaged one: delete the file, or name another one"
    )
