"""A dossier as pages: A4, a font that has Chinese embedded in it, nothing in it that the font cannot show.

A letter that the font lacks is written as its number (U+1F600), never as an empty box.
"""

from __future__ import annotations

import html
import io
import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import CondPageBreak, Image, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from api.drawing import font_file
from api.words import step_words
from api.words_dossier import WORDS, role_words, said
from routing.errors import Lang
from routing.model import Step

FONT = "NotoSansSC"
SIDE, TOP, BOTTOM, PAD = 18 * mm, 20 * mm, 18 * mm, 6
"""`PAD`: between a frame and what is in it, points, as the library has it."""
WIDTH = A4[0] - 2 * SIDE - 2 * PAD
INK, SOFT, RULE, SHADE = (colors.HexColor(c) for c in ("#1D2733", "#5F6B78", "#C9D1DA", "#EEF2F6"))
CHINESE = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]")
_loading = threading.Lock()


def printed(told: dict[str, Any], picture: bytes | None, lang: Lang) -> bytes:
    """A dossier as `dossier` gathers it. Raises NoFont."""
    return _Dossier(told, picture, lang).pages()


def _font() -> Any:
    """Read once: it has thirty thousand letters, of which a file gets those it uses. Raises NoFont."""
    with _loading:
        if FONT not in pdfmetrics.getRegisteredFontNames():
            pdfmetrics.registerFont(TTFont(FONT, str(font_file())))
        return pdfmetrics.getFont(FONT)


class _Dossier:
    def __init__(self, told: dict[str, Any], picture: bytes | None, lang: Lang) -> None:
        self.told, self.picture, self.lang = told, picture, lang
        self.case: dict[str, Any] = told["case"]
        self.zone = ZoneInfo(told["zone"]) if told["zone"] else None
        self.letters = _font().face.charToGlyph
        self.flow: list[Any] = []

    def say(self, key: str, **facts: object) -> str:
        return said(key, self.lang, **facts)

    def pages(self) -> bytes:
        for part in (self.heading, self.summary, self.place, self.reasons, self.holdings, self.story, self.sides, self.files, self.record):
            part()
        out = io.BytesIO()
        number = self.case["number"]
        document = SimpleDocTemplate(
            out, pagesize=A4, leftMargin=SIDE, rightMargin=SIDE, topMargin=TOP, bottomMargin=BOTTOM, invariant=1,
            title=f"{self.say('title')} {number}", author="jieguan", lang="zh-CN" if self.lang == "zh-CN" else "en",
        )  # fmt: skip
        document.build(self.flow, onFirstPage=self.around, onLaterPages=self.around)
        return out.getvalue()

    def around(self, canvas: Any, document: Any) -> None:
        """The head and foot of a page."""
        canvas.saveState()
        canvas.setFont(FONT, 8)
        canvas.setFillColor(SOFT)
        canvas.drawString(SIDE + PAD, A4[1] - 12 * mm, self.plain(f"{self.say('title')} {self.case['number']}"))
        canvas.drawRightString(A4[0] - SIDE - PAD, A4[1] - 12 * mm, self.say("page", page=document.page))
        canvas.setStrokeColor(RULE)
        canvas.line(SIDE + PAD, A4[1] - 14 * mm, A4[0] - SIDE - PAD, A4[1] - 14 * mm)
        canvas.drawString(SIDE + PAD, 10 * mm, self.plain(self.made()))
        canvas.restoreState()

    def made(self) -> str:
        return self.say("made", by=self.told["made_by"], at=self.time(self.told["made_at"]), zone=self.told["zone"])

    # --- its parts ---

    def heading(self) -> None:
        self.flow += [self.text(f"{self.say('title')}  {self.case['number']}", 17, INK), Spacer(1, 3 * mm)]

    def summary(self) -> None:
        case = self.case
        marks = [self.say(name) for name in ("hazard", "confidential", "to_supervision", "doubtful") if case.get(name)]
        counts = self.say("counts", returns=case["returns"], rework=case["rework"], reopened=case["reopened"])
        self.pairs([
            ("state", case["state_name"]), ("holder", self.squad(case["holder"])), ("category", self.told["category_name"]),
            ("channel", case["channel_name"]), ("received_at", self.time(case["received_at"])),
            ("occurred_at", self.time(case["occurred_at"])), ("due_at", self.time(case["due_at"])), ("address", case["address"]),
            ("marks", "; ".join([*marks, counts])),
        ])  # fmt: skip
        self.title("description")
        self.flow.append(self.text(self.say("erased") if case["erased"] else case["description"], 10, INK))
        self.title("reporter")
        self.reporter()

    def reporter(self) -> None:
        known = self.told["reporter"]
        if not known["may_reveal"]:
            self.flow.append(self.text(self.say("reporter_hidden"), 10, SOFT))
        elif known["erased"]:
            self.flow.append(self.text(self.say("erased"), 10, SOFT))
        elif known["anonymous"]:
            self.flow.append(self.text(self.say("reporter_anonymous"), 10, SOFT))
        else:
            labels = {"name": "name", "phone": "phone", "email": "email", "address": "contact_address"}
            self.pairs([(labels[field], value) for field, value in known["contact"].items() if value])
            note = self.say("reporter_shown" if known.get("full") else "reporter_masked")
            self.flow += [Spacer(1, 1 * mm), self.text(note, 8, SOFT)]

    def place(self) -> None:
        case, place = self.case, self.case["place"]
        self.title("place", 125 * mm if self.picture else 30 * mm)
        if case["lon"] is None:
            self.flow.append(self.text(self.say("unlocated", why=place.get("location_error") or "-"), 10, INK))
            return
        stated = str(place.get("datum"))
        if place.get("lon") is not None:
            stated = f"{place['lon']}, {place['lat']} ({stated})"
        self.pairs([
            ("coordinates", f"{case['lon']:.6f}, {case['lat']:.6f}"), ("stated", stated), ("error", f"{case['error_m']:g} m"),
        ])  # fmt: skip
        if self.picture is not None:
            image = Image(io.BytesIO(self.picture))
            image.drawWidth, image.drawHeight = WIDTH, WIDTH * image.imageHeight / image.imageWidth
            notes = [self.say("map_missing"), self.say("grid_north")]
            if case["error_m"] > 0:
                notes.append(self.say("circle", error_m=case["error_m"]))
            between = ";" if self.lang == "zh-CN" else "; "
            self.flow += [Spacer(1, 2 * mm), image, self.text(between.join(n.rstrip("。.") for n in notes), 8, SOFT)]

    def reasons(self) -> None:
        decision = self.case["decision"]
        self.title("why")
        margin = f"{decision['margin_m']:g}"
        if decision["runner_up"]:
            margin = self.say("margin_to", margin=decision["margin_m"], runner_up=self.squad(decision["runner_up"]))
        else:
            margin = self.say("margin_far", margin=decision["margin_m"])
        pin = decision["pin"]
        self.pairs([
            ("lead", self.squad(decision["squad"])), ("assist", self.squads(decision["assist"])), ("step", decision["step_name"]),
            ("margin", margin), ("township", decision["township"]), ("versions", f"{pin['version'][:16]} / {pin['rules_version']}"),
        ])  # fmt: skip
        rows = [
            (
                str(n), r["step_name"], "\n".join(self.claim(c) for c in r["found"]) or self.say("nothing"),
                self.claim(r["chosen"]) if r["chosen"] else "",
            )
            for n, r in enumerate(decision["reasons"], 1)
        ]  # fmt: skip
        meaning = step_words(Step(decision["step"]), self.lang)[1]
        self.flow += [Spacer(1, 1.5 * mm), self.text(meaning, 9, INK), Spacer(1, 1.5 * mm)]
        self.table(("n", "step", "found", "chosen"), rows, (8, 34, 80, 48))

    def holdings(self) -> None:
        self.title("holdings")
        rows = [
            (self.squad(h["squad"]), self.time(h["since"]), self.say("now") if h["until"] is None else self.time(h["until"]))
            for h in self.told["holdings"]
        ]
        self.table(("squad", "since", "until"), rows, (70, 50, 50))

    def story(self) -> None:
        self.title("story")
        self.table(("at", "what", "who", "words"), [self.line(e) for e in self.told["events"]], (28, 38, 40, 64))

    def line(self, event: dict[str, Any]) -> tuple[str, str, str, str]:
        facts, words = event["facts"], event["words"] or {}
        after, before = facts.get("after"), facts.get("before")
        what = event["what"]
        if event["kind"] == "received":
            what += "\n" + self.say("to_squad", squad=self.squad(facts["decision"]["squad"]))
        elif after and before and after["holder"] != before["holder"]:
            what += "\n" + self.say("to_squad", squad=self.squad(after["holder"]))
        who = self.told["people"].get(event["actor"], event["actor"]) + "\n" + role_words(event["role"], self.lang)
        if event["squad"]:
            who += " · " + self.squad(event["squad"])
        notes = [words["reason"]] if words.get("reason") else []
        if words.get("evidence"):
            notes.append(self.say("evidence", evidence=", ".join(words["evidence"])))
        if facts.get("document"):
            notes.append(self.say("document", document=facts["document"]))
        if facts.get("review"):
            notes.append(self.say("review", review=self.time(facts["review"])))
        if event.get("outcome_name"):
            notes.append(self.say("outcome", outcome=event["outcome_name"]))
        return self.time(event["at"]) or "", what, who, "\n".join(notes)

    def sides(self) -> None:
        found = self.told["sides"]
        if not found:
            return
        self.title("sides")
        rows = [
            (
                self.say(s["kind"]) if s["kind"] in WORDS else s["kind"], self.squad(s["squad"]) if s["squad"] else "",
                self.time(s["opened_at"]) or "", self.time(s["closed_at"]) or "",
            )
            for s in found
        ]  # fmt: skip
        self.table(("kind", "squad", "opened", "closed"), rows, (46, 60, 32, 32))

    def files(self) -> None:
        self.title("attachments")
        found = self.told["attachments"]
        if not found:
            self.flow.append(self.text(self.say("no_attachments"), 10, SOFT))
            return
        rows = [
            (f"{a['name'] or a['id']}\nsha256 {a['sha256']}", a["media_type"], f"{a['size']:,}", self.time(a["at"])) for a in found
        ]
        self.table(("file", "kind", "size", "at"), rows, (96, 26, 20, 28))

    def record(self) -> None:
        self.title("record")
        self.flow += [self.text(self.say("record_text"), 8, SOFT), Spacer(1, 1.5 * mm)]
        rows = [(str(e["id"]), e["what"], self.time(e["at"]) or "", e["hash"]) for e in self.told["events"]]
        self.table(("n", "what", "at", ""), rows, (12, 30, 28, 100), size=6.5)

    # --- how they look ---

    def claim(self, code: str) -> str:
        """A claim in words: of what kind it is, and whose or which."""
        kind, _, rest = code.partition(":")
        known = next((c for c in sorted(self.told["squads"], key=len, reverse=True) if rest == c or rest.startswith(f"{c}:")), None)
        shown = rest if known is None else self.squad(known) + (f" {rest[len(known) + 1 :]}" if len(rest) > len(known) else "")
        return f"{self.say('claim_' + kind)} {shown}" if f"claim_{kind}" in WORDS else code

    def squad(self, code: str | None) -> str:
        name = self.told["squads"].get(code, "")
        return f"{name} ({code})" if code and name and name != code else code or ""

    def squads(self, codes: Iterable[str]) -> str:
        return ("、" if self.lang == "zh-CN" else ", ").join(map(self.squad, codes)) or self.say("none")

    def time(self, text: str | None) -> str:
        return "" if text is None else f"{datetime.fromisoformat(text).astimezone(self.zone):%Y-%m-%d %H:%M}"

    def plain(self, text: str) -> str:
        """What the font has, and of the rest the number; nothing that cannot be seen, or turns a line around."""
        found = []
        for char in unicodedata.normalize("NFC", text):
            if char == "\n" or (ord(char) in self.letters and unicodedata.category(char)[0] != "C"):
                found.append(char)
            elif char.isspace():
                found.append(" ")
            else:
                found.append(f"U+{ord(char):04X}")
        return "".join(found)

    def text(self, text: str, size: float, colour: Any) -> Paragraph:
        shown = html.escape(self.plain(text)).replace("\n", "<br/>")
        wrap = "CJK" if CHINESE.search(text) else None
        return Paragraph(shown, ParagraphStyle("-", fontName=FONT, fontSize=size, leading=size * 1.45, textColor=colour, wordWrap=wrap))

    def title(self, key: str, room: float = 30 * mm) -> None:
        self.flow += [CondPageBreak(room), Spacer(1, 4 * mm), self.text(self.say(key), 12, INK), Spacer(1, 1.5 * mm)]

    def pairs(self, rows: Sequence[tuple[str, str | None]]) -> None:
        """Two columns: what it is, what it says; what was never said is left out."""
        shown = [[self.text(self.say(key), 9, SOFT), self.text(value, 9, INK)] for key, value in rows if value]
        style = [("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), *self.tight()]
        self.flow.append(LongTable(shown, colWidths=[38 * mm, WIDTH - 38 * mm], style=TableStyle(style), splitInRow=1, hAlign="LEFT"))

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float], size: float = 8.5) -> None:
        head = [self.text(self.say(key) if key else "", size, SOFT) for key in heads]
        shown = [[self.text(cell, size, INK) for cell in row] for row in rows]
        style = [("BACKGROUND", (0, 0), (-1, 0), SHADE), ("LINEBELOW", (0, 0), (-1, -1), 0.4, RULE), *self.tight()]
        columns = [width * mm for width in widths]
        self.flow.append(LongTable([head, *shown], colWidths=columns, repeatRows=1, style=TableStyle(style), splitInRow=1, hAlign="LEFT"))

    def tight(self) -> list[Any]:
        return [
            ("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (-1, -1), 2), ("RIGHTPADDING", (0, 0), (-1, -1), 4),
            ("TOPPADDING", (0, 0), (-1, -1), 2.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ]  # fmt: skip
