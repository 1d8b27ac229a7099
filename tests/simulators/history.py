"""What is wrong with a list of messages? The checks all chat providers share, each switched by a flag of the
provider and told in its own words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .problems import Problem, Refusal
from .server import Model

MEDIA = {
    "image_url": "image",
    "image": "image",
    "video_url": "video",
    "video": "video",
    "input_audio": "audio",
    "audio": "audio",
}
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Manners:
    """What a provider takes. ``empty`` are the roles whose content may be empty; ``system`` is ``anywhere``,
    ``leading`` (several, at the beginning) or ``first`` (one, at index 0)."""

    roles: frozenset[str] = frozenset(("system", "user", "assistant", "tool"))
    empty: frozenset[str] = frozenset()
    system: str = "anywhere"
    user_needed: bool = False
    last_user: bool = False
    partial: bool = False
    remote_images: bool = True
    fields: frozenset[str] = frozenset()
    """The only fields of a message that are known; empty: any."""
    reasoning: tuple[str, ...] = ("reasoning_content",)
    """The fields in which thinking may come back."""


@dataclass
class Examination:
    """One list of messages before one provider."""

    manners: Manners
    problems: Mapping[str, Problem]
    model: Model
    thinking: bool
    notes: list[str] = field(default_factory=list)

    def run(self, messages: object) -> None:
        """Refuse the list at its first fault."""
        if not isinstance(messages, list):
            raise self._refuse("messages_missing")
        if not messages:
            raise self._refuse("messages_empty")
        for index, message in enumerate(messages):
            self._message(index, message if isinstance(message, dict) else {})
        self._pairs(messages)
        self._places(messages)
        if self.thinking:
            self._reasoning(messages)

    def _refuse(self, name: str, /, **figures: object) -> Refusal:
        return Refusal(self.problems[name].told(**figures))

    def _message(self, index: int, message: Mapping[str, Any]) -> None:
        role = message.get("role")
        if role not in self.manners.roles:
            raise self._refuse("role", index=index, role=role)
        for name in message:
            if self.manners.fields and name not in self.manners.fields:
                raise self._refuse("field_refused", index=index, field=name)
        content = message.get("content")
        if isinstance(content, list):
            self._parts(index, message, content)
        elif content is None:
            if not (role == "assistant" and message.get("tool_calls")):
                raise self._refuse("content_missing", index=index, role=role)
        elif not content and not message.get("tool_calls") and role not in self.manners.empty:
            raise self._refuse("content_empty", index=index, role=role)

    def _parts(self, index: int, message: Mapping[str, Any], parts: Sequence[Any]) -> None:
        if not self.model.lists:
            raise self._refuse("list_refused", index=index)
        if not parts and message.get("role") not in self.manners.empty:
            raise self._refuse("content_empty", index=index, role=message.get("role"))
        for part in (part for part in parts if isinstance(part, dict)):
            kind = MEDIA.get(part.get("type") or next((name for name in part if name in MEDIA), ""))
            if kind is not None and kind not in self.model.media:
                raise self._refuse("media_refused", index=index, kind=part.get("type") or kind)
            if part.get("text") == "" and message.get("role") not in self.manners.empty:
                raise self._refuse("text_empty", index=index)
            self._image(part)

    def _image(self, part: Mapping[str, Any]) -> None:
        image = part.get("image_url")
        url = image.get("url", "") if isinstance(image, Mapping) else image
        if isinstance(url, str) and not self.manners.remote_images and not url.startswith(("data:", "ms://")):
            raise self._refuse("media_url", url=url)

    def _pairs(self, messages: Messages) -> None:
        calls: list[str] = []
        caller = 0
        for index, message in enumerate(messages):
            if message["role"] == "tool":
                if message.get("tool_call_id") not in calls:
                    raise self._refuse("orphan", index=index)
                calls.remove(message["tool_call_id"])
                continue
            if calls:
                raise self._refuse("unanswered", index=caller, missing=", ".join(calls))
            calls, caller = [call.get("id") for call in message.get("tool_calls") or ()], index
        if calls:
            raise self._refuse("unanswered", index=caller, missing=", ".join(calls))

    def _places(self, messages: Messages) -> None:
        roles = [message["role"] for message in messages]
        leading = next((i for i, role in enumerate(roles) if role not in {"system", "developer"}), len(roles))
        allowed = {"anywhere": len(roles), "leading": leading, "first": 1}[self.manners.system]
        for index, role in enumerate(roles):
            if role in {"system", "developer"} and index >= allowed:
                raise self._refuse("system_place", index=index)
        if self.manners.user_needed and "user" not in roles:
            raise self._refuse("no_user")
        continued = self.manners.partial and messages[-1].get("partial")
        if self.manners.last_user and roles[-1] not in {"user", "tool"} and not continued:
            raise self._refuse("last_role")

    def _reasoning(self, messages: Messages) -> None:
        called = False
        for index, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            called = called or bool(message.get("tool_calls"))
            kept = any(isinstance(message.get(name), str) for name in self.manners.reasoning)
            needed = {
                "": False,
                "advised": False,
                "all": True,
                "tool_loop": bool(message.get("tool_calls")),
                "from_first_call": called,
            }[self.model.replay]
            if needed and not kept:
                raise self._refuse("reasoning_missing", index=index)
            if self.model.replay == "advised" and message.get("tool_calls") and not kept:
                self.notes.append(f"reasoning left out of the tool loop at message {index}")
