"""What all commands have in common: -v, -q, --json, --config, and a result for people or for programs."""

import datetime
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import PurePath
from typing import Any, NamedTuple

import click

from uvsam.addresses import cleaned
from uvsam.cli.console import Manner, manner
from uvsam.errors import UsageError, UvsamError
from uvsam.wording import instead, shown


class Answer(NamedTuple):
    """The result of a command.

    Attributes:
        data: for programs, told with --json. Names are stable and end with their unit; see ``docs/command_line.md``.
        show: prints the same for people.
        error: raised once the result was told.
    """

    data: Mapping[str, Any]
    show: Callable[[], None]
    error: UvsamError | None = None


def tell(answer: Any) -> Any:
    """Print an answer as the user wants it; anything else is passed on."""
    if not isinstance(answer, Answer):
        return answer
    if manner().as_json:
        click.echo(json.dumps(cleaned(as_json(answer.data)), indent=2, allow_nan=False))
    else:
        answer.show()
    if answer.error is not None:
        raise answer.error
    return None


def as_json(value: Any) -> Any:
    """A value as any JSON parser takes it: null, never NaN; dates as in ISO 8601; numbers of numpy as numbers."""
    if isinstance(value, Mapping):
        return {str(key): as_json(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(part) for part in value]
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, datetime.date):
        return value.isoformat()
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _note(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value and param.name is not None:
        setattr(ctx.find_root().ensure_object(Manner), param.name, True)


def _read_config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None and not ctx.resilient_parsing:
        from uvsam.cli.config import read_config

        ctx.default_map = read_config(value, ctx.command.get_params(ctx))


MANNERS = [
    click.Option(
        ["-v", "--verbose"], is_flag=True, expose_value=False, callback=_note, help="Show the traceback of an error."
    ),
    click.Option(
        ["-q", "--quiet"], is_flag=True, expose_value=False, callback=_note, help="Show errors and results only."
    ),
    click.Option(
        ["--json", "as_json"], is_flag=True, expose_value=False, callback=_note,
        help="Print the result as one JSON document.",
    ),
]  # fmt: skip
CONFIG = click.Option(
    ["--config", "config_file"], type=click.Path(), metavar="FILE", is_eager=True, expose_value=False,
    callback=_read_config, help="YAML file of options by their names; what is typed here wins.",
)  # fmt: skip


class Command(click.Command):
    """A command whose function returns an :class:`Answer`, or nothing."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return with_habits(self, super().get_params(ctx), [CONFIG, *MANNERS])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if any(word == "" or (word.startswith("--") and word.endswith("=")) for word in args):  # as of a "$VARIABLE"
            ctx.fail("An argument is empty, and names nothing; is it a variable that was never set?")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return tell(super().invoke(ctx))
        except UsageError as error:
            options = {param.name: param.opts[0] for param in self.params if isinstance(param, click.Option)}
            if error.of or error.setting not in options:
                raise
            raise UsageError(error.what, options[error.setting]) from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return with_habits(self, super().get_params(ctx), MANNERS)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(f"No such command {shown(args[0])}{instead(args[0], known)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        return tell(super().invoke(ctx))


def with_habits(
    command: click.Command, params: Sequence[click.Parameter], habits: Sequence[click.Parameter]
) -> list[click.Parameter]:
    """The parameters of a command with those that all have before the last ones, --version and --help."""
    own = len(command.params)
    return [*params[:own], *habits, *params[own:]]


class LazyCommand(NamedTuple):
    """Where a command is (``module:attribute``) and the line that describes it in the help."""

    target: str
    help: str


class LazyGroup(Group):
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
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.lazy_commands.items()])
