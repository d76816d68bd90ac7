"""Where a model's training points are: ranges, gaps and corners, and what is said about points beyond."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError, SwarmnetWarning, evaluate, load
from swarmnet.data.canonical_order import canonical
from swarmnet.data.readers import open_files
from swarmnet.model import training_region
from swarmnet.model.training_region import TrainingPoints
from swarmnet.network.activations import TABLE
from swarmnet.trainers import TRAINERS

QUICK = {"hidden": (3,), "trainer": "lm", "iterations": 3}


def fit(X, **options):
    X = np.asarray(X, dtype=float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of so few iterations
        return swarmnet.fit(MixedData(X, X.sum(1)), **QUICK | options)


@pytest.fixture(scope="module")
def line():
    return fit(np.linspace(0, 1, 9)[:, None])


def points_of(X):
    X = np.asarray(X, dtype=float)
    found = TrainingPoints.of(canonical(MixedData(X, X.sum(1))))
    assert found is not None and not found.far(X).any()
    return found


def is_silent(query, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return query(*arguments, **options)


@pytest.mark.parametrize(
    ("activation", "trainer"), [*((name, "lm") for name in TABLE), *(("tanh", name) for name in TRAINERS)]
)
def test_a_tenth_of_a_range_is_noted_for_every_activation_and_trainer(activation, trainer):
    X = np.stack(np.meshgrid([0.0, 2.0, 4.0], [10.0, 11.0]), -1).reshape(-1, 2)
    model = fit(X, activation=activation, trainer=trainer, iterations=1)
    is_silent(model.predict, X)
    assert not model.outside(X).any()
    beyond = X + np.array([0.4, 0.0])
    assert model.outside(beyond).tolist() == [[x1 == 4.0, False] for x1, _ in X]
    with pytest.warns(SwarmnetWarning, match=r"^2 of 6 rows lie outside .*: x1 4\.4 \(range 0 to 4\); said"):
        model.predict(beyond)


@pytest.mark.parametrize("query", ["predict", "jacobian", "hessian", "quantity", "table"])
def test_every_query_warns_once_for_a_model(line, query):
    model = replace(line)
    ask = {"quantity": lambda X: model.quantity("dy/dx1", X)}.get(query, getattr(model, query))
    is_silent(ask, [[0.0], [1.0]])
    with pytest.warns(
        SwarmnetWarning, match=r"1 of 2 rows lies outside the training range: x1 10 \(range 0"
    ) as w:
        ask([[0.5], [10.0]])
    assert len(w) == 1
    is_silent(ask, [[10.0]])
    assert model.outside([[10.0]]).all()


def test_what_fits_evaluates_and_reports_does_not_warn(tmp_path):
    X = np.linspace(0, 1, 8)[:, None]
    data = MixedData(3 * X, X[:, 0])
    slopes = MixedData([[0.0], [0.1], [1.0]], J=np.ones((3, 1, 1)))  # pinned at a mean in the gap
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*the training range")
        warnings.filterwarnings("ignore", "no value|training stopped")
        model = swarmnet.fit(slopes, **QUICK)
        model = swarmnet.fit(MixedData(X, X[:, 0]), **QUICK, validation=data)
        evaluate(model, data)
        swarmnet.explain(model, data, 7)
        pytest.importorskip("sklearn")
        net = swarmnet.SwarmNetRegressor(**QUICK).fit(X, X[:, 0])
        net.score(3 * X, X[:, 0])
        pytest.importorskip("jinja2")
        plots = pytest.importorskip("swarmnet.plots")
        plots.profile(model, "y", "x1", data=data)
        plots.parity(model, data, "y")
        model.report(tmp_path / "r.html", data)
    with pytest.warns(SwarmnetWarning, match="4 of 8 rows lie outside"):
        net.predict(2 * X)


def test_rounding_is_not_outside(line):
    model = fit([[0.1], [273.15 + 20], [300.0]])
    assert not model.outside([[0.1 + 0.2 - 0.2], [300 * (1 + 4e-16)], [293.15]]).any()
    assert model.outside([[300.000001], [0.0999]]).all()
    assert "x1 300.000001 (range" in model.region.note(np.array([[300.000001]]))


def test_the_note_has_both_ends_and_each_input():
    model = fit([[0.0, 5.0], [1.0, 5.0], [0.5, 6.0]])
    assert model.region.note(np.array([[-3.0, 5.0], [10.0, 7.0], [0.0, 5.0]])) == (
        "2 of 3 rows lie outside the training range: x1 -3 to 10 (range 0 to 1), x2 7 (range 5 to 6)"
    )


def test_gaps_and_corners_are_far():
    angle = np.linspace(0, 2 * np.pi, 80)
    ring = np.stack([np.cos(angle), 1000 * np.sin(angle)], 1)
    model = fit(ring)
    asked = [[0.0, 0.0], [0.9, 900.0], [0.0, 990.0], [9.0, 0.0]]
    assert model.far(asked).tolist() == [True, True, False, True]
    assert not model.outside(asked[:3]).any()
    with pytest.warns(SwarmnetWarning, match="^2 of 3 rows lie within the training range, but far from all"):
        model.predict(asked[:3])
    assert model.table(asked, outside=True)["outside"].tolist() == [training_region.FAR] * 2 + ["", "x1"]


def test_spacings_that_occur_again_are_not_gaps(rng):
    isotherms = [[T, p] for T in (300.0, 350.0, 400.0) for p in np.linspace(1e5, 1e7, 30)]
    assert not points_of(isotherms).far(np.array([[325.0, 5e6], [375.0, 1e5]])).any()
    clusters = np.concatenate([rng.uniform(0, 0.2, (40, 2)), rng.uniform(0.8, 1, (40, 2)), [[0.5, 0.95]]])
    assert points_of(clusters[:-1]).far(np.array([[0.5, 0.5], [0.1, 0.9], [0.1, 0.1]])).tolist() == [1, 1, 0]
    assert not points_of([[0.0, 1.0], [0.0, 1.0]]).far(np.array([[5.0, 5.0]])).any()  # nothing varies


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("n", [40, 1000])
def test_points_like_the_training_points_are_hardly_ever_far(rng, n, d):
    found = points_of(rng.normal(size=(n, d)))
    assert found.far(rng.normal(size=(2000, d))).mean() < 0.02
    assert len(found.X) == min(n, 200)


def test_few_points_are_kept_of_many_rows_and_inputs(rng, monkeypatch):
    monkeypatch.setattr(training_region, "_SAMPLE", 300)
    found = points_of(rng.uniform(size=(1200, 2)))
    assert len(found.X) == 200
    assert training_region.most_points(1000) == 20


def test_points_are_saved_and_reordered(tmp_path):
    X = np.array([[0.0, 30.0], [1.0, 10.0], [2.0, 20.0]])
    data = MixedData(X, X[:, 0], inputs=("zz", "a"), outputs=("y",))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(data, **QUICK)
    model.save(tmp_path / "m.json")
    read = load(tmp_path / "m.json")
    for each in (model, read):
        assert sorted(each.points.X.tolist()) == X.tolist()
        assert each.points.unit.tolist() == [1.0, 10.0]
        assert each.far([[0.0, 30.0], [1.0, 1000.0]]).tolist() == [False, True]
    assert read.points.reach == model.points.reach


def test_files_of_earlier_versions_know_ranges_only(line, tmp_path):
    line.save(tmp_path / "m.json")
    record = json.loads((tmp_path / "m.json").read_text())
    del record["points"]
    (tmp_path / "m.json").write_text(json.dumps(record))
    model = load(tmp_path / "m.json")
    assert not model.far([[10.0]]).any() and model.outside([[10.0]]).all()
    del record["training"]["input_ranges"]
    (tmp_path / "m.json").write_text(json.dumps(record))
    assert not load(tmp_path / "m.json").outside([[10.0]]).any()


@pytest.mark.parametrize(
    "points",
    [
        {"X": [[1.0, 2.0]], "unit": [1.0], "reach": 1.0},
        {"X": [], "unit": [1.0], "reach": 1.0},
        {"X": [[1.0]], "unit": [-1.0], "reach": 1.0},
        {"X": [[1.0]], "unit": [1.0], "reach": None},
        {"X": [[1.0]], "unit": [1.0]},
        {"X": "no", "unit": [1.0], "reach": 1.0},
        [1.0],
    ],
)
def test_damaged_points_are_refused(line, tmp_path, points):
    line.save(tmp_path / "m.json")
    record = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps(record | {"points": points}))
    with pytest.raises(SwarmnetError, match="damaged model"):
        load(tmp_path / "m.json")


def test_data_in_files_give_ranges_only(tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n0,0\n0.1,0.1\n1,1\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = swarmnet.fit(open_files(tmp_path / "d.csv"), hidden=(2,), trainer="adam", iterations=1)
    assert model.points is None
    assert model.outside([[2.0]]).all() and not model.far([[0.5]]).any()
