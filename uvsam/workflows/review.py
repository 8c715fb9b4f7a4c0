"""``uvsam review``: the places where a map of villages is most likely wrong, for a person to correct in QGIS."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS
from scipy.special import expit, logit

import uvsam
from uvsam.addresses import without_secrets
from uvsam.errors import LabelError, OutputError, SceneError
from uvsam.mosaic.band import BAND
from uvsam.mosaic.regions import RegionRules
from uvsam.progress import Progress, silent
from uvsam.raster.access import is_remote
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import open_scene
from uvsam.raster.units import turn_of
from uvsam.raster.writer import check_destination, check_inputs_stay
from uvsam.vectors.antimeridian import beside
from uvsam.vectors.geopackage import RUN, Rows, check_output, read_run, write_layers
from uvsam.vectors.layer_files import UNREADABLE, files_of, named, naming, read_rows
from uvsam.vectors.period_columns import ids, numbers
from uvsam.vectors.polygon_files import layer_kinds, moved, place, rows_with_polygons, say_left_out
from uvsam.vectors.qgis.project import ImageLayer, Member, VectorLayer, write_project
from uvsam.vectors.qgis.qml import Classes, Look
from uvsam.vectors.qgis.styles import STYLES
from uvsam.vectors.qgis.tables import STYLE_TABLE
from uvsam.vectors.schema import CORRECTIONS, VILLAGES, Layer, make_frame
from uvsam.vectors.villages import villages_from_scores

VILLAGE, MISSED = "village", "perhaps missed"
OWN = {CORRECTIONS.name, RUN, STYLE_TABLE}
SAME_IOU = 0.5
"""A place is one that somebody looked at before if both overlap by more than this."""
NEEDED = ("village_id", "confidence", "area_m2", "area_low_m2", "area_high_m2")
THRESHOLD = 0.5
"""Of files that do not say theirs."""


@dataclass(frozen=True)
class Review:
    """What was written.

    Attributes:
        corrections: the layer, by rank.
        kept: rows of it that somebody had looked at before.
    """

    corrections: gpd.GeoDataFrame
    kept: int


def review(
    villages: Path,
    images: Sequence[str | Path],
    out: Path,
    *,
    scores: Path | None = None,
    places: int = 100,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Review:
    """Write a QGIS project with images, villages and the layer ``corrections``, which lies in a GeoPackage beside it.

    Nothing that somebody said is lost: where the GeoPackage exists, its rows with a verdict, a note or a day stay as
    they are, at the end, and only the others are replaced. What verdicts mean is in ``docs/correcting.md``.

    Args:
        villages: a file of ``predict``.
        images: rasters that show the ground, the first on top.
        out: the project, ``.qgz``.
        scores: of the same run, from ``--save-scores``; with them also places that may be missed villages.
        places: how many, those with the most doubtful ground (doubt times area).
        overwrite: replace what exists, except for what somebody said.

    Raises:
        LabelError: ``villages`` was not written by ``predict``, or lies where no image is.
        SceneError: an image or the scores cannot be used.
        OutputError: something cannot be written, or exists.
    """
    out, edited = Path(out), Path(out).with_suffix(".gpkg")
    check_destination(out, (".qgz",), overwrite=True)
    check_inputs_stay([out, edited], [*files_of([villages, scores]), *(Path(str(image)) for image in images)])
    kept = _looked_at(edited, overwrite=overwrite)
    check_destination(out, (".qgz",), overwrite=overwrite)
    check_output(edited, overwrite=True)
    (file, name, _), layer = named(villages), replace(VILLAGES, name=named(villages).layer or VILLAGES.name)
    found, run = _read_villages(file, layer.name), read_run(file)
    crs = None if found.crs is None else place(CRS.from_user_input(found.crs))
    stems = [Path(str(image)).stem for image in images]
    shown = [
        _image(image, f"image {stem}" if stems.count(stem) == 1 else f"image {number} {stem}")
        for number, (image, stem) in enumerate(zip(images, stems, strict=True), start=1)
    ]
    bounds = _bounds(shown, crs, found)
    if len(found) and not shapely.box(*bounds).intersects(shapely.box(*found.total_bounds)):
        raise LabelError(f"{images[0]} does not show the ground of {villages}; is it the right image?")
    doubtful = [_of_villages(found)]
    if scores is not None:
        doubtful.append(_perhaps_missed(scores, run, found, progress))
    as_asked = _corrections_of(found["village_id"])
    corrections = _ranked(pd.concat(doubtful, ignore_index=True), kept, places, found.crs, as_asked)
    told = {
        "uvsam": uvsam.__version__, "villages": str(naming(file.resolve(), layer=name)),
        "images": [_address(str(image)) for image in images],
        "places": places, "kept": len(kept),
    }  # fmt: skip
    write_layers(edited, [(as_asked, [Rows.of(corrections, as_asked)])], told, overwrite=True)
    plain = replace(STYLES[VILLAGES.name], classes=Classes("", [(None, Look("on the map", "#ffffff", 0.0, 0.3))]))
    members: list[Member] = [
        VectorLayer("corrections", edited, as_asked, STYLES[CORRECTIONS.name], crs),
        VectorLayer("villages", file, layer, plain, crs, read_only=True),
        *(image for image, _ in shown),
    ]
    names = [member.name for member in members]
    themes = {"Corrections": names, "Image alone": names[2:]}
    write_project(out, f"Corrections of {file.name}", members, bounds, crs, themes)
    return Review(corrections, len(kept))


def doubt_of_villages(
    confidence: NDArray[np.float64],
    area_m2: NDArray[np.float64],
    low_m2: NDArray[np.float64],
    high_m2: NDArray[np.float64],
) -> NDArray[np.float64]:
    """``1 - confidence / (1 + (high - low) / area)``, each (N,).

    ``confidence * area`` is the ground in an outline that should be village; the more ground hangs on the threshold,
    the larger is what it is compared with. 0 is a sure village with a sharp border.
    """
    return 1 - confidence / (1 + (high_m2 - low_m2) / area_m2)


def _read_villages(path: Path, layer: str) -> gpd.GeoDataFrame:
    if layer not in layer_kinds(path):
        raise LabelError(f"{path} has no layer {layer}; give a GeoPackage that `uvsam predict` wrote")
    every = read_rows(path, layer)
    frame = rows_with_polygons(every, path, layer).reset_index(drop=True)
    say_left_out(len(every) - len(frame), path, layer)
    missing = sorted(set(NEEDED) - set(frame.columns))
    if missing or not (frame.geom_type == VILLAGES.geometry_type).all():
        what = f"lacks {', '.join(missing)}" if missing else "does not hold polygons only"
        raise LabelError(f"layer {layer} of {path} {what}; give a GeoPackage that `uvsam predict` wrote")
    known = pd.Series(ids(frame["village_id"], len(frame)))
    if known.isna().any() or known.duplicated().any():
        what = "is empty in some rows" if known.isna().any() else f"is {known[known.duplicated()].iloc[0]} twice"
        raise LabelError(f"village_id of layer {layer} of {path} {what}; number the villages from 1 to {len(frame)}")
    return frame.assign(**{name: numbers(frame[name], len(frame), path, name) for name in NEEDED[1:]})


def _corrections_of(village_id: "pd.Series[Any]") -> Layer:
    """The layer to fill in; ids of villages are numbers, or texts if the map has texts."""
    if pd.api.types.is_numeric_dtype(village_id):
        return CORRECTIONS
    return replace(CORRECTIONS, columns={**CORRECTIONS.columns, "village_id": "object"})


def _looked_at(path: Path, *, overwrite: bool) -> gpd.GeoDataFrame:
    """Rows of an earlier review that somebody has looked at."""
    if not path.exists():
        return gpd.GeoDataFrame({name: [] for name in CORRECTIONS.columns}, geometry=[])
    if not overwrite:
        raise OutputError(f"{path} exists; give another name, or --overwrite, which keeps what somebody looked at")
    try:
        frame = read_rows(path, CORRECTIONS.name)
    except UNREADABLE as error:
        raise OutputError(f"{path} exists and is no file of `uvsam review`; give another name") from error
    added = [*set(layer_kinds(path)) - OWN, *set(frame.columns) - {*CORRECTIONS.columns, "geometry"}]
    if added:
        raise OutputError(f"{path} has {', '.join(sorted(added))}, which would be lost; give another name")
    said = frame["looked_at"].notna()
    for column in ("verdict", "note"):
        said |= frame[column].fillna("").astype(str).str.strip() != ""
    has_ground = frame.geometry.notna() & ~frame.geometry.is_empty
    return frame[said & has_ground].explode(ignore_index=True)


def _address(image: str) -> str:
    return without_secrets(image) if is_remote(image) else str(Path(image).resolve())


def _image(uri: str | Path, name: str) -> tuple[ImageLayer, GeoBox]:
    scene = open_inputs(uri)
    if scene.uri.startswith("<"):
        raise SceneError(f"{scene.name} has a file for each colour; make one image of them first")
    stretch, crs = estimate_stretch(scene), CRS.from_user_input(str(scene.geobox.crs))
    address = without_secrets(scene.uri)
    if address != scene.uri:
        warnings.warn(
            f"{scene.name} is read with a signature or a password, which the project does not keep; QGIS will show the "
            "image where it may be read without, or give a file of this machine",
            stacklevel=3,
        )
    return ImageLayer(name, address, scene.bands, stretch.low, stretch.high, crs), scene.geobox


def _bounds(shown: Sequence[tuple[ImageLayer, GeoBox]], crs: CRS | None, found: gpd.GeoDataFrame) -> list[float]:
    """Left, bottom, right, top of all images, on the side of the villages where longitudes begin anew."""
    boxes = []
    for image, box in shown:
        outline = np.array([box.extent.geom])
        if crs is not None and box.crs is not None and image.crs is not None:
            outline = beside(moved(outline, image.crs, crs), turn_of(crs), found.total_bounds)
        boxes.append(shapely.total_bounds(outline))
    return [*np.min(boxes, axis=0)[:2].tolist(), *np.max(boxes, axis=0)[2:].tolist()]


def _of_villages(found: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    confidence, *areas = (found[name].to_numpy(float) for name in NEEDED[1:])
    return _places(found.geometry.to_numpy(), doubt_of_villages(confidence, *areas), VILLAGE, found["village_id"])


def _perhaps_missed(scores: Path, run: dict[str, str], found: gpd.GeoDataFrame, progress: Progress) -> gpd.GeoDataFrame:
    """Regions at a threshold one unit of log-odds lower that hold no village; their doubt is their mean score."""
    scene = open_scene(scores, bands=(1, 1, 1))
    if scene.dtype != "uint8":
        raise SceneError(f"{scores} has {scene.dtype} pixels; scores of one byte are needed, as --save-scores writes")
    threshold = float(run.get("threshold", THRESHOLD))
    lower = float(expit(logit(threshold) - BAND))
    rules = RegionRules(lower, lower, float(run.get("min_area_m2", 0)), float(run.get("close_m", 0)))
    wide, _ = villages_from_scores(
        scores, scene.geobox, scene.gsd_m, rules, min_hole_m2=float(run.get("min_hole_m2", 0)),
        simplify_m=float(run.get("simplify_m", 0)), progress=progress,
    )  # fmt: skip
    polygons = wide.geometry.to_numpy()
    if found.crs is not None and wide.crs != found.crs:
        polygons = moved(polygons, CRS.from_user_input(wide.crs), CRS.from_user_input(found.crs))
    known, _ = shapely.STRtree(polygons).query(found.geometry.to_numpy(), predicate="intersects")[::-1]
    new = np.setdiff1d(np.arange(len(polygons)), known)
    return _places(polygons[new], wide["confidence"].to_numpy()[new], MISSED, None)


def _places(polygons: NDArray[np.object_], doubt: NDArray[np.float64], kind: str, number: Any) -> gpd.GeoDataFrame:
    numbers = np.full(len(polygons), None, object) if number is None else np.asarray(number, object)
    return gpd.GeoDataFrame({"doubt": doubt, "kind": kind, "village_id": numbers}, geometry=list(polygons))


def _ranked(
    doubtful: gpd.GeoDataFrame, kept: gpd.GeoDataFrame, places: int, crs: Any, layer: Layer
) -> gpd.GeoDataFrame:
    """The places with the most doubtful ground by rank, without those that were looked at, and then these."""
    if len(kept) and kept.crs is not None and crs is not None:
        kept = kept.to_crs(crs)
    new, old = doubtful.geometry.to_numpy(), kept.geometry.to_numpy()
    place, said = _same(new, old)
    numbers = np.full(len(kept), None, object)  # villages are numbered anew in every run
    numbers[said] = doubtful["village_id"].to_numpy()[place]
    order = np.argsort(-doubtful["doubt"].to_numpy() * shapely.area(new), kind="stable")
    order = order[~np.isin(order, place)][:places]
    chosen = doubtful.iloc[order].drop(columns="geometry")
    rows = pd.concat([chosen, kept.assign(village_id=numbers).drop(columns="geometry")], ignore_index=True)
    rows = rows.reindex(columns=list(CORRECTIONS.columns))
    ids = rows["place_id"].fillna(0).to_numpy(np.int64, copy=True)
    ids[ids == 0] = ids.max(initial=0) + 1 + np.arange((ids == 0).sum())
    columns = {
        "place_id": ids,
        "rank": np.arange(1, len(rows) + 1),
        "doubt": rows["doubt"].to_numpy(float),
        "looked_at": pd.to_datetime(rows["looked_at"]).to_numpy("datetime64[s]"),
    }
    for name in ("kind", "village_id", "verdict", "note"):
        columns[name] = np.array([None if pd.isna(value) else value for value in rows[name]], object)
    return make_frame(layer, np.concatenate([new[order], old]), crs, columns)


def _same(new: NDArray[np.object_], old: NDArray[np.object_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of ``new`` are which of ``old``: both overlap by more than :data:`SAME_IOU`."""
    sound = shapely.make_valid(old)  # people draw
    second, first = shapely.STRtree(new).query(sound, predicate="intersects")
    shared = shapely.area(shapely.intersection(sound[second], new[first]))
    same = shared > SAME_IOU * (shapely.area(sound[second]) + shapely.area(new[first]) - shared)
    return first[same], second[same]
