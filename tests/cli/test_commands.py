"""What all commands have in common: help with examples and units, --json, --config, completion in a shell."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import geopandas
import pytest
import rasterio
import shapely

from tests.cli.command_page import documented
from uvsam.cli.commands import Answer, Command, Group, as_json
from uvsam.cli.main import cli, run

UNITS = re.compile(r"[Mm]etres|kilometre|m²|0 to 1")


def tree(command: click.Command, path: str = "uvsam") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from tree(found, f"{path} {name}")


COMMANDS = dict(tree(cli))


@pytest.mark.parametrize("path", COMMANDS)
def test_help_has_examples_that_name_the_command_and_explains_every_option_with_its_unit(path: str) -> None:
    command = COMMANDS[path]
    said = f"{command.help}\n{command.epilog}"
    assert re.search(rf"^ *Examples?:\n +{path}", said, re.MULTILINE)
    context = click.Context(command, info_name=path)
    for option in command.get_params(context):
        if isinstance(option, click.Option):
            assert option.help, f"{option.opts} is not explained"
            if isinstance(option.type, click.types.FloatParamType):
                assert UNITS.search(option.help), f"{option.opts} has no unit: {option.help}"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_has_the_habits_of_all(path: str) -> None:
    command = COMMANDS[path]
    assert isinstance(command, Group if isinstance(command, click.Group) else Command)
    names = {name for param in command.get_params(click.Context(command)) for name in param.opts}
    assert {"--json", "--quiet", "--verbose"} <= names
    if isinstance(command, Command):
        assert "--config" in names
        assert command.callback is not None
        assert command.callback.__annotations__["return"] in (Answer, Answer | None)


def answer(capfd: pytest.CaptureFixture[str], *args: str | Path) -> dict[str, Any]:
    """What a command prints with --json: one document and nothing else."""
    assert run([*map(str, args), "--json"]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    return found


def ground_of(city: Path, folder: Path) -> Path:
    """All that the images of the city show, as a file of polygons."""
    with rasterio.open(city / "city_2020.tif") as image:
        ground = geopandas.GeoDataFrame(geometry=[shapely.box(*image.bounds)], crs=image.crs)
    ground.to_file(folder / "ground.gpkg")
    return folder / "ground.gpkg"


def test_json_has_the_documented_names_and_nothing_else(
    city: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    truth, year, ground = city / "truth.gpkg", "period = 2020", ground_of(city, tmp_path)
    told = {
        "simulate": answer(capfd, "simulate", tmp_path / "city", "--size-m", "300"),
        "info": answer(capfd, "info", city / "city_2020.tif"),
        "evaluate": answer(capfd, "evaluate", truth, truth, "--where", year, "--truth-where", year),
        "sample": answer(capfd, "sample", truth, "--out", tmp_path / "sample.gpkg", "--aoi", ground),
        "trends": answer(capfd, "trends", truth, "--out", tmp_path / "trends.gpkg", "--no-align"),
        "models list": answer(capfd, "models"),
        "models verify": answer(capfd, "models", "verify", "uvsam-specialist"),
        "completion": answer(capfd, "completion", "zsh"),
    }
    for command, found in told.items():
        assert set(found) == documented(command), command
    assert told["models list"] == answer(capfd, "models", "list")
    assert told["simulate"]["files"] == [str(tmp_path / "city" / name) for name in ("city_2020.tif", "truth.gpkg")]
    assert [row["date"][:4] for row in told["trends"]["periods"]] == ["2016", "2020"]
    assert answer(capfd, "models", "show", "uvsam-tiny")["name"] == "uvsam-tiny"


def test_json_of_a_failed_check_is_told_before_the_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "models", "verify", "mobile-sam", "-q"]) == 1
    said = capfd.readouterr()
    assert [model["right"] for model in json.loads(said.out)["models"]] == [False]
    assert said.err.count("\n") == 1


def test_json_of_an_error_is_the_line_and_the_status_without_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "nowhere.tif", "--json"]) == 1
    assert capfd.readouterr() == ("", "Error: nowhere.tif does not exist\n")


def test_json_has_null_where_there_is_no_number() -> None:
    assert as_json({"a": [float("nan"), 1.5], "b": Path("x") / "y"}) == {"a": [None, 1.5], "b": "x/y"}


def config(folder: Path, text: str) -> Path:
    path = folder / "options.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("dash", ["-", "_"])
def test_a_file_of_options_is_as_if_they_were_typed(
    city: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], dash: str
) -> None:
    image = city / "city_2020.tif"
    options = config(tmp_path, f"bands: [3, 2, 1]\ndate: 2020-05-17\nallow{dash}ungeoreferenced: true\njson: true\n")
    assert run(["info", str(image), "--config", str(options)]) == 0
    found = json.loads(capfd.readouterr().out)
    assert (found["bands"], found["acquired"]) == ([3, 2, 1], "2020-05-17")
    assert answer(capfd, "info", image, "--config", options, "--bands", "1,2,3")["bands"] == [1, 2, 3]


def test_options_that_are_required_or_repeated_can_stand_in_the_file(
    city: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out, truth = tmp_path / "sample.gpkg", str(city / "truth.gpkg")
    options = config(tmp_path, f"out: {out}\naoi: {ground_of(city, tmp_path)}\nplaces: 100\nleast: 5\ndates:\n")
    assert answer(capfd, "sample", truth, "--config", options)["files"] == [str(out)]
    options = config(tmp_path, "truth-value: [6, 7]\n")
    assert run(["evaluate", truth, truth, "--config", str(options)]) == 2
    assert "--truth-value" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("treshold: 0.5", "'treshold' is no option; threshold?"),
        ("config: other.yaml", "'config' is no option"),
        ("threshold: 0.5\n--threshold: 0.6", "'--threshold' stands there twice"),
        ("threshold: {low: 0.5}", "'threshold' needs a value"),
        ("- threshold", "one option a line"),
        ("threshold: [", "is not a YAML file (line 2: "),
        ("!!python/object/apply:os.system ['true']", "is not a YAML file"),
    ],
)
def test_a_wrong_file_of_options_is_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert run(["predict", "a.tif", "--out", "b.gpkg", "--config", str(config(tmp_path, text + "\n"))]) == 2
    error = capfd.readouterr().err
    assert error.startswith(f"Error: {tmp_path}")
    assert said in error
    assert error.count("\n") == 1


def test_a_value_in_the_file_is_checked_as_one_that_is_typed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for text in ("threshold: yes", "views: 3", "date: 20x0"):
        assert run(["predict", "a.tif", "--out", "b.gpkg", "--config", str(config(tmp_path, text))]) == 2
        assert "Invalid value for '--" in capfd.readouterr().err


def complete(*words: str) -> list[str]:
    """What bash is told when the last word is completed, as ``type,value``; torch is never imported for it."""
    code = "import sys; from uvsam.__main__ import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"
    env = os.environ | {
        "_UVSAM_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["uvsam", *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_a_shell_completes_commands_options_models_and_files() -> None:
    assert complete("pre") == ["plain,predict"]
    assert complete("train", "gen") == ["plain,generalist"]
    assert complete("predict", "--min") == ["plain,--min-area", "plain,--min-hole-m2"]
    assert complete("predict", "city.tif", "--model", "uvsam-t") == ["plain,uvsam-tiny"]
    assert complete("models", "show", "mobile") == ["plain,mobile-sam"]
    assert complete("predict", "city.tif", "--model", "runs/my") == ["file,runs/my"]
    assert complete("predict", "cit") == ["file,cit"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_switched_on(shell: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0
    assert "_UVSAM_COMPLETE" in capfd.readouterr().out
