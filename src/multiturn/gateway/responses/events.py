"""How is a response told while it comes? Its pieces as server-sent events, the same ones every time.

An item is opened when its first piece comes. Thoughts and words are closed when something else begins, calls
at the end, since pieces of several may come by turns. What comes late for a closed item is in the end's
response only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from ...course import Piece
from ..http.refusal import Said
from ..http.sse import DONE
from ..items.items import Item, call_item, item_id, message_item, output_text, reasoning_item

__all__ = ["Events", "refusal_in"]

ENDINGS = ("completed", "failed")
"""Statuses that the last event is named for; with any other it is ``incomplete``."""


class Events:
    """Writes the events of one response. ``message`` is the id of the message that its answer is."""

    def __init__(self, message: str, after: int = -1) -> None:
        self._message = message
        self._after = after
        self._number = 0
        self._open: dict[str, Item] = {}
        self._items: list[Item] = []
        self._places: dict[str, int] = {}
        self._said: dict[str, list[str]] = {}
        self._refusal = ""

    @property
    def items(self) -> list[Item]:
        """What was told so far."""
        return self._items

    def begin(self, response: Mapping[str, Any]) -> bytes:
        """The first events."""
        background = response["background"]
        first = {**response, "status": "queued" if background else "in_progress"}
        told = self._event("response.created", response=first)
        if background:
            told += self._event("response.queued", response=first)
        return told + self._event("response.in_progress", response=response)

    def of(self, pieces: Iterable[Piece]) -> bytes:
        """The events of these pieces."""
        return b"".join([self._piece(piece) for piece in pieces])

    def close(self, status: str, refusal: str = "") -> bytes:
        """Nothing more comes; ``status`` is the response's. A ``refusal`` is told whole, as the end of the
        message; one of a message that was closed before is in the end's response only."""
        status, told = "completed" if status == "completed" else "incomplete", b""
        if refusal and "text" not in self._places:
            told = self._close_words() + self._add("text", Piece("text", ""))
        self._refusal = refusal
        return told + b"".join([self._close(key, status) for key in list(self._open)])

    def end(self, response: Mapping[str, Any], *, crashed: bool = False) -> bytes:
        """The last event. Before a process ``crashed`` it may have told more than it stored: whoever heard
        that hears the end behind it."""
        if crashed:
            self._number = max(self._number, self._after + 1)
        kind = response["status"] if response["status"] in ENDINGS else "incomplete"
        return self._event(f"response.{kind}", response=response) + DONE

    def failed(self, said: Said) -> bytes:
        """The event of an error that is not the response's own."""
        error = {"code": said.code, "message": said.message, "param": said.param}
        return self._event("error", **error, error={"type": said.type, **error}) + DONE

    # -- items

    def _piece(self, piece: Piece) -> bytes:
        key = f"call {piece.place}" if piece.kind == "call" else piece.kind
        told = b""
        if key not in self._places:
            told = self._close_words() + self._add(key, piece)
        if key not in self._open or not piece.text:
            return told
        return told + self._delta(key, piece.text)

    def _close_words(self) -> bytes:
        return b"".join([self._close(each) for each in ("reasoning", "text") if each in self._open])

    def _add(self, key: str, piece: Piece) -> bytes:
        """Open an item."""
        if key == "text":
            item = message_item(self._message, "assistant", (), "in_progress")
        elif key == "reasoning":
            item = reasoning_item(item_id("rs", self._message), "", "in_progress")
        else:
            name = item_id("fc", self._message, piece.place)
            item = call_item(name, piece.id, piece.name, "", "in_progress")
        place = self._places[key] = len(self._items)
        self._open[key], self._said[key] = item, []
        self._items.append(item)
        told = self._event("response.output_item.added", output_index=place, item=item)
        if key == "text" and piece.text:
            told += self._part("content_part.added", key, part=output_text(""))
        return told

    def _delta(self, key: str, text: str) -> bytes:
        told, said = b"", self._said[key]
        if key == "reasoning" and not said:
            told = self._part("reasoning_summary_part.added", key, part=_summary(""))
        said.append(text)
        if key == "text":
            return self._part("output_text.delta", key, delta=text, logprobs=[])
        kind = "reasoning_summary_text.delta" if key == "reasoning" else "function_call_arguments.delta"
        return told + self._part(kind, key, delta=text)

    def _close(self, key: str, status: str = "completed") -> bytes:
        item, text, told = self._open.pop(key), "".join(self._said.pop(key)), b""
        if key == "text":
            told = self._close_message(item, text)
        elif key == "reasoning":
            if text:
                item["summary"] = [_summary(text)]
                told = self._part("reasoning_summary_text.done", key, text=text)
                told += self._part("reasoning_summary_part.done", key, part=item["summary"][0])
        else:
            item["arguments"] = text
            told = self._part("function_call_arguments.done", key, name=item["name"], arguments=text)
        item["status"] = status
        return told + self._event("response.output_item.done", output_index=self._places[key], item=item)

    def _close_message(self, item: Item, text: str) -> bytes:
        told, refusal = b"", self._refusal
        item["content"] = content = [output_text(text)] if text else []
        if text:
            told = self._part("output_text.done", "text", text=text, logprobs=[])
            told += self._part("content_part.done", "text", part=content[0])
        if refusal:
            place = len(content)
            told += self._part("content_part.added", "text", place, part=_refused(""))
            told += self._part("refusal.delta", "text", place, delta=refusal)
            told += self._part("refusal.done", "text", place, refusal=refusal)
            content.append(_refused(refusal))
            told += self._part("content_part.done", "text", place, part=content[place])
        return told

    # -- writing

    def _part(self, kind: str, key: str, content: int = 0, **fields: Any) -> bytes:
        """An event of an item that is there; of a message's parts, which one by number."""
        place = self._places[key]
        where: dict[str, Any] = {"item_id": self._items[place]["id"], "output_index": place}
        if key == "text":
            where["content_index"] = content
        elif key == "reasoning":
            where["summary_index"] = 0
        return self._event(f"response.{kind}", **where, **fields)

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._number
        self._number += 1
        if number <= self._after:
            return b""
        data = orjson.dumps({"type": kind, "sequence_number": number, **fields})
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), data)


def _summary(text: str) -> dict[str, Any]:
    return {"type": "summary_text", "text": text}


def refusal_in(items: Iterable[Item]) -> str:
    """What these items of an answer say where it refuses."""
    parts = [part for item in items if item["type"] == "message" for part in item["content"]]
    return "".join(part["refusal"] for part in parts if part["type"] == "refusal")


def _refused(words: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": words}
