"""Samples of ``uvsam sample`` that people have filled in: areas corrected by them, and answers that are kept."""

import datetime
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from uvsam.change.accuracy import LEAST, AreaEstimate, estimate_areas, estimate_difference
from uvsam.change.answers import listed, read_answers
from uvsam.errors import LabelError, OutputError
from uvsam.vectors.geopackage import RUN, read_run
from uvsam.vectors.layer_files import read_rows
from uvsam.vectors.polygon_files import layer_kinds
from uvsam.vectors.qgis.tables import STYLE_TABLE
from uvsam.vectors.schema import SAMPLE

DRAWN, AREAS = "drawn", "strata"
OWN = {SAMPLE.name, DRAWN, AREAS, RUN, STYLE_TABLE}
SAME_PLACE_M = 0.05


@dataclass(frozen=True)
class Corrected:
    """What a sample says.

    Attributes:
        dates: of its layers, one or two.
        areas: of each stratum, in the order of :data:`uvsam.change.sampling.STRATA`; of two layers also their change.
    """

    dates: tuple[datetime.date, ...]
    areas: list[AreaEstimate]


def corrected_areas(path: Path) -> Corrected:
    """Areas corrected by a sample that was filled in, as far as it is.

    Warns where places are empty. A stratum in which no place was drawn has no area.

    Raises:
        LabelError: not such a file, too few places are filled in, or one holds something else than the name of a
            stratum.
    """
    missing = {SAMPLE.name, DRAWN, AREAS, RUN} - set(layer_kinds(path))
    if missing:
        raise LabelError(
            f"{path} is not a file of `uvsam sample`: it lacks {', '.join(sorted(missing))}. Answers that were saved "
            f"to another file go into column truth of layer {SAMPLE.name} in the file that was drawn, by place_id"
        )
    strata = read_rows(path, AREAS)
    names = [str(name) for name in strata["stratum"]]
    table = _places(path)
    try:
        table["truth"] = read_answers(table["truth"], table["place_id"], names)
    except LabelError as error:
        raise LabelError(f"in {path} {error}") from error
    filled = table[table["truth"].notna()]
    if not len(filled):
        raise LabelError(
            f"none of the {len(table)} places of {path} has a truth yet; write one of {', '.join(names)} into column "
            f"truth of layer {SAMPLE.name}"
        )
    _check_enough(path, table, filled, strata)
    if len(filled) < len(table):
        warnings.warn(
            f"{len(table) - len(filled)} of {len(table)} places of {path} have no truth yet; areas are corrected by "
            f"the other {len(filled)}",
            stacklevel=3,
        )
    number = {name: k for k, name in enumerate(names)}
    area = np.where(strata["places"].to_numpy() > 0, strata["area_m2"].to_numpy(float), 0.0)
    mapped, truth = (np.asarray(filled[column].map(number), np.intp) for column in ("stratum", "truth"))
    areas = estimate_areas(names, area, mapped, truth)
    if {"gained", "lost"} <= set(names):
        change = estimate_difference(names, area, mapped, truth, "gained", "lost")
        areas.append(replace(change, name="change"))
    return Corrected(_dates(path), areas)


def _places(path: Path) -> pd.DataFrame:
    """Columns ``place_id``, ``truth`` and ``stratum``, a row for each place that was drawn and is still there."""
    said = pd.DataFrame(read_rows(path, SAMPLE.name))
    said.columns = said.columns.str.lower()
    absent = sorted({"place_id", "truth"} - set(said.columns))
    if absent:
        raise LabelError(f"layer {SAMPLE.name} of {path} has no column {' and '.join(absent)}; put it back")
    said = said[["place_id", "truth"]].assign(place_id=pd.to_numeric(said["place_id"], errors="coerce"))
    unnumbered = int(said["place_id"].isna().sum())
    if unnumbered:
        raise LabelError(f"{unnumbered} rows of layer {SAMPLE.name} of {path} have no place_id; delete them")
    said = said.drop_duplicates()
    twice = said["place_id"][said["place_id"].duplicated()].astype(int)
    if len(twice):
        raise LabelError(f"{path} has place_id {listed(twice)} twice, with different truth; delete one row of each")
    said = said.astype({"place_id": "int64"})
    found: pd.DataFrame = said.merge(read_rows(path, DRAWN), on="place_id", how="left")
    strange = found["place_id"][found["stratum"].isna()]
    if len(strange):
        raise LabelError(f"place_id {listed(strange)} of {path} was not drawn; delete the rows that you added")
    return found


def _check_enough(path: Path, table: pd.DataFrame, filled: pd.DataFrame, strata: pd.DataFrame) -> None:
    for name, drawn in zip(strata["stratum"], strata["places"], strict=True):
        own, left = filled["stratum"] == name, table[(table["stratum"] == name) & table["truth"].isna()]
        if drawn and own.sum() < LEAST:
            todo = f"fill in place_id {listed(left['place_id'])}" if len(left) else "draw a sample anew"
            raise LabelError(
                f"{int(own.sum())} of {drawn} places that the map calls {name} have a truth in {path}, and {LEAST} are "
                f"needed at least; {todo}"
            )


def _dates(path: Path) -> tuple[datetime.date, ...]:
    said = read_run(path).get("dates")
    if said is None:
        raise LabelError(f"{path} does not say of which dates it is (table {RUN}); draw it anew with `uvsam sample`")
    return tuple(datetime.date.fromisoformat(date) for date in json.loads(said))


def answers_in(path: Path) -> gpd.GeoDataFrame | None:
    """Places of an earlier sample that have an answer; None where there is no such file.

    Raises:
        OutputError: it has what was added by hand, which would be lost.
    """
    if not path.exists():
        return None
    kinds = layer_kinds(path)
    if SAMPLE.name not in kinds:
        return None
    frame = read_rows(path, SAMPLE.name)
    notes = [name for name in frame.columns if name not in (*SAMPLE.columns, "geometry") and frame[name].notna().any()]
    added = sorted({*set(kinds) - OWN, *notes})
    if added:
        raise OutputError(f"{path} has {', '.join(added)}, which would be lost; give another name")
    if "truth" not in frame:
        return None
    said = frame["truth"].astype("string").str.strip().fillna("") != ""
    return frame[said & frame.geometry.notna()] if said.any() else None


def carried_over(
    path: Path, old: gpd.GeoDataFrame, points: NDArray[np.object_], crs: CRS, dates: Sequence[datetime.date]
) -> NDArray[np.object_]:
    """The answers of an earlier sample at the places of a new one, None at others.

    Raises:
        OutputError: one of them belongs to a place that is not drawn again, and would be lost.
    """
    found = np.full(len(points), None, object)
    old_points = old.geometry.to_numpy() if old.crs is None else old.to_crs(crs).geometry.to_numpy()
    reach = SAME_PLACE_M * (1e-5 if crs.is_geographic else 1.0)
    try:
        same = _dates(path) == tuple(dates)
    except LabelError:
        same = False
    before, now = shapely.STRtree(points).query(old_points, predicate="dwithin", distance=reach)
    found[now] = old["truth"].to_numpy(object)[before]
    lost = len(old) - len(np.unique(before)) if same else len(old)
    if lost:
        raise OutputError(
            f"{path} has {len(old)} places that are filled in, and {lost} of them would be lost; give another name "
            "with --out, or the layers and options that it was drawn with"
        )
    return found
