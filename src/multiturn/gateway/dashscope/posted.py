"""What does a request in DashScope's own protocol ask for? Its fields become those of a chat completion."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...catalog import Profile
from ..completions.posted import MOST_MESSAGES
from ..http.refusal import Refusal

__all__ = ["FORMAT", "adds", "fields_of", "known_to", "parameters_of", "plain_text"]

FORMAT = frozenset(("result_format", "incremental_output", "stream"))
"""Parameters that say how the answer is written."""
SWITCH = "enable_thinking"
NATIVE_ONLY = frozenset(
    (
        SWITCH,
        "enable_search",
        "max_input_tokens",
        "ocr_options",
        "repetition_penalty",
        "search_options",
        "thinking_budget",
        "top_k",
        "vl_high_resolution_images",
    )
)
"""Parameters that other providers do not know."""
NEWER = ("qwen3", "qwq", "qvq", "qwen-long")
"""Models that answer in messages and add frame to frame where a request does not say: the older ones, and
those of others, answer in text and repeat."""
HINTS = ("min_pixels", "max_pixels", "total_pixels", "fps", "cache_control")


def fields_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a chat completion that asks for the same. Raises `Refusal`."""
    given, parameters = body.get("input"), parameters_of(body)
    if not isinstance(given, Mapping):
        raise Refusal(400, "native_input", param="input")
    fields = {name: value for name, value in parameters.items() if name not in FORMAT and value is not None}
    fields["messages"] = list(_paired(_messages(given)))
    if not fields["messages"]:
        raise Refusal(400, "messages_missing", param="input.messages")
    return fields


def parameters_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of a request. Raises `Refusal`."""
    parameters = body.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise Refusal(400, "native_parameters", param="parameters")
    return parameters


def known_to(
    profiles: Sequence[Profile], fields: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Sequence[str]]:
    """The fields as a provider takes them, and the names of those it does not know. The switch of the
    thinking is turned into the one it has. Where several may answer that differ, it is what all of them
    take."""
    first, *others = (_known(profile, fields) for profile in profiles)
    if all(each == first for each in others):
        return first
    known = {name: value for name, value in fields.items() if name not in NATIVE_ONLY}
    return known, sorted(NATIVE_ONLY & fields.keys())


def _known(profile: Profile, fields: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[str]]:
    if profile.models_of == "qwen" or profile.id in ("qwen", "compatible") or profile.relay:
        return dict(fields), []
    unknown = {*NATIVE_ONLY & fields.keys()} - {*profile.switches}
    if SWITCH in profile.switches:
        unknown.discard("thinking_budget")
    known = {name: value for name, value in fields.items() if name not in unknown}
    if SWITCH in unknown and "thinking" in profile.switches:
        unknown.discard(SWITCH)
        known.setdefault("thinking", {"type": "enabled" if fields[SWITCH] else "disabled"})
    return known, sorted(unknown)


def plain_text(body: Mapping[str, Any]) -> bool:
    """Whether the words alone are wanted: what tools and thinking say has no place among them."""
    parameters = parameters_of(body)
    if parameters.get("tools") or parameters.get(SWITCH):
        return False
    wanted = parameters.get("result_format")
    return wanted == "text" or (wanted is None and not _is_newer(body))


def adds(body: Mapping[str, Any]) -> bool:
    """Whether a frame holds only what is new."""
    wanted = parameters_of(body).get("incremental_output")
    return _is_newer(body) if wanted is None else wanted is True


def _is_newer(body: Mapping[str, Any]) -> bool:
    return str(body.get("model") or "").rpartition("/")[2].startswith(NEWER)


# ------------------------------------------------------------------------------------ messages


def _messages(given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The posted messages in OpenAI's form; the old ``prompt`` comes after them or after its ``history``."""
    posted, history, prompt = given.get("messages"), given.get("history"), given.get("prompt")
    if not isinstance(prompt, str | None) or (posted is None and not prompt):
        raise Refusal(400, "messages_missing", param="input.messages")
    for name, each in (("messages", posted), ("history", history)):
        if each is not None and not (isinstance(each, list) and all(isinstance(one, dict) for one in each)):
            raise Refusal(400, "messages_shape", param=f"input.{name}")
    if len(posted or ()) + 2 * len(history or ()) > MOST_MESSAGES:
        raise Refusal(400, "too_many_messages", param="input.messages", limit=MOST_MESSAGES)
    for pair in history or ():
        yield {"role": "user", "content": pair.get("user")}
        yield {"role": "assistant", "content": pair.get("bot")}
    for message in posted or ():
        if not isinstance(message.get("role"), str):
            raise Refusal(400, "messages_shape", param="input.messages")
        yield _message(message)
    if prompt:
        yield {"role": "user", "content": prompt}


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in message.items() if value is not None}
    plain["content"] = _content(message.get("content"))
    calls = plain.get("tool_calls")
    if isinstance(calls, list):
        plain["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"}
            if isinstance(call, Mapping)
            else call
            for call in calls
        ]
    return plain


def _content(content: object) -> object:
    """Content as parts with a type; parts that are words and nothing else become one text."""
    if not isinstance(content, list):
        return content
    parts = [_part(part) for part in content]
    if all(isinstance(part, dict) and part.keys() == {"type", "text"} for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: object) -> Any:  # noqa: PLR0911  (one line for each kind of part)
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if not isinstance(part, Mapping) or "type" in part:
        return part
    hints = {name: part[name] for name in HINTS if part.get(name) is not None}
    match part:
        case {"text": str(text)}:
            return {"type": "text", "text": text, **hints}
        case {"image": image}:
            return {"type": "image_url", "image_url": {"url": image}, **hints}
        case {"video": list(frames)}:
            return {"type": "video", "video": frames, **hints}
        case {"video": video}:
            return {"type": "video_url", "video_url": {"url": video}, **hints}
        case {"audio": str(audio)}:
            return {"type": "input_audio", "input_audio": _sound(audio), **hints}
        case _:
            return part


def _sound(audio: str) -> dict[str, str]:
    """A ``data:`` URL as its base64 and its format; any other address as it is."""
    head, comma, data = audio.partition(",")
    if comma and head.startswith("data:audio/") and head.endswith(";base64"):
        return {"data": data, "format": head[len("data:audio/") : -len(";base64")]}
    return {"data": audio}


def _paired(messages: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Results that do not say of which call they are belong to the first of its name that waits, as the
    older documents have it."""
    waiting: list[tuple[str, str]] = []
    for message in messages:
        if message["role"] == "assistant":
            waiting = _calls(message)
        elif message["role"] == "tool":
            given = message.get("tool_call_id")
            name = message.get("name")
            found = next((call for call in waiting if (call[0] == given if given else call[1] == name)), None)
            if found is not None:
                waiting.remove(found)
                message = {**message, "tool_call_id": found[0]}  # noqa: PLW2901  (the same message, completed)
        yield message


def _calls(message: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The id and the name of each call in a message."""
    calls = message.get("tool_calls")
    found = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            found.append((str(call.get("id")), str(function.get("name"))))
    return found
