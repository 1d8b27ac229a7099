"""What does one piece of an answer say? Choices in JSON become deltas, whatever their provider's dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from ..errors import ProviderFailed, ProviderOverflow, StreamCut
from ..phrases import Reason
from ..reply import CallPiece, Delta
from .faults import Faults
from .usage import usage_of
from .values import keepable, sound, table_of, word_of

__all__ = ["NOTHING", "REPLACED", "AnswerReader"]

REPLACED = "text_replaced"
"""The field of `Delta.extra` that tells: characters nobody can read were replaced by U+FFFD, or a field that
cannot be kept was left out."""

UNINTERPRETED = frozenset(
    (
        "content",
        "reasoning_content",
        "reasoning",
        "tool_calls",
        "role",
        "name",
        "function_call",
        "obfuscation",
        "reasoning_details",
        "id",
        "created_at",
        "model",
        "tool_call_id",
        "response_items",
        "item_ids",
        REPLACED,
    )
)
"""Fields of a message that are read here, mean nothing, or mean something else in a message of ours; all
others are handed on."""

NOTHING = Delta()
"""What a piece that says nothing becomes: this very object."""


@dataclass(slots=True)
class AnswerReader:
    """Reads the choices of one answer, piece by piece. ``cumulative``: each piece repeats what came
    before it, so only what it adds is handed on.

    ``finished`` tells whether a finish reason was seen, ``begun`` whether anything was handed on.
    """

    faults: Faults
    cumulative: bool = False
    finished: bool = False
    begun: bool = False
    _held: dict[str, str] = field(default_factory=dict)
    """The first half of a character whose second half is still on its way, by the text it belongs to."""
    _seen: dict[str, str] = field(default_factory=dict)
    """What cumulative texts said so far."""
    _thought_of: bool = False
    """Whether an empty reasoning field came that no delta has carried yet."""
    _refusal: str = ""
    _model: str | None = None
    _response: str | None = None
    _calls: dict[int, str] = field(default_factory=dict)
    """The ids of the calls so far, by our index."""
    _places: dict[int, int] = field(default_factory=dict)
    """Our index of a call by the provider's: one that is used twice means two calls."""
    _replaced: bool = False

    def piece(self, value: Mapping[str, Any], choice: Mapping[str, Any], *, damaged: bool) -> Delta:
        """The delta of one piece: the whole object, and the choice in it that is ours. A delta that
        says nothing is equal to ``Delta()``."""
        if not damaged and (plain := self.plain(value, choice)):
            return plain
        usage = usage_of(value.get("usage")) or usage_of(choice.get("usage"))
        message = table_of(choice, "delta", "message")
        text, reasoning = self._words(message, damaged=damaged)
        calls = self._call_pieces(message.get("tool_calls"), damaged=damaged)
        finish = self._finish(choice.get("finish_reason"))
        extra = self._extra(message)
        if damaged:
            usage = usage and replace(usage, raw=cast("Mapping[str, object]", sound(usage.raw)))
            mended = {name: sound(each) for name, each in extra.items()}
            extra = mended if mended == extra else {**mended, REPLACED: True}
        if reasoning == "" and not text and not calls:
            self._thought_of, reasoning = True, None
        if not (text or reasoning or calls or finish or usage or extra):
            return NOTHING
        if reasoning is None and self._thought_of:
            reasoning = ""
        if reasoning is not None:
            self._thought_of = False
        self.begun = True
        return Delta(text, reasoning, calls, finish, usage, *self._names(value), extra or None)

    @property
    def at_rest(self) -> bool:
        """Whether words are handed on as they come: nothing is held that they are put together with."""
        return not (self.cumulative or self._held or self._thought_of or self._replaced)

    def plain(self, value: Mapping[str, Any], choice: Mapping[str, Any]) -> Delta | None:
        """The delta of a piece that brings a few words and nothing else, as nearly all pieces do; ``None``
        where it brings more."""
        message = choice.get("delta")
        if type(message) is not dict or len(message) != 1 or choice.get("finish_reason") is not None:
            return None
        text = message.get("content")
        if type(text) is not str or not text or value.get("usage") or choice.get("usage"):
            return None
        if not self.at_rest:
            return None
        self.begun = True
        if value.get("model") == self._model and value.get("id") == self._response and self._response:
            return Delta(text)
        return Delta(text, None, (), None, None, *self._names(value))

    def end(self) -> Delta:
        """What is still held when the answer ends; raises `StreamCut` where its end never came."""
        if not self.finished:
            raise self.cut(Reason("why.no_finish"))
        return self.rest()

    def rest(self) -> Delta:
        """What is still held: halves of characters whose other half never came."""
        if not self._held:
            return NOTHING
        texts = dict.fromkeys(self._held, "\ufffd")
        self._held.clear()
        calls = tuple(
            CallPiece(int(name), arguments="\ufffd") for name in texts if name not in ("text", "reasoning")
        )
        return Delta(texts.get("text", ""), texts.get("reasoning"), calls, extra={REPLACED: True})

    def joined(self, delta: Delta) -> Delta:
        """The one delta of an answer that came in one piece, with what is still held. Such an answer has an
        end, whether or not it says so."""
        if not delta.finish_reason and (delta.text or delta.calls or delta.extra):
            delta = replace(delta, finish_reason=self._ending)
        rest = self.rest()
        if rest is NOTHING:
            return delta
        reasoning = delta.reasoning if rest.reasoning is None else (delta.reasoning or "") + rest.reasoning
        return replace(
            delta,
            text=delta.text + rest.text,
            reasoning=reasoning,
            calls=delta.calls + rest.calls,
            extra={**(delta.extra or {}), REPLACED: True},
        )

    def cut(self, why: str) -> StreamCut:
        """The error for an answer that broke off."""
        return StreamCut(why, provider=self.faults.provider)

    # ------------------------------------------------------------------------------------ words

    def _words(self, message: Mapping[str, Any], *, damaged: bool) -> tuple[str, str | None]:
        text = self._new("text", _text_of(message.get("content")), damaged=damaged)
        thoughts = [
            _text_of(message[n]) for n in ("reasoning_content", "reasoning") if message.get(n) is not None
        ]
        if not thoughts:
            return text, None
        return text, self._new("reasoning", next(filter(None, thoughts), ""), damaged=damaged)

    def _new(self, name: str, text: str, *, damaged: bool) -> str:
        """What ``text`` adds to the text of this name, whole characters only."""
        if self.cumulative and text:
            seen = self._seen.get(name, "")
            self._seen[name] = text
            text = text[len(seen) :]
        if text and (damaged or name in self._held):
            return self._mended(name, text)
        return text

    def _mended(self, name: str, text: str) -> str:
        text = self._held.pop(name, "") + text
        if "\ud800" <= text[-1] <= "\udbff":
            self._held[name], text = text[-1], text[:-1]
        whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if "\ufffd" in whole:
            self._replaced = True
        return whole

    def _extra(self, message: Mapping[str, Any]) -> dict[str, object]:
        extra = {
            name: value
            for name, value in message.items()
            if name not in UNINTERPRETED and value not in (None, [], "")
        }
        for name in [name for name, value in extra.items() if not keepable(value)]:
            del extra[name]
            self._replaced = True
        if isinstance(refusal := extra.get("refusal"), str):
            self._refusal += refusal
            extra["refusal"] = self._refusal
        if self._replaced:
            self._replaced = False
            extra[REPLACED] = True
        return extra

    def _names(self, value: Mapping[str, Any]) -> tuple[str | None, str | None]:
        """The model and the id of the response, when they are new."""
        model, response = word_of(value.get("model")), word_of(value.get("id") or value.get("request_id"))
        new = (model if model != self._model else None, response if response != self._response else None)
        self._model, self._response = model or self._model, response or self._response
        return new

    # ------------------------------------------------------------------------------------ calls

    def _call_pieces(self, raw: object, *, damaged: bool) -> tuple[CallPiece, ...]:
        if not isinstance(raw, list):
            return ()
        pieces = (self._call_piece(call, damaged=damaged) for call in raw if isinstance(call, Mapping))
        return tuple(piece for piece in pieces if piece.id or piece.name or piece.arguments)

    def _call_piece(self, call: Mapping[str, Any], *, damaged: bool) -> CallPiece:
        function = table_of(call, "function")
        identity, name = word_of(call.get("id")) or "", word_of(function.get("name")) or ""
        index = self._place(call.get("index"), identity, name)
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        new = identity if self._calls.get(index) != identity else ""
        self._calls[index] = identity or self._calls.get(index, "")
        return CallPiece(index, new, name, self._new(str(index), arguments, damaged=damaged))

    def _place(self, given: object, identity: str, name: str) -> int:
        """Which call a piece belongs to: by its index, else by its id, else the one under way. An index
        that comes again with another id and a name is another call."""
        fresh = len(self._calls)
        if type(given) is int:
            index = self._places.get(given, fresh)
            known = self._calls.get(index, "")
            if name and identity and known and identity != known:
                index = next((i for i, each in self._calls.items() if each == identity), fresh)
            self._places[given] = index
        elif identity:
            index = next((i for i, each in self._calls.items() if each == identity), fresh)
        else:
            index = fresh if name or not fresh else max(self._calls)
        self._calls.setdefault(index, "")
        return index

    # ----------------------------------------------------------------------------------- the end

    def _finish(self, reason: object) -> str | None:
        """The finish reason in OpenAI's words; some reasons are errors. What is no word says that it is the
        end, but not why."""
        if not reason or reason == "null" or self.finished:
            return None
        reason = word_of(reason) or self._ending
        if reason == "network_error":
            if self.begun:
                raise self.cut(Reason("why.lost_connection"))
            raise ProviderFailed(
                Reason("why.lost_connection"), provider=self.faults.provider, provider_code=reason
            )
        if reason == "model_context_window_exceeded":
            if not self.begun:
                raise ProviderOverflow(
                    Reason("why.window_full"), provider=self.faults.provider, provider_code=reason
                )
            reason = "length"
        self.finished = True
        return "content_filter" if reason == "sensitive" else reason

    @property
    def _ending(self) -> str:
        """The finish reason of an answer that came to its end and does not say why."""
        return "tool_calls" if self._calls else "stop"


def _text_of(content: object) -> str:
    """The words of content: text, or a list of parts that hold text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text_of(part.get("text") if isinstance(part, Mapping) else part) for part in content)
    return ""
