"""Half precision on a CPU."""

import torch

from uvsam.catalog.cards import Network
from uvsam.models.networks import build_network
from uvsam.training.precision import keep_slow_convolutions_exact


def test_convolutions_kept_exact_change_neither_names_nor_results() -> None:
    torch.manual_seed(0)
    network = build_network(Network(encoder="tf_efficientnet_lite0", decoder_channels=16), 2).eval()
    images = torch.randn(1, 3, 64, 64)
    names, before = list(network.state_dict()), network(images)
    keep_slow_convolutions_exact(network)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network(images), before)
    seen: list[torch.dtype] = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.groups == module.in_channels and module.kernel_size == (5, 5):
            module.register_forward_hook(lambda _m, _given, result: seen.append(result.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        network(images)
    assert set(seen) == {torch.float32}
