"""What has to be right before anything else is imported: signals, and the three standard streams.

Until the signals are, Ctrl-C shows a traceback of Python's own start. So this module and those before it (``uvsam``,
``uvsam.cli``, ``uvsam.__main__``) import nothing that takes milliseconds, not even ``typing`` and ``pathlib``.
"""

from __future__ import annotations

import os
import signal
import sys
import time

import uvsam

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType
    from typing import NoReturn

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
AGAIN_S = 0.05
GRACE_S = 1.0
"""A terminal and a program that started us may both send a signal: what comes within this time is the same wish."""

_BEFORE_WORK = tuple(f"{uvsam.__path__[0]}{os.sep}{part}" for part in ("__main__.py", "cli", "workflows"))
"""Imports that these ask for come before anything is begun; those of deeper stages may come in its midst."""
_IMPORTS = {"importlib", "importlib._bootstrap", "importlib._bootstrap_external"}


class Terminated(KeyboardInterrupt):
    """SIGTERM, from ``kill``, a scheduler or a container that stops: everything is cleaned up as after Ctrl-C."""


class Signals:
    """What Ctrl-C and SIGTERM do from now on: end the process at once with one line, and never with a traceback.

    While a command works (``raising``) they raise, so that it can clean up; a second signal does not wait for that.
    Nothing is raised into an import: compiled modules swallow the exception, or make another one of it. An import that
    comes before the work has nothing to clean up, so the process ends; any other one is waited for.
    """

    def __init__(self) -> None:
        self.raising = False
        self._first_at: float | None = None
        signal.signal(signal.SIGINT, self._received)
        signal.signal(signal.SIGTERM, self._received)
        sys.unraisablehook = self._swallowed

    def _received(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._first_at is not None:
            if now - self._first_at > GRACE_S:
                quit_at_once(number)
            return
        self._first_at = now
        self._stop(number, frame)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        importer = outermost_importer(frame)
        if not self.raising or (importer is not None and importer.startswith(_BEFORE_WORK)):
            quit_at_once(number)
        if importer is not None:
            self._stop_soon(number)
            return
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    def _stop_soon(self, number: int) -> None:
        signal.signal(signal.SIGALRM, lambda _, frame: self._stop(number, frame))
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)

    def _swallowed(self, lost: UnraisableHookArgs) -> None:
        """What is raised where nothing can be, as in a destructor, is told on stderr; a signal comes again instead."""
        if issubclass(lost.exc_type, KeyboardInterrupt):
            self._stop_soon(signal.SIGTERM if issubclass(lost.exc_type, Terminated) else signal.SIGINT)
        else:
            sys.__unraisablehook__(lost)


def quit_at_once(number: int) -> NoReturn:
    """End the process with the line and the status of a signal, without any cleaning up."""
    terminated = number == signal.SIGTERM
    os.write(2, b"Terminated.\n" if terminated else b"Interrupted.\n")
    os._exit(EXIT_TERMINATED if terminated else EXIT_INTERRUPTED)


def outermost_importer(frame: FrameType | None) -> str | None:
    """File of the code whose import is under way in ``frame``; of imports within imports the outermost."""
    importer = None
    while frame is not None:
        if frame.f_globals.get("__name__") in _IMPORTS and frame.f_back is not None:
            importer = frame.f_back.f_code.co_filename
        frame = frame.f_back
    return importer


def settle_streams() -> None:
    """Make the standard streams usable, whoever started us, and whatever they are to carry.

    For those that are closed the null device is opened: the next file that is opened would take their number, and
    receive what is printed. Characters that the user's locale cannot write are escaped, as in ``km\\xb2``.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))
    if sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper, as at start
