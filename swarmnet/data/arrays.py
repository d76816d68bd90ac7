"""Checks of the arrays of MixedData: shapes, names and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.column_names import (
    Array,
    listed,
    refuse_dangerous_name,
)
from swarmnet.data.name_matching import Tables
from swarmnet.data.quantities import Quantity
from swarmnet.errors import SwarmnetError

_BLOCK = 1 << 22  # numbers in a block of rows


def as_numbers(name: str, value: ArrayLike) -> Array:
    """Return a float64 copy, so that freezing or changing it does not affect the caller's array.

    Raises:
        SwarmnetError: the array holds dates, complex numbers or something that is not a number.
    """
    if isinstance(value, np.ma.MaskedArray):
        value = np.ma.filled(value.astype(np.float64), np.nan)
    try:
        given = np.asarray(value)
        if given.dtype.kind in "cmM":
            raise TypeError(f"it holds {given.dtype}")
        return np.array(given, dtype=np.float64, order="C")
    except (TypeError, ValueError, OverflowError) as error:
        raise SwarmnetError(f"{name} is not an array of numbers: {error}") from None


def matched(tables: Tables, inputs: list[str] | None, outputs: list[str] | None) -> dict[str, Any]:
    """Return the fields of MixedData; tables' columns are selected and ordered by name."""
    X = as_numbers("X", tables.selected("X", inputs))
    if X.ndim != 2 or X.shape[1] == 0:
        raise SwarmnetError(f"X must be (rows, inputs) with at least one input, not {X.shape}")
    into = _names("inputs", tables.names("X") if inputs is None else inputs, X.shape[1], "x")
    Y = _numbers("Y", tables.selected("Y", outputs))
    named = (tables.names("Y") or tables.numerators("J", into)) if outputs is None else outputs
    out = named or _names("outputs", None, Y.shape[1] if Y is not None and Y.ndim == 2 else 1, "y")
    J = _numbers("J", tables.partials("J", into, out))
    Y, J = _targets(X.shape, Y, J)
    return {
        "X": X,
        "Y": Y,
        "J": J,
        "Y_sigma": _sigma("Y_sigma", tables.placed("Y_sigma", out), Y),
        "J_sigma": _sigma("J_sigma", tables.partials("J_sigma", into, out), J),
        "inputs": into,
        "outputs": _names("outputs", named, Y.shape[1], "y"),
        "weights": _row_weights(tables.selected("weights", None), len(X)),
    }


def most_rows(d: int, k: int, most: int) -> int:
    """Return the number of rows in a block, up to `most`, for d inputs and k outputs."""
    return max(1, min(most, _BLOCK // (d + k * (1 + d))))


def of_quantities(
    n: int, Q: ArrayLike | None, Q_sigma: ArrayLike | None, quantities: Sequence[Quantity]
) -> dict[str, Any]:
    """Return the fields of MixedData for the quantities observed in n rows."""
    found = np.full((n, len(quantities)), np.nan) if Q is None else as_numbers("Q", Q)
    if found.shape != (n, len(quantities)):
        raise SwarmnetError(f"Q must be ({n}, {len(quantities)}), rows and quantities, not {found.shape}")
    sigma = None if Q_sigma is None or found.size == 0 else _sigma("Q_sigma", Q_sigma, found)
    return {"Q": found, "Q_sigma": sigma, "quantities": tuple(quantities)}


def _numbers(name: str, given: ArrayLike | None) -> Array | None:
    return None if given is None else as_numbers(name, given)


def _targets(shape: tuple[int, ...], Y: Array | None, J: Array | None) -> tuple[Array, Array]:
    """Return Y (n, k) and J (n, k, d) for X of shape (n, d), filled with NaN if not given."""
    n, d = shape
    if Y is not None and Y.ndim == 1:
        Y = Y[:, None]
    if J is not None and J.ndim == 2:
        J = J[:, None, :]
    if Y is not None and (Y.ndim != 2 or Y.shape[0] != n or Y.shape[1] == 0):
        raise SwarmnetError(f"Y must be (rows, outputs) with {n} rows as in X, not {Y.shape}")
    if J is not None and (J.ndim != 3 or J.shape[::2] != (n, d) or J.shape[1] == 0):
        raise SwarmnetError(
            f"J must be (rows, outputs, inputs) with {n} rows and {d} inputs as in X, not {J.shape}"
        )
    if Y is None and J is None:
        raise SwarmnetError("there are no entries: give Y, J or both")
    k = Y.shape[1] if Y is not None else J.shape[1] if J is not None else 0
    Y = np.full((n, k), np.nan) if Y is None else Y
    J = np.full((n, k, d), np.nan) if J is None else J
    if J.shape[1] != k:
        raise SwarmnetError(f"Y has {k} outputs but J has {J.shape[1]}: give one for each")
    return Y, J


def _sigma(name: str, sigma: ArrayLike | None, target: Array) -> Array | None:
    """Return standard deviations in the shape of their targets, with NaN for unobserved targets."""
    if sigma is None:
        return None
    value = as_numbers(name, sigma)
    if value.ndim == target.ndim - 1 and target.shape[1] == 1:
        value = np.expand_dims(value, 1)
    if value.shape != target.shape:
        raise SwarmnetError(f"{name} must be {target.shape} like its targets, not {value.shape}")
    value[np.isnan(target)] = np.nan
    return None if np.isnan(value).all() else value


def _row_weights(given: ArrayLike | None, n: int) -> Array | None:
    if given is None:
        return None
    weights = as_numbers("weights", given)
    if weights.shape != (n,):
        raise SwarmnetError(f"weights must be ({n},), one for each row of X, not {weights.shape}")
    bad = ~((weights == 0) | ((weights >= np.finfo(float).tiny) & (weights < np.inf)))
    if bad.any():
        row = int(np.argmax(bad))
        raise SwarmnetError(f"the weight of row {row} must be 0 or a positive number, not {weights[row]}")
    if weights.max(initial=0.0) > np.finfo(float).max / max(n, 1):
        raise SwarmnetError("the weights are too large: their sum may be infinite")
    return None if (weights == 1.0).all() else weights


def _names(what: str, given: Iterable[str] | None, count: int, letter: str) -> tuple[str, ...]:
    if given is None:
        if count == 1 and letter == "y":
            return ("y",)
        return tuple(f"{letter}{i + 1}" for i in range(count))
    names = (given,) if isinstance(given, str) else tuple(str(name) for name in given)
    if len(names) != count or not all(names):
        raise SwarmnetError(f"{what} must be {count} names, not {listed(names) or 'none'}")
    for name in names:
        refuse_dangerous_name(what.removesuffix("s"), name)
    return names


def rms_of_sigmas(columns: Iterable[tuple[str, Array, Array | None]]) -> dict[str, float]:
    """Return the root mean square of the sigmas beside observed targets, by column, if it has any."""
    given = {n: s[~np.isnan(target) & ~np.isnan(s)] for n, target, s in columns if s is not None}
    return {
        name: float(np.linalg.norm(s / s.max()) * s.max() / len(s) ** 0.5)
        for name, s in given.items()
        if len(s)
    }


def refuse_row(name: str, bad: NDArray[np.bool_], what: str) -> None:
    """Raise SwarmnetError with the first row that is bad."""
    if bad.any():
        raise SwarmnetError(f"{name!r} {what} in row {int(np.argmax(bad))}: correct or remove it")
