"""The training loop of UV-SAM, with an encoder of one layer in place of a large one."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from uvsam.catalog.cards import Network
from uvsam.catalog.uvsam import UvSamCard
from uvsam.models.encoders import EncoderSpec
from uvsam.models.networks import build_network
from uvsam.models.sam.generalist import Generalist
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.uvsam import build_mixer
from uvsam.training.config import UvSamTraining
from uvsam.training.live_prompts import LivePrompts
from uvsam.training.targets import target_table
from uvsam.training.uvsam import UvSamModule
from uvsam.training.uvsam_losses import box_targets, paper_mask_losses

LEGACY = {"legacy": True, "crop_px": 1024, "gsd_m": 1.0, "min_prompt_m2": 10_000, "dropout": 0.1, "schedule": "paper"}


def module(**fields: Any) -> UvSamModule:
    given = {
        "name": "t", "output": "t", "generalist": "g", "truth_prompts": 0, "crop_px": 256, "gsd_m": 2.0,
        "network": {"arch": "segformer", "encoder": "tf_efficientnet_lite0", "decoder_channels": 16},
        "sources": [{"name": "s", "images": "i", "labels": "l"}],
    }  # fmt: skip
    config = UvSamTraining.model_validate(given | fields)
    torch.manual_seed(0)
    specialist = build_network(Network.model_validate(given["network"]), 2)
    encoder = nn.Conv2d(3, 256, config.crop_px // 64, stride=config.crop_px // 64)
    generalist = Generalist(GeneralistNetwork(encoder, 64), EncoderSpec(lambda: encoder, config.crop_px))
    card = UvSamCard(
        name="t", task="uvsam", summary="", network=config.network, gsd_m=config.gsd_m, weights="t.safetensors",
        sha256="0" * 64, licence="", generalist={"encoder": "tiny", "window_m": config.gsd_m * config.crop_px},
    )  # fmt: skip
    table = target_table(config.sources, config.classes)
    made = UvSamModule(specialist, build_mixer("mlp", specialist), generalist, card, table, config)
    made.log_dict = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    return made


def batch(side: int) -> dict[str, Tensor]:
    count = 1 if side == 1024 else 2
    rows = torch.ones(count, side, side, dtype=torch.uint8)
    rows[:, side // 4 : side // 2, side // 4 : side // 2] = 2
    image = torch.rand(count, 3, side, side) * 255
    return {"image": image, "valid": torch.ones(count, side, side, dtype=torch.bool), "rows": rows}


@pytest.mark.parametrize("fields", [{}, {"truth_prompts": 1}, LEGACY], ids=["default", "truth", "legacy"])
def test_a_step_teaches_both_parts_through_the_generalist(fields: dict[str, Any]) -> None:
    trained = module(**fields)
    with torch.no_grad():  # so that there is something to ask about
        trained.network.get_parameter("specialist.segmentation_head.0.bias").copy_(torch.tensor([-1.0, 1.0]))
    before = {name: value.clone() for name, value in trained.generalist.network.state_dict().items()}
    loss = trained.training_step(batch(trained.run.crop_px), 0)
    loss.backward()
    assert torch.isfinite(loss)
    parts = {name.split(".")[0] for name, value in trained.network.named_parameters() if value.grad is not None}
    assert parts == {"specialist", "mixer"}
    after = trained.generalist.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    held = {name.split(".")[0] for name in trained.state_dict()}
    assert held == {"network", "average"}
    assert not any("generalist" in name or "image_encoder" in name for name in trained.state_dict())


def test_a_specialist_that_finds_nothing_learns_from_its_own_loss() -> None:
    trained = module()
    with torch.no_grad():
        trained.network.get_parameter("specialist.segmentation_head.0.bias").copy_(torch.tensor([50.0, -50.0]))
    trained.training_step(batch(256), 0).backward()
    assert any(value.grad is not None for value in trained.network["specialist"].parameters())
    assert all(value.grad is None for value in trained.network["mixer"].parameters())


def test_the_paper_divides_by_the_contours_of_the_last_image() -> None:
    trained = module(**LEGACY)
    village = torch.zeros(2, 8, 8)
    village[:, 2:6, 2:6] = 1
    known = torch.ones(8, 8, dtype=torch.bool)
    boxes = torch.tensor([[0.0, 0, 1024, 1024], [0, 0, 512, 512], [512, 512, 1024, 1024]])
    masks, iou = torch.randn(3, 8, 8), torch.rand(3)

    def asked(index: slice, counted: int) -> LivePrompts:
        return LivePrompts(boxes[index], torch.zeros(len(boxes[index]), 1, 256, 256), counted)

    outlines = [(masks[:1], iou[:1]), (masks[1:], iou[1:])]
    loss = trained._mask_loss(outlines, [asked(slice(0, 1), 1), asked(slice(1, 3), 5)], village)
    each = paper_mask_losses(masks, iou, box_targets(village[0], boxes), known)
    assert float(loss) == pytest.approx(float(each.sum()) / (5 * 2))
    nothing_last = [asked(slice(0, 1), 1), asked(slice(0, 0), 0)]
    assert float(trained._mask_loss([outlines[0], (masks[:0], iou[:0])], nothing_last, village)) == 0


@pytest.mark.parametrize("started", [True, False])
def test_a_specialist_to_start_from_keeps_its_batch_statistics(started: bool) -> None:
    trained = module()
    if started:
        trained.run = trained.run.model_copy(update={"specialist": "s"})
    trained.train()

    def statistics() -> Tensor:
        buffers = trained.network["specialist"].named_buffers()
        return torch.cat([value.flatten() for name, value in buffers if "running" in name])

    before = statistics()
    trained.training_step(batch(256), 0)
    assert torch.equal(before, statistics()) == started


def test_the_specialist_learns_at_its_share_of_the_rate() -> None:
    trained = module(learning_rate=0.01, specialist_rate=0.04)
    optimiser = trained.configure_optimizers()["optimizer"]
    rates = {id(value): group["initial_lr"] for group in optimiser.param_groups for value in group["params"]}
    for part, rate in (("specialist", 0.0004), ("mixer", 0.01)):
        assert all(rates[id(value)] == pytest.approx(rate) for value in trained.network[part].parameters())


def test_the_papers_schedule() -> None:
    trained = module(schedule="paper", steps=400, steps_per_epoch=4)
    rates = [trained._rate(step) for step in range(401)]
    assert rates[0] == 1e-4
    assert rates[:4] == pytest.approx([1e-4 + (1 - 1e-4) * k / 4 for k in range(4)])
    assert rates[4:8] == [rates[4]] * 4
    assert rates[200] == pytest.approx(0.5)
    assert rates[399] == pytest.approx((1 + math.cos(math.pi * 0.99)) / 2)
    assert rates[400] == pytest.approx(0)


def test_without_an_average_the_result_is_the_last_weights() -> None:
    trained = module(average_decay=0)
    for _ in range(3):
        with torch.no_grad():
            for value in trained.network.parameters():
                value.add_(1)
        trained.on_train_batch_end(None, None, 0)
    now, kept = trained.network.state_dict(), trained.average.module.state_dict()
    assert all(torch.equal(now[name], kept[name]) for name in now)


def test_the_generalist_speaks_where_it_was_asked_and_the_specialist_elsewhere() -> None:
    trained = module()
    own = torch.zeros(256, 256, dtype=torch.bool)
    own[:, :20] = True
    own[100:150, 100:150] = True
    mask = torch.full((1, 256, 256), -5.0)
    mask[:, 110:140, 110:240] = 5
    prompt = LivePrompts(torch.tensor([[400.0, 400, 600, 600]]), torch.zeros(1, 1, 256, 256), 1)
    joined = trained._joined(own, mask, prompt)
    assert torch.equal(joined[:, :20], own[:, :20])  # far from the box
    assert joined[110:140, 110:150].all()
    assert not joined[100:109, 100:150].any()
    assert joined[110:140, 150:158].all()  # 8 cells beyond the box
    assert not joined[110:140, 158:].any()


def test_a_specialist_sees_the_crops_at_its_own_resolution() -> None:
    trained = module()
    trained.card = trained.card.model_copy(update={"gsd_m": 4.0})  # half as fine as the crops
    seen = trained._images(batch(256))
    assert seen.shape == (2, 3, 128, 128)
    network = trained.whole(averaged=False)
    assert trained._classified(network, network.fuse(seen)).shape == (2, 2, 256, 256)


def test_answers_count_near_their_boxes_alone() -> None:
    trained = module()
    village = torch.zeros(256, 256)
    village[60:120, 60:120] = 1
    masks, iou = torch.randn(1, 256, 256, generator=torch.Generator().manual_seed(0)), torch.tensor([0.7])
    elsewhere = masks.clone()
    elsewhere[:, 140:] = 9
    boxes = torch.tensor([[240.0, 240, 480, 480]])
    near = trained._losses(masks, iou, boxes, village)
    assert torch.equal(near, trained._losses(elsewhere, iou, boxes, village))
    beside = village.clone()
    beside[122:126, 60:120] = 1  # within the margin of the box
    assert not torch.equal(near, trained._losses(masks, iou, boxes, beside))
