"""The registry of layouts."""

from dataclasses import fields

from stages.sources import OPTIONS
from storage.coco import list_coco
from storage.datasets import DATA_SETS, Reader
from storage.records import Source


def test_coco_is_read_by_its_reader() -> None:
    reader: Reader = DATA_SETS["coco"].list_parts

    assert reader is list_coco


def test_what_readers_know_are_fields_of_a_source() -> None:
    names = {name for item in DATA_SETS.values() for name in (*item.needs, *item.takes)}

    assert names == set(OPTIONS)
    assert {item.name for item in fields(Source)} == {"images", "annotations", *OPTIONS}
