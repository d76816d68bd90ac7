"""The command swarmnet plot."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from swarmnet.atomic_write import write_atomically
from swarmnet.cli import console
from swarmnet.cli.model_files import loaded
from swarmnet.cli.reading import SomeFiles, with_reading
from swarmnet.data.column_names import listed
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import read
from swarmnet.data.reading import AS_FOUND, Reading
from swarmnet.errors import SwarmnetError, unknown
from swarmnet.model.fitted_model import FittedModel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = ("parity", "profiles", "contours")
# Pictures of the same model are the same bytes: none holds the time.
_WITHOUT_TIME: dict[str, dict[str, None]] = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
_RESOLUTION = 150  # dots per inch of PNG

Picture = Annotated[
    Path, typer.Option("--output", "-o", help="File to write: FILE.png, FILE.svg or FILE.pdf.")
]
Kind = Annotated[
    str | None,
    typer.Option(
        help="parity (observed against predicted), profiles (along each input) or contours (over two "
        "inputs); by default parity with DATA, profiles without.",
        autocompletion=console.one_of(KINDS),
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(help="What to draw, as in h,dh/dT or a formula; by default all observed, or all outputs."),
]
Inputs = Annotated[
    str | None,
    typer.Option(help="Inputs along the axes, as in T,p; contours need two, by default the first two."),
]
Point = Annotated[
    str | None,
    typer.Option(help="Where the other inputs are, as in T=300,p=1e5; by default midway in their ranges."),
]


@with_reading
def plot(
    model: console.ModelFile,
    data: SomeFiles = None,
    output: Picture = Path("plot.png"),
    kind: Kind = None,
    columns: Columns = None,
    inputs: Inputs = None,
    at: Point = None,
    define: console.Definitions = None,
    reading: Reading = AS_FOUND,
) -> None:
    """A picture of a model: agreement with data, curves along its inputs, or contours over two of them."""
    form = output.suffix.lower().removeprefix(".")
    if form not in _WITHOUT_TIME:
        raise SwarmnetError(f"{output}: the name says what to write: it must end in .png, .svg or .pdf")
    kind = kind or ("parity" if data else "profiles")
    if kind not in KINDS:
        raise unknown("kind", kind, KINDS)
    if kind == "parity":
        _refuse_for_parity(data, inputs, at)
    console.refuse_output(output, model, *(data or ()))
    point = console.numbers("--at", "INPUT=NUMBER, as in T=300,p=1e5", at)
    fitted, formulas = loaded(model, data), console.definitions(define)
    names = fitted.inputs, fitted.outputs
    rows = read(data, *names, define=formulas, reading=reading) if data else None
    with _noted_warnings():
        figure = _drawn(kind, fitted, rows, console.names(columns), console.names(inputs), point)
        image = _image(figure, form)
    write_atomically(output, image)


def _refuse_for_parity(data: list[str] | None, inputs: str | None, at: str | None) -> None:
    if not data:
        raise SwarmnetError("--kind parity compares with observations: give DATA after MODEL")
    for option, given in (("--inputs", inputs), ("--at", at)):
        if given is not None:
            raise SwarmnetError(f"{option} is for --kind profiles or contours: leave it out, or give --kind")


def _drawn(
    kind: str,
    model: FittedModel,
    data: MixedData | None,
    columns: list[str] | None,
    inputs: list[str] | None,
    at: dict[str, float],
) -> "Figure":
    from swarmnet.plots import contour_panels, parity_panels, profile_panels  # noqa: PLC0415  # an extra

    panels: Mapping[Any, Axes]
    if kind == "contours":
        panels = contour_panels(model, columns, *_axes(model, inputs), at, data)
    elif kind == "profiles" or data is None:
        panels = profile_panels(model, columns, inputs, at, data)
    else:
        panels = parity_panels(model, data, columns)
    return cast("Figure", next(iter(panels.values())).figure)


def _axes(model: FittedModel, inputs: list[str] | None) -> tuple[str | None, str | None]:
    """Return the two inputs of contours, or None for both; notes which are guessed."""
    if inputs is None:
        if len(model.inputs) > 2:
            console.note(f"contours over {listed(model.inputs[:2])}: --inputs names two others")
        return None, None
    if len(inputs) != 2:
        raise SwarmnetError(f"--inputs must be two inputs for contours, as in T,p, not {','.join(inputs)!r}")
    return inputs[0], inputs[1]


def _image(figure: "Figure", form: str) -> bytes:
    import matplotlib as mpl  # noqa: PLC0415  # an extra

    image = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "swarmnet"}):
        figure.savefig(image, format=form, dpi=_RESOLUTION, metadata=_WITHOUT_TIME[form])
    return image.getvalue()


@contextmanager
def _noted_warnings() -> Iterator[None]:
    """Note each warning in one line: matplotlib's say which characters the font lacks."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(str(each.message) for each in heard):
        console.note(f"warning: {message}")
