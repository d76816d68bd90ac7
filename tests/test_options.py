"""FitOptions: one set of options for fit, compare, the estimator and the command line, checked once."""

import inspect
import warnings
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError, SwarmNetRegressor, compare, fit
from swarmnet.cli import commands as cli
from swarmnet.data.reading import Reading
from swarmnet.fitting.options import FitOptions
from swarmnet.trainers import PSO

OPTIONS = {field.name: field.default for field in fields(FitOptions)}
COMMANDS = {command.callback.__name__: command.callback for command in cli.app.registered_commands}
TEXTS = {
    name: {None: OPTIONS[name]} for name in ("checkpoint_every", "require")
}  # as the command line has them
OWN = {  # that mean nothing to FitOptions
    "compare": {"data", "trainers", "repeats", "evaluations", "test", "test_fraction", "progress", "jobs"},
    "swarmnet train": {"data", "output", "inputs", "outputs", "define", "test_fraction", "scheduler", "json"}
    | {field.name for field in fields(Reading)},
}
OWN["swarmnet compare"] = (OWN["compare"] | OWN["swarmnet train"] | {"curves", "report"}) - {"progress"}
DATA = MixedData([[0.0], [0.5], [1.0]], Y=[0.0, np.nan, 1.0], J=[[0.0], [1.0], [2.0]])


def defaults(function):
    return {name: part.default for name, part in inspect.signature(function).parameters.items()}


def test_fit_has_every_option_and_nothing_but_data_besides():
    assert defaults(fit) == {"data": inspect.Parameter.empty} | OPTIONS


@pytest.mark.parametrize(
    ("function", "own"),
    [
        (compare, OWN["compare"]),
        (COMMANDS["train"], OWN["swarmnet train"]),
        (COMMANDS["compare"], OWN["swarmnet compare"]),
    ],
    ids=["compare", "swarmnet train", "swarmnet compare"],
)
def test_shared_options_have_the_same_defaults(function, own):
    found = {name: value for name, value in defaults(function).items() if name not in own}
    found = {name: TEXTS.get(name, {}).get(value, value) for name, value in found.items()}
    assert found == {name: OPTIONS[name] for name in found}


def test_the_estimator_has_the_same_defaults():
    found = defaults(SwarmNetRegressor)
    found["seed"] = found.pop("random_state")
    del found["define"], found["warm_start"]  # are of the data and of the estimator's `fit`
    assert found == {name: OPTIONS[name] for name in found}


def test_every_option_is_documented_once():
    listed = inspect.getdoc(FitOptions).split("Args:\n")[1].split("Raises:")[0]
    names = [line.split(":")[0].strip() for line in listed.splitlines() if line[4:5].strip()]
    assert names == [*OPTIONS]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (0,)}, "hidden must be"),
        ({"activation": ("tanh", "linaer")}, "did you mean 'linear'"),
        ({"trainer": "hybird"}, "did you mean 'hybrid'"),
        ({"trainer": "adam", "particles": 5}, "particles do not go with adam"),
        ({"seed": -1}, "seed must be"),
        ({"degree": -1}, "degree must be 'auto' or a whole number"),
        ({"degree": True}, "degree must be 'auto' or a whole number"),
        ({"iterations": 0}, "iterations must be"),
        ({"seconds": 0.0}, "seconds must be"),
        ({"loss": "huber"}, "unknown loss"),
        ({"scaling": "robust"}, "unknown scaling 'robust': choose one of standard, minmax, None"),
        ({"derivative_weight": -1.0}, "derivative_weight must be a number of 0 or more, not -1.0"),
        ({"l2": np.inf}, "l2 must be a number of 0 or more, not inf"),
        ({"checkpoint": "run.ckpt", "checkpoint_every": -1}, "checkpoint_every must be 0 or more"),
        ({"validation": "held_out.csv"}, "validation must be MixedData"),
        ({"dtype": "int32"}, "dtype must be float64 or float32, not int32"),
        ({"dtype": "double precision"}, "dtype must be float64 or float32"),
        ({"client": object(), "memory_limit": "1GB"}, "memory_limit is for one machine"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_bad_options_are_refused_without_data(options, words):
    with pytest.raises(SwarmnetError, match=words):
        FitOptions(**options)
    with pytest.raises(SwarmnetError, match=words):
        replace(FitOptions(), **options)


def test_options_do_not_change():
    with pytest.raises(FrozenInstanceError):
        FitOptions().seed = 1


def test_the_trainer_has_the_limits_given():
    options = FitOptions(trainer="pso", iterations=3, particles=7)
    assert options.configured_trainer == PSO(iterations=3, particles=7)
    assert replace(options, seed=1).configured_trainer == options.configured_trainer


def regressor(**options):
    return SwarmNetRegressor(**options).fit(DATA.X, DATA.Y, DATA.J)


@pytest.mark.parametrize(
    "train",
    [
        lambda **options: fit(DATA, trainer="lbfgs", iterations=2, **options),
        lambda **options: regressor(trainer="lbfgs", iterations=2, **options),
        lambda **options: compare(DATA, "lbfgs", 1, evaluations=9, test=DATA, **options),
    ],
    ids=["fit", "estimator", "compare"],
)
def test_warnings_point_at_the_line_that_called(train):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(hidden=(2,), activation="relu")
    (found, *_) = (warning for warning in caught if "no second derivative" in str(warning.message))
    assert found.filename == __file__
