"""``uvsam sample``: places to look at, drawn from layers of villages; and what they say once they were looked at."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyproj import CRS

import uvsam
from uvsam.change.accuracy import AreaEstimate, estimate_areas
from uvsam.change.alignment import NO_SHIFT, estimate_shift
from uvsam.change.overlay import Polygons
from uvsam.change.sampling import STRATA, draw
from uvsam.change.steps import clip
from uvsam.errors import LabelError
from uvsam.vectors.geopackage import Rows, check_output, write_layers
from uvsam.vectors.local_map import map_around
from uvsam.vectors.periods import PeriodSource, crs_of, find_periods, read_bounds, read_lazily
from uvsam.vectors.polygon_files import PolygonLayer, layer_kinds, moved, read_coverage, read_polygons
from uvsam.vectors.qgis.styles import sample_style
from uvsam.vectors.schema import SAMPLE

DRAWN, AREAS = "drawn", "strata"


def sample(
    paths: Sequence[Path], out: Path, *, places: int = 400, least: int = 50, aoi: Path | None = None,
    dates: Sequence[datetime.date] = (), seed: int = 0, overwrite: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Draw a stratified random sample of places and write it for somebody to fill in.

    Of one layer the strata are village and other, of two kept, gained, lost and other. The layer ``sample`` has points
    and an empty column ``truth``; what the map says of each is in another table, so that nobody copies it.

    Args:
        paths: files with one period or two in all.
        places, least: in all, and in each stratum.
        aoi: polygon file; the ground to draw from, where the layers have no ``coverage``.

    Returns:
        Name, area and places of each stratum.

    Raises:
        LabelError: a file cannot be used, nobody says what was looked at, or there are too few places.
        OutputError: the file cannot be written.
    """
    check_output(out, overwrite=overwrite)
    sources = find_periods(paths, dates, least=1)
    if len(sources) > 2:
        raise LabelError(f"a sample is of one layer or of two, not of {len(sources)} periods")
    crs = crs_of(sources[0])
    bounds = read_bounds(sources[0])
    if crs is None or not len(bounds):
        raise LabelError(f"{sources[0].path} has no villages with a place on earth")
    chart = map_around((*bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)), crs)
    layers: list[Polygons] = [
        read_lazily(one, len(read_bounds(one)), chart).compute().geometry.to_numpy() for one in sources
    ]
    shift = estimate_shift(*layers) if len(layers) == 2 else NO_SHIFT
    layers[1:] = [shift.take_off(layer) for layer in layers[1:]]
    ground = _ground(sources, aoi, chart)
    found = draw([_kept(clip(layer, ground)) for layer in layers], ground, places, least, seed)

    names = STRATA[len(layers)]
    points = moved(shapely.points(found.places), chart, crs)
    number = np.arange(1, len(points) + 1)
    frame = gpd.GeoDataFrame({"place_id": number, "truth": pd.Series([None] * len(points), dtype=object)},
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
    return strata


def _ground(sources: Sequence[PeriodSource], aoi: Path | None, chart: CRS) -> shapely.Geometry:
    grounds: list[PolygonLayer] = [found for one in sources if (found := read_coverage(one.path)) is not None]
    if aoi is not None:
        grounds.append(read_polygons(aoi))
    if not grounds:
        raise LabelError("these layers do not say what was looked at (layer coverage); name the ground with --aoi")
    ground = shapely.intersection_all([shapely.union_all(one.to_crs(chart)) for one in grounds])
    if shapely.area(ground) == 0:
        raise LabelError("no ground is in all of these layers and in --aoi")
    return ground


def _kept(polygons: Polygons) -> Polygons:
    kept: Polygons = polygons[shapely.area(polygons) > 0]
    return kept


@dataclass(frozen=True)
class Corrected:
    """What a sample says.

    Attributes:
        dates: of its layers, one or two.
        areas: of each stratum, in the order of :data:`uvsam.change.sampling.STRATA`.
    """

    dates: tuple[datetime.date, ...]
    areas: list[AreaEstimate]


def corrected_areas(path: Path) -> Corrected:
    """Areas corrected by a sample that was filled in.

    Raises:
        LabelError: not such a file, places are not filled in, or hold something else than the names of strata.
    """
    missing = {SAMPLE.name, DRAWN, AREAS, "run"} - set(layer_kinds(path))
    if missing:
        raise LabelError(f"{path} is not a sample of `uvsam sample`: it lacks {', '.join(sorted(missing))}")
    table = pyogrio.read_dataframe(path, layer=SAMPLE.name, read_geometry=False)
    table = table.merge(pyogrio.read_dataframe(path, layer=DRAWN), on="place_id", validate="one_to_one")
    strata = pyogrio.read_dataframe(path, layer=AREAS)
    said = table["truth"].astype("string").str.strip().str.lower()
    empty = int((said.isna() | (said == "")).sum())
    if empty:
        raise LabelError(
            f"{empty} of {len(table)} places of {path} have no truth yet; fill them in, or delete their rows"
        )
    names = list(strata["stratum"])
    unknown = sorted(set(said) - set(names))
    if unknown:
        raise LabelError(f"truth in {path} is {', '.join(unknown)}; it must be one of {', '.join(names)}")
    number = {name: k for k, name in enumerate(names)}
    areas = estimate_areas(
        names, strata["area_m2"].to_numpy(), table["stratum"].map(number).to_numpy(), said.map(number).to_numpy(int)
    )
    run = pyogrio.read_dataframe(path, layer="run").set_index("key")["value"]
    dates = tuple(datetime.date.fromisoformat(date) for date in json.loads(run["dates"]))
    return Corrected(dates, areas)
