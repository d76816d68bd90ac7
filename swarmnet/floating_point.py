"""The floating-point type of sums, and the silence of warnings where the caller checks the results."""

from typing import Any

import numpy as np

from swarmnet.errors import SwarmnetError


def far_out() -> np.errstate:
    """Silence overflow warnings: for very large weights the loss is inf or NaN, which the caller handles."""
    return np.errstate(over="ignore", under="ignore", invalid="ignore")


def float_type(dtype: object) -> np.dtype[Any]:
    """Return the dtype in which sums are taken.

    Raises:
        SwarmnetError: it is neither float64 nor float32.
    """
    expected = SwarmnetError(f"dtype must be float64 or float32, not {dtype}")
    try:
        found: np.dtype[Any] = np.dtype(dtype)  # type: ignore[call-overload]
    except TypeError:
        raise expected from None
    if found not in (np.dtype("float64"), np.dtype("float32")):
        raise expected
    return found
