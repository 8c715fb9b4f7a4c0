"""Train a specialist and write its weights and card."""

import hashlib
import logging
import os
import platform
import signal
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError

import lightning as L
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from safetensors.torch import save
from torch.utils.data import DataLoader

from uvsam.catalog.cards import ModelCard, Quality
from uvsam.errors import OutputError, SettingsError
from uvsam.models.specialist import build_network
from uvsam.progress import Progress, silent
from uvsam.raster.writer import temporary_name
from uvsam.training.config import SpecialistTraining
from uvsam.training.initial import initialise_encoder
from uvsam.training.sampling import Mixture, MixtureSampler, open_sources, validation_requests
from uvsam.training.specialist import SpecialistModule
from uvsam.training.targets import target_table


def train_specialist(
    config: SpecialistTraining, *, resume: bool = True, command: str = "", progress: Progress = silent
) -> Path:
    """Train, keeping a checkpoint every epoch, and write ``<output>/<name>.yaml`` with its weights beside it.

    Args:
        resume: go on from the last checkpoint in ``config.output``, if there is one.
        command: what the card says the model was made by.

    Returns:
        Path of the card, ready for ``uvsam predict --model``.

    Raises:
        OutputError: the folder cannot be written to.
        LabelError, SceneError: a source cannot be used.
        SettingsError: the checkpoint or the encoder's weights are of another network.
    """
    try:
        config.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=config.output).close()
    except OSError as error:
        raise OutputError(f"cannot write into folder {config.output}: {error.strerror}") from error
    if config.threads:
        torch.set_num_threads(config.threads)
    L.seed_everything(config.seed, verbose=False)

    table = target_table(config.sources, config.classes)
    network = build_network(
        config.network,
        len(config.classes),
        encoder_weights="imagenet" if config.encoder_weights == "imagenet" else None,
    )
    if config.encoder_weights not in {"random", "imagenet"}:
        initialise_encoder(network, config.encoder_weights)
    module = SpecialistModule(network, draft_card(config, command), table, config)

    progress("opening sources", 0, 0)
    sources = open_sources(config, table)
    data = Mixture(sources, config)
    requests = validation_requests(sources, config)
    loader = DataLoader(
        data, config.batch, sampler=MixtureSampler(sources, config), num_workers=config.workers,
        drop_last=True, persistent_workers=config.workers > 0,
    )  # fmt: skip
    validation = DataLoader(data, config.batch, sampler=requests, num_workers=config.workers) if requests else None
    warnings.filterwarnings("ignore", module="lightning")  # advice to programmers, not to users
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = _trainer(config, progress, validates=bool(requests))
    last = config.output / "last.ckpt"
    checkpoint = last if resume and last.is_file() else None
    if checkpoint:
        _check_checkpoint(checkpoint, module)
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader, validation, ckpt_path=checkpoint, weights_only=False)
    except SystemExit as stop:  # Lightning's answer to Ctrl-C, after which it is deaf to the next one
        signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from stop
    # the last weights, not those of the last epoch that was validated
    measured = trainer.validate(module, validation, verbose=False)[0] if validation is not None else {}
    return export(module, config.output, _quality(measured, config, command))


def _check_checkpoint(path: Path, module: SpecialistModule) -> None:
    """Whether training can go on from a checkpoint; that of another network is what a changed setting leaves."""
    advice = "start over with --restart, or give another --output"
    try:
        saved = torch.load(path, map_location="cpu", weights_only=False, mmap=True)["state_dict"]
    except (RuntimeError, EOFError, KeyError, OSError, UnpicklingError) as error:
        raise SettingsError(f"checkpoint {path} is damaged; {advice}") from error
    wanted = module.state_dict()
    if saved.keys() != wanted.keys() or any(saved[name].shape != value.shape for name, value in wanted.items()):
        raise SettingsError(f"checkpoint {path} is of another network; {advice}")


def _quality(measured: Mapping[str, float], config: SpecialistTraining, command: str) -> list[Quality]:
    if "val_iou" not in measured:
        return []
    rule = config.validation
    return [
        Quality(
            measure=f"pixel IoU of the village class at threshold {float(measured['val_threshold']):.2f}",
            tested_on=f"{rule.share:.0%} of the training area, held out in blocks of {rule.block_m:g} m",
            value=round(float(measured["val_iou"]), 4),
            command=command,
        )
    ]


def _trainer(config: SpecialistTraining, progress: Progress, *, validates: bool) -> L.Trainer:
    bf16 = config.precision == "bf16" or (config.precision == "auto" and gains_from_bf16())
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
        logger=CSVLogger(config.output, name=None, version=""),
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

    def on_train_batch_end(self, trainer: L.Trainer, *args: object, **kwargs: object) -> None:
        self.progress("training", trainer.global_step, int(trainer.max_steps))


def gains_from_bf16() -> bool:
    """Whether bfloat16 is faster than float32 here: a recent GPU, or a CPU with AMX or AVX512-BF16.

    On other CPUs bfloat16 is emulated, 7 to 285 times slower than float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.system() != "Linux" or not os.access("/proc/cpuinfo", os.R_OK):
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))


def draft_card(config: SpecialistTraining, command: str) -> ModelCard:
    """The card of a run before its weights exist."""
    return ModelCard(
        name=config.name,
        summary=config.summary,
        network=config.network,
        classes=config.classes,
        gsd_m=config.gsd_m,
        chip_px=config.chip_px,
        halo_px=config.halo_px,
        weights=f"{config.name}.safetensors",
        sha256="0" * 64,
        licence=config.licence,
        trained_on=config.trained_on or tuple(source.name for source in config.sources),
        made_by=command,
        limits=config.limits,
    )


def export(module: SpecialistModule, folder: Path, quality: Sequence[Quality]) -> Path:
    """Write the averaged weights in float16 and the card that describes them.

    Raises:
        OutputError: they cannot be written; what was there before stays.
    """
    weights = folder / module.card.weights
    state = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in module.average.module.state_dict().items()
    }
    content = save(state, metadata={"format": "pt"})  # one entry: their order is random, and with it the sha256
    card = module.card.model_copy(update={"sha256": hashlib.sha256(content).hexdigest(), "quality": tuple(quality)})
    path = folder / f"{card.name}.yaml"
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    _write(weights, content)
    _write(path, text.encode("utf-8"))
    return path


def _write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, then move it into place."""
    part = temporary_name(path)
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
