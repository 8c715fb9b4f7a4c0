"""``uvsam simulate``."""

from pathlib import Path

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import progress_display


@click.command("simulate", cls=Command)
@click.argument("out_dir", type=click.Path(file_okay=False, path_type=Path))
@click.option("--size-m", type=float, default=2000.0, show_default=True, help="Width and height of the city in metres.")
@click.option("--gsd", "gsd_m", type=float, default=0.6, show_default=True, help="Metres per pixel.")
@click.option("--periods", default="2020", show_default=True, help="Years, separated by commas; one image for each.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same city.")
@click.option("--crs", default=None, help="Projected CRS in metres.  [default: EPSG:32650]")
@click.option(
    "--villages-per-km2",
    type=float,
    default=5.5,
    show_default=True,
    help="Villages tried per square kilometre; the default covers about a sixth of the city.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def command(
    out_dir: Path,
    size_m: float,
    gsd_m: float,
    periods: str,
    seed: int,
    crs: str | None,
    villages_per_km2: float,
    overwrite: bool,
) -> Answer:
    """Make a synthetic city with exact truth.

    Writes one GeoTIFF for each period and truth.gpkg: the villages of each period, and what happened to them.

    \b
    Examples:
      uvsam simulate city/
      uvsam simulate city/ --size-m 1200 --gsd 0.6 --periods 2012,2016,2020 --seed 7
    """
    from uvsam.workflows.simulate import run_simulate

    with progress_display() as progress:
        written = run_simulate(
            out_dir, size_m=size_m, gsd_m=gsd_m, periods=periods, seed=seed, crs=crs,
            villages_per_km2=villages_per_km2, overwrite=overwrite, progress=progress,
        )  # fmt: skip
    return Answer({"files": written}, lambda: click.echo("\n".join(map(str, written))))
