"""Rows from 10^4 to 10^8: rows a second and memory, from memory, streamed and on workers; overhead of Dask.

    pip install ".[bench]"
    python -m benchmarks.scale [--rows 100000000] [--folder DIR]    (22 GB of disk; less with --rows)
    python -m benchmarks.scale generate DIR [--rows 30000000]       (4 GB of Parquet, and rows to test on)
    python -m benchmarks.scale train DIR [--iterations 50]          (on them, within 1.5 GB)

The network is 8-32-32-1. Seconds are those of a gradient over all rows: the median of some, and quartiles.
Each number of rows has a process of its own, whose peak memory is shown. Workers have one thread each.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, LocalCluster

from benchmarks.problems import peak_megabytes
from benchmarks.scale_data import generate
from swarmnet import Network, Objective
from swarmnet.data.readers import open_files, read
from swarmnet.distributed.cluster import Cluster
from swarmnet.distributed.sharded_sums import WorkerSource
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.scaling import Preparation, Scaling
from swarmnet.threads import available_cores

HIDDEN = (32, 32)
NET = Network((8, *HIDDEN, 1), "tanh")
MOST_IN_MEMORY = 4_000_000  # rows
ON_WORKERS = 2_000_000  # rows
LIMIT = "1.5GB"


@dataclass(frozen=True)
class Timed:
    """Seconds of the same work, some times over."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:9.4f} s ({self.low:.4f} to {self.high:.4f})"


def timed(work: Callable[[], Any], budget: float = 5.0, least: int = 5) -> Timed:
    work()
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < least or (time.perf_counter() - began < budget and len(times) < 100):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75])
    return Timed(float(median), float(low), float(high))


def weights(particles: int | None = None) -> np.ndarray:
    return NET.init(np.random.default_rng(0), particles)


def objective(path: str, how: str, cluster: Cluster | None = None) -> Objective:
    """Of rows in memory, streamed, or on workers."""
    files = read(path) if how == "memory" else open_files(path)
    known = files.statistics
    preparation = Preparation(Scaling.of(known), known)
    if how == "memory":
        return Objective(NET, preparation.of(files), measured=files)
    source = (
        StreamedSource(files, preparation) if cluster is None else WorkerSource(files, preparation, cluster)
    )
    return Objective(NET, source)


def measure(path: str, how: str) -> None:
    """Print what a process of its own found of some rows."""
    start = time.perf_counter()
    rows = objective(path, how)
    opened = time.perf_counter() - start
    taken = timed(lambda: rows.loss_and_gradient(weights()))
    print(json.dumps({"opened": opened, "taken": vars(taken), "peak": peak_megabytes()}))


def measured(path: str, how: str) -> tuple[float, Timed, float]:
    """Seconds until rows are ready, seconds of a gradient, and the peak memory, in MB."""
    code = f"from benchmarks.scale import measure; measure({path!r}, {how!r})"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout)
    return found["opened"], Timed(**found["taken"]), found["peak"]


def one_machine(folder: Path, most: int) -> None:
    print("\nOne machine:    rows  from        ready   a gradient                          rows/s     peak")
    for rows in [10**e for e in range(4, 9) if 10**e <= most]:
        path = generate(folder / str(rows), rows)
        found = {}
        for how in ("memory", "streamed"):
            if how == "streamed" or rows <= MOST_IN_MEMORY:
                opened, taken, peak = measured(path, how)
                found[how] = taken.median
                speed = rows / taken.median
                print(
                    f"{rows:20,d}  {how:9s}{opened:6.1f} s  {taken}  {speed:10,.0f}  {peak:5.0f} MB",
                    flush=True,
                )
        if len(found) == 2:
            print(
                f"{'':22s}streamed is at {found['memory'] / found['streamed']:.2f} of the speed from memory"
            )
        if rows > ON_WORKERS:
            remove(path)


def remove(path: str) -> None:
    for file in Path(path).parent.glob("*.parquet"):
        file.unlink()


@contextmanager
def on_this_machine(workers: int) -> Iterator[Cluster]:
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        yield Cluster(client)


def timings(rows: Objective) -> list[Timed]:
    theta, swarm = weights(), weights(20)
    return [timed(lambda: rows.loss_and_gradient(theta)), timed(lambda: rows.loss(swarm))]


def workers(folder: Path, most: int) -> None:
    rows = min(ON_WORKERS, most)
    path = generate(folder / "workers", rows)
    print(f"\nWorkers, {rows:,} rows: a gradient, and the loss of 20 particles")
    found = []
    for count in (1, 2):
        with on_this_machine(count) as cluster:
            start = time.perf_counter()
            there = objective(path, "workers", cluster)
            ready = time.perf_counter() - start
            taken = timings(there)
        found.append(taken)
        print(f"  {count} worker(s), ready after {ready:.1f} s: {taken[0]}   {taken[1]}", flush=True)
    ratios = [one.median / two.median for one, two in zip(*found, strict=True)]
    print(f"  two against one: {ratios[0]:.2f} and {ratios[1]:.2f} times")


def overhead() -> None:
    """What an iteration costs beside its sums, with two workers: see docs/theory/scale.md."""
    with on_this_machine(2) as cluster:

        def asked(tasks: int, out: int, back: int) -> Timed:
            """Send some bytes out, and get some back from each task."""
            given = np.random.default_rng(0).random(out // 8)

            def call() -> None:
                sent = [cluster.shared(given, given.nbytes)] * tasks
                cluster.results(cluster.submit(lambda _, size: np.ones(size), sent, [back // 8] * tasks))

            return timed(call, budget=3.0)

        print("\nOverhead of an iteration, two workers")
        few, many = asked(8, 8, 8), asked(264, 8, 8)
        task = (many.median - few.median) / 256
        print(f"  8 tasks{few}\n  264 tasks{many}")
        large, answers = asked(8, 1 << 26, 8), asked(8, 8, 1 << 23)
        print(f"  64 MB out{large}\n  8 times 8 MB back{answers}")
        print(f"  a call: {few.median - 8 * task:.4f} s, and a task: {task:.5f} s")
        print(f"  bytes a second: out {(1 << 26) / (large.median - few.median):.2g}", end=", ")
        print(f"back {(1 << 26) / (answers.median - few.median):.2g}")


def train(folder: Path, iterations: int) -> None:
    """Train on generated rows by the command line, and say how, how long and in how much memory."""
    model = folder / "model.json"
    settings = ["--trainer", "lbfgs", "--hidden", ",".join(map(str, HIDDEN)), "--iterations", str(iterations)]
    for command in (
        ["train", str(folder / "rows-*.parquet"), "-o", str(model), *settings, "--memory-limit", LIMIT],
        ["evaluate", str(model), str(folder / "test.parquet")],
    ):
        print(f"\nswarmnet {' '.join(command)}", flush=True)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", PEAK, *command], check=True)
        print(f"{time.perf_counter() - start:.1f} s in all", flush=True)


PEAK = """
import atexit
from benchmarks.problems import peak_megabytes
from swarmnet.cli.commands import main
atexit.register(lambda: print(f"peak memory {peak_megabytes():.0f} MB", flush=True))
main()
"""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--rows", type=int, default=10**8, help="the most")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    commands = parser.add_subparsers(dest="command")
    make = commands.add_parser("generate")
    make.add_argument("folder", type=Path)
    make.add_argument("--rows", type=int, default=30_000_000)
    fit = commands.add_parser("train")
    fit.add_argument("folder", type=Path)
    fit.add_argument("--iterations", type=int, default=50)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    if given.command == "generate":
        path = generate(given.folder, given.rows)
        size = sum(file.stat().st_size for file in given.folder.glob("rows-*.parquet"))
        print(f"{path}: {given.rows:,} rows, {size / 1e9:.2f} GB")
    elif given.command == "train":
        train(given.folder, given.iterations)
    else:
        print(f"{available_cores()} cores, NumPy {np.__version__}, 8-32-32-1: {NET.size} weights")
        where = given.folder or Path("/var/tmp")
        where.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where) as folder:
            overhead()
            workers(Path(folder), given.rows)
            one_machine(Path(folder), given.rows)


if __name__ == "__main__":
    main()
