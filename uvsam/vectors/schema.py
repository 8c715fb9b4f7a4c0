"""What is in ``villages.gpkg``."""

import datetime
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from uvsam.errors import LabelError


@dataclass(frozen=True)
class Layer:
    """A layer: its name, type of geometry, and columns with their numpy types."""

    name: str
    geometry_type: str
    columns: dict[str, str]


VILLAGES = Layer(
    "villages",
    "Polygon",
    {
        "village_id": "int64",
        "area_m2": "float64",
        "area_low_m2": "float64",
        "area_high_m2": "float64",
        "perimeter_m": "float64",
        "compactness": "float64",
        "confidence": "float64",
        "sam_iou_pred": "float64",
        "stability": "float64",
        "on_edge": "bool",
        "acquired": "datetime64[s]",
        "model": "object",
    },
)
OUTLINES = Layer(
    "outlines", "Polygon", {"region": "int64", "pixels": "int64", "confidence": "float64", "on_edge": "bool"}
)
_PERIOD = {"valid_from": "datetime64[s]", "valid_to": "datetime64[s]"}
"""When a row holds, for the temporal controller of QGIS: from the one day, up to the other; no end is today."""

HISTORIES = Layer(
    "histories",
    "MultiPolygon",
    {
        "history_id": "int64",
        "event": "object",
        "from_history": "int64",
        "area_m2": "float64",
        "area_low_m2": "float64",
        "area_high_m2": "float64",
        "confidence": "float64",
        "before_m2": "float64",
        "gained_m2": "float64",
        "lost_m2": "float64",
        "exchanged_m2": "float64",
        "border_m2": "float64",
        "after_m2": "float64",
        "significant": "bool",
        "first_seen": "datetime64[s]",
        "last_seen": "datetime64[s]",
        **_PERIOD,
    },
)
CHANGES = Layer(
    "changes",
    "MultiPolygon",
    {"history_id": "int64", "kind": "object", "event": "object", "area_m2": "float64", **_PERIOD},
)
ZONES = Layer(
    "zones",
    "MultiPolygon",
    {
        "zone": "object",
        "villages": "int64",
        "area_m2": "float64",
        "zone_m2": "float64",
        "seen_share": "float64",
        "share": "float64",
        **_PERIOD,
    },
)
HOT_SPOTS = Layer("hot_spots", "Polygon", {"area_m2": "float64", "z": "float64", "significant": "bool", **_PERIOD})
SAMPLE = Layer("sample", "Point", {"place_id": "int64", "truth": "object"})
CORRECTIONS = Layer(
    "corrections",
    "Polygon",
    {
        "place_id": "int64",
        "rank": "int64",
        "doubt": "float64",
        "kind": "object",
        "village_id": "Int64",
        "verdict": "object",
        "note": "object",
        "looked_at": "datetime64[s]",
    },
)
VERDICTS = ("correct", "wrong", "missed", "redraw")
"""What a person says of a place, see ``docs/correcting.md``: all but ``wrong`` mean that its polygon is village."""

COVERAGE = Layer("coverage", "MultiPolygon", {"acquired": "datetime64[s]", "model": "object", "area_m2": "float64"})


def make_frame(layer: Layer, geometries: NDArray[np.object_], crs: Any, columns: dict[str, Any]) -> gpd.GeoDataFrame:
    """A frame with the layer's columns and types; a column may be one value for all rows.

    Args:
        columns: one entry per column of the layer; dates as ``datetime.date`` or None.
    """
    count = len(geometries)
    data = {name: pd.Series(_column(columns[name], count, dtype), dtype=dtype) for name, dtype in layer.columns.items()}
    return gpd.GeoDataFrame(data, geometry=gpd.GeoSeries(list(geometries), crs=crs), crs=crs)


def _column(value: Any, count: int, dtype: str) -> Any:
    if isinstance(value, np.ndarray):
        return value
    if dtype.startswith("datetime"):
        value = np.datetime64("NaT") if value is None else np.datetime64(value, "s")
    return [value] * count


def check_schema(frame: gpd.GeoDataFrame, layer: Layer) -> None:
    """Columns, types and geometries of a frame are those of the layer.

    Raises:
        LabelError: they are not.
    """
    missing = [name for name in layer.columns if name not in frame.columns]
    if missing:
        raise LabelError(f"layer {layer.name} lacks {', '.join(missing)}; was it written by another program?")
    for name, dtype in layer.columns.items():
        kind = frame[name].dtype.kind
        if kind != pd.api.types.pandas_dtype(dtype).kind:
            raise LabelError(f"column {name} of layer {layer.name} should be {dtype}, not {frame[name].dtype}")
    wrong = sorted(set(frame.geom_type) - {layer.geometry_type})
    if wrong or frame.geometry.isna().any():
        raise LabelError(f"layer {layer.name} should hold {layer.geometry_type} only, not {', '.join(map(str, wrong))}")


def as_date(value: Any) -> datetime.date | None:
    """The date of an ``acquired`` value of a frame."""
    return None if pd.isna(value) else pd.Timestamp(value).date()
