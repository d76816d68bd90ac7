"""The fits of a model's columns to the entries that were observed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.model.audit import ColumnFit, Place, places_of
from swarmnet.model.fitted_model import FittedModel

Array = NDArray[Any]


def column_fits(model: FittedModel, data: MixedData) -> list[ColumnFit]:
    """Return the fit of each column that has entries, in the order of `MixedData.entry_columns`.

    Args:
        model: a model; if it has a `spread`, predictions have standard deviations, which take the most time.
        data: rows with the model's inputs and outputs, in its order.
    """
    answers: dict[str, tuple[Array, Array]] = {}
    found = (_column_fit(model, data, place, answers) for place in places_of(data))
    return [column for column in found if column is not None]


def _column_fit(
    model: FittedModel, data: MixedData, place: Place, answers: dict[str, tuple[Array, Array]]
) -> ColumnFit | None:
    observed = place.of(data)
    rows = np.flatnonzero(~np.isnan(observed) & (data.row_weights > 0))
    if not len(rows):
        return None
    try:
        if place.array == "Q":
            predicted, deviation = _answer(model, data.X[rows], place, data)
        else:
            if place.array not in answers:
                answers[place.array] = _answer(model, data.X, place, data)
            both = (answer[(rows, *place.index)] for answer in answers[place.array])
            predicted, deviation = both
    except SwarmnetError:  # a formula is not defined there, or an answer is infinite
        return None
    numbers = (observed[rows], predicted, place.sigma(data)[rows], data.row_weights[rows], deviation)
    return ColumnFit(place, place.name(data), rows, *numbers, place.has_offset(data))


def _answer(model: FittedModel, X: Array, place: Place, data: MixedData) -> tuple[Array, Array]:
    std = model.spread is not None
    if place.array == "Q":
        found = model.quantity(data.quantities[place.index[0]], X, return_std=std)
    else:
        found = (model.predict if place.array == "Y" else model.jacobian)(X, return_std=std)
    return found if std else (found, np.zeros_like(found))
