"""Tidy tables of a trend: one row for each village and period, without outlines, for statistics elsewhere."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from uvsam.errors import OutputError
from uvsam.raster.writer import check_folder_takes, claim_temporary
from uvsam.vectors.geopackage import Rows
from uvsam.vectors.schema import CHANGES, HISTORIES, Layer
from uvsam.workflows.trend_layers import Trends

SUMS = ("periods", "steps", "slopes", "zones", "corrected")
NAMES = (*(f"{layer.name}.parquet" for layer in (HISTORIES, CHANGES)), *(f"{name}.csv" for name in SUMS))


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
    check_folder_takes(folder, folder / NAMES[0])


def also_kept(folder: Path, layer: Layer, frames: Iterable[Rows]) -> Iterator[Rows]:
    """Hand on the rows of a layer, and write them as a table on the way, which takes its name after the last one.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / f"{layer.name}.parquet"
    part, writer = claim_temporary(path), None
    try:
        for frame in frames:
            with _told(folder):
                table = pa.Table.from_pandas(frame.table, preserve_index=False)
                writer = writer or pq.ParquetWriter(part, _typed(table.schema, layer))
                writer.write_table(table.cast(writer.schema))
            yield frame
        if writer is not None:
            with _told(folder):
                writer.close()
                part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _typed(schema: pa.Schema, layer: Layer) -> pa.Schema:
    """The schema of some rows as that of all: texts are texts where there is none yet."""
    texts = [name for name, dtype in layer.columns.items() if dtype == "object" and name in schema.names]
    for name in texts:
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    return schema


def write_sums(folder: Path, found: Trends) -> None:
    """Write the tables of sums; each takes its name when it is complete.

    Raises:
        OutputError: one cannot be written.
    """
    for name in SUMS:
        table: pd.DataFrame = getattr(found, name)
        if len(table):
            path = folder / f"{name}.csv"
            part = claim_temporary(path)
            with _told(folder):
                words = {name: table[name].map(as_text) for name in table.select_dtypes(["object", "string"]).columns}
                table.assign(**words).to_csv(part, index=False)
                part.replace(path)


def as_text(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: a name of the user's, as ``=HYPERLINK(...)``, gets an apostrophe
    before it (OWASP, *CSV injection*). Numbers stay numbers, also where they are text."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return value
    with contextlib.suppress(ValueError):
        float(value)
        return value
    return f"'{value}"


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write into folder {folder}: {error.strerror or error}") from error
