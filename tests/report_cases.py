"""Models, data and comparisons for the tests of reports: made by hand, so that nothing has to be trained."""

from typing import Any

import numpy as np
import pandas as pd

from swarmnet.comparison import Comparison
from swarmnet.data.mixed_data import MixedData
from swarmnet.model.error_bars import OtherFit
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling

HOSTILE = {
    "inputs": ("<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>"),
    "outputs": ("\"quoted\" & 'both' {{ 7*7 }}", "SUM(A1) <!-- ]]>"),
}


def model_of(
    activation: str = "tanh",
    seed: int = 0,
    last: str = "linear",
    inputs: tuple[str, ...] = ("T", "p"),
    outputs: tuple[str, ...] = ("h", "v"),
    hidden: tuple[int, ...] = (5, 4),
    bars: bool = True,
    trend: Trend | None = None,
) -> FittedModel:
    """Random weights, scales of different sizes, and error bars."""
    rng = np.random.default_rng(seed)
    d, k = len(inputs), len(outputs)
    net = Network((d, *hidden, k), [activation] * len(hidden) + [last], trend)
    scaling = Scaling(
        rng.normal(0, 3, d),
        10.0 ** np.arange(1, d + 1),
        rng.normal(0, 100, k),
        10.0 ** np.arange(3, 3 - k, -1),
    )
    theta = net.init(rng)
    ranges = {name: [-(10.0 ** (j + 1)), 3 * 10.0 ** (j + 1)] for j, name in enumerate(inputs)}
    training = {
        "swarmnet": "0.1.0",
        "trainer": "hybrid",
        "settings": {"seconds": 2, "swarm": {"particles": 30}},
        "seed": 0,
        "rows": 30,
        "values": 20,
        "derivatives": 40,
        "input_ranges": ranges,
        "loss": 1.5e-5,
        "seconds": 2.0,
    }
    history = pd.DataFrame(
        {
            "iteration": np.arange(1, 30),
            "evaluations": 10 * np.arange(1, 30),
            "seconds": np.linspace(0.1, 2, 29),
            "loss": np.geomspace(1, 1e-5, 29),
            "validation_loss": np.nan,
        }
    )
    more: dict[str, Any] = {}
    if bars:
        packed = 0.05 * rng.normal(size=net.size * (net.size + 1) // 2)
        near = OtherFit(net, theta + 0.1 * rng.normal(size=net.size), 0.7)
        wider = Network((net.d, 3, net.k))
        more = {"spread": packed, "others": (near, OtherFit(wider, wider.init(rng), 0.2))}
    return FittedModel(net, theta, scaling, inputs, outputs, training, history, **more)


def data_of(model: FittedModel, n: int = 30, seed: int = 0) -> MixedData:
    """What the model says with noise, in its ranges; every third value and partial is missing."""
    rng = np.random.default_rng(seed)
    low, high = np.array([model.training["input_ranges"][name] for name in model.inputs]).T
    X = rng.uniform(low, high, (n, len(model.inputs)))
    Y = model.predict(X) * rng.normal(1, 0.01, (n, len(model.outputs)))
    J = model.jacobian(X) * rng.normal(1, 0.01, (n, len(model.outputs), len(model.inputs)))
    Y[rng.random(Y.shape) < 1 / 3] = np.nan
    J[rng.random(J.shape) < 1 / 3] = np.nan
    return MixedData(X, Y, J, inputs=model.inputs, outputs=model.outputs)


def comparison_of(models: dict[str, FittedModel], data: MixedData) -> Comparison:
    """A comparison of one run for each model."""
    rows = [
        {
            "trainer": name,
            "repeat": 0,
            f"rmse({model.outputs[0]})": 1.0 + n,
            "loss": 1e-5 * (n + 1),
            "seconds": 2.0,
        }
        for n, (name, model) in enumerate(models.items())
    ]
    runs = pd.DataFrame(rows)
    table = runs.drop(columns="repeat").set_index("trainer")
    table = pd.DataFrame({f"{c}{q}": table[c] for c in table for q in ("", " q1", " q3")})
    curves = [
        model.history.assign(trainer=name, repeat=0, best_loss=model.history["loss"].cummin())
        for name, model in models.items()
    ]
    kept = {(name, 0): model for name, model in models.items()}
    return Comparison(table, pd.concat(curves, ignore_index=True), runs, kept, data, data)
