"""What all our Lightning modules share: averaged weights, the optimiser and its schedule."""

import math
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from uvsam.training.config import TrainingRun


class AveragedModule(L.LightningModule):
    """Trains ``network`` and keeps an average of its weights, which is what is measured and kept in the end.

    Args:
        network: the module to train; parameters that need no gradient stay as they are.
        config: the run.
    """

    def __init__(self, network: nn.Module, config: TrainingRun) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.average = AveragedModel(network, avg_fn=self._average, use_buffers=True)
        self.run = config

    def _average(self, average: Tensor, current: Tensor, seen: Tensor | int) -> Tensor:
        """Exponential moving average that forgets the start of training."""
        decay = min(self.run.average_decay, (1 + float(seen)) / (10 + float(seen)))
        return average + (1 - decay) * (current - average) if current.is_floating_point() else current

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """What chance decides in a step, as in dropout, depends on the seed and the step alone: a run that was stopped
        goes on as it would have."""
        drawn = np.random.SeedSequence([self.run.seed, self.global_step]).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0]))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the epoch that follows. A checkpoint is made before Lightning has counted its epoch as done, so it
        would begin with a short one, and from there on with other samples than without a stop."""
        loop = checkpoint["loops"]["fit_loop"]
        epochs = checkpoint["global_step"] // self.run.steps_per_epoch
        for counts in loop["epoch_progress"].values():
            counts.update(dict.fromkeys(counts, epochs))
        for name in ("batch_progress", "scheduler_progress"):
            counts = loop[f"epoch_loop.{name}"]["current"]
            counts.update(dict.fromkeys(counts, 0))
        loop["epoch_loop.batch_progress"]["is_last_batch"] = False

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.average.update_parameters(self.network)

    def configure_optimizers(self) -> Any:
        groups = []
        for part, rate in self.parts():
            trained = [parameter for parameter in part.parameters() if parameter.requires_grad]
            decayed = [parameter for parameter in trained if parameter.ndim > 1]
            others = [parameter for parameter in trained if parameter.ndim <= 1]
            for parameters, decay in ((decayed, self.run.weight_decay), (others, 0.0)):
                groups.append({"params": parameters, "weight_decay": decay, "lr": rate * self.run.learning_rate})
        optimiser = torch.optim.AdamW(groups)
        # a function of the step alone, so that a stopped run can go on with another number of steps
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def parts(self) -> list[tuple[nn.Module, float]]:
        """What is trained, and at which share of the learning rate."""
        return [(self.network, 1.0)]

    def _rate(self, step: int) -> float:
        """Linear warm-up over 15 % of the steps, then a cosine to 1 % of the learning rate."""
        warm = max(1, round(0.15 * self.run.steps))
        if step < warm:
            return (step + 1) / warm
        done = min(1.0, (step - warm) / max(1, self.run.steps - warm))
        return 0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2
