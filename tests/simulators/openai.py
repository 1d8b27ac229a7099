"""OpenAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .caches import BreakpointCache, Cache, Hit, PrefixCache
from .chat import ChatSimulator, Work
from .embeddings import Embedding, Embeds
from .history import Manners
from .script import Received, Script
from .server import Model

IMAGE = frozenset(("image",))
KNOWN = frozenset(
    (
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "n",
        "stop",
        "max_tokens",
        "max_completion_tokens",
        "presence_penalty",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "user",
        "safety_identifier",
        "seed",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "store",
        "metadata",
        "service_tier",
        "modalities",
        "moderation",
        "audio",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "web_search_options",
        "functions",
        "function_call",
    )
)
EFFORTS = frozenset(("none", "minimal", "low", "medium", "high", "xhigh"))


def thinker(max_input: int, max_output: int = 128_000) -> Model:
    """A model whose thinking is not shown."""
    return Model(max_input + max_output, max_input, max_output, media=IMAGE, fixed_sampling=True)


MODELS: Mapping[str, Model] = {
    "gpt-6-sol": thinker(922_000),
    "gpt-5.6": thinker(922_000),
    "gpt-6-luna": thinker(922_000),
    "gpt-5.4": thinker(922_000),
    "gpt-5.4-mini": thinker(272_000),
    "gpt-5": thinker(272_000),
    "gpt-5-mini": thinker(272_000),
    "gpt-4.1": Model(1_047_576, max_output=32_768, media=IMAGE),
    "gpt-4.1-mini": Model(1_047_576, max_output=32_768, media=IMAGE),
    "gpt-4o": Model(128_000, max_output=16_384, media=IMAGE),
    "gpt-4o-mini": Model(128_000, max_output=16_384, media=IMAGE),
    "gpt-3.5-turbo": Model(16_385, max_output=4_096),
}


EMBEDDINGS: Mapping[str, Embedding] = {
    "text-embedding-3-small": Embedding(1536, (256, 512, 768, 1024, 1536), batch=2048),
}


class OpenAISimulator(Embeds, ChatSimulator):
    """``openai``: unknown fields are refused, reasoning models take no sampling."""

    name = "openai"
    models = MODELS
    embeddings = EMBEDDINGS
    manners = Manners(
        roles=frozenset(("system", "developer", "user", "assistant", "tool", "function")),
        empty=frozenset(("system", "developer", "user", "assistant", "tool")),
        fields=frozenset(
            (
                "role",
                "content",
                "name",
                "tool_calls",
                "tool_call_id",
                "refusal",
                "audio",
                "function_call",
                "annotations",
            )
        ),
    )
    tool_kinds = frozenset(("function", "custom"))

    def make_cache(self) -> Cache:
        """1,024 tokens at least, in blocks of 128."""
        return PrefixCache(1024, 128)

    def __init__(self, script: Script | None = None, **options: Any) -> None:
        super().__init__(script, **options)
        self.breakpoints = BreakpointCache(self.clock)

    def look(self, body: Mapping[str, Any], prompt: Sequence[str]) -> Hit:
        """Newer families match breakpoints."""
        return self.breakpoints.look(prompt) if _breaks(body) else super().look(body, prompt)

    def keep(self, work: Work) -> None:
        """A breakpoint, or blocks."""
        if _breaks(work.body):
            self.breakpoints.keep(work.prompt)
        else:
            super().keep(work)

    def headers(self, received: Received) -> dict[str, str]:
        """With the account's limits."""
        return {
            "x-request-id": f"req_{received.number:08d}",
            "openai-processing-ms": "12",
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-remaining-requests": str(10_000 - received.number),
            "x-ratelimit-reset-requests": "6ms",
            "x-ratelimit-limit-tokens": "2000000",
            "x-ratelimit-remaining-tokens": "1999000",
            "x-ratelimit-reset-tokens": "30ms",
        }

    def check_params(self, body: Mapping[str, Any], model: Model) -> None:
        """Only known names; on reasoning models ``max_completion_tokens`` and no sampling."""
        for name in body:
            if name not in KNOWN:
                raise self.refuse("param_unknown", name=name)
        if model.fixed_sampling and "max_tokens" in body:
            raise self.refuse("param_refused", name="max_tokens", hint="Use 'max_completion_tokens' instead.")
        for name in ("temperature", "top_p"):
            if model.fixed_sampling and body.get(name) not in {None, 1}:
                raise self.refuse("fixed", name=name, given=body[name])
        if body.get("reasoning_effort") is not None and body["reasoning_effort"] not in EFFORTS:
            raise self.refuse("fixed", name="reasoning_effort", given=body["reasoning_effort"])
        super().check_params(body, model)

    def chunk(self, work: Work, choice: Mapping[str, Any]) -> dict[str, Any]:
        """With padding against traffic analysis, unless it was declined."""
        chunk = {**super().chunk(work, choice), "system_fingerprint": "fp_simulated"}
        options = work.body.get("stream_options") or {}
        if options.get("include_obfuscation", True):
            chunk["obfuscation"] = "x" * (1 + len(str(choice)) % 7)
        return chunk

    def message(self, work: Work) -> dict[str, Any]:
        """``refusal`` and ``annotations`` always stand in it."""
        return {"refusal": None, "annotations": [], **super().message(work)}

    def usage(self, work: Work) -> dict[str, Any]:
        """With the details, and what was written, where that is billed."""
        written = {"cache_write_tokens": work.hit.written} if _breaks(work.body) else {}
        return {
            **super().usage(work),
            "prompt_tokens_details": {"cached_tokens": work.hit.read, "audio_tokens": 0, **written},
            "completion_tokens_details": {"reasoning_tokens": work.thought, "audio_tokens": 0},
        }


def _breaks(body: Mapping[str, Any]) -> bool:
    return str(body.get("model")).startswith(("gpt-5.6", "gpt-6"))
