"""Exports in float32: a warning says what it rounds away, and what it cannot hold is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.column_names import listed
from swarmnet.errors import SwarmnetError, unknown, warn_user
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.training_record import input_range

Array = NDArray[Any]

DTYPES = ("float64", "float32")
_MUCH = 2e-5  # of its deviation, to which an input or an output is rounded
_POINTS = 256


def checked_dtype(model: FittedModel, dtype: str) -> np.dtype[Any]:
    """Return the dtype, and warn where float32 rounds inputs or outputs to much of what they differ by.

    Raises:
        SwarmnetError: it is neither float64 nor float32, or a scale is too small for it.
    """
    if dtype not in DTYPES:
        raise unknown("dtype", dtype, DTYPES)
    found = np.dtype(dtype)
    for name in ("x_scale", "y_scale"):
        with np.errstate(over="ignore", under="ignore"):
            if (getattr(model.scaling, name).astype(found) < np.finfo(found).tiny).any():
                raise unfit(name, found)
    if dtype == "float32":
        _warn_of_rounding(model)
    return found


def fitted_to(name: str, numbers: Array | float, dtype: np.dtype[Any]) -> Array:
    """Return a model's constants in the dtype.

    Raises:
        SwarmnetError: one is too large for it.
    """
    with np.errstate(over="ignore"):
        array: Array = np.asarray(numbers).astype(dtype)
    if not np.isfinite(array).all():
        raise unfit(name, dtype)
    return array


def unfit(name: str, dtype: np.dtype[Any]) -> SwarmnetError:
    """Return the error for a constant that the dtype cannot hold."""
    hint = "export float64" if dtype == np.float32 else "train it on data in other units"
    return SwarmnetError(f"the model's {name} is too large or too small for {dtype}: {hint}")


def _warn_of_rounding(model: FittedModel) -> None:
    told = [
        f"{name} to {step:.2g}, {100 * step / spread:.2g} % of its spread"
        for name, step, spread in _roundings(model)
        if step > _MUCH * spread
    ]
    if told:
        warn_user(f"float32 rounds {listed(told)}: export float64, or train on data less an offset")


def _roundings(model: FittedModel) -> Iterator[tuple[str, float, float]]:
    """Each input and output, how far from each other the float32 about its numbers lie, and its deviation.

    Those of outputs are measured at points all over the range of the inputs.
    """
    ranges = [input_range(model.training, name) for name in model.inputs]
    usual = model.scaling.usual_range.T
    low, high = np.array([known or tuple(ends) for known, ends in zip(ranges, usual, strict=True)]).T
    points = low + (high - low) * np.random.default_rng(0).random((_POINTS, model.net.d))
    with np.errstate(all="ignore"):
        values = model.scaling.unscale_Y(model.net.forward(model.theta, model.scaling.scale_X(points)))
        for name, numbers in zip((*model.inputs, *model.outputs), (*points.T, *values.T), strict=True):
            size, spread = float(np.abs(numbers).max()), float(numbers.std())
            step = float(np.spacing(np.float32(size)))
            if np.isfinite(step) and spread > 0:
                yield name, step, spread
