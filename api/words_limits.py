"""Words of limits: steps, lights, units, what is done when one runs out. Chinese first, English complete."""

from __future__ import annotations

from collections.abc import Mapping

from routing.errors import Lang
from routing.limits import Effect, Light, Stage, Unit

Two = tuple[str, str]

STEPS: Mapping[Stage, Two] = {
    Stage.ACCEPT: ("受理", "acceptance"),
    Stage.DISPATCH: ("立案派遣", "registration and dispatch"),
    Stage.SIGN: ("签收", "signature"),
    Stage.HANDLE: ("办理", "handling"),
    Stage.REWORK: ("返工", "rework"),
    Stage.RETURN: ("退回审定", "ruling on a return"),
    Stage.DESIGNATE: ("指定承办", "designation"),
    Stage.CHECK: ("核查结案", "check"),
    Stage.REVIEW: ("挂账复核", "review of a suspension"),
    Stage.WHOLE: ("全程", "the whole case"),
    Stage.EXTENSION: ("延期", "extension"),
}
LIGHTS: Mapping[Light, Two] = {
    Light.GREEN: ("绿灯", "green"),
    Light.YELLOW: ("黄灯", "yellow"),
    Light.RED: ("红灯", "red"),
}
UNITS: Mapping[Unit, Two] = {
    Unit.WORK_HOURS: ("工作时", "working hours"),
    Unit.WORK_DAYS: ("工作日", "working days"),
    Unit.HOURS: ("小时", "hours"),
}
EFFECTS: Mapping[Effect, Two] = {
    Effect.REMIND: ("临期提醒", "reminder"),
    Effect.URGE: ("到期催办", "urge"),
    Effect.NOTICE: ("催办通知书", "written notice"),
    Effect.SUPERVISE: ("转督办", "supervision"),
}
NOT_ANNOUNCED: Two = (
    "{year} 年的节假日安排尚未公布(或本程序尚不知道):期限按平常的周一至周五计算,公布后可能不同。请更新日历。",
    "The holidays of {year} have not been announced (or this program does not know them yet): the limit is counted by plain weekdays and "
    "may differ once they are. Update the calendar.",
)

WORDS: dict[str, Two] = {
    # the command limits
    "limits": ("时限:各环节、类别、渠道的时限与催办规定。", "Limits of time for steps, categories, channels; the ladder of reminders."),
    "limits_list": ("现行的时限、催办规定和工作日历。", "The limits and reminders in force, and the working calendar."),
    "limits_add": (
        "增加一条时限,须写明文号。更具体的优先:类别先于体系,再先于渠道。",
        "Put a limit in force, by a document. The more specific holds: category before scheme, then channel.",
    ),
    "limits_end": ("停用一条时限,须写明文号;已在计时的不变。", "End a limit, by a document; clocks that run by it go on."),
    "limits_remind": ("增加一条催办规定,须写明文号。", "Put a rung in the ladder of reminders, by a document."),
    "limits_unremind": ("停用一条催办规定,须写明文号。", "Take a rung out of the ladder, by a document."),
    "limits_document": ("依据的文号", "the document it rests on"),
    "limits_since": ("从何时起(缺省:现在)", "from when on (default: now)"),
    "limits_until": ("到何时止", "until when"),
    "limits_at": ("何时的规定(缺省:现在)", "as of when (default: now)"),
    "limits_step": (
        "环节:accept 受理、dispatch 派遣、sign 签收、handle 办理、rework 返工、return 退回、designate 指定、check 核查、"
        "whole 全程、extension 延期",
        "the step: accept, dispatch, sign, handle, rework, return, designate, check, whole, extension",
    ),
    "limits_amount": ("数量", "how much"),
    "limits_unit": (
        "单位:work_hours 工作时、work_days 工作日、hours 小时(昼夜)", "of what: work_hours, work_days, or hours (day and night)",
    ),
    "limits_category": ("类别,例如 GB30428:0504", "the category, such as GB30428:0504"),
    "limits_scheme": ("类别体系,例如 GB30428", "the scheme of categories, such as GB30428"),
    "limits_channel": ("来源渠道,例如 12345", "the channel, such as 12345"),
    "limits_milestone_option": ("分阶段时限的阶段名", "the name of a stage, of a limit in stages"),
    "limits_percent": ("时限的百分之几", "at what percent of the limit"),
    "limits_late_days": ("逾期后第几个工作日", "on which working day after it"),
    "limits_effect_argument": ("remind 提醒、urge 催办、notice 通知书、supervise 督办", "remind, urge, notice or supervise"),
    "limits_title": ("时限", "Limits"),
    "limits_ladder": ("催办规定", "Reminders"),
    "limits_id": ("编号", "number"),
    "limits_for": ("适用于", "for"),
    "limits_milestone": ("阶段", "stage"),
    "limits_time": ("时限", "limit"),
    "limits_effect": ("措施", "what is done"),
    "limits_document_is": ("依据", "document"),
    "limits_late": ("逾期后第 {days} 个工作日", "working day {days} after it"),
    "limits_calendar": (
        "工作日历({zone}):{week}。已知放假安排的最近年份:{years}。",
        "Working calendar ({zone}): {week}. The last years whose holidays are known: {years}.",
    ),
    "limits_added": ("已增加第 {id} 条,自 {since} 起。", "Number {id} is in force from {since} on."),
    "limits_ended": ("第 {id} 条到 {until} 止。", "Number {id} ends at {until}."),
    # the command worker
    "worker": (
        "处理到期任务:提醒、催办、通知、督办。可同时运行多个(PostgreSQL);嵌入式数据库由 jieguan serve 自行处理。",
        "Do what is due: reminders, urges, notices, supervision. Several may run (PostgreSQL); an embedded database is worked by "
        "jieguan serve.",
    ),
    "worker_once": ("做完现在到期的就退出", "do what is due now, and end"),
    "working": ("正在处理 {database} 的到期任务。", "Doing what is due in {database}."),
    "worked": (
        "已完成 {done} 项,失败待重试 {failed} 项,搁置 {dead} 项,由别处处理 {lost} 项。",
        "{done} done, {failed} failed and to be tried again, {dead} put aside, {lost} done elsewhere.",
    ),
}


def step_words(step: Stage, lang: Lang) -> str:
    """The name of a step."""
    return STEPS[step][lang != "zh-CN"]


def light_words(light: Light, lang: Lang) -> str:
    """The name of a light."""
    return LIGHTS[light][lang != "zh-CN"]


def effect_words(effect: str, lang: Lang) -> str:
    """The name of what is done when a clock runs out."""
    return EFFECTS[Effect(effect)][lang != "zh-CN"]


def warning(year: int | None, lang: Lang) -> str | None:
    """What is to be known of a limit that was counted without the holidays of a year."""
    return None if year is None else NOT_ANNOUNCED[lang != "zh-CN"].format(year=year)
