"""The AI SDK (``ai`` with ``@ai-sdk/openai``) works on responses of the gateway, as it does on OpenAI's."""

from __future__ import annotations

import pytest
from tests.gateway.clients.models import CITIES, forecaster
from tests.gateway.clients.nodejs import Node
from tests.gateway.completions.test_stateful import states
from tests.gateway.responding import sent, until
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Fault, Received, Reply, Script, Wire, remember, serve

FILE = "ai_sdk"
SUNNY = " ".join(f"It is sunny in {city}." for city in CITIES)
MODELS = ["qwen/qwen-plus", "kimi/kimi-k2.6", "dashscope/qwen-plus", "openai/gpt-4.1"]
LONG = "a very long answer " * 50

both_ways = pytest.mark.parametrize("way", ["", "Streamed"])


@both_ways
def test_it_answers(node: Node, way: str) -> None:
    with serve("qwen", "a longer answer") as sim, gate(sim) as one:
        got = node.tell(one, FILE, f"answers{way}")
        assert got["text"] == got["words"] == "a longer answer"
        assert got["finishReason"] == "stop"
        assert got["usage"]["totalTokens"] == got["usage"]["inputTokens"] + got["usage"]["outputTokens"] > 0
        assert got["id"].startswith("resp_")
        assert sent(sim) == [("system", "Be brief."), ("user", "Hello")]
        assert sim.requests[0].body["temperature"] == 0.5
        assert sim.requests[0].body["max_tokens"] == 100


@both_ways
def test_thoughts_are_told(node: Node, way: str) -> None:
    with serve("qwen", Answer("Hello.", reasoning="Let me think.")) as sim, gate(sim) as one:
        assert node.tell(one, FILE, f"thinks{way}") == {"text": "Hello.", "reasoningText": "Let me think."}


@both_ways
@pytest.mark.parametrize("behaviour", ["follows", "conversation", "refersToItsAnswers"])
def test_the_gateway_remembers(node: Node, behaviour: str, way: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "Ada" in node.tell(one, FILE, behaviour + way)
        said = ["My name is Ada.", "What is my name?"]
        assert [text for role, text in sent(sim) if role == "user"] == said


def test_it_remembers_only_what_it_is_told_to(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "Ada" not in node.tell(one, FILE, "forgets")


TOOLS = ["callsTools", "callsToolsUnstored", "callsToolsAfterAResponse", "callsToolsInAConversation"]


@both_ways
@pytest.mark.parametrize("behaviour", TOOLS)
def test_tools_are_called_step_by_step(node: Node, behaviour: str, way: str) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, behaviour + way)
        assert (got["text"], got["steps"]) == (SUNNY, 2)
        before = ["user", "assistant"] if behaviour not in TOOLS[:2] else []
        assert [role for role, _ in sent(sim)] == [*before, "user", "assistant", "tool", "tool"]
        assert [text for role, text in sent(sim) if role == "tool"] == SUNNY.replace(". ", ".|").split("|")


@both_ways
@pytest.mark.parametrize("model", MODELS)
def test_a_conversation_holds_every_step_once(node: Node, model: str, way: str) -> None:
    def one_after_the_other(received: Received) -> Reply:
        told = [each["content"] for each in received.messages if each["role"] == "tool"]
        if len(told) == len(CITIES):
            return " ".join(told)
        if "weather" not in str([each["content"] for each in received.messages if each["role"] == "user"]):
            return remember(received)
        city = CITIES[len(told)]
        return Answer(calls=[Call("weather", {"city": city}, id=f"call_{city}")], reasoning="I must look.")

    with serve(model.partition("/")[0], one_after_the_other) as sim, gate(sim) as one:
        got = node.tell(one, FILE, f"callsToolsInAConversation{way}", model)
        assert (got["text"], got["steps"]) == (SUNNY, 3)
        step = ["function_call", "function_call_output"]
        kinds = [each for each in got["kinds"] if each != "reasoning"]
        assert kinds == ["user", "assistant", "user", *step, *step, "assistant"]


@both_ways
def test_an_answer_may_have_a_type(node: Node, way: str) -> None:
    with serve("openai", '{"name": "Ada", "age": 27}') as sim, gate(sim) as one:
        assert node.tell(one, FILE, f"typed{way}", "openai/gpt-4.1") == {"name": "Ada", "age": 27}
        assert sim.requests[0].body["response_format"]["type"] == "json_schema"


@both_ways
def test_pictures_go_through(node: Node, way: str) -> None:
    with serve("openai", "a cat") as sim, gate(sim) as one:
        assert node.tell(one, FILE, f"seesPictures{way}", "openai/gpt-4.1") == "a cat"
        image = sim.requests[0].messages[0]["content"][1]["image_url"]
        assert image["url"] == "https://example.com/cat.png"


@both_ways
def test_refusals_of_the_provider_are_its_own_errors(node: Node, way: str) -> None:
    with serve("qwen", Script("no", faults=Fault(429, kind="rate_limit"))) as sim, gate(sim) as one:
        got = node.tell(one, FILE, f"refused{way}")
        assert (got["name"], got["statusCode"], got["isRetryable"]) == ("AI_APICallError", 429, True)
        assert got["code"]


@both_ways
def test_refusals_of_the_gateway_are_too(node: Node, way: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, f"refusedForWhatItFollows{way}")
        assert (got["name"], got["statusCode"], got["isRetryable"]) == ("AI_APICallError", 400, False)
        assert got["code"] == "previous_response_not_found"


def test_an_answer_that_breaks_off_is_an_error(node: Node) -> None:
    answer = Answer("a long answer that is cut", cut="end", cut_after=4, stall=0.3, stall_after=2)
    with serve("qwen", answer) as sim, gate(sim) as one:
        got = node.tell(one, FILE, "refusedStreamed")
        assert (got["name"], got["isRetryable"]) == ("AI_StreamProviderError", True)
        assert got["message"]


@pytest.mark.parametrize(("way", "wire"), [("", Wire(first=20)), ("Streamed", Wire(between=0.1))])
def test_a_client_that_leaves_stops_the_model(node: Node, way: str, wire: Wire) -> None:
    with serve("qwen", Script(LONG, wire=wire)) as sim, gate(sim) as one:
        assert node.tell(one, FILE, f"leaves{way}")["name"] == "AbortError"
        until(lambda: sim.requests[0].left)


@both_ways
def test_chat_completions_remember_too(node: Node, way: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        assert "Ada" in node.tell(one, FILE, f"remembersOnChatCompletions{way}")
        assert states(one) == ["completed", "completed"]


@both_ways
def test_tools_are_called_on_chat_completions(node: Node, way: str) -> None:
    with serve("qwen", forecaster) as sim, gate(sim) as one:
        got = node.tell(one, FILE, f"callsToolsOnChatCompletions{way}")
        assert got == {"text": SUNNY, "steps": 2}
