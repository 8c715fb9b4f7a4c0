"""``uvsam predict``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import progress_display
from uvsam.cli.info import NODATA, parse_bands
from uvsam.cli.params import ImageName, ModelName, PastDay

if TYPE_CHECKING:
    from uvsam.workflows.predict import Prediction

OUTLINE = "[default: the model's card]"


@click.command("predict", cls=Command)
@click.argument("images", nargs=-1, required=True, type=ImageName())
@click.option(
    "--out", required=True, type=click.Path(path_type=Path),
    help="File to write, e.g. villages.gpkg; its name says the format: .gpkg, .fgb, .parquet, .geojson, .pmtiles.",
)  # fmt: skip
@click.option("--model", type=ModelName(), help="Name of a bundled model, or a card.yaml  [default: uvsam-tiny].")
@click.option(
    "--sam", type=ModelName(), metavar="NAME|FILE",
    help="Sharpen the outlines with this generalist: a name of `uvsam models`, a card.yaml, or a checkpoint.",
)  # fmt: skip
@click.option(
    "--fuse", type=click.Choice(["sam", "mean", "nudge", "specialist"]),
    help="Whose score counts where a generalist has drawn an outline  [default: the model's card, else sam].",
)  # fmt: skip
@click.option("--window", "window_m", type=float, metavar="M", help="Ground that the generalist sees at once, metres.")
@click.option("--aoi", type=click.Path(path_type=Path), help="Polygon file; look only inside.")
@click.option(
    "--date", "acquired", type=PastDay(), metavar="YYYY-MM-DD",
    help="Day the image was taken, or its year  [default: what the file says].",
)  # fmt: skip
@click.option(
    "--asset", metavar="NAME",
    help="Of a STAC item: the asset to look at, or three as red,green,blue  [default: the visual one].",
)  # fmt: skip
@click.option(
    "--bands",
    metavar="R,G,B",
    callback=parse_bands,
    help="Band numbers of red, green, blue  [default: by colour, else 1,2,3].",
)
@NODATA
@click.option("--threshold", type=float, help=f"Score from which a pixel is village, 0 to 1 {OUTLINE}.")
@click.option("--seed-threshold", type=float, help=f"Score that a village must reach somewhere, 0 to 1 {OUTLINE}.")
@click.option("--min-area", "min_area_m2", type=float, help=f"Drop villages smaller than this, m² {OUTLINE}.")
@click.option("--close-m", type=float, help=f"Bridge lanes and yards narrower than this, metres {OUTLINE}.")
@click.option("--min-hole-m2", type=float, help=f"Fill holes smaller than this, m² {OUTLINE}.")
@click.option("--simplify-m", type=float, help=f"Simplify outlines by at most this, metres; 0: not at all {OUTLINE}.")
@click.option(
    "--views", type=click.Choice(["1", "2", "4", "8"]), default="1", show_default=True,
    help="Average the scores of mirrored and turned views: steadier, and that many times the work.",
)  # fmt: skip
@click.option("--save-scores", type=click.Path(path_type=Path), help="Also write the scores (COG).")
@click.option(
    "--score-type", type=click.Choice(["uint8", "float16"]), default="uint8", show_default=True,
    help="Precision of that file; uint8: score = (value - 1) / 254, 0 is nodata.",
)  # fmt: skip
@click.option(
    "--save-mask", type=click.Path(path_type=Path),
    help="Also write villages as pixels (COG): 1 village, 0 other, 255 not looked at.",
)  # fmt: skip
@click.option("--preview", type=click.Path(path_type=Path), help="Also draw the outlines over the image (PNG).")
@click.option("--stac", type=click.Path(path_type=Path), help="Also describe what was written in a STAC item (JSON).")
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--allow-failures", is_flag=True, help="Take the result even if parts of the image cannot be read or computed."
)
@click.option(
    "--workers", type=click.IntRange(min=1),
    help="Compute in so many processes of one thread  [default: threads of one process, one for each core].",
)  # fmt: skip
@click.option(
    "--dask", metavar="ADDRESS",
    help="Compute on this Dask cluster instead, e.g. tcp://host:8786; its workers share the folder of --out.",
)  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or mps.")
@click.option(
    "--runtime", type=click.Choice(["openvino", "torch"]),
    help="What computes the networks on a processor  [default: openvino where it is installed].",
)  # fmt: skip
@click.option("--batch", type=int, help="Chips computed at once in each thread  [default: 1, on a GPU 4].")
@click.option("--allow-ungeoreferenced", is_flag=True, help="Accept an image without a position; give --gsd with it.")
@click.option("--gsd", "gsd_m", type=float, help="Metres per pixel of an image without a position.")
def command(
    images: tuple[str, ...],
    out: Path,
    save_scores: Path | None,
    score_type: Any,
    save_mask: Path | None,
    preview: Path | None,
    stac: Path | None,
    overwrite: bool,
    views: str,
    allow_failures: bool,
    workers: int | None,
    dask: str | None,
    **given: Any,
) -> Answer:
    """Outline the urban villages and informal settlements of IMAGES: georeferenced rasters or STAC items, files or
    URLs. Several that share a grid are one mosaic, without seams; where they overlap, the last one shows.

    \b
    Examples:
      uvsam predict city.tif --out villages.gpkg
      uvsam predict tiles/*.tif --out villages.gpkg
      uvsam predict city.tif --out villages.parquet --save-mask mask.tif --stac villages.stac.json
      uvsam predict https://example.com/item.json --out villages.gpkg
      uvsam predict city.tif --out villages.gpkg --aoi district.gpkg --date 2020-05-17
      uvsam predict pleiades.tif --out villages.gpkg --bands 4,3,2 --min-area 5000
    """
    from uvsam.catalog import named_cache
    from uvsam.settings import predict_settings
    from uvsam.vectors.formats import outputs
    from uvsam.workflows.predict import predict

    chosen = {name: value for name, value in given.items() if value is not None}
    settings = predict_settings(views=int(views), **chosen)
    with progress_display() as progress:
        result = predict(
            images, out, settings, save_scores=save_scores, score_type=score_type, save_mask=save_mask,
            preview=preview, stac=stac, overwrite=overwrite, allow_failures=allow_failures, workers=workers, dask=dask,
            cache=named_cache(), progress=progress,
        )  # fmt: skip
    written = [*outputs(out), *(path for path in (save_scores, save_mask, preview, stac) if path)]
    if failed := result.run.get("failed"):
        click.echo(
            f"{len(failed)} parts of the image could not be read or computed; the run's metadata name them.", err=True
        )
    return Answer(_as_data(result, written), partial(_summarise, result, written))


def _as_data(result: "Prediction", written: list[Path]) -> dict[str, Any]:
    villages, refined = result.villages, result.refined
    return {
        "villages": len(villages),
        "villages_on_edge": int(villages["on_edge"].sum()),
        "area_m2": float(villages["area_m2"].sum()),
        "looked_at_m2": float(result.coverage["area_m2"].sum()),
        "confidence": _confidence(result),
        "tiles": result.scored.tiles,
        "tiles_computed": result.scored.computed,
        "pixels": result.scored.pixels,
        "outlines_sharpened": None if refined is None else refined.refined,
        "failures": result.run.get("failed", []),
        "seconds": result.seconds,
        "files": written,
    }


def _confidence(result: "Prediction") -> float | None:
    """Mean of the land in outlines."""
    villages = result.villages
    if villages.empty:
        return None
    return float((villages["confidence"] * villages["area_m2"]).sum() / villages["area_m2"].sum())


def _summarise(result: "Prediction", written: list[Path]) -> None:
    villages, looked_at = result.villages, float(result.coverage["area_m2"].sum())
    area = float(villages["area_m2"].sum())
    confidence = _confidence(result)
    if confidence is None:
        click.echo(f"No village found on {_area(looked_at)}.")
    else:
        share = f"{area / looked_at:.1%} of the {_area(looked_at)} looked at" if looked_at else ""
        plural = "village" if len(villages) == 1 else "villages"
        click.echo(f"{len(villages)} {plural}, {_area(area)}, {share}; mean confidence {confidence:.2f}.")
        if edge := int(villages["on_edge"].sum()):
            click.echo(f"{edge} of them cut by the border of the image or of its data.")
    rate = result.scored.pixels / 1e6 / result.seconds
    click.echo(f"{result.scored.computed} of {result.scored.tiles} tiles, {result.seconds:.0f} s, {rate:.1f} Mpx/s.")
    if refined := result.refined:
        seen = refined.seen / max(1, result.scored.pixels)
        click.echo(
            f"{refined.refined} of {refined.regions} outlines sharpened: the generalist saw {refined.crops} crops, "
            f"{seen:.0%} of the ground."
        )
    for path in written:
        click.echo(f"wrote {path}")


def _area(area_m2: float) -> str:
    return f"{area_m2 / 1e6:.2f} km²" if area_m2 >= 1e6 else f"{area_m2 / 1e4:.2f} ha"
