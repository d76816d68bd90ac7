"""The jobs that swarmnet is for, small and whole: what goes in, what must come out."""

from pathlib import Path

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, evaluate, fit, read_csv
from swarmnet.trainers import LBFGS, LM, PSO, SGD, TRAINERS, Adam, Hybrid

DATASETS = Path(__file__).parents[1] / "datasets"

# Settings, and the median worst R2 of a partial on unseen points that must be reached from 60 rows.
SMOOTH = {
    "hybrid": (Hybrid(iterations=100), 0.99),
    "projected": ("projected", 0.95),
    "lm": (LM(iterations=150), 0.99),
    "lbfgs": ("lbfgs", 0.99),
    "adam": ("adam", 0.9),
    "pso": ("pso", 0.75),
    "sgd": (SGD(learning_rate=0.05, momentum=0.9, iterations=3000), 0.9),
}


def test_every_trainer_is_tried_on_the_smooth_function():
    assert set(SMOOTH) == set(TRAINERS)


@pytest.mark.parametrize("name", SMOOTH)
def test_one_entry_a_row_gives_the_jacobian_on_unseen_points(name):
    data, test = read_csv(DATASETS / "smooth2d.csv"), read_csv(DATASETS / "smooth2d_test.csv")
    trainer, least = SMOOTH[name]
    worst = []
    for seed in range(3):
        errors = evaluate(fit(data, trainer=trainer, seed=seed), test).set_index("column")
        worst.append(errors.loc[["dy/dx1", "dy/dx2"], "r2"].min())
    assert np.median(worst) > least


@pytest.mark.parametrize("name", TRAINERS)
def test_both_forms_of_a_file_train_the_same_model(name):
    wide, long = (
        fit(DATASETS / form, trainer=name, iterations=20) for form in ("smooth2d.csv", "smooth2d_long.csv")
    )
    assert np.array_equal(wide.theta, long.theta)


XOR = MixedData([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], Y=[0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(
    "trainer",
    [
        SGD(learning_rate=1.0, batch_size=1, iterations=1000, patience=1000),
        PSO(iterations=1000, patience=1000),
    ],
    ids=["sgd", "pso"],
)
def test_xor(trainer):
    right = 0
    for seed in range(3):
        model = fit(
            XOR,
            hidden=(3,),
            activation="sigmoid",
            loss="cross-entropy",
            trainer=trainer,
            seed=seed,
            l2=0.0,
        )
        right += np.abs(model.predict(XOR.X) - XOR.Y).max() < 0.1
    assert right >= 2


def test_four_inputs_by_plain_gradient_descent():
    X = np.array([[1.0, 0, 1, 0], [1, 0, 1, 1], [0, 1, 0, 1]])
    data = MixedData(X, Y=[1.0, 1.0, 0.0])
    trainer = SGD(learning_rate=0.1, iterations=5000, patience=5000)
    outputs = [
        fit(
            data,
            hidden=(3,),
            activation=("sigmoid", "sigmoid"),
            trainer=trainer,
            seed=seed,
            scaling=None,
            l2=0.0,
        ).predict(X)[:, 0]
        for seed in range(5)
    ]
    np.testing.assert_allclose(np.median(outputs, axis=0), [0.98, 0.97, 0.04], atol=0.015)


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
@pytest.mark.parametrize(
    "trainer",
    [LBFGS(target_loss=1e-8), Hybrid(target_loss=1e-8), Adam(target_loss=2e-8, iterations=20_000)],
    ids=lambda trainer: trainer.name,
)
def test_a_line_is_learnt_up_to_a_loss_threshold(scaling, trainer):
    x = np.arange(1.0, 6.0)[:, None]
    model = fit(MixedData(x, Y=2 * x), hidden=(4,), trainer=trainer, scaling=scaling, l2=0.0)
    assert model.training["status"] == "target_loss"
    assert np.abs(model.predict(x) - 2 * x).max() < 1e-3
    losses = model.history["loss"]
    assert losses.iloc[-1] == losses.min() == model.training["loss"]
    assert (losses.iloc[:-1] > trainer.target_loss).all()


def test_an_autoencoder_learns_its_inputs():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 2)) @ rng.normal(size=(2, 4))  # four columns, two degrees of freedom
    data = MixedData(X, Y=X)
    model = fit(data, hidden=(2, 4), activation=("sigmoid", "sigmoid", "linear"), trainer="lbfgs")
    assert np.mean((model.predict(X) - X) ** 2) < 0.02 * X.var()


def test_slopes_alone_give_the_field_up_to_its_constant():
    data = read_csv(DATASETS / "slopes_only.csv")
    test = read_csv(DATASETS / "smooth2d_test.csv")
    with pytest.warns(swarmnet.SwarmnetWarning, match="constant is free"):
        model = fit(data, iterations=100)
    error = model.predict(test.X) - test.Y
    assert error.std() < 0.02 * test.Y.std()
    np.testing.assert_allclose(model.predict(data.X.mean(0)[None]), 0.0, atol=1e-9)


def test_water_derivatives_from_few_enthalpies():
    data, test = read_csv(DATASETS / "water_enthalpy.csv"), read_csv(DATASETS / "water_enthalpy_test.csv")
    # What the default comes to without a limit is in the tutorial, and tested there
    errors = evaluate(fit(data, iterations=150), test).set_index("column")
    assert errors.loc["dh/dT", "r2"] > 0.99
    assert errors.loc["dh/dp", "r2"] > 0.995
    assert errors.loc["h", "rmse"] < 100.0  # J/kg, over a range of 800,000


@pytest.mark.parametrize("name", TRAINERS)
def test_one_row_is_enough_to_train(name):
    model = fit(MixedData([[1.0, 2.0]], Y=[3.0]), hidden=(3,), trainer=name, iterations=50)
    assert model.predict([[1.0, 2.0]]) == pytest.approx(3.0, abs=0.5)
    assert np.isfinite(model.jacobian([[0.0, 5.0]])).all()


def test_outputs_with_different_entries():
    data = read_csv(DATASETS / "two_outputs.csv")
    assert (data.k, data.d) == (2, 2)
    model = fit(data, iterations=150)
    errors = evaluate(model, data).set_index("column")
    assert len(errors) == 6
    assert errors["r2"].min() > 0.98
