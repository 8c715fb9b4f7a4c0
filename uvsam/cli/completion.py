"""``uvsam completion``."""

import shutil

import click
from click.shell_completion import get_completion_class

from uvsam.cli.commands import Answer, Command

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
def command(shell: str) -> Answer:
    """Print what makes SHELL complete commands, options, files and names of models.

    \b
    Examples:
      uvsam completion bash >> ~/.bashrc
      uvsam completion zsh >> ~/.zshrc
      uvsam completion fish > ~/.config/fish/completions/uvsam.fish
    """
    from uvsam.cli.main import cli
    from uvsam.errors import SettingsError

    if shell == "bash" and shutil.which("bash") is None:
        raise SettingsError("there is no bash here, and what it needs depends on its version")
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(cli, {}, "uvsam", "_UVSAM_COMPLETE").source()
    return Answer({"shell": shell, "script": script}, lambda: click.echo(script))
