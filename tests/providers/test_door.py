"""The door opens the provider a profile describes, and says what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from multiturn.catalog import PROVIDERS, Catalog
from multiturn.errors import KeyMissing, SettingInvalid
from multiturn.providers import open_embeddings, open_provider


@pytest.mark.parametrize("provider", [each for each in PROVIDERS if each != "scripted"])
async def test_every_provider_opens(provider: str) -> None:
    client = open_provider(Catalog().profile(provider), key="sk-1", base_url="http://127.0.0.1:1")
    assert client.name == provider
    await client.close()


def test_a_missing_key_names_its_variable() -> None:
    for key in (None, "", "  "):
        with pytest.raises(KeyMissing) as caught:
            open_provider(Catalog().profile("stepfun"), key=key)
        assert caught.value.figures["variable"] == "STEP_API_KEY"
        assert caught.value.figures["provider"] == "stepfun"


async def test_a_local_endpoint_needs_no_key() -> None:
    await open_provider(Catalog().profile("compatible"), base_url="http://127.0.0.1:1").close()


@pytest.mark.parametrize("key", ["sk-1\nX: y", "sk 1", "密钥"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        open_provider(Catalog().profile("openai"), key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["", "ftp://x", "https://", "https://user:word@host/v1", "http://a b", "host/v1"]
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(SettingInvalid) as caught:
        open_provider(Catalog().profile("compatible"), base_url=address)
    assert caught.value.figures["name"] == "providers.compatible.base_url"
    assert "word" not in str(caught.value)


def test_an_address_that_is_missing_names_its_variable() -> None:
    with pytest.raises(SettingInvalid, match="COMPATIBLE_BASE_URL"):
        open_provider(Catalog().profile("compatible"))


def test_a_wrong_option_of_the_demo() -> None:
    card = Catalog().card("demo?colour=red")
    with pytest.raises(SettingInvalid):
        open_provider(Catalog().profile("demo"), options=card.options)


def test_a_scripted_provider_comes_with_its_script() -> None:
    with pytest.raises(SettingInvalid, match="made with its script"):
        open_provider(Catalog().profile("scripted"))


def test_the_network_is_loaded_only_when_it_is_needed() -> None:
    code = (
        "import sys; from multiturn.providers import open_provider; from multiturn.catalog import Catalog\n"
        "loaded = lambda: [each in sys.modules for each in ('multiturn.providers.transport', 'aiohttp')]\n"
        "open_provider(Catalog().profile('demo')); print(loaded())\n"
        "open_provider(Catalog().profile('qwen'), key='k'); print(loaded())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[False, False]", "[True, False]"]


async def test_a_key_is_not_shown() -> None:
    card = Catalog().embedding("qwen/text-embedding-v4")
    embeddings = open_embeddings(card, Catalog().profile("qwen"), key="sk-hidden")
    assert embeddings.access.key == "sk-hidden"
    assert "sk-hidden" not in repr(embeddings)
    await embeddings.close()
