"""Models of logarithms: data, answers, derivatives, formulas and error bars follow the chain rule."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import (
    FittedModel,
    MixedData,
    Network,
    SwarmnetError,
    SwarmNetRegressor,
    compare,
    evaluate,
    fit,
    load,
)
from swarmnet.cli import commands
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.readers import open_files
from swarmnet.fitting.free_outputs import with_pinned_outputs
from swarmnet.model.error_bars import OtherFit
from swarmnet.model.reordering import reordered
from swarmnet.scaling import Scaling

INPUTS, OUTPUTS = ("T", "p"), ("z", "a")
X = np.array([[0.3, 2e-3], [-0.7, 50.0], [0.9, 4e3]])
QUICK = {"hidden": (3,), "trainer": "lm", "iterations": 40, "degree": 0}


def model_of(bars: bool = True) -> FittedModel:
    """ln z and a of T and ln p, with random weights."""
    rng = np.random.default_rng(3)
    net = Network((2, 4, 2))
    theta = net.init(rng)
    scaling = Scaling(
        np.array([0.1, 1.5]),
        np.array([0.5, 4.0]),
        np.array([-2.0, 30.0]),
        np.array([3.0, 20.0]),
        Logarithms((False, True), (True, False)),
    )
    spread = 1e-3 * rng.normal(size=net.size * (net.size + 1) // 2) if bars else None
    others = (OtherFit(net, theta + 1e-3 * rng.normal(size=net.size), 0.7),) if bars else ()
    return FittedModel(net, theta, scaling, INPUTS, OUTPUTS, spread=spread, others=others)


def values(model, x, theta=None):
    """z and a at points of any dtype, written out: no code of `Logarithms`."""
    units = model.scaling
    (W, b), (V, c) = model.net.unflatten(model.theta if theta is None else theta)
    inner = (np.stack([x[:, 0], np.log(x[:, 1])], 1) - units.x_offset) / units.x_scale
    outer = (np.tanh(inner @ W + b) @ V + c) * units.y_scale + units.y_offset
    return np.stack([np.exp(outer[:, 0]), outer[:, 1]], 1)


def partials(model, x, theta=None):
    """(n, k, d) by complex steps."""
    step = 1e-30j * np.eye(2)
    return np.stack([values(model, x + step[j], theta).imag / 1e-30 for j in range(2)], -1)


def bends(model, x):
    """(n, k, d, d) by central differences of complex steps."""
    sizes = 1e-6 * np.abs(x)
    both = [[partials(model, x + sign * sizes * np.eye(2)[j]) for sign in (1, -1)] for j in range(2)]
    return np.stack([(up - down) / (2 * sizes[:, j, None, None]) for j, (up, down) in enumerate(both)], -1)


def test_answers_follow_the_chain_rule():
    model = model_of()
    np.testing.assert_allclose(model.predict(X), values(model, X), rtol=1e-13)
    np.testing.assert_allclose(model.jacobian(X), partials(model, X), rtol=1e-12)
    np.testing.assert_allclose(model.hessian(X), bends(model, X), rtol=1e-7)
    assert (model.predict(X)[:, 0] > 0).all()


def test_quantities_are_formulas_of_the_numbers_themselves():
    model = model_of()
    Y, J, H = values(model, X), partials(model, X), bends(model, X)
    known = {
        "z*p": Y[:, 0] * X[:, 1],
        "dz/dp": J[:, 0, 1],
        "-(dz/dp)/(dz/dT) + da/dp": -J[:, 0, 1] / J[:, 0, 0] + J[:, 1, 1],
        "d2z/dp2": H[:, 0, 1, 1],
        "d2z/dTdp + d2z/dT2": H[:, 0, 0, 1] + H[:, 0, 0, 0],
        "d2a/dp2": H[:, 1, 1, 1],
        "log(p)*d2a/dTdp": np.log(X[:, 1]) * H[:, 1, 0, 1],
    }
    for formula, right in known.items():
        np.testing.assert_allclose(model.quantity(formula, X), right, rtol=1e-6, err_msg=formula)


def test_error_bars_are_those_of_the_numbers_themselves():
    """|C g| of numerical gradients g with respect to theta, without and with other fits."""
    model = model_of()
    C = np.zeros((model.net.size,) * 2)
    C[np.tril_indices(model.net.size)] = model.spread
    step = 1e-6 * np.eye(model.net.size)
    for query, own in ((values, model.predict), (partials, model.jacobian)):
        change = [query(model, X, model.theta + s) - query(model, X, model.theta - s) for s in step]
        g = np.array(change) / 2e-6
        alone = np.linalg.norm(np.tensordot(C, g, 1), axis=0)
        bare = replace(model, others=())
        answer = bare.predict if query is values else bare.jacobian
        np.testing.assert_allclose(answer(X, return_std=True)[1], alone, rtol=1e-6)
        apart = query(model, X, model.others[0].theta) - query(model, X)
        wide = np.sqrt(alone**2 + 0.7 / 1.7 * apart**2)
        np.testing.assert_allclose(own(X, return_std=True)[1], wide, rtol=2e-2)
    z, std = model.quantity("1/z", X, return_std=True)
    np.testing.assert_allclose(std / z, np.divide(*model.predict(X, return_std=True)[::-1])[:, 0], rtol=2e-2)


def test_the_data_of_the_network_tell_the_same():
    """A model fits the transformed numbers exactly if it fits the data exactly."""
    model = model_of()
    Y, J = values(model, X), partials(model, X)
    Y[1] = np.nan
    sigmas = {"Y_sigma": 0.01 * Y, "J_sigma": np.abs(J)}
    frame = MixedData(X, Y, J, inputs=INPUTS, outputs=OUTPUTS).to_frame()
    frame["c"] = model.quantity("d2z/dp2*p/T", X)
    named = MixedData.from_frame(frame, INPUTS, OUTPUTS, define={"c": "d2z/dp2*p/T"})
    data = model.scaling.logs.rows(replace(named, **sigmas))
    inner = replace(model, scaling=replace(model.scaling, logs=None))
    logs = np.stack([X[:, 0], np.log(X[:, 1])], 1)
    np.testing.assert_allclose(data.X, logs)
    seen = ~np.isnan(data.Y)
    np.testing.assert_allclose(data.Y[seen], inner.predict(logs)[seen], rtol=1e-12)
    seen = ~np.isnan(data.J)
    assert seen[:, 0].all(1).tolist() == [True, False, True] and seen[:, 1].all()
    np.testing.assert_allclose(data.J[seen], inner.jacobian(logs)[seen], rtol=1e-12)
    for quantity, column, rows in zip(data.quantities, data.Q.T, ([0, 1, 2], [1], [1]), strict=True):
        assert np.flatnonzero(~np.isnan(column)).tolist() == rows
        np.testing.assert_allclose(inner.quantity(quantity, logs[rows]), column[rows], rtol=1e-10)
    assert [quantity.name for quantity in data.quantities] == ["c", "dz/dT", "dz/dp"]
    np.testing.assert_allclose(data.Y_sigma[[0, 2]], [[0.01, 0.01 * a] for a in Y[[0, 2], 1]])
    np.testing.assert_allclose(data.J_sigma[[0, 2], 0], np.abs(data.J[[0, 2], 0]) * np.hypot(1, 0.01))
    np.testing.assert_allclose(data.J_sigma[:, 1], np.abs(data.J[:, 1]))
    np.testing.assert_allclose(data.Q_sigma[1, 1:], np.abs(J[1, 0]))


def power_law(n: int = 14, seed: int = 0) -> MixedData:
    """z = p^1.5 exp(T) over ten decades, and a = T ln p; every second row has slopes, some no values."""
    rng = np.random.default_rng(seed)
    T, p = rng.uniform(-1, 1, n), 10.0 ** rng.uniform(-4, 3, n)
    z, a = p**1.5 * np.exp(T), 2 * T + np.log(p)
    J = np.stack([[z, 1.5 * z / p], [2 * np.ones(n), 1 / p]]).transpose(2, 0, 1)
    J[::2] = np.nan
    Y = np.stack([z, a], 1)
    Y[1::4] = np.nan
    return MixedData(np.stack([T, p], 1), Y, J, inputs=INPUTS, outputs=OUTPUTS)


def test_a_power_law_is_linear_in_logarithms():
    test = power_law(40, 1)
    model = fit(power_law(), hidden=(), trainer="lm", iterations=150, log=("p", "z"))
    complete = ~np.isnan(test.Y)
    np.testing.assert_allclose(model.predict(test.X)[complete], test.Y[complete], rtol=1e-6)
    seen = ~np.isnan(test.J)
    np.testing.assert_allclose(model.jacobian(test.X)[seen], test.J[seen], rtol=1e-6)
    assert (evaluate(model, test)["r2"].dropna() > 0.999999).all()
    assert model.training["log"] == ["p", "z"]
    low, high = model.training["input_ranges"]["p"]
    assert (low, high) == (power_law().X[:, 1].min(), power_law().X[:, 1].max())
    assert set(model.training["noise"]) >= {"log(z)", "a", "dlog(z)/dlog(p)", "da/dlog(p)"}


def test_a_model_file_keeps_the_logarithms(tmp_path):
    model = model_of()
    model.save(tmp_path / "model.json")
    np.testing.assert_array_equal(load(tmp_path / "model.json").jacobian(X), model.jacobian(X))
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["version"] == 3  # 0.1 would read a file of version 2
    assert document["scaling"]["log"] == {"inputs": [False, True], "outputs": [True, False]}
    for inputs, outputs in (([1, 0], [True, False]), ([True], []), (None, None)):
        bad = {"inputs": inputs, "outputs": outputs}
        document["scaling"]["log"] = bad
        (tmp_path / "bad.json").write_text(json.dumps(document))
        with pytest.raises(SwarmnetError, match="damaged model"):
            load(tmp_path / "bad.json")
    replace(model, scaling=replace(model.scaling, logs=None)).save(tmp_path / "plain.json")
    assert "log" not in json.loads((tmp_path / "plain.json").read_text())["scaling"]


def test_names_may_be_in_another_order():
    model = model_of()
    other = reordered(model, INPUTS[::-1], OUTPUTS[::-1])
    for query in ("predict", "jacobian"):
        own = getattr(model, query)(X, return_std=True)
        theirs = getattr(other, query)(X[:, ::-1], return_std=True)
        for right, found in zip(own, theirs, strict=True):
            found = found[:, ::-1] if found.ndim == 2 else found[:, ::-1, ::-1]
            np.testing.assert_allclose(found, right, rtol=1e-10)


def test_an_output_without_values_is_pinned_beside_logarithms():
    model = with_pinned_outputs(model_of(), ["a"], {"T": 0.2, "p": 30.0})
    values, std = model.predict([[0.2, 30.0]], return_std=True)
    assert abs(values[0, 1]) < 1e-12 and std[0, 1] < 1e-12 < values[0, 0]


def test_the_centre_of_pinned_outputs_is_in_the_units_of_the_data():
    data = power_law()
    data = replace(data, Y=np.where([True, False], data.Y, np.nan))
    with pytest.warns(UserWarning, match="no value of a was observed"):
        model = fit(data, log=("p", "z"), **QUICK)
    centre = model.training["zero_at"]["a"]
    assert 1e-4 < centre["p"] < 1e3
    assert abs(model.predict([[centre["T"], centre["p"]]])[0, 1]) < 1e-9


@pytest.mark.parametrize(
    ("change", "log", "message"),
    [
        ({}, "q", "unknown input or output in log 'q'"),
        ({}, ("p", "Z"), "did you mean 'z'"),
        (
            {},
            ("T",),
            r"'T' is -0.46\d+ in row 1: its logarithm does not exist: correct or remove it, or leave",
        ),
        ({"Y": 0.0}, ("z",), "'z' is 0 in row 0: its logarithm does not exist"),
        ({"Y": np.nan}, ("z",), "no value of z was observed, which its logarithm needs"),
        ({}, (3,), "log must be names"),
    ],
)
def test_what_has_no_logarithm_is_refused(change, log, message):
    data = replace(power_law(), **{name: np.full((14, 2), value) for name, value in change.items()})
    with pytest.raises(SwarmnetError, match=message):
        fit(data, log=log, **QUICK)


def test_points_without_a_logarithm_are_refused():
    for p in (0.0, -1.0):
        with pytest.raises(SwarmnetError, match=f"'p' is {p:g} in row 1: its logarithm does not exist"):
            model_of().jacobian([[0.0, 1.0], [0.0, p]])


def test_cross_entropy_takes_no_logarithms():
    with pytest.raises(SwarmnetError, match="cross-entropy takes outputs as they are"):
        fit(power_law(), log="z", loss="cross-entropy", trainer="adam")


def test_the_model_does_not_depend_on_the_order_of_rows_and_columns():
    data = power_law()
    other = data.take(np.arange(14)[::-1]).select(INPUTS[::-1], OUTPUTS[::-1])
    one, two = (fit(each, log=("z", "p"), **QUICK) for each in (data, other))
    np.testing.assert_allclose(one.predict(X), two.predict(X[:, ::-1])[:, ::-1], rtol=1e-12)


def test_rows_of_weight_0_need_no_logarithm():
    data = power_law()
    X = np.array(data.X)
    X[0, 1] = -1.0
    model = fit(replace(data, X=X, weights=np.arange(14) > 0), log=("p", "z"), **QUICK)
    assert model.training["rows"] == 13


def test_data_in_files_are_transformed_as_they_are_read(tmp_path):
    path = tmp_path / "data.csv"
    data = power_law(40)
    data.to_frame().to_csv(path, index=False)
    options = {"hidden": (), "trainer": "lbfgs", "degree": 0, "log": ("p", "z"), "l2": 0.0, "iterations": 200}
    files = open_files(path)
    held, streamed = fit(data, **options), fit(files, **options)
    np.testing.assert_allclose(streamed.predict(data.X), held.predict(data.X), rtol=1e-3)
    frame = data.to_frame()
    frame.loc[5, "p"] = 0.0
    frame.to_csv(path, index=False)
    with pytest.raises(SwarmnetError, match=r"data.csv, line 7, column 'p': 'p' is 0: its logarithm"):
        fit(open_files(path), **options)


def test_validation_data_are_transformed_too():
    rest = power_law(20, 2)
    model = fit(power_law(), log=("p", "z"), validation=rest, **QUICK)
    assert np.isfinite(model.history["validation_loss"].iloc[-1])
    assert model.history["validation_loss"].iloc[-1] < 10


def test_the_other_ways_to_fit_take_logarithms():
    data = power_law(30)
    options = {"hidden": (), "degree": 0, "log": ("p", "z")}
    found = compare(data, ["lm"], repeats=1, evaluations=300, **options)
    assert found.table["rmse(z)"].iloc[0] < 1e-3
    with pytest.raises(SwarmnetError, match="'T' is -"):
        compare(data, ["lm"], repeats=1, evaluations=30, log="T")
    values = data.take(~np.isnan(data.Y).any(1))
    net = SwarmNetRegressor(trainer="lm", hidden=(), log=("x2",)).fit(
        values.X, values.Y[:, 1], values.J[:, 1]
    )
    assert net.model_.training["log"] == ["x2"]
    np.testing.assert_allclose(net.predict(values.X), values.Y[:, 1], rtol=1e-6)


def test_the_command_takes_logarithms_and_names_the_line(tmp_path, monkeypatch, capsys):
    frame = power_law(30).to_frame()
    path, model = str(tmp_path / "data.csv"), str(tmp_path / "model.json")
    frame.to_csv(path, index=False)
    train = ["swarmnet", "train", path, "-o", model, "--hidden", "none", "--trainer", "lm", "--log", "z"]
    assert run(monkeypatch, [*train, "--log", "p"]) == 0
    assert load(model).training["log"] == ["z", "p"]
    frame.loc[7, "z"] = -1.5
    frame.to_csv(path, index=False)
    assert run(monkeypatch, train) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert "data.csv, line 9, column 'z': 'z' is -1.5: its logarithm does not exist: correct" in line


def run(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        commands.main()
    return ended.value.code
