"""The ``uvsam`` command. Its commands are imported only when they run, so that the help answers at once."""

import sys
from collections.abc import Sequence

import click

import uvsam
from uvsam.cli.commands import LazyCommand, LazyGroup
from uvsam.cli.console import Manner
from uvsam.cli.errors import EXIT_STATUS, report
from uvsam.errors import SettingsError

TRAIN_COMMANDS = {
    "specialist": LazyCommand("uvsam.cli.train:specialist", "Train the network that finds villages, on your labels."),
    "generalist": LazyCommand("uvsam.cli.train:generalist", "Train a small network that sharpens outlines."),
    "uvsam": LazyCommand("uvsam.cli.train:uvsam", "Train a specialist together with a network that sharpens outlines."),
}

train = LazyGroup(
    "train",
    lazy_commands=TRAIN_COMMANDS,
    help="""Train a model on your own labels.

    \b
    Example:
      uvsam train specialist my.yaml
    """,
    no_args_is_help=True,
)

COMMANDS = {
    "predict": LazyCommand("uvsam.cli.predict:command", "Outline the villages of an image."),
    "info": LazyCommand("uvsam.cli.info:command", "Describe an image, and what predict would need for it."),
    "trends": LazyCommand("uvsam.cli.trends:command", "Tell what happened to the villages of several dates."),
    "sample": LazyCommand("uvsam.cli.sample:command", "Draw places to look at, to correct areas by what is there."),
    "review": LazyCommand("uvsam.cli.review:command", "Make a QGIS project to correct the most doubtful places."),
    "evaluate": LazyCommand("uvsam.cli.evaluate:command", "Compare outlines with the truth."),
    "train": LazyCommand("uvsam.cli.main:train", "Train a model on your own labels."),
    "simulate": LazyCommand("uvsam.cli.simulate:command", "Make images of a city whose villages are known exactly."),
    "models": LazyCommand("uvsam.cli.models:command", "List the models that can be used."),
    "completion": LazyCommand("uvsam.cli.completion:command", "Print what lets a shell complete commands and names."),
}


def _epilog() -> str:
    statuses = "\n".join(f"  {status:>3}  {text}" for status, text in EXIT_STATUS.items())
    return (
        "\b\nExamples:\n  uvsam predict city.tif --out villages.gpkg\n  uvsam info city.tif --json\n\n"
        f"\b\nExit status:\n{statuses}"
    )


cli = LazyGroup(
    "uvsam",
    lazy_commands=COMMANDS,
    help="Outlines of urban villages and informal settlements from satellite images.",
    epilog=_epilog(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
cli = click.version_option(uvsam.__version__, prog_name="uvsam", message="%(prog)s %(version)s")(cli)


def _check_utf8(args: Sequence[str]) -> None:
    """GDAL, JSON and tables take names in UTF-8 only, those of inputs as those of results."""
    for arg in args:
        try:
            arg.encode()
        except UnicodeEncodeError as error:
            raise SettingsError(f"{arg!a} is not UTF-8; rename the file") from error


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line with ``args`` (default: the process's own) and return the exit status."""
    manner = Manner()
    try:
        _check_utf8(sys.argv[1:] if args is None else args)
        status = cli.main(args, prog_name="uvsam", standalone_mode=False, obj=manner)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return report(error, verbose=manner.verbose)
    return status if isinstance(status, int) else 0
