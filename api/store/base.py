"""What the models of the cases' section have in common: one metadata, so that they migrate and are copied together."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import MetaData

from geodata.db.tables import NAMING, Stored


class Cases(Stored):
    __abstract__ = True
    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)
