"""One small adapter a tool: fit on MixedData, then predict (n, k) and jacobian (n, k, d).

Every tool has its own defaults, or what its documentation uses where the default is not meant for the
problem; a comment says where the settings come from. Tools that have a network get the one swarmnet has.
Threads are left as each tool sets them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

import jenn
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neural_network import MLPRegressor
from smt.design_space import DesignSpace
from smt.surrogate_models import GEKPLS, GENN, KRG
from threadpoolctl import threadpool_limits

import swarmnet
from benchmarks.bayesian_polynomial import BayesianPolynomial
from benchmarks.gaussian_process import GaussianProcess
from swarmnet import MixedData
from swarmnet.fitting.candidates import network_for
from swarmnet.fitting.options import FitOptions

Array = NDArray[np.float64]
Hidden = tuple[int, ...]

LARGE = 1_000  # rows above which a tool with minibatches uses them
MOST_POINTS = 2_000  # of a kriging model: time goes with the cube of the points, memory with the square


class Cannot(Exception):
    """The tool cannot take this problem, and why."""


class Fitted(Protocol):
    def predict(self, X: Array) -> Array: ...

    def jacobian(self, X: Array) -> Array: ...


class Standard:
    """Inputs and values less their means, over their deviations, from what was observed."""

    def __init__(self, data: MixedData) -> None:
        self.x_mean, self.x_std = data.X.mean(0), data.X.std(0)
        self.y_mean, self.y_std = np.nanmean(data.Y, 0), np.nanstd(data.Y, 0)
        self.slope = self.y_std[:, None] / self.x_std

    def X(self, X: Array) -> Array:
        return (X - self.x_mean) / self.x_std

    def Y(self, Y: Array) -> Array:
        return (Y - self.y_mean) / self.y_std

    def values(self, Y: Array) -> Array:
        return Y * self.y_std + self.y_mean


def is_complete(data: MixedData) -> bool:
    return bool(np.isfinite(data.Y).all() and np.isfinite(data.J).all())


def require_complete(data: MixedData) -> None:
    if not is_complete(data):
        raise Cannot("wants the value and every partial at every point")


def fit_swarmnet(data: MixedData, hidden: Hidden | None, seed: int) -> Fitted:
    return swarmnet.fit(data, seed=seed)  # its default: it chooses sizes and degrees itself


def net_for(data: MixedData, hidden: Hidden | None) -> Hidden:
    """The hidden layers that are given, or else those swarmnet would take."""
    options = FitOptions(hidden="auto" if hidden is None else hidden)
    return tuple(network_for(data, options).sizes[1:-1])


JENN_SMALL: dict[str, Any] = {"max_iter": 10_000, "alpha": 1e-3, "lambd": 1e-4}
JENN_LARGE: dict[str, Any] = {"alpha": 1e-2, "lambd": 1e-2, "max_iter": 2, "batch_size": 1000, "epochs": 25}


class Jenn:
    """jenn.NeuralNet.

    Up to 1,000 points: the settings of its demo 2 (Rastrigin, 100 points); above: those of its demo 3
    (airfoil, 33,631 points). The data are standardised here as its is_normalize=True does, which both use.

    NaN among its targets gives a network of NaN. But it has a weight for each entry (`beta`, `gamma`), and so
    it does take mixed rows from a user who fills the gaps with any number, gives them weight zero, and
    standardises the data himself: its own normalisation would count what was filled in.
    """

    def __init__(self, data: MixedData, hidden: Hidden | None, seed: int) -> None:
        self.net = jenn.NeuralNet([data.d, *net_for(data, hidden), data.k])
        self.scale = scale = Standard(data)
        self.net.fit(
            scale.X(data.X).T,
            np.nan_to_num(scale.Y(data.Y)).T,
            np.nan_to_num(data.J / scale.slope).transpose(1, 2, 0),
            beta=np.isfinite(data.Y).T.astype(float),
            gamma=np.isfinite(data.J).transpose(1, 2, 0).astype(float),
            random_state=seed,
            **(JENN_SMALL if data.n <= LARGE else JENN_LARGE),
        )

    def predict(self, X: Array) -> Array:
        return self.scale.values(self.net.predict(self.scale.X(X).T).T)

    def jacobian(self, X: Array) -> Array:
        return self.net.predict_partials(self.scale.X(X).T).transpose(2, 0, 1) * self.scale.slope


class Smt:
    """An SMT model of one output: its derivatives come an input at a time."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def predict(self, X: Array) -> Array:
        return self.model.predict_values(X).reshape(len(X), 1)

    def jacobian(self, X: Array) -> Array:
        columns = [self.model.predict_derivatives(X, j).reshape(len(X), 1) for j in range(X.shape[1])]
        return np.stack(columns, axis=2)


def fit_genn(data: MixedData, hidden: Hidden | None, seed: int) -> Fitted:
    """Its defaults (rate 0.05, regularisation 0.01, 1,000 iterations, normalised); above 1,000 points the
    settings of SMT's airfoil example (run_genn.py)."""
    require_complete(data)
    model = GENN(print_global=False, hidden_layer_sizes=list(net_for(data, hidden)), seed=seed)
    if data.n > LARGE:
        settings = {
            "alpha": 0.1,
            "lambd": 0.1,
            "mini_batch_size": 256,
            "num_epochs": 5,
            "num_iterations": 10,
            "is_backtracking": True,
        }
        for name, value in settings.items():
            model.options[name] = value
    model.load_data(data.X, data.Y, data.J[:, 0])
    model.train()
    return Smt(model)


def fit_gekpls(data: MixedData, hidden: Hidden | None, seed: int) -> Fitted:
    """As in its documentation (n_comp=2, theta0=1e-2), but five extra points a point, or as many as there are
    inputs, where the documentation's example has one: more of the derivatives come in, and the error is
    several times smaller. The design space is the data's own box."""
    require_complete(data)
    require_few(data)
    box = DesignSpace(np.stack([data.X.min(0), data.X.max(0)], axis=1))
    model = GEKPLS(
        design_space=box,
        theta0=[1e-2] * 2,
        n_comp=2,
        extra_points=min(5, data.d),
        seed=seed,
        print_global=False,
    )
    model.set_training_values(data.X, data.Y)
    for j in range(data.d):
        model.set_training_derivatives(data.X, data.J[:, :, j], j)
    model.train()
    return Smt(model)


def fit_kriging(data: MixedData, hidden: Hidden | None, seed: int) -> Fitted:
    """SMT's KRG at its defaults, on the values alone."""
    data = data.values_only()
    require_few(data)
    model = KRG(theta0=[1e-2], seed=seed, print_global=False)
    model.set_training_values(data.X, data.Y)
    model.train()
    return Smt(model)


def require_few(data: MixedData) -> None:
    if data.n > MOST_POINTS:
        raise Cannot(f"kriging of {data.n:,} points takes hours")


class Mlp:
    """scikit-learn's MLPRegressor, on the values alone.

    Standardised, as its documentation asks ("highly recommended"). L-BFGS up to 1,000 rows ("for small
    datasets lbfgs can converge faster and perform better"), above them the default, Adam. tanh instead of
    the default relu, whose derivative is a step. Everything else is the default but the iterations, which
    do not end it before it converges. It has no derivatives: they are computed here from its weights.
    """

    def __init__(self, data: MixedData, hidden: Hidden | None, seed: int) -> None:
        layers = net_for(data, hidden)
        data = data.values_only()
        self.scale = Standard(data)
        self.net = MLPRegressor(
            hidden_layer_sizes=layers,
            activation="tanh",
            solver="lbfgs" if data.n <= LARGE else "adam",
            max_iter=10_000,
            max_fun=100_000,
            random_state=seed,
        )
        self.net.fit(self.scale.X(data.X), self.scale.Y(data.Y).ravel())

    def predict(self, X: Array) -> Array:
        return self.scale.values(self.net.predict(self.scale.X(X)).reshape(len(X), 1))

    def jacobian(self, X: Array) -> Array:
        a, D = self.scale.X(X), np.broadcast_to(np.eye(X.shape[1]), (len(X), X.shape[1], X.shape[1]))
        for W, b in zip(self.net.coefs_[:-1], self.net.intercepts_[:-1], strict=True):
            a = np.tanh(a @ W + b)
            D = (D @ W) * (1 - a * a)[:, None]
        return (D @ self.net.coefs_[-1]).transpose(0, 2, 1) * self.scale.slope


class Torch:
    """A torch module with double backpropagation, as its users write it; NaN left out by masks.

    The loss is the values' mean square plus the mean over the partials of theirs, all standardised.
    Adam: torch's default rate (0.001), 10,000 steps (as many as JENN's demo has) on at most 256 rows each.
    L-BFGS: torch's defaults with the strong Wolfe line search, all rows; it ends by its own tolerances, at
    the latest after 10,000 iterations (1,000 above 1,000 rows).
    """

    STEPS, BATCH = 10_000, 256

    def __init__(self, data: MixedData, hidden: Hidden | None, seed: int, optimiser: str) -> None:
        torch.manual_seed(seed)
        self.scale = Standard(data)
        self.net = module((data.d, *net_for(data, hidden), data.k))
        rows = [self.scale.X(data.X), self.scale.Y(data.Y), data.J / self.scale.slope]
        self.rows = [torch.tensor(a) for a in rows]
        if optimiser == "adam":
            self.adam()
        else:
            self.lbfgs(10_000 if data.n <= LARGE else 1_000)

    def adam(self) -> None:
        adam = torch.optim.Adam(self.net.parameters())
        n, chosen = len(self.rows[0]), torch.empty(0, dtype=torch.int64)
        for _ in range(self.STEPS):
            if len(chosen) == 0:
                chosen = torch.randperm(n)
            batch, chosen = chosen[: self.BATCH], chosen[self.BATCH :]
            adam.zero_grad()
            self.loss([a[batch] for a in self.rows] if n > self.BATCH else self.rows).backward()
            adam.step()

    def lbfgs(self, iterations: int) -> None:
        lbfgs = torch.optim.LBFGS(self.net.parameters(), max_iter=iterations, line_search_fn="strong_wolfe")

        def closure() -> torch.Tensor:
            lbfgs.zero_grad()
            value = self.loss(self.rows)
            value.backward()
            return value

        lbfgs.step(closure)

    def loss(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        X, Y, J = rows
        y, slopes = self.values_and_slopes(X, train=True)
        partials = [mean_square(slopes[:, :, j] - J[:, :, j]) for j in range(J.shape[2])]
        return mean_square(y - Y) + torch.stack(partials).mean()

    def values_and_slopes(self, X: torch.Tensor, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
        X = X.detach().requires_grad_(True)
        y = self.net(X)
        columns = [
            torch.autograd.grad(y[:, o].sum(), X, create_graph=train, retain_graph=True)[0]
            for o in range(y.shape[1])
        ]
        return y, torch.stack(columns, dim=1)

    def predict(self, X: Array) -> Array:
        with torch.no_grad():
            return self.scale.values(self.net(torch.tensor(self.scale.X(X))).numpy())

    def jacobian(self, X: Array) -> Array:
        slopes = self.values_and_slopes(torch.tensor(self.scale.X(X)), train=False)[1]
        return slopes.numpy() * self.scale.slope


def module(sizes: Sequence[int]) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    for fan_in, fan_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1]).double()


def mean_square(residuals: torch.Tensor) -> torch.Tensor:
    """Over what was observed; 0 where a batch has none."""
    seen = torch.isfinite(residuals)
    return torch.where(seen, residuals, 0.0).square().sum() / seen.sum().clamp(min=1)


class ByEntry:
    """A model of one output fitted to a list of entries: points, columns (0: the value, j + 1: the partial by
    input j) and targets, all standardised. Its `column` predicts one column.

    Inputs whose partials are zero wherever they were observed are left out: that column could be met exactly
    without the others, which makes likelihood and evidence infinite.
    """

    def __init__(
        self, model: Callable[[Array, Array, Array], GaussianProcess | BayesianPolynomial], data: MixedData
    ) -> None:
        if data.k > 1:
            raise Cannot("written for one output")
        self.scale = scale = Standard(data)
        slopes = (data.J / scale.slope)[:, 0]
        largest = np.abs(slopes).max(0, where=np.isfinite(slopes), initial=-1.0)
        self.kept = np.flatnonzero(
            (largest < 0) | (largest > 1e-9)
        )  # by inputs of the function, or unobserved
        table = np.concatenate([scale.Y(data.Y), slopes[:, self.kept]], axis=1)
        rows, columns = np.nonzero(np.isfinite(table))
        with threadpool_limits(1):  # threads wait for each other where matrices are small
            self.model = model(scale.X(data.X)[rows][:, self.kept], columns, table[rows, columns])

    def predict(self, X: Array) -> Array:
        return self.scale.values(self.model.column(self.scale.X(X)[:, self.kept], 0)[:, None])

    def jacobian(self, X: Array) -> Array:
        J = np.zeros((len(X), 1, X.shape[1]))
        for column, j in enumerate(self.kept, start=1):
            J[:, 0, j] = self.model.column(self.scale.X(X)[:, self.kept], column)
        return J * self.scale.slope


def fit_process(data: MixedData, kernel: str) -> Fitted:
    """Our own: lsqfitgp takes mixed entries too, but needs JAX, and came to 2e-11 on water-mixed in 30 s,
    where this one comes to 1e-14 in two."""
    if data.n_entries > MOST_POINTS:
        raise Cannot(f"a Gaussian process of {data.n_entries:,} entries takes hours")
    return ByEntry(partial(GaussianProcess, kernel=kernel), data)


def fit_polynomial(data: MixedData, hidden: Hidden | None, seed: int) -> Fitted:
    return ByEntry(BayesianPolynomial, data)


TOOLS: dict[str, Callable[[MixedData, Hidden | None, int], Fitted]] = {
    "swarmnet": fit_swarmnet,
    "JENN": Jenn,
    "SMT GENN": fit_genn,
    "SMT GEKPLS": fit_gekpls,
    "SMT kriging": fit_kriging,
    "MLPRegressor": Mlp,
    "torch Adam": lambda data, hidden, seed: Torch(data, hidden, seed, "adam"),
    "torch L-BFGS": lambda data, hidden, seed: Torch(data, hidden, seed, "lbfgs"),
    "gp": lambda data, hidden, seed: fit_process(data, "squared exponential"),
    "gp Matern": lambda data, hidden, seed: fit_process(data, "Matern 5/2"),
    "polynomial": fit_polynomial,
}


def remark(tool: str, data: MixedData) -> str:
    """What a reader of the tool's figures has to know."""
    if tool in ("SMT kriging", "MLPRegressor"):
        return "values alone"
    if tool == "JENN" and not is_complete(data):
        return "gaps filled, weight zero"
    return ""
