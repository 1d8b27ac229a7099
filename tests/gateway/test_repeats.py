"""A repeated POST finds its own turn, whoever else says the same words in the meantime."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any, cast

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

from multiturn.config import Config, Timing
from multiturn.gateway.dashscope.generation import TEXT
from multiturn.gateway.http.connection import Connection
from multiturn.gateway.repeats import Repeats

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


def joined(one: Gate, sim: Any, path: str, body: dict[str, Any], hers: str, others: str) -> None:
    """While her answer is being written somebody else posts the same; then her client repeats its POST."""
    found: list[Any] = []
    first = threading.Thread(target=lambda: found.append(one.post(body, path, **bearer(hers))))
    first.start()
    until(lambda: len(sim.requests) == 1)
    second = threading.Thread(target=lambda: found.append(one.post(body, path, **bearer(others))))
    second.start()
    until(lambda: len(sim.requests) == 2 or found)
    status, answer, _ = one.post(body, path, **bearer(hers), x_stainless_retry_count="1")
    first.join()
    second.join()
    names = [json.loads(each[1]).get("id") for each in found]
    assert (status, names.count(json.loads(answer)["id"])) == (200, 1)
    listed = json.loads(one.get("/v1/conversations", **bearer(hers))[1])["data"]
    assert [each["turns"] for each in listed] == [1]


def test_another_tenants_equal_post_does_not_hide_the_first(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    shop, bank = made(store, "shop"), made(store, "bank")
    body = {"model": MODEL, "messages": [{"role": "user", "content": "go on"}], "conversation": "c"}
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, store=store) as one:
        joined(one, sim, CHAT, body, shop, bank)


def test_another_users_equal_post_does_not_hide_the_first(tmp_path: Path) -> None:
    """Whose key is bound to a user need not say who that is: the bodies are the same."""
    store = tmp_path / "chats.db"
    ada, bob = made(store, "shop", "ada"), made(store, "shop", "bob")
    body = {"model": MODEL, "messages": [{"role": "user", "content": "go on"}], "conversation": "c"}
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, store=store) as one:
        joined(one, sim, CHAT, body, ada, bob)


def test_another_tenants_equal_response_does_not_hide_the_first(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    shop, bank = made(store, "shop"), made(store, "bank")
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, store=store) as one:
        joined(one, sim, RESPONSES, {"model": MODEL, "input": "go on"}, shop, bank)


def test_another_users_equal_response_does_not_hide_the_first(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    ada, bob = made(store, "shop", "ada"), made(store, "shop", "bob")
    with serve("qwen", Script("slow", wire=Wire(first=2))) as sim, gate(sim, store=store) as one:
        joined(one, sim, RESPONSES, {"model": MODEL, "input": "go on"}, ada, bob)


def test_the_same_words_in_another_conversation_do_not_hide_the_first(tmp_path: Path) -> None:
    """A header names the conversation: the bodies are the same."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "go on"}]}
    slow = Script("slow", wire=Wire(first=2))
    with serve("qwen", slow) as sim, gate(sim, store=tmp_path / "chats.db") as one:
        found: dict[str, Any] = {}

        def say(name: str, **more: str) -> None:
            found[name] = one.post(body, CHAT, x_conversation_id=name, **more)

        threads = [threading.Thread(target=say, args=(name,)) for name in ("a", "b")]
        threads[0].start()
        until(lambda: len(sim.requests) == 1)
        threads[1].start()
        until(lambda: len(sim.requests) == 2)
        status, again, _ = one.post(body, CHAT, x_conversation_id="a", x_stainless_retry_count="1")
        for thread in threads:
            thread.join()
        assert (status, json.loads(again)["id"]) == (200, json.loads(found["a"][1])["id"])
        assert len(sim.requests) == 2


def test_other_words_that_are_repeated_after_a_restart_are_a_turn_of_their_own(tmp_path: Path) -> None:
    """The first of them never came here: what was said before is no answer to them."""
    with serve("qwen", ["first", "second", "third", "fourth"]) as sim:
        for number, path in enumerate((CHAT, RESPONSES)):
            with gate(sim, store=tmp_path / f"{number}.db") as one:
                name = one.openai().conversations.create().id
                bodies: list[dict[str, Any]] = [
                    {"model": MODEL, "conversation": name, "messages": [{"role": "user", "content": words}]}
                    if path == CHAT
                    else {"model": MODEL, "conversation": name, "input": words}
                    for words in ("one", "two")
                ]
                assert one.post(bodies[0], path)[0] == 200
            with gate(sim, store=tmp_path / f"{number}.db") as one:
                assert one.post(bodies[1], path, x_stainless_retry_count="1")[0] == 200
                assert json.loads(one.get(f"/v1/conversations/{name}")[1])["turns"] == 2
        assert len(sim.requests) == 4


def test_a_repeated_response_in_a_conversation_is_known_after_a_restart(tmp_path: Path) -> None:
    with serve("qwen", ["first", "second"]) as sim:
        with gate(sim, store=tmp_path / "chats.db") as one:
            name = one.openai().conversations.create().id
            body = {"model": MODEL, "conversation": name, "input": "one"}
            first = one.post(body, RESPONSES)[1]
        with gate(sim, store=tmp_path / "chats.db") as one:
            assert one.post(body, RESPONSES, x_stainless_retry_count="1")[1] == first
            gone = {**body, "conversation": "conv_missing"}
            assert one.post(gone, RESPONSES, x_stainless_retry_count="1")[0] == 404
        assert len(sim.requests) == 1


@pytest.mark.parametrize("count", ["often", "-1", "000", "9" * 5000], ids=["word", "less", "none", "long"])
def test_a_strange_count_is_no_reason_to_refuse(tmp_path: Path, count: str) -> None:
    with serve("qwen", "ok") as sim, gate(sim, store=tmp_path / "chats.db") as one:
        body = {"model": MODEL, "messages": [{"role": "user", "content": "one"}], "conversation": "c"}
        assert one.post(body, CHAT, x_stainless_retry_count=count)[0] == 200
        assert one.post({"model": MODEL, "input": "one"}, RESPONSES, x_stainless_retry_count=count)[0] == 200


def say(text: str, **more: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "conversation": "c", **more}


def test_what_is_repeated_and_never_came_is_the_first(tmp_path: Path) -> None:
    """Neither is the conversation there, nor is what was put into it a turn somebody posted."""
    with serve("qwen", "ok") as sim, gate(sim, store=tmp_path / "chats.db") as one:
        name = json.loads(one.post({"items": [{"role": "user", "content": "hi"}]}, "/v1/conversations")[1])[
            "id"
        ]
        for conversation in ("new", name):
            body = say("one", conversation=conversation)
            assert one.post(body, CHAT, x_stainless_retry_count="1")[0] == 200
        assert len(sim.requests) == 2


def test_what_was_refused_is_refused_again(tmp_path: Path) -> None:
    with serve("qwen", "ok") as sim, gate(sim, store=tmp_path / "chats.db") as one:
        for count in ("0", "1"):
            status, raw, _ = one.post(say(""), CHAT, x_stainless_retry_count=count)
            assert (status, json.loads(raw)["error"]["code"]) == (400, "message_empty")


def test_a_repeat_waits_no_longer_than_anybody(tmp_path: Path) -> None:
    config = Config(store=":memory:", model=MODEL, timing=Timing(queue=0.2))
    with serve("qwen", Script("slow", wire=Wire(first=20))) as sim, gate(sim, config=config) as one:
        with one.socket(say("one")):
            until(lambda: len(sim.requests) == 1)
            status, raw, _ = one.post(say("one"), CHAT, x_stainless_retry_count="1")
            assert (status, json.loads(raw)["error"]["code"]) == (400, "conversation_locked")


def test_who_cannot_say_that_it_repeats_and_was_answered_says_it_again(tmp_path: Path) -> None:
    body = {"model": MODEL, "input": {"prompt": "go on"}}
    with serve("qwen", ["uno", "due"]) as sim, gate(sim, store=tmp_path / "chats.db") as one:
        found = [one.post(body, TEXT, x_conversation_id="c")[1] for _ in range(2)]
    assert [json.loads(each)["output"]["text"] for each in found] == ["uno", "due"]


def test_an_answer_counts_as_told_where_somebody_still_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats, gone, soon, late = Repeats(), *(Connection(cast("Any", None)) for _ in range(3))
    gone.left = True
    for key, connection in (("gone", gone), ("soon", soon), ("late", late)):
        repeats.was_told(key, connection)
    assert [repeats.arrived(key) for key in ("gone", "soon", "late")] == [False, True, True]
    monkeypatch.setattr("multiturn.gateway.repeats.DOUBT", 3600.0)
    monkeypatch.setattr("multiturn.gateway.repeats.SOON", 3600.0)
    soon.lost()
    monkeypatch.setattr("multiturn.gateway.repeats.SOON", 0.0)
    late.lost()
    assert [repeats.arrived(key) for key in ("gone", "soon", "late")] == [False, False, True]


def test_only_the_newest_are_remembered() -> None:
    repeats = Repeats()
    for number in (*range(4096), 0, *range(4096, 5000)):
        repeats.remember((("", ""), "c", str(number)), str(number))
    assert list(repeats.posted.values()) == [str(each) for each in (*range(905, 4096), 0, *range(4096, 5000))]
