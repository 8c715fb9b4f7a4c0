"""Outlines sharpened by a generalist, through the command line."""

import json
from pathlib import Path

import geopandas as gpd
import pytest
import torch
from safetensors.torch import save_file

from uvsam.cli.main import run
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.vectors.geopackage import read_run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small generalist with random weights, as a file of the user's own."""
    torch.manual_seed(0)
    network = GeneralistNetwork(ENCODERS["tiny"].build(), decoder_mlp=64)
    path = tmp_path_factory.mktemp("sam") / "mine.safetensors"
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return path


def test_a_checkpoint_sharpens_outlines_and_says_what_it_did(
    city: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = str(city / "city_2020.tif"), tmp_path / "villages.gpkg"
    assert run(["predict", image, "--out", str(out), "--sam", str(checkpoint), "--window", "300"]) == 0
    assert "outlines sharpened" in capsys.readouterr().out
    facts = read_run(out)
    assert float(facts["window_m"]) == 300
    assert facts["fuse"] == "sam"
    refined = json.loads(facts["refined"])
    assert 0 < refined["refined"] <= refined["regions"]
    assert refined["model_pixels"] == refined["crops"] * 512**2


def test_whose_word_counts_is_the_users_choice(city: Path, checkpoint: Path, tmp_path: Path) -> None:
    image = str(city / "city_2020.tif")
    layers = {}
    for name, options in {
        "alone": ["--model", "uvsam-specialist"],
        "specialist": ["--sam", str(checkpoint), "--window", "300", "--fuse", "specialist"],
        "sam": ["--sam", str(checkpoint), "--window", "300"],
    }.items():
        out = tmp_path / f"{name}.gpkg"
        assert run(["predict", image, "--out", str(out), *options]) == 0
        layers[name] = gpd.read_file(out, layer="villages")
    alone, specialist = layers["alone"], layers["specialist"]
    assert alone.geometry.geom_equals(specialist.geometry).all()
    assert alone["sam_iou_pred"].isna().all()
    assert specialist["stability"].between(0, 1).any()
    assert not layers["sam"].geometry.union_all().equals(alone.geometry.union_all())


def test_a_generalist_that_is_not_here_is_one_line(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UVSAM_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "villages.gpkg"
    image = str(city / "city_2020.tif")
    assert run(["predict", image, "--out", str(out), "--sam", "mobile-sam"]) == 1
    said = capsys.readouterr().err
    assert "uvsam models fetch mobile-sam" in said
    assert said.count("\n") == 1
    assert run(["predict", image, "--out", str(out), "--sam", "nothing"]) == 1
    assert not out.exists()


@pytest.mark.parametrize("option", [["--fuse", "mean"], ["--window", "300"]])
def test_a_setting_of_a_generalist_without_one_is_one_line(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: list[str]
) -> None:
    out = tmp_path / "villages.gpkg"
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(out), "--model", "uvsam-specialist", *option]) != 0
    said = capsys.readouterr().err
    assert "--sam" in said
    assert said.count("\n") == 1
    assert not out.exists()


def test_sharpened_scores_in_half_precision_are_refused_before_the_work(
    city: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = ["--save-scores", str(tmp_path / "scores.tif"), "--score-type", "float16"]
    arguments = ["predict", str(city / "city_2020.tif"), "--out", str(tmp_path / "villages.gpkg"), *scores]
    assert run([*arguments, "--sam", str(checkpoint)]) == 1
    said = capsys.readouterr().err
    assert "--score-type" in said
    assert said.count("\n") == 1
