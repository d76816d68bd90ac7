"""Where the data are during training: in memory, in files, or on the workers of a client."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from swarmnet.data.data_frames import is_frame
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.file_paths import FilePath
from swarmnet.data.readers import Data, Size, open_files, read
from swarmnet.errors import SwarmnetError
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.objective.row_source import Source
from swarmnet.objective.row_sums import HeldSource
from swarmnet.scaling import Preparation
from swarmnet.threads import Pool, ThreadPool

if TYPE_CHECKING:
    from distributed import Client

    from swarmnet.distributed.cluster import Cluster


def located(data: Data, memory_limit: Size | None, client: "Client | None" = None) -> Dataset:
    """Return the data, read from files if a path is given.

    Raises:
        SwarmnetError: they cannot be read, `memory_limit` is given for data that are already read, or
            `client` is not a usable Dask client.
    """
    if isinstance(data, str | os.PathLike) or _are_paths(data):
        return read(data, memory_limit=memory_limit) if client is None else open_files(data)
    if not is_dataset(data):
        what = "a DataFrame" if is_frame(data) else repr(type(data).__name__)
        raise SwarmnetError(
            f"data must be MixedData or a file's name, not {what}: MixedData(X, Y, J) takes arrays, and "
            "MixedData.from_frame a DataFrame"
        )
    if memory_limit is not None:
        raise SwarmnetError("memory_limit goes with a file's name: give it to read_csv or read_parquet")
    return data


def _are_paths(data: Data) -> TypeGuard[Sequence[FilePath]]:
    return isinstance(data, list | tuple) and all(isinstance(part, str | os.PathLike) for part in data)


def cluster_of(pool: Pool | None, client: "Client | None") -> "Cluster | None":
    """Return the cluster whose workers train; None to train in this process. `pool` reads the data.

    Raises:
        SwarmnetError: as in `Cluster`.
    """
    if client is None and isinstance(pool, ThreadPool | None):
        return None
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra

    return pool if client is None and isinstance(pool, Cluster) else Cluster(client)


def source_of(data: Dataset, preparation: Preparation) -> Source:
    """Return the rows: in memory, in a file of chunks on this machine, or on the workers that read them."""
    if data.in_memory is not None:
        return HeldSource(data.in_memory, preparation)
    if isinstance(data.pool, ThreadPool):
        return StreamedSource(data, preparation)
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra
    from swarmnet.distributed.sharded_sums import WorkerSource  # noqa: PLC0415

    assert isinstance(data.pool, Cluster)
    return WorkerSource(data, preparation, data.pool)
