"""Matrices of numbers that are no symbol of the network: the row, units, and entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.data_frames import pd
from swarmnet.explanation.steps import Matrix
from swarmnet.number_format import for_range
from swarmnet.scaling import Scaling

Array = NDArray[Any]


def frame_of(columns: Sequence[str], labels: Sequence[str], numbers: ArrayLike) -> pd.DataFrame:
    """Return numbers (labels, columns) as a frame."""
    return pd.DataFrame(np.asarray(numbers, float), list(labels), list(columns), copy=True)


def table(
    name: str, what: str, frame: pd.DataFrame, made: bool = False, digits: int = Matrix.digits
) -> Matrix:
    """Return a matrix of which all numbers except 0 are active."""
    numbers = frame.to_numpy()
    return Matrix(name, what, frame, (numbers != 0) & ~np.isnan(numbers), made, digits)


def digits_of(offsets: Array, scales: Array, logged: Sequence[bool] = ()) -> int:
    """Return significant digits for numbers that may vary little around an offset.

    Where they are `logged`, offset and scale are those of their logarithms.
    """
    ends = np.array([offsets - scales, offsets + scales])
    with np.errstate(over="ignore"):  # such numbers get the usual digits
        ends = np.where(logged, np.exp(ends), ends) if logged else ends
    return max(for_range(float(low), float(high), Matrix.digits) for low, high in ends.T)


def digits_of_inputs(scaling: Scaling) -> int:
    """Return significant digits for inputs in the data's units."""
    return digits_of(scaling.x_offset, scaling.x_scale, scaling.logs.inputs if scaling.logs else ())


def digits_of_outputs(scaling: Scaling) -> int:
    """Return significant digits for outputs in the data's units."""
    return digits_of(scaling.y_offset, scaling.y_scale, scaling.logs.outputs if scaling.logs else ())
