"""Heads in the form that the paper's authors publish: what they say, and what is refused."""

import csv
import pickle
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner, Result

from stages.cli.heads import app
from stages.predictor.command_options import ModelOptions
from stages.predictor.loading import load_predictor
from stages.predictor.published import THEIR_NAMES, read_published
from storage.checkpoints.weights import checkpoint
from storage.errors import WeightsError
from storage.folders import sha256_file
from storage.head_files import published_heads
from storage.head_files.head_file import read_head_file, write_head_file
from tests.fixtures.file_server import file_server
from tests.fixtures.mini import MODELS
from tests.fixtures.predictors import drawn, trained_mini

NAMES: Final = (
    *("iou_tiny", "iou_small", "iou_base_plus", "iou_large", "iou_dense_prompt"),
    *("iou_unsupervised", "model_gap", "prompt_gap", "task_gap"),
)
CHANNELS: Final = 64
LARGE: Final = Path("theirs/iou_large/model.pth")


class TheirMlp(nn.Module):
    """As the design has it: ``layers.{0,1,2}``, ReLU between, sigmoid at the end."""

    def __init__(self, hidden: int = 512) -> None:
        super().__init__()
        widths = [2 * CHANNELS, hidden, hidden, 1]
        self.layers = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return torch.sigmoid(self.layers[-1](x))


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, TheirMlp]:
    """A folder ``theirs`` with nine heads."""
    monkeypatch.chdir(tmp_path)
    heads = {}
    for i, name in enumerate(NAMES):
        torch.manual_seed(i)
        heads[name] = TheirMlp()
        path = Path("theirs", name, "model.pth")
        path.parent.mkdir(parents=True)
        torch.save(heads[name].state_dict(), path)
    return heads


def join(family: str = "mini") -> None:
    """Write the heads of ``theirs`` as one file."""
    write_head_file(Path("own.safetensors"), read_published(Path("theirs"), family))


def test_they_say_what_a_loop_in_plain_torch_says(published: dict[str, TheirMlp]) -> None:
    join()
    predictor = load_predictor("mini", "tiny", heads="own.safetensors")
    predictor.set_image(drawn())
    found = predictor.predict_uncertainty([[120.0, 80.5]], [1])
    sam = trained_mini()
    decoded = sam.decode(sam.encode(drawn()), np.array([[[120.0, 80.5]]], np.float32))
    for k in range(3):
        # Mask token k, where ours read k + 1.
        x = torch.cat([decoded.iou_token[0], decoded.mask_token[0, k]])
        with torch.no_grad():
            said = {name: float(head(x)) for name, head in published.items()}
        iou, gap, direct = found.expected_iou, found.gap, found.direct_gap
        ours = {
            "iou_dense_prompt": iou.refined[k],
            "iou_unsupervised": iou.selected[k],
            "model_gap": direct["model"][k] + 0.5,
            "prompt_gap": direct["prompt"][k] + 0.5,
            **{f"iou_{model}": iou.models[model][k] for model in MODELS},
        }
        del said["task_gap"]  # these heads compare no proposals
        assert ours == pytest.approx(said, abs=1e-6)
        assert iou.own[k] == pytest.approx(said["iou_tiny"], abs=1e-6)
        assert gap["prompt"][k] == pytest.approx(
            said["iou_dense_prompt"] - said["iou_tiny"], abs=1e-6
        )
        assert "task" not in gap
        assert "task" not in direct


class Dangerous:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return Path("theirs/ran").mkdir, ()  # type: ignore[return-value]


def save(content: object) -> None:
    torch.save(content, LARGE)


def changed(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    return TheirMlp().state_dict() | {k.replace("__", "."): v for k, v in tensors.items()}


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (LARGE.unlink, "published heads must have "),
        (lambda: save(TheirMlp(hidden=256).state_dict()), "must be 512 wide, got 256"),
        (lambda: save(changed(extra=torch.ones(1))), "hold the tensors of a head, got: head iou"),
        (lambda: save([1, 2]), "must hold the tensors of a head, got: 'list' object"),
        (lambda: save(changed(layers__0__weight=torch.zeros(1, 1).to_sparse())), "got: can't conv"),
        (lambda: save({"layers.0.weight": Dangerous()}), "must hold the tensors of a head, got: "),
        (lambda: LARGE.write_bytes(pickle.dumps(Dangerous())), "must hold the tensors of a head"),
    ],
)
def test_what_is_no_such_set_is_refused_by_name_and_runs_nothing(
    spoil: Callable[[], object], message: str
) -> None:
    spoil()
    with pytest.raises(WeightsError, match=message) as refused:
        join()
    assert str(LARGE) in str(refused.value)
    assert not Path("theirs/ran").exists()


def test_a_file_in_place_of_their_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs.zip").write_bytes(b"PK")
    with pytest.raises(WeightsError, match=r"must have .*zip/iou_tiny/model\.pth, got no such"):
        read_published(tmp_path / "theirs.zip", "sam2.1")


@pytest.mark.parametrize("family", ["sam2", "sam2.1"])
def test_the_nine_heads_of_a_release_are_listed_with_their_digests(family: str) -> None:
    heads = published_heads.published_heads(family)
    assert sorted(head.name for head in heads) == sorted(THEIR_NAMES.values()) == sorted(NAMES)
    assert all(re.fullmatch("[0-9a-f]{64}", head.sha256) for head in heads)
    assert len({head.sha256 for head in heads}) == len(heads)
    folders = {Path(head.path_in_repository).parts[:-2] for head in heads}
    assert folders == {("models", "mlps", {"sam2": "sam2.0"}.get(family, family))}
    assert re.fullmatch("[0-9a-f]{40}", published_heads.COMMIT)


@pytest.fixture
def served(
    published: dict[str, TheirMlp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """URL of a server of ``theirs``, which a table lists as the heads of ``sam2.1``."""
    table = tmp_path / "table.csv"
    with table.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(("family", "name", "path", "bytes", "sha256"))
        for name in published:
            path = Path(name, "model.pth")
            file = Path("theirs") / path
            writer.writerow(("sam2.1", name, path, file.stat().st_size, sha256_file(file)))
    monkeypatch.setattr(published_heads, "TABLE", table)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with file_server(tmp_path / "theirs") as url:
        monkeypatch.setattr(published_heads, "BASE_URL", url)
        yield url


FETCHED: Final = Path("checkpoints/heads/sam2.1.safetensors")


def usam_fetch(family: str = "sam2.1") -> Result:
    return CliRunner().invoke(app, ["fetch", family])


@pytest.mark.usefixtures("served")
def test_the_command_that_a_note_names_fetches_and_joins_the_heads() -> None:
    assert "`usam heads fetch sam2.1` brings those that" in ModelOptions("sam2.1").choose().no_heads
    result = usam_fetch()
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(f"{FETCHED}: 9 heads, ")
    assert "GreenAutoML4FAS/UncertainSAM at commit 42226ecd, which states no licence" in (
        result.stderr
    )
    join("sam2.1")
    assert ModelOptions("sam2.1").choose().heads == FETCHED
    assert FETCHED.read_bytes() == Path("own.safetensors").read_bytes()
    card = read_head_file(FETCHED).card
    assert (card["family"], card["protocol"], card["split"]) == ("sam2.1", "best", "published")
    assert card["weights_tiny"] == checkpoint("sam2.1", "tiny").sha256


def test_a_fetch_that_broke_off_goes_on_with_the_heads_that_lack(served: str) -> None:
    LARGE.rename("large.pth")
    result = usam_fetch()
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    kept = Path("checkpoints/heads/sam2.1")
    assert line.startswith(
        f"error: {served}/iou_large/model.pth must download to {kept}/iou_large/model.pth, got 404"
    )
    assert line.endswith(f"bring the file from elsewhere as model.pth into {kept}/iou_large")
    assert not FETCHED.exists()
    there = sorted(path.parent.name for path in kept.glob("*/model.pth"))
    assert there == sorted(["iou_tiny", "iou_small", "iou_base_plus"])
    for name in there:
        Path("theirs", name, "model.pth").unlink()  # not asked for again
    Path("large.pth").rename(LARGE)
    assert usam_fetch().exit_code == 0
    assert read_head_file(FETCHED).card["family"] == "sam2.1"


@pytest.mark.usefixtures("served")
def test_another_file_than_the_listed_one_is_refused_with_both_digests() -> None:
    listed = sha256_file(LARGE)
    LARGE.write_bytes(LARGE.read_bytes()[::-1])
    result = usam_fetch()
    assert result.exit_code == 1
    assert listed in result.stderr
    assert sha256_file(LARGE) in result.stderr
    assert not FETCHED.exists()


def test_families_without_published_heads_are_refused() -> None:
    assert usam_fetch("mini").stderr == (
        "error: family must be sam2 or sam2.1 to have published heads, got 'mini'\n"
    )
