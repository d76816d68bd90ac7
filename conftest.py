"""Which modules are collected, and who runs them when several processes share the tests."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Modules that need an extra have no doctests where it is not installed
_DASK = [
    "swarmnet/distributed/cluster.py",
    "swarmnet/distributed/sharded_sums.py",
    "swarmnet/distributed/replicas.py",
]
collect_ignore = [] if find_spec("distributed") else _DASK

# The longest come first, so that all processes end together: whose tests are shared out one by one, and whole
SINGLY = ["test_docs.py", "test_notebooks.py", "test_cases.py"]
WHOLE = [
    "test_levenberg_marquardt.py",
    "test_cli.py",
    "test_sharded_sums.py",
    "test_hostile.py",
    "test_hybrid.py",
]
RANK = {name: rank for rank, name in enumerate([*SINGLY, *WHOLE])}

_COMPILE = (
    "import swarmnet as s; s.Objective(s.Network((1, 1)), s.MixedData([[0.0]], [0.0]), dtype='{dtype}')"
)


def pytest_configure(config: pytest.Config) -> None:
    """Each of several processes takes its share of the cores, and finds the kernels compiled."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if processes > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    if getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput"):
        compiled = [
            subprocess.Popen([sys.executable, "-c", _COMPILE.format(dtype=dtype)])
            for dtype in ("float64", "float32")
        ]
        for process in compiled:
            process.wait()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: RANK.get(item.path.name, len(RANK)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Most files go to one process whole: what a module's tests share is made once. `--dist` changes that."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415  # where it is not installed, nobody asks

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return nodeid if Path(file).name in SINGLY else file

    config.option.loadscopereorder = False  # not by how many tests a file has
    return ByFile(config, log)
