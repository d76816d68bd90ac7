"""How text files are written: what is recognised, what an option decides, and what is refused."""

import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import swarmnet
from swarmnet.data.file_data import FileData
from swarmnet.data.mixed_data import from_table
from swarmnet.data.readers import columns_left_out, open_files, read_csv, read_query
from swarmnet.data.reading import Reading
from swarmnet.data.tables import FrameTable
from swarmnet.errors import SwarmnetError, SwarmnetWarning

NAN = np.nan
BOTH = {"na": ["-", "#DIV/0!"]}
ROLES: dict[str, Any] = {"inputs": ["T", "p"], "outputs": ["h"]}


def written(folder: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Any, **options: Any) -> tuple[swarmnet.MixedData, list[str]]:
    """Return the data, which must be the same in pieces, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = read_csv(path, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmnetWarning)
        roles = {name: options.pop(name) for name in ("inputs", "outputs", "define") if name in options}
        pieces = open_files(path, **roles, reading=Reading.of(**options)).gathered()
    assert pieces is not None and (pieces.inputs, pieces.outputs) == (data.inputs, data.outputs)
    np.testing.assert_array_equal(pieces.X, data.X)
    np.testing.assert_array_equal(pieces.Y, data.Y)
    assert dict(pieces.units) == dict(data.units)
    return data, [str(warning.message) for warning in said]


def refused(path: Any, **options: Any) -> str:
    with pytest.raises(SwarmnetError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore", SwarmnetWarning)
        read_csv(path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "options", "rows", "words"),
    [
        ("T;p;h\n300,5;1e5;2,25\n301;2;3\n", {}, [[300.5, 1e5, 2.25], [301, 2, 3]], "semicolons.*commas as"),
        ("T;p;h\n300.5;1e5;2.25\n", {}, [[300.5, 1e5, 2.25]], r"semicolons between columns \(--sep\)$"),
        ("T;p;h\n1,234;2;3\n", {"decimal": ","}, [[1.234, 2, 3]], "semicolons between columns"),
        ("T;p;h\n1,234;2;3\n", {"thousands": ","}, [[1234, 2, 3]], "semicolons between columns"),
        ("T;p;h\n0,125;2;3\n", {}, [[0.125, 2, 3]], "commas as decimal marks"),
        (
            "T;p;h\n1.234.567,5;-1.000;2e3\n",
            {"thousands": ".", "decimal": ","},
            [[1234567.5, -1000, 2e3]],
            "semicolons",
        ),
        ('T,p,h\n"1,234.5",2,3\n', {"thousands": ","}, [[1234.5, 2, 3]], None),
        ("T;p;h\n1\u202f234;2;3\n", {"thousands": " "}, [[1234, 2, 3]], "semicolons"),
        ("T|p|h\n1|2|3\n", {"sep": "|"}, [[1, 2, 3]], None),
        ("T\tp\th\n1\t\t3\n1\t2\t3\n", {"sep": "tab", "na": ["3"]}, None, None),
        ("sep=;\nT;p;h\n1;2;3\n", {}, [[1, 2, 3]], None),
        ("T p h\n1 2 3\n", {"sep": " "}, [[1, 2, 3]], None),
        ("  T   p  h \n 1 \t 2   3\n\n4 5 6", {}, [[1, 2, 3], [4, 5, 6]], "blanks between"),
        ("T,p,h\n1,2,-\n3,4,5\n", {"na": "-"}, [[1, 2, NAN], [3, 4, 5]], None),
        (
            "T,p,h\n1,2,#DIV/0!\n3,4,-\n5,6,7\n",
            {"na": ["-", "#DIV/0!"]},
            [[1, 2, NAN], [3, 4, NAN], [5, 6, 7]],
            None,
        ),
        ("T,p,h\n1,2,-999.0\n3,4,5\n", {"na": "-999"}, [[1, 2, NAN], [3, 4, 5]], None),
        (
            "T,p,h\n1,2,n/a\n3,4,NA\n5,6,null\n7,8,9\n",
            {},
            [[1, 2, NAN], [3, 4, NAN], [5, 6, NAN], [7, 8, 9]],
            None,
        ),
        ("T,p,h\n1.0D+03,-2.5d-1,5.687-304\n", {}, [[1000, -0.25, 5.687e-304]], None),
        ("T,p,h\n1,2,1.25+100\n", {}, [[1, 2, 1.25e100]], None),
        ("Title\n# a comment\nT,p,h\n1,2,3\n# another\n4,5,6\n", {}, [[1, 2, 3], [4, 5, 6]], "2 lines above"),
        ("# T, p, h\n1,2,3\n", {}, [[1, 2, 3]], "line 1 as the header$"),
        ("T,p,h,,\n1,2,3,,\n,,,,\n4,5,6\n,,,,\n", {}, [[1, 2, 3], [4, 5, 6]], None),
        ("\ufeffT;p;h\r\n1;2;3\r\n", {}, [[1, 2, 3]], "semicolons"),
    ],
)
def test_recognised_or_told(tmp_path: Path, text: str, options: Any, rows: Any, words: str | None) -> None:
    path = written(tmp_path, text)
    if rows is None:
        assert "the cell is empty: every row needs its inputs" in refused(path, **ROLES, **options)
        return
    data, said = read(path, **ROLES, **options)
    np.testing.assert_array_equal(np.column_stack([data.X, data.Y]), rows)
    assert len(said) == (words is not None)
    if words is not None:
        assert re.search(f"data.csv: read with .*{words}", said[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(tmp_path, "größe,x,y\n1,2,3\n".encode(encoding))
    data, said = read(path, inputs=["x", "größe"], outputs="y")
    assert data.X.tolist() == [[2.0, 1.0]]
    assert [*map(str, said)] == (
        [f"{path}: read with cp1252 text, because it is not UTF-8 (--encoding)"]
        if encoding == "cp1252"
        else []
    )
    if encoding != "utf-16":
        return
    path.write_bytes("größe,x,y\n1,2,3\n".encode("utf-16-le"))
    assert read(path, inputs=["x", "größe"], outputs="y", encoding="utf-16-le")[0].n == 1


def test_an_encoding_that_is_given_is_not_doubted(tmp_path: Path) -> None:
    path = written(tmp_path, "größe,x,y\n1,2,3\n".encode("cp437"))
    data, said = read(path, inputs=["größe", "x"], outputs="y", encoding="cp437")
    assert data.inputs == ("größe", "x") and not said
    assert "this is not ascii text" in refused(path, encoding="ascii")


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("T;p;h\n1,234;2;3\n", {}, "'1,234' is not a number: .* may be the decimal mark .*--thousands ,"),
        ("T,p,h\n1,2,-\n3,4,5\n", {}, r"line 2, column 'h': '-' is not .* give na='-' \(--na -\)"),
        ("T,p,h\n1,2,#DIV/0!\n3,4,5\n", {}, r"'#DIV/0!' is not a number.*--na '#DIV/0!'"),
        ("T;p;h\n12,34.5;2;3\n", {"thousands": ","}, "'12,34.5' is not a number"),
        ("T;p;h\n1.5;2,5;3\n", {"decimal": ","}, "line 2, column 'T': '1.5' is not a number"),
        ("T,p,h\n1,2,5.68-30\n", {}, "'5.68-30' is not a number"),
        ("T,p,h\n1,2,3\n", {"sep": "ab"}, "sep= .* must be one character"),
        ("T,p,h\n1,2,3\n", {"decimal": "x"}, r"decimal= \(--decimal\) must be"),
        ("T,p,h\n1,2,3\n", {"thousands": "."}, "cannot be the thousands separator and the decimal mark"),
        ("T,p,h\n1,2,3\n", {"encoding": "klingon"}, "names 'klingon', which is no encoding"),
        ("T,p,h\n1,2,3\n", {"encoding": "rot13"}, "names 'rot13', which is no encoding"),
        ("T,p,h\n1,2,3\n", {"categories": "steel"}, "names 'steel', which is no column"),
    ],
)
def test_refused_in_a_line(tmp_path: Path, text: str, options: Any, words: str) -> None:
    assert re.search(words, refused(written(tmp_path, text), **ROLES, **options))


def test_several_files_are_one_table(tmp_path: Path) -> None:
    one = written(tmp_path, "T,p,h\n1,2,3\n", "b.csv")
    other = written(tmp_path, "h,T,p\n6,4,5\n", "a.csv")
    data, _ = read([one, other], **ROLES)
    assert data.X.tolist() == [[1.0, 2.0], [4.0, 5.0]] and data.Y.tolist() == [[3.0], [6.0]]
    assert read([str(tmp_path / "*.csv")], **ROLES)[0].X.tolist() == [[4.0, 5.0], [1.0, 2.0]]
    assert "b.csv: this file is named twice" in refused([one, other, one], **ROLES)
    third = written(tmp_path, "T,q,h\n1,2,3\n", "c.csv")
    assert f"{third}: there is no column 'p', but {one} has one" in refused([one, third], **ROLES)
    assert "the list of files is empty" in refused([])
    units = written(tmp_path, "T,p,h\nK,bar,J\n1,2,3\n", "d.csv")
    assert "the unit of column 'T' is K, but none in" in refused([one, units], **ROLES)


STEEL = "T,material,h\n300,steel,1\n310,iron,2\n320,steel,3\n"


def test_a_column_of_texts_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = written(tmp_path, STEEL)
    message = refused(path, inputs=["T", "material"], outputs="h")
    assert message.startswith(f"{path}, line 2, column 'material': 'steel' is not a number, nor is any other")
    assert "--categories" in message
    frame = pd.read_csv(path)
    with pytest.raises(SwarmnetError, match="row index 0, column 'material': 'steel' is not a number, nor"):
        swarmnet.MixedData.from_frame(frame, ["T", "material"], ["h"])


def test_texts_are_read_as_columns_of_0_and_1(tmp_path: Path) -> None:
    path = written(tmp_path, STEEL)
    data, said = read(path, inputs=["T", "material"], outputs="h", categories="material")
    assert data.inputs == ("T", "material_iron", "material_steel") and not said
    assert data.X.tolist() == [[300, 0, 1], [310, 1, 0], [320, 0, 1]]
    names = ["material_steel", "T", "material_iron"]
    query = written(tmp_path, "material,T\niron,1\n", "query.csv")
    points, ignored = read_query(query, names, Reading(categories=("material",)))
    assert points.tolist() == [[0.0, 1.0, 1.0]] and ignored == []
    query.write_text("material,T\niron,1\nzinc,2\n")
    with pytest.raises(SwarmnetError, match=r"line 3, column 'material': 'zinc' is none of .* iron, steel"):
        read_query(query, names, Reading(categories=("material",)))
    query.write_text("material,T\niron,1\n,2\n")
    with pytest.raises(SwarmnetError, match="line 3, column 'material': the cell is empty"):
        read_query(query, names, Reading(categories=("material",)))


def test_a_name_of_a_category_may_be_in_a_formula(tmp_path: Path) -> None:
    text = "T,material,h,F\n300,steel,1,2\n310,iron,2,2\n320,steel,3,4\n"
    define = {"F": "h + material_steel"}
    data, _ = read(
        written(tmp_path, text), inputs=["material", "T"], outputs=["h"], categories="material", define=define
    )
    assert data.quantities[0].name == "F"


def test_compressed_files_are_read_whole_or_refused(tmp_path: Path) -> None:
    rows = "".join(f"{i},{2 * i},{i * 0.5}\n" for i in range(60_000))
    path = written(tmp_path, ("T,p,h\n" + rows).encode("utf-16"))
    assert isinstance(read_csv(path, **ROLES, memory_limit="1GB"), swarmnet.MixedData)
    message = refused(path, **ROLES, memory_limit="255MB")
    assert message.startswith(f"{path}: a compressed, Excel or UTF-16 file cannot be read piece by piece")


def test_options_of_text_are_refused_for_other_files(tmp_path: Path) -> None:
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"T": [1.5], "p": [2], "h": [3]})
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.xlsx", **ROLES)[0].X.tolist() == [[1.5, 2.0]]
    assert "a.xlsx: sep= (--sep) is for text files" in refused(tmp_path / "a.xlsx", **ROLES, sep=";")
    with pytest.raises(SwarmnetError, match=r"decimal= \(--decimal\) is for text files, not for Parquet"):
        columns_left_out(tmp_path / "a.parquet", ["T"], ["h"], reading=Reading(decimal=","))


def test_excel_without_openpyxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openpyxl")
    pd.DataFrame({"x": [1.0], "y": [2.0]}).to_excel(tmp_path / "a.xlsx", index=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert 'a.xlsx: reading Excel files needs openpyxl: pip install ".[xlsx]"' in refused(tmp_path / "a.xlsx")


def test_large_files_keep_their_options_in_pieces(tmp_path: Path) -> None:
    rows = "".join(f"{i},5;{2 * i};{i},25\n" for i in range(80_000))
    path = written(tmp_path, "T;p;h\nK;Pa;J\n" + rows)
    with pytest.warns(SwarmnetWarning, match="semicolons between columns .*, line 2 as units"):
        data = read_csv(path, **ROLES, memory_limit="275MB")
    assert isinstance(data, FileData) and dict(data.units) == {"T": "K", "p": "Pa", "h": "J"}
    held = from_table_of(path)
    assert data.n == held.n == 80_000
    np.testing.assert_allclose(data.statistics.X.mean, held.statistics.X.mean, rtol=1e-12)


def from_table_of(path: Path) -> swarmnet.MixedData:
    frame = pd.read_csv(path, sep=";", decimal=",", skiprows=[1])
    return from_table(FrameTable(frame), ["T", "p"], ["h"])
