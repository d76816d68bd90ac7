"""Training records of model files: whatever stands in one, what is known is told and the rest is unknown."""

import json
from dataclasses import replace

import numpy as np
import pytest

import swarmnet
from swarmnet import SwarmnetError
from swarmnet.cli import printing
from tests.report_cases import data_of, model_of

ODD = [
    None,
    "a text",
    "\x1b[31m",
    "=1+2",
    True,
    -1,
    1e300,
    10**400,
    [],
    [1, 2, 3],
    [10**400, 1],
    ["a", "b"],
    {},
    {"T": 1},
    {"T": [2, 1], "p": [0, 1]},
    {"T": [0, 10**400], "p": [0, 1]},
    {"T": [None, 1], "p": "x"},
    {"T": {"T": [1, [2]]}},
]
FIELDS = ["seconds", "loss", "seed", "trainer", "rows", "input_ranges", "settings"]


@pytest.fixture
def loaded(tmp_path):
    """The model of a file with some fields of its training record changed."""
    model = model_of()

    def load(**changes):
        replace(model, training=model.training | changes).save(tmp_path / "model.json")
        return swarmnet.load(tmp_path / "model.json")

    return load


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: str(odd)[:20])
def test_an_odd_record_ends_nothing_in_a_traceback(loaded, odd, tmp_path, capsys):
    pytest.importorskip("jinja2")
    plots = pytest.importorskip("swarmnet.plots")
    model, data = loaded(**dict.fromkeys(FIELDS, odd)), data_of(model_of())
    model.report(tmp_path / "report.html")
    for as_json in (False, True):
        printing.show_model(model, as_json)
    plots.profile(model, "h", "T", data=data)
    with pytest.raises(SwarmnetError, match="does not know the range of its inputs: give data="):
        plots.profile(model, "h", "T")
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("odd", ODD[1:], ids=lambda odd: str(odd)[:20])
def test_explain_says_what_is_odd_about_what_it_needs(loaded, odd):
    for field in ("loss_function", "derivative_weight", "scaling"):
        model = loaded(**{field: odd})
        if field == "derivative_weight" and odd in (1e300,):
            continue
        with pytest.raises(SwarmnetError, match=rf"^the model's training record has {field} ") as caught:
            swarmnet.explain(model, data_of(model_of()))
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


def test_what_a_report_does_not_know_is_unknown(loaded, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    loaded(seconds=None, seed=[1], loss="none", rows=None).report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "hybrid, seed unknown, unknown" in page
    assert "unknown rows: 20 values, 40 derivatives" in page


def test_a_number_that_is_infinite_as_a_double_is_refused(loaded, tmp_path):
    loaded()
    path = tmp_path / "model.json"
    path.write_text(path.read_text().replace('"seconds": 2.0', '"seconds": 1e999'))
    with pytest.raises(SwarmnetError, match="damaged model"):
        swarmnet.load(path)


def told_by_the_first_version(data, ranges, tmp_path, **options):
    """The model of `data` in a file with these ranges, one an input."""
    model = swarmnet.fit(data, hidden=(2,), trainer="lbfgs", iterations=2, **options)
    model.save(tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    document |= {"version": 1, "spread": None}
    document["training"]["input_ranges"] = dict(zip(model.inputs, ranges, strict=True))
    (tmp_path / "model.json").write_text(json.dumps(document))
    return swarmnet.load(tmp_path / "model.json").training["input_ranges"]


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_ranges_that_the_first_version_told_of_other_inputs_are_mended(tmp_path, scaling):
    rng = np.random.default_rng(0)
    X = rng.uniform([0.0, 1000.0, -5.0], [1.0, 2000.0, -4.0], (20, 3))
    data = swarmnet.MixedData(X, X.sum(1), inputs=["w", "b", "aa"])
    right = np.column_stack([X.min(0), X.max(0)]).tolist()
    wrong = [right[1], right[0], right[2]]
    ranges = told_by_the_first_version(data, wrong, tmp_path, scaling=scaling)
    assert ranges == dict(zip(data.inputs, right, strict=True))
    assert told_by_the_first_version(data, right, tmp_path, scaling=scaling) == ranges
    strange = [[7.0, 8.0], right[1], right[2]]  # whatever they are, they are none of these inputs
    assert told_by_the_first_version(data, strange, tmp_path)["w"] == [7.0, 8.0]
