"""Model cards: what a model is, what it was trained on, what it is good for, and the weights that go with it."""

from uvsam.catalog.cache import cache_path, cached_weights, generalist_weights, named_cache, weights_file
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
from uvsam.catalog.generalists import GeneralistCard, Source, load_generalist_card
from uvsam.catalog.uvsam import UvSamCard, load_any_card, load_predict_card, load_uvsam_card

__all__ = [
    "Calibration",
    "GeneralistCard",
    "ModelCard",
    "Outline",
    "Quality",
    "Source",
    "UvSamCard",
    "cache_path",
    "cached_weights",
    "card_path",
    "generalist_weights",
    "list_cards",
    "load_any_card",
    "load_card",
    "load_generalist_card",
    "load_predict_card",
    "load_uvsam_card",
    "named_cache",
    "verified_weights",
    "weights_file",
]
