"""How is a conversation written to a file, and read from one? Lossless JSON lines, OpenAI-style JSON,
Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from .conversations import Branch, Conversation, Summary, Turn
from .errors import InputInvalid, ParameterInvalid
from .marks import Mark, marks_in, marks_of
from .phrases import Reason
from .sealing import encoded
from .storage import Told
from .wire import opened

__all__ = ["Aside", "Retelling", "Transcript", "exported", "exported_aside", "imported"]

FORMAT = "multiturn/1"
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Retelling(NamedTuple):
    """A summary as a file tells it: it stands for the first ``messages`` messages of its path. Turns have
    no number in a file."""

    messages: int
    text: str
    model: str | None


class Aside(NamedTuple):
    """A branch that is not in use: what stands nowhere else, the id of the message it goes on with
    (``None``: with nothing), its summaries, oldest first, and what is marked of it."""

    after: str | None
    messages: list[dict[str, Any]]
    summaries: Sequence[Retelling] = ()
    marks: Sequence[Mark] = ()


class Transcript(NamedTuple):
    """One conversation read from a file: its id, its settings, the messages of the path in use, its other
    branches in the order in which they can be made, the summaries of the path in use, oldest first, and what
    is marked of it."""

    id: str
    settings: Mapping[str, Any]
    messages: list[dict[str, Any]]
    asides: list[Aside]
    summaries: Sequence[Retelling] = ()
    marks: Sequence[Mark] = ()


def exported(
    format: str,
    conversation: Conversation,
    messages: Sequence[Told],
    summaries: Sequence[Summary] = (),
    turns: Sequence[Turn] = (),
    kept: Mapping[str, Any] = NOTHING,
) -> str:
    """A conversation as text. ``"jsonl"``: a head line with the ``summaries`` of the path, newest first,
    what was quoted in front of messages, what is marked of its ``turns``, and what else is ``kept`` of it;
    then one message a line as it was stored, with ids, times and models. ``"openai"``: a JSON list of
    messages; ``"markdown"``: to read."""
    match format:
        case "jsonl":
            beside = _beside(messages, messages, summaries, turns)
            return _lines({**_head(conversation), **beside, **kept}, messages)
        case "openai":
            instructions = [orjson.loads(body) for body in conversation.settings.instructions]
            opening = [_opening(conversation)] if conversation.settings.opening else []
            return orjson.dumps([*instructions, *opening, *map(_message, messages)]).decode()
        case "markdown":
            opening = [_opening(conversation)] if conversation.settings.opening else []
            said = [*opening, *map(_message, messages)]
            return "\n\n".join(f"**{message['role']}**\n\n{_text(message)}" for message in said) + "\n"
        case _:
            raise ParameterInvalid(Reason("why.export_format", value=repr(format)), name="format")


def exported_aside(
    conversation: Conversation,
    branch: Branch,
    path: Sequence[Told],
    shared: int,
    summaries: Sequence[Summary] = (),
    turns: Sequence[Turn] = (),
    kept: Mapping[str, Any] = NOTHING,
) -> str:
    """A branch that is not in use, with the messages of its ``path`` that stand nowhere else: those behind
    the first ``shared`` ones."""
    own, after = path[shared:], _facts(path[shared - 1])["id"] if shared else None
    place = {"branch": branch.number, "fork": branch.fork, "after": after}
    return _lines({**_head(conversation), **place, **_beside(path, own, summaries, turns), **kept}, own)


def _lines(head: Mapping[str, Any], messages: Sequence[Told]) -> str:
    return "\n".join([orjson.dumps(head).decode(), *(_line(told) for told in messages)]) + "\n"


def _beside(
    path: Sequence[Told], own: Sequence[Told], summaries: Sequence[Summary], turns: Sequence[Turn]
) -> dict[str, Any]:
    """What is kept beside the messages. It stands in the head: a key of its own in a message's line could
    be one that the message brought along."""
    retold = [_summary(summary, path) for summary in summaries]
    quotations = [
        {"message": _facts(told)["id"], "text": told.row.quote.decode()} for told in own if told.row.quote
    ]
    marks = marks_of(turns, own, [_facts(told)["id"] for told in own])
    beside = {"summaries": retold, "quotations": quotations, "marks": marks}
    return {name: value for name, value in beside.items() if value}


def _summary(summary: Summary, path: Sequence[Told]) -> dict[str, Any]:
    return {
        "version": summary.version,
        "upto": summary.upto,
        "messages": sum(told.row.turn <= summary.upto for told in path),
        "text": summary.text,
        "tokens": summary.tokens,
        "model": summary.model,
        "created_at": summary.created_at,
    }


def _opening(conversation: Conversation) -> dict[str, Any]:
    return {"role": "assistant", "content": conversation.settings.opening}


def _message(told: Told) -> dict[str, Any]:
    """A stored message as chat completions writes it, with the thinking as ``reasoning_content``."""
    value: dict[str, Any] = orjson.loads(told.row.body)
    if told.row.reasoning is not None:
        value["reasoning_content"] = told.row.reasoning.decode()
    return value


def _text(message: Mapping[str, Any]) -> str:
    return opened(orjson.dumps(message)).text


def _head(conversation: Conversation) -> dict[str, Any]:
    settings = conversation.settings
    return {
        "format": FORMAT,
        "id": conversation.id,
        "created_at": conversation.created_at,
        "instructions": [orjson.loads(body) for body in settings.instructions],
        "opening": settings.opening,
        "policy": settings.policy,
        "model": settings.model,
        "memory": settings.memory,
    } | _noted(conversation)


def _noted(conversation: Conversation) -> dict[str, Any]:
    """What is noted on a conversation, and for how long it is kept, where there is anything."""
    noted = {"metadata": dict(conversation.metadata), "expires_after": conversation.expires_after}
    return {name: value for name, value in noted.items() if value}


def _line(told: Told) -> str:
    known = {name: value for name, value in _facts(told).items() if value is not None}
    return orjson.dumps(_message(told) | known).decode()


def _facts(told: Told) -> dict[str, Any]:
    """Id, time and model; those a message brought along win."""
    facts: dict[str, Any] = {"id": told.id, "created_at": told.created_at, "model": told.row.model}
    return facts | (orjson.loads(told.facts) if told.facts else {})


def imported(text: bytes, name: str) -> list[Transcript]:
    """The conversations in a file that `exported` wrote, or in a JSON list of messages, which gets the
    id ``name``. Raises `InputInvalid` for anything else."""
    try:
        if text.lstrip().startswith(b"["):
            return [Transcript(name, {}, [_checked(line, name) for line in _parsed(text)], [])]
        lines = [_checked(_parsed(line), name) for line in text.split(b"\n") if line.strip()]
    except (ValueError, RecursionError) as error:
        raise InputInvalid(Reason("why.file_json", file=name, problem=_problem(error))) from error
    found: list[Transcript] = []
    messages: list[dict[str, Any]] = []
    for line in lines:
        if "format" in line:
            messages = _begun(found, _head_of(line, name), name)
        elif not found:
            found.append(Transcript(name, {}, messages := [line], []))
        else:
            messages.append(line)
    if (twice := _twice(one.id for one in found)) is not None:
        raise InputInvalid(Reason("why.file_twice", file=name, conversation=twice))
    return found


def _begun(found: list[Transcript], head: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Where the messages behind a head line belong: to a conversation of their own, or to a branch of the
    one before."""
    conversation = str(head.get("id") or name)
    summaries, marks = _summaries(head, name), marks_in(head, name)
    if "branch" not in head:
        found.append(Transcript(conversation, head, [], [], summaries, marks))
        return found[-1].messages
    after = head.get("after")
    if not found or found[-1].id != conversation or "after" not in head or not isinstance(after, str | None):
        raise InputInvalid(Reason("why.file_aside", file=name, branch=f"{head['branch']!r:.40}"))
    found[-1].asides.append(Aside(after, [], summaries, marks))
    return found[-1].asides[-1].messages


def _summaries(head: Mapping[str, Any], name: str) -> list[Retelling]:
    """The summaries of a head line, oldest first; a file of long ago has none."""
    lines = head.get("summaries", [])
    if not isinstance(lines, list):
        raise InputInvalid(Reason("why.file_summary", file=name, value=f"{lines!r:.60}"))
    return [_retelling(line, name) for line in reversed(lines)]


def _retelling(line: object, name: str) -> Retelling:
    match line:
        case {"messages": int(messages), "text": str(text), "model": None | str() as model} if text.strip():
            encoded([text, model])
            return Retelling(messages, text, model)
        case _:
            raise InputInvalid(Reason("why.file_summary", file=name, value=f"{line!r:.60}"))


def _problem(error: ValueError | RecursionError) -> object:
    """Why a file is no JSON that can be kept."""
    match error:
        case json.JSONDecodeError():
            return Reason("why.line_json", line=error.lineno, column=error.colno)
        case UnicodeDecodeError():
            return Reason("message.encoding")
        case RecursionError():
            return Reason("why.too_deep")
        case _:
            return error.args[0]


def _parsed(text: bytes) -> Any:
    """JSON that says everything once; a fast parser would drop half of a doubled key without a word."""
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_number)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError(Reason("why.key_twice", key=f"{_twice(name for name, _ in pairs)!r:.40}"))
    return value


def _twice(names: Iterable[str]) -> str | None:
    """The first name that stands there for the second time. There may be a million of them."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _no_number(text: str) -> None:
    raise ValueError(Reason("why.no_number", value=text))


def _checked(line: object, name: str) -> dict[str, Any]:
    if not isinstance(line, dict):
        raise InputInvalid(Reason("why.file_message", file=name, value=f"{line!r:.60}"))
    return line


def _head_of(line: dict[str, Any], name: str) -> dict[str, Any]:
    if line["format"] != FORMAT:
        found = f"{line['format']!r:.40}"
        raise InputInvalid(Reason("why.file_format", file=name, found=found, known=FORMAT))
    if not isinstance(line.get("policy") or {}, dict):
        raise InputInvalid(Reason("why.file_policy", file=name, value=f"{line['policy']!r:.40}"))
    return line
