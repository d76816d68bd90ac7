"""The floating-point type of sums, and the silence of warnings where the code checks the results itself."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

from swarmnet.errors import SwarmnetError

_P = ParamSpec("_P")
_R = TypeVar("_R")


def far_out() -> np.errstate:
    """Silence overflow warnings: for very large weights the loss is inf or NaN, which the caller handles."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore")


def quiet(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function so that overflow, underflow, division by zero and invalid operations are silent.

    A new errstate is made for each call. Before NumPy 2, `errstate` used as a decorator stored the user's
    settings in itself, and lost them in recursive calls and in calls from two threads.
    """

    @wraps(function)
    def quietly(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quietly


def float_type(dtype: object) -> np.dtype[Any]:
    """Return the dtype in which sums are taken.

    Raises:
        SwarmnetError: it is neither float64 nor float32.
    """
    expected = SwarmnetError(f"dtype must be float64 or float32, not {dtype}")
    try:
        found: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError:
        raise expected from None
    if found not in (np.dtype("float64"), np.dtype("float32")):
        raise expected
    return found
