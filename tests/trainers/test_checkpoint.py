"""A run stopped at any moment and gone on with is the run that was never stopped, bit for bit."""

import io
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData, Network, Objective, SwarmnetError, SwarmnetWarning, fit
from swarmnet.cli import commands as cli
from swarmnet.trainers import LBFGS, PSO, SGD, TRAINERS, Adam, Hybrid, Monitor, ProjectedPSO, configured, run
from swarmnet.trainers.checkpoint import EVERY, Checkpoint, fingerprint
from swarmnet.trainers.history import History
from swarmnet.trainers.trainer import Trainer

RUN = fingerprint({"data": "these", "seed": 0})
SPECIAL = {
    "ring": PSO(topology="ring", particles=9, inertia=(0.9, 0.4), iterations=40),
    "minibatches": Adam(batch_size=7, iterations=40),
    "momentum": SGD(batch_size=1, momentum=0.9, learning_rate=0.01, iterations=40),
    "budget": Hybrid(evaluations=400),
    "stalls": Hybrid(swarm=ProjectedPSO(tolerance=0.99, patience=3, iterations=20), iterations=60),
    "validated": LBFGS(iterations=40),
    "preconditioned": LBFGS(iterations=40, refresh=7),
}


class Killed(Exception):
    """What ends a run at once."""


def kept(path, every=EVERY):
    """A checkpoint that holds every state, so that what stops a run in a test loses nothing."""
    return Checkpoint(path, RUN, every, hold=0.0)


def problem(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (n, 2))
    Y, J = np.full((n, 1), np.nan), np.full((n, 1, 2), np.nan)
    Y[::2, 0] = (np.sin(X[:, 0]) + X[:, 0] * X[:, 1])[::2]
    J[1::2, 0, 1] = X[1::2, 0]
    return MixedData(X, Y, J)


DATA = problem()
LOSS = Objective(Network((2, 5, 1)), DATA)


def trained(trainer, path=None, stop_at=None, every=1000.0, start=None, validate=None, error=Killed):
    """The result, and the iterations that the callback saw; with `stop_at`, an exception there."""
    seen = []

    def callback(now):
        seen.append(now.iteration)
        if now.iteration == stop_at:
            raise error

    checkpoint = None if path is None else kept(path, every)
    rng = np.random.default_rng(5)
    result = run(trainer, LOSS, rng, start=start, callback=callback, validate=validate, checkpoint=checkpoint)
    return result, seen


def stopped(trainer, path, at, **kwargs):
    with pytest.raises(Killed):
        trained(trainer, path, at, **kwargs)


def same(first, second):
    assert np.array_equal(first.theta, second.theta)
    assert (first.loss, first.status, first.evaluations) == (second.loss, second.status, second.evaluations)
    for name in first.history:
        if name != "seconds":
            one, two = (pd.Series(result.history[name]) for result in (first, second))
            pd.testing.assert_series_equal(one, two, check_exact=True, obj=name)
    assert (np.diff(second.history["seconds"]) >= 0).all()


def cases():
    return {name: configured(name, iterations=40) for name in TRAINERS} | SPECIAL


@pytest.mark.parametrize("name", cases())
def test_a_run_gone_on_with_is_the_run_never_stopped(name, tmp_path):
    trainer, path = cases()[name], tmp_path / "run.ckpt"
    validate = (lambda theta: float(theta @ theta)) if name == "validated" else None
    whole, seen = trained(trainer, validate=validate)
    stops = [1, 2, 11, len(seen) // 2, len(seen) - 1]
    for at in stops:  # each time from where the last one was stopped
        stopped(trainer, path, at, validate=validate)
    result, rest = trained(trainer, path, validate=validate)
    assert rest == list(range(stops[-1], len(seen) + 1))
    same(whole, result)
    again, nothing = trained(trainer, path, validate=validate)
    same(whole, again)
    assert nothing == []


@pytest.mark.parametrize("name", TRAINERS)
def test_the_last_checkpoint_may_be_old(name, tmp_path):
    """Stopped long after the last one was written: the iterations since then are made again."""
    trainer, path = configured(name, iterations=40), tmp_path / "run.ckpt"
    whole, _ = trained(trainer)
    stopped(trainer, path, 25)
    old = path.read_bytes()
    stopped(trainer, path, 36)
    path.write_bytes(old)
    result, seen = trained(trainer, path)
    assert seen[0] == 25
    same(whole, result)


@pytest.mark.parametrize("name", TRAINERS)
def test_from_a_given_start(name, tmp_path):
    trainer, path = configured(name, iterations=15), tmp_path / "run.ckpt"
    start = LOSS.initial(np.random.default_rng(1))
    whole, _ = trained(trainer, start=start)
    for at in (2, 9):
        stopped(trainer, path, at, start=start)
    result, _ = trained(trainer, path, start=start)
    same(whole, result)


@pytest.mark.parametrize("name", TRAINERS)
def test_ctrl_c_leaves_a_checkpoint_whenever_it_comes(name, tmp_path, monkeypatch):
    """Amid an evaluation, long before a checkpoint is due."""
    trainer, path = configured(name, iterations=40), tmp_path / "run.ckpt"
    whole, _ = trained(trainer)
    calls = 0

    def interrupts(method):
        def called(*arguments):
            nonlocal calls
            calls += 1
            if calls == 30:
                raise KeyboardInterrupt
            return method(*arguments)

        return called

    for method in ("loss", "loss_and_gradient", "projected", "group_squares"):
        monkeypatch.setattr(LOSS, method, interrupts(getattr(LOSS, method)), raising=True)
    result, seen = trained(trainer, path, every=1000.0)
    assert result.status == "interrupted"
    assert 0 < len(seen) < 40
    result, rest = trained(trainer, path, every=1000.0)
    assert rest[0] == seen[-1] + 1
    same(whole, result)


def test_a_callback_that_stops_can_change_its_mind(tmp_path):
    trainer, path = configured("adam", iterations=40), tmp_path / "run.ckpt"
    checkpoint = kept(path)
    first, again = (
        run(
            trainer,
            LOSS,
            np.random.default_rng(5),
            callback=lambda now: now.iteration == 10,
            checkpoint=checkpoint,
        )
        for _ in range(2)
    )
    assert first.status == "callback"
    same(first, again)
    same(trained(trainer)[0], trained(trainer, path)[0])


def test_seconds_used_before_count(tmp_path):
    trainer, path = Adam(iterations=None, seconds=5.0, patience=10**9), tmp_path / "run.ckpt"

    stopped(trainer, path, 11)
    assert 0 < Checkpoint(path, RUN).read()["run/seconds"] < 4.0
    path.write_bytes(
        rewritten(path.read_bytes(), lambda header: header["state"].update({"run/seconds": 4.8}))
    )
    began = time.monotonic()
    result, seen = trained(trainer, path)
    assert (result.status, seen[0]) == ("seconds", 11)
    assert time.monotonic() - began < 2.0
    assert result.history["seconds"][-1] > 4.8  # its last iteration may end just before the fifth


def test_a_long_history_goes_on_where_it_was(tmp_path):
    trainer, path = SGD(iterations=100), tmp_path / "run.ckpt"

    def history(file=None, stop_at=None):
        def callback(now):
            if now.iteration == stop_at:
                raise Killed

        monitor = Monitor(callback, file=file, rng=np.random.default_rng(5), history=History(most=16))
        if file is not None and (saved := file.read()) is not None:
            monitor.load(saved, LOSS)
        with monitor.saving(), monitor.limits(trainer):
            trainer.train(LOSS, None, monitor.rng, monitor)
        return pd.DataFrame(monitor.history.arrays()).drop(columns="seconds")

    whole = history()
    assert 8 < len(whole) <= 18 and whole["iteration"].iloc[-1] == 100
    for at in (15, 16, 17, 18, 33, 34, 35, 70):
        with pytest.raises(Killed):
            history(kept(path, 1000.0), at)
    pd.testing.assert_frame_equal(history(kept(path)), whole, check_exact=True)


def test_lbfgs_starts_anew_in_time(tmp_path):
    """The record of its answers has a bound, and goes on being right beyond that."""
    trainer, path = LBFGS(iterations=45, record_bytes=1, record_iterations=10), tmp_path / "run.ckpt"
    whole, _ = trained(trainer)
    for other in (replace(trainer, record_iterations=1000), replace(trainer, record_bytes=10**6)):
        same(trained(other)[0], trained(LBFGS(iterations=45))[0])
    assert not np.array_equal(whole.theta, trained(LBFGS(iterations=45))[0].theta)
    for at in (10, 11, 12, 13, 21, 22, 40):
        stopped(trainer, path, at, every=1000.0)
        assert len(Checkpoint(path, RUN).read()["stage 0/losses"]) < 20
    same(whole, trained(trainer, path)[0])


class Starts(Trainer):
    """Several starts, each polished, all of them random: three levels, and a state of its own."""

    name = "starts"

    def prepare(self):
        Hybrid().prepare()

    def train(self, objective, start, rng, monitor):
        saved = monitor.resume() or {"number": 0, "ends": [], "start": objective.initial(rng)}
        number, ends, start = saved["number"], list(saved["ends"]), saved["start"]

        def state():
            return {"number": number, "ends": ends, "start": start}

        while number < 3:
            monitor.checkpoint(state)
            stage = Hybrid(iterations=12)
            with monitor.limits(stage):
                stage.train(objective, start, rng, monitor)
            ends.append(monitor.best.copy())
            start += rng.normal(size=len(start))
            number += 1
        monitor.record(float(objective.loss(np.mean(ends, 0))), np.mean(ends, 0), 1)
        monitor.finish("converged")


def test_stages_nest(tmp_path):
    path = tmp_path / "run.ckpt"
    whole, seen = trained(Starts())
    assert len(seen) == 37
    for at in (1, 3, 7, 13, 20, 26, 30, 37):
        stopped(Starts(), path, at)
    same(whole, trained(Starts(), path)[0])


def test_a_trainer_that_knows_no_checkpoints_keeps_its_end(tmp_path):
    class Simple(Trainer):
        name = "simple"

        def train(self, objective, start, rng, monitor):
            while True:
                theta = objective.initial(rng)
                if not monitor.record(float(objective.loss(theta)), theta, 1):
                    return

    trainer, path = Simple(iterations=20), tmp_path / "run.ckpt"
    stopped(trainer, path, 9)
    assert not path.exists()
    whole, _ = trained(trainer, path)
    again, seen = trained(trainer, path)
    same(whole, again)
    assert seen == []


def test_without_a_checkpoint_no_state_is_asked_for(tmp_path, monkeypatch):
    def copied(state):
        raise Killed

    monkeypatch.setattr("swarmnet.trainers.monitor.frozen", copied)
    for name in TRAINERS:
        trainer = configured(name, iterations=3)
        assert trained(trainer)[1]
        with pytest.raises(Killed):
            trained(trainer, tmp_path / "run.ckpt")


# The file


@pytest.fixture
def path(tmp_path):
    """A checkpoint of a run stopped halfway."""
    stopped(configured("adam", iterations=40), tmp_path / "run.ckpt", 20)
    return tmp_path / "run.ckpt"


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def flipped(content):
    at = content.index(b"stage 0/theta.npy") + 300  # within the array
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


BAD = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one bit flipped": flipped,
    "random": lambda content: np.random.default_rng(0).bytes(1000),
    "text": lambda content: b"T,p,h\n1,2,3\n",
    "pickle": lambda content: pickle.dumps({"format": "swarmnet-checkpoint"}),
    "one array": lambda content: npy(np.zeros(3)),
    "objects": lambda content: npz(header=np.array([{}], dtype=object)),
    "foreign arrays": lambda content: npz(weights=np.zeros(3)),
    "header is no JSON": lambda content: npz(header=np.zeros(3, np.uint8)),
    "header is a list": lambda content: npz(header=np.frombuffer(b"[1]", np.uint8)),
    "state is missing": lambda content: rewritten(content, lambda header: header.pop("state")),
    "state is empty": lambda content: rewritten(content, lambda header: header["state"].clear()),
    "best is text": lambda content: rewritten(
        content, lambda header: header["state"].update({"run/seconds": "many"})
    ),
}


def rewritten(content, change):
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays["header"].tobytes())
    change(header)
    return npz(**arrays | {"header": np.frombuffer(json.dumps(header).encode(), np.uint8)})


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(path, kind):
    content = BAD[kind](path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(SwarmnetError, match="not a swarmnet checkpoint, or a damaged one: delete the file"):
        trained(configured("adam", iterations=40), path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("cooling", [0.0, -1.0, [0.0] * 4, "fast"])
def test_an_lm_run_that_cannot_go_on_is_a_damaged_file(tmp_path, cooling):
    path = tmp_path / "run.ckpt"
    stopped(configured("lm", iterations=40), path, 3)
    changes = {"stage 0/1/cooling": cooling}
    path.write_bytes(rewritten(path.read_bytes(), lambda header: header["state"].update(changes)))
    with pytest.raises(SwarmnetError, match="or a damaged one: delete the file"):
        trained(configured("lm", iterations=40), path)


DAMAGE = {
    "missing": lambda value: None,
    "text": lambda value: "text",
    "another shape": lambda value: value[None] if isinstance(value, np.ndarray) else 10**400,
    "another kind": lambda value: value.astype(complex) if isinstance(value, np.ndarray) else [value],
}


MAY_BE_MISSING = ("run/best",)  # before the first finite loss there is none


def damaged_in(content, name, damage):
    """The file with one of its entries changed."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {entry: file[entry] for entry in file.files}
    header = json.loads(arrays.pop("header").tobytes())
    state = header["state"]
    value = arrays.pop(name) if name in arrays else state.pop(name)
    new = damage(value)
    if isinstance(new, np.ndarray):
        arrays[name] = new
    elif new is not None:
        state[name] = new
    return npz(**arrays, header=np.frombuffer(json.dumps(header).encode(), np.uint8))


def entries(content):
    """The names of what is in a file's state."""
    with np.load(io.BytesIO(content)) as file:
        header = json.loads(file["header"].tobytes())
        return [*header["state"], *(name for name in file.files if name != "header")]


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [*TRAINERS, "ring", "preconditioned", "budget"])
def test_a_state_that_does_not_fit_its_trainer_is_a_damaged_file(tmp_path, name, damage):
    trainer, path = cases()[name], tmp_path / "run.ckpt"
    stopped(trainer, path, 5)
    content = path.read_bytes()
    for entry in entries(content):
        if damage == "missing" and entry in MAY_BE_MISSING:
            continue
        changed = damaged_in(content, entry, DAMAGE[damage])
        path.write_bytes(changed)
        with pytest.raises(SwarmnetError, match="or a damaged one: delete the file"):
            trained(trainer, path)
        assert path.read_bytes() == changed


@pytest.mark.parametrize(
    "change",
    [
        {"iteration": 10**9},
        {"evaluations": 10**9},
        {"since": 10**9},
        {"started": 1e9},
        {"trainer": "pso"},
        {"seconds": -1.0},
    ],
    ids=str,
)
def test_a_stage_that_cannot_have_been_is_a_damaged_file(path, change):
    """Gone on with, some would hardly ever end."""
    path.write_bytes(
        rewritten(path.read_bytes(), lambda header: header["state"]["run/stages"][0].update(change))
    )
    with pytest.raises(SwarmnetError, match="or a damaged one: delete the file"):
        trained(configured("adam", iterations=40), path)


@pytest.mark.parametrize("error", [AttributeError, TypeError, ValueError, KeyError, ZeroDivisionError])
@pytest.mark.parametrize("name", ["lm", "pso", "projected", "adam", "lbfgs"])
def test_a_bug_after_a_resumption_is_not_taken_for_a_damaged_file(tmp_path, monkeypatch, name, error):
    trainer, path = configured(name, iterations=40), tmp_path / "run.ckpt"
    stopped(trainer, path, 5)

    def wrong(*arguments):
        raise error("a bug")

    for method in ("loss", "loss_and_gradient", "projected", "gauss_newton", "group_squares"):
        monkeypatch.setattr(Objective, method, wrong)
    with pytest.raises(error, match="a bug") as raised:
        trained(trainer, path)
    assert not isinstance(raised.value, SwarmnetError)


def test_a_bug_in_a_callback_after_a_resumption_is_not_taken_for_a_damaged_file(path):
    with pytest.raises(AttributeError, match="a bug"):
        trained(configured("adam", iterations=40), path, stop_at=21, error=AttributeError("a bug"))


def test_ctrl_c_in_the_first_pass_over_minibatches_keeps_the_start(monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(LOSS, "batches", interrupt)
    result, seen = trained(Adam(batch_size=7))
    assert (result.status, seen, len(result.history["loss"])) == ("interrupted", [], 0)
    monkeypatch.setattr(Objective, "batches", interrupt)
    with pytest.warns(SwarmnetWarning, match="interrupted"):
        model = fit(DATA, (3,), trainer=Adam(batch_size=7))
    assert len(model.history) == 0 and np.isfinite(model.predict(DATA.X)).all()


def test_nothing_in_a_file_is_run(path, tmp_path):
    class Malice:
        def __reduce__(self):
            return open, (str(tmp_path / "run"), "w")

    for content in (pickle.dumps(Malice()), npz(header=np.array([Malice()], dtype=object))):
        (tmp_path / "run").unlink(missing_ok=True)
        path.write_bytes(content)
        with pytest.raises(SwarmnetError, match="not a swarmnet checkpoint"):
            Checkpoint(path, RUN).read()
        assert not (tmp_path / "run").exists()


def test_a_later_version_is_refused_by_its_number(path):
    path.write_bytes(rewritten(path.read_bytes(), lambda header: header.update(version=2)))
    with pytest.raises(SwarmnetError, match="checkpoint version 2, this swarmnet reads 1"):
        Checkpoint(path, RUN).read()


def test_numbers_come_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    rng.random(3)
    numbers = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, float("inf"), float("-inf")]
    state = {
        "array": rng.normal(size=(3, 4)),
        "small": np.float32([0.1, 0.2]),
        "numpy": np.float64(0.1),
        "counts": np.arange(3),
        "rng": rng.bit_generator.state,
        "none": None,
        **{f"number {i}": number for i, number in enumerate(numbers)},
    }
    checkpoint = Checkpoint(tmp_path / "run.ckpt", RUN, 0.0)
    checkpoint.hold(state)
    found = checkpoint.read()
    assert set(found) == set(state)
    for name, value in state.items():
        assert np.array_equal(found[name], value) and np.asarray(found[name]).dtype == np.asarray(value).dtype
    assert found["rng"] == state["rng"]


@pytest.mark.parametrize("kind", [np.random.MT19937, np.random.Philox, np.random.SFC64])
def test_any_random_generator_goes_along(kind, tmp_path):
    trainer, path = configured("pso", iterations=10), tmp_path / "run.ckpt"

    def result(**kwargs):
        return run(trainer, LOSS, np.random.Generator(kind(3)), **kwargs)

    def stop(now):
        if now.iteration == 5:
            raise Killed

    with pytest.raises(Killed):
        result(callback=stop, checkpoint=kept(path))
    same(result(), result(checkpoint=kept(path)))


@pytest.mark.parametrize("moment", ["fsync", "replace"])
def test_a_kill_amid_a_write_leaves_the_old_checkpoint(path, moment):
    code = """
import os, signal, sys
from swarmnet.trainers.checkpoint import Checkpoint
import numpy as np
import pandas as pd
checkpoint = Checkpoint(sys.argv[1], {}, 0.0)
setattr(os, sys.argv[2], lambda *arguments: os.kill(os.getpid(), signal.SIGKILL))
checkpoint.hold({"array": np.zeros(100_000)})
"""
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", code, str(path), moment], check=False, env=HERE)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    same(trained(configured("adam", iterations=40))[0], trained(configured("adam", iterations=40), path)[0])


def test_a_full_disk_does_not_end_the_run(path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(SwarmnetWarning, match="No space left on device; training goes on without"):
        result, _ = trained(configured("adam", iterations=40), path)
    same(trained(configured("adam", iterations=40))[0], result)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("name", "words"), [("no/run.ckpt", "there is no folder"), (".", "it is a folder")])
def test_where_nothing_can_be_written_is_known_at_once(tmp_path, name, words):
    with pytest.raises(SwarmnetError, match=words):
        Checkpoint(tmp_path / name, RUN)
    with pytest.raises(SwarmnetError, match="it is no file"):
        Checkpoint(os.devnull, RUN)


# fit and the command line


SHORT = {"hidden": (3,), "trainer": "adam", "iterations": 8}


def fitted(path, **changes):
    return fit(changes.pop("data", DATA), **(SHORT | changes), checkpoint=path, checkpoint_every=0)


def test_fit_gives_the_same_model_again(tmp_path):
    first, again = fitted(tmp_path / "run.ckpt"), fitted(str(tmp_path / "run.ckpt"))
    assert np.array_equal(first.theta, again.theta)
    assert first.history.equals(again.history)
    plain = fit(DATA, **SHORT)
    assert np.array_equal(first.theta, plain.theta)
    assert plain.training["settings"] == first.training["settings"]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"data": problem(seed=1)}, "data"),
        ({"data": DATA.select(("x1", "x2"), ("y",)).values_only()}, "data"),
        ({"data": MixedData(DATA.X, DATA.Y, DATA.J, inputs=("a", "b"))}, "data"),
        ({"data": MixedData(DATA.X, DATA.Y, DATA.J, Y_sigma=np.ones((40, 1)))}, "data"),
        ({"hidden": (4,)}, "network"),
        ({"activation": "sine"}, "network"),
        ({"degree": 2}, "network"),
        ({"seed": 1}, "seed"),
        ({"scaling": "minmax"}, "scaling"),
        ({"l2": 1e-3}, "l2"),
        ({"derivative_weight": 2.0}, "derivative_weight"),
        ({"iterations": 9}, "adam's iterations"),
        ({"seconds": 5.0}, "adam's seconds"),
        ({"trainer": Adam(learning_rate=0.02)}, "adam's learning_rate"),
        ({"trainer": "sgd"}, "trainer"),
        ({"validation": problem(seed=2)}, "validation data"),
        ({"seed": 1, "trainer": "pso"}, "seed, trainer"),
    ],
    ids=str,
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path, changes, what):
    path = tmp_path / "run.ckpt"
    fitted(path)
    before = path.read_bytes()
    words = f"the checkpoint of another run, which differs in {what}: delete the file, or name another one"
    with pytest.raises(SwarmnetError, match=words):
        fitted(path, **changes)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("swarmnet.fitting.run_record.__version__", "0.0.1"),
        ("importlib.metadata.distribution", lambda name: SimpleNamespace(version="0.0.1")),
    ],
    ids=["swarmnet", "what it imports"],
)
def test_other_software_is_another_run(tmp_path, monkeypatch, name, other):
    fitted(tmp_path / "run.ckpt")
    monkeypatch.setattr(name, other)
    with pytest.raises(SwarmnetError, match="differs in versions of the software"):
        fitted(tmp_path / "run.ckpt")


@pytest.mark.parametrize("every", [-1, float("nan"), "often"])
def test_bad_intervals_are_refused(tmp_path, every):
    with pytest.raises(SwarmnetError, match="checkpoint_every must be 0 or more"):
        fit(DATA, **SHORT, checkpoint=tmp_path / "run.ckpt", checkpoint_every=every)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{x1!r},{x2!r},{x1 * x2!r}" for x1, x2 in DATA.X.tolist()]
    Path("data.csv").write_text("\n".join(["x1,x2,y", *rows]) + "\n")
    return tmp_path


HERE = {**os.environ, "PYTHONPATH": str(Path(swarmnet.__file__).parents[1])}


def command(*arguments):
    return [sys.executable, "-m", "swarmnet", "train", "data.csv", "--hidden", "4", *arguments]


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """That command in this process: its exit code, and what it said."""

    def called(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", *command(*arguments)[3:]])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, capsys.readouterr().err

    return called


def loaded(name):
    return json.loads(Path(name).read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL to send")
def test_a_killed_command_given_again_ends_as_if_never_killed(folder, call):
    options = ("--iterations", "100")
    with open("output", "w") as output:
        often = ("--checkpoint", "run.ckpt", "--checkpoint-every", "0")
        process = subprocess.Popen(command(*options, *often), stdout=output, stderr=output, env=HERE)
    while not Path("run.ckpt").exists():
        assert process.poll() is None, Path("output").read_text()
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not Path("model.json").exists()
    for out, more in (("resumed.json", ("--checkpoint", "run.ckpt")), ("whole.json", ())):
        assert call(*options, *more, "-o", out)[0] == 0
    resumed, whole = loaded("resumed.json"), loaded("whole.json")
    for model in (resumed, whole):
        del model["history"]["seconds"], model["training"]["seconds"]
    assert resumed == whole


def test_the_command_line_refuses_in_one_line(folder, call):
    trainer = ("--trainer", "adam")
    assert call(*trainer, "--iterations", "5", "--checkpoint", "run.ckpt")[0] == 0
    before = Path("run.ckpt").read_bytes()
    swarmnet.load("model.json")
    for arguments, words in (
        (
            ("--iterations", "6", "--checkpoint", "run.ckpt"),
            "which differs in adam's iterations",
        ),
        (("--checkpoint", "data.csv"), "it is another file of this run"),
        (("-o", "m.json", "--checkpoint", "m.json"), "it is another file of this run"),
        (("--checkpoint", "no/run.ckpt"), "there is no folder"),
        (("--checkpoint-every", "5"), "--checkpoint-every needs --checkpoint"),
        (("--checkpoint", "new.ckpt", "--checkpoint-every", "-5"), "checkpoint_every must be 0 or more"),
    ):
        code, err = call(*trainer, *arguments)
        assert code == 2 and words in err and err.startswith("error: ") and err.count("\n") == 1
    assert Path("run.ckpt").read_bytes() == before
    assert sorted(os.listdir()) == ["data.csv", "model.json", "run.ckpt"]
