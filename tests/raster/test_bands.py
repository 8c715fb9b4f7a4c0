"""Bands that are not what their flag says: names are believed, and a mask is what holds a mask."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from uvsam.raster.bands import colour_named
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import IDENTITY
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

FLAGS = {"r": "red", "g": "green", "b": "blue", "a": "alpha", "x": "undefined"}


def save(path: Path, pixels: np.ndarray, flags: str, names: tuple[str, ...] = (), **profile: Any) -> Path:
    count, height, width = pixels.shape
    place = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000)} | profile
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=pixels.dtype, **place
    ) as dataset:
        dataset.write(pixels)
        dataset.colorinterp = [ColorInterp[FLAGS[letter]] for letter in flags]
        if names:
            dataset.descriptions = names
    return path


def noise(count: int, dtype: str = "uint8", size: int = 80) -> np.ndarray:
    return np.random.default_rng(5).integers(1, 250, (count, size, size)).astype(dtype)


def opened(path: Path, **options: Any) -> tuple[Scene, list[str]]:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        scene = open_scene(path, **options)
    return scene, [str(warning.message) for warning in told if warning.category is UserWarning]


def valid(scene: Scene) -> np.ndarray:
    with SceneReader(scene, IDENTITY) as reader:
        return reader.read(Window(0, 0, *scene.shape)).valid


@pytest.mark.parametrize(
    ("name", "colour"),
    [
        ("Red", "red"), (" BLUE ", "blue"), ("G", "green"), ("Band 3 (red)", "red"), ("B04", "red"),
        ("B02_blue", "blue"),
        ("Rot", "red"), ("vert", "green"), ("Rouge (665 nm)", "red"), ("azul", "blue"), ("Red Edge 1", "other"),
        ("红", "red"), ("蓝光波段", "blue"), ("近红外", "other"), ("Зелёный", "green"),
        ("band_b", "blue"), ("band 1", None),
        ("red_edge", "other"), ("rededge", "other"), ("Coastal blue", "other"), ("NIR", "other"),
        ("near infrared", "other"),
        ("", None), (None, None), ("band_1", None), ("reduced", None), ("red-green", None),
    ],
)  # fmt: skip
def test_colours_in_names(name: str | None, colour: str | None) -> None:
    assert colour_named(name) == colour


@pytest.mark.parametrize(
    "names", [("blue", "green", "red"), ("B", "G", "R"), ("B02", "B03", "B04"), ("Blau", "Grün", "Rot")]
)
def test_names_win_over_colours_and_it_is_said(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = save(tmp_path / "bgr.tif", noise(3), "rgb", names)
    scene, told = opened(path)
    assert scene.bands == (3, 2, 1)
    assert len(told) == 1
    assert "--bands 3,2,1" in told[0]
    scene, told = opened(path, bands=(1, 2, 3))
    assert (scene.bands, told) == ((1, 2, 3), [])


def test_names_that_agree_are_not_spoken_of(tmp_path: Path) -> None:
    names = ("Red", "Green", "Blue", "NIR")
    scene, told = opened(save(tmp_path / "rgb.tif", noise(4), "rgbx", names, ALPHA="UNSPECIFIED"))
    assert (scene.bands, told) == ((1, 2, 3), [])


def test_a_false_colour_image_without_blue_is_said(tmp_path: Path) -> None:
    scene, told = opened(save(tmp_path / "cir.tif", noise(3), "rgb", ("NIR", "red", "green")))
    assert scene.bands == (1, 2, 3)
    assert len(told) == 1
    assert "'NIR' by its name" in told[0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_near_infrared_flagged_as_alpha_hides_nothing(tmp_path: Path, dtype: str) -> None:
    pixels = noise(4, dtype)
    pixels[3, :30] = 0  # water
    path = save(tmp_path / "city.tif", pixels, "rgba")
    scene, told = opened(path)
    assert valid(scene).all()
    assert len(told) == 1
    assert "many different values" in told[0]
    scene, told = opened(path, bands=(1, 2, 3))
    assert valid(scene).all()
    assert not told


def test_an_alpha_band_with_a_name_of_light_is_light(tmp_path: Path) -> None:
    pixels = noise(4)
    pixels[3] = np.where(np.arange(80) < 40, 0, 255)
    scene, told = opened(save(tmp_path / "city.tif", pixels, "rgba", ("red", "green", "blue", "nir")))
    assert valid(scene).all()
    assert len(told) == 1
    assert "'nir'" in told[0]


@pytest.mark.parametrize("soft_px", [0, 20])
def test_a_mask_with_soft_borders_is_a_mask(tmp_path: Path, soft_px: int) -> None:
    pixels = noise(4)
    ramp = np.clip((np.arange(80) - 20) / max(soft_px, 1), 0, 1) * 255
    pixels[3] = ramp.astype("uint8")
    scene, told = opened(save(tmp_path / "city.tif", pixels, "rgba"))
    np.testing.assert_array_equal(valid(scene), np.broadcast_to(ramp.astype("uint8") > 0, (80, 80)))
    assert not told


def test_a_band_that_is_asked_for_is_no_mask(tmp_path: Path) -> None:
    pixels = noise(4)
    pixels[3] = np.where(np.arange(80) < 40, 0, 255)
    scene, told = opened(save(tmp_path / "city.tif", pixels, "rgba"), bands=(4, 1, 2))
    assert valid(scene).all()
    assert not told
