"""``usam checkpoints``: what it prints, downloads and refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from pipeline.sam.families import FAMILIES
from stages.cli.app import app
from stages.cli.checkpoints import download_bar
from storage.checkpoints import weights
from tests.fixtures.mini import MODELS


def usam_checkpoints(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["checkpoints", *arguments])


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


def test_a_download_ends_at_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    total, chunk = 155_906_050, 1 << 20
    with download_bar("fetch sam2 tiny", total) as advance:
        for first in range(0, total, chunk):
            advance(min(chunk, total - first))
    err = capsys.readouterr().err
    assert err.startswith("fetch sam2 tiny: 156/156 MB, ")
    assert err.count("\n") == 1
