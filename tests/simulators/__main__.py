"""Run a simulated provider by hand: ``python -m tests.simulators qwen --port 8000``."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from . import FAMILY, Answer, Call, Reply, Script, serve


def reply(line: object) -> Reply:
    """A reply as it stands in a script file: a text, or an object with the fields of `Answer`."""
    if not isinstance(line, dict):
        return str(line)
    calls = [Call(**call) for call in line.pop("calls", ())]
    return Answer(**line, calls=calls)


def main() -> None:
    """Serve until interrupted; print the base URL and the key."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulators", description=__doc__)
    parser.add_argument("provider", choices=sorted(FAMILY))
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--script", type=Path, help="a JSON list of replies; without it, replies quote the request"
    )
    chosen = parser.parse_args()
    lines = json.loads(chosen.script.read_text()) if chosen.script else None
    script = Script([reply(line) for line in lines]) if lines else None
    with serve(chosen.provider, script, port=chosen.port) as simulator:
        print(f"{simulator.base_url} {simulator.key}", flush=True)  # noqa: T201 - this is its output
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
