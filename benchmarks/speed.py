"""Speed of every sum against naive NumPy, JAX, torch.func and the processor's own limit; and how it scales.

    pip install ".[bench]"
    python -m benchmarks.speed            (minutes)

Times are medians within this one run; ratios above 1 mean that swarmnet is faster (for the roofline: how many
times longer than the limit). JAX is jit of vmap and of lax.map, compiled beforehand; the faster one counts.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from benchmarks import peers, roofline
from benchmarks.problems import SHAPES, Shape, peak_megabytes
from swarmnet import Objective
from swarmnet.threads import available_cores, one_blas_thread
from swarmnet.trainers import PSO, run

DTYPES = ("float64", "float32")
_PAUSE = 0.1  # seconds


def milliseconds(work: Callable[[], Any], budget: float = 0.5) -> float:
    """The median time of a call, after a call that warms it up.

    Threads of BLAS, OpenMP and the like spin for some milliseconds after their last task, on a core that
    whoever is measured next would miss: a pause lets them go to sleep.
    """
    work()
    time.sleep(_PAUSE)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < budget:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def mean_ratio(ratios: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(ratios)))))


def swarm_losses() -> None:
    print("\nSwarm loss\n" + " " * 53 + "ms   /roofline   JAX   torch   NumPy")
    for dtype in DTYPES:
        table = []
        for shape in SHAPES:
            data, swarm, net = shape.data(), shape.swarm(), shape.net()
            ours = Objective(net, data, dtype=dtype)
            jax = peers.Jax(shape, data, dtype).loss(swarm)
            torch = peers.Torch(shape, data, dtype).loss(swarm)
            few = swarm[: max(1, 2_000 // shape.rows)]
            taken = milliseconds(partial(ours.loss, swarm))
            ratios = [
                taken / (1e3 * roofline.loss_seconds(shape, dtype)),
                min(milliseconds(work) for work in jax.values()) / taken,
                milliseconds(torch) / taken,
                milliseconds(peers.naive_loss(net, data, few)) * len(swarm) / len(few) / taken,
            ]
            table.append(ratios)
            print_row(shape, dtype, taken, ratios)
        print_means(dtype, table)


def gradients() -> None:
    print("\nGradient, full batch\n" + " " * 53 + "ms   /roofline   JAX   torch")
    for dtype in DTYPES:
        table = []
        for shape in SHAPES:
            data, theta = shape.data(), shape.swarm()[0]
            ours = Objective(shape.net(), data, dtype=dtype)
            jax, torch = peers.Jax(shape, data, dtype), peers.Torch(shape, data, dtype)
            taken = milliseconds(partial(ours.loss_and_gradient, theta))
            ratios = [
                taken / (1e3 * roofline.gradient_seconds(shape, dtype)),
                milliseconds(jax.gradient(theta)) / taken,
                milliseconds(torch.gradient(theta)) / taken,
            ]
            table.append(ratios)
            print_row(shape, dtype, taken, ratios)
        print_means(dtype, table)


def projections() -> None:
    print("\nProjected swarm loss\n" + " " * 53 + "ms   /plain loss   JAX")
    for dtype in DTYPES:
        table = []
        for shape in SHAPES:
            data, swarm = shape.data(), shape.swarm()
            ours = Objective(shape.net(), data, dtype=dtype)
            hidden = swarm[:, : ours.hidden_size]
            taken = milliseconds(partial(ours.projected, hidden))
            jax = peers.Jax(shape, data, dtype).projected(swarm)
            ratios = [
                taken / milliseconds(partial(ours.loss, swarm)),
                min(milliseconds(work) for work in jax.values()) / taken,
            ]
            table.append(ratios)
            print_row(shape, dtype, taken, ratios)
        print_means(dtype, table)


def normal_equations() -> None:
    from scipy.linalg.blas import dsyrk  # noqa: PLC0415

    print("\nNormal equations (J'J, J'r)\n" + " " * 53 + "ms   /its product alone   JAX")
    table = []
    for shape in SHAPES:
        data, theta, p = shape.data(), shape.swarm()[0], shape.net().size
        if p * data.n_entries > 3e7:  # JAX keeps all of J
            continue
        ours = Objective(shape.net(), data)
        taken = milliseconds(partial(ours.normal_equations, theta))
        rows = np.random.default_rng(0).normal(size=(256, p))
        out = np.zeros((p, p), order="F")
        with one_blas_thread():
            product = milliseconds(partial(dsyrk, 1.0, rows.T, beta=1.0, c=out, overwrite_c=1))
        product *= data.n_entries / len(rows) / available_cores()
        jax = milliseconds(peers.Jax(shape, data, "float64").normal_equations(theta))
        table.append([taken / product, jax / taken])
        print_row(shape, "float64", taken, table[-1])
    print_means("float64", table)


def full_jacobians() -> None:
    """What values with all 16 partials of one output cost, in times of values alone."""
    print("\nFull-Jacobian data with 16 inputs and one output, against its values alone, float64")
    for rows in (1_000, 10_000, 100_000):
        costs = []
        for kind in ("full", "values"):
            shape = Shape((16, 32, 32, 1), rows, kind, 10)
            objective, swarm = Objective(shape.net(), shape.data()), shape.swarm()
            work = partial(objective.loss, swarm), partial(objective.loss_and_gradient, swarm[0])
            costs.append([milliseconds(each) for each in work])
        loss, gradient = np.divide(*costs)
        print(f"  {rows:>9,d} rows: swarm loss {loss:.2f}, gradient {gradient:.2f}")


class Watched(Objective):
    """Counts the seconds spent in swarm losses."""

    seconds = 0.0

    def loss(self, swarm: ArrayLike) -> np.ndarray:
        start = time.perf_counter()
        losses = super().loss(swarm)
        self.seconds += time.perf_counter() - start
        return losses


def swarm_update() -> None:
    """The share of an iteration that moving the swarm takes, beside its losses."""
    shape = Shape((8, 28, 25, 1), 1_000, "single", 50)
    objective = Watched(shape.net(), shape.data())
    trainer = PSO(iterations=100, particles=shape.particles)
    trainer.prepare()
    start = time.perf_counter()
    run(trainer, objective, np.random.default_rng(0))
    taken = time.perf_counter() - start
    share = 1.0 - objective.seconds / taken
    print(f"\nPSO update, {shape.net().size:,} weights, 1,000 rows: {share:.1%} of an iteration")


def print_row(shape: Shape, dtype: str, taken: float, ratios: list[float]) -> None:
    print(f"{shape!s} {dtype:8s}{taken:10.2f}" + "".join(f"{r:9.2f}" for r in ratios))


def print_means(dtype: str, table: list[list[float]]) -> None:
    means = "".join(f"{mean_ratio(column):9.2f}" for column in zip(*table, strict=True))
    print(f"{'geometric mean':42s}{dtype:8s}{'':10s}{means}")


def fitted_exponent(sizes: list[int], times: list[float]) -> float:
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def scaling() -> None:
    print("\nScaling of the swarm loss, 4-32-32-1, half values, half single partials, float64")
    rows = [1_000, 10_000, 100_000, 1_000_000]
    particles = [10, 32, 100, 320, 1_000]
    widths = [8, 16, 32, 64, 128]
    report("rows (10 particles)", rows, [loss_of(Shape((4, 32, 32, 1), n, "single", 10)) for n in rows])
    report(
        "particles (1,000 rows)",
        particles,
        [loss_of(Shape((4, 32, 32, 1), 1_000, "single", s)) for s in particles],
    )
    report(
        "width (1,000 rows, 20)", widths, [loss_of(Shape((4, w, w, 1), 1_000, "single", 20)) for w in widths]
    )
    for n, s in ((1_000, 100), (10_000, 100), (100_000, 10)):
        shape = Shape((4, 32, 32, 1), n, "single", s)
        one, two = loss_of(shape, 1), loss_of(shape, 2)
        print(f"  two threads against one, {n:,} rows x {s}: {one / two:.2f} times")
    code = "from benchmarks.speed import peak; peak()"
    print(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout,
        end="",
    )


def peak() -> None:
    """Print the memory that 100 particles on 1,000,000 rows take beyond their data."""
    shape = Shape((4, 32, 32, 1), 1_000_000, "single", 100)
    data = shape.data()
    before = peak_megabytes()
    own = sum(a.nbytes for a in (data.X, data.Y, data.J)) / 1e6
    objective = Objective(shape.net(), data)
    objective.loss(shape.swarm())
    print(
        f"  100 particles x 1,000,000 rows: peak {peak_megabytes():.0f} MB, {before:.0f} MB of it before "
        f"(data {own:.0f} MB)"
    )


def loss_of(shape: Shape, threads: int | None = None) -> float:
    objective = Objective(shape.net(), shape.data(), threads=threads)
    swarm = shape.swarm()
    return milliseconds(partial(objective.loss, swarm))


def report(label: str, sizes: list[int], times: list[float]) -> None:
    cells = "  ".join(f"{size:,}: {taken:.1f} ms" for size, taken in zip(sizes, times, strict=True))
    print(f"  {label}: exponent {fitted_exponent(sizes, times):.2f}   {cells}")


if __name__ == "__main__":
    print(f"{available_cores()} cores, NumPy {np.__version__}")
    swarm_losses()
    gradients()
    projections()
    normal_equations()
    full_jacobians()
    swarm_update()
    scaling()
