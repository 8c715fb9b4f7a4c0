"""Training a whole UV-SAM model through the command line: start, go on, load."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from uvsam.catalog.cards import file_sha256, load_card
from uvsam.catalog.generalists import load_generalist_card
from uvsam.catalog.uvsam import load_uvsam_card
from uvsam.cli.main import run
from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.specialist import ModelRecipe
from uvsam.models.uvsam import load_uvsam, load_uvsam_specialist
from uvsam.vectors.geopackage import read_run


@pytest.fixture(scope="module")
def generalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a generalist with random weights; they lie beside it."""
    folder = tmp_path_factory.mktemp("generalist")
    torch.manual_seed(0)
    network = GeneralistNetwork(ENCODERS["tiny"].build(), 64)
    weights = folder / "g.safetensors"
    save_file({name: value.half().contiguous() for name, value in network.state_dict().items()}, weights)
    card = {
        "name": "g", "task": "generalist", "summary": "random", "encoder": "tiny", "window_m": 307.2,
        "weights": weights.name, "sha256": file_sha256(weights), "licence": "none",
    }  # fmt: skip
    (folder / "g.yaml").write_text(yaml.safe_dump(card))
    return folder / "g.yaml"


@pytest.fixture
def training(city: Path, generalist: Path, tmp_path: Path) -> Path:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth[truth["period"] == 2020].to_file(tmp_path / "labels.gpkg")
    fields = {
        "name": "whole", "output": str(tmp_path / "run"), "gsd_m": 0.6, "crop_px": 512, "generalist": str(generalist),
        "network": {"arch": "segformer", "encoder": "tf_efficientnet_lite0", "decoder_channels": 16},
        "sources": [{"name": "c", "images": str(city / "city_2020.tif"), "labels": str(tmp_path / "labels.gpkg"),
                     "village_share": 1}],
        "augmentation": {"scale": 1, "rotate": 0, "colour": 0, "degrade": 0, "grey": 0}, "truth_prompts": 1,
        "steps": 2, "steps_per_epoch": 1, "batch": 1, "prompts": 1, "precision": "32",
        "validation": {"share": 0.2, "block_m": 150, "samples": 1},
    }  # fmt: skip
    path = tmp_path / "whole.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def change(path: Path, **fields: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))


def test_a_model_is_trained_resumed_and_loaded(
    training: Path, generalist: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card_path = tmp_path / "run" / "whole.yaml"
    assert run(["train", "uvsam", str(training), "--steps", "1"]) == 0
    half = load_uvsam_card(card_path)
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert not any("generalist" in name or "image_encoder" in name for name in checkpoint["state_dict"])
    capsys.readouterr()

    assert run(["train", "uvsam", str(training)]) == 0
    said = capsys.readouterr().out
    assert "embeddings: " in said
    assert str(card_path) in said
    card = load_uvsam_card(card_path)
    assert card.sha256 != half.sha256
    assert (card.generalist.encoder, card.generalist.decoder_mlp) == ("tiny", 64)
    assert card.generalist.window_m == pytest.approx(307.2)
    assert [quality.measure for quality in card.quality] == [
        "pixel IoU of the specialist alone", "pixel IoU of both models",
    ]  # fmt: skip

    weights = load_file(tmp_path / "run" / card.weights)
    assert {name.split(".")[0] for name in weights} == {"specialist", "mixer", "generalist"}
    specialist, mixer, loaded = load_uvsam(ModelRecipe(card_path))
    assert specialist.scores(torch.rand(1, 3, 64, 64) * 255, torch.ones(1, 64, 64, dtype=torch.bool)).shape == (
        1,
        64,
        64,
    )
    assert mixer(torch.zeros(1, 2, 256), torch.zeros(256), torch.zeros(16)).shape == (1, 2, 256)
    given = load_file(generalist.with_suffix(".safetensors"))
    for name, value in loaded.network.state_dict().items():
        assert torch.equal(value, given[name].to(value.dtype)), name

    assert run(["models", "show", str(card_path)]) == 0
    assert "sharpened by" in capsys.readouterr().out
    assert run(["models", "verify", str(card_path)]) == 0


def test_a_whole_model_predicts_as_its_card_says(training: Path, generalist: Path, city: Path, tmp_path: Path) -> None:
    change(
        training,
        steps=1,
        validation={"share": 0},
        without=["mask"],
        fuse="nudge",
        generalist_views=2,
        min_prompt_m2=50.0,
    )
    assert run(["train", "uvsam", str(training)]) == 0
    card_path, image = tmp_path / "run" / "whole.yaml", str(city / "city_2020.tif")
    low = ["--threshold", "0.01", "--seed-threshold", "0.01"]  # it knows nothing yet

    def facts(name: str, *options: str) -> dict[str, str]:
        out = tmp_path / f"{name}.gpkg"
        assert run(["predict", image, "--out", str(out), "--model", str(card_path), *low, *options]) == 0
        return read_run(out)

    own = facts("own")
    assert (own["sam"], own["fuse"], own["window_m"]) == ("whole", "nudge", "307.2")
    assert (own["sam_views"], own["min_prompt_m2"]) == ("2", "50.0")
    assert own["sam_sha256"] == own["model_sha256"] == load_uvsam_card(card_path).sha256
    assert (json.loads(own["prompts"])["use_box"], json.loads(own["prompts"])["use_mask"]) == (True, False)
    assert json.loads(own["refined"])["refined"] > 0

    other = facts("other", "--sam", str(generalist), "--fuse", "sam")
    assert (other["sam"], other["fuse"], other["sam_views"]) == (str(generalist), "sam", "1")
    assert other["sam_sha256"] == load_generalist_card(generalist).sha256
    assert json.loads(other["prompts"])["use_mask"]


def test_a_generalist_from_elsewhere_is_named_and_not_copied(training: Path, generalist: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.safetensors"
    shutil.copy(generalist.with_suffix(".safetensors"), elsewhere)
    change(training, generalist=str(elsewhere), steps=1, validation={"share": 0})
    assert run(["train", "uvsam", str(training)]) == 0
    card = load_uvsam_card(tmp_path / "run" / "whole.yaml")
    assert card.generalist.encoder is None
    assert {name.split(".")[0] for name in load_file(tmp_path / "run" / card.weights)} == {"specialist", "mixer"}
    _, _, loaded = load_uvsam(ModelRecipe(tmp_path / "run" / "whole.yaml"))
    assert loaded.input_px == 512
    elsewhere.unlink()
    with pytest.raises(CatalogError, match="elsewhere"):
        load_uvsam(ModelRecipe(tmp_path / "run" / "whole.yaml"))
    assert load_uvsam_specialist(ModelRecipe(tmp_path / "run" / "whole.yaml")).card.name == "whole"  # for --sam OTHER


def test_it_starts_from_a_specialist_and_keeps_how_that_is_used(training: Path, tmp_path: Path) -> None:
    fields = yaml.safe_load(training.read_text())
    own = {name: fields[name] for name in ("sources", "network", "precision")} | {
        "name": "s", "output": str(tmp_path / "s"), "crop_px": 64, "gsd_m": 0.75, "steps": 1, "steps_per_epoch": 1,
        "batch": 2, "validation": {"share": 0},
    }  # fmt: skip
    first = tmp_path / "specialist.yaml"
    first.write_text(yaml.safe_dump(own))
    assert run(["train", "specialist", str(first)]) == 0
    card = yaml.safe_load((tmp_path / "s" / "s.yaml").read_text())
    card["calibration"] = {"temperature": 1.5, "threshold": 0.3, "seed_threshold": 0.6}
    (tmp_path / "s" / "s.yaml").write_text(yaml.safe_dump(card))
    del fields["network"]
    fields |= {
        "specialist": str(tmp_path / "s" / "s.yaml"),
        "learning_rate": 1e-9,
        "validation": {"share": 0},
        "steps": 1,
    }
    training.write_text(yaml.safe_dump(fields))
    assert run(["train", "uvsam", str(training)]) == 0
    result = load_uvsam_card(tmp_path / "run" / "whole.yaml")
    assert result.calibration.temperature == 1.5
    assert result.network.decoder_channels == 16
    assert result.gsd_m == 0.75  # and the generalist looks at 0.6 m
    assert result.generalist.window_m == pytest.approx(307.2)
    before = load_file(tmp_path / "s" / "s.safetensors")
    after = load_file(tmp_path / "run" / "whole.safetensors")
    name = "segmentation_head.0.weight"
    torch.testing.assert_close(after[f"specialist.{name}"], before[name], atol=1e-3, rtol=0)


def test_tiles_that_took_no_part_are_judged_in_the_end(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = yaml.safe_load(training.read_text())
    del fields["network"]
    training.write_text(yaml.safe_dump(fields))
    change(
        training, specialist="uvsam-specialist", classes=list(load_card().classes), learning_rate=1e-9, steps=1,
        validation={"share": 0}, tests=[fields["sources"][0] | {"name": "elsewhere"}],
    )  # fmt: skip
    assert run(["train", "uvsam", str(training)]) == 0
    quality = {
        item.measure: item.value
        for item in load_uvsam_card(tmp_path / "run" / "whole.yaml").quality
        if "elsewhere" in item.tested_on
    }
    assert quality["pixel IoU of the specialist alone"] > 0.7  # the model that knows such cities
    assert quality["pixel IoU of both models"] < quality["pixel IoU of the specialist alone"]  # a generalist of noise
    assert 0 < quality["F1 of contours by the paper's rule of the specialist alone"] <= 1
    said = capsys.readouterr().out
    assert f"pixel IoU of the specialist alone: {quality['pixel IoU of the specialist alone']:.3f}" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"crop_px": 256}, "crop_px: must be 512"),
        ({"generalist": "nowhere.yaml"}, "no model card at nowhere.yaml"),
        ({"tests": [{"name": "t", "images": "i", "labels": "l", "values": {1: "slum"}}]}, "unknown classes"),
        ({"without": ["box", "mask"]}, "a prompt needs its box or its mask"),
        ({"specialist": "uvsam-specialist"}, "brings its own network"),
        ({"specialist": "uvsam-specialist", "chip_px": 512}, "brings its own chip_px"),
        ({"legacy": True}, "legacy needs two classes and a crop_px of 1024"),
    ],
)
def test_what_cannot_be_trained_is_one_line(
    training: Path, fields: dict[str, object], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(training, **fields)
    assert run(["train", "uvsam", str(training)]) == (1 if "generalist" in fields else 2)
    errors = capsys.readouterr().err.strip().splitlines()
    assert said in errors[-1]


def test_a_part_is_no_whole_model() -> None:
    with pytest.raises(CatalogError, match="'uvsam-specialist' is a specialist, not a whole UV-SAM model"):
        load_uvsam_card("uvsam-specialist")
