"""Short fits of a small network to a part of the data, to compare its predictions with the rest."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from swarmnet.data.canonical_order import by_name, canonical, mean_point
from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError
from swarmnet.fitting.column_fits import column_fits
from swarmnet.fitting.error_bar_parts import spread_of
from swarmnet.fitting.free_outputs import free_outputs, with_pinned_outputs
from swarmnet.fitting.options import FitOptions
from swarmnet.fitting.polynomials import trend_for
from swarmnet.model.audit import ColumnFit, places_of
from swarmnet.model.fitted_model import FittedModel
from swarmnet.network.network import Network
from swarmnet.objective.objective import Objective
from swarmnet.objective.row_sums import HeldSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import LM, TrainResult, run
from swarmnet.trainers.lm_run import multiplications

_HIDDEN = ((8,), (8, 8))  # small networks, of which the evidence chooses
_ITERATIONS = 150  # only bound time: less than a second for some hundred entries
_ENTRIES_A_TERM = 4  # fewest entries for each term of the coarse fit; chosen
_MOST_ENTRIES = 300  # of a column in a refit; only bounds time
_MULTIPLICATIONS = 6e9  # of all refits for cross checks; only bounds time, to some seconds


@dataclass(frozen=True, eq=False)
class Refits:
    """Refits of data whose inputs and outputs are in canonical order.

    Args:
        data: all rows.
    """

    data: MixedData

    @classmethod
    def of(cls, data: MixedData) -> "Refits":
        """Return refits of data with columns in any order."""
        return cls(data.select(by_name(data.inputs), by_name(data.outputs)))

    def without(self, name: str) -> MixedData:
        """Return the data without the column of this name."""
        place = next(place for place in places_of(self.data) if place.name(self.data) == name)
        return place.without(self.data)

    def fits(self, kept: MixedData) -> list[ColumnFit] | None:
        """Return the fits of all columns by a network trained on `kept`; None if it cannot be trained."""
        nets = [Network((kept.d, *hidden, kept.k), ["tanh"] * len(hidden) + ["linear"]) for hidden in _HIDDEN]
        return self._fits(nets, kept)

    @property
    def affordable(self) -> int:
        """The number of columns for whose cross checks there is time."""
        entries = with_fewer_entries(self.data).n_entries
        sizes = (Network((self.data.d, *hidden, self.data.k)).size for hidden in _HIDDEN)
        return int(_MULTIPLICATIONS / (_ITERATIONS * sum(multiplications(entries, size) for size in sizes)))

    def coarse_fits(self) -> list[ColumnFit] | None:
        """Return the fits of all columns by a polynomial of degree 2, or 1 if entries are few."""
        data = self.data
        terms = (data.d + 1) * (data.d + 2) // 2
        few = data.k * terms > data.n_entries / _ENTRIES_A_TERM
        trend = None if few else trend_for(data, 2, FitOptions(), least=2)
        return self._fits([Network((data.d, data.k), ["linear"], trend)], data)

    def _fits(self, nets: Sequence[Network], kept: MixedData) -> list[ColumnFit] | None:
        try:
            model = _trained(nets, with_fewer_entries(kept))
        except SwarmnetError:  # no entries, or no finite loss
            return None
        return None if model is None else column_fits(model, self.data)


def with_fewer_entries(data: MixedData, most: int = _MOST_ENTRIES) -> MixedData:
    """Return rows with up to `most` entries of each column, drawn at random, the same every time."""
    rng, chosen = np.random.default_rng(0), np.zeros(data.n, bool)
    for place in places_of(data):
        seen = np.flatnonzero(~np.isnan(place.of(data)) & (data.row_weights > 0))
        missing = max(most - int(np.count_nonzero(chosen[seen])), 0)
        rest = seen[~chosen[seen]]
        chosen[rest if len(rest) <= missing else rng.choice(rest, missing, replace=False)] = True
    return data.take(chosen)


def _trained(nets: Sequence[Network], data: MixedData) -> FittedModel | None:
    """Return the network with the largest evidence; None if training was interrupted."""
    ordered = canonical(data).in_memory
    assert ordered is not None
    known = ordered.statistics
    scaling = Scaling.of(known).for_quantities(known, ordered.quantities)
    source, best = HeldSource(ordered, Preparation(scaling, known)), None
    for net in nets:
        objective = Objective(net, source, derivative_weight=None, l2=None)
        result = run(LM(iterations=_ITERATIONS), objective, np.random.default_rng(0))
        if result.status == "interrupted":
            return None
        if best is None or _evidence(result) > _evidence(best[1]):
            best = objective, result
    assert best is not None
    objective, result = best
    model = FittedModel(objective.net, result.theta, scaling, ordered.inputs, ordered.outputs)
    model = replace(model, spread=spread_of(objective, result))
    free = free_outputs(ordered)
    centre = dict(zip(ordered.inputs, mean_point(ordered).tolist(), strict=True))
    return with_pinned_outputs(model, free, centre) if free else model


def _evidence(result: TrainResult) -> float:
    return -np.inf if result.posterior is None else result.posterior.log_evidence
