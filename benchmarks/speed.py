"""Speed of every sum over rows against JAX, and of error bars.

    pip install ".[bench]"
    python -m benchmarks.speed            (a quarter of an hour or so, twice that with AVX-512)

Times are medians within one run. The ratio is JAX's time over swarmnet's: above 1 swarmnet is faster. JAX
is compiled beforehand, by jit; of vmap and lax.map over particles, the faster one counts. Where the
processor has AVX-512, a second process measures everything again with AVX2 alone.
"""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks import peers, processor
from benchmarks.problems import SHAPES, Shape
from benchmarks.timing import Work, geometric_mean, medians
from swarmnet import Objective, fit, read_csv

Contest = tuple[Work, Mapping[str, Work]]  # ours, and JAX's ways

_SLOWER = 1 / 1.1
_MOST_NUMBERS = 3e7  # in the residuals' Jacobian, of which JAX keeps all
_WATER = Path(__file__).parents[1] / "datasets" / "water_enthalpy.csv"
_POINTS = 100_000


def swarm_loss(shape: Shape, dtype: str) -> Contest:
    data, swarm = shape.data(), shape.swarm()
    ours = Objective(shape.net(), data, dtype=dtype)
    return partial(ours.loss, swarm), peers.Jax(shape, data, dtype).loss(swarm)


def gradient(shape: Shape, dtype: str) -> Contest:
    data, theta = shape.data(), shape.swarm()[0]
    ours = Objective(shape.net(), data, dtype=dtype)
    return partial(ours.loss_and_gradient, theta), peers.Jax(shape, data, dtype).gradient(theta)


def projected(shape: Shape, dtype: str) -> Contest:
    data, swarm = shape.data(), shape.swarm()
    ours = Objective(shape.net(), data, dtype=dtype)
    hidden = swarm[:, : ours.hidden_size]
    return partial(ours.projected, hidden), peers.Jax(shape, data, dtype).projected(swarm)


def normal_equations(shape: Shape, dtype: str) -> Contest:
    data, theta = shape.data(), shape.swarm()[0]
    ours = Objective(shape.net(), data)
    return partial(ours.normal_equations, theta), peers.Jax(shape, data, dtype).normal_equations(theta)


def compare(
    title: str, contest: Callable[[Shape, str], Contest], shapes: Iterable[Shape], dtypes: Iterable[str]
) -> None:
    """Print a sum's milliseconds and ratios shape by shape, their geometric means, and the slower shapes."""
    print(f"\n{title}\n{'':42s}{'':8s}{'ms':>10s}{'JAX':>10s}{'ratio':>8s}")
    for dtype in dtypes:
        ratios = {}
        for shape in shapes:
            ours, theirs = contest(shape, dtype)
            taken = medians({"": ours, **theirs})
            own = taken.pop("")
            way = min(taken, key=taken.__getitem__)
            ratios[shape] = taken[way] / own
            print(
                f"{shape!s:42s}{dtype:8s}{own:10.3f}{taken[way]:10.3f}{ratios[shape]:8.2f}  {way}", flush=True
            )
        print(f"{'geometric mean':42s}{dtype:28s}{geometric_mean(ratios.values()):8.2f}")
        slower = [" ".join(str(shape).split()) for shape, ratio in ratios.items() if ratio < _SLOWER]
        print(f"slower than JAX by more than 10 %: {'; '.join(slower) or 'none'}", flush=True)


def few_numbers(shape: Shape) -> bool:
    return shape.net().size * shape.data().n_entries <= _MOST_NUMBERS


def error_bars() -> None:
    """Seconds of many values and partials with their deviations, by the model of a default fit."""
    data = read_csv(_WATER)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fit(data, seed=0)
    X = np.random.default_rng(0).uniform(data.X.min(0), data.X.max(0), (_POINTS, data.d))
    layers = "-".join(map(str, model.net.sizes))
    print(f"\n{_POINTS:,} points, by a default fit of {_WATER.stem} ({layers})")
    for label, answer in (("values", model.predict), ("Jacobians", model.jacobian)):
        taken = medians({"with": partial(answer, X, return_std=True), "without": partial(answer, X)})
        print(
            f"  {label:10s}" + ", ".join(f"{1e-3 * ms:.3f} s {how} error bars" for how, ms in taken.items())
        )


def measure() -> None:
    """All of it, in this process."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "numba", "jax"))
    print(f"{processor.description()}; {versions}")
    both = "float64", "float32"
    compare("Swarm loss", swarm_loss, SHAPES, both)
    compare("Gradient, full batch", gradient, SHAPES, both)
    compare("Projected swarm loss", projected, SHAPES, both)
    compare("Normal equations (J'J, J'r)", normal_equations, filter(few_numbers, SHAPES), ("float64",))
    error_bars()


def main() -> None:
    start = time.perf_counter()
    measure()
    if processor.has_avx512():
        print("\nThe same with AVX2 alone\n", flush=True)
        code = "from benchmarks.speed import measure; measure()"
        subprocess.run([sys.executable, "-c", code], env=processor.avx2_only(), check=True)
    print(f"\n{(time.perf_counter() - start) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
