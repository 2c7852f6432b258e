import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.entropy.comparisons import truth_at_size
from pipeline.entropy.objects import object_arrays
from pipeline.mask_statistics import AGREEMENTS
from pipeline.prompt_kinds import with_extra
from stages.entropy import main
from stages.settings.versions import VERSIONS
from storage.paths import entropy_path, features_path, masks_path
from storage.store.opening import open_entropy
from tests.fixtures.made_up_cell import flip_middle
from tests.fixtures.made_up_objects import drawn_truth
from tests.fixtures.settings import view_settings, write_settings
from tests.fixtures.signatures import EXTRACT
from tests.fixtures.split_cells import draw_rows, write_cell, write_cells

MODELS, VIEWS = ("tiny", "large"), ("identity", "vflip", "hflip")
N_OBJECTS, SHARD_OBJECTS = 7, 3

Run = Callable[..., None]


draw = partial(draw_rows, n_objects=N_OBJECTS, size_px=8)
CELLS = {name: draw(seed) for seed, name in enumerate(product(MODELS, VIEWS))}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    return write_cells(root, CELLS, N_OBJECTS, SHARD_OBJECTS)


@pytest.fixture(autouse=True)
def cells(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it, as the working directory."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_stage(**changes: Any) -> None:  # noqa: ANN401 - any setting
        place = {"reader": "coco", "images": "images", "annotations": "annotations.json"}
        params = {
            "models": list(MODELS),
            "views": view_settings(*VIEWS),
            "eval_splits": ["val"],
            "train_splits": [],
            "splits": {"val": place},
            "extract": EXTRACT | {"shard_objects": SHARD_OBJECTS},
        }
        write_settings(tmp_path, **params | changes)
        monkeypatch.setattr(sys, "argv", ["entropy", "val"])
        main()

    return run_stage


def stored() -> dict[str, bytes]:
    """The files of the store."""
    files = sorted(path for path in entropy_path("val").rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files}


def test_the_store_holds_the_entropies_of_every_object(run: Run) -> None:
    run()
    store = open_entropy(entropy_path("val"))
    views = ("identity", "vflip")  # hflip is none of the paper's T
    truth = np.stack([truth_at_size(drawn_truth(row), 8, 8) for row in range(N_OBJECTS)])
    expected = object_arrays(
        lambda m, v: CELLS[m, v],
        truth.__getitem__,
        models=MODELS,
        views=views,
        block_objects=N_OBJECTS,
    )
    for name, bits in expected.items():
        np.testing.assert_array_equal(store[name], bits.astype(np.float32))
    assert store["object_id"].to_numpy().tolist() == list(range(7, 14))
    assert store["model"].to_numpy().tolist() == list(MODELS)
    assert store.attrs["signature"]["views"] == ["identity", "vflip"]
    assert store.attrs["signature"]["entropy_version"] == VERSIONS["entropy"]


@pytest.mark.no_cover
def test_the_number_of_threads_changes_no_byte(run: Run) -> None:
    run(executor={"n_threads": 1})
    alone = stored()
    run(executor={"n_threads": 3})
    assert stored() == alone
    assert alone


@pytest.mark.no_cover
def test_moved_clicks_add_an_array_and_change_no_byte_of_the_others(
    run: Run, tmp_path: Path
) -> None:
    run()
    plain = stored()
    assert not entropy_path("val").joinpath("dice_near").exists()
    for model in MODELS:
        seed = list(CELLS).index((model, "identity"))
        rows = draw(seed, prompts=with_extra(["near"]))
        for path in (features_path, masks_path):
            shutil.rmtree(path("val", model, "identity"))
        write_cell(("val", model, "identity"), rows, shard_objects=SHARD_OBJECTS, root=tmp_path)
    run(extra_prompts=["near"])
    near = stored()
    arrays = {name for name in plain if name.count("/") == 4 and "manifest" not in name}
    assert len(arrays) > 2 * len(AGREEMENTS)
    assert {name: near[name] for name in arrays} == {name: plain[name] for name in arrays}
    assert {Path(name).parent.name for name in near.keys() - plain.keys()} == {"dice_near"}
    store = open_entropy(entropy_path("val"))
    assert store["dice_near"].dims == ("object", "judged", "model")
    assert store["dice_near"].notnull().all()


@pytest.mark.slow
def test_who_computes_changes_no_byte(run: Run) -> None:
    run()
    alone = stored()
    run(executor={"kind": "local", "n_workers": 2})
    assert stored() == alone


def test_a_damaged_cell_ends_the_stage_and_leaves_no_store(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    flip_middle(features_path("val", "large", "vflip") / "iou" / "c.0.0.0")
    with pytest.raises(SystemExit):
        run()
    assert "vflip.zarr/iou: every chunk must be intact" in capsys.readouterr().err
    assert not entropy_path("val").exists()
