"""How kernels are compiled: without the GIL, cached on disk, and as plain Python with NUMBA_DISABLE_JIT=1.

A kernel is compiled once for each dtype, when it is first called, and read from Numba's cache afterwards.
Numba looks at a kernel's own file alone to see whether the cache is current. A kernel here calls those of
other files: the name under which it is kept holds a digest of all of them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import config, njit

F = TypeVar("F", bound=Callable[..., Any])

JIT = not config.DISABLE_JIT  # type: ignore[attr-defined]

# Sums keep their order, so that they do not depend on the processor, and NaN stays NaN.
FASTMATH = {"contract", "nsz", "arcp"}

_DIGEST = hashlib.sha256(
    b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
).hexdigest()[:12]


def kernel(function: F) -> F:
    """Compile a function of arrays and numbers; `compiled` without the options is what it makes of it."""
    return _compiled(njit, function, nogil=True, error_model="numpy", fastmath=FASTMATH)


def inlined(function: F) -> F:
    """Compile a function of numbers into the kernels that call it."""
    return njit(inline="always", error_model="numpy", fastmath=FASTMATH)(function)  # type: ignore[return-value]


def _compiled(decorator: Callable[..., Any], function: F, *args: Any, **options: Any) -> F:
    function.__qualname__ += f"_{_DIGEST}"
    try:
        return decorator(*args, cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # there is no folder to write a cache to
        return decorator(*args, **options)(function)  # type: ignore[no-any-return]


def called_back(signature: Any, function: F) -> Any:
    """Compile a function to be called by its address."""
    from numba import cfunc  # noqa: PLC0415

    return _compiled(cfunc, function, signature, error_model="numpy", fastmath=FASTMATH)
