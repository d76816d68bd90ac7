"""Constraints on fits: they hold in the box of the data, whichever the trainer, and cost what they must."""

import numpy as np
import pandas as pd
import pytest

from swarmnet import MixedData, SwarmnetError, SwarmNetRegressor, SwarmnetWarning, compare, fit, load
from swarmnet.data.readers import open_files

RNG = np.random.default_rng(3)
X = np.sort(RNG.random((20, 1)), axis=0)
STEP = MixedData(X, np.tanh(6 * X - 3) + 0.4 * RNG.normal(size=(20, 1)), inputs=["x"], outputs=["y"])
LINE = np.linspace(X.min(), X.max(), 10_001)[:, None]
QUICK = {"hidden": (3,), "iterations": 60}
TRAINERS = ("hybrid", "lm", "lbfgs", "adam", "sgd", "pso", "projected")


def steep():
    """A fit that oscillates: its slope is negative somewhere."""
    return fit(STEP, **QUICK, trainer="lbfgs", seed=1)


def test_without_it_the_fit_is_not_monotone():
    assert (steep().jacobian(LINE) < -0.1).any()


@pytest.mark.parametrize("trainer", TRAINERS)
def test_every_trainer_meets_a_bound_on_the_slope(trainer):
    model = fit(STEP, **QUICK, trainer=trainer, require="dy/dx >= 0.5")
    slopes = model.jacobian(LINE)
    assert slopes.min() >= 0.5
    found = model.training["require"]["dy/dx >= 0.5"]
    assert found == {"largest_violation": 0.0, "at": None, "violated_share": 0.0}


@pytest.mark.parametrize(
    ("require", "of", "sign"),
    [
        ("y >= -0.5", lambda model: model.predict(LINE) + 0.5, 1),
        ("y <= 0.5", lambda model: 0.5 - model.predict(LINE), 1),
        ("d2y/dx2 >= 0", lambda model: model.hessian(LINE), 1),
        ("dy/dx <= 2 - x", lambda model: 2 - LINE[..., None] - model.jacobian(LINE), 1),
    ],
)
def test_bounds_and_convexity(require, of, sign):
    model = fit(STEP, **QUICK, trainer="lbfgs", seed=1, require=(require,))
    assert (sign * of(steep())).min() < 0 <= (sign * of(model)).min()


def test_two_inputs_and_two_outputs_in_another_order(tmp_path):
    T, p = RNG.uniform(300.0, 400.0, 25), RNG.uniform(1.0, 5.0, 25)
    frame = pd.DataFrame({"T": T, "p": p, "v": 1 / p, "h": (T / 100) ** 2 + p, "cp": np.nan})
    frame.loc[:2, "cp"] = T[:3] / 1e4
    frame[["v", "h"]] += RNG.normal(size=(25, 2)) * [0.2, 1.0]
    data = MixedData.from_frame(frame, ["T", "p"], ["v", "h"], define={"cp": "dh/dT/2"})
    model = fit(data, hidden=(3,), trainer="lm", require=("cp >= 0.03", "dv/dp < -1e-2", "v > 0"))
    at = np.random.default_rng(1).uniform([T.min(), p.min()], [T.max(), p.max()], (10_000, 2))
    J = model.jacobian(at)
    assert J[:, 1, 0].min() >= 0.06 and J[:, 0, 1].max() <= -1e-2 and model.predict(at)[:, 0].min() >= 0
    assert model.predict(at[:3], return_std=True)[1].min() > 0
    assert model.training["noise"]["h"] == pytest.approx(1.0, rel=0.5)
    model.save(tmp_path / "model.json")
    assert load(tmp_path / "model.json").training["require"] == model.training["require"]


def test_a_fit_that_meets_them_is_kept():
    free = fit(STEP, **QUICK, trainer="lm")
    bound = fit(STEP, **QUICK, trainer="lm", require=("y <= 100", "dy/dx >= -1e6"))
    assert np.array_equal(free.theta, bound.theta)


def test_cross_entropy():
    data = MixedData(X, (RNG.random((20, 1)) < X).astype(float), inputs=["x"], outputs=["y"])
    model = fit(
        data, hidden=(3,), trainer="lbfgs", loss="cross-entropy", require="dy/dx >= 0", iterations=200
    )
    assert model.jacobian(LINE).min() >= 0 and model.training["loss"] < 0.7


def test_what_cannot_hold_is_said():
    with pytest.raises(SwarmnetError, match="is violated everywhere in the box"):
        fit(STEP, **QUICK, trainer="lm", require=("y >= 1", "2*y <= 1"))
    with pytest.warns(SwarmnetWarning, match=r"y >= 1, dy/dx <= -1 the noise is .* contradict this"):
        fit(STEP, **QUICK, trainer="lm", require=("y >= 1", "dy/dx <= -1"))
    with (
        pytest.warns(SwarmnetWarning, match="contradict this"),
        pytest.warns(SwarmnetWarning, match=r"^\(x - 0.5\)\*y >= 0.001 is violated at .* at x = 0"),
    ):
        fit(STEP, **QUICK, trainer="lm", require="(x - 0.5)*y >= 0.001")


def test_what_is_not_possible_is_refused(tmp_path):
    slopes = MixedData(X, J=X[..., None], inputs=["x"], outputs=["y"])
    with pytest.raises(SwarmnetError, match="no value of y was observed, so its constant is free"):
        fit(slopes, **QUICK, require="y >= 0")
    with pytest.raises(SwarmnetError, match="relu has no second derivative"):
        fit(STEP, **QUICK, activation="relu", require="d2y/dx2 >= 0")
    pd.DataFrame({"x": X[:, 0], "y": STEP.Y[:, 0]}).to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(SwarmnetError, match=r"require= \(--require\) takes data in memory"):
        fit(open_files(str(tmp_path / "data.csv")), **QUICK, require="y >= 0")


def test_compare_and_the_estimator_take_them():
    compared = compare(STEP, ["lbfgs"], 1, evaluations=40, hidden=(3,), require=["dy/dx >= 0.5"])
    assert compared.models["lbfgs", 0].jacobian(LINE[2000:-2000]).min() >= 0.5
    estimator = SwarmNetRegressor(**QUICK, trainer="lbfgs", require=("dy/dx1 >= 0.5",))
    assert estimator.fit(STEP.X, STEP.Y[:, 0]).jacobian(LINE).min() >= 0.5
