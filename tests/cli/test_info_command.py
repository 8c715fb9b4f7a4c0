"""``uvsam info``: what a person learns about an image before predicting it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner

from uvsam.cli.info import command
from uvsam.cli.main import run
from uvsam.workflows.info import START_UP_S

CARD = """
name: mine
summary: villages of one city
network: {arch: unet, encoder: mit_b1}
gsd_m: 1.0
chip_px: 256
halo_px: 64
seconds_per_mpx: 2.0
weights: mine.safetensors
sha256: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
licence: CC-BY-4.0
"""


@pytest.fixture
def card(tmp_path: Path) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(CARD)
    return str(path)


def save(path: Path, pixels: np.ndarray, *, gsd: float = 1.0, **profile: Any) -> str:
    profile = {"crs": "EPSG:32643", "transform": Affine(gsd, 0, 500000, 0, -gsd, 2106000)} | profile
    count, height, width = pixels.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as dataset:
        dataset.write(pixels)
        dataset.update_tags(ACQUIRED="2019-05-06")
    return str(path)


def test_json_for_programs(tmp_path: Path, card: str) -> None:
    pixels = np.random.default_rng(0).integers(100, 2000, (4, 600, 400), dtype=np.uint16)
    pixels[:, 300:] = 0
    image = save(tmp_path / "city.tif", pixels, nodata=0)
    result = CliRunner().invoke(command, [image, "--model", card, "--bands", "4,3,2", "--json"], catch_exceptions=False)
    info = json.loads(result.stdout)
    assert info["size_px"] == [400, 600]
    assert info["crs"] == "EPSG:32643 (WGS 84 / UTM zone 43N)"
    assert info["bounds"] == [500000, 2105400, 500400, 2106000]
    assert info["gsd_m"] == pytest.approx([1.0, 1.0], rel=1e-3)
    assert info["area_m2"] == pytest.approx(240_000, rel=2e-3)
    assert info["bands"] == [4, 3, 2]
    assert info["nodata_share"] == pytest.approx(0.5)
    assert info["stretch"]["low"] == pytest.approx([138, 138, 138], abs=5)
    assert info["acquired"] == "2019-05-06"
    assert info["tiles"] == 5 * 4  # cores of 256 - 2 x 64 = 128
    assert info["seconds"] == pytest.approx(START_UP_S + 20 * 0.256**2 * 2.0 / 2)  # half of it is nodata
    assert info["problem"] is None


def test_lines_for_people(tmp_path: Path, card: str) -> None:
    image = save(tmp_path / "city.tif", np.full((3, 64, 64), 9, dtype=np.uint8), gsd=0.5)
    lines = CliRunner().invoke(command, [image, "--model", card], catch_exceptions=False).stdout.splitlines()
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert found["gsd"] == "0.5 x 0.5 m on the ground"
    assert found["stretch"] == "none needed"
    assert found["model"] == "sees 1 m: 2 x 2 px of the image as one"
    assert found["predict"].startswith("about 0:06 on one core")  # nearly nothing to look at: what is left is start-up


def test_a_model_with_a_generalist_takes_longer_where_all_is_village(tmp_path: Path) -> None:
    card = tmp_path / "whole.yaml"
    generalist = "generalist: {encoder: tiny, window_m: 200, seconds_per_crop: 3.0}"
    card.write_text(f"{CARD.replace('name: mine', 'name: whole')}task: uvsam\n{generalist}\n")
    image = save(tmp_path / "city.tif", np.full((3, 400, 400), 9, dtype=np.uint8))
    arguments = [image, "--model", str(card)]
    info = json.loads(CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False).stdout)
    assert info["outline_seconds"] == pytest.approx(
        400**2 / (200 * 230 / 256) ** 2 * 3.0, rel=2e-3
    )  # squares that overlap
    assert "and up to 0:15 more" in CliRunner().invoke(command, arguments, catch_exceptions=False).stdout


def test_an_image_that_is_too_coarse_is_described_with_the_reason(tmp_path: Path, card: str) -> None:
    image = save(tmp_path / "city.tif", np.full((3, 64, 64), 9, dtype=np.uint8), gsd=10)
    result = CliRunner().invoke(command, [image, "--model", card], catch_exceptions=False)
    assert result.exit_code == 0
    assert "not possible: " in result.stdout
    as_json = CliRunner().invoke(command, [image, "--model", card, "--json"], catch_exceptions=False)
    assert json.loads(as_json.stdout)["seconds"] == 0


@pytest.mark.parametrize(
    ("bands", "status"), [("1,2", 2), ("a,b,c", 2), ("0,1,2", 2), ("1,2,9", 1)], ids=["two", "words", "zero", "missing"]
)
def test_wrong_bands(tmp_path: Path, card: str, bands: str, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    image = save(tmp_path / "city.tif", np.full((3, 64, 64), 9, dtype=np.uint8))
    assert run(["info", image, "--model", card, "--bands", bands]) == status
    assert capsys.readouterr().err.strip()


def test_a_missing_file_is_one_line(card: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["info", "nowhere.tif", "--model", card]) == 1
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
