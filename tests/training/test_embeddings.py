"""Embeddings on disk: each is computed once, and none is taken for another."""

from pathlib import Path

import torch
from torch import Tensor

from uvsam.training.embeddings import EmbeddingCache


def crops(count: int = 2) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, 32, 32, generator=rng) * 255, torch.ones(count, 32, 32, dtype=torch.bool)


class Encoder:
    """Something that depends on pixels and validity, and counts."""

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pixels: Tensor, valid: Tensor) -> Tensor:
        self.seen += len(pixels)
        values = (pixels.mean(dim=(1, 2, 3)) / 100 + valid.float().mean(dim=(1, 2)))[:, None, None, None]
        return values * torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))


def test_what_is_on_disk_is_what_was_computed_to_half_precision(tmp_path: Path) -> None:
    encode, (pixels, valid) = Encoder(), crops()
    cache = EmbeddingCache(tmp_path / "embeddings", "a" * 64)
    computed = encode(pixels, valid)
    first = cache.get(pixels, valid, encode)
    torch.testing.assert_close(first, computed, atol=1e-4, rtol=1e-3)
    again = EmbeddingCache(tmp_path / "embeddings", "a" * 64)  # another run
    assert torch.equal(again.get(pixels.flip(0), valid, encode), first.flip(0))
    assert (cache.computed, cache.reused, again.computed, again.reused, encode.seen) == (2, 0, 0, 2, 4)


def test_another_view_other_validity_or_another_generalist_is_computed(tmp_path: Path) -> None:
    encode, (pixels, valid) = Encoder(), crops(1)
    for generalist, seen, where in (
        ("a", pixels, valid), ("a", pixels.flip(2), valid), ("a", pixels.rot90(1, (2, 3)), valid),
        ("a", pixels, ~valid), ("b", pixels, valid),
    ):  # fmt: skip
        cache = EmbeddingCache(tmp_path, generalist * 64)
        cache.get(seen, where, encode)
        assert (cache.computed, cache.reused) == (1, 0)
    assert len(list(tmp_path.glob("*.npy"))) == len(list(tmp_path.iterdir())) == 5


def test_a_damaged_file_is_computed_again(tmp_path: Path) -> None:
    encode, (pixels, valid) = Encoder(), crops(1)
    cache = EmbeddingCache(tmp_path, "a" * 64)
    wanted = cache.get(pixels, valid, encode)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-1000]):
        path.write_bytes(damaged)
        assert torch.equal(cache.get(pixels, valid, encode), wanted)
        assert path.read_bytes() == whole
    assert cache.computed == 4
