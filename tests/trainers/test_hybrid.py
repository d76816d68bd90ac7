"""Hybrid's choice of a network by evidence, its several starts, its budgets and its checkpoints."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective, evaluate, fit
from swarmnet.fitting.candidates import default_networks
from swarmnet.fitting.options import FitOptions
from swarmnet.trainers import LBFGS, LM, Hybrid, ProjectedPSO, run
from swarmnet.trainers.checkpoint import Checkpoint, fingerprint
from swarmnet.trainers.stages import Stages

NAN = np.nan
RUN = fingerprint({"data": "these", "seed": 0})
SIZES = ((2, 3, 1), (2, 6, 1), (2, 4, 4, 1))


def one_entry_a_row(function, n=150, seed=0, values=0.2, d=3):
    """A fifth values, the rest partials, of a function that gives Y and J."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, d))
    Y, J = function(X)
    kind = np.where(rng.random(n) < values, d, rng.integers(d, size=n))[:, None]
    return MixedData(X, np.where(kind == d, Y[:, None], NAN), np.where(kind == np.arange(d), J, NAN))


def simple(X):
    """One unit is enough."""
    w = np.array([1.0, -0.5, 0.3])[: X.shape[1]]
    return np.tanh(X @ w), (1 - np.tanh(X @ w) ** 2)[:, None] * w


def rich(X):
    a, b, c = X.T
    Y = np.sin(3 * a) * b + np.exp(c) * np.cos(2 * b)
    J = [
        3 * np.cos(3 * a) * b,
        np.sin(3 * a) - 2 * np.exp(c) * np.sin(2 * b),
        np.exp(c) * np.cos(2 * b),
    ]
    return Y, np.column_stack(J)


def objectives(threads=2, rows=40, networks=SIZES, **options):
    data = one_entry_a_row(simple, rows, d=2)
    candidates = [
        Objective(Network(sizes), data, threads=threads, **{"derivative_weight": None, "l2": None} | options)
        for sizes in networks
    ]
    candidates[0].candidates = candidates
    return candidates[0]


CANDIDATES = objectives()


# The choice of a network


@pytest.mark.parametrize(("function", "iterations"), [(simple, 50), (rich, 140)])
def test_the_network_chosen_gives_the_jacobian_on_unseen_points(function, iterations):
    X = np.random.default_rng(9).uniform(-1, 1, (300, 3))
    Y, J = function(X)
    worst = []
    for seed in range(3):
        data = one_entry_a_row(function, seed=seed)
        model = fit(data, seed=seed, iterations=iterations, degree=0)
        assert model.net.sizes in [net.sizes for net in networks_for(data)]
        errors = evaluate(model, MixedData(X, Y, J)).set_index("column")
        worst.append(errors.loc[["dy/dx1", "dy/dx2", "dy/dx3"], "r2"].min())
    assert np.median(worst) >= 0.99


@pytest.mark.parametrize("first", [0, 1])
def test_networks_with_as_many_weights_as_each_other_are_told_apart(first):
    """1-8-8-1 and 1-32-1 both have 97: by the length of theta, one's weights would pass for the other's."""
    data = one_entry_a_row(simple, 30, d=1)
    sizes = ((1, 8, 8, 1), (1, 32, 1))
    candidates = [
        Objective(Network(sizes[n]), data, derivative_weight=None, l2=None) for n in (first, 1 - first)
    ]
    candidates[0].candidates = candidates
    trainer = Hybrid(iterations=80, swarm=ProjectedPSO(iterations=2, particles=4))
    result = run(trainer, candidates[0], np.random.default_rng(0))
    assert candidates[result.network].loss(result.theta) == pytest.approx(result.loss, rel=1e-9)
    assert candidates[1 - result.network].loss(result.theta) != pytest.approx(result.loss, rel=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_one_input_and_one_output_are_fitted(seed):
    """Here (32,) and (8, 8) would have as many weights."""
    x = np.linspace(-3, 3, 40)[:, None]
    model = fit(MixedData(x, np.sin(2 * x)), seed=seed, iterations=150)
    np.testing.assert_allclose(model.predict(x), np.sin(2 * x), atol=0.05)


def networks_for(data, activation="tanh"):
    return default_networks(data, FitOptions(activation=activation, degree=0))


def test_the_networks_follow_the_layers_of_the_activations():
    data = one_entry_a_row(simple)
    assert {len(net.sizes) for net in networks_for(data)} == {3, 4, 5}
    assert {len(net.sizes) for net in networks_for(data, ["tanh", "linear"])} == {3}
    assert {len(net.sizes) for net in networks_for(data, ["tanh", "sine", "linear"])} == {4}


@pytest.mark.parametrize(("n", "k"), [(10, 1), (100, 2), (2500, 1), (30000, 1), (200, 60)])
def test_some_networks_are_large_enough_for_many_entries_and_outputs(n, k):
    data = MixedData(np.random.default_rng(0).normal(size=(n, 3)), np.ones((n, k)))
    sizes = [net.size for net in networks_for(data)]
    assert len(sizes) >= 7
    iterations = [data.n_entries * size * min(data.n_entries, size) for size in sizes]
    # those that are not small must not interpolate
    assert all(2 * size <= data.n_entries for size, cost in zip(sizes, iterations, strict=True) if cost > 5e8)
    assert max(sizes) > (4000 if n * k >= 10000 else 1000 if n * k >= 2500 else 700)


def test_a_polish_that_knows_no_evidence_has_nothing_to_choose_by():
    model = fit(one_entry_a_row(simple), trainer=Hybrid(polish=LBFGS(iterations=5), iterations=10))
    assert model.net.sizes == (3, 8, 8, 1)  # as all other trainers take it


# Stages, and budgets


SMALL = Hybrid(swarm=ProjectedPSO(iterations=3, particles=5), starts=2, polish=LM(iterations=25))
# Of six runs four are left when the network is chosen, and nothing is in a hurry.
SHORT = replace(SMALL, stages=Stages(halvings=(4,), chosen=9, cold=0))


def test_the_history_has_all_stages():
    """Swarms for three networks with two noises, the choice, one more swarm, and the last stage."""
    result = run(SHORT, CANDIDATES, np.random.default_rng(0))
    assert result.history["iteration"].tolist() == list(range(1, 6 * 3 + 9 + 3 + 25 + 1))
    spent = np.diff(result.history["evaluations"], prepend=0)
    swarms = np.r_[0:18, 27:30]
    assert set(result.history["stage"][swarms]) == {"projected"}
    assert set(np.delete(result.history["stage"], swarms)) == {"lm"}
    assert set(spent[swarms]) <= {5, 6}  # a new best one is looked at once more
    assert (spent[18:22] >= 6 * 2).all() and (spent[22:27] >= 4 * 2).all() and (spent[30:] >= 2).all()
    assert result.evaluations == spent.sum()
    assert len(result.posterior.others) == 1 + 3  # the other start, and the last in the choice of the network


def test_half_of_the_later_starts_go_to_the_network_that_came_second():
    result = run(replace(SHORT, starts=5), CANDIDATES, np.random.default_rng(0))
    thetas = [result.theta, *result.posterior.others[:4]]
    assert sorted(np.unique([len(theta) for theta in thetas], return_counts=True)[1]) == [2, 3]


def test_the_network_that_came_second_has_its_start_even_if_it_was_given_up():
    stages = replace(SHORT.stages, halvings=(4, 6))  # of three networks one is left
    result = run(replace(SHORT, starts=3, stages=stages), CANDIDATES, np.random.default_rng(0))
    second = result.posterior.others[1]
    assert len(second) != len(result.theta)
    assert len(result.posterior.others) == 2 + 1


def test_there_are_more_starts_where_they_cost_nothing():
    def starts(objective):
        return len(run(replace(SHORT, starts=None), objective, np.random.default_rng(0)).posterior.others) - 2

    assert starts(CANDIDATES) == 10
    # 280 entries times 273 times 273 weights or more: just above 2e7 multiplications
    assert starts(objectives(rows=280, networks=((2, 68, 1), (2, 70, 1), (2, 15, 15, 1)))) == 3


def test_a_single_network_has_its_swarms_and_one_stage_after_them():
    alone = objectives().candidates[1]
    result = run(replace(SMALL, starts=3), alone, np.random.default_rng(0))
    assert len(result.history["loss"]) == 3 * 3 + 25
    assert [len(theta) for theta in result.posterior.others] == [alone.size] * 2


@pytest.mark.parametrize("iterations", [1, 7, 30, 90])
def test_iterations_are_all_used_and_no_more(iterations):
    assert (
        len(run(Hybrid(iterations=iterations), CANDIDATES, np.random.default_rng(0)).history["loss"])
        == iterations
    )


@pytest.mark.parametrize("evaluations", [100, 1000])
def test_evaluations_are_used_up_but_for_the_last_iteration(evaluations):
    result = run(Hybrid(evaluations=evaluations), CANDIDATES, np.random.default_rng(0))
    spent = np.diff(result.history["evaluations"], prepend=0)
    assert result.status == "evaluations"
    assert evaluations <= result.evaluations < evaluations + spent[-1]


def test_seconds_are_kept():
    result = run(Hybrid(seconds=0.5), CANDIDATES, np.random.default_rng(0))
    assert result.seconds < 2.0
    assert result.status in ("seconds", "converged")


def test_threads_change_nothing():
    one, two = (
        run(replace(SMALL, iterations=40), objectives(threads), np.random.default_rng(3))
        for threads in (1, 2)
    )
    assert np.array_equal(one.theta, two.theta)
    assert np.array_equal(one.posterior.saved()["others"], two.posterior.saved()["others"])


# Checkpoints


class Killed(Exception):
    """What ends a run at once."""


def trained(trainer, path=None, stop_at=None):
    def callback(now):
        if now.iteration == stop_at:
            raise Killed

    checkpoint = None if path is None else Checkpoint(path, RUN, 1000.0, hold=0.0)
    return run(trainer, CANDIDATES, np.random.default_rng(5), callback=callback, checkpoint=checkpoint)


# Where the phases are: swarms to 9, the choice to 18, a swarm for each further start, and the last stage.
STOPS = {
    "swarms of the candidates": (1, 3, 4, 8, 9),
    "choice of the network": (10, 12, 13, 14, 17, 18),
    "swarms of the last starts": (19, 20, 21, 22, 24),
    "last stage": (25, 26, 35, 48),
    "everywhere": (2, 5, 11, 16, 20, 23, 30, 49),
}


@pytest.mark.parametrize("budget", [{}, {"iterations": 49}, {"evaluations": 500}], ids=str)
@pytest.mark.parametrize("stops", STOPS)
def test_a_run_gone_on_with_is_the_run_never_stopped(tmp_path, stops, budget):
    stages = replace(SHORT.stages, cold=Stages.cold) if budget else SHORT.stages
    trainer, path = replace(SHORT, starts=3, stages=stages, **budget), tmp_path / "run.ckpt"
    whole = trained(trainer)
    for at in (at for at in STOPS[stops] if at < len(whole.history["loss"])):
        with pytest.raises(Killed):
            trained(trainer, path, at)
    result = trained(trainer, path)
    assert np.array_equal(result.theta, whole.theta)
    assert (result.loss, result.status, result.evaluations) == (whole.loss, whole.status, whole.evaluations)
    for name in ("iteration", "evaluations", "loss", "stage"):
        assert np.array_equal(result.history[name], whole.history[name]), name
    for name, value in whole.posterior.saved().items():
        assert np.array_equal(result.posterior.saved()[name], value), name


def test_a_fit_gone_on_with_has_the_same_model(tmp_path):
    data = one_entry_a_row(simple, 40)

    def model(stop_at=None, checkpoint=tmp_path / "run.ckpt"):
        def stop(now):
            if now.iteration == stop_at:
                raise Killed

        return fit(data, iterations=60, checkpoint=checkpoint, checkpoint_every=0.0, callback=stop)

    whole = model(checkpoint=None)
    for at in (5, 20, 31, 50):
        with pytest.raises(Killed):
            model(at)
    again = model()
    assert again.net.sizes == whole.net.sizes
    for name in ("theta", "spread"):
        assert np.array_equal(getattr(again, name), getattr(whole, name)), name
    for one, other in zip(again.others, whole.others, strict=True):
        assert (
            one.net.sizes == other.net.sizes
            and one.share == other.share
            and np.array_equal(one.theta, other.theta)
        )
