"""What is sent about people: logins, accounts, tokens."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.schemas.strict import Code, Strict, Truth, Whole
from api.usecases.passwords import LONGEST
from routing.case import Role

Password = Annotated[str, Field(max_length=LONGEST, json_schema_extra={"format": "password"})]
Name = Annotated[Code, Field(max_length=100, examples=["张三"])]


class NewSession(Strict):
    name: Name
    password: Password


class NewAccount(Strict):
    """Without a password only the identity provider can let him in."""

    name: Name
    role: Role
    squad: Code | None = None
    password: Password | None = None


class AccountChange(Strict):
    """What is not stated stays; `squad` null: he belongs to none."""

    role: Role | None = None
    squad: Code | None = None
    closed: Truth | None = None


class NewPassword(Strict):
    """`old`: of who changes his own."""

    password: Password
    old: Password | None = None


class NewToken(Strict):
    """`days`: until it ends by itself."""

    name: Name
    role: Role
    squad: Code | None = None
    days: Annotated[Whole, Field(ge=1, le=3650)] | None = None
