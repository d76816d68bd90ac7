"""Every sum of small objectives, for a process that takes them in another way: python kernel_sums.py FILE."""

import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from swarmnet import MixedData, Network, Objective
from swarmnet.model import error_bars
from swarmnet.network.activations import TABLE

Array = np.ndarray[Any, Any]
DTYPES = "float64", "float32"


def data_of(rng: np.random.Generator, d: int, k: int, density: float) -> MixedData:
    X, Y, J = rng.normal(size=(9, d)), rng.uniform(size=(9, k)), rng.normal(size=(9, k, d))
    J[rng.random(J.shape) >= density] = np.nan
    Y[3:5] = np.nan
    return MixedData(X, Y, J, rng.uniform(0.5, 2.0, Y.shape), weights=np.arange(9.0))


def sums(objective: Objective, swarm: Array) -> Iterator[Array]:
    yield objective.loss(swarm)
    yield objective.loss_and_gradient(swarm[0])[1]
    yield objective.loss_and_gradient(swarm[0], np.array([1, 5, 5, 8]))[1]
    if not objective.can_linearise:
        return
    yield from objective.normal_equations(swarm[0])[1:]
    yield objective.group_squares(swarm[0])
    yield from objective.residual_jacobian(swarm[0])[:2]
    if objective.can_project:
        yield objective.projected(swarm[:, : objective.hidden_size], 1e-3)[0]


def all_sums() -> dict[str, Array]:
    """Those of every activation and of rows of every kind, and error bars by compiled kernels."""
    every = {f"{dtype} {n}": a for dtype in DTYPES for n, a in enumerate(sums_of_kinds(dtype))}
    rng, net = np.random.default_rng(0), Network((2, 3, 2))
    root = error_bars.pack(np.tril(rng.normal(size=(net.size, net.size))))
    of = net, net.init(rng), root, rng.normal(size=(5, 2)), error_bars.GradientWork(compiled_from=0)
    every["float64 values"], every["float64 partials"] = (
        deviations(*of) for deviations in (error_bars.value_deviations, error_bars.jacobian_deviations)
    )
    return every


def sums_of_kinds(dtype: str) -> Iterator[Array]:
    rng = np.random.default_rng(0)
    for name in TABLE:
        net = Network((2, 3, 2), name)
        objective = Objective(net, data_of(rng, 2, 2, 0.4), dtype=dtype, l2=0.01, threads=1)
        yield from sums(objective, net.init(rng, 2))
    for sizes, density in (((3, 1), 0.3), ((3, 4, 1), 1.0), ((1, 3, 3, 2), 1.0), ((4, 3, 2, 2), 1.0)):
        net = Network(sizes)
        objective = Objective(net, data_of(rng, net.d, net.k, density), dtype=dtype, threads=1)
        yield from sums(objective, net.init(rng, 2))
    net = Network((2, 3, 2), ("tanh", "sigmoid"))
    objective = Objective(net, data_of(rng, 2, 2, 1.0), loss="cross-entropy", dtype=dtype, threads=1)
    yield from sums(objective, net.init(rng, 2))


if __name__ == "__main__":
    warnings.simplefilter("error")
    np.savez(sys.argv[1], **all_sums())
