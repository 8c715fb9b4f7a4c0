"""Training on the user's own labels through the command line: from polygons to a model that predict takes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.cli.command_page import documented
from uvsam.catalog import load_card, verified_weights
from uvsam.cli.main import run


@pytest.fixture
def training(city: Path, tmp_path: Path) -> Path:
    """A training file of a few steps on the simulated city, labels as polygons."""
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth[truth["period"] == 2020].to_file(tmp_path / "labels.gpkg")
    fields = {
        "name": "mine",
        "output": str(tmp_path / "run"),
        "network": {"arch": "fcn", "encoder": "tf_efficientnet_lite0", "decoder_channels": 16},
        "sources": [{"name": "c", "images": str(city / "city_2020.tif"), "labels": str(tmp_path / "labels.gpkg")}],
        "crop_px": 128, "steps": 4, "steps_per_epoch": 2, "batch": 2, "precision": "32",
        "validation": {"share": 0.2, "block_m": 150, "samples": 2},
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def test_a_model_trained_on_polygons_is_one_that_predict_takes(
    training: Path, city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "specialist", str(training)]) == 0
    path = tmp_path / "run" / "mine.yaml"
    assert str(path) in capsys.readouterr().out
    card = load_card(path)
    assert card.made_by
    weights = load_file(verified_weights(path))
    assert {tensor.dtype for tensor in weights.values()} <= {torch.float16, torch.int64}
    out = tmp_path / "villages.gpkg"
    assert run(["predict", str(city / "city_2020.tif"), "--model", str(path), "--out", str(out)]) == 0
    assert len(gpd.read_file(out, layer="coverage")) == 1


def test_training_goes_on_where_it_stopped(training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "specialist", str(training), "--output", str(tmp_path / "whole")]) == 0
    assert run(["train", "specialist", str(training), "--steps", "2", "--output", str(tmp_path / "parts")]) == 0
    checkpoint = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 2
    metrics = tmp_path / "parts" / "metrics.csv"
    before = metrics.read_text().splitlines()
    assert before[0] == "epoch,step,val_iou,val_threshold"
    metrics.write_text("\n".join([*before, "9,20,0.5,0.5"]))  # of steps after the checkpoint, which are done again
    capsys.readouterr()
    assert run(["train", "specialist", str(training), "--output", str(tmp_path / "parts")]) == 0
    checkpoint = torch.load(tmp_path / "parts" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    assert "training: 2/4 (50 %)" in capsys.readouterr().err.splitlines()
    after = metrics.read_text().splitlines()
    assert after[: len(before)] == before
    assert [line.split(",")[0] for line in after[len(before) :]] == ["2"]
    finished = load_card(tmp_path / "parts" / "mine.yaml")
    assert len(finished.quality) == 1
    assert run(["train", "specialist", str(training), "--output", str(tmp_path / "parts"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert set(told) == documented("train specialist")
    assert told["card"] == str(tmp_path / "parts" / "mine.yaml")
    again = load_card(tmp_path / "parts" / "mine.yaml")
    assert (again.sha256, again.quality[0].value) == (finished.sha256, finished.quality[0].value)


def test_a_checkpoint_that_does_not_fit_is_one_line(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    checkpoint = tmp_path / "run" / "last.ckpt"
    torch.save({"state_dict": {"other": torch.zeros(3)}}, checkpoint)
    whole = checkpoint.read_bytes()
    torch.save({"state_dict": RunsCode(tmp_path / "owned"), "global_step": 1}, checkpoint)
    hostile = checkpoint.read_bytes()
    for content, message in (
        (whole, "of another network"), (whole[: len(whole) // 2], "damaged"), (b"", "damaged"), (hostile, "damaged"),
    ):  # fmt: skip
        checkpoint.write_bytes(content)
        assert run(["train", "specialist", str(training)]) == 1
        assert f"Error: checkpoint {checkpoint} is {message}" in capsys.readouterr().err
        assert checkpoint.read_bytes() == content
    assert not (tmp_path / "owned").exists()


class RunsCode:
    """What a folder from a stranger could hold instead of a checkpoint to go on from."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return os.mkdir, (self.target,)


@pytest.mark.parametrize(
    ("sent", "status", "said"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")]
)
def test_ctrl_c_and_sigterm_leave_a_checkpoint_to_go_on_from(
    training: Path, tmp_path: Path, sent: int, status: int, said: str
) -> None:
    command = [sys.executable, "-m", "uvsam", "train", "specialist", str(training), "--steps"]
    process = subprocess.Popen([*command, "100000"], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    checkpoint = tmp_path / "run" / "last.ckpt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors.splitlines()[-1] == said
    assert "Traceback" not in errors
    stopped_at = torch.load(checkpoint, weights_only=True)["global_step"]
    assert run(["train", "specialist", str(training), "--steps", str(stopped_at + 2)]) == 0
    assert torch.load(checkpoint, weights_only=True)["global_step"] == stopped_at + 2


def test_a_missing_training_file_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "specialist", "nowhere.yaml"]) == 1
    assert "nowhere.yaml" in capsys.readouterr().err


def test_training_can_start_from_the_bundled_model(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = yaml.safe_load(training.read_text())
    del fields["network"]
    start = fields | {"specialist": "uvsam-specialist", "steps": 2, "learning_rate": 1e-4}
    training.write_text(yaml.safe_dump(start))
    assert run(["train", "specialist", str(training)]) == 0
    path = tmp_path / "run" / "mine.yaml"
    card, bundled = load_card(path), load_card("uvsam-specialist")
    for name in ("network", "classes", "gsd_m", "outline", "chip_px", "halo_px"):
        assert getattr(card, name) == getattr(bundled, name), name
    for name in ("temperature", "offset"):  # the threshold is that which was best on the ground held out
        assert getattr(card.calibration, name) == getattr(bundled.calibration, name), name
    now, then = load_file(verified_weights(path)), load_file(verified_weights("uvsam-specialist"))
    statistics = [name for name in now if "running" in name]
    assert statistics
    assert all(torch.equal(now[name], then[name]) for name in statistics)
    moved = [(now[name].float() - then[name].float()).abs().max().item() for name in now if name.endswith("weight")]
    assert 0 < max(moved) < 0.01

    for wrong, message in (
        ({"gsd_m": 0.3}, "gsd_m must be that of"),
        ({"classes": ["other", "village"]}, "classes must be those"),
        ({"network": {"arch": "fcn"}}, "brings its own network"),
    ):
        training.write_text(yaml.safe_dump(start | wrong))
        assert run(["train", "specialist", str(training)]) == 2
        assert message in capsys.readouterr().err
