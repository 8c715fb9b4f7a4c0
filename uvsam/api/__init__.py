"""What the command line does, for Python: the same names, the same defaults, tables in place of files.

``uvsam.predict("city.tif")`` is a GeoDataFrame, ``uvsam.trends([villages_2016, "villages_2020.gpkg"])`` holds several,
``uvsam.load_model("uvsam-tiny").scores(image)`` is an array.
"""

import datetime
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import geopandas as gpd
import pandas as pd
import pyogrio

from uvsam.api.inputs import Area, Image, Location, Named, given, holds_no_place, path_of, several, text_of
from uvsam.api.model import Model, load_model
from uvsam.catalog.cache import named_cache
from uvsam.catalog.cards import DEFAULT_MODEL
from uvsam.dates import NoDay, parse_day
from uvsam.errors import SettingsError
from uvsam.progress import Progress, silent
from uvsam.raster.inputs import open_inputs
from uvsam.raster.scene import Scene
from uvsam.settings import PredictSettings, predict_settings
from uvsam.vectors.formats import check_output
from uvsam.workflows import predict as predicting
from uvsam.workflows import trends as following
from uvsam.workflows.trend_images import of_layer
from uvsam.workflows.trend_layers import TrendSettings

if TYPE_CHECKING:
    from affine import Affine
    from distributed import Client

__all__ = ["Model", "Trend", "load_model", "predict", "trends"]


def predict(
    images: "Image | Sequence[Named] | Iterator[Named]",
    *,
    out: Location | None = None,
    model: Location = DEFAULT_MODEL,
    sam: Location | None = None,
    fuse: Literal["sam", "mean", "nudge", "specialist"] | None = None,
    window: float | None = None,
    aoi: Area | None = None,
    date: int | str | datetime.date | None = None,
    asset: str | None = None,
    bands: Sequence[int] | None = None,
    nodata: float | Literal["none"] | None = None,
    threshold: float | None = None,
    seed_threshold: float | None = None,
    min_area: float | None = None,
    close_m: float | None = None,
    min_hole_m2: float | None = None,
    simplify_m: float | None = None,
    views: Literal[1, 2, 4, 8] = 1,
    save_scores: Location | None = None,
    score_type: Literal["uint8", "float16"] = "uint8",
    save_mask: Location | None = None,
    preview: Location | None = None,
    stac: Location | None = None,
    overwrite: bool = False,
    allow_failures: bool = False,
    workers: int | None = None,
    dask: "str | Client | None" = None,
    device: str = "auto",
    runtime: Literal["openvino", "torch"] | None = None,
    batch: int | None = None,
    allow_ungeoreferenced: bool = False,
    gsd: float | None = None,
    transform: "Affine | None" = None,
    crs: Any = None,
    progress: Progress = silent,
) -> gpd.GeoDataFrame:
    """Outline the villages of an image, as ``uvsam predict`` does.

    Args:
        images: a raster or STAC item, file or URL, or several that share a grid; an open rasterio dataset (of a
            ``WarpedVRT`` its pixels); an ``xarray.DataArray`` (band, y, x) with a CRS, or a Dataset of ``red``,
            ``green`` and ``blue``; or an array (bands, rows, columns) of numpy, masked or not, or Dask, with
            ``transform`` and ``crs``. Pixels that are in no file are written to one for the time of the call,
            uncompressed, beside ``out`` or in the temporary folder; what Dask or xarray compute piece by piece is never
            in memory as a whole.
        out: the file to write, too (``docs/formats.md``); a run that was interrupted goes on where it was.
        window: side of the ground that the generalist sees at once, metres.
        aoi: polygon file, GeoDataFrame or GeoSeries; or a shapely geometry, in the CRS of the image.
        nodata: value of pixels without data; ``"none"``: there are none. Default: what the image says.
        min_area: villages below this are dropped, m². Others: ``uvsam predict --help``.
        dask: address of a scheduler, or a ``distributed.Client``, which stays open; workers see the folder of ``out``.
        transform, crs: of an array: ``affine.Affine`` from (column, row) to coordinates; what pyproj takes for a CRS.
        progress: is called with what is being done, how much of it is done, and how much there is.

    Returns:
        Layer ``villages`` (columns: ``docs/reading_the_result.md``) in the CRS of the image. ``attrs["run"]`` holds the
        parameters of the run, ``attrs["coverage"]`` the ground that was looked at, as WKT, for :func:`trends`.

    Raises:
        UvsamError: as :func:`uvsam.workflows.predict.predict`.
        TypeError: an argument is of a kind that is not taken.
    """
    path = path_of("out", out)
    with given(predict, path) as files, _file(path, "villages.gpkg") as to:
        settings = predict_settings(
            model=text_of(model), sam=None if sam is None else text_of(sam), fuse=fuse, window_m=window, acquired=date,
            asset=asset, bands=bands, threshold=threshold, seed_threshold=seed_threshold, min_area_m2=min_area,
            close_m=close_m, min_hole_m2=min_hole_m2, simplify_m=simplify_m, views=views, device=device,
            runtime=runtime, batch=batch, allow_ungeoreferenced=allow_ungeoreferenced, gsd_m=gsd,
            nodata=nodata,
        )  # fmt: skip
        check_output(to, overwrite=overwrite)
        if holds_no_place(images) and not allow_ungeoreferenced and (transform is None or crs is None):
            raise SettingsError(
                "an array does not say where it lies; give transform (an affine.Affine) and crs, "
                "or allow_ungeoreferenced=True and gsd=METRES"
            )
        own = nodata if holds_no_place(images) and nodata != "none" else None
        names = files.images(images, transform=transform, crs=crs, nodata=own)
        area = files.area(aoi, "aoi", lambda: _scene(names, settings))
        found = predicting.predict(
            names, to, settings.model_copy(update={"aoi": area}), save_scores=path_of("save_scores", save_scores),
            score_type=score_type, save_mask=path_of("save_mask", save_mask), preview=path_of("preview", preview),
            stac=path_of("stac", stac), overwrite=overwrite, allow_failures=allow_failures, workers=workers,
            dask=dask, cache=named_cache(), called=files.called, progress=progress,
        )  # fmt: skip
    villages = found.villages
    villages.attrs = {"run": found.run, "coverage": found.coverage.union_all().wkt}
    return villages


@dataclass(frozen=True, eq=False)
class Trend:
    """What happened to the villages. Columns are explained in ``docs/reading_trends.md``.

    Attributes:
        histories, changes, hot_spots: layers; every row holds from ``valid_from`` to ``valid_to``.
        zones: the layer of zones or rings; no rows without these.
        periods, steps, slopes: tables of the whole.
        corrected: areas by the reference sample; no rows without one.
        shifts: how far layers were moved onto the first one, metres.
    """

    histories: gpd.GeoDataFrame
    changes: gpd.GeoDataFrame
    hot_spots: gpd.GeoDataFrame
    zones: gpd.GeoDataFrame
    periods: pd.DataFrame
    steps: pd.DataFrame
    slopes: pd.DataFrame
    corrected: pd.DataFrame
    shifts: pd.DataFrame


def trends(
    layers: Location | gpd.GeoDataFrame | Sequence[Location | gpd.GeoDataFrame],
    *,
    out: Location | None = None,
    model: Location = DEFAULT_MODEL,
    predictions: Location | None = None,
    report: Location | None = None,
    tables: Location | None = None,
    layer: str | None = None,
    dates: Sequence[int | str | datetime.date] = (),
    tolerance_m: float = 3.0,
    min_change_m2: float = 50.0,
    align: bool = True,
    centre: tuple[float, float] | None = None,
    rings_km: Sequence[float] = (),
    zones: Location | gpd.GeoDataFrame | gpd.GeoSeries | None = None,
    cell_m: float = 500.0,
    reference: Location | None = None,
    workers: int = 1,
    dask: "str | Client | None" = None,
    scratch: Location | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trend:
    """Tell what happened to the villages of several dates, as ``uvsam trends`` does.

    Args:
        layers: village layers: files, frames as :func:`predict` gives them or of others (columns ``acquired`` or
            ``period`` say when), or files of images, which are predicted first.
        out: the GeoPackage to write, too. Default: none.
        layer: name of the layer to read of files that have several of polygons.
        dates: year or day of each layer, where these do not say. Others: ``uvsam trends --help``.
        zones: polygon file or frame.
        dask: address of a scheduler, or a ``distributed.Client``, which stays open.

    Raises:
        UvsamError: as :func:`uvsam.workflows.trends.trends`.
        TypeError: an argument is of a kind that is not taken.
    """
    if isinstance(dates, str | int | datetime.date):
        raise TypeError(f"dates should be a list with one for each layer, not {dates!r}")
    path = path_of("out", out)
    with given(trends, path) as files, _file(path, "trends.gpkg") as to:
        try:
            days = tuple(map(parse_day, dates))
        except NoDay as error:
            raise SettingsError(f"dates: {error}") from None
        settings = TrendSettings(
            dates=days, tolerance_m=tolerance_m, min_change_m2=min_change_m2, align=align, centre=centre,
            rings_km=tuple(rings_km), zones=files.area(zones, "zones"), cell_m=cell_m,
            reference=path_of("reference", reference), workers=workers, dask=dask,
        )  # fmt: skip
        found = following.trends(
            of_layer([files.layer(one, number) for number, one in enumerate(several(layers), 1)], layer), to, settings,
            report=path_of("report", report), tables=path_of("tables", tables),
            predictions=path_of("predictions", predictions), prediction=predict_settings(model=text_of(model)),
            scratch=path_of("scratch", scratch), overwrite=overwrite, called=files.called, progress=progress,
        )  # fmt: skip
        written = set(pyogrio.list_layers(to)[:, 0])
        of_layers = {
            name: gpd.read_file(to, layer=name) if name in written else gpd.GeoDataFrame(geometry=[])
            for name in ("histories", "changes", "hot_spots", "zones")
        }
    return Trend(**of_layers, **{one.name: getattr(found, one.name) for one in fields(Trend)[4:]})


@contextmanager
def _file(out: Path | None, name: str) -> Iterator[Path]:
    """Where a result goes: where the user wants it, or where it is gone afterwards."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


def _scene(names: str | list[str], settings: PredictSettings) -> Scene:
    return open_inputs(
        names, bands=settings.bands, asset=settings.asset, acquired=settings.acquired,
        allow_ungeoreferenced=settings.allow_ungeoreferenced, gsd_m=settings.gsd_m, nodata=settings.nodata,
    )  # fmt: skip
