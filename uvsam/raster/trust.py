"""What a file from a stranger may do: be read. It may name other files and urls, as a VRT does; it may not run code."""

NEVER = {"GDAL_VRT_ENABLE_PYTHON": "NO", "CPL_ALLOW_VSISTDIN": "NO"}
"""Options of GDAL, whatever the user's environment says: no Python code inside of a VRT, no waiting for a terminal."""
