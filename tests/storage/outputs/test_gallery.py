"""Galleries on disk come back as they were, and faults in them are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from storage.errors import DataError
from storage.outputs.csv_forms import GALLERY
from storage.outputs.records import write_record
from storage.outputs.results import (
    PICTURES,
    PICTURES_RECORD,
    Gallery,
    read_gallery,
    write_gallery,
)
from storage.paths import gallery_dir


def small_gallery(n_pictures: int = 2) -> Gallery:
    """Pictures that are no pictures."""
    numbers = np.arange(n_pictures)
    table = pd.DataFrame(
        {
            column.name: [f"00{i}" for i in numbers] if column.kind is str else numbers + 1
            for column in GALLERY.declared
        }
    )
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


def test_a_gallery_of_an_earlier_version_has_a_command_that_draws_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = gallery_dir("val")
    write_gallery(folder, small_gallery())
    table = folder / PICTURES
    pd.read_csv(table).drop(columns="expected_iou").to_csv(table, index=False)
    write_record(folder / PICTURES_RECORD, {}, [table])
    with pytest.raises(
        DataError, match=r"gallery\.csv must have .*, got .*; `dvc repro gallery@val` makes it$"
    ):
        read_gallery(folder)


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
