"""The records of the catalogue: what is known of a provider, of a model, of an embedding model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal
from urllib.parse import urljoin

from .caching import CacheRule
from .images import ImageRule
from .usage import Price
from .window import ReasoningRule

__all__ = ["UNKNOWN_WINDOW", "Card", "EmbeddingCard", "Profile"]

UNKNOWN_WINDOW = 8_192
"""Tokens an unknown model is taken to read, until the operator or an overflow says more."""


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one model. ``name`` is ``provider/model``; ``window``, ``max_input`` and
    ``max_output`` are tokens.

    - ``thinks``: never, when switched (``thinks_by_default`` where the request does not say), always.
    - ``reasoning`` and ``reasoning_required``: which reasoning goes back while the model thinks, and
      where a message without it is refused (`Target`); ``keep_all_if`` the request parameters that
      make it keep all.
    - ``media``: `Trait` bits of what it sees; ``price`` ``None`` where it is unknown.
    - ``can_summarise``: whether it can be asked to write a summary.
    - ``cache``: the rule of its prompt cache; ``None`` where it is unknown, so nothing is predicted.
    - ``image``: the formula of what an image costs; ``None`` where it is unknown.
    - ``stream_only``: whether it answers only piece by piece.
    - ``native``: the path of DashScope's own protocol on which it answers.
    - ``drop_params``: parameters it refuses, left out of every request.
    - ``known``: whether it is in the catalogue; ``upstream`` a relayed model's maker; ``options`` what
      stood behind a question mark in its name (``demo?fail=429``).
    - ``as_of`` and ``source``: when and where these figures were read.

    >>> Catalog().card("kimi-k2.6").window
    262144
    """

    name: str
    provider: str
    model: str
    window: int = UNKNOWN_WINDOW
    max_input: int = UNKNOWN_WINDOW
    max_output: int | None = None
    thinks: Literal["no", "toggle", "always"] = "no"
    thinks_by_default: bool = False
    reasoning: ReasoningRule = "drop"
    reasoning_required: Literal["never", "tool_calls", "after_tool_call", "always"] = "never"
    keep_all_if: Mapping[str, object] = field(default_factory=dict)
    media: int = 0
    tools: bool = True
    price: Price | None = None
    cache: CacheRule | None = None
    image: ImageRule | None = None
    tokenizer: str = ""
    can_summarise: bool = True
    stream_only: bool = False
    native: Literal["text", "multimodal"] | None = None
    drop_params: tuple[str, ...] = ()
    status: Literal["current", "retiring", "retired"] = "current"
    known: bool = False
    upstream: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    as_of: str = ""
    source: str = ""

    def input_limit(self, reserve: int) -> int:
        """Tokens of input it takes when ``reserve`` tokens are kept free for the reply."""
        return min(self.max_input, self.window - reserve)

    @property
    def first_tier(self) -> int | None:
        """Up to how many tokens of input its lowest price holds; ``None``: its price has one tier."""
        return self.price.tiers[0].up_to if self.price else None


@dataclass(frozen=True, slots=True)
class Profile:
    """What is known of one provider.

    - ``keys``: environment variables that may hold its API key, the preferred one first;
      ``base_url_variable`` one that replaces ``base_url``.
    - ``include_usage``: whether a stream must be asked for its usage; ``max_out_field`` how the output
      limit is called (empty: as the caller calls it); ``drop_params`` what it does not take.
    - ``switches``: the request parameters that turn thinking on and off; ``reasoning_field`` how
      reasoning is called on the wire, ``reasoning_content_if`` the parameters that rename it.
    - ``system`` to ``bare_calls``: as in `Target`; ``text_lists``: whether models that see no media
      take content as a list all the same.
    - ``codes``: the provider's error codes by class; ``cards`` its models, aliases and those an operator
      describes included; ``embeddings`` its embedding models.
    - ``cache_key``: the parameter that keeps the requests of one conversation on one cache; empty: none.
    - ``counting``: in which form it counts tokens (empty: it has no endpoint for that), ``counting_path``
      where, seen from the base URL (`counting_url`).
    - ``relay``: passes on other makers' models, whose own profiles say what they can do.
    """

    id: str
    protocol: Literal["openai_chat", "dashscope", "demo", "scripted"]
    base_url: str = ""
    base_url_variable: str = ""
    keys: tuple[str, ...] = ()
    key_required: bool = True
    default_model: str | None = None
    models_of: str = ""
    relay: bool = False
    multiplier: Decimal | None = None
    include_usage: bool = False
    max_out_field: str = ""
    drop_params: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    reasoning_field: str = "reasoning_content"
    reasoning_content_if: Mapping[str, object] = field(default_factory=dict)
    system: Literal["any", "first"] = "any"
    developer: bool = False
    names: bool = True
    opening: bool = True
    alternate: bool = False
    text_lists: bool = False
    bare_calls: Literal["keep", "null", "omit"] = "keep"
    codes: Mapping[str, str] = field(default_factory=dict)
    cache_key: str = ""
    counting: Literal["", "kimi", "stepfun", "glm", "dashscope"] = ""
    counting_path: str = ""
    cards: Mapping[str, Card] = field(default_factory=dict, repr=False)
    embeddings: Mapping[str, EmbeddingCard] = field(default_factory=dict, repr=False)

    def counting_url(self, base_url: str = "") -> str:
        """Where its endpoint that counts tokens is, for the base URL in use; empty where it has none.

        >>> from multiturn.catalog import Catalog
        >>> Catalog().profile("stepfun").counting_url("http://localhost:8000/v1")
        'http://localhost:8000/v1/token/count'
        """
        return (
            urljoin(f"{(base_url or self.base_url).rstrip('/')}/", self.counting_path)
            if self.counting
            else ""
        )


@dataclass(frozen=True, slots=True)
class EmbeddingCard:
    """What is known of one embedding model. ``name`` is ``provider/model``.

    - ``dimension``: how many numbers a vector has if nothing is asked for (``None``: unknown until the
      first answer); ``dimensions`` what may be asked for instead (empty: nothing).
    - ``batch``: how many texts one request takes; ``max_tokens`` how many tokens one text may have, and
      ``max_batch_tokens`` all of them together (``None``: no limit is known).
    - ``price``: per million tokens, of which an embedding has input only; ``None`` where it is unknown.
    - ``known``, ``upstream``, ``as_of``, ``source``: as in `Card`.

    >>> from multiturn.catalog import Catalog
    >>> Catalog().embedding("text-embedding-v4").dimension
    1024
    """

    name: str
    provider: str
    model: str
    dimension: int | None = None
    dimensions: tuple[int, ...] = ()
    batch: int = 1
    max_tokens: int | None = None
    max_batch_tokens: int | None = None
    price: Price | None = None
    status: Literal["current", "retiring", "retired"] = "current"
    known: bool = False
    upstream: str = ""
    as_of: str = ""
    source: str = ""
