"""Styles and metadata inside of a GeoPackage, where QGIS looks for them."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from uvsam.documents import well_formed
from uvsam.vectors.qgis.about import About, about
from uvsam.vectors.qgis.qml import DOCTYPE, VERSION, Style, qml
from uvsam.vectors.schema import Layer

STYLE_TABLE = "layer_styles"
METADATA_STANDARD = "http://mrcc.com/qgis.dtd"
EXTENSIONS = {
    "gpkg_metadata": ("gpkg_metadata", "gpkg_metadata_reference"),
    "gpkg_schema": ("gpkg_data_columns", "gpkg_data_column_constraints"),
}

# As QGIS and GDAL make them.
TABLES = """
CREATE TABLE IF NOT EXISTS layer_styles (
    id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256),
    f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT,
    useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30),
    update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now'))
);
CREATE TABLE IF NOT EXISTS gpkg_metadata (
    id INTEGER CONSTRAINT m_pk PRIMARY KEY ASC NOT NULL, md_scope TEXT NOT NULL DEFAULT 'dataset',
    md_standard_uri TEXT NOT NULL, mime_type TEXT NOT NULL DEFAULT 'text/xml', metadata TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS gpkg_metadata_reference (
    reference_scope TEXT NOT NULL, table_name TEXT, column_name TEXT, row_id_value INTEGER,
    timestamp DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')),
    md_file_id INTEGER NOT NULL, md_parent_id INTEGER,
    CONSTRAINT crmr_mfi_fk FOREIGN KEY (md_file_id) REFERENCES gpkg_metadata(id),
    CONSTRAINT crmr_mpi_fk FOREIGN KEY (md_parent_id) REFERENCES gpkg_metadata(id)
);
CREATE TABLE IF NOT EXISTS gpkg_data_columns (
    table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT,
    constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name),
    CONSTRAINT gdc_tn UNIQUE (table_name, name)
);
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (
    constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN,
    max NUMERIC, max_is_inclusive BOOLEAN, description TEXT,
    CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value)
);
"""
ATTRIBUTES = """
INSERT INTO gpkg_contents (table_name, data_type, identifier, description, srs_id)
VALUES (?, 'attributes', ?, 'Styles of the layers for QGIS', 0)
"""
STYLE = """
INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
                          styleSLD, useAsDefault, description, owner)
VALUES ('', '', ?, ?, ?, ?, '', 1, ?, '')
"""
PLACE = """
SELECT min_x, min_y, max_x, max_y, organization, organization_coordsys_id, gpkg_spatial_ref_sys.definition
FROM gpkg_contents JOIN gpkg_spatial_ref_sys USING (srs_id) WHERE table_name = ?
"""


def dress(path: Path, layers: Sequence[Layer], run: Mapping[str, Any], styles: Mapping[str, Style]) -> None:
    """Add the styles, the titles and the metadata of layers to the GeoPackage that has them.

    Args:
        run: what is written in its table ``run``.
        styles: by the name of the layer; those without stay without.

    Raises:
        sqlite3.Error: it cannot be written.
    """
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(TABLES)
        database.execute(ATTRIBUTES, (STYLE_TABLE, STYLE_TABLE))
        database.executemany(
            "INSERT INTO gpkg_extensions VALUES (?, NULL, ?, ?, 'read-write')",
            [
                (table, name, f"http://www.geopackage.org/spec120/#extension_{name.removeprefix('gpkg_')}")
                for name, tables in EXTENSIONS.items()
                for table in tables
            ],
        )
        for layer in layers:
            told = about(layer.name, run)
            database.execute(
                "UPDATE gpkg_contents SET identifier = ?, description = ? WHERE table_name = ?",
                (told.title, told.abstract, layer.name),
            )
            if style := styles.get(layer.name):
                database.executemany(
                    "INSERT INTO gpkg_data_columns (table_name, column_name, title, description) VALUES (?, ?, ?, ?)",
                    [(layer.name, name, column.alias, column.meaning) for name, column in style.columns.items()],
                )
                database.execute(STYLE, (layer.name, "geom", layer.name, qml(style), told.title))
            text = metadata_xml(told, database.execute(PLACE, (layer.name,)).fetchone(), _days(database, layer, run))
            row = database.execute(
                "INSERT INTO gpkg_metadata (md_standard_uri, metadata) VALUES (?, ?)", (METADATA_STANDARD, text)
            ).lastrowid
            database.execute(
                "INSERT INTO gpkg_metadata_reference (reference_scope, table_name, md_file_id) VALUES ('table', ?, ?)",
                (layer.name, row),
            )


def _days(database: sqlite3.Connection, layer: Layer, run: Mapping[str, Any]) -> tuple[str, str]:
    """First and last day that the layer is about; empty where nobody says."""
    if "valid_from" in layer.columns:
        first, last = database.execute(f"SELECT min(valid_from), max(valid_from) FROM {layer.name}").fetchone()
        return first or "", last or ""
    day = str(run.get("acquired") or "")
    return day, day


def metadata_xml(told: About, place: Sequence[Any], days: tuple[str, str]) -> str:
    """The metadata of a layer as the text of a ``.qmd`` file.

    Args:
        place: left, bottom, right, top, authority, code and WKT of the CRS; None where there are none.
        days: first and last.
    """
    left, bottom, right, top, authority, code, wkt = place
    root = ET.Element("qgis", version=VERSION)
    said = {
        "identifier": "", "parentidentifier": "", "language": "ENG", "type": "dataset", "title": told.title,
        "abstract": told.abstract,
    }  # fmt: skip
    for name, text in said.items():
        ET.SubElement(root, name).text = text
    topics = ET.SubElement(root, "keywords", vocabulary="gmd:topicCategory")
    for topic in ("Planning/Cadastre", "Society"):
        ET.SubElement(topics, "keyword").text = topic
    ET.SubElement(root, "rights").text = told.rights
    if told.licence:
        ET.SubElement(root, "license").text = told.licence
    extent = ET.Element("extent")
    if code and code > 0:
        name = f"{authority}:{code}".upper()
        system = ET.SubElement(ET.SubElement(root, "crs"), "spatialrefsys")
        ET.SubElement(system, "wkt").text = wkt
        ET.SubElement(system, "authid").text = name
        if left is not None:
            ET.SubElement(
                extent, "spatial", crs=name, dimensions="2", minx=repr(left), miny=repr(bottom), maxx=repr(right),
                maxy=repr(top), minz="0", maxz="0",
            )  # fmt: skip
    period = ET.SubElement(ET.SubElement(extent, "temporal"), "period")
    for name, day in zip(("start", "end"), days, strict=True):
        ET.SubElement(period, name).text = f"{day}T00:00:00Z" if day else ""
    root.append(extent)
    return DOCTYPE + well_formed(ET.tostring(root, encoding="unicode"))
