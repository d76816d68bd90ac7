"""The arguments of commands that name data files, and the options that say how these are written."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from swarmnet.data.reading import Reading

_KINDS = "CSV, Excel or Parquet files, or globs; several are read as one table."
DataFiles = Annotated[list[str], typer.Argument(metavar="DATA...", help=_KINDS)]
Points = Annotated[list[str], typer.Argument(metavar="QUERY...", help=f"Inputs: {_KINDS}")]
Anything = Annotated[list[str], typer.Argument(metavar="DATA...|MODEL", help=f"Data: {_KINDS} Or a model.")]
SomeFiles = Annotated[
    list[str] | None,
    typer.Argument(metavar="DATA...", help="Data to measure errors on and draw; or globs."),
]

_OPTIONS: dict[str, Any] = {
    "sep": Annotated[
        str | None, typer.Option(help='Between columns: a character, tab, or " " for any number of blanks.')
    ],
    "decimal": Annotated[str | None, typer.Option(help="Decimal mark: a point or a comma.")],
    "thousands": Annotated[str | None, typer.Option(help="Between groups of three digits; none by default.")],
    "na": Annotated[
        list[str] | None,
        typer.Option("--na", metavar="TEXT", help='A cell that means "not observed", as "-"; repeatable.'),
    ],
    "encoding": Annotated[str | None, typer.Option(help="Of text files, as cp1252; UTF-8 by default.")],
    "categories": Annotated[
        list[str] | None,
        typer.Option(
            "--categories",
            metavar="COLUMN",
            help="Column of texts to read as columns of 0 and 1.",
        ),
    ],
}


def with_reading(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options of reading files in place of its argument `reading`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name, None) for name in _OPTIONS}
        command(**given, reading=Reading.of(**options))

    signature = inspect.signature(command)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "reading"]
    added = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own, *added]}
    return run
