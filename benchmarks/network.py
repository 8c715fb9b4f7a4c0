"""Seconds of a core that a model takes per million pixels it sees, compiled (`seconds_per_mpx` of its card) and not.

OMP_NUM_THREADS=1 python benchmarks/network.py
"""

import sys
import time

import torch

from uvsam.catalog.cards import BUNDLED_SPECIALIST
from uvsam.models.specialist import ModelRecipe, load_specialist

REPEATS = 7

if __name__ == "__main__":
    plain = load_specialist(ModelRecipe(sys.argv[1] if len(sys.argv) > 1 else BUNDLED_SPECIALIST))
    ways = {"openvino": plain.compiled(torch.get_num_threads()), "torch": plain}
    side = plain.card.chip_px
    pixels, valid = torch.rand(1, 3, side, side) * 255, torch.ones(1, side, side, dtype=torch.bool)
    scores = {name: specialist.scores(pixels, valid) for name, specialist in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(REPEATS):  # in turn, as a machine's speed drifts
        for name, specialist in ways.items():
            started = time.process_time()
            specialist.scores(pixels, valid)
            taken[name].append((time.process_time() - started) / (side**2 / 1e6))
    for name, seconds in taken.items():
        middle = sorted(seconds)[REPEATS // 2]
        print(f"{name}: {middle:.2f} s per million pixels (median; {min(seconds):.2f} to {max(seconds):.2f})")
    print(f"largest difference of a score: {(scores['openvino'] - scores['torch']).abs().max():.1e}")
