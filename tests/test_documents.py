"""The documents cannot lie: what they show is run, what they link to exists, and both languages say the
same. The convention is written down in docs/en/development.md."""

from __future__ import annotations

import ast
import contextlib
import gc
import inspect
import io
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from dashscope.api_entities.http_request import close_shared_sync_session
from tests.curl import curl
from tests.gateway.clients.nodejs import ENVIRONMENT, node_js
from tests.gateway.serving import gate
from tests.simulators import Answer, Call, Received, Reply, Simulator, remember, serve

from multiturn.asking import Asking, Sampling
from multiturn.chat import AsyncConversation
from multiturn.cli.program import program as command_line
from multiturn.client import AsyncMultiTurn
from multiturn.config import Config
from multiturn.decision import Code
from multiturn.errors import Error

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ENGLISH, CHINESE = DOCS / "en", DOCS / "zh"
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    *sorted(ENGLISH.rglob("*.md")),
    *sorted(CHINESE.rglob("*.md")),
]
PAIRS = [
    (ROOT / "README.md", ROOT / "README.zh-CN.md"),
    *((page, CHINESE / page.relative_to(ENGLISH)) for page in sorted(ENGLISH.rglob("*.md"))),
]
ALL_PAGES = [*DOCUMENTS, ROOT / "CHANGELOG.md", *sorted((DOCS / "decisions").glob("*.md"))]
GATEWAY = "http://127.0.0.1:8484"
FENCE = re.compile(r"^(\s*)```(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block: its info string, its lines, and the number of its first line."""

    info: str
    lines: list[str]
    line: int
    follows: bool
    """Whether nothing but blank lines stands between it and the block before."""

    @property
    def kind(self) -> str:
        return self.info.split(" ")[0]

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


def blocks(markdown: str) -> list[Block]:
    found: list[Block] = []
    inside: list[str] | None = None
    info, start, indent, follows = "", 0, 0, False
    for number, line in enumerate(markdown.splitlines(), 1):
        fence = FENCE.match(line)
        if inside is None and fence:
            inside, info, start, indent = [], fence[2].strip(), number + 1, len(fence[1])
        elif inside is not None and fence and not fence[2].strip():
            found.append(Block(info, inside, start, follows))
            inside, follows = None, True
        elif inside is not None:
            inside.append(line[indent:])
        elif line.strip():
            follows = False
    assert inside is None, f"the block at line {start} has no end"
    return found


def prose(markdown: str) -> list[str]:
    """The lines outside of fenced blocks."""
    inside = False
    kept = []
    for line in markdown.splitlines():
        if FENCE.match(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return kept


def name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if ROOT in path.parents else path.name


def matches(shown: str, real: str) -> bool:
    """Whether the output is as shown; ``...`` stands for anything, blanks at line ends do not count."""
    expected = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
    actual = "\n".join(line.rstrip() for line in real.strip("\n").splitlines())
    pattern = ".*".join(re.escape(piece) for piece in expected.split("..."))
    return re.fullmatch(pattern, actual, re.DOTALL) is not None


# ------------------------------------------------------------------------------- running them


KEYS = {
    "qwen": ("DASHSCOPE_API_KEY", "DASHSCOPE_COMPATIBLE_BASE_URL"),
    "kimi": ("MOONSHOT_API_KEY", "MOONSHOT_BASE_URL"),
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
}
"""The providers whose key the reader has: simulated ones."""


def shopkeeper(received: Received) -> Reply:
    """Calls the first tool it is offered with the number it reads, tells what a tool said, else remembers."""
    last = received.messages[-1]
    number = re.search(r"\d+", received.text)
    if last["role"] == "tool":
        return str(last["content"])
    if received.body.get("tools") and number:
        function = received.body["tools"][0]["function"]
        return Answer(calls=[Call(function["name"], {function["parameters"]["required"][0]: number[0]})])
    return remember(received)


@pytest.fixture(scope="module")
def providers() -> Iterator[dict[str, Simulator]]:
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(serve(name, shopkeeper)) for name in KEYS}


@dataclass
class Reader:
    """Somebody who types what a document shows, in an empty folder with a home of their own: programs with
    the keys of (simulated) providers, commands without any."""

    document: Path
    folder: Path
    names: dict[str, Any]
    gateway: str = ""
    """Where the gateway listens that the reader has started."""

    def read(self) -> None:
        shown = blocks(self.document.read_text("utf-8"))
        for block, after in zip(shown, [*shown[1:], None], strict=False):
            if block.kind in ("python", "js"):
                output = self.execute(block) if block.kind == "python" else self.run_by_node(block)
                if after and after.kind == "text" and after.follows:
                    self.compare(block, after.text, output)
            elif block.kind == "console":
                self.type(block)

    def execute(self, block: Block) -> str:
        text = block.text.replace(GATEWAY, self.gateway)
        tree = ast.increment_lineno(ast.parse(text), block.line - 1)
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(compile(tree, str(self.document), "exec"), self.names)
        return output.getvalue()

    def run_by_node(self, block: Block) -> str:
        module, packages = self.folder / "page.mjs", self.folder / "node_modules"
        module.write_text(block.text.replace(GATEWAY, self.gateway), "utf-8")
        if not packages.exists():
            packages.symlink_to(ENVIRONMENT / "node_modules")
        done = subprocess.run(
            [node_js(), module], capture_output=True, text=True, encoding="utf-8", check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr
        return done.stdout

    def type(self, block: Block) -> None:
        for command, shown in commands(block.text.replace(GATEWAY, self.gateway).splitlines()):
            done = subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=self.folder,
                env={each: value for each, value in os.environ.items() if not each.endswith("_API_KEY")},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
            output = done.stdout.decode()
            assert (done.returncode != 0) == block.info.endswith(" fails"), f"{command}\n{output}"
            if shown:
                self.compare(block, shown, output)

    def compare(self, block: Block, shown: str, output: str) -> None:
        place = f"{name(self.document)}:{block.line}"
        assert matches(shown, output), f"{place} shows\n{shown}\nbut it is\n{output}"


def commands(lines: list[str]) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output shown for it."""
    command: str | None = None
    shown: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            if command is not None:
                yield command, "\n".join(shown)
            command, shown = line[2:], []
        elif command is not None and command.endswith("\\") and not shown:
            command = f"{command}\n{line}"
        else:
            shown.append(line)
    assert command is not None, "a console block begins with a command"
    yield command, "\n".join(shown)


def tool(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, providers: dict[str, Simulator]) -> Path:
    """An empty folder with the commands of a checkout, and an environment that names no real provider."""
    for variable in list(os.environ):
        if variable.endswith(("_API_KEY", "_BASE_URL")) or variable.startswith(("MULTITURN_", "XDG_")):
            monkeypatch.delenv(variable)
    folder = tmp_path / "desk"
    run = f'exec "{sys.executable}" -P -m multiturn "$@"'
    tool(tmp_path / "bin" / "multiturn", run)
    tool(folder / "scripts" / "run", f"[ $# -gt 0 ] || set -- chat\n{run}")
    if shutil.which("curl") is None:
        tool(tmp_path / "bin" / "curl", f'exec "{sys.executable}" "{ROOT / "tests" / "curl.py"}" "$@"')
    # The suite cannot run itself: that the command is there is checked here, what it does in test_scripts.
    tool(folder / "scripts" / "test", f'exec sh -n "{ROOT / "scripts" / "test"}"')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LC_MESSAGES", raising=False)
    for provider, (key, address) in KEYS.items():
        monkeypatch.setenv(key, providers[provider].key)
        monkeypatch.setenv(address, providers[provider].base_url)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_what_a_document_shows_is_true(
    document: Path, desk: Path, providers: dict[str, Simulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    chinese = CHINESE in document.parents or document.name == "README.zh-CN.md"
    monkeypatch.setenv("LANG", "zh_CN.UTF-8" if chinese else "C.UTF-8")
    if GATEWAY not in document.read_text("utf-8"):
        Reader(document, desk, {"__name__": "__main__"}).read()
        return
    language = "zh" if chinese else "en"
    store, routes = (
        f"sqlite:///{desk}/gateway.db",
        {"chat-fast": {"targets": ["qwen/qwen-plus", "kimi/kimi-k2.6"]}},
    )
    config = Config(store=store, model="qwen/qwen-plus", language=language, routes=routes)
    with gate(*providers.values(), config=config, store=config.store) as one:
        names: dict[str, Any] = {"__name__": "__main__"}
        Reader(document, desk, names, one.url).read()
        close_shared_sync_session()
        leave(names)


def leave(names: dict[str, Any]) -> None:
    """Ends the programs of a page, whose SDKs are open until the interpreter ends, as a reader's are. Python
    warns of their sockets where it comes upon these before it comes upon the SDK that would close them."""
    names.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def test_a_lie_would_be_found(desk: Path) -> None:
    page = desk / "page.md"
    reader = Reader(page, desk, {})
    page.write_text("```python\nx = 1\n```\n```python\nprint(x + 1)\n```\n\n```text\n2\n```\n")
    reader.read()
    page.write_text(
        "```console\n$ echo one; \\\n  echo two\none\n...\n$ exit 0\n```\n```console fails\n$ exit 3\n```\n"
    )
    reader.read()
    for lie in (
        "```python\nprint(1)\n```\n```text\n2\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
        "```console\n$ exit 1\n```\n",
        "```console fails\n$ exit 0\n```\n",
    ):
        page.write_text(lie)
        with pytest.raises(AssertionError):
            Reader(page, desk, {}).read()


def test_what_stands_for_curl_answers_as_curl_does() -> None:
    shown = (ENGLISH / "how-to" / "gateway.md").read_text("utf-8")
    (posted,) = [block for block in blocks(shown) if block.kind == "console" and "curl" in block.text]
    with serve("qwen", remember) as qwen, gate(qwen) as one:
        for command, expected in commands(posted.text.replace(GATEWAY, one.url).splitlines()):
            assert matches(expected, curl(one.url, command).body.decode())


# --------------------------------------------------------------------------------- two trees


def test_both_trees_have_the_same_pages() -> None:
    english = {str(page.relative_to(ENGLISH)) for page in ENGLISH.rglob("*")}
    chinese = {str(page.relative_to(CHINESE)) for page in CHINESE.rglob("*")}
    assert english == chinese
    assert english


def shape(markdown: str) -> list[str]:
    """Headings by their depth, tables by their rows, lists by their items, blocks by their kind."""
    lines = prose(markdown)
    return [
        *(line.split(" ")[0] for line in lines if re.match(r"#+ ", line)),
        *(f"{line.count('|')} columns" for line in lines if line.startswith("|")),
        *("item" for line in lines if re.match(r"\s*(- |\d+\. )", line)),
        *(block.info for block in blocks(markdown)),
    ]


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=[name(page) for page, _ in PAIRS])
def test_both_languages_say_the_same(english: Path, chinese: Path) -> None:
    assert shape(english.read_text("utf-8")) == shape(chinese.read_text("utf-8"))


@pytest.mark.parametrize("page", [chinese for _, chinese in PAIRS], ids=name)
def test_chinese_pages_are_chinese(page: Path) -> None:
    assert len(re.findall(r"[\u4e00-\u9fff]", page.read_text("utf-8"))) > 100


@pytest.mark.parametrize("page", DOCUMENTS, ids=name)
def test_chinese_sentences_end_in_chinese_punctuation(page: Path) -> None:
    assert [
        line for line in prose(page.read_text("utf-8")) if re.search(r"[\u4e00-\u9fff][,;:!?]( |$)", line)
    ] == []


# -------------------------------------------------------------------------------------- links


def anchors(markdown: str) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = [line.lstrip("#").strip() for line in prose(markdown) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(page: Path) -> list[str]:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose(page.read_text("utf-8")))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        aim = (page.parent / path).resolve() if path else page
        if not aim.exists() or (anchor and anchor not in anchors(aim.read_text("utf-8"))):
            dead.append(target)
    return dead


@pytest.mark.parametrize("page", ALL_PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    assert dead_links(page) == []


def test_a_dead_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One, two\n[a](page.md#one-two) [b](#one-two) [c](gone.md) [d](#gone)\n")
    assert dead_links(page) == ["gone.md", "#gone"]


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_page_can_be_reached_from_the_index(tree: Path) -> None:
    reached: set[Path] = set()
    ahead = [tree / "index.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text("utf-8"))
        ahead += [aim for link in links if tree in (aim := (page.parent / link).resolve()).parents]
    assert reached == set(tree.rglob("*.md"))


# ------------------------------------------------------------------------------- completeness


def listed(page: Path) -> list[str]:
    """The codes in the first column of a page's tables."""
    return re.findall(r"^\| `([a-z_]+)` \|", page.read_text("utf-8"), re.MULTILINE)


def errors(root: type[Error] = Error) -> Iterator[type[Error]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("multiturn."):
            yield from errors(child)


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_error_code_is_explained(tree: Path) -> None:
    page = tree / "reference" / "errors.md"
    assert sorted(listed(page)) == sorted(each.code for each in errors())
    rows = re.findall(r"^\| `([a-z_]+)` \| `(\w+)` \|(.*)$", page.read_text("utf-8"), re.MULTILINE)
    assert {(code, kind) for code, kind, _ in rows} == {(each.code, each.__name__) for each in errors()}
    retried = {code for code, _, rest in rows if re.match(r" (yes|是) ", rest)}
    assert retried == {each.code for each in errors() if each.retryable}


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_command_and_option_is_explained(tree: Path) -> None:
    page = (tree / "reference" / "command-line.md").read_text("utf-8")
    commands, options, _ = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    program = command_line("en")
    assert re.findall(r"^\| `([a-z]+)", commands, re.MULTILINE) == list(program.commands)
    explained = {}
    for row in options.splitlines()[2:]:
        flags, users, _ = row.strip("| ").split(" | ", 2)
        explained[tuple(re.findall(r"`([^`]+)`", flags))] = re.findall(r"`([^`]+)`", users)
    real: dict[tuple[str, ...], list[str]] = {}
    for command in program.commands.values():
        for option in command.params:
            if isinstance(option, click.Option) and "--help" not in option.opts:
                real.setdefault(tuple(option.opts), []).append(command.name or "")
    assert explained == real


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_provider_is_explained(tree: Path) -> None:
    page = (tree / "how-to" / "providers.md").read_text("utf-8")
    rows = [
        [re.sub("`", "", cell).strip() for cell in row.split("|")[1:-1]]
        for row in page.splitlines()
        if row.startswith("| `")
    ]
    real = []
    for profile in profiles():
        if profile.get("keys"):
            key, *others = profile["keys"]
            model = profile.get("default_model", "")
            real.append([profile["id"], key, ", ".join(others), profile["base_url_variable"], model])
    assert sorted(rows) == sorted(real)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "README.zh-CN.md"], ids=name)
def test_the_first_page_names_every_provider_with_its_key(page: Path) -> None:
    rows = re.findall(r"^\| `([a-z]+)(?:/…)?` \|.*?\|(.*)\|$", page.read_text("utf-8"), re.MULTILINE)
    named = {provider: re.findall(r"`([A-Z_]+)`", key)[:1] for provider, key in rows}
    assert named == {each["id"]: each.get("keys", [])[:1] for each in profiles() if each["id"] != "scripted"}


def profiles() -> list[dict[str, Any]]:
    """What the catalogue's files say of each provider."""
    folder = ROOT / "src" / "multiturn" / "profiles"
    return [tomllib.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.toml"))]


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_method_is_explained(tree: Path) -> None:
    page = (tree / "reference" / "library.md").read_text("utf-8")
    explained = set(re.findall(r"`(\w+)\(", page))
    for kind in (AsyncMultiTurn, AsyncConversation):
        public = {each for each, _ in inspect.getmembers(kind, inspect.isfunction) if each[0] != "_"}
        assert public - explained == set()
    asking = set(Asking.__annotations__) | set(Sampling.__annotations__)
    assert asking - set(re.findall(r"`(\w+)`", page)) == set()


@pytest.mark.parametrize("tree", [ENGLISH, CHINESE], ids=name)
def test_every_decision_code_is_explained(tree: Path) -> None:
    assert listed(tree / "reference" / "decisions.md") == [code.value for code in Code]
