"""``uvsam models``."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uvsam.cli.commands import Answer, Group
from uvsam.cli.console import print_pairs, progress_display
from uvsam.cli.params import ModelName

if TYPE_CHECKING:
    from uvsam.catalog import GeneralistCard, ModelCard, Quality


@click.group("models", cls=Group, invoke_without_command=True)
@click.pass_context
def command(context: click.Context) -> Answer | None:
    """List the models, show their cards, fetch published weights.

    Specialists find villages; generalists (Segment Anything) sharpen outlines. Fetched weights go to your cache folder,
    or to the folder that the environment variable UVSAM_CACHE names.

    \b
    Examples:
      uvsam models
      uvsam models show uvsam-tiny
      uvsam models fetch mobile-sam
    """
    return list_of_models() if context.invoked_subcommand is None else None


@command.command("list")
def list_models() -> Answer:
    """List the models, where their weights are, and their licences.

    \b
    Example:
      uvsam models list --json
    """
    return list_of_models()


def list_of_models() -> Answer:
    from uvsam.catalog import list_cards, load_any_card

    cards = [load_any_card(name) for name in [*list_cards("uvsam"), *list_cards(), *list_cards("generalist")]]
    data = [
        {"name": card.name, "task": card.task, "summary": card.summary, "licence": card.licence,
         "weights": place_of_weights(card.name, card)}
        for card in cards
    ]  # fmt: skip

    def show() -> None:
        for card in cards:
            click.echo(f"{card.name}: {card.summary} ({weights_line(card.name, card)}; licence: {card.licence})")

    return Answer({"models": data}, show)


@command.command("show")
@click.argument("name", type=ModelName())
def show(name: str) -> Answer:
    """Show the card of a model.

    NAME is a name, or the path of a card.yaml. A card says what the model was trained on, the licence that follows, its
    resolution and its measured quality.

    \b
    Examples:
      uvsam models show uvsam-tiny
      uvsam models show runs/my-city/my-city.yaml
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
    return Answer(card.model_dump(mode="json"), partial(print_pairs, [pair for pair in pairs if pair[1]]))


@command.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, type=ModelName())
def fetch_models(names: tuple[str, ...]) -> Answer:
    """Fetch published weights and print where they are.

    NAME is a name, or the path of a card.yaml. What is here already is not fetched again; a download that was
    interrupted goes on where it stopped.

    \b
    Example:
      uvsam models fetch mobile-sam sam-vit-b
    """
    from uvsam.catalog import load_any_card, named_cache
    from uvsam.catalog.download import fetch

    files = []
    for name, card in [(name, load_any_card(name)) for name in names]:
        if card.weights is not None:
            files.append(verified(name))
            continue
        with progress_display() as progress:
            files.append(fetch(card, named_cache(), progress))
    return Answer({"files": files}, lambda: click.echo("\n".join(map(str, files))))


@command.command("verify")
@click.argument("names", metavar="[NAME...]", nargs=-1, type=ModelName())
def verify(names: tuple[str, ...]) -> Answer:
    """Compare weights with the sha256 of their cards.

    NAME is a name, or the path of a card.yaml; without one, all weights that are here are compared.

    \b
    Examples:
      uvsam models verify
      uvsam models verify uvsam-tiny
    """
    from uvsam.catalog import list_cards, named_cache, weights_file
    from uvsam.errors import CatalogError

    data: list[dict[str, str | bool]] = []
    for name in names or [name for name in list_cards(None) if weights_file(name, named_cache()).is_file()]:
        try:
            data.append({"name": name, "right": True, "found": str(verified(name))})
        except CatalogError as error:
            data.append({"name": name, "right": False, "found": str(error)})
    wrong = sum(not model["right"] for model in data)

    def show() -> None:
        for model in data:
            click.echo(f"{model['name']}: " + (f"right ({model['found']})" if model["right"] else str(model["found"])))

    failure = CatalogError(f"{wrong} of {len(data)} models cannot be used as they are") if wrong else None
    return Answer({"models": data}, show, failure)


def verified(name: str) -> Path:
    """Weights of a model of any task, compared with its card."""
    from uvsam.catalog import GeneralistCard, card_path, generalist_weights, load_any_card, named_cache
    from uvsam.catalog.cards import verified_beside

    card = load_any_card(name)
    if isinstance(card, GeneralistCard):
        return generalist_weights(name, named_cache())[1]
    return verified_beside(card_path(name, None), card.weights, card.sha256)


def weights_line(name: str, card: "ModelCard | GeneralistCard") -> str:
    """Where weights are, and how large the file is."""
    found = place_of_weights(name, card)
    if found["place"] == "missing":
        return f"missing: {found['file']}"
    return f"{found['place']}, {found['bytes'] / 1e6:,.0f} MB"


def place_of_weights(name: str, card: "ModelCard | GeneralistCard") -> dict[str, Any]:
    """Where weights are (bundled, fetched, to be fetched, missing), the file, and how large it is."""
    from uvsam.catalog import named_cache, weights_file

    file, source = weights_file(name, named_cache()), card.source if card.weights is None else None
    if file.is_file():
        return {"place": "fetched" if source else "bundled", "file": file, "bytes": file.stat().st_size}
    return {"place": "to be fetched" if source else "missing", "file": file, "bytes": source.bytes if source else None}


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
