"""What is the user's stays as it was, and runs go side by side."""

import gc
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import threadpoolctl

import swarmnet
from swarmnet import MixedData, SwarmNetRegressor, compare, fit
from swarmnet.atomic_write import write_atomically
from swarmnet.cli import commands as cli
from swarmnet.data.readers import read
from swarmnet.explanation.explanation import explain
from swarmnet.model.metrics import evaluate
from swarmnet.threads import one_blas_thread
from swarmnet.trainers import PSO, TRAINERS

HERE = {**os.environ, "PYTHONPATH": str(Path(swarmnet.__file__).parents[1])}
X = np.linspace(-1, 1, 24).reshape(12, 2)
DATA = MixedData(X, Y=X[:, 0] * X[:, 1], J=np.stack([np.full(12, np.nan), X[:, 0]], 1)[:, None])
SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGPIPE") if hasattr(signal, name)
]


@pytest.fixture(scope="module", autouse=True)
def nothing_of_other_tests():
    """Dask's log handlers go when their owners are collected, which must not be in the middle of a test."""
    gc.collect()


@pytest.mark.parametrize(
    "work",
    [
        "net = swarmnet.Network((2, 3, 1)); theta = net.init(np.random.default_rng(0))\n"
        "data = swarmnet.MixedData(np.ones((5, 2)), Y=np.ones(5)); net.jacobian(theta, data.X)",
        "from swarmnet.cli import commands as cli\n"
        "sys.argv = ['swarmnet', 'train', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit as ended: assert not ended.code",
    ],
    ids=["a network's answer", "a command's help"],
)
def test_libraries_are_imported_when_they_are_needed(work):
    """Together they take a second, and who asks for little should not wait for it."""
    code = (
        f"import sys, swarmnet, numpy as np\n{work}\n"
        "assert not {'pandas', 'scipy', 'pyswarms', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=HERE)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def model():
    return fit(DATA, (3,), trainer="lm", iterations=20)


def cli_run(*arguments):
    before = sys.argv
    sys.argv = ["swarmnet", *arguments]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        sys.argv = before
    assert not ended.value.code


def draw(model):
    pytest.importorskip("matplotlib")
    from swarmnet import plots

    plots.profile(model, "y", "x1")
    plots.parity_panels(model, DATA)
    plots.network(model)


def report(model):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    model.report("model.html", DATA)


def report_comparison(_):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    compare(DATA, ("adam",), 2, hidden=(3,), evaluations=20).report("comparison.html")


def export(model):
    pytest.importorskip("onnx")
    model.to_onnx("m.onnx")


def estimate(_):
    SwarmNetRegressor((3,), trainer="pso", iterations=3).fit(X, X[:, 0]).predict(X)


def commands(model):
    model.save("m.json")
    write_atomically("data.csv", "x1,x2,y\n" + "".join(f"{a},{b},{a * b}\n" for a, b in X))
    cli_run("train", "data.csv", "--trainer", "adam", "--iterations", "3", "-o", "new.json")
    cli_run("predict", "m.json", "data.csv", "--jacobian", "-o", "out.csv")


ACTIONS = {
    "fit": lambda _: fit(DATA, iterations=3),
    "fit by a swarm": lambda _: fit(DATA, (3,), trainer=PSO(topology="ring"), iterations=3),
    "fit with a checkpoint": lambda _: fit(DATA, (3,), iterations=3, checkpoint="run.ckpt"),
    "compare": lambda _: compare(DATA, ("pso", "adam"), 2, hidden=(3,), evaluations=20),
    "evaluate": lambda model: evaluate(model, DATA),
    "predict": lambda model: [model.predict(X), model.jacobian(X, return_std=True), model.hessian(X)],
    "explain": lambda model: explain(model, DATA).to_html("steps.html"),
    "to_python": lambda model: model.to_python("m.py"),
    "to_c": lambda model: model.to_c("m.c"),
    "to_javascript": lambda model: model.to_javascript("m.js"),
    "to_onnx": export,
    "save and load": lambda model: [model.save("m.json"), swarmnet.load("m.json")],
    "estimator": estimate,
    "plots": draw,
    "report": report,
    "report of a comparison": report_comparison,
    "commands": commands,
}


def surroundings():
    """All that is the user's and that a library could change."""
    umask = os.umask(0)
    os.umask(umask)
    loggers = [
        logging.getLogger(),
        *(logging.getLogger(name) for name in sorted(logging.Logger.manager.loggerDict)),
    ]
    matplotlib, pyplot = sys.modules.get("matplotlib"), sys.modules.get("matplotlib.pyplot")
    style = [name for name in matplotlib.rcParams if name != "backend"] if matplotlib else []
    return {
        "NumPy's random state": repr(np.random.get_state(legacy=False)),  # noqa: NPY002
        "Python's random state": random.getstate(),
        "loggers": {log.name: (log.level, log.handlers[:], log.disabled, log.propagate) for log in loggers},
        "logging": logging.root.manager.disable,
        "warnings": (warnings.filters[:], warnings.showwarning),
        "floating-point errors": np.geterr(),
        "printing": np.get_printoptions(),
        "threads of BLAS": [(lib["filepath"], lib["num_threads"]) for lib in threadpoolctl.threadpool_info()],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "signals": [signal.getsignal(number) for number in SIGNALS],
        "hooks": (sys.excepthook, threading.excepthook, sys.stdout, sys.stderr),
        "rcParams": matplotlib and {name: matplotlib.rcParams[name] for name in style},
        "figures": pyplot and pyplot.get_fignums(),
    }


@pytest.mark.parametrize("name", ACTIONS)
def test_what_is_the_users_stays_as_it_was(model, name, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOG_CFG", "the user's")
    ACTIONS[name](model)  # once for what is imported: other packages set things when that happens
    written = set(os.listdir())
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    with (
        threadpoolctl.threadpool_limits(2),
        np.errstate(divide="raise", over="ignore"),
        np.printoptions(precision=3),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("error", "the user's")
        before = surroundings()
        ACTIONS[name](model)
        after = surroundings()
    for what in before:
        assert after[what] == before[what], what
    assert set(os.listdir()) == written
    assert "report.log" not in written
    assert caplog.records == []


def test_what_is_imported_on_the_way_draws_no_random_numbers_of_the_users():
    code = """
import random
import numpy as np
import swarmnet

random.seed(1)
before = random.getstate()
X = np.linspace(0, 1, 12)[:, None]
swarmnet.compare(swarmnet.MixedData(X, X), ("lbfgs",), 1, hidden=(2,), evaluations=9)
swarmnet.SwarmNetRegressor
assert random.getstate() == before
"""
    done = subprocess.run([sys.executable, "-c", code], env=HERE, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_ends_no_training(closed, tmp_path):
    (tmp_path / "data.csv").write_text("x,y\n" + "".join(f"{i},{i * i}\n" for i in range(12)))
    train = "-m swarmnet train data.csv --hidden 2 --trainer lbfgs --iterations 3 -o m.json"
    command = ["sh", "-c", f"'{sys.executable}' {train} {closed}"]
    done = subprocess.run(command, cwd=tmp_path, env=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and (tmp_path / "m.json").exists()


@pytest.mark.parametrize("name", ["lm", "hybrid", "pso", "adam"])
def test_underflows_are_no_errors_of_the_users(name):
    rng = np.random.default_rng(0)
    noise = MixedData(rng.normal(size=(30, 2)), rng.normal(size=30))
    with np.errstate(all="raise"):
        model = fit(noise, (5,), trainer=name, iterations=60)
        model.predict(X, return_std=model.spread is not None), model.jacobian(X), model.hessian(X)


# Side by side


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_fork_has_threads_of_its_own():
    code = """
import multiprocessing
import numpy as np
import swarmnet

X = np.random.default_rng(0).normal(size=(20000, 2))
net = swarmnet.Network((2, 16, 1))
objective = swarmnet.Objective(net, swarmnet.MixedData(X, X[:, 0]), threads=2)
swarm = net.init(np.random.default_rng(0), 20)
before = objective.loss(swarm)

def again():
    return objective.loss(swarm)

with multiprocessing.get_context("fork").Pool(1) as pool:
    assert (pool.apply(again) == before).all()
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=HERE, timeout=60, check=False)
    assert done.returncode == 0


def test_blas_is_held_and_let_go_from_any_thread():
    """threadpoolctl itself would hear the main thread alone, which has set a limit already."""

    def blas():
        return [lib["num_threads"] for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas"]

    def held():
        with one_blas_thread():
            return blas()

    with threadpoolctl.threadpool_limits(2), ThreadPoolExecutor(1) as pool:
        before = blas()
        assert set(pool.submit(held).result()) == {1}
        assert blas() == before
        assert set(held()) == {1}
        assert blas() == before


def jobs():
    """Trainings of all kinds, large enough for BLAS to use threads."""
    points = np.random.default_rng(1).uniform(-1, 1, (150, 2))
    data = MixedData(points, Y=np.sin(3 * points[:, 0]) * points[:, 1])
    return [
        *[lambda name=name: fit(data, (16, 16), trainer=name, iterations=6).theta for name in TRAINERS],
        lambda: fit(DATA, iterations=5, seed=3).theta,
        lambda: SwarmNetRegressor((4,), trainer="pso", iterations=9).fit(X, X[:, 0]).predict(X),
        lambda: compare(DATA, ("pso", "lm"), 2, hidden=(3,), evaluations=30).curves["loss"].to_numpy(),
        lambda: fit(data, (16, 16), trainer="lm", iterations=3).spread,
    ]


def test_many_threads_fitting_at_once_do_not_disturb_each_other():
    with threadpoolctl.threadpool_limits(2):
        alone = [job().tobytes() for job in jobs()]
        before = surroundings()
        with ThreadPoolExecutor(6) as pool:
            together = [future.result().tobytes() for future in [pool.submit(job) for job in 2 * jobs()]]
        after = surroundings()
    assert together == 2 * alone
    for what in before:
        assert after[what] == before[what], what


def test_threads_that_write_and_make_files_do_not_disturb_each_other(tmp_path):
    """Nobody's file gets other permissions than the umask leaves, not even for a moment."""
    before = os.umask(0o077)
    try:
        with ThreadPoolExecutor(2) as pool:
            written = pool.submit(lambda: [write_atomically(tmp_path / "own", "text") for _ in range(30)])
            modes = set()
            while not written.done():
                path = tmp_path / "user's"
                path.write_text("text")
                modes.add(path.stat().st_mode & 0o777)
                path.unlink()
            written.result()
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600


def test_two_processes_fitting_at_once_do_not_disturb_each_other(tmp_path):
    (tmp_path / "data.csv").write_text(
        "x1,x2,y\n" + "".join(f"{a!r},{b!r},{a * b!r}\n" for a, b in X.tolist())
    )
    settings = ("--trainer", "hybrid", "--hidden", "6", "--iterations", "15", "--test-fraction", "0")
    command = [sys.executable, "-m", "swarmnet", "train", "data.csv", *settings]
    both = [
        subprocess.Popen([*command, "-o", f"{n}.json"], cwd=tmp_path, env=HERE, stderr=subprocess.DEVNULL)
        for n in range(2)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    alone = fit(read(tmp_path / "data.csv"), (6,), iterations=15)
    for n in range(2):
        assert swarmnet.load(tmp_path / f"{n}.json").theta.tobytes() == alone.theta.tobytes()
    assert sorted(os.listdir(tmp_path)) == ["0.json", "1.json", "data.csv"]
