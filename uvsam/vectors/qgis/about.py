"""What a layer is, in words that go with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from uvsam.vectors.schema import (
    CHANGES,
    CORRECTIONS,
    COVERAGE,
    HISTORIES,
    HOT_SPOTS,
    OUTLINES,
    SAMPLE,
    VILLAGES,
    ZONES,
)  # fmt: skip

HOMES = (
    "These are people's homes, and their residents were not asked. Ask who could be harmed before exact outlines are "
    "published, and decide nothing about people on this alone."
)
CONFIDENCE = (
    "confidence is the share of the ground inside that should be village; it says nothing of what was missed, and is "
    "calibrated for cities and sensors like those that the model was trained on."
)
TITLES = {
    VILLAGES.name: "Urban villages and informal settlements",
    OUTLINES.name: "Exact outlines of urban villages and informal settlements",
    COVERAGE.name: "Ground that was looked at",
    HISTORIES.name: "Histories of urban villages and informal settlements",
    CHANGES.name: "Ground that villages gained and lost",
    ZONES.name: "Village land by zone",
    HOT_SPOTS.name: "Hot spots of village land",
    SAMPLE.name: "Places to look at, drawn at random",
    CORRECTIONS.name: "Places to correct, the most doubtful ground first",
}
MEANINGS = {
    VILLAGES.name: f"A row is a village. {CONFIDENCE} Outlines may be off by metres at any confidence.",
    OUTLINES.name: f"A row is a connected region of the scores. {CONFIDENCE}",
    COVERAGE.name: "Outside of it, the absence of a village means nothing.",
    HISTORIES.name: "A row is a village of a period, from valid_from up to valid_to. A change is significant if it is "
    "larger than the errors of both outlines explain; what the maps miss or invent is in no interval.",
    CHANGES.name: "A row is what a village gained or lost between two periods, in the place of the first layer.",
    ZONES.name: "A row is a ring or district in a period; share is village land on the ground that the image shows.",
    HOT_SPOTS.name: "A row is a cell in a period, z of Getis-Ord Gi*; significant keeps false discoveries below 5 %.",
    SAMPLE.name: "Write into truth what is really there, without a look at the map.",
    CORRECTIONS.name: "correct, missed and redraw say that the polygon, as it is drawn, is village; wrong, that it is "
    "none. Rows without a verdict say nothing.",
}


@dataclass(frozen=True)
class About:
    """Title, abstract, licence of the model and limits of use of a layer; ``licence`` is empty where nobody says."""

    title: str
    abstract: str
    licence: str
    rights: str = HOMES


def about(layer: str, run: Mapping[str, Any]) -> About:
    """Describe a layer of ours.

    Args:
        layer: its name.
        run: what the file's table ``run`` says.
    """
    inputs = list(dict.fromkeys(PurePath(str(path)).name for path in run.get("inputs") or ()))
    version = run.get("uvsam_version") or run.get("uvsam")
    made = [
        f"By uvsam {version}" if version else "By uvsam",
        f"model {run['model']}" if run.get("model") else "",
        f"from {', '.join(inputs)}" if inputs else "",
        f"image of {run['acquired']}" if run.get("acquired") else "",
    ]
    licence = str(run.get("model_licence") or "")
    return About(
        title=TITLES.get(layer, layer),
        abstract=f"{', '.join(filter(None, made))}. {MEANINGS.get(layer, '')} {HOMES}",
        licence=f"Of the model's weights: {licence}" if licence else "",
    )
