"""Model cards: what a model is, what it was trained on, what it is good for, and the weights that go with it."""

from uvsam.catalog.cards import (
    Calibration,
    ModelCard,
    Outline,
    Quality,
    card_path,
    list_cards,
    load_card,
    verified_weights,
)

__all__ = [
    "Calibration",
    "ModelCard",
    "Outline",
    "Quality",
    "card_path",
    "list_cards",
    "load_card",
    "verified_weights",
]
