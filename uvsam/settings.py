"""What a user can choose for a prediction. Sizes are metres and square metres on the ground."""

import datetime
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from uvsam.catalog.cards import DEFAULT_MODEL
from uvsam.catalog.uvsam import Fuse
from uvsam.dates import parse_day
from uvsam.raster.validity import Nodata
from uvsam.wording import wrong_setting

EARTH_M2 = 5.1e14
"""The surface of the earth: a larger area is a slip of the keyboard."""


def _nan_by_name(value: Any) -> Any:
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def _day(value: Any) -> datetime.date | None:
    return None if value is None else parse_day(value)


class PredictSettings(BaseModel):
    """Settings of ``uvsam predict``; None leaves a value to the model's card or to the image.

    Attributes:
        model: name of a bundled model, or path of a card.
        bands: 1-based red, green, blue.
        asset: key of the asset of STAC items that is the image, or three as ``red,green,blue``.
        acquired: day the image was taken.
        aoi: polygon file; only ground inside is looked at.
        threshold: a pixel with at least this score is village.
        seed_threshold: a village needs one pixel with at least this score.
        min_area_m2: smaller villages are dropped.
        close_m: gaps (lanes, yards) narrower than this are bridged.
        min_hole_m2: smaller holes are filled.
        simplify_m: how far outlines may move when they are simplified; 0 keeps every pixel corner.
        sam: generalist that refines the outlines: name of a card, path of a card, or path of a checkpoint; None leaves
            it to the model's card.
        fuse: whose score counts where the generalist has drawn an outline; None leaves it to the model's card.
        window_m: side of the square of ground that the generalist looks at, metres.
        views: mirrored and turned copies of each chip whose scores are averaged: 1, 2, 4 or 8 times the work.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        runtime: what computes the networks on a processor; None is OpenVINO where it is installed.
        batch: chips computed at once; None is 1 on a processor and 4 on a GPU.
        gsd_m: metres per pixel of an image without a position.
        nodata: value of pixels that show nothing; ``none``: there are no such pixels; None leaves it to the image.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str = DEFAULT_MODEL
    bands: tuple[int, int, int] | None = None
    asset: str | None = None
    acquired: Annotated[datetime.date | None, BeforeValidator(_day)] = None
    aoi: Path | None = None
    threshold: float | None = Field(default=None, gt=0, lt=1)
    seed_threshold: float | None = Field(default=None, gt=0, lt=1)
    min_area_m2: float | None = Field(default=None, ge=0, le=EARTH_M2)
    close_m: float | None = Field(default=None, ge=0, le=200)
    min_hole_m2: float | None = Field(default=None, ge=0, le=EARTH_M2)
    simplify_m: float | None = Field(default=None, ge=0, le=10_000)
    sam: str | None = None
    fuse: Fuse | None = None
    window_m: float | None = Field(default=None, gt=0, le=100_000)
    views: Literal[1, 2, 4, 8] = 1
    device: str = "auto"
    runtime: Literal["openvino", "torch"] | None = None
    batch: int | None = Field(default=None, ge=1, le=4096)
    allow_ungeoreferenced: bool = False
    gsd_m: float | None = Field(default=None, gt=0, le=1000)
    nodata: Annotated[Nodata, BeforeValidator(_nan_by_name)] = None


def predict_settings(**given: Any) -> PredictSettings:
    """Check settings.

    Raises:
        UsageError: one of them is unknown or impossible; the message names it.
    """
    try:
        return PredictSettings(**given)
    except ValidationError as error:
        raise wrong_setting(error, PredictSettings) from error
