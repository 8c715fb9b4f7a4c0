"""Images given to a trend: their villages are predicted first, and kept."""

import datetime
import json
from collections.abc import Sequence
from pathlib import Path

from uvsam.catalog.uvsam import load_predict_card
from uvsam.errors import LabelError, OutputError
from uvsam.progress import Progress, silent
from uvsam.raster.inputs import open_inputs
from uvsam.raster.stac import is_stac_file
from uvsam.raster.writer import check_inputs_stay
from uvsam.settings import PredictSettings
from uvsam.vectors.geopackage import read_run
from uvsam.vectors.layer_files import files_of, named, naming

RASTERS = {".tif", ".tiff", ".vrt", ".jp2", ".img", ".png", ".jpg", ".jpeg"}


def is_image(path: Path) -> bool:
    """Whether a file is a raster, by its name, or a STAC item."""
    return path.suffix.lower() in RASTERS or is_stac_file(path)


def of_layer(paths: Sequence[Path], layer: str | None) -> list[Path]:
    """What ``--layer`` means: a layer of each file that does not name its own."""
    own = [layer is None or is_image(path) or bool(named(path).layer) for path in paths]
    return [path if has else naming(path, layer=layer) for path, has in zip(paths, own, strict=True)]


def predict_images(
    paths: Sequence[Path], folder: Path, settings: PredictSettings, dates: Sequence[datetime.date] = (),
    *, overwrite: bool = False, progress: Progress = silent,
) -> tuple[list[Path], dict[Path, str]]:  # fmt: skip
    """Village layers in place of images; other files stay.

    A layer that the same image and settings gave before is taken as it is, so that a run that was stopped goes on.

    Args:
        folder: where layers are kept, named as their images.
        dates: of ``paths``, or none; images take theirs from here, else from what they say themselves.
        overwrite: predict again what is there from other settings or images.

    Returns:
        The layers in the order of ``paths``, and for each that was predicted the uri of its image.

    Raises:
        OutputError: a layer is there that something else gave.
        LabelError: two images have the same name.
        UvsamError: as ``predict``.
    """
    layers: list[Path] = []
    given: dict[Path, Path] = {}
    images: dict[Path, str] = {}
    for number, path in enumerate(paths):
        if not is_image(path):
            layers.append(path)
            continue
        layer = folder / f"{path.stem}.gpkg"
        if layer in given:
            raise LabelError(f"{given[layer]} and {path} have the same name; predict them first, and give the layers")
        own = settings.model_copy(update={"acquired": dates[number] if dates else settings.acquired})
        if not _is_of(layer, path, own):
            if layer.exists() and not overwrite:
                raise OutputError(
                    f"{layer} is there already, of another image or other settings; "
                    "give it instead of the image, or --overwrite"
                )
            check_inputs_stay([layer], files_of(paths))
            _predict(path, layer, own, progress)
        layers.append(layer)
        given[layer] = path
        scene = open_inputs(path, bands=own.bands, asset=own.asset, acquired=own.acquired, nodata=own.nodata)
        images[layer] = scene.uri
    return layers, images


def _is_of(layer: Path, image: Path, settings: PredictSettings) -> bool:
    """Whether a layer is what the image and the settings would give again."""
    if not layer.exists():
        return False
    told = read_run(layer)
    files = [image, *map(Path, json.loads(told.get("files", "[]")))]
    if layer.stat().st_mtime < max((path.stat().st_mtime for path in files if path.exists()), default=0.0):
        return False
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
