"""How the sums grow with rows, particles, width, inputs and threads, and what moving the swarm costs.

    pip install ".[test]"
    python -m benchmarks.scaling          (minutes)

Exponents are those of the time: 1 is linear. Times are medians within one run.
"""

import subprocess
import sys
import time
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from benchmarks import processor
from benchmarks.problems import Shape, peak_megabytes
from benchmarks.timing import milliseconds
from swarmnet import Objective
from swarmnet.trainers import PSO, run


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
    code = "from benchmarks.scaling import peak; peak()"
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
    print(processor.description())
    full_jacobians()
    swarm_update()
    scaling()
