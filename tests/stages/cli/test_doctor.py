"""``usam doctor``: a line for all that is looked at, a remedy for what is amiss, and no other."""

import shutil
import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Final

import pytest
import torch
from dvc.repo import Repo
from typer.testing import CliRunner, Result

from pipeline.sam.model import Decoded, Sam
from stages.cli import doctor
from stages.cli.app import app
from storage.checkpoints import weights
from storage.head_files.head_file import family_heads

SETTINGS: Final = (Path("params.yaml").resolve(), Path("versions.yaml").resolve())
SHIPPED: Final = family_heads("mini").resolve()

LINES = (
    "torch",
    "device",
    "precision",
    *4 * ("weights",),
    "heads",
    "DVC",
    "click",
)


NO_CLICK: Final = doctor.Finding("click", "not asked")


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begin_project() -> None:
    for file in SETTINGS:
        shutil.copyfile(file, file.name)


def asked(*options: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--device", "cpu", *options])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_where_all_is_well_no_remedy_is_named(precision: str) -> None:
    result = asked("--precision", precision)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["ok", name] for name in LINES]
    assert result.exit_code == 0
    assert list(Path().iterdir()) == []


def no_links(*_: object) -> None:
    raise OSError("Operation not permitted")


def other_masks(sam: Sam, *_: object) -> Decoded:
    nowhere = torch.full((1, 3, sam.mask_size_px, sam.mask_size_px), -1.0)
    tokens = torch.zeros(1, 5, sam.n_channels)
    return Decoded(nowhere, torch.zeros(1, 3), tokens[:, 0], tokens[:, 1:], torch.zeros(1))


FAULTS: Final[dict[str, tuple[str, object, str, str]]] = {
    "links": ("os.link", no_links, "Operation not permitted", "take a disk that has hard links"),
    "click": ("pipeline.sam.model.Sam.decode", other_masks, "1 of the masks", "another torch"),
    "weights": (
        "storage.checkpoints.weights.is_intact",
        lambda *_: False,
        "damaged",
        "run git -C ",
    ),
    "heads": ("storage.head_files.tensors.UNSIGNED", "1" * 64, "no predictions", "mended"),
    "disk": ("stages.cli.doctor.LEAST_FREE_BYTES", 1 << 62, "free", "usam cache clean"),
}
"""What is put in the place of what, what is then found, and the remedy."""


def test_disk_and_links_are_checked_in_a_project_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)
    for what in ("disk", "links"):
        target, fault, *_ = FAULTS[what]
        monkeypatch.setattr(target, fault)
    assert asked().exit_code == 0
    begin_project()
    amiss = [line.split()[1] for line in asked().stdout.splitlines() if line.startswith("!!")]
    assert amiss == ["disk", "links"]


@pytest.mark.parametrize("what", FAULTS)
def test_what_is_amiss_has_a_remedy(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_project()
    target, fault, found, remedy = FAULTS[what]
    monkeypatch.setattr(target, fault)
    if what == "weights":  # damaged ones would not be loaded
        monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)
    result = asked()
    lines = result.stdout.splitlines()
    amiss = [i for i, line in enumerate(lines) if line.startswith("!!")]
    assert {lines[i].split()[1] for i in amiss} == {what}
    assert all(found in lines[i] and remedy in lines[i + 1] for i in amiss)
    assert result.exit_code == 1


def test_dvc_that_is_not_installed_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("stages.cli.doctor.version", absent)
    monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)
    Path("dvc.yaml").touch()
    result = asked()
    assert result.stdout.splitlines()[-2] == (
        "ok  DVC          not installed: dvc repro needs it, usam run does not"
    )
    assert result.exit_code == 0


def test_the_remedies_for_a_folder_that_dvc_does_not_know_let_dvc_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)
    Path("dvc.yaml").touch()
    for commands in ("git init and dvc init", "git init"):
        assert asked().stdout.splitlines()[-2] == f"    run {commands}"
        subprocess.run(["git", "init", "--quiet"], check=True)
        if "dvc init" in commands:
            Repo.init().close()
        assert asked().exit_code == 0
        with Repo() as repo:
            assert repo.status() == {}
        shutil.rmtree(".git")  # as in the archive of a release


def test_weights_that_are_not_there_have_the_command_that_fetches_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)  # minutes
    result = asked("--family", "sam2.1")
    for record in weights.checkpoints("sam2.1"):
        assert f"run usam checkpoints fetch sam2.1 --model {record.model}" in result.stdout
    assert result.exit_code == 1


@pytest.mark.parametrize(
    ("options", "mark", "fact", "remedy"),
    [
        (["--heads", str(SHIPPED)], "ok", "from shapes_train, for tiny, small", ""),
        (["--precision", "bf16"], "ok", "no predictions: heads in", ""),
        (
            ["--precision", "bf16", "--heads", str(SHIPPED)],
            "!!",
            "precision (fp32 -> bf16)",
            "name other heads",
        ),
        (
            ["--family", "sam2.1"],
            "ok",
            "heads        none: there are no heads of sam2.1, so nothing is",
            "",
        ),
        (["--family", "sam2.1", "--heads", str(SHIPPED)], "!!", "mini -> sam2.1", "of sam2.1"),
    ],
    ids=lambda case: " ".join(case) if isinstance(case, list) else "",
)
def test_only_heads_that_were_named_must_fit(
    options: list[str], mark: str, fact: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stages.cli.doctor._click", lambda *_: NO_CLICK)
    lines = asked(*options).stdout.splitlines()
    (number,) = (i for i, line in enumerate(lines) if line.split()[1] == "heads")
    assert lines[number].startswith(mark)
    assert fact in lines[number]
    assert remedy in lines[number + 1]


def test_the_named_model_answers_the_click() -> None:
    result = asked("--model", "small", "--heads", str(SHIPPED))
    assert "click        mini small: differs" in result.stdout
    assert result.stdout.count("ok  weights") == 1  # others may not be there
    assert result.exit_code == 0


def test_a_gpu_that_torch_does_not_see_ends_it_before_the_click() -> None:
    result = CliRunner().invoke(app, ["doctor", "--device", "cuda"])
    assert "!!  device" in result.stdout
    assert "ask for the device auto" in result.stdout
    assert "click" not in result.stdout


def test_only_where_the_cpu_was_not_asked_for_is_an_unused_gpu_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exists = Path.exists
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == "/dev/nvidia0" or exists(path))
    assert not doctor._device("cpu").remedy
    for setting in ("auto", "cuda"):
        remedy = doctor._device(setting).remedy
        assert "install a torch that is built for its driver, this one is for " in remedy
