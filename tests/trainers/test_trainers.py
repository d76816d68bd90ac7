"""Every trainer on the same small problems, and what each promises of its own."""

import dataclasses
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from swarmnet import Activation, MixedData, Network, Objective, SwarmnetError, fit
from swarmnet.network.activations import TABLE
from swarmnet.objective.row_sums import HeldRows
from swarmnet.trainers import (
    LBFGS,
    PSO,
    SGD,
    TRAINERS,
    Adam,
    Hybrid,
    ProjectedPSO,
    Trainer,
    configured,
    run,
)
from swarmnet.trainers.history import History
from swarmnet.trainers.particle_swarm import _Particles, _quiet_pyswarms

NAMES = list(TRAINERS)


def problem(n=40, seed=0):
    """One entry a row of y = sin(x1) + x1 x2: values, dy/dx1 and dy/dx2 in turn."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    Y, J = np.full((n, 1), np.nan), np.full((n, 1, 2), np.nan)
    kind = np.arange(n) % 3
    Y[kind == 0, 0] = (np.sin(X[:, 0]) + X[:, 0] * X[:, 1])[kind == 0]
    J[kind == 1, 0, 0] = (np.cos(X[:, 0]) + X[:, 1])[kind == 1]
    J[kind == 2, 0, 1] = X[kind == 2, 0]
    return MixedData(X, Y, J)


def objective(sizes=(2, 5, 1), **kwargs):
    return Objective(Network(sizes), problem(), **kwargs)


def short(name, **changes):
    return configured(name, iterations=changes.pop("iterations", 30), **changes)


@pytest.mark.parametrize("name", NAMES)
def test_lowers_the_loss_and_keeps_the_best_weights(name):
    problem_loss = objective()
    result = run(short(name, iterations=200), problem_loss, np.random.default_rng(0))
    assert result.loss < 0.5 * result.history["loss"][0]
    assert problem_loss.loss(result.theta) == pytest.approx(result.loss, rel=1e-6)
    assert result.loss == result.history["loss"].min()


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_result(name):
    first = run(short(name), objective(), np.random.default_rng(3))
    second = run(short(name), objective(threads=1), np.random.default_rng(3))
    other = run(short(name), objective(), np.random.default_rng(4))
    assert np.array_equal(first.theta, second.theta)
    assert np.array_equal(first.history["loss"], second.history["loss"])
    assert not np.array_equal(first.theta, other.theta)


@pytest.mark.parametrize("name", NAMES)
def test_history_has_a_row_an_iteration(name):
    result = run(short(name), objective(), np.random.default_rng(0))
    history = result.history
    assert list(history) == ["iteration", "evaluations", "seconds", "loss", "validation_loss", "stage"]
    assert np.array_equal(history["iteration"], np.arange(1, len(history["loss"]) + 1))
    assert (np.diff(history["evaluations"]) > 0).all()
    assert (np.diff(history["seconds"]) >= 0).all()
    assert history["evaluations"][-1] == result.evaluations


@pytest.mark.parametrize("name", [n for n in NAMES if n != "hybrid"])
def test_stops_at_its_iterations(name):
    trainer = short(name, iterations=7)
    result = run(dataclasses.replace(trainer, patience=1000), objective(), np.random.default_rng(0))
    assert (result.status, len(result.history["loss"])) == ("iterations", 7)


def test_hybrid_iterations_count_both_stages():
    result = run(short("hybrid", iterations=150), objective(), np.random.default_rng(0))
    assert (result.status, len(result.history["loss"])) == ("iterations", 150)


@pytest.mark.parametrize("name", NAMES)
def test_stops_when_the_seconds_are_over(name):
    trainer = dataclasses.replace(configured(name, seconds=0.2), tolerance=0.0, patience=10**9)
    if isinstance(trainer, Hybrid):
        trainer = dataclasses.replace(trainer, polish=LBFGS(iterations=None, patience=10**9))
    result = run(trainer, objective((2, 16, 16, 1)), np.random.default_rng(0))
    assert result.status in ("seconds", "converged")
    assert result.seconds < 1.0


@pytest.mark.parametrize(
    "budget", [{"seconds": 0.4}, {"evaluations": 6000}, {"iterations": 4000}], ids=lambda b: next(iter(b))
)
def test_hybrid_uses_the_whole_budget_and_polishes(budget):
    """As it is configured: its stages' own limits must not end it before the budget does."""
    data_loss = objective((2, 8, 8, 1))
    trainer = configured("hybrid", **budget)
    trainer = dataclasses.replace(trainer, polish=LBFGS(iterations=None, tolerance=0.0, patience=10**9))
    result = run(trainer, data_loss, np.random.default_rng(0))
    (limit,) = budget
    assert result.status == limit
    swarm = run(dataclasses.replace(trainer.swarm, iterations=20), data_loss, np.random.default_rng(0))
    assert result.loss < 0.5 * swarm.loss


def test_a_small_budget_is_shared_between_the_stages():
    result = run(configured("hybrid", evaluations=120), objective(), np.random.default_rng(0))
    evaluations = result.history["evaluations"]
    assert evaluations[0] == 31  # the swarm once
    assert (np.diff(evaluations) <= 5).all()  # then the polish, with three quarters of the budget


def test_hybrids_swarm_has_all_weights_where_the_output_cannot_be_solved_for():
    net = Network((2, 5, 1), ["tanh", "tanh"])
    result = run(short("hybrid", iterations=60), Objective(net, problem()), np.random.default_rng(0))
    assert result.loss < result.history["loss"][0]


def test_the_loss_of_projected_is_true_even_without_a_ridge():
    data_loss = objective((2, 12, 12, 1))
    trainer = ProjectedPSO(ridge=0.0, iterations=30)
    result = run(trainer, data_loss, np.random.default_rng(0))
    assert result.loss == data_loss.loss(result.theta) > 0


def test_the_history_has_a_bound():
    history = History()
    for i in range(1, 100_001):
        history.add(i, i, 0.0, 1.0 / i, 0.0, "pso")
    arrays = history.arrays()
    kept = arrays["iteration"]
    assert 10_000 < len(kept) <= 20_001
    assert (kept[0], kept[-1]) == (1, 100_000)
    assert len(set(np.diff(kept)[:-1])) == 1


def test_the_history_keeps_its_best_row():
    history = History()
    for i in range(1, 50_001):
        history.add(i, i, 0.0, 0.1 if i == 30_002 else 1.0, 0.0, "pso")
    arrays = history.arrays()
    assert arrays["loss"].min() == 0.1
    assert (np.diff(arrays["iteration"]) > 0).all()


def test_a_limit_of_the_polish_holds_within_a_budget():
    trainer = Hybrid(polish=LBFGS(iterations=3), iterations=200)
    result = run(trainer, objective(), np.random.default_rng(0))
    assert len(result.history["loss"]) == 20 + 3


def test_a_callback_stops_training_by_true_and_nothing_else():
    result = run(
        short("lbfgs", iterations=5), objective(), np.random.default_rng(0), callback=lambda now: now.loss
    )
    assert result.status == "iterations"


@pytest.mark.parametrize("name", NAMES)
def test_stops_at_its_evaluations(name):
    result = run(configured(name, evaluations=100), objective(), np.random.default_rng(0))
    assert result.status == "evaluations"
    assert 100 <= result.evaluations <= 160  # no more than one iteration beyond


@pytest.mark.parametrize("name", NAMES)
def test_stops_at_a_target_loss(name):
    target = 0.015
    trainer = dataclasses.replace(short(name, iterations=20_000), target_loss=target)
    result = run(trainer, objective(), np.random.default_rng(0))
    assert result.status == "target_loss"
    assert result.loss <= target < result.history["loss"][:-1].min(initial=np.inf)


@pytest.mark.parametrize("name", NAMES)
def test_stops_without_progress(name):
    trainer = dataclasses.replace(short(name, iterations=10_000), tolerance=0.999, patience=5)
    if isinstance(trainer, Hybrid):
        stage = dataclasses.replace(trainer.swarm, tolerance=0.999, patience=5)
        trainer = dataclasses.replace(trainer, swarm=stage, patience=5)
    result = run(trainer, objective(), np.random.default_rng(0))
    assert result.status == "tolerance"
    assert len(result.history["loss"]) < 50


@pytest.mark.parametrize("name", NAMES)
def test_the_callback_sees_progress_and_can_stop(name):
    seen = []

    def stop_at_five(progress):
        seen.append(progress)
        return progress.iteration == 5

    result = run(short(name), objective(), np.random.default_rng(0), callback=stop_at_five)
    assert result.status == "callback"
    assert [p.iteration for p in seen] == [1, 2, 3, 4, 5]
    assert all(0 <= p.fraction <= 1 for p in seen)
    assert seen[-1].best_loss == result.loss


@pytest.mark.parametrize("name", NAMES)
def test_ctrl_c_keeps_the_best_weights(name):
    def interrupt(progress):
        if progress.iteration == 4:
            raise KeyboardInterrupt

    result = run(short(name), objective(), np.random.default_rng(0), callback=interrupt)
    assert result.status == "interrupted"
    assert objective().loss(result.theta) == pytest.approx(result.loss, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_starts_where_it_is_told(name):
    good = run(LBFGS(), objective(), np.random.default_rng(0))
    trainer = short(name, iterations=3)
    result = run(trainer, objective(), np.random.default_rng(1), start=good.theta)
    assert result.loss <= good.loss * 1.001


@pytest.mark.parametrize("name", NAMES)
def test_validation_is_in_the_history(name):
    def validate(theta):
        return float(theta @ theta)

    result = run(short(name, iterations=5), objective(), np.random.default_rng(0), validate=validate)
    assert np.isfinite(result.history["validation_loss"]).all()


@pytest.mark.parametrize("name", ["pso", "sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("layers", [(a, b, c) for a in "sl" for b in "sl" for c in "sl"])
def test_any_layers_train(name, layers):
    names = {"s": "sigmoid", "l": "linear"}
    net = Network((3, 3, 2, 1), [names[layer] for layer in layers])
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (12, 3))
    data = MixedData(X, Y=(0.3 + 0.2 * X[:, 0] - 0.1 * X[:, 1]))
    result = run(short(name, iterations=100), Objective(net, data), rng)
    assert result.loss < result.history["loss"][0]


@pytest.mark.parametrize("batch_size", [1, 7, 40, 1000, None])
def test_descent_takes_every_row_once_a_pass(batch_size):
    class Watched:
        n_rows, size, hidden_size = 40, 3, 0

        def __init__(self):
            self.seen = []

        def initial(self, rng):
            return np.ones(3)

        batches = HeldRows.batches
        n = n_rows

        def loss(self, theta):
            return float(theta @ theta)

        def loss_and_gradient(self, theta, rows=None):
            self.seen.append(np.arange(40) if rows is None else rows)
            return float(theta @ theta), 2 * theta

    watched = Watched()
    run(SGD(batch_size=batch_size, iterations=1), watched, np.random.default_rng(0))
    assert sorted(np.concatenate(watched.seen)) == list(range(40))
    if batch_size == 7:
        assert [len(b) for b in watched.seen] == [7, 7, 7, 7, 7, 5]


def test_sgd_is_plain_gradient_descent():
    data_loss = objective()
    theta = data_loss.initial(np.random.default_rng(0))
    result = run(SGD(learning_rate=0.05, iterations=2), data_loss, np.random.default_rng(0), start=theta)
    _, gradient = data_loss.loss_and_gradient(theta)
    np.testing.assert_allclose(result.theta, theta - 0.05 * gradient, rtol=1e-14)


def test_momentum_keeps_a_share_of_the_last_step():
    data_loss = objective()
    theta = data_loss.initial(np.random.default_rng(0))
    trainer = SGD(learning_rate=0.01, momentum=0.9, iterations=3)
    result = run(trainer, data_loss, np.random.default_rng(0), start=theta)
    first = 0.01 * data_loss.loss_and_gradient(theta)[1]
    second = 0.9 * first + 0.01 * data_loss.loss_and_gradient(theta - first)[1]
    np.testing.assert_allclose(result.theta, theta - first - second, rtol=1e-12)


def test_adam_takes_the_steps_of_the_paper():
    data_loss = objective()
    theta = data_loss.initial(np.random.default_rng(0))
    result = run(Adam(learning_rate=0.01, iterations=3), data_loss, np.random.default_rng(0), start=theta)
    expected, m, v = theta.copy(), 0.0, 0.0
    for t in (1, 2):
        g = data_loss.loss_and_gradient(expected)[1]
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected = expected - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(result.theta, expected, rtol=1e-10)


def test_a_divergent_descent_keeps_its_best_and_says_so():
    result = run(SGD(learning_rate=1e6, iterations=500), objective(), np.random.default_rng(0))
    assert result.status == "diverged"
    assert np.isfinite(result.theta).all()
    assert "learning rate" in result.message


@pytest.mark.parametrize("topology", ["star", "ring"])
def test_the_update_is_that_of_pyswarms(topology, monkeypatch):
    """Two moves, the random numbers fed to both: personal bests, velocities, positions."""
    rng = np.random.default_rng(0)
    settings = PSO(topology=topology, velocity_clamp=0.05, bound=2.0, neighbours=3)
    position, velocity = rng.uniform(-2, 2, (8, 5)), rng.normal(size=(8, 5))
    draws, costs = rng.random((4, 8, 5)), rng.random((2, 8))

    class Drawn:
        left = iter(draws)

        def random(self, out):
            out[:] = next(self.left)
            return out

    with _quiet_pyswarms():
        from pyswarms.backend import operators
        from pyswarms.backend.handlers import BoundaryHandler, VelocityHandler
        from pyswarms.backend.swarms import Swarm

        keep_velocity, nearest = VelocityHandler("unmodified"), BoundaryHandler("nearest")
        particles = _Particles(settings, position.copy(), Drawn())
    particles.swarm.velocity = velocity.copy()
    reference = Swarm(position=position.copy(), velocity=velocity.copy())
    reference.options = {"w": settings.inertia, "c1": settings.cognitive, "c2": settings.social}
    reference.pbest_pos, reference.pbest_cost = position.copy(), np.full(8, np.inf)
    theirs = iter(draws)
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: next(theirs))
    for cost in costs:
        particles.move(cost, 0.0)
        reference.current_cost = cost
        reference.pbest_pos, reference.pbest_cost = operators.compute_pbest(reference)
        reference.best_pos, _ = particles._topology.compute_gbest(reference, **particles._who)
        reference.velocity = operators.compute_velocity(reference, (-0.1, 0.1), keep_velocity)
        bounds = (np.full(5, -2.0), np.full(5, 2.0))
        reference.position = operators.compute_position(reference, bounds, nearest)
        for name in ("pbest_cost", "pbest_pos", "velocity", "position"):
            ours, expected = getattr(particles.swarm, name), getattr(reference, name)
            np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["pso", "projected"])
def test_swarms_stay_in_their_box(name):
    data_loss = objective()
    reached = []

    class Watched:
        n_rows, size, hidden_size = data_loss.n_rows, data_loss.size, data_loss.hidden_size
        initial = staticmethod(data_loss.initial)

        def loss(self, swarm):
            if swarm.ndim == 2:
                reached.append(np.abs(swarm).max())
            return -np.abs(swarm).sum(-1)  # the farther out the better

        def projected(self, hidden, ridge):
            reached.append(np.abs(hidden).max())
            return -np.abs(hidden).sum(1), np.zeros((len(hidden), data_loss.size - data_loss.hidden_size))

    trainer = dataclasses.replace(short(name, iterations=60), bound=3.0, velocity_clamp=0.2, target_loss=-1e9)
    run(trainer, Watched(), np.random.default_rng(0))
    assert max(reached) == 3.0
    assert np.diff(reached).max() <= 0.6 + 1e-12


def test_schedules_go_from_first_to_last():
    from swarmnet.trainers.particle_swarm import _at

    assert _at((0.9, 0.4), 0.5) == pytest.approx(0.65)
    assert _at(0.7, 0.5) == 0.7
    trainer = dataclasses.replace(short("pso"), inertia=(0.9, 0.4), cognitive=(2.5, 0.5), social=(0.5, 2.5))
    result = run(trainer, objective(), np.random.default_rng(0))
    assert result.loss < result.history["loss"][0]


@pytest.mark.parametrize("name", ["pso", "projected"])
def test_lost_particles_do_not_stop_a_swarm(name):
    """An activation whose value is NaN for large z: some particles have no loss."""
    tanh = TABLE["tanh"]

    def torn(z, out):
        tanh.value(z, out)
        out[np.abs(out) > 0.9] = np.nan

    net = Network((2, 5, 1), Activation("torn", torn, tanh.slope, tanh.curvature))
    data_loss = Objective(net, problem())
    assert np.isnan(data_loss.loss(net.init(np.random.default_rng(0), 50))).any()
    result = run(short(name, iterations=20), data_loss, np.random.default_rng(0))
    assert np.isfinite(result.loss)


def test_no_finite_loss_at_all_is_an_error():
    nowhere = Activation(
        "nowhere", lambda z, out: out.fill(np.nan), TABLE["tanh"].slope, TABLE["tanh"].curvature
    )
    for name in NAMES:
        with pytest.raises(SwarmnetError, match="infinite or not a number"):
            run(
                short(name),
                Objective(Network((2, 5, 1), nowhere), problem()),
                np.random.default_rng(0),
            )


def test_projected_needs_a_linear_output():
    net = Network((2, 5, 1), ["tanh", "sigmoid"])
    with pytest.raises(SwarmnetError, match="linear output"):
        run(ProjectedPSO(), Objective(net, problem()), np.random.default_rng(0))


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: PSO(particles=1), "particles"),
        (lambda: PSO(topology="pyramid"), "star, ring"),
        (lambda: PSO(velocity_clamp=0), "velocity_clamp"),
        (lambda: ProjectedPSO(ridge=-1), "ridge"),
        (lambda: SGD(learning_rate=0), "learning_rate"),
        (lambda: SGD(momentum=1), "momentum"),
        (lambda: SGD(batch_size=0), "batch_size"),
        (lambda: Adam(beta1=2), "beta1"),
        (lambda: LBFGS(memory=0), "memory"),
        (lambda: LBFGS(refresh=0), "refresh"),
        (lambda: Hybrid(swarm_share=1), "swarm_share"),
        (lambda: LBFGS(iterations=0), "iterations"),
        (lambda: LBFGS(seconds=0), "seconds"),
        (lambda: LBFGS(patience=0), "patience"),
        (lambda: LBFGS(tolerance=1), "tolerance"),
        (lambda: configured("hybird"), "did you mean 'hybrid'"),
        (lambda: configured("LBFGS"), "did you mean 'lbfgs'"),
        (lambda: PSO(inertia=(0.9, 0.5, 0.4)), "inertia"),
        (lambda: PSO(bound=(-1, 1)), "bound"),
        (lambda: PSO(bound=np.inf), "bound"),
        (lambda: LBFGS(seconds=np.inf), "seconds"),
        (lambda: LBFGS(seconds="3"), "seconds"),
        (lambda: configured(PSO), "trainer must be"),
        (lambda: PSO(particles=2.5), "particles"),
        (lambda: LBFGS(iterations=2.5), "iterations"),
        (lambda: configured("adam", particles=10), "adam"),
    ],
)
def test_settings_out_of_range_are_refused(make, word):
    with pytest.raises(SwarmnetError, match=word):
        make()


def test_particles_reach_the_swarm_inside_hybrid():
    assert configured("hybrid", particles=7).swarm.particles == 7
    assert configured("pso", particles=7).particles == 7


def test_every_trainer_has_a_name_of_its_own():
    assert all(issubclass(kind, Trainer) and kind.name == name for name, kind in TRAINERS.items())


def in_a_fresh_process(code, **kwargs):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        **kwargs,
    )


def test_training_leaves_the_users_process_as_it_was(tmp_path):
    code = """
        import logging, os
        import numpy as np
        user = logging.StreamHandler()
        logging.getLogger().addHandler(user)
        logging.getLogger().setLevel(logging.ERROR)
        np.random.seed(1)
        before, environment = np.random.get_state()[1].copy(), dict(os.environ)
        import swarmnet
        data = swarmnet.MixedData(np.linspace(-1, 1, 9)[:, None], Y=np.linspace(-1, 1, 9) ** 2)
        for name in swarmnet.trainers.TRAINERS:
            swarmnet.fit(data, hidden=(3,), trainer=name, iterations=3)
        swarmnet.fit(data, hidden=(3,), trainer=swarmnet.trainers.PSO(topology="ring"), iterations=3)
        assert logging.getLogger().handlers == [user], logging.getLogger().handlers
        assert logging.getLogger().level == logging.ERROR
        assert (np.random.get_state()[1] == before).all()
        assert dict(os.environ) == environment
        assert "matplotlib" not in __import__("sys").modules
        assert os.listdir(".") == [], os.listdir(".")
    """
    done = in_a_fresh_process(code, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_many_iterations_stay_small():
    """100 particles, 1014 weights: kept histories of the swarm would take 1.6 GB."""
    code = """
        import numpy as np
        import swarmnet
        X = np.random.default_rng(0).uniform(-1, 1, (10, 4))
        trainer = swarmnet.trainers.PSO(particles=100, iterations=1000, patience=1000)
        data = swarmnet.MixedData(X, Y=np.sin(X).sum(1))
        model = swarmnet.fit(data, hidden=(29, 28), trainer=trainer)
        assert model.net.size == 1014 and len(model.history) == 1000
        # Not ru_maxrss: that starts at the size of the process which started this one.
        status = dict(line.split(":", 1) for line in open("/proc/self/status"))
        peak = int(status["VmHWM"].split()[0]) * 1024
        assert peak < 300e6, peak
    """
    done = in_a_fresh_process(code)
    assert done.returncode == 0, done.stderr


def hilly(seed):
    """1,500 gradients of four inputs whose importance differs by a factor of a hundred."""
    X = np.random.default_rng(seed).uniform(-1, 1, (1500, 4))
    share, wave = np.array([1.0, 0.3, 0.1, 0.01]), np.array([1.0, 2.0, 3.0, 4.0])
    return MixedData(X, (share * np.sin(wave * X)).sum(1), share * wave * np.cos(wave * X))


def test_a_preconditioner_gets_further_with_as_many_evaluations():
    ratios = []
    for seed in range(5):
        target = Objective(Network((4, 12, 12, 1)), hilly(seed), l2=1e-8, derivative_weight=30.0)
        plain, conditioned = (
            run(LBFGS(iterations=None, evaluations=200, refresh=refresh), target, np.random.default_rng(seed))
            for refresh in (None, 20)
        )
        ratios.append(conditioned.loss / plain.loss)
    assert np.median(ratios) < 0.2


def test_rows_without_entries_make_no_preconditioner():
    """Of 4,000 rows two have entries; the 84 drawn for 7 weights are others."""
    data = MixedData(np.linspace(0, 1, 4000)[:, None], np.r_[1.0, np.full(3998, np.nan), 2.0])
    objective = Objective(Network((1, 2, 1)), data)
    plain, other = (
        run(LBFGS(iterations=10, refresh=refresh), objective, np.random.default_rng(0))
        for refresh in (None, 10)
    )
    np.testing.assert_array_equal(other.theta, plain.theta)


def test_a_preconditioner_needs_the_squared_loss():
    data = MixedData([[0.0], [1.0]], [0.0, 1.0])
    with pytest.raises(SwarmnetError, match="lbfgs needs the squared loss"):
        fit(data, trainer=LBFGS(refresh=10), loss="cross-entropy")
