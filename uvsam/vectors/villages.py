"""From the score raster to villages."""

import datetime
import math
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import CRS

from uvsam.engine.executors import Run, here
from uvsam.mosaic.band import band_of
from uvsam.mosaic.instances import Support
from uvsam.mosaic.regions import RegionRules, Regions, find_regions
from uvsam.progress import Progress, silent
from uvsam.vectors.holes import fill_holes
from uvsam.vectors.mask import write_mask
from uvsam.vectors.measures import compactness, geodesic_measures, planar_measures
from uvsam.vectors.outlines import draw_outlines, place
from uvsam.vectors.polygonize import Geometries
from uvsam.vectors.schema import COVERAGE, VILLAGES, make_frame
from uvsam.vectors.simplify import simplify


def villages_from_scores(
    score_path: Path | str,
    geobox: GeoBox,
    gsd_m: tuple[float, float],
    rules: RegionRules,
    *,
    min_hole_m2: float = 0.0,
    simplify_m: float = 0.0,
    acquired: datetime.date | None = None,
    model: str = "",
    support: Support | None = None,
    seeds_path: Path | None = None,
    mask_path: Path | None = None,
    run: Run = here,
    progress: Progress = silent,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Villages and what was looked at, in the CRS of ``geobox``.

    Villages are numbered from the largest to the smallest. ``confidence`` is the mean calibrated score over the pixels
    of the region, before holes were filled and the outline simplified: the expected share of its area that is village.
    ``area_low_m2`` and ``area_high_m2`` are the area at thresholds one unit of log-odds higher and lower.
    Holes smaller than ``min_hole_m2`` are filled, and a village in such a hole becomes part of the one around it; a
    hole with a pixel in it that was not looked at stays. Memory grows with the villages and not with the raster.

    Args:
        score_path: uint8 score raster on the grid ``geobox`` (see :mod:`uvsam.mosaic.scores`).
        geobox: grid of the scene; without CRS, areas come from ``gsd_m`` and geometries are in the grid's own units.
        gsd_m: ground metres per pixel (x, y).
        support: what a generalist said of the masks in refined scores; NaN in the villages without.
        seeds_path: the specialist's own scores, where a generalist refined them (see ``find_regions``).
        mask_path: also write the villages as pixels (see :mod:`uvsam.vectors.mask`): with their small holes filled, and
            before their outlines are simplified.
        simplify_m: tolerance; 0 leaves the outline along pixel corners.
        run: where strips are computed; its workers read the rasters under the same names.

    Returns:
        Frames with the schemas :data:`~uvsam.vectors.schema.VILLAGES` and :data:`~uvsam.vectors.schema.COVERAGE`.

    Raises:
        SceneError: the scores cannot be read.
        GeoreferencingError: the grid has no place on the ellipsoid.
        OutputError: the mask cannot be written.
    """
    crs = None if geobox.crs is None else CRS.from_user_input(geobox.crs.to_wkt())
    covered = find_regions(score_path, RegionRules(0, 0), gsd_m, run=run)
    looked_at = _outlines(covered, run, "drawing coverage (strips)", progress)
    regions = find_regions(score_path, rules, gsd_m, seeds_path=seeds_path, run=run, progress=progress)
    outlines = _outlines(regions, run, "drawing outlines (strips)", progress)
    band = band_of(regions, run=run, progress=progress)

    rings, owner = shapely.get_rings(looked_at, return_index=True)
    not_looked_at = shapely.point_on_surface(shapely.polygons(rings[np.diff(owner, prepend=-1) == 0]))
    outlines, absorbed = fill_holes(outlines, min_hole_m2 / (gsd_m[0] * gsd_m[1]), keep_around=not_looked_at)
    kept = np.flatnonzero(~absorbed)
    if mask_path is not None:
        write_mask(mask_path, score_path, geobox, outlines[kept])

    metres = Affine.scale(*gsd_m)
    on_ground = simplify(place(outlines[kept], metres), simplify_m)
    placed = place(on_ground, geobox.affine @ ~metres)
    area, perimeter = planar_measures(on_ground) if crs is None else geodesic_measures(placed, crs)
    order = np.lexsort((kept, -area))
    loses, gains = (pixels[kept] / regions.pixels[kept] for pixels in band)
    said = {} if support is None else support.means(regions, run=run)
    villages = make_frame(
        VILLAGES,
        placed[order],
        crs,
        {
            "village_id": np.arange(1, len(order) + 1),
            "area_m2": area[order],
            "area_low_m2": (area * (1 - loses))[order],
            "area_high_m2": (area * (1 + gains))[order],
            "perimeter_m": perimeter[order],
            "compactness": compactness(area, perimeter)[order],
            "confidence": regions.mean_score[kept][order],
            "sam_iou_pred": said["sam_iou_pred"][kept][order] if said else math.nan,
            "stability": said["stability"][kept][order] if said else math.nan,
            "on_edge": regions.on_edge[kept][order],
            "acquired": acquired,
            "model": model,
        },
    )
    return villages, _coverage(looked_at, geobox, gsd_m, crs, acquired, model)


def _coverage(
    looked_at: Geometries,
    geobox: GeoBox,
    gsd_m: tuple[float, float],
    crs: CRS | None,
    acquired: datetime.date | None,
    model: str,
) -> gpd.GeoDataFrame:
    """One multipolygon, or no row where nothing was looked at."""
    placed = place(looked_at, geobox.affine)
    area, _ = planar_measures(place(looked_at, Affine.scale(*gsd_m))) if crs is None else geodesic_measures(placed, crs)
    whole = np.array([shapely.multipolygons(placed)] if len(placed) else [], object)
    columns = {"acquired": acquired, "model": model, "area_m2": float(area.sum())}
    return make_frame(COVERAGE, whole, crs, columns)


def _outlines(regions: Regions, run: Run, stage: str, progress: Progress) -> Geometries:
    """(N,) polygons of all regions in pixel coordinates, by their numbers."""
    outlines: Geometries = np.empty(len(regions), object)
    for numbers, polygons in draw_outlines(regions, run=run, stage=stage, progress=progress):
        outlines[numbers - 1] = polygons
    return outlines
