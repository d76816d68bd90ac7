"""Activations of whole layers, which kernels call by address.

Kernels hold no activation's code: they are compiled once for all. A built-in activation is compiled from its
scalar functions, once for each dtype; one of the user's, made of NumPy functions, is called back.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy.typing import NDArray

from swarmnet.floating_point import far_out
from swarmnet.network.activations import LINEAR, Activation
from swarmnet.objective.kernels.compiling import JIT, called_back, inlined, kernel
from swarmnet.objective.kernels.scalars import IN_SINGLE, SCALARS

Array = NDArray[Any]

# What is wanted of a layer: its values; the slopes besides; the curvatures, too; the values, with one tangent
# multiplied by the slopes at once; or the curvatures with the third derivatives behind them.
VALUE, SLOPE, CURVATURE, TANGENT, THIRD = range(5)


@inlined
def _layer(f, slope, curvature, third, wanted, Z, b, S, C):
    """Z <- f(Z + b), with S and C as wanted; Z and S (units, rows), b (units,), C (2, units, rows)."""
    for j in range(Z.shape[0]):
        shift, z, s, c, d = b[j], Z[j], S[j], C[0, j], C[1, j]
        if wanted == VALUE:
            for r in range(len(z)):
                z[r] = f(z[r] + shift)
        elif wanted == SLOPE:
            for r in range(len(z)):
                x = z[r] + shift
                a = f(x)
                z[r] = a
                s[r] = slope(x, a)
        elif wanted == CURVATURE:
            for r in range(len(z)):
                x = z[r] + shift
                a = f(x)
                g = slope(x, a)
                z[r] = a
                s[r] = g
                c[r] = curvature(x, a, g)
        elif wanted == TANGENT:
            for r in range(len(z)):
                x = z[r] + shift
                a = f(x)
                z[r] = a
                s[r] = s[r] * slope(x, a)
        else:
            for r in range(len(z)):
                x = z[r] + shift
                a = f(x)
                g = slope(x, a)
                h = curvature(x, a, g)
                z[r] = a
                s[r] = g
                c[r] = h
                d[r] = third(x, a, g, h)


def _by_address(wanted, units, rows, z, b, s, c):
    """The same by addresses of numbers; `_built_in` gives the names in capitals."""
    shape = (units, rows)
    Z, S = carray(NUMBERS(z), shape), carray(NUMBERS(s), shape)  # noqa: F821
    b, C = carray(NUMBERS(b), (units,)), carray(NUMBERS(c), (2, units, rows))  # noqa: F821
    _layer(F, SLOPE_OF, CURVATURE_OF, THIRD_OF, wanted, Z, b, S, C)  # noqa: F821


if JIT:

    def _pointer(number: Any) -> Any:
        """A function that takes an address for a pointer to numbers."""

        @intrinsic
        def pointer(typingctx, address):
            def code(context, builder, signature, args):
                return builder.inttoptr(args[0], context.get_value_type(types.CPointer(number)))

            return types.CPointer(number)(types.int64), code

        return pointer

    _doubles, _floats = _pointer(types.float64), _pointer(types.float32)

    @intrinsic
    def _call(typingctx, address, wanted, units, rows, z, b, s, c):
        def call(context, builder, signature, args):
            kind = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 7)
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
            return context.get_dummy_value()

        return types.void(*[types.int64] * 8), call

    @kernel
    def activate(act, wanted, Z, b, S, C):
        """Z <- f(Z + b), S <- f', C <- f'' as `wanted`; act is one of `Activations.addresses`.

        All (units, rows) and contiguous, b (units,). For THIRD, C (2, units, rows) <- f'' and f'''. What is
        not wanted may be any array.
        """
        _call(
            act,
            wanted,
            Z.shape[0],
            Z.shape[1],
            Z.ctypes.data,
            b.ctypes.data,
            S.ctypes.data,
            C.ctypes.data,
        )

else:

    def activate(act, wanted, Z, b, S, C):
        """As the compiled one, by the activation's own record."""
        _in_numpy(_RECORDS[act - 1], wanted, Z, b, S, C)


_RECORDS: list[Activation] = []  # without compiled code, an activation's address is its place here


def _in_numpy(record: Activation, wanted: int, Z: Array, b: Array, S: Array, C: Array) -> None:
    with far_out():
        z = Z + b[:, None]
        record.value(z.copy() if record.in_place else z, Z)
        if wanted == VALUE:
            return
        slopes = np.empty_like(Z)
        record.slope(z, Z, slopes)
        if wanted == TANGENT:
            S *= slopes
            return
        S[...] = slopes
        if wanted == CURVATURE:
            record.curvature(z, Z, S, C)
        elif wanted == THIRD:
            assert record.third is not None
            record.curvature(z, Z, S, C[0])
            record.third(z, Z, S, C[0], C[1])


class Activations:
    """The activations of a network's layers, as kernels take them.

    Args:
        records: one a layer.
        dtype: float64 or float32.

    Attributes:
        addresses: (layers,) of int64, 0 for linear.
    """

    def __init__(self, records: Sequence[Activation], dtype: Any) -> None:
        self.addresses = np.zeros(len(records), np.int64)
        self._held: list[Any] = []  # callbacks end with who holds them
        self._error: BaseException | None = None
        for layer, record in enumerate(records):
            if record is not LINEAR:
                self.addresses[layer] = self._address(record, np.dtype(dtype))

    def check(self) -> None:
        """Raise what an activation of the user's has raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _address(self, record: Activation, dtype: Any) -> int:
        if not JIT:
            if record not in _RECORDS:
                _RECORDS.append(record)
            return _RECORDS.index(record) + 1
        if record.built_in:
            return _built_in(record.name, dtype.name).address  # type: ignore[no-any-return]
        callback = self._callback(record, dtype)
        self._held.append(callback)
        address = ctypes.cast(callback, ctypes.c_void_p).value
        assert address is not None
        return address

    def _callback(self, record: Activation, dtype: Any) -> Any:
        number = ctypes.c_double if dtype == np.float64 else ctypes.c_float

        def call(wanted: int, units: int, rows: int, *addresses: int) -> None:
            def array(address: int, *shape: int) -> Array:
                size = int(np.prod(shape))
                return np.ctypeslib.as_array((number * size).from_address(address)).reshape(shape)

            z, b, s, c = addresses
            try:
                Z, S = array(z, units, rows), array(s, units, rows)
                C = array(c, 2, units, rows) if wanted == THIRD else array(c, units, rows)
                _in_numpy(record, wanted, Z, array(b, units), S, C)
            except BaseException as error:  # whatever the user's code raises: ctypes would print it
                self._error = self._error or error

        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(call)


@cache
def _built_in(name: str, dtype: str) -> Any:
    """A compiled activation.

    Its functions are globals of a copy of `_by_address`: those that a closure holds get another key in each
    process, under which Numba's cache has nothing.
    """
    numbers, functions = (_doubles, SCALARS) if dtype == "float64" else (_floats, IN_SINGLE)
    names = "NUMBERS", "F", "SLOPE_OF", "CURVATURE_OF", "THIRD_OF"
    own = dict(zip(names, (numbers, *functions[name]), strict=True))
    function = FunctionType(_by_address.__code__, globals() | own, f"_{name}_{dtype}")
    return called_back(types.void(*[types.int64] * 7), function)
