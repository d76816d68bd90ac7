"""SwarmNetRegressor: scikit-learn's own checks, and derivatives through its tools."""

import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError, UndefinedMetricWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_predict,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import swarmnet
from swarmnet import MixedData, SwarmnetError, SwarmNetRegressor, SwarmnetWarning

NAN = np.nan
FAST = {"hidden": (5,), "trainer": "lbfgs", "iterations": 40}


@pytest.fixture
def mixed():
    """X (24, 2), y (24,) and dydx (24, 2), a third of the values and half of the partials missing."""
    rng = np.random.default_rng(3)
    X = rng.uniform(-1.0, 3.0, (24, 2))
    y, dydx = np.sin(X[:, 0]) * X[:, 1], np.stack([np.cos(X[:, 0]) * X[:, 1], np.sin(X[:, 0])], axis=1)
    y[::3] = NAN
    dydx[rng.random(dydx.shape) < 0.5] = NAN
    return X, y, dydx


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("settings", [FAST, {"hidden": (3,), "iterations": 30}], ids=["lbfgs", "hybrid"])
def test_all_of_scikit_learns_checks(settings, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # without it, one check is skipped
    results = check_estimator(SwarmNetRegressor(**settings), on_skip=None)
    assert {(r["status"], r["check_name"]) for r in results if r["status"] != "passed"} == set()
    assert len(results) > 50


def test_it_trains_what_fit_trains(mixed):
    X, y, dydx = mixed
    weights = np.arange(24) % 3
    net = SwarmNetRegressor(**FAST, random_state=7).fit(X, y, dydx, weights)
    model = swarmnet.fit(MixedData(X, y, dydx, weights=weights), **FAST, seed=7)
    assert np.array_equal(net.model_.theta, model.theta)
    assert np.array_equal(net.predict(X), model.predict(X)[:, 0])
    assert np.array_equal(net.jacobian(X), model.jacobian(X)[:, 0])
    assert np.array_equal(net.hessian(X), model.hessian(X)[:, 0])
    assert net.n_iter_ == len(model.history)


@pytest.mark.parametrize(
    "given",
    [
        {"derivative_weight": 5.0},
        {"l2": 0.1},
        {"scaling": "minmax"},
        {"activation": "sine"},
        {"trainer": "pso", "particles": 7},
        {"loss": "cross-entropy"},
    ],
    ids=str,
)
def test_every_setting_reaches_fit(given):
    X, y = np.linspace(0.0, 1.0, 8)[:, None], np.linspace(0.1, 0.9, 8)
    dydx = np.full((8, 1), 0.8) + X
    settings = FAST | {"iterations": 5} | given
    net = SwarmNetRegressor(**settings).fit(X, y, dydx)
    assert np.array_equal(net.model_.theta, swarmnet.fit(MixedData(X, y, dydx), **settings).theta)
    usual = SwarmNetRegressor(**(FAST | {"iterations": 5})).fit(X, y, dydx)
    assert not np.array_equal(net.model_.theta, usual.model_.theta)


def test_several_outputs(mixed):
    X, y, dydx = mixed
    Y, J = np.stack([y, -2.0 * y], axis=1), np.stack([dydx, -2.0 * dydx], axis=1)
    net = SwarmNetRegressor(**FAST).fit(X, Y, J)
    assert (net.predict(X).shape, net.jacobian(X).shape) == ((24, 2), (24, 2, 2))
    assert net.hessian(X).shape == (24, 2, 2, 2)
    one = SwarmNetRegressor(**FAST).fit(X, y[:, None], dydx)
    assert (one.predict(X).shape, one.jacobian(X).shape) == ((24, 1), (24, 1, 2))


def test_derivatives_alone(mixed):
    X, _, dydx = mixed
    with pytest.warns(SwarmnetWarning, match="constant is free"):
        net = SwarmNetRegressor(**FAST).fit(X, None, dydx)
    assert (net.predict(X).shape, net.jacobian(X).shape) == ((24,), (24, 2))
    assert net.score(X, None, dydx) > 0.9
    with pytest.warns(SwarmnetWarning, match="constant is free"):
        assert SwarmNetRegressor(**FAST).fit(X, None, dydx[:, None]).predict(X).shape == (24, 1)


def test_error_bars(mixed):
    X, y, dydx = mixed
    net = SwarmNetRegressor(hidden=(4,), trainer="lm", iterations=20).fit(X, y, dydx)
    (values, std), (partials, partials_std) = net.predict(X, return_std=True), net.jacobian(X, True)
    assert values.shape == std.shape == (24,)
    assert partials.shape == partials_std.shape == (24, 2)
    assert (std > 0).all()
    with pytest.raises(SwarmnetError, match="no error bars"):
        SwarmNetRegressor(**FAST).fit(X, y).predict(X, return_std=True)


# Names


def test_names_come_from_the_frames(mixed):
    X, y, dydx = mixed
    frame, target = pd.DataFrame(X, columns=["T", "p"]), pd.Series(y, name="h")
    partials = pd.DataFrame(dydx, columns=["dh/dT", "dh/dp"])
    net = SwarmNetRegressor(**FAST).fit(frame, target, partials[["dh/dp", "dh/dT"]])
    assert (net.model_.inputs, net.model_.outputs) == (("T", "p"), ("h",))
    assert list(net.feature_names_in_) == ["T", "p"]
    plain = SwarmNetRegressor(**FAST).fit(X, y, dydx)
    assert np.array_equal(net.model_.theta, plain.model_.theta)
    assert net.score(frame, target, partials) == plain.score(X, y, dydx)
    with pytest.raises(ValueError, match="feature names should match"):
        net.jacobian(frame.rename(columns={"T": "t"}))
    with pytest.raises(SwarmnetError, match="no place for dh/dt: its columns are dh/dT, dh/dp"):
        net.fit(frame, target, partials.rename(columns={"dh/dT": "dh/dt"}))


def test_a_partial_without_a_column_was_not_observed(mixed):
    X, y, dydx = mixed
    partials = pd.DataFrame({"dy/dx2": dydx[:, 1]}).astype("Float64")
    net = SwarmNetRegressor(**FAST).fit(X, pd.array(y, dtype="Float64"), partials)
    dydx[:, 0] = NAN
    assert np.array_equal(net.model_.theta, SwarmNetRegressor(**FAST).fit(X, y, dydx).model_.theta)


@pytest.mark.parametrize("name", ["y", "a", None, 3])
def test_outputs_named_like_inputs_get_other_names(mixed, name):
    X, y, _ = mixed
    net = SwarmNetRegressor(**FAST).fit(pd.DataFrame(X, columns=["y", "a"]), pd.Series(y, name=name))
    assert net.model_.outputs == ("a_" if name == "a" else "y_",)


@pytest.fixture
def named(mixed):
    """The same as tables: T, p -> h, s, with s = -2 h."""
    X, y, dydx = mixed
    slopes = dict(zip(["dh/dT", "dh/dp", "ds/dT", "ds/dp"], [*dydx.T, *(-2.0 * dydx.T)], strict=True))
    return (
        pd.DataFrame(X, columns=["T", "p"]),
        pd.DataFrame({"h": y, "s": -2.0 * y}),
        pd.DataFrame(slopes),
    )


@pytest.mark.parametrize("argument", ["y", "dydx", "y_sigma", "dydx_sigma", "sample_weight"])
def test_rows_in_another_order_are_refused(named, argument):
    X, y, dydx = named
    ones = {"y_sigma": 0.0 * y.fillna(0.0) + 1.0, "dydx_sigma": 0.0 * dydx.fillna(0.0) + 1.0}
    given = {"y": y, "dydx": dydx, "sample_weight": pd.Series(np.ones(24)), **ones}
    net = SwarmNetRegressor(**FAST)
    net.fit(X, **given)
    with pytest.raises(SwarmnetError, match=f"rows of {argument} are in another order than those of X"):
        net.fit(X, **(given | {argument: given[argument][::-1]}))
    other = given[argument].set_axis(range(100, 124))
    with pytest.raises(SwarmnetError, match=f"rows of {argument} are not those of X"):
        net.fit(X, **(given | {argument: other}))
    with pytest.raises(SwarmnetError, match="those of y, says their index: give dydx"):
        net.fit(X.to_numpy(), y["h"], pd.DataFrame({"dh/dx1": dydx["dh/dT"]})[::-1])


def test_tables_of_other_libraries_are_matched_by_name(named):
    X, y, dydx = named
    plain = SwarmNetRegressor(**FAST).fit(X, y, dydx)
    other = SwarmNetRegressor(**FAST).fit(
        pa.Table.from_pandas(X), pa.Table.from_pandas(y), pa.Table.from_pandas(dydx[reversed(list(dydx))])
    )
    assert np.array_equal(other.model_.theta, plain.model_.theta)
    assert np.array_equal(other.predict(pa.Table.from_pandas(X)), plain.predict(X))
    with pytest.raises(ValueError, match="feature names should match"):
        other.predict(pa.Table.from_pandas(X[["p", "T"]]))


def test_the_score_matches_y_by_name(named):
    X, y, dydx = named
    net = SwarmNetRegressor(**FAST).fit(X, y, dydx)
    assert net.score(X, y[["s", "h"]]) == net.score(X, y) > 0.9
    assert net.score(X, pa.Table.from_pandas(y[["s", "h"]])) == net.score(X, y)
    with pytest.raises(SwarmnetError, match="columns of y are h, g, where the model's outputs are h, s"):
        net.score(X, y.rename(columns={"s": "g"}))


def test_dydx_may_name_the_output(named):
    X, y, dydx = named
    net = SwarmNetRegressor(**FAST).fit(X, y["h"].to_numpy(), dydx[["dh/dT", "dh/dp"]])
    assert net.model_.outputs == ("h",)
    with pytest.warns(SwarmnetWarning, match="constant is free"):
        alone = SwarmNetRegressor(**FAST).fit(X, None, dydx)
    assert alone.model_.outputs == ("h", "s")
    assert alone.predict(X).shape == (24, 2)


def test_sigmas_are_those_of_mixed_data(mixed):
    X, y, dydx = mixed
    rng = np.random.default_rng(0)
    sigmas = rng.uniform(0.1, 2.0, 24), rng.uniform(0.1, 2.0, (24, 2))
    expected = swarmnet.fit(MixedData(X, y, dydx, *sigmas), **FAST).theta
    assert not np.array_equal(expected, swarmnet.fit(MixedData(X, y, dydx), **FAST).theta)
    net = SwarmNetRegressor(**FAST).fit(X, y, dydx, y_sigma=sigmas[0], dydx_sigma=sigmas[1])
    assert np.array_equal(net.model_.theta, expected)
    net.fit(X, y[:, None], dydx[:, None], y_sigma=sigmas[0][:, None], dydx_sigma=sigmas[1][:, None])
    assert np.array_equal(net.model_.theta, expected)
    for names in (["dy/dx2", "dy/dx1"], ["sigma(dy/dx2)", "sigma(dy/dx1)"]):
        frame = pd.DataFrame(sigmas[1][:, ::-1], columns=names)
        net.fit(X, y, dydx, y_sigma=pd.Series(sigmas[0]), dydx_sigma=frame)
        assert np.array_equal(net.model_.theta, expected)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"y_sigma": np.ones((24, 2))}, r"y_sigma must be \(24,\) like y, not \(24, 2\)"),
        ({"y_sigma": np.ones(23)}, "inconsistent numbers of samples"),
        ({"y_sigma": np.zeros(24)}, r"'sigma\(y\)' is not positive"),
        ({"y_sigma": np.full(24, np.inf)}, "Input y_sigma contains infinity"),
        ({"y_sigma": pd.DataFrame({"sigma(g)": np.ones(24)})}, r"no place for sigma\(g\)"),
        ({"dydx_sigma": np.ones((24, 3))}, r"dydx_sigma must be \(24, 2\)"),
        ({"dydx_sigma": np.ones((24, 2)), "dydx": None}, "give dydx, too"),
        ({"y_sigma": np.ones(24), "y": None}, "give y, too"),
    ],
)
def test_sigmas_that_fit_nothing_are_refused(mixed, given, words):
    data = dict(zip(("X", "y", "dydx"), mixed, strict=True)) | given
    with pytest.raises(ValueError, match=words):
        SwarmNetRegressor(**FAST).fit(**data)


def test_a_constant_weight_is_none_and_small_ones_are_relative(mixed):
    """By evidence, for which weights that are counts matter most."""
    X, y, dydx = mixed
    net = SwarmNetRegressor(hidden=(4,), trainer="lm", iterations=30)
    plain = net.fit(X, y, dydx).model_
    assert np.array_equal(net.fit(X, y, dydx, np.full(24, 1 / 24)).model_.theta, plain.theta)
    weights = np.random.default_rng(0).uniform(0.5, 1.0, 24)
    weights[3] = 0.0
    small, smaller = (net.fit(X, y, dydx, weights / 1024.0**power).model_ for power in (1, 9))
    assert np.array_equal(small.theta, smaller.theta)
    assert net.score(X, y, dydx) > 0.98
    kept = weights[weights > 0]
    counts = swarmnet.fit(
        MixedData(X, y, dydx, weights=weights / kept.mean()), hidden=(4,), trainer="lm", iterations=30
    )
    np.testing.assert_allclose(small.predict(X), counts.predict(X), rtol=1e-4, atol=1e-5)


def test_weights_of_one_or_more_on_average_are_counts(mixed):
    X, y, dydx = mixed
    weights = np.where(np.arange(24) < 12, 0.5, 3.0)
    net = SwarmNetRegressor(**FAST).fit(X, y, dydx, weights)
    counted = swarmnet.fit(MixedData(X, y, dydx, weights=weights), **FAST)
    assert np.array_equal(net.model_.theta, counted.theta)


# scikit-learn's tools


def by_hand(X, y, dydx, settings, folds, score):
    """Fit on each training fold, and `score` on the other."""
    found = []
    for train, test in folds.split(X):
        net = SwarmNetRegressor(**settings).fit(X[train], y[train], dydx[train])
        found.append(score(net, test))
    return found


@pytest.mark.parametrize("routed", [False, True])
def test_a_grid_search_is_the_loop_by_hand(mixed, routed):
    X, y, dydx = mixed
    folds, sizes = KFold(3, shuffle=True, random_state=0), [(2,), (4,), (4, 4)]
    with sklearn.config_context(enable_metadata_routing=routed):
        search = GridSearchCV(SwarmNetRegressor(**FAST), {"hidden": sizes}, cv=folds)
        search.fit(X, y, dydx=dydx)
    for size, row in zip(sizes, pd.DataFrame(search.cv_results_).itertuples(), strict=True):
        scores = by_hand(
            X, y, dydx, FAST | {"hidden": size}, folds, lambda net, test: net.score(X[test], y[test])
        )
        assert [row.split0_test_score, row.split1_test_score, row.split2_test_score] == scores
    best = SwarmNetRegressor(**(FAST | search.best_params_)).fit(X, y, dydx)
    assert np.array_equal(search.best_estimator_.model_.theta, best.model_.theta)


def test_derivatives_may_be_scored_too(mixed, routing):
    X, y, dydx = mixed
    folds = KFold(3)
    scored = cross_validate(
        SwarmNetRegressor(**FAST).set_score_request(dydx=True), X, y, cv=folds, params={"dydx": dydx}
    )["test_score"]

    def score(net, test):
        return net.score(X[test], y[test], dydx[test])

    assert scored.tolist() == by_hand(X, y, dydx, FAST, folds, score)
    assert scored.tolist() != by_hand(X, y, dydx, FAST, folds, lambda net, t: net.score(X[t], y[t]))


def test_weights_are_routed_too(mixed, routing):
    X, y, dydx = mixed
    weights, folds = np.arange(24.0) % 4, KFold(3)
    net = SwarmNetRegressor(**FAST).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    scored = cross_validate(net, X, y, cv=folds, params={"dydx": dydx, "sample_weight": weights})
    for score, (train, test) in zip(scored["test_score"], folds.split(X), strict=True):
        own = SwarmNetRegressor(**FAST).fit(X[train], y[train], dydx[train], weights[train])
        assert score == own.score(X[test], y[test], sample_weight=weights[test])


@pytest.mark.parametrize("routed", [False, True])
@pytest.mark.parametrize("outputs", [1, 2])
def test_cross_val_predict_slices_the_derivatives(mixed, routed, outputs):
    X, y, dydx = mixed
    if outputs == 2:
        y, dydx = np.stack([y, -y], axis=1), np.stack([dydx, -dydx], axis=1)
    folds = KFold(4)
    with sklearn.config_context(enable_metadata_routing=routed):
        predicted = cross_val_predict(SwarmNetRegressor(**FAST), X, y, cv=folds, params={"dydx": dydx})
    expected = by_hand(X, y, dydx, FAST, folds, lambda net, test: net.predict(X[test]))
    assert np.array_equal(predicted, np.concatenate(expected))


@pytest.mark.parametrize("routed", [False, True])
def test_sigmas_are_sliced_along(mixed, routed):
    X, y, dydx = mixed
    sigmas, folds = {"y_sigma": np.linspace(0.1, 2.0, 24), "dydx_sigma": np.ones((24, 2))}, KFold(3)
    sigmas["dydx_sigma"][::2] = 0.1
    with sklearn.config_context(enable_metadata_routing=routed):
        search = GridSearchCV(SwarmNetRegressor(**FAST), {"hidden": [(2,)]}, cv=folds)
        search.fit(X, y, dydx=dydx, **sigmas)
    for fold, (train, test) in enumerate(folds.split(X)):
        own = SwarmNetRegressor(**(FAST | {"hidden": (2,)})).fit(
            X[train], y[train], dydx[train], **{name: sigma[train] for name, sigma in sigmas.items()}
        )
        assert search.cv_results_[f"split{fold}_test_score"][0] == own.score(X[test], y[test])


def test_a_pipeline_hands_derivatives_on(mixed):
    X, y, dydx = mixed
    swap = FunctionTransformer(lambda X: X[:, ::-1])
    pipe = make_pipeline(swap, SwarmNetRegressor(**FAST))
    direct = SwarmNetRegressor(**FAST).fit(X[:, ::-1], y, dydx[:, ::-1])
    by_name = clone(pipe).fit(X, y, swarmnetregressor__dydx=dydx[:, ::-1])
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(pipe).fit(X, y, dydx=dydx[:, ::-1])
    for fitted in (by_name, routed):
        assert np.array_equal(fitted.predict(X), direct.predict(X[:, ::-1]))


def test_a_scaler_in_front_wants_scaled_derivatives_and_is_warned_of(mixed):
    X, y, dydx = mixed
    scaler = StandardScaler().fit(X)
    pipe = make_pipeline(StandardScaler(), SwarmNetRegressor(**FAST))
    with pytest.warns(SwarmnetWarning, match="leave the scaler out"):
        pipe.fit(X, y, swarmnetregressor__dydx=dydx * scaler.scale_)
    plain = SwarmNetRegressor(**FAST).fit(X, y, dydx)
    np.testing.assert_allclose(pipe.predict(X), plain.predict(X), rtol=1e-5, atol=1e-6)
    slopes = pipe[-1].jacobian(pipe[0].transform(X)) / scaler.scale_
    np.testing.assert_allclose(slopes, plain.jacobian(X), rtol=1e-4, atol=1e-5)
    pipe.fit(X, y)  # without derivatives nothing can be meant wrongly


def test_a_transformed_target_is_warned_of():
    """log(y) has the slopes dydx / y, and nobody but this estimator can know that they are needed."""
    x = np.linspace(0.0, 2.0, 20)
    X, y, dydx = x[:, None], np.exp(3.0 * np.sin(x)), (3.0 * np.cos(x) * np.exp(3.0 * np.sin(x)))[:, None]
    around = TransformedTargetRegressor(SwarmNetRegressor(**FAST), func=np.log, inverse_func=np.exp)
    with pytest.warns(SwarmnetWarning, match="but not dydx: by the chain rule dydx must be"):
        around.fit(X, y, dydx=dydx / y[:, None])
    assert np.abs(around.predict(X) / y - 1.0).max() < 0.05
    search = GridSearchCV(around.regressor, {"hidden": [(3,)]}, cv=KFold(2))
    within = TransformedTargetRegressor(make_pipeline(search), transformer=StandardScaler())
    with pytest.warns(SwarmnetWarning, match="but not dydx and y_sigma: by the chain rule"):
        within.fit(X, y, gridsearchcv__dydx=dydx, gridsearchcv__y_sigma=np.ones(20))
    around.fit(X, y)  # without derivatives there is nothing to say
    TransformedTargetRegressor(SwarmNetRegressor(**FAST)).fit(X, y, dydx=dydx)  # nor without a transformation
    SwarmNetRegressor(**FAST).fit(X, y, dydx)


def test_designs_coded_by_plus_and_minus_are_no_scalers():
    X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    SwarmNetRegressor(**FAST).fit(X, X[:, 0] * X[:, 1], X[:, ::-1])  # warnings are errors here


def test_frames_go_through_a_pipeline(mixed):
    X, y, _ = mixed
    frame = pd.DataFrame(X, columns=["T", "p"])
    pipe = make_pipeline(StandardScaler(), SwarmNetRegressor(**FAST)).set_output(transform="pandas")
    assert list(pipe.fit(frame, y)[-1].feature_names_in_) == ["T", "p"]


def test_clones_and_pickles(mixed):
    X, y, dydx = mixed
    trainer = swarmnet.trainers.LBFGS(memory=5, iterations=10)
    net = SwarmNetRegressor(hidden=(3,), trainer=trainer, activation="silu").fit(X, y, dydx)
    again = pickle.loads(pickle.dumps(net))
    assert np.array_equal(again.jacobian(X), net.jacobian(X))
    copied = clone(net)
    assert copied.get_params() == net.get_params()
    assert not hasattr(copied, "model_")
    assert np.array_equal(copied.fit(X, y, dydx).predict(X), net.predict(X))


def test_random_states(mixed):
    X, y, _ = mixed

    def theta(random_state):
        return SwarmNetRegressor(**(FAST | {"random_state": random_state})).fit(X, y).model_.theta

    assert np.array_equal(theta(np.int64(5)), theta(5))
    assert np.array_equal(theta(np.random.RandomState(1)), theta(np.random.RandomState(1)))
    np.random.seed(0)  # noqa: NPY002  # None means this generator
    assert not np.array_equal(theta(None), theta(None))


# Searches over settings


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"hidden": [4, 3]}, {"hidden": (4, 3)}),
        ({"hidden": "4,3"}, {"hidden": (4, 3)}),
        ({"hidden": "(4, 3)"}, {"hidden": (4, 3)}),
        ({"hidden": "[4]"}, {"hidden": (4,)}),
        ({"hidden": np.array([4, 3], dtype=object)}, {"hidden": (4, 3)}),
        ({"hidden": np.int64(4), "degree": np.int32(2), "iterations": np.int64(30)}, {"degree": 2}),
        (
            {"log": np.array(["y", "x2"], dtype=object), "l2": np.float32(0.5)},
            {"log": ("y", "x2"), "l2": 0.5},
        ),
        ({"log": np.array([])}, {}),
        ({"activation": np.array(["sine", "linear"])}, {"activation": ("sine", "linear")}),
        ({"noise": np.str_("student"), "loss": np.str_("squared")}, {"noise": "student"}),
        ({"require": np.array(["y >= 0"], dtype=object)}, {"require": "y >= 0"}),
    ],
    ids=str,
)
def test_settings_may_come_from_arrays_and_files(given, plain):
    X = np.random.default_rng(2).uniform(0.5, 2.0, (15, 2))
    usual = {"hidden": (4,), "trainer": "lbfgs", "iterations": 30}
    net = clone(SwarmNetRegressor(**(usual | given)))
    assert all(net.get_params()[name] is value or name in repr(net) for name, value in given.items())
    same = SwarmNetRegressor(**(usual | plain)).fit(X, X[:, 0] * X[:, 1])
    assert np.array_equal(net.fit(X, X[:, 0] * X[:, 1]).model_.theta, same.model_.theta)


def test_searches_over_every_kind_of_setting():
    X = np.random.default_rng(2).uniform(0.5, 2.0, (15, 2))
    y, quick = X[:, 1] ** 2 / X[:, 0], SwarmNetRegressor(trainer="lbfgs", iterations=8)
    grid = {"hidden": [(8,), [3, 2], "4,4", 5], "log": [None, ["y", "x2"]]}
    search = GridSearchCV(quick, grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 8
    best = clone(quick).set_params(**search.best_params_).fit(X, y)
    assert np.array_equal(search.best_estimator_.model_.theta, best.model_.theta)
    drawn = {
        "hidden": np.array([(8,), (3, 2), 6], dtype=object),
        "degree": np.arange(3),
        "noise": ["student", "gaussian"],
        "l2": np.logspace(-6, -2, 3),
        "activation": ["tanh", "sine"],
    }
    found = RandomizedSearchCV(quick, drawn, n_iter=4, cv=2, random_state=0, error_score="raise").fit(X, y)
    assert np.isfinite(found.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"activation": None}, "activation must be a name, or one for each layer, not None"),
        ({"loss": ["squared"]}, "unknown loss"),
        ({"noise": np.array(["student"])}, "unknown noise"),
        ({"hidden": "8;8"}, "hidden must be 'auto' or whole numbers"),
        ({"hidden": "(0, 8)"}, "hidden must be 'auto' or whole numbers"),
    ],
)
def test_settings_of_another_kind_are_refused_in_one_line(given, words):
    with pytest.raises(SwarmnetError, match=words):
        SwarmNetRegressor(**(FAST | given)).fit([[0.0], [2.0], [1.0]], [0.0, 1.0, 3.0])


# Tables as answers


def test_answers_as_tables(named):
    X, y, dydx = named
    X = X.set_axis(range(7, 31))
    net = SwarmNetRegressor(hidden=(4,), trainer="lm", iterations=15)
    net.fit(X, y[["s", "h"]].set_axis(X.index), dydx.set_axis(X.index))
    arrays = net.predict(X, return_std=True), net.jacobian(X, return_std=True), net.hessian(X)
    net.set_output(transform="pandas")
    (values, std), (partials, partials_std) = net.predict(X, True), net.jacobian(X, return_std=True)
    second = net.hessian(X)
    assert list(values) == ["s", "h"] and list(std) == ["sigma(s)", "sigma(h)"]
    assert list(partials) == ["ds/dT", "ds/dp", "dh/dT", "dh/dp"]
    assert list(partials_std) == [f"sigma({name})" for name in partials]
    assert list(second) == ["d2s/dT2", "d2s/dTdp", "d2s/dp2", "d2h/dT2", "d2h/dTdp", "d2h/dp2"]
    for table in (values, std, partials, partials_std, second):
        assert table.index.equals(X.index)
    assert np.array_equal(values, arrays[0][0]) and np.array_equal(std, arrays[0][1])
    assert np.array_equal(partials, arrays[1][0].reshape(24, 4))
    assert np.array_equal(partials_std, arrays[1][1].reshape(24, 4))
    assert np.array_equal(second["d2h/dTdp"], arrays[2][:, 1, 0, 1])
    assert np.array_equal(net.set_output(transform="default").predict(X), arrays[0][0])


def test_tables_do_not_disturb_scikit_learns_tools(mixed):
    X, y, dydx = mixed
    net = SwarmNetRegressor(**FAST).set_output(transform="pandas").set_output()
    plain = SwarmNetRegressor(**FAST).fit(X, y, dydx)
    assert list(clone(net).fit(X, y, dydx).predict(X)) == ["y"]
    assert clone(net).fit(X, y, dydx).score(X, y, dydx) == plain.score(X, y, dydx)
    folds = cross_val_predict(net, X, y, cv=KFold(3), params={"dydx": dydx})
    expected = cross_val_predict(plain, X, y, cv=KFold(3), params={"dydx": dydx})
    assert np.array_equal(folds[:, 0], expected)
    pipe = make_pipeline(MinMaxScaler(), SwarmNetRegressor(**FAST)).set_output(transform="pandas")
    with sklearn.config_context(transform_output="pandas"):
        answers = pipe.fit(X, y).predict(X)
    assert isinstance(answers, np.ndarray) and answers.shape == (24,)
    with pytest.raises(SwarmnetError, match="unknown output 'panda': did you mean 'pandas'"):
        net.set_output(transform="panda")


# Going on from the last fit


@pytest.mark.parametrize("trainer", swarmnet.trainers.TRAINERS)
def test_a_warm_start_goes_on_from_the_last_weights(mixed, trainer):
    X, y, dydx = mixed
    net = SwarmNetRegressor(hidden=(5,), trainer=trainer, iterations=40, warm_start=True).fit(X, y, dydx)
    first, weights = net.score(X, y, dydx), net.model_.theta
    net.set_params(iterations=3).fit(X, y, dydx)
    assert net.score(X, y, dydx) > first - 1e-3
    cold = clone(net).fit(X, y, dydx)
    assert cold.score(X, y, dydx) < net.score(X, y, dydx)
    assert not np.array_equal(cold.model_.theta, net.model_.theta)
    again = SwarmNetRegressor(hidden=(5,), trainer=trainer, iterations=40, warm_start=True).fit(X, y, dydx)
    assert np.array_equal(again.model_.theta, weights)
    assert np.array_equal(again.set_params(iterations=3).fit(X, y, dydx).model_.theta, net.model_.theta)


def test_a_warm_start_keeps_what_hybrid_chose(named):
    """Columns not in alphabetical order, other rows, and their scaling."""
    X, y, _ = named
    X, y = X[["p", "T"]], y[["s", "h"]].fillna(1.0)
    net = SwarmNetRegressor(warm_start=True, iterations=60).fit(X[:18], y[:18])
    before = net.model_
    net.fit(X[6:], y[6:])
    assert (net.model_.net.sizes, net.model_.inputs) == (before.net.sizes, ("p", "T"))
    assert net.model_.outputs == ("s", "h")
    assert np.array_equal(net.model_.scaling.x_offset, before.scaling.x_offset)
    assert net.n_iter_ <= 60


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"hidden": (5, 3)}, r"has hidden=\(5,\), not \(5, 3\): set warm_start=False"),
        ({"activation": "sine"}, r"has activation=\['tanh', 'linear'\], not \['sine', 'linear'\]"),
        ({"degree": 2}, "has degree=0, not 2"),
        ({"log": "x2"}, r"has log=\[\], not \['x2'\]"),
        ({"scaling": "minmax"}, "has scaling='standard', not 'minmax'"),
    ],
    ids=str,
)
def test_a_warm_start_with_another_network_is_refused(settings, words):
    X = np.random.default_rng(0).uniform(1.0, 2.0, (12, 2))
    y = pd.Series(X[:, 0] / X[:, 1], name="h")
    net = SwarmNetRegressor(**FAST, warm_start=True).fit(X, y)
    with pytest.raises(SwarmnetError, match=words):
        clone(net).set_params(warm_start=True).fit(X, y).set_params(**settings).fit(X, y)
    with pytest.raises(SwarmnetError, match="whose outputs are h, not y: set warm_start=False"):
        net.fit(X, y.to_numpy())
    with pytest.raises(ValueError, match="3 features, but SwarmNetRegressor is expecting 2"):
        net.fit(X[:, [0, 1, 1]], y)
    net.set_params(hidden="5", degree=0, **{"warm_start": True}).fit(X, y)
    assert net.set_params(**settings, warm_start=False).fit(X, y).model_ is not None


# Scores


def test_the_score_is_r2_of_what_was_observed(mixed):
    X, y, dydx = mixed
    net = SwarmNetRegressor(hidden=(2,), trainer="lbfgs", iterations=8).fit(X, y, dydx)
    seen, weights = ~np.isnan(y), np.arange(24.0)
    values = r2_score(y[seen], net.predict(X[seen]))
    assert net.score(X, y) == pytest.approx(values)
    assert net.score(X[seen], y[seen]) == pytest.approx(values)
    weighted = r2_score(y[seen], net.predict(X[seen]), sample_weight=weights[seen])
    assert net.score(X, y, sample_weight=weights) == pytest.approx(weighted)
    slopes = [
        r2_score(column[~np.isnan(column)], answer[~np.isnan(column)])
        for column, answer in zip(dydx.T, net.jacobian(X).T, strict=True)
    ]
    assert net.score(X, y, dydx) == pytest.approx(np.mean([values, *slopes]))
    assert net.score(X, np.full(24, NAN), dydx) == pytest.approx(np.mean(slopes))
    lone = np.full((24, 2), NAN)
    lone[0, 0] = 1.0
    assert net.score(X, y, lone) == pytest.approx(values)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(net.score(X, None, lone))


def test_the_score_of_several_outputs_is_their_mean(mixed):
    X, y, _ = mixed
    Y = np.stack([np.nan_to_num(y), X[:, 0] ** 2], axis=1)
    net = SwarmNetRegressor(hidden=(2,), trainer="lbfgs", iterations=8).fit(X, Y)
    assert net.score(X, Y) == pytest.approx(r2_score(Y, net.predict(X)))


# Mistakes


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"dydx": np.zeros((3, 3))}, r"dydx must be \(3, 2\)"),
        ({"dydx": np.zeros(3)}, r"dydx must be \(3, 2\)"),
        ({"dydx": np.zeros((3, 2, 2))}, r"dydx must be \(3, 2\)"),
        ({"dydx": np.zeros((2, 2))}, "inconsistent numbers of samples"),
        ({"dydx": np.full((3, 2), np.inf)}, "Input dydx contains infinity"),
        ({"y": np.zeros((3, 2)), "dydx": np.zeros((3, 2))}, r"dydx must be \(3, 2, 2\)"),
        ({"y": [1.0, np.inf, 0.0]}, "Input y contains infinity"),
        ({"y": [NAN] * 3}, "no entries"),
        ({"y": None}, "requires y to be passed"),
        ({"y": ["a", "b", "c"]}, "could not convert"),
        ({"X": [[0.0, NAN]] * 3}, "Input X contains NaN"),
        ({"sample_weight": [1.0, -1.0, 1.0]}, "weight of row 1"),
        ({"sample_weight": [0.0, 0.0, 0.0]}, "weight"),
    ],
)
def test_bad_data_are_refused(given, words):
    data = {"X": [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], "y": [0.0, 1.0, 2.0]} | given
    with pytest.raises(ValueError, match=words):
        SwarmNetRegressor(**FAST).fit(**data)


def test_other_outputs_than_the_models_are_not_scored(mixed):
    X, y, _ = mixed
    with pytest.raises(SwarmnetError, match="there are 2 outputs, where the model has 1"):
        SwarmNetRegressor(**FAST).fit(X, y).score(X, np.stack([y, y], axis=1))


@pytest.mark.parametrize("method", ["predict", "jacobian", "hessian"])
def test_it_must_be_fitted_first(method):
    with pytest.raises(NotFittedError):
        getattr(SwarmNetRegressor(), method)([[0.0]])


def test_bad_settings_are_refused_when_fitting(mixed):
    X, y, _ = mixed
    net = SwarmNetRegressor(trainer="hybird")
    with pytest.raises(SwarmnetError, match="did you mean 'hybrid'"):
        net.fit(X, y)


def test_importing_swarmnet_does_not_import_scikit_learn():
    code = "import sys, swarmnet; print('sklearn' in sys.modules, 'SwarmNetRegressor' in dir(swarmnet))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match="no attribute 'SwarmNetRegresor'"):
        _ = swarmnet.SwarmNetRegresor


@pytest.mark.parametrize("unit", [1e-161, 1e160])
def test_the_score_is_that_in_any_unit(unit):
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    y = np.sin(3 * x[:, 0])
    net = SwarmNetRegressor(hidden=(2,), trainer="lbfgs", iterations=2)
    plain, large = net.fit(x, y).score(x, y), net.fit(x, unit * y).score(x, unit * y)
    assert large == pytest.approx(plain, rel=1e-9) and plain < 0.9


def test_rows_of_weight_0_are_not_scored():
    x, y = np.linspace(-1.0, 1.0, 20)[:, None], np.linspace(0.0, 1.0, 20)
    net = SwarmNetRegressor(hidden=(2,), trainer="lbfgs", iterations=5).fit(x, y)
    far, weights = np.append(y, 1e6), np.append(np.ones(20), 0.0)
    assert net.score(np.append(x, [[0.0]], axis=0), far, sample_weight=weights) == pytest.approx(
        net.score(x, y)
    )


# Columns with formulas

DEFINE = {"cp": "dh/dT/1000", "ratio": "-(dh/dp)/(dh/dT + 9)", "twice": "2*d2h/dT2"}


@pytest.fixture
def defined():
    """T, p, h, and columns that formulas define; h = sin(T) p."""
    rng = np.random.default_rng(3)
    X = pd.DataFrame(rng.uniform(-1.0, 3.0, (30, 2)), columns=["T", "p"])
    s, c, p = np.sin(X["T"]), np.cos(X["T"]), X["p"]
    h = pd.Series(s * p, name="h").where(X.index % 3 > 0)
    slopes = {"twice": -2.0 * s * p, "cp": c * p / 1000.0, "ratio": -s / (c * p + 9.0)}
    return X, h, pd.DataFrame(slopes | {"d2h/dTdp": c})


def test_columns_of_dydx_are_read_by_their_formulas(defined):
    X, h, slopes = defined
    settings = {"hidden": (3,), "trainer": "lm", "iterations": 10}
    sigma, weights = pd.DataFrame({"sigma(cp)": np.full(30, 1e-5)}), np.arange(1, 31)
    net = SwarmNetRegressor(**settings, define=DEFINE)
    net.fit(X, h, slopes, weights, y_sigma=h * 0.0 + 0.1, dydx_sigma=sigma)
    frame = pd.concat([X, h, slopes, sigma], axis=1).assign(**{"sigma(h)": 0.1})
    data = MixedData.from_frame(frame, ["T", "p"], ["h"], define=DEFINE)
    model = swarmnet.fit(replace(data, weights=weights), **settings)
    assert np.array_equal(net.model_.theta, model.theta)
    assert net.predict(X).shape == (30,)
    np.testing.assert_allclose(net.model_.quantity("cp", X), model.jacobian(X)[:, 0, 0] / 1000.0, rtol=1e-12)
    for names in (["cp"], ["ratio", "d2h/dTdp"]):
        of_slopes = net.score(X, None, slopes[names])
        known = [r2_score(slopes[name], model.quantity(name, X)) for name in names]
        assert of_slopes == pytest.approx(np.mean(known), abs=1e-9)
    assert net.score(X[h.notna()], h.dropna()) == pytest.approx(
        r2_score(h.dropna(), model.predict(X)[h.notna(), 0])
    )
    with pytest.warns(SwarmnetWarning, match="constant is free"):
        alone = clone(net).fit(X, None, slopes)
    assert alone.predict(X).shape == (30,) and alone.model_.outputs == ("h",)


def test_definitions_that_fit_no_column_are_refused(defined):
    X, h, slopes = defined
    net = SwarmNetRegressor(**FAST, define=DEFINE)
    for dydx in (None, slopes.to_numpy()):
        with pytest.raises(SwarmnetError, match="give dydx as a table"):
            net.fit(X, h, dydx)
    with pytest.raises(SwarmnetError, match="names 'cp', which is no column"):
        net.fit(X, h, slopes.drop(columns="cp"))
    with pytest.raises(SwarmnetError, match="dydx has the column p, which is in X or y"):
        net.fit(X, h, slopes.rename(columns={"cp": "p"}))
    with pytest.raises(SwarmnetError, match="define= must map"):
        SwarmNetRegressor(**FAST, define=["cp"]).fit(X, h, slopes)
