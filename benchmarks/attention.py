"""Time and memory of ways to compute image attention with relative positions, and of SAM's ViT-B with two of them.

    OMP_NUM_THREADS=1 python benchmarks/attention.py

Every measurement is a process of its own: seconds of CPU of the fastest of some runs, and how far the peak of its
memory (as the operating system accounts for it) rises above what it held before the first. Ways of one thing take
turns, so that what else the machine does meets all of them.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional as F

from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.attention import FusedAttention

HEADS, WIDTH = 12, 768


def terms(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values (B, heads, H W, C), and what queries get for rows and columns (B, heads, H W, H or W)."""
    _, height, width, _ = x.shape
    q, k, v = attention.qkv(x).flatten(1, 2).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    grid = q.unflatten(2, (height, width))
    down = torch.einsum("bnhwc,hkc->bnhwk", grid, get_rel_pos(height, height, attention.rel_pos_h))
    across = torch.einsum("bnhwc,wkc->bnhwk", grid, get_rel_pos(width, width, attention.rel_pos_w))
    return q, k, v, down.flatten(2, 3), across.flatten(2, 3)


def joined(attention: Attention, out: Tensor, x: Tensor) -> Tensor:
    return attention.proj(out.transpose(1, 2).reshape(x.shape))  # type: ignore[no-any-return]


def whole_table(attention: Attention, x: Tensor) -> Tensor:
    """torch's fused kernel with all biases at once."""
    q, k, v, down, across = terms(attention, x)
    bias = (down[..., :, None] + across[..., None, :]).flatten(3)
    return joined(attention, F.scaled_dot_product_attention(q, k, v, attn_mask=bias), x)


def augmented(attention: Attention, x: Tensor) -> Tensor:
    """Biases as a part of the dot product; values are padded, because the fused kernel wants one width."""
    _, height, width, _ = x.shape
    q, k, v, down, across = terms(attention, x)
    place = [torch.eye(height).repeat_interleave(width, 0), torch.eye(width).repeat(height, 1)]
    k = torch.cat([k, torch.cat(place, 1).expand(len(x), HEADS, -1, -1)], -1)
    q = torch.cat([q * attention.scale, down, across], -1)
    out = F.scaled_dot_product_attention(q, k, F.pad(v, (0, height + width)), scale=1.0)
    return joined(attention, out[..., : v.shape[-1]], x)


def plain_products(attention: Attention, x: Tensor, queries: int = 256) -> Tensor:
    """One head and some queries at a time, in place."""
    _, height, width, _ = x.shape
    q, k, v, down, across = (part.flatten(0, 1) for part in terms(attention, x))
    out = torch.empty_like(v)
    for head in range(len(q)):
        for some in (slice(first, first + queries) for first in range(0, height * width, queries)):
            scores = (attention.scale * q[head, some] @ k[head].T).unflatten(1, (height, width))
            scores += down[head, some, :, None]
            scores += across[head, some, None, :]
            flat = scores.flatten(1)
            out[head, some] = torch.softmax(flat, -1, out=flat) @ v[head]
    return joined(attention, out.unflatten(0, (len(x), HEADS)), x)


def block(side: int, windows: int, way: str) -> Callable[[], Tensor]:
    """Attention on ``windows`` squares of side x side tokens, of ViT-B's width."""
    attention = Attention(WIDTH, HEADS, use_rel_pos=True, input_size=(side, side))
    for table in (attention.rel_pos_h, attention.rel_pos_w):
        nn.init.normal_(table, std=0.3)
    ways = {
        "segment_anything": attention,
        "uvsam": FusedAttention(attention),
        "whole_table": partial(whole_table, attention),
        "augmented": partial(augmented, attention),
        "plain_products": partial(plain_products, attention),
    }
    return partial(ways[way], torch.randn(windows, side, side, WIDTH))


def encoder(way: str) -> Callable[[], Tensor]:
    """ViT-B on an image of 1024 x 1024 pixels."""
    build = {"uvsam": ENCODERS["vit_b"].build, "segment_anything": lambda: sam_model_registry["vit_b"]().image_encoder}
    network = build[way]().eval()
    for name, values in network.named_parameters():
        if "pos" in name:
            nn.init.normal_(values, std=0.2)
    return partial(network, torch.randn(1, 3, 1024, 1024))


CASES: dict[str, tuple[Callable[[str], Callable[[], Tensor]], tuple[str, ...]]] = {
    "global block": (
        partial(block, 64, 1),
        ("segment_anything", "uvsam", "whole_table", "augmented", "plain_products"),
    ),
    "windowed block": (
        partial(block, 14, 25),
        ("segment_anything", "uvsam", "whole_table", "augmented", "plain_products"),
    ),
    "ViT-B encoder": (encoder, ("segment_anything", "uvsam")),
}


def measure(case: str, way: str, runs: int) -> dict[str, float]:
    """In this process: CPU seconds of the fastest run, rise of the peak, mean absolute value of the result."""
    torch.manual_seed(0)
    compute = CASES[case][0](way)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    with torch.inference_mode():
        for _ in range(runs):
            started = time.process_time()
            result = compute()
            seconds.append(time.process_time() - started)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"cpu_s": round(min(seconds), 2), "rise_mb": round(peak / 1024), "mean": float(result.abs().mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=2, help="processes per way")
    parser.add_argument("--runs", type=int, default=2, help="runs per process")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/attention.json"))
    parser.add_argument("--one", nargs=2, metavar=("CASE", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one, options.runs)))
        return
    results: dict[str, dict[str, dict[str, float]]] = {}
    for case, (_, ways) in CASES.items():
        measured: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
        for _ in range(options.turns):
            for way in ways:
                command = [sys.executable, __file__, "--runs", str(options.runs), "--one", case, way]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                measured[way].append(json.loads(done.stdout))
        best = {way: min(turns, key=lambda one: one["cpu_s"]) for way, turns in measured.items()}
        base = best["segment_anything"]
        results[case] = {}
        for way, one in best.items():
            if abs(one["mean"] / base["mean"] - 1) > 1e-4:
                sys.exit(f"{case}: {way} computes something else than segment_anything")
            ratios = {f"{unit}_ratio": round(one[unit] / base[unit], 2) for unit in ("cpu_s", "rise_mb")}
            results[case][way] = {"cpu_s": one["cpu_s"], "rise_mb": one["rise_mb"]} | ratios
            print(f"{case}, {way}: {results[case][way]}", flush=True)
    machine = {"threads": torch.get_num_threads(), "cpu": torch.backends.cpu.get_cpu_capability()}
    options.out.write_text(json.dumps({"machine": machine} | results, indent=1) + "\n")


if __name__ == "__main__":
    main()
