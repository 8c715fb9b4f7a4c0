"""Quality of the bundled specialist on ground its makers' models never saw, and the numbers its card takes from it.

    python benchmarks/prepare_dubai.py ../shared/data/dubai runs/dubai
    python benchmarks/prepare_cities.py runs/cities
    uvsam train specialist configs/train/fold_a.yaml  # tests on Mumbai C and the south of Beijing
    uvsam train specialist configs/train/fold_c.yaml  # never saw Beijing; tests on Mumbai A and all of Beijing
    uvsam train specialist configs/train/specialist.yaml
    python benchmarks/quality.py --write-card data_catalog/models/uvsam-specialist.yaml

Every test area is scored as `uvsam predict` scores it, at the image's full resolution. Temperature, threshold and
outline defaults are fitted on the pooled test areas of the two folds, so the reported numbers are a little optimistic
there (a handful of numbers fitted on millions of pixels); Jakarta takes no part in any fit.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.features import rasterize
from rasterio.merge import merge
from rasterio.windows import from_bounds
from scipy.optimize import minimize_scalar

from uvsam.catalog.cards import load_card
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.mosaic.regions import RegionRules
from uvsam.mosaic.scores import LEVELS
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import model_scale, open_scene
from uvsam.simulate import simulate_city
from uvsam.tiles import plan_tiles
from uvsam.vectors.villages import villages_from_scores
from uvsam.workflows.scoring import score_scene

Bounds = tuple[float, float, float, float]
MUMBAI = {"A": (275744.0, 2113277.0, 279136.0, 2116330.0), "C": (273031.0, 2106156.0, 275745.0, 2108643.0)}
BEIJING_SOUTH = (12942317.0, 4879739.0, 12945376.0, 4880963.0)
COMMAND = "python benchmarks/quality.py"
FITTED = ("Mumbai A", "Mumbai C", "Beijing south")


@dataclass(frozen=True)
class Area:
    """A test area: an image, and a label raster on the same grid with 1 village, 0 other, 255 not judged."""

    name: str
    card: Path | str
    image: Path
    labels: Path


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


def scores_of(area: Area, work: Path, views: int) -> Path:
    """Score raster of an area with the temperature taken out: log-odds as the network gave them."""
    card = load_card(area.card)
    path = work / f"{area.name.replace(' ', '_').replace(',', '')}_{card.sha256[:8]}_{views}.tif"
    if not path.exists():
        scene = open_scene(area.image)
        plan = plan_tiles(scene.shape, model_scale(scene, card.gsd_m), chip_px=card.chip_px, halo_px=card.halo_px)
        specialist = load_specialist(ModelRecipe(area.card))
        specialist.card = card.model_copy(
            update={"calibration": card.calibration.model_copy(update={"temperature": 1.0})}
        )
        score_scene(scene, estimate_stretch(scene), specialist, plan, path, views=views)
    return path


def histogram(area: Area, path: Path) -> NDArray[np.float64]:
    """(2, 255): judged pixels by label and score level."""
    with rasterio.open(path) as scores, rasterio.open(area.labels) as labels:
        level, label = scores.read(1), labels.read(1)
    counts = [np.bincount(level[(label == value) & (level > 0)] - 1, minlength=LEVELS + 1) for value in (0, 1)]
    return np.asarray(counts, float)


SCORE = np.arange(LEVELS + 1) / LEVELS
LOG_ODDS = np.log((SCORE + 2e-3) / (1 - SCORE + 2e-3))


def iou_by_threshold(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """IoU of the village class when every level from each one on is called village."""
    above = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
    return above[1] / (counts[1].sum() + above[0])


def fit_temperature(counts: NDArray[np.float64]) -> float:
    """Temperature of least negative log-likelihood (Guo et al. 2017); each area weighs the same."""

    def loss(temperature: float) -> float:
        z = LOG_ODDS / temperature
        return float((counts[1] * np.logaddexp(0, -z) + counts[0] * np.logaddexp(0, z)).sum())

    return float(minimize_scalar(loss, bounds=(0.3, 5), method="bounded").x)


def reliability(counts: NDArray[np.float64], temperature: float, bins: int = 10) -> tuple[float, list[list[float]]]:
    """Expected calibration error, and per bin of score: share of pixels, mean score, share that is village."""
    score = 1 / (1 + np.exp(-LOG_ODDS / temperature))
    total = counts.sum()
    rows, error = [], 0.0
    for k in range(bins):
        chosen = (score >= k / bins) & ((score < (k + 1) / bins) | (k == bins - 1))
        pixels = counts[:, chosen].sum()
        if pixels:
            mean, village = (counts.sum(0) * score)[chosen].sum() / pixels, counts[1, chosen].sum() / pixels
            error += pixels / total * abs(mean - village)
            rows.append([round(float(x), 4) for x in (pixels / total, mean, village)])
    return float(error), rows


def outline_iou(area: Area, path: Path, rules: RegionRules, min_hole_m2: float, simplify_m: float) -> float:
    """IoU of the polygons, burnt back onto the image's grid."""
    scene = open_scene(area.image)
    villages, _ = villages_from_scores(
        path, scene.geobox, scene.gsd_m, rules, min_hole_m2=min_hole_m2, simplify_m=simplify_m
    )
    with rasterio.open(area.labels) as dataset:
        label, transform = dataset.read(1), dataset.transform
    burnt = (
        rasterize(villages.geometry, label.shape, transform=transform, dtype="uint8") if len(villages) else label * 0
    )
    judged = label != 255
    return float(((burnt == 1) & (label == 1) & judged).sum() / max(1, (((burnt == 1) | (label == 1)) & judged).sum()))


@dataclass(frozen=True)
class Choice:
    """Threshold (calibrated) and outline defaults."""

    threshold: float
    seed_threshold: float = 0.0
    close_m: float = 0.0
    min_hole_m2: float = 0.0
    min_area_m2: float = 0.0

    def iou(self, area: Area, path: Path, temperature: float, simplify_m: float = 0.0) -> float:
        low, seed = (
            float(1 / (1 + np.exp(-np.log(score / (1 - score)) * temperature)))
            for score in (self.threshold, max(self.threshold, self.seed_threshold))
        )
        rules = RegionRules(low, seed, min_area_m2=self.min_area_m2, close_m=self.close_m)
        return outline_iou(area, path, rules, self.min_hole_m2, simplify_m)


TOLERANCE = 0.001
CANDIDATES = {
    "threshold": (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    "seed_threshold": (0.0, 0.6, 0.7, 0.8, 0.9),
    "close_m": (0.0, 5.0, 10.0, 15.0, 20.0, 30.0),
    "min_hole_m2": (0.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0),
    "min_area_m2": (0.0, 500.0, 1000.0, 2000.0, 3000.0, 5000.0),
}


def tune(areas: dict[str, Area], paths: dict[str, Path], temperature: float) -> tuple[Choice, list[str]]:
    """Choose threshold and outline one after the other, by the mean IoU of the polygons; both cities weigh the same.

    Of outlines that differ by less than 0.001 the simplest is taken: people do not draw holes of a few pixels.
    """

    def mean_iou(choice: Choice) -> float:
        by_city: dict[str, list[float]] = {}
        for name, area in areas.items():
            by_city.setdefault(name.split()[0], []).append(choice.iou(area, paths[name], temperature))
        return float(np.mean([np.mean(values) for values in by_city.values()]))

    choice, log = Choice(0.5), []
    for field in ("threshold", "close_m", "min_hole_m2", "seed_threshold", "min_area_m2", "threshold"):
        tried = {value: mean_iou(replace(choice, **{field: value})) for value in CANDIDATES[field]}
        enough = max(tried.values()) - (0 if "threshold" in field else TOLERANCE)
        choice = replace(choice, **{field: max(value for value, iou in tried.items() if iou >= enough)})
        log.append(f"{field}: " + "  ".join(f"{value:g} {iou:.4f}" for value, iou in tried.items()))
        print(log[-1], flush=True)
    return choice, log


def _whose(name: str) -> str:
    return name.replace("bundled", "these weights") if "bundled" in name else f"{name}, by a model that never saw it"


def write_card(path: Path, result: dict[str, Any]) -> None:
    """Put the fitted values and the measured quality into a card."""
    fields = yaml.safe_load(path.read_text())
    choice = result["choice"]
    fields["calibration"] = {
        "temperature": round(result["temperature"], 3),
        "threshold": choice["threshold"],
        "seed_threshold": max(choice["threshold"], choice["seed_threshold"]),
    }
    fields["outline"] |= {name: choice[name] for name in ("close_m", "min_hole_m2", "min_area_m2")}
    fields["quality"] = [
        {"measure": f"pixel IoU, {kind}", "tested_on": _whose(name), "value": round(value, 3), "command": COMMAND}
        for name, values in result["areas"].items()
        for kind, value in values.items()
    ] + [
        {
            "measure": "expected calibration error", "tested_on": "test areas of the two folds",
            "value": round(result["calibration_error"], 4), "command": COMMAND,
        }
    ]  # fmt: skip
    fields["reliability"] = result["reliability"]
    path.write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120))


def draw_reliability(rows: list[list[float]], error: float, path: Path) -> None:
    """The reliability diagram: what share of the pixels with a score is village."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    share, score, village = np.array(rows).T
    figure, axes = plt.subplots(figsize=(4.2, 4), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.scatter(score, village, s=20 + 400 * share, color="#c44", alpha=0.8)
    axes.plot(score, village, color="#c44", linewidth=1)
    axes.set(xlabel="score", ylabel="share that is village", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.set_title(f"Unseen ground; expected calibration error {error:.3f}", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--model", default="uvsam-specialist")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/quality.json"))
    parser.add_argument("--write-card", type=Path)
    parser.add_argument("--only", default="", help="only areas whose name contains this")
    options = parser.parse_args()
    work = options.runs / "quality"
    work.mkdir(parents=True, exist_ok=True)

    areas, paths, counts = {}, {}, {}
    for area in test_areas(options.data, options.runs, work, options.model):
        if options.only not in area.name or (isinstance(area.card, Path) and not area.card.is_file()):
            continue
        areas[area.name], paths[area.name] = area, scores_of(area, work, options.views)
        counts[area.name] = histogram(area, paths[area.name])
        iou = iou_by_threshold(counts[area.name])
        best = SCORE[iou.argmax()]
        print(
            f"{area.name:30s} IoU of scores >= 0.5: {iou[LEVELS // 2]:.3f}; best {iou.max():.3f} at {best:.2f}",
            flush=True,
        )

    fitted = {name: area for name, area in areas.items() if name in FITTED}
    pooled = np.sum([counts[name] / counts[name].sum() for name in fitted], axis=0)
    temperature = fit_temperature(pooled)
    before, _ = reliability(pooled, 1.0)
    error, rows = reliability(pooled, temperature)
    print(f"temperature {temperature:.3f}; expected calibration error {before:.4f} before, {error:.4f} after")
    for share, score, village in rows:
        print(f"   {share:7.2%} of pixels   score {score:.3f}   village {village:.3f}")
    choice, log = tune(fitted, paths, temperature)
    result = {
        "views": options.views, "temperature": temperature, "calibration_error": error,
        "calibration_error_before": before, "reliability": rows, "choice": asdict(choice), "search": log, "areas": {},
    }  # fmt: skip
    for name, area in areas.items():
        iou = iou_by_threshold(counts[name])
        result["areas"][name] = {
            "polygons with the card's defaults": choice.iou(area, paths[name], temperature, simplify_m=1.0),
            "best threshold": float(iou.max()),
        }
        print(name, {k: round(v, 3) for k, v in result["areas"][name].items()}, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    draw_reliability(rows, error, options.out.with_name("reliability.png"))
    if options.write_card:
        write_card(options.write_card, result)


if __name__ == "__main__":
    main()
