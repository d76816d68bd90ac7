"""Training records of model files: whatever stands in one, what is known is told and the rest is unknown."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError
from swarmnet.cli import printing
from swarmnet.model.training_record import MEANINGS, candidates, for_people
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


def test_models_that_were_tried_are_ordered_by_their_predictions():
    tried = [
        {"hidden": [8, 8], "climbs": 2, "log_evidence": 5.0, "degree": 1, "terms": 2},
        {"hidden": [16], "climbs": 3, "log_evidence": 7.0},
        {"hidden": [], "climbs": 1, "log_evidence": 1.0, "left_out_error": 0.5},
        {"hidden": [], "climbs": 1, "log_evidence": 0.0, "left_out_error": 0.25, "degree": 3, "terms": 7},
        {"hidden": "none", "terms": 2.5, "left_out_error": 1e999},
        "no row",
    ]
    found = candidates({"candidates": tried})
    assert [row["model"] for row in found] == ["degree 3", "linear", "(16)", "(8, 8) + degree 1", "unknown"]
    line = for_people({"candidates": tried})["candidates"]
    assert line.startswith("degree 3: 7 terms, 1 run, log evidence 0, left-out error 0.25; linear: 1 run, ")
    assert for_people({"candidates": tried[:1] * 8})["candidates"].endswith("; and 2 more")


def test_a_report_has_a_table_of_the_models_that_were_tried(loaded, tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    tried = [
        {"hidden": [3], "climbs": 2, "terms": 2.5, "log_evidence": 5.5},
        {"hidden": [], "left_out_error": 0.125},
    ]
    loaded(candidates=tried).report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    table = page[page.index("Models tried") :]
    assert table.index("linear") < table.index("(3)")
    assert "0.125" in table and "5.5" in table and "2.5" in table
    assert "score (log evidence)" in table and "predictions of entries left out of the fit" in table


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


def test_every_field_of_a_record_has_a_meaning():
    data = MixedData([[0.0], [1.0], [2.0]], J=np.ones((3, 1, 1)), J_sigma=np.ones((3, 1, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, hidden=(2,), trainer="lm", iterations=3)
    assert model.training.keys() <= MEANINGS.keys()


def test_a_patience_that_ends_no_run_is_not_shown():
    settings = {"patience": 1_000_000, "swarm": {"patience": 500}, "stages": {"patience": 2_000_000}}
    assert for_people({"settings": settings})["settings"] == {
        "swarm": {"patience": 500},
        "stages": {},
    }
