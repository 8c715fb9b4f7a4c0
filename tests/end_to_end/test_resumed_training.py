"""A training that was stopped, or killed, and goes on is the training that was not: same weights, same measurements."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas as gpd
import pytest
import torch
import yaml
from safetensors.torch import save_file

from uvsam.catalog.cards import file_sha256
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.training.config import GeneralistTraining, SpecialistTraining, UvSamTraining
from uvsam.workflows.train import train_generalist, train_specialist, train_uvsam

NETWORK = {"arch": "segformer", "encoder": "mit_b0", "decoder_channels": 16}  # whole blocks are left out by chance


@pytest.fixture
def common(city: Path, tmp_path: Path) -> dict[str, Any]:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth[truth["period"] == 2020].to_file(tmp_path / "labels.gpkg")
    return {
        "name": "m", "steps": 4, "steps_per_epoch": 2, "batch": 1, "precision": "32", "learning_rate": 0.01,
        "sources": [{"name": "c", "images": str(city / "city_2020.tif"), "labels": str(tmp_path / "labels.gpkg")}],
        "validation": {"share": 0.2, "block_m": 150, "samples": 1},
    }  # fmt: skip


def generalist_card(folder: Path) -> Path:
    """A generalist with random weights."""
    torch.manual_seed(0)
    state = GeneralistNetwork(ENCODERS["tiny"].build(), 64).state_dict()
    weights = folder / "g.safetensors"
    save_file({name: value.half().contiguous() for name, value in state.items()}, weights)
    card = {
        "name": "g", "task": "generalist", "summary": "random", "encoder": "tiny", "window_m": 307.2,
        "weights": weights.name, "sha256": file_sha256(weights), "licence": "none",
    }  # fmt: skip
    (folder / "g.yaml").write_text(yaml.safe_dump(card))
    return folder / "g.yaml"


def same_results(one: Path, other: Path) -> None:
    first, second = (torch.load(folder / "last.ckpt", weights_only=True) for folder in (one, other))
    assert first["global_step"] == second["global_step"]
    different = [
        name for name, value in first["state_dict"].items() if not torch.equal(value, second["state_dict"][name])
    ]
    assert different == []
    for moment, value in first["optimizer_states"][0]["state"].items():
        assert torch.equal(value["exp_avg"], second["optimizer_states"][0]["state"][moment]["exp_avg"])
    assert (one / "metrics.csv").read_text() == (other / "metrics.csv").read_text()
    cards = [yaml.safe_load((folder / "m.yaml").read_text()) for folder in (one, other)]
    assert cards[0]["sha256"] == cards[1]["sha256"]
    assert [q["value"] for q in cards[0]["quality"]] == [q["value"] for q in cards[1]["quality"]]


@pytest.mark.parametrize("kind", ["specialist", "generalist", "uvsam"])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(kind: str, common: dict[str, Any], tmp_path: Path) -> None:
    settings: dict[str, tuple[Any, Callable[..., Any], dict[str, Any]]] = {
        "specialist": (SpecialistTraining, train_specialist, {"network": NETWORK, "crop_px": 64}),
        "generalist": (
            GeneralistTraining, train_generalist,
            {"gsd_m": 0.6, "crop_px": 512, "masks": 1, "specialist": "uvsam-specialist"},
        ),
        "uvsam": (
            UvSamTraining, train_uvsam,
            {"gsd_m": 0.6, "crop_px": 512, "network": NETWORK, "dropout": 0.3, "prompts": 1, "truth_prompts": 0.5},
        ),
    }  # fmt: skip
    form, train, own = settings[kind]
    if kind == "uvsam":
        own["generalist"] = str(generalist_card(tmp_path))

    def stop_after(step: int) -> Callable[[str, int, int], None]:
        def progress(stage: str, done: int, total: int) -> None:
            if stage == "training" and done == step:
                raise KeyboardInterrupt

        return progress

    whole, parts = (form.model_validate(common | own | {"output": str(tmp_path / name)}) for name in ("whole", "parts"))
    train(whole)
    for step in (1, 3):  # in the midst of the first epoch, and of the second
        with pytest.raises(KeyboardInterrupt):
            train(parts, progress=stop_after(step))
    assert torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)["global_step"] == 2
    train(parts)
    same_results(tmp_path / "whole", tmp_path / "parts")


def test_a_killed_training_goes_on_as_if_it_had_not_been(common: dict[str, Any], tmp_path: Path) -> None:
    """Over more epochs than lie between two validations."""
    path = tmp_path / "m.yaml"
    fields = common | {
        "network": {"arch": "fcn", "encoder": "tf_efficientnet_lite0", "decoder_channels": 16}, "crop_px": 64,
        "steps": 14, "output": str(tmp_path / "whole"),
    }  # fmt: skip
    path.write_text(yaml.safe_dump(fields))
    # in processes of their own: how many threads compute decides on the last digit, and other tests change it here
    uvsam = [sys.executable, "-m", "uvsam", "--quiet", "train", "specialist", str(path)]
    subprocess.run(uvsam, check=True)
    command = [*uvsam, "--output", str(tmp_path / "parts")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (tmp_path / "parts" / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, check=True)
    same_results(tmp_path / "whole", tmp_path / "parts")
