"""Is what was posted let go of while its answer streams? Clients post whole histories, thousands at once."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest
from tests.gateway.serving import gate
from tests.simulators import Script, Wire, serve

CANARY = "a long history of which only the newest words are needed"
TALK = f"""[{{"role": "user", "content": "{CANARY}"}}, {{"role": "assistant", "content": "told before"}},
    {{"role": "user", "content": "go on"}}]"""
CHAT = f"""{{"model": "qwen/qwen-plus", "stream": true, "messages": {TALK}}}"""
RESPONSE = f"""{{"model": "qwen/qwen-plus", "stream": true, "input": "go on",
    "background_options": {{"completion_window": "{CANARY}"}}}}"""
NATIVE = f"""{{"model": "qwen/qwen-plus", "input": {{"messages": {TALK}}}}}"""


def kept() -> list[Any]:
    """Lists of messages that are still held, and bodies of requests."""
    bodies = [each for one in gc.get_objects() for each in gc.get_referents(one) if type(each) is bytes]
    lists = [each for each in gc.get_objects() if type(each) is list and each and type(each[0]) is dict]
    return [
        *(each for each in bodies if CANARY.encode() in each),
        *(each for each in lists if each[0].get("content") == CANARY),
    ]


@pytest.mark.parametrize(
    ("path", "posted", "end"),
    [
        ("/v1/chat/completions", CHAT, b"[DONE]"),
        ("/v1/responses", RESPONSE, b"[DONE]"),
        ("/api/v1/services/aigc/text-generation/generation", NATIVE, b'"stop"'),
    ],
)
def test_nothing_of_what_was_posted_is_held_while_its_answer_streams(
    path: str, posted: str, end: bytes
) -> None:
    slow = Script("word " * 10, wire=Wire(piece=5, between=0.2))
    headers = ("x-conversation-id: c1", "x-dashscope-sse: enable")
    with serve("qwen", slow) as sim, gate(sim) as one:
        with one.socket(json.loads(posted), *headers, path=path) as sock, sock.makefile("rb") as answer:
            while b"word" not in answer.readline():
                pass
            gc.collect()
            assert kept() == []
            while end not in answer.readline():
                pass
