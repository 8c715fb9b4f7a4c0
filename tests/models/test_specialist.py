"""The specialist network: every named architecture, its scores, and what invalid pixels do."""

import pytest
import torch
import yaml
from safetensors.torch import save_file

from uvsam.catalog.cards import Calibration, ModelCard, Network, file_sha256
from uvsam.errors import CatalogError
from uvsam.models.networks import build_network
from uvsam.models.specialist import (
    ModelRecipe,
    Specialist,
    load_specialist,
    normalise,
    village_logit,
)


def card(**fields: object) -> ModelCard:
    given = {
        "name": "test", "summary": "", "network": Network(encoder="mit_b0", decoder_channels=16), "gsd_m": 1.0,
        "weights": "test.safetensors", "sha256": "0" * 64, "licence": "CC0",
    }  # fmt: skip
    return ModelCard.model_validate(given | fields)


@pytest.mark.parametrize("arch", ["segformer", "unet", "deeplabv3plus", "fpn", "fcn"])
@pytest.mark.parametrize("encoder", ["mit_b0", "tf_efficientnet_lite0"])
def test_every_architecture_gives_one_logit_per_class_and_pixel(arch: str, encoder: str) -> None:
    network = build_network(Network(arch=arch, encoder=encoder, decoder_channels=32), 3).eval()  # type: ignore[arg-type]
    with torch.inference_mode():
        assert network(torch.randn(1, 3, 64, 96)).shape == (1, 3, 64, 96)


def test_the_segformer_of_the_paper_has_its_encoder() -> None:
    """MiT-B0 has 3.32 M parameters in the paper's implementation as well."""
    network = build_network(Network(arch="segformer", encoder="mit_b0", decoder_channels=256), 2)
    assert sum(p.numel() for p in network.encoder.parameters()) == 3_319_392  # type: ignore[union-attr]


def test_an_unknown_encoder_is_a_one_line_error() -> None:
    with pytest.raises(CatalogError, match="no_such_encoder") as caught:
        build_network(Network(encoder="no_such_encoder"), 2)
    assert "\n" not in str(caught.value)


def test_village_logit_is_the_log_odds_of_softmax() -> None:
    logits = torch.randn(2, 5, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    probability = logits.softmax(1)[:, -1]
    torch.testing.assert_close(torch.sigmoid(village_logit(logits)), probability)


def test_what_stands_at_invalid_pixels_does_not_matter() -> None:
    pixels = torch.rand(1, 3, 8, 8) * 255
    valid = torch.rand(1, 8, 8) > 0.5
    other = torch.where(valid[:, None], pixels, 123.0)
    torch.testing.assert_close(normalise(pixels, valid, card()), normalise(other, valid, card()))


@pytest.fixture(scope="module")
def specialist() -> Specialist:
    torch.manual_seed(0)
    one = card()
    return Specialist(one, build_network(one.network, 2))


def test_eight_views_make_scores_that_turn_with_the_image(specialist: Specialist) -> None:
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 255
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    scores = specialist.scores(pixels, valid, views=8)
    assert 0 <= scores.min() <= scores.max() <= 1
    turned = specialist.scores(torch.rot90(pixels.flip(-1), 1, (-2, -1)), valid, views=8)
    torch.testing.assert_close(turned, torch.rot90(scores.flip(-1), 1, (-2, -1)), atol=1e-5, rtol=0)
    one_view = specialist.scores(pixels, valid)
    assert (one_view - scores).abs().max() > 1e-4


def test_the_offset_shifts_all_log_odds_alike(specialist: Specialist) -> None:
    pixels, valid = torch.rand(1, 3, 64, 64) * 255, torch.ones(1, 64, 64, dtype=torch.bool)
    lower = Specialist(card(calibration=Calibration(temperature=2.0, offset=-0.7)), specialist.network)
    before, after = (torch.logit(model.scores(pixels, valid).double()) for model in (specialist, lower))
    assert torch.allclose(after, before / 2 - 0.7, atol=1e-4)


def test_temperature_flattens_scores_and_keeps_their_order(specialist: Specialist) -> None:
    pixels, valid = torch.rand(1, 3, 64, 64) * 255, torch.ones(1, 64, 64, dtype=torch.bool)
    flat = Specialist(card(calibration=Calibration(temperature=4.0)), specialist.network)
    sharp, soft = specialist.scores(pixels, valid), flat.scores(pixels, valid)
    assert (soft - 0.5).abs().max() < (sharp - 0.5).abs().max()
    assert torch.equal((sharp > 0.5), (soft > 0.5))


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    weights = tmp_path / "test.safetensors"
    save_file(build_network(Network(encoder="mit_b0", decoder_channels=8), 2).state_dict(), weights)
    path = tmp_path / "test.yaml"
    path.write_text(yaml.safe_dump(card(sha256=file_sha256(weights)).model_dump(mode="json")))
    with pytest.raises(CatalogError, match="do not fit"):
        load_specialist(ModelRecipe(path))
    weights.write_bytes(b"no tensors")
    path.write_text(yaml.safe_dump(card(sha256=file_sha256(weights)).model_dump(mode="json")))
    with pytest.raises(CatalogError, match="safetensors"):
        load_specialist(ModelRecipe(path))
