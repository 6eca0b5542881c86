"""What every address asks of a request: who may ask at all, a body that is JSON without tricks, parameters it knows, once each."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, NoReturn

from fastapi import Depends, Header, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from api.access import ANYBODY
from api.problems import language
from api.schemas.map_rows import MODELS
from api.schemas.strict import HIDDEN, WrongMedia, read_json
from api.security import admit
from api.usecases.map_features import MapStore
from api.usecases.map_places import OfTheAddress
from geodata.layer import LayerName
from routing.errors import JieguanError, Lang

TAG = re.compile(r'(?:W/)?"([^"]*)"')


class UnknownParameter(OfTheAddress):
    zh = "此地址没有名为“{value}”的参数:忽略它会得到并非所求的结果。可用:{known}。"
    en = "This address has no parameter {value!r}, and without it the answer would not be what you asked for. There are: {known}."


class ParameterTwice(OfTheAddress):
    zh = "参数“{value}”给了两次:无法确定以哪个为准。请只给一次。"
    en = "The parameter {value!r} is given twice, and nobody can tell which one is meant. Give it once."


class HiddenInAddress(OfTheAddress):
    zh = "地址或参数中含有不可见的控制字符:不会有这样的编号或代码。请删去后重试。"
    en = "The address or a parameter has invisible control characters, and nothing here is named so. Remove them."


class BadTag(JieguanError):
    zh = "If-Match“{value}”不是所读到的 ETag。请原样带回读取时得到的 ETag。"
    en = "If-Match {value!r} is no ETag of ours. Send back the ETag you got when reading, as it was."


class _Read(Request):
    """A request whose body has been read as we read JSON."""

    value: Any = None

    async def json(self) -> Any:
        return self.value


class StrictRoute(APIRoute):
    """A route that refuses whom and what it does not know."""

    def parameters(self) -> set[str]:
        """What may stand behind the `?` of its address."""
        return {p.alias for p in get_flat_params(self.dependant) if isinstance(p.field_info, params.Query)}

    async def admit(self, request: Request) -> None:
        """Let in who may ask. Raises what `security.admit` raises."""
        await admit(request, self.path_format)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer, known = super().get_route_handler(), self.parameters()
        takes_body, untyped = self.body_field is not None, self.strict_content_type is False

        async def handle(request: Request) -> Response:
            await self.admit(request)
            check_parameters(request, known)
            read = _Read(request.scope, request.receive)
            data = await read.body() if takes_body else b""
            if data:
                _check_media(request.headers.get("content-type"), untyped)
                read.value = read_json(data)
            response = await answer(read)
            if request.state.principal is not ANYBODY:  # what was told to one is not kept for others
                response.headers.setdefault("Cache-Control", "no-store")
            return response

        return handle


def _check_media(value: str | None, untyped: bool) -> None:
    media = (value or "").partition(";")[0].strip().lower()
    if not (media == "application/json" or (media.startswith("application/") and media.endswith("+json")) or (untyped and not media)):
        raise WrongMedia(value=(value or "-")[:60])


def check_parameters(request: Request, known: set[str]) -> None:
    """Raises UnknownParameter, ParameterTwice, HiddenInAddress."""
    seen: set[str] = set()
    if any(HIDDEN.search(value) for value in request.path_params.values()):
        raise HiddenInAddress
    for name, value in request.query_params.multi_items():
        if HIDDEN.search(value):
            raise HiddenInAddress
        if name not in known:
            raise UnknownParameter(value=name[:60], known=", ".join(sorted(known)) or "-")
        if name in seen:
            raise ParameterTwice(value=name)
        seen.add(name)


async def map_store(request: Request) -> MapStore:
    """The map this process serves."""
    store: MapStore = request.app.state.map
    return store


Of = Annotated[MapStore, Depends(map_store)]
async def spoken(request: Request) -> Lang:
    """The language asked for. What only looks at the request is asked on the event loop: a thread would cost more than the look."""
    return language(request)


In = Annotated[Lang, Depends(spoken)]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=200)]


def tag_of(value: str | None) -> str | None:
    """The content hash of an If-Match; None where there is none, or any will do. Raises BadTag."""
    if value is None or value.strip() == "*":
        return None
    found = TAG.fullmatch(value.strip())
    if found is None:
        raise BadTag(value=value[:80])
    return found[1]


def revision_of(value: str | None, seen: int | None) -> int | None:
    """The revision somebody looked at, from the body or the header. Raises BadTag."""
    tag = tag_of(value)
    if seen is not None or tag is None:
        return seen
    if not tag.isascii() or not tag.isdigit() or len(tag) > 9:
        raise BadTag(value=tag[:80])
    return int(tag)


def checked(layer: LayerName, record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with every column of its layer. Raises RequestValidationError."""
    try:
        return MODELS[layer].model_validate(dict(record)).model_dump()
    except ValidationError as error:
        refuse(error, "body", "properties")


def refuse(error: ValidationError, *where: str) -> NoReturn:
    """Bad columns are answered like any other bad field."""
    raise RequestValidationError([{**e, "loc": (*where, *e["loc"])} for e in error.errors()]) from error
