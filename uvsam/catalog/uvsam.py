"""Cards of whole UV-SAM models: a specialist, a prompt mixer, and the generalist they were trained with."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from uvsam.catalog.cards import (
    DEFAULT_MODEL,
    ModelCard,
    Strict,
    card_path,
    checked_card,
    load_card,
    read_fields,
    task_of,
)
from uvsam.catalog.generalists import Encoder, GeneralistCard
from uvsam.errors import CatalogError

Fuse = Literal["sam", "mean", "nudge", "specialist"]
"""Whose score counts where the generalist has drawn an outline (``uvsam.mosaic.instances.FUSE``)."""

Withheld = Literal["box", "mask", "sam", "specialist"]
"""What a generalist can do without: the box, the mask, its own embedding, that of the specialist."""


class GeneralistPart(Strict):
    """The generalist of a UV-SAM model: among its weights (``encoder``), or another model (``card``).

    Attributes:
        encoder: image encoder of the one among the weights.
        decoder_mlp: hidden width of its decoder's token MLP.
        card: name or path of a generalist's card, or path of a checkpoint.
        window_m: side of the square of ground that it looks at, in metres.
        seconds_per_crop: measured seconds of one CPU core per square of ground (``benchmarks/cost.py``).
        views: how often it looks at a square; the second time in a mirror.
    """

    encoder: Encoder | None = None
    decoder_mlp: int = Field(default=2048, ge=16)
    card: str | None = None
    window_m: float = Field(gt=0)
    seconds_per_crop: float | None = None
    views: Literal[1, 2] = 1

    @model_validator(mode="after")
    def _is_in_one_place(self) -> "GeneralistPart":
        if (self.encoder is None) == (self.card is None):
            raise ValueError("needs either the encoder of the generalist among the weights or the card of another")
        return self


class UvSamCard(ModelCard):
    """Everything there is to know about a UV-SAM model except its weights; of its specialist as of any other.

    Attributes:
        weights: file beside the card with the tensors ``specialist.*``, ``mixer.*``, and ``generalist.*`` where the
            generalist is among them.
        mixer: what the tokens of the boxes learn from both embeddings (``uvsam.models.mixer``).
        fuse: ``sam``: the generalist's word; ``mean``: mean log-odds of both; ``nudge``: the specialist's, moved a
            little by the generalist; ``specialist``: nothing changes.
        min_prompt_m2: smaller regions keep the specialist's outline.
        prompt_gain: the specialist's log-odds are multiplied by it to make a mask.
        without: what the generalist was not given in training.
    """

    task: Literal["uvsam"]  # type: ignore[assignment]
    generalist: GeneralistPart
    mixer: Literal["add", "mlp", "gated"] = "gated"
    fuse: Fuse = "sam"
    min_prompt_m2: float = Field(default=0.0, ge=0)
    prompt_gain: float = Field(default=3.0, gt=0)
    without: tuple[Withheld, ...] = ()


def load_uvsam_card(name_or_path: str | Path) -> UvSamCard:
    """Read and check the card of a UV-SAM model.

    Raises:
        CatalogError: no such model, it is a part of one, or the card is malformed (the message names the field).
    """
    card = load_any_card(name_or_path)
    if not isinstance(card, UvSamCard):
        raise CatalogError(
            f"'{name_or_path}' is a {card.task}, not a whole UV-SAM model; make one with: uvsam train uvsam"
        )
    return card


def load_predict_card(name_or_path: str | Path = DEFAULT_MODEL) -> ModelCard:
    """Read and check the card of what can find villages: a specialist, or a whole UV-SAM model.

    Raises:
        CatalogError: no such model, it is a generalist, or the card is malformed (the message names the field).
    """
    card = load_any_card(name_or_path)
    if isinstance(card, GeneralistCard):
        return load_card(name_or_path)  # refuses it, and says what to name instead
    return card


def load_any_card(name_or_path: str | Path) -> ModelCard | GeneralistCard:
    """Read and check a model card, whatever its task.

    Raises:
        CatalogError: no such model, or the card is malformed (the message names the field).
    """
    path = card_path(name_or_path, None)
    fields = read_fields(path)
    kinds: dict[str, type[ModelCard | GeneralistCard]] = {"generalist": GeneralistCard, "uvsam": UvSamCard}
    return checked_card(kinds.get(str(task_of(fields)), ModelCard), fields, path)
