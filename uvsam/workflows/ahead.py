"""Reading ahead of computing, in a thread."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_ahead(
    thread: ThreadPoolExecutor, read: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Generator[Result]:
    """Read items in order, at most ``most`` of them before they are asked for; none any more once it is closed."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(thread.submit(read, item))
            if len(pending) > most:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
