"""``usam params``: sets of settings change places, and none is lost."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from pipeline.views import entropy_views
from pipeline.vocabulary import MODELS, TOKEN_SETS
from stages.cli.app import app
from stages.report import ReportParams
from stages.shell.asked import ExtractParams
from stages.shell.params import BLOCKS, read_block, read_lists
from stages.shell.sources import source_of
from stages.tables.paper import paper_numbers
from stages.tune import TuneParams

ROOT = Path(__file__).parents[3]

SETS = sorted([ROOT / "params.yaml", *(ROOT / "params").glob("*.yaml")])


def block_types() -> Iterator[tuple[str, type]]:
    """Blocks and what the stages read them as."""
    for path in (ROOT / "stages").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "read_block":
                block, block_type = node.args[:2]
                assert isinstance(block, ast.Constant)
                assert isinstance(block_type, ast.Name)
                module = import_module(f"stages.{path.stem}")
                yield str(block.value), getattr(module, block_type.id)


def content(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("path", SETS, ids=lambda path: path.stem)
def test_a_set_has_the_keys_of_all_and_values_that_stages_take(path: Path) -> None:
    types = dict(block_types())
    assert set(types) == set(BLOCKS)
    assert set(content(path)) == set(content(ROOT / "params.yaml"))
    for name, block_type in types.items():
        read_block(name, block_type, path)
        assert set(content(path)[name]) == set(content(ROOT / "params.yaml")[name])
    for name, place in read_lists(path).splits.items():
        source_of(name, place)


def test_the_papers_settings_are_the_papers() -> None:
    (path,) = [path for path in SETS if "# Settings `paper`" in path.read_text(encoding="utf-8")]
    lists = read_lists(path)

    assert {lists.split(name).reader for name in lists.train_splits} == {
        *("davis", "ade20k", "coco", "sav_videos")
    }
    assert lists.eval_splits == (
        *("davis_val", "ade20k_val", "mose_train", "coco_val", "sav_val", "sav_test"),
    )
    extract = read_block("extract", ExtractParams, path)
    assert (extract.family, extract.weights) == ("sam2", "file")
    assert read_block("tune", TuneParams, path).n_trials == 100
    of_entropies = {"identity", "vflip", "jpeg10", "jpeg30", "gblur5", "gnoise"}
    assert set(entropy_views(lists.views)) == of_entropies
    assert set(lists.views) == {*of_entropies, *paper_numbers("view")["view"]}
    assert (lists.models, set(lists.tokens)) == (MODELS, set(TOKEN_SETS))
    assert set(read_block("report", ReportParams, path).paper) == set(lists.splits)


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings in use, edited, and others beside them."""
    monkeypatch.chdir(tmp_path)
    Path("params").mkdir()
    texts = {"default": "# Settings `default`\nedited: 1\n", "paper": "# Settings `paper`: x\n"}
    Path("params.yaml").write_text(texts["default"])
    Path("params/paper.yaml").write_text(texts["paper"])
    return texts


def use(name: str) -> Result:
    return CliRunner().invoke(app, ["params", "use", name])


def files() -> dict[str, str]:
    return {str(path): path.read_text() for path in Path().rglob("*.yaml")}


def test_settings_go_to_their_place_and_come_back_with_every_edit(texts: dict[str, str]) -> None:
    before = files()

    result = use("paper")
    assert result.exit_code == 0
    told = "params.yaml holds paper; default is kept in params/default.yaml\n"
    assert result.stdout == told
    assert files() == {"params.yaml": texts["paper"], "params/default.yaml": texts["default"]}

    assert use("default").exit_code == 0
    assert files() == before


def test_settings_that_are_in_use_stay(texts: dict[str, str]) -> None:
    before = files()

    result = use("default")

    assert (result.exit_code, result.stdout) == (0, "params.yaml holds default already\n")
    assert files() == before
    assert texts["default"] in before.values()


@pytest.mark.parametrize("name", ["paper", "default"])
@pytest.mark.usefixtures("texts")
def test_after_a_switch_that_was_cut_off_the_file_to_move_is_named(name: str) -> None:
    Path("params.yaml").rename("params/default.yaml")

    result = use(name)

    assert result.exit_code == 1
    assert result.stderr == (
        "error: params.yaml must be there, got none: a switch was cut off; move "
        f"params/{name}.yaml to params.yaml to have {name}, nothing is lost\n"
    )


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("papr", {}, "settings must be one of paper, got 'papr'"),
        (
            "paper",
            {"params/default.yaml": "kept"},
            "params/default.yaml must not be there while params.yaml holds 'default'",
        ),
        (
            "paper",
            {"params.yaml": "models: []\n"},
            "first line of params.yaml must begin with # Settings `NAME`, got 'models: []'",
        ),
        (
            "mine",
            {"params/mine.yaml": "# Settings `paper`\n"},
            "first line of params/mine.yaml must name it, got 'paper'",
        ),
    ],
)
@pytest.mark.usefixtures("texts")
def test_what_would_lose_settings_is_refused(
    name: str, changes: dict[str, str], message: str
) -> None:
    for path, text in changes.items():
        Path(path).write_text(text)
    before = files()

    result = use(name)

    assert result.exit_code == 1
    assert result.stderr == f"error: {message}\n"
    assert files() == before
