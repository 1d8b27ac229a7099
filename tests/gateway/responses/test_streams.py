"""What a streamed response is told with, while it is made and ever after."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest
from pydantic import BaseModel
from tests.gateway.responding import MODEL, TOOL, ask, chunks, result, sent, told, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve

from multiturn.providers.scripted import ScriptedProvider
from multiturn.reply import CallPiece, Delta

TEXT = [
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REASONING = [
    "response.output_item.added",
    "response.reasoning_summary_part.added",
    "response.reasoning_summary_text.delta",
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
    "response.output_item.done",
]
CALL = [
    "response.output_item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
]
BEGIN = ["response.created", "response.in_progress"]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Their types, with deltas that follow each other told once."""
    found: list[str] = []
    for each in events:
        if not found or found[-1] != each["type"]:
            found.append(each["type"])
    return found


def slow(words: int = 400) -> Script:
    return Script("word " * words, wire=Wire(piece=5, between=0.02))


def test_words_come_in_openais_order() -> None:
    with serve("qwen", "Hello, world. How are you?") as sim, gate(sim) as one:
        events = told(one, "hi")
        assert kinds(events) == [*BEGIN, *TEXT, "response.completed"]
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        text = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
        last = events[-1]["response"]
        assert text == last["output"][0]["content"][0]["text"] == "Hello, world. How are you?"
        assert events[0]["response"]["status"] == "in_progress"
        added, done = events[2]["item"], events[-2]["item"]
        assert (added["status"], added["content"]) == ("in_progress", [])
        assert done == last["output"][0]
        assert last["status"] == "completed"
        assert last["usage"]["output_tokens"] > 0


def test_thoughts_come_before_words() -> None:
    with serve("qwen", Answer("Hello.", reasoning="Let me think.")) as sim, gate(sim) as one:
        events = told(one, "hi", reasoning={"effort": "high"})
        assert sim.requests[0].body["enable_thinking"] is True
        assert kinds(events) == [*BEGIN, *REASONING, *TEXT, "response.completed"]
        reasoning, message = events[-1]["response"]["output"]
        done = [each["item"] for each in events if each["type"] == "response.output_item.done"]
        assert done == [reasoning, message]
        added = [each["item"] for each in events if each["type"] == "response.output_item.added"]
        assert added[0] == {**reasoning, "status": "in_progress", "summary": []}
        assert reasoning["summary"] == [{"type": "summary_text", "text": "Let me think."}]
        assert reasoning["id"].replace("rs_", "msg_") == message["id"]


def test_calls_are_told_with_their_arguments() -> None:
    answer = Answer("Let me see.", calls=[Call("weather", {"city": "北京"}, id="call_1")])
    with serve("qwen", answer) as sim, gate(sim) as one:
        events = told(one, "weather?", tools=[TOOL])
        assert kinds(events) == [*BEGIN, *TEXT, *CALL, "response.completed"]
        parts = [each["delta"] for each in events if each["type"] == CALL[1]]
        assert json.loads("".join(parts)) == {"city": "北京"}
        output = events[-1]["response"]["output"]
        assert [each["type"] for each in output] == ["message", "function_call"]
        assert [each["item"] for each in events if each["type"] == "response.output_item.done"] == output
        (done,) = [each for each in events if each["type"] == CALL[2]]
        assert {name: value for name, value in done.items() if name != "sequence_number"} == {
            "type": CALL[2],
            "item_id": output[1]["id"],
            "output_index": 1,
            "name": "weather",
            "arguments": output[1]["arguments"],
        }


def test_two_calls_are_two_items() -> None:
    calls = [Call("weather", {"city": city}, id=f"call_{city}") for city in ("a", "b")]
    with serve("qwen", Answer(calls=calls)) as sim, gate(sim) as one:
        with one.openai().responses.stream(model=MODEL, input="weather?", tools=[TOOL]) as stream:  # type: ignore[list-item]  # plain dictionaries
            events = list(stream)
            final = stream.get_final_response()
        added = [each.output_index for each in events if each.type == "response.output_item.added"]
        assert added == [0, 1]
        assert [getattr(each, "call_id", "") for each in final.output] == ["call_a", "call_b"]


def test_the_stream_of_the_sdk_and_what_it_parses() -> None:
    class Person(BaseModel):
        name: str

    with serve("qwen", '{"name": "Ada"}') as sim, gate(sim) as one:
        client = one.openai()
        with client.responses.stream(model=MODEL, input="who?", text_format=Person) as stream:
            for _ in stream:
                pass
            assert stream.get_final_response().output_parsed == Person(name="Ada")
        parsed = client.responses.parse(model=MODEL, input="who?", text_format=Person)
        assert parsed.output_parsed == Person(name="Ada")
        form = sim.requests[-1].body["response_format"]
        assert (form["type"], form["json_schema"]["name"]) == ("json_schema", "Person")


def test_the_same_for_asyncio() -> None:
    async def talk(one: Gate) -> None:
        async with one.aopenai() as client:
            first = await client.responses.create(model=MODEL, input="My name is Ada.")
            async with client.responses.stream(
                model=MODEL, input="What is my name?", previous_response_id=first.id
            ) as stream:
                seen = [event.type async for event in stream]
                assert "Ada" in (await stream.get_final_response()).output_text
            assert seen[0] == "response.created"
            again = await client.responses.retrieve(first.id)
            assert again.to_dict() == first.to_dict()

    with serve("qwen") as sim, gate(sim) as one:
        anyio.run(talk, one)


@pytest.mark.parametrize("after", [0, 3, 11, 500])
def test_it_is_told_again_from_anywhere(after: int) -> None:
    answer = Answer("Hello, world.", reasoning="Hm, hm.", calls=[Call("weather", id="call_1")])
    with serve("qwen", answer) as sim, gate(sim) as one:
        events = told(one, "hi", tools=[TOOL], reasoning={"effort": "high"})
        assert "response.reasoning_summary_text.delta" in kinds(events)
        name, client = events[0]["response"]["id"], one.openai()
        assert chunks(client.responses.retrieve(name, stream=True)) == events
        rest = chunks(client.responses.retrieve(name, stream=True, starting_after=after))
        assert rest == events[after + 1 :]
        with client.responses.stream(response_id=name, starting_after=after, tools=[TOOL]) as stream:  # type: ignore[list-item]  # plain dictionaries
            assert [each.sequence_number for each in stream] == list(range(after + 1, len(events)))


def test_whole_events_in_each_write_and_no_ids(tmp_path: Path) -> None:
    with serve("qwen", slow(40)) as sim, gate(sim, store=tmp_path / "chats.db") as one:
        raw = json.dumps({"model": MODEL, "input": "hi", "stream": True}).encode()
        head = f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(raw)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
            sock.sendall(head.encode() + raw)
            with sock.makefile("rb") as lines:
                while lines.readline().strip():
                    pass
                parts = []
                while size := int(lines.readline(), 16):
                    parts.append(lines.read(size))
                    lines.readline()
        assert len(parts) > 10
        assert all(part.endswith(b"\n\n") for part in parts)
        assert all(line.startswith((b"event: ", b"data: ")) for line in b"".join(parts).splitlines() if line)


def test_the_end_is_told_once_it_is_stored() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        stream: Any = one.openai().responses.create(model=MODEL, input="hi", stream=True)
        for event in stream:
            if event.type == "response.completed":
                assert ask(one, "more", previous_response_id=event.response.id).status == "completed"


def test_an_answer_that_breaks_off_has_failed() -> None:
    with serve("qwen", Answer("a long answer that is cut", cut="end", cut_after=4)) as sim, gate(sim) as one:
        events = told(one, "hi")
        assert events[-1]["type"] == "response.failed"
        assert events[-2]["item"]["status"] == "incomplete"
        last = events[-1]["response"]
        assert (last["status"], last["error"]["code"]) == ("failed", "server_error")
        assert last["output"][0]["status"] == "incomplete"
        assert chunks(one.openai().responses.retrieve(last["id"], stream=True)) == events


def test_a_call_that_breaks_off_is_told_again_too() -> None:
    answer = Answer(calls=[Call("weather", {"city": "Beijing"}, id="call_1")], cut="end", cut_after=3)
    with serve("qwen", answer) as sim, gate(sim) as one:
        events = told(one, "hi", tools=[TOOL])
        assert events[-1]["type"] == "response.failed"
        name = events[0]["response"]["id"]
        assert chunks(one.openai().responses.retrieve(name, stream=True)) == events
        assert one.openai().responses.retrieve(name).to_dict() == events[-1]["response"]


def test_an_answer_that_is_too_long_is_incomplete() -> None:
    with serve("qwen", Answer("a long answer", finish="length")) as sim, gate(sim) as one:
        events = told(one, "hi", max_output_tokens=16)
        assert events[-1]["type"] == "response.incomplete"
        last = events[-1]["response"]
        assert last["incomplete_details"] == {"reason": "max_output_tokens"}
        assert last["output"][0]["status"] == "incomplete"
        assert sim.requests[0].body["max_tokens"] == 16
        whole = ask(one, "hi", max_output_tokens=16)
        assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_refusal_of_the_provider_has_its_status() -> None:
    with serve("qwen", Script("no", faults=Fault(400))) as sim, gate(sim) as one:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError):
                ask(one, "hi", stream=stream)


# ------------------------------------------------------------------------------------- life and leaving


def test_in_the_background_it_goes_on_without_listeners() -> None:
    with serve("qwen", slow(100)) as sim, gate(sim) as one:
        client = one.openai()
        first = client.responses.create(model=MODEL, input="hi", background=True)
        assert (first.status, first.background, first.output) == ("queued", True, [])
        assert client.responses.retrieve(first.id).status == "in_progress"
        events = chunks(client.responses.retrieve(first.id, stream=True))
        assert kinds(events) == [BEGIN[0], "response.queued", BEGIN[1], *TEXT, "response.completed"]
        assert [each["response"]["status"] for each in events[:3]] == ["queued", "queued", "in_progress"]
        assert client.responses.retrieve(first.id).to_dict() == events[-1]["response"]
        assert chunks(client.responses.retrieve(first.id, stream=True)) == events


def test_whoever_leaves_and_comes_back_misses_nothing() -> None:
    with serve("qwen", slow(60)) as sim, gate(sim) as one:
        client = one.openai()
        stream = client.responses.create(model=MODEL, input="hi", background=True, stream=True)
        seen: list[dict[str, Any]] = [next(stream).to_dict() for _ in range(12)]
        stream.close()
        name = seen[0]["response"]["id"]
        rest = chunks(client.responses.retrieve(name, stream=True, starting_after=11))
        assert [each["sequence_number"] for each in [*seen, *rest]] == list(range(len(seen) + len(rest)))
        assert chunks(client.responses.retrieve(name, stream=True)) == [*seen, *rest]
        assert not sim.requests[0].left


def test_a_response_in_the_background_can_be_stopped() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        client = one.openai()
        first = client.responses.create(model=MODEL, input="hi", background=True)
        until(lambda: bool(sim.requests))
        stopped = client.responses.cancel(first.id)
        assert stopped.status == "cancelled"
        until(lambda: sim.requests[0].left)
        assert client.responses.cancel(first.id).to_dict() == stopped.to_dict()
        events = chunks(client.responses.retrieve(first.id, stream=True))
        assert (events[-1]["type"], events[-1]["response"]["status"]) == ("response.incomplete", "cancelled")
        sim.script = Script("ok")
        ask(one, "go on", previous_response_id=first.id)
        assert [role for role, _ in sent(sim)][-1] == "user"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_leaves_stops_the_model(streamed: bool) -> None:
    script = slow() if streamed else Script("late", wire=Wire(first=20))
    with serve("qwen", script) as sim, gate(sim) as one:
        raw = json.dumps({"model": MODEL, "input": "hi", "stream": streamed}).encode()
        head = f"POST /v1/responses HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(raw)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", one.port), timeout=30) as sock:
            sock.sendall(head.encode() + raw)
            if streamed:
                while b"delta" not in sock.recv(4000):
                    pass
            else:
                until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)


def test_a_client_that_is_followed_and_leaves_ends_the_stream_of_its_follower() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        client = one.openai()
        stream: Any = client.responses.create(model=MODEL, input="hi", stream=True)
        name = next(stream).response.id
        follower = client.responses.retrieve(name, stream=True)
        assert next(follower).sequence_number == 0
        stream.close()
        last = list(follower)[-1]
        assert last.type == "response.incomplete"
        assert client.responses.retrieve(name).status == "cancelled"


def test_a_crash_in_the_middle_leaves_what_was_stored(tmp_path: Path) -> None:
    """Another process begins a response and is killed; whoever asks for it afterwards sees its end."""
    path = tmp_path / "chats.db"
    with serve("qwen", slow(2000)) as sim:
        code = CRASHING.format(path=str(path), url=sim.base_url, key=sim.key)
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        child = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        child.kill()
        child.wait()
        child.stdout.close()
    with serve("qwen", "ok") as sim, gate(sim, store=path) as one:
        client = one.openai()
        until(lambda: client.responses.retrieve(name).status == "incomplete")
        events = chunks(client.responses.retrieve(name, stream=True))
        assert events[-1]["type"] == "response.incomplete"
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        text = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
        assert text.startswith("word ")
        assert events[-1]["response"]["output"][0]["content"][0]["text"] == text
        (last,) = chunks(
            client.responses.retrieve(name, stream=True, starting_after=events[-1]["sequence_number"] + 9)
        )
        assert last == {**events[-1], "sequence_number": events[-1]["sequence_number"] + 10}
        assert ask(one, "again", previous_response_id=name).status == "completed"


CRASHING = """
import asyncio, os, sys
from multiturn import AsyncMultiTurn
from multiturn.config import Config, Timing
from multiturn.gateway.server import server_of
from tests.gateway.responding import MODEL
import openai, socket, threading

config = Config(store="sqlite:///{path}", model=MODEL, timing=Timing(lease=1.0, renew=0.3))
keys = {{"DASHSCOPE_API_KEY": "{key}", "DASHSCOPE_COMPATIBLE_BASE_URL": "{url}", "HOME": "/nowhere"}}
listener = socket.create_server(("127.0.0.1", 0))
ready = threading.Event()
server = server_of(AsyncMultiTurn(config=config, environment=keys), ready.set, grace=1)
threading.Thread(target=server.run, args=([listener],), daemon=True).start()
ready.wait(20)
client = openai.OpenAI(base_url=f"http://127.0.0.1:{{listener.getsockname()[1]}}/v1", api_key="none")
for event in client.responses.create(model=MODEL, input="hi", stream=True):
    if event.type == "response.created":
        name = event.response.id
    if event.sequence_number == 60:
        print(name, flush=True)
"""


def test_results_stream_on() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = told(one, "weather?", tools=[TOOL])[-1]["response"]
        events = told(one, [result("call_1")], previous_response_id=first["id"])
        assert kinds(events) == [*BEGIN, *TEXT, "response.completed"]
        assert events[-1]["response"]["id"].endswith("_0_1_2")
        again = chunks(one.openai().responses.retrieve(first["id"], stream=True))
        assert again[-1]["response"] == first


def test_a_call_without_an_id_is_told_too() -> None:
    call = Delta(calls=(CallPiece(0, "", "weather", "{}"),), finish_reason="tool_calls")
    with gate(provider=ScriptedProvider([[call]])) as one:
        events = told(one, "weather?", tools=[TOOL])
        assert kinds(events) == [*BEGIN, *CALL, "response.completed"]
        assert events[-1]["response"]["output"][0]["call_id"] == "call_0"
        assert events[2]["item"]["id"] == events[-1]["response"]["output"][0]["id"]


def test_what_comes_late_is_told_in_the_end() -> None:
    line = [
        Delta(reasoning=""),
        Delta(text="Hello"),
        Delta(reasoning="late"),
        Delta(text=", "),
        Delta(calls=(CallPiece(0, "call_1", "weather", "{}"),)),
        Delta(text="world."),
        Delta(finish_reason="tool_calls"),
    ]
    with gate(provider=ScriptedProvider([line])) as one:
        events = told(one, "weather?", tools=[TOOL])
        empty = ["response.output_item.added", "response.output_item.done"]
        assert kinds(events) == [*BEGIN, *empty, *TEXT, *CALL, "response.completed"]
        assert [each.get("text") for each in events if each["type"] == TEXT[3]] == ["Hello, "]
        reasoning, message, _ = events[-1]["response"]["output"]
        assert reasoning["summary"][0]["text"] == "late"
        assert message["content"][0]["text"] == "Hello, world."
        name = events[0]["response"]["id"]
        assert chunks(one.openai().responses.retrieve(name, stream=True)) == events
