"""Small tables that are read in many pieces, their sums, and workers that die: for tests of clusters."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from swarmnet import Activation
from swarmnet.data.file_chunks import ReadSizes
from swarmnet.data.file_data import FileData
from swarmnet.data.readers import open_files
from swarmnet.network.activations import TABLE

close = partial(np.testing.assert_allclose, rtol=1e-11, atol=1e-13)


def table(n: int = 700, sigmas: bool = False, outputs: int = 2, seed: int = 0) -> pd.DataFrame:
    """A wide table of smooth functions of two inputs, of which some values and partials were observed."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (n, 2))
    columns = {"x1": 5.0 + X[:, 0], "x2": 100.0 * X[:, 1]}
    for o, name in enumerate(("y", "z")[:outputs]):
        phase = (1.0 + o) * X[:, 0] + X[:, 1]
        found = {
            name: np.sin(phase),
            f"d{name}/dx1": (1.0 + o) * np.cos(phase),
            f"d{name}/dx2": np.cos(phase) / 100.0,
        }
        for column, numbers in found.items():
            columns[column] = np.where(rng.random(n) < 0.5, numbers, np.nan)
            if sigmas:
                sigma = rng.uniform(0.5, 2.0, n) * np.abs(numbers).mean()
                columns[f"sigma({column})"] = np.where(rng.random(n) < 0.5, sigma, np.nan)
    columns["y"][0] = 0.1
    return pd.DataFrame(columns)


def long_of(wide: pd.DataFrame) -> pd.DataFrame:
    """The same entries, one a row, in the order of their rows."""
    names = [name for name in wide.columns if name not in ("x1", "x2")]
    long = wide.reset_index().melt(["index", "x1", "x2"], names, "target", "value").dropna()
    return long.sort_values("index", kind="stable").drop(columns="index")


def written(folder: Path, wide: pd.DataFrame, kind: str) -> str:
    """The table as files of a kind, and the glob that matches them."""
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    half = len(wide) // 2
    for number, part in enumerate((wide[:half], wide[half:])):
        path = folder / f"part{number}.{'parquet' if kind == 'parquet' else 'csv'}"
        if kind == "parquet":
            part.reset_index(drop=True).to_parquet(path, row_group_size=60)
        else:
            (long_of(part) if kind == "long" else part).to_csv(path, index=False)
    return str(folder / ("*.parquet" if kind == "parquet" else "*.csv"))


SMALL = ReadSizes(piece_bytes=6000, piece_rows=100, table_bytes=3000, block_rows=50, head_bytes=2000)


def in_small_pieces(path: str | Path, outputs: list[str] | None = None) -> FileData:
    """The data of files that are read some dozens of rows at a time."""
    return open_files(path, None, outputs, SMALL)


def assert_same_sums(memory, other):
    """All that trainers ask of an objective is the same of rows in memory and elsewhere."""
    rng = np.random.default_rng(1)
    swarm = memory.initial(rng, 4)
    theta = swarm[0]
    close(other.loss(swarm), memory.loss(swarm))
    for found, expected in zip(other.loss_and_gradient(theta), memory.loss_and_gradient(theta), strict=True):
        close(found, expected)
    for found, expected in zip(other.normal_equations(theta), memory.normal_equations(theta), strict=True):
        close(found, expected)
    for name in ("entries", "count", "square", "relative"):
        close(getattr(other.groups, name), getattr(memory.groups, name))
    precision = rng.uniform(0.5, 2.0, len(memory.groups.count))
    A = memory.gauss_newton(theta, precision)[2] + np.eye(memory.size)
    L = np.linalg.cholesky(A)
    close(other.leverages(theta, precision, L), memory.leverages(theta, precision, L))
    close(other.group_squares(theta), memory.group_squares(theta))
    found, expected = other.residual_jacobian(theta), memory.residual_jacobian(theta)
    for one, two in zip(found, expected, strict=True):
        close(one[np.argsort(found[0])], two[np.argsort(expected[0])], atol=1e-9)
    loss, output = other.projected(swarm[:, : memory.hidden_size], 1e-3)
    close(loss, memory.projected(swarm[:, : memory.hidden_size], 1e-3)[0])
    assert output.shape == (4, memory.size - memory.hidden_size)


def deadly(flag: Path) -> Activation:
    """tanh, in whose middle a process dies when it finds the flag, which it takes away."""
    tanh = TABLE["tanh"]

    def value(z: Any, out: Any) -> Any:
        try:
            flag.unlink()
        except FileNotFoundError:
            return tanh.value(z, out)
        os.kill(os.getpid(), signal.SIGKILL)

    return Activation("deadly", value, tanh.slope, tanh.curvature)


def kill_all(client: Any) -> None:
    """All workers of a client."""
    for process in client.run(os.getpid).values():
        os.kill(process, signal.SIGKILL)
