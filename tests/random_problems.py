"""Random problems of any shape for property tests, from a seed that hypothesis draws."""

import os
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from swarmnet import MixedData
from swarmnet.network.activations import TABLE
from swarmnet.trainers import SGD, TRAINERS, Trainer, configured

NAN = np.nan
SMOOTH = [name for name, record in TABLE.items() if record.smooth and name != "linear"]
EVERY_TRAINER = [*TRAINERS, SGD(batch_size=3, learning_rate=0.02)]
NAMES = (["T", "p", "rho", "x10", "x2"], ["h", "cp", "y1", "a_long_name"])

# SWARMNET_EXAMPLES=100 for a hundred times as many examples, other ones each time
_TIMES = int(os.environ.get("SWARMNET_EXAMPLES", "1"))

seeds = st.integers(0, 2**32 - 1)


def examples(count: int) -> settings:
    """So many examples of a property in the usual run, the same ones each time."""
    return settings(max_examples=count * _TIMES, derandomize=_TIMES == 1, deadline=None)


def short(trainer: str | Trainer, iterations: int = 8) -> Trainer:
    """The trainer with few iterations, and few particles if it has any."""
    return configured(trainer, iterations, particles=6 if trainer in ("pso", "projected") else None)


def random_data(rng: np.random.Generator) -> MixedData:
    """Up to 3 inputs and 2 outputs with names in no order, values, partials or both, at few rows.

    Some rows are at one point, some have a weight, and no input and no output is constant.
    """
    n, d, k = int(rng.integers(6, 16)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    inputs, outputs = (list(rng.choice(names, m, False)) for names, m in zip(NAMES, (d, k), strict=True))
    X = rng.normal(size=(n, d)) * rng.uniform(0.3, 3.0, d) + rng.normal(size=d)
    X[-1] = X[0]
    Y, J = rng.normal(size=(n, k)), rng.normal(size=(n, k, d))
    Y[rng.random(Y.shape) < rng.choice([0.1, 0.5])] = NAN
    J[rng.random(J.shape) < rng.choice([0.3, 0.7, 1.0])] = NAN
    Y[1:3] = rng.normal(size=(2, k))
    found: list[Any] = [None, None]
    if rng.random() < 0.4:
        found = [np.where(rng.random(a.shape) < 0.5, rng.uniform(0.05, 1.0, a.shape), NAN) for a in (Y, J)]
    weights = rng.integers(1, 4, n) if rng.random() < 0.3 else None
    return MixedData(X, Y, J, *found, inputs, outputs, weights)


def random_network(rng: np.random.Generator) -> dict[str, Any]:
    """Hidden layers and their activation, as `fit` takes them."""
    hidden = tuple(int(h) for h in rng.integers(2, 6, rng.integers(1, 3)))
    return {"hidden": hidden, "activation": str(rng.choice(SMOOTH))}
