"""Which servers take part in the gateway's benchmark? Each is a process of its own, kept on one core, that
dies with this one; what it has used is asked of the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from .children import environment
from .upstream import SCRIBE

__all__ = [
    "GATEWAY_CORE",
    "LOAD_CORE",
    "Server",
    "Servers",
    "free_port",
    "installed_peer",
    "on_core",
    "servers",
]

CORES = sorted(os.sched_getaffinity(0))
GATEWAY_CORE, LOAD_CORE = CORES[0], CORES[-1]
STARTING = 90.0
ENDING = 20.0
PROCESS_TIME = 2
"""Linux: the clock of another process's time is made of its id and of what it counts."""
PEER = "litellm[proxy]==1.106.2"
PEER_FOLDER = Path(__file__).parents[1] / "build" / "bench" / "litellm"
SETTINGS = """\
[models."compatible/bench"]
window = 131072
[policy.summarize]
model = "compatible/{scribe}"  # so that the model knows what is no turn
"""
PEER_CONFIG = """\
model_list:
  - model_name: compatible/bench
    litellm_params: {{model: openai/bench, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
litellm_settings: {{telemetry: false}}
general_settings: {{dangerously_permit_weak_or_unset_master_key: true}}  # as ours, on this machine only
"""


def on_core(core: int) -> None:
    """Keep this process on one core."""
    os.sched_setaffinity(0, {core})


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    name: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of processor time so far, all threads together."""
        return time.clock_gettime(~self.process.pid << 3 | PROCESS_TIME)

    def memory(self) -> int:
        """Bytes it holds in memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024

    def told(self) -> dict[str, int]:
        """What the model of the benchmark has counted."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/figures", timeout=10) as answer:
            figures: dict[str, int] = orjson.loads(answer.read())
        return figures

    def end(self) -> None:
        """Tell it to end, and wait until it has."""
        self.process.terminate()
        try:
            self.process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Servers:
    """Starts servers whose files are in ``folder``; all of them end with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        (folder / "multiturn.toml").write_text(SETTINGS.format(scribe=SCRIBE), "utf-8")
        self._folder = folder
        self._stack = stack
        self.model = self._started("model", LOAD_CORE, ["-m", "bench.upstream", "{port}"])
        """Whom our gateway asks, and nobody else: what it counts is ours."""
        self._others = self._started("model", LOAD_CORE, ["-m", "bench.upstream", "{port}"])

    def plain(self) -> Server:
        """Y."""
        return self._started("Y", GATEWAY_CORE, ["-m", "bench.plain_gateway", "{port}", self._other])

    def two_commits(self) -> Server:
        """S."""
        file = str(self._folder / f"s-{time.monotonic_ns()}.db")
        return self._started("S", GATEWAY_CORE, ["-m", "bench.two_commits", "{port}", self._other, file])

    def ours(self, *options: str, store: Path | None = None) -> Server:
        """``multiturn serve``."""
        file = store or self._folder / f"ours-{time.monotonic_ns()}.db"
        command = ["-m", "multiturn", "serve", "--port", "{port}", "--model", "compatible/bench"]
        own = {
            "HOME": str(self._folder),
            "COMPATIBLE_BASE_URL": f"http://127.0.0.1:{self.model.port}/v1",
            "COMPATIBLE_API_KEY": "none",
        }
        return self._started(
            "ours", GATEWAY_CORE, [*command, "--store", f"sqlite:///{file}", *options], own=own
        )

    def peer(self, program: Path) -> Server:
        """litellm's proxy."""
        config = self._folder / "litellm.yaml"
        config.write_text(PEER_CONFIG.format(port=self._other), "utf-8")
        command = ["--config", str(config), "--host", "127.0.0.1", "--port", "{port}", "--num_workers", "1"]
        own = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONPATH": ""}
        return self._started("litellm", GATEWAY_CORE, command, program, own)

    @property
    def _other(self) -> str:
        return str(self._others.port)

    def _started(
        self,
        name: str,
        core: int,
        command: Sequence[str],
        program: Path | None = None,
        own: Mapping[str, str] | None = None,
    ) -> Server:
        port = free_port()
        words = [str(program or sys.executable), *(word.format(port=port) for word in command)]
        log = self._stack.enter_context((self._folder / f"{name}-{port}.log").open("wb"))
        process = subprocess.Popen(
            words,
            env={**environment(), **(own or {})},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: _child_of_ours(core),  # noqa: PLW1509  (no thread is running here)
        )
        server = Server(name, port, process)
        self._stack.callback(server.end)
        _wait(server, self._folder / f"{name}-{port}.log")
        return server


def _child_of_ours(core: int) -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives the benchmark
    on_core(core)


def free_port() -> int:
    """A port that nobody has, and that the system gives to nobody who does not name it: it is still free when
    a program has started that is to listen there."""
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split())
    named = [*range(10_000, first), *range(last + 1, 65_536)] or range(10_000, 65_536)
    while True:
        port: int = random.choice(named)
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port


def _wait(server: Server, log: Path) -> None:
    """Until it accepts connections."""
    end = time.monotonic() + STARTING
    while time.monotonic() < end and server.process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", server.port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{server.name} did not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def installed_peer(
    folder: Path = PEER_FOLDER, make: Sequence[str] = (sys.executable, "-m", "venv")
) -> Path | None:
    """The program of litellm's proxy, in an environment of its own, which ``make`` makes where it is missing;
    ``None`` where it cannot be installed."""
    program = folder / "bin" / "litellm"
    if not program.exists():
        commands = ([*make, str(folder)], [str(folder / "bin" / "pip"), "install", PEER])
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                print(f"litellm takes no part, it cannot be installed: {reason}", file=sys.stderr)
                return None
    return program


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """A model, and the means to start what stands in front of it."""
    with ExitStack() as stack:
        yield Servers(folder, stack)
