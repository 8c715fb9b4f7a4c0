"""The ``uvsam`` command. Its commands are imported only when they run, so that the help answers at once."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple, NoReturn

import click

import uvsam
from uvsam.cli.console import Verbosity, open_missing_streams
from uvsam.cli.errors import report, show_warnings_in_one_line, take_sigterm_for_an_interruption
from uvsam.raster.trust import NEVER


class LazyCommand(NamedTuple):
    """Where a command is (``module:attribute``) and the line that describes it in the help."""

    target: str
    help: str


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def __init__(self, *args: Any, lazy_commands: Mapping[str, LazyCommand], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lazy_commands = lazy_commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy_commands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.lazy_commands:
            return None
        module, attribute = self.lazy_commands[cmd_name].target.split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return with_verbosity(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.lazy_commands.items()])


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Verbosity) and param.name is not None:
        setattr(ctx.obj, param.name, True)


def with_verbosity(command: click.Command) -> click.Command:
    """Let ``command`` take -v and -q too: people write them after the command's name as often as before it."""
    taken = {name for param in command.params for name in param.opts}
    options = (
        (("-v", "--verbose"), "Show the traceback of an error."),
        (("-q", "--quiet"), "Show errors and results only."),
    )
    for names, text in options:
        if not taken.intersection(names):
            command.params.append(
                click.Option(names, is_flag=True, help=text, expose_value=False, callback=_set_verbosity)
            )
    return command


TRAIN_COMMANDS = {
    "specialist": LazyCommand("uvsam.cli.train:specialist", "Train the network that finds villages, on your labels."),
    "generalist": LazyCommand("uvsam.cli.train:generalist", "Train a small network that sharpens outlines."),
    "uvsam": LazyCommand("uvsam.cli.train:uvsam", "Train a specialist together with a network that sharpens outlines."),
}

train = LazyGroup("train", lazy_commands=TRAIN_COMMANDS, help="Train a model on your own labels.", no_args_is_help=True)

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
}

cli = LazyGroup(
    "uvsam",
    lazy_commands=COMMANDS,
    help="Outlines of urban villages and informal settlements from satellite images.",
    epilog="Start with: uvsam predict city.tif --out villages.gpkg",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
cli = click.version_option(uvsam.__version__, prog_name="uvsam", message="%(prog)s %(version)s")(cli)
with_verbosity(cli)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line with ``args`` (default: the process's own) and return the exit status."""
    verbosity = Verbosity()
    try:
        status = cli.main(args, prog_name="uvsam", standalone_mode=False, obj=verbosity)
        sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        return report(error, verbose=verbosity.verbose)
    return status if isinstance(status, int) else 0


def main() -> NoReturn:
    """Entry point of the ``uvsam`` command."""
    open_missing_streams()
    os.environ.update(NEVER)  # also for processes that we start, and for the GDAL that reads vector files
    show_warnings_in_one_line()
    take_sigterm_for_an_interruption()
    sys.exit(run())
