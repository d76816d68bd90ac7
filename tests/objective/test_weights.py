"""A row of weight 2 is the row twice, and one of weight 0 its absence: in every sum and statistic."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from swarmnet import MixedData, Network, Objective, SwarmnetError, evaluate, fit
from swarmnet.data.splitting import split
from swarmnet.scaling import KINDS, Scaling
from swarmnet.trainers.lm_run import LMRun

NAN = np.nan
SCALES = ("x_offset", "x_scale", "y_offset", "y_scale")
NETS = {
    "one output": Network((3, 5, 1)),
    "outputs": Network((2, 4, 3, 2), ("sigmoid", "softplus", "linear")),
    "wide": Network((2, 12, 8, 1)),
}


def make_data(net, seed, n=40, density=0.6, sigmas=True):
    """Rows with whole weights from 0 to 3; the first row has an entry of each kind and counts."""
    rng = np.random.default_rng(seed)
    X, Y, J = rng.normal(size=(n, net.d)), rng.normal(size=(n, net.k)), rng.normal(size=(n, net.k, net.d))
    for target in (Y, J):
        target[1:][rng.random(target[1:].shape) >= density] = NAN
    weights = rng.integers(0, 4, n).astype(float)
    weights[0] = 2.0
    if not sigmas:
        return MixedData(X, Y, J, weights=weights)
    sigma = [np.where(rng.random(a.shape) < 0.5, rng.uniform(0.5, 2.0, a.shape), NAN) for a in (Y, J)]
    return MixedData(X, Y, J, *sigma, weights=weights)


def repeated(data):
    """The rows as often as their weights say."""
    rows = np.repeat(np.arange(data.n), data.row_weights.astype(int))
    return MixedData(
        data.X[rows],
        data.Y[rows],
        data.J[rows],
        None if data.Y_sigma is None else data.Y_sigma[rows],
        None if data.J_sigma is None else data.J_sigma[rows],
    )


def close(actual, expected, rtol=1e-10):
    size = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12 * max(size, 1e-300))


@settings(max_examples=40)
@given(
    net=st.sampled_from(sorted(NETS)),
    seed=st.integers(0, 1000),
    n=st.sampled_from([1, 2, 7, 40, 400]),
    density=st.sampled_from([0.15, 0.6, 1.0]),
    sigmas=st.booleans(),
)
@example(net="outputs", seed=3, n=3000, density=0.3, sigmas=True)
def test_every_sum_is_that_over_the_row_repeated(net, seed, n, density, sigmas):
    net = NETS[net]
    data = make_data(net, seed, n, density, sigmas)
    rng = np.random.default_rng(seed)
    swarm, precision = net.init(rng, 4), rng.uniform(0.5, 2.0, net.k * (1 + net.d) + 2)
    weighted, plain = (
        Objective(net, part, derivative_weight=0.3, l2=0.02, threads=1) for part in (data, repeated(data))
    )
    close(weighted.loss(swarm), plain.loss(swarm))
    for ours, theirs in (
        (weighted.loss_and_gradient(swarm[0]), plain.loss_and_gradient(swarm[0])),
        (weighted.normal_equations(swarm[0]), plain.normal_equations(swarm[0])),
        (weighted.gauss_newton(swarm[0], precision), plain.gauss_newton(swarm[0], precision)),
    ):
        for a, b in zip(ours, theirs, strict=True):
            close(a, b)
    close(weighted.group_squares(swarm[0]), plain.group_squares(swarm[0]))
    factor = np.linalg.cholesky(weighted.gauss_newton(swarm[0], precision)[2] + np.eye(net.size))
    close(weighted.leverages(swarm[0], precision, factor), plain.leverages(swarm[0], precision, factor), 1e-8)
    hidden = swarm[:, : weighted.hidden_size]
    (loss, output), (other_loss, other_output) = (o.projected(hidden, 1e-3) for o in (weighted, plain))
    close(loss, other_loss, 1e-8)
    np.testing.assert_allclose(output, other_output, rtol=1e-7, atol=1e-9)
    for name in ("count", "square", "relative"):
        close(getattr(weighted.groups, name), getattr(plain.groups, name))
    counting = data.take(data.row_weights > 0)
    assert weighted.groups.entries.sum() == counting.n_entries


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_minibatches_of_all_rows_are_the_whole(dtype):
    net = NETS["outputs"]
    data = make_data(net, 5)
    objective, theta = Objective(net, data, dtype=dtype), net.init(np.random.default_rng(0))
    batch = objective.loss_and_gradient(theta, np.arange(data.n)[::-1])
    for a, b in zip(batch, objective.loss_and_gradient(theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-10, atol=1e-6)


def test_minibatches_add_up_to_the_loss():
    net = NETS["outputs"]
    data = make_data(net, 6)
    objective, theta = Objective(net, data), net.init(np.random.default_rng(0))
    single = [objective.loss_and_gradient(theta, np.array([row])) for row in range(data.n)]
    assert np.mean([loss for loss, _ in single]) == pytest.approx(float(objective.loss(theta)), rel=1e-12)
    close(np.mean([gradient for _, gradient in single], axis=0), objective.loss_and_gradient(theta)[1])


def test_cross_entropy_is_weighted_too():
    net = Network((2, 3, 1), ("tanh", "sigmoid"))
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(9, 2)), rng.integers(0, 2, 9).astype(float)
    data = MixedData(X, Y, weights=np.arange(9.0))
    theta = net.init(rng)
    ours, theirs = (
        Objective(net, part, loss="cross-entropy").loss_and_gradient(theta) for part in (data, repeated(data))
    )
    assert ours[0] == pytest.approx(theirs[0], rel=1e-12)
    close(ours[1], theirs[1])


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), n=st.sampled_from([1, 2, 5, 60]), kind=st.sampled_from([*KINDS, None]))
def test_scaling_is_that_of_the_rows_repeated(seed, n, kind):
    data = make_data(NETS["outputs"], seed, n)
    again = repeated(data)
    ours, theirs = Scaling.of(data, kind), Scaling.of(again, kind)
    for name in SCALES:
        close(getattr(ours, name), getattr(theirs, name))
    counting = data.take(data.row_weights > 0)
    scaled, other = ours.scale_data(counting), theirs.scale_data(counting, reference=again)
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        np.testing.assert_allclose(getattr(scaled, name), getattr(other, name), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("net", "density"), [("one output", 0.6), ("wide", 0.15)], ids=["tall", "few"])
def test_the_evidence_counts_weights(net, density):
    """Seven iterations of Levenberg-Marquardt, so that noises and priors are estimated twice."""
    net = NETS[net]
    data = make_data(net, 2, 40, density)
    theta = net.init(np.random.default_rng(1))
    lm_runs = [
        LMRun(Objective(net, part, derivative_weight=None, l2=None, threads=1), theta)
        for part in (data, repeated(data))
    ]
    for lm_run in lm_runs:
        for _ in range(7):
            lm_run.advance()
    ours, theirs = lm_runs
    close(ours.log_evidence, theirs.log_evidence, 1e-6)
    close(ours.hyper.precision, theirs.hyper.precision, 1e-6)
    close(ours.hyper.prior, theirs.hyper.prior, 1e-6)
    close(ours.loss, theirs.loss, 1e-6)


def test_the_size_of_all_weights_changes_no_mean():
    net = NETS["outputs"]
    data = make_data(net, 4)
    tenth = MixedData(data.X, data.Y, data.J, data.Y_sigma, data.J_sigma, weights=data.row_weights / 1024.0)
    theta = net.init(np.random.default_rng(0))
    assert Objective(net, tenth).loss(theta) == pytest.approx(float(Objective(net, data).loss(theta)))
    for name in SCALES:
        close(getattr(Scaling.of(tenth), name), getattr(Scaling.of(data), name))


def test_sums_of_weights_do_not_hang_on_the_threads_of_blas():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40_000, 1))
    data = MixedData(X, np.sin(X), np.cos(X), weights=rng.random(len(X)))
    model = fit(data.take(slice(50)), hidden=(2,), trainer="lbfgs", iterations=2)
    found = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads, "blas"):
            found.append((data.total_weights, evaluate(model, data).to_dict()))
    assert found[0] == found[1] == found[2]


def test_metrics_are_those_of_the_rows_repeated():
    data = make_data(NETS["outputs"], 8, 30)
    model = fit(data, hidden=(3,), trainer="lbfgs", iterations=5)
    ours, theirs = evaluate(model, data), evaluate(model, repeated(data))
    for name in ("rmse", "max_error", "r2"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10)
    assert ours["entries"].sum() == data.take(data.row_weights > 0).n_entries


def test_rows_of_weight_0_are_held_out_of_both_sides():
    data = make_data(NETS["outputs"], 9, 30)
    for part in split(data, 0.3, 0):
        assert (part.row_weights > 0).all()


def test_weights_go_along_with_their_rows():
    data = MixedData([[0.0, 1], [1, 2], [2, 3]], Y=[0.0, 1, 2], weights=[1, 2, 0.5], inputs=("a", "b"))
    assert data.take([2, 1]).row_weights.tolist() == [0.5, 2.0]
    assert data.select(("b", "a"), ("y",)).row_weights.tolist() == [1.0, 2.0, 0.5]
    assert data.values_only().row_weights.tolist() == [1.0, 2.0, 0.5]
    assert data.take([0]).weights is None
    assert MixedData([[0.0]], Y=[1.0]).row_weights.tolist() == [1.0]
    with pytest.raises(ValueError, match="read-only"):
        data.weights[0] = 2.0


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0], r"must be \(2,\)"),
        ([[1.0], [1.0]], r"must be \(2,\)"),
        ([1.0, -1.0], "weight of row 1 must be 0 or a positive number, not -1"),
        ([1.0, NAN], "weight of row 1"),
        ([np.inf, 1.0], "weight of row 0"),
        ([0.0, 0.0], "every row that has one has weight 0"),
        ([0.0, 1.0], "every row that has one has weight 0"),
        ([1e308, 1e308], "too large"),
        (["a", "b"], "weights is not an array of numbers"),
    ],
)
def test_bad_weights_are_refused(weights, words):
    with pytest.raises(SwarmnetError, match=words):
        MixedData([[0.0], [1.0]], Y=[1.0, NAN], weights=weights)
