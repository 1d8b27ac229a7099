"""One description says what the gateway answers; the calls in here are generated from it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from starlette.routing import Route
from tests.gateway.generated import (
    DESCRIPTION,
    SECRET,
    TEXTS,
    allowed,
    checker,
    filled,
    properties,
    resolved,
    spoilt,
)
from tests.gateway.serving import Gate, gate
from tests.simulators import Simulator, serve

from multiturn.conversations import Owner, Step, Summary, TurnState, new_ulid
from multiturn.gateway.openapi import described
from multiturn.messages import Trait
from multiturn.sealing import seal
from multiturn.storage import Ending, Start
from multiturn.storage.sqlite import SQLiteStore
from multiturn.tokens import count_message

JSON = "application/json"
EVENTS = "text/event-stream"
NOBODYS = ("after", "before")
"""Parameters that name something by an id that a generator cannot know."""
ULID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


@dataclass(frozen=True)
class Operation:
    """One method of one path."""

    method: str
    path: str

    @property
    def told(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = DESCRIPTION["paths"][self.path][self.method.lower()]
        return found

    @property
    def body(self) -> Mapping[str, Any] | None:
        """The schema of what is posted, where that is JSON."""
        content = self.told.get("requestBody", {}).get("content", {})
        return content[JSON]["schema"] if JSON in content else None

    @property
    def kind(self) -> str:
        """What is posted."""
        return str(next(iter(self.told.get("requestBody", {}).get("content", {JSON: None}))))

    @property
    def query(self) -> list[Mapping[str, Any]]:
        return [each for each in self.told["parameters"] if each["in"] == "query"]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


OPERATIONS = [
    Operation(method.upper(), path) for path, methods in DESCRIPTION["paths"].items() for method in methods
]
WRITING = [each for each in OPERATIONS if each.body is not None]
NAMED = [each for each in OPERATIONS if "{" in each.path and "{user}" not in each.path]
FORCED: Mapping[str, Mapping[str, Any]] = {
    "/v1/responses/compact": {"model": "qwen/qwen-plus"},
    "/v1/conversations/{id}/turns/{n}/retry": {"model": "demo"},
}
"""What must be said for a call to succeed beside what the schema knows: who can summarise, who answers."""


@dataclass
class World:
    """A gateway with a provider behind it."""

    one: Gate
    store: Path
    sim: Simulator

    def call(
        self, method: str, path: str, raw: bytes | None = None, kind: str = JSON
    ) -> tuple[int, str, bytes]:
        """Status, kind and body of an answer."""
        status, body, headers = self.one._asked(method, path, raw, {"content-type": kind})
        return status, headers.get("content-type", "").partition(";")[0], body

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        status, _, raw = self.call("POST", path, json.dumps(body).encode())
        assert status == 200, raw
        return json.loads(raw)

    def ids(self, operation: Operation) -> dict[str, str]:
        """A conversation of two turns for this operation, and what is in it."""
        counted = operation.path.endswith("/count")
        name = self.post("/v1/conversations", {})["id"]
        for words in ("My name is Ada.", "What is my name?"):
            body = {"model": "qwen/qwen-plus" if counted else "demo", "input": words, "conversation": name}
            response = self.post("/v1/responses", body)["id"]
        items = json.loads(self.call("GET", f"/v1/conversations/{name}/items")[2])["data"]
        number = "2"
        if operation.path.endswith("/retry"):
            number = "3"
            failing = {"model": "demo?fail=404", "input": "again", "conversation": name}
            self.call("POST", "/v1/responses", json.dumps(failing).encode())
        if operation.path.endswith("/turns/{n}/cancel"):
            number = "3"
            asyncio.run(self._stop(name))
        if operation.path.endswith("/summary"):
            asyncio.run(self._summarise(name))
        if operation.path.endswith("/switch"):
            number = "0"
        return {
            "conversation": name,
            "response": response,
            "item": items[0]["id"],
            "n": number,
            "user": "ada",
            "model": "demo",
            "id": response if "/responses/" in operation.path else name,
        }

    async def _stop(self, name: str) -> None:
        store, owner = SQLiteStore(str(self.store)), Owner("", "")
        start = Start(entries=[seal({"role": "user", "content": "hi"}, count_message)])
        lease = (await store.begin(owner, name, start)).lease
        assert lease is not None
        await store.finish(lease, Ending(TurnState.INCOMPLETE, Step("demo", b""), traits=Trait.STOPPED))
        await store.close()

    async def _summarise(self, name: str) -> None:
        store = SQLiteStore(str(self.store))
        await store.write_summary(Owner("", ""), name, Summary(0, 1, "Ada said her name.", 6, "demo"), None)
        await store.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    store = tmp_path_factory.mktemp("openapi") / "chats.db"
    with serve("qwen", "ok") as sim, gate(sim, model="demo", store=store) as one:
        yield World(one, store, sim)


def address(operation: Operation, ids: Mapping[str, str], query: Mapping[str, Any] | None = None) -> str:
    path = re.sub(r"\{(\w+)\}", lambda found: quote(ids[found[1]], safe=""), operation.path)
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def queries(operation: Operation) -> st.SearchStrategy[dict[str, Any]]:
    """Good parameters."""
    needed: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for each in operation.query:
        if each["name"] == "metadata":
            optional["metadata[tag]"] = st.just("trial")
        elif each["name"] == "user":
            optional["user"] = st.just("")
        elif each["name"] not in NOBODYS or "examples" in each["schema"]:
            (needed if each.get("required") else optional)[each["name"]] = allowed(each["schema"]).map(_plain)
    return st.fixed_dictionaries(needed, optional=optional)


def _plain(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


GENERATED = settings(
    deadline=None,
    max_examples=6,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def events(raw: bytes) -> list[Any]:
    """What the events of a stream say."""
    lines = [line[5:].strip() for line in raw.decode().splitlines() if line.startswith("data:")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def check_good(operation: Operation, kind: str, raw: bytes) -> None:
    """Whether a good answer is as it is described."""
    contents = operation.told["responses"]["200"]["content"]
    if kind == EVENTS:
        said = events(raw)
        assert said
        for each in said:
            checker(contents[EVENTS]["x-event"]).validate(each)
    elif JSON in contents:
        assert kind == JSON
        checker(contents[JSON]["schema"]).validate(json.loads(raw))
    else:
        assert kind in (*contents, JSON, "text/markdown")


def check_refused(operation: Operation, status: int, kind: str, raw: bytes) -> None:
    """Whether a refusal is one, in the envelope, and tells nothing back."""
    assert 400 <= status < 500, (status, raw)
    assert kind == JSON
    checker(operation.told["responses"]["default"]["content"][JSON]["schema"]).validate(json.loads(raw))
    assert SECRET.encode() not in raw


# ---------------------------------------------------------------------------------- the description


def test_the_description_and_the_routes_are_the_same(world: World) -> None:
    passage: Any = world.one.server.config.app
    shortcut = passage._app
    there = {("POST", path) for path in shortcut._hot}
    for route in shortcut._app.routes:
        assert isinstance(route, Route)
        path = re.sub(r":\w+}", "}", route.path)
        there |= {(method, path) for method in route.methods or () if method != "HEAD"}
    assert {(each.method, each.path) for each in OPERATIONS} == there


def test_the_description_is_served_in_the_operators_language(world: World) -> None:
    status, kind, raw = world.call("GET", "/openapi.json")
    assert (status, kind) == (200, JSON)
    assert json.loads(raw) == described("en")
    ways = [described(language)["paths"]["/v1/search"]["get"]["summary"] for language in ("en", "zh")]
    assert ways[0].isascii()
    assert not ways[1].isascii()


def test_every_schema_is_one_and_is_used() -> None:
    schemas = DESCRIPTION["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    named = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(DESCRIPTION)))
    assert named == set(schemas)


def test_every_operation_has_a_name_of_its_own_and_says_what_it_needs() -> None:
    names = [each.told["operationId"] for each in OPERATIONS]
    assert len(set(names)) == len(names)
    for each in OPERATIONS:
        assert each.told["summary"]
        inside = {one["name"] for one in each.told["parameters"] if one["in"] == "path"}
        assert inside == set(re.findall(r"\{(\w+)\}", each.path))
    scopes = {each.path: each.told["security"] for each in OPERATIONS}
    assert scopes["/healthz"] == []
    assert scopes["/openapi.json"] == [{}, {"key": []}]
    wanted = {
        "/v1/usage": "admin",
        "/v1/users/{user}": "admin",
        "/v1/search": "read",
        "/v1/conversations/{id}/export": "read",
        "/v1/conversations/{id}/window": "inspect",
        "/v1/conversations/{id}/turns/{n}/context": "inspect",
        "/v1/conversations/{id}/turns/{n}/edit": "chat",
        "/v1/conversations/{id}/policy": "chat",
    }
    assert {path: scopes[path] for path in wanted} == {p: [{}, {"key": [s]}] for p, s in wanted.items()}


# ---------------------------------------------------------------------------------- generated calls


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_a_good_call_is_answered_as_described(world: World, operation: Operation) -> None:
    bodies = st.none() if operation.body is None else allowed(operation.body)

    @GENERATED
    @given(st.tuples(bodies, queries(operation)))
    def run(asked: tuple[Any, dict[str, Any]]) -> None:
        ids = world.ids(operation)
        body, query = asked
        raw = None
        if body is not None:
            raw = json.dumps(filled({**body, **FORCED.get(operation.path, {})}, ids)).encode()
        elif operation.kind != JSON:
            raw = (
                b'{"format": "multiturn/1", "id": "%b"}\n{"role": "user", "content": "hi"}'
                % new_ulid().encode()
            )
        status, kind, answer = world.call(
            operation.method, address(operation, ids, query), raw, operation.kind
        )
        assert status == 200, (asked, answer)
        check_good(operation, kind, answer)

    run()


@pytest.mark.parametrize("operation", WRITING, ids=str)
def test_a_body_that_is_not_as_described_is_refused(world: World, operation: Operation) -> None:
    schema, ids = operation.body, world.ids(operation)
    assert schema is not None
    good = filled({**GOOD.get(operation.path, {}), **FORCED.get(operation.path, {})}, ids)
    assert checker(schema).is_valid(good), "or what is refused may be refused for something else"
    for bad in spoilt(schema, good):
        answer = world.call(operation.method, address(operation, ids), json.dumps(bad).encode())
        try:
            check_refused(operation, *answer)
        except AssertionError as error:
            raise AssertionError(f"{bad!r:.300}: {answer}") from error


GOOD: Mapping[str, Mapping[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
    "/v1/embeddings": {"model": "qwen/text-embedding-v4", "input": "hi"},
    "/v1/responses": {"input": "hi"},
    "/v1/responses/input_tokens": {"input": "hi"},
    "/v1/responses/compact": {"model": "qwen/qwen-plus", "input": "hi"},
    "/v1/conversations/{id}": {"metadata": {}},
    "/v1/conversations/{id}/items": {"items": []},
    "/v1/conversations/{id}/turns/{n}/edit": {"text": "hi"},
    "/v1/conversations/{id}/branches": {"at": 1},
    "/v1/conversations/{id}/summary": {"text": "hi"},
    "/api/v1/services/aigc/text-generation/generation": {"model": "demo", "input": {"prompt": "hi"}},
    "/api/v1/services/aigc/multimodal-generation/generation": {"model": "demo", "input": {"prompt": "hi"}},
}


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.query], ids=str)
def test_a_parameter_that_is_not_as_described_is_refused(world: World, operation: Operation) -> None:
    ids = world.ids(operation)
    base = {each["name"]: "name" for each in operation.query if each.get("required")}
    for each in operation.query:
        for wrong in wrong_for(each):
            query = {**base, each["name"]: wrong}
            answer = world.call(operation.method, address(operation, ids, query))
            try:
                check_refused(operation, *answer)
            except AssertionError as error:
                raise AssertionError(f"{query}: {answer}") from error


def names_in(operation: Operation) -> list[str]:
    """What may stand in a body."""
    assert operation.body is not None
    return list(properties(resolved(operation.body)))


def wrong_for(parameter: Mapping[str, Any]) -> list[str]:
    schema = parameter["schema"]
    if "enum" in schema or schema.get("type") == "boolean" or "pattern" in schema:
        return [SECRET, "7", "１"]
    if schema.get("type") == "integer":
        outside = [str(schema["minimum"] - 1)] + ([str(schema["maximum"] + 1)] if "maximum" in schema else [])
        return [SECRET, "", "1.5", "１", "9" * 5000, *outside]
    return ["", "x" * 8001] if parameter.get("required") else []


@pytest.mark.parametrize("operation", NAMED, ids=str)
def test_what_does_not_exist_is_not_found(world: World, operation: Operation) -> None:
    ids = world.ids(operation)
    other = new_ulid()
    good = filled({**GOOD.get(operation.path, {}), **FORCED.get(operation.path, {})}, ids)
    raw = None if operation.body is None else json.dumps(good).encode()
    needed = {each["name"]: "name" for each in operation.query if each.get("required")}
    for name in re.findall(r"\{(\w+)\}", operation.path):
        for wrong in (
            SECRET,
            ULID.sub(other, ids[name]),
            "999999999",
            "9" * 600,
            "\x00",
            "\ud83d\ude00",
            "%",
            "-1",
            " ",
        ):
            if wrong == ids[name]:
                continue
            place = {**ids, name: wrong.encode("utf-16", "surrogatepass").decode("utf-16")}
            status, kind, answer = world.call(operation.method, address(operation, place, needed), raw)
            assert status == 404, (wrong, status, answer)
            check_refused(operation, status, kind, answer)


# --------------------------------------------------------------------------------------- hostile bodies


def hostile() -> Iterator[bytes]:
    """Bodies that are no JSON, or JSON that nobody should rely on."""
    yield from (
        b"",
        b" ",
        b"{",
        b"}",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"{}}",
        b"{,}",
        b'{"a":}',
        b"\xef\xbb\xbf{}",
    )
    yield from (
        b'{"a":1,}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1 "b":2}',
        b"/**/{}",
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
    )
    values = [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"1e999",
        b"-1e999",
        b"9" * 5000,
        b"-" + b"9" * 5000,
        b"1e-5000",
    ]
    values += [
        b"0." + b"1" * 5000,
        b"18446744073709551616",
        b"-9223372036854775809",
        b"[" * 100_000,
        b"{" * 100_000,
    ]
    values += [
        b"[" * 70 + b"]" * 70,
        b'{"a":' * 70 + b"1" + b"}" * 70,
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\u12"',
    ]
    values += [
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"\xf5\x80\x80\x80"',
        b'"\\x"',
        b'"\n"',
        b'"\x00"',
        b'"\\u0000"',
    ]
    values += [
        b'{"b":1,"b":2}',
        b'{"b":1,"\\u0062":2}',
        b'[{"c":1,"c":1}]',
        b"tr",
        b"nul",
        b"--1",
        b"1.",
        b"1e",
        b"0x1",
    ]
    for value in values:
        yield b'{"a":' + value + b"}"
    yield b'{"a":1,"a":1}'


@pytest.mark.parametrize("operation", WRITING, ids=str)
def test_a_hostile_body_is_never_a_fault_of_ours(world: World, operation: Operation) -> None:
    ids = world.ids(operation)
    good = json.dumps(
        filled({**GOOD.get(operation.path, {}), **FORCED.get(operation.path, {})}, ids)
    ).encode()
    names = [name for name in names_in(operation) if name != "model"]
    bodies = list(hostile())
    for number, body in enumerate(list(bodies)):
        if body.startswith(b'{"a":') and names:
            name = names[number % len(names)].encode()
            bodies.append(good[:-1] + (b"," if len(good) > 2 else b"") + b'"' + name + body[2:])
    for body in bodies:
        status, kind, answer = world.call(operation.method, address(operation, ids), body)
        if status != 200:
            try:
                check_refused(operation, status, kind, answer)
            except AssertionError as error:
                raise AssertionError(f"{body[:200]!r}: {status} {answer!r}") from error


@pytest.mark.parametrize("operation", WRITING, ids=str)
def test_text_that_programs_stumble_over_is_text(world: World, operation: Operation) -> None:
    ids = world.ids(operation)
    good = filled({**GOOD.get(operation.path, {}), **FORCED.get(operation.path, {})}, ids)
    for name in names_in(operation):
        if operation.path.endswith("/compact") and name == "input":
            continue  # no summary is shorter than a few characters, which is no fault of the client's
        for text in TEXTS:
            raw = json.dumps({**good, name: text}).encode()
            status, kind, answer = world.call(operation.method, address(operation, ids), raw)
            if status != 200:
                assert 400 <= status < 500, (name, text, answer)
                assert kind == JSON
