"""How fast is the gateway? ``python -m bench.gateway``, from the root of the project.

The gateway has one core, the model and whoever asks share the other. Y (`bench.plain_gateway`), S
(`bench.two_commits`) and litellm's proxy take turns with it.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvloop

from . import stateful, stateless
from .servers import LOAD_CORE, Server, Servers, installed_peer, on_core, servers
from .stateless import Stand
from .verdicts import Verdict, report, table

__all__ = ["SCENARIOS", "main", "measured"]

Told = Callable[[Sequence[Verdict]], None]


class Hall:
    """The servers of one run, each started when it is first needed."""

    def __init__(
        self, started: Servers, folder: Path, rounds: int, size: float, *, peer: bool, crowd: int
    ) -> None:
        self.servers = started
        self.folder = folder
        self.size = size
        self.crowd = crowd
        self._rounds = rounds
        self._peer = installed_peer() if peer else None
        self._stand: Stand | None = None
        self._two_commits: Server | None = None

    @property
    def stand(self) -> Stand:
        """Those who take turns."""
        if self._stand is None:
            peer = self.servers.peer(self._peer) if self._peer else None
            ours, plain = self.servers.ours(), self.servers.plain()
            self._stand = Stand(ours, plain, self.servers.model, peer, self._rounds, self.size, self.crowd)
        return self._stand

    @property
    def two_commits(self) -> Server:
        """S."""
        if self._two_commits is None:
            self._two_commits = self.servers.two_commits()
        return self._two_commits


SCENARIOS: dict[str, Callable[[Hall], Awaitable[list[Verdict]]]] = {
    "requests": lambda hall: stateless.requests(hall.stand),
    "streams": lambda hall: stateless.streams(hall.stand),
    "first": lambda hall: stateless.added_time(hall.stand),
    "thousand": lambda hall: stateless.thousand(hall.stand),
    "turns": lambda hall: stateful.turns(hall.stand, hall.two_commits),
    "growth": lambda hall: stateful.growth(hall.stand),
    "long": lambda hall: stateful.long(hall.servers, hall.size),
    "stored": lambda hall: stateful.stored(hall.servers, hall.folder, hall.size),
    "memory": lambda hall: stateful.memory(hall.servers, hall.crowd),
}


async def measured(
    names: Sequence[str],
    rounds: int,
    size: float,
    *,
    peer: bool,
    crowd: int = 1_000,
    told: Told = lambda _: None,
) -> list[Verdict]:
    """The figures of some scenarios; ``told`` hears of them after each."""
    found: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="multiturn-bench-") as folder, servers(Path(folder)) as started:
        hall = Hall(started, Path(folder), rounds, size, peer=peer, crowd=crowd)
        for name in names:
            print(f"measuring {name}", file=sys.stderr, flush=True)
            found += await SCENARIOS[name](hall)
            told(found)
        found.append(stateful.wrong(started.model.told()))
        told(found)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line names, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m bench.gateway", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENARIOS)}; by default all")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a third of the work")
    parser.add_argument("--rounds", type=int, help="how often all take turns (7; 3 with --quick)")
    parser.add_argument("--no-peer", action="store_true", help="without litellm")
    parser.add_argument("--json", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--table", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in SCENARIOS]:
        parser.error(f"there is no scenario {unknown[0]}; there are {', '.join(SCENARIOS)}")

    def told(found: Sequence[Verdict]) -> None:
        if given.json:
            given.json.write_text(report(found) + "\n", "utf-8")
        if given.table:
            given.table.write_text(table(found), "utf-8")

    on_core(LOAD_CORE)
    gc.freeze()
    rounds = given.rounds or (3 if given.quick else 7)
    names = given.names or tuple(SCENARIOS)
    work = measured(names, rounds, 0.34 if given.quick else 1.0, peer=not given.no_peer, told=told)
    print(table(uvloop.run(work)), end="")


if __name__ == "__main__":
    main()
