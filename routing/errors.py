"""Errors a person can act on: what is wrong, where, why it matters, and the way out, in Chinese and English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Protocol, runtime_checkable

Lang = Literal["zh-CN", "en"]


@runtime_checkable
class Says(Protocol):
    """A finding, a note, another error: what has a sentence in each language."""

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""


def told_in(fact: object, lang: Lang) -> object:
    """A fact as a reader of that language is told it: what has a sentence by its sentence, several by theirs."""
    if isinstance(fact, Says):
        return fact.text(lang)
    if isinstance(fact, tuple) and fact and all(isinstance(one, Says) for one in fact):
        return " ".join(one.text(lang) for one in fact)
    return fact


class JieguanError(ValueError):
    """Base of every error we raise on bad input.

    Subclasses are named as sentences (`UnknownDatum`) and state `zh` and `en`, templates over the keyword facts given
    when raised. Both name the field, the value, the reason and the way out; a test compares their placeholders. A fact that has
    a sentence of its own is quoted in the reader's language.
    """

    zh: ClassVar[str] = "{what}"
    en: ClassVar[str] = "{what}"

    def __init__(self, **facts: object) -> None:
        self.facts = facts
        super().__init__(self.text("en"))

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        return (self.zh if lang == "zh-CN" else self.en).format(**{name: told_in(fact, lang) for name, fact in self.facts.items()})


class Worded(JieguanError):
    """An error one of whose facts is a key of `words`, put into the reader's language when the sentence is made."""

    worded: ClassVar[str]
    words: ClassVar[Mapping[str, tuple[str, str]]]

    def text(self, lang: Lang) -> str:
        """The sentence in one language."""
        zh, en = self.words[str(self.facts[self.worded])]
        word = zh if lang == "zh-CN" else en
        return (self.zh if lang == "zh-CN" else self.en).format(**{**self.facts, self.worded: word})
