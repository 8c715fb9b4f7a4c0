"""The documentation says what is: links lead somewhere, commands and options exist, training files load."""

import re
import shlex
from itertools import chain
from pathlib import Path

import click
import pytest

from uvsam.cli.main import cli
from uvsam.training.config import (
    Augmentation,
    GeneralistTraining,
    Source,
    SpecialistTraining,
    UvSamTraining,
    Validation,
    load_training,
)
from uvsam.vectors.schema import COVERAGE, VILLAGES

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOR_USERS = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]
PAGES = [*FOR_USERS, ROOT / "CONTRIBUTING.md"]

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
COMMAND_LINE = re.compile(r"^(?: {4,})?(uvsam .*?)(?:  #.*)?$", re.MULTILINE)
YAML_BLOCK = re.compile(r"^```yaml\n# (\S+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_point_to_files_that_exist(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that ``words`` (without ``uvsam``) call, and what is left for it."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    return command, words


def check(line: str) -> None:
    """A command line as click sees it; a bare command, as in running text, has to exist only."""
    command, rest = find_command(shlex.split(line)[1:])
    try:
        if rest:
            command.make_context(command.name, rest)
    except click.exceptions.Exit:  # --help and --version end here
        pass
    except click.ClickException as error:
        pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_can_be_typed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    inline = [code for code in INLINE.findall(text) if code.startswith("uvsam ")]
    for line in chain(COMMAND_LINE.findall(text), inline):
        check(line)


@pytest.mark.parametrize("line", ["uvsam predict", "uvsam train specialist", "uvsam evaluate"])
def test_a_command_that_moved_would_be_seen(line: str) -> None:
    check(line)
    with pytest.raises(pytest.fail.Exception):
        check(f"{line} --no-such-option")


def options(command: click.Command) -> set[str]:
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            own |= options(found)
    return own | {"--help"}


@pytest.mark.parametrize("page", FOR_USERS, ids=name_of)
def test_options_in_the_text_exist(page: Path) -> None:
    codes = INLINE.findall(page.read_text(encoding="utf-8"))
    named = {code.split()[0].split("=")[0] for code in codes if code.startswith("--")}
    assert named <= options(cli)


def test_training_files_in_the_text_load(tmp_path: Path) -> None:
    files = YAML_BLOCK.findall((DOCS / "train_on_your_labels.md").read_text(encoding="utf-8"))
    assert len(files) >= 2
    for name, text in files:
        (tmp_path / name).write_text(text, encoding="utf-8")
    for name, _ in files:
        load_training(UvSamTraining if name == "whole.yaml" else SpecialistTraining, tmp_path / name)


def test_every_training_setting_is_explained_with_its_default() -> None:
    text = (DOCS / "train_on_your_labels.md").read_text(encoding="utf-8")
    for model in (SpecialistTraining, GeneralistTraining, UvSamTraining, Source, Validation, Augmentation):
        for name, field in model.model_fields.items():
            assert re.search(rf"`{name}[`:.]", text), f"{name} of {model.__name__} is not explained"
            if isinstance(field.default, int | float) and not isinstance(field.default, bool):
                said = re.search(rf"`{name}`[^\n]*?\b{field.default:g}\b", text)
                assert said, f"{name} is {field.default:g} by default"


def test_every_column_of_the_result_is_explained() -> None:
    text = (DOCS / "reading_the_result.md").read_text(encoding="utf-8")
    for layer in (VILLAGES, COVERAGE):
        assert f"## Layer `{layer.name}`" in text
        section = text.split(f"## Layer `{layer.name}`")[1].split("\n## ")[0]
        assert all(f"`{column}`" in section for column in layer.columns)
