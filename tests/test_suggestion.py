"""What to measure next: against a calculation with full covariances, and what is chosen in plain cases."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.cli import commands as cli
from swarmnet.model.error_bars import OtherFit, unpack

NOISE = 0.01


@pytest.fixture(scope="module")
def line():
    """A cubic of one input, values and slopes, with noise."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1.0, 3.0, 24)
    Y = np.where(np.arange(24) % 2, np.nan, x**3 - x + NOISE * rng.normal(size=24))
    J = np.where(np.arange(24) % 2, 3 * x**2 - 1 + 5 * NOISE * rng.normal(size=24), np.nan)
    data = swarmnet.MixedData(x[:, None], Y, J[:, None], inputs=("x",), outputs=("y",))
    return swarmnet.fit(data, hidden=(), degree=3)


@pytest.fixture(scope="module")
def plane():
    """A network of two inputs that was trained in one half of its range only, and on values only."""
    rng = np.random.default_rng(1)
    X = rng.uniform(0, 1, (30, 2)) * [1.0, 20.0]
    X[:, 0] = np.where(X[:, 0] > 0.5, X[:, 0] ** 4, X[:, 0])
    X = np.concatenate([X[X[:, 0] < 0.45], [[1.0, 20.0]]])
    y = np.sin(3 * X[:, 0]) + 0.1 * X[:, 1] + NOISE * rng.normal(size=len(X))
    data = swarmnet.MixedData(X, y, inputs=("a", "b"), outputs=("f",))
    return swarmnet.fit(data, hidden=(), degree=2)


def gradients(model, X, slope):
    """(p, n) in the data's units, by a step of any size: the model is linear in its weights."""

    def answer(theta):
        own = replace(model, theta=theta)
        return own.jacobian(X)[:, 0, 0] if slope else own.predict(X)[:, 0]

    steps = np.eye(len(model.theta))
    return np.array([answer(model.theta + step) - answer(model.theta) for step in steps])


def test_each_gain_is_the_reduction_of_the_mean_variance(line):
    X = np.array([[-1.0], [0.3], [1.1], [2.2], [3.0]])
    C = unpack(line.spread, len(line.theta))
    S = C.T @ C
    targets = gradients(line, X, slope=False)
    entries = {("y", row): gradients(line, X, False)[:, row] for row in range(5)}
    entries |= {("dy/dx", row): gradients(line, X, True)[:, row] for row in range(5)}
    cost = {"y": 1.0, "dy/dx": 0.7}

    def variance(S):
        return np.einsum("pt,pq,qt->t", targets, S, targets).mean()

    whole, wanted = variance(S), []
    for _ in range(6):
        after = {
            entry: np.linalg.inv(np.linalg.inv(S) + np.outer(j, j) / line.training["noise"][entry[0]] ** 2)
            for entry, j in entries.items()
        }
        best = max(after, key=lambda entry: (variance(S) - variance(after[entry])) / cost[entry[0]])
        wanted.append((*best, (variance(S) - variance(after[best])) / whole))
        S = after[best]
        del entries[best]
    found = swarmnet.suggest(replace(line, points=None), 6, X, costs={"dy/dx": 0.7})
    assert list(zip(found["entry"], found["row"], strict=True)) == [(name, row) for name, row, _ in wanted]
    np.testing.assert_allclose(found["gain"], [gain for *_, gain in wanted], rtol=1e-6)


def test_the_error_bars_are_the_models_with_other_fits_in_them(line):
    other = OtherFit(line.net, line.theta + 0.1, 0.8)
    wide = replace(line, others=(other,))
    X = np.linspace(-1.0, 3.0, 7)[:, None]
    found = swarmnet.suggest(wide, 14, X)
    bars = {"y": wide.predict(X, True)[1][:, 0], "dy/dx": wide.jacobian(X, True)[1][:, 0, 0]}
    wanted = [bars[name][row] for name, row in zip(found["entry"], found["row"], strict=True)]
    np.testing.assert_allclose(found["error_bar"], wanted, rtol=1e-9)
    assert found["error_bar"].min() > swarmnet.suggest(line, 14, X)["error_bar"].min()
    assert 0.5 < found["gain"].sum() <= 1.0
    assert not found.duplicated(["entry", "row"]).any()


def test_other_fits_do_not_say_where(line):
    X = np.linspace(-1.0, 3.0, 15)[:, None]
    other = OtherFit(line.net, line.theta + np.arange(len(line.theta)), 1.0)
    plain, found = (swarmnet.suggest(m, 3, X) for m in (line, replace(line, others=(other,))))
    pd.testing.assert_frame_equal(found.drop(columns="error_bar"), plain.drop(columns="error_bar"))
    assert found["error_bar"][0] > 100 * plain["error_bar"][0]


@pytest.mark.parametrize("entry", ["y", "dy/dx"])
def test_a_gap_is_measured_where_the_model_may_be_wrong(rng, entry):
    x = np.concatenate([np.linspace(0.0, 3.0, 8), np.linspace(7.0, 10.0, 8)])
    data = swarmnet.MixedData(x[:, None], 2.0 - x + NOISE * rng.normal(size=16), inputs=("x",))
    model = swarmnet.fit(data, hidden=(), degree=1)

    def inside(model):
        return swarmnet.suggest(model, 4, entries=entry)["x"].between(3.5, 6.5).any()

    assert inside(model)
    # A straight line is most certain in the middle
    assert entry == "dy/dx" or not inside(replace(model, points=None))


def test_it_is_the_same_again_and_adds_to_the_same(plane):
    found = swarmnet.suggest(plane, 5)
    pd.testing.assert_frame_equal(swarmnet.suggest(plane, 5), found)
    pd.testing.assert_frame_equal(swarmnet.suggest(plane, 3), found[:3])
    assert list(found) == ["a", "b", "entry", "gain", "error_bar"]


def test_the_first_is_where_nothing_was_measured_and_the_next_ones_are_apart(plane):
    found = swarmnet.suggest(plane, 4)
    unit = found[["a", "b"]] / [1.0, 20.0]
    assert unit["a"][0] > 0.5
    assert ((unit == 0.0) | (unit == unit.max())).to_numpy().any()  # at a bound of an input
    apart = [np.linalg.norm(unit.iloc[i] - unit.iloc[j]) for i in range(4) for j in range(i)]
    assert min(apart) > 0.1
    low, high = plane.region.low, plane.region.high
    assert ((found[["a", "b"]] >= low) & (found[["a", "b"]] <= high)).all(axis=None)


def test_an_exact_measurement_is_not_repeated():
    x = np.linspace(0.0, 1.0, 9)[:, None]
    model = swarmnet.fit(swarmnet.MixedData(x, np.exp(x)), hidden=(), degree=4)
    near = np.repeat([[0.1], [0.5], [0.9]], 3, axis=0) + np.tile([[0.0], [1e-9], [2e-9]], (3, 1))
    found = swarmnet.suggest(model, 3, near)
    assert sorted(found["row"] // 3) == [0, 1, 2]


def test_given_points_and_those_of_the_box_are_candidates_together(plane):
    beyond = [[1.5, 26.0], [0.2, 3.0], [1.5, 26.0]]
    found = swarmnet.suggest(plane, 8, beyond, box=True)
    given = found["row"].notna()
    assert sorted(found["row"][given]) == [0]
    np.testing.assert_array_equal(found[["a", "b"]][given], [beyond[0]])
    assert (found[["a", "b"]][~given] <= plane.region.high).all(axis=None)
    pd.testing.assert_frame_equal(swarmnet.suggest(plane, 3, box=True), swarmnet.suggest(plane, 3))


def test_what_was_measured_in_training_comes_last(plane):
    candidates = np.concatenate([plane.points.X, [[0.9, 9.0], [0.8, 1.0]]])
    assert set(swarmnet.suggest(plane, 2, candidates)["row"]) == {len(candidates) - 2, len(candidates) - 1}


def test_a_plane_is_measured_at_the_corners(rng):
    X = rng.uniform([3.0, -2.0], [4.0, 5.0], (12, 2))
    y = X @ [2.0, -1.0] + NOISE * rng.normal(size=12)
    model = swarmnet.fit(swarmnet.MixedData(X, y, inputs=("q", "p")), hidden=(), degree=1)
    found = swarmnet.suggest(model, 2)[["q", "p"]].to_numpy()
    assert ((found == X.min(0)) | (found == X.max(0))).all()
    assert len(np.unique(found, axis=0)) == 2


def test_costs_and_entries_decide_what_is_measured(line):
    dear = swarmnet.suggest(line, 6, costs={"y": 1e6})
    assert set(dear["entry"]) == {"dy/dx"}
    assert set(swarmnet.suggest(line, 4, entries="y")["entry"]) == {"y"}
    assert set(swarmnet.suggest(line, 3, entries=["x*dy/dx - y"])["entry"]) == {"x*dy/dx - y"}
    # Slopes need fewer measurements for slopes
    gains = [swarmnet.suggest(line, 2, entries="dy/dx", target=t)["gain"].sum() for t in ("dy/dx", "y")]
    assert gains[0] > gains[1]


def test_formulas_that_were_defined_are_columns():
    x = np.linspace(0.5, 2.0, 12)
    table = pd.DataFrame({"x": x, "y": np.where(np.arange(12) % 2, np.nan, x**2), "r": 2.0 / x})
    data = swarmnet.MixedData.from_frame(table, define={"r": "dy/dx / y * x / x"})
    model = swarmnet.fit(data, hidden=(3,), trainer="lm", iterations=40)
    found = swarmnet.suggest(model, 4, target=["y", "r"])
    assert set(found["entry"]) <= {"y", "r"}
    assert set(swarmnet.suggest(model, 2, entries=["r"])["entry"]) == {"r"}
    # log(1 - x) exists for x < 1 only
    assert (swarmnet.suggest(model, 4, entries=["y * log(1 - x)"])["x"] < 1).all()


def test_candidates_of_any_kind(plane, tmp_path):
    X = np.array([[0.2, 3.0], [0.9, 18.0], [0.2, 3.0], [0.5, 10.0]])
    table = pd.DataFrame({"b": X[:, 1], "a": X[:, 0], "note": 1.0})
    path = tmp_path / "points.csv"
    table.to_csv(path, index=False)
    mixed = swarmnet.MixedData(X[:, ::-1], np.ones(4), inputs=("b", "a"), outputs=("f",))
    found = swarmnet.suggest(plane, 9, X)
    assert sorted(found["row"]) == [0, 1, 3]
    np.testing.assert_array_equal(found[["a", "b"]], X[found["row"]])
    for same in (X.tolist(), table, mixed, path, str(path)):
        pd.testing.assert_frame_equal(swarmnet.suggest(plane, 9, same), found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number of 1 or more"),
        ({"n": 2.5}, "n must be a whole number of 1 or more"),
        ({"entries": ["y", "z"]}, "entries .*'z' is no input or output"),
        ({"entries": []}, "entries .* names no column"),
        ({"target": "dy/dz"}, "target .*'dy/dz' is a derivative with respect to unknown name 'z'"),
        ({"costs": {"z": 1.0}}, "unknown column in costs .*'z'"),
        ({"costs": {"y": 0.0}}, "the cost of y must be a positive number, not 0"),
        ({"costs": {"y": float("nan")}}, "the cost of y must be a positive number, not nan"),
        ({"candidates": np.zeros((0, 1))}, "no candidates"),
        ({"candidates": [[np.nan]]}, "missing or infinite in row 0"),
        ({"candidates": [[1.0, 2.0]]}, "X must be"),
        ({"entries": "log(-1 - x**2 + 0*y)"}, "no candidates: .* is not defined at any"),
    ],
)
def test_mistakes_are_told(line, arguments, message):
    with pytest.raises(swarmnet.SwarmnetError, match=message):
        swarmnet.suggest(line, **({"n": 2} | arguments))


def test_models_that_do_not_know_enough_are_refused(line):
    with pytest.raises(swarmnet.SwarmnetError, match="no error bars"):
        swarmnet.suggest(replace(line, spread=None), 2)
    record = {name: value for name, value in line.training.items() if name != "input_ranges"}
    unknown = replace(line, training=record)
    with pytest.raises(swarmnet.SwarmnetError, match=r"no candidates: .* training range"):
        swarmnet.suggest(unknown, 2)
    assert len(swarmnet.suggest(unknown, 2, [[0.0], [1.0]])) == 2
    named = replace(line, inputs=("gain",))
    with pytest.raises(swarmnet.SwarmnetError, match="two columns would be called 'gain'"):
        swarmnet.suggest(named, 2, [[0.0], [1.0]])


def test_the_estimators_method():
    X = np.linspace(0, 1, 12)[:, None]
    net = swarmnet.SwarmNetRegressor(hidden=(), degree=3).fit(X, np.exp(X[:, 0]))
    found = net.suggest(2, costs={"y": 2.0})
    pd.testing.assert_frame_equal(found, swarmnet.suggest(net.model_, 2, costs={"y": 2.0}))


@pytest.fixture
def run(line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line.save("m.json")
    Path("points.csv").write_text("x\n-1\n2\n3\n")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["swarmnet", "suggest", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code or 0, *capsys.readouterr()

    return call


def test_the_command_prints_the_table_and_writes_a_form(run, line):
    options = ("--entries", "y,dy/dx", "--costs", "dy/dx=0.5, y=2", "--target", "dy/dx")
    code, out, err = run("m.json", "-n", "2", "--candidates", "points.csv", *options, "-o", "next.csv")
    assert (code, err) == (0, "")
    found = swarmnet.suggest(
        line, 2, "points.csv", ["y", "dy/dx"], {"dy/dx": 0.5, "y": 2.0}, target=["dy/dx"]
    )
    lines = out.splitlines()
    assert lines[0] == "x,entry,gain,error_bar,row"
    assert [line.rsplit(",", 1)[1] for line in lines[1:]] == [str(row + 1) for row in found["row"]]
    form = Path("next.csv").read_text().splitlines()
    assert form[0] == "x,target,value"
    assert form[1].split(",")[1:] == [found["entry"][0], ""]
    code, out, err = run("m.json", "-n", "2", "--candidates", "points.csv", "--box", "--entries", "y")
    assert (code, err) == (0, "")
    both = swarmnet.suggest(line, 2, "points.csv", "y", box=True)
    assert [line.rsplit(",", 1)[1] for line in out.splitlines()[1:]] == [
        "" if pd.isna(row) else str(row + 1) for row in both["row"]
    ]
    Path("next.csv").write_text("\n".join([form[0], *(f"{row}1.5" for row in form[1:])]) + "\n")
    data = swarmnet.read_csv("next.csv", inputs=["x"], outputs=["y"])
    assert data.n_entries == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-n", "0"), "Invalid value for '-n'"),
        (("--entries", "q"), "entries (--entries): 'q' is no input or output"),
        (("--costs", "y"), "--costs must be COLUMN=NUMBER, as in dh/dT=0.5, not 'y'"),
        (("--costs", "y=dear"), "--costs must be COLUMN=NUMBER, as in dh/dT=0.5, not 'y=dear'"),
        (("--costs", "y=-1"), "the cost of y must be a positive number"),
        (("--candidates", "none.csv"), "none.csv: there is no such file"),
        (("-o", "m.json"), "m.json: cannot write"),
        (("--box", "--candidates", "none.csv"), "none.csv: there is no such file"),
    ],
)
def test_mistakes_on_the_command_line_take_one_line(run, arguments, message):
    code, out, err = run("m.json", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_column_with_a_logarithm_has_a_relative_noise():
    x = np.linspace(0.5, 3.0, 16)
    rng = np.random.default_rng(2)
    y = np.exp(2.0 * x) * (1 + NOISE * rng.normal(size=16))
    data = swarmnet.MixedData(x[:, None], y, inputs=("x",), outputs=("y",))
    model = swarmnet.fit(data, hidden=(), degree=2, log=("y",))
    X = np.array([[0.6], [1.7], [2.9]])
    found = swarmnet.suggest(model, 3, X, entries=["y", "dy/dx"])
    bars = {"y": model.predict(X, True)[1][:, 0], "dy/dx": model.jacobian(X, True)[1][:, 0, 0]}
    wanted = [bars[name][row] for name, row in zip(found["entry"], found["row"], strict=True)]
    np.testing.assert_allclose(found["error_bar"], wanted, rtol=1e-9)
    assert set(swarmnet.suggest(model, 2)["entry"]) == {"y"}
    # The first gain of the only candidate is v / (s^2 + v), where the noise s is relative
    only = swarmnet.suggest(replace(model, points=None), 1, X[2:])
    v, s = only["error_bar"][0] ** 2, model.training["noise"]["log(y)"] * model.predict(X[2:])[0, 0]
    assert only["gain"][0] == pytest.approx(v / (s**2 + v))
