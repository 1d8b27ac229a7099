"""The gateway: a backend that changes only base_url, and remembers each order without a list of messages.
网关：后端只改 base_url。不用保存消息列表，每个订单的对话都记得住。

Replaces the list of messages that a backend keeps for each user, and sends whole with every request.
代替后端为每个用户保存、每次请求都整个发送的消息列表。

The gateway (multiturn serve) runs beside it and has the provider's key; the backend needs none.
网关（multiturn serve）在旁边运行，服务商的密钥由它持有；后端不需要密钥。

    python examples/gateway_memory.py
"""

import os
from typing import Any

from openai import OpenAI

GATEWAY = os.environ.get("GATEWAY", "http://127.0.0.1:8484/v1")
MODEL = os.environ.get("MODEL", "qwen/qwen-plus")


def answer(openai: OpenAI, customer: str, order: str, text: str) -> str:
    """What a handler of the backend does: it names the customer and the order, and sends what is new."""
    messages: list[Any] = [
        {"role": "system", "content": "回答要简短。"},
        {"role": "user", "content": text},
    ]
    reply = openai.chat.completions.with_raw_response.create(
        model=MODEL, messages=messages, user=customer, extra_body={"conversation": order}
    )
    turn, tokens = reply.headers["x-multiturn-turn"], reply.headers["x-multiturn-context-tokens"]
    return f"{order}, turn 轮 {turn}, {tokens} tokens: {reply.parse().choices[0].message.content}"


with OpenAI(base_url=GATEWAY, api_key="none") as openai:
    print(answer(openai, "lin", "order-1", "我要十枝白玫瑰。"))
    print(answer(openai, "chen", "order-2", "我要一盆茉莉。"))
    print(answer(openai, "lin", "order-1", "我要了多少枝白玫瑰？"))

with OpenAI(base_url=GATEWAY, api_key="none") as openai:  # another process, another day
    print(answer(openai, "chen", "order-2", "我要了几盆茉莉？"))
    first = openai.responses.create(model=MODEL, input="我家的门牌是 27 号。")
    with openai.responses.stream(model=MODEL, input="门牌是几号？", previous_response_id=first.id) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
    print()
