"""Cards of generalists: the published ones are whole, and none can reach outside the cache."""

from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from uvsam.catalog import (
    GeneralistCard,
    ModelCard,
    cache_path,
    generalist_weights,
    list_cards,
    load_any_card,
    load_card,
    load_generalist_card,
)
from uvsam.catalog.cards import BUNDLED_SPECIALIST, file_sha256
from uvsam.catalog.generalists import Encoder
from uvsam.errors import CatalogError

SOURCE = {"url": "https://example.org/weights.pth", "bytes": 7, "sha256": "a" * 64}
FIELDS: dict[str, Any] = {
    "name": "mine", "task": "generalist", "summary": "a test", "encoder": "mobile_sam", "licence": "CC0",
    "source": SOURCE,
}  # fmt: skip


def write(folder: Path, **fields: Any) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in (FIELDS | fields).items() if value is not None}))
    return path


@pytest.mark.parametrize("name", list_cards("generalist"))
def test_cards_of_the_catalogue_are_complete(name: str) -> None:
    card = load_generalist_card(name)
    assert card.name == name
    assert all([card.licence, card.citation, card.trained_on, card.made_by, card.limits])
    if card.source:
        assert urlsplit(card.source.url).scheme == "https"
        assert "download" in card.source.sha256_from
    else:
        assert generalist_weights(name)[1].is_file()


def test_every_official_model_has_its_own_file() -> None:
    cards = [load_generalist_card(name) for name in list_cards("generalist")]
    encoders = {card.encoder for card in cards}
    assert encoders >= {
        "vit_b",
        "vit_l",
        "vit_h",
        "mobile_sam",
        "efficientvit_l0",
        "efficientvit_l1",
        "efficientvit_l2",
    }
    hashes = [card.source.sha256 if card.source else card.sha256 for card in cards]
    assert len(set(hashes)) == len(cards)


def test_a_card_can_name_exactly_the_encoders_that_exist() -> None:
    from uvsam.models.encoders import ENCODERS

    assert set(get_args(Encoder)) == set(ENCODERS)


def test_each_task_is_listed_apart() -> None:
    specialists, generalists = list_cards(), list_cards("generalist")
    assert BUNDLED_SPECIALIST in specialists
    assert sorted(specialists + generalists + list_cards("uvsam")) == list_cards(None)
    assert isinstance(load_any_card(BUNDLED_SPECIALIST), ModelCard)
    assert isinstance(load_any_card("mobile-sam"), GeneralistCard)


def test_a_card_of_the_other_task_is_refused_with_names_that_would_do() -> None:
    with pytest.raises(CatalogError, match=f"'mobile-sam' is a generalist.*{BUNDLED_SPECIALIST}"):
        load_card("mobile-sam")
    with pytest.raises(CatalogError, match=f"'{BUNDLED_SPECIALIST}' is a model for --model.*mobile-sam"):
        load_generalist_card(BUNDLED_SPECIALIST)
    with pytest.raises(CatalogError, match=r"no model named 'mobile'.*mobile-sam"):
        load_generalist_card("mobile")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"encoder": "vit_g"}, "encoder"),
        ({"window_m": 0}, "window_m"),
        ({"windw_m": 900}, "windw_m"),
        ({"source": None}, "either weights"),
        ({"weights": "mine.pth", "sha256": "a" * 64}, "either weights"),
        ({"sha256": "a" * 64}, "sha256"),
        ({"source": None, "weights": "mine.pth"}, "sha256"),
        ({"source": SOURCE | {"sha256": "a" * 63}}, "source.sha256"),
        ({"source": SOURCE | {"bytes": 0}}, "source.bytes"),
        ({"source": SOURCE | {"url": "file:///etc/weights.pth"}}, "http or https"),
        ({"source": SOURCE | {"url": "ftp://example.org/weights.pth"}}, "http or https"),
        ({"source": SOURCE | {"url": "https:///weights.pth"}}, "http or https"),
        ({"source": SOURCE | {"url": "https://example.org/weights.exe"}}, "safetensors"),
        ({"name": "../mine"}, "name"),
        ({"name": "/etc/mine"}, "name"),
        ({"name": ".."}, "name"),
        ({"name": ".mine"}, "name"),
        ({"name": "mine\n"}, "name"),
        ({"task": "gardener"}, "task"),
    ],
)
def test_the_message_names_the_wrong_field(tmp_path: Path, fields: dict[str, Any], named: str) -> None:
    with pytest.raises(CatalogError, match=named) as caught:
        load_any_card(write(tmp_path, **fields))
    assert "\n" not in str(caught.value)


ADDRESS = st.text("aZ09.-_/\\~%:@?#[ \n\0é", max_size=12)


@given(name=ADDRESS, host=ADDRESS, path=ADDRESS)
def test_no_card_names_a_file_outside_the_cache(name: str, host: str, path: str) -> None:
    source = SOURCE | {"url": f"https://{host}/{path}.pth"}
    try:
        card = GeneralistCard.model_validate(FIELDS | {"name": name, "source": source})
    except ValidationError:
        return
    place = cache_path(card, Path("/cache"))
    assert place.parent == Path("/cache")
    assert ".." not in place.parts


def test_a_checkpoint_of_ones_own_is_itself(tmp_path: Path) -> None:
    checkpoint = tmp_path / "tuned.pt"
    with pytest.raises(CatalogError, match=r"no checkpoint at .*tuned\.pt"):
        generalist_weights(checkpoint)
    checkpoint.write_bytes(b"weights")
    assert generalist_weights(str(checkpoint)) == (None, checkpoint)


def test_weights_that_are_not_here_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogError, match=r"41 MB\): uvsam models fetch mobile-sam; without a network, get https"
    ) as said:
        generalist_weights("mobile-sam", tmp_path)
    assert str(said.value).endswith(f"save it as {cache_path(load_generalist_card('mobile-sam'), tmp_path)}")


@pytest.mark.parametrize(("encoder", "name"), [("vit_b", "sam-vit-b"), ("efficientvit_l0", "efficientvit-sam-l0")])
def test_a_published_generalist_answers_to_the_name_of_its_encoder(encoder: str, name: str) -> None:
    assert load_generalist_card(encoder) == load_generalist_card(name)


def test_a_card_of_ones_own_is_fetched_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as caught:
        generalist_weights(write(tmp_path), tmp_path)
    assert f"uvsam models fetch {tmp_path / 'mine.yaml'};" in str(caught.value)


def test_weights_saved_by_hand_are_taken_when_they_are_right(tmp_path: Path) -> None:
    downloaded = tmp_path / "downloaded"
    downloaded.write_bytes(b"weights")
    path = write(tmp_path, source=SOURCE | {"sha256": file_sha256(downloaded)})
    card = load_generalist_card(path)
    downloaded.rename(cache_path(card, tmp_path))
    assert generalist_weights(path, tmp_path) == (card, cache_path(card, tmp_path))


def test_weights_beside_the_card_are_verified(tmp_path: Path) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(b"weights")
    path = write(tmp_path, source=None, weights=weights.name, sha256=file_sha256(weights))
    assert generalist_weights(path) == (load_generalist_card(path), weights)
    weights.write_bytes(b"others")
    with pytest.raises(CatalogError, match="sha256 differs"):
        generalist_weights(path)
