"""Writing: a file has its name only when it is complete."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox

from uvsam.errors import OutputError
from uvsam.raster.writer import (
    RasterCopy,
    RasterWriter,
    check_destination,
    quick_compression,
    temporary_name,
    write_cog,
)

GEOBOX = GeoBox((300, 420), Affine(0.5, 0.1, 270000, 0.1, -0.5, 2106000), "EPSG:32643")


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """A disk on which no file can have more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_blocks_in_any_order_rebuild_the_raster(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, GEOBOX.shape, dtype=np.uint8)
    path = tmp_path / "scores.tif"
    corners = [(row, col) for row in range(0, 300, 64) for col in range(0, 420, 96)]
    with RasterWriter(path, GEOBOX, block_px=(64, 96), nodata=0, tags={"MODEL": "m"}) as writer:
        for row, col in reversed(corners):
            writer.write(pixels[row : row + 64, col : col + 96], row, col)
        assert not path.exists()
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)
        assert dataset.transform == GEOBOX.affine
        assert dataset.crs == "EPSG:32643"
        assert dataset.block_shapes == [(64, 96)]
        assert dataset.tags()["MODEL"] == "m"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.tif"
    path.write_text("old")
    with pytest.raises(OutputError, match="cannot write"), RasterWriter(path, GEOBOX) as writer:
        writer.write(np.ones((2, 10, 10), dtype=np.uint8), 0, 0)  # two bands where there is one
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


def test_what_a_killed_process_left_of_a_file_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "scores.tif"
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    left = [
        f".scores.{killed.pid}.part.tif",
        f".scores.{killed.pid}.part.tif.ovr.tmp",
        f".scores.{os.getpid()}.part.tif",
    ]
    of_others = [f".scores.{os.getppid()}.part.tif", f".scores.{killed.pid}.part.gpkg", f".score.{killed.pid}.part.tif"]
    for name in left + of_others:
        (tmp_path / name).write_text("half")
    with RasterWriter(path, GEOBOX) as writer:
        writer.write(np.ones((10, 10), np.uint8), 0, 0)
    assert {file.name for file in tmp_path.iterdir()} == {"scores.tif", *of_others}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere does not exist"):
        RasterWriter(tmp_path / "nowhere" / "scores.tif", GEOBOX)
    with pytest.raises(OutputError, match="nowhere does not exist"):
        write_cog(tmp_path / "a.tif", tmp_path / "nowhere" / "scores.tif")


@pytest.mark.parametrize("limit", [1_000, 60_000, 110_000, 126_000])
def test_a_full_disk_is_an_error_even_where_gdal_keeps_it_to_itself(tmp_path: Path, limit: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, GEOBOX.shape, dtype=np.uint8)
    with (
        files_up_to(limit),
        pytest.raises(OutputError, match=r"cannot write .*scores\.tif"),
        RasterWriter(tmp_path / "scores.tif", GEOBOX, block_px=(256, 256)) as writer,
    ):
        writer.write(pixels, 0, 0)
    assert list(tmp_path.iterdir()) == []


def _plain(path: Path) -> Path:
    """A raster of one value, which takes little space."""
    with RasterWriter(path, GEOBOX, block_px=(64, 96), nodata=0, **quick_compression()) as writer:
        writer.write(np.full(GEOBOX.shape, 9, np.uint8), 0, 0)
    return path


def test_a_copy_differs_where_it_was_written(tmp_path: Path) -> None:
    original, path = _plain(tmp_path / "scores.tif"), tmp_path / "refined.tif"
    before, noise = original.read_bytes(), np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    with RasterCopy(path, original) as writer:
        writer.write(noise, 128, 96)
    expected = np.full(GEOBOX.shape, 9, np.uint8)
    expected[128:192, 96:192] = noise
    with rasterio.open(path) as dataset:
        np.testing.assert_array_equal(dataset.read(1), expected)
        assert (dataset.transform, dataset.nodata) == (GEOBOX.affine, 0)
    assert original.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path, original]


@pytest.mark.parametrize("limit", [500, 2_000, 60_000, 110_000, 127_000])
def test_a_full_disk_leaves_no_copy(tmp_path: Path, limit: int) -> None:
    original = _plain(tmp_path / "scores.tif")
    pixels = np.random.default_rng(0).integers(0, 256, GEOBOX.shape, dtype=np.uint8)
    with (
        files_up_to(limit),
        pytest.raises(OutputError, match=r"cannot write .*refined\.tif: "),
        RasterCopy(tmp_path / "refined.tif", original) as writer,
    ):
        writer.write(pixels, 0, 0)
    assert list(tmp_path.iterdir()) == [original]


def test_cog_has_the_same_pixels(tmp_path: Path) -> None:
    geobox = GeoBox((1300, 1100), Affine(0.5, 0, 270000, 0, -0.5, 2106000), "EPSG:32643")
    pixels = np.random.default_rng(0).integers(0, 256, geobox.shape, dtype=np.uint8)
    with RasterWriter(tmp_path / "a.tif", geobox, nodata=0) as writer:
        writer.write(pixels, 0, 0)
    write_cog(tmp_path / "a.tif", tmp_path / "cog.tif")
    with rasterio.open(tmp_path / "cog.tif") as dataset:
        np.testing.assert_array_equal(dataset.read(1), pixels)
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.overviews(1)
        assert dataset.nodata == 0
    assert len(list(tmp_path.iterdir())) == 2


def refused(path: Path, *, overwrite: bool = True) -> str:
    with pytest.raises(OutputError) as caught:
        check_destination(path, (".gpkg",), overwrite=overwrite)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "folder.gpkg").mkdir()
    (tmp_path / "dangling.gpkg").symlink_to(tmp_path / "nowhere.gpkg")
    (tmp_path / "target.gpkg").write_text("of the user")
    (tmp_path / "link.gpkg").symlink_to(tmp_path / "target.gpkg")
    os.mkfifo(tmp_path / "pipe.gpkg")
    for name, said in (
        ("folder.gpkg", "is a folder"),
        ("dangling.gpkg", f"is a link to {tmp_path / 'nowhere.gpkg'}"),
        ("link.gpkg", "is a link to"),
        ("pipe.gpkg", "is no file that could be replaced"),
        ("a" * 240 + ".gpkg", "has too long a name; give one of at most 239 bytes"),
        ("村" * 100 + ".gpkg", "has too long a name"),
        ("b" * 300 + "/x.gpkg", "File name too long"),
        ("target.gpkg/x.gpkg", "does not exist; create it first"),
        ("a\0b.gpkg", "null byte"),
    ):
        before = sorted(tmp_path.iterdir())
        assert said in refused(tmp_path / name)
        assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "target.gpkg").read_text() == "of the user"
    assert "exists; give another name or --overwrite" in refused(tmp_path / "target.gpkg", overwrite=False)


def test_a_folder_that_takes_no_files_is_told(tmp_path: Path) -> None:
    assert "cannot be written" in refused(Path("/proc/x.gpkg"))  # where even root makes no file
    with files_up_to(0):
        assert "cannot be written" in refused(tmp_path / "x.gpkg")
    assert list(tmp_path.iterdir()) == []


def test_the_longest_names_are_written(tmp_path: Path) -> None:
    for name in ("a" * 235 + ".tif", "村" * 78 + ".tif"):
        path = tmp_path / name
        check_destination(path, (".tif",))
        with RasterWriter(path, GeoBox((16, 16), Affine.identity(), None), block_px=(16, 16)) as writer:
            writer.write(np.ones((16, 16), np.uint8), 0, 0)
        assert [file.name for file in tmp_path.iterdir()] == [name]
        with rasterio.open(path) as dataset:
            assert dataset.read().all()
        path.unlink()
    names = {temporary_name(tmp_path / ("a" * 230 + end + ".tif")).name for end in "bc"}
    assert len(names) == 2
