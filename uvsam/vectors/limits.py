"""What a vector file may ask for, looked up before GDAL opens it: no pipe, no network, no program."""

import functools
import mmap
import os
import re
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.errors import LabelError, SceneError
from uvsam.raster.names import parse
from uvsam.raster.references import check_regular

HEAD_BYTES = 4096
XML_ROOTS = {"kml", "gpx", "featurecollection", "rss", "feed", "osm"}
ROOT = re.compile(rb"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)")
REMOTE_CRS = re.compile(rb'"crs"\s*:\s*\{[^{}]*"type"\s*:\s*"(?:link|url)"', re.IGNORECASE)
PIPELINE = re.compile(rb'"gdal_streamed_alg"', re.IGNORECASE)
SCHEMA = re.compile(rb"schemaLocation\s*=\s*[\"'][^\"']*\s(?:https?|ftp):", re.IGNORECASE)
TABLES = {"rtree", "fts3", "fts4", "fts5", "geopoly", "virtualspatialindex", "virtualelementary", "virtualknn"}
VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\b.*?\bUSING\s+[\"'\[`]?(\w+)", re.IGNORECASE | re.DOTALL)
STEPS, STEP = 2_000, 100_000
"""Times and instructions of SQLite that looking at one view may take: some seconds."""
LONGEST_VALUE = 2**28
LARGEST = 1e12
"""Coordinates in any unit of length or angle are smaller."""


def check_vectors(path: Path) -> None:
    """Refuse what would wait for ever, reach the network or run.

    Args:
        path: of a file or folder, or GDAL's name of a file in an archive.

    Raises:
        LabelError: a pipe or a device, an address, a description of a service or of other files, a view of SQLite that
            does not end, or a table that a program makes.
    """
    text = str(path)
    try:
        name = None if text.startswith(("http:/", "https:/", "ftp:/", "s3:/")) else parse(text)
    except SceneError as error:
        raise LabelError(str(error)) from error
    if name is None or name.is_remote:
        raise LabelError(f"{text} is on the network; download it and give the file")
    if not os.path.lexists(name.file) or name.in_memory:
        return
    state = Path(name.file).stat() if Path(name.file).exists() else None
    _check(text, name.file, (state.st_size, state.st_mtime_ns) if state else None)


@functools.lru_cache(maxsize=64)
def _check(text: str, file: str, state: tuple[int, int] | None) -> None:
    path = Path(file)
    if state is None:
        return
    try:
        check_regular(path)
        for folder, stem in ((path, ""),) if path.is_dir() else ((path.parent, f"{path.stem}."),):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.startswith(stem) and not (entry.is_file() or entry.is_dir()) and Path(entry).exists():
                        check_regular(Path(entry))
    except SceneError as error:
        raise LabelError(str(error)) from error
    except OSError:  # reading will tell
        return
    if path.is_dir():
        return
    try:
        with path.open("rb") as stream:
            _check_content(stream, text, path)
    except LabelError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError):  # a damaged file: reading will tell
        return


def _check_content(stream: IO[bytes], text: str, path: Path | None) -> None:
    head = stream.read(HEAD_BYTES)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if head.startswith(b"SQLite format 3\0") and path:
        _check_database(path)
    elif head.startswith(b"PK\3\4") and path:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist()[:1000]:
                if not info.is_dir() and not info.flag_bits & 1:
                    with archive.open(info) as member:
                        _check_content(member, f"{text}/{info.filename}", None)
    elif start.startswith(b"<"):
        _check_xml(start, text)
    elif start.startswith((b"{", b"[")):
        content: bytes | mmap.mmap = head
        if path:
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        if REMOTE_CRS.search(content):
            raise LabelError(f"{text} names its coordinate reference system by an address; save it with one of its own")
        if PIPELINE.search(head):
            raise LabelError(f"{text} describes commands of GDAL, which are not run; save what they give to a file")


def _check_xml(start: bytes, text: str) -> None:
    body = re.sub(rb"<\?.*?\?>|<!--.*?-->", b"", start, flags=re.DOTALL)
    if re.search(rb"<!(?:DOCTYPE|ENTITY)", body, re.IGNORECASE):
        raise LabelError(f"{text} defines XML entities, which are not read; save it as a GeoPackage")
    root = ROOT.search(body)
    if root is None or root[1].decode().lower() not in XML_ROOTS:
        what = root[1].decode() if root else "XML"
        raise LabelError(f"{text} describes {what}, which may name other files or a service; save it as a GeoPackage")
    if SCHEMA.search(body) and root[1].decode().lower() == "featurecollection":
        raise LabelError(f"{text} is GML with a schema on the network, which is not fetched; save it as a GeoPackage")


def _check_database(path: Path) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return int(steps > STEPS)

    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(address, uri=True)) as database:
            made = database.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
            for kind, name, sql in made:
                found = VIRTUAL.match(sql)
                if kind == "table" and found and found[1].lower() not in TABLES:
                    raise LabelError(f"{path}: table {name} is made by a program; save the file without it")
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)
            database.set_progress_handler(count, STEP)
            for kind, name, _ in made:
                if kind == "view":
                    steps = 0
                    quoted = str(name).replace('"', '""')
                    try:
                        for _row in database.execute(f'SELECT * FROM "{quoted}"'):
                            pass
                    except (sqlite3.Error, MemoryError) as error:
                        raise LabelError(
                            f"{path}: view {name} cannot be read to its end ({error}); save it as a layer of its own"
                        ) from error
    except sqlite3.Error:  # a damaged file: reading will tell
        return


def check_count(path: Path, count: int) -> None:
    """Refuse a header that says of more rows than the file has bytes: memory is taken for what it says.

    Raises:
        LabelError: it does.
    """
    name = parse(str(path))
    if name.layers or not Path(name.file).is_file() or Path(name.file).suffix.lower() in (".zip", ".kmz"):
        return
    size = Path(name.file).stat().st_size
    if count > size:
        raise LabelError(f"{path} says that it has {count} rows, in {size} bytes; it is damaged")


def check_coordinates(path: Path, geometries: NDArray[np.object_]) -> None:
    """Refuse coordinates that are no numbers, or no place.

    Raises:
        LabelError: with the number of the first row.
    """
    xy, owner = shapely.get_coordinates(geometries, return_index=True)
    wrong = ~(np.abs(xy) < LARGEST).all(axis=1)
    if wrong.any():
        row = int(owner[np.argmax(wrong)])
        value = xy[wrong][0]
        raise LabelError(f"{path}: row {row + 1} has the coordinates {value[0]:g}, {value[1]:g}, which are no place")
