"""The blocking API: the same as the async one, from any thread, and never in the way of the end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk
from tests.scene import TOOLS, calls, said

from multiturn import (
    AsyncConversation,
    AsyncMultiTurn,
    AsyncPreparedTurn,
    AsyncStream,
    BlockingConversation,
    Delta,
    MultiTurn,
    PreparedTurn,
    StoreUnavailable,
    Stream,
    TurnClosed,
    TurnState,
)
from multiturn.messages import Trait
from multiturn.providers.scripted import ScriptedProvider
from multiturn.sync.loop import Loop
from multiturn.window import Request

TWINS = [
    (AsyncMultiTurn, MultiTurn),
    (AsyncConversation, BlockingConversation),
    (AsyncStream, Stream),
    (AsyncPreparedTurn, PreparedTurn),
]
RENAMED = {"aclose": "close"}
ONLY_ON_A_LOOP = {"hand_to"}
"""What calls back from the event loop itself, which nobody blocks on."""


def public(kind: type) -> dict[str, Any]:
    everything = {name: value for one in reversed(kind.__mro__[:-1]) for name, value in vars(one).items()}
    hidden = ONLY_ON_A_LOOP if kind is AsyncStream else set()
    return {
        name: value for name, value in everything.items() if not name.startswith("_") and name not in hidden
    }


# ------------------------------------------------------------------------------------- parity


@pytest.mark.parametrize(("one", "other"), TWINS, ids=lambda kind: kind.__name__)
def test_both_halves_have_the_same_names(one: type, other: type) -> None:
    there = {RENAMED.get(name, name) for name in public(one)}
    here = set(public(other))
    if one is AsyncConversation:
        here.discard("id")  # an attribute there
    if one is AsyncMultiTurn:
        here.discard("config")  # an attribute there
    assert here == there


@pytest.mark.parametrize(("one", "other"), TWINS, ids=lambda kind: kind.__name__)
def test_both_halves_take_the_same_and_are_documented(one: type, other: type) -> None:
    for name, method in public(one).items():
        twin = public(other)[RENAMED.get(name, name)]
        assert inspect.getdoc(twin), name
        if isinstance(method, property):
            assert isinstance(twin, property), name
            assert hints(method.fget) == hints(twin.fget)
        elif callable(method):
            assert parameters(method) == parameters(twin), name
            assert not inspect.iscoroutinefunction(twin)


def test_both_clients_are_made_alike() -> None:
    assert parameters(AsyncMultiTurn.__init__) == parameters(MultiTurn.__init__)


def parameters(method: Callable[..., Any]) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(method).parameters.values()
    return [(p.name, p.kind, p.default) for p in found if p.name != "chunks"]


def hints(method: Any) -> Any:
    return method.__annotations__["return"]


def test_every_method_does_the_same(tmp_path: Path) -> None:
    provider = ScriptedProvider(["A", "B", "C", "D", "E", calls("c1"), "sunny", "F"])
    with MultiTurn("qwen/qwen-plus", ":memory:", user="ada", provider=provider, environment={}) as client:
        assert client.model == "qwen/qwen-plus"
        assert client.catalog.card(client.model).window > 1000
        assert client.config.user == "ada"
        chat = client.conversation("c", system="Be brief.")
        assert chat.id == "c"
        assert "c" in repr(chat)
        assert chat.send("a").text == "A"
        with chat.stream("b") as stream:
            assert stream.window.messages[-1]["content"] == "b"
            assert [delta.text for delta in stream] == ["B"]
        assert stream.reply.text == "B"
        assert [m.text for m in chat.history(after=1)] == ["b", "B"]
        assert chat.edit(2, "b2").text == "C"
        assert chat.regenerate().text == "D"
        chat.switch(chat.branches()[0])
        assert [t.number for t in chat.turns(limit=1)] == [2]
        aside = chat.branch(1)
        assert aside.send("x").text == "E"
        assert [m.text for m in aside.history()] == ["a", "A", "x", "E"]
        chat.pin(1)
        chat.unpin(1)
        chat.exclude(1)
        chat.include(1)
        chat.retract(2, "why")
        assert chat.info().settings.instructions
        assert [m["content"] for m in chat.window("z").messages] == ["Be brief.", "a", "A", "z"]
        assert chat.ledger(1).tokens > 0
        assert chat.usage().calls == 5
        assert not chat.cancel()
        reply = chat.send("Weather?", tools=TOOLS)
        assert chat.send(tool_results={reply.tool_calls[0].id: "sun"}).text == "sunny"
        with chat.prepare("p", tools=TOOLS) as turn:
            assert turn.messages[-1]["content"].endswith("p")
            assert turn.tools == TOOLS
            assert turn.tokens > 0
            assert len(turn.decisions) > 1
            assert turn.window.tokens == turn.tokens
            assert turn.commit("committed").text == "committed"
        assert turn.reply is not None
        file = tmp_path / "c.jsonl"
        file.write_text(chat.export())
        assert chat.export().partition("\n")[2] in client.export_user("ada")
        assert [c.id for c in client.conversations()] == ["c"]
        assert [hit.message.text for hit in client.search("committed")] == ["committed"]
        assert [spent.group for spent in client.usage(by="model")] == ["qwen/qwen-plus"]
        with client.within("shop", user="bob") as shop:
            assert (shop.conversations(everybody=True), shop.usage(), shop.config.user) == ([], [], "bob")
            assert (shop.tenant, client.tenant) == ("shop", "")
            assert shop.conversation("c").add(["theirs"])[0].text == "theirs"
        assert [c.user for c in shop.conversations(everybody=True)] == ["bob"]
        assert chat.update(metadata={"a": "b"}, expires_after=60).metadata == {"a": "b"}
        assert [c.id for c in client.conversations(oldest=True, metadata={"a": "b"})] == ["c"]
        assert client.sweep() == 0
        chat.erase(1)
        assert chat.history()[0].text == "A"
        chat.delete()
        (loaded,) = client.load(file)
        assert [m.text for m in loaded.history()][-1] == "committed"
        assert [m.text for m in loaded.add(["said elsewhere"])] == ["said elsewhere"]
        assert client.delete_user("ada") == 1
        assert client.conversations() == []


def test_retry_repeats_a_failed_turn() -> None:
    provider = ScriptedProvider([RuntimeError("odd"), "fine"])
    with MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={}) as client:
        chat = client.conversation("c")
        with pytest.raises(RuntimeError, match="odd"):
            chat.send("a")
        assert chat.retry().text == "fine"


# --------------------------------------------------------------------------------- an SDK's stream


def chunks(*texts: str) -> Iterator[ChatCompletionChunk]:
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        yield ChatCompletionChunk.model_validate({**head, "choices": [choice]})
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    yield ChatCompletionChunk.model_validate({**head, "choices": [choice]})


@pytest.fixture
def client() -> Iterator[MultiTurn]:
    with MultiTurn("demo", ":memory:", environment={}) as client:
        yield client


def test_an_sdks_stream_is_read_on_the_callers_thread(client: MultiTurn) -> None:
    threads = set()

    def given() -> Iterator[ChatCompletionChunk]:
        for chunk in chunks("hel", "lo"):
            threads.add(threading.current_thread())
            yield chunk

    chat = client.conversation("c")
    with chat.prepare("a") as turn:
        got = [chunk.choices[0].delta.content for chunk in turn.follow(given())]
    assert got == ["hel", "lo", None]
    assert threads == {threading.current_thread()}
    assert [m.text for m in chat.history()] == ["a", "hello"]


def test_leaving_an_sdks_stream_early_is_a_stopped_turn(client: MultiTurn) -> None:
    chat = client.conversation("c")
    with chat.prepare("a") as turn:
        for _ in turn.follow(chunks("hel", "lo")):
            break
    (last,) = chat.turns()
    assert last.state is TurnState.INCOMPLETE
    assert last.traits & Trait.STOPPED
    assert [m.text for m in chat.history()] == ["a", "hel"]


def test_an_error_of_an_sdks_stream_fails_the_turn(client: MultiTurn) -> None:
    def broken() -> Iterator[ChatCompletionChunk]:
        yield next(chunks("hel"))
        raise ConnectionError("gone")

    chat = client.conversation("c")

    def body() -> None:
        with chat.prepare("a") as turn:
            for _ in turn.follow(broken()):
                pass

    with pytest.raises(ConnectionError, match="gone"):
        body()
    assert [(t.state.name, t.error) for t in chat.turns()] == [("INCOMPLETE", "error")]


def test_somebody_may_stop_an_sdks_stream(client: MultiTurn) -> None:
    def slow() -> Iterator[ChatCompletionChunk]:
        for chunk in chunks(*("x" * 3000,) * 500):
            yield chunk
            time.sleep(0.02)

    chat = client.conversation("c")
    got = 0
    with chat.prepare("a") as turn:
        for _ in turn.follow(slow()):
            got += 1
            if got == 1:
                assert chat.cancel()
    assert got < 500
    assert [t.state.name for t in chat.turns()] == ["INCOMPLETE"]


# ------------------------------------------------------------------------------------- threads


class Endless:
    """A provider that speaks until nobody listens."""

    name = "endless"

    def __init__(self) -> None:
        self.left = threading.Event()
        self.begun = threading.Event()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        try:
            while True:
                self.begun.set()
                yield Delta("x")
                await asyncio.sleep(0.01)
        finally:
            self.left.set()

    async def close(self) -> None:
        """Nothing is open."""

    def then(self, act: Callable[..., object], *arguments: object) -> None:
        """Do this in another thread as soon as the model speaks."""

        def wait() -> None:
            assert self.begun.wait(30)
            act(*arguments)

        threading.Thread(target=wait).start()


def test_one_client_serves_many_threads(client: MultiTurn) -> None:
    outcomes: list[str] = []

    def talk(number: int) -> None:
        chat = client.conversation(f"c{number % 3}")
        outcomes.extend(chat.send(f"Fact {number} {turn}.").turn.state.name for turn in range(5))

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["COMPLETED"] * 30
    assert sum(len(client.conversation(f"c{n}").turns()) for n in range(3)) == 30


def test_another_thread_may_stop_or_close_a_stream() -> None:
    for how in ("stop", "close"):
        provider = Endless()
        with MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={}) as client:
            with client.conversation("c").stream("a") as stream:
                provider.then(getattr(stream, how))
                text = "".join(delta.text for delta in stream)
                assert stream.reply.text.startswith(text)
            assert provider.left.is_set()
            assert [t.state.name for t in client.conversation("c").turns()] == ["INCOMPLETE"]


def test_an_abandoned_stream_stops_the_model() -> None:
    provider = Endless()
    with MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={}) as client:
        chat = client.conversation("c")
        for _ in chat.stream("a"):
            break
        gc.collect()
        assert provider.left.wait(30)
        while not all(turn.state.final for turn in chat.turns()):
            time.sleep(0.01)
        assert [t.state.name for t in chat.turns()] == ["INCOMPLETE"]


def test_ctrl_c_stops_the_turn_and_keeps_it() -> None:
    provider = Endless()
    with MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={}) as client:
        chat = client.conversation("c")
        main = threading.main_thread().ident
        assert main is not None
        provider.then(signal.pthread_kill, main, signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            chat.send("a")
        (turn,) = chat.turns()
        assert (turn.state, bool(turn.traits & Trait.STOPPED)) == (TurnState.INCOMPLETE, True)
        assert provider.left.is_set()
        assert chat.window("b").messages[0]["content"].startswith("a")


def test_whoever_waits_is_told_when_the_client_is_closed() -> None:
    provider = Endless()
    client = MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={})
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            client.conversation("c").send("a")
        except BaseException as error:  # noqa: BLE001  (whatever it is)
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert provider.begun.wait(30)
    client.close()
    thread.join(60)
    assert not thread.is_alive()
    assert isinstance(errors[0], TurnClosed | StoreUnavailable)


def test_a_call_on_the_clients_own_thread_does_not_wait_for_itself() -> None:
    def recursive(request: Request) -> str:
        return shop.conversation("d").send("b").text

    shop = MultiTurn("qwen/qwen-plus", ":memory:", provider=ScriptedProvider([recursive]), environment={})
    with shop, pytest.raises(RuntimeError, match="own thread"):
        shop.conversation("c").send("a")


# ---------------------------------------------------------------------------------------- ending


def test_closing_twice_is_fine_and_using_it_afterwards_is_not() -> None:
    client = MultiTurn("demo", ":memory:", environment={})
    chat = client.conversation("c")
    chat.send("a")
    client.close()
    client.close()
    for use in (lambda: chat.send("b"), chat.history, client.conversations, lambda: client.search("a")):
        with pytest.raises(StoreUnavailable, match="closed"):
            use()
    with pytest.raises(StoreUnavailable, match="closed"):
        next(chat.stream("b"))


def test_a_client_that_was_never_used_ends_without_a_thread() -> None:
    before = set(threading.enumerate())
    with MultiTurn("demo", ":memory:", environment={}) as client:
        client.conversation("c")
        assert not set(threading.enumerate()) - before


def test_a_client_nobody_holds_is_closed() -> None:
    before = set(threading.enumerate())
    client = MultiTurn("demo", ":memory:", environment={})
    client.conversation("c").send("a")
    assert set(threading.enumerate()) - before
    del client
    gc.collect()
    gone_within(30, before)


def test_a_client_may_be_collected_on_its_own_thread() -> None:
    before = set(threading.enumerate())
    holder: dict[str, Any] = {}

    def drop(request: Request) -> str:
        holder.clear()
        gc.collect()
        return "dropped"

    provider = ScriptedProvider(["first", drop])
    holder["client"] = MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={})
    holder["client"].conversation("c").send("a")
    work = holder["client"]._client
    loop = holder["client"]._loop

    async def send() -> None:
        await work.conversation("c").send("b")

    with contextlib.suppress(TurnClosed, StoreUnavailable):
        loop.run(send)
    assert holder == {}
    gone_within(30, before)


def gone_within(seconds: float, before: set[threading.Thread]) -> None:
    """Wait until the threads that came since then are gone."""
    deadline = time.monotonic() + seconds
    while set(threading.enumerate()) - before:
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)


PROGRAM = """
import logging, sys
logging.getLogger("asyncio").setLevel(logging.ERROR)  # its warnings say that the machine is slow
from multiturn import MultiTurn
client = MultiTurn("demo", sys.argv[1], environment={})
chat = client.conversation("c")
chat.send("I am 27.")
%s
sys.stdout.write("last")
"""


@pytest.mark.parametrize(
    "last",
    [
        "",
        "stream = chat.stream('How old am I?'); next(stream)",
        "stream = chat.stream('How old am I?').__enter__(); next(stream)",
        "turn = chat.prepare('How old am I?').__enter__()",
        "client.close()",
        "del client, chat",
        "import threading; threading.Thread(target=chat.send, args=('b',)).start()",
    ],
)
def test_a_program_ends_by_itself_without_closing(tmp_path: Path, last: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            PROGRAM % last,
            f"sqlite:///{tmp_path / 'chats.db'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "last", "")


def test_a_forked_process_begins_anew(tmp_path: Path) -> None:
    program = """
import os, sys
from multiturn import MultiTurn, TurnClosed
client = MultiTurn("demo", sys.argv[1], environment={})
chat = client.conversation("c")
chat.send("I am 27.")
aside = chat.branch(1)
stream = client.conversation("d").stream("one two three four"); next(stream)
child = os.fork()
if child == 0:
    try:
        next(stream)
    except TurnClosed as error:
        print("stream:", error)
    print("child:", aside.send("How old am I?").text)
    sys.exit(0 if "27" in chat.history()[0].text else 1)
status = os.waitpid(child, 0)[1]
for delta in stream: pass
print("parent:", stream.reply.turn.state.name, status, chat.send("How old am I?").text)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, f"sqlite:///{tmp_path / 'chats.db'}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "another process" in done.stdout
    assert "child: I found in message 1: I am 27." in done.stdout
    assert "parent: COMPLETED 0 I found in message 1: I am 27." in done.stdout


def test_a_loop_that_never_ran_has_nothing_to_end() -> None:
    async def never() -> None:
        raise AssertionError

    loop = Loop()
    loop.end(never)
    assert not loop.foreign


def test_the_script_saw_what_was_sent() -> None:
    provider = ScriptedProvider(["A"])
    with MultiTurn("qwen/qwen-plus", ":memory:", provider=provider, environment={}) as client:
        client.conversation(system="Be brief.").send("a")
    assert said(provider.requests[0]) == ["Be brief.", "a"]
