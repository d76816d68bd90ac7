"""Contexts and decorators that silence floating-point warnings where the code checks the results itself."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

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
