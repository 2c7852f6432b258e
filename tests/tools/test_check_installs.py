"""Installations are tried one by one: a failed one is told and removed, and the others go on."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.environments import PYPROJECT
from tools import check_installs
from tools.check_installs import TRIALS, WITHOUT_WHEELS


class FakeInstaller:
    """Answers the commands of the tool, and notes them; a command with ``refused`` fails."""

    def __init__(self, refused: str) -> None:
        self.refused = refused
        self.commands: list[str] = []

    def __call__(self, *command: str) -> str:
        line = " ".join(command)
        self.commands.append(line)
        if self.refused in line:
            raise subprocess.CalledProcessError(1, command, stderr="Resolving\nno such version\n")
        if "build" in command:
            dist = Path(command[command.index("--out-dir") + 1])
            dist.mkdir()
            for name in ("usam_cache.whl", "usam_cache.tar.gz"):
                (dist / name).touch()
        if "venv" in command:
            Path(command[-1]).mkdir()
        return ""


def run(
    patch: pytest.MonkeyPatch, folder: Path, *options: str, refused: str
) -> tuple[int, FakeInstaller]:
    """Run the tool with a fake installer; returns its exit status and the installer."""
    fake = FakeInstaller(refused)
    patch.setattr(check_installs, "FOLDER", folder)
    patch.setattr(check_installs, "_run", fake)
    patch.setattr(sys, "argv", ["check_installs", *options])
    with pytest.raises(SystemExit) as ended:
        check_installs.main()
    assert isinstance(ended.value.code, int)
    return ended.value.code, fake


def test_a_failed_environment_is_told_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--extras", "", "dvc", "--pythons", "3.11")
    status, fake = run(monkeypatch, tmp_path, *options, refused="lowest-direct --extra dvc")

    assert status == 1
    printed = capsys.readouterr().out
    assert printed.splitlines() == [
        "base-3.11-newest: works",
        "base-3.11-lowest: works",
        "dvc-3.11-newest: works",
        "dvc-3.11-lowest: no such version",
    ]
    trials = [line for line in fake.commands if " -I -c " in line]
    (wheels,) = [line for line in fake.commands if " pip wheel " in line]
    assert "--no-build-isolation" in wheels
    assert all(f" {name}>=" in wheels for name in WITHOUT_WHEELS)
    assert [line.partition(" -c ")[2] for line in trials] == [
        f"import usam_cache\n{TRIALS[extra]}" for extra in ("", "", "", "", "dvc", "dvc")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"built"}


def test_an_sdist_that_fails_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--extras", "", "--pythons", "3.11")
    status, _ = run(
        monkeypatch,
        tmp_path,
        *options,
        refused="--reinstall " + str(tmp_path) + "/built/dist/usam_cache.tar",
    )
    assert status == 1
    assert capsys.readouterr().out.count(": no such version\n") == 2


def test_every_extra_is_tried_and_what_must_be_compiled_is_refused() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert TRIALS.keys() == {"", *extras} - {"dev"}
    environment = check_installs.Environment("predict", "3.13", "lowest")
    options = check_installs.requirements(environment, ROOT / "pyproject.toml")
    assert {"pandas", "torch", "zarr"} <= {*options}
    assert not {"usam-cache", *WITHOUT_WHEELS} & {*options}
