"""Activations of one number, as the kernels compute them: f(z), f'(z), f''(z) and f'''(z).

exp and tanh are our own, because loops over them use vector instructions, which the C library's do not:
exp(y) = 2^n exp(r) with n = y / log(2) rounded and |r| <= log(2) / 2, exp(r) - 1 by its Taylor polynomial
(Cody and Waite 1980, chapter 6), and 2^n by its bits. tanh(z) = e / (e + 2) with e = exp(2 z) - 1 keeps the
relative precision of small values.

The formulas are those of the records in `swarmnet.network.activations`, with which the tests compare them.
Here they are functions, because Numba compiles functions and the package evaluates no text. In float32,
sigmoid and tanh need constants of that type, or half as many numbers would go into a vector. Only kernels in
float64 ask for f'''.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from swarmnet.objective.kernels.compiling import JIT, inlined

_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_ROUNDER = 6755399441055744.0  # 1.5 * 2^52: the last bits of a sum with it are the nearest integer
_C2, _C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11, _C12 = (1.0 / math.factorial(k) for k in range(2, 13))

_F = np.float32
_S_LOG2_E, _S_LN2_HIGH, _S_LN2_LOW = _F(_LOG2_E), _F(0.693359375), _F(-2.12194440e-4)
_S_ROUNDER = _F(12582912.0)  # 1.5 * 2^23
_S2, _S3, _S4, _S5, _S6 = (_F(1.0 / math.factorial(k)) for k in range(2, 7))
_S0, _S1, _TWO = _F(0.0), _F(1.0), _F(2.0)
_S20, _S80, _S87, _S104 = _F(20.0), _F(80.0), _F(87.0), _F(104.0)
_ROOT_HALF, _DENSITY = math.sqrt(0.5), 1.0 / math.sqrt(2.0 * math.pi)

if JIT:

    def _cast(source: Any, target: Any) -> Any:
        """A function that takes the bits of a number for one of another type."""

        @intrinsic
        def cast(typingctx, x):
            def code(context, builder, signature, args):
                return builder.bitcast(args[0], context.get_value_type(target))

            return target(source), code

        return cast

    _bits, _float = _cast(types.float64, types.int64), _cast(types.int64, types.float64)
    _bits32, _float32 = _cast(types.float32, types.int32), _cast(types.int32, types.float32)


@inlined
def _exp_parts(y):
    """2^n and exp(r) - 1, for y from -700 to 709."""
    t = y * _LOG2_E + _ROUNDER
    n = t - _ROUNDER
    r = y - n * _LN2_HIGH
    r = r - n * _LN2_LOW
    power = _float((_bits(t) + 1023) << 52)
    p = _C12
    p = p * r + _C11
    p = p * r + _C10
    p = p * r + _C9
    p = p * r + _C8
    p = p * r + _C7
    p = p * r + _C6
    p = p * r + _C5
    p = p * r + _C4
    p = p * r + _C3
    p = p * r + _C2
    return power, p * r * r + r


@inlined
def _exp_parts32(y):
    """2^n and exp(r) - 1, for y from -85 to 87."""
    t = y * _S_LOG2_E + _S_ROUNDER
    n = t - _S_ROUNDER
    r = y - n * _S_LN2_HIGH
    r = r - n * _S_LN2_LOW
    power = _float32((_bits32(t) + np.int32(127)) << np.int32(23))
    p = _S6
    p = p * r + _S5
    p = p * r + _S4
    p = p * r + _S3
    p = p * r + _S2
    return power, p * r * r + r


@inlined
def tanh(z):
    """tanh of a float64, to 4 units in the last place."""
    y = 2.0 * z
    y = 40.0 if y > 40.0 else y  # so written, NaN stays NaN
    y = -40.0 if y < -40.0 else y
    power, rest = _exp_parts(y)
    e = power * rest + (power - 1.0)
    return e / (e + 2.0)


@inlined
def tanh32(z):
    """tanh of a float32."""
    y = z + z
    y = _S20 if y > _S20 else y
    y = -_S20 if y < -_S20 else y
    power, rest = _exp_parts32(y)
    e = power * rest + (power - _S1)
    return e / (e + _TWO)


@inlined
def sigmoid(z):
    """1 / (1 + exp(-z)) of a float64, to 4 units in the last place; 0 where exp(z) is."""
    y = -z
    y = 709.0 if y > 709.0 else y
    y = -700.0 if y < -700.0 else y
    power, rest = _exp_parts(y)
    a = 1.0 / (1.0 + (power * rest + power))
    return 0.0 if z < -745.0 else a


@inlined
def sigmoid32(z):
    """1 / (1 + exp(-z)) of a float32; 0 where exp(z) is."""
    y = -z
    y = _S87 if y > _S87 else y
    y = -_S80 if y < -_S80 else y
    power, rest = _exp_parts32(y)
    a = _S1 / (_S1 + (power * rest + power))
    return _S0 if z < -_S104 else a


@inlined
def tanh_slope(z, a):
    return 1.0 - a * a


@inlined
def tanh_slope32(z, a):
    return _S1 - a * a


@inlined
def tanh_curvature(z, a, s):
    return -2.0 * a * s


@inlined
def tanh_curvature32(z, a, s):
    return -_TWO * a * s


@inlined
def tanh_third(z, a, s, c):
    return s * (4.0 - 6.0 * s)


@inlined
def sigmoid_slope(z, a):
    return a - a * a


@inlined
def sigmoid_curvature(z, a, s):
    return s - 2.0 * a * s


@inlined
def sigmoid_curvature32(z, a, s):
    return s - _TWO * a * s


@inlined
def sigmoid_third(z, a, s, c):
    return s * (1.0 - 6.0 * s)


@inlined
def gelu(z):
    return z * 0.5 * math.erfc(-z * _ROOT_HALF)


@inlined
def gelu_slope(z, a):
    return 0.5 * math.erfc(-z * _ROOT_HALF) + z * _DENSITY * math.exp(-0.5 * z * z)


@inlined
def gelu_curvature(z, a, s):
    return 0.0 if abs(z) > 40.0 else _DENSITY * math.exp(-0.5 * z * z) * (2.0 - z * z)


@inlined
def gelu_third(z, a, s, c):
    return 0.0 if abs(z) > 40.0 else _DENSITY * math.exp(-0.5 * z * z) * z * (z * z - 4.0)


@inlined
def softplus(z):
    return max(z, 0.0) + math.log1p(math.exp(-abs(z)))


@inlined
def softplus_slope(z, a):
    return -math.expm1(-a)


@inlined
def softplus_curvature(z, a, s):
    return math.exp(-a) * s


@inlined
def softplus_third(z, a, s, c):
    return c * (1.0 - 2.0 * s)


@inlined
def sine(z):
    return math.sin(z)


@inlined
def sine_slope(z, a):
    return math.cos(z)


@inlined
def sine_curvature(z, a, s):
    return -a


@inlined
def sine_third(z, a, s, c):
    return -s


@inlined
def silu(z):
    return z * sigmoid(z)


@inlined
def silu_slope(z, a):
    gate = sigmoid(z)
    return gate + a * (1.0 - gate)


@inlined
def silu_curvature(z, a, s):
    gate = sigmoid(z)
    return gate * (1.0 - gate) * (2.0 + z * (1.0 - 2.0 * gate))


@inlined
def silu_third(z, a, s, c):
    gate = sigmoid(z)
    q = gate * (1.0 - gate)
    return q * (3.0 * (1.0 - 2.0 * gate) + z * (1.0 - 6.0 * q))


@inlined
def relu(z):
    return 0.0 if z < 0.0 else z


@inlined
def relu_slope(z, a):
    return 1.0 if a > 0.0 else 0.0


@inlined
def relu_curvature(z, a, s):
    return 0.0


@inlined
def relu_third(z, a, s, c):
    return 0.0


# f(z), f'(z, a), f''(z, a, s) and f'''(z, a, s, c) of each built-in activation but linear, for which no
# kernel is called
SCALARS: dict[str, tuple[Any, Any, Any, Any]] = {
    "sigmoid": (sigmoid, sigmoid_slope, sigmoid_curvature, sigmoid_third),
    "tanh": (tanh, tanh_slope, tanh_curvature, tanh_third),
    "softplus": (softplus, softplus_slope, softplus_curvature, softplus_third),
    "sine": (sine, sine_slope, sine_curvature, sine_third),
    "silu": (silu, silu_slope, silu_curvature, silu_third),
    "gelu": (gelu, gelu_slope, gelu_curvature, gelu_third),
    "relu": (relu, relu_slope, relu_curvature, relu_third),
}
IN_SINGLE: dict[str, tuple[Any, Any, Any, Any]] = SCALARS | {
    "sigmoid": (sigmoid32, sigmoid_slope, sigmoid_curvature32, sigmoid_third),
    "tanh": (tanh32, tanh_slope32, tanh_curvature32, tanh_third),
}
