"""SwarmNetRegressor: `swarmnet.fit` as a scikit-learn estimator."""

import inspect
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import r2_score
from sklearn.utils import check_random_state
from sklearn.utils._set_output import ADAPTERS_MANAGER
from sklearn.utils.validation import check_is_fitted, validate_data

from swarmnet.data.column_names import derivative_name, sigma_name
from swarmnet.data.constraints import Require
from swarmnet.data.data_frames import as_pandas
from swarmnet.data.definitions import Define
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.name_matching import Tables
from swarmnet.errors import unknown, warn_user
from swarmnet.estimator_data import mixed, with_counts, with_names
from swarmnet.fitting.fitting import fitted
from swarmnet.fitting.options import Activations, FitOptions, Hidden
from swarmnet.model.fitted_model import FittedModel
from swarmnet.suggestion import Names, Points, suggest
from swarmnet.trainers import Trainer

Array = NDArray[Any]

_FIT_OF_TRANSFORMED = inspect.unwrap(TransformedTargetRegressor.fit).__code__


class SwarmNetRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A small network trained on values and partial derivatives, for scikit-learn's tools.

    NaN in `y` and in `dydx` means "not observed" (scikit-learn has no tag for this in targets); X must be
    complete. The result does not depend on the order of rows. A row of weight 2 counts as two rows. Weights
    that are less than 1 on average are relative, and are divided by their average.

    **Tables**, of pandas or another library, are matched by the names of their columns. In pandas, their
    indices must be equal to that of X: rows in another order are refused.

    **Scaling.** `dydx` are the partials with respect to the columns of X as this estimator receives them.
    The estimator scales inputs, outputs and derivatives, so that no scaler is needed. A scaler before it
    changes `dydx`: after ``StandardScaler`` it must be ``dydx * scaler.scale_``, and `jacobian` is also with
    respect to the scaled columns. If X seems to be scaled, `fit` warns. It also warns within a
    `TransformedTargetRegressor`, which trains on g(y) and passes all other arguments unchanged. Then, by the
    chain rule, `dydx` must be g'(y) dy/dx, and standard deviations the absolute value of g'(y) times those of
    y and dydx.

    **Routing.** With `sklearn.set_config(enable_metadata_routing=True)`, `fit` requests `dydx`, `y_sigma` and
    `dydx_sigma`, so that `GridSearchCV(...).fit(X, y, dydx=dydx)` and `cross_validate(..., params={"dydx":
    dydx})` slice them with X; `score` requests `dydx` after `set_score_request(dydx=True)`. They also work
    without routing; a Pipeline then needs the name of the step: `net__dydx=dydx`.

    Args:
        hidden, activation, trainer, iterations, seconds, particles, loss, scaling: as in
            `swarmnet.fitting.options.FitOptions`; with `seconds` the model depends on the machine's speed.
        derivative_weight, l2, degree, log, require, noise: likewise.
        random_state: a whole number is the seed of `swarmnet.fit`. With None the seed is drawn from NumPy's
            global generator, with a `RandomState` from that.
        define: formulas of columns of `dydx` (and `dydx_sigma`), such as ``{"cp": "dh/dT/1000"}``; see
            `swarmnet.read_csv`. They use the names of X and y.
        warm_start: whether `fit` goes on from the weights of the last fit, in its network and scaling. The
            columns must be the same, and so must the settings that make the network: hidden, activation,
            degree, log, scaling and loss. "auto" means the network of the last fit. All trainers can do
            this; hybrid then tries no other networks and starts. Polynomials are solved for anew.

    Attributes:
        model_: the `FittedModel`.
        audit_: how each observed column agrees with the fit, `FittedModel.audit`.
        n_features_in_: d.
        feature_names_in_: the names of the columns of X, if it was a DataFrame.
        n_iter_: number of training iterations.

    Example:
        >>> X, y, dydx = [[0.0], [0.5], [1.0]], [0.0, float("nan"), 1.0], [[0.0], [1.0], [2.0]]
        >>> net = SwarmNetRegressor(hidden=(4,), trainer="lbfgs", iterations=50).fit(X, y, dydx)
        >>> net.predict(X).shape, net.jacobian(X).shape, net.hessian(X).shape
        ((3,), (3, 1), (3, 1, 1))
    """

    # Derivatives and standard deviations that are passed are always used in training.
    __metadata_request__fit: ClassVar = {"dydx": True, "y_sigma": True, "dydx_sigma": True}
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
        degree: str | int = "auto",
        log: str | Sequence[str] | None = None,
        require: Require = (),
        noise: str = "gaussian",
        random_state: int | np.random.RandomState | None = 0,
        define: Define | None = None,
        warm_start: bool = False,
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
        self.degree = degree
        self.log = log
        self.require = require
        self.noise = noise
        self.random_state = random_state
        self.define = define
        self.warm_start = warm_start

    def fit(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame | None,
        dydx: ArrayLike | pd.DataFrame | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        y_sigma: ArrayLike | pd.DataFrame | None = None,
        dydx_sigma: ArrayLike | pd.DataFrame | None = None,
    ) -> "SwarmNetRegressor":
        """Train the network.

        Args:
            X: (n, d) inputs.
            y: (n,), or (n, k) for several outputs, NaN where not observed; None if only `dydx` is known.
            dydx: (n, d) partials for one output, (n, k, d) for several, NaN where not observed. The columns
                of a table are matched by name, such as "dy/dx1" with the names of X and y, in any order;
                missing columns were not observed. Columns with other names are read by `define`.
            sample_weight: (n,) how often each row counts; relative if they are less than 1 on average, over
                the rows that have an entry and a positive weight.
            y_sigma: shaped like `y`, the standard deviation of each value, NaN if unknown. The columns of a
                table have the names of those of y, or "sigma(y)".
            dydx_sigma: shaped like `dydx`, the same for the partials: "dy/dx1" or "sigma(dy/dx1)".

        Raises:
            ValueError: data or settings are invalid; `SwarmnetError` is one.
        """
        derived = {"dydx": dydx, "y_sigma": y_sigma, "dydx_sigma": dydx_sigma}
        tables = Tables({"X": X, "y": y, "sample_weight": sample_weight, **derived})
        start: FittedModel | None = getattr(self, "model_", None) if self.warm_start else None
        points = validate_data(self, with_names(tables.frame("X")), dtype=np.float64, reset=start is None)
        inputs = getattr(self, "feature_names_in_", [f"x{j + 1}" for j in range(points.shape[1])])
        _warn_of_transformed_target(derived)
        data, self._one_output = mixed(points, tables, tuple(inputs), self.define)
        if dydx is not None:
            _warn_of_scaler(points)
        self.model_ = fitted(with_counts(data), self._options(), start=start)
        self.audit_ = self.model_.audit
        self.n_iter_ = int(self.model_.history["iteration"].iloc[-1])
        return self

    def set_output(self, *, transform: str | None = None) -> "SwarmNetRegressor":
        """Set whether `predict`, `jacobian` and `hessian` return arrays or tables, see `predict`.

        This is scikit-learn's method of transformers, with its argument. `sklearn.set_config` and a Pipeline
        reach transformers only, so that they leave this estimator as it is. Clones keep it.

        Args:
            transform: "default" for arrays, "pandas" for tables with the index of X, "polars"; None for no
                change.

        Raises:
            SwarmnetError: another name.
        """
        if transform is not None:
            if transform not in ADAPTERS_MANAGER.supported_outputs:
                raise unknown("output", transform, sorted(ADAPTERS_MANAGER.supported_outputs))
            self._sklearn_output_config = {"transform": transform}
        return self

    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Return values (n,) or (n, k), shaped like `y`; with `return_std` also their standard deviations.

        After `set_output`, they are tables with a column for each output.

        Raises:
            NotFittedError: `fit` was not called.
            ValueError: X is invalid, or the model has no error bars, see `FittedModel.predict`.
        """
        points = self._points(X)
        return self._shaped(self.model_.predict(points, return_std), X, self.model_.outputs)

    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Return partials by the columns of X, (n, d) or (n, k, d); optionally their standard deviations too.

        After `set_output`, they are tables with columns such as dh/dT and sigma(dh/dT).

        Raises:
            NotFittedError, ValueError: as in `predict`.
        """
        points = self._points(X)
        names = [derivative_name(out, into) for out in self.model_.outputs for into in self.model_.inputs]
        return self._shaped(self.model_.jacobian(points, return_std), X, names)

    def hessian(self, X: ArrayLike | pd.DataFrame) -> Any:
        """Return second derivatives, (n, d, d) or (n, k, d, d).

        After `set_output`, they are a table with columns such as d2h/dT2 and d2h/dTdp, each once.

        Raises:
            NotFittedError, ValueError: as in `predict`.
        """
        points, model = self._points(X), self.model_
        if self._container == "default":
            return self._shaped(model.hessian(points), X, ())
        found = model.table(points, hessian=True).drop(columns=[*model.inputs, *model.outputs])
        return self._shaped(found.to_numpy(), X, list(found.columns))

    def suggest(
        self,
        n: int,
        candidates: Points | None = None,
        entries: Names | None = None,
        costs: Mapping[str, float] | None = None,
        target: Names | None = None,
        box: bool = False,
    ) -> pd.DataFrame:
        """Return n entries to measure next, see `swarmnet.suggest`.

        Raises:
            NotFittedError, ValueError: as in `predict`; or as `swarmnet.suggest`.
        """
        check_is_fitted(self)
        return suggest(self.model_, n, candidates, entries, costs, target, box)

    def score(
        self,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame | None,
        dydx: ArrayLike | pd.DataFrame | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """Return R2 of the observed entries: the mean over the outputs, and the columns of `dydx` if given.

        Columns with fewer than two entries have no R2 and are left out; NaN if there are no others.

        Raises:
            ValueError: X, y or dydx are invalid, or nothing was observed.
        """
        check_is_fitted(self)
        tables = Tables({"X": X, "y": y, "dydx": dydx, "sample_weight": sample_weight})
        points = self._points(tables.frame("X"))
        model = replace(self.model_, warns_outside=False)
        data, _ = mixed(points, tables, model.inputs, self.define, model.outputs)
        predicted = MixedData(points, model.predict(points), None if dydx is None else model.jacobian(points))
        targets = [target for _, target, _ in (*data.entry_columns(), *data.quantity_columns())]
        answers = [answer for _, answer, _ in predicted.entry_columns()]
        answers += [model.quantity(quantity, points) for quantity in data.quantities]
        counts, columns = data.row_weights > 0, zip(targets, answers, strict=True)
        pairs = [(target, answer, counts & ~np.isnan(target)) for target, answer in columns]
        several = [pair for pair in pairs if pair[2].sum() > 1] or [pair for pair in pairs if pair[2].any()]
        scores = [_r2(target[seen], answer[seen], data.row_weights[seen]) for target, answer, seen in several]
        return float(np.mean(scores))

    def _points(self, X: ArrayLike | pd.DataFrame) -> Array:
        check_is_fitted(self)
        table = as_pandas("X", X)
        given = X if table is None else table
        points: Array = validate_data(self, with_names(given), dtype=np.float64, reset=False)
        return points

    @property
    def _container(self) -> str:
        """What `set_output` set; the name of the attribute is that which `sklearn.clone` copies."""
        config: dict[str, str] = getattr(self, "_sklearn_output_config", {})
        return config.get("transform", "default")

    def _shaped(self, answer: Any, X: ArrayLike | pd.DataFrame, names: Sequence[str]) -> Any:
        """An array, or a pair of them, without the axis of the outputs, where y had none; or tables."""
        if isinstance(answer, tuple):
            best, std = answer
            return self._shaped(best, X, names), self._shaped(std, X, list(map(sigma_name, names)))
        if self._container == "default":
            return answer[:, 0] if self._one_output else answer
        adapter = ADAPTERS_MANAGER.adapters[self._container]
        return adapter.create_container(
            answer.reshape(len(answer), -1), X, columns=list(names), inplace=False
        )

    def _options(self) -> FitOptions:
        own = {name: getattr(self, name) for name in inspect.signature(SwarmNetRegressor).parameters}
        seed = own.pop("random_state")
        del own["define"], own["warm_start"]  # are of the data and of `fit`
        if not isinstance(seed, Integral):
            seed = check_random_state(seed).randint(2**31 - 1)
        return FitOptions(**own, seed=int(seed))


def _r2(target: Array, answer: Array, weights: Array) -> float:
    """Return R2 of numbers whose squares may overflow or underflow."""
    unit = float(np.abs(target).max()) or 1.0
    return float(r2_score(target / unit, answer / unit, sample_weight=weights))


def _warn_of_transformed_target(given: dict[str, Any]) -> None:
    """Warn of derivatives and deviations in a `TransformedTargetRegressor`, which does not transform them.

    An estimator does not know its caller, so the call stack is searched.
    """
    affected = [what for what, value in given.items() if value is not None]
    callers = [frame for frame, _ in traceback.walk_stack(None) if frame.f_code is _FIT_OF_TRANSFORMED]
    around = [frame.f_locals["self"] for frame in callers]
    if affected and any(outer.func is not None or outer.transformer is not None for outer in around):
        warn_user(
            f"TransformedTargetRegressor transforms y to g(y), but not {' and '.join(affected)}: by the "
            "chain rule dydx must be multiplied by g'(y), and standard deviations by |g'(y)|"
        )


def _warn_of_scaler(X: Array) -> None:
    """Warn if a StandardScaler seems to have scaled the inputs, because it does not scale derivatives."""
    spread = X.std(0)
    scaled = np.isclose(spread, 1.0, rtol=0.0, atol=1e-8)
    standard = scaled | (spread == 0.0)
    if scaled.any() and standard.all() and np.abs(X.mean(0)).max() < 1e-8 and (np.abs(X) != 1.0).any():
        warn_user(
            "X has mean 0 and deviation 1, as if a scaler stood in front: dydx must then be with respect to "
            "the scaled inputs; leave the scaler out, this estimator scales X, y and dydx by itself"
        )
