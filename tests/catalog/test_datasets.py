"""Data set cards are complete, and the model card names only data that has one."""

from uvsam.catalog import load_card
from uvsam.catalog.datasets import dataset_cards


def test_every_data_set_says_where_it_comes_from_and_what_is_allowed() -> None:
    cards = dataset_cards()
    assert {card.name for card in cards} >= {"mumbai", "beijing", "dubai", "levir", "jakarta", "simulated"}
    assert all(card.licence and card.citation and card.source for card in cards)


def test_the_bundled_model_is_trained_on_data_sets_that_have_a_card() -> None:
    names = {card.name for card in dataset_cards()}
    assert {text.split(":")[0] for text in load_card().trained_on} <= names
    assert "jakarta" not in {text.split(":")[0] for text in load_card().trained_on}
