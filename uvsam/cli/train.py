"""``uvsam train``: models from the user's own images and labels."""

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from uvsam.addresses import without_secrets
from uvsam.cli.commands import Answer, Command
from uvsam.cli.console import progress_display, say

if TYPE_CHECKING:
    from uvsam.training.survey import LabelSurvey

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
    training = load_training(SpecialistTraining, config, chosen)
    path, surveys = _train(train_specialist, training, resume)
    card = load_card(path)
    return _answer(card, path, [_threshold_line(card)], surveys, _use(training, "--model", path))


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

    training = load_training(GeneralistTraining, config, _chosen(given))
    card, surveys = _train(train_generalist, training, resume)
    return _answer(load_generalist_card(card), card, [], surveys, _use(training, "--sam", card))


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
    trained, surveys = _train(partial(train_uvsam, cache=named_cache()), training, resume)
    card = load_uvsam_card(trained.card)
    counts, lines = {}, []
    if training.augmentation.views_only:
        counts = {"embeddings_computed": trained.embeddings_computed, "embeddings_reused": trained.embeddings_reused}
        lines = [f"embeddings: {trained.embeddings_computed} computed, {trained.embeddings_reused} reused"]
    return _answer(card, trained.card, lines, surveys, _use(training, "--model", trained.card), counts)


def _answer(
    card: Any,
    path: Path,
    lines: Sequence[str],
    surveys: Sequence["LabelSurvey"],
    use: str,
    counts: Mapping[str, int] | None = None,
) -> Answer:
    """What was measured, and what to do next."""
    data = {
        "card": path, "quality": [quality.model_dump() for quality in card.quality],
        "sources": [survey.as_data() for survey in surveys], "next": use, **(counts or {}),
    }  # fmt: skip
    measured = [f"{quality.measure}: {quality.value:.3f} ({quality.tested_on})" for quality in card.quality]
    told = [*measured, *lines, f"model: {path}", f"use it: {use}"]
    return Answer(data, lambda: click.echo("\n".join(told)))


def _threshold_line(card: Any) -> str:
    if not card.quality:
        how = "not measured, as no ground was held out (validation.share)"
    elif max(quality.value for quality in card.quality) > 0:
        how = "the best on held-out ground; predict takes it from the card"
    else:
        how = "not measured, as no village was found on held-out ground; train longer, or hold out other blocks (seed)"
    return f"threshold: {card.calibration.threshold:g}, {how}"


def _use(training: Any, option: str, card: Path) -> str:
    """A command that uses the model, on an image that it was trained on, where there is one."""
    from uvsam.training.data import rasters_in

    image = next(iter(rasters_in(training.sources[0].images)), training.sources[0].images)
    return shlex.join(["uvsam", "predict", without_secrets(str(image)), option, str(card), "--out", "villages.gpkg"])


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _train(train: Callable[..., Result], training: Any, resume: bool) -> tuple[Result, list["LabelSurvey"]]:
    """Train with the user's command in the card, and with its progress on the terminal; what the labels say is told
    before."""
    surveys: list[LabelSurvey] = []

    def tell(found: Sequence["LabelSurvey"]) -> None:
        surveys.extend(found)
        for line in _survey_lines(found):
            say(line)

    command = without_secrets(shlex.join(["uvsam", *sys.argv[1:]]))
    with progress_display() as progress:
        return train(training, resume=resume, command=command, progress=progress, tell=tell), surveys


def _survey_lines(surveys: Sequence["LabelSurvey"]) -> list[str]:
    """A table of the sources in lines of text."""
    rows = [("source", "images", "labelled", "village", "label values (share of the ground)", "not found")]
    for survey in surveys:
        values = ", ".join(f"{value} ({share:.1%})" for value, share in survey.values.items())
        village = "" if survey.village_share is None else f"{survey.village_share:.1%}"
        lost = ", ".join(map(str, survey.not_found)) or "-"
        rows.append((survey.name, str(survey.images), f"{survey.labelled_km2:.3g} km2", village, values, lost))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
