"""The official package for Node.js works on conversations of the gateway and their items."""

from __future__ import annotations

from tests.gateway.clients.nodejs import Node
from tests.gateway.serving import gate
from tests.simulators import serve

FILE = "openai_conversations"


def test_a_conversation_is_made_changed_and_deleted(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "life")
        name = got["made"]["id"]
        assert name.startswith("conv_")
        assert got["made"]["object"] == "conversation"
        assert got["made"]["metadata"] == {"topic": "names"}
        assert got["updated"] == got["fetched"] == got["made"] | {"metadata": {"topic": "cats"}}
        assert got["deleted"] == {"id": name, "object": "conversation.deleted", "deleted": True}
        assert (got["gone"]["class"], got["gone"]["code"]) == ("NotFoundError", "conversation_not_found")


def test_items_are_added_fetched_and_deleted(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "items")
        assert got["list"] == "list"
        assert got["item"] == "I like cats."
        assert got["before"] == ["My name is Ada.", "Hello, Ada.", "I like cats."]
        assert got["left"] is True
        assert (got["gone"]["class"], got["gone"]["code"]) == ("NotFoundError", "item_not_found")
        assert got["after"] == ["My name is Ada.", "Hello, Ada."]


def test_its_pages_hold_every_item_once(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "pages")
        assert got["oldestFirst"] == got["words"]
        assert got["newestFirst"] == got["words"][::-1]


def test_the_model_sees_what_was_added_and_not_what_was_deleted(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "seen")
        assert "Ada" in got["told"]
        assert got["roles"] == ["user", "assistant", "user", "assistant"]
        assert "My name is Ada." not in [each["content"] for each in sim.requests[-1].messages]


def test_refusals_are_the_packages_own_errors(node: Node) -> None:
    with serve("qwen") as sim, gate(sim) as one:
        got = node.tell(one, FILE, "refused")
        assert {name: (each["class"], each["code"]) for name, each in got.items()} == {
            "conversation": ("NotFoundError", "conversation_not_found"),
            "item": ("NotFoundError", "item_not_found"),
            "items": ("NotFoundError", "conversation_not_found"),
            "many": ("BadRequestError", "too_many_items"),
        }
        assert all(each["type"] == "invalid_request_error" for each in got.values())
