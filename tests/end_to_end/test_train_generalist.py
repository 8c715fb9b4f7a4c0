"""Training a small generalist through the command line."""

from pathlib import Path

import geopandas as gpd
import pytest
import yaml
from safetensors.torch import load_file

from uvsam.catalog.generalists import load_generalist_card
from uvsam.cli.main import run


@pytest.fixture
def training(city: Path, tmp_path: Path) -> Path:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth[truth["period"] == 2020].to_file(tmp_path / "labels.gpkg")
    fields = {
        "name": "small", "output": str(tmp_path / "run"), "gsd_m": 0.6, "crop_px": 512,
        "sources": [{"name": "c", "images": str(city / "city_2020.tif"), "labels": str(tmp_path / "labels.gpkg")}],
        "steps": 2, "steps_per_epoch": 1, "batch": 1, "masks": 1, "precision": "32",
        "validation": {"share": 0.2, "block_m": 150, "samples": 1},
    }  # fmt: skip
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def test_a_generalist_is_trained_resumed_and_described(training: Path, tmp_path: Path) -> None:
    assert run(["train", "generalist", str(training), "--steps", "1"]) == 0
    half = load_generalist_card(tmp_path / "run" / "small.yaml")
    assert run(["train", "generalist", str(training)]) == 0
    card = load_generalist_card(tmp_path / "run" / "small.yaml")
    assert card.window_m == pytest.approx(307.2)
    assert card.encoder == "tiny"
    assert len(card.quality) == 2
    assert card.sha256 != half.sha256
    assert card.weights is not None
    weights = load_file(tmp_path / "run" / card.weights)
    parts = {name.split(".")[0] for name in weights}
    assert parts == {"image_encoder", "prompt_encoder", "mask_decoder"}


def test_weights_of_another_encoder_are_one_line(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = yaml.safe_load(training.read_text()) | {"encoder_weights": str(tmp_path / "none.pth")}
    training.write_text(yaml.safe_dump(fields))
    assert run(["train", "generalist", str(training)]) == 1
    assert "encoder_weights" in capsys.readouterr().err


def test_sources_of_another_file_can_be_taken(training: Path, tmp_path: Path) -> None:
    from uvsam.training.config import GeneralistTraining, load_training

    whole = load_training(GeneralistTraining, training)
    other = tmp_path / "other.yaml"
    other.write_text("name: other\noutput: run\nsources: small.yaml\n")
    assert load_training(GeneralistTraining, other).sources == whole.sources
    other.write_text("name: other\noutput: run\nsources: [small.yaml, {name: more, images: i, labels: l}]\n")
    assert [source.name for source in load_training(GeneralistTraining, other).sources[:-1]] == [
        source.name for source in whole.sources
    ]
    assert load_training(GeneralistTraining, other).sources[-1].name == "more"
