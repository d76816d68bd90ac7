import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from swarmnet.data.mixed_data import MixedData
from swarmnet.errors import SwarmnetError

NAN = np.nan


def small() -> MixedData:
    """Three rows, two inputs, two outputs; the second output is known by its slopes alone."""
    return MixedData(
        X=[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]],
        Y=[[1.0, NAN], [NAN, NAN], [3.0, NAN]],
        J=[
            [[NAN, NAN], [5.0, NAN]],
            [[6.0, NAN], [NAN, NAN]],
            [[NAN, NAN], [NAN, NAN]],
        ],
        Y_sigma=[[0.1, NAN], [NAN, NAN], [NAN, NAN]],
        J_sigma=[
            [[NAN, NAN], [0.5, NAN]],
            [[NAN, NAN], [NAN, NAN]],
            [[NAN, NAN], [NAN, NAN]],
        ],
        inputs=["T", "p"],
        outputs=["h", "g"],
    )


def assert_same(one: MixedData, other: MixedData) -> None:
    """Bit for bit the same, which assert_array_equal is not for -0.0 and 0.0."""
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_array_equal(a, b, err_msg=name)
            np.testing.assert_array_equal(np.signbit(a), np.signbit(b), err_msg=name)


def test_shapes_and_counts() -> None:
    data = small()
    assert (data.n, data.d, data.k, len(data)) == (3, 2, 2, 3)
    assert (data.n_values, data.n_derivatives, data.n_entries) == (2, 2, 4)
    assert data.entries_per_row.tolist() == [2, 1, 1]
    assert repr(data) == "MixedData(3 rows, T, p -> h, g, 2 values, 2 partials)"


def test_one_output_may_come_without_its_axis() -> None:
    short = MixedData([[0.0], [1.0]], [1.0, 2.0], [[3.0], [NAN]], [0.1, 0.2], [[0.3], [NAN]])
    full = MixedData([[0.0], [1.0]], [[1.0], [2.0]], [[[3.0]], [[NAN]]], [[0.1], [0.2]], [[[0.3]], [[NAN]]])
    assert_same(short, full)


def test_default_names() -> None:
    assert MixedData([[0.0]], [1.0]).inputs == ("x1",)
    assert MixedData([[0.0]], [1.0]).outputs == ("y",)
    assert MixedData([[0.0, 0.0]], [[1.0, 2.0]]).inputs == ("x1", "x2")
    assert MixedData([[0.0, 0.0]], [[1.0, 2.0]]).outputs == ("y1", "y2")


def test_what_was_not_given_was_not_observed() -> None:
    values = MixedData([[0.0]], [1.0])
    assert values.J.shape == (1, 1, 1) and np.isnan(values.J).all()
    slopes = MixedData([[0.0]], J=[[[1.0], [2.0]]])
    assert slopes.Y.shape == (1, 2) and np.isnan(slopes.Y).all()


def test_a_mask_means_not_observed() -> None:
    data = MixedData([[0.0], [1.0]], np.ma.masked_array([1, 2], mask=[False, True]))
    np.testing.assert_array_equal(data.Y, [[1.0], [NAN]])


def test_nothing_can_be_changed() -> None:
    data = small()
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(data, name)[0] = 0.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.X = data.Y  # type: ignore[misc]


def test_the_callers_arrays_stay_the_callers() -> None:
    X, Y = np.zeros((2, 1)), np.ones((2, 1))
    data = MixedData(X, Y)
    X[0], Y[0] = 5.0, 6.0
    assert (data.X[0, 0], data.Y[0, 0]) == (0.0, 1.0)


def test_a_sigma_without_its_entry_is_dropped() -> None:
    data = MixedData([[0.0], [1.0]], [1.0, NAN], Y_sigma=[0.1, -1.0])
    np.testing.assert_array_equal(data.Y_sigma, [[0.1], [NAN]])
    assert MixedData([[0.0]], J=[[1.0]], Y_sigma=[0.1]).Y_sigma is None


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"X": [0.0, 1.0], "Y": [1.0, 2.0]}, ["X must be (rows, inputs)", "(2,)"]),
        ({"X": np.zeros((2, 0)), "Y": [1.0, 2.0]}, ["at least one input", "(2, 0)"]),
        ({"X": [["a"]], "Y": [1.0]}, ["X is not an array of numbers"]),
        ({"X": [[1.0], [1.0, 2.0]], "Y": [1.0]}, ["X is not an array of numbers"]),
        ({"X": [[1j]], "Y": [1.0]}, ["X is not an array of numbers", "complex"]),
        ({"X": np.array([["2024-01-01"]], "M8[D]"), "Y": [1.0]}, ["X is not", "datetime64"]),
        ({"X": [[0.0]]}, ["there are no entries", "give Y, J or both"]),
        ({"X": [[0.0]], "Y": 1.0}, ["Y must be (rows, outputs) with 1 rows", "()"]),
        ({"X": [[0.0]], "Y": [1.0, 2.0]}, ["Y must be", "with 1 rows", "(2, 1)"]),
        ({"X": [[0.0]], "Y": np.zeros((1, 0))}, ["Y must be", "(1, 0)"]),
        ({"X": [[0.0]], "J": [1.0]}, ["J must be (rows, outputs, inputs)", "(1,)"]),
        ({"X": [[0.0]], "J": [[1.0, 2.0]]}, ["J must be", "1 inputs", "(1, 1, 2)"]),
        ({"X": [[0.0]], "Y": [1.0], "J": [[[1.0], [2.0]]]}, ["Y has 1 outputs but J has 2"]),
        ({"X": [[0.0]], "Y": [1.0], "Y_sigma": [0.1, 0.2]}, ["Y_sigma must be (1, 1)", "(2, 1)"]),
        (
            {"X": np.zeros((2, 1)), "Y": np.ones((2, 3)), "Y_sigma": np.ones((3, 2))},
            ["Y_sigma must be (2, 3)", "not (3, 2)"],
        ),
        ({"X": [[0.0], [NAN]], "Y": [1.0, 2.0]}, ["'x1' is missing in row 1"]),
        ({"X": [[0.0, 1.0], [0.0, np.inf]], "Y": [1.0, 2.0]}, ["'x2' is infinite in row 1"]),
        ({"X": [[0.0], [0.0]], "Y": [1.0, -np.inf]}, ["'y' is infinite in row 1"]),
        ({"X": [[0.0]], "J": [[np.inf]]}, ["'dy/dx1' is infinite in row 0"]),
        ({"X": [[0.0]], "Y": [1.0], "Y_sigma": [0.0]}, ["'sigma(y)' is not positive in row 0"]),
        ({"X": [[0.0]], "Y": [1.0], "Y_sigma": [np.inf]}, ["'sigma(y)' is not positive in row 0"]),
        ({"X": [[0.0]], "J": [[1.0]], "J_sigma": [[-1.0]]}, ["'sigma(dy/dx1)' is not positive"]),
        ({"X": [[0.0]], "Y": [NAN]}, ["there are no entries", "missing"]),
        ({"X": np.zeros((0, 1)), "Y": np.zeros((0, 1))}, ["there are no entries"]),
        ({"X": [[0.0]], "Y": [1.0], "inputs": ["a", "b"]}, ["inputs must be 1 names", "a, b"]),
        ({"X": [[0.0]], "Y": [1.0], "outputs": [""]}, ["outputs must be 1 names"]),
        ({"X": [[0.0]], "Y": [1.0], "outputs": "x1"}, ["two columns would be called 'x1'"]),
        ({"X": [[0.0, 1.0]], "Y": [1.0], "inputs": ["a", "a"]}, ["two columns", "'a'"]),
        (
            {"X": [[0.0]], "Y": [[1.0, 2.0]], "inputs": "T", "outputs": ["h", "dh/dT"]},
            ["two columns would be called 'dh/dT'"],
        ),
    ],
)
def test_mistakes_are_named(arguments: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(SwarmnetError) as caught:
        MixedData(**arguments)
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_take() -> None:
    data = small()
    taken = data.take([2, 0])
    np.testing.assert_array_equal(taken.X, data.X[[2, 0]])
    np.testing.assert_array_equal(taken.Y, data.Y[[2, 0]])
    np.testing.assert_array_equal(taken.J, data.J[[2, 0]])
    np.testing.assert_array_equal(taken.Y_sigma, data.Y_sigma[[2, 0]])  # type: ignore[index]
    assert (taken.inputs, taken.outputs) == (data.inputs, data.outputs)
    assert data.take(np.array([True, False, False])).X.tolist() == [[0.0, 1.0]]
    assert data.take(slice(1, None)).Y_sigma is None


def test_values_only() -> None:
    values = small().values_only()
    np.testing.assert_array_equal(values.X, [[0.0, 1.0], [4.0, 5.0]])
    assert (values.n_values, values.n_derivatives) == (2, 0)
    np.testing.assert_array_equal(values.Y_sigma, [[0.1, NAN], [NAN, NAN]])
    assert values.J_sigma is None


def test_values_only_of_slopes_is_an_error() -> None:
    with pytest.raises(SwarmnetError, match="derivatives only"):
        MixedData([[0.0]], J=[[1.0]]).values_only()


def test_to_frame_has_a_column_for_whatever_was_observed() -> None:
    columns = ["T", "p", "h", "dh/dT", "dg/dT", "sigma(h)", "sigma(dg/dT)"]
    assert list(small().to_frame().columns) == columns


def test_from_frame_undoes_to_frame() -> None:
    data = small()
    assert_same(MixedData.from_frame(data.to_frame(), data.inputs, data.outputs), data)


def test_an_output_without_entries_comes_back() -> None:
    data = MixedData([[0.0]], [[1.0, NAN]], inputs=["x"])
    assert_same(MixedData.from_frame(data.to_frame()), data)


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(
    arrays(np.float64, (4, 2), elements=FINITE),
    arrays(np.float64, (4, 6), elements=FINITE),
    st.data(),
)
def test_to_frame_is_exact(X: np.ndarray, entries: np.ndarray, draw: st.DataObject) -> None:
    mask = draw.draw(arrays(np.bool_, (4, 6)))
    entries = np.where(mask, entries, NAN)
    entries[0] = 1.0  # each column is observed once, so that no column is left out
    data = MixedData(X, entries[:, :2], entries[:, 2:].reshape(4, 2, 2))
    assert_same(MixedData.from_frame(data.to_frame()), data)


def test_from_frame_reads_the_long_form_too() -> None:
    frame = pd.DataFrame(
        {"x": [0.0, 1.0], "target": ["y", "dy/dx"], "value": [2.0, 3.0], "sigma": [None, 0.5]}
    )
    data = MixedData.from_frame(frame)
    assert_same(
        data,
        MixedData([[0.0], [1.0]], [2.0, NAN], [[NAN], [3.0]], J_sigma=[[NAN], [0.5]], inputs="x"),
    )


def test_from_frame_takes_columns_by_name() -> None:
    frame = pd.DataFrame({"note": ["a"], "h": [3.0], "p": [2.0], "T": [1.0]}, index=[7])
    data = MixedData.from_frame(frame, inputs=["T", "p"], outputs="h")
    assert_same(data, MixedData([[1.0, 2.0]], [3.0], inputs=["T", "p"], outputs="h"))


def test_from_frame_takes_numbers_for_names() -> None:
    data = MixedData.from_frame(pd.DataFrame([[1.0, 2.0]]), inputs=[0], outputs=[1])  # type: ignore[list-item]
    assert_same(data, MixedData([[1.0]], [2.0], inputs="0", outputs="1"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, NAN], "y": [1.0, 2.0]}, "row index b, column 'x': the cell is empty"),
        ({"x": [1.0, 2.0], "y": [np.inf, 2.0]}, "row index a, column 'y': the cell is infinite"),
        ({"x": [1.0, 2.0], "y": [True, False]}, "row index a, column 'y': 'True' is not a number"),
        ({"x": [1.0, 2.0], "y": [1.0, 2.0], "sigma(y)": [1.0, 0.0]}, "row index b, column 'sigma"),
        ({"x": [1.0, 2.0], "y": [None, None]}, "there are no entries"),
        ({"x": [1.0, 2.0], "q": [1.0, 2.0]}, "column 'q' could be an input or an output"),
    ],
)
def test_from_frame_says_where(columns: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(SwarmnetError, match=r"^DataFrame") as caught:
        MixedData.from_frame(pd.DataFrame(columns, index=["a", "b"]))
    assert message in str(caught.value)
