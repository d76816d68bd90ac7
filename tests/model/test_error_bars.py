"""Error bars: their formula, their units, what files keep of them, and whether they match the errors."""

import json
from dataclasses import replace

import numpy as np
import pytest

from swarmnet import FittedModel, MixedData, Network, SwarmnetError, fit, load
from swarmnet.model.error_bars import (
    GradientWork,
    OtherFit,
    jacobian_deviations,
    pack,
    pinned,
    unpack,
    value_deviations,
    widened,
)
from swarmnet.scaling import Scaling
from swarmnet.trainers import Hybrid
from swarmnet.trainers.evidence import covariance_root

NAN = np.nan
NETS = {
    "linear": Network((2, 1), ("linear",)),
    "tanh": Network((3, 6, 4, 2), "tanh"),
    "curved outputs": Network((2, 5, 3), ("softplus", "sigmoid")),
    "sine": Network((3, 7, 1), ("sine", "tanh")),
}


def root(size, seed=0):
    return np.tril(np.random.default_rng(seed).normal(size=(size, size)))


@pytest.mark.parametrize("rows", [1, 300])
@pytest.mark.parametrize("net", NETS)
def test_they_are_those_of_the_dense_formula(reference, net, rows):
    net = NETS[net]
    hundred_rows = GradientWork(numbers=100 * net.size)
    rng = np.random.default_rng(1)
    theta, X, C = net.init(rng), rng.normal(size=(rows, net.d)), root(net.size)
    _, _, value, partial = reference.gradients(net)(theta, X)
    for deviations, gradient in ((value_deviations, value), (jacobian_deviations, partial)):
        g = np.asarray(gradient)
        expected = np.sqrt(np.einsum("...p,pq,...q->...", g, C.T @ C, g))
        np.testing.assert_allclose(deviations(net, theta, pack(C), X, hundred_rows), expected, rtol=2e-5)


def test_a_packed_root_is_its_lower_half():
    C = np.arange(9.0).reshape(3, 3)
    assert pack(C).tolist() == [0, 3, 4, 6, 7, 8]
    assert unpack(pack(C), 3).tolist() == [[0, 0, 0], [3, 4, 0], [6, 7, 8]]


def test_other_fits_widen_by_their_distance():
    best, own, net = np.array([1.0, 2.0]), np.array([0.5, 0.5]), Network((1, 1, 1))
    others = [OtherFit(net, np.array([1.0, 5.0]), 1.0), OtherFit(net, np.array([1.0, -2.0]), 0.25)]
    expected = [0.5, np.sqrt(0.25 + (9 + 0.25 * 16) / 2.25)]
    np.testing.assert_allclose(widened(own, best, others, [other.theta for other in others]), expected)
    np.testing.assert_array_equal(widened(own, best, [], []), own)


def test_a_pinned_constant_leaves_the_doubt_of_differences(reference):
    """One output's constant is pinned at x: var y(X) becomes var (y(X) - y(x)); the rest stays."""
    net = NETS["tanh"]
    rng = np.random.default_rng(1)
    theta, X, C = net.init(rng), rng.normal(size=(5, net.d)), root(net.size)
    C[:-2, -1] = C[-1, :-1] = 0.0  # nothing is known of the constant
    C[-1, -1] = 1e15
    after = pinned(net, theta, pack(C), X[:1], np.array([1]))
    C[-1, -1] = 0.0
    value = np.asarray(reference.gradients(net)(theta, X)[2])
    expected = np.stack([value[:, 0] @ C.T, (value[:, 1] - value[0, 1]) @ C.T], axis=1)
    found = value_deviations(net, theta, after, X)
    np.testing.assert_allclose(found, np.linalg.norm(expected, axis=-1), rtol=1e-4, atol=1e-4)
    assert found[0, 1] < 1e-4
    slopes = [jacobian_deviations(net, theta, packed, X) for packed in (after, pack(C))]
    np.testing.assert_allclose(slopes[0], slopes[1], rtol=1e-4)


# In models


@pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
@pytest.mark.parametrize("l2", [1e-4, 1e-6, 1e-8])
@pytest.mark.parametrize("values", [True, False], ids=["values", "slopes only"])
def test_a_given_l2_loses_none_of_their_digits(reference, monkeypatch, values, l2):
    """Biases have no prior then, and numbers in the root of their covariance grow large."""
    roots = []

    def kept(*arguments):
        roots.append(covariance_root(*arguments))
        return roots[-1]

    monkeypatch.setattr("swarmnet.fitting.error_bar_parts.covariance_root", kept)
    rng = np.random.default_rng(2)
    X = rng.uniform(0, 3, (40, 1))
    Y, J = (f(2 * X) + 0.05 * rng.normal(size=X.shape) for f in (np.sin, np.cos))
    data = MixedData(X, Y / 2 if values else None, J)
    model = fit(data, hidden=(8, 8), activation="sigmoid", trainer="lm", iterations=100, l2=l2)
    points = model.scaling.scale_X(np.linspace(0, 3, 9)[:, None])
    gradient = np.array(reference.gradients(model.net)(model.theta, points)[2])[:, 0]
    if not values:
        centre = model.scaling.scale_X(data.X.mean(0)[None])
        gradient -= np.array(reference.gradients(model.net)(model.theta, centre)[2])[0]
    found = value_deviations(model.net, model.theta, model.spread, points)[:, 0]
    expected = np.linalg.norm(gradient @ roots[0].T, axis=1)
    np.testing.assert_allclose(found, expected, rtol=0.01, atol=1e-3 * expected.max())


def noisy(n, seed=0, noise=0.1):
    """One entry a row of y = sin(2 x1) + x2^2."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1.5, 1.5, (n, 2))
    Y, J = truth(X)
    kind = rng.integers(3, size=(n, 1))
    Y = np.where(kind == 0, Y[:, None] + noise * rng.normal(size=(n, 1)), NAN)
    return MixedData(X, Y, np.where(kind == [1, 2], J + 2 * noise * rng.normal(size=J.shape), NAN))


def truth(X):
    return np.sin(2 * X[:, 0]) + X[:, 1] ** 2, np.column_stack([2 * np.cos(2 * X[:, 0]), 2 * X[:, 1]])


POINTS = np.array([[0.1, 0.2], [-1.0, 0.5], [1.4, -1.4]])


@pytest.fixture(scope="module")
def model():
    data = noisy(90)
    named = MixedData(data.X, data.Y, data.J, inputs=("T", "p"), outputs=("h",))
    return fit(named, hidden=(5,), seed=1, iterations=60)


def test_a_model_answers_with_its_error_bars(model):
    for query, shape in ((model.predict, (3, 1)), (model.jacobian, (3, 1, 2))):
        answer, std = query(POINTS, return_std=True)
        assert np.array_equal(answer, query(POINTS))
        assert std.shape == shape and (std > 0).all()
    assert len(model.others) == 2  # three starts


def test_other_starts_widen_a_models_error_bars(model):
    alone = replace(model, others=())
    for name in ("predict", "jacobian"):
        best, wide = getattr(model, name)(POINTS, return_std=True)
        own = getattr(alone, name)(POINTS, return_std=True)[1]
        others = [(o, getattr(replace(model, net=o.net, theta=o.theta), name)(POINTS)) for o in model.others]
        total = 1.0 + sum(o.share for o, _ in others)
        apart = sum(o.share / total * (answer - best) ** 2 for o, answer in others)
        np.testing.assert_allclose(wide, np.sqrt(own**2 + apart), rtol=1e-6)


def test_they_are_in_the_datas_units():
    """Units that are powers of 2 change no digit."""
    data, a, c = noisy(60), np.array([4.0, 0.25]), 1024.0
    scaled = MixedData(data.X * a, data.Y * c, data.J * c / a)
    one, other = (fit(part, hidden=(4,), trainer="lm", iterations=80) for part in (data, scaled))
    np.testing.assert_allclose(
        other.predict(POINTS * a, return_std=True)[1], c * one.predict(POINTS, return_std=True)[1], rtol=1e-9
    )
    expected = one.jacobian(POINTS, return_std=True)[1] * c / a
    np.testing.assert_allclose(other.jacobian(POINTS * a, return_std=True)[1], expected, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
@pytest.mark.parametrize("options", [{}, {"l2": 1e-6}], ids=str)
@pytest.mark.parametrize("trainer", ["lm", "hybrid"])
def test_a_constant_that_no_value_fixes_is_no_doubt(trainer, options, tmp_path):
    """At the mean of the inputs, where it is pinned, the value is exact; elsewhere the slopes leave doubt."""
    X = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    data = MixedData(X, J=truth(X)[1])
    model = fit(data, hidden=(4,), trainer=trainer, iterations=60, **options)
    model.save(tmp_path / "m.json")
    model = load(tmp_path / "m.json")
    value, std = model.predict(np.vstack([X.mean(0), [0.9, 0.9]]), return_std=True)
    assert value[0, 0] == pytest.approx(0.0, abs=1e-9)
    assert std[0, 0] < 1e-3 * std[1, 0]
    assert std[1, 0] < 2 * model.jacobian(X, return_std=True)[1].max()


def test_about_as_many_truths_lie_within_two_deviations_as_should():
    unseen = np.random.default_rng(7).uniform(-1.5, 1.5, (400, 2))
    Y, J = truth(unseen)
    within = []
    for seed in range(3):
        model = fit(noisy(120, seed), hidden=(8,), seed=seed)
        pairs = [(model.predict, Y[:, None]), (model.jacobian, J[:, None])]
        shares = []
        for query, true in pairs:
            answer, std = query(unseen, return_std=True)
            shares.append(np.mean(np.abs(answer - true) < 2 * std))
        within.append(shares)
    low, high = np.median(within, axis=0).min(), np.median(within, axis=0).max()
    assert 0.75 <= low <= high <= 1.0
    # and they are no larger than they must be: the data have a spread of 1 and slopes of 2
    assert np.median(std) < 1.0


def test_they_grow_far_from_the_data(model):
    line = np.linspace(0.0, 6.0, 7)[:, None] * [1.0, 1.0]
    std = model.predict(line, return_std=True)[1][:, 0]
    assert std[4] > 5 * std[0]
    assert std[-1] > std[2]


# In files


def test_a_file_keeps_them_exactly(model, tmp_path):
    path = tmp_path / "m.json"
    model.save(path)
    again = load(path)
    assert np.array_equal(again.spread, model.spread) and again.spread.dtype == np.float64
    for read, other in zip(again.others, model.others, strict=True):
        assert read.net.sizes == other.net.sizes and read.share == other.share
        assert np.array_equal(read.theta, other.theta)
    for name in ("predict", "jacobian"):
        first, second = (getattr(m, name)(POINTS, return_std=True)[1] for m in (model, again))
        assert np.array_equal(first, second)


def test_a_file_of_a_single_start_has_no_others(tmp_path):
    one = fit(noisy(40), hidden=(3,), trainer=Hybrid(starts=1, iterations=20))
    assert one.others == ()
    one.save(tmp_path / "m.json")
    again = load(tmp_path / "m.json")
    assert again.others == ()
    assert np.array_equal(again.predict(POINTS, return_std=True)[1], one.predict(POINTS, return_std=True)[1])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("spread", lambda text: text[:-8]),
        ("spread", lambda text: text[:-3]),
        ("spread", lambda text: text + "AAAAAA=="),
        ("spread", lambda text: "?" + text[1:]),
        ("spread", lambda text: "AAAAAAAA8H8A" + text[12:]),  # inf
        ("spread", lambda text: "é" + text[1:]),
        ("spread", lambda text: ""),
        ("spread", lambda text: 5),
        ("spread", lambda text: [1.0, 2.0]),
        ("others", lambda fits: [fits[0] | {"theta": fits[0]["theta"][:-1]}]),
        ("others", lambda fits: [fits[0] | {"theta": [None] * len(fits[0]["theta"])}]),
        ("others", lambda fits: [fits[0] | {"theta": ["a"] * len(fits[0]["theta"])}]),
        ("others", lambda fits: [fits[0] | {"sizes": [1, 6, 1], "theta": [0.0] * 19}]),
        ("others", lambda fits: [fits[0] | {"share": 2.0}]),
        ("others", lambda fits: [fits[0] | {"share": None}]),
        ("others", lambda fits: [{"share": 1.0}]),
        ("others", lambda fits: [fits]),
        ("others", lambda fits: None),
        ("others", lambda fits: {"a": 1}),
        ("others", lambda rows: "many"),
    ],
)
def test_damage_is_told_in_one_line(model, tmp_path, name, damage):
    path = tmp_path / "m.json"
    model.save(path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {name: damage(document[name])}))
    with pytest.raises(SwarmnetError, match=r"m\.json: damaged model: ") as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_file_from_before_error_bars_is_read(model, tmp_path):
    path = tmp_path / "m.json"
    model.save(path)
    document = json.loads(path.read_text())
    del document["spread"], document["others"]
    path.write_text(json.dumps(document))
    assert np.array_equal(load(path).predict(POINTS), model.predict(POINTS))


def test_a_model_without_them_says_so():
    net = Network((2, 3, 1))
    model = FittedModel(net, np.zeros(net.size), Scaling.identity(2, 1), ("T", "p"), ("h",))
    given = fit(noisy(40), hidden=(3,), trainer="lm", derivative_weight=1.0, l2=1e-6, iterations=5)
    descent = fit(noisy(40), hidden=(3,), trainer="lbfgs", iterations=5)
    for none in (model, given, descent):
        for query in (none.predict, none.jacobian):
            with pytest.raises(SwarmnetError, match="no error bars: train it by hybrid or lm"):
                query(POINTS, return_std=True)
        with pytest.raises(SwarmnetError, match="no error bars"):
            none.table(POINTS, std=True)


def test_the_table_names_them_after_the_columns_they_belong_to(model):
    table = model.table(POINTS, jacobian=True, hessian=True, std=True)
    assert list(table)[:8] == ["T", "p", "h", "sigma(h)", "dh/dT", "dh/dp", "sigma(dh/dT)", "sigma(dh/dp)"]
    assert list(table)[8:] == ["d2h/dT2", "d2h/dTdp", "d2h/dp2"]
    np.testing.assert_array_equal(table["sigma(h)"], model.predict(POINTS, return_std=True)[1][:, 0])
    np.testing.assert_array_equal(
        table[["sigma(dh/dT)", "sigma(dh/dp)"]], model.jacobian(POINTS, return_std=True)[1][:, 0]
    )
