"""What does each provider refuse? A table of our own, written from the providers' documentation and
not from the catalogue, so that a wrong line there is found here.

Where the documentation is silent the field says ``"either"`` and the checker accepts both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["MODELS", "Rules", "rules_for"]

Say = Literal["never", "may", "must"]
Required = Literal["nowhere", "with_calls", "from_first_call", "everywhere"]

IMAGE = frozenset({"image_url"})
FILM = frozenset({"image_url", "video_url", "video"})
ANYTHING = frozenset({"image_url", "video_url", "video", "input_audio", "file"})
TEXT: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rules:
    """What one model accepts.

    - ``system``: one leading message (``"first"``), any place (``"any"``), or not documented.
    - ``developer``: whether that role exists.
    - ``opening``: whether the list may begin with the assistant.
    - ``alternation``: neighbours of one role are refused.
    - ``plain``, ``calling``: whether the model's own reasoning goes back on messages without and with
      tool calls; ``required``: where a message without any is refused; ``fields``: its name.
    - ``media``: kinds of parts it sees, ``unsure``: kinds of which that is not documented;
      ``text_lists``: whether text may come as a list of parts.
    - ``bare``: how a message with calls and no words carries its content.
    """

    model: str
    system: Literal["first", "any", "either"] = "either"
    developer: bool = False
    opening: bool = True
    alternation: bool = False
    plain: Say = "never"
    calling: Say = "never"
    required: Required = "nowhere"
    fields: frozenset[str] = frozenset({"reasoning_content"})
    media: frozenset[str] = TEXT
    unsure: frozenset[str] = TEXT
    text_lists: bool = True
    bare: Literal["absent", "present", "either"] = "either"
    refuses_empty: bool = False

    def must_see(self, kind: str) -> bool:
        """Whether leaving such a part out is a loss."""
        return kind in self.media

    def may_see(self, kind: str) -> bool:
        """Whether such a part may be sent."""
        return kind in self.media or kind in self.unsure


_QWEN = {"bare": "present", "refuses_empty": True}
_KIMI = {"bare": "absent", "refuses_empty": True}
_EITHER = frozenset({"reasoning", "reasoning_content"})
_STEP: dict[str, object] = {"calling": "may", "plain": "may", "fields": _EITHER}
_OPENAI = {"system": "any", "developer": True, "media": IMAGE, "unsure": ANYTHING - IMAGE}
_UNKNOWN = {
    "developer": True,
    "plain": "may",
    "calling": "may",
    "fields": _EITHER,
    "unsure": ANYTHING,
}

_TABLE: dict[str, dict[str, object]] = {
    "qwen/qwen-plus": {**_QWEN, "text_lists": False},
    "qwen/qwen3-vl-plus": {**_QWEN, "media": FILM},
    "dashscope/qwen-plus": {
        **_QWEN,
        "system": "first",
        "opening": False,
        "alternation": True,
        "text_lists": False,
    },
    "kimi/kimi-k2-0905-preview": {**_KIMI, "text_lists": False},
    "kimi/kimi-k2-thinking": {**_KIMI, "text_lists": False, "calling": "must", "required": "with_calls"},
    "kimi/kimi-k2.6": {**_KIMI, "media": FILM, "calling": "must", "required": "with_calls"},
    "kimi/kimi-k2.7-code": {
        **_KIMI,
        "media": FILM,
        "plain": "must",
        "calling": "must",
        "required": "everywhere",
    },
    "deepseek/deepseek-v4-flash": {"plain": "may", "calling": "must", "required": "from_first_call"},
    "deepseek/deepseek-chat": {},
    "glm/glm-5.1": {"calling": "must"},
    "glm/glm-4.6v": {"calling": "must", "media": FILM},
    "stepfun/step-3.7-flash": {**_STEP, "media": FILM},
    "stepfun/step-3.5-flash": _STEP,
    "openai/gpt-4o": _OPENAI,
    "openai/gpt-5.4": _OPENAI,
    "siliconflow/Qwen/Qwen3-8B": {"plain": "may", "calling": "may", "unsure": ANYTHING},
    "ark/doubao-seed-2-0-pro-260215": {"plain": "may", "calling": "may", "media": IMAGE},
    "zhizengzeng/gpt-4o": {**_OPENAI, "system": "either"},
    "compatible/some-model": _UNKNOWN,
}

MODELS = tuple(_TABLE)
"""Every model of the table, as ``provider/model``."""


def rules_for(model: str) -> Rules:
    """The rules of one model of the table."""
    return Rules(model, **_TABLE[model])  # type: ignore[arg-type]  # the table above is the type
