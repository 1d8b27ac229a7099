"""What does a program read of a replay? Its records as JSON lines."""

from __future__ import annotations

from collections.abc import Mapping

from ..replay import Difference, Errors, Total, TurnOutcome
from .records import cost_of, moment

__all__ = ["BOUNDS", "Words", "classes", "difference_record", "errors_record", "total_record", "turn_record"]

Words = Mapping[tuple[str, int], str]
"""What was said, by conversation and turn."""
BOUNDS = (-0.3, -0.1, -0.03, 0.03, 0.1, 0.3)
"""Where the classes of prediction errors end."""


def classes(errors: Errors) -> list[int]:
    """How many errors lie in each class: below the first bound, between two, above the last."""
    counts = [0] * (len(BOUNDS) + 1)
    for error in errors.signed:
        counts[sum(error >= bound for bound in BOUNDS)] += 1
    return counts


def total_record(each: Total) -> dict[str, object]:
    """The totals of a scheme."""
    return {
        "scheme": each.scheme,
        "models": list(each.models),
        "conversations": each.conversations,
        "turns": each.turns,
        "requests": each.requests,
        "input": each.input,
        "output": each.output,
        "shared": each.shared,
        "cached": each.cached,
        "costs": [cost_of(cost) for cost in each.costs],
        "summary_costs": [cost_of(cost) for cost in each.summaries],
        "summaries": each.folds,
        "unpriced": each.unpriced,
        "refused": each.refused,
        "used": each.used,
        "sent": each.sent,
        "quoted": each.quoted,
        "folded": each.folded,
        "gone": each.gone,
    }


def turn_record(turn: TurnOutcome) -> dict[str, object]:
    """One turn of one scheme; of old turns only their numbers."""
    return {
        "turn": turn.turn,
        "created_at": moment(turn.at),
        "requests": turn.requests,
        "input": turn.usage.input,
        "output": turn.usage.output,
        "shared": turn.shared,
        "cached": turn.cached,
        "cost": cost_of(turn.cost),
        "summary_cost": cost_of(turn.summary),
        "summaries": turn.folds,
        "sent": list(turn.fates.sent),
        "quoted": list(turn.fates.quoted),
        "folded": list(turn.fates.folded),
        "gone": list(turn.fates.gone),
        "refused": turn.refused,
    }


def difference_record(one: Difference, words: Words) -> dict[str, object]:
    """One of the worst differences, with what was said where ``words`` has it."""
    record: dict[str, object] = {
        "conversation": one.conversation,
        "turn": one.turn,
        "lost": list(one.lost),
        "gained": list(one.gained),
        "input_before": one.tokens_before,
        "input_after": one.tokens_after,
        "cost_before": cost_of(one.before),
        "cost_after": cost_of(one.after),
    }
    if words:
        turns = (one.turn, *one.lost)
        record["text"] = {str(turn): words.get((one.conversation, turn), "") for turn in turns}
    return record


def errors_record(errors: Errors) -> dict[str, object]:
    """Prediction errors: their middle, their spread, how many lie in each class."""
    return {
        "turns": errors.count,
        "bias": errors.bias,
        "median": errors.median,
        "p90": errors.p90,
        "bounds": list(BOUNDS),
        "classes": classes(errors),
    }
