"""Nothing of an answer is lost because of what a provider wrote around its words: whatever its numbers, names
and details are, the turn ends well, and can be told again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.gateway.serving import Gate, gate

LEVELS = 300
MARK = '"WRONG"'
WRONG = {
    "text": '"x"',
    "empty": '""',
    "number in text": '"12"',
    "half a character": r'"\ud800"',
    "float": "1.5",
    "negative": "-3",
    "more than 64 bits": str(10**30),
    "endless": "1e999",
    "true": "true",
    "false": "false",
    "list": "[1]",
    "list of objects": '[{"a": 1}]',
    "object": '{"a": 1}',
    "deep": '{"a":' * LEVELS + "1" + "}" * LEVELS,
}
DAMAGED = ("half a character", "endless", "deep")
"""What cannot be kept as it is, which is said."""
FINISHED = frozenset(WRONG) - {"empty", "false"}
"""What says that an answer is over, whatever else it says."""
TOP = (
    "id",
    "object",
    "created",
    "created_at",
    "model",
    "system_fingerprint",
    "service_tier",
    "request_id",
    "cost",
)
COUNTS = (
    "prompt_tokens",
    "completion_tokens",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cached_tokens",
)
DETAILS = ("prompt_tokens_details", "completion_tokens_details", "output_tokens_details")
BESIDE = ("index", "logprobs", "usage", "stop_reason", "text")
SAID = (
    *("role", "name", "refusal", "annotations", "audio", "function_call", "phase", "other", "id", "type"),
    *(
        "status",
        "tool_call_id",
        "model",
        "created_at",
        "text_replaced",
        "response_items",
        "item_ids",
        "finish_reason",
    ),
)


def all_wrong(*names: str) -> dict[str, Any]:
    return dict.fromkeys(names, "WRONG")


USAGES = ("WRONG", all_wrong(*COUNTS, *DETAILS), {"prompt_tokens": 1, **all_wrong("prompt_tokens_details")})


def choice(place: str, words: str, finish: Any) -> dict[str, Any]:
    message = {**(all_wrong(*SAID) if words else {}), "content": words}
    return {**all_wrong(*BESIDE), place: message, "finish_reason": finish}


@dataclass
class Provider:
    """Answers "Hello" with one wrong value in every other place; ``usage`` says how the usage is wrong,
    ``finish`` what stands for the reason of the end."""

    name: str
    wrong: str = "1"
    usage: int = 0
    finish: Any = "WRONG"
    base_url: str = ""
    key: str = "k"

    def piece(self, place: str, words: str, finish: Any) -> dict[str, Any]:
        choices = [choice(place, words, finish)]
        spoken = {"output": {"choices": choices}} if self.name == "dashscope" else {"choices": choices}
        return {**all_wrong(*TOP), **spoken, "usage": USAGES[self.usage]}

    def body(self, *, streamed: bool) -> bytes:
        if not streamed:
            return self._written(self.piece("message", "Hello", self.finish))
        place = "message" if self.name == "dashscope" else "delta"
        pieces = [
            self.piece(place, "Hel", None),
            self.piece(place, "lo", None),
            self.piece(place, "", self.finish),
        ]
        end = b"" if self.name == "dashscope" else b"data: [DONE]\n\n"
        return b"".join(b"data: %b\n\n" % self._written(each) for each in pieces) + end

    def _written(self, value: Any) -> bytes:
        return json.dumps(value).replace(MARK, self.wrong).encode()


@contextmanager
def running(provider: Provider) -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: Any) -> None:
            return

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            streamed = asked.get("stream") is True or self.headers.get("x-dashscope-sse") == "enable"
            body = provider.body(streamed=streamed)
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if streamed else "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        provider.base_url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield provider
        finally:
            server.shutdown()


HELLO = [{"role": "user", "content": "Hi"}]


def asked(one: Gate, door: str, model: str, *, streamed: bool, **more: Any) -> str:
    """What is answered; the answer must be good."""
    headers: dict[str, str] = more.pop("headers", {})
    if door == "dashscope":
        path = "/api/v1/services/aigc/text-generation/generation"
        body: dict[str, Any] = {
            "model": model,
            "input": {"messages": HELLO},
            "parameters": {"result_format": "message", **more},
        }
        headers |= {"x_dashscope_sse": "enable"} if streamed else {}
    else:
        path = "/v1/responses" if door == "responses" else "/v1/chat/completions"
        words: dict[str, Any] = {"input": "Hi"} if door == "responses" else {"messages": HELLO}
        body = {"model": model, "stream": streamed, **words, **more}
    status, raw, _ = one.post(body, path, **headers)
    told = raw.decode()
    assert status == 200, told
    assert not [each for each in ('"error":{', "event:error", "response.failed") if each in told], told
    return told


def words_of(told: str, *, streamed: bool) -> str:
    """All the words in an answer, however it is written."""
    if not streamed:
        value = json.loads(told)
        if "output" not in value:
            return str(value["choices"][0]["message"]["content"])
        output = value["output"]
        return str(output["choices"][0]["message"]["content"] if "choices" in output else _items(output))
    events = [json.loads(line[5:]) for line in told.splitlines() if line.startswith("data:") and "{" in line]
    if "type" in events[0]:
        assert events[-1]["type"] == "response.completed"
        return _items(events[-1]["response"]["output"])
    choices = [one for each in events for one in each.get("output", each)["choices"]]
    said = [one.get("delta") or one.get("message") or {} for one in choices]
    return "".join(each.get("content") or "" for each in said)


def _items(items: Any) -> str:
    spoken = (part for item in items if item["type"] == "message" for part in item["content"])
    return "".join(part.get("text", "") for part in spoken)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["qwen", "dashscope"])
def test_no_decoration_spoils_an_answer(provider: str, *, streamed: bool) -> None:
    model = f"{provider}/qwen-plus"
    with running(Provider(provider)) as sim, gate(sim, model=model) as one:
        for number, (kind, wrong) in enumerate(WRONG.items()):
            sim.wrong, sim.finish = wrong, "WRONG" if kind in FINISHED or not streamed else "stop"
            for sim.usage in range(len(USAGES)):
                name = f"c{number}.{sim.usage}"
                for door, more in (
                    ("chat", {"conversation": name, "headers": {"idempotency_key": "k"}}),
                    ("chat", {"conversation": name, "headers": {"idempotency_key": "k"}}),
                    ("chat", {"conversation": name, "store": False}),
                    ("responses", {}),
                    ("responses", {"store": False}),
                    ("dashscope", {"conversation": f"d{name}", "incremental_output": True}),
                ):
                    told = asked(one, door, model, streamed=streamed, **more)
                    assert words_of(told, streamed=streamed) == "Hello", (kind, door)
                for path in ("turns", "items", "export", "turns/1/context", "usage", "window"):
                    assert one.get(f"/v1/conversations/{name}/{path}")[0] == 200, (kind, path)
                turns = json.loads(one.get(f"/v1/conversations/{name}/turns")[1])["data"]
                assert [each["state"] for each in turns] == ["completed"], kind
                said = answered(one, name)
                assert said["model"] == model
                assert len(said["id"]) > 20
                assert "tool_call_id" not in said
                assert said.get("text_replaced") == (True if kind in DAMAGED else None), kind


def answered(one: Gate, name: str) -> dict[str, Any]:
    """The answer as it is stored."""
    lines = one.get(f"/v1/conversations/{name}/export")[1].splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    return found


@pytest.mark.parametrize(("provider", "door"), [("qwen", "chat"), ("dashscope", "dashscope")])
def test_what_passes_through_passes_whatever_stands_in_it(provider: str, door: str) -> None:
    model = f"{provider}/qwen-plus"
    with running(Provider(provider, finish="stop")) as sim, gate(sim, model=model) as one:
        for sim.wrong in WRONG.values():
            assert "Hello" in asked(one, door, model, streamed=False)
            assert "lo" in asked(one, door, model, streamed=True)
