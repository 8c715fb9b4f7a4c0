"""What holds several images: folders, archives, files with pages, variables or tables."""

import os
import posixpath
import re
import shlex
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as xml

from rasterio.dtypes import dtype_rev, typename_fwd

from uvsam.errors import SceneError
from uvsam.raster.access import opened
from uvsam.raster.names import check_utf8, exists, gdal_name, is_on_network, parse
from uvsam.raster.references import Part, References

MAPS = (".tif", ".tiff", ".vrt", ".jp2", ".img")
"""Images in a folder or an archive, as training takes them; where there is none of these, pictures."""
PICTURES = (".png", ".jpg", ".jpeg")
FOLDERS = (".safe", ".gdb", ".zarr")
"""Folders that GDAL takes for one file."""
PACKED = re.compile(r"\.(?:(zip)|(tar|tgz|tar\.gz)|(gz)|(7z|rar|bz2|xz|zst))$", re.IGNORECASE)
SLOW_BYTES = 2**29
COLOURS = ("red", "green", "blue")
LONGEST_IN_TAR = 99
SHOWN = 20
MOST = 100


def images_in(uri: str) -> list[str]:
    """The images that a name stands for: those in a folder or an archive, sorted; of anything else the name itself.

    Of a folder, folders in it count too. What a VRT there is made of is not an image of its own.

    Raises:
        SceneError: it holds no image, or cannot be opened.
    """
    packed = PACKED.search(uri)
    if uri.startswith(("<", "/vsi")):
        return [uri]
    if not exists(uri):
        is_zip = packed and packed[1] and is_on_network(uri) and "+" not in uri.partition("://")[0]
        return [f"/vsizip/{{{gdal_name(uri)}}}"] if is_zip else [uri]
    path = Path(uri)
    if path.is_dir():
        if path.suffix.lower() in FOLDERS or (path / "hdr.adf").exists():
            return [uri]
        return _chosen(_of_folder(path), uri)
    if packed is None or not path.is_file():
        return [uri]
    if packed[4]:
        raise SceneError(f"{uri} cannot be read as it is; unpack it and give the image in it")
    if packed[3]:
        _warn_of_slow(uri, path.stat().st_size)
        return [f"/vsigzip/{uri}"]
    return _chosen(_of_archive(path, "zip" if packed[1] else "tar"), uri)


def _chosen(names: Sequence[str], uri: str) -> list[str]:
    for kinds in (MAPS, PICTURES):
        found = sorted(name for name in names if name.lower().endswith(kinds) and not _is_hidden(name, uri))
        for name in found:
            check_utf8(name)
        if found:
            return _without_parts(found)
    kinds_shown = ", ".join(MAPS + PICTURES)
    inside = [name.rpartition("/")[2] for name in names][:5]
    raise SceneError(f"{uri} holds no image ({kinds_shown}), but {', '.join(inside) or 'nothing'}")


def _is_hidden(name: str, uri: str) -> bool:
    parts = name[len(uri) if name.startswith(uri) else 0 :].split("/")
    return any(part.startswith((".", "__MACOSX")) or part.endswith(".uvsam") for part in parts if part)


def _without_parts(found: list[str]) -> list[str]:
    """Images that no VRT among them is made of."""
    inside: set[str] = set()
    for name in found:
        if name.lower().endswith(".vrt"):
            references = References()
            references.follow(Part(name))
            inside |= {posixpath.normpath(part) for part in references.parts if part != name}
    return [name for name in found if posixpath.normpath(name) not in inside]


def _of_folder(path: Path) -> list[str]:
    return [str(Path(folder) / name) for folder, _, names in os.walk(path) for name in names]


def _of_archive(path: Path, kind: str) -> list[str]:
    try:
        members = list(_members(path, kind))
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise SceneError(f"{path} is damaged; copy or download it again ({error})") from error
    images = {name: size for name, size in members if name.lower().endswith(MAPS + PICTURES)}
    if kind == "tar" and any(not name.isascii() or len(name) > LONGEST_IN_TAR for name in images):
        raise SceneError(f"{path} holds an image whose name GDAL does not read in a tar file; unpack it")
    _warn_of_slow(str(path), max(images.values(), default=0))
    return [f"/vsi{kind}/{path}/{name}" for name, _ in members]


def _members(path: Path, kind: str) -> Iterator[tuple[str, int]]:
    """Name, and bytes that have to be unpacked to read it, of each file in an archive."""
    if kind == "zip":
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.flag_bits & 1:
                    raise SceneError(f"{path} is locked with a password; unpack it and give the image in it")
                if not info.is_dir():
                    yield info.filename, info.file_size if info.compress_type else 0
        return
    packed = not path.name.lower().endswith(".tar")
    with tarfile.open(path) as members:
        for member in members:
            if member.isfile():
                yield member.name, member.size if packed else 0


def _warn_of_slow(uri: str, size: int) -> None:
    if size > SLOW_BYTES:
        gb = size / 2**30
        warnings.warn(f"{uri} packs an image of {gb:.1f} GB, in which reading is slow; unpack it first", stacklevel=4)


class _Single(NamedTuple):
    """One of several images in a file."""

    name: str
    label: str
    bands: int
    shape: tuple[int, int]


def of_several(dataset: Any, uri: str, bands: tuple[int, int, int] | None) -> str | None:
    """What to open in place of a file that holds several images: one of them, or three of one band each as one image.

    Args:
        dataset: the file, open.
        bands: numbers of red, green and blue among images of one band; default: those of these names.

    Returns:
        Name or text of a VRT; None where the file itself is the image.

    Raises:
        SceneError: which images are meant is not clear.
    """
    names = dataset.subdatasets
    if not names or any(kind in ("page", "subdataset", "vrt") for kind, _ in parse(gdal_name(uri)).layers):
        return None
    if dataset.count > 1 or (dataset.count == 1 and len(names) < len(COLOURS)):
        if dataset.driver == "GTiff" and len(names) > 1:
            warnings.warn(
                f"{uri} has {len(names)} pages, of which the first is used; another is {shlex.quote(names[1])}",
                stacklevel=3,
            )
        return None
    if len(names) == 1:
        return str(names[0])
    singles = [_single(str(name)) for name in names[:MOST]]
    chosen = _by_number(singles, uri, bands) if bands else _by_label(singles)
    if chosen:
        return _stack(chosen)
    if sum(single.bands == 1 for single in singles) >= len(COLOURS):
        shown = ", ".join(f"{number} {single.label}" for number, single in enumerate(singles[:SHOWN], start=1))
        raise SceneError(
            f"{uri} holds {len(names)} images of one band: {shown}; say which are red, green and blue: --bands 1,2,3"
        )
    listed = ", ".join(shlex.quote(single.name) for single in singles[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    raise SceneError(f"{uri} holds {len(names)} images; give one of them: {listed}{more}")


def _single(name: str) -> _Single:
    label = name.rpartition(":")[2].strip('"/').rpartition("/")[2]
    with opened(name) as dataset:
        page = re.match(r"GTIFF_DIR:(\d+):", name)
        told = (dataset.descriptions[0] if dataset.count else "") or (f"page {page[1]}" if page else label)
        return _Single(name, told, dataset.count, dataset.shape)


def _by_label(singles: Sequence[_Single]) -> list[_Single]:
    labels = [single.label.lower() for single in singles]
    if not all(labels.count(colour) == 1 for colour in COLOURS):
        return []
    found = [singles[labels.index(colour)] for colour in COLOURS]
    return found if all(one.bands == 1 and one.shape == found[0].shape for one in found) else []


def _by_number(singles: Sequence[_Single], uri: str, bands: tuple[int, int, int]) -> list[_Single]:
    if any(single.bands != 1 for single in singles):
        return []
    missing = [band for band in bands if not 1 <= band <= len(singles)]
    if missing:
        raise SceneError(f"{uri} has no band {missing[0]}: it holds {len(singles)} images of one band")
    found = [singles[band - 1] for band in bands]
    if len({single.shape for single in found}) > 1:
        sizes = ", ".join(f"{single.label} {single.shape[1]} x {single.shape[0]}" for single in found)
        raise SceneError(f"images of {uri} do not cover the same pixels ({sizes}); bring them to one size")
    return found


def _stack(singles: Sequence[_Single]) -> str:
    """A VRT of images of one band each."""
    with opened(singles[0].name) as first:
        height, width = first.shape
        root = xml.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
        if first.crs:
            xml.SubElement(root, "SRS").text = first.crs.to_wkt()
        if not first.transform.is_identity:
            xml.SubElement(root, "GeoTransform").text = ", ".join(map(repr, first.transform.to_gdal()))
    for number, single in enumerate(singles, start=1):
        with opened(single.name) as dataset:
            dtype, nodata = dataset.dtypes[0], dataset.nodatavals[0]
        kind = str(typename_fwd[dtype_rev[dtype]])
        band = xml.SubElement(root, "VRTRasterBand", dataType=kind, band=str(number))
        xml.SubElement(band, "ColorInterp").text = COLOURS[number - 1].title()
        if nodata is not None:
            xml.SubElement(band, "NoDataValue").text = repr(float(nodata))
        source = xml.SubElement(band, "SimpleSource")
        name = parse(single.name)
        whole = name.of(str(Path(name.file).absolute())) if exists(name.file) else single.name
        xml.SubElement(source, "SourceFilename", relativeToVRT="0").text = whole
        xml.SubElement(source, "SourceBand").text = "1"
    return xml.tostring(root, encoding="unicode")
