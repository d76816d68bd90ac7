"""Faster ways to the values of tanh and sigmoid than NumPy's own, depending on what this processor can do.

NumPy's exp2 is vectorised for AVX-512 alone, and on Linux. There tanh by exp2 takes two fifths of the time of
NumPy's tanh in float64; in float32 they are near. With AVX2 both are several times slower in float64: a table
takes two thirds of the time of exp2 and a quarter of tanh's. In float32 exp is vectorised, and tanh by exp
takes two thirds of the time of tanh. Nothing was measured on other processors than these.
"""

import math
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Calls = list[tuple[Callable[..., object], tuple[Any, ...]]]


@dataclass(frozen=True)
class Detour:
    """A faster way to an activation's values: f(z) from scale z, where the scale goes into the weights.

    Absolute precision is kept.

    Args:
        scale: the factor of z.
        calls: calls(scale z, *scratch, out) are the NumPy calls that write a = f(z); they overwrite z, which
            is `out` if there is no scratch.
        least: numbers from which calls that are more than one are worth it.
        scratch: how many contiguous arrays of that shape they need besides.
        is_relative: whether the relative precision of values near 0 is kept as well, to 7e-15.
    """

    scale: float
    calls: Callable[..., Calls]
    least: int = 1 << 13
    scratch: int = 0
    is_relative: bool = False


def _tanh_by(power: Callable[[Array, Array], object], z: Array, out: Array) -> Calls:
    # 2 / (1 + power) - 1, where the power is exp(-2 z)
    one, two = _number(1.0, out), _number(2.0, out)
    return [
        (power, (z, out)),
        (np.add, (out, one, out)),
        (np.divide, (two, out, out)),
        (np.subtract, (out, one, out)),
    ]


def _sigmoid_by(power: Callable[[Array, Array], object], z: Array, out: Array) -> Calls:
    # 1 / (1 + power), where the power is exp(-z)
    one = _number(1.0, out)
    return [(power, (z, out)), (np.add, (out, one, out)), (np.divide, (one, out, out))]


def _sigmoid_by_tanh(z: Array, out: Array) -> Calls:
    return [(np.tanh, (z, out)), *_sigmoid_of_tanh(out)]


def _sigmoid_of_tanh(out: Array) -> Calls:
    half = _number(0.5, out)
    return [(np.multiply, (out, half, out)), (np.add, (out, half, out))]


def _number(value: float, like: Array) -> Array:
    """As an array, because a call takes that in two thirds of the time of a float."""
    return np.array(value, like.dtype)


_STEP = 2.0**-11  # from one place of the table to the next, in thirds of tanh's argument
_PLACES = 13312  # to each side of 0; beyond 19.06 tanh is 1
_ROUNDER = np.array(1.5 * 2.0**52 * _STEP)  # a sum with it is rounded to a place, its last bits
_FIRST = _ROUNDER.view(np.int64) - _PLACES
_ENDS = np.array(-_PLACES * _STEP), np.array(_PLACES * _STEP)
_THIRD = np.array(1.0 / 3.0)


@cache
def _table() -> Array:
    """tanh at each place: made when it is asked for, because not every processor needs it."""
    table: Array = np.tanh(3.0 * _STEP * np.arange(-_PLACES, _PLACES + 1))
    return table


def _tanh_by_table(z: Array, near: Array, place: Array, t: Array, out: Array) -> Calls:
    # With z = n + r for the nearest place n, and x = 3 z: tanh(3 r) = r / q, q = 1/3 + r^2 (Pade), but for
    # 7e-15 of it; with t = tanh(3 n), tanh(x) = (t + tanh(3 r)) / (1 + t tanh(3 r)) = (t q + r) / (q + t r).
    index, q, rest, denominator = place.view(np.int64), place, z, near
    return [
        (z.clip, (*_ENDS, z)),
        (np.add, (z, _ROUNDER, near)),
        (np.subtract, (near.view(np.int64), _FIRST, index)),
        (_table().take, (index, None, t, "clip")),  # NaN has a place outside
        (np.subtract, (near, _ROUNDER, near)),
        (np.subtract, (z, near, rest)),
        (np.multiply, (rest, rest, q)),
        (np.add, (q, _THIRD, q)),
        (np.multiply, (t, rest, denominator)),
        (np.add, (denominator, q, denominator)),
        (np.multiply, (t, q, t)),
        (np.add, (t, rest, t)),
        (np.divide, (t, denominator, out)),
    ]


def _sigmoid_by_table(z: Array, near: Array, place: Array, t: Array, out: Array) -> Calls:
    return [*_tanh_by_table(z, near, place, t, out), *_sigmoid_of_tanh(out)]


Detours = dict[tuple[str, str], Detour]

BY_EXP2: Detours = {
    ("tanh", "float64"): Detour(-2.0 / math.log(2.0), partial(_tanh_by, np.exp2)),
    ("sigmoid", "float64"): Detour(-1.0 / math.log(2.0), partial(_sigmoid_by, np.exp2)),
}
BY_TABLE: Detours = {
    ("tanh", "float64"): Detour(1.0 / 3.0, _tanh_by_table, least=1 << 10, scratch=3, is_relative=True),
    ("sigmoid", "float64"): Detour(1.0 / 6.0, _sigmoid_by_table, least=1 << 10, scratch=3),
}
BY_EXP: Detours = {
    ("tanh", "float32"): Detour(-2.0, partial(_tanh_by, np.exp)),
    ("sigmoid", "float32"): Detour(-1.0, partial(_sigmoid_by, np.exp)),
}
BY_TANH: Detours = {("sigmoid", "float32"): Detour(0.5, _sigmoid_by_tanh)}


def detours() -> Detours:
    """The faster ways on this processor, by activation and dtype."""
    if platform.machine().lower() in ("x86_64", "amd64") and not _exp2_is_vectorised():
        return BY_TABLE | BY_EXP
    return BY_EXP2 | BY_TANH


def _exp2_is_vectorised() -> bool:
    """Whether NumPy's exp2 works on several numbers at a time; taken for granted where NumPy does not say."""
    try:
        from numpy.lib.introspect import opt_func_info  # noqa: PLC0415  # NumPy 2 has it
    except ImportError:
        return True
    ways = opt_func_info("^exp2$", "^float64$").get("exp2", {}).values()
    # The code for AVX-512 calls a library that NumPy has for Linux only.
    return sys.platform == "linux" and any(
        "AVX512" in way["current"] or "X86_V4" in way["current"] for way in ways
    )


DETOURS = detours()
