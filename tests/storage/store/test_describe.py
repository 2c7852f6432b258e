import shutil
from pathlib import Path

from storage.store.describe import describe, find_stores


def test_a_complete_store(made: Path) -> None:
    path = made / "masks/identity.zarr"
    masks = describe(path)
    assert (masks.kind, masks.faulty) == ("masks", ())
    assert masks.sizes["object"] == 10
    assert masks.size_bytes == sum(file.stat().st_size for file in path.glob("*/c.*"))
    assert masks.signature["precision"] == "fp32"


def test_a_store_that_lost_a_file(made: Path, tmp_path: Path) -> None:
    path = shutil.copytree(made / "features/identity.zarr", tmp_path / "identity.zarr")
    (path / "iou/c.0.0.0").unlink()
    assert describe(path).faulty == ("iou/c.0.0.0",)


def test_stores_below_a_folder_are_found_whole_those_without_their_own_file_too(
    tmp_path: Path,
) -> None:
    whole, headless, hidden = (tmp_path / name for name in ("a", "b/b.zarr", "b/.b.zarr.partial"))
    for folder in (whole, whole / "iou", headless / "iou", hidden):
        folder.mkdir(parents=True)
        (folder / "zarr.json").touch()
    assert find_stores(tmp_path) == [whole, headless]
    assert find_stores(whole) == [whole]
