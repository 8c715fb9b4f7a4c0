"""Running a Lightning module to its end: checkpoints, resuming, Ctrl-C, and files that are whole or absent."""

import csv
import hashlib
import logging
import signal
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException
from safetensors.torch import save
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from uvsam.catalog.cards import ModelCard, Quality
from uvsam.catalog.generalists import GeneralistCard
from uvsam.errors import OutputError, SettingsError
from uvsam.progress import Progress
from uvsam.raster.writer import claim_temporary
from uvsam.training.averaged import AveragedModule
from uvsam.training.config import TrainingRun
from uvsam.training.precision import gains_from_bf16, keep_slow_convolutions_exact
from uvsam.training.sampling import LabelledSource, MixtureSampler, Request, validation_requests

AnyCard = TypeVar("AnyCard", ModelCard, GeneralistCard)


def start(config: TrainingRun) -> None:
    """Make the output folder, and set threads and seed.

    Raises:
        OutputError: the folder cannot be written to.
    """
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=config.output).close()
    except OSError as error:
        raise OutputError(f"cannot write into folder {config.output}: {error.strerror}") from error
    if config.threads:
        torch.set_num_threads(config.threads)
    L.seed_everything(config.seed, verbose=False)


def fit(
    module: AveragedModule,
    data: Dataset[dict[str, torch.Tensor]],
    sources: list[LabelledSource],
    config: TrainingRun,
    *,
    sampler: Sampler[Request] | None = None,
    resume: bool,
    progress: Progress,
) -> dict[str, float]:
    """Train, keeping a checkpoint every epoch.

    Args:
        data: samples by request.
        sampler: which samples; default: around random places, villages and others.
        resume: go on from the last checkpoint in ``config.output``, if there is one.

    Returns:
        What was measured on held-out ground in the end; empty where none is held out.

    Raises:
        SettingsError: the checkpoint is of another network.
    """  # fmt: skip
    requests = validation_requests(sources, config)
    loader = DataLoader(
        data, config.batch, sampler=sampler or MixtureSampler(sources, config), num_workers=config.workers,
        drop_last=True, persistent_workers=config.workers > 0,
    )  # fmt: skip
    validation = DataLoader(data, config.batch, sampler=requests, num_workers=config.workers) if requests else None
    warnings.filterwarnings("ignore", module="lightning")  # advice to programmers, not to users
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    last = config.output / "last.ckpt"
    checkpoint = last if resume and last.is_file() else None
    logger = _logger(config.output, _resumed_step(checkpoint, module) if checkpoint else 0)
    bf16 = config.precision == "bf16" or (config.precision == "auto" and gains_from_bf16())
    if bf16 and not torch.cuda.is_available():
        keep_slow_convolutions_exact(module.network)
    trainer = _trainer(config, logger, progress, bf16=bf16, validates=bool(requests))
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader, validation, ckpt_path=checkpoint, weights_only=True)
    except SIGTERMException:
        signal.raise_signal(signal.SIGTERM)  # Lightning kept it to itself; now it is the turn of the handler before
        raise
    except SystemExit as stop:  # Lightning's answer to Ctrl-C, after which it is deaf to the next one
        signal.signal(signal.SIGINT, on_interrupt)
        raise (stop.__context__ or KeyboardInterrupt()) from None
    # the last weights, not those of the last epoch that was validated
    measured = trainer.validate(module, validation, verbose=False)[0] if validation is not None else {}
    return {name: float(value) for name, value in measured.items()}


def _resumed_step(path: Path, module: AveragedModule) -> int:
    """The step of a checkpoint to go on from. One of another network is what a changed setting leaves."""
    advice = "start over with --restart, or give another --output"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        state = saved["state_dict"]
    except (RuntimeError, EOFError, KeyError, OSError, UnpicklingError) as error:
        raise SettingsError(f"checkpoint {path} is damaged; {advice}") from error
    wanted = module.state_dict()
    if state.keys() != wanted.keys() or any(state[name].shape != value.shape for name, value in wanted.items()):
        raise SettingsError(f"checkpoint {path} is of another network; {advice}")
    return int(saved["global_step"])


def _logger(folder: Path, step: int) -> CSVLogger:
    """Logs to ``metrics.csv``. Rows of steps that are not done again stay; Lightning alone would drop all."""
    path = folder / "metrics.csv"
    last = step + 1  # where the measurement at the end of a run stands
    before: list[dict[str, Any]] = []
    if step and path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            before = [row for row in csv.DictReader(file) if int(row["step"]) <= last]
    logger = CSVLogger(folder, name=None, version="")
    for row in before:
        logger.log_metrics({name: value for name, value in row.items() if value and name != "step"}, int(row["step"]))
    logger.save()
    return logger


def _trainer(config: TrainingRun, logger: CSVLogger, progress: Progress, *, bf16: bool, validates: bool) -> L.Trainer:
    return L.Trainer(
        max_steps=config.steps,
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if bf16 else "32-true",
        gradient_clip_val=1.0,
        limit_val_batches=1.0 if validates else 0,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=5,
        log_every_n_steps=20,
        logger=logger,
        callbacks=[
            ModelCheckpoint(
                config.output,
                filename="last",
                enable_version_counter=False,
                every_n_epochs=1,
                save_on_train_epoch_end=True,
            ),
            _Report(progress),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


class _Report(Callback):
    """Hands Lightning's steps to our progress."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_start(self, trainer: L.Trainer, *args: object) -> None:
        self.progress("training", trainer.global_step, int(trainer.max_steps))

    def on_train_batch_end(self, trainer: L.Trainer, *args: object, **kwargs: object) -> None:
        self.progress("training", trainer.global_step, int(trainer.max_steps))


def half_precision(network: nn.Module) -> tuple[bytes, str]:
    """Weights of a network in float16 as a safetensors file, and its sha256."""
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    content = save(state, metadata={"format": "pt"})  # one entry: their order is random, and with it the sha256
    return content, hashlib.sha256(content).hexdigest()


def write_file(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it into place."""
    part = claim_temporary(path)
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def export_model(network: nn.Module, card: AnyCard, folder: Path, quality: Sequence[Quality]) -> Path:
    """Write weights in float16 and the card that describes them; the path of the card.

    Raises:
        OutputError: they cannot be written; what was there before stays.
    """
    content, sha256 = half_precision(network)
    card = card.model_copy(update={"sha256": sha256, "quality": tuple(quality)})
    path = folder / f"{card.name}.yaml"
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_file(folder / str(card.weights), content)
    write_file(path, text.encode("utf-8"))
    return path
