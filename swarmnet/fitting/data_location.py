"""Where the data are while a network is trained on them: in memory, in files, or with a client's workers."""

import os
from typing import TYPE_CHECKING

from swarmnet.data.data_frames import is_frame
from swarmnet.data.dataset import Dataset, is_dataset
from swarmnet.data.readers import Data, Size, open_files, read
from swarmnet.errors import SwarmnetError
from swarmnet.objective.out_of_core import StreamedSource
from swarmnet.objective.row_source import Source
from swarmnet.objective.row_sums import HeldSource
from swarmnet.scaling import Preparation
from swarmnet.threads import ThreadPool

if TYPE_CHECKING:
    from distributed import Client

    from swarmnet.distributed.cluster import Cluster


def located(data: Data, memory_limit: Size | None, client: "Client | None" = None) -> Dataset:
    """The data themselves, where they are given by their files' names.

    Raises:
        SwarmnetError: they cannot be read, or a limit comes too late.
    """
    if isinstance(data, str | os.PathLike):
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


def cluster_of(data: Dataset, client: "Client | None") -> "Cluster | None":
    """Whose workers are to train.

    Raises:
        SwarmnetError: the client is none that does.
    """
    if client is None and isinstance(data.pool, ThreadPool | None):
        return None
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra

    return data.pool if client is None and isinstance(data.pool, Cluster) else Cluster(client)


def source_of(data: Dataset, preparation: Preparation) -> Source:
    """The rows in memory, in a file of chunks on this machine, or on the workers that read them."""
    if data.in_memory is not None:
        return HeldSource(data.in_memory, preparation)
    if isinstance(data.pool, ThreadPool):
        return StreamedSource(data, preparation)
    from swarmnet.distributed.cluster import Cluster  # noqa: PLC0415  # an extra
    from swarmnet.distributed.sharded_sums import WorkerSource  # noqa: PLC0415

    assert isinstance(data.pool, Cluster)
    return WorkerSource(data, preparation, data.pool)
