"""fit: its arguments, its warnings, and what it promises whatever the trainer."""

from pathlib import Path

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError, SwarmnetWarning, fit, load, read_csv
from swarmnet.trainers import LBFGS, PSO, TRAINERS

DATASETS = Path(__file__).parents[2] / "datasets"
NAN = np.nan
LINE = MixedData([[1.0], [2.0], [3.0]], Y=[2.0, 4.0, 6.0])
SLOPES = MixedData([[0.0], [1.0], [2.0]], Y=[[0.0], [NAN], [NAN]], J=[[[NAN]], [[2.0]], [[4.0]]])


@pytest.mark.parametrize("trainer", TRAINERS)
def test_the_same_seed_gives_the_same_model(trainer):
    models = [fit(SLOPES, hidden=(3,), trainer=trainer, seed=s, iterations=10) for s in (1, 1, 2)]
    assert np.array_equal(models[0].theta, models[1].theta)
    assert not np.array_equal(models[0].theta, models[2].theta)


def test_data_may_be_a_path_or_a_glob():
    by_path = fit(str(DATASETS / "line.csv"), hidden=(3,), trainer="lbfgs", iterations=5)
    by_glob = fit(str(DATASETS / "lin?.csv"), hidden=(3,), trainer="lbfgs", iterations=5)
    by_data = fit(read_csv(DATASETS / "line.csv"), hidden=(3,), trainer="lbfgs", iterations=5)
    assert np.array_equal(by_path.theta, by_data.theta)
    assert np.array_equal(by_glob.theta, by_data.theta)


def test_the_history_is_a_frame_with_the_promised_columns():
    history = fit(LINE, hidden=(3,), trainer="lbfgs", iterations=20).history
    assert list(history) == ["iteration", "evaluations", "seconds", "loss", "validation_loss", "stage"]
    assert history["iteration"].dtype == history["evaluations"].dtype == np.int64
    assert history["validation_loss"].isna().all()


def test_validation_data_are_in_the_history():
    history = fit(LINE, hidden=(3,), trainer="lbfgs", iterations=20, validation=LINE).history
    np.testing.assert_allclose(history["validation_loss"], history["loss"], rtol=1e-9)


def test_validation_is_on_the_scale_of_the_training_data():
    """Half of the training data, with another spread of its own, and columns in another order."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (20, 2))
    data = MixedData(X, Y=X[:, 0] + 5 * X[:, 1], J=np.tile([1.0, 5.0], (20, 1)), inputs=("a", "b"))
    few = data.take(np.argsort(np.abs(data.Y[:, 0]))[:5])
    swapped = MixedData(few.X[:, ::-1], few.Y, few.J[:, :, ::-1], inputs=("b", "a"))
    model = fit(data, hidden=(3,), trainer="lbfgs", iterations=5, l2=0.0, validation=swapped)
    values = (model.predict(few.X) - few.Y) / data.Y.std()
    partials = (model.jacobian(few.X) - few.J) / [1.0, 5.0]
    expected = np.mean(values**2) + np.mean(partials**2)
    assert model.history["validation_loss"].iloc[-1] == pytest.approx(expected, rel=1e-9)
    with pytest.raises(SwarmnetError, match="inputs are x1, where a, b are needed"):
        fit(data, validation=MixedData([[0.0]], Y=[0.0]))


def test_cross_entropy_is_not_divided_by_a_spread():
    data = MixedData([[0.0], [1.0], [2.0], [3.0]], Y=[0.0, 0.0, 1.0, 1.0])
    model = fit(data, hidden=(3,), trainer="lbfgs", loss="cross-entropy", iterations=3, l2=0.0)
    y, t = model.predict(data.X), data.Y
    expected = -np.mean(t * np.log(y) + (1 - t) * np.log(1 - y))
    assert model.training["loss"] == pytest.approx(expected, rel=1e-9)


def test_the_default_trainer_takes_any_output_layer():
    data = MixedData([[0.0], [1.0], [2.0], [3.0]], Y=[0.0, 0.0, 1.0, 1.0])
    model = fit(data, hidden=(3,), loss="cross-entropy", iterations=200)
    assert np.abs(model.predict(data.X) - data.Y).max() < 0.2
    with pytest.raises(SwarmnetError, match="projected solves for a linear output"):
        fit(data, hidden=(3,), loss="cross-entropy", trainer="projected")


def test_a_model_says_how_it_was_trained():
    training = fit(LINE, hidden=(3,), trainer=LBFGS(memory=7), iterations=5, l2=0.5, seed=3).training
    assert (training["trainer"], training["seed"], training["l2"]) == ("lbfgs", 3, 0.5)
    assert (training["settings"]["memory"], training["settings"]["iterations"]) == (7, 5)
    assert (training["scaling"], training["loss_function"]) == ("standard", "squared")


def test_settings_of_any_kind_can_be_saved(tmp_path):
    trainer = PSO(particles=np.int64(5), inertia=[0.9, np.float64(0.4)], target_loss=np.float32(0.0))
    limits = {"iterations": np.int64(3), "seconds": np.float32(9.0), "l2": np.float32(0.5)}
    model = fit(LINE, hidden=(3,), trainer=trainer, seed=np.int64(1), **limits)
    model.save(tmp_path / "m.json")
    assert load(tmp_path / "m.json").training == model.training
    assert model.training["settings"]["inertia"] == [0.9, 0.4]


def test_the_callback_can_stop():
    model = fit(LINE, hidden=(3,), callback=lambda progress: progress.iteration >= 3)
    assert (model.training["status"], len(model.history)) == ("callback", 3)


def test_ctrl_c_gives_the_best_model_so_far_and_says_so():
    def interrupt(progress):
        if progress.iteration == 5:
            raise KeyboardInterrupt

    with pytest.warns(SwarmnetWarning, match="interrupted"):
        model = fit(LINE, hidden=(3,), trainer="adam", callback=interrupt)
    assert model.training["status"] == "interrupted"
    assert np.isfinite(model.predict([[1.5]])).all()


@pytest.mark.parametrize(("entries", "widths"), [(5, (3, 3)), (60, (4, 4)), (200, (8, 8)), (2000, (32, 32))])
def test_automatic_widths_grow_with_the_entries(entries, widths):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (entries, 2))
    model = fit(MixedData(X, Y=X.sum(1)), trainer="lbfgs", iterations=1)
    assert model.net.sizes == (2, *widths, 1)


@pytest.mark.parametrize(
    ("hidden", "sizes"),
    [
        (3, (1, 3, 1)),
        ([4, 2], (1, 4, 2, 1)),
        ((), (1, 1)),
        (np.array([2, 2]), (1, 2, 2, 1)),
        (np.int64(2), (1, 2, 1)),
    ],
    ids=str,
)
def test_hidden_layers_in_any_form(hidden, sizes):
    assert fit(LINE, hidden=hidden, trainer="lbfgs", iterations=2).net.sizes == sizes


def test_cross_entropy_gets_a_sigmoid_output_and_unscaled_targets():
    data = MixedData([[0.0], [1.0], [2.0], [3.0]], Y=[0.0, 0.0, 1.0, 1.0])
    model = fit(data, hidden=(3,), trainer="lbfgs", loss="cross-entropy", iterations=100)
    assert model.net.activations[-1].name == "sigmoid"
    probabilities = model.predict(data.X)[:, 0]
    assert ((probabilities > 0) & (probabilities < 1)).all()
    assert ((probabilities > 0.5) == [False, False, True, True]).all()


def test_sigmas_say_whom_to_believe():
    """Two contradictory values at one point: the fit goes to the one with the smaller sigma."""
    data = MixedData([[0.0], [0.0], [1.0]], Y=[0.0, 1.0, 2.0], Y_sigma=[0.01, 1.0, 0.01])
    model = fit(data, hidden=(3,), trainer="lbfgs", l2=0.0)
    assert model.predict([[0.0]])[0, 0] == pytest.approx(1e-4, abs=2e-4)


def test_derivative_weight_shifts_the_balance():
    """A value says flat, a slope says steep: the weight decides."""
    X = [[0.0], [1.0], [0.5]]
    data = MixedData(X, Y=[0.0, 0.0, NAN], J=[[[NAN]], [[NAN]], [[1.0]]])
    slopes = []
    for weight in (1e-6, 1e6):
        net = fit(data, hidden=(), trainer="lbfgs", derivative_weight=weight, l2=0.0, scaling=None)
        slopes.append(net.jacobian([[0.5]])[0, 0, 0])
    assert slopes[0] < 0.01
    assert slopes[1] > 0.99


def test_l2_shrinks_the_weights():
    small, large = (fit(SLOPES, hidden=(5,), trainer="lbfgs", iterations=200, l2=l2) for l2 in (0.0, 1.0))
    assert np.abs(large.theta).max() < 0.5 * np.abs(small.theta).max()


def test_relu_is_warned_of_where_it_meets_derivatives():
    with pytest.warns(SwarmnetWarning, match="relu has no second derivative"):
        fit(SLOPES, hidden=(3,), activation="relu", trainer="lbfgs", iterations=2)
    fit(LINE, hidden=(3,), activation="relu", trainer="lbfgs", iterations=2)


def test_a_free_constant_is_pinned_and_said():
    data = MixedData([[10.0], [11.0], [12.0]], J=[[[1.0]], [[2.0]], [[3.0]]], outputs=("h",))
    with pytest.warns(SwarmnetWarning, match="no value of h was observed"):
        model = fit(data, hidden=(4,), trainer="lbfgs")
    np.testing.assert_allclose(model.predict([[11.0]]), 0.0, atol=1e-12)
    np.testing.assert_allclose(model.jacobian([[11.0]]), 2.0, rtol=0.05)


@pytest.mark.parametrize("shared", [False, True], ids=["rows", "an entry a row"])
def test_a_free_constant_is_pinned_at_the_mean_of_the_inputs(shared):
    """However many entries each point has, and in however many rows they are."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.0, 1.0, (20, 2))
    J = np.stack([np.cos(X[:, 0]), X[:, 1]], axis=1)
    J[X[:, 0] > 0.4, 1] = NAN
    weights = rng.integers(1, 4, 20)
    data = MixedData(X, J=J, weights=weights)
    if shared:
        apart = np.concatenate([np.where([True, False], J, NAN), np.where([False, True], J, NAN)])
        data = MixedData(np.tile(X, (2, 1)), J=apart, weights=np.tile(weights, 2))
    centre = np.average(X, axis=0, weights=weights)
    where = f"at the mean of the inputs, x1 = {centre[0]:.6g}, x2 = {centre[1]:.6g}"
    with pytest.warns(SwarmnetWarning, match=where):
        model = fit(data, hidden=(4,), trainer="lbfgs", iterations=30)
    np.testing.assert_allclose(model.predict([centre]), 0.0, atol=1e-12)
    assert model.training["zero_at"] == {"y": pytest.approx({"x1": centre[0], "x2": centre[1]})}
    assert abs(model.predict([np.average(X, axis=0, weights=weights * (~np.isnan(J)).sum(1))])[0, 0]) > 0.005


def test_weights_that_count_many_rows_as_few_are_warned_of():
    x = np.linspace(0.0, 2.0, 30)
    data = {"X": x[:, None], "Y": np.sin(x)}
    settings = {"hidden": (3,), "iterations": 30}
    with pytest.warns() as caught:
        fit(MixedData(**data, weights=np.full(30, 1 / 30)), trainer="lm", **settings)
    (message,) = (str(w.message) for w in caught if "weights" in str(w.message))
    assert message.startswith("the weights count 30 rows as 1, from which little can be learnt")
    assert "divide relative ones by their mean" in message
    fit(MixedData(**data, weights=np.full(30, 1 / 30)), trainer="lbfgs", **settings)  # it has means alone
    fit(MixedData(**data, weights=np.full(30, 0.9)), trainer="lm", **settings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"hidden": (0,)}, "hidden must be"),
        ({"hidden": "many"}, "hidden must be"),
        ({"hidden": (2.5,)}, "hidden must be"),
        ({"activation": "tahn"}, "did you mean 'tanh'"),
        ({"activation": ("tanh",), "hidden": (2, 2)}, "1 activations for 3 layers"),
        ({"trainer": "hybird"}, "did you mean 'hybrid'"),
        ({"trainer": "adam", "particles": 5}, "particles do not go with adam"),
        ({"loss": "huber"}, "unknown loss"),
        ({"loss": "cross-entropy"}, "targets from 0 to 1"),
        ({"scaling": "robust"}, "unknown scaling"),
        ({"l2": -1}, "l2 must be"),
        ({"derivative_weight": NAN}, "derivative_weight must be"),
        ({"hidden": None}, "hidden must be"),
        ({"hidden": True}, "hidden must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": None}, "seed must be"),
        ({"iterations": 2.5}, "iterations must be"),
        ({"iterations": 0}, "iterations must be"),
        ({"seconds": -1}, "seconds must be"),
        ({"validation": 0.2}, "validation must be MixedData"),
        ({"hidden": (10**6, 10**6)}, "1,000,004,000,001 weights are too many: 100,000,000"),
        ({"hidden": (10**20,)}, "weights are too many"),
        ({"hidden": (8,), "trainer": "pso", "particles": 10**9}, "1,000,000,000 particles of 25 weights"),
    ],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(SwarmnetError, match=words):
        fit(LINE, **arguments)


@pytest.mark.parametrize(
    ("data", "words"),
    [(LINE.to_frame(), "not a DataFrame: .* MixedData.from_frame a DataFrame$"), (3, "not 'int'")],
)
@pytest.mark.parametrize("client", [None, "tcp://here"])
def test_data_that_are_neither_rows_nor_a_file_are_refused(data, words, client):
    with pytest.raises(SwarmnetError, match=rf"^data must be MixedData or a file's name, {words}"):
        fit(data, client=client)


def test_swarms_of_any_configuration_fit():
    trainer = PSO(topology="ring", particles=8, iterations=40, inertia=(0.9, 0.4))
    model = fit(SLOPES, hidden=(3,), trainer=trainer)
    assert model.training["loss"] < model.history["loss"].iloc[0]


def test_units_do_not_matter():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (20, 2))
    Y, J = (X[:, 0] * X[:, 1])[:, None], X[:, None, ::-1]
    plain = fit(MixedData(X, Y, J), hidden=(4,), trainer=LBFGS(iterations=30))
    scaled = fit(MixedData(X * 1e6 + 1e3, Y * 1e-5, J * 1e-11), hidden=(4,), trainer=LBFGS(iterations=30))
    np.testing.assert_allclose(scaled.predict(X * 1e6 + 1e3), plain.predict(X) * 1e-5, rtol=1e-5, atol=1e-10)
