"""One way to run many tasks, wherever they run.

A task is a small picklable value and a function of it, never an array of pixels or a model: what a task needs it reads
itself. At any time a few tasks per worker are under way, so a million of them need no more memory than ten.
"""

import atexit
import gc
import logging
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from uvsam.errors import SettingsError, WorkerError

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
Result = TypeVar("Result")

AHEAD = 2
"""Tasks under way per thread of a worker."""
CONNECT_S = 20
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": 2**33, "MALLOC_MMAP_MAX_": 0}
"""Workers keep memory that is free. With distributed's own settings they give back, and ask for again, what every tile
needs, and that takes as long as computing."""

RARELY = {"distributed.admin.tick.interval": "1s", "distributed.admin.system-monitor.interval": "5s"}
"""How often workers and their scheduler look at themselves: fifty times a second, as they would, is a twentieth of a
core."""

QUIET = {"DASK_LOGGING__DISTRIBUTED": "critical"}
"""Workers say no more of lost connections than this process: see ``_quietly``."""


class Run(Protocol):
    """Runs a function on every task and yields the results as they come, in any order.

    An error in a task ends the iteration with that error. Leaving the iteration early cancels what has not begun. A
    task whose worker dies is given to another one; where it has cost several of them, or where nobody is left to ask,
    the iteration ends with a :class:`~uvsam.errors.WorkerError`.
    """

    def __call__(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]: ...


def here(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """One after the other in this thread."""
    return map(function, tasks)


def in_order(run: Run, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
    """The results in the order of their tasks; those that come early wait."""
    early: dict[int, Result] = {}
    due = 0
    for number, result in run(partial(_numbered, function), enumerate(tasks)):
        early[number] = result
        while due in early:
            yield early.pop(due)
            due += 1


def _numbered(function: Callable[[Task], Result], task: tuple[int, Task]) -> tuple[int, Result]:
    return task[0], function(task[1])


@contextmanager
def open_run(
    workers: int = 1,
    *,
    processes: bool = False,
    dask: "str | Client | None" = None,
    even_one: bool = False,
    first: Callable[[], Any] | None = None,
) -> Iterator[Run]:
    """Prepare a place to run tasks.

    Args:
        workers: threads, or processes of one thread each, on this machine; 1 is :func:`here`.
        processes: processes instead of threads, for work that holds Python's lock.
        dask: address of a Dask scheduler, as in ``tcp://host:8786``, or a client of it, which stays open; it has
            workers of its own. It is trusted.
        even_one: make a process for one worker, too.
        first: is called in each new process at once, while this one goes on; picklable.

    Raises:
        SettingsError: no scheduler answers at ``dask``, or there is no worker, or the client is closed or asynchronous.
        TypeError: ``dask`` is neither an address nor a client.
    """
    if dask is None and workers == 1 and not even_one:
        yield here
        return
    if dask is not None:
        with _quietly(), _connected(dask) as client:
            yield _on(client)
        return
    if not processes:
        with ThreadPoolExecutor(workers) as pool:
            yield _in_threads(pool, workers)
        return
    from dask.config import set as set_dask
    from distributed import Client

    with (
        _quietly(),
        set_dask(
            {f"distributed.nanny.pre-spawn-environ.{name}": value for name, value in (KEEP_MEMORY | QUIET).items()}
            | RARELY
            | {"distributed.worker.profile.enabled": False}  # which looks into running threads a hundred times a second
        ),
        _start_workers(workers) as cluster,
        Client(cluster) as client,
    ):
        beginning = [  # kept until the end: what nobody waits for is not done
            client.submit(_begin, first, workers=[worker], pure=False) for worker in client.nthreads()
        ]
        yield _on(client)
        del beginning


def _begin(first: Callable[[], Any] | None) -> None:
    """In a new worker process."""
    atexit.register(gc.freeze)  # as in ``uvsam.__main__``
    if first:
        first()


def _start_workers(workers: int) -> Any:
    """Processes that never see Ctrl-C, which a terminal sends to all: the one that steers them ends them."""
    from uvsam.engine.local_cluster import local_cluster

    resource_tracker.ensure_running()  # first, as it makes the thread that starts it open to signals again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what starts here has it from us
    try:
        return local_cluster(workers)
    except RuntimeError as error:
        raise WorkerError(
            "the worker processes did not start; a script that asks for them has its calls below "
            'if __name__ == "__main__": as each process reads the script once more'
        ) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _in_threads(pool: ThreadPoolExecutor, threads: int) -> Run:
    def run(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        waiting = iter(tasks)
        under_way = {pool.submit(function, task) for task in islice(waiting, AHEAD * threads)}
        try:
            while under_way:
                finished, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                    under_way |= {pool.submit(function, task) for task in islice(waiting, 1)}
        finally:
            for future in under_way:
                future.cancel()

    return run


@contextmanager
def _quietly() -> Iterator[None]:
    """What distributed tells of dead workers and lost connections is told by our errors, or mended without a word."""
    import distributed  # noqa: F401  # which sets the levels of its loggers

    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


@contextmanager
def _connected(address: "str | Client") -> Iterator[Any]:
    from distributed import Client

    if not isinstance(address, str):
        yield _checked(address)
        return
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise SettingsError(f"no Dask scheduler answers at {address}") from error
    except TypeError as error:  # what distributed says of a missing certificate
        raise SettingsError(
            f"{address} asks for a certificate; name it in Dask's configuration (distributed.comm.tls, or "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, ..__CLIENT__CERT and ..__CLIENT__KEY)"
        ) from error
    with client:
        yield client


def _checked(client: Any) -> Any:
    from distributed import Client

    if not isinstance(client, Client):
        hint = "; give Client(cluster)" if hasattr(client, "scheduler_address") else ""
        raise TypeError(f"dask is an address or a distributed.Client, not {type(client).__qualname__}{hint}")
    if client.asynchronous:
        raise SettingsError("the Dask client is asynchronous; give one that is made with asynchronous=False")
    if client.status != "running":
        raise SettingsError(f"the Dask client is {client.status}; connect it again")
    return client


def _on(client: Any) -> Run:
    def run(function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        import distributed
        from distributed.client import FutureCancelledError
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        threads = sum(client.nthreads().values())
        if not threads:
            raise SettingsError(f"the Dask cluster at {client.scheduler.address} has no worker")
        waiting = iter(tasks)
        under_way = [client.submit(function, task, pure=False) for task in islice(waiting, AHEAD * threads)]
        finished: Any = distributed.as_completed(under_way)
        try:
            for future in finished:
                yield future.result()
                future.release()
                for task in islice(waiting, 1):
                    finished.add(client.submit(function, task, pure=False))
        except KilledWorker as error:
            raise WorkerError("workers died again and again over the same work; do they have enough memory?") from error
        except (FutureCancelledError, CommClosedError) as error:
            raise WorkerError("the connection to the Dask scheduler is lost") from error
        finally:
            client.cancel(list(finished.futures))

    return run
