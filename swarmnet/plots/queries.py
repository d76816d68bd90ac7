"""Queries of plots to a model and data by column name, and their errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.column_names import listed
from swarmnet.data.dataset import require_mixed_data
from swarmnet.data.definitions import as_definitions, quantities_of, quantity_of
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.quantities import Quantity
from swarmnet.errors import SwarmnetError, suggestion, unknown
from swarmnet.model.columns import Column, columns_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import input_range
from swarmnet.number_format import for_offset

Array = NDArray[np.float64]
At: TypeAlias = "Mapping[str, float] | pd.Series[float] | ArrayLike | None"

NEARNESS = 0.1  # share of an input's range within which observations are near a slice


@dataclass(frozen=True, eq=False)
class QuantityColumn:
    """A formula, "h - T*dh/dT", or a name that was defined for one."""

    name: str
    quantity: Quantity

    def observed(self, data: MixedData) -> Array:
        """Return the observations (n,), NaN where not observed."""
        return self._column(data)[0]

    def sigma(self, data: MixedData) -> Array:
        """Return the standard deviations (n,) given with the data, NaN where there is none."""
        return self._column(data)[1]

    def _column(self, data: MixedData) -> tuple[Array, Array]:
        none = np.full(data.n, np.nan)
        for name, numbers, sigmas in data.quantity_columns():
            if name == self.name:
                return numbers, none if sigmas is None else sigmas
        return none, none


Drawn: TypeAlias = Column | QuantityColumn


@dataclass(frozen=True, eq=False)
class Answers:
    """A model's predictions (n,) at X (n, d); values and partials are computed once, on first use."""

    model: FittedModel
    X: Array

    def of(self, column: Drawn) -> Array:
        if isinstance(column, QuantityColumn):
            return self._quiet.quantity(column.quantity, self.X)
        return _finite(column.name, column.of(self._values if column.input is None else self._partials))

    def deviation(self, column: Drawn) -> Array:
        """Return the standard deviations (n,) of a column's predictions."""
        if isinstance(column, QuantityColumn):
            return np.asarray(self._quiet.quantity(column.quantity, self.X, return_std=True)[1])
        known = self._value_deviations if column.input is None else self._partial_deviations
        return _finite(f"the error bar of {column.name}", column.of(known))

    @cached_property
    def _quiet(self) -> FittedModel:
        return replace(self.model, warns_outside=False)  # figures may go beyond the training range

    @cached_property
    def _values(self) -> Array:
        return self._quiet.predict(self.X)

    @cached_property
    def _partials(self) -> Array:
        return self._quiet.jacobian(self.X)

    @cached_property
    def _value_deviations(self) -> Array:
        return np.asarray(self._quiet.predict(self.X, return_std=True)[1])

    @cached_property
    def _partial_deviations(self) -> Array:
        return np.asarray(self._quiet.jacobian(self.X, return_std=True)[1])


def require_model(model: FittedModel) -> None:
    if not isinstance(model, FittedModel):
        raise SwarmnetError(f"model must be a FittedModel, not {type(model).__name__}")


def matched(model: FittedModel, data: MixedData) -> MixedData:
    """Return `data` with its columns in the model's order, without rows of weight 0."""
    require_model(model)
    return require_mixed_data(data).select(model.inputs, model.outputs).counted()


def column_of(model: FittedModel, name: str, data: MixedData | None = None) -> Drawn:
    """Return an output, a partial, a quantity of the data, or a formula with the names defined in training.

    Raises:
        SwarmnetError: it is none of these.
    """
    columns = columns_of(model.inputs, model.outputs)
    if not isinstance(name, str):
        raise unknown("column", name, columns)
    if name in columns:
        return columns[name]
    for quantity in () if data is None else data.quantities:
        if quantity.name == name:
            return QuantityColumn(name, quantity)
    try:
        define = as_definitions(model.training.get("define"))
        return QuantityColumn(name, quantity_of(name, define, model.inputs, model.outputs))
    except SwarmnetError as error:
        defined = quantities_of(model.training.get("define"), model.inputs, model.outputs)
        known = [*columns, *(quantity.name for quantity in defined)]
        near = "" if set(name) & set("+-*()") else suggestion(name, known).rstrip()
        raise SwarmnetError(f"unknown column {name!r}: {near or error}") from None


def is_log_input(model: FittedModel, input: int) -> bool:
    """Return whether the model takes the logarithm of an input: its axis is then logarithmic."""
    logs = model.scaling.logs
    return logs is not None and logs.inputs[input]


def is_log_output(model: FittedModel, column: Drawn) -> bool:
    """Return whether a column is the values of an output of which the model takes the logarithm."""
    logs = model.scaling.logs
    if logs is None or isinstance(column, QuantityColumn):
        return False
    return column.input is None and logs.outputs[column.output]


def input_of(model: FittedModel, name: str) -> int:
    if name not in model.inputs:
        raise unknown("input", name, model.inputs)
    return model.inputs.index(name)


def names_of(what: str, given: Sequence[str]) -> list[str]:
    """Return the names as a list; a single name may be given as a string."""
    names = [given] if isinstance(given, str) else list(given)
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise SwarmnetError(f"{what} must be one or more names, each once, not {given!r}")
    return names


def input_ranges(model: FittedModel, data: MixedData | None) -> tuple[Array, Array]:
    """Return lowest and highest inputs (d,) of the training data and of `data` together."""
    trained = [input_range(model.training, name) for name in model.inputs]
    known = [] if data is None else [data.X]
    ends = [pair for pair in trained if pair is not None]
    if len(ends) == len(trained):
        known.append(np.array(ends).T)
    if not known:
        raise SwarmnetError("the model does not know the range of its inputs: give data=")
    points = np.vstack(known)
    if model.scaling.logs is not None:
        model.scaling.logs.refuse_inputs(points, model.inputs)
    return points.min(0), points.max(0)


def base_point(model: FittedModel, at: At, low: Array, high: Array) -> Array:
    """Return the point `at` (d,); inputs that it leaves open are midway between `low` and `high` (d,).

    Midway of an input of which the model takes the logarithm is the geometric mean.
    """
    point = low / 2 + high / 2
    for j in range(len(point)):
        if is_log_input(model, j):
            point[j] = np.sqrt(low[j]) * np.sqrt(high[j])
    if isinstance(at, Mapping | pd.Series):
        given = [(input_of(model, str(name)), value) for name, value in at.items()]
        for j, value in given:
            point[j] = _number(model.inputs[j], value)
    elif at is not None:
        values = np.asarray(at, dtype=object)
        if values.shape != point.shape:
            raise SwarmnetError(
                f"at must be a dict of inputs, or {len(point)} numbers ({listed(model.inputs)}), "
                f"not of shape {values.shape}"
            )
        point[:] = [_number(name, value) for name, value in zip(model.inputs, values, strict=True)]
    for j, name in enumerate(model.inputs):
        if is_log_input(model, j) and point[j] <= 0:
            raise SwarmnetError(f"at: {name} must be positive, as its logarithm is taken, not {point[j]:g}")
    return point


def place(model: FittedModel, point: Array, names: Sequence[str]) -> str:
    """Return the named inputs of the point (d,) as text: "T = 300, p = 1e+06"."""
    told = []
    for name in names:
        j = model.inputs.index(name)
        unit = float(model.scaling.x_scale[j])
        unit = unit * abs(float(point[j])) if is_log_input(model, j) else unit
        digits = for_offset(float(point[j]), unit)
        told.append(f"{name} = {point[j]:.{digits}g}")
    return ", ".join(told)


@dataclass(frozen=True, eq=False)
class Slice:
    """A model through a base point: the point, the inputs' ranges (all (d,)), and the data to draw."""

    model: FittedModel
    at: Array
    low: Array
    high: Array
    data: MixedData | None
    nearness: float

    @classmethod
    def of(cls, model: FittedModel, at: At, data: MixedData | None, nearness: float) -> "Slice":
        require_model(model)
        data = None if data is None else matched(model, data)
        if not (isinstance(nearness, Real) and 0 <= nearness < np.inf):
            raise SwarmnetError(
                f"nearness must be a share of the inputs' ranges, 0 or more, not {nearness!r}"
            )
        low, high = input_ranges(model, data)
        return cls(model, base_point(model, at, low, high), low, high, data, nearness)

    def answers(self, inputs: Sequence[int], coordinates: Array) -> Answers:
        """Return the answers at the base point with some inputs moved to coordinates (n, inputs)."""
        points = np.tile(self.at, (len(coordinates), 1))
        points[:, inputs] = coordinates
        return Answers(self.model, points)

    def near(self, free: Sequence[int]) -> NDArray[np.bool_]:
        """Return (n,): whether a row of the data is near the base point in every input not in `free`."""
        if self.data is None:
            return np.zeros(0, bool)
        logs = self.model.scaling.logs
        X, at, low, high = (
            numbers if logs is None else logs.of_inputs(numbers)
            for numbers in (self.data.X, self.at, self.low, self.high)
        )
        near = np.abs(X - at) <= self.nearness * (high - low)
        near[:, free] = True
        return np.asarray(near.all(axis=1))


def _number(name: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise SwarmnetError(f"at: {name} must be a finite number, not {value!r}")
    return number


def _finite(name: str, numbers: Array) -> Array:
    if not np.isfinite(numbers).all():
        raise SwarmnetError(f"the model's answer for {name} is not finite: nothing can be drawn of it")
    return numbers
