"""A Dask cluster that does the same work for many items, with one-line errors: pip install ".[dask]"."""

import logging
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from swarmnet.data.file_chunks import SIZES
from swarmnet.errors import SwarmnetError, WorkersLost, install_hint, unsendable
from swarmnet.threads import available_cores
from swarmnet.version import __version__

try:
    import dask.config
    from distributed import Client, Future, LocalCluster, wait
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError
    from distributed.scheduler import KilledWorker
except ImportError:
    raise SwarmnetError(f"rows on workers need Dask: {install_hint('dask')}") from None

T = TypeVar("T")
R = TypeVar("R")

_GATHER = 60.0  # seconds after which results are requested again, in case their worker is lost
_WARNS_FROM = "distributed.admin.large-graph-warning-threshold"
_LOOPBACK = "127.0.0.1"  # Dask has no authentication, so other machines must not reach it


@dataclass(frozen=True)
class Cluster:
    """The workers of a Dask cluster, which read files and hold rows.

    Args:
        client: a Dask client; its workers must see the files under the same names as this machine.
        shards: minimum number of shards of the rows, to divide a dead worker's rows among several; there is
            one for each thread if that is more.
        block_rows: maximum rows of a block, for rows in memory.
        copied_bytes: bytes of rows up to which each worker gets all of them; their chunks take five times as
            much. For water_enthalpy.csv on two workers, climbs took 31 s so, and 97 s with distributed rows.
        copied_cost: multiplications of an iteration (about 0.5 s) above which distributed rows are faster
            than whole climbs, if there are enough blocks: the calls for a climb's sums take 0.1 s. It does
            not depend on the workers' number of threads, so that the model does not either; with few
            threads, both ways take about as long.
        rows_here: rows in files up to which this process reads them too: workers would save no time.
        large: bytes from which an item for all tasks is sent only once.
        look: seconds between checks for remaining workers.
        patience: seconds to wait for new workers when none is left: a worker takes some to start.

    Raises:
        SwarmnetError: it is not a client, has no workers, or these have another version of swarmnet.
    """

    client: Client
    shards: int = 8
    block_rows: int = SIZES.block_rows
    copied_bytes: int = 1 << 27
    copied_cost: float = 5e9
    rows_here: int = 1 << 16
    large: int = 1 << 17
    look: float = 1.0
    patience: float = 30.0

    def __post_init__(self) -> None:
        if not isinstance(self.client, Client) or self.client.asynchronous:
            raise SwarmnetError(f"client must be a dask.distributed.Client, not {self.client!r}")
        with _readable_errors():
            if not self._workers_come():
                raise WorkersLost("the scheduler has no workers: start some with dask worker")
            versions = set(self.client.run(_version).values())
        if versions != {__version__}:
            raise SwarmnetError(
                f"the workers have swarmnet {', '.join(sorted(versions))}, and here is {__version__}: "
                "install the same version everywhere"
            )

    @property
    def threads(self) -> int:
        """Number of threads of all workers."""
        with _readable_errors():
            return sum(self.client.nthreads().values())

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield work(item) for each item, computed on the workers, in the items' order."""
        return iter(self.results(self.submit(work, list(items))))

    def submit(self, work: Callable[..., R], *items: Sequence[Any]) -> "list[Future]":
        """Submit work(item, ...) for each of the items."""
        # Arguments that are the same for all must not be keywords: Dask makes a named task of a large one,
        # and may reuse that of an earlier call.
        try:
            with _readable_errors(), dask.config.set({_WARNS_FROM: "1TB"}):
                return list(self.client.map(work, *items, pure=False))
        except (TypeError, pickle.PicklingError) as error:
            if not any(word in str(error) for word in ("pickle", "serialize")):
                raise
            raise unsendable() from None

    def shared(self, item: T, size: int) -> "T | Future":
        """Return an item of so many bytes to use in many tasks; a large one is sent only once."""
        return item if size < self.large else self.kept(item)

    def kept(self, item: object) -> "Future":
        """Send an item for many tasks once; workers keep it and pass it on."""
        # A task instead of scatter, because Dask repeats a task if its worker dies.
        return self.submit(_itself, [item])[0]

    def everywhere(self, item: object) -> "Future":
        """Send an item to each worker once."""
        with _readable_errors():
            return self.client.scatter([item], broadcast=True, hash=False)[0]  # a tuple would be split

    def on_each(self, work: Callable[[T], object], item: T) -> None:
        """Do work(item) once on each worker, or on another if that one dies or is busy."""
        with _readable_errors():
            asked = [
                self.client.submit(work, item, workers=[worker], allow_other_workers=True, pure=False)
                for worker in self.client.nthreads()
            ]
        self.results(asked)

    def results(self, futures: "Sequence[Future]") -> list[Any]:
        """Return the results of the tasks when all have finished."""

        def gather() -> Any:
            return self.client.gather(futures, asynchronous=True)

        with _readable_errors():
            while True:
                try:
                    wait(futures, timeout=self.look)
                    return list(self.client.sync(gather, callback_timeout=_GATHER))
                except TimeoutError:
                    if self.client.status != "running":
                        raise CommClosedError from None
                    if not self._workers_come():
                        raise WorkersLost(
                            "all workers are gone: start new ones, and then train again, with the same "
                            "checkpoint if one was kept"
                        ) from None

    def _workers_come(self) -> bool:
        """Return whether there are workers, waiting up to `patience` seconds for them."""
        end = time.monotonic() + self.patience
        while not self.client.nthreads():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


@contextmanager
def connected(scheduler: str, timeout: float = 8.0) -> Iterator[Cluster]:
    """Connect to the scheduler at an address, or start a temporary local cluster for "local".

    The scheduler must answer within `timeout` seconds.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # failures are raised as errors instead
    if scheduler == "local":
        with _local_cluster() as local, Client(local) as client:
            yield Cluster(client)
        return
    try:
        client = Client(scheduler, timeout=timeout)
    except (OSError, ValueError):
        raise SwarmnetError(
            f"{scheduler}: no Dask scheduler answers there: start one with dask scheduler and give its "
            "address as in tcp://host:8786, or give local"
        ) from None
    with client:
        yield Cluster(client)


def _local_cluster() -> LocalCluster:
    """Start workers that only this machine can reach, without a dashboard."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # workers inherit it: only we take Ctrl-C
    try:
        return LocalCluster(
            n_workers=available_cores(),
            threads_per_worker=1,
            host=_LOOPBACK,
            dashboard_address=f"{_LOOPBACK}:0",  # Dask needs an address, or it opens a port on all interfaces
            scheduler_kwargs={"dashboard": False},
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        said = " ".join(str(cause).split())
        raise SwarmnetError(
            f"local: Dask cannot start workers here ({said}): look at its configuration, or leave them out"
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Turn Dask's errors about a failing cluster into SwarmnetErrors of one line."""
    try:
        yield
    except KilledWorker as error:
        raise WorkersLost(
            f"{error.last_worker.address}: the last of several workers that died of the same rows: "
            "do they have memory enough?"
        ) from None
    except ImportError as error:
        raise SwarmnetError(f"a worker cannot run swarmnet ({error}): install it there") from None
    except (CommClosedError, CancelledError, FutureCancelledError):
        raise WorkersLost(
            "the scheduler is gone: start one, and workers, and then train again, with the same checkpoint "
            "if one was kept"
        ) from None


def _itself(item: T) -> T:
    return item


def _version() -> str:
    return __version__
