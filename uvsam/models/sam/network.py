"""Segment Anything as a module: image encoder, prompt encoder and mask decoder (Kirillov et al. 2023)."""

from collections.abc import Callable

import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from torch import Tensor, nn

from uvsam.prompts import FRAME_PX

WIDTH = 256
GRID = 64
SAM_MLP = 2048

Mix = Callable[[Tensor], Tensor]
"""What makes new sparse prompt tokens (N, T, 256) of those that boxes give."""


class GeneralistNetwork(nn.Module):
    """The three parts under the names of the official checkpoints.

    Args:
        image_encoder: normalised images (N, 3, S, S) to embeddings (N, 256, 64, 64).
        decoder_mlp: hidden width of the decoder's token MLP; 2048 in Segment Anything.
    """

    def __init__(self, image_encoder: nn.Module, decoder_mlp: int = SAM_MLP) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = PromptEncoder(WIDTH, (GRID, GRID), (FRAME_PX, FRAME_PX), mask_in_chans=16)
        self.mask_decoder = MaskDecoder(
            transformer_dim=WIDTH,
            transformer=TwoWayTransformer(depth=2, embedding_dim=WIDTH, mlp_dim=decoder_mlp, num_heads=8),
            iou_head_depth=3,
            iou_head_hidden_dim=WIDTH,
        )

    def decode(
        self, embedding: Tensor, boxes: Tensor | None, masks: Tensor | None, mix: Mix | None = None
    ) -> tuple[Tensor, Tensor]:
        """One mask per prompt. Gradients flow into the embedding, the masks, and what ``mix`` uses.

        Args:
            embedding: (256, 64, 64) of one image.
            boxes: (N, 4) x1, y1, x2, y2 along pixel edges of the 1024 frame, or None.
            masks: (N, 1, 256, 256) log-odds, or None.
            mix: changes the sparse tokens of the boxes; without boxes it is given none (N, 0, 256).

        Returns:
            Logits (N, 256, 256) and predicted IoU (N,).
        """
        return self.answer(embedding, *self.prompt(boxes, masks, mix))

    def prompt(self, boxes: Tensor | None, masks: Tensor | None, mix: Mix | None = None) -> tuple[Tensor, Tensor]:
        """The first half of :meth:`decode`: sparse tokens (N, T, 256) and dense embeddings (N, 256, 64, 64)."""
        if boxes is not None:
            boxes = boxes - 0.5  # the prompt encoder adds it: it counts from the centre of the first pixel
        sparse, dense = self.prompt_encoder(points=None, boxes=boxes, masks=masks)
        return sparse if mix is None else mix(sparse), dense

    def answer(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """The second half of :meth:`decode`."""
        logits, iou_pred = self.mask_decoder(
            image_embeddings=embedding[None],
            image_pe=self.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        return logits[:, 0], iou_pred[:, 0]


class Answering(nn.Module):
    """:meth:`GeneralistNetwork.answer` as a module of its own, of embeddings (1, 256, 64, 64)."""

    def __init__(self, network: GeneralistNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.answer(embedding[0], sparse, dense)


def normalised(pixels: Tensor, valid: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Pixels (N, 3, H, W) in 0..255 as the encoder knows them; invalid ones are the mean."""
    shift, scale = (torch.tensor(values, device=pixels.device)[:, None, None] for values in (mean, std))
    return (pixels - shift) / scale * valid[:, None]
