"""Random files for the readers of data, models and checkpoints: `python -m tests.fuzz --inputs 100000`.

The bad and odd files of `hostile_files` are what it begins with; it changes, cuts, doubles and mixes them.
What comes of a file must be whole (no infinity, the same by both parsers, the same when written and read
again), or a SwarmnetError of one line. Whatever else comes of it is a finding, whose file is kept in --found.
It warns of nothing but how a file is written, and takes no more than a gigabyte, and a few seconds a file.
"""

import argparse
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from swarmnet import MixedData, Network, Objective, SwarmnetError, load
from swarmnet.data.csv_table import CsvTable
from swarmnet.data.mixed_data import from_table
from swarmnet.data.readers import read
from swarmnet.trainers import TRAINERS, configured, run
from swarmnet.trainers.checkpoint import Checkpoint
from tests import hostile_files
from tests.hostile_run import little_memory

LARGEST = 4_000  # bytes of a file to begin with
SECONDS = 20
TOKENS = [
    *(
        b",",
        b";",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b'"',
        b'""',
        b"'",
        b" ",
        b"\0",
        b"\xef\xbb\xbf",
        b"\xff",
        b"#",
    ),
    *(
        b"x",
        b"y",
        b"x1",
        b"dy/dx",
        b"d2y/dx2",
        b"sigma(y)",
        b"sigma(",
        b"target",
        b"value",
        b"sigma",
        b"/d",
        b"=",
    ),
    *(b"0", b"-0", b"1e308", b"1e309", b"5e-324", b"nan", b"NaN", b"inf", b"-inf", b"NA", b"null", b"true"),
    *(b"1_0", b"0x1p3", b"1d5", b"1e", b"+", b"-", b".", b"e", b"1,5", b"True", b"FALSE", b"\xe2\x80\xa8"),
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b":",
        b"NaN",
        b"Infinity",
        b"1e999",
        b'"x"',
        b"[]",
        b"{}",
        b"999999999999999999999",
    ),
]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        10**12,
        10**400,
        0.5,
        -0.5,
        1e308,
        5e-324,
        1e300,
        "",
        "x",
        "y",
        "=1",
        "\n",
    ),
    *(
        "tanh",
        "sine",
        [],
        [[]],
        [None],
        [1],
        [1.0, 2.0],
        ["x"],
        ["x", "y"],
        [1, 1, 1],
        [2, 3, 1],
        {},
        {"x": 1},
    ),
    *({"loss": [1.0]}, [0.0] * 4, [1e308] * 4, "AAAA", "AACAPw==", "\ud800", "x" * 600),
]

Outcome = str


def mutated(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The content after a few changes; parts may come from the other."""
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randint(0, len(content))
        end = min(len(content), at + rng.choice((0, 1, 2, 5, 50)))
        kind = rng.randrange(6)
        if kind == 0:
            piece = bytes(rng.randrange(256) for _ in range(end - at + 1))
        elif kind == 1:
            piece = rng.choice(TOKENS)
        elif kind == 2:
            piece = content[at:end] * rng.choice((0, 2, 3))
        elif kind == 3:
            start = rng.randint(0, len(other))
            piece = other[start : start + rng.randint(0, 40)]
        elif kind == 4:
            piece = content[at:end][::-1]
        else:
            piece, end = b"", (len(content) if rng.random() < 0.2 else end)
        content = content[:at] + piece + content[end:]
    return content


HEADERS = [
    "x,y",
    "y,x",
    "x1,x2,y,dy/dx2",
    "x,y,sigma(y)",
    "dh/dT,T,h",
    "x,target,value",
    "target,x,value,sigma",
]
CELLS = [
    "0",
    "1",
    "-2.5",
    "1e3",
    "+.5",
    "7.",
    "1e308",
    "4e-320",
    "12345678901234567890",
    "0.1234567890123456789",
]
EMPTY = ["", " ", "nan", "NaN", "-NAN", "\t"]
ODD = [
    "y",
    "dy/dx",
    "true",
    "False",
    "1_0",
    "inf",
    "0x1",
    "1e",
    "1d2",
    "1\u00a0",
    "\u0661",
    "a,b",
    'a"b',
    "a\nb",
    "--1",
]


def composed(rng: random.Random) -> bytes:
    """A table of mostly good cells, dressed in one way or several."""
    header = rng.choice(HEADERS).split(",")
    end = rng.choice(("\n", "\n", "\r\n", "\r", "\n\n", "\r\r", "\n \t\n", "\r\r\n"))
    dress = rng.choice((str, str, lambda cell: f'"{cell}"', lambda cell: f" {cell}", lambda cell: f"{cell} "))
    odd = rng.choice((0.0, 0.0, 0.03))
    sep, comma = rng.choice(((",", "."), (",", "."), (";", "."), (";", ","), ("\t", ","), (" ", ".")))
    above = rng.choice(("", "", "", "A title\n", "# a comment\n", "sep=;\n"))

    def cell(name: str) -> str:
        kinds = [CELLS, EMPTY, ODD, ["y", "dy/dx"]]
        target = 100.0 if name == "target" else 0.0
        text = rng.choice(rng.choices(kinds, (1.0, 0.2 if name[0] in "yd" else 0.01, odd, target))[0])
        text = text.replace(".", comma)
        return '"' + text.replace('"', '""') + '"' if set(text) & {*',"\n', sep} else dress(text)

    rows = [[cell(name) for name in header] for _ in range(rng.choice((1, 2, 3, 9)))]
    lines = [sep.join(dress(name) for name in header), *(sep.join(row) for row in rows)]
    return (above + rng.choice(("", "", "\ufeff", end)) + end.join(lines) + rng.choice(("", end))).encode()


def rebuilt(value: Any, rng: random.Random) -> Any:
    """A JSON value in which a random part is another."""
    if rng.random() < 0.25 or not value or not isinstance(value, dict | list):
        return rng.choice(VALUES)
    value = value.copy()
    key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if rng.random() < 0.1:
        del value[key]
    else:
        value[key] = rebuilt(value[key], rng)
    return value


# What is given to each reader, and what must come of it


def whole(data: MixedData) -> None:
    """Raise AssertionError unless the data are what MixedData promises."""
    assert np.isfinite(data.X).all() and data.n_entries > 0
    assert not np.isinf(data.Y).any() and not np.isinf(data.J).any()
    for sigma, target in ((data.Y_sigma, data.Y), (data.J_sigma, data.J)):
        if sigma is not None:
            known = sigma[~np.isnan(sigma)]
            assert (known > 0).all() and np.isfinite(known).all()
            assert np.isnan(sigma[np.isnan(target)]).all()
    for name in (*data.inputs, *data.outputs):
        assert name and name[0] not in "=+-@" and "\n" not in name


def same(one: MixedData, other: MixedData) -> None:
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def line(error: SwarmnetError) -> str:
    text = str(error)
    assert text and "\n" not in text and len(text) < 800, text
    return text


def read_checked(path: str) -> MixedData:
    return from_table(CsvTable(Path(path), checked=True))


def tried(path: str, reader: Callable[[str], MixedData] = read) -> MixedData | str:
    try:
        return reader(path)
    except SwarmnetError as error:
        return line(error)


def read_table(path: str) -> Outcome:
    """Read a CSV file by both parsers, and what was read once more."""
    found = tried(path)
    checked = tried(path, read_checked)
    if isinstance(found, str) or isinstance(checked, str):
        assert found == checked, (found, checked)
        return "refused"
    whole(found)
    same(found, checked)
    found.to_frame().to_csv(path, index=False)
    same(found, read(path, found.inputs, found.outputs))
    return "read"


def read_parquet(path: str) -> Outcome:
    found = tried(path)
    if isinstance(found, str):
        return "refused"
    whole(found)
    return "read"


def read_model(path: str) -> Outcome:
    """Load a model, ask it, write it, and load it again."""
    try:
        model = load(path)
    except SwarmnetError as error:
        line(error)
        return "refused"
    assert np.isfinite(model.theta).all()
    points = np.linspace(-2.0, 2.0, 3)[:, None] * np.ones(len(model.inputs))
    try:
        for answer in (model.predict(points), model.jacobian(points), model.hessian(points)):
            assert np.isfinite(answer).all()
        if model.spread is not None:
            assert np.isfinite(model.predict(points, return_std=True)[1]).all()
    except SwarmnetError as error:
        line(error)
    model.save(path)
    again = load(path)
    assert np.array_equal(again.theta, model.theta) and again.training == model.training
    return "loaded"


DATA = MixedData(np.linspace(-1, 1, 5)[:, None], Y=np.linspace(-1, 1, 5) ** 2)
LOSS = Objective(Network((1, 2, 1)), DATA)


def resumed(path: str) -> Outcome:
    """Go on from a checkpoint; the file's name says with which trainer."""
    trainer = configured(Path(path).stem, iterations=6)
    try:
        result = run(trainer, LOSS, np.random.default_rng(0), checkpoint=Checkpoint(path, {}, 1000.0))
    except SwarmnetError as error:
        line(error)
        return "refused"
    assert np.isfinite(result.theta).all() and result.theta.shape == (LOSS.size,)
    return "resumed"


# What they begin with


def small(table: dict[str, Any]) -> list[bytes]:
    made = (make() for make, _ in table.values())
    return [content[:LARGEST] for content in made]


def checkpoints() -> dict[str, bytes]:
    """A checkpoint of each trainer in the middle of a run, by its name."""
    made = {}
    for name in TRAINERS:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "run.ckpt")

            def stop(now: Any) -> None:
                if now.iteration == 3:
                    raise InterruptedError

            try:
                checkpoint = Checkpoint(path, {}, 0.0)
                rng = np.random.default_rng(0)
                run(configured(name, iterations=6), LOSS, rng, callback=stop, checkpoint=checkpoint)
            except InterruptedError:
                made[name] = Path(path).read_bytes()
    return made


def retold(content: bytes, rng: random.Random) -> bytes:
    """A checkpoint whose header or one of whose arrays is another, and which is whole otherwise."""
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    name = rng.choice(list(arrays))
    if name == "header":
        header = rebuilt(json.loads(arrays[name].tobytes()), rng)
        arrays[name] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    else:
        array = arrays[name]
        value = rng.choice((np.nan, np.inf, 1e308, 0.0, -1.0))
        with np.errstate(invalid="ignore"):
            same_shape = (np.full(array.shape, value), np.full(array.shape, value).astype(np.int64))
        arrays[name] = rng.choice((array[:0], array.ravel(), array[None], *same_shape))
    file_ = io.BytesIO()
    np.savez(file_, **arrays)
    return file_.getvalue()


Maker = Callable[[random.Random], tuple[str, bytes]]


def makers() -> dict[str, tuple[float, Maker, Callable[[str], Outcome]]]:
    """For each kind of file: its share, what makes one (its name and bytes), and what is done with it."""
    tables, models = small(hostile_files.CSV), small(hostile_files.MODELS)
    zips, runs = small(hostile_files.CHECKPOINTS), checkpoints()

    def table(rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.5:
            return "data.csv", composed(rng)
        return "data.csv", mutated(rng.choice(tables), rng.choice(tables), rng)

    def model(rng: random.Random) -> tuple[str, bytes]:
        if rng.random() < 0.3:
            return "model.json", mutated(rng.choice(models), rng.choice(models), rng)
        document = hostile_files.model_document()
        for _ in range(rng.choice((1, 1, 2, 3))):
            changed = rebuilt(document, rng)
            document = changed if isinstance(changed, dict) else document
        return "model.json", json.dumps(document).encode()

    def broken(rng: random.Random) -> tuple[str, bytes]:
        return "adam.ckpt", mutated(rng.choice(zips), rng.choice(zips), rng)

    def altered(rng: random.Random) -> tuple[str, bytes]:
        name = rng.choice(list(runs))
        return f"{name}.ckpt", retold(runs[name], rng)

    kinds = {
        "table": (0.5, table, read_table),
        "model": (0.3, model, read_model),
        "checkpoint": (0.08, broken, resumed),
        "checkpoint, whole": (0.02, altered, resumed),
    }
    if any(case.file.endswith(".parquet") for case in hostile_files.cases()):
        files = small(hostile_files.PARQUET)

        def parquet(rng: random.Random) -> tuple[str, bytes]:
            return "data.parquet", mutated(rng.choice(files), rng.choice(files), rng)

        kinds["parquet"] = (0.1, parquet, read_parquet)
    return kinds


def hung(*_: object) -> None:
    raise TimeoutError(f"not done after {SECONDS} s")


def fuzz(inputs: int, seed: int, only: str | None, found: Path) -> int:
    """Give so many files to the readers; the number of findings."""
    rng = random.Random(seed)
    kinds = {name: kind for name, kind in makers().items() if only in (None, name)}
    outcomes: Counter[str] = Counter()
    findings = 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, little_memory():
        for number in range(inputs):
            name = rng.choices(list(kinds), [share for share, *_ in kinds.values()])[0]
            _, make, give = kinds[name]
            file, content = make(rng)
            path = os.path.join(folder, file)
            Path(path).write_bytes(content)
            signal.alarm(SECONDS)
            try:
                outcome = give(path)
            except Exception:
                findings += 1
                found.mkdir(exist_ok=True)
                (found / f"{seed}-{number}-{file}").write_bytes(content)
                print(f"{name}, input {number}:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
                outcome = "FOUND"
            signal.alarm(0)
            outcomes[f"{name} {outcome}"] += 1
    seconds = time.perf_counter() - start
    counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"{inputs} inputs of seed {seed} in {seconds:.0f} s, {findings} findings: {counts}")
    return findings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one kind of file: table, model, checkpoint, parquet")
    parser.add_argument("--found", type=Path, default=Path("found"), help="folder for the files of findings")
    options = parser.parse_args()
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", ".*the training range")
    warnings.filterwarnings("ignore", ".*: read with ")
    signal.signal(signal.SIGALRM, hung)
    sys.exit(1 if fuzz(options.inputs, options.seed, options.only, options.found) else 0)


if __name__ == "__main__":
    main()
