"""The shapes that the speed benchmarks run on, and data for them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swarmnet import MixedData, Network


@dataclass(frozen=True)
class Shape:
    """A network, rows and what they hold, and a swarm.

    kind: "values"; "single", half the rows a value and half one partial; "full", values and all partials.
    """

    sizes: tuple[int, ...]
    rows: int
    kind: str
    particles: int

    def __str__(self) -> str:
        layers = "-".join(map(str, self.sizes))
        return f"{layers:18s}{self.rows:>9,d} {self.kind:7s}{self.particles:>6d}"

    def net(self) -> Network:
        return Network(self.sizes, "tanh")

    def data(self, seed: int = 0) -> MixedData:
        rng = np.random.default_rng(seed)
        n, d, k = self.rows, self.sizes[0], self.sizes[-1]
        X = rng.normal(size=(n, d))
        Y, J = rng.normal(size=(n, k)), np.full((n, k, d), np.nan)
        if self.kind == "full":
            J = rng.normal(size=(n, k, d))
        if self.kind == "single":
            half = np.arange(n // 2, n)
            Y[half] = np.nan
            J[half, half % k, rng.integers(d, size=len(half))] = rng.normal(size=len(half))
        return MixedData(X, Y, J)

    def swarm(self, seed: int = 1) -> np.ndarray:
        return self.net().init(np.random.default_rng(seed), self.particles)


SHAPES = (
    Shape((1, 8, 1), 100, "values", 100),
    Shape((2, 8, 8, 1), 200, "single", 1000),
    Shape((2, 24, 24, 1), 100, "full", 100),
    Shape((4, 32, 32, 1), 1_000, "single", 100),
    Shape((4, 32, 32, 4), 1_000, "full", 100),
    Shape((30, 128, 1), 1_000, "single", 100),
    Shape((3, 128, 128, 128, 1), 1_000, "values", 10),
    Shape((8, 64, 64, 1), 10_000, "single", 20),
    Shape((16, 16, 12, 12, 1), 10_000, "full", 20),
    Shape((10, 16, 16, 16, 4), 100_000, "single", 10),
    Shape((4, 16, 1), 1_000_000, "values", 10),
    Shape((4, 32, 32, 1), 100_000, "single", 10),
)


def peak_megabytes() -> float:
    """This process's own peak; ru_maxrss would start at that of the process which started it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1.024e-3
