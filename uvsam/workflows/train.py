"""Train a model and write its weights and card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import yaml
from torch import nn

from uvsam.catalog.cards import ModelCard, Quality
from uvsam.catalog.generalists import GeneralistCard
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.specialist import build_network
from uvsam.progress import Progress, silent
from uvsam.training.config import GeneralistTraining, SpecialistTraining
from uvsam.training.generalist import GeneralistModule, PromptedMixture
from uvsam.training.initial import initialise_encoder
from uvsam.training.sampling import Mixture, open_sources
from uvsam.training.specialist import SpecialistModule
from uvsam.training.targets import target_table
from uvsam.workflows.fitting import fit, half_precision, start, write_file

AnyCard = TypeVar("AnyCard", ModelCard, GeneralistCard)


def train_specialist(
    config: SpecialistTraining, *, resume: bool = True, command: str = "", progress: Progress = silent
) -> Path:
    """Train, keeping a checkpoint every epoch, and write ``<output>/<name>.yaml`` with its weights beside it.

    Args:
        resume: go on from the last checkpoint in ``config.output``, if there is one.
        command: what the card says the model was made by.

    Returns:
        Path of the card, ready for ``uvsam predict --model``.

    Raises:
        OutputError: the folder cannot be written to.
        LabelError, SceneError: a source cannot be used.
        SettingsError: the checkpoint or the encoder's weights are of another network.
    """
    start(config)
    table = target_table(config.sources, config.classes)
    network = build_network(
        config.network,
        len(config.classes),
        encoder_weights="imagenet" if config.encoder_weights == "imagenet" else None,
    )
    if config.encoder_weights not in {"random", "imagenet"}:
        initialise_encoder(network.get_submodule("encoder"), config.encoder_weights)
    module = SpecialistModule(network, draft_card(config, command), table, config)

    progress("opening sources", 0, 0)
    sources = open_sources(config, table)
    measured = fit(module, Mixture(sources, config), sources, config, resume=resume, progress=progress)
    return _export(module.average.module, module.card, config.output, _quality(measured, config, command))


def train_generalist(
    config: GeneralistTraining, *, resume: bool = True, command: str = "", progress: Progress = silent
) -> Path:
    """Train a generalist as a refiner of rough masks, and write its card with its weights beside it.

    Arguments, result and errors are those of :func:`train_specialist`.
    """
    start(config)
    spec = ENCODERS[config.encoder]
    network = GeneralistNetwork(spec.build(), config.decoder_mlp)
    if config.encoder_weights != "random":
        initialise_encoder(network.image_encoder.get_submodule("trunk"), config.encoder_weights)
    module = GeneralistModule(network, spec.mean, spec.std, config)

    progress("opening sources", 0, 0)
    table = target_table(config.sources, config.classes)
    sources = open_sources(config, table)
    data = PromptedMixture(Mixture(sources, config), table, config)
    measured = fit(module, data, sources, config, resume=resume, progress=progress)
    card = GeneralistCard(
        name=config.name, task="generalist", summary=config.summary, encoder=config.encoder,
        window_m=config.gsd_m * config.crop_px, weights=f"{config.name}.safetensors", sha256="0" * 64,
        licence=config.licence, trained_on=config.trained_on or tuple(source.name for source in config.sources),
        made_by=command, limits=config.limits,
    )  # fmt: skip
    rule = config.validation
    quality = [
        Quality(
            measure=f"pixel IoU of {what} on rough prompts", value=round(measured[name], 4), command=command,
            tested_on=f"{rule.share:.0%} of the training area, held out in blocks of {rule.block_m:g} m",
        )
        for name, what in (("val_prompt_iou", "the prompts themselves"), ("val_iou", "the masks")) if name in measured
    ]  # fmt: skip
    return _export(module.average.module, card, config.output, quality)


def _quality(measured: Mapping[str, float], config: SpecialistTraining, command: str) -> list[Quality]:
    if "val_iou" not in measured:
        return []
    rule = config.validation
    return [
        Quality(
            measure=f"pixel IoU of the village class at threshold {float(measured['val_threshold']):.2f}",
            tested_on=f"{rule.share:.0%} of the training area, held out in blocks of {rule.block_m:g} m",
            value=round(float(measured["val_iou"]), 4),
            command=command,
        )
    ]


def draft_card(config: SpecialistTraining, command: str) -> ModelCard:
    """The card of a run before its weights exist."""
    return ModelCard(
        name=config.name,
        summary=config.summary,
        network=config.network,
        classes=config.classes,
        gsd_m=config.gsd_m,
        chip_px=config.chip_px,
        halo_px=config.halo_px,
        weights=f"{config.name}.safetensors",
        sha256="0" * 64,
        licence=config.licence,
        trained_on=config.trained_on or tuple(source.name for source in config.sources),
        made_by=command,
        limits=config.limits,
    )


def _export(network: nn.Module, card: AnyCard, folder: Path, quality: Sequence[Quality]) -> Path:
    """Write weights in float16 and the card that describes them.

    Raises:
        OutputError: they cannot be written; what was there before stays.
    """
    content, sha256 = half_precision(network)
    card = card.model_copy(update={"sha256": sha256, "quality": tuple(quality)})
    path = folder / f"{card.name}.yaml"
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_file(folder / str(card.weights), content)
    write_file(path, text.encode("utf-8"))
    return path
