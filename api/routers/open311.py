"""Open311 GeoReport v2 at /open311/v2, in XML and JSON, with the boundary part it never had; and MapIt's look-up by point."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from starlette.exceptions import HTTPException

from api import georeport as face
from api.routers.asked import In, StrictRoute
from api.routers.asked import Of as OfMap
from api.routers.cases import Key, Of
from api.schemas.cases import complaint_of
from api.schemas.strict import HIDDEN, HiddenCharacters, instant
from api.security import NotLoggedIn, Who, admit
from api.settings import GeoReport
from api.usecases import areas as where
from api.usecases import georeport as use
from api.usecases.georeport import DECIMAL, FIELDS, Form, HalfAPlace, NotDecimal
from api.usecases.replays import Asked
from routing.errors import JieguanError

V2 = "/open311/v2"
FORM = "application/x-www-form-urlencoded"
MOST_BYTES, MOST_FIELDS = 1 << 16, 200
ATTRIBUTE = re.compile(r"attribute\[([^\[\]]{1,100})\](?:\[\])?")


class NotAForm(JieguanError):
    zh = "请求正文不是 UTF-8 的表单。请以 Content-Type: {media} 发送,文字用百分号编码。"
    en = "The body is no form in UTF-8. Send it with Content-Type: {media}, percent-encoded."


class UnknownField(JieguanError):
    zh = "没有“{value}”这一项:忽略它会办成另一件事。可用:{known}。"
    en = "There is no field {value!r}, and without it this would be another request. There are: {known}."


class FieldTwice(JieguanError):
    zh = "“{value}”给了两次:无法确定以哪个为准。请只给一次。"
    en = "{value!r} is given twice, and nobody can tell which one is meant. Give it once."


class WrongKey(NotLoggedIn):
    zh = "缺少 api_key,或 api_key 无效。请在 api_key 或请求头 Authorization: Bearer 中给出有效的令牌(见 discovery 的 key_service)。"
    en = "The api_key is missing or invalid. Give a valid one as api_key or in the header Authorization: Bearer (key_service of discovery)."


class NoPlaceNamed(JieguanError):
    zh = "没有地点。请给出 lat 与 long(WGS-84,十进制度)。"
    en = "No place is named. Give lat and long (WGS-84, decimal degrees)."


class GeoRoute(StrictRoute):
    """A route whose body is a form; the key may be one of its fields, so the form, a small one, is read before anybody is known."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()
        writes = self.methods == {"POST"}

        async def handle(request: Request) -> Response:
            request.state.key = request.query_params.get("api_key") or None
            if writes:  # who may not is told that first, whatever else is wrong
                wrong: JieguanError | HTTPException | None
                try:
                    form, wrong = await _form(request)
                except (JieguanError, HTTPException) as error:
                    form, wrong = Form({}, {}), error
                request.state.form, request.state.key = form, form.get("api_key") or request.state.key
                if wrong is not None:
                    await self.admit(request)
                    raise wrong
            return await answer(request)

        return handle

    async def admit(self, request: Request) -> None:
        try:
            await admit(request, self.path_format, request.state.key)
        except NotLoggedIn as error:
            raise WrongKey from error


async def _form(request: Request) -> tuple[Form, JieguanError | None]:
    """The fields of a form, and what is wrong with them. Raises NotAForm; 413 of one too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise NotAForm(media=FORM)
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise HTTPException(413)
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except ValueError as error:
        raise NotAForm(media=FORM) from error
    return form_of(pairs)


def form_of(pairs: list[tuple[str, str]]) -> tuple[Form, JieguanError | None]:
    """Fields and attributes, without those left empty; and what is wrong: Several of HiddenCharacters, UnknownField, FieldTwice."""
    fields: dict[str, str] = {}
    attributes: dict[str, tuple[str, ...]] = {}
    errors: list[JieguanError] = []
    for name, value in pairs:
        if HIDDEN.search(name) or HIDDEN.search(value):
            errors.append(HiddenCharacters())
            continue
        attribute = ATTRIBUTE.fullmatch(name)
        if attribute is None and name not in FIELDS:
            errors.append(UnknownField(value=name[:60], known=", ".join((*FIELDS, "attribute[...]"))))
        elif not value.strip():
            continue
        elif attribute is not None:
            attributes[attribute[1]] = (*attributes.get(attribute[1], ()), value.strip())
        elif name in fields:
            errors.append(FieldTwice(value=name))
        else:
            fields[name] = value.strip()
    return Form(fields, attributes), use.Several(errors=tuple(errors)) if errors else None


# ---- what every address takes ----------------------------------------------------------------------------------------

Text = Annotated[str, Query(max_length=20_000)]


@dataclass(frozen=True, slots=True)
class Asking:
    """How a client asked: in which format, of which endpoint. `about`: what clients are told of us."""

    format: str
    url: str
    about: GeoReport

    def answer(self, root: str, value: Any, **more: Any) -> Response:
        """A value in that format; `root`: of the XML."""
        return face.answer(self.format, root, value, **more)


async def asking(
    request: Request, format: Annotated[str, Path(json_schema_extra={"enum": ["json", "xml"]})],  # noqa: A002 - as the address has it
    jurisdiction_id: Annotated[str, Query(max_length=200, description="our only one, if any")] = "",
    api_key: Annotated[str, Query(max_length=200, description="not needed for reading")] = "",  # noqa: ARG001 - GeoRoute has it
) -> Asking:  # fmt: skip
    """Raises UnknownJurisdiction; there is nothing in any other format."""
    if format not in ("json", "xml"):
        raise HTTPException(404)
    about: GeoReport = request.app.state.serving.georeport
    use.check_jurisdiction(about, jurisdiction_id)
    return Asking(format, f"{request.base_url}{V2.removeprefix('/')}", about)


As = Annotated[Asking, Depends(asking)]
Code = Annotated[str, Path(max_length=100)]
TOLD: dict[int | str, dict[str, Any]] = {200: {"description": "as the ending says", "content": {"application/json": {}, "text/xml": {}}}}
router = APIRouter(prefix=V2, route_class=GeoRoute, tags=["open311"], responses=TOLD)
points = APIRouter(route_class=StrictRoute, tags=["open311"])


def listing(
    service_request_id: Annotated[Text, Query(description="several with commas; overrides all others")] = "",
    service_code: Annotated[Text, Query(description="several with commas")] = "",
    start_date: Annotated[Text, Query(description="received from then on; with a zone")] = "",
    end_date: Annotated[Text, Query(description="received until then; at most 90 days after")] = "",
    status: Annotated[Text, Query(description="open, closed")] = "",
    page: Text = "",
    page_size: Annotated[Text, Query(description="1 to 1,000")] = "",
    extensions: Annotated[Text, Query(description="true: with extended_attributes, who is responsible and why")] = "",
) -> use.Wanted:
    """What is left empty is as if it were not there. Raises Several."""
    said = {
        "service_request_id": service_request_id, "service_code": service_code, "start_date": start_date, "end_date": end_date,
        "status": status, "page": page, "page_size": page_size, "extensions": extensions,
    }  # fmt: skip
    return use.wanted({name: value.strip() for name, value in said.items()}, instant)


def _place(lat: str, long: str) -> where.Place | None:
    """Raises HalfAPlace, NotDecimal."""
    given = [(name, text.strip()) for name, text in (("lat", lat), ("long", long)) if text.strip()]
    if len(given) == 1:
        raise HalfAPlace
    for name, text in given:
        if DECIMAL.fullmatch(text) is None:
            raise NotDecimal(field=name)
    return where.Place(lon=float(given[1][1]), lat=float(given[0][1])) if given else None


# ---- GeoReport -------------------------------------------------------------------------------------------------------


@router.get("/discovery.{format}", summary="Which endpoints there are, in which formats, and where to get a key")
def discovery(of: Of, to: As) -> Response:
    return to.answer("discovery", use.discovery(of, to.about, to.url))


@router.get("/services.{format}", summary="What can be reported")
def services(of: Of, to: As, lang: In) -> Response:
    return to.answer("services", use.services(of, lang))


@router.get("/services/{code}.{format}", summary="What can be stated about one of them")
def definition(of: Of, to: As, code: Code, lang: In) -> Response:
    return to.answer("service_definition", use.definition(of, code, lang))


def _field(what: str, example: str) -> dict[str, Any]:
    return {"type": "string", "description": what, "examples": [example]}


SENT: dict[str, Any] = {
    "service_code": _field("of services", "GB30428:0504"), "lat": _field("WGS-84, with long", "34.868456"),
    "long": _field("WGS-84", "113.617123"), "address_string": _field("in words; enough without lat and long", "京广路与江山路口"),
    "address_id": _field("kept as it is", "410108001"), "description": _field("up to 4,000 characters", "店外经营,占用人行道"),
    "first_name": _field("who reports", "芳"), "last_name": _field("who reports", "王"), "phone": _field("to call back", "13800000000"),
    "email": _field("to write back", "wang@example.org"), "device_id": _field("not kept", ""), "account_id": _field("not kept", ""),
    "media_url": _field("a link; it is kept and not opened", "https://example.org/1.jpg"),
    "api_key": _field("unless the header has it", ""), "jurisdiction_id": _field("our only one, if any", ""),
    "attribute[datum]": _field("of lat and long", "gcj02"),
    "attribute[error_m]": _field("metres", "20"), "attribute[occurred_at]": _field("ISO 8601 with a zone", "2026-05-01T08:00:00+08:00"),
    "attribute[confidential]": _field("true or false", "true"),
}  # fmt: skip
A_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {FORM: {"schema": {"type": "object", "properties": SENT, "required": ["service_code"], "additionalProperties": False}}},
    }
}


@router.post(
    "/requests.{format}", status_code=201, summary="Report something; the answer says who is responsible", openapi_extra=A_FORM,
    responses={201: TOLD[200]},
)  # fmt: skip
def submit(of: Of, to: As, who: Who, request: Request, lang: In, key: Key = None) -> Response:
    form: Form = request.state.form
    use.check_jurisdiction(to.about, form.get("jurisdiction_id"))
    content = {name: said for name, said in form.fields.items() if name != "api_key"} | {"attributes": form.attributes}
    asked = Asked(key, json.dumps(["POST", f"{V2}/requests", content], sort_keys=True, ensure_ascii=False).encode())
    done, told = use.submit(of, who, form, asked, complaint_of, instant, lang)
    headers = {"Location": f"{V2}/requests/{told[0]['service_request_id']}.{to.format}", "Cache-Control": "no-store"}
    if done.again:
        headers["Idempotent-Replayed"] = "true"
    return to.answer("service_requests", told, status=done.status, headers=headers)


@router.get("/tokens/{token}.{format}", summary="Which request was made under an Idempotency-Key of one's own")
def token(of: Of, to: As, who: Who, token: Annotated[str, Path(max_length=255)]) -> Response:
    return to.answer("service_requests", use.token(of, who, token), headers={"Cache-Control": "no-store"})


@router.get("/requests.{format}", summary="Requests, the latest first: those of 90 days, up to 1,000")
def requests(of: Of, to: As, lang: In, asked: Annotated[use.Wanted, Depends(listing)]) -> Response:
    return to.answer("service_requests", use.requests(of, asked, lang))


@router.get("/requests/{number}.{format}", summary="One request")
def one(of: Of, to: As, number: Annotated[str, Path(max_length=60)], lang: In, extensions: Text = "") -> Response:
    return to.answer("service_requests", use.request(of, number, lang, extensions=extensions == "true"))


# ---- the boundary part -----------------------------------------------------------------------------------------------


@router.get("/coverage.{format}", summary="Is a place ours, who is responsible there, why, and how far from another answer")
def coverage(of: OfMap, office: Of, to: As, lang: In, lat: Text = "", long: Text = "", service_code: Text = "") -> Response:
    place = _place(lat, long)
    if place is None:
        raise NoPlaceNamed
    code = service_code.strip() or None
    if code is not None:
        use.definition(office, code, lang)
    return to.answer("coverage", where.coverage(of, office, place, code, to.url, lang))


@router.get("/areas.{format}", summary="The areas of the map in force, or those a place is in: both sides' on a line, none in a gap")
def areas(
    of: OfMap, office: Of, to: As, lang: In, lat: Text = "", long: Text = "",
    within: Annotated[Text, Query(description="metres, up to 1,000")] = "",
    boundary: Annotated[Text, Query(description="true: with outlines, as WKT in WGS-84")] = "",
) -> Response:  # fmt: skip
    reach = within.strip() or "0"
    if DECIMAL.fullmatch(reach) is None:
        raise NotDecimal(field="within")
    return to.answer("areas", where.areas(of, office, _place(lat, long), float(reach), boundary == "true", lang))


@points.get("/point/4326/{place}", summary="The areas a place (LON,LAT) is in, as MapIt tells them")
def by_point(of: OfMap, place: Annotated[str, Path(max_length=60, examples=["113.617,34.868"])], lang: In) -> dict[str, Any]:
    lon, _, lat = place.partition(",")
    found = _place(lat, lon)
    if found is None:
        raise NoPlaceNamed
    return where.by_point(of, found, lang)
