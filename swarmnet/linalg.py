"""BLAS and LAPACK on all threads at once.

SciPy's own wrappers hold Python's lock while they compute, so that threads which climb or add up side by side
would wait for each other. The same routines are open to Cython (`scipy.linalg.cython_blas`, `cython_lapack`),
and ctypes lets go of the lock while it calls one.

Matrices (n, n) are in Fortran order, all others in C order, and all of a call are of one dtype, float64 or
float32; anything else is a mistake of ours, not of a user's.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.errors import SwarmnetError

Array = NDArray[Any]

_LETTERS = {np.dtype(np.float64): "d", np.dtype(np.float32): "s"}
_NUMBERS = {"d": ctypes.c_double, "s": ctypes.c_float}


def add_gram(J: Array, total: Array, lower: bool = False) -> None:
    """Add J J' to the upper half of total (p, p), or to the lower one, for J (p, rows)."""
    p, rows = J.shape
    _check(J, total)
    _call("syrk", J, "L" if lower else "U", "T", p, rows, 1.0, J, rows, 1.0, total, p)


def factor(A: Array) -> bool:
    """Write L, with L L' = A (n, n), over the lower half of A; False where A is not positive definite."""
    _check(A)
    n, info = len(A), ctypes.c_int()
    _call("potrf", A, "L", n, A, n, info)
    return info.value == 0


def inverse(L: Array) -> Array:
    """L^-1 of L (n, n), of which the lower half counts, lower triangular."""
    _check(L)
    n, found = len(L), L.copy(order="F")
    _call("trtri", L, "L", "N", n, found, n, ctypes.c_int())
    np.copyto(found, 0.0, where=np.tri(n, k=-1, dtype=bool).T)
    return found


def solve(L: Array, b: Array) -> Array:
    """(L L')^-1 b for b (n,)."""
    return divide(L, divide(L, b.copy()), transposed=True)


def divide(L: Array, B: Array, transposed: bool = False) -> Array:
    """Write L^-1 B over B (n, columns) or (n,) and return it; with `transposed`, L'^-1 B."""
    return _triangular("trsm", L, B, transposed)


def multiply(L: Array, B: Array) -> Array:
    """Write L B over B (n, columns) and return it."""
    return _triangular("trmm", L, B, transposed=False)


def _triangular(routine: str, L: Array, B: Array, transposed: bool) -> Array:
    _check(B, L)
    n, columns = len(L), B.size // max(1, len(L))
    if B.ndim == 1:
        side, turned, shape = "L", transposed, (n, 1)
    else:  # in Fortran's eyes B is transposed, and L stands behind it
        side, turned, shape = "R", not transposed, (columns, n)
    _call(routine, L, side, "L", "T" if turned else "N", "N", *shape, 1.0, L, n, B, shape[0])
    return B


def _check(*arrays: Array) -> None:
    """That the last is in Fortran order, those before it in C order, and all of a dtype."""
    *others, matrix = arrays
    if not matrix.flags.f_contiguous or not all(
        other.flags.c_contiguous and other.dtype == matrix.dtype for other in others
    ):
        raise ValueError("BLAS was given arrays of another order or dtype")


def _call(routine: str, like: Array, *arguments: Any) -> None:
    """Call the routine for `like`'s dtype; all arguments are passed by their addresses, as in Fortran."""
    letter = _LETTERS[like.dtype]
    number = _NUMBERS[letter]
    addresses: list[Any] = []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            addresses.append(argument.__array_interface__["data"][0])
        elif isinstance(argument, str):
            addresses.append(argument.encode())
        elif isinstance(argument, ctypes.c_int):
            addresses.append(ctypes.byref(argument))
        else:
            kind = number(argument) if isinstance(argument, float) else ctypes.c_int(argument)
            addresses.append(ctypes.byref(kind))
    _routine(letter + routine)(*addresses)


@cache
def _routine(name: str) -> Callable[..., None]:
    from scipy.linalg import cython_blas, cython_lapack  # noqa: PLC0415  # a tenth of a second to import

    library = cython_blas if name in cython_blas.__pyx_capi__ else cython_lapack
    capsule = library.__pyx_capi__[name]
    signature = _of_capsule("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)(capsule)
    address = _of_capsule("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return _prototype(signature)(address(capsule, signature))


def _prototype(signature: bytes) -> Callable[[int], Callable[..., None]]:
    """The type of a routine with that signature in C.

    Raises:
        SwarmnetError: its integers are not C's, of which `_call` passes the addresses.
    """
    if b" int *" not in signature:
        raise SwarmnetError("this SciPy's BLAS takes integers of another size: install the SciPy of PyPI")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * signature.count(b"*"))


def _of_capsule(name: str, *types: Any) -> Callable[..., Any]:
    """A function of Python's own, typed apart from `ctypes.pythonapi`, which the user's code shares."""
    typed: Callable[..., Any] = ctypes.PYFUNCTYPE(*types)((name, ctypes.pythonapi))
    return typed
