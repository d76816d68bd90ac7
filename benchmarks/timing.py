"""Timing calls within one run."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

Work = Callable[[], Any]

_PAUSE = 0.1  # seconds
_ROUNDS = 3


def medians(works: Mapping[str, Work], budget: float = 0.5) -> dict[str, float]:
    """The median milliseconds of each call, after one that warms it up.

    They take turns, so that a slow minute hurts all alike, and each has `budget` seconds in all. Threads of
    BLAS, OpenMP and the like spin for some milliseconds after their last task, on a core that whoever is
    measured next would miss: a pause lets them go to sleep.
    """
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(_ROUNDS):
        for name, work in works.items():
            time.sleep(_PAUSE)
            times[name] += _seconds(work, budget / _ROUNDS)
    return {name: 1e3 * float(np.median(taken)) for name, taken in times.items()}


def _seconds(work: Work, budget: float) -> list[float]:
    """Of each call, until the budget is spent."""
    times: list[float] = []
    began = time.perf_counter()
    while not times or time.perf_counter() - began < budget:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return times


def milliseconds(work: Work) -> float:
    """The median milliseconds of a call."""
    return medians({"": work})[""]


def geometric_mean(ratios: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(ratios)))))
