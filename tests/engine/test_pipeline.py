"""Every item is read and computed once, few at a time; what fails is tried again and told."""

import threading
from collections import Counter
from collections.abc import Sequence

import pytest

from uvsam.engine.pipeline import pipeline
from uvsam.errors import OutputError, SceneError


@pytest.mark.parametrize(("threads", "batch"), [(1, 1), (3, 1), (2, 4)])
def test_every_item_is_done_once_and_few_are_held(threads: int, batch: int) -> None:
    held, most, readers, lock = 0, 0, set(), threading.Lock()

    def read(item: int) -> int:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        readers.add(threading.get_ident())
        return item

    def compute(items: Sequence[int]) -> list[int]:
        nonlocal held
        with lock:
            held -= len(items)
        assert len(items) <= batch
        return [item * item for item in items]

    found = {done.item: done.result for done in pipeline(range(50), read, compute, threads=threads, batch=batch)}
    assert found == {item: item * item for item in range(50)}
    assert len(readers) == 1
    assert most <= (2 * threads + 1) * batch


@pytest.mark.parametrize("batch", [1, 4])
def test_an_item_is_tried_twice_and_others_go_on(batch: int) -> None:
    tries: Counter[int] = Counter()

    def read(item: int) -> int:
        tries[item] += 1
        if item == 3 or (item == 7 and tries[7] == 1):
            raise SceneError(f"block {item} is damaged")
        return item

    def compute(items: Sequence[int]) -> list[int]:
        if 11 in items:
            raise RuntimeError("no kernel for 11")
        return list(items)

    done = list(pipeline(range(20), read, compute, threads=2, batch=batch))
    assert sorted(one.item for one in done) == list(range(20))
    assert {one.item: str(one.error) for one in done if one.error} == {3: "block 3 is damaged", 11: "no kernel for 11"}
    assert (tries[3], tries[7], tries[11]) == (2, 2, 2)


class OutOfMemoryError(RuntimeError):
    """By its name that of a GPU."""


@pytest.mark.parametrize("error", [OutputError("full"), MemoryError(), TypeError("a mistake"), OutOfMemoryError()])
def test_errors_that_are_not_of_an_item_end_the_run(error: Exception) -> None:
    def compute(items: Sequence[int]) -> list[int]:
        raise error

    with pytest.raises(type(error)):
        list(pipeline(range(5), int, compute))
