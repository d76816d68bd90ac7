"""What must change nothing, changes nothing: on random shapes, activations, data and missing entries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnet import FittedModel, MixedData, Network, Objective, fit
from swarmnet.trainers import LM, SGD, Hybrid, ProjectedPSO, run
from tests.random_problems import EVERY_TRAINER, NAN, examples, random_data, random_network, seeds, short

pytestmark = pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
each_trainer = pytest.mark.parametrize("trainer", EVERY_TRAINER, ids=str)


def answers(model: FittedModel, X: np.ndarray) -> list[np.ndarray]:
    """Values, Jacobian and Hessian, and the error bars of the first two where there are any."""
    found = [model.predict(X), model.jacobian(X), model.hessian(X)]
    if model.spread is not None:
        found += [model.predict(X, True)[1], model.jacobian(X, True)[1]]
    return found


def assert_same_bits(one: FittedModel, other: FittedModel) -> None:
    np.testing.assert_array_equal(one.history["loss"], other.history["loss"])
    np.testing.assert_array_equal(one.theta, other.theta)
    for name in ("x_offset", "x_scale", "y_offset", "y_scale"):
        np.testing.assert_array_equal(getattr(one.scaling, name), getattr(other.scaling, name))
    if one.spread is not None:
        np.testing.assert_array_equal(one.spread, other.spread)


@each_trainer
@examples(2)
@given(seed=seeds)
def test_the_order_of_rows_and_columns(trainer, seed):
    """The same run to the last bit; the answers are sums over inputs in another order."""
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    j, o = rng.permutation(data.d), rng.permutation(data.k)
    inputs, outputs = [data.inputs[i] for i in j], [data.outputs[i] for i in o]
    other = data.take(rng.permutation(data.n)).select(inputs, outputs)
    one, two = (fit(part, trainer=short(trainer), **net) for part in (data, other))
    assert (two.inputs, two.outputs) == (tuple(inputs), tuple(outputs))
    np.testing.assert_array_equal(one.history["loss"], two.history["loss"])
    X = data.X + 0.1
    there = [np.s_[:, o], np.ix_(range(data.n), o, j), np.ix_(range(data.n), o, j, j)]
    tolerances = [1e-12, 1e-12, 1e-11, 1e-4, 1e-4]  # error bars are made of seven digits
    found = zip(answers(one, X), answers(two, X[:, j]), there + there[:2], tolerances, strict=False)
    for ours, theirs, where, tolerance in found:
        scale = np.abs(ours).max()
        np.testing.assert_allclose(theirs, ours[where], rtol=tolerance, atol=tolerance * scale)


def apart(data: MixedData, rng: np.random.Generator) -> MixedData:
    """Every entry in a row of its own, in random order."""
    entries = [(row, False, o) for row, o in np.argwhere(~np.isnan(data.Y))]
    entries += [(row, True, where) for row, *where in np.argwhere(~np.isnan(data.J))]
    rng.shuffle(entries)
    parts = data.take([row for row, *_ in entries])
    Y, J = np.full_like(parts.Y, NAN), np.full_like(parts.J, NAN)
    for i, (_, partial, where) in enumerate(entries):
        target, source = (J, parts.J) if partial else (Y, parts.Y)
        at = (i, *where) if partial else (i, where)
        target[at] = source[at]
    return MixedData(parts.X, Y, J, parts.Y_sigma, parts.J_sigma, parts.inputs, parts.outputs, parts.weights)


@each_trainer
@examples(2)
@given(seed=seeds)
def test_how_entries_are_shared_out_among_rows(trainer, seed):
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    one, two = (fit(part, trainer=short(trainer), **net) for part in (data, apart(data, rng)))
    assert_same_bits(one, two)


@each_trainer
@examples(2)
@given(seed=seeds)
def test_data_twice_are_data_of_twice_the_weight(trainer, seed):
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    twice = data.take(rng.permutation(np.repeat(np.arange(data.n), 2)))
    heavy = MixedData(
        *(data.X, data.Y, data.J, data.Y_sigma, data.J_sigma),
        *(data.inputs, data.outputs, 2.0 * data.row_weights),
    )
    assert_same_bits(*(fit(part, trainer=short(trainer), **net) for part in (twice, heavy)))


@each_trainer
@examples(2)
@given(seed=seeds, size=st.sampled_from([1e14, 1e30, 1e200, 1e307]))
def test_an_entry_of_infinite_sigma_is_no_entry(trainer, seed, size):
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    Y, J = data.Y.copy(), data.J.copy()
    Y_sigma, J_sigma = rng.uniform(0.1, 1.0, Y.shape), rng.uniform(0.1, 1.0, J.shape)
    for sigma, target in ((Y_sigma, Y), (J_sigma, J)):
        sigma[(rng.random(sigma.shape) < 0.3) & ~np.isnan(target)] = size
    Y_sigma[1:3], J_sigma[1:3] = NAN, NAN
    doubtful = MixedData(data.X, Y, J, Y_sigma, J_sigma, data.inputs, data.outputs, data.weights)
    Y[Y_sigma == size], J[J_sigma == size] = NAN, NAN
    without = MixedData(data.X, Y, J, Y_sigma, J_sigma, data.inputs, data.outputs, data.weights)
    assert_same_bits(*(fit(part, trainer=short(trainer), **net) for part in (doubtful, without)))


# Units


def in_units(data: MixedData, a, b, c, e) -> MixedData:
    """x' = a x + b and y' = c y + e, for a and b (d,), c and e (k,)."""
    slope = c[:, None] / a
    return MixedData(
        data.X * a + b,
        data.Y * c + e,
        data.J * slope,
        None if data.Y_sigma is None else data.Y_sigma * c,
        None if data.J_sigma is None else data.J_sigma * slope,
        *(data.inputs, data.outputs, data.weights),
    )


def by_the_chain_rule(found: list[np.ndarray], a, c, e) -> list[np.ndarray]:
    """Answers in the new units as they were in the old ones."""
    J_unit = c[:, None] / a
    units = [c, J_unit, J_unit[..., None] / a, c, J_unit]
    offsets = [e, 0.0, 0.0, 0.0, 0.0]
    return [(x - offset) / unit for x, unit, offset in zip(found, units, offsets, strict=False)]


def spreads(model: FittedModel) -> list[np.ndarray]:
    """The natural units of what `answers` gives: an output's spread, and that for the inputs' spreads."""
    x_unit, y_unit = model.scaling.x_scale, model.scaling.y_scale
    J_unit = y_unit[:, None] / x_unit
    return [y_unit, J_unit, J_unit[..., None] / x_unit, y_unit, J_unit]


@each_trainer
@examples(2)
@given(seed=seeds)
def test_units_that_are_powers_of_two_change_no_bit(trainer, seed):
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    a, c = (2.0 ** rng.integers(-30, 31, size) for size in (data.d, data.k))
    one = fit(data, trainer=short(trainer, 30), **net)
    two = fit(in_units(data, a, 0 * a, c, 0 * c), trainer=short(trainer, 30), **net)
    np.testing.assert_array_equal(one.theta, two.theta)
    ours, theirs = answers(one, data.X), answers(two, data.X * a)
    for x, y in zip(ours, by_the_chain_rule(theirs, a, c, 0 * c), strict=True):
        np.testing.assert_allclose(y, x, rtol=0, atol=1e-300)  # denormals have fewer bits


@each_trainer
@examples(2)
@given(seed=seeds, offset=st.sampled_from([0.0, 1.0, 100.0]))
def test_units_and_offsets_follow_the_chain_rule(trainer, seed, offset):
    rng = np.random.default_rng(seed)
    data, net = random_data(rng), random_network(rng)
    a, c = (10.0 ** rng.uniform(-9, 9, size) for size in (data.d, data.k))
    b, e = a * rng.normal(size=data.d) * offset, c * rng.normal(size=data.k) * offset
    e[np.isnan(data.Y).all(0)] = 0.0
    one = fit(data, trainer=short(trainer), **net)
    two = fit(in_units(data, a, b, c, e), trainer=short(trainer), **net)
    ours, theirs = answers(one, data.X), answers(two, data.X * a + b)
    for x, y, unit in zip(ours, by_the_chain_rule(theirs, a, c, e), spreads(one), strict=False):
        np.testing.assert_allclose(
            y / unit, x / unit, rtol=1e-6, atol=1e-6 * max(1.0, np.abs(x / unit).max())
        )


# Threads


UNLIMITED = Hybrid(swarm=ProjectedPSO(particles=6, iterations=2), polish=LM(iterations=2))


@pytest.mark.parametrize("trainer", [*EVERY_TRAINER, UNLIMITED], ids=lambda trainer: str(trainer)[:20])
def test_threads_change_no_bit_of_theta(trainer):
    """Enough rows that the sums are shared out."""
    rng = np.random.default_rng(0)
    net = Network((2, 8, 8, 2))
    X = rng.normal(size=(3000, 2))
    Y, J = rng.normal(size=(3000, net.k)), rng.normal(size=(3000, net.k, 2))
    Y[rng.random(Y.shape) < 0.5], J[rng.random(J.shape) < 0.7] = NAN, NAN
    data = MixedData(X, Y, J)
    if isinstance(trainer, SGD):
        trainer = SGD(batch_size=1000)
    thetas = []
    for threads in (1, 2, 8):
        objective = Objective(net, data, threads=threads, l2=None, derivative_weight=None)
        limited = trainer if trainer is UNLIMITED else short(trainer, 3)
        result = run(limited, objective, np.random.default_rng(0))
        thetas.append(result.theta)
    np.testing.assert_array_equal(thetas[0], thetas[1])
    np.testing.assert_array_equal(thetas[0], thetas[2])
