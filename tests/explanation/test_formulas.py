"""A look inside rows with formulas of derivatives, and inside models of logarithms."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from swarmnet import Activation, FittedModel, MixedData, Network, Objective, SwarmnetError, explain
from swarmnet.data.logarithms import Logarithms
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling

NAN = np.nan
INPUTS, OUTPUTS = ["p", "T"], ["z", "a"]
DEFINE = {
    "mu": "-(dz/dp)/(dz/dT + 3)",
    "joint": "d2z/dTdp*a + (d2a/dT2)**2 - T*d2z/dp2",
    "root": "sqrt(z)*p + exp(-da/dT)",
}
# What each row has: formulas of first and of second derivatives, alone and beside values and partials
ROWS = (
    ["mu"],
    ["joint"],
    ["d2a/dp2"],
    ["root"],
    ["z", "dz/dT", "mu"],
    ["a", "da/dp", "joint", "d2a/dp2"],
    ["z", "a", "dz/dp", "dz/dT", "da/dp", "da/dT", "mu", "joint", "root", "d2a/dp2"],
    ["z", "da/dT"],
)
SIGMAS = {"sigma(mu)": 0.3, "sigma(z)": 2.0, "sigma(da/dp)": 0.7}


def rows_of(rng):
    """Positive inputs and values, and other numbers of any sign."""
    X = rng.uniform(0.5, 2.0, (len(ROWS), 2))
    frame = pd.DataFrame(X, columns=INPUTS)
    for row, names in enumerate(ROWS):
        for name in names:
            frame.loc[row, name] = rng.uniform(0.5, 3.0) if name in OUTPUTS else rng.normal()
    frame.loc[:3, "sigma(mu)"] = SIGMAS["sigma(mu)"]
    frame = frame.assign(**{name: sigma for name, sigma in SIGMAS.items() if name != "sigma(mu)"})
    return MixedData.from_frame(frame, INPUTS, OUTPUTS, define=DEFINE)


SCALING = Scaling(np.array([0.4, 1.1]), np.array([0.5, 0.8]), np.array([0.3, -0.2]), np.array([1.5, 0.6]))
LOGS = [
    None,
    Logarithms((True, False), (True, False)),
    Logarithms((False, False), (True, True)),
    Logarithms((True, True), (False, False)),
]


def model_of(net, rng, logs=None, scaling=SCALING, **training):
    record = {"derivative_weight": 2.5, "scaling": None if scaling is None else "standard"}
    scaling = scaling or Scaling.identity(2, 2)
    names = tuple(INPUTS), tuple(OUTPUTS)
    return FittedModel(net, net.init(rng), replace(scaling, logs=logs), *names, record | training)


def alone(model, data, row):
    """The row as training takes it."""
    each, logs = data.take([row]), model.scaling.logs
    if logs is not None:
        each, data = logs.rows(each), logs.rows(data)
    balance = model.training["scaling"] is not None
    return replace(model.scaling, logs=None).scale_data(each, balance, reference=data)


def check(model, data, row, rate=0.002, loss="squared"):
    """Loss and step are the objective's for this row."""
    found = explain(model, data, row, rate)
    objective = Objective(model.net, alone(model, data, row), loss=loss, derivative_weight=2.5)
    total, gradient = objective.loss_and_gradient(model.theta)
    assert found.loss == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(found["loss"], [[total]], rtol=1e-12)
    assert found["entries"]["loss"].sum() == pytest.approx(total, rel=1e-12)
    moved = (model.theta - found.theta) / rate
    np.testing.assert_allclose(moved, gradient, rtol=1e-10, atol=1e-10 * np.abs(gradient).max())
    assert found.loss_after == pytest.approx(objective.loss(found.theta), rel=1e-12)
    return found


@pytest.mark.parametrize("scaling", [None, SCALING])
@pytest.mark.parametrize("name", TABLE)
def test_the_step_is_that_of_the_objective(name, scaling, rng):
    net = Network((2, 4, 3, 2), [name, name, "linear"])
    data, model = rows_of(rng), model_of(net, rng, scaling=scaling)
    for row in range(data.n):
        check(model, data, row)


@pytest.mark.parametrize(
    ("hidden", "activation"), [((), "tanh"), ((4,), "sine"), ((3, 2), ["tanh", "gelu", "linear"])]
)
def test_the_step_of_a_network_with_a_trend(hidden, activation, rng):
    net = Network((2, *hidden, 2), activation, Trend.of_degree(3, [-1, -2], [2, 1]))
    data, model = rows_of(rng), model_of(net, rng)
    for row in range(data.n):
        found = check(model, data, row)
    assert "V2 = R1 @ W2 + O0 @ K2" in check(model, data, 1).to_text() or hidden != (4,)
    assert found["P0"].shape == (1, len(net.trend))


@pytest.mark.parametrize("logs", LOGS[1:])
def test_the_step_of_a_model_of_logarithms(logs, rng):
    net = Network((2, 4, 3, 2), "tanh")
    data, model = rows_of(rng), model_of(net, rng, logs)
    for row in range(data.n):
        check(model, data, row)


@pytest.mark.parametrize("logs", LOGS)
def test_what_is_shown_is_what_the_model_answers(logs, rng):
    net = Network((2, 4, 2), "tanh")
    data, model = rows_of(rng), model_of(net, rng, logs)
    row, x = 6, data.X[[6]]
    if logs is None or not logs.outputs[0]:  # the root of a positive value
        model.theta[-2:] += 10.0
    found = explain(model, data, row)
    np.testing.assert_allclose(found["x"], x)
    np.testing.assert_allclose(found["y"], model.predict(x), rtol=1e-12)
    np.testing.assert_allclose(found["dy/dx"], model.jacobian(x)[0].T, rtol=1e-12)
    H = model.hessian(x)[0]
    pairs = [H[:, 0, 0], H[:, 0, 1], H[:, 1, 1]]
    np.testing.assert_allclose(found["d2y/dx2"], pairs, rtol=1e-11, atol=1e-12)
    for quantity in data.quantities:
        shown = found["F"].loc[quantity.name, "formula"]
        assert shown == pytest.approx(model.quantity(quantity, x)[0], rel=1e-11)
    assert list(found["d2y/dx2"].index) == ["along p and p", "along p and T", "along T and T"]
    named = [matrix.name for step in found.steps for matrix in step.matrices if matrix.made]
    assert len(named) == len(set(named))


# By hand, with complex steps in the weights


def layers_of(theta):
    """W, b, V and c of a network of 2-5-2 units; theta may be complex."""
    W, b, V, c = np.split(theta, [10, 15, 25])
    return (W.reshape(2, 5), b), (V.reshape(5, 2), c)


def by_complex_steps(loss, theta):
    steps = 1e-30j * np.eye(len(theta))
    return np.array([loss(layers_of(theta + step)).imag for step in steps]) / 1e-30


def test_second_derivatives_by_hand(rng):
    net = Network((2, 5, 2), "tanh")
    frame = pd.DataFrame({"p": [0.7], "T": [-0.4], "a": [0.3], "joint": [1.2], "sigma(joint)": [0.5]})
    data = MixedData.from_frame(frame, INPUTS, OUTPUTS, define={"joint": DEFINE["joint"]})
    model = model_of(net, rng, scaling=None)

    def loss(layers):
        (W, b), (V, c) = layers
        A = np.tanh(data.X[0] @ W + b)
        C = -2.0 * A * (1.0 - A**2)
        z_pp, z_pT, a_TT = ((C * W[i] * W[j]) @ V[:, o] for i, j, o in ((0, 0, 0), (0, 1, 0), (1, 1, 1)))
        a = A @ V[:, 1] + c[1]
        joint = z_pT * a + a_TT**2 + 0.4 * z_pp
        return (a - 0.3) ** 2 + 2.5 * ((joint - 1.2) / 0.5) ** 2

    found = explain(model, data, 0, 0.001)
    assert found.loss == pytest.approx(loss(layers_of(model.theta)), rel=1e-13)
    gradient = by_complex_steps(loss, model.theta)
    np.testing.assert_allclose((model.theta - found.theta) / 0.001, gradient, rtol=1e-10, atol=1e-10)


def test_logarithms_by_hand(rng):
    """Two rows with ln p and ln z: one of dz/dp alone, one of z and dz/dp."""
    net, logs = Network((2, 5, 2), "tanh"), LOGS[1]
    X, slopes = np.array([[3.0, 0.5], [0.8, 1.5], [2.0, 1.0]]), np.array([0.9, -0.4, 0.6])
    J = np.full((3, 2, 2), NAN)
    J[:, 0, 0] = slopes
    Y = np.array([[NAN, NAN], [2.0, NAN], [NAN, NAN]])
    data = MixedData(X, Y, J, inputs=INPUTS, outputs=OUTPUTS)
    model = model_of(net, rng, logs)

    def answers(layers, x):
        """ln z, and its derivative by ln p."""
        (W, b), (V, c) = layers
        A = np.tanh((np.array([np.log(x[0]), x[1]]) - SCALING.x_offset) / SCALING.x_scale @ W + b)
        v = 0.3 + 1.5 * (A @ V[:, 0] + c[0])
        return v, 1.5 / 0.5 * ((1.0 - A**2) * W[0]) @ V[:, 0]

    size = np.sqrt((slopes[0] ** 2 + slopes[2] ** 2) / 2)  # of dz/dp in rows without z

    def alone(layers):
        v, slope = answers(layers, X[0])
        return 2.5 * ((np.exp(v) * slope / X[0, 0] - slopes[0]) / size) ** 2

    of_log = slopes[1] / 2.0 * X[1, 0]  # dln(z)/dln(p) of the only row with both

    def both(layers):
        v, slope = answers(layers, X[1])
        return ((v - np.log(2.0)) / 1.5) ** 2 + 2.5 * ((slope - of_log) / of_log) ** 2

    for row, loss in ((0, alone), (1, both)):
        found = explain(model, data, row, 0.001)
        assert found.loss == pytest.approx(loss(layers_of(model.theta)), rel=1e-12)
        gradient = by_complex_steps(loss, model.theta)
        np.testing.assert_allclose((model.theta - found.theta) / 0.001, gradient, rtol=1e-9, atol=1e-10)
    assert found["targets of logarithms"]["target"].to_dict() == {
        "log(z)": pytest.approx(np.log(2.0)), "dlog(z)/dlog(p)": pytest.approx(of_log),
    }  # fmt: skip
    np.testing.assert_allclose(found["u"], [[np.log(0.8), 1.5]])
    assert list(found["u"].columns) == ["log(p)", "T"]


def test_values_in_formulas_beside_cross_entropy(rng):
    net = Network((2, 4, 2), ["tanh", "sigmoid"])
    data = rows_of(rng)
    data = replace(data, Y=np.abs(np.tanh(data.Y)))
    model = model_of(net, rng, scaling=None, loss_function="cross-entropy")
    for row in range(data.n):
        check(model, data, row, loss="cross-entropy")
    text = explain(model, data, 5).to_text()
    assert "z'2 = E2 + S2 * A'2 + C2 * B2 + D2 * L2" in text


# What is shown


def step_of(found, title):
    (step,) = [step for step in found.steps if step.title == title]
    return step


def test_formulas_and_their_arguments_are_shown(rng):
    data, model = rows_of(rng), model_of(Network((2, 3, 2)), rng)
    found = explain(model, data, 4)
    titles = [step.title for step in found.steps]
    place = titles.index("Formulas of values and derivatives")
    assert titles[place - 1 : place + 2] == [
        "Partial derivatives in the data's units",
        "Formulas of values and derivatives",
        "Errors and the row's loss, in the network's units",
    ]
    step = found.steps[place]
    assert "mu = -(dz/dp)/(dz/dT + 3), arguments in a1" in step.formula
    J = model.jacobian(data.X[[4]])[0, 0]
    np.testing.assert_allclose(found["a1"]["argument"], J, rtol=1e-12)
    assert list(found["a1"].index) == ["dz/dp", "dz/dT"]
    slopes = np.array([-1 / (J[1] + 3), J[0] / (J[1] + 3) ** 2]) * found["a1"]["scale"]
    np.testing.assert_allclose(found["a1"]["slope"], slopes / found["F"].loc["mu", "unit"], rtol=1e-12)
    (T,) = [matrix for matrix in step.matrices if matrix.name == "T2"]
    assert T.active.tolist() == [[True, False], [True, False]]
    assert list(found["entries"].index) == ["z", "dz/dT", "mu"]
    assert found["targets"].index.tolist() == ["z", "dz/dT", "mu"]


def test_formulas_of_logarithms_name_them(rng):
    data, model = rows_of(rng), model_of(Network((2, 3, 2)), rng, LOGS[1])
    step = step_of(explain(model, data, 0), "Formulas of values and derivatives")
    assert "mu = -(exp(log(z))*(dlog(z)/dlog(p))/exp(log(p)))/(exp(log(z))*(dlog(z)/dT) + 3)" in step.formula
    assert [matrix.name for matrix in step.matrices] == ["A2", "T2", "u", "a1", "F"]


def test_where_a_formula_goes_on_beyond_its_definition_the_step_says_so(rng):
    data, model = rows_of(rng), model_of(Network((2, 3, 2)), rng)
    for shift, said in ((-9.0, True), (9.0, False)):
        model.theta[-2:] = shift
        formula = step_of(explain(model, data, 3, 1e-6), "Formulas of values and derivatives").formula
        assert ("because root would not be defined" in formula) == said


def test_every_made_matrix_is_named_in_its_steps_formula(rng):
    net = Network((2, 3, 2), "tanh", Trend.of_degree(2, [-1, -2], [2, 1]))
    for logs in LOGS[:2]:
        found = explain(model_of(net, rng, logs), rows_of(rng), 6)
        for step in found.steps:
            assert step.matrices[-1].made
            for name in (
                m.name for m in step.matrices if m.made and m.name[-1].isdigit() and m.name[0] != "a"
            ):
                named = (f"{name} =", f"{name} and", f"{name},")
                assert any(words in step.formula for words in named), (name, step.formula)


def test_the_page_has_every_number(rng):
    found = explain(model_of(Network((2, 3, 2)), rng, LOGS[1]), rows_of(rng), 6)
    page = found.to_html()
    assert page.count("<td class=") == len(found.to_frame())


# Mistakes


def test_a_formula_without_a_finite_value_is_refused(rng):
    frame = pd.DataFrame({"p": [1.0, 2.0], "T": [0.0, 1.0], "a": [1.0, NAN], "odd": [1.0, 2.0]})
    data = MixedData.from_frame(frame, INPUTS, OUTPUTS, define={"odd": "dz/dp*a/T"})
    model = model_of(Network((2, 3, 2)), rng)
    with pytest.raises(
        SwarmnetError, match=r"row 0: the formula of 'odd', .* has no finite value there: choose another"
    ):
        explain(model, data, 0)
    check(model, data, 1)


def test_a_number_without_a_logarithm_is_refused(rng):
    data, model = rows_of(rng), model_of(Network((2, 3, 2)), rng, LOGS[1])
    X = data.X.copy()
    X[3, 0] = -1.0
    with pytest.raises(SwarmnetError, match="row 4: 'p' is -1: its logarithm does not exist"):
        explain(model, replace(data, X=X), 1, first_row=1)
    weights = np.where(np.arange(data.n) == 3, 0.0, 1.0)
    found = explain(model, replace(data, X=X, weights=weights), 0)
    kept = data.take(np.flatnonzero(weights))
    assert found.loss == pytest.approx(explain(model, kept, 0).loss, rel=1e-14)


def test_only_rows_of_second_derivatives_need_a_third_one(rng):
    tanh = TABLE["tanh"]
    own = Activation("mine", tanh.value, tanh.slope, tanh.curvature)
    data, model = rows_of(rng), model_of(Network((2, 3, 2), own), rng)
    explain(model, data, 4)
    with pytest.raises(SwarmnetError, match="'mine' has no third derivative"):
        explain(model, data, 5)
