"""The pages of the documentation, and what stands in them."""

import re
from pathlib import Path

import click

from uvsam.cli.main import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOR_USERS = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [*FOR_USERS, ROOT / "CONTRIBUTING.md"]

COMMAND_LINE = re.compile(r"^(?: {4,})?(uvsam .*?)(?:  #.*)?$", re.MULTILINE)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
YAML_BLOCK = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that ``words`` (without ``uvsam``) call, and what is left for it."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    return command, words


def write_yaml(page: Path, folder: Path) -> list[str]:
    """Write the YAML files that a page shows, and return their names."""
    files = YAML_BLOCK.findall(page.read_text(encoding="utf-8"))
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    return [name for name, _ in files]
