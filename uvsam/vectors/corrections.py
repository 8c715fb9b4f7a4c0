"""What a person said of the places of a map, as labels; what verdicts mean is in ``docs/correcting.md``."""

import json
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from uvsam.errors import LabelError
from uvsam.raster.access import one_line
from uvsam.vectors.formats import read_run
from uvsam.vectors.layer_files import UNREADABLE, named, read_rows
from uvsam.vectors.local_map import map_around
from uvsam.vectors.period_columns import ids
from uvsam.vectors.polygon_files import (
    PolygonLayer,
    layer_kinds,
    moved,
    place,
    polygons_only,
    repaired,
    rows_with_polygons,
    say_left_out,
)
from uvsam.vectors.schema import CORRECTIONS, VERDICTS, VILLAGES

SEEN_M = 50.0
"""Ground this near to a place with a verdict was seen with it."""


@dataclass(frozen=True)
class Labels:
    """Village outlines as labels.

    Attributes:
        villages: their outlines; other land is no village.
        seen: ground that somebody looked at, to learn from above all; None where all labels are alike.
        unknown: ground without a label.
    """

    villages: PolygonLayer
    seen: PolygonLayer | None = None
    unknown: PolygonLayer | None = None


def is_review(path: Path) -> bool:
    """Whether a vector file holds the corrections of ``uvsam review``."""
    return CORRECTIONS.name in layer_kinds(path)


def read_corrections(path: Path) -> Labels:
    """The map that was reviewed, corrected.

    Places that were given a verdict are what it says, perhaps missed ones that were given none are unknown. Everything
    else is what the map says: trained on the few places that it had wrong alone, a model forgets what it had right.

    Raises:
        LabelError: no verdict was given, or one that is none; or the map that was reviewed is not where it was.
    """
    frame = _read(path, CORRECTIONS.name)
    said = frame["verdict"].fillna("").astype(str).str.strip()
    wrong = sorted(set(said) - {"", *VERDICTS})
    if wrong:
        raise LabelError(f"{path} has the verdict '{wrong[0]}'; there are {', '.join(VERDICTS)}")
    given = said != ""
    if not given.any():
        raise LabelError(f"{path} has no verdict yet; look at some places in QGIS and say what they are")
    crs = None if frame.crs is None else place(CRS.from_user_input(frame.crs))
    others = _others(path, frame[given], crs)
    villages = np.concatenate([others, _polygons(frame[given & (said != "wrong")])])
    seen = _widened(_polygons(frame[given]), crs)
    unknown = _polygons(frame[~given & frame["village_id"].isna()])
    return Labels(PolygonLayer(villages, crs), PolygonLayer(seen, crs), PolygonLayer(unknown, crs))


def reviewed_images(path: Path) -> list[Path]:
    """What the places of a review were looked at on, as far as it is on this machine."""
    named = [Path(image) for image in json.loads(read_run(path).get("images", "[]"))]
    beside = [image if image.exists() else path.parent / image.name for image in named]
    return [image for image in beside if image.exists()]


def _others(path: Path, looked_at: gpd.GeoDataFrame, crs: CRS | None) -> NDArray[np.object_]:
    """Villages of the map without a verdict."""
    run = read_run(path)
    file, layer, _ = named(Path(run.get("villages", "")))
    beside = path.parent / file.name
    reviewed = file if file.is_file() else beside
    if not file.name or not reviewed.is_file():
        said = f"a review of {file}, which is not there; put it beside" if file.name else "not of `uvsam review`"
        raise LabelError(f"{path} is {said}")
    frame = _read(reviewed, layer or VILLAGES.name)
    seen = ids(looked_at["village_id"], len(looked_at))
    left = frame[~np.isin(ids(frame["village_id"], len(frame)).astype(str), seen[~seen.isna()].astype(str))]
    of_map = None if frame.crs is None else place(CRS.from_user_input(frame.crs))
    return PolygonLayer(_polygons(left), of_map).to_crs(crs)


def _read(path: Path, layer: str) -> gpd.GeoDataFrame:
    try:
        frame = read_rows(path, layer)
    except LabelError:
        raise
    except UNREADABLE as error:
        raise LabelError(f"layer {layer} of {path} cannot be read: {one_line(error)}") from error
    drawn = rows_with_polygons(frame, path, layer)
    say_left_out(len(frame) - len(drawn), path, layer)
    return drawn


def _polygons(frame: gpd.GeoDataFrame) -> NDArray[np.object_]:
    return polygons_only(frame.geometry.to_numpy())


def _widened(polygons: NDArray[np.object_], crs: CRS | None) -> NDArray[np.object_]:
    """The polygons and all ground within :data:`SEEN_M` metres."""
    if crs is None:
        return shapely.buffer(polygons, SEEN_M)  # type: ignore[no-any-return]
    around = map_around(shapely.bounds(shapely.get_parts(polygons)), crs)
    return repaired(moved(shapely.buffer(moved(polygons, crs, around), SEEN_M), around, crs))
