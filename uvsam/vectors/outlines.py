"""Outlines of regions in a stream: each is drawn, and may be written, as soon as a scene's strips have passed it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import shapely
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS

from uvsam.engine.executors import Run, here, in_order
from uvsam.mosaic.regions import RegionRules, Regions, RegionStrip, find_regions
from uvsam.mosaic.runs import Ints
from uvsam.progress import Progress, silent
from uvsam.vectors.geopackage import Rows, check_output, write_layers
from uvsam.vectors.polygon_files import to_wkb
from uvsam.vectors.polygonize import Geometries, Piece, draw_piece, join_pieces
from uvsam.vectors.schema import OUTLINES


def write_outlines(
    path: Path,
    score_path: Path | str,
    geobox: GeoBox,
    gsd_m: tuple[float, float],
    rules: RegionRules,
    *,
    overwrite: bool = False,
    run: Run = here,
    progress: Progress = silent,
) -> int:
    """Write the exact outlines of all regions of a score raster, layer ``outlines``, all or nothing.

    For scenes with more outlines than fit into memory: it holds a few strips, the outlines under way, and numbers about
    each region. The file does not depend on the strips, nor on where they are computed. What takes neighbours into
    account (filled holes, simplified outlines, numbers by area) is left to :mod:`uvsam.vectors.villages`.

    Args:
        score_path: uint8 score raster on the grid ``geobox`` (see :mod:`uvsam.mosaic.scores`).
        gsd_m: ground metres per pixel (x, y).
        run: where strips are computed; its workers read the raster under the same name.

    Returns:
        How many there are.

    Raises:
        SceneError: the scores cannot be read.
        OutputError: the file cannot be written.
    """
    check_output(path, overwrite=overwrite)
    regions = find_regions(score_path, rules, gsd_m, run=run, progress=progress)
    crs = None if geobox.crs is None else CRS.from_user_input(geobox.crs.to_wkt())

    def rows() -> Iterator[Rows]:
        for numbers, polygons in draw_outlines(regions, run=run, progress=progress):
            at = numbers - 1
            table = {
                "region": numbers,
                "pixels": regions.pixels[at],
                "confidence": regions.mean_score[at],
                "on_edge": regions.on_edge[at],
            }
            placed = pa.array(to_wkb(place(polygons, geobox.affine)), pa.binary())
            yield Rows(pd.DataFrame(table), placed, crs)

    write_layers(path, [(OUTLINES, rows())], {"scores": str(score_path)} | asdict(rules), overwrite=overwrite)
    return len(regions)


def draw_outlines(
    regions: Regions, *, run: Run = here, stage: str = "drawing outlines (strips)", progress: Progress = silent
) -> Iterator[tuple[Ints, Geometries]]:
    """Regions and their polygons in pixel coordinates, in the order of their last rows, then of their numbers.

    Args:
        run: where strips are computed.

    Yields:
        (N,) numbers, (N,) polygons.

    Raises:
        SceneError: the scores cannot be read.
    """
    total = len(regions.strips)
    for done, (numbers, polygons) in enumerate(join_pieces(in_order(run, _draw, regions.strips))):
        order = np.lexsort((numbers, regions.bounds_px[numbers - 1, 2]))
        yield numbers[order], polygons[order]
        progress(stage, min(done + 1, total), total)


def place(geometries: Geometries, transform: Affine) -> Geometries:
    """Geometries with ``transform`` applied to their coordinates."""

    def apply(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = xy[:, 0], xy[:, 1]
        t = transform
        return np.stack([t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f], axis=1)

    placed: Geometries = shapely.transform(geometries, apply)
    return placed


def _draw(strip: RegionStrip) -> Piece:
    return draw_piece(strip.runs(), strip.rows)
