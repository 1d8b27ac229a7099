"""Which settings are there, and what holds where nobody chose?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from .policy import ContextPolicy

__all__ = [
    "LONGEST_TIME",
    "NAMES",
    "OVERRIDES",
    "POLICY",
    "PREFIX",
    "SECTIONS",
    "SINGLE",
    "TIMING",
    "Config",
    "Timing",
    "variable_of",
]

PREFIX = "MULTITURN_"
OVERRIDES = ("providers", "models", "embeddings", "routes")
SECTIONS = (*OVERRIDES, "tenants")
"""Tables whose entries have names of the operator's own."""
LONGEST_TIME = 3_153_600_000
"""A hundred years, in seconds: nothing is kept longer, but for ever."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long things may take, in seconds.

    ``lease`` is how long a turn is held without a sign of life, ``renew`` how often that sign is given;
    ``queue`` how long a second turn waits for the first; ``prepare`` how long a prepared turn may stay
    open. Of a call to a provider: ``connect``, ``first_token``, ``idle`` between two pieces, ``total``.
    """

    lease: float = 15.0
    renew: float = 5.0
    queue: float = 30.0
    prepare: float = 600.0
    connect: float = 10.0
    first_token: float = 120.0
    idle: float = 60.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting in force.

    ``store`` is a URL such as ``sqlite:///chats.db``; ``model`` is ``provider/model`` or ``None`` where
    nobody chose; ``keep_reasoning`` whether thinking is stored; ``tokenizer`` whether windows are counted
    by an estimate or by the model's vocabulary, ``vocabulary`` a file or folder where that is looked for
    first; ``search_vectors`` whether recall may go through all vectors of a conversation instead of
    reranking what the words found; ``expires_after`` for how many seconds without use new conversations are
    kept (0: for ever). ``providers`` is what the operator
    overrides in the catalogue, by provider (``{"qwen": {"base_url": …}}``), ``models`` and ``embeddings``
    the same by model (``{"compatible/llama": {"window": 32768}}``); ``routes`` are models under a name of the
    operator's (``{"chat-fast": {"targets": ["qwen/qwen-plus", …]}}``). ``tenants`` is what each tenant of a
    gateway may consume (``{"shop": {"tokens_per_day": 2000000}}``). ``origins`` tells for each
    setting (``"policy.budget"``) where it came from: ``"argument"``, the name of an environment
    variable, the path of a file, or ``"default"``.
    """

    store: str
    model: str | None = None
    language: str = "en"
    user: str = ""
    policy: ContextPolicy = ContextPolicy()
    timing: Timing = Timing()
    keep_reasoning: bool = True
    tokenizer: Literal["estimate", "exact"] = "estimate"
    vocabulary: str = ""
    search_vectors: bool = False
    expires_after: float = 0.0
    providers: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    embeddings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    routes: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    tenants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def overrides(self) -> Mapping[str, Mapping[str, Mapping[str, object]]]:
        """What the operator overrides in the catalogue or adds to it, as `multiturn.catalog.Catalog` takes
        it."""
        return {section: entries for section in OVERRIDES if (entries := getattr(self, section))}


POLICY = tuple(f"policy.{f.name}" for f in fields(ContextPolicy))
TIMING = tuple(f"timing.{f.name}" for f in fields(Timing))
SINGLE = tuple(f.name for f in fields(Config) if f.name not in ("policy", "timing", "origins", *SECTIONS))
NAMES = (*SINGLE, *POLICY, *TIMING)
"""Every setting that has a name of its own, dotted."""


def variable_of(name: str) -> str:
    """The environment variable of a setting.

    >>> variable_of("policy.budget")
    'MULTITURN_POLICY_BUDGET'
    """
    return PREFIX + ("LANG" if name == "language" else name.replace(".", "_").upper())
