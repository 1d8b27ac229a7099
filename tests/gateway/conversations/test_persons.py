"""Is everything that is stored of a person handed out, and everything removed?"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.serving import Gate, gate
from tests.simulators import Fault, Script, serve
from tests.simulators.script import Received, Reply

from multiturn import MultiTurn
from multiturn.storage.key_store import SCOPES

MODEL = "qwen/qwen-plus"
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"
PICTURE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" + "A" * 20_000
"""Long enough to be stored apart."""
NOT_OF_PERSONS = ("accounts", "keys", "models", "vector_models", "sqlite_sequence")
"""Tables in which nothing stands that anybody said."""
LEAVER = "ada-who-leaves"
"""Too long to stand in a digest or an id by chance."""
CANARIES = [
    "note",
    "item",
    "turn",
    "key",
    "old",
    "again",
    "edit",
    "failed",
    "input",
    "instruction",
    "meta",
    "tool",
    "safety",
]


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "chats.db"


@pytest.fixture
def key(store: Path) -> str:
    return made(store, "shop", scopes=SCOPES)


def answer(received: Received) -> Reply:
    return Fault(400, message="no") if "[fail]" in received.text else f"You said: {received.text[:99]}"


def canaries(user: str) -> list[str]:
    """The words by which what a user left is known."""
    return [f"canary-{kind}-{user}" for kind in CANARIES]


def talk(one: Gate, key: str, user: str) -> None:
    """Leave something of a user everywhere."""
    name = f"c-{user}"

    def ask(path: str, body: Mapping[str, Any], status: int = 200, **headers: str) -> Any:
        answered = one.post(dict(body), path, **bearer(key), **headers)
        assert answered[0] == status, answered[1]
        return json.loads(answered[1])

    def say(words: str, system: str | None = None, status: int = 200, **headers: str) -> None:
        head = [] if system is None else [{"role": "system", "content": system}]
        messages = [*head, {"role": "user", "content": words}]
        body = {"model": MODEL, "messages": messages, "conversation": name, "user": user}
        ask(CHAT, body, status, **headers)

    content = [
        {"type": "input_text", "text": f"canary-item-{user}"},
        {"type": "input_image", "image_url": PICTURE, "detail": "auto"},
    ]
    items = [{"type": "message", "role": "user", "content": content}]
    ask("/v1/conversations", {"user": user, "metadata": {"tag": f"canary-note-{user}"}, "items": items})
    say(f"canary-turn-{user}", idempotency_key=f"canary-key-{user}")
    say(f"canary-again-{user}", system=f"canary-old-{user}")
    ask(f"/v1/conversations/{name}/turns/2/edit?user={user}", {"text": f"canary-edit-{user}"})
    say("go on", system="newer instructions")
    say(f"canary-failed-{user} [fail]", status=400)
    wanted = {
        "input": f"canary-input-{user}",
        "user": user,
        "instructions": f"canary-instruction-{user}",
        "metadata": {"a": f"canary-meta-{user}"},
        "tools": [{"type": "function", "name": "f", "description": f"canary-tool-{user}", "parameters": {}}],
        "safety_identifier": f"canary-safety-{user}",
    }
    response = ask(RESPONSES, wanted)
    ask(RESPONSES, {"input": "more", "user": user, "previous_response_id": response["id"]})


def rows(store: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What each table holds."""
    with closing(sqlite3.connect(store)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in names}


def test_an_export_holds_everything_of_one_and_nothing_of_others(store: Path, key: str) -> None:
    with serve("qwen", Script(answer)) as sim, gate(sim, store=store) as one:
        talk(one, key, "ada")
        talk(one, key, "bob")
        status, body, _ = one.get("/v1/users/ada", **bearer(key))
    text = body.decode()
    assert status == 200
    assert [word for word in (*canaries("ada"), PICTURE) if word not in text] == []
    assert [word for word in canaries("bob") if word in text] == []
    heads = [line for line in map(json.loads, text.splitlines()) if "format" in line]
    turns = [turn for head in heads for turn in head.get("turns", ())]
    assert len({turn["id"] for turn in turns}) == len(turns), "none is told twice"
    assert {turn["state"] for turn in turns} == {"completed", "failed"}
    asked = [step for turn in turns for step in turn.get("steps", ()) if "request" in step]
    assert [step["request"]["user"] for step in asked] == ["ada", "ada"]
    assert asked[0]["own"]["m"] == {"a": "canary-meta-ada"}
    assert all(step["usage"]["input"] > 0 for step in asked)
    assert all(step["cost"]["currency"] for step in asked)


def test_what_was_handed_out_can_be_loaded(store: Path, key: str, tmp_path: Path) -> None:
    with serve("qwen", Script(answer)) as sim, gate(sim, store=store) as one:
        talk(one, key, "ada")
        (tmp_path / "ada.jsonl").write_bytes(one.get("/v1/users/ada", **bearer(key))[1])
    with MultiTurn("demo", ":memory:", environment={}) as client:
        loaded = client.load(tmp_path / "ada.jsonl")
        said = [message.text for chat in loaded for message in chat.history()]
    assert {"canary-edit-ada", "canary-input-ada"} <= set(said)


def test_a_person_who_is_deleted_leaves_nothing(store: Path, key: str) -> None:
    with serve("qwen", Script(answer)) as sim, gate(sim, store=store) as one:
        talk(one, key, "bob")
        before = rows(store)
        talk(one, key, LEAVER)
        full = rows(store)
        for name in (
            "conversations",
            "settings",
            "turns",
            "messages",
            "steps",
            "exchanges",
            "requests",
            "media",
        ):
            assert len(full[name]) > len(before[name]), name
        assert f"canary-key-{LEAVER}" in str(full["request_keys"])
        assert one.get(f"/v1/users/{LEAVER}", "DELETE", **bearer(key))[0] == 200
        assert one.get(f"/v1/users/{LEAVER}", **bearer(key))[1] == b""
        after = rows(store)
    assert [word for word in (*canaries(LEAVER), LEAVER) if word in str(after)] == []
    for name in after.keys() - set(NOT_OF_PERSONS):
        assert after[name] == before[name], name
