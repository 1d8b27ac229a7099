"""litellm works through the gateway: completions and responses, by its base URL alone. It runs in an
environment of its own, which scripts/test sets up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Received, Reply, remember, serve

PYTHON = Path(sys.prefix) / "beside" / "litellm" / "bin" / "python"
CALLS = Path(__file__).with_name("litellm_calls.py")


def model(received: Received) -> Reply:
    """Calls the first tool it is offered, tells what a tool said, else remembers."""
    last = received.messages[-1]
    if last["role"] == "tool":
        return str(last["content"])
    if received.body.get("tools"):
        return Answer(calls=[Call(received.body["tools"][0]["function"]["name"], {"city": "北京"})])
    return remember(received)


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, Any]]:
    """What litellm got; it takes seconds to start, so it is started once."""
    assert PYTHON.exists(), "scripts/test sets this environment up"
    environment = {
        "PATH": os.defpath,
        "HOME": "/nowhere",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "PYTHONWARNINGS": "ignore",
    }
    with serve("qwen", model) as sim, gate(sim) as one:
        done = subprocess.run(
            [PYTHON, CALLS, one.url],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(done.stdout)


def test_completions_are_made_as_litellm_wants_them(told: dict[str, Any]) -> None:
    got = told["completions"]
    assert got["whole"] == got["streamed"] != ""
    assert got["tokens"] > 0
    assert [json.loads(each) for each in got["arguments"]] == [{"city": "北京"}]
    assert got["told"] == "It is sunny."
    assert "Ada" in got["remembered"]
    assert got["refused"] == ["NotFoundError", 404]


def test_responses_are_made_as_litellm_wants_them(told: dict[str, Any]) -> None:
    got = told["responses"]
    assert got["whole"] == got["fetched"] != ""
    assert got["tokens"] > 0
    assert "Ada" in got["remembered"]
    assert got["streamed"] == got["remembered"]
    assert got["last"] == "response.completed"
    assert [json.loads(each) for each in got["arguments"]] == [{"city": "北京"}]
    assert got["told"] == "It is sunny."
    assert got["deleted"] is True
    assert got["refused"] == ["BadRequestError", 400]
