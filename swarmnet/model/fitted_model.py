"""FittedModel: a trained network with its scaling; it predicts values and derivatives in the data's units."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property, partial
from itertools import combinations_with_replacement, product
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.atomic_write import write_atomically
from swarmnet.data.arrays import as_numbers
from swarmnet.data.column_names import derivative_name, second_derivative_name, sigma_name, two_columns
from swarmnet.data.data_frames import as_pandas, is_frame, pd
from swarmnet.data.definitions import as_definitions, quantity_of
from swarmnet.data.logarithms import partial_of
from swarmnet.data.quantities import Quantity
from swarmnet.data.readers import read_query
from swarmnet.errors import SwarmnetError, warn_user
from swarmnet.model import point_queries as queries
from swarmnet.model.audit import audit_frame
from swarmnet.model.error_bars import (
    OtherFit,
    jacobian_deviations,
    quantity_deviations,
    value_deviations,
    widened,
)
from swarmnet.model.exports import Exports
from swarmnet.model.model_file import HISTORY, read, written
from swarmnet.model.training_record import without_error_bars
from swarmnet.model.training_region import Region, TrainingPoints
from swarmnet.network.network import Network
from swarmnet.scaling import Scaling

Array = NDArray[Any]

_ROWS_TRIED = 1000  # rows of a query that are compared with the training points before a warning: 2 ms


@dataclass(frozen=True, eq=False)
class FittedModel(Exports):
    """A trained network. X may be an array (n, d), or a table whose columns are matched by name.

    A table is a pandas DataFrame, or one of pyarrow, Polars, Dask and others.

    Args:
        net: the network, in scaled units.
        theta: (p,) its weights.
        scaling: between the data's units and the network's.
        inputs: d names.
        outputs: k names.
        training: a record of the training and its data, for the reader; it can be written as JSON.
        history: one row an iteration: iteration, evaluations, seconds, loss, validation_loss, and stage, the
            trainer at work (hybrid has several). Past 20,000 iterations every second row is dropped, past
            40,000 three of four, and so on; the last row and the best row are always kept.
        spread: packed factor of the weights' covariance, see `model.error_bars`; None without error bars.
        others: fits from other starts and of other networks, which widen the error bars.
        points: some of the training points, see `far`; None in files of 0.1 and for data that stay in files.
        units: of columns, as {"T": "K"}, where the data had them; for people and other programs.
        warns_outside: whether the next query at a point outside the training data warns; then it is False.
    """

    net: Network
    theta: Array
    scaling: Scaling
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    training: dict[str, Any] = field(default_factory=dict)
    history: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(HISTORY)))
    spread: NDArray[np.float64] | None = None
    others: tuple[OtherFit, ...] = ()
    points: TrainingPoints | None = None
    units: dict[str, str] = field(default_factory=dict)
    warns_outside: bool = field(default=True, repr=False)

    def __repr__(self) -> str:
        return f"FittedModel({', '.join(self.inputs)} -> {', '.join(self.outputs)}, {self.net!r})"

    @overload
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: Literal[False] = False) -> Array: ...
    @overload
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool) -> Any: ...
    def predict(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Return values (n, k); with `return_std` also their standard deviations (n, k).

        The deviation is that of the function, without measurement noise: the uncertainty of the weights,
        given the data and the estimated noise (Laplace's approximation, MacKay 1992), widened by other fits.

        Raises:
            SwarmnetError: a column is missing; an input is missing, infinite or too far away for a finite
                answer; or the model has no error bars because it was not trained by Bayesian regularisation.
        """
        with np.errstate(all="ignore"):  # `_finite` checks the result
            points = self._scaled(X)
            best = queries.outputs(self.net, self.theta, points)
            values = _finite(self.scaling.unscale_Y(best))
            if not return_std:
                return values
            std = self._deviations(value_deviations, queries.outputs, points, best) * self.scaling.y_scale
            if self.scaling.logs is not None:
                std *= np.where(self.scaling.logs.outputs, values, 1.0)
            return values, _finite(std)

    @overload
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: Literal[False] = False) -> Array: ...
    @overload
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool) -> Any: ...
    def jacobian(self, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Return partials (n, k, d), [i, o, j] = dY_o/dx_j at row i; with `return_std` also their deviations.

        Raises the same errors as `predict`.
        """
        with np.errstate(all="ignore"):
            points = self._scaled(X)
            best = queries.jacobian(self.net, self.theta, points)
            partials = self.scaling.unscale_J(best)
            if (logs := self.scaling.logs) is not None:
                partials = logs.jacobian(partials, self._points(X), self.predict(X))
            if not return_std:
                return _finite(partials)
            if logs is not None:
                return _finite(partials), self._jacobian_deviations(X)
            std = self._deviations(jacobian_deviations, queries.jacobian, points, best)
            return _finite(partials), _finite(self.scaling.unscale_J(std))

    def _jacobian_deviations(self, X: ArrayLike | pd.DataFrame) -> Array:
        """Return the deviations of partials as those of formulas of the network's logarithms."""
        rows, columns = range(len(self.outputs)), range(len(self.inputs))
        partials = [[partial_of(self.inputs, self.outputs, o, j) for j in columns] for o in rows]
        deviations = [[self.quantity(each, X, return_std=True)[1] for each in row] for row in partials]
        return np.moveaxis(np.array(deviations), -1, 0)

    def _deviations(
        self, deviations: Callable[..., Array], query: Callable[..., Array], points: Array, best: Array
    ) -> Array:
        """Return the deviations of the answers `best` to a query at points, widened by the other fits'."""
        if self.spread is None:
            raise without_error_bars(self.training)
        own = deviations(self.net, self.theta, self.spread, points)
        answers = [query(other.net, other.theta, points) for other in self.others]
        return widened(own, best, self.others, answers)

    def hessian(self, X: ArrayLike | pd.DataFrame) -> Array:
        """Return second derivatives (n, k, d, d), [i, o, j, m] = d2Y_o/dx_j dx_m; raises like `predict`."""
        with np.errstate(all="ignore"):
            points = self._scaled(X)
            found = self.scaling.unscale_H(queries.hessian(self.net, self.theta, points))
            if self.scaling.logs is not None:
                J = self.scaling.unscale_J(queries.jacobian(self.net, self.theta, points))
                found = self.scaling.logs.hessian(found, J, self._points(X), self.predict(X))
            return _finite(found)

    @overload
    def quantity(
        self, formula: str | Quantity, X: ArrayLike | pd.DataFrame, return_std: Literal[False] = False
    ) -> Array: ...
    @overload
    def quantity(self, formula: str | Quantity, X: ArrayLike | pd.DataFrame, return_std: bool) -> Any: ...
    def quantity(self, formula: str | Quantity, X: ArrayLike | pd.DataFrame, return_std: bool = False) -> Any:
        """Return a quantity (n,), such as ``-(dh/dp)/(dh/dT)``; with `return_std` also its deviation (n,).

        Args:
            formula: of inputs, outputs, their first and second derivatives, and names that were defined for
                training, or one of `MixedData.quantities`. It is in the data's units.
            X: points.
            return_std: as in `predict`.

        Raises:
            SwarmnetError: the formula is not valid, has an unknown name, or is not defined at a point (as
                log(-1)); and as in `predict`.
        """
        if isinstance(formula, str):
            define = as_definitions(self.training.get("define"))
            found = quantity_of(formula, define, self.inputs, self.outputs)
        else:
            found = formula.reordered(self.inputs, self.outputs)
        if self.scaling.logs is not None:
            found = self.scaling.logs.quantity(found)
        scaled = self.scaling.scale_quantities([found], None)[0]
        with np.errstate(all="ignore"):
            points = self._scaled(X)

            def query(net: Network, theta: Array, X: Array) -> Array:
                return queries.quantity(net, theta, X, scaled)

            best = _finite(
                query(self.net, self.theta, points), "the formula has no finite value in row {row}"
            )
            if not return_std:
                return best
            deviations = partial(quantity_deviations, quantity=scaled)
            return best, _finite(self._deviations(deviations, query, points, best))

    @cached_property
    def region(self) -> Region:
        """Where the training points are."""
        return Region.of(self.inputs, self.training, self.points)

    def outside(self, X: ArrayLike | pd.DataFrame) -> NDArray[np.bool_]:
        """Return (n, d): whether each input of each row is beyond its range in the training rows.

        The ranges are `training["input_ranges"]`; a difference by rounding is none. An input without a known
        range is never outside. Raises for the same X as `predict`.
        """
        return self.region.outside(self._points(X))

    def far(self, X: ArrayLike | pd.DataFrame) -> NDArray[np.bool_]:
        """Return (n,): whether each row is far from all training rows: beyond, or in a gap or corner.

        Inputs are divided by half their training range. A row is far if the nearest of up to 200 training
        points, each the farthest from those before (Gonzalez 1985), is more than 1.5 times the usual spacing
        of these points away; for more than 9 inputs d, half the square root of d instead of 1.5. The usual
        spacing is the second-longest edge of their minimum spanning tree, so that a gap counts as one unless
        there are others as wide. False for all rows if the model has no points, see above. Raises for the
        same X as `predict`.
        """
        return self.region.far(self._points(X))

    def table(
        self,
        X: ArrayLike | pd.DataFrame,
        jacobian: bool = False,
        hessian: bool = False,
        std: bool = False,
        quantities: Sequence[str] = (),
        outside: bool = False,
    ) -> pd.DataFrame:
        """Return a table of inputs, values and derivatives: T, p, h, dh/dT, d2h/dT2, d2h/dTdp.

        The formulas in `quantities` are columns too. With `std` it also has the error bars of values, first
        derivatives and quantities: sigma(h), sigma(dh/dT). With `outside` the last column has the inputs that
        are beyond their training range, "T + p", or "far from all rows", or nothing.
        """
        points = self._points(X)
        columns: dict[str, Array] = dict(zip(self.inputs, points.T, strict=True))
        queried: list[tuple[list[str], Callable[..., Any]]] = [(list(self.outputs), self.predict)]
        if jacobian:
            partials = [derivative_name(out, into) for out in self.outputs for into in self.inputs]
            queried.append((partials, self.jacobian))
        for names, query in queried:
            answers = query(points, return_std=True) if std else [query(points)]
            for labels, numbers in zip((names, map(sigma_name, names)), answers, strict=False):
                columns |= zip(labels, numbers.reshape(len(points), len(names)).T, strict=True)
        if hessian:
            H = self.hessian(points)
            pairs = list(combinations_with_replacement(range(len(self.inputs)), 2))
            for (o, out), (j, m) in product(enumerate(self.outputs), pairs):
                name = second_derivative_name(out, self.inputs[j], self.inputs[m])
                if name in columns:
                    raise two_columns(name)
                columns[name] = H[:, o, j, m]
        for formula in quantities:
            found = self.quantity(formula, points, return_std=std)
            for name, numbers in zip((formula, sigma_name(formula)), found if std else [found], strict=False):
                if name in columns:
                    raise two_columns(name)
                columns[name] = numbers
        if outside:
            if "outside" in columns:
                raise two_columns("outside")
            columns["outside"] = np.array(self.region.words(points), dtype=object)
        return pd.DataFrame(columns)

    @property
    def audit(self) -> pd.DataFrame:
        """How each observed column agrees with the fit; empty for data in files, and for older model files.

        Its columns are column, entries, noise, chi2_per_entry, largest_residual, row, factor, cosine and
        verdict. The noise is in the column's unit. The largest residual, in this row of the data given to
        `fit`, counted from 0, is in units of the noise, or of the entry's sigma. If rows stick out, these
        numbers are those of a fit without them. The factor is ``<o, p> / <p, p>``, of observations o and
        predictions p, and the cosine ``<o, p> / (|o| |p|)``; of values, o and p are deviations from the mean.
        If a column is a factor times what the others say, p is predicted from the others. A verdict says in a
        line what is wrong, or is "".
        """
        return audit_frame(self.training)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON, completely or not at all, with every bit of the weights.

        Raises:
            SwarmnetError: the path cannot be written, or an activation is not one of swarmnet's own.
        """
        self._refuse_own_activations("saved")
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        write_atomically(path, written(own))

    def _points(self, X: ArrayLike | pd.DataFrame) -> Array:
        table = as_pandas("X", X)
        if is_frame(table):
            return read_query(table, self.inputs, units=self.units)[0]
        points = as_numbers("X", X)
        if points.ndim != 2 or points.shape[1] != len(self.inputs):
            raise SwarmnetError(
                f"X must be (rows, {len(self.inputs)}) with columns {', '.join(self.inputs)}, "
                f"not {points.shape}"
            )
        return _finite(points, "X has an input that is missing or infinite in row {row}")

    def _scaled(self, X: ArrayLike | pd.DataFrame) -> Array:
        points = self._points(X)
        if self.scaling.logs is not None:
            self.scaling.logs.refuse_inputs(points, self.inputs)
        if self.warns_outside and (note := self.region.note(points, gaps=len(points) <= _ROWS_TRIED)):
            object.__setattr__(self, "warns_outside", False)
            warn_user(f"{note}; said once for this model: outside(X) and far(X) tell each row")
        return self.scaling.scale_X(points)


def load(path: str | os.PathLike[str]) -> FittedModel:
    """Read a model that `FittedModel.save` wrote.

    Raises:
        SwarmnetError: no such file, not a swarmnet model, truncated, damaged, or written by a later version.
    """
    return FittedModel(**read(path))


def _finite(
    numbers: Array,
    complaint: str = "the answer in row {row} is not finite: its inputs are too far from those trained on",
) -> Array:
    """Return numbers (rows first) if all are finite; otherwise raise SwarmnetError with the row."""
    if not np.isfinite(numbers).all():
        raise SwarmnetError(complaint.format(row=np.argwhere(~np.isfinite(numbers))[0][0]))
    return numbers
