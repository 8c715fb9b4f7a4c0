"""Train a model and write its weights and card."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from scipy.special import expit, logit
from torch import nn

from uvsam.catalog.cache import generalist_weights
from uvsam.catalog.cards import ModelCard, Quality, file_sha256
from uvsam.catalog.generalists import GeneralistCard
from uvsam.catalog.uvsam import GeneralistPart, UvSamCard
from uvsam.errors import UsageError
from uvsam.models.encoders import ENCODERS, EncoderSpec
from uvsam.models.networks import build_network
from uvsam.models.sam.generalist import GeneralistRecipe, load_generalist
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.models.uvsam import build_mixer
from uvsam.progress import Progress, silent
from uvsam.training.config import GeneralistTraining, SpecialistTraining, TrainingRun, UvSamTraining
from uvsam.training.embeddings import EmbeddingCache
from uvsam.training.generalist import GeneralistModule, PromptedMixture
from uvsam.training.initial import initialise_encoder
from uvsam.training.sampling import LabelledSource, Mixture, open_sources
from uvsam.training.specialist import SpecialistModule
from uvsam.training.survey import LabelSurvey, check_shares
from uvsam.training.targets import TargetTable, target_table
from uvsam.training.tiling import TiledMixture, TileSampler
from uvsam.training.uvsam import UvSamModule
from uvsam.workflows.fitting import export_model, fit, start
from uvsam.workflows.judging import judge_tiles

Told = Callable[[Sequence[LabelSurvey]], None]
"""Is given what the labels of each source say, before the first step."""


def untold(surveys: Sequence[LabelSurvey]) -> None:
    """Tell nothing."""


def train_specialist(
    config: SpecialistTraining,
    *,
    resume: bool = True,
    command: str = "",
    progress: Progress = silent,
    tell: Told = untold,
) -> Path:
    """Train, keeping a checkpoint every epoch, and write ``<output>/<name>.yaml`` with its weights beside it.

    Args:
        resume: go on from the last checkpoint in ``config.output``, if there is one.
        command: what the card says the model was made by.
        tell: is given what the labels say, before the first step.

    Returns:
        Path of the card, ready for ``uvsam predict --model``.

    Raises:
        OutputError: the folder cannot be written to.
        LabelError, SceneError: a source cannot be used, or there is nothing in it to learn from.
        SettingsError: the checkpoint or the encoder's weights are of another network, or a setting contradicts the
            specialist to start from.
        CatalogError: that specialist is not here.
    """
    start(config)
    initial = None if config.specialist is None else load_specialist(ModelRecipe(config.specialist))
    if initial is not None:
        config = _as_brought(config, initial.card)
    card = draft_card(config, command)
    if initial is not None:
        card = ModelCard.model_validate(card.model_dump() | _brought_by(initial.card))
    network = _new_specialist(config) if initial is None else initial.network
    table = target_table(config.sources, config.classes)
    module = SpecialistModule(network, card, table, config)

    sources = _open_sources(config, table, progress, tell)
    measured = fit(module, Mixture(sources, config), sources, config, resume=resume, progress=progress)
    card = at_threshold(card, measured)
    best = f"the village class at threshold {card.calibration.threshold:.2f}"
    quality = _held_out_quality(measured, (("val_iou", best),), config, command)
    return export_model(module.average.module, card, config.output, quality)


def at_threshold(card: ModelCard, measured: Mapping[str, float]) -> ModelCard:
    """A card that draws outlines where they were best on held-out ground, and begins regions that much earlier, too.

    Args:
        measured: ``val_iou`` and ``val_threshold``, which is one of scores that are not calibrated.
    """
    if not measured.get("val_iou"):  # nothing was held out, or nothing was found there
        return card
    now = card.calibration
    threshold = float(logit(measured["val_threshold"])) / now.temperature + now.offset
    seed = float(logit(now.seed_threshold)) + threshold - float(logit(now.threshold))
    scores = {
        name: round(min(max(float(expit(value)), 0.001), 0.999), 4)
        for name, value in (("threshold", threshold), ("seed_threshold", seed))
    }
    return card.model_copy(update={"calibration": now.model_copy(update=scores)})


def _open_sources(config: TrainingRun, table: TargetTable, progress: Progress, tell: Told) -> list[LabelledSource]:
    """Open the sources, tell what their labels say, and stop where there is nothing to learn from."""
    progress("opening sources", 0, 0)
    sources = open_sources(config, table)
    surveys = [source.survey for source in sources]
    tell(surveys)
    if isinstance(config, SpecialistTraining):  # a generalist can learn from outlines of anything
        check_shares(surveys)
    return sources


def train_generalist(
    config: GeneralistTraining,
    *,
    resume: bool = True,
    command: str = "",
    progress: Progress = silent,
    tell: Told = untold,
) -> Path:
    """Train a generalist as a refiner of rough masks, and write its card with its weights beside it.

    Arguments, result and errors are those of :func:`train_specialist`.

    Raises:
        CatalogError: the specialist whose findings shall be prompts is not here.
    """
    start(config)
    specialist = None if config.specialist is None else load_specialist(ModelRecipe(config.specialist))
    spec = ENCODERS[config.encoder]
    if config.crop_px != spec.input_px:
        raise UsageError(f"must be {spec.input_px}, which is what encoder '{config.encoder}' looks at", "crop_px")
    network = GeneralistNetwork(spec.build(), config.decoder_mlp)
    if config.encoder_weights != "random":
        initialise_encoder(network.image_encoder.get_submodule("trunk"), config.encoder_weights)
    table = target_table(config.sources, config.classes)
    module = GeneralistModule(network, spec.mean, spec.std, table, config)

    sources = _open_sources(config, table, progress, tell)
    data = PromptedMixture(Mixture(sources, config), table, config, specialist)
    measured = fit(module, data, sources, config, resume=resume, progress=progress)
    card = GeneralistCard(
        name=config.name, task="generalist", summary=config.summary, encoder=config.encoder,
        window_m=config.gsd_m * config.crop_px, weights=f"{config.name}.safetensors", sha256="0" * 64,
        licence=config.licence, trained_on=config.trained_on or tuple(source.name for source in config.sources),
        made_by=command, limits=config.limits,
    )  # fmt: skip
    names = (
        ("val_prompt_iou", "the prompts themselves on rough prompts"), ("val_iou", "the masks on rough prompts"),
    )  # fmt: skip
    trained = module.average.module.get_submodule("generalist")
    return export_model(trained, card, config.output, _held_out_quality(measured, names, config, command))


class TrainedUvSam(NamedTuple):
    """A trained model, and how many of the generalist's embeddings were computed for it, and found on disk.

    Attributes:
        card: its path, beside its weights.
    """

    card: Path
    embeddings_computed: int
    embeddings_reused: int


def train_uvsam(
    config: UvSamTraining,
    *,
    resume: bool = True,
    command: str = "",
    cache: Path | None = None,
    progress: Progress = silent,
    tell: Told = untold,
) -> TrainedUvSam:
    """Train a specialist and a prompt mixer through a frozen generalist, and write their card and weights.

    A generalist that comes with its card is put among the weights, a published one is named in the card.

    Arguments and errors are those of :func:`train_specialist`.

    Args:
        cache: folder of fetched weights; None is the user's cache folder.

    Raises:
        CatalogError: the generalist or the specialist to start from is not here.
    """
    start(config)
    generalist_card, generalist_file = generalist_weights(config.generalist, cache)
    generalist = load_generalist(GeneralistRecipe(config.generalist, cache=cache))
    if config.crop_px != generalist.input_px:
        raise UsageError(f"must be {generalist.input_px}, which is what '{config.generalist}' looks at", "crop_px")
    bundled = generalist_card is not None and generalist_card.weights is not None
    seen: dict[str, Any] = {"window_m": config.gsd_m * config.crop_px, "views": config.generalist_views}
    if generalist_card is not None and bundled:
        mlp = generalist.network.mask_decoder.transformer.layers[0].mlp.lin1.out_features
        part = GeneralistPart(encoder=generalist_card.encoder, decoder_mlp=mlp, **seen)
    else:
        path = Path(config.generalist)
        part = GeneralistPart(card=str(path.resolve()) if path.is_file() else config.generalist, **seen)
    specialist, from_start = _initial_specialist(config, generalist.spec)
    card = UvSamCard.model_validate(
        draft_card(config, command).model_dump()
        | {"task": "uvsam", "generalist": part}
        | {name: getattr(config, name) for name in ("mixer", "fuse", "min_prompt_m2", "prompt_gain", "without")}
        | from_start
    )
    views_only = config.augmentation.views_only
    kept = EmbeddingCache(config.output / "embeddings", file_sha256(generalist_file)) if views_only else None
    table = target_table(config.sources, config.classes)
    module = UvSamModule(specialist, build_mixer(config.mixer, specialist), generalist, card, table, config, kept)

    sources = _open_sources(config, table, progress, tell)
    sampler = TileSampler(sources, config) if config.on_tiles else None
    data = TiledMixture(sources, config)
    measured = fit(module, data, sources, config, sampler=sampler, resume=resume, progress=progress)
    trained = module.whole(averaged=True) if bundled else module.average.module
    names = (("val_specialist_iou", "the specialist alone"), ("val_iou", "both models"))
    quality = _held_out_quality(measured, names, config, command)
    if config.tests:
        quality += judge_tiles(module, config, command, progress)
    path = export_model(trained, card, config.output, quality)
    return TrainedUvSam(path, kept.computed if kept else 0, kept.reused if kept else 0)


def _initial_specialist(config: UvSamTraining, spec: EncoderSpec) -> tuple[nn.Module, dict[str, Any]]:
    """The specialist that training starts from, and what the card takes over from it.

    Raises:
        UsageError: it tells other classes apart.
    """
    if config.specialist is None:
        return _new_specialist(config), {"mean": spec.mean, "std": spec.std}
    initial = load_specialist(ModelRecipe(config.specialist))
    if initial.card.classes != config.classes:
        raise UsageError(f"classes must be those of '{config.specialist}': {', '.join(initial.card.classes)}")
    return initial.network, _brought_by(initial.card)


def _as_brought(config: SpecialistTraining, card: ModelCard) -> SpecialistTraining:
    """The configuration with the classes and the resolution of the specialist to start from.

    Raises:
        UsageError: it says something else.
    """
    brought: dict[str, Any] = {"classes": card.classes, "gsd_m": card.gsd_m}
    for name, value in brought.items():
        if name in config.model_fields_set and getattr(config, name) != value:
            said = f"classes must be those of '{config.specialist}': {', '.join(card.classes)}"
            raise UsageError(said if name == "classes" else f"gsd_m must be that of '{config.specialist}': {value:g}")
    return config.model_copy(update=brought)


def _brought_by(card: ModelCard) -> dict[str, Any]:
    """What a model keeps of the specialist that it started from."""
    kept = (
        "network", "bands", "mean", "std", "gsd_m", "chip_px", "halo_px", "seconds_per_mpx", "calibration", "outline",
    )  # fmt: skip
    return {name: getattr(card, name) for name in kept}


def _new_specialist(config: SpecialistTraining) -> nn.Module:
    network = build_network(
        config.network,
        len(config.classes),
        encoder_weights="imagenet" if config.encoder_weights == "imagenet" else None,
    )
    if config.encoder_weights not in {"random", "imagenet"}:
        initialise_encoder(network.get_submodule("encoder"), config.encoder_weights)
    return network


def _held_out_quality(
    measured: Mapping[str, float], names: Sequence[tuple[str, str]], config: TrainingRun, command: str
) -> list[Quality]:
    """Pixel IoU on the blocks held out, of what each name of a measurement stands for."""
    rule = config.validation
    return [
        Quality(
            measure=f"pixel IoU of {what}", value=round(measured[name], 4), command=command,
            tested_on=f"{rule.share:.0%} of the training area, held out in blocks of {rule.block_m:g} m",
        )
        for name, what in names if name in measured
    ]  # fmt: skip


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
