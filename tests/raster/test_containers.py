"""Folders, archives, pages, variables and palettes: each is the plain image again, or advice that works as printed."""

import gzip
import re
import shlex
import subprocess
import sys
import tarfile
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.shutil import copy

from uvsam.cli.main import run
from uvsam.errors import GeoreferencingError, SceneError
from uvsam.raster.access import in_any_folder, open_dataset
from uvsam.raster.identity import identity
from uvsam.raster.inputs import open_inputs
from uvsam.raster.pixels import read_raw
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window

PLACE = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000)}
PIXELS = np.random.default_rng(7).integers(1, 255, (3, 40, 60), np.uint8)


def write(path: Path, pixels: NDArray[np.generic] = PIXELS, col: int = 0, **more: object) -> Path:
    count, height, width = pixels.shape
    profile = {"driver": "GTiff", "dtype": pixels.dtype, "count": count, "height": height, "width": width, **PLACE}
    profile["transform"] = Affine(0.5, 0, 270000 + 0.5 * col, 0, -0.5, 2106000)
    path.parent.mkdir(parents=True, exist_ok=True)
    if count == 3:
        more = {"photometric": "RGB"} | more
    with rasterio.open(path, "w", **profile | more) as dataset:
        dataset.write(pixels)
    return path


def read(scene: Scene) -> NDArray[np.generic]:
    with open_dataset(scene.uri) as dataset:
        return read_raw(dataset, scene, Window(0, 0, *scene.shape))[0]


def is_plain(inputs: str | Path | Sequence[str | Path], **options: object) -> bool:
    scene = open_inputs(inputs, **options)  # type: ignore[arg-type]
    return bool((read(scene) == PIXELS).all()) and tuple(scene.geobox.affine)[:6] == tuple(PLACE["transform"])[:6]


def archives(folder: Path, names: Sequence[str]) -> list[Path]:
    """The files in a folder in archives of every kind."""
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.write(folder / name, f"delivery/{name}")
        archive.writestr("delivery/readme.txt", "x")
        archive.writestr("__MACOSX/delivery/._city.tif", "x")
    for end, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tgz", "w:gz")):
        with tarfile.open(folder / f"a.{end}", mode) as members:  # type: ignore[call-overload]
            for name in names:
                members.add(folder / name, f"delivery/{name}")
    return [folder / f"a.{end}" for end in ("zip", "tar", "tar.gz", "tgz")]


def test_an_archive_of_one_image_is_that_image(tmp_path: Path) -> None:
    accented = write(tmp_path / "città.tif")
    zipped, *tars = archives(tmp_path, [accented.name])
    assert is_plain(zipped)
    for archive in tars:
        with pytest.raises(SceneError, match="unpack it"):
            open_inputs(archive)
    accented.unlink()
    path = write(tmp_path / "my city.tif")
    for archive in archives(tmp_path, [path.name]):
        assert is_plain(archive), archive
        assert [Path(name) for name, *_ in identity(open_inputs(archive).uri)] == [archive]
    with gzip.open(tmp_path / "b.tif.gz", "wb") as packed:
        packed.write(path.read_bytes())
    assert is_plain(tmp_path / "b.tif.gz")
    (tmp_path / "CAPS.ZIP").write_bytes((tmp_path / "a.zip").read_bytes())
    assert is_plain(tmp_path / "CAPS.ZIP")
    made = {"a.zip", "a.tar", "a.tar.gz", "a.tgz", "b.tif.gz", "CAPS.ZIP", path.name}
    assert {one.name for one in tmp_path.iterdir()} == made


def test_pieces_in_an_archive_or_a_folder_are_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "west.tif", PIXELS[:, :, :20])
    write(tmp_path / "east.TIF", PIXELS[:, :, 20:], col=20)
    for archive in archives(tmp_path, ["west.tif", "east.TIF"]):
        assert is_plain(archive), archive
    folder = tmp_path / "tiles"
    write(folder / "west.tif", PIXELS[:, :, :20])
    write(folder / "inner" / "east.tif", PIXELS[:, :, 20:], col=20)
    write(folder / "v.gpkg.uvsam" / "scores.tif", PIXELS[:1])
    write(folder / "inner" / ".hidden.tif", PIXELS[:1])
    (folder / "west.tif.aux.xml").write_text("<PAMDataset/>")
    (folder / "browse.jpg").write_text("no map")
    assert is_plain(folder)
    assert is_plain([folder])
    monkeypatch.chdir(tmp_path)
    assert is_plain("tiles/")
    there = [in_any_folder(open_inputs(name).uri) for name in ("tiles", "a.zip")]
    monkeypatch.chdir("/")
    assert all((read(open_scene(uri)) == PIXELS).all() for uri in there)


def test_what_a_vrt_in_a_folder_is_made_of_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "parts" / "a.tif")
    copy(tmp_path / "parts" / "a.tif", tmp_path / "city.vrt", driver="VRT")
    assert open_inputs(tmp_path).uri == str(tmp_path / "city.vrt")


def test_what_holds_no_image_says_what_it_holds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "readme.txt").write_text("x")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/readme.txt", "x")
    (tmp_path / "b.zip").write_bytes(b"PK\3\4 no more")
    (tmp_path / "c.7z").write_bytes(b"7z")
    for name, word in (
        ("empty", "but nothing"), ("text", "readme.txt"), ("a.zip", "readme.txt"), ("b.zip", "is damaged"),
        ("c.7z", "unpack it"),
    ):  # fmt: skip
        assert run(["info", str(tmp_path / name)]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert word in said


def test_images_that_do_not_fit_are_listed_so_that_one_can_be_given(tmp_path: Path) -> None:
    write(tmp_path / "a.tif")
    write(tmp_path / "b 2.tif", PIXELS, col=3, crs="EPSG:32644")
    for archive in [*archives(tmp_path, ["a.tif", "b 2.tif"]), tmp_path]:
        with pytest.raises(GeoreferencingError, match="holds 2 images") as caught:
            open_inputs(archive)
        first, second = shlex.split(str(caught.value).rpartition("give one of them: ")[2].replace(",", " "))
        assert is_plain(first)
        assert open_inputs(second).geobox.crs == "EPSG:32644"


def pages(path: Path, images: Sequence[NDArray[np.generic]]) -> Path:
    for number, pixels in enumerate(images):
        more = {"APPEND_SUBDATASET": "YES"} if number else {}
        write(path.with_name("page.tif"), pixels)
        copy(path.with_name("page.tif"), path, driver="GTiff", **more)
    return path


def test_pages_are_counted_and_any_can_be_given(tmp_path: Path) -> None:
    path = pages(tmp_path / "my city.tif", [PIXELS, 255 - PIXELS, PIXELS // 2])
    with pytest.warns(UserWarning, match="has 3 pages, of which the first is used; another is") as caught:
        assert is_plain(path)
    (second,) = shlex.split(str(caught[0].message).rpartition("another is ")[2])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert (read(open_inputs(second)) == 255 - PIXELS).all()
        assert run(["info", second]) == 0


def test_masks_and_overviews_are_no_pages(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full(PIXELS.shape[1:], 255, np.uint8))
        dataset.build_overviews([2, 4])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert is_plain(path)


def options_of(error: pytest.ExceptionInfo[SceneError]) -> tuple[int, ...]:
    found = re.search(r"--bands ([\d,]+)", str(error.value))
    assert found
    return tuple(map(int, found[1].split(",")))


def test_pages_of_one_band_are_red_green_and_blue_as_bands_says(tmp_path: Path) -> None:
    path = pages(tmp_path / "a.tif", [PIXELS[:1], PIXELS[1:2], PIXELS[2:]])
    with pytest.raises(SceneError, match="3 images of one band: 1 page 1, 2 page 2") as caught:
        open_inputs(path)
    assert is_plain(path, bands=options_of(caught))
    assert (read(open_inputs(path, bands=(3, 2, 1))) == PIXELS[::-1]).all()
    assert (read(open_inputs(path, bands=(1, 1, 1))) == PIXELS[[0, 0, 0]]).all()
    with pytest.raises(SceneError, match="has no band 4"):
        open_inputs(path, bands=(2, 3, 4))


@pytest.mark.parametrize("names", [("red", "green", "blue"), ("B04", "B03", "B02")])
def test_variables_of_one_band_are_one_image(tmp_path: Path, names: tuple[str, ...]) -> None:
    """As netCDF has them; written with GDAL, one file for each, and put together as its subdatasets."""
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("rioxarray")
    x, y = 270000.25 + 0.5 * np.arange(60), 2105999.75 - 0.5 * np.arange(40)
    data = {name: (("y", "x"), band) for name, band in zip(names, PIXELS, strict=True)}
    cube = xarray.Dataset(data, coords={"x": x, "y": y}).rio.write_crs("EPSG:32643")
    path = tmp_path / "a b.nc"
    cube.to_netcdf(path)
    options: dict[str, object] = {}
    if names[0] != "red":
        with pytest.raises(SceneError, match="1 B04, 2 B03, 3 B02") as caught:
            open_inputs(path)
        options["bands"] = options_of(caught)
    assert (read(open_inputs(path, **options)) == PIXELS).all()  # type: ignore[arg-type]
    assert identity(open_inputs(path, **options).uri)[0][0] == str(path)  # type: ignore[arg-type]


def test_tables_of_a_geopackage_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "a b.gpkg"
    for number, name in enumerate(("one", "two")):
        more = {"APPEND_SUBDATASET": "YES"} if number else {}
        copy(write(tmp_path / "a.tif"), path, driver="GPKG", RASTER_TABLE=name, TILE_FORMAT="PNG", **more)
    with pytest.raises(SceneError, match="holds 2 images; give one of them") as caught:
        open_inputs(path)
    for name in shlex.split(str(caught.value).rpartition("give one of them: ")[2].replace(",", " ")):
        assert (read(open_inputs(name))[:, :40, :60] == PIXELS).all()


def test_grey_with_and_without_alpha_says_what_works(tmp_path: Path) -> None:
    grey = write(tmp_path / "grey.tif", PIXELS[:1])
    alpha = write(tmp_path / "alpha.tif", np.stack([PIXELS[0], np.full_like(PIXELS[0], 255)]))
    with rasterio.open(alpha, "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    for path in (grey, alpha):
        with pytest.raises(SceneError, match="has 1 band; red, green and blue are needed") as caught:
            open_inputs(path)
        assert (read(open_inputs(path, bands=options_of(caught))) == PIXELS[[0, 0, 0]]).all()  # type: ignore[arg-type]


def test_three_files_are_stacked_with_the_command_that_is_printed(tmp_path: Path) -> None:
    names = ("RED", "GREEN", "BLUE")
    for name, band in zip(names, PIXELS, strict=True):
        write(tmp_path / name, band[None])
    with pytest.raises(SceneError) as caught:
        open_inputs(tmp_path / "RED")
    command = shlex.split(str(caught.value).rpartition("three files: ")[2])
    rio = Path(sys.executable).with_name(command[0])
    subprocess.run([rio, *command[1:]], cwd=tmp_path, check=True)
    assert is_plain(tmp_path / "rgb.tif")


def test_a_palette_image_is_read_by_the_name_that_is_printed(tmp_path: Path) -> None:
    path = write(tmp_path / "a b.tif", np.arange(4, dtype=np.uint8).reshape(1, 2, 2))
    table = {0: (1, 2, 3, 255), 1: (40, 50, 60, 255), 2: (7, 8, 9, 255), 3: (250, 0, 250, 255)}
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, table)
    with pytest.raises(SceneError, match="palette image") as caught:
        open_inputs(path)
    (name,) = shlex.split(str(caught.value).rpartition("as the image: ")[2])
    colours = np.array([table[index][:3] for index in range(4)], np.uint8).T.reshape(3, 2, 2)
    assert (read(open_inputs(name)) == colours).all()


def test_bands_of_different_types_are_read_in_the_type_that_holds_all(tmp_path: Path) -> None:
    bands = ""
    kinds = ((np.uint16, "UInt16", "Red"), (np.uint8, "Byte", "Green"), (np.uint8, "Byte", "Blue"))
    for number, (dtype, kind, colour) in enumerate(kinds, start=1):
        pixels = PIXELS[number - 1 : number].astype(dtype) * (200 if number == 1 else 1)
        path = write(tmp_path / f"{colour}.tif", pixels)
        bands += (
            f'<VRTRasterBand dataType="{kind}" band="{number}"><ColorInterp>{colour}</ColorInterp><SimpleSource>'
            f"<SourceFilename>{path}</SourceFilename></SimpleSource></VRTRasterBand>"
        )
    bands += '<VRTRasterBand dataType="Byte" band="4"><ColorInterp>Alpha</ColorInterp><SimpleSource>'
    alpha = write(tmp_path / "alpha.tif", np.full((1, 40, 60), 255, np.uint8))
    bands += f"<SourceFilename>{alpha}</SourceFilename></SimpleSource></VRTRasterBand>"
    (tmp_path / "a.vrt").write_text(
        '<VRTDataset rasterXSize="60" rasterYSize="40"><SRS>EPSG:32643</SRS>'
        f"<GeoTransform>270000,0.5,0,2106000,0,-0.5</GeoTransform>{bands}</VRTDataset>"
    )
    scene = open_inputs(tmp_path / "a.vrt")
    assert scene.dtype == "uint16"
    assert (read(scene) == PIXELS * np.array([200, 1, 1], np.uint16)[:, None, None]).all()
    assert run(["info", str(tmp_path / "a.vrt")]) == 0


def test_of_rpcs_and_ground_control_points_the_rpcs_are_advised(tmp_path: Path) -> None:
    nothing = [0.0] * 19
    rpcs = RPC(0, 100, 19, 0.1, [0, *nothing], [1, *nothing], 20, 20, 72.8, 0.1, [0, *nothing], [1, *nothing], 30, 30)
    path = tmp_path / "a b.tif"
    points = [GroundControlPoint(row, col, 270000 + col, 2106000 - row) for row in (0, 40) for col in (0, 60)]
    write(path, transform=Affine.identity(), crs=None, rpcs=rpcs)
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = (points, "EPSG:32643")
        dataset.rpcs = rpcs
    with pytest.raises(GeoreferencingError, match=r"RPCs and ground control points; .*RPC_HEIGHT=METRES") as caught:
        open_inputs(path)
    command = shlex.split(str(caught.value).rpartition("RPC_DEM): ")[2])
    assert command[:2] == ["gdalwarp", "-rpc"]
    assert command[-2:] == [str(path), "georeferenced.tif"]


def test_a_name_that_is_not_utf8_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / b"citt\xe0.tif".decode(errors="surrogateescape")
    try:
        path.write_bytes(write(tmp_path / "plain.tif").read_bytes())
    except OSError:
        pytest.skip("this file system has only names in UTF-8")
    for arguments, status in (
        (["info", str(path)], 1), (["predict", "plain.tif", "--out", str(path)], 1), (["info", str(tmp_path)], 1),
    ):  # fmt: skip
        assert run(arguments) == status
        said = capsys.readouterr().err
        assert "citt\\udce0.tif' is not UTF-8" in said
        assert said.count("\n") == 1
    with pytest.raises(SceneError, match="is not UTF-8"):
        open_inputs(path)
