"""Metrics: numbers by hand, over observed entries only, in the data's units."""

import numpy as np
import pandas as pd
import pytest

from swarmnet import FittedModel, MixedData, Network, SwarmnetError, evaluate
from swarmnet.data.readers import open_files
from swarmnet.scaling import Scaling

NAN = np.nan


def plane(inputs=("T", "p"), outputs=("h",)):
    """h = 2 T - 3 p + 1, by a network that works in other units."""
    scaling = Scaling(np.array([10.0, 0.0]), np.array([2.0, 4.0]), np.array([5.0]), np.array([8.0]))
    # (h - 5) / 8 = 0.5 (T - 10) / 2 - 1.5 p / 4 + 2
    return FittedModel(Network((2, 1)), np.array([0.5, -1.5, 2.0]), scaling, inputs, outputs)


def data(X, Y=None, J=None, **names):
    return MixedData(X, Y, J, **{"inputs": ("T", "p"), "outputs": ("h",)} | names)


def test_the_plane_is_what_it_says():
    assert plane().predict([[1.0, 1.0]])[0, 0] == pytest.approx(0.0)
    np.testing.assert_allclose(plane().jacobian([[1.0, 1.0]])[0, 0], [2.0, -3.0])


def test_numbers_by_hand():
    """h is 1, 3 and 5 at T = 0, 1, 2: the errors are 0, 1 and -2, the targets' mean is 10/3."""
    X = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    found = evaluate(plane(), data(X, Y=[1.0, 2.0, 7.0])).iloc[0]
    assert (found["column"], found["entries"]) == ("h", 3)
    assert found["rmse"] == pytest.approx(np.sqrt(5 / 3))
    assert found["max_error"] == pytest.approx(2.0)
    assert found["r2"] == pytest.approx(1 - 5 / (54 - 100 / 3))


def test_only_observed_entries_count_and_each_partial_apart():
    X = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]
    J = [[[2.5, NAN]], [[1.5, NAN]], [[NAN, NAN]]]
    found = evaluate(plane(), data(X, Y=[NAN, 3.0, NAN], J=J)).set_index("column")
    assert list(found.index) == ["h", "dh/dT"]
    assert found["entries"].tolist() == [1, 2]
    np.testing.assert_allclose(found["rmse"], [0.0, 0.5], atol=1e-12)


@pytest.mark.parametrize("column", ["h", "dh/dT", "dh/dp"])
def test_a_single_kind_of_entry_is_enough(column):
    Y, J = {
        "h": ([0.0, 0.0], None),
        "dh/dT": (None, [[[2.0, NAN]], [[4.0, NAN]]]),
        "dh/dp": (None, [[[NAN, -3.0]], [[NAN, -1.0]]]),
    }[column]
    found = evaluate(plane(), data([[0.0, 0.0], [-1.0, 0.0]], Y, J))
    assert found["column"].tolist() == [column]
    assert found["max_error"].item() == pytest.approx(1.0 if column == "h" else 2.0)


def test_r2_of_equal_targets_is_not_a_number():
    found = evaluate(plane(), data([[0.0, 0.0], [1.0, 0.0]], Y=[4.0, 4.0]))
    assert np.isnan(found["r2"].item())
    assert found["rmse"].item() == pytest.approx(np.sqrt((9 + 1) / 2))


@pytest.mark.parametrize("size", [1e300, 1e-161, 1e-300])
def test_numbers_too_large_or_too_small_to_square_have_their_errors(size):
    """Against 0: R2 is 1 minus the mean square over the variance, whatever the unit."""
    model = FittedModel(Network((1, 1)), np.zeros(2), Scaling.identity(1, 1), ("x",), ("y",))
    Y = size * np.array([1.0, -1.0, 2.0, 0.0])
    found = evaluate(model, MixedData(np.arange(4.0)[:, None], Y, inputs="x")).iloc[0]
    assert found["rmse"] == pytest.approx(size * np.sqrt(6 / 4), rel=1e-12)
    assert found["max_error"] == pytest.approx(2 * size)
    assert found["r2"] == pytest.approx(1 - 1.5 / 1.25, rel=1e-9)


def test_errors_of_files_of_very_different_size_add_up(tmp_path):
    model = FittedModel(Network((1, 1)), np.zeros(2), Scaling.identity(1, 1), ("x",), ("y",))
    for name, size in {"a": 1e-200, "b": 0.0, "c": 1e200, "d": 1e-200}.items():
        (tmp_path / f"{name}.csv").write_text(f"x,y\n0,{size}\n1,{-size}\n")
    for pattern, rmse in {"*": 1e200 * np.sqrt(2 / 8), "[ab]": 1e-200 * np.sqrt(2 / 4), "b": 0.0}.items():
        found = evaluate(model, open_files(tmp_path / f"{pattern}.csv"))
        assert found["rmse"].item() == pytest.approx(rmse, rel=1e-12)


def test_an_infinite_error_is_inf_without_a_warning():
    model = FittedModel(Network((1, 1)), np.array([0.0, 1.7e308]), Scaling.identity(1, 1), ("x",), ("y",))
    found = evaluate(model, MixedData([[0.0], [1.0]], [-1.7e308, 1.7e308], inputs="x")).iloc[0]
    assert (found["rmse"], found["max_error"]) == (np.inf, np.inf)


def test_outputs_are_told_apart():
    model = FittedModel(
        Network((1, 2)), np.array([1.0, 10.0, 0.0, 0.0]), Scaling.identity(1, 2), ("x",), ("u", "v")
    )
    seen = MixedData([[1.0], [2.0]], [[1.0, NAN], [NAN, 23.0]], inputs=["x"], outputs=["u", "v"])
    found = evaluate(model, seen).set_index("column")
    assert found["rmse"].to_dict() == pytest.approx({"u": 0.0, "v": 3.0})


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"inputs": ("p", "t")}, "inputs are p, t, where T, p are needed"),
        ({"outputs": ("u",)}, "outputs are u, where h are needed"),
    ],
)
def test_data_of_other_columns_are_refused(names, words):
    with pytest.raises(SwarmnetError, match=words):
        evaluate(plane(), data([[0.0, 0.0]], Y=[1.0], **names))


@pytest.mark.parametrize("given", ["data.csv", pd.DataFrame({"T": [1.0]})], ids=["name", "frame"])
def test_what_is_no_data_is_refused(given):
    with pytest.raises(SwarmnetError, match=r"data must be MixedData: read_csv"):
        evaluate(plane(), given)


def test_columns_are_matched_by_name_whatever_their_order():
    there = data([[1.0, 2.0]], Y=[5.0], J=[[3.0, 4.0]])
    swapped = MixedData(there.X[:, ::-1], there.Y, there.J[:, :, ::-1], inputs=("p", "T"), outputs=("h",))
    pd.testing.assert_frame_equal(evaluate(plane(), swapped), evaluate(plane(), there))
