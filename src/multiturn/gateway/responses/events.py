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
from ..items.items import Item, call_item, item_id, message_item, output_text, reasoning_item

__all__ = ["Events"]

LAST = {"completed": "completed", "failed": "failed"}
"""The status as the last event has it; every other is ``incomplete``."""


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

    def close(self, status: str) -> bytes:
        """Nothing more comes; ``status`` is the response's."""
        status = "completed" if status == "completed" else "incomplete"
        return b"".join([self._close(key, status) for key in list(self._open)])

    def end(self, response: Mapping[str, Any], *, crashed: bool = False) -> bytes:
        """The last event. Before a process ``crashed`` it may have told more than it stored: whoever heard
        that hears the end behind it."""
        if crashed:
            self._number = max(self._number, self._after + 1)
        kind = LAST.get(response["status"], "incomplete")
        return self._event(f"response.{kind}", response=response)

    def failed(self, said: Said) -> bytes:
        """The event of an error that is not the response's own."""
        error = {"code": said.code, "message": said.message, "param": said.param}
        return self._event("error", **error, error={"type": said.type, **error})

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
            item = reasoning_item(item_id("rs", self._message), "")
        else:
            name = item_id("fc", self._message, piece.place)
            item = call_item(name, piece.id, piece.name, "", "in_progress")
        place = self._places[key] = len(self._items)
        self._open[key], self._said[key] = item, []
        self._items.append(item)
        told = self._event("response.output_item.added", output_index=place, item=item)
        if key == "text":
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
            item["content"] = [output_text(text)]
            told = self._part("output_text.done", key, text=text, logprobs=[])
            told += self._part("content_part.done", key, part=item["content"][0])
        elif key == "reasoning":
            if text:
                item["summary"] = [_summary(text)]
                told = self._part("reasoning_summary_text.done", key, text=text)
                told += self._part("reasoning_summary_part.done", key, part=item["summary"][0])
        else:
            item["arguments"] = text
            told = self._part("function_call_arguments.done", key, name=item["name"], arguments=text)
        if "status" in item:
            item["status"] = status
        return told + self._event("response.output_item.done", output_index=self._places[key], item=item)

    # -- writing

    def _part(self, kind: str, key: str, **fields: Any) -> bytes:
        """An event of an item that is there."""
        place = self._places[key]
        where: dict[str, Any] = {"item_id": self._items[place]["id"], "output_index": place}
        if key == "text":
            where["content_index"] = 0
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
