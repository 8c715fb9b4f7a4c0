"""What the command line does, for Python: the same names, the same defaults, tables in place of files.

``uvsam.predict("city.tif")`` is a GeoDataFrame, ``uvsam.trends([villages_2016, "villages_2020.gpkg"])`` holds several,
``uvsam.load_model("uvsam-tiny").scores(image)`` is an array.
"""

import datetime
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import torch
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import MemoryFile

from uvsam.catalog.cache import named_cache
from uvsam.catalog.cards import DEFAULT_MODEL, ModelCard
from uvsam.catalog.uvsam import load_predict_card
from uvsam.dates import NoDay, parse_day
from uvsam.errors import LabelError, SceneError, SettingsError
from uvsam.models.specialist import Specialist
from uvsam.progress import Progress, silent
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import check_resolution, model_scale, open_scene
from uvsam.settings import PredictSettings, predict_settings
from uvsam.tiles import plan_tiles
from uvsam.vectors.schema import COVERAGE, VILLAGES
from uvsam.workflows import predict as predicting
from uvsam.workflows import trends as following
from uvsam.workflows.loading import load_models
from uvsam.workflows.recipe import ModelsRecipe
from uvsam.workflows.scoring import Scoring
from uvsam.workflows.trend_layers import TrendSettings


def predict(
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    sam: str | Path | None = None,
    fuse: Literal["sam", "mean", "nudge", "specialist"] | None = None,
    window: float | None = None,
    aoi: str | Path | None = None,
    date: str | datetime.date | None = None,
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
    save_scores: str | Path | None = None,
    score_type: Literal["uint8", "float16"] = "uint8",
    save_mask: str | Path | None = None,
    preview: str | Path | None = None,
    stac: str | Path | None = None,
    overwrite: bool = False,
    allow_failures: bool = False,
    workers: int | None = None,
    dask: str | None = None,
    device: str = "auto",
    runtime: Literal["openvino", "torch"] | None = None,
    batch: int | None = None,
    allow_ungeoreferenced: bool = False,
    gsd: float | None = None,
    progress: Progress = silent,
) -> gpd.GeoDataFrame:
    """Outline the villages of an image, as ``uvsam predict`` does.

    Args:
        images: a raster or STAC item, file or URL, or several that share a grid.
        out: the file to write, too (``docs/formats.md``); a run that was interrupted goes on where it was.
        window: side of the ground that the generalist sees at once, metres.
        min_area: villages below this are dropped, m². Others: ``uvsam predict --help``.
        progress: is called with what is being done, how much of it is done, and how much there is.

    Returns:
        Layer ``villages`` (columns: ``docs/reading_the_result.md``) in the CRS of the image. ``attrs["run"]`` holds the
        parameters of the run, ``attrs["coverage"]`` the ground that was looked at, as WKT, for :func:`trends`.

    Raises:
        UvsamError: as :func:`uvsam.workflows.predict.predict`.
    """
    settings = predict_settings(
        model=str(model), sam=None if sam is None else str(sam), fuse=fuse, window_m=window, aoi=aoi, acquired=date,
        asset=asset, bands=bands, threshold=threshold, seed_threshold=seed_threshold, min_area_m2=min_area,
        close_m=close_m, min_hole_m2=min_hole_m2, simplify_m=simplify_m, views=views, device=device, runtime=runtime,
        batch=batch, allow_ungeoreferenced=allow_ungeoreferenced, gsd_m=gsd, nodata=nodata,
    )  # fmt: skip
    with _file(out, "villages.gpkg") as path:
        found = predicting.predict(
            images, path, settings, save_scores=_path(save_scores), score_type=score_type,
            save_mask=_path(save_mask), preview=_path(preview), stac=_path(stac), overwrite=overwrite,
            allow_failures=allow_failures, workers=workers, dask=dask, cache=named_cache(), progress=progress,
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
    layers: Sequence[str | Path | gpd.GeoDataFrame],
    *,
    out: str | Path | None = None,
    model: str | Path = DEFAULT_MODEL,
    predictions: str | Path | None = None,
    report: str | Path | None = None,
    tables: str | Path | None = None,
    dates: Sequence[int | str | datetime.date] = (),
    tolerance_m: float = 3.0,
    min_change_m2: float = 50.0,
    align: bool = True,
    centre: tuple[float, float] | None = None,
    rings_km: Sequence[float] = (),
    zones: str | Path | None = None,
    cell_m: float = 500.0,
    reference: str | Path | None = None,
    workers: int = 1,
    dask: str | None = None,
    scratch: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Trend:
    """Tell what happened to the villages of several dates, as ``uvsam trends`` does.

    Args:
        layers: village layers: files, frames as :func:`predict` gives them, or images, which are predicted first.
        out: the GeoPackage to write, too. Default: none.
        dates: year or day of each layer, where these do not say. Others: ``uvsam trends --help``.

    Raises:
        UvsamError: as :func:`uvsam.workflows.trends.trends`.
    """
    try:
        days = tuple(map(parse_day, dates))
    except NoDay as error:
        raise SettingsError(f"dates: {error}") from None
    settings = TrendSettings(
        dates=days, tolerance_m=tolerance_m, min_change_m2=min_change_m2, align=align, centre=centre,
        rings_km=tuple(rings_km), zones=_path(zones), cell_m=cell_m, reference=_path(reference), workers=workers,
        dask=dask,
    )  # fmt: skip
    with _file(out, "trends.gpkg") as path, tempfile.TemporaryDirectory() as folder:
        files = [_as_file(layer, Path(folder) / f"layer_{number}.gpkg") for number, layer in enumerate(layers, 1)]
        found = following.trends(
            files, path, settings, report=_path(report), tables=_path(tables), predictions=_path(predictions),
            prediction=predict_settings(model=str(model)), scratch=_path(scratch), overwrite=overwrite,
            progress=progress,
        )  # fmt: skip
        written = set(pyogrio.list_layers(path)[:, 0])
        of_layers = {
            name: gpd.read_file(path, layer=name) if name in written else gpd.GeoDataFrame(geometry=[])
            for name in ("histories", "changes", "hot_spots", "zones")
        }
    return Trend(**of_layers, **{one.name: getattr(found, one.name) for one in fields(Trend)[4:]})


class Model:
    """A model that scores images in memory. Holds no state between calls.

    Attributes:
        card: what it is, and what it wants to see.
    """

    def __init__(self, card: ModelCard, specialist: Specialist) -> None:
        self.card, self._specialist = card, specialist

    def scores(
        self, image: Any, *, gsd: float | None = None, nodata: float | None = None, views: Literal[1, 2, 4, 8] = 1,
        progress: Progress = silent,
    ) -> Any:  # fmt: skip
        """Calibrated probability of village of every pixel, of the specialist (the generalist sharpens outlines only).

        Args:
            image: (C, H, W) array of red, green, blue and perhaps more, of any integer or floating type; or an
                ``xarray.DataArray`` of the same form with a CRS, as rioxarray, odc-stac and stackstac give them.
            gsd: metres per pixel; of arrays, which do not say.
            nodata: value of pixels without data; default: what the array says, and NaN.
            views: mirrored and turned copies whose scores are averaged.

        Returns:
            (H, W) float32, NaN where there is no data; a DataArray of a DataArray.

        Raises:
            SceneError, GeoreferencingError, SettingsError: the image cannot be used.
        """
        geobox = _geobox(image)
        pixels = np.asarray(image)
        if pixels.ndim != 3 or pixels.shape[0] < 3:
            raise SceneError(f"an image is (bands, rows, columns) with three bands at least, not {pixels.shape}")
        if geobox is None and gsd is None:
            raise SettingsError("an array does not say how large its pixels are; give gsd, metres per pixel")
        if nodata is None:
            nodata = getattr(image, "attrs", {}).get("_FillValue", getattr(image, "encoding", {}).get("_FillValue"))
        place = {} if geobox is None else {"crs": geobox.crs.to_wkt(), "transform": geobox.affine}
        count, height, width = pixels.shape
        with MemoryFile() as file:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # gsd is all that is needed
                with file.open(
                    driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, nodata=nodata,
                    tiled=True, BIGTIFF="IF_SAFER", **place,
                ) as dataset:  # fmt: skip
                    dataset.write(pixels)
            found = self._of_file(file.name, gsd, views, progress)
        return found if geobox is None else image.isel({image.dims[0]: 0}, drop=True).copy(data=found)

    def _of_file(self, name: str, gsd: float | None, views: int, progress: Progress) -> NDArray[np.float32]:
        scene = open_scene(name, bands=(1, 2, 3), allow_ungeoreferenced=gsd is not None, gsd_m=gsd)
        check_resolution(scene, self.card.gsd_m)
        plan = plan_tiles(
            scene.shape, model_scale(scene, self.card.gsd_m), chip_px=self.card.chip_px, halo_px=self.card.halo_px
        )
        scoring = Scoring(scene, estimate_stretch(scene), plan, views=views)
        return scoring.array(self._specialist, threads=torch.get_num_threads(), progress=progress)


def load_model(
    model: str | Path = DEFAULT_MODEL, *, device: str = "auto", runtime: Literal["openvino", "torch"] | None = None
) -> Model:
    """A model by its name (``uvsam models``) or card, with its verified weights.

    Raises:
        CatalogError: no such model, or its weights are not those that its card describes.
        SettingsError: the device cannot be used here.
    """
    settings = PredictSettings(model=str(model), device=device, runtime=runtime)
    card = load_predict_card(settings.model)
    return Model(card, load_models(ModelsRecipe(settings, card.sha256, named_cache())).specialist)


def _geobox(image: Any) -> Any:
    """The grid of a DataArray; None for an array."""
    if not type(image).__module__.startswith("xarray."):
        return None
    import odc.geo.xr  # noqa: F401  # gives arrays their .odc

    geobox = image.odc.geobox
    if geobox is None or geobox.crs is None:
        raise SceneError("the array has no coordinate reference system; write one with .rio.write_crs() or .odc")
    if tuple(image.dims[1:]) != tuple(image.odc.spatial_dims):
        raise SceneError(f"dimensions should be (band, {', '.join(image.odc.spatial_dims)}), not {image.dims}")
    return geobox


def _as_file(layer: str | Path | gpd.GeoDataFrame, path: Path) -> Path:
    """A layer as a file that can be read in pieces."""
    if not isinstance(layer, gpd.GeoDataFrame):
        return Path(layer)
    if layer.crs is None:
        raise LabelError("a frame of villages has no coordinate reference system; assign it with set_crs()")
    layer.to_file(path, layer=VILLAGES.name, engine="pyogrio")
    if ground := layer.attrs.get("coverage"):
        coverage = gpd.GeoDataFrame(geometry=gpd.GeoSeries.from_wkt([ground], crs=layer.crs))
        coverage.to_file(path, layer=COVERAGE.name, engine="pyogrio")
    return path


@contextmanager
def _file(out: str | Path | None, name: str) -> Iterator[Path]:
    """Where a result goes: where the user wants it, or where it is gone afterwards."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / name


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)
