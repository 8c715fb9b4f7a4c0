"""Model cards: bundled ones are whole, broken ones are refused with one line that names the fault."""

from pathlib import Path

import pytest
import yaml

from uvsam.catalog import list_cards, load_card, verified_weights
from uvsam.catalog.cards import BUNDLED_SPECIALIST, DEFAULT_MODEL, card_path, file_sha256, verified_beside
from uvsam.catalog.uvsam import load_predict_card
from uvsam.errors import CatalogError


@pytest.mark.parametrize("name", list_cards())
def test_bundled_models_are_complete_and_say_where_they_come_from(name: str) -> None:
    card = load_card(name)
    assert card.name == name
    assert verified_weights(name).stat().st_size > 100_000
    assert all([card.licence, card.trained_on, card.made_by, card.quality, card.limits, card.reliability])


def test_the_default_model_is_bundled() -> None:
    assert BUNDLED_SPECIALIST in list_cards()
    assert DEFAULT_MODEL in list_cards("uvsam")
    card = load_predict_card()
    assert card.name == DEFAULT_MODEL
    assert verified_beside(card_path(DEFAULT_MODEL), card.weights, card.sha256).stat().st_size > 1_000_000
    assert all([card.licence, card.trained_on, card.made_by, card.quality, card.limits])


@pytest.fixture
def own_card(tmp_path: Path) -> Path:
    """A card of the user's own with (meaningless) weights beside it."""
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    fields = {
        "name": "mine", "summary": "a test", "network": {"encoder": "mit_b0"}, "gsd_m": 0.5, "licence": "CC0",
        "weights": weights.name, "sha256": file_sha256(weights),
    }  # fmt: skip
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(fields))
    return path


def change(path: Path, **fields: object) -> None:
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))


def test_a_card_of_the_users_own_is_found_by_its_path(own_card: Path) -> None:
    assert load_card(own_card).gsd_m == 0.5
    assert verified_weights(own_card) == own_card.with_name("mine.safetensors")


def test_other_weights_than_the_cards_are_refused(own_card: Path) -> None:
    own_card.with_name("mine.safetensors").write_bytes(b"other weights")
    with pytest.raises(CatalogError, match="sha256 differs"):
        verified_weights(own_card)


def test_missing_weights_are_named(own_card: Path) -> None:
    own_card.with_name("mine.safetensors").unlink()
    with pytest.raises(CatalogError, match=r"expected .*mine\.safetensors"):
        verified_weights(own_card)


@pytest.mark.parametrize("weights", ["../../etc/passwd", "/etc/passwd", "a/b.safetensors"])
def test_weights_outside_the_cards_folder_are_refused(own_card: Path, weights: str) -> None:
    change(own_card, weights=weights)
    with pytest.raises(CatalogError, match="beside the card"):
        verified_weights(own_card)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"gsd_m": -1}, "gsd_m"),
        ({"gdd_m": 1}, "gdd_m"),
        ({"classes": ["village", "other"]}, "last class"),
        ({"chip_px": 500}, "chip_px"),
        ({"halo_px": 250}, "halo_px"),
        ({"network": {"arch": "perceptron"}}, "network.arch"),
        ({"sha256": "abc"}, "sha256"),
    ],
)
def test_the_message_names_the_wrong_field(own_card: Path, fields: dict[str, object], named: str) -> None:
    change(own_card, **fields)
    with pytest.raises(CatalogError, match=named) as caught:
        load_card(own_card)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["no-such-model", "../models/uvsam-specialist", "no/such/card.yaml"])
def test_unknown_models_are_errors(name: str) -> None:
    with pytest.raises(CatalogError):
        card_path(name)


def test_yaml_that_would_run_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.yaml"
    path.write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/ran']")
    with pytest.raises(CatalogError):
        load_card(path)
    assert not (tmp_path / "ran").exists()
