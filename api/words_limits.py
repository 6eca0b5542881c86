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
