"""Quality of the bundled specialist on ground its makers' models never saw, and the numbers its card takes from it.

    python benchmarks/prepare_dubai.py ../shared/data/dubai runs/dubai
    python benchmarks/prepare_cities.py runs/cities
    uvsam train specialist configs/train/fold_a.yaml  # tests on Mumbai C and the south of Beijing
    uvsam train specialist configs/train/fold_c.yaml  # never saw Beijing; tests on Mumbai A and all of Beijing
    uvsam train specialist configs/train/specialist.yaml
    python benchmarks/quality.py --write-card data_catalog/models/uvsam-specialist.yaml

Every test area is scored as `uvsam predict` scores it, at the image's full resolution. Calibration, threshold and
outline defaults in the card are fitted on both blocks of Mumbai, the only place at hand with complete labels: in
Beijing's, villages are missing or end where a tile ends, and finding them would count as a mistake. So that no number
is judged on the ground it was fitted on, a block of Mumbai is outlined with defaults fitted on the other one, and so
are the scores behind the calibration error. Beijing and Jakarta take no part in any fit.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import yaml
from areas import Area, score_area, test_areas
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.optimize import minimize
from scipy.special import expit, logit

from uvsam.catalog.cards import load_card
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.mosaic.regions import RegionRules
from uvsam.mosaic.scores import LEVELS
from uvsam.raster.scene import open_scene
from uvsam.vectors.villages import villages_from_scores

COMMAND = "python benchmarks/quality.py"
FITTED = {"fold-a": ("Mumbai C",), "fold-c": ("Mumbai A",)}


def scores_of(area: Area, work: Path, views: int) -> Path:
    """Score raster of an area without calibration: log-odds as the network gave them."""
    card = load_card(area.card)
    path = work / f"{area.name.replace(' ', '_').replace(',', '')}_{card.sha256[:8]}_{views}.tif"
    if not path.exists():
        specialist = load_specialist(ModelRecipe(area.card))
        specialist.card = card.model_copy(
            update={"calibration": card.calibration.model_copy(update={"temperature": 1.0, "offset": 0.0})}
        )
        score_area(area, specialist, path, views)
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


class Scaling(NamedTuple):
    """From the network's log-odds to those of calibrated scores."""

    temperature: float = 1.0
    offset: float = 0.0

    def log_odds(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        return given / self.temperature + self.offset

    def uncalibrated(self, score: float) -> float:
        """The score that the network gave where the calibrated one is this."""
        return float(expit((logit(score) - self.offset) * self.temperature))


def fit_scaling(counts: NDArray[np.float64]) -> Scaling:
    """Temperature and offset of least negative log-likelihood (Platt 1999)."""

    def loss(values: NDArray[np.float64]) -> float:
        z = Scaling(float(np.exp(values[0])), float(values[1])).log_odds(LOG_ODDS)
        return float((counts[1] * np.logaddexp(0, -z) + counts[0] * np.logaddexp(0, z)).sum() / counts.sum())

    log_temperature, offset = minimize(loss, [0.0, 0.0], method="Nelder-Mead").x
    return Scaling(float(np.exp(log_temperature)), float(offset))


def reliability(counts: NDArray[np.float64], scaling: Scaling, bins: int = 10) -> tuple[float, list[list[float]]]:
    """Expected calibration error, and per bin of score: share of pixels, mean score, share that is village."""
    score = expit(scaling.log_odds(LOG_ODDS))
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

    def iou(self, area: Area, path: Path, scaling: Scaling, simplify_m: float = 0.0) -> float:
        low, seed = map(scaling.uncalibrated, (self.threshold, max(self.threshold, self.seed_threshold)))
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


def tune(areas: dict[str, Area], paths: dict[str, Path], scaling: Scaling) -> tuple[Choice, list[str]]:
    """Choose threshold and outline one after the other, by the mean IoU of the polygons.

    Of outlines that differ by less than 0.001 the simplest is taken: people do not draw holes of a few pixels.
    """

    def mean_iou(choice: Choice) -> float:
        return float(np.mean([choice.iou(area, paths[name], scaling) for name, area in areas.items()]))

    choice, log = Choice(0.5), []
    for field in ("threshold", "close_m", "min_hole_m2", "seed_threshold", "min_area_m2", "threshold"):
        tried = {value: mean_iou(replace(choice, **{field: value})) for value in CANDIDATES[field]}
        enough = max(tried.values()) - (0 if "threshold" in field else TOLERANCE)
        choice = replace(choice, **{field: max(value for value, iou in tried.items() if iou >= enough)})
        log.append(f"{field}: " + "  ".join(f"{value:g} {iou:.4f}" for value, iou in tried.items()))
        print(log[-1], flush=True)
    return choice, log


Fit = tuple[Scaling, Choice, list[str]]


def pooled(names: list[str], counts: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Counts of several areas; each weighs the same."""
    total: NDArray[np.float64] = np.sum([counts[name] / counts[name].sum() for name in names], axis=0)
    return total


def fit(
    names: list[str], areas: dict[str, Area], paths: dict[str, Path], counts: dict[str, NDArray[np.float64]]
) -> Fit:
    """Calibration, threshold and outline from some areas."""
    scaling = fit_scaling(pooled(names, counts))
    print(f"fitted on {', '.join(names)}: temperature {scaling.temperature:.3f}, offset {scaling.offset:.3f}")
    choice, log = tune({name: areas[name] for name in names}, paths, scaling)
    return scaling, choice, log


def other(fold: str) -> str:
    return next(name for name in FITTED if name != fold)


def cross_reliability(fits: dict[str, Fit], counts: dict[str, NDArray[np.float64]]) -> tuple[list[list[float]], float]:
    """Reliability over the areas of both folds, each scored with the calibration of the other fold."""
    errors, tables = [], []
    for fold, names in FITTED.items():
        error, rows = reliability(pooled([name for name in names if name in counts], counts), fits[other(fold)][0])
        print(f"{fold}, calibration of {other(fold)}: expected calibration error {error:.4f}")
        errors.append(error)
        tables.append(rows)
    merged = []
    for rows in zip(*tables, strict=True):
        share = np.array([row[0] for row in rows])
        merged.append(
            [
                round(float(share.mean()), 4),
                *(round(float(np.average([row[k] for row in rows], weights=share)), 4) for k in (1, 2)),
            ]
        )
    return merged, float(np.mean(errors))


def _whose(name: str) -> str:
    """A test area in words: where, and by which model."""
    models = {
        "fold-a": "a model trained on Mumbai block A and the north of Beijing",
        "fold-c": "a model trained on Mumbai block C without Beijing",
        "bundled": "these weights",
    }
    folds = {"Mumbai C": "fold-a", "Beijing south": "fold-a", "Mumbai A": "fold-c", "Beijing": "fold-c"}
    place, _, whose = name.partition(", ")
    return f"{place}, by {models[folds.get(place, whose)]}"


def write_card(path: Path, result: dict[str, Any]) -> None:
    """Put the fitted values and the measured quality into a card."""
    fields = yaml.safe_load(path.read_text())
    choice = result["choice"]
    fields["calibration"] = {
        "temperature": round(result["temperature"], 3),
        "offset": round(result["offset"], 3),
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
            "measure": "expected calibration error",
            "tested_on": "Mumbai A and C, each with the other's calibration",
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

    fits, log = {}, []
    for fold in (*FITTED, "both"):
        chosen = [name for group, names in FITTED.items() if fold in (group, "both") for name in names if name in areas]
        fits[fold] = fit(chosen, areas, paths, counts)
    rows, error = cross_reliability(fits, counts)
    scaling, choice, log = fits["both"]
    result = {
        "views": options.views, **scaling._asdict(), "calibration_error": error, "reliability": rows,
        "choice": asdict(choice), "search": log,
        "fits": {fold: found[0]._asdict() | asdict(found[1]) for fold, found in fits.items()}, "areas": {},
    }  # fmt: skip
    print(f"expected calibration error {error:.4f}, each fold with the other's calibration")
    for share, score, village in rows:
        print(f"   {share:7.2%} of pixels   score {score:.3f}   village {village:.3f}")
    for name, area in areas.items():
        scaling, choice, _ = fits[next((other(fold) for fold, names in FITTED.items() if name in names), "both")]
        result["areas"][name] = {
            "polygons": choice.iou(area, paths[name], scaling, simplify_m=1.0),
            "best threshold": float(iou_by_threshold(counts[name]).max()),
        }
        print(name, {k: round(v, 3) for k, v in result["areas"][name].items()}, flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    draw_reliability(rows, error, options.out.with_name("reliability.png"))
    if options.write_card:
        write_card(options.write_card, result)


if __name__ == "__main__":
    main()
