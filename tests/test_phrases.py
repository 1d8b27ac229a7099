"""Does every sentence exist in both languages, with the same figures?"""

from __future__ import annotations

import ast
import copy
import errno
import inspect
import pickle
import re
from pathlib import Path
from string import Formatter

import pytest

import multiturn
from multiturn import errors, phrases
from multiturn.decision import Code

ERRORS = [c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.Error)]
SENTENCES = [key for key in phrases.table() if not key.startswith("error.")]


def specs(form: str) -> set[tuple[str, str]]:
    """The figures of a sentence with the way each is written."""
    return {(name, spec or "") for _, name, spec, _ in Formatter().parse(form) if name is not None}


@pytest.mark.parametrize("key", SENTENCES)
def test_both_languages_say_the_same(key: str) -> None:
    entry = phrases.table()[key]
    assert set(entry) == {"en", "zh"}
    assert len(entry["en"]) == len(entry["zh"])
    for english, chinese in zip(entry["en"], entry["zh"], strict=True):
        assert english.strip()
        assert chinese.strip()
        assert specs(english) == specs(chinese)


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.code)
def test_every_error_has_a_chinese_sentence_with_the_same_figures(cls: type[errors.Error]) -> None:
    chinese = phrases.table()[f"error.{cls.code}"]["zh"][0]
    assert phrases.placeholders(chinese) == phrases.placeholders(cls.sentence())
    assert any("一" <= letter <= "鿿" for letter in chinese)


def test_the_table_holds_no_sentence_of_an_error_that_does_not_exist() -> None:
    assert {key for key in phrases.table() if key.startswith("error.")} == {
        f"error.{cls.code}" for cls in ERRORS
    }


CALLS = [
    (path.name, node)
    for path in Path(multiturn.__file__).parent.rglob("*.py")
    for node in ast.walk(ast.parse(path.read_text("utf-8")))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
]


def test_no_error_is_raised_with_words_of_one_language() -> None:
    """What a detail says stands in the table, so that both languages are whole."""
    names = {cls.__name__ for cls in ERRORS}
    wordy = [
        f"{file}:{node.lineno}"
        for file, node in CALLS
        if node.func.id in names  # type: ignore[attr-defined]  # a name, see above
        and any(isinstance(value, ast.Constant | ast.JoinedStr) for value in node.args)
    ]
    assert wordy == []


def test_every_reason_is_in_the_table_and_gets_its_figures() -> None:
    reasons = [(file, node) for file, node in CALLS if ast.unparse(node.func) == "Reason"]
    assert len(reasons) > 100
    for file, node in reasons:
        if isinstance(code := node.args[0], ast.Constant):
            (form,) = phrases.table()[str(code.value)]["en"]
            figures = {keyword.arg for keyword in node.keywords}
            assert phrases.placeholders(form) <= figures, f"{file}:{node.lineno}"


def test_the_table_holds_no_reason_that_nobody_gives() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(multiturn.__file__).parent.rglob("*.py"))
    names = [code.removeprefix("why.") for code in phrases.table() if code.startswith("why.")]
    forms = {name: (f'why.{name}"', f'"{name}"', f'"{name.partition("_")[2]}"') for name in names}
    assert [name for name, written in forms.items() if not any(form in sources for form in written)] == []


@pytest.mark.parametrize("language", phrases.LANGUAGES)
@pytest.mark.parametrize("code", list(Code))
def test_every_decision_can_be_told_without_figures(code: Code, language: str) -> None:
    assert phrases.decision_reason(code, {}, language)
    assert phrases.decision_reason(code, {"score": "?", "needed": "?", "limit": "?"}, language)


def test_every_note_of_a_window_can_be_told() -> None:
    sources = "".join(path.read_text("utf-8") for path in Path(multiturn.__file__).parent.rglob("*.py"))
    codes = re.findall(r'notes=\("(\w+)"', sources)
    assert codes
    assert [code for code in codes if f"note.{code}" not in phrases.table()] == []


def test_a_decision_names_the_figures_that_decided() -> None:
    figures = {"needed": 9000, "limit": 8000}
    assert phrases.decision_reason("over_budget", figures) == "the window would need 9,000 of 8,000 tokens"
    assert phrases.decision_reason("over_budget", figures, "zh") == "窗口将需要 9,000 个 token，上限 8,000"
    assert "20 messages" in phrases.decision_reason("outside_window", {"messages": 20})
    assert "10 turns" in phrases.decision_reason("outside_window", {"turns": 10})


def test_an_error_is_told_in_the_language_of_the_reader() -> None:
    error = errors.KeyMissing(provider="Qwen", variable="DASHSCOPE_API_KEY")
    assert phrases.error_sentence(error) == str(error)
    assert "DASHSCOPE_API_KEY" in phrases.error_sentence(error, "zh")
    assert "需要 API 密钥" in phrases.error_sentence(error, "zh")
    assert phrases.error_sentence(error, "fr") == str(error)


def test_a_reason_within_a_reason_is_told_in_the_language_of_the_reader() -> None:
    inner = phrases.Reason("why.share", name="high", value="7")
    error = errors.SettingInvalid(phrases.Reason("setting.policy", problem=inner, origin="x"), name="high")
    assert "high is a share of the budget above 0 and at most 1, not 7 (x)" in str(error)
    assert "high 是预算的比例，大于 0 且不超过 1，而不是 7（来自 x）" in phrases.error_sentence(error, "zh")


def test_a_reason_can_be_copied_and_sent_to_another_process() -> None:
    reason = phrases.Reason("why.share", name="high", value="7")
    for twin in (copy.deepcopy(reason), pickle.loads(pickle.dumps(reason))):
        assert (twin, twin.told("zh")) == (reason, reason.told("zh"))


@pytest.mark.parametrize(
    ("error", "english", "chinese"),
    [
        (FileNotFoundError(errno.ENOENT, "x"), "no such file or folder", "没有这个文件或文件夹"),
        (OSError(errno.ENOSPC, "x"), "no space left on the disk", "磁盘空间不足"),
        (OSError(errno.EXDEV, "across devices"), "across devices", "across devices"),
        (OSError("in words only"), "in words only", "in words only"),
        (OSError(), "OSError", "OSError"),
    ],
)
def test_the_operating_system_is_quoted_where_it_is_not_translated(
    error: OSError, english: str, chinese: str
) -> None:
    reason = phrases.system_reason(error)
    assert reason == english
    assert phrases.phrase("failure.system", "zh", problem=reason) == f"系统拒绝了操作：{chinese}"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LC_ALL": "", "LANG": "zh"}, "zh"),
        ({"MULTITURN_LANG": "zh", "LC_ALL": "en_US.UTF-8"}, "zh"),
        ({"MULTITURN_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
    ],
)
def test_the_language_comes_from_the_environment(environment: dict[str, str], expected: str) -> None:
    assert phrases.language(environment) == expected
