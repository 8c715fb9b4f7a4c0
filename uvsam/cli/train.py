"""``uvsam train``: models from the user's own images and labels."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from uvsam.cli.console import progress_display

Result = TypeVar("Result")


def _shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """CONFIG and the options that every kind of training has."""
    for decorate in (
        click.option(
            "--resume/--restart", default=True, show_default=True, help="Go on from the last checkpoint, or start over."
        ),
        click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps [default: as in CONFIG]."),
        click.option(
            "--output", type=click.Path(path_type=Path),
            help="Folder for checkpoints and the result [default: as in CONFIG].",
        ),
        click.argument("config", type=click.Path(path_type=Path)),
    ):  # fmt: skip
        command = decorate(command)
    return command


@click.command()
@_shared_options
def specialist(config: Path, resume: bool, **given: Any) -> None:
    """Train a specialist as CONFIG (YAML) says; see configs/train/ for examples.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.
    """
    from uvsam.training.config import SpecialistTraining, load_training
    from uvsam.workflows.train import train_specialist

    card = _train(train_specialist, load_training(SpecialistTraining, config, _chosen(given)), resume)
    click.echo(f"model: {card}")
    click.echo(f"use it: uvsam predict IMAGE --model {card} --out villages.gpkg")


@click.command()
@_shared_options
def generalist(config: Path, resume: bool, **given: Any) -> None:
    """Train a small generalist (image, box and rough mask to mask) as CONFIG (YAML) says; see configs/train/.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.
    """
    from uvsam.training.config import GeneralistTraining, load_training
    from uvsam.workflows.train import train_generalist

    card = _train(train_generalist, load_training(GeneralistTraining, config, _chosen(given)), resume)
    click.echo(f"model: {card}")


@click.command()
@_shared_options
def uvsam(config: Path, resume: bool, **given: Any) -> None:
    """Train a specialist and a prompt mixer through a frozen generalist as CONFIG (YAML) says; see configs/train/.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.
    """
    from uvsam.catalog.uvsam import load_uvsam_card
    from uvsam.cli.models import cache_folder
    from uvsam.training.config import UvSamTraining, load_training
    from uvsam.workflows.train import train_uvsam

    training = load_training(UvSamTraining, config, _chosen(given))
    trained = _train(partial(train_uvsam, cache=cache_folder()), training, resume)
    if training.augmentation.views_only:
        click.echo(f"embeddings: {trained.embeddings_computed} computed, {trained.embeddings_reused} reused")
    for quality in load_uvsam_card(trained.card).quality:
        click.echo(f"{quality.measure}: {quality.value:.3f} ({quality.tested_on})")
    click.echo(f"model: {trained.card}")


def _chosen(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _train(train: Callable[..., Result], training: Any, resume: bool) -> Result:
    """Train with the user's command in the card, and with its progress on the terminal."""
    with progress_display() as progress:
        return train(training, resume=resume, command=shlex.join(["uvsam", *sys.argv[1:]]), progress=progress)
