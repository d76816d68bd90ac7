"""How kernels are compiled: without the GIL, cached on disk, and as plain Python with NUMBA_DISABLE_JIT=1.

A kernel is compiled once for each dtype, when it is first called, and read from Numba's cache afterwards: in
the package's own folder, or in the user's cache folder where that one cannot be written. Where neither can,
each process compiles anew.

Numba looks at a kernel's own file alone to see whether the cache is current. A kernel here calls those of
other files, and some are compiled from the activations' formulas: the name under which it is kept holds a
digest of all of these files.
"""

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from numba import cfunc, config, njit
from numba.core import event

from swarmnet.network import activations

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])

JIT = not config.DISABLE_JIT  # type: ignore[attr-defined]

# Sums keep their order, so that they do not depend on the processor, and NaN stays NaN.
FASTMATH = {"contract", "nsz", "arcp"}

_SOURCES = [*sorted(Path(__file__).parent.glob("*.py")), Path(activations.__file__)]
_DIGEST = hashlib.sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]
_EVENT = "numba:run_pass"  # a step of compiling a function; none happens where the cache has it
# Without a home folder, Numba would make a folder named "~" where the user works.
_CACHED = os.path.isabs(os.path.expanduser("~")) or bool(
    os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
)


class _FirstUse(event.Listener):
    """Says on a terminal, once, that kernels are being compiled."""

    cached, said = True, False

    def on_start(self, found: Any) -> None:
        if self.said or not found.data["module"].startswith("swarmnet.objective.kernels"):
            return
        self.said = True
        how = "once" if self.cached else "each time, as no folder keeps them (NUMBA_CACHE_DIR may name one)"
        text = f"swarmnet: compiling its kernels for this machine, {how}: about half a minute"
        if sys.stderr is not None and sys.stderr.isatty():
            with suppress(OSError):
                print(text, file=sys.stderr, flush=True)

    def on_end(self, found: Any) -> None:
        return


_FIRST_USE = _FirstUse()
event.register(_EVENT, _FIRST_USE)


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers when it is first called."""
    compiled: Any = _compiled(njit, function, nogil=True, error_model="numpy", fastmath=FASTMATH)
    if JIT and (folder := compiled.stats.cache_path):
        cache = compiled._cache
        cache.save_overload = _one_at_a_time(cache.save_overload, folder)
    return compiled  # type: ignore[no-any-return]


def inlined(function: F) -> F:
    """Compile a function of numbers into the kernels that call it."""
    return njit(inline="always", error_model="numpy", fastmath=FASTMATH)(function)  # type: ignore[return-value]


def called_back(signature: Any, function: F) -> Any:
    """Compile a function to be called by its address."""
    return _compiled(cfunc, function, signature, error_model="numpy", fastmath=FASTMATH)


def _compiled(decorator: Callable[..., Any], function: F, *args: Any, **options: Any) -> F:
    function.__qualname__ = f"{function.__name__}_{_DIGEST}"
    if _CACHED:
        with suppress(RuntimeError, OSError):  # there is no folder to write a cache to, or the disk is full
            return decorator(*args, cache=True, **options)(function)  # type: ignore[no-any-return]
    _FIRST_USE.cached = False
    return decorator(*args, **options)(function)  # type: ignore[no-any-return]


def _one_at_a_time(save: Callable[..., None], folder: str) -> Callable[..., None]:
    """Write to the cache while no other process does, as far as the disk has room.

    Numba reads a kernel's index, adds a file to it and writes both: of two processes at once, with a dtype
    each, one would name the other's file as its own.
    """

    def saved(*args: Any) -> None:
        with suppress(OSError), _locked(folder):
            save(*args)

    return saved


@contextmanager
def _locked(folder: str) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system has locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
