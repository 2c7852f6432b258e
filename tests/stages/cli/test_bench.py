"""``usam bench`` on the mini models."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.vocabulary import PROMPTS
from stages.cli.app import app
from stages.extraction.timing import SPEED
from tests.fixtures.dvc_stages import ROOT
from tests.fixtures.settings import write_versions


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one mini model with random weights."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params |= {"models": ["tiny"], "train_splits": []}
    params["extract"] |= {"family": "mini", "weights": "random-0", "device": "cpu"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    write_versions(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_extraction_is_timed_by_part_in_a_table_for_an_issue(root: Path) -> None:
    options = ("--images", "2", "--encoder-batch", "2", "--precision", "bf16")
    result = CliRunner().invoke(app, ["bench", "extraction", "--view", "jpeg10", *options])
    assert result.exit_code == 0, result.output
    header, rule, row, _, facts = result.output.splitlines()
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert header.count("|") == rule.count("|") == row.count("|") == len(SPEED) + 2
    by_column = dict(zip(("model", *SPEED), cells, strict=True))
    assert by_column["model"] == "tiny"
    shares = [int(by_column[part].rstrip("%")) for part in ("encoder", "decoder", "scoring")]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert all(share > 0 for share in shares)
    assert all(float(by_column[part]) > 0 for part in ("reading", "writing"))
    assert 0.1 < float(by_column["over the bare model"]) < 100
    assert float(by_column["prompt sets/s"]) > 4 * len(PROMPTS) * float(by_column["images/s"])
    for fact in (
        "mini, bf16, random weights",
        "batches of 2 and auto",
        "2 drawn scenes in view jpeg10",
    ):
        assert fact in facts
    assert sorted(path.name for path in root.iterdir()) == ["params.yaml", "versions.yaml"]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("option", "message"),
    [("--view", "view must be one of identity, vflip, "), ("--model", "model must be one of tiny")],
)
def test_an_extraction_in_an_unknown_view_or_by_an_unknown_model_is_refused(
    option: str, message: str
) -> None:
    result = CliRunner().invoke(app, ["bench", "extraction", option, "fog"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {message}")
