"""A home with settings files."""

from __future__ import annotations

from pathlib import Path


def settled(home: Path, *, own: str = "", personal: str = "") -> tuple[dict[str, str], Path]:
    """Writes the file of a working directory and the user's own; gives the environment and the working
    directory that see them."""
    for folder, name, text in (
        ("work", "multiturn.toml", own),
        (".config/multiturn", "config.toml", personal),
    ):
        (home / folder).mkdir(parents=True, exist_ok=True)
        (home / folder / name).write_text(text, encoding="utf-8")
    return {"HOME": str(home)}, home / "work"
