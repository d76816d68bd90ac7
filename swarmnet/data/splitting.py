"""Holding out rows for testing."""

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.dataset import Dataset, require_mixed_data
from swarmnet.data.file_data import FileData, split_files
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.random_state import same_random_state

_USUAL = 0.2  # chosen: share of the points that are held out
LEAST_HELD_OUT = 5  # points: the RMS of so few errors has a standard deviation of about a third


def usual_fraction(data: Dataset) -> float:
    """Return the default share of held-out points: 0.2, or 0 if that is less than five points.

    The root mean square of m errors has a relative standard deviation of about 1 / sqrt(2 m): a third for
    m = 5. With fewer points a test says little, and each held-out point is missing in training.
    """
    if isinstance(data, FileData):
        points = data.about
    else:
        rows = require_mixed_data(data)
        points = len(np.unique(rows.X[(rows.row_weights > 0) & (rows.entries_per_row > 0)], axis=0))
    return _USUAL if round(_USUAL * points) >= LEAST_HELD_OUT else 0.0


def split(data: Dataset, fraction: float, seed: int) -> tuple[Dataset, MixedData | None]:
    """Return training rows, and test rows at a random `fraction` of the points; None if that is no point.

    Rows at one point stay together, so that no test point was trained on. Points are stratified by which
    entries are observed there. The only point of such a kind stays in training while other points are left:
    without it the model might see no value at all. Rows of weight 0 are in neither part.

    In FileData each point is held out with that probability. At most about 100,000 rows are held out,
    because these are kept in memory.

    Raises:
        SwarmnetError: the fraction is outside [0, 1), or too few points would be left for training.
    """
    if not 0 <= fraction < 1:
        raise SwarmnetError(f"the test fraction must be from 0 to less than 1, not {fraction}")
    if isinstance(data, FileData):
        return split_files(data, fraction, seed)
    data = require_mixed_data(data)
    if data.weights is not None:
        data = data.take(data.weights > 0)
    points, point = np.unique(data.X, axis=0, return_inverse=True)
    point = point.ravel()
    count = round(fraction * len(points))
    if count == 0:
        return data, None
    if count >= len(points):
        raise SwarmnetError("too few points to hold some out: use a smaller test fraction")
    chosen = _choose(_kinds(data, point), count, seed)
    held_out = np.isin(point, chosen)
    return data.take(~held_out), data.take(held_out)


def _kinds(data: MixedData, point: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return, for each point, a number for its pattern of observed entries; `point` (n,) is each row's."""
    by_row = ~np.isnan(np.concatenate([data.Y, data.J.reshape(data.n, -1), data.Q], axis=1))
    seen = np.zeros((point.max() + 1, by_row.shape[1]), dtype=bool)
    np.logical_or.at(seen, point, by_row)
    return np.unique(seen, axis=0, return_inverse=True)[1].ravel()


def _choose(kind: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    """Return `count` points, stratified by kind; the only point of a kind is chosen only if necessary."""
    with same_random_state():
        from sklearn.model_selection import train_test_split  # noqa: PLC0415  # takes nearly 1 s to import

    may_go = np.flatnonzero(np.bincount(kind)[kind] > 1)
    if len(may_go) < count:
        may_go = np.arange(len(kind))
    if len(may_go) == count:
        return may_go
    kinds, sizes = np.unique(kind[may_go], return_counts=True)
    # scikit-learn needs two points of each kind, and room for every kind on both sides.
    in_proportion = sizes.min() > 1 and len(kinds) <= min(count, len(may_go) - count)
    chosen: NDArray[np.intp] = train_test_split(
        may_go,
        test_size=count,
        random_state=seed % 2**32,  # it takes 32 bits
        stratify=kind[may_go] if in_proportion else None,
    )[1]
    return chosen
