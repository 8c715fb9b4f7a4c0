"""What ``predict`` writes, by the extension of its name: a GeoPackage, or a file for each layer and one for the run.

A format that holds one layer holds the villages. What was looked at is beside it (``villages_coverage.fgb``), and how
it was made, which is table ``run`` of a GeoPackage, in ``villages.fgb.run.json``.
"""

import contextlib
import gzip
import itertools
import json
import shlex
import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from uvsam.errors import GeoreferencingError, LabelError, OutputError
from uvsam.raster.access import one_line
from uvsam.raster.units import FULL_TURN
from uvsam.raster.writer import check_destination, claim_temporary
from uvsam.vectors import geopackage
from uvsam.vectors.antimeridian import split
from uvsam.vectors.layer_files import PARQUET, coverage_file, named, run_file
from uvsam.vectors.polygon_files import moved, multipolygons
from uvsam.vectors.schema import COVERAGE, VILLAGES, Layer, check_schema

LON_LAT = CRS.from_user_input("OGC:CRS84")
DECIMALS = 7
"""Of degrees: a centimetre on the ground."""
ZOOMS = (6, 14)
"""Of PMTiles; at the last one a unit of their grid is 0.6 m at the equator, and maps enlarge it from there."""

_HEADER = struct.Struct("<7sB11Q6B4iB2i")

Writer = Callable[[Path, gpd.GeoDataFrame, Layer, str], None]
"""Writes a layer to a new file, under the name that it shall have inside of it."""


def _flatgeobuf(path: Path, frame: gpd.GeoDataFrame, layer: Layer, name: str) -> None:
    _by_gdal(path, frame, layer, "FlatGeobuf", name)


def _geojson(path: Path, frame: gpd.GeoDataFrame, layer: Layer, name: str) -> None:
    """RFC 7946: longitude and latitude, no CRS, cut at the antimeridian, outer rings counterclockwise.

    All of it is done here: GDAL, told how many decimals to write, moves corners near the antimeridian onto it, so that
    rings cross themselves.
    """
    there = split(moved(frame.geometry.to_numpy(), frame.crs, LON_LAT), FULL_TURN)
    rounded = shapely.set_precision(there, 10.0**-DECIMALS)  # and valid, which rounded coordinates alone need not be
    rounded = multipolygons(rounded) if layer.geometry_type == "MultiPolygon" else rounded
    columns = frame.drop(columns=frame.geometry.name)
    frame = gpd.GeoDataFrame(columns, geometry=list(shapely.orient_polygons(rounded)))  # a CRS would be written
    _by_gdal(path, frame, layer, "GeoJSON", name)


def _pmtiles(path: Path, frame: gpd.GeoDataFrame, layer: Layer, name: str) -> None:
    # Maps ask for a layer by its name, so that it is not that of the file.
    if frame.empty:
        path.write_bytes(_no_tiles(layer.name))
        return
    there = split(moved(frame.geometry.to_numpy(), frame.crs, LON_LAT), FULL_TURN)
    parts, owner = shapely.get_parts(there, return_index=True)  # tiles are looked for in the bounds of each row
    if layer.geometry_type == "MultiPolygon":
        parts = multipolygons(parts)
    mercator = CRS.from_epsg(3857)
    frame = frame.iloc[owner].set_geometry(gpd.GeoSeries(moved(parts, LON_LAT, mercator), crs=mercator).values)
    _by_gdal(path, frame, layer, "PMTiles", layer.name, MINZOOM=ZOOMS[0], MAXZOOM=ZOOMS[1])


def _no_tiles(name: str) -> bytes:
    """PMTiles (version 3) without a tile, which GDAL does not write: header, root directory and metadata."""
    directory = gzip.compress(b"\0")
    metadata = gzip.compress(json.dumps({"name": name, "vector_layers": [{"id": name, "fields": {}}]}).encode())
    lengths = [len(directory), len(metadata), 0, 0]  # the last two: leaf directories, tiles
    starts = np.cumsum([_HEADER.size, *lengths[:-1]]).tolist()
    places = itertools.chain.from_iterable(zip(starts, lengths, strict=True))
    gzipped, vector = 2, 1
    world = (-180 * 10**7, -85 * 10**7, 180 * 10**7, 85 * 10**7)
    kind = (1, gzipped, gzipped, vector, *ZOOMS)
    return _HEADER.pack(b"PMTiles", 3, *places, 0, 0, 0, *kind, *world, ZOOMS[0], 0, 0) + directory + metadata


def _geoparquet(path: Path, frame: gpd.GeoDataFrame, layer: Layer, name: str) -> None:
    frame.to_parquet(path, index=False, compression="zstd", write_covering_bbox=True, schema_version="1.1.0")


def _by_gdal(path: Path, frame: gpd.GeoDataFrame, layer: Layer, driver: str, name: str, **options: Any) -> None:
    with warnings.catch_warnings():
        # An image without georeferencing gives polygons without a CRS, and says so elsewhere.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        kinds = {*frame.geom_type} or {layer.geometry_type}
        kind = kinds.pop() if len(kinds) == 1 else "Unknown"
        pyogrio.write_dataframe(frame, path, driver=driver, layer=name, geometry_type=kind, use_arrow=True, **options)


WRITERS: dict[str, Writer] = {
    ".fgb": _flatgeobuf, ".parquet": _geoparquet, ".geoparquet": _geoparquet, ".geojson": _geojson,
    ".pmtiles": _pmtiles,
}  # fmt: skip
"""Formats of one layer. A GeoPackage, which holds several, is written by :mod:`uvsam.vectors.geopackage`."""
SUFFIXES = (".gpkg", *WRITERS)
LOSSY = {
    ".shp": "a Shapefile cuts the names of columns to ten letters",
    ".kml": "KML knows neither numbers nor days",
    ".kmz": "KML knows neither numbers nor days",
}
"""Formats that we read, and that would lose what we write."""
IN_DEGREES = {".geojson", ".pmtiles"}
"""Formats that have no CRS, but longitude and latitude."""


def outputs(path: Path) -> list[Path]:
    """The files that a result is made of, the one it is called by first."""
    return [path, coverage_file(path), run_file(path)] if path.suffix.lower() in WRITERS else [path]


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Whether villages can be written to ``path``, as far as its name and its folder decide.

    Raises:
        OutputError: its extension is not known or cannot be written here, nothing can be written there, or one of
            :func:`outputs` exists.
    """
    suffix = path.suffix.lower()
    if suffix == ".gpkg":
        geopackage.check_output(path, overwrite=overwrite)
        return
    if suffix in LOSSY:
        made = path.with_suffix(".gpkg")
        raise OutputError(
            f"{path}: {LOSSY[suffix]}; write {made} and convert it, in QGIS or with "
            f"ogr2ogr {shlex.quote(str(path))} {shlex.quote(str(made))} {VILLAGES.name}"
        )
    for file in outputs(path):
        check_destination(file, SUFFIXES if file == path else (file.suffix.lower(),), overwrite=overwrite)
    if suffix == ".pmtiles" and "w" not in pyogrio.list_drivers().get("PMTiles", ""):
        raise OutputError(
            f"{path}: the GDAL of this environment ({pyogrio.__gdal_version_string__}) does not write PMTiles; "
            "write .gpkg, .fgb, .parquet or .geojson"
        )


def check_place(path: Path, crs: Any) -> None:
    """Whether a result of an image with this CRS can have the format of ``path``.

    Raises:
        GeoreferencingError: the format is of longitude and latitude, and the image has no place on earth.
    """
    if crs is None and path.suffix.lower() in IN_DEGREES:
        raise GeoreferencingError(
            f"{path} would be in longitude and latitude, and the image has no place on earth; write .gpkg or .fgb"
        )


def write_villages(
    path: Path,
    villages: gpd.GeoDataFrame,
    coverage: gpd.GeoDataFrame,
    run: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write villages, coverage and run in the format that the extension of ``path`` names.

    A file takes its name when all of them are complete, that of the villages last; until then what was there before
    stays as it was.

    Args:
        run: parameters of the run.

    Raises:
        LabelError: a frame does not have the layer's schema.
        GeoreferencingError: see :func:`check_place`.
        OutputError: see :func:`check_output`, or the disk is full.
    """
    check_output(path, overwrite=overwrite)
    suffix = path.suffix.lower()
    if suffix == ".gpkg":
        geopackage.write_villages(path, villages, coverage, run, overwrite=overwrite)
        return
    check_place(path, villages.crs)
    layers = [(VILLAGES, villages), (COVERAGE, coverage)]
    files = outputs(path)
    parts = [claim_temporary(file) for file in files]
    try:
        for part, file, (layer, frame) in zip(parts, files, layers, strict=False):
            check_schema(frame, layer)
            WRITERS[suffix](part, _typed(frame, layer), layer, file.stem)
            _check_arrived(part, len(frame))
        parts[-1].write_text(json.dumps(run, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        for part, file in reversed(list(zip(parts, files, strict=True))):
            part.replace(file)
    except (DataSourceError, DataLayerError, pa.ArrowException, OSError) as error:
        raise OutputError(f"cannot write {path}: {one_line(error)}") from error
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)


def read_run(path: Path | str) -> dict[str, str]:
    """How a file that ``predict`` wrote was made; empty for other files. Texts are as they were, all else is JSON.

    Raises:
        LabelError: not a vector file, or the file beside it is not JSON.
    """
    path = named(Path(path)).file
    beside = run_file(path)
    if path.suffix.lower() not in WRITERS or not beside.exists():
        return geopackage.read_run(path)
    try:
        told = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise LabelError(f"cannot read {beside}: {one_line(error)}") from error
    return {
        key: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for key, value in told.items()
    }


def _typed(frame: gpd.GeoDataFrame, layer: Layer) -> gpd.GeoDataFrame:
    """The frame with types that say what is meant where numpy has none: days, and text where there is no row."""
    kinds = {"datetime64[s]": pa.date32(), "object": pa.string()}
    meant = {name: pd.ArrowDtype(kinds[dtype]) for name, dtype in layer.columns.items() if dtype in kinds}
    return frame[[*layer.columns, frame.geometry.name]].astype(meant)


def _check_arrived(path: Path, expected: int) -> None:
    """A full disk may show only in what is missing from the file."""
    if path.suffix.lower() == ".pmtiles":  # a village may be in several tiles
        pyogrio.read_info(path)
        return
    found = pq.read_metadata(path).num_rows if path.suffix.lower() in PARQUET else _count(path)
    if found != expected:
        raise OSError(f"{found} of {expected} rows arrived; is the disk full?")


def _count(path: Path) -> int:
    geometries: NDArray[np.object_] = pyogrio.read_dataframe(path, columns=[]).geometry.to_numpy()
    return len(geometries)
