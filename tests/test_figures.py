"""Are the limits, sizes and times that the documents name those that hold? Both languages name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiturn import embedding
from multiturn.breaker import Rest
from multiturn.cards import UNKNOWN_WINDOW
from multiturn.config import Timing
from multiturn.context import budget
from multiturn.gateway.access.keys import REMEMBERED
from multiturn.policy import LEAST_SUMMARY, USUAL_SUMMARY
from multiturn.storage.sqlite_withheld import MOST as WITHHELD
from multiturn.summary import compaction
from multiturn.sync import loop

DOCS = Path(__file__).parents[1] / "docs"
REST, TIMING = Rest(), Timing()

FIGURES = [
    (
        "explanation/turn.md",
        ("The lease lasts {} seconds and is renewed every {}.", "租约为 {} 秒，每 {} 秒续期一次"),
        (TIMING.lease, TIMING.renew),
    ),
    ("explanation/turn.md", ("for {} seconds; then `ConversationBusy`", "最多等 {} 秒"), (TIMING.queue,)),
    ("how-to/your-own-sdk.md", ("for {} minutes", "占住对话 {} 分钟"), (TIMING.prepare / 60,)),
    (
        "how-to/routes.md",
        (
            "left alone for {} seconds, then for {}, and so on up to {} minutes",
            "停用 {} 秒，然后 {} 秒，依次加倍，最长 {} 分钟",
        ),
        (REST.seconds(1), REST.seconds(2), REST.longest / 60),
    ),
    ("how-to/providers.md", ("taken to be {} tokens", "窗口按 {} token"), (UNKNOWN_WINDOW,)),
    ("explanation/window.md", ("and {} tokens.", "以及 {} token"), (budget.DEFAULT_BUDGET,)),
    ("explanation/window.md", ("at most {} tokens, or", "不超过 {} token，或"), (budget.RECALL_TOKENS,)),
    ("explanation/window.md", ("may take {} tokens", "最多可用 {} token"), (budget.LEAST_RECALL,)),
    ("explanation/window.md", ("at most {}. A", "最多 {} 轮"), (WITHHELD,)),
    ("reference/library.md", ("than {} tokens", "不足 {} 个 token"), (LEAST_SUMMARY,)),
    ("reference/library.md", ("max_tokens={})",) * 2, (USUAL_SUMMARY,)),
    ("how-to/embeddings.md", ("at most {} seconds", "最多等 {} 秒"), (embedding.PATIENCE,)),
    ("how-to/embeddings.md", ("the first {} messages", "前 {} 条消息"), (embedding.RERANKED,)),
    ("how-to/summaries.md", ("up to {} seconds", "最多等 {} 秒"), (loop.PATIENCE,)),
    (
        "how-to/summaries.md",
        ("after {} seconds at first, after an hour at most", "起初间隔 {} 秒，最多间隔一小时"),
        (compaction.FIRST_PAUSE,),
    ),
    ("how-to/summaries.md", ("within {} seconds", "没有在 {} 秒内到来"), (compaction.TOTAL,)),
    ("how-to/gateway.md", ("follows within {} seconds", "在 {} 秒内生效"), (REMEMBERED,)),
]


@pytest.mark.parametrize("language", [0, 1], ids=["en", "zh"])
@pytest.mark.parametrize(("page", "said", "held"), FIGURES)
def test_what_the_documents_name_is_what_holds(
    page: str, said: tuple[str, str], held: tuple[float, ...], language: int
) -> None:
    text = " ".join((DOCS / ("en", "zh")[language] / page).read_text("utf-8").split())
    assert said[language].format(*(f"{figure:,g}" for figure in held)) in text


def test_the_longest_pause_between_summaries_is_an_hour() -> None:
    assert compaction.LONGEST_PAUSE == 60 * 60
