"""Signals end a program with one line and the status that shells expect, whatever it is at."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from stages.program import stopping

ROOT: Final = Path(__file__).parents[3]

START: Final = """
import threading, time
from stages.program.stopping import listen, stoppable

def swallow():
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

listen()
"""

WORK: Final = """
with stoppable(), stoppable("the first half is kept in here"):
    try:
        print("at work", flush=True)
        {work}
    finally:
        print("cleaned up", flush=True)
"""

PATIENCE_S: Final = 120.0

STATUS: Final = {signal.SIGINT: 130, signal.SIGTERM: 143}

KEPT: Final = "the first half is kept in here; run it again to go on"
NOTHING: Final = "no file is half-written; run it again"


def stopped(program: str, *numbers: signal.Signals) -> tuple[int, list[str], list[str]]:
    """Status, stdout and stderr of a program that is sent a signal at each line that it says."""
    with subprocess.Popen(
        [sys.executable, "-c", START + program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None
        printed = ""
        for number in numbers:
            printed += process.stdout.readline()
            process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, (printed + out).splitlines(), err.splitlines()


@pytest.mark.parametrize(
    ("number", "work"),
    [
        pytest.param(signal.SIGINT, "while True: pass", id="in Python"),
        pytest.param(
            signal.SIGTERM,
            "thread = threading.Thread(target=swallow); thread.start(); thread.join()",
            id="waiting for a thread",
        ),
    ],
)
def test_work_is_left_in_order_and_told_of_in_one_line(number: signal.Signals, work: str) -> None:
    status, out, err = stopped(WORK.format(work=work), number)
    assert (status, out) == (STATUS[number], ["at work", "cleaned up"])
    assert err == [f"stopped by {number.name}: {KEPT}"]


def test_asked_twice_a_program_ends_at_once() -> None:
    program = WORK.format(work="time.sleep(60)") + "        swallow()\n"
    status, out, err = stopped(program, signal.SIGINT, signal.SIGINT)
    assert (status, out, err) == (130, ["at work", "cleaned up"], [f"stopped by SIGINT: {KEPT}"])


def test_a_program_that_has_not_begun_its_work_ends_in_one_line() -> None:
    status, _, err = stopped("print('importing', flush=True); time.sleep(60)", signal.SIGTERM)
    assert (status, err) == (143, [f"stopped by SIGTERM: {NOTHING}"])


@pytest.mark.parametrize(
    ("module", "first"), [("stages.shapes", "pydantic"), ("stages.cli", "typer")]
)
def test_a_signal_is_heard_while_modules_are_imported(
    tmp_path: Path, module: str, first: str
) -> None:
    (tmp_path / f"{first}.py").write_text(
        "print('importing', flush=True); import time; time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-m", module],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, f"stopped by SIGINT: {NOTHING}\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGUSR1, 0)])
def test_work_that_a_batch_system_starts_again_ends_with_status_0(
    number: signal.Signals, status: int
) -> None:
    program = WORK.format(work="time.sleep(60)").replace(
        "stoppable(),", "stoppable(is_requeued=True),"
    )
    ended, _, err = stopped(program, number)
    assert (ended, err) == (status, [f"stopped by {number.name}: {KEPT}"])


def test_a_module_of_a_missing_extra_is_named_and_any_other_error_stays(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit, match="1"), stopping.naming_extras():
        raise ModuleNotFoundError(name="smac.facade")
    assert capsys.readouterr().err.endswith("pip install 'usam-cache[stages]'\n")
    with pytest.raises(ModuleNotFoundError), stopping.naming_extras():
        raise ModuleNotFoundError(name="nobody_knows_it")


def test_a_stage_without_its_packages_names_the_python_and_the_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "find_spec", lambda _: None)
    with pytest.raises(SystemExit, match=f"got {sys.executable}: activate it first"):
        stopping.begin_stage()
    monkeypatch.setattr(stopping, "find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(SystemExit, match=r"torch must be installed, .*usam-cache\[predict\]"):
        stopping.begin_stage()
