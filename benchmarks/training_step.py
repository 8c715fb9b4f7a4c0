"""CPU seconds of one training step of the bundled specialist, with and without slow convolutions kept in float32.

    OMP_NUM_THREADS=1 python benchmarks/training_step.py

Processor time of one thread, so other work on the machine changes it little. Needs a CPU with bfloat16.
"""

import time

import torch

from uvsam.catalog.cards import Network
from uvsam.models.networks import build_network
from uvsam.training.precision import gains_from_bf16, keep_slow_convolutions_exact

ROUNDS = 5


def step_seconds(*, bf16: bool, exact: bool) -> float:
    """The fastest of some steps, forward and backward, on three crops of 512 x 512."""
    torch.manual_seed(0)
    network = build_network(Network(encoder="tf_efficientnet_lite2"), 6).to(memory_format=torch.channels_last)
    if exact:
        keep_slow_convolutions_exact(network)
    images = torch.randn(3, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    seconds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images)
        logits.float().square().mean().backward()
        seconds.append(time.process_time() - started)
    return min(seconds)


def main() -> None:
    torch.set_num_threads(1)
    print(f"float32                            {step_seconds(bf16=False, exact=False):.2f} s")
    if gains_from_bf16():
        print(f"bfloat16                           {step_seconds(bf16=True, exact=False):.2f} s")
        print(f"bfloat16, slow convolutions float32 {step_seconds(bf16=True, exact=True):.2f} s")


if __name__ == "__main__":
    main()
