"""For those who train with torchgeo: labelled images as one of its data sets, the specialist as one of its tasks."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchgeo.datasets import GeoDataset
from torchgeo.trainers import SemanticSegmentationTask

from uvsam.catalog.cards import BUNDLED_SPECIALIST, ModelCard
from uvsam.models.specialist import ModelRecipe, load_specialist, normalise, village_logit
from uvsam.training.config import Source
from uvsam.training.data import open_source
from uvsam.training.targets import target_table
from uvsam.workflows.fitting import export_model

UNKNOWN = 255
"""In masks: nobody says what this pixel is."""


class VillageDataset(GeoDataset):
    """Images with their villages, for torchgeo's samplers, transforms and ``stack_samples``.

    Samples hold ``image`` (3, H, W) float32 red, green, blue in 0..255, read as ``uvsam predict`` reads them; and
    ``mask`` (H, W) int64: 1 village, 0 other, 255 (:data:`UNKNOWN`) where there is no label or no image.

    Args:
        images: a raster, or a folder of them.
        labels: a vector file with the outlines of all villages, a label raster, or a folder of these.
        values: of label rasters, what their values mean: ``village``, or anything else for other land; values that are
            not listed are unknown.
        transforms: applied to each sample.

    Raises:
        LabelError: no image or no label can be read, or they do not overlap.
    """

    def __init__(
        self, images: str | Path, labels: str | Path, *, values: Mapping[int, str] | None = None,
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    ) -> None:  # fmt: skip
        meanings = dict(values or {0: "other", 1: "village"})
        source = Source(name=Path(images).stem, images=Path(images), labels=Path(labels), values=meanings)
        self.source = open_source(source)
        table = target_table([source], (*sorted({*meanings.values()} - {"village", "other"}), "village"))
        village = torch.from_numpy(table.village[table.lookup[0]])
        self._mask_of = torch.where(village.isnan(), UNKNOWN, village).long()
        self.index, self.res, self.transforms = self.source.index, self.source.res, transforms

    def __getitem__(self, query: Any) -> dict[str, Any]:
        """A sample; without steps in the query, at the resolution of the images."""
        query = self._disambiguate_slice(query)
        found = self.source[query]
        mask = self._mask_of[found["mask"]]
        mask[~(found["labelled"] & found["valid"])] = UNKNOWN
        sample = {"image": found["image"], "mask": mask, "crs": self.crs, "bounds": query}
        return sample if self.transforms is None else self.transforms(sample)


class VillageTask(SemanticSegmentationTask):
    """A specialist as a task of torchgeo's trainers: two classes, logits (N, 2, H, W) for other and village.

    Args:
        specialist: name or card of the model to start from.
        unit: what image values are multiplied with to be 0..255; 255 where a data module has divided by it.
        lr, patience, freeze_backbone, freeze_decoder: as of :class:`torchgeo.trainers.SemanticSegmentationTask`.

    Raises:
        CatalogError: no such model.
    """

    card: ModelCard

    def __init__(
        self, specialist: str | Path = BUNDLED_SPECIALIST, *, unit: float = 1.0, lr: float = 3e-4, patience: int = 10,
        freeze_backbone: bool = False, freeze_decoder: bool = False,
    ) -> None:  # fmt: skip
        self.start_from, self.unit = str(specialist), unit
        super().__init__(
            model="segformer", num_classes=2, ignore_index=UNKNOWN, lr=lr, patience=patience,
            freeze_backbone=freeze_backbone, freeze_decoder=freeze_decoder,
        )  # fmt: skip

    def configure_models(self) -> None:
        """The network of the card, with its weights."""
        specialist = load_specialist(ModelRecipe(self.start_from))
        self.model, self.card = specialist.network, specialist.card
        for name, frozen in (("encoder", "freeze_backbone"), ("decoder", "freeze_decoder")):
            if self.hparams[frozen]:
                self.model.get_submodule(name).requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), H and W multiples of 32, to logits (N, 2, H, W)."""
        valid = torch.ones_like(images[:, 0], dtype=torch.bool)
        village = village_logit(self.model(normalise(images * self.unit, valid, self.card)))
        return torch.stack([torch.zeros_like(village), village], dim=1)

    def save(
        self, folder: str | Path, name: str, *, summary: str = "Trained with torchgeo.", licence: str = ""
    ) -> Path:
        """Write ``<name>.yaml`` and its weights, for ``uvsam predict --model``; the calibration is that of the start.

        Args:
            licence: of the weights; default: that of the model to start from.

        Raises:
            OutputError: they cannot be written.
        """
        card = self.card.model_copy(
            update={
                "name": name, "weights": f"{name}.safetensors", "summary": summary, "made_by": "torchgeo",
                "licence": licence or self.card.licence,
            }
        )  # fmt: skip
        Path(folder).mkdir(parents=True, exist_ok=True)
        return export_model(self.model, card, Path(folder), ())
