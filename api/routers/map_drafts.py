"""Drafts of the map: begun, edited by several, commented, signed, published."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any

import numpy as np
import shapely
from fastapi import APIRouter, Body, Response

from api.access import signs
from api.problems import status_of, told
from api.routers.asked import IfMatch, In, Of, StrictRoute, checked, revision_of
from api.routers.map_versions import Crs, Limit, Offset
from api.routers.pages import Features, collection_answer
from api.schemas import map_drafts as sent
from api.security import NotHisSide, Who, Writer
from api.usecases import map_defects
from api.usecases import map_drafts as use
from api.usecases.map_drafts import By
from api.usecases.map_features import Asked, layer_named, page, shelf_of_draft
from api.usecases.map_places import Frame, areas_of, grid_of, path_of, plain_frame, shape_of
from api.usecases.map_rows import row_told
from geodata import edits
from geodata.border_rows import FACTS
from geodata.edits import Edit, rings_of, row_said
from routing.errors import JieguanError

router = APIRouter(prefix="/api/v1", route_class=StrictRoute, tags=["drafts"])


@router.get("/drafts", summary="All drafts, newest first")
def drafts(of: Of) -> list[dict[str, Any]]:
    return use.drafts(of)


@router.post("/drafts", status_code=201, summary="Begin a draft on what was published last")
def begin(of: Of, body: sent.NewDraft, person: Writer, response: Response) -> dict[str, Any]:
    made = use.begin(of, body.name, person)
    response.headers["Location"] = f"/api/v1/drafts/{made['id']}"
    return tagged(made, response)


@router.get("/drafts/{draft}", summary="A draft as it stands; its ETag is its revision")
def draft(of: Of, draft: str, response: Response) -> dict[str, Any]:
    return tagged(use.draft(of, draft), response)


@router.get("/drafts/{draft}/layers/{layer}", summary="The rows of a layer as drawn, as GeoJSON", response_class=Features)
def rows(of: Of, draft: str, layer: str, crs: Crs = "lonlat", limit: Limit = 1000, offset: Offset = 0) -> Response:
    shelf, working = shelf_of_draft(of, draft, layer_named(layer))
    found = page(shelf, Asked(plain_frame(crs == "work", shelf.work_crs), limit, offset))
    return collection_answer(found, {"revision": working.revision, "layer": layer, "next_offset": found.next})


@router.get("/drafts/{draft}/layers/{layer}/arcs", summary="Borders: one line with an id for both sides")
def arcs(of: Of, draft: str, layer: str, crs: Crs = "lonlat") -> dict[str, Any]:
    return use.arcs(of, draft, layer_named(layer), crs == "work")


@router.get("/drafts/{draft}/changes", summary="Rows that differ from the base")
def changes(of: Of, draft: str) -> list[dict[str, Any]]:
    return use.changes(of, draft)


@router.post("/drafts/{draft}/edits", status_code=201, summary="One edit more, on top of what its author saw")
def add(
    of: Of,
    draft: str,
    body: Annotated[sent.NewEdit, Body(openapi_examples=sent.EXAMPLES)],
    person: Writer,
    response: Response,
    if_match: IfMatch = None,
) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, body.seen))
    return tagged(use.edit(of, by, edit_of(body.edit), body.crs == "work", body.note), response)


@router.post("/drafts/{draft}/undo", summary="Take an edit out")
def undo(of: Of, draft: str, body: sent.Undo, person: Writer, response: Response, if_match: IfMatch = None) -> dict[str, Any]:
    return tagged(use.undo(of, By(draft, person, revision_of(if_match, body.seen)), body.seq), response)


@router.post("/drafts/{draft}/redo", summary="Put back what was undone last")
def redo(of: Of, draft: str, body: sent.Seen, person: Writer, response: Response, if_match: IfMatch = None) -> dict[str, Any]:
    return tagged(use.redo(of, By(draft, person, revision_of(if_match, body.seen))), response)


@router.post("/drafts/{draft}/rebase", summary="Onto what was published last, edit by edit")
def rebase(of: Of, draft: str, person: Writer, lang: In, response: Response) -> dict[str, Any]:
    return tagged(use.rebase(of, By(draft, person), lang), response)


@router.post("/drafts/{draft}/abandon", summary="Close it without publishing")
def abandon(of: Of, draft: str, person: Writer) -> dict[str, Any]:
    return use.abandon(of, By(draft, person))


@router.get("/drafts/{draft}/comments", summary="What was said about it")
def comments(of: Of, draft: str) -> list[dict[str, Any]]:
    return use.comments(of, draft)


@router.post("/drafts/{draft}/comments", status_code=201, summary="Say something about it, at a place or not")
def comment(of: Of, draft: str, body: sent.NewComment, person: Writer) -> list[dict[str, Any]]:
    use.comment(of, By(draft, person), body.text, body.place)
    return use.comments(of, draft)


@router.get("/drafts/{draft}/findings", summary="What the checks say, and what of it blocks publication")
def findings(of: Of, draft: str, lang: In) -> list[dict[str, Any]]:
    return use.findings(of, draft, lang)


@router.get("/drafts/{draft}/waivers", summary="Warnings accepted by name")
def waivers(of: Of, draft: str) -> list[dict[str, Any]]:
    return use.waivers(of, draft)


@router.post("/drafts/{draft}/waivers", status_code=201, summary="Accept a warning, with a reason")
def waive(of: Of, draft: str, body: sent.NewWaiver, person: Writer) -> list[dict[str, Any]]:
    use.waive(of, By(draft, person), body.finding, body.reason)
    return use.waivers(of, draft)


@router.post("/drafts/{draft}/defects", status_code=201, summary="Enter a finding in the ledger of defects")
def enter_defect(of: Of, draft: str, body: sent.NewDefect, person: Writer, lang: In) -> list[dict[str, Any]]:
    use.enter_defect(of, By(draft, person), body.finding, body.squad, body.due, body.document)
    return map_defects.defects(of, lang)


@router.get("/drafts/{draft}/signatures", summary="Who signed which revision for whom")
def signatures(of: Of, draft: str) -> list[dict[str, Any]]:
    return use.signatures(of, draft)


@router.post("/drafts/{draft}/signatures", status_code=201, summary="Sign what the draft now is")
def sign(of: Of, draft: str, body: sent.NewSignature, person: Who, if_match: IfMatch = None) -> list[dict[str, Any]]:
    if not signs(person, body.side, body.role == "superior"):
        raise NotHisSide(side=body.side, squad=person.squad or "-")
    by = By(draft, person.name, revision_of(if_match, body.seen))
    use.sign(of, by, body.side, body.role, body.reason, body.document)
    return use.signatures(of, draft)


@router.get("/drafts/{draft}/readiness", summary="Could it be published now; if not, why not")
def readiness(of: Of, draft: str, lang: In) -> dict[str, Any]:
    def why(error: JieguanError) -> dict[str, Any]:
        return {**told(error, lang), "status": status_of(error)}

    return use.readiness(of, draft, why)


@router.post("/drafts/{draft}/publish", status_code=201, summary="Put it in force")
def publish(of: Of, draft: str, body: sent.NewPublication, person: Writer, if_match: IfMatch = None) -> dict[str, Any]:
    by = By(draft, person, revision_of(if_match, body.seen))
    return use.publish(of, by, body.reason, body.document, body.valid_from)


def tagged(standing: dict[str, Any], response: Response) -> dict[str, Any]:
    """A draft's standing, with its revision as the ETag."""
    response.headers["ETag"] = f'"{standing["revision"]}"'
    return standing


# --- an edit as it was sent -> as the draft takes it, once it is known in which metres ---


def edit_of(one: sent.AnyEdit) -> Callable[[Frame, str], Edit]:
    """The edit, its places in whole millimetres."""

    def made(frame: Frame, work_crs: str) -> Edit:
        plain = {name: getattr(one, name) for name in type(one).model_fields if name != "kind"}
        if isinstance(one, sent.PutRow):
            shape = None if one.geometry is None else shape_of(one.geometry.model_dump())
            ground = None if shape is None else grid_of(shape, frame, work_crs)
            return edits.PutRow(row=row_said(row_told(one.layer, checked(one.layer, one.properties), ground)))
        if isinstance(one, sent.RemoveRow):
            since = "" if one.since is None else one.since.isoformat()
            return edits.RemoveRow(layer=one.layer.value, code=one.code, since=since)
        if isinstance(one, sent.SetBorder):
            said = one.model_dump(mode="json", include=set(FACTS) & one.model_fields_set)
            says = {name: repr(value) if isinstance(value, float) else value for name, value in said.items()}
            ends = tuple(_place(end, frame, work_crs) for end in one.ends or ())
            between = tuple(one.between or ())
            return edits.SetBorder(layer=one.layer, code=one.code, says=says, arcs=one.arcs, between=between, ends=ends)
        for name in ("piece", "path", "line"):
            if name in plain:
                shape = shape_of(plain[name].model_dump())
                area = name == "piece"
                plain[name] = rings_of(grid_of(areas_of(shape, one.layer), frame, work_crs)) if area else path_of(shape, frame, work_crs)
        for name in ("node", "side"):
            if plain.get(name) is not None:
                plain[name] = _place(plain[name], frame, work_crs)
        if isinstance(one, sent.MoveNode):
            plain["to"] = _place(one.to, frame, work_crs)
        plain |= {name: tuple(plain[name]) for name in ("of", "codes", "between") if name in plain}
        return edits.KINDS[one.kind](**plain)

    return made


def _place(position: Sequence[float], frame: Frame, work_crs: str) -> tuple[int, int]:
    (place,) = path_of(shapely.Point(np.array(position[:2])), frame, work_crs)
    return place
