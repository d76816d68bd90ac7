"""Climbs that copies of the objective elsewhere take further: the same race to the last bit."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective
from swarmnet.checkpoint import Checkpoint, fingerprint
from swarmnet.trainers import LM, Hybrid, ProjectedPSO, run
from swarmnet.trainers.crews import Elsewhere, Here
from swarmnet.trainers.second_order import Climb

SIZES = ((2, 3, 1), (2, 5, 1), (2, 3, 3, 1))
SMALL = Hybrid(polish=LM(iterations=60), swarm=ProjectedPSO(iterations=2, particles=4), starts=4)


class Pickled:
    """Copies to which everything goes, and from which it comes, as to another process."""

    ready = True

    def __init__(self, rungs):
        self.rungs, self.asked = [rung.twin() for rung in rungs], []

    def map(self, work, items):
        self.asked.append([item[1][1] for item in items])
        sent = pickle.loads(pickle.dumps(items))
        return pickle.loads(pickle.dumps([work(self.rungs[number], item) for number, item in sent]))


def objective(copied, threads=2):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 2))
    data = MixedData(X, np.sin(2 * X[:, 0]) * X[:, 1] + 0.01 * rng.normal(size=40))
    rungs = [
        Objective(Network(sizes), data, threads=threads, derivative_weight=None, l2=None) for sizes in SIZES
    ]
    copies = Pickled(rungs) if copied else None
    for rung in rungs:
        rung.rungs, rung.copies = rungs, copies
    return rungs[0]


def trained(trainer, on, **arguments):
    return run(trainer, on, np.random.default_rng(3), **arguments)


def assert_same(one, other):
    assert np.array_equal(one.theta, other.theta)
    assert (one.loss, one.status, one.evaluations) == (other.loss, other.status, other.evaluations)
    for name in ("iteration", "evaluations", "loss", "stage"):
        assert np.array_equal(one.history[name], other.history[name]), name
    for name, value in one.posterior.saved().items():
        assert np.array_equal(other.posterior.saved()[name], value), name


@pytest.mark.parametrize("budget", [{}, {"iterations": 120}, {"evaluations": 900}], ids=str)
def test_a_race_elsewhere_is_the_race_here(monkeypatch, budget):
    monkeypatch.setattr("swarmnet.trainers.hybrid._HALVINGS", (9,))
    monkeypatch.setattr("swarmnet.trainers.hybrid._CHOSEN", 30)
    here, elsewhere = objective(copied=False), objective(copied=True)
    assert_same(trained(replace(SMALL, **budget), here), trained(replace(SMALL, **budget), elsewhere))
    assert max(map(len, elsewhere.copies.asked)) == 2 * len(SIZES)


@pytest.mark.parametrize("stop", [12, 50])
def test_a_checkpoint_of_either_goes_on_in_the_other(monkeypatch, tmp_path, stop):
    monkeypatch.setattr("swarmnet.trainers.hybrid._HALVINGS", (9,))
    monkeypatch.setattr("swarmnet.trainers.hybrid._CHOSEN", 30)
    whole = trained(SMALL, objective(copied=False))
    for copied in (False, True):
        path = tmp_path / f"{copied}.ckpt"

        def killed(now):
            if now.iteration == stop:
                raise RuntimeError

        kept = [Checkpoint(path, fingerprint({"these": 0}), 0.0) for _ in range(2)]
        with pytest.raises(RuntimeError):
            trained(SMALL, objective(copied), callback=killed, checkpoint=kept[0])
        assert_same(whole, trained(SMALL, objective(not copied), checkpoint=kept[1]))


def climbs(on, number=3):
    return [Climb(on, theta) for theta in on.initial(np.random.default_rng(0), number)]


def test_more_iterations_are_asked_for_while_calls_are_short_and_none_is_wasted(monkeypatch):
    monkeypatch.setattr("swarmnet.trainers.crews._CALL", 60.0)
    monkeypatch.setattr("swarmnet.trainers.crews._MOST", 8)
    monkeypatch.setattr("swarmnet.trainers.crews._CAUTION", 2)
    on = objective(copied=True)
    crew, three = Elsewhere(on.copies, Here(2)), climbs(on)
    for _ in range(1 + 2 + 4 + 8 + 5):
        crew.advance(three)
    assert on.copies.asked == [[1] * 3, [2] * 3, [4] * 3, [8] * 3, [8] * 3]
    assert crew.ahead == 3
    for climb in three:
        climb.cooling *= 1.1
    for _ in range(1 + 1 + 1 + 2):
        crew.advance(three)
    assert on.copies.asked[5:] == [[1] * 3, [1] * 3, [1] * 3, [2] * 3]
    assert {climb.iteration for climb in three} == {25}
    monkeypatch.setattr("swarmnet.trainers.crews._CALL", 0.0)
    for _ in range(2):
        crew.advance(three)
    assert on.copies.asked[9:] == [[1] * 3] * 2


def test_where_seconds_are_the_limit_nothing_is_wasted(monkeypatch):
    """There the cooling would change with every look at the clock."""
    monkeypatch.setattr("swarmnet.trainers.crews._CALL", 60.0)
    left = iter(np.linspace(100.0, 50.0, 200))
    monkeypatch.setattr("swarmnet.trainers.base.Monitor.iterations_left", lambda *arguments: next(left))
    on = objective(copied=True)
    trained(LM(iterations=None, seconds=300.0), on, callback=lambda now: now.iteration == 14)
    assert on.copies.asked == [[1] * 3, [2] * 3, [4] * 3, [8] * 3]


def test_no_more_is_asked_for_than_there_are_seconds_left_for(monkeypatch):
    now = itertools.count(0.0)  # each call takes a second
    monkeypatch.setattr("swarmnet.trainers.crews.time.perf_counter", lambda: next(now))
    monkeypatch.setattr("swarmnet.trainers.crews._CALL", 60.0)
    on = objective(copied=True)
    crew, three = Elsewhere(on.copies, Here(2)), climbs(on)
    for seconds_left in (None, *[9.0] * 2, *[1.0] * 4, *[0.6] * 2, 0.1, 0.0):
        crew.advance(three, seconds_left)
    assert [asked[0] for asked in on.copies.asked] == [1, 2, 2, 2, 1, 1, 1, 1]


def test_a_climb_given_up_is_asked_for_no_more_and_a_last_one_has_the_threads_here():
    on = objective(copied=True)
    crew, three = Elsewhere(on.copies, Here(2)), climbs(on)
    for _ in range(2):
        crew.advance(three)
    crew.advance(three[1:])  # done ahead
    crew.advance(three[1:])
    assert [len(asked) for asked in on.copies.asked] == [3, 3, 2]
    for climb in three:
        crew.advance([climb])
    assert len(on.copies.asked) == 3
    expected = climbs(objective(copied=False))
    for climb, other, iterations in zip(three, expected, (3, 5, 5), strict=True):
        for _ in range(iterations):
            other.advance()
        assert np.array_equal(climb.theta, other.theta)


def test_where_there_is_one_thread_a_last_climb_goes_elsewhere_too():
    on = objective(copied=True, threads=1)
    crew, (one,) = Elsewhere(on.copies, Here(1)), climbs(on, 1)
    crew.advance([one])
    assert len(on.copies.asked) == one.iteration == 1


def test_until_the_copies_are_ready_and_where_they_are_no_more_climbs_are_taken_further_here():
    on = objective(copied=True)
    crew, three = Elsewhere(on.copies, Here(2)), climbs(on)
    for ready in (False, False, True, True, False, False, True):
        on.copies.ready = ready
        crew.advance(three)  # the fifth was done with the fourth
    assert on.copies.asked == [[1] * 3, [2] * 3, [4] * 3]
    expected = climbs(objective(copied=False))
    for climb, other in zip(three, expected, strict=True):
        for _ in range(7):
            other.advance()
        assert np.array_equal(climb.theta, other.theta)


def test_ctrl_c_in_the_middle_of_a_call_keeps_the_best_so_far(monkeypatch, tmp_path):
    on, whole = objective(copied=True), trained(LM(iterations=40), objective(copied=False))
    work, path = on.copies.map, tmp_path / "run.ckpt"

    def interrupted(*arguments):
        if len(on.copies.asked) == 3:
            raise KeyboardInterrupt
        return work(*arguments)

    kept = [Checkpoint(path, fingerprint({"these": 0}), 0.0) for _ in range(2)]
    monkeypatch.setattr(on.copies, "map", interrupted)
    stopped = trained(LM(iterations=40), on, checkpoint=kept[0])
    assert (stopped.status, stopped.history["iteration"][-1]) == ("interrupted", 3)
    monkeypatch.setattr(on.copies, "map", work)
    assert_same(whole, trained(LM(iterations=40), on, checkpoint=kept[1]))
