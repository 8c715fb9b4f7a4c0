"""What the command line says, and the exit status it leaves, when a command ends with an error."""

import errno
import os
import signal
import sys
import traceback
import warnings
from typing import NoReturn, TextIO

import click

from uvsam.errors import UvsamError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


class Terminated(KeyboardInterrupt):
    """SIGTERM, from ``kill``, a scheduler or a container that stops: everything is cleaned up as after Ctrl-C."""


def take_sigterm_for_an_interruption() -> None:
    """SIGTERM raises :class:`Terminated` in the main thread from now on."""

    def stop(signum: int, frame: object) -> NoReturn:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)


def report(error: BaseException, *, verbose: bool) -> int:
    """Say on stderr what went wrong and return the exit status.

    Usage errors leave 2 (click's), Ctrl-C 130, SIGTERM 143, every other error 1; ``verbose`` shows the traceback.
    """
    if isinstance(error, click.Abort) and error.__cause__:
        error = error.__cause__  # click's name for Ctrl-C and for the end of a file, which here is a damaged file
    interrupted = isinstance(error, click.Abort | KeyboardInterrupt)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        _drop_output()
        return EXIT_ERROR
    if verbose and not interrupted:
        traceback.print_exception(error)
    if interrupted:
        terminated = isinstance(error, Terminated)
        click.echo("Terminated." if terminated else "Interrupted.", err=True)
        _show_notes(error)
        return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
    if isinstance(error, UvsamError):
        click.echo(f"Error: {_one_line(error)}", err=True)
    elif isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, of a GPU
        click.echo("Error: out of memory; use a smaller batch, fewer workers or a machine with more memory", err=True)
    else:
        hint = "" if verbose else "; run with -v for the traceback"
        text = f"Error: unexpected {type(error).__name__}: {_one_line(error)}{hint}, and please report it"
        click.echo(text, err=True)
    _show_notes(error)
    return EXIT_ERROR


def _show_notes(error: BaseException) -> None:
    """How to go on, where the place of the error knows."""
    for note in getattr(error, "__notes__", ()):
        click.echo(note, err=True)


def show_warnings_in_one_line() -> None:
    """Python warnings become ``Warning: ...`` on stderr, without a file name and a source line."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        click.echo(f"Warning: {_one_line(message)}", err=True)

    warnings.showwarning = show


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


def _drop_output() -> None:
    """The reader of our output is gone: nothing more can be written, and the interpreter must not try at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
