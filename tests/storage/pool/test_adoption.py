"""What is intact of published stores is put into the pool; the rest is computed, and no more."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from storage.errors import StoreError
from storage.pool.adoption import adopt, open_published, published_stores
from storage.pool.cell import Cell
from storage.split.split_cells import OpenCell
from tests.fixtures.made_up_cell import (
    cell_of,
    compare_shards,
    extract,
    fill,
    flip_middle,
    outputs,
    publish_whole,
    split_of,
    targets,
)

SHARD = Path("masks/identity.zarr/mask_code/c.1.0.0.0.0")


@pytest.fixture(autouse=True)
def wanted(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Published stores without a pool, in the working directory; gives their files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return outputs(Path())


def published(*, with_masks: bool = True) -> OpenCell:
    return open_published(targets(Path(), cell_of(Path(), with_masks=with_masks)))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("n_objects", "changes", "adopted", "computed"),
    [
        (10, {"split": "renamed"}, 3, []),
        (10, {"with_masks": False}, 3, []),
        (14, {"split": "grown"}, 2, [2, 3]),
        (3, {}, 0, [0]),
    ],
)
def test_shards_of_the_same_inputs_are_taken_over_whatever_the_split(
    n_objects: int, changes: dict[str, Any], adopted: int, computed: list[int]
) -> None:
    cell = cell_of(Path(), split_of(n_objects), **changes)
    found = published(with_masks="masks" in cell.kinds)
    assert cell.difference(found.stores["features"].signature) is None
    n_before = len(cell.lacking())
    for _ in range(2):  # the second time, all are there
        assert adopt(cell, found) == {}
        assert n_before - len(cell.lacking()) == adopted
    assert fill(cell) == computed
    again, afresh = Path("again"), cell_of(Path("afresh"), split_of(n_objects), **changes)
    publish_whole(again, cell)
    fill(afresh)
    publish_whole(Path("afresh"), afresh)
    assert outputs(again) == outputs(Path("afresh"))


def test_masks_are_linked_and_their_maker_is_unknown() -> None:
    cell = cell_of(Path())
    adopt(cell, published())
    shard = cell.read(cell.split.names[1])
    assert cell.array_path(cell.split.names[1], shard.files_sha256["mask_code"]).samefile(SHARD)
    assert compare_shards(cell).makers == set()


def test_shards_of_other_settings_are_not_taken() -> None:
    other = cell_of(Path("other"))
    fill(other)
    publish_whole(Path("other"), other)
    found = open_published(targets(Path("other"), other))
    assert other.difference(found.stores["features"].signature) is None
    assert cell_of(Path(), precision="bf16").difference(found.stores["features"].signature)


def lose(path: Path) -> None:
    path.unlink()


def add(path: Path) -> None:
    """As NFS does where a file is removed that somebody has open."""
    path.write_bytes(b"not of the store")


@pytest.mark.parametrize(
    ("damage", "name", "shards"),
    [
        # Features of these few objects are in one chunk.
        (flip_middle, "features/identity.zarr/iou/c.0.0.0", [0, 1, 2]),
        (lose, "masks/identity.zarr/probability/c.0", []),
        (add, "features/identity.zarr/iou/.nfs0001", []),
    ],
)
def test_damaged_shards_alone_are_named_and_computed(
    wanted: dict[str, bytes], damage: Callable[[Path], None], name: str, shards: list[int]
) -> None:
    damage(Path(name))
    cell = cell_of(Path())
    faults = adopt(cell, published())
    assert sorted(faults) == shards
    for fault in faults.values():
        assert all(part in fault for part in Path(name).parts[-2:])
    assert fill(cell) == shards
    publish_whole(Path(), cell)
    assert outputs(Path()) == wanted


@pytest.mark.no_cover
def test_shards_with_rows_in_a_damaged_chunk_are_computed_those_beside_are_not() -> None:
    root, split = Path("large"), split_of(2500, 300, per_image=10)
    cell = cell_of(root, split, with_masks=False)
    fill(cell)
    publish_whole(root, cell)
    before = outputs(root)
    shutil.rmtree(cell.folder)
    flip_middle(root / "features/identity.zarr/iou/c.1.0.0")
    assert sorted(adopt(cell, open_published(targets(root, cell)))) == [3, 4, 5, 6]
    assert fill(cell) == [3, 4, 5, 6]
    publish_whole(root, cell)
    assert outputs(root) == before


def test_masks_that_are_damaged_are_found_when_they_are_compared(wanted: dict[str, bytes]) -> None:
    flip_middle(SHARD)
    cell = cell_of(Path())
    assert adopt(cell, published()) == {}
    assert cell.lacking() == []
    (name,) = compare_shards(cell).faults
    assert cell.split.shards[name].index == 1
    cell.drop(name)
    assert fill(cell) == [1]
    publish_whole(Path(), cell)
    assert outputs(Path()) == wanted


def test_stores_that_tell_no_names_or_not_of_one_cell_are_refused() -> None:
    """As where a kill came between the two, or each was checked out alone."""
    extract(Path("other"), (0, 5))
    masks = targets(Path("other"), cell_of(Path()))["masks"]
    with pytest.raises(StoreError, match="must be of the images of its features"):
        open_published(targets(Path(), cell_of(Path())) | {"masks": masks})
    other = cell_of(Path("bf16"), precision="bf16")
    fill(other)
    publish_whole(Path("bf16"), other)
    with pytest.raises(StoreError, match=r"other inputs \(precision: bf16 -> fp32\)"):
        open_published(targets(Path(), other) | {"masks": targets(Path("bf16"), other)["masks"]})
    path = Path("features/identity.zarr/input_sha256/c.0")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"input_sha256: every chunk must be intact"):
        published()


def cached(data: bytes, suffix: str = "") -> str:
    """Put a file into DVC's cache as DVC does; gives its digest."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() + suffix
    path = Path(".dvc/cache/files/md5", md5[:2], md5[2:])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return md5


def move_to_cache(cell: Cell) -> None:
    """Leave the outputs of a cell in DVC's cache alone, as a stage finds them that runs again."""
    outs = []
    for store in targets(Path(), cell).values():
        files = [path for path in store.rglob("*") if path.is_file()]
        listing = [
            {"md5": cached(path.read_bytes()), "relpath": path.relative_to(store).as_posix()}
            for path in files
        ]
        md5 = cached(json.dumps(listing).encode(), ".dir")
        outs.append({"path": store.as_posix(), "md5": md5})
        shutil.rmtree(store)
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"extract": {"outs": outs}}}))


def test_outputs_that_dvc_has_removed_are_taken_from_its_cache(wanted: dict[str, bytes]) -> None:
    cell = cell_of(Path())
    paths = targets(Path(), cell)
    with published_stores(paths) as stores:
        assert stores == paths
    move_to_cache(cell)
    with published_stores(paths) as stores:
        assert stores.keys() == paths.keys()
        assert adopt(cell, open_published(stores)) == {}
    assert cell.lacking() == []
    assert not list(Path().rglob("*.partial"))
    files = [path for path in Path(".dvc/cache").rglob("*") if path.is_file()]
    for name in cell.split.names:
        masks = cell.array_path(name, cell.read(name).files_sha256["mask_code"])
        assert not masks.is_symlink()
        assert any(masks.samefile(file) for file in files)
    publish_whole(Path(), cell)
    assert outputs(Path()) == wanted


@pytest.mark.parametrize("lost", ["lock", "file", "output"])
def test_of_a_cache_that_lacks_something_nothing_is_taken(lost: str) -> None:
    cell = cell_of(Path())
    move_to_cache(cell)
    if lost == "lock":
        Path("dvc.lock").unlink()
    elif lost == "output":  # the other one is there
        targets(Path(), cell)["masks"].mkdir(parents=True)
    else:
        files = [path for path in Path(".dvc/cache").rglob("*") if path.is_file()]
        next(path for path in files if path.suffix != ".dir").unlink()
    with published_stores(targets(Path(), cell)) as stores:
        assert stores == {}
