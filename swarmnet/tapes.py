"""Passes that write down the NumPy calls which a tile takes, and make them again for the next one.

The buffers of a `Propagation` stay where they are, so that the calls for a tile are the same ones each time;
when one has to grow, all tapes are dropped. Made from a list, calls follow each other in a third of the time
that finding buffers and views takes anew. That is what short calls cost, and on threads it counts for long
ones as well: whoever is between two calls holds Python's lock, and another thread that comes out of one of
its own just then goes to sleep over it.

A tape serves all tiles of a kind: they are copied into the buffers that it reads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from swarmnet.detours import Calls
from swarmnet.propagation import Propagation
from swarmnet.tiles import Tile

Array = NDArray[Any]
R = TypeVar("R")

_MOST = 256  # tapes kept at a time; one is some ten kilobytes, and 0.1 MB with 20 outputs and all partials


@dataclass(frozen=True)
class _Tape:
    calls: Calls
    result: Any


class TapedPropagation(Propagation):
    """Passes whose calls for a tile are kept for tiles of its kind."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tapes: dict[object, _Tape] = {}
        self._moves = 0  # of buffers, when the tapes were made
        self._held: Tile | None = None  # the tile that is in the buffers

    def taped(self, work: Callable[..., R], tile: Tile, *args: object) -> R:
        """work(passes, tile, *args), with the weights that are loaded.

        Args:
            work: computes by `do` alone, and nothing in it hangs on the numbers in tiles and weights. What it
                returns is in buffers.
            tile: the rows.
            args: anything that can be a key of a dict.
        """
        if tile is not self._held:
            self._hold(tile)
        key = work, args, self.lead, tile.kind
        if self._moves == self.moves and (tape := self._tapes.get(key)) is not None:
            for call, arguments in tape.calls:
                call(*arguments)
            return tape.result  # type: ignore[no-any-return]
        return self._recorded(key, lambda own: work(self, own, *args), tile)

    def forget(self) -> None:
        """Drop all tapes."""
        self._tapes.clear()

    def release(self) -> None:
        """Let go of the tile whose numbers are in the buffers, and of the memory that it is part of."""
        self._held = None

    def _recorded(self, key: object, work: Callable[[Tile], R], tile: Tile) -> R:
        calls: Calls = []
        self.tape = calls
        try:
            result = work(tile.of(self._buffers(tile)))
        finally:
            self.tape = None
        if self._moves != self.moves or len(self._tapes) == _MOST:
            self.forget()  # weights and tiles may not be copied any more to where these read them
        self._moves = self.moves
        self._tapes[key] = _Tape(calls, result)
        return result

    def _hold(self, tile: Tile) -> None:
        """Copy a tile into the buffers."""
        self._held = None  # until it is whole: Ctrl-C may come in between
        for buffer, array in zip(self._buffers(tile), tile.floats, strict=True):
            np.copyto(buffer, array)
        self._held = tile

    def _buffers(self, tile: Tile) -> list[Array]:
        return [self.buffer(("tile", n), array.shape) for n, array in enumerate(tile.floats)]
