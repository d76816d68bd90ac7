import codecs
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import swarmnet.data.readers
from swarmnet.data.csv_table import CsvTable
from swarmnet.data.mixed_data import MixedData, from_table
from swarmnet.data.readers import read, read_csv, read_parquet, read_query
from swarmnet.errors import SwarmnetError

NAN = np.nan
WIDE = """\
T,p,h,dh/dT,dh/dp,sigma(h)
300,1e5,112653.7,,,5
300,2e5,,4180.5,,
310,2e5,,,0.001,
"""
LONG = """\
T,p,target,value,sigma
300,1e5,h,112653.7,5
300,2e5,dh/dT,4180.5,
310,2e5,dh/dp,0.001,
"""


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def assert_same(one: MixedData, other: MixedData) -> None:
    assert (one.inputs, one.outputs) == (other.inputs, other.outputs)
    for name in ("X", "Y", "J", "Y_sigma", "J_sigma"):
        a, b = getattr(one, name), getattr(other, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_array_equal(a, b, err_msg=name)


def water() -> MixedData:
    return MixedData(
        X=[[300, 1e5], [300, 2e5], [310, 2e5]],
        Y=[112653.7, NAN, NAN],
        J=[[NAN, NAN], [4180.5, NAN], [NAN, 0.001]],
        Y_sigma=[5, NAN, NAN],
        inputs=["T", "p"],
        outputs="h",
    )


Reader = Callable[..., MixedData]


def checked(path: Path, **roles: Any) -> MixedData:
    """Read every cell with the csv module."""
    return from_table(CsvTable(path, checked=True), **roles)


@pytest.fixture(params=[read_csv, checked], ids=["fast", "checked"])
def either(request: pytest.FixtureRequest) -> Any:
    """Every reading must be the same whether pandas or the csv module does it."""
    return request.param


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
def test_both_forms_give_the_same_data(either: Reader, tmp_path: Path, text: str) -> None:
    assert_same(either(written(tmp_path, text)), water())


@pytest.mark.parametrize("text", [WIDE, LONG], ids=["wide", "long"])
@pytest.mark.parametrize(
    "dressed",
    [
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\n\n \t\n").encode(),
        lambda text: ("\n \n" + text).encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: text.replace(",", " ,").encode(),
        lambda text: "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()
        ).encode(),
        lambda text: "\n".join(
            ", ".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()
        ).encode(),
        lambda text: text.replace(",,", ",NaN,").replace(",,", ",nan,").encode(),
    ],
    ids=[
        "byte order mark",
        "CRLF",
        "CR",
        "blank lines",
        "blank lines first",
        "no last newline",
        "spaces before",
        "spaces behind",
        "quoted",
        "quoted behind spaces",
        "NaN",
    ],
)
def test_what_does_not_matter(either: Reader, tmp_path: Path, text: str, dressed: object) -> None:
    assert callable(dressed)
    assert_same(either(written(tmp_path, dressed(text))), water())


@pytest.mark.parametrize("nan", ["nan", "NaN", "NAN", "nAn", " NaN ", "-nan"])
def test_every_spelling_of_nan_is_not_observed(either: Reader, tmp_path: Path, nan: str) -> None:
    data = either(written(tmp_path, f"x,y\n0,1\n1,{nan}\n"))
    np.testing.assert_array_equal(data.Y, [[1.0], [NAN]])


def test_names_with_commas_and_other_alphabets(either: Reader, tmp_path: Path) -> None:
    text = '"T, in K",größe,"dgröße/dT, in K"\n1,2,3\n'
    data = either(written(tmp_path, text))
    assert (data.inputs, data.outputs) == (("T, in K",), ("größe",))
    assert data.J.tolist() == [[[3.0]]]


def test_a_name_may_be_a_str(tmp_path: Path) -> None:
    assert_same(read_csv(str(written(tmp_path, WIDE))), water())


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2**63, 5000).view(np.float64)
    numbers = numbers[np.isfinite(numbers)]
    longer = [f"{x:.30g}" for x in rng.normal(size=1000)] + ["4.9e-324", "2.2250738585072011e-308"]
    texts = [*map(repr, numbers.tolist()), *longer]
    data = read_csv(written(tmp_path, "\n".join(["x,y", *(f"{t},{t}" for t in texts)])))
    exact = [float(t) for t in texts]
    assert data.X[:, 0].tolist() == exact
    assert data.Y[:, 0].tolist() == exact


def test_a_frames_csv_comes_back_exactly(either: Reader, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    entries = np.where(rng.random((50, 3)) < 0.5, rng.normal(size=(50, 3)), NAN)
    sigma = np.where(np.isnan(entries), NAN, rng.random((50, 3)))
    data = MixedData(
        rng.normal(size=(50, 2)),
        entries[:, 0],
        entries[:, 1:],
        sigma[:, 0],
        sigma[:, 1:],
    )
    path = tmp_path / "data.csv"
    data.to_frame().to_csv(path, index=False)
    assert_same(either(path), data)


def test_columns_left_out_may_hold_anything(either: Reader, tmp_path: Path) -> None:
    text = 'T,note,h\n1,"a, ""b""\nc",2\n3,true,4\n'
    data = either(written(tmp_path, text), inputs="T", outputs=["h"])
    assert_same(data, MixedData([[1.0], [3.0]], [2.0, 4.0], inputs="T", outputs="h"))


def test_long_columns_left_out_may_hold_anything(either: Reader, tmp_path: Path) -> None:
    text = "when,T,value,target\n2024-01-01,1,5,h\nnever,2,6,dh/dT\n"
    data = either(written(tmp_path, text), inputs=["T"])
    assert_same(data, MixedData([[1], [2]], [5, NAN], [[NAN], [6.0]], inputs="T", outputs="h"))


def test_target_and_value_may_be_data_columns(tmp_path: Path) -> None:
    path = written(tmp_path, "target,value\n1,2\n")
    data = read_csv(path, inputs="value", outputs="target")
    assert_same(data, MixedData([[2.0]], [1.0], inputs="value", outputs="target"))


def test_a_sigma_without_its_entry_does_no_harm(either: Reader, tmp_path: Path) -> None:
    data = either(written(tmp_path, "x,y,sigma(y)\n0,1,0.1\n1,,2\n2,,\n"))
    np.testing.assert_array_equal(data.Y_sigma, [[0.1], [NAN], [NAN]])


@pytest.mark.parametrize("sigma", ["0", "-1"])
def test_a_sigma_that_is_none_is_refused_even_without_its_entry(
    either: Reader, tmp_path: Path, sigma: str
) -> None:
    path = written(tmp_path, f"x,y,sigma(y)\n0,1,0.1\n1,,{sigma}\n")
    with pytest.raises(SwarmnetError, match=r"line 3, column 'sigma\(y\)'.* not positive"):
        either(path)


def test_slopes_alone_are_data(tmp_path: Path) -> None:
    data = read_csv(written(tmp_path, "x1,x2,dy/dx1,dy/dx2\n0,0,1,2\n"))
    assert (data.n_values, data.n_derivatives, data.outputs) == (0, 2, ("y",))


ROLE_ERRORS = [
    (
        "T,h\n1,2\n",
        {},
        "data.csv: column 'T' could be an input or an output: say which with inputs=",
    ),
    ("x,y,d2y/dz2\n1,2,3\n", {}, "data.csv: column 'd2y/dz2' is a second derivative with respect"),
    ("x,y,dy/dz\n1,2,3\n", {}, "data.csv: column 'dy/dz' is a derivative with respect to unknown"),
    ("x,y\n1,2\n", {"inputs": ["z"]}, "data.csv: inputs= names 'z', which is no column"),
    ("T,target,value\n1,h,2\n", {}, "data.csv: column 'T' could be an input or not: say which"),
    ("x,y\n1,\n2,\n", {}, "data.csv: there are no entries"),
]
CELL_ERRORS = [
    ("x,y\n1,2\n\n3,abc\n", "line 4, column 'y': 'abc' is not a number: correct it, or leave the"),
    ("x,y\n1,2\n3,-\n", "line 3, column 'y': '-' is not a number"),
    ("x,y\n1,2\n3,#DIV/0!\n", "line 3, column 'y': '#DIV/0!' is not a number"),
    ("x,y\n1,2\n3,5.687-30\n", "line 3, column 'y': '5.687-30' is not a number"),
    ("x,y\na,bc\nde,2\n", "line 2, column 'x': 'a' is not a number, nor is any other cell of this column"),
    ("x,y\n1,true\n3,false\n", "line 2, column 'y': 'true' is not a number"),
    ("x,y\n1,\n3,True\n", "line 3, column 'y': 'True' is not a number"),
    ("x,y\n1,1_000\n", "line 2, column 'y': '1_000' is not a number"),
    ("x,y\n2024-01-01,1\n", "line 2, column 'x': '2024-01-01' is not a number"),
    ('x,y\n1,"2,5"\n', "line 2, column 'y': '2,5' is not a number"),
    ('x,note,y\n1,"a\nb",2\n3,c,x\n', "line 4, column 'y': 'x' is not a number"),
    ("x,y\n1," + "z" * 1000 + "\n", f"line 2, column 'y': '{'z' * 37}...' is not a number"),
    ("x,y\n1,2\n3,inf\n", "line 3, column 'y': the cell is infinite or too large"),
    ("x,y\n1,2\n-1e400,3\n", "line 3, column 'x': the cell is infinite or too large"),
    ("x,y\n1,2\n,3\n", "line 3, column 'x': the cell is empty: every row needs its inputs"),
    ("x,y\n1,2\nNaN,3\n", "line 3, column 'x': the cell is empty: every row needs its inputs"),
    ("x,y,sigma(y)\n1,2,1\n1,2,0\n", "line 3, column 'sigma(y)': the cell is not positive"),
    ("x,y,sigma(y)\n1,2,-1\n", "line 2, column 'sigma(y)': the cell is not positive"),
    ("x,y,sigma(y)\n1,2,inf\n", "line 2, column 'sigma(y)': the cell is infinite"),
    ("x,y,sigma(y)\n1,2,big\n", "line 2, column 'sigma(y)': 'big' is not a number"),
    ("x,target,value\n1,y,2\n\n1,,3\n", "line 4, column 'target': the cell is empty"),
    ("x,target,value\n1,y,2\n1,nan,3\n", "line 3, column 'target': the cell is empty"),
    ("x,target,value\n1,y,2\n1,y,\n", "line 3, column 'value': the cell is empty"),
    ("x,target,value\n1,y,2\n1,y,NaN\n", "line 3, column 'value': the cell is empty"),
    ("x,target,value\n1,y,2\n,y,1\n", "line 3, column 'x': the cell is empty"),
    ("x,target,value\n1,y,2\n1,y,yes\n", "line 3, column 'value': 'yes' is not a number"),
    ("x,target,value,sigma\n1,y,2,\n1,y,2,0\n", "line 3, column 'sigma': the cell is not positive"),
    ("x,target,value\n1,dy/dx,2\n1,z,2\n", "line 3, column 'target': target 'z' is no output"),
    (
        "x,target,value\n1,denthalpy/dx,2\n1,enthalpie,2\n",
        "line 3, column 'target': target 'enthalpie' is no output: did you mean 'enthalpy'?",
    ),
    (
        "x,target,value\n1,y,2\n1,dy/dz,2\n",
        "line 3, column 'target': target 'dy/dz' is a derivative with respect to unknown name 'z'",
    ),
    ("x,target,value\n1,d2y/dz2,2\n", "line 2, column 'target': target 'd2y/dz2' is a second"),
    ("x,target,value\n1,0.5,2\n", "line 2, column 'target': target '0.5' is a number, not a name"),
]
SHAPE_ERRORS: list[tuple[str | bytes, str]] = [
    ("x,y\n1,2\n\n3\n", "line 4: this row has 1 of 2 fields"),
    ("x,y\n1,2\n3,4,5\n", "line 3: this row has 3 of 2 fields"),
    ("x,y\n1,2,\n3,4,5\n", "line 3: there is a cell behind the last column that has a name"),
    ("x,y\n1,2,3\n3,4,5\n", "line 2: this row has 3 of 2 fields"),
    ("x,y,,\n1,2,,\n3,4,,5\n", "line 3: there is a cell behind the last column"),
    ('x,y\n"1",2\n3\n', "line 3: this row has 1 of 2 fields"),
    ('x,y\n1,2\n"3,4"\n', "line 3: this row has 1 of 2 fields"),
    ('x,y\n1,2\n3,"4\n', "line 3: the quotes are wrong (unexpected end of data)"),
    ('x,y\n1,2\n3,"4"5\n6,7\n', "line 3: the quotes are wrong"),
    ("x,y,x\n1,2,3\n", "line 1: column 'x' is there twice"),
    ("x, x\n1,2\n", "line 1: column 'x' is there twice"),
    ("\nx,,y\n1,2,3\n", "line 2: column 2 has no name"),
    (",x,y\n0.5,1,2\n", "line 1: column 1 has no name: name it or remove it (pandas writes"),
    ("1,2\n3,4\n", "line 1: the first line holds numbers: add a header"),
    ("x;y\n1;2;3\n", "line 1: the header has no comma, and the rows have not as many fields"),
    (b"x,y\n1,2\n\x81,3\n", "line 3: this is not UTF-8 text"),
]
FILE_ERRORS: list[tuple[str | bytes, str]] = [
    ("", "data.csv: the file is empty"),
    (codecs.BOM_UTF8, "data.csv: the file is empty"),
    ("\n \n\r\n", "data.csv: the file is empty"),
    ("x,y\n", "data.csv: there is a header but no row"),
    ("x,y\n\n  \n", "data.csv: there is a header but no row"),
    (b"x,y\n1,\0\n", "data.csv: this is a binary or UTF-16 file without a byte order mark"),
    ("x,y\n1,2\n".encode("utf-16-le"), "data.csv: this is a binary or UTF-16 file without"),
    (b"\x1f\x8bx,y\n1,2\n", "data.csv: this gzip file cannot be unpacked"),
    (b"PK\x03\x04x,y\n1,2\n", "data.csv: this zip file cannot be read"),
]


def message_of(path: Path, reader: Reader = read_csv, **roles: list[str]) -> str:
    """The error for a file, which must be one line that begins with the file's name."""
    with pytest.raises(SwarmnetError) as caught:
        reader(path, **roles)
    message = str(caught.value)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return message.replace(str(path), path.name, 1)


@pytest.mark.parametrize(("text", "roles", "message"), ROLE_ERRORS)
def test_role_errors_name_the_file(
    tmp_path: Path, text: str, roles: dict[str, list[str]], message: str
) -> None:
    assert message_of(written(tmp_path, text), **roles).startswith(message)


@pytest.mark.parametrize(("text", "message"), CELL_ERRORS)
def test_cell_errors_name_line_and_column(either: Reader, tmp_path: Path, text: str, message: str) -> None:
    roles = {"inputs": ["x"], "outputs": ["y"]} if "note" in text else {}
    assert message_of(written(tmp_path, text), reader=either, **roles).startswith(f"data.csv, {message}")


@pytest.mark.parametrize(("text", "message"), SHAPE_ERRORS)
def test_shape_errors_name_the_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message_of(written(tmp_path, text)).startswith(f"data.csv, {message}")


@pytest.mark.parametrize(("content", "message"), FILE_ERRORS)
def test_file_errors(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message_of(written(tmp_path, content)).startswith(message)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_lines_are_counted_whatever_ends_them(tmp_path: Path, newline: str) -> None:
    text = newline.join(["", "x,y", "", "1,2", "", "", "3,no", ""])
    assert "line 7, column 'y'" in message_of(written(tmp_path, text))
    assert "line 7: this row" in message_of(written(tmp_path, text.replace("3,no", "3")))


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = written(tmp_path, codecs.BOM_UTF8 + b"x,y\n1,no\n")
    assert "line 2, column 'y'" in message_of(path)


def test_an_ambiguous_row_is_read_by_one_rule(tmp_path: Path) -> None:
    """pandas takes a quoted nothing for a row of empty cells; a blank line is a blank line."""
    data = read_csv(written(tmp_path, 'x,y\n1,2\n""\n3,4\n'), "x", "y")
    assert data.X.tolist() == [[1.0], [3.0]]


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no such file" in message_of(tmp_path / "no.csv")


def test_a_folder(tmp_path: Path) -> None:
    assert "this is a folder" in message_of(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="names and permissions differ there")
def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    assert "the file cannot be read: " in message_of(tmp_path / ("a" * 300))
    assert "the file cannot be read: " in message_of(tmp_path / ("*" * 300))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, WIDE)
    monkeypatch.setattr(Path, "open", refused)
    assert "the file cannot be read: Permission denied" in message_of(path)


def test_too_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: object) -> MixedData:
        raise MemoryError

    monkeypatch.setattr(swarmnet.data.readers, "from_table", too_much)
    assert "does not fit into memory" in message_of(written(tmp_path, WIDE))


def test_a_glob_reads_files_in_their_names_order(tmp_path: Path) -> None:
    (tmp_path / "c.csv").mkdir()
    written(tmp_path, "x,y\n3,30\n", "b.csv")
    written(tmp_path, "y,x\n10,1\n20,2\n", "a.csv")
    data = read_csv(tmp_path / "*.csv")
    assert_same(data, MixedData([[1.0], [2.0], [3.0]], [10.0, 20.0, 30.0], inputs="x"))


def test_a_glob_of_long_files(tmp_path: Path) -> None:
    written(tmp_path, "x,target,value\n1,y,10\n2,dy/dx,5\n", "a.csv")
    written(tmp_path, "x,target,value\n3,dy/dx,6\n4,y,40\n", "b.csv")
    data = read_csv(tmp_path / "*.csv")
    Y, J = [10, NAN, NAN, 40], [[NAN], [5.0], [6.0], [NAN]]
    assert_same(data, MixedData([[1], [2], [3], [4]], Y, J, inputs="x"))


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("x,y\n3,no\n", "b.csv, line 2, column 'y': 'no'"),
        ("x,y\n1,2\n\n,2\n", "b.csv, line 4, column 'x': the cell is empty"),
        ("x,y\n,2\n", "b.csv, line 2, column 'x': the cell is empty"),
        ("x,q\n1,2\n", "b.csv: there is no column 'y', but "),
        ("x,y,q\n1,2,3\n", "a.csv: there is no column 'q', but "),
    ],
)
def test_errors_in_a_glob_name_the_file(tmp_path: Path, second: str, message: str) -> None:
    written(tmp_path, "x,y\n1,10\n2,20\n", "a.csv")
    written(tmp_path, second, "b.csv")
    with pytest.raises(SwarmnetError) as caught:
        read_csv(tmp_path / "*.csv")
    assert message in str(caught.value)


def test_an_empty_target_in_a_globs_second_file(tmp_path: Path) -> None:
    written(tmp_path, "x,target,value\n1,y,10\n", "a.csv")
    written(tmp_path, "x,target,value\n1,y,10\n1,,10\n", "b.csv")
    with pytest.raises(SwarmnetError, match=r"b\.csv, line 3, column 'target': the cell is empty"):
        read_csv(tmp_path / "*.csv")


def test_a_glob_that_matches_nothing(tmp_path: Path) -> None:
    assert "no file matches" in message_of(tmp_path / "*.csv")


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_file_may_have_a_globs_name(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y\n1,10\n", "data[1].csv")
    written(tmp_path, "x,y\n2,20\n", "data1.csv")
    assert read_csv(path).X.tolist() == [[1.0]]


@pytest.mark.parametrize("name", ["data.csv", "data.txt", "data"])
def test_read_takes_other_files_for_csv(tmp_path: Path, name: str) -> None:
    assert_same(read(written(tmp_path, WIDE, name)), water())


@pytest.mark.parametrize("name", ["data.parquet", "data.PQ"])
def test_read_knows_parquet_by_its_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("pyarrow")
    water().to_frame().to_parquet(tmp_path / name)
    assert_same(read(tmp_path / name), water())


@pytest.mark.parametrize("form", ["wide", "long"])
def test_parquet_and_csv_give_the_same_data(tmp_path: Path, form: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "data.parquet"
    pd.read_csv(written(tmp_path, WIDE if form == "wide" else LONG)).to_parquet(path)
    assert_same(read_parquet(path), water())


def test_a_glob_of_parquet_files(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    pd.DataFrame({"x": [1.0], "y": [10.0]}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"x": [2], "y": [20]}).to_parquet(tmp_path / "b.parquet")
    expected = MixedData([[1.0], [2.0]], [10.0, 20.0], inputs="x")
    assert_same(read_parquet(tmp_path / "*.parquet"), expected)
    assert_same(read(tmp_path / "*"), expected)


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": [10.0, NAN]})
    frame.set_index("x").to_parquet(tmp_path / "named.parquet")
    frame.set_index(pd.Index(["a", "b"])).to_parquet(tmp_path / "unnamed.parquet")
    expected = MixedData([[1.0], [2.0]], [10.0, NAN], inputs="x")
    assert_same(read_parquet(tmp_path / "named.parquet"), expected)
    assert_same(read_parquet(tmp_path / "unnamed.parquet"), expected)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1.0, None], "y": [1.0, 2.0]}, ", row index 1, column 'x': the cell is empty"),
        ({"x": [1.0, 2.0], "y": ["3", "no"]}, ", row index 1, column 'y': 'no' is not a number"),
        ({"x": [1.0, 2.0], "y": [True, False]}, ", row index 0, column 'y': 'True' is not a"),
        ({"x": [1.0, 2.0], "q": [1.0, 2.0]}, ": column 'q' could be an input or an output"),
        (
            {"x": [1.0], "target": [None], "value": [1.0]},
            ", row index 0, column 'target': the cell is empty",
        ),
        ({"x": [], "y": []}, ": there is no row"),
    ],
)
def test_parquet_errors(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "data.parquet"
    pd.DataFrame(columns).to_parquet(path)
    with pytest.raises(SwarmnetError) as caught:
        read_parquet(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_csv_file_is_no_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(SwarmnetError, match=r"data\.csv: this is no Parquet file"):
        read_parquet(written(tmp_path, WIDE))


def test_a_missing_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(SwarmnetError, match="there is no such file"):
        read_parquet(tmp_path / "no.parquet")


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(SwarmnetError, match=r'pip install "\.\[parquet\]"'):
        read_parquet(tmp_path / "data.parquet")


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame"])
def test_a_query_is_matched_by_name(tmp_path: Path, kind: str) -> None:
    frame = pd.DataFrame({"p": [2, 4], "note": ["a", "b"], "T": [1.5, 3.5]})
    source: Path | pd.DataFrame = frame if kind == "frame" else tmp_path / f"query.{kind}"
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(tmp_path / "query.parquet")
    elif kind == "csv":
        frame.to_csv(tmp_path / "query.csv", index=False)
    points, ignored = read_query(source, ["T", "p"])
    assert points.tolist() == [[1.5, 2.0], [3.5, 4.0]]
    assert points.dtype == np.float64
    assert ignored == ["note"]


def test_an_empty_frame_is_an_empty_query() -> None:
    points, ignored = read_query(pd.DataFrame({"p": [], "T": []}), ["T", "p"])
    assert points.shape == (0, 2) and ignored == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("temp,p\n1,2\n", ": there is no column Temp: did you mean 'temp'? the model needs Temp, p"),
        ("a\n1\n", ": there is no column Temp, p: the model needs Temp, p"),
        (
            "Temp,p\n1,2\n3,\n",
            ", line 3, column 'p': the cell is empty: every row needs its inputs",
        ),
        ("Temp,p\n1,2\n3,x\n", ", line 3, column 'p': 'x' is not a number"),
        ("Temp,p\n1,2\ninf,4\n", ", line 3, column 'Temp': the cell is infinite"),
        ("Temp,p\n", ": there is a header but no row"),
        ("p,p\n1,2\n", ", line 1: column 'p' is there twice"),
    ],
)
def test_query_errors(tmp_path: Path, text: str, message: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SwarmnetError) as caught:
        read_query(path, ["Temp", "p"])
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"t": [1.0]}, "DataFrame: there is no column T"),
        ({"T": [NAN]}, "DataFrame, row index 5, column 'T': the cell is empty"),
        ({"T": ["x"]}, "DataFrame, row index 5, column 'T': 'x' is not a number"),
        ({"T": [True]}, "DataFrame, row index 5, column 'T': 'True' is not a number"),
        ({"T": [-np.inf]}, "DataFrame, row index 5, column 'T': the cell is infinite"),
    ],
)
def test_query_errors_in_a_frame(columns: dict[str, list[object]], message: str) -> None:
    with pytest.raises(SwarmnetError) as caught:
        read_query(pd.DataFrame(columns, index=[5]), ["T"])
    assert str(caught.value).startswith(message)


def test_a_query_with_one_input_skips_blank_lines(tmp_path: Path) -> None:
    points, _ = read_query(written(tmp_path, "x\n1\n\n2\n"), ["x"])
    assert points.tolist() == [[1.0], [2.0]]
