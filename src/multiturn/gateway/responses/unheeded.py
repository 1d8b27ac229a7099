"""What of a request for a response has no effect here? It is taken, and named beside the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["unheeded"]

ANYTHING, NOTHING = object(), object()
HEEDED: Mapping[str, Mapping[str, object]] = {
    "background_options": {"completion_window": "soonest", "continuation_id": NOTHING},
    "prompt_cache_options": {
        "mode": ANYTHING,
        "ttl": ANYTHING,
        "prewarm": False,
        "comparison_response_id": NOTHING,
    },
    "reasoning": {
        "effort": ANYTHING,
        "summary": ANYTHING,
        "generate_summary": ANYTHING,
        "context": "auto",
        "mode": "standard",
    },
    "stream_options": {"include_obfuscation": False},
    "text": {"format": ANYTHING, "verbosity": ANYTHING},
}
"""The parts of parameters: which have an effect, and which only where they ask for what happens anyway."""
OF_A_TOOL: Mapping[str, object] = {
    **dict.fromkeys(("type", "name", "description", "parameters", "strict"), ANYTHING),
    "allowed_callers": ["direct"],
    "async": False,
    "defer_loading": False,
    "output_schema": NOTHING,
}
INCLUDED = frozenset(
    (
        "code_interpreter_call.outputs",
        "computer_call_output.output.image_url",
        "file_search_call.results",
        "message.input_image.image_url",
        "web_search_call.action.sources",
        "web_search_call.results",
    )
)
"""What a response includes anyway, or would of tools that there are none of here."""


def unheeded(fields: Mapping[str, Any]) -> frozenset[str]:
    """The names of the parameters, or of their parts, that change nothing; ``fields`` are those of a request
    that was checked. Only names that we know are told.

    >>> sorted(unheeded({"top_logprobs": 5, "reasoning": {"effort": "low", "mode": "pro"}}))
    ['reasoning.mode', 'top_logprobs']
    """
    return frozenset(_found(fields))


def _found(fields: Mapping[str, Any]) -> Iterator[str]:
    for name, heeded in HEEDED.items():
        yield from _parts(name, fields.get(name) or {}, heeded)
    for tool in fields.get("tools") or ():
        nested = tool.get("function")
        yield from _parts("tools", nested if isinstance(nested, dict) else tool, OF_A_TOOL)
    if fields.get("top_logprobs"):
        yield "top_logprobs"
    if not INCLUDED.issuperset(fields.get("include") or ()):
        yield "include"


def _parts(name: str, table: Mapping[str, Any], heeded: Mapping[str, object]) -> Iterator[str]:
    for part, value in table.items():
        allowed = heeded.get(part, NOTHING)
        if value is not None and allowed is not ANYTHING and value != allowed:
            yield f"{name}.{part}" if part in heeded else name
