"""Fits to quantities: formulas of values, first and second partial derivatives."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData, Network, SwarmnetError
from swarmnet.network.activations import Activation
from swarmnet.objective.objective import Objective

DEFINE = {
    "slope": "-2*dh/dT",
    "ratio": "-(dh/dp)/(dh/dT + 3)",
    "root": "sqrt(h + 4)*T",
    "both": "d2h/dTdp + d2g/dT2*h",
}


def truth(X: np.ndarray) -> dict[str, np.ndarray]:
    p, T = X.T
    s, c, e = np.sin(T), np.cos(T), np.exp(0.3 * p)
    g_TT = 6.0 * T * p
    return {
        "h": s * e,
        "g": T**3 * p,
        "slope": -2.0 * c * e,
        "ratio": -0.3 * s * e / (c * e + 3.0),
        "root": np.sqrt(s * e + 4.0) * T,
        "d2h/dT2": -s * e,
        "both": 0.3 * c * e + g_TT * s * e,
    }


def data(rows: int, seed: int = 0, sigma: bool = False) -> MixedData:
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.0, 1.0, (rows, 2))
    frame = pd.DataFrame({"p": X[:, 0], "T": X[:, 1]} | truth(X))
    for number, name in enumerate(truth(X)):
        frame.loc[rng.permutation(rows)[: rows // 3 if number > 1 else 2 * rows // 3], name] = np.nan
    if sigma:
        frame["sigma(both)"] = 0.5
    return MixedData.from_frame(frame, ["p", "T"], ["h", "g"], define=DEFINE)


def objective(net: Network, rows: int = 30, **settings: float) -> tuple[Objective, np.ndarray]:
    theta = net.init(np.random.default_rng(3))
    return Objective(net, data(rows, sigma=True), **settings), theta


@pytest.mark.parametrize("activation", ["tanh", "softplus", "sine", "gelu"])
def test_the_gradient_of_the_loss_agrees_with_differences(activation: str) -> None:
    of, theta = objective(Network((2, 5, 4, 2), activation), derivative_weight=0.7, l2=0.01)
    _, gradient = of.loss_and_gradient(theta)
    step = 1e-5
    moved = step * np.eye(len(theta))
    differences = (of.loss(theta + moved) - of.loss(theta - moved)) / (2.0 * step)
    np.testing.assert_allclose(gradient, differences, rtol=1e-6, atol=1e-7)


def test_the_loss_is_the_mean_square_of_the_formulas_residuals() -> None:
    net = Network((2, 4, 2), "tanh")
    of, theta = objective(net, derivative_weight=2.0)
    rows = data(30, sigma=True)
    Y, J, H = net.forward(theta, rows.X), net.jacobian(theta, rows.X), net.hessian(theta, rows.X)
    predicted = {
        "d2h/dT2": H[:, 0, 1, 1],
        "ratio": -J[:, 0, 0] / (J[:, 0, 1] + 3.0),
        "root": np.sqrt(Y[:, 0] + 4.0) * rows.X[:, 1],
        "both": H[:, 0, 0, 1] + H[:, 1, 1, 1] * Y[:, 0],
    }
    assert [q.name for q in rows.quantities] == list(predicted)
    of_values = np.nanmean((Y - rows.Y) ** 2)
    apart = np.array(list(predicted.values())).T - rows.Q
    apart[:, 3] /= 0.5
    others = np.concatenate([apart.ravel(), (J - rows.J).ravel()])
    assert of.loss(theta) == pytest.approx(of_values + 2.0 * np.nanmean(others**2), rel=1e-12)


def test_sums_over_entries_agree_with_the_gradient() -> None:
    of, theta = objective(Network((2, 4, 3, 2), "tanh"), derivative_weight=0.5)
    loss, gradient = of.loss_and_gradient(theta)
    squares, Jr, JJ = of.normal_equations(theta)
    assert squares == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(2.0 * Jr, gradient, rtol=1e-10, atol=1e-12)
    r, J, _ = of.residual_jacobian(theta, of.unit_precision)
    np.testing.assert_allclose(J.T @ J, JJ, rtol=1e-10, atol=1e-12)
    assert r @ r == pytest.approx(loss, rel=1e-12)
    some = [of.loss_and_gradient(theta, np.arange(a, 30, 3))[1] for a in range(3)]
    np.testing.assert_allclose(np.mean(some, axis=0), gradient, rtol=1e-10, atol=1e-12)


def test_a_formula_equal_to_a_partial_gives_the_same_model() -> None:
    rng = np.random.default_rng(1)
    X = rng.uniform(-1.0, 1.0, (25, 2))
    frame = pd.DataFrame({"p": X[:, 0], "T": X[:, 1], "h": truth(X)["h"], "slope": truth(X)["slope"]})
    plain = frame.assign(**{"dh/dT": frame.pop("slope") / -2.0})
    frame = frame.assign(slope=plain["dh/dT"] * -2.0)
    options = {"hidden": (6,), "trainer": "lm", "iterations": 20}
    first = swarmnet.fit(MixedData.from_frame(plain, ["p", "T"], ["h"]), **options)
    defined = MixedData.from_frame(frame, ["p", "T"], ["h"], define={"slope": "-2*dh/dT"})
    second = swarmnet.fit(defined, **options)
    np.testing.assert_array_equal(first.theta, second.theta)


@pytest.mark.parametrize("trainer", ["hybrid", "lm", "lbfgs", "adam", "pso"])
def test_trainers_learn_from_quantities(trainer: str) -> None:
    iterations = {"hybrid": 20, "lm": 100, "lbfgs": 300, "adam": 400, "pso": 100}[trainer]
    hidden = "auto" if trainer == "hybrid" else (8,)
    model = swarmnet.fit(data(60), hidden, trainer=trainer, iterations=iterations)
    X = np.random.default_rng(9).uniform(-0.9, 0.9, (50, 2))
    true = truth(X)
    names = ("h", "slope", "ratio", "root", "d2h/dT2")
    errors = [np.abs(model.quantity(name, X) - true[name]).max() / np.ptp(true[name]) for name in names]
    most = {"hybrid": 1e-4, "lm": 0.01, "lbfgs": 0.4, "adam": 0.4, "pso": 0.8}
    assert max(errors) < most[trainer]


def test_error_bars_of_quantities_are_those_of_what_they_equal() -> None:
    model = swarmnet.fit(data(60), hidden=(8,), trainer="lm", iterations=60)
    X = np.random.default_rng(2).uniform(-1.0, 1.0, (20, 2))
    J, J_std = model.jacobian(X, return_std=True)
    value, std = model.quantity("slope", X, return_std=True)
    np.testing.assert_allclose(value, -2.0 * J[:, 0, 1], rtol=1e-12)
    np.testing.assert_allclose(std, 2.0 * J_std[:, 0, 1], rtol=1e-9)
    assert (model.quantity("d2g/dp2 + 0*h", X, return_std=True)[1] > 0).all()
    np.testing.assert_array_equal(model.quantity("h/2 - g", X), model.predict(X) @ [0.5, -1.0])


def test_the_defined_names_are_saved_with_the_model(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = swarmnet.fit(data(30), hidden=(4,), trainer="lm", iterations=10)
    model.save(tmp_path / "m.json")
    loaded = swarmnet.load(tmp_path / "m.json")
    np.testing.assert_array_equal(
        loaded.quantity("both/2", [[0.1, 0.2]]), model.quantity("both", [[0.1, 0.2]]) / 2
    )
    with pytest.raises(SwarmnetError, match="'heat' is no input or output"):
        loaded.quantity("heat", [[0.1, 0.2]])
    with pytest.raises(SwarmnetError, match="the formula has no finite value in row 1"):
        loaded.quantity("log(T + 0*h)", [[0.1, 0.2], [0.1, -0.2]])


def test_polynomials_learn_a_formula_that_networks_do_not() -> None:
    """From random weights, networks take a root of a product of second derivatives for noise."""
    rng = np.random.default_rng(4)
    X = rng.uniform(1.0, 2.0, (80, 2))
    p, T = X.T
    frame = pd.DataFrame({"p": p, "T": T, "w": 3.0**0.5 / (p * T) ** 2, "v": -1.0 / (p**2 * T)})
    frame.loc[::2, "v"] = np.nan
    frame.loc[:2, "g"] = 1.0 / (p * T)[:3]
    define = {"w": "sqrt(d2g/dp2*d2g/dT2 - (d2g/dTdp)**2)", "v": "dg/dp"}
    model = swarmnet.fit(MixedData.from_frame(frame, define=define), iterations=20)
    test = rng.uniform(1.1, 1.9, (50, 2))
    true = 3.0**0.5 / np.prod(test, axis=1) ** 2
    assert np.median(np.abs(model.quantity("w", test) / true - 1.0)) < 1e-3


def test_an_activation_without_third_derivative_cannot_learn_second_ones() -> None:
    square = Activation(
        "square",
        lambda z, out: np.multiply(z, z, out=out),
        lambda z, a, out: np.multiply(z, 2.0, out=out),
        lambda z, a, s, out: out.fill(2.0),
    )
    with pytest.raises(SwarmnetError, match="'square' has no third derivative"):
        swarmnet.fit(data(30), hidden=(4,), activation=square, trainer="lm")


def test_errors_of_quantities_are_measured_and_columns_inspected() -> None:
    rows = data(40)
    model = swarmnet.fit(rows, hidden=(8,), trainer="lm", iterations=60)
    errors = swarmnet.evaluate(model, rows).set_index("column")
    for name, observed, _ in rows.quantity_columns():
        apart = model.quantity(name, rows.X) - observed
        assert errors.loc[name, "entries"] == np.isfinite(observed).sum()
        assert errors.loc[name, "rmse"] == pytest.approx(np.sqrt(np.nanmean(apart**2)), rel=1e-9)
    inspected = swarmnet.data.inspection.inspect_data(rows).columns.set_index("column")
    assert inspected.loc["ratio", "kind"] == "quantity" and inspected.loc["ratio", "entries"] == 27


def test_projected_refuses_formulas_that_are_not_linear() -> None:
    names = "ratio, root, both must be linear"
    with pytest.raises(SwarmnetError, match=rf"projected solves .* {names}"):
        swarmnet.fit(data(30), hidden=(4,), trainer="projected")
    with pytest.raises(SwarmnetError, match=rf"projected solves .* {names}"):
        swarmnet.compare(data(30), hidden=(4,), trainers=["projected"], repeats=1)


LINEAR = {"sum": "h*T - 2*g + 3*p", "flow": "exp(p)*(dh/dT + dg/dp)/2", "bend": "d2h/dTdp - d2g/dT2"}


def linear_data(rows: int) -> MixedData:
    rng = np.random.default_rng(5)
    p, T = X = rng.uniform(-1.0, 1.0, (2, rows))
    known = truth(X.T)
    slopes = 0.5 * np.exp(p) * (np.cos(T) * np.exp(0.3 * p) + T**3)
    frame = pd.DataFrame({"p": p, "T": T, "h": known["h"], "d2h/dT2": known["d2h/dT2"], "flow": slopes})
    frame["sum"] = known["h"] * T - 2.0 * known["g"] + 3.0 * p
    frame["bend"] = 0.3 * np.cos(T) * np.exp(0.3 * p) - 6.0 * T * p
    frame.loc[::2, ["h", "flow"]] = np.nan
    return MixedData.from_frame(frame, ["p", "T"], ["h", "g"], define=LINEAR)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_output_layer_is_solved_for_with_linear_formulas(dtype: str) -> None:
    net = Network((2, 4, 3, 2), "tanh")
    of = Objective(net, linear_data(30), derivative_weight=0.6, l2=1e-3, dtype=dtype)
    swarm = net.init(np.random.default_rng(1), 3)
    losses, output = of.projected(swarm[:, : of.hidden_size], ridge=0.0)
    solved = np.concatenate([swarm[:, : of.hidden_size], output], axis=1)
    np.testing.assert_allclose(losses, of.loss(solved), rtol=1e-9 if dtype == "float64" else 1e-3)
    if dtype == "float64":
        for theta in solved:
            gradient = of.loss_and_gradient(theta)[1]
            assert np.abs(gradient[of.hidden_size :]).max() < 1e-9 * np.abs(gradient).max()


@pytest.mark.parametrize("sigmas", [False, True])
def test_linear_entries_alone_solve_for_the_output_layer_beside_other_formulas(sigmas: bool) -> None:
    rows, net = data(30), Network((2, 4, 2), "tanh")
    if sigmas:
        rows = replace(rows, Q_sigma=np.where(np.isnan(rows.Q), np.nan, 0.5))
    bent = np.array([not quantity.is_linear for quantity in rows.quantities])
    linear = replace(rows, Q=np.where(bent, np.nan, rows.Q))
    # So that each linear entry has the same weight in both means
    fewer = linear.total_weights[1] / rows.total_weights[1]
    of, alone = Objective(net, rows), Objective(net, linear, derivative_weight=fewer)
    assert not of.can_project and of.can_project_start and alone.can_project
    hidden = net.init(np.random.default_rng(1), 3)[:, : of.hidden_size]
    losses, output = of.projected(hidden, ridge=0.0)
    np.testing.assert_allclose(output, alone.projected(hidden, ridge=0.0)[1], rtol=1e-6)
    np.testing.assert_allclose(losses, of.loss(np.concatenate([hidden, output], axis=1)), rtol=1e-12)


def test_too_few_linear_entries_are_not_solved_for() -> None:
    rows, net = data(30), Network((2, 4, 2), "tanh")
    few = replace(rows, Y=np.full_like(rows.Y, np.nan), J=np.full_like(rows.J, np.nan))
    bent = np.array([not quantity.is_linear for quantity in rows.quantities])
    few = replace(few, Q=np.where(bent, rows.Q, np.nan))
    of = Objective(net, few)
    with pytest.raises(SwarmnetError, match="linear formulas can be solved"):
        of.projected(net.init(np.random.default_rng(1), 3)[:, : of.hidden_size])


def test_formulas_with_standard_deviations_are_solved_for_too() -> None:
    rows, net = linear_data(30), Network((2, 4, 2), "tanh")
    known = replace(rows, Q_sigma=np.where(np.isnan(rows.Q), np.nan, 0.5))
    of = Objective(net, known)
    hidden = net.init(np.random.default_rng(1), 3)[:, : of.hidden_size]
    losses, output = of.projected(hidden, ridge=0.0)
    np.testing.assert_allclose(losses, of.loss(np.concatenate([hidden, output], axis=1)), rtol=1e-9)


def test_polynomials_are_solved_for_with_linear_formulas() -> None:
    X = np.random.default_rng(9).uniform(-0.9, 0.9, (50, 2))
    true = truth(X)
    model = swarmnet.fit(linear_data(120), hidden=(), degree=6)
    for name in ("h", "g"):
        assert np.abs(model.quantity(name, X) - true[name]).max() < 1e-4 * np.ptp(true[name])


def test_projected_learns_linear_formulas_better_than_pso() -> None:
    losses = {
        trainer: swarmnet.fit(linear_data(60), (6,), trainer=trainer, iterations=40).training["loss"]
        for trainer in ("projected", "pso")
    }
    assert losses["projected"] < 0.8 * losses["pso"]


def test_a_single_slope_is_learnt_beside_quantities() -> None:
    x = np.linspace(0.0, 2.0, 30)
    frame = pd.DataFrame({"x": x, "power": np.sin(x) ** 2})
    frame.loc[7, ["y", "dy/dx"]] = np.sin(x[7]), 5.0 + np.cos(x[7])
    model = swarmnet.fit(MixedData.from_frame(frame, define={"power": "(d2y/dx2)**2"}))
    assert model.jacobian([[x[7]]]).item() == pytest.approx(frame["dy/dx"][7], abs=1e-4)


def test_files_that_stay_files_give_the_same_sums(tmp_path) -> None:  # type: ignore[no-untyped-def]
    from swarmnet.data.readers import open_files
    from swarmnet.objective.out_of_core import StreamedSource
    from swarmnet.scaling import Preparation, Scaling

    rows = data(50, sigma=True)
    frame = rows.to_frame().rename(columns={"dh/dT": "slope"})
    frame["slope"] *= -2.0
    frame.to_csv(tmp_path / "d.csv", index=False)
    files = open_files(tmp_path / "d.csv", ["p", "T"], ["h", "g"], define=DEFINE)
    preparation = Preparation(Scaling.of(rows), rows.statistics)
    net = Network((2, 5, 2), "tanh")
    theta = net.init(np.random.default_rng(0))
    held = Objective(net, preparation.of(rows), measured=rows, derivative_weight=0.5)
    streamed = Objective(net, StreamedSource(files, preparation), derivative_weight=0.5)
    for mine, theirs in zip(held.normal_equations(theta), streamed.normal_equations(theta), strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(
        streamed.loss_and_gradient(theta)[1], held.loss_and_gradient(theta)[1], rtol=1e-9
    )
    np.testing.assert_array_equal(streamed.groups.entries, held.groups.entries)


def test_what_second_derivatives_leave_free_is_said() -> None:
    rng = np.random.default_rng(0)
    T, p = rng.uniform(1.0, 2.0, (2, 20))
    frame = pd.DataFrame({"T": T, "p": p, "v": 1.0 / p, "cp": 3.0 + T})
    rows = MixedData.from_frame(frame, define={"v": "dG/dp", "cp": "-T*d2G/dT2"})
    with pytest.warns(swarmnet.SwarmnetWarning) as said:
        swarmnet.fit(rows, hidden=(3,), trainer="lm", iterations=5)
    lines = [str(line.message) for line in said if "observed" in str(line.message)]
    assert len(lines) == 2 and "its constant is free" in lines[0]
    assert "no dG/dT was observed, only second derivatives: a constant in dG/dT is free" in lines[1]


def test_kinks_are_said_for_quantities_too() -> None:
    with pytest.warns(swarmnet.SwarmnetWarning, match="relu has no second derivative"):
        swarmnet.fit(data(30), hidden=(3,), activation="relu", trainer="adam", iterations=5)


def test_a_quantity_of_data_in_another_order_is_the_same() -> None:
    rows = data(30)
    model = swarmnet.fit(rows, hidden=(4,), trainer="lm", iterations=10)
    other = rows.select(["T", "p"], ["g", "h"])
    for mine, theirs in zip(rows.quantities, other.quantities, strict=True):
        np.testing.assert_array_equal(model.quantity(mine, rows.X), model.quantity(theirs, rows.X))


def test_definitions_that_grow_without_end_are_refused() -> None:
    define = {"a0": "dh/dT*h"} | {f"a{n}": f"a{n - 1} + a{n - 1}" for n in range(1, 60)}
    frame = pd.DataFrame({"T": [0.0, 1.0], "h": [1.0, 2.0], "a59": [1.0, 2.0]})
    with pytest.raises(SwarmnetError, match="with earlier definitions in it, it has more than 400"):
        MixedData.from_frame(frame, ["T"], ["h"], define=define)


def test_limits_hold_for_polynomials_of_rising_degree() -> None:
    model = swarmnet.fit(data(30), iterations=4)
    assert model.training["status"] == "iterations" and len(model.history) <= 5
    seen: list[int] = []
    stopped = swarmnet.fit(data(30), callback=lambda progress: seen.append(1) or len(seen) == 2)
    assert stopped.training["status"] == "callback" and len(stopped.history) <= 3


def test_a_model_whose_record_is_no_mapping_of_formulas_says_so(tmp_path) -> None:  # type: ignore[no-untyped-def]
    model = swarmnet.fit(data(30), hidden=(4,), trainer="lm", iterations=5)
    model.save(tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text()
    document = json.loads(text)
    document["training"]["define"] = ["slope"]
    (tmp_path / "m.json").write_text(json.dumps(document))
    with pytest.raises(SwarmnetError, match="define= must map"):
        swarmnet.load(tmp_path / "m.json").quantity("h", [[0.0, 0.0]])


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_logarithms_lead_to_positive_numbers(unit: float) -> None:
    """Half the numbers of a network from random weights are negative, and have no logarithm."""
    rng = np.random.default_rng(1)
    X = rng.uniform(-1.0, 1.0, (40, 2))
    log = np.log(unit) + np.sin(2.0 * X[:, 0]) + X[:, 1]
    frame = pd.DataFrame({"x": X[:, 0], "z": X[:, 1], "L": log, "y": np.nan})
    rows = MixedData.from_frame(frame, ["x", "z"], ["y"], define={"L": "log(y)"})
    model = swarmnet.fit(rows, hidden=(4,), trainer="lm", iterations=100)
    assert np.abs(model.predict(X)[:, 0] / np.exp(log) - 1.0).max() < 0.1


@pytest.mark.parametrize(
    ("sigma", "number", "words"),
    [
        (1e-70, 1.0, "'ratio' has standard deviations too large or too small"),
        (1e70, 1.0, "'ratio' has standard deviations too large or too small"),
        (1.0, 1e70, "'ratio' has numbers too far apart, or too small,"),
    ],
)
def test_extreme_numbers_of_quantities_are_refused(sigma: float, number: float, words: str) -> None:
    rows = data(20)
    Q, Q_sigma = rows.Q.copy(), np.full(rows.Q.shape, np.nan)
    row = int(np.flatnonzero(np.isfinite(Q[:, 1]))[0])
    Q[row, 1], Q_sigma[row, 1] = number, sigma
    with pytest.raises(SwarmnetError, match=words):
        swarmnet.fit(replace(rows, Q=Q, Q_sigma=Q_sigma), hidden=(3,), trainer="lm", scaling=None)


@pytest.mark.parametrize("trainer", ["lm", "adam"])
def test_a_stopped_fit_goes_on_to_the_same_model(trainer: str, tmp_path: Path) -> None:
    rows, seen = data(30, sigma=True), []
    options = {"hidden": (3,), "trainer": trainer, "iterations": 12}
    whole = swarmnet.fit(rows, **options)
    kept = {"checkpoint": tmp_path / "run.ckpt", "checkpoint_every": 0}
    stopped = swarmnet.fit(rows, **options, **kept, callback=lambda now: seen.append(now) or len(seen) == 5)
    resumed = swarmnet.fit(rows, **options, **kept)
    assert len(stopped.history) < len(whole.history)
    np.testing.assert_array_equal(resumed.theta, whole.theta)
    define = {name: formula for name, formula in DEFINE.items() if name != "slope"} | {"ratio": "dh/dp*g"}
    other = MixedData.from_frame(rows.to_frame(), ["p", "T"], ["h", "g"], define=define)
    with pytest.raises(SwarmnetError, match="checkpoint of another run, which differs in data"):
        swarmnet.fit(other, **options, **kept)


def files_of(folder: Path, rows: MixedData) -> str:
    """The rows in three files, with the names that `DEFINE` explains."""
    frame = rows.to_frame().rename(columns={"dh/dT": "slope"})
    frame["slope"] *= -2.0
    for number in range(3):
        frame[number::3].to_csv(folder / f"{number}.csv", index=False)
    return str(folder / "*.csv")


@pytest.mark.parametrize("trainer", ["lm", "adam"])
def test_rows_that_stay_in_files_give_a_model_of_quantities(trainer: str, tmp_path: Path) -> None:
    from swarmnet.data.readers import open_files

    path, options = files_of(tmp_path, data(60, sigma=True)), {"hidden": (3,), "trainer": trainer}
    filed = open_files(path, ["p", "T"], ["h", "g"], define=DEFINE)
    held = swarmnet.read_csv(path, ["p", "T"], ["h", "g"], define=DEFINE)
    assert filed.n_entries == held.n_entries and filed.define == held.define
    model = swarmnet.fit(filed, **options, iterations=10)
    X = held.X[:5]
    assert np.isfinite(model.quantity("both", X)).all()
    errors = swarmnet.evaluate(model, filed).set_index("column")
    expected = swarmnet.evaluate(model, held).set_index("column")
    pd.testing.assert_frame_equal(errors, expected, rtol=1e-9)
    assert "ratio" in errors.index
