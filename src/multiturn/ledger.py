"""Why was each message of a path sent or left out? The whole window's decisions, as they are stored and
shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from .decision import Code, Decisions, Span
from .difference import Change, changed
from .phrases import decision_reason, phrase

__all__ = ["Ledger"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Why each message of a path was sent or left out, as ranges; ``tokens`` of ``budget`` were used.

    ``cache`` holds the figures of the provider's prompt cache as far as they are known: ``predicted`` and
    ``reported`` tokens, ``verdict`` (``hit``, ``short``, ``miss``) and ``cause`` (`caching.prefix`).
    ``route`` is the operator's route that chose the model, ``tried`` who was asked before and failed: model
    and code of the error. ``instructions`` is a short digest of the instructions in force, by which `diff`
    sees that they were edited; ``None``: unknown, or there were none.
    """

    spans: Sequence[Span]
    tokens: int
    budget: int
    notes: tuple[str, ...] = ()
    cache: Mapping[str, object] | None = None
    route: str | None = None
    tried: tuple[tuple[str, str], ...] = ()
    instructions: str | None = None

    @property
    def decisions(self) -> Decisions:
        """One decision for each message of the path."""
        return Decisions(self.spans)

    def explain(self, language: str = "en") -> str:
        """The ledger as a table in English (``"en"``) or Chinese (``"zh"``)."""
        lines = [_line(span, language) for span in self.spans]
        total = phrase("window.total", language, tokens=self.tokens, limit=self.budget)
        cache = _cache_line(self.cache, language) if self.cache else ()
        notes = [phrase(f"note.{note}", language) for note in self.notes]
        tried = [phrase("window.tried", language, model=model, code=code) for model, code in self.tried]
        return "\n".join([*lines, total, *cache, *notes, *tried])

    def diff(self, previous: Ledger) -> list[Change]:
        """What is different from the ledger of the step before: new instructions, another summary, turns
        that are no longer sent and those that are sent again, old turns that are quoted, and last what it
        costs. The new turn and the one before it are no difference."""
        known = self.instructions and previous.instructions
        edited = bool(known) and self.instructions != previous.instructions
        changes = [*changed(self.spans, previous.spans, edited=edited)]
        if self.budget != previous.budget:
            changes.append(Change("budget", {"before": previous.budget, "after": self.budget}))
        return [*changes, Change("tokens", {"before": previous.tokens, "after": self.tokens})]

    def difference(self, previous: Ledger, language: str = "en") -> str:
        """`diff` as sentences, one a line, in English (``"en"``) or Chinese (``"zh"``)."""
        return "\n".join(change.sentence(language) for change in self.diff(previous))

    def to_json(self) -> bytes:
        """The form in which it is stored."""
        value = {"tokens": self.tokens, "budget": self.budget, "spans": [_row(span) for span in self.spans]}
        more = {"notes": self.notes, "cache": self.cache, "route": self.route, "tried": self.tried}
        more["instructions"] = self.instructions
        body = orjson.dumps(value | {name: each for name, each in more.items() if each})
        return bytes(memoryview(body))  # without orjson's spare kilobytes

    @classmethod
    def from_json(cls, stored: bytes) -> Ledger:
        """The ledger that `to_json` wrote."""
        value = orjson.loads(stored)
        spans = tuple(_span(*row) for row in value["spans"])
        notes = tuple(value.get("notes", ()))
        tried = tuple((model, code) for model, code in value.get("tried", ()))
        more = (value.get("cache"), value.get("route"), tried, value.get("instructions"))
        return cls(spans, value["tokens"], value["budget"], notes, *more)


def _cache_line(cache: Mapping[str, object], language: str) -> Sequence[str]:
    """What the provider's cache held, and why not more; nothing where there is nothing to tell."""
    told = [name for name in ("verdict", "predicted", "reported") if name in cache]
    if not any(cache.get(name) for name in ("verdict", "predicted", "reported", "cause")) or not told:
        return ()
    kind = str(cache["verdict"]) if told[0] == "verdict" else told[0]
    words = phrase(f"cache.{kind}", language, **cache)
    cause = cache.get("cause")
    if not cause:
        return (words,)
    return (phrase("cache.because", language, words=words, cause=phrase(f"cache.{cause}", language)),)


def _line(span: Span, language: str) -> str:
    turns = "" if not span.turns else f"{span.turns[0]}–{span.turns[1]}"
    if span.turns and span.turns[0] == span.turns[1]:
        turns = str(span.turns[0])
    tokens = "—" if span.tokens is None else f"{span.tokens:,}"
    mark = "✓" if span.sent else "✗"
    reason = decision_reason(span.code, span.figures, language)
    return f"{mark} {span.code:<18} {turns:>9} {span.messages:>6} {tokens:>8}  {reason}"


def _row(span: Span) -> list[object]:
    turns = list(span.turns) if span.turns else None
    row: list[object] = [span.code, span.messages, span.tokens, turns, span.place]
    if span.figures or span.omitted:
        row.append(dict(span.figures))
    if span.omitted:
        row.append(list(span.omitted))
    return row


def _span(
    code: str,
    messages: int,
    tokens: int | None,
    turns: list[int] | None,
    place: int | None,
    figures: dict[str, object] | None = None,
    omitted: Sequence[str] = (),
) -> Span:
    return Span(
        Code(code),
        messages,
        tokens,
        (turns[0], turns[1]) if turns else None,
        place,
        figures or {},
        tuple(omitted),
    )
