"""What each prompt brings on ground the models never saw (table 3 of the UV-SAM paper, on the folds of quality.py).

    uvsam train specialist configs/train/fold_a.yaml               # and fold_c.yaml
    uvsam train generalist configs/train/generalist_fold_a.yaml    # and generalist_fold_c.yaml
    python benchmarks/quality.py
    python benchmarks/ablation.py --train --steps 200

For each fold and each thing left out, specialist and mixer are trained again from the same specialist (resumable), then
`uvsam predict` outlines the fold's test area and `uvsam evaluate` compares with the labels. All rows of a fold use the
threshold and the outline that quality.py fitted on the other fold. A temperature for the generalist is fitted on the
pixels of Mumbai that it decided on, and judged on those of the other fold.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from areas import Area, test_areas
from numpy.typing import NDArray
from quality import LOG_ODDS, Scaling, other, reliability
from scipy.optimize import minimize_scalar
from scipy.special import logit

from uvsam.cli.console import progress_display
from uvsam.evaluation.rasters import LabelRaster
from uvsam.settings import PredictSettings
from uvsam.training.config import UvSamTraining, load_training
from uvsam.workflows.evaluate import evaluate
from uvsam.workflows.predict import predict
from uvsam.workflows.train import train_uvsam

WITHOUT = {
    "all four prompts": (),
    "without box": ("box",),
    "without mask": ("mask",),
    "without SAM embedding": ("sam",),
    "without specialist embedding": ("specialist",),
}
TESTS = {"a": ("Mumbai C", "Beijing south"), "c": ("Mumbai A",)}
MEASURES = ("pixel IoU", "boundary F 2 m", "boundary F 5 m", "object F1 at IoU 0.5", "object F1, paper's rule")


def variant(fold: str, left_out: tuple[str, ...], runs: Path, steps: int | None) -> UvSamTraining:
    name = "-".join([f"uvsam-fold-{fold}", *(f"without-{what}" for what in left_out)])
    changes: dict[str, Any] = {"name": name, "output": runs / name, "without": left_out}
    if steps:
        changes["steps"] = steps
    return load_training(UvSamTraining, Path(f"configs/train/uvsam_fold_{fold}.yaml"), changes)


def measure(area: Area, settings: PredictSettings, work: Path) -> dict[str, float]:
    """Predict and evaluate as the command line does; the scores stay in a file."""
    out = work / "ablation.gpkg"
    prediction = predict(area.image, out, settings, save_scores=scores_file(work, settings.fuse), overwrite=True)
    found = evaluate(out, LabelRaster(area.labels, (1,), (255,)))
    near, far = found.boundaries
    values = (found.pixels.iou, near.f1, far.f1, found.objects.f1, found.objects_paper.f1)
    scores = dict(zip(MEASURES, (float(value or 0) for value in values), strict=True))
    return scores | {"seconds": prediction.seconds}


def scores_file(work: Path, fuse: str | None) -> Path:
    return work / f"ablation_{fuse}.tif"


def decided(area: Area, work: Path) -> NDArray[np.float64]:
    """(2, 255): judged pixels by label and score level, where the generalist changed the score measured last."""
    levels = []
    for fuse in ("sam", "specialist"):
        with rasterio.open(scores_file(work, fuse)) as dataset:
            levels.append(dataset.read(1))
    with rasterio.open(area.labels) as dataset:
        label = dataset.read(1)
    changed = levels[0] != levels[1]
    return np.array([np.bincount(levels[0][changed & (label == k)] - 1, minlength=255) for k in (0, 1)], float)


def fit_temperature(counts: NDArray[np.float64], outline: float) -> float:
    """Temperature of least negative log-likelihood, with the outline where it is."""

    def loss(temperature: float) -> float:
        z = (LOG_ODDS - outline) / temperature + outline
        return float((counts[1] * np.logaddexp(0, -z) + counts[0] * np.logaddexp(0, z)).sum())

    return float(minimize_scalar(loss, bounds=(0.3, 10), method="bounded").x)


def errors_of(counts: NDArray[np.float64], temperature: float, outline: float) -> str:
    """Expected calibration error before and after, in words."""
    score = 1 / (1 + np.exp(-((LOG_ODDS - outline) / temperature + outline)))
    cooled = np.zeros_like(counts)
    np.add.at(cooled, (slice(None), np.round(score * 254).astype(int)), counts)
    before, after = reliability(counts, Scaling())[0], reliability(cooled, Scaling())[0]
    return f"expected calibration error {before:.4f}, {after:.4f} at the other fold's temperature {temperature:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--folds", nargs="+", choices=list(TESTS), default=list(TESTS))
    parser.add_argument("--rows", nargs="+", choices=list(WITHOUT), default=list(WITHOUT))
    parser.add_argument("--train", action="store_true", help="train what is measured; finished steps are not repeated")
    parser.add_argument("--steps", type=int, help="of each training [default: as in the configuration]")
    parser.add_argument("--fitted", type=Path, default=Path("benchmarks/results/quality.json"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablation.json"))
    options = parser.parse_args()
    work = options.runs / "quality"
    work.mkdir(parents=True, exist_ok=True)
    areas = {area.name: area for area in test_areas(options.data, options.runs, work, "uvsam-specialist")}
    fits = json.loads(options.fitted.read_text())["fits"]
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    counts, outlines = {}, {}

    for fold in options.folds:
        fit = fits[other(f"fold-{fold}")]
        scaling = Scaling(fit["temperature"], fit["offset"])  # the cards of the folds are not calibrated
        common = {name: fit[name] for name in ("close_m", "min_hole_m2", "min_area_m2")}
        for name in ("threshold", "seed_threshold"):
            common[name] = scaling.uncalibrated(max(fit["threshold"], fit[name]))
        alone = options.runs / f"fold-{fold}" / f"fold-{fold}.yaml"
        rows: dict[str, tuple[Path, str | None]] = {"without SAM": (alone, None)}
        for row in options.rows:
            config = variant(fold, WITHOUT[row], options.runs, options.steps)
            if options.train:
                with progress_display() as progress:
                    train_uvsam(config, command=f"python {Path(__file__).name}", progress=progress)
            card = config.output / f"{config.name}.yaml"
            rows |= {f"{row}, {fuse}": (card, fuse) for fuse in ("sam", "mean")}
            if not WITHOUT[row]:
                rows["its specialist alone"] = card, "specialist"
        for name in TESTS[fold]:
            found = results.setdefault(name, {})
            for row, (card, fuse) in rows.items():
                settings = PredictSettings(model=str(card), fuse=fuse, **common)
                found[row] = measure(areas[name], settings, work)
                print(f"{name:14s} {row:30s}", *(f"{found[row][what]:.3f}" for what in MEASURES), flush=True)
                options.out.write_text(json.dumps(results, indent=1) + "\n")
            if "all four prompts" in options.rows and name.startswith("Mumbai"):
                counts[fold] = decided(areas[name], work)
        outlines[fold] = float(logit(common["threshold"]))
    temperatures = {fold: fit_temperature(counts[fold], outlines[fold]) for fold in counts}
    results["temperature"] = temperatures
    if len(counts) == 2:
        for fold, elsewhere in (("a", "c"), ("c", "a")):
            print(f"fold {fold}: {errors_of(counts[fold], temperatures[elsewhere], outlines[fold])}")
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
