"""How are numbers shown? Tokens, money, shares, times; what is unknown is "—", never zero."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from ..phrases import phrase
from ..reply import Reply
from ..usage import Cost, Usage

__all__ = ["UNKNOWN", "bytes_of", "clock", "count", "money", "monies", "reply_line", "share", "when"]

UNKNOWN = "—"
SIGNS = {"USD": "$", "CNY": "¥", "EUR": "€"}


def count(number: int | None, *, estimated: bool = False) -> str:
    """Tokens or calls; ``~`` marks an estimate.

    >>> count(5160), count(None), count(12, estimated=True)
    ('5,160', '—', '~12')
    """
    if number is None:
        return UNKNOWN
    return f"{'~' if estimated else ''}{number:,}"


def money(cost: Cost | None) -> str:
    """An amount with its sign: four decimals, more where fewer than two figures would be left.

    >>> money(Cost(Decimal("0.00112"), "USD")), money(Cost(Decimal("0.000215"), "CNY")), money(None)
    ('$0.0011', '¥0.00022', '—')
    """
    if cost is None:
        return UNKNOWN
    amount = cost.amount
    small = 0 < abs(amount) < Decimal("0.001")
    figures = f"{amount.quantize(Decimal(1).scaleb(amount.adjusted() - 1)):f}" if small else f"{amount:,.4f}"
    sign = SIGNS.get(cost.currency, f"{cost.currency} ")
    return f"{'~' if cost.estimated else ''}{sign}{figures}"


def monies(costs: Iterable[Cost]) -> str:
    """Amounts in several currencies."""
    return " + ".join(map(money, costs)) or UNKNOWN


def share(part: int, whole: int) -> str:
    """A part as whole percent.

    >>> share(63, 100), share(1, 0)
    ('63%', '—')
    """
    return f"{round(100 * part / whole)}%" if whole > 0 else UNKNOWN


def when(seconds: float) -> str:
    """A time, local, to the minute."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def clock(seconds: float) -> str:
    """A time of today, local, to the second."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S")


def bytes_of(number: int) -> str:
    """A size.

    >>> bytes_of(1536), bytes_of(512)
    ('1.5 KiB', '512 B')
    """
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def reply_line(reply: Reply, language: str) -> str:
    """The quiet line after a reply: turn, tokens in and out, cost, how full the window is."""
    usage = reply.usage or Usage(estimated=True)
    known = reply.usage is not None
    return phrase(
        "reply.line",
        language,
        turn=reply.turn.number,
        input=count(usage.input if known else None, estimated=usage.estimated),
        cached=count(usage.cached),
        output=count(usage.output if known else None, estimated=usage.estimated),
        cost=money(reply.cost),
        share=share(reply.window.tokens, reply.window.limits.budget),
    )
