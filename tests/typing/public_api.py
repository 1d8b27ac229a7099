"""The types of the public interface, as people use them. Never executed: mypy checks it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_type

from multiturn import AsyncMultiTurn, ContextPolicy, MultiTurn, Recall, Summarize, fit
from multiturn.conversations import Branch, Conversation, Turn
from multiturn.decision import Code, Decision
from multiturn.errors import ContextOverflow, Error, ProviderError
from multiturn.messages import Message, ToolCall
from multiturn.reply import Delta, Reply
from multiturn.usage import Cost, Spending, Usage
from multiturn.window import Window


def policies() -> None:
    assert_type(ContextPolicy(budget=8000, max_turns=3, images="last"), ContextPolicy)
    assert_type(ContextPolicy(summarize=Summarize(max_tokens=300), recall=Recall(max_turns=2)), ContextPolicy)
    assert_type(ContextPolicy(summarize=None, recall=None, images=2), ContextPolicy)
    assert_type(ContextPolicy.last_messages(20), ContextPolicy)
    ContextPolicy(budget="8000")  # type: ignore[arg-type]  # a number, not a text
    ContextPolicy(8000)  # type: ignore[call-arg]  # by name only


def blocking() -> None:
    with MultiTurn(model="demo", store=":memory:", policy=ContextPolicy(budget=8000)) as client:
        chat = client.conversation("order-42", user="alice", system="You are a clerk.", opening="Hello!")
        reply = chat.send("Hello", key="msg-1", temperature=0.2, params={"enable_thinking": True})
        assert_type(reply, Reply)
        assert_type(chat.send(tool_results={"call_1": {"sent": True}}, on_busy="reject"), Reply)
        with chat.stream("And now?") as stream:
            for delta in stream:
                assert_type(delta, Delta)
        assert_type(stream.reply, Reply)
        with chat.prepare("Still there?") as turn:
            assert_type(turn.messages, list[dict[str, Any]])
            assert_type(turn.commit("Yes."), Reply)
        assert_type(chat.edit(1, "Hi"), Reply)
        assert_type(chat.regenerate(), Reply)
        assert_type(chat.history(), list[Message])
        assert_type(chat.turns(), list[Turn])
        assert_type(chat.branches(), list[Branch])
        assert_type(chat.window("What if?", policy=ContextPolicy.full(), model="demo"), Window)
        assert_type(chat.usage(), Spending)
        assert_type(chat.branch(1).send("Aside"), Reply)
        assert_type(chat.add([{"role": "user", "content": "Hello"}]), list[Message])
        assert_type(client.conversations(user="alice"), list[Conversation])
        assert_type(client.within("shop", user="alice"), MultiTurn)
        chat.send("Hello", heat=0.2)  # type: ignore[call-arg]  # no such parameter
        chat.send("Hello", on_busy="wait")  # type: ignore[arg-type]  # no such way


async def asynchronous() -> None:
    async with AsyncMultiTurn(model="demo", store=":memory:") as client:
        chat = client.conversation()
        assert_type(await chat.send("Hello"), Reply)
        async with chat.stream("And now?") as stream:
            async for delta in stream:
                assert_type(delta.text, str)
        assert_type(stream.reply.window, Window)
        async with chat.prepare("Still there?") as turn:
            assert_type(await turn.commit({"role": "assistant", "content": "Yes."}), Reply)
        assert_type(await chat.history(), list[Message])
        assert_type(await client.conversations(), list[Conversation])


def records(reply: Reply) -> None:
    assert_type(reply.text, str)
    assert_type(reply.reasoning, str | None)
    assert_type(reply.tool_calls, tuple[ToolCall, ...])
    assert_type(reply.usage, Usage | None)
    assert_type(reply.cost, Cost | None)
    assert_type(reply.turn, Turn)
    decision = reply.window.decisions[0]
    assert_type(decision, Decision)
    assert_type(decision.code, Code)
    assert_type(decision.figures, Mapping[str, object])
    assert_type(reply.window.explain(), str)
    reply.text = "other"  # type: ignore[misc]  # records are immutable


def lists() -> None:
    def count(message: Mapping[str, Any]) -> int:
        return len(message)

    window = fit(
        [{"role": "user", "content": "Hello"}], ContextPolicy(budget=100), model="qwen-plus", count=count
    )
    assert_type(window, Window)
    assert_type(fit([{"role": "user", "content": "Hello"}], previous=window), Window)


def errors() -> None:
    try:
        lists()
    except ContextOverflow as overflow:
        assert_type(overflow.figures, Mapping[str, object])
    except ProviderError as problem:
        assert_type(problem.retry_after, float | None)
    except Error as error:
        assert_type(error.code, str)
        assert_type(error.retryable, bool)
        assert_type(error.turn, str | None)
