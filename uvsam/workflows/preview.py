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
from uvsam.raster.writer import temporary_name

LONG_SIDE_PX = 1600
LINE, HALO = (255, 214, 10), (20, 20, 20)


def write_preview(path: Path, scene: Scene, stretch: Stretch, villages: gpd.GeoDataFrame) -> None:
    """Write a PNG of the scene, at most 1600 pixels a side, with the villages outlined.

    Raises:
        OutputError: the picture cannot be written.
    """
    scale = max(1.0, max(scene.shape) / LONG_SIDE_PX)
    height, width = (max(1, math.floor(side / scale)) for side in scene.shape)
    with SceneReader(scene, stretch) as reader:
        picture = reader.read_resampled(Window(0, 0, height, width), (scale, scale)).pixels.astype(np.uint8)
    to_picture = ~(scene.geobox.affine * Affine.scale(scale))
    outlines = shapely.transform(
        villages.geometry.boundary.to_numpy(), lambda x, y: to_picture * (x, y), interleaved=False
    )
    for colour, radius in ((HALO, 2.0), (LINE, 1.0)):
        picture[:, _drawn(outlines, radius, (height, width))] = np.array(colour, np.uint8)[:, None]
    part = temporary_name(path)
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


def _drawn(lines: NDArray[np.object_], radius_px: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    if not len(lines):
        return np.zeros(shape, bool)
    return np.asarray(rasterize(shapely.buffer(lines, radius_px, quad_segs=2), shape).astype(bool))
