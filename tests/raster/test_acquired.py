"""The day of an image: what its file says, and what only looks like it."""

import datetime
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from uvsam.raster.acquired import is_likely, parse_time
from uvsam.raster.scene import open_scene


def write(path: Path, tags: dict[str, str], **namespaces: dict[str, str]) -> Path:
    place: dict[str, Any] = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000)}
    with rasterio.open(path, "w", driver="GTiff", count=3, height=8, width=8, dtype="uint8", **place) as dataset:
        dataset.write(np.full((3, 8, 8), 9, np.uint8))
        dataset.update_tags(**tags)
        for namespace, own in namespaces.items():
            dataset.update_tags(ns=namespace, **own)
    return path


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"ACQUIRED": "2016-08-14T03:00:00Z"}, "2016-08-14"),
        ({"ACQUIRED": "2016-08-14T23:00:00-05:00"}, "2016-08-15"),  # in UTC
        ({"ACQUIRED": "2016-08-14 03:00:00+05:30"}, "2016-08-13"),
        ({"IMAGING_DATE": "2019-03-02", "IMAGING_TIME": "05:40:12.3"}, "2019-03-02"),  # DIMAP
        ({"DATE_ACQUIRED": "2013-06-01"}, "2013-06-01"),  # Landsat
        ({"PRODUCT_START_TIME": "2021-07-08T05:36:51.024Z"}, "2021-07-08"),  # Sentinel-2
        ({"acquisitionDate": "2018:11:30 09:15:00"}, "2018-11-30"),
        ({"EXIF_DateTimeOriginal": "2020:01:02 03:04:05", "EXIF_DateTime": "2022:05:06 00:00:00"}, "2020-01-02"),
        ({"NITF_IDATIM": "20110314094500"}, "2011-03-14"),
        ({"DateOfPass": "14-AUG-2016"}, "2016-08-14"),  # IRS
        ({"ACQUIRED": "2016-08-14", "TIFFTAG_DATETIME": "2020:01:01 00:00:00"}, "2016-08-14"),
        ({"TIFFTAG_DATETIME": "2017:03:15 10:20:30", "TIFFTAG_SOFTWARE": "Adobe Photoshop CC"}, None),
        ({"TIFFTAG_DATETIME": "2017:03:15 10:20:30"}, None),
        ({"ACQUIRED": "1970-01-01"}, None),
        ({"ACQUIRED": "1970-01-01", "IMAGING_DATE": "2019-03-02"}, "2019-03-02"),
        ({"ACQUISITION_DATE": "1900-01-01"}, None),
        ({"ACQUIRED": "0000:00:00 00:00:00"}, None),
        ({"ACQUIRED": "2019-02-30"}, None),
        ({"ACQUIRED": "last summer"}, None),
    ],
)  # fmt: skip
def test_the_day_comes_from_what_says_when_it_was_taken(
    tmp_path: Path, tags: dict[str, str], expected: str | None
) -> None:
    path = write(tmp_path / "city.tif", tags)
    assert open_scene(path).acquired == (None if expected is None else datetime.date.fromisoformat(expected))
    mine = datetime.date(1999, 12, 31)
    with warnings.catch_warnings(record=True):
        assert open_scene(path, acquired=mine).acquired == mine


def test_metadata_of_providers_has_its_own_place(tmp_path: Path) -> None:
    maxar = {"IMAGE_1.FIRSTLINETIME": '"2010-11-18T07:36:11.123456Z";'}
    assert open_scene(write(tmp_path / "a.tif", {}, IMD=maxar)).acquired == datetime.date(2010, 11, 18)
    by_gdal = {"ACQUISITIONDATETIME": "2010-11-18 07:36:11", "CLOUDCOVER": "2"}
    assert open_scene(write(tmp_path / "b.tif", {}, IMAGERY=by_gdal)).acquired == datetime.date(2010, 11, 18)


def test_the_future_is_not_believed(tmp_path: Path) -> None:
    later = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3)).date()
    with pytest.warns(UserWarning, match=f"taken on {later}, which is yet to come"):
        assert open_scene(write(tmp_path / "city.tif", {"ACQUIRED": later.isoformat()})).acquired is None
    assert is_likely(datetime.datetime.now(datetime.UTC).date())
    assert not is_likely(later)


@given(
    moment=st.datetimes(datetime.datetime(1950, 1, 1), datetime.datetime(2020, 1, 1)),
    hours=st.integers(-12, 14), half=st.sampled_from([0, 30]),
)  # fmt: skip
def test_times_with_a_zone_are_the_day_in_utc(moment: datetime.datetime, hours: int, half: int) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=hours, minutes=half))
    said = moment.replace(microsecond=0, tzinfo=zone)
    expected = (said.replace(tzinfo=None) - datetime.timedelta(hours=hours, minutes=half)).date()
    for form in ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S %z", "%Y%m%dT%H%M%S%z", "%Y:%m:%d %H:%M%z"):
        assert parse_time(said.strftime(form)) == expected
    assert parse_time(said.isoformat()) == expected
    assert parse_time(moment.isoformat()) == moment.date()  # nobody says where
