"""Levenberg-Marquardt runs on replicas of the objective elsewhere are the same to the last bit."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective
from swarmnet.trainers import LM, Hybrid, ProjectedPSO, run
from swarmnet.trainers.checkpoint import Checkpoint, fingerprint
from swarmnet.trainers.executor import OnReplicas, Threads
from swarmnet.trainers.lm_run import LMRun
from swarmnet.trainers.stages import Stages

SIZES = ((2, 3, 1), (2, 5, 1), (2, 3, 3, 1))
SMALL = Hybrid(
    polish=LM(iterations=60),
    swarm=ProjectedPSO(iterations=2, particles=4),
    starts=4,
    stages=Stages(halvings=(9,), chosen=30),
)


class Pickled:
    """Replicas to which everything goes, and from which it comes, as to another process."""

    def __init__(self, candidates):
        self.candidates, self.asked = [candidate.single_threaded() for candidate in candidates], []

    def map(self, work, items):
        self.asked.append([item[1][1] for item in items])
        sent = pickle.loads(pickle.dumps(items))
        return pickle.loads(pickle.dumps([work(self.candidates[number], item) for number, item in sent]))


def objective(threads=2):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 2))
    data = MixedData(X, np.sin(2 * X[:, 0]) * X[:, 1] + 0.01 * rng.normal(size=40))
    candidates = [
        Objective(Network(sizes), data, threads=threads, derivative_weight=None, l2=None) for sizes in SIZES
    ]
    candidates[0].candidates = candidates
    return candidates[0]


def trained(trainer, replicas=None, **arguments):
    """With replicas, or on threads."""
    return trained_by(None if replicas is None else OnReplicas(replicas), trainer, **arguments)


def trained_by(executor, trainer, **arguments):
    return run(trainer, objective(), np.random.default_rng(3), executor=executor, **arguments)


def pickled():
    return Pickled(objective().candidates)


def assert_same(one, other):
    assert np.array_equal(one.theta, other.theta)
    assert (one.loss, one.status, one.evaluations) == (other.loss, other.status, other.evaluations)
    for name in ("iteration", "evaluations", "loss", "stage"):
        assert np.array_equal(one.history[name], other.history[name]), name
    for name, value in one.posterior.saved().items():
        assert np.array_equal(other.posterior.saved()[name], value), name


@pytest.mark.parametrize("budget", [{}, {"iterations": 120}, {"evaluations": 900}], ids=str)
def test_a_training_elsewhere_is_the_training_here(budget):
    replicas = pickled()
    assert_same(trained(replace(SMALL, **budget)), trained(replace(SMALL, **budget), replicas))
    assert max(map(len, replicas.asked)) == 2 * len(SIZES)


@pytest.mark.parametrize("stop", [12, 50])
def test_a_checkpoint_of_either_goes_on_in_the_other(tmp_path, stop):
    whole = trained(SMALL)
    for one, other in ((None, pickled()), (pickled(), None)):
        path = tmp_path / f"{one is None}.ckpt"

        def killed(now):
            if now.iteration == stop:
                raise RuntimeError

        kept = [Checkpoint(path, fingerprint({"these": 0}), 0.0) for _ in range(2)]
        with pytest.raises(RuntimeError):
            trained(SMALL, one, callback=killed, checkpoint=kept[0])
        assert_same(whole, trained(SMALL, other, checkpoint=kept[1]))


def lm_runs(number=3):
    on = objective()
    return [LMRun(on, theta) for theta in on.initial(np.random.default_rng(0), number)]


def test_more_iterations_are_asked_for_while_calls_are_short_and_none_is_wasted():
    replicas = pickled()
    executor, three = OnReplicas(replicas, call=60.0, most=8, caution=2), lm_runs()
    for _ in range(1 + 2 + 4 + 8 + 5):
        executor.advance(three)
    assert replicas.asked == [[1] * 3, [2] * 3, [4] * 3, [8] * 3, [8] * 3]
    assert executor.ahead == 3
    for lm_run in three:
        lm_run.cooling *= 1.1
    for _ in range(1 + 1 + 1 + 2):
        executor.advance(three)
    assert replicas.asked[5:] == [[1] * 3, [1] * 3, [1] * 3, [2] * 3]
    assert {lm_run.iteration for lm_run in three} == {25}


def test_fewer_iterations_are_asked_for_while_calls_are_long(monkeypatch):
    ticks = itertools.accumulate(itertools.chain([0.0, 1.0] * 3, [0.0, 10.0] * 2, [0.0] * 99))
    monkeypatch.setattr("swarmnet.trainers.executor.time.perf_counter", lambda: next(ticks))
    replicas = pickled()
    executor, three = OnReplicas(replicas, call=2.0), lm_runs()
    for _ in range(1 + 2 + 4 + 8 + 4 + 2):
        executor.advance(three)
    assert replicas.asked == [[1] * 3, [2] * 3, [4] * 3, [8] * 3, [4] * 3, [2] * 3]


def test_where_seconds_are_the_limit_nothing_is_wasted(monkeypatch):
    """There the cooling would change with every look at the clock."""
    left = iter(np.linspace(100.0, 50.0, 200))
    monkeypatch.setattr("swarmnet.trainers.budget.Budget.iterations_left", lambda *arguments: next(left))
    replicas = pickled()
    executor = OnReplicas(replicas, call=60.0)
    trained_by(executor, LM(iterations=None, seconds=300.0), callback=lambda now: now.iteration == 14)
    assert replicas.asked == [[1] * 3, [2] * 3, [4] * 3, [8] * 3]


def test_no_more_is_asked_for_than_there_are_seconds_left_for(monkeypatch):
    now = itertools.count(0.0)  # each call takes a second
    monkeypatch.setattr("swarmnet.trainers.executor.time.perf_counter", lambda: next(now))
    replicas = pickled()
    executor, three = OnReplicas(replicas, call=60.0), lm_runs()
    for seconds_left in (None, *[9.0] * 2, *[1.0] * 4, *[0.6] * 2, 0.1, 0.0):
        executor.advance(three, seconds_left)
    assert [asked[0] for asked in replicas.asked] == [1, 2, 2, 2, 1, 1, 1, 1]


def test_a_run_given_up_is_asked_for_no_more():
    replicas = pickled()
    executor, three = OnReplicas(replicas), lm_runs()
    for _ in range(2):
        executor.advance(three)
    executor.advance(three[1:])  # done ahead
    executor.advance(three[1:])
    assert [len(asked) for asked in replicas.asked] == [3, 3, 2]
    for lm_run, other, iterations in zip(three, lm_runs(), (2, 4, 4), strict=True):
        for _ in range(iterations):
            other.advance()
        assert np.array_equal(lm_run.theta, other.theta)


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_change_nothing(threads):
    three, others = lm_runs(), lm_runs()
    executor = Threads(threads)
    for _ in range(5):
        executor.advance(three)
        executor.advance(three[:1])
    for lm_run, other, iterations in zip(three, others, (10, 5, 5), strict=True):
        for _ in range(iterations):
            other.advance()
        assert np.array_equal(lm_run.theta, other.theta)


def test_ctrl_c_in_the_middle_of_a_call_keeps_the_best_so_far(monkeypatch, tmp_path):
    replicas, whole = pickled(), trained(LM(iterations=40))
    work, path = replicas.map, tmp_path / "run.ckpt"

    def interrupted(*arguments):
        if len(replicas.asked) == 3:
            raise KeyboardInterrupt
        return work(*arguments)

    kept = [Checkpoint(path, fingerprint({"these": 0}), 0.0) for _ in range(2)]
    monkeypatch.setattr(replicas, "map", interrupted)
    stopped = trained(LM(iterations=40), replicas, checkpoint=kept[0])
    assert (stopped.status, stopped.history["iteration"][-1]) == ("interrupted", 3)
    monkeypatch.setattr(replicas, "map", work)
    assert_same(whole, trained(LM(iterations=40), replicas, checkpoint=kept[1]))
