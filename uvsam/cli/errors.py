"""What the command line says, and the exit status it leaves, when a command ends with an error."""

import errno
import os
import re
import sys
import traceback
import warnings
from typing import TextIO

import click

from uvsam.addresses import without_secrets
from uvsam.cli.process import EXIT_INTERRUPTED, EXIT_TERMINATED, Terminated
from uvsam.errors import IncompleteError, OutputError, UsageError, UvsamError, WorkerError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
EXIT_OUTPUT = 4

EXIT_STATUS = {
    0: "done",
    EXIT_ERROR: "what was given cannot be used (image, labels, model, settings), or an unexpected error",
    EXIT_USAGE: "usage: an unknown command, option or setting, a value that is none, or a wrong file of settings",
    EXIT_INCOMPLETE: "incomplete: parts failed or workers were lost; the same command goes on from there",
    EXIT_OUTPUT: "the result cannot be written: it exists, the folder is missing, the disk is full",
    EXIT_INTERRUPTED: "interrupted by Ctrl-C; the same command goes on from there, where the command says so",
    EXIT_TERMINATED: "terminated by SIGTERM; as after Ctrl-C",
}
"""Every status that the command line leaves, for its help and for scripts."""


def status_of(error: UvsamError) -> int:
    """The exit status of one of our errors."""
    if isinstance(error, IncompleteError | WorkerError):
        return EXIT_INCOMPLETE
    if isinstance(error, UsageError):
        return EXIT_USAGE
    return EXIT_OUTPUT if isinstance(error, OutputError) else EXIT_ERROR


def report(error: BaseException, *, verbose: bool) -> int:
    """Say on stderr what went wrong and return the exit status, one of ``EXIT_STATUS``.

    Args:
        verbose: show the traceback.
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
        click.echo(without_secrets("".join(traceback.format_exception(error))), err=True, nl=False)
    if interrupted:
        terminated = isinstance(error, Terminated)
        click.echo("Terminated." if terminated else "Interrupted.", err=True)
        _show_notes(error)
        return EXIT_TERMINATED if terminated else EXIT_INTERRUPTED
    status = EXIT_ERROR
    if isinstance(error, UvsamError):
        status = status_of(error)
        click.echo(f"Error: {_one_line(error)}", err=True)
    elif is_out_of_memory(error):
        click.echo("Error: out of memory; use a smaller batch, fewer workers or a machine with more memory", err=True)
    elif isinstance(error, OSError) and error.errno in OF_THE_SYSTEM and error.filename:
        click.echo(f"Error: {error.filename}: {error.strerror}", err=True)
    else:
        hint = "" if verbose else "; run with -v for the traceback"
        text = f"Error: unexpected {type(error).__name__}: {_one_line(error)}{hint}, and please report it"
        click.echo(text, err=True)
    _show_notes(error)
    return status


OF_THE_SYSTEM = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENOSPC, errno.EDQUOT}
"""What a system refuses for reasons that lie in a path that was given, or in its disk."""
NO_MEMORY = re.compile(
    r"bad[_ ]alloc|(cannot|can't|unable to|could not|failed to) (allocate|map segment)|out of memory|not enough memory"
    r"|insufficient memory|error return without exception set",  # the latter is Python's, of a module that gave up
    re.IGNORECASE,
)
"""What the libraries that we use say, whatever type of error they raise, also while they are loaded."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one that it is a consequence of, is that memory is short."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, MemoryError) or type(cause).__name__ == "OutOfMemoryError":  # torch's, of a GPU
            return True
        if isinstance(cause, OSError) and cause.errno == errno.ENOMEM:
            return True
        if isinstance(cause, RuntimeError | SystemError | ImportError | OSError) and NO_MEMORY.search(str(cause)):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


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
    return without_secrets(" ".join(str(message).split())) or type(message).__name__


def _drop_output() -> None:
    """The reader of our output is gone: nothing more can be written, and the interpreter must not try at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
