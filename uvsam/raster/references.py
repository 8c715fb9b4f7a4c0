"""What an image is made of, found without opening any of it: files that a VRT names, and those beside a file.

GDAL opens some of what a file names together with the file, and a pipe among them waits for ever. So names are
followed here first, through VRTs in files and in names, archives and subdatasets.
"""

import os
import posixpath
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as xml

from uvsam.errors import SceneError
from uvsam.raster.names import MOST_BYTES, Name, content, from_folder, parse

HEAD_BYTES = 4096
DEEPEST = 12
MOST_READS = 10**7
"""So often may files be read for one look at the whole of a VRT: 100,000 files in three bands, and VRTs of that."""
HOLDS_NAMES = {"sourcefilename", "sourcedataset", "dempath", "filename", "indexdataset"}
DOWNLOADED = re.compile("(?:https?|ftp)://", re.IGNORECASE)
CALLED = re.compile(r'[">]([^"<>\n]{1,255})["<]')
OVERVIEW_FILE = re.compile(r'"OVERVIEW_FILE"\s*>\s*([^<]+)<', re.IGNORECASE)
SIDECARS = (".ovr", ".msk", ".msk.ovr", ".OVR", ".MSK")


class Part(NamedTuple):
    """Something that an image is read from.

    Attributes:
        name: as GDAL calls it.
        is_image: False for bare bytes, as a raw band has them.
        folder: where relative names in it start, of the text of a VRT.
    """

    name: str
    is_image: bool = True
    folder: str = ""


class References:
    """The parts of images, each looked at once.

    Attributes:
        parts: all of them by GDAL's names, but VRTs that are given as text.
    """

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self._reads: dict[Part, int] = {}
        self._irregular: dict[str, list[str]] = {}

    def follow(self, part: Part, depth: int = 0) -> int:
        """Add what GDAL opens under a name; how often files are read for it.

        Raises:
            SceneError: a pipe or a device, or what cannot be followed.
        """
        if part in self._reads:
            return self._reads[part]
        shown = shown_name(part.name)
        if depth > DEEPEST:
            raise SceneError(f"{shown} is a VRT of a VRT, {depth} deep; make one file of it with gdal_translate")
        self._reads[part] = 1  # for what names itself
        below = []
        if part.name.startswith("<"):
            below = names_in_vrt(part.name, part.folder, shown)
        else:
            name = parse(part.name)
            self.parts[part.name] = part
            if name.file.startswith("<"):
                below = names_in_vrt(name.file, part.folder, shown)
            elif not name.is_remote and not name.in_memory:
                below = self._beside(name, part.is_image)
        reads = max(1, sum(self.follow(one, depth + 1) for one in below))
        if reads > MOST_READS:
            raise SceneError(f"{shown} would read files {reads:.1g} times to show itself once; make one file of it")
        self._reads[part] = reads
        return reads

    def _beside(self, name: Name, is_image: bool) -> list[Part]:
        """What a file of this machine names, and what GDAL opens with it."""
        path = Path(name.file)
        if not path.exists():
            return []
        check_regular(path)
        for other in self._pipes_in(path.parent):
            if other.startswith(f"{path.stem}."):
                check_regular(path.parent / other)
        if path.is_dir() or not is_image:
            return []
        whole = name.of(name.file)
        below = [Part(f"{path}{end}") for end in SIDECARS if os.path.lexists(f"{path}{end}") and not name.layers]
        below += _overviews_elsewhere(path) if not name.layers else []
        head = content(name, HEAD_BYTES) or b""
        if b"<VRTDataset" in head:
            text = (content(name, MOST_BYTES) or b"").decode(errors="replace")
            return below + names_in_vrt(text[text.find("<") :], posixpath.dirname(whole), whole)
        if b"<?xml" in head or path.suffix.lower() == ".til":
            text = (content(name, MOST_BYTES) or b"").decode(errors="replace")
            called = {posixpath.join(posixpath.dirname(whole), word) for word in CALLED.findall(text)}
            below += [Part(one) for one in sorted(called) if os.path.lexists(one) and not Path(one).is_dir()]
        return below

    def _pipes_in(self, folder: Path) -> list[str]:
        key = str(folder)
        if key not in self._irregular:
            try:
                with os.scandir(folder) as entries:
                    odd = [entry.name for entry in entries if not (entry.is_file() or entry.is_dir())]
            except OSError:
                odd = []
            self._irregular[key] = [name for name in odd if (folder / name).exists()]
        return self._irregular[key]


def check_regular(path: Path) -> None:
    """Refuse pipes and devices: opening one can wait for ever.

    Raises:
        SceneError: it is neither a file nor a folder.
    """
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise SceneError(f"{path} is a pipe or a device; save it to a file first")


def names_in_vrt(text: str, folder: str, called: str) -> list[Part]:
    """What a VRT names, each as often as it does.

    Args:
        text: XML.
        folder: where relative names start.
        called: the VRT, for messages.

    Raises:
        SceneError: it is no VRT, or cannot be followed.
    """
    try:
        root = xml.fromstring(text)
    except (xml.ParseError, ValueError) as error:
        raise SceneError(f"{called} is not well-formed XML, so that what it names is not clear: {error}") from error
    if root.tag.lower() != "vrtdataset":
        raise SceneError(
            f"{called} describes {root.tag}, a service or an index whose pixels lie elsewhere; "
            "save the part that is to be looked at as a GeoTIFF first"
        )
    found = []
    if any(text and posixpath.normpath(text) != posixpath.normpath(folder or ".") for text in _roots(root)):
        raise SceneError(f"{called} says that names in it start from another folder (ROOT_PATH), which is not followed")
    for name, is_relative, is_image in _names(root, False):
        if DOWNLOADED.match(name):
            raise SceneError(
                f"{called} names {name}, which GDAL would download as a whole; "
                f"write /vsicurl/{name} there, of which it reads what is needed"
            )
        known = from_folder(name, folder) if is_relative else [name]
        found += [Part(one, is_image, folder if one.startswith(("<", "vrt://<")) else "") for one in known]
    return found


def _names(node: xml.Element, is_raw: bool) -> Iterator[tuple[str, bool, bool]]:
    """(name, relative to the VRT, of an image) below a node; as elements or attributes, in any case of letters."""
    said = {key.lower(): value for key, value in node.attrib.items()}
    is_raw = is_raw or said.get("subclass", "").lower() == "vrtrawrasterband"
    is_relative = said.get("relativetovrt", "0").strip().lower() not in ("0", "no", "false", "off", "")
    key = said.get("key", said.get("name", "")).lower()
    text = (node.text or "").strip()
    if text and (HOLDS_NAMES & {node.tag.lower(), key} or key.endswith("_dataset") or "filename" in key):
        yield text, is_relative, not is_raw
    for key, value in said.items():
        if key in HOLDS_NAMES:
            yield value, is_relative, not is_raw
    for child in node:
        if child.tag.lower() == "relativetovrt":  # as GDAL reads it
            is_relative = True
        yield from _names(child, is_raw)


def _roots(root: xml.Element) -> Iterator[str]:
    for node in root.iter():
        if node.attrib.get("key", "").upper() == "ROOT_PATH":
            yield (node.text or "").strip()


def _overviews_elsewhere(path: Path) -> list[Part]:
    """Overviews that a file's ``.aux.xml`` says are in another file."""
    beside = Path(f"{path}.aux.xml")
    if not beside.is_file():
        return []
    named = OVERVIEW_FILE.findall(beside.read_bytes()[:MOST_BYTES].decode(errors="replace"))
    return [Part(str(path.parent / name.strip().removeprefix(":::BASE:::"))) for name in named]


def shown_name(name: str) -> str:
    return "a VRT" if name.startswith("<") else name
