"""Numbered pieces of a run, each done once: here or elsewhere, now or before the run was interrupted."""

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from uvsam.engine.executors import Run
from uvsam.engine.journal import Log
from uvsam.engine.pipeline import Done
from uvsam.errors import OutputError

SPAN = 4
"""Pieces that travel to a worker elsewhere as one task."""


class Work(Protocol):
    """What is to be done: small and picklable, with neither pixels nor models in it."""

    def records(self, model: Any, keys: Iterable[int], *, threads: int = 1, batch: int = 1) -> Iterator[Done]:
        """For each piece what is to be kept of it, as bytes, in any order. Nothing but the piece decides on them."""


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


def complete(work: Work, model: Any, keys: Iterable[int], log: Log, share: Share = ALONE) -> Iterator[Done]:
    """Do what is not in the log yet, and keep it there; yields each piece when it is kept.

    Raises:
        OutputError: the disk is full.
    """
    missing = [key for key in keys if key not in log]
    if share.elsewhere is not None:
        for done in _elsewhere(work, missing, log, share.elsewhere, share.batch):
            if done.error is None:
                log.places[done.item] = done.result
            yield done
        return
    for done in work.records(model, missing, threads=share.threads, batch=share.batch):
        if done.error is None:
            log.append(done.item, done.result)
        yield done


def _elsewhere(work: Work, keys: Sequence[int], log: Log, there: Elsewhere, batch: int) -> Iterator[Done]:
    """What is computed stays in the log's folder, and its place is told."""
    packed = pickle.dumps((work, there.build, log.folder, log.name))
    spans = (_Span(packed, tuple(keys[start : start + SPAN]), batch) for start in range(0, len(keys), SPAN))
    for done in there.run(_do_span, spans):
        yield from done


class _Span(NamedTuple):
    packed: bytes
    keys: tuple[int, ...]
    batch: int


def _do_span(span: _Span) -> list[Done]:
    work, model, log = _unpacked(span.packed)
    return [
        done if done.error is not None else done._replace(result=log.append(done.item, done.result))
        for done in work.records(model, span.keys, batch=span.batch)
    ]


@lru_cache(maxsize=1)
def _unpacked(packed: bytes) -> tuple[Work, Any, Log]:
    """What a worker needs, made once in its process."""
    work, build, folder, name = pickle.loads(packed)  # from the process that gives the command
    if not folder.is_dir():
        raise OutputError(f"a worker does not see {folder}; put --out on a disk that all of them share")
    return work, build(), Log(Path(folder), name)
