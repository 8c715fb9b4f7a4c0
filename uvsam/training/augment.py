"""Variation of training samples: geometry on image and labels alike, radiometry and sharpness on the image.

Scale is not here: a sample is read from its rasters at the wanted ground resolution (see ``data``).
"""

import math

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from uvsam.training.config import Augmentation


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


class Augment:
    """Callable on (image (3, H, W) in 0..255, labels (2, H, W)): a varied pair of side ``crop_px``."""

    def __init__(self, settings: Augmentation, crop_px: int) -> None:
        self.settings = settings
        self.crop_px = crop_px

    def __call__(self, image: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        image, labels = self._geometry(image, labels, generator)
        valid = labels[1] > 0
        return self._sharpness(self._radiometry(image, valid, generator), generator), labels

    def _geometry(self, image: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        if image.shape[-1] > self.crop_px:  # read larger so that it can be turned by any angle
            angle = _uniform(generator, -45, 45)
            image = F.rotate(image, angle, v2.InterpolationMode.BILINEAR)
            labels = F.rotate(tv_tensors.Mask(labels), angle, v2.InterpolationMode.NEAREST).as_subclass(Tensor)
            image, labels = (F.center_crop(x, [self.crop_px, self.crop_px]) for x in (image, labels))
        turns = int(torch.randint(4, (), generator=generator))
        if self.settings.turn < 1 and _uniform(generator, 0, 1) >= self.settings.turn:
            turns = 0
        image, labels = (torch.rot90(x, turns, (1, 2)) for x in (image, labels))
        if torch.rand((), generator=generator) < 0.5:
            image, labels = image.flip(2), labels.flip(2)
        return image, labels

    def _radiometry(self, image: Tensor, valid: Tensor, generator: torch.Generator) -> Tensor:
        strength = self.settings.colour
        image = image / 255
        if strength > 0:
            image = _restretch(image, valid, generator) if _uniform(generator, 0, 1) < strength / 2 else image
            gain = 1 + strength * (2 * torch.rand((3, 1, 1), generator=generator) - 1) / 2
            image = (image * gain).clamp(0, 1) ** math.exp(_uniform(generator, -strength, strength))
            image = F.adjust_contrast(image, _uniform(generator, 1 - strength, 1 + strength))
            image = F.adjust_brightness(image, _uniform(generator, 1 - strength, 1 + strength))
            image = F.adjust_saturation(image, _uniform(generator, 1 - strength, 1 + strength))
            haze = strength / 2 * _uniform(generator, 0, 1) ** 2
            image = image * (1 - haze) + haze * 0.75
        if hue := self.settings.hue:
            image = F.adjust_hue(image.clamp(0, 1), _uniform(generator, -hue, hue))
        if _uniform(generator, 0, 1) < self.settings.grey:
            image = F.rgb_to_grayscale(image, num_output_channels=3)
        return image.clamp(0, 1) * 255

    def _sharpness(self, image: Tensor, generator: torch.Generator) -> Tensor:
        if self.settings.coarsen > 1:
            image = _shrunk(image, _uniform(generator, 1 / self.settings.coarsen, 1))
        if _uniform(generator, 0, 1) >= self.settings.degrade:
            return image
        if _uniform(generator, 0, 1) < 0.5:
            image = _shrunk(image, _uniform(generator, 0.45, 0.9))
        else:
            image = F.gaussian_blur(image, [5, 5], [_uniform(generator, 0.3, 1.2)] * 2)
        noise = torch.randn(image.shape, generator=generator) * _uniform(generator, 0, 6)
        return (image + noise).clamp(0, 255)


class OneOfEight(Augment):
    """No variation but a view: the sample's seed says which of the eight mirrored and turned ones."""

    def __call__(self, image: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        turns, mirrored = divmod(generator.initial_seed() % 8, 2)
        image, labels = (torch.rot90(x, turns, (1, 2)) for x in (image, labels))
        return (image.flip(2), labels.flip(2)) if mirrored else (image, labels)


def _shrunk(image: Tensor, factor: float) -> Tensor:
    """Shrink an image and enlarge it again."""
    side = image.shape[-1]
    small = F.resize(image, [round(side * factor)] * 2, antialias=True)
    enlarged: Tensor = F.resize(small, [side, side], antialias=True)
    return enlarged


def _restretch(image: Tensor, valid: Tensor, generator: torch.Generator) -> Tensor:
    """Stretch each band between two random percentiles, as images with more than eight bits are when they are read."""
    pixels = image[:, valid][:, ::31]
    if pixels.shape[1] < 100:
        return image
    tail = _uniform(generator, 0.005, 0.03)
    low, high = torch.quantile(pixels, torch.tensor([tail, 1 - tail]), dim=1)
    stretched: Tensor = (image - low[:, None, None]) / (high - low).clamp(min=0.05)[:, None, None]
    return stretched.clamp(0, 1)
