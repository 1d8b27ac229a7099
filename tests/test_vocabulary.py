"""Exact counts by vocabularies that are at hand, and nothing else."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from dashscope.tokenizers import get_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from multiturn import ContextPolicy, SettingInvalid, fit, vocabulary
from multiturn.conversations import Summary
from multiturn.messages import Entry
from multiturn.path import MessageRow, TurnRow, sealed
from multiturn.path import Path as History
from multiturn.sealing import encoded, seal
from multiturn.tokens import count_message
from multiturn.vocabulary import Counter, counter, locate, recounted
from multiturn.window import Material, Quotation

NOWHERE: dict[str, str] = {}
BYTES = b"".join(base64.b64encode(bytes([byte])) + b" %d\n" % byte for byte in range(256))
"""A vocabulary of single bytes: every byte is a token."""


def qwen() -> Counter:
    found = counter("qwen/qwen-plus", environment=NOWHERE)
    assert found is not None
    return found


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def by_bytes(tmp_path: Path, name: str = "o200k_base.tiktoken") -> Path:
    (tmp_path / name).write_bytes(BYTES)
    return tmp_path


# ------------------------------------------------------------------------------------------ counts


@cache
def makers() -> Any:
    return get_tokenizer("qwen-plus")


@settings(max_examples=60, deadline=None)
@given(st.text() | st.text(alphabet="你好，世界 a1\n\té", max_size=200))
def test_words_are_counted_as_the_makers_own_tokenizer_counts_them(text: str) -> None:
    assert qwen().text(text) == len(makers().encode(text))


def test_a_message_costs_its_words_and_what_frames_them() -> None:
    words = "你好，我今年 27 岁。"
    assert qwen()(user(words)) == 5 + qwen().text(words)
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}],
    }
    assert qwen()(called) > qwen()({"role": "assistant", "content": None})
    assert qwen().body(orjson.dumps(user(words))) == qwen()(user(words))
    assert qwen().tools([{"type": "function"}]) == 8 + qwen().text('{"type":"function"}')


def test_texts_beyond_a_hundred_thousand_characters_are_counted_in_pieces() -> None:
    lines = "一二三四五六七八九\n" * 30_000
    assert qwen().text(lines) == pytest.approx(30_000 * qwen().text("一二三四五六七八九\n"), rel=0.001)
    assert qwen().text("好" * 250_000) > 10_000


def test_no_piece_is_longer_than_what_the_program_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "LONGEST", 4)
    assert qwen().text("international") == sum(qwen().text(piece) for piece in ("inte", "rnat", "iona", "l"))


def test_letters_are_composed_as_the_maker_does() -> None:
    assert qwen().text("cafe\u0301") == qwen().text("café") == len(makers().encode("cafe\u0301"))


def test_special_words_are_words() -> None:
    assert qwen().text("<|im_end|>") > 1


def test_half_a_character_is_counted() -> None:
    assert qwen().text("a\ud83d") >= 2


def test_fit_takes_it() -> None:
    messages = [user("数一数这些字。" * 20), {"role": "assistant", "content": "好。" * 20}, user("继续")]
    window = fit(messages, ContextPolicy(budget=5000, summarize=None, recall=None), count=qwen())
    assert window.tokens == sum(map(qwen(), messages))


# -------------------------------------------------------------------------------------- where it is


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = locate("qwen", environment=NOWHERE)
    assert installed is not None
    assert installed.parts[-3:] == ("dashscope", "resources", "qwen.tiktoken")
    cache, own, packages = tmp_path / "cache", tmp_path / "own", tmp_path / "packages"
    bundled = packages / "litellm" / "litellm_core_utils" / "tokenizers"
    for folder in (cache, own, bundled):
        folder.mkdir(parents=True)
    (packages / "litellm" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(packages)
    name = "fb374d419588a4632f3f557e76b4b70aebbca790"
    here = {"TIKTOKEN_CACHE_DIR": str(cache)}
    assert locate("o200k", own, here) is None
    (bundled / name).write_bytes(BYTES)
    assert locate("o200k", own, here) == bundled / name
    (cache / name).write_bytes(BYTES)
    assert locate("o200k", own, here) == cache / name
    assert locate("o200k", own, NOWHERE) == bundled / name
    assert locate("o200k", by_bytes(own), here) == own / "o200k_base.tiktoken"
    assert locate("o200k", own / "o200k_base.tiktoken", here) == own / "o200k_base.tiktoken"


def test_the_process_environment_is_read_where_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(by_bytes(tmp_path)))
    assert locate("o200k") == tmp_path / "o200k_base.tiktoken"


def test_each_model_has_its_vocabulary(tmp_path: Path) -> None:
    by_bytes(tmp_path)
    by_bytes(tmp_path, "cl100k_base.tiktoken")
    for model, name in {
        "openai/gpt-4o": "o200k",
        "openai/gpt-3.5-turbo": "cl100k",
        "kimi/kimi-k2.6": "qwen",
        "qwen-plus": "qwen",
    }.items():
        found = counter(model, path=tmp_path, environment=NOWHERE)
        assert found is not None
        assert found.name == name
    gpt = counter("openai/gpt-4o", path=tmp_path, environment=NOWHERE)
    assert gpt is not None
    assert gpt(user("好 bytes")) == 4 + 3 + 6


def test_without_a_file_there_is_no_counter() -> None:
    assert counter("openai/gpt-4o", environment=NOWHERE) is None
    assert counter("demo", environment=NOWHERE) is None


def test_without_the_program_there_is_no_counter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "find_spec", lambda name: None)
    assert counter("openai/gpt-4o", path=by_bytes(tmp_path), environment=NOWHERE) is None


@pytest.mark.parametrize("content", [b"no vocabulary\n", b"YQ== 0\n", b"YQ==\n", b"\xff\xfe 1\n"])
def test_a_file_that_is_no_vocabulary_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.tiktoken").write_bytes(content)
    with pytest.raises(SettingInvalid, match=r"broken\.tiktoken"):
        counter("openai/gpt-4o", path=tmp_path / "broken.tiktoken")


def test_a_path_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="nowhere"):
        counter("openai/gpt-4o", path=tmp_path / "nowhere")


def test_nothing_is_downloaded_or_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    cache = tmp_path / "cache"
    cache.mkdir()
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(cache))
    assert counter("openai/gpt-4o") is None
    source = locate("qwen", environment=NOWHERE)
    assert source is not None
    shutil.copy(source, tmp_path / "qwen.tiktoken")
    found = counter("qwen/qwen-plus", path=tmp_path)
    assert found is not None
    assert found(user("hello")) == 6
    assert list(cache.iterdir()) == []


def test_packages_that_bring_vocabularies_are_not_imported() -> None:
    code = (
        "import sys; from multiturn.vocabulary import counter; counter('qwen/qwen-plus', environment={});"
        "print([each for each in ('dashscope', 'litellm', 'requests') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# ------------------------------------------------------------------------------------------ windows


TEXTS = ["你好", "Good morning, and welcome.", "27", "好的，收到。", "x" * 50, "🙂🙂"]


def ordinary(turns: int) -> History:
    bodies = [
        encoded({"role": role, "content": TEXTS[(number + place) % len(TEXTS)]})
        for number in range(turns)
        for place, role in enumerate(("user", "assistant"))
    ]
    rows = [TurnRow(number + 1, 3, 0, 1, 0, 2) for number in range(turns)][::-1]
    return History(turns=rows, bodies=bodies, earlier_turns=0)


def opened(bodies: Sequence[bytes]) -> list[Any]:
    return [orjson.loads(body) for body in bodies]


@settings(deadline=None)
@given(st.integers(0, 8))
def test_ordinary_turns_are_counted_from_their_bodies(turns: int) -> None:
    path = ordinary(turns)
    counted = recounted(Material(path=path), qwen()).path
    messages = opened(path.bodies)
    assert [turn.number for turn in counted.turns] == [turn.number for turn in path.turns]
    assert [turn.tokens for turn in reversed(counted.turns)] == [
        qwen()(messages[2 * n]) + qwen()(messages[2 * n + 1]) for n in range(turns)
    ]
    assert (counted.bodies, counted.rows) == (path.bodies, None)


def test_everything_a_window_is_made_of_is_counted() -> None:
    def row(turn: int, text: str, **more: Any) -> MessageRow:
        return MessageRow(turn, 0, "user", 0, 999, 999, encoded(user(text)), None, None)._replace(**more)

    def entry(text: str) -> Entry:
        return seal(user(text), lambda _: 999)

    exact = qwen()
    path = History(
        turns=[TurnRow(2, 3, 1, 999, 999, 2), TurnRow(1, 3, 1, 999, 999, 1)],
        rows=[
            row(1, "你好", reasoning="想一想".encode()),
            row(2, "27", quote="旧的话".encode()),
            row(2, "second"),
        ],
        standing=[row(0, "先前")],
        current=[row(3, "现在")],
        summary=Summary(1, 1, "从前有一个人。", 999),
    )
    material = recounted(
        Material(
            path=path,
            instructions=[entry("规则")],
            opening=entry("欢迎"),
            context=[entry("资料")],
            current=sealed([entry("新的")], 3),
            recalled=Quotation("引用".encode(), 999),
        ),
        exact,
    )
    path = material.path
    assert path.rows is not None
    assert [(r.tokens, r.reasoning_tokens) for r in path.rows] == [
        (exact(user("你好")), exact.text("想一想")),
        (exact(user("27")) + exact.text("旧的话"), 0),
        (exact(user("second")), 0),
    ]
    assert [(t.tokens, t.reasoning_tokens) for t in path.turns] == [
        (path.rows[1].tokens + path.rows[2].tokens, 0),
        (path.rows[0].tokens, exact.text("想一想")),
    ]
    assert material.opening is not None
    assert material.recalled is not None
    assert path.summary is not None
    assert [
        path.standing[0].tokens,
        path.current[0].tokens,
        path.summary.tokens,
        material.instructions[0].tokens,
        material.opening.tokens,
        material.context[0].tokens,
        material.current[0].tokens,
    ] == [
        exact(user("先前")),
        exact(user("现在")),
        exact.text("从前有一个人。"),
        *(exact(user(text)) for text in ("规则", "欢迎", "资料", "新的")),
    ]
    assert material.recalled.tokens == 999  # it will be stored


def test_a_message_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[str] = []

    def words(text: str) -> int:
        counted.append(text)
        return len(text)

    count = Counter("test", words)
    bodies = [encoded(user("one")), encoded(user("two")), encoded(user("one"))]
    assert count.bodies(bodies) == 3 * 4 + 9
    assert counted == ["one", "two"]
    monkeypatch.setattr(vocabulary, "REMEMBERED", 2)
    assert count.body(encoded(user("three"))) == 9
    assert count.body(encoded(user("one"))) == 7
    assert counted == ["one", "two", "three", "one"]


def test_an_estimate_is_what_it_was() -> None:
    assert count_message(user("hello")) == 6
