"""Several rasters of one grid as one image: a GDAL VRT, kept as text so that it travels with its scene.

Law: an image that was cut into pieces is the image again, whatever the order of the pieces.
"""

import datetime
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from xml.etree import ElementTree as xml

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.warp import transform_bounds

from uvsam.errors import GeoreferencingError, SceneError
from uvsam.raster.access import in_any_folder, is_remote
from uvsam.raster.collar import with_collars
from uvsam.raster.names import gdal_name
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.units import turn_of
from uvsam.raster.validity import NONE
from uvsam.raster.window import Window, hull

TOLERANCE_PX = 0.05
"""Grids that differ by less, at any corner of a file, are one."""
SPARSE, SMALL_PX = 100, 10**9
"""A mosaic that is not small has at most so many times the pixels of its files: all of it is stepped through."""

Colours = tuple[Scene, Scene, Scene]
"""Where red, green and blue of an image are read, each as its own colour: one scene three times, or three scenes."""


class _Piece(NamedTuple):
    """An image and its place in the mosaic.

    Attributes:
        mask: the band that says where it is valid, None where none does.
        blank: the values of red, green and blue where it is not, None where they do not say.
        over: others, which come before it.
    """

    colours: Colours
    mask: str | None
    blank: tuple[float | None, ...] | None
    window: Window
    over: bool


def join(images: Sequence[Colours], acquired: datetime.date | None, *, collars: bool = True) -> Scene:
    """One scene of images that share CRS, grid, pixel type and nodata value.

    Where nobody has data, nothing is looked at. Where images overlap the last one shows that has data there: whose mask
    or alpha says so, or which has a value other than nodata in at least one band.

    Args:
        acquired: day that all of them were taken.
        collars: look for collars of images that lie over others, which would hide these.

    Raises:
        GeoreferencingError: they do not share one grid; the message has the gdalwarp that changes this.
        SceneError: something else keeps them apart.
    """
    first = images[0][0]
    scenes = list(dict.fromkeys(scene for colours in images for scene in colours))
    for scene in scenes:
        _check_alike(first, scene)
    if len({is_remote(scene.uri) for scene in scenes}) == 2:
        raise SceneError(f"{first.name} and others are partly here, partly on the network; download what is not here")
    windows = [_place(first, colours) for colours in images]
    whole = hull(windows)
    windows, (height, width) = [window.within(whole) for window in windows], whole.shape
    if height * width > max(SMALL_PX, SPARSE * sum(window.height * window.width for window in windows)):
        raise SceneError(f"{first.name} and the other images lie too far apart to be one ({width} x {height} px)")
    corner, at = min(zip(windows, (colours[0] for colours in images), strict=True), key=lambda pair: pair[0][:2])
    affine = at.geobox.affine * Affine.translation(-corner.col, -corner.row)  # the same, whatever the order
    pieces = [
        _piece(colours, window, over, collars)
        for colours, window, over in zip(images, windows, _lie_over(windows), strict=True)
    ]
    root = _raster((height, width), first, [_colour(pieces, index) for index in range(3)], _masks(pieces))
    xml.SubElement(root, "SRS").text = _wkt(first)
    terms = (affine.c, affine.a, affine.b, affine.f, affine.d, affine.e)
    xml.SubElement(root, "GeoTransform").text = ", ".join(map(repr, map(float, terms)))
    return open_scene(xml.tostring(root, encoding="unicode"), acquired=acquired)


def _check_alike(first: Scene, other: Scene) -> None:
    if None in (first.geobox.crs, other.geobox.crs):
        name = first.name if first.geobox.crs is None else other.name
        raise GeoreferencingError(f"{name} has no coordinate reference system; one run takes only one such image")
    if first.dtype != other.dtype:
        raise SceneError(
            f"{first.name} has {first.dtype} pixels and {other.name} has {other.dtype}; bring them to one type "
            "(gdal_translate -ot Byte -scale), or run them separately"
        )
    if not all(map(_same_value, first.validity.nodata, other.validity.nodata)):
        one, two = ("none" if value is None else f"{value:g}" for value in (first.nodata, other.nodata))
        raise SceneError(
            f"the nodata value of {first.name} is {one}, that of {other.name} is {two}; say the same in both "
            "(gdal_edit.py -a_nodata VALUE, or -unsetnodata), or run them separately"
        )


def _same_value(one: float | None, two: float | None) -> bool:
    return one == two or (one is not None and two is not None and math.isnan(one) and math.isnan(two))


def _place(first: Scene, colours: Colours) -> Window:
    """Where an image lies on the grid of the first."""
    window = None
    for scene in dict.fromkeys(colours):
        height, width = scene.shape
        to_first = ~first.geobox.affine * _beside(first, scene)
        col, row = (round(value) for value in to_first * (0, 0))
        ends = [(0, 0), (width, 0), (0, height), (width, height)]
        off_px = max(math.dist(to_first * (x, y), (x + col, y + row)) for x, y in ends)
        if first.geobox.crs != scene.geobox.crs or off_px > TOLERANCE_PX:
            raise GeoreferencingError(_how_to_align(first, scene, off_px))
        here = Window(row, col, height, width)
        if window not in (None, here):
            raise GeoreferencingError(f"{colours[0].name} and {scene.name} do not cover the same pixels")
        window = here
    assert window is not None
    return window


def _beside(first: Scene, other: Scene) -> Affine:
    """Where an image lies, turned to the side of the first where longitudes begin anew."""
    crs, affine = first.geobox.crs, other.geobox.affine
    turn = None if crs is None or crs != other.geobox.crs else turn_of(CRS.from_user_input(str(crs)))
    if turn is None:
        return affine
    turns = round((first.geobox.affine.c - affine.c) / turn)
    return Affine.translation(turns * turn, 0) * affine if turns else affine


def _how_to_align(first: Scene, other: Scene, off_px: float) -> str:
    target, crs = first.geobox.affine, first.geobox.crs
    sizes_m = [f"{scene.gsd_m[0]:.4g} x {scene.gsd_m[1]:.4g} m" for scene in (first, other)]
    if crs != other.geobox.crs:
        what = f"{other.name} is in another coordinate reference system than {first.name}"
    elif not np.allclose(_linear(target), _linear(other.geobox.affine), rtol=1e-4, atol=1e-4 * abs(target.a)):
        what = f"{other.name} has pixels of {sizes_m[1]} and {first.name} of {sizes_m[0]}"
    else:
        what = f"the pixels of {other.name} lie {off_px:.2g} px beside those of {first.name}"
    if target.b or target.d or target.e > 0:
        return f"{what}; bring both onto one grid with gdalwarp -tap -tr, or run them separately"
    bounds = transform_bounds(_wkt(other), _wkt(first), *other.geobox.extent.boundingbox)
    left, top = ~target * (bounds[0], bounds[3])
    right, bottom = ~target * (bounds[2], bounds[1])
    x_min, y_max = target * (math.floor(left + TOLERANCE_PX), math.floor(top + TOLERANCE_PX))
    x_max, y_min = target * (math.ceil(right - TOLERANCE_PX), math.ceil(bottom - TOLERANCE_PX))
    extent = " ".join(f"{value:.15g}" for value in (x_min, y_min, x_max, y_max))
    name = f"EPSG:{crs.epsg}" if crs and crs.epsg else "(that of the first)"
    return (
        f"{what}; bring it onto that grid with gdalwarp -t_srs {name} -te {extent} "
        f"-tr {target.a:.15g} {-target.e:.15g} -r cubic {other.name} aligned.tif, or run them separately"
    )


def _wkt(scene: Scene) -> str:
    assert scene.geobox.crs is not None
    return str(scene.geobox.crs.to_wkt())


def _linear(affine: Affine) -> tuple[float, ...]:
    return affine.a, affine.b, affine.d, affine.e


def _piece(colours: Colours, window: Window, over: bool, collars: bool) -> _Piece:
    mask, nodata = _mask(colours), colours[0].validity.nodata
    if nodata != NONE:
        return _Piece(colours, mask, nodata, window, over)
    found = with_collars(colours[0]).validity.collars if over and collars and mask is None else ()
    return _Piece(colours, mask, (found[0].value,) * 3 if found else None, window, over)


def _mask(colours: Colours) -> str | None:
    alpha, masked = colours[0].validity.alpha, colours[0].validity.masked
    if alpha is not None and masked:
        raise SceneError(
            f"{colours[0].name} has an alpha band and a mask; leave one out (gdal_translate -mask none) or run it alone"
        )
    if alpha is None and not masked:
        return None
    if len(set(colours)) > 1:
        raise SceneError(f"{colours[0].name} has a mask, which a file of one colour must not; use a nodata value")
    return f"mask,{colours[0].bands[0]}" if alpha is None else str(alpha)


def _lie_over(windows: Sequence[Window]) -> list[bool]:
    """For each window whether it shares pixels with an earlier one."""
    boxes: NDArray[np.int64] = np.array([(w.row, w.col, w.row_stop, w.col_stop) for w in windows])
    return [
        bool(((boxes[:n, :2] < box[2:]) & (boxes[:n, 2:] > box[:2])).all(axis=1).any()) for n, box in enumerate(boxes)
    ]


def _colour(pieces: Iterable[_Piece], index: int) -> list[xml.Element]:
    sources = []
    for piece in pieces:
        scene = piece.colours[index]
        if _is_pierced(piece):
            source = _source(_own(piece), str(index + 1), scene, piece.window, kind="ComplexSource")
            xml.SubElement(source, "UseMaskBand").text = "true"
        else:
            source = _source(_gdal_name(scene), str(scene.bands[index]), scene, piece.window)
        sources.append(source)
    return sources


def _masks(pieces: Iterable[_Piece]) -> list[xml.Element]:
    sources = []
    for piece in pieces:
        scene = piece.colours[0]
        if _is_pierced(piece):
            source = _source(_own(piece), "mask,1", scene, piece.window, kind="ComplexSource")
            xml.SubElement(source, "NODATA").text = "0"
        elif piece.mask:
            source = _source(_gdal_name(scene), piece.mask, scene, piece.window)
        else:  # a pixel of 255, enlarged: costs no reading
            source = _source(WHITE, "1", None, piece.window)
        sources.append(source)
    return sources


def _is_pierced(piece: _Piece) -> bool:
    """Whether other images show through where a piece has no data."""
    return piece.over and (piece.mask is not None or piece.blank is not None)


def _own(piece: _Piece) -> str:
    """A VRT of one image alone, whose mask tells of all its bands together where it has no data."""
    scene = piece.colours[0]
    if piece.mask and piece.blank is not None:
        raise SceneError(
            f"{scene.name} overlaps others and has both a nodata value and a mask or alpha band; leave one out "
            "(gdal_edit.py -unsetnodata), or run it alone"
        )
    alone = piece._replace(window=Window(0, 0, *scene.shape), over=False)
    root = _raster(scene.shape, scene, [_colour([alone], index) for index in range(3)], _masks([alone]), nodata=False)
    if piece.blank is not None:
        root.remove(root[-1])  # its mask
        values = xml.SubElement(xml.SubElement(root, "Metadata"), "MDI", key="NODATA_VALUES")
        values.text = " ".join(map(repr, piece.blank))
    return xml.tostring(root, encoding="unicode")


def _raster(
    shape: tuple[int, int], like: Scene, colours: Sequence[Iterable[xml.Element]], masks: Iterable[xml.Element],
    *, nodata: bool = True,
) -> xml.Element:  # fmt: skip
    root = xml.Element("VRTDataset", rasterXSize=str(shape[1]), rasterYSize=str(shape[0]))
    for number, (name, sources) in enumerate(zip(("Red", "Green", "Blue"), colours, strict=True), start=1):
        band = xml.SubElement(root, "VRTRasterBand", dataType=_gdal_type(like.dtype), band=str(number))
        xml.SubElement(band, "ColorInterp").text = name
        if nodata and like.validity.nodata[number - 1] is not None:
            xml.SubElement(band, "NoDataValue").text = repr(like.validity.nodata[number - 1])
        band.extend(sources)
    xml.SubElement(xml.SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte").extend(masks)
    return root


WHITE = (
    '<VRTDataset rasterXSize="1" rasterYSize="1"><VRTRasterBand dataType="Byte" band="1"><NoDataValue>255</NoDataValue>'
    "</VRTRasterBand></VRTDataset>"
)


def _source(name: str, band: str, scene: Scene | None, window: Window, *, kind: str = "SimpleSource") -> xml.Element:
    """A rectangle of the mosaic and what is shown there; the file is not opened before it is needed."""
    source = xml.Element(kind)
    xml.SubElement(source, "SourceFilename", relativeToVRT="0").text = name
    xml.SubElement(source, "SourceBand").text = band
    height, width = scene.shape if scene else (1, 1)
    size = {"RasterXSize": str(width), "RasterYSize": str(height)}
    xml.SubElement(source, "SourceProperties", size, DataType=_gdal_type(scene.dtype) if scene else "Byte")
    xml.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=str(width), ySize=str(height))
    place = {"xOff": window.col, "yOff": window.row, "xSize": window.width, "ySize": window.height}
    xml.SubElement(source, "DstRect", {name: str(value) for name, value in place.items()})
    return source


def _gdal_name(scene: Scene) -> str:
    return in_any_folder(gdal_name(scene.uri))


def _gdal_type(dtype: str) -> str:
    return str(typename_fwd[dtype_rev[dtype]])
