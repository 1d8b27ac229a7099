"""A response that nobody keeps is answered like any other: with what was asked for, by whoever can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.responding import MODEL, TOOL, ask, post, result, sent, told, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Model, Script, Simulator, Wire, serve

from multiturn import ContextPolicy
from multiturn.config import Config
from multiturn.providers.scripted import ScriptedProvider
from multiturn.reply import CallPiece, Delta
from multiturn.settings import load

TARGETS = ("qwen/qwen-plus", "kimi/kimi-k2.6")
FAST = load({"routes": {"fast": {"targets": list(TARGETS)}}}, {"HOME": "/nowhere"}, Path("/nowhere"))


def answered(one: Gate, input: Any, *, streamed: bool, **given: Any) -> dict[str, Any]:
    """The response, as its last event or alone."""
    if streamed:
        last: dict[str, Any] = told(one, input, store=False, **given)[-1]["response"]
        return last
    found: dict[str, Any] = ask(one, input, store=False, **given).to_dict()
    return found


def key_of(sim: Simulator) -> str:
    return str(sim.requests[-1].headers["authorization"])


@pytest.mark.parametrize(
    "limits",
    [{}, {"max_turns": 1}, {"max_turns": 2}, {"max_turns": 9}]
    + [{"max_messages": most} for most in (1, 2, 3, 4, 5, 6, 9)]
    + [{"max_turns": 1, "max_messages": 9}, {"max_turns": 9, "max_messages": 4}],
    ids=str,
)
def test_of_a_posted_history_as_much_is_sent_as_of_one_that_is_kept(limits: dict[str, int]) -> None:
    policy = ContextPolicy(**limits, summarize=None, recall=None)
    history = [
        {"role": "developer", "content": "Be brief."},
        *(
            {"role": role, "content": f"{role} {turn}"}
            for turn in (1, 2, 3)
            for role in ("user", "assistant")
        ),
        {"role": "user", "content": "And now?"},
    ]
    with serve("qwen", "words") as sim, gate(sim, policy=policy) as one:
        ask(one, history)
        kept = sent(sim)
        assert ("user 1" in str(kept)) == (limits in ({}, {"max_turns": 9}, {"max_messages": 9}))
        answered(one, history, streamed=False)
        assert sent(sim) == kept


@pytest.mark.parametrize(
    "limits", [{"max_turns": most} for most in range(7)] + [{"max_messages": 6}, {}], ids=str
)
@pytest.mark.parametrize("followed", [False, True])
def test_what_is_posted_and_what_is_stored_count_together(limits: dict[str, int], *, followed: bool) -> None:
    policy = ContextPolicy(**limits, summarize=None, recall=None)
    posted = [
        *({"role": role, "content": f"{role} {turn}"} for turn in (4, 5) for role in ("user", "assistant")),
        {"role": "user", "content": "And now?"},
    ]
    with serve("qwen", "words") as sim, gate(sim, policy=policy) as one:
        where: dict[str, Any] = {"conversation": one.openai().conversations.create().id}
        for turn in (1, 2, 3):
            last = ask(one, f"question {turn}", **where)
        if followed:
            where = {"previous_response_id": last.id}
        answered(one, posted, streamed=False, **where)
        aside = sent(sim)
        ask(one, posted, **where)
        assert aside == sent(sim)


@pytest.mark.parametrize("streamed", [False, True])
def test_it_is_asked_for_and_told_like_one_that_is_kept(*, streamed: bool) -> None:
    answer = Answer("Let me see.", reasoning="Hm.", calls=[Call("weather", {"city": "北京"}, id="call_1")])
    with serve("qwen", answer) as sim, gate(sim) as one:
        given: dict[str, Any] = {
            "conversation": one.openai().conversations.create().id,
            "tools": [TOOL],
            "tool_choice": "auto",
            "temperature": 0.5,
            "reasoning": {"effort": "high", "summary": None},
            "metadata": {"a": "b"},
        }
        aside = answered(one, "weather?", streamed=streamed, **given)
        asked = sim.requests[-1].body
        kept = told(one, "weather?", **given)[-1]["response"]
        same = {"stream": streamed, "stream_options": asked.get("stream_options")}
        assert asked == {**sim.requests[-1].body, **same} or not streamed
        assert (asked["tool_choice"], asked["temperature"], asked["enable_thinking"]) == ("auto", 0.5, True)
        assert [each["function"]["name"] for each in asked["tools"]] == ["weather"]
        assert [each["type"] for each in aside["output"]] == ["reasoning", "message", "function_call"]
        assert aside["conversation"] == {"id": given["conversation"]}
        assert aside["completed_at"] >= aside["created_at"]
        own = ("id", "created_at", "completed_at", "store", "output")
        assert {n: v for n, v in aside.items() if n not in own} == {
            n: v for n, v in kept.items() if n not in own
        }


def test_its_events_are_those_of_one_that_is_kept() -> None:
    answer = Answer(
        "Let me see.", reasoning="Hm, hm.", calls=[Call("weather", {"city": "北京"}, id="call_1")]
    )
    with serve("qwen", answer) as sim, gate(sim) as one:
        given: dict[str, Any] = {"tools": [TOOL], "reasoning": {"effort": "high"}}
        aside, kept = (told(one, "hi", store=keeps, **given) for keeps in (False, True))
        assert [each["type"] for each in aside] == [each["type"] for each in kept]
        for name in ("delta", "text", "arguments"):
            assert [each.get(name) for each in aside] == [each.get(name) for each in kept]
        done = [each["item"] for each in aside if each["type"] == "response.output_item.done"]
        assert done == aside[-1]["response"]["output"]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_one_that_was_cut_is_incomplete(finish: str, reason: str, *, streamed: bool) -> None:
    with serve("qwen", Answer("a long answer", finish=finish)) as sim, gate(sim) as one:
        last = answered(one, "hi", streamed=streamed)
        assert (last["status"], last["incomplete_details"]) == ("incomplete", {"reason": reason})
        assert (last["completed_at"], last["output"][0]["status"]) == (None, "incomplete")
        if streamed:
            events = told(one, "hi", store=False)
            assert events[-2]["item"]["status"] == "incomplete"
            assert events[-1]["type"] == "response.incomplete"


def test_one_that_breaks_off_has_failed() -> None:
    with serve("qwen", Answer("a long answer that is cut", cut="end", cut_after=4)) as sim, gate(sim) as one:
        events = told(one, "hi", store=False)
        last = events[-1]["response"]
        assert (events[-1]["type"], last["status"]) == ("response.failed", "failed")
        assert last["error"]["code"] == "server_error"
        assert "stream_cut" in last["error"]["message"]
        assert last["output"] == [events[-2]["item"]]
        assert last["output"][0]["status"] == "incomplete"
        assert "a long" in last["output"][0]["content"][0]["text"]
        sim.script = Script("no", faults=Fault(400))
        for streamed in (False, True):
            with pytest.raises(openai.BadRequestError):
                ask(one, "hi", store=False, stream=streamed)


@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_that_are_not_kept_are_not_told(*, streamed: bool) -> None:
    config = Config(store=":memory:", model=MODEL, keep_reasoning=False)
    with serve("qwen", Answer("Hello.", reasoning="Hm.")) as sim, gate(sim, config=config) as one:
        last = answered(one, "hi", streamed=streamed, reasoning={"effort": "high"})
        assert [each["type"] for each in last["output"]] == ["message"]
        if streamed:
            assert not any("reasoning" in str(each) for each in told(one, "hi", store=False)[2:-1])


@pytest.mark.parametrize("streamed", [False, True])
def test_without_usage_nothing_is_known_of_it(*, streamed: bool) -> None:
    with serve("qwen", Answer("Hello.", usage=False)) as sim, gate(sim) as one:
        assert answered(one, "hi", streamed=streamed)["usage"]["total_tokens"] == 0


@pytest.mark.parametrize("kept", [True, False])
def test_the_threshold_of_a_request_is_its_own(*, kept: bool) -> None:
    small: Any = [{"type": "compaction", "compact_threshold": 1000}]
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "0 " * 500)
        last = ask(one, "1 " * 500, previous_response_id=first.id)
        given: dict[str, Any] = {"input": "x " * 600, "previous_response_id": last.id, "store": kept}
        assert post(one, {**given, "truncation": "disabled"})[0] == 200
        assert len(sent(sim)) == 5
        given["context_management"] = small
        counted = one.post({"model": MODEL, **given, "store": None}, "/v1/responses/input_tokens")[1]
        assert json.loads(counted)["input_tokens"] < 1429
        status, answer, _ = post(one, {**given, "truncation": "disabled"})
        assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")
        assert len(sim.requests) == 3
        assert post(one, given)[0] == 200
        assert len(sim.requests[3].messages) < 5


@pytest.mark.parametrize("streamed", [False, True])
def test_whoever_can_answers_and_is_named(*, streamed: bool) -> None:
    with serve("qwen", Script(faults=Fault(503))) as qwen, serve("kimi", "好") as kimi:
        with gate(qwen, kimi, config=FAST) as one:
            body = {"model": "fast", "input": "hi", "store": False, "stream": streamed}
            _, answer, headers = one.post(body, "/v1/responses")
            assert f'"model":"{TARGETS[1]}"' in answer.decode()
            assert (headers["x-multiturn-route"], headers["x-multiturn-model"]) == ("fast", TARGETS[1])
            assert (len(qwen.requests), len(kimi.requests)) == (1, 1)


def test_a_model_that_only_streams_is_asked_to() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        assert ask(one, "hi", model="qwen/qwq-plus", store=False).output_text == "ok"
        assert sim.requests[-1].body["stream"] is True
        ask(one, "hi", store=False)
        assert not sim.requests[-1].body.get("stream")


def test_what_belongs_to_one_conversation_goes_to_one_key() -> None:
    keys = ("sk-1", "sk-2", "sk-3")
    with serve("qwen", "ok", more_keys=keys) as sim:
        with gate(sim, variables={"DASHSCOPE_API_KEYS": ",".join(keys)}) as one:
            used = []
            for _ in range(4):
                first = ask(one, "hi", conversation=one.openai().conversations.create().id)
                used.append(key_of(sim))
                ask(one, "more", previous_response_id=first.id, store=False)
                assert key_of(sim) == used[-1]


def test_a_picture_aside_goes_where_pictures_go() -> None:
    sees = {"new-model": Model(media=frozenset(("image",)), multimodal_path=True)}
    content: Any = [
        {"type": "input_text", "text": "what?"},
        {"type": "input_image", "image_url": "https://example.com/a.png"},
    ]
    with serve("dashscope", "A cat.", models=sees) as sim, gate(sim) as one:
        message: Any = [{"role": "user", "content": content}]
        assert ask(one, message, model="dashscope/new-model", store=False).output_text == "A cat."
        assert "multimodal-generation" in sim.requests[-1].path


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        ([Delta(calls=(CallPiece(0, "", "weather", "{}"),), finish_reason="tool_calls")], ["function_call"]),
        ([Delta(finish_reason="stop")], []),
        ([], []),
    ],
)
def test_an_answer_aside_that_is_odd_is_told_in_order(line: list[Delta], kinds: list[str]) -> None:
    with gate(provider=ScriptedProvider([line])) as one:
        events = told(one, "weather?", tools=[TOOL], store=False)
        assert [each["type"] for each in events[:2]] == ["response.created", "response.in_progress"]
        assert events[-1]["type"] == "response.completed"
        done = [each["item"] for each in events if each["type"] == "response.output_item.done"]
        assert [each["type"] for each in done] == kinds
        assert [each["type"] for each in events[-1]["response"]["output"]] == kinds


def test_a_client_that_leaves_an_answer_aside_stops_the_model() -> None:
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim) as one:
        with one.socket({"model": MODEL, "input": "hi", "store": False}, path="/v1/responses"):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)


def test_results_aside_are_those_that_are_waited_for() -> None:
    calls = [Call("weather", id=f"call_{each}") for each in (1, 2)]
    with serve("qwen", [Answer(calls=calls), "aside"]) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "weather?", tools=[TOOL], conversation=name)
        for given, code in (
            (["call_1"], "tool_results_incomplete"),
            (["call_1", "call_2", "call_3"], "tool_call_unknown"),
            (["call_1", "call_1"], "tool_call_unknown"),
        ):
            body = {"input": [result(each) for each in given], "conversation": name, "store": False}
            status, answer, _ = post(one, body)
            assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, "input")
        both = [result("call_1"), result("call_2")]
        assert ask(one, both, conversation=name, store=False).output_text == "aside"
        assert [each["role"] for each in sim.requests[-1].messages] == ["user", "assistant", "tool", "tool"]
