"""What the figures are called and how they are defined, in Chinese first and in English; and what `jieguan statistics` says."""

from __future__ import annotations

Two = tuple[str, str]

NO_FIGURE: Two = ("分母为 0 时没有数值(空),既不是 0 也不是 100%", "with nothing to divide by there is no figure: neither 0 nor 100 %")
ALWAYS_ONE: Two = ("没有案件时为 0", "with no cases it is 0")

BY_RECEIPT: Two = ("按受理日:期内受理的案件", "by the day of receipt: cases received in the period")
BY_REGISTRATION: Two = (
    "按立案日:期内立案的案件,办理情况截至查询时",
    "by the day of registration: cases registered in the period, as they stand now",
)
BY_HANDLE_DUE: Two = (
    "按处置时限:时限落在期内且在查询时已到的已立案案件",
    "by the limit of handling: registered cases whose limit fell within the period and has passed by now",
)
BY_CLOSE_DUE: Two = (
    "按结案时限:时限落在期内且在查询时已到的已立案案件",
    "by the limit of closing: registered cases whose limit fell within the period and has passed by now",
)
BY_DISPATCH: Two = ("按首次派遣日:期内首次派遣的案件", "by the day of the first dispatch: cases first dispatched in the period")
BY_HANDLING: Two = ("按处置完成日:期内反馈的案件", "by the day of the report: cases reported as handled in the period")
BY_CLOSING: Two = ("按结案日:期内结案的案件", "by the day of closing: cases closed in the period")
BY_DISPUTE: Two = (
    "按争议开始日:期内首次退回或提请指定的案件",
    "by the day the dispute began: cases first returned or referred in the period",
)
BY_DESIGNATION: Two = ("按首次指定日:期内首次被指定的案件", "by the day of the first designation: cases first designated in the period")

LIMITED: Two = (
    "未立案(不予受理、不予立案、当场答复、作废)和没有时限的不计;挂账期间不计,恢复后按新的时限计;"
    "核查不通过或重新办理的,视为尚未处置、尚未结案",
    "not counted: what was never registered (refused, answered at once, void), what has no limit, and what is suspended now (once it goes "
    "on, by its new limit). What failed its check or was reopened is neither handled nor closed",
)
REGISTERED: Two = (
    "未立案的不计;挂账的计入分母;核查不通过或重新办理的,视为尚未处置、尚未结案",
    "not counted: what was never registered. What is suspended is in the denominator. What failed its check or was reopened is neither "
    "handled nor closed",
)
ALL: Two = ("所有受理的案件,包括不予受理和作废的", "every case that was received, refused and void ones too")
SENT: Two = (
    "派遣过的案件;中队按首次派往的计;重新办理不算再次派遣",
    "cases that were dispatched, for the squad they were sent to first; a reopening is no new dispatch",
)
ENDED: Two = (
    "已结案的案件,中队按首次派往的计;重新办理中的不计,再次结案后按那一天计;不予受理和作废的不是结案",
    "closed cases, for the squad they were sent to first; what was reopened is counted again on the day it is closed again; refused and "
    "void ones were not closed",
)
TOOK: Two = (
    "案件在中队手中的时间:从派遣到反馈,含退回、争议和返工,不含挂账、核查和结案后的时间",
    "the time in the hands of squads, from dispatch to report: returns, disputes and rework too; not while suspended, checked or closed",
)
DISPUTED: Two = (
    "退回待裁、提请指定待裁的时间之和;尚未裁定的计到查询时",
    "all the time a return or a designation was waited for; of what is undecided, up to now",
)

STATED: Two = (
    "数字城管统计口径:处置数、应处置数、结案数、应结案数",
    "the counts of the city-management platforms: handled, to be handled, closed, to be closed",
)
OUR_OWN: Two = ("本系统", "our own")
COUNTED_SO: Two = (
    "国标与平台代码:准确派遣=直到结案没有再派往别处",
    "standard and platform code: accurate is what was sent nowhere else until it was closed",
)

FIGURES: dict[str, dict[str, Two]] = {
    "load": {
        "name": ("案件数", "load"),
        "formula": ("受理的案件数,按现在(或最后)承办的中队", "cases received, by the squad that holds them or held them last"),
        "top": ("受理的案件", "cases received"),
    },
    "open": {
        "name": ("未结数", "still open"),
        "formula": ("受理的案件中现在未结的", "cases received that are open now"),
        "top": ("其中未结的", "of these, open now"),
    },
    "border_share": {
        "name": ("交界案件占比", "border share"),
        "formula": ("交界带内案件 ÷ 能定位的案件", "cases in the border band / cases that could be located"),
        "top": ("由 agreed、border、disputed、nearest 一步定下的案件", "decided by one of the steps agreed, border, disputed, nearest"),
        "bottom": ("能定位的案件", "cases that could be located"),
    },
    "orphan_minutes": {
        "name": ("无主分钟数", "orphan minutes"),
        "formula": (
            "案件未结期间无人承办(或不止一队承办)的分钟数,取自承办记录;必须为 0",
            "minutes in which an open case had no holder (or more than one), from the holdings: must be 0",
        ),
        "top": ("未结的时间与有承办中队的时间之差", "the time it was open, less the time somebody held it"),
    },
    "handled_share": {
        "name": ("处置率(按立案)", "handling, by registration"),
        "formula": ("已处置 ÷ 立案", "handled / registered"),
        "top": ("其中已处置的", "of these, handled"),
        "bottom": ("立案的案件", "cases registered"),
    },
    "closed_share": {
        "name": ("结案率(按立案)", "closing, by registration"),
        "formula": ("已结案 ÷ 立案", "closed / registered"),
        "top": ("其中已结案的", "of these, closed"),
        "bottom": ("立案的案件", "cases registered"),
    },
    "handling": {
        "name": ("处置率", "handling"),
        "formula": ("处置数 ÷ 应处置数", "handled / to be handled"),
        "top": ("其中已处置的,不论早晚", "of these, handled, in time or late"),
        "bottom": ("应处置的案件", "cases to be handled"),
    },
    "on_time_handling": {
        "name": ("按期处置率", "on-time handling"),
        "formula": ("按期处置数 ÷ 应处置数", "handled in time / to be handled"),
        "top": ("其中在时限内处置的", "of these, handled within the limit"),
        "bottom": ("应处置的案件", "cases to be handled"),
    },
    "overdue_open": {
        "name": ("超期待处置率", "overdue, still open"),
        "formula": ("超期待处置数 ÷ 应处置数", "overdue and not handled / to be handled"),
        "top": ("其中至今未处置的", "of these, not handled yet"),
        "bottom": ("应处置的案件", "cases to be handled"),
    },
    "closing": {
        "name": ("结案率", "closing"),
        "formula": ("结案数 ÷ 应结案数", "closed / to be closed"),
        "top": ("其中已结案的,不论早晚", "of these, closed, in time or late"),
        "bottom": ("应结案的案件", "cases to be closed"),
    },
    "on_time_closing": {
        "name": ("按期结案率", "on-time closing"),
        "formula": ("按期结案数 ÷ 应结案数(挂账即缓办,不在内)", "closed in time / to be closed, suspended ones left out"),
        "top": ("其中在时限内结案的", "of these, closed within the limit"),
        "bottom": ("应结案的案件", "cases to be closed"),
    },
    "rework": {
        "name": ("返工率", "rework"),
        "formula": ("返工案件数 ÷ 应结案数", "cases that failed a check / to be closed"),
        "top": ("其中核查至少一次不通过的", "of these, failed a check at least once"),
        "bottom": ("应结案的案件", "cases to be closed"),
    },
    "return_rate": {
        "name": ("退回率", "return"),
        "formula": ("退回案件数 ÷ 派遣案件数", "cases a squad asked to return / dispatched"),
        "top": ("其中至少申请退回一次的,不论准否", "of these, asked back at least once, granted or not"),
        "bottom": ("派遣的案件", "cases dispatched"),
    },
    "returns_per_case": {
        "name": ("平均退回次数", "returns per case"),
        "formula": ("退回次数 ÷ 派遣案件数", "requests to return / cases dispatched"),
        "top": ("申请退回的次数", "requests to return"),
        "bottom": ("派遣的案件", "cases dispatched"),
    },
    "first_dispatch": {
        "name": ("首派准确率", "first-dispatch accuracy"),
        "formula": ("一次派准的案件 ÷ 结案的案件", "cases never moved to another squad / closed"),
        "top": ("其中从未转到别的中队的", "of these, never moved to another squad"),
        "bottom": ("结案的案件", "cases closed"),
    },
    "first_dispatch_border": {
        "name": ("首派准确率(交界带内)", "first-dispatch accuracy, inside the band"),
        "formula": ("交界带内一次派准的案件 ÷ 交界带内结案的案件", "in the band, cases never moved to another squad / closed"),
        "top": ("其中从未转到别的中队的", "of these, never moved to another squad"),
        "bottom": ("交界带内结案的案件", "cases in the band, closed"),
    },
    "first_dispatch_outside": {
        "name": ("首派准确率(交界带外)", "first-dispatch accuracy, outside the band"),
        "formula": ("交界带外一次派准的案件 ÷ 交界带外结案的案件", "outside the band, cases never moved to another squad / closed"),
        "top": ("其中从未转到别的中队的", "of these, never moved to another squad"),
        "bottom": ("交界带外结案的案件", "cases outside the band, closed"),
    },
    "mean_hops": {
        "name": ("平均流转次数", "mean hops"),
        "formula": ("首次派遣后换承办中队的次数 ÷ 结案的案件", "changes of the squad after the first dispatch / cases closed"),
        "top": ("换承办中队的次数", "changes of the squad"),
        "bottom": ("结案的案件", "cases closed"),
    },
    "handling_hours": {
        "name": ("平均处置时长(小时)", "mean handling time, hours"),
        "formula": ("处置时长之和 ÷ 处置完成的案件", "handling time / cases handled"),
        "top": ("处置时长", "handling time"),
        "bottom": ("处置完成的案件", "cases handled"),
    },
    "treatment_gap": {
        "name": ("同等对待差(小时)", "equal-treatment gap, hours"),
        "formula": (
            "同一段界线两侧中队平均处置时长之差;几段时取各段之差的平均",
            "difference of the mean handling times of the two squads beside a stretch of line; of several stretches, the mean of theirs",
        ),
        "top": ("各段之差", "the differences"),
        "bottom": ("两侧都有处置完成案件的界线段", "stretches with cases handled on both sides"),
    },
    "dispute_hours": {
        "name": ("平均争议时长(小时)", "dispute age, hours"),
        "formula": ("争议时长之和 ÷ 发生争议的案件", "time in dispute / cases disputed"),
        "top": ("争议时长", "time in dispute"),
        "bottom": ("发生争议的案件", "cases disputed"),
    },
    "designations": {
        "name": ("指定管辖案件数", "designations"),
        "formula": (
            "经指定确定承办中队的案件数(按界线段看,多者宜修订界线)",
            "cases designated (many beside one stretch: its line should be settled)",
        ),
        "top": ("被指定的案件", "cases designated"),
    },
}  # fmt: skip

GROUPS: dict[str, Two] = {
    "squad": ("中队", "squad"),
    "category": ("类别", "category"),
    "stretch": ("界线段", "stretch"),
    "day": ("日", "day"),
    "month": ("月", "month"),
    "quarter": ("季", "quarter"),
    "half": ("半年", "half year"),
    "year": ("年", "year"),
}
OFF_STRETCH: Two = ("(交界带外)", "(outside the band)")
TOTAL: Two = ("合计", "total")
TOP: Two = ("分子", "numerator")
BOTTOM: Two = ("分母", "denominator")
VALUE: Two = ("数值", "value")
SHEETS: tuple[Two, Two] = (("统计", "figures"), ("口径", "definitions"))

WORDS: dict[str, Two] = {
    "statistics": (
        "统计:按月、季、半年、年或任意两日之间,逐项附口径。",
        "Figures by month, quarter, half year, year or between any two days, each with its definition.",
    ),
    "statistics_define": ("只印出每项数字的口径", "print how each figure is defined, and nothing else"),
    "statistics_period": (
        "期间:2026、2026-H1、2026-Q2、2026-06 或 2026-06-15",
        "a period: 2026, 2026-H1, 2026-Q2, 2026-06 or 2026-06-15",
    ),
    "statistics_since": ("起始日(含),如 2026-01-01", "first day, such as 2026-01-01"),
    "statistics_until": ("截止日(不含)", "the day after the last"),
    "statistics_by": (
        "分组:squad、category、stretch、day、month、quarter、half、year",
        "one line for each squad, category, stretch, day, month, quarter, half or year",
    ),
    "statistics_squad": ("只看一个中队", "of one squad"),
    "statistics_category": ("只看一个类别", "of one category"),
    "statistics_stretch": ("只看一段界线,如 A|B", "of one stretch of line, such as A|B"),
    "statistics_figure": ("只要这些数字;可重复", "these figures only; may be repeated"),
    "statistics_format": ("table、json、csv 或 xlsx", "table, json, csv or xlsx"),
    "statistics_out": ("写入文件(xlsx 必须)", "write to a file (needed for xlsx)"),
    "statistics_settle": (
        "把尚未汇总的变动加进日汇总;读数前后都准确,只是更快。",
        "Add what changed to the sums of the days; figures are exact before and after, and quicker after.",
    ),
    "statistics_rebuild": (
        "从记录重新推出每件案件的事实与全部汇总(换时区或怀疑有误时用)。",
        "Make the facts of every case and all sums anew from the record (after another time zone, or in doubt).",
    ),
    "statistics_settled": ("已汇总 {count} 处变动。", "{count} changes were added up."),
    "statistics_rebuilt": ("已核 {cases} 件案件,其中 {changed} 件与记录不符并已更正;汇总已重算。",
                           "{cases} cases were told again; {changed} were not as their record says and are now. The sums are made anew."),
    "statistics_title": ("{since} 至 {until}(不含),截至 {now}", "{since} to {until} (not included), as of {now}"),
    "statistics_formula": ("公式", "formula"),
    "statistics_numerator": TOP,
    "statistics_denominator": BOTTOM,
    "statistics_cutoff": ("口径", "cut-off"),
    "statistics_counts": ("计与不计", "what counts"),
    "statistics_zero": ("无案件时", "with nothing"),
    "statistics_source": ("出处", "source"),
    "statistics_file": ("已写入 {file}。", "Written to {file}."),
}  # fmt: skip
