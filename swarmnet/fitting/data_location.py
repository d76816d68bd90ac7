"""Where the data are during training: in memory, in files, or on the workers of a client."""

import os
from typing import TYPE_CHECKING

from swarmnet.data.data_frames import is_frame
from swarmnet.data.file_data import FileData
from swarmnet.data.mixed_data import MixedData
from swarmnet.data.readers import Size, open_files, read
from swarmnet.errors import SwarmnetError
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.objective.row_source import Source
from swarmnet.scaling import Preparation
from swarmnet.threads import ThreadPool

if TYPE_CHECKING:
    from distributed import Client

    from swarmnet.distributed.cluster import Cluster

Data = MixedData | FileData | str | os.PathLike[str]


def located(data: Data, memory_limit: Size | None, client: "Client | None" = None) -> MixedData | FileData:
    """Return the data, read from files if a path is given.

    Raises:
        SwarmnetError: they cannot be read, `memory_limit` is given for data that are already read, or
            `client` is not a usable Dask client.
    """
    if not isinstance(data, MixedData | FileData | str | os.PathLike):
        what = "a DataFrame" if is_frame(data) else repr(type(data).__name__)
        raise SwarmnetError(
            f"data must be MixedData or a file's name, not {what}: MixedData(X, Y, J) takes arrays, and "
            "MixedData.from_frame a DataFrame"
        )
    if client is not None:
        return _on_workers(data, client)
    if not isinstance(data, MixedData | FileData):
        return read(data, memory_limit=memory_limit)
    if memory_limit is not None:
        raise SwarmnetError("memory_limit goes with a file's name: give it to read_csv or read_parquet")
    return data


def _on_workers(data: Data, client: "Client") -> MixedData | FileData:
    from swarmnet.distributed.sharded_sums import on_workers  # noqa: PLC0415  # an extra

    if isinstance(data, MixedData):
        return data
    return on_workers(data if isinstance(data, FileData) else open_files(data), client)


def cluster_of(data: MixedData | FileData, client: "Client | None") -> "Cluster | None":
    """Return the cluster whose workers train; None to train in this process.

    Raises:
        SwarmnetError: as in `Cluster`.
    """
    if client is None and (isinstance(data, MixedData) or isinstance(data.pool, ThreadPool)):
        return None
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra

    if isinstance(data, FileData) and isinstance(data.pool, Cluster):
        return data.pool
    return Cluster(client)


def source_of(data: FileData, preparation: Preparation) -> Source:
    """Return the rows: in a file of chunks on this machine, or on the workers that read them."""
    if isinstance(data.pool, ThreadPool):
        return StreamedSource(data, preparation)
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra
    from swarmnet.distributed.sharded_sums import WorkerSource  # noqa: PLC0415

    assert isinstance(data.pool, Cluster)
    return WorkerSource(data, preparation, data.pool)
