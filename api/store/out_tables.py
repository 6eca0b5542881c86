"""The tables of what leaves the house: what of a case the public is shown."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from api.store.base import Cases


class PublicationRule(Cases):
    """Whether the public is shown a field of the cases of a category, for a period. `category`: a code, or `*` for all others."""

    __tablename__ = "publication_rule"
    __table_args__ = (CheckConstraint("until > since", name="period"),)

    category: Mapped[str] = mapped_column(primary_key=True)
    field: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(primary_key=True)
    until: Mapped[datetime | None]
    public: Mapped[bool]
    document: Mapped[str]
