"""What was exported is taken in again, here or elsewhere, within the limits that hold for everybody."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.keyed import bearer, made
from tests.gateway.serving import Gate, gate

from multiturn.gateway.conversations import imports

CHAT = "/v1/chat/completions"
HEAD = {"format": "multiturn/1", "id": "c"}
MANY_KEYS = b"{" + b",".join(b'"%d":0' % n for n in range(150_000)) + b',"role":1,"role":2}'
"""Whoever compares each of these keys with all others takes minutes."""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "chats.db"


def taken(
    one: Gate, body: bytes, path: str = "/v1/import", kind: str = "application/jsonl", **headers: str
) -> tuple[int, Any]:
    """Status and JSON of an import."""
    status, told, _ = one.post(body, path, **{"content-type": kind, **headers})
    return status, json.loads(told)


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in values)


def say(one: Gate, words: str, **headers: str) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": words}], "conversation": "c"}
    assert one.post(body, CHAT, **headers)[0] == 200


def exported(one: Gate, **headers: str) -> bytes:
    status, body, _ = one.get("/v1/conversations/c/export", **headers)
    assert status == 200
    return bytes(body)


def test_what_was_exported_comes_back_whole(store: Path, tmp_path: Path) -> None:
    with gate(model="demo", store=store) as one:
        say(one, "My name is Ada.")
        say(one, "What is my name?")
        one.post({}, "/v1/conversations/c/turns/1/pin")
        one.post({"text": "What is my name, please?"}, "/v1/conversations/c/turns/2/edit")
        whole = exported(one)
        turns = json.loads(one.get("/v1/conversations/c/turns")[1])["data"]
    with gate(model="demo", store=tmp_path / "other.db") as one:
        status, answer = taken(one, whole)
        (conversation,) = answer["data"]
        assert (status, answer["object"], conversation["id"], conversation["turns"]) == (200, "list", "c", 2)
        assert exported(one).partition(b"\n")[2] == whole.partition(b"\n")[2]
        again = json.loads(one.get("/v1/conversations/c/turns")[1])["data"]
        assert [each["pinned"] for each in again] == [each["pinned"] for each in turns] == [True, False]
        say(one, "What is my name?")
        assert b"Ada" in exported(one).splitlines()[-1]
        assert taken(one, whole)[0] == 200, "what is there is not stored twice"
        assert exported(one).count(b"please?") == 1


def test_everything_of_a_person_comes_back_with_its_branches(store: Path, tmp_path: Path) -> None:
    with gate(model="demo", store=store) as one:
        body = {"model": "demo", "messages": [{"role": "user", "content": "hi"}], "conversation": "c"}
        assert one.post({**body, "user": "ada"}, CHAT)[0] == 200
        one.post({"text": "hello"}, "/v1/conversations/c/turns/1/edit?user=ada")
        everything = one.get("/v1/users/ada")[1]
    with gate(model="demo", store=tmp_path / "other.db") as one:
        assert taken(one, everything, "/v1/import?user=ada")[0] == 200
        branches = json.loads(one.get("/v1/conversations/c/branches?user=ada")[1])["data"]
        assert len(branches) == 2
        texts = [one.get("/v1/users/ada")[1], everything]
        assert [text.count(b'"role"') for text in texts] == [4, 4]


def test_a_file_may_hold_many_conversations_and_belong_to_a_user(store: Path) -> None:
    many = b"".join(lines({**HEAD, "id": f"c{n}"}, {"role": "user", "content": f"hi {n}"}) for n in range(3))
    with gate(model="demo", store=store) as one:
        status, answer = taken(one, many, "/v1/import?user=ada", "application/x-ndjson; charset=utf-8")
        assert status == 200
        assert [(each["id"], each["user"]) for each in answer["data"]] == [(f"c{n}", "ada") for n in range(3)]
        listed = json.loads(one.get("/v1/conversations?user=ada")[1])["data"]
        assert {each["id"] for each in listed} == {"c0", "c1", "c2"}


def test_messages_without_a_head_become_a_new_conversation(store: Path) -> None:
    with gate(model="demo", store=store) as one:
        names = {taken(one, lines({"role": "user", "content": "hi"}))[1]["data"][0]["id"] for _ in range(2)}
    assert len(names) == 2
    assert all(name.startswith("conv_") for name in names)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"format": "multiturn/1", "id": "c"', "line 1"),
        (lines({**HEAD, "format": "multiturn/9"}), "multiturn/1"),
        (lines(HEAD, {"role": "nobody", "content": "xyzzy"}), "message"),
        (lines(HEAD, {"role": "tool", "tool_call_id": "t", "content": "xyzzy"}), ""),
        (lines(HEAD, ["xyzzy"]), "no message"),
        (lines({**HEAD, "policy": 3}), "policy"),
        (lines({**HEAD, "id": "c" * 600}), "id"),
        (lines({**HEAD, "branch": 1, "after": None}), "branch"),
        (b'{"role": "user", "content": "a", "content": "b"}', ""),
        (b'{"role": "user", "content": NaN}', ""),
        (b'{"role": "user", "content": ' + b"[" * 5000, ""),
        (b'{"role": "user", "content": "a", "x": ' + b"9" * 40 + b"}", ""),
        (b"\xff\xfe", ""),
        (MANY_KEYS, ""),
        (lines({**HEAD, "model": 7}), "model"),
        (lines(HEAD, {"role": "user", "content": "a"}, HEAD, {"role": "user", "content": "b"}), "twice"),
    ],
    ids=range(16),
)
def test_what_cannot_be_taken_in_is_refused_whole(store: Path, body: bytes, words: str) -> None:
    good = lines({**HEAD, "id": "good"}, {"role": "user", "content": "hi"})
    with gate(model="demo", store=store) as one:
        for given in (body, good + body):
            answer = taken(one, given)
            assert code(answer) == (400, "import_refused")
            assert words in answer[1]["error"]["message"]
            assert "xyzzy" not in json.dumps(answer)
        assert json.loads(one.get("/v1/conversations")[1])["data"] == []


def test_a_model_or_policy_that_cannot_be_is_refused_by_its_own_code(store: Path) -> None:
    with gate(model="demo", store=store) as one:
        assert code(taken(one, lines({**HEAD, "model": "nosuch/x"}))) == (404, "model_not_found")
        assert code(taken(one, lines({**HEAD, "policy": {"budget": -1}}))) == (400, "policy_invalid")


def test_one_that_has_gone_another_way_stays_as_it_is(store: Path) -> None:
    with gate(model="demo", store=store) as one:
        say(one, "My name is Ada.")
        before = exported(one)
        other = lines(HEAD, {"role": "user", "content": "something else", "id": "m1"})
        new = lines({**HEAD, "id": "new"}, {"role": "user", "content": "hi"})
        assert code(taken(one, new + other)) == (400, "import_refused")
        assert exported(one) == before
        assert one.get("/v1/conversations/new")[0] == 404


def test_limits_are_those_of_every_request(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with gate(model="demo", store=store) as one:
        wrong = taken(one, b"{}", kind="application/json")
        assert code(wrong) == (415, "unsupported_media_type")
        assert "application/jsonl" in wrong[1]["error"]["message"]
        large = lines(HEAD, {"role": "user", "content": "x" * (9 << 20)})
        assert code(taken(one, large)) == (413, "body_too_large")
        monkeypatch.setattr(imports, "MOST", 5)
        many = [{"role": "user", "content": "hi"}] * 6
        answer = taken(one, lines(HEAD, *many))
        assert code(answer) == (400, "import_refused")
        assert "more than 5 messages" in answer[1]["error"]["message"]
        assert taken(one, lines(HEAD, *many[1:]))[0] == 200
        first, marked = {**many[0], "id": "m"}, {"marks": [{"message": "m", "mark": "pinned"}] * 6}
        told = {"summaries": [{"messages": 1, "text": "told", "model": None}] * 6}
        heads = [{**HEAD, "id": f"h{n}"} for n in range(6)]
        for each in (heads, [{**HEAD, "id": "d", **marked}, first], [{**HEAD, "id": "d", **told}, first]):
            assert code(taken(one, lines(*each))) == (400, "import_refused")
        assert one.get("/v1/import")[0] == 405


def test_others_take_nothing_over(store: Path) -> None:
    ada, bob, bank = made(store, "shop", "ada"), made(store, "shop", "bob"), made(store, "bank")
    with gate(model="demo", store=store) as one:
        say(one, "My name is Ada.", **bearer(ada))
        whole = exported(one, **bearer(ada))
        new = lines({**HEAD, "id": "new"}, {"role": "user", "content": "hi"})
        assert code(taken(one, new + whole, **bearer(bob))) == (404, "conversation_not_found")
        assert one.get("/v1/conversations/new", **bearer(bob))[0] == 404, "all of it, or nothing"
        assert code(taken(one, whole, "/v1/import?user=ada", **bearer(bob))) == (400, "user_bound")
        assert taken(one, whole, **bearer(bank))[0] == 200, "another tenant has ids of its own"
        assert taken(one, whole, **bearer(ada))[0] == 200
        reader = made(store, "shop", scopes=("read",))
        assert code(taken(one, new, **bearer(reader))) == (403, "missing_scope")


def test_others_are_answered_while_a_long_one_is_taken_in(store: Path) -> None:
    messages = [
        {"role": "user" if n % 2 else "assistant", "content": f"words {n} " * 20} for n in range(6000)
    ]
    with gate(model="demo", store=store) as one:
        status, answer = taken(one, lines(HEAD, {"role": "user", "content": "first"}, *messages))
        assert status == 200
        assert answer["data"][0]["messages"] == 6001
