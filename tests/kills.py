"""SIGKILL at random moments: `python tests/kills.py --moments 50`.

A process that trains with a checkpoint is killed and begun again until it ends: the model must be that of a
run never killed, bit for bit. A process that writes a model, page or report again and again is killed: the
file must be one of those that it writes, whole. In the end nothing of the killed processes may lie about.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from swarmnet import FittedModel, MixedData, SwarmnetWarning, fit, load
from swarmnet.explanation.explanation import explain
from swarmnet.trainers import LM, PSO, Adam, Hybrid, Trainer

X = np.random.default_rng(0).uniform(-1, 1, (30, 2))
DATA = MixedData(X, Y=np.sin(X[:, 0]) * X[:, 1])
TRAINERS: tuple[Trainer, ...] = (
    PSO(particles=10, iterations=120),
    Adam(iterations=150),
    LM(iterations=60),
    Hybrid(swarm=PSO(particles=10, iterations=40), iterations=100),
)
KILLS_OF_A_RUN = 7


def forked(work: Callable[[], object]) -> int:
    """Do the work in a process of its own, which ends with code 0 if the work does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def whole(work: Callable[[], object]) -> float:
    """Let the work end in a process of its own: the seconds that it took."""
    began = time.monotonic()
    _, status = os.waitpid(forked(work), 0)
    assert status == 0, f"the work failed: status {status}"
    return time.monotonic() - began


def killed(work: Callable[[], object], after: float) -> bool:
    """Begin the work and kill it; False if it had ended before."""
    child = forked(work)
    end = time.monotonic() + after
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert status == 0, f"the work failed: status {status}"
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def numbers(path: Path) -> list[bytes]:
    """What of a model must be the same whenever it is trained."""
    model = load(path)
    history = model.history.drop(columns="seconds").to_csv().encode()  # floats as they are, to the bit
    return [history, *(array.tobytes() for array in (model.theta, model.predict(X), model.hessian(X)))]


def train(moments: int, rng: random.Random, folder: Path) -> str:
    """Kill trainings so many times in all; what was seen."""
    left, runs = moments, 0
    reference, resumed, checkpoint = (folder / name for name in ("whole.json", "resumed.json", "run.ckpt"))

    def work(trainer: Trainer, path: Path, keep: Path | None = None) -> None:
        fit(DATA, (4,), trainer=trainer, checkpoint=keep, checkpoint_every=0.0).save(path)

    for trainer in cycle(TRAINERS):
        if left <= 0:
            break
        length = whole(partial(work, trainer, reference))
        run = partial(work, trainer, resumed, checkpoint)
        for _ in range(min(left, KILLS_OF_A_RUN)):
            if not killed(run, rng.uniform(0.0, length)):
                break
            left -= 1
        whole(run)
        assert numbers(resumed) == numbers(reference), f"{trainer.name}: not the same model"
        checkpoint.unlink()
        runs += 1
        assert sorted(os.listdir(folder)) == ["resumed.json", "whole.json"], os.listdir(folder)
    return f"{moments} kills in {runs} trainings: each ended with the model of a run never killed"


@dataclass(frozen=True)
class Writer:
    """What writes a file, and the models of which it writes one after the other."""

    what: str
    write: Callable[[FittedModel, Path], object]
    models: Sequence[FittedModel]


def writers() -> list[Writer]:
    first = fit(DATA, (4,), trainer="adam", iterations=3)
    rows = pd.DataFrame({"iteration": range(5000), "loss": np.linspace(1.0, 0.0, 5000)})
    models = [first, replace(first, outputs=("z",))]
    found = [
        Writer("model", lambda model, path: model.save(path), [*models, replace(first, history=rows)]),
        Writer("page of explain", lambda model, path: explain(model, of(model)).to_html(path), models),
    ]
    try:
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
    except ImportError:
        print("reports are left out: they need jinja2 and matplotlib", file=sys.stderr)
        return found
    return [*found, Writer("report", lambda model, path: model.report(path, of(model)), models)]


def of(model: FittedModel) -> MixedData:
    return replace(DATA, outputs=model.outputs)


def write(moments: int, rng: random.Random, folder: Path, writer: Writer) -> str:
    """Kill writers of one file so many times; what was seen."""
    path = folder / "file"
    wholes = set()
    for model in writer.models:
        writer.write(model, path)  # the first imports what it needs, before the forks
        wholes.add(path.read_bytes())
    assert len(wholes) == len(writer.models)
    length = whole(lambda: [writer.write(model, path) for model in writer.models])

    def work() -> None:
        for model in cycle(writer.models):
            writer.write(model, path)

    left = 0
    for _ in range(moments):
        assert killed(work, rng.uniform(0.0, 2.0 * length))
        assert path.read_bytes() in wholes, "the file is not whole"
        left += len(os.listdir(folder)) > 1
    writer.write(writer.models[0], path)
    assert os.listdir(folder) == [path.name], os.listdir(folder)
    return (
        f"{moments} kills of what writes a {writer.what}: always whole; {left} left a hidden file, "
        "which the next write removed"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=50, help="of training, and of each kind of file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("error", SwarmnetWarning)
    rng = random.Random(options.seed)
    PSO().prepare()  # once, before the forks
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        print(train(options.moments, rng, Path(folder)))
    for writer in writers():
        with tempfile.TemporaryDirectory() as folder:
            print(write(options.moments, rng, Path(folder), writer))
    print(f"{time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
