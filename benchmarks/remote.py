"""How much of a remote image is read to look at one hundredth of it: bytes that a server on this machine sends.

    python benchmarks/remote.py [--sides 4096 8192 16384]

Cloud-optimised GeoTIFFs (JPEG, 0.75 m) of a simulated city that goes on and on. The image is opened, its colours are
judged, and the tiles of a square area of interest, which lies across their borders, are read as `predict --aoi` reads
them for the bundled model; the network, which reads nothing, is left out. Prints JSON.
"""

import argparse
import functools
import http.server
import json
import multiprocessing
import sys
import tempfile
import threading
from pathlib import Path
from xml.etree import ElementTree as xml

import rasterio
import rasterio.shutil
import shapely

from uvsam.catalog import load_predict_card
from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import model_scale
from uvsam.simulate import simulate_city
from uvsam.tiles import plan_tiles
from uvsam.workflows.scoring import read_tile

PATCH_PX, GSD_M = 1000, 0.75


class Counting(http.server.SimpleHTTPRequestHandler):
    """A web server that answers requests for parts of a file."""

    protocol_version = "HTTP/1.1"
    sent = 0

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        size = path.stat().st_size
        first, last = self.headers.get("Range", f"bytes=0-{size - 1}").removeprefix("bytes=").split("-")
        with path.open("rb") as file:
            file.seek(int(first))
            part = file.read(int(last) + 1 - int(first))
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{size}")
        self.end_headers()
        self.wfile.write(part)
        Counting.sent += len(part)
        return None

    def log_message(self, *args: object) -> None:
        pass


def make(folder: Path, side_px: int, block_px: int) -> Path:
    simulate_city(folder / "city", size_m=PATCH_PX * GSD_M, gsd_m=GSD_M, periods=(2020,), seed=5, overwrite=True)
    with rasterio.open(folder / "city" / "city_2020.tif") as patch:
        place = ", ".join(map(repr, patch.transform.to_gdal()))
    root = xml.Element("VRTDataset", rasterXSize=str(side_px), rasterYSize=str(side_px))
    xml.SubElement(root, "SRS").text = "EPSG:32650"
    xml.SubElement(root, "GeoTransform").text = place
    for number, colour in enumerate(("Red", "Green", "Blue"), start=1):
        band = xml.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(number))
        xml.SubElement(band, "ColorInterp").text = colour
        for row in range(0, side_px, PATCH_PX):
            for col in range(0, side_px, PATCH_PX):
                source = xml.SubElement(band, "SimpleSource")
                xml.SubElement(source, "SourceFilename").text = str(folder / "city" / "city_2020.tif")
                xml.SubElement(source, "SourceBand").text = str(number)
                size = {"xSize": str(PATCH_PX), "ySize": str(PATCH_PX)}
                xml.SubElement(source, "SrcRect", size, xOff="0", yOff="0")
                xml.SubElement(source, "DstRect", size, xOff=str(col), yOff=str(row))
    path = folder / f"{side_px}_{block_px}.tif"
    text = xml.tostring(root, encoding="unicode")
    rasterio.shutil.copy(
        text, path, driver="COG", compress="JPEG", blocksize=block_px, overview_resampling="nearest", num_threads=2
    )
    return path


def look(address: str, with_tiles: bool) -> int:
    """Open an image, judge its colours, and read the tiles of the area if asked to; returns how many these are."""
    scene = open_inputs(address)
    stretch = estimate_stretch(scene)
    if not with_tiles:
        return 0
    card, side_px = load_predict_card(), scene.shape[0]
    plan = plan_tiles(scene.shape, model_scale(scene, card.gsd_m), chip_px=card.chip_px, halo_px=card.halo_px)
    corner = int(0.37 * side_px)
    area = shapely.box(corner, corner, corner + side_px // 10, corner + side_px // 10)
    with SceneReader(scene, stretch) as reader:
        return sum(read_tile(reader, plan, tile, area).chip is not None for tile in plan)


def measure(path: Path, side_px: int, block_px: int) -> dict[str, float]:
    """Looks from another process: GDAL would keep a server in this one from answering, and remembers what it read."""
    size = path.stat().st_size
    handler = functools.partial(Counting, directory=str(path.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, shares, tiles = f"http://127.0.0.1:{server.server_port}/{path.name}", [], 0
        for with_tiles in (False, True):
            Counting.sent = 0
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                tiles = pool.apply(look, (address, with_tiles))
            shares.append(round(Counting.sent / size, 4))
        server.shutdown()
    return {
        "side_px": side_px, "block_px": block_px, "megabytes": round(size / 1e6, 1), "tiles": tiles,
        "before_tiles": shares[0], "in_all": shares[1],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 8192, 16384])
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        for side_px in options.sides:
            for block_px in (256, 512):
                path = make(Path(name), side_px, block_px)
                results.append(measure(path, side_px, block_px))
                path.unlink()
    json.dump(results, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
