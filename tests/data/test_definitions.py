"""Columns that hold a number times an entry: what they mean, how they are read, and what is refused."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet import MixedData, SwarmnetError
from swarmnet.data.column_roles import long_roles_of, roles_of
from swarmnet.data.definitions import Meaning, meanings_of
from swarmnet.data.file_data import FileData
from swarmnet.data.readers import open_files
from tests.sharded import SMALL, long_of, written

FORCES = {"Fx": "-dE/dx", "Fz": "-dE/dz", "tq": "2 * -dM/dz"}


def forces(n: int = 700, sigmas: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The same entries of E and M at points (z, x): with the names of partials, and as `FORCES` has them."""
    rng = np.random.default_rng(0)
    z, x = rng.uniform(-1.0, 1.0, (2, n))
    columns = {"M": z * x, "E": np.sin(z) + x * z, "dE/dz": np.cos(z) + x, "dE/dx": z, "dM/dz": x}
    if sigmas:
        columns |= {"sigma(dE/dx)": 0.1 + x**2, "sigma(dM/dz)": 0.2 + z**2}
    seen = {name: np.where(rng.random(n) < 0.7, numbers, np.nan) for name, numbers in columns.items()}
    plain = pd.DataFrame({"z": z, "x": x} | seen)
    defined = plain.rename(
        columns={
            "dE/dx": "Fx",
            "dE/dz": "Fz",
            "dM/dz": "tq",
            "sigma(dE/dx)": "sigma(Fx)",
            "sigma(dM/dz)": "sigma(tq)",
        }
    )
    for name, factor in (("Fx", -1.0), ("Fz", -1.0), ("tq", -2.0), ("sigma(tq)", 2.0)):
        if name in defined:
            defined[name] *= factor
    return plain, defined


def assert_same(one: Any, other: Any) -> None:
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)


# What a formula means


@pytest.mark.parametrize(
    ("formula", "meaning"),
    [
        ("h", Meaning(1.0, "h", None)),
        ("h/1000", Meaning(1 / 1000, "h", None)),
        ("-dh/dp", Meaning(-1.0, "h", "p")),
        ("1000*dh/dT", Meaning(1000.0, "h", "T")),
        ("dh/dT/4.184", Meaning(1 / 4.184, "h", "T")),
        ("-(2*dg/dT)", Meaning(-2.0, "g", "T")),
        ("(1 + 2*3)/2**2 * h", Meaning(1.75, "h", None)),
        ("dh/dT * exp(log(3) - 1) * sqrt(4)", Meaning(math.exp(math.log(3) - 1) * 2, "h", "T")),
        ("-cp/2", Meaning(-1500.0, "h", "T")),
        ("dnew/dT", Meaning(1.0, "new", "T")),
        ("3*new", Meaning(3.0, "new", None)),
    ],
)
def test_a_formula_is_a_number_times_an_entry(formula: str, meaning: Meaning) -> None:
    define = {"cp": "3000*dh/dT", "c": formula, "slope": "dnew/dp"}
    assert meanings_of(define, ["cp", "c", "slope"], ["p", "T"], ["h", "g"])["c"] == meaning


def test_a_definition_may_be_for_others_alone() -> None:
    define = {"force": "-dE/dx", "kJ": "force/1000"}
    assert meanings_of(define, ["kJ"], ["x"], []) == {"kJ": Meaning(-1 / 1000, "E", "x")}


@pytest.mark.parametrize(
    ("define", "words"),
    [
        ({"c": "2*3"}, "of 'c' as '2*3': it is only a number"),
        ({"c": "0*h"}, "its factor is 0: it must be finite and not 0"),
        ({"c": "1e999*h"}, "its factor is inf"),
        ({"c": "h*(1e999 - 1e999)"}, "its factor is nan"),
        ({"c": "h/0"}, "its factor is no finite number"),
        ({"c": "log(-1)*h"}, "its factor is no finite number"),
        ({"c": "exp(1e4)*h"}, "its factor is no finite number"),
        ({"c": "(-2)**0.5*h"}, "its factor is no finite number"),
        ({"c": "hh"}, "unknown name 'hh': did you mean 'h'? the names are h, g, p, T"),
        ({"c": "2*cp", "cp": "dh/dT"}, "unknown name 'cp': did you mean 'p'? the names are h, g, p, T"),
        ({"c": "2*c"}, "it uses 'c', its own name: rename the column"),
        ({"dh/dT": "1000*dh/dT"}, "it uses 'dh/dT', its own name"),
        ({"c": "(h"}, "define= (--define) of 'c': column 3 of '(h': expected ')'"),
        (
            {"c": "h", "Cp": "dh/dT"},
            "names 'Cp', which is no column or target: did you mean 'cp'? there are c, cp",
        ),
    ],
)
def test_what_no_definition_can_mean_is_an_error(define: dict[str, str], words: str) -> None:
    present = ["c", "cp", *(name for name in define if name != "Cp")]
    with pytest.raises(SwarmnetError, match=re.escape(words)) as caught:
        meanings_of(define, list(dict.fromkeys(present)), ["p", "T"], ["h", "g"])
    assert str(caught.value).startswith("define= (--define) ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("define", [["Fx = -dE/dx"], "Fx = -dE/dx", {"Fx": 2.0}, {1: "h"}])
def test_definitions_map_names_to_formulas(define: Any) -> None:
    with pytest.raises(SwarmnetError, match="define= must map column names to formulas"):
        roles_of(["x", "y", "Fx"], define=define)


# Roles


def test_formulas_decide_roles_as_derivatives_do() -> None:
    roles = roles_of(["z", "x", "Fx", "sigma(Fx)", "Fz"], define={"Fx": "-dE/dx", "Fz": "-dE/dz"})
    assert (roles.inputs, roles.outputs) == (("z", "x"), ("E",))
    assert roles.entries == {"Fx": (0, 1), "Fz": (0, 0)}
    assert (roles.sigmas, roles.factors) == ({"sigma(Fx)": (0, 1)}, {"Fx": -1.0, "Fz": -1.0})
    assert roles_of(["x", "h_kJ", "dh/dx"], define={"h_kJ": "h/1000"}).entries == {
        "h_kJ": (0, None),
        "dh/dx": (0, 0),
    }
    assert roles_of(["T", "h_kJ"], ["T"], ["h"], {"h_kJ": "h/1000"}).entries == {"h_kJ": (0, None)}


def test_formulas_decide_roles_of_long_tables() -> None:
    columns = ["z", "x", "target", "value"]
    roles = long_roles_of(columns, ["Fz", "Fx", "dE/dx"], define={"Fx": "-dE/dx", "Fz": "-dE/dz"})
    assert (roles.inputs, roles.outputs) == (("z", "x"), ("E",))
    assert roles.entries == {"Fz": (0, 0), "Fx": (0, 1), "dE/dx": (0, 1)}


def test_definitions_of_what_is_left_out_are_left_out() -> None:
    roles = roles_of(["z", "x", "E", "M", "Fx", "tq"], ["x"], ["E"], {"Fx": "-dE/dx", "tq": "dM/dz"})
    assert (roles.entries, roles.ignored) == ({"E": (0, None), "Fx": (0, 0)}, ("z", "M", "tq"))


@pytest.mark.parametrize(
    ("columns", "inputs", "outputs", "define", "words"),
    [
        (["x", "y", "F", "dy/dx"], None, None, {"F": "-dy/dx"}, "columns 'dy/dx' and 'F' hold the same"),
        (["x", "y", "F", "G"], None, None, {"F": "-dy/dx", "G": "2*F"}, "columns 'F' and 'G' hold the same"),
        (["x", "y", "y_k"], None, None, {"y_k": "y/1000"}, "columns 'y' and 'y_k' hold the same"),
        (["x", "y", "F"], ["x"], ["y"], {"y": "dy/dx"}, "of 'y': this name has a meaning already"),
        (["T", "h", "F"], ["T"], ["h"], {"T": "dh/dF"}, "of 'T': this name has a meaning already"),
        (
            ["x", "y", "F"],
            None,
            None,
            {"y": "dE/dx", "F": "dy/dx"},
            "of 'y': this name has a meaning already",
        ),
        (["x", "y", "dy/dx"], None, None, {"dy/dx": "2*y"}, "of 'dy/dx': this name has a meaning already"),
        (["x", "y", "d2y/dx2"], None, None, {"d2y/dx2": "2*dy/dx"}, "of 'd2y/dx2': this name has a meaning"),
        (["x", "y", "sigma(y)"], None, None, {"sigma(y)": "dy/dx"}, "of 'sigma(y)': this name has a meaning"),
        (
            ["T", "h", "F"],
            ["T"],
            ["h"],
            {"F": "2*T"},
            "of 'F': 'T' is an input, but a formula needs an output",
        ),
        (
            ["T", "h", "F"],
            ["T"],
            ["h"],
            {"F": "dT/dh"},
            "column 'F' takes 'T' for an output and 'h' for an input",
        ),
        (["T", "h", "F"], ["T"], ["h"], {"F": "dE/dT"}, "column 'F' is the derivative of unknown name 'E'"),
        (
            ["T", "h", "F"],
            None,
            None,
            {"F": "dh/dt"},
            "'dh/dt' is a derivative with respect to unknown name 't'",
        ),
    ],
)
def test_definitions_that_contradict_others_are_errors(
    columns: list[str], inputs: Any, outputs: Any, define: dict[str, str], words: str
) -> None:
    words = (
        words.replace("'x' is no column", "this name has a meaning already") if "'x' is" in words else words
    )
    with pytest.raises(SwarmnetError, match=re.escape(words)):
        roles_of(columns, inputs, outputs, define)


# Reading


def test_a_defined_column_is_read_as_the_plain_partial() -> None:
    plain, defined = forces()
    read = MixedData.from_frame(defined, define=FORCES)
    assert (read.inputs, read.outputs) == (("z", "x"), ("M", "E"))
    assert_same(read, MixedData.from_frame(plain))


@pytest.mark.parametrize("kind", ["wide", "long", "parquet"])
def test_files_are_read_as_tables_in_memory(tmp_path: Path, kind: str) -> None:
    plain, defined = forces(sigmas=kind != "long")
    names = {"z": "x1", "x": "x2"}
    define = {"Fx": "-dE/dx2", "Fz": "-dE/dx1", "tq": "2 * -dM/dx1"}
    plain = plain.rename(
        columns=lambda name: re.sub(r"/d(\w)", lambda m: f"/d{names[m[1]]}", names.get(name, name))
    )
    path = written(tmp_path, defined.rename(columns=names), kind)
    outputs = ["E", "M"]
    held = (swarmnet.read_parquet if kind == "parquet" else swarmnet.read_csv)(
        path, None, outputs, define=define
    )
    expected = MixedData.from_frame(long_of(plain) if kind == "long" else plain, None, outputs)
    assert_same(held, expected)
    pieces = open_files(path, None, outputs, SMALL, define=define)
    assert isinstance(pieces, FileData)
    gathered = pieces.gathered()
    assert gathered is not None
    assert_same(*(data.take(data.entries_per_row > 0) for data in (gathered, held)))


def test_data_that_a_limit_leaves_in_files_are_read_by_formulas(tmp_path: Path) -> None:
    plain, defined = forces(80_000, sigmas=False)
    defined.to_csv(tmp_path / "forces.csv", index=False)
    data = swarmnet.read_csv(tmp_path / "forces.csv", memory_limit="295MB", define=FORCES)
    assert isinstance(data, FileData)
    assert_same_moments(data.statistics, MixedData.from_frame(plain).statistics)


def assert_same_moments(one: Any, other: Any) -> None:
    for name in ("X", "Y", "J"):
        found, expected = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.deviation, expected.deviation, rtol=1e-9)


def test_a_long_table_may_have_both_names_of_an_entry() -> None:
    frame = pd.DataFrame(
        {
            "x": [0.0, 0.0, 1.0],
            "target": ["F", "dy/dx", "y"],
            "value": [-4.0, 2.0, 1.0],
            "sigma": [0.2, 0.1, 0.3],
        }
    )
    data = MixedData.from_frame(frame, define={"F": "-2*dy/dx"})
    np.testing.assert_array_equal(data.J[:, 0, 0], [2.0, 2.0, np.nan])
    assert data.J_sigma is not None and data.Y_sigma is not None
    np.testing.assert_array_equal(data.J_sigma[:, 0, 0], [0.1, 0.1, np.nan])
    np.testing.assert_array_equal(data.Y_sigma[:, 0], [np.nan, np.nan, 0.3])


def test_cells_are_named_by_their_column(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    for cell, sigma, words in [
        ("two", "1", "line 3, column 'F': 'two' is not a number"),
        ("2", "-1", "line 3, column 'sigma(F)': the cell is not positive"),
        (
            "1e300",
            "1",
            "line 3, column 'F': the cell is too large for a double, divided by its formula's factor",
        ),
        ("1", "1e300", "line 3, column 'sigma(F)': the cell is too large for a double"),
    ]:
        path.write_text(f"x,y,F,sigma(F)\n0,1,1,1\n1,2,{cell},{sigma}\n")
        with pytest.raises(SwarmnetError, match=re.escape(words)):
            swarmnet.read_csv(path, define={"F": "-1e-100*dy/dx"})


def test_a_model_of_defined_columns_is_that_of_the_plain_ones() -> None:
    plain, defined = forces(40)
    options: dict[str, Any] = {"hidden": (4,), "trainer": "lbfgs", "iterations": 20}
    one = swarmnet.fit(MixedData.from_frame(plain), **options)
    other = swarmnet.fit(MixedData.from_frame(defined, define=FORCES), **options)
    assert one.theta.tobytes() == other.theta.tobytes()
    points = plain[["z", "x"]]
    np.testing.assert_array_equal(one.jacobian(points), other.jacobian(points))
