"""The ways to run the known model of known_model.py over an image, each in a process of its own.

Every way imports what it needs, makes its model, and returns what is to be timed, with the file that will hold the
answer and the value from which on that file says yes. Peers get tiles of 512 pixels, both cores, and the model in the
form that they ask for; none of them is asked for more than a mask.
"""

import argparse
import json
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from known_model import CORES, MODELS, PEERS, RADIUS, THRESHOLD, TILE_PX
from torch import Tensor, nn

STEEPNESS = 1 / 32
"""The score of a sum next to the threshold is one half and a level of the score raster more or less."""


class Way(NamedTuple):
    """What is timed, where its answer will be, and the lowest value there that says yes."""

    run: Callable[[], object]
    out: Path | None = None
    from_level: int = 1


class KnownModel(nn.Module):
    """Images (N, 3, H, W) of values ``v / unit`` to log-odds (N, 1, H, W); black beyond their border.

    Args:
        kind: ``pool``, torch's mean filter along columns and then rows; ``conv``, convolutions of ones instead;
            ``square``, the mean filter at once, which costs what a real network does.
        sums: False: means, where a format has no pooling with another divisor.
    """

    def __init__(self, kind: str, *, unit: float = 1.0, sums: bool = True) -> None:
        super().__init__()
        side, divisor = 2 * RADIUS + 1, 1 if sums else None
        self.kind = kind
        if kind == "conv":
            self.down: nn.Module = nn.Conv2d(3, 1, (side, 1), padding=(RADIUS, 0), bias=False)
            self.across: nn.Module = nn.Conv2d(1, 1, (1, side), padding=(0, RADIUS), bias=False)
            nn.init.ones_(self.down.weight)
            nn.init.ones_(self.across.weight)
        elif kind == "square":
            self.down = nn.AvgPool2d(side, 1, RADIUS, divisor_override=divisor)
            self.across = nn.Identity()
            unit *= 1 if sums else side**2
        else:
            self.down = nn.AvgPool2d((side, 1), 1, (RADIUS, 0), divisor_override=divisor)
            self.across = nn.AvgPool2d((1, side), 1, (0, RADIUS), divisor_override=divisor)
            unit *= 1 if sums else side**2
        self.unit = unit

    def forward(self, images: Tensor) -> Tensor:
        grey = images if self.kind == "conv" else images.sum(1, keepdim=True)
        return self.across(self.down(grey)) * (STEEPNESS * self.unit) - (THRESHOLD + 0.5) * STEEPNESS


class Probabilities(nn.Module):
    """Of the village, or of both classes."""

    def __init__(self, model: nn.Module, both: bool = True) -> None:
        super().__init__()
        self.model, self.both = model, both

    def forward(self, images: Tensor) -> Tensor:
        village = torch.sigmoid(self.model(images.float()))
        return torch.cat([1 - village, village], 1) if self.both else village


class Logits(nn.Module):
    """Of both classes, as our specialists have them."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        village = self.model(images)
        return torch.cat([torch.zeros_like(village), village], 1)


def specialist(kind: str) -> Any:
    from uvsam.catalog.cards import ModelCard, Network
    from uvsam.models.specialist import Specialist

    card = ModelCard(
        name="known", summary="", network=Network(), gsd_m=1, chip_px=TILE_PX + 64, halo_px=32, mean=(0, 0, 0),
        std=(1, 1, 1), weights="none.safetensors", sha256="0" * 64, licence="none",
    )  # fmt: skip
    return Specialist(card, Logits(KnownModel(kind, sums=False)))


def uvsam(image: Path, folder: Path, kind: str) -> Way:
    """Pass A of `uvsam predict`, from the look at the image's values to the score raster, through the log.

    Its network is compiled as `predict` compiles its own, and kept, so that the first turn makes it and others read it.
    """
    from uvsam.engine.journal import Log
    from uvsam.engine.work import Share
    from uvsam.mosaic.scores import lowest_level
    from uvsam.raster.radiometry import estimate_stretch
    from uvsam.raster.scene import model_scale, open_scene
    from uvsam.tiles import plan_tiles
    from uvsam.workflows import scoring

    given, out = specialist(kind), folder / "uvsam.tif"

    def run() -> None:
        scorer = given.compiled(CORES, folder / "compiled")
        card, scene = scorer.card, open_scene(image)
        plan = plan_tiles(scene.shape, model_scale(scene, card.gsd_m), chip_px=card.chip_px, halo_px=card.halo_px)
        for old in folder.glob("tiles.*.log"):
            old.unlink()
        log = Log(folder, "tiles")
        work = scoring.Scoring(scene, estimate_stretch(scene), plan)
        scored, failed = scoring.score_scene(work, scorer, out, log, Share(CORES + 1))  # as in computing.py
        log.close()
        if failed or scored.computed < len(plan):
            raise SystemExit(f"{len(failed)} of {len(plan)} tiles failed")

    return Way(run, out, lowest_level(0.5))


def bare(image: Path, folder: Path, kind: str) -> Way:
    """The network alone in PyTorch, on the chips of uvsam, ready in memory; one thread for each core."""
    scorer = specialist(kind)
    return _alone(image, scorer.card, scorer.network)


def bare_compiled(image: Path, folder: Path, kind: str) -> Way:
    """The same network as OpenVINO compiles it, before its time begins."""
    from uvsam.models.compiled import Compiled

    scorer = specialist(kind)
    return _alone(image, scorer.card, Compiled(scorer.network, CORES))


def _alone(image: Path, card: Any, network: Callable[[Tensor], Tensor]) -> Way:
    from uvsam.models.specialist import normalise
    from uvsam.raster.chips import SceneReader
    from uvsam.raster.radiometry import IDENTITY
    from uvsam.raster.scene import open_scene
    from uvsam.tiles import plan_tiles
    from uvsam.workflows.scoring import one_core

    scene, chips = open_scene(image), []
    plan = plan_tiles(scene.shape, (1.0, 1.0), chip_px=card.chip_px, halo_px=card.halo_px)
    with SceneReader(scene, IDENTITY) as reader:
        for tile in plan:
            chip = reader.read(tile.chip)
            pixels, valid = torch.from_numpy(chip.pixels)[None], torch.from_numpy(chip.valid)[None]
            chips.append(normalise(pixels, valid, card))

    network(chips[0])  # compiled, where it is to be

    def compute(images: Tensor) -> None:
        with torch.inference_mode():
            network(images)

    def run() -> None:
        with ThreadPoolExecutor(CORES, initializer=one_core) as pool:
            for _ in pool.map(compute, chips):
                pass

    return Way(run)


def samgeo(image: Path, folder: Path, kind: str) -> Way:
    from samgeo.common import tiff_to_tiff

    model, out = KnownModel(kind), folder / "samgeo.tif"

    @torch.inference_mode()
    def func(tile: Any, **_: Any) -> Any:
        pixels = torch.from_numpy(np.ascontiguousarray(tile.transpose(2, 0, 1)))[None].float()
        return (model(pixels)[0, 0] > 0).numpy().astype(np.uint8)

    def run() -> None:
        tiff_to_tiff(str(image), str(out), func, sample_size=(TILE_PX, TILE_PX), bound=64, erosion_kernel=None)

    return Way(run, out)


def geoai(image: Path, folder: Path, kind: str) -> Way:
    from geoai.inference import predict_geotiff

    model, out = Probabilities(KnownModel(kind)), folder / "geoai.tif"

    def run() -> None:
        predict_geotiff(
            model, str(image), str(out), tile_size=TILE_PX, overlap=64, num_classes=2, output_dtype="uint8",
            output_nodata=255, preprocess_fn=lambda tile: tile, postprocess_fn=lambda scores: scores.argmax(0)[None],
            device="cpu", verbose=False,
        )  # fmt: skip

    return Way(run, out)


def geodeep(image: Path, folder: Path, kind: str) -> Way:
    """Its values are in 0..1. Small segments are kept; its median filter cannot be left out."""
    import onnx
    import rasterio
    from geodeep import segment

    file, out = folder / "known.onnx", folder / "geodeep.tif"
    example = torch.zeros(1, 3, TILE_PX, TILE_PX)
    model = Probabilities(KnownModel(kind, unit=255.0, sums=False))
    torch.onnx.export(model, (example,), file, input_names=["image"], output_names=["scores"], dynamo=False)
    proto = onnx.load(file)
    told = {"model_type": '"Segmentor"', "resolution": "100", "tiles_overlap": "12.5", "seg_thresh": "0.5",
            "seg_small_segment": "0", "class_names": '{"0": "other", "1": "village"}'}  # fmt: skip
    onnx.helper.set_model_props(proto, told)
    onnx.save(proto, file)

    def run() -> None:
        mask = segment(str(image), str(file), output_type="raw")
        with rasterio.open(image) as source:
            profile = source.profile | {"count": 1, "photometric": "MINISBLACK"}
        with rasterio.open(out, "w", **profile) as dataset:
            dataset.write(mask, 1)

    return Way(run, out)


def geo_inference(image: Path, folder: Path, kind: str) -> Way:
    from geo_inference.geo_inference import GeoInference

    file = folder / "known.pt"
    model = Probabilities(KnownModel(kind), both=False)
    torch.jit.trace(model, torch.zeros(1, 3, TILE_PX, TILE_PX, dtype=torch.uint8)).save(file)
    inference = GeoInference(str(file), str(folder), device="cpu", num_classes=1, prediction_threshold=0.5)
    out = folder / "geo_inference.tif"

    def run() -> None:
        (folder / inference(str(image), patch_size=TILE_PX, workers=CORES)).replace(out)

    return Way(run, out)


def raster_vision(image: Path, folder: Path, kind: str) -> Way:
    """Windows of 512 pixels every 384, 64 pixels cut off at their borders."""
    from rastervision.core.data import ClassConfig, RasterioSource
    from rastervision.core.data.label import SemanticSegmentationLabels

    model, target = Probabilities(KnownModel(kind)), folder / "raster_vision"
    config = ClassConfig(names=["other", "village"], null_class="other")

    @torch.inference_mode()
    def predict(tile: Any) -> Any:
        return model(torch.from_numpy(tile).permute(2, 0, 1)[None])[0].numpy()

    def run() -> None:
        source = RasterioSource(str(image))
        windows = source.extent.get_windows(TILE_PX, TILE_PX - 128, padding=TILE_PX, pad_direction="both")
        labels = SemanticSegmentationLabels.from_predictions(
            windows, (predict(source.get_chip(window)) for window in windows), extent=source.extent, num_classes=2,
            smooth=True, crop_sz=64,
        )  # fmt: skip
        labels.save(str(target), source.crs_transformer, config, smooth_output=False)

    return Way(run, target / "labels.tif")


RECIPES = {function.__name__: function for function in (samgeo, geoai, geo_inference, raster_vision, geodeep)}


class Stages:
    """Seconds of what is inside a function and not inside another one that is also looked at."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = {}
        self._inner = threading.local()
        self._lock = threading.Lock()

    def watch(self, owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            with self.within(stage):
                return function(*args, **kwargs)

        setattr(owner, name, watched)

    @contextmanager
    def within(self, stage: str) -> Iterator[None]:
        outer = getattr(self._inner, "spent", None)
        self._inner.spent = [0.0, 0.0]
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            spent = [time.perf_counter() - wall, time.thread_time() - cpu]
            with self._lock:
                total = self.spent.setdefault(stage, [0.0, 0.0])
                for i in (0, 1):
                    total[i] += spent[i] - self._inner.spent[i]
            self._inner.spent = outer and [a + b for a, b in zip(outer, spent, strict=True)]


def watch_uvsam() -> Stages:
    from uvsam.engine import journal
    from uvsam.models import compiled, specialist
    from uvsam.raster import chips, radiometry
    from uvsam.workflows import scoring

    stages = Stages()
    for owner, name, stage in (
        (radiometry, "survey", "first look at the values"),
        (chips, "read_raw", "read and decode"),
        (chips.SceneReader, "_read", "to float"),
        (compiled.Compiled, "__call__", "network"),
        (specialist.Specialist, "scores", "around the network"),
        (scoring.Scoring, "_record", "scores to bytes, zlib"),
        (journal.Log, "append", "log"),
        (scoring, "_assemble", "score raster"),
    ):
        stages.watch(owner, name, stage)
    return stages


def main() -> None:
    ways = {"uvsam": uvsam, "bare": bare, "bare_compiled": bare_compiled} | RECIPES
    assert set(PEERS) == set(RECIPES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=ways)
    parser.add_argument("image", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("kind", choices=MODELS)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    way = ways[options.way](options.image, options.folder, options.kind)
    stages = watch_uvsam() if options.profile else None
    ready, cpu = time.perf_counter(), time.process_time()
    way.run()
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    result: dict[str, Any] = {
        "seconds": round(ended - ready, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "peak_mb": round(peak),
    }
    if way.out is not None:
        result |= {"out": str(way.out), "from_level": way.from_level}
    if stages is not None:
        total = result["cpu_s"]
        own = sum(cpu for _, cpu in stages.spent.values())
        stages.spent["threads of OpenVINO, the rest"] = [0.0, total - own]
        result["stages"] = {
            name: {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "cpu_share": round(cpu / total, 3)}
            for name, (wall, cpu) in stages.spent.items()
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
