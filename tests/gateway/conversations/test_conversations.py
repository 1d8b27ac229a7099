"""What conversations there are, and what the model saw of them."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

from multiturn import AsyncMultiTurn, ContextPolicy
from multiturn.gateway.sweeping import sweeping
from multiturn.settings import load


def send(one: Gate, text: str, to: str = "c1", **more: Any) -> None:
    message = {"role": "user", "content": text}
    body = {"model": "qwen/qwen-plus", "messages": [message], "conversation": to, **more}
    assert one.post(body)[0] == 200


def read(one: Gate, path: str) -> Any:
    status, body, _ = one.get(path)
    assert status == 200
    return json.loads(body)


def test_conversations_are_listed_newest_first_in_pages() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for name in ("a", "b", "c"):
            send(one, f"hello {name}", name)
        send(one, "hello", "other", user="bob")
        page = read(one, "/v1/conversations?limit=2")
        assert [each["id"] for each in page["data"]] == ["c", "b"]
        assert (page["first_id"], page["last_id"], page["has_more"]) == ("c", "b", True)
        page = read(one, "/v1/conversations?limit=2&after=b")
        assert [each["id"] for each in page["data"]] == ["a"]
        assert page["has_more"] is False
        assert page["data"][0]["title"] == "hello a"
        assert [each["id"] for each in read(one, "/v1/conversations?user=bob")["data"]] == ["other"]
        assert read(one, "/v1/conversations?user=nobody")["first_id"] == ""


def test_turns_tell_state_usage_and_cost() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one")
        send(one, "two")
        turns = read(one, "/v1/conversations/c1/turns")["data"]
        assert [(each["number"], each["state"], each["messages"]) for each in turns] == [
            (1, "completed", 2),
            (2, "completed", 2),
        ]
        assert turns[0]["usage"]["prompt_tokens"] > 0
        assert turns[0]["cost"]["currency"] == "USD"
        newest = read(one, "/v1/conversations/c1/turns?limit=1")
        assert ([each["number"] for each in newest["data"]], newest["has_more"]) == ([2], True)


def test_the_context_of_a_turn_tells_why() -> None:
    policy = ContextPolicy(max_turns=1, recall=None, summarize=None)
    with serve("qwen", "ok") as sim, gate(sim, policy=policy) as one:
        for text in ("one", "two", "three"):
            send(one, text)
        told = read(one, "/v1/conversations/c1/turns/3/context")
        codes = {each["code"]: each for each in told["ledger"]}
        assert codes["outside_window"]["sent"] is False
        assert codes["outside_window"]["turns"] == [1, 1]
        assert codes["new"]["sent"] is True
        assert codes["outside_window"]["reason"]
        assert told["turn"]["number"] == 3
        assert told["tokens"] > 0
        assert told["cost"]["amount"] != "0"
        assert told["changes"]
        assert told["summary"] is None
        assert told["recalled"] == []
        assert read(one, "/v1/conversations/c1/turns/1/context")["changes"] == []
        for missing in ("4", "0", "x", "99999999999999"):
            status, body, _ = one.get(f"/v1/conversations/c1/turns/{missing}/context")
            assert (status, json.loads(body)["error"]["code"]) == (404, "turn_not_found")


def test_the_context_tells_what_the_cache_held() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one " * 2000)
        send(one, "two")
        assert read(one, "/v1/conversations/c1/turns/2/context")["cache"]["predicted"] > 0


def test_a_deleted_conversation_is_gone() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "one")
        status, body, _ = one.get("/v1/conversations/c1", "DELETE")
        assert (status, json.loads(body)) == (
            200,
            {"id": "c1", "object": "conversation.deleted", "deleted": True},
        )
        assert one.get("/v1/conversations/c1")[0] == 404
        assert one.get("/v1/conversations/c1", "DELETE")[0] == 404
        send(one, "anew")
        assert read(one, "/v1/conversations/c1")["turns"] == 1


# ----------------------------------------------------------------------------------------- metadata


def test_what_is_noted_is_told_and_changed_as_a_whole() -> None:
    with gate() as one:
        sdk = one.openai()
        made = sdk.conversations.create(metadata={"order": "7", "城市": "上海"})
        assert made.metadata == {"order": "7", "城市": "上海"}
        assert sdk.conversations.retrieve(made.id).metadata == made.metadata
        assert sdk.conversations.update(made.id, metadata={"order": "8"}).metadata == {"order": "8"}
        assert sdk.conversations.retrieve(made.id).metadata == {"order": "8"}
        assert sdk.conversations.update(made.id, metadata=None).metadata == {}
        assert sdk.conversations.create(metadata=None, items=None).metadata == {}
        assert abs(made.created_at - time.time()) < 60
        assert isinstance(made.created_at, int)


@pytest.mark.parametrize(
    "noted",
    [
        5,
        "text",
        [],
        {"a": 1},
        {"a": None},
        {"k" * 65: "v"},
        {"k": "v" * 513},
        {str(n): "v" for n in range(17)},
    ],
)
def test_more_than_may_be_noted_is_refused(noted: Any) -> None:
    with gate() as one:
        made = one.openai().conversations.create(metadata={"k" * 64: "v" * 512})
        for path in ("/v1/conversations", f"/v1/conversations/{made.id}"):
            status, body, _ = one.post({"metadata": noted}, path)
            error = json.loads(body)["error"]
            assert (status, error["code"], error["param"]) == (400, "metadata_shape", "metadata")
        assert [each["id"] for each in read(one, "/v1/conversations")["data"]] == [made.id]
        assert read(one, f"/v1/conversations/{made.id}")["metadata"] == {"k" * 64: "v" * 512}
        full = {str(n): "v" for n in range(16)}
        assert one.openai().conversations.update(made.id, metadata=full).metadata == full


def test_an_update_must_say_what() -> None:
    with gate() as one:
        made = one.openai().conversations.create()
        status, body, _ = one.post({}, f"/v1/conversations/{made.id}")
        assert (status, json.loads(body)["error"]["param"]) == (400, "metadata")
        assert one.post(b"", f"/v1/conversations/{made.id}")[0] == 400
        assert one.post(b"", "/v1/conversations")[0] == 200
        for user in (5, "x" * 513):
            status, body, _ = one.post({"user": user}, "/v1/conversations")
            error = json.loads(body)["error"]
            assert (status, error["code"], error["param"]) == (400, "parameter_invalid", "user")


def test_conversations_are_found_by_what_is_noted() -> None:
    with gate() as one:
        sdk = one.openai()
        ids = [
            sdk.conversations.create(metadata={"shop": shop, "no": str(n)}).id
            for n, shop in enumerate("aabab")
        ]
        pages = [read(one, f"/v1/conversations?metadata[shop]=a&limit={limit}") for limit in (2, 3)]
        assert [each["id"] for each in pages[0]["data"]] == [ids[3], ids[1]]
        assert [page["has_more"] for page in pages] == [True, False]
        assert [each["id"] for each in pages[1]["data"]] == [ids[3], ids[1], ids[0]]
        assert read(one, "/v1/conversations?metadata[shop]=a&metadata[no]=1")["data"][0]["id"] == ids[1]
        assert read(one, "/v1/conversations?metadata[shop]=c")["data"] == []
        again = sdk.get("/conversations", cast_to=object, options={"params": {"metadata": {"shop": "b"}}})
        assert [each["id"] for each in again["data"]] == [ids[4], ids[2]]  # type: ignore[index]  # as it came
        assert one.get(f"/v1/conversations?metadata[{'k' * 65}]=a")[0] == 400


def test_the_list_is_read_from_either_end_and_to_either_side() -> None:
    with gate() as one:
        ids = [one.openai().conversations.create().id for _ in range(5)]

        def found(query: str) -> tuple[list[int], bool]:
            page = read(one, f"/v1/conversations?{query}")
            return [ids.index(each["id"]) for each in page["data"]], page["has_more"]

        assert found("order=asc") == ([0, 1, 2, 3, 4], False)
        assert found("order=desc&limit=5") == ([4, 3, 2, 1, 0], False)
        assert found(f"order=asc&limit=2&after={ids[1]}") == ([2, 3], True)
        assert found(f"limit=2&after={ids[3]}") == ([2, 1], True)
        assert found(f"limit=2&before={ids[0]}") == ([2, 1], True)
        assert found(f"limit=4&before={ids[0]}") == ([4, 3, 2, 1], False)
        assert found(f"order=asc&limit=2&before={ids[4]}") == ([2, 3], True)
        assert found(f"order=asc&after={ids[0]}&before={ids[3]}") == ([1, 2], False)
        for query in ("order=up", "limit=0", "limit=101", "limit=x", "limit=²"):
            assert one.get(f"/v1/conversations?{quote(query, '=')}")[0] == 400


# -------------------------------------------------------------------------------------- time to live


def over(one: Gate, **body: Any) -> str:
    """A conversation whose time is over."""
    status, raw, _ = one.post({"expires_after": 60, **body}, "/v1/conversations")
    assert status == 200
    name = str(json.loads(raw)["id"])
    one.post({"expires_after": 0.05}, f"/v1/conversations/{name}")
    time.sleep(0.1)
    return name


def test_a_conversation_whose_time_is_over_is_like_one_that_is_missing() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = over(one, items=[{"role": "user", "content": "secret"}])
        missing = "conv_01JCXV3Q8Z0000000000000000"
        for method, path, body in (
            ("GET", "", None),
            ("DELETE", "", None),
            ("POST", "", {"metadata": {}}),
            ("GET", "/items", None),
            ("POST", "/items", {"items": []}),
            ("GET", "/turns", None),
            ("GET", "/items/msg_1", None),
        ):
            answers = [
                (
                    one.get(f"/v1/conversations/{each}{path}", method)
                    if body is None
                    else one.post(body, f"/v1/conversations/{each}{path}")
                )[:2]
                for each in (name, missing)
            ]
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        assert read(one, "/v1/conversations")["data"] == []
        send(one, "hello", name)
        assert "secret" not in str(sim.requests[-1].body)


def test_the_responses_of_a_conversation_go_with_it() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        made = json.loads(one.post({"expires_after": 60}, "/v1/conversations")[1])["id"]
        sdk = one.openai()
        told = sdk.responses.create(model="qwen/qwen-plus", input="hello", conversation=made)
        assert sdk.responses.retrieve(told.id).output_text == "ok"
        one.post({"expires_after": 0.05}, f"/v1/conversations/{made}")
        time.sleep(0.1)
        missing = one.get("/v1/responses/resp_01JCXV3Q8Z0000000000000000_0_1_1")
        assert one.get(f"/v1/responses/{told.id}")[:2] == missing[:2]
        body = {"model": "qwen/qwen-plus", "input": "more", "previous_response_id": told.id}
        assert one.post(body, "/v1/responses")[0] in (400, 404)


def test_how_long_is_told_changed_and_checked() -> None:
    with gate() as one:
        status, raw, _ = one.post({"expires_after": 3600}, "/v1/conversations")
        made = json.loads(raw)
        assert (status, made["expires_after"]) == (200, 3600)
        path = f"/v1/conversations/{made['id']}"
        assert json.loads(one.post({"expires_after": None}, path)[1])["expires_after"] is None
        assert (
            json.loads(one.post({"expires_after": 60, "metadata": {"a": "b"}}, path)[1])["expires_after"]
            == 60
        )
        assert json.loads(one.post({"metadata": {}}, path)[1])["expires_after"] == 60
        wrongs: tuple[Any, ...] = (-1, "60", True, [], 1e300)
        for wrong in wrongs:
            status, raw, _ = one.post({"expires_after": wrong}, path)
            assert (status, json.loads(raw)["error"]["param"]) == (400, "expires_after")


def test_the_operator_chooses_how_long_conversations_are_kept() -> None:
    config = load({"expires_after": 7200}, {"HOME": "/nowhere"})
    with serve("qwen", "ok") as sim, gate(sim, config=config) as one:
        send(one, "hello")
        assert read(one, "/v1/conversations/c1")["expires_after"] == 7200
        assert json.loads(one.post({}, "/v1/conversations")[1])["expires_after"] == 7200
        own = one.post({"expires_after": None}, "/v1/conversations")[1]
        assert json.loads(own)["expires_after"] is None


async def test_what_is_over_is_removed_while_the_gateway_runs(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    given: Any = {"model": "demo", "store": f"sqlite:///{path}", "environment": {"HOME": "/nowhere"}}
    async with AsyncMultiTurn(**given) as client:
        for name in ("c", "c60"):
            await client.conversation(name, expires_after=60).add(["hello"])
        await client.conversation("c").update(expires_after=0.05)
        task = asyncio.create_task(sweeping(client, 0.02))
        with closing(sqlite3.connect(path)) as rows:
            for _ in range(1000):
                await asyncio.sleep(0.02)
                if rows.execute("SELECT name FROM conversations").fetchall() == [("c60",)]:
                    break
            else:
                pytest.fail("nothing was removed")
        task.cancel()
        assert [one.id for one in await client.conversations()] == ["c60"]


def test_the_gateway_removes_what_was_over_before_it_began(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    with gate(store=path) as one:
        over(one)
    deadline = time.monotonic() + 60
    with gate(store=path), closing(sqlite3.connect(path)) as rows:
        while rows.execute("SELECT COUNT(*) FROM conversations").fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.02)


@pytest.mark.parametrize("name", ["shop/order-7", "a/context", "../a", "a%2Fb", "/", "订单/7"])
def test_a_slash_in_a_name_parts_no_address(name: str) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        send(one, "My name is Ada.", name)
        send(one, "My name is Bob.", name + "/b", user="a/b")
        address = f"/v1/conversations/{quote(name, safe='')}"
        assert read(one, address)["id"] == name
        assert read(one, f"{address}/turns/1")["number"] == 1
        assert one.get(f"{address}%2fb")[0] == 404
        assert json.loads(one.get("/v1/users/a%2fb")[1].splitlines()[0])["id"] == name + "/b"
        assert read(one, "/v1/models/qwen%2Fqwen-plus")["id"] == "qwen/qwen-plus"
        with one.openai() as openai:
            assert openai.conversations.retrieve(name).id == name
            assert openai.conversations.delete(name).deleted
        assert one.get(address)[0] == 404
