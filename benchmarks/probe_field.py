"""Probes of images as people have them: what `uvsam info` says of them, what `predict` refuses, and whose villages are
those of a twin that says the same in another way."""

import http.server
import json
import shutil
import threading
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from probe_commands import UTM, Command, image, near, of_json
from probe_files import Files, Made, half, turned
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

QUICK = ["--model", "uvsam-specialist"]


class Twin(NamedTuple):
    """The same city twice: a file as people have it, and a plainer one; ``warns`` has to stand in a warning."""

    name: str
    make: Callable[[Files], Made]
    plainer: Callable[[Files], Made]
    warns: str = ""


def lying_overviews(files: Files, name: str, before: Callable[[Any], Any]) -> Made:
    """Overviews of other pixels than those of the image."""
    pixels = files.read()[0].astype(np.uint16) * 16
    path = files.write(name, before(pixels))
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2, 4, 8])
    with rasterio.open(path, "r+") as dataset:
        dataset.write(pixels)
    return path, []


def sixteen_bits(files: Files) -> Made:
    return files.write("sixteen.tif", files.read()[0].astype(np.uint16) * 16), []


def shortened_nodata(files: Files) -> Made:
    least = float(np.finfo(np.float32).min)
    path = files.write("shortened.tif", half(files.read()[0].astype(np.float32), least), nodata=least)
    content, said = path.read_bytes(), b"-3.4028234663852886e+38"
    if content.count(said) != 1:
        raise SystemExit("the nodata of the probe is not where it should be")
    path.write_bytes(content.replace(said, b"-3.4e+38".ljust(len(said), b"\0")))
    return path, []


def float_collar(files: Files, name: str, value: float, kind: Any = np.float32) -> Made:
    return files.write(name, half(files.read()[0].astype(kind), value)), []


def nan_collar(files: Files) -> Made:
    return files.write("nan.tif", half(files.read()[0].astype(np.float32), np.nan), nodata=np.nan), []


def collar(files: Files, name: str, value: int, kind: Any, factor: int = 1, **said: Any) -> Made:
    pixels = np.clip(files.read()[0].astype(np.int64) * factor, 1, np.iinfo(kind).max - 1).astype(kind)
    return files.write(name, half(pixels, value), **said), []


def sparse(files: Files) -> Made:
    """Only the western half of the blocks is written."""
    pixels, profile = files.read()
    pixels = np.maximum(pixels, 1)
    profile |= {"SPARSE_OK": True, "tiled": True, "blockxsize": 256, "blockysize": 256}
    profile.pop("nodata", None)
    path = files.path("sparse.tif")
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(pixels[:, :, :512], window=((0, pixels.shape[1]), (0, 512)))
    return path, []


def half_written(files: Files) -> Made:
    pixels = np.maximum(files.read()[0], 1)
    pixels[:, :, 512:] = 0
    return files.write("half_written.tif", pixels, nodata=0), []


def turned_black(files: Files, **said: Any) -> Made:
    path, options = turned(files)
    with rasterio.open(path) as dataset:
        pixels = np.where(dataset.dataset_mask() > 0, np.maximum(dataset.read(), 1), 0).astype(np.uint8)
        grid = {"crs": dataset.crs, "transform": dataset.transform}
    return files.write("turned_black.tif" if not said else "turned_told.tif", pixels, **grid, **said), options


def infrared_as_alpha(files: Files) -> Made:
    pixels = files.read()[0]
    return files.write("infrared.tif", np.concatenate([pixels, np.where(pixels[:1] < 120, 0, pixels[:1])])), []


def blue_first(files: Files) -> Made:
    path = files.write("blue_first.tif", files.read()[0][::-1])
    with rasterio.open(path, "r+") as dataset:
        dataset.descriptions = ("blue", "green", "red")
    return path, []


def as_it_is(files: Files) -> Made:
    return files.plain, []


def zipped(files: Files) -> Made:
    with zipfile.ZipFile(files.path("city.zip"), "w") as archive:
        archive.write(files.plain, "folder/city.tif")
    return files.path("city.zip"), []


def in_folder(files: Files) -> Made:
    folder = files.path("of_images")
    folder.mkdir(exist_ok=True)
    shutil.copy(files.plain, folder / "city.tif")
    (folder / "notes.txt").write_text("not an image")
    return folder, []


TWINS = [
    Twin("black overviews", lambda f: lying_overviews(f, "black_ovr.tif", lambda p: p * 0), sixteen_bits, "overview"),
    Twin("darker overviews", lambda f: lying_overviews(f, "dark_ovr.tif", lambda p: p // 5), sixteen_bits, "overview"),
    Twin("nodata -3.4e+38", shortened_nodata, nan_collar, ""),
    Twin("float32 extremes, no tag", lambda f: float_collar(f, "max.tif", 3.4028235e38), nan_collar, ""),
    Twin("infinities, no tag", lambda f: float_collar(f, "inf.tif", -np.inf), nan_collar, ""),
    Twin("float64 extremes, no tag", lambda f: float_collar(f, "f64.tif", -1.7976931348623157e308, np.float64),
     nan_collar, ""),
    Twin("black collar, 8 bits", lambda f: collar(f, "b.tif", 0, np.uint8),
         lambda f: collar(f, "b0.tif", 0, np.uint8, nodata=0), "nodata"),
    Twin("white collar, 8 bits", lambda f: collar(f, "w.tif", 255, np.uint8),
     lambda f: collar(f, "w255.tif", 255, np.uint8, nodata=255), "nodata"),
    Twin("black collar, 16 bits", lambda f: collar(f, "b16.tif", 0, np.uint16, 16),
     lambda f: collar(f, "b16_0.tif", 0, np.uint16, 16, nodata=0), "nodata"),
    Twin("white collar, 16 bits", lambda f: collar(f, "w16.tif", 65535, np.uint16, 16),
     lambda f: collar(f, "w16_0.tif", 65535, np.uint16, 16, nodata=65535), "nodata"),
    Twin("turned, black corners", turned_black, lambda f: turned_black(f, nodata=0), "nodata"),
    Twin("sparse", sparse, half_written, ""),
    Twin("infrared that says alpha", infrared_as_alpha, as_it_is, "alpha"),
    Twin("blue, green, red by name", blue_first, as_it_is, ""),
    Twin("a zip file", zipped, as_it_is, ""),
    Twin("a folder", in_folder, as_it_is, ""),
]  # fmt: skip

# What `info` says.


def info(folder: Path, *words: str) -> list[str]:
    return ["info", *words, "--json", *QUICK]


def says(**right: Any) -> Any:
    def check(folder: Path, printed: str) -> list[str]:
        found = of_json(printed)
        return [f"{name} is {found[name]}" for name, value in right.items() if found[name] != value]

    return check


def gsd(x_m: float, y_m: float) -> Any:
    """Metres for a pixel, and the area of 256 x 256 of them."""

    def check(folder: Path, printed: str) -> list[str]:
        found, area_m2 = of_json(printed), 256 * x_m * 256 * y_m
        return [
            *near("gsd x", found["gsd_m"][0], x_m, x_m / 200),
            *near("gsd y", found["gsd_m"][1], y_m, y_m / 200),
            *near("area", found["area_m2"], area_m2, area_m2 / 100),
        ]

    return check


def on(crs: Any, transform: Affine) -> Any:
    def make(folder: Path) -> list[str]:
        image(folder / "city.tif", crs=crs, transform=transform)
        return info(folder, "city.tif")

    return make


GRAD_M = 40_008_000 / 400  # along a meridian
FOOT_M = 1200 / 3937


def with_tags(**tags: Any) -> Any:
    def make(folder: Path) -> list[str]:
        with rasterio.open(image(folder / "city.tif"), "r+") as dataset:
            for namespace, values in tags.items():
                dataset.update_tags(**({} if namespace == "none" else {"ns": namespace}), **values)
        return info(folder, "city.tif")

    return make


def pages(folder: Path) -> list[str]:
    for number in (1, 2):
        image(folder / f"{number}.tif")
    with rasterio.open(folder / "1.tif") as one:
        profile, pixels = one.profile, one.read()
    with rasterio.open(folder / "pages.tif", "w", **profile) as dataset:
        dataset.write(pixels)
    with rasterio.open(folder / "pages.tif", "w", **profile, APPEND_SUBDATASET=True) as dataset:
        dataset.write(pixels)
    return info(folder, "pages.tif")


def place_only(folder: Path, crs: str, transform: Affine) -> list[str]:
    image(folder / "city.tif", crs=crs, transform=transform)
    return ["predict", "city.tif", "--out", "out.gpkg", *QUICK]


LOCAL = 'ENGCRS["site",EDATUM["site"],CS[Cartesian,2],AXIS["x",east],AXIS["y",north],LENGTHUNIT["metre",1]]'


def bare(folder: Path) -> list[str]:
    image(folder / "city.tif", crs=None)
    return ["predict", "city.tif", "--out", "out.gpkg", "--allow-ungeoreferenced", *QUICK]


def empty_folder(folder: Path) -> list[str]:
    (folder / "images").mkdir()
    return ["predict", "images", "--out", "out.gpkg", *QUICK]


def both_ways(folder: Path) -> list[str]:
    """Ground control points and RPCs."""
    from rasterio.control import GroundControlPoint
    from rasterio.rpc import RPC

    image(folder / "city.tif", crs=None, transform=Affine.identity())
    one = [1.0] + [0.0] * 19
    rpcs = RPC(0, 100, 19, 0.1, one, [0, 0, 1] + [0.0] * 17, 128, 128, 72, 0.1, one, [0, 1] + [0.0] * 18, 128, 128)
    points = [GroundControlPoint(row, col, 72 + col / 1e5, 19 - row / 1e5) for row in (0, 256) for col in (0, 256)]
    with rasterio.open(folder / "city.tif", "r+") as dataset:
        dataset.gcps = points, rasterio.crs.CRS.from_epsg(4326)
        dataset.rpcs = rpcs
    return ["predict", "city.tif", "--out", "out.gpkg", *QUICK]


def crosses(suffix: str) -> Any:
    """An image of UTM zone 60 that crosses 180 degrees, with a model that says village everywhere."""

    def make(folder: Path) -> list[str]:
        (x,), (y,) = rasterio.warp.transform("EPSG:4326", "EPSG:32660", [179.9995], [-17.0])
        image(folder / "city.tif", crs="EPSG:32660", transform=from_origin(x, y, 0.75, 0.75), size=256)
        return ["predict", "city.tif", "--out", f"out{suffix}", "--stac", "item.json", *QUICK, "--threshold", "0.0001",
                "--seed-threshold", "0.0001", "--min-area", "0"]  # fmt: skip

    return make


def narrow(folder: Path, printed: str) -> list[str]:
    item = json.loads((folder / "item.json").read_text())
    west, _, east, _ = item["bbox"]
    parts = shapely.get_parts(shapely.geometry.shape(item["geometry"]))
    faults = [] if west > 179 and east < -179 else [f"bbox from {west} to {east}"]
    if len(parts) != 2 or any(part.bounds[2] - part.bounds[0] > 0.01 for part in parts):
        faults.append("the geometry is not two narrow parts")
    if (folder / "out_coverage.geojson").exists():
        ground = gpd.read_file(folder / "out_coverage.geojson").geometry.explode()
        widths = ground.bounds["maxx"] - ground.bounds["minx"]
        faults += [] if (widths < 0.01).all() and ground.is_valid.all() else ["the coverage is not narrow"]
    return faults


def one_layer(suffix: str) -> tuple[str, ...]:
    return f"out{suffix}", f"out_coverage{suffix}", f"out{suffix}.run.json", "item.json"


class NoHead(http.server.SimpleHTTPRequestHandler):
    """A web server that refuses HEAD, and has ranges."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_error(403)

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last or len(content)) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *args: Any) -> None:
        pass


def served(folder: Path, name: str, query: str = "") -> str:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(NoHead, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/{name}{query}"


def masked_remotely(folder: Path) -> list[str]:
    """An external mask that hides half of the image."""
    mask = np.full((256, 256), 255, np.uint8)
    mask[:, 128:] = 0
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(image(folder / "city.tif"), "r+") as dataset:
        dataset.write_mask(mask)
    if not (folder / "city.tif.msk").exists():
        raise SystemExit("the probe has no sidecar")
    return info(folder, served(folder, "city.tif"))


def half_hidden(folder: Path, printed: str) -> list[str]:
    return near("share without data", of_json(printed)["nodata_share"], 0.5, 0.02)


def secret(folder: Path) -> list[str]:
    image(folder / "city.tif")
    return ["predict", served(folder, "city.tif", "?X-Amz-Signature=GEHEIM&sig=GEHEIM"), "--out", "out.gpkg",
            "--stac", "item.json", *QUICK]  # fmt: skip


def kept_secret(folder: Path, printed: str) -> list[str]:
    found = [path.name for path in folder.iterdir() if path.is_file() and b"GEHEIM" in path.read_bytes()]
    return [f"the signature is in {', '.join(found)}"] * bool(found) + ["it is printed"] * ("GEHEIM" in printed)


def no_band_alpha(folder: Path) -> list[str]:
    with rasterio.open(image(folder / "city.tif", bands=2), "r+") as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
    return ["predict", "city.tif", "--out", "out.gpkg", *QUICK]


def spaced(folder: Path) -> list[str]:
    image(folder / "my city.tif", crs=None)
    return ["predict", "my city.tif", "--out", "out.gpkg", *QUICK]


FIELD = [
    Command("NTF (Paris), grads", on("EPSG:4807", from_origin(0.0, 54.0, 0.75 / GRAD_M / np.cos(np.radians(48.6)),
            0.75 / GRAD_M)), check=gsd(0.75, 0.75)),
    Command("Lambert II on NTF (Paris)", on("EPSG:27572", from_origin(600_000, 2_428_000, 0.75, 0.75)),
            check=gsd(0.75, 0.75)),
    Command("US survey feet", on("EPSG:2263", from_origin(990_000, 200_000, 2, 2)),
            check=gsd(2 * FOOT_M, 2 * FOOT_M)),
    Command("longitudes up to 360", on("EPSG:4326", from_origin(287.0, 0.001, 6e-6, 6e-6)),
            check=gsd(0.6679, 0.6634)),
    Command("written in the year 2999", with_tags(none={"TIFFTAG_DATETIME": "2999:01:01 00:00:00"}),
            check=says(acquired=None)),
    Command("1970-01-01", with_tags(none={"TIFFTAG_DATETIME": "1970:01:01 00:00:00"}), check=says(acquired=None)),
    Command("when software wrote it", with_tags(none={"TIFFTAG_DATETIME": "2021:03:04 10:11:12",
            "TIFFTAG_SOFTWARE": "Adobe Photoshop 22.1"}), check=says(acquired=None)),
    Command("a scanner's date of a satellite", with_tags(IMAGERY={"ACQUISITIONDATETIME": "2016-05-17T04:05:06"}),
            check=says(acquired="2016-05-17")),
    Command("two pages", pages, word="2"),
    Command("a CRS of one site", lambda f: place_only(f, LOCAL, from_origin(0, 0, 0.6, 0.6)), status=1, word="place"),
    Command("UTM, no transform", lambda f: place_only(f, UTM, Affine(1, 0, 0, 0, -1, 0)), status=1, word="-a_ullr"),
    Command("UTM, coordinates of degrees", lambda f: place_only(f, UTM, from_origin(72.8, 19.0, 6e-6, 6e-6)), status=1,
            word="degrees"),
    Command("no position, no --gsd", bare, status=1, word="--gsd"),
    Command("an empty folder", empty_folder, status=1, word="no image"),
    Command("control points and RPCs", both_ways, status=1, word="RPC"),
    Command("gray and alpha", no_band_alpha, status=1, word="band"),
    Command("advice for a name with a space", spaced, status=1, word="'my city.tif'"),
    Command("across 180 degrees, GeoJSON", crosses(".geojson"), files=one_layer(".geojson"), check=narrow),
    Command("across 180 degrees, PMTiles", crosses(".pmtiles"), files=one_layer(".pmtiles"), check=narrow),
    Command("mask beside an image on a server", masked_remotely, check=half_hidden),
    Command("a signed address", secret, files=("out.gpkg", "item.json"), check=kept_secret),
]  # fmt: skip
