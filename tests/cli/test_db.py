"""Can vectors be made anew, by hand and in one go, and can the provider be asked to count?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.terminal import Shell, Terminal
from tests.simulators import Fault, Script, counting, serve
from tests.simulators.embeddings import Embeds

from multiturn import AsyncMultiTurn
from multiturn.storage.sqlite import SQLiteStore

MODEL = "qwen/text-embedding-v4"
REEMBED = ("db", "reembed", "--model", MODEL)


@pytest.fixture
def server() -> Iterator[Embeds]:
    with serve("qwen") as simulator:
        assert isinstance(simulator, Embeds)
        yield simulator


@pytest.fixture
def talked(shell: Shell, server: Embeds) -> Shell:
    """A user with the key of the (simulated) provider and forty messages in two conversations."""
    shell.variables |= {"DASHSCOPE_API_KEY": server.key, "DASHSCOPE_COMPATIBLE_BASE_URL": server.base_url}
    shell.variables["MULTITURN_STORE"] = f"sqlite:///{shell.home / 'chats.db'}"

    async def talk() -> None:
        async with AsyncMultiTurn(
            "qwen/qwen-plus",
            shell.variables["MULTITURN_STORE"],
            environment={"DASHSCOPE_API_KEY": server.key},
        ) as client:
            for name in ("one", "two"):
                await client.conversation(name, user="ada", model="qwen/qwen-plus").add(
                    [
                        {"role": "assistant" if place % 2 else "user", "content": f"{name} {place} 句话"}
                        for place in range(20)
                    ]
                )

    asyncio.run(talk())
    return shell


def kept(home: Path) -> list[tuple[object, ...]]:
    async def look() -> list[tuple[object, ...]]:
        store = SQLiteStore(str(home / "chats.db"))
        found = [tuple(each) for each in await store.vectors.models()]
        await store.close()
        return found

    return asyncio.run(look())


def test_every_message_gets_its_vector(talked: Shell, server: Embeds) -> None:
    done = talked.run(*REEMBED, "--yes")
    assert f"40 vectors of {MODEL} were made" in done.stdout
    assert "40 messages of 2 conversations" in done.stderr
    assert "USD" in done.stderr or "$" in done.stderr
    assert kept(talked.home) == [(MODEL, 1024, 40)]
    asked = len(server.texts)
    assert "Every message has its vector" in talked.run(*REEMBED).stdout
    assert len(server.texts) == asked + 1  # which dimension the model has


def test_nothing_is_sent_before_somebody_agrees(talked: Shell, server: Embeds) -> None:
    done = talked.run(*REEMBED, check=False)
    assert done.returncode == 1
    assert "--yes" in done.stderr
    assert server.texts == ["."]
    with Terminal(talked, REEMBED) as terminal:
        terminal.until("Go on?")
        terminal.type("n\r")
        assert terminal.leave() == 1
    assert set(server.texts) == {"."}
    assert kept(talked.home) == []


def test_a_person_sees_a_bar(talked: Shell) -> None:
    with Terminal(talked, REEMBED) as terminal:
        terminal.until("Go on?")
        terminal.type("y\r")
        terminal.until("Embedding")
        terminal.until("40/40")
        terminal.until("were made")
        assert terminal.leave() == 0
    assert kept(talked.home) == [(MODEL, 1024, 40)]


def test_an_interrupted_run_goes_on_where_it_stopped(talked: Shell, server: Embeds) -> None:
    server.script = Script(faults={4: Fault(401)})
    assert "[key_refused]" in talked.refused(*REEMBED, "--yes")
    assert kept(talked.home) == [(MODEL, 1024, 20)]
    done = talked.run(*REEMBED, "--yes", "--json")
    assert json.loads(done.stdout) == {"model": MODEL, "dimension": 1024, "embedded": 20, "removed": 0}
    assert len([text for text in server.texts if text != "."]) == 40


def test_another_dimension_replaces_the_old_vectors_only_when_all_is_done(
    talked: Shell, server: Embeds
) -> None:
    talked.run(*REEMBED, "--yes")
    server.embeds("text-embedding-v4", gives=64)
    server.script = Script(faults={len(server.requests) + 3: Fault(401)})
    talked.refused(*REEMBED, "--yes")
    assert kept(talked.home) == [(MODEL, 1024, 40), (MODEL, 64, 10)]
    done = talked.run(*REEMBED, "--yes")
    assert "40 of other models were removed" in done.stdout
    assert kept(talked.home) == [(MODEL, 64, 40)]


def test_a_dimension_that_changes_back_is_found_again(talked: Shell, server: Embeds) -> None:
    talked.run(*REEMBED, "--yes")
    server.embeds("text-embedding-v4", gives=64)
    server.script = Script(faults={len(server.requests) + 3: Fault(401)})
    talked.refused(*REEMBED, "--yes")
    server.embeds("text-embedding-v4", gives=0)
    asyncio.run(_tell_more(talked))
    done = talked.run(*REEMBED, "--yes")
    assert f"2 vectors of {MODEL} were made; 10 of other models were removed" in done.stdout
    assert kept(talked.home) == [(MODEL, 1024, 42)]


async def _tell_more(shell: Shell) -> None:
    async with AsyncMultiTurn("demo", shell.variables["MULTITURN_STORE"], environment={}) as client:
        chat = client.conversation("one", user="ada")
        await chat.add([{"role": "user", "content": "还有"}, {"role": "assistant", "content": "好"}])


def test_another_model_replaces_the_old_vectors(talked: Shell) -> None:
    talked.run(*REEMBED, "--yes")
    done = talked.run("db", "reembed", "--model", "qwen/text-embedding-v3", "--yes", "--json")
    assert json.loads(done.stdout)["removed"] == 40
    assert kept(talked.home) == [("qwen/text-embedding-v3", 1024, 40)]


def test_the_model_may_stand_in_the_settings(talked: Shell) -> None:
    assert "--model" in talked.refused("db", "reembed")
    (talked.home / "multiturn.toml").write_text(f'[policy.recall]\nembedding = "{MODEL}"\n')
    assert "40 vectors" in talked.run("db", "reembed", "--yes").stdout


def test_what_it_cost_is_counted_for_the_conversations(talked: Shell) -> None:
    talked.run(*REEMBED, "--yes")
    rows = [
        json.loads(line) for line in talked.run("usage", "--by", "conversation", "--json").stdout.splitlines()
    ]
    assert {row["group"] for row in rows} == {"one", "two"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("db", "reembed", "--model", "nobody"), "model_unknown"),
        (("db", "reembed", "--model", "openai/text-embedding-3-small"), "key_missing"),
        (("db", "reembed", "--model", "demo/x"), "model_unknown"),
        (("db", "reembed", "--model", MODEL, "--store", "sqlite:///gone.db"), "store_unavailable"),
    ],
)
def test_what_cannot_be_done_is_told(talked: Shell, arguments: tuple[str, ...], code: str) -> None:
    assert f"[{code}]" in talked.refused(*arguments, "--yes")


def test_an_unknown_action_is_told(talked: Shell) -> None:
    done = talked.run("db", "vacuum", check=False)
    assert done.returncode == 2
    assert "ACTION cannot be vacuum" in done.stderr


# ------------------------------------------------------------------------------------- counting


def test_the_provider_counts(talked: Shell) -> None:
    done = talked.run("context", "one", "--count", "--next", "还有吗？", "--json")
    row = json.loads(done.stdout)
    messages = [
        *({"role": "assistant" if n % 2 else "user", "content": f"one {n} 句话"} for n in range(20)),
        {"role": "user", "content": "还有吗？"},
    ]
    assert row["counted"] == len(counting.prompt(messages))
    assert row["taken"] > row["counted"] * 0.8
    text = talked.run("context", "one", "--count").stdout
    assert "the provider counts" in text
    talked.variables["MULTITURN_LANG"] = "zh"
    assert "服务商计数为" in talked.run("context", "one", "--count").stdout


def test_a_provider_that_does_not_count_says_who_does(shell: Shell) -> None:
    shell.run("ask", "hello")
    assert "kimi" in shell.refused("context", "last", "--count")
