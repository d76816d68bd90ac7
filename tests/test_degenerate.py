"""Data that break mathematics: every trainer gives a sensible model or one clear line, never a warning."""

import sys

import numpy as np
import pytest

from swarmnet import MixedData, Network, Objective, SwarmnetError, fit, load
from swarmnet.cli import commands as cli
from swarmnet.network.activations import TABLE, Activation
from swarmnet.trainers import SGD, run
from tests.random_problems import EVERY_TRAINER, NAN, short

pytestmark = pytest.mark.filterwarnings("ignore:no value of:swarmnet.SwarmnetWarning")
each_trainer = pytest.mark.parametrize("trainer", EVERY_TRAINER, ids=lambda trainer: str(trainer)[:16])

RNG = np.random.default_rng(0)
X = RNG.uniform(-1.0, 1.0, (12, 2))
x = np.linspace(-1.0, 1.0, 8)[:, None]
S = np.sin(X[:, 0])
FOURTH = np.arange(12) == 3  # one row of X


def with_one(numbers, odd):
    """The numbers with an odd one among them."""
    changed = np.array(numbers, float)
    changed[3] = odd
    return changed


# Data, and between which numbers the model's values must lie
SENSIBLE = {
    "constant target": (MixedData(X, np.full(12, 3.5)), 0.0, 7.0),
    "constant target far off": (MixedData(X, np.full(12, -1e15)), -2e15, 0.0),
    "constant target and slopes of 0": (MixedData(X, np.full(12, 3.5), 0 * X), 0.0, 7.0),
    "all 0": (MixedData(X, np.zeros(12), 0 * X), -2.0, 2.0),
    "slopes of 0": (MixedData(X, J=0 * X), -2.0, 2.0),
    "a constant input": (MixedData(np.column_stack([X[:, 0], np.full(12, 7.0)]), S), -2.0, 2.0),
    "a constant input of 0": (MixedData(np.column_stack([X[:, 0], np.zeros(12)]), S), -2.0, 2.0),
    "constant inputs": (MixedData(np.full((5, 2), 3.0), np.arange(5.0)), -2.0, 6.0),
    "one row": (MixedData([[1.0, 2.0]], [5.0]), 0.0, 10.0),
    "one row of 0": (MixedData([[0.0, 0.0]], [0.0]), -2.0, 2.0),
    "one slope": (MixedData([[1.0, 2.0]], J=[[NAN, 4.0]]), -1e-9, 1e-9),
    "slopes only": (MixedData(X, J=X[:, ::-1]), -2.0, 2.0),
    "an output without entries": (MixedData(X, np.column_stack([S, np.full(12, NAN)])), -3.0, 3.0),
    "more weights than data": (MixedData(X[:2], S[:2]), -2.0, 2.0),
    "collinear inputs": (MixedData(np.column_stack([x, 2 * x + 1, x]), np.sin(x)), -2.0, 2.0),
    "a huge offset of inputs": (MixedData(1e9 + 1e-3 * X, S), -2.0, 2.0),
    "a huge offset of targets": (MixedData(X, 1e9 + 1e-3 * S), 1e9 - 3e-3, 1e9 + 3e-3),
    "rows that contradict": (MixedData(np.repeat(x, 2, 0), np.tile([1.0, -1.0], 8)), -1.5, 1.5),
    "slopes that contradict": (MixedData(np.repeat(x, 2, 0), J=np.tile([5.0, -7.0], 8)[:, None]), -9.0, 9.0),
    "contradictions of 1e200": (MixedData(np.repeat(x, 2, 0), np.tile([1e200, -1e200], 8)), -2e200, 2e200),
    "an outlier": (MixedData(X, with_one(S, 1e12)), -1e12, 2e12),
    "an outlier of 1e300": (MixedData(X, with_one(S, 1e300)), -1e300, 2e300),
    "an outlier among slopes": (MixedData(X, S, with_one(X, 1e9)), -1e10, 1e10),
    "an outlier among inputs": (MixedData(with_one(X, 1e12), S), -3.0, 3.0),
    "tiny numbers": (MixedData(1e-300 * X, 1e-300 * S, X), -3e-300, 3e-300),
    "huge numbers": (MixedData(1e300 * X, 1e300 * S, X), -3e300, 3e300),
    "slopes of 1e-300": (MixedData(X, S, 1e-300 * X), -100.0, 100.0),
    "a sigma of 1e-20": (MixedData(X, S, Y_sigma=with_one(S * NAN, 1e-20)), -3.0, 3.0),
    "sigmas of 1e40": (MixedData(X, S, Y_sigma=np.full(12, 1e40)), -3.0, 3.0),
    "a sigma of 1e300": (MixedData(X, S, Y_sigma=with_one(S * NAN, 1e300)), -3.0, 3.0),
    "a weight of 1e-300": (MixedData(X, S, weights=np.where(FOURTH, 1e-300, 1.0)), -3.0, 3.0),
    "a weight of 1e15": (MixedData(X, S, weights=np.where(FOURTH, 1e15, 1.0)), -3.0, 3.0),
}
REFUSED = {
    "denormal targets": (MixedData(X, 1e-310 * S), "'y' has numbers"),
    "inputs across all doubles": (MixedData(1.7e308 * X, S), "'x1' has numbers"),
    "a slope of 1e300": (MixedData(X, S, with_one(X, 1e300)), "'dy/dx1' has numbers"),
    "a sigma of 1e-200": (MixedData(X, S, Y_sigma=with_one(S * NAN, 1e-200)), "'y' has standard deviations"),
    "sigmas of 1e300": (MixedData(X, S, Y_sigma=np.full(12, 1e300)), "'y' has standard deviations"),
}


@each_trainer
@pytest.mark.parametrize("case", SENSIBLE)
def test_a_sensible_model(case, trainer):
    data, low, high = SENSIBLE[case]
    model = fit(data, hidden=(3,), trainer=short(trainer, 6))
    answers = [model.predict(data.X), model.jacobian(data.X)]
    if model.spread is not None:
        answers += [model.predict(data.X, True)[1], model.jacobian(data.X, True)[1]]
    for numbers in (model.theta, model.training["loss"], model.history["loss"].min(), *answers):
        assert np.isfinite(numbers).all()
    assert ((low <= answers[0]) & (answers[0] <= high)).all()


@each_trainer
@pytest.mark.parametrize("case", REFUSED)
def test_one_clear_line(case, trainer):
    data, words = REFUSED[case]
    with pytest.raises(SwarmnetError, match=words) as caught:
        fit(data, hidden=(3,), trainer=short(trainer, 5))
    assert "\n" not in str(caught.value)


def torn(z, out):
    """NaN for large z."""
    np.tanh(z, out=out)
    out[np.abs(out) > 0.9] = NAN


def explosive(z, out):
    """Infinite for large z."""
    np.exp(5.0 * z * z * z, out=out)


def of_explosive(order):
    def derivative(z, *earlier):
        out = earlier[-1]
        np.exp(5.0 * z * z * z, out=out)
        out *= 15.0 * z * z if order == 1 else 30.0 * z + (15.0 * z * z) ** 2

    return derivative


@each_trainer
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["torn", "explosive"])
def test_losses_that_are_no_numbers(name, seed, trainer):
    """Particles and steps may get lost; the model is never there."""
    tanh = TABLE["tanh"]
    lost = {
        "torn": Activation("torn", torn, tanh.slope, tanh.curvature),
        "explosive": Activation("explosive", explosive, of_explosive(1), of_explosive(2)),
    }
    data = MixedData(X, S, np.where(X > 0, X, NAN))
    said = ""
    try:
        model = fit(data, hidden=(4,), activation=lost[name], trainer=short(trainer, 6), seed=seed)
    except SwarmnetError as error:
        said = str(error)
    if said:
        assert "infinite or not a number from the start" in said
        return
    assert np.isfinite(model.theta).all() and np.isfinite(model.training["loss"])
    assert np.isfinite(model.predict(X)).all() and np.isfinite(model.jacobian(X)).all()


def test_a_minibatch_descent_that_diverges_at_once_keeps_its_start():
    data = MixedData(X, S)
    model = fit(data, hidden=(3,), trainer=SGD(batch_size=3, learning_rate=1e6, iterations=10))
    assert model.training["status"] == "diverged"
    assert model.training["loss"] < 20.0 < model.history["loss"].min()


@each_trainer
def test_unscaled_numbers_out_of_all_proportion(trainer):
    """Whoever brings an objective of their own scales the data, or is told so."""
    numbers = {"Y": with_one(S, 1e200), "Y_sigma": with_one(S * NAN, 1e-200)}
    for data in (MixedData(X, numbers["Y"]), MixedData(X, S, Y_sigma=numbers["Y_sigma"])):
        objective = Objective(Network((2, 3, 1)), data)
        with pytest.raises(SwarmnetError, match="infinite or not a number"):
            run(short(trainer), objective, np.random.default_rng(0))


# On the command line

FILES = {
    "constant target": "x,y\n" + "".join(f"{i},3\n" for i in range(6)),
    "constant input": "x,y\n" + "".join(f"2,{i}\n" for i in range(6)),
    "one row": "x,y\n1,2\n",
    "slopes only": "x,dy/dx\n" + "".join(f"{i},{i}\n" for i in range(6)),
    "contradiction": "x,y\n1,2\n1,4\n2,5\n2,-5\n",
    "offset": "x,y\n" + "".join(f"{1e9 + i / 1000},{i * i}\n" for i in range(6)),
    "outlier": "x,y\n" + "".join(f"{i},{1e200 if i == 3 else i}\n" for i in range(6)),
}


def train(monkeypatch, capsys, tmp_path, text):
    """Exit code, output and errors of `swarmnet train` on a file."""
    (tmp_path / "data.csv").write_text(text)
    arguments = ["train", "data.csv", "--hidden", "3", "--iterations", "5", "--test-fraction", "0"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["swarmnet", *arguments, "-o", "m.json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0, *capsys.readouterr()


@pytest.mark.parametrize("case", FILES)
def test_the_command_trains(case, monkeypatch, capsys, tmp_path):
    code, _, err = train(monkeypatch, capsys, tmp_path, FILES[case])
    assert code == 0
    assert "Traceback" not in err and "RuntimeWarning" not in err
    assert np.isfinite(load(tmp_path / "m.json").predict([[1.0]])).all()


def test_the_command_refuses_in_one_line(monkeypatch, capsys, tmp_path):
    text = "x,y\n" + "".join(f"{i},{i}e-310\n" for i in range(6))
    code, out, err = train(monkeypatch, capsys, tmp_path, text)
    assert (code, out) == (2, "")
    assert err.startswith("error: 'y' has numbers") and err.count("\n") == 1
    assert not (tmp_path / "m.json").exists()
