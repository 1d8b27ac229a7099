"""Forty awkward conversations, written by hand, each for something that once broke somebody's window."""

from __future__ import annotations

from typing import Any

from .reading import Json

__all__ = ["SAMPLES"]


def system(text: str) -> Json:
    return {"role": "system", "content": text}


def user(text: Any) -> Json:
    return {"role": "user", "content": text}


def answer(text: Any, **fields: Any) -> Json:
    return {"role": "assistant", "content": text, **fields}


def asks(*names: str, **fields: Any) -> Json:
    calls = [{"id": n, "type": "function", "function": {"name": "look_up", "arguments": "{}"}} for n in names]
    return {"role": "assistant", "content": None, "tool_calls": calls, **fields}


def gives(name: str, text: Any = "42") -> Json:
    return {"role": "tool", "tool_call_id": name, "content": text}


def chat(turns: int) -> list[Json]:
    return [m for turn in range(turns) for m in (user(f"question {turn}"), answer(f"answer {turn}"))]


def steps(count: int) -> list[Json]:
    return [m for step in range(count) for m in (asks(f"s{step}"), gives(f"s{step}", f"result {step}"))]


RULE = system("You sell phones.")
CAT: Json = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}
WORDS: Json = {"type": "text", "text": "What is this?"}
THINKER = "kimi/kimi-k2-thinking"

SAMPLES: dict[str, list[Json]] = {
    "one word": [user("hi")],
    "instructions and one word": [RULE, user("hi")],
    "three leading instructions": [RULE, system("Be brief."), system("Be kind."), *chat(3), user("and?")],
    "developer first": [{"role": "developer", "content": "Be brief."}, *chat(2), user("and?")],
    "system then developer": [RULE, {"role": "developer", "content": "Be brief."}, *chat(2), user("and?")],
    "system in the middle": [RULE, *chat(2), system("From now on in Chinese."), *chat(2), user("and?")],
    "system at the end": [RULE, *chat(2), user("and?"), system("Answer in one word.")],
    "system between question and answer": [user("a"), system("Be brief."), answer("b"), user("c")],
    "system without any before": [*chat(2), system("Be brief."), user("and?")],
    "twice the same system": [RULE, *chat(1), RULE, *chat(1), user("and?")],
    "twenty turns": [RULE, *chat(20), user("and?")],
    "the same words again and again": [RULE, *[user("ok"), answer("ok")] * 8, user("ok")],
    "opening": [RULE, answer("Welcome! Which phone?"), user("a red one"), answer("Good."), user("price?")],
    "opening without instructions": [answer("Welcome!"), user("hi"), answer("Which phone?"), user("red")],
    "two opening lines": [RULE, answer("Welcome!"), answer("Which phone?"), user("red")],
    "one call": [RULE, user("price?"), asks("a"), gives("a"), answer("42"), user("thanks")],
    "parallel calls": [user("?"), asks("a", "b", "c"), *map(gives, "abc"), answer("42"), user("thanks")],
    "results in another order": [
        user("?"), asks("a", "b"), gives("b", "2"), gives("a", "1"), answer("3"), user("ok"),
    ],
    "a loop in progress": [RULE, *chat(2), user("price?"), asks("a"), gives("a")],
    "a call nobody answered": [user("price?"), asks("a"), user("hello?")],
    "one of two results": [user("?"), asks("a", "b"), gives("a"), user("hello?"), answer("yes"), user("so?")],
    "a crash at the end": [RULE, *chat(1), user("prices?"), asks("a", "b"), gives("b")],
    "the same call id in every turn": [*[user("?"), asks("a"), gives("a"), answer("x")] * 4, user("so?")],
    "25 steps in one turn": [RULE, *chat(2), user("do it"), *steps(25)],
    "25 steps and an answer": [user("do it"), *steps(25), answer("done"), user("thanks")],
    "null, empty and absent content": [
        user("?"), asks("a"), gives("a"), {**asks("b"), "content": ""}, gives("b"),
        {k: v for k, v in asks("c").items() if k != "content"}, gives("c"), answer("ok"), user("so?"),
    ],
    "an empty answer": [user("hi"), answer(""), user("hello?")],
    "a null answer": [user("hi"), answer(None), user("hello?"), answer("yes"), user("so?")],
    "three questions at once": [
        RULE, user("one"), user("two"), user("three"), answer("four"), user("a"), user("b"),
    ],
    "two answers at once": [RULE, user("hi"), answer("a"), answer("b"), user("so?")],
    "a picture": [RULE, user([CAT, WORDS]), answer("a cat"), user("its colour?")],
    "a picture without words": [RULE, user("hi"), answer("yes?"), user([CAT]), answer("a cat"), user("and?")],
    "five pictures": [*[user([WORDS, CAT]), answer("a cat")] * 5, user("which is best?")],
    "one part of text": [user([WORDS]), answer([{"type": "text", "text": "a cat"}]), user("sure?")],
    "a huge old message": [RULE, user("long " * 5_000), answer("I see"), user("so?")],
    "a huge old answer": [RULE, user("tell me"), answer("long " * 5_000), user("so?")],
    "strange characters": [
        system("\U0001f600"), user("nul\0nul"), answer("👩‍👩‍👧‍👦\u200d"), user("\u2028 e\u0301 \ufeff"),
    ],
    "names and dumps": [
        {**user("hi"), "name": "alice"},
        answer("yes", refusal=None, tool_calls=None, audio=None, function_call=None),
        {**user("so?"), "name": None, "x_order": {"id": 7}},
    ],
    "thoughts and calls": [
        user("?"), asks("a", reasoning_content="look it up", model=THINKER), gives("a"),
        answer("42", reasoning_content="easy", model=THINKER), user("so?"), answer("x", reasoning=""),
        user("ok"),
    ],
    "thoughts of two models": [
        user("?"), asks("a", reasoning_content="one", model=THINKER), gives("a"), answer("42"),
        user("?"), asks("b", reasoning_content="two", model="deepseek/deepseek-v4-flash"), gives("b"),
    ],
}  # fmt: skip
