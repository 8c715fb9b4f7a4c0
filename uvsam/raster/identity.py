"""Which files an image was read from, so that a run does not go on with others."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import rasterio
from rasterio.windows import Window as RioWindow

from uvsam.addresses import without_secrets
from uvsam.errors import SceneError
from uvsam.raster.access import is_remote, open_dataset, sources
from uvsam.raster.web import AT_ONCE, BESIDE, TIMEOUT_S, http_address, looks

STATISTICS = {"Metadata", "Histograms"}
"""What QGIS and GDAL add to a file's ``.aux.xml`` when it is looked at; no pixel depends on it."""
ASKED_AGAIN = 3
SAMPLE_PX = 64
BLOCKS = 1000

Identity = list[list[Any]]


def identity(uri: str) -> Identity:
    """Name and state of all files of an image, as JSON has it; the same as long as none is changed.

    Of a file here its size and time of change, and the same of what lies beside it. Of one on the web what its server
    says: length, ETag and time of change. Where a server says neither, and of object stores, a digest of the header,
    of the places of blocks and of some pixels. Signatures of addresses are not part of it, as they are good for an
    hour.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [state for states in pool.map(_states, _files(uri)) for state in states]


def is_still(uri: str, before: Identity) -> bool:
    """Whether no file of an image has changed; a site of several servers, each with its own ETag, is asked again."""
    return any(identity(uri) == before for _ in range(ASKED_AGAIN))


def _files(uri: str) -> list[str]:
    """The files of an image, those that a VRT on this machine names too."""
    found: dict[str, None] = {}
    waiting = sources(uri)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found[name] = None
        leads_on = name in sources(uri) or Path(name).suffix.lower() == ".vrt"
        if leads_on and not is_remote(name):
            try:
                with open_dataset(name) as dataset:
                    waiting += dataset.files
            except SceneError:  # what cannot be opened is found out when it is read
                continue
    return sorted(found)


def _states(name: str) -> Identity:
    if is_remote(name):
        beside = [name + ending for _, look in looks([name]) for ending in look.beside if ending in BESIDE]
        return [
            [without_secrets(name), *(_told(name) or _seen(name))],
            *([without_secrets(other), *(_told(other) or [])] for other in beside),
        ]
    path = _on_disk(name)
    if path is None:
        return []
    return [
        [str(file), *state]
        for file in (path, *(path.with_name(path.name + ending) for ending in BESIDE))
        if (state := _state(file))
    ]


def _on_disk(name: str) -> Path | None:
    """The file that GDAL's name for a part of it means, as in ``/vsizip/city.zip/city.tif``."""
    plain = re.sub(r"^(?:/vsi[a-z0-9_]+/)+\{?", "", name.replace("}", ""), flags=re.IGNORECASE)
    return next((path for path in (Path(plain), *Path(plain).parents) if path.is_file()), None)


def _state(path: Path) -> list[Any]:
    try:
        if path.name.endswith(".aux.xml"):
            return _description(path.read_bytes())
        stat = path.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]


def _description(content: bytes) -> list[Any]:
    """What an ``.aux.xml`` says besides statistics."""
    try:
        root = xml.fromstring(content)
    except xml.ParseError:
        return [hashlib.sha256(content).hexdigest()]
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in STATISTICS]:
            parent.remove(child)
    told = [(part.tag, part.attrib, (part.text or "").strip()) for part in root.iter()]
    said = [part for part in told[1:] if part[2] or part[0] not in ("PAMRasterBand",)]
    return [hashlib.sha256(repr(said).encode()).hexdigest()] if said else []


def _told(name: str) -> list[Any] | None:
    """Length, ETag and time of change, as a web server says them; None where it says no more than a length."""
    import requests  # only for those who need it

    address = http_address(name)
    if address is None:
        return None
    try:
        asked = {"Range": "bytes=0-0", "Accept-Encoding": "identity"}
        with requests.get(address, headers=asked, timeout=TIMEOUT_S, stream=True) as answer:
            if not answer.ok:
                return None
            told = [answer.headers.get(field) for field in ("ETag", "Last-Modified")]
            length = answer.headers.get("Content-Range", "").rpartition("/")[2] or answer.headers.get("Content-Length")
    except (requests.RequestException, ValueError):
        return None
    return [length, *told] if any(told) else None


def _seen(name: str) -> list[Any]:
    """A digest of what an image says of itself, of where its blocks lie, and of pixels in its corners and middle."""
    digest = hashlib.sha256()
    try:
        # not from what this process has kept of it
        with rasterio.Env(CPL_VSIL_CURL_NON_CACHED=_gdal_name(name)), open_dataset(name) as dataset:
            for part in _samples(dataset):
                digest.update(part)
    except SceneError:
        return [None]
    return [digest.hexdigest()]


def _gdal_name(name: str) -> str:
    from rasterio._path import _parse_path, _vsi_path

    return str(_vsi_path(_parse_path(name)))


def _samples(dataset: Any) -> Iterator[bytes]:
    yield repr((dataset.profile, dataset.block_shapes, dataset.descriptions)).encode()
    if dataset.driver == "GTiff":
        height, width = dataset.block_shapes[0]
        rows, cols = -(-dataset.height // height), -(-dataset.width // width)
        for index in itertools.islice(range(0, rows * cols, max(1, rows * cols // BLOCKS)), BLOCKS):
            for item in ("OFFSET", "SIZE"):
                yield str(dataset.get_tag_item(f"BLOCK_{item}_{index % cols}_{index // cols}", "TIFF", bidx=1)).encode()
    right, lower = max(0, dataset.width - SAMPLE_PX), max(0, dataset.height - SAMPLE_PX)
    for col, row in ((0, 0), (right // 2, lower // 2), (right, lower)):
        box = RioWindow(col, row, min(SAMPLE_PX, dataset.width), min(SAMPLE_PX, dataset.height))
        yield dataset.read(window=box).tobytes()
