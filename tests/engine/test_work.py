"""Pieces are done once, here or elsewhere; what cannot be done is told, and where nothing works the run ends."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from uvsam.engine.executors import open_run
from uvsam.engine.journal import Log
from uvsam.engine.pipeline import Done, pipeline
from uvsam.engine.work import ALONE, HOPELESS, Elsewhere, Share, complete
from uvsam.errors import SceneError

LATE = -1
"""Stands for a piece that was read when its reader was closed."""


@dataclass
class Powers:
    """The powers of a base, which is the model; some cannot be had."""

    damaged: tuple[int, ...] = ()
    read: list[int] = field(default_factory=list)
    diary: Path | None = None
    seconds: float = 0.0
    closed: bool = False

    @contextmanager
    def reader(self) -> Iterator[str]:
        self.closed = False
        self._note("opened")
        try:
            yield "open"
            self._note("closed")
        finally:
            self.closed = True

    def _note(self, what: str) -> None:
        if self.diary:
            with self.diary.open("a") as diary:
                diary.write(f"{what}\n")

    def records(
        self, model: int, reader: str, keys: Iterable[int], *, threads: int = 1, batch: int = 1
    ) -> Generator[Done]:
        def look(key: int) -> int:
            assert reader == "open"
            time.sleep(self.seconds)
            if self.closed:
                self.read.append(LATE)
            self.read.append(key)
            if key in self.damaged:
                raise SceneError(f"piece {key} is damaged")
            return key

        return pipeline(
            keys, look, lambda given: [str(model**key).encode() for key in given], threads=threads, batch=batch
        )


@pytest.mark.parametrize("place", ["here", "threads", "elsewhere", "threads elsewhere"])
def test_pieces_are_done_once_wherever(tmp_path: Path, place: str) -> None:
    log, told = Log(tmp_path, "powers"), []
    log.append(4, b"known")
    with open_run(3, processes=place == "elsewhere") as run:
        share = {"here": ALONE, "threads": Share(threads=3, batch=2)}.get(
            place, Share(1, 2, Elsewhere(run, partial(int, 2)))
        )
        failed = complete(Powers((7,)), 2, 40, log, share, told.append)
    assert {key: str(error) for key, error in failed.items()} == {7: "piece 7 is damaged"}
    expected = {key: str(2**key).encode() for key in range(40) if key != 7} | {4: b"known"}
    for known in (log, Log(tmp_path, "powers")):
        assert {key: known.read(key) for key in known.places} == expected
    assert (told[0], told[-1]) == (1, 40)
    assert told == sorted(told)


def test_what_is_known_is_not_read_again(tmp_path: Path) -> None:
    log, work = Log(tmp_path, "powers"), Powers((3,))
    complete(work, 2, 10, log)
    work.read.clear()
    assert set(complete(work, 2, 10, log)) == {3}
    assert set(work.read) == {3}


def test_a_worker_opens_what_it_reads_once_and_closes_it_for_other_work(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with open_run(processes=True, even_one=True) as run:
        share = Share(elsewhere=Elsewhere(run, partial(int, 2)))
        complete(Powers(diary=first), 2, 100, Log(tmp_path, "powers"), share)
        assert first.read_text().split() == ["opened"]
        complete(Powers(diary=second), 2, 100, Log(tmp_path, "others"), share)
    assert first.read_text().split() == ["opened", "closed"]
    assert second.read_text().split() == ["opened"]


def test_nothing_is_read_from_what_is_closed_when_a_run_breaks_off(tmp_path: Path) -> None:
    work = Powers(seconds=0.01)

    def interrupted(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        complete(work, 2, 100, Log(tmp_path, "powers"), Share(threads=2, batch=4), interrupted)
    time.sleep(0.2)  # in which threads would go on
    assert 4 <= len(work.read) < 100
    assert LATE not in work.read


@pytest.mark.parametrize("count", [1, 10_000])
def test_a_run_in_which_nothing_works_ends_soon(tmp_path: Path, count: int) -> None:
    work = Powers(tuple(range(count)))
    with pytest.raises(SceneError, match="is damaged"):
        complete(work, 2, count, Log(tmp_path, "powers"))
    assert len(set(work.read)) <= HOPELESS + 2
