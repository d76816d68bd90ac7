import dataclasses

import numpy as np
import pytest

from swarmnet.data import MixedData
from swarmnet.inspection import inspect_data

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


def test_an_inspection_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        inspect_data(mixed()).repeated_points = 0  # type: ignore[misc]
