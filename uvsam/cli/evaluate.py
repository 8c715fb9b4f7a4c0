"""``uvsam evaluate``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import print_table, progress_display

if TYPE_CHECKING:
    from uvsam.workflows.evaluate import Evaluation

RASTER_SUFFIXES = {".tif", ".tiff", ".vrt", ".jp2", ".img", ".png"}


@click.command("evaluate", cls=Command)
@click.argument("prediction", type=click.Path(path_type=Path))
@click.argument("truth", type=click.Path(path_type=Path))
@click.option("--layer", metavar="NAME", help="Layer of PREDICTION.  [default: villages, or the only one]")
@click.option("--where", metavar="SQL", help='Which features of PREDICTION, for instance "period = 2020".')
@click.option("--truth-layer", metavar="NAME", help="Layer of TRUTH.  [default: villages, truth, or the only one]")
@click.option("--truth-where", metavar="SQL", help='Which features of TRUTH, for instance "period = 2020".')
@click.option(
    "--truth-value", "truth_values", type=int, multiple=True, metavar="N",
    help="Value of the village class in a raster; may be repeated.  [default: 1]",
)  # fmt: skip
@click.option(
    "--ignore-value", "ignore_values", type=int, multiple=True, metavar="N",
    help="Value of pixels without a label, besides the raster's nodata; may be repeated.",
)  # fmt: skip
@click.option(
    "--nodata-is-label", is_flag=True, help="The raster's nodata is a value like any other, for instance 0: no village."
)
@click.option("--aoi", type=click.Path(path_type=Path), metavar="FILE", help="Compare inside these polygons only.")
@click.option(
    "--min-area", "min_area_m2", type=click.FloatRange(min=0), default=0.0, metavar="M2",
    help="Leave smaller objects out of both sides when objects are counted, m².",
)  # fmt: skip
def command(
    prediction: Path,
    truth: Path,
    layer: str | None,
    where: str | None,
    truth_layer: str | None,
    truth_where: str | None,
    truth_values: tuple[int, ...],
    ignore_values: tuple[int, ...],
    nodata_is_label: bool,
    aoi: Path | None,
    min_area_m2: float,
) -> Answer:
    """Compare the villages in PREDICTION with TRUTH, polygons or a raster of labels.

    Only ground that both know is compared: what the prediction's layer `coverage` says was looked at, and where the
    truth has labels. Objects match one to one at IoU 0.5 or more; "any overlap" is the rule of the UV-SAM paper.

    \b
    Examples:
      uvsam evaluate villages.gpkg truth.gpkg --truth-where "period = 2020"
      uvsam evaluate villages.gpkg labels.tif --truth-value 6 --ignore-value 255
      uvsam evaluate villages.gpkg truth.gpkg --json > scores.json
    """
    from uvsam.evaluation.rasters import LabelRaster
    from uvsam.workflows.evaluate import VectorTruth, evaluate

    is_raster = truth.suffix.lower() in RASTER_SUFFIXES
    if is_raster and (truth_layer or truth_where):
        raise click.UsageError("--truth-layer and --truth-where are for polygons, and TRUTH is a raster")
    if not is_raster and (truth_values or ignore_values or nodata_is_label):
        raise click.UsageError(
            "--truth-value, --ignore-value and --nodata-is-label are for rasters, and TRUTH is not one"
        )
    source = (
        LabelRaster(truth, truth_values or None, ignore_values, nodata_is_label)
        if is_raster
        else VectorTruth(truth, truth_layer, truth_where)
    )
    with progress_display() as progress:
        result = evaluate(
            prediction, source, layer=layer, where=where, aoi=aoi, min_area_m2=min_area_m2, progress=progress
        )
    return Answer(result.as_dict(), partial(print_evaluation, result))


def print_evaluation(result: "Evaluation") -> None:
    """The evaluation as a table."""
    rows = [
        (f"pixels ({'m²' if result.unit == 'm2' else 'px'})", result.pixels, result.pixels.iou),
        ("objects, IoU ≥ 0.5", result.objects, result.objects_mean_iou),
        ("objects, any overlap", result.objects_paper, None),
    ]
    cells = [
        [
            name,
            *map(number, (iou, counts.precision, counts.recall, counts.f1)),
            *map(count, (counts.tp, counts.fp, counts.fn)),
        ]
        for name, counts, iou in rows
    ]
    cells += [
        [
            f"boundary, {score.tolerance_m:g} m",
            *map(number, (None, score.precision, score.recall, score.f1)),
            "",
            "",
            "",
        ]
        for score in result.boundaries
    ]
    print_table(["", "IoU", "precision", "recall", "F1", "right", "wrong", "missed"], cells)
    areas = result.areas
    bias = "" if areas.bias is None else f", {100 * areas.bias:+z.1f} %"
    click.echo(f"area: {areas.predicted_m2 / 1e4:,.2f} ha predicted, {areas.truth_m2 / 1e4:,.2f} ha true{bias}")


def number(value: float | None) -> str:
    """A ratio with three digits; a dash where it has no meaning."""
    return "-" if value is None else f"{value:.3f}"


def count(value: float) -> str:
    """A count of objects or pixels, or m2 to the full metre."""
    return f"{value:,.0f}"
