"""What awkward conversations do people have? A generator of histories, with every shape that has
broken somebody's window, and a classifier that says which shapes a history has.

The generator draws from any `random.Random`: a seeded one, or hypothesis' own, which can shrink.
"""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import strategies as st

from .reading import Json
from .rules import MODELS

__all__ = ["generate", "histories", "long_history"]

WORDS = (
    "好", "还有货吗", "tea", "a red phone", "价格 3999 元", "Wie geht's?", "ok", "继续", "27 岁",
    "👩‍👩‍👧‍👦 家", "zero\u200dwidth", "nul\x00nul", "e\u0301 é", "\U0001f600\U0001f3fd", '"quoted" \\ {}',
    "line\nbreak", "\u2028\u2029", "<|im_start|>system", "عربي", "  spaces  ",
)  # fmt: skip
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
LINK = {"type": "image_url", "image_url": {"url": "https://example.com/cat.png", "detail": "low"}}
FILM = {"type": "video_url", "video_url": {"url": "https://example.com/cat.mp4"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
PAPER = {"type": "file", "file": {"file_id": "file-1"}}
NULLS = {"refusal": None, "function_call": None, "audio": None, "annotations": None}


def histories() -> st.SearchStrategy[list[Json]]:
    """The generator as a hypothesis strategy."""
    return st.randoms(use_true_random=False).map(generate)


def generate(draw: random.Random) -> list[Json]:
    """One history: now and then a plain one, mostly with several awkward shapes at once."""
    return _Writer(draw).write()


def long_history(turns: int) -> list[Json]:
    """A plain conversation of many turns behind one instruction."""
    messages: list[Json] = [{"role": "system", "content": "Be brief."}]
    for turn in range(turns):
        messages.append({"role": "user", "content": f"question {turn}"})
        messages.append({"role": "assistant", "content": f"answer {turn}"})
    return [*messages, {"role": "user", "content": "and now?"}]


class _Writer:
    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.serial = 0
        self.messages: list[Json] = []
        self.home = draw.choice(MODELS)
        """The model most of this conversation was held with."""

    def write(self) -> list[Json]:
        kind = self.draw.randrange(24)
        if kind == 0:
            return self._only_instructions()
        if kind == 1:
            return [self._user()]
        self._instructions()
        if self._chance(6):
            self._opening()
        for _ in range(self.draw.choice((0, 1, 1, 2, 2, 3, 5, 9))):
            self._turn()
        self._ending()
        if self._chance(5):
            self._stray()
        return [self._dress(message) for message in self.messages]

    # -------------------------------------------------------------------------------- words

    def _chance(self, one_in: int) -> bool:
        return self.draw.randrange(one_in) == one_in - 1

    def _words(self) -> str:
        self.serial += 1
        text = self.draw.choice(WORDS)
        if self._chance(5):
            return text
        return f"{text} {self.serial}" + " 很长" * self.draw.choice((0, 0, 0, 3, 30))

    def _id(self) -> str:
        if self._chance(6):
            return "call_1"
        self.serial += 1
        return f"call_{self.serial}"

    # ------------------------------------------------------------------------------- messages

    def _only_instructions(self) -> list[Json]:
        return [self._instruction() for _ in range(self.draw.randrange(1, 4))]

    def _instructions(self) -> None:
        for _ in range(self.draw.choice((0, 1, 1, 1, 2, 3))):
            self.messages.append(self._instruction())

    def _instruction(self) -> Json:
        role = "developer" if self._chance(5) else "system"
        if self._chance(12):
            return {"role": role, "content": [{"type": "text", "text": self._words()}]}
        return {"role": role, "content": f"rule {self._words()}"}

    def _opening(self) -> None:
        for _ in range(self.draw.choice((1, 1, 2))):
            self.messages.append(self._answer())

    def _user(self) -> Json:
        content: Any = self._words()
        if self._chance(40):
            content = ""
        elif self._chance(6):
            content = self._parts()
        elif self._chance(16):
            content = self._words() + " long" * 3000
        return {"role": "user", "content": content}

    def _parts(self) -> list[Json]:
        parts = [
            self.draw.choice((IMAGE, LINK, IMAGE, FILM, SOUND, PAPER))
            for _ in range(1 + self.draw.randrange(3))
        ]
        at = self.draw.randrange(4)
        return parts if at == 3 else [*parts[:at], {"type": "text", "text": self._words()}, *parts[at:]]

    def _answer(self) -> Json:
        message: Json = {"role": "assistant", "content": self._words()}
        if self._chance(16):
            message["content"] = self.draw.choice(("", None))
        return self._signed(message)

    def _signed(self, message: Json) -> Json:
        if not self._chance(4):
            message["model"] = self.home if not self._chance(4) else self.draw.choice(MODELS)
        if self._chance(3):
            field = self.draw.choice(("reasoning_content", "reasoning_content", "reasoning"))
            message[field] = "" if self._chance(8) else f"thought {self._words()}"
        return message

    # ----------------------------------------------------------------------------------- turns

    def _turn(self) -> None:
        self.messages.append(self._user())
        while self._chance(8):
            self.messages.append(self._user())
        if self._chance(3):
            for _ in range(self.draw.choice((1, 1, 2, 4))):
                self._group()
        if self._chance(20):
            return
        self.messages.append(self._answer())
        if self._chance(10):
            self.messages.append(self._answer())
        if self._chance(10):
            self.messages.append(self._instruction())

    def _group(self) -> None:
        ids = [self._id() for _ in range(self.draw.choice((1, 1, 2, 3)))]
        ids = list(dict.fromkeys(ids))
        content = self.draw.choice((None, "", "looking it up", "absent", "list"))
        message: Json = {
            "role": "assistant",
            "content": content,
            "tool_calls": [self._call(name) for name in ids],
        }
        if content == "absent":
            del message["content"]
        elif content == "list":
            message["content"] = [{"type": "text", "text": self.draw.choice(("", "one moment"))}]
        self.messages.append(self._signed(message))
        answered = list(ids)
        if self._chance(7):
            answered = answered[: self.draw.randrange(len(answered))]
        if self._chance(3):
            self.draw.shuffle(answered)
        for name in answered:
            self.messages.append(self._result(name))
        if self._chance(10):
            self.messages.append(self._instruction())

    def _call(self, id: str) -> Json:
        arguments = json.dumps({"q": self._words()}, ensure_ascii=False)
        return {"id": id, "type": "function", "function": {"name": "look_up", "arguments": arguments}}

    def _result(self, id: str) -> Json:
        content: Any = self._words()
        if self._chance(12):
            content = [{"type": "text", "text": content}]
        return {"role": "tool", "tool_call_id": id, "content": content}

    # --------------------------------------------------------------------------------- endings

    def _ending(self) -> None:
        kind = self.draw.randrange(10)
        if kind == 0:
            return
        self.messages.append(self._user())
        if kind == 1:
            self.messages.append(self._user())
        elif kind == 2:
            for _ in range(25):
                self._group()
        elif kind in (3, 4):
            for _ in range(self.draw.randrange(1, 4)):
                self._group()
        elif kind == 5:
            self.messages.append(self._answer())

    def _stray(self) -> None:
        """A result that answers nothing, somewhere."""
        at = self.draw.randrange(len(self.messages) + 1)
        self.messages.insert(at, self._result(self.draw.choice(("call_1", "call_of_nobody"))))

    def _dress(self, message: Json) -> Json:
        """Fields that SDK dumps and other people's stores bring along."""
        if message["role"] == "user" and self._chance(8):
            message = {**message, "name": "alice"}
        if message["role"] == "assistant" and self._chance(6):
            message = {**message, **NULLS}
            message.setdefault("tool_calls", None)
        if self._chance(12):
            message = {**message, "x_shop": {"order": 42, "note": None}}
        if self._chance(12):
            self.serial += 1
            message = {**message, "id": f"msg_{self.serial}", "created_at": 1_700_000_000 + self.serial}
        return message
