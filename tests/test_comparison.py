"""compare: the same rows, network and budget for all, and what is made of the runs."""

from pathlib import Path

import numpy as np
import pytest

from swarmnet import MixedData, SwarmnetError, SwarmnetWarning, compare, evaluate, fit, read_csv
from swarmnet.comparison import NO_TREND, VALUES_ONLY
from swarmnet.data.splitting import split
from swarmnet.trainers import Adam, configured

DATASETS = Path(__file__).parents[1] / "datasets"
NAN = np.nan
ERRORS = ["rmse(y)", "rmse(dy/dx1)", "rmse(dy/dx2)"]
QUANTITIES = [*ERRORS, "loss", "seconds", "evaluations"]


def problem(n=40):
    """y = x1 x2 + x1: a value and both slopes in turn."""
    X = np.random.default_rng(0).uniform(-1, 1, (n, 2))
    Y, J = X.prod(1) + X[:, 0], np.stack([X[:, 1] + 1, X[:, 0]], axis=1)
    Y[1::2], J[::2] = NAN, NAN
    return MixedData(X, Y, J)


def short(data=None, trainers=("lbfgs", "adam"), repeats=3, evaluations=30, **arguments):
    return compare(
        problem() if data is None else data,
        trainers,
        repeats,
        evaluations=evaluations,
        hidden=(3,),
        **arguments,
    )


@pytest.fixture(scope="module")
def comparison():
    return short(seed=5)


def test_the_table_has_medians_and_quartiles_of_every_quantity(comparison):
    assert list(comparison.table.index) == ["lbfgs", "adam", "lbfgs" + VALUES_ONLY]
    assert list(comparison.table) == [f"{q}{end}" for q in QUANTITIES for end in ("", " q1", " q3")]


def test_the_table_is_made_of_the_runs(comparison):
    for trainer, runs in comparison.runs.groupby("trainer"):
        for quantity in QUANTITIES:
            row = comparison.table.loc[trainer]
            found = [row[f"{quantity} q1"], row[quantity], row[f"{quantity} q3"]]
            np.testing.assert_allclose(found, np.quantile(runs[quantity], [0.25, 0.5, 0.75]))
    assert comparison.runs["rmse(y)"].nunique() == 9


def test_all_are_tested_on_the_same_rows(comparison):
    held_out = split(problem(), 0.2, 5)[1]
    for run in comparison.runs.itertuples():
        errors = evaluate(comparison.models[run.trainer, run.repeat], held_out)
        found = comparison.runs.loc[run.Index, ERRORS].astype(float)
        np.testing.assert_allclose(errors["rmse"], found)


def test_all_have_the_same_network_rows_and_budget(comparison):
    assert {model.net.sizes for model in comparison.models.values()} == {(2, 3, 1)}
    assert {model.training["evaluations"] for model in comparison.models.values()} == {30}
    plain = [m.training for (name, _), m in comparison.models.items() if VALUES_ONLY not in name]
    assert {(record["rows"], record["values"], record["derivatives"]) for record in plain} == {(32, 16, 32)}
    seeds = [comparison.models["adam", repeat].training["seed"] for repeat in range(3)]
    assert seeds == [5, 6, 7]


def test_the_curves_are_the_histories(comparison):
    curves = comparison.curves
    assert list(curves) == [
        "trainer",
        "repeat",
        "iteration",
        "evaluations",
        "seconds",
        "loss",
        "best_loss",
    ]
    assert len(curves.groupby(["trainer", "repeat"])) == 9
    one = curves[(curves["trainer"] == "adam") & (curves["repeat"] == 1)]
    history = comparison.models["adam", 1].history
    assert one["loss"].tolist() == history["loss"].tolist()
    assert one["best_loss"].tolist() == np.minimum.accumulate(history["loss"]).tolist()
    assert one["evaluations"].tolist() == history["evaluations"].tolist()


def test_the_control_was_trained_on_values_alone(comparison):
    train = split(problem(), 0.2, 5)[0]
    control = comparison.models["lbfgs" + VALUES_ONLY, 1]
    alone = fit(train.values_only(), hidden=(3,), trainer=configured("lbfgs", evaluations=30), seed=6)
    assert control.training["derivatives"] == 0
    assert np.array_equal(control.theta, alone.theta)


def test_the_control_is_by_hybrid_if_that_is_among_them():
    table = short(trainers=("adam", "hybrid"), repeats=1).table
    assert list(table.index) == ["adam", "hybrid", "hybrid" + VALUES_ONLY]


def test_no_control_without_values_or_without_partials():
    X = np.arange(20.0)[:, None]
    values = short(MixedData(X, Y=X[:, 0]), repeats=1)
    assert list(values.table.index) == ["lbfgs", "adam"]
    assert [c for c in values.table if c.startswith("rmse")] == ["rmse(y)", "rmse(y) q1", "rmse(y) q3"]
    with pytest.warns(SwarmnetWarning, match="no value of y"):
        slopes = short(MixedData(X, J=X), repeats=1)
    assert list(slopes.table.index) == ["lbfgs", "adam"]
    assert "rmse(dy/dx1)" in slopes.table


def test_a_control_where_only_one_output_has_values():
    X = np.arange(20.0)[:, None]
    Y, J = np.full((20, 2), NAN), np.full((20, 2, 1), NAN)
    Y[:, 0], J[:, 1, 0] = X[:, 0], 1.0
    with pytest.warns(SwarmnetWarning, match="no value of y2"):
        table = short(MixedData(X, Y, J), trainers="lbfgs", repeats=1).table
    assert np.isfinite(table.loc["lbfgs" + VALUES_ONLY, "rmse(y1)"])


def test_the_same_seed_gives_the_same_numbers(comparison):
    def numbers(found):
        return found.runs.drop(columns="seconds")

    assert numbers(short(seed=5)).equals(numbers(comparison))
    assert not numbers(short(seed=6)).equals(numbers(comparison))


def test_two_trainers_of_a_kind_are_told_apart():
    found = short(trainers=[Adam(learning_rate=0.1), Adam(learning_rate=0.001), "adam"], repeats=1)
    assert list(found.table.index) == ["adam", "adam 2", "adam 3", "adam" + VALUES_ONLY]
    assert found.table["loss"].nunique() == 4


def test_seconds_are_a_budget_too():
    found = compare(problem(), "adam", repeats=1, seconds=0.1, hidden=(3,))
    assert found.models["adam", 0].training["status"] == "seconds"
    assert 0.1 <= found.table.loc["adam", "seconds"] < 5


def test_data_to_test_on_may_be_a_file():
    test = DATASETS / "smooth2d_test.csv"
    found = short(DATASETS / "smooth2d.csv", trainers="lbfgs", repeats=1, test=test)
    model = found.models["lbfgs", 0]
    assert model.training["rows"] == 60
    errors = evaluate(model, read_csv(test))
    np.testing.assert_allclose(found.runs.loc[0, ERRORS].astype(float), errors["rmse"])


def test_progress_names_the_trainer_and_the_repeat():
    seen = []
    short(repeats=2, progress=lambda name, repeat, now: seen.append((name, repeat)))
    assert list(dict.fromkeys(seen)) == [
        (name, repeat) for repeat in (0, 1) for name in ("lbfgs", "adam", "lbfgs" + VALUES_ONLY)
    ]


def test_ctrl_c_ends_the_whole_comparison_without_a_warning():
    seen = []

    def interrupt(name, repeat, now):
        seen.append((name, repeat))
        if now.iteration == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        short(progress=interrupt)
    assert seen == [("lbfgs", 0)] * 4


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_the_runs_that_have_ended(jobs):
    """The second run is interrupted; of two at once, the third may have ended too."""
    ended = []

    def interrupt(name, repeat, now):
        if (name, repeat) not in ended:
            ended.append((name, repeat))
        if len(ended) == 2:
            raise KeyboardInterrupt

    with pytest.warns(
        SwarmnetWarning, match=r"interrupted: the comparison has 1 of 6 runs; missing are .* \("
    ) as heard:
        found = short(repeats=2, jobs=jobs, progress=interrupt)
    (warning,) = heard
    assert "interrupted: the comparison has 1 of 6 runs; missing are " in str(warning.message)
    assert f"{ended[0][0]} (1 of 2 runs)" in str(warning.message)
    assert list(found.models) == ended[:1]
    assert list(found.runs["trainer"]) == list(found.table.index) == [ended[0][0]]
    assert set(found.curves["trainer"]) == {ended[0][0]}
    everything = {(name, r) for name in ("lbfgs", "adam", "lbfgs" + VALUES_ONLY) for r in (0, 1)}
    assert set(found.missing) == everything - {ended[0]} and len(found.missing) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"repeats": 0}, "repeats must be 1 or more"),
        ({"trainers": []}, "no trainers"),
        ({"trainers": ["lbfgs", "adm"]}, "did you mean 'adam'"),
        ({"evaluations": 0}, "evaluations must be"),
        ({"test_fraction": 0}, "nothing to compare on"),
        ({"test": MixedData([[0.0]], Y=[1.0])}, "inputs are x1, where x1, x2 are needed"),
    ],
)
def test_mistakes_are_refused_before_anything_is_trained(arguments, words):
    with pytest.raises(SwarmnetError, match=words):
        short(progress=lambda *_: pytest.fail("training has begun"), **arguments)


def test_what_a_control_takes_for_noise_goes_without_saying():
    """10 values of a wave are too few without its slopes. Each warning would be an error here."""
    x = np.linspace(0, 6 * np.pi, 40)[:, None]
    seen = (np.arange(40) % 4 == 0)[:, None]
    data = MixedData(x, np.where(seen, np.cos(x), np.nan), np.where(seen, np.nan, -np.sin(x))[:, :, None])
    with pytest.warns(SwarmnetWarning, match="^nearly all of y"):
        fit(data.values_only(), hidden=(8,), trainer="lm")
    compare(data, ("lm",), 1, hidden=(8,), evaluations=1500)


def test_a_degree_adds_the_trend_and_a_control_without_it():
    X = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    data = MixedData(X, X[:, :1] ** 3 + X[:, 1:])
    found = compare(data, ["lbfgs", "adam"], repeats=1, evaluations=50, hidden=(3,), degree=3)
    assert list(found.table.index) == ["lbfgs", "adam", "lbfgs" + NO_TREND]
    terms = [model.net.terms for model in found.models.values()]
    assert terms == [9, 9, 0]
