"""Units of columns: recognised, kept apart from the names, and kept in the model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.data.units import split_unit, with_unit
from swarmnet.errors import SwarmnetError, SwarmnetWarning

HEADER = 'T [K],"p (bar, abs)",h [J/kg],dh/dT [J/kg/K],sigma(h) [J/kg]'


def written(folder: Path, header: str = HEADER, name: str = "data.csv") -> Path:
    rows = "".join(f"{300 + i},{(7 * i) % 12},{i * 2.5},{2.5},1\n" for i in range(12))
    path = folder / name
    path.write_text(f"{header}\n{rows}")
    return path


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("T [K]", ("T", "K")),
        ("T[K]", ("T", "K")),
        ("p (bar, abs)", ("p", "bar, abs")),
        ("flow rate (m³/s)", ("flow rate", "m³/s")),
        ("h (kJ/(kg K))", ("h", "kJ/(kg K)")),
        ("cp (J kg^-1 K^-1)", ("cp", "J kg^-1 K^-1")),
        ("phi [-]", ("phi", "-")),
        ("x (%)", ("x", "%")),
        ("T (°C)", ("T", "°C")),
        ("E [Hartree]", ("E", "Hartree")),
        ("sigma(h) [J]", ("sigma(h)", "J")),
        ("beta (1/K)", ("beta", "1/K")),
    ],
)
def test_names_with_units(name: str, parts: tuple[str, str]) -> None:
    assert split_unit(name) == parts
    assert with_unit(name, parts[1]) == name
    assert with_unit(parts[0], parts[1]) == f"{parts[0]} [{parts[1]}]"


@pytest.mark.parametrize(
    "name",
    ["T", "f(x)", "sigma(h)", "x (left)", "x [0]", "[K]", "(K)", "d(h)/d(T)", "x (1)", "p (guess)"],
)
def test_names_without_units(name: str) -> None:
    assert split_unit(name) is None


@pytest.mark.parametrize("roles", [{}, {"inputs": ["p", "T"], "outputs": "h"}])
def test_columns_are_called_without_their_units(tmp_path: Path, roles: dict[str, object]) -> None:
    data = swarmnet.read_csv(written(tmp_path), **(roles or {"inputs": ["p", "T"]}))
    assert (data.inputs, data.outputs) == (("p", "T"), ("h",))
    assert data.units == {"T": "K", "p": "bar, abs", "h": "J/kg", "dh/dT": "J/kg/K"}
    assert data.J[:, 0, 1].tolist() == 12 * [2.5] and data.Y_sigma is not None


def test_a_comma_in_brackets_needs_no_quotes(tmp_path: Path) -> None:
    data = swarmnet.read_csv(written(tmp_path, HEADER.replace('"', "")), ["p", "T"])
    assert (data.inputs, data.units["p"]) == (("p", "T"), "bar, abs")


def test_a_column_may_be_asked_for_with_its_unit(tmp_path: Path) -> None:
    data = swarmnet.read_csv(written(tmp_path), ["p (bar, abs)", "T"], ["h [J/kg]"])
    assert (data.inputs, data.outputs) == (("p (bar, abs)", "T"), ("h [J/kg]",))
    assert data.J[:, 0, 1].tolist() == 12 * [2.5] and data.Y_sigma is not None


def test_derivatives_of_names_with_units(tmp_path: Path) -> None:
    data = swarmnet.read_csv(
        written(tmp_path, "T [K],x,h [J],dh [J]/dT [K],sigma(dh [J]/dT [K])"), ["x", "T"]
    )
    assert data.outputs == ("h",) and data.J[:, 0, 1].tolist() == 12 * [2.5]
    assert data.units == {"T": "K", "h": "J"}


def test_names_that_would_be_the_same_keep_their_units(tmp_path: Path) -> None:
    data = swarmnet.read_csv(written(tmp_path, "T [K],T [C],h (T),z,t"), ["T [K]", "t"], ["h (T)"])
    assert data.inputs == ("T [K]", "t") and data.outputs == ("h (T)",)


def test_units_of_a_frame() -> None:
    frame = pd.DataFrame({"x2 [m]": [1.0, 2.0], "x1 (s)": [3.0, 4.0], "y [K]": [5.0, 6.0]})
    data = swarmnet.MixedData.from_frame(frame)
    assert (data.inputs, data.units) == (("x2", "x1"), {"x2": "m", "x1": "s", "y": "K"})
    assert data.take([0]).units == data.values_only().units == data.units
    assert swarmnet.MixedData.concat([data, data]).units == data.units
    other = swarmnet.MixedData.from_frame(frame.rename(columns={"y [K]": "y [C]"}))
    with pytest.raises(SwarmnetError, match="column 'y' is in C, where K is known"):
        swarmnet.MixedData.concat([data, other])


@pytest.mark.parametrize(
    ("units", "words"),
    [({"z": "K"}, "unit of 'z', which is no column"), ({"x": "a\nb"}, "the unit of 'x' must be")],
)
def test_units_that_are_refused(units: dict[str, str], words: str) -> None:
    with pytest.raises(SwarmnetError, match=words):
        swarmnet.MixedData([[1.0]], [2.0], inputs=["x"], units=units)


def test_a_model_keeps_units_and_warns_of_others(tmp_path: Path) -> None:
    data = swarmnet.read_csv(written(tmp_path), ["p", "T"])
    swarmnet.fit(data, hidden=(2,), trainer="lbfgs", iterations=2).save(tmp_path / "m.json")
    model = swarmnet.load(tmp_path / "m.json")
    assert model.units == data.units and model.inputs == ("p", "T")
    frame = pd.DataFrame({"T [K]": [301.5], "p": [2.0]})
    np.testing.assert_array_equal(model.predict(frame), model.predict([[2.0, 301.5]]))
    with pytest.warns(SwarmnetWarning, match="T is in °C, not K"):
        model.predict(frame.rename(columns={"T [K]": "T [°C]"}))
    celsius = swarmnet.read_csv(written(tmp_path, HEADER.replace("[K]", "[°C]")), ["p", "T"])
    with pytest.warns(SwarmnetWarning, match="other units than the model's.*T is in °C, not K"):
        swarmnet.evaluate(model, celsius)


def test_a_model_file_with_a_bad_unit_is_refused(tmp_path: Path) -> None:
    data = swarmnet.read_csv(written(tmp_path), ["p", "T"])
    swarmnet.fit(data, hidden=(2,), trainer="lbfgs", iterations=2).save(tmp_path / "m.json")
    document = json.loads((tmp_path / "m.json").read_text())
    for units in ({"T": "\n"}, {"T": 3}, ["T"], {"\x1b": "K"}):
        (tmp_path / "m.json").write_text(json.dumps(document | {"units": units}))
        with pytest.raises(SwarmnetError, match="damaged model"):
            swarmnet.load(tmp_path / "m.json")
    del document["units"]
    (tmp_path / "m.json").write_text(json.dumps(document))
    assert swarmnet.load(tmp_path / "m.json").units == {}


def test_a_line_of_units_is_one_only_above_numbers(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("T,p,h\nK,,J/kg\n1,2,3\n4,5,6\n")
    with pytest.warns(SwarmnetWarning, match=r"d\.csv: read with line 2 as units$"):
        data = swarmnet.read_csv(path, ["p", "T"], "h")
    assert data.units == {"T": "K", "h": "J/kg"} and data.X.tolist() == [[2.0, 1.0], [5.0, 4.0]]
    path.write_text("T,p,h\nK,bar,J/kg\n1,2,3\n4,x,6\n")
    with pytest.raises(SwarmnetError, match="line 2, column 'p': 'bar' is not a number"):
        swarmnet.read_csv(path, ["p", "T"], "h")
