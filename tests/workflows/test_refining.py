"""Pass B with generalists whose right answer is known: what they answer is what the map shows, where it belongs."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import rasterio
import torch
from scipy import ndimage
from torch import Tensor

from uvsam.engine.journal import Log
from uvsam.engine.work import Share
from uvsam.errors import OutputError, SceneError, SettingsError
from uvsam.mosaic.instances import Instance, Instances
from uvsam.mosaic.regions import RegionRules, find_regions
from uvsam.mosaic.runs import paint_runs
from uvsam.mosaic.scores import quantise
from uvsam.prompts import PromptRules, Prompts
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import IDENTITY
from uvsam.raster.scene import Scene, open_scene
from uvsam.raster.window import Window
from uvsam.vectors.villages import villages_from_scores
from uvsam.workflows.recipe import Refinement
from uvsam.workflows.refining import Asked, Refined, refine_scene

RULES = RegionRules(0.4, 0.6, min_area_m2=300)
AS_ASKED = PromptRules(gain=1.0)


class Answer(NamedTuple):
    logits: np.ndarray
    iou_pred: np.ndarray
    stability: np.ndarray


class Identity:
    """Answers with the mask it was given."""

    def __init__(self, input_px: int = 256) -> None:
        self.input_px = input_px
        self.seen: list[Any] = []

    def embed(self, pixels: Tensor, valid: Tensor) -> Tensor:
        assert pixels.shape == (len(pixels), 3, self.input_px, self.input_px)
        assert valid.shape == (len(pixels), self.input_px, self.input_px)
        return torch.zeros(len(pixels), 256, 64, 64)

    def masks(self, embedding: Tensor, prompts: Prompts) -> np.ndarray:
        assert prompts.mask_logits is not None
        return prompts.mask_logits[:, 0]

    def decode(self, embedding: Tensor, prompts: Prompts, *, tokens: Any = None) -> Answer:
        self.seen.append(tokens)
        masks = self.masks(embedding, prompts)
        return Answer(masks, np.full(len(masks), 0.8, np.float32), (masks > 0).mean(axis=(1, 2)))


class Shifted(Identity):
    """Answers with the mask moved to the lower right."""

    def masks(self, embedding: Tensor, prompts: Prompts) -> np.ndarray:
        assert prompts.mask_logits is not None
        moved = np.full_like(prompts.mask_logits[:, 0], -20)
        moved[:, 4:, 6:] = prompts.mask_logits[:, 0, :-4, :-6]
        return moved


class Seeing(Identity):
    """Outlines what is bright in the image, whatever it is asked; its embedding is the picture at 256 x 256."""

    def embed(self, pixels: Tensor, valid: Tensor) -> Tensor:
        grey = torch.where(valid, pixels.mean(1), 0)[:, None]
        cells = torch.nn.functional.pixel_unshuffle(torch.nn.functional.avg_pool2d(grey, self.input_px // 256), 4)
        return torch.cat([cells, torch.zeros(len(cells), 240, 64, 64)], 1)

    def masks(self, embedding: Tensor, prompts: Prompts) -> np.ndarray:
        picture = torch.nn.functional.pixel_shuffle(embedding[:16], 4)
        return np.repeat((picture.numpy() - 128) / 16, len(prompts), axis=0)


class Place(NamedTuple):
    scene: Scene
    scores: Path


def write(path: Path, pixels: np.ndarray, gsd_m: tuple[float, float], **profile: Any) -> Path:
    with rasterio.open(
        path, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1], width=pixels.shape[2], dtype="uint8",
        crs="EPSG:32650", transform=rasterio.Affine(gsd_m[0], 0, 5e5, 0, -gsd_m[1], 4e6), **profile,
    ) as dataset:  # fmt: skip
        dataset.write(pixels)
    return path


def place(
    folder: Path, values: np.ndarray, gsd_m: tuple[float, float] = (1, 1), image: np.ndarray | None = None
) -> Place:
    image = np.full((3, *values.shape), 90, np.uint8) if image is None else image
    scores = write(folder / "scores.tif", values[None], gsd_m, nodata=0, tiled=True, blockxsize=128, blockysize=96)
    return Place(open_scene(write(folder / "image.tif", image, gsd_m)), scores)


def score_field(shape: tuple[int, int], *, sigma: float, seed: int = 3) -> np.ndarray:
    """Villages of all sizes: smooth scores, some ground that was not looked at."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), sigma)
    score = 1 / (1 + np.exp(-3 * noise / noise.std()))
    valid = np.ones(shape, bool)
    valid[: shape[0] // 8, : shape[1] // 3] = False
    return quantise(score.astype(np.float32), valid)


def refine(place: Place, generalist: Identity, out: Path, **options: Any) -> Refined:
    share = Share(options.pop("threads", 1), options.pop("batch", 1))
    asked, rules = Asked(generalist, options.pop("tokens", None)), options.pop("rules", RULES)
    given: dict[str, Any] = {"window_m": 256.0, "fuse": "sam", "min_prompt_m2": 0.0, "rules": AS_ASKED, **options}
    open_log = partial(Log, Path(tempfile.mkdtemp(dir=out.parent)))
    refined, failed = refine_scene(
        place.scene, IDENTITY, asked, Refinement("", generalist.input_px, **given), place.scores, rules, out,
        open_log=open_log, share=share,
    )  # fmt: skip
    assert not failed
    return refined


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


def drawn(path: Path, gsd_m: tuple[float, float] = (1, 1)) -> np.ndarray:
    """Regions of a score raster as pixels."""
    found = np.zeros(read(path).shape, np.int32)
    for strip in find_regions(path, RULES, gsd_m).strips:
        found[strip.rows] = paint_runs(strip.runs(), Window(strip.rows.start, 0, len(strip.rows), found.shape[1]))
    return found


def test_asked_to_repeat_it_repeats_the_specialist_across_all_crops(tmp_path: Path) -> None:
    """A mask cell is a pixel here, so nothing is lost on the way there and back, nor where crops meet."""
    here = place(tmp_path, score_field((700, 900), sigma=25))
    refined = refine(here, Identity(), tmp_path / "out.tif")
    before, after = drawn(here.scores), drawn(tmp_path / "out.tif")
    assert refined.regions == before.max() >= 5
    assert refined.prompts > refined.crops > 6
    assert refined.refined == refined.regions
    assert (before == after).all()
    scores = read(here.scores)
    assert ((read(tmp_path / "out.tif") == 0) == (scores == 0)).all()
    inside = (before > 0) & (scores < 250)  # what is surer than the prompt's limit comes back as the limit
    assert np.abs(read(tmp_path / "out.tif")[inside].astype(int) - scores[inside]).max() <= 1


@pytest.mark.parametrize(
    ("gsd_m", "input_px", "window_m"), [((1.0, 1.0), 512, 410.0), ((0.8, 1.1), 256, 300.0), ((2.0, 1.5), 512, 700.0)]
)
def test_at_any_scale_it_repeats_the_specialist_within_a_cell(
    tmp_path: Path, gsd_m: tuple[float, float], input_px: int, window_m: float
) -> None:
    here = place(tmp_path, score_field((500, 640), sigma=25), gsd_m)
    refined = refine(here, Identity(input_px), tmp_path / "out.tif", window_m=window_m)
    assert refined.model_pixels == refined.crops * input_px**2
    before, after = drawn(here.scores, gsd_m) > 0, drawn(tmp_path / "out.tif", gsd_m) > 0
    around = np.pad(before, 1)  # beyond the scene is no village
    depth = sum(ndimage.distance_transform_edt(side, gsd_m[::-1]) for side in (around, ~around))[1:-1, 1:-1]
    assert depth[before != after].max() <= window_m / 256
    assert (before & after).sum() / (before | after).sum() > 0.98


def discs(shape: tuple[int, int], *circles: tuple[int, int, int]) -> np.ndarray:
    """Scores of 0.9 in discs (row, column, radius) and 0.1 elsewhere, in bytes."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.any([(y - row) ** 2 + (x - col) ** 2 <= radius**2 for row, col, radius in circles], axis=0)
    return np.where(inside, 230, 26).astype(np.uint8)


def test_what_it_moves_is_moved(tmp_path: Path) -> None:
    values = discs((600, 600), (100, 120, 40), (300, 400, 90), (580, 20, 50))
    here = place(tmp_path, values)
    refined = refine(here, Shifted(), tmp_path / "out.tif")
    assert (refined.regions, refined.refined) == (3, 3)
    expected = np.zeros_like(values, bool)
    expected[4:, 6:] = values[:-4, :-6] > 200
    assert ((drawn(tmp_path / "out.tif") > 0) == expected).all()

    refine(here, Shifted(), tmp_path / "mean.tif", fuse="mean")
    both = expected & (values > 200)
    assert (
        (read(tmp_path / "mean.tif") > 200) == both
    ).all()  # where only one of the two sees a village, neither is sure
    refine(here, Shifted(), tmp_path / "specialist.tif", fuse="specialist")
    assert (read(tmp_path / "specialist.tif") == values).all()


@pytest.mark.parametrize(("gsd_m", "input_px", "window_m"), [((1.0, 1.0), 256, 256.0), ((0.7, 1.0), 512, 300.0)])
def test_crops_show_the_ground_they_are_asked_about(
    tmp_path: Path, gsd_m: tuple[float, float], input_px: int, window_m: float
) -> None:
    """The image has the truth, the specialist a rough idea of it; the corner of the scene, a hole, a large village."""
    bright = discs((600, 700), (10, 15, 60), (300, 350, 30), (430, 200, 150), (100, 500, 70)) > 200
    bright[90:130, 480:520] = False  # a yard
    image = np.where(bright, 220, 40).astype(np.uint8) * np.ones((3, 1, 1), np.uint8)
    rough = ndimage.binary_dilation(np.roll(bright, (5, -4), (0, 1)), iterations=4)
    values = np.where(rough, 200, 30).astype(np.uint8)
    values[400:440, 300:330] = 0
    here = place(tmp_path, values, gsd_m, image)
    refine(here, Seeing(input_px), tmp_path / "out.tif", window_m=window_m)
    found, known = read(tmp_path / "out.tif") > 127, values > 0
    wrong = (found != bright) & known
    limit_px = 0 if window_m == 256 else 2
    assert (read(tmp_path / "out.tif") == 0).tolist() == (~known).tolist()
    blurred = ndimage.binary_dilation(bright, iterations=limit_px + 1) & ~ndimage.binary_erosion(
        bright, iterations=limit_px + 1
    )
    assert not wrong[~blurred].any()
    assert wrong.sum() <= 0.005 * limit_px * bright.sum()
    assert ((rough != bright) & known).sum() > 0.1 * bright.sum()


def test_small_regions_keep_the_outline_of_the_specialist(tmp_path: Path) -> None:
    values = discs((400, 700), (100, 100, 40), (100, 300, 12), (300, 600, 12))
    here = place(tmp_path, values)
    refined = refine(here, Shifted(), tmp_path / "out.tif", min_prompt_m2=1000)
    assert (refined.regions, refined.refined, refined.crops, refined.prompts) == (3, 1, 1, 1)
    out = read(tmp_path / "out.tif")
    assert (out[:, 200:] == values[:, 200:]).all()
    assert (out[:, :200] != values[:, :200]).any()
    assert 80**2 < refined.pixels < (81 + 2 * 8) ** 2 + 1
    values = np.full((600, 600), 20, np.uint8)
    values[100:140, 100:140] = 230  # 100 m2: less than 16 cells of 16 m2
    tiny = place(tmp_path, values, (0.25, 0.25))
    rules = RegionRules(0.5, 0.5)
    refined = refine(tiny, Shifted(), tmp_path / "tiny.tif", rules=rules, window_m=1024)
    assert (refined.regions, refined.refined, refined.crops) == (1, 0, 0)
    assert (read(tmp_path / "tiny.tif") == values).all()


def test_no_region_no_crop_no_change(tmp_path: Path) -> None:
    values = np.full((300, 200), 30, np.uint8)
    here = place(tmp_path, values)
    refined = refine(here, Identity(), tmp_path / "out.tif")
    assert (refined.regions, refined.crops, refined.pixels, refined.model_pixels) == (0, 0, 0, 0)
    assert (read(tmp_path / "out.tif") == values).all()


def test_the_batch_does_not_show_and_every_crop_has_its_tokens(tmp_path: Path) -> None:
    here = place(tmp_path, score_field((500, 600), sigma=20))
    one, three = Identity(), Identity()
    refined = refine(here, one, tmp_path / "one.tif")
    refine(here, three, tmp_path / "three.tif", batch=3, tokens=lambda chip: tuple(chip.geobox.affine)[:6])
    assert (read(tmp_path / "one.tif") == read(tmp_path / "three.tif")).all()
    assert set(one.seen) == {None}
    assert len(set(three.seen)) == len(three.seen) == refined.crops


def test_villages_of_the_refined_scores_know_what_the_generalist_said(tmp_path: Path) -> None:
    here = place(tmp_path, discs((400, 700), (100, 100, 40), (100, 300, 12), (250, 500, 120)))
    refined = refine(here, Shifted(), tmp_path / "out.tif", min_prompt_m2=1000)
    villages, _ = villages_from_scores(tmp_path / "out.tif", here.scene.geobox, here.scene.gsd_m, RULES)
    assert np.allclose(villages["area_m2"], [np.pi * radius**2 for radius in (120, 40, 12)], rtol=0.03)
    said = refined.support.means(find_regions(tmp_path / "out.tif", RULES, here.scene.gsd_m))
    assert said["sam_iou_pred"] == pytest.approx([0.8, np.nan, 0.8], nan_ok=True)
    assert said["stability"][0] == pytest.approx(np.pi * 40**2 / 256**2, rel=0.01)


def test_ground_without_a_region_is_not_read(tmp_path: Path) -> None:
    image = np.random.default_rng(1).integers(0, 255, (3, 600, 600), dtype=np.uint8)
    here = place(tmp_path, discs((600, 600), (100, 120, 40)), image=image)
    path = write(tmp_path / "image.tif", image, (1, 1), tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    with rasterio.open(path) as dataset:
        start, size = (int(dataset.get_tag_item(f"BLOCK_{what}_8_8", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    broken = bytearray(path.read_bytes())
    broken[start : start + size] = bytes(size)
    path.write_bytes(broken)
    scene = open_scene(path)
    with SceneReader(scene, IDENTITY) as reader, pytest.raises(SceneError, match="damaged"):
        reader.read(Window(500, 500, 64, 64))
    refined = refine(Place(scene, here.scores), Identity(), tmp_path / "out.tif")
    assert refined.crops == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fuse": "max"}, "sam, mean, nudge, specialist"),
        ({"window_m": 0}, "above 0"),
        ({"generalist": Identity(300)}, "multiple of 256"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    here = place(tmp_path, discs((300, 300), (100, 100, 40)))
    with pytest.raises(SettingsError, match=message):
        refine(here, **{"generalist": Identity(), "out": tmp_path / "out.tif", **wrong})


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    here = place(tmp_path, discs((300, 300), (100, 100, 40)))
    generalist = Identity()
    generalist.masks = failing(MemoryError())  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        refine(here, generalist, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line() -> None:
    crop = Window(0, 0, 256, 256)
    with pytest.raises(OutputError, match="cannot write /dev/full"), Instances(Path("/dev/full"), (1, 1)) as instances:
        instances.add(Instance(1, crop, crop), np.zeros((256, 256), np.float32))
