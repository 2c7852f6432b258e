"""Errors that a person can act on are one line; faults of ours keep their traceback."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from stages.program.main import one_line, stage_main
from stages.settings.parsing import ParamsError
from storage.errors import DataError, ImageError, StoreError, WeightsError
from tests.fixtures.dvc_stages import ROOT


def run(
    main: Callable[..., None], *arguments: str, monkeypatch: pytest.MonkeyPatch
) -> int | str | None:
    """Status with which the program of ``main`` ends."""
    monkeypatch.setattr(sys, "argv", ["stage", *arguments])
    try:
        stage_main(main)()
    except SystemExit as end:
        return end.code
    return 0


@pytest.mark.parametrize(
    "arguments",
    [("val", "7"), ("--split", "val", "--model", "7"), ("--model", "7", "--split", "val")],
    ids=["in order", "by name", "by name in another order"],
)
def test_arguments_reach_main_as_text(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, str]] = []

    def main(split: str, model: str) -> None:
        seen.append((split, model))

    assert run(main, *arguments, monkeypatch=monkeypatch) == 0
    assert seen == [("val", "7")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "error: arguments must be SPLIT MODEL, got none\n"),
        (
            ("--split", "val", "--view", "x"),
            "error: arguments must be SPLIT MODEL, got --split val --view x\n",
        ),
    ],
    ids=["too few", "another name"],
)
def test_arguments_that_do_not_fit_name_the_ones_that_do(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def main(split: str, model: str) -> None:
        raise AssertionError((split, model))

    assert run(main, *arguments, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == message


@pytest.mark.parametrize(
    "kind", [ParamsError, DataError, ImageError, StoreError, WeightsError, OSError]
)
def test_our_errors_are_one_line_and_status_1(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main() -> None:
        raise kind("views must be known,\n  got 'x'\n")

    assert run(main, monkeypatch=monkeypatch) == 1
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: views must be known, got 'x'\n")


def test_faults_of_ours_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(main, monkeypatch=monkeypatch)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left", "cache/work"), "cache/work: No space left"),
        (OSError(errno.ENOENT, "No such file", "a", None, "b"), "a -> b: No such file"),
        (OSError("no name"), "no name"),
        (OSError(errno.EIO, "Input/output error"), "[Errno 5] Input/output error"),
        (StoreError(), "StoreError"),
        (StoreError("a\x1b[2J\rb\nc\u202e"), r"a\x1b[2J b c\u202e"),
    ],
    ids=["file", "files", "text", "number", "empty", "control characters"],
)
def test_an_error_says_what_it_has_in_a_line(error: Exception, text: str) -> None:
    assert one_line(error) == text


def test_the_python_of_another_environment_is_named() -> None:
    # Without -S, the packages of this environment would be there.
    command = (sys.executable, "-S", "-m", "stages.report")
    environment = {"PATH": os.environ["PATH"]}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "error: python must be that of the environment where usam-cache is installed, got "
        f"{sys.executable}: activate it first (source .venv/bin/activate)\n"
    )


NO_UTF_8 = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}

STARTS = {
    "stages": r"""
import sys
sys.argv, sys.orig_argv = ['-m'], ['python', '-m', 'stages.report']
import stages
print('\u0394 \u22121')""",
    "usam": r"""
import stages.cli.app
stages.cli.app.app = lambda: print('\u0394 \u22121')
from stages.cli.__main__ import main
main()""",
}
"""How programs begin."""


@pytest.mark.parametrize("program", STARTS.values(), ids=STARTS)
def test_a_terminal_without_utf_8_shows_escapes(program: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | NO_UTF_8,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, r"\u0394 \u22121" + "\n", "")
