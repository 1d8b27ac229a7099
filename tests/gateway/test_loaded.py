"""What does a gateway load that relays and remembers? aiohttp only where a proxy stands between: what is
loaded costs every gateway memory and every start time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
from tests.gateway.test_server import ROOT, program
from tests.providers.test_proxy import Proxy
from tests.simulators import serve

NOTING = """\
import atexit, pathlib, sys
atexit.register(lambda: pathlib.Path("loaded").write_text("\\n".join(sys.modules)))
"""


def talked(url: str) -> None:
    """A streamed answer that is only handed on, and one that is remembered."""
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        for more in ({}, {"conversation": "order-42"}):
            stream = client.chat.completions.create(
                model="qwen/qwen-plus",
                messages=[{"role": "user", "content": "hello"}],
                stream=True,
                extra_body=more,
            )
            words = [each.choices[0].delta.content or "" for each in stream if each.choices]
            assert "".join(words) == "hush"


def loaded(folder: Path, address: str, **variables: str) -> list[str]:
    """The modules a gateway had loaded when it ended."""
    (folder / "sitecustomize.py").write_text(NOTING)
    given = {
        "DASHSCOPE_API_KEY": "sk-1",
        "DASHSCOPE_COMPATIBLE_BASE_URL": address,
        "PYTHONPATH": f"{folder}:{ROOT / 'src'}",
    }
    with program(folder, **given, **variables) as (_, url):
        talked(url)
    return (folder / "loaded").read_text().splitlines()


def test_a_gateway_does_without_aiohttp(tmp_path: Path) -> None:
    with serve("qwen", "hush", key="sk-1") as simulator:
        modules = loaded(tmp_path, simulator.base_url)
    assert "multiturn.providers.transport" in modules
    assert "aiohttp" not in modules


async def test_a_gateway_behind_a_proxy_uses_aiohttp(tmp_path: Path) -> None:
    with serve("qwen", "hush", key="sk-1") as simulator:
        server, path = simulator.base_url.removeprefix("http://").split("/", 1)
        proxy = Proxy(f"http://{server}")
        listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        address = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        modules = await asyncio.to_thread(
            loaded, tmp_path, f"http://provider.test/{path}", HTTP_PROXY=address
        )
        listening.close()
        await listening.wait_closed()
    assert [head.split()[1] for head in proxy.heads] == [f"http://provider.test/{path}/chat/completions"]
    assert "aiohttp" in modules
