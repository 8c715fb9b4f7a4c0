"""Where the models of a prediction compute: in threads of this process, in processes, or on a Dask cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch

from uvsam.engine.executors import Run, open_run
from uvsam.engine.work import Elsewhere, Share
from uvsam.models.specialist import Specialist
from uvsam.workflows.loading import Models, ModelsRecipe, choose_runtime
from uvsam.workflows.refining import Asked, is_large

GPU_BATCH = 4


@dataclass(frozen=True)
class Computing:
    """Where a run computes.

    Attributes:
        run: hands tasks to other processes; None is this one.
        strips: hands out what needs no model: to the same, or to threads of this process.
        threads: of this process, for what pixels would have to travel for.
    """

    recipe: ModelsRecipe
    models: Models
    run: Run | None
    strips: Run
    threads: Run

    def tiles(self) -> Share:
        """For pass A."""
        return self._share(self._threads, specialist_of)

    def crops(self) -> Share:
        """For pass B."""
        refiner = self.models.refiner
        threads = 1 if refiner is None or is_large(refiner.generalist) else self._threads
        return self._share(threads, generalist_of)

    @property
    def _on_gpu(self) -> bool:
        return self.models.specialist.device.type != "cpu"

    @property
    def _threads(self) -> int:
        """One for each core; and one more where OpenVINO computes, as it computes in threads of its own, one for each
        core, which would wait while ours prepare and unpack."""
        if self._on_gpu:
            return 1
        cores = torch.get_num_threads()
        compiled = choose_runtime(self.recipe.settings.runtime, "cpu") == "openvino"
        return cores + 1 if compiled and cores > 1 else cores

    def _share(self, threads: int, build: Callable[[ModelsRecipe], Any]) -> Share:
        elsewhere = Elsewhere(self.run, partial(build, self.recipe)) if self.run else None
        return Share(threads, self.recipe.settings.batch or (GPU_BATCH if self._on_gpu else 1), elsewhere)


@contextmanager
def open_computing(
    recipe: ModelsRecipe, models: Models, workers: int | None = None, dask: str | None = None
) -> Iterator[Computing]:
    """Prepare where a run computes.

    Args:
        models: of the recipe, for this process.
        workers: processes of one thread; None: threads of this process, one for each core.
        dask: address of a Dask scheduler.

    Raises:
        SettingsError: nobody answers at ``dask``, or there is no worker.
    """
    with open_run(torch.get_num_threads()) as threads:
        if workers is None and dask is None:
            yield Computing(recipe, models, None, threads, threads)
            return
        with open_run(workers or 1, processes=True, dask=dask, even_one=True) as run:
            yield Computing(recipe, models, run, run, threads)


def specialist_of(recipe: ModelsRecipe) -> Specialist:
    """The specialist, made once in a process."""
    return _models(recipe).specialist


def generalist_of(recipe: ModelsRecipe) -> Asked:
    """The generalist, made once in a process; there is one."""
    refiner = _models(recipe).refiner
    assert refiner is not None
    return Asked(refiner.generalist, refiner.tokens)


@lru_cache(maxsize=1)
def _models(recipe: ModelsRecipe) -> Models:
    return recipe.build()
