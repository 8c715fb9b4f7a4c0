"""``uvsam sample``: places to look at, drawn from layers of villages."""

import datetime
from collections.abc import Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

import uvsam
from uvsam.change.alignment import NO_SHIFT, estimate_shift
from uvsam.change.overlay import Polygons, without_overlaps
from uvsam.change.sampling import STRATA, draw
from uvsam.change.steps import clip
from uvsam.errors import LabelError
from uvsam.raster.units import turn_of
from uvsam.raster.writer import check_inputs_stay
from uvsam.vectors.antimeridian import around, beside
from uvsam.vectors.geopackage import Rows, check_output, write_layers
from uvsam.vectors.layer_files import files_of
from uvsam.vectors.local_map import map_around
from uvsam.vectors.periods import PeriodSource, crs_of, find_periods, read_bounds, read_lazily
from uvsam.vectors.polygon_files import moved, read_coverage, read_polygons, seen_extent
from uvsam.vectors.qgis.styles import sample_style
from uvsam.vectors.schema import SAMPLE
from uvsam.vectors.whereabouts import check_common_ground
from uvsam.workflows.following import extent, say_overlap
from uvsam.workflows.reference import AREAS, DRAWN, answers_in, carried_over

Boxes = NDArray[np.float64]


def sample(
    paths: Sequence[Path], out: Path, *, places: int = 400, least: int = 50, aoi: Path | None = None,
    dates: Sequence[datetime.date] = (), seed: int = 0, overwrite: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Draw a stratified random sample of places and write it for somebody to fill in.

    Of one layer the strata are village and other, of two kept, gained, lost and other. The layer ``sample`` has points
    and an empty column ``truth``; what the map says of each is in another table, so that nobody copies it.

    Nothing that was filled in is lost: where ``out`` is a sample already, its answers are kept at the places that
    are drawn again, as they are with the same layers and seed, and as many places or more.

    Args:
        paths: files with one period or two in all.
        places, least: in all, and in each stratum.
        aoi: polygon file; the ground to draw from, where the layers have no ``coverage``.

    Returns:
        Name, area and places of each stratum, and how many of these are answered already.

    Raises:
        LabelError: a file cannot be used, nobody says what was looked at, or there are too few places.
        OutputError: the file cannot be written, or has answers at places that are not drawn again.
    """
    check_inputs_stay([out], files_of([*paths, aoi]))
    check_output(out, overwrite=overwrite)
    answered = answers_in(out)
    sources = find_periods(paths, dates, least=1)
    if len(sources) > 2:
        raise LabelError(f"a sample is of one layer or of two, not of {len(sources)} periods")
    crs = crs_of(sources[0])
    boxes = [read_bounds(one) for one in sources]
    bounds = boxes[0]
    if crs is None or not len(bounds):
        raise LabelError(f"{sources[0].path} has no villages with a place on earth")
    chart = map_around(bounds, crs)
    layers: list[Polygons] = [
        read_lazily(one, chart).compute(scheduler="synchronous").geometry.to_numpy() for one in sources
    ]
    for which, own in enumerate(map(without_overlaps, layers)):
        say_overlap(own.overlap, sources[which].path)
        layers[which] = _kept(own.polygons)
    shift = estimate_shift(*layers) if len(layers) == 2 else NO_SHIFT
    layers[1:] = [shift.take_off(layer) for layer in layers[1:]]
    ground = _ground(sources, boxes, aoi, chart)
    found = draw([_kept(clip(layer, ground)) for layer in layers], ground, places, least, seed)

    names = STRATA[len(layers)]
    points = beside(moved(shapely.points(found.places), chart, crs), turn_of(crs), around(bounds))
    number = np.arange(1, len(points) + 1)
    truth = np.full(len(points), None, object)
    if answered is not None:
        truth = carried_over(out, answered, points, crs, [one.date for one in sources])
    frame = gpd.GeoDataFrame({"place_id": number, "truth": pd.Series(truth, dtype=object)},
                             geometry=list(points), crs=crs)  # fmt: skip
    drawn = pd.DataFrame({"place_id": number, "stratum": np.array(names, object)[found.stratum]})
    strata = pd.DataFrame({"stratum": np.array(names, object), "area_m2": found.area_m2,
                           "places": np.bincount(found.stratum, minlength=len(names))})  # fmt: skip
    run = {
        "uvsam": uvsam.__version__, "inputs": [str(path) for path in paths], "seed": seed,
        "dates": [one.date.isoformat() for one in sources], "truth": "one of " + ", ".join(names),
    }  # fmt: skip
    write_layers(
        out, [(SAMPLE, [Rows.of(frame, SAMPLE)])], run, {DRAWN: drawn, AREAS: strata},
        styles={SAMPLE.name: sample_style(names)}, overwrite=overwrite,
    )  # fmt: skip
    has_answer = np.array([said is not None for said in truth])
    return strata.assign(answered=np.bincount(found.stratum[has_answer], minlength=len(names)))


def _ground(sources: Sequence[PeriodSource], boxes: Sequence[Boxes], aoi: Path | None, chart: CRS) -> shapely.Geometry:
    said = [read_coverage(one.path) for one in sources]
    extents = [extent(*one) for one in zip(sources, boxes, said, strict=True)]
    grounds = [found for found in said if found is not None]
    if aoi is not None:
        grounds.append(read_polygons(aoi))
        extents.append(seen_extent(aoi, grounds[-1]))
    check_common_ground(extents)
    if not grounds:
        raise LabelError("these layers do not say what was looked at (layer coverage); name the ground with --aoi")
    ground = shapely.intersection_all([shapely.union_all(one.to_crs(chart)) for one in grounds])
    if shapely.area(ground) == 0:
        raise LabelError("no ground is in all of these layers and in --aoi")
    return ground


def _kept(polygons: Polygons) -> Polygons:
    kept: Polygons = polygons[shapely.area(polygons) > 0]
    return kept
