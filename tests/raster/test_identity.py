"""A file that is replaced is another one, wherever it lies; one that is only looked at stays itself."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from uvsam.raster.identity import identity, is_still


def image(path: Path, value: int = 1, **options: Any) -> Path:
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "width": 64, "height": 64, "crs": "EPSG:32650"}
    with rasterio.open(path, "w", transform=Affine(1, 0, 4e5, 0, -1, 4e6), **profile | options) as dataset:
        dataset.write(np.full((3, 64, 64), value, "uint8"))
    return path


def replaced(path: Path, value: int) -> None:
    """Other pixels in as many bytes, and not a moment later."""
    before = path.stat()
    image(path, value)
    assert path.stat().st_size == before.st_size


@pytest.mark.parametrize("ending", [".msk", ".ovr", ".aux.xml"])
@pytest.mark.parametrize("through", ["file", "vrt", "nested vrt"])
def test_what_lies_beside_a_file_is_a_part_of_it(tmp_path: Path, ending: str, through: str) -> None:
    given = path = image(tmp_path / "a.tif")
    for name in {"file": [], "vrt": ["b.vrt"], "nested vrt": ["b.vrt", "c.vrt"]}[through]:
        rasterio.shutil.copy(given, tmp_path / name, driver="VRT")
        given = tmp_path / name
    states = [identity(str(given))]
    beside = path.with_name(f"a.tif{ending}")
    for text in ("<PAMDataset><SRS>EPSG:4326</SRS></PAMDataset>", "<PAMDataset><SRS>EPSG:32650</SRS></PAMDataset> "):
        beside.write_text(text)
        states.append(identity(str(given)))
        assert is_still(str(given), states[-1])
    assert states[0] != states[1] != states[2]


def test_statistics_that_somebody_who_looks_leaves_change_nothing(tmp_path: Path) -> None:
    path = image(tmp_path / "a.tif")
    before = identity(str(path))
    described = tmp_path / "a.tif.aux.xml"
    described.write_text(
        '<PAMDataset><PAMRasterBand band="1"><Histograms><HistItem/></Histograms><Metadata>'
        '<MDI key="STATISTICS_MEAN">1</MDI></Metadata></PAMRasterBand></PAMDataset>'
    )
    assert identity(str(path)) == before
    described.write_text("<PAMDataset><PAMRasterBand><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>")
    assert identity(str(path)) != before


def test_a_file_in_an_archive_is_the_archive(tmp_path: Path) -> None:
    image(tmp_path / "a.tif")
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(tmp_path / "a.tif", "a.tif")
    names = [f"/vsizip/{packed}/a.tif", f"/vsizip/{{{packed}}}/a.tif", f"zip://{packed}!a.tif"]
    before = [identity(name) for name in names]
    assert all(before)
    os.utime(packed, (1, 1))
    assert all(identity(name) != told for name, told in zip(names, before, strict=True))


@pytest.mark.parametrize("prefix", ["", "/vsicurl/", "/vsicurl?use_head=no&url="])
@pytest.mark.parametrize("head", [None, 403, 405])
def test_a_file_on_the_web_is_known_by_what_its_server_says(
    tmp_path: Path, site: Any, prefix: str, head: int | None
) -> None:
    image(tmp_path / "a.tif")
    site.head, site.etag = head, '"one"'
    uri = f"{prefix}{site.address}/a.tif"
    before = identity(uri)
    assert identity(uri) == before
    site.etag = '"two"'
    assert not is_still(uri, before)


def test_of_a_server_that_says_nothing_the_pixels_tell(tmp_path: Path, site: Any) -> None:
    path = image(tmp_path / "a.tif")
    uri = f"{site.address}/a.tif"
    before = identity(uri)
    assert identity(uri) == before
    replaced(path, 2)
    assert not is_still(uri, before)


def test_of_an_object_store_the_pixels_tell(
    tmp_path: Path, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = serve().address.removeprefix("http://")
    for name, value in {
        "AWS_S3_ENDPOINT": host, "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE", "AWS_NO_SIGN_REQUEST": "YES",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    (tmp_path / "bucket").mkdir()
    path = image(tmp_path / "bucket" / "a.tif")
    before = identity("s3://bucket/a.tif")
    assert before != [["s3://bucket/a.tif", None]]
    assert identity("s3://bucket/a.tif") == before
    replaced(path, 2)
    assert not is_still("s3://bucket/a.tif", before)
