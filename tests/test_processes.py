"""Climbs that processes of this machine take further: the model of one process, and nothing left of them."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, Network
from swarmnet.blueprint import Blueprint
from swarmnet.processes import ProcessCopies, copies_for
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import LBFGS, LM, Hybrid, ProjectedPSO, run
from swarmnet.workshop import Workshop

SMALL = Hybrid(polish=LM(iterations=60), swarm=ProjectedPSO(iterations=2, particles=4), starts=4)
NETS = [Network(sizes) for sizes in ((2, 3, 1), (2, 5, 1), (2, 3, 3, 1))]
SECONDS = 60.0  # for what takes one


def plan():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 2))
    data = MixedData(X, np.sin(2 * X[:, 0]) * X[:, 1] + 0.01 * rng.normal(size=40))
    settings = {"derivative_weight": None, "l2": None}
    return Blueprint(data, Preparation(Scaling.of(data.statistics), data.statistics), settings)


def objectives(copies=None, threads=2):
    rungs = [plan().objective(net, threads) for net in NETS]
    for rung in rungs:
        rung.rungs, rung.copies = rungs, copies
    return rungs


def trained(copies=None, trainer=SMALL, **arguments):
    return run(trainer, objectives(copies)[0], np.random.default_rng(3), **arguments)


def waited_for(condition):
    end = time.monotonic() + SECONDS
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return met


class Counted(ProcessCopies):
    """How often they were asked."""

    asked = 0

    def map(self, work, items):
        self.asked += 1
        return super().map(work, items)


def begun():
    """Two processes."""
    copies = Counted(Workshop(plan(), NETS), 2)
    assert waited_for(lambda: copies.ready)
    return copies


@pytest.fixture(scope="module")
def lasting():
    copies = begun()
    yield copies
    copies.close()


@pytest.fixture
def copies():
    copies = begun()
    yield copies
    copies.close()


def pythons(copies):
    return [process._python for process in copies._processes]


def assert_same(one, other):
    assert np.array_equal(one.theta, other.theta)
    assert (one.loss, one.status, one.evaluations) == (other.loss, other.status, other.evaluations)
    assert np.array_equal(one.history["loss"], other.history["loss"])


@pytest.mark.parametrize("budget", [{}, {"iterations": 120}, {"evaluations": 900}], ids=str)
def test_the_model_is_that_of_one_process(monkeypatch, lasting, budget):
    monkeypatch.setattr("swarmnet.trainers.hybrid._HALVINGS", (9, 30))
    trainer, before = replace(SMALL, **budget), lasting.asked
    assert_same(trained(lasting, trainer), trained(None, trainer))
    assert lasting.asked > before


@pytest.mark.parametrize("lost", [1, 2])
def test_where_processes_die_this_one_does_their_work(copies, lost):
    def kill(now):
        if now.iteration == 8:
            for python in pythons(copies)[:lost]:
                python.kill()

    assert_same(trained(copies, callback=kill), trained())
    assert copies.asked > 0
    assert not copies.ready


def test_work_that_fails_does_so_here(copies):
    size = NETS[0].size
    assert copies.map(getattr, [(size, "size"), (size, "n_rows")]) == [size, 40]
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        copies.map(getattr, [(size, "missing")])


def test_ctrl_c_while_they_work_keeps_the_best_so_far(monkeypatch, copies):
    monkeypatch.setattr("swarmnet.processes.wait", lambda shares: os.kill(os.getpid(), signal.SIGINT))
    result = trained(copies)
    assert result.status == "interrupted"
    assert np.isfinite(result.loss)


def test_ctrl_c_is_not_for_them(lasting):
    before = lasting.asked
    for python in pythons(lasting):
        python.send_signal(signal.SIGINT)
    trained(lasting)
    assert lasting.ready
    assert lasting.asked > before


def test_where_none_can_be_begun_all_is_done_here(monkeypatch):
    def none(*arguments, **settings):
        raise OSError("Resource temporarily unavailable")

    monkeypatch.setattr("swarmnet.processes.subprocess.Popen", none)
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    assert_same(trained(copies), trained())
    assert not copies.ready
    copies.close()


@pytest.mark.parametrize("code", ["1 / 0", "from swarmnet.missing import serve"])
def test_those_that_end_at_once_are_not_asked(monkeypatch, code):
    monkeypatch.setattr("swarmnet.processes._BEGIN", code)
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    assert waited_for(lambda: copies.ready or copies._lost)
    assert not copies.ready
    assert_same(trained(copies), trained())
    copies.close()


def test_they_begin_only_after_a_while():
    copies = ProcessCopies(Workshop(plan(), NETS), 2, after=1000.0)
    trained(copies)
    assert not copies.ready
    copies.close()  # without waiting for them
    assert not pythons(copies)


def test_when_closed_they_have_ended(copies):
    copies.close()
    assert all(python.returncode is not None for python in pythons(copies))


def test_they_end_with_a_process_that_is_killed():
    """What multiprocessing's and joblib's do not."""
    begin = (
        "import os, time; from test_processes import *\n"
        "copies = ProcessCopies(Workshop(plan(), NETS), 2)\n"
        "while not copies.ready: time.sleep(0.01)\n"
        "print(*(python.pid for python in pythons(copies)), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", begin], cwd=os.path.dirname(__file__), capture_output=True, text=True
    )
    numbers = [int(number) for number in done.stdout.split()]
    assert len(numbers) == 2
    assert waited_for(lambda: not any(is_alive(number) for number in numbers))


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{number}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"  # nobody may have buried it
    except OSError:
        return False


class TestWho:
    """For whom there are processes."""

    def test_several_cheap_climbs_on_several_threads(self):
        def processes(*arguments):
            copies = copies_for(*arguments)
            copies.close()
            return len(copies._begun)

        assert processes(SMALL, objectives(), plan()) == 2
        assert processes(LM(), objectives(threads=8)[:1], plan()) == 3
        assert processes(SMALL, objectives(threads=99), plan()) == 8
        assert copies_for(SMALL, objectives(threads=1), plan()) is None
        assert copies_for(LBFGS(), objectives(), plan()) is None
        assert copies_for(replace(SMALL, starts=1), objectives(), plan()) is None

    def test_not_dear_ones(self, monkeypatch):
        monkeypatch.setattr("swarmnet.trainers.second_order._CHEAP", 0.0)
        assert copies_for(SMALL, objectives(), plan()) is None

    def test_not_an_activation_of_the_users(self):
        mine = replace(NETS[0].activations[0], name="mine")
        other = plan().objective(Network((2, 4, 1), [mine, "linear"]), 2)
        assert copies_for(SMALL, [*objectives(), other], plan()) is None

    def test_not_on_windows(self, monkeypatch):
        given = SMALL, objectives(), plan()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(os, "name", "nt")
            assert copies_for(*given) is None

    @pytest.mark.parametrize("program", ["", "/opt/bin/blender"])
    def test_not_in_a_program_that_python_is_part_of(self, monkeypatch, program):
        monkeypatch.setattr(sys, "executable", program)
        assert copies_for(SMALL, objectives(), plan()) is None

    def test_not_in_a_frozen_program(self, monkeypatch):
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        assert copies_for(SMALL, objectives(), plan()) is None

    def test_not_in_one_of_the_users_processes(self, monkeypatch):
        monkeypatch.setattr("swarmnet.processes.parent_process", lambda: "a parent")
        assert copies_for(SMALL, objectives(), plan()) is None


def test_a_fit_has_them_and_lets_them_go(monkeypatch):
    made, plain = [], ProcessCopies.__init__

    def noted(self, workshop, processes, after):
        made.append(self)
        plain(self, workshop, processes, after=0.0)

    data = plan().rows
    monkeypatch.setattr("swarmnet.fitting._LADDER", ((3,), (5,), (3, 3)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = swarmnet.fit(data, iterations=200)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("swarmnet.threads.available_cores", lambda: 2)
    monkeypatch.setattr(ProcessCopies, "__init__", noted)

    def wait(now):
        if now.iteration == 70:  # of which the swarms take some
            assert waited_for(lambda: made[0].ready)

    model = swarmnet.fit(data, iterations=200, callback=wait)
    assert np.array_equal(model.theta, alone.theta)
    assert model.training["evaluations"] == alone.training["evaluations"]
    (copies,) = made
    assert len(pythons(copies)) == 2
    assert all(python.returncode is not None for python in pythons(copies))
