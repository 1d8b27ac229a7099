"""What is to be kept? The records a user states it with: ContextPolicy, Summarize, Recall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, cast

from .errors import PolicyInvalid
from .phrases import Reason

__all__ = ["LARGEST", "ContextPolicy", "Recall", "Summarize"]

USUAL_SUMMARY = 600
SUMMARY_SHARE = 4
"""A summary of the usual length takes no more than this part of the budget."""
LEAST_SUMMARY = 100
"""Tokens below which such a summary could only be a line: none is written."""
LARGEST = 1 << 40
"""No figure of a policy means more than this."""


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check_number(name: str, value: object, least: int) -> None:
    _check_largest(name, value)
    if not _whole(value) or cast("int", value) < least:
        raise PolicyInvalid(Reason("why.whole_number", name=name, least=least, value=repr(value)))


def _check_largest(name: str, value: object) -> None:
    if isinstance(value, int) and abs(value) > LARGEST:
        raise PolicyInvalid(Reason("why.policy_number", name=name, most=LARGEST))


def _check_text(name: str, value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise PolicyInvalid(Reason("why.model_name", name=name, value=repr(value)))


@dataclass(frozen=True, slots=True)
class Summarize:
    """Fold old turns into a rolling summary of at most ``max_tokens`` tokens, written by ``model``
    (``None``: the conversation's own). The default length is shortened to a quarter of a small budget,
    whoever writes it; any other is taken as it is said."""

    model: str | None = None
    max_tokens: int = USUAL_SUMMARY

    def __post_init__(self) -> None:
        _check_text("summarize.model", self.model)
        _check_number("summarize.max_tokens", self.max_tokens, 1)

    def most(self, budget: int) -> int:
        """How many tokens it may have in this budget; 0: none is written, because nobody said how long it
        should be and there is only room for a line. Raises `PolicyInvalid` where somebody did and it would
        fill the budget."""
        if self.max_tokens == USUAL_SUMMARY:
            share = min(self.max_tokens, budget // SUMMARY_SHARE)
            return share if share >= LEAST_SUMMARY else 0
        if self.max_tokens >= budget:
            raise PolicyInvalid(Reason("why.summary_size", summary=self.max_tokens, budget=budget))
        return self.max_tokens


@dataclass(frozen=True, slots=True)
class Recall:
    """Quote old turns that fit the new input: at most ``max_turns`` of them in ``max_tokens`` tokens
    (``None``: a tenth of the budget, at most 600; at least 80, which hold one short message, but never more
    than a quarter of the budget). ``embedding`` names a model that reranks."""

    max_tokens: int | None = None
    max_turns: int = 6
    embedding: str | None = None

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _check_number("recall.max_tokens", self.max_tokens, 1)
        _check_number("recall.max_turns", self.max_turns, 1)
        _check_text("recall.embedding", self.embedding)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextPolicy:
    """What of a conversation the model should see again. The tightest limit wins.

    - ``budget``: tokens of input (``None``: the smallest of the model's input limit, its first price
      tier, and 32,000).
    - ``reserve_output``: tokens kept free for the reply (``None``: the requested output limit, else
      4,096, or 16,384 when thinking).
    - ``high``, ``low``: shares of the budget (``None``: 0.7 and 0.35 with a summary, 1.0 and 0.55
      without). Past ``high`` the oldest turns go until ``low``: with a summary they are folded into it
      after the turn, and until it is written they are left out only where the budget itself is full.
    - ``max_turns``: how many earlier turns; ``max_messages``: how many messages, all but the
      instructions, the new one included, cut at turn boundaries.
    - ``images``: ``"all"``, ``"last"`` or how many of the newest to send.

    Raises `PolicyInvalid` for a policy that cannot hold.

    >>> ContextPolicy.last_messages(20).max_messages
    20
    """

    budget: int | None = None
    reserve_output: int | None = None
    high: float | None = None
    low: float | None = None
    max_turns: int | None = None
    max_messages: int | None = None
    summarize: Summarize | None = Summarize()
    recall: Recall | None = Recall()
    images: Literal["all", "last"] | int = "all"

    def __post_init__(self) -> None:
        for name, least in (("budget", 1), ("reserve_output", 0), ("max_turns", 0), ("max_messages", 1)):
            value = getattr(self, name)
            if value is not None:
                _check_number(name, value, least)
        _check_largest("images", self.images)
        if self.images not in ("all", "last") and not (_whole(self.images) and cast("int", self.images) >= 0):
            raise PolicyInvalid(Reason("why.policy_images", value=repr(self.images)))
        self._check_records()
        self._check_shares()

    def _check_records(self) -> None:
        for name, record in (("summarize", Summarize), ("recall", Recall)):
            value = getattr(self, name)
            if value is not None and not isinstance(value, record):
                raise PolicyInvalid(
                    Reason("why.policy_record", name=name, record=record.__name__, value=repr(value))
                )
        if self.budget and self.summarize:
            self.summarize.most(self.budget)

    def _check_shares(self) -> None:
        for name in ("high", "low"):
            value = getattr(self, name)
            share = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
            if value is not None and not share:
                raise PolicyInvalid(Reason("why.share", name=name, value=repr(value)))
        high, low = self.marks()
        if low > high:
            raise PolicyInvalid(Reason("why.shares_order", low=low, high=high))

    def marks(self) -> tuple[float, float]:
        """``high`` and ``low`` in force: 0.7 and half of ``high`` with a summary (the vendors' "at 70 %
        the older half"), 1.0 and 55 % of ``high`` without."""
        usual, share = (0.7, 0.5) if self.summarize else (1.0, 0.55)
        high = usual if self.high is None else self.high
        return high, high * share if self.low is None else self.low

    @classmethod
    def full(cls) -> ContextPolicy:
        """Everything, as long as the model takes it; no summary, no recall."""
        return cls(summarize=None, recall=None)

    @classmethod
    def last_turns(cls, turns: int) -> ContextPolicy:
        """The newest ``turns`` earlier turns; no summary, no recall."""
        return cls(max_turns=turns, summarize=None, recall=None)

    @classmethod
    def last_messages(cls, messages: int) -> ContextPolicy:
        """The newest ``messages`` messages beside the instructions; no summary, no recall."""
        return cls(max_messages=messages, summarize=None, recall=None)

    def to_dict(self) -> dict[str, object]:
        """Only what differs from the default: the form in which it is stored and written as TOML or
        JSON. ``False`` stands for "none" in ``summarize`` and ``recall``."""
        values = {name: getattr(self, name) for name in DEFAULTS}
        return {name: _plain(value) for name, value in values.items() if value != DEFAULTS[name]}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ContextPolicy:
        """The policy a mapping from TOML, JSON or a command line describes. Unknown names are refused."""
        unknown = sorted(set(values) - set(DEFAULTS))
        if unknown:
            raise PolicyInvalid(
                Reason("why.names_unknown", unknown=", ".join(unknown), known=", ".join(sorted(DEFAULTS)))
            )
        arguments = dict(values)
        for name, record in (("summarize", Summarize), ("recall", Recall)):
            if name in arguments:
                arguments[name] = _record(name, record, arguments[name])
        return cls(**arguments)  # type: ignore[arg-type]  # each value was checked by __post_init__


DEFAULTS = {field.name: getattr(ContextPolicy(), field.name) for field in fields(ContextPolicy)}


def _plain(value: object) -> object:
    if value is None:
        return False
    if isinstance(value, Summarize | Recall):
        values = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: part for name, part in values.items() if part is not None}  # TOML knows no null
    return value


def _record(name: str, record: type[Summarize | Recall], value: object) -> Summarize | Recall | None:
    if value is False or value is None:
        return None
    if value is True:
        return record()
    if isinstance(value, Summarize | Recall):
        return value
    if not isinstance(value, Mapping):
        raise PolicyInvalid(Reason("why.switch_or_table", name=name, value=repr(value)))
    known = [field.name for field in fields(record)]
    unknown = [str(each) for each in value if each not in known]
    if unknown:
        raise PolicyInvalid(
            Reason("why.table_names", name=name, unknown=", ".join(unknown), known=", ".join(known))
        )
    return record(**value)
