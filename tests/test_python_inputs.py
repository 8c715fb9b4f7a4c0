"""What Python holds, arrays, datasets, frames, clients, gives what the same in a file gives; or it is said why not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.array
import geopandas as gpd
import numpy as np
import odc.geo.xr
import pytest
import rasterio
import shapely
import torch
import xarray as xr
from distributed import Client
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from PIL import Image
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

import uvsam
from uvsam.errors import LabelError, OutputError, SceneError, SettingsError, UvsamError
from uvsam.raster.arrays import of_array, of_xarray, write_pixels
from uvsam.raster.scene import open_scene
from uvsam.simulate import simulate_city

MODEL = "uvsam-specialist"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulate_city(tmp_path_factory.mktemp("city"), size_m=400, gsd_m=0.8, periods=[2020], seed=5)[0]


@pytest.fixture(scope="module")
def pixels(image: Path) -> NDArray[np.uint8]:
    with rasterio.open(image) as file:
        return file.read()  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def place(image: Path) -> dict[str, Any]:
    with rasterio.open(image) as file:
        return {"transform": file.transform, "crs": file.crs}


@pytest.fixture(scope="module")
def array(pixels: NDArray[np.uint8], place: dict[str, Any]) -> xr.DataArray:
    geobox = GeoBox(pixels.shape[1:], place["transform"], place["crs"].to_wkt())
    return odc.geo.xr.wrap_xr(pixels, geobox, axis=1, dims=("band", "y", "x"))


@pytest.fixture(scope="module")
def expected(image: Path) -> list[bytes]:
    found = outlines(uvsam.predict(image, model=MODEL))
    assert found
    return found


def outlines(villages: gpd.GeoDataFrame) -> list[bytes]:
    return list(shapely.to_wkb(villages.geometry.to_numpy()))


def test_an_array_gives_what_its_file_gives(
    pixels: NDArray[np.uint8], place: dict[str, Any], expected: list[bytes], tmp_path: Path
) -> None:
    found = uvsam.predict(pixels, **place, model=MODEL, out=tmp_path / "villages.gpkg")
    assert outlines(found) == expected
    assert found.attrs["run"]["inputs"] == [f"an array {pixels.shape} of uint8"]
    assert [path.name for path in tmp_path.iterdir()] == ["villages.gpkg"]


@pytest.mark.parametrize("kind", ["file order", "bands last", "in pieces", "dataset", "one time"])
def test_a_data_array_gives_what_its_file_gives(kind: str, array: xr.DataArray, expected: list[bytes]) -> None:
    colours = array.assign_coords(band=["red", "green", "blue"]).to_dataset("band")
    given: dict[str, Any] = {
        "file order": array, "bands last": array.transpose("y", "x", "band"), "in pieces": array.chunk(y=100, x=130),
        "dataset": colours[["blue", "green", "red"]],
        "one time": colours.expand_dims(time=[np.datetime64("2020-05-17")]),
    }  # fmt: skip
    found = uvsam.predict(given[kind], model=MODEL)
    assert outlines(found) == expected
    assert found.attrs["run"]["acquired"] == ("2020-05-17" if kind == "one time" else None)


def test_an_open_dataset_gives_what_its_file_gives(image: Path, expected: list[bytes], tmp_path: Path) -> None:
    with rasterio.open(image) as file, WarpedVRT(file) as vrt, MemoryFile(image.read_bytes()) as memory:
        assert outlines(uvsam.predict(file, model=MODEL)) == expected
        assert outlines(uvsam.predict([vrt, image], model=MODEL)) == expected
        with memory.open() as held:
            assert outlines(uvsam.predict(held, model=MODEL)) == expected
        with pytest.raises(TypeError, match=r"open\(\)"):
            uvsam.predict(memory, model=MODEL)  # type: ignore[arg-type]
    with pytest.raises(SceneError, match="closed"):
        uvsam.predict(file, model=MODEL)
    profile = {"driver": "GTiff", "width": 9, "height": 9, "count": 3, "dtype": "uint8"}
    with (
        rasterio.open(tmp_path / "new.tif", "w", **profile) as new,
        pytest.raises(SceneError, match="open for writing"),
    ):
        uvsam.predict(new, model=MODEL)


def test_a_dataset_that_shows_other_pixels_than_its_file_is_what_it_shows(image: Path, tmp_path: Path) -> None:
    with rasterio.open(image) as file, WarpedVRT(file, width=200, height=150, transform=file.transform) as part:
        found = uvsam.predict(part, model=MODEL)
        assert found.attrs["run"]["input_size_px"] == [200, 150]


@pytest.mark.parametrize("kind", [">u2", "int64", "float16", "float64", "int8", "uint32"])
def test_any_type_of_number_is_written_as_it_is(kind: str, pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    given = np.asfortranarray((pixels // 2).astype(kind))
    write_pixels(of_array(given), tmp_path / "image.tif")
    with rasterio.open(tmp_path / "image.tif") as file:
        np.testing.assert_array_equal(file.read(), given)
        assert file.dtypes[0] == {">u2": "uint16", "float16": "float32"}.get(kind, kind)


def test_what_is_computed_in_pieces_is_written_once_each(pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    large = np.tile(pixels, (1, 6, 6))
    asked = []
    lazily = dask.array.map_blocks(
        lambda block: asked.append(block.shape) or block, dask.array.from_array(large, chunks=(3, 700, 900)),
        dtype=large.dtype, meta=large[:0, :0, :0],
    )  # fmt: skip
    write_pixels(of_array(lazily), tmp_path / "image.tif")
    with rasterio.open(tmp_path / "image.tif") as file:
        np.testing.assert_array_equal(file.read(), large)
    assert len(asked) == np.prod(lazily.numblocks)


def test_masks_are_what_files_say(pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    masked = np.ma.masked_array(pixels, np.zeros(pixels.shape, bool))
    masked[0, :50] = np.ma.masked
    write_pixels(of_array(masked), tmp_path / "masked.tif")
    with rasterio.open(tmp_path / "masked.tif") as file:
        np.testing.assert_array_equal(file.dataset_mask() == 0, masked.mask.any(axis=0))
        np.testing.assert_array_equal(file.read(), pixels)
    profile = {"driver": "GTiff", "width": 30, "height": 20, "count": 3, "dtype": "uint8", "nodata": 0}
    with rasterio.open(tmp_path / "nodata.tif", "w", **profile) as file:
        file.write(pixels[:, :20, :30] * (np.arange(30) > 9).astype(np.uint8))
    with rasterio.open(tmp_path / "nodata.tif") as file:
        write_pixels(of_array(file.read(masked=True)), tmp_path / "again.tif")
        with rasterio.open(tmp_path / "again.tif") as again:
            assert again.nodata == 0
            np.testing.assert_array_equal(again.read(), file.read())


def test_a_masked_data_array_is_what_it_was_read_from(array: xr.DataArray, tmp_path: Path) -> None:
    masked = array.where(array.x > array.x[20]).astype("float32")
    masked.encoding = {"rasterio_dtype": "uint8", "_FillValue": 0}
    write_pixels(of_xarray(masked), tmp_path / "image.tif")
    with rasterio.open(tmp_path / "image.tif") as file:
        assert (file.dtypes[0], file.nodata) == ("uint8", 0)
        np.testing.assert_array_equal(file.read(), masked.fillna(0).values)
    computed = masked * 1.5
    computed.encoding = masked.encoding
    write_pixels(of_xarray(computed), tmp_path / "computed.tif")
    with rasterio.open(tmp_path / "computed.tif") as file:
        np.testing.assert_array_equal(file.read(), computed.values)


def test_names_of_bands_are_those_of_the_array(array: xr.DataArray, tmp_path: Path) -> None:
    named = xr.concat([array, array[:1]], "band").assign_coords(band=["blue", "green", "red", "alpha"])
    write_pixels(of_xarray(named), tmp_path / "image.tif")
    with rasterio.open(tmp_path / "image.tif") as file:
        assert file.descriptions == ("blue", "green", "red", "alpha")
        assert [meaning.name for meaning in file.colorinterp].index("alpha") == 3
    with rasterio.open(tmp_path / "image.tif") as file:
        assert uvsam.predict(file, model=MODEL).attrs["run"]["input_bands"] == [3, 2, 1]


def test_a_fourth_band_of_an_array_is_no_alpha_band(
    pixels: NDArray[np.uint8], place: dict[str, Any], expected: list[bytes]
) -> None:
    infrared = np.concatenate([pixels, np.where(pixels[:1] > 128, 0, pixels[:1])])
    with pytest.warns(UserWarning, match=r"an array .* has 4 bands .* Name them with bands=") as told:
        assert outlines(uvsam.predict(infrared, **place, model=MODEL)) == expected
    assert not any("array_0" in str(one.message) for one in told)


NOT_TAKEN: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "bands last": (lambda a: np.moveaxis(a, 0, -1), SceneError, r"np.moveaxis\(image, -1, 0\)"),
    "one band": (lambda a: a[0], SceneError, "three bands"),
    "a batch": (lambda a: a[None], SceneError, r"image\[0\]"),
    "no rows": (lambda a: a[:, :0], SceneError, "no pixels"),
    "bool": (lambda a: a > 9, SceneError, "bool"),
    "object": (lambda a: a.astype(object), SceneError, "object"),
    "complex": (lambda a: a.astype(complex), SceneError, "radar"),
    "paths": (lambda a: np.array(["a.tif", "b.tif"]), SceneError, "numbers"),
    "several": (lambda a: [a, a], TypeError, "not numpy.ndarray"),
    "tensor": (lambda a: torch.from_numpy(a), TypeError, r"image.numpy\(\)"),
    "picture": (lambda a: Image.fromarray(np.moveaxis(a, 0, -1)), TypeError, "PIL"),
    "None": (lambda a: None, TypeError, "not None"),
    "number": (lambda a: 3, TypeError, "not 3"),
    "bytes": (lambda a: b"city.tif", TypeError, "not b'city.tif'"),
    "frame": (lambda a: gpd.GeoDataFrame(geometry=[]), TypeError, "GeoDataFrame"),
    "set": (lambda a: {"a.tif"}, TypeError, "not set"),
    "nothing": (lambda a: [], SettingsError, "give an image"),
}


@pytest.mark.parametrize("kind", NOT_TAKEN)
def test_what_is_no_image_is_said_in_one_line(kind: str, pixels: NDArray[np.uint8], place: dict[str, Any]) -> None:
    make, error, message = NOT_TAKEN[kind]
    given = make(pixels)
    with pytest.raises(error, match=message) as raised:
        uvsam.predict(given, model=MODEL, **(place if isinstance(given, np.ndarray) else {}))
    assert "\n" not in str(raised.value)


def test_where_an_array_lies_has_to_be_said(pixels: NDArray[np.uint8], place: dict[str, Any], image: Path) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({}, "transform"), ({"crs": place["crs"]}, "transform"), ({"transform": place["transform"]}, "crs"),
        (place | {"transform": place["transform"].to_gdal()}, "from_gdal"), (place | {"crs": "UTM 43"}, "UTM 43"),
        (place | {"nodata": -1}, "nodata"),
    ]  # fmt: skip
    for given, message in wrong:
        with pytest.raises(UvsamError, match=message):
            uvsam.predict(pixels, model=MODEL, **given)
    with pytest.raises(SettingsError, match="belong to an array"):
        uvsam.predict(image, model=MODEL, **place)


def test_what_an_xarray_lacks_is_said(array: xr.DataArray, pixels: NDArray[np.uint8]) -> None:
    days = [np.datetime64("2020-05-17"), np.datetime64("2021-05-17")]
    wrong: list[tuple[Any, type[Exception], str]] = [
        (array.expand_dims(time=days), SceneError, r"\.isel\(time=0\)"),
        (xr.DataArray(pixels, dims=("band", "y", "x")), SceneError, "coordinate reference system"),
        (xr.DataArray(pixels, dims=("a", "b", "c")), SceneError, "dimensions"),
        (array[0], SceneError, "dimensions"),
        (array.assign_coords(band=["B4", "B3", "B2"]).to_dataset("band"), TypeError, "B4, B3, B2"),
    ]
    for given, error, message in wrong:
        with pytest.raises(error, match=message):
            uvsam.predict(given, model=MODEL)


@pytest.mark.parametrize("kind", ["frame", "degrees", "series", "geometry"])
def test_an_area_in_memory_is_that_of_a_file(kind: str, image: Path, tmp_path: Path) -> None:
    with rasterio.open(image) as file:
        left, bottom, right, top = file.bounds
        crs = file.crs
    area = shapely.box(left, bottom, (left + right) / 2, top)
    frame = gpd.GeoDataFrame({"name": ["west"], "tags": [["a", 1]]}, geometry=[area], crs=crs).rename_geometry("shape")
    frame[["name", "shape"]].to_file(tmp_path / "area.gpkg")
    given = {
        "frame": frame, "degrees": frame.to_crs(4326), "series": gpd.GeoSeries([area], crs=crs), "geometry": area
    }[kind]  # fmt: skip
    of_file = uvsam.predict(image, model=MODEL, aoi=tmp_path / "area.gpkg")
    found = uvsam.predict(image, model=MODEL, aoi=given)
    assert outlines(found) == outlines(of_file)
    assert found.attrs["coverage"] == of_file.attrs["coverage"]
    assert found.attrs["run"]["settings"]["aoi"] == "aoi"


def test_an_area_that_is_none_is_said_in_one_line(image: Path) -> None:
    wrong: list[tuple[Any, type[Exception], str]] = [
        (gpd.GeoSeries([shapely.box(0, 0, 1, 1)]), LabelError, "aoi has no coordinate reference system"),
        (gpd.GeoSeries([], crs=4326), LabelError, "aoi has no polygon"),
        (gpd.GeoDataFrame({"a": [1]}), LabelError, "set_geometry"),
        (shapely.box(0, 0, 1, 1), LabelError, "aoi lies outside"),
        ((1, 2, 3, 4), TypeError, "aoi should be"),
    ]
    for given, error, message in wrong:
        with pytest.raises(error, match=message):
            uvsam.predict(image, model=MODEL, aoi=given)


def test_a_client_computes_and_stays_open(
    pixels: NDArray[np.uint8], place: dict[str, Any], expected: list[bytes], tmp_path: Path
) -> None:
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
        out = tmp_path / "villages.gpkg"
        assert outlines(uvsam.predict(pixels, **place, model=MODEL, dask=client, out=out)) == expected
        assert client.status == "running"
        with pytest.raises(TypeError, match=r"Client\(cluster\)"):
            uvsam.predict(pixels, **place, model=MODEL, dask=client.cluster)
    with pytest.raises(SettingsError, match="closed"):
        uvsam.predict(pixels, **place, model=MODEL, dask=client)


def test_an_asynchronous_client_is_refused(image: Path) -> None:
    import asyncio

    async def ask() -> None:
        async with Client(processes=False, asynchronous=True, dashboard_address=":0") as client:
            with pytest.raises(SettingsError, match="asynchronous"):
                uvsam.predict(image, model=MODEL, dask=client)

    asyncio.run(ask())


def test_what_other_arguments_cannot_be_is_an_error_of_ours(image: Path, tmp_path: Path) -> None:
    (tmp_path / "villages.gpkg").touch()
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"out": 3}, TypeError, "out should be a path"), ({"model": 3}, TypeError, "int"),
        ({"save_mask": 3}, TypeError, "save_mask"), ({"dask": 3}, TypeError, "Client"),
        ({"threshold": "high"}, SettingsError, "threshold"), ({"date": "yesterday"}, SettingsError, "yesterday"),
        ({"device": "abacus"}, SettingsError, "abacus"), ({"runtime": "onnx"}, SettingsError, "runtime"),
        ({"out": tmp_path / "villages.gpkg"}, OutputError, "overwrite=True"),
    ]  # fmt: skip
    for given, error, message in wrong:
        with pytest.raises(error, match=message):
            uvsam.predict(image, **({"model": MODEL} | given))
    with pytest.raises(SettingsError, match="runtime"):
        uvsam.load_model(MODEL, runtime="onnx")  # type: ignore[arg-type]


def test_scores_of_all_that_is_an_image_are_the_same(
    image: Path, pixels: NDArray[np.uint8], array: xr.DataArray, place: dict[str, Any]
) -> None:
    model = uvsam.load_model(MODEL)
    expected = model.scores(image)
    with rasterio.open(image) as file:
        np.testing.assert_array_equal(model.scores(file), expected)
    np.testing.assert_array_equal(model.scores(array), expected)
    np.testing.assert_array_equal(model.scores(array.transpose("y", "x", "band").chunk(y=100)), expected)
    gsd = open_scene(image).gsd_m[0]  # which on the ellipsoid is not 0.8 m
    np.testing.assert_allclose(model.scores(pixels, gsd=gsd), expected, atol=1e-3)
    with pytest.raises(SceneError, match=r"np.moveaxis\(image, -1, 0\)"):
        model.scores(np.moveaxis(pixels, 0, -1), gsd=0.8)
    masked = np.ma.masked_array(pixels, np.broadcast_to(np.arange(pixels.shape[2]) < 40, pixels.shape))
    assert np.isnan(model.scores(masked, gsd=0.8)[:, :40]).all()
    one, other = (model.scores(pixels.astype(np.float32) / unit, gsd=0.8) for unit in (1, 255))
    np.testing.assert_allclose(one, other, atol=1e-3)


WORKERS = """
import sys, uvsam
uvsam.predict(sys.argv[1], model="uvsam-specialist", workers=1)
"""


def test_a_script_that_starts_itself_again_is_told_what_it_lacks(image: Path, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(WORKERS)
    command = [sys.executable, str(tmp_path / "script.py"), str(image)]
    path = os.pathsep.join([str(Path(uvsam.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    told = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}, check=False)
    assert told.returncode != 0
    assert 'if __name__ == "__main__":' in told.stderr.splitlines()[-1]
