"""STAC items: the image, bands and date that they tell of, and what an item of somebody else cannot make us read."""

import datetime
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine

from uvsam.errors import SceneError, SettingsError
from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import IDENTITY
from uvsam.raster.scene import Scene
from uvsam.raster.stac import is_stac, read_items
from uvsam.raster.window import Window

COG = "image/tiff; application=geotiff; profile=cloud-optimized"
RGB = ("red", "green", "blue")


def item(assets: dict[str, Any], **properties: Any) -> dict[str, Any]:
    properties = {"datetime": "2020-05-17T10:20:30Z"} | properties
    place = {"geometry": None, "links": [{"rel": "root", "href": "https://never.asked.example"}]}
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "city",
        "properties": properties,
        "assets": assets,
    } | place


def asset(href: str = "a.tif", bands: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    named = {"eo:bands": [{"name": f"B{n}", "common_name": name} for n, name in enumerate(bands)]} if bands else {}
    return {"href": href, "type": COG} | named | more


def save(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def write(path: Path, pixels: np.ndarray, *, col: int = 0, driver: str = "GTiff", **profile: Any) -> Path:
    count, height, width = pixels.shape
    profile |= {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000 + col / 2, 0, -0.5, 2106000)}
    with rasterio.open(
        path, "w", driver=driver, count=count, height=height, width=width, dtype=pixels.dtype, **profile
    ) as dataset:
        dataset.write(pixels)
    return path


def noise(*shape: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 250, shape).astype("uint8")


def pixels_of(scene: Scene) -> np.ndarray:
    with SceneReader(scene, IDENTITY) as reader:
        return reader.read(Window(0, 0, *scene.shape)).pixels


def test_an_item_gives_image_bands_and_date(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pixels = noise(4, 20, 30)
    write(tmp_path / "images" / "ms.tif", pixels)
    bands = ("blue", "green", "red", "nir")
    for href in ("./images/ms.tif", str(tmp_path / "images/ms.tif"), (tmp_path / "images/ms.tif").as_uri()):
        path = save(tmp_path / "item.json", item({"ms": asset(href, bands), "thumbnail": asset("t.png")}))
        scene = open_inputs(path)
        assert scene.uri == str(tmp_path / "images" / "ms.tif")
        assert scene.bands == (3, 2, 1)
        assert scene.acquired == datetime.date(2020, 5, 17)
        np.testing.assert_array_equal(pixels_of(scene), pixels[[2, 1, 0]])


@pytest.mark.parametrize("nodata", [None, 0])
def test_three_assets_of_one_band_are_one_image(tmp_path: Path, nodata: int | None) -> None:
    pixels = noise(3, 20, 30)
    pixels[:, 5:9] = 0
    for colour, band in zip(RGB, pixels, strict=True):
        write(tmp_path / f"{colour}.tif", band[None], nodata=nodata)
    assets = {f"B{n}": asset(f"{colour}.tif", (colour,)) for n, colour in enumerate(("green", "red", "blue"))}
    scene = open_inputs(save(tmp_path / "item.json", item(assets | {"nir": asset("nir.tif", ("nir",))})))
    with SceneReader(scene, IDENTITY) as reader:
        chip = reader.read(Window(0, 0, 20, 30))
    np.testing.assert_array_equal(chip.pixels, pixels)
    np.testing.assert_array_equal(chip.valid, (pixels > 0).all(axis=0) | (nodata is None))
    write(tmp_path / "red.tif", noise(1, 20, 20), nodata=nodata)
    with pytest.raises(SceneError, match=r"red\.tif and .*green\.tif do not cover the same pixels"):
        open_inputs(tmp_path / "item.json")
    write(tmp_path / "red.tif", pixels[:1], nodata=nodata)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(tmp_path / "red.tif", "r+") as red:
        red.write_mask(np.ones((20, 30), bool))
    with pytest.raises(SceneError, match=r"red\.tif has a mask"):
        open_inputs(save(tmp_path / "item.json", item({colour: asset(f"{colour}.tif") for colour in RGB})))


def test_items_of_one_grid_are_one_image(tmp_path: Path) -> None:
    pixels = noise(3, 10, 40)
    for n in range(4):
        write(tmp_path / f"{n}.tif", pixels[:, :, 10 * n : 10 * n + 10], col=10 * n)
    items = [item({"visual": asset(f"{n}.tif", RGB)}) for n in range(4)]
    collection = {"type": "FeatureCollection", "features": items[:2]}
    for documents in ([collection, items[2:]], [collection, {"type": "FeatureCollection", "features": items[2:]}]):
        paths = [save(tmp_path / f"{n}.json", document) for n, document in enumerate(documents)]
        np.testing.assert_array_equal(pixels_of(open_inputs(paths)), pixels)
    np.testing.assert_array_equal(pixels_of(open_inputs([paths[0], tmp_path / "2.tif"])), pixels[:, :, :30])


def test_an_item_on_the_network(tmp_path: Path, server: str) -> None:
    pixels = noise(3, 300, 200)
    (tmp_path / "items" / "deep").mkdir(parents=True)
    write(tmp_path / "plain.tif", pixels)
    rasterio.shutil.copy(tmp_path / "plain.tif", tmp_path / "items" / "city.tif", driver="COG")
    save(tmp_path / "items" / "deep" / "city_2020", item({"visual": asset("../city.tif")}))
    for address in (f"{server}/items/deep/city_2020", f"{server}/items/deep/city_2020?token=1"):
        scene = open_inputs(address)
        assert scene.uri == f"{server}/items/city.tif"
        assert scene.acquired == datetime.date(2020, 5, 17)
        np.testing.assert_array_equal(pixels_of(scene), pixels)
    write(tmp_path / "east.tif", noise(3, 300, 100, seed=2), col=200)
    save(tmp_path / "both.json", [item({"data": asset(f"{name}.tif")}) for name in ("plain", "east")])
    mosaic = open_inputs(f"{server}/both.json")
    assert mosaic.shape == (300, 300)
    np.testing.assert_array_equal(pixels_of(mosaic)[:, :, :200], pixels)
    with pytest.raises(SceneError, match="partly here, partly on the network"):
        open_inputs([f"{server}/plain.tif", tmp_path / "east.tif"])
    for address, words in ((f"{server}/nowhere.json", "404"), ("http://127.0.0.1:9/x.json", "no connection")):
        with pytest.raises(SceneError, match=words):
            open_inputs(address)


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://stac.example/collections/c/items/S2B_43QBB", True),
        ("https://stac.example/search?bbox=1,2,3,4", True),
        ("https://a.example/items/visual.tif", False),
        ("https://a.example/item.json?sig=a%2Fb", True),
        ("http://[.json", True),
        ("city.json", True),
        ("city.tif", False),
        ("/vsicurl/https://a.example/b.tif", False),
    ],
)
def test_what_is_taken_for_an_item(uri: str, expected: bool) -> None:
    assert is_stac(uri) is expected


WAYS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "visual before bands": ({"ms": asset("ms.tif", (*RGB, "nir")), "visual": asset("v.tif")}, ("v.tif",)),
    "by role": ({"a": asset("a.tif", roles=["visual"]), "b": asset("b.tif", ("nir",))}, ("a.tif",)),
    "bands before files of one": (
        {"image": asset("i.tif", ("nir", *RGB))} | {colour: asset(f"{colour}.tif") for colour in RGB},
        ("i.tif",),
    ),
    "GeoTIFF before JPEG 2000": (
        {"a": asset("a.jp2", type="image/jp2", roles=["visual"]), "b": asset("b.tif", roles=["visual"])},
        ("b.tif",),
    ),
    "keys of colours": ({colour: asset(f"{colour}.tif") for colour in sorted(RGB)}, tuple(f"{c}.tif" for c in RGB)),
    "colours in several sizes": (
        {f"{c}{size}": asset(f"{c}{size}.tif", (c,)) for c in RGB for size in ("_20m", "")},
        tuple(f"{c}.tif" for c in RGB),
    ),
    "a usual key": ({"image": asset("i.tif"), "dem": asset("d.tif")}, ("i.tif",)),
    "the only one": ({"foo": asset("f.tif"), "meta": asset("m.xml", type="application/xml")}, ("f.tif",)),
    "no type": ({"foo": {"href": "f.TIF"}, "bar": {"href": "b.txt"}}, ("f.TIF",)),
    "no pictures": (
        {
            "data": asset("d.tif"),
            "preview": asset("p.tif", roles=["overview"]),
            "t": asset("t.tif", roles=["thumbnail"]),
        },
        ("d.tif",),
    ),
    "no pan image": ({"visual": asset("p.tif", ("pan",)), "b": asset("b.tif", RGB)}, ("b.tif",)),
}


@pytest.mark.parametrize(("assets", "hrefs"), WAYS.values(), ids=WAYS)
def test_which_asset_is_the_image(tmp_path: Path, assets: dict[str, Any], hrefs: tuple[str, ...]) -> None:
    [found] = read_items(str(save(tmp_path / "item.json", item(assets))))
    assert found.uris == tuple(str(tmp_path / href) for href in hrefs)


def test_bands_as_stac_has_them_since_1_1(tmp_path: Path) -> None:
    bands = [{"name": name, "eo:common_name": name} for name in ("blue", "green", "red")]
    [found] = read_items(str(save(tmp_path / "item.json", item({"x": {"href": "a.tif", "type": COG, "bands": bands}}))))
    assert found.bands == (3, 2, 1)


def test_the_user_chooses_where_it_is_not_clear(tmp_path: Path) -> None:
    one, two = noise(3, 8, 8), noise(3, 8, 8, seed=2)
    write(tmp_path / "one.tif", one)
    write(tmp_path / "two.tif", two)
    for n, band in enumerate(two):
        write(tmp_path / f"b{n}.tif", band[None])
    assets = {"one": asset("one.tif"), "two": asset("two.tif")} | {f"b{n}": asset(f"b{n}.tif") for n in range(3)}
    path = save(tmp_path / "item.json", item(assets))
    for given, words in ((None, "not clear; choose with --asset: it has one, two, b0, b1, b2"), ("three", "'three'")):
        with pytest.raises(SceneError, match=words):
            open_inputs(path, asset=given)
    np.testing.assert_array_equal(pixels_of(open_inputs(path, asset="one")), one)
    np.testing.assert_array_equal(pixels_of(open_inputs(path, asset="one", bands=(2, 3, 1))), one[[1, 2, 0]])
    np.testing.assert_array_equal(pixels_of(open_inputs(path, asset="b2,b0,b1")), two[[2, 0, 1]])
    for given, bands in (("b0,b1", None), ("b0,b1,b2", (3, 2, 1))):
        with pytest.raises(SettingsError):
            open_inputs(path, asset=given, bands=bands)


def test_dates_of_items(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(3, 8, 8))
    day = datetime.date(2020, 5, 17)
    span = {"datetime": None, "start_datetime": "2020-05-17T22:00:00Z"}
    for properties in (
        {"datetime": "2020-05-17T23:59:59Z"},
        {"datetime": "2020-05-18T01:00:00+05:30"},
        {"datetime": None, "start_datetime": "2020-05-17T00:00:00Z", "end_datetime": "2020-05-17T23:59:59Z"},
        span | {"end_datetime": "2020-05-18T03:00:00Z"},
    ):
        path = save(tmp_path / "item.json", item({"visual": asset()}, **properties))
        assert open_inputs(path).acquired == day
    save(path, item({"visual": asset()}, **span, end_datetime="2020-07-01T00:00:00Z"))
    with pytest.raises(SceneError, match=r"'city' of .*item\.json spans 2020-05-17 to 2020-07-01; say with --date"):
        open_inputs(path)
    assert open_inputs(path, acquired=day).acquired == day
    write(tmp_path / "b.tif", noise(3, 8, 8), col=8)
    save(path, [item({"visual": asset()}), item({"visual": asset("b.tif")}, datetime="2021-01-01T00:00:00Z")])
    with pytest.raises(SceneError, match="run them separately, or say one day with --date"):
        open_inputs(path)


def test_a_gsd_that_is_not_that_of_the_pixels_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(3, 8, 8))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for own, of_item in ((None, 0.52), (0.5, 10)):
            save(tmp_path / "item.json", item({"visual": asset(gsd=own)}, gsd=of_item))
            open_inputs(tmp_path / "item.json")
    save(tmp_path / "item.json", item({"visual": asset()}, gsd=0.3))
    with pytest.warns(UserWarning, match=r"says 0\.3 m, its pixels are 0\.5 m"):
        open_inputs(tmp_path / "item.json")


@pytest.mark.parametrize("href", ["/etc/a.tif", "file:///etc/a.tif", "/vsimem/a.tif", "\\\\host\\a.tif", "C:/a.tif"])
def test_an_item_from_the_network_names_no_file_of_this_machine(tmp_path: Path, server: str, href: str) -> None:
    save(tmp_path / "item.json", item({"visual": asset(href)}))
    with pytest.raises(SceneError, match="not on the network"):
        open_inputs(f"{server}/item.json")


@pytest.mark.parametrize("where", ["here", "there"])
@pytest.mark.parametrize(
    "href",
    ["vrt:///etc/a.tif", "zip://a.zip!a.tif", "ftp://a.example/a.tif", "NETCDF:a.nc:v", "http://[", "a\nb.tif", ""],
)
def test_an_item_names_nothing_but_files(tmp_path: Path, server: str, href: str, where: str) -> None:
    path = save(tmp_path / "item.json", item({"visual": asset(href)}))
    with pytest.raises(SceneError, match=r"item\.json") as caught:
        open_inputs(path if where == "here" else f"{server}/item.json")
    assert len(str(caught.value).splitlines()) == 1


def test_gdal_takes_what_an_item_names_for_a_file(tmp_path: Path, server: str) -> None:
    """Neither its virtual file systems nor formats that name further files are reached through an item."""
    write(tmp_path / "secret.tif", noise(3, 8, 8))
    rasterio.shutil.copy(tmp_path / "secret.tif", tmp_path / "vrt.tif", driver="VRT")
    text = (tmp_path / "vrt.tif").read_text()
    for href in ("/vsicurl/http://a.example/b.tif", "../../../../../../../../vsimem/a.tif", "file:///vsizip/a.tif"):
        path = save(tmp_path / "item.json", item({"visual": asset(href)}))
        with pytest.raises(SceneError, match="no file for GDAL"):
            open_inputs(path)
    for href in ("vrt.tif", text.replace("\n", "")):
        path = save(tmp_path / "item.json", item({"visual": asset(href)}))
        for uri in (path, f"{server}/item.json"):
            with pytest.raises(SceneError, match=r"cannot open|does not exist"):
                open_inputs(uri)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("{}", "is not a STAC item: type: Field required"),
        ("3", "is not a STAC item"),
        ('{"type": "Collection"}', "is a STAC Collection; give the items in it"),
        ('{"type": "FeatureCollection", "features": []}', "has no item"),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {}}]}', "stac_version"),
        (json.dumps(item({})), "it has no assets"),
        (json.dumps(item({"a\x1b[2J\n": asset(), "b": asset()})), "it has a?[2J?, b"),
        (json.dumps(item({"a" * 10**6: asset("vrt://x")}) | {"id": "i" * 10**6}), "names vrt://x; only files and az"),
        (json.dumps(item({"a": {"href": 3}})), "assets.a.href"),
        (json.dumps(item({"a": asset()}, datetime="yesterday")), "properties.datetime"),
    ],
)
def test_what_is_no_item_is_told_in_one_line(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "item.json"
    path.write_text(content)
    with pytest.raises(SceneError, match=re.escape(words)) as caught:
        open_inputs(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_items_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="does not exist"):
        open_inputs(tmp_path / "nowhere.json")
    with pytest.raises(SceneError, match=r"gone\.tif does not exist"):
        open_inputs(save(tmp_path / "item.json", item({"visual": asset("gone.tif")})))


def test_a_search_that_goes_on_says_so(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", noise(3, 8, 8))
    page = {
        "type": "FeatureCollection",
        "features": [item({"visual": asset()})],
        "links": [{"rel": "next", "href": "x"}],
    }
    with pytest.warns(UserWarning, match="first page of several"):
        open_inputs(save(tmp_path / "page.json", page))
