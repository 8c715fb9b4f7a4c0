"""Fetched weights on this machine: where they lie, and whether they are what their cards say."""

import os
import warnings
from pathlib import Path

import platformdirs

from uvsam.catalog.cards import card_path, file_sha256, verified_beside
from uvsam.catalog.generalists import (
    CHECKPOINT_SUFFIXES,
    GeneralistCard,
    Source,
    load_generalist_card,
)
from uvsam.catalog.ownership import exposed
from uvsam.catalog.uvsam import load_any_card
from uvsam.errors import CatalogError


def named_cache() -> Path | None:
    """Folder of fetched weights that the user names in ``UVSAM_CACHE``, if they do."""
    named = os.environ.get("UVSAM_CACHE")
    return Path(named) if named else None


def cache_path(card: GeneralistCard, cache: Path | None = None) -> Path:
    """Where the weights of ``card`` lie, or will lie once they are fetched.

    The name holds the start of their sha256: another file under the same name of a model is another file here.

    Args:
        cache: folder of fetched weights; default: the user's cache folder.

    Raises:
        CatalogError: the weights come with the card.
    """
    source = source_of(card)
    folder = cache or platformdirs.user_cache_path("uvsam") / "models"
    return folder / f"{card.name}-{source.sha256[:8]}{source.suffix}"


def compiled_folder(cache: Path | None = None) -> Path | None:
    """Where networks are kept as OpenVINO reads them; see ``models.kept``.

    Nothing says what such a network should be, as a card does of weights. So it is a folder that no other user can
    write into: that of ``cache``, else the user's own, else none. Warns where it is not the first.
    """
    own = platformdirs.user_cache_path("uvsam") / "compiled"
    wanted = cache / "compiled" if cache else own
    reason = exposed(wanted)
    if reason is None:
        return wanted
    found = own if exposed(own) is None else None
    instead = f"kept in {found}" if found else "not kept, which costs some seconds at each start"
    warnings.warn(f"{reason}; compiled networks are {instead}", stacklevel=2)
    return found


def source_of(card: GeneralistCard) -> Source:
    """Where the weights of ``card`` can be fetched.

    Raises:
        CatalogError: they come with the card.
    """
    if card.source is None:
        raise CatalogError(f"the weights of '{card.name}' come with its card; there is nothing to fetch")
    return card.source


def is_whole(path: Path, source: Source) -> bool:
    """Whether ``path`` is the file that ``source`` describes, by size and sha256."""
    return path.is_file() and source.fits(path.stat().st_size) and file_sha256(path) == source.sha256


def cached_weights(card: GeneralistCard, cache: Path | None = None, *, called: str | Path | None = None) -> Path:
    """Path of fetched weights, after comparing size and sha256 with the card. Never looks at the network.

    Args:
        cache: folder of fetched weights; default: the user's cache folder.
        called: what the user called the model, for the message; default: its name.

    Raises:
        CatalogError: they were not fetched, or the file is not the one the card speaks of; says how to get them.
    """
    path, source = cache_path(card, cache), source_of(card)
    command = f"uvsam models fetch {called or card.name}"
    if not path.is_file():
        size = f"{source.bytes / 1e6:,.0f} MB"
        raise CatalogError(
            f"the weights of '{card.name}' are not here; get them ({size}): {command}; "
            f"without a network, get {source.url} another way and save it as {path}"
        )
    if not is_whole(path, source):
        raise CatalogError(f"{path} is damaged or another file; get it again: {command}")
    return path


def weights_file(name_or_path: str | Path, cache: Path | None = None) -> Path:
    """Where the weights of a model of any task are, or will be once they are fetched; nothing is verified.

    Raises:
        CatalogError: no such model, or the card is malformed.
    """
    card = load_any_card(name_or_path)
    if card.weights is None:
        return cache_path(card, cache)
    return card_path(name_or_path, None).parent / card.weights


def check_generalist(name_or_path: str | Path, cache: Path | None = None) -> None:
    """Whether there are weights of a generalist, without reading them.

    Raises:
        CatalogError: as :func:`generalist_weights`, but for weights that are not the card's.
    """
    path = Path(name_or_path)
    if not (path if path.suffix in CHECKPOINT_SUFFIXES else weights_file(path, cache)).is_file():
        generalist_weights(name_or_path, cache)  # says what is missing


def generalist_weights(name_or_path: str | Path, cache: Path | None = None) -> tuple[GeneralistCard | None, Path]:
    """Weights of a generalist, and its card where it has one.

    Args:
        name_or_path: name of a model of the catalogue, path of a card.yaml, or path of a checkpoint (without a card).
        cache: folder of fetched weights; default: the user's cache folder.

    Raises:
        CatalogError: there is no such file or model, its weights are not here yet, or are not the card's.
    """
    path = Path(name_or_path)
    if path.suffix in CHECKPOINT_SUFFIXES:
        if not path.is_file():
            raise CatalogError(f"no checkpoint at {path}")
        return None, path
    card = load_generalist_card(name_or_path)
    if card.weights is None or card.sha256 is None:
        return card, cached_weights(card, cache, called=name_or_path)
    return card, verified_beside(card_path(name_or_path), card.weights, card.sha256)
