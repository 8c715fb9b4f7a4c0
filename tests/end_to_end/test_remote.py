"""Images on the network: what is read of them is what is looked at, and little more. A server here counts."""

import json
import urllib.parse
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.shutil
import shapely
from affine import Affine
from rasterio.windows import Window as RioWindow

from uvsam.catalog.cards import card_path, load_card
from uvsam.cli.main import run
from uvsam.errors import SceneError
from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.window import Window
from uvsam.vectors.formats import read_run
from uvsam.vectors.villages import villages_from_scores

SIDE_PX, BLOCK_PX, GSD_M = 8192, 256, 0.75
AOI_PX = SIDE_PX // 10
"""One hundredth of the image."""
LEFT, TOP = 440_000, 4_420_000
CORNER_PX = 3 * 512
"""Where the area of interest begins: where a tile does, so that it lies in 2 x 2 tiles."""


def simulated(path: Path, city: Path, side_px: int, dtype: str = "uint8", **options: object) -> Path:
    """An image of a simulated city that goes on and on."""
    with rasterio.open(city / "city_2020.tif") as image:
        patch = image.read(window=RioWindow(0, 0, 1000, 1000)).astype(dtype) * (1 if dtype == "uint8" else 100)
    plain = path.with_name("patch.tif")
    profile = {"driver": "GTiff", "count": 3, "dtype": dtype, "crs": "EPSG:32650"}
    with rasterio.open(plain, "w", width=1000, height=1000, **profile) as dataset:
        dataset.write(patch)
    bands = "".join(
        f'<VRTRasterBand dataType="{"Byte" if dtype == "uint8" else "UInt16"}" band="{band}">'
        f"<ColorInterp>{colour}</ColorInterp>"
        + "".join(
            f"<SimpleSource><SourceFilename>{plain}</SourceFilename><SourceBand>{band}</SourceBand>"
            f'<SrcRect xOff="0" yOff="0" xSize="1000" ySize="1000"/>'
            f'<DstRect xOff="{col}" yOff="{row}" xSize="1000" ySize="1000"/></SimpleSource>'
            for row in range(0, side_px, 1000)
            for col in range(0, side_px, 1000)
        )
        + "</VRTRasterBand>"
        for band, colour in enumerate(("Red", "Green", "Blue"), start=1)
    )
    transform = Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP).to_gdal()
    vrt = (
        f'<VRTDataset rasterXSize="{side_px}" rasterYSize="{side_px}"><SRS>EPSG:32650</SRS>'
        f"<GeoTransform>{', '.join(map(str, transform))}</GeoTransform>{bands}</VRTDataset>"
    )
    rasterio.shutil.copy(vrt, path, num_threads=2, **options)
    plain.unlink()
    return path


@pytest.fixture(scope="module")
def cog(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("remote") / "city.tif"
    return simulated(
        path, city, SIDE_PX, driver="COG", compress="JPEG", blocksize=BLOCK_PX, overview_resampling="nearest"
    )


@pytest.fixture
def district(tmp_path: Path) -> Path:
    x, y, side = LEFT + CORNER_PX * GSD_M, TOP - CORNER_PX * GSD_M, AOI_PX * GSD_M
    frame = gpd.GeoDataFrame(geometry=[shapely.box(x, y - side, x + side, y)], crs="EPSG:32650")
    frame.to_parquet(tmp_path / "district.parquet")
    return tmp_path / "district.parquet"


def test_of_a_remote_image_little_more_is_read_than_the_area_of_interest(
    cog: Path, district: Path, site: Any, tmp_path: Path
) -> None:
    """The four tiles that the area lies in, with what the network sees around them, are in 3.5 % of the blocks."""
    (tmp_path / "city.tif").symlink_to(cog)
    image, out = f"{site.address}/city.tif", tmp_path / "villages.fgb"
    site.etag = '"one"'  # as servers say it; else pixels would tell whether it is still the same file
    assert run(["predict", image, "--out", str(out), "--aoi", str(district), "--model", "uvsam-specialist"]) == 0
    looked_at = gpd.read_file(tmp_path / "villages_coverage.fgb").area.sum()
    assert looked_at / (SIDE_PX * GSD_M) ** 2 == pytest.approx(0.01, rel=0.02)
    assert site.sent["city.tif"] < 0.04 * cog.stat().st_size
    beside = {name: count for name, count in site.asked.items() if name != "city.tif"}
    assert beside == {"city.tif.msk": 1, "city.tif.aux.xml": 1, "city.tif.ovr": 1, "city.tfw": 1, "city.wld": 1}


def test_a_vrt_of_remote_images_is_read_where_it_is_looked_at(cog: Path, site: Any, tmp_path: Path) -> None:
    (tmp_path / "city.tif").symlink_to(cog)
    vrt = tmp_path / "city.vrt"
    rasterio.shutil.copy(f"/vsicurl/{site.address}/city.tif", vrt, driver="VRT")
    window = Window(CORNER_PX, CORNER_PX, AOI_PX, AOI_PX)
    with rasterio.open(cog) as local:
        expected = local.read(window=RioWindow(CORNER_PX, CORNER_PX, AOI_PX, AOI_PX))
    site.sent.clear()
    site.asked.clear()
    scene = open_inputs(vrt)
    with SceneReader(scene, estimate_stretch(scene)) as reader:
        np.testing.assert_array_equal(reader.read(window).pixels, expected)
    assert site.sent["city.tif"] < 0.02 * cog.stat().st_size
    assert set(site.asked) == {"city.tif"}
    vrt.write_text(vrt.read_text().replace("/vsicurl/http", "http"))
    with pytest.raises(SceneError, match="would download as a whole; write /vsicurl/http://127"):
        open_inputs(vrt)


def test_the_colours_of_a_remote_image_are_judged_by_a_part_of_it(city: Path, site: Any, tmp_path: Path) -> None:
    """Sixteen bits, which are stretched, and no overviews, which would be read for that."""
    path = simulated(
        tmp_path / "deep.tif", city, 5000, "uint16", driver="GTiff", tiled=True, blockxsize=256, blockysize=256,
        compress="LZW",
    )  # fmt: skip
    here = estimate_stretch(open_inputs(path))
    scene = open_inputs(f"{site.address}/deep.tif")
    with pytest.warns(UserWarning, match="has no overviews, so that its colours are judged by 36 small places"):
        there = estimate_stretch(scene)
    assert (*there.low, *there.high) == pytest.approx((*here.low, *here.high), rel=0.15)
    assert site.sent["deep.tif"] < 0.25 * path.stat().st_size


SECRET = "s3cr3t"
"""Stands in a password, in a signature, and nowhere else."""


def signed(site: Any, name: str) -> str:
    return f"{site.address.replace('//', f'//user:{SECRET}@')}/{name}?X-Amz-Signature={SECRET}&expires=1"


def all_bytes(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.name, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as packed:
                    yield from ((f"{path.name}/{name}", packed.read(name)) for name in packed.namelist())


@pytest.mark.filterwarnings("ignore")
def test_passwords_and_signatures_are_neither_written_nor_printed(
    city: Path, site: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Of an image, of GDAL's other spelling, of an item that names one, and of what cannot be opened."""
    (tmp_path / "city.tif").symlink_to(city / "city_2020.tif")
    out = tmp_path / "out"
    out.mkdir()
    image, villages = signed(site, "city.tif"), out / "v.gpkg"
    other = f"/vsicurl?empty_dir=yes&url={urllib.parse.quote(image, safe='')}"
    asset = {"href": image, "type": "image/tiff"}
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "one", "properties": {"datetime": "2020-05-17T00:00:00Z"},
        "assets": {"visual": asset},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    quick = ["--model", "uvsam-specialist"]
    all_files = ["--preview", str(out / "v.png"), "--stac", str(out / "v.json"), "--save-mask", str(out / "m.tif")]
    assert run(["predict", image, "--out", str(villages), *all_files, *quick, "--json"]) == 0
    assert run(["predict", signed(site, "item.json"), "--out", str(out / "v.geojson"), *quick]) == 0
    assert run(["review", str(villages), "--image", image, "--out", str(out / "r.qgz")]) == 0
    for uri in (image, other, signed(site, "item.json")):
        assert run(["info", uri]) == 0
        assert run(["info", uri, "--json"]) == 0
    for uri in (signed(site, "none.tif"), signed(site, "none.json"), other.replace("city", "none")):
        assert run(["predict", uri, "--out", str(out / "none.gpkg"), *quick, "-v"]) == 1
    assert run(["predict", image, "--out", str(villages), *quick, "--dask", f"tcp://u:{SECRET}@127.0.0.1:1/?{SECRET}"])
    said = capfd.readouterr()
    assert "city.tif" in said.out
    assert "none.tif" in said.err
    assert SECRET not in said.out + said.err
    found = {name for name, content in all_bytes(out) if SECRET.encode() in content}
    assert found == set()
    assert json.loads(read_run(villages)["inputs"]) == [f"{site.address}/city.tif"]


def test_a_stopped_run_keeps_no_signature(
    city: Path, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on with another signature of the same image, as signatures are good for an hour."""
    (tmp_path / "city.tif").symlink_to(city / "city_2020.tif")
    out = tmp_path / "v.gpkg"
    begun: list[str] = []

    def stop(*args: Any, **kwargs: Any) -> None:
        begun.extend(path.name for path in (tmp_path / "v.gpkg.uvsam").iterdir())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("uvsam.workflows.predict.villages_from_scores", stop)
        assert run(["predict", signed(site, "city.tif"), "--out", str(out), "--model", "uvsam-specialist"]) == 130
    assert "run.json" in begun
    assert {name for name, content in all_bytes(tmp_path / "v.gpkg.uvsam") if SECRET.encode() in content} == set()
    renewed = signed(site, "city.tif").replace(f"={SECRET}", "=another")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="what an earlier run")  # would be the end of the run
        assert run(["predict", renewed, "--out", str(out), "--model", "uvsam-specialist"]) == 0
    assert out.exists()


@pytest.mark.parametrize("what", ["image", "card"])
def test_a_run_that_was_stopped_does_not_go_on_with_another(
    what: str, city: Path, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image that was replaced on its server, and a card that was edited beside the same weights."""
    (tmp_path / "city.tif").symlink_to(city / "city_2020.tif")
    card = tmp_path / "own.yaml"
    text = card_path("uvsam-specialist").read_text()
    weights = load_card("uvsam-specialist").weights
    (tmp_path / weights).symlink_to(card_path("uvsam-specialist").parent / weights)
    card.write_text(text)
    site.etag = '"one"'
    command = ["predict", f"{site.address}/city.tif", "--out", str(tmp_path / "v.gpkg"), "--model", str(card)]

    def stop(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("uvsam.workflows.predict.villages_from_scores", stop)
        assert run(command) == 130
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="what an earlier run")
            assert run(command) == 130
        if what == "image":
            site.etag = '"two"'
        else:
            temperature = load_card(card).calibration.temperature
            edited = text.replace(f"temperature: {temperature}", f"temperature: {temperature * 2}")
            assert edited != text
            card.write_text(edited)
        differs = {"image": "files", "card": "card"}[what]
        with pytest.warns(UserWarning, match=rf"is of something else \({differs}\); all of it is done again"):
            assert run(command) == 130


def test_an_image_that_changes_while_it_is_read_is_no_result(
    city: Path, site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "city.tif").symlink_to(city / "city_2020.tif")
    site.etag = '"one"'
    out = tmp_path / "v.gpkg"

    def replaced(*args: Any, **kwargs: Any) -> Any:
        site.etag = '"two"'
        return villages_from_scores(*args, **kwargs)

    monkeypatch.setattr("uvsam.workflows.predict.villages_from_scores", replaced)
    command = ["predict", f"{site.address}/city.tif", "--out", str(out), "--model", "uvsam-specialist"]
    assert run(command) == 1
    assert "city.tif was changed while it was read; run the same command again" in capfd.readouterr().err
    assert not out.exists()
    assert run(command) == 0
