"""zhizengzeng: a relay that passes the models of many makers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .chat import ChatSimulator, Work
from .history import Manners
from .server import Model

IMAGE = frozenset(("image",))
EVERYBODY = frozenset(("system", "developer", "user", "assistant", "tool", "function"))
MODELS: Mapping[str, Model] = {
    "gpt-4o-mini": Model(128_000, max_output=16_384, media=IMAGE),
    "gpt-4o": Model(128_000, max_output=16_384, media=IMAGE),
    "qwen-plus": Model(1_000_000, 129_024),
    "deepseek-chat": Model(1_000_000, max_output=384_000),
    "deepseek-reasoner": Model(1_000_000, max_output=384_000, thinking="always"),
    "kimi-k2-turbo-preview": Model(262_144, max_output=262_144),
    "doubao-seed-2-0-pro-260215": Model(256_000, max_output=128_000, media=IMAGE),
}


class RelaySimulator(ChatSimulator):
    """``zhizengzeng``: OpenAI's words, more fields than OpenAI's, and no usage in a stream."""

    name = "zhizengzeng"
    models = MODELS
    manners = Manners(roles=EVERYBODY, empty=EVERYBODY)

    def frame(self, work: Work, kind: str, **fields: Any) -> dict[str, Any]:
        """With fields of its own, under an id of its own."""
        number = f"{work.received.number:032x}"
        return {**super().frame(work, kind, **fields), "id": number, "code": 0, "msg": ""}

    def reports(self, work: Work) -> bool:
        """Never in a stream."""
        return False
