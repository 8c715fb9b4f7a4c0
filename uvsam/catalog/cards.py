"""Model cards as YAML files beside their weights, checked when they are read."""

import hashlib
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from uvsam.documents import DocumentError, read_yaml
from uvsam.errors import CatalogError
from uvsam.wording import nearest, wrong_setting

DEFAULT_MODEL = "uvsam-tiny"
"""Card that `predict` uses where the user names none."""
BUNDLED_SPECIALIST = "uvsam-specialist"

Task = Literal["specialist", "generalist", "uvsam"]
"""A specialist finds villages; a generalist (Segment Anything) makes exact outlines of what it is shown; a UV-SAM model
is both."""

Architecture = Literal["segformer", "unet", "deeplabv3plus", "fpn", "fcn"]


Card = TypeVar("Card", bound=BaseModel)


class Strict(BaseModel):
    """Unknown fields are errors: a misspelt key must not be a default."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Network(Strict):
    """How to build the network.

    Attributes:
        arch: decoder; ``segformer`` is the one of the paper, the others are its baselines.
        encoder: MiT-B0..B5 (``mit_b0``) or the name of any timm encoder that gives feature maps.
        decoder_channels: width of the decoder.
    """

    arch: Architecture = "segformer"
    encoder: str = "mit_b0"
    decoder_channels: int = Field(default=64, ge=8, le=1024)


class Calibration(Strict):
    """What turns logits into scores that mean something.

    Attributes:
        temperature: log-odds are divided by it (Guo et al. 2017) ...
        offset: ... and this is added (Platt 1999).
        threshold: a pixel with at least this score is village.
        seed_threshold: a region needs one pixel with at least this score.
    """

    temperature: float = Field(default=1.0, gt=0)
    offset: float = 0.0
    threshold: float = Field(default=0.5, gt=0, lt=1)
    seed_threshold: float = Field(default=0.5, gt=0, lt=1)


class Outline(Strict):
    """Defaults of the outlines, in metres and square metres on the ground."""

    close_m: float = Field(default=0.0, ge=0)
    min_area_m2: float = Field(default=1000.0, ge=0)
    min_hole_m2: float = Field(default=1000.0, ge=0)
    simplify_m: float = Field(default=1.0, ge=0)


class Quality(Strict):
    """One measured number: what, on what, and by which command."""

    measure: str
    tested_on: str
    value: float
    command: str


class ModelCard(Strict):
    """Everything there is to know about a model except its weights.

    Attributes:
        name: identifier, the file name without its extension.
        classes: what the network tells apart, the village class last.
        gsd_m: metres on the ground per pixel that the network sees.
        mean, std: per band, in units of 0..255; the network sees (pixels - mean) / std.
        chip_px: side of the square the network sees at once.
        halo_px: context around the part of a chip that is kept.
        seconds_per_mpx: measured seconds of one CPU core per million model pixels.
        weights: file name beside the card.
        sha256: of that file.
        reliability: reliability diagram; per tenth of the score: share of pixels, mean score, share that is village.
    """

    name: str
    task: Literal["specialist"] = "specialist"
    summary: str
    network: Network
    classes: tuple[str, ...] = ("other", "village")
    gsd_m: float = Field(gt=0)
    bands: tuple[str, ...] = ("red", "green", "blue")
    mean: tuple[float, float, float] = (127.0, 127.0, 127.0)
    std: tuple[float, float, float] = (128.0, 128.0, 128.0)
    chip_px: int = Field(default=512, ge=64)
    halo_px: int = Field(default=64, ge=0)
    seconds_per_mpx: float | None = None
    calibration: Calibration = Calibration()
    outline: Outline = Outline()
    weights: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    licence: str
    trained_on: tuple[str, ...] = ()
    made_by: str = ""
    quality: tuple[Quality, ...] = ()
    reliability: tuple[tuple[float, float, float], ...] = ()
    limits: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _sizes_fit(self) -> "ModelCard":
        check_chip(self.chip_px, self.halo_px)
        if self.classes[-1] != "village":
            raise ValueError("the last class must be 'village'")
        return self


def check_chip(chip_px: int, halo_px: int) -> None:
    """Whether a network of stride 32 can look at such chips.

    Raises:
        ValueError: the chip, or what is left of it without its halo, is no multiple of 32.
    """
    if chip_px % 32:
        raise ValueError("chip_px must be a multiple of 32")
    if (chip_px - 2 * halo_px) < 32 or (chip_px - 2 * halo_px) % 32:
        raise ValueError("chip_px - 2 * halo_px must be a positive multiple of 32")


def catalog_folder() -> Path:
    """Folder of the bundled cards: inside an installed package, or at the top of a checkout."""
    inside = Path(str(resources.files("uvsam"))) / "data_catalog"
    return (inside if inside.is_dir() else inside.parent.parent / "data_catalog") / "models"


def list_cards(task: Task | None = "specialist") -> list[str]:
    """Names of the models in the catalogue, of one task or (None) of any."""
    cards = sorted(catalog_folder().glob("*.yaml"))
    return [path.stem for path in cards if task in (None, task_of(read_fields(path)))]


def card_path(name_or_path: str | Path, task: Task | None = "specialist") -> Path:
    """The card file of a model of the catalogue, or of a path to a card of the user's own.

    A generalist of the catalogue also answers to the name of its encoder, as in ``--sam vit_b``.

    Args:
        task: whose names the message lists; the card may be another's.

    Raises:
        CatalogError: there is no such model.
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise CatalogError(f"no model card at {path}")
    cards = sorted(catalog_folder().glob("*.yaml")) if path.name == str(name_or_path) else []
    named = [card for card in cards if card.stem == path.name]
    named = named or [card for card in cards if read_fields(card).get("encoder") == path.name]
    if not named:
        known = list_cards(task)
        near = nearest(name_or_path, known)
        raise CatalogError(
            f"no model named '{name_or_path}'{f'; {near}?' if near else ';'} known: {', '.join(known)}; "
            "or give a card.yaml"
        )
    return named[0]


def load_card(name_or_path: str | Path = BUNDLED_SPECIALIST) -> ModelCard:
    """Read and check the card of a specialist.

    Raises:
        CatalogError: no such model, it is a generalist, or the card is malformed (the message names the field).
    """
    path = card_path(name_or_path)
    fields = read_fields(path)
    if task_of(fields) == "generalist":
        raise CatalogError(
            f"'{name_or_path}' is a generalist (Segment Anything): it sharpens outlines and finds no villages; "
            f"name a specialist: {', '.join(list_cards())}"
        )
    return checked_card(ModelCard, fields, path)


def read_fields(path: Path) -> Any:
    """What a YAML file says, unchecked.

    Raises:
        CatalogError: it is not YAML, or cannot be read.
    """
    try:
        return read_yaml(path)
    except DocumentError as error:
        raise CatalogError(str(error)) from error
    except OSError as error:
        raise CatalogError(f"cannot read {path}: {error.strerror}") from error


def task_of(fields: Any) -> Any:
    """The task that a card's fields name; a card without one is a specialist's."""
    return fields.get("task", "specialist") if isinstance(fields, dict) else "specialist"


def checked_card(kind: type[Card], fields: Any, path: Path) -> Card:
    """The card with these fields.

    Raises:
        CatalogError: a field is missing, unknown or impossible; the message names it.
    """
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise CatalogError(str(wrong_setting(error, kind, str(path)))) from error


def verified_weights(name_or_path: str | Path = BUNDLED_SPECIALIST) -> Path:
    """Path of a specialist's weights, after comparing their sha256 with the card.

    Raises:
        CatalogError: the file is missing or is not the one the card speaks of.
    """
    card = load_card(name_or_path)
    return verified_beside(card_path(name_or_path), card.weights, card.sha256)


def verified_beside(path: Path, weights: str, sha256: str) -> Path:
    """Path of the weights beside the card at ``path``, after comparing their sha256.

    Raises:
        CatalogError: the file is missing, elsewhere, or another one.
    """
    if Path(weights).name != weights:
        raise CatalogError(f"{path}: weights must be a file beside the card, not '{weights}'")
    file = path.parent / weights
    if not file.is_file():
        raise CatalogError(f"weights of '{path.stem}' are missing: expected {file}")
    if file_sha256(file) != sha256:
        raise CatalogError(f"{file} is not the file its card describes (sha256 differs); get it again")
    return file


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
