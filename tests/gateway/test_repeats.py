"""A repeated POST finds its own turn, whoever else says the same words in the meantime."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from tests.gateway.keyed import bearer, made
from tests.gateway.responding import MODEL, until
from tests.gateway.serving import Gate, gate
from tests.simulators import Script, Wire, serve

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
