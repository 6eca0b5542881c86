"""Words of cases: states, actions, refusals, channels, parts. Chinese first, English complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from routing.case import Action, Outcome, State, Why
from routing.errors import Lang

Two = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    """A word of a sentence, in the reader's language when the sentence is made."""

    zh: str
    en: str

    def text(self, lang: Lang) -> str:
        """In one language."""
        return self.zh if lang == "zh-CN" else self.en


STATES: Mapping[State, Two] = {
    State.RECEIVED: ("待受理", "received"),
    State.VERIFYING: ("核实中", "being verified"),
    State.ACCEPTED: ("已受理", "accepted"),
    State.REGISTERED: ("已立案", "registered"),
    State.DISPATCHED: ("待签收", "dispatched"),
    State.HANDLING: ("办理中", "being handled"),
    State.JOINT_HANDLING: ("联合办理中", "being handled jointly"),
    State.RETURN_REQUESTED: ("申请退回", "return requested"),
    State.DESIGNATING: ("待指定", "to be designated"),
    State.SUSPENDED: ("挂账", "suspended"),
    State.FEEDBACK: ("已反馈", "reported"),
    State.CHECKING: ("核查中", "being checked"),
    State.CLOSED: ("已结案", "closed"),
    State.FOLLOWED_UP: ("已回访", "followed up"),
    State.ARCHIVED: ("已归档", "archived"),
    State.NOT_ACCEPTED: ("不予受理", "not accepted"),
    State.NOT_REGISTERED: ("不予立案", "not registered"),
    State.ANSWERED: ("即时答复", "answered at once"),
    State.VOID: ("作废", "void"),
}

ACTIONS: Mapping[Action, Two] = {
    Action.VERIFY: ("转核实", "verify"),
    Action.ACCEPT: ("受理", "accept"),
    Action.REFUSE: ("不予受理", "do not accept"),
    Action.ANSWER: ("即时答复", "answer at once"),
    Action.VOID: ("作废", "void"),
    Action.REGISTER: ("立案", "register"),
    Action.REFUSE_REGISTRATION: ("不予立案", "do not register"),
    Action.REROUTE: ("更正后重新派单", "correct and route again"),
    Action.DISPATCH: ("派遣", "dispatch"),
    Action.SIGN: ("签收", "sign for it"),
    Action.REQUEST_RETURN: ("申请退回", "request a return"),
    Action.ACCEPT_RETURN: ("同意退回并改派", "accept the return"),
    Action.REJECT_RETURN: ("驳回退回", "reject the return"),
    Action.REFER: ("提请指定", "refer for designation"),
    Action.DESIGNATE: ("指定承办", "designate"),
    Action.OFFER: ("请求移交", "offer to hand over"),
    Action.TAKE_OVER: ("接手", "take over"),
    Action.DECLINE: ("谢绝接手", "decline"),
    Action.WITHDRAW_OFFER: ("撤回移交请求", "withdraw the offer"),
    Action.TRANSFER: ("转派", "transfer"),
    Action.START_JOINT: ("发起联合执法", "start joint work"),
    Action.FINISH_PART: ("完成协办部分", "finish one's part"),
    Action.REQUEST_SUSPENSION: ("申请挂账", "request suspension"),
    Action.SUSPEND: ("批准挂账", "suspend"),
    Action.REFUSE_SUSPENSION: ("驳回挂账", "refuse suspension"),
    Action.RESUME: ("恢复办理", "resume"),
    Action.REACH: ("完成阶段", "reach a milestone"),
    Action.REPORT: ("反馈办理结果", "report"),
    Action.TAKE_TO_CHECK: ("开始核查", "take to check"),
    Action.FAIL: ("核查不通过", "fail the check"),
    Action.CLOSE: ("结案", "close"),
    Action.REPLY: ("答复投诉人", "reply to the complainant"),
    Action.FOLLOW_UP: ("回访", "follow up"),
    Action.REOPEN: ("重新办理", "reopen"),
    Action.ARCHIVE: ("归档", "archive"),
    Action.URGE: ("催办", "urge"),
    Action.NOTE: ("批示", "note"),
    Action.SUPERVISE: ("督办", "supervise"),
    Action.ANSWER_SUPERVISION: ("答复督办", "answer the supervision"),
    Action.REQUEST_EXTENSION: ("申请延期", "request an extension"),
    Action.GRANT_EXTENSION: ("同意延期", "grant the extension"),
    Action.REFUSE_EXTENSION: ("驳回延期", "refuse the extension"),
}

WHYS: Mapping[Why, Two] = {
    Why.NOT_NOW: ("案件现在的状态不允许", "the state it is in does not allow it"),
    Why.NOT_THIS_ROLE: ("您的岗位不能这样做", "it is not for your role"),
    Why.NOT_THE_HOLDER: ("只有承办中队可以", "only the squad that holds it may"),
    Why.NOT_OFFERED: ("没有移交给您的中队", "it was not offered to your squad"),
    Why.NO_PART: ("您的中队没有待完成的协办部分", "your squad has no open part in it"),
    Why.NO_REASON: ("须写明理由", "a reason is needed"),
    Why.NO_EVIDENCE: ("须附依据", "evidence is needed"),
    Why.NO_SQUAD: ("须写明中队", "a squad must be named"),
    Why.SAME_SQUAD: ("该中队就是现在的承办中队", "that squad holds it already"),
    Why.NO_OTHERS: ("须写明另一个中队", "another squad must be named"),
    Why.NO_REVIEW: ("须写明将来的复核时间", "a time of review in the future is needed"),
    Why.NO_DOCUMENT: ("须写明文号", "a document must be named"),
    Why.NO_MILESTONE: ("须写明完成的是哪一阶段", "the milestone that was reached must be named"),
    Why.NOT_REPLIED: (
        "尚未答复投诉人,也没有三次联系不上", "the complainant has not been answered yet, nor called three times in vain"
    ),
    Why.NO_OUTCOME: ("须写明结果(outcome)", "its outcome must be stated (outcome)"),
    Why.PARTS_OPEN: ("协办部分尚未全部完成", "parts of the joint work are still open"),
    Why.SUPERVISION_OPEN: ("督办尚未答复", "a supervision has not been answered"),
    Why.OWN_WORK: ("办理人不能核查自己的案件", "nobody checks his own work"),
    Why.REOPENED_ONCE: ("已重新办理过一次", "it has been reopened once already"),
    Why.NOT_ASKED: ("没有待处理的申请", "nothing of the kind was asked for"),
    Why.ASKED_ALREADY: ("已有待处理的申请", "that was asked for already"),
}

OUTCOMES: Mapping[Outcome, Two] = {
    Outcome.ANSWERED: ("已答复", "answered"),
    Outcome.NOT_REACHED: ("未联系上", "not reached"),
    Outcome.SATISFIED: ("满意", "satisfied"),
    Outcome.BASICALLY: ("基本满意", "basically satisfied"),
    Outcome.DISSATISFIED: ("不满意", "dissatisfied"),
}


class Channel(StrEnum):
    """How a complaint came."""

    PHONE = "phone"
    HOTLINE = "12345"
    WEB = "web"
    APP = "app"
    WECHAT = "wechat"
    MAILBOX = "mailbox"
    LETTER = "letter"
    VISIT = "visit"
    BOX = "box"
    PATROL = "patrol"
    VIDEO = "video"
    LEADER = "leader"
    OPEN311 = "open311"


CHANNELS: Mapping[str, Two] = {
    Channel.PHONE: ("电话", "phone"),
    Channel.HOTLINE: ("12345 热线", "hotline 12345"),
    Channel.WEB: ("网站", "web"),
    Channel.APP: ("手机应用", "app"),
    Channel.WECHAT: ("微信", "WeChat"),
    Channel.MAILBOX: ("电子信箱", "e-mail"),
    Channel.LETTER: ("来信", "letter"),
    Channel.VISIT: ("来访", "visit"),
    Channel.BOX: ("意见箱", "complaint box"),
    Channel.PATROL: ("巡查", "patrol"),
    Channel.VIDEO: ("视频", "video"),
    Channel.LEADER: ("领导批办", "assigned by a leader"),
    Channel.OPEN311: ("Open311", "Open311"),
}

PARTS: Mapping[str, Two] = {
    "holds": ("承办", "holds it"),
    "joint": ("联合", "jointly"),
    "assists": ("协办", "assists"),
    "formerly": ("曾承办", "held it before"),
}


def state_words(state: str, lang: Lang) -> str:
    """The name of a state."""
    return STATES[State(state)][lang != "zh-CN"]


def action_words(action: str, lang: Lang) -> str:
    """The name of an action."""
    return ACTIONS[Action(action)][lang != "zh-CN"]


def outcome_words(outcome: str, lang: Lang) -> str:
    """What came of calling the complainant."""
    return OUTCOMES[Outcome(outcome)][lang != "zh-CN"]


def channel_words(channel: str, lang: Lang) -> str:
    """The name of a channel."""
    return CHANNELS[channel][lang != "zh-CN"]


def part_words(part: str, lang: Lang) -> str:
    """What a squad has to do with a case."""
    return PARTS[part][lang != "zh-CN"]
