"""Quantities: values of formulas, their derivatives, and how tables are read by them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from swarmnet import MixedData, SwarmnetError, read_csv
from swarmnet.data.definitions import quantity_of
from swarmnet.data.quantities import Quantity

INPUTS, OUTPUTS = ("p", "T"), ("h", "g")
FORMULAS = [
    "-(dh/dp)/(dh/dT)",
    "h + g*T",
    "g - h - p",
    "-T*d2g/dT2",
    "d2g/dTdp*dh/dp - h/g",
    "exp(h) + log(g) + sqrt(dg/dp)",
    "sin(h) - cos(g)*tan(dg/dT) + tanh(d2h/dp2)",
    "h**2 + h**0.5 + 2**g + h**g + p**T",
    "1/(dg/dp)",
    "1/sqrt(-d2g/dp2*-1 - (d2g/dTdp)**2/(d2g/dT2 + 3))",
    "(h - 3)/(-(g))",
]


def quantity(formula: str, define: dict[str, str] | None = None) -> Quantity:
    return quantity_of(formula, define or {}, INPUTS, OUTPUTS)


def given(q: Quantity, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0.5, 2.0, (7, 2)), rng.uniform(0.6, 1.4, (len(q.arguments), 7))


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("scaled", [False, True])
def test_derivatives_of_a_formula_agree_with_complex_step(formula: str, scaled: bool) -> None:
    q = quantity(formula)
    X, arguments = given(q)
    if scaled:
        q = q.rescaled(
            np.array([0.1, 0.2]), np.array([1.1, 0.9]), np.array([0.3, 0.1]), np.array([1.2, 0.8]), 3.0
        )
    value, slopes = q.evaluate(X, arguments)
    assert np.isfinite(value).all()
    for number in range(len(arguments)):
        moved = arguments.astype(complex)
        moved[number] += 1e-30j
        expected = q.evaluate(X, moved)[0].imag / 1e-30
        np.testing.assert_allclose(slopes[number], expected, rtol=1e-12, atol=1e-12)


def test_a_formula_has_the_value_of_its_text() -> None:
    q = quantity("-T*d2g/dT2 + 2*mu**2 - h", {"mu": "-(dh/dp)/(dh/dT)"})
    assert q.arguments == ((0, ()), (0, (0,)), (0, (1,)), (1, (1, 1)))
    X, (h, h_p, h_T, g_TT) = given(q)
    value, _ = q.evaluate(X, np.array([h, h_p, h_T, g_TT]))
    np.testing.assert_allclose(value, -X[:, 1] * g_TT + 2 * (h_p / h_T) ** 2 - h, rtol=1e-14)


def test_a_scaled_quantity_takes_scaled_numbers() -> None:
    q = quantity("T*d2g/dTdp - h/p")
    X, arguments = given(q)
    x_offset, x_scale = np.array([3.0, -2.0]), np.array([2.0, 5.0])
    y_offset, y_scale = np.array([10.0, 20.0]), np.array([7.0, 11.0])
    value, _ = q.evaluate(X, arguments)
    own = np.array([(arguments[0] - 10.0) / 7.0, arguments[1] * (2.0 * 5.0 / 11.0)])
    scaled, _ = q.rescaled(x_offset, x_scale, y_offset, y_scale, 4.0).evaluate((X - x_offset) / x_scale, own)
    np.testing.assert_allclose(4.0 * scaled, value, rtol=1e-13)


def test_where_a_formula_is_not_defined_it_is_not_finite() -> None:
    value, _ = quantity("log(h)").evaluate(np.zeros((2, 2)), np.array([[-1.0, 1.0]]))
    assert np.isnan(value[0]) and value[1] == 0.0


def test_the_extended_logarithm_rises_towards_positive_numbers() -> None:
    q = quantity("log(h)")
    h = np.array([-1e6, -3.0, -1.0, -1e-9, 0.0, 1e-9, 2.0])
    X, step = np.zeros((len(h), 2)), 1e-6 * np.maximum(np.abs(h), 1e-9)
    value, (slope,) = q.evaluate(X, h[None], extended=True)
    np.testing.assert_array_equal(value[5:], np.log(h[5:]))
    assert (np.diff(value[:5]) > 0).all() and value[4] < value[5] and (slope > 0).all()
    above, below = (q.evaluate(X, (h + move)[None], extended=True)[0] for move in (step, -step))
    smooth = [0, 1, 2, 5, 6]  # not about the jump
    np.testing.assert_allclose(((above - below) / (2 * step))[smooth], slope[smooth], rtol=1e-4)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("2*T", "it has no output and no derivative of one"),
        ("h*q", "'q' is no input or output: there are p, T, h, g"),
        ("df/dT", "'f' is no output: there are h, g"),
        ("h*(", "column 4 of 'h*(': expected a number, a name or '('"),
        ("__import__('os')", "names with other characters go in back quotes"),
    ],
)
def test_what_is_no_quantity_is_an_error(formula: str, words: str) -> None:
    with pytest.raises(SwarmnetError) as caught:
        quantity(formula)
    assert words in str(caught.value)


def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(rng.uniform(1.0, 2.0, (6, 5)), columns=["T", "p", "v", "cp", "d2G/dTdp"])
    frame["sigma(cp)"] = 0.25
    frame.loc[2, "cp"] = np.nan
    return frame


def test_a_table_is_read_by_formulas() -> None:
    frame = table()
    data = MixedData.from_frame(frame, define={"v": "dG/dp", "cp": "-T*d2G/dT2"})
    assert (data.inputs, data.outputs, data.n_derivatives, data.n_quantities) == (("T", "p"), ("G",), 6, 11)
    assert [q.name for q in data.quantities] == ["d2G/dTdp", "cp"]
    np.testing.assert_array_equal(data.J[:, 0, 1], frame["v"])
    np.testing.assert_array_equal(data.Q, frame[["d2G/dTdp", "cp"]])
    assert data.Q_sigma is not None
    np.testing.assert_array_equal(np.isnan(data.Q_sigma), [[True, i == 2] for i in range(6)])
    assert data.sigma_rms == {"cp": 0.25}


def test_a_long_table_is_read_by_formulas() -> None:
    rows = [(1.0, 2.0, "v", 3.0, 0.1), (1.5, 2.0, "d2G/dp2", 4.0, np.nan), (1.0, 2.5, "w", 5.0, 0.2)]
    frame = pd.DataFrame(rows, columns=["T", "p", "target", "value", "sigma"])
    data = MixedData.from_frame(frame, define={"v": "2*dG/dp", "w": "dG/dp/dG/dT*v"})
    assert data.n_quantities == 2 and data.J[0, 0, 1] == 1.5
    assert {q.name: q.arguments for q in data.quantities} == {
        "d2G/dp2": ((0, (1, 1)),),
        "w": ((0, (1,)), (0, (0,))),
    }
    assert np.nanmax(data.Q) == 5.0 and data.Q_sigma is not None and np.nansum(data.Q_sigma) == 0.2


def test_a_bad_formula_of_a_long_table_is_found_in_its_line(tmp_path: Path) -> None:
    for target, define, words in (
        ("d2h/dT2", {}, "as a formula: 'h' is no output: there are g"),
        ("w", {"w": "d2h/dT2 + g"}, "as a formula: 'h' is no output: there are g"),
        ("d2h/dTdTdT", {}, "can be read as more than one derivative"),
    ):
        inputs = ["T", "TdT"] if "dTdT" in target else ["T"]
        (tmp_path / "d.csv").write_text(f"T,p,TdT,target,value\n1,2,3,g,4\n1,2,3,{target},5\n")
        with pytest.raises(SwarmnetError) as caught:
            read_csv(tmp_path / "d.csv", inputs, ["g"], define=define)
        assert f"d.csv, line 3, column 'target': target {target!r} {words}" in str(caught.value)


def test_rows_columns_and_values_can_be_selected() -> None:
    data = MixedData.from_frame(table(), ["T", "p"], ["G"], define={"v": "dG/dp", "cp": "-T*d2G/dT2"})
    other = data.select(["p", "T"], ["G"])
    X, arguments = data.X, np.random.default_rng(0).normal(size=(1, data.n))
    for mine, theirs in zip(data.quantities, other.quantities, strict=True):
        np.testing.assert_array_equal(
            mine.evaluate(X, arguments)[0], theirs.evaluate(X[:, ::-1], arguments)[0]
        )
    assert data.take([0, 2]).n_quantities == 3
    again = MixedData.from_frame(data.to_frame(), define={"cp": "-T*d2G/dT2"})
    np.testing.assert_array_equal(again.Q, data.Q)


def test_names_of_columns_that_are_left_out_leave_the_formula_out() -> None:
    frame = table().rename(columns={"v": "w"})
    data = MixedData.from_frame(frame, ["T"], ["G"], define={"cp": "-T*d2G/dT2", "w": "dG/dT*p"})
    assert [q.name for q in data.quantities] == ["cp"]


def test_rows_are_put_together_by_name() -> None:
    define = {"v": "dG/dp", "cp": "-T*d2G/dT2", "mu": "dG/dT*dG/dp"}
    first = MixedData.from_frame(table(), define={name: define[name] for name in ("v", "cp")})
    frame = table().rename(columns={"d2G/dTdp": "mu"}).drop(columns="sigma(cp)")[::-1].assign(G=1.0)
    second = MixedData.from_frame(frame, ["p", "T"], ["G"], define=define)
    second = replace(second, weights=np.arange(1.0, 7.0), Y_sigma=np.full((6, 1), 0.5))
    data = MixedData.concat([first, second])
    assert (data.n, data.inputs, data.outputs) == (12, ("T", "p"), ("G",))
    assert [q.name for q in data.quantities] == ["d2G/dTdp", "cp", "mu"] and data.define == define
    assert (data.n_values, data.n_derivatives) == (6, 12)
    np.testing.assert_array_equal(data.X[6:, ::-1], second.X)
    np.testing.assert_array_equal(data.J[:, 0], np.concatenate([first.J[:, 0], second.J[:, 0, ::-1]]))
    np.testing.assert_array_equal(data.Q[6:, 1], second.Q[:, [q.name for q in second.quantities].index("cp")])
    assert np.isnan(data.Q[:6, 2]).all() and np.isnan(data.Q[6:, 0]).all()
    assert data.Q_sigma is not None and np.isfinite(data.Q_sigma).sum() == 5
    assert data.Y_sigma is not None and np.nansum(data.Y_sigma) == 3.0 and data.J_sigma is None
    np.testing.assert_array_equal(data.row_weights, [1] * 6 + [1, 2, 3, 4, 5, 6])
    again = MixedData.concat([data.take(slice(0, 6)), data.take(slice(6, 12))])
    np.testing.assert_array_equal(again.Q, data.Q)
    plain = MixedData.concat([MixedData([[0.0]], [1.0]), MixedData([[1.0]], [2.0])])
    assert plain.weights is None and plain.Q.shape == (2, 0) and plain.Y.tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize(
    ("define", "names", "words"),
    [
        ({"cp": "-T*d2G/dT2", "v": "2*dG/dp"}, {}, "'v' is 'dG/dp' in one part and '2*dG/dp' in another"),
        ({"cp": "T*d2G/dT2", "v": "dG/dp"}, {}, "'cp' is '-T*d2G/dT2' in one part and 'T*d2G/dT2'"),
        ({"cp": "-T*d2F/dT2", "v": "dF/dp"}, {"d2G/dTdp": "d2F/dTdp"}, "outputs are F, where G are needed"),
    ],
)
def test_rows_of_other_columns_are_not_put_together(
    define: dict[str, str], names: dict[str, str], words: str
) -> None:
    first = MixedData.from_frame(table(), define={"v": "dG/dp", "cp": "-T*d2G/dT2"})
    with pytest.raises(SwarmnetError) as caught:
        MixedData.concat([first, MixedData.from_frame(table().rename(columns=names), define=define)])
    assert words in str(caught.value)
    for wrong in ([], [first, table()]):
        with pytest.raises(SwarmnetError, match="concat takes a list of MixedData"):
            MixedData.concat(wrong)  # type: ignore[arg-type]
