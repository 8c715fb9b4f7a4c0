"""``uvsam train``: models from the user's own images and labels."""

import shlex
import sys
from pathlib import Path

import click

from uvsam.cli.console import progress_display


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder for checkpoints and the result [default: as in CONFIG]."
)
@click.option("--steps", type=click.IntRange(min=1), help="Optimiser steps [default: as in CONFIG].")
@click.option(
    "--resume/--restart", default=True, show_default=True, help="Go on from the last checkpoint, or start over."
)
def specialist(config: Path, output: Path | None, steps: int | None, resume: bool) -> None:
    """Train a specialist as CONFIG (YAML) says; see configs/train/ for examples.

    Stop it with Ctrl-C and run the same command again: it goes on from the last epoch it completed.
    """
    from uvsam.training.config import SpecialistTraining, load_training
    from uvsam.workflows.train import train_specialist

    given = {"output": output, "steps": steps}
    training = load_training(
        SpecialistTraining, config, {name: value for name, value in given.items() if value is not None}
    )
    made_by = shlex.join(["uvsam", *sys.argv[1:]])
    with progress_display() as progress:
        card = train_specialist(training, resume=resume, command=made_by, progress=progress)
    click.echo(f"model: {card}")
    click.echo(f"use it: uvsam predict IMAGE --model {card} --out villages.gpkg")
