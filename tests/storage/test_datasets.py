"""The registry of layouts."""

from storage.coco import read_coco
from storage.datasets import READERS, Reader


def test_coco_is_read_by_its_reader() -> None:
    reader: Reader = READERS["coco"]

    assert reader is read_coco
