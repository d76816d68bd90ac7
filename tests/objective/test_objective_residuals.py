"""The sums over residuals that second-order trainers ask for, against residuals differentiated by JAX."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective, SwarmnetError

NAN = np.nan
NETS = {
    "linear": Network((3, 2), ("linear",)),
    "tanh": Network((3, 5, 4, 2), "tanh"),
    "one output": Network((3, 6, 1), ("sine", "linear")),
    "curved outputs": Network((3, 4, 2), ("softplus", "sigmoid")),
    "silu and gelu": Network((3, 4, 3, 3), ("silu", "gelu", "tanh")),
}
DENSITIES = {
    "values": (1.0, 0.0),
    "one entry a row": (None, None),
    "few": (0.6, 0.2),
    "full": (1.0, 1.0),
    "derivatives": (0.0, 0.5),
}


def make_data(net, pattern, n=40, sigmas=True, seed=0):
    """Random targets; where there are sigmas, half of the entries have one."""
    rng = np.random.default_rng(seed)
    X, Y, J = rng.normal(size=(n, net.d)), rng.normal(size=(n, net.k)), rng.normal(size=(n, net.k, net.d))
    for_values, for_partials = DENSITIES[pattern]
    if for_values is None:
        kind = rng.integers(net.k * (1 + net.d), size=n)[:, None]
        every = np.arange(net.k * (1 + net.d))
        Y[kind != every[: net.k]] = NAN
        J[(kind != every[net.k :]).reshape(J.shape)] = NAN
    else:
        Y[rng.random(Y.shape) >= for_values] = NAN
        J[rng.random(J.shape) >= for_partials] = NAN
    if not sigmas:
        return MixedData(X, Y, J)
    sigma = [np.where(rng.random(a.shape) < 0.5, rng.uniform(0.5, 2.0, a.shape), NAN) for a in (Y, J)]
    return MixedData(X, Y, J, *sigma)


class Dense:
    """All residuals written out: r (entries,), J (entries, p) and the group of each."""

    cache: ClassVar = {}  # compiled once a network

    def __init__(self, reference, net, data, theta, partials=True):
        if net not in self.cache:
            self.cache[net] = reference.gradients(net)
        Y, J, Y_theta, J_theta = (np.asarray(a) for a in self.cache[net](theta, data.X))
        k, d = J.shape[1:]
        parts = [(Y, Y_theta, data.Y, data.Y_sigma, np.arange(k), k + k * d)]
        if partials:
            own = k + d * np.arange(k)[:, None] + np.arange(d)
            parts.append((J, J_theta, data.J, data.J_sigma, own, k + k * d + 1))
        columns = []
        for prediction, gradient, target, sigma, group, known in parts:
            seen = ~np.isnan(target)
            sigma = np.full(target.shape, NAN) if sigma is None else sigma
            scale = np.where(np.isnan(sigma), 1.0, sigma)[seen]
            group = np.where(np.isnan(sigma), group, known)[seen]
            columns.append(((prediction - target)[seen] / scale, gradient[seen] / scale[:, None], group))
        self.r, self.J, self.group = map(np.concatenate, zip(*columns, strict=True))
        self.groups = k + k * d + 2

    def sums(self, entries):
        return np.bincount(self.group, entries, self.groups)


def close(actual, expected):
    size = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11 * max(size, 1e-300))


def case(reference, net, pattern, **options):
    net = NETS[net]
    data, theta = make_data(net, pattern, **options), net.init(np.random.default_rng(1))
    return Objective(net, data), theta, Dense(reference, net, data, theta)


def check(objective, theta, dense):
    """All four sums, and the counts."""
    rng = np.random.default_rng(2)
    precision = rng.uniform(0.5, 3.0, dense.groups)
    beta = precision[dense.group]

    r, J, group = objective.residual_jacobian(theta)
    order, expected = np.argsort(r), np.argsort(dense.r)
    close(r[order], dense.r[expected])
    close(J[order], dense.J[expected])
    assert np.array_equal(group[order], dense.group[expected])

    close(objective.group_squares(theta), dense.sums(dense.r**2))

    squares, Jr, JJ = objective.gauss_newton(theta, precision)
    close(squares, dense.sums(dense.r**2))
    close(Jr, dense.J.T @ (beta * dense.r))
    close(JJ, (dense.J.T * beta) @ dense.J)

    A = (dense.J.T * beta) @ dense.J + np.diag(rng.uniform(0.5, 2.0, len(theta)))
    used = objective.leverages(theta, precision, np.linalg.cholesky(A))
    close(used, dense.sums(beta * np.einsum("ep,ep->e", dense.J @ np.linalg.inv(A), dense.J)))


@pytest.mark.parametrize("sigmas", [False, True], ids=["no sigmas", "sigmas"])
@pytest.mark.parametrize("pattern", DENSITIES)
@pytest.mark.parametrize("net", NETS)
def test_they_are_those_of_residuals_written_out(reference, net, pattern, sigmas):
    objective, theta, dense = case(reference, net, pattern, sigmas=sigmas)
    check(objective, theta, dense)
    assert np.array_equal(objective.groups.count, dense.sums(None))


@pytest.mark.parametrize("sigmas", [False, True], ids=["no sigmas", "sigmas"])
@pytest.mark.parametrize("pattern", DENSITIES)
@pytest.mark.parametrize("net", NETS)
def test_residuals_bend_along_a_step_as_differences_of_their_gradients_say(reference, net, pattern, sigmas):
    objective, theta, dense = case(reference, net, pattern, sigmas=sigmas, n=1500 if pattern == "few" else 40)
    rng = np.random.default_rng(4)
    precision, step = rng.uniform(0.5, 3.0, dense.groups), 1e-3 * rng.normal(size=len(theta))
    data = make_data(NETS[net], pattern, sigmas=sigmas, n=1500 if pattern == "few" else 40)
    ahead, behind = (Dense(reference, NETS[net], data, theta + sign * step) for sign in (1.0, -1.0))
    expected = dense.J.T @ (precision[dense.group] * ((ahead.J - behind.J) @ step / 2.0))
    found = objective.bends(theta, step, precision)
    np.testing.assert_allclose(found, expected, atol=max(1e-3 * np.abs(expected).max(), 1e-10))


@pytest.mark.parametrize("pattern", ["one entry a row", "few", "full"])
def test_they_are_for_rows_of_several_partial_sums(reference, pattern):
    objective, theta, dense = case(reference, "tanh", pattern, n=2600)
    check(objective, theta, dense)


def test_they_are_for_many_weights_and_inputs_of_which_one_is_seen_more_often(reference):
    """J'J is mirrored block by block."""
    net = Network((15, 16, 10, 1))
    data, theta = make_data(net, "full", n=1400, sigmas=False), net.init(np.random.default_rng(1))
    group = np.arange(data.n)[:, None, None] % 7
    inputs = np.arange(15)
    J = np.where((inputs == 0) | ((inputs + 1) // 2 == group + 1), data.J, NAN)
    data = MixedData(data.X, data.Y, J)
    objective, dense = Objective(net, data), Dense(reference, net, data, theta)
    check(objective, theta, dense)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize(("values", "partials"), [(300, 100), (200, 300), (260, 1)])
def test_they_are_where_a_call_has_many_values_and_partials(reference, net, values, partials):
    net = NETS[net]
    full, theta = make_data(net, "full", n=values + partials), net.init(np.random.default_rng(1))
    Y, J = np.full(full.Y.shape, NAN), np.full(full.J.shape, NAN)
    Y[:values, 0] = full.Y[:values, 0]
    J[values:, -1, 1] = full.J[values:, -1, 1]
    data = MixedData(full.X, Y, J)
    objective = Objective(net, data)
    check(objective, theta, Dense(reference, net, data, theta))


@pytest.mark.parametrize("net", ["tanh", "curved outputs"])
def test_derivatives_without_weight_are_not_there(reference, net):
    net = NETS[net]
    data, theta = make_data(net, "few"), net.init(np.random.default_rng(1))
    objective = Objective(net, data, derivative_weight=0.0)
    check(objective, theta, Dense(reference, net, data, theta, partials=False))
    assert (objective.unit_precision > 0).tolist() == (~objective.groups.is_partial).tolist()


def test_no_residual_at_all_leaves_empty_sums():
    net = NETS["tanh"]
    objective = Objective(net, make_data(net, "derivatives"), derivative_weight=0.0)
    theta = net.init(np.random.default_rng(1))
    squares, Jr, JJ = objective.gauss_newton(theta, np.ones(len(objective.groups.count)))
    assert not (squares.any() or Jr.any() or JJ.any() or objective.group_squares(theta).any())


def test_the_loss_is_made_of_the_group_squares():
    net = NETS["tanh"]
    theta = net.init(np.random.default_rng(1))
    for weight in (0.0, 0.3, 2.0):
        objective = Objective(net, make_data(net, "few"), derivative_weight=weight)
        loss = objective.unit_precision @ objective.group_squares(theta)
        assert loss == pytest.approx(objective.loss(theta), rel=1e-12)


def test_a_measured_sigma_makes_a_group_of_its_own_within_a_column():
    """Values 1, 2, 3 of which one has a sigma, and partials of which another has one."""
    data = MixedData(
        [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]],
        Y=[1.0, 2.0, 3.0],
        J=[[[4.0, NAN]], [[5.0, 6.0]], [[NAN, 7.0]]],
        Y_sigma=[NAN, 0.5, NAN],
        J_sigma=[[[NAN, NAN]], [[NAN, 2.0]], [[NAN, NAN]]],
    )
    groups = Objective(Network((2, 1)), data).groups
    assert groups.count.tolist() == [2, 2, 1, 1, 1]  # y, dy/dx1, dy/dx2, known values, known partials
    assert groups.is_partial.tolist() == [False, True, True, False, True]
    np.testing.assert_allclose(groups.square, [5.0, 20.5, 49.0, 4.0, 36.0])
    np.testing.assert_allclose(groups.relative, [5.0, 20.5, 49.0, 16.0, 9.0])


@pytest.mark.parametrize("pattern", DENSITIES)
def test_sigmas_that_are_mere_scales_make_no_group(reference, pattern):
    """Every entry has a scale; only those that `measured` has too are known."""
    net = NETS["tanh"]
    measured, theta = make_data(net, pattern), net.init(np.random.default_rng(1))
    Y_sigma, J_sigma = (
        np.where(np.isnan(np.nan if s is None else s), 0.7, np.nan if s is None else s) * np.ones(t.shape)
        for s, t in ((measured.Y_sigma, measured.Y), (measured.J_sigma, measured.J))
    )
    scaled = replace(measured, Y_sigma=Y_sigma, J_sigma=J_sigma)
    own, all_known = Objective(net, scaled, measured=measured), Objective(net, scaled)
    assert np.array_equal(own.groups.count, Objective(net, measured).groups.count)
    assert all_known.groups.count[:-2].sum() == 0
    assert own.group_squares(theta).sum() == pytest.approx(all_known.group_squares(theta).sum(), rel=1e-12)


def test_threads_change_nothing_to_the_last_bit():
    net = Network((3, 16, 8, 2))
    data, theta = make_data(net, "few", n=2500), net.init(np.random.default_rng(1))

    def sums(threads):
        objective = Objective(net, data, threads=threads)
        precision = np.linspace(0.5, 2.0, len(objective.groups.count))
        squares, Jr, JJ = objective.gauss_newton(theta, precision)
        factor = np.linalg.cholesky(JJ + np.eye(net.size))
        return (
            *(squares, Jr, JJ, *objective.residual_jacobian(theta), objective.group_squares(theta)),
            objective.leverages(theta, precision, factor),
        )

    first = sums(1)
    for threads in (2, 8):
        assert all(np.array_equal(a, b) for a, b in zip(first, sums(threads), strict=True))


def test_single_threaded_copies_work_at_the_same_time():
    net = Network((3, 12, 2))
    objective = Objective(net, make_data(net, "few", n=800), threads=2)
    swarm = net.init(np.random.default_rng(1), 20)
    precision = np.ones(len(objective.groups.count))
    expected = [objective.gauss_newton(theta, precision)[2] for theta in swarm]
    copies = [objective.single_threaded() for _ in range(4)]
    assert [copied.threads for copied in copies] == [1] * 4

    def work(copied):
        return [copied.gauss_newton(theta, precision)[2] for theta in swarm]

    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(work, copies):
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("pattern", DENSITIES)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 20, 20, 2)], ids=["few weights", "many"])
def test_those_of_some_rows_are_those_of_an_objective_with_them(pattern, sizes):
    net = Network(sizes)
    data, theta = make_data(net, pattern, n=300), net.init(np.random.default_rng(1))
    whole, rows = Objective(net, data), np.random.default_rng(2).permutation(300)[:70]
    part = Objective(net, data.take(rows))
    precision = np.linspace(0.5, 2.0, len(whole.groups.count))
    for actual, expected in zip(
        whole.gauss_newton(theta, precision, rows), part.gauss_newton(theta, precision), strict=True
    ):
        close(actual, expected)
    with pytest.raises(SwarmnetError, match="at least one"):
        whole.gauss_newton(theta, precision, rows[:0])


@pytest.mark.parametrize("what", ["gauss_newton", "leverages", "residual_jacobian", "group_squares"])
def test_they_need_the_squared_loss(what):
    data = MixedData([[0.0], [1.0]], Y=[0.0, 1.0])
    objective = Objective(Network((1, 2, 1), ["tanh", "sigmoid"]), data, loss="cross-entropy")
    more = {"gauss_newton": (np.ones(4),), "leverages": (np.ones(4), np.eye(7))}.get(what, ())
    assert not objective.can_linearise
    with pytest.raises(SwarmnetError, match="squared loss"):
        getattr(objective, what)(np.zeros(7), *more)
