"""Queries in the data's units, and files that say what is wrong with them."""

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from swarmnet import Activation, FittedModel, MixedData, Network, SwarmnetError, fit, load
from swarmnet.model.error_bars import OtherFit, pack
from swarmnet.model.reordering import reordered
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(280, 450, 30), rng.uniform(1e6, 1e8, 30)])
    data = MixedData(X, Y=4000 * X[:, 0] + 1e-3 * X[:, 1], inputs=("T", "p"), outputs=("h",))
    return fit(data, hidden=(5,), trainer="lbfgs", iterations=30)


POINTS = np.array([[300.0, 2e6], [400.0, 5e7], [299.5, 9e7]])


def test_derivatives_are_those_of_predict_in_the_datas_units(model):
    J, H = model.jacobian(POINTS), model.hessian(POINTS)
    assert (J.shape, H.shape) == ((3, 1, 2), (3, 1, 2, 2))
    for j, step in enumerate([0.05, 5e4]):
        e = np.zeros(2)
        e[j] = step
        slope = (model.predict(POINTS + e) - model.predict(POINTS - e)) / (2 * step)
        np.testing.assert_allclose(J[:, :, j], slope, rtol=1e-5)
        bend = (model.jacobian(POINTS + e) - model.jacobian(POINTS - e)) / (2 * step)
        np.testing.assert_allclose(H[..., j], bend, rtol=1e-4, atol=np.abs(H[..., j]).max() * 1e-6)


def test_frames_are_matched_by_name(model):
    frame = pd.DataFrame({"note": ["a", "b", "c"], "p": POINTS[:, 1], "T": POINTS[:, 0]})
    np.testing.assert_array_equal(model.predict(frame), model.predict(POINTS))
    np.testing.assert_array_equal(model.jacobian(frame), model.jacobian(POINTS))
    with pytest.raises(SwarmnetError, match="no column p"):
        model.predict(frame.drop(columns="p"))


def test_the_table_names_its_columns(model):
    table = model.table(POINTS, jacobian=True, hessian=True)
    assert list(table) == ["T", "p", "h", "dh/dT", "dh/dp", "d2h/dT2", "d2h/dTdp", "d2h/dp2"]
    np.testing.assert_array_equal(table["dh/dp"], model.jacobian(POINTS)[:, 0, 1])
    np.testing.assert_array_equal(table["d2h/dTdp"], model.hessian(POINTS)[:, 0, 0, 1])


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((2, 3)),
        [[1.0, np.nan]],
        [[np.inf, 1.0]],
        [["a", "b"]],
        np.zeros(2),
        np.ma.array([[1.0, 2.0]], mask=[[True, False]]),
        np.array([[1.0 + 2.0j, 1.0]]),
        np.array([["2020-01-01", "2020-01-02"]], "datetime64[D]"),
        [[10**400, 1]],
    ],
    ids=str,
)
def test_bad_queries_are_refused(model, X):
    with pytest.raises(SwarmnetError, match=r"^X "):
        model.predict(X)


def test_save_and_load_are_bit_exact(model, tmp_path):
    path = tmp_path / "m.json"
    model.save(path)
    again = load(path)
    assert np.array_equal(again.theta, model.theta)
    assert np.array_equal(again.hessian(POINTS), model.hessian(POINTS))
    assert (again.inputs, again.outputs, again.training) == (model.inputs, model.outputs, model.training)
    pd.testing.assert_frame_equal(again.history, model.history)
    again.save(tmp_path / "n.json")
    assert path.read_bytes() == (tmp_path / "n.json").read_bytes()


@pytest.fixture
def with_trend():
    """A model of two inputs and two outputs with a trend, and another fit with a different one."""
    rng = np.random.default_rng(3)
    nets = [
        Network((2, *hidden, 2), trend=Trend.of_degree(degree, [-1, -3], [2, 1], least))
        for hidden, degree, least in (((3,), 2, 1), ((), 4, 2))
    ]
    theta, other = (net.init(rng) for net in nets)
    return FittedModel(
        nets[0],
        theta,
        Scaling(np.array([1.0, 2.0]), np.array([0.5, 3.0]), np.zeros(2), np.array([2.0, 5.0])),
        ("T", "p"),
        ("z", "h"),
        spread=pack(np.tril(rng.normal(size=(nets[0].size, nets[0].size)))),
        others=(OtherFit(nets[1], other, 0.5),),
    )


def test_a_trend_is_saved_bit_for_bit(with_trend, tmp_path):
    path = tmp_path / "m.json"
    with_trend.save(path)
    again = load(path)
    assert json.loads(path.read_text())["version"] == 3
    for found, right in zip(
        (*again.predict(POINTS, return_std=True), *again.jacobian(POINTS, return_std=True)),
        (*with_trend.predict(POINTS, return_std=True), *with_trend.jacobian(POINTS, return_std=True)),
        strict=True,
    ):
        assert np.array_equal(found, right)
    assert np.array_equal(again.hessian(POINTS), with_trend.hessian(POINTS))
    again.save(tmp_path / "n.json")
    assert path.read_bytes() == (tmp_path / "n.json").read_bytes()


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_is_of_version_3_if_any_of_its_networks_has_a_trend(with_trend, number, tmp_path):
    plain = Network((2, 2))
    fits = [(with_trend.net, with_trend.theta), (plain, np.arange(6.0))]
    (net, theta), (other, weights) = fits[number], fits[1 - number]
    model = replace(with_trend, net=net, theta=theta, spread=None, others=(OtherFit(other, weights, 0.5),))
    model.save(tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_text())
    records = [document, *document["others"]]
    assert document["version"] == 3
    assert ["trend" in record for record in records] == [number == 0, number == 1]
    again = load(tmp_path / "m.json")
    assert np.array_equal(again.hessian(POINTS), model.hessian(POINTS))
    replace(model, net=plain, theta=np.arange(6.0), others=()).save(tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_text())
    assert document["version"] == 2 and "trend" not in document


def test_a_trend_follows_the_order_of_inputs_and_outputs(with_trend):
    turned = reordered(with_trend, ("p", "T"), ("h", "z"))
    for ask in ("predict", "jacobian"):
        found, right = (
            getattr(model, ask)(X, return_std=True)
            for model, X in ((turned, POINTS[:, ::-1]), (with_trend, POINTS))
        )
        for a, b in zip(found, right, strict=True):
            back = a[:, ::-1] if ask == "predict" else a[:, ::-1, ::-1]
            np.testing.assert_allclose(back, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda t: t | {"powers": t["powers"][:-1]}, "do not fit its layer sizes"),
        (lambda t: t | {"powers": [[1, 0.5], *t["powers"][1:]]}, "not whole numbers"),
        (lambda t: t | {"powers": [[1, 2**40], *t["powers"][1:]]}, "must be whole numbers"),
        (lambda t: t | {"powers": [[1], [2]]}, "damaged model"),
        (lambda t: t | {"powers": "many"}, "damaged model"),
        (lambda t: t | {"half": [0.0, 1.0]}, "positive and finite"),
        (lambda t: t | {"centre": [0.0]}, "damaged model"),
        (lambda t: {}, "it has no 'powers'"),
        (lambda t: 5, "damaged model"),
    ],
)
def test_a_damaged_trend_is_refused_in_one_line(with_trend, tmp_path, damage, words):
    path = tmp_path / "m.json"
    with_trend.save(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"trend": damage(document["trend"])}))
    with pytest.raises(SwarmnetError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: damaged model: ") and "\n" not in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", TABLE)
def test_every_activation_can_be_saved(name, tmp_path):
    net = Network((2, 3, 1), [name, "linear"])
    theta = net.init(np.random.default_rng(0))
    saved = FittedModel(net, theta, Scaling.identity(2, 1), ("a", "b"), ("y",))
    saved.save(tmp_path / "m.json")
    assert np.array_equal(load(tmp_path / "m.json").predict(POINTS), saved.predict(POINTS))


def test_a_model_can_be_pickled(model):
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(POINTS), model.predict(POINTS))


def test_an_activation_of_ones_own_cannot_be_saved(tmp_path):
    tanh = TABLE["tanh"]
    net = Network((1, 2, 1), Activation("mine", tanh.value, tanh.slope, tanh.curvature))
    mine = FittedModel(net, np.zeros(net.size), Scaling.identity(1, 1), ("x",), ("y",))
    with pytest.raises(SwarmnetError, match="'mine' cannot be saved"):
        mine.save(tmp_path / "m.json")
    assert os.listdir(tmp_path) == []


def damaged(document, **changes):
    return json.dumps(document | changes)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda d: json.dumps(d)[:200], "cut short"),
        (lambda d: "", "not valid JSON"),
        (lambda d: "[1, 2]", "not a swarmnet model"),
        (lambda d: "[" * 100_000, "not valid JSON"),
        (lambda d: damaged(d, format="other"), "not a swarmnet model"),
        (lambda d: damaged(d, version=4), "version 4, this swarmnet reads up to 3"),
        (lambda d: damaged(d, theta=d["theta"][:-1]), "do not fit its layer sizes"),
        (lambda d: damaged(d, theta=[None] * len(d["theta"])), "missing or infinite"),
        (lambda d: damaged(d, theta=["a"] * len(d["theta"])), "damaged model"),
        (lambda d: damaged(d, sizes=[10**12, 10**12, 1]), "do not fit its layer sizes"),
        (lambda d: damaged(d, sizes=[2, 5.5, 1]), "whole numbers"),
        (lambda d: damaged(d, activations=["tahn", "linear"]), "did you mean 'tanh'"),
        (lambda d: damaged(d, inputs=["T"]), "do not fit together"),
        (lambda d: damaged(d, training=[1]), "training record"),
        (lambda d: damaged(d, scaling={}), "damaged model"),
        (lambda d: damaged(d, scaling=d["scaling"] | {"x_scale": [0.0, 1.0]}), "not positive"),
        (lambda d: damaged(d, scaling=d["scaling"] | {"y_offset": [None]}), "missing a number"),
    ],
)
def test_damaged_files_are_refused_in_one_line(model, tmp_path, damage, words):
    path = tmp_path / "m.json"
    model.save(path)
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(SwarmnetError) as caught:
        load(path)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "m.json").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(SwarmnetError, match="not a text file"):
        load(tmp_path / "m.json")
    with pytest.raises(SwarmnetError, match="No such file"):
        load(tmp_path / "other.json")
    with pytest.raises(SwarmnetError, match="Is a directory"):
        load(tmp_path)


def test_a_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = tmp_path / "m.json"
    path.write_text("old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SwarmnetError, match="cannot write: No space left on device"):
        model.save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["m.json"]


def test_nothing_of_a_model_changes_with_its_use(model):
    theta = model.theta.copy()
    model.table(POINTS, True, True)
    assert np.array_equal(theta, model.theta)
    assert replace(model, outputs=("g",)).outputs == ("g",)
