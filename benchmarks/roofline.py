"""What the processor could do at best: matrix products and activations at the rates measured here and now.

The rates are those of NumPy on all threads at once, at the sizes that the shape's own tiles have.
"""

import time
from functools import cache

import numpy as np

from benchmarks.problems import Shape
from swarmnet.detours import DETOURS, Detour
from swarmnet.threads import Crew, one_blas_thread

_CREW = Crew()
_ROWS = 256
_TASKS = 16


def _rate(work_of_task: float, task: object) -> float:
    """Work a second with every thread busy, the best of five."""
    best = np.inf
    with one_blas_thread():
        for _ in range(6):
            start = time.perf_counter()
            _CREW.run(_TASKS, lambda worker, index: task(worker))  # type: ignore[operator]
            best = min(best, time.perf_counter() - start)
    return _TASKS * work_of_task / best


@cache
def product_rate(fan_in: int, fan_out: int, dtype: str) -> float:
    """Multiplications and additions a second of (fan_out, fan_in) @ (fan_in, rows) products."""
    stack = max(1, 64_000 // (max(fan_in, fan_out) * _ROWS))
    rng = np.random.default_rng(0)
    arrays = [
        (
            rng.normal(size=(stack, fan_out, fan_in)).astype(dtype),
            rng.normal(size=(stack, fan_in, _ROWS)).astype(dtype),
            np.empty((stack, fan_out, _ROWS), dtype),
        )
        for _ in range(_CREW.size)
    ]
    repeats = max(1, int(2e6 / (stack * fan_in * fan_out * _ROWS)))

    def task(worker: int) -> None:
        W, A, out = arrays[worker]
        for _ in range(repeats):
            np.matmul(W, A, out=out)

    return _rate(2.0 * repeats * stack * fan_in * fan_out * _ROWS, task)


@cache
def tanh_rate(dtype: str) -> float:
    """Elements of tanh a second, by the fastest way there is with NumPy."""
    ways = [Detour(1.0, lambda z, out: [(np.tanh, (z, out))])]
    if ("tanh", dtype) in DETOURS:
        ways.append(DETOURS["tanh", dtype])
    return max(_way_rate(way, dtype) for way in ways)


def _way_rate(way: Detour, dtype: str) -> float:
    fresh = np.random.default_rng(0).normal(size=64_000).astype(dtype)
    calls = []
    for _ in range(_CREW.size):
        z, *others = (fresh.copy() for _ in range(2 + way.scratch))
        # Those with scratch overwrite z; to fill it again takes as long as one of the cheapest.
        refill = [(np.copyto, (z, fresh))] if way.scratch else []
        calls.append([*refill, *way.calls(z, *others)])

    def task(worker: int) -> None:
        for _ in range(4):
            for call, arguments in calls[worker]:
                call(*arguments)

    return _rate(4 * 64_000.0, task)


def forward_seconds(shape: Shape, dtype: str) -> float:
    """One forward pass of every row for one particle: products and activations."""
    hidden = sum(shape.sizes[1:-1])
    return shape.rows * (_products(shape, dtype, first=0, bias=1) + hidden / tanh_rate(dtype))


def derivative_seconds(shape: Shape, dtype: str) -> float:
    """The tangents (one partial a row) or pullbacks (all partials) of one particle: products alone."""
    if shape.kind == "values":
        return 0.0
    if shape.kind == "single":
        # The first layer's tangent is a row of its weights.
        return (shape.rows / 2) * _products(shape, dtype, first=1, bias=0)
    return shape.rows * shape.sizes[-1] * _products(shape, dtype, first=0, bias=0)


def _products(shape: Shape, dtype: str, first: int, bias: int) -> float:
    """Seconds of all layers' products for one row and one particle."""
    pairs = list(zip(shape.sizes[:-1], shape.sizes[1:], strict=True))[first:]
    return sum(2.0 * (a + bias) * b / product_rate(a + bias, b, dtype) for a, b in pairs)


def loss_seconds(shape: Shape, dtype: str) -> float:
    """A swarm's loss."""
    return shape.particles * (forward_seconds(shape, dtype) + derivative_seconds(shape, dtype))


def gradient_seconds(shape: Shape, dtype: str) -> float:
    """A gradient: each product of the passes forward, and two more of its size backward."""
    activations = shape.rows * sum(shape.sizes[1:-1]) / tanh_rate(dtype)
    passes = forward_seconds(shape, dtype) - activations
    tangents = derivative_seconds(shape, dtype)
    if shape.kind == "full":  # a pullback, then a tangent along the residuals and its backward pass
        return activations + 3 * passes + 4 * tangents
    return activations + 3 * passes + 3 * tangents
