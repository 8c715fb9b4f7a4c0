"""``uvsam train``: models from the user's own images and labels."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import progress_display

Result = TypeVar("Result")


def _shared_options(*, required: bool = True) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """TRAINING and the options that every kind of training has."""

    def decorate(command: Callable[..., Answer]) -> Callable[..., Answer]:
        for one in (
            click.option(
                "--resume/--restart", default=True, show_default=True,
                help="Go on from the last checkpoint, or start over.",
            ),
            click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps  [default: as in TRAINING]."),
            click.option(
                "--output", type=click.Path(path_type=Path),
                help="Folder for checkpoints and the result  [default: as in TRAINING].",
            ),
            click.argument("config", metavar="TRAINING", type=click.Path(path_type=Path), required=required),
        ):  # fmt: skip
            command = one(command)
        return command

    return decorate


@click.command(cls=Command)
@click.option(
    "--labels", type=click.Path(path_type=Path),
    help="Corrections of `uvsam review`, or outlines of all villages, in place of the sources in TRAINING.",
)  # fmt: skip
@click.option(
    "--image", "images", multiple=True, type=click.Path(path_type=Path),
    help="What the labels are of, a raster or a folder; may be repeated  [default: what was reviewed].",
)  # fmt: skip
@_shared_options(required=False)
def specialist(
    config: Path | None, resume: bool, labels: Path | None, images: tuple[Path, ...], **given: Any
) -> Answer:
    """Train a specialist as the file TRAINING (YAML) says; configs/train/ has examples. With --labels it can be left
    out: the bundled specialist is then trained 300 steps further, into runs/corrected.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.

    \b
    Examples:
      uvsam train specialist my.yaml
      uvsam train specialist my.yaml --steps 500 --restart
      uvsam train specialist --labels review.gpkg
      uvsam train specialist --labels villages.gpkg --image city.tif --output runs/mine
    """
    from uvsam.catalog import load_card
    from uvsam.training.config import SpecialistTraining, from_labels, load_training
    from uvsam.workflows.train import train_specialist

    if labels is None and (images or config is None):
        raise click.UsageError("Give a training file, or labels with --labels.")
    chosen = _chosen(given)
    if labels is not None:
        from uvsam.vectors.corrections import is_review, reviewed_images

        known = images or tuple(reviewed_images(labels) if is_review(labels) else ())
        chosen |= from_labels(labels, known)
    card = _train(train_specialist, load_training(SpecialistTraining, config, chosen), resume)
    use = f"use it: uvsam predict IMAGE --model {card} --out villages.gpkg"
    return _answer(load_card(card), card, [f"model: {card}", use])


@click.command(cls=Command)
@_shared_options()
def generalist(config: Path, resume: bool, **given: Any) -> Answer:
    """Train a small generalist (image, box and rough mask to mask) as the file TRAINING (YAML) says.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.

    \b
    Examples:
      uvsam train generalist my.yaml
      uvsam train generalist my.yaml --steps 500 --restart
    """
    from uvsam.catalog import load_generalist_card
    from uvsam.training.config import GeneralistTraining, load_training
    from uvsam.workflows.train import train_generalist

    card = _train(train_generalist, load_training(GeneralistTraining, config, _chosen(given)), resume)
    return _answer(load_generalist_card(card), card, [f"model: {card}"])


@click.command(cls=Command)
@_shared_options()
def uvsam(config: Path, resume: bool, **given: Any) -> Answer:
    """Train a specialist and a prompt mixer through a frozen generalist as the file TRAINING (YAML) says.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.

    \b
    Examples:
      uvsam train uvsam my.yaml
      uvsam train uvsam my.yaml --steps 500 --restart
    """
    from uvsam.catalog import named_cache
    from uvsam.catalog.uvsam import load_uvsam_card
    from uvsam.training.config import UvSamTraining, load_training
    from uvsam.workflows.train import train_uvsam

    training = load_training(UvSamTraining, config, _chosen(given))
    trained = _train(partial(train_uvsam, cache=named_cache()), training, resume)
    card = load_uvsam_card(trained.card)
    lines = [f"{quality.measure}: {quality.value:.3f} ({quality.tested_on})" for quality in card.quality]
    counts = {}
    if training.augmentation.views_only:
        counts = {"embeddings_computed": trained.embeddings_computed, "embeddings_reused": trained.embeddings_reused}
        lines.insert(0, f"embeddings: {trained.embeddings_computed} computed, {trained.embeddings_reused} reused")
    return _answer(card, trained.card, [*lines, f"model: {trained.card}"], counts)


def _answer(card: Any, path: Path, lines: Sequence[str], counts: Mapping[str, int] | None = None) -> Answer:
    data = {"card": path, "quality": [quality.model_dump() for quality in card.quality], **(counts or {})}
    return Answer(data, lambda: click.echo("\n".join(lines)))


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _train(train: Callable[..., Result], training: Any, resume: bool) -> Result:
    """Train with the user's command in the card, and with its progress on the terminal."""
    with progress_display() as progress:
        return train(training, resume=resume, command=shlex.join(["uvsam", *sys.argv[1:]]), progress=progress)
