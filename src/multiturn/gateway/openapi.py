"""``/openapi.json``: what can be asked of the gateway, and what does it answer? One OpenAPI 3.1 description,
made of ``openapi.toml``, for programs that write clients and for the tests that generate calls."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .access.scopes import ANY, OPEN, rule_of
from .gateway import gateway_of
from .http.refusal import JSON

__all__ = ["ROUTES", "described"]

NATIVE = "/api/v1/"
LANGUAGES = ("en", "zh")
TITLES = ("The gateway of multiturn", "multiturn 网关")
EVENTS = "text/event-stream"
Table = Mapping[str, Any]


async def description(request: Request) -> Response:
    """The description, in the operator's language."""
    return Response(_written(gateway_of(request).language), media_type=JSON)


@cache
def _written(language: str) -> bytes:
    return orjson.dumps(described(language))


def described(language: str = "en") -> dict[str, Any]:
    """The description as an object."""
    data = tomllib.loads((pkgutil.get_data(__package__ or "", "openapi.toml") or b"").decode())
    parameters: Table = data["parameters"]
    paths: dict[str, dict[str, Any]] = {}
    for name, operation in data["operations"].items():
        method, _, path = name.partition(" ")
        place = LANGUAGES.index(language)
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, operation, parameters, place)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLES[LANGUAGES.index(language)], "version": "1"},
        "paths": paths,
        "components": {
            "schemas": data["schemas"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(method: str, path: str, operation: Table, parameters: Table, language: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": _identity(method, path),
        "summary": operation["summary"][language],
        "parameters": [
            *(
                {"name": each, "in": "path", "required": True, "schema": {"type": "string"}}
                for each in _names(path)
            ),
            *(_parameter(each, parameters[each]) for each in operation.get("query", ())),
            *(_parameter(each, parameters[each]) for each in operation.get("header", ())),
        ],
        "responses": {
            "200": {"description": "OK", "content": _answers(operation)},
            "default": {"description": "Error", "content": _json(_refusal(path))},
        },
        "security": _security(method, path),
    }
    if "body" in operation:
        schema = operation["body"].removesuffix("?")
        required = schema == operation["body"]
        found["requestBody"] = {"required": required, "content": _json(_ref(schema))}
    if lines := operation.get("lines"):
        found["requestBody"] = {"required": True, "content": {lines: {"schema": {"type": "string"}}}}
    return found


def _identity(method: str, path: str) -> str:
    """A name for an operation: its method and the words of its path."""
    return "_".join([method.lower(), *re.findall(r"[a-z0-9]+", path)])


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _parameter(name: str, given: Table) -> dict[str, Any]:
    return {"name": name, "in": "query", **given}


def _answers(operation: Table) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    if media := operation.get("media"):
        answers[media] = {"schema": {"type": "string"}}
    if answer := operation.get("answer"):
        answers |= _json(_page(answer.strip("[]")) if answer.startswith("[") else _ref(answer))
    if streamed := operation.get("streams"):
        answers[EVENTS] = {"schema": {"type": "string"}, "x-event": _ref(streamed)}
    return answers


def _page(name: str) -> dict[str, Any]:
    """A page of a list, as OpenAI has it."""
    return {
        "type": "object",
        "required": ["object", "data", "first_id", "last_id", "has_more"],
        "properties": {
            "object": {"const": "list"},
            "data": {"type": "array", "items": _ref(name)},
            "first_id": {"type": "string"},
            "last_id": {"type": "string"},
            "has_more": {"type": "boolean"},
        },
    }


def _refusal(path: str) -> dict[str, Any]:
    return _ref("NativeError" if path.startswith(NATIVE) else "Error")


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(schema: Table) -> dict[str, Any]:
    return {JSON: {"schema": schema}}


def _security(method: str, path: str) -> list[dict[str, list[str]]]:
    """What a key must be for; none is needed by programs on the gateway's own machine."""
    scope = rule_of(method, path).scope
    if scope == OPEN:
        return []
    return [{}, {"key": [] if scope == ANY else [scope]}]


ROUTES = [Route("/openapi.json", description)]
