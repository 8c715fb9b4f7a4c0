"""An image on the web is the image here: with its mask and description, and whatever its server allows."""

import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine

from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import open_scene
from uvsam.raster.window import Window


def image(path: Path, side_px: int = 96, **options: object) -> Path:
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32650", "width": side_px}
    place = {"height": side_px, "transform": Affine(1, 0, 4e5, 0, -1, 4e6)}
    with rasterio.open(path, "w", **profile | place | options) as dataset:
        dataset.write(np.random.default_rng(1).integers(1, 255, (3, side_px, side_px), "uint8"))
    return path


def with_mask(path: Path) -> None:
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(96)[:, None] < np.full(96, 40))
    assert path.with_name(path.name + ".msk").exists()


def with_nodata(path: Path) -> None:
    text = "".join(f'<PAMRasterBand band="{n}"><NoDataValue>7</NoDataValue></PAMRasterBand>' for n in (1, 2, 3))
    path.with_name(path.name + ".aux.xml").write_text(f"<PAMDataset>{text}</PAMDataset>")


def with_crs(path: Path) -> None:
    """Where the file itself says nothing of it."""
    image(path, crs=None, transform=None)
    path.with_name(path.name + ".aux.xml").write_text("<PAMDataset><SRS>EPSG:32651</SRS></PAMDataset>")
    path.with_suffix(".tfw").write_text("2\n0\n0\n-2\n300000\n3000000\n")


def plain(path: Path) -> None:
    pass


BESIDE = [plain, with_mask, with_nodata, with_crs]


def seen(uri: str) -> list[object]:
    scene = open_inputs(uri)
    with SceneReader(scene, estimate_stretch(scene)) as reader:
        chip = reader.read(Window(0, 0, 96, 96))
    return [scene.geobox, scene.nodata, scene.gsd_m, chip.pixels.tolist(), chip.valid.tolist()]


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("head", [0, 403, 405, 501])
@pytest.mark.parametrize("prefix", ["", "/vsicurl/"])
def test_an_image_there_is_the_image_here(
    tmp_path: Path, serve: Callable[..., Any], beside: Callable[[Path], None], head: int, prefix: str
) -> None:
    path = image(tmp_path / "a.tif")
    beside(path)
    site = serve(head)
    assert seen(f"{prefix}{site.address}/a.tif") == seen(str(path))


def test_what_is_not_there_is_asked_for_once_and_workers_never_ask(tmp_path: Path, serve: Callable[..., Any]) -> None:
    image(tmp_path / "a.tif")
    site = serve()
    uri = f"{site.address}/a.tif"
    scenes = [open_scene(uri) for _ in range(3)]
    absent = {"a.tif.msk": 1, "a.tif.aux.xml": 1, "a.tif.ovr": 1, "a.tfw": 1, "a.wld": 1}
    assert site.asked() - Counter({"a.tif": 9}) == Counter(absent)
    code = (
        "import pickle, sys; from uvsam.raster.access import open_dataset\n"
        "scene = pickle.load(sys.stdin.buffer)\nwith open_dataset(scene.uri) as dataset: print(dataset.width)"
    )
    worker = [sys.executable, "-c", code]
    told = subprocess.run(worker, input=pickle.dumps(scenes[0]), capture_output=True, check=True).stdout
    assert told.strip() == b"96"
    assert site.asked() - Counter({"a.tif": 99}) == Counter(absent)


def test_a_server_with_a_page_for_every_name_has_nothing_beside(tmp_path: Path, serve: Callable[..., Any]) -> None:
    path = image(tmp_path / "a.tif")
    assert seen(f"{serve(everything=True).address}/a.tif") == seen(str(path))


def test_beside_a_signed_address_nothing_is_looked_for_and_this_is_said(
    tmp_path: Path, serve: Callable[..., Any]
) -> None:
    image(tmp_path / "a.tif")
    site = serve(head=403)  # as where a signature is for GET alone
    with pytest.warns(UserWarning, match=r"a.tif has an address with a query, so that masks .* are not looked for"):
        open_inputs(f"{site.address}/a.tif?sig=1")
    assert {name.partition("?")[0] for name in site.asked()} == {"a.tif"}
