"""Which items did the client post? Text or a list of items, checked, with what items leave out filled in.

Items of a type that is not known here are kept as they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..http.refusal import Refusal
from .items import Item

__all__ = ["is_known", "posted_items", "references"]

ROLES = ("user", "assistant", "system", "developer")
KNOWN = ("message", "function_call", "function_call_output", "reasoning")
OTHERS = ("critic", "discriminator", "tool", "unknown")
"""Roles of messages that are kept and never sent."""
MOST_ITEMS = 2048
TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text")


def posted_items(value: object, name: str = "input") -> list[Item]:
    """What was posted under ``name``, as items: each has its type, and an ``id`` only where one was given.
    Raises `Refusal`, which names the place.

    >>> posted_items("hi")[0]["content"]
    [{'type': 'input_text', 'text': 'hi'}]
    """
    if isinstance(value, str):
        return [_item({"role": "user", "content": value}, name)]
    if not isinstance(value, list):
        raise Refusal(400, "items_missing", param=name)
    if len(value) > MOST_ITEMS:
        raise Refusal(400, "too_many_items", param=name, limit=MOST_ITEMS)
    return [_item(each, f"{name}[{place}]") for place, each in enumerate(value)]


def references(items: Sequence[Item]) -> list[str]:
    """The ids of items that are only referred to."""
    return [item["id"] for item in items if item["type"] == "item_reference"]


def is_known(item: Mapping[str, Any]) -> bool:
    """Whether an item is a message, or a part of one; any other is kept and never sent."""
    return item["type"] in KNOWN and (item["type"] != "message" or item.get("role") in ROLES)


def _item(value: object, place: str) -> Item:
    if not isinstance(value, dict):
        raise _shapeless(place)
    kind = value.get("type") or _kind(value)
    own = value.get("id")
    if not isinstance(kind, str) or not isinstance(own, str | None):
        raise _shapeless(place)
    item = {**value, "type": kind}
    if not own:
        item.pop("id", None)
    if kind == "item_reference" and not own:
        raise _shapeless(f"{place}.id")
    if kind == "message" and item.get("role") not in (*ROLES, *OTHERS):
        raise _shapeless(f"{place}.role")
    if not is_known(item):
        return item
    return FILLED[kind]({name: each for name, each in item.items() if each is not None}, place)


def _kind(value: Mapping[str, Any]) -> str | None:
    """What an item is that does not say so."""
    if "role" in value:
        return "message"
    return "item_reference" if value.keys() <= {"id", "type"} else None


def _message(item: Item, place: str) -> Item:
    content, assistant = item.get("content"), item["role"] == "assistant"
    if isinstance(content, str):
        content = [{"type": "output_text" if assistant else "input_text", "text": content}]
    if not isinstance(content, list):
        raise _shapeless(f"{place}.content")
    parts = [_part(part, f"{place}.content[{n}]") for n, part in enumerate(content)]
    return {"status": "completed", **item, "content": parts}


def _call(item: Item, place: str) -> Item:
    for name in ("call_id", "name", "arguments"):
        if not isinstance(item.get(name), str) or (name == "call_id" and not item[name]):
            raise _shapeless(f"{place}.{name}")
    return {"status": "completed", **item}


def _result(item: Item, place: str) -> Item:
    if not isinstance(item.get("call_id"), str) or not item["call_id"]:
        raise _shapeless(f"{place}.call_id")
    output = item.get("output")
    if isinstance(output, list):
        output = [_part(part, f"{place}.output[{n}]") for n, part in enumerate(output)]
    elif not isinstance(output, str):
        raise _shapeless(f"{place}.output")
    return {"status": "completed", **item, "output": output}


def _reasoning(item: Item, place: str) -> Item:
    item = {"status": "completed", "summary": [], "content": [], **item}
    for name in ("summary", "content"):
        if not isinstance(item[name], list):
            raise _shapeless(f"{place}.{name}")
        item[name] = [_part(part, f"{place}.{name}[{n}]") for n, part in enumerate(item[name])]
    return item


FILLED = {
    "message": _message,
    "function_call": _call,
    "function_call_output": _result,
    "reasoning": _reasoning,
}


def _part(part: Any, place: str) -> dict[str, Any]:  # noqa: PLR0911  (one line for each kind of part)
    """A part of content; those that chat completions spells otherwise are spelt as items do."""
    match part:
        case {"type": kind} if kind in TEXTS:
            if not isinstance(part.get("text"), str):
                raise _shapeless(f"{place}.text")
            made: Item = {"annotations": [], "logprobs": []}
            return {**made, **_present(part)} if kind == "output_text" else dict(part)
        case {"type": "refusal"}:
            if not isinstance(part.get("refusal"), str):
                raise _shapeless(f"{place}.refusal")
            return dict(part)
        case {"type": "image_url", "image_url": {"url": str(url), **rest}}:
            return {"type": "input_image", "image_url": url, "detail": "auto", **_present(rest)}
        case {"type": "input_image"}:
            return {"detail": "auto", **_present(part)}
        case {"type": "file", "file": dict(file)}:
            return {"type": "input_file", **_present(file)}
        case {"type": "input_file"}:
            return _present(part)
        case {"type": str()}:
            return dict(part)
        case _:
            raise _shapeless(place)


def _present(part: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in part.items() if value is not None}


def _shapeless(place: str) -> Refusal:
    return Refusal(400, "item_shape", param=place)
