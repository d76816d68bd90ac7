"""Units of columns on the axes of plots, in reports and in exports."""

import json
import re

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData

UNITS = {"T": "K", "p": "bar, abs", "h": "J/kg"}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.random((20, 2))
    return MixedData(X, X @ [2.0, 1.0], inputs=["p", "T"], outputs=["h"], units=UNITS)


@pytest.fixture(scope="module")
def model(data):
    return swarmnet.fit(data, hidden=(2,), trainer="lbfgs", iterations=3)


def test_axes_have_units(model, data):
    pytest.importorskip("matplotlib")
    from swarmnet import plots

    axes = plots.profile(model, "dh/dT", "p", data=data)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("p [bar, abs]", "dh/dT [J/kg/K]")
    axes = plots.contour(model, "h", "T", "p")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("T [K]", "p [bar, abs]")
    panels = plots.profile_panels(model)
    assert panels["h", "p"].get_ylabel() == "h [J/kg]" and panels["h", "T"].get_xlabel() == "T [K]"
    assert plots.parity(model, data, "h").get_title() == "h [J/kg]"


def test_a_report_has_units(model, data, tmp_path):
    pytest.importorskip("jinja2")
    model.report(tmp_path / "r.html", data)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    content = json.loads(re.search(r'<script[^>]*id="content"[^>]*>(.*?)</script>', text, re.DOTALL)[1])
    assert content["units"] == UNITS | {"dh/dT": "J/kg/K", "dh/dp": "J/kg/(bar, abs)"}


def test_exports_have_units(model, tmp_path):
    module = {}
    exec(model.to_python(), module)
    assert module["UNITS"] == UNITS
    model.to_c(tmp_path / "m.c")
    text = (tmp_path / "m.c").read_text()
    assert '"p" in "bar, abs", trained from' in text and '"h" in "J/kg"' in text
    model.to_javascript(tmp_path / "m.js")
    assert f'"units": {json.dumps(UNITS)}' in (tmp_path / "m.js").read_text()


def test_onnx_metadata_have_units(model, tmp_path):
    onnx = pytest.importorskip("onnx")
    model.to_onnx(tmp_path / "m.onnx")
    found = {entry.key: entry.value for entry in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert json.loads(found["column_units"]) == UNITS
