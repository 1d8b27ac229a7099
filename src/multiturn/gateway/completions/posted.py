"""What of a posted array is new? What follows the last assistant or tool-call exchange; what stands before
it is history that we hold ourselves, and the instructions at its head are those in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..http.refusal import Refusal

__all__ = ["Posted", "divide", "messages_in"]

INSTRUCTIONS = ("system", "developer")
MOST_MESSAGES = 2048
OF_ITEMS = frozenset(("id", "item_ids", "response_items"))
"""What is kept beside a message for the items it is made of. A chat completion has no such words: somebody's
own of that name would hide what the message says, or give two items one id."""
Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Posted:
    """A posted array, divided. ``instructions`` are ``None`` where none were posted: then those that are
    stored stay in force. ``earlier`` is history, ``new`` the input of this turn."""

    instructions: Messages | None
    earlier: Messages
    new: Messages

    @property
    def results(self) -> Messages:
        """The results of tools right before the new input: new too, where the stored turn waits for them."""
        place = len(self.earlier)
        while place and self.earlier[place - 1]["role"] == "tool":
            place -= 1
        return self.earlier[place:]

    def with_results(self) -> Posted:
        """The same, with those results as part of the input."""
        results = self.results
        return Posted(
            self.instructions, self.earlier[: len(self.earlier) - len(results)], [*results, *self.new]
        )


def messages_in(posted: object) -> Messages:
    """What was posted, where it is a list of messages. Raises `Refusal`."""
    if not isinstance(posted, list) or not posted:
        raise Refusal(400, "messages_missing", param="messages")
    if len(posted) > MOST_MESSAGES:
        raise Refusal(400, "too_many_messages", param="messages", limit=MOST_MESSAGES)
    if not all(isinstance(each, dict) and isinstance(each.get("role"), str) for each in posted):
        raise Refusal(400, "messages_shape", param="messages")
    return posted


def divide(messages: object) -> Posted:
    """Divide a posted array. Raises `Refusal` for what is no list of messages, and where nothing is new.

    >>> divide([{"role": "user", "content": "a"}, {"role": "assistant"}, {"role": "user"}]).new
    [{'role': 'user'}]
    """
    messages = [_plain(each) for each in messages_in(messages)]
    lead = 0
    while lead < len(messages) and messages[lead]["role"] in INSTRUCTIONS:
        lead += 1
    start = _start_of_new(messages, lead)
    if start == len(messages):
        raise Refusal(400, "nothing_new", param="messages")
    return Posted(messages[:lead] or None, messages[lead:start], messages[start:])


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if OF_ITEMS.isdisjoint(message):
        return message
    return {name: value for name, value in message.items() if name not in OF_ITEMS}


def _start_of_new(messages: Messages, lead: int) -> int:
    """Where the new input begins: behind the last assistant message; results of its calls belong to it
    only where nothing follows them."""
    start = len(messages)
    while start > lead and messages[start - 1]["role"] not in ("assistant", "tool"):
        start -= 1
    if start < len(messages):
        return start
    while start > lead and messages[start - 1]["role"] == "tool":
        start -= 1
    return start
