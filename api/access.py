"""Who may ask what, and what of it they see: the matrix of roles as tables. Values only: no service, no database.

ENDPOINTS says which roles may ask which address, `sees` and `reveals` which cases and which reporters, PROTECTED which fields are
masked and how. What is not in a table is refused. A squad leader can read the same in tests/golden/access.yaml, which is held
against these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from routing.case import Actor, Role
from routing.errors import JieguanError
from routing.model import SquadCode

R = Role
LOGGED_IN = frozenset(Role) - {R.PUBLIC}
STAFF = LOGGED_IN - {R.MACHINE}
CALLS = frozenset({R.OPERATOR, R.DISPATCHER})
SQUAD = frozenset({R.LEADER, R.MEMBER})
PLANNER = frozenset({R.PLANNER})
ADMINISTRATOR = frozenset({R.ADMINISTRATOR})


class UnknownRole(JieguanError):
    zh = "没有“{value}”这个角色。可用:{known}。"
    en = "There is no role {value!r}. There are: {known}."


class SquadNeeded(JieguanError):
    zh = "角色“{role}”须指明所属中队:他能看到和办理的案件由此决定。请写明中队编码。"
    en = "The role {role!r} needs a squad, which decides what cases he sees and handles. State its code."


def role_named(value: str) -> Role:
    """A role by its name. Raises UnknownRole."""
    try:
        return Role(value)
    except ValueError as error:
        raise UnknownRole(value=value[:60], known=", ".join(Role)) from error


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. `name`: as it is signed with; `how` he was known: session, token, development, or not at all (nobody)."""

    account: str
    name: str
    role: Role
    squad: SquadCode | None
    how: str

    @property
    def actor(self) -> Actor:
        """As a case knows him."""
        return Actor(self.account, self.role, self.squad)


ANYBODY = Principal("-", "-", Role.PUBLIC, None, "nobody")
"""Who has not logged in."""

# ---- addresses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask. `open`: anybody, and nobody is asked who he is."""

    roles: frozenset[Role]
    open: bool = False


OPEN = Access(frozenset(Role), open=True)
WELCOME = Access(frozenset(Role))
"""Anybody, and who has logged in is told more."""
ANY_LOGIN = Access(LOGGED_IN)
ANY_STAFF = Access(STAFF)
LOOKS_AT_DRAFTS = Access(PLANNER | {R.LEADER, R.DISPATCHER, R.SUPERVISOR})
DRAWS = Access(PLANNER)
SIGNS = Access(PLANNER | {R.LEADER, R.SUPERVISOR})
LOOKS_AT_STUDIES = Access(PLANNER | {R.SUPERVISOR})
RUNS_ACCOUNTS = Access(ADMINISTRATOR)
SETS_LIMITS = Access(PLANNER | ADMINISTRATOR)
TAKES_CASES = Access(CALLS | SQUAD | {R.MACHINE})
LOOKS_AT_CASES = Access(CALLS | SQUAD | {R.SUPERVISOR, R.MACHINE})
WORKS_ON_CASES = Access(CALLS | SQUAD | {R.SUPERVISOR})
LOOKS_AT_FIGURES = Access(ADMINISTRATOR | {R.DISPATCHER, R.SUPERVISOR, R.LEADER})

ENDPOINTS: Mapping[tuple[str, str], Access] = {
    # the service
    ("GET", "/healthz"): OPEN,
    ("GET", "/readyz"): OPEN,
    ("GET", "/metrics"): OPEN,  # from this machine or by a token of its own, which is not a person's
    ("GET", "/api/openapi.json"): ANY_LOGIN,
    # people
    ("POST", "/api/v1/sessions"): OPEN,
    ("DELETE", "/api/v1/sessions/current"): ANY_LOGIN,
    ("GET", "/api/v1/login/oidc"): OPEN,
    ("GET", "/api/v1/login/oidc/callback"): OPEN,
    ("GET", "/api/v1/me"): ANY_LOGIN,
    ("GET", "/api/v1/users"): RUNS_ACCOUNTS,
    ("POST", "/api/v1/users"): RUNS_ACCOUNTS,
    ("PATCH", "/api/v1/users/{name}"): RUNS_ACCOUNTS,
    ("POST", "/api/v1/users/{name}/password"): ANY_STAFF,
    ("GET", "/api/v1/tokens"): RUNS_ACCOUNTS,
    ("POST", "/api/v1/tokens"): RUNS_ACCOUNTS,
    ("DELETE", "/api/v1/tokens/{token}"): RUNS_ACCOUNTS,
    # the published map
    ("POST", "/api/v1/route"): OPEN,
    ("POST", "/api/v1/route/many"): ANY_LOGIN,
    ("POST", "/api/v1/explain"): OPEN,
    ("GET", "/api/v1/in-force"): OPEN,
    ("GET", "/api/v1/publications"): OPEN,
    ("GET", "/api/v1/versions"): OPEN,
    ("GET", "/api/v1/versions/{version}"): OPEN,
    ("GET", "/api/v1/versions/{version}/certificate"): OPEN,
    ("GET", "/api/v1/versions/{version}/layers/{layer}"): OPEN,
    ("GET", "/api/v1/versions/{version}/export"): OPEN,
    ("POST", "/api/v1/versions/{version}/roll-back"): DRAWS,
    # drafts of it
    ("GET", "/api/v1/drafts"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/drafts/{draft}/layers/{layer}"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/drafts/{draft}/layers/{layer}/arcs"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/drafts/{draft}/changes"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/edits"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/undo"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/redo"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/rebase"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/abandon"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/comments"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/comments"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/drafts/{draft}/findings"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/drafts/{draft}/waivers"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/waivers"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/defects"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/signatures"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/signatures"): SIGNS,
    ("GET", "/api/v1/drafts/{draft}/readiness"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/publish"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/repairs"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/repairs"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/repairs/{finding}"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/repairs/{finding}"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/repairs/{finding}/picture"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/drafts/{draft}/uploads"): DRAWS,
    ("GET", "/api/v1/drafts/{draft}/export"): LOOKS_AT_DRAFTS,
    ("GET", "/api/v1/defects"): LOOKS_AT_DRAFTS,
    ("POST", "/api/v1/defects/{key}/close"): DRAWS,
    # questions to the past
    ("GET", "/api/v1/histories"): LOOKS_AT_STUDIES,
    ("POST", "/api/v1/histories"): DRAWS,
    ("DELETE", "/api/v1/histories/{name}"): DRAWS,
    ("GET", "/api/v1/jobs"): LOOKS_AT_STUDIES,
    ("GET", "/api/v1/jobs/{job}"): LOOKS_AT_STUDIES,
    ("DELETE", "/api/v1/jobs/{job}"): DRAWS,
    ("GET", "/api/v1/jobs/{job}/moved"): LOOKS_AT_STUDIES,
    ("POST", "/api/v1/practice"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/what-if"): DRAWS,
    ("POST", "/api/v1/drafts/{draft}/practice/{job}/{n}"): DRAWS,
    # OGC API - Features
    ("GET", "/ogc"): WELCOME,
    ("GET", "/ogc/"): WELCOME,
    ("GET", "/ogc/conformance"): OPEN,
    ("GET", "/ogc/api"): WELCOME,
    ("GET", "/ogc/collections"): OPEN,
    ("GET", "/ogc/collections/{layer}"): OPEN,
    ("GET", "/ogc/collections/{layer}/schema"): OPEN,
    ("GET", "/ogc/collections/{layer}/queryables"): OPEN,
    ("GET", "/ogc/collections/{layer}/items"): OPEN,
    ("GET", "/ogc/collections/{layer}/items/{feature}"): OPEN,
    ("GET", "/ogc/drafts/{draft}"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/conformance"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/api"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/collections"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/collections/{layer}"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/collections/{layer}/schema"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/collections/{layer}/queryables"): LOOKS_AT_DRAFTS,
    ("GET", "/ogc/drafts/{draft}/collections/{layer}/items"): LOOKS_AT_DRAFTS,
    ("POST", "/ogc/drafts/{draft}/collections/{layer}/items"): DRAWS,
    ("GET", "/ogc/drafts/{draft}/collections/{layer}/items/{feature}"): LOOKS_AT_DRAFTS,
    ("PUT", "/ogc/drafts/{draft}/collections/{layer}/items/{feature}"): DRAWS,
    ("PATCH", "/ogc/drafts/{draft}/collections/{layer}/items/{feature}"): DRAWS,
    ("DELETE", "/ogc/drafts/{draft}/collections/{layer}/items/{feature}"): DRAWS,
    # cases
    ("GET", "/api/v1/categories"): OPEN,
    ("POST", "/api/v1/categories"): RUNS_ACCOUNTS,
    ("POST", "/api/v1/categories/{code}/end"): RUNS_ACCOUNTS,
    ("GET", "/api/v1/limits"): ANY_STAFF,
    ("POST", "/api/v1/limits"): SETS_LIMITS,
    ("POST", "/api/v1/limits/{limit}/end"): SETS_LIMITS,
    ("POST", "/api/v1/escalations"): SETS_LIMITS,
    ("POST", "/api/v1/escalations/{escalation}/end"): SETS_LIMITS,
    ("POST", "/api/v1/cases"): TAKES_CASES,
    ("POST", "/api/v1/cases/suggestions"): TAKES_CASES,
    ("POST", "/api/v1/cases/batch"): Access(CALLS | {R.MACHINE}),
    ("GET", "/api/v1/cases"): LOOKS_AT_CASES,
    ("GET", "/api/v1/cases/{number}"): LOOKS_AT_CASES,
    ("GET", "/api/v1/cases/{number}/events"): LOOKS_AT_CASES,
    ("GET", "/api/v1/cases/{number}/holdings"): LOOKS_AT_CASES,
    ("GET", "/api/v1/cases/{number}/history"): WORKS_ON_CASES,
    ("GET", "/api/v1/cases/{number}/dossier"): WORKS_ON_CASES,
    ("POST", "/api/v1/cases/{number}/actions"): WORKS_ON_CASES,
    ("GET", "/api/v1/cases/{number}/reporter"): WORKS_ON_CASES,
    ("POST", "/api/v1/cases/{number}/reporter/reveal"): WORKS_ON_CASES,
    ("GET", "/api/v1/cases/{number}/accesses"): Access(frozenset({R.SUPERVISOR})),
    ("GET", "/api/v1/cases/{number}/attachments"): LOOKS_AT_CASES,
    ("POST", "/api/v1/cases/{number}/attachments"): LOOKS_AT_CASES,
    ("GET", "/api/v1/cases/{number}/attachments/{attachment}"): LOOKS_AT_CASES,
    ("GET", "/api/v1/squads/{squad}/queue"): WORKS_ON_CASES,
    ("GET", "/api/v1/clusters"): WORKS_ON_CASES,
    ("POST", "/api/v1/clusters"): Access(CALLS),
    ("GET", "/api/v1/clusters/{cluster}"): WORKS_ON_CASES,
    ("POST", "/api/v1/clusters/{cluster}/joint"): Access(CALLS),
    # the public: what is shown, and Open311
    ("GET", "/api/v1/publication-rules"): OPEN,
    ("GET", "/api/v1/published"): OPEN,
    ("GET", "/api/v1/published/{number}"): OPEN,
    ("POST", "/api/v1/publication-rules"): RUNS_ACCOUNTS,
    ("POST", "/api/v1/publication-rules/end"): RUNS_ACCOUNTS,
    ("GET", "/open311/v2/discovery.{format}"): OPEN,
    ("GET", "/open311/v2/services.{format}"): OPEN,
    ("GET", "/open311/v2/services/{code}.{format}"): OPEN,
    ("GET", "/open311/v2/requests.{format}"): OPEN,
    ("POST", "/open311/v2/requests.{format}"): Access(frozenset({R.MACHINE})),
    ("GET", "/open311/v2/requests/{number}.{format}"): OPEN,
    ("GET", "/open311/v2/tokens/{token}.{format}"): WELCOME,
    ("GET", "/open311/v2/coverage.{format}"): OPEN,
    ("GET", "/open311/v2/areas.{format}"): OPEN,
    ("GET", "/point/4326/{place}"): OPEN,
    ("GET", "/api/v1/rulings"): Access(PLANNER | {R.DISPATCHER, R.SUPERVISOR}),
    ("POST", "/api/v1/rulings/{ruling}/take"): DRAWS,
    ("POST", "/api/v1/rulings/{ruling}/decline"): DRAWS,
    # statistics
    ("GET", "/api/v1/statistics"): LOOKS_AT_FIGURES,
    ("GET", "/api/v1/statistics/definitions"): LOOKS_AT_FIGURES,
    ("GET", "/api/v1/statistics/{figure}/cases"): LOOKS_AT_FIGURES,
}
"""Method and path template of every address there is. One that is missing here is refused to all."""


def methods_of(path: str) -> list[str]:
    """What may be asked of an address."""
    return sorted(_ITSELF.get(path) or {method for form, methods in _FORMS for method in methods if form.fullmatch(path)})


def is_another(method: str, path: str, template: str) -> bool:
    """Is an address one of its own, although it fits a template? There is no case with the number `batch`."""
    return path != template and path in _ITSELF and method not in _ITSELF[path]


def _form(template: str) -> re.Pattern[str]:
    """A feature's name may have slashes in it."""
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join((".+" if p == "feature" else "[^/]+") if n % 2 else re.escape(p) for n, p in enumerate(parts)))


_ITSELF = {path: frozenset(m for m, template in ENDPOINTS if template == path) for _, path in ENDPOINTS}
_FORMS = tuple((_form(template), methods) for template, methods in _ITSELF.items())


def signs(who: Principal, side: str, superior: bool) -> bool:
    """May he sign a draft for a side? Planners enter what was signed on paper, a leader signs for his squad, a supervisor for all."""
    if who.role is R.LEADER:
        return not superior and side == who.squad
    return who.role in SIGNS.roles


# ---- cases -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """What an asker has to do with a case.

    `part` of his squad in it (as in `case_part`), or none; `created` by himself; `against` his squad; `to_supervision`: about
    officers; `confidential`: the reporter asked for it.
    """

    part: str | None
    created: bool
    against: bool
    to_supervision: bool
    confidential: bool


def _never(_: Row) -> bool:
    return False


def _always(_: Row) -> bool:
    return True


def _of_the_office(row: Row) -> bool:
    """Who takes calls sees what supervision handles only if he took it himself."""
    return row.created or not row.to_supervision


def _of_the_squad(row: Row) -> bool:
    return row.part is not None


def _calls_back(row: Row) -> bool:
    """Whoever handles it must be able to call back; who asked for confidence is called by the office."""
    return row.part in ("holds", "joint") and not row.confidential


def _own(row: Row) -> bool:
    return row.created


Rule = Callable[[Row], bool]
SEES: Mapping[Role, Rule] = {
    R.OPERATOR: _of_the_office,
    R.DISPATCHER: _of_the_office,
    R.LEADER: _of_the_squad,
    R.MEMBER: _of_the_squad,
    R.PLANNER: _never,
    R.SUPERVISOR: _always,
    R.ADMINISTRATOR: _never,
    R.MACHINE: _own,
    R.PUBLIC: _never,
}
REVEALS: Mapping[Role, Rule] = {
    R.OPERATOR: _always,
    R.DISPATCHER: _always,
    R.LEADER: _calls_back,
    R.MEMBER: _calls_back,
    R.SUPERVISOR: _always,
}
"""Of what they see. Who is not named here is never told who complained."""


def sees(role: Role, row: Row) -> bool:
    """May he see the case? Nobody of a squad sees a complaint about it, whatever else he has to do with it."""
    return not row.against and SEES.get(role, _never)(row)


def reveals(role: Role, row: Row) -> bool:
    """May he ask, with a reason and on record, who complained?"""
    return sees(role, row) and REVEALS.get(role, _never)(row)


# ---- fields ----------------------------------------------------------------------------------------------------------

HIDDEN = "***"


def _surname(value: str) -> str:
    return value.strip()[:1] + HIDDEN


def _last_four(value: str) -> str:
    """Of a number long enough that four digits do not tell it."""
    digits = [c for c in value if c.isdecimal()]
    return HIDDEN + "".join(digits[-4:] if len(digits) >= 8 else ())


def _hidden(_: str) -> str:
    return HIDDEN


PROTECTED: Mapping[str, Callable[[str], str]] = {"name": _surname, "phone": _last_four, "email": _hidden, "address": _hidden}
"""What is kept of a reporter, and what of it is shown, without asking, to those who may ask. Others are shown nothing."""


def masked(reporter: Mapping[str, str | None], may_reveal: bool) -> dict[str, str | None]:
    """A reporter as a case shows him. None: nothing was stated, or nothing of it is shown."""
    said = {field: reporter.get(field) for field in PROTECTED}
    return {field: PROTECTED[field](value) if may_reveal and value else None for field, value in said.items()}
