import dataclasses

import numpy as np
import pytest

from swarmnet.data.inspection import inspect_data
from swarmnet.data.mixed_data import MixedData

NAN = np.nan


def mixed() -> MixedData:
    """Rows 0, 1 and 4 are one point; its h was observed three times, its dh/dp twice."""
    return MixedData(
        X=[[300.0, 1.0], [300.0, 1.0], [310.0, 2.0], [320.0, 2.0], [300.0, 1.0], [310.0, 2.0]],
        Y=[10.0, 10.5, NAN, 30.0, 9.0, NAN],
        J=[[NAN, 4.0], [NAN, 4.25], [2.0, NAN], [NAN, NAN], [NAN, NAN], [NAN, NAN]],
        Y_sigma=[0.1, 0.2, NAN, NAN, NAN, NAN],
        inputs=["T", "p"],
        outputs="h",
    )


def test_columns() -> None:
    columns = inspect_data(mixed()).columns.set_index("column")
    assert columns["kind"].to_dict() == {
        "T": "input",
        "p": "input",
        "h": "value",
        "dh/dT": "partial",
        "dh/dp": "partial",
    }
    assert columns["entries"].tolist() == [6, 6, 4, 1, 2]
    np.testing.assert_allclose(columns["share"], [1, 1, 4 / 6, 1 / 6, 2 / 6])
    numbers = columns.loc["h", ["min", "max", "mean", "sigma_min", "sigma_max"]]
    np.testing.assert_allclose(list(numbers), [9.0, 30.0, 14.875, 0.1, 0.2])
    assert list(columns.loc["T", ["min", "max"]]) == [300.0, 320.0]
    assert columns.loc["dh/dT", ["sigma_min", "sigma_max"]].isna().all()


def test_a_column_never_observed_has_no_range() -> None:
    columns = inspect_data(MixedData([[0.0]], [1.0])).columns.set_index("column")
    assert columns.loc["dy/dx1", "entries"] == 0
    assert columns.loc["dy/dx1", ["min", "max", "mean"]].isna().all()


def test_patterns_come_most_frequent_first() -> None:
    patterns = inspect_data(mixed()).patterns
    assert patterns.to_numpy().tolist() == [
        ["h", 2],
        ["h + dh/dp", 2],
        ["dh/dT", 1],
        ["nothing", 1],
    ]


def test_patterns_of_more_entries_than_a_machine_word_has_bits() -> None:
    J = np.full((3, 1, 100), NAN)
    J[0, 0, 99] = J[1, 0, 99] = J[2, 0, 0] = 1.0
    patterns = inspect_data(MixedData(np.zeros((3, 100)), [1.0, 2.0, NAN], J)).patterns
    assert patterns.to_numpy().tolist() == [["y + dy/dx100", 2], ["dy/dx1", 1]]


def test_repeated_points() -> None:
    inspection = inspect_data(mixed())
    assert (inspection.repeated_points, inspection.repeated_rows) == (2, 5)
    assert inspection.repeated.to_numpy().tolist() == [["h", 1, 3, 1.5], ["dh/dp", 1, 2, 0.25]]


def test_nothing_is_repeated() -> None:
    inspection = inspect_data(MixedData([[0.0], [1.0]], [1.0, 1.0]))
    assert (inspection.repeated_points, inspection.repeated_rows) == (0, 0)
    assert inspection.repeated.empty
    assert list(inspection.repeated.columns) == ["column", "points", "rows", "disagreement"]


def test_zero_is_one_point_whatever_its_sign() -> None:
    assert inspect_data(MixedData([[0.0], [-0.0]], [1.0, 1.0])).repeated_points == 1


def test_mixed_data_may_leave_nothing_open() -> None:
    assert inspect_data(mixed()).not_identifiable == []


def test_slopes_alone_leave_the_constant_open() -> None:
    data = MixedData([[0.0, 1.0]], J=[[1.0, 2.0]])
    (sentence,) = inspect_data(data).not_identifiable
    assert sentence.startswith("y has no value, only slopes: its constant is free")


def test_slopes_alone_leave_an_input_without_slopes_open() -> None:
    data = MixedData([[0.0, 1.0], [0.0, 2.0]], J=[[1.0, NAN], [2.0, NAN]])
    constant, dependence = inspect_data(data).not_identifiable
    assert "constant is free" in constant
    assert "how y depends on x2: it has no value, and dy/dx2 is never observed" in dependence


def test_values_at_a_constant_input_leave_it_open() -> None:
    data = MixedData([[0.0, 5.0], [1.0, 5.0]], [1.0, 2.0])
    (sentence,) = inspect_data(data).not_identifiable
    assert "how y depends on x2: all its values are at x2 = 5, and dy/dx2 is never" in sentence


def test_a_slope_settles_a_constant_input() -> None:
    data = MixedData([[0.0, 5.0], [1.0, 5.0]], [1.0, 2.0], [[NAN, 1.0], [NAN, NAN]])
    assert inspect_data(data).not_identifiable == []


def test_an_input_that_varies_among_slopes_alone_is_open() -> None:
    """dy/dx1 at another x2 says nothing about y's own dependence on x2."""
    data = MixedData([[0.0, 5.0], [1.0, 6.0]], [1.0, NAN], [[NAN, NAN], [2.0, NAN]])
    (sentence,) = inspect_data(data).not_identifiable
    assert "how y depends on x2" in sentence


def test_an_output_without_entries_is_open() -> None:
    data = MixedData([[0.0], [1.0]], [[1.0, NAN], [2.0, NAN]])
    assert inspect_data(data).not_identifiable == ["y2 has no entry at all: nothing is known about it"]


def collinear(**given) -> list[str]:
    """What is not identifiable where x1 and x2 are free, and others are what is given of them."""
    x1, x2 = np.random.default_rng(0).uniform(250.0, 350.0, (2, 40))
    columns = {"x1": x1, "x2": x2} | {name: function(x1, x2) for name, function in given.items()}
    return inspect_data(
        MixedData(np.stack(list(columns.values()), 1), x1 * x2, inputs=columns)
    ).not_identifiable


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x1, x2: x1, "x1"),
        (lambda x1, x2: x1 - 273.15, "x1"),
        (lambda x1, x2: 1e-9 * x2 + 4.0, "x2"),
        (lambda x1, x2: 1e9 - x1 - x2, "x1, x2"),
        (lambda x1, x2: np.round(0.01 * (x1 - x2), 4), "x1, x2"),
        (lambda x1, x2: 1e300 * x1, "x1"),
        (lambda x1, x2: 1e-300 * x1, "x1"),
        (lambda x1, x2: np.float32(x1 + 2.0 * x2), "x1, x2"),
    ],
)
def test_inputs_that_are_linear_functions_of_others_are_named(function, names) -> None:
    (sentence,) = collinear(z=function)
    assert sentence == (
        f"z is a linear function of {names} in every row: nothing tells their effects on y apart"
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda x1, x2: x1**2,
        lambda x1, x2: np.round(0.01 * (x1 - x2), 1),
        lambda x1, x2: np.where(np.arange(40) < 39, x1 - x2 + 0.5 * np.sin(x1), 1e7),
        lambda x1, x2: x1 + np.random.default_rng(1).normal(size=40),
    ],
)
def test_inputs_that_are_not_are_not(function) -> None:
    assert collinear(z=function) == []


def test_an_outlier_in_two_inputs_makes_no_line_of_them() -> None:
    x = np.random.default_rng(0).uniform(0.0, 1.0, (30, 2))
    x[7] = 1e8
    assert inspect_data(MixedData(x, x[:, 0])).not_identifiable == []


def test_each_dependent_input_is_named_once() -> None:
    found = collinear(a=lambda x1, x2: x1 + x2, b=lambda x1, x2: x2**2, c=lambda x1, x2: x2**2 - x1)
    assert [sentence.split(" in every row")[0] for sentence in found] == [
        "a is a linear function of x1, x2",
        "c is a linear function of x1, b",
    ]


def test_indicators_of_classes_depend_on_each_other() -> None:
    X = np.eye(3)[np.arange(12) % 3]
    (sentence,) = inspect_data(MixedData(X, np.arange(12.0))).not_identifiable
    assert sentence.startswith("x3 is a linear function of x1, x2 in every row")


def test_no_more_rows_than_coefficients_are_on_a_line_anyway() -> None:
    X = np.random.default_rng(0).uniform(size=(3, 8))
    assert inspect_data(MixedData(X, X[:, 0])).not_identifiable == []
    X[:, 7] = 2.0 * X[:, 0]
    (sentence,) = inspect_data(MixedData(X, X[:, 0])).not_identifiable
    assert sentence.startswith("x8 is a linear function of x1 in every row")


def test_slopes_tell_collinear_inputs_apart() -> None:
    x = np.linspace(0.0, 1.0, 9)
    J = np.full((9, 2, 2), NAN)
    J[0, 0, 1] = 1.0
    data = MixedData(np.stack([x, 3.0 - 2.0 * x], 1), np.stack([x, x], 1), J)
    (sentence,) = inspect_data(data).not_identifiable
    assert sentence.endswith("linear function of x1 in every row: nothing tells their effects on y2 apart")
    J[1, 1, 0] = 1.0
    (sentence,) = inspect_data(MixedData(data.X, data.Y, J)).not_identifiable
    assert sentence.endswith("in every row: slopes alone tell their effects apart")


def test_values_may_be_on_a_line_where_other_rows_are_not() -> None:
    x = np.linspace(0.0, 1.0, 9)
    X = np.concatenate([np.stack([x, x], 1), [[0.0, 1.0], [1.0, 0.3]]])
    Y = np.full((11, 2), NAN)
    Y[:9, 0], Y[:, 1] = x, 1.0
    (sentence,) = inspect_data(MixedData(X, Y)).not_identifiable
    assert sentence.startswith(
        "x2 is a linear function of x1 wherever y1 has a value, and none of its slopes"
    )
    J = np.full((11, 2, 2), NAN)
    J[9, 0, 0] = 1.0
    assert inspect_data(MixedData(X, Y, J)).not_identifiable == []


def test_an_inspection_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        inspect_data(mixed()).repeated_points = 0  # type: ignore[misc]
