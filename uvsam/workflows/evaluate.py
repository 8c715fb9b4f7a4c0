"""Compare outlines of villages with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

import uvsam
from uvsam.change.overlay import without_overlaps
from uvsam.errors import LabelError
from uvsam.evaluation.areas import AreaBias, area_bias
from uvsam.evaluation.boundaries import BoundaryScore, compare_boundaries
from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.objects import confusion_of, fill_holes, match_as_paper, match_optimally, pair_ious
from uvsam.evaluation.pixels import count_areas, dissolve
from uvsam.evaluation.rasters import LabelRaster, compare_with_raster
from uvsam.evaluation.region import Region, no_polygons
from uvsam.progress import Progress, silent
from uvsam.vectors.layer_files import naming
from uvsam.vectors.local_map import local_map
from uvsam.vectors.periods import check_one_period, days_of
from uvsam.vectors.polygon_files import PolygonLayer, extent_of, read_coverage, read_polygons
from uvsam.vectors.whereabouts import check_common_ground
from uvsam.workflows.following import say_overlap

OBJECT_IOU = 0.5
TOLERANCES_M = (2.0, 5.0)


@dataclass(frozen=True)
class VectorTruth:
    """Truth as polygons: file, layer (default: the only one) and SQL condition such as ``period = 2020``.

    The condition may be left out where a column ``period`` has one value, or where there is no such column.
    """

    path: Path
    layer: str | None = None
    where: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """How good a prediction is. Counts are of what lies in the region that both sides know.

    ``pixels`` counts pixels of the truth's grid (``unit`` "px") or, with polygons as truth, m2 (``unit`` "m2").
    """

    prediction: str
    truth: str
    unit: str
    pixels: Confusion
    objects: Confusion
    objects_mean_iou: float | None
    objects_paper: Confusion
    boundaries: tuple[BoundaryScore, ...]
    areas: AreaBias

    def as_dict(self) -> dict[str, Any]:
        """For JSON: plain numbers, None where a ratio has no meaning."""
        return {
            "uvsam": uvsam.__version__,
            "prediction": self.prediction,
            "truth": self.truth,
            "pixels": {"unit": self.unit, **self.pixels.as_dict()},
            "objects": {"min_iou": OBJECT_IOU, "mean_iou": self.objects_mean_iou, **_without_iou(self.objects)},
            "objects_paper": _without_iou(self.objects_paper),
            "boundaries": [score.as_dict() for score in self.boundaries],
            "areas": self.areas.as_dict(),
        }


def _without_iou(counts: Confusion) -> dict[str, float | None]:
    return {name: value for name, value in counts.as_dict().items() if name != "iou"}


def evaluate(
    prediction: Path,
    truth: VectorTruth | LabelRaster,
    *,
    layer: str | None = None,
    where: str | None = None,
    aoi: Path | None = None,
    min_area_m2: float = 0.0,
    progress: Progress = silent,
) -> Evaluation:
    """Compare the polygons of ``prediction`` with ``truth``.

    Compared is only what both sides know: the ``coverage`` layers of the prediction and of the truth, ``aoi``, and in a
    label raster the pixels that have a label. Truth as polygons without such a layer is taken to be complete.
    Everything but the pixel counts of a label raster is measured on an equal-area map around the truth.

    Args:
        prediction: vector file; its layer ``villages`` unless ``layer`` names another.
        truth: polygons or a raster of labels.
        layer, where: layer of ``prediction``, and SQL condition on its rows.
        aoi: vector file, area to compare in.
        min_area_m2: smaller objects are left out of both sides when objects are matched.
        progress: called while a label raster is read.

    Raises:
        LabelError: a file cannot be read, has no CRS while the other has one, or the two do not overlap; or one of them
            holds several periods and nobody chose.
    """
    ours_at = naming(prediction, layer=layer, where=where)
    predicted = read_polygons(ours_at)
    check_one_period(ours_at, "--where")
    limits = [found for found in (read_coverage(prediction),) if found is not None]
    if aoi is not None:
        limits.append(read_polygons(aoi))
    if isinstance(truth, LabelRaster):
        extent = truth.extent()
        _check_places(prediction, predicted, truth.path, extent)
        compared = compare_with_raster(truth, predicted, limits, progress)
        limits.append(extent)
        villages, ignored, pixels = compared.villages, compared.ignored, compared.pixels
        chart = local_map([extent])
    else:
        theirs_at = naming(truth.path, layer=truth.layer, where=truth.where)
        villages = read_polygons(theirs_at)
        check_one_period(theirs_at, "--truth-where", days_of(ours_at))
        _check_places(prediction, predicted, truth.path, villages)
        check_common_ground([extent_of(prediction, predicted), extent_of(truth.path, villages)])
        coverage = read_coverage(truth.path)
        limits += [] if coverage is None else [coverage]
        ignored, pixels = PolygonLayer(no_polygons(), None), None
        chart = local_map([villages, predicted, *limits])

    region = Region(_common_ground([limit.to_crs(chart) for limit in limits]), ignored.to_crs(chart))
    if region.inside is not None and _is_elsewhere(region.inside, predicted.to_crs(chart)):
        raise LabelError(f"{prediction} and {truth.path} have no ground in common; are they of the same place?")
    ours, theirs = region.clip(predicted.to_crs(chart)), region.clip(villages.to_crs(chart))
    for path, polygons in ((prediction, ours), (truth.path, theirs)):
        say_overlap(without_overlaps(polygons).overlap, path)
    areas_m2 = count_areas(ours, theirs)
    boundaries = compare_boundaries(dissolve(ours), dissolve(theirs), region, TOLERANCES_M)
    ours, theirs = (side[shapely.area(side) >= min_area_m2] for side in (ours, theirs))
    matches = match_optimally(pair_ious(ours, theirs), OBJECT_IOU)
    paper = match_as_paper(pair_ious(fill_holes(ours), fill_holes(theirs)))
    return Evaluation(
        prediction=str(prediction),
        truth=str(truth.path),
        unit="m2" if pixels is None else "px",
        pixels=pixels or areas_m2,
        objects=confusion_of(matches, len(ours), len(theirs)),
        objects_mean_iou=float(matches.iou.mean()) if len(matches.iou) else None,
        objects_paper=confusion_of(paper, len(ours), len(theirs)),
        boundaries=tuple(boundaries),
        areas=area_bias(areas_m2),
    )


def _check_places(prediction: Path, predicted: PolygonLayer, truth: Path, other: PolygonLayer) -> None:
    if (predicted.crs is None) != (other.crs is None):
        without, place = (prediction, truth) if predicted.crs is None else (truth, prediction)
        raise LabelError(f"{without} has no coordinate reference system, {place} has one: assign it first")


def _is_elsewhere(inside: BaseGeometry, polygons: NDArray[np.object_]) -> bool:
    """Whether there is nothing to compare: no common ground, or a prediction wholly away from it."""
    if inside.is_empty or len(polygons) == 0:
        return bool(inside.is_empty)
    return not shapely.box(*shapely.total_bounds(polygons)).intersects(inside)


def _common_ground(limits: Sequence[NDArray[np.object_]]) -> Any:
    """The intersection of the unions of ``limits``; None without any."""
    if not limits:
        return None
    return shapely.intersection_all(np.array([shapely.union_all(limit) for limit in limits], dtype=object))
