"""Each example is run as a user runs it, and judged by what the (simulated) provider received."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Model, Received, Simulator, serve

from multiturn.catalog import Catalog

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGES = [ROOT / "docs" / language / "how-to" / "examples.md" for language in ("en", "zh")]
OPENING = "欢迎光临手机商店！请问您需要多大屏幕的手机？"
UNDERSTOOD = "我已了解您的购买意向，请稍等。"
Run = Callable[..., str]


def environment(home: Path, *simulators: Simulator) -> dict[str, str]:
    """What a user has who set the keys of these providers, and nothing else."""
    private = re.compile(r"_API_KEY$|_BASE_URL$|^MULTITURN_|^XDG_|^LC_")
    kept = {name: value for name, value in os.environ.items() if not private.search(name)}
    for simulator in simulators:
        profile = Catalog().profile(simulator.name)
        kept |= {profile.keys[0]: simulator.key, profile.base_url_variable: simulator.base_url}
    kept |= {"HOME": str(home), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT / "src")}
    return kept | {"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs an example in an empty folder; gives what it printed."""

    def run(name: str, *simulators: Simulator, typed: str = "") -> str:
        return finished([sys.executable, str(ROOT / "examples" / f"{name}.py")], tmp_path, typed, *simulators)

    return run


def finished(command: list[str], folder: Path, typed: str, *simulators: Simulator) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, *simulators),
        input=typed.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    assert [received.status for simulator in simulators for received in simulator.requests].count(200) == sum(
        len(simulator.requests) for simulator in simulators
    )
    return output


def said(received: Received) -> list[tuple[str, Any]]:
    """The messages of a request, as pairs of role and content."""
    return [(message["role"], message["content"]) for message in received.messages]


def roles(received: Received) -> list[str]:
    return [message["role"] for message in received.messages]


def extends(later: Received, earlier: Received) -> bool:
    """Whether a request begins with everything that the one before it sent."""
    return later.messages[: len(earlier.messages)] == earlier.messages


# ------------------------------------------------------------------------------ the vendors' scenarios


def test_stepfun_history(run: Run, tmp_path: Path) -> None:
    with serve("stepfun") as stepfun:
        output = run("stepfun_history", stepfun)
    (request,) = stepfun.requests  # importing called no model
    assert request.body["stream"] is True
    assert said(request) == [
        ("system", "你是旅行社的助手，回答要简短。"),
        ("user", "我叫小林，决定去青岛。"),
        ("assistant", "好的，去青岛，我记下了。"),
        ("user", "我住三个晚上。"),
        ("assistant", "好的，三个晚上。"),
        ("user", "我决定去哪里？"),
    ]
    assert "决定去青岛" in output
    assert "早于最新的 5 条消息" in output
    assert (tmp_path / "examples.db").stat().st_size > 0


def test_zhizengzeng_relay(run: Run) -> None:
    with serve("zhizengzeng") as relay:
        output = run("zhizengzeng_relay", relay)
    first, second = relay.requests
    assert [request.body["model"] for request in relay.requests] == ["gpt-4o-mini", "gpt-4o-mini"]
    assert second.body["stream"] is True
    assert extends(second, first)
    assert roles(second) == ["system", "user", "assistant", "user"]
    assert "我最喜欢的朝代是宋朝" in output
    assert "estimated" in output  # this relay tells no usage in a stream


def test_qwen_films(run: Run) -> None:
    with serve("qwen", ["推荐《星际穿越》。", "克里斯托弗·诺兰。"]) as qwen:
        output = run("qwen_films", qwen)
    first, second = qwen.requests
    assert extends(second, first)
    assert said(second)[1:] == [
        ("user", "推荐一部关于太空探索的科幻电影。"),
        ("assistant", "推荐《星际穿越》。"),
        ("user", "这部电影的导演是谁？"),
    ]
    assert "《星际穿越》" in output
    assert "诺兰" in output
    assert re.search(r"\d+ tokens", output)


def test_qwen_vl_image(run: Run) -> None:
    with serve("qwen", ["有帽子和围巾。", "都是红色的。"]) as qwen:
        output = run("qwen_vl_image", qwen)
    first, second = qwen.requests
    assert [part["type"] for part in first.messages[0]["content"]] == ["image_url", "text"]
    assert extends(second, first)  # the image is sent again
    assert said(second)[1:] == [("assistant", "有帽子和围巾。"), ("user", "它们是什么颜色？")]
    assert output == "有帽子和围巾。\n都是红色的。\n"


def test_qwen_thinking(run: Run) -> None:
    thoughts = ["17 乘 20 是 340，17 乘 3 是 51。", "391 加 9 很简单。"]
    answers = [Answer("391。", reasoning=thoughts[0]), Answer("400。", reasoning=thoughts[1])]
    with serve("qwen", answers) as qwen:
        output = run("qwen_thinking", qwen)
    assert all(request.body["enable_thinking"] and request.body["stream"] for request in qwen.requests)
    second = qwen.requests[1]
    assert said(second) == [("user", "17 乘 23 等于多少？"), ("assistant", "391。"), ("user", "再加 9 呢？")]
    assert all("reasoning" not in name for message in second.messages for name in message)
    assert thoughts[0] not in second.raw.decode()
    shown, _, after = output.partition("sent in the second request")
    assert f"思考： {thoughts[0]}\n回答： 391。" in shown
    assert f"思考： {thoughts[1]}\n回答： 400。" in shown
    sent, _, stored = after.partition("stored")
    assert "'content': '391。'" in sent
    assert not any(thought in sent for thought in thoughts)
    assert all(thought in stored for thought in thoughts)


def shop(received: Received) -> str:
    """A clerk who wants to know screen and resolution."""
    known = "".join(message["content"] for message in received.messages if message["role"] == "user")
    return UNDERSTOOD if "英寸" in known and "K" in known else "好的。请问您需要什么分辨率？"


def bought(qwen: Simulator) -> None:
    """The clerk spoke first, asked until everything was known, and was asked nothing afterwards."""
    assert [request.text for request in qwen.requests] == ["6.5 英寸", "4K"]
    for request in qwen.requests:
        assert "我已了解您的购买意向" in said(request)[0][1]
        assert said(request)[1:3] == [("assistant", OPENING), ("user", "6.5 英寸")]
    assert extends(qwen.requests[1], qwen.requests[0])


def test_phone_shop(run: Run) -> None:
    with serve("qwen", shop) as qwen:
        output = run("phone_shop", qwen, typed="6.5 英寸\n4K\n还有一句\n")
    bought(qwen)
    assert output.startswith(f"店员： {OPENING}")
    assert output.endswith(f"店员： {UNDERSTOOD}\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.parts[-3]))
def test_phone_shop_on_the_command_line(page: Path, tmp_path: Path) -> None:
    (command,) = re.findall(r"^(?s:multiturn chat .+? --until .+?)$", page.read_text("utf-8"), re.MULTILINE)
    typed = command.replace("multiturn", f'"{sys.executable}" -P -m multiturn', 1)
    with serve("qwen", shop) as qwen:
        output = finished(["/bin/sh", "-c", typed], tmp_path, "6.5 英寸\n4K\n还有一句\n", qwen)
    bought(qwen)
    assert OPENING in output
    assert UNDERSTOOD in output


def test_role_play(run: Run) -> None:
    answers = ["（指了指）《聊斋》。", "（想了想）《陶庵梦忆》。", "（包好书）慢走。"]
    known = {"qwen-plus-character": Model(32_768, 30_720, 4_096)}
    with serve("qwen", answers, models=known) as qwen:
        output = run("role_play", qwen)
    first, again, last = qwen.requests
    assert roles(first) == ["system", "assistant", "user"]
    assert said(first)[1] == ("assistant", "（从书堆后面抬起头）来了？茶刚泡好。")
    assert again.messages == first.messages  # the character does not see the answer that is taken back
    assert extends(last, first)
    assert said(last)[3:] == [("assistant", answers[1]), ("user", "那就要这一本。")]
    assert all(answer in output for answer in answers)
    assert "0 kept" in output
    assert "1 in use" in output
    assert f"assistant: {answers[0]}" not in output
    assert f"assistant: {answers[1]}" in output


def test_kimi_newest_20(run: Run) -> None:
    with serve("kimi") as kimi:
        output = run("kimi_newest_20", kimi)
    first, second, last = kimi.requests
    assert extends(second, first)
    assert "我今年 27 岁" in output.splitlines()[0]
    # The system prompt, nine whole rounds, the new message: a tenth round would be message 21.
    assert roles(last) == ["system", *["user", "assistant"] * 9, "user"]
    assert said(last)[0] == said(first)[0]
    assert said(last)[1:-1:2] == [("user", f"第 {day} 天，我跑了 {day} 公里。") for day in range(2, 11)]
    assert not any("27" in str(text) for _, text in said(last))
    assert "20 messages sent" in output
    assert "26 stored" in output


def test_dashscope_text(run: Run) -> None:
    with serve("dashscope") as dashscope:
        output = run("dashscope_text", dashscope)
    first, second = dashscope.requests
    assert {request.path for request in dashscope.requests} == {
        "/api/v1/services/aigc/text-generation/generation"
    }
    parameters = first.body["parameters"]
    assert (parameters["temperature"], parameters["top_k"]) == (0.3, 20)
    assert second.headers["x-dashscope-sse"] == "enable"
    assert extends(second, first)
    assert "养了一盆茉莉" in output


def test_dashscope_multimodal(run: Run) -> None:
    with serve("dashscope", ["有帽子和围巾。", "围巾最贵。"]) as dashscope:
        output = run("dashscope_multimodal", dashscope)
    first, second = dashscope.requests
    assert {request.path for request in dashscope.requests} == {
        "/api/v1/services/aigc/multimodal-generation/generation"
    }
    assert [list(part) for part in first.messages[0]["content"]] == [["image"], ["text"]]
    assert extends(second, first)  # the image is sent again
    assert said(second)[1:] == [
        ("assistant", [{"text": "有帽子和围巾。"}]),
        ("user", [{"text": "其中哪一件最贵？"}]),
    ]
    assert output == "有帽子和围巾。\n围巾最贵。\n"


# --------------------------------------------------------------------------------------- and besides


def test_kimi_tools(run: Run) -> None:
    def clerk(received: Received) -> str | Answer:
        if received.messages[-1]["role"] == "tool":
            return f"您可以坐 {received.text}。"
        return Answer(reasoning="要查火车。", calls=[Call("next_train", {"city": "苏州"})])

    with serve("kimi", clerk) as kimi:
        output = run("kimi_tools", kimi)
    first, second = kimi.requests
    assert extends(second, first)
    call, result = second.messages[-2:]
    assert call["reasoning_content"] == "要查火车。"
    assert (result["tool_call_id"], result["content"]) == (
        call["tool_calls"][0]["id"],
        "G7012 次，09:15 发车",
    )
    assert second.body["tools"] == first.body["tools"]
    assert "您可以坐 G7012 次，09:15 发车。" in output
    assert "1 turn 轮： user assistant tool assistant" in output


def test_own_sdk(run: Run) -> None:
    with serve("openai") as openai:
        output = run("own_sdk", openai)
    first, second = openai.requests
    assert all(request.headers["user-agent"].startswith("OpenAI/Python") for request in openai.requests)
    assert extends(second, first)
    assert second.body["stream"] is True
    assert roles(second) == ["system", "user", "assistant", "user"]
    assert "我对花生过敏" in output


def test_gateway_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve("qwen") as qwen, gate(qwen, store=tmp_path / "gateway.db") as one:
        monkeypatch.setenv("GATEWAY", f"{one.url}/v1")
        output = finished([sys.executable, str(ROOT / "examples" / "gateway_memory.py")], tmp_path, "")
    roses, jasmine, roses_again, jasmine_again, *_ = qwen.requests
    assert said(roses) == [("system", "回答要简短。"), ("user", "我要十枝白玫瑰。")]
    assert extends(roses_again, roses)
    assert extends(jasmine_again, jasmine)
    assert not any("玫瑰" in str(text) for _, text in said(jasmine_again))  # another order, another customer
    assert qwen.requests[-1].body["stream"] is True
    lines = output.splitlines()
    assert re.match(r"order-1, turn 轮 2, \d+ tokens: .*我要十枝白玫瑰。", lines[2])
    assert re.match(r"order-2, turn 轮 2, \d+ tokens: .*我要一盆茉莉。", lines[3])
    assert "27 号" in lines[4]


def test_own_list(run: Run) -> None:
    output = run("own_list")
    lines = output.splitlines()
    before, after = map(int, lines[0].split(" → "))
    assert before == 62
    assert 2 < after < before
    assert lines[1].startswith("✓ system")
    assert "over_budget" in output
    assert lines[-1].endswith("True")  # the cut stays where it was


# ---------------------------------------------------------------------------------------- all of them


def test_every_example_is_run_by_a_test(request: pytest.FixtureRequest) -> None:
    tested = {name.removeprefix("test_") for name in vars(request.module) if name.startswith("test_")}
    assert {example.stem for example in EXAMPLES} - tested == set()
    assert len(EXAMPLES) == 14


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(example.stem))
def test_an_example_says_what_it_shows(example: Path) -> None:
    text = example.read_text("utf-8")
    shown = ast.get_docstring(ast.parse(text)) or ""
    english, chinese = shown.splitlines()[:2]
    assert re.match(r"[A-Za-z“].*\.$", english)
    assert re.search(r"[\u4e00-\u9fff].*。$", chinese)
    assert "\nReplaces " in shown
    assert "\n代替" in shown
    command = shown.splitlines()[-1].strip()
    assert command.endswith(f"python examples/{example.name}")
    model = re.search(r'"(\w+)/', text)
    assert model is not None
    if "MultiTurn(" in text:
        assert command.split("=…")[0] == Catalog().profile(model[1]).keys[0]
    else:
        assert "API_KEY" not in command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.parts[-3]))
def test_every_example_is_listed(page: Path) -> None:
    linked = re.findall(
        r"^\| \[`(\w+)\.py`\]\(../../../examples/(\w+)\.py\) \|", page.read_text("utf-8"), re.MULTILINE
    )
    assert [first for first, second in linked if first == second] == [name for name, _ in linked]
    assert sorted(name for name, _ in linked) == [example.stem for example in EXAMPLES]


def test_an_example_without_a_key_names_the_variable(tmp_path: Path) -> None:
    example = ROOT / "examples" / "qwen_films.py"
    done = subprocess.run(
        [sys.executable, str(example)],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "DASHSCOPE_API_KEY" in done.stderr.splitlines()[-1]
