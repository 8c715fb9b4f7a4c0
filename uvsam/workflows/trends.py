"""``uvsam trends``: what happened to the villages, where, and how sure, as layers and tables."""

import contextlib
import datetime
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

import uvsam
from uvsam.change.overlay import bounds_of
from uvsam.engine.executors import open_run
from uvsam.errors import LabelError, OutputError
from uvsam.progress import Progress, silent
from uvsam.raster.writer import check_destination, check_inputs_stay
from uvsam.settings import PredictSettings
from uvsam.vectors.antimeridian import around
from uvsam.vectors.geopackage import Rows, check_output, write_layers
from uvsam.vectors.layer_files import files_of
from uvsam.vectors.periods import PeriodSource, crs_of, find_periods, read_bounds
from uvsam.vectors.polygon_files import read_coverage
from uvsam.vectors.schema import CHANGES, HISTORIES, HOT_SPOTS, ZONES, Layer
from uvsam.vectors.zone_files import Zones, read_zones
from uvsam.workflows.following import follow
from uvsam.workflows.reference import corrected_areas
from uvsam.workflows.trend_images import predict_images
from uvsam.workflows.trend_layers import TrendLayers, Trends, TrendSettings
from uvsam.workflows.trend_report import write_report
from uvsam.workflows.trend_tables import NAMES, also_kept, check_folder, write_sums


def trends(
    paths: Sequence[Path], out: Path, settings: TrendSettings | None = None, *, report: Path | None = None,
    tables: Path | None = None, predictions: Path | None = None, prediction: PredictSettings | None = None,
    overwrite: bool = False, scratch: Path | None = None, called: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Trends:  # fmt: skip
    """Compare village layers of several dates and write ``trends.gpkg``.

    Args:
        paths: vector files, see :func:`uvsam.vectors.periods.find_periods`, or images (rasters, STAC items), whose
            villages are predicted first and aligned by the images.
        out: GeoPackage to write: layers histories, changes, hot_spots, and zones (where zones or rings are given);
            tables periods, steps, slopes and run.
        report: page to write for people, ``.html``.
        tables: folder for tidy tables, Parquet and CSV.
        predictions: folder where the villages of images are kept. Default: ``{out}_villages`` beside ``out``.
        prediction: how images are predicted.
        scratch: folder for what lies on disk meanwhile; with ``settings.dask`` one that its workers share. Default:
            beside ``out``.
        called: what the result says in place of names of files that are gone afterwards.

    Raises:
        LabelError: a layer cannot be used, or the reference sample is not filled in or of other dates.
        SettingsError: nobody answers at ``settings.dask``.
        SceneError, GeoreferencingError, CatalogError: as ``predict``, of images.
        OutputError: the file cannot be written, or exists.
    """
    settings = settings or TrendSettings()
    made = [out, *([report] if report else []), *([tables / name for name in NAMES] if tables else [])]
    check_inputs_stay(made, files_of([*paths, settings.zones, settings.reference]))
    check_output(out, overwrite=overwrite)
    if report is not None:
        check_destination(report, (".html",), overwrite=overwrite)
    if tables is not None:
        check_folder(tables, overwrite=overwrite)
    layers_of, images = predict_images(
        paths, predictions or out.with_name(f"{out.stem}_villages"), prediction or PredictSettings(), settings.dates,
        overwrite=overwrite, progress=progress,
    )  # fmt: skip
    sources = [replace(source, image=images.get(source.path)) for source in find_periods(layers_of, settings.dates)]
    districts = None if settings.zones is None else read_zones(settings.zones)
    if districts is not None and settings.zones is not None:
        _check_zones(settings.zones, districts, sources)
    corrected = _corrected(settings.reference, [source.date for source in sources])
    with (
        _scratch(scratch or out.parent) as folder,
        open_run(settings.workers, processes=True, dask=settings.dask) as run,
    ):
        followed = follow(
            sources, Path(folder), tolerance_m=settings.tolerance_m, min_change_m2=settings.min_change_m2,
            rules=settings.rules, align=settings.align, run=run, progress=progress,
        )  # fmt: skip
        here = around(read_bounds(sources[0]))
        books = TrendLayers(followed, settings, crs_of(sources[0]), here, districts, run)
        found = books.tables(corrected)
        progress("writing", 0, 1)
        layers: list[tuple[Layer, Iterable[Rows]]] = [
            (HISTORIES, books.histories()), (CHANGES, books.changes()),
        ]  # fmt: skip
        if tables is not None:
            layers = [(layer, also_kept(tables, layer, frames)) for layer, frames in layers]
        layers.append((HOT_SPOTS, books.hot_spots()))
        if len(books.zones):
            layers.append((ZONES, [books.zone_layer()]))
        sums = {"periods": found.periods, "steps": found.steps, "slopes": found.slopes}
        if len(corrected):
            sums["corrected"] = corrected
        names = [(called or {}).get(str(source.path), str(source.path)) for source in sources]
        write_layers(out, layers, _run(settings, names, found), sums, overwrite=overwrite)
        if report is not None:
            write_report(report, books, found, [Path(name).name for name in names])
        if tables is not None:
            write_sums(tables, found)
        progress("writing", 1, 1)
    return found


def _check_zones(path: Path, zones: Zones, sources: Sequence[PeriodSource]) -> None:
    """Whether a zone lies where a layer is, before anything is computed.

    Raises:
        LabelError: none does.
    """
    extents = []
    for source in sources:
        crs, coverage = crs_of(source), read_coverage(source.path)
        if (crs is None) != (zones.layer.crs is None):
            raise LabelError(f"{path if crs else source.path} has no coordinate reference system; assign it first")
        outlines = zones.layer.to_crs(crs)
        if coverage is not None and len(coverage.polygons):
            extents.append((outlines, bounds_of(coverage.to_crs(crs))))
        elif len(boxes := read_bounds(source)):
            low, high = np.nanmin(boxes[:, :2], axis=0), np.nanmax(boxes[:, 2:], axis=0)
            extents.append((outlines, np.concatenate([low, high])))
    if extents and not any(shapely.intersects(outlines, shapely.box(*box)).any() for outlines, box in extents):
        outlines, box = extents[0]
        raise LabelError(
            f"no zone of {path} lies where the layers are: the zones reach over {_said(bounds_of(outlines))}, "
            f"{sources[0].path} over {_said(box)} (left, bottom, right, top, in the coordinates of that layer)"
        )


def _said(box: NDArray[np.float64]) -> str:
    return ", ".join(f"{number:.7g}" for number in box)


def _corrected(reference: Path | None, dates: Sequence[datetime.date]) -> pd.DataFrame:
    """What the sample says of the areas, and of the change if it is of two layers."""
    columns = ["of", "mapped_m2", "area_m2", "error_m2", "low_m2", "high_m2", "users", "producers"]
    if reference is None:
        return pd.DataFrame(columns=columns)
    found = corrected_areas(reference)
    said = [_date_of(reference, date, dates) for date in found.dates]
    rows = [
        (f"{one.name}, {' to '.join(map(str, said))}", one.mapped_m2, one.area_m2, one.error_m2,
         *one.interval_m2, one.users, one.producers)
        for one in found.areas
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def _date_of(reference: Path, date: datetime.date, dates: Sequence[datetime.date]) -> datetime.date:
    """The date of the layers that a date of the sample is: the same day, else the only one of its year."""
    if date in dates:
        return date
    of_year = [one for one in dates if one.year == date.year]
    if len(of_year) != 1:
        raise LabelError(
            f"{reference} is a sample of {date}, which is none of the dates of these layers "
            f"({', '.join(map(str, dates))}); say which is when with --dates"
        )
    return of_year[0]


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix=".uvsam-trends.", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(f"cannot write into folder {parent}: {error.strerror}") from error
    with folder as name:
        yield name


def _run(settings: TrendSettings, inputs: Sequence[str], found: Trends) -> dict[str, Any]:
    rules = settings.rules
    return {
        "uvsam": uvsam.__version__,
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "inputs": list(inputs),
        "tolerance_m": settings.tolerance_m,
        "min_change_m2": settings.min_change_m2,
        "link_share": rules.link_share,
        "change_share": rules.change_share,
        "change_m2": rules.change_m2,
        "observed_share": rules.observed_share,
        "shifts": found.shifts.to_dict(orient="records"),
    }
