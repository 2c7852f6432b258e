"""``usam checkpoints``: what it prints, downloads and refuses."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.sam.families import FAMILIES, models_of
from stages.cli.checkpoints import app, download_bar
from storage.checkpoints import weights
from tests.fixtures.mini import MODELS


def usam_checkpoints(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(autouse=True)
def _empty_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Models that were asked for, in order; nothing is downloaded."""
    models: list[str] = []

    def fetch(record: weights.Checkpoint, *, advance: Callable[[int], None]) -> Path:  # noqa: ARG001
        models.append(record.model)
        return record.path

    monkeypatch.setattr(weights, "fetch", fetch)
    return models


@pytest.mark.parametrize(
    ("arguments", "models", "families"),
    [
        (("sam2.1",), list(MODELS), ["sam2.1"]),
        (("sam2", "--model", "large", "--model", "tiny"), ["large", "tiny"], ["sam2"]),
    ],
    ids=["all", "named"],
)
def test_fetch_takes_the_models_and_names_the_licences(
    arguments: tuple[str, ...], models: list[str], families: list[str], fetched: list[str]
) -> None:
    result = usam_checkpoints("fetch", *arguments)
    assert result.exit_code == 0
    assert fetched == models
    assert result.stdout.count(" is intact\n") == len(models)
    licences = [line for line in result.stdout.splitlines() if line.startswith("licence")]
    assert licences == [
        f"licence of the weights: {FAMILIES[family].licence}" for family in families
    ]


def test_verify_lists_every_family_and_takes_missing_files_as_fine() -> None:
    result = usam_checkpoints("verify")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["family", "model", "file", "MB", "state"]
    assert len(lines) == 1 + sum(len(models_of(family)) for family in FAMILIES)
    tiny = ["sam2.1", "tiny", "checkpoints/sam2.1/sam2.1_hiera_tiny.pt", "156", "missing"]
    assert tiny in lines


def test_verify_exits_1_on_a_damaged_file_and_still_lists_the_others() -> None:
    path = weights.checkpoint("sam2", "tiny").path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not the listed file")
    result = usam_checkpoints("verify", "sam2")
    assert result.exit_code == 1
    states = [line.split()[-1] for line in result.stdout.splitlines()[1:]]
    assert states == ["damaged", "missing", "missing", "missing"]
    assert "usam checkpoints fetch sam2 --model tiny" in result.stderr


def test_a_download_ends_at_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    total, chunk = 155_906_050, 1 << 20
    with ExitStack() as stack:
        advance = download_bar("fetch sam2 tiny", total, stack)
        for first in range(0, total, chunk):
            advance(min(chunk, total - first))
    err = capsys.readouterr().err
    assert err.startswith("fetch sam2 tiny: 156/156 MB, ")
    assert err.count("\n") == 1
