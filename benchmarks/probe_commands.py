"""Probes that are commands: each makes small files, gives one command, and says what is right.

A probe is right if its status is, if its word stands in what was said, if the numbers are those that were computed by
hand, and if no file is there that was not asked for.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

UTM = "EPSG:32643"
EAST, NORTH = 270_000.0, 2_106_000.0
SIDE_M = 100.0
"""Villages of these probes are squares of one hectare."""

USAGE = 2
"""Status after which the usage of the command is shown, too."""

Check = Callable[[Path, str], list[str]]


@dataclass(frozen=True)
class Command:
    """A command and what is right.

    Attributes:
        make: makes the files in a new folder, and returns the words after ``uvsam``.
        status: exit status.
        word: has to stand in what is said on stderr, case ignored.
        check: looks at the folder and at what was printed; returns what is wrong.
        files: the only new files that may be there.
    """

    name: str
    make: Callable[[Path], list[str]]
    status: int = 0
    word: str = ""
    check: Check = field(default=lambda folder, printed: [])
    files: tuple[str, ...] = ()


def uvsam(folder: Path, *words: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, in the folder of the probe."""
    command = [sys.executable, "-m", "uvsam", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)


def judge_command(probe: Command, folder: Path) -> tuple[str, list[str]]:
    """What was said at last, and what is wrong with it."""
    folder.mkdir(parents=True)
    words = probe.make(folder)
    before = names(folder)
    try:
        ended = uvsam(folder, *words)
    except subprocess.TimeoutExpired:
        return "", ["still at work after two minutes"]
    said, faults = ended.stderr.strip(), []
    if ended.returncode != probe.status:
        faults.append(f"status {ended.returncode}, not {probe.status}")
    if "Traceback" in said or "unexpected" in said:
        faults.append("an error that was not thought of")
    if (
        probe.status not in (0, USAGE)
        and len([line for line in said.splitlines() if not line.startswith("Warning")]) != 1
    ):
        faults.append("more than one line")
    if probe.word.lower() not in said.lower():
        faults.append(f"'{probe.word}' is not said")
    if more := sorted(names(folder) - before - set(probe.files)):
        faults.append(f"not asked for: {', '.join(more)}")
    if not faults:
        faults = probe.check(folder, ended.stdout)
    lines = said.splitlines() or ended.stdout.strip().splitlines()
    return (lines[-1] if lines else "").replace(f"{folder}/", ""), faults


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def near(what: str, found: float | None, right: float, tolerance: float = 1.0) -> list[str]:
    """Nothing, or the number that is wrong."""
    if found is not None and abs(found - right) <= tolerance:
        return []
    return [f"{what} is {found}, not {right}"]


def square(col: float, row: float, side_m: float = SIDE_M) -> Any:
    """A square on a lattice of 200 m."""
    left, bottom = EAST + 200 * col, NORTH + 200 * row
    return shapely.box(left, bottom, left + side_m, bottom + side_m)


def layer(path: Path, shapes: list[Any], crs: str | None = UTM, layer_name: str | None = None, **columns: Any) -> Path:
    """A vector file of polygons, in the format of its extension."""
    frame = gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=crs), crs=crs)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in {".parquet", ".geoparquet"}:
        frame.to_parquet(path)
    else:
        frame.to_file(path, engine="pyogrio", **({"layer": layer_name} if layer_name else {}))
    return path


def seen(path: Path, ground: Any, crs: str = UTM) -> Path:
    """Adds layer ``coverage`` to a GeoPackage."""
    gpd.GeoDataFrame(geometry=[ground], crs=crs).to_file(path, layer="coverage", engine="pyogrio")
    return path


def image(
    path: Path, crs: Any = UTM, transform: Any = None, bands: int = 3, dtype: str = "uint8", size: int = 256,
    **profile: Any,
) -> Path:  # fmt: skip
    """A small image of noise."""
    pixels = np.random.default_rng(1).integers(1, 250, (bands, size, size)).astype(dtype)
    transform = transform or from_origin(EAST, NORTH, 0.6, 0.6)
    with rasterio.open(
        path, "w", driver="GTiff", count=bands, height=size, width=size, dtype=dtype, crs=crs, transform=transform,
        **profile,
    ) as dataset:  # fmt: skip
        dataset.write(pixels)
    return path


def of_json(printed: str) -> dict[str, Any]:
    return dict(json.loads(printed))
