"""The files of the probes, each made of one plain image, and what is the right thing to say about it."""

import contextlib
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
import yaml
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.shutil import copy
from rasterio.transform import Affine
from rasterio.warp import calculate_default_transform, reproject

from uvsam.catalog import card_path


@dataclass(frozen=True)
class Files:
    """Where the probes are made, and of what."""

    folder: Path
    plain: Path

    @property
    def owned(self) -> Path:
        """A file that only code inside of a hostile image would make."""
        return self.folder / "owned"

    def path(self, name: str) -> Path:
        return self.folder / name

    def read(self) -> tuple[NDArray[Any], dict[str, Any]]:
        with rasterio.open(self.plain) as dataset:
            profile = dataset.profile
            profile.pop("photometric", None)
            return dataset.read(), profile

    def write(self, name: str, pixels: NDArray[Any], mask: NDArray[Any] | None = None, **given: Any) -> Path:
        profile = self.read()[1] | {"dtype": pixels.dtype} | given
        profile |= {"count": pixels.shape[0], "height": pixels.shape[1], "width": pixels.shape[2]}
        if len(pixels) in {3, 4} and pixels.dtype == np.uint8:
            profile.setdefault("photometric", "RGB")
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(self.path(name), "w", **profile) as dataset:
            if len(pixels) == 4:  # before any pixel, else GDAL does not keep it
                dataset.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.alpha]
            dataset.write(pixels)
            if mask is not None:
                dataset.write_mask(mask)
        return self.path(name)

    @property
    def west(self) -> Any:
        """The western half, where pixels are."""
        with rasterio.open(self.plain) as dataset:
            left, bottom, _, top = dataset.bounds
            middle = left + dataset.res[0] * (dataset.width // 2)
        return shapely.box(left, bottom, middle, top)


Made = tuple[Path, list[str]]


@dataclass(frozen=True)
class Answer:
    """A probe that has a right answer: the villages of the plain image.

    Attributes:
        make: the file and the options of `predict`.
        least_iou: with the villages of the plain image; below 1 where pixels have other values or another grid.
        part: ground that can be seen.
        all_village: the model says village everywhere.
        other_place: of this ground the plain image says nothing; all of it has to be looked at.
        warns: has to stand in a warning.
    """

    name: str
    make: Callable[[Files], Made]
    least_iou: float = 0.999
    part: Callable[[Files], Any] | None = None
    all_village: bool = False
    other_place: bool = False
    warns: str = ""


@dataclass(frozen=True)
class Refusal:
    """A probe that cannot be used, and a word that the error must have."""

    name: str
    make: Callable[[Files], Path | str]
    word: str


def half(pixels: NDArray[Any], value: float) -> NDArray[Any]:
    emptied = pixels.copy()
    emptied[:, :, emptied.shape[2] // 2 :] = value
    return emptied


def on_grid(files: Files, name: str, crs: Any, transform: Affine, shape: tuple[int, int]) -> Path:
    """The image on another grid, bilinear, with an internal mask where it has nothing."""
    pixels, profile = files.read()
    source = np.concatenate([pixels, np.full_like(pixels[:1], 255)])
    target = np.zeros((4, *shape), np.uint8)
    reproject(
        source, target, src_transform=profile["transform"], src_crs=profile["crs"], dst_transform=transform,
        dst_crs=crs, resampling=Resampling.bilinear,
    )  # fmt: skip
    return files.write(name, target[:3], target[3], crs=crs, transform=transform)


def sixteen_times(files: Files) -> Made:
    return files.write("uint16.tif", files.read()[0].astype(np.uint16) * 16), []


def float_half(files: Files) -> Made:
    return files.write("float_half.tif", half(files.read()[0].astype(np.float32), -9999), nodata=-9999), []


def nan_half(files: Files) -> Made:
    return files.write("nan_half.tif", half(files.read()[0].astype(np.float32), np.nan)), []


def alpha_half(files: Files) -> Made:
    pixels = files.read()[0]
    return files.write("alpha_half.tif", np.concatenate([pixels, half(np.full_like(pixels[:1], 255), 0)])), []


def masked_half(files: Files) -> Made:
    pixels = files.read()[0]
    return files.write("masked_half.tif", pixels, half(np.full_like(pixels[:1], 255), 0)[0]), []


def zero_half(files: Files) -> Made:
    return files.write("zero_half.tif", half(np.maximum(files.read()[0], 1), 0), nodata=0), []


def degrees(files: Files) -> Made:
    profile = files.read()[1]
    bounds = rasterio.transform.array_bounds(profile["height"], profile["width"], profile["transform"])
    size = profile["width"], profile["height"]
    transform, width, height = calculate_default_transform(profile["crs"], "EPSG:4326", *size, *bounds)
    return on_grid(files, "degrees.tif", "EPSG:4326", transform, (height, width)), []


def turned(files: Files) -> Made:
    """On a grid that is turned by 30 degrees around the middle of the image."""
    profile = files.read()[1]
    height, width = profile["height"], profile["width"]
    side = int(1.5 * max(height, width))
    middle, own = Affine.translation(width / 2, height / 2), Affine.translation(-side / 2, -side / 2)
    transform = profile["transform"] * middle * Affine.rotation(30) * own
    return on_grid(files, "turned.tif", profile["crs"], transform, (side, side)), []


def south_up(files: Files) -> Made:
    pixels, profile = files.read()
    transform = profile["transform"] * Affine.translation(0, profile["height"]) * Affine.scale(1, -1)
    return files.write("south_up.tif", pixels[:, ::-1], transform=transform), []


def eight_bands(files: Files) -> NDArray[Any]:
    """As WorldView-2 orders them: coastal, blue, green, yellow, red, red edge, two near infrared."""
    red, green, blue = files.read()[0].astype(np.uint16) * 16
    return np.stack([blue // 2, blue, green, (green + red) // 2, red, red, 4095 - red, 4095 - green])


def eight_bands_named(files: Files) -> Made:
    return files.write("eight.tif", eight_bands(files)), ["--bands", "5,3,2"]


def eight_bands_described(files: Files) -> Made:
    path = files.write("eight_described.tif", eight_bands(files))
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("coastal", "Blue", "Green", "yellow", "Red", "red edge", "nir1", "nir2")
    return path, []


def eight_bands_unnamed(files: Files) -> Made:
    pixels = eight_bands(files)
    return files.write("eight_unnamed.tif", pixels[[4, 2, 1, 0, 3, 5, 6, 7]]), []


def says_one(files: Files) -> Made:
    """The bundled specialist with an offset that makes every score 1."""
    source = card_path("uvsam-specialist")
    fields = yaml.safe_load(source.read_text())
    fields["calibration"]["offset"] = 1000.0
    files.path("one.yaml").write_text(yaml.safe_dump(fields))
    with contextlib.suppress(FileExistsError):
        files.path(fields["weights"]).symlink_to(source.with_name(fields["weights"]))
    return files.plain, ["--model", str(files.path("one.yaml"))]


def wrong_extension(files: Files) -> Made:
    path = files.path("really_a_tiff.jpg")
    path.write_bytes(files.plain.read_bytes())
    return path, []


def plain_vrt(files: Files) -> Made:
    copy(files.plain, files.path("plain.vrt"), driver="VRT")
    return files.path("plain.vrt"), []


def huge_strip(files: Files) -> Made:
    height = files.read()[1]["height"]
    layout = {"tiled": False, "blockysize": height, "compress": "deflate"}
    return files.write("one_strip.tif", files.read()[0], **layout), []


def spaces(files: Files) -> Made:
    path = files.path("città di 城市 (2020).tif")
    path.write_bytes(files.plain.read_bytes())
    return path, []


def one_pixel(files: Files) -> Made:
    return files.write("pixel.tif", files.read()[0][:, :1, :1], tiled=False, blockysize=1), []


def thin(files: Files) -> Made:
    pixels = files.read()[0]
    row = np.tile(pixels[:, 300:303], (1, 1, -(-100_000 // pixels.shape[2])))[:, :, :100_000]
    return files.write("thin.tif", row, tiled=False, blockysize=1), []


ANSWERS = [
    Answer("uint16, values x 16", sixteen_times, 0.8),
    Answer("float32, half -9999", float_half, 0.75, part=lambda files: files.west),
    Answer("float32, half NaN, no nodata", nan_half, 0.75, part=lambda files: files.west),
    Answer("alpha 0 on half", alpha_half, 0.9, part=lambda files: files.west),
    Answer("internal mask on half", masked_half, 0.9, part=lambda files: files.west),
    Answer("uint8, nodata 0 on half", zero_half, 0.9, part=lambda files: files.west),
    Answer("EPSG:4326 at full resolution", degrees, 0.8),
    Answer("turned by 30 degrees", turned, 0.75),
    Answer("south up", south_up, 0.8),
    Answer("eight bands, --bands 5,3,2", eight_bands_named, 0.8),
    Answer("eight bands with names", eight_bands_described, 0.8),
    Answer("eight bands without names", eight_bands_unnamed, 0.8, warns="--bands"),
    Answer("a model that always says 1", says_one, all_village=True),
    Answer("a TIFF that is called jpg", wrong_extension),
    Answer("a VRT", plain_vrt),
    Answer("one deflated strip", huge_strip),
    Answer("one pixel", one_pixel, 0.0, other_place=True),
    Answer("100000 x 3 pixels", thin, 0.0, other_place=True),
    Answer("a name with spaces and 城市", spaces),
]


def coarse_degrees(files: Files) -> Path:
    with rasterio.open(files.plain) as dataset:
        pixels = dataset.read()[:, :100, :100]
    return files.write("coarse.tif", pixels, crs="EPSG:4326", transform=Affine(1e-4, 0, 72.8, 0, -1e-4, 19))


def control_points(files: Files) -> Path:
    pixels, profile = files.read()
    height, width, transform = profile["height"], profile["width"], profile["transform"]
    corners = [(0, 0), (0, width), (height, 0), (height, width)]
    points = [GroundControlPoint(row, col, *(transform * (col, row))) for row, col in corners]
    return files.write("points.tif", pixels, gcps=points, transform=Affine.identity())


def truncated(files: Files) -> Path:
    content = files.plain.read_bytes()
    files.path("truncated.tif").write_bytes(content[: len(content) // 2])
    return files.path("truncated.tif")


def without_crs(files: Files) -> Path:
    return files.write("no_crs.tif", files.read()[0], crs=None)


def bare(files: Files) -> Path:
    return files.write("bare.tif", files.read()[0], crs=None, transform=Affine.identity())


def text(files: Files) -> Path:
    files.path("text.tif").write_text("not a picture\n" * 100)
    return files.path("text.tif")


def papers(files: Files) -> Path:
    files.path("papers").mkdir(exist_ok=True)
    (files.path("papers") / "notes.txt").write_text("not a picture")
    return files.path("papers")


def pipe(files: Files) -> Path:
    if not files.path("pipe.tif").exists():
        os.mkfifo(files.path("pipe.tif"))
    return files.path("pipe.tif")


def loop(files: Files) -> Path:
    if not files.path("loop.tif").is_symlink():
        files.path("loop.tif").symlink_to("loop.tif")
    return files.path("loop.tif")


def made_tiff(path: Path, size: int, tile: int, data: bytes) -> Path:
    """A TIFF from scratch whose tiles are all the same bytes; none at all without ``data``."""
    tiles = (-(-size // tile)) ** 2
    tags: list[tuple[int, str, list[Any]]] = [
        (256, "I", [size]), (257, "I", [size]), (258, "H", [8] * 3), (259, "H", [8]), (262, "H", [2]), (277, "H", [3]),
        (322, "I", [tile]), (323, "I", [tile]), (324, "I", [8 if data else 0] * tiles), (325, "I", [len(data)] * tiles),
        (33550, "d", [0.5, 0.5, 0]), (33922, "d", [0, 0, 0, 270000, 2106000, 0]),
        (34735, "H", [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32643]),
    ]  # fmt: skip
    data += bytes(len(data) % 2)
    place, rest, entries = 8 + len(data) + 6 + 12 * len(tags), b"", b""
    for number, kind, values in tags:
        raw = struct.pack(f"<{len(values)}{kind}", *values)
        where = raw.ljust(4, b"\0") if len(raw) <= 4 else struct.pack("<I", place + len(rest))
        rest += b"" if len(raw) <= 4 else raw
        entries += struct.pack("<HHI", number, {"H": 3, "I": 4, "d": 12}[kind], len(values)) + where
    head = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + bytes(4) + rest)
    return path


def hollow(files: Files) -> Path:
    return made_tiff(files.path("hollow.tif"), 1_000_000, 4096, b"")


def bomb(files: Files) -> Path:
    return made_tiff(files.path("bomb.tif"), 60_000, 60_000, zlib.compress(bytes(2**20)))


def vrt(files: Files, name: str, source: Path | str, *, code: str = "") -> Path:
    band = f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    kind = ' subClass="VRTDerivedRasterBand"' if code else ""
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}"{kind}>{code}{band}</VRTRasterBand>' for n in (1, 2, 3))
    files.path(name).write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32643</SRS>'
        f"<GeoTransform>270000,0.5,0,2106000,0,-0.5</GeoTransform>{bands}</VRTDataset>"
    )
    return files.path(name)


def python_vrt(files: Files) -> Path:
    code = (
        "<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        f"<PixelFunctionCode><![CDATA[\nopen({str(files.owned)!r}, 'w')\n"
        "def f(in_ar, out_ar, *rest, **more):\n    out_ar[:] = in_ar[0]\n]]></PixelFunctionCode>"
    )
    return vrt(files, "python.vrt", files.plain, code=code)


REFUSALS = [
    Refusal("EPSG:4326, pixels of 1e-4 degrees", coarse_degrees, "needs 3 m or finer"),
    Refusal("GCPs only", control_points, "gdalwarp"),
    Refusal("one band", lambda files: files.write("one.tif", files.read()[0][:1]), "1 band"),
    Refusal("complex pixels", lambda files: files.write("c.tif", files.read()[0].astype("complex64")), "complex"),
    Refusal("all nodata", lambda files: files.write("empty.tif", files.read()[0] * 0, nodata=0), "is empty"),
    Refusal("truncated", truncated, "truncated"),
    Refusal("no CRS", without_crs, "-a_srs"),
    Refusal("no position", bare, "--allow-ungeoreferenced"),
    Refusal("a text that is called tif", text, "not recognized"),
    Refusal("a folder without an image", papers, "holds no image"),
    Refusal("missing", lambda files: files.path("nowhere.tif"), "does not exist"),
    Refusal("a link to itself", loop, "does not exist"),
    Refusal("a pipe", pipe, "pipe"),
    Refusal("standard input", lambda files: "/vsistdin/", "pipe"),
    Refusal("a header of 1e6 x 1e6, no pixels", hollow, "none of its 1000000 x 1000000 pixels"),
    Refusal("one block of 60000 x 60000", bomb, "TILED=YES"),
    Refusal("a VRT of that block", lambda files: vrt(files, "of_bomb.vrt", bomb(files)), "TILED=YES"),
    Refusal("a VRT with Python code", python_vrt, "never run"),
    Refusal("a VRT of a VRT with Python code", lambda files: vrt(files, "2.vrt", python_vrt(files)), "never run"),
    Refusal("a VRT of standard input", lambda files: vrt(files, "stdin.vrt", "/vsistdin/"), "vsistdin"),
    Refusal("a VRT of a pipe", lambda files: vrt(files, "pipe.vrt", pipe(files)), "pipe"),
    Refusal("a VRT of itself", lambda files: vrt(files, "self.vrt", files.path("self.vrt")), "cannot read"),
    Refusal("a VRT whose source is gone", lambda files: vrt(files, "gone.vrt", files.path("gone.tif")), "gone.tif"),
]
