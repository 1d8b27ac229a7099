"""What is known of models? Their numbers in our rows, and what use has taught of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ..usage import Usage
from .records import ModelFacts

__all__ = ["calibrate", "learn_limit", "model_facts", "model_number"]

WEIGHT = 0.2
"""Of a new sample in the moving mean."""
LEAST, MOST = 0.25, 4.0
"""A ratio beyond these says that something else was counted, not how well."""


def model_number(db: sqlite3.Connection, name: str | None) -> int | None:
    """The number under which a model's name is kept; a new name gets one."""
    if name is None:
        return None
    found = db.execute("SELECT id FROM models WHERE name = ?", (name,)).fetchone()
    if found is None:
        return db.execute("INSERT INTO models (name) VALUES (?)", (name,)).lastrowid
    return int(found[0])


CALIBRATE = """
UPDATE models SET samples = samples + 1,
    ratio = CASE WHEN samples = 0 THEN :ratio ELSE ratio + :weight * (:ratio - ratio) END
WHERE id = :model"""


def calibrate(db: sqlite3.Connection, model: int | None, usage: Usage | None, counted: int | None) -> None:
    """One call more has said what our count is worth."""
    if not counted or counted < 0 or usage is None or usage.estimated or usage.input <= 0:
        return
    ratio = min(max(usage.input / counted, LEAST), MOST)
    db.execute(CALIBRATE, {"ratio": ratio, "weight": WEIGHT, "model": model})


def model_facts(db: sqlite3.Connection) -> Sequence[ModelFacts]:
    """See `Store.model_facts`."""
    rows = db.execute("SELECT name, ratio, samples, input_limit FROM models").fetchall()
    return [ModelFacts(*row) for row in sorted(rows) if row[2] or row[3] is not None]


def learn_limit(db: sqlite3.Connection, model: str, limit: int) -> None:
    """See `Store.learn_limit`."""
    db.execute("UPDATE models SET input_limit = ? WHERE id = ?", (limit, model_number(db, model)))
