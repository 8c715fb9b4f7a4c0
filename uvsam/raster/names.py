"""How GDAL calls an image: prefixes, a file, and what of it is meant: ``/vsizip/a.zip/b.tif``, ``NETCDF:"a.nc":b``."""

import gzip
import io
import posixpath
import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rasterio._path import _parse_path, _vsi_path

from uvsam.errors import SceneError

SUBFILE = re.compile(r"/vsisubfile/(\d+)(?:_(\d+))?,")
PAGE = re.compile(r"GTIFF_(?:DIR:(?:off:)?\d+|RAW):", re.IGNORECASE)
INSIDE = re.compile(r"/vsi(zip|tar|7z|rar)/")
VSI_REMOTE = r"/vsi(?:curl|s3|gs|az|adls|oss|swift|hdfs|webhdfs)(?:_streaming)?[/?]"
REMOTE = re.compile(rf"{VSI_REMOTE}|(?:https?|ftp|s3|gs|az|adls?|oss)://", re.IGNORECASE)
ON_NETWORK = re.compile(rf"{VSI_REMOTE}|^(?!(?:file|zip|tar|gzip|vrt):)[a-z0-9+]+://", re.IGNORECASE)
ARCHIVE = re.compile(r"\.(?:zip|kmz|tar|tgz|tar\.gz|7z|rar)(?=/|$)", re.IGNORECASE)
PREFIXED = re.compile(r"([A-Za-z][A-Za-z0-9_+-]+):")
SUBDATASETS = re.compile(
    r"(?:NETCDF|HDF4_EOS|HDF4_SDS|HDF4|HDF5|BAG|GPKG|NITF_IM|SENTINEL2_L\d\w*|SENTINEL1_\w+)$", re.IGNORECASE
)

BEFORE = re.compile(
    rf"(?:vrt://|{SUBFILE.pattern}|(?i:{PAGE.pattern})|/vsigzip/|{INSIDE.pattern}\{{?|(?:[A-Za-z]\w+:)+\"?)+"
)


@dataclass(frozen=True)
class Name:
    """A name in its parts; ``before + file + after`` is the name again.

    Attributes:
        file: path on this machine, or address; empty where there is none such file.
        layers: what is around the file, the outermost first: (kind, what of it), such as ("zip", "b.tif").
    """

    before: str
    file: str
    after: str
    layers: tuple[tuple[str, str], ...] = ()

    @property
    def is_remote(self) -> bool:
        """Whether the file lies on the network."""
        return REMOTE.match(self.file) is not None

    @property
    def in_memory(self) -> bool:
        """Whether it is a file of GDAL in this process."""
        return self.file.startswith("/vsimem/")

    def of(self, file: str) -> str:
        """The same name of another file."""
        return self.before + file + self.after


def exists(name: str) -> bool:
    """Whether there is a file or folder of that name; not for what can be none, a text among them."""
    try:
        return name != "" and Path(name).exists()  # which is the current folder to Path
    except (OSError, ValueError):
        return False


def check_utf8(name: str) -> None:
    """Refuse a name that Python keeps and GDAL does not take.

    Raises:
        SceneError: it is not UTF-8.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise SceneError(f"the name of {name!a} is not UTF-8, which GDAL needs; rename it") from error


def gdal_name(uri: str) -> str:
    """What GDAL calls what a user names; a file that is there is itself, however it is called."""
    if exists(uri):
        return uri if uri.startswith("/") or not re.search("[:<]", uri) else f"./{uri}"
    return uri if uri.startswith("<") else str(_vsi_path(_parse_path(uri)))


def parse(name: str) -> Name:
    """The parts of a name that GDAL knows.

    Raises:
        SceneError: it is the name of something else than a file, or not clear.
    """
    before, rest, after = "", name, ""
    layers: list[tuple[str, str]] = []
    while True:
        if rest.startswith("vrt://"):
            rest, mark, options = rest[6:].partition("?")
            before, after = before + "vrt://", mark + options + after
            layers.append(("vrt", options))
        elif found := (SUBFILE.match(rest) or PAGE.match(rest)):
            layers.append(("subfile", f"{found[1]}_{found[2] or ''}") if found.re is SUBFILE else ("page", found[0]))
            before, rest = before + found[0], rest[found.end() :]
        elif rest.startswith("/vsigzip/"):
            layers.append(("gzip", ""))
            before, rest = before + "/vsigzip/", rest[9:]
        elif found := INSIDE.match(rest):
            lead, rest, inner = _archive(rest[found.end() :])
            before, after = before + found[0] + lead, inner + after
            layers.append((found[1], inner.lstrip("}").lstrip("/")))
        elif rest.startswith(("/vsimem/", "<")) or REMOTE.match(rest) or exists(rest):
            return Name(before, rest, after, tuple(layers))
        elif rest.startswith("/vsi"):
            raise SceneError(f"{name} is read through a file system of GDAL's that is not used here; give a file")
        elif found := PREFIXED.match(rest):
            if not SUBDATASETS.match(found[1]):
                raise SceneError(f"{name} is no file, and what it names cannot be looked at before it is opened")
            layers.append(("subdataset", found[1]))
            lead, rest, more = _of_subdataset(rest[found.end() :])
            before, after = before + found[0] + lead, more + after
        else:
            return Name(before, rest, after, tuple(layers))


def _archive(rest: str) -> tuple[str, str, str]:
    """(lead, archive, what follows) of a name after ``/vsizip/``."""
    if rest.startswith("{"):
        depth, end = 0, len(rest)
        for at, letter in enumerate(rest):
            depth += {"{": 1, "}": -1}.get(letter, 0)
            if not depth:
                end = at
                break
        return "{", rest[1:end], rest[end:]
    steps = [at for at, letter in enumerate(rest) if letter == "/" and at] + [len(rest)]
    if not rest.startswith("/vsi"):
        for at in steps:
            if exists(rest[:at]) and Path(rest[:at]).is_file():
                return "", rest[:at], rest[at:]
    ends = [found.end() for found in ARCHIVE.finditer(rest)]
    end = (ends[-1] if rest.startswith("/vsi") else ends[0]) if ends else len(rest)
    return "", rest[:end], rest[end:]


def _of_subdataset(rest: str) -> tuple[str, str, str]:
    """(lead, file, what follows) of a name after its prefix: the longest stretch between colons that is a file."""
    quoted = re.match(r'((?:\w+:)*")([^"]*)(".*)$', rest, re.DOTALL)
    if quoted:
        return quoted[1], quoted[2], quoted[3]
    marks = [-1, *[at for at, letter in enumerate(rest) if letter == ":"][:20], len(rest)]
    stretches = ((first + 1, last) for first in marks for last in marks if first < last)
    for start, stop in sorted(stretches, key=lambda pair: pair[0] - pair[1]):
        part = rest[start:stop]
        if exists(part) or part.startswith("/vsi"):
            return rest[:start], part, rest[stop:]
    return "", rest, ""  # as it is missing, GDAL will tell


def from_folder(name: str, folder: str) -> list[str]:
    """What a name can mean that a VRT gives relative to its folder: GDAL finds the file in some, in others not."""
    if not folder or (name.startswith(("<", "/")) and not BEFORE.match(name)):
        return [name]
    before = BEFORE.match(name)
    if before is None:
        return [posixpath.join(folder, name)]
    return [name, posixpath.join(folder, name), before[0] + posixpath.join(folder, name[before.end() :])]


def is_on_network(name: str) -> bool:
    """Whether a file, or the archive that it is in, lies on the network; told by the name alone."""
    return ON_NETWORK.search(name) is not None


def on_disk(uri: str) -> str | None:
    """The file of this machine that an image lies in, None where there is none."""
    try:
        found = parse(gdal_name(uri))
    except SceneError:
        return None
    return found.file if not found.is_remote and exists(found.file) else None


def content(name: Name, count: int) -> bytes | None:
    """The first bytes of what GDAL would read under a name; None where only GDAL can tell."""
    try:
        with Path(name.file).open("rb") as file:
            stream: IO[bytes] = file
            for kind, what in reversed(name.layers):
                opened = _inside(stream, kind, what)
                if opened is None:
                    return None
                stream = opened
            return _read(stream, count)
    except (OSError, EOFError, KeyError, IndexError, ValueError, RuntimeError, zipfile.BadZipFile, tarfile.TarError):
        return None


def _read(stream: IO[bytes], count: int) -> bytes:
    """At most so many bytes; memory for what there is, not for what may be."""
    pieces = []
    while count > 0 and (piece := stream.read(min(count, 2**20))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _inside(stream: IO[bytes], kind: str, what: str) -> Any:
    if kind in ("page", "subdataset", "vrt"):  # of the file as it is
        return stream
    if kind == "subfile":
        offset, _, size = what.partition("_")
        stream.seek(int(offset))
        return io.BytesIO(_read(stream, min(int(size or 0) or MOST_BYTES, MOST_BYTES)))
    if kind == "gzip":
        return gzip.GzipFile(fileobj=stream)
    if kind == "zip":
        archive = zipfile.ZipFile(stream)
        return archive.open(what or archive.namelist()[0])
    if kind == "tar":
        members = tarfile.open(fileobj=stream)  # noqa: SIM115
        return members.extractfile(what) if what else None
    return None


MOST_BYTES = 2**28
"""A VRT is not longer: some 100,000 files in three bands have 200 MB."""
