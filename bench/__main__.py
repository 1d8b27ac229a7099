"""How are the benchmarks run? ``python -m bench``, from the root of the project."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from .adding import bytes_on_disk, storing
from .corpus import Message, dialogues, invented
from .figures import Figure, report, table
from .fitting import fitting
from .loading import loading
from .memory import growth
from .prefix import prefixes
from .recalling import recalling
from .remembering import remembering
from .rounds import one_core
from .scale import FULL, QUICK, Scale
from .sending import sending
from .together import together
from .windows import reading

Messages = Callable[[int], Sequence[Message]]


async def _loading(folder: Path, messages: Messages, scale: Scale) -> list[Figure]:
    del folder, messages
    return await asyncio.to_thread(loading, scale)


async def _memory(folder: Path, messages: Messages, scale: Scale) -> list[Figure]:
    del messages
    return await asyncio.to_thread(growth, folder, scale)


async def _together(folder: Path, messages: Messages, scale: Scale) -> list[Figure]:
    del messages, scale
    return await together(folder)


async def _fitting(folder: Path, messages: Messages, scale: Scale) -> list[Figure]:
    del folder
    return await fitting(messages, scale)


BENCHMARKS: dict[str, Callable[[Path, Messages, Scale], Awaitable[list[Figure]]]] = {
    "add": storing,
    "disk": bytes_on_disk,
    "window": reading,
    "fit": _fitting,
    "send": sending,
    "together": _together,
    "memory": _memory,
    "prefix": prefixes,
    "import": _loading,
    "recall": recalling,
    "remember": remembering,
}


RACES = ("add", "window", "fit", "send")
"""Those in which threads of one process take turns."""
WITH_DISK = ("add", "send")
"""Those that wait for a disk: on the clock of the wall one core would count what else ran there meanwhile."""


def measured(name: str, scale: Scale, messages: Messages = invented) -> list[Figure]:
    """The figures of one benchmark."""
    if name not in RACES:
        return _in_a_folder(name, scale, messages)
    with one_core():
        figures = _in_a_folder(name, scale, messages)
    if name not in WITH_DISK:
        return figures
    by_the_wall = _in_a_folder(name, scale, messages)
    return [
        *(figure for figure in figures if figure.clock == "CPU"),
        *(figure for figure in by_the_wall if figure.clock == "wall"),
    ]


def _in_a_folder(name: str, scale: Scale, messages: Messages) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="multiturn-bench-") as folder:
        return asyncio.run(_run(name, Path(folder), messages, scale))


async def _run(name: str, folder: Path, messages: Messages, scale: Scale) -> list[Figure]:
    return await BENCHMARKS[name](folder, messages, scale)


def main(arguments: Sequence[str] | None = None, scale: Scale | None = None) -> None:
    """Measure what the command line names, print the table, write the files."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; by default all"
    )
    parser.add_argument("--quick", action="store_true", help="shorter conversations, fewer rounds")
    parser.add_argument("--data", type=Path, help="real dialogues: a JSON file as CrossWOZ has it")
    parser.add_argument("--json", type=Path, help="where to write the figures as JSON")
    parser.add_argument("--table", type=Path, help="where to write the table as Markdown")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    scale = scale or (QUICK if given.quick else FULL)
    path: Path | None = given.data
    messages: Messages = invented if path is None else lambda count: dialogues(path, count)
    figures: list[Figure] = []
    for name in given.names or BENCHMARKS:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        figures += measured(name, scale, messages)
        if given.json:  # after each one: a run that is stopped leaves what it has
            given.json.write_text(report(figures) + "\n", "utf-8")
        if given.table:
            given.table.write_text(table(figures), "utf-8")
    print(table(figures), end="")


if __name__ == "__main__":
    main()
