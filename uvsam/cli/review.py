"""``uvsam review``."""

from pathlib import Path

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import progress_display


@click.command("review", cls=Command)
@click.argument("villages", type=click.Path(path_type=Path))
@click.option(
    "--image", "images", required=True, multiple=True, metavar="IMAGE",
    help="What the villages were found in: a raster, file or URL; may be repeated.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="QGIS project to write, e.g. review.qgz.")
@click.option(
    "--scores", type=click.Path(path_type=Path),
    help="Scores of the same run (predict --save-scores): also look for villages that were missed.",
)  # fmt: skip
@click.option(
    "--places", type=click.IntRange(min=1), default=100, show_default=True, help="How many places to look at."
)
@click.option("--layer", metavar="NAME", help="Layer of VILLAGES  [default: villages].")
@click.option("--overwrite", is_flag=True, help="Replace files that exist; what somebody looked at is kept.")
def command(
    villages: Path,
    images: tuple[str, ...],
    out: Path,
    scores: Path | None,
    places: int,
    layer: str | None,
    overwrite: bool,
) -> Answer:
    """Make a QGIS project to correct VILLAGES, a file of `uvsam predict`: places with the most doubtful ground first.

    Open the project, start to edit layer `corrections`, and give each place a verdict: correct, wrong, missed (a
    village without an outline) or redraw (once you drew it right). The layer is in a GeoPackage beside the project.

    \b
    Examples:
      uvsam review villages.gpkg --image city.tif --out review.qgz
      uvsam review villages.gpkg --image city.tif --out review.qgz --scores scores.tif --places 50
    """
    from uvsam.vectors.layer_files import naming
    from uvsam.workflows.review import MISSED, review

    villages = naming(villages, layer=layer) if layer else villages
    with progress_display() as progress:
        found = review(villages, images, out, scores=scores, places=places, overwrite=overwrite, progress=progress)
    kinds = found.corrections["kind"].to_numpy()[: len(found.corrections) - found.kept]
    missed = int((kinds == MISSED).sum())
    lines = [f"{len(kinds)} places to look at: {len(kinds) - missed} villages, {missed} perhaps missed."]
    if found.kept:
        lines.append(f"{found.kept} places that somebody looked at before are kept as they were.")
    files = [out, out.with_suffix(".gpkg")]
    lines += [f"wrote {path}" for path in files]
    data = {"villages": len(kinds) - missed, "perhaps_missed": missed, "kept": found.kept, "files": files}
    return Answer(data, lambda: click.echo("\n".join(lines)))
