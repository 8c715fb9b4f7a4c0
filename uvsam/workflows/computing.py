"""Where the models of a prediction compute: in threads of this process, in processes, or on a Dask cluster.

A process that leaves computing to others builds no model and imports no PyTorch, which takes seconds and a gigabyte.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from uvsam.catalog.cache import compiled_folder
from uvsam.engine.executors import Run, open_run
from uvsam.engine.work import Elsewhere, Share
from uvsam.workflows.recipe import ModelFacts, ModelsRecipe, is_large
from uvsam.workflows.refining import Asked

if TYPE_CHECKING:
    from uvsam.models.specialist import Specialist
    from uvsam.workflows.loading import Models

GPU_BATCH = 4


@dataclass(frozen=True)
class Computing:
    """Where a run computes.

    Attributes:
        models: of this process; None where others compute.
        strips: hands tasks to these others, or to threads of this process what needs no model.
        threads: of this process, for what pixels would have to travel for.
        cores: of this process.
    """

    recipe: ModelsRecipe
    facts: ModelFacts
    models: "Models | None"
    strips: Run
    threads: Run
    cores: int

    @property
    def specialist(self) -> "Specialist | None":
        """For pass A; None where others compute."""
        return self.models.specialist if self.models else None

    @property
    def asked(self) -> Asked | None:
        """For pass B; None where others compute, or nobody refines."""
        return _asked(self.models) if self.models else None

    def tiles(self) -> Share:
        """For pass A."""
        return self._share(self._threads, specialist_of)

    def crops(self) -> Share:
        """For pass B."""
        refinement = self.facts.refinement
        threads = 1 if refinement is None or is_large(refinement.input_px) else self._threads
        return self._share(threads, generalist_of)

    @property
    def _on_gpu(self) -> bool:
        return self.facts.device != "cpu"

    @property
    def _threads(self) -> int:
        """One for each core; and one more where OpenVINO computes, as it computes in threads of its own, one for each
        core, which would wait while ours prepare and unpack."""
        if self._on_gpu:
            return 1
        return self.cores + 1 if self.facts.runtime == "openvino" and self.cores > 1 else self.cores

    def _share(self, threads: int, build: Callable[[ModelsRecipe], Any]) -> Share:
        elsewhere = None if self.models else Elsewhere(self.strips, partial(build, self.recipe))
        return Share(threads, self.recipe.settings.batch or (GPU_BATCH if self._on_gpu else 1), elsewhere)


@contextmanager
def open_computing(recipe: ModelsRecipe, models: "Models | None", run: Run) -> Iterator[Computing]:
    """Prepare where a run computes.

    Args:
        models: of the recipe, to compute in threads of this process, one for each core; None: others compute.
        run: hands tasks to these others.

    Raises:
        SettingsError, CatalogError: the others cannot build the models, see
            :func:`uvsam.workflows.loading.load_models`.
    """
    if models:
        from torch import get_num_threads

        cores = get_num_threads()
        with open_run(cores) as threads:
            yield Computing(recipe, models.facts, models, threads, threads, cores)
        return
    from dask.system import CPU_COUNT

    facts = next(iter(run(facts_of, [recipe, recipe])))  # of two workers that of the one who is ready first
    if facts.runtime == "openvino":
        compiled_folder(recipe.cache)  # warns once, for all of them
    with open_run(CPU_COUNT) as threads:
        yield Computing(recipe, facts, None, run, threads, CPU_COUNT)


def facts_of(recipe: ModelsRecipe) -> ModelFacts:
    """What is to be known of the models, which are built for it."""
    return models_of(recipe).facts


def specialist_of(recipe: ModelsRecipe) -> "Specialist":
    """The specialist, made once in a process."""
    return models_of(recipe).specialist


def generalist_of(recipe: ModelsRecipe) -> Asked | None:
    """The generalist, made once in a process."""
    return _asked(models_of(recipe))


@lru_cache(maxsize=1)
def models_of(recipe: ModelsRecipe) -> "Models":
    """The models, made once in a process."""
    from uvsam.workflows.loading import load_models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to be told is told by who gives the command
        return load_models(recipe)


def _asked(models: "Models") -> Asked | None:
    refiner = models.refiner
    return Asked(refiner.generalist, refiner.tokens) if refiner else None
