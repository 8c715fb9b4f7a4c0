"""The generalist: its decoder against transformers, its prompts' conventions, threads, and how it is loaded."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file
from segment_anything.utils.amg import calculate_stability_score
from torch import Tensor

from tests.models.weights import randomise
from uvsam.catalog.cards import file_sha256
from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS
from uvsam.models.mixer import MIXERS, pooled
from uvsam.models.sam.generalist import Generalist, GeneralistRecipe, load_generalist
from uvsam.models.sam.mirrored import Mirrored
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.prompts import Prompts

SIDE = ENCODERS["tiny"].input_px


@pytest.fixture(scope="module")
def network() -> GeneralistNetwork:
    return randomise(GeneralistNetwork(ENCODERS["tiny"].build(), 512))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def generalist(network: GeneralistNetwork) -> Generalist:
    return Generalist(network, ENCODERS["tiny"])


def embeddings(count: int) -> Tensor:
    return torch.randn(count, 256, 64, 64, generator=torch.Generator().manual_seed(3))


def prompts(count: int, *, box: bool = True, mask: bool = True, seed: int = 0) -> Prompts:
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, 1024, (count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
    masks = 10 * rng.standard_normal((count, 1, 256, 256)).astype(np.float32)
    return Prompts(corners if box else None, masks if mask else None, np.arange(count, dtype=np.int32))


TRANSFORMERS_NAMES = {
    "pe_layer.positional_encoding_gaussian_matrix": "shared_embedding.positional_embedding",
    "point_embeddings.": "point_embed.", "mask_downscaling.0.": "mask_embed.conv1.", "mask_downscaling.1.":
    "mask_embed.layer_norm1.", "mask_downscaling.3.": "mask_embed.conv2.", "mask_downscaling.4.":
    "mask_embed.layer_norm2.", "mask_downscaling.6.": "mask_embed.conv3.", "output_upscaling.0.": "upscale_conv1.",
    "output_upscaling.1.": "upscale_layer_norm.", "output_upscaling.3.": "upscale_conv2.", ".norm_final_attn.":
    ".layer_norm_final_attn.", ".norm1.": ".layer_norm1.", ".norm2.": ".layer_norm2.", ".norm3.": ".layer_norm3.",
    ".norm4.": ".layer_norm4.",
}  # fmt: skip
TRANSFORMERS_MLP = {"layers.0.": "proj_in.", "layers.1.": "layers.0.", "layers.2.": "proj_out."}


@pytest.fixture(scope="module")
def other(network: GeneralistNetwork) -> Any:
    """Prompt encoder and mask decoder of transformers with our weights."""
    pytest.importorskip("transformers", reason="transformers, a second implementation, is not installed")
    from transformers import SamConfig, SamModel

    vision = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "global_attn_indexes": [0]}
    decoder = {"mlp_dim": 512, "layer_norm_eps": 1e-5}  # their default is 1e-6; Segment Anything has 1e-5
    model = SamModel(SamConfig(vision_config=vision, mask_decoder_config=decoder)).eval()
    state = {}
    for name, value in network.state_dict().items():
        if name.startswith("image_encoder."):
            continue
        if "hypernetworks" in name or "iou_prediction_head" in name:
            kept, layer = name.split(".layers.")
            head, rest = layer.split(".", 1)
            name = f"{kept}.{TRANSFORMERS_MLP[f'layers.{head}.']}{rest}"
        for ours, theirs in TRANSFORMERS_NAMES.items():
            name = name.replace(ours, theirs)
        state[name] = value
    state["shared_image_embedding.positional_embedding"] = state["prompt_encoder.shared_embedding.positional_embedding"]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("vision_encoder.") for name in missing)
    return model


@pytest.mark.parametrize(("box", "mask"), [(True, False), (True, True), (False, True)])
def test_the_decoder_is_that_of_transformers(generalist: Generalist, other: Any, box: bool, mask: bool) -> None:
    asked, embedding = prompts(3, box=box, mask=mask), embeddings(1)
    ours = generalist.decode(embedding[0], asked)
    with torch.inference_mode():
        theirs = other(
            image_embeddings=embedding.expand(3, -1, -1, -1),
            input_boxes=torch.from_numpy(asked.boxes_xyxy - 0.5)[:, None] if asked.boxes_xyxy is not None else None,
            input_masks=torch.from_numpy(asked.mask_logits) if asked.mask_logits is not None else None,
            multimask_output=False,
        )
    np.testing.assert_allclose(ours.logits, theirs.pred_masks[:, 0, 0].numpy(), atol=5e-5)
    np.testing.assert_allclose(ours.iou_pred, theirs.iou_scores[:, 0, 0].numpy(), atol=5e-5)


def test_a_box_runs_along_edges(network: GeneralistNetwork) -> None:
    """Segment Anything gives the centre of pixel (0, 0) the place 0.5 / 1024; the corner of the frame is at 0."""
    encoder = network.prompt_encoder
    seen: list[Tensor] = []

    def see(tokens: Tensor) -> Tensor:
        seen.append(tokens)
        return tokens

    with torch.inference_mode():
        network.decode(embeddings(1)[0], torch.tensor([[0.0, 0.0, 1024.0, 1024.0]]), None, see)
        ends = encoder.pe_layer._pe_encoding(torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    types = torch.stack([encoder.point_embeddings[k].weight[0] for k in (2, 3)])
    torch.testing.assert_close(seen[0][0], ends + types, atol=1e-5, rtol=0)


def test_answers_do_not_depend_on_the_other_prompts(generalist: Generalist) -> None:
    asked, embedding = prompts(6), embeddings(1)[0]
    together = generalist.decode(embedding, asked)
    for k in range(6):
        alone = generalist.decode(embedding, asked.part(slice(k, k + 1)))
        np.testing.assert_allclose(alone.logits[0], together.logits[k], atol=1e-4)
        np.testing.assert_allclose(alone.iou_pred[0], together.iou_pred[k], atol=1e-5)
    assert np.ptp(together.logits, axis=0).max() > 0.1


def test_no_prompts_have_no_answers(generalist: Generalist) -> None:
    nothing = generalist.decode(embeddings(1)[0], prompts(0))
    assert nothing.logits.shape == (0, 256, 256)
    assert nothing.iou_pred.shape == nothing.stability.shape == (0,)


def test_stability_is_that_of_segment_anything_and_0_for_nothing(generalist: Generalist) -> None:
    answer = generalist.decode(embeddings(1)[0], prompts(2))
    expected = calculate_stability_score(torch.from_numpy(answer.logits), 0.0, 1.0)
    np.testing.assert_allclose(answer.stability, expected.numpy(), atol=1e-6)
    assert 0 < answer.stability.min() <= answer.stability.max() < 1
    hopeless = Generalist(GeneralistNetwork(torch.nn.Identity(), 16), ENCODERS["tiny"])
    with torch.no_grad():
        for parameter in hopeless.network.mask_decoder.output_hypernetworks_mlps.parameters():
            parameter.zero_()
        hopeless.network.mask_decoder.output_upscaling[3].bias.fill_(1)
        hopeless.network.mask_decoder.output_hypernetworks_mlps[0].layers[2].bias.fill_(-9)
    nothing = hopeless.decode(embeddings(1)[0], prompts(1))
    assert nothing.logits.max() < -1
    assert nothing.stability.tolist() == [0]


def test_a_mixer_changes_the_answer_and_learns_from_it(generalist: Generalist) -> None:
    pixels, valid = torch.rand(1, 3, SIDE, SIDE) * 255, torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    embedding, asked, specialist = generalist.embed(pixels, valid)[0], prompts(2), torch.randn(64)
    mixer = MIXERS["mlp"](64)

    def mix(tokens: Tensor, features: Tensor) -> Tensor:
        return mixer(tokens, pooled(features[None])[0], specialist)

    plain, mixed = generalist.decode(embedding, asked), generalist.decode(embedding, asked, tokens=mix)
    assert np.abs(plain.logits - mixed.logits).max() > 1e-2
    assert asked.boxes_xyxy is not None
    boxes, context = torch.from_numpy(asked.boxes_xyxy), pooled(embedding[None])[0]
    logits, iou_pred = generalist.network.decode(
        embedding, boxes, None, partial(mixer, sam=context, specialist=specialist)
    )
    (logits.mean() + iou_pred.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in mixer.parameters())


def test_threads_do_not_disturb_each_other(generalist: Generalist) -> None:
    pixels = torch.rand(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 255
    valid = torch.ones(4, SIDE, SIDE, dtype=torch.bool)

    def answer(k: int) -> Any:
        embedding = generalist.embed(pixels[k : k + 1], valid[k : k + 1])[0]
        return generalist.decode(embedding, prompts(k % 3, seed=k, box=k < 3)).logits

    one_by_one = [answer(k) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for own, expected in zip(pool.map(answer, [*range(4), *range(4)]), 2 * one_by_one, strict=True):
            np.testing.assert_allclose(own, expected, atol=1e-4)


def test_invalid_pixels_are_the_mean_colour(generalist: Generalist) -> None:
    pixels, valid = torch.rand(1, 3, SIDE, SIDE) * 255, torch.rand(1, SIDE, SIDE) > 0.5
    mean = torch.tensor(ENCODERS["tiny"].mean)[:, None, None]
    filled = torch.where(valid[:, None], pixels, mean)
    everywhere = torch.ones_like(valid)
    torch.testing.assert_close(generalist.embed(pixels, valid), generalist.embed(filled, everywhere), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match=rf"\(3, {SIDE}, {SIDE}\)"):
        generalist.embed(pixels[..., :256], valid[..., :256])


def test_a_checkpoint_file_is_enough(network: GeneralistNetwork, generalist: Generalist, tmp_path: Path) -> None:
    """In half precision, with a decoder narrower than the published ones; the encoder is recognised."""
    path = tmp_path / "mine.safetensors"
    state = network.state_dict()
    save_file({n: (v.half() if v.is_floating_point() else v).contiguous() for n, v in state.items()}, path)
    recipe = pickle.loads(pickle.dumps(GeneralistRecipe(path)))
    loaded = load_generalist(recipe)
    assert loaded.card is None
    assert loaded.input_px == SIDE
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}
    asked, embedding = prompts(1), embeddings(1)[0]
    ours, theirs = (model.decode(embedding, asked).logits for model in (loaded, generalist))
    np.testing.assert_allclose(ours, theirs, atol=0.02 * np.abs(theirs).max())


def test_a_card_names_its_encoder_and_must_be_right(network: GeneralistNetwork, tmp_path: Path) -> None:
    save_file({n: v.contiguous() for n, v in network.state_dict().items()}, tmp_path / "mine.safetensors")
    card = {
        "name": "mine", "task": "generalist", "summary": "", "encoder": "tiny", "weights": "mine.safetensors",
        "sha256": file_sha256(tmp_path / "mine.safetensors"), "licence": "CC0",
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card))
    loaded = load_generalist(GeneralistRecipe(tmp_path / "mine.yaml"))
    assert loaded.card is not None
    assert loaded.card.name == "mine"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(card | {"encoder": "mobile_sam"}))
    with pytest.raises(CatalogError, match=r"mine\.safetensors does not fit: image_encoder\..* is missing") as caught:
        load_generalist(GeneralistRecipe(tmp_path / "wrong.yaml"))
    assert "\n" not in str(caught.value)


def test_weights_without_a_decoder_are_refused(network: GeneralistNetwork, tmp_path: Path) -> None:
    path = tmp_path / "encoder.pth"
    torch.save({n: v for n, v in network.state_dict().items() if n.startswith("image_encoder.")}, path)
    with pytest.raises(CatalogError, match=r"encoder\.pth is no checkpoint .* no mask decoder"):
        load_generalist(GeneralistRecipe(path))


def test_two_views_answer_alike_about_a_crop_and_its_mirror_image(generalist: Generalist) -> None:
    pixels = 255 * torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    valid = torch.ones(1, SIDE, SIDE, dtype=torch.bool)
    valid[:, :, :90] = False
    asked, both = prompts(3), Mirrored(generalist)
    one = both.decode(both.embed(pixels, valid)[0], asked)
    other = both.decode(both.embed(pixels.flip(-1), valid.flip(-1))[0], asked.mirrored())
    alone = generalist.decode(generalist.embed(pixels, valid)[0], asked)
    assert np.allclose(one.logits, other.logits[..., ::-1], atol=1e-5 * np.abs(one.logits).max())
    assert np.allclose(one.iou_pred, other.iou_pred, atol=1e-4)
    assert not np.allclose(one.logits, alone.logits, atol=1e-2 * np.abs(one.logits).max())


def test_the_mirror_of_the_mirror_is_the_question() -> None:
    asked = prompts(4)
    again = asked.mirrored().mirrored()
    assert asked.boxes_xyxy is not None
    assert again.boxes_xyxy is not None
    assert np.allclose(again.boxes_xyxy, asked.boxes_xyxy)
    assert (again.mask_logits == asked.mask_logits).all()
    assert (asked.mirrored().boxes_xyxy[:, 0] < asked.mirrored().boxes_xyxy[:, 2]).all()  # type: ignore[index]
    assert prompts(2, mask=False).mirrored().mask_logits is None
