"""How to build the models of a run, and what it knows of them: for processes that leave computing to others."""

from dataclasses import dataclass
from pathlib import Path

from uvsam.prompts import PromptRules
from uvsam.settings import PredictSettings

LARGE_PX = 512


@dataclass(frozen=True)
class ModelsRecipe:
    """How to build the models of a run. Small and picklable: this crosses process borders, never a model.

    Attributes:
        sha256: of the weights of ``settings.model``, as the process that gives the command knows them.
        cache: folder of fetched weights, and of compiled networks; None is the user's cache folder.
    """

    settings: PredictSettings
    sha256: str
    cache: Path | None = None

    def in_any_folder(self) -> "ModelsRecipe":
        """The same, for a process with another working folder."""
        given = {name: Path(getattr(self.settings, name) or "") for name in ("model", "sam")}
        # a name of the catalogue has no extension, whatever file of that name there is
        paths = {name: str(path.absolute()) for name, path in given.items() if path.suffix and path.is_file()}
        return ModelsRecipe(self.settings.model_copy(update=paths), self.sha256, self.cache and self.cache.absolute())


@dataclass(frozen=True)
class Refinement:
    """How a generalist refines outlines.

    Attributes:
        sha256: of the generalist, or of the whole model that it is a part of.
        input_px: side of its crops in pixels.
        window_m: the same in ground metres.
        fuse: how its score and the specialist's become one (``mosaic.instances.FUSE``).
        min_prompt_m2: smaller regions keep the specialist's outline.
        views: how often it looks at a crop; the second time in a mirror.
    """

    sha256: str
    input_px: int
    window_m: float
    fuse: str
    min_prompt_m2: float
    rules: PromptRules
    views: int = 1


@dataclass(frozen=True)
class ModelFacts:
    """What is to be known of models that another process may hold. Small and picklable.

    Attributes:
        sha256: of the specialist's weights, or of the whole model that it is a part of.
        device: ``cpu`` or ``cuda``.
        runtime: what computes the networks, ``openvino`` or ``torch``.
        runtime_version: of that library.
        refinement: None for the specialist alone.
    """

    sha256: str
    device: str
    runtime: str
    runtime_version: str
    refinement: Refinement | None


def is_large(input_px: int) -> bool:
    """Whether one generalist with crops of this side fills a machine: several would need too much memory."""
    return input_px > LARGE_PX
