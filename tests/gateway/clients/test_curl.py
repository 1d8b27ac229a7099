"""Commands of curl work against the gateway as vendors print them, with nothing but their address changed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from typing import Any

import pytest
from tests.curl import Got, curl, fetch, request, words
from tests.gateway.completions.test_stateful import asked
from tests.gateway.responding import sent
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

KEY = '-H "Authorization: Bearer k"'
JSON = '-H "Content-Type: application/json"'

QWEN = """
curl --location --request POST '$GATEWAY/v1/chat/completions' \\
--header 'Authorization: Bearer k' \\
--header 'Content-Type: application/json' \\
--data-raw '{
    "model": "qwen-plus",
    "messages": [
        {
            "role": "system",
            "content": "You are a helpful assistant."
        },
        {
            "role": "user",
            "content": "你是谁？"
        }
    ]%s
}'
"""
KIMI = """
curl $GATEWAY/v1/chat/completions \\
    -H "Content-Type: application/json" \\
    -H "Authorization: Bearer k" \\
    -d '{
        "model": "kimi-k2.6",
        "messages": [
            {"role": "system", "content": "你是 Kimi。"},
            {"role": "user", "content": "你好，我叫李雷，1+1等于多少？"}
        ]
   }'
"""
OPENAI = """
curl $GATEWAY/v1/responses \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer k" \\
  -d '{
    "model": "gpt-4.1",
    "input": "Tell me a three sentence bedtime story about a unicorn."%s
  }'
"""


def told(got: Got) -> Any:
    """The JSON of an answer that is one."""
    assert (got.status, got.kind) == (200, "application/json")
    return json.loads(got.body)


def events(got: Got) -> list[str]:
    """The data of the events of a stream."""
    assert got.status == 200
    assert got.kind.startswith("text/event-stream")
    lines = got.body.decode().splitlines()
    return [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]


def test_the_bytes_are_those_that_curl_sends() -> None:
    commands = [
        f"curl -s -X POST $ADDRESS/v1/responses {KEY} {JSON} -d '{{\"a\":\n 1}}'",
        'curl -s --location $ADDRESS/v1/responses --data \'{"a": 1}\' --header "X-DashScope-SSE: enable"',
        f"curl -s -X DELETE $ADDRESS/v1/responses/x {KEY}",
        "curl -s $ADDRESS/v1/conversations/x/items?limit=10",
    ]
    for command in commands:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            given = command.replace("$ADDRESS", f"http://127.0.0.1:{listener.getsockname()[1]}")
            _, head, body = request(words(given))
            assert head.endswith(b"\r\n\r\n")
            if shutil.which("curl"):
                assert sorted((head + body).splitlines()) == sorted(heard(listener, given).splitlines())


def heard(listener: socket.socket, command: str) -> bytes:
    """What the curl of this machine sends, under the name of the one that is imitated."""
    found: list[bytes] = []

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            found.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    quiet = command.replace("curl ", "curl -q --noproxy '*' -A curl/7.88.1 ", 1)
    subprocess.run(["/bin/sh", "-c", quiet], check=True, timeout=120)
    thread.join()
    return found[0]


def test_a_completion_as_qwens_documents_show_it() -> None:
    with serve("qwen", "我是通义千问。") as sim, gate(sim) as one:
        answer = told(curl(one.url, QWEN % ""))
        assert answer["choices"][0]["message"]["content"] == "我是通义千问。"
        assert asked(sim) == [("system", "You are a helpful assistant."), ("user", "你是谁？")]


def test_a_stream_as_qwens_documents_show_it() -> None:
    with serve("qwen", "我是通义千问。") as sim, gate(sim) as one:
        options = ', "stream": true, "stream_options": {"include_usage": true}'
        *chunks, usage, end = events(curl(one.url, QWEN % options))
        words = [each["choices"][0]["delta"].get("content") or "" for each in map(json.loads, chunks)]
        assert "".join(words) == "我是通义千问。"
        assert json.loads(usage)["usage"]["total_tokens"] > 0
        assert end == "[DONE]"


def test_a_completion_as_kimis_documents_show_it() -> None:
    with serve("kimi", "等于2。") as sim, gate(sim, model="kimi/kimi-k2.6") as one:
        assert told(curl(one.url, KIMI))["choices"][0]["message"]["content"] == "等于2。"
        assert asked(sim)[-1] == ("user", "你好，我叫李雷，1+1等于多少？")


def test_a_header_makes_it_a_conversation() -> None:
    def say(one: Gate, text: str) -> str:
        body = json.dumps({"model": "qwen-plus", "messages": [{"role": "user", "content": text}]})
        named = f"{KEY} {JSON} -H 'X-Conversation-Id: order-8'"
        answer = told(curl(one.url, f"curl $GATEWAY/v1/chat/completions {named} -d '{body}'"))
        return str(answer["choices"][0]["message"]["content"])

    with serve("qwen") as sim, gate(sim) as one:
        say(one, "My name is Ada.")
        assert "Ada" in say(one, "What is my name?")


def test_a_response_as_openais_documents_show_it() -> None:
    with serve("openai", "Once upon a time.") as sim, gate(sim, model="openai/gpt-4.1") as one:
        made = told(curl(one.url, OPENAI % ""))
        assert made["output"][0]["content"][0]["text"] == "Once upon a time."
        name = f"$GATEWAY/v1/responses/{made['id']}"
        assert told(curl(one.url, f"curl {name} {JSON} {KEY}")) == made
        (item,) = told(curl(one.url, f"curl {name}/input_items {JSON} {KEY}"))["data"]
        assert item["content"][0]["text"].startswith("Tell me a three sentence")
        follow = told(curl(one.url, OPENAI % f', "previous_response_id": "{made["id"]}"'))
        assert [role for role, _ in sent(sim)] == ["user", "assistant", "user"]
        assert follow["previous_response_id"] == made["id"]
        gone = told(curl(one.url, f"curl -X DELETE {name} {JSON} {KEY}"))
        assert gone == {"id": made["id"], "object": "response", "deleted": True}
        assert curl(one.url, f"curl {name} {JSON} {KEY}").status == 404


def test_a_streamed_response_as_openais_documents_show_it() -> None:
    with serve("openai", "Once upon a time.") as sim, gate(sim, model="openai/gpt-4.1") as one:
        got = curl(one.url, OPENAI % ', "stream": true')
        *told_of, end = events(got)
        assert end == "[DONE]"
        kinds = [json.loads(each)["type"] for each in told_of]
        assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
        named = [line for line in got.body.decode().splitlines() if line.startswith("event: ")]
        assert named == [f"event: {kind}" for kind in kinds]


def test_a_conversation_as_openais_documents_show_it() -> None:
    with serve("openai") as sim, gate(sim, model="openai/gpt-4.1") as one:
        item = {"type": "message", "role": "user", "content": "Hello!"}
        body = json.dumps({"metadata": {"topic": "demo"}, "items": [item]})
        made = told(curl(one.url, f"curl $GATEWAY/v1/conversations {JSON} {KEY} -d '{body}'"))
        name = f"$GATEWAY/v1/conversations/{made['id']}"
        assert told(curl(one.url, f"curl {name} {KEY}")) == made
        body = json.dumps({"metadata": {"topic": "project-x"}})
        changed = told(curl(one.url, f"curl -X POST {name} {KEY} {JSON} -d '{body}'"))
        assert changed["metadata"] == {"topic": "project-x"}
        (item,) = told(curl(one.url, f'curl "{name}/items?limit=10" {KEY}'))["data"]
        assert item["content"] == [{"type": "input_text", "text": "Hello!"}]
        assert told(curl(one.url, f"curl -X DELETE {name}/items/{item['id']} {KEY}"))["id"] == made["id"]
        assert told(curl(one.url, f"curl -X DELETE {name} {KEY}"))["deleted"] is True


def test_a_long_body_is_sent_once_the_gateway_wants_it() -> None:
    with serve("openai", "a cat") as sim, gate(sim, model="openai/gpt-4.1") as one:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * (1 << 20)}"}}
        content = [{"type": "text", "text": "What is it?"}, image]
        body = json.dumps({"model": "gpt-4.1", "messages": [{"role": "user", "content": content}]})
        got = fetch([*words(f"curl {one.url}/v1/chat/completions {JSON} {KEY}"), "-d", body])
        assert got.agreed
        assert told(got)["choices"][0]["message"]["content"] == "a cat"


@pytest.mark.parametrize("body", ["{", "not json", "[]"])
def test_a_body_that_is_none_is_refused_in_openais_words(body: str) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = curl(one.url, f"curl $GATEWAY/v1/responses {JSON} {KEY} -d '{body}'")
        assert got.status == 400
        assert json.loads(got.body)["error"].keys() == {"message", "type", "param", "code"}


def test_a_command_that_forgets_the_type_is_told_so() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        got = curl(one.url, f'curl $GATEWAY/v1/chat/completions {KEY} -d \'{{"model": "qwen-plus"}}\'')
        assert (got.status, got.kind) == (415, "application/json")
        assert json.loads(got.body)["error"]["code"]
