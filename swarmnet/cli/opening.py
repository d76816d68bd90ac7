"""Opens the data of a command: from files on this machine, or by a scheduler's workers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from swarmnet.cli import console
from swarmnet.data.column_names import listed
from swarmnet.data.dataset import Dataset
from swarmnet.data.file_paths import files_of, name_of
from swarmnet.data.logarithms import Logarithms
from swarmnet.data.readers import columns_left_out, open_files, read
from swarmnet.data.reading import Reading
from swarmnet.errors import SwarmnetError


def note_columns_left_out(
    paths: list[str], inputs: str | None, outputs: str | None, define: list[str] | None, reading: Reading
) -> None:
    """Note columns that are not used: a misspelt name of a slope may be among them."""
    formulas = console.definitions(define)
    left_out = columns_left_out(paths, console.names(inputs), console.names(outputs), formulas, reading)
    if left_out:
        console.note(f"{name_of(paths)}: columns not needed: {listed(left_out)}")


@contextmanager
def opened(
    data: list[str],
    inputs: str | None,
    outputs: str | None,
    define: list[str] | None,
    memory_limit: str | None,
    scheduler: str | None,
    reading: Reading,
) -> Iterator[Any]:
    """Yield the data: in memory, in their files, or on a scheduler's workers."""
    note_columns_left_out(data, inputs, outputs, define, reading)
    roles, formulas = (console.names(inputs), console.names(outputs)), console.definitions(define)
    if scheduler is None:
        yield read(data, *roles, memory_limit, define=formulas, reading=reading)
        return
    refuse_limit_of_workers(scheduler, memory_limit)
    files = open_files(data, *roles, define=formulas, reading=reading)
    with cluster_of(scheduler) as cluster:
        yield replace(files, pool=cluster)


def refuse_non_positive(
    data: Dataset, log: list[str] | None, paths: list[str], define: list[str] | None, reading: Reading
) -> None:
    """Refuse data in memory of which a number has no logarithm, before some of them are held out.

    Raises:
        SwarmnetError: the message says in which file and line, or in which row if they cannot be read twice.
    """
    logs = Logarithms.of(log or (), data.inputs, data.outputs)
    try:
        logs.checked(data)
    except SwarmnetError:
        if all(file.is_file() for file in files_of(paths)):
            found = open_files(
                paths, data.inputs, data.outputs, define=console.definitions(define), reading=reading
            )
            _ = logs.checked(found).statistics
        raise


def refuse_limit_of_workers(scheduler: str | None, memory_limit: str | None) -> None:
    """A scheduler's workers keep to limits of their own."""
    if scheduler is not None and memory_limit is not None:
        raise SwarmnetError("--memory-limit is for one machine: give it to the workers, as dask worker does")


def cluster_of(scheduler: str | None) -> AbstractContextManager[Any]:
    """The cluster of a scheduler, or None if none is named."""
    if scheduler is None:
        return nullcontext()
    from swarmnet.distributed.cluster import connected  # noqa: PLC0415  # an extra

    return connected(scheduler)
