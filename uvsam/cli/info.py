"""``uvsam info``: describe an image, and what predict would need for it."""

import datetime
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import clock, print_pairs
from uvsam.cli.params import ImageName, ModelName, PastDay

if TYPE_CHECKING:
    from uvsam.workflows.info import SceneInfo


def parse_bands(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int, int] | None:
    """Callback of ``--bands``: three band numbers, as in ``4,3,2``."""
    if value is None:
        return None
    try:
        red, green, blue = (int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"'{value}' is not three band numbers such as 4,3,2") from error
    if min(red, green, blue) < 1:
        raise click.BadParameter("bands are numbered from 1")
    return red, green, blue


def parse_nodata(ctx: click.Context, param: click.Parameter, value: str | None) -> float | str | None:
    """Callback of ``--nodata``: a number, nan or none."""
    if value is None or value.lower() in ("none", "nan"):
        return value and value.lower()
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise click.BadParameter(f"'{value}' is not a value such as 0, and not none")
    return number


NODATA = click.option(
    "--nodata", metavar="VALUE|none", callback=parse_nodata,
    help="Value of pixels that show nothing; none: all show something  [default: what the file says, and its collar].",
)  # fmt: skip


@click.command("info", cls=Command)
@click.argument("images", nargs=-1, required=True, type=ImageName())
@click.option(
    "--bands",
    metavar="R,G,B",
    callback=parse_bands,
    help="Red, green and blue, such as 4,3,2  [default: what the file says].",
)
@click.option("--asset", metavar="NAME", help="Of a STAC item: the asset to look at  [default: the visual one].")
@click.option(
    "--date", "acquired", type=PastDay(), metavar="YYYY-MM-DD",
    help="Day the image was taken, or its year  [default: what the file says].",
)  # fmt: skip
@NODATA
@click.option("--model", type=ModelName(), metavar="NAME|CARD", help="Model to plan for  [default: the bundled one].")
@click.option("--allow-ungeoreferenced", is_flag=True, help="Accept an image without a position on the ground.")
@click.option(
    "--gsd", type=click.FloatRange(min=0, min_open=True), help="Metres per pixel of such an image  [default: 1]."
)
def command(
    images: tuple[str, ...],
    bands: tuple[int, int, int] | None,
    asset: str | None,
    acquired: datetime.date | None,
    model: str | None,
    allow_ungeoreferenced: bool,
    gsd: float | None,
    nodata: Any,
) -> Answer:
    """Describe IMAGES (a path or url of any raster or STAC item, or several that share a grid), and what predict would
    need for them.

    \b
    Examples:
      uvsam info city.tif
      uvsam info tiles/*.tif --json
    """
    from uvsam.catalog import load_predict_card
    from uvsam.workflows.info import describe

    card = load_predict_card(model) if model else load_predict_card()
    info = describe(
        images, card, bands=bands, asset=asset, acquired=acquired, allow_ungeoreferenced=allow_ungeoreferenced,
        gsd_m=gsd, nodata=nodata,
    )  # fmt: skip
    return Answer(info.as_json(), partial(print_pairs, describing_lines(info)))


def describing_lines(info: "SceneInfo") -> list[tuple[str, str]]:
    """(what, value) for people."""
    unit = "m" if info.crs is None else "units of the CRS"
    stretch = ", ".join(f"{low:g}..{high:g}" for low, high in zip(info.stretch.low, info.stretch.high, strict=True))
    lines = [
        ("image", f"{info.uri} ({info.driver})"),
        ("size", f"{info.size_px[0]} x {info.size_px[1]} px, {info.area_m2 / 1e6:.3g} km2"),
        ("crs", info.crs or "none"),
        ("bounds", " ".join(f"{value:.10g}" for value in info.bounds)),
        ("pixel", f"{info.pixel[0]:.6g} x {info.pixel[1]:.6g} {unit}"),
        ("gsd", f"{info.gsd_m[0]:.3g} x {info.gsd_m[1]:.3g} m on the ground"),
        ("bands", f"{', '.join(map(str, info.bands))} of {info.band_count} (red, green, blue), {info.dtype}"),
        ("stretch", f"{stretch} -> 0..255" if info.dtype != "uint8" else "none needed"),
        ("nodata", f"{100 * info.nodata_share:.1f} % of the pixels" + _values(info)),
        ("acquired", str(info.acquired) if info.acquired else "not said; give --date to predict"),
        ("blocks", f"{info.block_px[0]} x {info.block_px[1]} px, overviews: {_overviews(info)}"),
        ("tiles", f"{info.tiles} with cores of {info.core_px[0]} x {info.core_px[1]} px"),
        ("model", f"sees {info.model_gsd_m:g} m: {info.scale[0]:.3g} x {info.scale[1]:.3g} px of the image as one"),
        (
            "predict",
            f"about {clock(info.seconds)} on one core{_outlining(info)}, {info.memory_mb / 1024:.1f} GB of memory",
        ),
    ]
    if info.problem:
        lines[-3:] = [("predict", f"not possible: {info.problem}")]
    return lines


def _outlining(info: "SceneInfo") -> str:
    return f" and up to {clock(info.outline_seconds)} more if all is village" if info.outline_seconds else ""


def _values(info: "SceneInfo") -> str:
    said = [] if info.nodata is None else [f"value {info.nodata:g}"]
    found = [
        f"{100 * share:.1f} % are {value:g} up to the edge, without a word of it in the file"
        for value, share in info.collars
    ]
    return f" ({'; '.join(said + found)})" if said or found else ""


def _overviews(info: "SceneInfo") -> str:
    found = ", ".join(map(str, info.overviews)) or "none"
    return found if info.overviews_agree else f"{found}, which show something else than the pixels"
