"""Ten files with the same table, as spreadsheets and programs export them.

``python -m tests.data.exported_files FOLDER`` writes them.
"""

import gzip
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

# T in K, p in Pa, h in J/kg: not in alphabetical order
NAMES, UNITS = ("T", "p", "h"), ("K", "Pa", "J/kg")
ROWS = [(300.5 + 2 * i, 1e5 + 2.5e4 * (7 * i % 12), 1000.25 * i + 7 * i % 12) for i in range(12)]
ROLES = {"inputs": ["T", "p"], "outputs": ["h"]}


def lines(*rows: Sequence[object], sep: str = ",", end: str = "\n") -> str:
    """Return rows as text."""
    return "".join(sep.join(map(str, row)) + end for row in rows)


def german(number: float) -> str:
    """Return a number with a decimal comma."""
    return str(number).replace(".", ",")


def excel_german(path: Path) -> None:
    """Excel in German: semicolons, decimal commas, cp1252, a line of units."""
    rows = [[german(number) for number in row] for row in ROWS]
    text = lines(NAMES, ("K", "Pa", "J/kg \u2013 wässrig"), *rows, sep=";", end="\r\n")
    path.write_bytes(text.encode("cp1252"))


def excel_sheet(path: Path) -> None:
    """An Excel file, with a second sheet."""
    with pd.ExcelWriter(path, engine="openpyxl") as writer:
        pd.DataFrame(ROWS, columns=NAMES).to_excel(writer, sheet_name="data", index=False)
        pd.DataFrame({"note": ["by hand"]}).to_excel(writer, sheet_name="notes", index=False)


def excel_unicode(path: Path) -> None:
    """Excel's "Unicode text": UTF-16 with tabs."""
    path.write_bytes(lines(NAMES, *ROWS, sep="\t", end="\r\n").encode("utf-16"))


def libreoffice(path: Path) -> None:
    """LibreOffice: a title, and empty columns and rows to the right and below."""
    blank = [""] * 5
    rows = [(*row, "", "") for row in ROWS]
    path.write_text(lines(["Water", *blank[1:]], blank, (*NAMES, "", ""), *rows, blank, blank))


def matlab_table(path: Path) -> None:
    """MATLAB's writetable with NaN for a missing cell."""
    rows = [*ROWS[:-1], (*ROWS[-1][:2], "NaN")]
    path.write_text(lines(NAMES, *rows))


def matlab_fixed(path: Path) -> None:
    """MATLAB's fprintf: columns of fixed width."""
    rows = ["".join(f"{number:16.7e}" for number in row) for row in ROWS]
    path.write_text("".join(f"{line}\n" for line in ["".join(f"{name:>16}" for name in NAMES), *rows]))


def comsol(path: Path) -> None:
    """COMSOL: comments, the last of which is the header, and aligned columns."""
    header = [f"{name} ({unit})" for name, unit in zip(NAMES, UNITS, strict=True)]
    top = ["% Model:              water.mph", "% Version:            COMSOL 6.2", "% Nodes:              12"]
    body = ["".join(f"{number:<25}" for number in row) for row in ROWS]
    path.write_text("\n".join([*top, "% " + "".join(f"{name:<25}" for name in header), *body, ""]))


def labview(path: Path) -> None:
    """LabVIEW: lines of settings, tabs, and a column Comment without cells."""
    top = ["LabVIEW Measurement\t", "Writer_Version\t2", "Separator\tTab", "X_Dimension\tTime\tTime"]
    path.write_text(
        "\n".join([*top, "***End_of_Header***\t", "", ""]) + lines((*NAMES, "Comment"), *ROWS, sep="\t")
    )


def fortran(path: Path) -> None:
    """Fortran: a comment, blanks, exponents with D, and one of three digits without a letter."""
    text = [[f"{number:.10E}".replace("E", "D") for number in row] for row in ROWS]
    text[0][2] = "5.687-304"
    body = "".join("  ".join(["", *row]) + "\n" for row in text)
    path.write_text("# " + "  ".join(NAMES) + "\n" + body)


def pandas_gzip(path: Path) -> None:
    """pandas: a compressed file with row numbers in a column without a name."""
    path.write_bytes(gzip.compress(pd.DataFrame(ROWS, columns=NAMES).to_csv().encode()))


FILES: dict[str, Callable[[Path], None]] = {
    "excel_german.csv": excel_german,
    "excel_sheet.xlsx": excel_sheet,
    "excel_unicode.txt": excel_unicode,
    "libreoffice.csv": libreoffice,
    "matlab_table.csv": matlab_table,
    "matlab_fixed.txt": matlab_fixed,
    "comsol.txt": comsol,
    "labview.lvm": labview,
    "fortran.dat": fortran,
    "pandas.csv.gz": pandas_gzip,
}


def write_all(folder: Path) -> None:
    """Write all files."""
    for name, write in FILES.items():
        write(folder / name)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
