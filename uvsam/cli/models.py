"""``uvsam models``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from uvsam.cli.console import print_pairs, progress_display
from uvsam.cli.main import with_verbosity

if TYPE_CHECKING:
    from uvsam.catalog import GeneralistCard, ModelCard, Quality


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> None:
    """List the models, show their cards, fetch published weights.

    Specialists find villages; generalists (Segment Anything) sharpen outlines. Fetched weights go to your cache folder,
    or to the folder that the environment variable UVSAM_CACHE names.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_models)


def cache_folder() -> Path | None:
    """Folder of fetched weights that the user names, if they do."""
    named = os.environ.get("UVSAM_CACHE")
    return Path(named) if named else None


@with_verbosity
@command.command("list")
def list_models() -> None:
    """List the models, where their weights are, and their licences."""
    from uvsam.catalog import list_cards, load_any_card

    for name in [*list_cards("uvsam"), *list_cards(), *list_cards("generalist")]:
        card = load_any_card(name)
        click.echo(f"{card.name}: {card.summary} ({weights_line(name, card)}; licence: {card.licence})")


@with_verbosity
@command.command("show")
@click.argument("name")
def show(name: str) -> None:
    """Show the card of a model.

    NAME is a name, or the path of a card.yaml. A card says what the model was trained on, the licence that follows, its
    resolution and its measured quality.
    """
    from uvsam.catalog import GeneralistCard, load_any_card

    card = load_any_card(name)
    own = generalist_pairs(card) if isinstance(card, GeneralistCard) else specialist_pairs(card)
    pairs = [
        ("model", card.name),
        ("what", card.summary),
        *own,
        ("weights", weights_line(name, card)),
        ("licence", card.licence),
        *(("trained on", source) for source in card.trained_on),
        *(("quality", line) for line in quality_lines(card.quality)),
        *(("limit", limit) for limit in card.limits),
    ]
    print_pairs([(field, value) for field, value in pairs if value])


@with_verbosity
@command.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def fetch_models(names: tuple[str, ...]) -> None:
    """Fetch published weights and print where they are.

    NAME is a name, or the path of a card.yaml. What is here already is not fetched again; a download that was
    interrupted goes on where it stopped.
    """
    from uvsam.catalog import load_any_card
    from uvsam.catalog.download import fetch

    for name, card in [(name, load_any_card(name)) for name in names]:
        if card.weights is not None:
            click.echo(verified(name))
            continue
        with progress_display() as progress:
            path = fetch(card, cache_folder(), progress)
        click.echo(path)


@with_verbosity
@command.command("verify")
@click.argument("names", metavar="[NAME...]", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Compare weights with the sha256 of their cards.

    NAME is a name, or the path of a card.yaml; without one, all weights that are here are compared.
    """
    from uvsam.catalog import list_cards, weights_file
    from uvsam.errors import CatalogError

    wrong = 0
    checked = names or [name for name in list_cards(None) if weights_file(name, cache_folder()).is_file()]
    for name in checked:
        try:
            click.echo(f"{name}: right ({verified(name)})")
        except CatalogError as error:
            wrong += 1
            click.echo(f"{name}: {error}")
    if wrong:
        raise CatalogError(f"{wrong} of {len(checked)} models cannot be used as they are")


def verified(name: str) -> Path:
    """Weights of a model of any task, compared with its card."""
    from uvsam.catalog import GeneralistCard, card_path, generalist_weights, load_any_card
    from uvsam.catalog.cards import verified_beside

    card = load_any_card(name)
    if isinstance(card, GeneralistCard):
        return generalist_weights(name, cache_folder())[1]
    return verified_beside(card_path(name, None), card.weights, card.sha256)


def weights_line(name: str, card: "ModelCard | GeneralistCard") -> str:
    """Where weights are, and how large the file is."""
    from uvsam.catalog import weights_file

    file, here = weights_file(name, cache_folder()), "bundled"
    if card.weights is None and card.source is not None:
        here = "fetched"
        if not file.is_file():
            return f"to be fetched, {card.source.bytes / 1e6:,.0f} MB"
    return f"{here}, {file.stat().st_size / 1e6:,.0f} MB" if file.is_file() else f"missing: {file}"


def specialist_pairs(card: "ModelCard") -> list[tuple[str, str]]:
    """What a model that finds villages has, and the generalist of a whole UV-SAM model."""
    part = getattr(card, "generalist", None)
    sharpened = [] if part is None else [("sharpened by", f"{part.card or part.encoder}, {part.window_m:g} m a side")]
    return [
        ("network", f"{card.network.arch} over {card.network.encoder}"),
        ("resolution", f"{card.gsd_m:g} m per pixel"),
        ("threshold", f"{card.calibration.threshold:g}, seeds {card.calibration.seed_threshold:g}"),
        ("outlines", f"from {card.outline.min_area_m2:g} m², lanes up to {card.outline.close_m:g} m bridged"),
        *sharpened,
        ("sha256", card.sha256),
    ]


def generalist_pairs(card: "GeneralistCard") -> list[tuple[str, str]]:
    """What only a generalist has."""
    pairs = [("encoder", card.encoder), ("window", f"{card.window_m:g} m a side"), ("cite", card.citation)]
    if card.source is None:
        return [*pairs, ("sha256", card.sha256 or "")]
    source = card.source
    return [*pairs, ("from", source.url), ("sha256", source.sha256), ("stated by", source.sha256_from)]


def quality_lines(quality: "Sequence[Quality]") -> list[str]:
    """Each measure once, and below it its values and where they were measured."""
    lines = []
    for measure in dict.fromkeys(found.measure for found in quality):
        lines.append(measure)
        lines += [f"  {found.value:.3f}  {found.tested_on}" for found in quality if found.measure == measure]
    return lines
