"""Values that a JSON schema allows, and values that it does not: made from the description of the gateway."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from multiturn.gateway.openapi import described

__all__ = [
    "DESCRIPTION",
    "SECRET",
    "TEXTS",
    "allowed",
    "checker",
    "filled",
    "properties",
    "resolved",
    "spoilt",
]

DESCRIPTION = described()
SECRET = "xyzzy-told-to-nobody"
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e9, 1e9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
WRONG: tuple[Any, ...] = (None, True, -1, 7, 1.5, 2**63, 10**30, SECRET, [], [SECRET], {}, {SECRET: SECRET})

TEXTS = (
    "\x00",
    "\x1b[31m",
    "\u202e\u2066",
    "\ufeff",
    "\uffff",
    "\U0010ffff",
    "e\u0301" * 50,
    "👨‍👩‍👧‍👦",
    "\\",
    '"',
    "${x}",
    "{0}%s%n",
    "'; --",
    "\r\n\r\n",
    "<script>",
)
"""Text that is valid, and that programs stumble over."""


def resolved(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that is meant."""
    name = schema.get("$ref")
    found: Mapping[str, Any] = (
        DESCRIPTION["components"]["schemas"][name.rpartition("/")[2]] if name else schema
    )
    return found


def checker(schema: Mapping[str, Any]) -> Draft202012Validator:
    """What checks a value against a schema of the description."""
    return Draft202012Validator({**schema, "components": DESCRIPTION["components"]})


def allowed(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a schema allows: its examples, where it has some."""
    return _made(resolved(schema)).filter(checker(schema).is_valid)


def _made(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if "examples" in schema:
        return st.sampled_from(schema["examples"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "const" in schema:
        return st.just(schema["const"])
    kinds = schema.get("type", "object" if "allOf" in schema else [])
    if not kinds and "anyOf" in schema:
        return st.one_of([allowed(each) for each in schema["anyOf"]])
    if not kinds:
        return JSON
    return st.one_of([_of(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def _of(kind: str, schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    if kind == "object":
        return _object(schema)
    if kind == "array":
        items = allowed(schema.get("items", {}))
        return st.lists(items, min_size=schema.get("minItems", 0), max_size=min(3, schema.get("maxItems", 3)))
    if kind == "string":
        if "pattern" in schema:
            return st.from_regex(schema["pattern"]).filter(lambda text: len(text) < 50)
        return st.text(
            st.characters(codec="utf-8"),
            min_size=schema.get("minLength", 0),
            max_size=schema.get("maxLength", 30),
        )
    if kind == "integer":
        most = schema.get("maximum", 2**31)
        return st.integers(schema.get("minimum", -(2**31)), most)
    if kind == "number":
        return st.floats(schema.get("minimum", 0.001), schema.get("maximum", 1e9))
    return {"boolean": st.booleans(), "null": st.none()}[kind]


def _object(schema: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    parts = {name: allowed(each) for name, each in properties(schema).items()}
    needed = {name: parts.pop(name) for name in schema.get("required", ()) if name in parts}
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())] or [{}]
    return st.one_of([_chosen(needed, parts, choice.get("required", ())) for choice in choices])


def _chosen(
    needed: Mapping[str, st.SearchStrategy[Any]],
    parts: Mapping[str, st.SearchStrategy[Any]],
    names: Sequence[str],
) -> st.SearchStrategy[Any]:
    """Objects with the properties that this choice needs, and any others."""
    wanted = {**needed, **{name: parts[name] for name in names}}
    return st.fixed_dictionaries(wanted, optional={n: each for n, each in parts.items() if n not in names})


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The properties of an object, with those of what it goes on from."""
    found: dict[str, Any] = {}
    for each in schema.get("allOf", ()):
        found |= properties(resolved(each))
    return {**schema.get("properties", {}), **found}


def spoilt(schema: Mapping[str, Any], good: Any) -> Iterator[Any]:
    """Values that a schema does not allow, each made of a good one by one change; and values that are no
    objects at all."""
    check = checker(schema)
    yield from (SECRET, [good], 7, None)
    changed = [{**good, name: wrong} for name in properties(resolved(schema)) for wrong in WRONG]
    changed.append({**good, "a_misspelt_name": SECRET})
    lacking = [{name: each for name, each in good.items() if name != gone} for gone in good]
    yield from (value for value in (*changed, *lacking) if not check.is_valid(value))


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """A value with ids in the place of their names in braces."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [filled(each, ids) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, ids) for name, each in value.items()}
    return value
