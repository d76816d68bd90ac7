"""Bad and odd files, and what must become of each: the right table, a model, or one clear line.

A case is a file's name, its bytes or what makes them, and what is expected: a dict is the table, column by
column; a text is a pattern of the line. The tests read them, and `tests/fuzz.py` begins with them.
"""

import codecs
import gzip
import importlib.util
import io
import json
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

NAN = math.nan
SIMPLE = {"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 5.0]}
PLAIN = "x,y\n0,1\n1,2\n2,5\n"


class Case(NamedTuple):
    """A file, and what must become of it."""

    file: str
    content: Callable[[], bytes]
    expected: dict[str, list[float]] | str


def text(content: str, encoding: str = "utf-8") -> Callable[[], bytes]:
    return lambda: content.encode(encoding, "surrogatepass")


def raw(content: bytes) -> Callable[[], bytes]:
    return lambda: content


def column(name: str, *cells: str) -> Callable[[], bytes]:
    """A file with one more column, of which these are the cells."""
    rows = [f"{row},{cell}" for row, cell in enumerate(cells)]
    return text("\n".join([f"x,{name}", *rows, ""]))


def gzipped() -> bytes:
    """A hundred megabytes in a hundred kilobytes."""
    return gzip.compress(b"x,y\n" + b"0,1\n" * 25_000_000, compresslevel=1)


def zipped(content: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", content)
    return file.getvalue()


class Malice:
    """Says so when it is unpickled."""

    def __reduce__(self) -> Any:
        return print, ("code from a file was run",)


def wide(inputs: int, outputs: int, rows: int = 1, slopes: bool = False) -> Callable[[], bytes]:
    def content() -> bytes:
        names = [f"x{j}" for j in range(inputs)] + [f"y{o}" for o in range(outputs)]
        names += [f"dy0/dx{j}" for j in range(inputs)] if slopes else []
        line = ",".join("1" for _ in names) + "\n"
        return (",".join(names) + "\n" + line * rows).encode()

    return content


def table_of(inputs: int, outputs: int, rows: int = 1, slopes: bool = False) -> dict[str, list[float]]:
    header = wide(inputs, outputs, rows, slopes)().decode().splitlines()[0]
    return {name: [1.0] * rows for name in header.split(",")}


BINARY = "binary or UTF-16 file"
NO_NUMBER = "is not a number"

CSV = {
    # Encodings
    "byte order mark": (raw(codecs.BOM_UTF8 + PLAIN.encode()), SIMPLE),
    "byte order mark and quotes": (raw(codecs.BOM_UTF8 + b'"x","y"\n0,1\n1,2\n2,5\n'), SIMPLE),
    "two byte order marks": (raw(codecs.BOM_UTF8 * 2 + PLAIN.encode()), "column '.ufeffx' could be"),
    "two files end to end": (
        text(PLAIN + "\ufeff" + PLAIN),
        r"line 5, column 'x': '.ufeffx' is not a number",
    ),
    "UTF-16": (text(PLAIN, "utf-16"), SIMPLE),
    "UTF-16 without a mark": (text(PLAIN, "utf-16-be"), BINARY),
    "UTF-32": (text(PLAIN, "utf-32"), SIMPLE),
    "Latin-1": (text("x,größe,dgröße/dx\n0,1,2\n", "latin-1"), {"x": [0.0], "größe": [1.0]}),
    "Windows": (text("x,y\n0,1\n1,2 °\n", "cp1252"), "line 3, column 'y': '2 °' is not a number"),
    "Shift-JIS": (text("温度,y\n0,1\n", "shift_jis"), "'‰·“x' could be an input"),
    "half a letter": (raw("x,größe".encode()[:-2]), "there is a header but no row"),
    "overlong letters": (raw(b"x,y\n0,\xc0\xb1\n"), "line 2, column 'y': 'À±' is not a number"),
    "a lone surrogate": (text("x,\ud800\n0,1\n"), "could be an input or an output"),
    "other alphabets": (
        text("größe,温度,d温度/dgröße\n0,1,2\n"),
        {"größe": [0.0], "温度": [1.0], "d温度/dgröße": [2.0]},
    ),
    # Lines
    "CRLF": (text(PLAIN.replace("\n", "\r\n")), SIMPLE),
    "CR": (text(PLAIN.replace("\n", "\r")), SIMPLE),
    "all kinds of lines": (text("x,y\r0,1\n1,2\r\n2,5"), SIMPLE),
    "CR, a blank line and an empty cell": (
        text("y,x\r\r,1\r2,3\r"),
        {"y": [NAN, 2.0], "x": [1.0, 3.0]},
    ),
    "CR CR LF": (text(PLAIN.replace("\n", "\r\r\n")), SIMPLE),
    "blank lines": (text("\n\n" + PLAIN.replace("\n", "\n \t\n\n")), SIMPLE),
    "other line breaks": (text("x,y\n0,1\u20281,2\n"), "line 2: this row has 3 of 2 fields"),
    "a form feed": (text("x,y\n0,1\x0c\n1,2\n2,5\n"), SIMPLE),
    "a control-Z at the end": (text(PLAIN + "\x1a"), "line 5: this row has 1 of 2 fields"),
    # Separators
    "semicolons": (text("x;y\n0;1\n"), {"x": [0.0], "y": [1.0]}),
    "semicolons and decimal commas": (text("x;y\n0,5;1,5\n"), {"x": [0.5], "y": [1.5]}),
    "semicolons in the rows alone": (text("x,y\n0;1\n"), "line 2: this row has 1 of 2 fields"),
    "tabs": (text("x\ty\n0\t1\n"), {"x": [0.0], "y": [1.0]}),
    "spaces": (text("x y\n0 1\n"), {"x": [0.0], "y": [1.0]}),
    "bars": (text("x|y\n0|1\n"), "could be an input or an output"),
    "decimal commas": (text("x,y\n0,5,1,5\n"), "line 2: this row has 4 of 2 fields"),
    "decimal commas in quotes": (column("y", '"1,5"'), f"line 2, column 'y': '1,5' {NO_NUMBER}"),
    "thousands": (column("y", '"1,000.5"'), NO_NUMBER),
    "thousands by spaces": (column("y", "1 000"), NO_NUMBER),
    "thousands by no-break spaces": (column("y", "1\u00a0000"), NO_NUMBER),
    "thousands by underscores": (column("y", "1_000"), NO_NUMBER),
    # Quotes
    "quotes": (text('"x","y"\n"0","1"\n"1","2"\n"2","5"\n'), SIMPLE),
    "quotes in quotes": (text('"the ""x""",y\n0,1\n'), "could be an input or an output"),
    "an open quote": (text('x,y\n0,1\n1,"2\n2,5\n'), "line 3: the quotes are wrong"),
    "an open quote before a long text": (
        lambda: b'x,y\n0,"1\n' + b"2,3\n" * 100_000,
        "line 2: the quotes are wrong",
    ),
    "text behind a quote": (text('x,y\n0,"1"2\n'), "line 2: the quotes are wrong"),
    "single quotes": (text("'x','y'\n0,1\n"), "could be an input or an output"),
    # Shapes
    "nothing": (raw(b""), "the file is empty"),
    "nothing but a mark": (raw(codecs.BOM_UTF8), "the file is empty"),
    "nothing but lines": (text("\n\r\n \t\n"), "the file is empty"),
    "a header alone": (text("x,y\n"), "there is a header but no row"),
    "no header": (text("0,1\n1,2\n"), "line 1: the first line holds numbers"),
    "the header again": (text(PLAIN + PLAIN), r"line 5, column 'x': 'x' is not a number"),
    "a line of units": (text("x,y\nm,K\n0,1\n"), {"x": [0.0], "y": [1.0]}),
    "a title above": (text("Measured in May\nx,y\n0,1\n"), {"x": [0.0], "y": [1.0]}),
    "comments": (text("# measured\n" + PLAIN), SIMPLE),
    "a comment below": (text(PLAIN + "# end\n"), SIMPLE),
    "a field too many": (text("x,y\n0,1\n1,2,3\n"), "line 3: this row has 3 of 2 fields"),
    "a field too few": (text("x,y,y2\n0,1,2\n1,2\n"), "line 3: this row has 2 of 3 fields"),
    "commas at the ends": (text("x,y,\n0,1,\n"), {"x": [0.0], "y": [1.0]}),
    "commas at the rows' ends": (text("x,y\n0,1,\n"), {"x": [0.0], "y": [1.0]}),
    "an index without a name": (text(",x,y\n0,0,1\n"), {"x": [0.0], "y": [1.0]}),
    "a column twice": (text("x,y,x\n0,1,2\n"), "column 'x' is there twice"),
    "a column twice but for spaces": (text("x,y, x \n0,1,2\n"), "column 'x' is there twice"),
    "10,000 columns": (wide(9_999, 1), table_of(9_999, 1)),
    "10,000 columns of slopes": (wide(5_000, 1, slopes=True), table_of(5_000, 1, slopes=True)),
    "10,000 columns twice": (lambda: b"x,y," * 5_000 + b"y\n" + b"1," * 10_000 + b"1\n", "is there twice"),
    "5,000 inputs and outputs": (wide(5_000, 5_000), "5000 inputs and 5000 outputs at 1 rows have room"),
    "many partials in many rows": (wide(400, 400, 500), "400 inputs and 400 outputs at 500 rows have room"),
    "a million columns without a name": (lambda: b"," * 1_000_000 + b"\n", "field larger than"),
    "100,000 rows": (lambda: b"x,y\n" + b"1,2\n" * 10**5 + b"1,b\n", "line 100002, column 'y': 'b' is not"),
    # Bytes
    "a NUL": (raw(b"x,y\n0,\x001\n"), BINARY),
    "nothing but NULs": (lambda: bytes(10**7), BINARY),
    "a NUL at the end": (lambda: b"x,y\n" + b"0,1\n" * 100_000 + b"\0", BINARY),
    "a picture": (raw(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), BINARY),
    "a spreadsheet": (lambda: zipped("<worksheet/>"), "this Excel file cannot be read|needs openpyxl"),
    "a gzip bomb": (gzipped, "bytes unpack to more than"),
    "a pickle": (lambda: pickle.dumps(Malice()), BINARY),
    "an old pickle": (lambda: pickle.dumps(Malice(), protocol=0), "could be an input|fields|not a number"),
    "a web page": (text("<!DOCTYPE html>\n<html><body>404, not found</body></html>\n"), "fields"),
    "JSON": (text('{"x": [0, 1],\n "y": [1, 2]}\n'), "the quotes are wrong|not a swarmnet model"),
    # Numbers
    "the largest doubles": (
        column("y", "1e308", "-1.7976931348623157e308"),
        {"y": [1e308, -1.7976931348623157e308]},
    ),
    "too large": (column("y", "1e308", "1e309"), "line 3, column 'y': the cell is infinite or too large"),
    "far too large": (column("y", "-1e999999999"), "infinite or too large"),
    "denormals": (column("y", "5e-324", "-2.5e-310"), {"y": [5e-324, -2.5e-310]}),
    "too small": (column("y", "1e-400", "1e-999999999"), {"y": [0.0, 0.0]}),
    "an integer of 300 digits": (column("y", "9" * 300), {"y": [float("9" * 300)]}),
    "an integer of 5,000 digits": (column("y", "9" * 5_000), "infinite or too large"),
    "a fraction of 100,000 digits": (column("y", "0." + "3" * 100_000), {"y": [1 / 3]}),
    "beyond 64 bits": (
        column("y", "9223372036854775808", "18446744073709551617"),
        {"y": [2.0**63, 2.0**64]},
    ),
    "signs": (column("y", "+1", "-0", "+.5", "5."), {"y": [1.0, -0.0, 0.5, 5.0]}),
    "infinity": (column("y", "inf"), "infinite or too large"),
    "minus infinity": (column("y", "-Infinity"), "infinite or too large"),
    "NaN": (column("y", "nan", "1", "-NaN"), {"x": [0.0, 1.0, 2.0], "y": [NAN, 1.0, NAN]}),
    "NaN for an input": (text("x,y\nnan,1\n"), "line 2, column 'x': the cell is empty"),
    "spelled NaNs": (column("y", "NaN(char)"), NO_NUMBER),
    "NA": (column("y", "1", "NA"), {"y": [1.0, NAN]}),
    "null": (column("y", "1", "null"), {"y": [1.0, NAN]}),
    "dashes": (column("y", "1", "-"), NO_NUMBER),
    "errors of a spreadsheet": (column("y", "1", "#DIV/0!"), f"'#DIV/0!' {NO_NUMBER}"),
    "dates": (column("y", "2024-01-31"), NO_NUMBER),
    "times": (column("y", "12:30"), NO_NUMBER),
    "booleans": (column("y", "true", "false"), NO_NUMBER),
    "hexadecimal": (column("y", "0x10"), NO_NUMBER),
    "hexadecimal floats": (column("y", "0x1p3"), NO_NUMBER),
    "exponents of Fortran": (column("y", "1d5", "-1.5D-03", "5.687-304"), {"y": [1e5, -1.5e-3, 5.687e-304]}),
    "half a number": (column("y", "1e"), NO_NUMBER),
    "complex numbers": (column("y", "1+2j"), NO_NUMBER),
    "percent": (column("y", "5%"), NO_NUMBER),
    "units": (column("y", "5 K"), NO_NUMBER),
    "a true minus": (column("y", "\u22121"), NO_NUMBER),
    "fullwidth digits": (column("y", "\uff11"), NO_NUMBER),
    "Arabic digits": (column("y", "\u0661"), NO_NUMBER),
    "a space of no width": (column("y", "1\u200b"), NO_NUMBER),
    "a cell of a million letters": (column("y", "a" * 1_000_000), "field larger than"),
    "a formula": (column("y", "=1+1"), f"'=1\\+1' {NO_NUMBER}"),
    "a command": (column("y", '=cmd|"/c calc"!A1'), NO_NUMBER),
    "code": (column("y", "__import__('os').abort()"), NO_NUMBER),
    # Names
    "a name of a formula": (text("=1+1,d=1+1/dx,x\n1,2,3\n"), "output '=1.1' begins with ="),
    "a name of an address": (text("@SUM(A1),y,dy/d@SUM(A1)\n1,2,3\n"), "input '@SUM.A1.' begins with @"),
    "a name of a fullwidth formula": (text("\uff1dx,y,dy/d\uff1dx\n1,2,3\n"), "begins with \uff1d"),
    "a name with a line break": (text('"x\n1",y,"dy/dx\n1"\n1,2,3\n'), "line break or another control"),
    "a name that clears a terminal": (text("\x1b[2Jx,y,dy/d\x1b[2Jx\n1,2,3\n"), "control character"),
    "a name of HTML": (
        text("<script>alert(1)</script>,y,dy/d<script>alert(1)</script>\n1,2,3\n"),
        {"<script>alert(1)</script>": [1.0], "y": [2.0], "dy/d<script>alert(1)</script>": [3.0]},
    ),
    "a name of 100,000 letters": (lambda: b"x" * 100_000 + b",y\n0,1\n", "has a name of 100000 characters"),
    "a name of a million letters": (lambda: b"x" * 1_000_000 + b",y\n0,1\n", "field larger than"),
    "a name of 50,000 slashes": (lambda: b"x,d" + b"/d" * 50_000 + b"\n0,1\n", "has a name of 100001 char"),
    "a name like attributes": (text("__class__,y,dy/d__class__\n1,2,3\n"), {"__class__": [1.0], "y": [2.0]}),
    # Roles
    "sigma of nothing": (text("x,y,sigma(z)\n0,1,1\n"), "'sigma.z.' belongs to nothing"),
    "sigma of sigma": (text("x,y,sigma(y),sigma(sigma(y))\n0,1,1,1\n"), "belongs to nothing"),
    "a negative sigma": (
        text("x,y,sigma(y)\n0,1,-1\n"),
        "line 2, column 'sigma.y.': the cell is not positive",
    ),
    "a slope of nothing": (text("x,y,dy/dz\n0,1,1\n"), "unknown name 'z'"),
    "second derivatives along nothing": (
        text("x,y,d2y/dz2\n0,1,1\n"),
        "second derivative with respect to unknown",
    ),
    "an input alone": (text("x\n0\n"), "no column is an output"),
    "no entry at all": (text("x,y\n0,\n1,\n"), "there are no entries"),
    # Long tables
    "long without a target": (text("x,target,value\n0,,1\n"), "line 2, column 'target': the cell is empty"),
    "long without a value": (text("x,target,value\n0,y,\n"), "line 2, column 'value': the cell is empty"),
    "long with numbers for targets": (text("x,target,value\n0,1,2\n"), "is a number, not a name"),
    "a target of a formula": (text("x,target,value\n0,=1+1,2\n"), "output '=1.1' begins with ="),
    "a target of 50,000 slashes": (
        lambda: b"x,target,value\n0,d" + b"/d" * 50_000 + b",1\n",
        "has 100001 characters",
    ),
    "100,000 targets": (
        lambda: b"x,target,value\n" + b"".join(b"0,y%d,1\n" % row for row in range(100_000)),
        "1 inputs and 100000 outputs at 100000 rows have room",
    ),
    "a target of nothing": (
        text("x,target,value\n0,y,1\n0,dy/dz,1\n"),
        "line 3, column 'target'.*unknown name",
    ),
}


# Parquet


def parquet(**columns: Any) -> Callable[[], bytes]:
    def content() -> bytes:
        import pyarrow
        import pyarrow.parquet

        arrays = {name: pyarrow.array(*made()) for name, made in columns.items()}
        file = io.BytesIO()
        pyarrow.parquet.write_table(pyarrow.table(arrays), file)
        return file.getvalue()

    return content


def typed(values: list[Any], name: str, *arguments: Any) -> Callable[[], tuple[Any, ...]]:
    """Values of a type of pyarrow's, which is not imported before it is needed."""

    def made() -> tuple[Any, ...]:
        import pyarrow

        return values, getattr(pyarrow, name)(*arguments)

    return made


def doubles(*values: float | None) -> Callable[[], tuple[Any, ...]]:
    return typed(list(values), "float64")


def parquet_bomb() -> bytes:
    """Two hundred million numbers in a few kilobytes."""
    import pyarrow
    import pyarrow.parquet

    block = pyarrow.table({"x": np.zeros(10**7), "y": np.zeros(10**7)})
    file = io.BytesIO()
    with pyarrow.parquet.ParquetWriter(file, block.schema, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(block, row_group_size=10**7)
    return file.getvalue()


def parquet_twice() -> bytes:
    import pyarrow
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array([1.0])] * 2, names=["x", "x"]), file)
    return file.getvalue()


def lying_footer() -> bytes:
    """A footer that is said to be longer than the file."""
    content = bytearray(parquet(x=doubles(0.0), y=doubles(1.0))())
    content[-8:-4] = struct.pack("<I", 2**31 - 1)
    return bytes(content)


X = doubles(0.0, 1.0)
NO_PARQUET = "no Parquet file that can be read"

PARQUET = {
    "good": (parquet(x=X, y=doubles(1.0, None)), {"x": [0.0, 1.0], "y": [1.0, NAN]}),
    "no Parquet": (text(PLAIN), NO_PARQUET),
    "nothing": (raw(b""), NO_PARQUET),
    "cut short": (lambda: parquet(x=X, y=X)()[:-20], NO_PARQUET),
    "a lying footer": (lying_footer, NO_PARQUET),
    "encrypted": (raw(b"PARE" + bytes(100) + b"PARE"), NO_PARQUET),
    "no rows": (parquet(x=doubles(), y=doubles()), "there is no row"),
    "no columns": (parquet(), "there is no row"),
    "a column twice": (parquet_twice, "is there twice|non-unique column"),
    "texts": (parquet(x=X, y=typed(["1", "a"], "string")), f"row index 1, column 'y': 'a' {NO_NUMBER}"),
    "numbers as texts": (parquet(x=X, y=typed(["1", "2.5"], "string")), {"y": [1.0, 2.5]}),
    "bytes": (parquet(x=X, y=typed([b"1", b"2"], "binary")), NO_NUMBER),
    "booleans": (parquet(x=X, y=typed([True, False], "bool_")), NO_NUMBER),
    "dates": (parquet(x=X, y=typed([1, 2], "date32")), NO_NUMBER),
    "moments": (parquet(x=X, y=typed([1, 2], "timestamp", "us")), NO_NUMBER),
    "a moment far off": (parquet(x=X, y=typed([2**62, 0], "timestamp", "us")), f"{NO_NUMBER}|{NO_PARQUET}"),
    "spans": (parquet(x=X, y=typed([1, 2], "duration", "s")), NO_NUMBER),
    "lists": (parquet(x=X, y=lambda: ([[1.0], [2.0, 3.0]],)), NO_NUMBER),
    "records": (parquet(x=X, y=lambda: ([{"a": 1}, {"a": 2}],)), NO_NUMBER),
    "nothing but nulls": (parquet(x=X, y=typed([None, None], "null")), "there are no entries"),
    "large integers": (parquet(x=X, y=typed([2**64 - 1, 0], "uint64")), {"y": [float(2**64 - 1), 0.0]}),
    "small floats": (parquet(x=X, y=lambda: (np.array([1.5, NAN], np.float16),)), {"y": [1.5, NAN]}),
    "infinity": (parquet(x=X, y=doubles(math.inf, 0.0)), "row index 0, column 'y': the cell is infinite"),
    "a bomb": (parquet_bomb, "100000000 rows and 2 columns in .* no such table is read"),
}


# Models


def model_document() -> dict[str, Any]:
    """A small good model, as its file has it: y = 3 tanh(x) + 1."""
    return {
        "format": "swarmnet-model",
        "version": 1,
        "inputs": ["x"],
        "outputs": ["y"],
        "sizes": [1, 1, 1],
        "activations": ["tanh", "linear"],
        "scaling": {"x_offset": [0.0], "x_scale": [1.0], "y_offset": [0.0], "y_scale": [1.0]},
        "theta": [1.0, 0.0, 3.0, 1.0],
        "spread": None,
        "others": [],
        "training": {"trainer": "lm", "status": "converged", "seconds": 0.5, "input_ranges": {"x": [-1, 1]}},
        "history": {"iteration": [1, 2], "loss": [2.0, 1.0], "validation_loss": [None, None]},
    }


OTHER = {"sizes": [1, 1, 1], "activations": ["tanh", "linear"], "theta": [1.0, 0.0, 3.0, 1.0]}


# P2(x) = 1.5 x^2 - 0.5 with a coefficient of 2
TREND = {"powers": [[2]], "centre": [0.0], "half": [1.0]}


def changed(**changes: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(model_document() | changes).encode()


def rescaled(**changes: Any) -> Callable[[], bytes]:
    return changed(scaling=model_document()["scaling"] | changes)


def with_trend(**changes: Any) -> Callable[[], bytes]:
    return changed(version=3, theta=[1.0, 0.0, 3.0, 1.0, 2.0], trend=TREND | changes)


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


NO_MODEL = "not a swarmnet model"
ANSWER = {"x": [0.0, 1.0, 2.0], "y": [1.0, 3.0 * math.tanh(1.0) + 1.0, 3.0 * math.tanh(2.0) + 1.0]}

MODELS = {
    "good": (changed(), ANSWER),
    "nothing": (raw(b""), NO_MODEL),
    "a table": (text(PLAIN), NO_MODEL),
    "a byte order mark": (lambda: codecs.BOM_UTF8 + changed()(), NO_MODEL),
    "UTF-16": (lambda: changed()().decode().encode("utf-16"), NO_MODEL),
    "a pickle": (lambda: pickle.dumps(Malice()), NO_MODEL),
    "cut short": (lambda: changed()()[:-9], "cut short"),
    "nested 100,000 deep": (raw(b'{"a":' * 100_000), NO_MODEL),
    "lists 100,000 deep": (raw(b"[" * 100_000 + b"]" * 100_000), NO_MODEL),
    "a training record 900 deep": (changed(training=nested(900)), "training record"),
    "a number": (raw(b"1"), NO_MODEL),
    "another format": (changed(format="onnx"), NO_MODEL),
    "a later version": (changed(version=4), "version 4"),
    "a version of a kind": (changed(version=[1]), r"version \[1\]"),
    "a weight too few": (changed(theta=[1.0, 0.0, 3.0]), "3 weights"),
    "a weight too many": (changed(theta=[1.0] * 5), "5 weights"),
    "no weights": (changed(theta=[]), "0 weights"),
    "NaN weights": (lambda: changed()().replace(b"3.0", b"NaN"), NO_MODEL),
    "infinite weights": (lambda: changed()().replace(b"3.0", b"1e999"), "missing or infinite"),
    "no number for a weight": (changed(theta=[None, 0.0, 3.0, 1.0]), "missing or infinite"),
    "texts for weights": (changed(theta=["a", "b", "c", "d"]), "damaged model"),
    "weights in lists": (changed(theta=[[1.0], [0.0], [3.0], [1.0]]), "do not fit"),
    "a weight of 4,000 digits": (lambda: changed()().replace(b"3.0", b"3" * 4_000), "damaged model"),
    "a weight of 5,000 digits": (lambda: changed()().replace(b"3.0", b"3" * 5_000), NO_MODEL),
    "sizes of 10^12": (changed(sizes=[10**12, 10**12, 1]), "do not fit"),
    "sizes of 10^400": (changed(sizes=[1, 10**400, 1]), "do not fit"),
    "negative sizes": (changed(sizes=[1, -1, -5]), "damaged model"),
    "fractions for sizes": (changed(sizes=[1, 1.5, 1]), "whole numbers"),
    "no sizes": (changed(sizes=[]), "damaged model"),
    "sizes of a kind": (changed(sizes={"a": 1}), "damaged model"),
    "an unknown activation": (changed(activations=["os.system", "linear"]), "unknown activation"),
    "an activation too few": (changed(activations=["tanh"]), "1 activations for 2 layers"),
    "no activations": (changed(activations=None), "damaged model"),
    "a scale of zero": (rescaled(x_scale=[0.0]), "not positive"),
    "a negative scale": (rescaled(y_scale=[-1.0]), "not positive"),
    "a scale too few": (rescaled(y_scale=[]), "damaged model"),
    "scales too many": (rescaled(y_scale=[1.0, 1.0]), "do not fit together"),
    "an infinite scale": (lambda: rescaled(y_scale=[7.0])().replace(b"7.0", b"1e999"), "missing a number"),
    "a huge scale": (rescaled(y_scale=[1e308]), "the answer in row 1 is not finite"),
    "a tiny scale": (rescaled(x_scale=[5e-324]), "the answer in row 0 is not finite"),
    "huge weights": (changed(theta=[1e308, 1e308, 1e308, 1e308]), "is not finite"),
    "names that are the same": (changed(inputs=["y"]), "two of its names are the same"),
    "an empty name": (changed(inputs=[""]), "are not names"),
    "a number for a name": (changed(inputs=[1]), "are not names"),
    "one text for names": (changed(inputs="x"), "are not names"),
    "names too many": (changed(inputs=["x", "x2"]), "do not fit together"),
    "a name of a formula": (changed(outputs=["=1+1"]), "begins with ="),
    "a name with a line break": (changed(outputs=["y\n"]), "control character"),
    "a name of half a letter": (changed(outputs=["\ud800"]), "control character"),
    "a training record of formulas": (changed(training={"=1+1": "=1+1"}), ANSWER),
    "a training record of lists": (changed(training={"input_ranges": {"x": ["a", "b"]}}), ANSWER),
    "a training record of half a letter": (changed(training={"\ud800": 1}), "damaged model"),
    "history of half a letter": (changed(history={"\ud800": [1.0]}), "damaged model"),
    "no training record": (changed(training=None), "training record"),
    "history of several lengths": (changed(history={"a": [1], "b": [1, 2]}), "damaged model"),
    "history of texts": (changed(history={"loss": ["a"]}), "damaged model"),
    "history of 10^300": (changed(history={"iteration": [1e300]}), "damaged model"),
    "history without numbers": (changed(history={"iteration": [None]}), "damaged model"),
    "no history": (changed(history=[]), "damaged model"),
    "error bars of a weight": (changed(spread="AAAA"), "damaged model"),
    "error bars that are no text": (changed(spread=[1]), "damaged model"),
    "error bars of NaN": (changed(spread="AADAfw==" * 10), "damaged model"),
    "a stage that is a number": (changed(history={"stage": [1]}), "damaged model"),
    "other fits without a share": (changed(others=[OTHER]), "damaged model"),
    "other fits of another size": (changed(others=[OTHER | {"theta": [1.0], "share": 1.0}]), "damaged model"),
    "other fits of other inputs": (
        changed(others=[OTHER | {"sizes": [2, 1, 1], "theta": [1.0] * 5, "share": 1.0}]),
        "damaged model",
    ),
    "a trend": (
        with_trend(),
        ANSWER | {"y": [y + 3.0 * x * x - 1.0 for x, y in zip(*ANSWER.values(), strict=True)]},
    ),
    "a trend without coefficients": (changed(trend=TREND), "4 weights"),
    "a trend of a kind": (changed(trend=[1]), "damaged model"),
    "a trend of nothing": (with_trend(powers=[]), "5 weights"),
    "a trend of no inputs": (with_trend(powers=[[]], centre=[], half=[]), "must be whole numbers"),
    "a trend of other inputs": (
        with_trend(powers=[[1, 1]], centre=[0, 0], half=[1, 1]),
        "2 inputs for a net",
    ),
    "a trend of two lengths": (with_trend(powers=[[2], [1, 1]]), "damaged model"),
    "a trend without ranges": (changed(theta=[1.0] * 5, trend={"powers": [[2]]}), "it has no 'centre'"),
    "a trend of a range of zero": (with_trend(half=[0.0]), "positive and finite"),
    "a trend of an infinite range": (
        lambda: with_trend(centre=[7.5])().replace(b"7.5", b"1e999"),
        "missing a number",
    ),
    "a trend of a tiny range": (with_trend(half=[5e-324]), "is not finite"),
    "a trend of fractions": (with_trend(powers=[[0.5]]), "not whole numbers"),
    "a trend of a text": (with_trend(powers="2"), "not whole numbers"),
    "a trend of true": (with_trend(powers=[[True]]), "damaged model"),
    "a trend of a constant": (with_trend(powers=[[0]]), "is constant"),
    "a trend of negative powers": (with_trend(powers=[[-2]]), "must be whole numbers"),
    "a trend of a power of 10^12": (with_trend(powers=[[10**12]]), "must be whole numbers"),
    "a trend of a power of 10^30": (with_trend(powers=[[10**30]]), "must be whole numbers"),
    "a trend of many inputs": (
        changed(
            sizes=[5000, 1],
            activations=["linear"],
            theta=[0.0] * 5002,
            trend={"powers": [[1] * 5000], "centre": [0.0] * 5000, "half": [1.0] * 5000},
        ),
        "a degree above 60",
    ),
    "a trend of a million terms": (with_trend(powers=[[2]] * 10**6), "5 weights"),
    "a trend below another output": (
        changed(activations=["tanh", "tanh"], theta=[1.0] * 5, trend=TREND),
        "a linear output layer",
    ),
    "other fits with a damaged trend": (
        changed(others=[OTHER | {"theta": [1.0] * 5, "share": 1.0, "trend": TREND | {"half": [-1.0]}}]),
        "positive and finite",
    ),
    "ten megabytes of zeros": (changed(theta=[0.0] * 2_000_000), "2000000 weights"),
    "the same key a million times": (lambda: b'{"a":1' + b',"a":1' * 10**6 + b"}", NO_MODEL),
}


# Checkpoints


def checkpoint_header() -> dict[str, Any]:
    return {"format": "swarmnet-checkpoint", "version": 1, "run": {}, "state": {"run/ended": ""}}


def npz(header: Any, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> Callable[[], bytes]:
    """A checkpoint of entries that are bytes already."""

    def content() -> bytes:
        letters = json.dumps(header).encode() if not isinstance(header, bytes) else header
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("header.npy", npy(np.frombuffer(letters, np.uint8)))
            for name, entry in entries.items():
                archive.writestr(f"{name}.npy", entry)
        return file.getvalue()

    return content


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def claimed(shape: str, descr: str = "<f8") -> bytes:
    """An array that says it has another shape."""
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80)


NO_CHECKPOINT = "not a swarmnet checkpoint, or a damaged one"

CHECKPOINTS = {
    "nothing": (raw(b""), NO_CHECKPOINT),
    "a table": (text(PLAIN), NO_CHECKPOINT),
    "a model": (changed(), NO_CHECKPOINT),
    "a pickle": (lambda: pickle.dumps(Malice()), NO_CHECKPOINT),
    "one array": (lambda: npy(np.zeros(3)), NO_CHECKPOINT),
    "a pickled array": (lambda: npy(np.array([Malice()], object)), NO_CHECKPOINT),
    "cut short": (lambda: npz(checkpoint_header())()[:-30], NO_CHECKPOINT),
    "a bit that fell": (
        lambda: npz(checkpoint_header())().replace(b"swarmnet", b"swarmnft"),
        NO_CHECKPOINT,
    ),
    "another run": (npz(checkpoint_header() | {"run": {"seed": "1"}}), "another run, which differs in seed"),
    "a later version": (npz(checkpoint_header() | {"version": 2}), "checkpoint version 2"),
    "no header": (npz(b""), NO_CHECKPOINT),
    "a header 100,000 deep": (npz(b'{"a":' * 100_000), NO_CHECKPOINT),
    "a run of a kind": (npz(checkpoint_header() | {"run": 5}), NO_CHECKPOINT),
    "a state of a kind": (npz(checkpoint_header() | {"state": [1, 2]}), NO_CHECKPOINT),
    "objects": (npz(checkpoint_header(), a=npy(np.array([Malice()], object))), NO_CHECKPOINT),
    "10^12 numbers": (npz(checkpoint_header(), a=claimed("(1000000000000,)")), NO_CHECKPOINT),
    "10^30 numbers": (npz(checkpoint_header(), a=claimed(f"({10**30},)")), NO_CHECKPOINT),
    "a negative shape": (npz(checkpoint_header(), a=claimed("(-1,)")), NO_CHECKPOINT),
    "code for a shape": (npz(checkpoint_header(), a=claimed("__import__('os').abort()")), NO_CHECKPOINT),
    "code for a type": (npz(checkpoint_header(), a=claimed("(3,)", "O")), NO_CHECKPOINT),
    "a bomb": (npz(checkpoint_header(), zipfile.ZIP_DEFLATED, a=npy(np.zeros(2 * 10**7))), NO_CHECKPOINT),
}


def cases() -> list[Case]:
    """All of them that can be made: a Parquet file needs pyarrow."""
    kinds = [("csv", CSV), ("json", MODELS), ("ckpt", CHECKPOINTS)]
    if importlib.util.find_spec("pyarrow"):
        kinds.append(("parquet", PARQUET))
    return [
        Case(f"{name.replace('/', ' ')}.{suffix}", *case)
        for suffix, table in kinds
        for name, case in table.items()
    ]
