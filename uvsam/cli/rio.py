"""``rio uvsam``: the same commands for those who live in rasterio's command line."""

import click


@click.command(
    "uvsam",
    short_help="Outline urban villages and informal settlements.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """What `uvsam` does with the same arguments, with its exit status and its errors."""
    from uvsam.cli.main import run

    raise SystemExit(run(arguments))
