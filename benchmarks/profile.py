"""Where the time of each sum goes on a shape: products, activations, elementwise work, and Python itself.

    python -m benchmarks.profile                        (the fourth shape of benchmarks/problems.py)
    python -m benchmarks.profile 6 --dtype float32

On one thread, because a profiler sees nothing inside threads and little inside NumPy. Every NumPy call on
the passes' buffers is timed on its way through an array subclass. What is left of the sum's own time,
measured without that, is Python and calls on small arrays; many short calls seem longer for being timed.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import roofline
from benchmarks.problems import SHAPES, Shape
from benchmarks.speed import milliseconds
from swarmnet import Objective
from swarmnet.tapes import TapedPropagation
from swarmnet.threads import Crew

KINDS = {
    "products": ("matmul", "dot", "einsum", "vecdot", "vdot"),
    "activations": ("tanh", "exp", "exp2", "expm1", "log1p", "sin", "cos"),
}
_seconds: dict[str, float] = defaultdict(float)
_calls: dict[str, int] = defaultdict(int)


class Timed(np.ndarray):
    """An array whose NumPy calls are timed, by the function's name."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        if out:
            kwargs["out"] = tuple(map(_plain, out))
        return _timed(ufunc.__name__, getattr(ufunc, method), map(_plain, inputs), kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        kwargs = {name: _plain(value) for name, value in kwargs.items()}
        return _timed(func.__name__, func, map(_plain, args), kwargs)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Timed) else value


def _timed(name: str, call: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    plain = list(args)
    start = time.perf_counter()
    result = call(*plain, **kwargs)
    _seconds[name] += time.perf_counter() - start
    _calls[name] += 1
    return result.view(Timed) if isinstance(result, np.ndarray) else result


def profile(label: str, work: Callable[[], Any], passes: TapedPropagation, limit: float | None) -> None:
    """Print where one call of `work` spends its time; `limit` is the roofline's, in seconds."""
    taken = milliseconds(work)
    plain = passes.buffer
    passes.forget()
    passes.buffer = lambda name, shape: plain(name, shape).view(Timed)  # type: ignore[method-assign]
    work()
    _seconds.clear()
    _calls.clear()
    repeats = max(3, int(300 / taken))
    for _ in range(repeats):
        work()
    del passes.buffer  # type: ignore[attr-defined]
    passes.forget()
    print(
        f"\n{label}: {taken:.3f} ms on one thread"
        + (f", {1e-3 * taken / limit:.2f} rooflines" if limit else "")
    )
    left = taken
    for kind in (*KINDS, "elementwise"):
        names = [name for name in _seconds if _kind(name) == kind]
        names.sort(key=_seconds.__getitem__, reverse=True)
        each = {name: 1e3 * _seconds[name] / repeats for name in names}
        left -= sum(each.values())
        cells = "  ".join(f"{name} {ms:.3f} ({_calls[name] // repeats})" for name, ms in each.items())
        print(f"  {kind:12s}{sum(each.values()):9.3f} ms {sum(each.values()) / taken:5.0%}   {cells}")
    print(f"  {'the rest':12s}{left:9.3f} ms {left / taken:5.0%}")


def _kind(name: str) -> str:
    return next((kind for kind, names in KINDS.items() if name in names), "elementwise")


def profile_shape(shape: Shape, dtype: str) -> None:
    objective = Objective(shape.net(), shape.data(), dtype=dtype, threads=1)
    swarm, passes = shape.swarm(), objective._rows._passes[0]
    cores, roofline._CREW = roofline._CREW.size, Crew(1)
    print(f"{shape} {dtype}, on one of {cores} cores")
    profile("loss", partial(objective.loss, swarm), passes, roofline.loss_seconds(shape, dtype))
    profile(
        "loss_and_gradient",
        partial(objective.loss_and_gradient, swarm[0]),
        passes,
        roofline.gradient_seconds(shape, dtype),
    )
    profile("projected", partial(objective.projected, swarm[:, : objective.hidden_size]), passes, None)
    if shape.net().size < 5_000:
        profile("normal_equations", partial(objective.normal_equations, swarm[0]), passes, None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shape", type=int, nargs="?", default=4, help=f"1 to {len(SHAPES)}")
    parser.add_argument("--dtype", default="float64")
    options = parser.parse_args()
    profile_shape(SHAPES[options.shape - 1], options.dtype)
