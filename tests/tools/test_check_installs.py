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
        if command[0] == "du":
            return f"7\t{command[-1]}\n"
        if "build" in command:
            dist = Path(command[command.index("--out-dir") + 1])
            dist.mkdir()
            for name in ("usam_cache.whl", "usam_cache.tar.gz"):
                (dist / name).touch()
        if "venv" in command:
            Path(command[-1]).mkdir()
        return "one\ntwo\nthree\n"


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


def test_a_failed_installation_is_told_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--extras", "", "dvc", "--pythons", "3.11", "--distributions", "sdist")
    status, fake = run(monkeypatch, tmp_path, *options, refused="lowest-direct --extra dvc")

    assert status == 1
    printed = capsys.readouterr().out
    assert "dvc-3.11-lowest-sdist: **failed**: no such version\n" in printed
    assert "3 of 4 installations that were tried work." in printed
    assert "\n| extra | 3.11 |\n" in printed
    assert (
        "\n| none | wheel not tried, sdist 1, 7 MB / wheel not tried, sdist 1, 7 MB |\n" in printed
    )
    assert "\n| `stages` | not tried |\n" in printed
    assert " / wheel not tried, sdist **failed** |\n" in printed
    trials = [line for line in fake.commands if " -I -c " in line]
    (wheels,) = [line for line in fake.commands if " pip wheel " in line]
    assert "--no-build-isolation" in wheels
    assert all(f" {name}>=" in wheels for name in WITHOUT_WHEELS)
    assert [line.partition(" -c ")[2] for line in trials] == [
        f"import usam_cache\n{TRIALS[extra]}" for extra in ("", "", "dvc")
    ]
    assert {path.name for path in tmp_path.iterdir()} == {"built", "outcomes.csv"}


def test_a_run_that_goes_on_tries_what_failed_and_what_is_missing_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "api.md"
    page.write_text("<!-- installs -->\n<!-- /installs -->\n", "utf-8")
    monkeypatch.setattr(check_installs, "PAGE", page)
    options = ("--extras", "", "dvc", "--pythons", "3.9", "3.11", "--versions", "newest")
    run(monkeypatch, tmp_path, *options, refused="highest --extra dvc")
    more = (*options, "lowest", "--resume", "--write")
    status, fake = run(monkeypatch, tmp_path, *more, refused="nothing is")

    assert status == 0
    installed = [line for line in fake.commands if "pip install" in line and "-r" in line.split()]
    assert not [line for line in installed if "highest" in line and "--extra" not in line]
    assert len(installed) == 6
    before, *lines, after = page.read_text("utf-8").splitlines()
    assert (before, after) == ("<!-- installs -->", "<!-- /installs -->")
    assert "16 of 16 installations that were tried work." in lines
    assert "| extra | 3.9 | 3.11 |" in lines
    assert "| `dvc` | 1, 7 MB / 1, 7 MB | 1, 7 MB / 1, 7 MB |" in lines


def test_versions_are_chosen_without_an_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--resolve-only", "--pythons", "3.14")
    status, fake = run(monkeypatch, tmp_path, *options, refused="nothing is")

    assert status == 0
    assert all("uv pip compile" in line for line in fake.commands)
    assert len(fake.commands) == 2 * len(TRIALS)
    printed = capsys.readouterr().out
    assert "predict-3.14-newest-wheel: 3 packages, not installed\n" in printed
    assert "work; versions were chosen for 36 more, *in italics*." in printed
    assert "| `predict` | *3* / *3* |" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["outcomes.csv"]

    installed = ("--resume", "--extras", "dvc", "--pythons", "3.14", "--distributions", "wheel")
    run(monkeypatch, tmp_path, *installed, refused="nothing is")
    printed = capsys.readouterr().out
    assert "2 of 2 installations that were tried work; versions were chosen for 34 more" in printed


def test_every_extra_is_tried_and_what_must_be_compiled_is_refused() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert TRIALS.keys() == {"", *extras} - {"dev"}
    installation = check_installs.Installation("predict", "3.13", "lowest", "wheel")
    options = check_installs.requirements(installation, ROOT / "pyproject.toml")
    assert {"pandas", "torch", "zarr"} <= {*options}
    assert not {"usam-cache", *WITHOUT_WHEELS} & {*options}
