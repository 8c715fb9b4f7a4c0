"""Checkpoints: every file layout that is published, and what is refused."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.checkpoints import encoder_shapes, load_strictly, read_checkpoint, recognise

STATE = {"image_encoder.a": torch.arange(3.0), "mask_decoder.b": torch.ones(2, 2)}


def meta_state(name: str) -> dict[str, Tensor]:
    return {f"image_encoder.{n}": torch.empty(shape, device="meta") for n, shape in encoder_shapes(name).items()}


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_recognised_by_its_tensors(name: str) -> None:
    assert recognise(meta_state(name) | {"mask_decoder.b": torch.ones(2)}) == name


@pytest.mark.parametrize("name", ["vit_b", "efficientvit_l1"])
def test_an_encoder_that_is_almost_known_says_what_differs(name: str) -> None:
    state = meta_state(name)
    last = list(state)[-1]
    for changed, what in [
        ({n: v for n, v in state.items() if n != last}, "is missing"),
        (state | {last: torch.empty(7)}, r"is \(7,\), not"),
        (state | {"image_encoder.more": torch.empty(7)}, "more is too much"),
    ]:
        with pytest.raises(CatalogError, match=f"{name} comes closest.*{what}"):
            recognise(changed)
    with pytest.raises(CatalogError, match="no image encoder"):
        recognise({"encoder.weight": torch.ones(1)})


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("wrapping", [None, "model", "state_dict"])
def test_layouts_that_are_published_are_read(tmp_path: Path, suffix: str, wrapping: str | None) -> None:
    path = tmp_path / f"sam{suffix}"
    unused = {
        "image_encoder.head.weight": torch.ones(1),
        "image_encoder.norm_head.bias": torch.ones(1),
        "image_encoder.layers.1.blocks.0.attn.attention_bias_idxs": torch.ones(1),
    }
    if suffix == ".safetensors":
        save_file(STATE | unused, path)
    else:
        content = STATE | unused
        torch.save({wrapping: content, "epoch": 3} if wrapping else content, path)
    read = read_checkpoint(path)
    assert read.keys() == STATE.keys()
    assert all(torch.equal(read[name], STATE[name]) for name in STATE)


def test_a_file_in_the_format_before_torch_1_6_is_read(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(tmp_path / "old.pth")["image_encoder.a"], STATE["image_encoder.a"])


class Attack:
    """What a pickle can do to who opens it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"image_encoder.a": Attack(tmp_path / "owned")}, path)
    with pytest.raises(CatalogError, match="could run code"):
        read_checkpoint(path)
    path.write_bytes(pickle.dumps(Attack(tmp_path / "owned"), protocol=2))
    with pytest.raises(CatalogError, match="could run code"):
        read_checkpoint(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_missing_damaged_or_something_else_is_one_line(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"sam{suffix}"
    with pytest.raises(CatalogError, match="no checkpoint at"):
        read_checkpoint(path)
    whole = tmp_path / f"whole{suffix}"
    save_file(STATE, whole) if suffix == ".safetensors" else torch.save(STATE, whole)
    for content in (b"", b"<html>not found</html>", whole.read_bytes()[:-200]):
        path.write_bytes(content)
        with pytest.raises(CatalogError, match=r"sam.* is damaged") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [torch.ones(3), {"epoch": 3}, {"model": {"a": torch.ones(1), "b": 2}}])
def test_a_file_without_named_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CatalogError, match="no table of named tensors"):
        read_checkpoint(tmp_path / "other.pth")


def test_nothing_is_left_out_when_weights_are_loaded() -> None:
    layer = nn.Linear(2, 3)
    whole = {"weight": torch.ones(3, 2, dtype=torch.float16), "bias": torch.zeros(3)}
    load_strictly(layer, whole)
    assert layer.weight.dtype == torch.float32
    assert torch.equal(layer(torch.ones(1, 2)), torch.full((1, 3), 2.0))
    for wrong, what in [
        ({"weight": whole["weight"]}, "bias is missing"),
        (whole | {"weight": torch.ones(2, 3)}, r"weight is \(2, 3\), not \(3, 2\)"),
        (whole | {"scale": torch.ones(1)}, "scale is too much"),
    ]:
        with pytest.raises(CatalogError, match=what):
            load_strictly(layer, wrong)
