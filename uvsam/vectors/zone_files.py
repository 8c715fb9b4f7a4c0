"""Districts that users bring: their names and polygons."""

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from uvsam.errors import LabelError
from uvsam.raster.access import one_line
from uvsam.vectors.layer_files import UNREADABLE, read_rows
from uvsam.vectors.polygon_files import PolygonLayer, place, polygon_layer, repaired

NAMES = ("name", "zone", "label", "title", "district", "ward", "nom", "nombre", "nome")
"""Columns that name a zone, in capitals or not, the first that there is."""
LEVEL = re.compile(r"name_?(\d+)")
"""Names of administrative levels, as GADM has them; the zones are of the highest."""


@dataclass(frozen=True)
class Zones:
    """Names (N,), each once, and polygons (N,)."""

    names: list[str]
    layer: PolygonLayer


def read_zones(path: Path) -> Zones:
    """Zones with an area. One without a name is called by its place in the file, ``zone 3``; one with the name of
    another has a number behind it.

    Raises:
        LabelError: not a file of polygons, or there are none.
    """
    layer = polygon_layer(path)
    try:
        frame = read_rows(path, layer)
    except UNREADABLE as error:
        raise LabelError(f"layer {layer} of {path} cannot be read: {one_line(error)}") from error
    number = np.arange(1, len(frame) + 1)
    outlines: NDArray[np.object_] = frame.geometry.to_numpy()
    there = ~(shapely.is_missing(outlines) | shapely.is_empty(outlines))
    given = outlines[there]
    other = sorted({one.geom_type for one in given[shapely.get_dimensions(given) < 2]})
    if other:
        raise LabelError(f"layer {layer} of {path} holds {', '.join(other)}; only polygons can be zones")
    polygons = repaired(given)
    areal = shapely.area(polygons) > 0
    if not areal.any():
        raise LabelError(f"layer {layer} of {path} has no polygon; zones need some")
    names = _names(frame)[there][areal]
    said = [name or f"zone {k}" for name, k in zip(names, number[there][areal].tolist(), strict=True)]
    return Zones(_told_apart(said, path), PolygonLayer(polygons[areal], place(frame.crs)))


def _names(frame: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """The name of each row, empty where it has none."""
    columns = {str(name): str(name).casefold() for name in frame.columns if name != frame.geometry.name}
    levels = {name: int(found[1]) for name, low in columns.items() if (found := LEVEL.fullmatch(low))}
    by_rank = [name for known in NAMES for name, low in columns.items() if low == known]
    by_rank += sorted(levels, key=levels.__getitem__, reverse=True)
    by_rank += [name for name, low in columns.items() if "name" in low and name not in by_rank]
    for name in by_rank:
        texts = np.array([_text(value) for value in frame[name]], object)
        if (texts != "").any():
            return texts
    return np.full(len(frame), "", object)


def _text(value: object) -> str:
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _told_apart(names: list[str], path: Path) -> list[str]:
    """The names, a number behind those that are there already."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        warnings.warn(
            f"{path} has several zones of the name {', '.join(twice)}; they are told apart by a number (join them to "
            "one multipolygon if they are parts of one zone)",
            stacklevel=4,
        )
    found: list[str] = []
    for name in names:
        count = 1
        unique = name
        while unique in found or (count > 1 and unique in names):
            count += 1
            unique = f"{name} ({count})"
        found.append(unique)
    return found
