"""Test areas of the benchmarks: an image, exact labels on its grid, and a model that has never seen the place."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.features import rasterize
from rasterio.merge import merge
from rasterio.windows import from_bounds

from uvsam.engine.journal import Log
from uvsam.models.specialist import Specialist
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import model_scale, open_scene
from uvsam.simulate import simulate_city
from uvsam.tiles import plan_tiles
from uvsam.workflows.scoring import Scoring, score_scene

Bounds = tuple[float, float, float, float]
MUMBAI = {"A": (275744.0, 2113277.0, 279136.0, 2116330.0), "C": (273031.0, 2106156.0, 275745.0, 2108643.0)}
BEIJING_SOUTH = (12942317.0, 4879739.0, 12945376.0, 4880571.0)
"""300 m on the ground from the half that trains."""


@dataclass(frozen=True)
class Area:
    """A test area: an image, and a label raster on the same grid with 1 village, 0 other, 255 not judged."""

    name: str
    card: Path | str
    image: Path
    labels: Path


def score_area(area: Area, specialist: Specialist, path: Path, views: int = 1) -> Path:
    """The score raster of an area, as `uvsam predict` makes it."""
    scene = open_scene(area.image)
    scale = model_scale(scene, specialist.card.gsd_m)
    plan = plan_tiles(scene.shape, scale, chip_px=specialist.card.chip_px, halo_px=specialist.card.halo_px)
    scoring = Scoring(scene, estimate_stretch(scene), plan, views=views)
    with tempfile.TemporaryDirectory() as folder:
        score_scene(scoring, specialist, path, Log(Path(folder), "tiles"))
    return path


def mosaic(paths: list[Path], bounds: Bounds, target: Path) -> Path:
    """Join the patches of a block (rasters of one grid) into one raster."""
    if not target.exists():
        inside = []
        for path in paths:
            with rasterio.open(path) as dataset:
                x, y = dataset.xy(dataset.height / 2, dataset.width / 2)
            if bounds[0] < x < bounds[2] and bounds[1] < y < bounds[3]:
                inside.append(path)
        with rasterio.open(inside[0]) as first:
            profile, colours = first.profile, first.colorinterp
        pixels, transform = merge(inside)
        profile.update(height=pixels.shape[1], width=pixels.shape[2], transform=transform, compress="deflate")
        with rasterio.open(target, "w", **profile) as dataset:
            dataset.colorinterp = colours
            dataset.write(pixels)
    return target


def crop(path: Path, bounds: Bounds, target: Path) -> Path:
    """Cut a rectangle out of a raster."""
    if not target.exists():
        with rasterio.open(path) as dataset:
            window = from_bounds(*bounds, dataset.transform).round_offsets().round_lengths()
            window = window.intersection(rasterio.windows.Window(0, 0, dataset.width, dataset.height))
            profile = dataset.profile | {
                "height": int(window.height), "width": int(window.width), "transform": dataset.window_transform(window),
            }  # fmt: skip
            with rasterio.open(target, "w", **profile) as cut:
                cut.colorinterp = dataset.colorinterp
                cut.write(dataset.read(window=window))
    return target


def relabel(path: Path, village: int, ignore: int | None, target: Path) -> Path:
    """Labels as 1 village, 0 other, 255 not judged."""
    if not target.exists():
        with rasterio.open(path) as dataset:
            values, profile = dataset.read(1), dataset.profile
        labels = np.where(values == village, 1, 0).astype(np.uint8)
        if ignore is not None:
            labels[values == ignore] = 255
        profile.update(dtype="uint8", nodata=255)
        with rasterio.open(target, "w", **profile) as dataset:
            dataset.write(labels, 1)
    return target


def test_areas(data: Path, runs: Path, work: Path, shipped: str) -> Iterator[Area]:
    """All areas, each with a model that has not seen it."""
    for block, fold in (("C", "fold-a"), ("A", "fold-c")):
        image = mosaic(sorted((data / "mumbai/images").glob("*.tif")), MUMBAI[block], work / f"mumbai_{block}.tif")
        raw = mosaic(sorted((data / "mumbai/labels").glob("*.tif")), MUMBAI[block], work / f"mumbai_{block}_raw.tif")
        yield Area(f"Mumbai {block}", card(runs, fold), image, relabel(raw, 6, 0, work / f"mumbai_{block}_labels.tif"))
    image = crop(data / "beijing/city.tif", BEIJING_SOUTH, work / "beijing_south.tif")
    raw = crop(data / "beijing/labels.tif", BEIJING_SOUTH, work / "beijing_south_raw.tif")
    yield Area("Beijing south", card(runs, "fold-a"), image, relabel(raw, 1, 255, work / "beijing_south_labels.tif"))
    labels = relabel(data / "beijing/labels.tif", 1, 255, work / "beijing_labels.tif")
    yield Area("Beijing, model without Beijing", card(runs, "fold-c"), data / "beijing/city.tif", labels)
    labels = relabel(data / "jakarta/labels.tif", 1, None, work / "jakarta_labels.tif")
    for name in ("fold-a", "fold-c"):
        yield Area(f"Jakarta, {name}", card(runs, name), data / "jakarta/image.tif", labels)
    yield Area("Jakarta, bundled", shipped, data / "jakarta/image.tif", labels)
    image, labels = simulated(work)
    for name in ("fold-a", "fold-c"):
        yield Area(f"simulated city, {name}", card(runs, name), image, labels)
    yield Area("simulated city, bundled", shipped, image, labels)


def card(runs: Path, name: str) -> Path:
    return runs / name / f"{name}.yaml"


def simulated(work: Path) -> tuple[Path, Path]:
    """A simulated city of a seed that training never uses, and its exact truth."""
    folder = work / "city"
    image = folder / "city_2020.tif"
    if not image.exists():
        simulate_city(folder, size_m=3000, gsd_m=0.6, periods=(2020,), seed=1007)
    labels = work / "city_labels.tif"
    if not labels.exists():
        import geopandas as gpd

        truth = gpd.read_file(folder / "truth.gpkg", layer="villages")
        with rasterio.open(image) as dataset:
            profile = dataset.profile | {"count": 1, "nodata": 255, "photometric": "minisblack"}
            burnt = rasterize(truth.geometry, dataset.shape, transform=dataset.transform, dtype="uint8")
        with rasterio.open(labels, "w", **profile) as dataset:
            dataset.write(burnt, 1)
    return image, labels
