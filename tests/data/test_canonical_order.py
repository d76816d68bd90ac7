"""The canonical form: the same entries give the same model bit for bit, however they lie in rows."""

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnet import MixedData, Objective, SwarmnetWarning, fit
from swarmnet.data.canonical_order import canonical
from swarmnet.network.network import Network
from swarmnet.trainers import SGD, TRAINERS

NAN = np.nan
ARRAYS = ("X", "Y", "J", "Y_sigma", "J_sigma", "row_weights")


def make_data(seed, n=25, d=2, k=2, sigmas=True, points=3, tenths=False):
    """Rows at few points with few distinct numbers, so that points meet and entries are equal."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, points, (n, d)) / 2.0 - 0.5
    X[X == 0] *= rng.choice([-1.0, 1.0], (X == 0).sum())  # both zeros
    Y, J = rng.integers(0, 3, (n, k)) * 1.0, rng.integers(0, 3, (n, k, d)) * 1.0
    for target in (Y, J):
        target[rng.random(target.shape) < 0.6] = NAN
    Y[0, 0] = 1.0
    weights = rng.integers(0, 3, n) / (10.0 if tenths else 1.0)
    weights[0] = 1.0
    if not sigmas:
        return MixedData(X, Y, J, weights=weights)
    sigma = [rng.choice([0.5, 2.0, NAN], a.shape) for a in (Y, J)]
    return MixedData(X, Y, J, *sigma, weights=weights)


def entries(data):
    """What each point's entries weigh together."""
    found = Counter()
    for name, target, sigma in data.entry_columns():
        for row in np.flatnonzero(~np.isnan(target) & (data.row_weights > 0)):
            own = None if sigma is None or np.isnan(sigma[row]) else sigma[row]
            found[(*(data.X[row] + 0.0), name, target[row] + 0.0, own)] += data.row_weights[row]
    return found


def split_up(data, rng):
    """Every entry in a row of its own, a row of weight 2 as two rows, all in random order."""
    rows = []
    for row in range(data.n):
        for o, j in [(o, j) for o in range(data.k) for j in [None, *range(data.d)]]:
            where = (row, o) if j is None else (row, o, j)
            target, sigmas = (data.Y, data.Y_sigma) if j is None else (data.J, data.J_sigma)
            if not np.isnan(target[where]):
                sigma = NAN if sigmas is None else sigmas[where]
                times = int(data.row_weights[row])
                rows += [(row, o, j, target[where], sigma)] * times
    n = len(rows)
    Y, J = np.full((n, data.k), NAN), np.full((n, data.k, data.d), NAN)
    Y_sigma, J_sigma = Y.copy(), J.copy()
    for i, at in enumerate(rng.permutation(n)):
        _, o, j, target, sigma = rows[at]
        if j is None:
            Y[i, o], Y_sigma[i, o] = target, sigma
        else:
            J[i, o, j], J_sigma[i, o, j] = target, sigma
        rows[at] = (*rows[at], i)
    X = np.empty((n, data.d))
    for row, *_, i in rows:
        X[i] = data.X[row]
    return MixedData(X, Y, J, Y_sigma, J_sigma)


def assert_same(one, other):
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.tobytes() == b.tobytes(), name


seeds = st.integers(0, 10_000)


@settings(max_examples=60)
@given(seed=seeds, sigmas=st.booleans(), points=st.sampled_from([1, 3, 100]), tenths=st.booleans())
def test_it_has_the_same_entries_and_is_its_own_form(seed, sigmas, points, tenths):
    data = make_data(seed, sigmas=sigmas, points=points, tenths=tenths)
    form = canonical(data)
    ours, theirs = entries(form), entries(data)
    assert ours.keys() == theirs.keys()
    assert all(ours[entry] == pytest.approx(theirs[entry], rel=1e-12) for entry in ours)
    assert form.n <= data.n
    assert (form.entries_per_row > 0).all()
    assert_same(canonical(form), form)


@settings(max_examples=40)
@given(seed=seeds, sigmas=st.booleans(), points=st.sampled_from([1, 3, 100]), tenths=st.booleans())
def test_the_order_of_rows_is_gone(seed, sigmas, points, tenths):
    data = make_data(seed, sigmas=sigmas, points=points, tenths=tenths)
    shuffled = data.take(np.random.default_rng(seed).permutation(data.n))
    assert_same(canonical(shuffled), canonical(data))


@settings(max_examples=40)
@given(seed=seeds, sigmas=st.booleans(), points=st.sampled_from([1, 3, 100]))
def test_how_entries_lie_in_rows_is_gone(seed, sigmas, points):
    data = make_data(seed, sigmas=sigmas, points=points)
    assert_same(canonical(split_up(data, np.random.default_rng(seed))), canonical(data))


def test_entries_at_a_point_share_a_row():
    X = [[1.0, 0], [0, 0], [1, 0], [1, 0]]
    J = np.full((4, 1, 2), NAN)
    J[2, 0, 0], J[3, 0, 1] = 5.0, 6.0
    form = canonical(MixedData(X, Y=[3.0, 4.0, NAN, NAN], J=J))
    assert form.X.tolist() == [[0.0, 0.0], [1.0, 0.0]]
    assert form.Y.tolist() == [[4.0], [3.0]]
    assert form.J[1].tolist() == [[5.0, 6.0]]


def test_several_observations_of_one_entry_stay_apart():
    form = canonical(MixedData([[0.0]] * 3, Y=[2.0, 1.0, 2.0]))
    assert form.Y.tolist() == [[1.0], [2.0]]
    assert form.row_weights.tolist() == [1.0, 2.0]
    apart = canonical(MixedData([[0.0]] * 2, Y=[1.0, 1.0], Y_sigma=[0.1, NAN]))
    assert apart.Y_sigma is not None
    np.testing.assert_array_equal(apart.Y_sigma, [[NAN], [0.1]])


def test_the_loss_is_the_same():
    rng = np.random.default_rng(0)
    net = Network((2, 4, 2))
    data, theta = make_data(3), net.init(rng)
    whole, form = (Objective(net, part).loss_and_gradient(theta) for part in (data, canonical(data)))
    assert form[0] == pytest.approx(whole[0], rel=1e-12)
    np.testing.assert_allclose(form[1], whole[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("trainer", [*TRAINERS, SGD(batch_size=2)], ids=str)
@pytest.mark.parametrize("pattern", ["mixed", "slopes"])
def test_a_fit_depends_on_the_entries_alone(trainer, pattern):
    rng = np.random.default_rng(1)
    data = make_data(11, n=12, k=1)
    if pattern == "slopes":
        data = MixedData(data.X, J=np.where(np.isnan(data.J), 1.0, data.J), weights=data.weights)
    parts = [data, data.take(rng.permutation(data.n)), split_up(data, rng)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmnetWarning)  # of the free constant
        models = [fit(part, hidden=(4,), trainer=trainer, iterations=12) for part in parts]
    first = models[0]
    for other in models[1:]:
        assert np.array_equal(other.theta, first.theta)
        assert np.array_equal(other.history["loss"], first.history["loss"])
        assert np.array_equal(other.jacobian(data.X), first.jacobian(data.X))
        if first.spread is not None:
            assert np.array_equal(other.predict(data.X, True), first.predict(data.X, True))
