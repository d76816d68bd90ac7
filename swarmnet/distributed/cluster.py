"""A Dask cluster, as who does work for many items, with each failure in one line: pip install ".[dask]"."""

import logging
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

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

_CONNECT = 8.0  # seconds that a scheduler may take to answer
_LOOK = 1.0  # seconds between two looks at whether there is any worker left
_PATIENCE = 30.0  # seconds without any after which one gives up: a new one takes some to start
_GATHER = 60.0  # seconds after which results are asked for again: their worker may be gone
_WARNS_FROM = "distributed.admin.large-graph-warning-threshold"
_LOOPBACK = "127.0.0.1"  # Dask asks nobody who he is: other machines must not reach it
_LARGE = 1 << 17  # bytes from which what all tasks need is sent only once


@dataclass(frozen=True)
class Cluster:
    """The workers of a Dask cluster, as who reads files and holds their rows.

    Args:
        client: their client; they must see the files under the same names as this machine.

    Raises:
        SwarmnetError: it is no client, has no workers, or these have another version of swarmnet.
    """

    client: Client

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
        """Threads of all workers."""
        with _readable_errors():
            return sum(self.client.nthreads().values())

    def map(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """work(item) of each item on some worker, in the items' order."""
        return iter(self.results(self.submit(work, list(items))))

    def submit(self, work: Callable[..., R], *items: Sequence[Any]) -> "list[Future]":
        """Have work(item, ...) done on some worker for each of the items.

        Raises:
            SwarmnetError: it cannot be sent.
        """
        # What is the same for all must not be a keyword: of a large one Dask makes a task by that name, and
        # takes the task of an earlier call for it.
        try:
            with _readable_errors(), dask.config.set({_WARNS_FROM: "1TB"}):
                return list(self.client.map(work, *items, pure=False))
        except (TypeError, pickle.PicklingError) as error:
            if not any(word in str(error) for word in ("pickle", "serialize")):
                raise
            raise unsendable() from None

    def shared(self, item: T, size: int) -> "T | Future":
        """An item of so many bytes, for many tasks: a large one is sent out once, and workers pass it on."""
        return item if size < _LARGE else self.kept(item)

    def kept(self, item: object) -> "Future":
        """An item for many tasks, sent out once: workers pass it on, and keep it."""
        # Not scattered, as Dask would have it: this is done again where a worker dies that has it.
        return self.submit(_itself, [item])[0]

    def everywhere(self, item: object) -> "Future":
        """An item that is sent to each worker, once."""
        with _readable_errors():
            return self.client.scatter([item], broadcast=True, hash=False)[0]  # of a tuple it makes several

    def on_each(self, work: Callable[[T], object], item: T) -> None:
        """Have work(item) done once by each worker; where one dies, or has no time, by another."""
        with _readable_errors():
            asked = [
                self.client.submit(work, item, workers=[worker], allow_other_workers=True, pure=False)
                for worker in self.client.nthreads()
            ]
        self.results(asked)

    def results(self, futures: "Sequence[Future]") -> list[Any]:
        """What the tasks return, as soon as all have.

        Raises:
            WorkersLost: no worker is left, or no scheduler.
            SwarmnetError: a task raised it.
        """

        def gather() -> Any:
            return self.client.gather(futures, asynchronous=True)

        with _readable_errors():
            while True:
                try:
                    wait(futures, timeout=_LOOK)
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
        """Whether there are workers, or come while one can wait."""
        end = time.monotonic() + _PATIENCE
        while not self.client.nthreads():
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True


@contextmanager
def connected(scheduler: str) -> Iterator[Cluster]:
    """The cluster of the scheduler at an address, or for "local" one of this machine's cores for the time.

    Raises:
        SwarmnetError: no scheduler answers there, or it has no workers.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what they say comes as errors
    if scheduler == "local":
        with _local_cluster() as local, Client(local) as client:
            yield Cluster(client)
        return
    try:
        client = Client(scheduler, timeout=_CONNECT)
    except (OSError, ValueError):
        raise SwarmnetError(
            f"{scheduler}: no Dask scheduler answers there: start one with dask scheduler and give its "
            "address as in tcp://host:8786, or give local"
        ) from None
    with client:
        yield Cluster(client)


def _local_cluster() -> LocalCluster:
    """Workers on this machine, which it alone can reach, and no dashboard."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the workers inherit: Ctrl-C is for us
    try:
        return LocalCluster(
            n_workers=available_cores(),
            threads_per_worker=1,
            host=_LOOPBACK,
            dashboard_address=f"{_LOOPBACK}:0",  # without an address, Dask listens at all, or at one port
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
    """Put what Dask says of a cluster that fails into one line."""
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
