"""A look inside: numbers that can be checked by hand, and that are the network's and the objective's own."""

import csv
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from swarmnet import (
    Activation,
    Explanation,
    FittedModel,
    MixedData,
    Network,
    Objective,
    SwarmnetError,
    explain,
    fit,
    read_csv,
)
from swarmnet.network.activations import TABLE
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling

FOUR_INPUTS = Path(__file__).parents[2] / "datasets" / "four_inputs.csv"
NAN = np.nan


def as_it_stands(net, theta, data, **training):
    """A model without scaling."""
    return FittedModel(net, theta, Scaling.identity(net.d, net.k), data.inputs, data.outputs, training)


# By hand


@pytest.fixture
def four_inputs():
    """The network of four inputs, three hidden units and one output, with weights of two decimals."""
    W1 = [[0.42, 0.88, 0.55], [0.10, 0.73, 0.68], [0.60, 0.18, 0.47], [0.92, 0.11, 0.52]]
    layers = [(W1, [0.46, 0.72, 0.08]), ([[0.30], [0.25], [0.23]], [0.69])]
    net, theta = Network.from_layers(layers, ["sigmoid", "sigmoid"])
    return as_it_stands(net, theta, read_csv(FOUR_INPUTS))


def test_the_first_row_of_four_inputs_by_hand(four_inputs):
    found = explain(four_inputs, FOUR_INPUTS, row=0, learning_rate=0.1)

    def is_(name, *numbers, digits=4):
        np.testing.assert_allclose(found[name].to_numpy().ravel(), numbers, rtol=0, atol=0.5001 * 10**-digits)

    is_("A0", 1, 0, 1, 0)
    is_("z1", 0.42 + 0.60 + 0.46, 0.88 + 0.18 + 0.72, 0.55 + 0.47 + 0.08, digits=12)
    is_("A1", 0.8146, 0.8557, 0.7503)  # 1 / (1 + exp(-1.48)) ...
    is_("S1", 0.1510, 0.1235, 0.1874)  # 0.8146 (1 - 0.8146) ...
    is_("z2", 1.3209)  # 0.8146 * 0.30 + 0.8557 * 0.25 + 0.7503 * 0.23 + 0.69
    is_("A2", 0.7893)
    is_("loss", 0.0444)  # (0.7893 - 1)^2
    is_("A'2", -0.4214)  # 2 (0.7893 - 1)
    is_("S2", 0.1663)
    is_("z'2", -0.0701)  # 0.1663 * -0.4214
    is_("W'2", -0.0571, -0.0600, -0.0526)  # 0.8146 * -0.0701 ...
    is_("A'1", -0.0210, -0.0175, -0.0161)  # -0.0701 * 0.30 ...
    is_("z'1", -0.0032, -0.0022, -0.0030)  # 0.1510 * -0.0210 ...
    is_("W'1", *[-0.0032, -0.0022, -0.0030], 0, 0, 0, *[-0.0032, -0.0022, -0.0030], 0, 0, 0)
    is_("W2 after", 0.3057, 0.2560, 0.2353)  # 0.30 + 0.1 * 0.0571 ...
    is_("b2 after", 0.6970)
    is_("W1 after", 0.4203, 0.8802, 0.5503, 0.10, 0.73, 0.68, 0.6003, 0.1802, 0.4703, 0.92, 0.11, 0.52)
    is_("b1 after", 0.4603, 0.7202, 0.0803)
    is_("loss after", 0.0444, 0.0429)


@pytest.mark.parametrize(
    ("row", "x", "z1"), [(1, [1, 0, 1, 1], [2.40, 1.89, 1.62]), (2, [0, 1, 0, 1], [1.48, 1.56, 1.28])]
)
def test_the_other_rows_of_four_inputs(four_inputs, row, x, z1):
    found = explain(four_inputs, read_csv(FOUR_INPUTS), row)
    assert found["A0"].to_numpy().tolist() == [x]
    np.testing.assert_allclose(found["z1"], [z1], rtol=1e-14)
    assert found["targets"].loc["y", "target"] == [1.0, 0.0][row - 1]


def test_a_derivative_row_by_hand():
    """y = 3 tanh(2 x), of which the slope 6 (1 - tanh(2 x)^2) was observed."""
    net, theta = Network.from_layers([([[2.0]], [0.0]), ([[3.0]], [0.0])])
    data = MixedData([[0.25]], J=[[4.0]])
    found = explain(as_it_stands(net, theta, data), data, learning_rate=0.01)
    a = math.tanh(0.5)
    s, c = 1 - a**2, -2 * a * (1 - a**2)
    expected = {
        "T0": 1.0, "U1": 2.0, "T1": 2 * s, "U2": 6 * s, "T2": 6 * s, "A'2": 0.0, "T'2": 2 * (6 * s - 4),
    }  # fmt: skip
    error = expected["T'2"]
    expected |= {"loss": (6 * s - 4) ** 2, "z'2": 0.0, "b'2": 0.0, "W'2": 2 * s * error, "T'1": 3 * error}
    expected |= {"U'1": s * 3 * error, "B1": 2 * 3 * error, "z'1": c * 6 * error, "b'1": c * 6 * error}
    expected |= {"W'1": 0.25 * c * 6 * error + s * 3 * error}
    expected |= {"W1 after": 2 - 0.01 * expected["W'1"], "b2 after": 0.0}
    for name, number in expected.items():
        np.testing.assert_allclose(found[name], [[number]], rtol=1e-14, err_msg=name)


# Against the network and the objective


def rows_of_all_kinds(net, rng):
    """Values alone, one partial, several, values and partials; with and without sigmas."""
    n, k, d = 5, net.k, net.d
    Y, J = rng.normal(size=(n, k)), rng.normal(size=(n, k, d))
    J[0] = NAN
    Y[1:4] = NAN
    J[1].ravel()[1:] = NAN
    J[2, :, 0] = NAN
    J[3, 0] = NAN
    Y[4, 0] = J[4, 1, 1] = NAN
    Y_sigma, J_sigma = (
        np.where(rng.random(a.shape) < 0.5, rng.uniform(0.5, 2, a.shape), NAN) for a in (Y, J)
    )
    return MixedData(rng.normal(size=(n, d)), Y, J, Y_sigma, J_sigma)


def check(found, net, theta, scaled, rate, **options):
    """Every number that the network and the objective know, for one row in the network's units."""
    objective = Objective(net, scaled, **options)
    loss, gradient = objective.loss_and_gradient(theta)
    count = len(net.layers)

    def close(a, b):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-12, atol=1e-12 * np.abs(b).max(initial=1.0))

    close(found[f"A{count}"], net.forward(theta, scaled.X))
    along = np.flatnonzero((~np.isnan(scaled.J[0])).any(0))
    if len(along):
        close(found[f"T{count}"], net.jacobian(theta, scaled.X)[0].T[along])
        assert list(found["T0"].index) == [f"along {scaled.inputs[j]}" for j in along]
    else:
        with pytest.raises(SwarmnetError, match="unknown matrix 'T1'"):
            found["T1"]
    close(found.loss, loss)
    close(found["loss"], [[loss]])
    slopes = [(found[f"W'{n}"], found[f"b'{n}"].iloc[0]) for n in range(1, count + 1)]
    close(net.flatten(slopes, found[f"K'{count}"] if net.trend else None), gradient)
    close(found.theta, theta - rate * gradient)
    after = [(found[f"W{n} after"], found[f"b{n} after"].iloc[0]) for n in range(1, count + 1)]
    trend = found[f"K{count} after"] if net.trend else None
    assert np.array_equal(net.flatten(after, trend), found.theta)
    close(found.loss_after, objective.loss(found.theta))


@pytest.mark.parametrize("name", TABLE)
def test_the_numbers_are_those_of_network_and_objective(name, rng):
    weight = 2.5  # of the derivatives
    for sizes, activations in (((3, 4, 3, 2), name), ((3, 5, 2), [name, name]), ((3, 2), [name])):
        net = Network(sizes, activations)
        theta, data = net.init(rng), rows_of_all_kinds(net, rng)
        model = as_it_stands(net, theta, data, derivative_weight=weight)
        for row in range(data.n):
            found = explain(model, data, row, learning_rate=0.03)
            check(found, net, theta, data.take([row]), 0.03, derivative_weight=weight)


@pytest.mark.parametrize(("hidden", "least"), [((), 2), ((4,), 1), ((3, 2), 1)])
def test_the_numbers_of_a_network_with_a_trend(hidden, least, rng):
    net = Network((3, *hidden, 2), "tanh", Trend.of_degree(3, [-2, -1, -3], [1, 2, 3], least))
    theta, data = net.init(rng), rows_of_all_kinds(net, rng)
    model = as_it_stands(net, theta, data, derivative_weight=2.5)
    for row in range(data.n):
        found = explain(model, data, row, learning_rate=0.003)
        check(found, net, theta, data.take([row]), 0.003, derivative_weight=2.5)
    np.testing.assert_allclose(found["P0"].to_numpy()[0], net.trend.jets(data.X[[-1]].T, 0)[0][:, 0])
    assert "P2(x1) P1(x3)" in found["P0"].columns


def test_cross_entropy(rng):
    net = Network((3, 4, 2), ["tanh", "sigmoid"])
    theta, data = net.init(rng), rows_of_all_kinds(net, rng)
    data = replace(data, Y=np.abs(np.tanh(data.Y)))
    model = as_it_stands(net, theta, data, loss_function="cross-entropy")
    for row in range(data.n):
        found = explain(model, data, row)
        check(found, net, theta, data.take([row]), 0.1, loss="cross-entropy")
        words = " ".join(step.formula for step in found.steps)
        assert "E2 = weight * residual / sigma" in words
        assert ("T'2 = 2 * weight" in words) == (row > 0)


@pytest.mark.parametrize("scaling", ["standard", "minmax", None])
def test_a_trained_model_is_explained_in_both_units(scaling, rng):
    X = np.column_stack([rng.uniform(280, 450, 12), rng.uniform(1e6, 1e8, 12)])
    J = np.full((12, 1, 2), NAN)
    J[6:, 0, 0], J[9:, 0, 1] = 4.0, 1e-6
    Y = np.where(np.arange(12) < 9, 4 * X[:, 0] + 1e-6 * X[:, 1], NAN)
    data = MixedData(X, Y, J, inputs=("T", "p"), outputs=("h",))
    model = fit(data, hidden=(3,), trainer="lbfgs", iterations=20, scaling=scaling)
    scaled = model.scaling.scale_data(data, balance=scaling is not None)
    for row in (0, 7, 10):
        found = explain(model, data, row, learning_rate=1e-6)
        check(found, model.net, model.theta, scaled.take([row]), 1e-6)
        if scaling is not None:
            np.testing.assert_allclose(found["y"], model.predict(X[[row]]), rtol=1e-14)
            np.testing.assert_allclose(found["x"], X[[row]])
        if scaling is not None and row == 10:
            np.testing.assert_allclose(found["dy/dx"].T, model.jacobian(X[[row]])[0], rtol=1e-12)


def test_formulas_name_what_their_step_shows(four_inputs):
    data = MixedData([[1.0, 0, 1, 0]], Y=[1.0], J=[[0.1, NAN, 0.2, NAN]])
    found = explain(replace(four_inputs, inputs=data.inputs, outputs=data.outputs), data)
    for step in found.steps:
        assert step.matrices[-1].made
        for matrix in step.matrices:
            if matrix.made and matrix.name[-1].isdigit():
                assert f"{matrix.name} =" in step.formula or f"{matrix.name} and" in step.formula
    assert [step.title for step in found.steps][:3] == [
        "The row", "Layer 1: hidden inputs", "Layer 1: activations (sigmoid) and their slopes",
    ]  # fmt: skip


def test_an_activation_of_ones_own_can_be_explained(rng):
    tanh = TABLE["tanh"]
    net = Network((1, 2, 1), Activation("<mine>", tanh.value, tanh.slope, tanh.curvature))
    theta, data = net.init(rng), MixedData([[0.3]], J=[[0.5]])
    found = explain(as_it_stands(net, theta, data), data)
    check(found, net, theta, data, 0.1)
    assert "S1 = f'(z1)" in found.to_text()
    assert "<mine>" not in found.to_html()


# What is marked


def active(found, title, name):
    (matrix,) = [m for step in found.steps if step.title == title for m in step.matrices if m.name == name]
    return matrix.active.astype(int).tolist()


def test_weights_of_inputs_that_are_0_are_idle(four_inputs):
    found = explain(four_inputs, FOUR_INPUTS, row=0)
    of_x1_and_x3 = [[1, 1, 1], [0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert active(found, "Layer 1: hidden inputs", "A0") == [[1, 0, 1, 0]]
    for title, name in (
        ("Layer 1: hidden inputs", "W1"),
        ("Layer 1: gradient", "W'1"),
        ("Layer 1: updated weights", "W1"),
        ("Layer 1: updated weights", "W1 after"),
    ):
        assert active(found, title, name) == of_x1_and_x3


def test_dead_units_are_idle():
    net, theta = Network.from_layers([([[1.0, -1.0]], [0.0, 0.0]), ([[1.0], [2.0]], [0.0])], "relu")
    data = MixedData([[2.0]], Y=[1.0])
    found = explain(as_it_stands(net, theta, data), data)
    assert active(found, "Layer 1: hidden inputs", "z1") == [[1, 1]]
    assert active(found, "Layer 2: hidden inputs", "W2") == [[1], [0]]
    assert active(found, "Layer 1: deltas", "A'1") == [[1, 0]]
    assert active(found, "Layer 1: updated weights", "W1 after") == [[1, 0]]


def test_a_partial_goes_through_the_weights_of_its_input():
    net, theta = Network.from_layers([([[1.0, 2.0], [3.0, 4.0]], [0.0, 0.0]), ([[1.0], [2.0]], [0.0])])
    data = MixedData([[0.5, 0.25]], J=[[NAN, 1.0]])
    found = explain(as_it_stands(net, theta, data), data)
    assert active(found, "Layer 1: tangents", "T0") == [[0, 1]]
    assert active(found, "Layer 1: tangents", "W1") == [[0, 0], [1, 1]]


# What is shown


class Tables(HTMLParser):
    """The captions, headers and cells of a page, and whatever it would fetch or run."""

    def __init__(self, page):
        super().__init__()
        self.cells, self.headers, self.open, self.fetched = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        self.fetched += [value for name, value in attrs if name in ("src", "href") or name.startswith("on")]
        if tag == "script":
            self.fetched.append(tag)
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)
        if tag == "td" and "title" in facts:
            self.cells.append((facts["class"], float(facts["title"])))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "th":
            self.headers.append(data)


NASTY = ("<script>alert(1)</script>", 'a"b', "</table>&amp;", "T, °C", "it's")


def test_html_stands_alone_and_names_stay_names(rng, tmp_path):
    net = Network((4, 2, 1), "tanh")
    data = MixedData(rng.normal(size=(1, 4)), Y=[1.0], inputs=NASTY[:4], outputs=NASTY[4:])
    found = explain(as_it_stands(net, net.init(rng), data), data)
    page = found.to_html(tmp_path / "steps.html")
    assert (tmp_path / "steps.html").read_text(encoding="utf-8") == page
    shown = Tables(page)
    assert (shown.open, shown.fetched) == ([], [])
    assert set(NASTY) <= set(shown.headers)
    assert "url(" not in page
    assert "@import" not in page
    for_notebooks = Tables(found._repr_html_())
    assert for_notebooks.cells == shown.cells


def test_html_shows_every_number_and_marks_the_active(four_inputs):
    found = explain(four_inputs, FOUR_INPUTS)
    cells = Tables(found.to_html()).cells
    frame = found.to_frame()
    assert [value for _, value in cells] == frame["value"].tolist()
    marks = np.where(~frame["active"], "idle", np.where(frame["made"], "made", "read"))
    assert [mark for mark, _ in cells] == marks.tolist()
    assert set(marks) == {"idle", "made", "read"}


def test_text_holds_six_digits(four_inputs):
    found = explain(four_inputs, FOUR_INPUTS)
    blocks = found.to_text().split("\n\n")
    steps = [block for block in blocks if block.startswith("# ")]
    assert steps[2].startswith("# 2. Layer 1: hidden inputs: z1 = A0 @ W1 + b1")
    tables = [list(csv.reader(block.splitlines())) for block in blocks if not block.startswith("# ")]
    matrices = [matrix for step in found.steps for matrix in step.matrices]
    assert [header[0] for header, *_ in tables] == [matrix.name for matrix in matrices]
    for (_, *lines), matrix in zip(tables, matrices, strict=True):
        numbers = [[float(cell) for cell in line[1:]] for line in lines]
        np.testing.assert_allclose(numbers, matrix.frame.to_numpy(), rtol=5e-6)
        assert max(len(cell.strip("-0.").replace(".", "")) for line in lines for cell in line[1:]) <= 6


def test_the_frame_has_a_row_for_each_cell(four_inputs):
    found = explain(four_inputs, FOUR_INPUTS)
    frame = found.to_frame()
    weights = frame[(frame["matrix"] == "W1 after")]
    assert len(weights) == 12
    assert weights.iloc[0][["row", "column", "what"]].tolist() == ["x1", "unit 1", "updated weights"]
    assert isinstance(found, Explanation)


# Mistakes, and what must not matter


def test_columns_are_matched_by_name(four_inputs):
    data = read_csv(FOUR_INPUTS)
    turned = MixedData(data.X[:, ::-1], data.Y, inputs=data.inputs[::-1], outputs=data.outputs)
    pd.testing.assert_frame_equal(
        explain(four_inputs, data, 1).to_frame(), explain(four_inputs, turned, 1).to_frame()
    )


def test_the_model_stays_as_it_was(four_inputs):
    before = four_inputs.theta.copy()
    frame = explain(four_inputs, FOUR_INPUTS, learning_rate=10.0)["W1"]
    frame.iloc[0, 0] = 7.0
    assert np.array_equal(before, four_inputs.theta)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"row": 3}, "row must be 0 to 2, as there are 3 rows, not 3"),
        ({"row": -1}, "row must be a whole number of 0 or more, not -1"),
        ({"row": 1.5}, "row must be a whole number of 0 or more, not 1.5"),
        ({"row": True}, "row must be a whole number"),
        ({"learning_rate": 0.0}, "learning_rate must be a positive number, not 0.0"),
        ({"learning_rate": NAN}, "learning_rate must be"),
        ({"learning_rate": "fast"}, "learning_rate must be"),
        ({"data": "nowhere.csv"}, "no such file"),
        ({"data": MixedData([[1.0]], Y=[1.0])}, "the data's inputs are x1, where x1, x2, x3, x4 are needed"),
    ],
)
def test_mistakes_are_one_line(four_inputs, arguments, words):
    with pytest.raises(SwarmnetError) as caught:
        explain(**({"model": four_inputs, "data": FOUR_INPUTS} | arguments))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_without_an_entry_is_refused(four_inputs):
    data = read_csv(FOUR_INPUTS)
    for changes in ({"Y": np.array([[1.0], [NAN], [0.0]])}, {"weights": np.array([1.0, 0.0, 1.0])}):
        with pytest.raises(SwarmnetError, match="row 1 has no entry that counts"):
            explain(four_inputs, replace(data, **changes), 1)


def test_a_row_counts_once_whatever_its_weight(four_inputs):
    data = read_csv(FOUR_INPUTS)
    heavy = explain(four_inputs, replace(data, weights=np.array([1.0, 5.0, 1.0])), 1)
    pd.testing.assert_frame_equal(heavy.to_frame(), explain(four_inputs, data, 1).to_frame())


def test_rows_can_be_counted_from_1(four_inputs):
    counted = explain(four_inputs, FOUR_INPUTS, 3, first_row=1)
    pd.testing.assert_frame_equal(counted.to_frame(), explain(four_inputs, FOUR_INPUTS, 2).to_frame())
    with pytest.raises(SwarmnetError, match="row must be 1 to 3, as there are 3 rows, not 4"):
        explain(four_inputs, FOUR_INPUTS, 4, first_row=1)
    with pytest.raises(SwarmnetError, match="row must be a whole number of 1 or more, not 0"):
        explain(four_inputs, FOUR_INPUTS, 0, first_row=1)


def test_a_step_that_overflows_is_refused(rng):
    net = Network((1, 2, 1), "tanh")
    data = MixedData([[1.0]], Y=[3.0])
    with pytest.raises(SwarmnetError, match="after the step: try a smaller learning rate"):
        explain(as_it_stands(net, net.init(rng), data), data, learning_rate=1e200)
