"""Turns of a conversation: read, marked, said anew, stopped; over bare HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.gateway.talking import Talk, summarised
from tests.simulators import Answer, Call, Fault, Script, Simulator, Wire, serve

from multiturn import ContextPolicy, MultiTurn


@pytest.fixture
def talk() -> Iterator[Talk]:
    with gate(model="demo") as one:
        found = Talk(one)
        found.say("My name is Ada.")
        found.say("What is my name?")
        yield found


# ------------------------------------------------------------------------------------------ reading


def test_turns_come_in_pages_from_the_newest_on(talk: Talk) -> None:
    for number in range(3, 6):
        talk.say(f"Fact {number}.")
    first = talk.ask("GET", "/turns?limit=2")
    assert ([each["number"] for each in first["data"]], first["has_more"]) == ([4, 5], True)
    second = talk.ask("GET", f"/turns?limit=2&before={first['first_id']}")
    assert ([each["number"] for each in second["data"]], second["has_more"]) == ([2, 3], True)
    last = talk.ask("GET", "/turns?limit=2&before=2")
    assert ([each["number"] for each in last["data"]], last["has_more"]) == ([1], False)
    assert talk.numbers("/turns?before=1") == []


def test_a_turn_is_named_by_its_number_or_its_id(talk: Talk) -> None:
    one = talk.ask("GET", "/turns/2")
    assert (one["number"], one["state"], one["pinned"]) == (2, "completed", False)
    assert talk.ask("GET", f"/turns/{one['id']}") == one
    for wrong in ("3", "0", "x", one["id"] + "0", one["id"].replace("_0_2", "_7_2")):
        assert talk.code("GET", f"/turns/{wrong}") == (404, "turn_not_found"), wrong


def test_the_context_of_a_turn_is_what_was_sent_in_it(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    with gate(model="demo", store=store) as one:
        talk = Talk(one)
        for number in range(4):
            talk.say(f"Fact {number} is that.")
        summarised(store, "c", "first words", upto=1)
        talk.say("And now?")
        summarised(store, "c", "other words", upto=2, replacing=1)
        talk.say("And then?")
        before, after = (talk.ask("GET", f"/turns/{number}/context") for number in (4, 5))
        assert before["summary"] is None
        assert (after["summary"]["version"], after["summary"]["text"]) == (1, "first words")
        newest = talk.ask("GET", "/turns/6/context")
        assert (newest["summary"]["version"], newest["summary"]["text"]) == (2, "other words")
        assert "summary_new" in [each["code"] for each in after["changes"]]
        assert all(each["sentence"] for each in after["changes"])
        talk.ask("DELETE", "/summary")
        assert talk.ask("GET", "/turns/6/context")["summary"]["version"] == 2
        assert talk.code("GET", "/turns/6/context?step=2") == (404, "turn_not_found")


def test_a_turn_of_another_branch_is_compared_with_what_came_before_it_there(talk: Talk) -> None:
    first, second = talk.ask("GET", "/turns")["data"]
    tokens = talk.ask("GET", "/turns/1/context")["tokens"]
    talk.ask("POST", "/turns/1/edit", {"text": "My name is a good deal longer than Ada. " * 10})
    assert talk.ask("GET", "/turns/1/context")["tokens"] > tokens
    told = talk.ask("GET", f"/turns/{second['id']}/context")
    assert told["changes"][-1]["figures"]["before"] == tokens
    assert talk.code("POST", f"/turns/{first['id']}/retry") == (409, "turn_closed")


def test_the_context_tells_the_prefix_that_a_cache_held_and_what_it_cost() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        talk.say("Read this. " * 500)
        talk.say("two")
        told = talk.ask("GET", "/turns/2/context")
        assert told["cached_prefix"] == told["usage"]["prompt_tokens_details"]["cached_tokens"] > 500
        assert float(told["cost"]["amount"]) > 0


# ------------------------------------------------------------------------------------------- marking


def test_a_pinned_turn_stays_in_every_window() -> None:
    with gate(model="demo", policy=ContextPolicy.last_turns(1)) as one:
        talk = Talk(one)
        for words in ("The code is 4711.", "Two.", "Three."):
            talk.say(words)
        assert "The code is 4711." not in talk.sent()
        assert talk.ask("POST", "/turns/1/pin")["pinned"] is True
        assert "The code is 4711." in talk.sent()
        assert talk.ask("POST", "/turns/1/unpin", {})["pinned"] is False
        assert "The code is 4711." not in talk.sent()


def test_a_turn_that_is_left_out_is_not_sent_until_it_is_taken_in_again(talk: Talk) -> None:
    assert talk.ask("POST", "/turns/1/exclude")["excluded"] is True
    assert "My name is Ada." not in talk.sent()
    assert talk.ask("POST", "/turns/1/include")["excluded"] is False
    assert "My name is Ada." in talk.sent()


def test_an_answer_is_left_out_alone(talk: Talk) -> None:
    answer = talk.ask("GET", "/items?order=asc&limit=2")["data"][1]
    words = answer["content"][0]["text"]
    assert talk.ask("POST", f"/items/{answer['id']}/exclude")["number"] == 1
    sent = talk.sent()
    assert "My name is Ada." in sent
    assert words not in sent
    talk.ask("POST", f"/items/{answer['id']}/include")
    assert words in talk.sent()
    assert talk.code("POST", "/items/msg_nobodys/exclude") == (404, "item_not_found")


def test_a_turn_is_withdrawn_with_its_reason(talk: Talk) -> None:
    turn = talk.ask("POST", "/turns/1/retract", {"reason": "a slip"})
    assert (turn["retracted"], turn["reason"]) == (True, "a slip")
    assert "My name is Ada." not in talk.sent()
    assert talk.code("POST", "/turns/2/retract", {"reason": "x" * 2001}) == (400, "text_too_long")
    assert talk.code("POST", "/turns/2/retract", {"why": "x"}) == (400, "unknown_parameter")


# ---------------------------------------------------------------------------------------------- anew


def test_saying_something_else_makes_a_branch(talk: Talk) -> None:
    told = talk.ask("POST", "/turns/1/edit", {"text": "My name is Bob."})
    assert told["object"] == "chat.completion"
    assert "Bob" in talk.say("What is my name?")
    assert [each["in_use"] for each in talk.ask("GET", "/branches")["data"]] == [False, True]
    talk.ask("POST", "/branches/0/switch")
    assert "Ada" in talk.say("What is my name?")


def test_an_answer_is_made_anew_as_events(talk: Talk) -> None:
    body = json.dumps({"stream": True, "stream_options": {"include_usage": True}}).encode()
    address = "/v1/conversations/c/turns/2/regenerate"
    status, raw, headers = talk.one._asked("POST", address, body, {"content-type": "application/json"})
    assert (status, headers["x-conversation-id"], headers["x-multiturn-turn"]) == (200, "c", "2")
    events = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(each) for each in events[:-1]]
    assert "Ada" in "".join(each["delta"].get("content", "") for chunk in chunks for each in chunk["choices"])
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert talk.numbers() == [1, 2]
    assert len(talk.ask("GET", "/branches")["data"]) == 2


def test_words_may_come_in_parts(talk: Talk) -> None:
    talk.ask("POST", "/turns/2/edit", {"content": [{"type": "text", "text": "Where am I?"}]})
    assert any("Where am I?" in words for words in talk.sent())
    assert talk.code("POST", "/turns/2/edit", {"text": "a", "content": "b"}) == (
        400,
        "mutually_exclusive_parameters",
    )
    assert talk.code("POST", "/turns/2/edit", {"text": " "}) == (400, "message_empty")
    assert talk.code("POST", "/turns/9/edit", {"text": "a"}) == (404, "turn_not_found")


def test_the_same_key_makes_one_branch(talk: Talk) -> None:
    given = {"content-type": "application/json", "idempotency-key": "k"}
    raw = json.dumps({"text": "My name is Bob."}).encode()
    ways = [talk.one._asked("POST", "/v1/conversations/c/turns/1/edit", raw, given) for _ in range(2)]
    assert [way[0] for way in ways] == [200, 200]
    assert json.loads(ways[0][1])["choices"] == json.loads(ways[1][1])["choices"]
    assert len(talk.ask("GET", "/branches")["data"]) == 2


def test_a_model_may_be_named_and_stays(talk: Talk) -> None:
    with serve("qwen", "from qwen") as sim, gate(sim, model="demo") as one:
        other = Talk(one)
        other.say("hello")
        told = other.ask("POST", "/turns/1/regenerate", {"model": "qwen/qwen-plus", "temperature": 0.5})
        assert told["choices"][0]["message"]["content"] == "from qwen"
        assert sim.requests[-1].body["temperature"] == 0.5
        assert other.ask("GET", "")["model"] == "qwen/qwen-plus"
    assert talk.code("POST", "/turns/1/regenerate", {"model": "nobody/nothing"}) == (404, "model_not_found")
    assert len(talk.ask("GET", "/branches")["data"]) == 1


def test_a_turn_has_one_answer_also_where_it_is_made_anew(talk: Talk) -> None:
    for params, code in (({"n": 2}, (400, "one_choice")), ({"messages": []}, (400, "parameter_invalid"))):
        assert talk.code("POST", "/turns/2/regenerate", {"params": params}) == code
    assert len(talk.ask("GET", "/branches")["data"]) == 1


def test_what_is_done_to_a_conversation_leaves_its_model() -> None:
    """The gateway's own model is for conversations that name none."""
    with serve("qwen", "from qwen") as sim, gate(sim, model="demo") as one:
        talk = Talk(one, model="qwen/qwen-plus")
        talk.say("hello")
        assert talk.ask("GET", "/window")["model"] == "qwen/qwen-plus"
        assert talk.ask("POST", "/turns/1/regenerate", {})["model"] == "qwen/qwen-plus"
        assert talk.ask("GET", "")["model"] == "qwen/qwen-plus"


def test_a_failed_turn_is_asked_again() -> None:
    script = Script([Fault(400), Answer("there it is")])
    with serve("qwen", script) as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        status, _, _ = one.post(
            {"model": talk.model, "messages": [{"role": "user", "content": "hi"}], "conversation": "c"}
        )
        assert status == 400
        assert talk.ask("GET", "/turns/1")["state"] == "failed"
        assert talk.ask("POST", "/turns/1/retry")["choices"][0]["message"]["content"] == "there it is"
        assert talk.ask("GET", "/turns/1")["state"] == "completed"
        assert talk.code("POST", "/turns/1/retry") == (409, "turn_closed")


def test_asking_again_with_the_same_key_asks_once() -> None:
    script = Script([Fault(400), Answer("once"), Answer("twice")])
    with serve("qwen", script) as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        words = [{"role": "user", "content": "hi"}]
        assert one.post({"model": talk.model, "messages": words, "conversation": "c"})[0] == 400
        given = {"content-type": "application/json", "idempotency-key": "k"}
        ways = [one._asked("POST", "/v1/conversations/c/turns/1/retry", b"{}", given) for _ in range(2)]
        assert [way[0] for way in ways] == [200, 200]
        assert [json.loads(way[1])["choices"][0]["message"]["content"] for way in ways] == ["once", "once"]


def test_only_the_newest_turn_is_asked_again(talk: Talk) -> None:
    words = [{"role": "user", "content": "hi"}]
    failing = {"model": "demo?fail=404", "messages": words, "conversation": "c"}
    assert talk.told("POST", "/v1/chat/completions", failing)[0] == 404
    assert talk.code("POST", "/turns/1/retry", {"model": "demo"}) == (409, "turn_closed")
    assert talk.ask("GET", "/turns/3")["state"] == "failed"
    talk.ask("POST", "/turns/3/retry", {"model": "demo"})
    assert talk.ask("GET", "/turns/3")["state"] == "completed"


# ------------------------------------------------------------------------------------------ stopping


def test_a_turn_is_stopped_from_another_connection() -> None:
    with gate(model="demo?slow=100ms") as one:
        talk = Talk(one, model="demo?slow=100ms")
        body = {"model": talk.model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with one.socket({**body, "conversation": "c"}) as open_one:
            assert open_one.recv(10)
            until(lambda: talk.told("GET", "/turns/1")[0] == 200)
            stopped = talk.ask("POST", "/turns/1/cancel")
        assert (stopped["state"], stopped["stopped"]) == ("incomplete", True)
        assert talk.ask("POST", "/turns/1/cancel") == stopped


def test_a_turn_that_does_not_stop_is_told_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("multiturn.gateway.conversations.anew.PATIENCE", 0.2)
    url = f"sqlite:///{tmp_path / 'chats.db'}"
    with gate(store=url, model="demo") as one, MultiTurn("demo", url, environment={}) as elsewhere:
        with elsewhere.conversation("c").prepare("hi"):
            answer = Talk(one).ask("POST", "/turns/1/cancel")
    assert (answer["state"], answer["stopped"]) == ("accepted", False)


def test_only_the_named_turn_is_stopped() -> None:
    slow = Script("word " * 20, wire=Wire(piece=5, between=0.05))
    with serve("qwen", "done") as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        talk.say("hello")
        sim.script = slow
        body = {"model": talk.model, "messages": [{"role": "user", "content": "hi"}], "stream": True}
        with one.socket({**body, "conversation": "c"}) as open_one:
            assert open_one.recv(10)
            assert talk.code("POST", "/turns/1/cancel") == (409, "turn_closed")
            assert talk.code("POST", "/turns/3/cancel") == (404, "turn_not_found")
            assert talk.code("POST", "/turns/0/cancel") == (404, "turn_not_found")
            assert talk.code("POST", "/v1/conversations/nothing/turns/1/cancel")[0] == 404
            until(lambda: talk.ask("GET", "/turns/2")["state"] == "completed")
        status, answer = talk.told("POST", "/turns/2/cancel")
        assert (status, answer["error"]["code"]) == (409, "turn_closed")
        assert "turn 2 has ended already, it is completed" in answer["error"]["message"]


def test_a_turn_that_ended_by_itself_cannot_be_stopped() -> None:
    script = Script(
        [Answer(calls=(Call("weather"),)), Fault(400), Answer("half of it " * 5, cut="close", cut_after=5)]
    )
    with serve("qwen", script) as sim, gate(sim) as one:
        talk = Talk(one, model="qwen/qwen-plus")
        body = {"model": talk.model, "messages": [{"role": "user", "content": "hi"}], "conversation": "c"}
        refusals = []
        for number in (1, 2, 3):
            one.post({**body, "stream": True})
            status, answer = talk.told("POST", f"/turns/{number}/cancel")
            assert (status, answer["error"]["code"]) == (409, "turn_closed")
            refusals.append(answer["error"]["message"])
        assert "waits for the results" in refusals[0]
        assert "it failed" in refusals[1]
        assert "it broke off" in refusals[2]
        assert talk.ask("POST", "/turns/1/cancel")["stopped"], "the next turn has left its calls behind"


def test_a_client_that_leaves_an_answer_made_anew_stops_it() -> None:
    with gate(model="demo?slow=100ms") as one:
        talk = Talk(one, model="demo?slow=100ms")
        talk.say("hello")
        path = "/v1/conversations/c/turns/1/regenerate"
        with one.socket({"stream": True}, path=path) as open_one:
            assert open_one.recv(10)
        until(lambda: talk.ask("GET", "/turns/1")["state"] == "incomplete")


WAYS = ("regenerate", "edit", "retry")


def failing(one: Gate, sim: Simulator) -> Talk:
    """A conversation whose only turn failed, so that everything may be done to it."""
    sim.script = Script(Fault(400))
    talk = Talk(one, model="qwen/qwen-plus")
    body = {"model": talk.model, "messages": [{"role": "user", "content": "hi"}], "conversation": "c"}
    assert one.post(body)[0] == 400
    sim.script = Script("word " * 20, wire=Wire(piece=5, between=0.03))
    return talk


def asked_anew(way: str, *, streamed: bool) -> dict[str, Any]:
    return ({"text": "hello"} if way == "edit" else {}) | {"stream": streamed}


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_detached_answer_made_anew_goes_on(way: str, *, streamed: bool) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        talk = failing(one, sim)
        body, path = asked_anew(way, streamed=streamed), f"/v1/conversations/c/turns/1/{way}"
        with one.socket(body, "x-multiturn-detached: true", path=path) as sock:
            if streamed:
                assert sock.recv(10)
            until(lambda: len(sim.requests) == 2)
        until(lambda: talk.ask("GET", "/turns/1")["state"] == "completed")
        assert not sim.requests[1].left
        assert talk.ask("GET", "/items")["data"][0]["content"][0]["text"] == "word " * 20


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_made_anew_is_told_again_in_the_same_events(way: str, tmp_path: Path) -> None:
    body, path = json.dumps(asked_anew(way, streamed=True)).encode(), f"/v1/conversations/c/turns/1/{way}"
    with serve("qwen") as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            failing(one, sim)
            first = one.post(body, path, idempotency_key="k1")[1]
            assert first.count(b"data: ") > 20
            assert one.post(body, path, idempotency_key="k1")[1] == first
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert one.post(body, path, idempotency_key="k1")[1] == first
        assert len(sim.requests) == 2


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_made_anew_is_followed_by_its_repeat(way: str) -> None:
    body, path = json.dumps(asked_anew(way, streamed=True)).encode(), f"/v1/conversations/c/turns/1/{way}"
    with serve("qwen") as sim, gate(sim) as one:
        talk = failing(one, sim)
        lines = ("x-multiturn-detached: true", "idempotency-key: k1")
        with one.socket(json.loads(body), *lines, path=path) as sock:
            assert sock.recv(10)
        with one.socket(json.loads(body), lines[1], path=path) as sock:
            assert sock.recv(10)
            assert talk.ask("GET", "/turns/1")["state"] in ("accepted", "streaming")
        until(lambda: talk.ask("GET", "/turns/1")["state"] == "completed")
        assert one.post(body, path, idempotency_key="k1")[0] == 200
        assert len(sim.requests) == 2
