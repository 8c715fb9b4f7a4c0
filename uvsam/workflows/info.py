"""What an image is, and what predicting it will take."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyproj import CRS

from uvsam.catalog.cards import ModelCard
from uvsam.catalog.uvsam import UvSamCard
from uvsam.errors import GeoreferencingError
from uvsam.prompts import CELLS
from uvsam.prompts.crops import STEP_CELLS
from uvsam.raster.access import CACHE_BYTES, open_dataset
from uvsam.raster.acquired import warn_of_written_day
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import Stretch, survey
from uvsam.raster.scene import check_resolution, model_scale
from uvsam.raster.validity import Nodata
from uvsam.tiles import plan_tiles

# user + sys of `time uvsam predict` on an image of 64 x 64 pixels, 5.7 to 6.6 s in four runs: imports and the model
START_UP_S = 6.0
SECONDS_PER_MPX = 1.0  # of a card that does not say
LIBRARIES_MB = 1300  # with networks that are compiled; `benchmarks/cost.py`, `overhead.py`
GENERALIST_MB = 600
NETWORK_BYTES_PER_PX = 800


@dataclass(frozen=True)
class SceneInfo:
    """The answer of ``uvsam info``.

    Attributes:
        size_px: (width, height).
        bounds: (left, bottom, right, top) in the CRS.
        pixel: (x, y) size of a pixel in units of the CRS.
        gsd_m: (x, y) metres per pixel on the ground.
        area_m2: of the whole image, at the gsd of its centre.
        bands: 1-based red, green, blue, of ``band_count``.
        stretch: what becomes 0 and 255 in red, green, blue.
        nodata_share: of a sample of the pixels.
        collars: (value, share of the pixels) of what is left out though the file does not say that it is nodata.
        block_px: (width, height) of the file's blocks.
        overviews: reductions stored in the file.
        overviews_agree: they show what the pixels show.
        scale: (x, y) image pixels per model pixel.
        tiles: number of tiles for ``predict``, 0 where it would refuse.
        seconds: estimate for ``predict`` on one core, start-up included; 0 where it would refuse.
        outline_seconds: how much longer the model's generalist takes if all ground is village; 0 without one.
        memory_mb: estimate of the peak for ``predict``.
        problem: why ``predict`` would refuse this image, None where it would not.
    """

    uri: str
    driver: str
    size_px: tuple[int, int]
    crs: str | None
    bounds: tuple[float, float, float, float]
    pixel: tuple[float, float]
    gsd_m: tuple[float, float]
    area_m2: float
    band_count: int
    bands: tuple[int, int, int]
    dtype: str
    nodata: float | None
    stretch: Stretch
    nodata_share: float
    collars: tuple[tuple[float, float], ...]
    acquired: datetime.date | None
    block_px: tuple[int, int]
    overviews: tuple[int, ...]
    overviews_agree: bool
    model_gsd_m: float
    scale: tuple[float, float]
    tiles: int
    core_px: tuple[int, int]
    seconds: float
    outline_seconds: float
    memory_mb: int
    problem: str | None

    def as_json(self) -> dict[str, Any]:
        """The same as plain JSON values."""
        values = asdict(self)
        values["acquired"] = None if self.acquired is None else self.acquired.isoformat()
        values["nodata"] = (
            None if self.nodata is None else str(self.nodata) if self.nodata != self.nodata else self.nodata
        )
        return values


def describe(
    images: str | Path | Sequence[str | Path],
    card: ModelCard,
    *,
    bands: tuple[int, int, int] | None = None,
    asset: str | None = None,
    acquired: datetime.date | None = None,
    allow_ungeoreferenced: bool = False,
    gsd_m: float | None = None,
    nodata: Nodata = None,
    batch: int = 2,
) -> SceneInfo:
    """Read the header and a sample of the pixels of an image, and estimate the cost of ``predict``.

    Args:
        card: of the model.
        images, bands, asset, acquired, allow_ungeoreferenced, gsd_m, nodata: as in ``open_inputs``.
        batch: chips that the network sees at once.

    Raises:
        SceneError, GeoreferencingError, SettingsError: as ``open_inputs`` and ``survey``.
    """
    scene = open_inputs(
        images, bands=bands, asset=asset, acquired=acquired, allow_ungeoreferenced=allow_ungeoreferenced, gsd_m=gsd_m,
        nodata=nodata,
    )  # fmt: skip
    if scene.acquired is None:
        warn_of_written_day(scene.uri)
    looked = survey(scene)
    scale = model_scale(scene, card.gsd_m)
    plan, problem = None, None
    try:
        check_resolution(scene, card.gsd_m)
        plan = plan_tiles(scene.shape, scale, chip_px=card.chip_px, halo_px=card.halo_px)
    except GeoreferencingError as error:
        problem = str(error)
    tiles, core_px, network_px = (0, (0, 0), 0) if plan is None else (len(plan), plan.core_px, math.prod(plan.chip_px))
    network_s = tiles * network_px * 1e-6 * (card.seconds_per_mpx or SECONDS_PER_MPX) * looked.valid_share
    with open_dataset(scene.uri) as dataset:
        driver, count, overviews = dataset.driver, dataset.count, tuple(dataset.overviews(scene.bands[0]))
        block_height, block_width = dataset.block_shapes[scene.bands[0] - 1]
    height, width = scene.shape
    area_m2 = width * height * scene.gsd_m[0] * scene.gsd_m[1]
    box = scene.geobox.extent.boundingbox
    pixel_x, pixel_y = scene.geobox.resolution.x, scene.geobox.resolution.y
    return SceneInfo(
        uri=scene.name,
        driver=driver,
        size_px=(width, height),
        crs=None if scene.geobox.crs is None else _crs_label(CRS.from_user_input(str(scene.geobox.crs))),
        bounds=(box.left, box.bottom, box.right, box.top),
        pixel=(abs(pixel_x), abs(pixel_y)),
        gsd_m=scene.gsd_m,
        area_m2=area_m2,
        band_count=count,
        bands=scene.bands,
        dtype=scene.dtype,
        nodata=scene.nodata,
        stretch=looked.stretch,
        nodata_share=1.0 - looked.valid_share,
        collars=tuple((collar.value, collar.share) for collar in scene.validity.collars),
        acquired=scene.acquired,
        block_px=(block_width, block_height),
        overviews=overviews,
        overviews_agree=looked.overviews_agree,
        model_gsd_m=card.gsd_m,
        scale=scale,
        tiles=tiles,
        core_px=(core_px[1], core_px[0]),
        seconds=START_UP_S + network_s if tiles else 0.0,
        outline_seconds=_outline_seconds(card, area_m2 * looked.valid_share) if tiles else 0.0,
        memory_mb=LIBRARIES_MB
        + GENERALIST_MB * isinstance(card, UvSamCard)
        + (CACHE_BYTES + batch * network_px * NETWORK_BYTES_PER_PX) // 2**20,
        problem=problem,
    )


def _outline_seconds(card: ModelCard, ground_m2: float) -> float:
    if not isinstance(card, UvSamCard):
        return 0.0
    crops = ground_m2 / (card.generalist.window_m * STEP_CELLS / CELLS) ** 2  # of a large village, they overlap
    return crops * (card.generalist.seconds_per_crop or 0.0)


def _crs_label(crs: CRS) -> str:
    authority = crs.to_authority(min_confidence=100)
    return str(crs.name) if authority is None else f"{':'.join(authority)} ({crs.name})"
