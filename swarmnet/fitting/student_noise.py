"""Noise of Student's t distribution: the weight of each entry, from its residual.

With nu degrees of freedom and the scale s of its column, an entry with residual r counts as

    w = (nu + 1) / (nu + (r / s)^2)

Gaussian ones, which is the step of expectation in the EM algorithm (Lange, Little and Taylor, "Robust
statistical modeling using the t distribution", JASA 84, 1989). At the maximum of the likelihood the mean
weight of a column is 1, so that weights are how often entries count.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.canonical_order import canonical
from swarmnet.data.column_names import derivative_name
from swarmnet.data.mixed_data import MixedData
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.metrics import predictions_at

Array = NDArray[np.float64]

DEGREES = 4.0  # Lange, Little and Taylor (1989) take 4 where entries are too few to estimate it
OUTLIER = 0.1  # weight below which an entry is named: a residual of more than 6.8 scales
# Weight below which an entry is left out: beyond 70 scales it pulls less than a tenth as hard as one at 1.
# But if the next fit is much closer, this scale is too large, and the outlier would pull harder.
_LEFT_OUT = 1e-3
_ALIKE = np.log(4.0)  # of weights: scales differ by a factor of up to 2
# Distance from the column's median beyond which an entry is left out of the first fit; in standard deviations
# as estimated by the median absolute deviation
_FENCE = 10.0
DEVIATION = 1.4826  # standard deviation of a Gaussian in units of its median absolute deviation
_ROUNDING = 1e-15  # smallest scale in units of the column's largest number: below it residuals are rounding
_SCALES = 100  # most updates of a scale
_SETTLED = 1e-3  # relative change of a scale that ends them


def first_weights(data: MixedData) -> Array:
    """Return the weights (n, m) of the first fit: 0 for entries far from their column's median, else 1.

    The m columns are those of all outputs' values, then the partials, then the quantities.
    """
    targets = _flat(data, data.Y, data.J, data.Q)
    weights = np.ones_like(targets)
    for column in _observed(targets):
        numbers = targets[column]
        apart = np.abs(numbers - np.median(numbers))
        spread = DEVIATION * np.median(apart)
        if spread > 0:
            weights[column] = np.where(apart <= _FENCE * spread, 1.0, 0.0)
    return weights


def scales_of(data: MixedData, residuals: Array) -> Array:
    """Return the scale of the noise of each column (2, m): of entries without and with a given sigma.

    It is the maximum of the likelihood for these residuals (n, m), which are in units of the given sigmas. A
    scale in these units is 1, or larger where a fit misses the sigmas.
    """
    targets, sigmas = _flat(data, data.Y, data.J, data.Q), _sigmas(data)
    scales = np.ones((2, targets.shape[1]))
    for known in (0, 1):
        for rows, column in _observed(np.where(np.isnan(sigmas) ^ bool(known), targets, np.nan)):
            least = 1.0 if known else _ROUNDING * float(np.abs(targets[rows, column]).max() or 1.0)
            scales[known, column] = _scale(residuals[rows, column], data.row_weights[rows], least)
    return scales


def _scale(r: Array, often: Array, least: float) -> float:
    square = max(DEVIATION * float(np.median(np.abs(r))), least) ** 2
    for _ in range(_SCALES):
        before = square
        square = max(float(np.average(_weight(r * r / square) * r * r, weights=often)), least**2)
        if abs(square - before) <= _SETTLED * before:
            break
    return float(np.sqrt(square))


def _weight(square: Array) -> Array:
    """Return the weights of squared residuals in units of the scale."""
    return (DEGREES + 1.0) / (DEGREES + square)


def residuals_of(model: FittedModel, data: MixedData) -> Array:
    """Return prediction - target (n, m), in units of the entry's sigma if it has one; NaN if not observed."""
    Y, J, Q = predictions_at(replace(model, warns_outside=False), data)
    errors, sigmas = _flat(data, Y - data.Y, J - data.J, Q - data.Q), _sigmas(data)
    return np.asarray(errors / np.where(np.isnan(sigmas), 1.0, sigmas))


def weights_of(data: MixedData, residuals: Array, scales: Array) -> Array:
    """Return the weights (n, m) for residuals (n, m) and scales (2, m); NaN where nothing was observed."""
    scale = np.where(np.isnan(_sigmas(data)), scales[0], scales[1])
    return _weight((residuals / scale) ** 2)


def are_alike(before: Array, after: Array) -> bool:
    """Return whether the outliers by weights (n, m) are the same, with weights of about the same size."""
    low = (before < OUTLIER) | (after < OUTLIER)
    sizes = (np.log(np.maximum(weights[low], _LEFT_OUT)) for weights in (before, after))
    return bool((np.abs(np.subtract(*sizes)) <= _ALIKE).all())


def names_of(data: MixedData) -> list[str]:
    """Return the names of the m columns."""
    partials = [derivative_name(out, into) for out in data.outputs for into in data.inputs]
    return [*data.outputs, *partials, *(quantity.name for quantity in data.quantities)]


def weighted(data: MixedData, weights: Array) -> MixedData:
    """Return the entries with these weights (n, m) times those of their rows, in canonical form.

    Those whose weight is nearly 0 are left out.
    """
    targets = _flat(data, data.Y, data.J, data.Q)
    rows, columns = np.nonzero(~np.isnan(targets) & (weights > _LEFT_OUT))
    alone = np.where(columns[:, None] == np.arange(targets.shape[1]), targets[rows], np.nan)
    Y, J, Q = np.split(alone, [data.k, data.k * (1 + data.d)], axis=1)
    entries = replace(
        data.take(rows),
        Y=Y,
        J=J.reshape(len(rows), data.k, data.d),
        Q=Q,
        weights=data.row_weights[rows] * weights[rows, columns],
    )
    return canonical(entries).in_memory  # type: ignore[return-value]


def _observed(targets: Array) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yield the rows of each column that has entries, and its number: an index of these entries."""
    for column in range(targets.shape[1]):
        rows = np.flatnonzero(~np.isnan(targets[:, column]))
        if len(rows):
            yield rows, column


def _flat(data: MixedData, Y: Array, J: Array, Q: Array) -> Array:
    return np.concatenate([Y, J.reshape(data.n, -1), Q], axis=1)


def _sigmas(data: MixedData) -> Array:
    """Return the given sigmas (n, m), NaN where there is none."""
    pairs = ((data.Y, data.Y_sigma), (data.J, data.J_sigma), (data.Q, data.Q_sigma))
    return _flat(data, *(np.full_like(t, np.nan) if s is None else s for t, s in pairs))
