"""The audit of a fit: its numbers, and the verdicts on odd columns and on rows that stick out."""

from dataclasses import replace

import numpy as np
import pytest

from swarmnet import MixedData, SwarmNetRegressor, SwarmnetWarning, fit, load
from swarmnet.fitting.auditing import families, is_suspect
from swarmnet.fitting.column_fits import column_fits
from swarmnet.fitting.polynomial_checks import polynomial_fits
from swarmnet.model.audit import FIELDS, ColumnFit, Place, audit_frame, factor_verdict, verdicts

NAN = np.nan
LINE = {"hidden": (), "degree": 2, "trainer": "lm"}  # exact for parabolas, in a moment


def parabola(slope=2.0, n=15):
    """x^2 at n points, and `slope` x at n others."""
    x = np.concatenate([np.linspace(-1, 1, n), np.linspace(-0.95, 0.95, n)])[:, None]
    is_value = (np.arange(2 * n) < n)[:, None]
    J = np.where(is_value, NAN, slope * x)[:, :, None]
    return MixedData(x, np.where(is_value, x**2, NAN), J, inputs=["x"], outputs=["y"])


def column(observed, predicted, has_offset=False, sigma=NAN):
    observed = np.asarray(observed, float)
    n = len(observed)
    ones = np.ones(n)
    numbers = (observed, np.asarray(predicted, float), sigma * ones, ones, 0.0 * ones)
    return ColumnFit(Place("J", (0, 0)), "dy/dx", np.arange(n), *numbers, has_offset)


# The numbers


def test_factor_and_cosine_are_those_of_the_formulas():
    o, p = [2.0, 4.0, 7.0], [1.0, 2.0, 3.0]
    factor, cosine = column(o, p).factor
    assert factor == pytest.approx(31 / 14) and cosine == pytest.approx(31 / np.sqrt(69 * 14))
    assert column(np.add(o, 5.0), np.add(p, -3.0), has_offset=True).factor[0] == pytest.approx(2.5)
    assert np.isnan(column([0.0, 0.0], [1.0, 2.0]).factor).all()


def test_a_good_fit_has_no_verdict_and_numbers_in_the_units_of_the_data():
    rng = np.random.default_rng(0)
    data = parabola()
    noisy = replace(data, Y=1e3 * (data.Y + 0.02 * rng.normal(size=data.Y.shape)), J=1e3 * data.J)
    model = fit(noisy, **LINE)
    audit = model.audit
    assert tuple(audit.columns) == FIELDS and list(audit["column"]) == ["y", "dy/dx"]
    assert list(audit["entries"]) == [15, 15] and list(audit["verdict"]) == ["", ""]
    assert audit["noise"][0] == pytest.approx(model.training["noise"]["y"])
    apart = (noisy.Y - model.predict(noisy.X))[:15, 0] / audit["noise"][0]
    assert audit["row"][0] == np.abs(apart).argmax()
    assert audit["largest_residual"][0] == pytest.approx(apart[audit["row"][0]])
    assert audit["chi2_per_entry"][0] == pytest.approx(np.mean(apart**2))
    assert (np.abs(audit["factor"] - 1.0) < 0.05).all() and (audit["cosine"] > 0.98).all()


def test_chi2_is_in_sigmas_where_they_are_given():
    x = np.linspace(-1, 1, 20)[:, None]
    y = x**2 + 0.1 * np.where(np.arange(20) % 2, 1, -1)[:, None]
    data = MixedData(x, y, Y_sigma=np.full((20, 1), 0.1), weights=np.where(np.arange(20) < 3, 0, 1))
    audit = fit(data, **LINE).audit
    assert audit["entries"][0] == 17 and audit["chi2_per_entry"][0] == pytest.approx(0.9, abs=0.15)
    assert audit["row"][0] >= 3


def test_a_trainer_without_noise_has_the_root_mean_square():
    model = fit(parabola(), hidden=(3,), trainer="lbfgs", iterations=20)
    rms = np.sqrt(np.nanmean((model.predict(parabola().X) - parabola().Y) ** 2))
    assert model.audit["noise"][0] == pytest.approx(rms)


def test_suspects_are_columns_with_more_than_noise():
    x, noise = np.linspace(1, 2, 50), np.random.default_rng(0).normal(size=50)
    assert not is_suspect(column(x, x + 0.01 * noise)) and not is_suspect(column(x, x + 0.2 * noise))
    assert is_suspect(column(x, -x)) and is_suspect(column(2 * x, x))
    assert is_suspect(column(x + 3.0 * (np.arange(50) == 7), x + 0.05 * noise))
    assert is_suspect(column(x, x + 0.1 * noise, sigma=0.01))
    assert not is_suspect(column(x, x + 0.1 * noise, sigma=0.1))


def test_a_polynomial_notices_a_sign_before_any_network():
    for slope, factor in ((2.0, 1.0), (-2.0, -1.0), (4.0, 2.0)):
        found = {fit.name: fit.factor for fit in polynomial_fits(parabola(slope))}
        assert found["dy/dx"] == (pytest.approx(factor), pytest.approx(np.sign(factor)))


def test_families_are_columns_about_the_same_outputs():
    X = np.random.default_rng(0).uniform(1, 2, (9, 1))
    data = MixedData(X, np.hstack([X, X**2, X**3]), inputs=["x"], outputs=["c", "b", "a"])
    model = fit(data, hidden=(), trainer="lm", iterations=5)
    found = families(data, column_fits(model, data))
    assert [[c.name for c in family] for family in found] == [["c"], ["b"], ["a"]]


# The verdicts


def test_slopes_of_the_wrong_sign_are_named():
    told = r"^dy/dx looks like -1\.00 times what the other entries say, or y is the wrong one of the two$"
    with pytest.warns(SwarmnetWarning, match=told) as caught:
        model = fit(parabola(-2.0), **LINE)
    assert len(caught) == 1  # nothing of noise
    audit = model.audit
    assert audit["factor"][1] == pytest.approx(-1.0, abs=1e-3) and audit["cosine"][1] < -0.999


def test_the_odd_one_of_three_columns_is_named_in_any_order_of_names(tmp_path):
    rng = np.random.default_rng(1)
    X = rng.uniform(-1, 1, (45, 2))
    values = np.sin(X[:, 0]) * np.exp(X[:, 1]) + 2 * X[:, 1]
    J = np.stack([np.cos(X[:, 0]) * np.exp(X[:, 1]), np.sin(X[:, 0]) * np.exp(X[:, 1]) + 2], axis=1)
    kind = np.arange(45) % 3
    Y = np.where(kind == 0, 1e-3 * values, NAN)[:, None]
    J = np.where(kind[:, None] == [1, 2], J, NAN)[:, None]
    data = MixedData(X, Y, J, inputs=["T", "a"], outputs=["h"])
    with pytest.warns(SwarmnetWarning, match=r"^h looks [19]\d* times too small for dh/dT and dh/da$"):
        model = fit(data, hidden=(3,), trainer="lm")
    assert list(model.audit["column"]) == ["h", "dh/dT", "dh/da"]
    model.save(tmp_path / "m.json")
    assert load(tmp_path / "m.json").audit.equals(model.audit)


@pytest.mark.parametrize("rows", [[30], [12, 40, 51]])
def test_rows_that_stick_out_are_named_with_their_residuals(rows):
    x = np.linspace(0, 6, 60)[:, None]
    y = np.sin(x) + 0.05 * np.random.default_rng(0).normal(size=x.shape)
    y[rows] += 100.0
    with pytest.warns(SwarmnetWarning, match=r"^y: \d rows? sticks? out by more than \d+ noise: ") as caught:
        model = fit(MixedData(x, y), **LINE)
    text = str(caught[-1].message)
    assert all(f" {row} (by " in text for row in rows) and text.count("(by ") == len(rows)
    assert model.audit["row"][0] in rows and 0.03 < model.audit["noise"][0] < 0.07


def test_training_cut_short_is_not_checked():
    model = fit(parabola(-2.0), hidden=(3,), trainer="lm", iterations=5)
    assert list(model.audit["verdict"]) == ["", ""]


def test_the_estimator_has_the_audit():
    data = parabola()
    net = SwarmNetRegressor(**LINE).fit(data.X, data.Y[:, 0], data.J[:, 0])
    assert list(net.audit_["column"]) == ["y", "dy/dx1"] and net.audit_.equals(net.model_.audit)


def test_a_record_without_audit_or_with_a_damaged_one_gives_an_empty_table():
    for record in ({}, {"audit": None}, {"audit": 3}, {"audit": [4]}):
        found = audit_frame(record)
        assert len(found) == 0 and tuple(found.columns) == FIELDS and verdicts(record) == []


@pytest.mark.parametrize(
    ("factor", "text"),
    [
        (1000.4, "h looks 1000 times too large for u and v"),
        (0.001, "h looks 1000 times too small for u and v"),
        (2.0, "h looks like 2.00 times what the other entries say"),
        (-1.0, "h looks like -1.00 times what the other entries say"),
    ],
)
def test_factors_are_told_in_plain_words(factor, text):
    assert factor_verdict("h", factor, ["u", "v"], None) == text
