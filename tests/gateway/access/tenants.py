"""A gateway with tenants."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from multiturn.settings import load

MODEL = "qwen/qwen-plus"


def config(store: Path, tmp_path: Path, **tenants: Mapping[str, object]) -> dict[str, Any]:
    """Arguments of a gateway whose tenants have these allowances."""
    given = {"store": f"sqlite:///{store}", "model": MODEL, "tenants": tenants}
    return {"store": store, "config": load(given, {"HOME": "/nowhere"}, tmp_path)}
