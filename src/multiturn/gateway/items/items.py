"""How does a stored message look as items of the Responses API? Reasoning, words, calls, results; and what
came as an item and cannot be rebuilt from the message, as it came.

An item's id is its message's: ``msg_…`` the message, ``rs_…`` its reasoning, ``fc_…_<n>`` its n-th call,
``fco_…`` a result, ``item_…_<n>`` what is no message at all and came without an id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import orjson

from ...conversations import Address
from ...storage import Told

__all__ = [
    "Item",
    "Kind",
    "call_item",
    "changed",
    "changes",
    "derived_items",
    "item_id",
    "items_of",
    "message_id_of",
    "message_item",
    "output_text",
    "reasoning_item",
    "result_item",
]

Item = dict[str, Any]
Kind = Literal["msg", "rs", "fc", "fco", "item"]
NUMBERED = ("fc", "item")
MAIN = ("message", "function_call_output")
"""The item whose id is the one its message brought along."""


def items_of(told: Told) -> list[Item]:
    """The items of a stored message, in order; of one that was deleted, none."""
    facts: Mapping[str, Any] = orjson.loads(told.facts) if told.facts else {}
    row = told.row
    thought = None if row.reasoning is None else row.reasoning.decode()
    derived = derived_items(orjson.loads(row.body), thought, told.id, facts.get("id"))
    traces = facts.get("response_items")
    found = derived if traces is None else [one for each in traces if (one := _traced(each, derived))]
    own_ids = facts.get("item_ids") or ()
    for place, item in enumerate(found):
        given = (*own_ids[place : place + 1], item.get("id"))
        own = next((each for each in given if each and isinstance(each, str)), None)
        item["id"] = own or item_id("item", told.id, place)
    return found


def _traced(trace: object, derived: Sequence[Item]) -> Item | None:
    """What a trace stands for: an item as it came, or the derived one of that number, changed."""
    match trace:
        case dict():
            return {"id": "", **trace}
        case [int(number), *made] if 0 <= number < len(derived):
            return changed(derived[number], made)
        case int() if 0 <= trace < len(derived):
            return derived[trace]
        case _:
            return None


# ---------------------------------------------------------------------------------------- building


def output_text(text: str, annotations: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A part of what the assistant says."""
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}


def message_item(id: str, role: str, content: Sequence[Mapping[str, Any]], status: str = "completed") -> Item:
    """A message."""
    return {"id": id, "type": "message", "role": role, "status": status, "content": list(content)}


def call_item(id: str, call_id: str, name: str, arguments: str, status: str = "completed") -> Item:
    """A call of a function."""
    return {
        "id": id,
        "type": "function_call",
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def result_item(id: str, call_id: str, output: object, status: str = "completed") -> Item:
    """What a called function returned: text, or a list of parts."""
    return {"id": id, "type": "function_call_output", "call_id": call_id, "output": output, "status": status}


def reasoning_item(id: str, text: str, status: str = "completed") -> Item:
    """What a model thought."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    return {"id": id, "type": "reasoning", "status": status, "summary": summary, "content": []}


# --------------------------------------------------------------------------------------------- ids


def item_id(kind: Kind, message_id: str, n: int = 0) -> str:
    """The id of an item of the message with this id.

    >>> item_id("fc", "msg_01JCXV3Q8Z0000000000000000_0_3_1", 2)
    'fc_01JCXV3Q8Z0000000000000000_0_3_1_2'
    """
    tail = message_id.removeprefix("msg_")
    return f"{kind}_{tail}_{n}" if kind in NUMBERED else f"{kind}_{tail}"


def message_id_of(id: str) -> str | None:
    """The id of the message that an item of ours belongs to; ``None`` for any other id."""
    kind, _, tail = id.partition("_")
    if kind not in ("msg", "rs", "fc", "fco", "item"):
        return None
    if kind in NUMBERED:
        tail, _, number = tail.rpartition("_")
        if not (number.isascii() and number.isdecimal()) or str(int(number[:9])) != number:
            return None
    name = f"msg_{tail}"
    return name if Address.parse(name) else None


# ----------------------------------------------------------------------------------------- deriving


def derived_items(
    body: Mapping[str, Any], reasoning: str | None, message_id: str, own_id: str | None = None
) -> list[Item]:
    """The items that a message is by itself: its chat-completions body, and what was thought before it."""
    found: list[Item] = []
    role, content = str(body.get("role")), body.get("content")
    name = own_id or item_id("msg", message_id)
    if role == "tool":
        output = "" if content is None else content
        if not isinstance(output, str):
            output = [_part(part, "user") for part in output]
        name = own_id or item_id("fco", message_id)
        return [result_item(name, str(body.get("tool_call_id")), output)]
    if reasoning is not None:
        found.append(reasoning_item(item_id("rs", message_id), reasoning))
    parts = list(_parts(body, role))
    if parts or role != "assistant":
        found.append(message_item(name, role, parts))
    for n, call in enumerate(body.get("tool_calls") or ()):
        function = call["function"]
        found.append(
            call_item(item_id("fc", message_id, n), call["id"], function["name"], function["arguments"])
        )
    return found


def _parts(body: Mapping[str, Any], role: str) -> Iterator[dict[str, Any]]:
    content = body.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}] if content else []
    given = body.get("annotations")
    notes = [_annotation(each) for each in given] if isinstance(given, list) else []
    for part in content or ():
        read = _part(part, role)
        if notes and read["type"] == "output_text":
            read, notes = read | {"annotations": notes}, []
        yield read
    refusal = body.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield {"type": "refusal", "refusal": refusal}


def _part(part: Mapping[str, Any], role: str) -> dict[str, Any]:
    match part:
        case {"type": "text", "text": str(text)}:
            return output_text(text) if role == "assistant" else {"type": "input_text", "text": text}
        case {"type": "image_url", "image_url": {"url": url, **rest}}:
            return {"type": "input_image", "image_url": url, "detail": rest.get("detail") or "auto"}
        case {"type": "image_url", "image_url": str(url)}:
            return {"type": "input_image", "image_url": url, "detail": "auto"}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file", **file}
        case _:
            return dict(part)


def _annotation(note: Any) -> Any:
    """Chat completions nests what an annotation says under its type; items do not."""
    match note:
        case {"type": str(kind)} if isinstance(note.get(kind), Mapping):
            return {"type": kind, **note[kind]}
        case _:
            return note


# ------------------------------------------------------------------------------------------ changes


def changes(before: Any, after: Any, path: Sequence[str | int] = ()) -> Iterator[list[Any]]:
    """What makes ``after`` of ``before``, both JSON: a path with the value that stands there, or a path
    alone where nothing does.

    >>> list(changes({"a": [1, 2], "b": 3}, {"a": [1, 5]}))
    [[['b']], [['a', 1], 5]]
    """
    if isinstance(before, dict) and isinstance(after, dict):
        yield from ([[*path, name]] for name in before.keys() - after.keys())
        for name, value in after.items():
            if name in before:
                yield from changes(before[name], value, (*path, name))
            else:
                yield [[*path, name], value]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, value in enumerate(after):
            yield from changes(before[place], value, (*path, place))
    elif orjson.dumps(before) != orjson.dumps(after):
        yield [[*path], after]


def changed(item: Item, made: Sequence[Any]) -> Item:
    """The item with these changes made in it; one that fits nowhere is not made."""
    for change in made:
        try:
            [*path, last], *value = change
            node: Any = item
            for step in path:
                node = node[step]
            if value:
                node[last] = value[0]
            else:
                del node[last]
        except (LookupError, TypeError, ValueError):
            continue
    return item
