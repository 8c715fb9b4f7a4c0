"""From an image to villages."""

import datetime
import hashlib
import importlib.metadata
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import geopandas as gpd
import numpy as np
import shapely
from pyproj import CRS
from shapely.affinity import affine_transform
from shapely.geometry.base import BaseGeometry

import uvsam
from uvsam.addresses import cleaned, without_secrets
from uvsam.catalog.cache import check_generalist
from uvsam.catalog.cards import ModelCard
from uvsam.catalog.uvsam import UvSamCard, load_any_card, load_predict_card
from uvsam.engine.executors import open_run
from uvsam.engine.journal import Journal, check_folder, sweep
from uvsam.errors import CatalogError, IncompleteError, LabelError, SceneError, SettingsError
from uvsam.mosaic.regions import RegionRules
from uvsam.mosaic.scores import MEANING
from uvsam.progress import Progress, silent
from uvsam.raster.access import gdal_environment, in_any_folder, local_files, name_of, sources
from uvsam.raster.acquired import warn_of_written_day
from uvsam.raster.identity import identity, is_still
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import Stretch, estimate_stretch
from uvsam.raster.scene import Scene, check_resolution, model_scale
from uvsam.raster.window import Window
from uvsam.raster.writer import Meaning, check_destination, check_inputs_stay, write_cog
from uvsam.settings import PredictSettings
from uvsam.tiles import TilePlan, plan_tiles
from uvsam.vectors.formats import check_output, check_place, outputs, write_villages
from uvsam.vectors.layer_files import named
from uvsam.vectors.mask import MASK
from uvsam.vectors.polygon_files import PolygonLayer, polygons_only, read_polygons
from uvsam.vectors.villages import villages_from_scores
from uvsam.vectors.whereabouts import describe
from uvsam.workflows.computing import facts_of, open_computing
from uvsam.workflows.preview import write_preview
from uvsam.workflows.recipe import ModelFacts, ModelsRecipe, Refinement
from uvsam.workflows.refining import Refined, refine_scene
from uvsam.workflows.scoring import Scored, Scoring, score_scene
from uvsam.workflows.stac_item import Written, write_item

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True)
class Prediction:
    """What a run found and what it cost.

    Attributes:
        villages, coverage: as written (schemas in ``vectors.schema``).
        run: the metadata, as in table ``run``.
        refined: what the generalist did; None if there was none.
    """

    villages: gpd.GeoDataFrame
    coverage: gpd.GeoDataFrame
    run: dict[str, Any]
    scored: Scored
    refined: Refined | None
    seconds: float


def predict(
    images: str | Path | Sequence[str | Path],
    out: Path,
    settings: PredictSettings | None = None,
    *,
    save_scores: Path | None = None,
    score_type: Literal["uint8", "float16"] = "uint8",
    save_mask: Path | None = None,
    preview: Path | None = None,
    stac: Path | None = None,
    overwrite: bool = False,
    allow_failures: bool = False,
    workers: int | None = None,
    dask: "str | Client | None" = None,
    cache: Path | None = None,
    called: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Prediction:
    """Outline the villages of an image and write them to a file.

    Args:
        images: any GDAL raster or STAC item, local or remote, or several that share a grid and are looked at as one.
        out: a GeoPackage with layers ``villages`` and ``coverage`` and table ``run``, or a file of another format
            with these beside it: see :mod:`uvsam.vectors.formats`.
        save_scores: also write the scores as a cloud-optimised GeoTIFF.
        score_type: of that file; ``uint8``: score = (value - 1) / 254 and 0 is nodata, ``float16``: NaN is nodata.
        save_mask: also write the villages as pixels, a cloud-optimised GeoTIFF: 1 village, 0 other, 255 nodata. With
            small holes filled, and before outlines are simplified.
        preview: also write a picture of the outlines over the image (PNG).
        stac: also describe everything that is written in a STAC item (JSON).
        overwrite: replace files that exist.
        allow_failures: take the result even if parts of the image could not be read or computed.
        workers: compute in so many processes of one thread; default: threads of this process, one for each core.
        dask: compute on the workers of the Dask scheduler at this address or of this client, who share the folder of
            ``out``.
        cache: folder of fetched weights; None is the user's cache folder.
        called: what the result says in place of names of files that are gone afterwards.

    A run that was interrupted goes on where it was when it is called again with the same arguments: see
    :class:`uvsam.engine.journal.Journal`.

    Raises:
        SceneError, GeoreferencingError: the image cannot be used.
        IncompleteError: parts of the image could not be read or computed, twice.
        SettingsError, CatalogError, LabelError: the settings, the model or the area of interest cannot.
        OutputError: a result cannot be written; checked before the work starts.
    """
    started, settings = time.monotonic(), settings or PredictSettings()
    out = Path(out)
    if not overwrite:
        sweep(out)
    check_folder(out)
    check_output(out, overwrite=overwrite)
    if save_scores:
        check_destination(save_scores, (".tif", ".tiff"), overwrite=overwrite)
    if save_mask:
        check_destination(save_mask, (".tif", ".tiff"), overwrite=overwrite)
    if preview:
        check_destination(preview, (".png",), overwrite=overwrite)
    if stac:
        check_destination(stac, (".json",), overwrite=overwrite)
    card = load_predict_card(settings.model)
    if score_type == "float16" and (settings.sam or isinstance(card, UvSamCard)):
        raise SettingsError(
            "scores that a generalist refines have eight bits; leave out --score-type or name a specialist as --model"
        )
    if settings.sam:
        check_generalist(settings.sam, cache)
    scene = open_inputs(
        images, bands=settings.bands, asset=settings.asset, acquired=settings.acquired,
        allow_ungeoreferenced=settings.allow_ungeoreferenced, gsd_m=settings.gsd_m, nodata=settings.nodata,
    )  # fmt: skip
    if scene.acquired is None:
        warn_of_written_day(scene.uri)
    others = [path for path in (save_scores, save_mask, preview, stac) if path]
    area_file = [named(settings.aoi).file] if settings.aoi else []
    check_inputs_stay([*outputs(out), *others], [*local_files(scene.uri), *area_file])
    check_place(out, scene.geobox.crs)
    check_resolution(scene, card.gsd_m)
    rules, outline = _rules(settings, card)
    area_px = _area_px(settings.aoi, scene) if settings.aoi else None
    stretch = estimate_stretch(scene)
    scene = replace(scene, uri=in_any_folder(scene.uri))

    plan = plan_tiles(scene.shape, model_scale(scene, card.gsd_m), chip_px=card.chip_px, halo_px=card.halo_px)
    exact = save_scores is not None and score_type == "float16"
    scoring = Scoring(scene, stretch, plan, area_px, settings.views, exact)
    recipe = ModelsRecipe(settings, card.sha256, cache).in_any_folder()
    models, elsewhere = None, workers is not None or dask is not None
    if not elsewhere:
        from uvsam.workflows.loading import load_models  # PyTorch takes seconds: after all that can be refused

        models = load_models(recipe)
    with (
        Journal(out) as journal,
        gdal_environment(scene.uri),
        open_run(workers or 1, processes=True, dask=dask, even_one=elsewhere, first=partial(facts_of, recipe)) as run,
        open_computing(recipe, models, run) as computing,
    ):
        files = identity(scene.uri)
        journal.begin(_identity(scene, files, scoring, settings, card, computing.facts))
        folder = journal.folder
        mask = folder / "mask.tif" if save_mask else None
        scores, half = folder / "scores.tif", folder / "float16.tif" if exact else None
        scored, failed_tiles = score_scene(
            scoring, computing.specialist, scores, journal.log("tiles"), computing.tiles(), float16_path=half,
            progress=progress,
        )  # fmt: skip
        failures = [(plan[index].core, str(error)) for index, error in sorted(failed_tiles.items())]
        refined, rough = None, scores
        if refinement := computing.facts.refinement:
            scores = folder / "refined.tif"
            refined, failed_crops = refine_scene(
                scene, stretch, computing.asked, refinement, rough, rules, scores, open_log=journal.log,
                share=computing.crops(), run=computing.strips, threads=computing.threads, progress=progress,
            )  # fmt: skip
            failures += failed_crops
        villages, coverage = villages_from_scores(
            scores, scene.geobox, scene.gsd_m, rules, min_hole_m2=outline["min_hole_m2"],
            simplify_m=outline["simplify_m"], acquired=scene.acquired, model=card.name,
            support=refined.support if refined else None, seeds_path=rough if refined else None, mask_path=mask,
            run=computing.strips, progress=progress,
        )  # fmt: skip
        metadata = _metadata(images, scene, stretch, card, settings, rules, outline, plan, scored)
        metadata = _renamed(metadata, called or {})
        metadata["runtime"] = _runtime(computing.facts)
        if refinement and refined:
            metadata |= {"sam": str(settings.sam or card.name)} | _refined(refinement, refined)
        if failures:
            metadata["failed"] = [{"window": window._asdict(), "error": error} for window, error in failures]
        metadata = cleaned(metadata)
        if not is_still(scene.uri, files):
            raise SceneError(f"{scene.name} was changed while it was read; run the same command again, it starts over")
        if failures and not allow_failures:
            write_villages(folder / out.name, villages, coverage, metadata, overwrite=True)
            raise IncompleteError(_told(failures, folder / out.name))
        if save_scores:
            if half:
                write_cog(half, save_scores, meaning=Meaning(MEANING.description), NBITS=16)
            else:
                write_cog(scores, save_scores, meaning=MEANING)
        if save_mask and mask:
            write_cog(mask, save_mask, meaning=MASK, overviews="mode")
        write_villages(out, villages, coverage, metadata, overwrite=overwrite)
    if preview:
        write_preview(preview, scene, stretch, villages, coverage)
    if stac:
        files = [name for name in metadata["inputs"] if name not in (called or {}).values()]
        written = Written(out, save_scores, save_mask, preview)
        write_item(stac, written, coverage, scene, card, metadata | {"inputs": files})
    return Prediction(villages, coverage, metadata, scored, refined, time.monotonic() - started)


def _told(failures: Sequence[tuple[Window, str]], kept: Path) -> str:
    window, error = failures[0]
    where = f"rows {window.row} to {window.row_stop}, columns {window.col} to {window.col_stop}"
    more = f" and {len(failures) - 1} more places" if len(failures) > 1 else ""
    return (
        f"{where}{more} could not be read or computed ({' '.join(error.split())}); what was found elsewhere is in "
        f"{kept}. The same command tries them again, --allow-failures takes the result as it is"
    )


def _identity(
    scene: Scene, files: list[Any], scoring: Scoring, settings: PredictSettings, card: ModelCard, facts: ModelFacts
) -> dict[str, Any]:
    """What decides on the scores of a run: another image, setting, model or version starts over."""
    return {
        "image": without_secrets(name_of(scene.uri)),
        "grid": hashlib.sha256(without_secrets(scene.uri).encode()).hexdigest(),
        "files": files,
        "stretch": asdict(scoring.stretch),
        "plan": asdict(scoring.plan),
        "area": None if scoring.area_px is None else hashlib.sha256(shapely.to_wkb(scoring.area_px)).hexdigest(),
        "exact": scoring.exact,
        "settings": settings.model_dump(mode="json", exclude={"batch"}),
        "model": facts.sha256,
        "card": card.model_dump(mode="json"),
        "generalist": facts.refinement and [asdict(facts.refinement), _generalist(settings, card)],
        "device": facts.device,
        "versions": [uvsam.__version__, importlib.metadata.version("torch"), _runtime(facts)],
    }


def _generalist(settings: PredictSettings, card: ModelCard) -> dict[str, Any] | None:
    """The card of the generalist where it has one of its own; a checkpoint is known by its sha256."""
    own = card.generalist.card if isinstance(card, UvSamCard) else None
    try:
        name = settings.sam or own
        return load_any_card(name).model_dump(mode="json") if name else None
    except CatalogError:
        return None


def _runtime(facts: ModelFacts) -> str:
    """What computes the networks, with its version."""
    return f"{facts.runtime} {facts.runtime_version}"


def _rules(settings: PredictSettings, card: ModelCard) -> tuple[RegionRules, dict[str, float]]:
    def choose(name: str, default: float) -> float:
        given = getattr(settings, name)
        return default if given is None else float(given)

    threshold = choose("threshold", card.calibration.threshold)
    seed = choose("seed_threshold", max(threshold, card.calibration.seed_threshold))
    outline = {
        name: choose(name, getattr(card.outline, name))
        for name in ("close_m", "min_area_m2", "min_hole_m2", "simplify_m")
    }
    rules = RegionRules(threshold, seed, min_area_m2=outline["min_area_m2"], close_m=outline["close_m"])
    return rules, outline


def _area_px(path: Path, scene: Scene) -> BaseGeometry:
    """Area of interest in pixel coordinates of the scene."""
    area = read_polygons(path)
    if not len(area.polygons):
        raise LabelError(f"area of interest {path} has no polygon")
    crs = None if scene.geobox.crs is None else CRS.from_wkt(scene.geobox.crs.to_wkt())
    if area.crs is None and crs is not None:
        raise LabelError(f"area of interest {path} has no coordinate reference system; assign it first")
    outline = affine_transform(shapely.box(0, 0, *scene.shape[::-1]), scene.geobox.affine.to_shapely())
    image = PolygonLayer(np.array([outline]), crs)
    # What is far away need not have a place in the image's CRS, so it goes before the rest is brought there.
    around = shapely.total_bounds(image.to_crs(area.crs))
    near = shapely.intersection(area.to_crs(area.crs, near=around), shapely.box(*around))
    inside = shapely.intersection(PolygonLayer(polygons_only(near), area.crs).to_crs(crs, near=outline.bounds), outline)
    whole = shapely.union_all(polygons_only(inside))
    if whole.is_empty:
        asked, shown = describe(shapely.total_bounds(area.polygons), area.crs), describe(shapely.bounds(outline), crs)
        raise LabelError(f"area of interest {path} lies outside the image: it is {asked}, and the image {shown}")
    in_pixels: BaseGeometry = affine_transform(whole, (~scene.geobox.affine).to_shapely())
    shapely.prepare(in_pixels)
    return in_pixels


def _metadata(
    images: str | Path | Sequence[str | Path],
    scene: Scene,
    stretch: Stretch,
    card: ModelCard,
    settings: PredictSettings,
    rules: RegionRules,
    outline: dict[str, float],
    plan: TilePlan,
    scored: Scored,
) -> dict[str, Any]:
    libraries = ("torch", "segmentation-models-pytorch", "rasterio", "geopandas", "shapely")
    height, width = scene.shape
    return {
        "inputs": [str(images)] if isinstance(images, str | Path) else [str(image) for image in images],
        "files": sources(scene.uri),
        "input_size_px": [width, height],
        "input_dtype": scene.dtype,
        "input_bands": list(scene.bands),
        "collars": [{"value": collar.value, "share": collar.share} for collar in scene.validity.collars],
        "input_crs": None if scene.geobox.crs is None else str(scene.geobox.crs),
        "input_transform": list(scene.geobox.affine)[:6],
        "gsd_m": list(scene.gsd_m),
        "acquired": None if scene.acquired is None else scene.acquired.isoformat(),
        "stretch": asdict(stretch),
        "model": card.name,
        "model_sha256": card.sha256,
        "model_licence": card.licence,
        "model_gsd_m": card.gsd_m,
        "scene_px_per_model_px": list(plan.scale_xy),
        "temperature": card.calibration.temperature,
        "offset": card.calibration.offset,
        "threshold": rules.threshold,
        "seed_threshold": rules.seed_threshold,
        **outline,
        "settings": settings.model_dump(mode="json"),
        "tiles": asdict(scored),
        "computed_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "uvsam_version": uvsam.__version__,
        "versions": {name: importlib.metadata.version(name) for name in libraries},
    }


def _renamed(value: Any, called: Mapping[str, str]) -> Any:
    """Metadata with other names for some files."""
    if isinstance(value, dict):
        return {key: _renamed(one, called) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one, called) for one in value]
    return called.get(value, value) if isinstance(value, str) else value


def _refined(refinement: Refinement, refined: Refined) -> dict[str, Any]:
    return {
        "sam_sha256": refinement.sha256,
        "window_m": refinement.window_m,
        "fuse": refinement.fuse,
        "min_prompt_m2": refinement.min_prompt_m2,
        "sam_views": refinement.views,
        "prompts": asdict(refinement.rules),
        "refined": {
            name: getattr(refined, name)
            for name in ("regions", "refined", "crops", "prompts", "seen", "pixels", "model_pixels")
        },
    }
