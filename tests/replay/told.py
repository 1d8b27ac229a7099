"""Conversations to replay: what a store would tell of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from multiturn.catalog import Catalog
from multiturn.conversations import Settings
from multiturn.path import TurnRow, sealed
from multiturn.policy import ContextPolicy
from multiturn.replay import Dialogue, Said
from multiturn.sealing import seal
from multiturn.storage import open_store
from multiturn.terms import Engine, Input, Terms, terms_of
from multiturn.tokens import count_message

__all__ = ["MODEL", "dialogue", "said", "terms"]

MODEL = "qwen/qwen3.7-plus"


def said(number: int, *messages: dict[str, Any], at: float = 0.0, **more: Any) -> Said:
    """A completed turn."""
    rows = sealed([seal(message, count_message) for message in messages], number, MODEL)
    traits = 0 if [row.role for row in rows] == ["user", "assistant"] else 1 << 11
    for row in rows:
        traits |= row.traits
    tokens, thought = sum(row.tokens for row in rows), sum(row.reasoning_tokens for row in rows)
    return Said(TurnRow(number, 3, int(traits), tokens, thought, len(rows)), rows, at, MODEL, **more)


def dialogue(*pairs: tuple[str, str], gap: float = 10.0, **more: Any) -> Dialogue:
    """Questions and answers, ``gap`` seconds apart."""
    turns: Sequence[Said] = [
        said(
            number,
            {"role": "user", "content": question},
            {"role": "assistant", "content": reply},
            at=number * gap,
            **more,
        )
        for number, (question, reply) in enumerate(pairs, 1)
    ]
    return Dialogue("c", Settings(), turns)


def terms(policy: ContextPolicy | None = None, model: str = MODEL, **settings: Any) -> Terms:
    """What holds for a step under this policy; without summary and recall where none is given."""
    plain = ContextPolicy(summarize=None, recall=None)
    engine = Engine(open_store(":memory:"), Catalog(), provider=lambda *_: None, model=model)  # type: ignore[arg-type]  # nobody is called
    return terms_of(engine, Settings(**settings), Input(policy=policy or plain))
