"""What training records of noise, priors and fit, what it warns of, and fits of few entries and sigmas."""

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError, SwarmnetWarning, fit, load
from swarmnet.model.training_record import for_people
from swarmnet.trainers import Hybrid, ProjectedPSO

NAN = np.nan
NAMES = {"inputs": ["t", "p", "a"], "outputs": ["v", "h"]}  # not in alphabetical order
NOISE = {"v": 0.2, "h": 3.0, "dv/dt": 0.1, "dh/dp": 0.5}


def noisy(n=240, seed=0):
    """Two outputs, of which four columns are observed, each with another noise."""
    rng = np.random.default_rng(seed)
    t, p, a = X = rng.uniform(-1, 1, (3, n))
    Y = np.column_stack([2.0 * t + p, 20.0 * p**2 - 5.0 * a])
    J = np.full((n, 2, 3), NAN)
    J[:, 0, 0], J[:, 1, 1] = (
        2.0 + NOISE["dv/dt"] * rng.normal(size=n),
        40.0 * p + NOISE["dh/dp"] * rng.normal(size=n),
    )
    Y += rng.normal(size=(n, 2)) * [NOISE["v"], NOISE["h"]]
    return MixedData(X.T, Y, J, **NAMES)


@pytest.fixture(scope="module")
def fitted():
    data = noisy()
    return data, fit(data, hidden=(6,), trainer="lm")


def test_the_record_has_the_noise_of_every_column_in_its_unit(fitted):
    data, model = fitted
    found = model.training["noise"]
    assert set(found) == set(NOISE)
    for column, true in NOISE.items():
        assert found[column] == pytest.approx(true, rel=0.15)
    residual = {
        "v": (model.predict(data.X) - data.Y)[:, 0],
        "h": (model.predict(data.X) - data.Y)[:, 1],
        "dv/dt": (model.jacobian(data.X) - data.J)[:, 0, 0],
        "dh/dp": (model.jacobian(data.X) - data.J)[:, 1, 1],
    }
    for column, errors in residual.items():  # a little larger, for the parameters that the column determines
        assert 0.99 < found[column] / np.sqrt(np.mean(errors**2)) < 1.06


def test_what_was_estimated_is_not_told_as_a_default(fitted, tmp_path):
    model = fitted[1]
    model.save(tmp_path / "m.json")
    for record in (model.training, load(tmp_path / "m.json").training):
        assert record["derivative_weight"] is None and record["l2"] is None
        assert set(record["prior"]) == {"W1", "b1", "W2", "b2"}
        assert record["candidates"] == [
            {"hidden": [6], "climbs": 3, "log_evidence": pytest.approx(record["log_evidence"], rel=0.01)}
        ]
        assert record["sigma"] == {} and record["chi2_per_entry"] is None and record["no_error_bars"] is None


@pytest.mark.parametrize(("hidden", "degrees"), [((), (2, 3)), ((4,), (1, 2, 3))])
def test_the_prior_of_a_trend_is_told_by_degree(hidden, degrees):
    record = fit(noisy(60), hidden=hidden, degree=3, trainer="lm", iterations=20).training
    layers = range(1, len(hidden) + 2)
    names = [f"{letter}{layer}" for layer in layers for letter in "Wb"] + [f"degree {m}" for m in degrees]
    assert list(record["prior"]) == names


def test_what_was_given_is_told_as_given():
    data = noisy(60)
    record = fit(data, hidden=(4,), trainer="lm", derivative_weight=2.5, iterations=20).training
    assert record["derivative_weight"] == 2.5 and record["l2"] is None
    record = fit(data, hidden=(4,), trainer="adam", iterations=20).training
    assert (record["derivative_weight"], record["l2"]) == (1.0, 1e-8)
    assert record["noise"] is None and record["prior"] is None and record["candidates"] is None


def test_the_balance_of_derivatives_is_that_of_the_noises(fitted):
    """Each column's weight is 1 / noise^2, in units of the scale that its residuals have in the loss."""
    data, model = fitted
    scale = {"v": data.Y[:, 0].std(), "h": data.Y[:, 1].std()}
    scale |= {
        name: np.sqrt(np.mean(J**2)) for name, J in (("dv/dt", data.J[:, 0, 0]), ("dh/dp", data.J[:, 1, 1]))
    }
    weight = {name: (scale[name] / noise) ** 2 for name, noise in model.training["noise"].items()}
    expected = (weight["dv/dt"] + weight["dh/dp"]) / (weight["v"] + weight["h"])
    assert model.training["derivative_balance"] == pytest.approx(expected, rel=1e-6)


def test_all_networks_that_were_tried_are_told():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (20, 1))
    trainer = Hybrid(swarm=ProjectedPSO(iterations=1, particles=3), iterations=60)
    record = fit(MixedData(X, np.sin(3 * X)), trainer=trainer, degree=0).training
    hidden = [tuple(candidate["hidden"]) for candidate in record["candidates"]]
    assert len(hidden) == len(set(hidden)) == 7
    assert all(candidate["climbs"] >= 1 for candidate in record["candidates"])


# Sigmas


def decades(n=60, seed=0):
    """About six decades, each value known to 2 percent."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(230.0, 420.0, n))[:, None]
    y = np.exp(-3.2 + 900.0 / (x - 170.0)) * (1.0 + 0.02 * rng.normal(size=x.shape))
    return MixedData(x, y, Y_sigma=0.02 * y)


def test_sigmas_over_six_decades_are_met():
    data = decades()
    model = fit(data, hidden=(16, 16), trainer="lm")
    answer, bars = model.predict(data.X, return_std=True)
    residual = (answer - data.Y) / data.Y_sigma
    assert np.mean(residual**2) < 1.5
    assert model.training["chi2_per_entry"] == {"values": pytest.approx(np.mean(residual**2), rel=1e-6)}
    assert np.abs((answer - data.Y) / np.hypot(bars, data.Y_sigma)).max() < 5.0


@pytest.mark.parametrize("trainer", ["lm", "lbfgs"])
def test_a_fit_that_misses_its_sigmas_says_so(trainer):
    x = np.linspace(-1, 1, 30)[:, None]
    data = MixedData(x, x**2, Y_sigma=np.full((30, 1), 1e-3))
    with pytest.warns(
        SwarmnetWarning, match=r"^the fit misses the sigmas of the values: chi2 per entry is 1.*e\+05 instead"
    ):
        model = fit(data, hidden=(), trainer=trainer)
    residual = (model.predict(x) - data.Y) / 1e-3
    assert model.training["chi2_per_entry"]["values"] == pytest.approx(np.mean(residual**2), rel=1e-6)


@pytest.mark.filterwarnings("ignore:the fit misses")
def test_error_bars_are_as_wide_as_the_residuals_say():
    """A line through a parabola: the residuals, not the sigmas, say how well it is known."""
    x = np.linspace(-1, 1, 30)[:, None]
    data = MixedData(x, x**2, Y_sigma=np.full((30, 1), 1e-3))
    model = fit(data, hidden=(), trainer="lm")
    bar = model.predict([[0.0]], return_std=True)[1][0, 0]
    noise = np.sqrt(np.sum((x**2 - np.mean(x**2)) ** 2) / 28)
    assert bar == pytest.approx(noise / np.sqrt(30), rel=0.05)


# Error bars of a constant, by the formulas of linear regression


@pytest.mark.filterwarnings("ignore:nearly all of y was taken for noise")
@pytest.mark.parametrize("known", [True, False], ids=["sigmas", "no sigmas"])
@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_the_bars_of_a_linear_network_are_those_of_linear_regression(known, slope):
    rng = np.random.default_rng(3)
    x = np.linspace(-1, 1, 40)[:, None]
    y = 5.0 + slope * x + 0.2 * rng.normal(size=x.shape)
    model = fit(MixedData(x, y, Y_sigma=np.full(y.shape, 0.2) if known else None), hidden=(), trainer="lm")
    line = np.polynomial.polynomial.polyfit(x[:, 0], y[:, 0], 1)
    rest = np.sum((np.polynomial.polynomial.polyval(x[:, 0], line) - y[:, 0]) ** 2)
    # At the middle the slope does not matter; Student's t has a variance of its own.
    noise = max(0.2, np.sqrt(rest / 38)) if known else np.sqrt(rest / 38 * 38 / 36)
    bar = model.predict([[0.0]], return_std=True)[1][0, 0]
    assert bar == pytest.approx(noise / np.sqrt(40), rel=0.03)
    if slope:
        edge = model.predict([[1.0]], return_std=True)[1][0, 0]
        assert edge == pytest.approx(noise * np.sqrt(1 / 40 + 1 / np.sum(x**2)), rel=0.03)


def test_a_constant_is_known_as_well_as_its_values_say():
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 20)[:, None]
    data = MixedData(x, 5.0 + 0.2 * rng.normal(size=x.shape), Y_sigma=np.full(x.shape, 0.2))
    bar = fit(data, hidden=(8,)).predict([[0.0]], return_std=True)[1][0, 0]
    assert bar == pytest.approx(0.2 / np.sqrt(20), rel=0.25)


@pytest.mark.parametrize("slopes", [False, True], ids=["values", "values and slopes"])
def test_the_truth_lies_within_two_deviations_at_the_middle_and_the_edges(slopes):
    """1 + 2x from 12 points, of which a network with the bias held at 0 was sure: 2 percent at x = 0."""
    points, within = np.array([[-1.0], [0.0], [1.0]]), []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        x = np.linspace(-1, 1, 12)[:, None]
        Y, J = 1 + 2 * x + 0.2 * rng.normal(size=x.shape), 2 + 0.2 * rng.normal(size=x.shape)
        if slopes:
            Y[1::2], J[::2] = NAN, NAN
        model = fit(MixedData(x, Y, J[:, :, None] if slopes else None), (4,), trainer="lm", iterations=120)
        answer, bar = model.predict(points, return_std=True)
        within.append(np.abs(answer - 1 - 2 * points)[:, 0] < 2 * bar[:, 0])
    assert np.mean(within, axis=0).min() >= 0.8


# Few entries


@pytest.mark.parametrize("repeated", [True, False])
def test_few_points_of_a_product_are_met(repeated):
    X = np.array([[1, 2], [1, 2], [3, 8], [10, 5], [5, 8.5], [7, 3]])
    Y = np.array([2.2, 1.8, 24.0, 50.0, 42.5, 21.0])
    first = 0 if repeated else 1
    answer = fit(MixedData(X[first:], Y[first:])).predict(X)[:, 0]
    assert answer[0] == pytest.approx(2.0 if repeated else 1.8, abs=0.1)
    np.testing.assert_allclose(answer[2:], Y[2:], rtol=0.02)


# When there are no error bars


def why_none(model):
    with pytest.raises(SwarmnetError, match=r"^this model has no error bars: ") as caught:
        model.predict([[0.0, 0.0, 0.0]], return_std=True)
    return str(caught.value)


def test_training_cut_short_is_said_to_be_why_there_are_no_error_bars():
    model = fit(noisy(60), hidden=(4,), iterations=1)
    assert "give training more iterations= or seconds=" in why_none(model)
    assert "train it by hybrid" not in why_none(model)


def test_too_many_weights_are_said_to_be_why_there_are_no_error_bars():
    model = fit(noisy(60), hidden=(60, 60), iterations=3)
    assert "they take at most 3000 weights, and this network has 4022" in why_none(model)


def test_people_read_what_was_used_in_few_digits(fitted):
    told = for_people(fitted[1].training)
    assert told["derivative_weight"] == told["l2"] == "estimated" and "no_error_bars" not in told
    assert float(told["noise"]["h"]) == pytest.approx(fitted[1].training["noise"]["h"], rel=1e-3)
    assert told["candidates"].startswith("(6): 3 runs, log evidence ")
