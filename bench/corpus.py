"""What is said in the conversations that are measured?

By default sentences of Chinese and English words, 60 to 200 bytes long, the same in every run. Or the
dialogues of a file such as CrossWOZ's: a JSON list of ``{"messages": [{"role", "content"}, …]}``.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

__all__ = ["SYSTEM", "Message", "dialogues", "invented", "tokens", "with_tools"]

Message = dict[str, str]
SYSTEM = "你是手机商店的店员。Answer in the customer's language, briefly, and never invent a price."
CHINESE = tuple(
    re.findall(
        r"\w+",
        "手机 屏幕 电池 价格 酒店 餐馆 地铁 周末 颜色 存货 发票 地址 早餐 评分 预算 推荐 我想要 有没有 请问"
        " 可以 明天 便宜一点 谢谢 附近 什么时候 大概 比较 电影",
    )
)
ENGLISH = tuple(
    re.findall(
        r"\w+",
        "phone screen battery price order delivery blue model storage camera please around tomorrow maybe"
        " cheaper available receipt warranty the a with for is there",
    )
)
ROLES = ("user", "assistant")


def invented(count: int, seed: int = 7) -> list[Message]:
    """``count`` messages, user and assistant in turn."""
    chance = random.Random(seed)
    return [{"role": ROLES[index % 2], "content": _sentence(chance)} for index in range(count)]


def _sentence(chance: random.Random) -> str:
    length, words, joint = chance.randint(60, 180), CHINESE, ""
    if chance.random() < 0.4:
        words, joint = ENGLISH, " "
    text = str(chance.randint(1, 9999))
    while len(text.encode()) < length:
        word = chance.choice(words if chance.random() < 0.9 else ENGLISH)
        text += joint + word + ("，" if joint == "" and chance.random() < 0.2 else "")
    return text


def dialogues(path: Path, count: int) -> list[Message]:
    """``count`` messages of the dialogues in a file, one dialogue after the other, from the beginning
    again when they are used up."""
    told = [_plain(each) for dialogue in json.loads(path.read_text("utf-8")) for each in dialogue["messages"]]
    if [each["role"] for each in told] != [ROLES[index % 2] for index in range(len(told))]:
        raise ValueError("user and assistant do not take turns in these dialogues")
    return list(islice(cycle(told), count))


def _plain(message: Message) -> Message:
    return {"role": message["role"], "content": message["content"]}


def tokens(message: Message) -> int:
    """A plain counter, the same for all contestants: about three bytes a token."""
    return len(message["content"].encode()) // 3 + 4


def with_tools(messages: Sequence[Message]) -> list[dict[str, object]]:
    """The same conversation where every fourth turn calls a tool before it answers."""
    return [each for index in range(0, len(messages), 2) for each in _turn(messages, index)]


def _turn(messages: Sequence[Message], index: int) -> Iterator[dict[str, object]]:
    user, assistant = messages[index : index + 2]
    yield dict(user)
    if index % 8 == 0:
        asked = {"name": "stock", "arguments": json.dumps({"model": index}, ensure_ascii=False)}
        calls = [{"id": f"call_{index}", "type": "function", "function": asked}]
        yield {"role": "assistant", "content": None, "tool_calls": calls}
        yield {"role": "tool", "tool_call_id": f"call_{index}", "content": '{"left": 3, "place": "二楼"}'}
    yield dict(assistant)
