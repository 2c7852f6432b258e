import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.entropy.cell_rows import CellRows
from storage.errors import StoreError
from storage.paths import features_path, masks_path
from storage.split.cells import BLOCK_BYTES, SplitCells, open_cells
from tests.fixtures.split_cells import write_cell

MODELS, VIEWS = ("tiny", "large"), ("identity", "vflip")
LAST = ("large", "vflip")
N_OBJECTS, SHARD_OBJECTS = 5, 2


def draw(seed: int, size_px: int = 6) -> CellRows:
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=(2, N_OBJECTS, 9, 3)).astype(np.float32)
    code = rng.integers(0, 256, (N_OBJECTS, 9, 3, size_px, size_px), np.uint8)
    return CellRows(code, *score)


NAMES = [(model, view) for model in MODELS for view in VIEWS]
CELLS = {name: draw(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cells."""
    root = tmp_path_factory.mktemp("written")
    for name, rows in CELLS.items():
        write_cell(("val", *name), rows, shard_objects=SHARD_OBJECTS, root=root)
    return root


@pytest.fixture(autouse=True)
def root(tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the cells, to work in."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewrite_last(
    rows: CellRows = CELLS[LAST],
    *,
    shard_objects: int = SHARD_OBJECTS,
    **changes: Any,  # noqa: ANN401 - of `write_cell`
) -> None:
    for path in (features_path("val", *LAST), masks_path("val", *LAST)):
        shutil.rmtree(path)
    write_cell(("val", *LAST), rows, shard_objects=shard_objects, **changes)


def open_split() -> SplitCells:
    return open_cells("val", models=MODELS, views=VIEWS)


def test_a_reader_gives_the_rows_of_every_cell() -> None:
    cells = open_split()
    assert cells.object_id.tolist() == [100, 101, 102, 103, 104]
    for run in cells.runs():
        read = cells.reader(run)
        for name, expected in CELLS.items():
            for row in run:
                found = read(range(row, row + 1), *name)
                part = slice(row, row + 1)
                np.testing.assert_array_equal(found.mask_code, expected.mask_code[part])
                np.testing.assert_array_equal(found.sam_score, expected.sam_score[part])
                np.testing.assert_array_equal(found.iou, expected.iou[part])


def test_runs_are_the_shards_of_masks() -> None:
    assert open_split().runs() == [range(2), range(2, 4), range(4, 5)]


def test_blocks_come_in_the_same_memory() -> None:
    cells = open_split()
    read = cells.reader(range(2))
    first = read(range(1), "tiny", "identity").mask_code
    assert np.shares_memory(first, read(range(1, 2), *LAST).mask_code)


def test_a_block_fills_the_memory_meant_for_it_and_holds_one_object_at_least() -> None:
    cells = open_split()
    assert cells.block_objects == BLOCK_BYTES // (27 * 36)
    huge = (N_OBJECTS, 9, 3, 512, 512)
    for cell in cells.by_name.values():
        object.__setattr__(cell.masks, "shape", huge)
    assert cells.block_objects == 1


def test_the_signature_is_of_all_cells_and_of_the_content_of_their_images() -> None:
    signature = open_split().signature
    assert signature["family"] == "mini"
    assert signature["objects_digest"] == "0123456789abcdef"
    assert signature["models"] == list(MODELS)
    assert signature["views"] == list(VIEWS)
    fewer = open_cells("val", models=MODELS, views=("identity",)).signature
    assert fewer["cells_digest"] != signature["cells_digest"]


@pytest.mark.parametrize("changes", [{"weights_sha256": "other"}, {"noise_seed": 1}])
def test_another_cell_gives_another_digest(changes: dict[str, Any]) -> None:
    before = open_split().signature["cells_digest"]
    rewrite_last(**changes)
    assert open_split().signature["cells_digest"] != before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "sam2"}, r"\(family: sam2 -> mini\)"),
        ({"precision": "bf16"}, r"\(precision: bf16 -> fp32\)"),
        ({"extract_version": 2}, r"\(extract_version: 2 -> 1\)"),
        ({"weights": "new"}, r"\(weights: new -> none\)"),
        ({"objects_digest": "fed"}, r"\(objects_digest: fed -> 0123456789abcdef\)"),
        ({"images_sha256": "repaired"}, r"\(images_digest: \w+ -> \w+\)"),
        ({"shard_objects": 3}, "shard_objects: 3 -> 2"),
        ({"rows": draw(9, size_px=8)}, r"\(mask_size_px: \[8, 8\] -> \[6, 6\]\)"),
    ],
    ids=["family", "precision", "version", "weights", "objects", "images", "shards", "mask_size"],
)
def test_cells_that_do_not_belong_together_are_told_apart(
    changes: dict[str, Any], message: str
) -> None:
    rewrite_last(**changes)
    with pytest.raises(
        StoreError, match=rf"large/vflip\.zarr was written under other inputs.*{message}"
    ):
        open_split()


def test_masks_and_features_of_unlike_signatures_are_told_apart(written: Path) -> None:
    features = features_path("val", *LAST)
    rewrite_last(weights_sha256="b")
    shutil.rmtree(features)
    shutil.copytree(written / features, features)
    message = r"masks.*vflip\.zarr was written under other inputs \(weights_sha256: b -> none"
    with pytest.raises(StoreError, match=message):
        open_split()


def test_other_prompt_sets_are_refused() -> None:
    prompts = ("p1", "center", "p2", "p3", "p4", "p5", "p6", "p7", "refined")
    rewrite_last(prompts=prompts)
    with pytest.raises(StoreError, match=r"vflip\.zarr: prompt sets must be center, p1.*got \['p1"):
        open_split()


def test_a_missing_cell_is_named() -> None:
    with pytest.raises(StoreError, match=r"features/val/tiny/gnoise\.zarr"):
        open_cells("val", models=MODELS, views=("identity", "gnoise"))


def test_a_score_that_is_no_number_is_named_with_its_store() -> None:
    rows = draw(4)
    rows.sam_score[3, 2, 1] = np.nan
    rewrite_last(rows)
    read = open_split().reader(range(2, 4))
    read(range(2, 3), *LAST)
    message = r"features/val/large/vflip\.zarr: sam_score must be >= 0 and finite, got nan"
    with pytest.raises(StoreError, match=message):
        read(range(3, 4), *LAST)


def test_damaged_masks_and_scores_are_named_with_their_store() -> None:
    cells = open_split()
    for path in (
        masks_path("val", *LAST) / "mask_code" / "c.0.0.0.0.0",
        features_path("val", *LAST) / "sam_score" / "c.0.0.0",
    ):
        data = bytearray(path.read_bytes())
        data[30] ^= 4
        path.write_bytes(data)
        with pytest.raises(StoreError, match=r"vflip\.zarr: every chunk must be intact"):
            cells.reader(range(2))(range(1), *LAST)
