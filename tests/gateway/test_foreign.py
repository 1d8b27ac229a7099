"""What belongs to somebody else is answered exactly like what does not exist: every route, every id."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route
from tests.gateway.keyed import bearer, made
from tests.gateway.serving import Gate, gate

from multiturn.conversations import new_ulid

SECRET = "xyzzy-of-the-bank"
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")
EVERYTHING = ("chat", "read", "inspect", "admin")


@dataclass
class Ids:
    """Ids of one conversation and what is in it."""

    conversation: str
    response: str
    item: str
    number: str = "1"

    @property
    def by_turn(self) -> Ids:
        """The same, with the turn by its id."""
        turn = self.response.replace("resp_", "turn_").rpartition("_")[0]
        return replace(self, number=turn)

    def missing(self) -> Ids:
        """Ids of the same shape that nobody has."""
        other = new_ulid()
        return Ids(*(ULID.sub(other, each) for each in (self.conversation, self.response, self.item)))


@dataclass
class World:
    """A gateway on which the bank has spoken. ``outsider`` is somebody's key, ``own`` are ids of theirs."""

    one: Gate
    bank: str
    outsider: str
    theirs: Ids
    own: Ids


def talk(one: Gate, secret: str, words: str) -> Ids:
    """A conversation with a response in it."""
    kept = json.loads(one.post({"metadata": {"words": words}}, "/v1/conversations", **bearer(secret))[1])
    body = {"model": "demo", "input": words, "conversation": kept["id"]}
    response = json.loads(one.post(body, "/v1/responses", **bearer(secret))[1])
    items = json.loads(one.get(f"/v1/conversations/{kept['id']}/items", **bearer(secret))[1])
    return Ids(kept["id"], response["id"], items["data"][0]["id"])


OUTSIDERS = {"another tenant": ("shop", None), "another user": ("bank", "eve")}


@pytest.fixture(params=list(OUTSIDERS))
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    store = tmp_path / "chats.db"
    bank = made(store, "bank", "ada", scopes=EVERYTHING)
    outsider = made(store, *OUTSIDERS[request.param], scopes=EVERYTHING)
    with gate(model="demo", store=store) as one:
        yield World(one, bank, outsider, talk(one, bank, SECRET), talk(one, outsider, "hello"))


def addresses(one: Gate) -> list[tuple[str, str]]:
    """Method and path of everything the gateway answers; those last that make a conversation of any name."""
    passage: Any = one.server.config.app
    shortcut = passage._app
    found = [("POST", path) for path in shortcut._hot]
    for route in shortcut._app.routes:
        assert isinstance(route, Route)
        found += [(method, route.path) for method in sorted(route.methods or ()) if method != "HEAD"]
    return sorted(found, key=lambda each: "completions" in each[1] or each[1].startswith("/api/"))


def filled(path: str, ids: Ids, inner: Ids) -> str:
    """A path with ids in it; ``inner`` are those of what lies inside."""
    outer = ids.response if "/responses/" in path else ids.conversation
    names = {"id": outer, "item": inner.item, "n": inner.number, "user": "ada", "model": "demo"}
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: names[found[1]], path)


def bodies(ids: Ids) -> list[dict[str, Any]]:
    """Bodies that name something by its id."""
    words = [{"role": "user", "content": "hi"}]
    reference = {"type": "item_reference", "id": ids.item}
    message = {"type": "message", "role": "user", "content": "hi"}
    return [
        {},
        {"model": "demo", "input": "hi", "previous_response_id": ids.response},
        {"model": "demo", "input": "hi", "conversation": ids.conversation},
        {"model": "demo", "input": "hi", "conversation": {"id": ids.conversation}, "stream": True},
        {"model": "demo", "input": [reference, message]},
        {"model": "demo", "input": "hi", "conversation": ids.conversation, "user": "ada"},
        {"model": "demo", "input": "hi", "previous_response_id": ids.response, "user": "ada"},
        {"model": "demo", "messages": words, "conversation": ids.conversation},
        {"model": "demo", "messages": words, "conversation": ids.conversation, "store": False},
        {"items": [reference, message]},
        {"items": [message]},
        {"metadata": {"a": "b"}},
        {"text": "hi"},
        {"reason": "wrong"},
        {"at": 1},
        {"at": ids.by_turn.number},
        {"budget": 500},
    ]


def asked(
    world: World, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str]
) -> tuple[int, bytes, list[str]]:
    """Status, body and the names of the headers."""
    raw = None if body is None else json.dumps(body).encode()
    given = {"content-type": "application/json", "x-request-id": "probe", **bearer(world.outsider), **headers}
    status, answer, told = world.one._asked(method, path, raw, given)
    return status, answer, sorted(name.lower() for name in told)


def same(world: World, method: str, path: str, *sides: tuple[Ids, Ids]) -> None:
    """What is somebody else's and what is nobody's are answered alike."""
    told = []
    for outer, inner in sides:
        address = filled(path, outer, inner)
        if method not in ("POST", "PUT"):
            search = f"{address}?text=words&branch=0&before={inner.number}"
            asks = (address, f"{address}?user=ada", f"{address}?after={inner.item}", search)
            told.append([asked(world, method, each, None, {}) for each in asks])
            continue
        told.append([asked(world, method, address, body, {}) for body in bodies(inner)])
        header = {"x-conversation-id": inner.conversation}
        told[-1].append(asked(world, method, address, bodies(inner)[-1], header))
    for number, (theirs, nobodys) in enumerate(zip(*told, strict=True)):
        assert SECRET.encode() not in theirs[1], (method, path, number)
        if nobodys[0] >= 400:
            assert theirs == nobodys, (method, path, number)
        elif theirs[0] != nobodys[0]:  # a name that another user of the tenant has can be given to nobody
            assert theirs[0] == 404, (method, path, number, theirs)


def test_what_is_somebody_elses_is_answered_like_what_is_nobodys(world: World) -> None:
    everything = addresses(world.one)
    assert ("POST", "/v1/responses") in everything
    assert ("GET", "/v1/conversations/{id}/items/{item}") in everything
    before = state(world)
    for method, path in everything:
        missing = world.theirs.missing()
        same(world, method, path, (world.theirs, world.theirs), (missing, missing))
        if "{item}" in path:
            same(world, method, path, (world.own, world.theirs), (world.own, world.theirs.missing()))
        if "/turns" in path or "/branches" in path:
            same(world, method, path, (world.theirs, world.theirs.by_turn), (missing, missing.by_turn))
            same(world, method, path, (world.own, world.theirs.by_turn), (world.own, missing.by_turn))
    assert state(world) == before


def state(world: World) -> list[bytes]:
    """All the bank sees of what is the bank's."""
    ids = world.theirs
    paths = (
        "/v1/conversations",
        f"/v1/conversations/{ids.conversation}",
        f"/v1/conversations/{ids.conversation}/items",
        f"/v1/responses/{ids.response}",
        f"/v1/conversations/{ids.conversation}/turns",
        f"/v1/conversations/{ids.conversation}/turns/1/context",
        f"/v1/conversations/{ids.conversation}/branches",
        f"/v1/conversations/{ids.conversation}/policy",
        f"/v1/conversations/{ids.conversation}/summary",
        f"/v1/conversations/{ids.conversation}/usage",
        f"/v1/conversations/{ids.conversation}/window",
    )
    answers = [world.one.get(path, **bearer(world.bank)) for path in paths]
    assert {status for status, _, _ in answers} == {200}
    assert SECRET.encode() in answers[2][1]
    return [body for _, body, _ in answers]


def test_lists_and_searches_hold_nothing_of_others(world: World) -> None:
    for method, path in addresses(world.one):
        if method == "GET" and "{" not in path:
            assert SECRET.encode() not in asked(world, method, path, None, {})[1]
            assert world.theirs.conversation.encode() not in asked(world, method, path, None, {})[1]


def test_every_route_has_a_rule_of_its_own(world: World) -> None:
    """Nobody comes in by an address that was forgotten: without a key everything but the probes is closed."""
    for method, path in addresses(world.one):
        status, _, _ = world.one._asked(method, filled(path, world.own, world.own), None, {})
        assert status == (200 if path in ("/healthz", "/readyz") else 401), (method, path)
