"""Cards of generalists: Segment Anything and its relatives, with weights beside the card or at their publisher."""

from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from uvsam.catalog.cards import (
    Quality,
    Strict,
    card_path,
    checked_card,
    list_cards,
    read_fields,
    task_of,
)
from uvsam.errors import CatalogError

Encoder = Literal[
    "vit_b", "vit_l", "vit_h", "mobile_sam", "efficientvit_l0", "efficientvit_l1", "efficientvit_l2", "tiny"
]
"""Image encoders that a card can name."""

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".safetensors")


class Source(Strict):
    """Where weights can be fetched, and how to tell that they are the right ones.

    Attributes:
        url: http or https, of a file with one of ``CHECKPOINT_SUFFIXES``.
        bytes: size of the file.
        rounded_to: precision in bytes of that size, where its publisher states a rounded one; 1: exact.
        sha256: of the file.
        sha256_from: who says so, and whether it was ever compared with a download.
    """

    url: str
    bytes: int = Field(gt=0)
    rounded_to: int = Field(default=1, ge=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    sha256_from: str = ""

    @field_validator("url")
    @classmethod
    def _is_a_checkpoint_on_the_web(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("must be an http or https address")
        if PurePosixPath(parts.path).suffix not in CHECKPOINT_SUFFIXES:
            raise ValueError(f"must end in {', '.join(CHECKPOINT_SUFFIXES)}")
        return url

    @property
    def suffix(self) -> str:
        """Extension of the file, with the dot."""
        return PurePosixPath(urlsplit(self.url).path).suffix

    @property
    def max_bytes(self) -> int:
        """More than this is not the file."""
        return self.bytes + self.rounded_to // 2

    def fits(self, size: int) -> bool:
        """Whether a file of ``size`` bytes can be the one."""
        return 2 * abs(size - self.bytes) <= self.rounded_to


class GeneralistCard(Strict):
    """Everything there is to know about a generalist except its weights.

    Attributes:
        name: identifier, the file name without its extension; letters, digits, dots, dashes and underscores.
        encoder: image encoder; prompt encoder and mask decoder are those of Segment Anything.
        window_m: side of the square of ground that it looks at, in metres.
        citation: how to cite it.
        source: where the weights are, if they do not come with the card.
        weights: file name beside the card, if they do.
        sha256: of that file.
    """

    name: str = Field(pattern="^[A-Za-z0-9][A-Za-z0-9._-]*$")
    task: Literal["generalist"]
    summary: str
    encoder: Encoder
    window_m: float = Field(default=936.0, gt=0)  # 1024 pixels of 0.914 m: a tile of the UV-SAM paper
    source: Source | None = None
    weights: str | None = None
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    licence: str
    citation: str = ""
    trained_on: tuple[str, ...] = ()
    made_by: str = ""
    quality: tuple[Quality, ...] = ()
    limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _weights_are_in_one_place(self) -> "GeneralistCard":
        if (self.source is None) == (self.weights is None):
            raise ValueError("needs either weights beside the card or a source to fetch them from")
        if (self.weights is None) != (self.sha256 is None):
            raise ValueError("sha256 goes with weights; that of a file to fetch stands in source")
        return self


def load_generalist_card(name_or_path: str | Path) -> GeneralistCard:
    """Read and check the card of a generalist.

    Raises:
        CatalogError: no such model, it finds villages, or the card is malformed (the message names the field).
    """
    path = card_path(name_or_path, "generalist")
    fields = read_fields(path)
    if task_of(fields) in {"specialist", "uvsam"}:
        raise CatalogError(
            f"'{name_or_path}' is a model for --model: it finds villages and takes no prompts; "
            f"name a generalist: {', '.join(list_cards('generalist'))}"
        )
    return checked_card(GeneralistCard, fields, path)
