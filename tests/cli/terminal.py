"""Runs the command line as people do: in a process of its own, through pipes or at a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-P", "-m", "multiturn")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[a-zA-Z]|\][^\x07]*\x07|[=>])")


@dataclass
class Shell:
    """A user with an empty home, and no key and no language in the environment."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUTF8": "1",
            **self.variables,
        }

    def run(
        self, *arguments: str, typed: str | bytes | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run one command with ``typed`` on its standard input."""
        done = subprocess.run(
            [*COMMAND, *arguments],
            input=typed.encode() if isinstance(typed, str) else typed or b"",
            capture_output=True,
            env=self.environment,
            cwd=self.home,
            check=False,
            timeout=120,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert "Traceback" not in err, err
        if check:
            assert done.returncode == 0, err
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def refused(self, *arguments: str, typed: str | bytes | None = None) -> str:
        """Run a command that must fail with 1 and one sentence; gives its last line of errors."""
        done = self.run(*arguments, typed=typed, check=False)
        assert done.returncode == 1
        return done.stderr.rstrip("\n").rpartition("\n")[2]


class Terminal:
    """A command at a terminal of 24 lines and 100 columns: a person types, and reads what appears."""

    def __init__(self, shell: Shell, arguments: Sequence[str]) -> None:
        environment = {**shell.environment, "TERM": "xterm-256color", **shell.variables}
        self.process, self._screen = pty.fork()
        if self.process == 0:  # pragma: no cover  (the child)
            os.chdir(shell.home)
            os.execve(COMMAND[0], [*COMMAND, *arguments], environment)
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
        self.received = b""
        self.shown = ""
        self._read = 0
        self.code: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.code is None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
        os.close(self._screen)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._screen, keys.encode())

    def until(self, text: str, seconds: float = 60) -> str:
        """Wait until ``text`` appears after what was read before; gives everything up to it."""
        end = time.monotonic() + seconds
        while (place := self.shown.find(text, self._read)) < 0:
            assert time.monotonic() < end, f"{text!r} did not appear in {self.shown[self._read :]!r}"
            self._receive()
        seen = self.shown[self._read : place + len(text)]
        self._read = place + len(text)
        return seen

    def leave(self, seconds: float = 60) -> int:
        """Wait for the end; gives the exit code."""
        end = time.monotonic() + seconds
        while self.code is None:
            assert time.monotonic() < end, f"still running after {self.shown!r}"
            self._receive()
            done, status = os.waitpid(self.process, os.WNOHANG)
            if done:
                self.code = os.waitstatus_to_exitcode(status)
        self._receive()
        return self.code

    def _receive(self) -> None:
        ready, _, _ = select.select([self._screen], [], [], 0.1)
        if not ready:
            return
        try:
            piece = os.read(self._screen, 65536)
        except OSError:  # the other side is gone
            return
        if b"\x1b[6n" in piece:  # where is the cursor?
            os.write(self._screen, b"\x1b[1;1R")
        self.received += piece
        self.shown += ESCAPES.sub("", piece.decode(errors="replace")).replace("\r", "")
