"""What a run has done so far, in a folder beside its result: the same command goes on where it was.

Records are appended to log files, each with its length and checksum. Whatever stops a process leaves whole records and
at most one torn one at the end, which is not taken for a record. A log has a file for each process that ever wrote to
it, and no process writes to a file of another one.
"""

import contextlib
import json
import os
import shutil
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from uvsam.errors import OutputError

SUFFIX = ".uvsam"
_HEADER = struct.Struct("<4sQQI")
_MARK = b"uvs1"


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
        record = _HEADER.pack(_MARK, key, len(payload), zlib.crc32(payload)) + payload
        try:
            with self._one_at_a_time:
                if self._out is None:
                    name = f"{self.name}.{time.time_ns()}-{socket.gethostname()}-{os.getpid()}.log"
                    self._out = (self.folder / name).open("xb", buffering=0)
                offset = self._out.tell() + _HEADER.size
                if self._out.write(record) != len(record):
                    raise OSError("the disk is full")
        except OSError as error:
            raise OutputError(f"cannot write into {self.folder}: {error.strerror or error}") from error
        self.places[key] = Place(Path(self._out.name).name, offset, len(payload))
        return self.places[key]

    def read(self, key: int) -> bytes:
        """The payload of a record.

        Raises:
            OutputError: it cannot be read.
        """
        place = self.places[key]
        try:
            with (self.folder / place.file).open("rb") as file:
                file.seek(place.offset)
                payload = file.read(place.length)
        except OSError as error:
            raise OutputError(f"cannot read {self.folder / place.file}: {error.strerror}") from error
        if len(payload) != place.length:
            raise OutputError(f"{self.folder / place.file} has become shorter; remove {self.folder} and start over")
        return payload

    def close(self) -> None:
        if self._out is not None:
            self._out.close()
            self._out = None


def _records(path: Path) -> Iterator[tuple[int, Place]]:
    """The whole records of a file, up to the first that is not."""
    with path.open("rb") as file:
        while len(header := file.read(_HEADER.size)) == _HEADER.size:
            mark, key, length, checksum = _HEADER.unpack(header)
            if mark != _MARK or length > path.stat().st_size:
                return
            place = Place(path.name, file.tell(), length)
            payload = file.read(length)
            if len(payload) != length or zlib.crc32(payload) != checksum:
                return
            yield key, place


def sweep(out: Path) -> None:
    """Remove the folder of a run that was stopped after its result was complete, but for its folder."""
    folder = out.parent / (out.name + SUFFIX)
    if out.is_file() and folder.exists():
        with contextlib.suppress(Timeout, OSError), FileLock(folder / "lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)


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
        OutputError: on entering, the folder cannot be made, or another process is at work on the same result.
    """

    def __init__(self, out: Path) -> None:
        self.folder = out.absolute().with_name(out.name + SUFFIX)  # workers may stand in another folder
        self.out = out
        self.resumed: bool | None = None
        self._lock = FileLock(self.folder / "lock", timeout=0)
        self._logs: list[Log] = []

    def __enter__(self) -> Self:
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

        Raises:
            OutputError: the disk is full.
        """
        told, described = json.dumps(run, sort_keys=True, ensure_ascii=False, default=str), self.folder / "run.json"
        try:
            resumed = described.exists() and described.read_text(encoding="utf-8") == told
            if not resumed:
                self._clear()
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
            shutil.rmtree(self.folder, ignore_errors=True)
        elif self.resumed is not None:
            error.add_note(f"What was done is kept in {self.folder}; the same command goes on from there.")
        self._lock.release()

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name == "lock":
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
