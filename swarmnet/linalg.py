"""BLAS and LAPACK routines that several threads can run at the same time.

SciPy's Python wrappers hold the GIL while they compute, so that threads would wait for each other. The same
routines are also exported for Cython (`scipy.linalg.cython_blas`, `cython_lapack`), and ctypes releases the
GIL during a call.

Matrices (n, n) are in Fortran order, all other arrays in C order. All arrays of a call have the same dtype,
float64 or float32. A violation raises ValueError: it is a mistake in swarmnet, not of the user.
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
    """Add J J' to the upper triangle (`lower`: the lower one) of total (p, p), for J (p, rows)."""
    p, rows = J.shape
    _check(J, total)
    _call("syrk", J, "L" if lower else "U", "T", p, rows, 1.0, J, rows, 1.0, total, p)


def factor(A: Array) -> bool:
    """Write the Cholesky factor L of A = L L' (n, n) into A's lower half; False if not positive definite."""
    _check(A)
    n, info = len(A), ctypes.c_int()
    _call("potrf", A, "L", n, A, n, info)
    return info.value == 0


def inverse(L: Array) -> Array:
    """Return the lower triangular L^-1 (n, n); only the lower half of L is read."""
    _check(L)
    n, found = len(L), L.copy(order="F")
    _call("trtri", L, "L", "N", n, found, n, ctypes.c_int())
    np.copyto(found, 0.0, where=np.tri(n, k=-1, dtype=bool).T)
    return found


def solve(L: Array, b: Array) -> Array:
    """Return (L L')^-1 b for b (n,)."""
    return divide(L, divide(L, b.copy()), transposed=True)


def divide(L: Array, B: Array, transposed: bool = False) -> Array:
    """Replace B (n, columns) or (n,) by L^-1 B and return it; with `transposed`, by L'^-1 B."""
    return _triangular("trsm", L, B, transposed)


def multiply(L: Array, B: Array) -> Array:
    """Replace B (n, columns) by L B and return it."""
    return _triangular("trmm", L, B, transposed=False)


def _triangular(routine: str, L: Array, B: Array, transposed: bool) -> Array:
    _check(B, L)
    n, columns = len(L), B.size // max(1, len(L))
    if B.ndim == 1:
        side, turned, shape = "L", transposed, (n, 1)
    else:  # Fortran reads B (C order) as its transpose, so L multiplies from the right
        side, turned, shape = "R", not transposed, (columns, n)
    _call(routine, L, side, "L", "T" if turned else "N", "N", *shape, 1.0, L, n, B, shape[0])
    return B


def _check(*arrays: Array) -> None:
    """Check that the last array is in Fortran order, the others in C order, and that all share a dtype."""
    *others, matrix = arrays
    if not matrix.flags.f_contiguous or not all(
        other.flags.c_contiguous and other.dtype == matrix.dtype for other in others
    ):
        raise ValueError("BLAS was given arrays of another order or dtype")


def _call(routine: str, like: Array, *arguments: Any) -> None:
    """Call the routine for the dtype of `like`; arguments are passed by address, as in Fortran."""
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
    from scipy.linalg import cython_blas, cython_lapack  # noqa: PLC0415  # takes 0.1 s to import

    library = cython_blas if name in cython_blas.__pyx_capi__ else cython_lapack
    capsule = library.__pyx_capi__[name]
    signature = _of_capsule("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)(capsule)
    address = _of_capsule("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    return _prototype(signature)(address(capsule, signature))


def _prototype(signature: bytes) -> Callable[[int], Callable[..., None]]:
    """Return the ctypes type of a routine with this C signature.

    Raises:
        SwarmnetError: its integers are not of type C int, which `_call` passes.
    """
    if b" int *" not in signature:
        raise SwarmnetError("this SciPy's BLAS takes integers of another size: install the SciPy of PyPI")
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * signature.count(b"*"))


def _of_capsule(name: str, *types: Any) -> Callable[..., Any]:
    """Return a function of the Python C API with its own types: `ctypes.pythonapi` is shared by all code."""
    typed: Callable[..., Any] = ctypes.PYFUNCTYPE(*types)((name, ctypes.pythonapi))
    return typed


def mirror(upper: Array) -> None:
    """Copy the upper half of a square matrix to the lower one, by blocks for the sake of the cache."""
    step = 128
    for start in range(0, len(upper), step):
        block = slice(start, start + step)
        square = upper[block, block]
        square += np.triu(square, 1).T
        upper[start + step :, block] = upper[block, start + step :].T
