"""A small picture of a result: the outlines over the image."""

import math
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize
from rasterio.transform import Affine

from uvsam.errors import OutputError
from uvsam.raster.access import GDAL_ERRORS, one_line
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import Stretch
from uvsam.raster.scene import Scene
from uvsam.raster.window import Window
from uvsam.raster.writer import claim_temporary

LONG_SIDE_PX = 1600
LINE, HALO = (255, 214, 10), (20, 20, 20)
TINT = 0.2  # of the line's colour over village: what is not tinted, inside an outline too, is none


def write_preview(
    path: Path, scene: Scene, stretch: Stretch, villages: gpd.GeoDataFrame, coverage: gpd.GeoDataFrame | None = None
) -> None:
    """Write a PNG of the scene, at most 1600 pixels a side, with the villages outlined and tinted.

    Holes are left without tint and without an outline, which would look like that of a small village.

    Args:
        coverage: only the rectangle around it is shown, and read. Default: the whole scene.

    Raises:
        OutputError: the picture cannot be written.
    """
    shown = _rectangle(scene, coverage)
    scale = max(1.0, max(shown.height, shown.width) / LONG_SIDE_PX)
    height, width = (max(1, math.floor(side / scale)) for side in (shown.height, shown.width))
    row, col = math.floor(shown.row / scale), math.floor(shown.col / scale)
    with SceneReader(scene, stretch) as reader:
        picture = reader.read_resampled(Window(row, col, height, width), (scale, scale)).pixels.astype(np.uint8)
    to_picture = Affine.translation(-col, -row) * ~(scene.geobox.affine * Affine.scale(scale))
    villages_px = shapely.transform(villages.geometry.to_numpy(), lambda x, y: to_picture * (x, y), interleaved=False)
    inside = _drawn(villages_px, (height, width))
    picture[:, inside] = (1 - TINT) * picture[:, inside] + TINT * np.array(LINE)[:, None]
    outlines = shapely.get_exterior_ring(villages_px)
    for colour, radius_px in ((HALO, 2.0), (LINE, 1.0)):
        drawn = _drawn(shapely.buffer(outlines, radius_px, quad_segs=2), (height, width))
        picture[:, drawn] = np.array(colour, np.uint8)[:, None]
    part = claim_temporary(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a picture has no position
            with rasterio.open(part, "w", driver="PNG", width=width, height=height, count=3, dtype="uint8") as png:
                png.write(picture)
        part.replace(path)
    except (*GDAL_ERRORS, OSError) as error:
        raise OutputError(f"cannot write {path}: {one_line(error)}") from error
    finally:
        part.unlink(missing_ok=True)


def _rectangle(scene: Scene, coverage: gpd.GeoDataFrame | None) -> Window:
    whole = Window(0, 0, *scene.shape)
    if coverage is None or coverage.empty:
        return whole
    to_pixels = ~scene.geobox.affine
    inside = shapely.transform(coverage.geometry.to_numpy(), lambda x, y: to_pixels * (x, y), interleaved=False)
    left, top, right, bottom = shapely.total_bounds(inside).round().astype(int).tolist()
    return Window(top, left, bottom - top, right - left).intersection(whole)


def _drawn(shapes: NDArray[np.object_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(H, W): the pixels of polygons in pixel coordinates."""
    return np.asarray(rasterize(shapes, shape).astype(bool)) if len(shapes) else np.zeros(shape, bool)
