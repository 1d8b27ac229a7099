"""Events come out whole, wherever the network splits them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multiturn.providers.events import Event, EventParser

STREAM = (
    '\ufeffid:1\r\nevent:result\r:HTTP_STATUS/200\ndata:{"text":"你好😀"}\r\n\r\n'
    ": keep-alive\n\n"
    "data: one\ndata: two\r\rdata:\n\nretry: 5\nunknown\n\n"
    "event: error\nstatus: 400\ndata:  spaced \n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS = [
    Event('{"text":"你好😀"}'.encode(), "result", 200),
    Event(b"one\ntwo"),
    Event(b""),
    Event(b" spaced ", "error", 400),
    Event(b"[DONE]"),
]


def parse(chunks: list[bytes]) -> list[Event]:
    parser = EventParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    last = parser.end()
    return [*events, last] if last else events


def test_a_stream_in_one_piece() -> None:
    assert parse([STREAM]) == EVENTS


@pytest.mark.parametrize("place", range(len(STREAM) + 1))
def test_a_split_at_every_byte(place: int) -> None:
    assert parse([STREAM[:place], STREAM[place:]]) == EVENTS


def test_one_byte_at_a_time_with_empty_chunks_between() -> None:
    assert parse([chunk for byte in STREAM for chunk in (b"", bytes([byte]))]) == EVENTS


@given(st.data())
def test_any_splits(data: st.DataObject) -> None:
    places = sorted(data.draw(st.sets(st.integers(0, len(STREAM)))))
    bounds = [0, *places, len(STREAM)]
    assert parse([STREAM[a:b] for a, b in pairwise(bounds)]) == EVENTS


TEXTS = st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)


@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=5),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(1, 7),
)
def test_what_was_said_is_what_is_heard(said: list[list[str]], newline: str, step: int) -> None:
    wire = "".join(
        "".join(f"data: {line}{newline}" for line in lines) + f":c{newline}{newline}" for lines in said
    ).encode()
    heard = parse([wire[i : i + step] for i in range(0, len(wire), step)])
    assert [event.data.decode() for event in heard] == ["\n".join(lines) for lines in said]


def test_a_line_of_a_mebibyte_in_small_chunks() -> None:
    line = b"x" * (1 << 20)
    wire = b"data: " + line + b"\n\n"
    assert parse([wire[i : i + 1000] for i in range(0, len(wire), 1000)]) == [Event(line)]


def test_what_is_held_is_counted() -> None:
    parser = EventParser()
    parser.feed(b"data: 12345\ndata: 678")
    assert parser.pending == 5 + len("data: 678")
    parser.feed(b"\n\n")
    assert parser.pending == 0


def test_the_end_brings_what_was_under_way() -> None:
    assert parse([b"data: 1"]) == [Event(b"1")]
    assert parse([b"data: 1\n"]) == [Event(b"1")]
    assert parse([b"event: x\n"]) == []
    assert parse([]) == []


def test_a_byte_order_mark_before_the_first_line_only() -> None:
    assert parse(["\ufeffdata: \ufeff1\n".encode()]) == [Event("\ufeff1".encode())]
    assert parse([b"\n", "\ufeffdata: 1\n".encode()]) == []


def test_a_status_that_is_none() -> None:
    assert parse([b"status: soon\n:HTTP_STATUS/soon\ndata: 1\n\n"]) == [Event(b"1")]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: 1\n\n", b"data: 2\n\n"],
        [b"event: error\n", b"data: 1\n\n"],
        [b":HTTP_STATUS/400\n", b"data: 1\n\n"],
        [b"data: 1\n", b"data: 2\n\n"],
        [b"data: 1", b"data: 2\n\n"],
        [b"data: 1\r", b"data: 2\n\n"],
        [b"data: 1\ndata: 2\n\n"],
        [b"data: 1\rdata: 2\n\n"],
        [b"data: 1\n2"],
        [b"other: 1\n\n"],
    ],
)
def test_chunks_say_what_their_bytes_say(chunks: list[bytes]) -> None:
    """Most chunks are one whole event, which is read at once; none is taken for one that is not."""
    parser, bytewise = EventParser(), EventParser()
    heard = [event for chunk in (b"\n", *chunks) for event in parser.feed(chunk)]
    raw = b"".join((b"\n", *chunks))
    assert heard == [event for place in range(len(raw)) for event in bytewise.feed(raw[place : place + 1])]
    assert parser.end() == bytewise.end()
