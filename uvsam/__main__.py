"""The process ``uvsam``; ``python -m uvsam`` is the same."""

from __future__ import annotations

import gc
import os
import sys

from uvsam.cli.process import EXIT_INTERRUPTED, EXIT_TERMINATED, Signals, Terminated, settle_streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; ready for signals and odd streams before anything that takes time is imported."""
    signals = Signals()
    settle_streams()
    from uvsam.cli.errors import show_warnings_in_one_line
    from uvsam.cli.main import run
    from uvsam.raster.trust import NEVER

    os.environ.update(NEVER)  # also for processes that we start, and for the GDAL that reads vector files
    show_warnings_in_one_line()
    try:
        signals.raising = True
        status = run()
        signals.raising = False
    except KeyboardInterrupt as late:  # after the last command, within these lines
        status = EXIT_TERMINATED if isinstance(late, Terminated) else EXIT_INTERRUPTED
    gc.freeze()  # else a second is spent on looking through all that PyTorch has, to free what is freed anyway
    sys.exit(status)


if __name__ == "__main__":
    main()
