"""How do our deltas and replies look in DashScope's own protocol? Frames add or repeat, text or messages.

Every frame carries the usage so far. The finish reason is the text ``null`` until the last frame, which comes
when the usage is known: so it is held back till the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from ...reply import CallPiece, Delta, Draft
from ...usage import Usage
from ..completions.form import Named
from ..http.refusal import Said
from .errors import native_error

__all__ = ["Frames", "Native"]

SENSES = ("image_tokens", "video_tokens", "audio_tokens")


@dataclass(slots=True)
class Native:
    """The form of one answer. ``request`` is the id of its request; ``parts``: content is a list, as on the
    multimodal path; ``text``: only the words, in the old format; ``adding``: frames do not repeat what came
    before them; ``thinking``: reasoning was asked for, so there is always a field for it."""

    request: str
    streamed: bool = False
    parts: bool = False
    text: bool = False
    adding: bool = False
    thinking: bool = False
    frames: int = 0
    says_repeats = False

    def pieces(self, named: Named) -> Frames:
        """What writes the frames of the answer."""
        del named
        return Frames(self)

    def whole(self, named: Named, draft: Draft, usage: Usage | None) -> bytes:
        """A whole answer."""
        del named
        return self.body(_said(draft), draft.finish_reason or "stop", usage)

    def failed(self, said: Said) -> bytes:
        """The frame of an error."""
        return self.frame("error", said.status, native_error(said, self.request))

    def frame(self, event: str, status: int, body: bytes) -> bytes:
        """One frame. An error tells its status twice: in a comment as DashScope does, and in the field in
        which its SDK looks for it."""
        self.frames += 1
        field = b"status:%d\n" % status if event == "error" else b""
        return b"id:%d\nevent:%b\n:HTTP_STATUS/%d\n%bdata:%b\n\n" % (
            self.frames,
            event.encode(),
            status,
            field,
            body,
        )

    def body(self, said: Delta, finish: str, usage: Usage | None) -> bytes:
        """What is said, as a body or as the data of a frame."""
        output = (
            {"text": said.text, "finish_reason": finish}
            if self.text and not said.calls
            else {
                "text": None,
                "finish_reason": None,
                "choices": [{"finish_reason": finish, "message": self._message(said)}],
            }
        )
        return orjson.dumps({"output": output, "usage": _usage(usage), "request_id": self.request})

    def _message(self, said: Delta) -> dict[str, Any]:
        content: object = said.text
        if self.parts:
            content = [{"text": said.text}] if said.text else []
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if said.reasoning is not None or self.thinking:
            message["reasoning_content"] = said.reasoning or ""
        if said.calls:
            message["tool_calls"] = [_call(each) for each in said.calls]
        return {**(said.extra or {}), **message}


class Frames:
    """Writes the frames of one answer."""

    def __init__(self, form: Native) -> None:
        self._form = form
        self._so_far = Draft()
        self._thought = False
        self._named: set[int] = set()

    def of(self, delta: Delta) -> bytes:
        """One delta as a frame; nothing where it has no words."""
        if self._form.adding:
            self._remember(delta)
        else:
            self._so_far.add(delta)
        if not (delta.text or delta.reasoning or delta.calls or delta.extra):
            return b""
        said = self._added(delta) if self._form.adding else _said(self._so_far)
        return self._form.frame("result", 200, self._form.body(said, "null", self._so_far.usage))

    def end(self, usage: Usage | None) -> bytes:
        """The last frame, with the reason of the end."""
        said = self._added(Delta()) if self._form.adding else _said(self._so_far)
        finish = self._so_far.finish_reason or "stop"
        return self._form.frame("result", 200, self._form.body(said, finish, usage or self._so_far.usage))

    def _remember(self, delta: Delta) -> None:
        """What later frames need of one that is not repeated."""
        self._thought = self._thought or delta.reasoning is not None
        self._so_far.usage = delta.usage or self._so_far.usage
        self._so_far.finish_reason = delta.finish_reason or self._so_far.finish_reason

    def _added(self, delta: Delta) -> Delta:
        """What a frame adds: after the thinking it has an empty field for that, and every call begins with
        an id."""
        thought = "" if delta.reasoning is None and self._thought else delta.reasoning
        return Delta(delta.text, thought, tuple(map(self._identified, delta.calls)), extra=delta.extra)

    def _identified(self, piece: CallPiece) -> CallPiece:
        if piece.index in self._named:
            return piece
        self._named.add(piece.index)
        return replace(piece, id=piece.id or f"call_{piece.index}")


def _said(draft: Draft) -> Delta:
    calls = tuple(
        CallPiece(place, each.id, each.name, each.arguments) for place, each in enumerate(draft.tool_calls)
    )
    return Delta(draft.text, draft.reasoning, calls, extra=draft.extra)


def _call(piece: CallPiece) -> dict[str, Any]:
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": function}


def _usage(usage: Usage | None) -> dict[str, Any]:
    """Usage by DashScope's names; zero where nothing is known."""
    usage = usage or Usage()
    raw = usage.raw or {}
    details = raw.get("prompt_tokens_details")
    known = {**(details if isinstance(details, Mapping) else {}), **raw}
    return {
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached or 0},
        "output_tokens_details": {"reasoning_tokens": usage.reasoning or 0},
        **{name: known[name] for name in SENSES if type(known.get(name)) is int},
    }
