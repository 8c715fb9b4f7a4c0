"""What a run has done so far, in a folder beside its result: the same command goes on where it was.

Records are appended to log files, each with its length and checksum. Whatever stops a process leaves whole records and
at most one torn one at the end, which is not taken for a record. A log has a file for each process that ever wrote to
it, and no process writes to a file of another one.
"""

import contextlib
import json
import os
import re
import socket
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

from filelock import FileLock, Timeout

from uvsam.errors import OutputError

SUFFIX = ".uvsam"
FORMAT = 2
"""Of records and of what is said of a run; a journal of another one starts over."""
DESCRIBED = {"image", "settings", "versions"}
"""What every description of a run has."""
_HEADER = struct.Struct("<4sQQ")
_CHECKSUM = struct.Struct("<I")  # of header and payload
_MARK = b"uvs2"
_BEFORE = _HEADER.size + _CHECKSUM.size


class Place(NamedTuple):
    """Where the payload of a record lies."""

    file: str
    offset: int
    length: int


class Log:
    """Records by number, in files ``{name}.*.log`` of a folder.

    Args:
        folder: where the files are; one that all workers share.
        scan: look for records that are there already; who only appends needs none of them.
    """

    def __init__(self, folder: Path, name: str, *, scan: bool = True) -> None:
        self.folder, self.name = folder, name
        self.places: dict[int, Place] = {}
        self._out: Any = None
        self._one_at_a_time = threading.Lock()
        for path in sorted(folder.glob(f"{name}.*.log")) if scan else ():
            self.places.update(_records(path))

    def __len__(self) -> int:
        return len(self.places)

    def __contains__(self, key: int) -> bool:
        return key in self.places

    def append(self, key: int, payload: bytes) -> Place:
        """Keep a record; it is there even if the process is killed at once. Threads may call it at the same time.

        Raises:
            OutputError: the disk is full.
        """
        header = _HEADER.pack(_MARK, key, len(payload))
        record = header + _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(header))) + payload
        try:
            with self._one_at_a_time:
                if self._out is None:
                    name = f"{self.name}.{time.time_ns()}-{socket.gethostname()}-{os.getpid()}.log"
                    self._out = (self.folder / name).open("xb", buffering=0)
                offset = self._out.tell() + _BEFORE
                if self._out.write(record) != len(record):
                    raise OSError("the disk is full")
        except OSError as error:
            raise OutputError(f"cannot write into {self.folder}: {error.strerror or error}") from error
        self.places[key] = Place(Path(self._out.name).name, offset, len(payload))
        return self.places[key]

    def read(self, key: int) -> bytes:
        """The payload of a record.

        Raises:
            OutputError: it cannot be read, or is no longer what was written.
        """
        place = self.places[key]
        try:
            with (self.folder / place.file).open("rb") as file:
                file.seek(place.offset - _BEFORE)
                found = _record(file, place.length)
        except OSError as error:
            raise OutputError(f"cannot read {self.folder / place.file}: {error.strerror}") from error
        if found is None or found[0] != key:
            raise OutputError(f"{self.folder / place.file} was changed; remove {self.folder} and start over")
        return found[1]

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None


def _records(path: Path) -> Iterator[tuple[int, Place]]:
    """The whole records of a file, up to the first that is not."""
    with path.open("rb") as file:
        longest = path.stat().st_size
        while found := _record(file, longest):
            key, payload = found
            yield key, Place(path.name, file.tell() - len(payload), len(payload))


def _record(file: BinaryIO, longest: int) -> tuple[int, bytes] | None:
    """Key and payload of the record that begins here, None if it is not whole."""
    header, checksum = file.read(_HEADER.size), file.read(_CHECKSUM.size)
    if len(checksum) != _CHECKSUM.size:
        return None
    mark, key, length = _HEADER.unpack(header)
    if mark != _MARK or length > longest:
        return None
    payload = file.read(length)
    if len(payload) != length or _CHECKSUM.pack(zlib.crc32(payload, zlib.crc32(header))) != checksum:
        return None
    return key, payload


def folder_of(out: Path) -> Path:
    """Where the run of a result keeps what it has done."""
    return out.absolute().with_name(out.name + SUFFIX)  # workers may stand in another folder


def check_folder(out: Path) -> None:
    """Whether the folder of a run is free, or was made by an earlier run: what is in it will be removed.

    Raises:
        OutputError: it is a link, a file, or a folder that no run made; it stays as it is.
    """
    folder = folder_of(out)
    if not os.path.lexists(folder):
        return
    elsewhere = "move it away, or give the result another name"
    if folder.is_symlink() or not folder.is_dir():
        kind = "a link" if folder.is_symlink() else "a file"
        raise OutputError(f"{folder}, where a run keeps what it has done, is {kind}; {elsewhere}")
    try:
        with os.scandir(folder) as entries:
            found = {entry.name: entry for entry in entries}
        links = sorted(name for name, entry in found.items() if entry.is_symlink())
        known = _is_of_a_run(folder, set(found))
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror or error}") from error
    if links and known:
        raise OutputError(f"{folder / links[0]} is a link, which no run made; remove it")
    if not known:
        raise OutputError(f"{folder}, where a run keeps what it has done, was not made by one; {elsewhere}")


def _is_of_a_run(folder: Path, names: set[str]) -> bool:
    """Whether a run made a folder: it has the description of one, or a run was killed before it wrote any."""
    if "run.json" not in names:
        return names <= {"lock", "run.part"}
    try:
        told = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except ValueError:
        return False
    return isinstance(told, dict) and told.keys() >= DESCRIBED


def _remove_made(out: Path, *, described: bool = True) -> None:
    """Remove what a run has made, and its folder if nothing else is in it.

    Args:
        described: also remove what says that a run made the folder; last, as a kill in between must not hide that.
    """
    folder = folder_of(out)
    last = ("run.json", "run.part", "lock")
    for path in folder.iterdir():
        if _made(out).fullmatch(path.name) and path.name not in last:
            path.unlink()
    if described:
        for name in last:
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()


def _made(out: Path) -> re.Pattern[str]:
    """Names of the files of a run: logs, descriptions of work, rasters, and a result with gaps."""
    rasters = "scores|float16|mask|refined(_[a-z]+)?"
    stem, suffix = re.escape(out.stem), re.escape(out.suffix)
    result = rf"{stem}(_coverage)?{suffix}.*"
    log = r"[a-z]+(-[0-9a-f]+)?\.\d+(-.*-\d+)?\.(log|work)"
    part = rf"\.({rasters}|{stem}.*)\.\d+\.part.*"
    return re.compile(rf"lock|run\.json|run\.part|{log}|({rasters})\.(tif|bin).*|{result}|{part}")


def sweep(out: Path) -> None:
    """Remove the folder of a run that was stopped after its result was complete, but for its folder."""
    folder = folder_of(out)
    with contextlib.suppress(Timeout, OSError):  # also of a name that is too long, which is told of elsewhere
        if out.is_file() and folder.exists():
            check_folder(out)
            with FileLock(folder / "lock", timeout=0):
                _remove_made(out)


class Journal:
    """The folder of a run, ``{result}.uvsam``; a context manager.

    It is removed when the run ends well, and kept when it ends otherwise, if there is something in it to go on from.
    The lock goes with the process, however it ends.

    Args:
        out: the result.

    Attributes:
        folder: for everything that a run keeps on disk.
        resumed: whether an earlier run of the same began here; None until it is known what this one is.

    Raises:
        OutputError: on entering, the folder cannot be made, is not of a run, or another process is at work on the same
            result.
    """

    def __init__(self, out: Path) -> None:
        self.folder = folder_of(out)
        self.out = out
        self.resumed: bool | None = None
        self._lock = FileLock(self.folder / "lock", timeout=0)
        self._logs: list[Log] = []

    def __enter__(self) -> Self:
        check_folder(self.out)
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock.acquire()
        except Timeout as error:
            raise OutputError(f"another run is at work on {self.out}; wait for it, or give another name") from error
        except OSError as error:
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # if it is empty
            raise OutputError(f"cannot write into {self.folder}: {error.strerror or error}") from error
        return self

    def begin(self, run: Mapping[str, Any]) -> None:
        """Say what decides on the result: settings, model, image. What is there of another run is removed.

        Args:
            run: has the keys of ``DESCRIBED``, by which the folder of a run is known.

        Raises:
            OutputError: the disk is full.
        """
        told = json.dumps({"journal": FORMAT, **run}, sort_keys=True, ensure_ascii=False, default=str)
        described = self.folder / "run.json"
        try:
            before = described.read_text(encoding="utf-8") if described.exists() else None
            resumed = before == told
            if not resumed:
                if before is not None and any(self.folder.glob("*.log")):
                    warnings.warn(_what_differs(before, run, self.out), stacklevel=2)
                _remove_made(self.out, described=False)
                part = described.with_suffix(".part")
                part.write_text(told, encoding="utf-8")
                part.replace(described)
        except OSError as error:
            raise OutputError(f"cannot write into {self.folder}: {error.strerror or error}") from error
        self.resumed = resumed

    def log(self, name: str) -> Log:
        """Records of the run so far, ready for more."""
        log = Log(self.folder, name)
        self._logs.append(log)
        return log

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for log in self._logs:
            log.close()
        has_records = any(self.folder.glob("*.log"))  # also those of workers that nobody could ask any more
        if error is None or not has_records:
            with contextlib.suppress(OSError):  # such as a file of the user's in it, which stays
                _remove_made(self.out)
        elif self.resumed is not None:
            for path in self.folder.glob("*.work"):  # of no use any more, and it may hold a signed address
                path.unlink(missing_ok=True)
            error.add_note(f"What was done is kept in {self.folder}; the same command goes on from there.")
        self._lock.release()


def _what_differs(before: str, run: Mapping[str, Any], out: Path) -> str:
    """One line that says why an earlier run is not gone on with."""
    told, now = json.loads(before), json.loads(json.dumps(run, default=str))
    names = sorted(name for name in now.keys() | told.keys() - {"journal"} if told.get(name) != now.get(name))
    what = f" ({', '.join(names)})" if names else ""
    return f"what an earlier run for {out.name} had done is of something else{what}; all of it is done again"
