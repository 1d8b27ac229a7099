"""What does a caller ask for? Keywords, input and material of one step, checked before anything is stored."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

import orjson

from .config import LONGEST_TIME
from .errors import InputInvalid, MessageEmpty, MessageInvalid, ParameterInvalid
from .messages import Entry, Trait
from .phrases import Reason
from .sealing import as_dict, encoded, seal, seal_input, unwritable
from .terms import Input
from .tokens import count_message

__all__ = [
    "Asking",
    "OnBusy",
    "Sampling",
    "check_key",
    "check_metadata",
    "check_seconds",
    "check_whole",
    "digest_of",
    "entries_of",
    "input_of",
    "listed",
    "turn_of",
]

OnBusy = Literal["queue", "interrupt", "reject"]
LONGEST_KEY = 512
MOST_NOTES, LONGEST_NAME, LONGEST_NOTE = 16, 64, 512
HALF = re.compile("[\ud800-\udfff]")


class Sampling(TypedDict, total=False):
    """The standard sampling parameters, by their OpenAI names; anything else goes into ``params``."""

    temperature: float
    top_p: float
    max_tokens: int
    max_completion_tokens: int
    stop: str | Sequence[str]
    seed: int
    presence_penalty: float
    frequency_penalty: float
    logit_bias: Mapping[str, int]
    logprobs: bool
    top_logprobs: int
    response_format: Mapping[str, Any]
    reasoning_effort: str
    parallel_tool_calls: bool


class Asking(Sampling, total=False):
    """What `multiturn.AsyncConversation.send` and its siblings take beside the input.

    ``tools`` and ``tool_choice`` as OpenAI has them; ``tool_results`` instead of text: the result of
    every open call by its id; ``params``: whatever else the provider understands; ``context``: material
    for this step only, never kept; ``key``: a repeated key returns the stored reply; ``on_busy``: what
    to do while another turn runs.
    """

    tools: Sequence[Mapping[str, Any]]
    tool_choice: str | Mapping[str, Any]
    tool_results: Mapping[str, object]
    params: Mapping[str, Any]
    context: Sequence[object]
    key: str
    on_busy: OnBusy


SAMPLING = frozenset(Sampling.__annotations__)
OTHERS = frozenset(Asking.__annotations__) - SAMPLING
LIMITS = ("max_tokens", "max_completion_tokens")


def input_of(asking: Asking) -> Input:
    """What goes into the step beside the user's words. Raises `TypeError` for a misspelt keyword and
    `ParameterInvalid` for a value that cannot be."""
    unknown = set(asking) - SAMPLING - OTHERS
    if unknown:
        raise TypeError(f"unexpected keyword {min(unknown)!r}; extras of a provider go into params={{…}}")
    if asking.get("on_busy", "queue") not in ("queue", "interrupt", "reject"):
        raise ParameterInvalid(Reason("why.on_busy"), name="on_busy")
    key = asking.get("key")
    if key is not None:
        check_key(key)
    sampling = {name: value for name, value in asking.items() if name in SAMPLING and value is not None}
    given = _table("params", asking.get("params"))
    return Input(
        context=_context(asking.get("context")),
        tools=_tools(asking.get("tools")),
        tool_choice=_written("tool_choice", asking.get("tool_choice")),
        params=_params({**given, **sampling}),
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ParameterInvalid(Reason("why.not_text", value=f"{value!r:.60}"), name=name)
    return value


OURS = frozenset(("messages", "model", "stream"))
"""What a request says, but nobody passes through: the conversation decides it."""


def _params(params: dict[str, Any]) -> dict[str, Any]:
    for name in OURS & params.keys():
        raise ParameterInvalid(Reason("why.decided"), name=f"params[{name!r}]")
    for name in LIMITS:
        limit = params.get(name)
        if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
            raise ParameterInvalid(Reason("why.not_number", least=1, value=f"{limit!r:.60}"), name=name)
    return {name: _written(name, value) for name, value in params.items()}


def _table(name: str, value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterInvalid(Reason("why.not_dictionary", value=f"{value!r:.60}"), name=name)
    return value


def _tools(tools: object) -> Sequence[Mapping[str, Any]]:
    given = listed("tools", tools)
    if not all(isinstance(tool, Mapping) for tool in given):
        raise ParameterInvalid(Reason("why.tool_kind"), name="tools")
    _written("tools", given)
    return given


def _written(name: str, value: Any) -> Any:
    """``value``, if JSON can say it: what cannot be sent is refused before anything is stored."""
    try:
        orjson.dumps(value, default=as_dict)
    except TypeError as error:
        raise ParameterInvalid(unwritable(error), name=name) from error
    return value


def check_whole(name: str, text: str) -> None:
    """Raises `ParameterInvalid` for text with half a character (a lone surrogate), which cannot be stored."""
    if not text.isascii() and HALF.search(text):
        raise ParameterInvalid(Reason("why.surrogate"), name=name)


def check_key(key: object, name: str = "key") -> None:
    """Raises `ParameterInvalid` for what is no request key; ``name`` is what the caller calls it."""
    if not 0 < len(_text(name, key)) <= LONGEST_KEY:
        raise ParameterInvalid(Reason("why.key_length", longest=LONGEST_KEY), name=name)


def check_metadata(metadata: object) -> Mapping[str, str] | None:
    """What is to be noted on a conversation, as OpenAI limits it; raises `ParameterInvalid`."""
    if metadata is None:
        return None
    noted: Mapping[Any, Any] = _table("metadata", metadata)
    for name, value in noted.items():
        whole = isinstance(name, str) and isinstance(value, str)
        if not whole or len(name) > LONGEST_NAME or len(value) > LONGEST_NOTE:
            raise _too_much()
        check_whole("metadata", name + value)
    if len(noted) > MOST_NOTES:
        raise _too_much()
    return dict(noted)


def _too_much() -> ParameterInvalid:
    reason = Reason("why.metadata", most=MOST_NOTES, name=LONGEST_NAME, longest=LONGEST_NOTE)
    return ParameterInvalid(reason, name="metadata")


def check_seconds(name: str, seconds: object) -> float | None:
    """For how many seconds something is kept, 0 for ever; raises `ParameterInvalid`."""
    if seconds is None:
        return None
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 <= seconds <= LONGEST_TIME:  # type: ignore[operator]  # a number
        raise ParameterInvalid(Reason("why.seconds", longest=LONGEST_TIME), name=name)
    return float(seconds)  # type: ignore[arg-type]  # likewise


def listed(name: str, value: object) -> Sequence[Any]:
    """A list the caller gave; text and dictionaries are lists of something else."""
    if value is None:
        return ()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise ParameterInvalid(Reason("why.not_list", value=f"{value!r:.60}"), name=name)
    return value


def _context(context: object) -> Sequence[Entry]:
    entries = [seal(item, count_message) for item in listed("context", context)]
    for entry in entries:
        if entry.role in ("assistant", "tool") or entry.traits & Trait.BARE:
            raise ParameterInvalid(Reason("why.context_piece"), name="context")
    return entries


def entries_of(content: object, results: Mapping[str, object] | None) -> list[Entry]:
    """The user's input, or the results of open calls, sealed. Raises `MessageEmpty`, `MessageInvalid`
    or `InputInvalid`."""
    if results is None:
        return [seal_input("" if content is None else content, count_message)]
    if content is not None:
        raise InputInvalid(Reason("why.text_or_results"))
    return [_result(call, value) for call, value in _table("tool_results", results).items()]


def turn_of(messages: object) -> tuple[list[Entry], tuple[str, ...] | None]:
    """The input of a turn in whole messages, sealed, and the calls whose results are among them (``None``:
    there are no results). Raises `MessageEmpty` or `MessageInvalid`."""
    entries = [seal(message, count_message) for message in listed("messages", messages)]
    if any(entry.role == "assistant" for entry in entries):
        raise MessageInvalid(Reason("why.input_role", role="assistant"))
    results = [orjson.loads(entry.body)["tool_call_id"] for entry in entries if entry.role == "tool"]
    if results:
        return entries, tuple(results)
    if not any(entry.role == "user" and not entry.traits & Trait.BARE for entry in entries):
        raise MessageEmpty
    return entries, None


def _result(call: str, value: object) -> Entry:
    try:
        text = value if isinstance(value, str) else encoded(value).decode()
    except MessageInvalid as error:
        raise InputInvalid(Reason("why.result_kind", call=call)) from error
    return seal({"role": "tool", "tool_call_id": call, "content": text or "(empty)"}, count_message)


def digest_of(entries: Sequence[Entry], after: int | None, body: bytes = b"") -> bytes:
    """What a request key stands for: the input, and where a branch begins with it; and a digest of the whole
    request where one is given."""
    said = [b"%d" % (-1 if after is None else after), *(e.body for e in entries)]
    return hashlib.sha256(b"\n".join([*said, body] if body else said)).digest()
