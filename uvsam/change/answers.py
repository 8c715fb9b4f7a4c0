"""What people write about the places of a sample, as the class that they mean."""

from collections.abc import Sequence

import pandas as pd

from uvsam.errors import LabelError

SAME = {
    "other": ("others", "other land", "no village", "not village", "non-village", "none", "nothing", "background"),
    "village": ("villages", "urban village", "informal settlement", "settlement", "slum"),
    "lost": ("lose", "loss", "losses", "demolished", "gone"),
    "gained": ("gain", "gains", "new", "growth"),
    "kept": ("keep", "still village", "remained"),
}
OF_ONE_LAYER = {"other": ("no", "false"), "village": ("yes", "true")}
"""Only where there is one layer: of two dates a yes may be about either."""
SHOWN = 5
"""Numbers of places that a message lists of a kind."""


def read_answers(said: pd.Series, place_id: pd.Series, classes: Sequence[str]) -> pd.Series:
    """The class that each answer means, None where there is none; letters, spaces and usual other words do not matter.

    Args:
        said: text as it was written (N,).
        place_id: to name those that cannot be understood.
        classes: that there are.

    Raises:
        LabelError: an answer means none of the classes.
    """
    text = said.astype("string").str.strip().str.strip(".!\"' ").str.casefold()
    text = text.str.replace(r"[\s_]+", " ", regex=True)
    meant = {name.casefold(): name for name in classes}
    for words in (SAME, OF_ONE_LAYER if "village" in classes else {}):
        meant |= {word: name for name in classes for word in words.get(name, ())}
    blank = text.isna() | (text == "")
    unknown = text[~blank & ~text.isin(list(meant))]
    if len(unknown):
        kinds = [
            f"'{said[own.index[0]]}' (place_id {listed(place_id[own.index])})"
            for _, own in unknown.groupby(unknown, sort=False)
        ]
        raise LabelError(f"truth is {', '.join(kinds[:SHOWN])}; it must be one of {', '.join(classes)}")
    found: pd.Series = text.map(meant).astype(object).where(~blank, None)
    return found


def listed(place_id: pd.Series) -> str:
    """Some numbers of places, and how many more there are."""
    numbers = [str(number) for number in place_id.tolist()]
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return ", ".join(numbers[:SHOWN]) + more
