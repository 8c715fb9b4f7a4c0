"""``uvsam trends``."""

import datetime
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import print_table, progress_display
from uvsam.cli.params import ModelName

if TYPE_CHECKING:
    from uvsam.workflows.trend_layers import Trends


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list of numbers such as 2,4,6") from None


def parse_numbers(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Callback of options like ``--rings-km 2,4,6``."""
    return None if value is None else _numbers(value)


def parse_place(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """Callback of ``--centre lon,lat``."""
    if value is None:
        return None
    place = _numbers(value)
    if len(place) != 2 or not (-180 <= place[0] <= 180 and -90 <= place[1] <= 90):
        raise click.BadParameter(f"'{value}' is not a place: longitude,latitude in degrees, as 116.39,39.91")
    return place


def parse_dates(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[datetime.date, ...] | None:
    """Callback of ``--dates``: days or years, one for each file."""
    if value is None:
        return None
    from uvsam.dates import NoDay, parse_day

    try:
        return tuple(parse_day(text) for text in str(value).split(","))
    except NoDay as error:
        raise click.BadParameter(str(error)) from None


@click.command("trends", cls=Command)
@click.argument("layers", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="GeoPackage to write, e.g. trends.gpkg.")
@click.option(
    "--model", type=ModelName(), help="For images: name of a bundled model, or a card.yaml  [default: as predict]."
)
@click.option(
    "--predictions", type=click.Path(path_type=Path, file_okay=False),
    help="For images: folder where their villages are kept  [default: {out}_villages].",
)  # fmt: skip
@click.option("--report", type=click.Path(path_type=Path), help="Also write a page for people, e.g. trends.html.")
@click.option(
    "--tables",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write tidy tables (Parquet, CSV) into a folder.",
)
@click.option(
    "--layer", metavar="NAME",
    help="Layer to read of files that have several polygon layers  [default: villages, or the only one].",
)  # fmt: skip
@click.option(
    "--dates", metavar="D,D,...", callback=parse_dates,
    help="Year or day of each file [default: what it says, else the year in its name].",
)  # fmt: skip
@click.option("--tolerance-m", type=float, help="Outlines that differ by less are the same, metres  [default: 3].")
@click.option(
    "--min-change-m2", type=float, help="Smaller pieces of gained or lost ground do not count, m²  [default: 50]."
)
@click.option("--align/--no-align", default=True, show_default=True, help="Move the layers onto the first one.")
@click.option("--centre", metavar="LON,LAT", callback=parse_place, help="What rings are around, in degrees.")
@click.option("--rings-km", metavar="R,R,...", callback=parse_numbers, help="Outer radii of rings, km, as in 2,4,6.")
@click.option("--zones", type=click.Path(path_type=Path), help="Polygon file of districts; column 'name' names them.")
@click.option("--cell-m", type=float, help="Side of the cells of hot spots, metres  [default: 500].")
@click.option(
    "--reference", type=click.Path(path_type=Path),
    help="A sample of `uvsam sample` with its truth filled in; areas are corrected by it.",
)  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes to compute with.")
@click.option("--dask", metavar="ADDRESS", help="Compute on this Dask cluster instead, e.g. tcp://host:8786.")
@click.option(
    "--scratch", type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder for temporary files; with --dask one that its workers share  [default: beside --out].",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
def command(
    layers: tuple[Path, ...], out: Path, report: Path | None, tables: Path | None, scratch: Path | None,
    model: str | None, predictions: Path | None, layer: str | None, overwrite: bool, **given: Any,
) -> Answer:  # fmt: skip
    """Tell what happened to the villages of LAYERS: files of `uvsam predict`, other polygons, or images (rasters,
    STAC items), of two or more dates. Images are predicted first, and aligned by what they show.

    \b
    Examples:
      uvsam trends 2012.gpkg 2016.gpkg 2020.gpkg --out trends.gpkg --report trends.html
      uvsam trends a.gpkg b.geojson --dates 2012,2019-05-17 --out trends.gpkg --centre 72.88,19.07 --rings-km 2,4,6
      uvsam trends 'city.gpkg|layername=in_2012' 'city.gpkg|layername=in_2020' --out trends.gpkg
      uvsam trends city_2012.tif city_2020.tif --out trends.gpkg --report trends.html
    """
    from uvsam.settings import predict_settings
    from uvsam.workflows.trend_images import of_layer
    from uvsam.workflows.trend_layers import TrendSettings
    from uvsam.workflows.trends import trends

    settings = TrendSettings(**{name: value for name, value in given.items() if value is not None})
    with progress_display() as progress:
        found = trends(
            of_layer(layers, layer), out, settings, report=report, tables=tables, predictions=predictions,
            prediction=predict_settings(model=model) if model else None, scratch=scratch, overwrite=overwrite,
            progress=progress,
        )  # fmt: skip
    if len(found.zones) and found.zones["villages"].sum() == 0 < found.periods["villages"].sum():
        click.echo("No village lies in a ring or zone. Is --centre longitude first?", err=True)
    written = [path for path in (out, report, tables) if path is not None]
    return Answer(_as_data(found, written), partial(_summarise, found, written))


def _as_data(found: "Trends", written: list[Path]) -> dict[str, Any]:
    tables = ("periods", "steps", "slopes", "zones", "shifts", "corrected")
    return {name: getattr(found, name).to_dict(orient="records") for name in tables} | {"files": written}


def _summarise(found: "Trends", written: list[Path]) -> None:
    from uvsam.change.alignment import THE_LAYER_BEFORE

    rows = [
        (str(row["date"]), str(row["villages"]), f"{row['area_m2'] / 1e4:.2f}", f"{row['area_half_m2'] / 1e4:.2f}")
        for row in found.periods.to_dict(orient="records")
    ]
    print_table(("period", "villages", "area, ha", "± ha"), rows)
    changes = [
        (f"{row['from']} to {row['to']}", f"{row['gained_m2'] / 1e4:.2f}", f"{row['lost_m2'] / 1e4:.2f}",
         _rate(row["share_per_year"]), str(row["villages_new"] + row["villages_reappeared"]),
         str(row["villages_demolished"]), "yes" if row["significant"] else "no")
        for row in found.steps.to_dict(orient="records")
    ]  # fmt: skip
    print_table(("step", "gained, ha", "lost, ha", "a year", "new", "demolished", "significant"), changes)
    if len(found.corrected):
        corrected = [
            (row["of"], *(f"{row[name] / 1e4:.2f}" for name in ("mapped_m2", "area_m2", "error_m2")),
             f"{row['low_m2'] / 1e4:.2f} to {row['high_m2'] / 1e4:.2f}")
            for row in found.corrected.to_dict(orient="records")
        ]  # fmt: skip
        print_table(("corrected by the sample", "mapped, ha", "area, ha", "standard error", "95 % interval"), corrected)
    for date, row in zip(found.periods["date"], found.shifts.to_dict(orient="records"), strict=True):
        place = f"{row['east_m']:+z.1f} m east and {row['north_m']:+z.1f} m north of the first layer"
        if row["count"]:
            told = f"± {1.96 * row['error_m']:.1f} m, from {row['count']} {row['told_from']}"
            click.echo(f"{date} lay {place} ({told}).")
        elif row["told_from"] == THE_LAYER_BEFORE:
            click.echo(f"{date} has too little to tell how it lay; it was moved as the layer before, {place}.")
    for path in written:
        click.echo(f"wrote {path}")


def _rate(share: float | None) -> str:
    return "-" if share is None or math.isnan(share) else f"{share:+z.2%}"
