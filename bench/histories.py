"""Which conversations of other people are searched, and what should be found in them?

None is part of this project: a folder is named on the command line, and holds what there is of

- ``locomo/locomo*.json``: very long chats of two people (snap-research/locomo; CC BY-NC 4.0, for
  evaluation only). Photographs are there as their captions; malformed evidence ids are repaired.
- ``*/*.recall.json``: histories in the format ``recall-turns/1``, with the turns that answer a question.
- ``crosswoz/crosswoz_dialogues*.json``: task dialogues, a JSON list with ``messages``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

__all__ = ["History", "Question", "dialogues", "histories"]

EVIDENCE = re.compile(r"D:?(\d+):(\d+)")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the ids of the messages that answer it."""

    text: str
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class History:
    """The messages of one conversation as `add` takes them, and questions about it."""

    messages: Sequence[Mapping[str, Any]]
    questions: Sequence[Question]


def histories(folder: Path) -> Iterator[tuple[str, list[History]]]:
    """The data sets of a folder, by name."""
    for file in sorted(folder.glob("locomo/locomo*.json")):
        yield file.stem, [_locomo(told) for told in json.loads(file.read_text("utf-8"))]
    for file in sorted(folder.glob("*/*.recall.json")):
        told = json.loads(file.read_text("utf-8"))
        yield file.name.removesuffix(".recall.json"), [_recall_turns(each) for each in told["conversations"]]


def dialogues(folder: Path) -> list[list[dict[str, str]]]:
    """Ordinary dialogues that need no memory beyond themselves."""
    return [
        [{"role": message["role"], "content": message["content"]} for message in told["messages"]]
        for file in sorted(folder.glob("crosswoz/crosswoz_dialogues*.json"))
        for told in json.loads(file.read_text("utf-8"))
    ]


def _message(id: str, speaker: str, role: str, text: str, at: str | None) -> dict[str, Any]:
    message = {"role": role, "content": text, "name": speaker, "id": id, "created_at": at}
    return {name: value for name, value in message.items() if value}


def _recall_turns(told: Mapping[str, Any]) -> History:
    messages = [
        _message(
            turn["id"],
            turn["speaker"],
            "assistant" if turn["role"] == "assistant" else "user",
            turn["text"],
            turn.get("time"),
        )
        for turn in told["turns"]
    ]
    questions = [Question(each["text"], frozenset(each["evidence"])) for each in told["queries"]]
    return History(messages, questions)


def _locomo(told: Mapping[str, Any]) -> History:
    talk = told["conversation"]
    messages: list[dict[str, Any]] = []
    for number in count(1):
        if f"session_{number}" not in talk:
            break
        when = f"{talk[f'session_{number}_date_time']} +0000"
        at = datetime.strptime(when, "%I:%M %p on %d %B, %Y %z").isoformat()
        for turn in talk[f"session_{number}"]:
            role = "user" if turn["speaker"] == talk["speaker_a"] else "assistant"
            text = turn["text"]
            if turn.get("blip_caption"):
                text += f" [shares {turn['blip_caption']}]"
            messages.append(_message(turn["dia_id"], turn["speaker"], role, text, at))
    known = {message["id"] for message in messages}
    questions = []
    for asked in told["qa"]:
        named = {f"D{int(one)}:{int(two)}" for e in asked["evidence"] for one, two in EVIDENCE.findall(e)}
        if named & known:
            questions.append(Question(asked["question"], frozenset(named & known)))
    return History(messages, questions)
