import datetime
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.data.column_names import (
    derivative_name,
    listed,
    parse_derivative,
    second_derivative_name,
    shortened,
    sigma_name,
)
from swarmnet.data.column_roles import TargetError, is_long, long_roles_of, roles_of
from swarmnet.data.tables import FrameTable, coded, number_of
from swarmnet.errors import SwarmnetError
from swarmnet.scaling import Scaling


def test_names_are_written_as_the_grammar_says() -> None:
    assert derivative_name("h", "T") == "dh/dT"
    assert second_derivative_name("h", "T", "T") == "d2h/dT2"
    assert second_derivative_name("h", "T", "p") == "d2h/dTdp"
    assert sigma_name("dh/dT") == "sigma(dh/dT)"


@pytest.mark.parametrize(
    ("name", "readings"),
    [
        ("dh/dT", [("h", "T")]),
        ("dd/dd", [("d", "d")]),
        ("da/db/dc", [("a", "b/dc"), ("a/db", "c")]),
        ("h", []),
        ("h/dT", []),
        ("d/dT", []),
        ("dh/d", []),
        ("depth", []),
    ],
)
def test_parse_derivative_finds_every_reading(name: str, readings: list[tuple[str, str]]) -> None:
    assert parse_derivative(name) == readings


def test_derivative_columns_decide_roles() -> None:
    roles = roles_of(["T", "p", "h", "dh/dT", "dh/dp", "sigma(h)", "sigma(dh/dp)"])
    assert (roles.inputs, roles.outputs) == (("T", "p"), ("h",))
    assert roles.entries == {"h": (0, None), "dh/dT": (0, 0), "dh/dp": (0, 1)}
    assert roles.sigmas == {"sigma(h)": (0, None), "sigma(dh/dp)": (0, 1)}
    assert roles.ignored == ()


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs"),
    [
        (["x", "y"], ("x",), ("y",)),
        (["y_2", "x10", "x_1", "y1"], ("x10", "x_1"), ("y_2", "y1")),
        (["x1", "p", "y", "dy/dp"], ("x1", "p"), ("y",)),
        (["x", "y", "z", "dz/dx", "dz/dy"], ("x", "y"), ("z",)),
        (["x1", "x2", "dy/dx1", "dg/dx2"], ("x1", "x2"), ("y", "g")),
        (["t", "x", "dx/dt"], ("t",), ("x",)),
    ],
)
def test_names_decide_what_derivatives_leave_open(
    columns: list[str], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    roles = roles_of(columns)
    assert (roles.inputs, roles.outputs) == (inputs, outputs)


def test_inputs_and_outputs_decide_first_and_in_their_order() -> None:
    roles = roles_of(["T", "p", "note", "g", "h", "dh/dT"], ["p", "T"], ["h", "g"])
    assert (roles.inputs, roles.outputs) == (("p", "T"), ("h", "g"))
    assert roles.entries == {"g": (1, None), "h": (0, None), "dh/dT": (0, 1)}
    assert roles.ignored == ("note",)


def test_one_name_needs_no_list() -> None:
    roles = roles_of(["T", "h"], "T", "h")
    assert (roles.inputs, roles.outputs) == (("T",), ("h",))


def test_slopes_and_sigmas_of_what_the_user_left_out_are_left_out() -> None:
    columns = ["T", "p", "h", "g", "dh/dT", "dh/dp", "dg/dT", "sigma(g)", "sigma(dh/dp)"]
    roles = roles_of(columns, ["T"], ["h"])
    assert roles.entries == {"h": (0, None), "dh/dT": (0, 0)}
    assert roles.sigmas == {}
    assert roles.ignored == ("p", "g", "dh/dp", "dg/dT", "sigma(g)", "sigma(dh/dp)")


def test_given_names_win_over_the_grammar() -> None:
    roles = roles_of(["depth/day", "dose/dose", "sigma(z)"], ["depth/day", "sigma(z)"], "dose/dose")
    assert roles.inputs == ("depth/day", "sigma(z)")
    assert roles.entries == {"dose/dose": (0, None)}


def test_an_output_may_be_known_by_its_slopes_alone() -> None:
    roles = roles_of(["T", "dh/dT"], outputs=["h"])
    assert roles.entries == {"dh/dT": (0, 0)}


def test_a_name_with_a_slash_is_read_by_the_columns_there_are() -> None:
    roles = roles_of(["b/dc", "c", "a", "da/db/dc"], ["b/dc", "c"], ["a"])
    assert roles.entries == {"a": (0, None), "da/db/dc": (0, 0)}


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs", "parts"),
    [
        (["T", "h"], None, None, ["column 'T'", "inputs= and outputs= (--inputs, --outputs)"]),
        (["T", "h"], ["T"], None, ["column 'h'", "say which with outputs= (--outputs)"]),
        (["T", "h"], None, ["h"], ["column 'T'", "say which with inputs= (--inputs)"]),
        (["x", "y", "q"], None, None, ["column 'q'", "inputs= and outputs="]),
        (["a", "b", "c", "da/db", "dc/da"], None, None, ["column 'a'", "inputs= and outputs="]),
        (["a", "b", "da/db"], ["a"], None, ["column 'a'", "say which with outputs="]),
        (["a", "b", "da/db"], None, ["b"], ["column 'b'", "say which with inputs="]),
        (["T", "h"], ["T", "h"], ["h"], ["'h' is both an input and an output"]),
        (["T", "h", "dT/dh"], ["T"], ["h"], ["column 'dT/dh'", "correct them or remove"]),
        (["x_", "y"], None, None, ["column 'x_'", "inputs= and outputs="]),
        (["x1", "x2"], None, None, ["no column is an output", "--outputs"]),
        (["y"], None, None, ["no column is an input", "--inputs"]),
        (["Temp", "h"], ["Tmp"], ["h"], ["inputs= names 'Tmp'", "did you mean 'Temp'?", "Temp, h"]),
        (["T", "h"], ["T"], ["hh"], ["outputs= names 'hh'", "no column"]),
        (["T", "h"], [], ["h"], ["inputs= names no column"]),
        (["T", "h"], ["T", "T"], ["h"], ["inputs= names 'T' twice"]),
        (["T", "h", "dh/dTT"], None, None, ["column 'dh/dTT'", "unknown name 'TT'", "T, h"]),
        (["T", "h", "dg/dT"], None, ["h"], ["column 'dg/dT'", "unknown name 'g'", "--outputs"]),
        (["T", "h", "dh/dT", "d2h/dp2"], None, None, ["'d2h/dp2'", "second derivative", "unknown names"]),
        (["T", "p", "h", "dh/dT", "d2g/dTdp"], None, ["h"], ["'d2g/dTdp'", "'g' is no output"]),
        (["b/dc", "c", "da/db/dc"], None, None, ["'da/db/dc'", "more than one", "rename"]),
        (["x", "y", "sigma(z)"], None, None, ["column 'sigma(z)'", "belongs to nothing"]),
        (["x", "y", "sigma(x)"], None, None, ["column 'sigma(x)'", "belongs to nothing"]),
    ],
)
def test_what_cannot_be_decided_is_an_error(
    columns: list[str],
    inputs: list[str] | None,
    outputs: list[str] | None,
    parts: list[str],
) -> None:
    with pytest.raises(SwarmnetError) as caught:
        roles_of(columns, inputs, outputs)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "column", "arguments"),
    [
        (["T", "h", "dh/dT", "d2h/dT2"], "d2h/dT2", ((0, (0, 0)),)),
        (["p", "T", "h", "dh/dT", "d2h/dTdp"], "d2h/dTdp", ((0, (0, 1)),)),
        (["T", "p", "T2", "g", "dg/dp", "h", "dh/dT2", "d2h/dT2"], "d2h/dT2", ((1, (0, 0)),)),
    ],
)
def test_a_column_of_a_second_derivative_is_learnt_by_its_name(
    columns: list[str], column: str, arguments: tuple[Any, ...]
) -> None:
    roles = roles_of(columns, ["p", "T"] if "p" in columns and "T2" not in columns else None)
    (quantity,) = roles.quantities
    assert (quantity.name, quantity.arguments, roles.entries[column]) == (column, arguments, 0)


def test_a_second_derivatives_name_is_free_for_an_output_that_exists() -> None:
    roles = roles_of(["T2", "2h", "d2h/dT2"])
    assert roles.entries == {"2h": (0, None), "d2h/dT2": (0, 0)}


def test_long_form_is_recognised_unless_its_columns_are_claimed() -> None:
    assert is_long(["x", "target", "value"])
    assert not is_long(["x", "target"])
    assert not is_long(["x", "target", "value"], inputs="x", outputs="target")
    assert not is_long(["x", "target", "value"], inputs=["x", "value"])


@pytest.mark.parametrize(
    ("columns", "targets", "inputs", "outputs"),
    [
        (["x1", "x2"], ["y", "dy/dx1"], ("x1", "x2"), ("y",)),
        (["T", "p"], ["dh/dT", "dh/dp", "y1"], ("T", "p"), ("y1", "h")),
        (["x"], ["y2", "y1"], ("x",), ("y2", "y1")),
        (["x"], ["b"], ("x",), ("b",)),
    ],
)
def test_long_roles_by_targets(
    columns: list[str], targets: list[str], inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> None:
    roles = long_roles_of([*columns, "target", "value", "sigma"], targets)
    assert (roles.inputs, roles.outputs) == (inputs, outputs)


def test_long_inputs_given_leave_other_columns_out() -> None:
    columns = ["T", "note", "sigma", "target", "value"]
    roles = long_roles_of(columns, ["h"], ["T"])
    assert (roles.inputs, roles.ignored) == (("T",), ("note",))
    assert roles.entries == {"h": (0, None)}


def test_long_sigma_may_be_claimed_as_an_input() -> None:
    roles = long_roles_of(["S", "sigma", "target", "value"], ["dV/dsigma"], ["S", "sigma"])
    assert roles.entries == {"dV/dsigma": (0, 1)}


@pytest.mark.parametrize(
    ("columns", "targets", "inputs", "outputs", "parts"),
    [
        (["T"], ["h"], None, None, ["column 'T'", "inputs= (--inputs)"]),
        (["T", "p"], ["dh/dT"], None, None, ["column 'p'", "inputs= (--inputs)"]),
        ([], ["h"], None, None, ["no column is an input"]),
        (["x"], ["x"], None, None, ["'x' is both an input and an output"]),
        (["x"], ["b", "a"], None, None, ["targets b, a", "outputs= (--outputs)"]),
        (["x"], ["h"], ["z"], None, ["inputs= names 'z'", "no column"]),
        (["x"], ["h"], None, ["g"], ["outputs= names 'g'", "no target", "the targets are h"]),
    ],
)
def test_what_cannot_be_decided_in_a_long_table_is_an_error(
    columns: list[str],
    targets: list[str],
    inputs: list[str] | None,
    outputs: list[str] | None,
    parts: list[str],
) -> None:
    with pytest.raises(SwarmnetError) as caught:
        long_roles_of([*columns, "target", "value"], targets, inputs, outputs)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("targets", "inputs", "outputs", "target", "parts"),
    [
        (["hight", "dheight/dx"], None, None, "hight", ["is no output", "did you mean 'height'?"]),
        (["h", "g"], None, ["h"], "g", ["is no output", "the outputs are h", "--outputs"]),
        (["h", "dg/dx"], None, ["h"], "dg/dx", ["unknown name 'g'", "the outputs are h"]),
        (["dh/dX"], None, None, "dh/dX", ["unknown name 'X'", "the columns are x"]),
        (["dh/dq"], ["x"], None, "dh/dq", ["with respect to 'q'", "the inputs are x"]),
        (["y", "d2y/dz2"], None, None, "d2y/dz2", ["second derivative", "unknown names"]),
        (["0.5"], None, None, "0.5", ["is a number, not a name", "wide"]),
    ],
)
def test_a_target_that_means_nothing_is_an_error(
    targets: list[str],
    inputs: list[str] | None,
    outputs: list[str] | None,
    target: str,
    parts: list[str],
) -> None:
    columns = ["x", "q", "target", "value"] if inputs else ["x", "target", "value"]
    with pytest.raises(TargetError) as caught:
        long_roles_of(columns, targets, inputs, outputs)
    assert caught.value.target == target
    for part in [repr(target), *parts]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.5", 1.5),
        (" -2e3 ", -2000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7.0),
        ("1e400", np.inf),
        ("-inf", -np.inf),
        ("Infinity", np.inf),
        ("", np.nan),
        ("  ", np.nan),
        ("nAn", np.nan),
        (None, np.nan),
        (pd.NA, np.nan),
        (float("nan"), np.nan),
        (3, 3.0),
        (10**400, np.inf),
        (Decimal("0.1"), 0.1),
        (np.float32(0.5), 0.5),
        ("NA", None),
        ("true", None),
        (True, None),
        (np.True_, None),
        ("1_000", None),
        ("0x1A", None),
        ("1,5", None),
        ("\N{FULLWIDTH DIGIT ONE}", None),
        ("2024-01-01", None),
        (datetime.date(2024, 1, 1), None),
        (1j, None),
        ([1.0], None),
    ],
)
def test_number_of(cell: object, number: float | None) -> None:
    found = number_of(cell)
    if number is None or found is None:
        assert found is number
    else:
        np.testing.assert_equal(found, number)


def test_shortened_and_listed_stay_on_one_short_line() -> None:
    assert shortened("a\nb") == r"'a\nb'"
    assert len(shortened("a" * 10**6)) < 50
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(20)]).endswith("10, 11 and 8 more")


def test_coded_numbers_texts_in_order_of_appearance() -> None:
    codes, names = coded(pd.Series(["b", " a ", "", None, "a", "NaN", "b"], dtype=object))
    assert codes.tolist() == [0, 1, -1, -1, 1, -1, 0]
    assert names == ["b", "a"]


def test_coded_of_nothing_but_empty_cells() -> None:
    codes, names = coded(pd.Series(["", None], dtype=object))
    assert (codes.tolist(), names) == ([-1, -1], [])


def test_a_frames_numbers_whatever_their_type() -> None:
    frame = pd.DataFrame(
        {
            "int": [1, 2],
            "nullable": pd.array([1, None], dtype="Int64"),
            "object": ["1.5", None],
            "category": pd.Categorical(["2", "3"]),
            "float32": np.array([0.5, np.inf], dtype=np.float32),
        }
    )
    numbers = FrameTable(frame).numbers(list(frame.columns))
    expected = {
        "int": [1, 2],
        "nullable": [1, np.nan],
        "object": [1.5, np.nan],
        "category": [2, 3],
        "float32": [0.5, np.inf],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(numbers[name], values)
        assert numbers[name].dtype == np.float64


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (pd.Series([1.0, "abc"], dtype=object), "row index 1, column 'h': 'abc'"),
        (pd.Series([None, True], dtype=object), "row index 1, column 'h': 'True'"),
        (pd.Series([1.0, [2.0]], dtype=object), "row index 1, column 'h': '[2.0]'"),
        (pd.Series([False, True]), "row index 0, column 'h': 'False'"),
        (pd.Series([1j]), "row index 0, column 'h': '1j'"),
        (pd.Series(pd.to_datetime(["2024-01-01"])), "row index 0, column 'h': '2024-01-01"),
        (pd.Series(["1", "NA"], index=["a", "b"]), "row index b, column 'h': 'NA'"),
    ],
)
def test_a_frames_cell_that_is_no_number_is_named(series: "pd.Series[Any]", message: str) -> None:
    with pytest.raises(SwarmnetError) as caught:
        FrameTable(series.to_frame("h")).numbers(["h"])
    assert message in str(caught.value) and "is not a number" in str(caught.value)


@pytest.mark.parametrize(
    ("columns", "part"),
    [(["x", "x"], "column 'x' is there twice"), (["x", ""], "column 2 has no name")],
)
def test_a_frame_needs_distinct_names(columns: list[str], part: str) -> None:
    with pytest.raises(SwarmnetError, match=f"^DataFrame: {part}"):
        FrameTable(pd.DataFrame([[1, 2]], columns=columns))


@pytest.mark.parametrize(
    ("inputs", "outputs", "name"),
    [
        (["T", "T2"], ["h", "2h"], "d2h/dT2"),
        (["T2", "T"], ["2h", "h"], "d2h/dT2"),
        (["T", "p", "Tdp"], ["h", "2h"], "d2h/dTdp"),
        (["T", "dh/dT"], ["h"], "dh/dT"),
        (["T", "d2h/dT2"], ["h"], "d2h/dT2"),
        (["T", "p", "d2h/dpdT"], ["h"], "d2h/dpdT"),
        (["T", "sigma(h)"], ["h"], "sigma(h)"),
        (["T", "p"], ["h", "sigma(dh/dp)"], "sigma(dh/dp)"),
        (["c", "b/dc"], ["a", "a/db"], "da/db/dc"),
        (["T"], ["h", "dh/dT"], "dh/dT"),
        (["T", "T"], ["h"], "T"),
        (["T"], ["T"], "T"),
    ],
)
def test_names_that_two_columns_would_have_are_refused(
    inputs: list[str], outputs: list[str], name: str, tmp_path: Path
) -> None:
    words = re.escape(f"two columns would be called {name!r}")
    X, Y = np.ones((2, len(inputs))), np.ones((2, len(outputs)))
    with pytest.raises(SwarmnetError, match=words):
        swarmnet.MixedData(X, Y, inputs=inputs, outputs=outputs)
    net = swarmnet.Network((len(inputs), len(outputs)))
    units = Scaling.identity(net.d, net.k)
    model = swarmnet.FittedModel(net, np.ones(net.size), units, tuple(inputs), tuple(outputs))
    model.save(tmp_path / "model.json")
    with pytest.raises(SwarmnetError, match=rf"{words}|two of its names are the same"):
        swarmnet.load(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["T", "T2"], ["h"]),
        (["x", "x2", "2x"], ["y", "2y2"]),
        (["T", "sigma(T)"], ["h"]),
        (["dose", "density", "d"], ["dm/dt", "d2"]),
        (["T", "Td", "p", "dp"], ["h"]),
        (["dy/dx2"], ["y"]),
        (["d2h/dT"], ["h"]),
    ],
)
def test_names_that_only_look_alike_are_kept(inputs: list[str], outputs: list[str], tmp_path: Path) -> None:
    X, Y = np.ones((2, len(inputs))), np.ones((2, len(outputs)))
    assert swarmnet.MixedData(X, Y, inputs=inputs, outputs=outputs).d == len(inputs)
    net = swarmnet.Network((len(inputs), len(outputs)))
    units = Scaling.identity(net.d, net.k)
    swarmnet.FittedModel(net, np.ones(net.size), units, tuple(inputs), tuple(outputs)).save(
        tmp_path / "m.json"
    )
    assert swarmnet.load(tmp_path / "m.json").inputs == tuple(inputs)


def test_second_derivatives_of_one_name_are_not_written_as_one() -> None:
    net = swarmnet.Network((4, 1))
    model = swarmnet.FittedModel(
        net, np.ones(net.size), Scaling.identity(4, 1), ("T", "Td", "p", "dp"), ("h",)
    )
    assert len(model.table(np.ones((1, 4)), jacobian=True).columns) == 9
    with pytest.raises(SwarmnetError, match="two columns would be called 'd2h/dTddp'"):
        model.table(np.ones((1, 4)), hessian=True)


@pytest.mark.parametrize(
    "before",
    [
        "\ufeff",
        "\u200b",
        "\u2060",
        "\u00ad",
        "\u034f",
        "\ufe0f",
        "\u3164",
        "\u2800",
        "\u00a0",
        " \ufeff \u200d",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d"], ids=ascii)
def test_a_formula_behind_what_nobody_sees_is_a_formula(before: str, sign: str) -> None:
    with pytest.raises(SwarmnetError, match=f"begins with {re.escape(sign)}, which makes it a formula"):
        swarmnet.MixedData([[0.0]], [1.0], inputs=[f"{before}{sign}1+2"])
    name = f"{before}T{sign}"
    assert swarmnet.MixedData([[0.0]], [1.0], inputs=[name]).inputs == (name,)
