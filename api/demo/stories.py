"""SYNTHETIC lives of cases: who does what to a case, and how long after, as sentences of the story say.

    story(seen)            yields a Step each time; `seen.case` is the case as it was told after the one before
    STORIES                what happens, and how often
    ENDINGS                for each state, a story that comes there

Values only: whoever tells the stories (`api.demo.year`) does what the steps say by the use cases, as the people they name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from routing.case import Action, Outcome, Role, State

MARK = "【演示 synthetic】"
"""What everything written in the demo begins with."""
DOCUMENT = "惠城管指〔演示〕{number}号"
A, R = Action, Role
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Step:
    """One order, so long after what happened before. `by`: a role, and of which squad; `second`: his colleague of the same role."""

    after: timedelta
    by: tuple[Role, str | None]
    action: Action
    second: bool = False
    squad: str | None = None
    squads: tuple[str, ...] = ()
    reason: str = ""
    evidence: tuple[str, ...] = ()
    document: str = ""
    review_in: timedelta | None = None
    outcome: Outcome | None = None
    category: str | None = None


@dataclass(slots=True)
class Seen:
    """A case as its people see it. `squads`: those with ground; `categories`: what else it may turn out to be."""

    case: Mapping[str, Any]
    rng: np.random.Generator
    squads: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def state(self) -> State:
        return State(self.case["state"])

    @property
    def holder(self) -> str:
        return str(self.case["holder"])

    def other(self) -> str:
        """A neighbour who was told of it, or else any other squad."""
        told = [s for s in (*self.case["assist"], *self.case["joint"]) if s != self.holder and s in self.squads]
        return str(self.rng.choice(told or [s for s in self.squads if s != self.holder]))

    def within(self, low: timedelta, high: timedelta) -> timedelta:
        return low + (high - low) * float(self.rng.random())

    def one_of(self, *said: str) -> str:
        return MARK + str(self.rng.choice(said))

    def desk(self, action: Action, low: timedelta = HOUR / 30, high: timedelta = HOUR, *, by: Role = R.DISPATCHER, **more: Any) -> Step:
        """By somebody of the office."""
        return Step(self.within(low, high), (by, None), action, **more)

    def ours(self, action: Action, low: timedelta = HOUR / 2, high: timedelta = 8 * HOUR, *, by: Role = R.LEADER, **more: Any) -> Step:
        """By somebody of the squad that holds it."""
        return Step(self.within(low, high), (by, self.holder), action, **more)

    def theirs(self, squad: str, action: Action, *, by: Role = R.LEADER, **more: Any) -> Step:
        """By somebody of another squad."""
        return Step(self.within(HOUR, 10 * HOUR), (by, squad), action, **more)


Steps = Iterator[Step]
Story = Callable[[Seen], Steps]


# ---- pieces of stories -----------------------------------------------------------------------------------------------


def registered(s: Seen) -> Steps:
    yield s.desk(A.ACCEPT, by=R.OPERATOR)
    yield s.desk(A.REGISTER)


def dispatched(s: Seen) -> Steps:
    yield from registered(s)
    yield s.desk(A.DISPATCH)


def taken(s: Seen) -> Steps:
    yield from dispatched(s)
    yield from signed(s)


def signed(s: Seen) -> Steps:
    """By who holds it, where somebody has still to sign."""
    if s.state is State.DISPATCHED:
        yield s.ours(A.SIGN, by=R.MEMBER)


def reported(s: Seen) -> Steps:
    done = s.one_of("现场已劝离,恢复道路通行", "已责令改正,当场整改完毕", "已清理完毕并复查", "已立案查处,另行公告结果")
    yield s.ours(A.REPORT, HOUR, 30 * HOUR, by=R.MEMBER, reason=done, evidence=(MARK + "整改前后照片各 1 张",))


VISITED = {Outcome.SATISFIED: "表示满意", Outcome.BASICALLY: "表示基本满意", Outcome.NOT_REACHED: "未接通,两次"}


def ended(s: Seen) -> Steps:
    """Checked, answered, closed, asked afterwards, put away."""
    yield s.desk(A.TAKE_TO_CHECK, HOUR, 20 * HOUR)
    if not s.case["replied"]:
        yield s.desk(A.REPLY, by=R.OPERATOR, reason=s.one_of("已电话告知处理结果", "已短信答复", "已书面答复"))
    yield s.desk(A.CLOSE)
    outcome = list(VISITED)[int(s.rng.integers(len(VISITED)))]
    yield s.desk(A.FOLLOW_UP, DAY, 4 * DAY, by=R.OPERATOR, reason=MARK + VISITED[outcome], outcome=outcome)
    yield s.desk(A.ARCHIVE, 5 * DAY, 20 * DAY)


def finished(s: Seen) -> Steps:
    yield from reported(s)
    yield from ended(s)


def asked_back(s: Seen) -> Step:
    why = s.one_of("地点在路北,不属本中队辖区", "该门店登记在邻街道", "当事人已移至对面中队一侧")
    return s.ours(A.REQUEST_RETURN, reason=why, evidence=(MARK + "现场定位截图",))


# ---- stories ---------------------------------------------------------------------------------------------------------


def usual(s: Seen) -> Steps:
    yield from taken(s)
    yield from finished(s)


def verified(s: Seen) -> Steps:
    yield s.desk(A.VERIFY, by=R.OPERATOR)
    yield s.desk(A.ACCEPT, HOUR, 5 * HOUR, by=R.OPERATOR)
    yield s.desk(A.REGISTER)
    yield s.desk(A.DISPATCH)
    yield from signed(s)
    yield from finished(s)


def void(s: Seen) -> Steps:
    yield s.desk(A.VERIFY, by=R.OPERATOR)
    yield s.desk(A.VOID, HOUR, 20 * HOUR, by=R.OPERATOR, reason=s.one_of("到场未发现所述情形"), evidence=(MARK + "现场照片",))


def not_accepted(s: Seen) -> Steps:
    yield s.desk(A.REFUSE, by=R.OPERATOR, reason=s.one_of("属民事纠纷,已告知可向人民法院起诉", "不在城市管理职责范围,已告知主管部门"))


def answered(s: Seen) -> Steps:
    yield s.desk(A.ANSWER, by=R.OPERATOR, reason=s.one_of("政策咨询,当场答复"))


def not_registered(s: Seen) -> Steps:
    yield s.desk(A.ACCEPT, by=R.OPERATOR)
    yield s.desk(A.REFUSE_REGISTRATION, reason=s.one_of("已由前一案件一并处理"))


def rework(s: Seen) -> Steps:
    yield from taken(s)
    yield from reported(s)
    yield s.desk(A.TAKE_TO_CHECK, HOUR, 20 * HOUR)
    yield s.desk(A.FAIL, reason=s.one_of("复查发现再次占道", "照片与现场不符"))
    yield from finished(s)


def returned(s: Seen) -> Steps:
    """Asked back once, and another squad got it."""
    yield from dispatched(s)
    yield asked_back(s)
    yield s.desk(A.ACCEPT_RETURN, squad=s.other(), reason=s.one_of("经核对地图,应由相邻中队办理"))
    yield from signed(s)
    yield from finished(s)


def kept(s: Seen) -> Steps:
    """Asked back once, in vain."""
    yield from taken(s)
    yield asked_back(s)
    yield s.desk(A.REJECT_RETURN, reason=s.one_of("经实地测量,地点在你中队一侧"))
    yield from finished(s)


def designated(s: Seen) -> Steps:
    """Asked back a second time: a superior decides."""
    yield from taken(s)
    yield asked_back(s)
    yield s.desk(A.REJECT_RETURN, reason=s.one_of("请先行处置"))
    yield asked_back(s)
    yield from ordered(s)


def ordered(s: Seen) -> Steps:
    squad, document = s.other(), DOCUMENT.format(number=int(s.rng.integers(1, 400)))
    yield s.desk(A.DESIGNATE, 4 * HOUR, 2 * DAY, squad=squad, reason=s.one_of("交界路段,由首次发现方办理"), document=document)
    yield from signed(s)
    yield from finished(s)


def referred(s: Seen) -> Steps:
    """The dispatcher himself does not know, and asks."""
    yield from dispatched(s)
    yield s.desk(A.REFER, HOUR, 5 * HOUR, reason=s.one_of("两中队均称不属本辖区"))
    yield from ordered(s)


def joint(s: Seen) -> Steps:
    yield from taken(s)
    yield s.ours(A.START_JOINT, squads=(s.other(),), reason=s.one_of("流动摊贩跨路往返,须两侧同时执法"))
    for squad in tuple(s.case["parts"]):
        yield s.theirs(squad, A.FINISH_PART, by=R.MEMBER)
    yield from finished(s)


def suspended(s: Seen) -> Steps:
    yield from taken(s)
    yield s.ours(A.REQUEST_SUSPENSION, reason=s.one_of("道路施工围挡,待拆除后处置", "等待产权单位确认"), review_in=20 * DAY)
    yield s.desk(A.SUSPEND, HOUR, 20 * HOUR, review_in=20 * DAY)
    yield s.ours(A.RESUME, 3 * DAY, 15 * DAY)
    yield from finished(s)


def not_suspended(s: Seen) -> Steps:
    yield from taken(s)
    yield s.ours(A.REQUEST_SUSPENSION, reason=s.one_of("人手不足"), review_in=10 * DAY)
    yield s.desk(A.REFUSE_SUSPENSION, reason=s.one_of("不属可挂账情形"))
    yield from finished(s)


def extended(s: Seen) -> Steps:
    yield from taken(s)
    yield s.ours(A.REQUEST_EXTENSION, reason=s.one_of("当事人外出,约定三日后到场"))
    if s.rng.random() < 0.7:
        yield s.desk(A.GRANT_EXTENSION, reason=s.one_of("同意延期一次"))
    else:
        yield s.desk(A.REFUSE_EXTENSION, reason=s.one_of("请按期办结"))
    yield from finished(s)


def supervised(s: Seen) -> Steps:
    yield from taken(s)
    yield s.desk(A.URGE, DAY, 2 * DAY, by=R.OPERATOR, reason=s.one_of("投诉人再次来电"))
    yield s.desk(A.SUPERVISE, HOUR, DAY, by=R.SUPERVISOR, reason=s.one_of("群众反复投诉,限期办结"), review_in=5 * DAY)
    yield s.ours(A.ANSWER_SUPERVISION, reason=s.one_of("已增派人员,当日完成"))
    yield from finished(s)


def noted(s: Seen) -> Steps:
    yield from taken(s)
    yield s.desk(A.NOTE, reason=s.one_of("请举一反三,排查周边同类问题"))
    yield s.ours(A.REPLY, by=R.MEMBER, reason=s.one_of("已到现场向投诉人说明"))
    yield from finished(s)


def handed_over(s: Seen) -> Steps:
    yield from taken(s)
    squad = s.other()
    yield s.ours(A.OFFER, squad=squad, reason=s.one_of("当事人常驻对面,请你队接手"))
    yield s.theirs(squad, A.TAKE_OVER)
    yield from finished(s)


def declined(s: Seen) -> Steps:
    """Offered to two: one does not want it, and the offer to the other is taken back."""
    yield from taken(s)
    squad = s.other()
    yield s.ours(A.OFFER, squad=squad, reason=s.one_of("请协助接手"))
    yield s.theirs(squad, A.DECLINE, reason=s.one_of("警力已另有安排"))
    yield s.ours(A.OFFER, squad=s.other(), reason=s.one_of("请协助接手"))
    yield s.ours(A.WITHDRAW_OFFER)
    yield from finished(s)


def transferred(s: Seen) -> Steps:
    yield from dispatched(s)
    yield s.desk(A.TRANSFER, HOUR, 6 * HOUR, squad=s.other(), reason=s.one_of("原中队参加专项行动,改派"))
    yield from signed(s)
    yield from finished(s)


def corrected(s: Seen) -> Steps:
    """It is of another kind than was thought, and perhaps another squad's."""
    yield from taken(s)
    others = [c for c in s.categories if c != s.case["category"]]
    yield s.desk(A.REROUTE, category=str(s.rng.choice(others)), reason=s.one_of("现场核实,类别有误"))
    yield from signed(s)
    yield from finished(s)


def reopened(s: Seen) -> Steps:
    yield from taken(s)
    yield from reported(s)
    yield s.desk(A.TAKE_TO_CHECK, HOUR, 20 * HOUR)
    yield s.desk(A.REPLY, by=R.OPERATOR, reason=s.one_of("已电话告知处理结果"))
    yield s.desk(A.CLOSE)
    yield s.desk(A.REOPEN, DAY, 6 * DAY, by=R.OPERATOR, reason=s.one_of("回访时反映问题复发"))
    yield from finished(s)


def conduct(s: Seen) -> Steps:
    """A complaint about officers: all of it is done by supervisors, and nobody checks his own work."""
    by = R.SUPERVISOR
    for action in (A.ACCEPT, A.REGISTER):
        yield s.desk(action, by=by)
    yield s.desk(A.DISPATCH, by=by, squad=s.holder)
    yield s.desk(A.SIGN, by=by)
    yield s.desk(A.REPORT, DAY, 5 * DAY, by=by, reason=s.one_of("已调阅执法记录仪并约谈"), evidence=(MARK + "谈话笔录",))
    yield s.desk(A.TAKE_TO_CHECK, by=by, second=True)
    yield s.desk(A.REPLY, by=by, reason=s.one_of("已当面答复"))
    yield s.desk(A.CLOSE, by=by, second=True)


STORIES: Mapping[Story, int] = {
    # of a thousand cases
    usual: 560, verified: 80, void: 20, not_accepted: 25, answered: 30, not_registered: 10, rework: 40, returned: 40, kept: 20,
    designated: 15, referred: 10, joint: 35, suspended: 15, not_suspended: 5, extended: 20, supervised: 15, noted: 15, handed_over: 10,
    declined: 5, transferred: 10, corrected: 10, reopened: 10, conduct: 5,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Life:
    """What becomes of one case. `until`: it comes that far and stays there; `pace`: of all that takes time."""

    story: Story
    until: State | None = None
    pace: float = 1.0


S = State
ENDINGS: Mapping[State, Life] = {
    S.RECEIVED: Life(usual, S.RECEIVED), S.VERIFYING: Life(verified, S.VERIFYING), S.ACCEPTED: Life(usual, S.ACCEPTED),
    S.REGISTERED: Life(usual, S.REGISTERED), S.DISPATCHED: Life(usual, S.DISPATCHED), S.HANDLING: Life(usual, S.HANDLING),
    S.JOINT_HANDLING: Life(joint, S.JOINT_HANDLING), S.RETURN_REQUESTED: Life(returned, S.RETURN_REQUESTED),
    S.DESIGNATING: Life(designated, S.DESIGNATING), S.SUSPENDED: Life(suspended, S.SUSPENDED), S.FEEDBACK: Life(usual, S.FEEDBACK),
    S.CHECKING: Life(usual, S.CHECKING), S.CLOSED: Life(usual, S.CLOSED), S.FOLLOWED_UP: Life(noted, S.FOLLOWED_UP),
    S.ARCHIVED: Life(verified, S.ARCHIVED), S.NOT_ACCEPTED: Life(not_accepted), S.NOT_REGISTERED: Life(not_registered),
    S.ANSWERED: Life(answered), S.VOID: Life(void),
}  # fmt: skip
