"""Floating-point errors that are expected, because what comes out is looked at."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import numpy as np

_P = ParamSpec("_P")
_R = TypeVar("_R")


def far_out() -> np.errstate:
    """Weights far out overflow: their loss is inf or NaN, which says so without a warning."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore")


def quiet(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Decorate a function that ignores overflows and underflows, divisions by zero and invalid operations.

    NumPy before 2 keeps the user's settings in the errstate itself: one that decorates a function would lose
    them when the function calls itself, or is called by two threads.
    """

    @wraps(function)
    def quietly(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        with np.errstate(all="ignore"):
            return function(*args, **kwargs)

    return quietly
