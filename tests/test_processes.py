"""Climbs that processes of this machine take further: the model of one process, and nothing left of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, Network
from swarmnet.blueprint import Blueprint
from swarmnet.processes import ProcessCopies, copies_for
from swarmnet.scaling import Preparation, Scaling
from swarmnet.threads import CopiesLost
from swarmnet.trainers import LBFGS, LM, Hybrid, ProjectedPSO, run
from swarmnet.workshop import Workshop

pytestmark = pytest.mark.skipif(os.name != "posix", reason="elsewhere there are none")

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
    monkeypatch.setattr("swarmnet.trainers.hybrid._HALVINGS", (9,))
    monkeypatch.setattr("swarmnet.trainers.hybrid._CHOSEN", 30)
    trainer, before = replace(SMALL, **budget), lasting.asked
    assert_same(trained(lasting, trainer), trained(None, trainer))
    assert lasting.asked > before


@pytest.mark.parametrize("lost", [1, 2])
def test_where_processes_die_this_one_does_their_work(copies, lost):
    asked = []

    def kill(now):
        if now.iteration == 30:
            asked.append(copies.asked)
            for python in pythons(copies)[:lost]:
                python.kill()
                python.wait()

    assert_same(trained(copies, callback=kill), trained())
    assert asked[0] > 1
    assert not copies.ready


def dies(objective, item):
    os._exit(1)


def test_those_that_die_at_work_are_lost(copies):
    with pytest.raises(CopiesLost):
        copies.map(dies, [(0, 0)] * 3)
    assert not copies.ready


def test_one_that_dies_is_noticed_though_its_end_of_the_pipe_is_held(copies, monkeypatch):
    monkeypatch.setattr("swarmnet.processes.wait", lambda pipes, timeout: [])  # as nothing can be heard then
    with pytest.raises(CopiesLost):
        copies.map(dies, [(0, 0)] * 3)


def test_work_that_fails_is_to_be_done_here(copies):
    assert copies.map(getattr, [(1, "size"), (1, "n_rows")]) == [NETS[1].size, 40]
    with pytest.raises(CopiesLost):
        copies.map(getattr, [(0, "missing")])


def test_ctrl_c_while_they_work_keeps_the_best_so_far(monkeypatch, copies):
    monkeypatch.setattr("swarmnet.processes.wait", lambda pipes, timeout: os.kill(os.getpid(), signal.SIGINT))
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


def none(*arguments, **settings):
    raise OSError("Resource temporarily unavailable")


def descriptors():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_where_none_can_be_begun_all_is_done_here(monkeypatch):
    monkeypatch.setattr("swarmnet.processes.subprocess.Popen", none)
    before = descriptors()
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    assert_same(trained(copies), trained())
    assert not copies.ready
    copies.close()
    assert descriptors() == before


def test_where_there_are_no_more_threads_all_is_done_here(monkeypatch):
    def full(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", full)
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    monkeypatch.undo()
    assert not copies.ready
    copies.close()


@pytest.mark.parametrize("code", ["1 / 0", "from swarmnet.missing import serve"])
def test_those_that_end_at_once_are_not_asked(monkeypatch, code):
    monkeypatch.setattr("swarmnet.processes._BEGIN", code)
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    copies._opener.join()
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
    assert all(python.poll() is None for python in pythons(copies))
    copies.close()
    assert all(python.returncode is not None for python in pythons(copies))
    assert not copies._opener.is_alive()


@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.5])
def test_they_can_be_closed_while_they_begin(seconds):
    before = descriptors()
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    time.sleep(seconds)
    copies.close()
    assert all(python.returncode is not None for python in pythons(copies))
    assert descriptors() == before


def test_they_can_be_closed_though_their_end_of_the_pipe_is_held(monkeypatch):
    """As it is by what the user forks just when they begin."""
    held = []

    def pipe():
        ours, theirs = Pipe()
        held.append(os.dup(theirs.fileno()))
        return ours, theirs

    monkeypatch.setattr("swarmnet.processes.Pipe", pipe)
    monkeypatch.setattr("swarmnet.processes._BEGIN", "import time; time.sleep(60)")
    copies = ProcessCopies(Workshop(plan(), NETS), 2)
    assert waited_for(lambda: len(pythons(copies)) == 2)
    closing = threading.Thread(target=copies.close, daemon=True)
    closing.start()
    closing.join(SECONDS)
    assert not closing.is_alive()
    for end in held:
        os.close(end)


def script(code):
    """What a script printed that began with `copies` being ready."""
    begin = "from test_processes import *\ncopies = begun()\n"
    return subprocess.run(
        [sys.executable, "-c", begin + code], cwd=os.path.dirname(__file__), capture_output=True, text=True
    )


def test_they_end_with_a_process_that_is_killed():
    """What multiprocessing's and joblib's do not."""
    done = script(
        "print(*(python.pid for python in pythons(copies)), flush=True)\nos.kill(os.getpid(), signal.SIGKILL)"
    )
    numbers = [int(number) for number in done.stdout.split()]
    assert len(numbers) == 2
    assert waited_for(lambda: not any(is_alive(number) for number in numbers))


def test_they_end_though_what_was_forked_holds_the_pipes():
    done = script(
        "child = os.fork()\n"
        "if child: print(child, *(python.pid for python in pythons(copies)), flush=True)\n"
        "if child: os.kill(os.getpid(), signal.SIGKILL)\n"
        "os.close(1), os.close(2), time.sleep(1000)\n"
    )
    child, *numbers = [int(number) for number in done.stdout.split()]
    try:
        assert len(numbers) == 2
        assert waited_for(lambda: not any(is_alive(number) for number in numbers))
        assert is_alive(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_fit_goes_on_in_a_thread_when_the_script_has_ended():
    done = script(
        "import threading\n"
        "copies.close()\n"
        "def fit(): time.sleep(0.5), print(swarmnet.fit(plan().rows, iterations=20).training['status'])\n"
        "threading.Thread(target=fit).start()\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "iterations\n", "")


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    try:
        with open(f"/proc/{number}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"  # nobody may have buried it
    except OSError:
        return not os.path.isdir("/proc/self")


def processes(trainer=SMALL, on=None, of=None):
    with copies_for(trainer, on or objectives(), of or plan()) as copies:
        return 0 if copies is None else copies._count


class TestWho:
    """For whom there are processes."""

    def test_several_cheap_climbs_on_several_threads(self):
        assert processes() == 2
        assert processes(LM(), objectives(threads=8)[:1]) == 3
        assert processes(on=objectives(threads=99)) == 8
        assert processes(on=objectives(threads=1)) == 0
        assert processes(LBFGS()) == 0
        assert processes(replace(SMALL, starts=1)) == 0

    def test_one_fit_at_a_time(self):
        with copies_for(SMALL, objectives(), plan()) as copies:
            assert copies is not None
            assert processes() == 0
        assert processes() == 2

    @pytest.mark.parametrize(("seconds", "count"), [(4.9, 0), (5.0, 2)])
    def test_not_where_there_is_no_time_for_their_beginning(self, seconds, count):
        assert processes(replace(SMALL, seconds=seconds)) == count

    def test_not_with_many_rows(self, monkeypatch):
        monkeypatch.setattr("swarmnet.processes._MOST_BYTES", sys.getsizeof(Workshop(plan(), NETS)))
        assert processes() == 2
        monkeypatch.setattr("swarmnet.processes._MOST_BYTES", sys.getsizeof(Workshop(plan(), NETS)) - 1)
        assert processes() == 0

    def test_not_where_one_that_dies_could_end_this_process(self):
        """As `signal(SIGPIPE, SIG_DFL)` has it, which scripts say whose output goes to `head`."""
        before = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        try:
            assert processes() == 0
        finally:
            signal.signal(signal.SIGPIPE, before)

    @pytest.mark.parametrize("name", ["_IMPORTED", "__file__"])
    def test_not_of_another_swarmnet_than_this_one(self, monkeypatch, tmp_path, name):
        """Upgraded meanwhile, or gone."""
        monkeypatch.setattr(
            f"swarmnet.processes.{name}", {"_IMPORTED": 0.0}.get(name, str(tmp_path / "x.py"))
        )
        copies = ProcessCopies(Workshop(plan(), NETS), 2)
        copies._opener.join()
        assert not copies.ready
        assert not pythons(copies)
        copies.close()

    def test_not_dear_ones(self, monkeypatch):
        monkeypatch.setattr("swarmnet.trainers.second_order._CHEAP", 0.0)
        assert processes() == 0

    def test_not_an_activation_of_the_users(self):
        mine = replace(NETS[0].activations[0], name="mine")
        other = plan().objective(Network((2, 4, 1), [mine, "linear"]), 2)
        assert processes(on=[*objectives(), other]) == 0

    def test_not_on_windows(self, monkeypatch):
        given = SMALL, objectives(), plan()
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(os, "name", "nt")
            assert processes(*given) == 0

    @pytest.mark.parametrize("program", ["", "/opt/bin/blender"])
    def test_not_in_a_program_that_python_is_part_of(self, monkeypatch, program):
        monkeypatch.setattr(sys, "executable", program)
        assert processes() == 0

    def test_not_in_a_frozen_program(self, monkeypatch):
        monkeypatch.setattr(sys, "frozen", True, raising=False)
        assert processes() == 0

    def test_not_in_one_of_the_users_processes(self, monkeypatch):
        monkeypatch.setattr("swarmnet.processes.parent_process", lambda: "a parent")
        assert processes() == 0


@pytest.mark.parametrize(
    ("flags", "expected"), [([], []), (["-B", "-s"], ["-B", "-s"]), (["-I"], ["-I", "-E", "-s"])]
)
def test_they_import_as_this_python_does(flags, expected):
    code = f"import sys; sys.path[:] = {sys.path!r}; from swarmnet.processes import _flags; print(_flags())"
    environment = {
        name: x
        for name, x in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONNOUSERSITE")
    }
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{expected}\n"


def test_a_fit_has_them_and_lets_them_go(monkeypatch):
    made, plain = [], ProcessCopies.__init__

    def noted(self, workshop, processes, after):
        made.append(self)
        plain(self, workshop, processes, after=0.0)

    asked, work = [], ProcessCopies.map
    data = plan().rows
    monkeypatch.setattr("swarmnet.fitting._LADDER", ((3,), (5,), (3, 3)))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    alone = swarmnet.fit(data, iterations=200)
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("swarmnet.threads.available_cores", lambda: 2)
    monkeypatch.setattr(ProcessCopies, "__init__", noted)
    monkeypatch.setattr(ProcessCopies, "map", lambda *arguments: asked.append(1) or work(*arguments))

    def wait(now):
        if now.iteration == 70:  # of which the swarms take some
            assert waited_for(lambda: made[0].ready)

    model = swarmnet.fit(data, iterations=200, callback=wait)
    assert np.array_equal(model.theta, alone.theta)
    assert model.training["evaluations"] == alone.training["evaluations"]
    (copies,) = made
    assert len(pythons(copies)) == 2
    assert all(python.returncode is not None for python in pythons(copies))
    assert asked
