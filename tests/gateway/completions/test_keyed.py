"""A turn that is asked for once more under its request key is told once more, byte for byte, as it was."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve

MODEL = "qwen/qwen-plus"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
WORDS = " ".join(f"word{n}" for n in range(40))


def asking(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = list(messages) or [{"role": "user", "content": "talk"}]
    options = {"include_usage": True}
    return {"model": MODEL, "messages": said, "conversation": "c1", "stream": True} | {
        "stream_options": options,
        **more,
    }


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def slow(text: str = WORDS, between: float = 0.03) -> Script:
    return Script(text, wire=Wire(piece=7, between=between))


def states(one: Gate) -> list[str]:
    found = json.loads(one.get("/v1/conversations/c1/turns")[1]).get("data") or []
    return [each["state"] for each in found]


def listened(one: Gate, into: list[bytes]) -> threading.Thread:
    """Read a streamed answer beside the test, to its end."""

    def read() -> None:
        with one.socket(asking(), "idempotency-key: k1") as sock, sock.makefile("rb") as raw:
            while raw.readline().strip():
                pass
            into.append(_unchunked(raw))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def _unchunked(raw: Any) -> bytes:
    found = b""
    while size := int(raw.readline() or b"0", 16):
        found += raw.read(size)
        raw.readline()
    return found


@contextmanager
def begun(one: Gate, *headers: str) -> Iterator[Any]:
    """A connection over which an answer has begun to come."""
    with one.socket(asking(), "idempotency-key: k1", *headers) as sock:
        seen = b""
        while b"data:" not in seen:
            part = sock.recv(4000)
            assert part, seen
            seen += part
        yield sock


# ------------------------------------------------------------------------------------- from the store


@pytest.mark.parametrize(
    "answer",
    [
        "some words in many pieces",
        Answer(reasoning="long thoughts about it", text="words"),
        Answer(
            text="let me see", calls=(Call("weather", {"city": "Paris"}), Call("weather", {"city": "Rome"}))
        ),
        Answer(refusal="I would rather not say that."),
        Answer(text="noted", extra={"annotations": [{"type": "note"}]}),
    ],
    ids=["words", "reasoning", "calls", "refusal", "extra"],
)
def test_a_stream_is_told_again_in_the_same_events(answer: Any, tmp_path: Path) -> None:
    body = asking(tools=[TOOL])
    with serve("qwen", answer) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            _, first, headers = one.post(body, idempotency_key="k1")
            time.sleep(1.1)  # another second: an answer tells when it was made
            _, again, others = one.post(body, idempotency_key="k1")
        assert first.count(b"data: ") > 3
        assert again == first
        ours = [name for name in headers if name.startswith("x-") and name != "x-request-id"]
        assert {name: headers[name] for name in ours} == {name: others[name] for name in ours}
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert one.post(body, idempotency_key="k1")[1] == first
        assert len(sim.requests) == 1


def test_an_answer_nobody_stores_is_told_again_too() -> None:
    with serve("qwen", " ") as sim, gate(sim) as one:
        first = one.post(asking(), idempotency_key="k1")[1]
        assert b'"content":" "' in first
        assert one.post(asking(), idempotency_key="k1")[1] == first
        assert len(sim.requests) == 1


def test_a_step_is_told_again_after_its_turn_went_on() -> None:
    with serve("qwen", [Answer(calls=(Call("weather", id="call_1"),)), "sunny"]) as sim, gate(sim) as one:
        question, result = (
            asking(user("weather?"), tools=[TOOL]),
            asking(
                user("weather?"), {"role": "tool", "tool_call_id": "call_1", "content": "sun"}, user("And?")
            ),
        )
        called = one.post(question, idempotency_key="k1")[1]
        answered = one.post(result, idempotency_key="k2")[1]
        assert b'"finish_reason":"stop"' in answered
        assert one.post(question, idempotency_key="k1")[1] == called
        assert one.post(result, idempotency_key="k2")[1] == answered
        assert len(sim.requests) == 2


def test_a_stream_asks_for_an_answer_that_came_in_one_piece() -> None:
    with serve("qwen", "some words") as sim, gate(sim) as one:
        whole = one.post({**asking(), "stream": False, "stream_options": None}, idempotency_key="k1")[1]
        stream = one.post(asking(), idempotency_key="k1")[1]
        assert b"some words" in whole
        assert b'"content":"some words"' in stream
        assert len(sim.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"model": "qwen/qwen-max"},
        {"temperature": 0.9},
        {"tools": [TOOL]},
        {"tool_choice": "none"},
        {"messages": [{"role": "system", "content": "Be brief."}, user("talk")]},
        {"max_tokens": 7},
    ],
    ids=lambda other: str(next(iter(other))),
)
def test_another_body_under_the_same_key_is_refused(other: dict[str, Any]) -> None:
    with serve("qwen", ["one", "two"]) as sim, gate(sim) as one:
        first = one.post(asking(temperature=0.1), idempotency_key="k1")[1]
        status, body, _ = one.post({**asking(temperature=0.1), **other}, idempotency_key="k1")
        assert (status, json.loads(body)["error"]["code"]) == (422, "key_reused")
        assert one.post(asking(temperature=0.1), idempotency_key="k1")[1] == first
        assert (states(one), len(sim.requests)) == (["completed"], 1)


def test_a_body_that_says_the_same_in_another_order_is_the_same() -> None:
    with serve("qwen", ["one", "two"]) as sim, gate(sim) as one:
        first = one.post(asking(temperature=0.1), idempotency_key="k1")[1]
        turned = dict(reversed(asking(temperature=0.1).items()))
        assert one.post(turned, idempotency_key="k1")[1] == first
        assert len(sim.requests) == 1


def test_so_is_another_body_of_a_turn_that_is_made_anew() -> None:
    path = "/v1/conversations/c1/turns/1/regenerate"
    with serve("qwen", ["one", "two", "three"]) as sim, gate(sim) as one:
        one.post(asking())
        first = one.post({"temperature": 0.1}, path, idempotency_key="k1")[1]
        status, body, _ = one.post({"temperature": 0.9}, path, idempotency_key="k1")
        assert (status, json.loads(body)["error"]["code"]) == (422, "key_reused")
        assert one.post({"temperature": 0.1}, path, idempotency_key="k1")[1] == first
        assert len(sim.requests) == 2


def test_a_turn_without_a_key_keeps_nothing_more(tmp_path: Path) -> None:
    with serve("qwen") as sim, gate(sim, store=tmp_path / "chats.db") as one:
        assert one.post(asking())[0] == one.post(asking(), x_multiturn_detached="true")[0] == 200
        with sqlite3.connect(tmp_path / "chats.db") as db:
            assert db.execute("SELECT COUNT(*) FROM exchanges").fetchone() == (0,)


def test_a_turn_with_a_key_is_no_response() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        name = one.post(asking(), idempotency_key="k1")[2]["x-multiturn-turn-id"]
        response = f"resp_{name.removeprefix('turn_')}_1"
        missing = one.get("/v1/responses/resp_nothing")
        assert one.get(f"/v1/responses/{response}")[0] == missing[0] == 404


def test_an_aligned_turn_is_not_branched_from_when_it_is_repeated() -> None:
    with serve("qwen", ["one", "two"]) as sim, gate(sim) as one:
        told: dict[str, Any] = {"idempotency_key": "k1", "x_conversation_mode": "align"}
        body = asking(user("a"), {"role": "assistant", "content": "b"}, user("c"))
        first = one.post(body, **told)[1]
        assert one.post(body, **told)[1] == first
        assert len(json.loads(one.get("/v1/conversations/c1/branches")[1])["data"]) == 1
        assert len(sim.requests) == 1


def test_nor_is_one_on_a_branch_that_is_not_in_use() -> None:
    with serve("qwen", ["one", "two", "three"]) as sim, gate(sim) as one:
        told: dict[str, Any] = {"x_conversation_mode": "align"}
        before = [user("a"), {"role": "assistant", "content": "one"}]
        assert one.post(asking(*before[:1]), idempotency_key="k1", **told)[0] == 200
        first = one.post(asking(*before, user("b")), idempotency_key="k2", **told)
        assert one.post(asking(*before, user("c")), idempotency_key="k3", **told)[0] == 200
        branches = one.get("/v1/conversations/c1/branches")[1]
        again = one.post(asking(*before, user("b")), idempotency_key="k2", **told)
        assert again[1] == first[1]
        assert again[2]["x-multiturn-ignored"] == first[2]["x-multiturn-ignored"] == "0"
        assert one.get("/v1/conversations/c1/branches")[1] == branches
        assert len(sim.requests) == 3


# ---------------------------------------------------------------------------------- while it comes


def test_a_detached_turn_is_followed_by_its_repeat() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        with begun(one, "x-multiturn-detached: true"):
            pass
        with begun(one) as sock:
            assert states(one)[0] in ("accepted", "streaming"), "the repeat hears it while it comes"
            assert sock.recv(1)
        until(lambda: states(one) == ["completed"])
        heard: list[bytes] = []
        listened(one, heard).join()
        assert one.post(asking(), idempotency_key="k1")[1] == heard[0]
        assert heard[0].endswith(b"data: [DONE]\n\n")
        assert len(sim.requests) == 1


def test_a_repeat_hears_the_same_events_from_the_first_on() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        heard: list[bytes] = []
        first = listened(one, heard)
        until(lambda: bool(sim.requests))
        second = listened(one, heard)
        first.join()
        second.join()
        assert heard[0] == heard[1] == one.post(asking(), idempotency_key="k1")[1]
        assert heard[0].count(b"data: ") > 20
        assert (states(one), len(sim.requests)) == (["completed"], 1)


def test_the_first_may_leave_while_the_second_listens() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one:
        with begun(one) as first, begun(one) as second:
            first.close()
            heard = b""
            while not heard.endswith(b"\r\n0\r\n\r\n"):
                heard += second.recv(4000)
        assert b"data: [DONE]\n\n" in heard
        assert (states(one), sim.requests[0].left) == (["completed"], False)


def test_when_the_last_leaves_the_model_is_stopped() -> None:
    with serve("qwen", slow("word " * 400)) as sim, gate(sim) as one:
        with begun(one) as second:
            with begun(one):
                pass
            time.sleep(0.3)
            assert not sim.requests[0].left
            assert second.recv(10)
        until(lambda: sim.requests[0].left)
        until(lambda: states(one) == ["incomplete"])
        sim.script = Script("anew")
        assert b"anew" in one.post(asking(), idempotency_key="k1")[1]
        assert states(one) == ["incomplete", "completed"]


def test_a_client_that_left_before_the_first_word_stops_the_model() -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim) as one:
        with one.socket({**asking(), "stream": False}, "idempotency-key: k1"):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)
        until(lambda: states(one) == ["incomplete"])


def test_a_failure_is_told_to_everybody_and_the_key_may_come_again() -> None:
    with serve("qwen", [Fault(401), "fine"]) as sim, gate(sim) as one:
        assert one.post(asking(), idempotency_key="k1")[0] == 502
        assert b"fine" in one.post(asking(), idempotency_key="k1")[1]
        assert len(sim.requests) == 2


def test_another_body_under_the_key_of_a_running_turn_is_refused() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one, begun(one, "x-multiturn-detached: true"):
        status, body, _ = one.post(asking(user("else")), idempotency_key="k1")
        assert (status, json.loads(body)["error"]["code"]) == (422, "key_reused")
        assert len(sim.requests) == 1


def test_the_key_of_another_conversation_is_another_key() -> None:
    with serve("qwen", slow()) as sim, gate(sim) as one, begun(one, "x-multiturn-detached: true"):
        assert one.post({**asking(), "conversation": "c2"}, idempotency_key="k1")[0] == 200
        assert len(sim.requests) == 2


@pytest.mark.parametrize("other", [("bank", "ada"), ("shop", "bob")], ids=["tenants", "users"])
def test_nobody_hears_an_answer_of_somebody_else(other: tuple[str, str], tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    keys = [made(store, tenant, user) for tenant, user in (("shop", "ada"), other)]
    with serve("qwen", slow()) as sim, gate(sim, store=store) as one:
        heard: list[tuple[int, bytes, Any]] = []

        def ask(key: str) -> None:
            heard.append(one.post(asking(), idempotency_key="k1", **bearer(key)))

        threads = [threading.Thread(target=ask, args=(key,)) for key in keys]
        threads[0].start()
        until(lambda: bool(sim.requests))
        threads[1].start()
        for each in threads:
            each.join()
        names = {json.loads(body.split(b"\n")[0][6:])["id"] for status, body, _ in heard if status == 200}
        assert len(names) == sum(status == 200 for status, _, _ in heard)
        assert len(sim.requests) == len(names)
