"""The documentation says what is: links lead somewhere, commands and options exist, files load, code runs."""

import contextlib
import re
import shlex
import shutil
from itertools import chain, takewhile
from pathlib import Path
from typing import Any

import click
import pytest

from tests.pages import BLOCK, COMMAND_LINE, DOCS, FOR_USERS, PAGES, find_command, name_of, write_yaml
from uvsam.cli.errors import EXIT_STATUS
from uvsam.cli.main import cli, run
from uvsam.training.config import (
    Augmentation,
    GeneralistTraining,
    Source,
    SpecialistTraining,
    UvSamTraining,
    Validation,
    load_training,
)
from uvsam.vectors.geopackage import read_run
from uvsam.vectors.schema import COVERAGE, VILLAGES

LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
GENERATED = re.compile(r'"(\S+\.md)": \w+_page\(\)')  # by docs/hooks.py


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_point_to_files_that_exist(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    made = {(DOCS / name).resolve() for name in GENERATED.findall((DOCS / "hooks.py").read_text(encoding="utf-8"))}
    paths = {target: (page.parent / target).resolve() for target in targets}
    missing = [target for target, path in paths.items() if not path.exists() and path not in made]
    assert not missing


def check(line: str) -> None:
    """A command line as click sees it; a bare command, as in running text, has to exist only."""
    words = list(takewhile(lambda word: word not in {">", ">>", "|"}, shlex.split(line)))
    command, rest = find_command(words[1:])
    try:
        if rest:
            command.make_context(command.name, rest)
    except click.exceptions.Exit:  # --help and --version end here
        pass
    except click.ClickException as error:
        pytest.fail(f"{line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_can_be_typed(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    write_yaml(DOCS / "command_line.md", tmp_path)
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
    params = command.get_params(click.Context(command))
    own = {name for param in params for name in (*param.opts, *param.secondary_opts)}
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


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_kind_that_is_tested_here(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert {language for language, _ in BLOCK.findall(text)} <= {"python", "sh", "yaml"}
    assert text.count("```") == 2 * len(BLOCK.findall(text))


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the first map of the start page was made, command by command; others call its image city.tif."""
    folder = tmp_path_factory.mktemp("town")
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    lines = COMMAND_LINE.findall(text.split("## A first map")[1].split("\n## ")[0])
    assert len(lines) == 5
    with contextlib.chdir(folder):
        for line in lines:
            assert run(shlex.split(line)[1:]) == 0, line
    return folder


def test_the_first_map_of_the_start_page_is_made(town: Path) -> None:
    assert all((town / name).stat().st_size for name in ("trends.gpkg", "trends.html", "villages.gpkg", "villages.png"))
    assert read_run(town / "villages.gpkg")["inputs"] == '["city/city_2020.tif"]'


WITH_PYTHON = [page for page in PAGES if "```python" in page.read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=name_of)
def test_python_in_a_page_runs_from_top_to_bottom(page: Path, town: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(town)
    shutil.copy("city/city_2020.tif", "city.tif")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    blocks = [code for language, code in BLOCK.findall(page.read_text(encoding="utf-8")) if language == "python"]
    for number, code in enumerate(blocks, start=1):
        exec(compile(code, f"{name_of(page)}, Python block {number}", "exec"), namespace)


def test_the_file_of_options_in_the_text_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (name,) = write_yaml(DOCS / "command_line.md", tmp_path)
    command, _ = find_command(["predict"])
    params = command.make_context("predict", ["a.tif", "--out", "b.gpkg", "--config", name]).params
    assert (params["bands"], params["min_area_m2"], params["overwrite"]) == ((4, 3, 2), 5000, True)


def test_every_exit_status_is_explained() -> None:
    text = (DOCS / "command_line.md").read_text(encoding="utf-8").split("## Exit status")[1].split("\n## ")[0]
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == sorted(EXIT_STATUS)


def test_training_files_in_the_text_load(tmp_path: Path) -> None:
    files = write_yaml(DOCS / "train_on_your_labels.md", tmp_path)
    assert len(files) >= 2
    for name in files:
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
