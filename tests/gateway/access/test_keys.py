"""Who may come in, for what, and as whom? Over real HTTP, with the keys in the store."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest
from tests.gateway.keyed import bearer, made, revoked
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

from multiturn import AsyncMultiTurn
from multiturn.gateway.access.keys import Keys
from multiturn.gateway.access.scopes import rule_of
from multiturn.gateway.http.refusal import Refusal

CHAT = "/v1/chat/completions"


def asks(conversation: str | None = None, text: str = "My name is Ada.", **more: Any) -> dict[str, Any]:
    body = {"model": "demo", "messages": [{"role": "user", "content": text}], **more}
    return body if conversation is None else {**body, "conversation": conversation}


def code(answer: tuple[int, bytes, Any]) -> tuple[int, str]:
    error = json.loads(answer[1])["error"]
    assert sorted(error) == ["code", "message", "param", "type"]
    return answer[0], error["code"]


# ------------------------------------------------------------------------------------ with and without


def test_nobody_needs_a_key_where_none_was_ever_made(store: Path) -> None:
    with gate(model="demo", store=store) as one:
        assert one.post(asks("c"), **bearer("none"))[0] == 200
        assert one.get("/metrics")[0] == 200


def test_where_there_is_a_key_every_request_needs_one(store: Path) -> None:
    secret = made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.get("/healthz")[0] == one.get("/readyz")[0] == 200
        for path in ("/v1/models", "/v1/conversations", "/metrics", "/v1/nothing", "/"):
            assert code(one.get(path)) == (401, "invalid_api_key")
        status, body, headers = one.post(asks("c"))
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert "didn't provide" in json.loads(body)["error"]["message"]
        for wrong in ("none", secret[:-1], secret + "x", secret.upper(), "é"):
            assert code(one.post(asks("c"), **bearer(wrong))) == (401, "invalid_api_key")
        assert one.post(asks("c"), **bearer(secret))[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer  {}"},
        {"authorization": "{}"},
        {"api-key": "{}"},
        {"authorization": "", "api-key": "{}"},
        {"api-key": "{}", "authorization": ""},
    ],
    ids=str,
)
def test_a_key_comes_in_any_of_the_usual_headers(store: Path, header: dict[str, str]) -> None:
    secret = made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.get("/v1/models", **{name: v.format(secret) for name, v in header.items()})[0] == 200


def test_an_official_client_is_told_in_its_own_terms(store: Path) -> None:
    secret = made(store, "shop")
    with gate(model="demo", store=store) as one:
        with pytest.raises(openai.AuthenticationError) as refused:
            one.openai().models.list()
        assert refused.value.code == "invalid_api_key"
        with openai.OpenAI(base_url=f"{one.url}/v1", api_key=secret) as client:
            assert [each.id for each in client.models.list()]


def test_dashscopes_clients_are_told_in_theirs(store: Path) -> None:
    made(store, "shop")
    with gate(model="demo", store=store) as one:
        path = "/api/v1/services/aigc/text-generation/generation"
        status, body, _ = one.post({"model": "demo", "input": {"prompt": "x"}}, path)
        assert (status, json.loads(body)["code"]) == (401, "InvalidApiKey")


# ------------------------------------------------------------------------------------ made and revoked


def test_the_first_key_closes_a_gateway_that_runs(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.access.keys.REMEMBERED", 0.0)
    with gate(model="demo", store=store) as one:
        assert one.get("/v1/models")[0] == 200
        secret = made(store, "shop")
        assert one.get("/v1/models")[0] == 401
        assert one.get("/v1/models", **bearer(secret))[0] == 200


def test_a_revoked_key_opens_nothing_any_more(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multiturn.gateway.access.keys.REMEMBERED", 0.0)
    secret = made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.get("/v1/models", **bearer(secret))[0] == 200
        revoked(store)
        assert code(one.get("/v1/models", **bearer(secret))) == (401, "invalid_api_key")
        assert code(one.get("/v1/models")) == (401, "invalid_api_key")


def test_a_key_that_is_known_is_not_looked_up_again(store: Path) -> None:
    secret = made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.get("/v1/models", **bearer(secret))[0] == 200
        revoked(store)
        assert one.get("/v1/models", **bearer(secret))[0] == 200


@pytest.mark.parametrize(("most", "status"), [(2, 200), (1, 401)])
def test_no_more_than_so_many_keys_are_known(
    store: Path, monkeypatch: pytest.MonkeyPatch, most: int, status: int
) -> None:
    monkeypatch.setattr("multiturn.gateway.access.keys.MOST", most)
    one_key, other = made(store, "shop"), made(store, "bank")
    with gate(model="demo", store=store) as one:
        for secret in (one_key, other):
            assert one.get("/v1/models", **bearer(secret))[0] == 200
        revoked(store)
        assert one.get("/v1/models", **bearer(one_key))[0] == status


async def test_where_the_store_keeps_no_keys_nobody_has_one() -> None:
    client = cast("AsyncMultiTurn", SimpleNamespace(endpoints=SimpleNamespace(store=None)))
    scope = {"type": "http", "method": "GET", "path": "/v1/models", "headers": [(b"api-key", b"mt_x")]}
    await Keys(client, needed=False).admit(scope)
    with pytest.raises(Refusal) as refused:
        await Keys(client, needed=True).admit(scope)
    assert refused.value.status == 401


# ------------------------------------------------------------------------------------ scopes


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/healthz", "open"),
        ("HEAD", "/readyz", "open"),
        ("POST", "/healthz", "admin"),
        ("GET", "/metrics", "admin"),
        ("GET", "/v1/models", "any"),
        ("GET", "/v1/models/qwen/qwen-plus", "any"),
        ("POST", "/v1/chat/completions", "chat"),
        ("POST", "/v1/responses", "chat"),
        ("GET", "/v1/responses/resp_1", "read"),
        ("GET", "/v1/responses/resp_1/input_items", "read"),
        ("GET", "/v1/responses/resp_1/context", "inspect"),
        ("POST", "/v1/responses/resp_1/cancel", "chat"),
        ("DELETE", "/v1/responses/resp_1", "chat"),
        ("GET", "/v1/conversations", "read"),
        ("POST", "/v1/conversations/c/items", "chat"),
        ("GET", "/v1/conversations/c/turns/1/context", "inspect"),
        ("POST", "/v1/conversations/c/window", "inspect"),
        ("POST", "/v1/conversations/c/recall", "read"),
        ("GET", "/v1/conversations/c/usage", "read"),
        ("GET", "/v1/search", "read"),
        ("GET", "/v1/usage", "admin"),
        ("GET", "/v1/usage\n", "admin"),
        ("GET", "/v1/conversations/a\nb/window\n", "inspect"),
        ("DELETE", "/v1/users/ada", "admin"),
        ("GET", "/v1/users/ada/export", "admin"),
        ("POST", "/api/v1/services/aigc/text-generation/generation", "chat"),
        ("GET", "/", "admin"),
        ("GET", "/anything/else", "admin"),
        ("BREW", "/v1/responses", "chat"),
    ],
)
def test_every_address_says_what_a_key_must_be_for(method: str, path: str, scope: str) -> None:
    assert rule_of(method, path).scope == scope


def test_a_key_does_what_it_is_for_and_nothing_else(store: Path) -> None:
    keys = {each: made(store, "shop", scopes=(each,)) for each in ("chat", "read", "inspect", "admin")}
    with gate(model="demo", store=store) as one:
        assert one.post(asks("c"), **bearer(keys["chat"]))[0] == 200
        wanted = {
            "read": "/v1/conversations/c",
            "inspect": "/v1/conversations/c/turns/1/context",
            "admin": "/metrics",
        }
        for scope, secret in keys.items():
            assert one.get("/v1/models", **bearer(secret))[0] == 200
            for other, path in wanted.items():
                answer = one.get(path, **bearer(secret))
                assert answer[0] == 200 if scope == other else code(answer) == (403, "missing_scope")
            if scope != "chat":
                assert code(one.post(asks("c"), **bearer(secret))) == (403, "missing_scope")


def test_what_a_key_may_not_do_says_nothing_of_what_there_is(store: Path) -> None:
    chat, talk = made(store, "shop", scopes=("read",)), made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.post(asks("c"), **bearer(talk))[0] == 200
        there, missing = (
            one.get(f"/v1/conversations/{name}/turns/1/context", **bearer(chat))[:2] for name in ("c", "d")
        )
        assert there == missing
        assert there[0] == 403


# ------------------------------------------------------------------------------------ tenants and users


def test_tenants_have_conversations_of_their_own_under_the_same_id(store: Path) -> None:
    shop, bank = made(store, "shop"), made(store, "bank")
    with gate(model="demo", store=store) as one:
        one.post(asks("c", "My name is Ada."), **bearer(shop))
        answer = one.post(asks("c", "What is my name?"), **bearer(bank))
        assert "Ada" not in json.loads(answer[1])["choices"][0]["message"]["content"]
        answer = one.post(asks("c", "What is my name?"), **bearer(shop))
        assert "Ada" in json.loads(answer[1])["choices"][0]["message"]["content"]
        assert [each["turns"] for each in listed(one, bank)] == [1]


def listed(one: Gate, secret: str, query: str = "") -> list[dict[str, Any]]:
    status, body, _ = one.get(f"/v1/conversations{query}", **bearer(secret))
    assert status == 200
    return list(json.loads(body)["data"])


def test_a_repeated_post_of_another_tenant_joins_nothing(store: Path) -> None:
    """Official clients repeat a POST whose answer they lost; the same of somebody else is no repeat."""
    shop, bank = made(store, "shop"), made(store, "bank")
    with gate(model="demo", store=store) as one:
        one.post(asks("c"), **bearer(shop))
        answer = one.post(asks("c"), **bearer(bank), x_stainless_retry_count="1")
        assert answer[0] == 200
        assert listed(one, bank)[0]["turns"] == listed(one, shop)[0]["turns"] == 1


def test_a_key_bound_to_a_user_acts_as_this_user(store: Path) -> None:
    ada, everybody = made(store, "shop", "ada"), made(store, "shop")
    with gate(model="demo", store=store) as one:
        assert one.post(asks("hers"), **bearer(ada))[0] == 200
        assert one.post(asks("named", user="ada"), **bearer(ada))[0] == 200
        assert one.post(asks("his", user="bob"), **bearer(everybody))[0] == 200
        assert {each["user"] for each in listed(one, ada)} == {"ada"}
        assert {each["id"] for each in listed(one, ada)} == {"hers", "named"}
        assert one.get("/v1/conversations?user=bob", **bearer(ada))[0] == 400
        there, missing = (one.get(f"/v1/conversations/{name}", **bearer(ada))[:2] for name in ("his", "no"))
        assert there == missing
        assert one.get("/v1/conversations/his?user=bob", **bearer(everybody))[0] == 200


@pytest.mark.parametrize("conversation", [None, "c"])
def test_a_bound_key_lets_nobody_else_be_named(store: Path, conversation: str | None) -> None:
    ada = made(store, "shop", "ada")
    with serve("qwen") as sim, gate(sim, store=store) as one:
        body = asks(conversation, user="bob", model="qwen/qwen-plus")
        answer = one.post(body, **bearer(ada))
        assert code(answer) == (400, "user_bound")
        assert json.loads(answer[1])["error"]["param"] == "user"
        assert not sim.requests


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/conversations?user=bob", None),
        ("GET", "/v1/conversations/c?user=bob", None),
        ("GET", "/v1/conversations/c/turns?user=bob", None),
        ("GET", "/v1/conversations/c/items?user=bob", None),
        ("GET", "/v1/conversations/c/export?user=bob", None),
        ("GET", "/v1/conversations/c/window?user=bob", None),
        ("POST", "/v1/conversations/c/window?user=bob", {}),
        ("POST", "/v1/conversations?user=bob", {}),
        ("POST", "/v1/conversations", {"user": "bob"}),
        ("POST", "/v1/conversations/c?user=bob", {"metadata": {}}),
        ("POST", "/v1/conversations/c/turns/1/retry?user=bob", {}),
        ("DELETE", "/v1/conversations/c?user=bob", None),
        ("GET", "/v1/search?text=a&user=bob", None),
        ("POST", "/v1/responses", {"input": "hi", "user": "bob"}),
        ("POST", "/v1/responses", {"input": "hi", "user": "bob", "store": False}),
        ("POST", "/v1/embeddings", {"input": "hi", "user": "bob"}),
    ],
)
def test_whoever_names_somebody_else_is_told_what_is_wrong(
    store: Path, method: str, path: str, body: dict[str, Any] | None
) -> None:
    ada = made(store, "shop", "ada")
    with gate(model="demo", store=store) as one:
        ask = one.get if body is None else partial(one.post, body)
        answer = ask(path, **({"method": method} if body is None else {}), **bearer(ada))
        error = json.loads(answer[1])["error"]
        assert (code(answer), error["param"]) == ((400, "user_bound"), "user")
        assert "another user" in error["message"]
        assert "bob" not in error["message"]
