"""What QGIS makes of our files. Runs under the Python that has QGIS: ``python3 probe.py tasks.json answers.json``.

A task is ``[name, *arguments]``, name one of TASKS; its answer is what the function returns.
"""

import json
import sys
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsDateTimeRange,
    QgsExpressionContext,
    QgsExpressionContextUtils,
    QgsFeatureRequest,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
    QgsVectorLayerTemporalContext,
)
from qgis.PyQt.QtCore import QDateTime, QSize, Qt


def layers(path):
    """What a double click on a file shows: every layer QGIS offers, as it comes."""
    found = QgsProviderRegistry.instance().querySublayers(path)
    return {one.name(): describe(opened(one.uri())) for one in found}


def opened(uri):
    """A layer as the window of QGIS adds it: first without a style, then its own one (which else forgets the times)."""
    options = QgsVectorLayer.LayerOptions()
    options.loadDefaultStyle = False
    layer = QgsVectorLayer(uri, "layer", "ogr", options)
    layer.loadDefaultStyle()
    layer.loadDefaultMetadata()
    return layer


def describe(layer):
    if layer.type() != 0:
        return {"valid": layer.isValid(), "crs": layer.crs().authid(), "source": layer.source()}
    fields, form, temporal, metadata = (
        layer.fields(),
        layer.editFormConfig(),
        layer.temporalProperties(),
        layer.metadata(),
    )
    numbers = {field.name(): number for number, field in enumerate(fields)}
    renderer = layer.renderer()
    extent = metadata.extent().spatialExtents()
    days = metadata.extent().temporalExtents()
    return {
        "valid": layer.isValid(),
        "source": layer.source(),
        "crs": layer.crs().authid(),
        "count": layer.featureCount(),
        "read_only": layer.readOnly(),
        "renderer": renderer and renderer.type(),
        "by": renderer and layer.renderer().legendClassificationAttribute(),
        "classes": [item.label() for item in renderer.legendSymbolItems()] if renderer else [],
        "default_style": layer.styleManager().currentStyle(),
        "aliases": {name: layer.attributeAlias(number) for name, number in numbers.items()},
        "widgets": {name: layer.editorWidgetSetup(number).type() for name, number in numbers.items()},
        "choices": {
            name: [next(iter(entry.items())) for entry in layer.editorWidgetSetup(number).config().get("map", [])]
            for name, number in numbers.items()
        },
        "locked": [name for name, number in numbers.items() if form.readOnly(number)],
        "form": {tab.name(): [child.name() for child in tab.children()] for tab in form.tabs() if tab.type() == 0},
        "sort": layer.attributeTableConfig().sortExpression(),
        "title": [layer.displayExpression(), evaluate(layer, layer.displayExpression())],
        "tip": evaluate(layer, tip=layer.mapTipTemplate()),
        "labels": layer.labelsEnabled(),
        "shown": shown(layer, numbers),
        "temporal": [temporal.isActive(), int(temporal.mode()), temporal.startField(), temporal.endField()],
        "metadata": {
            "title": metadata.title(),
            "abstract": metadata.abstract(),
            "licences": metadata.licenses(),
            "rights": metadata.rights(),
            "crs": metadata.crs().authid(),
            "extent": [
                [e.bounds.xMinimum(), e.bounds.yMinimum(), e.bounds.xMaximum(), e.bounds.yMaximum()] for e in extent
            ],
            "days": [[d.begin().toString(Qt.ISODate), d.end().toString(Qt.ISODate)] for d in days],
        },
    }


def corners(box):
    return [box.xMinimum(), box.yMinimum(), box.xMaximum(), box.yMaximum()]


def context(layer, feature=None):
    made = QgsExpressionContext(QgsExpressionContextUtils.globalProjectLayerScopes(layer))
    if feature is not None:
        made.setFeature(feature)
    return made


def first(layer):
    return next(layer.getFeatures(), None)


def evaluate(layer, expression=None, tip=None):
    """An expression or a map tip of the first feature."""
    from qgis.core import QgsExpression

    feature = first(layer)
    if feature is None:
        return None
    if tip is not None:
        return QgsExpression.replaceExpressionText(tip, context(layer, feature))
    made = QgsExpression(expression)
    value = made.evaluate(context(layer, feature))
    return f"error: {made.evalErrorString() or made.parserErrorString()}" if value is None else str(value)


def shown(layer, numbers):
    """The first feature's values as the attribute table shows them."""
    feature = first(layer)
    if feature is None:
        return {}
    texts = {}
    for name, number in numbers.items():
        setup = layer.editorWidgetSetup(number)
        formatter = QgsApplication.fieldFormatterRegistry().fieldFormatter(setup.type())
        texts[name] = formatter.representValue(layer, number, setup.config(), None, feature[name])
    return texts


def period(begin, end):
    return QgsDateTimeRange(QDateTime.fromString(begin, Qt.ISODate), QDateTime.fromString(end, Qt.ISODate), True, False)


def playing(path, layer, begin, end):
    """How many features the temporal controller shows in a range."""
    held = opened(f"{path}|layername={layer}")
    where = QgsVectorLayerTemporalContext()
    where.setLayer(held)
    text = held.temporalProperties().createFilterString(where, period(begin, end))
    return sum(1 for _ in held.getFeatures(QgsFeatureRequest().setFilterExpression(text)))


def render(names, extent, size, out, begin=None, end=None):
    """A map of layers, the first on top, as PNG; what went wrong."""
    made = [QgsRasterLayer(name, "image") if name.endswith(".tif") else opened(name) for name in names]
    return draw(made, extent, size, out, begin, end)


def draw(made, extent, size, out, begin=None, end=None):
    settings = QgsMapSettings()
    settings.setLayers(made)
    settings.setDestinationCrs(made[-1].crs())
    settings.setExtent(QgsRectangle(*extent))
    settings.setOutputSize(QSize(*size))
    if begin:
        settings.setTemporalRange(period(begin, end))
        settings.setIsTemporal(True)
    scopes = [QgsExpressionContextUtils.globalScope(), QgsExpressionContextUtils.mapSettingsScope(settings)]
    held = QgsExpressionContext()
    held.appendScopes(scopes)
    settings.setExpressionContext(held)
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(out)
    return [error.message for error in job.errors()]


def project(path, png, size):
    """A project as it opens, and a map of it."""
    held = QgsProject.instance()
    assert held.read(path), held.error()
    order = held.layerTreeRoot().layerOrder()
    extent = corners(held.viewSettings().defaultViewExtent())
    snapping = held.snappingConfig()
    return {
        "crs": held.crs().authid(),
        "layers": {layer.name(): describe(layer) for layer in order},
        "order": [layer.name() for layer in order],
        "themes": {
            theme: [layer.name() for layer in held.mapThemeCollection().mapThemeVisibleLayers(theme)]
            for theme in held.mapThemeCollection().mapThemes()
        },
        "snapping": [snapping.enabled(), snapping.tolerance()],
        "extent": extent,
        "errors": draw(order, extent, size, png),
    }


def edit(path, layer, rank, verdict, outline):
    """Give the place of a rank a verdict, and draw a new one, as a person does in QGIS; what was saved."""
    from qgis.core import QgsGeometry, QgsVectorLayerUtils

    read = QgsProject.instance()
    assert read.read(path), read.error()
    held = read.mapLayersByName(layer)[0]
    assert held.startEditing()
    chosen = next(held.getFeatures(QgsFeatureRequest().setFilterExpression(f'"rank" = {rank}')))
    assert held.changeAttributeValue(chosen.id(), held.fields().indexOf("verdict"), verdict)
    drawn = QgsVectorLayerUtils.createFeature(held, QgsGeometry.fromWkt(outline), {}, context(held))
    assert held.addFeature(drawn)
    assert held.commitChanges(), held.commitErrors()
    read.clear()
    return True


TASKS = {task.__name__: task for task in (layers, playing, render, project, edit)}

if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    asked, answers = map(Path, sys.argv[1:])
    told = [TASKS[name](*arguments) for name, *arguments in json.loads(asked.read_text(encoding="utf-8"))]
    answers.write_text(json.dumps(told, default=str), encoding="utf-8")
    QgsProject.instance().clear()
    application.exitQgis()
