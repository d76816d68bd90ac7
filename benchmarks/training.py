"""Whole trainings: seconds to a given test error, and seconds an epoch, against JENN, torch and scikit-learn.

    pip install ".[bench]"
    python -m benchmarks.training         (minutes)

The problem is Rastrigin's function on [-1, 1.5]^2: 100 points with value and both partials, net 2-24-24-1,
tested on a 30 x 30 grid. The test error is the RMSE of the values over their standard deviation. Everybody
starts from five seeds; the medians count.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import jenn
import numpy as np
import torch
from sklearn.neural_network import MLPRegressor

from benchmarks.accuracy_problems import draw_rastrigin
from benchmarks.problems import Shape
from benchmarks.speed import milliseconds
from swarmnet import MixedData, Objective, fit

SEEDS = range(5)
SECONDS = 4.0
TARGETS = (0.3, 0.1, 0.03, 0.01)
Curve = list[tuple[float, float]]  # seconds, test error


def error_of(predicted: np.ndarray, test: MixedData) -> float:
    return float(np.sqrt(np.mean((predicted.reshape(-1, 1) - test.Y) ** 2)) / test.Y.std())


def swarmnet_curve(trainer: str, seed: int) -> Curve:
    train, test = draw_rastrigin(seed)
    model = fit(
        train,
        hidden=(24, 24),
        trainer=trainer,
        seed=seed,
        seconds=SECONDS,
        validation=test.values_only(),
    )
    history = model.history
    scale = train.Y.std() / test.Y.std()
    errors = np.sqrt(history["validation_loss"]) * scale
    return list(zip(history["seconds"], errors, strict=True))


def jenn_curve(seed: int) -> Curve:
    """JENN reports nothing on the way: one run for each number of iterations."""
    train, test = draw_rastrigin(seed)
    curve: Curve = []
    for iterations in (300, 1000, 3000, 10_000):
        net = jenn.NeuralNet([2, 24, 24, 1], "tanh", "linear")
        start = time.perf_counter()
        net.fit(
            train.X.T,
            train.Y.T,
            train.J.transpose(1, 2, 0),
            is_normalize=True,
            max_iter=iterations,
            random_state=seed,
        )
        curve.append((time.perf_counter() - start, error_of(net.predict(test.X.T).T, test)))
    return curve


def torch_curve(optimiser: str, seed: int) -> Curve:
    """Double backpropagation through a module, as its users write it; scaled and balanced like swarmnet."""
    torch.manual_seed(seed)
    train, test = draw_rastrigin(seed)
    x_mean, x_std, y_mean, y_std = train.X.mean(0), train.X.std(0), train.Y.mean(), train.Y.std()
    J = train.J[:, 0] * x_std / y_std
    tensors = [(train.X - x_mean) / x_std, (train.Y - y_mean) / y_std, J, np.sqrt((J**2).mean(0))]
    X, Y, slopes, rms = (torch.tensor(a, dtype=torch.float64) for a in tensors)
    X.requires_grad_(True)
    tests = torch.tensor((test.X - x_mean) / x_std)
    layers = [torch.nn.Linear(2, 24), torch.nn.Tanh(), torch.nn.Linear(24, 24), torch.nn.Tanh()]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(24, 1)).double()

    def loss() -> torch.Tensor:
        y = net(X)
        J = torch.autograd.grad(y.sum(), X, create_graph=True)[0]
        return ((y - Y) ** 2).mean() + (((J - slopes) / rms) ** 2).mean()

    curve: Curve = []
    spent = 0.0
    for step in torch_steps(optimiser, net, loss):
        start = time.perf_counter()
        step()
        spent += time.perf_counter() - start
        with torch.no_grad():
            curve.append((spent, error_of(net(tests).numpy() * y_std + y_mean, test)))
        if spent > SECONDS:
            return curve
    return curve


def torch_steps(
    optimiser: str, net: torch.nn.Module, loss: Callable[[], torch.Tensor]
) -> Iterator[Callable[[], object]]:
    if optimiser == "adam":
        adam = torch.optim.Adam(net.parameters(), lr=0.01)
    else:
        adam = torch.optim.LBFGS(net.parameters(), max_iter=20, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        adam.zero_grad()
        value = loss()
        value.backward()
        return value

    for _ in count():
        yield lambda: adam.step(closure)


def mlp_curve(seed: int) -> Curve:
    """scikit-learn knows no derivatives: values alone."""
    train, test = draw_rastrigin(seed)
    x_mean, x_std, y_mean, y_std = train.X.mean(0), train.X.std(0), train.Y.mean(), train.Y.std()
    net = MLPRegressor(
        hidden_layer_sizes=(24, 24), activation="tanh", solver="lbfgs", max_iter=10_000, random_state=seed
    )
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.fit((train.X - x_mean) / x_std, ((train.Y - y_mean) / y_std).ravel())
    spent = time.perf_counter() - start
    predicted = net.predict((test.X - x_mean) / x_std) * y_std + y_mean
    return [(spent, error_of(predicted, test))]


def reached(curve: Curve, target: float) -> float:
    return next((seconds for seconds, error in curve if error <= target), np.inf)


def trainings() -> None:
    print("Rastrigin: seconds until the test error is at most ... (medians of five seeds; - : never)")
    print(" " * 24 + "".join(f"{target:>9}" for target in TARGETS) + "  lowest error")
    methods: dict[str, Callable[[int], Curve]] = {
        "swarmnet hybrid": lambda seed: swarmnet_curve("hybrid", seed),
        "swarmnet lbfgs": lambda seed: swarmnet_curve("lbfgs", seed),
        "swarmnet adam": lambda seed: swarmnet_curve("adam", seed),
        "JENN": jenn_curve,
        "torch Adam": lambda seed: torch_curve("adam", seed),
        "torch L-BFGS": lambda seed: torch_curve("lbfgs", seed),
        "MLPRegressor": mlp_curve,
    }
    for name, curve_of in methods.items():
        curves = [curve_of(seed) for seed in SEEDS]
        taken = [np.median([reached(curve, target) for curve in curves]) for target in TARGETS]
        cells = "".join(f"{seconds:9.2f}" if np.isfinite(seconds) else f"{'-':>9}" for seconds in taken)
        lowest = np.median([min(error for _, error in curve) for curve in curves])
        print(f"  {name:22s}{cells}{lowest:12.4f}", flush=True)


def epochs() -> None:
    print("\nMilliseconds an epoch over full-Jacobian data, one full-batch step")
    for label, shape in (
        ("Rastrigin's shape", Shape((2, 24, 24, 1), 100, "full", 1)),
        ("the airfoil's shape", Shape((16, 16, 12, 12, 1), 33_631, "full", 1)),
    ):
        data = shape.data()
        objective, theta = Objective(shape.net(), data), shape.swarm()[0]
        ours = milliseconds(partial(objective.loss_and_gradient, theta))
        theirs = jenn_epoch(shape, data)
        print(f"  {label:22s}swarmnet {ours:8.2f}   JENN {theirs:8.2f}   {theirs / ours:5.1f} times")


def jenn_epoch(shape: Shape, data: MixedData) -> float:
    """The difference between a run of few iterations and a run of more."""
    few, more = (10, 210) if shape.rows < 1000 else (1, 6)
    taken = []
    for iterations in (few, more):
        times = []
        for _ in range(3):
            net = jenn.NeuralNet(list(shape.sizes), "tanh", "linear")
            start = time.perf_counter()
            net.fit(data.X.T, data.Y.T, data.J.transpose(1, 2, 0), max_iter=iterations, random_state=0)
            times.append(time.perf_counter() - start)
        taken.append(np.median(times))
    return 1e3 * float(taken[1] - taken[0]) / (more - few)


if __name__ == "__main__":
    epochs()
    trainings()
