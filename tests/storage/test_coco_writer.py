"""What is drawn comes back from disk pixel by pixel, and is the same bytes every time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import Scene, draw_scene
from storage.coco_writer import write_coco
from storage.images.image_files import read_rgb
from storage.rle import decode_rle
from tests.fixtures.read_split import read_split


def _scenes() -> Iterator[Scene]:
    return (draw_scene(seed, 96) for seed in range(3))


def _write(folder: Path) -> int:
    return write_coco(folder / "val", folder / "json" / "val.json", _scenes(), CATEGORIES)


def test_the_reader_finds_what_was_written(tmp_path: Path) -> None:
    n_objects = _write(tmp_path)
    records = read_split(
        "coco", tmp_path / "val", tmp_path / "json" / "val.json", min_area_px=1, max_objects=None
    )

    assert len(records.objects) == n_objects
    masks = iter(records.objects)
    for index, (scene, image) in enumerate(zip(_scenes(), records.images, strict=True)):
        rgb = read_rgb(tmp_path / "val" / image.file, height_px=96, width_px=96)
        np.testing.assert_array_equal(rgb, scene.rgb)
        for mask in scene.masks:
            item = next(masks)
            assert item.image_index == index
            np.testing.assert_array_equal(decode_rle(item.mask_rle, 96, 96), mask)


def test_pycocotools_reads_it(tmp_path: Path) -> None:
    _write(tmp_path)
    official = COCO(tmp_path / "json" / "val.json")
    scene = next(_scenes())

    for item, mask, category in zip(
        official.imgToAnns[1], scene.masks, scene.categories, strict=True
    ):
        y, x = np.nonzero(mask)
        assert item["area"] == mask.sum()
        assert item["bbox"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert official.cats[item["category_id"]]["name"] == category


def test_the_same_scenes_are_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        _write(tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append([(path.name, path.read_bytes()) for path in files])
    assert written[0] == written[1]
    assert len(written[0]) == 4
