"""Pictures: what they draw is what the model and the data say, and all of it is on the figure."""

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.quiver import Quiver
from matplotlib.text import Text

from swarmnet import FittedModel, MixedData, Network, SwarmnetError, compare, fit, plots
from swarmnet.comparison import VALUES_ONLY
from swarmnet.network.trend import Trend
from swarmnet.scaling import Scaling

NAN = np.nan
COLUMNS = ["h", "dh/dT", "dh/dp", "s", "ds/dT"]  # ds/dp is never observed
BASE = np.array([350.0, 5e7])


def measured():
    """Two outputs of two inputs in very unlike units; sigmas for dh/dT, and for some of h."""
    rng = np.random.default_rng(1)
    n = 90
    X = np.column_stack([rng.uniform(280, 450, n), rng.uniform(1e6, 1e8, n)])
    T, p = X.T
    Y = np.column_stack([4e3 * (T - 280) + 1e-3 * p + 9 * (T - 350) ** 2, 4e3 * np.log(T / 280)])
    J = np.full((n, 2, 2), NAN)
    J[:, 0, 0], J[:, 0, 1], J[:, 1, 0] = 4e3 + 18 * (T - 350), 1e-3, 4e3 / T
    J[:, 0, 0] += rng.normal(0, 20, n)
    Y[::2, 0], Y[1::3, 1], J[1::3, 0, 0], J[::4, 0, 1], J[::3, 1, 0] = NAN, NAN, NAN, NAN, NAN
    Y_sigma, J_sigma = np.full_like(Y, NAN), np.full_like(J, NAN)
    Y_sigma[:45, 0], J_sigma[:, 0, 0] = 300.0, 20.0
    return MixedData(X, Y, J, Y_sigma, J_sigma, ("T", "p"), ("h", "s"))


@pytest.fixture(scope="module")
def data():
    return measured()


@pytest.fixture(scope="module")
def model(data):
    return fit(data, hidden=(5,), trainer="lm", iterations=40)


@pytest.fixture(scope="module")
def comparison(data):
    return compare(data, ("lbfgs", "adam", "sgd"), 3, evaluations=40, hidden=(3,), test=data)


def of(column, values, partials):
    """The numbers of one of the columns."""
    output = "hs".index(column.lstrip("d")[0])
    return values[:, output] if "/" not in column else partials[:, output, "Tp".index(column[-1])]


def untrained(sizes, activations="tanh", inputs=None, trend=None):
    """A model with random weights, without error bars."""
    net = Network(sizes, activations, trend)
    names = inputs or [f"x{j}" for j in range(net.d)]
    theta = net.init(np.random.default_rng(3))
    ranges = {name: [-1.0, 2.0] for name in names}
    scaling = Scaling(np.full(net.d, 0.5), np.full(net.d, 3.0), np.ones(net.k), np.full(net.k, 7.0))
    outputs = tuple(f"y{o}" for o in range(net.k))
    return FittedModel(net, theta, scaling, tuple(names), outputs, {"input_ranges": ranges})


def dots(ax):
    """(x, y) of the circles drawn, none when there are none."""
    circles = [line for line in ax.lines if line.get_marker() == "o" and len(line.get_xdata())]
    assert len(circles) <= 1
    return circles[0].get_data() if circles else (np.empty(0), np.empty(0))


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def of_kind(ax, kind):
    return [artist for artist in ax.get_children() if isinstance(artist, kind)]


# Actual against predicted, and residuals


@pytest.mark.parametrize("column", COLUMNS)
def test_parity_draws_each_observed_entry_against_its_prediction(model, data, column):
    ax = plots.parity(model, data, column)
    actual = of(column, data.Y, data.J)
    seen = np.isfinite(actual)
    x, y = dots(ax)
    np.testing.assert_array_equal(y, actual[seen])
    np.testing.assert_allclose(x, of(column, model.predict(data.X), model.jacobian(data.X))[seen], rtol=1e-12)
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (column, "predicted", "actual")
    assert ax.get_xlim() == ax.get_ylim() == tuple(ax.lines[0].get_xdata()) == tuple(ax.lines[0].get_ydata())
    assert f"n = {seen.sum()}\n" in ax.texts[0].get_text()


def test_parity_tells_the_errors_of_evaluate(model, data):
    text = plots.parity(model, data, "dh/dT").texts[0].get_text()
    seen = np.isfinite(data.J[:, 0, 0])
    error = (model.jacobian(data.X)[:, 0, 0] - data.J[:, 0, 0])[seen]
    assert f"RMSE = {np.sqrt(np.mean(error**2)):.3g}" in text
    assert "R² = " in text


def test_rows_of_weight_0_are_not_drawn(model, data):
    weights = np.tile([0.0, 3.0], 45)
    weighted = replace(data, weights=weights)
    kept = weights > 0
    assert len(dots(plots.parity(model, weighted, "h"))[0]) == np.isfinite(data.Y[kept, 0]).sum()
    seen = kept & np.isfinite(data.J[:, 0, 0])
    drawn = dots(plots.profile(model, "dh/dT", "T", data=weighted, nearness=1.0))
    np.testing.assert_array_equal(drawn[0], data.X[seen, 0])


def test_an_undefined_r2_is_left_out(model):
    one = MixedData([[300.0, 2e6]], [[1.0, NAN]], inputs=("T", "p"), outputs=("h", "s"))
    ax = plots.parity(model, one, "h")
    assert "R²" not in ax.texts[0].get_text() and "nan" not in ax.texts[0].get_text()
    assert np.all(np.isfinite([ax.get_xlim(), ax.get_ylim()]))


def test_error_bars_are_two_standard_deviations_each_way(model, data):
    ax = plots.parity(model, data, "h", error_bars=True)
    across, up = (np.array(bar.get_segments()) for bar in of_kind(ax, LineCollection))
    seen = np.isfinite(data.Y[:, 0])
    _, std = model.predict(data.X[seen], return_std=True)
    np.testing.assert_allclose(np.ptp(across[:, :, 0], axis=1), 4 * std[:, 0], rtol=1e-6)
    sigma = np.nan_to_num(data.Y_sigma[seen, 0])
    np.testing.assert_allclose(np.ptp(up[:, :, 1], axis=1), 4 * sigma, rtol=1e-6)
    assert "observed, ± 2 standard deviations" in labels(ax)
    assert of_kind(plots.parity(model, data, "h"), LineCollection) == []


def test_panels_are_of_all_columns_that_have_entries(model, data):
    assert list(plots.parity_panels(model, data)) == COLUMNS
    axes = plots.residual_panels(model, data, ["s", "dh/dp"], against="p")
    assert [ax.get_title() for ax in axes.values()] == ["s", "dh/dp"]
    assert {ax.get_xlabel() for ax in axes.values()} == {"p"}


@pytest.mark.parametrize("against", ["predicted", "T", "p"])
@pytest.mark.parametrize("column", ["h", "dh/dp", "s"])
def test_residuals_are_predicted_minus_actual(model, data, column, against):
    ax = plots.residuals(model, data, column, against)
    actual = of(column, data.Y, data.J)
    seen = np.isfinite(actual)
    predicted = of(column, model.predict(data.X), model.jacobian(data.X))[seen]
    x, y = dots(ax)
    np.testing.assert_allclose(y, predicted - actual[seen], rtol=1e-9)
    where = predicted if against == "predicted" else data.X[seen, "Tp".index(against)]
    np.testing.assert_allclose(x, where, rtol=1e-12)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (against, "predicted - actual")
    assert ax.get_title() == column


def test_residuals_are_divided_by_sigma_where_all_have_one(model, data):
    ax = plots.residuals(model, data, "dh/dT")
    plain = plots.residuals(model, data, "dh/dT", standardised=False)
    np.testing.assert_allclose(dots(ax)[1] * 20.0, dots(plain)[1])
    assert ax.get_ylabel() == "(predicted - actual) / sigma"
    assert {-2.0, 2.0} <= {line.get_ydata()[0] for line in ax.lines}
    with pytest.raises(SwarmnetError, match="h has entries without a sigma"):
        plots.residuals(model, data, "h", standardised=True)


# Profiles


@pytest.mark.parametrize("column", [*COLUMNS, "ds/dp"])
@pytest.mark.parametrize("name", ["T", "p"])
def test_a_profile_is_the_models_answer_along_the_input(model, column, name):
    ax = plots.profile(model, column, name, at=BASE)
    curve = next(line for line in ax.lines if line.get_label() == "model")
    x, y = curve.get_data()
    X = np.tile(BASE, (len(x), 1))
    X[:, "Tp".index(name)] = x
    np.testing.assert_allclose(y, of(column, model.predict(X), model.jacobian(X)), rtol=1e-9)
    assert [x[0], x[-1]] == model.training["input_ranges"][name]
    other = "p = 5e+07" if name == "T" else "T = 350"
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == (f"{column} at {other}", name, column)


@pytest.mark.parametrize("column", ["h", "dh/dT"])
def test_the_band_is_two_standard_deviations(model, column):
    ax = plots.profile(model, column, "T", at=BASE)
    x = ax.lines[-1].get_xdata()
    X = np.column_stack([x, np.full_like(x, BASE[1])])
    std = of(column, model.predict(X, return_std=True)[1], model.jacobian(X, return_std=True)[1])
    curve = of(column, model.predict(X), model.jacobian(X))
    corners = ax.collections[0].get_paths()[0].vertices
    for edge in (curve - 2 * std, curve + 2 * std):
        for point in np.column_stack([x, edge])[::40]:
            assert np.isclose(corners, point, rtol=1e-5).all(axis=1).any()
    assert "± 2 standard deviations" in labels(ax)
    bare = plots.profile(replace(model, spread=None), column, "T")
    assert len(bare.collections) == 0 and "± 2 standard deviations" not in labels(bare)


@pytest.mark.parametrize("nearness", [0.05, 0.1, 0.3])
def test_only_observations_near_the_slice_are_drawn_as_far_from_the_curve_as_their_residuals(
    model, data, nearness
):
    ax = plots.profile(model, "dh/dT", "T", at=BASE, data=data, nearness=nearness)
    low, high = model.training["input_ranges"]["p"]
    near = np.abs(data.X[:, 1] - 5e7) <= nearness * (high - low)
    seen = near & np.isfinite(data.J[:, 0, 0])
    assert seen.any() and not seen.all()
    in_slice = np.column_stack([data.X[seen, 0], np.full(seen.sum(), 5e7)])
    shift = (model.jacobian(in_slice) - model.jacobian(data.X[seen]))[:, 0, 0]
    assert np.abs(shift).max() > 0
    np.testing.assert_allclose(dots(ax), [data.X[seen, 0], data.J[seen, 0, 0] + shift], rtol=1e-12)
    assert f"{100 * nearness:g} % of range" in labels(ax)[-1]
    bars = np.array(of_kind(ax, LineCollection)[0].get_segments())
    np.testing.assert_allclose(np.ptp(bars[:, :, 1], axis=1), 2 * 2 * 20.0)


def strokes(ax):
    """(m, 2, 2) the ends of the tangent strokes."""
    drawn = [c for c in of_kind(ax, LineCollection) if c.get_label().startswith("observed slopes")]
    return np.array(drawn[0].get_segments()) if drawn else np.empty((0, 2, 2))


@pytest.mark.parametrize("name", ["T", "p"])
def test_strokes_have_the_observed_slope_through_the_value_or_the_curve(model, data, name):
    ax = plots.profile(model, "h", name, at=BASE, data=data, nearness=0.2)
    j, other = "Tp".index(name), 1 - "Tp".index(name)
    low, high = model.training["input_ranges"]["Tp"[other]]
    near = np.abs(data.X[:, other] - BASE[other]) <= 0.2 * (high - low)
    seen = near & np.isfinite(data.J[:, 0, j])
    ends = strokes(ax)
    rise, run = np.diff(ends[:, :, 1])[:, 0], np.diff(ends[:, :, 0])[:, 0]
    X = np.tile(BASE, (seen.sum(), 1))
    X[:, j] = data.X[seen, j]
    bend = (model.jacobian(X) - model.jacobian(data.X[seen]))[:, 0, j]
    np.testing.assert_allclose(rise / run, data.J[seen, 0, j] + bend, rtol=1e-6)
    valued = np.isfinite(data.Y[seen, 0])
    assert valued.any() and not valued.all()
    shift = (model.predict(X) - model.predict(data.X[seen]))[:, 0]
    middle = np.where(valued, data.Y[seen, 0] + shift, model.predict(X)[:, 0])
    np.testing.assert_allclose(ends.mean(axis=1), np.column_stack([data.X[seen, j], middle]), rtol=1e-9)
    # Equally long on the panel, and short
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    length = np.hypot(run / (right - left), rise / (top - bottom))
    np.testing.assert_allclose(length, length[0])
    assert 0.02 < length[0] < 0.1


def test_partials_have_no_strokes_and_far_slices_no_observations(model, data):
    assert len(strokes(plots.profile(model, "dh/dT", "T", data=data))) == 0
    far = plots.profile(model, "h", "T", at={"p": 5e8}, data=data)
    assert len(dots(far)[0]) == len(strokes(far)) == 0


def test_the_base_point(model, data):
    def at(base):
        return plots.profile(model, "h", "T", at=base).lines[0].get_xdata()[0]

    middle = sum(model.training["input_ranges"]["T"]) / 2
    assert at(None) == at({"p": 2e6}) == middle
    assert at({"T": 300}) == at([300.0, 2e6]) == at(pd.Series({"p": 2e6, "T": 300.0})) == 300.0
    beyond = plots.profile(model, "h", "T", at={"T": 500.0})
    assert beyond.lines[-1].get_xdata()[-1] == 500.0
    with pytest.raises(SwarmnetError, match="does not know the range of its inputs"):
        plots.profile(replace(model, training={}), "h", "T")
    known = plots.profile(replace(model, training={}), "h", "T", data=data)
    assert known.lines[0].get_xdata()[0] == pytest.approx(middle)


def test_a_profile_shades_what_is_outside_the_training_range(model, data):
    low, high = model.training["input_ranges"]["T"]
    wide = MixedData(
        [[low - 1.0, 1.0], [high, 1.0]], Y=[[0.0, 1.0]] * 2, inputs=data.inputs, outputs=data.outputs
    )
    within, beyond = (plots.profile(model, "h", "T", data=rows) for rows in (data, wide))
    assert "outside the training range" not in within.get_legend_handles_labels()[1]
    (shade,) = [p for p in beyond.patches if p.get_label() == "outside the training range"]
    np.testing.assert_allclose(
        shade.get_extents().transformed(beyond.transData.inverted()).intervalx, [low - 1, low]
    )


def test_profile_panels_have_a_row_a_column_and_share_its_axis(model, data):
    axes = plots.profile_panels(model, ["h", "dh/dT"], data=data)
    assert list(axes) == [(c, i) for c in ("h", "dh/dT") for i in ("T", "p")]
    assert axes["h", "T"].get_ylim() == axes["h", "p"].get_ylim()
    assert [axes[c, "T"].get_ylabel() for c in ("h", "dh/dT")] == ["h", "dh/dT"]
    assert [axes["dh/dT", i].get_xlabel() for i in ("T", "p")] == ["T", "p"]
    figure = axes["h", "T"].figure
    assert "T = 36" in figure.get_suptitle() and "p = " in figure.get_suptitle()
    assert len(figure.legends[0].get_texts()) == 4
    assert list(plots.profile_panels(model)) == [(c, i) for c in ("h", "s") for i in ("T", "p")]
    assert len(strokes(axes["h", "T"])) and not len(strokes(axes["dh/dT", "T"]))


# Contours


def test_a_contour_is_of_predict_and_its_arrows_of_jacobian(model):
    ax = plots.contour(model, "h", "T", "p")
    low, high = np.array(list(model.training["input_ranges"].values())).T
    (arrows,) = of_kind(ax, Quiver)
    J = model.jacobian(arrows.XY)[:, 0]
    np.testing.assert_allclose(np.column_stack([arrows.U, arrows.V]), J * (high - low), rtol=1e-9)
    # The longest are as long as the arrows are apart: twelve across the panel
    assert np.hypot(arrows.U, arrows.V).max() / arrows.scale == pytest.approx(1 / 12)
    assert arrows.angles == "uv" and ax.get_box_aspect() == 1
    filled = ax.collections[0]
    corners = [[T, p] for T in (low[0], high[0]) for p in (low[1], high[1])]
    assert filled.zmax == pytest.approx(model.predict(corners)[:, 0].max())
    assert (ax.get_title(), ax.get_xlabel(), ax.get_ylabel()) == ("h", "T", "p")
    assert ax.child_axes[0].get_ylabel() == "h"


def test_a_contour_marks_what_was_observed_of_its_output(model, data):
    ax = plots.contour(model, "s", "p", "T", data=data)
    values = np.isfinite(data.Y[:, 1])
    np.testing.assert_array_equal(np.array(dots(ax)).T, data.X[values][:, ::-1])
    crosses = next(line for line in ax.lines if line.get_marker() == "x")
    slopes = np.isfinite(data.J[:, 1]).any(axis=1)
    np.testing.assert_array_equal(crosses.get_xydata(), data.X[slopes][:, ::-1])
    assert labels(ax) == ["gradient", "slope", "value"]


def test_a_contour_holds_the_other_inputs(data):
    three = untrained((3, 4, 1))
    ax = plots.contour(three, "y0", "x2", "x0", at={"x1": 1.5})
    assert ax.get_title() == "y0 at x1 = 1.5"
    (arrows,) = of_kind(ax, Quiver)
    X = np.column_stack([arrows.XY[:, 1], np.full(len(arrows.XY), 1.5), arrows.XY[:, 0]])
    np.testing.assert_allclose(arrows.U, 3 * three.jacobian(X)[:, 0, 2], rtol=1e-9)


def test_a_contour_of_another_column_has_no_arrows(model, data):
    axes = plots.contour_panels(model, ["dh/dp", "s", "h - T*dh/dT"], y="T", data=data)
    assert [len(of_kind(ax, Quiver)) for ax in axes.values()] == [0, 1, 0]
    assert [ax.get_xlabel() for ax in axes.values()] == ["p"] * 3
    seen = np.isfinite(data.J[:, 0, 1])
    np.testing.assert_array_equal(np.array(dots(axes["dh/dp"])).T, data.X[seen][:, ::-1])
    low, high = np.array(list(model.training["input_ranges"].values())).T
    corners = [[T, p] for T in (low[0], high[0]) for p in (low[1], high[1])]
    least = model.quantity("h - T*dh/dT", corners).min()
    assert axes["h - T*dh/dT"].collections[0].zmin == pytest.approx(least)
    assert list(plots.contour_panels(model)) == ["h", "s"]


def test_quantities_are_drawn_like_columns(model, data):
    """Twice the enthalpy's slope, observed in other data as a quantity of its own."""
    frame = data.to_frame()[["T", "p", "s", "ds/dT"]]
    frame = frame.assign(h=np.nan, **{"dh/dp": np.nan, "twice": 2 * data.J[:, 0, 0] + frame["T"]})
    named = {"inputs": ["T", "p"], "outputs": ["h", "s"], "define": {"twice": "2*dh/dT + T"}}
    other = MixedData.from_frame(frame, **named)
    panels = plots.parity_panels(model, other)
    assert list(panels) == ["s", "ds/dT", "twice"]
    seen = np.isfinite(data.J[:, 0, 0])
    found = 2 * model.jacobian(data.X[seen])[:, 0, 0] + data.X[seen, 0]
    np.testing.assert_allclose(dots(panels["twice"])[0], found)
    np.testing.assert_allclose(dots(panels["twice"])[1], other.Q[seen, 0])
    curve = plots.profile(model, "2*dh/dT + T", "p", {"T": 300.0}).lines[-1]
    points = np.column_stack([np.full(201, 300.0), curve.get_xdata()])
    np.testing.assert_allclose(curve.get_ydata(), 2 * model.jacobian(points)[:, 0, 0] + 300.0)
    assert len(dots(plots.profile(model, "twice", "T", data=other))[0])


def test_profiles_of_one_column_fill_rows_of_panels(data):
    axes = plots.profile_panels(untrained((8, 3, 1)))
    spec = next(iter(axes.values())).get_subplotspec().get_gridspec()
    assert (spec.nrows, spec.ncols) == (2, 4)
    assert [ax.get_xlabel() for ax in axes.values()] == [f"x{j}" for j in range(8)]
    assert [ax.get_ylabel() for ax in axes.values()] == ["y0", "", "", "", "y0", "", "", ""]


# Losses


@pytest.mark.parametrize("against", ["seconds", "evaluations"])
def test_losses_are_medians_and_quartiles_of_the_best_so_far(comparison, against):
    ax = plots.losses(comparison, against)
    assert labels(ax) == ["lbfgs", "adam", "sgd"]
    assert any(VALUES_ONLY in name for name in comparison.curves["trainer"])
    for line, band in zip(ax.lines, ax.collections, strict=True):
        runs = comparison.curves[comparison.curves["trainer"] == line.get_label()]
        x, median = line.get_data()
        best = np.array(
            [
                [run.loc[run[against] <= where, "loss"].min() for where in x]
                for _, run in runs.groupby("repeat")
            ]
        )
        np.testing.assert_allclose(median, np.quantile(best, 0.5, axis=0))
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(np.quantile(best, 0.25, axis=0).min())
        assert heights.max() == pytest.approx(np.quantile(best, 0.75, axis=0).max())
        assert x[-1] == runs[against].max()
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.get_title() == "Median and quartiles of 3 runs"
    assert {"seconds": "time / s"}.get(against, "evaluations of the loss") == ax.get_xlabel()


def test_trainers_differ_without_colour(comparison):
    many = [comparison.curves.assign(trainer=f"adam {i}") for i in range(16)]
    lines = plots.losses(replace(comparison, curves=pd.concat(many))).lines
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 16


def test_a_run_without_a_loss_is_refused(comparison):
    curves = comparison.curves.copy()
    curves.loc[(curves["trainer"] == "adam") & (curves["repeat"] == 1), "loss"] = NAN
    with pytest.raises(SwarmnetError, match="adam, repeat 1, has no finite loss"):
        plots.losses(replace(comparison, curves=curves))


def test_too_many_trainers_are_refused(comparison):
    curves = pd.concat([comparison.curves.assign(trainer=f"adam {i}") for i in range(17)])
    with pytest.raises(SwarmnetError, match="17 trainers"):
        plots.losses(replace(comparison, curves=curves))


# Diagrams


def test_the_diagram_draws_every_weight_by_size_and_sign(model):
    ax = plots.network(model)
    for edges, (W, _) in zip(of_kind(ax, LineCollection), model.net.unflatten(model.theta), strict=True):
        assert len(edges.get_segments()) == W.size
        order = np.argsort(np.abs(W), axis=None)
        width = np.array(edges.get_linewidths())
        share = np.abs(W.ravel()[order]) / np.abs(W).max()
        np.testing.assert_allclose(width / width[-1], np.maximum(share, 0.02))
        strong = share > 0.02
        blue = [to_rgba("#0072B2") == tuple(color) for color in edges.get_colors()]
        np.testing.assert_array_equal(np.array(blue)[strong], W.ravel()[order][strong] > 0)
    words = [text.get_text() for text in ax.texts]
    assert {"T", "p", "h", "s", "inputs", "tanh", "linear"} <= set(words)
    assert f"|w| ≤ {np.abs(model.net.unflatten(model.theta)[0][0]).max():.3g}" in words
    assert ax.get_title() == "Network 2-5-2: 27 weights and biases"


@pytest.mark.parametrize(
    "activations", ["tanh", "sigmoid", "relu", "gelu", ["sine", "linear", "sigmoid"]], ids=str
)
def test_the_flows_of_every_layer_sum_to_the_partial(activations):
    wide = untrained((3, 5, 4, 2), activations)
    point = np.array([0.3, -0.7, 1.1])
    J = wide.jacobian(point[None])[0]
    for o in range(2):
        for j in range(3):
            flows = plots.diagrams.edge_flows(wide, point, o, j)
            assert [flow.shape for flow in flows] == [(3, 5), (5, 4), (4, 2)]
            np.testing.assert_allclose([flow.sum() for flow in flows], J[o, j], rtol=1e-9, atol=1e-12)
            for into, out in zip(flows[:-1], flows[1:], strict=True):  # what enters a unit leaves it
                np.testing.assert_allclose(into.sum(0), out.sum(1), rtol=1e-9, atol=1e-12)


def test_the_flow_diagram_draws_the_flows(model):
    ax = plots.derivative_flow(model, "dh/dp", {"T": 300, "p": 2e6})
    flows = plots.diagrams.edge_flows(model, np.array([300.0, 2e6]), 0, 1)
    widths = [np.array(edges.get_linewidths()) for edges in of_kind(ax, LineCollection)]
    largest = max(np.abs(flow).max() for flow in flows)
    for width, flow in zip(widths, flows, strict=True):
        share = np.sort(np.abs(flow), axis=None) / largest
        np.testing.assert_allclose(width / max(w.max() for w in widths), np.maximum(share, 0.02))
    total = f"{model.jacobian([[300.0, 2e6]])[0, 0, 1]:.4g}"
    assert ax.get_title() == f"dh/dp = {total}, edge by edge"
    assert {"T = 300", "p = 2e+06", "h"} <= {text.get_text() for text in ax.texts}
    assert any(f"layers sum to {total}" in text.get_text() for text in ax.texts)


@pytest.mark.parametrize(("hidden", "least"), [((), 2), ((5,), 1), ((4, 3), 1)])
def test_the_diagrams_of_a_trend(hidden, least):
    trend = Trend.of_degree(3, [-1, -2, 0], [2, 1, 3], least)
    wide = untrained((3, *hidden, 2), inputs=("T", "p", "a"), trend=trend)
    point = np.array([0.3, -0.7, 1.1])
    J = wide.jacobian(point[None])[0]
    for o in range(2):
        for j in range(3):
            added = plots.diagrams.trend_part(wide, point, o, j)
            for flow in plots.diagrams.edge_flows(wide, point, o, j):
                np.testing.assert_allclose(flow.sum() + added, J[o, j], rtol=1e-9, atol=1e-12)
    ax = plots.derivative_flow(wide, "dy1/da", dict(zip(wide.inputs, point.tolist(), strict=True)))
    assert ax.get_title() == f"dy1/da = {J[1, 2]:.4g}, edge by edge"
    added = plots.diagrams.trend_part(wide, point, 1, 2)
    words = f"layers sum to {J[1, 2] - added:.4g}, trend adds {added:.4g}"
    assert any(text.get_text().startswith(words) for text in ax.texts)
    refuse_cut_or_overlapping_text(ax.figure)
    ax, layers = plots.network(wide), "-".join(map(str, wide.net.sizes))
    title = f"Network {layers} + degree 3: {wide.net.size} weights, biases and coefficients"
    assert ax.get_title().replace("\n", " ") == title
    refuse_cut_or_overlapping_text(ax.figure)


# On the figure


def pictures(model, data, comparison):
    deep = untrained((12, 40, *[3] * 10, 2))
    odd = untrained((2, 3, 1), inputs=["a long name, with its unit (kg m^2/s), of many words", "$T$_x$"])
    return {
        "parity": lambda ax: plots.parity(model, data, "h", ax, error_bars=True),
        "parity of a partial": lambda ax: plots.parity(model, data, "dh/dp", ax),
        "residuals": lambda ax: plots.residuals(model, data, "dh/dT", "T", ax),
        "profile": lambda ax: plots.profile(model, "h", "p", data=data, ax=ax),
        "profile with odd names": lambda ax: plots.profile(odd, "y0", "$T$_x$", ax=ax),
        "contour": lambda ax: plots.contour(model, "h", "T", "p", data=data, ax=ax),
        "losses": lambda ax: plots.losses(comparison, ax=ax),
        "network": lambda ax: plots.network(model, ax),
        "deep network": lambda ax: plots.network(deep, ax),
        "odd names": lambda ax: plots.network(odd, ax),
        "flow": lambda ax: plots.derivative_flow(model, "dh/dT", ax=ax),
    }


PICTURES = list(pictures(None, None, None))


def panels(model, data):
    return {
        "parity": lambda figure: plots.parity_panels(model, data, figure=figure, error_bars=True),
        "residuals": lambda figure: plots.residual_panels(model, data, figure=figure, against="T"),
        "profiles": lambda figure: plots.profile_panels(
            model, ["h", "dh/dT", "ds/dp"], data=data, figure=figure
        ),
    }


def refuse_cut_or_overlapping_text(figure):
    """Every text is inside the figure, and no tick label touches the next."""
    figure.draw_without_rendering()
    numbers, shown = set(), []
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            numbers |= {id(label) for tick in ticks for label in (tick.label1, tick.label2)}
            low, high = sorted(axis.get_view_interval())
            places = zip(axis.get_major_ticks(), axis.get_majorticklocs(), strict=True)
            seen = [tick.label1 for tick, at in places if low <= at <= high and ax.axison]
            boxes = [label.get_window_extent() for label in seen if label.get_text() and label.get_visible()]
            assert not any(one.overlaps(other) for one, other in zip(boxes[:-1], boxes[1:], strict=True))
            shown += boxes
    others = [text for text in figure.findobj(Text) if id(text) not in numbers]
    shown += [text.get_window_extent() for text in others if text.get_text().strip() and text.get_visible()]
    for box in shown:
        assert min(box.x0, box.y0) >= -1
        assert box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("name", PICTURES)
def test_a_new_figure_cuts_nothing_off_and_changes_no_settings(model, data, comparison, name):
    before = settings()
    figure = pictures(model, data, comparison)[name](None).figure
    refuse_cut_or_overlapping_text(figure)
    drawn = BytesIO()
    figure.savefig(drawn, format="svg")
    assert b"nan" not in drawn.getvalue()
    assert settings() == before


def settings():
    """All but the backend, which to look at is to choose."""
    return {name: mpl.rcParams[name] for name in mpl.rcParams if not name.startswith("backend")}


@pytest.mark.parametrize("name", [name for name in PICTURES if name not in ("deep network", "odd names")])
def test_a_small_axes_of_ones_own_is_filled_and_returned(model, data, comparison, name):
    ax = Figure(figsize=(4.0, 3.2), layout="constrained").subplots()
    assert pictures(model, data, comparison)[name](ax) is ax
    refuse_cut_or_overlapping_text(ax.figure)


@pytest.mark.parametrize("name", list(panels(None, None)))
def test_nothing_is_cut_off_panels(model, data, name):
    draw = panels(model, data)[name]
    refuse_cut_or_overlapping_text(next(iter(draw(None).values())).figure)
    figure = Figure()
    assert {ax.figure for ax in draw(figure).values()} == {figure}
    assert isinstance(figure.get_layout_engine(), ConstrainedLayoutEngine)
    assert all(ax.get_legend() is None for ax in figure.axes)
    with pytest.raises(SwarmnetError, match="the figure has axes already"):
        draw(figure)


def test_panels_go_into_a_part_of_a_figure(model, data):
    figure = Figure(figsize=(16, 8))
    left, right = figure.subfigures(1, 2)
    plots.profile_panels(model, data=data, figure=left)
    plots.parity_panels(model, data, figure=right)
    assert (len(left.axes), len(right.axes)) == (4, 5)
    refuse_cut_or_overlapping_text(figure)


def test_text_is_of_the_size_that_rc_params_ask_for(model):
    with mpl.rc_context({"font.size": 15, "axes.titlesize": "large"}):
        ax = plots.network(model)
        refuse_cut_or_overlapping_text(ax.figure)
        name = next(text for text in ax.texts if text.get_text() == "T")
        assert name.get_fontsize() == 15


def test_dollars_in_names_are_no_formulas():
    odd = untrained((2, 3, 1), inputs=["$T$_x$", "p"])
    ax = plots.profile(odd, "y0", "$T$_x$")
    assert ax.get_xlabel() == r"\$T\$_x\$"
    ax.figure.savefig(BytesIO(), format="svg")


def test_plots_need_neither_pyplot_nor_a_display_and_swarmnet_no_matplotlib():
    code = (
        "import os, sys; os.environ.pop('DISPLAY', None); os.environ.pop('MPLBACKEND', None)\n"
        "import swarmnet; assert 'matplotlib' not in sys.modules\n"
        "import swarmnet.plots, io\n"
        "data = swarmnet.MixedData([[0.0], [1.0], [2.0]], [0.0, 1.0, 4.0])\n"
        "model = swarmnet.fit(data, hidden=(3,), trainer='lbfgs', iterations=9)\n"
        "swarmnet.plots.profile(model, 'y', 'x1', data=data).figure.savefig(io.BytesIO())\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_missing_matplotlib_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "swarmnet.plots")
    with pytest.raises(SwarmnetError, match=r'needs matplotlib: pip install "\.\[plots\]" in a clone'):
        import_module("swarmnet.plots")


# What cannot be drawn


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda m, d: plots.parity(m, d, "dh/dt"), "unknown column 'dh/dt': did you mean"),
        (lambda m, d: plots.parity(m, d, ["h"]), "unknown column"),
        (lambda m, d: plots.parity(m, d, "ds/dp"), "no entry of ds/dp"),
        (lambda m, d: plots.parity("m.json", d, "h"), "model must be a FittedModel, not str"),
        (lambda m, d: plots.parity(m, "d.csv", "h"), "data must be MixedData, not str"),
        (lambda m, d: plots.parity(m, d, "h", "ax"), "ax must be a matplotlib Axes, not str"),
        (lambda m, d: plots.parity(replace(m, spread=None), d, "h", error_bars=True), "no error bars"),
        (lambda m, d: plots.parity(replace(m, outputs=("g", "s")), d, "g"), "the data's outputs are h, s"),
        (lambda m, d: plots.parity_panels(m, d, []), "columns must be one or more names"),
        (lambda m, d: plots.parity_panels(m, d, ["h", "h"]), "each once"),
        (lambda m, d: plots.parity_panels(m, d, figure=1), "figure must be a matplotlib Figure"),
        (lambda m, d: plots.residuals(m, d, "h", "q"), "unknown against 'q'"),
        (lambda m, d: plots.profile(m, "h", "q"), "unknown input 'q'"),
        (lambda m, d: plots.profile(m, "h", "T", {"q": 1.0}), "unknown input 'q'"),
        (lambda m, d: plots.profile(m, "h", "T", [1.0]), "at must be a dict of inputs, or 2 numbers"),
        (lambda m, d: plots.profile(m, "h", "T", {"p": NAN}), "at: p must be a finite number, not nan"),
        (lambda m, d: plots.profile(m, "h", "T", {"p": "high"}), "at: p must be a finite number"),
        (lambda m, d: plots.profile(m, "h", "T", data=d, nearness=-1), "nearness must be"),
        (lambda m, d: plots.profile(m, "h", "T", data=d, nearness=NAN), "nearness must be"),
        (lambda m, d: plots.profile_panels(m, inputs=["T", "q"]), "unknown input 'q'"),
        (lambda m, d: plots.profile_panels(untrained((20, 2, 2))), "40 panels, and 36 can be read"),
        (lambda m, d: plots.contour(m, "dh/dt", "T", "p"), "unknown column 'dh/dt': did you mean"),
        (lambda m, d: plots.contour_panels(untrained((1, 2, 1))), "the model has one input, x0"),
        (lambda m, d: plots.profile(m, "h - U*dh/dT", "T"), "'U' is no input or output"),
        (lambda m, d: plots.contour(m, "h", "T", "T"), "x and y are both T"),
        (lambda m, d: plots.network(untrained((2, 41, 1))), "network 2-41-1 is too large for a diagram"),
        (lambda m, d: plots.network(untrained((2, *[2] * 12, 1))), "too large for a diagram"),
        (lambda m, d: plots.derivative_flow(m, "h"), "unknown partial 'h'"),
        (lambda m, d: plots.derivative_flow(m, ["dh/dT"]), "unknown partial"),
        (lambda m, d: plots.losses(m), "comparison must be what compare returns, not FittedModel"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(model, data, draw, words):
    with pytest.raises(SwarmnetError) as caught:
        draw(model, data)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_losses_are_against_seconds_or_evaluations(comparison):
    with pytest.raises(SwarmnetError, match="unknown against 'iteration'"):
        plots.losses(comparison, "iteration")


def test_an_input_or_an_output_that_does_not_vary_is_refused(model):
    ranges = {"T": [300.0, 300.0], "p": [1e6, 1e8]}
    still = replace(model, training={"input_ranges": ranges})
    with pytest.raises(SwarmnetError, match="T has only the value 300: there is no profile"):
        plots.profile(still, "h", "T")
    with pytest.raises(SwarmnetError, match="T has only the value 300: there is no contour"):
        plots.contour(still, "h", "T", "p")
    hardly = replace(untrained((2, 1)), theta=np.array([1e-15, 1e-15, 1.0]))
    with pytest.raises(SwarmnetError, match="y0 is 8 everywhere here"):
        plots.contour(hardly, "y0", "x0", "x1")
    with pytest.raises(SwarmnetError, match="y0 is 1 everywhere here"):
        plots.contour(replace(untrained((2, 1)), theta=np.zeros(3)), "y0", "x0", "x1")


@pytest.mark.parametrize("name", ["parity", "profile", "contour", "flow"])
def test_no_nan_is_drawn(model, data, comparison, name):
    broken = replace(model, theta=np.full_like(model.theta, NAN))
    with pytest.raises(SwarmnetError, match="is not finite"):
        pictures(broken, data, comparison)[name](None)


def test_a_flat_model_is_drawn(data):
    flat = replace(untrained((2, 1)), theta=np.zeros(3))
    observed = MixedData([[0.0, 0.0], [1.0, 0.0]], [1.0, 1.0], inputs=("x0", "x1"), outputs=("y0",))
    refuse_cut_or_overlapping_text(plots.profile(flat, "y0", "x0", data=observed).figure)
    refuse_cut_or_overlapping_text(plots.parity(flat, observed, "y0").figure)
    refuse_cut_or_overlapping_text(plots.network(flat).figure)
    refuse_cut_or_overlapping_text(plots.derivative_flow(flat, "dy0/dx0").figure)


@pytest.mark.parametrize("factor", [1.0, 1e6])
def test_square_panels_are_laid_out_when_they_are_drawn_first(factor):
    """matplotlib needs several layouts where Axes are square: titles were cut off files."""
    small = untrained((2, 1))
    large = replace(small, scaling=replace(small.scaling, y_scale=np.full(1, factor)))
    X = np.random.default_rng(0).uniform(-1, 2, (40, 2))
    data = MixedData(X, large.predict(X), large.jacobian(X), inputs=large.inputs, outputs=large.outputs)
    figure = next(iter(plots.parity_panels(large, data).values())).figure
    refuse_cut_or_overlapping_text(figure)
    first = [ax.get_position().bounds for ax in figure.axes]
    figure.draw_without_rendering()
    np.testing.assert_allclose([ax.get_position().bounds for ax in figure.axes], first, atol=2e-3)
