"""Seconds of default fits against version 0.1, of an epoch against JENN and torch, and to a given test error.

    pip install ".[bench]"
    python -m benchmarks.training         (half an hour or so; most of it is version 0.1's)

Fits: the same data and seed, each in a new process, in turns; the import and reading the data are left out,
and what swarmnet compiles is in its cache. Version 0.1 is installed from its commit into a temporary
environment, unless --old names a Python that has it. The water data have 200 rows of one entry; the others
are drawn from a smooth function of 4 inputs, one entry a row, a fifth of them values, with 1 % noise.

Epochs: one full-batch step over values and all partials.

Test errors: Rastrigin's function on [-1, 1.5]^2, 100 points with value and both partials, net 2-24-24-1,
tested on a 30 x 30 grid. The test error is the RMSE of the values over their standard deviation. Everybody
starts from five seeds; the medians count.
"""

import argparse
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import jenn
import numpy as np
import torch
from sklearn.neural_network import MLPRegressor

from benchmarks import peers, processor
from benchmarks.accuracy_problems import DATASETS, draw_rastrigin
from benchmarks.earlier import ROOT, version_0_1
from benchmarks.noise import rms, thinned
from benchmarks.problems import Shape
from benchmarks.timing import geometric_mean, medians
from swarmnet import MixedData, Objective, fit

SEEDS = range(5)
SECONDS = 4.0
TARGETS = (0.3, 0.1, 0.03, 0.01)
Curve = list[tuple[float, float]]  # seconds, test error

_FIT = """
import sys, time, warnings
import swarmnet
data = swarmnet.read_csv(sys.argv[1])
warnings.simplefilter("ignore")
start = time.perf_counter()
swarmnet.fit(data, seed=int(sys.argv[2]))
print(time.perf_counter() - start, swarmnet.__file__)
"""


def smooth_rows(rows: int) -> MixedData:
    """One entry a row of a function of 4 inputs, with noise."""
    rng = np.random.default_rng(rows)
    X = rng.uniform(-1, 1, (rows, 4))
    a, b, c, d = X.T
    bell, wave, slope = np.exp(-(c**2)), np.sin(a + 2 * b), np.cos(a + 2 * b)
    partials = slope * bell, 2 * slope * bell, d - 2 * c * wave * bell, c + d**2
    exact = thinned(MixedData(X, wave * bell + c * d + d**3 / 3, np.stack(partials, 1)), rows // 5)
    Y, J = (each + rng.normal(size=each.shape) * 0.01 * rms(each) for each in (exact.Y, exact.J))
    return MixedData(X, Y, J)


def fit_seconds(python: str, folder: Path, path: Path, seed: int) -> float:
    """A default fit in a new process, by the package of a folder or, elsewhere, the one installed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, "-c", _FIT, str(path), str(seed)]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, package = done.stdout.split(maxsplit=1)
    if Path(package.strip()).is_relative_to(ROOT) != (folder == ROOT):
        sys.exit(f"{python} has swarmnet from {package.strip()}: --old needs a Python with version 0.1")
    return float(seconds)


def fits(old: str, seeds: int) -> None:
    print(f"Default fits, medians of {seeds} seeds\n{'':36s}{'0.1':>10}{'now':>10}{'ratio':>8}", flush=True)
    with TemporaryDirectory() as folder:
        paths = {"water_enthalpy": DATASETS / "water_enthalpy.csv"}
        for rows in (1_000, 10_000):
            path = paths[f"{rows:,} one-entry rows, 4 inputs"] = Path(folder, f"{rows}.csv")
            smooth_rows(rows).to_frame().to_csv(path, index=False)
        both = partial(fit_seconds, old, Path(folder)), partial(fit_seconds, sys.executable, ROOT)
        ratios = []
        for name, path in paths.items():
            both[1](path, 0)  # compiles what is not in the cache
            taken = np.array([[seconds(path, seed) for seconds in both] for seed in range(seeds)])
            ratios.append(float(np.median(taken[:, 0] / taken[:, 1])))
            before, now = np.median(taken, axis=0)
            print(f"  {name:34s}{before:10.2f}{now:10.2f}{ratios[-1]:8.2f}", flush=True)
    print(f"  {'geometric mean':54s}{geometric_mean(ratios):8.2f}", flush=True)


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
    print("\nRastrigin: seconds until the test error is at most ... (medians of five seeds; - : never)")
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
    print("\nMilliseconds an epoch over full-Jacobian data, and how many times as many JENN and torch take")
    for label, shape in (
        ("Rastrigin's shape", Shape((2, 24, 24, 1), 100, "full", 1)),
        ("the airfoil's shape", Shape((16, 16, 12, 12, 1), 33_631, "full", 1)),
    ):
        data = shape.data()
        objective, theta = Objective(shape.net(), data), shape.swarm()[0]
        taken = medians(
            {
                "ours": partial(objective.loss_and_gradient, theta),
                "torch": peers.Torch(shape, data, "float64").gradient(theta),
            }
        )
        ours, jenns, torchs = taken["ours"], jenn_epoch(shape, data), taken["torch"]
        print(f"  {label:22s}{ours:8.2f}   JENN {jenns / ours:6.2f}   torch {torchs / ours:6.2f}", flush=True)


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--old", metavar="PYTHON", help="one that has version 0.1, instead of installing it")
    parser.add_argument("--seeds", type=int, default=5, help="of the default fits")
    given = parser.parse_args()
    print(processor.description())
    with nullcontext(given.old) if given.old else version_0_1() as old:
        fits(old, given.seeds)
    epochs()
    trainings()


if __name__ == "__main__":
    main()
