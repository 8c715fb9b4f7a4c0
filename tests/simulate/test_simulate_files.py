"""`uvsam simulate` from the command line, and what it writes."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.features
from click.testing import CliRunner
from rasterio.enums import ColorInterp

from uvsam.cli.simulate import command
from uvsam.errors import OutputError, SettingsError
from uvsam.simulate import simulate_city


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulate") / "city"
    arguments = [str(out), "--size-m", "400", "--gsd", "0.8", "--periods", "2012,2016", "--seed", "7"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert [line for line in result.stdout.splitlines() if line] == [
        str(out / name) for name in ("city_2012.tif", "city_2016.tif", "truth.gpkg")
    ]
    return out


def test_images_are_ordinary_rgb_geotiffs(folder: Path) -> None:
    for year in (2012, 2016):
        with rasterio.open(folder / f"city_{year}.tif") as image:
            assert image.shape == (500, 500)
            assert image.dtypes == ("uint8",) * 3
            assert image.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            assert image.crs.to_epsg() == 32650
            assert image.block_shapes == [(512, 512)] * 3
            assert image.res == (0.8, 0.8)
            assert image.tags()["ACQUIRED"].startswith(f"{year}-")
            assert image.tags()["TIFFTAG_DATETIME"].startswith(f"{year}:")
            assert image.read().std() > 15


def test_truth_lies_on_the_pixels_of_the_image(folder: Path) -> None:
    villages = gpd.read_file(folder / "truth.gpkg", layer="villages")
    assert list(villages.columns[:-1]) == ["period", "acquired", "village_id", "event", "previous_ids", "area_m2"]
    types = pyogrio.read_info(folder / "truth.gpkg", layer="villages")["ogr_types"]
    assert types == ["OFTInteger", "OFTDate", "OFTInteger", "OFTString", "OFTString", "OFTReal"]
    for year, rows in villages.groupby("period"):
        with rasterio.open(folder / f"city_{year}.tif") as image:
            assert image.crs == villages.crs
            assert {str(value)[:10] for value in rows["acquired"]} == {image.tags()["ACQUIRED"]}
            burnt = rasterio.features.rasterize(rows.geometry, out_shape=image.shape, transform=image.transform)
        assert burnt.sum() * 0.64 == pytest.approx(rows["area_m2"].sum())
    events = pyogrio.read_dataframe(folder / "truth.gpkg", layer="events", read_geometry=False)
    assert list(events.columns) == ["period", "acquired", "village_id", "event", "related_ids"]


def test_the_block_size_changes_nothing(tmp_path: Path) -> None:
    images = []
    for block in (512, 1024):
        out = tmp_path / str(block)
        simulate_city(out, size_m=560, gsd_m=1.0, periods=[2018], seed=2, block_px=block)
        with rasterio.open(out / "city_2018.tif") as image:
            images.append(image.read())
    np.testing.assert_array_equal(*images)


def test_files_are_replaced_only_when_asked(folder: Path) -> None:
    before = (folder / "city_2012.tif").read_bytes()
    with pytest.raises(OutputError, match="overwrite"):
        simulate_city(folder, size_m=400, gsd_m=0.8, periods=[2012, 2016], seed=8)
    assert (folder / "city_2012.tif").read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["city_2012.tif", "city_2016.tif", "truth.gpkg"]


def test_no_link_is_followed_or_replaced_and_that_is_known_before_the_work(tmp_path: Path) -> None:
    drawn: list[str] = []
    (tmp_path / "city_2012.tif").symlink_to(tmp_path / "nowhere.tif")
    (tmp_path / "truth.gpkg").mkdir()
    for period in (2012, 2016):
        with pytest.raises(OutputError, match="is a link" if period == 2012 else "is a folder"):
            simulate_city(
                tmp_path, size_m=400, gsd_m=0.8, periods=[period], seed=8, overwrite=True,
                progress=lambda what, done, total: drawn.append(what),
            )  # fmt: skip
    assert not drawn
    assert {path.name for path in tmp_path.iterdir()} == {"city_2012.tif", "truth.gpkg"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gsd_m": 0.0}, "gsd"),
        ({"size_m": 20}, "size"),
        ({"periods": []}, "periods"),
        ({"periods": [2016, 2012]}, "ascending"),
        ({"crs": "EPSG:4326"}, "metres"),
        ({"crs": "nonsense"}, "nonsense"),
        ({"block_px": 1000}, "multiple"),
    ],
)
def test_impossible_settings_are_named(tmp_path: Path, changed: dict[str, object], says: str) -> None:
    arguments = {"size_m": 400, "gsd_m": 0.8, "periods": [2012], "seed": 1, **changed}
    with pytest.raises(SettingsError, match=says):
        simulate_city(tmp_path / "out", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
