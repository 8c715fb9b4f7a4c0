"""Seconds of one CPU core that a model takes per million pixels it sees: `seconds_per_mpx` of its card.

OMP_NUM_THREADS=1 python benchmarks/network.py
"""

import sys
import time

import torch

from uvsam.catalog.cards import BUNDLED_SPECIALIST
from uvsam.models.specialist import ModelRecipe, load_specialist

REPEATS, BATCH = 5, 2

if __name__ == "__main__":
    specialist = load_specialist(ModelRecipe(sys.argv[1] if len(sys.argv) > 1 else BUNDLED_SPECIALIST))
    side = specialist.card.chip_px
    pixels, valid = torch.rand(BATCH, 3, side, side) * 255, torch.ones(BATCH, side, side, dtype=torch.bool)
    specialist.scores(pixels, valid)
    taken = []
    for _ in range(REPEATS):
        started = time.process_time()
        specialist.scores(pixels, valid)
        taken.append((time.process_time() - started) / (BATCH * side**2 / 1e6))
    print(f"{sorted(taken)[REPEATS // 2]:.2f} s per million pixels (median; {min(taken):.2f} to {max(taken):.2f})")
