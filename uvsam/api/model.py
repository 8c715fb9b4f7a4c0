"""A model in memory: from an image to scores, without a file."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from uvsam.api.inputs import Image, Location, given, holds_no_place, text_of
from uvsam.catalog.cache import named_cache
from uvsam.catalog.cards import DEFAULT_MODEL, ModelCard
from uvsam.catalog.uvsam import load_predict_card
from uvsam.errors import SettingsError
from uvsam.models.specialist import Specialist
from uvsam.progress import Progress, silent
from uvsam.raster.arrays import spatial
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import check_resolution, model_scale
from uvsam.settings import predict_settings
from uvsam.tiles import plan_tiles
from uvsam.workflows.loading import load_models
from uvsam.workflows.recipe import ModelsRecipe
from uvsam.workflows.scoring import Scoring


class Model:
    """A model that scores images in memory. Holds no state between calls.

    Attributes:
        card: what it is, and what it wants to see.
    """

    def __init__(self, card: ModelCard, specialist: Specialist) -> None:
        self.card, self._specialist = card, specialist

    def scores(
        self, image: "Image", *, gsd: float | None = None, nodata: float | None = None, views: Literal[1, 2, 4, 8] = 1,
        progress: Progress = silent,
    ) -> Any:  # fmt: skip
        """Calibrated probability of village of every pixel, of the specialist (the generalist sharpens outlines only).

        Pixels are looked at as :func:`uvsam.predict` looks at those of a file of the same type: 8 bits as they are, all
        others, floating numbers in 0 to 1 too, from the 2nd to the 98th percentile.

        Args:
            image: (C, H, W) array of red, green, blue and perhaps more, of any integer or floating type, masked or not;
                or what else :func:`uvsam.predict` takes for an image.
            gsd: metres per pixel; of arrays, which do not say.
            nodata: value of pixels without data; default: what the image says, and NaN.
            views: mirrored and turned copies whose scores are averaged.

        Returns:
            (H, W) float32, NaN where there is no data; a DataArray of a DataArray or Dataset.

        Raises:
            SceneError, GeoreferencingError, SettingsError: the image cannot be used.
            TypeError: it is no image.
        """
        if views not in (1, 2, 4, 8):
            raise SettingsError(f"views should be 1, 2, 4 or 8, not {views!r}")
        plain = holds_no_place(image)
        if plain and gsd is None:
            raise SettingsError("an array does not say how large its pixels are; give gsd, metres per pixel")
        with given(self.scores) as files:
            name = files.images(image, nodata=nodata if plain else None)
            scene = open_inputs(
                name, bands=(1, 2, 3) if plain else None, allow_ungeoreferenced=gsd is not None, gsd_m=gsd,
                nodata=nodata,
            )  # fmt: skip
            check_resolution(scene, self.card.gsd_m)
            plan = plan_tiles(
                scene.shape, model_scale(scene, self.card.gsd_m), chip_px=self.card.chip_px, halo_px=self.card.halo_px
            )
            scoring = Scoring(scene, estimate_stretch(scene), plan, views=views)
            found: NDArray[np.float32] = scoring.array(
                self._specialist, threads=torch.get_num_threads(), progress=progress
            )
        if not type(image).__module__.startswith("xarray."):
            return found
        array = spatial(image)
        return array.isel({array.dims[0]: 0}, drop=True).copy(data=found)


def load_model(
    model: Location = DEFAULT_MODEL, *, device: str = "auto", runtime: Literal["openvino", "torch"] | None = None
) -> Model:
    """A model by its name (``uvsam models``) or card, with its verified weights.

    Raises:
        CatalogError: no such model, or its weights are not those that its card describes.
        SettingsError: the device cannot be used here.
    """
    settings = predict_settings(model=text_of(model), device=device, runtime=runtime)
    card = load_predict_card(settings.model)
    return Model(card, load_models(ModelsRecipe(settings, card.sha256, named_cache())).specialist)
