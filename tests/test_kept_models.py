"""Model files that versions 0.1.0 and 0.2.0 wrote, which every later version reads.

THE FILES IN tests/kept ARE NEVER REWRITTEN. They stand for the models that people have: a test that fails is
mended in swarmnet, not by new files. A new version of the format gets new files beside these.

`mixed` was trained by hybrid on values, derivatives and a sigma, and has error bars; `activations` has a
layer of each of the eight, with weights drawn at random. Version 0.2.0 wrote the formats 2, `plain`, and 3,
`trend`, with logarithms; both learnt values, derivatives and the formula cp, and have error bars. The answers
are what those versions gave.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from swarmnet import load

KEPT = Path(__file__).with_name("kept")
BY_FORMULAS = ["model-3-trend", "model-2-plain"]
MODELS = ["model-1-mixed", "model-1-activations", *BY_FORMULAS]


def answers(name):
    kept = json.loads((KEPT / f"{name}-answers.json").read_text())
    return {what: np.array(numbers) for what, numbers in kept.items()}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("query", ["predict", "jacobian", "hessian"])
def test_a_kept_model_answers_as_ever(name, query):
    kept = answers(name)
    found = getattr(load(KEPT / f"{name}.json"), query)(kept["X"])
    np.testing.assert_allclose(found, kept[query], rtol=1e-9, atol=1e-11 * np.abs(kept[query]).max())


@pytest.mark.parametrize("name", ["model-1-mixed", *BY_FORMULAS])
@pytest.mark.parametrize("query", ["predict", "jacobian"])
def test_a_kept_model_has_its_error_bars(name, query):
    kept = answers(name)
    _, found = getattr(load(KEPT / f"{name}.json"), query)(kept["X"], return_std=True)
    np.testing.assert_allclose(found, kept[f"{query}_std"], rtol=1e-4)


@pytest.mark.parametrize("name", BY_FORMULAS)
def test_a_kept_model_knows_its_formulas(name):
    kept, model = answers(name), load(KEPT / f"{name}.json")
    assert (model.inputs, model.outputs) == (("p", "T"), ("s", "h"))
    assert json.loads((KEPT / f"{name}.json").read_text())["version"] == int(name[6])
    found = model.quantity("cp - 2*dh/dT + d2s/dT2", kept["X"])
    np.testing.assert_allclose(found, kept["quantity"], rtol=1e-7)


def test_a_kept_model_has_its_names_and_records():
    model = load(KEPT / "model-1-mixed.json")
    assert (model.inputs, model.outputs) == (("T", "p"), ("h", "Größe"))
    assert (model.training["trainer"], model.training["values"], model.training["derivatives"]) == (
        "hybrid",
        40,
        40,
    )
    assert list(model.training["input_ranges"]) == ["T", "p"]
    assert model.history["loss"].iloc[-1] == pytest.approx(model.training["loss"])


@pytest.mark.parametrize("name", MODELS)
def test_a_kept_model_is_saved_again_as_it_was(name, tmp_path):
    load(KEPT / f"{name}.json").save(tmp_path / "again.json")
    again, kept = load(tmp_path / "again.json"), load(KEPT / f"{name}.json")
    np.testing.assert_array_equal(again.theta, kept.theta)
    assert again.training == kept.training
