"""What to measure next: the entries that reduce the predictions' variance most, given the measured ones.

Answers a and b, of any columns at any points, have the covariance r_a'r_b, where r_a = C g_a for the gradient
g_a and the covariance C'C of the weights; below it, r_a has what the model cannot represent (`model.misfit`).
The posterior of the weights says what this model needs to know; the misfit leads to places far from all
measurements. Its mean variance is a fifth of that of the weights, so that neither rules alone. Other fits,
which widen the error bars, are not in r: if entries are few, they miss what was measured, and would have it
measured again. A measurement of the entry e with the noise s reduces the variance of the target t by

    (r_t'r_e)^2 / (s^2 + r_e'r_e)

(Cohn, Ghahramani and Jordan 1996; MacKay 1992, "Information-based objective functions"). The entry with the
largest sum over targets per cost is chosen. Its measurement multiplies all r by I - a r_e r_e', the square
root of its update of the covariance (Potter and Stern 1963), and then the next one is chosen. So entries that
say the same as an earlier one are not, before any is measured.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Union

import numpy as np
from numpy.typing import ArrayLike, NDArray

from swarmnet.data.column_names import as_list, listed, two_columns
from swarmnet.data.data_frames import pd
from swarmnet.data.definitions import as_definitions, quantity_of
from swarmnet.data.formulas import Name, Partial
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.quantities import Quantity
from swarmnet.data.readers import read_query
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.model import point_queries as queries
from swarmnet.model.columns import columns_of
from swarmnet.model.error_bars import quantity_roots, value_deviations
from swarmnet.model.fitted_model import FittedModel
from swarmnet.model.misfit import Misfit
from swarmnet.model.training_record import number
from swarmnet.threads import one_blas_thread
from swarmnet.trainers.limits import require_count, require_number

Array = NDArray[np.float64]
Names = str | Sequence[str]
Points = Union[ArrayLike, "pd.DataFrame", MixedData, os.PathLike[str]]  # pandas is imported when it is used

_POINTS = 1024  # quasi-random candidates
_TARGETS = 512  # points at which the variance of the targets is averaged
_MOST_CORNERS = 6  # inputs up to which all corners are candidates
_PAST_BOUNDS = 1.5  # chosen: a third of the candidates is at a bound of each input
_MISFIT = 0.2  # mean variance of the misfit, as a share of the weights'; chosen, see `benchmarks.suggest`
_MOST_NUMBERS = 2e7  # numbers in the candidates' r, which take 160 MB; of more candidates some are drawn


@one_blas_thread()
def suggest(
    model: FittedModel,
    n: int,
    candidates: Points | None = None,
    entries: Names | None = None,
    costs: Mapping[str, float] | None = None,
    target: Names | None = None,
    box: bool = False,
) -> pd.DataFrame:
    """Return the n entries, points with a column each, whose measurement would improve a model most.

    They are chosen one after another, each with the largest reduction per cost of the mean variance of the
    targets, given the training data and the entries before it. The variance is that of the weights'
    posterior, to first order in the weights, and of what the model cannot represent. An entry is chosen at
    most once.

    Args:
        model: a model with error bars.
        n: how many entries; fewer if there are fewer candidates.
        candidates: points (rows, d), as an array, a table with the inputs' names, MixedData, or the path of a
            CSV or Parquet file; equal points count once. By default quasi-random points of the box that the
            training inputs fill, with its corners and bounds. Of very many points a sample is taken.
        entries: the columns that can be measured: values, partials and formulas, as in `model.quantity`. By
            default those that were observed in training. Where a formula is not defined, it is no candidate.
        costs: of one measurement of a column; 1 for those not named.
        target: columns whose variance is to be reduced, in units of their spread; by default the values of
            all outputs. It is averaged over the candidates, if given, or quasi-random points of the box.
        box: whether the points of the box are candidates beside the given ones; the average is over both.

    Returns:
        A row for each entry, in the order chosen, with the inputs, entry (the column to measure), gain (the
        share of the targets' mean variance before any of the entries that this one removes; the sum is what
        all remove), error_bar (of the model there now) and, with candidates, row (of the candidate, the first
        is 0; <NA> for a point of the box that was not given). The noise of a column is the one that training
        estimated, or its mean sigma; for columns that were not observed, the same share of their spread as
        the others' in the median.

    Raises:
        SwarmnetError: the model has no error bars, n is not 1 or more, there are no candidates, a point is
            not valid, a column is unknown, or a cost is not positive.

    Source:
        D. A. Cohn, Z. Ghahramani and M. I. Jordan (1996): Active learning with statistical models.
    """
    require_count("n", n, 1)
    model = replace(model, warns_outside=False)
    _refuse_taken_names(model, ["entry", "gain", "error_bar", *([] if candidates is None else ["row"])])
    given = np.empty((0, len(model.inputs))) if candidates is None else _given(model, candidates)
    box = box or candidates is None
    X = np.concatenate([given, _box(model)]) if box else given
    first = np.sort(np.unique(X, axis=0, return_index=True)[1])  # of equal points
    model.predict(X[:1], return_std=True)  # raises if the model has no error bars
    chosen_from = _columns(model, "entries", _observed(model) if entries is None else entries)
    targets = _columns(model, "target", model.outputs if target is None else target)
    prices = _prices(costs, chosen_from)
    around = _around(model, X[first[first < len(given)]], box)
    misfit = _misfit(model, around)
    wanted = _target_roots(model, misfit, targets, around)
    most = int(max(_TARGETS, _MOST_NUMBERS // (len(wanted) * len(chosen_from))))
    rows = first[_sample(len(first), most)]
    pool = _pool(model, misfit, chosen_from, prices, X[rows])
    picked = list(_greedy(pool, wanted, n))
    where = rows[[pool.point[entry] for entry, _ in picked]]
    table = _table(model, X[where], [pool.column[entry] for entry, _ in picked], [gain for _, gain in picked])
    if candidates is None:
        return table
    row = pd.Series(where).astype("Int64").where(where < len(given)) if box else where
    return table.assign(row=row)


def _table(model: FittedModel, X: Array, entries: list[str], gains: list[float]) -> pd.DataFrame:
    """Return the table of entries at points X (n, d), with their error bars."""
    bars = {name: model.quantity(name, X, return_std=True)[1] for name in set(entries)}
    table = pd.DataFrame(X, columns=list(model.inputs)).assign(entry=entries, gain=gains)
    return table.assign(error_bar=[bars[name][i] for i, name in enumerate(entries)])


def _refuse_taken_names(model: FittedModel, columns: list[str]) -> None:
    if taken := set(columns).intersection(model.inputs):
        raise two_columns(min(taken))


def _around(model: FittedModel, given: Array, box: bool) -> Array:
    """Return points (n, d) over which the targets are averaged: of given ones (m, d), and of the box."""
    some = given[_sample(len(given), _TARGETS)]
    return np.concatenate([some, _quasi_random(model, _TARGETS)]) if box else some


@dataclass(frozen=True, eq=False)
class _Pool:
    """m entries to choose among."""

    column: list[str]
    point: NDArray[np.intp]  # (m,) number of the candidate point
    roots: Array  # (q, m) r of each entry
    variance: Array  # (m,) of its noise
    cost: Array  # (m,)


def _greedy(pool: _Pool, targets: Array, n: int) -> Iterator[tuple[int, float]]:
    """Yield up to n entries with their gains, for r of the targets (q, t)."""
    R, total = pool.roots.copy(), float(_squares(targets).sum()) or 1.0
    # The same sums of squares in at most q columns
    T = targets if targets.shape[1] <= len(targets) else np.asarray(np.linalg.qr(targets.T, mode="r")).T
    left = np.ones(len(pool.cost), bool)
    for _ in range(min(n, len(left))):
        size = _squares(R)
        gain = _ratio(_squares(T.T @ R), size + pool.variance)
        best = int(np.where(left, gain / pool.cost, -1.0).argmax())
        yield best, float(gain[best]) / total
        left[best] = False
        r, own = R[:, best].copy(), size[best]
        if own > 0:
            a = (1.0 - np.sqrt(pool.variance[best] / (own + pool.variance[best]))) / own
            R -= np.outer(a * r, r @ R)
            T = T - np.outer(a * r, r @ T)


def _pool(
    model: FittedModel,
    misfit: Misfit | None,
    columns: Mapping[str, Quantity],
    prices: Mapping[str, float],
    X: Array,
) -> _Pool:
    """Return all entries of the columns at points X (n, d), without those that are not defined."""
    answers = {name: _answers(model, misfit, quantity, X) for name, quantity in columns.items()}
    noise = _noises(model, {name: values for name, (values, _) in answers.items()}, X)
    defined = {name: np.isfinite(values) & np.isfinite(_squares(r)) for name, (values, r) in answers.items()}
    rows = {name: np.flatnonzero(seen) for name, seen in defined.items()}
    names = [name for name, found in rows.items() for _ in found]
    if not names:
        raise SwarmnetError(f"no candidates: {listed(list(columns))} is not defined at any of the points")
    return _Pool(
        names,
        np.concatenate(list(rows.values())),
        np.concatenate([answers[name][1][:, found] for name, found in rows.items()], axis=1),
        np.concatenate([noise[name][found] ** 2 for name, found in rows.items()]),
        np.array([prices[name] for name in names]),
    )


def _target_roots(
    model: FittedModel, misfit: Misfit | None, columns: Mapping[str, Quantity], X: Array
) -> Array:
    """Return r (q, t) of all targets at points X (n, d), each column in units of its spread."""
    parts = []
    for quantity in columns.values():
        values, roots = _answers(model, misfit, quantity, X)
        defined = np.isfinite(values) & np.isfinite(_squares(roots))
        parts.append(roots[:, defined] / _spread(values[defined]) / max(1.0, defined.sum() ** 0.5))
    return np.concatenate(parts, axis=1)


def _misfit(model: FittedModel, X: Array) -> Misfit | None:
    """Return the misfit, in the network's units, for points X (n, d); None without training points."""
    if model.points is None:
        return None
    assert model.spread is not None
    points, around = model.scaling.scale_X(model.points.X), model.scaling.scale_X(X)
    variance = np.mean(value_deviations(model.net, model.theta, model.spread, around) ** 2, axis=0)
    return Misfit.of(points, around, _MISFIT * variance)


def _answers(model: FittedModel, misfit: Misfit | None, quantity: Quantity, X: Array) -> tuple[Array, Array]:
    """Return a quantity's values (n,) at X (n, d), and its r (q, n)."""
    assert model.spread is not None
    logs = model.scaling.logs
    of_network = quantity if logs is None else logs.quantity(quantity)
    scaled, points = model.scaling.scale_quantities([of_network], None)[0], model.scaling.scale_X(X)
    with np.errstate(all="ignore"):
        values, slopes = queries.with_slopes(model.net, model.theta, points, scaled)
        own = quantity_roots(model.net, model.theta, model.spread, points, scaled)
        beside = [] if misfit is None else [misfit.roots(points, scaled.arguments, slopes)]
    return values, np.concatenate([own, *beside])


def _noises(model: FittedModel, answers: Mapping[str, Array], X: Array) -> dict[str, Array]:
    """Return the standard deviations (n,) of the noise of each column, whose answers at X are given."""
    known = {name: noise for name in answers if (noise := _recorded(model, name, X)) is not None}
    spreads = {name: _spread(values) for name, values in answers.items()}
    shares = [float(np.median(noise)) / spreads[name] for name, noise in known.items()]
    share = float(np.median(shares)) if shares else 0.0
    return {name: known.get(name, np.full(len(X), share * spread)) for name, spread in spreads.items()}


def _recorded(model: FittedModel, column: str, X: Array) -> Array | None:
    """Return a column's noise (n,) at X (n, d) by the training record, None if that has none."""
    noise, sigma = (_numbers(model, name) for name in ("noise", "sigma"))
    label, logs = _labels(model).get(column, column), model.scaling.logs
    if column in noise or label not in noise or logs is None:
        found = noise.get(column, sigma.get(column))
        return None if found is None else np.full(len(X), found)
    own = columns_of(model.inputs, model.outputs)[column]
    inputs, outputs = logs.factors(X, model.predict(X))
    along = 1.0 if own.input is None else inputs[:, own.input]
    return np.asarray(noise[label] * outputs[:, own.output] * along)


def _numbers(model: FittedModel, field: str) -> dict[str, float]:
    """Return the positive numbers by column in a field of the training record."""
    part = model.training.get(field)
    pairs = part.items() if isinstance(part, Mapping) else ()
    return {str(name): found for name, value in pairs if (found := number(value) or 0.0) > 0}


def _labels(model: FittedModel) -> dict[str, str]:
    """Return by column what the network's own column is called: dlog(pv)/dT for dpv/dT."""
    logs = model.scaling.logs
    names = (model.inputs, model.outputs) if logs is None else logs.labels(model.inputs, model.outputs)
    return dict(zip(columns_of(model.inputs, model.outputs), columns_of(*names), strict=True))


def _observed(model: FittedModel) -> list[str]:
    """Return the columns that were observed in training, the outputs' values and partials first."""
    seen, labels = {**_numbers(model, "noise"), **_numbers(model, "sigma")}, _labels(model)
    own = [name for name, label in labels.items() if name in seen or label in seen]
    return own + [name for name in seen if name not in {*labels, *labels.values()}]


def _columns(model: FittedModel, what: str, names: Names) -> dict[str, Quantity]:
    """Return the quantities of columns by name."""
    inputs, outputs = model.inputs, model.outputs
    plain = columns_of(inputs, outputs)
    define = as_definitions(model.training.get("define"))
    found = {}
    for name in as_list(names) or ():
        if name in plain:
            o, j = plain[name].output, plain[name].input
            tree = Name(outputs[o], name) if j is None else Partial(outputs[o], (inputs[j],), name)
            found[name] = Quantity.of(name, tree, inputs, outputs)
        else:
            try:
                found[name] = quantity_of(name, define, inputs, outputs)
            except SwarmnetError as error:
                raise SwarmnetError(f"{what} (--{what}): {error}") from None
    if not found:
        raise SwarmnetError(f"{what} (--{what}) names no column: the outputs are {listed(outputs)}")
    return found


def _prices(costs: Mapping[str, float] | None, columns: Iterable[str]) -> dict[str, float]:
    """Return the cost of each column."""
    found = dict.fromkeys(columns, 1.0)
    for name, cost in (costs or {}).items():
        if name not in found:
            raise unknown("column in costs (--costs)", name, found)
        require_number(f"the cost of {name}", cost, "a positive number", lambda c: c > 0)
        found[name] = float(cost)
    return found


def _given(model: FittedModel, candidates: Points) -> Array:
    """Return the points (n, d) of candidates."""
    if isinstance(candidates, str | os.PathLike):
        candidates = read_query(candidates, model.inputs, units=model.units)[0]
    elif isinstance(candidates, MixedData):
        candidates = pd.DataFrame(candidates.X, columns=list(candidates.inputs))
    X = model.table(candidates)[list(model.inputs)].to_numpy()  # checks the points
    if not len(X):
        raise SwarmnetError("no candidates: there is no row")
    return np.asarray(X)


def _box(model: FittedModel) -> Array:
    """Return quasi-random points (n, d) of the training inputs' box, with many at its bounds."""
    d = len(model.inputs)
    corners = np.array(list(product((0.0, 1.0), repeat=d))) if d <= _MOST_CORNERS else np.zeros((0, d))
    inside = np.clip(0.5 + _PAST_BOUNDS * (_sobol(d, _POINTS) - 0.5), 0.0, 1.0)
    return _within(model, np.concatenate([corners, inside]))


def _quasi_random(model: FittedModel, n: int) -> Array:
    """Return points (n, d) of the training inputs' box."""
    return _within(model, _sobol(len(model.inputs), n))


def _sobol(d: int, n: int) -> Array:
    """Return n points of the unit cube, a power of 2."""
    from scipy.stats import qmc  # noqa: PLC0415  # takes 0.5 s to import

    return np.asarray(qmc.Sobol(d, scramble=False).random(n))


def _within(model: FittedModel, U: Array) -> Array:
    """Return points U (n, d) of the unit cube as points of the training inputs' box."""
    low, high = model.region.low, model.region.high
    if not np.isfinite([low, high]).all():
        raise SwarmnetError("no candidates: this model does not know its training range: give the points")
    return np.where(U == 1.0, high, low + U * (high - low))


def _sample(n: int, most: int) -> NDArray[np.intp]:
    """Return the numbers of up to `most` of n points, in ascending order."""
    return np.arange(n) if n <= most else np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _spread(values: Array) -> float:
    """Return the standard deviation of the finite values; their size if it is 0."""
    seen = values[np.isfinite(values)]
    if not len(seen):
        return 1.0
    size = float(np.abs(seen).max())
    spread = float(seen.std())
    return spread if spread > 1e-9 * size else size or 1.0


def _squares(R: Array) -> Array:
    """Return the sum of squares of each column."""
    return np.asarray(np.einsum("qm,qm->m", R, R))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
