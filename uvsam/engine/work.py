"""Numbered pieces of a run, each done once: here or elsewhere, now or before the run was interrupted."""

import pickle
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from uvsam.engine.executors import Run
from uvsam.engine.journal import Log
from uvsam.engine.pipeline import Done
from uvsam.errors import OutputError

SPAN = 4
"""Pieces that travel to a worker elsewhere as one task; fewer towards the end, so that all workers end together."""
LAST = 16
"""Tasks that the last pieces are shared out to, at least."""
HOPELESS = 8
"""Pieces that fail, without one that is done, after which a run ends."""


class Work(Protocol):
    """What is to be done: small and picklable, with neither pixels nor models in it."""

    def reader(self) -> AbstractContextManager[Any]:
        """What pieces are read from, to be opened; of files that outlive the run, as workers close it late."""

    def records(
        self, model: Any, reader: Any, keys: Iterable[int], *, threads: int = 1, batch: int = 1
    ) -> Generator[Done]:
        """For each piece what is to be kept of it, as bytes, in any order. Nothing but the piece decides on them.

        The reader is used until this ends or is closed.
        """


@dataclass(frozen=True)
class Elsewhere:
    """Workers in other processes, which share a folder with this one.

    Attributes:
        run: hands tasks to them.
        build: makes their model; picklable.
    """

    run: Run
    build: Callable[[], Any]


class Share(NamedTuple):
    """How pieces are shared out.

    Attributes:
        threads: of this process, each with a batch of its own.
        batch: pieces that are computed at once.
        elsewhere: computes instead of this process.
    """

    threads: int = 1
    batch: int = 1
    elsewhere: Elsewhere | None = None


ALONE = Share()


def complete(
    work: Work, model: Any, count: int, log: Log, share: Share = ALONE, told: Callable[[int], None] = lambda done: None
) -> dict[int, Exception]:
    """Do what is not in the log yet, and keep it there.

    Args:
        count: of pieces, which are numbered from 0.
        told: is called with how many are done or given up, again and again.

    Returns:
        Pieces that could not be done, with the error.

    Raises:
        OutputError: the disk is full.
        Exception: an error that is not of a piece; or that of a piece, where nothing works.
    """
    missing = [key for key in range(count) if key not in log]
    failed: dict[int, Exception] = {}
    told(len(log))
    with closing(
        _elsewhere(work, missing, log, share) if share.elsewhere else _here(work, model, missing, log, share)
    ) as pieces:
        for done in pieces:
            if done.error is not None:
                failed[done.item] = done.error
                if not len(log) and len(failed) >= min(HOPELESS, count):
                    raise done.error
            told(len(log) + len(failed))
    return failed


def _here(work: Work, model: Any, keys: Sequence[int], log: Log, share: Share) -> Generator[Done]:
    with (
        work.reader() as reader,
        closing(work.records(model, reader, keys, threads=share.threads, batch=share.batch)) as pieces,
    ):
        for done in pieces:
            if done.error is None:
                log.append(done.item, done.result)
            yield done


def _elsewhere(work: Work, keys: Sequence[int], log: Log, share: Share) -> Generator[Done]:
    """What is computed stays in the log's folder, and its place is told. So does the work: tasks only name it."""
    assert share.elsewhere is not None
    described = log.folder / f"{log.name}.{time.time_ns()}.work"
    try:
        described.touch(mode=0o600)  # an address in it may be signed
        described.write_bytes(pickle.dumps((work, share.elsewhere.build, log.name)))
    except OSError as error:
        raise OutputError(f"cannot write into {log.folder}: {error.strerror}") from error
    spans = (_Span(described, some, share.batch) for some in _spans(keys))
    for span in share.elsewhere.run(_do_span, spans):
        for done in span:
            if done.error is None:
                log.places[done.item] = done.result
            yield done


def _spans(keys: Sequence[int]) -> Iterator[tuple[int, ...]]:
    start = 0
    while left := len(keys) - start:
        size = max(1, min(SPAN, left // LAST))
        yield tuple(keys[start : start + size])
        start += size


class _Span(NamedTuple):
    described: Path
    keys: tuple[int, ...]
    batch: int


def _do_span(span: _Span) -> list[Done]:
    work, model, log = _read(span.described)
    with (
        _KEPT.reader(span.described, work) as reader,
        closing(work.records(model, reader, span.keys, batch=span.batch)) as pieces,
    ):
        return [
            done if done.error is not None else done._replace(result=log.append(done.item, done.result))
            for done in pieces
        ]


class _Kept(threading.local):
    """The reader of a worker's thread, open from one task to the next: both need the blocks that lie between them."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._of: Path | None = None
        self._reader: Any = None

    @contextmanager
    def reader(self, described: Path, work: Work) -> Iterator[Any]:
        before, self._of = self._of, None  # until this task has gone well
        if before != described:
            self._stack.close()
            self._reader = self._stack.enter_context(work.reader())
        yield self._reader
        self._of = described


_KEPT = _Kept()


@lru_cache(maxsize=1)
def _read(described: Path) -> tuple[Work, Any, Log]:
    """What a worker needs, made once in its process."""
    try:
        work, build, name = pickle.loads(described.read_bytes())  # of the process that gives the command
    except OSError as error:
        raise OutputError(f"a worker cannot read {described}; put --out on a disk that all of them share") from error
    return work, build(), Log(described.parent, name, scan=False)
