"""The figures of the office, how they are defined, and the cases behind each."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Response

from api.routers.asked import In, StrictRoute
from api.routers.cases import Limit, Mark, Of
from api.routers.files import disposition
from api.schemas.map_rows import CategoryCode
from api.schemas.strict import Code
from api.security import Who
from api.usecases import statistics
from api.usecases.statistics import Asked, span_of

router = APIRouter(prefix="/api/v1/statistics", route_class=StrictRoute, tags=["statistics"])

By = Literal[statistics.BY]  # type: ignore[valid-type]
Name = Literal[statistics.NAMED_SO]  # type: ignore[valid-type]
Date = Annotated[str | None, Query(max_length=40, description="a day of the bureau", examples=["2026-01-01"])]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
TABLES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            "application/json": {}, "text/csv": {"schema": {"type": "string"}}, XLSX: {"schema": {"type": "string", "format": "binary"}},
        }
    }
}  # fmt: skip


def asked(
    of: Of,
    period: Annotated[str | None, Query(max_length=40, examples=["2026-Q2"], description="2026, 2026-H1, 2026-Q2, 2026-06, a day")] = None,
    since: Date = None, until: Date = None,
    squad: Annotated[Code | None, Query()] = None, category: Annotated[CategoryCode | None, Query()] = None,
    stretch: Annotated[str | None, Query(max_length=401, examples=["A|B"], description="empty: all outside the band")] = None,
) -> Asked:  # fmt: skip
    """Which cases. Without a period, this month."""
    span = span_of(period, since, until, of.now().astimezone(of.zone).date())
    return Asked(span, squad=squad, category=category, stretch=stretch)


Which = Annotated[Asked, Depends(asked)]


@router.get("", summary="Figures of a period, each with its definition; by squad, category, stretch or time", responses=TABLES)
def figures(
    of: Of, who: Who, which: Which, lang: In,
    by: Annotated[By | None, Query(description="one line for each")] = None,
    figure: Annotated[Name | None, Query(description="this one only")] = None,
    form: Annotated[Literal["json", "csv", "xlsx"], Query(alias="format")] = "json",
) -> Any:  # fmt: skip
    names = () if figure is None else (str(figure),)
    told = statistics.figures(of, who, replace(which, by=by, names=names))
    if form == "json":
        return statistics.as_values(told, lang)
    headers = {"Cache-Control": "no-store", "Content-Disposition": disposition("statistics", f".{form}")}
    if form == "csv":
        return Response(statistics.as_csv(told, lang), 200, headers, "text/csv; charset=utf-8")
    return Response(statistics.as_workbook(told, lang), 200, headers, XLSX)


@router.get("/definitions", summary="What each figure is: what over what, by which day, and what is said of nothing")
def definitions(_: Who, lang: In) -> dict[str, Any]:
    return {"figures": statistics.definitions(lang)}


@router.get("/{figure}/cases", summary="The cases that a figure counts, with what each adds to it")
def cases(
    of: Of, who: Who, which: Which, lang: In, figure: Annotated[Name, Path()],
    part: Annotated[Literal["numerator", "denominator"], Query()] = "numerator", limit: Limit = 50, after: Mark = None,
) -> dict[str, Any]:  # fmt: skip
    return statistics.cases_of(of, who, figure, part, which, limit, after, lang)
