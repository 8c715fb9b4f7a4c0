"""Whether other users of a machine can change what lies in a folder."""

import os
import shlex
import stat
from pathlib import Path


def exposed(path: Path) -> str | None:
    """How another user could change what lies at ``path``, with the remedy; None where only root could.

    The folders on the way count, as who can write into one can put another in its place: but not a sticky one, as /tmp,
    nor what lies inside of one that others cannot enter. What does not exist yet is ours to make. Links are followed.
    Systems without owners and mode bits are trusted.
    """
    if not hasattr(os, "getuid"):
        return None
    path = path.resolve()
    entered = True
    for place in (*reversed(path.parents), path):
        try:
            told = place.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{place} cannot be looked at ({error.strerror})"
        if place != path and not entered:
            continue
        if told.st_uid not in (0, os.getuid()):
            return f"{place} belongs to another user (name a folder of your own in UVSAM_CACHE)"
        shared = told.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if shared and not (told.st_mode & stat.S_ISVTX and place != path):
            return f"others can write into {place} (close it: chmod go-w {shlex.quote(str(place))})"
        entered = bool(told.st_mode & (stat.S_IXGRP | stat.S_IXOTH))
    return None
