"""What a run has written, as a STAC item: with the projection, raster, processing and MLM extensions."""

import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import shapely
from pyproj import CRS

from uvsam.addresses import without_secrets
from uvsam.catalog.cards import ModelCard, card_path
from uvsam.catalog.uvsam import UvSamCard
from uvsam.raster.access import is_remote
from uvsam.raster.scene import Scene
from uvsam.raster.units import FULL_TURN
from uvsam.raster.writer import write_text
from uvsam.vectors.antimeridian import split, together
from uvsam.vectors.formats import DECIMALS, LON_LAT, outputs
from uvsam.vectors.layer_files import coverage_file, run_file
from uvsam.vectors.polygon_files import moved

EXTENSIONS = ("projection/v2.0.0", "processing/v1.2.0", "mlm/v1.4.0")
RASTER = "raster/v2.0.0"
"""An item without a raster must not name it."""
MEDIA_TYPES = {
    ".gpkg": "application/geopackage+sqlite3",
    ".fgb": "application/vnd.flatgeobuf",
    ".parquet": "application/vnd.apache.parquet",
    ".geoparquet": "application/vnd.apache.parquet",
    ".geojson": "application/geo+json",
    ".pmtiles": "application/vnd.pmtiles",
}
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
ARCHITECTURES = {
    "segformer": "SegFormer", "unet": "U-Net", "deeplabv3plus": "DeepLabV3+", "fpn": "FPN", "fcn": "FCN",
}  # fmt: skip
SIMPLER = 1000
"""The geometry of an item is off by at most so small a part of its extent; the layer ``coverage`` is exact."""


@dataclass(frozen=True)
class Written:
    """The files of a run."""

    out: Path
    scores: Path | None = None
    mask: Path | None = None
    preview: Path | None = None


def write_item(
    path: Path, written: Written, coverage: gpd.GeoDataFrame, scene: Scene, card: ModelCard, run: dict[str, Any]
) -> None:
    """Write the STAC item of a run; files are named relative to it.

    Args:
        coverage: what was looked at, schema ``COVERAGE``.
        run: the metadata of the run, as in table ``run``.

    Raises:
        OutputError: it cannot be written.
    """
    item = make_item(path, written, coverage, scene, card, run)
    write_text(path, json.dumps(item, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def make_item(
    path: Path, written: Written, coverage: gpd.GeoDataFrame, scene: Scene, card: ModelCard, run: dict[str, Any]
) -> dict[str, Any]:
    """The item that :func:`write_item` writes to ``path``."""
    folder = path.absolute().parent
    extensions = EXTENSIONS if written.scores is written.mask is None else (*EXTENSIONS, RASTER)
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in extensions],
        "id": written.out.stem,
        **_ground(coverage),
        "properties": {
            **_time(run),
            "description": _description(card, run),
            # Of villages whose image has terms that nobody told; those of the model are in the description.
            "license": "other",
            "gsd": max(scene.gsd_m),
            "bands": _bands(card),
            **_projection(scene),
            **_processing(card, run),
            **_model(card, run),
        },
        "links": [_source(name, folder) for name in run["inputs"]],
        "assets": _assets(written, scene, folder) | {"model": _weights(card, run, folder)},
    }


def _ground(coverage: gpd.GeoDataFrame) -> dict[str, Any]:
    """Geometry and bbox in longitude and latitude; no bbox where there is no geometry.

    As RFC 7946 wants it: cut at the antimeridian, and of what crosses it the west of the bbox is the larger number.
    """
    if coverage.crs is None or coverage.empty:
        return {"geometry": None}
    ground = moved(coverage.geometry.to_numpy(), coverage.crs, LON_LAT)
    whole = shapely.union_all(split(ground, FULL_TURN))
    boxes = together(shapely.bounds(shapely.get_parts(ground)), FULL_TURN)
    west, south = boxes[:, :2].min(axis=0).tolist()
    east, north = boxes[:, 2:].max(axis=0).tolist()
    simple = shapely.simplify(whole, max(east - west, north - south) / SIMPLER)
    rounded = shapely.orient_polygons(shapely.set_precision(simple, 10.0**-DECIMALS))
    return {
        "geometry": shapely.geometry.mapping(whole if rounded.is_empty else rounded),
        "bbox": [_longitude(west, -180.0), south, _longitude(east, 180.0), north],
    }


def _longitude(value: float, border: float) -> float:
    """A longitude between -180 and 180; on the antimeridian it is ``border``."""
    within = (value + 180) % FULL_TURN - 180
    return border if within == -180 else within if abs(value) > 180 else value


def _time(run: dict[str, Any]) -> dict[str, Any]:
    """The day of the image; where nobody knows it, the time of the run, as an item must have one."""
    made = {"created": run["computed_at"], "updated": run["computed_at"]}
    if run["acquired"] is None:
        return {"datetime": run["computed_at"], **made}
    day = run["acquired"]
    return {
        "datetime": None, "start_datetime": f"{day}T00:00:00Z", "end_datetime": f"{day}T23:59:59Z", **made,
    }  # fmt: skip


def _description(card: ModelCard, run: dict[str, Any]) -> str:
    parts = ["Urban villages and informal settlements, outlined in an image by uvsam."]
    if run["acquired"] is None:
        parts.append("The day of the image is not known; the date is that of the computation.")
    parts.append(f"Licence of the model: {card.licence}. That of the image has to be added.")
    return " ".join(parts)


def _projection(scene: Scene) -> dict[str, Any]:
    geobox = scene.geobox
    left, bottom, right, top = geobox.extent.boundingbox
    grid = {
        "proj:shape": list(scene.shape),
        "proj:transform": list(geobox.affine)[:6],
        "proj:bbox": [left, bottom, right, top],
    }
    if geobox.crs is None:
        return {"proj:code": None, **grid}
    crs = CRS.from_user_input(geobox.crs.to_wkt())
    authority = crs.to_authority(min_confidence=100)
    if authority is None:
        return {"proj:code": None, "proj:wkt2": crs.to_wkt(), **grid}
    return {"proj:code": ":".join(authority), **grid}


def _processing(card: ModelCard, run: dict[str, Any]) -> dict[str, Any]:
    refined = f", outlines sharpened with {run['sam']}" if "sam" in run else ""
    return {
        "processing:level": "L4",
        "processing:lineage": f"uvsam predict, model {card.name}{refined}",
        "processing:datetime": run["computed_at"],
        "processing:software": {"uvsam": run["uvsam_version"], **run["versions"]},
    }


def _model(card: ModelCard, run: dict[str, Any]) -> dict[str, Any]:
    """What the MLM extension asks of an item: the model, and how it was used."""
    decoder = ARCHITECTURES[card.network.arch]
    network = f"{decoder} over {card.network.encoder}"
    name = re.sub(r"[^\w.-]", "_", card.name, flags=re.ASCII)
    settings = (
        "threshold", "seed_threshold", "close_m", "min_area_m2", "min_hole_m2", "simplify_m", "temperature", "offset",
        "model_gsd_m", "window_m", "fuse", "min_prompt_m2",
    )  # fmt: skip
    sides = [card.chip_px, card.chip_px]
    return {
        "mlm:name": name if re.fullmatch("[a-zA-Z].+[a-zA-Z0-9]", name) else f"model {name} of uvsam",
        "mlm:architecture": f"UV-SAM, {network}" if isinstance(card, UvSamCard) else network,
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "PyTorch",
        "mlm:framework_version": run["versions"]["torch"],
        "mlm:hyperparameters": {key: run[key] for key in settings if run.get(key) is not None},
        "mlm:input": [
            {
                "name": "chip",
                "description": f"Stretched to 0..255 over the whole image, at {card.gsd_m:g} m per pixel.",
                "bands": list(card.bands),
                "input": {
                    "shape": [-1, len(card.bands), *sides],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [
                    {"type": "z-score", "mean": mean, "stddev": std}
                    for mean, std in zip(card.mean, card.std, strict=True)
                ],
                "resize_type": None,
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "score",
                "description": "Probability that a pixel is village.",
                "tasks": ["semantic-segmentation"],
                "result": {"shape": [-1, *sides], "dim_order": ["batch", "height", "width"], "data_type": "float32"},
                "classification:classes": [],
                "post_processing_function": None,
            }
        ],
    }


def _source(name: str, folder: Path) -> dict[str, str]:
    href = without_secrets(name) if is_remote(name) else _href(Path(name), folder)
    link = {"rel": "derived_from", "href": href}
    if href.lower().endswith((".tif", ".tiff")):
        link["type"] = "image/tiff; application=geotiff"
    elif href.lower().endswith((".json", ".geojson")):
        link["type"] = "application/geo+json"
    return link


def _assets(written: Written, scene: Scene, folder: Path) -> dict[str, Any]:
    out = written.out
    told: dict[str, Any] = {"type": MEDIA_TYPES[out.suffix.lower()], "roles": ["data"]}
    assets: dict[str, Any] = {"villages": {"href": _href(out, folder), "title": "Outlines of villages", **told}}
    if len(outputs(out)) > 1:
        assets["coverage"] = {
            "href": _href(coverage_file(out), folder), "title": "What was looked at", **told, "roles": ["metadata"],
        }  # fmt: skip
        assets["run"] = {
            "href": _href(run_file(out), folder), "title": "How it was made", "type": "application/json",
            "roles": ["metadata"],
        }  # fmt: skip
    rasters: Sequence[tuple[str, Path | None, str]] = (
        ("scores", written.scores, "Score of each pixel"), ("mask", written.mask, "Pixels of villages: 1, others: 0"),
    )  # fmt: skip
    for key, path, title in rasters:
        if path is not None:
            assets[key] = {
                "href": _href(path, folder), "title": title, "type": COG, "roles": ["data"],
                "bands": [_band(path, key, max(scene.gsd_m))],
            }  # fmt: skip
    if written.preview is not None:
        assets["preview"] = {
            "href": _href(written.preview, folder), "title": "Outlines over the image", "type": "image/png",
            "roles": ["overview"],
        }  # fmt: skip
    return assets


def _band(path: Path, name: str, gsd_m: float) -> dict[str, Any]:
    """The one band of a raster that we wrote."""
    with rasterio.open(path) as dataset:
        tags, nodata = dataset.tags(1), dataset.nodata
        bits = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS")
        band = {
            "name": name,
            "description": dataset.descriptions[0],
            "data_type": dataset.dtypes[0],
            "nodata": "nan" if math.isnan(nodata) else nodata,
            "unit": dataset.units[0],
            "statistics": {
                name: float(tags[f"STATISTICS_{name.upper()}"])
                for name in ("minimum", "maximum", "mean", "stddev", "valid_percent")
                if f"STATISTICS_{name.upper()}" in tags
            },
            "raster:spatial_resolution": gsd_m,
            "raster:sampling": "area",
            "raster:scale": dataset.scales[0],
            "raster:offset": dataset.offsets[0],
        }
    if bits:
        band["raster:bits_per_sample"] = int(bits)
    return {key: value for key, value in band.items() if value not in (None, {}, "")}


def _weights(card: ModelCard, run: dict[str, Any], folder: Path) -> dict[str, Any]:
    model = run["settings"]["model"]
    if model.endswith((".yaml", ".yml")):
        href = _href(card_path(model, None).parent / card.weights, folder)
    else:  # in the package, wherever that is installed: a package URL
        href = f"pkg:pypi/uvsam@{run['uvsam_version']}#uvsam/data_catalog/models/{card.weights}"
    return {
        "href": href,
        "title": card.summary,
        "description": f"sha256 {card.sha256}. Licence: {card.licence}.",
        "type": "application/octet-stream",
        "roles": ["mlm:model"],
        "mlm:artifact_type": "safetensors.torch.save_file",
        "bands": _bands(card),
    }


def _bands(card: ModelCard) -> list[dict[str, str]]:
    """What the model sees. STAC wants it at an asset, the MLM extension at the item."""
    return [{"name": name} for name in card.bands]


def _href(path: Path, folder: Path) -> str:
    relative = Path(os.path.relpath(path.absolute(), folder)).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"
