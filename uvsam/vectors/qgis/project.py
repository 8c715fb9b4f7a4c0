"""Projects of QGIS: some images with layers of ours over them, in one ``.qgz`` file with relative paths."""

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from pyproj import CRS
from rasterio._path import _parse_path, _vsi_path

from uvsam.documents import well_formed
from uvsam.errors import OutputError
from uvsam.raster.access import is_remote
from uvsam.raster.writer import claim_temporary
from uvsam.vectors.qgis.qml import DOCTYPE, VERSION, Style, style_elements
from uvsam.vectors.schema import Layer

SNAP_PX = "12"
SNAP_TO_CORNERS_AND_EDGES = "3"
ACTIVE_LAYER, PIXELS = "1", "1"


@dataclass(frozen=True)
class ImageLayer:
    """A raster of the project.

    Attributes:
        uri: path or url, as GDAL reads it.
        bands: 1-based red, green, blue.
        low, high: what is shown black and full, of each; the same numbers that the model sees.
    """

    name: str
    uri: str
    bands: tuple[int, int, int]
    low: tuple[float, ...]
    high: tuple[float, ...]
    crs: CRS | None


@dataclass(frozen=True)
class VectorLayer:
    """A layer of a GeoPackage with the style that the project shows it in."""

    name: str
    path: Path
    layer: Layer
    style: Style
    crs: CRS | None
    read_only: bool = False


Member = ImageLayer | VectorLayer


def write_project(
    path: Path,
    title: str,
    members: Sequence[Member],
    bounds: Sequence[float],
    crs: CRS | None,
    themes: Mapping[str, Sequence[str]],
) -> None:
    """Write a project; the file takes its name when it is complete.

    Args:
        path: ``.qgz``; files are named relative to its folder.
        members: from the top to the bottom.
        bounds: left, bottom, right, top of what is shown first, in ``crs``.
        themes: names of members that each map theme shows.

    Raises:
        OutputError: it cannot be written.
    """
    root = ET.Element("qgis", version=VERSION, projectname=title)
    ET.SubElement(root, "title").text = title
    _crs(ET.SubElement(root, "projectCrs"), crs)
    tree, order = ET.SubElement(root, "layer-tree-group"), ET.Element("layerorder")
    layers = ET.SubElement(root, "projectlayers")
    ids = {member.name: f"layer_{number:012}" for number, member in enumerate(members)}  # QGIS forgets shorter ones
    for member in members:
        provider = "gdal" if isinstance(member, ImageLayer) else "ogr"
        source, number = _source(member, path.parent), ids[member.name]
        ET.SubElement(
            tree, "layer-tree-layer", id=number, name=member.name, source=source, providerKey=provider,
            checked="Qt::Checked", expanded="0" if isinstance(member, ImageLayer) else "1",
        )  # fmt: skip
        ET.SubElement(order, "layer", id=number)
        held = _image(layers, member) if isinstance(member, ImageLayer) else _vector(layers, member)
        for name, text in (("id", number), ("datasource", source), ("layername", member.name)):
            ET.SubElement(held, name).text = text
        _crs(ET.SubElement(held, "srs"), member.crs)
    root.append(order)
    ET.SubElement(
        root, "snapping-settings", {"enabled": "1", "mode": ACTIVE_LAYER, "type": SNAP_TO_CORNERS_AND_EDGES,
        "tolerance": SNAP_PX, "unit": PIXELS, "intersection-snapping": "0", "self-snapping": "1"},
    )  # fmt: skip
    presets = ET.SubElement(root, "visibility-presets")
    for theme, shown in themes.items():
        preset = ET.SubElement(presets, "visibility-preset", name=theme)
        for name in shown:
            ET.SubElement(preset, "layer", id=ids[name], visible="1", expanded="1")
    properties = ET.SubElement(root, "properties")
    ET.SubElement(ET.SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
    ET.SubElement(ET.SubElement(properties, "Digitizing"), "TopologicalEditing", type="int").text = "1"
    ET.SubElement(ET.SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
    left, bottom, right, top = (repr(float(value)) for value in bounds)
    view = ET.SubElement(root, "ProjectViewSettings", UseProjectScales="0", rotation="0")
    _crs(ET.SubElement(view, "DefaultViewExtent", xmin=left, ymin=bottom, xmax=right, ymax=top), crs)
    ET.indent(root, " ")
    _zip(path, DOCTYPE + well_formed(ET.tostring(root, encoding="unicode")))


def _zip(path: Path, text: str) -> None:
    part = claim_temporary(path)
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr(f"{path.stem}.qgs", text)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def _source(member: Member, folder: Path) -> str:
    if isinstance(member, VectorLayer):
        return f"{_relative(member.path, folder)}|layername={member.layer.name}"
    if not is_remote(member.uri) and Path(member.uri).exists():
        return _relative(member.uri, folder)
    name: str = _vsi_path(_parse_path(member.uri))  # as GDAL names it
    return name


def _relative(path: Path | str, folder: Path) -> str:
    try:
        way = Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return Path(path).absolute().as_posix()
    return way if way.startswith("..") else f"./{way}"


def _crs(parent: ET.Element, crs: CRS | None) -> None:
    if crs is None:
        return
    system = ET.SubElement(parent, "spatialrefsys", nativeFormat="Wkt")
    ET.SubElement(system, "wkt").text = crs.to_wkt()
    if authority := crs.to_authority():
        ET.SubElement(system, "authid").text = ":".join(authority)


def _vector(parent: ET.Element, member: VectorLayer) -> ET.Element:
    kind = member.layer.geometry_type
    layer = ET.SubElement(
        parent, "maplayer", type="vector", geometry=kind.removeprefix("Multi"), wkbType=kind,
        styleCategories="AllStyleCategories", labelsEnabled="1" if member.style.label else "0",
        readOnly="1" if member.read_only else "0", simplifyDrawingHints="1", simplifyDrawingTol="1",
        simplifyAlgorithm="0", simplifyLocal="1", simplifyMaxScale="1",
    )  # fmt: skip
    ET.SubElement(layer, "provider", encoding="UTF-8").text = "ogr"
    layer.extend(style_elements(member.style))
    return layer


def _image(parent: ET.Element, member: ImageLayer) -> ET.Element:
    layer = ET.SubElement(parent, "maplayer", type="raster", styleCategories="AllStyleCategories")
    ET.SubElement(layer, "provider").text = "gdal"
    renderer = ET.SubElement(
        ET.SubElement(layer, "pipe"), "rasterrenderer", type="multibandcolor", opacity="1", alphaBand="-1"
    )
    for colour, band, low, high in zip(("red", "green", "blue"), member.bands, member.low, member.high, strict=True):
        renderer.set(f"{colour}Band", str(band))
        enhancement = ET.SubElement(renderer, f"{colour}ContrastEnhancement")
        ET.SubElement(enhancement, "minValue").text = repr(low)
        ET.SubElement(enhancement, "maxValue").text = repr(high)
        ET.SubElement(enhancement, "algorithm").text = "StretchToMinimumMaximum"
    return layer
