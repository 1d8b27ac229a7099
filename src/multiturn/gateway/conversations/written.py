"""How do turns, ledgers, summaries, branches and spending look as JSON?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...conversations import Branch, Hit, Summary, Turn
from ...ledger import Ledger
from ...messages import Trait
from ...phrases import decision_reason
from ...usage import Cost, Spending, Usage
from ...wire import written
from ..completions.completions import usage_written

__all__ = [
    "branch_written",
    "cost_written",
    "hit_written",
    "ledger_written",
    "spending_written",
    "summary_written",
    "turn_written",
    "used",
]


def turn_written(turn: Turn) -> dict[str, Any]:
    """A turn, and what is marked of it."""
    return {
        "id": turn.id,
        "object": "conversation.turn",
        "number": turn.number,
        "branch": turn.branch,
        "state": turn.state.name.lower(),
        "created_at": int(turn.created_at),
        "messages": turn.messages,
        "tokens": turn.tokens,
        "model": turn.model,
        "error": turn.error,
        "pinned": bool(turn.traits & Trait.PINNED),
        "excluded": bool(turn.traits & Trait.EXCLUDED),
        "retracted": bool(turn.traits & Trait.RETRACTED),
        "stopped": bool(turn.traits & Trait.STOPPED),
        "reason": turn.reason,
        "usage": used(turn.usage),
        "cost": cost_written(turn.cost),
        "open_calls": list(turn.open_calls),
    }


def used(usage: Usage | None) -> dict[str, Any] | None:
    """Usage, where any is known."""
    return usage_written(usage) if usage else None


def cost_written(cost: Cost | None) -> dict[str, Any] | None:
    """Money as text, so that nothing of it is rounded."""
    return None if cost is None else {"amount": str(cost.amount), "currency": cost.currency}


def summary_written(summary: Summary) -> dict[str, Any]:
    """A summary."""
    return {
        "version": summary.version,
        "upto": summary.upto,
        "text": summary.text,
        "tokens": summary.tokens,
        "model": summary.model,
        "edited": summary.edited,
        "created_at": int(summary.created_at),
    }


def branch_written(branch: Branch) -> dict[str, Any]:
    """A branch."""
    return {
        "id": str(branch.number),
        "object": "conversation.branch",
        "number": branch.number,
        "parent": branch.parent,
        "fork": branch.fork,
        "turns": branch.turns,
        "in_use": branch.in_use,
    }


def spending_written(spent: Spending) -> dict[str, Any]:
    """What was consumed, and what it cost; nothing where no price is known."""
    return {
        "calls": spent.calls,
        "turns": spent.turns,
        "usage": usage_written(spent.usage),
        "estimated": spent.usage.estimated,
        "costs": [
            {"amount": str(each.amount), "currency": each.currency, "estimated": each.estimated}
            for each in spent.costs
        ],
    }


def hit_written(hit: Hit) -> dict[str, Any]:
    """A message that was found."""
    message = hit.message
    return {
        "id": message.id,
        "object": "search.hit",
        "conversation": hit.conversation,
        "turn": hit.turn,
        "score": round(hit.score, 4),
        "created_at": None if message.created_at is None else int(message.created_at),
        "model": message.model,
        "text": message.text,
        "message": written(message),
    }


def ledger_written(
    ledger: Ledger, before: Ledger | None, summaries: Sequence[Summary], language: str
) -> dict[str, Any]:
    """What was sent and why: compared with the request ``before``, with the summary of ``summaries`` that was
    sent."""
    spans = _spans(ledger, language)
    cache = dict(ledger.cache or {})
    return {
        "tokens": ledger.tokens,
        "budget": ledger.budget,
        "ledger": spans,
        "notes": list(ledger.notes),
        "cache": ledger.cache,
        "cached_prefix": cache.get("reported", cache.get("predicted")),
        "route": ledger.route,
        "tried": [{"model": model, "code": code} for model, code in ledger.tried],
        "summary": _sent_summary(ledger, summaries),
        "recalled": [each for each in spans if each["code"] == "recalled"],
        "changes": []
        if before is None
        else [
            {"code": each.code, "figures": dict(each.figures), "sentence": each.sentence(language)}
            for each in ledger.diff(before)
        ],
    }


def _sent_summary(ledger: Ledger, summaries: Sequence[Summary]) -> dict[str, Any] | None:
    """The summary that stood in the window; its words only where they are still kept."""
    figures = next((span.figures for span in ledger.spans if span.code == "summary"), None)
    if figures is None:
        return None
    found = next((each for each in summaries if each.version == figures.get("version")), None)
    if found is not None:
        return summary_written(found)
    nothing: Mapping[str, Any] = dict.fromkeys(("text", "tokens", "model", "edited", "created_at"))
    return {"version": figures.get("version"), "upto": figures.get("last"), **nothing}


def _spans(ledger: Ledger, language: str) -> list[dict[str, Any]]:
    return [
        {
            "code": str(span.code),
            "sent": span.sent,
            "messages": span.messages,
            "tokens": span.tokens,
            "turns": None if span.turns is None else list(span.turns),
            "omitted": list(span.omitted),
            "figures": dict(span.figures),
            "reason": decision_reason(span.code, span.figures, language),
        }
        for span in ledger.spans
    ]
