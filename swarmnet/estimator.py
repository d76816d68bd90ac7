"""SwarmNetRegressor: `swarmnet.fit` as a scikit-learn estimator."""

import warnings
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, check_consistent_length, check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from swarmnet.columns import derivative_name, listed
from swarmnet.data import MixedData
from swarmnet.errors import SwarmnetError, SwarmnetWarning
from swarmnet.fitting import Activations, Hidden, fit
from swarmnet.trainers import Trainer

Array = NDArray[Any]


class SwarmNetRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A small network trained on values and partial derivatives, for scikit-learn's tools.

    NaN in `y` and in `dydx` means "not observed" and nothing else (scikit-learn has no tag to say so of
    targets; X must be complete). The order of rows changes nothing, and a row of weight 2 is the row twice.

    **Scaling.** `dydx` are the partials with respect to the columns of X as this estimator receives them.
    Inputs and outputs are scaled inside, and derivatives with them, so that no scaler is needed. One in front
    changes what `dydx` must be: after ``StandardScaler`` it is ``dydx * scaler.scale_``, and `jacobian` is
    then with respect to the scaled columns too. Where X looks as if it came from there, `fit` warns. A
    `TransformedTargetRegressor` around it does not transform `dydx` either.

    **Routing.** With `sklearn.set_config(enable_metadata_routing=True)` `fit` asks for `dydx`, so that
    `GridSearchCV(...).fit(X, y, dydx=dydx)` and `cross_validate(..., params={"dydx": dydx})` slice it along
    with X; `score` asks for it after `set_score_request(dydx=True)`. Without routing they work as well; a
    Pipeline then wants the step's name: `net__dydx=dydx`.

    Args:
        hidden: units of each hidden layer; with "auto", see `swarmnet.fit`.
        activation: one name for the hidden layers, or one a layer with the output layer last.
        trainer: a name (hybrid, pso, projected, sgd, adam, lbfgs, lm) or a configured trainer.
        iterations: the most iterations, instead of the trainer's own limit.
        seconds: the most seconds of training; the model then depends on the machine's speed.
        particles: the swarm's size, for trainers that have one.
        loss: "squared", or "cross-entropy" for values from 0 to 1.
        scaling: "standard", "minmax" or None, of inputs and outputs, derivatives with them.
        derivative_weight: the derivatives' mean squared residual against the values'.
        l2: weight of the sum of squares of all W.
        random_state: a whole number is `swarmnet.fit`'s seed; None draws one from NumPy's global generator, a
            `RandomState` from that.

    Attributes:
        model_: the `FittedModel`.
        n_features_in_: d.
        feature_names_in_: the columns of X, where it was a DataFrame.
        n_iter_: iterations of training.

    Example:
        >>> X, y, dydx = [[0.0], [0.5], [1.0]], [0.0, float("nan"), 1.0], [[0.0], [1.0], [2.0]]
        >>> net = SwarmNetRegressor(hidden=(4,), trainer="lbfgs", iterations=50).fit(X, y, dydx)
        >>> net.predict(X).shape, net.jacobian(X).shape, net.hessian(X).shape
        ((3,), (3, 1), (3, 1, 1))
    """

    # Whoever passes derivatives means them to be trained on.
    __metadata_request__fit: ClassVar = {"dydx": True}
    __metadata_request__score: ClassVar = {"dydx": False}

    def __init__(
        self,
        hidden: Hidden = "auto",
        activation: Activations = "tanh",
        trainer: str | Trainer = "hybrid",
        iterations: int | None = None,
        seconds: float | None = None,
        particles: int | None = None,
        loss: str = "squared",
        scaling: str | None = "standard",
        derivative_weight: float | None = None,
        l2: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.trainer = trainer
        self.iterations = iterations
        self.seconds = seconds
        self.particles = particles
        self.loss = loss
        self.scaling = scaling
        self.derivative_weight = derivative_weight
        self.l2 = l2
        self.random_state = random_state

    def fit(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame | None,
        dydx: ArrayLike | pd.DataFrame | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> "SwarmNetRegressor":
        """Train.

        Args:
            X: (n, d) inputs.
            y: (n,), or (n, k) for several outputs, NaN where not observed; None if only `dydx` is known.
            dydx: (n, d) partials for one output, (n, k, d) for several, NaN where not observed. The columns
                of a DataFrame are matched by name, "dy/dx1" or with the names of X and y, in any order;
                those that it lacks were not observed.
            sample_weight: (n,) how often each row counts.

        Raises:
            ValueError: data or settings that do not do; swarmnet's own are `SwarmnetError`.
        """
        points = validate_data(self, X, dtype=np.float64)
        inputs = getattr(self, "feature_names_in_", [f"x{j + 1}" for j in range(points.shape[1])])
        data, self._one_output = _mixed(points, y, dydx, sample_weight, tuple(inputs))
        if dydx is not None:
            _warn_of_scaler(points)
        self.model_ = fit(
            data,
            hidden=self.hidden,
            activation=self.activation,
            trainer=self.trainer,
            seed=self._seed(),
            iterations=self.iterations,
            seconds=self.seconds,
            particles=self.particles,
            loss=self.loss,
            scaling=self.scaling,
            derivative_weight=self.derivative_weight,
            l2=self.l2,
        )
        self.n_iter_ = int(self.model_.history["iteration"].iloc[-1])
        return self

    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Values, (n,) or (n, k) as `y` was; with `return_std` also their standard deviations.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: X does not do; or error bars of a trainer that has none, see `FittedModel.predict`.
        """
        points = self._points(X)
        if not return_std:
            return self._shaped(self.model_.predict(points))
        values, std = self.model_.predict(points, return_std=True)
        return self._shaped(values), self._shaped(std)

    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Partials by the columns of X, (n, d) or (n, k, d), and their deviations.

        Raises as `predict` does.
        """
        points = self._points(X)
        if not return_std:
            return self._shaped(self.model_.jacobian(points))
        partials, std = self.model_.jacobian(points, return_std=True)
        return self._shaped(partials), self._shaped(std)

    def hessian(self, X: ArrayLike | pd.DataFrame) -> Array:
        """Second derivatives, (n, d, d) or (n, k, d, d); raises as `predict` does."""
        points = self._points(X)
        return self._shaped(self.model_.hessian(points))

    def score(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame | None,
        dydx: ArrayLike | pd.DataFrame | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """R2 of what was observed: the mean over the outputs, and the columns of `dydx` if that is given.

        A column with fewer than two entries has no R2 and is left out; NaN if there is no other.

        Raises:
            ValueError: X, y or dydx do not do, or nothing was observed.
        """
        points = self._points(X)
        model = self.model_
        data, _ = _mixed(points, y, dydx, sample_weight, model.inputs, model.outputs)
        predicted = MixedData(points, model.predict(points), None if dydx is None else model.jacobian(points))
        columns = list(zip(data.entry_columns(), predicted.entry_columns(), strict=True))
        counts = data.row_weights > 0
        pairs = [(target, answer, counts & ~np.isnan(target)) for (_, target, _), (_, answer, _) in columns]
        several = [pair for pair in pairs if pair[2].sum() > 1] or [pair for pair in pairs if pair[2].any()]
        scores = [_r2(target[seen], answer[seen], data.row_weights[seen]) for target, answer, seen in several]
        return float(np.mean(scores))

    def _points(self, X: ArrayLike | pd.DataFrame) -> Array:
        check_is_fitted(self)
        points: Array = validate_data(self, X, dtype=np.float64, reset=False)
        return points

    def _shaped(self, array: Array) -> Array:
        """Without the axis of the outputs, where y had none."""
        return array[:, 0] if self._one_output else array

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))


def _r2(target: Array, answer: Array, weights: Array) -> float:
    """R2 of numbers that may be too large or too small to be squared."""
    unit = float(np.abs(target).max()) or 1.0
    return float(r2_score(target / unit, answer / unit, sample_weight=weights))


def _mixed(
    points: Array,
    y: Any,
    dydx: Any,
    sample_weight: Any,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...] | None = None,
) -> tuple[MixedData, bool]:
    """What scikit-learn's users pass, as MixedData, and whether they speak of one output without an axis.

    Without `outputs`, the outputs are named as y's columns are.
    """
    Y = None if y is None else _targets("y", y, len(points))
    if dydx is not None and not isinstance(dydx, pd.DataFrame):
        dydx = _targets("dydx", dydx, len(points), allow_nd=True)
    if Y is None and dydx is None:
        raise SwarmnetError("SwarmNetRegressor requires y to be passed, but the target y is None")
    one = dydx.ndim < 3 if Y is None else Y.ndim == 1
    k = 1 if one else (dydx if Y is None else Y).shape[1]
    names = _names(y, k, inputs) if outputs is None else outputs
    if k != len(names):
        raise SwarmnetError(f"there are {k} outputs, where the model has {len(names)}")
    J = None if dydx is None else _partials(dydx, points.shape, inputs, names)
    weights = None
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, points, dtype=np.float64)
    return MixedData(points, Y, J, inputs=inputs, outputs=names, weights=weights), one


def _targets(name: str, targets: Any, n: int, allow_nd: bool = False) -> Array:
    """As doubles; NaN is allowed, infinity is not."""
    checked: Array = check_array(
        targets,
        dtype=np.float64,
        ensure_2d=False,
        allow_nd=allow_nd,
        ensure_all_finite="allow-nan",
        input_name=name,
    )
    check_consistent_length(range(n), checked)
    return checked


def _partials(
    dydx: Array | pd.DataFrame, shape: tuple[int, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Array:
    """(n, k, d)."""
    wanted = (shape[0], len(outputs), shape[1])
    if isinstance(dydx, pd.DataFrame):
        names = [derivative_name(out, into) for out in outputs for into in inputs]
        if strange := [str(column) for column in dydx.columns if column not in names]:
            raise SwarmnetError(f"dydx has no place for {listed(strange)}: its columns are {listed(names)}")
        matched = dydx.reindex(columns=names)
        return _targets("dydx", matched, shape[0]).reshape(wanted)
    if dydx.shape != wanted and (len(outputs) > 1 or dydx.shape != shape):
        layout = shape if len(outputs) == 1 else wanted
        raise SwarmnetError(f"dydx must be {layout}, its rows and inputs those of X, not {dydx.shape}")
    return dydx.reshape(wanted)


def _names(y: Any, k: int, inputs: tuple[str, ...]) -> tuple[str, ...]:
    """The outputs' names: those of y's columns, if they have any that the inputs do not have."""
    own = list(getattr(y, "columns", [getattr(y, "name", None)]))
    if len(set(own)) == k and all(isinstance(name, str) and name for name in own):
        names = own
    else:
        names = ["y"] if k == 1 else [f"y{o + 1}" for o in range(k)]
    while set(names) & set(inputs):
        names = [f"{name}_" for name in names]
    return tuple(names)


def _warn_of_scaler(X: Array) -> None:
    """Warn of inputs that a StandardScaler seems to have scaled, while nothing has scaled the derivatives."""
    spread = X.std(0)
    scaled = np.isclose(spread, 1.0, rtol=0.0, atol=1e-8)
    standard = scaled | (spread == 0.0)
    if scaled.any() and standard.all() and np.abs(X.mean(0)).max() < 1e-8 and (np.abs(X) != 1.0).any():
        warnings.warn(
            "X has mean 0 and deviation 1, as if a scaler stood in front: dydx must then be with respect to "
            "the scaled inputs; leave the scaler out, this estimator scales X, y and dydx by itself",
            SwarmnetWarning,
            stacklevel=3,
        )
