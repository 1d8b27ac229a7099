"""The official package for Node.js works on responses of the gateway, as it does on OpenAI's."""

from __future__ import annotations

import json

import pytest
from tests.gateway.clients.models import CITIES, forecaster
from tests.gateway.clients.nodejs import REFUSALS, Node, is_refusal
from tests.gateway.responding import sent, until
from tests.gateway.serving import gate
from tests.simulators import Answer, Received, Reply, Script, Wire, serve

from multiturn.config import Config, Timing

FILE = "openai_responses"
SUNNY = " ".join(f"It is sunny in {city}." for city in CITIES)
MODELS = ["qwen/qwen-plus", "kimi/kimi-k2.6", "dashscope/qwen-plus", "openai/gpt-4.1"]
LONG = "a very long answer " * 50


def test_it_answers(node: Node) -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "whole")
        assert got["output_text"] == "a longer answer"
        assert got["usage"]["output_tokens"] > 0
        assert sent(sim) == [("system", "Be brief."), ("user", "Hello")]


def test_it_streams(node: Node) -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        events = node.tell(one, FILE, "streamed")
        assert [each["sequence_number"] for each in events] == list(range(len(events)))
        assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
        words = [each["delta"] for each in events if each["type"] == "response.output_text.delta"]
        assert "".join(words) == "a longer answer"


def test_its_helper_folds_the_events(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "streamedByItsHelper")
        assert got["words"] == "I must look."
        assert [each["type"] for each in got["output"]] == ["reasoning", "function_call", "function_call"]
        assert json.loads(got["call"]) == json.loads(got["output"][-1]["arguments"]) == {"city": CITIES[-1]}


@pytest.mark.parametrize("model", MODELS)
def test_a_response_goes_on_with_the_one_before(node: Node, model: str) -> None:
    with serve(model.partition("/")[0]) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "follows", model)
        assert "Ada" not in got.pop("beside")
        assert len(got) == 3
        assert all("Ada" in each for each in got.values())


def test_a_response_goes_on_in_a_conversation(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "conversation")
        assert "Ada" in got["said"]
        assert got["same"] is True


@pytest.mark.parametrize("way", ["callsTools", "callsToolsStreamed", "callsToolsInAConversation"])
@pytest.mark.parametrize("model", MODELS)
def test_tools_are_called_from_response_to_response(node: Node, model: str, way: str) -> None:
    with serve(model.partition("/")[0], forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, way, model)
        assert got["kinds"][-2:] == ["function_call", "function_call"]
        assert got["told"] == SUNNY
        assert "Ada" in got["remembered"]


def test_a_client_may_keep_everything_itself(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "callsToolsUnstored")
        assert got == {"kinds": ["reasoning", "function_call", "function_call"], "told": SUNNY, "gone": 404}
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "tool", "tool"]


def test_a_stream_is_told_again_from_anywhere(node: Node) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "toldAgain")
        assert got["again"] == got["events"]
        assert got["rest"] == got["events"][4:]
        assert got["helped"] == list(range(4, len(got["events"])))
        assert got["id"] is True


def test_a_response_is_made_in_the_background(node: Node) -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "inTheBackground")
        assert got == {"first": "queued", "last": "completed", "said": "a longer answer"}


def test_one_in_the_background_can_be_stopped(node: Node) -> None:
    with serve("qwen", Script(LONG, wire=Wire(between=0.1))) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "cancelled") == {"status": "cancelled", "last": "response.incomplete"}
        until(lambda: sim.requests[0].left)


def test_a_response_is_kept_until_it_is_deleted(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "kept")
        assert got["same"] is True
        assert got["topic"] == "names"
        assert [each["content"][0]["text"] for each in got["items"]][-1] == "What is my name?"
        assert (got["gone"]["class"], got["gone"]["status"]) == ("NotFoundError", 404)


def test_it_counts_and_compacts(node: Node) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "counted")
        assert got["counting"]["object"] == "response.input_tokens"
        assert got["counting"]["input_tokens"] > 0
        assert got["kinds"][-1] == "compaction"
        ((role, text),) = sent(sim)  # the summary, and what is asked
        assert role == "user"
        assert text.startswith("[Earlier in this conversation")
        assert text.endswith("What is my name?")


def test_an_answer_may_have_a_type(node: Node) -> None:
    with serve("openai", '{"name": "Ada", "age": 27}') as sim, gate(sim) as one:
        assert node.tell(one, FILE, "typed", "openai/gpt-4.1") == [{"name": "Ada", "age": 27}] * 2
        assert sim.requests[0].body["response_format"]["json_schema"]["strict"] is True


def test_pictures_go_through(node: Node) -> None:
    with serve("openai", "a cat") as sim, gate(sim) as one:
        assert node.tell(one, FILE, "seesPictures", "openai/gpt-4.1")["output_text"] == "a cat"
        image = sim.requests[0].messages[0]["content"][1]["image_url"]
        assert image["url"] == "https://example.com/cat.png"


@pytest.mark.parametrize("kind", REFUSALS)
def test_refusals_of_the_provider_are_the_packages_own_errors(node: Node, kind: str) -> None:
    fault, name = REFUSALS[kind]
    with serve("qwen", Script("no", faults=fault)) as sim, gate(sim) as one:
        is_refusal(node.tell(one, FILE, "refused"), name, fault.status)


@pytest.mark.parametrize(
    ("way", "name", "code", "param"),
    [
        (
            "refusedForWhatItFollows",
            "BadRequestError",
            "previous_response_not_found",
            "previous_response_id",
        ),
        ("refusedForItsConversation", "NotFoundError", "conversation_not_found", "conversation"),
        ("refusedForItsId", "NotFoundError", "response_not_found", "response_id"),
        ("refusedForItsBody", "BadRequestError", "items_missing", "input"),
    ],
)
def test_refusals_of_the_gateway_are_too(node: Node, way: str, name: str, code: str, param: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, way)
        assert (got["class"], got["code"], got["param"]) == (name, code, param)
        assert got["type"] == "invalid_request_error"
        assert sim.requests == []


def test_a_conversation_that_is_busy_says_so_in_openais_words(node: Node) -> None:
    config = Config(store=":memory:", model="qwen/qwen-plus", timing=Timing(queue=0.2))
    with serve("qwen", Script("slow", wire=Wire(first=3))) as sim, gate(sim, config=config) as one:
        got = node.tell(one, FILE, "refusedWhereItIsBusy")
        assert (got["found"]["class"], got["found"]["code"]) == ("BadRequestError", "conversation_locked")
        assert got["said"] == "slow"


def test_an_answer_that_breaks_off_has_failed(node: Node) -> None:
    answer = Answer("a long answer that is cut", cut="end", cut_after=4, stall=0.3, stall_after=2)
    with serve("qwen", answer) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "brokenOff")
        assert got["events"][-1] == "response.failed"
        assert got["helped"] == "failed"


def test_what_it_repeats_by_itself_is_one_turn(node: Node) -> None:
    asked_for: list[Received] = []

    def slow_at_first(received: Received) -> Reply:
        asked_for.append(received)
        return Answer("never seen", stall=20) if len(asked_for) == 1 else "ok"

    with serve("qwen", slow_at_first) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "givesUpAndRepeats") == {"said": "ok", "items": ["user", "assistant"]}
        assert sent(sim) == [("user", "My name is Ada.")]


def test_a_client_that_leaves_stops_the_model(node: Node) -> None:
    with serve("qwen", Script(LONG, wire=Wire(between=0.1))) as sim, gate(sim) as one:
        assert node.tell(one, FILE, "leaves") is True
        until(lambda: sim.requests[0].left)
