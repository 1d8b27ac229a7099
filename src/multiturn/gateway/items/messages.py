"""Which messages are items? Consecutive reasoning, words and calls of the assistant are one message, since
providers want it so; a result is a message of its own.

A message carries what cannot be rebuilt from it: ``response_items`` are its items in order, each as the
number of the item that the message is by itself (see `items.derived_items`), with the changes that make it
the one that came, or as it came; ``item_ids`` the ids they brought along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..http.refusal import Refusal
from .items import MAIN, Item, changes, derived_items
from .posted import TEXTS, is_known

__all__ = ["blank_message", "message_of", "messages_of"]

NOWHERE = "msg_"
"""The id of a message that has no place yet."""
FILE_FIELDS = ("file_id", "file_data", "filename", "file_url")
SENT = ("input_image", "input_audio", "audio_url", "video_url", "video", "audio")
"""Parts that chat completions spells as items do."""
Message = dict[str, Any]
Compacted = Callable[[Item], Sequence[Item]]


@dataclass(slots=True)
class Gathered:
    """Items that make one message."""

    role: str
    items: list[Item] = field(default_factory=list)

    def has(self, kind: str) -> bool:
        """Whether an item of this type is among them."""
        return any(item["type"] == kind for item in self.items)

    def takes(self, item: Item) -> bool:
        """Whether an item of the assistant belongs to the same message: calls that nobody has answered yet
        keep everything together, else new words or new thoughts begin a message."""
        if self.role != "assistant":
            return False
        if item["type"] == "function_call" or self.has("function_call"):
            return True
        return not self.has("message")


def messages_of(items: Sequence[Item], compacted: Compacted | None = None) -> list[Message]:
    """Checked items (see `posted_items`) as chat-completions messages. ``compacted`` opens a compaction
    into items; without it, it is kept and not sent. Raises `Refusal` for an item that is only referred
    to."""
    return [_message(each, NOWHERE) for each in _gathered(_opened(items, compacted))]


def message_of(role: str, items: Sequence[Item], message_id: str) -> Message:
    """The message that is stored under this id, with these items, all of which were its own."""
    return _message(Gathered(role, list(items)), message_id)


def blank_message(role: str, items: Sequence[Item], call: str | None = None) -> Message:
    """A message that says nothing, with the items beside it; ``call`` is the one it is the result of."""
    body: Message = {"role": role, "content": None}
    if call is not None:
        body["tool_call_id"] = call
    traces = [{name: value for name, value in item.items() if name != "id"} for item in items]
    return body | {"response_items": traces, "item_ids": [item["id"] for item in items]}


# --------------------------------------------------------------------------------------- gathering


def _opened(items: Sequence[Item], compacted: Compacted | None) -> Iterator[Item]:
    for item in items:
        if item["type"] == "item_reference":
            raise Refusal(404, "item_not_found", param="input")
        if compacted and item["type"] == "compaction":
            yield from compacted(item)
        else:
            yield item


def _gathered(items: Iterator[Item]) -> list[Gathered]:
    found: list[Gathered] = []
    before: list[Item] = []
    for item in items:
        if not is_known(item):
            (found[-1].items if found else before).append(item)
            continue
        role = _role(item)
        if role != "assistant" or not found or not found[-1].takes(item):
            found.append(Gathered(role, before))
            before = []
        found[-1].items.append(item)
    return [*found, Gathered("assistant", before)] if before else found


def _role(item: Item) -> str:
    if item["type"] == "function_call_output":
        return "tool"
    return str(item["role"]) if item["type"] == "message" else "assistant"


# ----------------------------------------------------------------------------------------- writing


def _message(gathered: Gathered, message_id: str) -> Message:
    body, reasoning = _body(gathered), _thought(gathered)
    main = [item for item in gathered.items if item["type"] in MAIN and is_known(item)]
    own = main[0].get("id") if len(main) == 1 else None
    derived = derived_items(body, reasoning, message_id, own)
    pairs = [(item, _partner(item, gathered, derived)) for item in gathered.items]
    traces = [_trace(item, number, derived) for item, number in pairs]
    ids = [_own_id(item, None if n is None else derived[n]) for item, n in pairs]
    message: Message = dict(body)
    if reasoning is not None:
        message["reasoning_content"] = reasoning
    if own and own != message_id:
        message["id"] = own
    if traces != [*range(len(derived))]:
        message["response_items"] = traces
    if any(ids):
        message["item_ids"] = ids
    return message


def _body(gathered: Gathered) -> Message:
    items = gathered.items
    if gathered.role == "tool":
        result = next(item for item in items if item["type"] == "function_call_output")
        output = result["output"]
        content = output if isinstance(output, str) else [*_parts(output)]
        return {"role": "tool", "tool_call_id": result["call_id"], "content": content}
    parts = [part for item in _said(gathered) for part in _parts(item["content"])]
    body: Message = {"role": gathered.role, "content": _content(parts)}
    calls = [_call(item) for item in items if item["type"] == "function_call"]
    return body | {"tool_calls": calls} if calls else body


def _said(gathered: Gathered) -> list[Item]:
    return [item for item in gathered.items if item["type"] == "message" and is_known(item)]


def _content(parts: list[dict[str, Any]]) -> object:
    if len(parts) == 1 and parts[0]["type"] == "text" and parts[0]["text"]:
        return parts[0]["text"]
    return parts or None


def _call(item: Item) -> dict[str, Any]:
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _parts(content: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Parts as chat completions spells them; what no model could take is not sent."""
    for part in content:
        match part:
            case {"type": kind, "text": str(text)} if kind in TEXTS:
                yield {"type": "text", "text": text}
            case {"type": "refusal", "refusal": str(text)}:
                yield {"type": "text", "text": text}
            case {"type": "input_image" | "computer_screenshot", "image_url": str(url)}:
                detail = part.get("detail", "auto")
                yield {"type": "image_url", "image_url": {"url": url} | _unless_auto(detail)}
            case {"type": "input_file"}:
                yield {"type": "file", "file": {n: part[n] for n in FILE_FIELDS if n in part}}
            case {"type": kind} if kind in SENT:
                yield dict(part)  # an image known by its id only, too: whoever holds it may take it


def _unless_auto(detail: object) -> dict[str, object]:
    return {} if detail == "auto" else {"detail": detail}


def _thought(gathered: Gathered) -> str | None:
    """The reasoning in words: its text, else its summary."""
    texts = []
    for item in gathered.items:
        if item["type"] == "reasoning":
            said = [part["text"] for part in item["content"] or item["summary"] if "text" in part]
            texts += ["\n\n".join(said)] if said else []
    return "\n\n".join(texts) if texts else None


# ------------------------------------------------------------------------------------------ traces


def _partner(item: Item, gathered: Gathered, derived: Sequence[Item]) -> int | None:
    """The number of the derived item that a posted one is, where that is certain."""
    if not is_known(item):
        return None
    same = [n for n, each in enumerate(derived) if each["type"] == item["type"]]
    posted = [each for each in gathered.items if is_known(each) and each["type"] == item["type"]]
    if len(same) != len(posted):
        return None
    return next(n for n, each in zip(same, posted, strict=True) if each is item)


def _trace(item: Item, number: int | None, derived: Sequence[Item]) -> object:
    wanted = {name: value for name, value in item.items() if name != "id"}
    if number is None:
        return wanted
    own = {name: value for name, value in derived[number].items() if name != "id"}
    made = list(changes(own, wanted))
    return [number, *made] if made else number


def _own_id(item: Item, derived: Item | None) -> str | None:
    own = item.get("id")
    return None if derived is not None and derived["id"] == own else own
