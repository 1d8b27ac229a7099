"""The first page keeps its promise: the real program remembers what its snippet says across a restart."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bench.servers import free_port
from tests.test_documents import GATEWAY, ROOT, Reader, blocks

PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]


@contextmanager
def served(folder: Path, port: int, language: str) -> Iterator[None]:
    """``multiturn serve`` as somebody types it who has set nothing up, until it is stopped as by Ctrl-C."""
    command = [sys.executable, "-P", "-m", "multiturn", "serve", "--port", str(port)]
    environment = {"HOME": str(folder), "PATH": os.defpath, "LANG": language, "PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as gateway:
        try:
            assert gateway.stderr is not None
            assert f"127.0.0.1:{port}/v1" in gateway.stderr.readline()
            yield
        finally:
            gateway.send_signal(signal.SIGINT)
            gateway.communicate(timeout=60)
        assert gateway.returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_the_snippet_remembers_across_a_restart(page: Path, tmp_path: Path) -> None:
    language = "C.UTF-8" if page.name == "README.md" else "zh_CN.UTF-8"
    port, names = free_port(), dict[str, Any]({"__name__": "__main__"})
    reader = Reader(page, tmp_path, names, f"http://127.0.0.1:{port}")
    section = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)
    (shown,) = [blocks(each) for each in section if GATEWAY in each]
    told, *_, opted, after, answer = [block for block in shown if block.kind in ("python", "text")]
    try:
        with served(tmp_path, port, language):
            reader.execute(told)
            reader.execute(opted)
        with served(tmp_path, port, language):
            reader.compare(after, answer.text, reader.execute(after))
    finally:
        names["client"].close()
