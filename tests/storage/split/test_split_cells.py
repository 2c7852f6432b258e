import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.views import View
from stages.settings.versions import VERSIONS
from storage.errors import StoreError
from storage.paths import features_path, masks_path, objects_path
from storage.split.mask_blocks import BLOCK_BYTES, block_objects, object_runs, run_reader
from storage.split.object_table import write_objects
from storage.split.split_cells import SplitCells
from storage.store.opening import images_digest
from storage.store.schema import SCHEMA_VERSION
from storage.store.signature import digest
from tests.fixtures.drawn_masks import HeldRows
from tests.fixtures.earlier_store import as_extract_7
from tests.fixtures.made_up_objects import object_table
from tests.fixtures.signatures import open_eval
from tests.fixtures.split_cells import N_CHANNELS, draw_rows, write_cell, write_cells

MODELS, VIEWS = ("tiny", "large"), ("identity", "vflip")
FIRST, LAST = ("tiny", "identity"), ("large", "vflip")
N_OBJECTS, SHARD_OBJECTS = 5, 2
TEXT = np.dtypes.StringDType()


NAMES = [(model, view) for model in MODELS for view in VIEWS]
draw = partial(draw_rows, n_objects=N_OBJECTS, size_px=6)
CELLS = {name: draw(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("written")
    return write_cells(root, CELLS, N_OBJECTS, SHARD_OBJECTS)


@pytest.fixture(autouse=True)
def root(tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a copy of the cells, to work in."""
    shutil.copytree(written, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rewrite_last(rows: HeldRows = CELLS[LAST], **changes: Any) -> None:  # noqa: ANN401
    rewrite(LAST, rows, **changes)


def rewrite(
    name: tuple[str, str],
    rows: HeldRows | None = None,
    **changes: Any,  # noqa: ANN401 - of `write_cell`
) -> None:
    for path in (features_path("val", *name), masks_path("val", *name)):
        shutil.rmtree(path)
    write_cell(("val", *name), rows or CELLS[name], **{"shard_objects": SHARD_OBJECTS} | changes)


def open_split(views: Sequence[str | View] = VIEWS, **settings: object) -> SplitCells:
    asked = {"shard_objects": SHARD_OBJECTS} | settings
    return open_eval("val", MODELS, views, with_masks=True, **asked)


def test_a_reader_gives_the_rows_of_every_cell() -> None:
    cells = open_split()
    for run in object_runs(cells):
        read = run_reader(cells, run)
        for name, expected in CELLS.items():
            for row in run:
                found = read(*name)
                some = slice(row - run.start, row - run.start + 1)
                part = slice(row, row + 1)
                np.testing.assert_array_equal(found.mask_code[some], expected.mask_code[part])
                np.testing.assert_array_equal(found.sam_score[some], expected.sam_score[part])
                np.testing.assert_array_equal(found.iou[some], expected.iou[part])


def test_a_block_fills_the_memory_meant_for_it_and_holds_one_object_at_least() -> None:
    cells = open_split()
    assert block_objects(cells) == BLOCK_BYTES // (27 * 36)
    huge = (N_OBJECTS, 9, 3, 512, 512)
    for cell in cells.by_name.values():
        object.__setattr__(cell.mask_chunks, "shape", huge)
    assert block_objects(cells) == 1


def test_the_signature_is_of_all_cells() -> None:
    cells = open_split()
    assert cells.signature == {
        "extract_version": VERSIONS["extract"],
        "family": "mini",
        "precision": "fp32",
        "objects_digest": cells.table.digest,
        "models": list(MODELS),
        "views": list(VIEWS),
        "cells_digest": cells.digest(VIEWS),
    }
    assert open_split(["identity"]).signature["cells_digest"] == cells.digest(["identity"])
    assert cells.digest(["identity"]) != cells.digest(VIEWS)


def test_digests_are_those_of_schema_2_whose_entropies_and_heads_name_them() -> None:
    cell = open_split().by_name["large", "vflip"]
    own = {"schema_version": 2, "images_digest": images_digest(cell.images_sha256)}
    assert cell.signature["schema_version"] == SCHEMA_VERSION
    assert cell.content_digest == digest({**cell.signature, **own})


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"family": "sam2"}, r"\(family: sam2 -> mini, weights: \w+ -> \w+\)"),
        ({"objects_digest": "fed"}, r"\(objects_digest: fed -> \w+\)"),
        ({"prompts": ["center"]}, r"\(prompts: p1 added, .*, refined added\)"),
    ],
    ids=["family", "objects", "prompts"],
)
def test_a_cell_of_other_settings_is_told(changes: dict[str, Any], message: str) -> None:
    rewrite_last(**changes)
    with pytest.raises(
        StoreError, match=rf"large/vflip\.zarr was written under other inputs {message}"
    ):
        open_split()


def test_a_cell_that_lacks_arrays_of_its_version_is_named_by_the_version() -> None:
    path = features_path("val", *LAST)
    as_extract_7(path)
    message = rf"^{path} was written under other inputs \(extract_version: 7 -> \d+\); `dvc repro"
    with pytest.raises(StoreError, match=message):
        open_split()


def test_the_cell_that_differs_from_the_settings_is_blamed_not_the_one_opened_after_it() -> None:
    rewrite(("tiny", "identity"), precision="bf16")
    with pytest.raises(StoreError, match=r"tiny/identity\.zarr .*\(precision: bf16 -> fp32\)"):
        open_split()


@pytest.mark.parametrize(
    ("path_of", "source", "message"),
    [
        (features_path, ("val", "large", "identity"), "view: identity -> vflip"),
        (masks_path, ("val", "tiny", "vflip"), "model: tiny -> large"),
    ],
    ids=["view", "model"],
)
def test_a_store_in_the_place_of_another_says_what_it_is(
    path_of: Callable[..., Path], source: tuple[str, str, str], message: str
) -> None:
    target = path_of("val", *LAST)
    shutil.rmtree(target)
    shutil.copytree(path_of(*source), target)
    with pytest.raises(
        StoreError, match=rf"^{target} was written under other inputs \(.*{message}"
    ):
        open_split()


def test_cells_of_images_that_were_replaced_since_are_told(root: Path) -> None:
    objects = objects_path("val")
    shutil.rmtree(root / objects)
    table = replace(object_table(N_OBJECTS), image_sha256=np.array(["sha 0", "repaired"], TEXT))
    write_objects(objects, table, {"split": "val"})
    message = (
        r"tiny/identity\.zarr must be extracted from the images of cache/objects/val\.zarr, "
        r"got others in 2 of 3 shards \(1, 2\)"
    )
    with pytest.raises(StoreError, match=message):
        open_split()


def test_masks_of_other_images_than_the_features_are_told(written: Path) -> None:
    features = features_path("val", *LAST)
    rewrite_last(images_sha256=["of images", "that were", "repaired since"])
    shutil.rmtree(features)
    shutil.copytree(written / features, features)
    message = r"masks.*vflip\.zarr must be of the images of its features \(images_digest: \w+ -> "
    with pytest.raises(StoreError, match=message):
        open_split()


def test_masks_of_two_sizes_are_refused() -> None:
    rewrite_last(draw(9, size_px=8))
    with pytest.raises(StoreError, match=r"masks of val must be of one shape, got .*6, 6.*8, 8"):
        open_split()


def test_without_masks_none_need_be_there(root: Path) -> None:
    shutil.rmtree(root / "cache" / "masks")
    cells = open_eval("val", MODELS, VIEWS, shard_objects=SHARD_OBJECTS)
    assert [[*cell.stores] for cell in cells.by_name.values()] == [["features"]] * 4


def test_a_score_that_is_no_number_is_named_with_its_store() -> None:
    rows = draw(4)
    rows.sam_score[3, 2, 1] = np.nan
    rewrite_last(rows)
    cells = open_split()
    run_reader(cells, range(2))(*LAST)
    message = r"features/val/large/vflip\.zarr: sam_score must be >= 0 and finite, got nan"
    with pytest.raises(StoreError, match=message):
        run_reader(cells, range(2, 4))(*LAST)


def test_cells_are_read_without_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    cells = open_split()
    assert len(run_reader(cells, range(2))(*LAST).iou) == 2
    assert cells.by_name[LAST].n_channels == N_CHANNELS
    (block,) = cells.by_name[LAST].blocks("p1", ("mask_token", "iou"))
    assert {name: values.shape for name, values in block.items()} == {
        "mask_token": (N_OBJECTS, 4, N_CHANNELS),
        "iou": (N_OBJECTS, 3),
    }


@pytest.mark.parametrize("name", ["mask_code/c.0.0.0.0.0", "sam_score/c.0.0.0"])
def test_files_of_another_cell_are_not_taken_though_their_checksums_hold(name: str) -> None:
    cells = open_split()
    path = masks_path if name.startswith("mask") else features_path
    file, other = (path("val", *cell) / name for cell in (LAST, FIRST))
    assert file.read_bytes() != other.read_bytes()
    shutil.copy(other, file)
    with pytest.raises(StoreError, match=rf"^{file.parent}: every chunk must be intact, got c\.0"):
        run_reader(cells, range(2))(*LAST).mask_code[:1]
