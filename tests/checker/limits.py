"""Does the window stay inside its limits, and does it leave out no more than they demand?"""

from __future__ import annotations

from collections.abc import Iterable

from .case import Case
from .violation import Violation

__all__ = ["limit_violations", "loss_violations"]


def limit_violations(case: Case, tokens: int | None) -> Iterable[Violation]:
    spent = case.tools_tokens + sum(case.count(message) for message in case.window)
    if case.limit is not None and max(spent, tokens or 0) > case.limit:
        yield Violation("over_budget", f"{max(spent, tokens or 0)} tokens, {case.limit} allowed")
    if tokens is not None and tokens != spent:
        yield Violation("tokens", f"the window says {tokens} tokens, the counter says {spent}")
    if case.policy.max_turns is not None and _runs_kept(case) > case.policy.max_turns:
        yield Violation("max_turns", f"{_runs_kept(case)} earlier turns, {case.policy.max_turns} allowed")
    most = case.policy.max_messages
    if most is not None and _runs_kept(case) and min(_sent_messages(case)) > most:
        yield Violation("max_messages", f"{min(_sent_messages(case))} messages, {most} allowed")


def _runs_kept(case: Case) -> int:
    """Earlier turns in the window, unanswered user messages counted with the next."""
    return sum(1 for run in case.history.runs()[:-1] if (case.kept - case.pinned) & set(run))


def _sent_messages(case: Case) -> tuple[int, int]:
    sent = sum(1 for item in case.alignment.items if not item.instructs)
    opening = sum(1 for index in case.kept - case.pinned if index < case.first_user)
    kept = sum(1 for index in case.kept if not case.history.items[index].instructs)
    pinned = len(case.pinned & case.kept)
    return sent - opening - pinned, kept - opening - pinned


def loss_violations(case: Case) -> Iterable[Violation]:
    """What is left out could not be kept: by the limits on turns and messages, or because the whole
    passes the high mark and one turn more would pass the low one."""
    newest = case.history.newest
    missing = [index for index in case.missing if newest is None or index < newest]
    if not missing or case.standing_cut or case.hole:
        return
    if _beyond_turns(case) or _beyond_messages(case, missing) or _beyond_budget(case, missing):
        return
    yield Violation("needless_loss", f"{len(missing)} messages could have been kept", missing[-1])


def _next_turn(case: Case, missing: list[int]) -> list[int]:
    """The newest turn that was left out, with the unanswered inputs before it."""
    head = case.turn_of(missing[-1])
    run = next((run for run in case.history.runs() if head in run), [head])
    return [index for index in missing if index >= run[0]] or missing


def _beyond_turns(case: Case) -> bool:
    most = case.policy.max_turns
    newest = case.history.newest
    kept = sum(1 for user in case.history.users if user in case.kept and user != newest)
    return most is not None and kept + 1 > most


def _beyond_messages(case: Case, missing: list[int]) -> bool:
    most = case.policy.max_messages
    start = max(case.turn_of(_next_turn(case, missing)[0]), 0)
    before = sum(1 for index in case.body if index < min(start, case.first_user))
    raw = sum(1 for item in case.history.items[start:] if not item.instructs)
    return most is not None and before + raw + len(case.alignment.closers) > most


def _beyond_budget(case: Case, missing: list[int]) -> bool:
    if case.limit is None:
        return False
    high, low = (share * case.limit for share in case.policy.marks())
    whole = case.tools_tokens + sum(case.count(message) for message in case.history.messages)
    more = sum(case.count(case.history.messages[index]) for index in _next_turn(case, missing))
    with_next = case.charged + case.spare + more
    return with_next > high - 1 or (max(whole, with_next) + case.spare > high - 1 and with_next > low - 1)
