"""How is a message sealed? With not a byte changed, or not at all."""

from __future__ import annotations

import dataclasses
import enum
import time
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from multiturn.errors import MessageEmpty, MessageInvalid
from multiturn.messages import (
    Audio,
    Entry,
    File,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Trait,
    Video,
)
from multiturn.sealing import encoded, encoded_run, is_ordinary, seal, seal_input, split_turns
from multiturn.wire import opened, written

KNOWN = {
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning",
    "reasoning_content",
    "id",
    "created_at",
    "model",
    "text_replaced",
    "function_call",
    "refusal",
    "audio",
    "annotations",
}
ROLES: tuple[Role, ...] = ("system", "developer", "user", "assistant", "tool")
FAMILY = "👩\u200d👩\u200d👧\u200d👦"


def one(_: Mapping[str, Any]) -> int:
    return 1


def size(message: Mapping[str, Any]) -> int:
    return len(orjson.dumps(message))


# ----------------------------------------------------------------------------------- strategies

words = st.text(min_size=1)
integers = st.integers(-(2**63), 2**64 - 1)
leaves = st.none() | st.booleans() | integers | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
extras = st.dictionaries(st.text().filter(lambda name: name not in KNOWN), values, min_size=1, max_size=3)
opaque = st.dictionaries(st.text().filter(lambda name: name != "type"), values, max_size=3).map(
    lambda more: Opaque(orjson.dumps({"type": "x_unknown", **more}))
)
media: st.SearchStrategy[Part] = st.one_of(
    st.builds(Image, url=st.text(), detail=st.none() | words),
    st.builds(Audio, data=st.text(), format=st.none() | st.text()),
    st.builds(Video, url=st.text()),
    st.builds(Video, frames=st.lists(st.text(), min_size=1).map(tuple)),
    st.builds(File, id=st.none() | words, data=st.none() | words, name=st.none() | words),
    opaque,
)
bodies: st.SearchStrategy[tuple[Part, ...]] = st.one_of(
    st.builds(Text, words).map(lambda text: (text,)),
    st.builds(lambda text, others: (text, *others), st.builds(Text, st.text()), st.lists(media, min_size=1)),
)
calls = st.lists(st.builds(ToolCall, id=words, name=st.text(), arguments=st.text()), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    name, extra = draw(st.none() | words), draw(st.none() | extras)
    match role := draw(st.sampled_from(ROLES)):
        case "tool":
            parts: tuple[Part, ...] = (ToolResult(draw(words), draw(st.text())),)
        case "assistant":
            thought = draw(st.just(()) | st.builds(Reasoning, st.text()).map(lambda part: (part,)))
            parts = (*thought, *draw(st.just(()) | bodies), *draw(calls))
        case _:
            parts = draw(bodies)
    return Message(role, parts, name=name, extra=extra)


# ------------------------------------------------------------------------------------ unchanged


@given(messages())
def test_a_message_survives_writing_sealing_and_opening(message: Message) -> None:
    for value in (message, written(message)):
        entry = seal(value, one)
        assert opened(entry.body, entry.reasoning, entry.facts) == message


@given(st.sampled_from(("system", "user", "assistant")), st.text())
@example("user", "\0")
@example("user", f"{FAMILY} \0 \ufeff \u2028 \x7f 𠮷")
def test_words_are_sealed_byte_for_byte(role: str, text: str) -> None:
    message = {"role": role, "content": text}
    entry = seal(message, size)
    assert entry.body == orjson.dumps(message)
    assert orjson.loads(entry.body)["content"].encode() == text.encode()
    assert (entry.role, entry.tokens, entry.reasoning, entry.facts) == (role, len(entry.body), None, None)


@given(extras, st.sampled_from(("user", "assistant")))
def test_fields_we_do_not_know_are_sealed_as_received(extra: dict[str, object], role: str) -> None:
    message = {"role": role, **extra, "content": "x"}
    entry = seal(message, one)
    assert entry.body == orjson.dumps(message)
    assert entry.traits & Trait.EXTRA


@given(values)
def test_what_is_json_is_written_as_json(value: object) -> None:
    assert orjson.loads(encoded(value)) == value


@given(st.lists(st.fixed_dictionaries({"role": st.just("user"), "content": st.text()})))
def test_a_run_is_its_messages_joined_by_commas(run: list[dict[str, str]]) -> None:
    assert encoded_run(run) == b",".join(encoded(message) for message in run)


@given(messages())
def test_sealing_what_was_sealed_changes_nothing(message: Message) -> None:
    entry = seal(message, one)
    again = seal(orjson.loads(entry.body), one)
    assert again.body == entry.body
    assert again.traits == entry.traits & ~Trait.REASONING


def test_what_comes_in_is_not_touched() -> None:
    message = {"role": "assistant", "content": "x", "reasoning_content": "hm", "id": "a", "tool_calls": None}
    before = dict(message)
    seal(message, one)
    assert message == before


# -------------------------------------------------------------------------------------- refused


@dataclasses.dataclass
class Record:
    x: int = 1


class Colour(enum.Enum):
    RED = "red"


class Words(str):
    __slots__ = ()


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


CHANGED: list[Any] = [
    float("nan"),
    float("inf"),
    -float("inf"),
    [1, {"x": [float("nan")]}],
    2**64,
    -(2**63) - 1,
    "\ud83d",
    {"\ud83d": 1},
    {1: "x"},
    {None: "x"},
    {True: "x"},
    nested(64),
    datetime.now(tz=UTC),
    date(2026, 1, 1),
    uuid.UUID(int=0),
    Decimal("1.0"),
    Record(),
    Colour.RED,
    Words("x"),
    OrderedDict(x=1),
    orjson.Fragment(b"{not json"),
    b"bytes",
    {1, 2},
    object(),
]


@pytest.mark.parametrize(
    "value", CHANGED, ids=lambda value: repr(value)[:40].encode("ascii", "replace").decode()
)
def test_what_json_would_change_is_refused(value: object) -> None:
    with pytest.raises(MessageInvalid):
        seal({"role": "user", "content": "x", "field": value}, one)
    with pytest.raises(MessageInvalid):
        seal({"role": "user", "content": [{"type": "x", "field": value}]}, one)


@pytest.mark.parametrize("text", ["\ud83d", "a\udc00b"])
def test_half_a_character_is_refused_wherever_it_stands(text: str) -> None:
    for message in (
        {"role": "user", "content": text},
        {"role": "assistant", "content": "x", "reasoning_content": text},
        {"role": "user", "content": "x", "name": text},
        {"role": "user", "content": "x", "id": text},
    ):
        with pytest.raises(MessageInvalid):
            seal(message, one)


def test_the_bounds_themselves_are_sealed() -> None:
    for value in (2**64 - 1, -(2**63), nested(63), 1e308, -0.0, "null", [None]):
        assert orjson.loads(seal({"role": "user", "content": "x", "f": value}, one).body)["f"] == value


def test_a_circle_is_nested_too_deep() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(MessageInvalid, match="deeper than 64"):
        seal({"role": "user", "content": "x", "f": circle}, one)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"content": "x"}, "the role None"),
        ({"role": "robot", "content": "x"}, "the role 'robot'"),
        ({"role": ["user"], "content": "x"}, "the role"),
        ({"role": "user", "content": 5}, "content is text or a list"),
        ({"role": "user", "content": {"text": "x"}}, "content is text or a list"),
        ({"role": "user", "content": ["x"]}, "has no type"),
        ({"role": "user", "content": [{"text": "x"}]}, "has no type"),
        ({"role": "user", "content": [{"type": 1}]}, "has no type"),
        ({"role": "user", "content": [{"type": "text"}]}, "has no text"),
        ({"role": "user", "content": [{"type": "text", "text": None}]}, "has no text"),
        ({"role": "tool", "content": "x"}, "names the call"),
        ({"role": "tool", "content": "x", "tool_call_id": ""}, "names the call"),
        ({"role": "tool", "content": "x", "tool_call_id": 5}, "names the call"),
        ({"role": "user", "content": "x", "tool_calls": [{}]}, "only an assistant message"),
        ({"role": "assistant", "tool_calls": "f()"}, "tool_calls is a list"),
        ({"role": "assistant", "tool_calls": [1]}, "has no function"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "has no function"),
        (
            {"role": "assistant", "tool_calls": [{"id": "", "function": {"name": "f", "arguments": ""}}]},
            "an id",
        ),
        ({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": ""}}]}, "an id"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": ""}}]},
            "a function name",
        ),
        ({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}, "arguments"),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": {}}}]},
            "arguments as JSON text",
        ),
        ({"role": "user", "content": "x", "created_at": "yesterday"}, "created_at is not a time"),
        ({"role": "user", "content": "x", "created_at": True}, "created_at is not a time"),
        ({"role": "user", "content": "x", "created_at": 10**400}, "created_at is not a time"),
        ({"role": "user", "content": "x", "created_at": float("nan")}, "not a JSON number"),
        (5, "a message is text"),
    ],
)
def test_what_is_no_message_is_refused_and_named(message: object, why: str) -> None:
    with pytest.raises(MessageInvalid, match=why):
        seal(message, one)


# --------------------------------------------------------------------------------------- traits

CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def part(kind: str) -> dict[str, str]:
    return {"type": kind, "text": "x"}


@pytest.mark.parametrize(
    ("message", "traits"),
    [
        ({"role": "user", "content": "x"}, 0),
        ({"role": "assistant", "content": "x"}, 0),
        ({"role": "assistant", "content": "x", "name": None, "refusal": None, "annotations": []}, 0),
        ({"role": "assistant", "content": "x", "tool_calls": []}, 0),
        ({"role": "assistant", "content": "x", "tool_calls": ()}, 0),
        ({"role": "user", "content": ""}, Trait.BARE),
        ({"role": "user", "content": " \n\t"}, Trait.BARE),
        ({"role": "user"}, Trait.BARE),
        ({"role": "assistant", "content": None}, Trait.BARE),
        ({"role": "system", "content": "x"}, Trait.INSTRUCTION),
        ({"role": "developer", "content": "x"}, Trait.INSTRUCTION),
        ({"role": "system", "content": "x", "name": "n"}, Trait.INSTRUCTION | Trait.EXTRA),
        ({"role": "tool", "content": "x", "tool_call_id": "a"}, Trait.TOOL_RESULT),
        ({"role": "tool", "content": "", "tool_call_id": "a"}, Trait.TOOL_RESULT | Trait.BARE),
        ({"role": "assistant", "content": "x", "tool_calls": [CALL]}, Trait.TOOL_CALL),
        ({"role": "assistant", "content": None, "tool_calls": (CALL,)}, Trait.TOOL_CALL | Trait.BARE),
        ({"role": "assistant", "content": "x", "reasoning": ""}, Trait.REASONING),
        ({"role": "user", "content": "x", "name": "li"}, Trait.EXTRA),
        ({"role": "user", "content": "x", "mood": None}, Trait.EXTRA),
        ({"role": "user", "content": []}, Trait.LISTED | Trait.BARE),
        ({"role": "user", "content": [part("text")]}, Trait.LISTED),
        ({"role": "user", "content": [{"type": "text", "text": " "}]}, Trait.LISTED | Trait.BARE),
        ({"role": "user", "content": [{"type": "text", "text": ""}, part("text")]}, Trait.LISTED),
        (
            {"role": "user", "content": (part("image_url"), part("video"))},
            Trait.LISTED | Trait.IMAGE | Trait.VIDEO,
        ),
        ({"role": "user", "content": [part("input_audio")]}, Trait.LISTED | Trait.AUDIO),
        ({"role": "user", "content": [part("file")]}, Trait.LISTED | Trait.FILE),
        ({"role": "user", "content": [part("hologram")]}, Trait.LISTED),
    ],
    ids=str,
)
def test_what_is_special_about_a_message_is_marked(message: dict[str, Any], traits: int) -> None:
    assert seal(message, one).traits == traits


def test_nulls_of_a_dump_are_no_fields_but_other_nulls_are() -> None:
    dump = dict.fromkeys(("tool_calls", "function_call", "refusal", "audio", "annotations", "name"))
    entry = seal({"role": "assistant", "content": None, **dump, "mood": None}, one)
    assert orjson.loads(entry.body) == {"role": "assistant", "content": None, "mood": None}


@pytest.mark.parametrize(
    "value",
    [
        {"role": "user", "content": "x", "name": "n"},
        {"role": "user", "name": "x"},
        {"role": "developer", "content": "x"},
        {"role": Words("user"), "content": "x"},
        {"role": ["user"], "content": "x"},
        {"role": "user", "content": ""},
        {"role": "user", "content": "　"},
        {"role": "user", "content": Words("x")},
        {"role": "user", "content": ["x"]},
        OrderedDict(role="user", content="x"),
        "x",
    ],
    ids=str,
)
def test_only_role_and_words_are_ordinary(value: object) -> None:
    assert not is_ordinary(value)


# ----------------------------------------------------------------------- reasoning, facts, counts


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        ({}, None),
        ({"reasoning_content": None}, None),
        ({"reasoning_content": ""}, b""),
        ({"reasoning": "hm"}, b"hm"),
        ({"reasoning_content": "one", "reasoning": "other"}, b"one"),
        ({"reasoning_content": None, "reasoning": "hm"}, b"hm"),
        ({"reasoning_content": "", "reasoning": "hm"}, b"hm"),
        ({"reasoning_content": "", "reasoning": None}, b""),
    ],
    ids=str,
)
def test_reasoning_is_kept_apart_under_either_name(fields: dict[str, object], kept: bytes | None) -> None:
    entry = seal({"role": "assistant", "content": "x", **fields}, one)
    assert entry.reasoning == kept
    assert entry.body == b'{"role":"assistant","content":"x"}'
    assert bool(entry.traits & Trait.REASONING) == (kept is not None)


def test_reasoning_that_is_no_text_is_a_field_we_do_not_know() -> None:
    entry = seal({"role": "assistant", "content": "x", "reasoning": {"effort": "low"}}, one)
    assert entry.reasoning is None
    assert orjson.loads(entry.body)["reasoning"] == {"effort": "low"}


def test_reasoning_is_counted_apart() -> None:
    entry = seal({"role": "assistant", "content": "12345", "reasoning": "abc"}, lambda m: len(m["content"]))
    assert (entry.tokens, entry.reasoning_tokens) == (5, 3)
    assert seal({"role": "assistant", "content": "x", "reasoning": ""}, one).reasoning_tokens == 0


@pytest.mark.parametrize(
    ("given_at", "seconds"),
    [
        (5, 5.0),
        (1.5, 1.5),
        ("1970-01-01T00:01:00", 60.0),
        ("1970-01-01T08:01:00+08:00", 60.0),
        ("1970-01-01", 0.0),
        (datetime(1970, 1, 1, 0, 1), 60.0),  # noqa: DTZ001  (a time without a zone is the case)
        (datetime(1970, 1, 1, 8, 1, tzinfo=timezone(timedelta(hours=8))), 60.0),
    ],
    ids=str,
)
def test_a_time_is_seconds_whatever_it_came_as(given_at: object, seconds: float) -> None:
    entry = seal({"role": "user", "content": "x", "created_at": given_at}, one)
    assert orjson.loads(entry.facts or b"") == {"created_at": seconds}
    assert entry.body == b'{"role":"user","content":"x"}'


def test_a_time_without_a_zone_is_utc_wherever_the_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        entry = seal({"role": "user", "content": "x", "created_at": "1970-01-01T00:01:00"}, one)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert entry.facts == b'{"created_at":60.0}'


def test_facts_stand_beside_the_message() -> None:
    entry = seal({"role": "assistant", "content": "x", "id": 7, "model": "a/b", "text_replaced": True}, one)
    assert orjson.loads(entry.facts or b"") == {"id": "7", "model": "a/b", "text_replaced": True}
    assert (entry.body, entry.traits) == (b'{"role":"assistant","content":"x"}', 0)


def test_the_model_that_is_named_in_a_message_wins() -> None:
    message = {"role": "assistant", "content": "x"}
    assert seal(message, one, "qwen/plus").facts == b'{"model":"qwen/plus"}'
    assert seal({**message, "model": "a/b"}, one, "qwen/plus").facts == b'{"model":"a/b"}'
    assert seal({**message, "model": None}, one).facts is None


# ---------------------------------------------------------------------------------------- input


@pytest.mark.parametrize(
    "value", ["x", ["x"], {"role": "user", "content": "x"}, Message("user", (Text("x"),))]
)
def test_an_input_says_something(value: object) -> None:
    assert seal_input(value, one).role == "user"


@pytest.mark.parametrize("value", ["", " \n", [], [""], {"role": "user", "content": None}])
def test_an_empty_input_is_refused(value: object) -> None:
    with pytest.raises(MessageEmpty):
        seal_input(value, one)


@pytest.mark.parametrize("role", ["assistant", "system"])
def test_an_input_is_the_users(role: str) -> None:
    with pytest.raises(MessageInvalid, match=f"not {role}"):
        seal_input({"role": role, "content": "x"}, one)


# ---------------------------------------------------------------------------------------- turns

letters = {"s": "system", "d": "developer", "u": "user", "a": "assistant", "t": "tool"}


def split(roles: str) -> list[str]:
    entries = [Entry(letters[letter], 0, 0, b"") for letter in roles]
    names = {role: letter for letter, role in letters.items()}
    return ["".join(names[entry.role] for entry in turn) for turn in split_turns(entries)]


@pytest.mark.parametrize(
    ("roles", "turns"),
    [
        ("", []),
        ("uaua", ["ua", "ua"]),
        ("auau", ["a", "ua", "u"]),
        ("uatta", ["uatta"]),
        ("uasua", ["ua", "sua"]),
        ("uasdua", ["ua", "sdua"]),
        ("uasa", ["uasa"]),
        ("uas", ["uas"]),
        ("ss", ["ss"]),
        ("sua", ["sua"]),
        ("uu", ["u", "u"]),
        ("sau", ["sa", "u"]),
    ],
)
def test_a_user_message_begins_a_turn_with_the_instructions_before_it(roles: str, turns: list[str]) -> None:
    assert split(roles) == turns


@given(st.text("sduat"))
def test_no_message_is_lost_or_moved(roles: str) -> None:
    turns = split(roles)
    assert "".join(turns) == roles
    assert all(turn.count("u") <= 1 for turn in turns)
    assert all(turn.lstrip("sd").startswith("u") for turn in turns[1:])
