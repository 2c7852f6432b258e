"""Stage ``prepare``: the rows that every later store follows."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from pipeline.prompts import sample_prompts
from pipeline.scenes.placement import CATEGORIES
from pipeline.scenes.scene import draw_scene
from pipeline.seeds import derive_seed
from pipeline.vocabulary import SINGLE_CLICKS
from stages import prepare
from storage.coco_writer import write_coco
from storage.datasets.object_records import SplitRecords
from storage.datasets.readers import collect
from storage.folders import sha256_file
from storage.paths import objects_path
from storage.rle import decode_rle, encode_rle
from storage.split.object_table import ObjectTable, read_objects
from tests.fixtures.bsds500 import quarters, speckled, write_bsds500
from tests.fixtures.settings import view_settings, write_settings

Prepare = Callable[..., ObjectTable]


@pytest.fixture
def run_prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Run the stage in an empty repository with three drawn images."""
    monkeypatch.chdir(tmp_path)
    write_coco(Path("val"), Path("val.json"), (draw_scene(k, 64) for k in range(3)), CATEGORIES)

    def run(role: str = "eval_splits", **place: object) -> ObjectTable:
        splits = {"drawn": {"reader": "coco", "images": "val", "annotations": "val.json"} | place}
        params = {
            "models": ["tiny"],
            "views": view_settings("identity"),
            "eval_splits": ["other"],
            "train_splits": [],
            "splits": splits | {"other": splits["drawn"]},
        }
        params[role] = ["drawn"]
        write_settings(Path(), **params)
        monkeypatch.setattr("sys.argv", ["stages.prepare", "drawn"])
        prepare.main()
        return read_objects(objects_path("drawn"))

    return run


def _bytes() -> dict[str, str]:
    """Digests of all files of the cache, by name."""
    files = (path for path in Path("cache").rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_every_row_follows_from_its_mask_and_its_names(run_prepare: Prepare) -> None:
    table = run_prepare()
    annotations = json.loads(Path("val.json").read_text())["annotations"]

    assert table.object_id.tolist() == [item["id"] for item in annotations]
    assert table.file.tolist() == [f"{k:06d}.png" for k in (1, 2, 3)]
    for k, item in enumerate(annotations):
        image = table.image_index[k]
        file = str(table.file[image])
        mask = decode_rle(str(table.mask_rle[k]), 64, 64)
        seed = derive_seed(0, file, int(table.object_id[k]))
        assert image == item["image_id"] - 1
        assert table.area_px[k] == item["area"] == mask.sum()
        assert table.box_px[k].tolist() == item["bbox"]
        np.testing.assert_array_equal(table.point_px[k], sample_prompts(mask, seed))
    for file, digest in zip(table.file, table.image_sha256, strict=True):
        assert sha256_file(Path("val") / str(file)) == digest


def test_twice_prepared_is_the_same_bytes(run_prepare: Prepare) -> None:
    run_prepare()
    first = _bytes()
    run_prepare()

    assert _bytes() == first
    assert first


def test_clicks_do_not_depend_on_the_other_objects(run_prepare: Prepare) -> None:
    whole = run_prepare()
    first = run_prepare(max_objects=3)

    assert first.n_objects == 3
    rows = [whole.object_id.tolist().index(number) for number in first.object_id]
    np.testing.assert_array_equal(first.point_px, whole.point_px[rows])


def test_splits_that_later_stages_refuse_or_give_no_intervals_are_told_at_once(
    run_prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    run_prepare(max_objects=1)
    note = (
        "note: intervals and verdicts need objects in 3 or more images or videos, got 1 in drawn\n"
    )
    assert note in capsys.readouterr().out
    run_prepare()
    assert "note" not in capsys.readouterr().out
    shutil.rmtree("cache")
    with pytest.raises(SystemExit):
        run_prepare("train_splits", max_objects=1)
    assert capsys.readouterr().err.endswith(
        "error: train split drawn must have objects in at least 2 images or videos, one to "
        "learn from and one to be judged on, got 1\n"
    )
    assert not objects_path("drawn").exists()


def test_images_that_no_extraction_will_read_are_named_at_once(
    run_prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    run_prepare()
    assert "note" not in capsys.readouterr().out
    large, garbage, deep = sorted(Path("val").iterdir())
    Image.new("RGB", (70, 80)).save(large)
    garbage.write_bytes(b"no image at all" * 99)
    Image.new("I;16", (64, 64)).save(deep, "png")
    assert len(run_prepare().file) == 3
    note = capsys.readouterr().out.splitlines()[-1]
    assert note.startswith(
        f"note: 3 of 3 images must be fixed or replaced before extract: {large} must be 64 px high "
        f"and 64 px wide as its record says, got 80 x 70, {garbage} must be a readable image, got: "
    )
    assert f", {deep} must have a mode with 8-bit colours" in note


@pytest.mark.no_cover
@pytest.mark.parametrize("utf8", ["0", "1"])
def test_a_locale_without_the_letters_of_a_name_is_told_with_a_remedy_that_helps(
    run_prepare: Prepare, utf8: str
) -> None:
    Path("val").rename("väl")
    run_prepare(images="väl")
    shutil.rmtree("cache")
    locale = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8}
    ended = subprocess.run(
        [sys.executable, "-m", "stages.prepare", "drawn"],
        env={**os.environ, **locale, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    remedy = "names of files must be of the locale's letters (ascii), got 'v\\xe4l"
    assert (remedy in ended.stderr, objects_path("drawn").exists()) == (utf8 == "0", utf8 == "1")
    assert ended.stderr.endswith(": set PYTHONUTF8=1\n") == (utf8 == "0")


def _tag(path: Path, orientation: int | None) -> None:
    """Give an image an EXIF orientation, or remove it; its pixels stay unchanged."""
    exif = Image.Exif()
    if orientation is not None:
        exif[ExifTags.Base.Orientation] = orientation
    with Image.open(path) as image:
        image.save(path, exif=exif)


def test_orientations_that_the_size_on_record_cannot_confirm_are_told(
    run_prepare: Prepare, capsys: pytest.CaptureFixture[str]
) -> None:
    upside_down, square, upright = sorted(Path("val").iterdir())
    _tag(upside_down, 3)
    _tag(square, 6)
    _tag(upright, 1)

    run_prepare()

    assert capsys.readouterr().out.splitlines()[-1] == (
        "note: 2 of 3 images must be checked by eye, turned by an EXIF orientation that no size "
        f"confirms: {upside_down.name} (3), {square.name} (6)"
    )
    for path in (upside_down, square):
        _tag(path, None)
    run_prepare()
    assert "note" not in capsys.readouterr().out


def test_annotators_and_drawn_objects_are_kept_where_several_persons_outlined_images(
    run_prepare: Prepare, tmp_path: Path
) -> None:
    alone = run_prepare()
    assert alone.annotator is None
    place = write_bsds500(tmp_path, [[quarters(), speckled()], [quarters()]])

    table = run_prepare(**place)
    assert table.annotator is not None
    assert table.annotator.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert "max_objects_per_image" not in table.signature

    fewer = run_prepare(**place, max_objects_per_image=2)
    assert fewer.annotator is not None
    assert np.bincount(fewer.image_index).tolist() == [2, 2]
    assert fewer.signature["max_objects_per_image"] == 2
    rows = [table.object_id.tolist().index(number) for number in fewer.object_id[:2]]
    np.testing.assert_array_equal(fewer.annotator[:2], table.annotator[rows])
    assert replace(fewer, annotator=fewer.annotator + 1).digest != fewer.digest


def test_the_segment_of_each_person_around_a_click_is_kept_and_no_cell_depends_on_it(
    run_prepare: Prepare, tmp_path: Path
) -> None:
    assert run_prepare().person_rle is None
    assert run_prepare(**write_bsds500(tmp_path / "alone", [[quarters()]])).person_rle is None
    maps = [[quarters(), speckled()], [quarters()]]
    table = run_prepare(**write_bsds500(tmp_path / "several", maps))
    by_click = table.segments_of_persons
    assert {*by_click} == {"center", "p1"}
    for (click, of_click), row in product(by_click.items(), range(table.n_objects)):
        assert of_click.shape == (table.n_objects, 2)
        x, y = table.point_px[row, SINGLE_CLICKS.index(click)]
        of_image = maps[table.image_index[row]]
        for person, rle in enumerate(of_click[row]):
            if person == len(of_image):
                assert not rle
                continue
            mask = decode_rle(str(rle), *of_image[person].shape)
            assert mask[y, x]
            # The background of `speckled` is too large for an object, and still a segment.
            assert len(np.unique(of_image[person][mask])) == 1
    rows = np.arange(table.n_objects)
    for of_click in by_click.values():
        assert of_click[rows, table.annotator].tolist() == table.mask_rle.tolist()
    assert replace(table, person_rle=None, person_rle_p1=None).digest == table.digest


def test_the_segment_at_hand_is_the_object_where_its_person_has_a_smaller_one(
    run_prepare: Prepare, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = write_bsds500(tmp_path / "nested", [[quarters(), quarters()]])
    whole, part = np.zeros((2, *quarters().shape), bool)
    whole[2:9, 2:9] = part[3:8, 3:8] = True
    segments = tuple((person, encode_rle(mask)) for person in (0, 1) for mask in (whole, part))

    def nested(*arguments: Any, **options: Any) -> SplitRecords:  # noqa: ANN401 - as in collect
        records = collect(*arguments, **options)
        item = replace(records.objects[0], mask_rle=encode_rle(whole), annotator=0)
        return replace(records, objects=(item,), segments=(segments,))

    monkeypatch.setattr(prepare, "collect", nested)
    table = run_prepare(**place)
    assert table.person_rle is not None
    assert table.person_rle.tolist() == [[encode_rle(whole), encode_rle(part)]]
