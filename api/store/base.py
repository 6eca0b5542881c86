"""What all tables of the cases have in common: one set of models for both databases, in a section of its own."""

from __future__ import annotations

from typing import ClassVar

from sqlalchemy import MetaData

from geodata.db.tables import NAMING, Stored


class Cases(Stored):
    __abstract__ = True
    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)
