"""When training stops: the settings that all trainers share, and their checks."""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import ClassVar

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
    """Refuse a setting that is no finite number, or not an allowed one.

    Raises:
        SwarmnetError: it is not.
    """
    if value is None and optional:
        return
    number = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    require(number and allowed(float(value)), name, value, expected)  # type: ignore[arg-type]


def require_count(name: str, value: object, least: int, optional: bool = False) -> None:
    """Refuse a setting that is no whole number, or less than `least`.

    Raises:
        SwarmnetError: it is not.
    """
    if value is None and optional:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    require(whole and value >= least, name, value, f"a whole number of {least} or more")  # type: ignore[operator]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When training stops.

    Args:
        iterations: the most iterations; None for no limit but the others.
        seconds: the most seconds of training; None for no limit but the others.
        evaluations: the most evaluations; None for no limit but the others. An iteration is finished once
            it has begun: a swarm's may go beyond by its particles.
        tolerance: stop after `patience` iterations in which the best loss fell by less than this share.
        patience: see tolerance.
        target_loss: stop once the loss is as low as this; None for never.

    Raises:
        SwarmnetError: one of them is out of range.
    """

    name: ClassVar[str]
    descends: ClassVar[bool] = True  # a much higher loss means that it diverges
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
