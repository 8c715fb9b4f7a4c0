"""Tiled = untiled, pixel by pixel, through everything that predict does to get scores."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin
from torch import Tensor, nn

from uvsam.catalog.cards import ModelCard, Network
from uvsam.engine.journal import Log
from uvsam.engine.work import Share
from uvsam.models.specialist import Specialist
from uvsam.raster.radiometry import IDENTITY
from uvsam.raster.scene import model_scale, open_scene
from uvsam.tiles import plan_tiles
from uvsam.workflows.scoring import Scoring, score_scene

RADIUS = 16


class MeanFilter(nn.Module):
    """A network whose answer is known and whose receptive field is 33 pixels; its borders are its own affair."""

    def forward(self, images: Tensor) -> Tensor:
        grey = images.mean(1, keepdim=True)
        mean = nn.functional.avg_pool2d(grey, 2 * RADIUS + 1, 1, RADIUS, count_include_pad=False)
        return torch.cat([torch.zeros_like(mean), 8 * mean], 1)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    coarse = rng.integers(0, 256, (3, 24, 31)).astype(np.uint8)
    pixels = np.kron(coarse, np.ones((1, 17, 17), np.uint8)) // 2 + rng.integers(0, 100, (3, 408, 527)).astype(np.uint8)
    pixels[:, 150:200, 80:140] = 0  # a hole
    path = tmp_path_factory.mktemp("seams") / "image.tif"
    with rasterio.open(
        path, "w", driver="GTiff", count=3, height=408, width=527, dtype="uint8", nodata=0, crs="EPSG:32650",
        transform=from_origin(5e5, 4e6, 1, 1),
    ) as dataset:  # fmt: skip
        dataset.write(np.maximum(pixels, 1))
    return path


def scores(
    image: Path, out: Path, *, gsd_m: float, chip_px: int, halo_px: int, batch: int = 2, threads: int = 1
) -> np.ndarray:
    card = ModelCard(
        name="mean", summary="", network=Network(), gsd_m=gsd_m, chip_px=chip_px, halo_px=halo_px,
        weights="none.safetensors", sha256="0" * 64, licence="none",
    )  # fmt: skip
    scene = open_scene(image)
    plan = plan_tiles(scene.shape, model_scale(scene, gsd_m), chip_px=chip_px, halo_px=halo_px)
    with tempfile.TemporaryDirectory() as folder:
        scoring, log = Scoring(scene, IDENTITY, plan), Log(Path(folder), "tiles")
        score_scene(scoring, Specialist(card, MeanFilter()), out, log, Share(threads, batch))
    with rasterio.open(out) as dataset:
        return dataset.read(1)


@pytest.mark.parametrize("gsd_m", [1.0, 1.7, 0.8])
def test_a_tiled_image_has_the_scores_of_the_whole(image: Path, tmp_path: Path, gsd_m: float) -> None:
    whole = scores(image, tmp_path / "whole.tif", gsd_m=gsd_m, chip_px=704, halo_px=32)
    tiled = scores(image, tmp_path / "tiled.tif", gsd_m=gsd_m, chip_px=128, halo_px=32)
    other = scores(image, tmp_path / "other.tif", gsd_m=gsd_m, chip_px=160, halo_px=32, batch=3)
    assert len(np.unique(whole)) > 50
    assert (tiled != whole).sum() == 0
    assert (other != whole).sum() == 0


def test_a_halo_smaller_than_the_context_shows(image: Path, tmp_path: Path) -> None:
    """The test above could not fail otherwise."""
    whole = scores(image, tmp_path / "whole.tif", gsd_m=1.0, chip_px=704, halo_px=32)
    tiled = scores(image, tmp_path / "tiled.tif", gsd_m=1.0, chip_px=128, halo_px=0)
    assert (tiled != whole).sum() > 100
