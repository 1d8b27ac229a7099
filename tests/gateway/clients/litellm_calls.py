"""What litellm makes of a gateway, as JSON on standard output. It runs in an environment of its own, for it
wants an older openai than everybody else: python litellm_calls.py ADDRESS"""

from __future__ import annotations

import json
import sys
from typing import Any

import litellm

MODEL = "openai/qwen/qwen-plus"
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}

FLAT: Any = {"type": "function", **TOOL["function"]}  # type: ignore[dict-item]  # a dictionary


def completions(**given: Any) -> dict[str, Any]:
    """Chat completions: whole, streamed, with a tool, remembered, refused."""
    hello = [{"role": "user", "content": "My name is Ada."}]
    whole = litellm.completion(model=MODEL, messages=hello, **given)
    stream = litellm.completion(
        model=MODEL, messages=hello, stream=True, stream_options={"include_usage": True}, **given
    )
    chunks = list(stream)
    asked = [{"role": "user", "content": "weather?"}]
    called = litellm.completion(model=MODEL, messages=asked, tools=[TOOL], **given).choices[0].message
    results = [
        {"role": "tool", "tool_call_id": each.id, "content": "It is sunny."} for each in called.tool_calls
    ]
    told = litellm.completion(
        model=MODEL, messages=[*asked, called.model_dump(), *results], tools=[TOOL], **given
    )
    order = {"extra_headers": {"X-Conversation-Id": "c1"}, **given}
    litellm.completion(model=MODEL, messages=hello, **order)
    question = [{"role": "user", "content": "What is my name?"}]
    remembered = litellm.completion(model=MODEL, messages=question, **order)
    return {
        "whole": whole.choices[0].message.content,
        "tokens": whole.usage.total_tokens,
        "streamed": "".join(each.choices[0].delta.content or "" for each in chunks if each.choices),
        "arguments": [each.function.arguments for each in called.tool_calls],
        "told": told.choices[0].message.content,
        "remembered": remembered.choices[0].message.content,
        "refused": refused(litellm.completion, model="openai/unheard-of", messages=hello, **given),
    }


def responses(**given: Any) -> dict[str, Any]:
    """Responses: whole, streamed, going on with the one before, with a tool, fetched, deleted, refused."""
    whole = litellm.responses(model=MODEL, input="My name is Ada.", **given)
    after = {"previous_response_id": whole.id, **given}
    remembered = litellm.responses(model=MODEL, input="What is my name?", **after)
    events = list(litellm.responses(model=MODEL, input="What is my name?", stream=True, **after))
    called = litellm.responses(model=MODEL, input="weather?", tools=[FLAT], **given)
    calls = [each for each in called.output if each.type == "function_call"]
    results: Any = [
        {"type": "function_call_output", "call_id": each.call_id, "output": "It is sunny."} for each in calls
    ]
    told = litellm.responses(
        model=MODEL, input=results, previous_response_id=called.id, tools=[FLAT], **given
    )
    fetched = litellm.get_responses(response_id=whole.id, custom_llm_provider="openai", **given)
    deleted = litellm.delete_responses(response_id=whole.id, custom_llm_provider="openai", **given)
    return {
        "whole": said(whole),
        "tokens": whole.usage.total_tokens,
        "remembered": said(remembered),
        "streamed": "".join(each.delta for each in events if each.type == "response.output_text.delta"),
        "last": str(events[-1].type.value),
        "arguments": [each.arguments for each in calls],
        "told": said(told),
        "fetched": said(fetched),
        "deleted": deleted.deleted,
        "refused": refused(
            litellm.responses, model=MODEL, input="Hello", **{**after, "previous_response_id": "resp_x"}
        ),
    }


def said(response: Any) -> str:
    """The words of a response."""
    return "".join(part.text for item in response.output if item.type == "message" for part in item.content)


def refused(call: Any, **given: Any) -> list[Any]:
    """The class and the status of the error that comes."""
    try:
        call(**given)
    except Exception as error:  # noqa: BLE001  (any: its class is what is asked for)
        return [type(error).__name__, getattr(error, "status_code", None)]
    return []


def main() -> None:
    """Try everything."""
    litellm.suppress_debug_info = True
    given: dict[str, Any] = {"api_base": f"{sys.argv[1]}/v1", "api_key": "none", "max_retries": 0}
    json.dump({"completions": completions(**given), "responses": responses(**given)}, sys.stdout)


if __name__ == "__main__":
    main()
