"""Plots of models of logarithms: profiles have a logarithmic axis, flows add up to the partial."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData
from tests.fitting.test_logarithms import INPUTS, OUTPUTS, model_of

pytest.importorskip("matplotlib")
from matplotlib.collections import LineCollection

from swarmnet import plots
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
    np.testing.assert_allclose(ends[..., 1].mean(1), data.Y[:, 0])
    (run,), (rise,) = (np.diff(each).T for each in (np.log(ends[..., 0]), ends[..., 1]))
    np.testing.assert_allclose(rise / run, X[:, 1] * data.J[:, 0, 1])


def test_flows_add_up_to_the_partial():
    model, point = model_of(), np.array([0.3, 20.0])
    for o, j in np.ndindex(2, 2):
        right = model.jacobian(point[None])[0, o, j]
        assert [flow.sum() for flow in edge_flows(model, point, o, j)] == pytest.approx([right, right])
