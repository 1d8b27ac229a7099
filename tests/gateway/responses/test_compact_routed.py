"""Does a compaction go on with the next model of a route?"""

from __future__ import annotations

import json

import pytest
from tests.gateway.serving import gate
from tests.simulators import Fault, serve

from multiturn.settings import load

ROUTES = {"desk": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6"]}}


@pytest.mark.parametrize("fault", [Fault(500), Fault(429), Fault(drop=True)], ids=str)
def test_where_one_does_not_answer_the_next_one_writes_it(fault: Fault) -> None:
    config = load({"store": ":memory:", "model": "desk", "routes": ROUTES}, {"HOME": "/nowhere"})
    with serve("qwen", fault) as first, serve("kimi", "The user is called Ada.") as second:
        with gate(first, second, model="desk", config=config) as one:
            words = "My name is Ada, and this is a long story about it. " * 20
            body = {"model": None, "input": [{"role": "user", "content": words}]}
            for _ in range(2):
                status, told, _ = one.post(body, "/v1/responses/compact")
                assert status == 200
                assert json.loads(told)["usage"]["input_tokens"] > 0
        asked = (len(first.requests), len(second.requests))
        assert asked in ((2, 2), (1, 2)), "each is asked once, or passed over"


def test_where_nobody_answers_it_says_so() -> None:
    config = load({"store": ":memory:", "model": "desk", "routes": ROUTES}, {"HOME": "/nowhere"})
    with serve("qwen", Fault(401)) as first, serve("kimi", Fault(400, message="no")) as second:
        with gate(first, second, model="desk", config=config) as one:
            status, told, _ = one.post({"model": "desk", "input": "hi"}, "/v1/responses/compact")
            assert (status, json.loads(told)["error"]["code"]) == (502, "invalid_api_key")
