"""What does ``import multiturn`` cost, and what does it load?"""

from __future__ import annotations

import json
import statistics

from .children import python
from .figures import Figure
from .scale import Scale

__all__ = ["loading"]

LAZY = ("aiohttp", "rich", "prompt_toolkit", "click", "openai", "dashscope")
TIMED = """
import json, sys, time
before, wall, cpu = set(sys.modules), time.perf_counter(), time.process_time()
import {module}
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(json.dumps([cpu, wall, sorted(set(sys.modules) - before)]))
"""
BESIDE = "asyncio, sqlite3, orjson, tomllib, hashlib, decimal, dataclasses"
"""What any such program loads."""


def loading(scale: Scale) -> list[Figure]:
    """Time and modules."""
    ours, beside = [], []
    for _ in range(scale.rounds):
        ours.append(json.loads(python("-c", TIMED.format(module="multiturn"))))
        beside.append(json.loads(python("-c", TIMED.format(module=BESIDE))))
    loaded = ours[0][2]
    forbidden = [module for module in LAZY if module in loaded]
    times = [
        Figure(
            "import multiturn",
            "a new process",
            clock,
            "ms",
            statistics.median(each[place] for each in ours) * 1e3,
            f"import {BESIDE}",
            statistics.median(each[place] for each in beside) * 1e3,
            statistics.median(a[place] / b[place] for a, b in zip(ours, beside, strict=True)),
        )
        for place, clock in enumerate(("CPU", "wall"))
    ]
    count = Figure(
        f"import multiturn: modules of {', '.join(LAZY)}",
        f"{len(loaded)} modules in all",
        "count",
        "loaded",
        len(forbidden),
        "none of them",
        1,
        float(len(forbidden)),
        0,
    )
    return [*times, count]
