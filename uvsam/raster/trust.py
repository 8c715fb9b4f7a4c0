"""What a file from a stranger may do: be read. It may name other files and urls, as a VRT does; it may not run code."""

NEVER = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_ALLOW_VSISTDIN": "NO",
    "CPL_VSIL_GZIP_WRITE_PROPERTIES": "NO",
}
"""Options of GDAL, whatever the user's environment says: no Python code inside of a VRT, no waiting for a terminal, no
file beside an image that is packed with gzip."""

DRIVERS = [
    "GTiff", "VRT", "JP2OpenJPEG", "JP2ECW", "JP2KAK", "JP2MrSID", "ECW", "MrSID", "JPEG", "JPEGXL", "PNG", "WEBP",
    "AVIF", "GIF", "BMP", "PNM", "HFA", "ENVI", "EHdr", "ERS", "PCIDSK", "RMF", "NITF", "DIMAP", "TIL", "AAIGrid",
    "AIG", "netCDF", "HDF4", "HDF4Image", "HDF5", "HDF5Image", "BAG", "GPKG", "MBTiles", "SAFE", "SENTINEL2", "KEA",
    "RRASTER", "RST", "ILWIS", "SAGA", "GRIB", "USGSDEM", "BSB",
]  # fmt: skip
"""Formats that are opened, by GDAL's names: those of files. Not opened are services (WMS, WMTS, WCS ...), indexes of
other files (GTI, STACIT ...), what computes its pixels (DERIVED), memory (MEM), databases, and bare arrays."""
