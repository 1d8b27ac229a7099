"""What does an address lead to, and what is refused of what else a request says?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.serving import gate
from tests.gateway.talking import Talk, summarised

from multiturn.conversations import Declared, Owner
from multiturn.storage.sqlite import SQLiteStore


@pytest.fixture(scope="module")
def talk() -> Iterator[Talk]:
    """A conversation of two turns, the second of which was said in two ways."""
    with gate(model="demo") as one:
        found = Talk(one)
        for words in ("one", "two"):
            found.say(words)
        found.ask("POST", "/turns/2/edit", {"text": "another"})
        Talk(one, "other").say("hi")
        yield found


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "param"),
    [
        ("GET", "/turns/0", None, 404, "turn_not_found", None),
        ("GET", "/turns/3", None, 404, "turn_not_found", None),
        ("GET", "/turns/" + "9" * 5000, None, 404, "turn_not_found", None),
        ("GET", "/turns/%D9%A1", None, 404, "turn_not_found", None),
        ("GET", "/turns/1?branch=x", None, 400, "invalid_type", "branch"),
        ("GET", "/turns/1?branch=" + "9" * 5000, None, 400, "invalid_type", "branch"),
        ("GET", "/turns/1?branch=%D9%A1", None, 400, "invalid_type", "branch"),
        ("GET", "/turns/1/context?step=0", None, 400, "integer_below_min_value", "step"),
        ("GET", "/v1/conversations/missing/turns/1", None, 404, "conversation_not_found", "conversation"),
        ("GET", "/v1/conversations/missing/turns/0", None, 404, "conversation_not_found", "conversation"),
        ("GET", "/v1/conversations/missing/window", None, 404, "conversation_not_found", "conversation"),
        ("GET", "/v1/conversations/%20", None, 404, "conversation_not_found", "conversation"),
        ("GET", "/v1/conversations/" + "x" * 600, None, 404, "conversation_not_found", "conversation"),
        ("GET", "/v1/conversations/c?user=" + "x" * 600, None, 400, "parameter_invalid", "user"),
        *[
            ("GET", f"/v1/conversations?limit={limit}", None, 400, "limit_range", "limit")
            for limit in ("000000101", "0000000109" + "9" * 20, "1" * 5000, "000")
        ],
        ("PUT", "/policy", {"recall": {"": 5}}, 400, "policy_invalid", None),
        ("POST", "/branches", {"at": 1.5}, 400, "invalid_type", "at"),
        ("POST", "/branches", {"at": True}, 400, "invalid_type", "at"),
        ("POST", "/branches", {}, 400, "invalid_type", "at"),
        ("POST", "/branches/9/switch", {}, 404, "branch_not_found", "branch"),
        ("POST", "/window", {"content": 7}, 400, "invalid_type", "content"),
        ("POST", "/window", {"text": 7}, 400, "not_text", "text"),
        ("POST", "/window", {"text": "a", "content": "b"}, 400, "mutually_exclusive_parameters", "content"),
        (
            "POST",
            "/window",
            {"text": "a", "messages": [{"role": "user", "content": "a"}]},
            400,
            "mutually_exclusive_parameters",
            "messages",
        ),
        ("POST", "/window", {"messages": []}, 400, "messages_shape", "messages"),
        ("POST", "/window", {"messages": ["a"]}, 400, "messages_shape", "messages"),
        ("POST", "/window", {"secret": 1}, 400, "unknown_parameter", None),
        ("POST", "/turns/1/retract", {"reason": "x" * 2001}, 400, "text_too_long", "reason"),
        ("POST", "/settings", {"instructions": [1]}, 400, "instructions_shape", "instructions"),
        (
            "POST",
            "/settings",
            {"instructions": [{"role": "user"}]},
            400,
            "instructions_shape",
            "instructions",
        ),
        ("POST", "/settings", {"opening": 7}, 400, "not_text", "opening"),
        ("POST", "/settings", {"memory": "x" * 1000}, 400, "parameter_invalid", "memory"),
        ("POST", "/v1/conversations", {"memory": "x" * 1000}, 400, "parameter_invalid", "memory"),
        ("PUT", "/policy", {"budget": 1 << 41}, 400, "integer_above_max_value", None),
        ("PUT", "/policy", {"summarize": {"max_tokens": 1 << 41}}, 400, "integer_above_max_value", None),
        ("POST", "/settings", {"policy": {"budget": 1 << 41}}, 400, "integer_above_max_value", "policy"),
        ("POST", "/settings", {"policy": 7}, 400, "invalid_type", "policy"),
        ("GET", "/v1/usage?group_by=moon", None, 400, "invalid_value", "group_by"),
        ("GET", "/v1/usage?group_by=day,day", None, 400, "invalid_value", "group_by"),
        ("GET", "/recall?text=%20", None, 400, "search_text", "text"),
        ("GET", "/recall?text=a&k=101", None, 400, "integer_above_max_value", "k"),
        ("GET", "/v1/search?text=" + "a" * 8001, None, 400, "text_too_long", "text"),
        ("GET", "/export?format=pdf", None, 400, "invalid_value", "format"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(
    talk: Talk, method: str, path: str, body: Any, status: int, code: str, param: str | None
) -> None:
    found, answer = talk.told(method, path, body)
    assert (found, answer["error"]["code"], answer["error"]["param"]) == (status, code, param)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/settings", None),
        ("POST", "/settings", {"opening": "Welcome!"}),
        ("GET", "/policy", None),
        ("PUT", "/policy", {}),
        ("GET", "/summary", None),
        ("PUT", "/summary", {"text": "a"}),
        ("DELETE", "/summary", None),
        ("GET", "/recall?text=a", None),
        ("GET", "/export", None),
        ("GET", "/usage", None),
        ("GET", "/branches", None),
        ("POST", "/branches", {"at": 0}),
        ("POST", "/window", {"text": "a"}),
        ("POST", "/count", {"text": "a"}),
    ],
)
def test_what_is_not_there_is_not_made_by_asking_for_it(
    talk: Talk, method: str, path: str, body: Any
) -> None:
    missing = Talk(talk.one, "missing")
    assert missing.code(method, path, body) == (404, "conversation_not_found")
    assert missing.code("GET", "") == (404, "conversation_not_found")


def test_a_turn_has_a_number_on_each_branch_and_an_id(talk: Talk) -> None:
    used, first = (talk.ask("GET", f"/turns/2{where}") for where in ("", "?branch=0"))
    assert [each["branch"] for each in (used, first)] == [1, 0]
    for turn in (used, first):
        assert talk.ask("GET", f"/turns/{turn['id']}") == turn
    head, branch, number = first["id"].rsplit("_", 2)
    other = Talk(talk.one, "other").ask("GET", "/turns/1")["id"]
    for name in (other, f"{head}_7_{number}", f"{head}_{branch}_9", f"msg{head[4:]}_{branch}_{number}_0"):
        assert talk.code("GET", f"/turns/{name}") == (404, "turn_not_found")


def test_a_setting_that_is_not_named_stays() -> None:
    with gate(model="demo") as one:
        talk = Talk(one, Talk(one).ask("POST", "/v1/conversations", {"model": "qwen/qwen-plus"})["id"])
        policy = {"max_turns": 3}
        talk.ask("POST", "/settings", {"policy": policy, "memory": "m"})
        told = talk.ask("POST", "/settings", {"opening": "Welcome!"})
        assert [told[name] for name in ("opening", "model", "memory", "policy")] == [
            "Welcome!",
            "qwen/qwen-plus",
            "m",
            policy,
        ]
        assert talk.ask("POST", "/settings", {"model": "demo"})["model"] == "demo"


def test_a_policy_of_another_version_does_not_count(tmp_path: Path) -> None:
    async def declare() -> None:
        store = SQLiteStore(str(tmp_path / "a.db"))
        await store.declare(Owner("", ""), "c", Declared(policy={"by_gone_means": 1}))
        await store.close()

    with gate(model="demo", store=tmp_path / "a.db") as one:
        talk = Talk(one)
        talk.say("one")
        default = talk.ask("GET", "/policy")
        asyncio.run(declare())
        told = talk.ask("GET", "/policy")
        assert (default["own"], told["own"]) == (None, {"by_gone_means": 1})
        assert told["policy"] == default["policy"]


def test_a_window_tells_its_summary_and_a_hit_its_time(tmp_path: Path) -> None:
    with gate(model="demo", store=tmp_path / "a.db") as one:
        talk = Talk(one)
        for words in ("My cat is called Tom.", "two"):
            talk.say(words)
        assert talk.ask("GET", "/window")["summary"] is None
        [hit] = [each for each in talk.ask("GET", "/v1/search?text=Tom")["data"] if each["turn"] == 1][-1:]
        assert abs(hit["created_at"] - time.time()) < 60
        summarised(tmp_path / "a.db", "c", "A cat.")
        assert talk.ask("GET", "/window")["summary"]["text"] == "A cat."
