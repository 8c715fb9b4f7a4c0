"""``villages.gpkg`` and ``trends.gpkg``: what the package writes."""

import contextlib
import itertools
import json
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
from numpy.typing import NDArray
from pyogrio.errors import DataLayerError, DataSourceError

from uvsam.errors import OutputError
from uvsam.raster.access import one_line
from uvsam.raster.writer import check_destination, claim_temporary
from uvsam.vectors.layer_files import named
from uvsam.vectors.polygon_files import layer_kinds, to_wkb
from uvsam.vectors.qgis.qml import Style
from uvsam.vectors.qgis.styles import STYLES
from uvsam.vectors.qgis.tables import dress
from uvsam.vectors.schema import COVERAGE, VILLAGES, Layer, check_schema

RUN = "run"
VERSION = "1.3"
"""Of the GeoPackages that we write: the newest that QGIS 3.22 and GDAL 3.6 (Debian 12) read without a warning."""
_ARROW = {
    "int64": pa.int64(), "Int64": pa.int64(), "int32": pa.int32(), "float64": pa.float64(), "bool": pa.bool_(),
    "object": pa.string(), "datetime64": pa.date32(),
}  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """Some rows of a layer.

    Attributes:
        table: the columns of its schema.
        outlines: their geometries as WKB.
        crs: of these; None for layers without a place on earth.
    """

    table: pd.DataFrame
    outlines: pa.Array
    crs: Any

    @classmethod
    def of(cls, frame: gpd.GeoDataFrame, layer: Layer) -> "Rows":
        """The rows of a frame.

        Raises:
            LabelError: it does not have the layer's schema.
        """
        check_schema(frame, layer)
        outlines = pa.array(to_wkb(frame.geometry.to_numpy()), pa.binary())
        return cls(pd.DataFrame(frame.drop(columns="geometry")), outlines, frame.crs)


def check_output(path: Path, *, overwrite: bool = False) -> None:
    """Whether a GeoPackage can be written at ``path``.

    Raises:
        OutputError: nothing can be written there, the file exists, or another program has it open.
    """
    if path.suffix.lower() != ".gpkg":
        raise OutputError(f"{path} should end in .gpkg, the one format that holds several layers and tables")
    check_destination(path, (".gpkg",), overwrite=overwrite)
    # Replacing a database under an open journal would corrupt the new one.
    if path.with_name(path.name + "-wal").exists():
        raise OutputError(f"{path} is open in another program (QGIS?); close it there and run again")


def write_villages(
    path: Path,
    villages: gpd.GeoDataFrame,
    coverage: gpd.GeoDataFrame,
    run: Mapping[str, Any],
    *,
    overwrite: bool = False,
) -> None:
    """Write layers ``villages`` and ``coverage`` and table ``run``, all or nothing.

    The file takes its name when it is complete; until then what was there before stays as it was. Layers without a row
    have the same columns.

    Args:
        run: parameters of the run; texts are written as they are, everything else as JSON.

    Raises:
        LabelError: a frame does not have the layer's schema.
        OutputError: the file cannot be written.
    """
    write_layers(
        path,
        [(VILLAGES, [Rows.of(villages, VILLAGES)]), (COVERAGE, [Rows.of(coverage, COVERAGE)])],
        run,
        overwrite=overwrite,
    )


def write_layers(
    path: Path,
    layers: Sequence[tuple[Layer, Iterable[Rows]]],
    run: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame] | None = None,
    *,
    styles: Mapping[str, Style] | None = None,
    overwrite: bool = False,
) -> None:
    """Write layers, tables without geometry, and table ``run``, all or nothing; as :func:`write_villages`.

    Layers of ours bring their style and their metadata along (see :mod:`uvsam.vectors.qgis`).

    Args:
        layers: the rows of a layer come in one or more frames, which are written one after the other.
        styles: of layers that do not look as always.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    values = [value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in run.values()]
    everything = dict(tables or {}) | {RUN: pd.DataFrame({"key": list(run), "value": values}, dtype=object)}
    rows = {name: len(table) for name, table in everything.items()}
    part = claim_temporary(path)
    try:
        for layer, frames in layers:
            rows[layer.name] = _write_layer(part, frames, layer)
        for name, table in everything.items():
            fields = [_field(table[column].to_numpy(), str(table[column].dtype)) for column in table]
            pyogrio.raw.write(part, None, fields, list(table), layer=name, driver="GPKG", append=True)
        dress(part, [layer for layer, _ in layers], run, {**STYLES, **(styles or {})})
        _check_rows(part, rows)
        part.replace(path)
    except (DataSourceError, DataLayerError, OSError, sqlite3.Error) as error:
        raise OutputError(f"cannot write {path}: {one_line(error)}") from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                part.with_name(part.name + suffix).unlink(missing_ok=True)


def read_run(path: Path) -> dict[str, str]:
    """Table ``run`` of a file that ``predict`` wrote; empty for other files.

    Raises:
        LabelError: not a vector file.
    """
    if RUN not in layer_kinds(path):
        return {}
    table = pyogrio.read_dataframe(named(path).file, layer=RUN)
    return dict(zip(table["key"], table["value"], strict=True))


def _write_layer(path: Path, parts: Iterable[Rows], layer: Layer) -> int:
    """Write a layer in one go, part by part, so that its index is built once; returns its rows."""
    told: list[BaseException] = []
    rows = 0
    waiting = iter(parts)
    first = next(waiting, None)

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        try:
            for part in () if first is None else itertools.chain([first], waiting):
                rows += len(part.table)
                yield _batch(part, layer)
        except BaseException as error:  # the stream hands on its text only
            told.append(error)
            raise

    with warnings.catch_warnings():
        # An image without georeferencing gives polygons without a CRS, and says so elsewhere.
        warnings.filterwarnings("ignore", message="'crs' was not provided")
        try:
            pyogrio.write_arrow(
                pa.RecordBatchReader.from_batches(_schema(layer), batches()),
                path,
                layer=layer.name,
                driver="GPKG",
                geometry_name="geom",
                geometry_type=layer.geometry_type,
                crs=None if first is None or first.crs is None else first.crs.to_wkt(),
                append=path.exists(),
                VERSION=VERSION,
            )
        except Exception:
            if told:
                raise told[0] from None
            raise
    return rows


def _schema(layer: Layer) -> pa.Schema:
    columns = {name: _ARROW[dtype.split("[")[0]] for name, dtype in layer.columns.items()}
    return pa.schema([*columns.items(), ("geom", pa.binary())])


def _batch(part: Rows, layer: Layer) -> pa.RecordBatch:
    schema = _schema(layer)
    fields = ((_field(part.table[name].to_numpy(), dtype), schema.field(name)) for name, dtype in layer.columns.items())
    columns = [pa.array(values, field.type) for values, field in fields]
    return pa.RecordBatch.from_arrays([*columns, part.outlines], schema=schema)


def _field(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "Int64":
        return np.array([None if pd.isna(value) else int(value) for value in values], object)
    return values.astype("datetime64[D]" if dtype.startswith("datetime") else dtype)


def _check_rows(path: Path, expected: Mapping[str, int]) -> None:
    """A full disk may show only in what is missing from the file."""
    for name, count in expected.items():
        found = pyogrio.read_info(path, layer=name, force_feature_count=True)["features"]
        if found != count:
            raise OSError(f"{found} of {count} rows of {name} arrived; is the disk full?")
