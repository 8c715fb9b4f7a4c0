"""``uvsam sample``."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import print_table
from uvsam.cli.trends import parse_dates


@click.command("sample", cls=Command)
@click.argument("layers", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="GeoPackage to write, e.g. sample.gpkg.")
@click.option("--places", type=click.IntRange(min=1), default=400, show_default=True, help="Places in all.")
@click.option("--least", type=click.IntRange(min=2), default=50, show_default=True, help="Places in each stratum.")
@click.option("--aoi", type=click.Path(path_type=Path), help="Polygon file; draw only inside.")
@click.option(
    "--layer", metavar="NAME",
    help="Layer to read of files that have several polygon layers  [default: villages, or the only one].",
)  # fmt: skip
@click.option(
    "--dates", metavar="D,D", callback=parse_dates, help="Year or day of each file [default: what it says].",
)  # fmt: skip
@click.option("--seed", type=int, default=0, show_default=True, help="Another number, other places.")
@click.option("--overwrite", is_flag=True, help="Replace a file that exists; what is filled in is kept.")
def command(layers: tuple[Path, ...], out: Path, layer: str | None, **given: Any) -> Answer:
    """Draw places at random from one of LAYERS, or from two of different dates, to see how right they are.

    Open the result in QGIS over the images, write what is really there into column `truth` of every place (village or
    other; for two layers kept, gained, lost or other), and hand it to `uvsam trends --reference`.

    \b
    Example:
      uvsam sample 2012.gpkg 2020.gpkg --out sample.gpkg --places 500
    """
    from uvsam.workflows.sampling import sample
    from uvsam.workflows.trend_images import of_layer

    chosen = {name: value for name, value in given.items() if value is not None}
    strata = sample(of_layer(layers, layer), out, **chosen)
    rows = strata.to_dict(orient="records")
    return Answer({"strata": rows, "files": [out]}, partial(_summarise, rows, out))


def _summarise(strata: Sequence[Mapping[Any, Any]], out: Path) -> None:
    rows = [(row["stratum"], f"{row['area_m2'] / 1e4:.2f}", str(row["places"])) for row in strata]
    print_table(("stratum", "area, ha", "places"), rows)
    kept = sum(row["answered"] for row in strata)
    if kept:
        click.echo(f"{kept} places that were filled in before keep their truth.")
    click.echo(f"wrote {out}; fill in column truth of layer sample: {', '.join(row[0] for row in rows)}")
