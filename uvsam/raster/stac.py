"""STAC items: the files, bands and date of an image that is described by one.

An item is what somebody else wrote. It may name files of the kinds that hold imagery and nothing else, here or over
http, https, s3, gs and az; one from the network may not name files of this machine.
"""

import datetime
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import unquote, urljoin, urlsplit

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, ValidationError, field_validator

from uvsam.addresses import without_secrets
from uvsam.errors import SceneError, SettingsError
from uvsam.raster.acquired import is_likely

MEDIA_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/jp2")
SUFFIXES = {".tif", ".tiff", ".jp2"}
JSON = {".json", ".geojson"}
SCHEMES = {"http", "https", "s3", "gs", "az"}
NOT_FOR_MAPS = {"thumbnail", "overview", "metadata", "data-mask"}
COMMON_KEYS = ("image", "rgb", "data")
RGB = ("red", "green", "blue")
LARGEST_BYTES = 64 * 2**20
TIMEOUT_S = (10.0, 60.0)
ONE_DAY = datetime.timedelta(days=1)


class Described(NamedTuple):
    """An image that an item tells of.

    Attributes:
        name: of the item, for messages.
        uris: one raster, or those of red, green and blue.
        drivers: their formats, by the names of GDAL; none that would name other files to be read.
        bands: 1-based red, green, blue of the one raster; None where the item does not say.
        days: first and last day on which it was taken; None where the item does not say.
        gsd_m: what the item says of it.
    """

    name: str
    uris: tuple[str, ...]
    drivers: tuple[str, ...]
    bands: tuple[int, int, int] | None
    days: tuple[datetime.date, datetime.date] | None
    gsd_m: float | None


class Band(BaseModel):
    common_name: str | None = Field(None, validation_alias=AliasChoices("common_name", "eo:common_name"))


class Asset(BaseModel):
    href: str = Field(min_length=1)
    type: str | None = None
    roles: list[str] | None = None
    bands: list[Band] = Field([], validation_alias=AliasChoices("eo:bands", "bands"))
    gsd: float | None = None

    @field_validator("href")
    @classmethod
    def _check_href(cls, href: str) -> str:
        if not href.isprintable():
            raise ValueError("has characters that no address has")
        urlsplit(href)
        return href

    @property
    def rgb(self) -> tuple[int, int, int] | None:
        """1-based numbers of its red, green and blue band."""
        names = [band.common_name for band in self.bands]
        if not set(RGB) <= set(names):
            return None
        red, green, blue = (names.index(colour) + 1 for colour in RGB)
        return red, green, blue

    @property
    def suffix(self) -> str:
        return PurePosixPath(urlsplit(self.href).path).suffix.lower()

    @property
    def driver(self) -> str:
        jpeg = self.type.lower().startswith("image/jp2") if self.type else self.suffix == ".jp2"
        return "JP2OpenJPEG" if jpeg else "GTiff"

    @property
    def is_image(self) -> bool:
        known = self.type.lower().startswith(MEDIA_TYPES) if self.type else self.suffix in SUFFIXES
        return known and not NOT_FOR_MAPS & set(self.roles or ())


def _aware(time: datetime.datetime) -> datetime.datetime:
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)  # what STAC asks for, and some leave out


Time = Annotated[datetime.datetime, AfterValidator(_aware)]


class Properties(BaseModel):
    datetime: Time | None = None
    start_datetime: Time | None = None
    end_datetime: Time | None = None
    gsd: float | None = None


class Item(BaseModel):
    """The fields of a STAC item that an image needs; whatever else there is stays unread."""

    type: Literal["Feature"]
    stac_version: str
    id: str
    properties: Properties
    assets: dict[str, Asset]


def is_stac(uri: str) -> bool:
    """Whether an input is a STAC document and not a raster, by its name: JSON, or a place of a STAC API."""
    if _is_url(uri):
        path = PurePosixPath(re.split("[?#]", uri)[0])
        of_api = "items" in path.parts or path.name == "search"
        return path.suffix.lower() in JSON or (of_api and path.suffix.lower() not in SUFFIXES)
    return Path(uri).suffix.lower() in JSON


def is_stac_file(path: Path) -> bool:
    """Whether a file of this machine is a STAC document, by what it says: polygons are kept in JSON, too."""
    if path.suffix.lower() not in JSON or not path.is_file() or path.stat().st_size > LARGEST_BYTES:
        return False
    return b'"stac_version"' in path.read_bytes()


def read_items(uri: str, asset: str | None = None) -> list[Described]:
    """The images of an item, an item collection, or a list of them.

    Args:
        uri: path, or http(s) url.
        asset: key of the asset to take, or three of them as ``red,green,blue``. Default: the visual one, else one with
            bands of these names, else three of one band each.

    Raises:
        SceneError: not a STAC item, not to be fetched, no such asset, or an asset that may not be read.
    """
    content, place = _fetched(uri) if _is_url(uri) else (_read(uri), uri)
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SceneError(f"{uri} is not JSON, which a STAC item is") from error
    return [_described(item, place, asset) for item in _items(document, uri)]


def _items(document: Any, uri: str) -> Iterator[Item]:
    if isinstance(document, list):
        for part in document:
            yield from _items(part, uri)
        return
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        links = document.get("links")
        if isinstance(links, list) and any(isinstance(link, dict) and link.get("rel") == "next" for link in links):
            told = f"{without_secrets(uri)} is the first page of several; only its items are looked at"
            warnings.warn(told, stacklevel=2)
        if not document["features"]:
            raise SceneError(f"{uri} has no item")
        for part in document["features"]:
            yield from _items(part, uri)
        return
    if kind in ("Collection", "Catalog"):
        raise SceneError(f"{uri} is a STAC {kind}; give the items in it that are to be looked at")
    try:
        yield Item.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise SceneError(f"{uri} is not a STAC item: {_shown(where)}: {first['msg']}") from error


def _described(item: Item, place: str, asset: str | None) -> Described:
    name = f"item '{_shown(item.id)}' of {without_secrets(place)}"
    keys = _named(item, asset, name) if asset else _chosen(item, name)
    chosen = [item.assets[key] for key in keys]
    uris = tuple(_resolved(one.href, place, name) for one in chosen)
    bands = chosen[0].rgb if len(uris) == 1 else None
    gsd_m = chosen[0].gsd or item.properties.gsd
    return Described(name, uris, tuple(one.driver for one in chosen), bands, _days(item.properties, name), gsd_m)


def _days(told: Properties, name: str) -> tuple[datetime.date, datetime.date] | None:
    """First and last day (UTC) that an item is of."""
    first, last = told.start_datetime or told.datetime, told.end_datetime or told.datetime
    if told.datetime or (first and last and last - first <= ONE_DAY):
        last = first = told.datetime or first
    if not first or not last:
        return None
    days = first.astimezone(datetime.UTC).date(), last.astimezone(datetime.UTC).date()
    if not all(map(is_likely, days)):
        said = f"{name} says that it was taken on {days[1]}, which cannot be; this is not believed"
        warnings.warn(said, stacklevel=4)
        return None
    return days


def _named(item: Item, asset: str, name: str) -> list[str]:
    keys = [asset] if asset in item.assets else asset.split(",")
    for key in keys:
        if key not in item.assets:
            raise SceneError(f"{name} has no asset {key!r}; {_has(item)}")
    if len(keys) not in (1, 3):
        raise SettingsError(f"an image is one asset, or three for red, green and blue, not {asset!r}")
    return keys


def _chosen(item: Item, name: str) -> list[str]:
    """The first of several ways to tell the image that leads to one; GeoTIFF before JPEG 2000."""
    images = {key: asset for key, asset in item.assets.items() if asset.is_image}
    whole = {key: asset for key, asset in images.items() if len(asset.bands) not in (1, 2)}
    ways: list[list[list[str]]] = [
        [[key] for key in whole if key.lower() == "visual"],
        [[key] for key, asset in whole.items() if "visual" in (asset.roles or ())],
        [[key] for key, asset in whole.items() if asset.rgb],
        _separate(images),
        [[key] for key in whole if key.lower() in COMMON_KEYS],
        [[key] for key in whole],
    ]
    found: list[list[str]] = next(filter(None, ways), [])
    found = [keys for keys in found if all(images[key].driver == "GTiff" for key in keys)] or found
    if len(found) != 1:
        raise SceneError(f"which asset of {name} is the image is not clear; choose with --asset: {_has(item)}")
    return found[0]


def _separate(images: Mapping[str, Asset]) -> list[list[str]]:
    """The keys of red, green and blue, where each is an asset of its own and there is one of each."""
    keys = []
    for colour in RGB:
        of_colour = [key for key, asset in images.items() if [band.common_name for band in asset.bands] == [colour]]
        by_key = [key for key in images if key.lower() == colour]
        if len(of_colour) != 1 and by_key:
            of_colour = by_key
        of_colour = [key for key in of_colour if images[key].driver == "GTiff"] or of_colour
        keys += of_colour if len(of_colour) == 1 else []
    return [keys] if len(keys) == len(RGB) else []


def _has(item: Item) -> str:
    names = [_shown(key) for key in list(item.assets)[:20]]
    return f"it has {', '.join(names)}{', ...' if len(item.assets) > 20 else ''}" if names else "it has no assets"


def _shown(text: str) -> str:
    """What an item says, fit for a message."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:80])


def _resolved(href: str, place: str, name: str) -> str:
    """Where an asset lies, as a uri that GDAL takes for nothing else than a file there."""
    scheme = urlsplit(href).scheme.lower()
    if scheme in SCHEMES:
        return href
    if _is_url(place):
        if scheme or href.startswith(("/", "\\")):
            raise SceneError(
                f"{name} names {_shown(href)}, which is not on the network; an item from there must not do this"
            )
        return urljoin(place, href)
    if scheme not in ("", "file"):
        raise SceneError(f"{name} names {_shown(href)}; only files and {', '.join(sorted(SCHEMES))} are read")
    path = Path(os.path.normpath(Path(place).absolute().parent / (unquote(urlsplit(href).path) if scheme else href)))
    if path.parts[1].startswith("vsi"):
        raise SceneError(f"{name} names {_shown(href)}, which is no file for GDAL")
    return str(path)


def _is_url(uri: str) -> bool:
    return re.match("https?://", uri, re.IGNORECASE) is not None


def _read(path: str) -> bytes:
    try:
        if Path(path).stat().st_size > LARGEST_BYTES:
            raise SceneError(f"{path} is too large for a STAC item; give the items in it that are to be looked at")
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise SceneError(f"{path} does not exist") from error
    except SceneError:
        raise
    except OSError as error:
        raise SceneError(f"cannot read {path}: {error.strerror}") from error


def _fetched(url: str) -> tuple[bytes, str]:
    """What is there, and where that is after redirections."""
    import requests  # only for those who need it

    try:
        with requests.get(url, timeout=TIMEOUT_S, stream=True) as response:
            if not response.ok:
                raise SceneError(f"cannot fetch {url}: {response.status_code} {response.reason}")
            content = b""
            for piece in response.iter_content(1 << 16):
                content += piece
                if len(content) > LARGEST_BYTES:
                    raise SceneError(f"{url} is too large for a STAC item; give an address with fewer items")
            return content, response.url
    except requests.RequestException as error:
        why = "no answer" if isinstance(error, requests.Timeout) else "no connection"
        raise SceneError(f"cannot fetch {url}: {why}") from error
