"""What of an answer that is handed on is looked at on its way: is it one, was that its end, what did it
consume?"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.gateway.access.test_allowances import counted
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

from multiturn.errors import StreamCut
from multiturn.gateway.completions.relay import _Check
from multiturn.providers.passing import Passed
from multiturn.providers.usage import usage_of

BODY: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "talk"}]}
DONE = b"data: [DONE]\n\n"


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"id": "1", "model": "m", **fields}).encode() + b"\n\n"


def words(text: str, finish: str | None = None) -> bytes:
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


SPENT = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
USAGE = event(choices=[], usage=SPENT)


@contextmanager
def answering(answer: bytes, store: Path | None = None, kind: str = "text/event-stream") -> Iterator[Gate]:
    """A gateway before a provider that answers with just these bytes."""

    class Provider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is written."""

    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        known = SimpleNamespace(name="qwen", key="k", base_url=f"http://127.0.0.1:{server.server_port}/v1")
        try:
            with gate(known, store=store or ":memory:") as one:
                yield one
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (words("hi", "stop") + DONE, words("hi", "stop") + DONE),
        (words("hi", "stop"), words("hi", "stop") + DONE),
        (words("hi", "stop") + USAGE + DONE, words("hi", "stop") + DONE),
        (words("hi", "stop") + USAGE, words("hi", "stop") + DONE),
        (event(choices=[], checked=True) + words("hi", "stop") + DONE,) * 2,
        (event(choices=[], usage=None) + words("hi", "stop") + DONE,) * 2,
        (b'data: "error" "usage"\n\ndata: "error"\n\ndata: 7 "error"\n\n' + words("hi", "stop") + DONE,) * 2,
    ],
    ids=["whole", "no end", "usage", "usage and no end", "remark", "no usage", "no JSON"],
)
def test_events_pass_as_they_are_and_come_to_an_end(answer: bytes, told: bytes) -> None:
    with answering(answer) as one:
        assert one.post({**BODY, "stream": True})[1] == told


def test_usage_that_the_client_wanted_passes_too() -> None:
    answer = words("hi", "stop") + USAGE + DONE
    with answering(answer) as one:
        assert one.post({**BODY, "stream": True, "stream_options": {"include_usage": True}})[1] == answer


def looked_at(*pieces: bytes) -> _Check:
    """What is known of an answer that came in these pieces."""
    check = _Check(cast("Passed", SimpleNamespace(faults=SimpleNamespace(provider="qwen"))), ours=False)
    for piece in pieces:
        check.part(piece)
    return check


def test_an_end_in_pieces_is_an_end() -> None:
    check = looked_at(words("hi", "stop"), USAGE, *[b": still there\n\n"] * 2)
    assert check.end() == DONE
    assert check.usage() == usage_of(SPENT)


def test_one_of_two_answers_that_ended_long_ago_is_not_the_end() -> None:
    with pytest.raises(StreamCut):
        looked_at(words("no", "stop"), *[words("and")] * 4).end()


@pytest.mark.parametrize("first", [b"", words("hi")], ids=["nothing", "words"])
def test_an_answer_that_never_ended_is_told(first: bytes) -> None:
    with answering(first) as one:
        raw = one.post({**BODY, "stream": True})[1]
        assert raw.startswith(first)
        error = json.loads(raw.removeprefix(first).removeprefix(b"data: "))["error"]
        assert error["code"] == "stream_cut"


@pytest.mark.parametrize(
    ("answer", "consumed"),
    [
        (words("hi", "stop") + USAGE + DONE, (1000, 100)),
        (event(choices=[{"index": 0, "finish_reason": "stop"}], usage=SPENT) + DONE, (1000, 100)),
        (event(choices=[], usage=SPENT) + words("x" * 400, "stop") + b'data: "usage" 7\n\n', (1000, 100)),
        (words("hi", "stop") + b'data: "usage"\n\n' + DONE, None),
    ],
    ids=["apart", "with words", "early", "none"],
)
def test_what_a_stream_says_it_consumed_is_counted(
    tmp_path: Path, answer: bytes, consumed: tuple[int, int] | None
) -> None:
    key = bearer(made(tmp_path / "a.db", "shop"))
    with answering(answer, tmp_path / "a.db") as one:
        assert one.post({**BODY, "stream": True}, **key)[0] == 200
    found = counted(tmp_path / "a.db")
    assert found.calls == 1
    if consumed is None:
        assert 0 < found.usage.input < 100
    else:
        assert (found.usage.input, found.usage.output) == consumed


@pytest.mark.parametrize(
    "body", [b"words", b"7", b'{"usage": {}}', b'{"error": {"message": "no", "code": "odd"}}']
)
def test_what_is_no_answer_is_told_and_not_counted(tmp_path: Path, body: bytes) -> None:
    key = bearer(made(tmp_path / "a.db", "shop"))
    with answering(body, tmp_path / "a.db", "application/json") as one:
        status, raw, _ = one.post(BODY, **key)
        code = "odd" if b"odd" in body else "provider_failed"
        assert (status, json.loads(raw)["error"]["code"]) == (502, code)
    assert counted(tmp_path / "a.db").calls == 0


@pytest.mark.parametrize("body", [b'{"choices": [], "usage": 7}', b'"choices"', b'"choices" 7'])
def test_an_answer_that_does_not_say_what_it_consumed_is_estimated(tmp_path: Path, body: bytes) -> None:
    key = bearer(made(tmp_path / "a.db", "shop"))
    with answering(body, tmp_path / "a.db", "application/json") as one:
        assert one.post(BODY, **key)[:2] == (200, body)
    found = counted(tmp_path / "a.db")
    assert (found.calls, found.usage.input > 0) == (1, True)


def test_who_leaves_before_the_answer_has_asked_all_the_same(tmp_path: Path) -> None:
    key = made(tmp_path / "a.db", "shop")
    with serve("qwen", Script("late", wire=Wire(first=20))) as sim, gate(sim, store=tmp_path / "a.db") as one:
        with one.socket(BODY, f"authorization: Bearer {key}"):
            until(lambda: bool(sim.requests))
        until(lambda: sim.requests[0].left)
    found = counted(tmp_path / "a.db")
    assert (found.calls, found.usage.input > 0) == (1, True)
