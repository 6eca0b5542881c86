"""The map store's database: one set of tables on an embedded file or on PostgreSQL with PostGIS, chosen by one URL.

    engine    opening it: settings, the write gate          guard     nothing else opens the live file
    tables    the models, and what the database forbids     both      one thing in two spellings: invariants, instants, JSON
    schema    making it, upgrading it (migrations/)         shape     geometry into and out of a column, spatial questions
    copying   copy, backup, check                           hashing   names of content
    gpkg      GeoPackage's SQL functions in Python

`schema` (Alembic) and `copying` (the writers of files) are imported by those who need them: they are slow to load.
"""

from geodata.db.engine import Database, open_database
from geodata.db.guard import refuse_live
