"""Styles of layers in the XML of QGIS (QML), as far as we use it. Written for QGIS 3.22 and later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from xml.etree import ElementTree as ET

from uvsam.documents import well_formed

VERSION = "3.22.0"
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
CASING = "20,20,20,170"
"""Dark and wider under each outline, so that it can be told from bright roofs and dark trees alike."""
NULL = "{2839923C-8B7D-419E-B84B-CA2FE9B80EC7}"
"""What QGIS writes for "no value" among the choices of a column."""
START_AND_END = "2"
FID = "fid"
"""The column that GDAL adds to each layer of a GeoPackage."""


@dataclass(frozen=True)
class Look:
    """How one class is drawn.

    Attributes:
        label: in the legend.
        colour: #rrggbb of outline and fill.
        fill: opacity of the fill, 0 to 1.
        width_mm: of the outline, 0 for none.
    """

    label: str
    colour: str
    fill: float = 0.3
    width_mm: float = 0.5
    dashed: bool = False


@dataclass(frozen=True)
class Classes:
    """What a layer's features are told apart by.

    Attributes:
        by: column or expression; empty where all look the same, and there is one look.
        looks: each with the value that it is for, or the lowest and the highest; ``None`` is no value.
        order: expression; features are drawn from the lowest to the highest.
        opacity: expression, in per cent.
    """

    by: str
    looks: Sequence[tuple[str | tuple[float, float] | None, Look]]
    order: str = ""
    opacity: str = ""


@dataclass(frozen=True)
class Column:
    """How a column is shown.

    Attributes:
        alias: what it is called, with its unit.
        meaning: one sentence.
        digits: after the point; None for what is no number.
        kind: of its value.
        choices: value and text of each that may be chosen.
        default: expression for new features; with ``always`` for changed ones, too.
    """

    alias: str
    meaning: str = ""
    digits: int | None = None
    kind: Literal["text", "number", "date", "bool", "note"] = "text"
    choices: tuple[tuple[str | None, str], ...] = ()
    default: str = ""
    always: bool = False


@dataclass(frozen=True)
class Style:
    """How a layer is shown.

    Attributes:
        columns: all of them, in the order of the layer.
        form: columns in each group of the form.
        title: expression that names a feature.
        tip: HTML of the map tip; expressions stand in ``[% %]``.
        period: columns with the first day and the one after the last.
        sort: column that the attribute table is sorted by.
        label: expression that is written on the map.
        locked: columns that nobody should edit.
    """

    classes: Classes
    columns: Mapping[str, Column]
    form: Mapping[str, Sequence[str]]
    title: str
    tip: str
    geometry: Literal["fill", "marker"] = "fill"
    period: tuple[str, str] | None = None
    sort: str = ""
    label: str = ""
    locked: frozenset[str] = field(default_factory=frozenset)


def qml(style: Style) -> str:
    """The style as the text of a ``.qml`` file."""
    root = ET.Element("qgis", version=VERSION, styleCategories="AllStyleCategories", labelsEnabled=_bit(style.label))
    root.extend(style_elements(style))
    ET.indent(root, " ")
    return DOCTYPE + well_formed(ET.tostring(root, encoding="unicode"))


def style_elements(style: Style) -> list[ET.Element]:
    """The parts of a style, which stand in the layer's element where a project has it."""
    root = ET.Element("parts")
    if style.period:
        first, end = style.period
        ET.SubElement(
            root, "temporal", enabled="1", mode=START_AND_END, limitMode="0", startField=first, endField=end,
            startExpression="", endExpression="", durationField="", durationUnit="min", fixedDuration="0",
            accumulate="0",
        )  # fmt: skip
    _renderer(root, style)
    if style.label:
        _labels(root, style.label)
    _columns(root, style)
    _form(root, style)
    table = ET.SubElement(
        root, "attributetableconfig", sortExpression=f'"{style.sort}"' if style.sort else "", sortOrder="0",
        actionWidgetStyle="dropDown",
    )  # fmt: skip
    columns = ET.SubElement(table, "columns")
    for name in (FID, *style.columns):
        ET.SubElement(columns, "column", name=name, type="field", hidden=_bit(name == FID), width="-1")
    ET.SubElement(root, "previewExpression").text = style.title
    ET.SubElement(root, "mapTip").text = style.tip
    return list(root)


def _bit(value: object) -> str:
    return "1" if value else "0"


def options(parent: ET.Element, values: Mapping[str, object]) -> ET.Element:
    """A map of options, as QGIS writes them since 3.20."""
    made = ET.SubElement(parent, "Option", type="Map")
    _fill(made, values)
    return made


def _fill(parent: ET.Element, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            _fill(ET.SubElement(parent, "Option", type="Map", name=name), value)
        elif isinstance(value, list):
            entries = ET.SubElement(parent, "Option", type="List", name=name)
            for entry in value:
                options(entries, entry)
        else:
            kind = {bool: "bool", int: "int", float: "double"}.get(type(value), "QString")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            ET.SubElement(parent, "Option", type=kind, name=name, value=text)


def _renderer(root: ET.Element, style: Style) -> None:
    classes = style.classes
    ranged = any(isinstance(value, tuple) for value, _ in classes.looks)
    kind = "singleSymbol" if not classes.by else "graduatedSymbol" if ranged else "categorizedSymbol"
    renderer = ET.SubElement(
        root, "renderer-v2", type=kind, forceraster="0", symbollevels="0", enableorderby=_bit(classes.order),
        referencescale="-1",
    )  # fmt: skip
    if classes.by:
        renderer.set("attr", classes.by)
        entries = ET.SubElement(renderer, "ranges" if ranged else "categories")
    if ranged:
        renderer.set("graduatedMethod", "GraduatedColor")
    for number, (value, look) in enumerate(classes.looks):
        if isinstance(value, tuple):
            low, high = value
            ET.SubElement(
                entries, "range", symbol=str(number), label=look.label, render="true", lower=f"{low:.15f}",
                upper=f"{high:.15f}",
            )  # fmt: skip
        elif classes.by:
            text, of = ("", "NULL") if value is None else (value, "string")
            ET.SubElement(entries, "category", symbol=str(number), label=look.label, render="true", value=text, type=of)
    symbols = ET.SubElement(renderer, "symbols")
    for number, (_, look) in enumerate(classes.looks):
        _symbol(symbols, str(number), look, style.geometry, classes.opacity)
    if classes.order:
        order = ET.SubElement(renderer, "orderby")
        ET.SubElement(order, "orderByClause", asc="1", nullsFirst="1").text = classes.order


def _symbol(parent: ET.Element, name: str, look: Look, geometry: str, opacity: str) -> None:
    symbol = ET.SubElement(
        parent, "symbol", type=geometry, name=name, alpha="1", clip_to_extent="1", force_rhr="0"
    )  # fmt: skip
    if opacity:
        alpha = {"active": True, "expression": opacity, "type": 3}
        held = ET.SubElement(symbol, "data_defined_properties")
        options(held, {"name": "", "properties": {"alpha": alpha}, "type": "collection"})
    red, green, blue = (int(look.colour[at : at + 2], 16) for at in (1, 3, 5))
    line, inside = f"{red},{green},{blue},255", f"{red},{green},{blue},{round(255 * look.fill)}"
    pen = "dash" if look.dashed else "solid"
    if geometry == "marker":
        _layer(symbol, "SimpleMarker", {
            "name": "circle", "color": f"{red},{green},{blue},255", "outline_color": CASING, "outline_width": "0.3",
            "outline_width_unit": "MM", "size": "2.8", "size_unit": "MM",
        })  # fmt: skip
        return
    if look.width_mm:
        _layer(symbol, "SimpleLine", {
            "line_color": CASING, "line_width": f"{look.width_mm + min(0.4, look.width_mm):g}", "line_width_unit": "MM",
            "joinstyle": "round", "capstyle": "round",
        })  # fmt: skip
    _layer(symbol, "SimpleFill", {
        "color": inside, "style": "solid" if look.fill else "no", "outline_color": line, "joinstyle": "round",
        "outline_style": pen if look.width_mm else "no", "outline_width": f"{look.width_mm:g}",
        "outline_width_unit": "MM",
    })  # fmt: skip


def _layer(symbol: ET.Element, name: str, values: Mapping[str, object]) -> None:
    options(ET.SubElement(symbol, "layer", {"class": name}, enabled="1", locked="0", **{"pass": "0"}), values)


def _labels(root: ET.Element, expression: str) -> None:
    labeling = ET.SubElement(root, "labeling", type="simple")
    settings = ET.SubElement(labeling, "settings", calloutType="simple")
    text = ET.SubElement(
        settings, "text-style", fieldName=expression, isExpression="1", fontSize="11", fontSizeUnit="Point",
        textColor="255,255,255,255", fontWeight="75", namedStyle="Bold",
    )  # fmt: skip
    ET.SubElement(
        text, "text-buffer", bufferDraw="1", bufferSize="0.8", bufferSizeUnits="MM", bufferColor="20,20,20,255",
        bufferOpacity="0.8",
    )  # fmt: skip
    ET.SubElement(settings, "placement", placement="1", centroidInside="1", centroidWhole="1")
    ET.SubElement(settings, "rendering", drawLabels="1", obstacle="0", displayAll="0")


def _columns(root: ET.Element, style: Style) -> None:
    configuration = ET.SubElement(root, "fieldConfiguration")
    aliases, defaults = ET.SubElement(root, "aliases"), ET.SubElement(root, "defaults")
    editable = ET.Element("editable")
    for number, (name, column) in enumerate(style.columns.items()):
        held = ET.SubElement(configuration, "field", name=name, configurationFlags="None")
        kind, values = _widget(column)
        options(ET.SubElement(ET.SubElement(held, "editWidget", type=kind), "config"), values)
        ET.SubElement(aliases, "alias", field=name, index=str(number), name=column.alias)
        ET.SubElement(defaults, "default", field=name, expression=column.default, applyOnUpdate=_bit(column.always))
        ET.SubElement(editable, "field", name=name, editable=_bit(name not in style.locked))
    root.append(editable)


def _widget(column: Column) -> tuple[str, dict[str, object]]:
    if column.choices:
        return "ValueMap", {"map": [{text: NULL if value is None else value} for value, text in column.choices]}
    if column.digits is not None:
        return "Range", {
            "AllowNull": True, "Min": -1.7976931348623157e308, "Max": 1.7976931348623157e308, "Step": 1.0,
            "Precision": column.digits, "Style": "SpinBox",
        }  # fmt: skip
    if column.kind == "date":
        return "DateTime", {
            "allow_null": True, "calendar_popup": True, "display_format": "yyyy-MM-dd", "field_format": "yyyy-MM-dd",
            "field_iso_format": False,
        }  # fmt: skip
    if column.kind == "bool":
        return "CheckBox", {"CheckedState": "", "UncheckedState": "", "TextDisplayMethod": 0, "AllowNullState": True}
    return "TextEdit", {"IsMultiline": column.kind == "note", "UseHtml": False}


def _form(root: ET.Element, style: Style) -> None:
    ET.SubElement(root, "editorlayout").text = "tablayout"
    ET.SubElement(root, "featformsuppress").text = "0"
    form = ET.SubElement(root, "attributeEditorForm")
    numbers = {name: str(number) for number, name in enumerate(style.columns)}
    for group, names in style.form.items():
        box = ET.SubElement(
            form, "attributeEditorContainer", name=group, groupBox="1", columnCount="1", showLabel="1",
            visibilityExpressionEnabled="0", visibilityExpression="", collapsed="0",
        )  # fmt: skip
        for name in names:
            ET.SubElement(box, "attributeEditorField", name=name, index=numbers[name], showLabel="1")
