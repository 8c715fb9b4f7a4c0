"""A compiled network says what PyTorch says, from any thread, in any batch; what cannot be compiled stays as it is."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from uvsam.catalog.cards import BUNDLED_SPECIALIST, DEFAULT_MODEL, Network
from uvsam.models import kept
from uvsam.models.compiled import TOLERANCE, Compiled, _openvino
from uvsam.models.encoders import ENCODERS
from uvsam.models.mixer import pooled
from uvsam.models.networks import build_network
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.models.uvsam import load_uvsam
from uvsam.prompts import CELLS, Prompts

pytest.importorskip("openvino")


def compiled(network: nn.Module, image: Tensor, threads: int = 1, folder: Path | None = None) -> Compiled:
    """Compiled for the shape of an image, and not left to PyTorch."""
    made = Compiled(network.eval(), threads, folder)
    made(image)
    assert None not in made._models.values()
    return made


def assert_close(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= TOLERANCE * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize(
    ("arch", "encoder"),
    [("segformer", "mit_b0"), ("segformer", "tf_efficientnet_lite2"), ("unet", "resnet18"), ("fpn", "mit_b0"),
     ("deeplabv3plus", "resnet18"), ("fcn", "resnet18")],
)  # fmt: skip
def test_every_architecture_says_the_same(arch: str, encoder: str) -> None:
    torch.manual_seed(1)
    network, images = build_network(Network(arch=arch, encoder=encoder), 3), torch.randn(2, 3, 192, 256)
    found = compiled(network, images)(images)
    with torch.no_grad():
        assert_close(found, network(images))


@pytest.mark.parametrize("encoder", ["tiny", "efficientvit_l0"])
def test_encoders_of_generalists_say_the_same(encoder: str) -> None:
    spec = ENCODERS[encoder]
    network, image = spec.build(), torch.randn(1, 3, spec.input_px, spec.input_px)
    with torch.no_grad():
        assert_close(compiled(network, image)(image), network(image))


def test_the_bundled_model_scores_the_same() -> None:
    specialist = load_specialist(ModelRecipe(BUNDLED_SPECIALIST))
    pixels, valid = torch.rand(1, 3, 256, 256) * 255, torch.rand(1, 256, 256) > 0.1
    found = specialist.compiled(1).scores(pixels, valid, views=2)
    assert (found - specialist.scores(pixels, valid, views=2)).abs().max() < 1e-4


def test_the_bundled_generalist_sees_and_answers_the_same() -> None:
    specialist, mixer, generalist = load_uvsam(ModelRecipe(DEFAULT_MODEL))
    faster, side = generalist.compiled(1), generalist.input_px
    pixels, valid = torch.rand(2, 3, side, side) * 255, torch.ones(2, side, side, dtype=torch.bool)
    embedding = generalist.embed(pixels, valid)
    assert_close(faster.embed(pixels, valid), embedding)
    fused = specialist.fused(pixels, valid, 205.0)
    assert_close(specialist.compiled(1).fused(pixels, valid, 205.0), fused)
    boxes = np.float32([[100, 200, 700, 900], [0, 0, 300, 80], [512, 512, 1024, 1024]])
    masks = np.random.default_rng(0).normal(0, 3, (3, 1, CELLS, CELLS)).astype(np.float32)
    for given in (Prompts(boxes, None, np.arange(3)), Prompts(boxes, masks, np.arange(3))):

        def mix(tokens: Tensor, seen: Tensor) -> Tensor:
            mixed: Tensor = mixer(tokens, pooled(seen[None])[0], pooled(fused)[0])
            return mixed

        expected, found = (asked.decode(embedding[0], given, tokens=mix) for asked in (generalist, faster))
        np.testing.assert_allclose(found.logits, expected.logits, atol=2e-3)
        np.testing.assert_allclose(found.iou_pred, expected.iou_pred, atol=1e-3)
    assert all(None not in part._models.values() for part in (faster._encode, faster._answer))  # type: ignore[attr-defined]


def test_neither_batch_nor_threads_change_a_digit() -> None:
    network = build_network(Network(), 2)
    images = torch.randn(6, 3, 64, 96)
    one, two = compiled(network, images), compiled(network, images, threads=2)
    expected = torch.cat([one(image[None]) for image in images])
    assert torch.equal(one(images), expected)
    with ThreadPoolExecutor(4) as threads:
        assert all(torch.equal(found, expected) for found in threads.map(two, [images] * 8))


def test_each_shape_is_compiled_and_compared() -> None:
    network = compiled(nn.Conv2d(3, 2, 3), torch.randn(1, 3, 32, 32))
    for shape in ((1, 3, 32, 32), (2, 3, 40, 33)):
        images = torch.randn(shape)
        with torch.no_grad():
            assert_close(network(images), network.network(images))


class Wrong(nn.Module):
    """A network that says something else each time."""

    def forward(self, images: Tensor) -> Tensor:
        return images + torch.rand(1)


def test_what_says_something_else_stays_with_pytorch() -> None:
    made = Compiled(Wrong().eval(), 1)
    made(torch.zeros(1, 3, 32, 32))
    assert list(made._models.values()) == [None]


def test_what_is_kept_says_the_same_to_the_digit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, generalist = load_uvsam(ModelRecipe(DEFAULT_MODEL))
    masks = np.random.default_rng(0).normal(0, 3, (1, 1, CELLS, CELLS)).astype(np.float32)
    asked = Prompts(np.float32([[100, 200, 700, 900]]), masks, np.arange(1))
    embedding = torch.randn(256, 64, 64)
    first = generalist.compiled(1, tmp_path / "kept").decode(embedding, asked)
    elsewhere = generalist.compiled(1).decode(embedding, asked)
    again = generalist.compiled(1, tmp_path / "kept")
    monkeypatch.delattr(torch.jit, "trace")  # so nothing can be made any more
    for found in (elsewhere, again.decode(embedding, asked)):
        np.testing.assert_array_equal(found.logits, first.logits)
        np.testing.assert_array_equal(found.iou_pred, first.iou_pred)


def test_other_weights_and_shapes_are_other_networks(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 2, 3).eval()
    images = torch.randn(1, 3, 32, 32)
    for _ in range(2):
        for given in (images, images[..., :20]):
            with torch.no_grad():
                assert_close(Compiled(network, 1, tmp_path)(given), network(given))
        with torch.no_grad():
            network.weight += 1
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("harm", ["damaged", "cut off", "no place"])
def test_what_cannot_be_kept_or_read_is_made_again(harm: str, tmp_path: Path) -> None:
    network, images, folder = nn.Conv2d(3, 2, 3).eval(), torch.randn(1, 3, 32, 32), tmp_path / "kept"
    if harm == "no place":
        folder.write_text("a file where the folder should be")
    else:
        Compiled(network, 1, folder)(images)
        (weights,) = folder.glob("*/network.bin")
        held = weights.read_bytes()
        weights.write_bytes(held[:-4] if harm == "cut off" else held[:3] + bytes([held[3] ^ 64]) + held[4:])
    made = compiled(network, images, folder=folder)
    with torch.no_grad():
        assert_close(made(images), network(images))


def kept_network(folder: Path) -> tuple[nn.Module, Tensor, Path]:
    """A network, an image, and where the network is kept; its two numbers a channel are easy to find there."""
    network, images = nn.Conv2d(3, 2, 3).eval(), torch.randn(1, 3, 256, 256)
    Compiled(network, 1, folder)(images)
    (place,) = folder.iterdir()
    return network, images, place


def tamper(place: Path) -> None:
    """Other weights than those of the card, under a checksum that fits."""
    weights = place / "network.bin"
    weights.write_bytes((np.frombuffer(weights.read_bytes(), np.float32) * 1.5).astype(np.float32).tobytes())
    sums = [hashlib.sha256((place / name).read_bytes()).hexdigest() for name in ("network.xml", "network.bin")]
    (place / "sha256").write_text(" ".join(sums))


def test_a_kept_network_of_other_weights_is_noticed_and_made_again(tmp_path: Path) -> None:
    network, images, place = kept_network(tmp_path / "kept")
    right = (place / "network.bin").read_bytes()
    tamper(place)
    with torch.no_grad():
        assert_close(compiled(network, images, folder=place.parent)(images), network(images))
    assert (place / "network.bin").read_bytes() == right


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners and mode bits here")
@pytest.mark.parametrize("harm", ["folder", "of a group", "sticky", "network", "file", "link", "theirs"])
def test_what_others_can_write_is_not_read(harm: str, tmp_path: Path) -> None:
    network, images, place = kept_network(tmp_path / "kept")
    core = _openvino()[0]
    place.parent.chmod(0o755)
    assert kept.read(place.parent, place.name, core) is not None
    if harm in ("folder", "of a group", "sticky"):
        place.parent.chmod({"folder": 0o777, "of a group": 0o770, "sticky": 0o1777}[harm])
    elif harm == "network":
        place.chmod(0o775)
    elif harm == "file":
        (place / "network.bin").chmod(0o666)
    elif harm == "link":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    elif os.getuid() == 0:
        os.chown(place, 12345, 12345)
    else:
        pytest.skip("only root can give files away")
    assert kept.read(place.parent, place.name, core) is None
    with torch.no_grad():
        assert_close(compiled(network, images, folder=place.parent)(images), network(images))


FIRST_CALLS = """
import sys, threading, torch
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uvsam.models.compiled import Compiled
sys.setswitchinterval(1e-6)
network = Compiled(torch.nn.Conv2d(3, 2, 3).eval(), 2, Path(sys.argv[1]))
network.network.load_state_dict(torch.load(sys.argv[2], weights_only=True))
at_once = threading.Barrier(4)
def call(image):
    at_once.wait()
    return network(image)
with ThreadPoolExecutor(4) as threads:
    list(threads.map(call, [torch.zeros(1, 3, 32, 32)] * 4))
"""


def test_first_calls_of_several_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    network = nn.Conv2d(3, 2, 3).eval()
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    Compiled(network, 2, tmp_path / "kept")(torch.zeros(1, 3, 32, 32))
    for _ in range(3):  # it was one in four that hung
        command = [sys.executable, "-c", FIRST_CALLS, str(tmp_path / "kept"), str(tmp_path / "weights.pt")]
        subprocess.run(command, check=True, timeout=120)


COMPILE = """
import sys, torch
from uvsam.models.compiled import Compiled
Compiled(torch.nn.Conv2d(3, 2, 3).eval(), 1)(torch.zeros(1, 3, 32, 32))
print([name for name in sys.modules if "telemetry" in name and "openvino_" in name])
"""


def test_nobody_is_told_that_openvino_is_used(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILE], check=True, capture_output=True, text=True,
        env={**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "intel").exists()
