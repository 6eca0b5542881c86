"""Options of commands: those every command has, and those made of the fields of a value."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any

import typer

Opt = typer.Option
LangOption = Annotated[str | None, Opt("--lang", help="lang")]
JsonOption = Annotated[bool, Opt("--json", help="json")]


def with_fields(of: type, *shared: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each field of a frozen value, and hand it the value as one argument.

    `shared` fields are arguments of the command itself (or options of another value) and are only passed on.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        parameters = {n: p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for n, p in inspect.signature(command).parameters.items()}
        name = next(n for n, p in parameters.items() if p.annotation is of)
        del parameters[name]
        mine = [f.name for f in fields(of) if f.name not in shared]
        for field in fields(of):
            if field.name in mine:
                option: Any = Annotated[TYPES[str(field.type)], Opt("--" + field.name.replace("_", "-"), help=field.name)]
                parameters[field.name] = inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=option
                )

        def call(**given: Any) -> Any:
            passed = {k: given[k] for k in shared if k in given}
            value = of(**{k: given.pop(k) for k in mine}, **passed)
            return command(**{name: value}, **given)

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        ordered = sorted(parameters.values(), key=lambda p: p.default is not inspect.Parameter.empty)
        call.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in ordered}
        return call

    return decorate


TYPES: dict[str, Any] = {"str": str, "str | None": str | None, "float": float, "float | None": float | None}
