"""Images given to a trend: their villages are predicted first, and kept."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from uvsam.catalog.uvsam import load_predict_card
from uvsam.errors import LabelError, OutputError
from uvsam.progress import Progress, silent
from uvsam.settings import PredictSettings
from uvsam.vectors.geopackage import read_run

RASTERS = {".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg", ".jpeg"}


def is_image(path: Path) -> bool:
    """Whether a file is a raster, by its name."""
    return path.suffix.lower() in RASTERS


def predict_images(
    paths: Sequence[Path], folder: Path, settings: PredictSettings, dates: Sequence[datetime.date] = (),
    *, overwrite: bool = False, progress: Progress = silent,
) -> tuple[list[Path], dict[Path, Path]]:  # fmt: skip
    """Village layers in place of images; other files stay.

    A layer that the same image and settings gave before is taken as it is, so that a run that was stopped goes on.

    Args:
        folder: where layers are kept, named as their images.
        dates: of ``paths``, or none; images take theirs from here, else from what they say themselves.
        overwrite: predict again what is there from other settings or images.

    Returns:
        The layers in the order of ``paths``, and for each that was predicted its image.

    Raises:
        OutputError: a layer is there that something else gave.
        LabelError: two images have the same name.
        UvsamError: as ``predict``.
    """
    layers: list[Path] = []
    images: dict[Path, Path] = {}
    for number, path in enumerate(paths):
        if not is_image(path):
            layers.append(path)
            continue
        layer = folder / f"{path.stem}.gpkg"
        if layer in images:
            raise LabelError(f"{images[layer]} and {path} have the same name; predict them first, and give the layers")
        own = settings.model_copy(update={"acquired": dates[number] if dates else settings.acquired})
        if not _is_of(layer, path, own):
            if layer.exists() and not overwrite:
                raise OutputError(
                    f"{layer} is there already, of another image or other settings; "
                    "give it instead of the image, or --overwrite"
                )
            _predict(path, layer, own, progress)
        layers.append(layer)
        images[layer] = path
    return layers, images


def _is_of(layer: Path, image: Path, settings: PredictSettings) -> bool:
    """Whether a layer is what the image and the settings would give again."""
    if not layer.exists() or layer.stat().st_mtime < image.stat().st_mtime:
        return False
    told = read_run(layer)
    return (
        json.loads(told.get("inputs", "null")) == [str(image)]
        and told.get("model_sha256") == load_predict_card(settings.model).sha256
        and json.loads(told.get("settings", "null")) == settings.model_dump(mode="json")
    )


def _predict(image: Path, layer: Path, settings: PredictSettings, progress: Progress) -> None:
    from uvsam.workflows.predict import predict  # torch: not for those who bring layers

    try:
        layer.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make folder {layer.parent}: {error.strerror}") from error

    def told(stage: str, done: int, total: int) -> None:
        progress(f"{image.name}: {stage}", done, total)

    predict(image, layer, settings, overwrite=True, progress=told)
