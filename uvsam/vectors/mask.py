"""Villages as pixels."""

from pathlib import Path

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.features import rasterize

from uvsam.mosaic.scores import read_strips, strip_rows
from uvsam.raster.writer import Meaning, RasterWriter, quick_compression

MASK = Meaning("1: village, 0: other")
OTHER, VILLAGE, NOT_LOOKED_AT = 0, 1, 255
BLOCK_PX = 512


def write_mask(path: Path, score_path: Path | str, geobox: GeoBox, polygons: NDArray[np.object_]) -> None:
    """Write a uint8 raster: 1 in polygons, 0 elsewhere, 255 (nodata) where nothing was looked at.

    Strip by strip. Law: of polygons along pixel corners it is exactly their pixels.

    Args:
        score_path: uint8 score raster on the grid ``geobox`` (see :mod:`uvsam.mosaic.scores`).
        polygons: (N,) in pixel coordinates.

    Raises:
        SceneError: the scores cannot be read.
        OutputError: the mask cannot be written.
    """
    width = int(geobox.shape[1])
    tree = shapely.STRtree(polygons)
    with RasterWriter(
        path, geobox, nodata=NOT_LOOKED_AT, block_px=(BLOCK_PX, BLOCK_PX), **quick_compression()
    ) as writer:
        for strip in read_strips(score_path, rows=strip_rows(width, block_rows=BLOCK_PX)):
            mask = np.where(strip.values == 0, np.uint8(NOT_LOOKED_AT), np.uint8(OTHER))
            here = polygons[tree.query(shapely.box(0, strip.row, width, strip.row + strip.rows))]
            if len(here):
                rasterize(here, out=mask, transform=Affine.translation(0, strip.row), default_value=VILLAGE)
            writer.write(mask, strip.row, 0)
