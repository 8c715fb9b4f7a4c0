"""``uvsam models``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from uvsam.cli.console import print_pairs

if TYPE_CHECKING:
    from uvsam.catalog.cards import Quality


@click.command("models")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """List the bundled models, or show the card of model NAME (a name, or the path of a card.yaml).

    A card says what the model was trained on, the licence that follows, its resolution and its measured quality.
    """
    from uvsam.catalog import list_cards, load_card

    if name is None:
        cards = [load_card(known) for known in list_cards()]
        if not cards:
            click.echo("No model is bundled with this installation; give predict the path of a card with --model.")
        for card in cards:
            click.echo(f"{card.name}: {card.summary} ({card.gsd_m:g} m per pixel; licence: {card.licence})")
        return
    card = load_card(name)
    print_pairs(
        [
            ("model", card.name),
            ("what", card.summary),
            ("network", f"{card.network.arch} over {card.network.encoder}"),
            ("resolution", f"{card.gsd_m:g} m per pixel"),
            ("threshold", f"{card.calibration.threshold:g}, seeds {card.calibration.seed_threshold:g}"),
            ("outlines", f"from {card.outline.min_area_m2:g} m², lanes up to {card.outline.close_m:g} m bridged"),
            ("licence", card.licence),
            *(("trained on", source) for source in card.trained_on),
            *(("quality", line) for line in quality_lines(card.quality)),
            *(("limit", limit) for limit in card.limits),
            ("sha256", card.sha256),
        ]
    )


def quality_lines(quality: "Sequence[Quality]") -> list[str]:
    """Each measure once, and below it its values and where they were measured."""
    lines = []
    for measure in dict.fromkeys(found.measure for found in quality):
        lines.append(measure)
        lines += [f"  {found.value:.3f}  {found.tested_on}" for found in quality if found.measure == measure]
    return lines
