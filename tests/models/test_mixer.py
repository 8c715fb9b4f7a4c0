"""The mixers against their formulas."""

import numpy as np
import pytest
import torch

from uvsam.models.mixer import MIXERS, pooled

RNG = np.random.default_rng(0)
TOKENS = torch.from_numpy(RNG.standard_normal((3, 2, 256)).astype(np.float32))
SAM, SPECIALIST = (torch.from_numpy(RNG.standard_normal(256).astype(np.float32)) for _ in range(2))


def test_add_is_the_sum() -> None:
    assert torch.equal(MIXERS["add"](256)(TOKENS, SAM, SPECIALIST), TOKENS + SAM + SPECIALIST)
    assert not list(MIXERS["add"](256).parameters())


def test_mlp_is_the_formula_of_the_paper() -> None:
    mixer = MIXERS["mlp"](256)
    mixed = mixer(TOKENS, SAM, SPECIALIST).detach().numpy()
    inner, outer = (weight.detach().numpy().astype(float) for weight in mixer.parameters())
    assert inner.shape == (512, 768)
    for n in range(3):
        for t in range(2):
            token = TOKENS[n, t].numpy().astype(float)
            hidden = np.maximum(inner @ np.concatenate([token / np.linalg.norm(token), SAM, SPECIALIST]), 0)
            np.testing.assert_allclose(mixed[n, t], outer @ hidden, atol=1e-4)


def test_gated_changes_nothing_until_it_is_trained_and_then_can() -> None:
    mixer = MIXERS["gated"](64)
    mixed = mixer(TOKENS, SAM, torch.randn(64))
    assert torch.equal(mixed, TOKENS)
    mixed.sum().backward()
    assert mixer.gate.grad is not None
    assert mixer.gate.grad.abs() > 0


@pytest.mark.parametrize("name", MIXERS)
def test_left_out_embeddings_do_not_matter_and_missing_tokens_are_replaced(name: str) -> None:
    mixer = MIXERS[name](64)
    assert mixer(TOKENS, None, None).shape == (3, 2, 256)
    assert mixer(TOKENS[:, :0], SAM, torch.randn(64)).shape == (3, 1, 256)
    assert torch.equal(mixer(TOKENS, None, None), mixer(TOKENS, torch.zeros(256), torch.zeros(64)))


def test_pooled_embeddings_have_length_one() -> None:
    embedding = torch.randn(2, 256, 8, 8)
    vector = pooled(embedding)
    torch.testing.assert_close(vector.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(vector, embedding.mean((2, 3)) / embedding.mean((2, 3)).norm(dim=1, keepdim=True))
