"""The choice of a network where entries or outputs are many: small ones first, then large ones; L-BFGS."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective, SwarmnetWarning, fit
from swarmnet.trainers import LBFGS, LM, Hybrid, ProjectedPSO, run
from swarmnet.trainers.checkpoint import Checkpoint, fingerprint
from swarmnet.trainers.stages import Stages

RUN = fingerprint({"data": "these"})
SIZES = ((2, 2, 2), (2, 4, 2), (2, 12, 2), (2, 5, 5, 2))
SMALL = Hybrid(swarm=ProjectedPSO(iterations=2, particles=4), starts=2)


class Killed(BaseException):
    pass


def problem(n=150):
    """Two outputs of two inputs, with values and slopes."""
    rng = np.random.default_rng(0)
    a, b = X = rng.uniform(-1, 1, (2, n))
    Y = np.column_stack([np.sin(3 * a) * b, np.exp(a) * np.cos(2 * b)])
    J = np.full((n, 2, 2), np.nan)
    J[::2, 0, 1], J[1::2, 1, 0] = np.sin(3 * a[::2]), Y[1::2, 1]
    return MixedData(X.T, Y, J)


def objectives():
    candidates = [Objective(Network(sizes), problem(), derivative_weight=None, l2=None) for sizes in SIZES]
    candidates[0].candidates = candidates
    return candidates


def cost(objective):
    entries = objective.groups.entries.sum()
    return entries * objective.size * min(entries, objective.size)


# Only the smallest network counts as small; everything is short.
SHORT = replace(SMALL, stages=Stages(small=cost(objectives()[0]), halvings=(4,), chosen=9, judged=40, lm=120))


def trained(candidates, path=None, stop_at=None, trainer=SHORT):
    def callback(now):
        if now.iteration == stop_at:
            raise Killed

    kept = None if path is None else Checkpoint(path, RUN, 1000.0, hold=0.0)
    return run(trainer, candidates[0], np.random.default_rng(5), callback=callback, checkpoint=kept)


def test_a_larger_network_is_taken_where_the_largest_small_one_is_too_small():
    candidates = objectives()
    result = trained(candidates)
    assert SIZES[result.network] != (2, 2, 2) and 2 in result.candidates
    small = run(LM(), candidates[0], np.random.default_rng(0))
    assert result.loss < 0.01 * small.loss
    assert result.posterior is not None
    assert candidates[result.network].loss(result.theta) == pytest.approx(result.loss, rel=1e-6)


def test_none_is_tried_where_a_small_network_has_won():
    """A line needs no more than the smallest of three small ones."""
    noise = 0.1 * np.random.default_rng(1).normal(size=(len(problem().X), 2))
    data = MixedData(problem().X, problem().X @ [[1.0, 2.0], [0.5, -1.0]] + noise)
    candidates = [Objective(Network(sizes), data, derivative_weight=None, l2=None) for sizes in SIZES]
    candidates[0].candidates = candidates
    three_small = replace(SMALL, stages=Stages(small=cost(candidates[3]), lm=120))
    assert set(trained(candidates, trainer=three_small).candidates) == {0, 1, 3}


@pytest.mark.parametrize("dear", [False, True], ids=["lm", "lbfgs"])
def test_a_choice_gone_on_with_is_the_choice_never_stopped(tmp_path, dear):
    candidates, trainer, path = objectives(), SHORT, tmp_path / "run.ckpt"
    if dear:  # Levenberg-Marquardt is too dear for whatever network is chosen
        trainer = replace(SHORT, stages=replace(SHORT.stages, dear=cost(candidates[0])))
    whole = trained(candidates, trainer=trainer)
    assert whole.posterior is not None
    length = len(whole.history["loss"])
    for at in (3, 8, 15, 30, 61, 62, 90, 120, 150, length - 3):
        with pytest.raises(Killed):
            trained(candidates, path, at, trainer)
    result = trained(candidates, path, trainer=trainer)
    assert np.array_equal(result.theta, whole.theta) and result.network == whole.network
    assert (result.loss, result.status, result.evaluations) == (whole.loss, whole.status, whole.evaluations)
    assert result.candidates == whole.candidates
    for name in ("iteration", "evaluations", "loss", "stage"):
        assert np.array_equal(result.history[name], whole.history[name]), name
    for name, value in whole.posterior.saved().items():
        assert np.array_equal(result.posterior.saved()[name], value), name


@pytest.mark.parametrize("limit", [{"iterations": 60}, {"evaluations": 400}, {"seconds": 0.3}], ids=str)
def test_a_budget_is_kept(limit):
    result = trained(objectives(), trainer=replace(SHORT, **limit))
    assert result.status in ("converged", *limit)
    assert len(result.history["loss"]) <= limit.get("iterations", 1 << 30)
    assert result.posterior is not None


# L-BFGS over the hidden layers, the output layer solved for


def test_the_gradient_of_what_is_left_is_that_of_the_loss():
    objective = objectives()[1]
    hidden = objective.initial(np.random.default_rng(1))[: objective.hidden_size]

    def left(point):
        return float(objective.projected(point[None], ridge=0.0)[0][0])

    theta = np.concatenate([hidden, objective.projected(hidden[None], ridge=0.0)[1][0]])
    gradient = objective.loss_and_gradient(theta)[1][: objective.hidden_size]
    steps = 1e-6 * np.eye(len(hidden))
    differences = [(left(hidden + step) - left(hidden - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(gradient, differences, rtol=1e-4, atol=1e-7)


def test_solving_for_the_output_layer_comes_further_in_as_many_iterations():
    objective = objectives()[2]
    losses = []
    for solved in (False, True):
        result = run(LBFGS(iterations=60, solved=solved), objective, np.random.default_rng(0))
        assert result.loss == pytest.approx(float(objective.loss(result.theta)), rel=1e-9)
        losses.append(result.loss)
    assert losses[1] < 0.1 * losses[0]


def test_a_default_fit_without_error_bars_says_why():
    """Also where L-BFGS ended by a limit that nobody gave."""
    trainer = replace(SMALL, stages=Stages(plain=5))
    with pytest.warns(SwarmnetWarning, match="^no error bars: they take at most 3000 weights"):
        fit(problem(), hidden=(60, 60), trainer=trainer)
