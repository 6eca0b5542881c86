"""Run by Alembic, always on a connection that `geodata.db.schema` has opened: there is no alembic.ini, and no URL here."""

from __future__ import annotations

from alembic import context
from geoalchemy2 import alembic_helpers

from geodata.db.schema import included

if hasattr(context, "config"):  # run by Alembic, not merely imported
    section = context.config.attributes["section"]
    context.configure(
        connection=context.config.attributes["connection"],
        version_table=section.versions,
        target_metadata=section.metadata,
        include_object=included(section),
        render_item=alembic_helpers.render_item,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()
