"""Plots of models of logarithms: profiles have a logarithmic axis, flows add up to the partial."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError
from tests.fitting.test_logarithms import INPUTS, OUTPUTS, model_of

pytest.importorskip("matplotlib")
from matplotlib.collections import LineCollection
from matplotlib.quiver import Quiver

from swarmnet import plots
from swarmnet.plots import style
from swarmnet.plots.diagrams import edge_flows


def test_a_profile_along_a_logarithm_has_a_logarithmic_axis():
    model = replace(model_of(), training={"input_ranges": {"T": [-1, 1], "p": [1e-3, 1e3]}})
    X = np.array([[0.2, 0.01], [0.2, 50.0]])
    data = MixedData(X, model.predict(X), model.jacobian(X), inputs=INPUTS, outputs=OUTPUTS)
    ax = plots.profile(model, "z", "p", {"T": 0.2, "p": 1.0}, data)
    assert ax.get_xscale() == "log" and plots.profile(model, "z", "T").get_xscale() == "linear"
    curve = next(line for line in ax.lines if line.get_label() == "model")
    np.testing.assert_allclose(np.diff(np.log(curve.get_xdata())), np.log(1e6) / 200)
    (strokes,) = (each for each in ax.collections if isinstance(each, LineCollection))
    ends = np.array(strokes.get_segments())
    np.testing.assert_allclose(ends[..., 0].prod(1), X[:, 1] ** 2)
    np.testing.assert_allclose(ends[..., 1].prod(1), data.Y[:, 0] ** 2)
    (run,), (rise,) = (np.diff(each).T for each in (np.log(ends[..., 0]), np.log(ends[..., 1])))
    np.testing.assert_allclose(rise / run, X[:, 1] * data.J[:, 0, 1] / data.Y[:, 0])


def positive():
    """A model of ln z and a by T and ln p over six decades, and data that scatter about it."""
    model = replace(model_of(), training={"input_ranges": {"T": [-1, 1], "p": [1e-3, 1e3]}})
    rng = np.random.default_rng(5)
    X = np.column_stack([rng.uniform(-1, 1, 40), 10 ** rng.uniform(-3, 3, 40)])
    Y = model.predict(X) * rng.uniform(0.8, 1.2, (40, 2))
    return model, MixedData(X, Y, model.jacobian(X), inputs=INPUTS, outputs=OUTPUTS)


def test_parity_of_a_logarithm_has_logarithmic_axes():
    model, data = positive()
    panels = plots.parity_panels(model, data)
    scales = {name: (ax.get_xscale(), ax.get_yscale()) for name, ax in panels.items()}
    assert scales.pop("z") == ("log", "log")
    assert set(scales.values()) == {("linear", "linear")} and len(scales) == 5
    low, high = panels["z"].get_xlim()
    assert 0 < low < data.Y[:, 0].min() and high > data.Y[:, 0].max()


def test_a_profile_of_a_logarithm_shifts_observations_by_their_ratio():
    model, data = positive()
    at = {"T": 0.2, "p": 3.0}
    ax = plots.profile(model, "z", "p", at, data, nearness=10.0)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    (dots,) = (line for line in ax.lines if line.get_marker() == "o")
    here = model.predict(np.column_stack([np.full(40, 0.2), data.X[:, 1]]))[:, 0]
    np.testing.assert_allclose(dots.get_ydata(), data.Y[:, 0] / model.predict(data.X)[:, 0] * here)
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() > 0


def test_points_are_near_a_slice_and_midway_by_logarithms():
    model, data = positive()
    ax = plots.profile(model, "z", "T", data=data, nearness=0.1)
    low, high = np.log([data.X[:, 1].min(), data.X[:, 1].max()])
    low, high = min(low, np.log(1e-3)), max(high, np.log(1e3))
    near = np.abs(np.log(data.X[:, 1]) - (low + high) / 2) <= 0.1 * (high - low)
    (dots,) = (line for line in ax.lines if line.get_marker() == "o")
    np.testing.assert_allclose(dots.get_xdata(), data.X[near, 0])
    assert near.any() and "p = 1" in ax.get_title()
    with pytest.raises(SwarmnetError, match="at: p must be positive, as its logarithm is taken, not -1"):
        plots.profile(model, "z", "T", {"p": -1.0})


def test_contours_of_logarithms_are_as_far_apart_as_ratios():
    model, _ = positive()
    ax = plots.contour(model, "z", "p", "T")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "linear")
    np.testing.assert_allclose(np.diff(np.log(ax.collections[0].levels), 2), 0.0, atol=1e-9)
    (arrows,) = (each for each in ax.collections if isinstance(each, Quiver))
    points = arrows.XY[:, ::-1]
    z, J = model.predict(points)[:, 0], model.jacobian(points)[:, 0]
    np.testing.assert_allclose(arrows.U, J[:, 1] / z * points[:, 1] * np.log(1e6))
    np.testing.assert_allclose(arrows.V, J[:, 0] / z * 2.0)
    np.testing.assert_allclose(
        np.diff(plots.contour(model, "a", "T", "p").collections[0].levels, 2), 0, atol=1e-9
    )


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (2.0, 5.1, ["2", "3", "4", "5"]),
        (1e-4, 1e5, [rf"$\mathdefault{{10^{{{n}}}}}$" for n in (-4, -2, 0, 2, 4)]),
    ],
)
def test_ticks_of_logarithmic_axes_are_few_and_short(low, high, texts):
    ax = style.axes(None)
    style.scale(ax, True, False)
    ax.set_xlim(low, high)
    ax.figure.draw_without_rendering()
    shown = [tick.label1.get_text() for tick in ax.xaxis.get_major_ticks() if low <= tick.get_loc() <= high]
    assert shown == texts


def test_flows_add_up_to_the_partial():
    model, point = model_of(), np.array([0.3, 20.0])
    for o, j in np.ndindex(2, 2):
        right = model.jacobian(point[None])[0, o, j]
        assert [flow.sum() for flow in edge_flows(model, point, o, j)] == pytest.approx([right, right])
