"""One known model over one large image: time, memory and wrong pixels of uvsam, of the bare model, and of its peers.

    python benchmarks/known_model.py --sides 10000 20000
    python benchmarks/known_model.py --peers --python ~/peers/bin/python    # an environment with uvsam[peers]
    python benchmarks/known_model.py --profile

The model says whether the sum of a square of 33 x 33 RGB pixels, black outside the image, is above a threshold: a mean
filter along columns, then along rows. Such sums are whole numbers below 2^20, which float32 tells from a threshold half
a unit away, in any order and as means, too; the answer for the whole image is computed here with integers,
independently, in strips.

The bare model is that network in PyTorch, on the same tiles in memory, on both cores. uvsam compiles it with OpenVINO,
as it does with every network on a processor; what the bare model takes when it is compiled, too, stands beside it.

The image is noise on blocks of 48 pixels, uint8, no zeros, a GeoTIFF of deflated tiles (256 x 256 x RGB). Each way to
run the model over it is a process of its own. Its seconds begin after its imports (which are told apart) and end when
its raster is closed; the peak is that of the whole process, as the operating system accounts for it.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import from_origin
from rasterio.windows import Window

RADIUS = 16
THRESHOLD = 540_000
TILE_PX, CORES = 512, 2
MODELS = ("pool", "conv", "square")
PEERS = ("samgeo", "geoai", "geo_inference", "raster_vision", "geodeep")

BLOCK_PX, FILE_TILE_PX = 48, 256
STRIP_ROWS = 768
"""A multiple of both: strips are written in whole tiles."""
WAYS = Path(__file__).with_name("known_model_ways.py")
BIG_GB = 7.0
"""What the hungriest of the peers needs free."""


def write_image(path: Path, side: int, compress: str) -> None:
    rng = np.random.default_rng(0)
    part = path.with_suffix(".part.tif")
    with rasterio.open(
        part, "w", driver="GTiff", width=side, height=side, count=3, dtype="uint8", crs="EPSG:32650",
        transform=from_origin(5e5, 4e6, 1, 1), photometric="RGB", interleave="pixel", compress=compress,
        tiled=True, blockxsize=FILE_TILE_PX, blockysize=FILE_TILE_PX,
    ) as dataset:  # fmt: skip
        for row in range(0, side, STRIP_ROWS):
            blocks = rng.integers(0, 200, (3, STRIP_ROWS // BLOCK_PX, -(-side // BLOCK_PX)), np.uint8)
            pixels = blocks.repeat(BLOCK_PX, 1).repeat(BLOCK_PX, 2)[:, : side - row, :side]
            pixels = pixels + rng.integers(1, 56, pixels.shape, np.uint8)
            dataset.write(pixels, window=Window(0, row, side, pixels.shape[1]))
    part.replace(path)


def exact_strips(path: Path, rows: int = 256) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """First row and answer (rows, W) of each strip: sums of squares from a table of running sums of integers."""
    with rasterio.open(path) as dataset:
        height, width = dataset.shape
        for row in range(0, height, rows):
            count = min(rows, height - row)
            top, bottom = max(0, row - RADIUS), min(height, row + count + RADIUS)
            grey = np.zeros((count + 2 * RADIUS + 1, width + 2 * RADIUS + 1), np.int64)
            inside = grey[top - row + RADIUS + 1 : bottom - row + RADIUS + 1, RADIUS + 1 : RADIUS + 1 + width]
            for band in (1, 2, 3):
                inside += dataset.read(band, window=Window(0, top, width, bottom - top))
            table, side = grey.cumsum(0).cumsum(1), 2 * RADIUS + 1
            columns = table[side:] - table[:-side]
            yield row, columns[:, side:] - columns[:, :-side] > THRESHOLD


def write_truth(image: Path, path: Path) -> None:
    with rasterio.open(image) as source:
        profile = source.profile | {"count": 1, "nbits": 1, "photometric": "MINISBLACK"}
    with rasterio.open(path, "w", **profile) as dataset:
        for row, answer in exact_strips(image):
            dataset.write(answer.astype(np.uint8), 1, window=Window(0, row, answer.shape[1], answer.shape[0]))


def wrong_pixels(out: Path, from_level: int, truth: Path) -> int:
    """Pixels where a raster says something else than the truth; it says yes from ``from_level`` on."""
    wrong = 0
    with rasterio.open(out) as said, rasterio.open(truth) as known:
        if said.shape != known.shape:
            raise SystemExit(f"{out} has {said.shape} pixels, the image {known.shape}")
        for row in range(0, known.height, STRIP_ROWS):
            window = Window(0, row, known.width, min(STRIP_ROWS, known.height - row))
            wrong += int(((said.read(1, window=window) >= from_level) != known.read(1, window=window).view(bool)).sum())
    return wrong


def measure(python: str, way: str, image: Path, folder: Path, kind: str, *extra: str) -> dict[str, Any]:
    """Run one way in a process of its own."""
    started = time.monotonic()
    command = [python, str(WAYS), way, str(image), str(folder), kind, *extra]
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return {"skipped": said[-1]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result | {"start_s": round(seconds - result["seconds"], 1)}


def enough_memory() -> bool:
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cached = 0.0
    if sys.platform == "linux":
        lines = Path("/proc/meminfo").read_text().splitlines()
        cached = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20
    return max(pages, cached) > BIG_GB + 2


def limits(image: Path, scores: Path) -> dict[str, int]:
    """MB of pixels per second of one core that each once, and nothing else, would take; and per second to the disk."""
    spent = {"decode": 0.0, "zlib": 0.0, "disk": 0.0}
    megabytes = dict.fromkeys(spent, 0.0)
    with rasterio.open(image) as source, rasterio.open(scores) as scored, TemporaryFile(dir=scores.parent) as file:
        for row in range(0, source.height, 512):
            window = Window(0, row, source.width, min(512, source.height - row))
            begun = time.thread_time()
            pixels = source.read(window=window)
            decoded = time.thread_time()
            levels = scored.read(1, window=window).tobytes()
            read = time.thread_time()
            zlib.compress(levels, 1)
            compressed, started = time.thread_time(), time.monotonic()
            file.write(pixels.tobytes())
            file.flush()
            os.fsync(file.fileno())
            took = (decoded - begun, compressed - read, time.monotonic() - started)
            for name, seconds, size in zip(spent, took, (pixels.nbytes, len(levels), pixels.nbytes), strict=True):
                spent[name] += seconds
                megabytes[name] += size / 1e6
    return {f"{name}_mb_per_s": round(megabytes[name] / seconds) for name, seconds in spent.items()}


def run(side: int, options: argparse.Namespace) -> dict[str, Any]:
    folder = options.work / str(side)
    folder.mkdir(parents=True, exist_ok=True)
    image, truth = folder / f"{options.compress}.tif", folder / "truth.tif"
    if not image.exists():
        write_image(image, side, options.compress)
    if not truth.exists():
        write_truth(image, truth)
    ways = [(sys.executable, "uvsam")]
    if side == min(options.sides):
        ways = [(sys.executable, way) for way in ("bare", "uvsam", "bare_compiled")] * options.turns
        ways += [(options.python, peer) for peer in (options.peers or ())]
    result: dict[str, Any] = {"image_mb": round(image.stat().st_size / 1e6)}
    for python, way in ways:
        if way == "geoai" and not enough_memory():
            measured = {"skipped": f"needs {BIG_GB:g} GB of free memory"}
        else:
            extra = ["--profile"] if options.profile and way == "uvsam" else []
            measured = measure(python, way, image, folder, options.model, *extra)
        if "out" in measured:
            measured["wrong_px"] = wrong_pixels(Path(measured.pop("out")), measured.pop("from_level"), truth)
        print(side, way, {key: value for key, value in measured.items() if key != "stages"}, flush=True)
        for name, row in measured.get("stages", {}).items():
            print(f"    {name:28}", *(f"{key} {value:>8}" for key, value in row.items()))
        if "stages" in measured:
            print("   ", limits(image, folder / "uvsam.tif"))
        before = result.get(way, measured)
        if "skipped" in measured or measured["seconds"] <= before["seconds"]:
            result[way] = measured
        if "peak_mb" in before and "peak_mb" in measured:
            result[way]["peak_mb"] = max(before["peak_mb"], measured["peak_mb"])
    for way in ("bare", "bare_compiled"):
        if way in result and "skipped" not in result[way]:
            for measured in result.values():
                if isinstance(measured, dict) and "seconds" in measured:
                    measured[f"times_{way}"] = round(measured["seconds"] / result[way]["seconds"], 2)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sides", type=int, nargs="+", default=[10000], help="pixels; only uvsam runs at more than the smallest"
    )
    parser.add_argument("--model", default="pool", choices=MODELS, help="how its sums are computed")
    parser.add_argument("--compress", default="deflate", choices=("deflate", "lzw"))
    parser.add_argument("--turns", type=int, default=3, help="of uvsam and bare models; the fastest counts")
    parser.add_argument("--peers", nargs="*", choices=PEERS, help="all of them unless named")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the peers")
    parser.add_argument("--profile", action="store_true", help="seconds of uvsam's stages, and what bounds them")
    parser.add_argument("--work", type=Path, default=Path("runs/known_model"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/known_model.json"))
    options = parser.parse_args()
    if options.peers == []:
        options.peers = list(PEERS)
    results: dict[str, Any] = {"model": options.model, "compress": options.compress, "cpus": os.cpu_count()}
    for side in options.sides:
        with rasterio.Env(GDAL_CACHEMAX=64 * 2**20):  # a process's peak is at least that of the one that started it
            results[str(side)] = run(side, options)
        if not options.profile:  # measuring the stages costs time
            options.out.write_text(json.dumps(results, indent=1) + "\n")
    first, last = (results[str(side)]["uvsam"]["peak_mb"] for side in (min(options.sides), max(options.sides)))
    print(f"peak at {max(options.sides)} px: {last / first:.3f} times that at {min(options.sides)} px")


if __name__ == "__main__":
    main()
