"""Words of a case's dossier: headings, columns, kinds of entries, roles. Chinese first, English complete."""

from __future__ import annotations

from collections.abc import Mapping

from routing.case import Role
from routing.errors import Lang

Two = tuple[str, str]

WORDS: Mapping[str, Two] = {
    "title": ("案件卷宗", "Case dossier"),
    "made": ("由 {by} 于 {at} 制作;时刻均为 {zone}", "Made by {by} on {at}; times are those of {zone}"),
    "page": ("第 {page} 页", "page {page}"),
    "case": ("案件", "The case"),
    "state": ("状态", "State"),
    "category": ("类别", "Category"),
    "channel": ("来源", "Came by"),
    "received_at": ("受理登记", "Received"),
    "occurred_at": ("发生时间", "Happened"),
    "due_at": ("办理期限", "Due"),
    "holder": ("承办", "Held by"),
    "address": ("地址", "Address"),
    "marks": ("标记", "Marks"),
    "hazard": ("紧急险情", "hazard"),
    "confidential": ("投诉人要求保密", "the caller asked for confidence"),
    "to_supervision": ("由督查办理", "handled by supervision"),
    "doubtful": ("归属存疑", "doubtful"),
    "counts": (
        "退回 {returns} 次,返工 {rework} 次,重新办理 {reopened} 次",
        "returned {returns}, reworked {rework}, reopened {reopened} times",
    ),
    "description": ("投诉内容", "What the complaint is about"),
    "erased": ("内容已按规定清除。", "What was written has been erased by rule."),
    "reporter": ("投诉人", "Who complained"),
    "reporter_hidden": ("不对制作人开放。", "Not for who made this dossier."),
    "reporter_anonymous": ("匿名,未留信息。", "Nobody was named."),
    "reporter_masked": ("(已遮蔽)", "(masked)"),
    "reporter_shown": ("(完整;此次查看已记入记录)", "(in full; this look is in the record)"),
    "name": ("姓名", "Name"),
    "phone": ("电话", "Phone"),
    "email": ("邮箱", "E-mail"),
    "contact_address": ("住址", "Address"),
    "place": ("地点", "The place"),
    "coordinates": ("坐标(WGS 84)", "Coordinates (WGS 84)"),
    "stated": ("上报坐标", "As stated"),
    "error": ("位置误差", "Location error"),
    "unlocated": ("没有可用的地点:{why}", "There is no place that can be used: {why}"),
    "map_missing": ("按派单时的地图绘制。", "Drawn from the map it was routed by."),
    "circle": ("圆圈:位置误差 {error_m:g} 米", "circle: location error of {error_m:g} m"),
    "why": ("归谁,为什么", "Whose it is, and why"),
    "lead": ("负责中队", "Responsible squad"),
    "assist": ("协办", "Assist"),
    "step": ("依据", "By the step"),
    "margin": ("余量", "Margin"),
    "margin_to": ("{margin:g} 米;再过去归 {runner_up}", "{margin:g} m; beyond it {runner_up} would be responsible"),
    "margin_far": ("{margin:g} 米以内不变", "the same within {margin:g} m"),
    "township": ("镇办", "Township"),
    "versions": ("地图版本 / 规则版本", "Map version / rules version"),
    "n": ("序", "No."),
    "found": ("查到", "Found"),
    "chosen": ("采用", "Chosen"),
    "nothing": ("无", "nothing"),
    "holdings": ("谁在何时承办", "Who held it, from when to when"),
    "since": ("自", "From"),
    "until": ("至", "To"),
    "now": ("至今", "to this day"),
    "squad": ("中队", "Squad"),
    "story": ("办理经过", "The whole story"),
    "at": ("时间", "Time"),
    "what": ("事项", "What was done"),
    "who": ("经办", "By whom"),
    "words": ("说明与依据", "Reason and evidence"),
    "evidence": ("依据:{evidence}", "Evidence: {evidence}"),
    "document": ("文号:{document}", "Document: {document}"),
    "review": ("复核:{review}", "Review: {review}"),
    "outcome": ("结果:{outcome}", "Outcome: {outcome}"),
    "to_squad": ("→ {squad}", "→ {squad}"),
    "sides": ("督办、申请与协办", "Supervision, requests, joint work"),
    "kind": ("事项", "Kind"),
    "opened": ("提出", "Opened"),
    "closed": ("了结", "Closed"),
    "attachments": ("附件", "Attachments"),
    "file": ("文件", "File"),
    "size": ("字节", "Bytes"),
    "no_attachments": ("无附件。", "There are none."),
    "record": ("记录", "The record"),
    "record_text": (
        "以下为本案在总记录中的各条及其哈希。每条的哈希都含前一条的;用 jieguan audit verify --head 编号:哈希 "
        "可核验任一条仍在原处、未被改动。",
        "The entries of this case in the record, with their hashes, each of which is over the one before. By jieguan audit verify "
        "--head NUMBER:HASH anybody who runs the service can prove that an entry is still there, and unaltered.",
    ),
    "none": ("无", "none"),
    "claim_territory": ("辖区", "ground of"),
    "claim_township": ("镇办", "township"),
    "claim_designation": ("指定", "designation"),
    "claim_agreement": ("协议", "agreement"),
    "claim_not_served": ("非本局管辖", "not served"),
    "claim_direct": ("直属", "direct"),
    "claim_ruling": ("个案指定文件", "order for this case"),
    "claim_nearest": ("最近的辖区", "nearest ground"),
    "claim_duty": ("值班中队", "duty squad"),
    "supervision": ("督办", "supervision"),
    "suspension": ("挂账申请", "suspension"),
    "extension": ("延期申请", "extension"),
    "offer": ("移交请求", "offer to hand over"),
    "joint": ("联合执法", "joint work"),
    "reply": ("答复", "reply"),
    "follow_up": ("回访", "follow-up visit"),
    "urge": ("催办", "urged"),
    "note": ("批示", "note"),
    "picture_title": ("地点与辖区", "The place, and whose ground is around it"),
    "grid_north": ("上为北", "north is up"),
}

KINDS: Mapping[str, Two] = {
    "received": ("受理登记并派定", "received and routed"),
    "attached": ("添加附件", "file attached"),
    "clustered": ("并入跨界事项", "put with others of one matter"),
    "erased": ("清除投诉人资料和文字", "words and reporter erased"),
    "revealed": ("查看投诉人信息", "saw who complained"),
    "looked_at": ("查看附件", "looked at a file"),
}
"""Kinds of entries that are no orders."""

ROLES: Mapping[str, Two] = {
    Role.OPERATOR: ("受理员", "operator"),
    Role.DISPATCHER: ("派遣员", "dispatcher"),
    Role.LEADER: ("中队长", "squad leader"),
    Role.MEMBER: ("队员", "squad member"),
    Role.PLANNER: ("规划员", "planner"),
    Role.SUPERVISOR: ("督查", "supervisor"),
    Role.ADMINISTRATOR: ("管理员", "administrator"),
    Role.MACHINE: ("程序", "machine"),
    Role.PUBLIC: ("公众", "public"),
}


def said(key: str, lang: Lang, **facts: object) -> str:
    """One sentence of a dossier."""
    return WORDS[key][lang != "zh-CN"].format(**facts)


def kind_words(kind: str, lang: Lang) -> str:
    """What an entry is that is no order; its own name where it has no other."""
    two = KINDS.get(kind)
    return kind.replace("_", " ") if two is None else two[lang != "zh-CN"]


def role_words(role: str, lang: Lang) -> str:
    """The name of a role."""
    two = ROLES.get(role)
    return role if two is None else two[lang != "zh-CN"]
