"""Bring your own SDK: multiturn keeps the memory, the openai package makes the calls.
使用自己的 SDK：multiturn 负责记忆，调用由 openai 包完成。

Replaces OpenAI's guide “Conversation state”, where the caller appends every message to a list.
代替 OpenAI 的指南《Conversation state》：那里由调用方把每条消息追加到列表里
(developers.openai.com/api/docs/guides/conversation-state)。

    OPENAI_API_KEY=… python examples/own_sdk.py
"""

from typing import Any

from openai import OpenAI

from multiturn import MultiTurn

MODEL = "gpt-5.4-mini"

with OpenAI() as sdk, MultiTurn(model=f"openai/{MODEL}", store="sqlite:///examples.db") as client:
    chat = client.conversation(system="回答要简短。")

    with chat.prepare("我叫小林，我对花生过敏。") as turn:
        messages: list[Any] = list(turn.messages)
        turn.commit(sdk.chat.completions.create(model=MODEL, messages=messages))

    with chat.prepare("我对什么过敏？") as turn:
        messages = list(turn.messages)
        stream = sdk.chat.completions.create(model=MODEL, messages=messages, stream=True)
        for chunk in turn.follow(stream):
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()
