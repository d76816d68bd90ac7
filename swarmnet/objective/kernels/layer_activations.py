"""Activations of whole layers, which kernels call by address.

Kernels hold no activation's code: they are compiled once for all. A built-in activation is a function for
each dtype in `_FUNCTIONS`; one of the user's, made of NumPy functions, is called back.
"""

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy.typing import NDArray

from swarmnet.floating_point import far_out
from swarmnet.network.activations import LINEAR, Activation
from swarmnet.objective.kernels.compiling import JIT, called_back, inlined, kernel
from swarmnet.objective.kernels.scalars import (
    gelu,
    gelu_curvature,
    gelu_slope,
    relu,
    relu_curvature,
    relu_slope,
    sigmoid,
    sigmoid32,
    sigmoid_curvature,
    sigmoid_curvature32,
    sigmoid_slope,
    silu,
    silu_curvature,
    silu_slope,
    sine,
    sine_curvature,
    sine_slope,
    softplus,
    softplus_curvature,
    softplus_slope,
    tanh,
    tanh32,
    tanh_curvature,
    tanh_curvature32,
    tanh_slope,
    tanh_slope32,
)

Array = NDArray[Any]

# What is wanted of a layer: its values; the slopes besides; the curvatures, too; or the values, with one
# tangent multiplied by the slopes at once.
VALUE, SLOPE, CURVATURE, TANGENT = range(4)


@inlined
def _layer(f, slope, curvature, wanted, Z, b, S, C):
    """Z <- f(Z + b), with S and C as wanted; all (units, rows) but b (units,)."""
    for j in range(Z.shape[0]):
        shift, z, s, c = b[j], Z[j], S[j], C[j]
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
        else:
            for r in range(len(z)):
                x = z[r] + shift
                a = f(x)
                z[r] = a
                s[r] = s[r] * slope(x, a)


@inlined
def _layer64(f, slope, curvature, wanted, units, rows, z, b, s, c):
    """The same by addresses of float64."""
    shape = (units, rows)
    Z, S, C = carray(_doubles(z), shape), carray(_doubles(s), shape), carray(_doubles(c), shape)
    _layer(f, slope, curvature, wanted, Z, carray(_doubles(b), (units,)), S, C)


@inlined
def _layer32(f, slope, curvature, wanted, units, rows, z, b, s, c):
    """The same by addresses of float32."""
    shape = (units, rows)
    Z, S, C = carray(_floats(z), shape), carray(_floats(s), shape), carray(_floats(c), shape)
    _layer(f, slope, curvature, wanted, Z, carray(_floats(b), (units,)), S, C)


def _sigmoid64(wanted, units, rows, z, b, s, c):
    _layer64(sigmoid, sigmoid_slope, sigmoid_curvature, wanted, units, rows, z, b, s, c)


def _sigmoid32(wanted, units, rows, z, b, s, c):
    _layer32(sigmoid32, sigmoid_slope, sigmoid_curvature32, wanted, units, rows, z, b, s, c)


def _tanh64(wanted, units, rows, z, b, s, c):
    _layer64(tanh, tanh_slope, tanh_curvature, wanted, units, rows, z, b, s, c)


def _tanh32(wanted, units, rows, z, b, s, c):
    _layer32(tanh32, tanh_slope32, tanh_curvature32, wanted, units, rows, z, b, s, c)


def _softplus64(wanted, units, rows, z, b, s, c):
    _layer64(softplus, softplus_slope, softplus_curvature, wanted, units, rows, z, b, s, c)


def _softplus32(wanted, units, rows, z, b, s, c):
    _layer32(softplus, softplus_slope, softplus_curvature, wanted, units, rows, z, b, s, c)


def _sine64(wanted, units, rows, z, b, s, c):
    _layer64(sine, sine_slope, sine_curvature, wanted, units, rows, z, b, s, c)


def _sine32(wanted, units, rows, z, b, s, c):
    _layer32(sine, sine_slope, sine_curvature, wanted, units, rows, z, b, s, c)


def _silu64(wanted, units, rows, z, b, s, c):
    _layer64(silu, silu_slope, silu_curvature, wanted, units, rows, z, b, s, c)


def _silu32(wanted, units, rows, z, b, s, c):
    _layer32(silu, silu_slope, silu_curvature, wanted, units, rows, z, b, s, c)


def _gelu64(wanted, units, rows, z, b, s, c):
    _layer64(gelu, gelu_slope, gelu_curvature, wanted, units, rows, z, b, s, c)


def _gelu32(wanted, units, rows, z, b, s, c):
    _layer32(gelu, gelu_slope, gelu_curvature, wanted, units, rows, z, b, s, c)


def _relu64(wanted, units, rows, z, b, s, c):
    _layer64(relu, relu_slope, relu_curvature, wanted, units, rows, z, b, s, c)


def _relu32(wanted, units, rows, z, b, s, c):
    _layer32(relu, relu_slope, relu_curvature, wanted, units, rows, z, b, s, c)


_FUNCTIONS = {
    ("sigmoid", "float64"): _sigmoid64,
    ("sigmoid", "float32"): _sigmoid32,
    ("tanh", "float64"): _tanh64,
    ("tanh", "float32"): _tanh32,
    ("softplus", "float64"): _softplus64,
    ("softplus", "float32"): _softplus32,
    ("sine", "float64"): _sine64,
    ("sine", "float32"): _sine32,
    ("silu", "float64"): _silu64,
    ("silu", "float32"): _silu32,
    ("gelu", "float64"): _gelu64,
    ("gelu", "float32"): _gelu32,
    ("relu", "float64"): _relu64,
    ("relu", "float32"): _relu32,
}

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

        All (units, rows) and contiguous, b (units,). What is not wanted may be any array.
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
                full = [array(address, units, rows) for address in (z, s, c)]
                _in_numpy(record, wanted, full[0], array(b, units), *full[1:])
            except BaseException as error:  # whatever the user's code raises: ctypes would print it
                self._error = self._error or error

        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 7)(call)


@cache
def _built_in(name: str, dtype: str) -> Any:
    """A compiled activation."""
    return called_back(types.void(*[types.int64] * 7), _FUNCTIONS[name, dtype])
