"""Give every bad or odd file to the command line, in one process of little memory.

`python -m tests.hostile_run` prints a line of JSON for each: the exit code, what went to standard error,
the table that was read or predicted, and the seconds. A file that takes too long ends the process.
"""

import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from swarmnet import SwarmnetError, SwarmnetWarning, load
from swarmnet.cli import commands as cli
from swarmnet.data.readers import read, read_query
from tests import hostile_files

MEMORY = 2**30  # bytes that all of them together may take
SECONDS = 30


def status(key: str) -> int:
    """Bytes, from what Linux says about this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """No more than so much beyond what the process has already."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def commanded(*arguments: str) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command; a traceback is no exit code and raised."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["swarmnet", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("the command did not end")


def command(file: str) -> list[str]:
    if file.endswith(".json"):
        return ["predict", file, "query.csv", "--jacobian", "--hessian"]
    if file.endswith(".ckpt"):
        return ["train", "data.csv", "--trainer", "adam", "--iterations", "2", "--checkpoint", file]
    return ["inspect", file]


def table(file: str) -> dict[str, list[float]] | None:
    """What the library makes of the file; None for an error."""
    warnings.simplefilter("ignore", SwarmnetWarning)  # of how the file is written
    try:
        if file.endswith(".json"):
            model = replace(load(file), warns_outside=False)
            frame = model.table(read_query("query.csv", model.inputs)[0], jacobian=True, hessian=True)
        elif file.endswith(".ckpt"):
            return None
        else:
            frame = read(file).to_frame()
    except SwarmnetError:
        return None
    return {name: frame[name].tolist() for name in frame}


def met(case: hostile_files.Case) -> dict[str, Any]:
    Path(case.file).write_bytes(case.content())
    signal.alarm(SECONDS)
    start = time.perf_counter()
    with little_memory():
        code, out, err = commanded(*command(case.file))
        found = table(case.file)
        if case.file.endswith(".json") and code == 0:  # whatever else it holds is shown
            code, out, err = commanded("inspect", case.file)
    seconds = time.perf_counter() - start
    signal.alarm(0)
    os.unlink(case.file)
    return {
        "file": case.file,
        "code": code,
        "out": out[:1000],
        "err": err,
        "table": found,
        "seconds": seconds,
    }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("data.csv").write_text(hostile_files.PLAIN)
        Path("query.csv").write_text("x\n0\n1\n2\n")
        for case in hostile_files.cases():
            print(json.dumps(met(case)), flush=True)
        os.chdir("/")
    print(json.dumps({"peak": status("VmHWM")}))


if __name__ == "__main__":
    main()
