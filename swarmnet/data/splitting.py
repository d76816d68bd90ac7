"""Holding rows out for testing."""

from typing import overload

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.file_data import FileData, split_files
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.random_state import same_random_state

_USUAL = 0.2  # share of the points that are held out
LEAST_HELD_OUT = 5  # points: the root of the mean square of so few errors is known to within a third


def usual_fraction(data: MixedData | FileData) -> float:
    """The share of the points to hold out where nobody says: a fifth, or none where that is less than five.

    A root mean square of m errors has a standard deviation of about 1 / sqrt(2 m) of itself, a third for
    five. With fewer a test says little, while each point that it takes is missed in training.
    """
    if isinstance(data, FileData):
        points = data.about
    else:
        points = len(np.unique(data.X[(data.row_weights > 0) & (data.entries_per_row > 0)], axis=0))
    return _USUAL if round(_USUAL * points) >= LEAST_HELD_OUT else 0.0


@overload
def split(data: MixedData, fraction: float, seed: int) -> tuple[MixedData, MixedData | None]: ...
@overload
def split(
    data: MixedData | FileData, fraction: float, seed: int
) -> tuple[MixedData | FileData, MixedData | None]: ...
def split(
    data: MixedData | FileData, fraction: float, seed: int
) -> tuple[MixedData | FileData, MixedData | None]:
    """Rows to train on, and a random `fraction` of the points to test on; None where that is less than one.

    Rows at one point stay on one side, so that no test point was trained on. Each kind of point (what is
    observed there) is held out in proportion, and the only point of a kind is kept while others are left:
    without it the model might never see a value at all. Rows of weight 0 are on neither side.

    Of FileData every point is held out with that probability, but of no more than about 100,000 rows: these
    are held in memory.

    Raises:
        SwarmnetError: a fraction outside [0, 1), or too few points to leave any to train on.
    """
    if not 0 <= fraction < 1:
        raise SwarmnetError(f"the test fraction must be from 0 to less than 1, not {fraction}")
    if isinstance(data, FileData):
        return split_files(data, fraction, seed)
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
    """A number for each pattern of observed entries, by point; `point` (n,) numbers each row's."""
    by_row = ~np.isnan(np.concatenate([data.Y, data.J.reshape(data.n, -1)], axis=1))
    seen = np.zeros((point.max() + 1, by_row.shape[1]), dtype=bool)
    np.logical_or.at(seen, point, by_row)
    return np.unique(seen, axis=0, return_inverse=True)[1].ravel()


def _choose(kind: NDArray[np.intp], count: int, seed: int) -> NDArray[np.intp]:
    """`count` points, of each kind in proportion, and none that is alone of its kind if that can be."""
    with same_random_state():
        from sklearn.model_selection import train_test_split  # noqa: PLC0415  # most of a second to import

    may_go = np.flatnonzero(np.bincount(kind)[kind] > 1)
    if len(may_go) < count:
        may_go = np.arange(len(kind))
    if len(may_go) == count:
        return may_go
    kinds, sizes = np.unique(kind[may_go], return_counts=True)
    # scikit-learn wants two of each kind, and room for every kind on both sides.
    in_proportion = sizes.min() > 1 and len(kinds) <= min(count, len(may_go) - count)
    chosen: NDArray[np.intp] = train_test_split(
        may_go,
        test_size=count,
        random_state=seed % 2**32,  # it takes no larger ones
        stratify=kind[may_go] if in_proportion else None,
    )[1]
    return chosen
