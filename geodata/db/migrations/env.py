"""Run by Alembic, always on a connection that `geodata.db.schema` has opened: there is no alembic.ini, and no URL here."""

from __future__ import annotations

from alembic import context
from geoalchemy2 import alembic_helpers

from geodata.db.schema import included
from geodata.db.tables import Base

if hasattr(context, "config"):  # run by Alembic, not merely imported
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        include_object=included,
        render_item=alembic_helpers.render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
