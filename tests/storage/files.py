"""The file of a store, and other processes at work on it, for the tests of this folder."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.conformance.talk import answer, said

from multiturn.storage.sqlite import SQLiteStore

__all__ = ["Other", "beside", "contents", "put", "words_of", "written"]

ROOT = Path(__file__).parents[2]


def contents(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def beside(path: Path) -> list[str]:
    """The names of all files in the folder."""
    return sorted(file.name for file in path.parent.iterdir())


async def written(path: Path, *numbers: int) -> bytes:
    """A file with some turns, closed; its bytes."""
    store = SQLiteStore(str(path))
    await answer(store, *numbers)
    await store.close()
    return contents(path)


async def words_of(path: Path) -> list[str | None]:
    store = SQLiteStore(str(path))
    try:
        return await said(store)
    finally:
        await store.close()


class Other:
    """Another process at work on the same file."""

    def __init__(self, *command: object) -> None:
        environment = os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
        script = str(ROOT / "tests" / "storage" / "other_process.py")
        self.process = subprocess.Popen(
            [sys.executable, script, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    async def line(self) -> str:
        assert self.process.stdout is not None
        return (await asyncio.to_thread(self.process.stdout.readline)).strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    async def rest(self) -> list[str]:
        """Let it go on to its end; its last words."""
        out, _ = await asyncio.to_thread(self.process.communicate, "")
        assert self.process.returncode == 0
        return out.split()

    def kill(self) -> list[str]:
        self.process.kill()
        out, _ = self.process.communicate()
        return out.split()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
