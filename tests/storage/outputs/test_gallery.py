"""Galleries on disk come back as they were, and faults in them are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storage.errors import DataError
from storage.outputs.csv_forms import GALLERY
from storage.outputs.results import (
    PICTURES,
    PICTURES_RECORD,
    Gallery,
    read_gallery,
    write_gallery,
)


def small_gallery(n_pictures: int = 2) -> Gallery:
    """Pictures that are no pictures."""
    text = ("protocol", "task", "end", "file", "model", "measure", "train_split", "picture")
    table = pd.DataFrame({name: np.arange(n_pictures) + 1 for name in GALLERY.columns})
    for name in text:
        table[name] = [f"00{i}" for i in range(n_pictures)]
    table["train_split"] = ""
    return Gallery(table, {name: name.encode() for name in table["picture"]})


def test_a_gallery_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = small_gallery()
    extra = written.table.assign(row=7)
    write_gallery(tmp_path / "val", Gallery(extra, written.pictures))
    found = read_gallery(tmp_path / "val")
    pd.testing.assert_frame_equal(found.table, written.table, check_dtype=False)
    assert found.pictures == written.pictures


def test_names_of_images_are_no_formulas_and_come_back(tmp_path: Path) -> None:
    names = ["=1+1.png", "+a.png", "-a.png", "@a.png", "\ta.png", "'=a.png", "a=1.png", "a'.png"]
    gallery = small_gallery(len(names))
    gallery.table["file"] = names
    write_gallery(tmp_path / "val", gallery)
    assert list(read_gallery(tmp_path / "val").table["file"]) == names
    cells = pd.read_csv(tmp_path / "val" / PICTURES)["file"]
    assert [cell[0] for cell in cells] == ["'"] * 6 + ["a"] * 2


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("001", "the file that gallery.json lists"),
        (PICTURES, "the file that gallery.json lists"),
        (PICTURES_RECORD, "the file that the stage gallery wrote"),
    ],
)
def test_an_edited_file_is_refused(tmp_path: Path, name: str, rule: str) -> None:
    write_gallery(tmp_path / "val", small_gallery())
    path = tmp_path / "val" / name
    path.write_bytes(path.read_bytes().replace(b"1", b"0"))
    with pytest.raises(
        DataError, match=rf"val/{name} must be {rule}, got an altered or truncated one"
    ):
        read_gallery(tmp_path / "val")
