"""Compilation of kernels: without the GIL, cached on disk, or plain Python with NUMBA_DISABLE_JIT=1.

A kernel is compiled for each dtype on its first call, and later read from Numba's cache. The cache is in the
package's folder or, if that cannot be written, in the user's cache folder. If neither can be written, each
process compiles again.

Numba checks only a kernel's own file to decide whether the cache is current. The kernels here call kernels in
other files, so the name under which each is cached contains a digest of all of them.
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

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

F = TypeVar("F", bound=Callable[..., Any])

JIT = not config.DISABLE_JIT  # type: ignore[attr-defined]

# Sums keep their order, so that they do not depend on the processor, and NaN stays NaN.
FASTMATH = {"contract", "nsz", "arcp"}

_DIGEST = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()[:12]
_EVENT = "numba:run_pass"  # a compiler pass; it does not occur if the function is in the cache
# Without a home folder, Numba would make a folder named "~" in the working folder.
_CACHED = os.path.isabs(os.path.expanduser("~")) or bool(
    os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
)


class _FirstUse(event.Listener):
    """Prints once, on a terminal, that kernels are being compiled."""

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
    """Compile a function of arrays and numbers on its first call."""
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
        with suppress(RuntimeError, OSError):  # no folder for a cache, or the disk is full
            return decorator(*args, cache=True, **options)(function)  # type: ignore[no-any-return]
    _FIRST_USE.cached = False
    return decorator(*args, **options)(function)  # type: ignore[no-any-return]


def _one_at_a_time(save: Callable[..., None], folder: str) -> Callable[..., None]:
    """Return `save` with a lock against other processes; it does nothing if the disk is full.

    Numba reads a kernel's index, adds a file to it and writes both. Of two processes that do this at once,
    each with another dtype, one would register the other's file as its own.
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
        with suppress(OSError):  # some file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
