"""The registry of layouts."""

from dataclasses import fields
from pathlib import Path

import pytest

from stages.shell.blocks import OPTIONS, Split, source_of
from stages.shell.parsing import parse
from storage.datasets.catalogue import DATA_SETS, Reader
from storage.datasets.coco import list_coco
from storage.datasets.records import Source
from tests.fixtures.layouts import LAYOUTS, draw_videos


def test_coco_is_read_by_its_reader() -> None:
    reader: Reader = DATA_SETS["coco"].list_parts

    assert reader is list_coco


def test_what_readers_know_are_fields_of_a_source() -> None:
    names = {name for item in DATA_SETS.values() for name in (*item.needs, *item.takes)}

    assert names == set(OPTIONS)
    assert {item.name for item in fields(Source)} == {"images", "annotations", *OPTIONS}


@pytest.mark.parametrize("reader", LAYOUTS)
def test_parts_are_videos_where_the_layout_has_videos(reader: str, tmp_path: Path) -> None:
    place = parse(reader, LAYOUTS[reader](tmp_path, draw_videos(2, 1)), Split)
    parts = DATA_SETS[reader].list_parts(source_of(place))

    assert {part.is_video for part in parts} == {DATA_SETS[reader].is_video}
