"""What QGIS needs to show our layers well: styles, forms, metadata and projects."""
