"""The models of a prediction: the specialist, and the generalist where one is to refine its outlines."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from uvsam.catalog.cache import compiled_folder
from uvsam.catalog.cards import ModelCard, file_sha256
from uvsam.catalog.generalists import GeneralistCard
from uvsam.catalog.uvsam import UvSamCard, load_predict_card
from uvsam.errors import CatalogError, SettingsError
from uvsam.models.mixer import Mixer, pooled
from uvsam.models.sam.generalist import Generalist, GeneralistRecipe, load_generalist
from uvsam.models.sam.mirrored import Mirrored
from uvsam.models.specialist import ModelRecipe, Specialist, load_specialist
from uvsam.models.uvsam import load_uvsam, load_uvsam_specialist
from uvsam.prompts import PromptRules
from uvsam.raster.chips import Chip
from uvsam.settings import PredictSettings
from uvsam.workflows.recipe import ModelFacts, ModelsRecipe, Refinement, is_large


def choose_device(name: str) -> str:
    """``cuda`` or ``cpu`` for ``auto``.

    Raises:
        SettingsError: the device cannot be used here.
    """
    if name != "auto":
        try:
            torch.zeros(1, device=name).cpu()
        except (RuntimeError, AssertionError) as error:
            raise SettingsError(f"device '{name}' cannot be used here; use --device auto") from error
        return name
    return "cuda" if torch.cuda.is_available() else "cpu"


def choose_runtime(name: str | None, device: str) -> str:
    """What computes the networks: on a processor ``openvino`` where it is installed, else ``torch``.

    Raises:
        SettingsError: it is asked for and not installed, or there is no processor to compute on.
    """
    installed = find_spec("openvino") is not None
    if name == "openvino" and not installed:
        raise SettingsError("OpenVINO is not installed here: pip install openvino, or leave out --runtime")
    if name == "openvino" and device != "cpu":
        raise SettingsError(f"OpenVINO computes on the processor, not on '{device}'; give --device cpu with it")
    return name or ("openvino" if installed and device == "cpu" else "torch")


DEFAULT_WINDOW_M = GeneralistCard.model_fields["window_m"].default


@dataclass(frozen=True, eq=False)
class Refiner:
    """A generalist with all that pass B wants to know.

    Attributes:
        tokens: from a crop to what changes the prompts' tokens; None: nothing does.
    """

    generalist: Generalist | Mirrored
    refinement: Refinement
    tokens: "MixedTokens | None" = None


@dataclass(frozen=True, eq=False)
class Models:
    """What a run computes with; ``refiner`` is None for the specialist alone."""

    specialist: Specialist
    refiner: Refiner | None
    runtime: str = "torch"

    def compiled(self, folder: Path | None = None) -> "Models":
        """The same, faster on a processor; a large generalist, which takes all cores for one crop, stays as it is.

        Args:
            folder: where compiled networks are kept from one run to the next; None: nowhere.
        """
        threads = torch.get_num_threads()
        specialist, refiner = self.specialist.compiled(threads, folder), self.refiner
        if refiner is not None and not is_large(refiner.refinement.input_px):
            tokens = refiner.tokens and replace(refiner.tokens, specialist=specialist)
            refiner = replace(refiner, generalist=refiner.generalist.compiled(threads, folder), tokens=tokens)
        return Models(specialist, refiner, "openvino")

    @property
    def facts(self) -> ModelFacts:
        """What processes without these models are told of them."""
        return ModelFacts(
            self.specialist.card.sha256, self.specialist.device.type, self.runtime,
            importlib.metadata.version(self.runtime), self.refiner.refinement if self.refiner else None,
        )  # fmt: skip


def load_models(recipe: ModelsRecipe) -> Models:
    """Build the networks of a run and load their verified weights.

    Raises:
        SettingsError: a setting of a generalist is given and there is none; the device or the runtime is not here.
        CatalogError: no such model, or its weights are not here, or not those that its card describes.
    """
    card = load_predict_card(recipe.settings.model)
    if card.sha256 != recipe.sha256:
        raise CatalogError(f"'{card.name}' has other weights on a worker; give all of them one version of uvsam")
    device = choose_device(recipe.settings.device)
    runtime = choose_runtime(recipe.settings.runtime, device)
    models = _load(card, recipe.settings, device, recipe.cache)
    return models.compiled(compiled_folder(recipe.cache)) if runtime == "openvino" else models


def _load(card: ModelCard, settings: PredictSettings, device: str, cache: Path | None) -> Models:
    if not isinstance(card, UvSamCard):
        if not settings.sam and (settings.fuse or settings.window_m):
            raise SettingsError(f"'{card.name}' has no generalist to fuse or to give a window; name one with --sam")
        specialist = load_specialist(ModelRecipe(settings.model, device))
        return Models(specialist, _published(settings, device, cache) if settings.sam else None)
    if settings.sam:
        specialist = load_uvsam_specialist(ModelRecipe(settings.model, device))
        return Models(specialist, _published(settings, device, cache))
    specialist, mixer, generalist = load_uvsam(ModelRecipe(settings.model, device), cache)
    withheld = set(card.without)
    refinement = Refinement(
        sha256=card.sha256,
        input_px=generalist.input_px,
        window_m=settings.window_m or card.generalist.window_m,
        fuse=settings.fuse or card.fuse,
        min_prompt_m2=card.min_prompt_m2,
        rules=PromptRules(use_box="box" not in withheld, use_mask="mask" not in withheld, gain=card.prompt_gain),
        views=card.generalist.views,
    )
    tokens = MixedTokens(
        specialist, mixer, refinement.window_m, with_sam="sam" not in withheld,
        with_specialist="specialist" not in withheld,
    )  # fmt: skip
    return Models(
        specialist, Refiner(generalist if refinement.views == 1 else Mirrored(generalist), refinement, tokens)
    )


def _published(settings: PredictSettings, device: str, cache: Path | None) -> Refiner:
    """The generalist that the user names; a mixer was trained with another one and takes no part."""
    generalist = load_generalist(GeneralistRecipe(str(settings.sam), device, cache))
    card = generalist.card
    if card is None:  # a checkpoint of the user's own
        sha256, window_m = file_sha256(Path(str(settings.sam))), DEFAULT_WINDOW_M
    else:
        sha256, window_m = card.source.sha256 if card.source else str(card.sha256), card.window_m
    refinement = Refinement(
        sha256, generalist.input_px, settings.window_m or window_m, settings.fuse or "sam", 0.0, PromptRules()
    )
    return Refiner(generalist, refinement)


@dataclass(frozen=True, eq=False)
class MixedTokens:
    """What the mixer makes of a prompt's tokens, from what both networks see of the whole crop."""

    specialist: Specialist
    mixer: Mixer
    window_m: float
    with_sam: bool
    with_specialist: bool

    @torch.inference_mode()
    def __call__(self, chip: Chip) -> Callable[[Tensor, Tensor], Tensor]:
        """For a crop, what ``decode`` of the generalist takes as ``tokens``."""
        seen = self._seen(chip) if self.with_specialist else None

        def mix(given: Tensor, embedding: Tensor) -> Tensor:
            mixed: Tensor = self.mixer(given, pooled(embedding[None])[0] if self.with_sam else None, seen)
            return mixed

        return mix

    def _seen(self, chip: Chip) -> Tensor:
        pixels, valid = torch.from_numpy(chip.pixels)[None], torch.from_numpy(chip.valid)[None]
        return pooled(self.specialist.fused(pixels, valid, self.window_m))[0]
