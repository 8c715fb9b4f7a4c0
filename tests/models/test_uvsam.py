"""UV-SAM as one network: what learns, what stays as it is, and what it says before it has learnt anything."""

import pytest
import torch
from torch import Tensor, nn

from uvsam.catalog.cards import Network
from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS
from uvsam.models.networks import build_network
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.uvsam import UvSamNetwork, build_mixer

SMALL = Network(arch="segformer", encoder="tf_efficientnet_lite0", decoder_channels=16)


def build(mixer: str = "gated") -> UvSamNetwork:
    torch.manual_seed(0)
    specialist = build_network(SMALL, 2)
    return UvSamNetwork(specialist, build_mixer(mixer, specialist), GeneralistNetwork(ENCODERS["tiny"].build(), 64))


def prompts(seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.tensor([[100.0, 200.0, 600.0, 700.0]]), 5 * torch.randn(1, 1, 256, 256, generator=rng)


def test_one_pass_gives_the_logits_and_what_they_are_made_of() -> None:
    network = build().eval()
    images = torch.randn(2, 3, 128, 128)
    with torch.no_grad():
        fused = network.fuse(images)
        assert torch.equal(network.classify(fused), network.specialist(images))
        assert torch.equal(network.classify(fused, dropout=0.5), network.specialist(images))
        network.train()
        assert not torch.equal(network.classify(fused, dropout=0.5), network.classify(fused))


def test_before_training_the_gated_mixer_leaves_the_generalist_as_it_is() -> None:
    network = build().train()
    embedding, fused, (boxes, masks) = torch.randn(256, 64, 64), torch.randn(16, 32, 32), prompts()
    ours = network.outline(embedding, fused, boxes, masks)
    plain = network.generalist.decode(embedding, boxes, masks)
    for mine, theirs in zip(ours, plain, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("mixer", ["add", "mlp", "gated"])
def test_a_step_reaches_specialist_and_mixer_and_nothing_of_the_generalist(mixer: str) -> None:
    network = build(mixer).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    fused = network.fuse(torch.randn(2, 3, 128, 128))
    embedding = network.embed(torch.randn(1, 3, 512, 512))[0]
    boxes, _ = prompts()
    # through the mask
    logits = nn.functional.interpolate(network.classify(fused)[:1, 1:], (256, 256))
    network.outline(embedding, fused[0].detach(), boxes, logits)[0].sum().backward()
    encoder = dict(network.specialist.named_parameters())
    by_mask = {name for name, value in encoder.items() if value.grad is not None and value.grad.abs().sum() > 0}
    assert any(name.startswith("encoder.") for name in by_mask)
    network.zero_grad()
    # through the embedding; the gate is closed until it has learnt, so it is opened here
    if mixer == "gated":
        network.mixer.get_parameter("gate").data.fill_(0.5)
    fused = network.fuse(torch.randn(2, 3, 128, 128))
    network.outline(embedding, fused[0], boxes, prompts()[1])[0].sum().backward()
    assert any(
        value.grad is not None and value.grad.abs().sum() > 0 for name, value in encoder.items() if "encoder." in name
    )
    assert all(value.grad is not None for value in network.mixer.parameters())
    optimiser.step()
    after = network.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"specialist", "mixer"}
    assert {name.split(".")[0] for name in after} == {"specialist", "mixer", "generalist"}
    assert not any(value.requires_grad for value in network.generalist.parameters())
    assert not network.generalist.image_encoder.training


def test_what_is_left_out_does_not_matter_and_what_is_given_does() -> None:
    network = build("add").eval()
    embedding, fused, (boxes, masks) = torch.randn(256, 64, 64), torch.randn(16, 32, 32), prompts()

    def answer(without: tuple[str, ...], fused: Tensor = fused, boxes: Tensor = boxes, masks: Tensor = masks) -> Tensor:
        return network.outline(embedding, fused, boxes, masks, without)[0]  # type: ignore[arg-type]

    other_fused, other_boxes, other_masks = torch.randn(16, 32, 32), boxes + 50, prompts(1)[1]
    with torch.no_grad():
        for name, changes in (
            ("specialist", {"fused": other_fused}), ("box", {"boxes": other_boxes}), ("mask", {"masks": other_masks}),
        ):  # fmt: skip
            assert not torch.equal(answer((), **changes), answer(()))
            assert torch.equal(answer((name,), **changes), answer((name,)))
        assert not torch.equal(answer(("sam",)), answer(()))
        assert torch.equal(answer(("sam", "specialist")), network.generalist.decode(embedding, boxes, masks)[0])


def test_a_specialist_without_fused_features_is_refused() -> None:
    with pytest.raises(CatalogError, match="fcn"):
        build_mixer("gated", build_network(Network(arch="fcn", encoder="tf_efficientnet_lite0"), 2))
