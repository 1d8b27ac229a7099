"""Would the provider take this list? Its own rules, applied to the messages of a window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from .alignment import Alignment, Match
from .reading import History, Item, Json
from .rules import Rules
from .violation import Violation

__all__ = ["provider_violations"]

NEVER_NULL = ("tool_calls", "function_call", "name", "tool_call_id", "reasoning_content", "reasoning")
FACTS = ("model", "id", "created_at")
"""What an imported message brings along for us: no provider knows these fields."""
REASONING = ("reasoning_content", "reasoning")


def provider_violations(
    history: History, window: Sequence[Json], alignment: Alignment, rules: Rules, images: Any
) -> Iterable[Violation]:
    """What the provider would refuse, and reasoning or parts that went where they must not."""
    yield from _roles(window, alignment, rules)
    for index, message in enumerate(window):
        yield from _form(index, message, alignment.items[index], rules)
    yield from _reasoning(history, window, alignment, rules)
    yield from _omissions(history, alignment, rules, images)
    yield from _images(history, alignment, images)


def _roles(window: Sequence[Json], alignment: Alignment, rules: Rules) -> Iterable[Violation]:
    before: Item | None = None
    for item in alignment.items:
        raw = window[item.index].get("role")
        if raw not in ("system", "user", "assistant", "tool") and not (
            raw == "developer" and rules.developer
        ):
            yield Violation("role", f"no role {raw!r} there", item.index)
        if item.instructs and item.index and rules.system == "first":
            yield Violation("system_first", "a system message that is not the first message", item.index)
        if rules.alternation and before and item.role == before.role and item.role in ("user", "assistant"):
            yield Violation("alternation", f"two {item.role} messages in a row", item.index)
        before = item


def _form(index: int, message: Json, item: Item, rules: Rules) -> Iterable[Violation]:
    content = message.get("content")
    yield from _fields(index, message)
    if content is None and not item.calls:
        yield Violation("empty_message", "no content", index)
    elif item.role == "assistant" and not item.calls and not item.media and not item.text:
        yield Violation("empty_message", "an empty assistant message", index)
    elif rules.refuses_empty and item.role in ("user", "system") and not item.media and not item.text:
        yield Violation("empty_message", f"an empty {item.role} message", index)
    if item.calls and not item.text:
        yield from _bare(index, message, rules)
    if isinstance(content, list):
        yield from _parts(index, content, item, rules)


def _fields(index: int, message: Json) -> Iterable[Violation]:
    for name in NEVER_NULL:
        if name in message and message[name] in (None, []):
            yield Violation("malformed", f"{name} is {message[name]!r}", index)
    for name in FACTS:
        if name in message:
            yield Violation("malformed", f"the field {name} is ours, not the provider's", index)
    if message.get("content") == []:
        yield Violation("malformed", "content is an empty list", index)


def _bare(index: int, message: Json, rules: Rules) -> Iterable[Violation]:
    if rules.bare == "absent" and "content" in message:
        yield Violation("content", "content beside calls must be left out when there are no words", index)
    if rules.bare == "present" and "content" not in message:
        yield Violation("content", "the content field is required", index)


def _parts(index: int, content: list[Json], item: Item, rules: Rules) -> Iterable[Violation]:
    if not rules.text_lists and not item.media:
        yield Violation("list_content", "content must be a string", index)
    if rules.refuses_empty and any(part.get("type") == "text" and not part.get("text") for part in content):
        yield Violation("empty_message", "a text part without text", index)
    for kind, _ in item.media:
        if not rules.may_see(kind):
            yield Violation("modality", f"the model cannot take {kind}", index)


# ------------------------------------------------------------------------------------ reasoning


def _reasoning(
    history: History, window: Sequence[Json], alignment: Alignment, rules: Rules
) -> Iterable[Violation]:
    called = False
    matches = {match.sent: match for match in alignment.matches}
    for item in alignment.items:
        if item.role != "assistant":
            if any(name in window[item.index] for name in REASONING):
                yield Violation("reasoning_leak", f"reasoning on a {item.role} message", item.index)
            continue
        called = called or bool(item.calls)
        fields = [name for name in REASONING if name in window[item.index]]
        yield from _field(item, fields, rules)
        if not fields and _required(item, called, rules):
            yield Violation("reasoning_missing", "the provider refuses this message without it", item.index)
        if item.index in matches:
            yield from _origin(history, item, matches[item.index], bool(fields), rules)


def _field(item: Item, fields: list[str], rules: Rules) -> Iterable[Violation]:
    if fields and not set(fields) <= rules.fields:
        yield Violation("reasoning_field", f"reasoning as {fields}", item.index)
    rule = rules.calling if item.calls else rules.plain
    needed = rules.required == "from_first_call"
    if fields and rule == "never" and not needed:
        yield Violation("reasoning_leak", "this model takes none back here", item.index)


def _required(item: Item, called: bool, rules: Rules) -> bool:
    return (
        rules.required == "everywhere"
        or (rules.required == "with_calls" and bool(item.calls))
        or (rules.required == "from_first_call" and called)
    )


def _origin(history: History, item: Item, match: Match, there: bool, rules: Rules) -> Iterable[Violation]:
    """Reasoning goes back verbatim to the model it came from, and to no other."""
    members = [history.items[place] for place in match.members]
    own = [m.reasoning for m in members if m.reasoning is not None and m.model in (None, rules.model)]
    known = [m.reasoning for m in members if m.reasoning is not None and m.model == rules.model]
    sent = item.reasoning or ""
    if there and sent.strip():
        strange = [m.reasoning for m in members if m.reasoning and m.model not in (None, rules.model)]
        if any(text.strip() and text in sent and text not in own for text in strange):
            yield Violation("reasoning_leak", "reasoning of another model", item.index)
        elif not any(text and text in sent for text in own):
            yield Violation("reasoning_altered", f"nobody thought {sent[:60]!r}", item.index)
        elif len(members) == 1 and sent not in own:
            yield Violation("reasoning_altered", "reasoning is not sent as it was", item.index)
    rule = rules.calling if item.calls else rules.plain
    if rule == "must" and any(text not in sent for text in known):
        yield Violation("reasoning_lost", "the model's own reasoning must go back", item.index)
    elif rule == "must" and known and not there:
        yield Violation("reasoning_lost", "empty reasoning must go back too", item.index)


# ---------------------------------------------------------------------------------------- parts


def _omissions(history: History, alignment: Alignment, rules: Rules, images: Any) -> Iterable[Violation]:
    for match in alignment.matches:
        for place, kind in match.omitted:
            stale = kind == "image_url" and images != "all"
            if not stale and rules.must_see(kind):
                yield Violation("media_lost", f"message {place} lost its {kind}", match.sent)


def _images(history: History, alignment: Alignment, images: Any) -> Iterable[Violation]:
    """At most so many images, those of the newest input apart, and no newer one left for an older."""
    if images == "all":
        return
    counts = {
        item.index: sum(1 for kind, _ in item.media if kind == "image_url")
        for item in alignment.items
        if any(kind == "image_url" for kind, _ in item.media)
    }
    newest = [match.sent for match in alignment.matches if history.newest in match.members]
    if images == "last":
        wrong = [index for index in counts if index != max(counts)]
    else:
        total = sum(counts.values())
        wrong = [i for i in counts if i not in newest] if total > max(images, _of(counts, newest)) else []
    for index in wrong:
        yield Violation("images", "an older image than the policy wants", index)


def _of(counts: dict[int, int], places: list[int]) -> int:
    return sum(counts.get(place, 0) for place in places)
