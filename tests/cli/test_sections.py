"""Does the doctor find every entry of the settings that cannot be used?"""

from __future__ import annotations

import json

import pytest
from tests.cli.terminal import Shell

WRONG = [
    ("[tenants.shop]\ntokens_per_dya = 5", "tenants.shop.tokens_per_dya", "tokens_per_day"),
    ("[tenants.shop]\ntokens_per_day = 'many'", "tenants.shop.tokens_per_day", "a whole number above 0"),
    ("[tenants.shop]\ncost_per_day = 5", "tenants.shop.currency", "currency"),
    ("[tenants.shop]\nexpires_after = -1", "tenants.shop.expires_after", "seconds"),
    ("[routes.fast]\ntarget = ['demo']", "routes.fast.target", "known: targets"),
    ("[routes.fast]\ntargets = []", "routes.fast.targets", "at least one"),
    ("[routes.fast]\ntargets = ['nosuch/model']", "routes.fast.targets", "nosuch/model is no model"),
    ("[providers.nosuch]\nbase_url = 'http://x'", "providers.nosuch", "names no provider"),
    ("[models.'qwen/qwen-plus']\nwindw = 5", "models.qwen/qwen-plus.windw", "known: "),
    ("[models.'qwen/qwen-plus']\nprice = 5", "models.qwen/qwen-plus.price", "no price"),
    ("[embeddings.'qwen/x']\ndimenzion = 1", "embeddings.qwen/x.dimenzion", "known: dimension"),
]


def told(shell: Shell, settings: str, language: str = "en") -> dict[str, str]:
    """The doctor's sentences, each with how bad it is."""
    (shell.home / "multiturn.toml").write_text(settings, "utf-8")
    shell.variables["MULTITURN_LANG"] = language
    done = shell.run("doctor", "--json", check=False)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == int(any(each["level"] == "wrong" for each in records)), done.stderr
    return {each["message"]: each["level"] for each in records}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("settings", "name", "words"), WRONG, ids=[name for _, name, _ in WRONG])
def test_a_wrong_entry_is_named_with_its_key_and_its_file(
    shell: Shell, settings: str, name: str, words: str, language: str
) -> None:
    (wrong,) = [sentence for sentence, level in told(shell, settings, language).items() if level == "wrong"]
    assert name in wrong
    assert language == "zh" or words in wrong
    assert "multiturn config" in wrong
    assert str(shell.home / "multiturn.toml") in wrong


def test_no_wrong_entry_hides_another_or_what_is_sound(shell: Shell) -> None:
    settings = """
        [tenants.shop]
        tokens_per_dya = 5
        [tenants.bank]
        streams = 0
        [tenants.desk]
        streams = 2
        [routes.fast]
        targets = []
        [routes.slow]
        targets = ["demo"]
        [models."qwen/qwen-plus"]
        windw = 5
    """
    found = told(shell, settings)
    wrong = [sentence.split(" is wrong")[0] for sentence, level in found.items() if level == "wrong"]
    assert wrong == [
        f"The setting {name}"
        for name in (
            "models.qwen/qwen-plus.windw",
            "routes.fast.targets",
            "tenants.shop.tokens_per_dya",
            "tenants.bank.streams",
        )
    ]
    assert found["route slow: demo"] == "ok"
    assert found["model demo"] == "ok"


def test_a_route_may_name_a_model_that_the_operator_describes(shell: Shell) -> None:
    settings = "[models.'compatible/llama']\nwindow = 9000\n[routes.own]\ntargets = ['compatible/llama']\n"
    found = told(shell, settings)
    assert not any("The setting" in sentence for sentence in found)
    assert any("route own" in sentence for sentence in found)
