"""How each of our layers looks in QGIS. Colours are told apart with any colour vision."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from uvsam.vectors.qgis.columns import COLUMNS
from uvsam.vectors.qgis.qml import Classes, Column, Look, Style
from uvsam.vectors.schema import (
    CHANGES,
    CORRECTIONS,
    COVERAGE,
    HISTORIES,
    HOT_SPOTS,
    OUTLINES,
    SAMPLE,
    VERDICTS,
    VILLAGES,
    ZONES,
    Layer,
)  # fmt: skip

BLUE, SKY, ORANGE, RED, PINK, GREEN, GREY = (
    "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#cc79a7", "#009e73", "#bbbbbb",
)  # fmt: skip
"""Okabe and Ito (2008), as in the report of a trend."""
EVENTS = {
    "first": GREY, "stable": GREY, "grown": BLUE, "new": SKY, "reappeared": SKY, "shrunk": ORANGE, "split": PINK,
    "merged": GREEN,
}  # fmt: skip
PLASMA = ("#5c01a6", "#a82296", "#e16462", "#fca636", "#f0f921")
"""From dark and doubtful to bright and sure: brightness alone says it, too."""
HEAT = ("#ffffcc", "#fed976", "#fd8d3c", "#e31a1c", "#800026")
PERIOD = ("valid_from", "valid_to")
NOT_PLAYED = 'if(@map_start_time is null and "valid_to" is not null, 15, 100)'
"""Without the temporal controller the last period is shown, and what was before is a shadow."""
VERDICT_LOOKS = {
    None: ("not looked at", "#f0e442"), "correct": ("correct: is village", BLUE), "wrong": ("wrong: is none", RED),
    "missed": ("missed: is village", SKY), "redraw": ("redraw: is village as drawn", PINK),
}  # fmt: skip


def _ranges(
    edges: Sequence[float], texts: Sequence[str], colours: Sequence[str]
) -> list[tuple[tuple[float, float], Look]]:
    """Classes between edges. A value on an edge belongs to the class below: QGIS takes the first that it is in."""
    classes = zip(pairwise(edges), texts, colours, strict=True)
    return [(limits, Look(text, colour)) for limits, text, colour in classes]


def _style(
    layer: Layer, classes: Classes, form: Mapping[str, str], *, title: str, tip: str,
    columns: Mapping[str, Column] | None = None, label: str = "", sort: str = "", locked: Sequence[str] = (),
) -> Style:  # fmt: skip
    return Style(
        classes=classes,
        columns={name: (columns or {}).get(name, COLUMNS[name]) for name in layer.columns},
        form={group: names.split() for group, names in form.items()},
        title=title,
        tip=tip,
        geometry="marker" if layer.geometry_type == "Point" else "fill",
        period=PERIOD if set(PERIOD) <= set(layer.columns) else None,
        sort=sort,
        label=label,
        locked=frozenset(locked),
    )  # fmt: skip


def _choices(*values: str) -> tuple[tuple[str | None, str], ...]:
    return ((None, "not looked at"), *((value, value) for value in values))


CONFIDENCE = Classes(
    "confidence",
    _ranges(
        (0, 0.6, 0.7, 0.8, 0.9, 1),
        ("confidence up to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.8 to 0.9", "above 0.9"), PLASMA,
    ),
)  # fmt: skip
AREA = "area_m2 area_low_m2 area_high_m2"
SINCE_AND_UNTIL = (
    "[% format_date(\"valid_from\", 'yyyy-MM-dd') %] to "
    "[% coalesce(format_date(\"valid_to\", 'yyyy-MM-dd'), 'the last image') %]"
)

STYLES = {
    VILLAGES.name: _style(
        VILLAGES, CONFIDENCE,
        {"Village": "village_id on_edge acquired model", "Area and shape": f"{AREA} perimeter_m compactness",
         "How sure": "confidence sam_iou_pred stability"},
        title="'Village ' || \"village_id\"", sort="village_id",
        tip='<b>Village [% "village_id" %]</b><br>[% format_number("area_m2" / 10000, 2) %] ha, between '
            '[% format_number("area_low_m2" / 10000, 2) %] and [% format_number("area_high_m2" / 10000, 2) %]<br>'
            'confidence [% format_number("confidence", 2) %][% if("on_edge", \'<br>cut off by the edge\', \'\') %]',
    ),
    OUTLINES.name: _style(
        OUTLINES, CONFIDENCE, {"Region": "region pixels confidence on_edge"},
        title="'Region ' || \"region\"", tip='<b>Region [% "region" %]</b><br>confidence [% round("confidence", 2) %]',
    ),
    COVERAGE.name: _style(
        COVERAGE, Classes("", [(None, Look("looked at", "#ffffff", 0.0, 0.5, dashed=True))]),
        {"What was looked at": "acquired model area_m2"},
        title="'Looked at'", tip='<b>Looked at</b><br>[% format_number("area_m2" / 1e6, 2) %] km²',
    ),
    HISTORIES.name: _style(
        HISTORIES,
        Classes("event", [(event, Look(event, colour)) for event, colour in EVENTS.items()],
                order='"valid_from"', opacity=NOT_PLAYED),
        {"Village": "history_id event from_history significant confidence", "Area": AREA,
         "Since the period before": "before_m2 gained_m2 lost_m2 exchanged_m2 border_m2 after_m2",
         "When": "valid_from valid_to first_seen last_seen"},
        title="'History ' || \"history_id\" || ', ' || \"event\"",
        tip=f'<b>History [% "history_id" %]: [% "event" %]</b><br>{SINCE_AND_UNTIL}<br>'
            '[% format_number("area_m2" / 10000, 2) %] ha, between [% format_number("area_low_m2" / 10000, 2) %] and '
            '[% format_number("area_high_m2" / 10000, 2) %]',
    ),
    CHANGES.name: _style(
        CHANGES,
        Classes("kind", [("gained", Look("gained", BLUE, 0.5, 0.3)), ("lost", Look("lost", RED, 0.5, 0.3))]),
        {"Change": "history_id kind event area_m2", "When": " ".join(PERIOD)},
        title="\"kind\" || ', history ' || \"history_id\"",
        tip='<b>[% format_number("area_m2", 0) %] m² [% "kind" %]</b><br>history [% "history_id" %], [% "event" %]<br>'
            + SINCE_AND_UNTIL,
    ),
    ZONES.name: _style(
        ZONES,
        Classes(
            "share",
            _ranges(
                (0, 0.01, 0.03, 0.1, 0.3, 1),
                ("up to 1 % village", "1 to 3 %", "3 to 10 %", "10 to 30 %", "above 30 %"), HEAT,
            ),
            order='"valid_from"', opacity=NOT_PLAYED.replace("15", "0"),
        ),
        {"Zone": "zone villages area_m2 zone_m2 seen_share share", "When": " ".join(PERIOD)},
        title='"zone"',
        tip=f'<b>[% "zone" %]</b><br>{SINCE_AND_UNTIL}<br>[% "villages" %] villages, '
            '[% format_number(100 * "share", 2) %] % of the ground seen',
    ),
    HOT_SPOTS.name: _style(
        HOT_SPOTS,
        Classes(
            'if("significant", "z", 0)',
            [
                ((-1e9, -1e-9), Look("cold spot", BLUE, 0.3, 0.2)),
                ((-1e-9, 1e-9), Look("not significant", GREY, 0.0, 0.1)),
                ((1e-9, 3), Look("hot spot, z up to 3", HEAT[2], 0.3, 0.2)),
                ((3, 4), Look("z 3 to 4", HEAT[3], 0.4, 0.2)),
                ((4, 1e9), Look("z above 4", HEAT[4], 0.5, 0.2)),
            ],
            order='"valid_from"', opacity=NOT_PLAYED.replace("15", "0"),
        ),
        {"Cell": "area_m2 z significant", "When": " ".join(PERIOD)},
        title="'z ' || round(\"z\", 2)",
        tip='<b>z [% format_number("z", 2) %]</b>[% if("significant", \', significant\', \'\') %]<br>'
            + SINCE_AND_UNTIL,
    ),
    CORRECTIONS.name: _style(
        CORRECTIONS,
        Classes("verdict", [(value, Look(text, colour, 0.15, 0.7)) for value, (text, colour) in VERDICT_LOOKS.items()]),
        {"Your verdict": "verdict note looked_at", "Place": "rank doubt kind village_id place_id"},
        title="\"rank\" || ': ' || \"kind\"", sort="rank", label='"rank"',
        locked=("place_id", "rank", "doubt", "kind", "village_id"),
        tip='<b>[% "rank" %]: [% "kind" %]</b><br>doubt [% format_number("doubt", 2) %]<br>'
            '[% coalesce("verdict", \'not looked at\') %]',
        columns={
            "verdict": replace(COLUMNS["verdict"], choices=_choices(*VERDICTS), default="'missed'"),
            "looked_at": replace(COLUMNS["looked_at"], default="to_date(now())", always=True),
            "kind": replace(COLUMNS["kind"], default="'drawn'"),
            "place_id": replace(COLUMNS["place_id"], default='coalesce(maximum("place_id"), 0) + 1'),
        },
    ),
}  # fmt: skip
"""By the name of the layer."""


def sample_style(strata: Sequence[str]) -> Style:
    """Of a sample whose places are of these strata."""
    colours = {"kept": GREY, "gained": BLUE, "lost": RED, "village": BLUE, "other": "#ffffff"}
    looks = [(name, Look(name, colours[name])) for name in strata]
    return _style(
        SAMPLE,
        Classes("truth", [(None, Look("to be looked at", "#f0e442")), *looks]),
        {"Place": "place_id truth"},
        title="'Place ' || \"place_id\"",
        tip='<b>Place [% "place_id" %]</b><br>[% coalesce("truth", \'to be looked at\') %]',
        columns={"truth": replace(COLUMNS["truth"], choices=_choices(*strata))},
        sort="place_id",
        locked=("place_id",),
    )
