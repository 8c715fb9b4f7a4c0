"""Items through two stages on this machine: read one after the other in a thread of its own, computed in others."""

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from uvsam.errors import SceneError

Item = TypeVar("Item")
Given = TypeVar("Given")
Result = TypeVar("Result")

OF_AN_ITEM = (SceneError, RuntimeError)
"""Errors that may be about one item and not about all."""


class Done(NamedTuple):
    """What became of an item: its result, or the error after a second attempt."""

    item: Any
    result: Any
    error: Exception | None = None


def pipeline(
    items: Iterable[Item], read: Callable[[Item], Given], compute: Callable[[Sequence[Given]], Sequence[Result]], *,
    threads: int = 1, batch: int = 1, initializer: Callable[[], None] | None = None,
) -> Generator[Done]:  # fmt: skip
    """Read and compute items; what becomes of them comes in any order.

    An item that cannot be read or computed is tried once more, alone. Memory holds ``2 * threads`` batches. Whoever
    closes what ``read`` reads from closes this before, as its threads go on until then.

    Args:
        read: called in one thread only.
        compute: a batch of what was read, to one result each; called in several threads at a time.
        initializer: called in each of these threads first.

    Raises:
        Exception: an error that is not of an item: the disk, the memory, a mistake.
    """
    with ExitStack() as stack:
        reader = stack.enter_context(ThreadPoolExecutor(1, "read"))
        computers = stack.enter_context(ThreadPoolExecutor(threads, "compute", initializer))
        waiting = iter(items)
        under_way: set[Future[list[Done]]] = set()

        def start() -> None:
            if group := list(islice(waiting, batch)):
                reads = [reader.submit(read, item) for item in group]
                under_way.add(computers.submit(_compute, group, reads, reader, read, compute))

        try:
            for _ in range(2 * threads):  # threads that end at one moment find a batch each that has been read
                start()
            while under_way:
                finished = wait(under_way, return_when=FIRST_COMPLETED).done
                for future in finished:
                    under_way.discard(future)
                    start()
                    yield from future.result()
        finally:
            for future in under_way:
                future.cancel()


def _compute(
    group: list[Item], reads: list[Future[Given]], reader: ThreadPoolExecutor, read: Callable[[Item], Given],
    compute: Callable[[Sequence[Given]], Sequence[Result]],
) -> list[Done]:  # fmt: skip
    given: list[tuple[Item, Given]] = []
    done: list[Done] = []

    def again(item: Item, error: Exception) -> Done:
        _check_is_of_an_item(error)
        try:
            return Done(item, compute([reader.submit(read, item).result()])[0])
        except OF_AN_ITEM as second:
            _check_is_of_an_item(second)
            return Done(item, None, second)

    for item, future in zip(group, reads, strict=True):
        try:
            given.append((item, future.result()))
        except OF_AN_ITEM as error:
            done.append(again(item, error))
    try:
        results = compute([what for _, what in given]) if given else []
        return done + [Done(item, result) for (item, _), result in zip(given, results, strict=True)]
    except OF_AN_ITEM as error:
        return done + [again(item, error) for item, _ in given]


def _check_is_of_an_item(error: Exception) -> None:
    if type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU: the next item will not do better
        raise error
