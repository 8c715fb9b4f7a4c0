"""Layers of vector files, and their rows: of all formats that GDAL reads, and of GeoParquet.

The wheels of pyogrio come without GDAL's Parquet driver, so that these files are read with geopandas. Whatever can go
wrong with a file is one of :data:`UNREADABLE`.
"""

import io
import json
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray
from pyogrio.errors import CRSError, DataLayerError, DataSourceError, FeatureError, GeometryError
from pyproj import CRS

from uvsam.errors import LabelError
from uvsam.vectors.limits import check_coordinates, check_count, check_vectors

UNREADABLE = (DataSourceError, DataLayerError, FeatureError, GeometryError, CRSError, ValueError, OSError)
"""ValueError: pyarrow's errors are of this kind, and those about a condition or a column."""


PARQUET = (".parquet", ".geoparquet")


class Named(NamedTuple):
    """What a path names: a file, a layer of it, and a condition on its rows; None is no choice."""

    file: Path
    layer: str | None = None
    where: str | None = None


def named(path: Path) -> Named:
    """The parts of ``city.gpkg|layername=villages|subset=period = 2020``, as QGIS names layers, or of a plain path.

    Raises:
        LabelError: a part is not known.
    """
    if "|" not in str(path) or os.path.lexists(path):
        return Named(Path(path))
    file, *parts = str(path).split("|")
    layer = where = None
    for number, part in enumerate(parts):
        key, _, value = part.partition("=")
        if key == "subset":
            where = "|".join([value, *parts[number + 1 :]])
            break
        if key in ("layername", "layer"):
            layer = value
        elif key != "geometrytype":  # which QGIS adds
            raise LabelError(f"{path}: '{part}' is not known; a layer of a file is as 'city.gpkg|layername=villages'")
    return Named(Path(file), layer, where)


def naming(path: Path, *, layer: str | None = None, where: str | None = None) -> Path:
    """The path that names a layer of a file, or some of its rows, as :func:`named` reads it."""
    at = named(path)
    layer, where = layer or at.layer, _both(at.where, where)
    return Path(f"{at.file}{f'|layername={layer}' if layer else ''}{f'|subset={where}' if where else ''}")


def _both(one: str | None, other: str | None) -> str | None:
    """Rows that meet both conditions."""
    return f"({one}) AND ({other})" if one and other else one or other


def coverage_file(path: Path) -> Path:
    """Where the layer ``coverage`` lies that belongs to a file of one layer."""
    return path.parent / f"{path.stem}_coverage{path.suffix}"


def run_file(path: Path) -> Path:
    """Where it is said how a file of one layer was made."""
    return path.parent / f"{path.name}.run.json"


def files_of(paths: Iterable[Path | None]) -> list[Path]:
    """The files that layers are read from, those beside them too; None is no layer."""
    files = [named(path).file for path in paths if path is not None]
    return [file for one in files for file in (one, coverage_file(one), run_file(one))]


@dataclass(frozen=True)
class LayerInfo:
    """Names of the columns besides the geometry, and the CRS as it is said."""

    columns: tuple[str, ...]
    crs: CRS | None


def list_layers(path: Path) -> dict[str, str | None]:
    """Type of geometry of each layer of a file; None for tables. A Parquet file is one layer, named as the file."""
    file = named(path).file
    if _is_parquet(file):
        described = _described(file)
        types = described.geometry.get("geometry_types", []) if described.geometry is not None else None
        return {file.stem: None if types is None else ", ".join(types) or "Unknown"}
    return {str(name): kind for name, kind in pyogrio.list_layers(file)}


def layer_info(path: Path, layer: str) -> LayerInfo:
    """What a layer has."""
    file = named(path).file
    if _is_parquet(file):
        described = _described(file)
        crs = {} if described.geometry is None else described.geometry.get("crs", "OGC:CRS84")  # what none means there
        return LayerInfo(described.columns, CRS.from_user_input(crs) if crs else None)
    info = pyogrio.read_info(file, layer=layer)
    return LayerInfo(tuple(map(str, info["fields"])), None if info["crs"] is None else CRS.from_user_input(info["crs"]))


def read_rows(
    path: Path,
    layer: str,
    *,
    where: str | None = None,
    columns: Sequence[str] | None = None,
    first: int = 0,
    count: int | None = None,
) -> gpd.GeoDataFrame:
    """Rows of a layer with their geometries, in two dimensions.

    Args:
        where: SQL condition on the columns.
        columns: that are read; those that there are not are left out. None reads all.
        first, count: the rows to read, of those that meet the condition.
    """
    file, _, subset = named(path)
    where = _both(subset, where)
    if where is not None:  # on a column of a Shapefile that is not read a condition finds nothing
        columns = None
    if not _is_parquet(file):
        check_count(file, int(pyogrio.read_info(file, layer=layer)["features"]))
        frame = pyogrio.read_dataframe(
            file, layer=layer, where=where, columns=columns, force_2d=True, skip_features=first, max_features=count
        )
        if isinstance(frame, gpd.GeoDataFrame):
            check_coordinates(file, frame.geometry.to_numpy())
        return frame
    described = _described(file)
    names = [name for name in described.columns if columns is None or name in columns]
    frame = gpd.read_parquet(file, columns=[*names, described.geometry_name]).reset_index(drop=True)
    flat = gpd.GeoSeries(shapely.force_2d(frame.geometry.to_numpy()), crs=frame.crs)
    check_coordinates(file, flat.to_numpy())
    frame = gpd.GeoDataFrame(frame[names], geometry=flat)
    if where is not None:  # GDAL knows SQL
        memory = io.BytesIO()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="'crs' was not provided")  # as there is none
            frame.to_file(memory, driver="FlatGeobuf", layer=layer, SPATIAL_INDEX="NO")
        frame = pyogrio.read_dataframe(memory.getvalue(), where=where)
    return frame.iloc[first : None if count is None else first + count]


def read_columns(path: Path, layer: str, columns: Sequence[str]) -> pd.DataFrame:
    """Those of the columns that a layer has, without its geometries. Times may be texts, with their zones."""
    file, _, where = named(path)
    if _is_parquet(file):
        if where is not None:
            return pd.DataFrame(read_rows(path, layer)).filter(list(columns)).reset_index(drop=True)
        names = [name for name in _described(file).columns if name in columns]
        table: pd.DataFrame = pq.read_table(file, columns=names).to_pandas().reset_index(drop=True)
        return table
    frame: pd.DataFrame = pyogrio.read_dataframe(
        file, layer=layer, columns=None if where else list(columns), where=where, read_geometry=False,
        datetime_as_string=True,
    )  # fmt: skip
    return frame.filter(list(columns))


def read_bounds(path: Path, layer: str, where: str | None = None) -> NDArray[np.float64]:
    """(N, 4) left, bottom, right, top of every row; NaN of those without a geometry, or with an empty one."""
    file, _, subset = named(path)
    if _is_parquet(file):
        geometries = read_rows(path, layer, where=where, columns=None if where else ()).geometry
        bounds: NDArray[np.float64] = shapely.bounds(geometries.to_numpy())
        return bounds
    bounds = np.array(pyogrio.read_bounds(file, layer=layer, where=_both(subset, where))[1].T, float)
    bounds[(bounds == 0).all(axis=1)] = np.nan  # what GDAL says of an empty one
    return bounds


def count_rows(path: Path, layer: str) -> int:
    """How many rows a layer has."""
    file, _, where = named(path)
    if where is not None:
        return len(read_bounds(path, layer))
    if _is_parquet(file):
        return int(pq.read_metadata(file).num_rows)
    return int(pyogrio.read_info(file, layer=layer, force_feature_count=True)["features"])


@dataclass(frozen=True)
class _Parquet:
    """The schema of a Parquet file; ``geometry`` is what GeoParquet says of its geometries, None where it has none."""

    columns: tuple[str, ...]
    geometry_name: str
    geometry: dict[str, Any] | None


def _is_parquet(path: Path) -> bool:
    """How a file is read; asked before any is opened, so that here each is looked at first."""
    check_vectors(path)
    return path.suffix.lower() in PARQUET


def _described(path: Path) -> _Parquet:
    schema = pq.read_schema(path)
    said = (schema.metadata or {}).get(b"geo")
    told = json.loads(said) if said else {}
    geometries = told.get("columns", {})
    coverings = {
        edge[0] for one in geometries.values() for edge in one.get("covering", {}).get("bbox", {}).values()
    }  # fmt: skip
    others = {*geometries, *coverings}
    columns = tuple(name for name in schema.names if name not in others and not name.startswith("__index_level_"))
    name = str(told.get("primary_column", ""))
    return _Parquet(columns, name, geometries.get(name))
