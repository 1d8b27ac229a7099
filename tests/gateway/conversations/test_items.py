"""Conversations and their items through OpenAI's own clients: what is added or deleted is what the model sees
next."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from tests.gateway.serving import Gate, gate
from tests.simulators import serve

from multiturn import ContextPolicy


def said(text: str, role: str = "user") -> Any:
    return {"type": "message", "role": role, "content": text}


def send(one: Gate, text: str, to: str, **more: Any) -> Any:
    """A chat completion in the conversation."""
    body = {"model": "qwen/qwen-plus", "messages": [{"role": "user", "content": text}], "conversation": to}
    status, raw, _ = one.post({**body, **more})
    assert status == 200, raw
    return json.loads(raw)


def seen(sim: Any) -> list[Any]:
    """What the model saw last; neighbours of the same role come as one message."""
    return [
        (message["role"], text)
        for message in sim.requests[-1].body["messages"]
        for text in (message["content"] or "").split("\n\n")
    ]


def client(one: Gate) -> Any:
    """The official client; what is sent here is not always what its types allow."""
    return one.openai()


def words(items: Any) -> list[str]:
    return [part.text for item in items if item.type == "message" for part in item.content]


def test_items_of_a_new_conversation_are_what_the_model_sees_in_order() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(
            items=[
                said("Be brief.", "developer"),
                said("one"),
                said("yes?", "assistant"),
                said("two"),
                said("three"),
            ],
            metadata={"order": "7"},
        )
        assert made.id.startswith("conv_")
        assert made.metadata == {"order": "7"}
        send(one, "four", made.id)
        assert seen(sim) == [
            ("system", "Be brief."),
            ("user", "one"),
            ("assistant", "yes?"),
            ("user", "two"),
            ("user", "three"),
            ("user", "four"),
        ]
        found = list(sdk.conversations.items.list(made.id, order="asc"))
        assert words(found) == ["Be brief.", "one", "yes?", "two", "three", "four", "ok"]
        assert [item.role for item in found if item.type == "message"] == [
            "developer",
            "user",
            "assistant",
            "user",
            "user",
            "user",
            "assistant",
        ]


def test_more_than_a_page_is_seeded_and_all_of_it_is_seen() -> None:
    with serve("qwen", "ok") as sim, gate(sim, policy=ContextPolicy(summarize=None, recall=None)) as one:
        sdk = client(one)
        made = sdk.conversations.create()
        texts = [f"fact {number}" for number in range(65)]
        for start in range(0, 65, 20):
            batch = sdk.conversations.items.create(
                made.id, items=[said(text) for text in texts[start : start + 20]]
            )
            assert words(batch.data) == texts[start : start + 20]
            assert (batch.first_id, batch.last_id) == (batch.data[0].id, batch.data[-1].id)
            assert batch.has_more is False
        send(one, "what now?", made.id)
        assert [text for _, text in seen(sim)] == [*texts, "what now?"]
        assert words(sdk.conversations.items.list(made.id, order="asc", limit=7)) == [
            *texts,
            "what now?",
            "ok",
        ]
        assert words(sdk.conversations.items.list(made.id)) == ["ok", "what now?", *reversed(texts)]


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_every_item_once(order: Any, limit: int) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        items = [
            said("a"),
            said("b", "assistant"),
            said("c"),
            said("d"),
            {"type": "web_search_call", "id": "ws_1"},
        ]
        items += [said("e", "assistant"), {"type": "web_search_call", "id": "ws_2"}]
        made = sdk.conversations.create(items=items)
        whole = json.loads(one.get(f"/v1/conversations/{made.id}/items?order=asc")[1])["data"]
        assert [each["id"] for each in whole if each["type"] != "message"] == ["ws_1", "ws_2"]
        pages, after = [], ""
        while True:
            path = f"/v1/conversations/{made.id}/items?order={order}&limit={limit}" + (
                after and f"&after={after}"
            )
            page = json.loads(one.get(path)[1])
            assert len(page["data"]) <= limit
            pages += page["data"]
            after = page["last_id"]
            if not page["has_more"]:
                break
        assert pages == (whole if order == "asc" else whole[::-1])
        assert send(one, "f", made.id)["choices"][0]["message"]["content"] == "ok"
        assert "web_search" not in str(sim.requests[-1].body)


def test_an_empty_conversation_has_an_empty_page() -> None:
    with gate() as one:
        made = client(one).conversations.create()
        status, body, _ = one.get(f"/v1/conversations/{made.id}/items?include[]=a&include=b")
        assert (status, json.loads(body)) == (
            200,
            {"object": "list", "data": [], "first_id": "", "last_id": "", "has_more": False},
        )


def test_items_added_later_are_seen_and_deleted_ones_are_not() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=[said("my code is 4711"), said("noted", "assistant")])
        send(one, "hello", made.id)
        added = sdk.conversations.items.create(made.id, items=[said("my cat is Mimi")])
        send(one, "who is my cat?", made.id)
        assert ("user", "my cat is Mimi") in seen(sim)
        secret = next(
            item for item in sdk.conversations.items.list(made.id) if words([item]) == ["my code is 4711"]
        )
        assert sdk.conversations.items.retrieve(secret.id, conversation_id=made.id) == secret
        gone = sdk.conversations.items.delete(secret.id, conversation_id=made.id)
        assert (gone.id, gone.object) == (made.id, "conversation")
        send(one, "what is my code?", made.id)
        assert "code is 4711" not in str(sim.requests[-1].body)
        told = json.loads(one.get(f"/v1/conversations/{made.id}/turns/5/context")[1])
        assert [each["turns"] for each in told["ledger"] if each["code"] == "excluded_by_user"] == [[1, 1]]
        assert ("user", "my cat is Mimi") in seen(sim)
        for call in (sdk.conversations.items.retrieve, sdk.conversations.items.delete):
            with pytest.raises(openai.NotFoundError) as error:
                call(secret.id, conversation_id=made.id)
            assert error.value.code == "item_not_found"
        left = words(sdk.conversations.items.list(made.id, order="asc"))
        assert "my code is 4711" not in left
        assert left[0] == "noted"
        sdk.conversations.items.delete(added.data[0].id, conversation_id=made.id)
        send(one, "and now?", made.id)
        assert "Mimi" not in str(sim.requests[-1].body["messages"][:-1])


def test_a_client_that_deletes_while_it_pages_deletes_everything() -> None:
    for order in ("asc", "desc"):
        with gate() as one:
            sdk = client(one)
            made = sdk.conversations.create(items=[said(str(n)) for n in range(7)])
            for item in sdk.conversations.items.list(made.id, limit=3, order=order):
                sdk.conversations.items.delete(item.id, conversation_id=made.id)
            assert list(sdk.conversations.items.list(made.id)) == []
            made = sdk.conversations.create(items=CALLS)
            for item in sdk.conversations.items.list(made.id, limit=1, order=order):
                sdk.conversations.items.delete(item.id, conversation_id=made.id)
            assert list(sdk.conversations.items.list(made.id)) == []


CALLS: list[Any] = [
    said("weather in two towns?"),
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "two calls"}]},
    said("I look.", "assistant"),
    {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"t":1}'},
    {"type": "function_call", "id": "fc_2", "call_id": "b", "name": "f", "arguments": '{"t":2}'},
    {"type": "function_call_output", "call_id": "a", "output": "sunny"},
    {"type": "function_call_output", "call_id": "b", "output": "rain"},
    said("Sun and rain.", "assistant"),
]


def types(sdk: Any, conversation: str) -> list[str]:
    return [item.type for item in sdk.conversations.items.list(conversation, order="asc")]


def test_calls_and_results_are_items_and_stay_together() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=CALLS)
        assert types(sdk, made.id) == [item["type"] for item in CALLS]
        send(one, "thanks", made.id)
        messages = sim.requests[-1].body["messages"]
        assert [message["role"] for message in messages] == [
            "user",
            "assistant",
            "tool",
            "tool",
            "assistant",
            "user",
        ]
        assert [call["id"] for call in messages[1]["tool_calls"]] == ["a", "b"]
        assert messages[1]["content"] == "I look."
        found = sdk.conversations.items.retrieve("fc_2", conversation_id=made.id)
        assert found.type == "function_call"
        assert (found.call_id, found.arguments, found.status) == ("b", '{"t":2}', "completed")


def test_a_deleted_call_takes_its_result_along_and_nothing_else() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=CALLS)
        sdk.conversations.items.delete("fc_1", conversation_id=made.id)
        assert types(sdk, made.id) == [
            "message",
            "reasoning",
            "message",
            "function_call",
            "function_call_output",
            "message",
        ]
        send(one, "thanks", made.id)
        messages = sim.requests[-1].body["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant", "user"]
        assert [call["id"] for call in messages[1]["tool_calls"]] == ["b"]
        assert (messages[2]["tool_call_id"], messages[2]["content"]) == ("b", "rain")
        sdk.conversations.items.delete("rs_1", conversation_id=made.id)
        sdk.conversations.items.delete("fc_2", conversation_id=made.id)
        assert types(sdk, made.id)[:3] == ["message", "message", "message"]
        send(one, "more", made.id)
        assert seen(sim)[:3] == [
            ("user", "weather in two towns?"),
            ("assistant", "I look."),
            ("assistant", "Sun and rain."),
        ]


def test_the_deleted_words_of_a_call_take_the_calls_along() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=CALLS)
        spoken = next(item for item in sdk.conversations.items.list(made.id) if words([item]) == ["I look."])
        sdk.conversations.items.delete(spoken.id, conversation_id=made.id)
        assert types(sdk, made.id) == ["message", "message"]
        send(one, "thanks", made.id)
        assert [role for role, _ in seen(sim)] == ["user", "assistant", "user"]


def test_a_call_without_its_result_is_closed_and_the_conversation_goes_on() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=CALLS)
        last = [item for item in sdk.conversations.items.list(made.id) if item.type == "function_call_output"]
        sdk.conversations.items.delete(last[0].id, conversation_id=made.id)
        send(one, "thanks", made.id)
        messages = sim.requests[-1].body["messages"]
        assert [message["role"] for message in messages] == [
            "user",
            "assistant",
            "tool",
            "tool",
            "assistant",
            "user",
        ]
        assert "rain" not in [message["content"] for message in messages]


def test_a_result_may_come_later_than_its_call() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        sdk = client(one)
        made = sdk.conversations.create(items=CALLS[:5])
        sdk.conversations.items.create(made.id, items=CALLS[5:7])
        send(one, "so?", made.id)
        roles = [message["role"] for message in sim.requests[-1].body["messages"]]
        assert roles == ["user", "assistant", "tool", "tool", "user"]
        with pytest.raises(openai.BadRequestError) as error:
            sdk.conversations.items.create(
                made.id, items=[{"type": "function_call_output", "call_id": "nowhere", "output": "x"}]
            )
        assert (error.value.code, error.value.param) == ("items_refused", "items")


def test_a_turn_goes_on_with_the_results_of_calls_that_were_added() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        made = client(one).conversations.create(items=CALLS[:5])
        results = [{"role": "tool", "tool_call_id": each, "content": f"{each}!"} for each in "ab"]
        body = {"model": "qwen/qwen-plus", "messages": results, "conversation": made.id}
        status, raw, _ = one.post(body)
        assert status == 200, raw
        messages = sim.requests[-1].body["messages"]
        assert [message["role"] for message in messages] == ["user", "assistant", "tool", "tool"]
        assert types(client(one), made.id) == [item["type"] for item in CALLS]


def test_what_is_unknown_comes_back_as_it_was() -> None:
    strange = {"type": "from_the_future", "id": "fut_1", "deep": {"a": [1, None, {"b": "上海"}]}, "role": "x"}
    with serve("qwen", "ok") as sim, gate(sim) as one:
        made = client(one).conversations.create(items=[said("a")])
        path = f"/v1/conversations/{made.id}/items"
        status, body, _ = one.post({"items": [strange, {"type": "another", "n": 1}]}, path)
        first, second = json.loads(body)["data"]
        assert (status, first) == (200, strange)
        assert second == {"type": "another", "n": 1, "id": second["id"]}
        for item in (first, second):
            assert json.loads(one.get(f"{path}/{item['id']}")[1]) == item
        send(one, "b", made.id)
        assert [text for _, text in seen(sim)] == ["a", "b"]
        assert one.get(f"{path}/fut_1", "DELETE")[0] == 200
        assert one.get(f"{path}/fut_1")[0] == 404
        assert [each["type"] for each in json.loads(one.get(f"{path}?order=asc")[1])["data"]] == [
            "message",
            "another",
            "message",
            "message",
        ]


def test_pictures_are_seen_as_pictures_and_come_back() -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 600
    content: Any = [
        {"type": "input_text", "text": "what is it?"},
        {"type": "input_image", "image_url": picture, "detail": "low"},
    ]
    with serve("qwen", "ok") as sim, gate(sim, model="qwen/qwen3-vl-plus") as one:
        sdk = client(one)
        made = sdk.conversations.create(items=[{"type": "message", "role": "user", "content": content}])
        [item] = sdk.conversations.items.list(made.id)
        assert item.to_dict()["content"] == content
        send(one, "well?", made.id, model="qwen/qwen3-vl-plus")
        parts = sim.requests[-1].body["messages"][0]["content"]
        assert parts[1]["image_url"]["url"] == picture


def test_an_item_may_be_referred_to() -> None:
    with gate() as one:
        sdk = client(one)
        first = sdk.conversations.create(items=[said("a"), {**said("b"), "id": "mine"}])
        [b, a] = sdk.conversations.items.list(first.id)
        assert b.id == "mine"
        second = sdk.conversations.create(items=[{"type": "item_reference", "id": a.id}])
        assert words(sdk.conversations.items.list(second.id)) == ["a"]
        again = sdk.conversations.items.create(first.id, items=[{"type": "item_reference", "id": "mine"}])
        assert words(again.data) == ["b"]
        assert again.data[0].id != "mine"
        foreign = client(one).conversations.create(items=[said("z")], extra_body={"user": "bob"})
        [z] = client(one).conversations.items.list(foreign.id, extra_query={"user": "bob"})
        for name in (z.id, "mine", "msg_1", "rs_01JCXV3Q8Z0000000000000000_0_1_0"):
            with pytest.raises(openai.NotFoundError) as error:
                sdk.conversations.create(items=[{"type": "item_reference", "id": name}])
            assert (error.value.code, error.value.param) == ("item_not_found", "items")


def test_two_items_never_have_the_same_id() -> None:
    with gate() as one:
        sdk = client(one)
        twice = [{**said("a"), "id": "same"}, {**said("b"), "id": "same"}]
        made = sdk.conversations.create(items=twice)
        sdk.conversations.items.create(made.id, items=[{**said("c"), "id": "same"}])
        ids = [item.id for item in sdk.conversations.items.list(made.id, order="asc")]
        assert ids[0] == "same"
        assert len(set(ids)) == 3
        sdk.conversations.items.delete("same", conversation_id=made.id)
        assert words(sdk.conversations.items.list(made.id, order="asc")) == ["b", "c"]
        again = sdk.conversations.items.create(made.id, items=[{**said("d"), "id": "same"}])
        assert again.data[0].id == "same"
        found = sdk.conversations.items.retrieve("same", conversation_id=made.id)
        assert words([found]) == ["d"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "items"),
        ({"items": None}, "items"),
        ({"items": "text"}, "items"),
        ({"items": [said("x")] * 21}, "items"),
        ({"items": [said("x"), 3]}, "items[1]"),
        ({"items": [{"role": "user"}]}, "items[0].content"),
        ({"items": [{"role": "user", "content": [{"type": "input_text"}]}]}, "items[0].content[0].text"),
    ],
)
def test_what_are_no_items_is_refused_and_nothing_is_kept(body: Any, param: str) -> None:
    with gate() as one:
        made = client(one).conversations.create(items=[said("a")])
        status, raw, _ = one.post(body, f"/v1/conversations/{made.id}/items")
        assert (status, json.loads(raw)["error"]["param"]) == (400, param)
        assert len(json.loads(one.get(f"/v1/conversations/{made.id}/items")[1])["data"]) == 1
        if "items" in body and body["items"] is not None:
            assert one.post(body, "/v1/conversations")[0] == 400
            assert len(json.loads(one.get("/v1/conversations")[1])["data"]) == 1


@pytest.mark.parametrize(
    ("query", "status", "param"),
    [
        ("limit=0", 400, "limit"),
        ("limit=101", 400, "limit"),
        ("limit=-1", 400, "limit"),
        ("limit=x", 400, "limit"),
        ("order=up", 400, "order"),
        ("after=msg_1", 404, "after"),
        ("after=%00", 404, "after"),
        ("after=%f0%9f%98%80", 404, "after"),
    ],
)
def test_a_page_that_cannot_be_is_refused(query: str, status: int, param: str) -> None:
    with gate() as one:
        made = client(one).conversations.create(items=[said("a")])
        answer = one.get(f"/v1/conversations/{made.id}/items?{query}")
        assert (answer[0], json.loads(answer[1])["error"]["param"]) == (status, param)


@pytest.mark.parametrize("name", ["%00", "%ff", "%20", "x" * 600, "msg_1", "%2e%2e", "%ed%a0%80", "a%2fb"])
def test_odd_names_are_names_of_nothing(name: str) -> None:
    with gate() as one:
        made = client(one).conversations.create(items=[said("a")])
        [item] = client(one).conversations.items.list(made.id)
        for place in ("9_1_0", "0_9_0", "0_1_9", "0_0_0"):
            elsewhere = item.id.replace("0_1_0", place)
            assert one.get(f"/v1/conversations/{made.id}/items/{elsewhere}")[0] == 404
        for path in (f"/v1/conversations/{name}", f"/v1/conversations/{name}/items"):
            assert one.get(path)[0] == 404
            assert one.post({"items": [said("a")], "metadata": {}}, path)[0] == 404
        for method in ("GET", "DELETE"):
            assert one.get(f"/v1/conversations/{made.id}/items/{name}", method)[0] == 404
        assert one.get("/v1/conversations")[0] == 200


def test_foreign_conversations_and_items_are_like_missing_ones() -> None:
    with gate() as one:
        sdk = client(one)
        mine = sdk.conversations.create(items=[said("a")], extra_body={"user": "bob"})
        [item] = sdk.conversations.items.list(mine.id, extra_query={"user": "bob"})
        other = sdk.conversations.create(items=[said("b")])
        missing = "conv_01JCXV3Q8Z0000000000000000"
        gone = "msg_01JCXV3Q8Z0000000000000000_0_1_0"
        for method, path, body in (
            ("GET", "/v1/conversations/{c}", None),
            ("DELETE", "/v1/conversations/{c}", None),
            ("POST", "/v1/conversations/{c}", {"metadata": {}}),
            ("POST", "/v1/conversations/{c}", {}),
            ("GET", "/v1/conversations/{c}/items", None),
            ("POST", "/v1/conversations/{c}/items", {"items": [said("x")]}),
            ("POST", "/v1/conversations/{c}/items", {"items": 5}),
            ("GET", "/v1/conversations/{c}/items/{i}", None),
            ("DELETE", "/v1/conversations/{c}/items/{i}", None),
            ("GET", "/v1/conversations?after={c}", None),
            ("GET", f"/v1/conversations/{other.id}/items/{{i}}", None),
            ("GET", f"/v1/conversations/{other.id}/items?after={{i}}", None),
        ):
            answers = []
            for conversation, name in ((mine.id, item.id), (missing, gone)):
                address = path.format(c=conversation, i=name)
                raw = one.post(body, address) if body is not None else one.get(address, method)
                answers.append(raw[:2])
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        assert words(sdk.conversations.items.list(mine.id, extra_query={"user": "bob"})) == ["a"]


async def test_what_is_deleted_at_once_is_all_deleted() -> None:
    with gate() as one:
        async with one.aopenai() as typed:
            sdk: Any = typed
            calls = [
                {"type": "function_call", "id": f"fc_{n}", "call_id": str(n), "name": "f", "arguments": "{}"}
                for n in range(12)
            ]
            made = await sdk.conversations.create(items=[said("a"), *calls])
            gone = [sdk.conversations.items.delete(f"fc_{n}", conversation_id=made.id) for n in range(12)]
            await asyncio.gather(*gone)
            left = [item async for item in sdk.conversations.items.list(made.id)]
            assert words(left) == ["a"]
            assert len(left) == 1


async def test_the_asynchronous_client_sees_the_same() -> None:
    with gate() as one:
        async with one.aopenai() as typed:
            sdk: Any = typed
            made = await sdk.conversations.create(items=[said("a")], metadata={"k": "v"})
            await sdk.conversations.items.create(made.id, items=[said(str(n)) for n in range(5)])
            found = [item async for item in sdk.conversations.items.list(made.id, limit=2, order="asc")]
            assert words(found) == ["a", "0", "1", "2", "3", "4"]
            updated = await sdk.conversations.update(made.id, metadata={"k": "w"})
            assert updated.metadata == {"k": "w"}
            gone = await sdk.conversations.delete(made.id)
            assert (gone.id, gone.deleted, gone.object) == (made.id, True, "conversation.deleted")
            with pytest.raises(openai.NotFoundError):
                await sdk.conversations.retrieve(made.id)


def test_items_are_there_after_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "chats.db"
    with gate(store=store) as one:
        made = client(one).conversations.create(items=CALLS, metadata={"a": "b"})
        before = one.get(f"/v1/conversations/{made.id}/items")[1]
    with gate(store=store) as one:
        assert one.get(f"/v1/conversations/{made.id}/items")[1] == before
        assert client(one).conversations.retrieve(made.id).metadata == {"a": "b"}


def test_items_and_notes_leave_the_model_of_a_conversation_as_it_is() -> None:
    with gate(model="demo") as one, httpx.Client(base_url=one.url) as http:
        sdk = client(one)
        made = http.post("/v1/conversations", json={"model": "qwen/qwen-max"}).json()
        sdk.conversations.items.create(made["id"], items=[said("one")])
        sdk.conversations.update(made["id"], metadata={"a": "b"})
        assert http.get(f"/v1/conversations/{made['id']}/settings").json()["model"] == "qwen/qwen-max"
