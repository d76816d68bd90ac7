"""A fit whose rows are in memory, or few, on the workers of a real cluster: the model of one machine."""

import gc
import os
import shutil
import sys
import threading
import time
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import Activation, MixedData, Network, Objective, SwarmnetError
from swarmnet.data.readers import open_files
from swarmnet.errors import WorkersLost
from swarmnet.network.activations import TABLE
from swarmnet.objective.row_sums import HeldSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import LM, TRAINERS, Hybrid, ProjectedPSO, run
from swarmnet.trainers.stages import Stages
from tests.sharded import assert_same_sums, deadly, kill_all, table, written

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
from swarmnet.distributed.cluster import Cluster  # noqa: E402
from swarmnet.distributed.replicas import Objectives, ObjectiveSpecification, WorkerReplicas, shared_out  # noqa: E402
from swarmnet.distributed.sharded_sums import WorkerSource, bytes_of  # noqa: E402

SHORT = Hybrid(
    polish=LM(iterations=20),
    swarm=ProjectedPSO(iterations=2, particles=4),
    starts=3,
    stages=Stages(halvings=(6,), chosen=12, cold=0),
)
CHOICE = {
    "activation": ("tanh", "tanh", "linear"),
    "trainer": SHORT,
    "degree": 0,
}  # three networks
TANH = TABLE["tanh"]


@pytest.fixture(scope="module")
def local():
    # A worker that takes over what was sent to another, or that gives up a copy, is no fault: Dask may do so.
    own = ("work-stealing", "active-memory-manager.start")
    steady = {f"distributed.scheduler.{name}": False for name in own}
    with (
        dask.config.set(steady),
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local,
    ):
        yield local


@pytest.fixture
def client(local):
    with distributed.Client(local) as client:
        yield client


def problem(n=60):
    X = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    Y, J = X.prod(1) + X[:, 0], np.stack([X[:, 1] + 1, X[:, 0]], axis=1)
    Y[1::2], J[::2] = np.nan, np.nan
    return MixedData(X, Y, J)


def plan_for(data):
    """Objectives on these rows, of which noise and prior are estimated."""
    preparation = Preparation(Scaling.of(data.statistics), None)
    return ObjectiveSpecification(HeldSource(data, preparation), {"derivative_weight": None, "l2": None})


def assert_same_model(one, other):
    assert one.net.sizes == other.net.sizes
    assert np.array_equal(one.theta, other.theta)
    assert np.array_equal(one.spread, other.spread)
    assert one.history.drop(columns="seconds").equals(other.history.drop(columns="seconds"))


def test_the_networks_are_chosen_on_the_workers_as_here(monkeypatch, client):
    sent, plain = [], Objectives.__reduce__
    monkeypatch.setattr(Objectives, "__reduce__", lambda self: sent.append(1) or plain(self))
    model = swarmnet.fit(problem(), **CHOICE, client=client)
    assert len(model.training["candidates"]) == 3
    assert_same_model(model, swarmnet.fit(problem(), **CHOICE))
    assert len(sent) <= 2  # the rows leave once; this cluster's scheduler, which passes them on, is here too


def test_polynomials_are_chosen_with_workers_as_here(client):
    model = swarmnet.fit(problem(), hidden=(), client=client)
    assert_same_model(model, swarmnet.fit(problem(), hidden=()))


@pytest.mark.parametrize("trainer", ["hybrid", "lm"])
def test_quantities_are_learnt_with_workers_as_here(client, trainer):
    X = np.random.default_rng(0).uniform(0.5, 1.5, (30, 2))
    frame = pd.DataFrame({"x1": X[:, 0], "x2": X[:, 1], "y": X.prod(1), "q": X[:, 0] / X[:, 1]})
    frame.loc[3:, "y"] = np.nan
    data = MixedData.from_frame(frame, ["x1", "x2"], ["y"], define={"q": "dy/dx2/(dy/dx1) + d2y/dx12"})
    settings = {"hidden": (3,), "trainer": trainer, "iterations": 10}
    assert_same_model(swarmnet.fit(data, **settings, client=client), swarmnet.fit(data, **settings))


@pytest.mark.parametrize("here", [True, False])
def test_few_rows_in_files_are_read_by_each_worker(monkeypatch, client, tmp_path, here):
    path = written(tmp_path, table(200, outputs=1), "parquet")
    asked, work = [], WorkerReplicas.map
    monkeypatch.setattr(WorkerReplicas, "map", lambda *arguments: asked.append(1) or work(*arguments))
    settings = {"hidden": (4,), "trainer": LM(iterations=15)}
    expected = swarmnet.fit(open_files(path), **settings)
    cluster = Cluster(client) if here else Cluster(client, rows_here=0)
    assert_same_model(swarmnet.fit(replace(open_files(path), pool=cluster), **settings), expected)
    assert asked


def test_each_worker_has_made_its_replicas_before_the_clock_starts(client):
    def made(dask_worker):
        return [len(item._made) for item in dask_worker.data.values() if isinstance(item, Objectives)]

    nets = [Network((2, 3, 1)), Network((2, 5, 1))]
    replicas = WorkerReplicas(plan_for(problem()), nets, Cluster(client))
    assert list(client.run(made).values()) == [[2], [2]]
    assert replicas.map(Objective.loss, [(n, np.zeros(net.size)) for n, net in enumerate(nets)])


def test_dask_hears_what_a_replica_will_take_before_it_is_made():
    data, nets = problem(5000), [Network((2, 3, 1)), Network((2, 5, 1))]
    objectives = Objectives(plan_for(data), nets)
    told = sys.getsizeof(objectives)
    taken = bytes_of(data) + sum(
        bytes_of(list(objectives.objective(n)._rows.parts)) for n in range(len(nets))
    )
    assert 0.8 * taken < told < 1.2 * taken


def test_a_worker_killed_in_the_middle_of_a_run_changes_nothing(tmp_path, client):
    flag = tmp_path / "flag"
    settings = {"hidden": (4,), "trainer": LM(iterations=20), "activation": deadly(flag)}
    here = swarmnet.fit(problem(), **settings)
    before = set(client.run(os.getpid).values())

    def at_the_third(now):
        if now.iteration == 3:
            flag.touch()

    model = swarmnet.fit(problem(), client=client, callback=at_the_third, **settings)
    assert not flag.exists()
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) != before
    assert_same_model(model, here)


def test_without_any_worker_left_the_runs_go_on_from_their_checkpoint(tmp_path, client):
    path = tmp_path / "data.csv"
    problem().to_frame().to_csv(path, index=False)
    settings = {"hidden": (4,), "trainer": LM(iterations=20)}
    kept = {"checkpoint": tmp_path / "run.ckpt"}

    def none_at_the_third(now):
        if now.iteration == 3:
            kill_all(client)

    impatient = Cluster(client, look=0.1, patience=0.0)  # the cluster starts new ones
    with pytest.raises(WorkersLost, match=r"all workers are gone: .* with the same checkpoint"):
        data = replace(open_files(path), pool=impatient)
        swarmnet.fit(data, callback=none_at_the_third, **settings, **kept)
    copied = shutil.copy(kept["checkpoint"], tmp_path / "copy.ckpt")
    expected, first = swarmnet.fit(open_files(path), **settings), []
    client.wait_for_workers(2)
    resumed = swarmnet.fit(
        path, client=client, callback=lambda now: first.append(now.iteration), **settings, **kept
    )
    assert first[0] > 1
    assert_same_model(resumed, expected)
    assert_same_model(swarmnet.fit(open_files(path), checkpoint=copied, **settings), expected)


@pytest.fixture
def no_search_for_cycles():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_search_for_cycles")
def test_what_a_worker_made_goes_with_the_objectives():
    net = Network((2, 3, 1))
    objectives = Objectives(plan_for(problem()), [net])
    made = weakref.ref(objectives.objective(0))
    assert made() is not None
    del objectives
    assert made() is None


@pytest.mark.usefixtures("no_search_for_cycles")
def test_after_a_fit_no_rows_are_kept_here_or_on_workers(client):
    during = []
    swarmnet.fit(problem(), **CHOICE, client=client, callback=lambda now: during.append(set(client.futures)))
    kept = set.intersection(*during)
    assert len(kept) == 1  # the objectives
    end = time.monotonic() + 10.0
    while client.futures and time.monotonic() < end:  # Dask forgets them in a thread of its own
        time.sleep(0.01)
    assert not client.futures


def test_rows_in_memory_are_summed_up_on_the_workers(client):
    data, net = replace(problem(), weights=np.arange(1.0, 61.0)), Network((2, 5, 1))
    preparation = Preparation(Scaling.of(data.statistics), data.statistics)
    workers = Objective(net, WorkerSource(data, preparation, Cluster(client, block_rows=7)), l2=0.01)
    assert len(workers._rows._shards) == 8
    assert_same_sums(Objective(net, preparation.of(data), measured=data, l2=0.01), workers)


@pytest.mark.parametrize("trainer", [name for name in TRAINERS if name not in ("hybrid", "lm")])
def test_the_trainers_without_lm_runs_have_their_rows_on_the_workers(monkeypatch, client, trainer):
    seen, rows = [], WorkerSource.rows
    monkeypatch.setattr(WorkerSource, "rows", lambda *arguments: seen.append(1) or rows(*arguments))
    settings = {"hidden": (4,), "trainer": trainer, "iterations": 3}
    model = swarmnet.fit(problem(), client=client, **settings)
    assert seen == [1]
    np.testing.assert_allclose(model.theta, swarmnet.fit(problem(), **settings).theta, rtol=1e-10, atol=1e-12)


def test_too_many_rows_for_each_worker_are_shared_out(client):
    net, trainer, plan = Network((2, 3, 1)), LM(iterations=4), plan_for(problem())
    few = Cluster(client, copied_bytes=100)
    (workers,), executor = shared_out([net], plan, trainer, few)
    assert executor is None
    one, other = (run(trainer, on, np.random.default_rng(0)) for on in (workers, plan.objective(net)))
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-8)


def test_rows_whose_iterations_take_long_are_shared_out_if_there_are_blocks_for_more_than_the_runs(client):
    def runs_are_shared_out(cluster):
        return shared_out([Network((2, 3, 1))], plan_for(problem()), LM(), cluster)[1] is not None

    for rows, whole_runs in ((12, True), (10, False)):  # five blocks for three runs, or six
        assert runs_are_shared_out(Cluster(client, block_rows=rows, copied_cost=0.0)) is whole_runs
    assert runs_are_shared_out(Cluster(client, block_rows=10))


@pytest.mark.parametrize("trainer", ["lm", "lbfgs"])
def test_what_cannot_be_sent_is_refused(client, trainer):
    lock = threading.Lock()

    def held(z, out):
        return TANH.value(z, out) if lock else None

    own = Activation("own", held, TANH.slope, TANH.curvature)
    with pytest.raises(SwarmnetError, match="cannot be sent to other processes"):
        swarmnet.fit(problem(), hidden=(3,), trainer=trainer, activation=own, client=client)


def test_a_mistake_in_a_call_does_not_pass_for_what_cannot_be_sent(client):
    with pytest.raises(TypeError, match="len"):
        Cluster(client).submit(abs, 5)


def test_what_is_no_client_is_refused():
    with pytest.raises(SwarmnetError, match=r"client must be a dask\.distributed\.Client"):
        swarmnet.fit(problem(), client="tcp://here")
