"""How the command line talks: progress and notices on stderr, results on stdout."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from uvsam.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import TaskID

UNBROKEN = 1000  # columns of a table that goes to a file
LINE_EVERY_S = 30.0
LINE_EVERY_SHARE = 0.1


@dataclass
class Manner:
    """What -v, -q and --json ask for; the object of the root context, filled while the options are read."""

    verbose: bool = False
    quiet: bool = False
    as_json: bool = False


def manner() -> Manner:
    """How the running command is to talk."""
    context = click.get_current_context(silent=True)
    return context.find_root().ensure_object(Manner) if context else Manner()


def is_quiet() -> bool:
    """Whether the running command was called with -q."""
    return manner().quiet


def say(text: str) -> None:
    """A line for the person at the terminal (stderr); nothing with -q."""
    if not is_quiet():
        click.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str | None = None) -> None:
    """A table on stdout; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else UNBROKEN).print(table)


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values on stdout, one pair a line, the values below each other; a repeated name is written once."""
    width = max((len(name) for name, _ in pairs), default=0)
    before = None
    for name, value in pairs:
        click.echo(f"{'' if name == before else name:<{width}}  {value}")
        before = name


@contextmanager
def progress_display(quiet: bool | None = None) -> Iterator[Progress]:
    """Show progress while the block runs: a bar with rate and time left on a terminal, plain lines elsewhere.

    Args:
        quiet: show nothing; default: what -q says.
    """
    if is_quiet() if quiet is None else quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield progress
    else:
        yield PlainProgress()


@contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    class RateColumn(TextColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:.1f}/s", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(""),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def progress(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)

        yield progress


class PlainProgress:
    """Progress as lines of text: one per tenth of a stage or one every 30 s, so that a log stays short."""

    def __init__(self) -> None:
        self._stages: dict[str, _Stage] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.monotonic()
        state = self._stages.setdefault(stage, _Stage(began_with=done, started=now, last_line=now))
        share = done / total if total else 0.0
        finished = share >= 1 > state.last_share
        if finished or share - state.last_share >= LINE_EVERY_SHARE or now - state.last_line >= LINE_EVERY_S:
            state.last_line, state.last_share = now, share
            elapsed_s = now - state.started
            click.echo(progress_line(stage, done, total, elapsed_s, began_with=state.began_with), err=True)


@dataclass
class _Stage:
    began_with: int
    started: float
    last_line: float
    last_share: float = 0.0


def progress_line(stage: str, done: int, total: int, elapsed_s: float, *, began_with: int = 0) -> str:
    """One line of progress: how much, how fast since the stage began, and how long still."""
    rate = (done - began_with) / elapsed_s if elapsed_s > 0 else 0.0
    speed = f", {rate:.1f}/s" if rate else ""
    if not total:
        return f"{stage}: {done}{speed}, {clock(elapsed_s)} so far"
    so_far = f"{stage}: {done}/{total} ({100 * done / total:.0f} %){speed}"
    if done >= total:
        return f"{so_far}, took {clock(elapsed_s)}"
    return f"{so_far}, {clock((total - done) / rate)} left" if rate else so_far


def clock(seconds: float) -> str:
    """Seconds as ``h:mm:ss``, or ``m:ss`` below an hour."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
