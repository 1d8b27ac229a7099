"""A request that names a conversation is a turn of it: the gateway remembers, the client need not."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.gateway.responding import until
from tests.gateway.serving import Gate, gate
from tests.simulators import Answer, Call, Fault, Received, Reply, Script, Simulator, Wire, serve

MODEL = "qwen/qwen-plus"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def send(one: Gate, *messages: Any, to: str = "c1", **given: Any) -> Any:
    """The raw answer of one turn."""
    body = {"conversation": to, **given.pop("extra_body", {})}
    client = one.openai(**given.pop("client", {}))
    return client.chat.completions.with_raw_response.create(
        **{"model": MODEL, "messages": list(messages), "extra_body": body, **given}
    )


def text_of(answer: Any) -> str:
    return str(answer.parse().choices[0].message.content)


def states(one: Gate, name: str = "c1") -> list[str]:
    return [each["state"] for each in json.loads(one.get(f"/v1/conversations/{name}/turns")[1])["data"]]


def asked(sim: Simulator) -> list[tuple[str, Any]]:
    """What the provider was sent last."""
    return [(each["role"], each.get("content")) for each in sim.requests[-1].messages]


@pytest.mark.parametrize("named", ["header", "text", "object"])
def test_a_conversation_is_named_in_three_ways(named: str) -> None:
    ways: dict[str, dict[str, Any]] = {
        "header": {"extra_headers": {"X-Conversation-Id": "c1"}},
        "text": {"extra_body": {"conversation": "c1"}},
        "object": {"extra_body": {"conversation": {"id": "c1"}}},
    }
    way = ways[named]
    with serve("qwen") as sim, gate(sim) as one:
        create = one.openai().chat.completions.create
        create(model=MODEL, messages=[{"role": "user", "content": "My name is Ada."}], **way)
        reply = create(model=MODEL, messages=[{"role": "user", "content": "What is my name?"}], **way)
        assert "Ada" in str(reply.choices[0].message.content)


def test_a_stream_remembers_too() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        send(one, user("My name is Ada."))
        stream: Any = one.openai().chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is my name?"}],
            stream=True,
            extra_body={"conversation": "c1"},
        )
        chunks = list(stream)
        assert "Ada" in "".join(each.choices[0].delta.content or "" for each in chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert len({each.id for each in chunks}) == 1


def test_usage_of_a_stream_comes_only_when_asked() -> None:
    with serve("qwen", "27.") as sim, gate(sim) as one:
        for options, expected in ((None, 0), ({"include_usage": True}, 1)):
            stream: Any = one.openai().chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                extra_body={"conversation": "c1"},
                stream_options=options,  # type: ignore[arg-type]  # plain dictionaries
            )
            assert sum(not each.choices for each in stream) == expected


def test_posted_history_is_ignored_and_counted() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, user("one"))
        answer = send(one, user("never said"), said("never answered"), user("two"))
        assert answer.headers["x-multiturn-ignored"] == "2"
        assert asked(sim) == [("user", "one"), ("assistant", "ok"), ("user", "two")]


def test_posted_instructions_are_those_in_force_until_others_are_posted() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, {"role": "system", "content": "Be kind."}, user("one"))
        send(one, user("two"))
        assert asked(sim)[0] == ("system", "Be kind.")
        send(one, {"role": "system", "content": "Be brief."}, user("one"), said("ok"), user("three"))
        assert asked(sim)[0] == ("system", "Be brief.")
        assert [role for role, _ in asked(sim)].count("system") == 1


def test_several_new_messages_are_one_turn() -> None:
    with serve("kimi", "ok") as sim, gate(sim) as one:
        send(one, user("one"), user("and more"), model="kimi/kimi-k2.6")
        assert asked(sim) == [("user", "one"), ("user", "and more")]
        assert states(one) == ["completed"]


def test_results_of_tools_go_on_with_the_waiting_turn() -> None:
    script: list[Reply | Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("qwen", script) as sim, gate(sim) as one:
        answer = send(one, user("How is the weather?"), tools=[TOOL])
        message = answer.parse().choices[0].message
        assert states(one) == ["waiting"]
        call = {"role": "assistant", "content": None, "tool_calls": [message.tool_calls[0].to_dict()]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
        reply = send(one, user("How is the weather?"), call, result, tools=[TOOL])
        assert text_of(reply) == "It is sunny."
        assert reply.headers["x-multiturn-turn"] == "1"
        assert reply.headers["x-multiturn-ignored"] == "2"
        assert states(one) == ["completed"]


def test_results_with_words_behind_them_go_on_with_the_waiting_turn() -> None:
    script: list[Reply | Any] = [Answer(calls=[Call("weather", id="call_1")]), "It is sunny."]
    with serve("kimi", script) as sim, gate(sim) as one:
        model = "kimi/kimi-k2.6"
        message = send(one, user("weather?"), tools=[TOOL], model=model).parse().choices[0].message
        call = {"role": "assistant", "content": None, "tool_calls": [message.tool_calls[0].to_dict()]}
        result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
        reply = send(one, user("weather?"), call, result, user("briefly"), tools=[TOOL], model=model)
        assert [role for role, _ in asked(sim)] == ["user", "assistant", "tool", "user"]
        assert asked(sim)[2:] == [("tool", "sunny"), ("user", "briefly")]
        assert reply.headers["x-multiturn-ignored"] == "2"
        assert states(one) == ["completed"]


def test_which_tool_is_to_be_called_is_handed_on() -> None:
    with serve("qwen", "sunny") as sim, gate(sim) as one:
        send(one, user("How is the weather?"), tools=[TOOL], tool_choice="none")
        assert sim.requests[-1].body["tool_choice"] == "none"


def test_a_call_streams_as_the_sdk_wants_it() -> None:
    with (
        serve("qwen", Answer(calls=[Call("weather", {"city": "北京"}, id="call_1")])) as sim,
        gate(sim) as one,
    ):
        with one.openai().chat.completions.stream(
            model=MODEL,
            messages=[{"role": "user", "content": "weather?"}],
            tools=[TOOL],  # type: ignore[list-item]  # plain dictionaries
            extra_body={"conversation": "c1"},
        ) as stream:
            for _ in stream:
                pass
            calls = stream.get_final_completion().choices[0].message.tool_calls
        assert calls is not None
        assert (calls[0].id, calls[0].function.name) == ("call_1", "weather")
        assert json.loads(calls[0].function.arguments) == {"city": "北京"}


def test_results_of_calls_that_nobody_made_are_refused_without_being_stored() -> None:
    result = {"role": "tool", "tool_call_id": "call_9", "content": "sunny"}
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, user("one"))
        with pytest.raises(openai.BadRequestError) as caught:
            send(one, user("one"), result)
        assert caught.value.code == "tool_call_unknown"
        assert states(one) == ["completed"]


def test_headers_tell_what_was_sent() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        told = send(one, user("one"), to="对话").headers
        assert told["x-conversation-id"] == "对话"
        assert told["x-multiturn-turn"] == "1"
        assert told["x-multiturn-turn-id"].startswith("turn_")
        assert told["x-multiturn-model"] == MODEL
        assert int(told["x-multiturn-context-tokens"]) > 0
        assert told["x-multiturn-left-out"] == "0"
        assert told["x-multiturn-ignored"] == "0"


def test_a_header_cannot_be_made_by_the_name_of_a_conversation() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        told = send(one, user("one"), to="a\r\nx-evil: 1").headers
        assert "x-evil" not in told


def test_what_the_provider_does_not_know_is_left_out_and_named() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        answer = send(one, user("one"), service_tier="auto", temperature=0.5, metadata={"a": "b"})
        assert answer.headers["x-multiturn-dropped"] == "metadata, service_tier"
        body = sim.requests[0].body
        assert body["temperature"] == 0.5
        assert not {"service_tier", "metadata", "conversation", "user"} & body.keys()


@pytest.mark.parametrize("kept", [True, False])
def test_what_no_answer_could_tell_is_not_asked_for_and_named(kept: bool) -> None:
    functions: Any = [{"name": "weather", "parameters": {"type": "object", "properties": {}}}]
    with serve("openai", "ok") as sim, gate(sim) as one:
        answer = send(
            one,
            user("one"),
            model="openai/gpt-4.1",
            store=kept,
            functions=functions,
            function_call="auto",
            logprobs=True,
            top_logprobs=2,
            prompt_cache_options={"ttl": "30m"},
        )
        named = ["function_call", "functions", "logprobs", "top_logprobs"]
        assert answer.headers["x-multiturn-dropped"].split(", ") == named
        assert not {*named} & sim.requests[0].body.keys()
        assert sim.requests[0].body["prompt_cache_options"] == {"ttl": "30m"}


def test_nothing_is_kept_of_a_question_beside_the_conversation() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        send(one, user("My name is Ada."))
        aside = send(one, user("What is my name?"), store=False)
        assert "Ada" in text_of(aside)
        assert states(one) == ["completed"]
        assert "x-multiturn-turn" not in aside.headers
        send(one, user("hello"), store=False, to="never made")
        assert one.get("/v1/conversations/never%20made")[0] == 404


def test_users_do_not_see_each_other() -> None:
    with serve("qwen") as sim, gate(sim) as one:
        send(one, user("My name is Ada."), user="ada")
        with pytest.raises(openai.NotFoundError):
            send(one, user("What is my name?"), user="bob")
        assert "Ada" in text_of(send(one, user("What is my name?"), user="ada"))


def test_two_equal_requests_are_two_turns() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, user("继续"))
        send(one, user("继续"))
        assert states(one) == ["completed", "completed"]


def test_a_silent_repeat_after_a_failure_is_the_same_turn() -> None:
    faults = {number: Fault(503) for number in range(1, 4)}
    with serve("qwen", Script("ok", faults=faults)) as sim, gate(sim) as one:
        body = {"model": MODEL, "messages": [user("one")], "conversation": "c1"}
        status, _, headers = one.post(body)
        assert (status, headers["x-should-retry"]) == (
            503,
            "false",
        )  # we have tried enough; some do all the same
        status, answer, _ = one.post(body, x_stainless_retry_count="1")
        assert (status, json.loads(answer)["choices"][0]["message"]["content"]) == (200, "ok")
        assert states(one) == ["completed"]
        assert asked(sim) == [("user", "one")]


def test_a_silent_repeat_while_the_first_still_runs_joins_it() -> None:
    with serve("qwen", Script("a slow answer", wire=Wire(first=2))) as sim, gate(sim) as one:
        body = {"model": MODEL, "messages": [user("one")], "conversation": "c1"}
        first: list[Any] = []
        thread = threading.Thread(target=lambda: first.append(one.post(body)))
        thread.start()
        until(lambda: bool(sim.requests))
        status, second, _ = one.post(body, x_stainless_retry_count="1")
        thread.join()
        assert (status, first[0][0]) == (200, 200)
        assert json.loads(second)["id"] == json.loads(first[0][1])["id"]
        assert states(one) == ["completed"]
        assert len(sim.requests) == 1


def test_a_silent_repeat_of_a_request_whose_client_gave_up_makes_no_second_turn() -> None:
    answers: list[Reply] = [Answer("never seen", stall=20), "ok"]

    def script(received: Received) -> Reply:
        return answers[min(len(seen(received)), 1)]

    def seen(_: Received) -> list[Any]:
        return sim.requests[1:]

    with serve("qwen", script) as sim, gate(sim) as one:
        reply = send(one, user("one"), client={"max_retries": 1, "timeout": 3.0})
        assert text_of(reply) == "ok"
        assert states(one) == ["completed"]
        assert asked(sim) == [("user", "one")]


def test_an_answer_that_was_told_whole_is_not_told_again() -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        create = one.openai().chat.completions.create
        body: Any = {"model": MODEL, "messages": [user("继续")], "extra_body": {"conversation": "c1"}}
        assert create(**body).choices[0].message.content == "first"
        again = create(**body, extra_headers={"x-stainless-retry-count": "1"})
        assert again.choices[0].message.content == "second"


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_was_lost_on_its_way_is_told_again(*, streamed: bool) -> None:
    with serve("qwen", ["uno", "due"]) as sim, gate(sim) as one:
        body = {"model": MODEL, "messages": [user("继续")], "conversation": "c1", "stream": streamed}
        with one.socket(body, "content-type: application/json"):
            until(lambda: one.get("/v1/conversations/c1")[0] == 200 and states(one) == ["completed"])
        assert b"uno" in one.post(body, x_stainless_retry_count="1")[1]
        assert b"due" in one.post(body)[1]
        assert states(one) == ["completed", "completed"]


def test_a_request_key_replays_its_turn_and_refuses_another_input() -> None:
    with serve("qwen", ["first", "second"]) as sim, gate(sim) as one:
        key: Any = {"extra_headers": {"Idempotency-Key": "k1"}}
        assert text_of(send(one, user("one"), **key)) == "first"
        assert text_of(send(one, user("one"), **key)) == "first"
        with pytest.raises(openai.UnprocessableEntityError):
            send(one, user("another"), **key)
        assert states(one) == ["completed"]


@pytest.mark.parametrize(
    "answer", ["words", Answer(reasoning="thinking", text="words"), Answer(calls=(Call("weather"),))]
)
def test_a_request_key_replays_its_answer_byte_for_byte(answer: Any) -> None:
    with serve("qwen", answer) as sim, gate(sim) as one:
        body = {"model": MODEL, "messages": [user("one")], "conversation": "c1", "tools": [TOOL]}
        first = one.post(body, idempotency_key="k1")[1]
        time.sleep(1.1)  # another second: an answer tells when it was made
        assert one.post(body, idempotency_key="k1")[1] == first
        assert len(sim.requests) == 1


def test_a_conversation_that_is_busy_says_so_in_openais_words() -> None:
    from multiturn.config import Config, Timing

    config = Config(store=":memory:", model=MODEL, timing=Timing(queue=0.2))
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, config=config) as one:
        thread = threading.Thread(target=send, args=(one, user("one")))
        thread.start()
        until(lambda: bool(sim.requests))
        status, body, headers = one.post({"model": MODEL, "messages": [user("two")], "conversation": "c1"})
        thread.join()
        error = json.loads(body)["error"]
        assert (status, error["code"], error["param"]) == (400, "conversation_locked", "conversation")
        assert (headers["x-should-retry"], headers["retry-after-ms"]) == ("true", "200")


def test_a_provider_that_fails_in_the_middle_leaves_what_arrived() -> None:
    with serve("qwen", Answer("a long answer that is cut", cut="end", cut_after=4)) as sim, gate(sim) as one:
        stream = one.openai().chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "one"}],
            stream=True,
            extra_body={"conversation": "c1"},
        )
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "stream_cut"
        assert states(one) == ["incomplete"]


def test_a_refusal_of_the_model_is_told_piece_by_piece() -> None:
    words = "I would rather not say that."
    with serve("qwen", Answer(refusal=words)) as sim, gate(sim) as one:
        stream: Any = one.openai().chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "x"}],
            stream=True,
            extra_body={"conversation": "c1"},
        )
        pieces = [each.choices[0].delta.refusal or "" for each in stream]
        assert len(pieces) > 3
        assert "".join(pieces) == words


def test_a_refusal_of_the_provider_has_its_status() -> None:
    with serve("qwen", Script("no", faults=Fault(400))) as sim, gate(sim) as one:
        for stream in (False, True):
            with pytest.raises(openai.BadRequestError):
                send(one, user("one"), stream=stream)
        assert states(one) == ["failed", "failed"]


def test_the_server_may_start_anew_in_between(tmp_path: Path) -> None:
    with serve("qwen") as sim:
        for text in ("My name is Ada.", "What is my name?"):
            with gate(sim, store=tmp_path / "chats.db") as one:
                answer = text_of(send(one, user(text)))
        assert "Ada" in answer
