"""The degree of a fit: given, or chosen among polynomials and networks."""

from typing import Any

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError, fit
from swarmnet.trainers import Hybrid, ProjectedPSO

Array = np.ndarray[Any, Any]
QUICK = Hybrid(swarm=ProjectedPSO(iterations=2, particles=4), iterations=80)


def rosenbrock(n: int = 30, seed: int = 0) -> MixedData:
    X = np.random.default_rng(seed).uniform(-2, 2, (n, 2))
    u, b = X.T
    Y = (1.0 - u) ** 2 + 100.0 * (b - u**2) ** 2
    J = np.stack([-2.0 * (1.0 - u) - 400.0 * u * (b - u**2), 200.0 * (b - u**2)], axis=1)
    J[::2], Y[1::2] = np.nan, np.nan
    return MixedData(X, Y[:, None], J[:, None], inputs=("u", "b"), outputs=("f",))


def front(n: int = 60) -> MixedData:
    x = np.random.default_rng(0).uniform(-1, 1, (n, 1))
    return MixedData(x, np.tanh(12.0 * (x - 0.2)))


def test_a_polynomial_is_chosen_where_it_is_exact() -> None:
    model, held_out = fit(rosenbrock()), rosenbrock(200, 1)
    assert model.net.sizes == (2, 1) and model.net.trend is not None
    seen = ~np.isnan(held_out.Y)
    np.testing.assert_allclose(model.predict(held_out.X)[seen], held_out.Y[seen], rtol=0, atol=1e-9)
    seen = ~np.isnan(held_out.J)
    np.testing.assert_allclose(model.jacobian(held_out.X)[seen], held_out.J[seen], rtol=0, atol=1e-9)
    assert model.training["status"] == "converged"


def test_a_network_is_chosen_for_a_front() -> None:
    model = fit(front(), trainer=QUICK)
    assert len(model.net.sizes) > 2
    tried = model.training["candidates"]
    polynomials = [row["left_out_error"] for row in tried if row["hidden"] == []]
    chosen = [row["left_out_error"] for row in tried if row["hidden"] and "left_out_error" in row]
    assert len(chosen) == 1 and chosen[0] < min(polynomials)


def test_the_chosen_hidden_layers_are_also_tried_without_a_trend() -> None:
    tried = fit(front(), trainer=Hybrid(swarm=ProjectedPSO(iterations=2, particles=4))).training["candidates"]
    with_trend = [row["hidden"] for row in tried if row["hidden"] and row.get("degree") == 1]
    without = [row["hidden"] for row in tried if row["hidden"] and "degree" not in row]
    assert len(with_trend) == 7 and 1 <= len(without) <= 2
    assert all(hidden in with_trend for hidden in without)


def test_one_good_score_of_many_polynomials_does_not_end_the_choice() -> None:
    """Nearly as many terms as entries: one of them predicts left-out entries well by luck."""
    x = np.random.default_rng(20).uniform(-1, 1, (30, 1))
    Y = np.exp(0.7 * x) + np.sin(6.0 * x) / (1.3 + x**2)
    model = fit(MixedData(x, Y), trainer=QUICK)
    assert any(row["hidden"] for row in model.training["candidates"])


@pytest.mark.parametrize("noise", [0.05, 0.2])
def test_many_terms_do_not_fit_noise_nor_explode_beyond_the_outermost_points(noise: float) -> None:
    """Up to 60 terms are tried for 40 values, and the test reaches as far as the distribution does."""
    grid, errors = np.linspace(-1, 1, 401)[:, None], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.uniform(-1, 1, (40, 1))
        model = fit(MixedData(x, np.tanh(3 * x) + noise * rng.normal(size=x.shape)), hidden=())
        errors.append(np.sqrt(np.mean((model.predict(grid) - np.tanh(3 * grid)) ** 2)))
    assert max(errors) < 2.0 * noise and np.median(errors) < noise


def test_a_choice_is_the_same_again() -> None:
    first, second = fit(front(), trainer=QUICK), fit(front(), trainer=QUICK)
    np.testing.assert_array_equal(first.theta, second.theta)


@pytest.mark.parametrize("trainer", ["hybrid", "lm", "lbfgs", "adam", "pso", "projected"])
def test_every_trainer_fits_a_network_with_a_trend(trainer: str) -> None:
    data = rosenbrock()
    model = fit(data, hidden=(3,), degree=2, trainer=trainer, iterations=30)
    assert model.net.terms == 5 and model.net.size == 13 + 5
    plain = model.training["loss"]
    assert plain < fit(data, hidden=(3,), degree=2, trainer=trainer, iterations=1).training["loss"]


def test_no_hidden_layer_and_a_degree_are_polynomial_regression() -> None:
    model = fit(rosenbrock(), hidden=(), degree=4)
    powers = model.net.trend.powers.tolist() if model.net.trend else []
    assert model.net.sizes == (2, 1) and len(powers) == 12 and [4, 0] in powers and [2, 2] in powers
    assert model.training["noise"]["f"] < 1e-9


def test_error_bars_of_a_polynomial_contain_the_errors() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (120, 2))
    truth = np.exp(X[:, :1]) * np.sin(2.0 * X[:, 1:])
    covered = []
    for seed in range(5):
        noise = 0.1 * np.random.default_rng(seed).normal(size=truth.shape)
        model = fit(MixedData(X, truth + noise), hidden=())
        predicted, deviation = model.predict(X, return_std=True)
        covered.append(np.mean(np.abs(predicted - truth) <= 2.0 * deviation))
    assert 0.85 <= np.median(covered) <= 1.0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"degree": -1}, "degree must be 'auto' or a whole number of 0 or more, not -1"),
        ({"degree": "cubic"}, "degree must be 'auto' or a whole number of 0 or more, not 'cubic'"),
        ({"degree": 99}, "degree must be at most 60, not 99"),
        ({"degree": 20}, "a polynomial of degree 20 has .* too many for 45 entries"),
        ({"degree": 2, "hidden": (3,), "activation": ("tanh", "sigmoid")}, "a trend needs a linear output"),
    ],
)
def test_degrees_that_cannot_be(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(SwarmnetError, match=reason):
        fit(rosenbrock(), **options)
