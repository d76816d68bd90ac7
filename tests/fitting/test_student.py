"""Noise of Student's t: outliers count less, wherever they are."""

import warnings

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError
from swarmnet.data.readers import open_files
from swarmnet.fitting.student_noise import first_weights, scales_of, weighted, weights_of

X = np.linspace(0.0, 6.0, 24)[:, None]
Y, J = np.sin(X), np.cos(X)[:, :, None]
BETWEEN = np.linspace(0.0, 6.0, 100)[:, None]


def spoilt():
    """Values and slopes of a sine, with two wild values and a wild slope."""
    values, slopes = Y.copy(), J.copy()
    values[[3, 17]] += [[100.0], [-1.5]]
    slopes[9] += 100.0
    return values, slopes


def fit(data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return swarmnet.fit(data, **{"hidden": (), "degree": 9} | options)


def error(model):
    return float(np.sqrt(np.mean((model.predict(BETWEEN) - np.sin(BETWEEN)) ** 2)))


def test_a_polynomial_is_as_good_as_without_outliers():
    values, slopes = spoilt()
    data = MixedData(X, values, slopes)
    with pytest.warns(swarmnet.SwarmnetWarning, match=r"below 0\.1: 3 of 48: .*x1 in row 9") as caught:
        model = swarmnet.fit(data, hidden=(), degree=9, noise="student")
    assert sum("outliers" in str(warning.message) for warning in caught) == 1
    assert error(model) < 1.5 * error(fit(MixedData(X, Y, J))) < 1e-3
    record = model.training
    assert (record["noise_distribution"], record["degrees_of_freedom"]) == ("student", 4.0)
    assert record["outliers"] == {"y": [3, 17], "dy/dx1": [9]}
    assert error(fit(data)) > 0.1


def test_a_network_is_nearly_as_good_as_without_outliers():
    data = MixedData(X, *spoilt())
    model = fit(data, hidden=(4,), degree=0, trainer="lm", iterations=150, noise="student")
    assert error(model) < 0.02
    _, bars = model.predict(BETWEEN, return_std=True)
    assert np.isfinite(bars).all() and bars.max() < 0.1


@pytest.mark.parametrize("trainer", ["lbfgs", "projected"])
def test_other_trainers_take_it_too(trainer):
    values = Y.copy()
    values[5] += 100.0
    model = fit(MixedData(X, values), hidden=(4,), degree=0, trainer=trainer, iterations=40, noise="student")
    assert model.training["outliers"] == {"y": [5]}
    assert error(model) < 0.3


def test_the_sigma_of_an_entry_is_its_scale():
    noise = np.random.default_rng(0).normal(size=(24, 1))
    values = Y + 0.01 * noise
    values[[3, 17]] += [[1.0], [-1.0]]
    model = fit(MixedData(X, values, Y_sigma=np.full((24, 1), 0.01)), noise="student")
    assert set(model.training["outliers"]["y"]) == {3, 17}
    assert error(model) < 0.02
    assert model.training["chi2_per_entry"]["values"] < 2.0


def test_the_order_of_rows_and_columns_does_not_matter():
    values, slopes = spoilt()
    order = np.random.default_rng(1).permutation(len(X))
    there = fit(MixedData(X, values, slopes), noise="student")
    here = fit(MixedData(X[order], values[order], slopes[order]), noise="student")
    assert np.array_equal(here.theta, there.theta)
    assert sorted(order[here.training["outliers"]["y"]]) == there.training["outliers"]["y"]


def test_weights_have_a_mean_of_1_at_the_most_likely_scale():
    rng = np.random.default_rng(2)
    data = MixedData(np.arange(400.0)[:, None], rng.standard_t(4, (400, 1)))
    residuals = np.hstack([data.Y, np.full((400, 1), np.nan)])
    scales = scales_of(data, residuals)
    assert scales[0, 0] == pytest.approx(1.0, abs=0.1)
    assert np.nanmean(weights_of(data, residuals, scales)) == pytest.approx(1.0, abs=1e-2)


def test_the_first_fit_leaves_out_what_is_far_from_all_others():
    values, slopes = spoilt()
    weights = first_weights(MixedData(X, values, slopes))
    assert np.argwhere(weights == 0.0).tolist() == [[3, 0], [9, 1]]
    constant = MixedData(X, np.ones((24, 1)), J)
    assert (first_weights(constant) == 1.0).all()


def test_each_entry_keeps_its_weight_and_its_sigma():
    data = MixedData(X, Y, J, Y_sigma=np.full((24, 1), 0.1), weights=np.full(24, 2.0))
    weights = np.column_stack([np.linspace(0.0, 1.0, 24), np.ones(24)])
    rows = weighted(data, weights)
    seen = np.isfinite(rows.Y[:, 0])
    assert np.allclose(np.sort(rows.row_weights[seen]), 2.0 * np.linspace(0.0, 1.0, 24)[1:])
    assert rows.n_entries == 47 and (rows.Y_sigma[seen] == 0.1).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"noise": "studnet"}, "unknown noise 'studnet': did you mean 'student'"),
        ({"loss": "cross-entropy", "activation": ("tanh", "sigmoid")}, "needs the squared loss"),
        ({"checkpoint": "run.npz"}, "keep no checkpoint"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, words):
    with pytest.raises(SwarmnetError, match=words):
        swarmnet.fit(MixedData(X, Y), **{"noise": "student", "hidden": (2,)} | options)


def test_data_that_stay_in_files_are_refused(tmp_path):
    MixedData(X, Y).to_frame().to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(SwarmnetError, match="needs the data in memory"):
        swarmnet.fit(open_files(tmp_path / "data.csv"), hidden=(2,), noise="student")


def test_a_limit_of_seconds_or_evaluations_holds_for_all_fits_together():
    data = MixedData(X, *spoilt())
    trainer = swarmnet.trainers.LM(iterations=None, evaluations=90)
    model = fit(data, hidden=(3,), degree=0, trainer=trainer, noise="student")
    assert model.training["evaluations"] <= 130  # a step of three runs may be counted beyond


def test_outliers_among_logarithms_are_those_of_their_ratio():
    values = np.exp(3.0 * np.sin(X))
    values[5] *= 1e3
    model = fit(MixedData(X[::-1], values[::-1], outputs=["p"]), log="p", noise="student")
    assert model.training["outliers"] == {"p": [18]}
    assert np.allclose(model.predict(BETWEEN), np.exp(3.0 * np.sin(BETWEEN)), rtol=0.05)
