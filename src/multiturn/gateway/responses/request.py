"""What is asked for when a response is asked for? The parameters of the Responses API in the words of a turn,
and what of them is told back."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson

from ...catalog import Card, Profile
from ...client import AsyncMultiTurn
from ...policy import ContextPolicy
from ...sealing import encoded
from ...storage import Asked
from ...usage import Spending
from ..access.foresight import foreseen
from ..completions.parameters import refused_by
from ..http.refusal import Refusal
from ..items.items import Item
from ..items.posted import posted_items
from .fields import checked
from .unheeded import unheeded

__all__ = ["EXTRA", "Wanted", "foresight_of", "wanted_of"]

EXTRA = frozenset(("stop", "seed", "top_k", "logit_bias", "enable_thinking", "thinking", "thinking_budget"))
"""Parameters of chat completions and of providers that are handed on."""
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
FOR_OPENAI = ("service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention")
CACHING = ("mode", "ttl")
"""The parts of ``prompt_cache_options`` that chat completions has, too."""
ONLY_COUNTED = frozenset(("personality",))
"""What may be said of a request whose tokens are counted, and of no other."""
SAID_AS = {
    "max_tokens": "max_output_tokens",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
"""What a request for a response calls the parameters of a chat completion."""
ECHOED = frozenset(
    (
        "context_management",
        "frequency_penalty",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "parallel_tool_calls",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    )
)
"""What a response tells back of its request, and most requests of a conversation say alike."""
NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class Wanted:
    """A request for a response, checked; ``items`` are its input, ``unheeded`` the names of what has no
    effect whoever answers."""

    fields: Mapping[str, Any]
    items: list[Item]
    unheeded: frozenset[str] = frozenset()

    def get(self, name: str) -> Any:
        """A parameter by its name; ``None`` where it was not given."""
        return self.fields.get(name)

    @property
    def stored(self) -> bool:
        """Whether the response is to be kept."""
        return self.fields.get("store") is not False

    @property
    def strict(self) -> bool:
        """Whether nothing may be left out."""
        return self.fields.get("truncation") == "disabled"

    @property
    def instructed(self) -> tuple[bytes, ...] | None:
        """The instructions for this response; ``None``: those of the conversation."""
        text = self.fields.get("instructions")
        if text is None:
            return None
        return (encoded({"role": "system", "content": text}),) if text.strip() else ()

    @cached_property
    def policy(self) -> ContextPolicy | None:
        """The policy that is declared with the request: its threshold is where ours begins to fold."""
        for entry in self.fields.get("context_management") or ():
            threshold = entry.get("compact_threshold")
            if threshold is None:
                return ContextPolicy()
            high, _ = ContextPolicy().marks()
            return ContextPolicy(budget=math.ceil(threshold / high))
        return None

    @property
    def step_policy(self) -> ContextPolicy | None:
        """The policy of this step, where it has one: the one that is declared, or everything that the model
        takes."""
        if self.policy is not None or not self.strict:
            return self.policy
        return ContextPolicy(budget=NO_LIMIT, summarize=None, recall=None)

    @cached_property
    def tools(self) -> list[dict[str, Any]]:
        """The tools as chat completions has them."""
        allowed = None
        choice = self.fields.get("tool_choice")
        if isinstance(choice, dict) and choice["type"] == "allowed_tools":
            allowed = {each.get("name") for each in choice["tools"]}
        return [
            {"type": "function", "function": {n: v for n, v in tool.items() if n != "type" and v is not None}}
            for tool in self.fields.get("tools") or ()
            if allowed is None or tool["name"] in allowed
        ]

    @property
    def chosen(self) -> Any:
        """Which tool, as chat completions has it."""
        choice = self.fields.get("tool_choice")
        if isinstance(choice, dict):
            if choice["type"] == "allowed_tools":
                return choice["mode"]
            return {"type": "function", "function": {"name": choice["name"]}}
        return choice if self.tools else None

    def params(self, models: Sequence[tuple[Card, Profile]]) -> dict[str, Any]:
        """The parameters as chat completions has them, without what one of the models does not know."""
        refused = refused_by(models)
        return {name: v for name, v in self._given(models[0][1].switches).items() if name not in refused}

    def dropped(self, models: Sequence[tuple[Card, Profile]]) -> tuple[str, ...]:
        """The names of everything that was asked for and has no effect where these models answer."""
        switches = models[0][1].switches
        names = {SAID_AS.get(name, name) for name in self._given(switches).keys() & refused_by(models)}
        if self._effort is not None and not switches:
            names.add("reasoning.effort")
        return tuple(sorted(self.unheeded | names))

    def _given(self, switches: tuple[str, ...]) -> dict[str, Any]:
        fields = self.fields
        given = {name: fields[name] for name in (*SAMPLING, *EXTRA) if name in fields}
        if "max_output_tokens" in fields:
            given["max_tokens"] = fields["max_output_tokens"]
        if self.tools and "parallel_tool_calls" in fields:
            given["parallel_tool_calls"] = fields["parallel_tool_calls"]
        text = fields.get("text") or {}
        form = dict(text.get("format") or {"type": "text"})
        if form["type"] == "json_schema":
            kind = form.pop("type")
            given["response_format"] = {"type": kind, kind: {n: v for n, v in form.items() if v}}
        elif form["type"] == "json_object":
            given["response_format"] = form
        given |= {name: fields[name] for name in FOR_OPENAI if name in fields}
        options = fields.get("prompt_cache_options") or {}
        if caching := {part: options[part] for part in CACHING if options.get(part) is not None}:
            given["prompt_cache_options"] = caching
        if "verbosity" in text:
            given["verbosity"] = text["verbosity"]
        return given | _thinking(self._effort, switches)

    @property
    def _effort(self) -> str | None:
        effort: str | None = (self.fields.get("reasoning") or {}).get("effort")
        return effort

    def asked(self, model: str, earlier: int, dropped: Sequence[str] = ()) -> Asked:
        """What is kept of the request beside its words; ``earlier`` is how many turns of its input came
        before its own. The tier is told as it is: one that was ``dropped`` does not serve the request."""
        echoed = ECHOED - ({"service_tier"} & {*dropped})
        common = {name: self.fields[name] for name in sorted(echoed & self.fields.keys())}
        own: dict[str, Any] = {}
        for short, name in (("m", "metadata"), ("p", "previous_response_id"), ("b", "background")):
            if self.fields.get(name):
                own[short] = self.fields[name]
        if self.fields.get("conversation"):
            own["c"] = True
        if earlier:
            own["e"] = earlier
        return Asked(orjson.dumps({"model": model, **common}), orjson.dumps(own) if own else None)


def _thinking(effort: str | None, switches: tuple[str, ...]) -> dict[str, Any]:
    """How much is to be thought, in the provider's words."""
    thinks = effort not in ("none", "minimal")
    if effort is None or not switches:
        return {}
    if "reasoning_effort" in switches:
        return {"reasoning_effort": effort}
    if "enable_thinking" in switches:
        return {"enable_thinking": thinks}
    return {"thinking": {"type": "enabled" if thinks else "disabled"}}


def wanted_of(fields: Mapping[str, Any], *, empty: bool = False, counted: bool = False) -> Wanted:
    """A posted body, checked; whether its input may be ``empty``, and whether it is only ``counted``. Raises
    `Refusal`."""
    given = checked(fields, EXTRA | ONLY_COUNTED if counted else EXTRA)
    if given.get("conversation") and given.get("previous_response_id"):
        raise Refusal(400, "mutually_exclusive_parameters", param="previous_response_id")
    if given.get("background") and given.get("store") is False:
        raise Refusal(400, "background_stored", param="background")
    items = posted_items(given.get("input", []))
    if not items and not empty:
        raise Refusal(400, "items_missing", param="input")
    return Wanted(given, items, unheeded(fields) | (ONLY_COUNTED & given.keys()))


def foresight_of(client: AsyncMultiTurn, wanted: Wanted, size: int) -> Callable[[], Awaitable[Spending]]:
    """What the response may take; ``size`` is that of the body in bytes."""
    place = wanted.get("previous_response_id") or wanted.get("conversation")
    return lambda: foreseen(client, wanted.get("model"), wanted.fields, size, place, said=wanted.params)
