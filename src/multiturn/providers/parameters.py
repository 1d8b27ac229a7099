"""Which parameters does this provider get for this request, and how are they written?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..catalog import Profile
from ..errors import ParameterInvalid
from ..sealing import as_dict, unwritable
from ..window import Request

__all__ = ["adapted", "marked", "written"]

OUTPUT_LIMITS = frozenset(("max_tokens", "max_completion_tokens"))
RESERVED = frozenset(("model", "messages", "stream", "tools", "tool_choice"))
"""These have a place of their own in a request."""


def adapted(profile: Profile, request: Request) -> dict[str, Any]:
    """The request's parameters as the provider takes them: what it or the model refuses is left out,
    the output limit has its name there, ``None`` means not given."""
    card = profile.cards.get(request.model)
    refused = RESERVED.union(profile.drop_params, card.drop_params if card else ())
    values = {
        name: value for name, value in request.params.items() if value is not None and name not in refused
    }
    if profile.max_out_field:
        for name in OUTPUT_LIMITS & values.keys():
            values[profile.max_out_field] = values.pop(name)
    if request.tools:
        values["tools"] = list(request.tools)
        if request.tool_choice is not None:
            values["tool_choice"] = request.tool_choice
    return values


def marked(request: Request) -> bytes:
    """The messages with markers where the request wants them: there content becomes a list of parts, the
    last of which carries the marker. Without markers they are the bytes they were."""
    if not request.markers:
        return request.body
    messages = orjson.loads(request.body)
    for place in request.markers:
        content = messages[place]["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages[place]["content"] = [*parts[:-1], {**parts[-1], "cache_control": {"type": "ephemeral"}}]
    return orjson.dumps(messages)


def written(body: Mapping[str, Any]) -> bytes:
    """A request as JSON; raises `ParameterInvalid` for what cannot be written."""
    try:
        return bytes(memoryview(orjson.dumps(body, default=as_dict)))  # without orjson's spare kilobytes
    except TypeError as error:
        raise ParameterInvalid(unwritable(error), name="params") from error
