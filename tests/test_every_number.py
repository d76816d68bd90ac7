"""Every number that is printed, drawn, stored or exported belongs to the column that it is told of.

Inputs and outputs stand in an order that is not that of their names, on ranges far apart; entries are
missing, have sigmas and weights. What swarmnet says is compared with what this module computes from the
model file and the data alone, and with the function that the data are from.
"""

import base64
import json
import re
import sys
from dataclasses import dataclass, replace
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData
from swarmnet.cli import commands as cli
from swarmnet.data.inspection import inspect_data
from swarmnet.data.readers import open_files

INPUTS, OUTPUTS = ("w", "b", "aa"), ("z", "c")  # by name they would be b, w, aa and c, z
LOW, HIGH = np.array([0.0, 1000.0, -0.05]), np.array([1.0, 2000.0, -0.04])
COLUMNS = ["z", "dz/dw", "dz/db", "dz/daa", "c", "dc/dw", "dc/db", "dc/daa"]
SETTINGS = {"hidden": (4,), "seed": 3}
LOSS = {"trainer": "lbfgs", "iterations": 150, "derivative_weight": 0.5, "l2": 1e-4}


# What the numbers must be


def truth(X):
    """z and c (n, 2), and their partials (n, 2, 3): each depends on each input in a way of its own."""
    w, b, aa = ((X - LOW) / (HIGH - LOW)).T
    z = 5.0 + np.sin(2 * w) + 0.3 * b + 0.1 * w * aa
    c = 1e4 * (b**2 - 0.5 * w + 0.2 * aa) - 3e4
    partials = [
        [2 * np.cos(2 * w) + 0.1 * aa, np.full_like(w, 0.3), 0.1 * w],
        [np.full_like(w, -5e3), 2e4 * b, np.full_like(w, 2e3)],
    ]
    return np.column_stack([z, c]), np.moveaxis(np.array(partials), 2, 0) / (HIGH - LOW)


@dataclass(frozen=True)
class Own:
    """A model read from its file: one hidden layer of tanh, whatever swarmnet makes of it."""

    document: dict

    @classmethod
    def of(cls, model, path):
        model.save(path)
        return cls(json.loads(path.read_text()))

    @property
    def parts(self):
        d, h, k = self.document["sizes"]
        assert self.document["activations"] == ["tanh", "linear"]
        assert (self.document["inputs"], self.document["outputs"]) == (list(INPUTS), list(OUTPUTS))
        theta = np.array(self.document["theta"])
        W, b, V, c = np.split(theta, np.cumsum([d * h, h, h * k]))
        return W.reshape(d, h), b, V.reshape(h, k), c

    @property
    def scales(self):
        return tuple(
            np.array(self.document["scaling"][n]) for n in ("x_offset", "x_scale", "y_offset", "y_scale")
        )

    def answers(self, X):
        """Y (n, k), J (n, k, d) and H (n, k, d, d)."""
        W, b, V, c = self.parts
        x_offset, x_scale, y_offset, y_scale = self.scales
        a = np.tanh((X - x_offset) / x_scale @ W + b)
        slope, bend = 1 - a**2, -2 * a * (1 - a**2)
        W = W / x_scale[:, None]
        V = V * y_scale
        return (
            a @ V + c * y_scale + y_offset,
            np.einsum("nh,hk,dh->nkd", slope, V, W),
            np.einsum("nh,hk,dh,eh->nkde", bend, V, W, W),
        )


def own_columns(Y, J):
    """By the columns' names: (n,) each."""
    found = {}
    for o, out in enumerate(OUTPUTS):
        found[out] = Y[:, o]
        found |= {f"d{out}/d{into}": J[:, o, j] for j, into in enumerate(INPUTS)}
    return found


def own_errors(own, data):
    """entries, rmse, max_error and r2 of each column."""
    weights = data.row_weights
    found = {}
    answers = own_columns(*own.answers(data.X)[:2])
    for name, target in own_columns(data.Y, data.J).items():
        seen = np.isfinite(target) & (weights > 0)
        if not seen.any():
            continue
        w, t, error = weights[seen], target[seen], (answers[name] - target)[seen]
        mean = np.sum(w * error**2) / w.sum()
        variance = np.sum(w * (t - np.sum(w * t) / w.sum()) ** 2) / w.sum()
        found[name] = [seen.sum(), np.sqrt(mean), np.abs(error).max(), 1 - mean / variance]
    return found


def own_loss(own, data, trained_on):
    """The loss of README, without l2's part: the mean over values, and half that over derivatives."""
    answers, targets = own_columns(*own.answers(data.X)[:2]), own_columns(data.Y, data.J)
    nothing = [np.full_like(array, np.nan) for array in (data.Y, data.J)]
    given = [none if s is None else s for s, none in zip((data.Y_sigma, data.J_sigma), nothing, strict=True)]
    sigmas, known = own_columns(*given), own_columns(trained_on.Y, trained_on.J)
    squares, weights = np.zeros(2), np.zeros(2)
    for name, target in targets.items():
        is_slope = int("/" in name)
        counts = np.isfinite(known[name]) & (trained_on.row_weights > 0)
        w, t = trained_on.row_weights[counts], known[name][counts]
        middle = 0.0 if is_slope else np.sum(w * t) / w.sum()
        spread = np.sqrt(np.sum(w * (t - middle) ** 2) / w.sum())
        scale = np.where(np.isfinite(sigmas[name]), sigmas[name], spread)
        seen = np.isfinite(target)
        residual = ((answers[name] - target) / scale)[seen]
        squares[is_slope] += np.sum(data.row_weights[seen] * residual**2)
        weights[is_slope] += data.row_weights[seen].sum()
    values, slopes = squares / np.where(weights > 0, weights, 1.0)
    return values + 0.5 * slopes


# The data and the models


def points(n, seed):
    return np.random.default_rng(seed).uniform(LOW, HIGH, (n, 3))


def measured(n=60, seed=0):
    """Half the entries of `truth` with noise, some with sigmas; every tenth row has the weight 0."""
    rng = np.random.default_rng(seed)
    X = points(n, seed)
    Y, J = truth(X)
    size = np.abs(J).mean(0)
    Y = Y + rng.normal(size=Y.shape) * [0.01, 50.0]
    J = J + rng.normal(size=J.shape) * 0.01 * size
    Y_sigma, J_sigma = np.tile([0.01, 50.0], (n, 1)), np.tile(0.01 * size, (n, 1, 1))
    Y_sigma[rng.random(Y.shape) < 0.5] = np.nan
    J_sigma[rng.random(J.shape) < 0.5] = np.nan
    Y[rng.random(Y.shape) < 0.4] = np.nan
    J[rng.random(J.shape) < 0.5] = np.nan
    weights = rng.choice([0.5, 1.0, 3.0], n)
    weights[::10] = 0.0
    X[::10] *= 1.5  # what does not count may lie anywhere
    return MixedData(X, Y, J, Y_sigma, J_sigma, INPUTS, OUTPUTS, weights)


def by_name(data):
    """The same data with its columns in the order of their names."""
    return data.select(sorted(INPUTS, key=lambda name: (len(name), name)), sorted(OUTPUTS))


@pytest.fixture(scope="module")
def data():
    return measured()


@pytest.fixture(scope="module")
def model(data):
    return swarmnet.fit(data, trainer="lm", iterations=60, **SETTINGS)


@pytest.fixture(scope="module")
def own(model, tmp_path_factory):
    return Own.of(model, tmp_path_factory.mktemp("own") / "model.json")


@pytest.fixture
def X():
    return points(7, 9)


@pytest.fixture
def answers(own, X):
    """Y, J and H of the model at X."""
    return own.answers(X)


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """What a command writes to standard output."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        written = capsys.readouterr()
        assert not ended.value.code, written.err
        return written.out

    return call


# The model


def test_the_model_is_that_of_the_data(own):
    X = points(200, 1)
    answers, right = own_columns(*own.answers(X)[:2]), own_columns(*truth(X))
    for name in COLUMNS:
        spread = np.sqrt(np.mean(right[name] ** 2)) if "/" in name else right[name].std()
        assert np.sqrt(np.mean((answers[name] - right[name]) ** 2)) < 0.1 * spread, name


def test_answers(model, X, answers):
    Y, J, H = answers
    np.testing.assert_allclose(model.predict(X), Y, rtol=1e-9)
    np.testing.assert_allclose(model.jacobian(X), J, rtol=1e-9)
    np.testing.assert_allclose(model.hessian(X), H, rtol=1e-7, atol=1e-12 * np.abs(H).max((0, 2, 3)).min())


def test_error_bars_are_those_of_the_same_columns_in_another_order(model, data, X):
    other = swarmnet.fit(by_name(data), trainer="lm", iterations=60, **SETTINGS)
    assert (other.inputs, other.outputs) == (("b", "w", "aa"), ("c", "z"))
    j, o = [other.inputs.index(name) for name in INPUTS], [other.outputs.index(name) for name in OUTPUTS]
    there = X[:, [INPUTS.index(name) for name in other.inputs]]
    for mine, its, of in (
        (model.predict(X, return_std=True), other.predict(there, return_std=True), np.s_[:, o]),
        (model.jacobian(X, return_std=True), other.jacobian(there, return_std=True), np.ix_(range(7), o, j)),
    ):
        np.testing.assert_allclose(mine[0], its[0][of], rtol=1e-6)
        np.testing.assert_allclose(mine[1], its[1][of], rtol=1e-3)
    assert other.training["input_ranges"] == model.training["input_ranges"]


def test_the_training_record(model, data):
    counts = data.weights > 0
    record = model.training
    assert list(record["input_ranges"]) == list(INPUTS)
    for j, name in enumerate(INPUTS):
        seen = data.X[counts & (data.entries_per_row > 0), j]
        assert record["input_ranges"][name] == [seen.min(), seen.max()]
    assert record["rows"] == counts.sum()
    assert record["values"] == np.isfinite(data.Y[counts]).sum()
    assert record["derivatives"] == np.isfinite(data.J[counts]).sum()


def test_the_losses_of_training_and_of_validation(data, tmp_path):
    held_out = measured(20, seed=4)
    model = swarmnet.fit(data, validation=by_name(held_out), **LOSS, **SETTINGS)
    own = Own.of(model, tmp_path / "model.json")
    W, _, V, _ = own.parts
    penalty = 1e-4 * (np.sum(W**2) + np.sum(V**2))
    last = model.history.iloc[-1]
    assert model.training["loss"] == pytest.approx(own_loss(own, data, data) + penalty, rel=1e-8)
    assert last["loss"] == pytest.approx(model.training["loss"])
    assert last["validation_loss"] == pytest.approx(own_loss(own, held_out, data) + penalty, rel=1e-8)
    assert (model.training["derivative_weight"], model.training["l2"]) == (0.5, 1e-4)


def test_a_model_in_a_file_is_the_same(model, own, X, tmp_path):
    model.save(tmp_path / "model.json")
    again = swarmnet.load(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(X, return_std=True), model.predict(X, return_std=True))
    assert again.training["input_ranges"] == model.training["input_ranges"]


def test_data_in_files_have_the_ranges_of_their_columns(data, tmp_path):
    rows = data.counted().select(INPUTS, OUTPUTS).to_frame()
    rows[rows.columns[::-1]].to_csv(tmp_path / "data.csv", index=False)
    files = open_files(tmp_path / "data.csv", INPUTS, OUTPUTS)
    model = swarmnet.fit(files, trainer="lbfgs", iterations=3, **SETTINGS)
    for name in INPUTS:
        assert model.training["input_ranges"][name] == [rows[name].min(), rows[name].max()]


# Tables


def test_a_table_and_queries_of_data_frames(model, X, answers, run):
    Y, J, H = answers
    frame = pd.DataFrame(X, columns=INPUTS)
    frame.insert(1, "note", "abc")
    shuffled = frame[["aa", "note", "w", "b"]]
    for answer, right in zip((model.predict, model.jacobian, model.hessian), answers, strict=True):
        np.testing.assert_allclose(answer(shuffled), right, rtol=1e-7, atol=1e-12)
    expected = {name: X[:, j] for j, name in enumerate(INPUTS)} | own_columns(Y, J)
    for o, out in enumerate(OUTPUTS):
        for j, first in enumerate(INPUTS):
            for m, second in enumerate(INPUTS[j:], j):
                by = f"d{first}2" if j == m else f"d{first}d{second}"
                expected[f"d2{out}/{by}"] = H[:, o, j, m]
    model.save("model.json")
    shuffled.to_csv("query.csv", index=False)
    told = run("predict", "model.json", "query.csv", "--jacobian", "--hessian", "--std", "-o", "answers.csv")
    assert told == ""
    std = own_columns(*(answer(X, return_std=True)[1] for answer in (model.predict, model.jacobian)))
    expected |= {f"sigma({name})": numbers for name, numbers in std.items()}
    for table in (model.table(shuffled, True, True, True), pd.read_csv("answers.csv")):
        assert set(table.columns) == set(expected)
        for name, numbers in expected.items():
            np.testing.assert_allclose(table[name], numbers, rtol=1e-7, atol=1e-12, err_msg=name)


def test_errors(model, own, data, run):
    right = own_errors(own, data)
    for given in (data, by_name(data)):
        found = swarmnet.evaluate(model, given).set_index("column")
        assert list(found.index) == COLUMNS
        for name in COLUMNS:
            np.testing.assert_allclose(found.loc[name], right[name], rtol=1e-8, err_msg=name)
    model.save("model.json")
    plain = replace(data, weights=None)
    plain.to_frame().iloc[:, ::-1].to_csv("data.csv", index=False)
    errors = json.loads(run("evaluate", "model.json", "data.csv", "--json"))["errors"]
    right = own_errors(own, plain)
    for told in errors:
        np.testing.assert_allclose(list(told.values())[1:], right[told["column"]], rtol=1e-8)


def test_an_inspection_of_the_data(data, run):
    counts = data.weights > 0
    numbers = dict(zip(INPUTS, data.X[counts].T, strict=True)) | own_columns(data.Y[counts], data.J[counts])
    sigmas = own_columns(data.Y_sigma[counts], data.J_sigma[counts])
    columns = inspect_data(data).columns.set_index("column")
    assert list(columns.index) == [*INPUTS, *COLUMNS]
    for name, column in numbers.items():
        seen = column[np.isfinite(column)]
        right = [len(seen), len(seen) / counts.sum(), seen.min(), seen.max(), seen.mean()]
        np.testing.assert_allclose(columns.loc[name].iloc[1:6].astype(float), right, err_msg=name)
        known = sigmas[name][np.isfinite(sigmas[name])] if name in sigmas else []
        if len(known):
            np.testing.assert_allclose(columns.loc[name].iloc[6:].astype(float), [known.min(), known.max()])
    data.counted().to_frame().iloc[:, ::-1].to_csv("data.csv", index=False)
    told = json.loads(run("inspect", "data.csv", "--inputs", "w,b,aa", "--outputs", "z,c", "--json"))
    assert {row["column"]: row["min"] for row in told["columns"]} == pytest.approx(columns["min"].to_dict())


def test_an_inspection_of_the_model(model, data, run):
    model.save("model.json")
    told = json.loads(run("inspect", "model.json", "--json"))
    assert (told["inputs"], told["outputs"]) == (list(INPUTS), list(OUTPUTS))
    assert told["training"]["input_ranges"] == model.training["input_ranges"]
    text = run("inspect", "model.json")
    for name, at in zip(INPUTS, data.X[data.weights > 0].T, strict=True):
        low, high = map(float, re.search(rf"\b{name} (-?[\d.]+)\.\.(-?[\d.]+)", text).groups())
        assert (low, high) == pytest.approx((at.min(), at.max()), rel=1e-4)


def test_train_on_the_command_line(data, X, run, tmp_path):
    plain = replace(data, weights=None)
    plain.to_frame().iloc[:, ::-1].to_csv("data.csv", index=False)
    options = (
        "--inputs",
        "w,b,aa",
        "--outputs",
        "z,c",
        "--hidden",
        4,
        "--trainer",
        "lbfgs",
        "--iterations",
        40,
    )
    told = json.loads(
        run("train", "data.csv", "-o", "model.json", *options, "--test-fraction", 0.2, "--json")
    )
    own = Own(json.loads(Path("model.json").read_text()))
    kept, held_out = swarmnet.data.splitting.split(plain, 0.2, 0)
    right = own_errors(own, held_out)
    assert [row["column"] for row in told["errors"]] == list(right)
    for row in told["errors"]:
        np.testing.assert_allclose(list(row.values())[1:], right[row["column"]], rtol=1e-8)
    ranges = own.document["training"]["input_ranges"]
    for name, column in zip(INPUTS, kept.X.T, strict=True):
        assert ranges[name] == [column.min(), column.max()]


def test_compare(data, tmp_path):
    test = measured(20, seed=5)
    found = swarmnet.compare(data, ("lbfgs", "adam"), 2, evaluations=30, test=by_name(test), hidden=(3,))
    for (trainer, repeat), one in found.models.items():
        own = Own.of(one, tmp_path / "model.json")
        assert list(one.training["input_ranges"]) == list(INPUTS)
        (run,) = found.runs[(found.runs["trainer"] == trainer) & (found.runs["repeat"] == repeat)].to_dict(
            "records"
        )
        for name, (_, rmse, *_) in own_errors(own, test).items():
            assert run[f"rmse({name})"] == pytest.approx(rmse, rel=1e-8)
        curve = found.curves[(found.curves["trainer"] == trainer) & (found.curves["repeat"] == repeat)]
        assert run["loss"] == pytest.approx(curve["loss"].min())
        assert run["evaluations"] == curve["evaluations"].max()
    for trainer, row in found.table.iterrows():
        runs = found.runs[found.runs["trainer"] == trainer]
        for name in COLUMNS:
            if f"rmse({name})" in runs:
                q1, median, q3 = np.quantile(runs[f"rmse({name})"].astype(float), [0.25, 0.5, 0.75])
                columns = [f"rmse({name})", f"rmse({name}) q1", f"rmse({name}) q3"]
                np.testing.assert_allclose(row[columns].astype(float), [median, q1, q3])


# scikit-learn


def test_the_estimator(data, X, tmp_path):
    counted = data.counted()
    frame = pd.DataFrame(counted.X, columns=INPUTS)
    y = pd.DataFrame(counted.Y, columns=OUTPUTS)
    dydx = pd.DataFrame(own_columns(counted.Y, counted.J))[[name for name in COLUMNS[::-1] if "/" in name]]
    net = swarmnet.SwarmNetRegressor(hidden=(4,), trainer="lm", iterations=60)
    net.fit(frame, y, dydx, sample_weight=counted.weights)
    own = Own.of(net.model_, tmp_path / "model.json")
    assert (list(net.feature_names_in_), net.n_features_in_) == (list(INPUTS), 3)
    assert net.n_iter_ == net.model_.history["iteration"].iloc[-1]
    assert net.model_.training["input_ranges"] == {
        name: [frame[name].min(), frame[name].max()] for name in INPUTS
    }
    for answer, right in zip((net.predict, net.jacobian, net.hessian), own.answers(X), strict=True):
        np.testing.assert_allclose(answer(pd.DataFrame(X, columns=INPUTS)), right, rtol=1e-7, atol=1e-12)
    bare = replace(counted, Y_sigma=None, J_sigma=None)
    scores = {name: r2 for name, (*_, r2) in own_errors(own, bare).items()}
    assert net.score(frame, y, dydx, counted.weights) == pytest.approx(np.mean(list(scores.values())))
    assert min(scores["z"], scores["c"]) > 0.99


# Exports


def test_the_python_module(model, X, answers):
    module = {}
    exec(compile(model.to_python(), "exported", "exec"), module)
    assert (module["INPUTS"], module["OUTPUTS"]) == (list(INPUTS), list(OUTPUTS))
    for answer, right in zip((module["predict"], module["jacobian"]), answers, strict=False):
        np.testing.assert_allclose([answer(x) for x in X.tolist()], right, rtol=1e-9)


@pytest.mark.skipif(not all(map(find_spec, ("onnx", "onnxruntime"))), reason="needs onnx and onnxruntime")
def test_the_onnx_graph(model, data, X, answers, tmp_path):
    import onnx
    import onnxruntime

    model.to_onnx(tmp_path / "model.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(facts["inputs"]) == list(INPUTS)
    assert json.loads(facts["outputs"]) == list(OUTPUTS)
    assert json.loads(facts["jacobian"]) == [COLUMNS[1:4], COLUMNS[5:]]
    seen = data.X[data.weights > 0]
    assert json.loads(facts["input_ranges"]) == {
        name: [seen[:, j].min(), seen[:, j].max()] for j, name in enumerate(INPUTS)
    }
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for found, right in zip(session.run(["values", "jacobian"], {"X": X}), answers, strict=False):
        np.testing.assert_allclose(found, right, rtol=1e-9)


# explain


@pytest.mark.parametrize("row", [1, 2, 13])
def test_an_explanation(data, row, tmp_path):
    model = swarmnet.fit(data, **LOSS, **SETTINGS)
    own = Own.of(model, tmp_path / "model.json")
    steps = swarmnet.explain(model, by_name(data), row=row)
    x, x_scales = data.X[[row]], own.scales
    Y, J, _ = own.answers(x)
    np.testing.assert_allclose(steps["x"][list(INPUTS)].to_numpy(), x)
    np.testing.assert_allclose(steps["A0"][list(INPUTS)].to_numpy(), (x - x_scales[0]) / x_scales[1])
    np.testing.assert_allclose(steps["y"][list(OUTPUTS)].to_numpy(), Y, rtol=1e-9)
    targets, entries = steps["targets"]["target"], steps["entries"]
    observed = {n: c[0] for n, c in own_columns(data.Y[[row]], data.J[[row]]).items() if np.isfinite(c[0])}
    assert targets.to_dict() == observed
    assert list(entries.index) == list(observed)
    for name in observed:
        if "/" in name:
            out, into = name.split("/")
            found = steps["dy/dx"].loc[f"along {into[1:]}", out[1:]]
            assert found == pytest.approx(own_columns(Y, J)[name][0], rel=1e-9)
    alone = replace(data.take([row]), weights=None)
    assert steps.loss == pytest.approx(own_loss(own, alone, data), rel=1e-8)


# Pictures


def circles(ax):
    (line,) = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    return np.array(line.get_data())


needs_matplotlib = pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")


@needs_matplotlib
@pytest.mark.parametrize("column", COLUMNS)
def test_pictures_of_errors(model, own, data, column):
    from swarmnet import plots

    target = own_columns(data.Y, data.J)[column]
    seen = np.isfinite(target) & (data.weights > 0)
    answer = own_columns(*own.answers(data.X)[:2])[column][seen]
    given = by_name(data)
    np.testing.assert_allclose(circles(plots.parity(model, given, column)), [answer, target[seen]], rtol=1e-9)
    for j, name in enumerate(INPUTS):
        x, residual = circles(plots.residuals(model, given, column, name, standardised=False))
        np.testing.assert_allclose(x, data.X[seen, j])
        np.testing.assert_allclose(residual, answer - target[seen], atol=1e-9 * np.abs(answer).max())


@needs_matplotlib
@pytest.mark.parametrize("column", ["z", "dc/db"])
@pytest.mark.parametrize("along", INPUTS)
def test_a_profile(model, own, data, column, along):
    from swarmnet import plots

    j = INPUTS.index(along)
    low, high = data.X[data.weights > 0].min(0), data.X[data.weights > 0].max(0)
    middle = low / 2 + high / 2
    ax = plots.profile(model, column, along, data=by_name(data), nearness=0.3)
    (curve,) = [line for line in ax.lines if line.get_label() == "model"]
    x, y = curve.get_data()
    assert (x[0], x[-1]) == pytest.approx((low[j], high[j]))
    line = np.tile(middle, (len(x), 1))
    line[:, j] = x
    np.testing.assert_allclose(y, own_columns(*own.answers(line)[:2])[column], rtol=1e-9)
    title = dict(part.split(" = ") for part in ax.get_title().replace("\n", " ").split(" at ")[1].split(", "))
    assert {name: float(text) for name, text in title.items()} == pytest.approx(
        {name: middle[i] for i, name in enumerate(INPUTS) if i != j}, rel=1e-3
    )
    target = own_columns(data.Y, data.J)[column]
    near = np.delete(np.abs(data.X - middle) <= 0.3 * (high - low), j, axis=1).all(1)
    seen = near & np.isfinite(target) & (data.weights > 0)
    assert seen.any()
    in_slice = np.tile(middle, (seen.sum(), 1))
    in_slice[:, j] = data.X[seen, j]
    there, here = (own_columns(*own.answers(at)[:2])[column] for at in (data.X[seen], in_slice))
    np.testing.assert_allclose(circles(ax), [data.X[seen, j], target[seen] + here - there], rtol=1e-9)


@needs_matplotlib
def test_a_contour_and_a_flow(model, own, data):
    from matplotlib.quiver import Quiver

    from swarmnet import plots

    low, high = data.X[data.weights > 0].min(0), data.X[data.weights > 0].max(0)
    ax = plots.contour(model, "c", "aa", "w")
    assert ax.get_xlim() == pytest.approx((low[2], high[2])) and ax.get_ylim() == pytest.approx(
        (low[0], high[0])
    )
    (arrows,) = [artist for artist in ax.get_children() if isinstance(artist, Quiver)]
    X = np.column_stack([arrows.Y.ravel(), np.full(arrows.X.size, (low + high)[1] / 2), arrows.X.ravel()])
    J = own.answers(X)[1]
    np.testing.assert_allclose(arrows.U, J[:, 1, 2] * (high - low)[2], rtol=1e-9)
    np.testing.assert_allclose(arrows.V, J[:, 1, 0] * (high - low)[0], rtol=1e-9)
    flow = plots.derivative_flow(model, "dz/dw", at={"b": 1300.0, "w": 0.25, "aa": -0.045})
    total = own.answers(np.array([[0.25, 1300.0, -0.045]]))[1][0, 0, 0]
    texts = " ".join(text.get_text() for text in flow.texts) + flow.get_title()
    assert f"dz/dw = {total:.4g}" in texts


# The report


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f8")


@pytest.mark.skipif(not all(map(find_spec, ("jinja2", "matplotlib"))), reason="needs the report's packages")
def test_the_report(model, own, data, tmp_path):
    model.report(tmp_path / "report.html", by_name(data))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    content = json.loads(re.search(r'id="content">(.*?)</script>', page, re.DOTALL)[1])
    counts = data.weights > 0
    assert (content["inputs"], [q["name"] for q in content["quantities"]]) == (list(INPUTS), COLUMNS)
    for j, q in enumerate(content["quantities"]):
        assert (q["o"], q["j"]) == (j // 4, None if j % 4 == 0 else j % 4 - 1)
    assert content["ranges"] == [[at.min(), at.max()] for at in data.X[counts].T]
    (record,) = content["models"]
    assert record["sizes"] == own.document["sizes"]
    np.testing.assert_array_equal(decoded(record["theta"]), own.document["theta"])
    assert record["scaling"] == own.document["scaling"]
    np.testing.assert_array_equal(content["observed"]["X"], data.X[counts])
    answers = own_columns(*own.answers(data.X)[:2])
    errors = {column["name"]: column for column in content["errors"]}
    for name, target in own_columns(data.Y, data.J).items():
        shown = np.array(content["observed"]["columns"][name], float)
        np.testing.assert_array_equal(shown, target[counts])
        rows = np.flatnonzero(counts & np.isfinite(target))
        assert errors[name]["rows"] == rows.tolist()
        np.testing.assert_array_equal(errors[name]["actual"], target[rows])
        np.testing.assert_allclose(errors[name]["predicted"][0], answers[name][rows], rtol=1e-9)
    text = unescape(re.sub(r"<[^>]*>", " ", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)))
    words = " ".join(text.split())
    held = f"{counts.sum()} rows: {np.isfinite(data.Y[counts]).sum()} values"
    assert held in words and f"on {counts.sum()} rows" in words
    for name, (entries, rmse, largest, r2) in own_errors(own, data).items():
        row = re.search(rf" {re.escape(name)} {entries} (\S+) (\S+) (\S+) ", words)
        np.testing.assert_allclose([float(n) for n in row.groups()], [rmse, largest, 1 - r2], rtol=6e-4)
    told = re.search(r"input ranges (.*?) (?=[a-z]+ [a-z]|scaling)", words)[1]
    for name, at in zip(INPUTS, data.X[counts].T, strict=True):
        low, high = map(float, re.search(rf"\b{name} (\S+) to ([^\s,]+)", told).groups())
        assert (low, high) == pytest.approx((at.min(), at.max()), rel=1e-3)
