"""Pipes and huge blocks behind every name that GDAL follows are found before GDAL opens any; honest names work."""

import gzip
import html
import os
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from tests.raster.test_limits import PLACE, write
from uvsam.errors import SceneError
from uvsam.raster.access import open_dataset
from uvsam.raster.pixels import read_raw
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

HEAD = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"{more}><SRS>EPSG:32643</SRS>'
    "<GeoTransform>270000,0.5,0,2106000,0,-0.5</GeoTransform>"
)


def text(source: object, *, relative: int = 0, kind: str = "SimpleSource", more: str = "") -> str:
    name = html.escape(str(source), quote=False)
    named = f'<SourceFilename relativeToVRT="{relative}">{name}</SourceFilename><SourceBand>1</SourceBand>{more}'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}"><{kind}>{named}</{kind}></VRTRasterBand>' for n in (1, 2, 3)
    )
    return f"{HEAD.format(more='')}{bands}</VRTDataset>"


def warped(source: object) -> str:
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}" subClass="VRTWarpedRasterBand"/>' for n in (1, 2, 3))
    maps = "".join(f'<BandMapping src="{n}" dst="{n}"/>' for n in (1, 2, 3))
    way = "270000,0.5,0,2106000,0,-0.5"
    back = "-540000,2,0,4212000,0,-2"
    head = HEAD.format(more=' subClass="VRTWarpedDataset"')
    return (
        f"{head}{bands}<GDALWarpOptions><WarpMemoryLimit>6e7</WarpMemoryLimit>"
        f'<ResampleAlg>NearestNeighbour</ResampleAlg><SourceDataset relativeToVRT="0">{html.escape(str(source))}'
        "</SourceDataset><Transformer><GenImgProjTransformer>"
        f"<SrcGeoTransform>{way}</SrcGeoTransform><SrcInvGeoTransform>{back}</SrcInvGeoTransform>"
        f"<DstGeoTransform>{way}</DstGeoTransform><DstInvGeoTransform>{back}</DstInvGeoTransform>"
        f"</GenImgProjTransformer></Transformer><BandList>{maps}</BandList></GDALWarpOptions></VRTDataset>"
    )


def raw(source: object) -> str:
    named = f'<SourceFilename relativetoVRT="0">{source}</SourceFilename><PixelOffset>1</PixelOffset>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{n}" subClass="VRTRawRasterBand">{named}'
        "<LineOffset>64</LineOffset></VRTRasterBand>"
        for n in (1, 2, 3)
    )
    return f"{HEAD.format(more='')}{bands}</VRTDataset>"


WAYS: dict[str, Callable[[Path], str]] = {
    "text": text,
    "text in text": lambda path: text(text(path)),
    "text in text in text": lambda path: text(text(text(path))),
    "vrt://": lambda path: text(f"vrt://{path}?bands=1"),
    "vrt://vrt://": lambda path: text(f"vrt://vrt://{path}?bands=1"),
    "vrt:// text": lambda path: text(f"vrt://{text(path)}"),
    "subfile": lambda path: text(f"/vsisubfile/0,{path}"),
    "subfile, size": lambda path: text(f"/vsisubfile/0_100000,{path}"),
    "page": lambda path: text(f"GTIFF_DIR:1:{path}"),
    "page by offset": lambda path: text(f"GTIFF_DIR:off:8:{path}"),
    "relative page": lambda path: text(f"GTIFF_DIR:1:{path.name}", relative=1),
    "relative": lambda path: text(path.name, relative=1),
    "in another case": lambda path: text(path).replace("SourceFilename", "sourceFILENAME"),
    "an attribute": lambda path: text("").replace("<SimpleSource>", f'<SimpleSource SourceFilename="{path}">'),
    "kernel": lambda path: text(
        path, kind="KernelFilteredSource", more="<Kernel><Size>1</Size><Coefs>1</Coefs></Kernel>"
    ),
    "warped": warped,
    "warped vrt://": lambda path: warped(f"vrt://{path}"),
}


def refusal(uri: str | Path) -> str:
    """What is said of an image; a pipe that is opened would wait for ever, so another thread asks."""
    said: list[str] = []

    def ask() -> None:
        try:
            open_scene(uri)
            said.append("opened")
        except SceneError as error:
            said.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(30)
    return said[0] if said else "waits"


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.tif")
    return tmp_path / "pipe.tif"


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    block = {"tiled": True, "blockxsize": 48000, "blockysize": 48000, "compress": "deflate", "sparse_ok": True}
    return write(tmp_path / "bomb.tif", 48000, written=False, **block)


def first_pixels(scene: Scene) -> np.ndarray:
    with open_dataset(scene.uri) as dataset:
        return read_raw(dataset, scene, Window(0, 0, 8, 8))[0]


@pytest.mark.parametrize("way", WAYS)
def test_a_pipe_is_found_behind_every_name(tmp_path: Path, pipe: Path, way: str) -> None:
    (tmp_path / "a.vrt").write_text(WAYS[way](pipe))
    assert "pipe.tif is a pipe or a device" in refusal(tmp_path / "a.vrt")


@pytest.mark.parametrize("way", WAYS)
def test_a_huge_block_is_found_behind_every_name(tmp_path: Path, bomb: Path, way: str) -> None:
    (tmp_path / "a.vrt").write_text(WAYS[way](bomb))
    assert "pixels in one block" in refusal(tmp_path / "a.vrt")


@pytest.mark.parametrize("way", WAYS)
def test_an_honest_file_is_read_behind_every_name(tmp_path: Path, way: str) -> None:
    path = write(tmp_path / "plain.tif")
    (tmp_path / "a.vrt").write_text(WAYS[way](path))
    if way == "page by offset":  # where it is in this file
        with rasterio.open(path) as dataset:
            offset = dataset.tags(ns="TIFF").get("IFD_OFFSET") or dataset.get_tag_item("IFD_OFFSET", "TIFF", bidx=1)
        (tmp_path / "a.vrt").write_text(text(f"GTIFF_DIR:off:{offset}:{path}"))
    assert (first_pixels(open_scene(tmp_path / "a.vrt")) == 9).all()


@pytest.mark.parametrize("form", ["vrt://{0}?bands=1,1,1", "/vsisubfile/0,{0}", "GTIFF_DIR:1:{0}", "file://{0}"])
def test_names_on_the_command_line_are_followed_too(tmp_path: Path, pipe: Path, bomb: Path, form: str) -> None:
    assert "is a pipe or a device" in refusal(form.format(pipe))
    assert "pixels in one block" in refusal(form.format(bomb))
    assert (first_pixels(open_scene(form.format(write(tmp_path / "plain.tif")))) == 9).all()


def test_vrts_inside_of_archives_are_read_before_gdal_opens_them(tmp_path: Path, pipe: Path) -> None:
    (tmp_path / "a.vrt").write_text(raw(pipe))
    (tmp_path / "honest.vrt").write_text(text("plain.tif", relative=1))
    write(tmp_path / "plain.tif")
    names = ("a.vrt", "honest.vrt", "plain.tif")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.write(tmp_path / name, f"in/{name}")
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as members:
        for name in names:
            members.add(tmp_path / name, f"in/{name}")
    with gzip.open(tmp_path / "a.vrt.gz", "wb") as packed:
        packed.write((tmp_path / "a.vrt").read_bytes())
    archives = [f"/vsizip/{tmp_path}/a.zip/in", f"/vsizip/{{{tmp_path}/a.zip}}/in", f"/vsitar/{tmp_path}/a.tgz/in"]
    for uri in [*(f"{archive}/a.vrt" for archive in archives), f"/vsigzip/{tmp_path}/a.vrt.gz"]:
        assert "is a pipe or a device" in refusal(uri)
    for archive_uri in archives:
        assert (first_pixels(open_scene(f"{archive_uri}/honest.vrt")) == 9).all()
    assert not list(tmp_path.glob("*.properties"))


def test_what_lies_beside_a_file_is_looked_at(tmp_path: Path, pipe: Path, bomb: Path) -> None:
    elsewhere = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{pipe}</MDI></Metadata>'
    for name, end, content in (
        ("mask", ".msk", text(bomb)),
        ("overviews", ".ovr", text(pipe)),
        ("elsewhere", ".aux.xml", f"<PAMDataset>{elsewhere}</PAMDataset>"),
    ):
        path = write(tmp_path / f"{name}.tif")
        Path(f"{path}{end}").write_text(content)
        said = refusal(path)
        assert "is a pipe" in said or "in one block" in said, name
    write(tmp_path / "sidecar.tif")
    os.mkfifo(tmp_path / "sidecar.tfw")
    assert "sidecar.tfw is a pipe" in refusal(tmp_path / "sidecar.tif")


@pytest.mark.parametrize(
    "name",
    ["DERIVED_SUBDATASET:LOGAMPLITUDE:{0}", "GTI:{0}", "ZARR:\"{0}\"", "WMS:http://127.0.0.1:1/?", "PG:dbname=x",
     "MEM:::DATAPOINTER=1,PIXELS=10,LINES=10", "/vsicached?file={0}", "/vsisparse/{0}", "/vsicrypt/key=x,file={0}",
     "<GDAL_WMS><Service/></GDAL_WMS>", "<GDALTileIndexDataset/>"],
)  # fmt: skip
def test_what_is_no_file_is_refused_as_an_image_and_in_a_vrt(tmp_path: Path, name: str) -> None:
    name = name.format(write(tmp_path / "plain.tif"))
    (tmp_path / "a.vrt").write_text(text(name))
    for uri in (name, tmp_path / "a.vrt"):
        assert any(word in refusal(uri) for word in ("is no file", "not used here", "lie elsewhere")), name


def test_services_and_indexes_in_files_are_no_images(tmp_path: Path) -> None:
    service = '<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:1/${z}</ServerUrl></Service></GDAL_WMS>'
    (tmp_path / "city.tif").write_text(service)
    (tmp_path / "a.vrt").write_text(text(tmp_path / "city.tif"))
    (tmp_path / "a.gti").write_text("<GDALTileIndexDataset><IndexDataset>x</IndexDataset></GDALTileIndexDataset>")
    for name in ("city.tif", "a.vrt", "a.gti"):
        assert "not recognized as being in a supported file format" in refusal(tmp_path / name)


def test_vrts_that_read_their_files_millions_of_times_are_refused(tmp_path: Path) -> None:
    before = write(tmp_path / "plain.tif")
    for level in range(9):
        path = tmp_path / f"{level}.vrt"
        source = f"<SimpleSource><SourceFilename>{before}</SourceFilename></SimpleSource>"
        band = '<VRTRasterBand dataType="Byte" band="{}">' + source * 10 + "</VRTRasterBand>"
        path.write_text(HEAD.format(more="") + "".join(map(band.format, (1, 2, 3))) + "</VRTDataset>")
        before = path
    assert "times to show itself once" in refusal(before)


def test_a_mosaic_of_which_one_file_is_empty_is_no_empty_image(tmp_path: Path) -> None:
    hollow = write(tmp_path / "hollow.tif", written=False, sparse_ok=True)
    (tmp_path / "a.vrt").write_text(text(hollow))
    assert "is empty" in refusal(tmp_path / "a.vrt")
    written = write(tmp_path / "b.tif")
    source = f"<SimpleSource><SourceFilename>{written}</SourceFilename></SimpleSource></VRTRasterBand>"
    (tmp_path / "a.vrt").write_text(text(hollow).replace("</VRTRasterBand>", source))
    assert open_scene(tmp_path / "a.vrt").shape == (64, 64)


@pytest.mark.parametrize(
    "name",
    ["a b.tif", "a?b.tif", "a#b.tif", "a%20b.tif", "http:x.tif", "s3:b.tif", "vrt:x.tif", "<x.tif", "c:\\x.tif",
     "it's.tif", "GTIFF_DIR:2:x.tif", "NETCDF:x.tif", "-x.tif", "x{y}.tif", "a!b.tif"],
)  # fmt: skip
def test_a_file_that_is_there_is_read_however_it_is_called(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(write(tmp_path / "plain.tif"), tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert (first_pixels(open_scene(name)) == 9).all()
    assert open_scene(tmp_path / name).geobox.affine == PLACE["transform"]
