"""GDAL with its dangerous drivers left out. The only way this package reaches it.

Defence in depth: whatever a file claims to be, no driver that follows links, opens connections or runs programs is there to
believe it. GDAL reads GDAL_SKIP once, when it is loaded; where somebody loaded it before us the checks of `intake` stand alone.
"""

from __future__ import annotations

import os

FORBIDDEN = (
    "OGR_VRT VRT GML KML LIBKML HTTP WFS CSW OAPIF OGCAPI Carto AmigoCloud Elasticsearch NGW PLSCENES EEDA "
    "PGDUMP PDF GDALG ADBC LVBAG GeoRSS GPX JML MapML OSM XLSX ODS GTFS GPSBabel S57 DGN DXF MVT PMTiles MBTiles"
)
os.environ["GDAL_SKIP"] = " ".join(dict.fromkeys([*os.environ.get("GDAL_SKIP", "").split(), *FORBIDDEN.split()]))

import pyogrio  # noqa: E402, TID253  (after GDAL_SKIP; this module itself is loaded at the first file)

__all__ = ["pyogrio"]
