"""What the columns of our layers are called where people read them."""

from uvsam.vectors.qgis.qml import Column


def _number(alias: str, meaning: str, digits: int = 0) -> Column:
    return Column(alias, meaning, digits, "number")


def _date(alias: str, meaning: str) -> Column:
    return Column(alias, meaning, kind="date")


COLUMNS = {
    "village_id": _number("Village", "From the largest to the smallest; of this file only"),
    "region": _number("Region", "Number in the order of rows"),
    "pixels": _number("Size (px)", "Pixels inside"),
    "area_m2": _number("Area (m²)", "On the ellipsoid, holes not counted"),
    "area_low_m2": _number("Area, low (m²)", "Lower end of its interval"),
    "area_high_m2": _number("Area, high (m²)", "Upper end of its interval"),
    "perimeter_m": _number("Perimeter (m)", "Length of the outline, holes included"),
    "compactness": _number("Compactness (0 to 1)", "4 pi area / perimeter²: 1 for a disc, small for ragged shapes", 2),
    "confidence": _number("Confidence (0 to 1)", "Share of the ground inside that should be village", 2),
    "sam_iou_pred": _number("Fit of the outline (0 to 1)", "What the generalist expects; not calibrated", 2),
    "stability": _number("Stability (0 to 1)", "How little the outline moves when its threshold does", 2),
    "on_edge": Column("On the edge", "Cut off by the border of the image or of its data", kind="bool"),
    "acquired": _date("Day of the image", "Empty where nobody said"),
    "model": Column("Model", "What found it"),
    "history_id": _number("History", "The village through all periods"),
    "event": Column("Event", "What happened since the period before"),
    "from_history": _number("From history", "Whose ground it stands on; 0 is nobody's"),
    "before_m2": _number("Before (m²)", "Area in the period before, on ground that both show"),
    "gained_m2": _number("Gained (m²)", "Ground that no village had before"),
    "lost_m2": _number("Lost (m²)", "Ground that no village has now"),
    "exchanged_m2": _number("Exchanged (m²)", "From other histories less what went to them"),
    "border_m2": _number("Within tolerance (m²)", "Difference of outlines that is no change"),
    "after_m2": _number("After (m²)", "Area in this period, on ground that both show"),
    "significant": Column("Significant", "More than errors explain", kind="bool"),
    "first_seen": _date("First seen", "Of its history"),
    "last_seen": _date("Last seen", "Of its history"),
    "valid_from": _date("From", "First day of the row"),
    "valid_to": _date("Until", "Day from which it holds no more; empty is today"),
    "kind": Column("What it is", ""),
    "zone": Column("Zone", "Ring or district"),
    "villages": _number("Villages", "Counted where most of each lies"),
    "zone_m2": _number("Ground seen (m²)", "Of the zone, what the image shows"),
    "seen_share": _number("Share seen (0 to 1)", "Of the zone, what the image shows", 4),
    "share": _number("Share (0 to 1)", "Village land on the ground seen", 4),
    "z": _number("z of Getis-Ord Gi*", "Standard deviations from the mean", 2),
    "place_id": _number("Place", "Number of the place"),
    "truth": Column("Truth", "What is really there"),
    "rank": _number("Rank", "1 is the place with the most doubtful ground"),
    "doubt": _number("Doubt (0 to 1)", "Share of the place where the map may be wrong", 2),
    "verdict": Column("Verdict", "What you see in the image"),
    "note": Column("Note", "Whatever should be remembered", kind="note"),
    "looked_at": _date("Looked at", "Filled in by itself"),
}
