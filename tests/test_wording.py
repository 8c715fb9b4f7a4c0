"""What is wrong with settings is said in our words, with the nearest known name."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from uvsam.cli.main import run
from uvsam.errors import UsageError
from uvsam.settings import predict_settings
from uvsam.training.config import SpecialistTraining, load_training
from uvsam.wording import nearest, shown

SOURCE = {"name": "c", "images": "i", "labels": "l"}
GIVEN = {"name": "m", "output": "o", "sources": [SOURCE]}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"stepz": 3}, "stepz: no such setting; steps?"),
        ({"network": {"archi": "fcn"}}, "network.archi: no such setting; arch?"),
        ({"sources": [{"name": "c", "image": "i", "labels": "l"}]}, "sources.0.image: no such setting; images?"),
        ({"sources": [{"name": "c"}]}, "sources.0.images: missing; it has to be given"),
        ({"sources": [SOURCE | {"labels": 3}]}, "sources.0.labels: 3 is no path"),
        ({"sources": [SOURCE | {"values": {300: "village"}}]}, "sources.0.values.300: 300 is too large; at most 255"),
        ({"sources": [SOURCE | {"values": {1: "vilage"}}]}, "'vilage'; village?"),
        ({"sources": [SOURCE | {"bounds": [1, 2, 3, 4, 5]}]}, "sources.0.bounds: 5 values; at most 4 wanted"),
        ({"steps": "abc"}, "steps: 'abc' is no whole number"),
        ({"steps": True}, "steps: true is no number"),
        ({"steps": 0}, "steps: 0 is too small; at least 1"),
        ({"steps": 10**30}, "steps: 1000000000000000000000000000000 is too large; at most 100000000"),
        ({"learning_rate": float("inf")}, "learning_rate: inf is no finite number"),
        ({"network": {"arch": "segfomer"}}, "is not one of segformer, unet, deeplabv3plus, fpn or fcn; segformer?"),
        ({"network": "fcn"}, "network: 'fcn' is no list of names and values; known are arch, encoder"),
        ({"name": 2020}, "name: 2020 is no text; put it in quotes"),
        ({"name": "my city"}, "name: 'my city' is no name of files"),
        ({"output": "a\0b"}, "output: 'a\\x00b' has a NUL character"),
        ({"seed": -1}, "seed: -1 is too small; at least 0"),
        ({2: 3}, "2: no such setting"),
    ],
)
def test_a_training_file(tmp_path: Path, fields: dict[Any, Any], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(yaml.safe_dump(GIVEN | fields))
    assert run(["train", "specialist", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {path}: ")
    assert said in error
    assert error.count("\n") == 1


def test_a_misspelt_name_is_told_before_that_it_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("nmae: m\noutput: o\nsources: [{name: c, images: i, labels: l}]\n")
    with pytest.raises(UsageError, match=r"nmae: no such setting; name[?]$"):
        load_training(SpecialistTraining, path)


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--threshold", "7", "--threshold: 7 is too large; less than 1"),
        ("--min-area", "1e400", "--min-area: inf is no finite number"),
        ("--min-area", "1e30", "--min-area: 1e+30 is too large"),
        ("--close-m", "-1", "--close-m: -1 is too small; at least 0"),
        ("--batch", "0", "--batch: 0 is too small; at least 1"),
    ],
)
def test_an_option(option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "a.tif", "--out", "b.gpkg", option, value]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {said}")
    assert error.count("\n") == 1


def test_a_keyword_of_python() -> None:
    with pytest.raises(UsageError, match=r"treshold: no such setting; threshold[?]"):
        predict_settings(treshold=0.5)
    with pytest.raises(UsageError, match="views: 3 is not one of 1, 2, 4 or 8"):
        predict_settings(views=3)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predct"], "No such command 'predct'; predict?"),
        (["train", "specialst"], "No such command 'specialst'; specialist?"),
        (["train", "my.yaml"], "No such command 'my.yaml'; known are specialist, generalist, uvsam"),
        (["models", "shw"], "No such command 'shw'; show?"),
    ],
)
def test_a_command(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words) == 2
    assert f"Error: {said}" in capsys.readouterr().err


def test_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "show", "uvsam-tny"]) == 1
    assert "no model named 'uvsam-tny'; uvsam-tiny?" in capsys.readouterr().err
    card = tmp_path / "card.yaml"
    card.write_text("name: x\ntask: specialist\nsumary: y\n")
    assert run(["models", "show", str(card)]) == 1
    assert capsys.readouterr().err == f"Error: {card}: sumary: no such setting; summary?\n"


def test_an_error_crosses_process_borders() -> None:
    error = UsageError("is too large", "steps", "t.yaml")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.setting) == ("t.yaml: steps: is too large", "steps")


def test_values_are_short_and_names_are_compared_without_case_and_dashes() -> None:
    assert len(shown("x" * 1000)) == 60
    assert shown(10**5000) == "a number of 16610 bits"
    assert nearest("MIN-AREA", ["min_area", "min_hole"]) == "min_area"
    assert nearest("zzz", ["min_area"]) is None
