"""Responses over real HTTP: the official client finds what it wants, and the gateway remembers."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.responding import MODEL, TOOL, ask, chunks, post, result, sent, told
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Fault, Script, Wire, serve

from multiturn.config import Config, Timing

REQUIRED = (
    *("temperature", "top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "truncation"),
    *("service_tier", "store", "background", "text", "tools", "tool_choice"),
)
NULLABLE = (
    *("completed_at", "incomplete_details", "previous_response_id", "instructions", "error", "reasoning"),
    *("usage", "max_output_tokens", "max_tool_calls", "safety_identifier", "prompt_cache_key"),
)


def test_a_response_has_every_field_of_both_specifications() -> None:
    with serve("qwen", "Hello.") as sim, gate(sim) as one:
        _, body, _ = post(one, {"input": "hi"})
        assert [name for name in REQUIRED if body.get(name) is None] == []
        assert [name for name in NULLABLE if name not in body] == []
        assert body["id"].startswith("resp_")
        assert body["status"] == "completed"
        assert isinstance(body["completed_at"], int)
        item = body["output"][0]
        assert item["id"].startswith("msg_")
        assert item["content"] == [
            {"type": "output_text", "text": "Hello.", "annotations": [], "logprobs": []}
        ]
        assert body["usage"]["input_tokens_details"].keys() == {"cached_tokens", "cache_write_tokens"}
        assert body["usage"]["output_tokens_details"].keys() == {"reasoning_tokens"}


def test_a_response_that_follows_another_remembers_it() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        first = ask(one, "My name is Ada.")
        second = ask(one, "What is my name?", previous_response_id=first.id)
        assert "Ada" in second.output_text
        assert second.previous_response_id == first.id


def test_one_that_follows_nothing_knows_nothing() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        ask(one, "My name is Ada.")
        ask(one, "What is my name?")
        assert sent(sim) == [("user", "What is my name?")]


def test_followers_of_one_response_do_not_see_each_other() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "root")
        left = ask(one, "left", previous_response_id=first.id)
        right = ask(one, "right", previous_response_id=first.id)
        ask(one, "more left", previous_response_id=left.id)
        assert sent(sim) == [
            ("user", "root"),
            ("assistant", "ok"),
            ("user", "left"),
            ("assistant", "ok"),
            ("user", "more left"),
        ]
        ask(one, "more right", previous_response_id=right.id)
        assert [text for _, text in sent(sim)] == ["root", "ok", "right", "ok", "more right"]
        assert len({left.id, right.id, first.id}) == 3


def test_the_slower_of_two_followers_that_race_makes_a_branch() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "root")
        sim.script = Script("slow", wire=Wire(first=0.5))
        found: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda text=text: found.append(ask(one, text, previous_response_id=first.id))
            )
            for text in ("a", "b", "c")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        histories = sorted([each["content"] for each in asked.messages] for asked in sim.requests[1:])
        assert histories == [["root", "ok", text] for text in ("a", "b", "c")]
        assert len({each.id for each in found}) == 3


def test_those_that_follow_the_same_response_do_not_wait_for_each_other() -> None:
    config = Config(store=":memory:", model=MODEL, timing=Timing(queue=0.05))
    with serve("qwen", "ok") as sim, gate(sim, config=config) as one:
        root = ask(one, "root")
        sim.script = Script("slow", wire=Wire(first=1.0))
        found: list[int] = []

        def follow(text: str) -> None:
            found.append(post(one, {"input": text, "previous_response_id": root.id})[0])

        threads = [threading.Thread(target=follow, args=(f"n{n}",)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200] * 6
        assert sorted(each.messages[-1]["content"] for each in sim.requests[1:]) == [
            f"n{n}" for n in range(6)
        ]


def test_a_branch_beside_a_conversation_leaves_it_where_it_was() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        first = ask(one, "one", conversation=name)
        ask(one, "two", conversation=name)
        ask(one, "aside", previous_response_id=first.id)
        ask(one, "three", conversation=name)
        assert [text for _, text in sent(sim)] == ["one", "ok", "two", "ok", "three"]


@pytest.mark.parametrize("shape", ["text", "object"])
def test_a_conversation_is_named_in_two_ways(shape: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        named: Any = name if shape == "text" else {"id": name}
        ask(one, "My name is Ada.", conversation=named)
        response = ask(one, "What is my name?", conversation=named)
        assert "Ada" in response.output_text
        assert response.conversation.id == name


def test_a_conversation_that_is_not_there_is_not_made() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        with pytest.raises(openai.NotFoundError) as caught:
            ask(one, "hi", conversation="conv_never")
        assert caught.value.code == "conversation_not_found"
        assert caught.value.param == "conversation"
        assert not sim.requests


def test_what_is_followed_must_be_there() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        unknown = "resp_01JCXV3Q8Z0000000000000000_0_1_1"
        mine = ask(one, "mine", user="ada").id
        answers = [
            post(one, {"input": "hi", "previous_response_id": known, "user": user})
            for known, user in (("resp_nothing", "bob"), (unknown, "bob"), (mine, "bob"), ("msg_x", "bob"))
        ]
        assert [status for status, _, _ in answers] == [400] * 4
        assert {str(body) for _, body, _ in answers} == {str(answers[0][1])}
        error = answers[0][1]["error"]
        assert (error["code"], error["param"]) == ("previous_response_not_found", "previous_response_id")
        assert set(error) == {"message", "type", "param", "code"}


def test_a_conversation_and_a_previous_response_exclude_each_other() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one")
        with pytest.raises(openai.BadRequestError) as caught:
            ask(one, "two", previous_response_id=first.id, conversation="conv_1")
        assert caught.value.code == "mutually_exclusive_parameters"


def test_instructions_are_for_one_response_only() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, "one", instructions="Be kind.")
        assert sent(sim)[0] == ("system", "Be kind.")
        assert first.instructions == "Be kind."
        second = ask(one, "two", previous_response_id=first.id, instructions="Be brief.")
        assert [text for role, text in sent(sim) if role == "system"] == ["Be brief."]
        third = ask(one, "three", previous_response_id=second.id)
        assert "system" not in [role for role, _ in sent(sim)]
        assert third.instructions is None


def test_the_instructions_of_a_conversation_stay_when_a_response_has_its_own() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        head = [{"role": "system", "content": "Sell phones."}, {"role": "user", "content": "hi"}]
        one.post({"model": MODEL, "messages": head, "conversation": "c1"})
        ask(one, "one", conversation="c1")
        assert sent(sim)[0] == ("system", "Sell phones.")
        ask(one, "two", conversation="c1", instructions="Be brief.")
        assert [text for role, text in sent(sim) if role == "system"] == ["Be brief."]
        ask(one, "three", conversation="c1")
        assert [text for role, text in sent(sim) if role == "system"] == ["Sell phones."]


def test_a_history_that_is_posted_is_turns_and_the_last_words_are_new() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        history: Any = [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "two"},
            {"role": "user", "content": [{"type": "input_text", "text": "three"}]},
        ]
        response = ask(one, history)
        assert sent(sim) == [
            ("system", "Be kind."),
            ("user", "one"),
            ("assistant", "two"),
            ("user", "three"),
        ]
        assert response.id.endswith("_0_2_1")
        ask(one, "four", previous_response_id=response.id)
        assert [text for _, text in sent(sim)] == ["Be kind.", "one", "two", "three", "ok", "four"]


def test_results_of_tools_go_on_with_the_turn_that_waits() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")]), "It is sunny.", "ok"]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        call = first.output[0]
        assert (call.type, call.call_id, call.arguments) == ("function_call", "call_1", '{"city": "北京"}')
        assert call.id.startswith("fc_")
        assert [tool.to_dict() for tool in first.tools] == [TOOL]
        function = {"name": "weather", "parameters": TOOL["parameters"]}
        assert sim.requests[0].body["tools"] == [{"type": "function", "function": function}]
        second = ask(one, [result("call_1")], previous_response_id=first.id, tools=[TOOL])
        assert second.output_text == "It is sunny."
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]
        third = ask(one, "thanks", previous_response_id=second.id)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool", "assistant", "user"]
        assert third.previous_response_id == second.id


def test_results_may_come_with_their_calls_and_with_words() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        items: Any = [*first.output, result("call_1"), {"role": "user", "content": "briefly"}]
        ask(one, items, previous_response_id=first.id)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool", "user"]


def test_a_whole_tool_loop_may_be_posted_at_once() -> None:
    with serve("qwen", "It is sunny.") as sim, gate(sim) as one:
        call: Any = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"}
        ask(one, [{"role": "user", "content": "weather?"}, call, result("call_1")], tools=[TOOL])
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]


def test_results_in_a_conversation_find_the_turn_that_waits() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("qwen", script) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "weather?", conversation=name, tools=[TOOL])
        assert ask(one, [result("call_1")], conversation=name).output_text == "It is sunny."
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]


def test_a_turn_that_is_sent_again_with_the_results_of_its_steps_is_not_said_twice() -> None:
    calls = [Answer(calls=[Call("weather", id=f"call_{each}")]) for each in (1, 2)]
    question: Any = {"role": "user", "content": [{"type": "input_text", "text": "weather?"}]}
    script = Script([*calls, "It is sunny.", "ok"], faults={3: Fault(400)})
    with serve("qwen", script) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, [question], conversation=name, tools=[TOOL])
        ask(one, [question, result("call_1")], conversation=name)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]
        both = [question, result("call_1"), result("call_2", "warm")]
        with pytest.raises(openai.BadRequestError):
            ask(one, both, conversation=name)
        assert ask(one, both, conversation=name).output_text == "It is sunny."
        steps = [("assistant", None), ("tool", "sunny"), ("assistant", None), ("tool", "warm")]
        assert [(role, None if role == "user" else text) for role, text in sent(sim)] == [
            ("user", None),
            *steps,
        ]


def test_words_beside_results_that_are_new_are_heard() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "ok", "ok"]
    with serve("qwen", script) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "weather?", conversation=name, tools=[TOOL])
        ask(one, [{"role": "user", "content": "briefly"}, result("call_1")], conversation=name)
        assert sent(sim)[-1] == ("user", "briefly")
        ask(one, "weather?", conversation=name)
        assert sent(sim)[-1] == ("user", "weather?")


def test_other_results_for_the_same_calls_make_a_branch_inside_the_turn() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "sun", "rain", "ok"]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        sun = ask(one, [result("call_1", "sun")], previous_response_id=first.id)
        rain = ask(one, [result("call_1", "rain")], previous_response_id=first.id)
        assert (sun.output_text, rain.output_text) == ("sun", "rain")
        assert [text for _, text in sent(sim)] == ["weather?", None, "rain"]
        ask(one, "thanks", previous_response_id=sun.id)
        assert [text for _, text in sent(sim)] == ["weather?", None, "sun", "sun", "thanks"]


def test_words_instead_of_results_leave_the_calls_behind() -> None:
    script: list[Any] = [Answer(calls=[Call("weather", id="call_1")]), "ok", "late"]
    with serve("qwen", script) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        assert ask(one, "never mind", previous_response_id=first.id).output_text == "ok"
        late = ask(one, [result("call_1")], previous_response_id=first.id)
        assert [text for _, text in sent(sim)] == ["weather?", None, "sunny"]
        assert late.output_text == "late"


@pytest.mark.parametrize("given", [["call_1"], ["call_1", "call_2", "call_3"], ["call_9"]])
def test_a_set_of_results_that_does_not_fit_is_refused(given: list[str]) -> None:
    answer = Answer(calls=[Call("weather", id="call_1"), Call("weather", id="call_2")])
    with serve("qwen", [answer, "ok"]) as sim, gate(sim) as one:
        first = ask(one, "weather?", tools=[TOOL])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(one, [result(each) for each in given], previous_response_id=first.id)
        assert caught.value.code in ("tool_results_incomplete", "tool_call_unknown")
        assert caught.value.param == "input"
        both = [result("call_1"), result("call_2")]
        assert ask(one, both, previous_response_id=first.id).output_text == "ok"


def test_a_failed_answer_to_results_can_be_asked_for_again() -> None:
    script = Script([Answer(calls=[Call("weather", id="call_1")]), "ok", "ok"], faults={2: Fault(400)})
    with serve("qwen", script) as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        ask(one, "weather?", conversation=name, tools=[TOOL])
        with pytest.raises(openai.BadRequestError):
            ask(one, [result("call_1")], conversation=name)
        ask(one, [result("call_1")], conversation=name)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool"]
        ask(one, "thanks", conversation=name)
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool", "assistant", "user"]


def test_a_stored_response_is_fetched_as_it_was_answered(tmp_path: Path) -> None:
    with serve("qwen", Answer("Hello.", reasoning="Hm.")) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            first = ask(one, "hi", metadata={"a": "b"}, temperature=0.5, tools=[TOOL])
            events = told(one, "hi", previous_response_id=first.id)
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert one.openai().responses.retrieve(first.id).to_dict() == first.to_dict()
            last = events[-1]["response"]
            assert one.openai().responses.retrieve(last["id"]).to_dict() == last
            assert chunks(one.openai().responses.retrieve(last["id"], stream=True)) == events
            assert ask(one, "what?", previous_response_id=last["id"]).previous_response_id == last["id"]
