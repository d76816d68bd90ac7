"""Many fits at once, in processes and on workers: the numbers of one fit after the other, and its errors."""

import os
import threading
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from swarmnet import Activation, MixedData, SwarmnetError, SwarmNetRegressor, SwarmnetWarning, compare
from swarmnet.data.readers import open_files
from swarmnet.distributed.parallel_fits import in_processes, listening, on_cluster
from swarmnet.network.activations import TABLE
from swarmnet.threads import ThreadTeam, available_cores, default_threads
from tests.sharded import deadly, table, written

TANH = TABLE["tanh"]


@pytest.fixture(scope="module", autouse=True)
def no_process_stays():
    from joblib.externals.loky import get_reusable_executor

    yield
    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        yield client


@pytest.fixture(params=["processes", "workers"])
def at_once(request):
    """What makes compare do many fits at once."""
    return {"jobs": 2} if request.param == "processes" else {"client": request.getfixturevalue("client")}


def problem(n=40):
    X = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    Y, J = X.prod(1) + X[:, 0], np.stack([X[:, 1] + 1, X[:, 0]], axis=1)
    Y[1::2], J[::2] = np.nan, np.nan
    return MixedData(X, Y, J)


def short(data=None, **arguments):
    settings = {"trainers": "lbfgs", "repeats": 2, "evaluations": 30, "hidden": (3,)}
    return compare(problem() if data is None else data, **(settings | arguments))


def numbers(comparison):
    return comparison.runs.drop(columns="seconds")


def activation(value):
    return Activation("own", value, TANH.slope, TANH.curvature)


def test_the_same_seed_gives_the_same_models_however_many_are_made_at_once(at_once):
    one, many = (short(trainers=("lbfgs", "hybrid"), seed=3, **how) for how in ({}, at_once))
    assert numbers(one).equals(numbers(many))
    assert list(one.models) == list(many.models)
    for name, model in many.models.items():
        assert np.array_equal(model.theta, one.models[name].theta)
    assert many.curves.drop(columns="seconds").equals(one.curves.drop(columns="seconds"))


def test_rows_that_stay_in_their_files(at_once, tmp_path):
    data = open_files(written(tmp_path, table(outputs=1), "parquet"))
    assert numbers(short(data, **at_once)).equals(numbers(short(data)))


def test_progress_is_told_once_a_run(at_once):
    seen = []
    found = short(progress=lambda name, repeat, now: seen.append((name, repeat, now.evaluations)), **at_once)
    assert sorted(seen) == sorted((name, repeat, 30) for name, repeat in found.models)


def test_a_mistake_that_is_seen_in_a_run_is_one_line(at_once):
    def refuse(z, out):
        raise SwarmnetError("this activation is not for you")

    with pytest.raises(SwarmnetError, match=r"^this activation is not for you$"):
        short(activation=activation(refuse), **at_once)


def test_what_cannot_be_sent_is_refused(at_once):
    lock = threading.Lock()

    def held(z, out):
        return TANH.value(z, out) if lock else None

    with pytest.raises(SwarmnetError, match="cannot be sent to other processes"):
        short(activation=activation(held), **at_once)


def test_warnings_of_the_runs_are_told_once(at_once):
    with pytest.warns(SwarmnetWarning) as caught:
        short(activation="relu", **at_once)
    (told,) = (warning for warning in caught if warning.category is SwarmnetWarning)
    assert str(told.message).startswith("relu has no second derivative")
    assert Path(told.filename).name == Path(__file__).name


def test_each_of_two_listeners_hears_what_is_said_meanwhile():
    filters = list(warnings.filters)
    with listening() as first:
        warnings.warn("one", SwarmnetWarning, stacklevel=1)
        with listening() as second:
            warnings.warn("two", SwarmnetWarning, stacklevel=1)
    assert [text for text, _ in first] == ["one", "two"]
    assert second == [("two", SwarmnetWarning)]
    assert warnings.filters == filters


def test_a_worker_that_dies_changes_nothing(client, tmp_path):
    flag = tmp_path / "flag"
    expected = short(activation=deadly(flag))
    flag.touch()
    found = short(activation=deadly(flag), client=client)
    assert not flag.exists()
    assert numbers(found).equals(numbers(expected))
    client.wait_for_workers(2)


def test_processes_share_the_cores_and_the_data():
    X = np.zeros((200_000, 1))

    def work(task, shared):
        return ThreadTeam().size, shared.flags.owndata

    found = list(in_processes(work, range(3), X, 2))
    assert found == [(max(1, available_cores() // 2), False)] * 3  # a view of a file that both map


def test_workers_get_the_data_once(client, tmp_path):
    class Pickled:
        def __init__(self, into: Path) -> None:
            self.into = into

        def __getstate__(self):
            if os.getpid() == here:
                with self.into.open("a") as file:
                    file.write("x")
            return {"into": self.into}

    here = os.getpid()
    found = list(
        on_cluster(lambda task, shared: ThreadTeam().size, range(8), Pickled(tmp_path / "log"), client)
    )
    assert found == [1] * 8  # threads
    assert len((tmp_path / "log").read_text()) < 8


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("1,4", 1), ("0", None), ("all", None), ("", None)])
def test_threads_are_no_more_than_the_environment_says(monkeypatch, said, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert default_threads() == (threads or available_cores())
    assert ThreadTeam(3).size == 3


@pytest.mark.parametrize(
    ("said", "cores"),
    [
        ("200000 100000\n", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("max 100000", 64),
        ("9900000 100000", 64),
    ],
)
def test_cores_are_no_more_than_a_container_gets_the_time_of(monkeypatch, tmp_path, said, cores):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: range(64), raising=False)
    quota = tmp_path / "cpu.max"
    assert available_cores(quota) == 64
    quota.write_text(said)
    assert available_cores(quota) == cores


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_grid_search_is_the_same_in_parallel(backend, request):
    settings = {"client": request.getfixturevalue("client")} if backend == "dask" else {}
    X, y, dydx = problem().X, problem().X[:, 0], np.tile([1.0, 0.0], (40, 1))

    def search(jobs):
        net = SwarmNetRegressor(trainer="lbfgs", iterations=20)
        return GridSearchCV(net, {"hidden": [(2,), (4,)]}, cv=2, n_jobs=jobs).fit(X, y, dydx=dydx)

    expected = search(None)
    with joblib.parallel_config(backend, **settings):
        found = search(2)
    assert found.best_params_ == expected.best_params_
    for name in ("split0_test_score", "split1_test_score", "mean_test_score"):
        assert np.array_equal(found.cv_results_[name], expected.cv_results_[name])
    assert np.array_equal(found.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"jobs": 0}, "jobs must be a whole number of 1 or more"),
        ({"jobs": 2, "client": "tcp://here"}, "leave jobs out"),
        ({"memory_limit": "1GB", "client": "tcp://here"}, "memory_limit is for one machine"),
    ],
)
def test_mistakes(arguments, words):
    with pytest.raises(SwarmnetError, match=words):
        short(**arguments)


def test_a_process_that_dies_is_an_error():
    with pytest.raises(SwarmnetError, match="a process that trained has died"):
        short(activation=activation(lambda z, out: os._exit(1)), jobs=2)
