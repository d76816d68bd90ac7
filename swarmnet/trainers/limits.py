"""The limits that all trainers share, and checks of their settings."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from swarmnet.errors import SwarmnetError


def require(condition: bool, name: str, value: object, expected: str) -> None:
    """Refuse a setting that is out of range.

    Raises:
        SwarmnetError: the condition does not hold.
    """
    if not condition:
        raise SwarmnetError(f"{name} must be {expected}, not {value}")


def require_number(
    name: str, value: object, expected: str, allowed: Callable[[float], bool], optional: bool = False
) -> None:
    """Refuse a setting that is not a finite number, or not allowed.

    Raises:
        SwarmnetError: it is refused.
    """
    if value is None and optional:
        return
    number = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    require(number and allowed(float(value)), name, value, expected)  # type: ignore[arg-type]


def is_count(value: object) -> bool:
    """Return whether the value is a whole number."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def require_count(name: str, value: object, least: int, optional: bool = False) -> None:
    """Refuse a setting that is not a whole number, or less than `least`.

    Raises:
        SwarmnetError: it is refused.
    """
    if value is None and optional:
        return
    require(is_count(value) and value >= least, name, value, f"a whole number of {least} or more")  # type: ignore[operator]


def part(count: int | None, share: float) -> int | None:
    """Return a share of a limit, at least 1; None without a limit."""
    return None if count is None else max(1, int(count * share))


def lesser(first: float | None, second: float | None) -> Any:
    """Return the lower of two limits; None without any."""
    given = [value for value in (first, second) if value is not None]
    return min(given) if given else None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When training stops.

    Args:
        iterations: maximum iterations; None for no limit.
        seconds: maximum seconds of training; None for no limit.
        evaluations: maximum evaluations; None for no limit. An iteration that has begun is completed, so a
            swarm may exceed it by its number of particles.
        tolerance: stop after `patience` iterations in which the best loss fell by less than this share.
        patience: see tolerance.
        target_loss: stop when the loss is at most this; None for no target.

    Raises:
        SwarmnetError: a setting is out of range.
    """

    name: ClassVar[str]
    descends: ClassVar[bool] = True  # whether a much higher loss means divergence
    iterations: int | None = 1000
    seconds: float | None = None
    evaluations: int | None = None
    tolerance: float = 1e-6
    patience: int = 500
    target_loss: float | None = None

    def __post_init__(self) -> None:
        require_count("iterations", self.iterations, 1, optional=True)
        require_number("seconds", self.seconds, "a number more than 0", lambda x: x > 0, optional=True)
        require_count("evaluations", self.evaluations, 1, optional=True)
        require_count("patience", self.patience, 1)
        require_number("tolerance", self.tolerance, "from 0 to 1", lambda x: 0 <= x < 1)
        require_number("target_loss", self.target_loss, "a number", lambda x: True, optional=True)
