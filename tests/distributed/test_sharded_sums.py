"""Rows on the workers of a real cluster: the sums of one machine, whichever workers live."""

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import swarmnet
from swarmnet import Network, Objective, SwarmnetError
from swarmnet.data.readers import open_files, read
from swarmnet.data.splitting import split
from swarmnet.errors import WorkersLost
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.trainers import LBFGS, TRAINERS, Adam
from tests.sharded import assert_same_sums, deadly, kill_all, long_of, table

distributed = pytest.importorskip("distributed")
from swarmnet.distributed.cluster import Cluster, connected  # noqa: E402
from swarmnet.distributed.sharded_sums import WorkerSource  # noqa: E402

FILES = 6  # each of which is a block of rows


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only root may ask who listens")
def test_workers_of_this_machine_listen_to_it_alone(monkeypatch):
    monkeypatch.setattr("swarmnet.distributed.cluster.available_cores", lambda: 1)
    with connected("local") as cluster:
        found = listened_at()
        port = cluster.client.scheduler_info()["services"]["dashboard"]
        with socket.create_connection(("127.0.0.1", port), 5) as asked:
            asked.sendall(b"GET /status HTTP/1.0\r\n\r\n")
            assert b" 404 " in asked.recv(1000)  # there is no dashboard
    assert len(found) >= 4  # the scheduler, a worker and its nanny, and their metrics
    assert set(found) == {"127.0.0.1"}


def test_workers_that_cannot_start_are_one_line():
    from dask.config import set as configured

    words = r"^local: Dask cannot start workers here \([^\n]*TLS[^\n]*\): look at its configuration"
    encrypted = configured({"distributed.comm.require-encryption": True})
    with encrypted, pytest.raises(SwarmnetError, match=words), connected("local"):
        pass


def listened_at():
    """The addresses at which this process, and those that it has started, wait to be called."""
    psutil = pytest.importorskip("psutil")  # which Dask needs
    us = psutil.Process()
    ours = {process.pid for process in (us, *us.children(recursive=True))}
    found = [one for one in psutil.net_connections("tcp") if one.pid in ours and one.status == "LISTEN"]
    return [one.laddr.ip for one in found]


@pytest.fixture(scope="module")
def local():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local


@pytest.fixture
def client(local):
    with distributed.Client(local) as client:
        yield client


def written(folder: Path, wide=None, kind: str = "parquet") -> str:
    """A table as several files."""
    wide = table(outputs=1) if wide is None else wide
    for number, rows in enumerate(np.array_split(np.arange(len(wide)), FILES)):
        part = wide.iloc[rows]
        if kind == "parquet":
            part.to_parquet(folder / f"{number}.parquet", index=False)
        else:
            (long_of(part) if kind == "long" else part).to_csv(folder / f"{number}.csv", index=False)
    return str(folder / ("*.parquet" if kind == "parquet" else "*.csv"))


@pytest.mark.parametrize(("kind", "shards"), [("parquet", 1), ("parquet", 3), ("wide", 8), ("long", 8)])
def test_sums_are_those_of_one_machine_whatever_the_number_of_shards(tmp_path, client, kind, shards):
    path = written(tmp_path, table(sigmas=kind == "parquet"), kind)
    held, filed, net = read(path), open_files(path), Network((2, 5, 4, 2))
    preparation = Preparation(Scaling.of(filed.statistics), filed.statistics)
    workers = Objective(net, WorkerSource(filed, preparation, Cluster(client, shards=shards)), l2=0.01)
    assert len(workers._rows._shards) == max(2, min(shards, FILES))  # as many as there are threads
    assert_same_sums(Objective(net, preparation.of(held), measured=held, l2=0.01), workers)
    streamed = Objective(net, StreamedSource(filed, preparation), l2=0.01)
    theta = net.init(np.random.default_rng(0))
    for found, expected in zip(
        workers.normal_equations(theta), streamed.normal_equations(theta), strict=True
    ):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("trainer", ["lm", "adam"])
def test_quantities_are_learnt_on_workers_as_on_one_machine(tmp_path, client, trainer):
    wide = table(300, sigmas=True, outputs=1).rename(columns={"dy/dx1": "a", "sigma(dy/dx1)": "sigma(a)"})
    wide["b"] = np.where(wide["y"].isna(), np.cos(wide["x1"]), np.nan)
    define = {"a": "dy/dx1 + y/1000", "b": "100*d2y/dx1dx2 - y"}
    filed = open_files(written(tmp_path, wide), ["x1", "x2"], ["y"], define=define)
    settings = {"hidden": (3,), "trainer": trainer, "iterations": 6}
    here = swarmnet.fit(filed, **settings)
    there = swarmnet.fit(replace(filed, pool=Cluster(client)), **settings)
    assert np.array_equal(there.theta, here.theta)
    assert there.training["define"] == define
    errors = [swarmnet.evaluate(here, data) for data in (filed, replace(filed, pool=Cluster(client)))]
    assert errors[0].equals(errors[1]) and {"a", "b"} < set(errors[0]["column"])


@pytest.mark.parametrize("shards", [3, 8])
def test_minibatches_that_leave_blocks_out_are_those_of_one_machine(tmp_path, client, shards):
    filed, net = open_files(written(tmp_path)), Network((2, 4, 1))
    preparation = Preparation(Scaling.of(filed.statistics), filed.statistics)
    workers = Objective(net, WorkerSource(filed, preparation, Cluster(client, shards=shards)))
    streamed = Objective(net, StreamedSource(filed, preparation))
    rng, block = np.random.default_rng(0), np.arange(workers.n_rows) * FILES // workers.n_rows
    for left_out in itertools.combinations(range(FILES), 2):
        rows = rng.permutation(np.flatnonzero(~np.isin(block, left_out)))[:64]
        theta = net.init(rng)
        loss, gradient = workers.loss_and_gradient(theta, rows)
        expected_loss, expected_gradient = streamed.loss_and_gradient(theta, rows)
        assert loss == expected_loss and np.array_equal(gradient, expected_gradient)


def test_large_swarms_are_each_their_own(tmp_path, client):
    filed, net = open_files(written(tmp_path)), Network((2, 20, 20, 1))
    preparation = Preparation(Scaling.of(filed.statistics), filed.statistics)
    workers = Objective(net, WorkerSource(filed, preparation, Cluster(client)))
    streamed = Objective(net, StreamedSource(filed, preparation))
    for seed in range(3):
        swarm = net.init(np.random.default_rng(seed), 60)
        assert swarm.nbytes > Cluster.large
        assert np.array_equal(workers.loss(swarm), streamed.loss(swarm))


def test_weights_of_many_megabytes_go_out_without_a_warning(client):
    weights = np.zeros(2_000_000)
    assert Cluster(client).shared(weights, weights.nbytes).result().nbytes == weights.nbytes


@pytest.mark.parametrize("trainer", [*TRAINERS, Adam(batch_size=64), LBFGS(refresh=2)], ids=str)
def test_every_trainer_ends_as_on_one_machine(tmp_path, client, trainer):
    settings = {"hidden": (4,), "trainer": trainer, "iterations": 3}
    path = written(tmp_path)
    model = swarmnet.fit(path, client=client, **settings)
    assert np.array_equal(model.theta, swarmnet.fit(open_files(path), **settings).theta)
    assert model.training["rows"] == 700


def test_rows_are_held_out_and_errors_taken_on_workers_as_on_one_machine(tmp_path, client):
    path = written(tmp_path)
    one, many = open_files(path), open_files(path).read_by(Cluster(client))
    (kept, test), (other_kept, other_test) = (split(data, 0.2, 0) for data in (one, many))
    assert np.array_equal(test.X, other_test.X)
    assert test.n_entries + kept.n_entries == one.n_entries
    assert other_kept.n == kept.n
    model = swarmnet.fit(one, hidden=(4,), trainer="lbfgs", iterations=3)
    assert swarmnet.evaluate(model, many).equals(swarmnet.evaluate(model, one))


def test_a_worker_killed_in_the_middle_of_a_sum_changes_nothing(tmp_path, client):
    path, flag = written(tmp_path), tmp_path / "flag"
    settings = {"hidden": (4,), "trainer": "lbfgs", "iterations": 6, "activation": deadly(flag)}
    expected = swarmnet.fit(open_files(path), **settings)
    before = set(client.run(os.getpid).values())

    def at_the_third(now):
        if now.iteration == 3:
            flag.touch()

    model = swarmnet.fit(path, client=client, callback=at_the_third, **settings)
    assert not flag.exists()
    client.wait_for_workers(2)
    assert set(client.run(os.getpid).values()) != before
    assert np.array_equal(model.theta, expected.theta)


def test_without_any_worker_left_training_ends_and_goes_on_from_its_checkpoint(tmp_path, client):
    path = written(tmp_path)
    settings = {"hidden": (4,), "trainer": "lbfgs", "iterations": 6}
    kept = {"checkpoint": tmp_path / "run.ckpt"}

    def none_at_the_third(now):
        if now.iteration == 3:
            kill_all(client)

    impatient = Cluster(client, look=0.1, patience=0.0)  # the cluster starts new ones
    with pytest.raises(WorkersLost, match=r"all workers are gone: .* with the same checkpoint"):
        data = replace(open_files(path), pool=impatient)
        swarmnet.fit(data, callback=none_at_the_third, **settings, **kept)
    copied = shutil.copy(kept["checkpoint"], tmp_path / "copy.ckpt")
    expected = swarmnet.fit(open_files(path), **settings)
    first = []
    resumed = swarmnet.fit(
        path, client=client, callback=lambda now: first.append(now.iteration), **settings, **kept
    )
    assert first[0] > 1
    assert np.array_equal(resumed.theta, expected.theta)
    here = swarmnet.fit(open_files(path), checkpoint=copied, **settings)  # without any cluster
    assert np.array_equal(here.theta, expected.theta)


def test_a_bad_cell_on_a_worker_is_found_in_its_file_and_line(tmp_path, client):
    wide = table(outputs=1).astype(object)
    wide.loc[500, "x2"] = "abc"
    with pytest.raises(SwarmnetError, match=r"4\.csv, line 34, column 'x2': 'abc' is not a number"):
        swarmnet.fit(written(tmp_path, wide, "wide"), client=client)


def test_limits_are_not_for_workers(tmp_path, client):
    path = written(tmp_path)
    with pytest.raises(SwarmnetError, match="memory_limit is for one machine"):
        swarmnet.fit(path, client=client, memory_limit="1GB")
    with pytest.raises(SwarmnetError, match=r"client must be a dask\.distributed\.Client, not 'tcp://"):
        swarmnet.fit(path, client="tcp://127.0.0.1:8786")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nowhere"])
def test_a_scheduler_that_does_not_answer(address):
    with (
        pytest.raises(SwarmnetError, match=f"{re.escape(address)}: no Dask scheduler answers there"),
        connected(address, timeout=0.3),
    ):
        pass


def test_the_command_line_with_a_scheduler_and_two_workers_of_their_own(tmp_path):
    path, port, model = written(tmp_path), free_port(), tmp_path / "model.json"
    address = f"tcp://127.0.0.1:{port}"
    train = [
        "train",
        path,
        "--hidden",
        "4",
        "--trainer",
        "lbfgs",
        "--iterations",
        "3",
        "--test-fraction",
        "0",
    ]
    started = [
        dask("scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", ":0"),
        *(dask("worker", address, "--nthreads", "1", "--no-dashboard") for _ in range(2)),
    ]
    try:
        with distributed.Client(address, timeout=60) as client:
            client.wait_for_workers(2)
        many = swarmnet_command(*train, "--test-fraction", "0", "--scheduler", address, "-o", str(model))
        assert many.returncode == 0, many.stderr
        # The scheduler dies while a client has it.
        with distributed.Client(address) as client:

            def end_of_it(now):
                if now.iteration == 2:
                    started[0].kill()

            with pytest.raises(WorkersLost, match="the scheduler is gone"):
                swarmnet.fit(path, client=client, hidden=(4,), trainer="lbfgs", callback=end_of_it)
    finally:
        for process in started:
            process.kill()
            process.wait()
    expected = swarmnet.fit(open_files(path), hidden=(4,), trainer="lbfgs", iterations=3)
    assert np.array_equal(swarmnet.load(model).theta, expected.theta)


def dask(*arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def swarmnet_command(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "swarmnet", *arguments], capture_output=True, text=True, check=False
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
