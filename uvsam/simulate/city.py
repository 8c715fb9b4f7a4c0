"""Writing a simulated city: one image per period and the truth."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pyproj
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox
from pyogrio.errors import DataLayerError, DataSourceError

from uvsam.errors import OutputError, SettingsError
from uvsam.progress import Progress, silent
from uvsam.raster.window import Window
from uvsam.raster.writer import RasterWriter, check_destination, claim_temporary
from uvsam.simulate.frame import Frame
from uvsam.simulate.render import City, build_city, draw_window
from uvsam.simulate.truth import site_events, truth_polygons
from uvsam.simulate.villages import VILLAGES_PER_KM2

DEFAULT_CRS = "EPSG:32650"
ORIGIN = 440000.0, 4420000.0


def simulate_city(
    out_dir: Path | str,
    *,
    size_m: float,
    gsd_m: float,
    periods: Sequence[int],
    seed: int,
    crs: str = DEFAULT_CRS,
    villages_per_km2: float = VILLAGES_PER_KM2,
    overwrite: bool = False,
    block_px: int = 2048,
    progress: Progress = silent,
) -> list[Path]:
    """Write ``city_<year>.tif`` for every period and ``truth.gpkg`` into a folder.

    The images are uint8 RGB. ``truth.gpkg`` has a layer ``villages`` (period, acquired, village_id, event,
    previous_ids, area_m2 and the outline along pixel edges) and a table ``events`` (period, acquired, village_id,
    event, related_ids) that also has the villages that are gone.

    Args:
        out_dir: folder, made where it does not exist.
        size_m: width and height of the city. gsd_m: metres per pixel.
        periods: years, ascending.
        seed: same seed, same city; the pixels do not depend on ``block_px``.
        crs: any projected CRS in metres.
        villages_per_km2: that are tried to be placed, five at least.
        block_px: pixels drawn at once, a multiple of 512; memory grows with its square.

    Returns:
        The images, in the order of the periods, then the truth.

    Raises:
        SettingsError: a size, a period or the CRS is impossible.
        OutputError: a file exists and ``overwrite`` is False, or cannot be written.
    """
    years = tuple(int(year) for year in periods)
    _check(size_m, gsd_m, years, crs, block_px, villages_per_km2)
    folder = Path(out_dir)
    images, truth = [folder / f"city_{year}.tif" for year in years], folder / "truth.gpkg"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error
    for path in (*images, truth):
        check_destination(path, (path.suffix,), overwrite=overwrite)
    city = build_city(size_m, years, seed, villages_per_km2)
    frame = Frame(gsd_m, round(size_m / gsd_m))
    geobox = GeoBox(frame.full.shape, Affine(gsd_m, 0, ORIGIN[0], 0, -gsd_m, ORIGIN[1]), crs)
    for period, path in enumerate(images):
        _write_image(city, frame, geobox, period, path, block_px, progress)
    _write_truth(city, frame, geobox, truth)
    return [*images, truth]


def _check(
    size_m: float, gsd_m: float, years: tuple[int, ...], crs: str, block_px: int, villages_per_km2: float
) -> None:
    if not 0.05 <= gsd_m <= 10:
        raise SettingsError(f"gsd {gsd_m} m is outside 0.05 to 10 m")
    if not 300 <= size_m <= 100_000:
        raise SettingsError(f"size {size_m} m is outside 300 to 100000 m")
    if not 0 <= villages_per_km2 <= 100:
        raise SettingsError(f"{villages_per_km2:g} villages per km2 are outside 0 to 100")
    if not years or list(years) != sorted(set(years)) or not 1 <= years[0] <= years[-1] <= 9999:
        raise SettingsError(f"periods must be ascending years, each once, not {','.join(map(str, years)) or 'none'}")
    if block_px < 512 or block_px % 512:
        raise SettingsError(f"block of {block_px} px is not a multiple of 512")
    try:
        parsed = pyproj.CRS.from_user_input(crs)
    except pyproj.exceptions.CRSError as error:
        raise SettingsError(f"CRS {crs} is not known; pass a projected one such as {DEFAULT_CRS}") from error
    if not parsed.is_projected or any(axis.unit_conversion_factor != 1 for axis in parsed.axis_info):
        raise SettingsError(f"CRS {crs} is not in metres; pass a projected one such as {DEFAULT_CRS}")


def _chunks(frame: Frame, block_px: int) -> Iterator[Window]:
    for row in range(0, frame.size_px, block_px):
        for col in range(0, frame.size_px, block_px):
            yield Window(row, col, block_px, block_px).intersection(frame.full)


def _write_image(
    city: City, frame: Frame, geobox: GeoBox, period: int, path: Path, block_px: int, progress: Progress
) -> None:
    acquired = city.looks[period].acquired
    tags = {"ACQUIRED": acquired.isoformat(), "TIFFTAG_DATETIME": acquired.strftime("%Y:%m:%d 11:00:00")}
    chunks = list(_chunks(frame, block_px))
    with RasterWriter(
        path, geobox, count=3, tags=tags, photometric="RGB", interleave="pixel", predictor=2, zlevel=4
    ) as writer:
        for done, window in enumerate(chunks, start=1):
            writer.write(draw_window(city, frame, period, window), window.row, window.col)
            progress(f"draw {path.name}", done, len(chunks))


def truth_frames(city: City, frame: Frame, geobox: GeoBox) -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    """(villages, events) of all periods, as ``simulate_city`` writes them."""
    villages: list[tuple[object, ...]] = []
    outlines: list[shapely.Geometry] = []
    events: list[tuple[object, ...]] = []
    for period, (year, look) in enumerate(zip(city.years, city.looks, strict=True)):
        when = year, np.datetime64(look.acquired)
        for event, outline in truth_polygons(city, frame, period, geobox.affine):
            villages.append((*when, event.village_id, event.event, _text(event.related), float(outline.area)))
            outlines.append(outline)
        for site in city.sites:
            for event in site_events(site, period):
                events.append((*when, event.village_id, event.event, _text(event.related)))
    start = ["period", "acquired", "village_id", "event"]
    table = pd.DataFrame(villages, columns=[*start, "previous_ids", "area_m2"])
    return (
        gpd.GeoDataFrame(table, geometry=outlines, crs=str(geobox.crs)),
        pd.DataFrame(events, columns=[*start, "related_ids"]),
    )


def _text(ids: tuple[int, ...]) -> str:
    return ",".join(map(str, ids))


_FIELDS = {
    "period": "int32", "acquired": "datetime64[D]", "village_id": "int32", "event": "object",
    "previous_ids": "object", "related_ids": "object", "area_m2": "float64",
}  # fmt: skip


def _write_truth(city: City, frame: Frame, geobox: GeoBox, path: Path) -> None:
    villages, events = truth_frames(city, frame, geobox)
    part = claim_temporary(path)
    crs = villages.crs.to_wkt()
    outlines = shapely.to_wkb(villages.geometry.map(_multi).to_numpy())
    try:
        for layer, table, geometry in (("villages", villages, outlines), ("events", events, None)):
            names = [name for name in table.columns if name != "geometry"]
            fields = [table[name].to_numpy().astype(_FIELDS[name]) for name in names]
            spatial = {"geometry_type": "MultiPolygon", "crs": crs} if geometry is not None else {}
            pyogrio.raw.write(
                part, geometry, fields, names, layer=layer, driver="GPKG", append=layer != "villages", **spatial
            )
        part.replace(path)
    except (DataSourceError, DataLayerError, OSError) as error:
        raise OutputError(f"cannot write {path}: {error}") from error
    finally:
        part.unlink(missing_ok=True)


def _multi(outline: shapely.Geometry) -> shapely.MultiPolygon:
    return outline if isinstance(outline, shapely.MultiPolygon) else shapely.MultiPolygon([outline])
