"""What may a request for a response say? Each parameter is checked as OpenAI checks it; what is not known is
refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...client import LONGEST_NAME as LONGEST_USER
from ..http.refusal import Refusal

__all__ = ["checked"]

Check = Callable[[Any, str], Any]

LEAST_OUTPUT = 16
LEAST_THRESHOLD = 1000
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
LONGEST_NAME = 64
HOSTED = "unsupported_tool"


def checked(fields: Mapping[str, Any], passed: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The parameters that were given, checked and normalised; null means not given. ``passed`` are names of
    a provider's own, which are handed on. Raises `Refusal`."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if value is None:
            continue
        if name in REFUSED:
            raise Refusal(400, "unsupported_parameter", param=name)
        check = FIELDS.get(name)
        if check is None and name not in passed:
            raise Refusal(400, "unknown_parameter", param=name if len(name) <= LONGEST_NAME else None)
        found[name] = check(value, name) if check else value
    return found


# ------------------------------------------------------------------------------------------ checks


def _anything(value: Any, name: str) -> Any:
    del name
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise Refusal(400, "not_text", param=name)
    return value


def _user(value: Any, name: str) -> str:
    if len(_text(value, name)) > LONGEST_USER:
        raise Refusal(400, "text_too_long", param=name, limit=LONGEST_USER)
    return str(value)


def _switch(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise Refusal(400, "not_a_switch", param=name)
    return value


def _table(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Refusal(400, "invalid_type", param=name)
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise Refusal(400, "invalid_type", param=name)
    return value


def _number(least: float, most: float) -> Check:
    def check(value: Any, name: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Refusal(400, "invalid_type", param=name)
        if not least <= value <= most:
            raise Refusal(400, "number_range", param=name, least=least, longest=most)
        return value

    return check


def _integer(least: int, most: int | None = None) -> Check:
    def check(value: Any, name: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Refusal(400, "invalid_type", param=name)
        if value < least:
            raise Refusal(400, "integer_below_min_value", param=name, least=least)
        if most is not None and value > most:
            raise Refusal(400, "integer_above_max_value", param=name, limit=most)
        return value

    return check


def _one_of(*allowed: str) -> Check:
    def check(value: Any, name: str) -> str:
        if _text(value, name) not in allowed:
            raise Refusal(400, "invalid_value", param=name, known=", ".join(allowed))
        return str(value)

    return check


def _metadata(value: Any, name: str) -> dict[str, str]:
    """At most 16 pairs of text, keys of 64 and values of 512 characters. Raises `Refusal`."""
    pairs = _table(value, name)
    fits = len(pairs) <= MOST_PAIRS and all(
        isinstance(each, str) and len(key) <= LONGEST_KEY and len(each) <= LONGEST_VALUE
        for key, each in pairs.items()
    )
    if not fits:
        raise Refusal(400, "metadata_shape", param=name)
    return pairs


def _names(value: Any, name: str) -> list[str]:
    for place, each in enumerate(_list(value, name)):
        _text(each, f"{name}[{place}]")
    return list(value)


def _part(table: Mapping[str, Any], part: str, check: Check, name: str) -> Any:
    """A part of the table under ``name`` that may be left out, or null."""
    value = table.get(part)
    return None if value is None else check(value, f"{name}.{part}")


def _reasoning(value: Any, name: str) -> dict[str, Any]:
    table = _table(value, name)
    effort, told, old = (
        _part(table, each, _text, name) for each in ("effort", "summary", "generate_summary")
    )
    return {"effort": effort, "summary": told or old}


def _text_config(value: Any, name: str) -> dict[str, Any]:
    table = _table(value, name)
    form = _table(table.get("format") or {"type": "text"}, f"{name}.format")
    kind = _one_of("text", "json_object", "json_schema")(form.get("type"), f"{name}.format.type")
    found: dict[str, Any] = {"format": {"type": kind}}
    if kind == "json_schema":
        found["format"] = {
            "type": kind,
            "name": _text(form.get("name"), f"{name}.format.name"),
            "description": _part(form, "description", _text, f"{name}.format"),
            "schema": _table(form.get("schema"), f"{name}.format.schema"),
            "strict": _part(form, "strict", _switch, f"{name}.format") is True,
        }
    verbosity = _part(table, "verbosity", _one_of("low", "medium", "high"), name)
    return found if verbosity is None else found | {"verbosity": verbosity}


def _tools(value: Any, name: str) -> list[dict[str, Any]]:
    return [_tool(each, f"{name}[{place}]") for place, each in enumerate(_list(value, name))]


def _tool(value: Any, name: str) -> dict[str, Any]:
    """A function in the flat form; one nested as chat completions has it is taken, too."""
    tool = _table(value, name)
    if tool.get("type") != "function":
        raise Refusal(400, HOSTED, param=f"{name}.type")
    if isinstance(tool.get("function"), dict):
        tool = tool["function"]
    return {
        "type": "function",
        "name": _text(tool.get("name"), f"{name}.name"),
        "description": _part(tool, "description", _text, name),
        "parameters": _part(tool, "parameters", _table, name),
        "strict": _part(tool, "strict", _switch, name),
    }


def _tool_choice(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return _one_of("auto", "none", "required")(value, name)
    table = _table(value, name)
    if table.get("type") == "function":
        nested = table.get("function")
        named = nested.get("name") if isinstance(nested, dict) else table.get("name")
        return {"type": "function", "name": _text(named, f"{name}.name")}
    if table.get("type") == "allowed_tools":
        mode = _one_of("auto", "none", "required")(table.get("mode") or "auto", f"{name}.mode")
        tools = _list(table.get("tools"), f"{name}.tools")
        if not all(isinstance(each, dict) and each.get("type") == "function" for each in tools):
            raise Refusal(400, HOSTED, param=f"{name}.tools")
        for place, each in enumerate(tools):
            _text(each.get("name"), f"{name}.tools[{place}].name")
        return {"type": "allowed_tools", "mode": mode, "tools": tools}
    raise Refusal(400, HOSTED, param=f"{name}.type")


def _image(value: Any, name: str) -> dict[str, Any]:
    """Nothing is compressed here: that cannot be required."""
    wanted = _part(_table(value, name), "context_compression", _one_of("auto", "enabled", "disabled"), name)
    if wanted == "enabled":
        raise Refusal(400, "unsupported_parameter", param=f"{name}.context_compression")
    return dict(value)


def _programs(value: Any, name: str) -> dict[str, Any]:
    """Everybody has the standard access, and nobody another."""
    if any(wanted not in (None, "standard") for wanted in _table(value, name).values()):
        raise Refusal(400, "unsupported_parameter", param=name)
    return dict(value)


def _management(value: Any, name: str) -> list[dict[str, Any]]:
    entries = _list(value, name)
    for place, each in enumerate(entries):
        entry = _table(each, f"{name}[{place}]")
        _one_of("compaction")(entry.get("type"), f"{name}[{place}].type")
        _part(entry, "compact_threshold", _integer(LEAST_THRESHOLD), f"{name}[{place}]")
    return entries


def _conversation(value: Any, name: str) -> str:
    named = value.get("id") if isinstance(value, dict) else value
    if not isinstance(named, str) or not named.strip():
        raise Refusal(400, "conversation_shape", param=name)
    return named


FIELDS: Mapping[str, Check] = {
    "access_programs": _programs,
    "background": _switch,
    "background_options": _table,
    "context_management": _management,
    "conversation": _conversation,
    "frequency_penalty": _number(-2, 2),
    "image": _image,
    "include": _names,
    "input": _anything,
    "instructions": _text,
    "max_output_tokens": _integer(LEAST_OUTPUT),
    "max_tool_calls": _integer(1),
    "metadata": _metadata,
    "model": _text,
    "parallel_tool_calls": _switch,
    "presence_penalty": _number(-2, 2),
    "previous_response_id": _text,
    "prompt_cache_key": _text,
    "prompt_cache_options": _table,
    "prompt_cache_retention": _text,
    "reasoning": _reasoning,
    "safety_identifier": _text,
    "service_tier": _text,
    "store": _switch,
    "stream": _switch,
    "stream_options": _table,
    "temperature": _number(0, 2),
    "text": _text_config,
    "tool_choice": _tool_choice,
    "tools": _tools,
    "top_logprobs": _integer(0, 20),
    "top_p": _number(0, 1),
    "truncation": _one_of("auto", "disabled"),
    "user": _user,
}
REFUSED = frozenset(("moderation", "prompt"))
"""What only OpenAI itself can do."""
