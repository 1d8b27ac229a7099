"""An id that a client gives an item is its own where no other has it: nobody pages past two of one id."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.gateway.responding import ask, post, sent
from tests.gateway.serving import Gate, gate
from tests.simulators import serve


def words(text: str, id: str = "mine") -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": text, "id": id}


def walked(one: Gate, path: str, order: str = "asc") -> dict[str, Any]:
    """What stands there by its ids, read one item a page."""
    found, after = dict[str, Any](), ""
    for _ in range(20):
        page = json.loads(one.get(f"{path}?order={order}&limit=1{after}")[1])
        for item in page["data"]:
            assert item["id"] not in found
            found[item["id"]] = item
        if not page["has_more"]:
            return found
        after = f"&after={page['last_id']}"
    raise AssertionError("it has no end")


def texts(found: dict[str, Any]) -> list[str]:
    return [item["content"][0]["text"] if "content" in item else item["type"] for item in found.values()]


@pytest.mark.parametrize("place", ["new", "conversation", "response"])
def test_an_id_that_another_item_has_gives_way(place: str) -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first_items: Any = [words("first")]
        posted: list[Any] = [words("a"), words("b"), *[{"type": "web_search_call", "id": "ws"}] * 2]
        name = one.openai().conversations.create(items=first_items).id
        first = ask(one, [words("first")]).id
        where = {
            "new": {},
            "conversation": {"conversation": name},
            "response": {"previous_response_id": first},
        }
        made = ask(one, posted, **where[place]).id
        taken = texts(walked(one, f"/v1/responses/{made}/input_items"))
        assert taken == ["a", "b", "web_search_call", "web_search_call"]
        if place == "conversation":
            assert texts(walked(one, f"/v1/conversations/{name}/items")) == ["first", *taken, "ok"]
            _, found, _ = one.get(f"/v1/conversations/{name}/items/mine")
            assert texts({"": json.loads(found)}) == ["first"]


def test_messages_of_chat_completions_have_ids_of_ours() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        for text in ("a", "b", "c"):
            said = {"role": "user", "content": text, "id": "mine", "item_ids": ["mine"]}
            body = {"model": "qwen/qwen-plus", "messages": [said], "conversation": "c"}
            assert one.post(body)[0] == 200
        found = walked(one, "/v1/conversations/c/items")
        assert texts(found) == ["a", "ok", "b", "ok", "c", "ok"]
        assert "mine" not in found


def test_a_turn_that_two_branches_have_is_read_and_changed_in_the_one_in_use() -> None:
    with gate(model="demo") as one:
        items = [words("a", "m1"), {**words("b", "m2"), "role": "assistant"}, words("c", "m3")]
        name = json.loads(one.post({"items": items}, "/v1/conversations")[1])["id"]
        path = f"/v1/conversations/{name}"
        assert one.post({"at": 2}, f"{path}/branches")[0] == 200
        assert one.post({}, f"{path}/branches/1/switch")[0] == 200
        added = {"items": [{**words("d", "m4"), "role": "assistant"}]}
        assert one.post(added, f"{path}/items")[0] == 200
        for branch, ids in (("0", ["m3", "m2", "m1"]), ("1", ["m4", "m3", "m2", "m1"])):
            assert one.post({}, f"{path}/branches/{branch}/switch")[0] == 200
            assert [*walked(one, f"{path}/items", "desc")] == ids
            assert [*walked(one, f"{path}/items")] == ids[::-1]
        assert one.post({}, f"{path}/branches/0/switch")[0] == 200
        assert one.get(f"{path}/items/m3", "DELETE")[0] == 200
        assert [*walked(one, f"{path}/items")] == ["m1", "m2"]
        assert one.post({}, f"{path}/branches/1/switch")[0] == 200
        assert [*walked(one, f"{path}/items")] == ["m1", "m2", "m3", "m4"]


def test_what_the_model_said_may_be_posted_once_more() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        name = one.openai().conversations.create().id
        said = ask(one, "hi", conversation=name).output[0].to_dict()
        ask(one, [said, words("go on")], conversation=name)
        found = walked(one, f"/v1/conversations/{name}/items")
        assert texts(found) == ["hi", "ok", "ok", "go on", "ok"]
        assert [*found][1] == said["id"]


def test_a_compaction_is_told_as_one_whatever_its_id() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        body = {"model": "qwen/qwen-plus", "input": "My cat is Momo."}
        made = json.loads(one.post(body, "/v1/responses/compact")[1])["output"][0]
        nameless = {name: value for name, value in made.items() if name != "id"}
        told = ask(one, [nameless, made, made, words("go on")]).id
        found = walked(one, f"/v1/responses/{told}/input_items")
        assert [item["type"] for item in found.values()] == ["compaction"] * 3 + ["message"]
        assert all(item["encrypted_content"] == made["encrypted_content"] for item in [*found.values()][:3])


def test_a_clients_id_is_found_behind_the_response_that_is_followed() -> None:
    with serve("qwen", "ok") as sim, gate(sim) as one:
        first = ask(one, [words("a riddle")]).id
        reference = {"type": "item_reference", "id": "mine"}
        ask(one, [reference, words("solve it", "new")], previous_response_id=first)
        assert sent(sim)[-1] == ("user", "a riddle\n\nsolve it")
        status, answer, _ = post(one, {"input": [reference, words("solve it")]})
        assert (status, answer["error"]["code"]) == (404, "item_not_found")
