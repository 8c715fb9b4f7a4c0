"""Progress as a callable: the pipeline reports, the command line decides how it looks."""

from typing import Protocol


class Progress(Protocol):
    """Called as ``progress(stage, done, total)``; ``total`` may be 0 when it is not known.

    ``stage`` says what is done and, where that is not plain, in brackets what is counted. ``done`` of a stage's first
    call is where the stage begins: more than 0 where an earlier run did a part of it.
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """A progress that shows nothing: the default everywhere outside the command line."""
