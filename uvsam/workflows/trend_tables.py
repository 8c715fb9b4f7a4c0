"""Tidy tables of a trend: one row for each village and period, without outlines, for statistics elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from uvsam.errors import OutputError
from uvsam.raster.writer import temporary_name
from uvsam.vectors.schema import CHANGES, HISTORIES
from uvsam.workflows.trend_layers import TrendLayers, Trends

NAMES = ("histories.parquet", "changes.parquet", "periods.csv", "steps.csv", "slopes.csv", "zones.csv", "corrected.csv")


def check_folder(folder: Path, *, overwrite: bool) -> None:
    """Whether the tables can be written there.

    Raises:
        OutputError: the folder cannot be made, or one of the tables exists.
    """
    taken = [name for name in NAMES if (folder / name).exists()]
    if taken and not overwrite:
        raise OutputError(f"{folder / taken[0]} exists already; choose another folder or pass --overwrite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


def write_tables(folder: Path, layers: TrendLayers, found: Trends) -> None:
    """Write the tables; each takes its name when it is complete.

    Raises:
        OutputError: one cannot be written.
    """
    try:
        for layer, frames in ((HISTORIES, layers.histories()), (CHANGES, layers.changes())):
            _write_parquet(folder / f"{layer.name}.parquet", frames)
        for name in ("periods", "steps", "slopes", "zones", "corrected"):
            table: pd.DataFrame = getattr(found, name)
            if len(table):
                path = folder / f"{name}.csv"
                part = temporary_name(path)
                table.to_csv(part, index=False)
                part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write into folder {folder}: {error.strerror or error}") from error


def _write_parquet(path: Path, frames: Iterator[gpd.GeoDataFrame]) -> None:
    part, writer = temporary_name(path), None
    try:
        for frame in frames:
            table = pa.Table.from_pandas(pd.DataFrame(frame.drop(columns="geometry")), preserve_index=False)
            writer = writer or pq.ParquetWriter(part, table.schema)
            writer.write_table(table.cast(writer.schema))
        if writer is not None:
            writer.close()
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)
