"""Levenberg-Marquardt with Bayesian regularisation: its algebra, its evidence, and what it estimates."""

import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from swarmnet import MixedData, Network, Objective, SwarmnetError, SwarmnetWarning, evaluate, fit
from swarmnet.trainers import LBFGS, LM, Hybrid, ProjectedPSO, run
from swarmnet.trainers.evidence import covariance_root
from swarmnet.trainers.linearisation import DualEquations, NormalEquations
from swarmnet.trainers.lm_run import LMRun, Optimum
from swarmnet.trainers.stages import Stages

NAN = np.nan
OPEN = {"derivative_weight": None, "l2": None}


def mixed(n, seed=0, noise=(0.0, 0.0), values=0.4, d=2):
    """One entry a row of y = sin(x1) + x1 x2, values and partials with a noise each."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, d))
    Y, J = np.full((n, 1), NAN), np.full((n, 1, d), NAN)
    kind = rng.choice(3, n, p=[values, (1 - values) / 2, (1 - values) / 2])
    error = rng.normal(size=n)
    Y[kind == 0, 0] = (np.sin(X[:, 0]) + X[:, 0] * X[:, 1] + noise[0] * error)[kind == 0]
    J[kind == 1, 0, 0] = (np.cos(X[:, 0]) + X[:, 1] + noise[1] * error)[kind == 1]
    J[kind == 2, 0, 1] = (X[:, 0] + noise[1] * error)[kind == 2]
    return MixedData(X, Y, J)


def truth(n=300, seed=99):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 2))
    slopes = np.column_stack([np.cos(X[:, 0]) + X[:, 1], X[:, 0]])
    return MixedData(X, np.sin(X[:, 0]) + X[:, 0] * X[:, 1], slopes)


# The algebra of a step


class Dense:
    """The same by dense formulas."""

    def __init__(self, objective, theta, precision, decay):
        r, self.J, self.group = objective.residual_jacobian(theta)
        self.beta, self.decay = precision[self.group], decay
        self.JJ = (self.J.T * self.beta) @ self.J
        self.A = self.JJ + np.diag(decay)
        self.gradient = self.J.T @ (self.beta * r) + decay * theta

    def effective(self):
        inverse = np.linalg.inv(self.A)
        leverage = self.beta * np.einsum("ep,pq,eq->e", self.J, inverse, self.J)
        used = np.bincount(self.group, leverage, self.group.max() + 1)
        return used, 1.0 - self.decay * np.diag(inverse), np.linalg.slogdet(self.A)[1]


SIZES = {"fewer residuals than weights": (20, (2, 6, 4, 1)), "more": (200, (2, 6, 1))}


def linearised(kind, size):
    n, sizes = SIZES[size]
    objective = Objective(Network(sizes), mixed(n), **OPEN)
    rng = np.random.default_rng(3)
    theta = objective.initial(rng)
    precision = rng.uniform(0.5, 20.0, len(objective.groups.count))
    decay = rng.uniform(0.2, 2.0, objective.weight_groups.max() + 1)[objective.weight_groups]
    return kind(objective, theta, precision, decay), Dense(objective, theta, precision, decay)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [NormalEquations, DualEquations])
def test_a_step_is_that_of_the_dense_formula(kind, size):
    model, dense = linearised(kind, size)
    np.testing.assert_allclose(model.gradient, dense.gradient, rtol=1e-10, atol=1e-10)
    metric = (
        np.diag(dense.decay) if kind is DualEquations else np.mean(np.diag(dense.JJ)) * np.eye(len(dense.A))
    )
    for damping in (0.0, 0.1, 30.0):
        expected = -np.linalg.solve(dense.A + damping * metric, dense.gradient)
        np.testing.assert_allclose(model.step(damping), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [NormalEquations, DualEquations])
def test_effective_numbers_and_determinant_are_those_of_the_dense_formulas(kind, size):
    model, dense = linearised(kind, size)
    used, share, log_det = model.effective()
    expected = dense.effective()
    np.testing.assert_allclose(used[: len(expected[0])], expected[0], rtol=1e-8)
    np.testing.assert_allclose(share, expected[1], rtol=1e-8, atol=1e-10)
    assert log_det == pytest.approx(expected[2], rel=1e-10)
    assert used.sum() == pytest.approx(share.sum(), rel=1e-8)  # both count all parameters


def test_the_covariance_is_the_inverse_of_A():
    objective = Objective(Network((2, 5, 1)), mixed(60), **OPEN)
    posterior = run(LM(iterations=60), objective, np.random.default_rng(0)).posterior
    theta = objective.initial(np.random.default_rng(1))
    C = covariance_root(objective, theta, posterior)
    A = Dense(objective, theta, posterior.precision, posterior.decay).A
    assert np.array_equal(C, np.tril(C))
    np.testing.assert_allclose(C.T @ C @ A, np.eye(len(A)), atol=1e-6)


# The evidence


def linear_case(n=12, d=3, sigmas=True, **options):
    """A linear network, whose evidence has a closed form: residuals are Phi w - t, exactly."""
    rng = np.random.default_rng(8)
    Y, J = rng.normal(size=(n, 1)), rng.normal(size=(n, 1, d))
    Y[rng.random(Y.shape) < 0.4] = NAN
    J[rng.random(J.shape) < 0.6] = NAN
    spread = [np.where(rng.random(a.shape) < 0.3, 0.5, NAN) for a in (Y, J)] if sigmas else []
    data = MixedData(rng.normal(size=(n, d)), Y, J, *spread)
    objective = Objective(Network((d, 1), ("linear",)), data, **OPEN | options)
    lm_run = LMRun(objective, rng.normal(size=d + 1))
    precision = rng.uniform(0.5, 4.0, len(objective.groups.count))
    precision[-2:] = 1.0
    lm_run.hyper.precision = np.where(objective.groups.count > 0, precision, lm_run.hyper.precision)
    lm_run.hyper.prior = np.array([0.7, 0.2])
    r, Phi, group = objective.residual_jacobian(np.zeros(d + 1))
    return lm_run, -r, Phi, lm_run.hyper.precision[group]


def evidence(lm_run, kind):
    """At the minimum of M."""
    hyper, objective = lm_run.hyper, lm_run.objective
    at = lm_run.theta + kind(objective, lm_run.theta, hyper.precision, hyper.decay).step(0.0)
    log_det = kind(objective, at, hyper.precision, hyper.decay).effective()[2]
    return hyper.log_evidence(hyper.energy(at, objective.group_squares(at)), log_det)


def marginal(targets, Phi, beta, alpha):
    covariance = (Phi / alpha) @ Phi.T + np.diag(1.0 / beta)
    return multivariate_normal.logpdf(targets, np.zeros(len(targets)), covariance)


@pytest.mark.parametrize("sigmas", [False, True], ids=["no sigmas", "sigmas"])
@pytest.mark.parametrize("kind", [NormalEquations, DualEquations])
def test_the_evidence_of_a_linear_network_is_its_marginal_likelihood(kind, sigmas):
    lm_run, targets, Phi, beta = linear_case(sigmas=sigmas)
    expected = marginal(targets, Phi, beta, np.array([0.7, 0.7, 0.7, 0.2]))
    assert evidence(lm_run, kind) == pytest.approx(expected, rel=1e-10)


def test_a_bias_without_a_prior_adds_a_constant():
    """With l2 given, b has a flat prior, whose density vanishes: the likelihood is divided by it."""
    lm_run, targets, Phi, beta = linear_case(l2=0.3)
    decay = lm_run.hyper.decay
    assert (decay[:3] > 0).all() and decay[3] == 0
    flat = 1e-7
    expected = marginal(targets, Phi, beta, np.append(decay[:3], flat)) - 0.5 * np.log(flat)
    assert evidence(lm_run, NormalEquations) == pytest.approx(expected, rel=1e-5)


def test_the_estimates_raise_the_evidence_to_its_maximum():
    """Of a linear network, over both noises and the prior of W: no change by a tenth is better."""
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(60, 6)), rng.normal(size=6)
    Y, J = (X @ w)[:, None] + 0.7 + 0.2 * rng.normal(size=(60, 1)), np.full((60, 1, 6), NAN)
    J[::2, 0, 0], Y[::2] = w[0] + 0.5 * rng.normal(size=30), NAN
    lm_run = LMRun(Objective(Network((6, 1), ("linear",)), MixedData(X, Y, J), **OPEN), np.zeros(7))
    for _ in range(150):
        lm_run.advance()
    hyper, best = lm_run.hyper, evidence(lm_run, NormalEquations)
    for name, indices in (("precision", range(2)), ("prior", range(1))):
        found = getattr(hyper, name)
        for index in indices:
            for factor in (0.9, 1.1):
                setattr(hyper, name, np.where(np.arange(len(found)) == index, factor * found, found))
                assert evidence(lm_run, NormalEquations) < best
        setattr(hyper, name, found)


# What is estimated, and what is not


def additive(n, seed, noise):
    """One entry a row of y = sin(x1) + sin(x2)."""
    rng = np.random.default_rng(seed)
    X, error, kind = rng.uniform(-2, 2, (n, 2)), rng.normal(size=n), rng.integers(3, size=n)
    Y = np.where(kind == 0, np.sin(X).sum(1) + noise[0] * error, NAN)
    J = np.cos(X) + noise[1] * error[:, None]
    return MixedData(X, Y, np.where(kind[:, None] == [1, 2], J, NAN))


@pytest.mark.parametrize("noise", [(0.1, 0.1), (0.3, 0.03), (0.1, 0.4)], ids=str)
def test_the_noise_of_values_and_derivatives_is_found(noise):
    found = []
    for seed in range(5):
        objective = Objective(Network((2, 6, 1)), additive(300, seed, noise), **OPEN)
        posterior = run(LM(iterations=100), objective, np.random.default_rng(seed)).posterior
        found.append(1.0 / np.sqrt(posterior.precision[:3]))
    ratio = np.median(found, axis=0) / [noise[0], noise[1], noise[1]]
    assert (ratio > 0.6).all() and (ratio < 2.0).all()


def test_measured_sigmas_are_not_estimated_anew():
    """Half of the values have a sigma ten times too large: it is used as it is, the rest are estimated."""
    data = mixed(300, noise=(0.1, 0.1))
    Y_sigma = np.where(np.arange(300)[:, None] % 2 == 0, 1.0, NAN)
    objective = Objective(
        Network((2, 8, 1)),
        MixedData(data.X, data.Y, data.J, np.where(np.isnan(data.Y), NAN, Y_sigma)),
        **OPEN,
    )
    precision = run(LM(), objective, np.random.default_rng(0)).posterior.precision
    assert precision[-2] == 1.0
    assert 1.0 / np.sqrt(precision[:3]) == pytest.approx([0.1] * 3, rel=0.5)


def test_measured_sigmas_say_whom_to_believe():
    """Two values contradict at every point; those with the large sigma are wrong."""
    x = np.linspace(-1, 1, 20)[:, None]
    data = MixedData(np.vstack([x, x]), np.vstack([x**2, x**2 + 1.0]), Y_sigma=np.repeat([0.01, 10.0], 20))
    model = fit(data, hidden=(5,), trainer="lm")
    np.testing.assert_allclose(model.predict(x), x**2, atol=0.03)


def test_a_given_derivative_weight_keeps_the_losss_proportions():
    objective = Objective(Network((2, 6, 1)), mixed(80, noise=(0.1, 0.4)), derivative_weight=0.3, l2=None)
    posterior = run(LM(iterations=80), objective, np.random.default_rng(0)).posterior
    ratio = posterior.precision[:3] / objective.unit_precision[:3]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_a_given_l2_keeps_its_share_of_the_loss():
    objective = Objective(Network((2, 6, 1)), mixed(80, noise=(0.1, 0.4)), derivative_weight=None, l2=1e-3)
    posterior = run(LM(iterations=80), objective, np.random.default_rng(0)).posterior
    count = objective.groups.count
    share = (posterior.precision @ count) / (objective.unit_precision @ count)
    np.testing.assert_allclose(posterior.decay, 1e-3 * share * objective.penalised, rtol=1e-10)
    noise = posterior.precision[:3]
    assert noise[0] > 3.0 * max(noise[1:])  # estimated nevertheless


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("l2", [1e-2, 1e-4])
def test_with_both_given_it_minimises_the_loss(size, l2):
    n, sizes = SIZES[size]
    objective = Objective(Network(sizes), mixed(n), derivative_weight=0.3, l2=l2)
    start = objective.initial(np.random.default_rng(0))
    result = run(LM(iterations=1000), objective, np.random.default_rng(0), start=start)
    assert result.posterior is None and result.status == "converged"
    _, gradient = objective.loss_and_gradient(result.theta)
    _, first = objective.loss_and_gradient(start)
    assert np.abs(gradient).max() < 1e-4 * np.abs(first).max()
    descent = LBFGS(iterations=5000, patience=5000)
    other = run(descent, objective, np.random.default_rng(0), start=start)
    assert result.loss < 1.1 * other.loss
    polished = run(descent, objective, np.random.default_rng(0), start=result.theta)
    assert polished.loss > 0.99 * result.loss


@pytest.mark.parametrize("size", SIZES)
def test_loss_of_a_run_is_the_objectives(size):
    n, sizes = SIZES[size]
    objective = Objective(Network(sizes), mixed(n), derivative_weight=0.3, l2=0.02)
    lm_run = LMRun(objective, objective.initial(np.random.default_rng(0)))
    for _ in range(5):
        lm_run.advance()
        assert lm_run.loss == pytest.approx(objective.loss(lm_run.theta), rel=1e-12)
        assert lm_run.hyper.energy(lm_run.theta, lm_run.squares) == pytest.approx(
            0.5 * lm_run.loss, rel=1e-12
        )


def test_at_a_minimum_one_step_is_tried():
    """No other could be seen to lower a merit of 0; 27 were tried, and took most of some fits' time."""
    objective = Objective(Network((1, 3, 1)), MixedData(np.arange(8.0)[:, None], np.zeros(8)))
    lm_run = LMRun(objective, np.zeros(objective.size))
    before = lm_run.evaluations
    lm_run.advance()
    assert lm_run.evaluations == before + 3  # the model's, a part of the step's, and the step's
    assert lm_run.loss == 0.0


# Data of all kinds

EDGES = {
    "constant": MixedData(np.arange(8.0)[:, None], np.full(8, 3.0)),
    "all 0": MixedData(np.arange(8.0)[:, None], np.zeros(8), np.zeros((8, 1))),
    "one value": MixedData([[1.0, 2.0]], [5.0]),
    "one partial": MixedData([[1.0, 2.0]], J=[[NAN, 4.0]]),
    "one row twice": MixedData([[1.0], [1.0]], [2.0, 4.0]),
    "one full row": MixedData([[1.0, 2.0]], [5.0], [[1.0, -1.0]]),
}


@pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning", "ignore:nearly all of")
@pytest.mark.parametrize(
    "options",
    [{}, {"l2": 1e-6, "iterations": 60}, {"derivative_weight": 1.0, "iterations": 60}],  # noises fall faster
    ids=str,
)
@pytest.mark.parametrize("case", EDGES)
def test_hardly_any_data_give_a_sensible_model(case, options):
    data = EDGES[case]
    model = fit(data, hidden=(3,), trainer="lm", **options)
    Y, Y_std = model.predict(data.X, return_std=True)
    J, J_std = model.jacobian(data.X, return_std=True)
    assert all(np.isfinite(a).all() for a in (model.theta, Y, Y_std, J, J_std))
    seen, partial = ~np.isnan(data.Y), ~np.isnan(data.J)
    mean = np.full(data.n, data.Y[seen].mean() if seen.any() else 0.0)[seen.any(1)]
    np.testing.assert_allclose(Y[seen], mean, rtol=0.3, atol=1e-6)
    assert (np.abs(J[partial]) <= 1.3 * np.abs(data.J[partial]) + 1e-6).all()


TURN = np.pi * np.arange(9)


def wave(values, slopes, noise=0.0):
    """y = cos x where values are observed, and its slopes where these are."""
    X = np.concatenate([values, slopes])[:, None]
    is_value = np.arange(len(X)) < len(values)
    error = noise * np.random.default_rng(0).normal(size=len(X))
    Y, J = np.where(is_value, np.cos(X[:, 0]), NAN), np.where(is_value, NAN, error - np.sin(X[:, 0]))
    return MixedData(X, Y, J[:, None, None])


ALIKE = {
    "one value": wave(TURN[:1], np.linspace(0, 4 * np.pi, 15)),
    "equal values": wave(TURN[1:9:2], np.linspace(0, 4 * np.pi, 20)),
    "equal values and noisy slopes": wave(TURN[1:9:2], np.linspace(0, 4 * np.pi, 30), noise=0.1),
    "slopes of 0 but for rounding": wave(np.linspace(0, 4 * np.pi, 25), TURN[:5]),
    "slopes of 0": MixedData(
        np.r_[np.linspace(0, 9, 25), TURN[:3]][:, None],
        np.r_[np.cos(np.linspace(0, 9, 25)), [NAN] * 3],
        np.r_[[NAN] * 25, [0.0] * 3][:, None, None],
    ),
}


def largest_error(model, data):
    """Over all entries."""
    pairs = (data.Y, model.predict(data.X)), (data.J, model.jacobian(data.X))
    return np.concatenate([np.abs(answer - target)[~np.isnan(target)] for target, answer in pairs]).max()


@pytest.mark.parametrize("case", ALIKE)
def test_a_constant_that_meets_equal_targets_is_not_taken_for_the_answer(case):
    assert largest_error(fit(ALIKE[case], hidden=(8, 8)), ALIKE[case]) < 0.3


@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_equal_targets_have_the_noise_of_others_of_their_output(scale):
    """Two outputs of two inputs; groups are y1, y2, dy1/dx1, dy1/dx2, dy2/dx1, dy2/dx2, and the measured."""
    rng = np.random.default_rng(0)
    Y = np.column_stack([np.full(9, 0.1), rng.normal(size=9)]) * scale
    J = rng.normal(size=(9, 2, 2)) * scale
    J[:, 0, 1] = 2.0 * scale
    J[:, 1] = np.where(np.arange(9)[:, None] == 4, 7.0 * scale, NAN)
    groups = Objective(Network((2, 3, 2)), MixedData(rng.normal(size=(9, 2)), Y, J)).groups
    assert groups.noise_of.tolist() == [2, 1, 2, 2, 1, 1, 6, 7]
    assert (groups.variance[[2, 1]] > 0.1 * scale**2).all() and not groups.variance[3:].any()


def test_values_beside_steep_slopes_keep_a_noise_of_their_own():
    X = np.linspace(0, 1, 50)[:, None]
    X[0] = 1e-10
    model = fit(MixedData(X, np.sqrt(X), 0.5 / np.sqrt(X)), hidden=(8,), trainer="lm", iterations=200)
    assert np.std(model.predict(X) - np.sqrt(X)) < 0.01


def test_equal_targets_do_not_count_in_the_noise_that_they_have():
    """60 slopes of noise 0.5 beside 1,000 values of 0 on the boundary of a square."""
    rng = np.random.default_rng(0)
    edge = rng.uniform(0, 1, (1000, 2))
    edge[np.arange(1000), rng.integers(2, size=1000)] = rng.integers(2, size=1000)
    X = rng.uniform(0, 1, (60, 2))
    turn = np.pi * X
    J = np.pi * np.column_stack(
        [np.cos(turn[:, 0]) * np.sin(turn[:, 1]), np.sin(turn[:, 0]) * np.cos(turn[:, 1])]
    )
    J += rng.normal(0.0, 0.5, J.shape)
    values, slopes = np.r_[np.zeros(1000), [NAN] * 60], np.r_[np.full((1000, 2), NAN), J]
    objective = Objective(Network((2, 10, 1)), MixedData(np.r_[edge, X], values, slopes), **OPEN)
    posterior = run(LM(iterations=200), objective, rng).posterior
    np.testing.assert_allclose(posterior.precision[1:3] ** -0.5, 0.5, rtol=0.4)


def test_slopes_along_an_input_without_effect_may_be_noise():
    """Without a warning of it, of which each would be an error here."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (60, 2))
    J = np.column_stack([2.0 * np.cos(2.0 * X[:, 0]), np.zeros(60)]) + 0.1 * rng.normal(size=(60, 2))
    model = fit(MixedData(X, np.sin(2.0 * X[:, 0]), J), hidden=(8,), trainer="lm")
    assert model.training["log_evidence"] > 180.0


def double_well(n):
    """Slopes of (x^2 - 1)^2, and its value at the first of the points."""
    x = np.linspace(-1.5, 1.5, n)
    values = np.where(np.arange(n) == 0, (x**2 - 1.0) ** 2, NAN)
    return MixedData(x[:, None], values, (4.0 * x * (x**2 - 1.0))[:, None, None])


FEW = {
    "values": wave(np.linspace(0, 6 * np.pi, 20), []),
    "slopes": double_well(8),
    "noisy slopes": wave([0.0], np.linspace(0, 4 * np.pi, 16), noise=0.1),
}


@pytest.mark.parametrize("case", FEW)
def test_few_entries_are_not_taken_for_noise(case):
    assert largest_error(fit(FEW[case]), FEW[case]) < 0.5


def noise():
    rng = np.random.default_rng(0)
    return MixedData(rng.uniform(-1, 1, (60, 2)), rng.normal(size=60))


def test_noise_is_taken_for_noise_and_that_is_said():
    with pytest.warns(SwarmnetWarning, match=r"^nearly all of y was taken for noise"):
        model = fit(noise(), hidden=(8, 8))
    assert np.std(model.predict(noise().X)) < 0.3


def test_a_constant_has_to_be_likelier_than_others():
    objective = Objective(Network((2, 3, 1)), mixed(20), **OPEN)
    lm_run = LMRun(objective, objective.initial(np.random.default_rng(0)))
    lm_run.advance()
    likely = lm_run.log_evidence + lm_run.hyper.constants
    assert lm_run.share @ objective.penalised > 1.0 and lm_run.merit == likely
    lm_run.share = 0.5 * objective.penalised / objective.penalised.sum() + 1.0 - objective.penalised
    assert lm_run.merit == pytest.approx(likely - 0.5 * np.log(1e4))


def derivatives_only(n=40):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (n, 2))
    return MixedData(X, J=np.column_stack([np.cos(X[:, 0]) + X[:, 1], X[:, 0]]))


@pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
@pytest.mark.parametrize(
    "options", [{}, {"l2": 1e-6, "iterations": 100}, {"derivative_weight": 1.0, "iterations": 100}], ids=str
)
def test_derivatives_alone_are_learnt(options):
    model = fit(derivatives_only(), hidden=(6,), trainer="lm", **options)
    test = truth()
    assert evaluate(model, test).set_index("column").loc[["dy/dx1", "dy/dx2"], "r2"].min() > 0.99
    difference = model.predict(test.X) - test.Y
    assert np.std(difference) < 0.05 * np.std(test.Y)


@pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
@pytest.mark.parametrize("l2", [None, 0.0])
def test_derivatives_alone_without_weight_leave_nothing_to_learn(l2):
    data = derivatives_only()
    with pytest.raises(SwarmnetError, match=r"no values, and with derivative_weight 0 nothing else"):
        fit(data, hidden=(4,), trainer="lm", derivative_weight=0.0, l2=l2)
    objective = Objective(Network((2, 4, 1)), data, derivative_weight=0.0, l2=l2)
    result = run(LM(), objective, np.random.default_rng(0))
    assert np.isfinite(result.theta).all() and result.loss == pytest.approx(0.0, abs=1e-6)
    assert l2 == 0.0 or np.isfinite(result.posterior.share).all()


def test_an_optimum_without_a_finite_evidence_has_no_share():
    objective = Objective(Network((2, 3, 1)), mixed(20), **OPEN)
    lm_run = LMRun(objective, objective.initial(np.random.default_rng(0)))
    lm_run.advance()
    near, lost = (Optimum(lm_run.theta, evidence, 0) for evidence in (lm_run.log_evidence, np.nan))
    assert lm_run.posterior([lm_run], [near, lost]).share.tolist() == [1.0, 0.0]


def test_the_share_of_an_optimum_does_not_hang_on_the_size_of_all_weights():
    data = mixed(20)
    light = MixedData(data.X, data.Y, data.J, weights=np.full(20, 1.0 / 1024.0))
    objective = Objective(Network((2, 3, 1)), light, **OPEN)
    lm_run = LMRun(objective, objective.initial(np.random.default_rng(0)))
    lm_run.advance()
    behind = Optimum(lm_run.theta, lm_run.log_evidence - 10.0 / 1024.0, 0)  # half of a unit for each entry
    np.testing.assert_allclose(lm_run.posterior([lm_run], [behind]).share, [np.exp(-1.0)])


@pytest.mark.filterwarnings("ignore:nearly all of")
@pytest.mark.parametrize(("n", "hidden"), [(6, (6,)), (600, (5,))], ids=["fewer residuals", "more"])
def test_single_precision_comes_as_far_as_double(n, hidden):
    data, test = mixed(n, noise=(0.1, 0.1), values=0.6), truth()
    errors = []
    for dtype in ("float64", "float32"):
        model = fit(data, hidden=hidden, trainer="lm", dtype=dtype, iterations=250)
        errors.append(np.sqrt(np.mean((model.predict(test.X) - test.Y) ** 2)))
        assert np.isfinite(model.predict(test.X, return_std=True)[1]).all()
    assert errors[1] < 1.2 * errors[0]


@pytest.mark.parametrize(("seed", "least"), [(1, 800), (2, 500)])
def test_noisy_slopes_do_not_end_a_run_while_exact_values_are_still_learned(seed, least):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (50, 2))
    phase = 4.0 * X[:, 0] + X[:, 1]
    y = np.sin(phase) + X[:, 0] * X[:, 1] ** 2
    J = np.cos(phase)[:, None] * [4.0, 1.0] + np.column_stack([X[:, 1] ** 2, 2.0 * X[:, 0] * X[:, 1]])
    data = MixedData(X, y, J + 0.3 * J.std(0) * rng.normal(size=J.shape))
    model = fit(data, hidden=(10,), trainer="lm", seed=seed)
    assert len(model.history) > least  # counted by all entries, progress would end near 700, and near 400


def test_a_partial_that_is_0_but_for_rounding_does_no_harm():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (60, 2))
    J = np.column_stack([2.0 * np.cos(2.0 * X[:, 0]), 1e-16 * rng.normal(size=60)])
    J[::2] = NAN
    data = MixedData(X, np.where(np.arange(60) % 2 == 0, np.sin(2.0 * X[:, 0]), NAN), J)
    test = rng.uniform(-2, 2, (200, 2))
    errors, slopes = [], []
    for seed in range(3):
        model = fit(data, hidden=(8,), trainer="lm", seed=seed, iterations=200)
        errors.append(np.abs(model.predict(test)[:, 0] - np.sin(2.0 * test[:, 0])).max())
        slopes.append(np.abs(model.jacobian(test)[:, 0, 1]).max())
    assert np.median(errors) < 0.02
    assert np.median(slopes) < 0.02


# When it is not the trainer, and how it is run


def test_too_many_weights_are_left_to_lbfgs():
    objective = Objective(Network((2, 750, 1)), mixed(40), **OPEN)
    with pytest.warns(SwarmnetWarning, match="3001 weights are too many for Levenberg-Marquardt: L-BFGS"):
        result = run(LM(iterations=30), objective, np.random.default_rng(0))
    assert result.posterior is None
    assert np.array_equal(
        result.theta, run(LBFGS(iterations=30, patience=1000), objective, np.random.default_rng(0)).theta
    )
    assert LM().runs_at_once(Objective(Network((2, 749, 1)), mixed(40))) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(LM(iterations=3), Objective(Network((2, 4, 1)), mixed(40)), np.random.default_rng(0))


def test_cross_entropy_is_refused():
    data = MixedData([[0.0], [1.0]], Y=[0.0, 1.0])
    with pytest.raises(SwarmnetError, match="lm needs the squared loss: use another trainer"):
        fit(data, trainer="lm", loss="cross-entropy")


# Of an iteration so long that lm_runs do not share a thread, nor the sums of one lm_run.
LONG = {"fewer residuals than weights": (300, (2, 16, 18, 1)), "more": (9_000, (2, 12, 1))}
SWARM = ProjectedPSO(iterations=1, particles=2)
ONE_RUN = Hybrid(swarm=SWARM, starts=1, polish=LM(iterations=6), stages=Stages(cold=0))


@pytest.mark.parametrize("size", LONG)
@pytest.mark.parametrize("trainer", [LM(iterations=6), ONE_RUN], ids=["three runs", "one run"])
def test_threads_change_nothing_to_the_last_bit(trainer, size):
    n, sizes = LONG[size]
    data = mixed(n, noise=(0.1, 0.1))
    one, two = (
        run(trainer, Objective(Network(sizes), data, threads=t, **OPEN), np.random.default_rng(4))
        for t in (1, 2)
    )
    assert np.array_equal(one.theta, two.theta)
    assert np.array_equal(one.history["loss"], two.history["loss"])
    for name, value in one.posterior.saved().items():
        assert np.array_equal(value, two.posterior.saved()[name]), name
